/*
 * warmup: weights that rise over the first epochs of the main phase: how much, and that runs stop
 * and go on to the same bytes.
 */
#include "base/base.h"
#include "test.h"
#include "train/small.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EPOCHS = 4 };

static void *options_of(const sftn_distiller *m, const char *name, const char *value)
{
    void *options = calloc(1, m->options_size);
    sftn_error err = {0};

    sftn_options_default(m->options, options);
    CHECK_OK(sftn_options_set(m->options, options, name, value, &err), &err);
    return options;
}

/* resnet8 by a method with that warm-up, after one epoch of ab's phase where asked. */
static sftn_job make_job(const char *method, const char *warmup, bool prepared)
{
    const sftn_model teacher = small_model("resnet14"), student = small_model("resnet8");
    sftn_error err = {0};
    const sftn_distiller *m = sftn_distiller_find(method, &err);
    const sftn_distiller *ab = sftn_distiller_find("ab", &err);
    void *options = options_of(m, "warmup", warmup);
    void *phase = options_of(ab, "epochs", "1");
    const sftn_distill_options o = {.student = &student,
                                    .teacher = &teacher,
                                    .use = {{m, options, m->weight, NULL}, {ab, phase, 1.0, NULL}},
                                    .nuse = prepared ? 2 : 1,
                                    .task_weight = 0.5,
                                    .classes = 10,
                                    .channels = 3,
                                    .image_size = 32,
                                    .seed = 1};
    sftn_job job;

    CHECK_OK(sftn_distill_job(&o, &job, &err), &err);
    free(options);
    free(phase);
    return job;
}

static sftn_train_options make_options(const char *dir)
{
    sftn_train_options o = small_options(dir);

    o.schedule.epochs = EPOCHS;
    return o;
}

/* What the weight of the method was in each epoch of the main phase, by the epoch's means. */
typedef struct shares {
    double weight, share[EPOCHS + 1];
    int n;
} shares;

static void keep_share(void *ctx, const sftn_progress *p)
{
    shares *s = ctx;

    if (!p->epoch_done || p->phase)
        return;
    CHECK(s->n < EPOCHS);
    s->share[s->n++] = (p->loss - 0.5 * p->term[0]) / (s->weight * p->term[1]);
}

static void check_shares(const char *method, bool prepared)
{
    static const double expected[EPOCHS] = {1.0 / 3.0, 2.0 / 3.0, 1.0, 1.0};
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = make_job(method, "3", prepared);
    const sftn_train_options o = make_options("shares");
    shares s = {.weight = sftn_distiller_find(method, NULL)->weight};
    const sftn_train_hooks hooks = {.ctx = &s, .progress = keep_share};
    sftn_error err = {0};
    sftn_train_result r;

    CHECK_OK(sftn_train(&job, data, &o, &hooks, &r, &err), &err);
    CHECK_INT(s.n, EPOCHS);
    for (int i = 0; i < EPOCHS; i++)
        CHECK_NEAR(s.share[i], expected[i], 1e-5);
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

TEST(dkd_rises_evenly_from_the_first_epoch_on)
{
    check_shares("dkd", false);
}

TEST(reviewkd_rises_evenly_from_the_first_epoch_on)
{
    check_shares("reviewkd", false);
}

TEST(a_warmup_counts_the_epochs_of_the_main_phase)
{
    check_shares("dkd", true);
}

/* Train until a step, or to the end (0), and leave the job for a look. */
static sftn_job train(const char *warmup, const char *dir, bool resume, int64_t after)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = make_job("dkd", warmup, false);
    sftn_train_options o = make_options(dir);
    small_watch w = {.after = after};
    const sftn_train_hooks hooks = small_hooks(&w);
    sftn_error err = {0};
    sftn_train_result r;

    o.resume = resume;
    CHECK_INT(sftn_train(&job, data, &o, &hooks, &r, &err), after ? SFTN_ERR_INTERRUPTED : SFTN_OK);
    sftn_dataset_close(data);
    return job;
}

TEST(a_warmup_of_one_epoch_is_none)
{
    sftn_job none = train("0", "none", false, 0), one = train("1", "one", false, 0);

    CHECK_BYTES(sftn_params_weights(one.params[0]), sftn_params_weights(none.params[0]),
                (size_t)sftn_params_weight_size(none.params[0]) * sizeof(float));
    sftn_job_free(&none);
    sftn_job_free(&one);
}

/* Epochs have 3 steps. */
TEST(a_warmup_resumes_bit_exactly)
{
    static const int64_t stops[] = {2, 3, 7, 0};
    sftn_job job = train("3", "whole", false, 0);

    sftn_job_free(&job);
    for (size_t i = 0; i < SFTN_COUNT(stops); i++) {
        job = train("3", "pieces", i > 0, stops[i]);
        sftn_job_free(&job);
    }
    small_check_same("pieces", "whole", "checkpoint.safetensors");
    small_check_same_log("pieces", "whole");
}

TEST(a_stepper_is_past_every_warmup)
{
    sftn_job job = make_job("dkd", "3", false);
    const sftn_train_options o = make_options("stepper");
    double epoch = 2.0, loss[2];
    sftn_error err = {0};
    sftn_stepper *s;
    sftn_plan *plan;

    CHECK_OK(sftn_stepper_new(&job, job.nphases, &o, SFTN_SHAPE(4, 3, 32, 32), &s, &err), &err);
    plan = sftn_stepper_plan(s);
    for (int i = 0; i < 2; i++) {
        double ce, dkd;

        CHECK_OK(sftn_stepper_run(s, 0.0, &err), &err);
        CHECK_OK(sftn_plan_read(plan, "loss", &loss[i], &err), &err);
        CHECK_OK(sftn_plan_read(plan, "term0", &ce, &err), &err);
        CHECK_OK(sftn_plan_read(plan, "term1", &dkd, &err), &err);
        CHECK_NEAR(loss[i], 0.5 * ce + (i ? 2.0 / 3.0 : 1.0) * dkd, 1e-4);
        CHECK_OK(sftn_plan_write(plan, "epoch", &epoch, &err), &err);
    }
    sftn_stepper_free(s);
    sftn_job_free(&job);
}
