/* jobs: what is trained, what is frozen, where values come from, and which files are refused. */
#include "base/base.h"
#include "sftn/tensors.h"
#include "test.h"
#include "train/small.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sftn_teach_options teach(const char *scheme, const sftn_model *teacher,
                                const sftn_model *student)
{
    return (sftn_teach_options){.scheme = sftn_teacher_find(scheme, NULL),
                                .teacher = teacher,
                                .student = student,
                                .classes = 10,
                                .channels = 3,
                                .image_size = 32,
                                .seed = 3};
}

static sftn_distill_options distill(const sftn_model *student, const sftn_model *teacher,
                                    const char *file)
{
    return (sftn_distill_options){.student = student,
                                  .teacher = teacher,
                                  .teacher_file = file,
                                  .use = {{.method = sftn_distiller_find("kd", NULL),
                                           .weight = 0.9}},
                                  .nuse = 1,
                                  .task_weight = 0.1,
                                  .classes = 10,
                                  .channels = 3,
                                  .image_size = 32,
                                  .seed = 4};
}

/* A run directory with one epoch of an sftn teacher. */
static const char *teacher_run(const char *network, const char *setting)
{
    static char dir[256];
    sftn_dataset *data = small_data(16, 0);
    sftn_job job = small_teacher("sftn", network, setting);
    sftn_train_options o = small_options(setting ? "teacher-other" : "teacher");

    o.batch = 16;
    o.schedule.epochs = 1;
    small_train(&job, data, &o);
    snprintf(dir, sizeof dir, "%s", o.dir);
    sftn_job_free(&job);
    sftn_dataset_close(data);
    return dir;
}

static float *value(sftn_params *p, const char *name)
{
    const int i = sftn_params_find(p, name);

    CHECK(i >= 0);
    return sftn_params_value(p, i);
}

TEST(a_teacher_store_holds_plain_keys_only)
{
    const sftn_model model = small_model("resnet8");
    const sftn_teach_options options = teach("sftn", &model, &model);
    sftn_error err = {0};
    sftn_job job;

    CHECK_OK(sftn_teach_job(&options, &job, &err), &err);
    CHECK_INT(job.nparams, 2);
    CHECK_TEXT(job.params_name[0], "model");
    CHECK_TEXT(job.params_name[1], "branches");
    CHECK(sftn_params_find(job.params[0], "conv1.weight") == 0);
    for (int i = 0; i < sftn_params_count(job.params[0]); i++)
        CHECK(strncmp(sftn_params_get(job.params[0], i)->name, "branch", 6) != 0);
    CHECK_CONTAINS(job.description, "\"lambda-kl\":3");
    sftn_job_free(&job);
    CHECK(job.self == NULL);
}

TEST(a_scheme_that_needs_a_student_says_so)
{
    const sftn_model model = small_model("resnet8");
    const sftn_teach_options options = teach("sftn", &model, NULL);
    sftn_error err = {0};
    sftn_job job;

    CHECK_FAILS(sftn_teach_job(&options, &job, &err), SFTN_ERR_ARGUMENT, &err, "student");
}

TEST(a_teacher_may_start_from_a_file)
{
    const char *dir = teacher_run("resnet8", NULL);
    const sftn_model model = small_model("resnet8");
    sftn_teach_options options = teach("plain", &model, NULL);
    sftn_error err = {0};
    sftn_network net;
    sftn_job job;

    CHECK_OK(sftn_network_load(dir, &net, &err), &err);
    options.init_from = dir;
    CHECK_OK(sftn_teach_job(&options, &job, &err), &err);
    CHECK_BYTES(sftn_params_weights(job.params[0]), sftn_params_weights(net.params),
                (size_t)sftn_params_weight_size(net.params) * sizeof(float));
    sftn_job_free(&job);
    sftn_network_free(&net);
}

TEST(a_checkpoint_serves_as_a_teacher_too)
{
    const char *dir = teacher_run("resnet8", NULL);
    const sftn_model model = small_model("resnet8");
    char path[300];
    sftn_distill_options options;
    sftn_error err = {0};
    sftn_job plain, whole;

    options = distill(&model, &model, dir);
    CHECK_OK(sftn_distill_job(&options, &plain, &err), &err);
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", dir);
    options = distill(&model, &model, path);
    CHECK_OK(sftn_distill_job(&options, &whole, &err), &err);
    CHECK_TEXT(strstr(plain.description, "\"teacher-values\":") ? "described" : "", "described");
    CHECK_BYTES(strstr(whole.description, "\"teacher-values\":"),
                strstr(plain.description, "\"teacher-values\":"), 35);
    sftn_job_free(&plain);
    sftn_job_free(&whole);
}

