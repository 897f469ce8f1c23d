/*
 * checkpoint: everything a run needs to go on as if it had never stopped, in one safetensors file.
 *
 *     STORE.entry             weights, states and counters of every store ("model.conv1.weight")
 *     momentum.STORE.entry    the optimizer's buffers, of the phase that the position is in
 *     momentum2.STORE.entry   those of the second group of gradients, where there are two
 *     ema.entry               averages of the network, where they are kept
 *     run.position            int64: sftn_position        run.memory: float64: sftn_memory
 *
 * The metadata holds the job's description and the options; a checkpoint is taken up only by a run
 * that has the same.  It also holds the number of threads, which a run may change, to other bits.
 * Random numbers need no state: they are keyed by seed, epoch and record.
 * Times are not kept, so that an interrupted run ends in the same bytes as one that was not.
 */
#include "train/run.h"
#include "train/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sftn_values store_values(const sftn_run_state *r, int store)
{
    sftn_params *p = r->job->params[store];

    return (sftn_values){p, sftn_params_weights(p), sftn_params_states(p)};
}

/* The optimizer's buffers of one store, of the first group of gradients or the second. */
static sftn_values momentum_values(const sftn_run_state *r, int store, bool second)
{
    return (sftn_values){r->job->params[store],
                         second ? sftn_params_weights(r->optimizer.second[store])
                                : r->optimizer.momentum[store],
                         NULL};
}

static sftn_values ema_values(const sftn_run_state *r)
{
    return (sftn_values){r->job->params[0], r->ema.weights, r->ema.states};
}

/* "model." or "momentum.model." */
static void store_prefix(const sftn_run_state *r, int store, const char *before, char *prefix,
                         size_t size)
{
    snprintf(prefix, size, "%s%s.", before, r->job->params_name[store]);
}

/* ---- saving ---- */

static sftn_status check_finite(const sftn_run_state *r, sftn_error *err)
{
    for (int s = 0; s < r->job->nparams; s++) {
        sftn_params *p = r->job->params[s];

        for (int i = 0; i < sftn_params_count(p); i++) {
            const sftn_param *e = sftn_params_get(p, i);
            const float *value = sftn_params_value(p, i);
            float sum = 0.0f;

            /* x - x is 0, or NaN where x is not finite. */
            for (int64_t k = 0; k < e->count; k++)
                sum += value[k] - value[k];
            if (!isfinite(sum))
                return sftn_fail(err, SFTN_ERR_NUMERIC,
                                 "epoch %lld: '%s' of the %s holds numbers that are not finite; "
                                 "training stops, the last checkpoint is kept",
                                 (long long)r->position.epoch + (r->position.batch > 0), e->name,
                                 r->job->params_name[s]);
        }
    }
    return SFTN_OK;
}

static sftn_status add_arrays(const sftn_run_state *r, sftn_tensors *t, sftn_error *err)
{
    const sftn_array position = {.name = "run.position",
                                 .element = SFTN_ELEMENT_I64,
                                 .rank = 1,
                                 .dim = {SFTN_POSITION_COUNT},
                                 .data = &r->position};
    const sftn_array memory = {.name = "run.memory",
                               .element = SFTN_ELEMENT_F64,
                               .rank = 1,
                               .dim = {SFTN_MEMORY_COUNT},
                               .data = &r->memory};
    const int groups = r->optimizer.sgd.dot > 0.0 ? 2 : 1;
    sftn_status status = sftn_tensors_add(t, &position, err);
    char prefix[128];

    if (!status)
        status = sftn_tensors_add(t, &memory, err);
    for (int s = 0; s < r->job->nparams && !status; s++) {
        const sftn_values values = store_values(r, s);

        store_prefix(r, s, "", prefix, sizeof prefix);
        status = sftn_tensors_add_values(t, prefix, &values, err);
        for (int k = 0; k < groups && !status; k++) {
            const sftn_values momentum = momentum_values(r, s, k > 0);

            store_prefix(r, s, k ? "momentum2." : "momentum.", prefix, sizeof prefix);
            status = sftn_tensors_add_values(t, prefix, &momentum, err);
        }
    }
    if (!status && r->ema.params) {
        const sftn_values values = ema_values(r);

        status = sftn_tensors_add_values(t, "ema.", &values, err);
    }
    return status;
}

sftn_status sftn_checkpoint_save(const sftn_run_state *r, sftn_error *err)
{
    sftn_tensors *t = sftn_tensors_new();
    const sftn_run_origin origin = {r->job, r->options_text, r->data};
    char *path = sftn_run_path(r->opt->dir, "checkpoint");
    sftn_status status = SFTN_OK;
    char threads[16];

    snprintf(threads, sizeof threads, "%d", sftn_get_threads());
    if (!t || !path)
        status = sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", r->opt->dir);
    if (!status)
        status = check_finite(r, err);
    if (!status)
        status = sftn_set_network_meta(t, "checkpoint", r->job->model, &origin, err);
    if (!status)
        status = sftn_tensors_set_meta(t, "threads", threads, err);
    if (!status)
        status = add_arrays(r, t, err);
    if (!status)
        status = sftn_tensors_save(t, path, err);
    sftn_tensors_close(t);
    free(path);
    return status;
}

