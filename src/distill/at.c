/*
 * at: attention transfer (Zagoruyko and Komodakis, ICLR 2017).
 *
 * Each stage's feature map is reduced to one "where does the network look" map, the channel mean
 * of |f|^p, scaled to unit length per sample; the loss is the mean squared distance between the
 * student's and the teacher's maps (mean over N H W), summed over stages.  Channel counts need not
 * agree; where sizes differ, the larger map is average-pooled to the smaller one; where the numbers
 * of stages differ, stages are paired from the deep end.
 */
#include "distill/distill.h"

typedef struct at_options {
    float p;
} at_options;

static const sftn_option at_option_table[] = {
    {"p", SFTN_OPT_FLOAT, offsetof(at_options, p), 2.0, 1.0, 8.0, "power applied to activations",
     NULL, NULL},
    SFTN_OPTION_END,
};

/* f [N,C,H,W] -> [N,H*W], rows of unit length. */
static sftn_value attention_map(sftn_graph *g, sftn_value f, float p)
{
    sftn_value energy = p == 2.0f ? sftn_square(g, f) : sftn_power(g, sftn_abs(g, f), p);

    return sftn_l2_normalize(g, sftn_flatten(g, sftn_mean(g, energy, SFTN_AXIS_C)));
}

static sftn_value at_loss(const sftn_distill_args *a)
{
    const at_options *opt = a->options;
    sftn_value loss = SFTN_NONE;

    for (int i = 0; i < sftn_stage_pairs(a); i++) {
        sftn_value fs, ft, term;
        int s, t;

        sftn_stage_pair(a, i, &s, &t);
        fs = sftn_pool_to_match(a->g, a->student->stage[s].feature, a->teacher->stage[t].feature);
        ft = sftn_pool_to_match(a->g, a->teacher->stage[t].feature, a->student->stage[s].feature);
        term = sftn_mse(a->g, attention_map(a->g, fs, opt->p), attention_map(a->g, ft, opt->p));
        loss = i == 0 ? term : sftn_add(a->g, loss, term);
    }
    return loss;
}

const sftn_distiller sftn_distiller_at = {
    .name         = "at",
    .summary      = "match spatial attention maps of every stage",
    .reference    = "Zagoruyko and Komodakis, ICLR 2017",
    .options      = at_option_table,
    .options_size = sizeof(at_options),
    .needs        = SFTN_NEEDS_STAGES,
    .weight       = 1000.0,
    .task_weight  = 1.0,
    .loss         = at_loss,
};
