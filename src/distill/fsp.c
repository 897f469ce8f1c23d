/*
 * fsp: flow of solution procedure (Yim et al., "A Gift from Knowledge Distillation", CVPR 2017).
 *
 *     L = sum over neighbouring maps of mean (G_s - G_t)^2,    G_cd = 1/HW sum_xy bottom_c top_d
 *
 * G [N,C_top,C_bottom] of two maps one after the other in a network (the larger average-pooled to
 * the smaller) says how the network gets from one to the other.  Maps: the stem's and every
 * stage's; student and teacher need equal numbers of channels.  As in the paper and the CRD
 * benchmark, L forms the student's stages before training on the labels begins, for 30 epochs at
 * the run's base rate; it is no term beside them.
 */
#include "distill/distill.h"

typedef struct fsp_options {
    sftn_phase_options phase;
} fsp_options;

static const sftn_option fsp_option_table[] = {
    SFTN_PHASE_OPTIONS(fsp_options, phase, 30, 0.0),
    SFTN_OPTION_END,
};

static sftn_value flow(sftn_graph *g, sftn_value bottom, sftn_value top)
{
    const sftn_value b = sftn_channel_rows(g, sftn_pool_to_match(g, bottom, top));
    const sftn_value t = sftn_channel_rows(g, sftn_pool_to_match(g, top, bottom));
    const float pixels = (float)sftn_value_shape(g, b).dim[SFTN_H];

    return sftn_scale(g, sftn_matmul(g, t, b, (sftn_matmul_spec){.trans_b = true}), 1.0f / pixels);
}

static sftn_value fsp_loss(const sftn_distill_args *a)
{
    sftn_value term[SFTN_MAX_PAIRS];

    if (a->npairs < 2)
        return sftn_graph_fail(a->g, "one pair of maps given, a flow needs two or more");
    if (!sftn_equal_channels(a, "at, nst and vid take unequal channels"))
        return SFTN_NONE;
    for (int i = 0; i + 1 < a->npairs; i++) {
        const sftn_tap_pair *p = &a->pair[i], *q = &a->pair[i + 1];

        term[i] = sftn_mse(a->g, flow(a->g, p->student, q->student),
                           flow(a->g, p->teacher, q->teacher));
    }
    return sftn_add_terms(a->g, term, a->npairs - 1);
}

static sftn_schedule fsp_schedule(const void *options)
{
    return sftn_phase_schedule(&((const fsp_options *)options)->phase);
}

static const sftn_distill_phase fsp_phase = {
    .student = true, .schedule = fsp_schedule, .loss = fsp_loss};

const sftn_distiller sftn_distiller_fsp = {
    .name         = "fsp",
    .summary      = "form how each stage's map follows from the one before, then train the student",
    .reference    = "Yim et al., CVPR 2017",
    .options      = fsp_option_table,
    .options_size = sizeof(fsp_options),
    .pairs        = "stem,stages",
    .task_weight  = 1.0,
    .phase        = &fsp_phase,
    .nphases      = 1,
};
