/*
 * rkd: relational knowledge distillation (Park, Kim, Lu and Cho, CVPR 2019).
 *
 *     L = 25 mean h(d_s - d_t) + 50 mean h(a_s - a_t),   h: smooth L1, beta = 1
 *
 * d_ij [N,N]: distance between the features x_i and x_j of two images of a batch, divided by the
 * mean of all that are not 0.  a_ijk [N,N,N] = e_ij . e_ik, e_ij the unit vector from x_i to x_j:
 * the cosine of the angle at x_i.  An image is at distance 0 from itself, and e_ii = 0.  x: pooled
 * features; lengths need not agree.
 */
#include "distill/distill.h"

#include <float.h>

typedef struct rkd_options {
    float distance, angle;
} rkd_options;

static const sftn_option rkd_option_table[] = {
    {"distance", SFTN_OPT_FLOAT, offsetof(rkd_options, distance), 25.0, 0.0, 1e6,
     "factor of the distances' loss", NULL, NULL},
    {"angle", SFTN_OPT_FLOAT, offsetof(rkd_options, angle), 50.0, 0.0, 1e6,
     "factor of the angles' loss", NULL, NULL},
    SFTN_OPTION_END,
};

/* x [N,...] -> x_j - x_i, [N(i),N(j),D,1] */
static sftn_value differences(sftn_graph *g, sftn_value x)
{
    const sftn_value flat = sftn_cast(g, sftn_flatten(g, x), true);
    const sftn_shape s = sftn_value_shape(g, flat);
    const int64_t n = s.dim[SFTN_N], d = s.dim[SFTN_C];

    return sftn_sub(g, sftn_reshape(g, flat, SFTN_SHAPE(1, n, d, 1)),
                    sftn_reshape(g, flat, SFTN_SHAPE(n, 1, d, 1)));
}

/* The square is held above 1e-12 before the root; where it is 0 so is the distance. */
static sftn_value distances(sftn_graph *g, sftn_value diff)
{
    const sftn_value square = sftn_sum(g, sftn_square(g, diff), SFTN_AXIS_H);
    const sftn_value root = sftn_sqrt(g, sftn_clamp(g, square, 1e-12f, FLT_MAX));
    const sftn_value d = sftn_mask(g, root, square);
    const sftn_value count = sftn_sum(g, sftn_step(g, square), SFTN_ALL_AXES);
    const sftn_value mean = sftn_div(g, sftn_sum(g, d, SFTN_ALL_AXES),
                                     sftn_clamp(g, count, 1.0f, FLT_MAX));

    return sftn_div(g, d, sftn_clamp(g, mean, 1e-12f, FLT_MAX));
}

static sftn_value angles(sftn_graph *g, sftn_value diff)
{
    const sftn_value e = sftn_l2_normalize(g, diff, SFTN_AXIS_H);

    return sftn_matmul(g, e, e, (sftn_matmul_spec){.trans_b = true});
}

static sftn_value smooth_l1_mean(sftn_graph *g, sftn_value a, sftn_value b, float factor)
{
    const sftn_value h = sftn_smooth_l1(g, sftn_sub(g, a, b), 1.0f);

    return sftn_scale(g, sftn_mean(g, h, SFTN_ALL_AXES), factor);
}

static sftn_value rkd_loss(const sftn_distill_args *a)
{
    const rkd_options *opt = a->options;
    sftn_graph *g = a->g;
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++) {
        const sftn_value ds = differences(g, a->pair[i].student);
        const sftn_value dt = differences(g, a->pair[i].teacher);

        term[i] = sftn_add(
            g, smooth_l1_mean(g, distances(g, ds), distances(g, dt), opt->distance),
            smooth_l1_mean(g, angles(g, ds), angles(g, dt), opt->angle));
    }
    return sftn_add_terms(g, term, a->npairs);
}

const sftn_distiller sftn_distiller_rkd = {
    .name         = "rkd",
    .summary      = "match distances and angles between the images of a batch",
    .reference    = "Park et al., CVPR 2019",
    .options      = rkd_option_table,
    .options_size = sizeof(rkd_options),
    .pairs        = "pooled",
    .weight       = 1.0,
    .task_weight  = 1.0,
    .loss         = rkd_loss,
};
