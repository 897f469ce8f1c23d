/*
 * eval.h: a graph evaluated node by node with the reference kernels, in double precision, and
 * gradients compared with finite differences.  Needs no plan and no backend.
 */
#ifndef SFTN_TEST_EVAL_H
#define SFTN_TEST_EVAL_H

#include "graph/op.h"
#include "op/cases.h"

typedef struct test_eval test_eval;

/* Memory for every value of g, zero.  g must outlive it; values appended later are unknown. */
test_eval *test_eval_new(const sftn_graph *g);
void test_eval_free(test_eval *e);

/* The array of a value: written for inputs, read for results. */
double *test_eval_data(test_eval *e, sftn_value v);

/* Compute every node in order.  Parameter leaves are read from their params. */
void test_eval_run(test_eval *e);

/* Elements of v. */
int64_t test_count(const sftn_graph *g, sftn_value v);

/* f of one scalar. */
double test_eval1(sftn_value (*f)(sftn_graph *g, sftn_value x), double x);

/*
 * A case with the scalar sum(y r), r random, and its gradients by the inputs of c->grad.  With
 * second set the scalar is the sum of each of these gradients times a random array, and the
 * gradients are those of that scalar.
 */
typedef struct test_graph {
    sftn_graph *g;
    sftn_value in[OP_CASE_MAX_IN], y, loss, grad[OP_CASE_MAX_IN];
    int nweights;
    sftn_value weight[1 + OP_CASE_MAX_IN]; /* the random arrays: inputs too */
    sftn_status status;
    sftn_error err;
} test_graph;
void test_graph_build(test_graph *t, const op_case *c, bool second);
void test_graph_free(test_graph *t);

/*
 * Difference between the derivative of t->loss along a random direction (every entry -1 or 1) and
 * its finite difference of fourth order, relative to the derivative, or to a tenth of the
 * gradient's norm where that is larger.
 */
double test_graph_error(test_graph *t, const op_case *c, uint64_t seed);

/* The same for the scalar f(x), x uniform in [-1, 1] of this shape. */
double test_gradient_error(sftn_value (*f)(sftn_graph *g, sftn_value x), sftn_shape shape,
                           uint64_t seed);

#endif
