/*
 * conv2d: cross-correlation as in PyTorch, and its two gradients.
 *
 *     y[n,f,i,j] = sum over c, u, v of
 *         w[f,c,u,v] x[n, c0 + c, i stride - pad + u, j stride - pad + v]
 *
 * c runs over the C / groups channels of f's group, which begins at c0; pixels outside are 0.  The
 * sum of gy y is linear in each of x, w and gy: the gradients by x (conv2d_data) and by w
 * (conv2d_weight) are therefore differentiated by the same three ops.
 */
#include "op/conv2d.h"

#include <stdio.h>
#include <string.h>

/* ---- shapes ---- */

/*
 * True where x, w and y fit.  *y_expected is what the convolution of x and w has as its result,
 * whether y fits or not.
 */
static bool fits(const sftn_conv2d_attr *a, const sftn_shape *x, const sftn_shape *w,
                 const sftn_shape *y, char *why, size_t size)
{
    char tx[96], tw[96], ty[96], expected[96];
    sftn_shape e;

    sftn_shape_format(x, tx, sizeof tx);
    sftn_shape_format(w, tw, sizeof tw);
    sftn_shape_format(y, ty, sizeof ty);
    if (x->dim[1] != w->dim[1] * a->groups) {
        snprintf(why, size, "input has %lld channels, weight expects %lld (input %s, weight %s, "
                 "groups %d)", (long long)x->dim[1], (long long)(w->dim[1] * a->groups), tx, tw,
                 a->groups);
        return false;
    }
    if (w->dim[0] % a->groups != 0) {
        snprintf(why, size, "weight %s has %lld filters, which %d groups do not divide", tw,
                 (long long)w->dim[0], a->groups);
        return false;
    }
    if (x->dim[2] + 2 * a->pad < w->dim[2] || x->dim[3] + 2 * a->pad < w->dim[3]) {
        snprintf(why, size, "input %s with pad %d is smaller than the kernel of weight %s", tx,
                 a->pad, tw);
        return false;
    }
    e = SFTN_SHAPE(x->dim[0], w->dim[0], (x->dim[2] + 2 * a->pad - w->dim[2]) / a->stride + 1,
                   (x->dim[3] + 2 * a->pad - w->dim[3]) / a->stride + 1);
    if (!sftn_shape_equal(&e, y)) {
        sftn_shape_format(&e, expected, sizeof expected);
        snprintf(why, size, "output gradient has shape %s, expected %s (input %s, weight %s, "
                 "stride %d, pad %d)", ty, expected, tx, tw, a->stride, a->pad);
        return false;
    }
    return true;
}

static bool infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                  size_t size)
{
    const sftn_conv2d_attr *a = attr;
    const sftn_shape *x = &in[0].shape, *w = &in[1].shape;
    sftn_shape y;

    (void)nin;
    y = SFTN_SHAPE(x->dim[0], w->dim[0], (x->dim[2] + 2 * a->pad - w->dim[2]) / a->stride + 1,
                   (x->dim[3] + 2 * a->pad - w->dim[3]) / a->stride + 1);
    out[0] = (sftn_type){y, false};
    return fits(a, x, w, &y, why, size);
}

static bool data_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                       size_t size)
{
    const sftn_conv2d_attr *a = attr;

    (void)nin;
    out[0] = (sftn_type){a->shape, false};
    return fits(a, &a->shape, &in[1].shape, &in[0].shape, why, size);
}

static bool weight_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                         char *why, size_t size)
{
    const sftn_conv2d_attr *a = attr;

    (void)nin;
    out[0] = (sftn_type){a->shape, true};
    return fits(a, &in[0].shape, &a->shape, &in[1].shape, why, size);
}

/* ---- reference ---- */

typedef enum product { MAKE_Y, MAKE_X, MAKE_W } product;

/* One row of windows against one row of x: what each product adds to its result. */
static void row(product make, const sftn_conv2d_attr *a, double *x, int64_t xw, double *w,
                int64_t kw, double *y, int64_t yw)
{
    for (int64_t v = 0; v < kw; v++) {
        double sum = 0.0;

        for (int64_t j = 0; j < yw; j++) {
            const int64_t at = j * a->stride - a->pad + v;

            if (at < 0 || at >= xw)
                continue;
            if (make == MAKE_Y)
                y[j] += w[v] * x[at];
            else if (make == MAKE_X)
                x[at] += w[v] * y[j];
            else
                sum += x[at] * y[j];
        }
        if (make == MAKE_W)
            w[v] += sum;
    }
}

