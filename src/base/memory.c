/* memory.c: allocation with checked sizes, and a pool of small objects freed together. */
#include "base/base.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT 64
#define HUGE_PAGE ((size_t)2 << 20)
#define POOL_ALIGNMENT 16
#define POOL_BLOCK_BYTES ((size_t)64 << 10)

void *sftn_calloc(size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return calloc(1, bytes > 0 ? bytes : 1);
}

bool sftn_grow(void *array_pointer, int *capacity, int need, size_t size)
{
    void *array, *grown;
    size_t bytes;
    int doubled;

    if (need <= *capacity)
        return true;
    doubled = *capacity > INT32_MAX / 2 ? INT32_MAX : 2 * *capacity;
    if (doubled < need)
        doubled = need;
    if (doubled < 8)
        doubled = 8;
    if (__builtin_mul_overflow((size_t)doubled, size, &bytes))
        return false;
    /* The array's type is the caller's: its pointer is read and written as bytes. */
    memcpy(&array, array_pointer, sizeof(array));
    grown = realloc(array, bytes);
    if (!grown)
        return false;
    memcpy(array_pointer, &grown, sizeof(grown));
    *capacity = doubled;
    return true;
}

void *sftn_aligned_uncleared(size_t bytes)
{
    size_t alignment = ALIGNMENT;
    void *memory;

    if (bytes == 0)
        bytes = 1;
    if (bytes > SIZE_MAX - ALIGNMENT)
        return NULL;
    if (bytes >= HUGE_PAGE / 2 && bytes <= SIZE_MAX - HUGE_PAGE)
        alignment = HUGE_PAGE;
    bytes = (bytes + alignment - 1) / alignment * alignment;
    memory = aligned_alloc(alignment, bytes);
    if (memory && alignment == HUGE_PAGE)
        (void)madvise(memory, bytes, MADV_HUGEPAGE); /* before the first touch */
    return memory;
}

void *sftn_aligned(size_t bytes)
{
    void *memory = sftn_aligned_uncleared(bytes);

    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

char *sftn_strdup(const char *s)
{
    return strdup(s);
}

struct sftn_pool_block {
    struct sftn_pool_block *next;
    size_t used, size;
    alignas(POOL_ALIGNMENT) unsigned char data[];
};

void *sftn_pool_alloc(sftn_pool *pool, size_t bytes)
{
    struct sftn_pool_block *block = pool->blocks;
    void *memory;

    if (bytes > SIZE_MAX - POOL_ALIGNMENT - sizeof(*block))
        return NULL;
    bytes = (bytes + POOL_ALIGNMENT - 1) / POOL_ALIGNMENT * POOL_ALIGNMENT;
    if (!block || block->size - block->used < bytes) {
        const size_t size = bytes > POOL_BLOCK_BYTES ? bytes : POOL_BLOCK_BYTES;

        block = calloc(1, sizeof(*block) + size);
        if (!block)
            return NULL;
        block->size = size;
        block->next = pool->blocks;
        pool->blocks = block;
    }
    memory = block->data + block->used;
    block->used += bytes;
    return memory;
}

char *sftn_pool_strdup(sftn_pool *pool, const char *s)
{
    const size_t bytes = strlen(s) + 1;
    char *copy = sftn_pool_alloc(pool, bytes);

    return copy ? memcpy(copy, s, bytes) : NULL;
}

void sftn_pool_free(sftn_pool *pool)
{
    struct sftn_pool_block *next;

    if (!pool)
        return;
    for (struct sftn_pool_block *block = pool->blocks; block; block = next) {
        next = block->next;
        free(block);
    }
    pool->blocks = NULL;
}
