/*
 * rows: products with rows of a table, and the table with some rows replaced.
 *
 *     rows_dot      y[n,k] = <table[rows[n,k]], x[n]>
 *     rows_mix      y[n] = sum over k of weight[n,k] table[rows[n,k]]
 *     rows_replace  y = table, but y[rows[n]] = x[n]; of equal numbers the last counts
 *
 * The first two are linear in x and in weight, and each is the other's gradient.  A table and row
 * numbers receive no gradient.
 */
#include "op/rows.h"

#include <stdio.h>
#include <string.h>

/* ---- shapes ---- */

static bool is_matrix(const sftn_shape *s)
{
    return s->dim[2] == 1 && s->dim[3] == 1;
}

static bool misfit(const sftn_type *in, const char *expected, char *why, size_t size)
{
    char table[96], rows[96], x[96];

    sftn_shape_format(&in[0].shape, table, sizeof table);
    sftn_shape_format(&in[1].shape, rows, sizeof rows);
    sftn_shape_format(&in[2].shape, x, sizeof x);
    snprintf(why, size, "table %s, row numbers %s and operand %s, expected %s", table, rows, x,
             expected);
    return false;
}

static bool dot_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                      size_t size)
{
    const int64_t *table = in[0].shape.dim, *rows = in[1].shape.dim, *x = in[2].shape.dim;

    (void)attr, (void)nin;
    out[0] = (sftn_type){SFTN_SHAPE(rows[0], rows[1], 1, 1), true};
    if (is_matrix(&in[0].shape) && is_matrix(&in[1].shape) && is_matrix(&in[2].shape) &&
        x[0] == rows[0] && x[1] == table[1])
        return true;
    return misfit(in, "[R,D,1,1], [N,K,1,1] and [N,D,1,1]", why, size);
}

static bool mix_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                      size_t size)
{
    const int64_t *table = in[0].shape.dim, *rows = in[1].shape.dim;

    (void)attr, (void)nin;
    out[0] = (sftn_type){SFTN_SHAPE(rows[0], table[1], 1, 1), true};
    if (is_matrix(&in[0].shape) && is_matrix(&in[1].shape) &&
        sftn_shape_equal(&in[1].shape, &in[2].shape))
        return true;
    return misfit(in, "[R,D,1,1], [N,K,1,1] and [N,K,1,1]", why, size);
}

static bool replace_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                          char *why, size_t size)
{
    const int64_t *table = in[0].shape.dim, *rows = in[1].shape.dim, *x = in[2].shape.dim;

    (void)attr, (void)nin;
    out[0] = (sftn_type){in[0].shape, true};
    if (is_matrix(&in[0].shape) && is_matrix(&in[1].shape) && is_matrix(&in[2].shape) &&
        rows[1] == 1 && x[0] == rows[0] && x[1] == table[1])
        return true;
    return misfit(in, "[R,D,1,1], [N,1,1,1] and [N,D,1,1]", why, size);
}

/* ---- reference ---- */

/* The row of that number, NULL where there is none. */
static const double *row_of(const sftn_ref_args *k, double number)
{
    const int64_t *table = k->in_type[0].shape.dim;

    if (!(number >= 0.0 && number < (double)table[0]))
        return NULL;
    return k->in[0] + (int64_t)number * table[1];
}

static void dot_ref(const sftn_ref_args *k)
{
    const int64_t n = k->in_type[1].shape.dim[0], count = k->in_type[1].shape.dim[1];
    const int64_t width = k->in_type[0].shape.dim[1];

    for (int64_t i = 0; i < n * count; i++) {
        const double *row = row_of(k, k->in[1][i]), *x = k->in[2] + i / count * width;
        double sum = 0.0;

        for (int64_t d = 0; row != NULL && d < width; d++)
            sum += row[d] * x[d];
        k->out[0][i] = sum;
    }
}

static void mix_ref(const sftn_ref_args *k)
{
    const int64_t n = k->in_type[1].shape.dim[0], count = k->in_type[1].shape.dim[1];
    const int64_t width = k->in_type[0].shape.dim[1];

    memset(k->out[0], 0, (size_t)(n * width) * sizeof **k->out);
    for (int64_t i = 0; i < n * count; i++) {
        const double *row = row_of(k, k->in[1][i]);
        double *y = k->out[0] + i / count * width;

        for (int64_t d = 0; row != NULL && d < width; d++)
            y[d] += k->in[2][i] * row[d];
    }
}

static void replace_ref(const sftn_ref_args *k)
{
    const int64_t n = k->in_type[1].shape.dim[0], width = k->in_type[0].shape.dim[1];

    memcpy(k->out[0], k->in[0],
           (size_t)sftn_shape_count(&k->in_type[0].shape) * sizeof **k->out);
    for (int64_t i = 0; i < n; i++) {
        const double *row = row_of(k, k->in[1][i]);

        if (row != NULL)
            memcpy(k->out[0] + (row - k->in[0]), k->in[2] + i * width,
                   (size_t)width * sizeof **k->out);
    }
}

/* ---- gradients ---- */

static void dot_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    gin[0] = gin[1] = SFTN_NONE;
    gin[2] = sftn_rows_mix(g, n->in[0], n->in[1], gout[0]);
}

static void mix_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    gin[0] = gin[1] = SFTN_NONE;
    gin[2] = sftn_rows_dot(g, n->in[0], n->in[1], gout[0]);
}

const sftn_op sftn_op_rows_dot = {
    .name  = "rows_dot",
    .nin   = 3,
    .nout  = 1,
    .infer = dot_infer,
    .grad  = dot_grad,
    .ref   = dot_ref,
};

const sftn_op sftn_op_rows_mix = {
    .name  = "rows_mix",
    .nin   = 3,
    .nout  = 1,
    .infer = mix_infer,
    .grad  = mix_grad,
    .ref   = mix_ref,
};

const sftn_op sftn_op_rows_replace = {
    .name        = "rows_replace",
    .nin         = 3,
    .nout        = 1,
    .infer       = replace_infer,
    .no_gradient = true,
    .ref         = replace_ref,
};

static sftn_value append(sftn_graph *g, const sftn_op *op, sftn_value table, sftn_value rows,
                         sftn_value x)
{
    const sftn_value in[] = {table, rows, x};

    return sftn_append(g, op, NULL, in, 3);
}

sftn_value sftn_rows_dot(sftn_graph *g, sftn_value table, sftn_value rows, sftn_value x)
{
    return append(g, &sftn_op_rows_dot, table, rows, x);
}

sftn_value sftn_rows_mix(sftn_graph *g, sftn_value table, sftn_value rows, sftn_value weight)
{
    return append(g, &sftn_op_rows_mix, table, rows, weight);
}

sftn_value sftn_rows_replace(sftn_graph *g, sftn_value table, sftn_value rows, sftn_value x)
{
    return append(g, &sftn_op_rows_replace, table, rows, x);
}
