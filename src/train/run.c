/*
 * run: what one job does in a training, alone or beside others: how its run is opened, makes a
 * step, ends an epoch.
 */
#include "train/run.h"

#include "task/task.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- opening ---- */

static sftn_status check_options(const sftn_train_options *o, sftn_error *err)
{
    const sftn_schedule *s = &o->schedule;

    if (!o->dir)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "training needs a run directory");
    if (o->batch < 1 || s->epochs < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "%lld images a batch and %d epochs, expected at least 1 of each",
                         (long long)o->batch, s->epochs);
    if (!(s->lr >= 0.0) || !isfinite(s->lr) || !(s->warmup >= 0.0) || s->nmilestones < 0 ||
        s->nmilestones > (int)SFTN_COUNT(s->milestone))
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "learning rate %g, warm-up %g, %d milestones: expected 0 or more of each, "
                         "and at most %zu milestones",
                         s->lr, s->warmup, s->nmilestones, SFTN_COUNT(s->milestone));
    if (!(o->momentum >= 0.0 && o->momentum < 1.0) || !(o->weight_decay >= 0.0) ||
        !(o->clip >= 0.0) || !(o->ema >= 0.0 && o->ema < 1.0))
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "momentum %g, weight decay %g, clip %g, average %g: expected 0 or more, "
                         "momentum and average below 1",
                         o->momentum, o->weight_decay, o->clip, o->ema);
    if (!(o->dot >= 0.0 && o->dot <= o->momentum && o->momentum + o->dot < 1.0))
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "DOT sets momenta of %g apart by %g to both sides, expected results from "
                         "0 to below 1", o->momentum, o->dot);
    if (o->dot > 0.0 && (o->nesterov || o->clip > 0.0))
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "DOT is not defined together with Nesterov's method or clipped gradients");
    if (o->nesterov && o->momentum == 0.0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "Nesterov's method needs a momentum above 0");
    return SFTN_OK;
}

static sftn_status check_data(const sftn_job *job, const sftn_dataset_info *info, sftn_error *err)
{
    if (info->records[SFTN_TRAIN] < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "the data set %s has no records to train on",
                         info->name);
    if (job->classes != info->classes)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "%s is built for %d classes, the data set %s has %d", job->model->name,
                         job->classes, info->name, info->classes);
    if (job->survey.row && info->records[SFTN_VALIDATION] < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "%s, and of the data set %s none are held out: give --validation N",
                         job->survey.why, info->name);
    return SFTN_OK;
}

sftn_status sftn_run_open(sftn_run_state *r, sftn_error *err)
{
    const sftn_train_options *o = r->opt;
    const sftn_sgd sgd = {.momentum = o->momentum,
                          .weight_decay = o->weight_decay,
                          .nesterov = o->nesterov,
                          .clip = o->clip,
                          .dot = o->dot};
    sftn_status status = check_options(o, err);

    if (!status)
        status = check_data(r->job, sftn_dataset_get_info(r->data), err);
    if (status)
        return status;
    sftn_run_count_epochs(r);
    r->options_text = sftn_options_text(o, r->data);
    r->rank = sftn_calloc((size_t)o->batch, sizeof *r->rank);
    if (!r->options_text || !r->rank)
        return sftn_fail(err, SFTN_ERR_MEMORY, "training: out of memory");
    status = sftn_optimizer_open(&r->optimizer, &sgd, r->job->params, r->job->nparams, err);
    if (!status && o->ema > 0.0)
        status = sftn_ema_open(&r->ema, r->job->params[0], o->ema, err);
    return status;
}

static sftn_value job_row(void *ctx, sftn_graph *g, sftn_value image, sftn_value labels)
{
    const sftn_job *job = ctx;

    return job->survey.row(job->self, g, image, labels);
}

