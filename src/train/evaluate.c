/*
 * evaluate: top-1 and top-5 accuracy and mean cross-entropy of a network on a split.
 *
 * A label's rank is the number of classes ranked before it; ties go to the smaller class index, so
 * that the figures do not depend on the order of anything.
 */
#include "train/evaluate.h"

#include <math.h>
#include <stdlib.h>
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

/* Outputs "rank" and "nll", [batch,1,1,1]. */
static sftn_status build(sftn_evaluator *e, const sftn_subject *subject,
                         const sftn_dataset_info *info, int64_t batch,
                         const sftn_plan_options *plan, sftn_error *err)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_scope scope = {.g = g, .params = subject->params, .frozen = true};
    const sftn_type image_type = {
        .shape = SFTN_SHAPE(batch, info->channels, info->height, info->width)};
    const sftn_type label_type = {.shape = SFTN_SHAPE(batch, 1, 1, 1), .wide = true};
    sftn_value image, labels, logits, picked;
    sftn_status status;

    if (!g)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", subject->model->name);
    image = sftn_graph_input(g, "image", image_type);
    labels = sftn_graph_input(g, "labels", label_type);
    image = sftn_renormalize(g, image, subject, info);
    logits = sftn_model_build(subject->model, &scope, image, subject->classes, 0).logits;
    picked = sftn_mul(g, sftn_one_hot(g, labels, subject->classes), sftn_log_softmax(g, logits));
    sftn_graph_output(g, "rank", sftn_rank(g, logits, labels));
    sftn_graph_output(g, "nll", sftn_neg(g, sftn_sum(g, picked, SFTN_AXIS_C)));
    status = sftn_graph_status(g, err);
    if (!status)
        status = sftn_plan_new(g, plan, &e->plan, err);
    sftn_graph_free(g);
    return status;
}

sftn_status sftn_evaluator_open(sftn_evaluator *e, const sftn_subject *subject,
                                const sftn_dataset *data, sftn_split split, int64_t batch,
                                const sftn_plan_options *plan, int threads, sftn_error *err)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(data);
    const int64_t records = info->records[split];
    sftn_loader_options loader = {.split = split, .threads = threads};
    sftn_status status;

    *e = (sftn_evaluator){0};
    if (records < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "the data set %s has no records to measure on",
                         info->name);
    batch = batch < records ? batch : records;
    e->rank = sftn_calloc((size_t)batch, sizeof *e->rank);
    e->nll = sftn_calloc((size_t)batch, sizeof *e->nll);
    if (!e->rank || !e->nll)
        return sftn_fail(err, SFTN_ERR_MEMORY, "evaluation: out of memory");
    status = build(e, subject, info, batch, plan, err);
    if (!status)
        status = sftn_feed_open(&e->feed, e->plan, err);
    if (status)
        return status;
    sftn_feed_loader(&e->feed, &loader);
    status = sftn_loader_new(data, &loader, &e->loader, err);
    if (!status)
        e->batches = sftn_loader_batches(e->loader);
    return status;
}

void sftn_evaluator_close(sftn_evaluator *e)
{
    sftn_loader_free(e->loader);
    sftn_plan_free(e->plan);
    free(e->rank);
    free(e->nll);
    *e = (sftn_evaluator){0};
}

sftn_status sftn_evaluator_run(sftn_evaluator *e, sftn_scores *scores, sftn_error *err)
{
    int64_t first = 0, fifth = 0;
    double loss = 0.0;

    *scores = (sftn_scores){0};
    sftn_plan_refresh(e->plan);
    sftn_loader_seek(e->loader, 0, 0);
    for (int64_t b = 0; b < e->batches; b++) {
        const sftn_batch *batch = sftn_loader_next(e->loader);
        sftn_status status;

        sftn_feed_write(&e->feed, batch);
        sftn_plan_run(e->plan);
        status = sftn_plan_read(e->plan, "rank", e->rank, err);
        if (!status)
            status = sftn_plan_read(e->plan, "nll", e->nll, err);
        if (status)
            return status;
        for (int64_t i = 0; i < batch->n; i++) {
            first += e->rank[i] < 0.5;
            fifth += e->rank[i] < 4.5;
            loss += e->nll[i];
        }
        scores->n += batch->n;
    }
    if (scores->n > 0) {
        scores->top1 = 100.0 * (double)first / (double)scores->n;
        scores->top5 = 100.0 * (double)fifth / (double)scores->n;
        scores->loss = loss / (double)scores->n;
    }
    return SFTN_OK;
}

sftn_status sftn_evaluate(const sftn_network *net, const sftn_dataset *data, sftn_split split,
                          const sftn_plan_options *plan, sftn_scores *scores, sftn_error *err)
{
    const sftn_subject subject = {.model = &net->model,
                                  .params = net->params,
                                  .classes = net->classes,
                                  .mean = net->mean,
                                  .std = net->std};
    sftn_evaluator e = {0};
    sftn_status status =
        sftn_subject_check(net->model.name, net->classes, net->channels, net->image_size,
                           sftn_dataset_get_info(data), err);

    if (!status)
        status = sftn_evaluator_open(&e, &subject, data, split, EVAL_BATCH, plan, 1, err);
    if (!status)
        status = sftn_evaluator_run(&e, scores, err);
    sftn_evaluator_close(&e);
    return status;
}
