/*
 * mutual: networks trained together: every one of them learns, is measured and saved, and runs stop
 * and go on to the same bytes.
 */
#include "base/base.h"
#include "sftn/tensors.h"
#include "test.h"
#include "train/small.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "kdcl", or with an ensemble that it is to take: "kdcl general". */
static sftn_job make_job(const char *name, const char *peer)
{
    const sftn_model student = small_model("resnet8"), other = small_model(peer);
    const size_t length = strcspn(name, " ");
    sftn_error err = {0};
    sftn_mutual_options options = {.weight = 1.0,
                                   .network = {&student, &other},
                                   .n = 2,
                                   .classes = 10,
                                   .channels = 3,
                                   .image_size = 32,
                                   .seed = 1};
    char method[16];
    void *settings;
    sftn_job job;

    snprintf(method, sizeof method, "%.*s", (int)length, name);
    options.method = sftn_mutual_find(method, &err);
    CHECK(options.method != NULL);
    options.options = settings = calloc(1, options.method->options_size);
    sftn_options_default(options.method->options, settings);
    if (name[length])
        CHECK_OK(sftn_options_set(options.method->options, settings, "ensemble",
                                  name + length + 1, &err), &err);
    CHECK_OK(sftn_mutual_job(&options, &job, &err), &err);
    free(settings);
    return job;
}

/* Training records that are held out: of 70, which leaves two steps an epoch, not three. */
static int64_t held_out(const char *method)
{
    return strstr(method, "general") ? 14 : 0;
}

static void train_until(const char *method, const char *dir, bool resume, int64_t after,
                        small_watch *w)
{
    sftn_dataset *data = small_data(0, held_out(method));
    sftn_job job = make_job(method, "resnet14");
    sftn_train_options o = small_options(dir);
    sftn_error err = {0};
    sftn_train_hooks hooks;
    sftn_train_result r;

    *w = (small_watch){.after = after};
    hooks = small_hooks(w);
    o.resume = resume;
    o.schedule.epochs = 3;
    CHECK_INT(sftn_train(&job, data, &o, &hooks, &r, &err), after ? SFTN_ERR_INTERRUPTED : SFTN_OK);
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

static void check_resume(const char *method)
{
    static const int64_t stops[] = {1, 2, 3, 5, 0};
    char whole[64], pieces[64];
    small_watch w;

    snprintf(whole, sizeof whole, "%s-whole", method);
    snprintf(pieces, sizeof pieces, "%s-pieces", method);
    train_until(method, whole, false, 0, &w);
    for (size_t i = 0; i < SFTN_COUNT(stops); i++)
        train_until(method, pieces, i > 0, stops[i], &w);
    small_check_same(pieces, whole, "checkpoint.safetensors");
    small_check_same(pieces, whole, "model.safetensors");
    small_check_same(pieces, whole, "peer2.safetensors");
    small_check_same_log(pieces, whole);
}

TEST(dml_resumes_bit_exactly)
{
    check_resume("dml");
}

TEST(kdcl_resumes_bit_exactly)
{
    check_resume("kdcl");
}

/* ---- what is found out on held-out images ---- */

/* The weights that a run's checkpoint holds. */
static void read_weights(const char *dir, double w[2])
{
    const sftn_array *array;
    sftn_error err = {0};
    sftn_tensors *t;
    char path[512];

    snprintf(path, sizeof path, "%s/checkpoint.safetensors", test_temp_path(dir));
    CHECK_OK(sftn_tensors_open(path, &t, &err), &err);
    CHECK_OK(sftn_tensors_expect(t, "method.kdcl.weights", SFTN_ELEMENT_F32, 2, &array, &err),
             &err);
    for (int i = 0; i < 2; i++)
        w[i] = (double)((const float *)array->data)[i];
    sftn_tensors_close(t);
}

/* The mean over the held-out images of products of the saved networks' errors. */
static void multiply_errors(const char *dir, double c[2][2])
{
    static const char *const file[] = {"model", "peer2"};
    const sftn_plan_options plan = {.backend = "cpu"};
    sftn_dataset *data = small_data(0, 14);
    sftn_network net[2];
    sftn_error err = {0};
    char path[512];

    memset(c, 0, 4 * sizeof(double));
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s.safetensors", test_temp_path(dir), file[i]);
        CHECK_OK(sftn_network_load(path, &net[i], &err), &err);
    }
    for (int n = 0; n < 14; n++) {
        float p[2][10];
        int label;
        const uint8_t *image = sftn_dataset_record(data, SFTN_VALIDATION, n, &label);

        for (int i = 0; i < 2; i++) {
            CHECK_OK(sftn_predict(&net[i], image, &plan, p[i], &err), &err);
            p[i][label] -= 1.0f;
        }
        for (int k = 0; k < 40; k++)
            c[k / 20][k / 10 % 2] += (double)p[k / 20][k % 10] * (double)p[k / 10 % 2][k % 10] / 14;
    }
    for (int i = 0; i < 2; i++)
        sftn_network_free(&net[i]);
    sftn_dataset_close(data);
}

