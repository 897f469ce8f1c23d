/*
 * kd: knowledge distillation (Hinton, Vinyals and Dean, 2015).
 *
 *     L = T^2 / N sum_n KL(softmax(z_t / T) || softmax(z_s / T))
 *
 * z_s, z_t: logits [N,K,1,1] of student and teacher.  The sum goes over classes, the mean over the
 * batch.  Temperature and weights (0.9, and 0.1 for the labels) are those of the CRD benchmark.
 */
#include "distill/distill.h"

typedef struct kd_options {
    float temperature;
} kd_options;

static const sftn_option kd_option_table[] = {
    {"temperature", SFTN_OPT_FLOAT, offsetof(kd_options, temperature), 4.0, 0.01, 1000.0,
     "softening of both networks' answers", NULL, NULL},
    SFTN_OPTION_END,
};

static sftn_value kd_loss(const sftn_distill_args *a)
{
    const kd_options *opt = a->options;

    return sftn_kl_divergence(a->g, a->pair->teacher, a->pair->student, opt->temperature);
}

const sftn_distiller sftn_distiller_kd = {
    .name          = "kd",
    .summary       = "match the softened answers",
    .reference     = "Hinton, Vinyals and Dean, 2015",
    .options       = kd_option_table,
    .options_size  = sizeof(kd_options),
    .pairs         = "logits",
    .weight        = 0.9,
    .task_weight   = 0.1,
    .weight_beside = 1.0,
    .loss          = kd_loss,
};
