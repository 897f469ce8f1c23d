/* compare: answers and their likeness by hand, networks beside networks and beside branches. */
#include "base/base.h"
#include "test.h"
#include "train/answers.h"
#include "train/small.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- by hand ---- */

/* The answers of one image whose first class has probability p, of two; a third is no class. */
static void add_answer(sftn_answer_sums *s, double p, int label)
{
    const double log_p[3] = {log(p), log(1.0 - p), log(0.5)};

    sftn_answer_sums_add(s, log_p, p >= 0.5 ? 0 : 1, label);
}

/*
 * 0.87, one of two right: |1 - 1.74| in the ninth of ten bins; 0.62, both right: |2 - 1.24| in the
 * seventh; (0.74 + 0.76) / 4.
 */
TEST(calibration_error_of_hand_worked_bins)
{
    sftn_answer_sums s;
    sftn_answers a;
    sftn_error err = {0};

    CHECK_OK(sftn_answer_sums_open(&s, 2, 10, &err), &err);
    add_answer(&s, 0.87, 0);
    add_answer(&s, 0.87, 1);
    add_answer(&s, 0.62, 0);
    add_answer(&s, 0.38, 1);
    a = sftn_answer_sums_value(&s);
    CHECK_INT(a.n, 4);
    CHECK_NEAR(a.top1, 75.0, 1e-12);
    CHECK_NEAR(a.confidence, 100.0 * (2 * 0.87 + 2 * 0.62) / 4.0, 1e-9);
    CHECK_NEAR(a.calibration_error, 37.5, 1e-9);
    CHECK_NEAR(a.loss, -(log(0.87) + log(0.13) + 2.0 * log(0.62)) / 4.0, 1e-12);
    CHECK_NEAR(a.entropy, -(0.87 * log(0.87) + 0.13 * log(0.13) + 0.62 * log(0.62) +
                            0.38 * log(0.38)) / 2.0, 1e-12);
    sftn_answer_sums_close(&s);
    CHECK_FAILS(sftn_answer_sums_open(&s, 2, 0, &err), SFTN_ERR_ARGUMENT, &err, "0 bins");
}

/* Confidence 1/2 belongs to the first of two bins, 1 to the last. */
TEST(bins_hold_their_upper_ends)
{
    sftn_answer_sums s;
    sftn_error err = {0};

    CHECK_OK(sftn_answer_sums_open(&s, 2, 2, &err), &err);
    add_answer(&s, 0.5, 0);
    add_answer(&s, 1.0 - 1e-300, 0);
    CHECK_INT(s.bin[0].n, 1);
    CHECK_INT(s.bin[1].n, 1);
    sftn_answer_sums_close(&s);
}

/* KL((1/2, 1/2) || (9/10, 1/10)) = ln(5/3), the reverse 0.9 ln 1.8 + 0.1 ln 0.2. */
TEST(likeness_of_hand_worked_answers)
{
    const double t[2] = {0.0, 0.0}, s[2] = {log(9.0), 0.0};
    double log_t[2], log_s[2];
    sftn_likeness l = {0};
    const int a = sftn_answer(t, 2, log_t), b = sftn_answer(s, 2, log_s);

    CHECK_INT(a, 0);
    sftn_likeness_add(&l, log_t, log_s, 2, a == b);
    CHECK_INT(l.agreed, 1);
    CHECK_NEAR(l.kl_teacher_student, log(5.0 / 3.0), 1e-12);
    CHECK_NEAR(l.kl_student_teacher, 0.9 * log(1.8) + 0.1 * log(0.2), 1e-12);
}

/* ---- networks ---- */

static void train(const char *dir, const char *scheme, const char *network, const char *setting)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = small_teacher(scheme, network, setting);
    sftn_train_options o = small_options(dir);

    o.schedule.epochs = 1;
    small_train(&job, data, &o);
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

static sftn_network load(const char *dir)
{
    sftn_network net;
    sftn_error err = {0};

    CHECK_OK(sftn_network_load(test_temp_path(dir), &net, &err), &err);
    return net;
}

