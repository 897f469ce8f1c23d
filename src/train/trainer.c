/*
 * trainer: epochs of steps of one job or of several at once, and how they stop.
 *
 * One step: take a batch, copy it into the plans' inputs, run the guide (what the jobs have
 * computed from the images beside them), then for each job its plan (loss, gradients, running
 * statistics), a look at the loss, the update of its weights.  All plans, for the full batch and
 * for the partial last one, in every phase, are compiled before the first step; a step allocates
 * nothing.
 *
 * A job is at a position of its own.  Each batch is that of the job furthest behind, and is taken
 * by all that are there.  So jobs that were saved at different moments catch up before they go on
 * together, and none sees what it would not have seen alone.
 */
#include "train/run.h"

#include <stdlib.h>
#include <string.h>

typedef struct course {
    const sftn_dataset *data;
    const sftn_train_options *opt; /* of the first job: what all agree in */
    sftn_train_hooks hooks;
    sftn_run_state *run;
    int n;
    sftn_plan_options plan; /* what all plans of the training are compiled with */
    sftn_guide guide[SFTN_STEPS];
    sftn_loader *loader;
    int64_t batches;
    int64_t next; /* the step whose batch the loader gives next; -1: none */
    double saved; /* when the jobs were saved last */
} course;

/* ---- opening ---- */

/* In a training of several, say whose error it is. */
static void name_run(const course *c, const sftn_run_state *r, sftn_status status,
                     sftn_error *err)
{
    if (status && c->n > 1)
        sftn_fail_in(err, "%s", r->opt->dir);
}

/* What r and the first run must agree in. */
static sftn_status check_agreement(const course *c, const sftn_run_state *r, sftn_error *err)
{
    char *first = sftn_together_text(c->opt, c->run[0].job->views);
    char *text = sftn_together_text(r->opt, r->job->views);
    sftn_status status = SFTN_OK;
    sftn_difference d;

    if (!first || !text)
        status = sftn_fail(err, SFTN_ERR_MEMORY, "training: out of memory");
    else if (sftn_options_differ(first, text, &d))
        status = sftn_fail(err, SFTN_ERR_ARGUMENT,
                           "%s and %s cannot be trained together: '%s' is %s and %s; train them "
                           "by commands of their own", c->opt->dir, r->opt->dir, d.name, d.there,
                           d.here);
    free(first);
    free(text);
    return status;
}

/* What jobs must agree in, and what they must not. */
static sftn_status check_together(const course *c, sftn_error *err)
{
    const void *guide = NULL;

    for (int i = 0; i < c->n; i++) {
        const sftn_run_state *r = &c->run[i];
        sftn_status status;

        if (c->n > 1 && !r->opt->dir)
            return sftn_fail(err, SFTN_ERR_ARGUMENT, "training needs a run directory");
        status = i ? check_agreement(c, r, err) : SFTN_OK;
        if (status)
            return status;
        if (r->job->guide && guide && r->job->guide_id != guide)
            return sftn_fail(err, SFTN_ERR_ARGUMENT,
                             "%s cannot be trained with the jobs before it: it has another teacher",
                             r->opt->dir);
        if (r->job->guide)
            guide = r->job->guide_id;
        for (int k = 0; k < i; k++)
            if (strcmp(c->run[k].opt->dir, r->opt->dir) == 0)
                return sftn_fail(err, SFTN_ERR_ARGUMENT,
                                 "two jobs are to be trained in the same directory, %s",
                                 r->opt->dir);
    }
    return SFTN_OK;
}

/* Build the steps of all phases of all jobs for batches of one size into step[], *n in number. */
static sftn_status build_steps(course *c, int size, sftn_shape image, sftn_train_step **step,
                               int *n, sftn_error *err)
{
    sftn_status status = SFTN_OK;

    *n = 0;
    for (int i = 0; i < c->n && !status; i++) {
        sftn_run_state *r = &c->run[i];

        for (int phase = 0; phase <= r->job->nphases && !status; phase++) {
            step[*n] = &r->step[phase][size];
            status = sftn_train_step_build(step[(*n)++], r->job, phase, &r->optimizer, image, err);
        }
        name_run(c, r, status, err);
    }
    return status;
}

