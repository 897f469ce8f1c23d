/*
 * verify_loss: a distillation method's loss and gradients on stored inputs.
 *
 * A file holds logits_s, logits_t and labels, or pairs of features feat_s.i and feat_t.i of student
 * and teacher; with feat_t.i may come norm_t.i.scale and norm_t.i.offset, those of the batch norm
 * that made it.  Where it holds the method's own parameters, param.NAME, the features are taps and
 * pass through the method's layers; otherwise they have passed already, and the loss alone is
 * compared.  Where the method takes several views, logits and features have the rows of all.
 * "loss" may be split over pairs: its sum counts, and the gradient is that of the sum.
 *
 * A loss of singular vectors is defined up to their signs, one for each image and pair, which a
 * file has from the library that computed it.  Negating an image's maps of one pair, and their
 * gradient, changes nothing else: each image is taken with the signs that come nearest to the file.
 */
#include "report/verify.h"

#include "base/base.h"
#include "sftn/distill.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names of losses in reference files that are not the method's name here. */
static const struct {
    const char *name, *method;
    int phase; /* from 1; 0: the main one */
} alias[] = {
    {"attention", "at", 0}, {"hint", "fitnet", 0},         {"similarity", "sp", 0},
    {"abound", "ab", 1},    {"reviewkd_hcl", "reviewkd", 0}, {"correlation", "cc", 0},
    {"factor", "ft", 0},    {"paraphraser", "ft", 1},      {"fsp", "fsp", 1},
    {"sskd_head", "sskd", 1},
};

/* Settings in the metadata that are options of methods. */
static const char *const setting[][2] = {
    {"T", "temperature"}, {"p", "p"},           {"p1", "p"},           {"alpha", "alpha"},
    {"beta", "beta"},     {"gamma", "gamma"},   {"margin", "margin"},  {"w_angle", "angle"},
    {"k", "k"},           {"dim", "dim"},       {"w_distance", "distance"},
    {"T_turned", "turned-temperature"},         {"T_similarity", "similarity-temperature"},
    {"w_normal", "normal-weight"},              {"w_turned", "turned-weight"},
    {"w_similarity", "similarity-weight"},      {"keep_turned", "turned-keep"},
    {"keep_similarity", "similarity-keep"},     {"vectors", "vectors"},
};

/* Methods whose pairs have a sign of their own for each image. */
static const char *const sign_free[] = {"kdsvd"};

enum { MAX_INPUTS = 4 * SFTN_MAX_PAIRS + 3 };

/* An array of the file that is an input of the graph. */
typedef struct input {
    const sftn_array *array;
    sftn_value value;
    bool student; /* its gradient is compared */
    int pair;     /* which pair it belongs to, -1: none */
} input;

typedef struct loss_graph {
    sftn_graph *g;
    sftn_params *params;
    sftn_plan *plan;
    void *options;
    input in[MAX_INPUTS];
    int nin;
    const sftn_distill_phase *phase; /* of the method; NULL: the main one */
    sftn_tap_pair pair[SFTN_MAX_PAIRS];
    int npairs;
    sftn_value labels;
    double *sign; /* [npairs][images], 1 or -1 */
} loss_graph;

static void loss_graph_free(loss_graph *l)
{
    sftn_plan_free(l->plan);
    sftn_graph_free(l->g);
    sftn_params_free(l->params);
    free(l->options);
    free(l->sign);
}

/* ---- inputs ---- */

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
        .array = a, .value = sftn_graph_input(l->g, name, type), .student = student, .pair = -1};
    return l->in[l->nin++].value;
}

/* A vector of the file, one number for each channel, as [1,C,1,1]. */
static sftn_value add_vector(loss_graph *l, const sftn_tensors *t, int i, const char *entry)
{
    char name[48];
    sftn_value v;

    snprintf(name, sizeof name, "norm_t.%d.%s", i, entry);
    v = add_input(l, t, name, false);
    if (sftn_is_none(v))
        return v;
    return sftn_reshape(l->g, v, SFTN_SHAPE(1, sftn_value_shape(l->g, v).dim[SFTN_N], 1, 1));
}

