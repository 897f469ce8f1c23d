/* measure: scores, similarity, predictions, and the files that networks are read from. */
#include "base/base.h"
#include "sftn/tensors.h"
#include "test.h"
#include "train/cka.h"
#include "train/small.h"

#include <math.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A network after one epoch, from its file. */
static sftn_network trained(const char *dir, int seed)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    sftn_train_options o = small_options(dir);
    sftn_error err = {0};
    sftn_network net;

    o.schedule.epochs = 1;
    o.seed = (uint64_t)seed;
    small_train(&job, data, &o);
    sftn_job_free(&job);
    sftn_dataset_close(data);
    CHECK_OK(sftn_network_load(test_temp_path(dir), &net, &err), &err);
    return net;
}

TEST(a_network_file_says_what_it_was_trained_on)
{
    sftn_network net = trained("said", 1);
    sftn_dataset *data = small_data(0, 0);
    const sftn_dataset_info *info = sftn_dataset_get_info(data);

    CHECK_TEXT(net.model.name, "resnet8");
    CHECK_INT(net.classes, 10);
    CHECK_INT(net.channels, 3);
    CHECK_INT(net.image_size, 32);
    CHECK_TEXT(net.data, "cifar10");
    CHECK_BYTES(net.mean, info->mean, 3 * sizeof(float));
    CHECK_BYTES(net.std, info->std, 3 * sizeof(float));
    CHECK_TEXT(net.class_names[3], sftn_dataset_class(data, 3));
    sftn_network_free(&net);
    sftn_dataset_close(data);
}

TEST(a_network_measures_as_the_trainer_measured_it)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    const sftn_train_options o = small_options("measured");
    const sftn_train_result r = small_train(&job, data, &o);
    const sftn_plan_options plan = {0};
    sftn_scores scores;
    sftn_network net;
    sftn_error err = {0};

    sftn_job_free(&job);
    CHECK_OK(sftn_network_load(o.dir, &net, &err), &err);
    CHECK_OK(sftn_evaluate(&net, data, SFTN_TEST, &plan, &scores, &err), &err);
    CHECK_INT(scores.n, 14);
    CHECK_NEAR(scores.top1, r.last_top1, 1e-9);
    CHECK_NEAR(scores.top5, r.last_top5, 1e-9);
    CHECK(scores.loss > 0.0 && isfinite(scores.loss));
    sftn_network_free(&net);
    sftn_dataset_close(data);
}

/*
 * 150 records make one batch of 128 and one of 22: the rows of the first that the second leaves in
 * the plan's input must not be counted.
 */
TEST(the_partial_batch_counts_its_own_records_only)
{
    sftn_network net = trained("partial", 1);
    sftn_data_options options = {.name = "shapes", .limit = 150, .no_cache = true};
    const sftn_plan_options plan = {0};
    double loss = 0.0, hits = 0.0;
    sftn_dataset *data;
    sftn_scores scores;
    sftn_error err = {0};
    float p[64];

    CHECK_OK(sftn_dataset_open(&options, &data, &err), &err);
    sftn_network_free(&net);
    net = (sftn_network){.model = small_model("resnet8"), .channels = 3, .image_size = 32};
    net.classes = sftn_dataset_get_info(data)->classes;
    memcpy(net.mean, sftn_dataset_get_info(data)->mean, sizeof net.mean);
    memcpy(net.std, sftn_dataset_get_info(data)->std, sizeof net.std);
    {
        const sftn_model model = net.model;
        const sftn_teach_options teach = {.scheme = sftn_teacher_find("plain", NULL),
                                          .teacher = &model, .classes = net.classes,
                                          .channels = 3, .image_size = 32, .seed = 1};
        sftn_job job;

        CHECK_OK(sftn_teach_job(&teach, &job, &err), &err);
        net.params = job.params[0];
        CHECK_OK(sftn_evaluate(&net, data, SFTN_TRAIN, &plan, &scores, &err), &err);
        for (int64_t i = 125; i < 150; i++) {
            int label;
            const uint8_t *pixels = sftn_dataset_record(data, SFTN_TRAIN, i, &label);

            CHECK_OK(sftn_predict(&net, pixels, &plan, p, &err), &err);
            loss -= log((double)p[label]);
            hits += 1.0;
        }
        sftn_job_free(&job);
    }
    CHECK_INT(scores.n, 150);
    CHECK_NEAR(scores.loss, loss / hits, 0.5);
    sftn_dataset_close(data);
}

