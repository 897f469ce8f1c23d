/* cases_pointwise: every elementwise op, at several shapes, widths and ways to broadcast. */
#include "op/case_family.h"

typedef struct unary {
    const char *name;
    sftn_value (*f)(sftn_graph *g, sftn_value x);
    op_fill fill;
} unary;

#define WITH(name, expression)                                                                     \
    static sftn_value name(sftn_graph *g, sftn_value x)                                            \
    {                                                                                              \
        return expression;                                                                         \
    }

WITH(leaky, sftn_leaky_relu(g, x, 0.1f))
WITH(leaky_steep, sftn_leaky_relu(g, x, 2.0f))
WITH(scaled, sftn_scale(g, x, -1.75f))
WITH(shifted, sftn_shift(g, x, 0.6f))
WITH(cube, sftn_power(g, x, 3.0f))
WITH(root3, sftn_power(g, x, 0.33f))
WITH(inverse_square, sftn_power(g, x, -2.0f))
WITH(power0, sftn_power(g, x, 0.0f))
WITH(clamped, sftn_clamp(g, x, -0.4f, 0.6f))
WITH(huber, sftn_smooth_l1(g, x, 1.0f))
WITH(huber_narrow, sftn_smooth_l1(g, x, 0.35f))
WITH(to_wide, sftn_cast(g, x, true))
WITH(to_narrow, sftn_cast(g, x, false))
WITH(large_sigmoid, sftn_sigmoid(g, sftn_scale(g, x, 10.0f)))
WITH(large_softplus, sftn_softplus(g, sftn_scale(g, x, 10.0f)))
WITH(chain, sftn_relu(g, sftn_add(g, sftn_scale(g, x, 2.0f), sftn_tanh(g, x))))
WITH(wide_erfc, sftn_erfc(g, sftn_scale(g, x, 3.0f)))
/* clamp's slope as an op of its own is reached by differentiating twice only. */
WITH(clamp_square, sftn_square(g, sftn_clamp(g, x, -0.4f, 0.6f)))

static const unary unary_rows[] = {
    {"neg", sftn_neg, OP_FILL_SIGNED},
    {"abs", sftn_abs, OP_FILL_SPREAD},
    {"sign", sftn_sign, OP_FILL_SPREAD},
    {"step", sftn_step, OP_FILL_SPREAD},
    {"exp", sftn_exp, OP_FILL_SIGNED},
    {"log", sftn_log, OP_FILL_POSITIVE},
    {"square", sftn_square, OP_FILL_SIGNED},
    {"sqrt", sftn_sqrt, OP_FILL_POSITIVE},
    {"rsqrt", sftn_rsqrt, OP_FILL_POSITIVE},
    {"reciprocal", sftn_reciprocal, OP_FILL_POSITIVE},
    {"relu", sftn_relu, OP_FILL_SPREAD},
    {"sigmoid", sftn_sigmoid, OP_FILL_SIGNED},
    {"sigmoid of 10 x", large_sigmoid, OP_FILL_SIGNED},
    {"tanh", sftn_tanh, OP_FILL_SIGNED},
    {"erfc", sftn_erfc, OP_FILL_SIGNED},
    {"erfc of 3 x", wide_erfc, OP_FILL_SIGNED},
    {"softplus", sftn_softplus, OP_FILL_SIGNED},
    {"softplus of 10 x", large_softplus, OP_FILL_SIGNED},
    {"leaky_relu 0.1", leaky, OP_FILL_SPREAD},
    {"leaky_relu 2", leaky_steep, OP_FILL_SPREAD},
    {"scale", scaled, OP_FILL_SIGNED},
    {"shift", shifted, OP_FILL_SIGNED},
    {"power 3", cube, OP_FILL_SIGNED},
    {"power 0.33", root3, OP_FILL_POSITIVE},
    {"power -2", inverse_square, OP_FILL_POSITIVE},
    {"power 0", power0, OP_FILL_SIGNED},
    {"clamp", clamped, OP_FILL_SPREAD},
    {"clamp squared", clamp_square, OP_FILL_SPREAD},
    {"smooth_l1 1", huber, OP_FILL_SPREAD},
    {"smooth_l1 0.35", huber_narrow, OP_FILL_SPREAD},
    {"cast wide", to_wide, OP_FILL_SIGNED},
    {"cast narrow", to_narrow, OP_FILL_SIGNED},
    {"relu(2 x + tanh x)", chain, OP_FILL_SPREAD},
};

static const sftn_type unary_types[] = {
    {{{2, 3, 5, 7}}, false}, {{{1, 1, 1, 1}}, true}, {{{1, 17, 1, 1}}, true},
    {{{4, 1, 1, 3}}, false}, {{{3, 8, 2, 2}}, true},
};

typedef struct binary {
    const char *name;
    sftn_value (*f)(sftn_graph *g, sftn_value a, sftn_value b);
    op_fill a, b;
} binary;

