/*
 * pool: average and maximum over windows of channels-last images, and their gradients.
 *
 * Each function makes one row of one image.  Gradients gather: an input pixel asks every window
 * that covers it, so rows are independent and sums are kept in float.
 */
#include "backend/cpu/kernels/kernels.h"

#include <math.h>

/* Channels accumulated at a time. */
enum { CHUNK = 256 };

SFTN_INLINE int64_t chunk_width(const sftn_pool_map *m, int64_t c)
{
    return m->c - c < CHUNK ? m->c - c : CHUNK;
}

SFTN_INLINE void store(const float *acc, void *y, bool bf16, int64_t at, int64_t n)
{
    if (bf16)
        K(narrow)((uint16_t *)y + at, acc, n);
    else
        memcpy((float *)y + at, acc, (size_t)n * sizeof *acc);
}

SFTN_INLINE void avg_pixel(const sftn_pool_map *m, const void *x, bool bf16, void *y, int64_t i,
                           int64_t j)
{
    const int64_t *first = m->first, *last = m->last;
    const float scale = 1.0f / (float)(m->count[i] * m->count[m->oh + j]);

    for (int64_t c = 0; c < m->c; c += CHUNK) {
        const int64_t n = chunk_width(m, c);
        float acc[CHUNK] = {0.0f};

        for (int64_t r = first[i]; r < last[i]; r++)
            for (int64_t s = first[m->oh + j]; s < last[m->oh + j]; s++) {
                const void *px = k_at(x, bf16, (r * m->w + s) * m->c + c);

#pragma omp simd
                for (int64_t k = 0; k < n; k++)
                    acc[k] += k_get(px, bf16, k);
            }
#pragma omp simd
        for (int64_t k = 0; k < n; k++)
            acc[k] *= scale;
        store(acc, y, bf16, (i * m->ow + j) * m->c + c, n);
    }
}

void K(avg_pool)(const sftn_pool_map *m, const void *x, void *y, int64_t row)
{
    for (int64_t j = 0; j < m->ow; j++)
        if (m->bf16)
            avg_pixel(m, x, true, y, row, j);
        else
            avg_pixel(m, x, false, y, row, j);
}

/*
 * Windows that may cover pixel i of one axis: *from .. *to - 1 (bounds rise with the index).
 * first, last: that axis' windows.
 */
SFTN_INLINE void covering(const int64_t *first, const int64_t *last, int64_t windows, int64_t i,
                          int64_t *from, int64_t *to)
{
    int64_t a = 0, b;

    while (a < windows && last[a] <= i)
        a++;
    for (b = a; b < windows && first[b] <= i; b++)
        ;
    *from = a;
    *to = b;
}

SFTN_INLINE void avg_grad_pixel(const sftn_pool_map *m, const void *gy, bool bf16, void *gx,
                                int64_t h, int64_t w, int64_t i0, int64_t i1)
{
    int64_t j0, j1;

    covering(m->first + m->oh, m->last + m->oh, m->ow, w, &j0, &j1);
    for (int64_t c = 0; c < m->c; c += CHUNK) {
        const int64_t n = chunk_width(m, c);
        float acc[CHUNK] = {0.0f};

        for (int64_t i = i0; i < i1; i++)
            for (int64_t j = j0; j < j1; j++) {
                const void *pg = k_at(gy, bf16, (i * m->ow + j) * m->c + c);
                const float scale = 1.0f / (float)(m->count[i] * m->count[m->oh + j]);

#pragma omp simd
                for (int64_t k = 0; k < n; k++)
                    acc[k] += scale * k_get(pg, bf16, k);
            }
        store(acc, gx, bf16, (h * m->w + w) * m->c + c, n);
    }
}

void K(avg_pool_grad)(const sftn_pool_map *m, const void *gy, void *gx, int64_t row)
{
    int64_t i0, i1;

    covering(m->first, m->last, m->oh, row, &i0, &i1);
    for (int64_t w = 0; w < m->w; w++)
        if (m->bf16)
            avg_grad_pixel(m, gy, true, gx, row, w, i0, i1);
        else
            avg_grad_pixel(m, gy, false, gx, row, w, i0, i1);
}

