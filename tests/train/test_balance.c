/*
 * balance: how strongly the terms of a loss pull: the numbers, that measuring leaves no trace, and
 * when a training measures.
 */
#include "base/base.h"
#include "test.h"
#include "train/small.h"

#include <math.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4, PIXELS = 3 * 32 * 32 };

static sftn_method_use use_of(const char *method, double weight)
{
    return (sftn_method_use){sftn_distiller_find(method, NULL), NULL, weight, NULL};
}

/* resnet8 by kd, at and crd with these weights; a weight of 0 leaves out the method. */
static sftn_job make_student(double ce, double kd, double at, double crd)
{
    const sftn_model teacher = small_model("resnet14"), student = small_model("resnet8");
    sftn_distill_options o = {.student = &student,
                              .teacher = &teacher,
                              .task_weight = ce,
                              .classes = 10,
                              .channels = 3,
                              .image_size = 32,
                              .seed = 1};
    sftn_error err = {0};
    sftn_job job;

    if (kd > 0.0)
        o.use[o.nuse++] = use_of("kd", kd);
    if (at > 0.0)
        o.use[o.nuse++] = use_of("at", at);
    if (crd > 0.0)
        o.use[o.nuse++] = use_of("crd", crd);
    CHECK_OK(sftn_distill_job(&o, &job, &err), &err);
    return job;
}

static sftn_job make_mutual(void)
{
    const sftn_model first = small_model("resnet8"), second = small_model("resnet14");
    const sftn_mutual_options o = {.method = sftn_mutual_find("dml", NULL),
                                   .weight = 2.0,
                                   .network = {&first, &second},
                                   .n = 2,
                                   .classes = 10,
                                   .channels = 3,
                                   .image_size = 32,
                                   .seed = 1};
    sftn_error err = {0};
    sftn_job job;

    CHECK_OK(sftn_mutual_job(&o, &job, &err), &err);
    return job;
}

/* A stepper of that job with a batch in its inputs. */
static sftn_stepper *make_stepper(sftn_job *job)
{
    static float image[BATCH * PIXELS];
    const float labels[BATCH] = {1, 3, 5, 7}, records[BATCH] = {4, 3, 2, 1};
    const sftn_train_options o = small_options("steps");
    sftn_error err = {0};
    sftn_stepper *s;
    sftn_plan *plan;

    for (int i = 0; i < BATCH * PIXELS; i++)
        image[i] = (float)((i * 37 + i / PIXELS * 11) % 100) / 50.0f - 1.0f;
    CHECK_OK(sftn_stepper_new(job, job->nphases, &o, SFTN_SHAPE(BATCH, 3, 32, 32), &s, &err), &err);
    plan = sftn_stepper_guide_plan(s) ? sftn_stepper_guide_plan(s) : sftn_stepper_plan(s);
    CHECK_OK(sftn_plan_write_float(plan, "image", image, &err), &err);
    CHECK_OK(sftn_plan_write_float(sftn_stepper_plan(s), "labels", labels, &err), &err);
    if (sftn_plan_input(sftn_stepper_plan(s), "record"))
        CHECK_OK(sftn_plan_write_float(sftn_stepper_plan(s), "record", records, &err), &err);
    return s;
}

static sftn_balance measure(sftn_job *job)
{
    sftn_stepper *s = make_stepper(job);
    sftn_error err = {0};
    sftn_balance b;

    CHECK_OK(sftn_stepper_balance(s, &b, &err), &err);
    sftn_stepper_free(s);
    return b;
}

/* The guide's computations among them, and those of the plan that only measures. */
TEST(a_step_or_measurement_whose_plan_fails_says_so_and_trains_nothing)
{
    sftn_job job = make_student(1.0, 1.0, 50.0, 0.0);
    sftn_stepper *s = make_stepper(&job);
    const size_t bytes = (size_t)sftn_params_weight_size(job.params[0]) * sizeof(float);
    float *before = malloc(bytes);
    sftn_error err = {0};
    sftn_balance b;

    CHECK_OK(sftn_stepper_run(s, 0.05, &err), &err);
    memcpy(before, sftn_params_weights(job.params[0]), bytes);
    for (int measures = 0; measures < 2; measures++) {
        long n = 0;

        do {
            test_fail_computation(++n, dnnl_out_of_memory);
            err.status = measures ? sftn_stepper_balance(s, &b, &err)
                                  : sftn_stepper_run(s, 0.05, &err);
            if (err.status) {
                CHECK_INT(err.status, SFTN_ERR_BACKEND);
                CHECK_CONTAINS(err.text, "' failed: out_of_memory");
                CHECK_BYTES(sftn_params_weights(job.params[0]), before, bytes);
            }
        } while (err.status);
        CHECK_INT(test_computations(), n - 1);
        test_fail_computation(0, 0);
        CHECK(n > 10);
        test_fail_computation(0, 0);
        memcpy(before, sftn_params_weights(job.params[0]), bytes);
    }
    free(before);
    sftn_stepper_free(s);
    sftn_job_free(&job);
}

