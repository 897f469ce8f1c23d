/* cases_other: reductions, softmax, moving data, matrix products, labels, fused programs. */
#include "op/case_family.h"
#include "op/fused.h"

/* ---- reductions and softmax ---- */

typedef struct reduction {
    const char *name;
    sftn_value (*f)(sftn_graph *g, sftn_value x, int axes);
    op_fill fill;
} reduction;

static sftn_value softmax(sftn_graph *g, sftn_value x, int axes)
{
    (void)axes;
    return sftn_softmax(g, x);
}

static sftn_value log_softmax(sftn_graph *g, sftn_value x, int axes)
{
    (void)axes;
    return sftn_log_softmax(g, x);
}

static const reduction reductions[] = {
    {"sum", sftn_sum, OP_FILL_SIGNED},
    {"mean", sftn_mean, OP_FILL_SIGNED},
    {"max", sftn_max, OP_FILL_SPREAD},
};

static const reduction over_channels[] = {
    {"softmax", softmax, OP_FILL_SIGNED},
    {"log_softmax", log_softmax, OP_FILL_SIGNED},
    {"softmax of large", softmax, OP_FILL_SPREAD},
    {"log_softmax of large", log_softmax, OP_FILL_SPREAD},
};

static const int axis_sets[] = {
    SFTN_AXIS_N,   SFTN_AXIS_C,   SFTN_AXIS_H,   SFTN_AXIS_W,
    SFTN_AXES_HW,  SFTN_AXES_NHW, SFTN_AXES_CHW, SFTN_AXIS_N | SFTN_AXIS_C,
    SFTN_ALL_AXES, SFTN_AXIS_C | SFTN_AXIS_W,
};

static const sftn_type reduced_types[] = {
    {{{2, 3, 5, 7}}, false}, {{{1, 1, 1, 1}}, true}, {{{5, 17, 1, 1}}, true},
    {{{1, 4, 3, 2}}, true},
};

typedef struct reduce_arg {
    const reduction *row;
    int axes;
} reduce_arg;

enum {
    AXIS_SETS = SFTN_COUNT(axis_sets),
    TYPES = SFTN_COUNT(reduced_types),
    REDUCTIONS = SFTN_COUNT(reductions) * AXIS_SETS * TYPES,
    OVER_CHANNELS = SFTN_COUNT(over_channels) * TYPES,
};

static sftn_value build_sum_to(sftn_graph *g, const sftn_value *in, const void *arg)
{
    return sftn_sum_to(g, in[0], *(const sftn_shape *)arg);
}

static const sftn_shape sum_to_shapes[] = {
    {{2, 3, 5, 7}}, {{1, 3, 1, 1}}, {{1, 1, 5, 7}}, {{2, 1, 1, 1}}, {{1, 1, 1, 1}}};

static const reduction *reduce_row(int i, int *axes)
{
    if (i < REDUCTIONS) {
        *axes = axis_sets[i / TYPES % AXIS_SETS];
        return &reductions[i / TYPES / AXIS_SETS];
    }
    *axes = SFTN_AXIS_C;
    return &over_channels[(i - REDUCTIONS) / TYPES];
}

/* Bit sets are small: arg points to the row's entry of a table of all axes. */
static const reduce_arg *reduce_arg_of(const reduction *row, int axes)
{
    static const reduce_arg table[][16] = {
#define AXES(row)                                                                                  \
    {{row, 0}, {row, 1}, {row, 2}, {row, 3}, {row, 4}, {row, 5}, {row, 6}, {row, 7}, {row, 8},     \
     {row, 9}, {row, 10}, {row, 11}, {row, 12}, {row, 13}, {row, 14}, {row, 15}}
        AXES(&reductions[0]), AXES(&reductions[1]), AXES(&reductions[2]),
        AXES(&over_channels[0]), AXES(&over_channels[1]), AXES(&over_channels[2]),
        AXES(&over_channels[3]),
    };

    for (size_t i = 0; i < SFTN_COUNT(table); i++)
        if (table[i][0].row == row)
            return &table[i][axes];
    return NULL;
}

