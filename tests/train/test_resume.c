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
} variety;

static sftn_job make_job(const variety *v)
{
    return v->scheme ? small_teacher(v->scheme, "resnet8", NULL) : small_student(NULL);
}

static sftn_train_options make_options(const variety *v, const char *dir)
{
    sftn_train_options o = small_options(dir);

    o.ema = v->ema;
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
    check_variety(&(const variety){"teacher", "sftn", 0, 0.0, SFTN_FLOAT32});
}

TEST(averages_and_the_best_epoch_resume_bit_exactly)
{
    check_variety(&(const variety){"averaged", "plain", 4, 0.9, SFTN_FLOAT32});
}

TEST(a_distillation_resumes_bit_exactly)
{
    check_variety(&(const variety){"student", NULL, 0, 0.0, SFTN_FLOAT32});
}

TEST(a_bfloat16_run_resumes_bit_exactly)
{
    if (test_quick())
        SKIP("SFTN_QUICK");
    check_variety(&(const variety){"bfloat16", "plain", 0, 0.0, SFTN_BFLOAT16});
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