TEST(kdcl_general_resumes_bit_exactly)
{
    double w[2];

    check_resume("kdcl general");
    small_check_same("kdcl general-pieces", "kdcl general-whole", "method.safetensors");
    read_weights("kdcl general-whole", w);
    CHECK(fabs(w[0] - 0.5) > 1e-3);
}

/* Weights are equal during the first epoch, and after one those of the networks that were saved. */
TEST(weights_are_found_on_held_out_images_after_each_epoch)
{
    double w[2], c[2][2], ridge;
    small_watch watch;
    char line[64];
    size_t bytes;
    sftn_error err = {0};
    void *log;

    train_until("kdcl general", "found", false, 1, &watch);
    read_weights("found", w);
    CHECK_NEAR(w[0], 0.5, 0.0);
    CHECK_NEAR(w[1], 0.5, 0.0);
    train_until("kdcl general", "found", true, 2, &watch);
    read_weights("found", w);
    multiply_errors("found", c);
    ridge = 0.01 * (c[0][0] + c[1][1]) / 2.0;
    c[0][0] += ridge;
    c[1][1] += ridge;
    CHECK(fabs(w[0] - 0.5) > 1e-3);
    CHECK_NEAR(w[0], (c[1][1] - c[0][1]) / (c[0][0] + c[1][1] - 2.0 * c[0][1]), 1e-4);
    CHECK_NEAR(w[0] + w[1], 1.0, 1e-6);
    CHECK_OK(sftn_read_file(test_temp_path("found/log.jsonl"), &log, &bytes, &err), &err);
    snprintf(line, sizeof line, ",\"held_out\":{\"kdcl.weights\":[%.9g,%.9g]},", w[0], w[1]);
    CHECK_CONTAINS(log, line);
    free(log);
    train_until("kdcl general", "found", true, 3, &watch);
    read_weights("found", c[0]);
    CHECK_BYTES(c[0], w, sizeof w);
}

TEST(weights_cannot_be_found_without_held_out_images)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = make_job("kdcl general", "resnet8");
    const sftn_train_options o = small_options("refused");
    sftn_error err = {0};

    CHECK_FAILS(sftn_train(&job, data, &o, NULL, NULL, &err), SFTN_ERR_ARGUMENT, &err,
                "errors on held-out images, and of the data set cifar10 none are held out: give "
                "--validation N");
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

TEST(methods_without_state_have_no_store_of_their_own)
{
    static const char *const method[] = {"dml", "kdcl", "kdcl general"};

    for (int i = 0; i < 3; i++) {
        sftn_job job = make_job(method[i], "resnet8");

        CHECK_INT(job.nparams, i < 2 ? 2 : 3);
        CHECK((job.survey.row != NULL) == (i == 2));
        sftn_job_free(&job);
    }
}

TEST(mutual_jobs_trained_at_once_end_in_the_same_bytes_as_alone)
{
    static const char *const method[] = {"kdcl general", "kdcl naive", "kdcl general"};
    static const char *const dir[] = {"one", "two", "three"}, *const network[] = {
        "resnet8", "resnet8", "resnet14"};
    sftn_dataset *data = small_data(0, 14);
    sftn_train_options o[3];
    sftn_member member[3];
    sftn_job job[3];
    sftn_error err = {0};
    char alone[32];

    for (int i = 0; i < 3; i++) {
        job[i] = make_job(method[i], network[i]);
        o[i] = small_options(dir[i]);
        member[i] = (sftn_member){.job = &job[i], .options = &o[i]};
    }
    CHECK_OK(sftn_train_together(member, 3, data, NULL, &err), &err);
    for (int i = 0; i < 3; i++) {
        sftn_job_free(&job[i]);
        job[i] = make_job(method[i], network[i]);
        snprintf(alone, sizeof alone, "%s-alone", dir[i]);
        o[i] = small_options(alone);
        small_train(&job[i], data, &o[i]);
        sftn_job_free(&job[i]);
        small_check_same(dir[i], alone, "checkpoint.safetensors");
        small_check_same_log(dir[i], alone);
    }
    sftn_dataset_close(data);
}