static sftn_value build_reduction(sftn_graph *g, const sftn_value *in, const void *arg)
{
    const reduce_arg *a = arg;

    return a->row->f(g, in[0], a->axes);
}

static int reduce_count(void)
{
    return REDUCTIONS + OVER_CHANNELS + (int)SFTN_COUNT(sum_to_shapes);
}

static void reduce_get(int i, op_case *c)
{
    const sftn_type *type = &reduced_types[i % TYPES];
    const reduction *row;
    int axes;

    c->grad = 1;
    if (i >= REDUCTIONS + OVER_CHANNELS) {
        c->arg = &sum_to_shapes[i - REDUCTIONS - OVER_CHANNELS];
        c->build = build_sum_to;
        op_case_name_add(c, "sum_to %d", i - REDUCTIONS - OVER_CHANNELS);
        op_case_input_add(c, SFTN_SHAPE(2, 3, 5, 7), false, OP_FILL_SIGNED);
        op_case_name_shapes(c);
        return;
    }
    row = reduce_row(i, &axes);
    op_case_name_add(c, "%s axes %d", row->name, axes);
    op_case_input_add(c, type->shape, type->wide, row->fill);
    op_case_name_shapes(c);
    c->build = build_reduction;
    c->arg = reduce_arg_of(row, axes);
}

const op_case_family op_cases_reduce = {reduce_count, reduce_get};

/* ---- moving data ---- */

#define BUILD(name, expression)                                                                    \
    static sftn_value name(sftn_graph *g, const sftn_value *in, const void *arg)                   \
    {                                                                                              \
        (void)arg;                                                                                 \
        return expression;                                                                         \
    }

BUILD(flatten, sftn_flatten(g, in[0]))
BUILD(reshape, sftn_reshape(g, in[0], SFTN_SHAPE(6, 1, 7, 5)))
BUILD(permute_nhwc, sftn_permute(g, in[0], (const int[]){0, 2, 3, 1}))
BUILD(permute_cycle, sftn_permute(g, in[0], (const int[]){1, 2, 3, 0}))
BUILD(permute_swap, sftn_permute(g, in[0], (const int[]){1, 0, 2, 3}))
BUILD(permute_same, sftn_relu(g, sftn_permute(g, in[0], (const int[]){0, 1, 2, 3})))
BUILD(concat_c, sftn_concat(g, in, 2, SFTN_C))
BUILD(concat_n, sftn_concat(g, in, 2, SFTN_N))
BUILD(concat_self, sftn_concat(g, (const sftn_value[]){in[0], in[1], in[0]}, 3, SFTN_H))
BUILD(slice_c, sftn_slice(g, in[0], SFTN_C, 1, 2))
BUILD(slice_n, sftn_slice(g, in[0], SFTN_N, 1, 1))
BUILD(slice_h, sftn_slice(g, in[0], SFTN_H, 2, 3))
BUILD(slice_w, sftn_slice(g, in[0], SFTN_W, 6, 1))
BUILD(slice_all, sftn_neg(g, sftn_slice(g, in[0], SFTN_W, 0, 7)))
BUILD(pad_n, sftn_pad(g, in[0], SFTN_N, 0, 1))
BUILD(pad_c, sftn_pad(g, in[0], SFTN_C, 1, 2))
BUILD(pad_h, sftn_pad(g, in[0], SFTN_H, 2, 0))
BUILD(pad_w, sftn_pad(g, in[0], SFTN_W, 1, 1))
BUILD(channel_shuffle,
      sftn_reshape(g, sftn_permute(g, sftn_reshape(g, in[0], SFTN_SHAPE(2, 3, 2, 35)),
                                   (const int[]){0, 2, 1, 3}), SFTN_SHAPE(2, 6, 5, 7)))
BUILD(detach, sftn_detach(g, in[0]))

