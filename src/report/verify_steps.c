/*
 * verify_steps: contrastive distillation, which remembers, over consecutive steps.
 *
 * A file holds the memories before the first step (memory_s.0, memory_t.0), the embeddings'
 * parameters, and for step i features feat_s.i, feat_t.i, records index.i and draws
 * contrast_index.i (the record itself first).  Compared are each step's loss and gradients, the
 * memories after it, and the constants Z of student and teacher.
 */
#include "report/verify.h"

#include "graph/op.h"
#include "sftn/distill.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 8 };

typedef struct steps {
    sftn_graph *g;
    sftn_params *params;
    sftn_plan *plan;
    sftn_draw_table *records;
    void *options;
    sftn_value student;
    int n;
} steps;

static void steps_free(steps *s)
{
    sftn_plan_free(s->plan);
    sftn_graph_free(s->g);
    sftn_params_free(s->params);
    sftn_draw_table_free(s->records);
    free(s->options);
}

static const char *const inputs[] = {"feat_s", "feat_t", "index", "contrast_index"};
static const char *const parameters[] = {"embed_s.linear.weight", "embed_s.linear.bias",
                                         "embed_t.linear.weight", "embed_t.linear.bias"};
static const char *const memories[] = {"memory_s", "memory_t"};

/* Array NAME.i of the file; FORMAT where there is none. */
static const sftn_array *step_array(const sftn_tensors *t, const char *name, int i,
                                    sftn_error *err)
{
    char full[96];
    const sftn_array *a;

    snprintf(full, sizeof full, "%s.%d", name, i);
    a = sftn_tensors_find(t, full);
    if (!a)
        sftn_fail(err, SFTN_ERR_FORMAT, "there is no array \"%s\"", full);
    return a;
}

/* ---- the graph ---- */

/* [N,K,1,1] in the first step's shape. */
static sftn_value add_input(steps *s, const sftn_tensors *t, const char *name, sftn_error *err)
{
    const sftn_array *a = step_array(t, name, 0, err);

    if (!a)
        return SFTN_NONE;
    return sftn_graph_input(
        s->g, name,
        (sftn_type){SFTN_SHAPE(a->dim[0], a->rank > 1 ? a->dim[1] : 1, 1, 1), true});
}

static sftn_status set_option(const sftn_distiller *m, void *options, const char *name,
                              const char *text, sftn_error *err)
{
    return text ? sftn_options_set(m->options, options, name, text, err) : SFTN_OK;
}

static sftn_status set_options(steps *s, const sftn_tensors *t, const sftn_distiller *m,
                               sftn_error *err)
{
    const sftn_array *memory = step_array(t, "memory_s", 0, err);
    const int32_t class_of[] = {0, 1}; /* draws are given: classes do not matter */
    int32_t *classes;
    char dim[24];
    sftn_status status;

    if (!memory || memory->rank != 2)
        return sftn_fail(err, SFTN_ERR_FORMAT, "there is no matrix \"memory_s.0\"");
    s->options = sftn_calloc(1, m->options_size);
    classes = sftn_calloc((size_t)memory->dim[0], sizeof *classes);
    if (classes && memory->dim[0] > 1)
        memcpy(classes, class_of, sizeof class_of);
    s->records = classes ? sftn_draw_table_new(memory->dim[0], classes, 2) : NULL;
    free(classes);
    if (!s->options || !s->records)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for options");
    sftn_options_default(m->options, s->options);
    snprintf(dim, sizeof dim, "%lld", (long long)memory->dim[1]);
    status = set_option(m, s->options, "dim", dim, err);
    if (status == SFTN_OK)
        status = set_option(m, s->options, "temperature", sftn_tensors_meta(t, "T"), err);
    if (status == SFTN_OK)
        status = set_option(m, s->options, "momentum", sftn_tensors_meta(t, "momentum"), err);
    return status;
}

static sftn_value add_loss(steps *s, const sftn_tensors *t, const sftn_distiller *m,
                           sftn_error *err)
{
    const sftn_scope scope = {.g = s->g, .params = s->params, .training = true};
    sftn_tap_pair pair = {.student_name = "pooled", .teacher_name = "pooled"};
    sftn_distill_args args = {.g = s->g,
                              .scope = &scope,
                              .pair = &pair,
                              .npairs = 1,
                              .options = s->options,
                              .records = s->records};

    s->student = pair.student = add_input(s, t, inputs[0], err);
    pair.teacher = add_input(s, t, inputs[1], err);
    args.record = add_input(s, t, inputs[2], err);
    args.drawn = add_input(s, t, inputs[3], err);
    if (sftn_is_none(args.drawn))
        return SFTN_NONE;
    m->adapt(&args, &pair);
    return m->loss(&args);
}

