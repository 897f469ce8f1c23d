/* cases_image: convolutions, pooling, batch normalization. */
#include "op/case_family.h"

#include "op/batch_norm.h"
#include "op/pool2d.h"

/* ---- convolution ---- */

typedef struct conv {
    sftn_shape x, w;
    sftn_conv_spec spec;
    int output_pad; /* transposed convolution only */
} conv;

static const conv convs[] = {
    {{{1, 1, 1, 1}}, {{1, 1, 1, 1}}, {1, 0, 1}, 0},
    {{{2, 3, 5, 7}}, {{4, 3, 3, 3}}, {1, 1, 1}, 0},
    {{{2, 3, 8, 8}}, {{4, 3, 3, 3}}, {2, 1, 1}, 0},
    {{{1, 3, 7, 9}}, {{5, 3, 3, 3}}, {2, 1, 0}, 0},
    {{{2, 3, 7, 5}}, {{2, 3, 1, 1}}, {3, 0, 1}, 0},
    {{{2, 3, 8, 7}}, {{2, 3, 2, 2}}, {3, 0, 1}, 0},
    {{{1, 2, 4, 4}}, {{3, 2, 5, 5}}, {1, 2, 1}, 0},
    {{{1, 2, 3, 3}}, {{3, 2, 3, 3}}, {1, 2, 1}, 0},
    {{{2, 2, 5, 6}}, {{3, 2, 1, 3}}, {1, 1, 1}, 0},
    {{{2, 6, 5, 5}}, {{4, 3, 3, 3}}, {1, 1, 2}, 0},
    {{{2, 6, 6, 6}}, {{6, 2, 1, 1}}, {1, 0, 3}, 0},
    {{{2, 5, 6, 5}}, {{5, 1, 3, 3}}, {1, 1, 5}, 0},
    {{{2, 4, 7, 7}}, {{4, 1, 3, 3}}, {2, 1, 4}, 0},
    {{{1, 3, 5, 5}}, {{6, 1, 3, 3}}, {1, 1, 3}, 0},
    {{{2, 16, 8, 8}}, {{16, 16, 3, 3}}, {1, 1, 1}, 0},
    {{{2, 3, 3, 3}}, {{4, 3, 3, 3}}, {1, 0, 1}, 0},
    {{{3, 17, 4, 4}}, {{9, 17, 1, 1}}, {1, 0, 1}, 0},
};

/* x is the transposed convolution's input; w [C_in, C_out / groups, kh, kw]. */
static const conv transposed[] = {
    {{{2, 3, 4, 4}}, {{3, 2, 4, 4}}, {2, 1, 1}, 0},
    {{{1, 2, 3, 5}}, {{2, 3, 3, 3}}, {2, 1, 1}, 1},
    {{{2, 4, 3, 3}}, {{4, 2, 3, 3}}, {1, 1, 2}, 0},
    {{{1, 1, 1, 1}}, {{1, 1, 2, 2}}, {2, 0, 1}, 0},
    {{{2, 3, 3, 3}}, {{3, 1, 3, 3}}, {3, 0, 3}, 2},
};

enum { CONVS = SFTN_COUNT(convs), TRANSPOSED = SFTN_COUNT(transposed) };

static sftn_shape conv_result(const conv *k)
{
    return SFTN_SHAPE(k->x.dim[0], k->w.dim[0],
                      (k->x.dim[2] + 2 * k->spec.pad - k->w.dim[2]) / k->spec.stride + 1,
                      (k->x.dim[3] + 2 * k->spec.pad - k->w.dim[3]) / k->spec.stride + 1);
}

static sftn_value build_conv(sftn_graph *g, const sftn_value *in, const void *arg)
{
    return sftn_conv2d(g, in[0], in[1], ((const conv *)arg)->spec);
}

static sftn_value build_conv_data(sftn_graph *g, const sftn_value *in, const void *arg)
{
    const conv *k = arg;

    return sftn_conv2d_data(g, in[0], in[1], k->x, k->spec);
}