/* The steps of all jobs for batches of one size, and their guide. */
static sftn_status open_steps(course *c, int size, sftn_shape image, sftn_error *err)
{
    const size_t most = (size_t)c->n * (SFTN_MAX_PHASES + 1);
    sftn_train_step **step = sftn_calloc(most, sizeof *step);
    sftn_plan_options plan = c->plan;
    sftn_job *guided = NULL;
    sftn_status status;
    int n;

    if (!step)
        return sftn_fail(err, SFTN_ERR_MEMORY, "training: out of memory");
    for (int i = 0; i < c->n; i++)
        guided = c->run[i].job->guide ? c->run[i].job : guided;
    status = build_steps(c, size, image, step, &n, err);
    if (!status)
        status = sftn_guide_open(&c->guide[size], guided, step, n, &plan, image, err);
    plan.feeder = c->guide[size].plan;
    for (int i = 0; i < c->n && !status; i++) {
        sftn_run_state *r = &c->run[i];

        for (int phase = 0; phase <= r->job->nphases && !status; phase++)
            status = sftn_train_step_compile(&r->step[phase][size], &plan, err);
        name_run(c, r, status, err);
    }
    free(step);
    return status;
}

static sftn_status open_all_steps(course *c, sftn_error *err)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(c->data);
    const int64_t batch = c->opt->batch, records = info->records[SFTN_TRAIN];
    sftn_shape image = SFTN_SHAPE(batch, info->channels, info->height, info->width);
    sftn_status status = SFTN_OK;

    for (int i = 0; i < c->n && !status; i++) {
        sftn_job *job = c->run[i].job;

        for (int phase = 0; phase <= job->nphases && !status; phase++)
            status = sftn_balance_check(job, phase, image, err);
        name_run(c, &c->run[i], status, err);
    }
    if (!status && records >= batch)
        status = open_steps(c, SFTN_STEP_FULL, image, err);
    image.dim[SFTN_N] = records % batch;
    if (!status && image.dim[SFTN_N] > 0)
        status = open_steps(c, SFTN_STEP_PARTIAL, image, err);
    return status;
}

static sftn_status open_loader(course *c, sftn_error *err)
{
    const sftn_train_step *step = c->run[0].step[0];
    const int size = step[SFTN_STEP_FULL].plan ? SFTN_STEP_FULL : SFTN_STEP_PARTIAL;
    const sftn_guide *guide = &c->guide[size];
    sftn_loader_options loader = {
        .split = SFTN_TRAIN,
        .shuffle = true,
        .augment = c->opt->augment,
        .views = c->run[0].job->views,
        .seed = c->opt->seed,
        .threads = c->opt->loader_threads,
    };
    sftn_status status;

    sftn_feed_loader(guide->plan ? &guide->feed : &step[size].feed, &loader);
    loader.batch = c->opt->batch;
    status = sftn_loader_new(c->data, &loader, &c->loader, err);
    if (status)
        return status;
    c->batches = sftn_loader_batches(c->loader);
    for (int i = 0; i < c->n; i++)
        c->run[i].batches = c->batches;
    return SFTN_OK;
}

static sftn_status open_course(course *c, sftn_error *err)
{
    sftn_status status = check_together(c, err);

    c->plan.arena = sftn_arena_new();
    if (!c->plan.arena)
        return sftn_fail(err, SFTN_ERR_MEMORY, "training: out of memory");
    for (int i = 0; i < c->n && !status; i++) {
        status = sftn_run_open(&c->run[i], err);
        name_run(c, &c->run[i], status, err);
    }
    if (!status)
        status = open_all_steps(c, err);
    if (!status)
        status = open_loader(c, err);
    for (int i = 0; i < c->n && !status; i++) {
        status = sftn_run_begin(&c->run[i], &c->plan, err);
        name_run(c, &c->run[i], status, err);
    }
    return status;
}

static void close_course(course *c)
{
    sftn_loader_free(c->loader);
    for (int i = 0; i < c->n; i++)
        sftn_run_close(&c->run[i]);
    for (int i = 0; i < SFTN_STEPS; i++)
        sftn_guide_close(&c->guide[i]);
    sftn_arena_free(c->plan.arena);
    free(c->run);
}

/* ---- steps ---- */

