/* hash.c: FNV-1a, 64 bits (Fowler, Noll and Vo; draft-eastlake-fnv). */
#include "base/base.h"

#include <string.h>

#define FNV_OFFSET UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

uint64_t sftn_hash_bytes(const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    uint64_t hash = FNV_OFFSET;

    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ byte[i]) * FNV_PRIME;
    return hash;
}

uint64_t sftn_hash_text(const char *s)
{
    return sftn_hash_bytes(s, strlen(s));
}
