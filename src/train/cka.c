/*
 * cka: ||Y'X||^2 / (||X'X|| ||Y'Y||) (Frobenius norms) of matrices with centred columns.
 *
 * Only sums over rows are kept, so any number of images fits.  The columns are centred at the end,
 * by S_ab - s_a s_b / n.  To keep that subtraction harmless the first row, a first guess of the
 * mean, is taken off every row, which changes nothing else.
 */
#include "train/cka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

sftn_status sftn_cka_open(sftn_cka *c, int p, int q, sftn_error *err)
{
    const size_t both = (size_t)p + (size_t)q;

    *c = (sftn_cka){.p = p, .q = q};
    c->shift = sftn_calloc(both, sizeof *c->shift);
    c->sum = sftn_calloc(both, sizeof *c->sum);
    c->x = sftn_calloc((size_t)p * SFTN_CKA_ROWS, sizeof *c->x);
    c->y = sftn_calloc((size_t)q * SFTN_CKA_ROWS, sizeof *c->y);
    c->xx = sftn_calloc((size_t)p * (size_t)p, sizeof *c->xx);
    c->yy = sftn_calloc((size_t)q * (size_t)q, sizeof *c->yy);
    c->xy = sftn_calloc((size_t)p * (size_t)q, sizeof *c->xy);
    if (c->shift && c->sum && c->x && c->y && c->xx && c->yy && c->xy)
        return SFTN_OK;
    sftn_cka_close(c);
    return sftn_fail(err, SFTN_ERR_MEMORY, "similarity of %d and %d features: out of memory", p, q);
}

void sftn_cka_close(sftn_cka *c)
{
    free(c->shift);
    free(c->sum);
    free(c->x);
    free(c->y);
    free(c->xx);
    free(c->yy);
    free(c->xy);
    *c = (sftn_cka){0};
}

/* s[i][j] += sum over SFTN_CKA_ROWS rows of a[.][i] b[.][j]; triangle: for j >= i only. */
static void add_products(double *s, const double *a, int p, const double *b, int q, bool triangle)
{
    for (int i = 0; i < p; i++) {
        double *to = s + (int64_t)i * q;
        double f[SFTN_CKA_ROWS];

        for (int k = 0; k < SFTN_CKA_ROWS; k++)
            f[k] = a[(int64_t)k * p + i];
        for (int j = triangle ? i : 0; j < q; j++) {
            double sum = 0.0;

            for (int k = 0; k < SFTN_CKA_ROWS; k++)
                sum += f[k] * b[(int64_t)k * q + j];
            to[j] += sum;
        }
    }
}

/* n rows, at most SFTN_CKA_ROWS, of from [n,columns] to shifted rows, the others zero. */
static void shift_rows(double *to, double *sum, double *shift, const double *from, int64_t n,
                       int columns, bool first)
{
    if (first)
        memcpy(shift, from, (size_t)columns * sizeof *shift);
    memset(to, 0, (size_t)columns * SFTN_CKA_ROWS * sizeof *to);
    for (int64_t r = 0; r < n; r++) {
        for (int i = 0; i < columns; i++) {
            to[r * columns + i] = from[r * columns + i] - shift[i];
            sum[i] += to[r * columns + i];
        }
    }
}

void sftn_cka_add(sftn_cka *c, const double *x, const double *y, int64_t n)
{
    for (int64_t r = 0; r < n; r += SFTN_CKA_ROWS) {
        const int64_t rows = n - r < SFTN_CKA_ROWS ? n - r : SFTN_CKA_ROWS;

        shift_rows(c->x, c->sum, c->shift, x + r * c->p, rows, c->p, c->n == 0);
        shift_rows(c->y, c->sum + c->p, c->shift + c->p, y + r * c->q, rows, c->q, c->n == 0);
        add_products(c->xx, c->x, c->p, c->x, c->p, true);
        add_products(c->yy, c->y, c->q, c->y, c->q, true);
        add_products(c->xy, c->x, c->p, c->y, c->q, false);
        c->n += rows;
    }
}

/* Squared Frobenius norm of the centred product; of a symmetric one from its triangle. */
static double centred_norm(const double *s, const double *a, int rows, const double *b, int columns,
                           int64_t n, bool triangle)
{
    double sum = 0.0;

    for (int i = 0; i < rows; i++) {
        for (int j = triangle ? i : 0; j < columns; j++) {
            const double v = s[(int64_t)i * columns + j] - a[i] * b[j] / (double)n;

            sum += triangle && j > i ? 2.0 * v * v : v * v;
        }
    }
    return sum;
}

double sftn_cka_value(const sftn_cka *c)
{
    const double *a = c->sum, *b = c->sum + c->p;
    double xx, yy, xy;

    if (c->n == 0)
        return 0.0;
    xx = centred_norm(c->xx, a, c->p, a, c->p, c->n, true);
    yy = centred_norm(c->yy, b, c->q, b, c->q, c->n, true);
    xy = centred_norm(c->xy, a, c->p, b, c->q, c->n, false);
    return xx > 0.0 && yy > 0.0 ? xy / sqrt(xx * yy) : 0.0;
}
