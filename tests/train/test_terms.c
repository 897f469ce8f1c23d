/* terms: those that train nothing stop a run by name, and leave its checkpoint as it was. */
#include "test.h"
#include "train/small.h"

#include <stdio.h>
#include <unistd.h>

/*
 * What is wrong with a second term: no path to the network; a gradient of 0, or one not finite;
 * a gradient, but the value 0 or 3, from the first step on or from the second epoch.
 */
typedef enum fault { CUT, FLAT, STEEP, ZERO, LATE_ZERO, LATE_CONSTANT } fault;

typedef struct odd {
    sftn_job inner;
    fault kind;
} odd;

static sftn_value odd_term(const odd *o, sftn_job_graph *jg)
{
    sftn_graph *g = jg->g;
    const sftn_value mean = sftn_mean(g, jg->logits, SFTN_ALL_AXES);
    const sftn_value zero = sftn_sub(g, mean, sftn_detach(g, mean));
    const sftn_value later = sftn_greater(
        g, jg->epoch, sftn_graph_constant(g, sftn_value_type(g, jg->epoch), 1.0f));
    const sftn_value sooner = sftn_shift(g, sftn_neg(g, later), 1.0f);

    switch (o->kind) {
    case CUT:
        return sftn_detach(g, mean);
    case FLAT:
        return sftn_scale(g, mean, 0.0f);
    case STEEP:
        return sftn_sqrt(g, sftn_square(g, zero));
    case ZERO:
        return zero;
    case LATE_ZERO:
        return sftn_add(g, sftn_mul(g, sooner, mean), zero);
    default:
        return sftn_shift(g, sftn_add(g, sftn_mul(g, sooner, mean), zero), 3.0f);
    }
}

/* The plain teacher's graph and a second term. */
static void odd_build(void *self, sftn_job_graph *jg)
{
    odd *o = self;

    o->inner.build(o->inner.self, jg);
    sftn_terms_add(&jg->terms, jg->g, 1.0f, odd_term(o, jg), "odd_term");
}

/* 11 steps an epoch. */
static sftn_status train_odd(fault kind, sftn_error *err)
{
    sftn_dataset *data = small_data(22, 0);
    odd o = {.inner = small_teacher("plain", "resnet8", NULL), .kind = kind};
    sftn_job job = o.inner;
    sftn_train_options options = small_options("odd");
    sftn_train_result r;
    sftn_status status;

    job.self = &o;
    job.build = odd_build;
    options.batch = 2;
    options.schedule.epochs = 4;
    status = sftn_train(&job, data, &options, NULL, &r, err);
    sftn_job_free(&o.inner);
    sftn_dataset_close(data);
    return status;
}

static void check_odd(fault kind, const char *why)
{
    sftn_error err = {0};

    CHECK_FAILS(train_odd(kind, &err), SFTN_ERR_NUMERIC, &err, "'odd_term'");
    CHECK_CONTAINS(err.text, why);
}

TEST(a_term_without_gradient_is_refused_by_name)
{
    check_odd(CUT, "no gradient into resnet8");
}

TEST(a_term_whose_gradient_is_0_is_refused_by_name)
{
    char checkpoint[512];

    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.safetensors", test_temp_path("odd"));
    check_odd(FLAT, "exactly 0 on the first batch");
    CHECK(access(checkpoint, F_OK) != 0);
}

TEST(a_term_whose_gradient_is_not_finite_is_refused_by_name)
{
    check_odd(STEEP, "not finite on the first batch");
}

TEST(a_term_that_is_0_from_the_first_step_on_stops_the_run_by_name)
{
    check_odd(ZERO, "epoch 2, batch 9: ");
    CHECK_INT(small_epochs_saved("odd"), 1);
}

TEST(a_term_that_becomes_0_stops_the_run_by_name_and_keeps_the_checkpoint)
{
    check_odd(LATE_ZERO, "epoch 3, batch 9: ");
    CHECK_INT(small_epochs_saved("odd"), 2);
}

TEST(a_term_that_becomes_constant_stops_the_run_by_name_and_keeps_the_checkpoint)
{
    check_odd(LATE_CONSTANT, "stayed at exactly 3 over 20 steps");
    CHECK_INT(small_epochs_saved("odd"), 2);
}

/* One batch, the same in every epoch, at a rate that is soon 0: not a bit of the loss changes. */
static sftn_status train_at_rest(double lr, sftn_error *err)
{
    sftn_dataset *data = small_data(2, 0);
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    sftn_train_options o = small_options("rest");
    sftn_train_result r;
    sftn_status status;

    o.batch = 2;
    o.augment = (sftn_augment){0};
    o.schedule.epochs = 30;
    o.schedule.lr = lr;
    o.schedule.milestone[0] = 5.0;
    o.schedule.gamma = 0.0;
    status = sftn_train(&job, data, &o, NULL, &r, err);
    sftn_job_free(&job);
    sftn_dataset_close(data);
    return status;
}

TEST(a_network_that_has_come_to_rest_is_trained_to_the_end)
{
    sftn_error err = {0};

    CHECK_OK(train_at_rest(0.01, &err), &err);
}

TEST(a_network_that_never_moves_stops_the_run)
{
    sftn_error err = {0};

    CHECK_FAILS(train_at_rest(0.0, &err), SFTN_ERR_NUMERIC, &err, "loss term 'ce'");
}
