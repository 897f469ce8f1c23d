/*
 * balance: whether the terms of a loss teach their networks anything, and how strongly.
 *
 *     pull of a term = || d (weight value) / d w ||        ratio = pull / pull of the labels' term
 *
 * w: all weights of the term's network; ||.||: the Euclidean norm.  The labels' term is the first
 * of group 0 for that network.  The gradients of all terms are taken in one graph, from one forward
 * pass, and only sums of squares leave it: weights, running statistics and memories stay as they
 * are.
 */
#include "train/balance.h"

#include "graph/op.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *network_name(const sftn_job *job, const sftn_term *term)
{
    const sftn_model *peer = job->peer[term->network];

    return peer ? peer->name : job->model->name;
}

/* Room for the leaves of a graph, and their gradients. */
typedef struct leaves {
    sftn_value *leaf, *grad;
} leaves;

static sftn_status leaves_new(leaves *l, const sftn_job_graph *jg, sftn_error *err)
{
    const size_t most = (size_t)jg->g->nnodes + 1;

    l->leaf = sftn_calloc(most, sizeof *l->leaf);
    l->grad = sftn_calloc(most, sizeof *l->grad);
    if (l->leaf && l->grad)
        return SFTN_OK;
    return sftn_fail(err, SFTN_ERR_MEMORY, "gradients: out of memory");
}

static void leaves_free(leaves *l)
{
    free(l->leaf);
    free(l->grad);
}

/* ---- can a term's gradient reach its network? ---- */

static sftn_status check_term(sftn_job *job, sftn_graph *g, const sftn_term *term, const leaves *l,
                              sftn_error *err)
{
    const int n = sftn_trained_leaves(g, term->detached ? NULL : job->params[term->network],
                                      l->leaf);
    sftn_status status = sftn_graph_gradients(g, term->value, l->leaf, n, l->grad, err);

    if (status)
        return sftn_fail_in(err, "loss term '%s'", term->name);
    for (int i = 0; i < n; i++)
        if (!sftn_is_none(l->grad[i]))
            return SFTN_OK;
    return sftn_fail(err, SFTN_ERR_NUMERIC,
                     "the loss term '%s' (weight %g) has no gradient into %s: it would train "
                     "nothing", term->name, (double)term->weight, network_name(job, term));
}

sftn_status sftn_balance_check(sftn_job *job, int phase, sftn_shape image, sftn_error *err)
{
    leaves l = {NULL, NULL};
    sftn_job_graph jg;
    sftn_status status = sftn_job_build(job, phase, image, &jg, err);

    if (!status)
        status = leaves_new(&l, &jg, err);
    for (int i = 0; i < jg.terms.n && !status; i++)
        if (jg.terms.term[i].weight != 0.0f)
            status = check_term(job, jg.g, &jg.terms.term[i], &l, err);
    leaves_free(&l);
    sftn_graph_free(jg.g);
    return status;
}

/* ---- how large it is ---- */

/* The labels' term for the network of term i; -1: there is none. */
static int labels_of(const sftn_terms *t, int i)
{
    for (int k = 0; k < t->n; k++)
        if (t->term[k].group == 0 && !t->term[k].detached &&
            t->term[k].network == t->term[i].network)
            return k;
    return -1;
}

/* Whether term i is to be compared with its labels' term. */
static bool is_compared(const sftn_terms *t, int i)
{
    const int labels = labels_of(t, i);

    return t->term[i].weight != 0.0f && !t->term[i].detached && labels >= 0 && labels != i;
}

static bool is_measured(const sftn_terms *t, int i)
{
    for (int k = 0; k < t->n; k++)
        if (is_compared(t, k) && (k == i || labels_of(t, k) == i))
            return true;
    return false;
}

static void name_output(int i, char *name, size_t size)
{
    snprintf(name, size, "pull%d", i);
}