static sftn_value build_conv_weight(sftn_graph *g, const sftn_value *in, const void *arg)
{
    const conv *k = arg;

    return sftn_conv2d_weight(g, in[0], in[1], k->w, k->spec);
}

static sftn_value build_transposed(sftn_graph *g, const sftn_value *in, const void *arg)
{
    const conv *k = arg;

    return sftn_conv_transpose2d(g, in[0], in[1], k->spec, k->output_pad);
}

static int conv_count(void)
{
    return 3 * CONVS + TRANSPOSED;
}

static void conv_get(int i, op_case *c)
{
    static const char *const names[] = {"conv2d", "conv2d_data", "conv2d_weight",
                                        "conv_transpose2d"};
    const int kind = i / CONVS;
    const conv *k = kind < 3 ? &convs[i % CONVS] : &transposed[i - 3 * CONVS];

    op_case_name_add(c, "%s", names[kind]);
    if (kind == 1)
        op_case_input_add(c, conv_result(k), false, OP_FILL_SIGNED);
    else
        op_case_input_add(c, k->x, false, OP_FILL_SIGNED);
    if (kind == 2)
        op_case_input_add(c, conv_result(k), false, OP_FILL_SIGNED);
    else
        op_case_input_add(c, k->w, true, OP_FILL_SIGNED);
    op_case_name_shapes(c);
    op_case_name_add(c, " stride %d pad %d groups %d", k->spec.stride, k->spec.pad,
                     k->spec.groups);
    c->build = kind == 0 ? build_conv : kind == 1 ? build_conv_data : kind == 2
        ? build_conv_weight : build_transposed;
    c->arg = k;
    c->grad = 3;
}

const op_case_family op_cases_conv = {conv_count, conv_get};

/* ---- pooling ---- */

typedef struct pool {
    sftn_shape x;
    sftn_pool_spec spec;
} pool;

static const pool pools[] = {
    {{{2, 3, 4, 6}}, {2, 2, 0, false, false}}, {{{1, 1, 1, 1}}, {1, 1, 0, false, false}},
    {{{2, 3, 5, 7}}, {2, 0, 0, false, false}}, {{{2, 3, 5, 7}}, {2, 0, 0, true, false}},
    {{{2, 3, 5, 5}}, {3, 2, 1, false, false}}, {{{2, 3, 5, 5}}, {3, 2, 1, false, true}},
    {{{2, 3, 6, 6}}, {3, 2, 1, true, false}},  {{{2, 3, 6, 6}}, {3, 2, 1, true, true}},
    {{{2, 2, 7, 5}}, {2, 3, 0, false, false}}, {{{1, 2, 5, 5}}, {3, 1, 1, false, false}},
    {{{2, 16, 8, 8}}, {8, 8, 0, false, false}}, {{{2, 5, 1, 4}}, {3, 1, 1, false, true}},
};

static const struct adaptive {
    sftn_shape x;
    int64_t h, w;
} adaptives[] = {
    {{{2, 3, 5, 7}}, 2, 3}, {{{2, 3, 4, 4}}, 2, 2}, {{{2, 3, 4, 4}}, 1, 1},
    {{{1, 2, 3, 3}}, 5, 4}, {{{2, 3, 5, 5}}, 5, 5}, {{{1, 17, 7, 1}}, 3, 1},
};

enum { POOLS = SFTN_COUNT(pools), ADAPTIVES = SFTN_COUNT(adaptives) };

static sftn_pool2d_attr attr_of(const pool *p)
{
    return (sftn_pool2d_attr){.size = p->spec.size,
                              .stride = p->spec.stride ? p->spec.stride : p->spec.size,
                              .pad = p->spec.pad,
                              .ceil = p->spec.ceil,
                              .exclude_pad = p->spec.exclude_pad,
                              .shape = p->x};
}

static sftn_shape pool_result(const pool *p)
{
    const sftn_pool2d_attr attr = attr_of(p);

    return SFTN_SHAPE(p->x.dim[0], p->x.dim[1], sftn_pool2d_size(&attr, p->x.dim[2]),
                      sftn_pool2d_size(&attr, p->x.dim[3]));
}

