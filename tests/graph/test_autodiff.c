/* autodiff: what reverse mode promises about graphs, whatever the ops. */
#include "op/eval.h"
#include "test.h"

#include <string.h>

static sftn_value input(sftn_graph *g, const char *name, bool wide)
{
    return sftn_graph_input(g, name, (sftn_type){SFTN_SHAPE(2, 3, 2, 2), wide});
}

static sftn_value total(sftn_graph *g, sftn_value x)
{
    return sftn_sum(g, x, SFTN_ALL_AXES);
}

/* x is read by three nodes, one of which reads it twice. */
static sftn_value shared(sftn_graph *g, sftn_value x)
{
    const sftn_value a = sftn_mul(g, x, x), b = sftn_exp(g, x), c = sftn_add(g, a, b);

    return total(g, sftn_add(g, sftn_mul(g, c, a), sftn_mul(g, c, x)));
}

/* x reaches the loss through statistics of itself and through a matrix of all pairs. */
static sftn_value pairs(sftn_graph *g, sftn_value x)
{
    const sftn_value rows = sftn_reshape(g, x, SFTN_SHAPE(1, 2, 12, 1));
    const sftn_value gram = sftn_matmul(g, rows, rows, (sftn_matmul_spec){false, true});
    const sftn_value mean = sftn_mean(g, gram, SFTN_AXIS_H);

    return total(g, sftn_square(g, sftn_sub(g, gram, mean)));
}

TEST(shares_of_a_value_read_several_times_are_added)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        CHECK(test_gradient_error(shared, SFTN_SHAPE(2, 3, 2, 2), seed) < 1e-6);
        CHECK(test_gradient_error(pairs, SFTN_SHAPE(2, 3, 2, 2), seed) < 1e-6);
    }
}

/* d total(x^2) / dx with one factor held: x, not 2 x. */
TEST(detach_stops_the_gradient)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = input(g, "x", true);
    const sftn_value loss = total(g, sftn_mul(g, x, sftn_detach(g, x)));
    sftn_value grad;
    test_eval *e;

    CHECK_STATUS(sftn_graph_gradients(g, loss, &x, 1, &grad, NULL), SFTN_OK);
    e = test_eval_new(g);
    for (int i = 0; i < 24; i++)
        test_eval_data(e, x)[i] = i;
    test_eval_run(e);
    for (int i = 0; i < 24; i++)
        CHECK_NEAR(test_eval_data(e, grad)[i], i, 0.0);
    test_eval_free(e);
    sftn_graph_free(g);
}

TEST(a_value_that_the_loss_does_not_reach_has_no_gradient)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = input(g, "x", true), y = input(g, "y", true), z = input(g, "z", true);
    const sftn_value loss = total(g, sftn_add(g, x, sftn_detach(g, y)));
    const sftn_value wrt[] = {x, y, z};
    sftn_value grad[3];

    CHECK_STATUS(sftn_graph_gradients(g, loss, wrt, 3, grad, NULL), SFTN_OK);
    CHECK(!sftn_is_none(grad[0]));
    CHECK(sftn_is_none(grad[1]));
    CHECK(sftn_is_none(grad[2]));
    sftn_graph_free(g);
}

TEST(gradients_by_results_on_the_way_are_those_by_leaves)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = input(g, "x", true);
    const sftn_value y = sftn_scale(g, x, 3.0f), loss = total(g, sftn_square(g, y));
    const sftn_value wrt[] = {y, x, loss};
    sftn_value grad[3];
    test_eval *e;

    CHECK_STATUS(sftn_graph_gradients(g, loss, wrt, 3, grad, NULL), SFTN_OK);
    e = test_eval_new(g);
    test_eval_data(e, x)[0] = 0.5;
    test_eval_run(e);
    CHECK_NEAR(test_eval_data(e, grad[0])[0], 3.0, 0.0); /* 2 y, y = 1.5 */
    CHECK_NEAR(test_eval_data(e, grad[1])[0], 9.0, 0.0);
    CHECK_NEAR(test_eval_data(e, grad[2])[0], 1.0, 0.0);
    test_eval_free(e);
    sftn_graph_free(g);
}

TEST(gradients_through_casts_have_the_width_of_their_value)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value narrow = input(g, "x", false), wide = input(g, "y", true);
    const sftn_value both = sftn_mul(g, narrow, wide);
    const sftn_value loss = total(g, sftn_mul(g, sftn_cast(g, both, false), narrow));
    const sftn_value wrt[] = {narrow, wide};
    sftn_value grad[2];

    CHECK_STATUS(sftn_graph_gradients(g, loss, wrt, 2, grad, NULL), SFTN_OK);
    CHECK(!sftn_value_type(g, grad[0]).wide);
    CHECK(sftn_value_type(g, grad[1]).wide);
    sftn_graph_free(g);
}

