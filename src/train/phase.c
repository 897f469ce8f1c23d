/*
 * phase: a run's phases, one after the other, the main one last.
 *
 * Epochs are counted through all of them, and the images' order and augmentation are those of that
 * count: so jobs with different phases can be trained on the same batches.  A schedule is that of
 * its phase, from the phase's first epoch on.  Each phase is an optimization by itself: it begins
 * without momentum, its averages begin with what it finds.
 */
#include "train/run.h"

#include <string.h>

static const sftn_schedule *schedule_of(const sftn_run_state *r, int phase)
{
    return phase < r->job->nphases ? &r->job->phase[phase].schedule : &r->opt->schedule;
}

sftn_train_step *sftn_run_steps(sftn_run_state *r)
{
    return r->step[r->phase];
}

const sftn_terms *sftn_run_terms(const sftn_run_state *r, int phase)
{
    const sftn_train_step *step = r->step[phase];

    return &step[step[SFTN_STEP_FULL].plan ? SFTN_STEP_FULL : SFTN_STEP_PARTIAL].terms;
}

void sftn_run_count_epochs(sftn_run_state *r)
{
    r->epochs = 0;
    for (int i = 0; i <= r->job->nphases; i++)
        r->epochs += schedule_of(r, i)->epochs;
}

sftn_status sftn_run_enter_phase(sftn_run_state *r, sftn_error *err)
{
    const sftn_train_step *step;
    sftn_status status = SFTN_OK;

    r->phase = 0;
    r->phase_epoch = 0;
    while (r->phase < r->job->nphases &&
           r->position.epoch >= r->phase_epoch + schedule_of(r, r->phase)->epochs)
        r->phase_epoch += schedule_of(r, r->phase++)->epochs;
    step = sftn_run_steps(r);
    /* What is frozen in this phase may have been trained in an earlier one. */
    for (int i = 0; i < SFTN_STEPS && !status; i++)
        if (step[i].plan)
            status = sftn_plan_refresh(step[i].plan, err);
    if (status)
        return status;
    step += step[SFTN_STEP_FULL].plan ? SFTN_STEP_FULL : SFTN_STEP_PARTIAL;
    sftn_optimizer_train(&r->optimizer, step->span, step->nspans);
    memset(&r->watch, 0, sizeof r->watch);
    if (r->position.epoch != r->phase_epoch || r->position.batch != 0)
        return SFTN_OK;
    sftn_optimizer_reset(&r->optimizer);
    if (r->ema.params)
        sftn_ema_reset(&r->ema);
    return SFTN_OK;
}

double sftn_run_lr(const sftn_run_state *r)
{
    const double fraction = (double)r->position.batch / (double)r->batches;
    sftn_schedule schedule = *schedule_of(r, r->phase);

    if (schedule.lr == 0.0 && r->phase < r->job->nphases)
        schedule.lr = r->opt->schedule.lr;
    return sftn_schedule_lr(&schedule, (double)(r->position.epoch - r->phase_epoch) + fraction);
}
