/* trainer: it learns, it is deterministic, and it stops with a sentence where it cannot go on. */
#include "base/base.h"
#include "test.h"
#include "train/small.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static bool exists(const char *dir, const char *name)
{
    struct stat info;
    char path[512];

    snprintf(path, sizeof path, "%s/%s", test_temp_path(dir), name);
    return stat(path, &info) == 0;
}

TEST(one_batch_is_learned_by_heart)
{
    sftn_dataset *data = small_data(16, 0);
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    sftn_train_options o = small_options("heart");
    small_watch w = {0};
    const sftn_train_hooks hooks = small_hooks(&w);
    sftn_train_result result;
    sftn_error err = {0};

    o.batch = 16;
    o.augment = (sftn_augment){0};
    o.schedule.epochs = 60;
    o.schedule.milestone[0] = 50;
    o.schedule.lr = 0.1;
    CHECK_OK(sftn_train(&job, data, &o, &hooks, &result, &err), &err);
    CHECK_INT(w.epochs, 60);
    CHECK_INT(w.last.step, 60);
    CHECK_NEAR(w.last_epoch.train_top1, 100.0, 0.0);
    CHECK(w.last_epoch.loss < 0.1);
    CHECK(result.last_top1 >= 0.0 && result.best_validation_top1 < 0.0);
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

TEST(two_runs_are_bit_equal)
{
    sftn_dataset *data = small_data(0, 0);

    for (int i = 0; i < 2; i++) {
        sftn_job job = small_teacher("sftn", "resnet14", NULL);
        sftn_train_options o = small_options(i ? "second" : "first");

        small_train(&job, data, &o);
        sftn_job_free(&job);
    }
    small_check_same("first", "second", "checkpoint.safetensors");
    small_check_same("first", "second", "model.safetensors");
    small_check_same("first", "second", "branches.safetensors");
    small_check_same_log("first", "second");
    sftn_dataset_close(data);
}

TEST(a_teacher_with_detached_branches_equals_a_plain_one)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job plain = small_teacher("plain", "resnet8", NULL);
    sftn_job detached = small_teacher("sftn", "resnet8", "detach=true");
    sftn_train_options o = small_options("plain");

    small_train(&plain, data, &o);
    o.dir = test_temp_path("detached");
    small_train(&detached, data, &o);
    CHECK_INT(sftn_params_weight_size(plain.params[0]),
              sftn_params_weight_size(detached.params[0]));
    CHECK_BYTES(sftn_params_weights(detached.params[0]), sftn_params_weights(plain.params[0]),
                (size_t)sftn_params_weight_size(plain.params[0]) * sizeof(float));
    CHECK_BYTES(sftn_params_states(detached.params[0]), sftn_params_states(plain.params[0]),
                (size_t)sftn_params_state_size(plain.params[0]) * sizeof(float));
    sftn_job_free(&plain);
    sftn_job_free(&detached);
    sftn_dataset_close(data);
}

