/*
 * softmax: e^(x - max) / sum e^(x - max), or its logarithm x - max - ln sum e^(x - max), of rows.
 */
#include "backend/cpu/kernels/vmath.h"

SFTN_INLINE void softmax_row(const void *x, bool bf16, int64_t c, bool logarithm, float *y)
{
    const float top = k_max(x, bf16, c);
    float sum = 0.0f, shift;

#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < c; j++) {
        const float d = k_get(x, bf16, j) - top, e = k_exp(d);

        y[j] = logarithm ? d : e;
        sum += e;
    }
    shift = logf(sum);
#pragma omp simd
    for (int64_t j = 0; j < c; j++)
        y[j] = logarithm ? y[j] - shift : y[j] / sum;
}

void K(softmax)(const void *x, bool bf16, int64_t rows, int64_t c, bool logarithm, float *y)
{
    for (int64_t r = 0; r < rows; r++) {
        if (bf16 && logarithm)
            softmax_row(k_at(x, true, r * c), true, c, true, y + r * c);
        else if (bf16)
            softmax_row(k_at(x, true, r * c), true, c, false, y + r * c);
        else if (logarithm)
            softmax_row(k_at(x, false, r * c), false, c, true, y + r * c);
        else
            softmax_row(k_at(x, false, r * c), false, c, false, y + r * c);
    }
}
