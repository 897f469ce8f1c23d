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

sftn_status sftn_cka_open(sftn_cka *c, int p, int q, sftn_error *err)
{
    const size_t both = (size_t)p + (size_t)q;

    *c = (sftn_cka){.p = p, .q = q};
    c->shift = sftn_calloc(both, sizeof *c->shift);
    c->sum = sftn_calloc(both, sizeof *c->sum);
    c->row = sftn_calloc(both, sizeof *c->row);
    c->xx = sftn_calloc((size_t)p * (size_t)p, sizeof *c->xx);
    c->yy = sftn_calloc((size_t)q * (size_t)q, sizeof *c->yy);
    c->xy = sftn_calloc((size_t)p * (size_t)q, sizeof *c->xy);
    if (c->shift && c->sum && c->row && c->xx && c->yy && c->xy)
        return SFTN_OK;
    sftn_cka_close(c);
    return sftn_fail(err, SFTN_ERR_MEMORY, "similarity of %d and %d features: out of memory", p, q);
}

void sftn_cka_close(sftn_cka *c)
{
    free(c->shift);
    free(c->sum);
    free(c->row);
    free(c->xx);
    free(c->yy);
    free(c->xy);
    *c = (sftn_cka){0};
}

/* s[i][j] += a[i] b[j] */
static void add_outer(double *s, const double *a, int rows, const double *b, int columns)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            s[(int64_t)i * columns + j] += a[i] * b[j];
}

void sftn_cka_add(sftn_cka *c, const double *x, const double *y, int64_t n)
{
    for (int64_t r = 0; r < n; r++) {
        for (int i = 0; i < c->p + c->q; i++) {
            const double v = i < c->p ? x[r * c->p + i] : y[r * c->q + i - c->p];

            if (c->n == 0)
                c->shift[i] = v;
            c->row[i] = v - c->shift[i];
            c->sum[i] += c->row[i];
        }
        add_outer(c->xx, c->row, c->p, c->row, c->p);
        add_outer(c->yy, c->row + c->p, c->q, c->row + c->p, c->q);
        add_outer(c->xy, c->row, c->p, c->row + c->p, c->q);
        c->n++;
    }
}

/* Squared Frobenius norm of the centred product. */
static double centred_norm(const double *s, const double *a, int rows, const double *b, int columns,
                           int64_t n)
{
    double sum = 0.0;

    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) {
            const double v = s[(int64_t)i * columns + j] - a[i] * b[j] / (double)n;

            sum += v * v;
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
    xx = centred_norm(c->xx, a, c->p, a, c->p, c->n);
    yy = centred_norm(c->yy, b, c->q, b, c->q, c->n);
    xy = centred_norm(c->xy, a, c->p, b, c->q, c->n);
    return xx > 0.0 && yy > 0.0 ? xy / sqrt(xx * yy) : 0.0;
}