TEST(a_prediction_is_a_distribution)
{
    sftn_network net = trained("predicts", 1);
    sftn_dataset *data = small_data(0, 0);
    const sftn_plan_options plan = {0};
    sftn_error err = {0};
    float p[10];
    double sum = 0.0;
    int label;

    CHECK_OK(sftn_predict(&net, sftn_dataset_record(data, SFTN_TEST, 0, &label), &plan, p, &err),
             &err);
    for (int i = 0; i < 10; i++) {
        CHECK(p[i] >= 0.0f);
        sum += (double)p[i];
    }
    CHECK_NEAR(sum, 1.0, 1e-5);
    sftn_network_free(&net);
    sftn_dataset_close(data);
}

static sftn_status measure(const sftn_network *net, const sftn_dataset *data, int how,
                           sftn_error *err)
{
    const sftn_plan_options plan = {0};
    sftn_similarity similarity;
    sftn_scores scores;
    float p[10];
    int label;

    if (how == 0)
        return sftn_evaluate(net, data, SFTN_TEST, &plan, &scores, err);
    if (how == 1)
        return sftn_compare(net, net, data, SFTN_TEST, &plan, &similarity, err);
    return sftn_predict(net, sftn_dataset_record(data, SFTN_TEST, 0, &label), &plan, p, err);
}

/* The first computation packs weights, the last makes logits. */
TEST(a_measurement_whose_plan_fails_says_so)
{
    sftn_network net = trained("fails", 1);
    sftn_dataset *data = small_data(0, 0);
    sftn_error err = {0};

    for (int how = 0; how < 3; how++) {
        long last;

        test_fail_computation(0, 0);
        CHECK_OK(measure(&net, data, how, &err), &err);
        last = test_computations();
        test_fail_computation(1, dnnl_runtime_error);
        CHECK_FAILS(measure(&net, data, how, &err), SFTN_ERR_BACKEND, &err, "frozen step ");
        test_fail_computation(last, dnnl_runtime_error);
        CHECK_FAILS(measure(&net, data, how, &err), SFTN_ERR_BACKEND, &err,
                    "' failed: runtime_error");
        CHECK(strncmp(err.text, "step ", 5) == 0);
    }
    sftn_network_free(&net);
    sftn_dataset_close(data);
}

TEST(a_network_is_like_itself_and_less_like_another)
{
    sftn_network a = trained("one", 1), b = trained("another", 2);
    sftn_dataset *data = small_data(0, 0);
    const sftn_plan_options plan = {0};
    sftn_similarity same, other, back;
    sftn_error err = {0};

    CHECK_OK(sftn_compare(&a, &a, data, SFTN_TEST, &plan, &same, &err), &err);
    CHECK_INT(same.n, 14);
    CHECK_NEAR(same.kl_teacher_student, 0.0, 1e-12);
    CHECK_NEAR(same.agreement, 100.0, 0.0);
    CHECK_NEAR(same.cka_pooled, 1.0, 1e-9);
    CHECK_OK(sftn_compare(&a, &b, data, SFTN_TEST, &plan, &other, &err), &err);
    CHECK_OK(sftn_compare(&b, &a, data, SFTN_TEST, &plan, &back, &err), &err);
    CHECK(other.kl_teacher_student > 1e-6 && other.cka_logits < 1.0);
    CHECK_NEAR(other.kl_teacher_student, back.kl_student_teacher, 1e-12);
    CHECK_NEAR(other.cka_pooled, back.cka_pooled, 1e-9);
    sftn_network_free(&a);
    sftn_network_free(&b);
    sftn_dataset_close(data);
}