/* One image of x and one of y through the kernel between channel c of the group and filter f. */
static void plane(product make, const sftn_conv2d_attr *a, double *x, const sftn_shape *xs,
                  double *w, const sftn_shape *ws, double *y, const sftn_shape *ys)
{
    for (int64_t i = 0; i < ys->dim[2]; i++)
        for (int64_t u = 0; u < ws->dim[2]; u++) {
            const int64_t at = i * a->stride - a->pad + u;

            if (at >= 0 && at < xs->dim[2])
                row(make, a, x + at * xs->dim[3], xs->dim[3], w + u * ws->dim[3], ws->dim[3],
                    y + i * ys->dim[3], ys->dim[3]);
        }
}

/* The result named by `make`, zero before, receives the sum; the other two are only read. */
static void convolve(product make, const sftn_conv2d_attr *a, double *x, const sftn_shape *xs,
                     double *w, const sftn_shape *ws, double *y, const sftn_shape *ys)
{
    const int64_t per_group = ws->dim[0] / a->groups;
    const int64_t x_plane = xs->dim[2] * xs->dim[3], y_plane = ys->dim[2] * ys->dim[3];
    const int64_t kernel = ws->dim[2] * ws->dim[3];

    for (int64_t n = 0; n < xs->dim[0]; n++)
        for (int64_t f = 0; f < ws->dim[0]; f++)
            for (int64_t c = 0; c < ws->dim[1]; c++) {
                const int64_t channel = f / per_group * ws->dim[1] + c;

                plane(make, a, x + (n * xs->dim[1] + channel) * x_plane, xs,
                      w + (f * ws->dim[1] + c) * kernel, ws,
                      y + (n * ys->dim[1] + f) * y_plane, ys);
            }
}

static void ref(const sftn_ref_args *k, product make, const sftn_shape *xs, double *x,
                const sftn_shape *ws, double *w, const sftn_shape *ys, double *y)
{
    memset(k->out[0], 0, (size_t)sftn_shape_count(&k->out_type[0].shape) * sizeof(double));
    convolve(make, k->attr, x, xs, w, ws, y, ys);
}

static void y_ref(const sftn_ref_args *k)
{
    ref(k, MAKE_Y, &k->in_type[0].shape, (double *)k->in[0], &k->in_type[1].shape,
        (double *)k->in[1], &k->out_type[0].shape, k->out[0]);
}

static void data_ref(const sftn_ref_args *k)
{
    ref(k, MAKE_X, &k->out_type[0].shape, k->out[0], &k->in_type[1].shape, (double *)k->in[1],
        &k->in_type[0].shape, (double *)k->in[0]);
}

static void weight_ref(const sftn_ref_args *k)
{
    ref(k, MAKE_W, &k->in_type[0].shape, (double *)k->in[0], &k->out_type[0].shape, k->out[0],
        &k->in_type[1].shape, (double *)k->in[1]);
}

/* ---- gradients ---- */

static sftn_conv_spec spec_of(const sftn_node *n)
{
    const sftn_conv2d_attr *a = n->attr;

    return (sftn_conv_spec){.stride = a->stride, .pad = a->pad, .groups = a->groups};
}

static void grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    const sftn_value x = n->in[0], w = n->in[1];

    gin[0] = sftn_conv2d_data(g, gout[0], w, sftn_value_shape(g, x), spec_of(n));
    gin[1] = sftn_conv2d_weight(g, x, gout[0], sftn_value_shape(g, w), spec_of(n));
}

static void data_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    const sftn_value gy = n->in[0], w = n->in[1];

    gin[0] = sftn_conv2d(g, gout[0], w, spec_of(n));
    gin[1] = sftn_conv2d_weight(g, gout[0], gy, sftn_value_shape(g, w), spec_of(n));
}

static void weight_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout,
                        sftn_value *gin)
{
    const sftn_value x = n->in[0], gy = n->in[1];

    gin[0] = sftn_conv2d_data(g, gy, gout[0], sftn_value_shape(g, x), spec_of(n));
    gin[1] = sftn_conv2d(g, x, gout[0], spec_of(n));
}

