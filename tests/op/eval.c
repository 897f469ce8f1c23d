/* eval: reference kernels run over a graph; finite differences. */
#include "op/eval.h"

#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test_eval {
    const sftn_graph *g;
    int nvalues;
    double **data; /* [value] */
};

int64_t test_count(const sftn_graph *g, sftn_value v)
{
    const sftn_shape shape = sftn_value_shape(g, v);

    return sftn_shape_count(&shape);
}

test_eval *test_eval_new(const sftn_graph *g)
{
    test_eval *e = sftn_calloc(1, sizeof *e);

    CHECK(e != NULL);
    e->g = g;
    e->nvalues = g->nvalues;
    e->data = sftn_calloc((size_t)e->nvalues, sizeof *e->data);
    CHECK(e->data != NULL);
    for (int i = 0; i < e->nvalues; i++) {
        e->data[i] = sftn_calloc((size_t)test_count(g, (sftn_value){i}), sizeof(double));
        CHECK(e->data[i] != NULL);
    }
    return e;
}

void test_eval_free(test_eval *e)
{
    for (int i = 0; i < e->nvalues; i++)
        free(e->data[i]);
    free(e->data);
    free(e);
}

double *test_eval_data(test_eval *e, sftn_value v)
{
    CHECK(v.id > 0 && v.id < e->nvalues);
    return e->data[v.id];
}

static void run_leaf(test_eval *e, const sftn_node *n)
{
    const sftn_leaf *leaf = n->attr;
    const int64_t count = sftn_shape_count(&leaf->shape);
    double *dst = e->data[n->out[0].id];

    for (int64_t i = 0; i < count; i++) {
        if (leaf->kind == SFTN_LEAF_CONSTANT)
            dst[i] = (double)leaf->constant;
        else if (leaf->kind == SFTN_LEAF_PARAM)
            dst[i] = (double)sftn_params_value(leaf->params, leaf->index)[i];
    }
}

void test_eval_run(test_eval *e)
{
    for (int i = 0; i < e->g->nnodes; i++) {
        const sftn_node *n = &e->g->node[i];
        sftn_ref_args args = {.attr = n->attr, .nin = n->nin, .nout = n->nout};

        if (n->op == &sftn_op_leaf) {
            run_leaf(e, n);
            continue;
        }
        if (n->out[0].id >= e->nvalues)
            return;
        for (int k = 0; k < n->nin; k++) {
            args.in[k] = e->data[n->in[k].id];
            args.in_type[k] = sftn_value_type(e->g, n->in[k]);
        }
        for (int k = 0; k < n->nout; k++) {
            args.out[k] = e->data[n->out[k].id];
            args.out_type[k] = sftn_value_type(e->g, n->out[k]);
        }
        n->op->ref(&args);
    }
}

double test_eval1(sftn_value (*f)(sftn_graph *g, sftn_value x), double x)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value in = sftn_graph_input(g, "x", (sftn_type){SFTN_SHAPE(1, 1, 1, 1), true});
    const sftn_value y = f(g, in);
    test_eval *e;
    double result;

    CHECK_STATUS(sftn_graph_status(g, NULL), SFTN_OK);
    e = test_eval_new(g);
    test_eval_data(e, in)[0] = x;
    test_eval_run(e);
    result = test_eval_data(e, y)[0];
    test_eval_free(e);
    sftn_graph_free(g);
    return result;
}

/* ---- gradients ---- */

/* sum(v r) with a new random input r of v's shape. */
static sftn_value weighted_sum(test_graph *t, sftn_value v)
{
    const sftn_type type = {sftn_value_shape(t->g, v), true};
    char name[32];
    sftn_value r;

    snprintf(name, sizeof name, "r%d", t->nweights);
    r = t->weight[t->nweights++] = sftn_graph_input(t->g, name, type);
    return sftn_sum(t->g, sftn_mul(t->g, v, r), SFTN_ALL_AXES);
}

/* Gradients of t->loss by the inputs that c marks; the others SFTN_NONE. */
static void differentiate(test_graph *t, const op_case *c)
{
    sftn_value wrt[OP_CASE_MAX_IN], grad[OP_CASE_MAX_IN];
    int n = 0;

    for (int i = 0; i < c->nin; i++)
        if (c->grad >> i & 1)
            wrt[n++] = t->in[i];
    t->status = sftn_graph_gradients(t->g, t->loss, wrt, n, grad, &t->err);
    for (int i = 0, k = 0; i < c->nin; i++)
        t->grad[i] = c->grad >> i & 1 && t->status == SFTN_OK ? grad[k++] : SFTN_NONE;
}

