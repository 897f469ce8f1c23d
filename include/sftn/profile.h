/*
 * profile.h: where the time of a plan goes, and what the machine could do at best.
 *
 * A kernel can be no faster than its arithmetic at the processor's peak, nor than its operands at
 * the speed of memory (the roofline model: Williams, Waterman and Patterson, CACM 2009).
 */
#ifndef SFTN_PROFILE_H
#define SFTN_PROFILE_H

#include "sftn/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Measured with the threads of sftn_get_threads.  Copies are of as many bytes, read plus written,
 * as the processor's caches hold and fewer and more: 64 KiB, and four times as many from each
 * to the next.
 */
enum { SFTN_COPY_SIZES = 7 };
typedef struct sftn_peak {
    const char *isa; /* whose multiply-adds were timed: "avx512_bf16" */
    double flops;    /* a second: independent multiply-adds in registers, each counted as two */
    double copy_bytes[SFTN_COPY_SIZES]; /* a second; the last is from memory to memory */
} sftn_peak;

/* Bytes of copy i: 2^16 4^i. */
static inline double sftn_copy_size(int i)
{
    return (double)(INT64_C(65536) << 2 * i);
}

/*
 * The fastest multiply-adds that the machine has for operands of a precision, and its memory.
 * Takes about a second and 256 MiB.
 */
SFTN_API sftn_status sftn_measure_peak(sftn_precision precision, sftn_peak *peak,
                                       sftn_error *err);

/* The least time for a kernel's arithmetic and for a copy of as many bytes as it touches. */
SFTN_API double sftn_roofline_seconds(const sftn_peak *peak, double flops, double bytes);

/* Steps of a plan that are alike; times and amounts are of all of them in one run. */
typedef struct sftn_profile_row {
    const char *op, *kernel, *detail; /* the plan's; detail: the op's attributes, may be empty */
    char shapes[160];                 /* "[64,16,32,32] -> [1,16,1,1]" */
    int steps;
    bool product;   /* a convolution or matrix product, or a gradient of one */
    double seconds; /* each step's median over the last runs */
    double flops;   /* by the op's definition, however it is computed; 0: not counted */
    double bytes;   /* of operands and results, once each */
} sftn_profile_row;

/*
 * The steps of a plan made with options.profile, after a run, longest first.  *rows is the
 * caller's (free), its texts the plan's.  ARGUMENT where nothing was profiled.
 */
SFTN_API sftn_status sftn_plan_profile(const sftn_plan *plan, sftn_profile_row **rows, int *nrows,
                                       sftn_error *err);

#ifdef __cplusplus
}
#endif
#endif