TEST(validation_picks_the_best_epoch_apart_from_the_last)
{
    sftn_dataset *data = small_data(0, 10);
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    sftn_train_options o = small_options("validated");
    sftn_train_result r;

    o.ema = 0.5;
    r = small_train(&job, data, &o);
    CHECK(r.best_validation_top1 >= 0.0 && r.best_epoch >= 1 && r.best_epoch <= 2);
    CHECK(r.ema_top1 >= 0.0);
    CHECK(exists("validated", "best.safetensors") && exists("validated", "ema.safetensors"));
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

static void count_tests(void *ctx, const sftn_progress *p)
{
    *(int *)ctx += p->epoch_done && p->test_top1 >= 0.0;
}

TEST(the_test_split_may_be_measured_once_to_the_same_results)
{
    sftn_dataset *data = small_data(0, 10);
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    sftn_job again = small_teacher("plain", "resnet8", NULL);
    sftn_train_options o = small_options("each");
    int tests = 0;
    const sftn_train_hooks hooks = {.ctx = &tests, .progress = count_tests};
    sftn_train_result each, once;
    sftn_error err = {0};

    o.schedule.epochs = 4;
    each = small_train(&job, data, &o);
    o.dir = test_temp_path("once");
    o.test_at_end = true;
    CHECK_OK(sftn_train(&again, data, &o, &hooks, &once, &err), &err);
    CHECK(each.best_epoch < 4); /* so that an earlier epoch's network is measured at the end */
    CHECK_INT(each.best_epoch, once.best_epoch);
    CHECK(each.last_top1 == once.last_top1 && each.best_test_top1 == once.best_test_top1);
    small_check_same("each", "once", "model.safetensors");
    small_check_same("each", "once", "checkpoint.safetensors");
    CHECK_INT(tests, 1);
    sftn_job_free(&job);
    sftn_job_free(&again);
    sftn_dataset_close(data);
}

TEST(a_loss_that_is_not_finite_stops_by_name_and_keeps_the_checkpoint)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    sftn_train_options o = small_options("exploded");
    sftn_error err = {0};
    sftn_train_result r;

    o.schedule.epochs = 3;
    o.schedule.milestone[0] = 1.0;
    o.schedule.gamma = 1e30;
    CHECK_FAILS(sftn_train(&job, data, &o, NULL, &r, &err), SFTN_ERR_NUMERIC, &err, "epoch 2");
    CHECK_CONTAINS(err.text, "loss term 'ce'");
    CHECK_INT(small_epochs_saved("exploded"), 1);
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

/* ---- a full disk ---- */

typedef struct disk {
    struct rlimit old;
    bool full;
} disk;

static void fill_disk(void *ctx, const sftn_progress *p)
{
    disk *d = ctx;

    if (p->epoch_done && !d->full) {
        struct rlimit low = d->old;

        low.rlim_cur = 100000;
        d->full = setrlimit(RLIMIT_FSIZE, &low) == 0;
    }
}

TEST(a_full_disk_leaves_the_last_checkpoint_intact)
{
    sftn_dataset *data = small_data(32, 0);
    sftn_job job = small_teacher("plain", "resnet8", NULL), again;
    sftn_train_options o = small_options("disk");
    disk d = {.full = false};
    const sftn_train_hooks hooks = {.ctx = &d, .progress = fill_disk};
    sftn_error err = {0};
    sftn_train_result r;
    sftn_status status;

    CHECK(getrlimit(RLIMIT_FSIZE, &d.old) == 0);
    signal(SIGXFSZ, SIG_IGN);
    status = sftn_train(&job, data, &o, &hooks, &r, &err);
    CHECK(setrlimit(RLIMIT_FSIZE, &d.old) == 0);
    CHECK(d.full);
    CHECK_INT(status, SFTN_ERR_FILE);
    CHECK_CONTAINS(err.text, ".safetensors");
    sftn_job_free(&job);
    again = small_teacher("plain", "resnet8", NULL);
    o.resume = true;
    small_train(&again, data, &o);
    sftn_job_free(&again);
    again = small_teacher("plain", "resnet8", NULL);
    o = small_options("roomy");
    small_train(&again, data, &o);
    small_check_same("disk", "roomy", "checkpoint.safetensors");
    small_check_same_log("disk", "roomy");
    sftn_job_free(&again);
    sftn_dataset_close(data);
}

/* clang-format off */
static void no_batch(sftn_train_options *o) { o->batch = 0; }
static void no_epochs(sftn_train_options *o) { o->schedule.epochs = 0; }
static void rate_below(sftn_train_options *o) { o->schedule.lr = -0.1; }
static void rate_infinite(sftn_train_options *o) { o->schedule.lr = INFINITY; }
static void warmup_below(sftn_train_options *o) { o->schedule.warmup = -1.0; }
static void milestones_below(sftn_train_options *o) { o->schedule.nmilestones = -1; }
static void milestones_above(sftn_train_options *o) { o->schedule.nmilestones = 1000; }
static void momentum_below(sftn_train_options *o) { o->momentum = -0.1; }
static void momentum_one(sftn_train_options *o) { o->momentum = 1.0; }
static void decay_below(sftn_train_options *o) { o->weight_decay = -1.0; }
static void clip_below(sftn_train_options *o) { o->clip = -1.0; }
static void ema_below(sftn_train_options *o) { o->ema = -0.1; }
static void ema_one(sftn_train_options *o) { o->ema = 1.0; }
static void nesterov_alone(sftn_train_options *o) { o->nesterov = true; o->momentum = 0.0; }
/* clang-format on */

static const struct {
    void (*change)(sftn_train_options *o);
    const char *text;
} refused[] = {
    {no_batch, "0 images a batch"},          {no_epochs, "and 0 epochs"},
    {rate_below, "learning rate -0.1"},      {rate_infinite, "learning rate inf"},
    {warmup_below, "warm-up -1"},            {milestones_below, "-1 milestones"},
    {milestones_above, "and at most"},       {momentum_below, "momentum -0.1"},
    {momentum_one, "momentum 1"},            {decay_below, "weight decay -1"},
    {clip_below, "clip -1"},                 {ema_below, "average -0.1"},
    {ema_one, "average 1"},                  {nesterov_alone, "momentum above 0"},
};

TEST(options_out_of_range_are_refused)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    sftn_error err = {0};
    sftn_train_result r;

    for (size_t i = 0; i < SFTN_COUNT(refused); i++) {
        sftn_train_options o = small_options("refused");

        refused[i].change(&o);
        CHECK_FAILS(sftn_train(&job, data, &o, NULL, &r, &err), SFTN_ERR_ARGUMENT, &err,
                    refused[i].text);
    }
    job.classes = 100;
    CHECK_FAILS(sftn_train(&job, data, &(sftn_train_options){0}, NULL, &r, &err),
                SFTN_ERR_ARGUMENT, &err, "a run directory");
    const sftn_train_options o = small_options("refused");

    CHECK_FAILS(sftn_train(&job, data, &o, NULL, &r, &err), SFTN_ERR_ARGUMENT, &err,
                "100 classes, the data set cifar10 has 10");
    CHECK(!exists("refused", "log.jsonl"));
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

/* Every n-th allocation for n growing by a quarter: all stages of a run are met. */
TEST(a_run_that_runs_out_of_memory_says_so)
{
    sftn_train_options o = small_options("memory");
    sftn_dataset *data;
    bool done = false;

    if (test_quick())
        SKIP("SFTN_QUICK");
    data = small_data(4, 2);
    o.batch = 2;
    o.ema = 0.5;
    o.schedule.epochs = 1;
    for (long n = 1; !done && n < 10000000; n += n / 4 + 1) {
        sftn_job job = small_teacher("plain", "resnet8", NULL);
        sftn_error err = {0};
        sftn_train_result r;
        sftn_status status;

        test_fail_allocation(n);
        status = sftn_train(&job, data, &o, NULL, &r, &err);
        done = test_allocations() < n;
        test_fail_allocation(0);
        sftn_job_free(&job);
        if (done)
            CHECK_OK(status, &err);
        else
            test_check_status(status, SFTN_ERR_MEMORY, &err, "sftn_train", __FILE__, __LINE__);
    }
    sftn_dataset_close(data);
}

TEST(a_stepper_learns_the_batch_it_is_given)
{
    sftn_job job = small_teacher("sftn", "resnet8", NULL);
    const sftn_train_options o = small_options("steps");
    float image[4 * 3 * 32 * 32], logits[4 * 10];
    const float labels[4] = {1, 3, 5, 7};
    double first, last;
    sftn_error err = {0};
    sftn_stepper *s;
    sftn_plan *plan;

    CHECK_OK(sftn_stepper_new(&job, job.nphases, &o, SFTN_SHAPE(4, 3, 32, 32), &s, &err), &err);
    CHECK(sftn_stepper_graph(s) != NULL);
    plan = sftn_stepper_plan(s);
    for (int i = 0; i < 4 * 3 * 32 * 32; i++)
        image[i] = (float)((i * 37 + i / 3072 * 11) % 100) / 50.0f - 1.0f;
    CHECK_OK(sftn_plan_write_float(plan, "image", image, &err), &err);
    CHECK_OK(sftn_plan_write_float(plan, "labels", labels, &err), &err);
    CHECK_OK(sftn_stepper_run(s, 0.05, &err), &err);
    CHECK_OK(sftn_plan_read(plan, "loss", &first, &err), &err);
    for (int i = 0; i < 10; i++)
        CHECK_OK(sftn_stepper_run(s, 0.05, &err), &err);
    CHECK_OK(sftn_plan_read(plan, "loss", &last, &err), &err);
    CHECK_OK(sftn_plan_read_float(plan, "logits", logits, &err), &err);
    CHECK(last < first);
    sftn_stepper_free(s);
    sftn_job_free(&job);
}

/* ---- DOT ---- */

/* resnet8's first weights after `epochs` epochs of one step each; w has room for 432. */
static void train_dot(const char *dir, double dot, int epochs, float *w)
{
    sftn_dataset *data = small_data(32, 0);
    sftn_job job = small_student(NULL);
    sftn_train_options o = small_options(dir);

    o.dot = dot;
    o.schedule.epochs = epochs;
    small_train(&job, data, &o);
    memcpy(w, sftn_params_value(job.params[0], 0), 432 * sizeof *w);
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

static double distance(const float *a, const float *b)
{
    double sum = 0.0;

    for (int i = 0; i < 432; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum);
}

/* Momenta meet gradients in the second step only. */
TEST(dot_begins_as_plain_momentum_does_and_then_parts_from_it)
{
    float plain[2][432], dot[2][432];

    for (int i = 0; i < 2; i++) {
        train_dot("plain_momentum", 0.0, i + 1, plain[i]);
        train_dot("two_momenta", 0.09, i + 1, dot[i]);
    }
    CHECK(distance(plain[0], dot[0]) < 1e-4 * distance(plain[0], plain[1]));
    CHECK(distance(plain[1], dot[1]) > 1e-3 * distance(plain[0], plain[1]));
}

TEST(dot_needs_two_groups_of_terms_and_plain_steps)
{
    sftn_dataset *data = small_data(32, 0);
    sftn_job teacher = small_teacher("plain", "resnet8", NULL), student = small_student(NULL);
    sftn_train_options o = small_options("groups");
    sftn_error err = {0};
    sftn_train_result r;

    o.dot = 0.05;
    CHECK_FAILS(sftn_train(&teacher, data, &o, NULL, &r, &err), SFTN_ERR_ARGUMENT, &err,
                "no term of the latter");
    o.nesterov = true;
    CHECK_FAILS(sftn_train(&student, data, &o, NULL, &r, &err), SFTN_ERR_ARGUMENT, &err,
                "not defined together with Nesterov");
    o.nesterov = false;
    o.dot = 0.1;
    CHECK_FAILS(sftn_train(&student, data, &o, NULL, &r, &err), SFTN_ERR_ARGUMENT, &err,
                "momenta of 0.9 apart by 0.1");
    sftn_job_free(&teacher);
    sftn_job_free(&student);
    sftn_dataset_close(data);
}
