/*
 * job: what every job needs: checks, stores, and the creation of its parameters.
 */
#include "task/task.h"

void sftn_job_free(sftn_job *job)
{
    if (!job)
        return;
    if (job->self && job->free)
        job->free(job->self);
    *job = (sftn_job){0};
}

void sftn_job_store(sftn_job *job, const char *name, sftn_params *params)
{
    job->params[job->nparams] = params;
    job->params_name[job->nparams] = name;
    job->nparams++;
}

sftn_status sftn_job_check(int classes, int channels, int image_size, float smoothing,
                           sftn_error *err)
{
    if (classes < 2)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "%d classes, expected at least 2", classes);
    if (channels < 1 || image_size < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "images of %d channels and %d pixels, expected at least 1 of each",
                         channels, image_size);
    if (!(smoothing >= 0.0f && smoothing < 1.0f))
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "label smoothing is %g, expected 0 <= value < 1",
                         (double)smoothing);
    return SFTN_OK;
}

static sftn_status build_phase(sftn_job *job, int phase, int channels, int image_size,
                               sftn_error *err)
{
    sftn_job_graph jg = {.g = sftn_graph_new(), .phase = phase, .classes = job->classes};
    sftn_status status;

    if (!jg.g)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", job->model->name);
    jg.image = sftn_graph_input(
        jg.g, "image", (sftn_type){.shape = SFTN_SHAPE(sftn_views_rows(job->views, 2), channels,
                                                       image_size, image_size)});
    jg.labels = sftn_graph_input(jg.g, "labels",
                                 (sftn_type){.shape = SFTN_SHAPE(2, 1, 1, 1), .wide = true});
    jg.record = sftn_graph_input(jg.g, "record",
                                 (sftn_type){.shape = SFTN_SHAPE(2, 1, 1, 1), .wide = true});
    jg.epoch = sftn_graph_input(jg.g, "epoch",
                                (sftn_type){.shape = SFTN_SHAPE(1, 1, 1, 1), .wide = true});
    job->build(job->self, &jg);
    status = sftn_graph_status(jg.g, err);
    if (status)
        sftn_fail_in(err, "%s", job->model->name);
    sftn_graph_free(jg.g);
    return status;
}

sftn_status sftn_job_create_entries(sftn_job *job, int channels, int image_size, sftn_error *err)
{
    sftn_status status = SFTN_OK;

    for (int i = 0; i <= job->nphases && !status; i++)
        status = build_phase(job, i, channels, image_size, err);
    return status;
}