static sftn_status open_evaluators(sftn_run_state *r, const sftn_plan_options *plan,
                                   sftn_error *err)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(r->data);
    const sftn_subject subject = {
        .model = r->job->model, .params = r->job->params[0], .classes = r->job->classes};
    sftn_status status = SFTN_OK;

    if (info->records[SFTN_TEST] > 0)
        status = sftn_evaluator_open(&r->test, &subject, r->data, SFTN_TEST, r->opt->batch,
                                     plan, r->opt->loader_threads, err);
    if (!status && info->records[SFTN_VALIDATION] > 0)
        status = sftn_evaluator_open(&r->validation, &subject, r->data, SFTN_VALIDATION,
                                     r->opt->batch, plan, r->opt->loader_threads, err);
    for (int i = 1; i < r->job->nparams && !status && info->records[SFTN_TEST] > 0; i++) {
        const sftn_subject peer = {
            .model = r->job->peer[i], .params = r->job->params[i], .classes = r->job->classes};

        if (peer.model)
            status = sftn_evaluator_open(&r->peer[i], &peer, r->data, SFTN_TEST, r->opt->batch,
                                         plan, r->opt->loader_threads, err);
    }
    if (!status && r->job->survey.row)
        status = sftn_survey_open(&r->survey, job_row, r->job, r->data, SFTN_VALIDATION,
                                  r->opt->batch, plan, r->opt->loader_threads, err);
    return status;
}

/* What an earlier run left in the directory must not pass for this run's. */
static sftn_status remove_old_files(const char *dir, sftn_error *err)
{
    static const char *const names[] = {"checkpoint.safetensors", "best.safetensors",
                                        "ema.safetensors", "summary.json"};
    sftn_status status = SFTN_OK;

    for (size_t i = 0; i < SFTN_COUNT(names) && !status; i++) {
        sftn_strbuf path = {0};

        sftn_strbuf_add(&path, "%s/%s", dir, names[i]);
        if (path.failed)
            status = sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", dir);
        else if (unlink(path.text) != 0 && errno != ENOENT)
            status = sftn_fail(err, SFTN_ERR_FILE, "%s: cannot remove: %s", path.text,
                               strerror(errno));
        sftn_strbuf_free(&path);
    }
    return status;
}

sftn_status sftn_run_begin(sftn_run_state *r, const sftn_plan_options *plan, sftn_error *err)
{
    sftn_status status = open_evaluators(r, plan, err);

    if (status)
        return status;
    r->memory.best_validation = r->memory.best_test = -1.0;
    r->memory.test_top1 = r->memory.test_top5 = r->memory.ema_top1 = -1.0;
    if (r->opt->resume)
        status = sftn_checkpoint_load(r, err);
    else
        status = sftn_make_dirs(r->opt->dir, err);
    if (!status)
        status = sftn_log_truncate(r->opt->dir, r->position.epoch, err);
    if (!status && !r->opt->resume)
        status = remove_old_files(r->opt->dir, err);
    return status ? status : sftn_run_enter_phase(r, err);
}

void sftn_run_close(sftn_run_state *r)
{
    for (int i = 0; i <= r->job->nphases; i++)
        for (int size = 0; size < SFTN_STEPS; size++)
            sftn_train_step_close(&r->step[i][size]);
    sftn_survey_close(&r->test);
    sftn_survey_close(&r->validation);
    for (int i = 0; i < SFTN_MAX_STORES; i++)
        sftn_survey_close(&r->peer[i]);
    sftn_survey_close(&r->survey);
    sftn_optimizer_close(&r->optimizer);
    sftn_ema_close(&r->ema);
    free(r->rank);
    free(r->options_text);
}

bool sftn_run_active(const sftn_run_state *r)
{
    return !r->error.status && r->position.epoch < r->epochs;
}

/* ---- steps ---- */

