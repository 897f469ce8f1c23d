/*
 * rng.c: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011), and a sequential stream over it.
 *
 * Key: seed + purpose * 2^64 / phi, so that purpose 0 is plain Philox and every purpose has keys of
 * its own.  Counter, least significant word first: b low, b high, a low, a high.
 */
#include "base/base.h"

#include <math.h>

#define ROUNDS 10
#define MULTIPLIER0 UINT64_C(0xD2511F53)
#define MULTIPLIER1 UINT64_C(0xCD9E8D57)
#define WEYL0 UINT32_C(0x9E3779B9) /* 2^32 / golden ratio */
#define WEYL1 UINT32_C(0xBB67AE85) /* 2^32 * (sqrt(3) - 1) */
#define PURPOSE_STEP UINT64_C(0x9E3779B97F4A7C15)

sftn_random4 sftn_philox(uint64_t seed, sftn_purpose purpose, uint64_t a, uint64_t b)
{
    const uint64_t key = seed + (uint64_t)purpose * PURPOSE_STEP;
    uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)b, c1 = (uint32_t)(b >> 32);
    uint32_t c2 = (uint32_t)a, c3 = (uint32_t)(a >> 32);

    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t p0 = MULTIPLIER0 * c0;
        const uint64_t p1 = MULTIPLIER1 * c2;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ key0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ key1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        key0 += WEYL0;
        key1 += WEYL1;
    }
    return (sftn_random4){{c0, c1, c2, c3}};
}

sftn_rng sftn_rng_new(uint64_t seed, sftn_purpose purpose, uint64_t a)
{
    return (sftn_rng){.seed = seed, .a = a, .purpose = purpose, .used = 4};
}

uint32_t sftn_rng_u32(sftn_rng *r)
{
    if (r->used == 4) {
        r->block = sftn_philox(r->seed, r->purpose, r->a, r->b++);
        r->used = 0;
    }
    return r->block.v[r->used++];
}

/* 53 random bits, the precision of a double. */
double sftn_rng_uniform(sftn_rng *r)
{
    const uint64_t high = sftn_rng_u32(r) >> 5;
    const uint64_t low = sftn_rng_u32(r) >> 6;

    return (double)(high << 26 | low) * 0x1p-53;
}

double sftn_rng_normal(sftn_rng *r)
{
    const double radius = sqrt(-2.0 * log(1.0 - sftn_rng_uniform(r)));

    return radius * cos(2.0 * 3.14159265358979323846 * sftn_rng_uniform(r));
}

/* Lemire, "Fast random integer generation in an interval", ACM TOMACS 2019, with rejection. */
uint32_t sftn_rng_below(sftn_rng *r, uint32_t n)
{
    uint64_t product;

    if (n == 0)
        return 0;
    do {
        product = (uint64_t)sftn_rng_u32(r) * n;
    } while ((uint32_t)product < -n % n);
    return (uint32_t)(product >> 32);
}
