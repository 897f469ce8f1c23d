/* together: jobs trained at once end in the same bytes as alone, however they were stopped. */
#include "base/base.h"
#include "sftn/tensors.h"
#include "test.h"
#include "train/small.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMBERS = 4 };

/* Students that differ in network, methods, seed and schedule, and one trained for itself. */
static const struct kind {
    const char *network, *method[2]; /* methods NULL: no teacher */
    uint64_t seed;
    int epochs;
} kinds[MEMBERS] = {
    {"resnet8", {"kd", NULL}, 1, 2},
    {"resnet14", {"at", "kd"}, 2, 3},
    {"resnet8", {NULL, NULL}, 3, 2},
    {"resnet8", {"crd", NULL}, 1, 2},
};

/* A teacher's run directory, made once. */
static const char *teacher_dir(const sftn_dataset *data)
{
    static char dir[256];

    if (!dir[0]) {
        sftn_job job = small_teacher("plain", "resnet14", NULL);
        sftn_train_options o = small_options("teacher");

        o.schedule.epochs = 1;
        snprintf(dir, sizeof dir, "%s", o.dir);
        small_train(&job, data, &o);
        sftn_job_free(&job);
    }
    return dir;
}

static sftn_job make_job(const struct kind *k, const sftn_dataset *data, const sftn_job *shares)
{
    const sftn_model teacher = small_model("resnet14"), student = small_model(k->network);
    sftn_distill_options options = {
        .student = &student,
        .teacher = &teacher,
        .teacher_file = teacher_dir(data),
        .shares = shares,
        .task_weight = 0.5,
        .classes = 10,
        .channels = 3,
        .image_size = 32,
        .data = data,
        .seed = k->seed,
    };
    sftn_error err = {0};
    sftn_job job;

    if (!k->method[0])
        return small_teacher("plain", k->network, NULL);
    for (int i = 0; i < 2 && k->method[i]; i++)
        options.use[options.nuse++] =
            (sftn_method_use){.method = sftn_distiller_find(k->method[i], &err),
                              .weight = i ? 1.0 : 10.0};
    CHECK_OK(sftn_distill_job(&options, &job, &err), &err);
    return job;
}

static sftn_train_options make_options(const struct kind *k, const char *dir)
{
    sftn_train_options o = small_options("unused");

    o.schedule.epochs = k->epochs;
    o.dir = dir;
    return o;
}

/* All kinds, in the directories PREFIX0, PREFIX1, ... */
typedef struct group {
    char dir[MEMBERS][256];
    sftn_job job[MEMBERS];
    sftn_train_options options[MEMBERS];
    sftn_member member[MEMBERS];
} group;

static void group_open(group *g, const sftn_dataset *data, const char *prefix,
                       sftn_precision precision)
{
    memset(g, 0, sizeof *g);
    for (int i = 0; i < MEMBERS; i++) {
        char name[64];

        snprintf(name, sizeof name, "%s%d", prefix, i);
        snprintf(g->dir[i], sizeof g->dir[i], "%s", test_temp_path(name));
        g->job[i] = make_job(&kinds[i], data, i ? &g->job[0] : NULL);
        g->options[i] = make_options(&kinds[i], g->dir[i]);
        g->options[i].plan.precision = precision;
        g->member[i] = (sftn_member){.job = &g->job[i], .options = &g->options[i]};
    }
}

static void group_close(group *g)
{
    for (int i = MEMBERS - 1; i >= 0; i--)
        sftn_job_free(&g->job[i]);
}

/* Every kind by itself, in PREFIX0, PREFIX1, ... */
static void train_alone(const sftn_dataset *data, const char *prefix, sftn_precision precision)
{
    for (int i = 0; i < MEMBERS; i++) {
        char name[64];
        sftn_train_options o;
        sftn_job job = make_job(&kinds[i], data, NULL);

        snprintf(name, sizeof name, "%s%d", prefix, i);
        o = make_options(&kinds[i], test_temp_path(name));
        o.plan.precision = precision;
        small_train(&job, data, &o);
        sftn_job_free(&job);
    }
}

/* The run PREFIXi is the same as kind i's by itself, which is trained the first time. */
static void check_same(const sftn_dataset *data, const char *prefix, int i,
                       sftn_precision precision)
{
    static bool trained[2];
    const char *alone = precision == SFTN_BFLOAT16 ? "alone-bf16-" : "alone";
    char a[64], b[64];

    if (!trained[precision])
        train_alone(data, alone, precision);
    trained[precision] = true;
    snprintf(a, sizeof a, "%s%d", prefix, i);
    snprintf(b, sizeof b, "%s%d", alone, i);
    small_check_same(a, b, "checkpoint.safetensors");
    small_check_same(a, b, "model.safetensors");
    small_check_same_log(a, b);
}

