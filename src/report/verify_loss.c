/*
 * verify_loss: a distillation method's loss and gradients on stored inputs.
 *
 * A file holds logits_s, logits_t and labels, or features feat_s.i and feat_t.i of student and
 * teacher, one for each stage.  Where it has one loss for each pair of features, every pair is run
 * as a network of one stage, and the gradient is that of their sum.
 */
#include "report/verify.h"

#include "base/base.h"
#include "sftn/distill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names of losses in reference files that are not the method's name here. */
static const char *const alias[][2] = {{"attention", "at"}};

/* Settings in the metadata that are options of methods. */
static const char *const setting[][2] = {{"T", "temperature"}, {"p", "p"}};

enum { MAX_INPUTS = 2 * SFTN_MAX_STAGES + 3 };

/* An array of the file that is an input of the graph. */
typedef struct input {
    const sftn_array *array;
    sftn_value value, grad;
    bool student; /* its gradient is compared */
} input;

typedef struct loss_graph {
    sftn_graph *g;
    sftn_params *params;
    sftn_plan *plan;
    void *options;
    input in[MAX_INPUTS];
    int nin;
    sftn_taps student, teacher;
    sftn_value labels;
    int classes;
} loss_graph;

static void loss_graph_free(loss_graph *l)
{
    sftn_plan_free(l->plan);
    sftn_graph_free(l->g);
    sftn_params_free(l->params);
    free(l->options);
}

/* The input of that name, SFTN_NONE where the file has none. */
static sftn_value add_input(loss_graph *l, const sftn_tensors *t, const char *name, bool student)
{
    const sftn_array *a = sftn_tensors_find(t, name);
    sftn_type type = {SFTN_SHAPE(1, 1, 1, 1), true};

    if (!a || a->rank < 1 || a->rank > SFTN_DIMS || l->nin == MAX_INPUTS)
        return SFTN_NONE;
    for (int i = 0; i < a->rank; i++)
        type.shape.dim[i] = a->dim[i];
    /* Features are what a network computes in the plan's precision; logits and labels are wide. */
    type.wide = a->rank < 4;
    l->in[l->nin] = (input){
        .array = a, .value = sftn_graph_input(l->g, name, type), .student = student};
    return l->in[l->nin++].value;
}

static void add_inputs(loss_graph *l, const sftn_tensors *t)
{
    for (int i = 0; i < SFTN_MAX_STAGES; i++) {
        char s[32], d[32];

        snprintf(s, sizeof s, "feat_s.%d", i);
        snprintf(d, sizeof d, "feat_t.%d", i);
        if (!sftn_tensors_find(t, s) || !sftn_tensors_find(t, d))
            break;
        l->student.stage[i].feature = add_input(l, t, s, true);
        l->teacher.stage[i].feature = add_input(l, t, d, false);
        l->student.nstages = l->teacher.nstages = i + 1;
    }
    l->student.logits = add_input(l, t, "logits_s", true);
    l->teacher.logits = add_input(l, t, "logits_t", false);
    l->labels = add_input(l, t, "labels", false);
    l->classes = (int)sftn_value_shape(l->g, l->student.logits).dim[SFTN_C];
}

/* Everything the method needs is in the file. */
static bool has_needs(const loss_graph *l, const sftn_distiller *m)
{
    if ((m->needs & SFTN_NEEDS_LOGITS) && sftn_is_none(l->student.logits))
        return false;
    if ((m->needs & SFTN_NEEDS_STAGES) && l->student.nstages == 0)
        return false;
    return (m->needs & (SFTN_NEEDS_POOLED | SFTN_NEEDS_PREACT)) == 0;
}

static sftn_value loss_of(loss_graph *l, const sftn_distiller *m, const sftn_taps *student,
                          const sftn_taps *teacher)
{
    const sftn_scope scope = {.g = l->g, .params = l->params, .training = true};
    const sftn_distill_args args = {.g = l->g,
                                    .scope = &scope,
                                    .student = student,
                                    .teacher = teacher,
                                    .labels = l->labels,
                                    .classes = l->classes,
                                    .options = l->options};

    return m->loss(&args);
}

/* Outputs "loss.0", "loss.1", ... : n losses; returns their sum. */
static sftn_value add_losses(loss_graph *l, const sftn_distiller *m, int n)
{
    sftn_value sum = SFTN_NONE;

    for (int i = 0; i < n; i++) {
        sftn_taps student = l->student, teacher = l->teacher;
        char name[32];
        sftn_value loss;

        if (n > 1) {
            student.nstages = teacher.nstages = 1;
            student.stage[0] = l->student.stage[i];
            teacher.stage[0] = l->teacher.stage[i];
        }
        loss = loss_of(l, m, &student, &teacher);
        snprintf(name, sizeof name, "loss.%d", i);
        sftn_graph_output(l->g, name, loss);
        sum = i == 0 ? loss : sftn_add(l->g, sum, loss);
    }
    return sum;
}

