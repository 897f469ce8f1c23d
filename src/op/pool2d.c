/*
 * pool2d: average, maximum and adaptive average pooling with square windows, as in PyTorch.
 *
 * Window i of an axis covers pixels i stride - pad to i stride - pad + size - 1.  An average
 * divides by the window's pixels inside the padded image, or with exclude_pad by those inside the
 * image.
 * Of several largest elements the first in row order receives the gradient.
 */
#include "op/pool2d.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int64_t sftn_pool2d_size(const sftn_pool2d_attr *attr, int64_t size)
{
    const int64_t room = size + 2 * attr->pad - attr->size;
    int64_t n;

    if (room < 0)
        return 0;
    n = (room + (attr->ceil ? attr->stride - 1 : 0)) / attr->stride + 1;
    /* Rounded up, the last window must still begin inside the image or the padding before it. */
    if (attr->ceil && (n - 1) * attr->stride >= size + attr->pad)
        n--;
    return n;
}

void sftn_pool2d_window(const sftn_pool2d_attr *attr, int64_t i, int64_t size, int64_t *first,
                        int64_t *last, int64_t *count)
{
    const int64_t begin = i * attr->stride - attr->pad, end = begin + attr->size;
    const int64_t padded_end = end < size + attr->pad ? end : size + attr->pad;

    *first = begin > 0 ? begin : 0;
    *last = end < size ? end : size;
    *count = attr->exclude_pad ? *last - *first : padded_end - begin;
}

/* ---- shapes ---- */

static sftn_shape pooled_shape(const sftn_pool2d_attr *a, const sftn_shape *x)
{
    return SFTN_SHAPE(x->dim[0], x->dim[1], sftn_pool2d_size(a, x->dim[2]),
                      sftn_pool2d_size(a, x->dim[3]));
}

static bool infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                  size_t size)
{
    const sftn_pool2d_attr *a = attr;

    (void)nin;
    out[0] = (sftn_type){pooled_shape(a, &in[0].shape), false};
    if (out[0].shape.dim[2] < 1 || out[0].shape.dim[3] < 1) {
        char found[96];

        sftn_shape_format(&in[0].shape, found, sizeof found);
        snprintf(why, size, "input %s with pad %d is smaller than the window of size %d", found,
                 a->pad, a->size);
        return false;
    }
    return true;
}

static bool check_gradient(const sftn_shape *found, const sftn_shape *expected, char *why,
                           size_t size)
{
    char a[96], b[96];

    if (sftn_shape_equal(found, expected))
        return true;
    sftn_shape_format(found, a, sizeof a);
    sftn_shape_format(expected, b, sizeof b);
    snprintf(why, size, "output gradient has shape %s, expected %s", a, b);
    return false;
}

static bool avg_grad_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                           char *why, size_t size)
{
    const sftn_pool2d_attr *a = attr;
    const sftn_shape expected = pooled_shape(a, &a->shape);

    (void)nin;
    out[0] = (sftn_type){a->shape, false};
    return check_gradient(&in[0].shape, &expected, why, size);
}

static bool max_grad_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                           char *why, size_t size)
{
    const sftn_shape expected = pooled_shape(attr, &in[0].shape);

    (void)nin;
    out[0] = (sftn_type){in[0].shape, false};
    return check_gradient(&in[1].shape, &expected, why, size);
}

static bool adaptive_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                           char *why, size_t size)
{
    const sftn_pool2d_attr *a = attr;

    (void)nin, (void)why, (void)size;
    out[0] = (sftn_type){a->shape, false};
    out[0].shape.dim[0] = in[0].shape.dim[0];
    out[0].shape.dim[1] = in[0].shape.dim[1];
    return true;
}

static bool adaptive_grad_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                                char *why, size_t size)
{
    const sftn_pool2d_attr *a = attr;
    sftn_shape expected = in[0].shape;

    (void)nin;
    expected.dim[0] = a->shape.dim[0];
    expected.dim[1] = a->shape.dim[1];
    out[0] = (sftn_type){a->shape, false};
    return check_gradient(&in[0].shape, &expected, why, size);
}

/* ---- reference ---- */

/* Pixels of one window, and the number its sum is divided by. */
typedef struct window {
    int64_t h0, h1, w0, w1, count;
} window;

static window fixed_window(const void *attr, const sftn_shape *x, const sftn_shape *y, int64_t i,
                           int64_t j)
{
    window p;
    int64_t rows, columns;

    (void)y;
    sftn_pool2d_window(attr, i, x->dim[2], &p.h0, &p.h1, &rows);
    sftn_pool2d_window(attr, j, x->dim[3], &p.w0, &p.w1, &columns);
    p.count = rows * columns;
    return p;
}

