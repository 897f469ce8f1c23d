/*
 * dist: distillation from a stronger teacher (Huang, You, Wang, Qian and Xu, NeurIPS 2022).
 *
 *     L = T^2 (beta (1 - mean_n r(p_s, p_t over classes)) + gamma (1 - mean_k r(over images)))
 *
 * r: Pearson's correlation between the softened answers, of each image over the classes (relation
 * between classes) and of each class over the batch (relation within a class);
 * r = a.b / (|a| |b| + 1e-8) of centred a, b.  The authors use beta = gamma = 2, and T = 4 for
 * CIFAR-100.
 */
#include "distill/distill.h"

typedef struct dist_options {
    float temperature, beta, gamma;
} dist_options;

static const sftn_option dist_option_table[] = {
    {"temperature", SFTN_OPT_FLOAT, offsetof(dist_options, temperature), 4.0, 0.01, 1000.0,
     "softening of both networks' answers", NULL, NULL},
    {"beta", SFTN_OPT_FLOAT, offsetof(dist_options, beta), 2.0, 0.0, 1e6,
     "factor of the relation between classes", NULL, NULL},
    {"gamma", SFTN_OPT_FLOAT, offsetof(dist_options, gamma), 2.0, 0.0, 1e6,
     "factor of the relation within a class", NULL, NULL},
    SFTN_OPTION_END,
};

static sftn_value centred(sftn_graph *g, sftn_value x)
{
    return sftn_sub(g, x, sftn_mean(g, x, SFTN_AXIS_C));
}

/* 1 - the mean correlation between rows of a and b [R,F,1,1]. */
static sftn_value unrelated(sftn_graph *g, sftn_value a, sftn_value b)
{
    const sftn_value x = centred(g, a), y = centred(g, b);
    const sftn_value product = sftn_sum(g, sftn_mul(g, x, y), SFTN_AXIS_C);
    const sftn_value norms =
        sftn_shift(g, sftn_mul(g, sftn_length(g, x), sftn_length(g, y)), 1e-8f);
    const sftn_value r = sftn_mean(g, sftn_div(g, product, norms), SFTN_ALL_AXES);

    return sftn_shift(g, sftn_neg(g, r), 1.0f);
}

static sftn_value dist_loss(const sftn_distill_args *a)
{
    static const int transpose[] = {1, 0, 2, 3};
    const dist_options *opt = a->options;
    const float t = opt->temperature;
    sftn_graph *g = a->g;
    const sftn_value ps = sftn_softmax(g, sftn_scale(g, a->pair->student, 1.0f / t));
    const sftn_value pt = sftn_softmax(g, sftn_scale(g, a->pair->teacher, 1.0f / t));
    const sftn_value between = unrelated(g, ps, pt);
    const sftn_value within =
        unrelated(g, sftn_permute(g, ps, transpose), sftn_permute(g, pt, transpose));

    return sftn_add(g, sftn_scale(g, between, opt->beta * t * t),
                    sftn_scale(g, within, opt->gamma * t * t));
}

const sftn_distiller sftn_distiller_dist = {
    .name         = "dist",
    .summary      = "match correlations of the softened answers, across classes and images",
    .reference    = "Huang et al., NeurIPS 2022",
    .options      = dist_option_table,
    .options_size = sizeof(dist_options),
    .pairs        = "logits",
    .weight       = 1.0,
    .task_weight  = 1.0,
    .loss         = dist_loss,
};