/* Outputs "grad.NAME" for every input of the student that the file has a gradient of. */
static sftn_status add_gradients(loss_graph *l, const sftn_tensors *t, sftn_value sum,
                                 sftn_error *err)
{
    for (int i = 0; i < l->nin; i++) {
        input *in = &l->in[i];
        char name[160];
        sftn_status status;

        snprintf(name, sizeof name, "grad.%s", in->array->name);
        if (!in->student || !sftn_tensors_find(t, name))
            continue;
        status = sftn_graph_gradients(l->g, sum, &in->value, 1, &in->grad, err);
        if (status != SFTN_OK)
            return status;
        sftn_graph_output(l->g, name, in->grad);
    }
    return SFTN_OK;
}

static sftn_status write_inputs(loss_graph *l, sftn_error *err)
{
    sftn_status status = SFTN_OK;

    for (int i = 0; i < l->nin && status == SFTN_OK; i++) {
        const sftn_array *a = l->in[i].array;
        double *values;

        if (!sftn_plan_input(l->plan, a->name))
            continue;
        values = sftn_calloc((size_t)a->count, sizeof *values);
        if (!values)
            return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for %s", a->name);
        for (int64_t j = 0; j < a->count; j++)
            values[j] = a->element == SFTN_ELEMENT_I64 ? (double)((const int64_t *)a->data)[j]
                                                       : (double)((const float *)a->data)[j];
        status = sftn_plan_write(l->plan, a->name, values, err);
        free(values);
    }
    return status;
}

static sftn_status compare(sftn_verify_case *v, const loss_graph *l, int n, sftn_error *err)
{
    double values[SFTN_MAX_STAGES] = {0};
    sftn_status status = SFTN_OK;

    for (int i = 0; i < n && status == SFTN_OK; i++) {
        char name[32];

        snprintf(name, sizeof name, "loss.%d", i);
        status = sftn_plan_read(l->plan, name, &values[i], err);
    }
    if (status == SFTN_OK)
        status = sftn_check_array(&v->value, v->file, "loss", values, n, err);
    for (int i = 0; i < l->nin && status == SFTN_OK; i++) {
        char name[160];

        if (sftn_is_none(l->in[i].grad))
            continue;
        snprintf(name, sizeof name, "grad.%s", l->in[i].array->name);
        status = sftn_check_output(&v->grad, v->file, l->plan, name, l->in[i].array->count, err);
    }
    return status;
}

static sftn_status set_options(loss_graph *l, const sftn_tensors *t, const sftn_distiller *m,
                               sftn_error *err)
{
    sftn_status status = SFTN_OK;

    l->options = sftn_calloc(1, m->options_size ? m->options_size : 1);
    if (!l->options)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for options");
    sftn_options_default(m->options, l->options);
    for (size_t i = 0; i < SFTN_COUNT(setting) && status == SFTN_OK; i++) {
        const char *text = sftn_tensors_meta(t, setting[i][0]);

        if (text && sftn_options_find(m->options, setting[i][1]))
            status = sftn_options_set(m->options, l->options, setting[i][1], text, err);
    }
    return status;
}

static sftn_status run_loss(sftn_verify_case *v, loss_graph *l, const sftn_distiller *m,
                            sftn_error *err)
{
    const sftn_array *loss = sftn_tensors_find(v->file, "loss");
    const int n = loss ? (int)loss->count : 0;
    sftn_value sum;
    sftn_status status;

    if (n < 1 || (n > 1 && n != l->student.nstages))
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "\"loss\" has %d values, expected 1 or one for each of %d pairs", n,
                         l->student.nstages);
    status = set_options(l, v->file, m, err);
    if (status != SFTN_OK)
        return status;
    sum = add_losses(l, m, n);
    status = add_gradients(l, v->file, sum, err);
    if (status == SFTN_OK)
        status = sftn_graph_status(l->g, err);
    if (status == SFTN_OK)
        status = sftn_plan_new(l->g, v->plan, &l->plan, err);
    if (status == SFTN_OK)
        status = write_inputs(l, err);
    if (status != SFTN_OK)
        return status;
    sftn_plan_run(l->plan);
    return compare(v, l, n, err);
}

sftn_status sftn_verify_loss(sftn_verify_case *v, sftn_error *err)
{
    loss_graph l = {.g = sftn_graph_new(), .params = sftn_params_new()};
    const sftn_distiller *m;
    const char *name;
    sftn_status status = sftn_meta_text(v->file, "loss", &name, err);

    if (status == SFTN_OK && (!l.g || !l.params))
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a graph");
    if (status == SFTN_OK) {
        for (size_t i = 0; i < SFTN_COUNT(alias); i++)
            if (strcmp(name, alias[i][0]) == 0)
                name = alias[i][1];
        add_inputs(&l, v->file);
        m = sftn_distiller_find(name, NULL);
        if (!m || !has_needs(&l, m))
            v->missing = true;
        else
            status = run_loss(v, &l, m, err);
    }
    loss_graph_free(&l);
    return status;
}
