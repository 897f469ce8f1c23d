/*
 * progress: sums over an epoch, the record of progress made of them, and the watch over the loss.
 *
 * A run that trains nothing must not look like one that trains: a term that is not finite stops it,
 * and so does a term with a weight that stays what it is for SFTN_WATCH_STEPS steps in a row.  It
 * stays where it is exactly 0; where it is so from the phase's first step on; or where another term
 * moves meanwhile, for a network that has come to rest takes all terms along.
 */
#include "train/run.h"

#include <math.h>

static sftn_status check_finite(const sftn_run_state *r, const char *name, double value,
                                sftn_error *err)
{
    if (isfinite(value))
        return SFTN_OK;
    return sftn_fail(err, SFTN_ERR_NUMERIC,
                     "epoch %lld, batch %lld: the loss term '%s' is %s; training stops, the last "
                     "checkpoint is kept (a lower learning rate or gradient clipping may help)",
                     (long long)r->position.epoch + 1, (long long)r->position.batch + 1, name,
                     isnan(value) ? "not a number" : "infinite");
}

static bool same(double a, double b)
{
    return !(a < b) && !(a > b);
}

/* Whether term i is where it was for too long; moving: another one is not. */
static bool stays(const sftn_watch *w, int i, bool moving)
{
    return w->still[i] >= SFTN_WATCH_STEPS &&
           (moving || w->still[i] == w->steps || same(w->last[i], 0.0));
}

static sftn_status watch_terms(sftn_run_state *r, const sftn_terms *terms, const double *value,
                               sftn_error *err)
{
    sftn_watch *w = &r->watch;
    bool moving = false;

    for (int i = 0; i < terms->n; i++) {
        w->still[i] = w->steps > 0 && same(value[i], w->last[i]) ? w->still[i] + 1 : 1;
        w->last[i] = value[i];
        moving = moving || w->still[i] < SFTN_WATCH_STEPS;
    }
    w->steps++;
    for (int i = 0; i < terms->n; i++)
        if (terms->term[i].weight != 0.0f && stays(w, i, moving))
            return sftn_fail(err, SFTN_ERR_NUMERIC,
                             "epoch %lld, batch %lld: the loss term '%s' (weight %g) stayed at "
                             "exactly %g over %d steps: it trains nothing; training stops, the "
                             "last checkpoint is kept",
                             (long long)r->position.epoch + 1, (long long)r->position.batch + 1,
                             terms->term[i].name, (double)terms->term[i].weight, value[i],
                             SFTN_WATCH_STEPS);
    return SFTN_OK;
}

sftn_status sftn_run_observe(sftn_run_state *r, const sftn_train_step *s, int64_t images,
                             sftn_error *err)
{
    const double loss = sftn_train_step_value(s, -1);
    double value[SFTN_MAX_TERMS] = {0.0};
    sftn_status status = SFTN_OK;

    for (int i = 0; i < s->terms.n && !status; i++) {
        value[i] = sftn_train_step_value(s, i);
        status = check_finite(r, s->terms.term[i].name, value[i], err);
    }
    if (!status)
        status = check_finite(r, "total", loss, err);
    if (!status)
        status = watch_terms(r, &s->terms, value, err);
    if (!status && s->main)
        status = sftn_plan_read(s->plan, "rank", r->rank, err);
    if (status)
        return status;
    for (int i = 0; i < s->terms.n; i++)
        r->memory.term[i] += value[i] * (double)images;
    r->memory.loss += loss * (double)images;
    for (int64_t i = 0; i < images && s->main; i++)
        r->position.hits += r->rank[i] < 0.5;
    r->position.images += images;
    return SFTN_OK;
}

static void fill_times(const sftn_run_state *r, sftn_progress *p)
{
    const double now = r->clock.last_step;
    const double epoch = now - r->clock.epoch_begin;
    const int64_t total = p->epochs * r->batches;
    const int64_t left = total - r->position.step;

    p->elapsed_s = now - r->clock.begin;
    p->images_per_s = epoch > 0.0 ? (double)r->clock.epoch_images / epoch : 0.0;
    p->wait_share = epoch > 0.0 ? r->clock.waited / epoch : 0.0;
    if (r->clock.steps > 0)
        p->remaining_s = p->elapsed_s / (double)r->clock.steps * (double)left;
}

void sftn_run_progress(const sftn_run_state *r, sftn_progress *p)
{
    const bool main = r->phase == r->job->nphases;
    const sftn_terms *terms = sftn_run_terms(r, r->phase);
    const double images = r->position.images > 0 ? (double)r->position.images : 1.0;

    *p = (sftn_progress){
        .member = r->member,
        .members = r->members,
        .epoch = r->position.epoch + 1,
        .epochs = r->epochs,
        .phase = main ? NULL : r->job->phase[r->phase].name,
        .batch = r->position.batch,
        .batches = r->batches,
        .step = r->position.step,
        .lr = r->lr,
        .nterms = terms->n,
        .loss = r->memory.loss / images,
        .train_top1 = main ? 100.0 * (double)r->position.hits / images : -1.0,
        .validation_top1 = -1.0,
        .test_top1 = -1.0,
        .test_top5 = -1.0,
        .test_loss = -1.0,
        .ema_top1 = -1.0,
    };
    for (int i = 0; i < terms->n; i++) {
        p->term_name[i] = terms->term[i].name;
        p->term[i] = r->memory.term[i] / images;
    }
    fill_times(r, p);
}
