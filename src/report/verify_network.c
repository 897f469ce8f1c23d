/*
 * verify_network: one evaluation and one training step of a network, and one step of a
 * student-friendly teacher, against the reference's logits, losses, gradients and running
 * statistics.
 *
 * A gradient g of parameter p is compared by its Euclidean norm and by its dot product with a
 * fixed array r filled from "probe." and p's name.  A norm's deviation is judged against a norm G,
 * a product's against G |r|.  A network is not smooth where ReLU's operand is zero: one of millions
 * of activations that rounds to the other side of it, here or in the reference, moves the
 * gradients of all layers before it, those of small batch-norm parameters by a percent.  So G is
 * taken twice: as the largest norm in the file, at the file's tolerance; and as the gradient's own
 * norm, at a tolerance that leaves room for that percent.  An own norm below 1e-4 of the largest
 * counts as that large: it is what rounding leaves of a gradient that cancels.
 */
#include "report/verify.h"

#include "base/base.h"
#include "sftn/teacher.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STORES = 2 };

/* What a case builds and runs; freed as a whole. */
typedef struct subject {
    sftn_graph *g;
    sftn_plan *plan;
    sftn_params *params[MAX_STORES];
    int batch, classes, size;
} subject;

static void subject_free(subject *s)
{
    sftn_plan_free(s->plan);
    sftn_graph_free(s->g);
    for (int i = 0; i < MAX_STORES; i++)
        sftn_params_free(s->params[i]);
}

static sftn_status subject_open(subject *s, int nstores, const sftn_tensors *t, sftn_error *err)
{
    sftn_status status = sftn_meta_int(t, "batch", 1, &s->batch, err);

    s->size = 32;
    if (status == SFTN_OK)
        status = sftn_meta_int(t, "classes", 2, &s->classes, err);
    if (status == SFTN_OK && sftn_tensors_meta(t, "input_size"))
        status = sftn_meta_int(t, "input_size", 1, &s->size, err);
    for (int i = 0; i < nstores && status == SFTN_OK; i++) {
        s->params[i] = sftn_params_new();
        if (!s->params[i])
            status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for parameters");
    }
    return status;
}

/* A new graph with the two inputs; the old graph and plan are freed. */
static sftn_status subject_graph(subject *s, sftn_value *image, sftn_value *labels,
                                 sftn_error *err)
{
    sftn_plan_free(s->plan);
    sftn_graph_free(s->g);
    s->plan = NULL;
    s->g = sftn_graph_new();
    if (!s->g)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a graph");
    *image = sftn_graph_input(s->g, "image",
                              (sftn_type){SFTN_SHAPE(s->batch, 3, s->size, s->size), false});
    *labels = sftn_graph_input(s->g, "labels", (sftn_type){SFTN_SHAPE(s->batch, 1, 1, 1), true});
    return SFTN_OK;
}

/* Compile, write the inputs that are read, run once. */
static sftn_status subject_run(subject *s, const sftn_verify_case *v, sftn_error *err)
{
    const int64_t n = (int64_t)s->batch * 3 * s->size * s->size;
    const sftn_array *array = NULL;
    float *image = NULL, *labels = NULL;
    sftn_status status = sftn_graph_status(s->g, err);

    if (status == SFTN_OK)
        status = sftn_plan_new(s->g, v->plan, &s->plan, err);
    if (status == SFTN_OK)
        status = sftn_tensors_expect(v->file, "labels", SFTN_ELEMENT_I64, s->batch, &array, err);
    if (status != SFTN_OK)
        return status;
    image = sftn_calloc((size_t)n, sizeof *image);
    labels = sftn_calloc((size_t)s->batch, sizeof *labels);
    if (image && labels) {
        sftn_verify_fill("input", 0.0, 0.0, 2.0, image, n);
        for (int i = 0; i < s->batch; i++)
            labels[i] = (float)((const int64_t *)array->data)[i];
        status = sftn_plan_write_float(s->plan, "image", image, err);
        if (status == SFTN_OK && sftn_plan_input(s->plan, "labels"))
            status = sftn_plan_write_float(s->plan, "labels", labels, err);
    } else {
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for %lld pixels", (long long)n);
    }
    free(image);
    free(labels);
    return status == SFTN_OK ? sftn_plan_run(s->plan, err) : status;
}