static void check_together(sftn_precision precision, const char *together)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_error err = {0};
    group g;

    group_open(&g, data, together, precision);
    CHECK_OK(sftn_train_together(g.member, MEMBERS, data, NULL, &err), &err);
    for (int i = 0; i < MEMBERS; i++) {
        CHECK_INT(g.member[i].error.status, SFTN_OK);
        CHECK_INT(g.member[i].result.steps, 3 * kinds[i].epochs);
        CHECK(g.member[i].result.last_top1 >= 0.0);
        check_same(data, together, i, precision);
    }
    group_close(&g);
    sftn_dataset_close(data);
}

TEST(jobs_trained_together_end_in_the_same_bytes_as_alone)
{
    check_together(SFTN_FLOAT32, "together");
}

TEST(jobs_trained_together_in_bfloat16_end_in_the_same_bytes_as_alone)
{
    if (test_quick())
        SKIP("SFTN_QUICK");
    check_together(SFTN_BFLOAT16, "together-bf16-");
}

/* ---- stops ---- */

/* Stops when any of the jobs has reported this step. */
typedef struct stopper {
    int64_t after;
    bool seen;
} stopper;

static void look(void *ctx, const sftn_progress *p)
{
    stopper *s = ctx;

    CHECK_INT(p->members, MEMBERS);
    CHECK(p->member >= 0 && p->member < MEMBERS);
    s->seen = s->seen || (s->after > 0 && p->step >= s->after);
}

static bool stop(void *ctx)
{
    return ((const stopper *)ctx)->seen;
}

static sftn_status train_until(group *g, const sftn_dataset *data, int64_t after, sftn_error *err)
{
    stopper s = {.after = after};
    const sftn_train_hooks hooks = {.ctx = &s, .progress = look, .stop = stop};

    return sftn_train_together(g->member, MEMBERS, data, &hooks, err);
}

static void resume_all(group *g)
{
    for (int i = 0; i < MEMBERS; i++)
        g->options[i].resume = true;
}

/* In mid-epoch, at the end of an epoch, and after some jobs were done. */
TEST(jobs_that_are_stopped_together_resume_to_the_same_bytes)
{
    static const int64_t stops[] = {2, 3, 7};
    sftn_dataset *data = small_data(0, 0);
    sftn_error err = {0};
    group g;

    for (size_t i = 0; i < SFTN_COUNT(stops); i++) {
        group_open(&g, data, "stopped", SFTN_FLOAT32);
        if (i > 0)
            resume_all(&g);
        CHECK_FAILS(train_until(&g, data, stops[i], &err), SFTN_ERR_INTERRUPTED, &err,
                    i < 2 ? "4 of 4 runs stopped and saved"
                          : "1 of 4 runs stopped and saved");
        CHECK_INT(g.member[1].error.status, SFTN_ERR_INTERRUPTED);
        CHECK_CONTAINS(g.member[1].error.text, "stopped1/checkpoint.safetensors");
        CHECK_INT(g.member[0].error.status, i < 2 ? SFTN_ERR_INTERRUPTED : SFTN_OK);
        group_close(&g);
    }
    group_open(&g, data, "stopped", SFTN_FLOAT32);
    resume_all(&g);
    CHECK_OK(train_until(&g, data, 0, &err), &err);
    CHECK_INT(g.member[0].result.steps, 0);
    CHECK_INT(g.member[1].result.steps, 2);
    for (int i = 0; i < MEMBERS; i++)
        check_same(data, "stopped", i, SFTN_FLOAT32);
    group_close(&g);
    sftn_dataset_close(data);
}

/* Train kind i alone until a step, or to its end (0), in the directory of the group's member. */
static void train_part(const sftn_dataset *data, const char *prefix, int i, int64_t after)
{
    sftn_job job = make_job(&kinds[i], data, NULL);
    small_watch w = {.after = after};
    const sftn_train_hooks hooks = small_hooks(&w);
    sftn_error err = {0};
    sftn_train_result r;
    sftn_train_options o;
    char name[64];

    snprintf(name, sizeof name, "%s%d", prefix, i);
    o = make_options(&kinds[i], test_temp_path(name));
    CHECK_INT(sftn_train(&job, data, &o, &hooks, &r, &err),
              after ? SFTN_ERR_INTERRUPTED : SFTN_OK);
    sftn_job_free(&job);
}