static sftn_value build_max(sftn_graph *g, const sftn_value *in, const void *arg)
{
    return sftn_max_pool2d(g, in[0], ((const pool *)arg)->spec);
}

static sftn_value build_avg(sftn_graph *g, const sftn_value *in, const void *arg)
{
    return sftn_avg_pool2d(g, in[0], ((const pool *)arg)->spec);
}

static sftn_value build_max_grad(sftn_graph *g, const sftn_value *in, const void *arg)
{
    const sftn_pool2d_attr attr = attr_of(arg);

    return sftn_append1(g, &sftn_op_max_pool2d_grad, &attr, in[0], in[1]);
}

static sftn_value build_avg_grad(sftn_graph *g, const sftn_value *in, const void *arg)
{
    const sftn_pool2d_attr attr = attr_of(arg);

    return sftn_append1(g, &sftn_op_avg_pool2d_grad, &attr, in[0], SFTN_NONE);
}

static sftn_value build_adaptive(sftn_graph *g, const sftn_value *in, const void *arg)
{
    const struct adaptive *a = arg;

    return sftn_adaptive_avg_pool2d(g, in[0], a->h, a->w);
}

static sftn_value build_adaptive_grad(sftn_graph *g, const sftn_value *in, const void *arg)
{
    const sftn_pool2d_attr attr = {.shape = ((const struct adaptive *)arg)->x};

    return sftn_append1(g, &sftn_op_adaptive_avg_pool2d_grad, &attr, in[0], SFTN_NONE);
}

/* Two groups: fixed windows in four kinds, adaptive ones in two. */
static int pool_count(void)
{
    return 4 * POOLS + 2 * ADAPTIVES;
}

static void fixed_pool_get(int kind, const pool *p, op_case *c)
{
    static const char *const names[] = {"max_pool2d", "avg_pool2d", "max_pool2d_grad",
                                        "avg_pool2d_grad"};

    op_case_name_add(c, "%s", names[kind]);
    c->build = kind == 0 ? build_max : kind == 1 ? build_avg : kind == 2 ? build_max_grad
        : build_avg_grad;
    if (kind < 3)
        op_case_input_add(c, p->x, false, kind == 1 ? OP_FILL_SIGNED : OP_FILL_SPREAD);
    if (kind >= 2)
        op_case_input_add(c, pool_result(p), false, OP_FILL_SIGNED);
    op_case_name_shapes(c);
    op_case_name_add(c, " size %d stride %d pad %d%s%s", p->spec.size, p->spec.stride,
                     p->spec.pad, p->spec.ceil ? " ceil" : "",
                     p->spec.exclude_pad ? " exclude_pad" : "");
    c->arg = p;
    c->grad = kind == 2 ? 0 : 1;
}

static void pool_get(int i, op_case *c)
{
    const struct adaptive *a;

    if (i < 4 * POOLS) {
        fixed_pool_get(i / POOLS, &pools[i % POOLS], c);
        return;
    }
    i -= 4 * POOLS;
    a = &adaptives[i % ADAPTIVES];
    c->build = i < ADAPTIVES ? build_adaptive : build_adaptive_grad;
    c->arg = a;
    c->grad = 1;
    op_case_name_add(c, i < ADAPTIVES ? "adaptive_avg_pool2d" : "adaptive_avg_pool2d_grad");
    op_case_input_add(c, i < ADAPTIVES ? a->x : SFTN_SHAPE(a->x.dim[0], a->x.dim[1], a->h, a->w),
                      false, OP_FILL_SIGNED);
    op_case_name_shapes(c);
    op_case_name_add(c, " to %dx%d", (int)a->h, (int)a->w);
}

const op_case_family op_cases_pool = {pool_count, pool_get};

/* ---- batch normalization ---- */

static const sftn_type norm_types[] = {
    {{{4, 3, 5, 7}}, false}, {{{2, 16, 8, 8}}, false}, {{{8, 5, 1, 1}}, true},
    {{{1, 2, 3, 3}}, true},  {{{6, 1, 2, 2}}, false},
};

