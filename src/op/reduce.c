/*
 * reduce: sum and maximum over a set of axes; mean and sum_to are composed of sum.
 */
#include "op/reduce.h"

#include <math.h>
#include <stdio.h>

static bool infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                  size_t size)
{
    const int axes = ((const sftn_reduce_attr *)attr)->axes;

    (void)nin;
    if (axes < 1 || axes > SFTN_ALL_AXES) {
        snprintf(why, size, "axes are %d, expected a set of SFTN_AXIS bits", axes);
        return false;
    }
    out[0] = (sftn_type){in[0].shape, true};
    for (int d = 0; d < SFTN_DIMS; d++)
        if (axes >> d & 1)
            out[0].shape.dim[d] = 1;
    return true;
}

static double add(double a, double b)
{
    return a + b;
}

/* NaN wins, so that it is not hidden. */
static double larger(double a, double b)
{
    return b > a || isnan(b) ? b : a;
}

static void reduce(const sftn_ref_args *k, double start, double (*join)(double a, double b))
{
    const sftn_shape *from = &k->in_type[0].shape, *to = &k->out_type[0].shape;
    const int64_t count = sftn_shape_count(to);
    const double *x = k->in[0];
    double *y = k->out[0];
    int64_t stride[SFTN_DIMS], step = 1;

    for (int d = SFTN_DIMS - 1; d >= 0; d--) {
        stride[d] = to->dim[d] == 1 ? 0 : step;
        step *= to->dim[d];
    }
    for (int64_t i = 0; i < count; i++)
        y[i] = start;
    for (int64_t n = 0; n < from->dim[0]; n++)
        for (int64_t c = 0; c < from->dim[1]; c++)
            for (int64_t h = 0; h < from->dim[2]; h++) {
                double *row = y + n * stride[0] + c * stride[1] + h * stride[2];

                for (int64_t w = 0; w < from->dim[3]; w++)
                    row[w * stride[3]] = join(row[w * stride[3]], *x++);
            }
}

static void sum_ref(const sftn_ref_args *k)
{
    reduce(k, 0.0, add);
}

static void max_ref(const sftn_ref_args *k)
{
    reduce(k, -INFINITY, larger);
}

static void sum_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    gin[0] = sftn_expand(g, gout[0], sftn_value_shape(g, n->in[0]));
}

/* Every element equal to the maximum gets an equal part. */
static void max_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    const int axes = ((const sftn_reduce_attr *)n->attr)->axes;
    const sftn_value at_max = sftn_equal(g, n->in[0], n->out[0]);
    const sftn_value part = sftn_div(g, gout[0], sftn_sum(g, at_max, axes));

    gin[0] = sftn_mul(g, at_max, part);
}

static void print(const void *attr, char *buf, size_t size)
{
    const int axes = ((const sftn_reduce_attr *)attr)->axes;

    snprintf(buf, size, "over %s%s%s%s", axes & SFTN_AXIS_N ? "N" : "",
             axes & SFTN_AXIS_C ? "C" : "", axes & SFTN_AXIS_H ? "H" : "",
             axes & SFTN_AXIS_W ? "W" : "");
}

const sftn_op sftn_op_sum = {
    .name      = "sum",
    .nin       = 1,
    .nout      = 1,
    SFTN_ATTR(sftn_reduce_attr, axes),
    .infer     = infer,
    .grad      = sum_grad,
    .ref       = sum_ref,
    .print     = print,
};

const sftn_op sftn_op_max = {
    .name      = "max",
    .nin       = 1,
    .nout      = 1,
    SFTN_ATTR(sftn_reduce_attr, axes),
    .infer     = infer,
    .grad      = max_grad,
    .ref       = max_ref,
    .print     = print,
};

sftn_value sftn_sum(sftn_graph *g, sftn_value x, int axes)
{
    return sftn_append1(g, &sftn_op_sum, &(sftn_reduce_attr){axes}, x, SFTN_NONE);
}

sftn_value sftn_mean(sftn_graph *g, sftn_value x, int axes)
{
    const sftn_shape shape = sftn_value_shape(g, x);
    int64_t count = 1;

    for (int d = 0; d < SFTN_DIMS; d++)
        if (axes >> d & 1)
            count *= shape.dim[d];
    return sftn_scale(g, sftn_sum(g, x, axes), 1.0f / (float)count);
}

sftn_value sftn_max(sftn_graph *g, sftn_value x, int axes)
{
    return sftn_append1(g, &sftn_op_max, &(sftn_reduce_attr){axes}, x, SFTN_NONE);
}

sftn_value sftn_sum_to(sftn_graph *g, sftn_value x, sftn_shape shape)
{
    const sftn_shape from = sftn_value_shape(g, x);
    int axes = 0;

    if (sftn_is_none(x))
        return x;
    for (int d = 0; d < SFTN_DIMS; d++) {
        if (shape.dim[d] == from.dim[d])
            continue;
        if (shape.dim[d] != 1) {
            char found[96], expected[96];

            sftn_shape_format(&from, found, sizeof found);
            sftn_shape_format(&shape, expected, sizeof expected);
            return sftn_graph_fail(g, "sum_to: shape %s does not sum to %s", found, expected);
        }
        axes |= 1 << d;
    }
    return axes ? sftn_sum(g, x, axes) : x;
}