static const struct move {
    const char *name;
    sftn_value (*build)(sftn_graph *g, const sftn_value *in, const void *arg);
    int nin;
    sftn_type in[2];
    bool no_grad;
} moves[] = {
    {"flatten", flatten, 1, {{{{2, 3, 5, 7}}, false}}, false},
    {"flatten", flatten, 1, {{{{4, 6, 1, 1}}, true}}, false},
    {"reshape", reshape, 1, {{{{2, 3, 5, 7}}, true}}, false},
    {"permute 0 2 3 1", permute_nhwc, 1, {{{{2, 3, 5, 7}}, false}}, false},
    {"permute 1 2 3 0", permute_cycle, 1, {{{{2, 3, 5, 7}}, true}}, false},
    {"permute 1 0 2 3", permute_swap, 1, {{{{4, 9, 1, 1}}, true}}, false},
    {"permute 0 1 2 3", permute_same, 1, {{{{2, 3, 5, 7}}, false}}, false},
    {"concat C", concat_c, 2, {{{{2, 3, 5, 7}}, false}, {{{2, 1, 5, 7}}, false}}, false},
    {"concat N", concat_n, 2, {{{{2, 3, 2, 2}}, true}, {{{1, 3, 2, 2}}, false}}, false},
    {"concat H, one twice", concat_self, 2, {{{{2, 3, 1, 7}}, false}, {{{2, 3, 5, 7}}, false}},
     false},
    {"slice C", slice_c, 1, {{{{2, 3, 5, 7}}, false}}, false},
    {"slice N", slice_n, 1, {{{{2, 3, 5, 7}}, false}}, false},
    {"slice H", slice_h, 1, {{{{2, 3, 5, 7}}, false}}, false},
    {"slice W", slice_w, 1, {{{{2, 3, 5, 7}}, true}}, false},
    {"slice of all", slice_all, 1, {{{{2, 3, 5, 7}}, true}}, false},
    {"pad N", pad_n, 1, {{{{2, 3, 5, 7}}, false}}, false},
    {"pad C", pad_c, 1, {{{{2, 3, 5, 7}}, false}}, false},
    {"pad H", pad_h, 1, {{{{2, 3, 5, 7}}, true}}, false},
    {"pad W", pad_w, 1, {{{{2, 3, 5, 7}}, false}}, false},
    {"channel shuffle", channel_shuffle, 1, {{{{2, 6, 5, 7}}, false}}, false},
    {"detach", detach, 1, {{{{2, 3, 5, 7}}, false}}, true},
};

static int move_count(void)
{
    return (int)SFTN_COUNT(moves);
}

static void move_get(int i, op_case *c)
{
    op_case_name_add(c, "%s", moves[i].name);
    for (int k = 0; k < moves[i].nin; k++)
        op_case_input_add(c, moves[i].in[k].shape, moves[i].in[k].wide, OP_FILL_SPREAD);
    op_case_name_shapes(c);
    c->build = moves[i].build;
    c->grad = moves[i].no_grad ? 0 : moves[i].nin == 2 ? 3 : 1;
}

const op_case_family op_cases_move = {move_count, move_get};

/* ---- matrix products ---- */

/* Sizes of op(a) [batch_a, rows, inner] and op(b) [batch_b, inner, cols]. */
static const struct product {
    int64_t batch_a, batch_b, rows, inner, cols;
} products[] = {
    {1, 1, 1, 1, 1}, {1, 1, 4, 7, 3}, {3, 3, 2, 5, 4}, {3, 1, 4, 2, 5},
    {1, 3, 4, 2, 5}, {2, 2, 1, 6, 1}, {1, 1, 8, 16, 10},
};

static const sftn_matmul_spec specs[] = {
    {false, false}, {false, true}, {true, false}, {true, true}};

enum { PRODUCTS = SFTN_COUNT(products) };

static sftn_value build_matmul(sftn_graph *g, const sftn_value *in, const void *arg)
{
    return sftn_matmul(g, in[0], in[1], *(const sftn_matmul_spec *)arg);
}

static int matmul_count(void)
{
    return 4 * PRODUCTS;
}

