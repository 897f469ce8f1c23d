/*
 * kdcl: online knowledge distillation via collaborative learning (Guo et al., CVPR 2020).
 *
 *     L_i = T^2 KL(softmax(z / T) || softmax(z_i / T))
 *
 * for each network, T = 2; z is what all answers make together, a constant:
 *
 *     minlogit   the smallest over networks of z_k - z_k[label], element by element
 *     naive      for each image the answer with the smallest cross-entropy
 *
 * The paper's other two ensembles (the best convex combination of a batch; one by the errors'
 * correlation on held-out data) are not offered.  There each network has crops of its own of the
 * same images; here all networks see the same crop.
 */
#include "distill/mutual.h"

enum { MINLOGIT, NAIVE };

typedef struct kdcl_options {
    float temperature;
    int ensemble;
} kdcl_options;

static const sftn_option kdcl_option_table[] = {
    {"temperature", SFTN_OPT_FLOAT, offsetof(kdcl_options, temperature), 2.0, 0.01, 1000.0,
     "softening of all answers", NULL, NULL},
    {"ensemble", SFTN_OPT_CHOICE, offsetof(kdcl_options, ensemble), MINLOGIT, 0, 1,
     "what all learn from: the smallest logits beside the label's, or each image's best answer",
     "minlogit|naive", NULL},
    SFTN_OPTION_END,
};

/* The label's entry of each row of x, [N,1,1,1]. */
static sftn_value of_label(const sftn_mutual_args *a, sftn_value x)
{
    return sftn_sum(a->g, sftn_mul(a->g, x, sftn_one_hot(a->g, a->labels, a->classes)),
                    SFTN_AXIS_C);
}

static sftn_value smallest_logits(const sftn_mutual_args *a)
{
    sftn_value least = SFTN_NONE;

    for (int i = 0; i < a->n; i++) {
        const sftn_value z = sftn_sub(a->g, a->logits[i], of_label(a, a->logits[i]));

        least = i == 0 ? z : sftn_min2(a->g, least, z);
    }
    return least;
}

static sftn_value best_answers(const sftn_mutual_args *a)
{
    sftn_value best = a->logits[0], score = of_label(a, sftn_log_softmax(a->g, best));

    for (int i = 1; i < a->n; i++) {
        const sftn_value z = a->logits[i], s = of_label(a, sftn_log_softmax(a->g, z));
        const sftn_value better = sftn_greater(a->g, s, score);

        best = sftn_add(a->g, best, sftn_mul(a->g, better, sftn_sub(a->g, z, best)));
        score = sftn_max2(a->g, score, s);
    }
    return best;
}

static sftn_value kdcl_loss(const sftn_mutual_args *a, int i)
{
    const kdcl_options *opt = a->options;
    const sftn_value together = opt->ensemble == NAIVE ? best_answers(a) : smallest_logits(a);

    return sftn_kl_divergence(a->g, sftn_detach(a->g, together), a->logits[i], opt->temperature);
}

const sftn_mutual sftn_mutual_kdcl = {
    .name         = "kdcl",
    .summary      = "each network imitates what all of them answer together",
    .reference    = "Guo et al., CVPR 2020",
    .options      = kdcl_option_table,
    .options_size = sizeof(kdcl_options),
    .weight       = 1.0,
    .loss         = kdcl_loss,
};