static void add_inputs(loss_graph *l, const sftn_tensors *t)
{
    sftn_tap_pair *p = l->pair;

    p->student = add_input(l, t, "logits_s", true);
    p->teacher = add_input(l, t, "logits_t", false);
    l->npairs = !sftn_is_none(p->student) && !sftn_is_none(p->teacher);
    for (int i = 0; l->npairs < SFTN_MAX_PAIRS; i++, l->npairs++) {
        char s[32], d[32];

        snprintf(s, sizeof s, "feat_s.%d", i);
        snprintf(d, sizeof d, "feat_t.%d", i);
        if (!sftn_tensors_find(t, s) || !sftn_tensors_find(t, d))
            break;
        p = &l->pair[l->npairs];
        snprintf(p->student_name, sizeof p->student_name, "%.20s", s);
        snprintf(p->teacher_name, sizeof p->teacher_name, "%.20s", d);
        p->student = add_input(l, t, s, true);
        p->teacher = add_input(l, t, d, false);
        for (int k = 1; k <= 2 && k <= l->nin; k++)
            l->in[l->nin - k].pair = l->npairs;
        p->norm.scale = add_vector(l, t, i, "scale");
        p->norm.offset = add_vector(l, t, i, "offset");
    }
    l->labels = add_input(l, t, "labels", false);
}

/* The sign with which element j of an input's array is taken, and its gradient. */
static double sign_of(const loss_graph *l, const input *in, int64_t j)
{
    const int64_t images = in->array->dim[0];

    if (in->pair < 0)
        return 1.0;
    return l->sign[in->pair * images + j / (in->array->count / images)];
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
            values[j] = sign_of(l, &l->in[i], j) * sftn_array_number(a, j);
        status = sftn_plan_write(l->plan, a->name, values, err);
        free(values);
    }
    return status;
}

/* ---- the graph ---- */

static bool has_parameters(const sftn_tensors *t)
{
    for (int i = 0; i < sftn_tensors_count(t); i++)
        if (strncmp(sftn_tensors_get(t, i)->name, "param.", 6) == 0)
            return true;
    return false;
}

static sftn_value add_loss(loss_graph *l, const sftn_distiller *m, bool adapt)
{
    const sftn_scope scope = {.g = l->g, .params = l->params, .training = true};
    const sftn_distill_args args = {
        .g = l->g,
        .scope = &scope,
        .pair = l->pair,
        .npairs = l->npairs,
        .labels = l->labels,
        .classes = (int)sftn_value_shape(l->g, l->pair[0].student).dim[SFTN_C],
        .options = l->options,
    };
    sftn_value loss;

    if (adapt && l->phase && l->phase->adapt)
        l->phase->adapt(&args, l->pair);
    else if (adapt && !l->phase && m->adapt)
        m->adapt(&args, l->pair);
    loss = l->phase ? l->phase->loss(&args) : m->loss(&args);
    sftn_graph_output(l->g, "loss", loss);
    return loss;
}

/* Output "grad.NAME", where the file has that gradient. */
static sftn_status add_gradient(loss_graph *l, const sftn_tensors *t, sftn_value loss,
                                const char *of, sftn_value value, sftn_error *err)
{
    char name[192];
    sftn_value grad;
    sftn_status status;

    snprintf(name, sizeof name, "grad.%s", of);
    if (!sftn_tensors_find(t, name))
        return SFTN_OK;
    status = sftn_graph_gradients(l->g, loss, &value, 1, &grad, err);
    if (status == SFTN_OK)
        sftn_graph_output(l->g, name, grad);
    return status;
}

