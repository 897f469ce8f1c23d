/*
 * nst: neuron selectivity transfer (Huang and Wang, 2017), squared maximum mean discrepancy with
 * the polynomial kernel k(a, b) = (a . b)^2.
 *
 *     L = sum over stages of mean k(t, t) + mean k(s, s) - 2 mean k(s, t)
 *
 * s, t: each image's channels as vectors over space, of unit length; the means are over all pairs
 * of channels.  Numbers of channels need not agree; where sizes differ, the larger map is
 * average-pooled to the smaller one.  The first mean is constant.
 */
#include "distill/distill.h"

/* a [N,C,HW,1], b [N,D,HW,1] */
static sftn_value kernel_mean(sftn_graph *g, sftn_value a, sftn_value b)
{
    const sftn_value product = sftn_matmul(g, a, b, (sftn_matmul_spec){.trans_b = true});

    return sftn_mean(g, sftn_square(g, product), SFTN_ALL_AXES);
}

static sftn_value channels(sftn_graph *g, sftn_value f)
{
    return sftn_channel_rows(g, sftn_l2_normalize(g, f, SFTN_AXES_HW));
}

static sftn_value nst_loss(const sftn_distill_args *a)
{
    sftn_graph *g = a->g;
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++) {
        const sftn_tap_pair *p = &a->pair[i];
        const sftn_value s = channels(g, sftn_pool_to_match(g, p->student, p->teacher));
        const sftn_value t = channels(g, sftn_pool_to_match(g, p->teacher, p->student));

        term[i] = sftn_sub(g, sftn_add(g, kernel_mean(g, t, t), kernel_mean(g, s, s)),
                           sftn_scale(g, kernel_mean(g, s, t), 2.0f));
    }
    return sftn_add_terms(g, term, a->npairs);
}

const sftn_distiller sftn_distiller_nst = {
    .name        = "nst",
    .summary     = "match the distribution of channels over space in every stage",
    .reference   = "Huang and Wang, 2017",
    .pairs       = "stages",
    .weight      = 50.0,
    .task_weight = 1.0,
    .loss        = nst_loss,
};
