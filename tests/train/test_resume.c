/* resume: a run that was stopped ends in the same bytes as one that was not. */
#include "base/base.h"
#include "sftn/tensors.h"
#include "test.h"
#include "train/small.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which training, and with what extras. */
typedef struct variety {
    const char *name;
    const char *scheme; /* NULL: distillation */
    int64_t validation;
    double ema;
    sftn_precision precision;
    double dot;
} variety;

static sftn_job make_job(const variety *v)
{
    return v->scheme ? small_teacher(v->scheme, "resnet8", NULL) : small_student(NULL);
}

static sftn_train_options make_options(const variety *v, const char *dir)
{
    sftn_train_options o = small_options(dir);

    o.ema = v->ema;
    o.dot = v->dot;
    o.plan.precision = v->precision;
    return o;
}

/* Train in pieces, each a new job, stopping after every step that stops names; 0 ends the list. */
static void train_in_pieces(const variety *v, const sftn_dataset *data, const char *dir,
                            const int64_t *stops)
{
    sftn_train_options o = make_options(v, dir);
    bool more = true;

    for (int i = 0; more; i++) {
        sftn_job job = make_job(v);
        small_watch w = {.after = stops[i]};
        const sftn_train_hooks hooks = small_hooks(&w);
        sftn_error err = {0};
        sftn_train_result r;
        const sftn_status status = sftn_train(&job, data, &o, &hooks, &r, &err);

        more = stops[i] != 0;
        if (more) {
            CHECK_INT(status, SFTN_ERR_INTERRUPTED);
            CHECK_CONTAINS(err.text, "checkpoint.safetensors");
            CHECK_INT(w.last.step, stops[i]);
        } else {
            CHECK_OK(status, &err);
        }
        sftn_job_free(&job);
        o.resume = true;
    }
}

/* Epochs have 3 steps, the third of a partial batch: stops in mid-epoch and at an epoch's end. */
static void check_variety(const variety *v)
{
    static const int64_t never[] = {0}, stops[] = {1, 3, 4, 5, 0};
    sftn_dataset *data = small_data(0, v->validation);
    char whole[64], pieces[64];

    snprintf(whole, sizeof whole, "%s-whole", v->name);
    snprintf(pieces, sizeof pieces, "%s-pieces", v->name);
    train_in_pieces(v, data, whole, never);
    train_in_pieces(v, data, pieces, stops);
    small_check_same(pieces, whole, "checkpoint.safetensors");
    small_check_same(pieces, whole, "model.safetensors");
    if (v->scheme && strcmp(v->scheme, "sftn") == 0)
        small_check_same(pieces, whole, "branches.safetensors");
    if (v->ema > 0.0)
        small_check_same(pieces, whole, "ema.safetensors");
    if (v->validation > 0)
        small_check_same(pieces, whole, "best.safetensors");
    small_check_same_log(pieces, whole);
    sftn_dataset_close(data);
}

TEST(a_teacher_with_branches_resumes_bit_exactly)
{
    check_variety(&(const variety){"teacher", "sftn", 0, 0.0, SFTN_FLOAT32, 0.0});
}

TEST(averages_and_the_best_epoch_resume_bit_exactly)
{
    check_variety(&(const variety){"averaged", "plain", 4, 0.9, SFTN_FLOAT32, 0.0});
}

TEST(a_distillation_resumes_bit_exactly)
{
    check_variety(&(const variety){"student", NULL, 0, 0.0, SFTN_FLOAT32, 0.0});
}

TEST(a_distillation_with_two_momenta_resumes_bit_exactly)
{
    check_variety(&(const variety){"dot", NULL, 0, 0.0, SFTN_FLOAT32, 0.075});
}

TEST(a_bfloat16_run_resumes_bit_exactly)
{
    if (test_quick())
        SKIP("SFTN_QUICK");
    check_variety(&(const variety){"bfloat16", "plain", 0, 0.0, SFTN_BFLOAT16, 0.0});
}

/* ---- a crash ---- */

/* Copies what is on disk when a step is reported, as a crash would leave it. */
typedef struct crash {
    const char *dir, *copy;
    int64_t at; /* step */
} crash;

static void copy_file(const char *dir, const char *copy, const char *name)
{
    char from[512], to[512];
    sftn_error err = {0};
    size_t bytes;
    void *file;
    FILE *f;

    snprintf(from, sizeof from, "%s/%s", dir, name);
    snprintf(to, sizeof to, "%s/%s", copy, name);
    CHECK_OK(sftn_read_file(from, &file, &bytes, &err), &err);
    f = fopen(to, "wb");
    CHECK(f != NULL);
    CHECK(fwrite(file, 1, bytes, f) == bytes);
    CHECK(fclose(f) == 0);
    free(file);
}

