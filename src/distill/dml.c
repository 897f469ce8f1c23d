/*
 * dml: deep mutual learning (Zhang et al., CVPR 2018).
 *
 *     L_i = 1/(K - 1) sum over j != i of T^2 KL(softmax(z_j / T) || softmax(z_i / T))
 *
 * for each of K networks; the others' answers are constants.  T is 1.  All networks share one
 * forward pass and are updated at once; in the paper's algorithm each sees what the one before has
 * become.
 */
#include "distill/mutual.h"

typedef struct dml_options {
    float temperature;
} dml_options;

static const sftn_option dml_option_table[] = {
    {"temperature", SFTN_OPT_FLOAT, offsetof(dml_options, temperature), 1.0, 0.01, 1000.0,
     "softening of all answers", NULL, NULL},
    SFTN_OPTION_END,
};

static sftn_value dml_loss(const sftn_mutual_args *a, int i)
{
    const dml_options *opt = a->options;
    sftn_value sum = SFTN_NONE;

    for (int j = 0; j < a->n; j++) {
        sftn_value kl;

        if (j == i)
            continue;
        kl = sftn_kl_divergence(a->g, sftn_detach(a->g, a->logits[j]), a->logits[i],
                                opt->temperature);
        sum = sftn_is_none(sum) ? kl : sftn_add(a->g, sum, kl);
    }
    return sftn_scale(a->g, sum, 1.0f / (float)(a->n - 1));
}

const sftn_mutual sftn_mutual_dml = {
    .name         = "dml",
    .summary      = "each network imitates each of the others",
    .reference    = "Zhang et al., CVPR 2018",
    .options      = dml_option_table,
    .options_size = sizeof(dml_options),
    .weight       = 1.0,
    .loss         = dml_loss,
};