/* ---- gradients and running statistics ---- */

/* A metadata entry that is a JSON list of names; *list is released with json_object_put. */
static sftn_status name_list(const sftn_tensors *t, const char *key, json_object **list,
                             sftn_error *err)
{
    const char *text;

    *list = NULL;
    if (sftn_meta_text(t, key, &text, err) != SFTN_OK)
        return SFTN_ERR_FORMAT;
    *list = json_tokener_parse(text);
    if (*list && json_object_is_type(*list, json_type_array))
        return SFTN_OK;
    json_object_put(*list);
    *list = NULL;
    return sftn_fail(err, SFTN_ERR_FORMAT, "the metadata's \"%s\" is not a JSON list", key);
}

static const char *list_name(json_object *list, size_t i)
{
    const char *name = json_object_get_string(json_object_array_get_idx(list, i));

    return name ? name : "";
}

/* The store that has an entry called name, and its index. */
static sftn_status find_entry(const subject *s, const char *name, sftn_params **p, int *index,
                              sftn_error *err)
{
    for (int i = 0; i < MAX_STORES && s->params[i]; i++) {
        *p = s->params[i];
        *index = sftn_params_find(*p, name);
        if (*index >= 0)
            return SFTN_OK;
    }
    return sftn_fail(err, SFTN_ERR_FORMAT,
                     "the file names a parameter \"%s\", the network has none", name);
}

