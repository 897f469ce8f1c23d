/*
 * step: from a job to a plan that computes its loss and gradients for one batch size.
 */
#include "train/step.h"

#include "graph/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- batches into plans ---- */

bool sftn_feed_has(const char *input)
{
    return strcmp(input, "image") == 0 || strcmp(input, "labels") == 0 ||
           strcmp(input, "record") == 0 || strcmp(input, "epoch") == 0;
}

sftn_status sftn_feed_open(sftn_feed *f, const sftn_plan *plan, sftn_error *err)
{
    f->image = sftn_plan_input(plan, "image");
    f->labels = sftn_plan_input(plan, "labels");
    f->record = sftn_plan_input(plan, "record");
    f->epoch = sftn_plan_input(plan, "epoch");
    if (!f->image)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "what is computed does not depend on the images");
    return SFTN_OK;
}

void sftn_feed_loader(const sftn_feed *f, sftn_loader_options *options)
{
    options->batch = f->image->shape.dim[SFTN_N];
    options->layout = f->image->layout;
    options->dtype = f->image->dtype == SFTN_BF16 ? SFTN_BF16 : SFTN_F32;
}

/* count numbers of type float to a tensor of float or double. */
static void write_floats(const sftn_tensor *t, const float *src, int64_t count)
{
    if (t->dtype == SFTN_F64)
        for (int64_t i = 0; i < count; i++)
            ((double *)t->data)[i] = (double)src[i];
    else
        memcpy(t->data, src, (size_t)count * sizeof *src);
}

void sftn_feed_images(const sftn_feed *f, const sftn_batch *batch)
{
    const sftn_shape *shape = &f->image->shape;
    const int64_t count =
        batch->views * batch->n * (sftn_shape_count(shape) / shape->dim[SFTN_N]);

    if (f->image->dtype == SFTN_BF16)
        memcpy(f->image->data, batch->images, (size_t)count * sizeof(uint16_t));
    else
        write_floats(f->image, batch->images, count);
}

void sftn_feed_labels(const sftn_feed *f, const sftn_batch *batch)
{
    if (f->labels)
        write_floats(f->labels, batch->labels, batch->n);
    for (int64_t i = 0; f->record && i < batch->n; i++)
        if (f->record->dtype == SFTN_F64)
            ((double *)f->record->data)[i] = (double)batch->index[i];
        else
            ((float *)f->record->data)[i] = (float)batch->index[i];
}

void sftn_feed_write(const sftn_feed *f, const sftn_batch *batch)
{
    sftn_feed_images(f, batch);
    sftn_feed_labels(f, batch);
}

void sftn_feed_epoch(const sftn_feed *f, int64_t epoch)
{
    const float number = (float)epoch;

    if (f->epoch)
        write_floats(f->epoch, &number, 1);
}

/* ---- the graph of a step ---- */

sftn_status sftn_job_build(sftn_job *job, int phase, sftn_shape image, sftn_job_graph *jg,
                           sftn_error *err)
{
    const sftn_shape rows = SFTN_SHAPE(image.dim[SFTN_N], 1, 1, 1);
    sftn_status status;

    *jg = (sftn_job_graph){.g = sftn_graph_new(), .phase = phase, .classes = job->classes};
    if (!jg->g)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", job->model->name);
    image.dim[SFTN_N] = sftn_views_rows(job->views, image.dim[SFTN_N]);
    jg->image = sftn_graph_input(jg->g, "image", (sftn_type){.shape = image});
    jg->labels = sftn_graph_input(jg->g, "labels", (sftn_type){.shape = rows, .wide = true});
    jg->record = sftn_graph_input(jg->g, "record", (sftn_type){.shape = rows, .wide = true});
    jg->epoch = sftn_graph_input(
        jg->g, "epoch", (sftn_type){.shape = SFTN_SHAPE(1, 1, 1, 1), .wide = true});
    job->build(job->self, jg);
    status = sftn_graph_status(jg->g, err);
    if (!status && sftn_is_none(jg->logits) && phase == job->nphases)
        status = sftn_fail(err, SFTN_ERR_ARGUMENT, "the job says nothing of its answers");
    if (status)
        sftn_fail_in(err, "%s", job->model->name);
    return status;
}