static sftn_status add_gradients(loss_graph *l, const sftn_tensors *t, sftn_value loss,
                                 sftn_error *err)
{
    sftn_status status = SFTN_OK;

    for (int i = 0; i < l->nin && status == SFTN_OK; i++)
        if (l->in[i].student)
            status = add_gradient(l, t, loss, l->in[i].array->name, l->in[i].value, err);
    for (int i = 0; i < sftn_params_count(l->params) && status == SFTN_OK; i++) {
        char name[160];

        snprintf(name, sizeof name, "grad.param.%s", sftn_params_get(l->params, i)->name);
        if (sftn_tensors_find(t, name))
            status = add_gradient(l, t, loss, name + strlen("grad."),
                                  sftn_graph_param(l->g, l->params, i, false), err);
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
    if (!m->options)
        return SFTN_OK;
    sftn_options_default(m->options, l->options);
    for (size_t i = 0; i < SFTN_COUNT(setting) && status == SFTN_OK; i++) {
        const char *text = sftn_tensors_meta(t, setting[i][0]);

        if (text && sftn_options_find(m->options, setting[i][1]))
            status = sftn_options_set(m->options, l->options, setting[i][1], text, err);
    }
    return status;
}

static sftn_status compile(loss_graph *l, const sftn_verify_case *v, const sftn_distiller *m,
                           sftn_error *err)
{
    const bool adapt = has_parameters(v->file);
    sftn_status status = set_options(l, v->file, m, err);
    sftn_value loss;

    if (status != SFTN_OK)
        return status;
    loss = add_loss(l, m, adapt);
    status = sftn_graph_status(l->g, err);
    if (status == SFTN_OK)
        status = add_gradients(l, v->file, loss, err);
    if (status == SFTN_OK)
        status = sftn_graph_status(l->g, err);
    if (status == SFTN_OK && adapt)
        status = sftn_tensors_read_params(v->file, "param.", l->params, err);
    if (status == SFTN_OK)
        status = sftn_plan_new(l->g, v->plan, &l->plan, err);
    return status;
}

/* ---- comparing ---- */

static sftn_status compare_loss(sftn_verify_case *v, const loss_graph *l, sftn_error *err)
{
    const sftn_array *array = sftn_tensors_find(v->file, "loss");
    double want = 0.0, got;
    sftn_status status;

    if (!array || array->element != SFTN_ELEMENT_F32 || array->count < 1)
        return sftn_fail(err, SFTN_ERR_FORMAT, "there is no float32 array \"loss\"");
    for (int64_t i = 0; i < array->count; i++)
        want += (double)((const float *)array->data)[i];
    status = sftn_plan_read(l->plan, "loss", &got, err);
    if (status == SFTN_OK)
        sftn_check_add(&v->value, fabs(got - want) / (want == 0.0 ? 1.0 : fabs(want)), "loss");
    return status;
}

/* The gradient called name by an input, signs undone; NULL with *status set on failure. */
static double *read_gradient(const loss_graph *l, const input *in, const char *name,
                             sftn_status *status, sftn_error *err)
{
    double *grad = sftn_calloc((size_t)in->array->count, sizeof *grad);

    *status = grad ? sftn_plan_read(l->plan, name, grad, err)
                   : sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for %s", name);
    if (*status == SFTN_OK) {
        for (int64_t j = 0; j < in->array->count; j++)
            grad[j] *= sign_of(l, in, j);
        return grad;
    }
    free(grad);
    return NULL;
}

static sftn_status compare(sftn_verify_case *v, const loss_graph *l, sftn_error *err)
{
    sftn_status status = compare_loss(v, l, err);

    for (int i = 0; i < l->nin && status == SFTN_OK; i++) {
        const input *in = &l->in[i];
        char name[192];
        double *grad;

        snprintf(name, sizeof name, "grad.%s", in->array->name);
        if (!in->student || !sftn_tensors_find(v->file, name))
            continue;
        grad = read_gradient(l, in, name, &status, err);
        if (grad)
            status = sftn_check_array(&v->grad, v->file, name, grad, in->array->count, err);
        free(grad);
    }
    for (int i = 0; i < sftn_params_count(l->params) && status == SFTN_OK; i++) {
        const sftn_param *p = sftn_params_get(l->params, i);
        char name[192];

        snprintf(name, sizeof name, "grad.param.%s", p->name);
        if (sftn_tensors_find(v->file, name))
            status = sftn_check_output(&v->grad, v->file, l->plan, name, p->count, err);
    }
    return status;
}

/* ---- signs ---- */

/* Add to error[images] the squared deviation of every gradient, relative to its own size. */
static sftn_status add_errors(const loss_graph *l, const sftn_tensors *t, double *error,
                              sftn_error *err)
{
    sftn_status status = SFTN_OK;

    for (int i = 0; i < l->nin && status == SFTN_OK; i++) {
        const sftn_array *a = l->in[i].array, *want;
        const int64_t each = a->count / a->dim[0];
        char name[192];
        double *grad, size = 0.0;

        snprintf(name, sizeof name, "grad.%s", a->name);
        if (!l->in[i].student)
            continue;
        status = sftn_tensors_expect(t, name, SFTN_ELEMENT_F32, a->count, &want, err);
        grad = status ? NULL : read_gradient(l, &l->in[i], name, &status, err);
        for (int64_t j = 0; grad && j < a->count; j++)
            size += pow((double)((const float *)want->data)[j], 2.0);
        for (int64_t j = 0; grad && j < a->count; j++)
            error[j / each] += pow(grad[j] - (double)((const float *)want->data)[j], 2.0) / size;
        free(grad);
    }
    return status;
}

/* Set l->sign to the best for each image, of all combinations of the pairs after the first. */
static sftn_status search_signs(loss_graph *l, const sftn_tensors *t, double *best, double *least,
                                sftn_error *err)
{
    const int64_t images = l->in[0].array->dim[0];
    double *error = least + images;
    sftn_status status = SFTN_OK;

    for (int set = 0; set < 1 << (l->npairs - 1) && status == SFTN_OK; set++) {
        for (int64_t k = 0; k < l->npairs * images; k++)
            l->sign[k] = k >= images && set >> (k / images - 1) & 1 ? -1.0 : 1.0;
        memset(error, 0, (size_t)images * sizeof *error);
        status = write_inputs(l, err);
        if (status == SFTN_OK)
            status = sftn_plan_run(l->plan, err);
        if (status == SFTN_OK)
            status = add_errors(l, t, error, err);
        for (int64_t n = 0; n < images && status == SFTN_OK; n++) {
            if (set > 0 && !(error[n] < least[n]))
                continue;
            least[n] = error[n];
            for (int64_t i = 0; i < l->npairs; i++)
                best[i * images + n] = l->sign[i * images + n];
        }
    }
    memcpy(l->sign, best, (size_t)(l->npairs * images) * sizeof *best);
    return status;
}

static sftn_status choose_signs(loss_graph *l, const sftn_distiller *m, const sftn_tensors *t,
                                sftn_error *err)
{
    const int64_t images = l->in[0].array->dim[0], count = l->npairs * images;
    double *best;
    sftn_status status = SFTN_OK;

    l->sign = sftn_calloc((size_t)count, sizeof *l->sign);
    best = sftn_calloc((size_t)(count + 2 * images), sizeof *best);
    if (!l->sign || !best)
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for signs");
    for (int64_t k = 0; k < count && status == SFTN_OK; k++)
        l->sign[k] = 1.0;
    for (size_t i = 0; i < SFTN_COUNT(sign_free) && status == SFTN_OK; i++)
        if (strcmp(m->name, sign_free[i]) == 0)
            status = search_signs(l, t, best, best + count, err);
    free(best);
    return status;
}

static sftn_status run_loss(sftn_verify_case *v, loss_graph *l, const sftn_distiller *m,
                            sftn_error *err)
{
    sftn_status status;

    v->method = m->name;
    l->phase = v->phase > 0 ? &m->phase[v->phase - 1] : NULL;
    status = compile(l, v, m, err);
    if (status == SFTN_OK)
        status = choose_signs(l, m, v->file, err);
    if (status == SFTN_OK)
        status = write_inputs(l, err);
    if (status == SFTN_OK)
        status = sftn_plan_run(l->plan, err);
    return status == SFTN_OK ? compare(v, l, err) : status;
}

/* The method, and its phase in *phase (0: the main one), that a file's loss is of. */
static const sftn_distiller *find_method(const char *name, int *phase)
{
    *phase = 0;
    for (size_t i = 0; i < SFTN_COUNT(alias); i++) {
        if (strcmp(name, alias[i].name) != 0)
            continue;
        *phase = alias[i].phase;
        return sftn_distiller_find(alias[i].method, NULL);
    }
    return sftn_distiller_find(name, NULL);
}

sftn_status sftn_verify_loss(sftn_verify_case *v, sftn_error *err)
{
    loss_graph l = {.nin = 0};
    const sftn_mutual *mutual;
    const sftn_distiller *m;
    const char *name;
    sftn_status status = sftn_meta_text(v->file, "loss", &name, err);

    if (status == SFTN_OK && sftn_tensors_find(v->file, "memory_s.0"))
        return sftn_verify_steps(v, err);
    mutual = status == SFTN_OK ? sftn_mutual_find(name, NULL) : NULL;
    if (mutual)
        return sftn_verify_mutual(v, mutual, err);
    l.g = sftn_graph_new();
    l.params = sftn_params_new();
    if (status == SFTN_OK && (!l.g || !l.params))
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a graph");
    if (status == SFTN_OK) {
        add_inputs(&l, v->file);
        m = find_method(name, &v->phase);
        if (!m || l.npairs == 0)
            v->missing = true;
        else
            status = run_loss(v, &l, m, err);
    }
    loss_graph_free(&l);
    return status;
}