static sftn_value build_mean(sftn_graph *g, const sftn_value *in, const void *arg)
{
    sftn_value mean, var;

    (void)arg;
    sftn_moments(g, in[0], &mean, &var);
    return mean;
}

static sftn_value build_var(sftn_graph *g, const sftn_value *in, const void *arg)
{
    sftn_value mean, var;

    (void)arg;
    sftn_moments(g, in[0], &mean, &var);
    return var;
}

static sftn_value build_both_moments(sftn_graph *g, const sftn_value *in, const void *arg)
{
    sftn_value mean, var;

    (void)arg;
    sftn_moments(g, in[0], &mean, &var);
    return sftn_mul(g, mean, sftn_exp(g, var));
}

static sftn_value build_trained(sftn_graph *g, const sftn_value *in, const void *arg)
{
    sftn_value mean, var;

    (void)arg;
    sftn_moments(g, in[0], &mean, &var);
    return sftn_batch_norm(g, in[0], in[1], in[2], mean, var, 1e-5f, true);
}

static sftn_value build_running(sftn_graph *g, const sftn_value *in, const void *arg)
{
    (void)arg;
    return sftn_batch_norm(g, in[0], in[1], in[2], in[3], in[4], 1e-5f, false);
}

/* Joined as in a network: normalize, add, activate. */
static sftn_value build_block(sftn_graph *g, const sftn_value *in, const void *arg)
{
    return sftn_relu(g, sftn_add(g, build_trained(g, in, arg), in[3]));
}

static sftn_value build_smooth_block(sftn_graph *g, const sftn_value *in, const void *arg)
{
    return sftn_softplus(g, sftn_add(g, build_trained(g, in, arg), in[3]));
}

static sftn_value build_sum0(sftn_graph *g, const sftn_value *in, const void *arg)
{
    (void)arg;
    return sftn_append(g, &sftn_op_batch_norm_sums, NULL, in, 4);
}

static sftn_value build_sum1(sftn_graph *g, const sftn_value *in, const void *arg)
{
    return sftn_node_out(g, build_sum0(g, in, arg), 1);
}

/* What is read: x an image, v a value a channel, p a positive one; upper case: differentiated. */
static const struct norm_kind {
    const char *name, *in;
    sftn_value (*build)(sftn_graph *g, const sftn_value *in, const void *arg);
} norm_kinds[] = {
    {"moments: mean", "X", build_mean},
    {"moments: var", "X", build_var},
    {"moments: both", "X", build_both_moments},
    {"batch_norm, batch statistics", "XVV", build_trained},
    {"batch_norm, running statistics", "XVVvp", build_running},
    {"batch_norm, add, relu", "xvvx", build_block},
    {"batch_norm, add, softplus", "XVVX", build_smooth_block},
    {"batch_norm_sums: gy", "XXVP", build_sum0},
    {"batch_norm_sums: gy xh", "XXVP", build_sum1},
};

enum { NORM_TYPES = SFTN_COUNT(norm_types), NORM_KINDS = SFTN_COUNT(norm_kinds) };

static int norm_count(void)
{
    return NORM_TYPES * NORM_KINDS;
}

static void norm_get(int i, op_case *c)
{
    const struct norm_kind *kind = &norm_kinds[i / NORM_TYPES];
    const sftn_type *type = &norm_types[i % NORM_TYPES];
    const sftn_shape vector = SFTN_SHAPE(1, type->shape.dim[1], 1, 1);

    op_case_name_add(c, "%s", kind->name);
    for (const char *p = kind->in; *p; p++) {
        if (*p <= 'Z')
            c->grad |= 1u << c->nin;
        if (*p == 'x' || *p == 'X')
            op_case_input_add(c, type->shape, type->wide, OP_FILL_SIGNED);
        else
            op_case_input_add(c, vector, true,
                              *p == 'p' || *p == 'P' ? OP_FILL_POSITIVE : OP_FILL_SIGNED);
    }
    op_case_name_shapes(c);
    c->build = kind->build;
}

const op_case_family op_cases_norm = {norm_count, norm_get};