TEST(another_network_or_number_of_classes_is_refused_by_name)
{
    const char *dir = teacher_run("resnet8", NULL);
    const sftn_model small = small_model("resnet8"), large = small_model("resnet14");
    sftn_distill_options options = distill(&small, &large, dir);
    sftn_error err = {0};
    sftn_job job;

    CHECK_FAILS(sftn_distill_job(&options, &job, &err), SFTN_ERR_FORMAT, &err,
                "holds the network resnet8, expected resnet14");
    options = distill(&small, &small, dir);
    options.classes = 100;
    CHECK_FAILS(sftn_distill_job(&options, &job, &err), SFTN_ERR_FORMAT, &err,
                "for 10 classes, expected 100");
    options = distill(&small, &small, "/nowhere/model.safetensors");
    CHECK_FAILS(sftn_distill_job(&options, &job, &err), SFTN_ERR_FILE, &err,
                "/nowhere/model.safetensors");
    CHECK(job.self == NULL);
}

TEST(distillation_leaves_the_teacher_as_it_was)
{
    const char *dir = teacher_run("resnet8", NULL);
    const sftn_model small = small_model("resnet8");
    const sftn_distill_options options = distill(&small, &small, dir);
    sftn_dataset *data = small_data(16, 0);
    sftn_train_options o = small_options("after");
    sftn_error err = {0};
    sftn_job job, again;
    float before;

    CHECK_OK(sftn_distill_job(&options, &job, &err), &err);
    CHECK_INT(job.nparams, 1);
    before = value(job.params[0], "conv1.weight")[0];
    small_train(&job, data, &o);
    CHECK(value(job.params[0], "conv1.weight")[0] < before ||
          value(job.params[0], "conv1.weight")[0] > before);
    /* The description holds a hash of the teacher's values. */
    CHECK_OK(sftn_distill_job(&options, &again, &err), &err);
    CHECK_TEXT(again.description, job.description);
    sftn_job_free(&job);
    sftn_job_free(&again);
    sftn_dataset_close(data);
}

TEST(a_teacher_normalizes_by_the_batch_where_asked_and_keeps_its_own_statistics)
{
    const char *dir = teacher_run("resnet8", NULL);
    const sftn_model small = small_model("resnet8");
    sftn_distill_options options = distill(&small, &small, dir);
    sftn_dataset *data = small_data(16, 0);
    sftn_train_options o = small_options("norms");
    sftn_error err = {0};
    sftn_job running, batch, again;

    CHECK_OK(sftn_distill_job(&options, &running, &err), &err);
    small_train(&running, data, &o);
    options.teacher_batch_norms = true;
    CHECK_OK(sftn_distill_job(&options, &batch, &err), &err);
    o = small_options("norms_batch");
    small_train(&batch, data, &o);
    CHECK(memcmp(sftn_params_weights(running.params[0]), sftn_params_weights(batch.params[0]),
                 (size_t)sftn_params_weight_size(batch.params[0]) * sizeof(float)) != 0);
    /* The description holds a hash of the teacher's values, running statistics among them. */
    CHECK_OK(sftn_distill_job(&options, &again, &err), &err);
    CHECK_TEXT(again.description, batch.description);
    options.teacher_batch_norms = false;
    options.shares = &batch;
    sftn_job_free(&again);
    CHECK_FAILS(sftn_distill_job(&options, &again, &err), SFTN_ERR_ARGUMENT, &err,
                "normalizes by each batch's statistics, expected running ones");
    sftn_job_free(&running);
    sftn_job_free(&batch);
    sftn_dataset_close(data);
}

/* Student values of a job that starts from a branch, and of one that starts at random. */
static void start_from_branch(const char *dir, int branch, sftn_job *from, sftn_job *random)
{
    const sftn_model small = small_model("resnet8");
    sftn_distill_options options = distill(&small, &small, NULL);
    sftn_error err = {0};

    CHECK_OK(sftn_distill_job(&options, random, &err), &err);
    options.branch_file = dir;
    options.branch = branch;
    CHECK_OK(sftn_distill_job(&options, from, &err), &err);
}