static void print(const void *attr, char *buf, size_t size)
{
    const sftn_conv2d_attr *a = attr;

    snprintf(buf, size, "stride %d pad %d groups %d", a->stride, a->pad, a->groups);
}

const sftn_op sftn_op_conv2d = {
    .name      = "conv2d",
    .nin       = 2,
    .nout      = 1,
    SFTN_ATTR(sftn_conv2d_attr, stride, pad, groups, unused, shape),
    .infer     = infer,
    .grad      = grad,
    .ref       = y_ref,
    .print     = print,
};

const sftn_op sftn_op_conv2d_data = {
    .name      = "conv2d_data",
    .nin       = 2,
    .nout      = 1,
    SFTN_ATTR(sftn_conv2d_attr, stride, pad, groups, unused, shape),
    .infer     = data_infer,
    .grad      = data_grad,
    .ref       = data_ref,
    .print     = print,
};

const sftn_op sftn_op_conv2d_weight = {
    .name      = "conv2d_weight",
    .nin       = 2,
    .nout      = 1,
    SFTN_ATTR(sftn_conv2d_attr, stride, pad, groups, unused, shape),
    .infer     = weight_infer,
    .grad      = weight_grad,
    .ref       = weight_ref,
    .print     = print,
};

/* ---- builders ---- */

static sftn_value build(sftn_graph *g, const sftn_op *op, sftn_value a, sftn_value b,
                        sftn_shape shape, sftn_conv_spec spec)
{
    const sftn_conv2d_attr attr = {
        .stride = spec.stride ? spec.stride : 1,
        .pad    = spec.pad,
        .groups = spec.groups ? spec.groups : 1,
        .shape  = shape,
    };

    if (attr.stride < 1 || attr.pad < 0 || attr.groups < 1 || attr.pad > 1 << 20)
        return sftn_graph_fail(g, "%s: stride %d, pad %d, groups %d; expected stride and groups "
                               "of at least 1 and pad of at least 0", op->name, attr.stride,
                               attr.pad, attr.groups);
    return sftn_append1(g, op, &attr, a, b);
}

sftn_value sftn_conv2d(sftn_graph *g, sftn_value x, sftn_value weight, sftn_conv_spec spec)
{
    return build(g, &sftn_op_conv2d, x, weight, (sftn_shape){{0}}, spec);
}

sftn_value sftn_conv2d_data(sftn_graph *g, sftn_value gy, sftn_value weight, sftn_shape x_shape,
                            sftn_conv_spec spec)
{
    return build(g, &sftn_op_conv2d_data, gy, weight, x_shape, spec);
}

sftn_value sftn_conv2d_weight(sftn_graph *g, sftn_value x, sftn_value gy, sftn_shape w_shape,
                              sftn_conv_spec spec)
{
    return build(g, &sftn_op_conv2d_weight, x, gy, w_shape, spec);
}

sftn_value sftn_conv_transpose2d(sftn_graph *g, sftn_value x, sftn_value weight,
                                 sftn_conv_spec spec, int output_pad)
{
    const sftn_shape s = sftn_value_shape(g, x), w = sftn_value_shape(g, weight);
    const int64_t stride = spec.stride ? spec.stride : 1;
    const int64_t groups = spec.groups ? spec.groups : 1;
    const int64_t grow = output_pad - 2 * (int64_t)spec.pad;
    const sftn_shape shape = SFTN_SHAPE(s.dim[0], w.dim[1] * groups,
                                        (s.dim[2] - 1) * stride + grow + w.dim[2],
                                        (s.dim[3] - 1) * stride + grow + w.dim[3]);

    if (sftn_is_none(x) || sftn_is_none(weight))
        return SFTN_NONE;
    if (output_pad < 0 || (output_pad > 0 && output_pad >= stride))
        return sftn_graph_fail(g, "conv_transpose2d: output_pad is %d, expected 0 to stride - 1 "
                               "(stride %lld)", output_pad, (long long)stride);
    if (s.dim[1] != w.dim[0])
        return sftn_graph_fail(g, "conv_transpose2d: input has %lld channels, weight expects "
                               "%lld", (long long)s.dim[1], (long long)w.dim[0]);
    return sftn_conv2d_data(g, x, weight, shape, spec);
}