sftn_status sftn_run_balance(sftn_run_state *r, const sftn_train_step *s,
                             const sftn_plan_options *plan, sftn_balance *b, sftn_error *err)
{
    sftn_status status;

    *b = (sftn_balance){.n = 0};
    if (!s->main || r->position.epoch != r->phase_epoch || r->position.batch != 0)
        return SFTN_OK;
    status = sftn_balance_measure(r->job, s, plan, r->memory.pull, err);
    if (!status)
        sftn_balance_fill(b, &s->terms, r->memory.pull);
    return status;
}

void sftn_run_fail_here(const sftn_run_state *r, sftn_error *err)
{
    sftn_fail_in(err, "epoch %lld, batch %lld", (long long)r->position.epoch + 1,
                 (long long)r->position.batch + 1);
}

sftn_status sftn_run_step(sftn_run_state *r, const sftn_train_step *s, const sftn_batch *batch,
                          sftn_error *err)
{
    const double lr = sftn_run_lr(r);
    sftn_status status;

    if (!r->clock.in_epoch) {
        r->clock.in_epoch = true;
        r->clock.epoch_begin = sftn_seconds();
        r->clock.epoch_images = 0;
        r->clock.waited = 0.0;
    }
    sftn_feed_epoch(&s->feed, r->position.epoch - r->phase_epoch + 1);
    status = sftn_plan_run(s->plan, err);
    if (status)
        sftn_run_fail_here(r, err);
    else
        status = sftn_run_observe(r, s, batch->n, err);
    if (status)
        return status;
    sftn_optimizer_step(&r->optimizer, lr);
    if (r->ema.params)
        sftn_ema_update(&r->ema);
    r->position.batch++;
    r->position.step++;
    r->clock.steps++;
    r->clock.epoch_images += batch->n;
    r->clock.waited += batch->waited_s;
    r->clock.last_step = sftn_seconds();
    r->lr = lr;
    r->unsaved = true;
    return SFTN_OK;
}

sftn_status sftn_run_save(sftn_run_state *r, sftn_error *err)
{
    sftn_status status = SFTN_OK;

    if (r->unsaved)
        status = sftn_checkpoint_save(r, err);
    r->unsaved = r->unsaved && status;
    return status;
}

/* ---- ends of epochs ---- */

static bool in_last_epoch(const sftn_run_state *r)
{
    return r->position.epoch + 1 == r->epochs;
}

static sftn_status measure_test(sftn_run_state *r, sftn_progress *p, sftn_error *err)
{
    sftn_scores scores;
    sftn_status status = sftn_evaluator_run(&r->test, &scores, err);

    p->test_top1 = scores.top1;
    p->test_top5 = scores.top5;
    p->test_loss = scores.loss;
    for (int i = 1; i < r->job->nparams && !status; i++) {
        if (!r->peer[i].plan)
            continue;
        status = sftn_evaluator_run(&r->peer[i], &scores, err);
        p->peer_name[p->npeers] = r->job->params_name[i];
        p->peer_top1[p->npeers++] = scores.top1;
    }
    if (!status && r->ema.params) {
        sftn_ema_swap(&r->ema);
        status = sftn_evaluator_run(&r->test, &scores, err);
        sftn_ema_swap(&r->ema);
        p->ema_top1 = scores.top1;
    }
    return status;
}

/* What the job finds out on held-out images, for the epochs that follow. */
static sftn_status survey(sftn_run_state *r, sftn_progress *p, sftn_error *err)
{
    const sftn_job_survey *v = &r->job->survey;
    sftn_params *store = r->job->params[v->store];
    const sftn_status status = sftn_survey_run(&r->survey, err);

    if (status)
        return status;
    for (int64_t k = 0; k < r->survey.columns; k++)
        r->survey.sum[k] /= (double)r->survey.n; /* the mean, from here on */
    p->found_name = sftn_params_get(store, v->entry)->name;
    p->nfound = sftn_params_get(store, v->entry)->count;
    p->found = sftn_params_value(store, v->entry);
    v->settle(r->job->self, r->survey.sum, sftn_params_value(store, v->entry));
    return SFTN_OK;
}

