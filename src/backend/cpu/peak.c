/*
 * peak: the processor's and the memory's best, measured: multiply-adds in registers (on AMX in
 * tiles), and copies in caches and in memory.  The best of many short passes counts.
 */
#include "backend/cpu/amx.h"
#include "backend/cpu/cpu.h"
#include "sftn/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARITHMETIC_PASSES = 100,
    COPY_PASSES = 10,
    LARGE = 1 << 30, /* work that is always shared among threads */
};

/* Short, so that some passes are not interrupted. */
static const double pass_seconds = 0.002;
static const double copy_seconds = 0.05;

/* ---- arithmetic ---- */

typedef struct arithmetic {
    const sftn_cpu_kernels *k;
    bool bf16, amx;
    int64_t rounds;
    double flops; /* of one thread */
} arithmetic;

static double in_tiles(int64_t rounds)
{
#if SFTN_HAVE_AMX
    float sum[SFTN_AMX_SUMS];

    return sftn_amx_multiply_adds(rounds, sum);
#else
    (void)rounds;
    return 0.0;
#endif
}

static void arithmetic_body(void *ctx, int64_t first, int64_t last, int thread)
{
    arithmetic *a = ctx;
    double flops;

    (void)first;
    (void)last;
    flops = a->amx ? in_tiles(a->rounds) : a->k->multiply_adds(a->bf16, a->rounds);
    if (thread == 0)
        a->flops = flops;
}

/* Seconds of one pass on so many threads. */
static double pass_of(arithmetic *a, int threads)
{
    const double start = sftn_seconds();

    sftn_cpu_parallel(threads, threads, 1, LARGE, arithmetic_body, a);
    return sftn_seconds() - start;
}

static double best_flops(arithmetic *a, int threads)
{
    double best = 0.0;

    a->rounds = 1000;
    while (pass_of(a, 1) < pass_seconds)
        a->rounds *= 2;
    for (int pass = 0; pass < ARITHMETIC_PASSES; pass++) {
        const double rate = a->flops * threads / pass_of(a, threads);

        best = rate > best ? rate : best;
    }
    return best;
}

/* ---- memory ---- */

typedef struct copying {
    char *src, *dst;
} copying;

static void copy_body(void *ctx, int64_t first, int64_t last, int thread)
{
    const copying *c = ctx;

    (void)thread;
    memcpy(c->dst + first, c->src + first, (size_t)(last - first));
}

/* So that each thread's part lies in memory near it. */
static void touch_body(void *ctx, int64_t first, int64_t last, int thread)
{
    const copying *c = ctx;

    memset(c->src + first, thread + 1, (size_t)(last - first));
    memset(c->dst + first, 0, (size_t)(last - first));
}

/* Bytes read plus written a second, half of `bytes` each. */
static double best_copy(copying *c, int64_t bytes, int threads)
{
    const double begin = sftn_seconds();
    double best = 0.0;

    sftn_cpu_parallel(threads, bytes / 2, 4096, LARGE, touch_body, c);
    for (int pass = 0; pass < COPY_PASSES || sftn_seconds() - begin < copy_seconds; pass++) {
        const double start = sftn_seconds();

        sftn_cpu_parallel(threads, bytes / 2, 4096, LARGE, copy_body, c);
        const double rate = (double)bytes / (sftn_seconds() - start);

        best = rate > best ? rate : best;
    }
    return best;
}

/* ---- both ---- */

sftn_status sftn_measure_peak(sftn_precision precision, sftn_peak *peak, sftn_error *err)
{
    const int64_t most = (int64_t)sftn_copy_size(SFTN_COPY_SIZES - 1);
    const int threads = sftn_get_threads();
    arithmetic a = {.k = sftn_cpu_kernels_here(), .bf16 = precision == SFTN_BFLOAT16};
    sftn_status status = sftn_cpu_check_isa(err);
    copying c;

    *peak = (sftn_peak){.isa = a.k->isa};
    if (status != SFTN_OK)
        return status;
    c = (copying){.src = malloc((size_t)most / 2), .dst = malloc((size_t)most / 2)};
    if (c.src != NULL && c.dst != NULL) {
        a.amx = a.bf16 && sftn_cpu_tiles_here();
        if (a.amx)
            peak->isa = "amx_bf16";
        peak->flops = best_flops(&a, threads);
        for (int i = 0; i < SFTN_COPY_SIZES; i++)
            peak->copy_bytes[i] = best_copy(&c, (int64_t)sftn_copy_size(i), threads);
    } else {
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for copies of %lld MiB",
                           (long long)most >> 20);
    }
    free(c.src);
    free(c.dst);
    return status;
}

/* Bytes a second of a copy of `bytes`, between the sizes measured. */
static double copy_speed(const sftn_peak *peak, double bytes)
{
    const double at = bytes > 0.0 ? log2(bytes / sftn_copy_size(0)) / 2.0 : 0.0;

    if (at <= 0.0)
        return peak->copy_bytes[0];
    if (at >= SFTN_COPY_SIZES - 1)
        return peak->copy_bytes[SFTN_COPY_SIZES - 1];
    const int i = (int)at;

    return peak->copy_bytes[i] + (at - i) * (peak->copy_bytes[i + 1] - peak->copy_bytes[i]);
}

double sftn_roofline_seconds(const sftn_peak *peak, double flops, double bytes)
{
    const double computing = flops / peak->flops, moving = bytes / copy_speed(peak, bytes);

    return computing > moving ? computing : moving;
}