TEST(a_network_beside_itself_is_alike_in_every_stage)
{
    sftn_dataset *data = small_data(0, 0);
    const sftn_compare_options o = {.split = SFTN_TEST, .cells = 4};
    sftn_plan_options plan = {0};
    sftn_answers answers;
    sftn_comparison c;
    sftn_scores scores;
    sftn_error err = {0};
    sftn_network net;

    train("itself", "plain", "resnet8", NULL);
    net = load("itself");
    CHECK_OK(sftn_compare_networks(&net, &net, data, &o, &answers, &c, &err), &err);
    CHECK_OK(sftn_evaluate(&net, data, SFTN_TEST, &plan, &scores, &err), &err);
    CHECK_INT(answers.n, scores.n);
    CHECK_NEAR(answers.top1, scores.top1, 1e-9);
    CHECK_NEAR(answers.loss, scores.loss, 1e-5);
    CHECK_NEAR(c.answers.calibration_error, answers.calibration_error, 1e-9);
    CHECK_NEAR(c.similarity.kl_teacher_student, 0.0, 1e-9);
    CHECK_INT(c.ntaps, 3);
    for (int i = 0; i < 3; i++)
        CHECK_NEAR(c.tap[i].cka, 1.0, 1e-6);
    CHECK_TEXT(c.name, "resnet8");
    sftn_network_free(&net);
    sftn_dataset_close(data);
}

/* Two networks that say 2 of class 3, and 1 of class 3 and 0.5 of class 0, of every image. */
TEST(likeness_goes_from_the_first_network_to_the_second)
{
    static const float z[2][10] = {{0, 0, 0, 2}, {0.5f, 0, 0, 1}};
    sftn_dataset *data = small_data(0, 0);
    sftn_job job[2];
    sftn_network net[2];
    double log_p[2][10], forth = 0.0, back = 0.0;
    const sftn_plan_options plan = {0};
    sftn_similarity s;
    sftn_error err = {0};

    for (int i = 0; i < 2; i++) {
        const sftn_dataset_info *info = sftn_dataset_get_info(data);
        double sum = 0.0;

        job[i] = small_teacher("plain", "resnet8", NULL);
        small_tell(job[i].params[0], z[i]);
        net[i] = (sftn_network){.model = *job[i].model, .params = job[i].params[0],
                                .classes = 10, .channels = 3, .image_size = 32};
        memcpy(net[i].mean, info->mean, sizeof net[i].mean);
        memcpy(net[i].std, info->std, sizeof net[i].std);
        for (int k = 0; k < 10; k++)
            sum += exp((double)z[i][k]);
        for (int k = 0; k < 10; k++)
            log_p[i][k] = (double)z[i][k] - log(sum);
    }
    for (int k = 0; k < 10; k++) {
        forth += exp(log_p[0][k]) * (log_p[0][k] - log_p[1][k]);
        back += exp(log_p[1][k]) * (log_p[1][k] - log_p[0][k]);
    }
    CHECK_OK(sftn_compare(&net[0], &net[1], data, SFTN_TEST, &plan, &s, &err), &err);
    CHECK_INT(s.n, 14);
    CHECK_NEAR(s.kl_teacher_student, forth, 1e-6);
    CHECK_NEAR(s.kl_student_teacher, back, 1e-6);
    CHECK(fabs(forth - back) > 1e-3);
    CHECK_NEAR(s.agreement, 100.0, 0.0);
    for (int i = 0; i < 2; i++)
        sftn_job_free(&job[i]);
    sftn_dataset_close(data);
}

