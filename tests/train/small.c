/* small.c: see small.h. */
#include "train/small.h"

#include "base/base.h"
#include "data/fixture.h"
#include "sftn/tensors.h"
#include "test.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

sftn_dataset *small_data(int64_t limit, int64_t validation)
{
    const char *dir = test_temp_path("cifar10");
    const sftn_data_options options = {.name = "cifar10",
                                       .path = dir,
                                       .limit = limit,
                                       .validation = validation,
                                       .seed = 1,
                                       .no_cache = true};
    sftn_error err = {0};
    struct stat info;
    sftn_dataset *data;

    if (stat(dir, &info) != 0) {
        fixture f = fixture_cifar10(14);

        fixture_write(&f, dir, false);
        fixture_free(&f);
    }
    CHECK_OK(sftn_dataset_open(&options, &data, &err), &err);
    return data;
}

sftn_model small_model(const char *name)
{
    sftn_error err = {0};
    sftn_model model;

    CHECK_OK(sftn_model_find(name, &model, &err), &err);
    return model;
}

sftn_job small_teacher(const char *scheme, const char *network, const char *setting)
{
    const sftn_model teacher = small_model(network), student = small_model("resnet8");
    sftn_error err = {0};
    const sftn_teacher_scheme *s = sftn_teacher_find(scheme, &err);
    sftn_teach_options options = {
        .scheme = s, .teacher = &teacher, .classes = 10, .channels = 3, .image_size = 32,
        .seed = 1};
    void *scheme_options;
    char text[64];
    sftn_job job;

    CHECK(s != NULL);
    if (s->needs_student)
        options.student = &student;
    scheme_options = calloc(1, s->options_size + 1);
    sftn_options_default(s->options, scheme_options);
    if (setting) {
        char *value;

        snprintf(text, sizeof text, "%s", setting);
        value = strchr(text, '=');
        *value++ = '\0';
        CHECK_OK(sftn_options_set(s->options, scheme_options, text, value, &err), &err);
    }
    options.scheme_options = scheme_options;
    CHECK_OK(sftn_teach_job(&options, &job, &err), &err);
    free(scheme_options);
    return job;
}

sftn_job small_student(const char *teacher_file)
{
    const sftn_model teacher = small_model("resnet14"), student = small_model("resnet8");
    sftn_error err = {0};
    const sftn_distill_options options = {
        .student = &student,
        .teacher = &teacher,
        .teacher_file = teacher_file,
        .use = {{.method = sftn_distiller_find("kd", &err), .weight = 0.9},
                {.method = sftn_distiller_find("at", &err), .weight = 100.0}},
        .nuse = 2,
        .task_weight = 0.1,
        .classes = 10,
        .channels = 3,
        .image_size = 32,
        .seed = 1,
    };
    sftn_job job;

    CHECK_OK(sftn_distill_job(&options, &job, &err), &err);
    return job;
}

void small_tell(sftn_params *p, const float *logits)
{
    const int weight = sftn_params_find(p, "fc.weight"), bias = sftn_params_find(p, "fc.bias");

    CHECK(weight >= 0 && bias >= 0);
    for (int64_t i = 0; i < sftn_params_get(p, weight)->count; i++)
        sftn_params_value(p, weight)[i] = 0.0f;
    memcpy(sftn_params_value(p, bias), logits, 10 * sizeof *logits);
}

sftn_train_options small_options(const char *dir)
{
    return (sftn_train_options){
        .schedule = {.lr = 0.05, .epochs = 2, .nmilestones = 1, .milestone = {1.5}, .gamma = 0.1},
        .batch = 32,
        .momentum = 0.9,
        .weight_decay = 5e-4,
        .augment = {.pad = 4, .flip = true},
        .seed = 1,
        .loader_threads = 1,
        .dir = test_temp_path(dir),
    };
}

static void keep_progress(void *ctx, const sftn_progress *p)
{
    small_watch *w = ctx;

    w->last = *p;
    if (p->epoch_done) {
        w->last_epoch = *p;
        w->epochs++;
    }
}

static bool ask_stop(void *ctx)
{
    const small_watch *w = ctx;

    return w->after > 0 && w->last.step >= w->after;
}

sftn_train_hooks small_hooks(small_watch *w)
{
    return (sftn_train_hooks){.ctx = w, .progress = keep_progress, .stop = ask_stop};
}

static void set_fault(void *ctx, const sftn_progress *p)
{
    const small_fault *f = ctx;

    if (!p->epoch_done && p->member == f->member && p->step == f->after)
        test_fail_computation(f->n, dnnl_out_of_memory);
}

sftn_train_hooks small_fault_hooks(small_fault *f)
{
    return (sftn_train_hooks){.ctx = f, .progress = set_fault};
}

sftn_train_result small_train(sftn_job *job, const sftn_dataset *data,
                              const sftn_train_options *options)
{
    sftn_train_result result;
    sftn_error err = {0};

    CHECK_OK(sftn_train(job, data, options, NULL, &result, &err), &err);
    return result;
}

const void *small_saved(const char *dir, const char *file, const char *name, sftn_tensors **t)
{
    const sftn_array *array;
    sftn_error err = {0};
    char path[512];

    snprintf(path, sizeof path, "%s/%s.safetensors", test_temp_path(dir), file);
    CHECK_OK(sftn_tensors_open(path, t, &err), &err);
    array = sftn_tensors_find(*t, name);
    CHECK(array != NULL);
    return array->data;
}

int64_t small_epochs_saved(const char *dir)
{
    sftn_tensors *t;
    const int64_t *position = small_saved(dir, "checkpoint", "run.position", &t);
    const int64_t epochs = position[0];

    sftn_tensors_close(t);
    return epochs;
}

static void *read_file(const char *dir, const char *name, size_t *bytes)
{
    sftn_error err = {0};
    char path[512];
    void *data;

    snprintf(path, sizeof path, "%s/%s", test_temp_path(dir), name);
    CHECK_OK(sftn_read_file(path, &data, bytes, &err), &err);
    return data;
}

void small_check_same(const char *dir, const char *other, const char *name)
{
    size_t a_bytes, b_bytes;
    void *a = read_file(dir, name, &a_bytes), *b = read_file(other, name, &b_bytes);

    CHECK_INT(a_bytes, b_bytes);
    CHECK_BYTES(a, b, a_bytes);
    free(a);
    free(b);
}

/* Times are the last members of every line. */
static void cut_times(char *log)
{
    char *to = log;

    for (char *at = log; *at; at++) {
        if (strncmp(at, ",\"seconds\"", 10) == 0)
            at += strcspn(at, "\n");
        *to++ = *at;
    }
    *to = '\0';
}

void small_check_same_log(const char *dir, const char *other)
{
    size_t bytes;
    char *a = read_file(dir, "log.jsonl", &bytes), *b = read_file(other, "log.jsonl", &bytes);

    cut_times(a);
    cut_times(b);
    CHECK_TEXT(a, b);
    free(a);
    free(b);
}