static const sftn_pull *pull_of(const sftn_balance *b, const char *term)
{
    for (int i = 0; i < b->n; i++)
        if (strcmp(b->pull[i].term, term) == 0)
            return &b->pull[i];
    CHECK(false);
    return NULL;
}

/* The norm of what a step computes for the student where the loss has these weights. */
static double step_norm(double ce, double kd, double at)
{
    sftn_job job = make_student(ce, kd, at, 0.0);
    sftn_stepper *s = make_stepper(&job);
    const float *grad;
    double sum = 0.0;

    CHECK_OK(sftn_stepper_run(s, 0.0, NULL), NULL);
    grad = sftn_params_grads(job.params[0]);
    for (int64_t i = 0; i < sftn_params_weight_size(job.params[0]); i++)
        sum += (double)grad[i] * (double)grad[i];
    sftn_stepper_free(s);
    sftn_job_free(&job);
    return sqrt(sum);
}

TEST(pulls_are_the_norms_of_each_terms_gradient)
{
    const double ce = step_norm(0.1, 0.0, 0.0), kd = step_norm(0.0, 0.9, 0.0);
    const double at = step_norm(0.0, 0.0, 50.0);
    sftn_job job = make_student(0.1, 0.9, 50.0, 0.0);
    const sftn_balance b = measure(&job);

    CHECK_INT(b.n, 2);
    CHECK_TEXT(b.pull[0].labels, "ce");
    CHECK_NEAR(pull_of(&b, "kd")->labels_norm, ce, 1e-5 * ce);
    CHECK_NEAR(pull_of(&b, "kd")->norm, kd, 1e-5 * kd);
    CHECK_NEAR(pull_of(&b, "at")->norm, at, 1e-5 * at);
    CHECK_NEAR(pull_of(&b, "at")->ratio, at / ce, 1e-4 * at / ce);
    CHECK_NEAR(pull_of(&b, "at")->balanced, 50.0 * ce / at, 5e-3 * ce / at);
    sftn_job_free(&job);
}

TEST(labels_without_weight_count_as_if_they_had_1)
{
    const double ce = step_norm(1.0, 0.0, 0.0);
    sftn_job job = make_student(0.0, 0.9, 0.0, 0.0);
    const sftn_balance b = measure(&job);

    CHECK_NEAR(b.pull[0].labels_norm, ce, 1e-5 * ce);
    sftn_job_free(&job);
}

TEST(a_ratio_far_off_comes_with_the_weight_that_balances)
{
    sftn_job weak = make_student(1.0, 1e-6, 0.0, 0.0), strong = make_student(1.0, 1e6, 0.0, 0.0);
    const sftn_balance w = measure(&weak), s = measure(&strong);
    sftn_job even = make_student(1.0, w.pull[0].balanced, 0.0, 0.0);
    const sftn_balance e = measure(&even);

    CHECK(w.pull[0].far && s.pull[0].far && !e.pull[0].far);
    CHECK_NEAR(s.pull[0].balanced, w.pull[0].balanced, 1e-3 * w.pull[0].balanced);
    CHECK_NEAR(e.pull[0].ratio, 1.0, 1e-3);
    sftn_job_free(&weak);
    sftn_job_free(&strong);
    sftn_job_free(&even);
}

TEST(every_network_of_several_has_its_own_labels)
{
    sftn_job job = make_mutual();
    const sftn_balance b = measure(&job);

    CHECK_INT(b.n, 2);
    CHECK_TEXT(pull_of(&b, "dml")->labels, "ce");
    CHECK_TEXT(pull_of(&b, "dml.peer2")->labels, "ce.peer2");
    sftn_job_free(&job);
}

TEST(branches_pull_at_their_teacher_unless_they_are_detached)
{
    sftn_job friendly = small_teacher("sftn", "resnet8", NULL);
    sftn_job detached = small_teacher("sftn", "resnet8", "detach=true");
    sftn_job plain = small_teacher("plain", "resnet8", NULL);
    const sftn_balance b = measure(&friendly);

    CHECK_INT(b.n, 2);
    CHECK(pull_of(&b, "kl")->norm > 0.0 && pull_of(&b, "branch_ce")->norm > 0.0);
    CHECK_INT(measure(&detached).n, 0);
    CHECK_INT(measure(&plain).n, 0);
    sftn_job_free(&friendly);
    sftn_job_free(&detached);
    sftn_job_free(&plain);
}

/* ---- no trace ---- */

/* All numbers of a job's stores, gradients included. */
static void check_same_stores(const sftn_job *a, const sftn_job *b)
{
    for (int i = 0; i < a->nparams; i++) {
        sftn_params *p = a->params[i], *q = b->params[i];
        const size_t weights = (size_t)sftn_params_weight_size(p) * sizeof(float);

        CHECK_BYTES(sftn_params_weights(p), sftn_params_weights(q), weights);
        CHECK_BYTES(sftn_params_grads(p), sftn_params_grads(q), weights);
        CHECK_BYTES(sftn_params_states(p), sftn_params_states(q),
                    (size_t)sftn_params_state_size(p) * sizeof(float));
    }
}