/* Channel means of the last stage are what a resnet pools. */
TEST(one_cell_of_the_last_stage_is_the_pooled_feature)
{
    sftn_dataset *data = small_data(0, 0);
    const sftn_compare_options o = {.split = SFTN_TRAIN, .cells = 1};
    sftn_answers answers;
    sftn_comparison c;
    sftn_error err = {0};
    sftn_network teacher, student;

    train("teacher14", "plain", "resnet14", NULL);
    train("student8", "plain", "resnet8", NULL);
    teacher = load("teacher14");
    student = load("student8");
    CHECK_OK(sftn_compare_networks(&teacher, &student, data, &o, &answers, &c, &err), &err);
    CHECK_INT(answers.n, 70);
    CHECK_INT(c.ntaps, 3);
    CHECK_TEXT(c.tap[2].teacher, "stage3");
    CHECK_NEAR(c.tap[2].cka, c.similarity.cka_pooled, 1e-6);
    CHECK(c.tap[0].cka > 0.0 && c.tap[0].cka < 1.0);
    sftn_network_free(&teacher);
    sftn_network_free(&student);
    sftn_dataset_close(data);
}

TEST(flattened_maps_that_are_too_large_are_refused)
{
    sftn_dataset *data = small_data(0, 0);
    const sftn_compare_options o = {.split = SFTN_TEST, .cells = 32};
    sftn_answers answers;
    sftn_comparison c;
    sftn_error err = {0};
    sftn_network net;

    train("flat", "plain", "resnet8", NULL);
    net = load("flat");
    CHECK_FAILS(sftn_compare_networks(&net, &net, data, &o, &answers, &c, &err),
                SFTN_ERR_ARGUMENT, &err,
                "CKA of stage1 and stage1: 16384 columns, expected at most 8192");
    sftn_network_free(&net);
    sftn_dataset_close(data);
}

/* ---- branches ---- */

/* Two branches, of one copy of the student's weights or of two, beside their teacher. */
static void check_branches(const char *dir, const char *setting)
{
    sftn_dataset *data = small_data(0, 0);
    const sftn_compare_options o = {.split = SFTN_TEST, .cells = 2};
    const sftn_plan_options plan = {0};
    sftn_answers answers;
    sftn_comparison list[SFTN_MAX_STAGES];
    sftn_scores scores;
    sftn_branched b;
    sftn_error err = {0};
    int n;

    train(dir, "sftn", "resnet14", setting);
    CHECK_OK(sftn_branched_load(test_temp_path(dir), &b, &err), &err);
    CHECK_TEXT(b.student.name, "resnet8");
    CHECK_OK(sftn_compare_branches(&b, data, &o, &answers, list, &n, &err), &err);
    CHECK_OK(sftn_evaluate(&b.teacher, data, SFTN_TEST, &plan, &scores, &err), &err);
    CHECK_NEAR(answers.top1, scores.top1, 1e-9);
    CHECK_NEAR(answers.loss, scores.loss, 1e-5);
    CHECK_INT(n, 2);
    CHECK_TEXT(list[0].name, "branch1");
    CHECK_INT(list[0].ntaps, 2);
    CHECK_TEXT(list[0].tap[0].student, "stage2");
    CHECK_INT(list[1].ntaps, 1);
    for (int i = 0; i < n; i++) {
        CHECK(list[i].answers.loss > 0.0 && list[i].similarity.kl_teacher_student > 0.0);
        CHECK(list[i].similarity.cka_logits > 0.0 && list[i].similarity.cka_logits <= 1.0);
    }
    sftn_branched_free(&b);
    sftn_dataset_close(data);
}

TEST(branches_are_compared_with_their_teacher)
{
    check_branches("separate", NULL);
}

TEST(branches_that_share_weights_are_read_too)
{
    check_branches("shared", "shared=true");
}

TEST(a_teacher_without_branches_is_told)
{
    char path[640];
    sftn_branched b;
    sftn_error err = {0};

    train("ordinary", "plain", "resnet8", NULL);
    CHECK_FAILS(sftn_branched_load(test_temp_path("ordinary"), &b, &err), SFTN_ERR_FILE, &err,
                "ordinary/branches.safetensors");
    train("friendly", "sftn", "resnet14", NULL);
    snprintf(path, sizeof path, "%s/model.safetensors", test_temp_path("friendly"));
    CHECK_OK(sftn_branched_load(path, &b, &err), &err);
    sftn_branched_free(&b);
}
