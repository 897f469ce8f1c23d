/*
 * batch_norm: batch normalization (Ioffe and Szegedy, ICML 2015), per channel over N, H, W.
 *
 *     y  = xh gamma + beta,   xh = (x - mean) rstd,   rstd = 1 / sqrt(var + eps)
 *
 * Gradients, with s1 = sum gy, s2 = sum gy xh over the channel's M elements:
 *
 *     d beta = s1    d gamma = s2
 *     dx = gamma rstd (gy - s1 / M - xh s2 / M)     where mean and var are the moments of x
 *     dx = gamma rstd gy                            where they are constants
 *
 * The first dx already holds what flows through mean and var, so these receive nothing.
 */
#include "op/batch_norm.h"

#include <math.h>
#include <stdio.h>

static int64_t per_channel(const sftn_shape *s)
{
    return s->dim[0] * s->dim[2] * s->dim[3];
}

/* ---- shapes ---- */

static bool check_channels(const char *what, const sftn_shape *found, const sftn_shape *x,
                           char *why, size_t size)
{
    const sftn_shape expected = SFTN_SHAPE(1, x->dim[1], 1, 1);
    char a[96], b[96], c[96];

    if (sftn_shape_equal(found, &expected))
        return true;
    sftn_shape_format(found, a, sizeof a);
    sftn_shape_format(&expected, b, sizeof b);
    sftn_shape_format(x, c, sizeof c);
    snprintf(why, size, "%s has shape %s, expected %s for input %s", what, a, b, c);
    return false;
}

static bool moments_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                          char *why, size_t size)
{
    (void)attr, (void)nin, (void)why, (void)size;
    out[0] = out[1] = (sftn_type){SFTN_SHAPE(1, in[0].shape.dim[1], 1, 1), true};
    return true;
}

static bool infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                  size_t size)
{
    static const char *const names[] = {"x", "gamma", "beta", "mean", "var"};

    (void)attr;
    for (int i = 1; i < nin; i++)
        if (!check_channels(names[i], &in[i].shape, &in[0].shape, why, size))
            return false;
    out[0] = in[0];
    return true;
}

static bool sums_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                       size_t size)
{
    const sftn_shape *x = &in[0].shape;
    sftn_type same;

    (void)nin;
    if (!sftn_infer_same(attr, in, 2, &same, why, size) ||
        !check_channels("mean", &in[2].shape, x, why, size) ||
        !check_channels("rstd", &in[3].shape, x, why, size))
        return false;
    out[0] = out[1] = (sftn_type){SFTN_SHAPE(1, x->dim[1], 1, 1), true};
    return true;
}

/* ---- reference ---- */

/* Two passes: the variance is taken around the mean already known. */
static void moments_ref(const sftn_ref_args *k)
{
    const sftn_shape *s = &k->in_type[0].shape;
    const int64_t pixels = s->dim[2] * s->dim[3], count = per_channel(s);

    for (int64_t c = 0; c < s->dim[1]; c++) {
        double sum = 0.0, squares = 0.0;

        for (int64_t n = 0; n < s->dim[0]; n++)
            for (int64_t i = 0; i < pixels; i++)
                sum += k->in[0][(n * s->dim[1] + c) * pixels + i];
        k->out[0][c] = sum / (double)count;
        for (int64_t n = 0; n < s->dim[0]; n++)
            for (int64_t i = 0; i < pixels; i++) {
                const double d = k->in[0][(n * s->dim[1] + c) * pixels + i] - k->out[0][c];

                squares += d * d;
            }
        k->out[1][c] = squares / (double)count;
    }
}

static void ref(const sftn_ref_args *k)
{
    const double eps = (double)((const sftn_batch_norm_attr *)k->attr)->eps;
    const sftn_shape *s = &k->in_type[0].shape;
    const int64_t pixels = s->dim[2] * s->dim[3], planes = s->dim[0] * s->dim[1];

    for (int64_t m = 0; m < planes; m++) {
        const int64_t c = m % s->dim[1];
        const double rstd = 1.0 / sqrt(k->in[4][c] + eps);

        for (int64_t i = m * pixels; i < (m + 1) * pixels; i++)
            k->out[0][i] = (k->in[0][i] - k->in[3][c]) * rstd * k->in[1][c] + k->in[2][c];
    }
}

static void sums_ref(const sftn_ref_args *k)
{
    const sftn_shape *s = &k->in_type[0].shape;
    const int64_t pixels = s->dim[2] * s->dim[3];

    for (int64_t c = 0; c < s->dim[1]; c++) {
        double s1 = 0.0, s2 = 0.0;

        for (int64_t n = 0; n < s->dim[0]; n++) {
            const int64_t first = (n * s->dim[1] + c) * pixels;

            for (int64_t i = first; i < first + pixels; i++) {
                s1 += k->in[1][i];
                s2 += k->in[1][i] * (k->in[0][i] - k->in[2][c]) * k->in[3][c];
            }
        }
        k->out[0][c] = s1;
        k->out[1][c] = s2;
    }
}

/* ---- gradients ---- */

static sftn_value rstd_of(sftn_graph *g, sftn_value var, float eps)
{
    return sftn_rsqrt(g, sftn_shift(g, var, eps));
}

/*
 * Written as one expression of gy and x with a coefficient a channel each,
 *
 *     dx = A gy + B x + D,   A = gamma rstd,   B = -A rstd s2 / M,   D = -A s1 / M - B mean
 */
