/* merge: equal nodes become one, whatever lay in the memory of their attributes before. */
#include "op/conv2d.h"
#include "op/list.h"
#include "op/pool2d.h"
#include "op/pointwise.h"
#include "plan/plan.h"
#include "test.h"

#include <string.h>

/* Every member of an attribute struct whose memory held `garbage`. */
static void set_conv(sftn_conv2d_attr *a, int garbage)
{
    memset(a, garbage, sizeof *a);
    a->stride = 1;
    a->pad = 1;
    a->groups = 1;
    a->unused = 0;
    a->shape = (sftn_shape){{0}};
}

static void set_pool(sftn_pool2d_attr *a, int garbage)
{
    memset(a, garbage, sizeof *a);
    a->size = a->stride = 2;
    a->pad = 0;
    a->ceil = a->exclude_pad = 0;
    a->shape = (sftn_shape){{0}};
}

static void set_pointwise(sftn_pointwise_attr *a, int garbage)
{
    memset(a, garbage, sizeof *a);
    a->p = 3.0f;
    a->q = 0.0f;
    a->width = 0;
    a->shape = (sftn_shape){{0}};
}

/* pool(conv(x) * 3), with attributes made over garbage. */
static sftn_value chain(sftn_graph *g, sftn_value x, sftn_value weight, int garbage)
{
    sftn_conv2d_attr conv;
    sftn_pool2d_attr pool;
    sftn_pointwise_attr scale;

    set_conv(&conv, garbage);
    set_pool(&pool, garbage);
    set_pointwise(&scale, garbage);
    x = sftn_append1(g, &sftn_op_conv2d, &conv, x, weight);
    x = sftn_append1(g, &sftn_op_scale, &scale, x, SFTN_NONE);
    return sftn_append1(g, &sftn_op_avg_pool2d, &pool, x, SFTN_NONE);
}

TEST(nodes_with_equal_attributes_merge_over_any_garbage)
{
    const sftn_pass_context ctx = {.same_width = true};
    sftn_graph *g = sftn_graph_new(), *simple;
    const sftn_value x = sftn_graph_input(g, "x", (sftn_type){SFTN_SHAPE(2, 3, 8, 8), false});
    const sftn_value w = sftn_graph_input(g, "w", (sftn_type){SFTN_SHAPE(4, 3, 3, 3), true});
    int nodes;

    sftn_graph_output(g, "a", chain(g, x, w, 0x00));
    nodes = g->nnodes;
    sftn_graph_output(g, "b", chain(g, x, w, 0xFF));
    sftn_graph_output(g, "c", chain(g, x, w, 0x5A));
    CHECK_STATUS(sftn_graph_status(g, NULL), SFTN_OK);
    CHECK(g->nnodes > nodes);
    simple = sftn_plan_simplify(g, &ctx);
    CHECK(simple != NULL);
    CHECK_INT(simple->nnodes, nodes);
    CHECK_INT(simple->sink[0].value.id, simple->sink[1].value.id);
    CHECK_INT(simple->sink[0].value.id, simple->sink[2].value.id);
    sftn_graph_free(simple);
    sftn_graph_free(g);
}

TEST(nodes_with_other_attributes_do_not_merge)
{
    const sftn_pass_context ctx = {.same_width = true};
    sftn_graph *g = sftn_graph_new(), *simple;
    const sftn_value x = sftn_graph_input(g, "x", (sftn_type){SFTN_SHAPE(2, 3, 8, 8), false});

    sftn_graph_output(g, "a", sftn_scale(g, x, 2.0f));
    sftn_graph_output(g, "b", sftn_scale(g, x, 3.0f));
    sftn_graph_output(g, "c", sftn_slice(g, x, SFTN_C, 0, 1));
    sftn_graph_output(g, "d", sftn_slice(g, x, SFTN_C, 1, 1));
    simple = sftn_plan_simplify(g, &ctx);
    CHECK(simple != NULL);
    CHECK_INT(simple->nnodes, g->nnodes);
    sftn_graph_free(simple);
    sftn_graph_free(g);
}

TEST(no_op_has_padding_in_its_attributes)
{
    const sftn_op *op;

    for (int i = 0; (op = sftn_op_list(i)) != NULL; i++)
        if (op->attr_members != op->attr_size)
            test_fail(__FILE__, __LINE__, "%s: %zu bytes of attributes, members of %zu", op->name,
                      op->attr_size, op->attr_members);
    CHECK_INT(sftn_op_leaf.attr_members, sftn_op_leaf.attr_size);
    CHECK_INT(sftn_op_fused.attr_members, sftn_op_fused.attr_size);
}

/* An op of somebody who did not know of SFTN_ATTR. */
typedef struct padded_attr {
    int a;
    int64_t b;
} padded_attr;

static const sftn_op padded = {
    .name = "padded",
    .nin = 1,
    .nout = 1,
    .attr_size = sizeof(padded_attr),
    .infer = sftn_infer_same,
};

TEST(an_op_that_does_not_name_its_members_is_refused)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = sftn_graph_input(g, "x", (sftn_type){SFTN_SHAPE(1, 1, 1, 1), true});
    const padded_attr attr = {1, 2};
    sftn_error err = {0};

    CHECK(sftn_is_none(sftn_append1(g, &padded, &attr, x, SFTN_NONE)));
    CHECK_FAILS(sftn_graph_status(g, &err), SFTN_ERR_ARGUMENT, &err,
                "padded: the op's attributes are 16 bytes with members of 0, expected a "
                "definition by SFTN_ATTR");
    sftn_graph_free(g);
}
