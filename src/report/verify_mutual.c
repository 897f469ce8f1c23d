/*
 * verify_mutual: what networks learn from one another, on stored answers.
 *
 * A file holds the answers of networks logits.0, logits.1, ... and labels, each network's loss, and
 * the loss's gradients by the network's own answers, grad.logits.i.  Metadata option.NAME are the
 * method's options.  Where those ask for a survey, there are answers to held-out images, held.0,
 * held.1, ... and held_labels, and the state that is made of them, under its name.
 */
#include "report/verify.h"

#include "base/base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct peers {
    const sftn_mutual *method;
    void *options;
    sftn_params *own; /* the method's */
    sftn_graph *g;    /* of the losses */
    sftn_plan *plan;
    int n;
} peers;

static void peers_free(peers *p)
{
    sftn_plan_free(p->plan);
    sftn_graph_free(p->g);
    sftn_params_free(p->own);
    free(p->options);
}

static const char *numbered(char *name, size_t size, const char *format, int i)
{
    snprintf(name, size, "%s.%d", format, i);
    return name;
}

/* ---- inputs ---- */

/* An array of the file as an input: answers [N,K,1,1], labels [N,1,1,1]. */
static sftn_status add_input(sftn_graph *g, const sftn_tensors *t, const char *name, int rank,
                             sftn_value *value, sftn_error *err)
{
    const sftn_array *a = sftn_tensors_find(t, name);

    if (!a || a->rank != rank || (a->element != SFTN_ELEMENT_I64 && a->element != SFTN_ELEMENT_F32))
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "there is no float32 or int64 array \"%s\" of %d dimensions", name, rank);
    *value = sftn_graph_input(
        g, name, (sftn_type){SFTN_SHAPE(a->dim[0], rank > 1 ? a->dim[1] : 1, 1, 1), true});
    return SFTN_OK;
}

/* The answers called NAME.i as inputs of g, and their labels. */
static sftn_status add_answers(const peers *p, const sftn_tensors *t, const char *name,
                               const char *labels, sftn_mutual_args *args, sftn_error *err)
{
    sftn_status status = add_input(args->g, t, labels, 1, &args->labels, err);
    char full[32];

    args->n = p->n;
    args->options = p->options;
    for (int i = 0; i < p->n && !status; i++)
        status = add_input(args->g, t, numbered(full, sizeof full, name, i), 2, &args->logits[i],
                           err);
    if (!status)
        args->classes = (int)sftn_value_shape(args->g, args->logits[0]).dim[SFTN_C];
    return status;
}

static sftn_status write_input(sftn_plan *plan, const sftn_tensors *t, const char *name,
                               sftn_error *err)
{
    const sftn_array *a = sftn_tensors_find(t, name);
    double *values;
    sftn_status status;

    if (!sftn_plan_input(plan, name))
        return SFTN_OK;
    values = sftn_calloc((size_t)a->count, sizeof *values);
    if (!values)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for %s", name);
    for (int64_t j = 0; j < a->count; j++)
        values[j] = sftn_array_number(a, j);
    status = sftn_plan_write(plan, name, values, err);
    free(values);
    return status;
}

static sftn_status run(const peers *p, sftn_plan *plan, const sftn_tensors *t, const char *name,
                       const char *labels, sftn_error *err)
{
    sftn_status status = write_input(plan, t, labels, err);
    char full[32];

    for (int i = 0; i < p->n && !status; i++)
        status = write_input(plan, t, numbered(full, sizeof full, name, i), err);
    return status ? status : sftn_plan_run(plan, err);
}

/* ---- the survey ---- */

/* The mean of the output "row" over its images. */
static sftn_status read_mean(const sftn_plan *plan, sftn_shape shape, double *mean,
                             sftn_error *err)
{
    const int64_t images = shape.dim[SFTN_N], columns = sftn_shape_count(&shape) / images;
    double *row = sftn_calloc((size_t)(images * columns), sizeof *row);
    sftn_status status = row ? sftn_plan_read(plan, "row", row, err)
                             : sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a survey");

    for (int64_t k = 0; k < images * columns && !status; k++)
        mean[k % columns] += row[k] / (double)images;
    free(row);
    return status;
}

/* Settle the method's state by the held-out answers, and compare it. */
static sftn_status settle(sftn_verify_case *v, const peers *p, const sftn_mutual_survey *s,
                          const double *mean, sftn_error *err)
{
    char name[96];
    double *found;
    float *state;
    int64_t count;
    sftn_status status;
    int i;

    snprintf(name, sizeof name, "%s.%s", p->method->name, s->state);
    i = sftn_params_find(p->own, name);
    state = sftn_params_value(p->own, i);
    count = sftn_params_get(p->own, i)->count;
    found = sftn_calloc((size_t)count, sizeof *found);
    if (!found)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for %s", name);
    s->settle(p->options, p->n, mean, state);
    for (int64_t k = 0; k < count; k++)
        found[k] = (double)state[k];
    status = sftn_check_array(&v->value, v->file, s->state, found, count, err);
    free(found);
    return status;
}

