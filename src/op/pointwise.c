/*
 * pointwise: the elementwise ops, generated from pointwise.def; their builders.
 *
 * A gradient is composed of other ops (pointwise_grad.c), and summed to the operand's shape where
 * the operand was stretched.
 */
#include "op/pointwise.h"

#include "op/pointwise_grad.h"

#include <math.h>
#include <stdio.h>

/* ---- formulas in double ---- */

#define SFTN_K(x) (x)
#define SFTN_EXP(x) exp(x)
#define SFTN_LOG(x) log(x)
#define SFTN_LOG1P(x) log1p(x)
#define SFTN_SQRT(x) sqrt(x)
#define SFTN_TANH(x) tanh(x)
#define SFTN_POW(x, y) pow(x, y)
#define SFTN_ABS(x) fabs(x)
#define SFTN_ERFC(x) erfc(x)

typedef double (*formula_fn)(double a, double b, double p, double q);

#define SFTN_POINTWISE1(name, formula)                                                             \
    static double eval_##name(double a, double b, double p, double q)                              \
    {                                                                                              \
        (void)b, (void)p, (void)q;                                                                 \
        return formula;                                                                            \
    }
#define SFTN_POINTWISE2(name, formula)                                                             \
    static double eval_##name(double a, double b, double p, double q)                              \
    {                                                                                              \
        (void)p, (void)q;                                                                          \
        return formula;                                                                            \
    }
#include "op/pointwise.def"

static const struct {
    const char *name;
    int operands;
    formula_fn eval;
} formulas[SFTN_PW_COUNT] = {
    {"none", 0, NULL},
#define SFTN_POINTWISE1(name, formula) {#name, 1, eval_##name},
#define SFTN_POINTWISE2(name, formula) {#name, 2, eval_##name},
#include "op/pointwise.def"
};

const char *sftn_pointwise_name(int code)
{
    return formulas[code].name;
}

int sftn_pointwise_operands(int code)
{
    return formulas[code].operands;
}

double sftn_pointwise_eval(int code, double a, double b, double p, double q)
{
    return formulas[code].eval(a, b, p, q);
}

/* ---- the ops ---- */

static bool infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                  size_t size)
{
    const sftn_pointwise_attr *a = attr;

    if (!sftn_infer_broadcast(NULL, in, nin, out, why, size))
        return false;
    if (a->width)
        out[0].wide = a->width > 0;
    for (int d = 0; a->shape.dim[0] && d < SFTN_DIMS; d++) {
        const int64_t n = in[0].shape.dim[d];

        if (n != 1 && n != a->shape.dim[d]) {
            char found[96], expected[96];

            sftn_shape_format(&in[0].shape, found, sizeof found);
            sftn_shape_format(&a->shape, expected, sizeof expected);
            snprintf(why, size, "shape %s does not stretch to %s", found, expected);
            return false;
        }
        out[0].shape.dim[d] = a->shape.dim[d];
    }
    return true;
}

/* Elements between neighbours of each dimension; 0 where the operand is stretched. */
static void strides(const sftn_shape *shape, const sftn_shape *to, int64_t stride[SFTN_DIMS])
{
    int64_t step = 1;

    for (int d = SFTN_DIMS - 1; d >= 0; d--) {
        stride[d] = shape->dim[d] == 1 && to->dim[d] != 1 ? 0 : step;
        step *= shape->dim[d];
    }
}

static void ref(const sftn_ref_args *k, int code)
{
    const sftn_pointwise_attr *attr = k->attr;
    const sftn_shape *to = &k->out_type[0].shape;
    const int last = k->nin - 1; /* a one-operand formula reads its operand twice */
    const formula_fn eval = formulas[code].eval;
    const double p = (double)attr->p, q = (double)attr->q;
    double *y = k->out[0];
    int64_t sa[SFTN_DIMS], sb[SFTN_DIMS];

    strides(&k->in_type[0].shape, to, sa);
    strides(&k->in_type[last].shape, to, sb);
    for (int64_t n = 0; n < to->dim[0]; n++)
        for (int64_t c = 0; c < to->dim[1]; c++)
            for (int64_t h = 0; h < to->dim[2]; h++) {
                const double *a = k->in[0] + n * sa[0] + c * sa[1] + h * sa[2];
                const double *b = k->in[last] + n * sb[0] + c * sb[1] + h * sb[2];

                for (int64_t w = 0; w < to->dim[3]; w++)
                    *y++ = eval(a[w * sa[3]], b[w * sb[3]], p, q);
            }
}

static void print(const void *attr, char *buf, size_t size)
{
    const sftn_pointwise_attr *a = attr;
    char shape[96] = "";

    if (a->shape.dim[0])
        sftn_shape_format(&a->shape, shape, sizeof shape);
    if (a->width || a->shape.dim[0])
        snprintf(buf, size, "%s%s", shape, a->width > 0 ? "wide" : a->width < 0 ? "narrow" : "");
    else if (a->q != 0.0f)
        snprintf(buf, size, "%g %g", (double)a->p, (double)a->q);
    else if (a->p != 0.0f)
        snprintf(buf, size, "%g", (double)a->p);
    else
        *buf = '\0';
}

