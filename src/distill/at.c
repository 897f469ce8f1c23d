/*
 * at: attention transfer (Zagoruyko and Komodakis, ICLR 2017).
 *
 * Each stage's feature map is reduced to one "where does the network look" map, the channel mean
 * of |f|^p, scaled to unit length per sample; the loss is the mean squared distance between the
 * student's and the teacher's maps (mean over N H W), summed over stages.  Channel counts need not
 * agree; where sizes differ, the larger map is average-pooled to the smaller one.
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

static sftn_value at_loss(const sftn_distill_args *a)
{
    const at_options *opt = a->options;
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++) {
        const sftn_tap_pair *p = &a->pair[i];
        sftn_value fs = sftn_pool_to_match(a->g, p->student, p->teacher);
        sftn_value ft = sftn_pool_to_match(a->g, p->teacher, p->student);

        term[i] = sftn_mse(a->g, sftn_energy_map(a->g, fs, opt->p),
                           sftn_energy_map(a->g, ft, opt->p));
    }
    return sftn_add_terms(a->g, term, a->npairs);
}

const sftn_distiller sftn_distiller_at = {
    .name         = "at",
    .summary      = "match spatial attention maps of every stage",
    .reference    = "Zagoruyko and Komodakis, ICLR 2017",
    .options      = at_option_table,
    .options_size = sizeof(at_options),
    .pairs        = "stages",
    .weight       = 1000.0,
    .task_weight  = 1.0,
    .loss         = at_loss,
};