static sftn_status survey(sftn_verify_case *v, const peers *p, const sftn_mutual_survey *s,
                          sftn_error *err)
{
    sftn_mutual_args args = {.g = sftn_graph_new()};
    sftn_plan *plan = NULL;
    sftn_value row = SFTN_NONE;
    double *mean = NULL;
    sftn_status status = args.g ? add_answers(p, v->file, "held", "held_labels", &args, err)
                                : sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a graph");

    if (!status) {
        row = s->row(&args);
        sftn_graph_output(args.g, "row", row);
        status = sftn_graph_status(args.g, err);
    }
    if (!status)
        status = sftn_plan_new(args.g, v->plan, &plan, err);
    if (!status)
        status = run(p, plan, v->file, "held", "held_labels", err);
    if (!status) {
        const sftn_shape shape = sftn_value_shape(args.g, row);

        mean = sftn_calloc((size_t)sftn_shape_count(&shape), sizeof *mean);
        status = mean ? read_mean(plan, shape, mean, err)
                      : sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a survey");
    }
    if (!status)
        status = settle(v, p, s, mean, err);
    free(mean);
    sftn_plan_free(plan);
    sftn_graph_free(args.g);
    return status;
}

/* ---- losses ---- */

static sftn_status set_options(const peers *p, const sftn_tensors *t, sftn_error *err)
{
    const sftn_option *table = p->method->options;
    sftn_status status = SFTN_OK;

    if (!p->options)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for options");
    sftn_options_default(table, p->options);
    for (int i = 0; table[i].name && !status; i++) {
        const char *text;
        char key[64];

        snprintf(key, sizeof key, "option.%s", table[i].name);
        text = sftn_tensors_meta(t, key);
        if (text)
            status = sftn_options_set(table, p->options, table[i].name, text, err);
    }
    return status;
}

/* Outputs "loss.i" and "grad.logits.i". */
static sftn_status build(const peers *p, const sftn_tensors *t, sftn_error *err)
{
    const sftn_scope root = {.g = p->g, .params = p->own, .training = true};
    const sftn_scope scope = sftn_scope_in(&root, "%s", p->method->name);
    sftn_mutual_args args = {.g = p->g, .scope = &scope};
    sftn_status status = add_answers(p, t, "logits", "labels", &args, err);

    for (int i = 0; i < p->n && !status; i++) {
        const sftn_value loss = p->method->loss(&args, i);
        sftn_value grad;
        char name[32];

        sftn_graph_output(p->g, numbered(name, sizeof name, "loss", i), loss);
        status = sftn_graph_gradients(p->g, loss, &args.logits[i], 1, &grad, err);
        if (!status)
            sftn_graph_output(p->g, numbered(name, sizeof name, "grad.logits", i), grad);
    }
    return status ? status : sftn_graph_status(p->g, err);
}

static sftn_status compare(sftn_verify_case *v, const peers *p, sftn_error *err)
{
    double loss[SFTN_MAX_PEERS];
    sftn_status status = SFTN_OK;
    char name[32];

    for (int i = 0; i < p->n && !status; i++)
        status = sftn_plan_read(p->plan, numbered(name, sizeof name, "loss", i), &loss[i], err);
    if (!status)
        status = sftn_check_array(&v->value, v->file, "loss", loss, p->n, err);
    for (int i = 0; i < p->n && !status; i++) {
        const sftn_array *logits =
            sftn_tensors_find(v->file, numbered(name, sizeof name, "logits", i));

        status = sftn_check_output(&v->grad, v->file, p->plan,
                                   numbered(name, sizeof name, "grad.logits", i), logits->count,
                                   err);
    }
    return status;
}

static sftn_status verify(sftn_verify_case *v, peers *p, sftn_error *err)
{
    const sftn_mutual_survey *asked;
    sftn_status status = set_options(p, v->file, err);

    if (!status)
        status = build(p, v->file, err);
    if (status)
        return status;
    sftn_params_init(p->own, 1);
    asked = p->method->survey ? p->method->survey(p->options) : NULL;
    if (asked)
        status = survey(v, p, asked, err);
    if (!status)
        status = sftn_plan_new(p->g, v->plan, &p->plan, err);
    if (!status)
        status = run(p, p->plan, v->file, "logits", "labels", err);
    return status ? status : compare(v, p, err);
}

sftn_status sftn_verify_mutual(sftn_verify_case *v, const sftn_mutual *method, sftn_error *err)
{
    peers p = {.method = method, .g = sftn_graph_new(), .own = sftn_params_new()};
    char name[32];
    sftn_status status;

    while (p.n < SFTN_MAX_PEERS &&
           sftn_tensors_find(v->file, numbered(name, sizeof name, "logits", p.n)))
        p.n++;
    p.options = sftn_calloc(1, method->options_size);
    v->method = method->name;
    if (!p.g || !p.own)
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a graph");
    else if (p.n < 2)
        status = sftn_fail(err, SFTN_ERR_FORMAT, "there are the answers of %d networks, expected "
                           "2 to %d: logits.0, logits.1, ...", p.n, SFTN_MAX_PEERS);
    else
        status = verify(v, &p, err);
    peers_free(&p);
    return status;
}