static void matmul_get(int i, op_case *c)
{
    const struct product *p = &products[i % PRODUCTS];
    const sftn_matmul_spec *spec = &specs[i / PRODUCTS];
    const sftn_shape a = SFTN_SHAPE(p->batch_a, p->rows, p->inner, 1);
    const sftn_shape at = SFTN_SHAPE(p->batch_a, p->inner, p->rows, 1);
    const sftn_shape b = SFTN_SHAPE(p->batch_b, p->inner, p->cols, 1);
    const sftn_shape bt = SFTN_SHAPE(p->batch_b, p->cols, p->inner, 1);

    op_case_name_add(c, "matmul%s%s", spec->trans_a ? " trans_a" : "",
                     spec->trans_b ? " trans_b" : "");
    op_case_input_add(c, spec->trans_a ? at : a, i % 2 != 0, OP_FILL_SIGNED);
    op_case_input_add(c, spec->trans_b ? bt : b, true, OP_FILL_SIGNED);
    op_case_name_shapes(c);
    c->build = build_matmul;
    c->arg = spec;
    c->grad = 3;
}

const op_case_family op_cases_matmul = {matmul_count, matmul_get};

/* ---- eigenvectors ---- */

/*
 * a [B,n,n] with 0, 3, 6, ... added to its diagonal, so that no two values are near each other and
 * no vector's largest entry is in doubt.
 */
static sftn_value spread_diagonal(sftn_graph *g, sftn_value a)
{
    const int64_t n = sftn_value_shape(g, a).dim[SFTN_C];
    sftn_value row[8];

    for (int64_t i = 0; i < n; i++) {
        row[i] = sftn_slice(g, a, SFTN_C, i, 1);
        row[i] = sftn_add(g, row[i], sftn_pad(g, sftn_graph_constant(
            g, (sftn_type){SFTN_SHAPE(1, 1, 1, 1), true}, 3.0f * (float)i), SFTN_H, i, n - 1 - i));
    }
    return sftn_concat(g, row, (int)n, SFTN_C);
}

/* Which: 0 the values, 1 the vectors, 2 a product of both. */
static sftn_value build_eigh(sftn_graph *g, const sftn_value *in, const void *arg)
{
    const int which = *(const int *)arg;
    sftn_value w, v;

    sftn_eigh(g, spread_diagonal(g, in[0]), &w, &v);
    return which == 0 ? w : which == 1 ? v : sftn_mul(g, w, sftn_square(g, v));
}

static const int64_t eigh_sizes[][2] = {{1, 1}, {3, 2}, {2, 3}, {2, 5}, {1, 8}};

static int eigh_count(void)
{
    return 3 * (int)SFTN_COUNT(eigh_sizes);
}

static void eigh_get(int i, op_case *c)
{
    static const int which[] = {0, 1, 2};
    static const char *const names[] = {"values", "vectors", "both"};
    const int64_t *size = eigh_sizes[i / 3];

    op_case_name_add(c, "eigh, %s", names[i % 3]);
    op_case_input_add(c, SFTN_SHAPE(size[0], size[1], size[1], 1), true, OP_FILL_SIGNED);
    op_case_name_shapes(c);
    c->build = build_eigh;
    c->arg = &which[i % 3];
    c->grad = 1;
}

const op_case_family op_cases_eigh = {eigh_count, eigh_get};

/* ---- labels ---- */

BUILD(one_hot5, sftn_one_hot(g, in[0], 5))
BUILD(one_hot1, sftn_one_hot(g, in[0], 1))
BUILD(rank, sftn_rank(g, in[0], in[1]))
BUILD(argmax, sftn_argmax(g, in[0]))

