/*
 * move: ops that copy elements: reshape, permute, concat, slice, pad; detach.
 */
#include "op/move.h"

#include <stdio.h>
#include <string.h>

static int64_t product(const sftn_shape *s, int first, int last)
{
    int64_t n = 1;

    for (int d = first; d < last; d++)
        n *= s->dim[d];
    return n;
}

static bool bad_axis(int axis, char *why, size_t size)
{
    if (axis >= 0 && axis < SFTN_DIMS)
        return false;
    snprintf(why, size, "axis is %d, expected 0 to 3", axis);
    return true;
}

/* ---- reshape, detach: views ---- */

static bool reshape_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                          char *why, size_t size)
{
    const sftn_shape *to = &((const sftn_reshape_attr *)attr)->shape;

    (void)nin;
    out[0] = (sftn_type){*to, in[0].wide};
    if (sftn_shape_count(to) != sftn_shape_count(&in[0].shape)) {
        char found[96], expected[96];

        sftn_shape_format(&in[0].shape, found, sizeof found);
        sftn_shape_format(to, expected, sizeof expected);
        snprintf(why, size, "shape %s has %lld elements, %s has %lld", found,
                 (long long)sftn_shape_count(&in[0].shape), expected,
                 (long long)sftn_shape_count(to));
        return false;
    }
    return true;
}

static void copy_ref(const sftn_ref_args *k)
{
    const int64_t count = sftn_shape_count(&k->in_type[0].shape);

    memcpy(k->out[0], k->in[0], (size_t)count * sizeof(double));
}

static void reshape_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout,
                         sftn_value *gin)
{
    gin[0] = sftn_reshape(g, gout[0], sftn_value_shape(g, n->in[0]));
}

const sftn_op sftn_op_reshape = {
    .name      = "reshape",
    .nin       = 1,
    .nout      = 1,
    SFTN_ATTR(sftn_reshape_attr, shape),
    .infer     = reshape_infer,
    .grad      = reshape_grad,
    .ref       = copy_ref,
    .view      = true,
};

const sftn_op sftn_op_detach = {
    .name        = "detach",
    .nin         = 1,
    .nout        = 1,
    .infer       = sftn_infer_same,
    .no_gradient = true,
    .ref         = copy_ref,
    .view        = true,
};

/* ---- permute ---- */

static bool permute_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                          char *why, size_t size)
{
    const int *order = ((const sftn_permute_attr *)attr)->order;
    int seen = 0;

    (void)nin;
    for (int d = 0; d < SFTN_DIMS; d++)
        seen |= order[d] >= 0 && order[d] < SFTN_DIMS ? 1 << order[d] : 0;
    if (seen != SFTN_ALL_AXES) {
        snprintf(why, size, "order is %d %d %d %d, expected a permutation of 0 1 2 3", order[0],
                 order[1], order[2], order[3]);
        return false;
    }
    out[0].wide = in[0].wide;
    for (int d = 0; d < SFTN_DIMS; d++)
        out[0].shape.dim[d] = in[0].shape.dim[order[d]];
    return true;
}

static void permute_ref(const sftn_ref_args *k)
{
    const int *order = ((const sftn_permute_attr *)k->attr)->order;
    const int64_t *to = k->out_type[0].shape.dim;
    double *y = k->out[0];
    int64_t stride[SFTN_DIMS];

    for (int d = 0; d < SFTN_DIMS; d++)
        stride[d] = product(&k->in_type[0].shape, order[d] + 1, SFTN_DIMS);
    for (int64_t a = 0; a < to[0]; a++)
        for (int64_t b = 0; b < to[1]; b++)
            for (int64_t c = 0; c < to[2]; c++)
                for (int64_t d = 0; d < to[3]; d++)
                    *y++ = k->in[0][a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3]];
}

static void permute_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout,
                         sftn_value *gin)
{
    const int *order = ((const sftn_permute_attr *)n->attr)->order;
    int inverse[SFTN_DIMS];

    for (int d = 0; d < SFTN_DIMS; d++)
        inverse[order[d]] = d;
    gin[0] = sftn_permute(g, gout[0], inverse);
}

static void permute_print(const void *attr, char *buf, size_t size)
{
    const int *order = ((const sftn_permute_attr *)attr)->order;

    snprintf(buf, size, "%d %d %d %d", order[0], order[1], order[2], order[3]);
}

const sftn_op sftn_op_permute = {
    .name      = "permute",
    .nin       = 1,
    .nout      = 1,
    SFTN_ATTR(sftn_permute_attr, order),
    .infer     = permute_infer,
    .grad      = permute_grad,
    .ref       = permute_ref,
    .print     = permute_print,
};

/* ---- concat ---- */