/* The squared norm of a term's gradient, as an output. */
static sftn_status add_pull(sftn_job *job, sftn_graph *g, const sftn_term *term, const leaves *l,
                            const char *name, sftn_error *err)
{
    const int n = sftn_trained_leaves(g, job->params[term->network], l->leaf);
    const sftn_value loss =
        sftn_scale(g, term->value, term->weight != 0.0f ? term->weight : 1.0f);
    sftn_value sum = SFTN_NONE;
    sftn_status status = sftn_graph_gradients(g, loss, l->leaf, n, l->grad, err);

    for (int i = 0; i < n && !status; i++) {
        sftn_value part = l->grad[i];

        if (sftn_is_none(part))
            continue;
        part = sftn_sum(g, sftn_square(g, part), SFTN_ALL_AXES);
        sum = sftn_is_none(sum) ? part : sftn_add(g, sum, part);
    }
    if (!status && sftn_is_none(sum)) /* only a term without weight: checked before */
        sum = sftn_graph_constant(g, sftn_value_type(g, term->value), 0.0f);
    if (!status)
        sftn_graph_output(g, name, sum);
    return status;
}

/* The plan that computes all pulls; its graph's other ends, which a step leaves behind, are cut. */
static sftn_status open_plan(sftn_job *job, const sftn_train_step *step,
                             const sftn_plan_options *options, sftn_plan **plan, sftn_error *err)
{
    sftn_plan_options o = *options;
    leaves l = {NULL, NULL};
    sftn_job_graph jg;
    sftn_status status = sftn_job_build(job, job->nphases, step->image, &jg, err);

    if (!status)
        status = leaves_new(&l, &jg, err);
    if (!status)
        jg.g->nsinks = 0;
    for (int i = 0; i < jg.terms.n && !status; i++) {
        char name[16];

        name_output(i, name, sizeof name);
        if (is_measured(&jg.terms, i))
            status = add_pull(job, jg.g, &jg.terms.term[i], &l, name, err);
    }
    o.outputs = NULL;
    o.feeder = step->plan;
    if (!status)
        status = sftn_plan_new(jg.g, &o, plan, err);
    leaves_free(&l);
    sftn_graph_free(jg.g);
    return status;
}

static sftn_status check_norm(sftn_job *job, const sftn_term *term, double norm, sftn_error *err)
{
    if (!isfinite(norm))
        return sftn_fail(err, SFTN_ERR_NUMERIC,
                         "the gradient of the loss term '%s' (weight %g) into %s is not finite on "
                         "the first batch", term->name, (double)term->weight,
                         network_name(job, term));
    if (!(norm > 0.0) && term->weight != 0.0f)
        return sftn_fail(err, SFTN_ERR_NUMERIC,
                         "the gradient of the loss term '%s' (weight %g) into %s is exactly 0 on "
                         "the first batch: it would train nothing", term->name,
                         (double)term->weight, network_name(job, term));
    return SFTN_OK;
}

sftn_status sftn_balance_measure(sftn_job *job, const sftn_train_step *step,
                                 const sftn_plan_options *options, double *norm, sftn_error *err)
{
    const sftn_terms *terms = &step->terms;
    sftn_plan *plan = NULL;
    sftn_status status = SFTN_OK;
    bool any = false;

    for (int i = 0; i < SFTN_MAX_TERMS; i++)
        norm[i] = 0.0;
    for (int i = 0; i < terms->n; i++)
        any = any || is_measured(terms, i);
    if (any)
        status = open_plan(job, step, options, &plan, err);
    if (plan)
        status = sftn_plan_run(plan, err);
    for (int i = 0; plan && i < terms->n && !status; i++) {
        char name[16];

        name_output(i, name, sizeof name);
        if (!is_measured(terms, i))
            continue;
        status = sftn_plan_read(plan, name, &norm[i], err);
        norm[i] = sqrt(norm[i]);
        if (!status)
            status = check_norm(job, &terms->term[i], norm[i], err);
    }
    sftn_plan_free(plan);
    return status;
}

void sftn_balance_fill(sftn_balance *b, const sftn_terms *terms, const double *norm)
{
    *b = (sftn_balance){.n = 0};
    for (int i = 0; i < terms->n; i++) {
        const sftn_term *term = &terms->term[i];
        sftn_pull *p = &b->pull[b->n];
        int labels;

        if (!is_compared(terms, i) || !(norm[i] > 0.0))
            continue;
        labels = labels_of(terms, i);
        snprintf(p->term, sizeof p->term, "%s", term->name);
        snprintf(p->labels, sizeof p->labels, "%s", terms->term[labels].name);
        p->weight = (double)term->weight;
        p->norm = norm[i];
        p->labels_norm = norm[labels];
        p->ratio = norm[i] / norm[labels];
        p->far = p->ratio < SFTN_WEAK_PULL || p->ratio > SFTN_STRONG_PULL;
        p->balanced = p->weight / p->ratio;
        b->n++;
    }
}