/* Ends a process that was killed between two checkpoints leaves, and worse. */
TEST(jobs_at_different_positions_catch_up_to_the_same_bytes)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_error err = {0};
    group g;

    train_part(data, "scattered", 0, 4);
    train_part(data, "scattered", 1, 3);
    train_part(data, "scattered", 2, 0);
    group_open(&g, data, "scattered", SFTN_FLOAT32);
    resume_all(&g);
    g.options[3].resume = false; /* it had not come to its first checkpoint */
    CHECK_OK(train_until(&g, data, 0, &err), &err);
    CHECK_INT(g.member[0].result.steps, 2);
    CHECK_INT(g.member[1].result.steps, 6);
    CHECK_INT(g.member[2].result.steps, 0);
    CHECK_INT(g.member[3].result.steps, 6);
    for (int i = 0; i < MEMBERS; i++)
        check_same(data, "scattered", i, SFTN_FLOAT32);
    group_close(&g);
    sftn_dataset_close(data);
}

TEST(one_of_them_resumes_alone)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_error err = {0};
    sftn_train_options o;
    sftn_job job;
    group g;

    group_open(&g, data, "single", SFTN_FLOAT32);
    CHECK_STATUS(train_until(&g, data, 4, &err), SFTN_ERR_INTERRUPTED);
    group_close(&g);
    job = make_job(&kinds[1], data, NULL);
    o = make_options(&kinds[1], test_temp_path("single1"));
    o.resume = true;
    small_train(&job, data, &o);
    check_same(data, "single", 1, SFTN_FLOAT32);
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

/* ---- failures ---- */

TEST(a_job_that_fails_is_left_and_the_others_go_on)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_error err = {0};
    group g;

    group_open(&g, data, "failing", SFTN_FLOAT32);
    g.options[1].schedule.milestone[0] = 1.0;
    g.options[1].schedule.gamma = 1e30;
    CHECK_FAILS(train_until(&g, data, 0, &err), SFTN_ERR_NUMERIC, &err,
                "1 of 4 runs failed; the first was ");
    CHECK_CONTAINS(err.text, "failing1: epoch 2");
    CHECK_INT(g.member[1].error.status, SFTN_ERR_NUMERIC);
    CHECK_CONTAINS(g.member[1].error.text, "the last checkpoint is kept");
    for (int i = 0; i < MEMBERS; i++)
        if (i != 1)
            check_same(data, "failing", i, SFTN_FLOAT32);
    group_close(&g);
    sftn_dataset_close(data);
}

static sftn_status train_with_fault(group *g, const sftn_dataset *data, small_fault fault,
                                    sftn_error *err)
{
    const sftn_train_hooks hooks = small_fault_hooks(&fault);

    return sftn_train_together(g->member, MEMBERS, data, &hooks, err);
}

/* In the second epoch, whose first step job 0 has made. */
TEST(a_job_whose_plan_fails_is_left_and_resumes_to_the_same_bytes)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_error err = {0};
    group g;

    group_open(&g, data, "broken", SFTN_FLOAT32);
    CHECK_FAILS(train_with_fault(&g, data, (small_fault){.member = 0, .after = 4, .n = 1}, &err),
                SFTN_ERR_BACKEND, &err, "1 of 4 runs failed; the first was ");
    CHECK_CONTAINS(err.text, "broken1: epoch 2, batch 1: step ");
    CHECK_CONTAINS(err.text, "' failed: out_of_memory");
    for (int i = 0; i < MEMBERS; i++) {
        CHECK_INT(g.member[i].error.status, i == 1 ? SFTN_ERR_BACKEND : SFTN_OK);
        if (i != 1)
            check_same(data, "broken", i, SFTN_FLOAT32);
    }
    group_close(&g);
    group_open(&g, data, "broken", SFTN_FLOAT32);
    resume_all(&g);
    CHECK_OK(train_until(&g, data, 0, &err), &err);
    CHECK_INT(g.member[1].result.steps, 6);
    check_same(data, "broken", 1, SFTN_FLOAT32);
    group_close(&g);
    sftn_dataset_close(data);
}

/* The computation after the last job's step is the guide's first of the next batch. */
TEST(a_guide_that_fails_ends_all_jobs_and_they_resume_to_the_same_bytes)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_error err = {0};
    group g;

    group_open(&g, data, "guideless", SFTN_FLOAT32);
    CHECK_FAILS(train_with_fault(&g, data, (small_fault){.member = 3, .after = 4, .n = 1}, &err),
                SFTN_ERR_BACKEND, &err, "4 of 4 runs failed; the first was ");
    for (int i = 0; i < MEMBERS; i++) {
        CHECK_INT(g.member[i].error.status, SFTN_ERR_BACKEND);
        CHECK_CONTAINS(g.member[i].error.text, "epoch 2, batch 2: step ");
        CHECK_CONTAINS(g.member[i].error.text, "teacher");
    }
    group_close(&g);
    group_open(&g, data, "guideless", SFTN_FLOAT32);
    resume_all(&g);
    CHECK_OK(train_until(&g, data, 0, &err), &err);
    for (int i = 0; i < MEMBERS; i++)
        check_same(data, "guideless", i, SFTN_FLOAT32);
    group_close(&g);
    sftn_dataset_close(data);
}