/* Rules of pointwise_grad.c give d loss / d operand before it is summed to the operand's shape. */
static void grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    sftn_pointwise_rule(g, n, gout[0], gin);
    for (int i = 0; i < n->nin; i++)
        if (!sftn_is_none(gin[i]))
            gin[i] = sftn_sum_to(g, gin[i], sftn_value_shape(g, n->in[i]));
}

/* Derivative zero wherever it exists. */
#define FLAT(code)                                                                                 \
    ((code) == SFTN_PW_sign || (code) == SFTN_PW_step || (code) == SFTN_PW_inside ||               \
     (code) == SFTN_PW_greater || (code) == SFTN_PW_equal)

#define DEFINE_OP(id, operands)                                                                    \
    static void ref_##id(const sftn_ref_args *k)                                                   \
    {                                                                                              \
        ref(k, SFTN_PW_##id);                                                                      \
    }                                                                                              \
    const sftn_op sftn_op_##id = {                                                                 \
        .name        = #id,                                                                        \
        .nin         = operands,                                                                   \
        .nout        = 1,                                                                          \
        SFTN_ATTR(sftn_pointwise_attr, p, q, shape, width),                                        \
        .infer       = infer,                                                                      \
        .grad        = FLAT(SFTN_PW_##id) ? NULL : grad,                                           \
        .no_gradient = FLAT(SFTN_PW_##id),                                                         \
        .ref         = ref_##id,                                                                   \
        .pointwise   = SFTN_PW_##id,                                                               \
        .print       = print,                                                                      \
    };
#define SFTN_POINTWISE1(name, formula) DEFINE_OP(name, 1)
#define SFTN_POINTWISE2(name, formula) DEFINE_OP(name, 2)
#include "op/pointwise.def"

/* ---- builders ---- */

static sftn_value apply(sftn_graph *g, const sftn_op *op, sftn_value x, float p, float q)
{
    return sftn_append1(g, op, &(sftn_pointwise_attr){.p = p, .q = q}, x, SFTN_NONE);
}

#define BUILD1(name)                                                                               \
    sftn_value sftn_##name(sftn_graph *g, sftn_value x)                                            \
    {                                                                                              \
        return apply(g, &sftn_op_##name, x, 0.0f, 0.0f);                                           \
    }
#define BUILD2(name)                                                                               \
    sftn_value sftn_##name(sftn_graph *g, sftn_value a, sftn_value b)                              \
    {                                                                                              \
        return sftn_append1(g, &sftn_op_##name, &(sftn_pointwise_attr){0}, a, b);                  \
    }

BUILD1(neg)
BUILD1(abs)
BUILD1(sign)
BUILD1(step)
BUILD1(exp)
BUILD1(log)
BUILD1(square)
BUILD1(sqrt)
BUILD1(rsqrt)
BUILD1(reciprocal)
BUILD1(relu)
BUILD1(sigmoid)
BUILD1(tanh)
BUILD1(erfc)
BUILD1(softplus)
BUILD2(add)
BUILD2(sub)
BUILD2(mul)
BUILD2(div)
BUILD2(max2)
BUILD2(min2)
BUILD2(greater)
BUILD2(equal)
BUILD2(mask)

sftn_value sftn_leaky_relu(sftn_graph *g, sftn_value x, float slope)
{
    return apply(g, &sftn_op_leaky_relu, x, slope, 0.0f);
}

sftn_value sftn_scale(sftn_graph *g, sftn_value x, float factor)
{
    return factor == 1.0f ? x : apply(g, &sftn_op_scale, x, factor, 0.0f);
}

sftn_value sftn_shift(sftn_graph *g, sftn_value x, float offset)
{
    return offset == 0.0f ? x : apply(g, &sftn_op_shift, x, offset, 0.0f);
}

sftn_value sftn_power(sftn_graph *g, sftn_value x, float p)
{
    if (p == 1.0f)
        return x;
    return p == 2.0f ? sftn_square(g, x) : apply(g, &sftn_op_power, x, p, 0.0f);
}

sftn_value sftn_clamp(sftn_graph *g, sftn_value x, float lo, float hi)
{
    if (!(lo <= hi))
        return sftn_graph_fail(g, "clamp: bounds are %g and %g, expected lower <= upper",
                               (double)lo, (double)hi);
    return apply(g, &sftn_op_clamp, x, lo, hi);
}

sftn_value sftn_smooth_l1(sftn_graph *g, sftn_value x, float beta)
{
    if (!(beta > 0.0f))
        return sftn_graph_fail(g, "smooth_l1: beta is %g, expected more than 0", (double)beta);
    return apply(g, &sftn_op_smooth_l1, x, beta, 0.0f);
}

sftn_value sftn_cast(sftn_graph *g, sftn_value x, bool wide)
{
    const sftn_pointwise_attr attr = {.width = wide ? 1 : -1};

    if (sftn_is_none(x) || sftn_value_type(g, x).wide == wide)
        return x;
    return sftn_append1(g, &sftn_op_copy, &attr, x, SFTN_NONE);
}

sftn_value sftn_expand(sftn_graph *g, sftn_value x, sftn_shape shape)
{
    const sftn_shape from = sftn_value_shape(g, x);

    if (sftn_is_none(x) || sftn_shape_equal(&from, &shape))
        return x;
    return sftn_append1(g, &sftn_op_copy, &(sftn_pointwise_attr){.shape = shape}, x, SFTN_NONE);
}
