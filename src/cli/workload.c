/*
 * workload.c: training steps of the three kinds, and inference of a frozen network.
 */
#include "cli/workload.h"

#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(cli_workload_options, name)

/* Small, so that weights stay ordinary numbers however long a measurement runs on noise. */
static const double step_lr = 1e-4;

const sftn_option cli_workload_table[] = {
    {"workload", SFTN_OPT_CHOICE, FIELD(workload), CLI_AUTO, 0, 4,
     "sftn: a teacher with student branches; kd: a student beside a frozen teacher; plain: one "
     "network; frozen: one network's answers only.  auto: plain with --model, kd with --method, "
     "else sftn",
     "auto|sftn|kd|plain|frozen", NULL},
    {"model", SFTN_OPT_STRING, FIELD(model), 0, 0, 0,
     "network of plain and frozen; unless given, the student and the teacher", "MODEL", NULL},
    {"teacher", SFTN_OPT_STRING, FIELD(teacher), 0, 0, 0, "network of the teacher", "MODEL",
     "wrn_40_2"},
    {"student", SFTN_OPT_STRING, FIELD(student), 0, 0, 0, "network of the student", "MODEL",
     "wrn_16_2"},
    {"method", SFTN_OPT_STRING, FIELD(method), 0, 0, 0, "methods of kd, joined by +", "NAMES",
     "kd"},
    {"batch", SFTN_OPT_INT64, FIELD(batch), 64, 1, 65536, "images a step", NULL, NULL},
    {"classes", SFTN_OPT_INT, FIELD(classes), 100, 2, 100000, "classes told apart", NULL, NULL},
    {"image-size", SFTN_OPT_INT, FIELD(image_size), 32, 8, 512, "height and width", NULL, NULL},
    SFTN_OPTION_END,
};

enum { CHANNELS = 3 };

static sftn_shape image_shape(const cli_workload_options *o)
{
    return SFTN_SHAPE(o->batch, CHANNELS, o->image_size, o->image_size);
}

/* Fixed numbers, spread like normalized pixels, for the plan's images. */
static sftn_status write_images(sftn_plan *plan, sftn_error *err)
{
    const sftn_tensor *image = sftn_plan_input(plan, "image");
    const int64_t count = image ? sftn_shape_count(&image->shape) : 0;
    float *values = malloc((size_t)count * sizeof *values + 1);
    uint32_t state = 1;
    sftn_status status = SFTN_OK;

    if (!values)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(state >> 8) * (4.0f / 16777216.0f) - 2.0f;
    }
    if (image)
        status = sftn_plan_write_float(plan, "image", values, err);
    free(values);
    return status;
}

/* Each class in turn, for the plan's labels. */
static sftn_status write_labels(sftn_plan *plan, int classes, sftn_error *err)
{
    const sftn_tensor *labels = sftn_plan_input(plan, "labels");
    const int64_t count = labels ? sftn_shape_count(&labels->shape) : 0;
    float *values = malloc((size_t)count * sizeof *values + 1);
    sftn_status status = SFTN_OK;

    if (!values)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)(i % classes);
    if (labels)
        status = sftn_plan_write_float(plan, "labels", values, err);
    free(values);
    return status;
}

/* What the plans of a step read; a phase may have no images of its own, or no labels. */
static sftn_status write_inputs(cli_workload *w, const cli_workload_options *o, sftn_error *err)
{
    sftn_status status = SFTN_OK;
    sftn_plan *plan;

    for (int i = 0; (plan = cli_workload_plan(w, i)) != NULL && status == SFTN_OK; i++) {
        status = write_images(plan, err);
        if (status == SFTN_OK)
            status = write_labels(plan, o->classes, err);
    }
    return status;
}

static sftn_status frozen_new(const sftn_model *model, const cli_workload_options *o,
                              const sftn_plan_options *plan, cli_workload *w, sftn_error *err)
{
    sftn_scope scope = {.frozen = true};
    sftn_status status;

    w->graph = scope.g = sftn_graph_new();
    w->params = scope.params = sftn_params_new();
    if (!w->graph || !w->params)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    const sftn_value image =
        sftn_graph_input(w->graph, "image", (sftn_type){.shape = image_shape(o)});
    const sftn_taps taps = sftn_model_build(model, &scope, image, o->classes, 0);

    sftn_graph_output(w->graph, "logits", taps.logits);
    sftn_params_init(w->params, 1);
    status = sftn_graph_status(w->graph, err);
    if (status == SFTN_OK)
        status = sftn_plan_new(w->graph, plan, &w->plan, err);
    if (status == SFTN_OK)
        status = write_inputs(w, o, err);
    return status;
}

static sftn_status stepper_new(const cli_workload_options *o, const sftn_plan_options *plan,
                               cli_workload *w, sftn_error *err)
{
    const sftn_train_options options = {
        .plan = *plan,
        .batch = o->batch,
        .momentum = 0.9,
        .weight_decay = 5e-4,
    };
    const int phase = o->before ? o->before - 1 : w->job.nphases;
    sftn_status status =
        sftn_stepper_new(&w->job, phase, &options, image_shape(o), &w->stepper, err);

    if (status == SFTN_OK)
        status = write_inputs(w, o, err);
    return status;
}

static sftn_status teach_new(const sftn_model *teacher, const sftn_model *student,
                             const cli_scheme *scheme, const cli_workload_options *o,
                             cli_workload *w, sftn_error *err)
{
    const sftn_teach_options options = {
        .scheme = scheme->scheme,
        .scheme_options = scheme->options,
        .teacher = teacher,
        .student = student,
        .classes = o->classes,
        .channels = CHANNELS,
        .image_size = o->image_size,
        .seed = 1,
    };

    return sftn_teach_job(&options, &w->job, err);
}

