/*
 * vector.h: arithmetic on vectors of the instruction set's full width, and bfloat16 in and out of
 * them; for loops that compilers do not make of plain C.
 */
#ifndef SFTN_BACKEND_CPU_KERNELS_VECTOR_H
#define SFTN_BACKEND_CPU_KERNELS_VECTOR_H

#include "backend/cpu/kernels/kernels.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

/* Floats of a vector. */
#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t word_vec __attribute__((vector_size(4 * LANES)));
typedef uint16_t half_vec __attribute__((vector_size(2 * LANES)));

SFTN_INLINE vec load_float(const float *p)
{
    vec v;

    memcpy(&v, p, sizeof v);
    return v;
}

SFTN_INLINE void store_float(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

SFTN_INLINE vec broadcast(float x)
{
    return x - (vec){0};
}

/* Elements i .. i + LANES - 1 of an array of float or bfloat16. */
SFTN_INLINE vec load(const void *x, bool bf16, int64_t i)
{
    if (!bf16)
        return load_float((const float *)x + i);
#if LANES == 16
    const __m256i h = _mm256_loadu_si256((const void *)((const uint16_t *)x + i));

    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
#else
    half_vec h;

    memcpy(&h, (const uint16_t *)x + i, sizeof h);
    return (vec)(__builtin_convertvector(h, word_vec) << 16);
#endif
}

/* To nearest, ties to even; NaN stays NaN.  AVX-512 BF16 takes numbers below 2^-126 as 0. */
SFTN_INLINE void store(void *y, bool bf16, int64_t i, vec v)
{
    if (!bf16) {
        store_float((float *)y + i, v);
        return;
    }
#if defined(__AVX512BF16__)
    const __m256bh h = _mm512_cvtneps_pbh((__m512)v);
#else
    const word_vec u = (word_vec)v, rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const word_vec number = (word_vec)(v == v);
    const word_vec bits = (rounded & number) | (0x7fc0u & ~number);
#if LANES == 16
    const __m256i h = _mm512_cvtepi32_epi16((__m512i)bits);
#else
    const half_vec h = __builtin_convertvector(bits, half_vec);
#endif
#endif
    memcpy((uint16_t *)y + i, &h, sizeof h);
}

/* a where b > 0, else 0 */
SFTN_INLINE vec where_positive(vec b, vec a)
{
    return (vec)((word_vec)(b > 0.0f) & (word_vec)a);
}

#endif