static window adaptive_window(const void *attr, const sftn_shape *x, const sftn_shape *y,
                              int64_t i, int64_t j)
{
    window p;

    (void)attr;
    sftn_adaptive_window(i, y->dim[2], x->dim[2], &p.h0, &p.h1);
    sftn_adaptive_window(j, y->dim[3], x->dim[3], &p.w0, &p.w1);
    p.count = (p.h1 - p.h0) * (p.w1 - p.w0);
    return p;
}

typedef window (*window_fn)(const void *attr, const sftn_shape *x, const sftn_shape *y, int64_t i,
                            int64_t j);

/* For every window of every image: either gather the mean into y or scatter y's share into x. */
static void average(const void *attr, window_fn find, bool scatter, double *x,
                    const sftn_shape *xs, double *y, const sftn_shape *ys)
{
    const int64_t images = xs->dim[0] * xs->dim[1], width = xs->dim[3];

    for (int64_t m = 0; m < images; m++, x += xs->dim[2] * width)
        for (int64_t i = 0; i < ys->dim[2]; i++)
            for (int64_t j = 0; j < ys->dim[3]; j++, y++) {
                const window p = find(attr, xs, ys, i, j);
                double sum = 0.0;

                for (int64_t h = p.h0; h < p.h1; h++)
                    for (int64_t w = p.w0; w < p.w1; w++) {
                        if (scatter)
                            x[h * width + w] += *y / (double)p.count;
                        else
                            sum += x[h * width + w];
                    }
                if (!scatter)
                    *y = sum / (double)p.count;
            }
}

static void gather_average(const sftn_ref_args *k, window_fn find)
{
    average(k->attr, find, false, (double *)k->in[0], &k->in_type[0].shape, k->out[0],
            &k->out_type[0].shape);
}

static void scatter_average(const sftn_ref_args *k, window_fn find)
{
    const sftn_shape *xs = &k->out_type[0].shape;

    memset(k->out[0], 0, (size_t)sftn_shape_count(xs) * sizeof(double));
    average(k->attr, find, true, k->out[0], xs, (double *)k->in[0], &k->in_type[0].shape);
}

static void avg_ref(const sftn_ref_args *k)
{
    gather_average(k, fixed_window);
}

static void avg_grad_ref(const sftn_ref_args *k)
{
    scatter_average(k, fixed_window);
}

static void adaptive_ref(const sftn_ref_args *k)
{
    gather_average(k, adaptive_window);
}

static void adaptive_grad_ref(const sftn_ref_args *k)
{
    scatter_average(k, adaptive_window);
}

/* Index in its image of a window's first largest element; NaN counts as largest. */
static int64_t find_max(const double *x, int64_t width, const window *p)
{
    int64_t best = p->h0 * width + p->w0;

    for (int64_t h = p->h0; h < p->h1; h++)
        for (int64_t w = p->w0; w < p->w1; w++)
            if (x[h * width + w] > x[best] || isnan(x[h * width + w]))
                best = h * width + w;
    return best;
}

/* y NULL: scatter gy into gx; else gather the maxima into y. */
static void maximum(const void *attr, const double *x, const sftn_shape *xs, double *y,
                    const double *gy, double *gx, const sftn_shape *ys)
{
    const int64_t images = xs->dim[0] * xs->dim[1], pixels = xs->dim[2] * xs->dim[3];
    int64_t at = 0;

    for (int64_t m = 0; m < images; m++)
        for (int64_t i = 0; i < ys->dim[2]; i++)
            for (int64_t j = 0; j < ys->dim[3]; j++, at++) {
                const window p = fixed_window(attr, xs, ys, i, j);
                const int64_t best = m * pixels + find_max(x + m * pixels, xs->dim[3], &p);

                if (y)
                    y[at] = x[best];
                else
                    gx[best] += gy[at];
            }
}

static void max_ref(const sftn_ref_args *k)
{
    maximum(k->attr, k->in[0], &k->in_type[0].shape, k->out[0], NULL, NULL,
            &k->out_type[0].shape);
}

static void max_grad_ref(const sftn_ref_args *k)
{
    const sftn_shape *xs = &k->in_type[0].shape;

    memset(k->out[0], 0, (size_t)sftn_shape_count(xs) * sizeof(double));
    maximum(k->attr, k->in[0], xs, NULL, k->in[1], k->out[0], &k->in_type[1].shape);
}

/* ---- gradients ---- */

