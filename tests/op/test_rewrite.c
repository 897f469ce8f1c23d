/* rewrite: an op rewritten as others, and formulas joined in a program, compute the same. */
#include "op/batch_norm.h"
#include "op/eval.h"
#include "op/fused.h"
#include "op/pointwise.h"
#include "test.h"

#include <string.h>

/* Two values of one graph are equal in shape, width and all elements, to `tolerance`. */
static void check_equal(const op_case *c, sftn_graph *g, const sftn_value *in, sftn_value a,
                        sftn_value b, double tolerance)
{
    const sftn_type ta = sftn_value_type(g, a), tb = sftn_value_type(g, b);
    test_eval *e;

    CHECK_STATUS(sftn_graph_status(g, NULL), SFTN_OK);
    CHECK(sftn_shape_equal(&ta.shape, &tb.shape));
    CHECK_INT(ta.wide, tb.wide);
    e = test_eval_new(g);
    for (int i = 0; i < c->nin; i++)
        op_case_fill(c, i, 5, test_eval_data(e, in[i]));
    test_eval_run(e);
    for (int64_t i = 0; i < sftn_shape_count(&ta.shape); i++)
        CHECK_NEAR(test_eval_data(e, a)[i], test_eval_data(e, b)[i], tolerance);
    test_eval_free(e);
}

TEST(lowering_changes_no_value)
{
    int lowered = 0;
    op_case c;

    for (int i = 0; op_case_get(i, &c); i++) {
        sftn_graph *g = sftn_graph_new();
        sftn_value in[OP_CASE_MAX_IN];
        const sftn_value y = op_case_build(&c, g, in);
        const sftn_node n = *sftn_value_node(g, y);

        if (n.op->lower) {
            sftn_value out[SFTN_MAX_OUT];

            n.op->lower(g, &n, n.in, out);
            check_equal(&c, g, in, y, out[0], 1e-11);
            lowered++;
        }
        sftn_graph_free(g);
    }
    CHECK(lowered > 0);
}

/* relu(x0 x1 + x2), as in cases_other.c. */
static sftn_value scale_shift_relu(sftn_graph *g, const sftn_value *in)
{
    return sftn_relu(g, sftn_add(g, sftn_mul(g, in[0], in[1]), in[2]));
}

static sftn_value long_program(sftn_graph *g, const sftn_value *in)
{
    const sftn_value upper = sftn_tanh(g, sftn_sub(g, in[0], in[1]));
    const sftn_value lower = sftn_softplus(g, sftn_scale(g, in[2], 2.0f));

    return sftn_add(g, sftn_clamp(g, sftn_div(g, upper, lower), -0.5f, 0.5f), in[0]);
}

TEST(a_fused_program_equals_its_composition)
{
    int found = 0;
    op_case c;

    for (int i = 0; op_case_get(i, &c); i++) {
        sftn_graph *g = sftn_graph_new();
        sftn_value in[OP_CASE_MAX_IN];
        const sftn_value y = op_case_build(&c, g, in);

        if (sftn_value_node(g, y)->op == &sftn_op_fused) {
            const bool three = strstr(c.name, "relu") != NULL;
            sftn_value composed = three ? scale_shift_relu(g, in) : long_program(g, in);

            composed = sftn_cast(g, composed, sftn_value_type(g, y).wide);
            composed = sftn_expand(g, composed, sftn_value_shape(g, y));
            check_equal(&c, g, in, y, composed, 0.0);
            found++;
        }
        sftn_graph_free(g);
    }
    CHECK(found >= 3);
}

TEST(a_program_of_one_instruction_equals_its_op)
{
    op_case c;

    for (int i = 0; op_case_get(i, &c); i++) {
        sftn_graph *g = sftn_graph_new();
        sftn_value in[OP_CASE_MAX_IN];
        const sftn_value y = op_case_build(&c, g, in);
        const sftn_node n = *sftn_value_node(g, y);

        if (n.op->pointwise) {
            const sftn_pointwise_attr *attr = n.attr;
            const sftn_fused_attr program = {
                .ncode = 1,
                .code  = {{(uint16_t)n.op->pointwise, 0, (uint8_t)(n.nin - 1), attr->p, attr->q}},
                .shape = sftn_value_shape(g, y),
                .wide  = sftn_value_type(g, y).wide,
            };

            check_equal(&c, g, in, y, sftn_append(g, &sftn_op_fused, &program, n.in, n.nin), 0.0);
        }
        sftn_graph_free(g);
    }
}

TEST(codes_have_names_and_operands)
{
    CHECK_TEXT(sftn_pointwise_name(SFTN_PW_relu), "relu");
    CHECK_TEXT(sftn_pointwise_name(SFTN_PW_mask), "mask");
    CHECK_INT(sftn_pointwise_operands(SFTN_PW_copy), 1);
    CHECK_INT(sftn_pointwise_operands(SFTN_PW_add), 2);
    CHECK_INT(sftn_op_add.pointwise, SFTN_PW_add);
}
