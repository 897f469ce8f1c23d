/*
 * ofd: a comprehensive overhaul of feature distillation (Heo et al., ICCV 2019).
 *
 *     L = sum over stages i = 1 .. n of 2^(i-n) / N sum (r(f_s) - t)^2 where r(f_s) > t or t > 0
 *     t = max(f_t, m_c)
 *
 * f_s, f_t: features before the last ReLU of a stage.  r, trained with the student, is a 1x1
 * convolution without bias and batch norm.  The margin m_c of a channel is the expectation of its
 * negative values, were they those of the batch norm that makes them, normal with mean mu (its
 * offset) and deviation s (its scale's magnitude):
 *
 *     m = mu - s phi(mu / s) / Phi(-mu / s)   where Phi(-mu / s) > 0.001, else -3 s
 *
 * Where sizes differ, the teacher's map is average-pooled to the student's.  Sums go over channels
 * and positions.  The authors leave the teacher's batch norms in training mode, as sftn distill
 * --teacher-norm batch does; else they are frozen.
 */
#include "distill/distill.h"

#include <float.h>

static const float least_tail = 0.001f;

/* m [1,C,1,1] */
static sftn_value margin(sftn_graph *g, sftn_affine norm)
{
    const float inv_sqrt2 = 0.70710678f, inv_sqrt_2pi = 0.39894228f;
    const sftn_value s = sftn_clamp(g, sftn_abs(g, norm.scale), 1e-12f, FLT_MAX);
    const sftn_value ratio = sftn_div(g, norm.offset, s);
    const sftn_value tail = sftn_scale(g, sftn_erfc(g, sftn_scale(g, ratio, inv_sqrt2)), 0.5f);
    const sftn_value bell = sftn_exp(g, sftn_scale(g, sftn_square(g, ratio), -0.5f));
    const sftn_value density = sftn_mul(g, s, sftn_scale(g, bell, inv_sqrt_2pi));
    const sftn_value mean = sftn_sub(
        g, norm.offset, sftn_div(g, density, sftn_clamp(g, tail, least_tail, 1.0f)));

    return sftn_add(g, sftn_mask(g, mean, sftn_shift(g, tail, -least_tail)),
                    sftn_mask(g, sftn_scale(g, s, -3.0f),
                              sftn_shift(g, sftn_neg(g, tail), least_tail)));
}

static void ofd_adapt(const sftn_distill_args *a, sftn_tap_pair *pair)
{
    for (int i = 0; i < a->npairs; i++) {
        const sftn_scope s = sftn_pair_scope(a, i);
        const sftn_shape t = sftn_value_shape(a->g, pair[i].teacher);
        const sftn_conv conv = {
            .filters = (int)t.dim[SFTN_C], .size = 1, .init = SFTN_WEIGHT_KAIMING_FAN_OUT};
        const sftn_value x = sftn_nn_conv(&s, "connector.0", pair[i].student, conv);

        pair[i].student = sftn_nn_batch_norm(&s, "connector.1", x);
    }
}

/* The teacher's map with the student's size. */
static sftn_value resized(sftn_graph *g, sftn_value teacher, sftn_value student)
{
    const sftn_shape s = sftn_value_shape(g, student), t = sftn_value_shape(g, teacher);

    if (s.dim[SFTN_H] == t.dim[SFTN_H] && s.dim[SFTN_W] == t.dim[SFTN_W])
        return teacher;
    return sftn_adaptive_avg_pool2d(g, teacher, s.dim[SFTN_H], s.dim[SFTN_W]);
}

/* Squares of the distances that count, summed over an image and meant over the batch. */
static sftn_value partial_distance(sftn_graph *g, sftn_value s, sftn_value t)
{
    const sftn_value gap = sftn_sub(g, s, t);
    const sftn_value counts = sftn_max2(g, sftn_step(g, gap), sftn_step(g, t));
    const sftn_value sum = sftn_sum(g, sftn_mul(g, sftn_square(g, gap), counts), SFTN_ALL_AXES);

    return sftn_scale(g, sum, 1.0f / (float)sftn_value_shape(g, s).dim[SFTN_N]);
}

static sftn_value ofd_loss(const sftn_distill_args *a)
{
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++) {
        const sftn_tap_pair *p = &a->pair[i];
        const float weight = 1.0f / (float)(1 << (a->npairs - 1 - i));
        sftn_value t;

        if (sftn_is_none(p->norm.scale))
            return sftn_graph_fail(a->g, "no batch norm makes the teacher's %s, so there is no "
                                   "margin; name a tap before its activation, like stage2.preact",
                                   p->teacher_name);
        t = sftn_max2(a->g, resized(a->g, p->teacher, p->student), margin(a->g, p->norm));
        term[i] = sftn_scale(a->g, partial_distance(a->g, p->student, t), weight);
    }
    return sftn_add_terms(a->g, term, a->npairs);
}

const sftn_distiller sftn_distiller_ofd = {
    .name        = "ofd",
    .summary     = "match pre-activations where they matter: above the teacher's margin",
    .reference   = "Heo et al., ICCV 2019",
    .pairs       = "stages.preact",
    .weight      = 1e-3,
    .task_weight = 1.0,
    .adapt       = ofd_adapt,
    .loss        = ofd_loss,
};