sftn_status sftn_networks_save(sftn_run_state *r, sftn_error *err)
{
    const sftn_run_origin origin = {r->job, r->options_text, r->data};
    sftn_status status = check_finite(r, err);

    for (int s = 0; s < r->job->nparams && !status; s++)
        status = sftn_write_store(&origin, s, r->opt->dir, s ? r->job->params_name[s] : "model",
                                  err);
    if (!status && r->ema.params) {
        sftn_ema_swap(&r->ema);
        status = sftn_write_store(&origin, 0, r->opt->dir, "ema", err);
        sftn_ema_swap(&r->ema);
    }
    return status;
}

/* ---- loading ---- */

static sftn_status check_owner(const sftn_run_state *r, const sftn_tensors *t, const char *path,
                               sftn_error *err)
{
    const char *kind = sftn_tensors_meta(t, "kind"), *model = sftn_tensors_meta(t, "model");
    const char *job = sftn_tensors_meta(t, "job"), *options = sftn_tensors_meta(t, "options");
    sftn_difference d;

    if (!kind || strcmp(kind, "checkpoint") != 0 || !model || !job || !options)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: not a checkpoint of a training run", path);
    if (strcmp(model, r->job->model->name) != 0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "%s is the checkpoint of a run that trains %s, this run trains %s", path,
                         model, r->job->model->name);
    if (sftn_options_differ(job, r->job->description, &d) ||
        sftn_options_differ(options, r->options_text, &d))
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "%s is the checkpoint of another run: '%s' is %s there and %s here", path,
                         d.name, d.there, d.here);
    return SFTN_OK;
}

static sftn_status read_arrays(sftn_run_state *r, const sftn_tensors *t, sftn_error *err)
{
    const int groups = r->optimizer.sgd.dot > 0.0 ? 2 : 1;
    sftn_status status = SFTN_OK;
    char prefix[128];

    for (int s = 0; s < r->job->nparams && !status; s++) {
        const sftn_values values = store_values(r, s);

        store_prefix(r, s, "", prefix, sizeof prefix);
        status = sftn_tensors_read_values(t, prefix, &values, err);
        for (int k = 0; k < groups && !status; k++) {
            const sftn_values momentum = momentum_values(r, s, k > 0);

            store_prefix(r, s, k ? "momentum2." : "momentum.", prefix, sizeof prefix);
            status = sftn_tensors_read_values(t, prefix, &momentum, err);
        }
    }
    if (!status && r->ema.params) {
        const sftn_values values = ema_values(r);

        status = sftn_tensors_read_values(t, "ema.", &values, err);
    }
    return status;
}

static sftn_status read_position(sftn_run_state *r, const sftn_tensors *t, const char *path,
                                 sftn_error *err)
{
    const sftn_array *position, *memory;
    const sftn_position *p = &r->position;
    sftn_status status = sftn_tensors_expect(t, "run.position", SFTN_ELEMENT_I64,
                                             SFTN_POSITION_COUNT, &position, err);

    if (!status)
        status = sftn_tensors_expect(t, "run.memory", SFTN_ELEMENT_F64, SFTN_MEMORY_COUNT, &memory,
                                     err);
    if (status)
        return status;
    memcpy(&r->position, position->data, sizeof r->position);
    memcpy(&r->memory, memory->data, sizeof r->memory);
    if (p->epoch < 0 || p->epoch > r->epochs || p->batch < 0 ||
        p->batch >= r->batches || p->step != p->epoch * r->batches + p->batch)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: epoch %lld, batch %lld, step %lld is no position of a run of %lld "
                         "epochs of %lld batches",
                         path, (long long)p->epoch, (long long)p->batch, (long long)p->step,
                         (long long)r->epochs, (long long)r->batches);
    return SFTN_OK;
}

sftn_status sftn_checkpoint_load(sftn_run_state *r, sftn_error *err)
{
    char *path = sftn_run_path(r->opt->dir, "checkpoint");
    sftn_tensors *t = NULL;
    sftn_status status;

    if (!path)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", r->opt->dir);
    status = sftn_tensors_open(path, &t, err);
    if (!status)
        status = check_owner(r, t, path, err);
    if (!status)
        status = read_position(r, t, path, err);
    if (!status)
        status = read_arrays(r, t, err);
    sftn_tensors_close(t);
    free(path);
    return status;
}

sftn_status sftn_checkpoint_threads(const char *dir, int *threads, sftn_error *err)
{
    char *path = sftn_run_path(dir, "checkpoint");
    sftn_tensors *t = NULL;
    const char *text;
    sftn_status status;

    *threads = 0;
    if (!path)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", dir);
    status = sftn_tensors_open(path, &t, err);
    text = status ? NULL : sftn_tensors_meta(t, "threads");
    if (text)
        *threads = (int)strtol(text, NULL, 10);
    sftn_tensors_close(t);
    free(path);
    return status;
}
