/* convert: bfloat16 to float and back, and copies between any two orders of dimensions. */
#include "backend/cpu/kernels/kernels.h"

void K(widen)(float *dst, const uint16_t *src, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dst[i] = k_widen(src[i]);
}

void K(narrow)(uint16_t *dst, const float *src, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dst[i] = k_narrow(src[i]);
}

/* Edge of the square blocks in which a transposition reads and writes: 4 KiB of floats. */
enum { BLOCK = 32 };

typedef struct plane {
    int64_t rows, cols, src_row, src_col, dst_row, dst_col;
} plane;

SFTN_INLINE void copy_plane(const plane *p, const void *src, bool sb, void *dst, bool db)
{
    for (int64_t r0 = 0; r0 < p->rows; r0 += BLOCK)
        for (int64_t c0 = 0; c0 < p->cols; c0 += BLOCK) {
            const int64_t r1 = r0 + BLOCK < p->rows ? r0 + BLOCK : p->rows;
            const int64_t c1 = c0 + BLOCK < p->cols ? c0 + BLOCK : p->cols;

            for (int64_t r = r0; r < r1; r++)
                for (int64_t c = c0; c < c1; c++)
                    k_set(dst, db, r * p->dst_row + c * p->dst_col,
                          k_get(src, sb, r * p->src_row + c * p->src_col));
        }
}

/* Bits of bfloat16 values are kept as they are. */
static void copy_plane_bits(const plane *p, const uint16_t *src, uint16_t *dst)
{
    for (int64_t r0 = 0; r0 < p->rows; r0 += BLOCK)
        for (int64_t c0 = 0; c0 < p->cols; c0 += BLOCK) {
            const int64_t r1 = r0 + BLOCK < p->rows ? r0 + BLOCK : p->rows;
            const int64_t c1 = c0 + BLOCK < p->cols ? c0 + BLOCK : p->cols;

            for (int64_t r = r0; r < r1; r++)
                for (int64_t c = c0; c < c1; c++)
                    dst[r * p->dst_row + c * p->dst_col] = src[r * p->src_row + c * p->src_col];
        }
}

static void copy_row(const void *src, bool sb, void *dst, bool db, int64_t n)
{
    if (sb == db)
        memcpy(dst, src, (size_t)n * (sb ? sizeof(uint16_t) : sizeof(float)));
    else if (sb)
        K(widen)(dst, src, n);
    else
        K(narrow)(dst, src, n);
}

static void copy_any_plane(const sftn_move *m, const plane *p, const void *src, void *dst)
{
    if (p->src_col == 1 && p->dst_col == 1)
        for (int64_t r = 0; r < p->rows; r++)
            copy_row(k_at(src, m->src_bf16, r * p->src_row), m->src_bf16,
                     (void *)k_at(dst, m->dst_bf16, r * p->dst_row), m->dst_bf16, p->cols);
    else if (m->src_bf16 && m->dst_bf16)
        copy_plane_bits(p, src, dst);
    else if (m->src_bf16)
        copy_plane(p, src, true, dst, false);
    else if (m->dst_bf16)
        copy_plane(p, src, false, dst, true);
    else
        copy_plane(p, src, false, dst, false);
}

/* The innermost dimension and the one along which src is contiguous make the blocked plane. */
void K(move)(const sftn_move *m, const void *src, void *dst, int64_t first, int64_t last)
{
    const int inner = SFTN_DIMS - 1;
    int other = inner - 1, outer[2], nouter = 0;
    int64_t low[SFTN_DIMS] = {0}, high[SFTN_DIMS];
    plane p;

    for (int d = 0; d < inner; d++)
        if (m->src[d] == 1 && m->dim[d] > 1 && m->src[inner] != 1)
            other = d;
    for (int d = 0; d < inner; d++)
        if (d != other)
            outer[nouter++] = d;
    for (int d = 0; d < SFTN_DIMS; d++)
        high[d] = m->dim[d];
    low[0] = first;
    high[0] = last;
    p = (plane){high[other] - low[other], high[inner] - low[inner], m->src[other], m->src[inner],
                m->dst[other], m->dst[inner]};
    for (int64_t i = low[outer[0]]; i < high[outer[0]]; i++)
        for (int64_t j = low[outer[1]]; j < high[outer[1]]; j++) {
            const int64_t s = i * m->src[outer[0]] + j * m->src[outer[1]] +
                              low[other] * m->src[other];
            const int64_t d = i * m->dst[outer[0]] + j * m->dst[outer[1]] +
                              low[other] * m->dst[other];

            copy_any_plane(m, &p, k_at(src, m->src_bf16, s), (void *)k_at(dst, m->dst_bf16, d));
        }
}
