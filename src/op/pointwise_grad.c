/*
 * pointwise_grad: d loss / d operand of each elementwise op, composed of other ops.
 *
 * Where the derivative can be written in terms of the result y it is, so that the operand need
 * not be kept.
 */
#include "op/pointwise_grad.h"

typedef struct rule_args {
    sftn_graph *g;
    const sftn_pointwise_attr *attr;
    sftn_value a, b; /* operands */
    sftn_value y, gy;
    sftn_value *ga, *gb;
} rule_args;

#define RULE(name) static void name##_rule(const rule_args *r)

RULE(copy)
{
    *r->ga = r->gy;
}

RULE(neg)
{
    *r->ga = sftn_neg(r->g, r->gy);
}

RULE(abs)
{
    *r->ga = sftn_mul(r->g, r->gy, sftn_sign(r->g, r->a));
}

RULE(exp)
{
    *r->ga = sftn_mul(r->g, r->gy, r->y);
}

RULE(log)
{
    *r->ga = sftn_div(r->g, r->gy, r->a);
}

RULE(square)
{
    *r->ga = sftn_mul(r->g, r->gy, sftn_scale(r->g, r->a, 2.0f));
}

RULE(sqrt)
{
    *r->ga = sftn_scale(r->g, sftn_div(r->g, r->gy, r->y), 0.5f);
}

/* d x^-1/2 = -1/2 x^-3/2 = -y^3 / 2 */
RULE(rsqrt)
{
    const sftn_value cube = sftn_mul(r->g, sftn_square(r->g, r->y), r->y);

    *r->ga = sftn_scale(r->g, sftn_mul(r->g, r->gy, cube), -0.5f);
}

RULE(reciprocal)
{
    *r->ga = sftn_neg(r->g, sftn_mul(r->g, r->gy, sftn_square(r->g, r->y)));
}

/* y > 0 exactly where x > 0. */
RULE(relu)
{
    *r->ga = sftn_mask(r->g, r->gy, r->y);
}

/* y (1 - y) */
RULE(sigmoid)
{
    const sftn_value slope = sftn_sub(r->g, r->y, sftn_square(r->g, r->y));

    *r->ga = sftn_mul(r->g, r->gy, slope);
}

/* 1 - y^2 */
RULE(tanh)
{
    const sftn_value square = sftn_square(r->g, r->y);

    *r->ga = sftn_mul(r->g, r->gy, sftn_shift(r->g, sftn_neg(r->g, square), 1.0f));
}

/* -2 / sqrt(pi) e^-x^2 */
RULE(erfc)
{
    const sftn_value bell = sftn_exp(r->g, sftn_neg(r->g, sftn_square(r->g, r->a)));

    *r->ga = sftn_scale(r->g, sftn_mul(r->g, r->gy, bell), -1.12837917f);
}

RULE(softplus)
{
    *r->ga = sftn_mul(r->g, r->gy, sftn_sigmoid(r->g, r->a));
}

/* The slope is step(x) (1 - p) + p. */
RULE(leaky_relu)
{
    const float p = r->attr->p;
    const sftn_value slope = sftn_shift(
        r->g, sftn_scale(r->g, sftn_step(r->g, r->a), 1.0f - p), p);

    *r->ga = sftn_mul(r->g, r->gy, slope);
}

RULE(scale)
{
    *r->ga = sftn_scale(r->g, r->gy, r->attr->p);
}

RULE(shift)
{
    *r->ga = r->gy;
}

RULE(power)
{
    const float p = r->attr->p;

    if (p != 0.0f)
        *r->ga = sftn_scale(r->g, sftn_mul(r->g, r->gy, sftn_power(r->g, r->a, p - 1.0f)), p);
}

RULE(clamp)
{
    const sftn_value inside = sftn_append1(r->g, &sftn_op_inside, r->attr, r->a, SFTN_NONE);

    *r->ga = sftn_mul(r->g, r->gy, inside);
}

/* x / beta held to [-1, 1] */
RULE(smooth_l1)
{
    const sftn_value ratio = sftn_scale(r->g, r->a, 1.0f / r->attr->p);

    *r->ga = sftn_mul(r->g, r->gy, sftn_clamp(r->g, ratio, -1.0f, 1.0f));
}

RULE(add)
{
    *r->ga = r->gy;
    *r->gb = r->gy;
}

RULE(sub)
{
    *r->ga = r->gy;
    *r->gb = sftn_neg(r->g, r->gy);
}

RULE(mul)
{
    *r->ga = sftn_mul(r->g, r->gy, r->b);
    *r->gb = sftn_mul(r->g, r->gy, r->a);
}

/* d(a/b)/db = -a/b^2 = -y/b */
RULE(div)
{
    *r->ga = sftn_div(r->g, r->gy, r->b);
    *r->gb = sftn_neg(r->g, sftn_mul(r->g, *r->ga, r->y));
}

/* gb where b is strictly beyond a, the rest to a. */
static void pick_rule(const rule_args *r, sftn_value beyond)
{
    *r->gb = sftn_mask(r->g, r->gy, beyond);
    *r->ga = sftn_sub(r->g, r->gy, *r->gb);
}

RULE(max2)
{
    pick_rule(r, sftn_greater(r->g, r->b, r->a));
}

RULE(min2)
{
    pick_rule(r, sftn_greater(r->g, r->a, r->b));
}

RULE(mask)
{
    *r->ga = sftn_mask(r->g, r->gy, r->b);
}

static void (*const rules[SFTN_PW_COUNT])(const rule_args *r) = {
#define HAS(name) [SFTN_PW_##name] = name##_rule
    HAS(copy), HAS(neg), HAS(abs), HAS(exp), HAS(log), HAS(square), HAS(sqrt), HAS(rsqrt),
    HAS(reciprocal), HAS(relu), HAS(sigmoid), HAS(tanh), HAS(erfc), HAS(softplus), HAS(leaky_relu),
    HAS(scale), HAS(shift), HAS(power), HAS(clamp), HAS(smooth_l1), HAS(add), HAS(sub), HAS(mul),
    HAS(div), HAS(max2), HAS(min2), HAS(mask),
};

void sftn_pointwise_rule(sftn_graph *g, const sftn_node *n, sftn_value gy, sftn_value *gin)
{
    sftn_value none = SFTN_NONE;
    const rule_args args = {
        .g = g, .attr = n->attr, .a = n->in[0], .b = n->nin > 1 ? n->in[1] : SFTN_NONE,
        .y = n->out[0], .gy = gy, .ga = &gin[0], .gb = n->nin > 1 ? &gin[1] : &none,
    };

    if (rules[n->op->pointwise])
        rules[n->op->pointwise](&args);
}
