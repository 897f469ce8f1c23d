/*
 * vid: variational information distillation (Ahn et al., CVPR 2019).
 *
 *     L = sum over stages of mean 1/2 ((m(f_s) - f_t)^2 / v_c + ln v_c)
 *
 * The teacher's feature is taken as normally distributed around m(f_s), three 1x1 convolutions
 * without bias with ReLU between them, with one variance a channel, v_c = softplus(l_c) + 1e-5.
 * m and l are trained with the student; v begins at 5.  (mdistiller leaves l out of its optimizer:
 * v stays 5.)  Where sizes differ, the larger map is average-pooled to the smaller one.  The loss
 * may be negative.
 */
#include "distill/distill.h"

#include <math.h>

static const float eps = 1e-5f;

typedef struct vid_options {
    float variance;
    bool train_variance;
} vid_options;

static const sftn_option vid_option_table[] = {
    {"variance", SFTN_OPT_FLOAT, offsetof(vid_options, variance), 5.0, 0.001, 1000.0,
     "variance that training begins with", NULL, NULL},
    {"train-variance", SFTN_OPT_BOOL, offsetof(vid_options, train_variance), 1.0, 0.0, 1.0,
     "train it, as the CRD benchmark does; else it stays, as in mdistiller", NULL, NULL},
    SFTN_OPTION_END,
};

static void vid_adapt(const sftn_distill_args *a, sftn_tap_pair *pair)
{
    for (int i = 0; i < a->npairs; i++) {
        const sftn_scope s = sftn_pair_scope(a, i);
        const sftn_value ft = sftn_pool_to_match(a->g, pair[i].teacher, pair[i].student);
        const sftn_conv conv = {.filters = (int)sftn_value_shape(a->g, ft).dim[SFTN_C], .size = 1};
        sftn_value x = sftn_pool_to_match(a->g, pair[i].student, pair[i].teacher);

        x = sftn_relu(a->g, sftn_nn_conv(&s, "regressor.0", x, conv));
        x = sftn_relu(a->g, sftn_nn_conv(&s, "regressor.2", x, conv));
        pair[i].student = sftn_nn_conv(&s, "regressor.4", x, conv);
        pair[i].teacher = ft;
    }
}

/* v [1,C,1,1], one number for each channel of f. */
static sftn_value variance(const sftn_distill_args *a, int i, sftn_value f)
{
    const vid_options *opt = a->options;
    const sftn_scope s = sftn_pair_scope(a, i);
    const sftn_param spec = {
        .kind = SFTN_PARAM_WEIGHT,
        .shape = SFTN_SHAPE(1, sftn_value_shape(a->g, f).dim[SFTN_C], 1, 1),
        .rank = 1,
        .init = SFTN_INIT_CONSTANT,
        .scale = (float)log(expm1((double)opt->variance - (double)eps)),
    };

    sftn_value l = sftn_nn_param(&s, "log_scale", &spec, NULL);

    if (!opt->train_variance)
        l = sftn_detach(a->g, l);
    return sftn_shift(a->g, sftn_softplus(a->g, l), eps);
}

static sftn_value vid_loss(const sftn_distill_args *a)
{
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++) {
        const sftn_tap_pair *p = &a->pair[i];
        const sftn_value v = variance(a, i, p->teacher);
        const sftn_value square = sftn_square(a->g, sftn_sub(a->g, p->student, p->teacher));
        const sftn_value log_v = sftn_mean(a->g, sftn_log(a->g, v), SFTN_ALL_AXES);

        term[i] = sftn_mean(a->g, sftn_div(a->g, square, v), SFTN_ALL_AXES);
        term[i] = sftn_scale(a->g, sftn_add(a->g, term[i], log_v), 0.5f);
    }
    return sftn_add_terms(a->g, term, a->npairs);
}

const sftn_distiller sftn_distiller_vid = {
    .name         = "vid",
    .summary      = "keep information about the teacher's features of every stage",
    .reference    = "Ahn et al., CVPR 2019",
    .options      = vid_option_table,
    .options_size = sizeof(vid_options),
    .pairs        = "stages",
    .weight       = 1.0,
    .task_weight  = 1.0,
    .adapt        = vid_adapt,
    .loss         = vid_loss,
};