static bool concat_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                         char *why, size_t size)
{
    const int axis = ((const sftn_concat_attr *)attr)->axis;

    if (bad_axis(axis, why, size))
        return false;
    out[0] = in[0];
    for (int i = 1; i < nin; i++) {
        out[0].wide = out[0].wide || in[i].wide;
        for (int d = 0; d < SFTN_DIMS; d++) {
            if (d != axis && in[i].shape.dim[d] != in[0].shape.dim[d]) {
                char first[96], other[96];

                sftn_shape_format(&in[0].shape, first, sizeof first);
                sftn_shape_format(&in[i].shape, other, sizeof other);
                snprintf(why, size, "shapes %s and %s differ in more than axis %d", first, other,
                         axis);
                return false;
            }
        }
        out[0].shape.dim[axis] += in[i].shape.dim[axis];
    }
    return true;
}

static void concat_ref(const sftn_ref_args *k)
{
    const int axis = ((const sftn_concat_attr *)k->attr)->axis;
    const int64_t outer = product(&k->out_type[0].shape, 0, axis);
    double *y = k->out[0];

    for (int64_t o = 0; o < outer; o++)
        for (int i = 0; i < k->nin; i++) {
            const int64_t run = product(&k->in_type[i].shape, axis, SFTN_DIMS);

            memcpy(y, k->in[i] + o * run, (size_t)run * sizeof *y);
            y += run;
        }
}

static void concat_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout,
                        sftn_value *gin)
{
    const int axis = ((const sftn_concat_attr *)n->attr)->axis;
    int64_t start = 0;

    for (int i = 0; i < n->nin; i++) {
        const int64_t count = sftn_value_shape(g, n->in[i]).dim[axis];

        gin[i] = sftn_slice(g, gout[0], axis, start, count);
        start += count;
    }
}

static void concat_print(const void *attr, char *buf, size_t size)
{
    snprintf(buf, size, "axis %d", ((const sftn_concat_attr *)attr)->axis);
}

const sftn_op sftn_op_concat = {
    .name      = "concat",
    .nin       = -1,
    .nout      = 1,
    SFTN_ATTR(sftn_concat_attr, axis),
    .infer     = concat_infer,
    .grad      = concat_grad,
    .ref       = concat_ref,
    .print     = concat_print,
};

/* ---- slice, pad: each the gradient of the other ---- */

/*
 * Copy `count` entries of an axis between arrays that hold `from` and `to` entries of it, from
 * entry `src` to entry `dst`.
 */
static void copy_range(const double *x, double *y, int64_t outer, int64_t inner, int64_t from,
                       int64_t to, int64_t src, int64_t dst, int64_t count)
{
    for (int64_t o = 0; o < outer; o++)
        memcpy(y + (o * to + dst) * inner, x + (o * from + src) * inner,
               (size_t)(count * inner) * sizeof *y);
}

static bool slice_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                        size_t size)
{
    const sftn_slice_attr *a = attr;
    int64_t n;

    (void)nin;
    if (bad_axis(a->axis, why, size))
        return false;
    n = in[0].shape.dim[a->axis];
    if (a->start < 0 || a->count < 1 || a->start > n || a->count > n - a->start) {
        char found[96];

        sftn_shape_format(&in[0].shape, found, sizeof found);
        snprintf(why, size, "%lld entries from %lld on of axis %d asked for, input has shape %s",
                 (long long)a->count, (long long)a->start, a->axis, found);
        return false;
    }
    out[0] = in[0];
    out[0].shape.dim[a->axis] = a->count;
    return true;
}

static void slice_ref(const sftn_ref_args *k)
{
    const sftn_slice_attr *a = k->attr;
    const sftn_shape *from = &k->in_type[0].shape;

    copy_range(k->in[0], k->out[0], product(from, 0, a->axis),
               product(from, a->axis + 1, SFTN_DIMS), from->dim[a->axis], a->count, a->start, 0,
               a->count);
}

static void slice_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    const sftn_slice_attr *a = n->attr;
    const int64_t total = sftn_value_shape(g, n->in[0]).dim[a->axis];

    gin[0] = sftn_pad(g, gout[0], a->axis, a->start, total - a->start - a->count);
}

static void slice_print(const void *attr, char *buf, size_t size)
{
    const sftn_slice_attr *a = attr;

    snprintf(buf, size, "axis %d from %lld", a->axis, (long long)a->start);
}

const sftn_op sftn_op_slice = {
    .name      = "slice",
    .nin       = 1,
    .nout      = 1,
    SFTN_ATTR(sftn_slice_attr, axis, unused, start, count),
    .infer     = slice_infer,
    .grad      = slice_grad,
    .ref       = slice_ref,
    .print     = slice_print,
};

