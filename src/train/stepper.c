/*
 * stepper: single training steps without data, log or checkpoint.
 */
#include "train/step.h"

#include <stdlib.h>

struct sftn_stepper {
    sftn_train_step step;
    sftn_optimizer optimizer;
};

sftn_status sftn_stepper_new(sftn_job *job, const sftn_train_options *options, sftn_shape image,
                             sftn_stepper **out, sftn_error *err)
{
    const sftn_sgd sgd = {options->momentum, options->weight_decay, options->nesterov,
                          options->clip};
    sftn_stepper *s = sftn_calloc(1, sizeof *s);
    sftn_status status;

    *out = NULL;
    if (!s)
        return sftn_fail(err, SFTN_ERR_MEMORY, "stepper: out of memory");
    status = sftn_train_step_open(&s->step, job, &options->plan, image, err);
    if (!status)
        status = sftn_optimizer_open(&s->optimizer, &sgd, job->params, job->nparams, err);
    if (status)
        sftn_stepper_free(s);
    else
        *out = s;
    return status;
}

void sftn_stepper_free(sftn_stepper *s)
{
    if (!s)
        return;
    sftn_train_step_close(&s->step);
    sftn_optimizer_close(&s->optimizer);
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

void sftn_stepper_run(sftn_stepper *s, double lr)
{
    sftn_plan_run(s->step.plan);
    sftn_optimizer_step(&s->optimizer, lr);
}