/* clang-format off */
static void set_batch(sftn_train_options *o) { o->batch = 16; }
static void set_seed(sftn_train_options *o) { o->seed = 7; }
static void set_pad(sftn_train_options *o) { o->augment.pad = 2; }
static void set_flip(sftn_train_options *o) { o->augment.flip = false; }
static void set_precision(sftn_train_options *o) { o->plan.precision = SFTN_BFLOAT16; }
static void set_backend(sftn_train_options *o) { o->plan.backend = "ref"; }
static void set_winograd(sftn_train_options *o) { o->plan.no_winograd = true; }
static void set_fusion(sftn_train_options *o) { o->plan.no_fusion = true; }
static void set_threads(sftn_train_options *o) { o->loader_threads = 2; }
static void set_minutes(sftn_train_options *o) { o->save_minutes = 1.0; }
/* clang-format on */

static const struct {
    void (*change)(sftn_train_options *o);
    const char *text;
} agreements[] = {
    {set_batch, "'batch' is 32 and 16; "},
    {set_seed, "'batch-seed' is 1 and 7; "},
    {set_pad, "'crop-pad' is 4 and 2; "},
    {set_flip, "'flip' is true and false; "},
    {set_precision, "'precision' is float32 and bfloat16; "},
    {set_backend, "'backend' is cpu and ref; "},
    {set_winograd, "'winograd' is true and false; "},
    {set_fusion, "'fusion' is absent and false; "},
    {set_threads, "'loader-threads' is 1 and 2; "},
    {set_minutes, "'save-minutes' is 0 and 1; "},
};

TEST(jobs_that_do_not_go_together_are_refused)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_error err = {0};
    sftn_job other = make_job(&kinds[3], data, NULL), *own;
    group g;

    group_open(&g, data, "refused", SFTN_FLOAT32);
    for (size_t i = 0; i < SFTN_COUNT(agreements); i++) {
        const sftn_train_options kept = g.options[2];

        agreements[i].change(&g.options[2]);
        CHECK_FAILS(train_until(&g, data, 0, &err), SFTN_ERR_ARGUMENT, &err,
                    "refused2 cannot be trained together: ");
        CHECK_CONTAINS(err.text, agreements[i].text);
        CHECK_TEXT(g.member[0].error.text, err.text);
        g.options[2] = kept;
    }
    g.options[2].dir = g.options[1].dir;
    CHECK_FAILS(train_until(&g, data, 0, &err), SFTN_ERR_ARGUMENT, &err,
                "two jobs are to be trained in the same directory");
    g.options[2].dir = g.dir[2];
    own = g.member[3].job;
    g.member[3].job = &other;
    CHECK_FAILS(train_until(&g, data, 0, &err), SFTN_ERR_ARGUMENT, &err, "it has another teacher");
    g.member[3].job = own;
    g.options[1].resume = true;
    CHECK_FAILS(train_until(&g, data, 0, &err), SFTN_ERR_FILE, &err,
                "refused1/checkpoint.safetensors");
    CHECK_FAILS(sftn_train_together(g.member, 0, data, NULL, &err), SFTN_ERR_ARGUMENT, &err,
                "0 jobs to train");
    sftn_job_free(&other);
    group_close(&g);
    sftn_dataset_close(data);
}

TEST(a_teacher_is_shared_with_jobs_of_its_kind_only)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job plain = make_job(&kinds[2], data, NULL), kd = make_job(&kinds[0], data, NULL);
    const sftn_model teacher = small_model("resnet20"), student = small_model("resnet8");
    sftn_distill_options options = {
        .student = &student,
        .teacher = &teacher,
        .shares = &plain,
        .task_weight = 1.0,
        .classes = 10,
        .channels = 3,
        .image_size = 32,
    };
    sftn_error err = {0};
    sftn_job job;

    CHECK_FAILS(sftn_distill_job(&options, &job, &err), SFTN_ERR_ARGUMENT, &err,
                "is no distillation");
    options.shares = &kd;
    CHECK_FAILS(sftn_distill_job(&options, &job, &err), SFTN_ERR_ARGUMENT, &err,
                "the teacher to be shared is resnet14 for 10 classes");
    sftn_job_free(&plain);
    sftn_job_free(&kd);
    sftn_dataset_close(data);
}
