/* cases: the table put together of its families; building and filling. */
#include "op/cases.h"

#include "op/case_family.h"
#include "graph/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const op_case_family *const families[] = {
    &op_cases_pointwise, &op_cases_reduce, &op_cases_move, &op_cases_matmul, &op_cases_eigh,
    &op_cases_labels,    &op_cases_conv,   &op_cases_pool, &op_cases_norm,   &op_cases_fused,
    &op_cases_rows,
};

bool op_case_get(int i, op_case *c)
{
    for (size_t f = 0; f < SFTN_COUNT(families); f++) {
        const int count = families[f]->count();

        if (i < count) {
            memset(c, 0, sizeof *c);
            families[f]->get(i, c);
            return true;
        }
        i -= count;
    }
    return false;
}

void op_case_input_add(op_case *c, sftn_shape shape, bool wide, op_fill fill)
{
    c->in[c->nin++] = (op_case_input){.type = {shape, wide}, .fill = fill};
}

void op_case_name_add(op_case *c, const char *format, ...)
{
    const size_t used = strlen(c->name);
    va_list args;

    va_start(args, format);
    vsnprintf(c->name + used, sizeof c->name - used, format, args);
    va_end(args);
}

void op_case_name_shapes(op_case *c)
{
    for (int i = 0; i < c->nin; i++) {
        char text[96];

        sftn_shape_format(&c->in[i].type.shape, text, sizeof text);
        op_case_name_add(c, " %s%s", text, c->in[i].type.wide ? "w" : "");
    }
}

sftn_value op_case_build(const op_case *c, sftn_graph *g, sftn_value *in)
{
    sftn_value x[OP_CASE_MAX_IN], y;

    for (int i = 0; i < c->nin; i++) {
        char name[16];

        snprintf(name, sizeof name, "x%d", i);
        x[i] = sftn_graph_input(g, name, c->in[i].type);
        if (in)
            in[i] = x[i];
    }
    y = c->build(g, x, c->arg);
    sftn_graph_output(g, "y", y);
    return y;
}

sftn_status op_case_build_gradient(const op_case *c, sftn_graph *g, sftn_error *err)
{
    sftn_value in[OP_CASE_MAX_IN], grad[OP_CASE_MAX_IN];
    const sftn_value y = op_case_build(c, g, in);
    const sftn_type type = {sftn_value_shape(g, y), true};
    const sftn_value r = sftn_graph_input(g, "r", type);
    const sftn_value loss = sftn_sum(g, sftn_mul(g, y, r), SFTN_ALL_AXES);
    const sftn_status status = sftn_graph_gradients(g, loss, in, c->nin, grad, err);

    if (status != SFTN_OK)
        return status;
    for (int i = 0; i < c->nin; i++) {
        char name[16];

        snprintf(name, sizeof name, "g%d", i);
        if (c->grad >> i & 1 && !sftn_is_none(grad[i]))
            sftn_graph_output(g, name, grad[i]);
    }
    return sftn_graph_status(g, err);
}

static void fill_spread(sftn_rng *rng, int input, double *dst, int64_t count)
{
    for (int64_t k = 0; k < count; k++)
        dst[k] = (double)(k - count / 2) / 16.0 + (double)(input + 1) / 64.0;
    for (int64_t k = count - 1; k > 0; k--) {
        const int64_t other = sftn_rng_below(rng, (uint32_t)k + 1);
        const double held = dst[k];

        dst[k] = dst[other];
        dst[other] = held;
    }
}

void op_case_fill(const op_case *c, int i, uint64_t seed, double *dst)
{
    const op_case_input *in = &c->in[i];
    const int64_t count = sftn_shape_count(&in->type.shape);
    sftn_rng rng = sftn_rng_new(seed, SFTN_RNG_TEST, (uint64_t)i);

    if (in->fill == OP_FILL_SPREAD) {
        fill_spread(&rng, i, dst, count);
        return;
    }
    for (int64_t k = 0; k < count; k++) {
        if (in->fill == OP_FILL_TIES)
            dst[k] = (double)sftn_rng_below(&rng, 3) - 1.0;
        else if (in->fill == OP_FILL_LABELS)
            dst[k] = (double)sftn_rng_below(&rng, (uint32_t)in->classes);
        else if (in->fill == OP_FILL_POSITIVE)
            dst[k] = 0.5 + sftn_rng_uniform(&rng);
        else
            dst[k] = 2.0 * sftn_rng_uniform(&rng) - 1.0;
    }
}