/* Output "grad.NAME" of a value. */
static sftn_status add_gradient(steps *s, sftn_value loss, const char *name, sftn_value of,
                                sftn_error *err)
{
    char output[96];
    sftn_value grad;
    const sftn_status status = sftn_graph_gradients(s->g, loss, &of, 1, &grad, err);

    snprintf(output, sizeof output, "grad.%s", name);
    if (status == SFTN_OK)
        sftn_graph_output(s->g, output, grad);
    return status;
}

static sftn_status build(steps *s, const sftn_verify_case *v, const sftn_distiller *m,
                         sftn_error *err)
{
    sftn_status status = set_options(s, v->file, m, err);
    sftn_value loss;

    if (status != SFTN_OK)
        return status;
    loss = add_loss(s, v->file, m, err);
    status = sftn_graph_status(s->g, err);
    if (status == SFTN_OK && sftn_is_none(loss))
        return SFTN_ERR_FORMAT;
    if (status == SFTN_OK)
        sftn_graph_output(s->g, "loss", loss);
    if (status == SFTN_OK)
        status = add_gradient(s, loss, inputs[0], s->student, err);
    for (size_t i = 0; i < SFTN_COUNT(parameters) && status == SFTN_OK; i++) {
        const int index = sftn_params_find(s->params, parameters[i]);
        char name[64];

        snprintf(name, sizeof name, "param.%s", parameters[i]);
        status = add_gradient(s, loss, name, sftn_graph_param(s->g, s->params, index, false), err);
    }
    return status == SFTN_OK ? sftn_graph_status(s->g, err) : status;
}

/* Parameters and memories of the file; Z and the rest from nothing. */
static sftn_status fill(steps *s, const sftn_tensors *t, sftn_error *err)
{
    sftn_params_init(s->params, 0);
    for (size_t i = 0; i < SFTN_COUNT(parameters) + SFTN_COUNT(memories); i++) {
        const bool memory = i >= SFTN_COUNT(parameters);
        const char *name = memory ? memories[i - SFTN_COUNT(parameters)] : parameters[i];
        const int index = sftn_params_find(s->params, name);
        char from[96];
        const sftn_array *a;

        snprintf(from, sizeof from, memory ? "%s.0" : "param.%s", name);
        a = sftn_tensors_find(t, from);
        if (index < 0 || !a || a->count != sftn_params_get(s->params, index)->count)
            return sftn_fail(err, SFTN_ERR_FORMAT, "there is no array \"%s\" of the right size",
                             from);
        for (int64_t k = 0; k < a->count; k++)
            sftn_params_value(s->params, index)[k] = (float)sftn_array_number(a, k);
    }
    return SFTN_OK;
}

/* ---- steps ---- */

static sftn_status write_inputs(const steps *s, const sftn_tensors *t, int step, sftn_error *err)
{
    sftn_status status = SFTN_OK;

    for (size_t i = 0; i < SFTN_COUNT(inputs) && status == SFTN_OK; i++) {
        const sftn_array *a = step_array(t, inputs[i], step, err);
        const sftn_tensor *input = sftn_plan_input(s->plan, inputs[i]);
        double *values;

        if (!a || !input || a->count != sftn_shape_count(&input->shape))
            return sftn_fail(err, SFTN_ERR_FORMAT, "\"%s.%d\" is not of the first step's size",
                             inputs[i], step);
        values = sftn_calloc((size_t)a->count, sizeof *values);
        if (!values)
            return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for %s", a->name);
        for (int64_t k = 0; k < a->count; k++)
            values[k] = sftn_array_number(a, k);
        status = sftn_plan_write(s->plan, inputs[i], values, err);
        free(values);
    }
    return status;
}