/* Sum of weight * factor * value over the terms that have a weight, of one group or of all (-1). */
static sftn_value total_loss(sftn_graph *g, const sftn_terms *terms, int group)
{
    sftn_value total = SFTN_NONE;

    for (int i = 0; i < terms->n; i++) {
        const sftn_term *t = &terms->term[i];
        sftn_value part = t->value;

        if (t->weight == 0.0f || (group >= 0 && t->group != group))
            continue;
        if (t->weight != 1.0f)
            part = sftn_scale(g, part, t->weight);
        if (!sftn_is_none(t->factor))
            part = sftn_mul(g, part, t->factor);
        total = sftn_is_none(total) ? part : sftn_add(g, total, part);
    }
    return total;
}

static void add_outputs(const sftn_job_graph *jg, sftn_value loss)
{
    sftn_graph_output(jg->g, "loss", loss);
    if (!sftn_is_none(jg->logits)) {
        sftn_graph_output(jg->g, "logits", jg->logits);
        sftn_graph_output(jg->g, "rank", sftn_rank(jg->g, jg->logits, jg->labels));
    }
    for (int i = 0; i < jg->terms.n; i++) {
        char name[16];

        snprintf(name, sizeof name, "term%d", i);
        sftn_graph_output(jg->g, name, jg->terms.term[i].value);
    }
}

/* ---- what is trained ---- */

int sftn_trained_leaves(const sftn_graph *g, const sftn_params *only, sftn_value *leaf)
{
    int n = 0;

    for (int i = 0; i < g->nnodes; i++) {
        const sftn_leaf *l = sftn_value_leaf(g, g->node[i].out[0]);

        if (!l || l->kind != SFTN_LEAF_PARAM || l->frozen || (only && l->params != only))
            continue;
        if (sftn_params_get(l->params, l->index)->kind == SFTN_PARAM_WEIGHT)
            leaf[n++] = g->node[i].out[0];
    }
    return n;
}

/* Whether g delivers a gradient of that entry. */
static bool is_trained(const sftn_graph *g, const sftn_params *params, int index)
{
    for (int i = 0; i < g->nsinks; i++)
        if (g->sink[i].kind == SFTN_SINK_GRAD && g->sink[i].params == params &&
            g->sink[i].index == index)
            return true;
    return false;
}

/* The groups that reach entry i of a store, as bits. */
static int groups_of(const sftn_graph *g, const sftn_optimizer *o, int store, int i)
{
    const sftn_params *p = o->params[store], *second = o->second[store];
    const char *name = sftn_params_get(p, i)->name;

    return (is_trained(g, p, i) ? 1 : 0) |
           (second && is_trained(g, second, sftn_params_find(second, name)) ? 2 : 0);
}

/* The spans of the entries whose gradient the graph delivers; s->span has room for all entries. */
static void find_spans(sftn_train_step *s, const sftn_optimizer *o)
{
    for (int store = 0; store < o->nstores; store++) {
        sftn_params *p = o->params[store];
        sftn_span *open = NULL; /* ends where the next weight begins */

        for (int i = 0; i < sftn_params_count(p); i++) {
            const sftn_param *e = sftn_params_get(p, i);
            int groups;

            if (e->kind != SFTN_PARAM_WEIGHT)
                continue;
            groups = groups_of(s->graph, o, store, i);
            if (open)
                open->count = e->offset - open->begin;
            if (groups == 0)
                open = NULL;
            else if (!open || open->groups != groups)
                *(open = &s->span[s->nspans++]) =
                    (sftn_span){.store = store, .groups = groups, .begin = e->offset};
        }
        if (open)
            open->count = sftn_params_weight_size(p) - open->begin;
    }
}

/* The store, and the entry of it, that take the gradient of a leaf in its group. */
static sftn_params *grad_store(const sftn_optimizer *o, const sftn_leaf *l, int group, int *index)
{
    *index = l->index;
    for (int i = 0; i < o->nstores && group == 1; i++)
        if (o->params[i] == l->params) {
            *index = sftn_params_find(o->second[i], sftn_params_get(l->params, l->index)->name);
            return o->second[i];
        }
    return l->params;
}