TEST(an_op_without_gradient_on_the_way_is_named)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = input(g, "x", true);
    const sftn_value loss =
        total(g, sftn_max_pool2d(g, x, (sftn_pool_spec){.size = 2}));
    sftn_error err = {.status = SFTN_OK};
    sftn_value grad;

    sftn_graph_set_scope(g, "student.layer1");
    CHECK_STATUS(sftn_graph_gradients(g, loss, &x, 1, &grad, NULL), SFTN_OK);
    CHECK_FAILS(sftn_graph_gradients(g, total(g, sftn_mul(g, grad, x)), &x, 1, &grad, &err),
                SFTN_ERR_ARGUMENT, &err, "max_pool2d_grad: this op has no gradient");
    sftn_graph_free(g);
}

TEST(an_op_without_gradient_off_the_way_does_no_harm)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = input(g, "x", true);
    const sftn_value labels =
        sftn_graph_input(g, "labels", (sftn_type){SFTN_SHAPE(2, 1, 1, 1), true});
    const sftn_value logits = sftn_mean(g, x, SFTN_AXES_HW);
    const sftn_value loss = total(g, sftn_mul(g, logits, sftn_one_hot(g, labels, 3)));
    const sftn_value with_hits = sftn_add(g, loss, total(g, sftn_rank(g, logits, labels)));
    sftn_value grad;

    CHECK_STATUS(sftn_graph_gradients(g, with_hits, &x, 1, &grad, NULL), SFTN_OK);
    CHECK(!sftn_is_none(grad));
    sftn_graph_free(g);
}

TEST(a_loss_must_be_a_scalar)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = input(g, "x", true);
    sftn_error err = {.status = SFTN_OK};
    sftn_value grad;

    CHECK_FAILS(sftn_graph_gradients(g, x, &x, 1, &grad, &err), SFTN_ERR_ARGUMENT, &err,
                "the loss has shape [2,3,2,2], expected [1,1,1,1]");
    CHECK_FAILS(sftn_graph_gradients(g, SFTN_NONE, &x, 1, &grad, &err), SFTN_ERR_ARGUMENT, &err,
                "the loss has no value");
    sftn_graph_free(g);
}

TEST(gradient_nodes_carry_the_scope_of_their_op)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = input(g, "x", true);
    sftn_value y, grad;

    sftn_graph_set_scope(g, "layer1.0");
    y = sftn_exp(g, x);
    sftn_graph_set_scope(g, "loss");
    CHECK_STATUS(sftn_graph_gradients(g, total(g, y), &x, 1, &grad, NULL), SFTN_OK);
    CHECK_TEXT(sftn_value_node(g, grad)->scope, "layer1.0");
    CHECK_TEXT(g->scope, "loss");
    sftn_graph_free(g);
}

static int add_param(sftn_params *p, const char *name, sftn_param_kind kind)
{
    const sftn_param spec = {.kind = kind, .shape = SFTN_SHAPE(1, 3, 1, 1), .rank = 1,
                             .init = SFTN_INIT_ONE};

    return sftn_params_add(p, name, &spec, NULL);
}

TEST(backward_delivers_to_trained_parameters_only)
{
    sftn_params *p = sftn_params_new();
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = input(g, "x", false);
    sftn_value leaf[4], y = x;
    int unreached = -1, grads = 0;

    leaf[0] = sftn_graph_param(g, p, add_param(p, "trained", SFTN_PARAM_WEIGHT), false);
    leaf[1] = sftn_graph_param(g, p, add_param(p, "frozen", SFTN_PARAM_WEIGHT), true);
    leaf[2] = sftn_graph_param(g, p, add_param(p, "state", SFTN_PARAM_STATE), false);
    leaf[3] = sftn_graph_param(g, p, add_param(p, "unused", SFTN_PARAM_WEIGHT), false);
    for (int i = 0; i < 3; i++)
        y = sftn_mul(g, y, leaf[i]);
    CHECK_STATUS(sftn_graph_backward(g, total(g, y), &unreached, NULL), SFTN_OK);
    CHECK_INT(unreached, 1);
    for (int i = 0; i < g->nsinks; i++) {
        const sftn_leaf *made = sftn_value_leaf(g, g->sink[i].value);

        CHECK(g->sink[i].kind == SFTN_SINK_GRAD);
        CHECK(g->sink[i].index == 0 || g->sink[i].index == 3);
        CHECK(sftn_value_type(g, g->sink[i].value).wide);
        if (g->sink[i].index == 3)
            CHECK(made && made->kind == SFTN_LEAF_CONSTANT && made->constant == 0.0f);
        grads++;
    }
    CHECK_INT(grads, 2);
    sftn_graph_free(g);
    sftn_params_free(p);
}
