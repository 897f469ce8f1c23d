/*
 * softmax, log_softmax over channels, at every position (n, h, w):
 *
 *     softmax_c     = exp(x_c - m) / sum_k exp(x_k - m),   m = max_k x_k
 *     log_softmax_c = x_c - m - ln sum_k exp(x_k - m)
 */
#include "op/softmax.h"

#include <math.h>

static bool infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                  size_t size)
{
    (void)attr, (void)nin, (void)why, (void)size;
    out[0] = (sftn_type){in[0].shape, true};
    return true;
}

/* One position: `channels` numbers, `step` apart. */
static void log_softmax1(const double *x, double *y, int64_t channels, int64_t step)
{
    double max = x[0], sum = 0.0, log_sum;

    for (int64_t c = 1; c < channels; c++)
        max = x[c * step] > max ? x[c * step] : max;
    for (int64_t c = 0; c < channels; c++)
        sum += exp(x[c * step] - max);
    log_sum = log(sum);
    for (int64_t c = 0; c < channels; c++)
        y[c * step] = x[c * step] - max - log_sum;
}

static void log_softmax_ref(const sftn_ref_args *k)
{
    const sftn_shape *s = &k->in_type[0].shape;
    const int64_t pixels = s->dim[2] * s->dim[3];

    for (int64_t n = 0; n < s->dim[0]; n++)
        for (int64_t i = 0; i < pixels; i++) {
            const int64_t at = n * s->dim[1] * pixels + i;

            log_softmax1(k->in[0] + at, k->out[0] + at, s->dim[1], pixels);
        }
}

static void softmax_ref(const sftn_ref_args *k)
{
    const int64_t count = sftn_shape_count(&k->in_type[0].shape);

    log_softmax_ref(k);
    for (int64_t i = 0; i < count; i++)
        k->out[0][i] = exp(k->out[0][i]);
}

/* y (gy - sum_c y gy) */
static void softmax_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout,
                         sftn_value *gin)
{
    const sftn_value y = n->out[0];
    const sftn_value weighted = sftn_mul(g, y, gout[0]);
    const sftn_value sum = sftn_sum(g, weighted, SFTN_AXIS_C);

    gin[0] = sftn_sub(g, weighted, sftn_mul(g, y, sum));
}

/* gy - e^y sum_c gy */
static void log_softmax_grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout,
                             sftn_value *gin)
{
    const sftn_value sum = sftn_sum(g, gout[0], SFTN_AXIS_C);

    gin[0] = sftn_sub(g, gout[0], sftn_mul(g, sftn_exp(g, n->out[0]), sum));
}

const sftn_op sftn_op_softmax = {
    .name  = "softmax",
    .nin   = 1,
    .nout  = 1,
    .infer = infer,
    .grad  = softmax_grad,
    .ref   = softmax_ref,
};

const sftn_op sftn_op_log_softmax = {
    .name  = "log_softmax",
    .nin   = 1,
    .nout  = 1,
    .infer = infer,
    .grad  = log_softmax_grad,
    .ref   = log_softmax_ref,
};

sftn_value sftn_softmax(sftn_graph *g, sftn_value x)
{
    return sftn_append1(g, &sftn_op_softmax, NULL, x, SFTN_NONE);
}

sftn_value sftn_log_softmax(sftn_graph *g, sftn_value x)
{
    return sftn_append1(g, &sftn_op_log_softmax, NULL, x, SFTN_NONE);
}