static void check_branch(const char *dir, int branch, const char *key)
{
    char path[300], name[128];
    sftn_job from, random;
    sftn_error err = {0};
    sftn_tensors *t;

    start_from_branch(dir, branch, &from, &random);
    snprintf(path, sizeof path, "%s/branches.safetensors", dir);
    CHECK_OK(sftn_tensors_open(path, &t, &err), &err);
    snprintf(name, sizeof name, "%s.layer3.0.conv1.weight", key);
    CHECK_BYTES(value(from.params[0], "layer3.0.conv1.weight"), sftn_tensors_find(t, name)->data,
                64 * sizeof(float));
    snprintf(name, sizeof name, "%s.fc.weight", key);
    CHECK_BYTES(value(from.params[0], "fc.weight"), sftn_tensors_find(t, name)->data,
                64 * sizeof(float));
    CHECK_BYTES(value(from.params[0], "layer1.0.conv1.weight"),
                value(random.params[0], "layer1.0.conv1.weight"), 64 * sizeof(float));
    if (branch == 2)
        CHECK_BYTES(value(from.params[0], "layer2.0.conv1.weight"),
                    value(random.params[0], "layer2.0.conv1.weight"), 64 * sizeof(float));
    sftn_tensors_close(t);
    sftn_job_free(&from);
    sftn_job_free(&random);
}

TEST(a_student_may_start_from_a_branch)
{
    const char *dir = teacher_run("resnet14", NULL);

    check_branch(dir, 1, "branch1.student");
    check_branch(dir, 2, "branch2.student");
}

TEST(a_student_may_start_from_shared_branches)
{
    const char *dir = teacher_run("resnet8", "shared=true");

    check_branch(dir, 2, "branch1.student");
}

TEST(branches_that_do_not_fit_are_refused)
{
    const char *dir = teacher_run("resnet8", NULL);
    const sftn_model small = small_model("resnet8"), other = small_model("resnet14");
    sftn_distill_options options = distill(&small, &small, NULL);
    sftn_error err = {0};
    sftn_job job;
    char path[300];

    options.branch_file = dir;
    options.branch = 3;
    CHECK_FAILS(sftn_distill_job(&options, &job, &err), SFTN_ERR_ARGUMENT, &err,
                "expected a branch from 1 to 2");
    options.branch = 1;
    options.student = &other;
    CHECK_FAILS(sftn_distill_job(&options, &job, &err), SFTN_ERR_FORMAT, &err,
                "branches of the student resnet8, expected resnet14");
    options.student = &small;
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    options.branch_file = path;
    CHECK_FAILS(sftn_distill_job(&options, &job, &err), SFTN_ERR_FORMAT, &err,
                "no array of branch");
}

TEST(weights_that_teach_nothing_are_refused)
{
    const sftn_model small = small_model("resnet8");
    sftn_distill_options options = distill(&small, &small, NULL);
    sftn_error err = {0};
    sftn_job job;

    options.task_weight = 0.0;
    options.use[0].weight = 0.0;
    CHECK_FAILS(sftn_distill_job(&options, &job, &err), SFTN_ERR_ARGUMENT, &err, "above 0");
    options.use[0].weight = -1.0;
    CHECK_FAILS(sftn_distill_job(&options, &job, &err), SFTN_ERR_ARGUMENT, &err, "method kd is -1");
}

TEST(a_job_that_runs_out_of_memory_says_so)
{
    const sftn_model model = small_model("resnet8");
    const sftn_teach_options options = teach("sftn", &model, &model);

    for (long n = 1; n < 100000; n++) {
        sftn_error err = {0};
        sftn_job job;
        sftn_status status;
        long made;

        test_fail_allocation(n);
        status = sftn_teach_job(&options, &job, &err);
        made = test_allocations();
        test_fail_allocation(0);
        sftn_job_free(&job);
        if (made < n) {
            CHECK_OK(status, &err);
            return;
        }
        CHECK_INT(status, SFTN_ERR_MEMORY);
        CHECK(err.text[0] != '\0');
    }
    test_fail(__FILE__, __LINE__, "the job was never made");
}