/* Deliver the gradients of a loss for every weight that it reaches. */
static sftn_status deliver(sftn_graph *g, const sftn_optimizer *o, sftn_value loss, int group,
                           const sftn_value *leaf, int n, sftn_error *err)
{
    sftn_value *grad = sftn_calloc((size_t)n + 1, sizeof *grad);
    sftn_status status = grad ? sftn_graph_gradients(g, loss, leaf, n, grad, err)
                              : sftn_fail(err, SFTN_ERR_MEMORY, "gradients: out of memory");

    for (int i = 0; i < n && !status; i++) {
        int index;
        sftn_params *store = grad_store(o, sftn_value_leaf(g, leaf[i]), group, &index);

        if (!sftn_is_none(grad[i]))
            sftn_graph_grad(g, store, index, grad[i]);
    }
    free(grad);
    return status ? status : sftn_graph_status(g, err);
}

/* The groups of the terms, each by itself. */
static sftn_status differentiate_groups(sftn_train_step *s, const sftn_optimizer *o,
                                        const sftn_value *leaf, int n, sftn_error *err)
{
    sftn_status status = SFTN_OK;

    for (int group = 0; group < 2 && !status; group++) {
        const sftn_value loss = total_loss(s->graph, &s->terms, group);

        if (sftn_is_none(loss))
            return sftn_fail(err, SFTN_ERR_ARGUMENT,
                             "DOT keeps the momentum of the task apart from that of what is "
                             "distilled, but the loss has no term of the %s with a weight",
                             group ? "latter" : "former");
        status = deliver(s->graph, o, loss, group, leaf, n, err);
    }
    return status;
}

static sftn_status differentiate(sftn_train_step *s, const sftn_optimizer *o, sftn_value loss,
                                 sftn_error *err)
{
    sftn_graph *g = s->graph;
    sftn_value *leaf = sftn_calloc((size_t)g->nnodes + 1, sizeof *leaf);
    sftn_status status = SFTN_OK;
    size_t entries = 1;
    int n = 0;

    for (int i = 0; i < o->nstores; i++)
        entries += (size_t)sftn_params_count(o->params[i]);
    s->span = sftn_calloc(entries, sizeof *s->span);
    if (leaf && s->span)
        n = sftn_trained_leaves(g, NULL, leaf);
    else
        status = sftn_fail(err, SFTN_ERR_MEMORY, "gradients: out of memory");
    if (!status && s->main && o->sgd.dot > 0.0)
        status = differentiate_groups(s, o, leaf, n, err);
    else if (!status)
        status = deliver(g, o, loss, 0, leaf, n, err);
    if (!status)
        find_spans(s, o);
    free(leaf);
    return status;
}

sftn_status sftn_train_step_build(sftn_train_step *s, sftn_job *job, int phase,
                                  const sftn_optimizer *o, sftn_shape image, sftn_error *err)
{
    sftn_job_graph jg;
    sftn_value loss;
    sftn_status status = sftn_job_build(job, phase, image, &jg, err);

    *s = (sftn_train_step){
        .graph = jg.g, .terms = jg.terms, .image = image, .main = phase == job->nphases};
    if (status)
        return status;
    loss = total_loss(jg.g, &jg.terms, -1);
    if (sftn_is_none(loss))
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "%s: every term of the loss has weight 0",
                         job->model->name);
    add_outputs(&jg, loss);
    return differentiate(s, o, loss, err);
}

sftn_status sftn_train_step_compile(sftn_train_step *s, const sftn_plan_options *plan,
                                    sftn_error *err)
{
    sftn_status status = sftn_plan_new(s->graph, plan, &s->plan, err);

    if (status)
        return status;
    status = sftn_feed_open(&s->feed, s->plan, s->guided ? NULL : err);
    return s->guided ? SFTN_OK : status;
}

void sftn_train_step_close(sftn_train_step *s)
{
    sftn_plan_free(s->plan);
    sftn_graph_free(s->graph);
    free(s->span);
    *s = (sftn_train_step){0};
}

double sftn_train_step_value(const sftn_train_step *s, int i)
{
    double value = 0.0;
    char name[16];

    if (i >= 0)
        snprintf(name, sizeof name, "term%d", i);
    sftn_plan_read(s->plan, i < 0 ? "loss" : name, &value, NULL);
    return value;
}