static const struct label_case {
    const char *name;
    sftn_value (*build)(sftn_graph *g, const sftn_value *in, const void *arg);
    int classes, nin;
    sftn_type x;
    op_fill fill;
} label_cases[] = {
    {"one_hot 5", one_hot5, 5, 0, {{{0}}, false}, OP_FILL_SIGNED},
    {"one_hot 1", one_hot1, 1, 0, {{{0}}, false}, OP_FILL_SIGNED},
    {"rank", rank, 6, 2, {{{7, 6, 1, 1}}, true}, OP_FILL_SPREAD},
    {"rank with ties", rank, 6, 2, {{{7, 6, 1, 1}}, true}, OP_FILL_TIES},
    {"argmax", argmax, 0, 1, {{{3, 5, 2, 3}}, false}, OP_FILL_SPREAD},
    {"argmax with ties", argmax, 0, 1, {{{3, 5, 2, 3}}, false}, OP_FILL_TIES},
    {"argmax", argmax, 0, 1, {{{7, 10, 1, 1}}, true}, OP_FILL_SPREAD},
};

static int labels_count(void)
{
    return (int)SFTN_COUNT(label_cases);
}

static void labels_get(int i, op_case *c)
{
    const struct label_case *row = &label_cases[i];

    op_case_name_add(c, "%s", row->name);
    if (row->nin)
        op_case_input_add(c, row->x.shape, row->x.wide, row->fill);
    if (row->classes) {
        op_case_input_add(c, SFTN_SHAPE(7, 1, 1, 1), true, OP_FILL_LABELS);
        c->in[c->nin - 1].classes = row->classes;
    }
    op_case_name_shapes(c);
    c->build = row->build;
}

const op_case_family op_cases_labels = {labels_count, labels_get};

/* ---- fused programs ---- */

/* relu(x0 x1 + x2) with x1, x2 a value a channel: a normalization joined with its activation. */
static const sftn_fused_attr scale_shift_relu = {
    .ncode = 3,
    .shape = {{2, 16, 5, 3}},
    .code = {{SFTN_PW_mul, 0, 1, 0, 0}, {SFTN_PW_add, 3, 2, 0, 0}, {SFTN_PW_relu, 4, 0, 0, 0}},
};

/* clamp(tanh(x0 - x1) / softplus(2 x2), -0.5, 0.5) + x0 */
static const sftn_fused_attr long_program = {
    .ncode = 7,
    .wide = true,
    .shape = {{2, 16, 5, 3}},
    .code = {{SFTN_PW_sub, 0, 1, 0, 0},
             {SFTN_PW_tanh, 3, 0, 0, 0},
             {SFTN_PW_scale, 2, 0, 2.0f, 0},
             {SFTN_PW_softplus, 5, 0, 0, 0},
             {SFTN_PW_div, 4, 6, 0, 0},
             {SFTN_PW_clamp, 7, 0, -0.5f, 0.5f},
             {SFTN_PW_add, 8, 0, 0, 0}},
};

static const struct fused_case {
    const char *name;
    const sftn_fused_attr *program;
    sftn_type in[3];
} fused_cases[] = {
    {"fused mul add relu", &scale_shift_relu,
     {{{{2, 16, 5, 3}}, false}, {{{1, 16, 1, 1}}, true}, {{{1, 16, 1, 1}}, true}}},
    {"fused, seven instructions", &long_program,
     {{{{2, 16, 5, 3}}, true}, {{{2, 16, 5, 3}}, false}, {{{2, 1, 1, 3}}, true}}},
    {"fused, all stretched", &long_program,
     {{{{2, 1, 5, 3}}, false}, {{{1, 16, 1, 1}}, true}, {{{1, 1, 1, 1}}, true}}},
};

static sftn_value build_fused(sftn_graph *g, const sftn_value *in, const void *arg)
{
    return sftn_append(g, &sftn_op_fused, arg, in, 3);
}

static int fused_count(void)
{
    return (int)SFTN_COUNT(fused_cases);
}

static void fused_get(int i, op_case *c)
{
    op_case_name_add(c, "%s", fused_cases[i].name);
    for (int k = 0; k < 3; k++)
        op_case_input_add(c, fused_cases[i].in[k].shape, fused_cases[i].in[k].wide,
                          OP_FILL_SPREAD);
    op_case_name_shapes(c);
    c->build = build_fused;
    c->arg = fused_cases[i].program;
}

const op_case_family op_cases_fused = {fused_count, fused_get};