static bool pad_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                      size_t size)
{
    const sftn_pad_attr *a = attr;
    const int64_t most = (int64_t)1 << 40;

    (void)nin;
    if (bad_axis(a->axis, why, size))
        return false;
    if (a->before < 0 || a->after < 0 || a->before > most || a->after > most) {
        snprintf(why, size, "%lld entries before and %lld after asked for, expected 0 to 2^40",
                 (long long)a->before, (long long)a->after);
        return false;
    }
    out[0] = in[0];
    out[0].shape.dim[a->axis] += a->before + a->after;
    return true;
}

static void pad_ref(const sftn_ref_args *k)
{
    const sftn_pad_attr *a = k->attr;
    const sftn_shape *from = &k->in_type[0].shape, *to = &k->out_type[0].shape;
    const int64_t count = from->dim[a->axis];

    memset(k->out[0], 0, (size_t)sftn_shape_count(to) * sizeof(double));
    copy_range(k->in[0], k->out[0], product(from, 0, a->axis),
               product(from, a->axis + 1, SFTN_DIMS), count, to->dim[a->axis], 0, a->before,
               count);
}

static void pad_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    const sftn_pad_attr *a = n->attr;

    gin[0] = sftn_slice(g, gout[0], a->axis, a->before,
                        sftn_value_shape(g, n->in[0]).dim[a->axis]);
}

static void pad_print(const void *attr, char *buf, size_t size)
{
    const sftn_pad_attr *a = attr;

    snprintf(buf, size, "axis %d by %lld %lld", a->axis, (long long)a->before,
             (long long)a->after);
}

const sftn_op sftn_op_pad = {
    .name      = "pad",
    .nin       = 1,
    .nout      = 1,
    SFTN_ATTR(sftn_pad_attr, axis, unused, before, after),
    .infer     = pad_infer,
    .grad      = pad_grad,
    .ref       = pad_ref,
    .print     = pad_print,
};

/* ---- builders: what would change nothing appends no node ---- */

sftn_value sftn_reshape(sftn_graph *g, sftn_value x, sftn_shape shape)
{
    const sftn_shape from = sftn_value_shape(g, x);

    if (sftn_is_none(x) || sftn_shape_equal(&from, &shape))
        return x;
    return sftn_append1(g, &sftn_op_reshape, &(sftn_reshape_attr){shape}, x, SFTN_NONE);
}

sftn_value sftn_flatten(sftn_graph *g, sftn_value x)
{
    const sftn_shape s = sftn_value_shape(g, x);

    return sftn_reshape(g, x, SFTN_SHAPE(s.dim[0], product(&s, 1, SFTN_DIMS), 1, 1));
}

sftn_value sftn_detach(sftn_graph *g, sftn_value x)
{
    const sftn_node *n = sftn_value_node(g, x);
    const sftn_leaf *leaf = sftn_value_leaf(g, x);

    if ((n && n->op->no_gradient) || (leaf && leaf->kind == SFTN_LEAF_CONSTANT))
        return x;
    return sftn_append1(g, &sftn_op_detach, NULL, x, SFTN_NONE);
}

sftn_value sftn_permute(sftn_graph *g, sftn_value x, const int order[SFTN_DIMS])
{
    sftn_permute_attr attr;

    memcpy(attr.order, order, sizeof attr.order);
    if (memcmp(order, (const int[]){0, 1, 2, 3}, sizeof attr.order) == 0)
        return x;
    return sftn_append1(g, &sftn_op_permute, &attr, x, SFTN_NONE);
}

sftn_value sftn_concat(sftn_graph *g, const sftn_value *x, int n, int axis)
{
    if (n < 1 || n > 8)
        return sftn_graph_fail(g, "concat: %d operands given, expected 1 to 8", n);
    return n == 1 ? x[0] : sftn_append(g, &sftn_op_concat, &(sftn_concat_attr){axis}, x, n);
}

sftn_value sftn_slice(sftn_graph *g, sftn_value x, int axis, int64_t start, int64_t count)
{
    const sftn_slice_attr attr = {.axis = axis, .start = start, .count = count};

    if (start == 0 && axis >= 0 && axis < SFTN_DIMS && sftn_value_shape(g, x).dim[axis] == count)
        return x;
    return sftn_append1(g, &sftn_op_slice, &attr, x, SFTN_NONE);
}

sftn_value sftn_pad(sftn_graph *g, sftn_value x, int axis, int64_t before, int64_t after)
{
    const sftn_pad_attr attr = {.axis = axis, .before = before, .after = after};

    if (before == 0 && after == 0)
        return x;
    return sftn_append1(g, &sftn_op_pad, &attr, x, SFTN_NONE);
}