/* The entry called `name` against the file's array `as`. */
static sftn_status check_entry(sftn_check *c, const steps *s, const sftn_tensors *t,
                               const char *name, const char *as, sftn_error *err)
{
    const int index = sftn_params_find(s->params, name);
    const int64_t count = sftn_params_get(s->params, index)->count;
    double *values = sftn_calloc((size_t)count, sizeof *values);
    sftn_status status;

    if (!values)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for %s", as);
    for (int64_t k = 0; k < count; k++)
        values[k] = (double)sftn_params_value(s->params, index)[k];
    status = sftn_check_array(c, t, as, values, count, err);
    free(values);
    return status;
}

static sftn_status check_gradients(sftn_verify_case *v, const steps *s, int step, sftn_error *err)
{
    sftn_status status = SFTN_OK;

    for (int i = 0; i < s->g->nsinks && status == SFTN_OK; i++) {
        const sftn_sink *sink = &s->g->sink[i];
        const sftn_shape shape = sftn_value_shape(s->g, sink->value);
        const int64_t count = sftn_shape_count(&shape);
        double *values;
        char as[200];

        if (sink->kind != SFTN_SINK_OUTPUT || strncmp(sink->name, "grad.", 5) != 0)
            continue;
        values = sftn_calloc((size_t)count, sizeof *values);
        if (!values)
            return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for %s", sink->name);
        snprintf(as, sizeof as, "%.180s.%d", sink->name, step);
        status = sftn_plan_read(s->plan, sink->name, values, err);
        if (status == SFTN_OK)
            status = sftn_check_array(&v->grad, v->file, as, values, count, err);
        free(values);
    }
    return status;
}

static sftn_status check_step(sftn_verify_case *v, const steps *s, int step, sftn_error *err)
{
    const double want = sftn_array_number(sftn_tensors_find(v->file, "loss"), step);
    double got;
    sftn_status status = sftn_plan_read(s->plan, "loss", &got, err);

    sftn_check_add(&v->value, fabs(got - want) / fabs(want), "loss of step %d", step);
    if (status == SFTN_OK)
        status = check_gradients(v, s, step, err);
    for (size_t i = 0; i < SFTN_COUNT(memories) && status == SFTN_OK; i++) {
        char as[96];

        snprintf(as, sizeof as, "%s.%d", memories[i], step + 1);
        status = check_entry(&v->value, s, v->file, memories[i], as, err);
    }
    return status;
}

static sftn_status check_constants(sftn_verify_case *v, const steps *s, sftn_error *err)
{
    static const char *const names[] = {"z_s", "z_t"};
    double z[2];

    for (int i = 0; i < 2; i++)
        z[i] = (double)*sftn_params_value(s->params, sftn_params_find(s->params, names[i]));
    return sftn_check_array(&v->value, v->file, "Z", z, 2, err);
}

static sftn_status run(sftn_verify_case *v, steps *s, const sftn_distiller *m, sftn_error *err)
{
    sftn_status status = build(s, v, m, err);

    v->method = m->name;
    if (status == SFTN_OK)
        status = sftn_plan_new(s->g, v->plan, &s->plan, err);
    if (status == SFTN_OK)
        status = fill(s, v->file, err);
    for (int i = 0; i < s->n && status == SFTN_OK; i++) {
        status = write_inputs(s, v->file, i, err);
        if (status == SFTN_OK)
            status = sftn_plan_run(s->plan, err);
        if (status == SFTN_OK)
            status = check_step(v, s, i, err);
    }
    return status == SFTN_OK ? check_constants(v, s, err) : status;
}

sftn_status sftn_verify_steps(sftn_verify_case *v, sftn_error *err)
{
    const sftn_array *loss = sftn_tensors_find(v->file, "loss");
    steps s = {.g = sftn_graph_new(), .params = sftn_params_new()};
    sftn_status status = SFTN_OK;
    const sftn_distiller *m;
    const char *name;

    status = sftn_meta_text(v->file, "loss", &name, err);
    if (status == SFTN_OK && (!loss || loss->element != SFTN_ELEMENT_F32 || loss->count < 1 ||
                              loss->count > STEPS_MAX))
        status = sftn_fail(err, SFTN_ERR_FORMAT,
                           "there is no float32 array \"loss\" of 1 to %d steps", STEPS_MAX);
    if (status == SFTN_OK && (!s.g || !s.params))
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a graph");
    if (status == SFTN_OK) {
        s.n = (int)loss->count;
        m = sftn_distiller_find(name, NULL);
        if (!m)
            v->missing = true;
        else
            status = run(v, &s, m, err);
    }
    steps_free(&s);
    return status;
}
