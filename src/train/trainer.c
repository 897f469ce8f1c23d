/*
 * trainer: epochs of steps, what is measured and saved between them, and how a run stops.
 *
 * One step: take a batch, copy it into the plan's input, run the plan (loss, gradients, running
 * statistics), look at the loss, update the weights.  Plans for the full batch and for the partial
 * last one are compiled before the first step; a step allocates nothing.
 */
#include "train/run.h"

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
    return SFTN_OK;
}

static sftn_status open_steps(sftn_run_state *r, sftn_error *err)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(r->data);
    const int64_t batch = r->opt->batch, records = info->records[SFTN_TRAIN];
    sftn_shape image = SFTN_SHAPE(batch, info->channels, info->height, info->width);
    sftn_loader_options loader = {
        .split = SFTN_TRAIN,
        .shuffle = true,
        .augment = r->opt->augment,
        .seed = r->opt->seed,
        .threads = r->opt->loader_threads,
    };
    sftn_status status = sftn_train_step_check(r->job, image, err);

    if (!status && records >= batch)
        status = sftn_train_step_open(&r->full, r->job, &r->opt->plan, image, err);
    image.dim[SFTN_N] = records % batch;
    if (!status && image.dim[SFTN_N] > 0)
        status = sftn_train_step_open(&r->partial, r->job, &r->opt->plan, image, err);
    if (status)
        return status;
    sftn_feed_loader(r->full.plan ? &r->full.feed : &r->partial.feed, &loader);
    loader.batch = batch;
    status = sftn_loader_new(r->data, &loader, &r->loader, err);
    if (status)
        return status;
    r->batches = sftn_loader_batches(r->loader);
    r->rank = sftn_calloc((size_t)batch, sizeof *r->rank);
    return r->rank ? SFTN_OK : sftn_fail(err, SFTN_ERR_MEMORY, "training: out of memory");
}

static sftn_status open_evaluators(sftn_run_state *r, sftn_error *err)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(r->data);
    const sftn_subject subject = {
        .model = r->job->model, .params = r->job->params[0], .classes = r->job->classes};
    sftn_status status = SFTN_OK;

    if (info->records[SFTN_TEST] > 0)
        status = sftn_evaluator_open(&r->test, &subject, r->data, SFTN_TEST, r->opt->batch,
                                     &r->opt->plan, r->opt->loader_threads, err);
    if (!status && info->records[SFTN_VALIDATION] > 0)
        status = sftn_evaluator_open(&r->validation, &subject, r->data, SFTN_VALIDATION,
                                     r->opt->batch, &r->opt->plan, r->opt->loader_threads, err);
    return status;
}

/* What an earlier run left in the directory must not pass for this run's. */
static sftn_status remove_old_files(const char *dir, sftn_error *err)
{
    static const char *const names[] = {"checkpoint", "best", "ema"};
    sftn_status status = SFTN_OK;

    for (size_t i = 0; i < SFTN_COUNT(names) && !status; i++) {
        char *path = sftn_run_path(dir, names[i]);

        if (!path)
            status = sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", dir);
        else if (unlink(path) != 0 && errno != ENOENT)
            status = sftn_fail(err, SFTN_ERR_FILE, "%s: cannot remove: %s", path, strerror(errno));
        free(path);
    }
    return status;
}

static sftn_status begin(sftn_run_state *r, sftn_error *err)
{
    sftn_status status;

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
    if (!status)
        sftn_loader_seek(r->loader, r->position.epoch, r->position.batch);
    return status;
}

static sftn_status open_run(sftn_run_state *r, sftn_error *err)
{
    const sftn_train_options *o = r->opt;
    const sftn_sgd sgd = {o->momentum, o->weight_decay, o->nesterov, o->clip};
    sftn_status status = check_options(o, err);

    if (!status)
        status = check_data(r->job, sftn_dataset_get_info(r->data), err);
    if (status)
        return status;
    r->options_text = sftn_options_text(o, r->data);
    if (!r->options_text)
        return sftn_fail(err, SFTN_ERR_MEMORY, "training: out of memory");
    status = sftn_optimizer_open(&r->optimizer, &sgd, r->job->params, r->job->nparams, err);
    if (!status && o->ema > 0.0)
        status = sftn_ema_open(&r->ema, r->job->params[0], o->ema, err);
    if (!status)
        status = open_steps(r, err);
    if (!status)
        status = open_evaluators(r, err);
    if (!status)
        status = begin(r, err);
    return status;
}

static void close_run(sftn_run_state *r)
{
    sftn_loader_free(r->loader);
    sftn_train_step_close(&r->full);
    sftn_train_step_close(&r->partial);
    sftn_evaluator_close(&r->test);
    sftn_evaluator_close(&r->validation);
    sftn_optimizer_close(&r->optimizer);
    sftn_ema_close(&r->ema);
    free(r->rank);
    free(r->options_text);
}

/* ---- steps ---- */

static double current_lr(const sftn_run_state *r)
{
    const double fraction = (double)r->position.batch / (double)r->batches;

    return sftn_schedule_lr(&r->opt->schedule, (double)r->position.epoch + fraction);
}

static sftn_status run_step(sftn_run_state *r, double lr, sftn_error *err)
{
    const sftn_batch *batch = sftn_loader_next(r->loader);
    const bool full = r->full.plan && batch->n == r->opt->batch;
    const sftn_train_step *s = full ? &r->full : &r->partial;
    sftn_status status;

    sftn_feed_write(&s->feed, batch);
    sftn_plan_run(s->plan);
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
    return SFTN_OK;
}

/* ---- ends of epochs ---- */