/* In the main phase: before that the network has not met its labels. */
static sftn_status measure(sftn_run_state *r, sftn_progress *p, sftn_error *err)
{
    const bool test = r->test.plan && (!r->opt->test_at_end || in_last_epoch(r));
    sftn_scores scores;
    sftn_status status = SFTN_OK;

    if (r->phase < r->job->nphases)
        return SFTN_OK;
    if (r->validation.plan) {
        status = sftn_evaluator_run(&r->validation, &scores, err);
        p->validation_top1 = scores.top1;
    }
    if (!status && r->survey.plan)
        status = survey(r, p, err);
    if (!status && test)
        status = measure_test(r, p, err);
    r->memory.test_top1 = p->test_top1;
    r->memory.test_top5 = p->test_top5;
    r->memory.ema_top1 = p->ema_top1;
    return status;
}

/* Test accuracy of an earlier epoch's network, kept in best.safetensors. */
static sftn_status measure_best(sftn_run_state *r, sftn_error *err)
{
    sftn_params *p = r->job->params[0];
    const sftn_dataset_info *info = sftn_dataset_get_info(r->data);
    const sftn_network_spec spec = {r->job->model, r->job->classes, info->channels, info->height,
                                    0};
    const size_t weights = (size_t)sftn_params_weight_size(p);
    const size_t states = (size_t)sftn_params_state_size(p);
    float *kept = sftn_calloc(weights + states, sizeof *kept);
    char *path = sftn_run_path(r->opt->dir, "best");
    sftn_scores scores = {0};
    sftn_status status = SFTN_OK;

    if (!kept || !path) {
        status = sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", r->opt->dir);
    } else {
        memcpy(kept, sftn_params_weights(p), weights * sizeof *kept);
        if (states)
            memcpy(kept + weights, sftn_params_states(p), states * sizeof *kept);
        status = sftn_network_fill(path, &spec, p, err);
        if (!status)
            status = sftn_evaluator_run(&r->test, &scores, err);
        memcpy(sftn_params_weights(p), kept, weights * sizeof *kept);
        if (states)
            memcpy(sftn_params_states(p), kept + weights, states * sizeof *kept);
    }
    if (!status)
        r->memory.best_test = scores.top1;
    free(kept);
    free(path);
    return status;
}

/* Files of a finished epoch; the checkpoint comes last: it never promises what is missing. */
static sftn_status save_epoch(sftn_run_state *r, const sftn_progress *p, sftn_error *err)
{
    const bool best = r->validation.plan && p->validation_top1 > r->memory.best_validation;
    sftn_status status = sftn_networks_save(r, err);

    if (!status && best) {
        const sftn_run_origin origin = {r->job, r->options_text, r->data};

        status = sftn_write_store(&origin, 0, r->opt->dir, "best", err);
        r->memory.best_validation = p->validation_top1;
        r->memory.best_test = p->test_top1;
        r->position.best_epoch = p->epoch;
    }
    if (!status && r->opt->test_at_end && in_last_epoch(r) && r->test.plan &&
        r->position.best_epoch > 0 && r->position.best_epoch < p->epoch)
        status = measure_best(r, err);
    if (!status)
        status = sftn_log_append(r->opt->dir, p, p->term_name, err);
    if (status)
        return status;
    memset(r->memory.term, 0, sizeof r->memory.term);
    r->memory.loss = 0.0;
    r->position.images = r->position.hits = 0;
    r->position.epoch++;
    r->position.batch = 0;
    if (r->phase < r->job->nphases)
        status = sftn_run_enter_phase(r, err);
    return status ? status : sftn_run_save(r, err);
}

sftn_status sftn_run_end_epoch(sftn_run_state *r, sftn_progress *p, sftn_error *err)
{
    sftn_status status;

    sftn_run_progress(r, p);
    p->epoch_done = true;
    status = measure(r, p, err);
    if (!status)
        status = save_epoch(r, p, err);
    r->clock.in_epoch = false;
    return status;
}
