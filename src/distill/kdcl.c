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
 *     general    sum over networks of w_i z_i, w = C^-1 1 / (1' C^-1 1), C the correlation of the
 *                networks' errors on held-out images
 *
 * Each network sees a crop of its own of the same images.  The paper says nothing known here of how
 * the a_i are found; a few steps of mirror descent do it (below).  Of C only the outline is known;
 * choices made here are
 *
 *     C_ij = mean over the validation split of <p_i - y, p_j - y>, p = softmax(z), y the label's
 *            one-hot; in evaluation mode, of images that are not augmented
 *
 * measured after each epoch for the next one, w = 1/networks in the first, and a ridge r: C is
 * replaced by C + r tr(C)/networks I.  The w minimize the mean square w' C w of the combined error
 * (Perrone and Cooper, 1993), may be negative, and grow without bound as C becomes singular, as
 * that of equal networks is; with the ridge |w|^2 <= 1/r + 1/networks, and equal networks weigh the
 * same.
 */
#include "distill/mutual.h"

#include <float.h>
#include <math.h>

enum { MINLOGIT, NAIVE, LINEAR, GENERAL };

typedef struct kdcl_options {
    float temperature, ridge;
    int ensemble, steps;
    bool detach;
} kdcl_options;

static const sftn_option kdcl_option_table[] = {
    {"temperature", SFTN_OPT_FLOAT, offsetof(kdcl_options, temperature), 2.0, 0.01, 1000.0,
     "softening of all answers", NULL, NULL},
    {"ensemble", SFTN_OPT_CHOICE, offsetof(kdcl_options, ensemble), MINLOGIT, 0, 3,
     "what all learn from: the smallest logits beside the label's, each image's best answer, the "
     "batch's best weighted mean, or a mean weighted by the errors on held-out images, which needs "
     "--validation",
     "minlogit|naive|linear|general", NULL},
    {"steps", SFTN_OPT_INT, offsetof(kdcl_options, steps), 20, 1, 200,
     "steps in which linear seeks its weights (a choice made here, not the paper's)", NULL, NULL},
    {"ridge", SFTN_OPT_FLOAT, offsetof(kdcl_options, ridge), 0.01, 1e-4, 1000.0,
     "what general adds to its matrix of errors, times the diagonal's mean: it bounds the weights, "
     "and as it grows they become equal (a choice made here, not the paper's)", NULL, NULL},
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

/* All logits, a column for each network: [1,N K,networks,1]. */
static sftn_value columns(const sftn_mutual_args *a)
{
    const sftn_shape shape = sftn_value_shape(a->g, a->logits[0]);
    const sftn_shape column = SFTN_SHAPE(1, shape.dim[SFTN_N] * shape.dim[SFTN_C], 1, 1);
    sftn_value all[SFTN_MAX_PEERS];

    for (int i = 0; i < a->n; i++)
        all[i] = sftn_reshape(a->g, a->logits[i], column);
    return sftn_concat(a->g, all, a->n, SFTN_H);
}

/* The sum of all logits, each times its weight of [1,networks,1,1]. */
static sftn_value combined(const sftn_mutual_args *a, sftn_value all, sftn_value weights)
{
    return sftn_reshape(a->g, sftn_matmul(a->g, all, weights, (sftn_matmul_spec){0}),
                        sftn_value_shape(a->g, a->logits[0]));
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
    const sftn_value all = columns(a), target = sftn_one_hot(g, a->labels, a->classes);
    const int64_t n = sftn_value_shape(g, a->logits[0]).dim[SFTN_N];
    const sftn_value step = sftn_reciprocal(g, sftn_scale(g, curvature(a), (float)n));
    sftn_value w = sftn_graph_constant(g, (sftn_type){SFTN_SHAPE(1, a->n, 1, 1), true}, 0.0f);

    for (int i = 0;; i++) {
        sftn_value z = combined(a, all, sftn_softmax(g, w));
        sftn_shape column = sftn_value_shape(g, all);

        if (i == opt->steps)
            return z;
        column.dim[SFTN_H] = 1;
        z = sftn_reshape(g, sftn_sub(g, sftn_softmax(g, z), target), column);
        z = sftn_matmul(g, all, z, (sftn_matmul_spec){.trans_a = true});
        w = sftn_sub(g, w, sftn_mul(g, z, step));
    }
}

/* ---- weights by errors on held-out images ---- */

static sftn_value weighted_mean(const sftn_mutual_args *a)
{
    const sftn_param spec = {.kind = SFTN_PARAM_STATE,
                             .shape = SFTN_SHAPE(1, a->n, 1, 1),
                             .rank = 1,
                             .init = SFTN_INIT_CONSTANT,
                             .scale = 1.0f / (float)a->n};
    const sftn_value w = sftn_nn_param(a->scope, "weights", &spec, NULL);

    return combined(a, columns(a), w);
}

/* <p_i - y, p_j - y> of each image, [N,networks,networks,1]. */
static sftn_value error_products(const sftn_mutual_args *a)
{
    sftn_graph *g = a->g;
    const sftn_shape shape = sftn_value_shape(g, a->logits[0]);
    const sftn_shape row = SFTN_SHAPE(shape.dim[SFTN_N], 1, shape.dim[SFTN_C], 1);
    const sftn_value target = sftn_one_hot(g, a->labels, a->classes);
    sftn_value error[SFTN_MAX_PEERS];

    for (int i = 0; i < a->n; i++)
        error[i] = sftn_reshape(g, sftn_sub(g, sftn_softmax(g, a->logits[i]), target), row);
    error[0] = sftn_concat(g, error, a->n, SFTN_C);
    return sftn_matmul(g, error[0], error[0], (sftn_matmul_spec){.trans_b = true});
}

/* Solve m x = 1 for a symmetric, positive definite m [n,n], which is lost; false: it is not. */
static bool solve_for_ones(int n, double *m, double *x)
{
    for (int i = 0; i < n; i++)
        x[i] = 1.0;
    for (int i = 0; i < n; i++) {
        if (!(m[i * n + i] > 0.0))
            return false;
        for (int k = i + 1; k < n; k++) {
            const double f = m[k * n + i] / m[i * n + i];

            for (int j = i; j < n; j++)
                m[k * n + j] -= f * m[i * n + j];
            x[k] -= f * x[i];
        }
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int j = i + 1; j < n; j++)
            x[i] -= m[i * n + j] * x[j];
        x[i] /= m[i * n + i];
    }
    return true;
}

/*
 * mean: C [n,n].  Equal weights where there are no errors, or errors that are no numbers.  The
 * ridge is far above the rounding of C, which is float32's.
 */
static void weigh(const void *options, int n, const double *mean, float *weights)
{
    const kdcl_options *opt = options;
    double m[SFTN_MAX_PEERS * SFTN_MAX_PEERS], w[SFTN_MAX_PEERS], size = 0.0, sum = 0.0;
    bool solved;

    for (int i = 0; i < n; i++)
        size += mean[i * n + i] / n;
    for (int k = 0; k < n * n; k++)
        m[k] = mean[k] / size + (k % (n + 1) == 0 ? (double)opt->ridge : 0.0);
    solved = size > 0.0 && isfinite(size) && solve_for_ones(n, m, w);
    for (int i = 0; i < n && solved; i++)
        sum += w[i];
    for (int i = 0; i < n; i++)
        weights[i] = solved && isfinite(sum) ? (float)(w[i] / sum) : 1.0f / (float)n;
}

static const sftn_mutual_survey errors = {
    .why    = "kdcl's general ensemble weighs the networks by their errors on held-out images",
    .state  = "weights",
    .row    = error_products,
    .settle = weigh,
};

static const sftn_mutual_survey *kdcl_survey(const void *options)
{
    const kdcl_options *opt = options;

    return opt->ensemble == GENERAL ? &errors : NULL;
}

static sftn_value kdcl_loss(const sftn_mutual_args *a, int i)
{
    const kdcl_options *opt = a->options;
    sftn_value together = opt->ensemble == NAIVE     ? best_answers(a)
                          : opt->ensemble == LINEAR  ? best_combination(a)
                          : opt->ensemble == GENERAL ? weighted_mean(a)
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
    .survey       = kdcl_survey,
};