static void copy_run(void *ctx, const sftn_progress *p)
{
    const crash *c = ctx;

    if (p->epoch_done || p->step != c->at)
        return;
    CHECK_STATUS(sftn_make_dirs(c->copy, NULL), SFTN_OK);
    copy_file(c->dir, c->copy, "checkpoint.safetensors");
    copy_file(c->dir, c->copy, "log.jsonl");
}

static int64_t saved_steps(const char *dir)
{
    char path[512];
    sftn_error err = {0};
    const sftn_array *position;
    sftn_tensors *t;
    int64_t steps;

    snprintf(path, sizeof path, "%s/checkpoint.safetensors", dir);
    CHECK_OK(sftn_tensors_open(path, &t, &err), &err);
    position = sftn_tensors_find(t, "run.position");
    CHECK(position != NULL);
    steps = ((const int64_t *)position->data)[2];
    sftn_tensors_close(t);
    return steps;
}

/* Epochs have 3 steps; a step is reported before it is saved, so step 5 finds step 4 on disk. */
TEST(a_run_saves_in_mid_epoch_and_goes_on_from_there_after_a_crash)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = small_teacher("sftn", "resnet8", NULL);
    sftn_train_options o = small_options("saving");
    char dir[256], copy[256];
    const crash c = {.dir = dir, .copy = copy, .at = 5};
    const sftn_train_hooks hooks = {.ctx = (void *)(uintptr_t)&c, .progress = copy_run};
    sftn_error err = {0};
    sftn_train_result r;

    snprintf(dir, sizeof dir, "%s", test_temp_path("saving"));
    snprintf(copy, sizeof copy, "%s", test_temp_path("crashed"));
    o.save_minutes = 1e-9;
    CHECK_OK(sftn_train(&job, data, &o, &hooks, &r, &err), &err);
    sftn_job_free(&job);
    CHECK_INT(saved_steps(copy), 4);
    o.dir = copy;
    o.resume = true;
    o.save_minutes = 0.0;
    job = small_teacher("sftn", "resnet8", NULL);
    small_train(&job, data, &o);
    sftn_job_free(&job);
    small_check_same("crashed", "saving", "checkpoint.safetensors");
    small_check_same("crashed", "saving", "model.safetensors");
    small_check_same_log("crashed", "saving");
    sftn_dataset_close(data);
}

/* ---- a plan that fails ---- */

/* Train until a computation fails, then resume; the first epoch is all that was saved. */
static void check_failure(const sftn_dataset *data, const char *dir, const char *whole,
                          int64_t after, const char *said)
{
    sftn_job job = small_teacher("sftn", "resnet8", NULL);
    sftn_train_options o = small_options(dir);
    small_fault fault = {.after = after, .n = 1};
    const sftn_train_hooks hooks = small_fault_hooks(&fault);
    sftn_error err = {0};
    sftn_train_result r;

    CHECK_FAILS(sftn_train(&job, data, &o, &hooks, &r, &err), SFTN_ERR_BACKEND, &err, said);
    CHECK_CONTAINS(err.text, "' failed: out_of_memory");
    sftn_job_free(&job);
    CHECK_INT(small_epochs_saved(dir), 1);
    o.resume = true;
    job = small_teacher("sftn", "resnet8", NULL);
    CHECK_INT(small_train(&job, data, &o).steps, 3);
    sftn_job_free(&job);
    small_check_same(dir, whole, "checkpoint.safetensors");
    small_check_same(dir, whole, "model.safetensors");
    small_check_same_log(dir, whole);
}

TEST(a_run_whose_plan_fails_says_where_and_resumes_bit_exactly)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = small_teacher("sftn", "resnet8", NULL);
    sftn_train_options o = small_options("unfailing");

    small_train(&job, data, &o);
    sftn_job_free(&job);
    check_failure(data, "failed-step", "unfailing", 4, "epoch 2, batch 2: step ");
    check_failure(data, "failed-test", "unfailing", 6, "step ");
    sftn_dataset_close(data);
}

