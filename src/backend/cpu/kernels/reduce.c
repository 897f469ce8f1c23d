/*
 * reduce: sums and maxima down columns and along rows, and the column sums of batch normalization.
 *
 * Columns are summed in float over blocks of rows short enough to lose nothing that matters, and
 * the blocks in double.  The order depends on the shape alone.  Where there are few columns,
 * several rows are read as one wide row, so that vectors are full.
 */
#include "backend/cpu/kernels/vector.h"

/* WIDE: columns held at a time; BLOCK: rows summed in float; NARROW: fewer columns are widened. */
enum { WIDE = 512, BLOCK = 64, NARROW = 128 };

/* Rows per wide row: 1 where rows are not adjacent or long enough. */
static int64_t widening(int64_t stride, int64_t cols)
{
    return stride == cols && cols < NARROW ? WIDE / cols : 1;
}

/* part[j] = sum over rows; four rows at a time keep the partial sums in registers longer. */
SFTN_INLINE void block_sum(const void *x, bool bf16, int64_t rows, int64_t stride, int64_t cols,
                           float *part)
{
    int64_t r = 0;

    for (int64_t j = 0; j < cols; j++)
        part[j] = 0.0f;
    for (; r + 4 <= rows; r += 4) {
        const void *x0 = k_at(x, bf16, r * stride), *x1 = k_at(x, bf16, (r + 1) * stride);
        const void *x2 = k_at(x, bf16, (r + 2) * stride), *x3 = k_at(x, bf16, (r + 3) * stride);

#pragma omp simd
        for (int64_t j = 0; j < cols; j++)
            part[j] += (k_get(x0, bf16, j) + k_get(x1, bf16, j)) +
                       (k_get(x2, bf16, j) + k_get(x3, bf16, j));
    }
    for (; r < rows; r++) {
        const void *x0 = k_at(x, bf16, r * stride);

#pragma omp simd
        for (int64_t j = 0; j < cols; j++)
            part[j] += k_get(x0, bf16, j);
    }
}

SFTN_INLINE void sum_columns(const void *x, bool bf16, int64_t rows, int64_t stride, int64_t cols,
                             double *acc)
{
    _Alignas(64) float part[WIDE];

    for (int64_t r = 0; r < rows; r += BLOCK) {
        const int64_t n = rows - r < BLOCK ? rows - r : BLOCK;

        for (int64_t c = 0; c < cols; c += WIDE) {
            const int64_t width = cols - c < WIDE ? cols - c : WIDE;

            block_sum(k_at(x, bf16, r * stride + c), bf16, n, stride, width, part);
#pragma omp simd
            for (int64_t j = 0; j < width; j++)
                acc[c + j] += (double)part[j];
        }
    }
}

SFTN_INLINE void sum_rows(const void *x, bool bf16, int64_t rows, int64_t stride, int64_t cols,
                          double *acc)
{
    const int64_t m = widening(stride, cols), wide = rows / m;
    double wide_acc[WIDE] = {0.0};

    if (m == 1 || wide == 0) {
        sum_columns(x, bf16, rows, stride, cols, acc);
        return;
    }
    sum_columns(x, bf16, wide, m * cols, m * cols, wide_acc);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < cols; j++)
            acc[j] += wide_acc[i * cols + j];
    if (rows > wide * m)
        sum_columns(k_at(x, bf16, wide * m * cols), bf16, rows - wide * m, stride, cols, acc);
}

void K(sum_rows)(const void *x, bool bf16, int64_t rows, int64_t stride, int64_t cols, double *acc)
{
    if (bf16)
        sum_rows(x, true, rows, stride, cols, acc);
    else
        sum_rows(x, false, rows, stride, cols, acc);
}

SFTN_INLINE void max_rows(const void *x, bool bf16, int64_t rows, int64_t stride, int64_t cols,
                          double *acc)
{
    _Alignas(64) float part[WIDE];

    for (int64_t c = 0; c < cols; c += WIDE) {
        const int64_t width = cols - c < WIDE ? cols - c : WIDE;

        for (int64_t j = 0; j < width; j++)
            part[j] = (float)acc[c + j];
        for (int64_t r = 0; r < rows; r++) {
            const void *row = k_at(x, bf16, r * stride + c);

#pragma omp simd
            for (int64_t j = 0; j < width; j++) {
                const float v = k_get(row, bf16, j);

                part[j] = v > part[j] ? v : part[j];
            }
        }
        for (int64_t j = 0; j < width; j++)
            acc[c + j] = (double)part[j];
    }
}

void K(max_rows)(const void *x, bool bf16, int64_t rows, int64_t stride, int64_t cols, double *acc)
{
    if (bf16)
        max_rows(x, true, rows, stride, cols, acc);
    else
        max_rows(x, false, rows, stride, cols, acc);
}

void K(sum_lines)(const void *x, bool bf16, int64_t rows, int64_t length, float *y)
{
    for (int64_t r = 0; r < rows; r++)
        y[r] = bf16 ? k_sum(k_at(x, true, r * length), true, length)
                    : k_sum(k_at(x, false, r * length), false, length);
}