/* The step that the active job furthest behind makes next; -1: all are done or left. */
static int64_t next_step(const course *c)
{
    int64_t step = -1;

    for (int i = 0; i < c->n; i++)
        if (sftn_run_active(&c->run[i]) && (step < 0 || c->run[i].position.step < step))
            step = c->run[i].position.step;
    return step;
}

static const sftn_batch *take_batch(course *c, int64_t step)
{
    if (step != c->next)
        sftn_loader_seek(c->loader, step / c->batches, step % c->batches);
    c->next = step + 1;
    return sftn_loader_next(c->loader);
}

/* Whether r makes this step. */
static bool takes_part(const sftn_run_state *r, int64_t step)
{
    return sftn_run_active(r) && r->position.step == step;
}

/* Where the guide fails, all jobs are left: none has its answers. */
static void run_guide(course *c, int size, int64_t step, const sftn_batch *batch)
{
    const sftn_guide *guide = &c->guide[size];
    sftn_error why = {0};
    sftn_status status;
    bool wanted = false;

    for (int i = 0; i < c->n; i++)
        wanted = wanted ||
                 (takes_part(&c->run[i], step) && sftn_run_steps(&c->run[i])[size].guided);
    sftn_feed_images(&guide->feed, batch);
    status = wanted ? sftn_plan_run(guide->plan, &why) : SFTN_OK;
    for (int i = 0; i < c->n && status; i++) {
        sftn_run_state *r = &c->run[i];

        if (!sftn_run_active(r))
            continue;
        r->error = why;
        sftn_run_fail_here(r, &r->error);
    }
}

static void report(const course *c, const sftn_progress *p)
{
    if (c->hooks.progress)
        c->hooks.progress(c->hooks.ctx, p);
}

/* One step of a run, whose batch is in the inputs. */
static void make_step(course *c, sftn_run_state *r, const sftn_train_step *s,
                      const sftn_batch *batch)
{
    sftn_balance balance;
    sftn_progress p;

    if (sftn_run_balance(r, s, &c->plan, &balance, &r->error))
        return;
    if (balance.n > 0 && c->hooks.balance)
        c->hooks.balance(c->hooks.ctx, r->member, &balance);
    if (sftn_run_step(r, s, batch, &r->error))
        return;
    sftn_run_progress(r, &p);
    report(c, &p);
}

/* One batch for all jobs at that step.  Images are written once: jobs with a guide share its. */
static void run_batch(course *c, int64_t step)
{
    const sftn_batch *batch = take_batch(c, step);
    const int size = batch->n == c->opt->batch ? SFTN_STEP_FULL : SFTN_STEP_PARTIAL;
    const sftn_guide *guide = &c->guide[size];

    if (guide->plan)
        run_guide(c, size, step, batch);
    for (int i = 0; i < c->n; i++) {
        sftn_run_state *r = &c->run[i];
        const sftn_train_step *s = &sftn_run_steps(r)[size];

        if (!takes_part(r, step))
            continue;
        if (!guide->plan)
            sftn_feed_images(&s->feed, batch);
        sftn_feed_labels(&s->feed, batch);
        make_step(c, r, s, batch);
    }
}

/* Jobs that have finished an epoch measure and save; all others save where it is time. */
static void save_runs(course *c, bool now)
{
    for (int i = 0; i < c->n; i++) {
        sftn_run_state *r = &c->run[i];
        sftn_progress p;

        if (!sftn_run_active(r))
            continue;
        if (r->position.batch == c->batches) {
            if (!sftn_run_end_epoch(r, &p, &r->error))
                report(c, &p);
        } else if (now) {
            sftn_run_save(r, &r->error);
        }
    }
}

static void run_course(course *c)
{
    const double period = 60.0 * c->opt->save_minutes;
    bool stop = false;
    int64_t step;

    c->saved = sftn_seconds();
    while (!stop && (step = next_step(c)) >= 0) {
        bool now;

        run_batch(c, step);
        stop = c->hooks.stop && c->hooks.stop(c->hooks.ctx);
        now = stop || (period > 0.0 && sftn_seconds() - c->saved >= period);
        save_runs(c, now);
        if (now || (step + 1) % c->batches == 0)
            c->saved = sftn_seconds();
    }
}

/* ---- how it ended ---- */