static const binary binary_rows[] = {
    {"add", sftn_add, OP_FILL_SIGNED, OP_FILL_SIGNED},
    {"sub", sftn_sub, OP_FILL_SIGNED, OP_FILL_SIGNED},
    {"mul", sftn_mul, OP_FILL_SIGNED, OP_FILL_SIGNED},
    {"div", sftn_div, OP_FILL_SIGNED, OP_FILL_POSITIVE},
    {"max2", sftn_max2, OP_FILL_SPREAD, OP_FILL_SPREAD},
    {"min2", sftn_min2, OP_FILL_SPREAD, OP_FILL_SPREAD},
    {"greater", sftn_greater, OP_FILL_SPREAD, OP_FILL_SPREAD},
    {"equal", sftn_equal, OP_FILL_TIES, OP_FILL_TIES},
    {"mask", sftn_mask, OP_FILL_SIGNED, OP_FILL_SPREAD},
};

static const sftn_type binary_types[][2] = {
    {{{{2, 3, 5, 7}}, false}, {{{2, 3, 5, 7}}, false}},
    {{{{2, 3, 5, 7}}, false}, {{{1, 1, 1, 1}}, true}},
    {{{{2, 16, 3, 3}}, false}, {{{1, 16, 1, 1}}, true}},
    {{{{1, 3, 1, 1}}, true}, {{{2, 3, 5, 7}}, false}},
    {{{{2, 3, 5, 7}}, true}, {{{2, 1, 5, 7}}, false}},
    {{{{2, 3, 1, 1}}, false}, {{{1, 1, 5, 7}}, false}},
    {{{{2, 3, 5, 7}}, false}, {{{1, 3, 5, 7}}, false}},
    {{{{2, 1, 5, 1}}, true}, {{{1, 3, 1, 7}}, true}},
    {{{{4, 10, 1, 1}}, true}, {{{4, 1, 1, 1}}, true}},
    {{{{1, 1, 1, 1}}, false}, {{{1, 1, 1, 1}}, false}},
};

static const sftn_type expand_types[][2] = {
    {{{{1, 3, 1, 1}}, true}, {{{2, 3, 5, 7}}, true}},
    {{{{2, 1, 5, 1}}, false}, {{{2, 3, 5, 7}}, false}},
    {{{{1, 1, 1, 1}}, true}, {{{3, 4, 2, 2}}, true}},
    {{{{4, 1, 1, 1}}, true}, {{{4, 9, 1, 1}}, true}},
};

enum {
    UNARY_TYPES = SFTN_COUNT(unary_types),
    UNARY = SFTN_COUNT(unary_rows) * UNARY_TYPES,
    BINARY_TYPES = SFTN_COUNT(binary_types),
    BINARY = SFTN_COUNT(binary_rows) * BINARY_TYPES,
    EXPAND = SFTN_COUNT(expand_types),
};

static sftn_value build_unary(sftn_graph *g, const sftn_value *in, const void *arg)
{
    return ((const unary *)arg)->f(g, in[0]);
}

static sftn_value build_binary(sftn_graph *g, const sftn_value *in, const void *arg)
{
    return ((const binary *)arg)->f(g, in[0], in[1]);
}

static sftn_value build_expand(sftn_graph *g, const sftn_value *in, const void *arg)
{
    return sftn_expand(g, in[0], ((const sftn_type *)arg)[1].shape);
}

static int count(void)
{
    return UNARY + BINARY + EXPAND;
}

static void get(int i, op_case *c)
{
    if (i < UNARY) {
        const unary *row = &unary_rows[i / UNARY_TYPES];
        const sftn_type *type = &unary_types[i % UNARY_TYPES];

        op_case_name_add(c, "%s", row->name);
        op_case_input_add(c, type->shape, type->wide, row->fill);
        c->build = build_unary;
        c->arg = row;
        c->grad = 1;
    } else if ((i -= UNARY) < BINARY) {
        const binary *row = &binary_rows[i / BINARY_TYPES];
        const sftn_type *type = binary_types[i % BINARY_TYPES];

        op_case_name_add(c, "%s", row->name);
        op_case_input_add(c, type[0].shape, type[0].wide, row->a);
        op_case_input_add(c, type[1].shape, type[1].wide, row->b);
        c->build = build_binary;
        c->arg = row;
        c->grad = row->a == OP_FILL_TIES ? 0 : 3;
    } else {
        const sftn_type *type = expand_types[i - BINARY];

        op_case_name_add(c, "expand");
        op_case_input_add(c, type[0].shape, type[0].wide, OP_FILL_SIGNED);
        c->build = build_expand;
        c->arg = type;
        c->grad = 1;
    }
    op_case_name_shapes(c);
}

const op_case_family op_cases_pointwise = {count, get};
