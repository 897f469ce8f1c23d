/*
 * survey: runs a graph over the images of a split, in their order, and adds up its rows in double.
 */
#include "train/survey.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>

/* Output "row". */
static sftn_status compile(sftn_survey *s, sftn_row *row, void *ctx, const sftn_dataset_info *info,
                           int64_t batch, const sftn_plan_options *plan, sftn_error *err)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_type image_type = {
        .shape = SFTN_SHAPE(batch, info->channels, info->height, info->width)};
    const sftn_type label_type = {.shape = SFTN_SHAPE(batch, 1, 1, 1), .wide = true};
    sftn_value image, labels, value;
    sftn_shape shape;
    sftn_status status;

    if (!g)
        return sftn_fail(err, SFTN_ERR_MEMORY, "evaluation: out of memory");
    image = sftn_graph_input(g, "image", image_type);
    labels = sftn_graph_input(g, "labels", label_type);
    value = row(ctx, g, image, labels);
    sftn_graph_output(g, "row", value);
    status = sftn_graph_status(g, err);
    if (!status)
        status = sftn_plan_new(g, plan, &s->plan, err);
    if (!status) {
        shape = sftn_value_shape(g, value);
        s->columns = sftn_shape_count(&shape) / batch;
    }
    sftn_graph_free(g);
    return status;
}

sftn_status sftn_survey_open(sftn_survey *s, sftn_row *row, void *ctx, const sftn_dataset *data,
                             sftn_split split, int64_t batch, const sftn_plan_options *plan,
                             int threads, sftn_error *err)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(data);
    const int64_t records = info->records[split];
    sftn_loader_options loader = {.split = split, .threads = threads};
    sftn_status status;

    *s = (sftn_survey){0};
    if (records < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "the data set %s has no records to measure on",
                         info->name);
    batch = batch < records ? batch : records;
    status = compile(s, row, ctx, info, batch, plan, err);
    if (!status)
        status = sftn_feed_open(&s->feed, s->plan, err);
    if (status)
        return status;
    s->row = sftn_calloc((size_t)(batch * s->columns), sizeof *s->row);
    s->sum = sftn_calloc((size_t)s->columns, sizeof *s->sum);
    if (!s->row || !s->sum)
        return sftn_fail(err, SFTN_ERR_MEMORY, "evaluation: out of memory");
    sftn_feed_loader(&s->feed, &loader);
    status = sftn_loader_new(data, &loader, &s->loader, err);
    if (!status)
        s->batches = sftn_loader_batches(s->loader);
    return status;
}

void sftn_survey_close(sftn_survey *s)
{
    sftn_loader_free(s->loader);
    sftn_plan_free(s->plan);
    free(s->row);
    free(s->sum);
    *s = (sftn_survey){0};
}

sftn_status sftn_survey_run(sftn_survey *s, sftn_error *err)
{
    sftn_status status = sftn_plan_refresh(s->plan, err);

    memset(s->sum, 0, (size_t)s->columns * sizeof *s->sum);
    s->n = 0;
    sftn_loader_seek(s->loader, 0, 0);
    for (int64_t b = 0; b < s->batches && !status; b++) {
        const sftn_batch *batch = sftn_loader_next(s->loader);

        sftn_feed_write(&s->feed, batch);
        status = sftn_plan_run(s->plan, err);
        if (!status)
            status = sftn_plan_read(s->plan, "row", s->row, err);
        if (status)
            return status;
        for (int64_t i = 0; i < batch->n; i++)
            for (int64_t k = 0; k < s->columns; k++)
                s->sum[k] += s->row[i * s->columns + k];
        s->n += batch->n;
    }
    return status;
}
