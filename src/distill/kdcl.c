/*
 * kdcl: online knowledge distillation via collaborative learning (Guo et al., CVPR 2020).
 *
 *     L_i = T^2 KL(softmax(z / T) || softmax(z_i / T))
 *
 * for each network, T = 2; z is what all answers make together, a constant (unless the option
 * `detach` is off: the paper's word on it is not known):
 *
 *     minlogit   the smallest over networks of z_k - z_k[label], element by element
 *     naive      for each image the answer with the smallest cross-entropy
 *     linear     sum over networks of a_i z_i, the a_i >= 0 of sum 1 for which the batch's
 *                cross-entropy is smallest
 *
 * Each network sees a crop of its own of the same images.  The paper says nothing known here of how
 * the a_i are found; a few steps of mirror descent do it (below).  Its fourth ensemble, by the
 * errors' correlation on held-out data, is not offered.
 */
#include "distill/mutual.h"

#include <float.h>

enum { MINLOGIT, NAIVE, LINEAR };

typedef struct kdcl_options {
    float temperature;
    int ensemble, steps;
    bool detach;
} kdcl_options;

static const sftn_option kdcl_option_table[] = {
    {"temperature", SFTN_OPT_FLOAT, offsetof(kdcl_options, temperature), 2.0, 0.01, 1000.0,
     "softening of all answers", NULL, NULL},
    {"ensemble", SFTN_OPT_CHOICE, offsetof(kdcl_options, ensemble), MINLOGIT, 0, 2,
     "what all learn from: the smallest logits beside the label's, each image's best answer, or "
     "the batch's best weighted mean", "minlogit|naive|linear", NULL},
    {"steps", SFTN_OPT_INT, offsetof(kdcl_options, steps), 20, 1, 200,
     "steps in which linear seeks its weights (a choice made here, not the paper's)", NULL, NULL},
    {"detach", SFTN_OPT_BOOL, offsetof(kdcl_options, detach), 1.0, 0.0, 1.0,
     "what all learn from has no gradient into the networks that make it (proposed)", NULL, NULL},
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

/*
 * 1 / step of the descent below: the cross-entropy's curvature in directions of sum 0 and absolute
 * sum 1, the largest of which lead from one network to another, is at most
 * max over i, j of mean over images of (max_k d - min_k d)^2 / 16, d = z_i - z_j.
 */
static sftn_value curvature(const sftn_mutual_args *a)
{
    sftn_graph *g = a->g;
    sftn_value most = SFTN_NONE;

    for (int i = 0; i < a->n; i++)
        for (int j = 0; j < i; j++) {
            const sftn_value d = sftn_sub(g, a->logits[i], a->logits[j]);
            const sftn_value range = sftn_add(g, sftn_max(g, d, SFTN_AXIS_C),
                                              sftn_max(g, sftn_neg(g, d), SFTN_AXIS_C));
            const sftn_value mean = sftn_mean(g, sftn_square(g, range), SFTN_ALL_AXES);

            most = sftn_is_none(most) ? mean : sftn_max2(g, most, mean);
        }
    return sftn_clamp(g, sftn_scale(g, most, 1.0f / 16.0f), 1e-6f, FLT_MAX);
}

/*
 * Mirror descent by entropy (exponentiated gradient): a = softmax(w), w := w - grad / curvature.
 * The cross-entropy is convex in a and smooth by that curvature, so each step lowers it and after t
 * of them, from equal weights, it is at most curvature ln(networks) / t above the smallest.
 */
static sftn_value best_combination(const sftn_mutual_args *a)
{
    const kdcl_options *opt = a->options;
    sftn_graph *g = a->g;
    const sftn_shape shape = sftn_value_shape(g, a->logits[0]);
    const int64_t n = shape.dim[SFTN_N];
    const sftn_shape column = SFTN_SHAPE(1, n * shape.dim[SFTN_C], 1, 1);
    const sftn_value target = sftn_one_hot(g, a->labels, a->classes);
    const sftn_value step = sftn_reciprocal(g, sftn_scale(g, curvature(a), (float)n));
    sftn_value all[SFTN_MAX_PEERS], z, w;

    for (int i = 0; i < a->n; i++)
        all[i] = sftn_reshape(g, a->logits[i], column);
    all[0] = sftn_concat(g, all, a->n, SFTN_H); /* [1,N K,networks,1] */
    w = sftn_graph_constant(g, (sftn_type){SFTN_SHAPE(1, a->n, 1, 1), true}, 0.0f);
    for (int i = 0;; i++) {
        z = sftn_matmul(g, all[0], sftn_softmax(g, w), (sftn_matmul_spec){0});
        z = sftn_reshape(g, z, shape);
        if (i == opt->steps)
            return z;
        z = sftn_reshape(g, sftn_sub(g, sftn_softmax(g, z), target), column);
        z = sftn_matmul(g, all[0], z, (sftn_matmul_spec){.trans_a = true});
        w = sftn_sub(g, w, sftn_mul(g, z, step));
    }
}

static sftn_value kdcl_loss(const sftn_mutual_args *a, int i)
{
    const kdcl_options *opt = a->options;
    sftn_value together = opt->ensemble == NAIVE    ? best_answers(a)
                          : opt->ensemble == LINEAR ? best_combination(a)
                                                    : smallest_logits(a);

    if (opt->detach)
        together = sftn_detach(a->g, together);
    return sftn_kl_divergence(a->g, together, a->logits[i], opt->temperature);
}

const sftn_mutual sftn_mutual_kdcl = {
    .name         = "kdcl",
    .summary      = "each network imitates what all of them answer together",
    .reference    = "Guo et al., CVPR 2020",
    .options      = kdcl_option_table,
    .options_size = sizeof(kdcl_options),
    .weight       = 1.0,
    .own_views    = true,
    .loss         = kdcl_loss,
};
