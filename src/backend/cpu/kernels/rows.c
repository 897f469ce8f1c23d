/*
 * rows: products with rows of a table that are picked by number.
 *
 * The rows lie anywhere, so that time goes into fetching them: those some steps ahead are asked for
 * in advance.
 */
#include "backend/cpu/kernels/vector.h"

enum {
    AHEAD = 6,   /* rows asked for in advance */
    HELD = 8,    /* vectors of sums held in registers */
    BLOCK = 256, /* rows summed on their own, so that long sums lose nothing that matters */
};

/* The row of number i, NULL where there is none. */
SFTN_INLINE const float *row_of(const float *table, int64_t records, int64_t width, float number)
{
    if (!(number >= 0.0f && number < (float)records))
        return NULL;
    return table + (int64_t)number * width;
}

SFTN_INLINE void ask_for(const float *table, int64_t records, int64_t width, const float *rows,
                         int64_t k, int64_t count)
{
    const float *row = k < count ? row_of(table, records, width, rows[k]) : NULL;

    for (int64_t d = 0; row != NULL && d < width; d += 16)
        __builtin_prefetch(row + d);
}

SFTN_INLINE float dot(const float *a, const float *b, int64_t n)
{
    vec sum[4] = {{0}, {0}, {0}, {0}};
    float rest = 0.0f;
    int64_t i = 0;

    for (; i + 4 * LANES <= n; i += 4 * LANES)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum[j] += load_float(a + i + j * LANES) * load_float(b + i + j * LANES);
    for (; i + LANES <= n; i += LANES)
        sum[0] += load_float(a + i) * load_float(b + i);
    for (; i < n; i++)
        rest += a[i] * b[i];
    sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    for (int j = 0; j < LANES; j++)
        rest += sum[0][j];
    return rest;
}

void K(rows_dot)(const float *table, int64_t records, int64_t width, const float *rows,
                 int64_t count, const float *x, float *y)
{
    for (int64_t k = 0; k < count; k++) {
        const float *row = row_of(table, records, width, rows[k]);

        ask_for(table, records, width, rows, k + AHEAD, count);
        y[k] = row != NULL ? dot(row, x, width) : 0.0f;
    }
}

/* y [nv vectors] += the rows' parts from column d on */
SFTN_INLINE void mix(int nv, const float *table, int64_t records, int64_t width, const float *rows,
                     int64_t count, const float *weight, int64_t d, float *y)
{
    vec sum[HELD];

#pragma GCC unroll 8
    for (int j = 0; j < nv; j++)
        sum[j] = (vec){0};
    for (int64_t k = 0; k < count; k++) {
        const float *row = row_of(table, records, width, rows[k]);
        const vec w = broadcast(weight[k]);

        ask_for(table, records, width, rows, k + AHEAD, count);
        if (row == NULL)
            continue;
#pragma GCC unroll 8
        for (int j = 0; j < nv; j++)
            sum[j] += w * load_float(row + d + j * LANES);
    }
#pragma GCC unroll 8
    for (int j = 0; j < nv; j++)
        store_float(y + d + j * LANES, load_float(y + d + j * LANES) + sum[j]);
}

static void mix_rest(const float *table, int64_t records, int64_t width, const float *rows,
                     int64_t count, const float *weight, int64_t d, float *y)
{
    for (int64_t k = 0; k < count; k++) {
        const float *row = row_of(table, records, width, rows[k]);

        for (int64_t j = d; row != NULL && j < width; j++)
            y[j] += weight[k] * row[j];
    }
}

void K(rows_mix)(const float *table, int64_t records, int64_t width, const float *rows,
                 int64_t count, const float *weight, float *y)
{
    memset(y, 0, (size_t)width * sizeof *y);
    for (int64_t k = 0; k < count; k += BLOCK) {
        const int64_t n = count - k < BLOCK ? count - k : BLOCK;
        int64_t d = 0;

        for (; d + HELD * LANES <= width; d += HELD * LANES)
            mix(HELD, table, records, width, rows + k, n, weight + k, d, y);
        for (; d + LANES <= width; d += LANES)
            mix(1, table, records, width, rows + k, n, weight + k, d, y);
        if (d < width)
            mix_rest(table, records, width, rows + k, n, weight + k, d, y);
    }
}
