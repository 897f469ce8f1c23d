/* peak: multiply-adds in registers, nothing else: as fast as this instruction set computes. */
#include "backend/cpu/kernels/kernels.h"

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

/* More chains than a multiply-add's latency times the units that start one in each cycle. */
enum { CHAINS = 12 };

typedef float vec __attribute__((vector_size(4 * LANES)));

/*
 * For the compiler a volatile number is another one each time that it is read: it can neither
 * compute equal chains once nor leave out what is written in the end.
 */
static void begin(vec *sum, const volatile float *number)
{
    for (int i = 0; i < CHAINS; i++)
        sum[i] = *number - (vec){0};
}

static void end(const vec *sum, volatile float *number)
{
    vec all = {0};

    for (int i = 0; i < CHAINS; i++)
        all += sum[i];
    *number = all[0];
}

#ifdef __AVX512BF16__
static double products_bf16(int64_t rounds, volatile float *number)
{
    const __m512 small = _mm512_set1_ps(*number);
    const __m512bh a = _mm512_cvtne2ps_pbh(small, small);
    vec sum[CHAINS];

    begin(sum, number);
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            sum[i] = (vec)_mm512_dpbf16_ps((__m512)sum[i], a, a);
    end(sum, number);
    return 4.0 * LANES * CHAINS * (double)rounds;
}
#endif

double K(multiply_adds)(bool bf16, int64_t rounds)
{
    volatile float number = 0x1p-20f;
    const vec a = number - (vec){0};
    vec sum[CHAINS];

#ifdef __AVX512BF16__
    if (bf16)
        return products_bf16(rounds, &number);
#endif
    (void)bf16;
    begin(sum, &number);
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            sum[i] = sum[i] * a + a;
    end(sum, &number);
    return 2.0 * LANES * CHAINS * (double)rounds;
}