TEST(a_checkpoint_says_how_many_threads_computed_it)
{
    sftn_dataset *data = small_data(32, 0);
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    sftn_train_options o = small_options("threads");
    sftn_error err = {0};
    int threads;

    o.schedule.epochs = 1;
    sftn_set_threads(3);
    small_train(&job, data, &o);
    sftn_set_threads(0);
    CHECK_OK(sftn_checkpoint_threads(o.dir, &threads, &err), &err);
    CHECK_INT(threads, 3);
    CHECK_FAILS(sftn_checkpoint_threads(test_temp_path("nowhere"), &threads, &err), SFTN_ERR_FILE,
                &err, "nowhere/checkpoint.safetensors");
    CHECK_INT(threads, 0);
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

/* ---- checkpoints that are not this run's ---- */

static sftn_status resume(sftn_job job, const sftn_dataset *data, const sftn_train_options *o,
                          sftn_error *err)
{
    sftn_train_result r;
    const sftn_status status = sftn_train(&job, data, o, NULL, &r, err);

    sftn_job_free(&job);
    return status;
}

TEST(a_checkpoint_of_another_run_is_refused_with_the_difference)
{
    sftn_dataset *data = small_data(40, 0), *more = small_data(50, 0);
    sftn_job job = small_teacher("sftn", "resnet8", NULL);
    sftn_train_options o = small_options("other");
    const sftn_train_options same = o;
    sftn_error err = {0};

    o.schedule.epochs = 1;
    small_train(&job, data, &o);
    sftn_job_free(&job);
    o.resume = true;
    CHECK_OK(resume(small_teacher("sftn", "resnet8", NULL), data, &o, &err), &err);
    CHECK_FAILS(resume(small_teacher("sftn", "resnet14", NULL), data, &o, &err),
                SFTN_ERR_ARGUMENT, &err, "trains resnet8, this run trains resnet14");
    CHECK_FAILS(resume(small_teacher("sftn", "resnet8", "lambda-kl=2"), data, &o, &err),
                SFTN_ERR_ARGUMENT, &err, "'lambda-kl' is 3 there and 2 here");
    CHECK_FAILS(resume(small_teacher("plain", "resnet8", NULL), data, &o, &err),
                SFTN_ERR_ARGUMENT, &err, "'scheme' is sftn there and plain here");
    CHECK_FAILS(resume(small_teacher("sftn", "resnet8", NULL), more, &o, &err), SFTN_ERR_ARGUMENT,
                &err, "'train-records' is 40 there and 50 here");
    o.weight_decay = 1e-4;
    CHECK_FAILS(resume(small_teacher("sftn", "resnet8", NULL), data, &o, &err), SFTN_ERR_ARGUMENT,
                &err, "'weight-decay' is 0.0005 there and 0.0001 here");
    o = same;
    o.resume = true;
    CHECK_FAILS(resume(small_teacher("sftn", "resnet8", NULL), data, &o, &err), SFTN_ERR_ARGUMENT,
                &err, "'epochs' is 1 there and 2 here");
    sftn_dataset_close(data);
    sftn_dataset_close(more);
}

static void damage(const char *path, size_t keep)
{
    sftn_error err = {0};
    size_t bytes;
    void *file;
    FILE *f;

    CHECK_OK(sftn_read_file(path, &file, &bytes, &err), &err);
    f = fopen(path, "wb");
    CHECK(f != NULL);
    fwrite(file, 1, keep ? keep : bytes, f);
    fclose(f);
    free(file);
}

TEST(a_damaged_checkpoint_is_an_error_that_names_it)
{
    sftn_dataset *data = small_data(32, 0);
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    sftn_train_options o = small_options("damaged");
    sftn_error err = {0};
    char path[512];

    o.schedule.epochs = 1;
    small_train(&job, data, &o);
    sftn_job_free(&job);
    o.resume = true;
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", o.dir);
    damage(path, 200000);
    CHECK_FAILS(resume(small_teacher("plain", "resnet8", NULL), data, &o, &err), SFTN_ERR_FORMAT,
                &err, "damaged/checkpoint.safetensors");
    remove(path);
    CHECK_FAILS(resume(small_teacher("plain", "resnet8", NULL), data, &o, &err), SFTN_ERR_FILE,
                &err, "damaged/checkpoint.safetensors");
    sftn_dataset_close(data);
}

TEST(the_log_loses_lines_that_the_checkpoint_does_not_know)
{
    sftn_dataset *data = small_data(32, 0);
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    sftn_train_options o = small_options("logged");
    small_watch w = {.after = 1};
    const sftn_train_hooks hooks = small_hooks(&w);
    sftn_error err = {0};
    sftn_train_result r;
    char path[512];
    FILE *f;

    CHECK_STATUS(sftn_train(&job, data, &o, &hooks, &r, &err), SFTN_ERR_INTERRUPTED);
    sftn_job_free(&job);
    snprintf(path, sizeof path, "%s/log.jsonl", o.dir);
    f = fopen(path, "a");
    CHECK(f != NULL);
    fputs("{\"epoch\":2,\"step\":2}\n{\"epoch\":3,\"st", f);
    fclose(f);
    o.resume = true;
    CHECK_OK(resume(small_teacher("plain", "resnet8", NULL), data, &o, &err), &err);
    job = small_teacher("plain", "resnet8", NULL);
    o = small_options("straight");
    small_train(&job, data, &o);
    sftn_job_free(&job);
    small_check_same_log("logged", "straight");
    sftn_dataset_close(data);
}