static sftn_status distill_new(const sftn_model *teacher, const sftn_model *student,
                               const cli_methods *methods, const cli_workload_options *o,
                               cli_workload *w, sftn_error *err)
{
    sftn_distill_options options = {
        .student = student,
        .teacher = teacher,
        .task_weight = cli_default_task_weight(methods),
        .classes = o->classes,
        .channels = CHANNELS,
        .image_size = o->image_size,
        .seed = 1,
    };

    cli_use_methods(methods, &options);
    return sftn_distill_job(&options, &w->job, err);
}

static sftn_status mutual_new(const sftn_model *teacher, const sftn_model *student,
                              const cli_workload_options *o, cli_workload *w, sftn_error *err)
{
    const sftn_mutual_options options = {
        .method = o->mutual,
        .weight = o->mutual->weight,
        .network = {student, teacher},
        .n = 2,
        .classes = o->classes,
        .channels = CHANNELS,
        .image_size = o->image_size,
        .seed = 1,
    };

    return sftn_mutual_job(&options, &w->job, err);
}

static sftn_status find_models(const char *const name[3], sftn_model model[3], sftn_error *err)
{
    sftn_status status = SFTN_OK;

    for (int i = 0; i < 3 && status == SFTN_OK; i++)
        if (name[i])
            status = sftn_model_find(name[i], &model[i], err);
    return status;
}

/* The plain scheme, for a network by itself. */
static sftn_status plain_new(cli_args *a, const sftn_model *model, const cli_workload_options *o,
                             cli_workload *w, int *code, sftn_error *err)
{
    cli_scheme scheme = {0};
    sftn_status status = SFTN_ERR_MEMORY;

    if (cli_plain_scheme(a, &scheme, code))
        status = teach_new(model, NULL, &scheme, o, w, err);
    return status;
}

static sftn_status build(cli_args *a, const cli_workload_options *o, const cli_methods *methods,
                         const cli_scheme *scheme, const sftn_plan_options *plan,
                         const sftn_model model[3], cli_workload *w, int *code, sftn_error *err)
{
    const sftn_model *teacher = &model[1], *student = &model[2];
    int kind = o->workload;
    sftn_status status = SFTN_OK;

    if (kind == CLI_AUTO)
        kind = o->model ? CLI_PLAIN : cli_given(a, "method") ? CLI_KD : CLI_SFTN_TEACHER;
    if (kind == CLI_FROZEN) {
        teacher = o->model ? &model[0] : teacher;
        snprintf(w->title, sizeof w->title, "frozen %s", teacher->name);
        return frozen_new(teacher, o, plan, w, err);
    }
    if (kind == CLI_PLAIN) {
        student = o->model ? &model[0] : student;
        snprintf(w->title, sizeof w->title, "plain %s", student->name);
        status = plain_new(a, student, o, w, code, err);
    } else if (kind == CLI_KD) {
        snprintf(w->title, sizeof w->title, "%s of %s from %s", o->method, student->name,
                 teacher->name);
        status = distill_new(teacher, student, methods, o, w, err);
    } else if (kind == CLI_MUTUAL) {
        snprintf(w->title, sizeof w->title, "%s of %s and %s", o->mutual->name, student->name,
                 teacher->name);
        status = mutual_new(teacher, student, o, w, err);
    } else {
        snprintf(w->title, sizeof w->title, "%s of %s with branches of %s", scheme->scheme->name,
                 teacher->name, student->name);
        status =
            teach_new(teacher, scheme->scheme->needs_student ? student : NULL, scheme, o, w, err);
    }
    return status == SFTN_OK ? stepper_new(o, plan, w, err) : status;
}

bool cli_workload_new(cli_args *a, const cli_workload_options *o, const cli_methods *methods,
                      const cli_scheme *scheme, const sftn_plan_options *plan, cli_workload *w,
                      int *code)
{
    const char *const names[3] = {o->model, o->teacher, o->student};
    sftn_model model[3] = {0};
    sftn_error err = {0};

    *code = CLI_DONE;
    w->batch = o->batch;
    if (find_models(names, model, &err) != SFTN_OK)
        *code = cli_misuse("%s", err.text);
    else if (build(a, o, methods, scheme, plan, model, w, code, &err) != SFTN_OK)
        *code = *code ? *code : cli_fail(&err);
    return *code == CLI_DONE;
}

void cli_workload_free(cli_workload *w)
{
    sftn_stepper_free(w->stepper);
    if (w->job.free)
        sftn_job_free(&w->job);
    sftn_plan_free(w->plan);
    sftn_graph_free(w->graph);
    sftn_params_free(w->params);
}

sftn_status cli_workload_run(cli_workload *w, sftn_error *err)
{
    return w->stepper ? sftn_stepper_run(w->stepper, step_lr, err) : sftn_plan_run(w->plan, err);
}

const sftn_graph *cli_workload_graph(const cli_workload *w, int i)
{
    const sftn_graph *guide = w->stepper ? sftn_stepper_guide_graph(w->stepper) : NULL;

    if (i == 0 && guide)
        return guide;
    if (i == (guide ? 1 : 0))
        return w->stepper ? sftn_stepper_graph(w->stepper) : w->graph;
    return NULL;
}

sftn_plan *cli_workload_plan(cli_workload *w, int i)
{
    sftn_plan *guide = w->stepper ? sftn_stepper_guide_plan(w->stepper) : NULL;

    if (i == 0 && guide)
        return guide;
    if (i == (guide ? 1 : 0))
        return w->stepper ? sftn_stepper_plan(w->stepper) : w->plan;
    return NULL;
}