/* Two steps of one job, with a measurement before each, and of its twin, without. */
static void check_no_trace(sftn_job job, sftn_job twin)
{
    sftn_stepper *s = make_stepper(&job), *t = make_stepper(&twin);
    sftn_error err = {0};
    sftn_balance b;

    for (int i = 0; i < 2; i++) {
        CHECK_OK(sftn_stepper_balance(s, &b, &err), &err);
        CHECK(b.n > 0);
        check_same_stores(&job, &twin);
        CHECK_OK(sftn_stepper_run(s, 0.05, &err), &err);
        CHECK_OK(sftn_stepper_run(t, 0.05, &err), &err);
        check_same_stores(&job, &twin);
    }
    sftn_stepper_free(s);
    sftn_stepper_free(t);
    sftn_job_free(&job);
    sftn_job_free(&twin);
}

TEST(measuring_leaves_no_trace_in_a_student_or_its_methods_memories)
{
    check_no_trace(make_student(1.0, 1.0, 50.0, 0.8), make_student(1.0, 1.0, 50.0, 0.8));
}

TEST(measuring_leaves_no_trace_in_a_teacher_or_its_branches)
{
    check_no_trace(small_teacher("sftn", "resnet8", NULL), small_teacher("sftn", "resnet8", NULL));
}

TEST(measuring_leaves_no_trace_in_peers)
{
    check_no_trace(make_mutual(), make_mutual());
}

/* ---- in a training ---- */

typedef struct seen {
    int measured;   /* how often */
    int64_t steps;  /* made before */
    int64_t stop;   /* after this step; 0: never */
    sftn_balance balance;
} seen;

static void keep_balance(void *ctx, int member, const sftn_balance *b)
{
    seen *s = ctx;

    CHECK_INT(member, 0);
    s->measured++;
    s->balance = *b;
}

static void count_step(void *ctx, const sftn_progress *p)
{
    seen *s = ctx;

    if (s->measured == 0 || s->stop > 0)
        s->steps = p->step;
}

static bool ask_stop(void *ctx)
{
    const seen *s = ctx;

    return s->stop > 0 && s->steps >= s->stop;
}

static sftn_train_result train(sftn_job job, bool resume, seen *s)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_train_options o = small_options("measured");
    const sftn_train_hooks hooks = {
        .ctx = s, .progress = count_step, .balance = keep_balance, .stop = ask_stop};
    sftn_error err = {0};
    sftn_train_result r;

    o.resume = resume;
    CHECK_INT(sftn_train(&job, data, &o, &hooks, &r, &err),
              s->stop ? SFTN_ERR_INTERRUPTED : SFTN_OK);
    sftn_job_free(&job);
    sftn_dataset_close(data);
    return r;
}

TEST(a_training_measures_before_its_first_step_and_not_when_it_is_resumed)
{
    seen first = {.stop = 2}, second = {0};
    sftn_train_result r;

    train(make_student(0.1, 0.9, 50.0, 0.0), false, &first);
    CHECK_INT(first.measured, 1);
    CHECK_INT(first.balance.n, 2);
    r = train(make_student(0.1, 0.9, 50.0, 0.0), true, &second);
    CHECK_INT(second.measured, 0);
    CHECK_INT(r.balance.n, 2);
    for (int i = 0; i < 2; i++) {
        CHECK_TEXT(r.balance.pull[i].term, first.balance.pull[i].term);
        CHECK_NEAR(r.balance.pull[i].ratio, first.balance.pull[i].ratio, 0.0);
    }
}

TEST(a_training_measures_where_its_phases_are_over)
{
    const sftn_model teacher = small_model("resnet14"), student = small_model("resnet8");
    const sftn_distiller *ft = sftn_distiller_find("ft", NULL);
    void *options = calloc(1, ft->options_size);
    sftn_distill_options o = {.student = &student,
                              .teacher = &teacher,
                              .use = {{ft, options, 200.0, NULL}},
                              .nuse = 1,
                              .task_weight = 1.0,
                              .classes = 10,
                              .channels = 3,
                              .image_size = 32,
                              .seed = 1};
    sftn_error err = {0};
    seen s = {0};
    sftn_job job;

    sftn_options_default(ft->options, options);
    CHECK_OK(sftn_options_set(ft->options, options, "epochs", "1", &err), &err);
    CHECK_OK(sftn_distill_job(&o, &job, &err), &err);
    train(job, false, &s);
    CHECK_INT(s.measured, 1);
    CHECK_INT(s.steps, 3);
    CHECK_TEXT(s.balance.pull[0].term, "ft");
    free(options);
}

TEST(the_labels_alone_are_not_measured)
{
    seen s = {0};

    CHECK_INT(train(small_teacher("plain", "resnet8", NULL), false, &s).balance.n, 0);
    CHECK_INT(s.measured, 0);
}
