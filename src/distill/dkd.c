/*
 * dkd: decoupled knowledge distillation (Zhao et al., CVPR 2022).
 *
 *     L = alpha TCKD + beta NCKD
 *     TCKD = T^2 / N sum_n KL([p_t(y), 1 - p_t(y)] || [p_s(y), 1 - p_s(y)])
 *     NCKD = T^2 / N sum_n KL(q_t || q_s)
 *
 * p: softmax of z / T; q: the same over the classes other than the label y.  kd is
 * TCKD + (1 - p_t(y)) NCKD for each image.  Published beta: 8 for resnet32x4 and resnet8x4, 6 for
 * wrn_40_2 with wrn_16_2 or wrn_40_1, 2 for resnet56 and resnet20.  As the authors do, the loss is
 * weighed by epoch / 20 in the first 20 epochs.
 */
#include "distill/distill.h"

typedef struct dkd_options {
    float temperature, alpha, beta;
    int warmup;
} dkd_options;

static const sftn_option dkd_option_table[] = {
    {"temperature", SFTN_OPT_FLOAT, offsetof(dkd_options, temperature), 4.0, 0.01, 1000.0,
     "softening of both networks' answers", NULL, NULL},
    {"alpha", SFTN_OPT_FLOAT, offsetof(dkd_options, alpha), 1.0, 0.0, 1e6,
     "factor of the label's share", NULL, NULL},
    {"beta", SFTN_OPT_FLOAT, offsetof(dkd_options, beta), 8.0, 0.0, 1e6,
     "factor of the other classes' shares; published: 2 for resnet56 and resnet110, 6 for wrn_40_2 "
     "and vgg13, 8 for resnet32x4 and resnet50 and for students of another family, save 6 from "
     "vgg13 to MobileNetV2",
     NULL, NULL},
    SFTN_WARMUP_OPTION(dkd_options, warmup, 20),
    SFTN_OPTION_END,
};

/* Logarithms of a network's softened answer, each [N,...]. */
typedef struct answer {
    sftn_value others; /* [N,K]: of q; about -1000 at the label */
    sftn_value label;  /* [N,1]: of p(y) */
    sftn_value rest;   /* [N,1]: of 1 - p(y) */
} answer;

/*
 * ln p_k - ln q_k is ln(1 - p(y)) for every class k but y: its mean under q, which is 0 at y, loses
 * no digits where p(y) is near 1.
 */
static answer split(sftn_graph *g, sftn_value logits, sftn_value at_label, float temperature)
{
    const sftn_value z = sftn_scale(g, logits, 1.0f / temperature);
    const sftn_value log_p = sftn_log_softmax(g, z);
    answer a;

    a.others = sftn_log_softmax(g, sftn_sub(g, z, sftn_scale(g, at_label, 1000.0f)));
    a.label = sftn_sum(g, sftn_mul(g, log_p, at_label), SFTN_AXIS_C);
    a.rest = sftn_sum(g, sftn_mul(g, sftn_exp(g, a.others), sftn_sub(g, log_p, a.others)),
                      SFTN_AXIS_C);
    return a;
}

/* sum over channels of e^log_p (log_p - log_q) */
static sftn_value divergence(sftn_graph *g, sftn_value log_p, sftn_value log_q)
{
    return sftn_sum(g, sftn_mul(g, sftn_exp(g, log_p), sftn_sub(g, log_p, log_q)), SFTN_AXIS_C);
}

static sftn_value dkd_loss(const sftn_distill_args *a)
{
    const dkd_options *opt = a->options;
    const float t2 = opt->temperature * opt->temperature;
    sftn_graph *g = a->g;
    const sftn_value at_label = sftn_one_hot(g, a->labels, a->classes);
    const answer s = split(g, a->pair->student, at_label, opt->temperature);
    const answer t = split(g, a->pair->teacher, at_label, opt->temperature);
    const sftn_value target = sftn_add(g, divergence(g, t.label, s.label),
                                       divergence(g, t.rest, s.rest));
    const sftn_value others = divergence(g, t.others, s.others);

    return sftn_mean(g, sftn_add(g, sftn_scale(g, target, opt->alpha * t2),
                                 sftn_scale(g, others, opt->beta * t2)), SFTN_AXIS_N);
}

static double dkd_warmup(const void *options)
{
    return ((const dkd_options *)options)->warmup;
}

const sftn_distiller sftn_distiller_dkd = {
    .name         = "dkd",
    .summary      = "match the label's share and the other classes' shares apart",
    .reference    = "Zhao et al., CVPR 2022",
    .options      = dkd_option_table,
    .options_size = sizeof(dkd_options),
    .pairs        = "logits",
    .weight       = 1.0,
    .task_weight  = 1.0,
    .warmup       = dkd_warmup,
    .loss         = dkd_loss,
};