static sftn_value complete_dx(sftn_graph *g, const sftn_node *n, sftn_value gy, sftn_value a,
                              sftn_value rstd, sftn_value s1, sftn_value s2)
{
    const sftn_shape shape = sftn_value_shape(g, n->in[0]);
    const float factor = -1.0f / (float)per_channel(&shape);
    const sftn_value a_m = sftn_scale(g, a, factor);
    const sftn_value b = sftn_mul(g, a_m, sftn_mul(g, rstd, s2));
    const sftn_value d = sftn_sub(g, sftn_mul(g, a_m, s1), sftn_mul(g, b, n->in[3]));

    return sftn_add(g, sftn_add(g, sftn_mul(g, gy, a), sftn_mul(g, n->in[0], b)), d);
}

static void grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    const sftn_batch_norm_attr *attr = n->attr;
    const sftn_value rstd = rstd_of(g, n->in[4], attr->eps);
    const sftn_value a = sftn_mul(g, n->in[1], rstd);
    const sftn_value s1 = sftn_append(g, &sftn_op_batch_norm_sums, NULL,
                                      (const sftn_value[]){n->in[0], gout[0], n->in[3], rstd}, 4);
    const sftn_value s2 = sftn_node_out(g, s1, 1);

    gin[0] = attr->batch_stats ? complete_dx(g, n, gout[0], a, rstd, s1, s2)
                               : sftn_mul(g, gout[0], a);
    gin[1] = s2;
    gin[2] = s1;
}

/* d mean / dx = 1 / M,  d var / dx = 2 (x - mean) / M */
static void moments_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout,
                         sftn_value *gin)
{
    const sftn_shape shape = sftn_value_shape(g, n->in[0]);
    const float inverse = 1.0f / (float)per_channel(&shape);

    if (!sftn_is_none(gout[0]))
        gin[0] = sftn_expand(g, sftn_scale(g, gout[0], inverse), shape);
    if (!sftn_is_none(gout[1])) {
        const sftn_value centred = sftn_sub(g, n->in[0], n->out[0]);
        const sftn_value part = sftn_mul(g, centred, sftn_scale(g, gout[1], 2.0f * inverse));

        gin[0] = sftn_is_none(gin[0]) ? part : sftn_add(g, gin[0], part);
    }
}

/* s1 = sum gy;  s2 = sum gy (x - mean) rstd */
static void sums_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    const sftn_value x = n->in[0], gy = n->in[1], mean = n->in[2], rstd = n->in[3];
    const sftn_value s1 = n->out[0], s2 = n->out[1];

    if (!sftn_is_none(gout[0]))
        gin[1] = sftn_expand(g, gout[0], sftn_value_shape(g, gy));
    if (!sftn_is_none(gout[1])) {
        const sftn_value slope = sftn_mul(g, gout[1], rstd);
        const sftn_value part = sftn_mul(g, sftn_sub(g, x, mean), slope);

        gin[0] = sftn_mul(g, gy, slope);
        gin[1] = sftn_is_none(gin[1]) ? part : sftn_add(g, gin[1], part);
        gin[2] = sftn_neg(g, sftn_mul(g, slope, s1));
        gin[3] = sftn_mul(g, gout[1], sftn_div(g, s2, rstd));
    }
}

/* y = x scale + shift with one scale and one shift a channel. */
static void lower(sftn_graph *g, const sftn_node *n, const sftn_value *in, sftn_value *out)
{
    const sftn_batch_norm_attr *attr = n->attr;
    const sftn_value scale = sftn_mul(g, in[1], rstd_of(g, in[4], attr->eps));
    const sftn_value shift = sftn_sub(g, in[2], sftn_mul(g, in[3], scale));
    const sftn_value y = sftn_add(g, sftn_mul(g, in[0], scale), shift);

    out[0] = sftn_cast(g, y, sftn_value_type(g, in[0]).wide);
}

static void print(const void *attr, char *buf, size_t size)
{
    const sftn_batch_norm_attr *a = attr;

    snprintf(buf, size, "eps %g%s", (double)a->eps, a->batch_stats ? " batch_stats" : "");
}

const sftn_op sftn_op_moments = {
    .name  = "moments",
    .nin   = 1,
    .nout  = 2,
    .infer = moments_infer,
    .grad  = moments_grad,
    .ref   = moments_ref,
};

const sftn_op sftn_op_batch_norm = {
    .name      = "batch_norm",
    .nin       = 5,
    .nout      = 1,
    SFTN_ATTR(sftn_batch_norm_attr, eps, batch_stats),
    .infer     = infer,
    .grad      = grad,
    .ref       = ref,
    .lower     = lower,
    .print     = print,
};

const sftn_op sftn_op_batch_norm_sums = {
    .name  = "batch_norm_sums",
    .nin   = 4,
    .nout  = 2,
    .infer = sums_infer,
    .grad  = sums_grad,
    .ref   = sums_ref,
};

void sftn_moments(sftn_graph *g, sftn_value x, sftn_value *mean, sftn_value *var)
{
    *mean = sftn_append1(g, &sftn_op_moments, NULL, x, SFTN_NONE);
    *var = sftn_node_out(g, *mean, 1);
}

sftn_value sftn_batch_norm(sftn_graph *g, sftn_value x, sftn_value gamma, sftn_value beta,
                           sftn_value mean, sftn_value var, float eps, bool batch_stats)
{
    const sftn_batch_norm_attr attr = {.eps = eps, .batch_stats = batch_stats};
    const sftn_value in[] = {x, gamma, beta, mean, var};

    return sftn_append(g, &sftn_op_batch_norm, &attr, in, 5);
}
