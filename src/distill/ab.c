/*
 * ab: activation boundaries (Heo et al., "Knowledge Transfer via Distillation of Activation
 * Boundaries Formed by Hidden Neurons", AAAI 2019).
 *
 *     L = 0.003 / N sum over stages i = 1 .. n of 2^(i-n) sum of
 *         (s + m)^2 where t <= 0 and s > -m,   (s - m)^2 where t > 0 and s <= m
 *
 * s, t: features before the last ReLU of a stage; where shapes differ, s passes a convolution and
 * batch norm (sftn_regress) first.  The margin m is 1.  The loss forms the student's stages before
 * training on the labels begins, for 30 epochs at the run's base rate; it is no term beside them.
 */
#include "distill/distill.h"

typedef struct ab_options {
    float margin;
    sftn_phase_options phase;
} ab_options;

static const sftn_option ab_option_table[] = {
    {"margin", SFTN_OPT_FLOAT, offsetof(ab_options, margin), 1.0, 0.0, 1000.0,
     "distance that the student keeps from the boundary", NULL, NULL},
    SFTN_PHASE_OPTIONS(ab_options, phase, 30, 0.0),
    SFTN_OPTION_END,
};

static void ab_adapt(const sftn_distill_args *a, sftn_tap_pair *pair)
{
    for (int i = 0; i < a->npairs; i++) {
        const sftn_scope s = sftn_pair_scope(a, i);

        if (!sftn_same_shape(a->g, pair[i].student, pair[i].teacher))
            pair[i].student = sftn_regress(&s, pair[i].student, pair[i].teacher, false);
    }
}

/* How far s is within the margin or beyond it: (s + m)+ for t <= 0, (m - s)+ else. */
static sftn_value trespass(sftn_graph *g, sftn_value s, sftn_value t, float m)
{
    const sftn_value active = sftn_step(g, t);
    const sftn_value side = sftn_shift(g, sftn_scale(g, active, -2.0f), 1.0f);

    return sftn_relu(g, sftn_shift(g, sftn_mul(g, s, side), m));
}

static sftn_value ab_loss(const sftn_distill_args *a)
{
    const ab_options *opt = a->options;
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++) {
        const sftn_tap_pair *p = &a->pair[i];
        const float images = (float)sftn_value_shape(a->g, p->student).dim[SFTN_N];
        const float weight = 0.003f / (float)(1 << (a->npairs - 1 - i)) / images;
        const sftn_value far = trespass(a->g, p->student, p->teacher, opt->margin);

        term[i] = sftn_scale(a->g, sftn_sum(a->g, sftn_square(a->g, far), SFTN_ALL_AXES), weight);
    }
    return sftn_add_terms(a->g, term, a->npairs);
}

static sftn_schedule ab_schedule(const void *options)
{
    return sftn_phase_schedule(&((const ab_options *)options)->phase);
}

static const sftn_distill_phase ab_phase = {
    .student = true, .schedule = ab_schedule, .adapt = ab_adapt, .loss = ab_loss};

const sftn_distiller sftn_distiller_ab = {
    .name         = "ab",
    .summary      = "form the student's activation boundaries like the teacher's, then train it",
    .reference    = "Heo et al., AAAI 2019",
    .options      = ab_option_table,
    .options_size = sizeof(ab_options),
    .pairs        = "stages.preact",
    .task_weight  = 1.0,
    .phase        = &ab_phase,
    .nphases      = 1,
};
