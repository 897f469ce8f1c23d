/*
 * base.h: internal helpers without tensors: checked memory, strings, counter-based random numbers.
 */
#ifndef SFTN_BASE_BASE_H
#define SFTN_BASE_BASE_H

#include "sftn/base.h"

#define SFTN_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- memory (memory.c) ---- */
/* count * size zeroed bytes, NULL on overflow or when out of memory. */
void *sftn_calloc(size_t count, size_t size);
/* Array grown to at least `need` elements (capacity doubled); on failure false, array intact. */
bool sftn_grow(void *array_pointer, int *capacity, int need, size_t size);
/*
 * Zeroed, 64-byte aligned; large arrays in huge pages where the system has them.  Release with
 * free().
 */
void *sftn_aligned(size_t bytes);
/* The same, not zeroed: what nobody touches takes no memory. */
void *sftn_aligned_uncleared(size_t bytes);
char *sftn_strdup(const char *s);

/*
 * A bump allocator: many small objects, freed together.
 */
typedef struct sftn_pool {
    struct sftn_pool_block *blocks;
} sftn_pool;
/* Zeroed, 16-byte aligned; NULL when out of memory. */
void *sftn_pool_alloc(sftn_pool *pool, size_t bytes);
char *sftn_pool_strdup(sftn_pool *pool, const char *s);
void sftn_pool_free(sftn_pool *pool);

/* ---- growing text (strbuf.c) ---- */
typedef struct sftn_strbuf {
    char *text; /* terminated; NULL while empty; owned */
    size_t length, capacity;
    bool failed; /* out of memory: text is incomplete */
} sftn_strbuf;
void sftn_strbuf_add(sftn_strbuf *b, const char *format, ...) SFTN_PRINTF(2, 3);
void sftn_strbuf_free(sftn_strbuf *b);

/* ---- random numbers (rng.c) ----
 * Philox4x32-10 (Salmon et al., SC 2011): a bijection of a 128-bit counter under a 64-bit key, so
 * any number of any stream can be computed directly.  Keys are (seed, purpose); counters (a, b).
 */
typedef enum sftn_purpose {
    SFTN_RNG_INIT = 1,  /* a: hash of the parameter's name, b: element */
    SFTN_RNG_SHUFFLE,   /* a: epoch, b: position */
    SFTN_RNG_AUGMENT,   /* a: epoch, b: record */
    SFTN_RNG_SPLIT,     /* held-out records */
    SFTN_RNG_SHAPES,    /* procedural data */
    SFTN_RNG_TEST,
    SFTN_RNG_DRAW, /* records of other classes; a: step and record */
} sftn_purpose;

typedef struct sftn_random4 {
    uint32_t v[4];
} sftn_random4;
sftn_random4 sftn_philox(uint64_t seed, sftn_purpose purpose, uint64_t a, uint64_t b);

/* A sequential stream over sftn_philox, for code that draws an unknown number. */
typedef struct sftn_rng {
    uint64_t seed, a, b;
    sftn_purpose purpose;
    sftn_random4 block;
    int used;
} sftn_rng;
sftn_rng sftn_rng_new(uint64_t seed, sftn_purpose purpose, uint64_t a);
uint32_t sftn_rng_u32(sftn_rng *r);
double sftn_rng_uniform(sftn_rng *r);               /* [0,1) */
double sftn_rng_normal(sftn_rng *r);                /* N(0,1), Box-Muller */
uint32_t sftn_rng_below(sftn_rng *r, uint32_t n);   /* 0..n-1, unbiased */

/* 64-bit FNV-1a of the bytes of s. */
uint64_t sftn_hash_text(const char *s);
uint64_t sftn_hash_bytes(const void *data, size_t bytes);

/* ---- files (file.c) ---- */
/* Make dir and its parents. */
sftn_status sftn_make_dirs(const char *dir, sftn_error *err);
/*
 * Atomic replacement: write to path.tmp, flush to disk, rename.  write_fn writes into the stream
 * (a FILE *) and returns false on a stream error.  FILE names path and the system's reason.
 */
sftn_status sftn_replace_file(const char *path, bool (*write_fn)(void *ctx, void *stream),
                              void *ctx, sftn_error *err);
/* Whole file in memory (with a terminating zero past the end); *data owned by the caller. */
sftn_status sftn_read_file(const char *path, void **data, size_t *bytes, sftn_error *err);

double sftn_seconds(void); /* monotonic clock */

/* ---- threads (cores.c, parallel.c) ---- */
/*
 * Cores that this process may keep busy, at least 1: those of its affinity, or fewer where its
 * control group or one above it has a quota of processor time.  Looked up once.
 */
int sftn_cores(void);
/* The quota alone, in cores, rounded up, of the process that root/proc/self describes; 0: none. */
int sftn_cores_quota(const char *root);

/*
 * Call body for each of 0 .. parts - 1, once, on at most `threads` threads of which the caller is
 * one, and on no more than there are cores.  Any thread may execute any part, in any order.
 */
typedef void sftn_part(void *ctx, int64_t part);
void sftn_parallel(int threads, int64_t parts, sftn_part *body, void *ctx);
/* The same with so many threads beside the caller, whatever the cores. */
void sftn_parallel_with(int helpers, int64_t parts, sftn_part *body, void *ctx);

/* ---- bfloat16: the upper half of a float32 ---- */
static inline float sftn_bf16_to_float(uint16_t x)
{
    const union {
        uint32_t u;
        float f;
    } bits = {.u = (uint32_t)x << 16};

    return bits.f;
}

/* Rounded to nearest, ties to even; NaN stays NaN. */
static inline uint16_t sftn_bf16_from_float(float x)
{
    const union {
        float f;
        uint32_t u;
    } bits = {.f = x};
    const uint32_t rounded = bits.u + 0x7FFFu + (bits.u >> 16 & 1u);

    return (uint16_t)((x != x ? bits.u | 0x400000u : rounded) >> 16);
}

#endif
