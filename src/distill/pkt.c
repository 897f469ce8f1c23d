/*
 * pkt: probabilistic knowledge transfer (Passalis and Tefas, ECCV 2018).
 *
 *     L = mean P_t ln((P_t + eps) / (P_s + eps)),    eps = 1e-7
 *
 * P [N,N]: (c_ij + 1) / 2 divided by its row's sum, c_ij the cosine between the features of images
 * i and j, which are divided by their norm + eps.  The mean is over all N^2 entries.  Features:
 * pooled; their lengths need not agree.
 */
#include "distill/distill.h"

static const float eps = 1e-7f;

/* x [N,...] -> P [N,N,1,1] */
static sftn_value probabilities(sftn_graph *g, sftn_value x)
{
    const sftn_value flat = sftn_cast(g, sftn_flatten(g, x), true);
    const sftn_shape s = sftn_value_shape(g, flat);
    const int64_t n = s.dim[SFTN_N];
    const sftn_value length = sftn_shift(g, sftn_length(g, flat), eps);
    const sftn_value unit =
        sftn_reshape(g, sftn_div(g, flat, length), SFTN_SHAPE(1, n, s.dim[SFTN_C], 1));
    const sftn_value product = sftn_matmul(g, unit, unit, (sftn_matmul_spec){.trans_b = true});
    const sftn_value cosine = sftn_reshape(g, product, SFTN_SHAPE(n, n, 1, 1));
    const sftn_value p = sftn_scale(g, sftn_shift(g, cosine, 1.0f), 0.5f);

    return sftn_div(g, p, sftn_sum(g, p, SFTN_AXIS_C));
}

static sftn_value pkt_loss(const sftn_distill_args *a)
{
    sftn_graph *g = a->g;
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++) {
        const sftn_value ps = probabilities(g, a->pair[i].student);
        const sftn_value pt = probabilities(g, a->pair[i].teacher);
        const sftn_value ratio = sftn_div(g, sftn_shift(g, pt, eps), sftn_shift(g, ps, eps));

        term[i] = sftn_mean(g, sftn_mul(g, pt, sftn_log(g, ratio)), SFTN_ALL_AXES);
    }
    return sftn_add_terms(g, term, a->npairs);
}

const sftn_distiller sftn_distiller_pkt = {
    .name        = "pkt",
    .summary     = "match the probabilities that two images of a batch belong together",
    .reference   = "Passalis and Tefas, ECCV 2018",
    .pairs       = "pooled",
    .weight      = 30000.0,
    .task_weight = 1.0,
    .loss        = pkt_loss,
};
