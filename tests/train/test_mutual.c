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

static sftn_job make_job(const char *method, const char *peer)
{
    const sftn_model student = small_model("resnet8"), other = small_model(peer);
    sftn_error err = {0};
    const sftn_mutual_options options = {.method = sftn_mutual_find(method, &err),
                                         .weight = 1.0,
                                         .network = {&student, &other},
                                         .n = 2,
                                         .classes = 10,
                                         .channels = 3,
                                         .image_size = 32,
                                         .seed = 1};
    sftn_job job;

    CHECK_OK(sftn_mutual_job(&options, &job, &err), &err);
    return job;
}

static void train_until(const char *method, const char *dir, bool resume, int64_t after,
                        small_watch *w)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = make_job(method, "resnet14");
    sftn_train_options o = small_options(dir);
    sftn_error err = {0};
    sftn_train_hooks hooks;
    sftn_train_result r;

    *w = (small_watch){.after = after};
    hooks = small_hooks(w);
    o.resume = resume;
    CHECK_INT(sftn_train(&job, data, &o, &hooks, &r, &err), after ? SFTN_ERR_INTERRUPTED : SFTN_OK);
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

static void check_resume(const char *method)
{
    static const int64_t stops[] = {1, 3, 5, 0};
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