static sftn_status measure(sftn_run_state *r, sftn_progress *p, sftn_error *err)
{
    sftn_scores scores;
    sftn_status status = SFTN_OK;

    if (r->validation.plan) {
        status = sftn_evaluator_run(&r->validation, &scores, err);
        p->validation_top1 = scores.top1;
    }
    if (!status && r->test.plan) {
        status = sftn_evaluator_run(&r->test, &scores, err);
        p->test_top1 = scores.top1;
        p->test_top5 = scores.top5;
        p->test_loss = scores.loss;
    }
    if (!status && r->test.plan && r->ema.params) {
        sftn_ema_swap(&r->ema);
        status = sftn_evaluator_run(&r->test, &scores, err);
        sftn_ema_swap(&r->ema);
        p->ema_top1 = scores.top1;
    }
    r->memory.test_top1 = p->test_top1;
    r->memory.test_top5 = p->test_top5;
    r->memory.ema_top1 = p->ema_top1;
    return status;
}

/* Files of a finished epoch; the checkpoint comes last: it never promises what is missing. */
static sftn_status save_epoch(sftn_run_state *r, const sftn_progress *p, sftn_error *err)
{
    const bool best = r->validation.plan && p->validation_top1 > r->memory.best_validation;
    sftn_status status = sftn_networks_save(r, err);

    if (!status && best) {
        status = sftn_write_store(r->job, 0, r->data, r->opt->dir, "best", err);
        r->memory.best_validation = p->validation_top1;
        r->memory.best_test = p->test_top1;
        r->position.best_epoch = p->epoch;
    }
    if (!status)
        status = sftn_log_append(r->opt->dir, p, p->term_name, err);
    if (status)
        return status;
    memset(r->memory.term, 0, sizeof r->memory.term);
    r->memory.loss = 0.0;
    r->position.images = r->position.hits = 0;
    r->position.epoch++;
    r->position.batch = 0;
    return sftn_checkpoint_save(r, err);
}

static sftn_status end_epoch(sftn_run_state *r, double lr, sftn_error *err)
{
    sftn_progress p;
    sftn_status status;

    sftn_run_progress(r, lr, &p);
    p.epoch_done = true;
    status = measure(r, &p, err);
    if (!status)
        status = save_epoch(r, &p, err);
    if (!status && r->hooks.progress)
        r->hooks.progress(r->hooks.ctx, &p);
    return status;
}

/* ---- the run ---- */

/* Saves where the time has come, or where a stop is asked for (*stop). */
static sftn_status after_step(sftn_run_state *r, double lr, bool *stop, sftn_error *err)
{
    const double period = 60.0 * r->opt->save_minutes;
    const bool last = r->position.batch == r->batches;
    sftn_status status = SFTN_OK;

    if (r->hooks.progress) {
        sftn_progress p;

        sftn_run_progress(r, lr, &p);
        r->hooks.progress(r->hooks.ctx, &p);
    }
    *stop = r->hooks.stop && r->hooks.stop(r->hooks.ctx);
    if (!last && (*stop || (period > 0.0 && sftn_seconds() - r->clock.saved >= period))) {
        status = sftn_checkpoint_save(r, err);
        r->clock.saved = sftn_seconds();
    }
    return status;
}

static sftn_status run_epoch(sftn_run_state *r, bool *stop, sftn_error *err)
{
    sftn_status status = SFTN_OK;
    double lr = 0.0;

    r->clock.epoch_begin = sftn_seconds();
    r->clock.epoch_images = 0;
    r->clock.waited = 0.0;
    while (!status && !*stop && r->position.batch < r->batches) {
        lr = current_lr(r);
        status = run_step(r, lr, err);
        if (!status)
            status = after_step(r, lr, stop, err);
    }
    if (!status && r->position.batch == r->batches) {
        status = end_epoch(r, lr, err);
        r->clock.saved = sftn_seconds();
    }
    return status;
}

static sftn_status run_epochs(sftn_run_state *r, sftn_error *err)
{
    sftn_status status = SFTN_OK;
    bool stop = false;

    while (!status && !stop && r->position.epoch < r->opt->schedule.epochs)
        status = run_epoch(r, &stop, err);
    if (!status && r->position.epoch < r->opt->schedule.epochs)
        status = sftn_fail(err, SFTN_ERR_INTERRUPTED,
                           "stopped after %lld of %d epochs and %lld of %lld batches; saved in "
                           "%s/checkpoint.safetensors",
                           (long long)r->position.epoch, r->opt->schedule.epochs,
                           (long long)r->position.batch, (long long)r->batches, r->opt->dir);
    return status;
}

sftn_status sftn_train(sftn_job *job, const sftn_dataset *data, const sftn_train_options *options,
                       const sftn_train_hooks *hooks, sftn_train_result *result, sftn_error *err)
{
    sftn_run_state r = {.job = job, .data = data, .opt = options};
    sftn_status status;

    if (hooks)
        r.hooks = *hooks;
    r.clock.begin = sftn_seconds();
    status = open_run(&r, err);
    r.clock.saved = sftn_seconds();
    if (!status)
        status = run_epochs(&r, err);
    if (result)
        *result = (sftn_train_result){
            .last_top1 = r.memory.test_top1,
            .last_top5 = r.memory.test_top5,
            .best_validation_top1 = r.memory.best_validation,
            .best_epoch = r.position.best_epoch,
            .best_test_top1 = r.memory.best_test,
            .ema_top1 = r.memory.ema_top1,
            .seconds = sftn_seconds() - r.clock.begin,
        };
    close_run(&r);
    return status;
}