void test_graph_build(test_graph *t, const op_case *c, bool second)
{
    memset(t, 0, sizeof *t);
    t->g = sftn_graph_new();
    CHECK(t->g != NULL);
    t->y = op_case_build(c, t->g, t->in);
    t->status = sftn_graph_status(t->g, &t->err);
    if (t->status != SFTN_OK)
        return;
    t->loss = weighted_sum(t, t->y);
    differentiate(t, c);
    if (!second || t->status != SFTN_OK)
        return;
    t->loss = SFTN_NONE;
    for (int i = 0; i < c->nin; i++) {
        if (!sftn_is_none(t->grad[i])) {
            const sftn_value term = weighted_sum(t, t->grad[i]);

            t->loss = sftn_is_none(t->loss) ? term : sftn_add(t->g, t->loss, term);
        }
    }
    if (!sftn_is_none(t->loss))
        differentiate(t, c);
}

void test_graph_free(test_graph *t)
{
    sftn_graph_free(t->g);
}

static double loss_at(test_graph *t, const op_case *c, test_eval *e, double *const *direction,
                      double step)
{
    double loss;

    for (int sign = 1; sign >= -1; sign -= 2) {
        for (int i = 0; i < c->nin; i++) {
            const int64_t count = test_count(t->g, t->in[i]);
            double *x = test_eval_data(e, t->in[i]);

            for (int64_t k = 0; direction[i] && k < count; k++)
                x[k] += sign * step * direction[i][k];
        }
        if (sign > 0) {
            test_eval_run(e);
            loss = test_eval_data(e, t->loss)[0];
        }
    }
    return loss;
}

static void fill_inputs(test_graph *t, const op_case *c, test_eval *e, uint64_t seed)
{
    sftn_rng rng = sftn_rng_new(seed, SFTN_RNG_TEST, 1000);

    for (int i = 0; i < c->nin; i++)
        op_case_fill(c, i, seed, test_eval_data(e, t->in[i]));
    for (int i = 0; i < t->nweights; i++) {
        const int64_t count = test_count(t->g, t->weight[i]);

        for (int64_t k = 0; k < count; k++)
            test_eval_data(e, t->weight[i])[k] = sftn_rng_uniform(&rng) * 2.0 - 1.0;
    }
}

/* Directions of -1 and 1; *derivative and *norm from the gradients at the present inputs. */
static void choose_direction(test_graph *t, const op_case *c, test_eval *e, uint64_t seed,
                             double **direction, double *derivative, double *norm)
{
    sftn_rng rng = sftn_rng_new(seed, SFTN_RNG_TEST, 2000);
    double squares = 0.0;

    *derivative = 0.0;
    for (int i = 0; i < c->nin; i++) {
        const int64_t count = test_count(t->g, t->in[i]);

        direction[i] = NULL;
        if (!(c->grad >> i & 1))
            continue;
        direction[i] = sftn_calloc((size_t)count, sizeof(double));
        CHECK(direction[i] != NULL);
        for (int64_t k = 0; k < count; k++) {
            const double g = sftn_is_none(t->grad[i]) ? 0.0 : test_eval_data(e, t->grad[i])[k];

            direction[i][k] = sftn_rng_u32(&rng) & 1 ? 1.0 : -1.0;
            *derivative += g * direction[i][k];
            squares += g * g;
        }
    }
    *norm = sqrt(squares);
}

double test_graph_error(test_graph *t, const op_case *c, uint64_t seed)
{
    const double h = 2.5e-4;
    test_eval *e = test_eval_new(t->g);
    double *direction[OP_CASE_MAX_IN], found, norm, expected, scale;

    fill_inputs(t, c, e, seed);
    test_eval_run(e);
    choose_direction(t, c, e, seed, direction, &found, &norm);
    expected = (8.0 * (loss_at(t, c, e, direction, h) - loss_at(t, c, e, direction, -h)) -
                (loss_at(t, c, e, direction, 2.0 * h) - loss_at(t, c, e, direction, -2.0 * h))) /
               (12.0 * h);
    for (int i = 0; i < c->nin; i++)
        free(direction[i]);
    test_eval_free(e);
    scale = fmax(fmax(fabs(found), fabs(expected)), 0.1 * norm);
    return found == expected ? 0.0 : fabs(found - expected) / scale;
}

double test_gradient_error(sftn_value (*f)(sftn_graph *g, sftn_value x), sftn_shape shape,
                           uint64_t seed)
{
    const op_case c = {
        .nin = 1, .in = {{.type = {shape, true}, .fill = OP_FILL_SIGNED}}, .grad = 1};
    test_graph t = {.g = sftn_graph_new()};
    double error;

    t.in[0] = sftn_graph_input(t.g, "x", c.in[0].type);
    t.loss = f(t.g, t.in[0]);
    differentiate(&t, &c);
    CHECK_OK(t.status, &t.err);
    error = test_graph_error(&t, &c, seed);
    test_graph_free(&t);
    return error;
}
