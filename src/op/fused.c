/*
 * fused: a pointwise program as one op (op/fused.h).  Made by the plan after differentiation, so
 * it has no gradient.
 */
#include "op/fused.h"

#include "op/pointwise.h"

#include <stdio.h>
#include <string.h>

/* Stands in attributes, which have no padding (SFTN_ATTR). */
_Static_assert(SFTN_ATTR_SUM(sftn_instruction, op, a, b, p, q) == sizeof(sftn_instruction),
               "sftn_instruction has padding");

static bool valid_program(const sftn_fused_attr *a, int nin, char *why, size_t size)
{
    if (a->ncode < 1 || a->ncode > SFTN_FUSED_MAX_CODE) {
        snprintf(why, size, "program has %d instructions, expected 1 to %d", a->ncode,
                 SFTN_FUSED_MAX_CODE);
        return false;
    }
    for (int i = 0; i < a->ncode; i++) {
        const sftn_instruction *c = &a->code[i];
        const bool known = c->op > SFTN_PW_NONE && c->op < SFTN_PW_COUNT;

        if (!known || c->a >= nin + i ||
            (sftn_pointwise_operands(c->op) == 2 && c->b >= nin + i)) {
            snprintf(why, size, "instruction %d (code %d, registers %d and %d) is not valid with "
                     "%d registers written", i, c->op, c->a, c->b, nin + i);
            return false;
        }
    }
    return true;
}

static bool infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                  size_t size)
{
    const sftn_fused_attr *a = attr;

    if (!valid_program(a, nin, why, size))
        return false;
    for (int i = 0; i < nin; i++) {
        for (int d = 0; d < SFTN_DIMS; d++) {
            const int64_t n = in[i].shape.dim[d];

            if (n != 1 && n != a->shape.dim[d]) {
                char found[96], expected[96];

                sftn_shape_format(&in[i].shape, found, sizeof found);
                sftn_shape_format(&a->shape, expected, sizeof expected);
                snprintf(why, size, "operand %d has shape %s, which does not stretch to %s", i,
                         found, expected);
                return false;
            }
        }
    }
    out[0] = (sftn_type){a->shape, a->wide != 0};
    return true;
}

/* Index into an operand of the result's element i. */
static int64_t operand_index(const sftn_shape *from, const sftn_shape *to, int64_t i)
{
    int64_t index = 0, step = 1;

    for (int d = SFTN_DIMS - 1; d >= 0; d--) {
        const int64_t at = i % to->dim[d];

        i /= to->dim[d];
        if (from->dim[d] != 1)
            index += at * step;
        step *= from->dim[d];
    }
    return index;
}

static void ref(const sftn_ref_args *k)
{
    const sftn_fused_attr *a = k->attr;
    const int64_t count = sftn_shape_count(&a->shape);
    double reg[SFTN_FUSED_MAX_REG];

    for (int64_t i = 0; i < count; i++) {
        for (int j = 0; j < k->nin; j++)
            reg[j] = k->in[j][operand_index(&k->in_type[j].shape, &a->shape, i)];
        for (int j = 0; j < a->ncode; j++) {
            const sftn_instruction *c = &a->code[j];
            const double b = sftn_pointwise_operands(c->op) == 2 ? reg[c->b] : 0.0;

            reg[k->nin + j] = sftn_pointwise_eval(c->op, reg[c->a], b, (double)c->p, (double)c->q);
        }
        k->out[0][i] = reg[k->nin + a->ncode - 1];
    }
}

/* "add relu": the formulas in the order of execution. */
static void print(const void *attr, char *buf, size_t size)
{
    const sftn_fused_attr *a = attr;
    size_t used = 0;

    *buf = '\0';
    for (int i = 0; i < a->ncode && used + 1 < size; i++) {
        snprintf(buf + used, size - used, "%s%s", i ? " " : "",
                 sftn_pointwise_name(a->code[i].op));
        used += strlen(buf + used);
    }
}

const sftn_op sftn_op_fused = {
    .name      = "fused",
    .nin       = -1,
    .nout      = 1,
    SFTN_ATTR(sftn_fused_attr, ncode, wide, shape, code),
    .infer     = infer,
    .ref       = ref,
    .print     = print,
};