void K(max_lines)(const void *x, bool bf16, int64_t rows, int64_t length, float *y)
{
    for (int64_t r = 0; r < rows; r++)
        y[r] = bf16 ? k_max(k_at(x, true, r * length), true, length)
                    : k_max(k_at(x, false, r * length), false, length);
}

/* ---- the two sums of batch normalization ---- */

/*
 * Of moments: u = x - center, sums of u and u^2; of its gradient: u = gy, sums of u and
 * u (x - center).
 */
typedef struct pair {
    const void *x, *gy;
    const float *center;
    double *s1, *s2;
} pair;

enum { GROUP = 4 * LANES }; /* columns whose sums are held in registers */

/* Columns c .. c + nv LANES - 1 of `rows` rows that begin at element `at`. */
SFTN_INLINE void pair_block(const pair *p, bool xb, bool gb, bool grad, int nv, int64_t at,
                            int64_t rows, int64_t stride, int64_t c)
{
    vec center[4], sum1[4], sum2[4];

#pragma GCC unroll 4
    for (int v = 0; v < nv; v++) {
        center[v] = load_float(p->center + c + v * LANES);
        sum1[v] = sum2[v] = (vec){0};
    }
    for (int64_t r = 0, i = at + c; r < rows; r++, i += stride)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) {
            const vec d = load(p->x, xb, i + v * LANES) - center[v];
            const vec u = grad ? load(p->gy, gb, i + v * LANES) : d;

            sum1[v] += u;
            sum2[v] += u * d;
        }
#pragma GCC unroll 4
    for (int v = 0; v < nv; v++)
        for (int j = 0; j < LANES; j++) {
            p->s1[c + v * LANES + j] += (double)sum1[v][j];
            p->s2[c + v * LANES + j] += (double)sum2[v][j];
        }
}

/* The same for one column. */
SFTN_INLINE void pair_column(const pair *p, bool xb, bool gb, bool grad, int64_t at, int64_t rows,
                             int64_t stride, int64_t c)
{
    float sum1 = 0.0f, sum2 = 0.0f;

    for (int64_t r = 0, i = at + c; r < rows; r++, i += stride) {
        const float d = k_get(p->x, xb, i) - p->center[c], u = grad ? k_get(p->gy, gb, i) : d;

        sum1 += u;
        sum2 += u * d;
    }
    p->s1[c] += (double)sum1;
    p->s2[c] += (double)sum2;
}

SFTN_INLINE void pair_columns(const pair *p, bool xb, bool gb, bool grad, int64_t at, int64_t rows,
                              int64_t cols)
{
    for (int64_t r = 0; r < rows; r += BLOCK) {
        const int64_t n = rows - r < BLOCK ? rows - r : BLOCK, first = at + r * cols;
        int64_t c = 0;

        for (; c + GROUP <= cols; c += GROUP)
            pair_block(p, xb, gb, grad, 4, first, n, cols, c);
        for (; c + LANES <= cols; c += LANES)
            pair_block(p, xb, gb, grad, 1, first, n, cols, c);
        for (; c < cols; c++)
            pair_column(p, xb, gb, grad, first, n, cols, c);
    }
}

/* Few columns: several rows are one wide row, a group of columns. */
SFTN_INLINE void pair_rows(const pair *p, bool xb, bool gb, bool grad, int64_t rows, int64_t cols)
{
    const int64_t m = cols < GROUP && GROUP % cols == 0 ? GROUP / cols : 1, wide = rows / m;
    _Alignas(64) float center[GROUP];
    double s1[GROUP] = {0.0}, s2[GROUP] = {0.0};
    const pair q = {p->x, p->gy, center, s1, s2};

    if (m == 1 || wide == 0) {
        pair_columns(p, xb, gb, grad, 0, rows, cols);
        return;
    }
    for (int64_t i = 0; i < m; i++)
        memcpy(center + i * cols, p->center, (size_t)cols * sizeof *center);
    pair_columns(&q, xb, gb, grad, 0, wide, m * cols);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < cols; j++) {
            p->s1[j] += s1[i * cols + j];
            p->s2[j] += s2[i * cols + j];
        }
    if (rows > wide * m)
        pair_columns(p, xb, gb, grad, wide * m * cols, rows - wide * m, cols);
}

void K(moments)(const void *x, bool bf16, int64_t rows, int64_t c, const float *center, double *s1,
                double *s2)
{
    const pair p = {x, NULL, center, s1, s2};

    if (bf16)
        pair_rows(&p, true, false, false, rows, c);
    else
        pair_rows(&p, false, false, false, rows, c);
}

void K(norm_sums)(const void *x, bool x_bf16, const void *gy, bool gy_bf16, int64_t rows,
                  int64_t c, const float *center, double *s1, double *s2)
{
    const pair p = {x, gy, center, s1, s2};

    if (x_bf16 && gy_bf16)
        pair_rows(&p, true, true, true, rows, c);
    else if (x_bf16)
        pair_rows(&p, true, false, true, rows, c);
    else if (gy_bf16)
        pair_rows(&p, false, true, true, rows, c);
    else
        pair_rows(&p, false, false, true, rows, c);
}
