/*
 * teach: the job of training a teacher under a scheme (teacher.h).
 *
 * The scheme builds the teacher into the first store, under plain names, and whatever it attaches
 * into the second, "branches"; so the teacher's file never holds anything but the teacher.
 */
#include "task/task.h"

#include <stdlib.h>

typedef struct teach {
    sftn_teach_options opt; /* pointers into what follows, or to registries */
    sftn_model teacher, student;
    void *scheme_options;
    sftn_params *model, *branches;
} teach;

static void teach_build(void *self, sftn_job_graph *graph)
{
    teach *t = self;
    const sftn_scope teacher = {
        .g = graph->g, .params = t->model, .training = true, .label = "teacher"};
    const sftn_scope branch = {.g = graph->g, .params = t->branches, .training = true};
    const sftn_teacher_args args = {
        .g = graph->g,
        .teacher_scope = &teacher,
        .branch_scope = &branch,
        .teacher = t->opt.teacher,
        .student = t->opt.student,
        .image = graph->image,
        .labels = graph->labels,
        .classes = t->opt.classes,
        .smoothing = t->opt.smoothing,
        .options = t->scheme_options,
    };

    graph->logits = t->opt.scheme->build(&args, &graph->terms).logits;
}

static void teach_free(void *self)
{
    teach *t = self;

    sftn_params_free(t->model);
    sftn_params_free(t->branches);
    free(t->scheme_options);
    free(t);
}

static sftn_status check(const sftn_teach_options *o, sftn_error *err)
{
    if (!o->scheme || !o->teacher)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "teacher training needs a scheme and a teacher");
    if (o->scheme->needs_student && !o->student)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "the scheme %s attaches parts of a student: name the student's network",
                         o->scheme->name);
    return sftn_job_check(o->classes, o->channels, o->image_size, o->smoothing, err);
}

static sftn_status describe(const teach *t, sftn_job *job, sftn_error *err)
{
    const sftn_teach_options *o = &t->opt;
    struct json_object *d = json_object_new_object();
    bool ok = sftn_describe_text(d, "task", "teach");

    ok = ok && sftn_describe_text(d, "scheme", o->scheme->name) &&
         sftn_describe_options(d, "scheme-options", o->scheme->options, t->scheme_options) &&
         sftn_describe_text(d, "teacher", o->teacher->name) &&
         (!o->student || sftn_describe_text(d, "student", o->student->name)) &&
         sftn_describe_integer(d, "classes", o->classes) &&
         sftn_describe_integer(d, "channels", o->channels) &&
         sftn_describe_integer(d, "image-size", o->image_size) &&
         sftn_describe_number(d, "smoothing", (double)o->smoothing) &&
         sftn_describe_integer(d, "job-seed", (int64_t)o->seed) &&
         (!o->init_from || sftn_describe_origin(d, "init_from", o->init_from));
    return sftn_describe_job(job, d, ok, err);
}

sftn_status sftn_teach_job(const sftn_teach_options *options, sftn_job *job, sftn_error *err)
{
    sftn_status status = check(options, err);
    teach *t;

    *job = (sftn_job){0};
    if (status)
        return status;
    t = sftn_calloc(1, sizeof *t);
    if (!t)
        return sftn_fail(err, SFTN_ERR_MEMORY, "teacher training: out of memory");
    *job = (sftn_job){.self = t, .build = teach_build, .free = teach_free};
    t->opt = *options;
    t->teacher = *options->teacher;
    t->opt.teacher = &t->teacher;
    if (options->student) {
        t->student = *options->student;
        t->opt.student = &t->student;
    }
    t->scheme_options = sftn_options_copy(options->scheme->options, options->scheme_options,
                                          options->scheme->options_size);
    t->model = sftn_params_new();
    t->branches = sftn_params_new();
    if (!t->scheme_options || !t->model || !t->branches) {
        sftn_job_free(job);
        return sftn_fail(err, SFTN_ERR_MEMORY, "teacher training: out of memory");
    }
    job->model = &t->teacher;
    job->classes = options->classes;
    sftn_job_store(job, "model", t->model);
    status = sftn_job_create_entries(job, options->channels, options->image_size, err);
    if (!status) {
        sftn_params_init(t->model, options->seed);
        sftn_params_init(t->branches, options->seed);
        if (sftn_params_count(t->branches) > 0)
            sftn_job_store(job, "branches", t->branches);
    }
    if (!status && options->init_from) {
        const sftn_network_spec spec = {&t->teacher, options->classes, options->channels,
                                        options->image_size, 0};

        status = sftn_network_fill(options->init_from, &spec, t->model, err);
    }
    if (!status)
        status = describe(t, job, err);
    if (status)
        sftn_job_free(job);
    return status;
}
