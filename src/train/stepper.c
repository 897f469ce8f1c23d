/*
 * stepper: single training steps without data, log or checkpoint.
 */
#include "train/balance.h"
#include "train/guide.h"

#include <stdlib.h>

struct sftn_stepper {
    sftn_job *job;
    sftn_train_step step;
    sftn_guide guide;
    sftn_optimizer optimizer;
    sftn_arena *arena;
    sftn_plan_options plan; /* of all plans */
};

static sftn_status open_plans(sftn_stepper *s, sftn_job *job, int phase,
                              const sftn_train_options *options, sftn_shape image, sftn_error *err)
{
    sftn_train_step *const step = &s->step;
    sftn_plan_options plan = options->plan;
    sftn_status status = sftn_train_step_build(&s->step, job, phase, &s->optimizer, image, err);

    plan.arena = s->arena;
    s->job = job;
    s->plan = plan;
    if (!status)
        status = sftn_guide_open(&s->guide, job->guide ? job : NULL, &step, 1, &plan, image, err);
    plan.feeder = s->guide.plan;
    if (!status)
        status = sftn_train_step_compile(&s->step, &plan, err);
    if (!status)
        sftn_feed_epoch(&s->step.feed, INT32_MAX);
    return status;
}

sftn_status sftn_stepper_new(sftn_job *job, int phase, const sftn_train_options *options,
                             sftn_shape image, sftn_stepper **out, sftn_error *err)
{
    const sftn_sgd sgd = {.momentum = options->momentum,
                          .weight_decay = options->weight_decay,
                          .nesterov = options->nesterov,
                          .clip = options->clip,
                          .dot = options->dot};
    sftn_stepper *s = sftn_calloc(1, sizeof *s);
    sftn_status status;

    *out = NULL;
    if (s)
        s->arena = sftn_arena_new();
    if (!s || !s->arena) {
        sftn_stepper_free(s);
        return sftn_fail(err, SFTN_ERR_MEMORY, "stepper: out of memory");
    }
    status = sftn_optimizer_open(&s->optimizer, &sgd, job->params, job->nparams, err);
    if (!status)
        status = open_plans(s, job, phase, options, image, err);
    if (status) {
        sftn_stepper_free(s);
        return status;
    }
    sftn_optimizer_train(&s->optimizer, s->step.span, s->step.nspans);
    *out = s;
    return status;
}

void sftn_stepper_free(sftn_stepper *s)
{
    if (!s)
        return;
    sftn_train_step_close(&s->step);
    sftn_guide_close(&s->guide);
    sftn_optimizer_close(&s->optimizer);
    sftn_arena_free(s->arena);
    free(s);
}

const sftn_graph *sftn_stepper_graph(const sftn_stepper *s)
{
    return s->step.graph;
}

sftn_plan *sftn_stepper_plan(sftn_stepper *s)
{
    return s->step.plan;
}

const sftn_graph *sftn_stepper_guide_graph(const sftn_stepper *s)
{
    return s->guide.plan ? s->guide.graph : NULL;
}

sftn_plan *sftn_stepper_guide_plan(sftn_stepper *s)
{
    return s->guide.plan;
}

static sftn_status run_guide(sftn_stepper *s, sftn_error *err)
{
    return s->guide.plan ? sftn_plan_run(s->guide.plan, err) : SFTN_OK;
}

sftn_status sftn_stepper_run(sftn_stepper *s, double lr, sftn_error *err)
{
    sftn_status status = run_guide(s, err);

    if (!status)
        status = sftn_plan_run(s->step.plan, err);
    if (!status)
        sftn_optimizer_step(&s->optimizer, lr);
    return status;
}

sftn_status sftn_stepper_balance(sftn_stepper *s, sftn_balance *balance, sftn_error *err)
{
    double norm[SFTN_MAX_TERMS];
    sftn_status status = run_guide(s, err);

    *balance = (sftn_balance){.n = 0};
    if (!status)
        status = sftn_balance_measure(s->job, &s->step, &s->plan, norm, err);
    if (!status)
        sftn_balance_fill(balance, &s->step.terms, norm);
    return status;
}