static double norm(const float *x, int64_t n)
{
    double sum = 0.0;

    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* What a gradient is compared with. */
typedef struct expected {
    double norm, probe;
    double largest; /* norm among the gradients of the file */
} expected;

static sftn_status check_gradient(sftn_verify_case *v, const subject *s, const char *name,
                                  const expected *e, sftn_error *err)
{
    const double scale = fmax(e->norm, 1e-4 * e->largest);
    char probe_name[192];
    sftn_params *p = NULL;
    int index = -1;
    sftn_status status = find_entry(s, name, &p, &index, err);
    const float *grad;
    float *probe;
    int64_t n;
    double norm_off, probe_off, length, dot = 0.0;

    if (status != SFTN_OK)
        return status;
    n = sftn_params_get(p, index)->count;
    grad = sftn_params_grad(p, index);
    probe = sftn_calloc((size_t)n, sizeof *probe);
    if (!probe || !grad) {
        free(probe);
        return sftn_fail(err, SFTN_ERR_MEMORY, "no gradient of \"%s\"", name);
    }
    snprintf(probe_name, sizeof probe_name, "probe.%s", name);
    sftn_verify_fill(probe_name, 0.0, 0.0, 1.0, probe, n);
    for (int64_t i = 0; i < n; i++)
        dot += (double)grad[i] * (double)probe[i];
    length = norm(probe, n);
    norm_off = fabs(norm(grad, n) - e->norm);
    probe_off = fabs(dot - e->probe);
    sftn_check_add(&v->grad, norm_off / e->largest, "grad_norm %s", name);
    sftn_check_add(&v->grad, probe_off / (e->largest * length), "grad_probe %s", name);
    sftn_check_add(&v->own, norm_off / scale, "grad_norm %s", name);
    sftn_check_add(&v->own, probe_off / (scale * length), "grad_probe %s", name);
    free(probe);
    return SFTN_OK;
}

static sftn_status check_gradients(sftn_verify_case *v, const subject *s, sftn_error *err)
{
    const sftn_array *norms = NULL, *probes = NULL;
    json_object *order;
    sftn_status status = name_list(v->file, "grad_order", &order, err);
    const size_t n = order ? json_object_array_length(order) : 0;
    expected e = {0};

    if (status == SFTN_OK)
        status = sftn_tensors_expect(v->file, "grad_norm", SFTN_ELEMENT_F32, (int64_t)n, &norms,
                                     err);
    if (status == SFTN_OK)
        status = sftn_tensors_expect(v->file, "grad_probe", SFTN_ELEMENT_F32, (int64_t)n, &probes,
                                     err);
    for (size_t i = 0; i < n && status == SFTN_OK; i++)
        e.largest = fmax(e.largest, (double)((const float *)norms->data)[i]);
    for (size_t i = 0; i < n && status == SFTN_OK; i++) {
        e.norm = (double)((const float *)norms->data)[i];
        e.probe = (double)((const float *)probes->data)[i];
        status = check_gradient(v, s, list_name(order, i), &e, err);
    }
    json_object_put(order);
    return status;
}

static sftn_status check_statistics(sftn_verify_case *v, const subject *s, sftn_error *err)
{
    const sftn_array *norms = NULL;
    json_object *order;
    sftn_status status = name_list(v->file, "running_stat_order", &order, err);
    const size_t n = order ? json_object_array_length(order) : 0;

    if (status == SFTN_OK)
        status = sftn_tensors_expect(v->file, "running_stat_norm", SFTN_ELEMENT_F32, (int64_t)n,
                                     &norms, err);
    for (size_t i = 0; i < n && status == SFTN_OK; i++) {
        const double want = (double)((const float *)norms->data)[i];
        const char *name = list_name(order, i);
        sftn_params *p = NULL;
        int index = -1;

        status = find_entry(s, name, &p, &index, err);
        if (status == SFTN_OK)
            sftn_check_add(&v->value,
                      fabs(norm(sftn_params_value(p, index), sftn_params_get(p, index)->count) -
                           want) / want,
                      "running_stat_norm %s", name);
    }
    json_object_put(order);
    return status;
}

/* ---- model/NAME ---- */

static sftn_status run_evaluation(sftn_verify_case *v, subject *s, const sftn_model *model,
                                  sftn_error *err)
{
    sftn_value image, labels;
    sftn_status status = subject_graph(s, &image, &labels, err);

    if (status != SFTN_OK)
        return status;
    const sftn_scope scope = {.g = s->g, .params = s->params[0], .frozen = true};
    const sftn_taps taps = sftn_model_build(model, &scope, image, s->classes, 0);

    sftn_verify_fill_params(s->params[0]);
    sftn_graph_output(s->g, "logits_eval", taps.logits);
    status = subject_run(s, v, err);
    if (status != SFTN_OK)
        return status;
    return sftn_check_output(&v->value, v->file, s->plan, "logits_eval",
                             (int64_t)s->batch * s->classes, err);
}

static sftn_status run_training(sftn_verify_case *v, subject *s, const sftn_model *model,
                                sftn_error *err)
{
    sftn_value image, labels, loss;
    sftn_status status = subject_graph(s, &image, &labels, err);

    if (status != SFTN_OK)
        return status;
    const sftn_scope scope = {.g = s->g, .params = s->params[0], .training = true};
    const sftn_taps taps = sftn_model_build(model, &scope, image, s->classes, 0);

    loss = sftn_cross_entropy(s->g, taps.logits, labels, 0.0f);
    sftn_graph_output(s->g, "logits_train", taps.logits);
    sftn_graph_output(s->g, "loss_train", loss);
    status = sftn_graph_backward(s->g, loss, NULL, err);
    if (status == SFTN_OK)
        status = subject_run(s, v, err);
    if (status == SFTN_OK)
        status = sftn_check_output(&v->value, v->file, s->plan, "logits_train",
                                   (int64_t)s->batch * s->classes, err);
    if (status == SFTN_OK)
        status = sftn_check_output(&v->value, v->file, s->plan, "loss_train", 1, err);
    if (status == SFTN_OK)
        status = check_gradients(v, s, err);
    if (status == SFTN_OK)
        status = check_statistics(v, s, err);
    return status;
}

sftn_status sftn_verify_network(sftn_verify_case *v, sftn_error *err)
{
    subject s = {0};
    const char *name;
    sftn_model model;
    sftn_status status = sftn_meta_text(v->file, "model", &name, err);

    if (status == SFTN_OK && sftn_model_find(name, &model, NULL) != SFTN_OK) {
        v->missing = true;
        return SFTN_OK;
    }
    if (status == SFTN_OK)
        status = subject_open(&s, 1, v->file, err);
    if (status == SFTN_OK)
        status = run_evaluation(v, &s, &model, err);
    if (status == SFTN_OK)
        status = run_training(v, &s, &model, err);
    subject_free(&s);
    return status;
}

/* ---- sftn/TEACHER__STUDENT ---- */

/* Options of the scheme from the file's settings; *options is owned by the caller. */
static sftn_status teacher_options(const sftn_tensors *t, const sftn_teacher_scheme *scheme,
                                   void **options, sftn_error *err)
{
    static const char *const setting[][2] = {{"lambda_T", "lambda-t"},
                                             {"lambda_KL", "lambda-kl"},
                                             {"lambda_CE", "lambda-ce"},
                                             {"T", "temperature"}};
    const char *kl = sftn_tensors_meta(t, "kl");
    sftn_status status = SFTN_OK;

    *options = sftn_calloc(1, scheme->options_size);
    if (!*options)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for options");
    sftn_options_default(scheme->options, *options);
    for (size_t i = 0; i < SFTN_COUNT(setting) && status == SFTN_OK; i++) {
        const char *text = sftn_tensors_meta(t, setting[i][0]);

        if (text)
            status = sftn_options_set(scheme->options, *options, setting[i][1], text, err);
    }
    if (status == SFTN_OK && kl)
        status = sftn_options_set(scheme->options, *options, "kl-direction",
                                  strncmp(kl, "teacher", 7) == 0 ? "teacher" : "branch", err);
    return status;
}

/* Compare output `prefix.i` of every branch i, a scalar, with entry i of the file's array. */
static sftn_status check_branch_terms(sftn_verify_case *v, const subject *s, const char *array,
                                      const char *prefix, const sftn_branches *b, sftn_error *err)
{
    double values[SFTN_MAX_STAGES];

    for (int i = 0; i < b->n; i++) {
        char name[48];
        sftn_status status;

        snprintf(name, sizeof name, "%s.%d", prefix, b->stage[i]);
        status = sftn_plan_read(s->plan, name, &values[i], err);
        if (status != SFTN_OK)
            return status;
    }
    return sftn_check_array(&v->value, v->file, array, values, b->n, err);
}

static sftn_status check_teacher_step(sftn_verify_case *v, const subject *s, const sftn_branches *b,
                                      sftn_error *err)
{
    const int64_t n = (int64_t)s->batch * s->classes;
    double ce;
    sftn_status status = sftn_check_output(&v->value, v->file, s->plan, "logits_teacher", n, err);

    for (int i = 0; i < b->n && status == SFTN_OK; i++) {
        char name[48];

        snprintf(name, sizeof name, "logits_branch.%d", b->stage[i]);
        status = sftn_check_output(&v->value, v->file, s->plan, name, n, err);
    }
    if (status == SFTN_OK)
        status = sftn_plan_read(s->plan, "ce", &ce, err);
    if (status == SFTN_OK)
        status = sftn_check_array(&v->value, v->file, "loss_teacher_ce", &ce, 1, err);
    if (status == SFTN_OK)
        status = check_branch_terms(v, s, "loss_branch_kl", "kl", b, err);
    if (status == SFTN_OK)
        status = check_branch_terms(v, s, "loss_branch_kl_reverse", "reverse", b, err);
    if (status == SFTN_OK)
        status = check_branch_terms(v, s, "loss_branch_ce", "ce", b, err);
    if (status == SFTN_OK)
        status = sftn_check_output(&v->value, v->file, s->plan, "loss_total", 1, err);
    return status == SFTN_OK ? check_gradients(v, s, err) : status;
}

/* Every term and every branch's logits as outputs, and the total loss. */
static sftn_value publish_step(const subject *s, const sftn_taps *teacher, const sftn_terms *terms,
                               const sftn_branches *b)
{
    sftn_graph *g = s->g;
    sftn_value total = SFTN_NONE;
    char name[48];

    sftn_graph_output(g, "logits_teacher", teacher->logits);
    for (int i = 0; i < terms->n; i++) {
        const sftn_term *t = &terms->term[i];
        sftn_value part;

        sftn_graph_output(g, t->name, t->value);
        if (t->weight == 0.0f)
            continue;
        part = sftn_scale(g, t->value, t->weight);
        total = sftn_is_none(total) ? part : sftn_add(g, total, part);
    }
    sftn_graph_output(g, "loss_total", total);
    for (int i = 0; i < b->n; i++) {
        snprintf(name, sizeof name, "logits_branch.%d", b->stage[i]);
        sftn_graph_output(g, name, b->taps[i].logits);
        snprintf(name, sizeof name, "reverse.%d", b->stage[i]);
        sftn_graph_output(g, name,
                          sftn_kl_divergence(g, teacher->logits, b->taps[i].logits, 1.0f));
    }
    return total;
}

static sftn_status run_teacher_step(sftn_verify_case *v, subject *s,
                                    const sftn_teacher_scheme *scheme, const sftn_model *teacher,
                                    const sftn_model *student, const void *options,
                                    sftn_error *err)
{
    sftn_value image, labels, total;
    sftn_terms terms = {0};
    sftn_branches branches = {0};
    sftn_status status = subject_graph(s, &image, &labels, err);

    if (status != SFTN_OK)
        return status;
    const sftn_scope plain = {.g = s->g, .params = s->params[0], .training = true};
    const sftn_scope attached = {.g = s->g, .params = s->params[1], .training = true};
    const sftn_teacher_args args = {.g = s->g,
                                    .teacher_scope = &plain,
                                    .branch_scope = &attached,
                                    .teacher = teacher,
                                    .student = student,
                                    .image = image,
                                    .labels = labels,
                                    .classes = s->classes,
                                    .options = options,
                                    .branches = &branches};
    const sftn_taps taps = scheme->build(&args, &terms);

    total = publish_step(s, &taps, &terms, &branches);
    sftn_verify_fill_params(s->params[0]);
    sftn_verify_fill_params(s->params[1]);
    status = sftn_graph_backward(s->g, total, NULL, err);
    if (status == SFTN_OK)
        status = subject_run(s, v, err);
    return status == SFTN_OK ? check_teacher_step(v, s, &branches, err) : status;
}

sftn_status sftn_verify_teacher(sftn_verify_case *v, sftn_error *err)
{
    const sftn_teacher_scheme *scheme = sftn_teacher_find("sftn", NULL);
    subject s = {0};
    sftn_model teacher, student;
    const char *teacher_name, *student_name;
    void *options = NULL;
    sftn_status status = sftn_meta_text(v->file, "teacher", &teacher_name, err);

    if (status == SFTN_OK)
        status = sftn_meta_text(v->file, "student", &student_name, err);
    if (status != SFTN_OK)
        return status;
    if (!scheme || sftn_model_find(teacher_name, &teacher, NULL) != SFTN_OK ||
        sftn_model_find(student_name, &student, NULL) != SFTN_OK) {
        v->missing = true;
        return SFTN_OK;
    }
    status = teacher_options(v->file, scheme, &options, err);
    if (status == SFTN_OK)
        status = subject_open(&s, 2, v->file, err);
    if (status == SFTN_OK)
        status = run_teacher_step(v, &s, scheme, &teacher, &student, options, err);
    subject_free(&s);
    free(options);
    return status;
}
