/*
 * reviewkd: distilling knowledge via knowledge review (Chen, Liu, Zhao and Jia, CVPR 2021).
 *
 * From the deepest to the shallowest, each level of the student is fused with what came from the
 * deeper ones (attention-based fusion), so that shallow stages are reviewed with deep knowledge:
 *
 *     x = BN(1x1 f_s);  x := x a_1 + y a_2,  (a_1, a_2) = sigmoid(1x1 [x, y])
 *     o = BN(3x3 x),    y: x of the next deeper level at this level's size, if there is one
 *
 * and o is compared with the teacher at full size and average-pooled to 4, 2 and 1 pixels, as far
 * as these are smaller (hierarchical context loss):
 *
 *     L = sum over levels of sum_l w_l mean (o_l - t_l)^2 / sum_l w_l,   w = 1, 1/2, 1/4, 1/8
 *
 * Levels are every stage before its last ReLU, and the pooled features as maps of one pixel.  Maps
 * are resized by the nearest pixel.  The inner width is that of the deepest level, at most 512.
 * The loss is weighed by epoch / 20 in the first 20 epochs, and by 5, the authors' weight for
 * resnet32x4 and resnet8x4; other pairs have other weights.
 */
#include "distill/distill.h"

typedef struct reviewkd_options {
    int warmup;
} reviewkd_options;

static const sftn_option reviewkd_option_table[] = {
    SFTN_WARMUP_OPTION(reviewkd_options, warmup, 20),
    SFTN_OPTION_END,
};

enum { WIDEST = 512 };

static int64_t pixels(sftn_graph *g, sftn_value map)
{
    return sftn_value_shape(g, map).dim[SFTN_H];
}

static sftn_value conv_bn(const sftn_scope *s, const char *conv, const char *bn, sftn_value x,
                          int filters, int size)
{
    const sftn_conv spec = {.filters = filters, .size = size, .init = SFTN_WEIGHT_KAIMING_UNIFORM};

    return sftn_nn_batch_norm(s, bn, sftn_nn_conv(s, conv, x, spec));
}

/* x and y, maps of one shape, weighted against each other at every pixel. */
static sftn_value attend(const sftn_scope *s, sftn_value x, sftn_value y)
{
    const sftn_conv spec = {.filters = 2, .size = 1, .bias = true};
    const sftn_value both = sftn_concat(s->g, (const sftn_value[]){x, y}, 2, SFTN_C);
    const sftn_value z = sftn_sigmoid(s->g, sftn_nn_conv(s, "att_conv.0", both, spec));

    return sftn_add(s->g, sftn_mul(s->g, x, sftn_slice(s->g, z, SFTN_C, 0, 1)),
                    sftn_mul(s->g, y, sftn_slice(s->g, z, SFTN_C, 1, 1)));
}

static void reviewkd_adapt(const sftn_distill_args *a, sftn_tap_pair *pair)
{
    const int64_t width = sftn_value_shape(a->g, pair[a->npairs - 1].student).dim[SFTN_C];
    const int inner = width < WIDEST ? (int)width : WIDEST;
    sftn_value deeper = SFTN_NONE;

    for (int i = a->npairs - 1; i >= 0; i--) {
        const sftn_scope s = sftn_pair_scope(a, i);
        const int filters = (int)sftn_value_shape(a->g, pair[i].teacher).dim[SFTN_C];
        sftn_value x = conv_bn(&s, "conv1.0", "conv1.1", pair[i].student, inner, 1);

        if (i < a->npairs - 1)
            x = attend(&s, x, sftn_resize_nearest(a->g, deeper, pixels(a->g, x)));
        deeper = sftn_resize_nearest(a->g, x, pixels(a->g, pair[i].teacher));
        pair[i].student = conv_bn(&s, "conv2.0", "conv2.1", deeper, filters, 3);
    }
}

/* s and t [N,C,H,W] */
static sftn_value context_loss(sftn_graph *g, sftn_value s, sftn_value t)
{
    sftn_value loss = sftn_mse(g, s, t);
    float weight = 1.0f, sum = 1.0f;

    for (int64_t size = 4; size >= 1; size /= 2) {
        sftn_value level;

        if (size >= pixels(g, s))
            continue;
        weight *= 0.5f;
        sum += weight;
        level = sftn_mse(g, sftn_adaptive_avg_pool2d(g, s, size, size),
                         sftn_adaptive_avg_pool2d(g, t, size, size));
        loss = sftn_add(g, loss, sftn_scale(g, level, weight));
    }
    return sftn_scale(g, loss, 1.0f / sum);
}

static sftn_value reviewkd_loss(const sftn_distill_args *a)
{
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++)
        term[i] = context_loss(a->g, a->pair[i].student, a->pair[i].teacher);
    return sftn_add_terms(a->g, term, a->npairs);
}

static double reviewkd_warmup(const void *options)
{
    return ((const reviewkd_options *)options)->warmup;
}

const sftn_distiller sftn_distiller_reviewkd = {
    .name         = "reviewkd",
    .summary      = "review shallow stages together with deeper ones",
    .reference    = "Chen et al., CVPR 2021",
    .options      = reviewkd_option_table,
    .options_size = sizeof(reviewkd_options),
    .pairs        = "stages.preact,pooled",
    .weight       = 5.0,
    .task_weight  = 1.0,
    .warmup       = reviewkd_warmup,
    .adapt        = reviewkd_adapt,
    .loss         = reviewkd_loss,
};
