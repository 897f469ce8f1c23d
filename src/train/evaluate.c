/*
 * evaluate: top-1 and top-5 accuracy and mean cross-entropy of a network on a split.
 *
 * A label's rank is the number of classes ranked before it; ties go to the smaller class index, so
 * that the figures do not depend on the order of anything.
 */
#include "train/evaluate.h"

#include <string.h>

enum { EVAL_BATCH = 128 };

sftn_status sftn_subject_check(const char *name, int classes, int channels, int image_size,
                               const sftn_dataset_info *info, sftn_error *err)
{
    if (classes != info->classes)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "%s knows %d classes, the data set %s has %d",
                         name, classes, info->name, info->classes);
    if (channels != info->channels || image_size != info->height || image_size != info->width)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "%s takes images of %d channels and %dx%d pixels, those of the data set "
                         "%s have %d channels and %dx%d pixels",
                         name, channels, image_size, image_size, info->name, info->channels,
                         info->height, info->width);
    return SFTN_OK;
}

/* (x std + mean - mean') / std', channel by channel. */
sftn_value sftn_renormalize(sftn_graph *g, sftn_value image, const sftn_subject *subject,
                            const sftn_dataset_info *info)
{
    const size_t bytes = (size_t)info->channels * sizeof(float);
    sftn_value channel[4];

    if (!subject->mean || !subject->std || info->channels > 4 ||
        (memcmp(subject->mean, info->mean, bytes) == 0 &&
         memcmp(subject->std, info->std, bytes) == 0))
        return image;
    for (int c = 0; c < info->channels; c++) {
        const float factor = info->std[c] / subject->std[c];
        const float offset = (info->mean[c] - subject->mean[c]) / subject->std[c];

        channel[c] = sftn_slice(g, image, SFTN_C, c, 1);
        channel[c] = sftn_shift(g, sftn_scale(g, channel[c], factor), offset);
    }
    return info->channels == 1 ? channel[0] : sftn_concat(g, channel, info->channels, SFTN_C);
}

typedef struct asked {
    const sftn_subject *subject;
    const sftn_dataset_info *info;
} asked;

/* Of each image: whether the label is ranked first, whether among five, its -ln p: [n,3,1,1]. */
static sftn_value score(void *ctx, sftn_graph *g, sftn_value image, sftn_value labels)
{
    const asked *a = ctx;
    const sftn_subject *subject = a->subject;
    const sftn_scope scope = {.g = g, .params = subject->params, .frozen = true};
    const sftn_value seen = sftn_renormalize(g, image, subject, a->info);
    const sftn_value logits =
        sftn_model_build(subject->model, &scope, seen, subject->classes, 0).logits;
    const sftn_value rank = sftn_rank(g, logits, labels);
    const sftn_value target = sftn_one_hot(g, labels, subject->classes);
    const sftn_value picked = sftn_mul(g, target, sftn_log_softmax(g, logits));
    const sftn_value said[] = {
        sftn_step(g, sftn_shift(g, sftn_neg(g, rank), 0.5f)),
        sftn_step(g, sftn_shift(g, sftn_neg(g, rank), 4.5f)),
        sftn_neg(g, sftn_sum(g, picked, SFTN_AXIS_C)),
    };

    return sftn_concat(g, said, 3, SFTN_C);
}

sftn_status sftn_evaluator_open(sftn_survey *e, const sftn_subject *subject,
                                const sftn_dataset *data, sftn_split split, int64_t batch,
                                const sftn_plan_options *plan, int threads, sftn_error *err)
{
    asked a = {subject, sftn_dataset_get_info(data)};

    return sftn_survey_open(e, score, &a, data, split, batch, plan, threads, err);
}

sftn_status sftn_evaluator_run(sftn_survey *e, sftn_scores *scores, sftn_error *err)
{
    const sftn_status status = sftn_survey_run(e, err);
    const double n = (double)e->n;

    *scores = (sftn_scores){0};
    if (!status)
        *scores = (sftn_scores){.n = e->n,
                                .top1 = 100.0 * e->sum[0] / n,
                                .top5 = 100.0 * e->sum[1] / n,
                                .loss = e->sum[2] / n};
    return status;
}

sftn_status sftn_evaluate(const sftn_network *net, const sftn_dataset *data, sftn_split split,
                          const sftn_plan_options *plan, sftn_scores *scores, sftn_error *err)
{
    const sftn_subject subject = {.model = &net->model,
                                  .params = net->params,
                                  .classes = net->classes,
                                  .mean = net->mean,
                                  .std = net->std};
    sftn_survey e = {0};
    sftn_status status =
        sftn_subject_check(net->model.name, net->classes, net->channels, net->image_size,
                           sftn_dataset_get_info(data), err);

    if (!status)
        status = sftn_evaluator_open(&e, &subject, data, split, EVAL_BATCH, plan, 1, err);
    if (!status)
        status = sftn_evaluator_run(&e, scores, err);
    sftn_survey_close(&e);
    return status;
}