/* Largest elements of one window, and where they are (first in row order). */
SFTN_INLINE void max_pixel(const sftn_pool_map *m, const void *x, bool bf16, int64_t i, int64_t j,
                           int64_t c, int64_t n, float *top, int32_t *which)
{
    int32_t position = 0;

    for (int64_t k = 0; k < n; k++) {
        top[k] = -INFINITY;
        which[k] = 0;
    }
    for (int64_t r = m->first[i]; r < m->last[i]; r++)
        for (int64_t s = m->first[m->oh + j]; s < m->last[m->oh + j]; s++, position++) {
            const void *px = k_at(x, bf16, (r * m->w + s) * m->c + c);

#pragma omp simd
            for (int64_t k = 0; k < n; k++) {
                const float v = k_get(px, bf16, k), t = top[k];

                which[k] = v > t ? position : which[k];
                top[k] = v > t ? v : t;
            }
        }
}

SFTN_INLINE void max_row(const sftn_pool_map *m, const void *x, bool bf16, void *y,
                         uint16_t *where, int64_t i)
{
    float top[CHUNK];
    int32_t which[CHUNK];

    for (int64_t j = 0; j < m->ow; j++)
        for (int64_t c = 0; c < m->c; c += CHUNK) {
            const int64_t n = chunk_width(m, c), at = (i * m->ow + j) * m->c + c;

            max_pixel(m, x, bf16, i, j, c, n, top, which);
            if (y != NULL)
                store(top, y, bf16, at, n);
            else
                for (int64_t k = 0; k < n; k++)
                    where[at + k] = (uint16_t)which[k];
        }
}

void K(max_pool)(const sftn_pool_map *m, const void *x, void *y, int64_t row)
{
    if (m->bf16)
        max_row(m, x, true, y, NULL, row);
    else
        max_row(m, x, false, y, NULL, row);
}

void K(max_pool_which)(const sftn_pool_map *m, const void *x, uint16_t *which, int64_t row)
{
    if (m->bf16)
        max_row(m, x, true, NULL, which, row);
    else
        max_row(m, x, false, NULL, which, row);
}

SFTN_INLINE void max_grad_pixel(const sftn_pool_map *m, const uint16_t *which, const void *gy,
                                bool bf16, void *gx, int64_t h, int64_t w, int64_t i0, int64_t i1)
{
    const int64_t *first = m->first + m->oh, *last = m->last + m->oh;
    int64_t j0, j1;

    covering(first, last, m->ow, w, &j0, &j1);
    for (int64_t c = 0; c < m->c; c += CHUNK) {
        const int64_t n = chunk_width(m, c);
        float acc[CHUNK] = {0.0f};

        for (int64_t i = i0; i < i1; i++)
            for (int64_t j = j0; j < j1; j++) {
                const int64_t at = (i * m->ow + j) * m->c + c;
                const int64_t here = (h - m->first[i]) * (last[j] - first[j]) + w - first[j];
                const int32_t mine = (int32_t)here;
                const void *pg = k_at(gy, bf16, at);

#pragma omp simd
                for (int64_t k = 0; k < n; k++)
                    acc[k] += (int32_t)which[at + k] == mine ? k_get(pg, bf16, k) : 0.0f;
            }
        store(acc, gx, bf16, (h * m->w + w) * m->c + c, n);
    }
}

void K(max_pool_grad)(const sftn_pool_map *m, const uint16_t *which, const void *gy, void *gx,
                      int64_t row)
{
    int64_t i0, i1;

    covering(m->first, m->last, m->oh, row, &i0, &i1);
    for (int64_t w = 0; w < m->w; w++)
        if (m->bf16)
            max_grad_pixel(m, which, gy, true, gx, row, w, i0, i1);
        else
            max_grad_pixel(m, which, gy, false, gx, row, w, i0, i1);
}