/* The first step of equal networks: the first sees the same images, the other sees its own. */
TEST(kdcls_networks_see_crops_of_their_own_and_dmls_the_same)
{
    static const char *const methods[] = {"dml", "kdcl"};
    double ce[2], peer[2];

    for (int i = 0; i < 2; i++) {
        sftn_dataset *data = small_data(0, 0);
        sftn_job job = make_job(methods[i], "resnet14");
        const sftn_train_options o = small_options(i ? "own" : "same");
        small_watch w = {.after = 1};
        const sftn_train_hooks hooks = small_hooks(&w);
        sftn_error err = {0};
        sftn_train_result r;

        CHECK_INT(sftn_train(&job, data, &o, &hooks, &r, &err), SFTN_ERR_INTERRUPTED);
        CHECK_INT(w.last.nterms, 4);
        ce[i] = w.last.term[0]; /* ce, the method's, ce.peer2, the method's for it */
        peer[i] = w.last.term[2];
        sftn_job_free(&job);
        sftn_dataset_close(data);
    }
    CHECK_NEAR(ce[1], ce[0], 1e-6);
    CHECK(fabs(peer[1] - peer[0]) > 1e-4);
}

/* The accuracy in the log is that of the file. */
TEST(every_network_is_measured_and_saved_under_its_own_name)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_plan_options plan = {.backend = "cpu"};
    sftn_network net[2];
    sftn_scores scores[2];
    sftn_error err = {0};
    char text[64];
    small_watch w;
    size_t bytes;
    void *log;

    train_until("dml", "measured", false, 0, &w);
    CHECK_OK(sftn_network_load(test_temp_path("measured/model.safetensors"), &net[0], &err), &err);
    CHECK_OK(sftn_network_load(test_temp_path("measured/peer2.safetensors"), &net[1], &err), &err);
    CHECK_TEXT(net[0].model.name, "resnet8");
    CHECK_TEXT(net[1].model.name, "resnet14");
    for (int i = 0; i < 2; i++)
        CHECK_OK(sftn_evaluate(&net[i], data, SFTN_TEST, &plan, &scores[i], &err), &err);
    CHECK_INT(w.last_epoch.npeers, 1);
    CHECK_TEXT(w.last_epoch.peer_name[0], "peer2");
    CHECK_NEAR(w.last_epoch.test_top1, scores[0].top1, 1e-9);
    CHECK_NEAR(w.last_epoch.peer_top1[0], scores[1].top1, 1e-9);
    CHECK_OK(sftn_read_file(test_temp_path("measured/log.jsonl"), &log, &bytes, &err), &err);
    snprintf(text, sizeof text, "\"peers\":{\"peer2\":%.9g},", scores[1].top1);
    CHECK_CONTAINS(log, text);
    CHECK_CONTAINS(log, "\"ce.peer2\":");
    free(log);
    sftn_network_free(&net[0]);
    sftn_network_free(&net[1]);
    sftn_dataset_close(data);
}

TEST(equal_networks_begin_differently_and_all_learn)
{
    sftn_dataset *data = small_data(32, 0);
    sftn_job job = make_job("dml", "resnet8"), start = make_job("dml", "resnet8");
    const sftn_train_options o = small_options("twins");
    const size_t bytes = 432 * sizeof(float);

    CHECK(memcmp(sftn_params_weights(start.params[0]), sftn_params_weights(start.params[1]),
                 bytes) != 0);
    small_train(&job, data, &o);
    for (int i = 0; i < 2; i++)
        CHECK(memcmp(sftn_params_weights(start.params[i]), sftn_params_weights(job.params[i]),
                     bytes) != 0);
    sftn_job_free(&job);
    sftn_job_free(&start);
    sftn_dataset_close(data);
}

TEST(one_network_is_not_enough)
{
    const sftn_model student = small_model("resnet8");
    sftn_error err = {0};
    sftn_mutual_options options = {.method = sftn_mutual_find("kdcl", &err),
                                   .network = {&student},
                                   .n = 1,
                                   .classes = 10,
                                   .channels = 3,
                                   .image_size = 32};
    sftn_job job;

    CHECK_FAILS(sftn_mutual_job(&options, &job, &err), SFTN_ERR_ARGUMENT, &err,
                "training of 1 networks, expected a method and 2 to 4");
    options.n = 2;
    options.network[1] = &student;
    options.weight = -1.0;
    CHECK_FAILS(sftn_mutual_job(&options, &job, &err), SFTN_ERR_ARGUMENT, &err, "kdcl is -1");
    CHECK(sftn_mutual_find("dlm", &err) == NULL);
    CHECK_CONTAINS(err.text, "did you mean \"dml\"");
}
