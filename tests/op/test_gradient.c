/*
 * gradient: every case of the table, once and twice differentiated, against finite differences in
 * double precision; and every op of the build is in the table.
 */
#include "op/eval.h"
#include "op/list.h"
#include "op/move.h"
#include "op/pool2d.h"
#include "op/fused.h"
#include "op/pointwise.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

static const double tolerance = 1e-6;

static void check_case(const op_case *c, bool second, uint64_t seed)
{
    test_graph t;
    double error;

    test_graph_build(&t, c, second);
    if (second && t.status != SFTN_OK) {
        /* Maximum pooling is differentiable once only, and says so. */
        CHECK_CONTAINS(t.err.text, "max_pool2d_grad: this op has no gradient");
        test_graph_free(&t);
        return;
    }
    if (t.status != SFTN_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", c->name, t.err.text);
    if (!sftn_is_none(t.loss)) {
        error = test_graph_error(&t, c, seed);
        if (!(error < tolerance))
            test_fail(__FILE__, __LINE__, "%s, %s derivative, seed %d: relative error %g",
                      c->name, second ? "second" : "first", (int)seed, error);
    }
    test_graph_free(&t);
}

TEST(every_gradient_equals_finite_differences)
{
    op_case c;

    for (int i = 0; op_case_get(i, &c); i++)
        for (uint64_t seed = 1; c.grad && seed <= 8; seed++)
            check_case(&c, false, seed);
}

TEST(every_gradient_of_a_gradient_equals_finite_differences)
{
    op_case c;

    for (int i = 0; op_case_get(i, &c); i++)
        for (uint64_t seed = 1; c.grad && seed <= 4; seed++)
            check_case(&c, true, seed);
}

TEST(a_gradient_is_as_wide_as_its_value)
{
    op_case c;

    for (int i = 0; op_case_get(i, &c); i++) {
        test_graph t;

        test_graph_build(&t, &c, false);
        for (int k = 0; k < c.nin; k++)
            if (!sftn_is_none(t.grad[k]))
                CHECK(sftn_value_type(t.g, t.grad[k]).wide == c.in[k].type.wide);
        test_graph_free(&t);
    }
}

/* True where some case's way from inputs to result has op, differentiated where asked. */
static bool some_case_has(const sftn_op *op, bool differentiated)
{
    op_case c;

    for (int i = 0; op_case_get(i, &c); i++) {
        sftn_graph *g;
        bool found = false;

        if (differentiated && !c.grad)
            continue;
        g = sftn_graph_new();
        op_case_build(&c, g, NULL);
        for (int k = 0; k < g->nnodes; k++)
            found = found || g->node[k].op == op;
        sftn_graph_free(g);
        if (found)
            return true;
    }
    return false;
}

TEST(every_op_has_a_case)
{
    const sftn_op *op;

    for (int i = 0; (op = sftn_op_list(i)) != NULL; i++) {
        /* `inside` is made by clamp's gradient only. */
        if (op != &sftn_op_inside && !some_case_has(op, op->grad != NULL))
            test_fail(__FILE__, __LINE__, "%s has no case", op->name);
    }
}

TEST(every_op_has_a_gradient_or_says_why_not)
{
    const sftn_op *op;

    for (int i = 0; (op = sftn_op_list(i)) != NULL; i++) {
        const bool once = op == &sftn_op_max_pool2d_grad || op == &sftn_op_fused;

        CHECK(op->infer != NULL && op->ref != NULL);
        CHECK(op->nout >= 1 && op->nout <= SFTN_MAX_OUT && op->nin <= SFTN_MAX_IN);
        if ((op->grad != NULL) + op->no_gradient + once != 1)
            test_fail(__FILE__, __LINE__, "%s: wants exactly one of a gradient, no_gradient, and "
                      "being named here", op->name);
    }
}

TEST(names_of_cases_tell_them_apart)
{
    op_case a, b;

    for (int i = 0; op_case_get(i, &a); i++)
        for (int k = 0; k < i && op_case_get(k, &b); k++)
            if (strcmp(a.name, b.name) == 0)
                test_fail(__FILE__, __LINE__, "two cases are called %s", a.name);
}