static sftn_pool2d_attr with_shape(const sftn_node *n, sftn_shape shape)
{
    sftn_pool2d_attr attr = *(const sftn_pool2d_attr *)n->attr;

    attr.shape = shape;
    return attr;
}

static void avg_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    const sftn_pool2d_attr attr = with_shape(n, sftn_value_shape(g, n->in[0]));

    gin[0] = sftn_append1(g, &sftn_op_avg_pool2d_grad, &attr, gout[0], SFTN_NONE);
}

static void avg_grad_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout,
                          sftn_value *gin)
{
    const sftn_pool2d_attr attr = with_shape(n, (sftn_shape){{0}});

    gin[0] = sftn_append1(g, &sftn_op_avg_pool2d, &attr, gout[0], SFTN_NONE);
}

static void max_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    gin[0] = sftn_append1(g, &sftn_op_max_pool2d_grad, n->attr, n->in[0], gout[0]);
}

static void adaptive_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout,
                          sftn_value *gin)
{
    const sftn_pool2d_attr attr = with_shape(n, sftn_value_shape(g, n->in[0]));

    gin[0] = sftn_append1(g, &sftn_op_adaptive_avg_pool2d_grad, &attr, gout[0], SFTN_NONE);
}

static void adaptive_grad_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout,
                               sftn_value *gin)
{
    const sftn_shape shape = sftn_value_shape(g, n->in[0]);

    gin[0] = sftn_adaptive_avg_pool2d(g, gout[0], shape.dim[2], shape.dim[3]);
}

static void print(const void *attr, char *buf, size_t size)
{
    const sftn_pool2d_attr *a = attr;

    *buf = '\0';
    if (a->size)
        snprintf(buf, size, "size %d stride %d pad %d%s%s", a->size, a->stride, a->pad,
                 a->ceil ? " ceil" : "", a->exclude_pad ? " exclude_pad" : "");
}

#define POOL_OP(id, operands, infer_fn, grad_fn, ref_fn)                                           \
    const sftn_op sftn_op_##id = {                                                                 \
        .name      = #id,                                                                          \
        .nin       = operands,                                                                     \
        .nout      = 1,                                                                            \
        SFTN_ATTR(sftn_pool2d_attr, size, stride, pad, ceil, exclude_pad, shape),                  \
        .infer     = infer_fn,                                                                     \
        .grad      = grad_fn,                                                                      \
        .ref       = ref_fn,                                                                       \
        .print     = print,                                                                        \
    }

POOL_OP(avg_pool2d, 1, infer, avg_grad, avg_ref);
POOL_OP(avg_pool2d_grad, 1, avg_grad_infer, avg_grad_grad, avg_grad_ref);
POOL_OP(max_pool2d, 1, infer, max_grad, max_ref);
POOL_OP(max_pool2d_grad, 2, max_grad_infer, NULL, max_grad_ref);
POOL_OP(adaptive_avg_pool2d, 1, adaptive_infer, adaptive_grad, adaptive_ref);
POOL_OP(adaptive_avg_pool2d_grad, 1, adaptive_grad_infer, adaptive_grad_grad, adaptive_grad_ref);

/* ---- builders ---- */

static sftn_value build(sftn_graph *g, const sftn_op *op, sftn_value x, sftn_pool_spec spec)
{
    const sftn_pool2d_attr attr = {
        .size        = spec.size,
        .stride      = spec.stride ? spec.stride : spec.size,
        .pad         = spec.pad,
        .ceil        = spec.ceil,
        .exclude_pad = spec.exclude_pad,
    };

    if (attr.size < 1 || attr.stride < 1 || attr.pad < 0 || attr.pad > attr.size / 2)
        return sftn_graph_fail(g, "%s: size %d, stride %d, pad %d; expected size and stride of at "
                               "least 1 and pad of 0 to size / 2", op->name, attr.size,
                               attr.stride, attr.pad);
    return sftn_append1(g, op, &attr, x, SFTN_NONE);
}

sftn_value sftn_avg_pool2d(sftn_graph *g, sftn_value x, sftn_pool_spec spec)
{
    return build(g, &sftn_op_avg_pool2d, x, spec);
}

sftn_value sftn_max_pool2d(sftn_graph *g, sftn_value x, sftn_pool_spec spec)
{
    return build(g, &sftn_op_max_pool2d, x, spec);
}

sftn_value sftn_adaptive_avg_pool2d(sftn_graph *g, sftn_value x, int64_t oh, int64_t ow)
{
    const sftn_pool2d_attr attr = {.shape = SFTN_SHAPE(0, 0, oh, ow)};

    return sftn_append1(g, &sftn_op_adaptive_avg_pool2d, &attr, x, SFTN_NONE);
}