static void end_run(const course *c, sftn_run_state *r, sftn_member *m)
{
    if (sftn_run_active(r))
        sftn_fail(&r->error, SFTN_ERR_INTERRUPTED,
                  "stopped after %lld of %lld epochs and %lld of %lld batches; saved in "
                  "%s/checkpoint.safetensors",
                  (long long)r->position.epoch, (long long)r->epochs,
                  (long long)r->position.batch, (long long)c->batches, r->opt->dir);
    m->error = r->error;
    m->result = (sftn_train_result){
        .last_top1 = r->memory.test_top1,
        .last_top5 = r->memory.test_top5,
        .best_validation_top1 = r->memory.best_validation,
        .best_epoch = r->position.best_epoch,
        .best_test_top1 = r->memory.best_test,
        .ema_top1 = r->memory.ema_top1,
        .seconds = sftn_seconds() - r->clock.begin,
        .steps = r->clock.steps,
    };
    sftn_balance_fill(&m->result.balance, sftn_run_terms(r, r->job->nphases), r->memory.pull);
}

/* What the members' ends amount to.  An interruption comes before failures: it can be resumed. */
static sftn_status sum_up(const sftn_member *m, int n, sftn_error *err)
{
    const sftn_member *first = NULL;
    int stopped = 0, failed = 0;

    for (int i = 0; i < n; i++) {
        const sftn_status status = m[i].error.status;

        stopped += status == SFTN_ERR_INTERRUPTED;
        failed += status && status != SFTN_ERR_INTERRUPTED;
        if (status && (!first || (status == SFTN_ERR_INTERRUPTED &&
                                  first->error.status != SFTN_ERR_INTERRUPTED)))
            first = &m[i];
    }
    if (!first)
        return SFTN_OK;
    if (n == 1)
        return sftn_fail(err, first->error.status, "%s", first->error.text);
    if (stopped && failed)
        return sftn_fail(err, SFTN_ERR_INTERRUPTED, "%d of %d runs stopped and saved, %d failed",
                         stopped, n, failed);
    if (stopped)
        return sftn_fail(err, SFTN_ERR_INTERRUPTED, "%d of %d runs stopped and saved", stopped, n);
    return sftn_fail(err, first->error.status, "%d of %d runs failed; the first was %s: %s", failed,
                     n, first->options->dir, first->error.text);
}

static sftn_status begin(course *c, sftn_member *members, const sftn_train_hooks *hooks,
                         sftn_error *err)
{
    if (c->n < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "%d jobs to train, expected at least 1", c->n);
    c->run = sftn_calloc((size_t)c->n, sizeof *c->run);
    if (!c->run)
        return sftn_fail(err, SFTN_ERR_MEMORY, "training: out of memory");
    if (hooks)
        c->hooks = *hooks;
    c->opt = members[0].options;
    c->plan = c->opt->plan;
    for (int i = 0; i < c->n; i++)
        c->run[i] = (sftn_run_state){.job = members[i].job,
                                     .data = c->data,
                                     .opt = members[i].options,
                                     .member = i,
                                     .members = c->n,
                                     .clock.begin = sftn_seconds()};
    return SFTN_OK;
}

sftn_status sftn_train_together(sftn_member *members, int n, const sftn_dataset *data,
                                const sftn_train_hooks *hooks, sftn_error *err)
{
    course c = {.data = data, .n = n, .next = -1};
    sftn_error why = {0};
    sftn_status status = begin(&c, members, hooks, &why);

    if (!status)
        status = open_course(&c, &why);
    if (!status)
        run_course(&c);
    for (int i = 0; i < n; i++) {
        if (status)
            members[i].error = why;
        else
            end_run(&c, &c.run[i], &members[i]);
    }
    if (c.run)
        close_course(&c);
    return status ? sftn_fail(err, status, "%s", why.text) : sum_up(members, n, err);
}

sftn_status sftn_train(sftn_job *job, const sftn_dataset *data, const sftn_train_options *options,
                       const sftn_train_hooks *hooks, sftn_train_result *result, sftn_error *err)
{
    sftn_member member = {.job = job, .options = options};
    const sftn_status status = sftn_train_together(&member, 1, data, hooks, err);

    if (result)
        *result = member.result;
    return status;
}