TEST(a_network_for_other_classes_is_not_measured)
{
    sftn_network net = trained("ten", 1);
    const sftn_data_options options = {.name = "shapes", .limit = 10, .no_cache = true};
    const sftn_plan_options plan = {0};
    sftn_dataset *data;
    sftn_scores scores;
    sftn_error err = {0};

    CHECK_OK(sftn_dataset_open(&options, &data, &err), &err);
    CHECK_FAILS(sftn_evaluate(&net, data, SFTN_TEST, &plan, &scores, &err), SFTN_ERR_ARGUMENT,
                &err, "resnet8 knows 10 classes, the data set shapes has");
    sftn_network_free(&net);
    sftn_dataset_close(data);
}

TEST(a_file_that_holds_no_network_is_refused)
{
    const char *path = test_temp_path("bare.safetensors");
    const float x = 1.0f;
    const sftn_array a = {.name = "x", .element = SFTN_ELEMENT_F32, .data = &x};
    sftn_tensors *t = sftn_tensors_new();
    sftn_network net;
    sftn_error err = {0};

    CHECK_OK(sftn_tensors_add(t, &a, &err), &err);
    CHECK_OK(sftn_tensors_save(t, path, &err), &err);
    CHECK_FAILS(sftn_network_load(path, &net, &err), SFTN_ERR_FORMAT, &err, "no 'model'");
    CHECK_OK(sftn_tensors_set_meta(t, "model", "resnet9", &err), &err);
    CHECK_OK(sftn_tensors_save(t, path, &err), &err);
    CHECK_FAILS(sftn_network_load(path, &net, &err), SFTN_ERR_ARGUMENT, &err, "resnet9");
    CHECK_OK(sftn_tensors_set_meta(t, "model", "resnet8", &err), &err);
    CHECK_OK(sftn_tensors_save(t, path, &err), &err);
    CHECK_FAILS(sftn_network_load(path, &net, &err), SFTN_ERR_FORMAT, &err, "no 'classes'");
    sftn_tensors_close(t);
}

/* ---- CKA ---- */

static double cka_of(const double *x, int p, const double *y, int q, int64_t n)
{
    sftn_error err = {0};
    sftn_cka c;
    double value;

    CHECK_OK(sftn_cka_open(&c, p, q, &err), &err);
    sftn_cka_add(&c, x, y, n / 2);
    sftn_cka_add(&c, x + n / 2 * p, y + n / 2 * q, n - n / 2);
    value = sftn_cka_value(&c);
    sftn_cka_close(&c);
    return value;
}

TEST(cka_ignores_rotation_scale_and_offset)
{
    enum { N = 41 };
    double x[N][2], y[N][2], z[N][1];
    const double cosine = cos(0.7), sine = sin(0.7);

    for (int i = 0; i < N; i++) {
        x[i][0] = 1e4 + sin(1.3 * i);
        x[i][1] = cos(2.9 * i) + 0.1 * i;
        y[i][0] = 3.0 * (cosine * x[i][0] - sine * x[i][1]) - 50.0;
        y[i][1] = 3.0 * (sine * x[i][0] + cosine * x[i][1]) + 7.0;
        z[i][0] = x[i][0] - 1e4;
    }
    CHECK_NEAR(cka_of(x[0], 2, x[0], 2, N), 1.0, 1e-12);
    CHECK_NEAR(cka_of(x[0], 2, y[0], 2, N), 1.0, 1e-9);
    CHECK(cka_of(x[0], 2, z[0], 1, N) < 0.9);
}

/* x = (0, 1, 2), y = (0, 1, 0): x'y = 0, so nothing is alike; x against 2x + 1 is alike. */
TEST(cka_of_hand_worked_columns)
{
    const double x[3] = {0, 1, 2}, y[3] = {0, 1, 0}, z[3] = {1, 3, 5}, c[3] = {4, 4, 4};

    CHECK_NEAR(cka_of(x, 1, y, 1, 3), 0.0, 1e-15);
    CHECK_NEAR(cka_of(x, 1, z, 1, 3), 1.0, 1e-15);
    CHECK_NEAR(cka_of(x, 1, c, 1, 3), 0.0, 0.0);
}
