/*
 * kdsvd: self-supervised distillation by singular vectors (Lee, Kim and Song, ECCV 2018), as the
 * CRD benchmark has it.
 *
 *     L = 1/N sum over neighbouring stages of sum_cd (R_s - R_t)^2,  R_cd = exp(-(a_c - b_d)^2 / 8)
 *
 * An image's map is a matrix of positions by channels; a [C] is its first right singular vector in
 * one stage, b [D] that of the stage before: k of each with option k, weighted by the teacher's
 * singular values, which are scaled to unit length.  For each of the teacher's vectors the
 * student's is that of its k + 3 first which is nearest, in the teacher's sign.  Numbers of
 * channels must be equal.
 *
 * mdistiller makes the matrix of channels and rows by columns, so that vectors have as many entries
 * as a map has columns, which must be equal, and numbers of channels need not be: option vectors.
 *
 * Singular vectors have no sign of their own, but R depends on that of a relative to b: here a
 * teacher's vector points along the mean of the map's positions, as it does where maps hold no
 * negative values whatever the library that computes it.
 *
 * Right singular vectors are the eigenvectors of X'X, or X' times those of XX' where there are
 * fewer positions than channels.
 */
#include "distill/distill.h"

#include <float.h>

enum { SPARE = 3 }; /* how many more of the student's vectors there are to choose from */

enum { CHANNELS, COLUMNS };

typedef struct kdsvd_options {
    int k, vectors;
} kdsvd_options;

static const sftn_option kdsvd_option_table[] = {
    {"k", SFTN_OPT_INT, offsetof(kdsvd_options, k), 1, 1, 64,
     "singular vectors of the teacher that are kept", NULL, NULL},
    {"vectors", SFTN_OPT_CHOICE, offsetof(kdsvd_options, vectors), CHANNELS, 0, 1,
     "what a vector has an entry for: each channel (the CRD benchmark), or each column of the map, "
     "which takes unequal channels (mdistiller)", "channels|columns", NULL},
    SFTN_OPTION_END,
};

typedef struct singular {
    sftn_value x;       /* [N,E,M,1], the matrix transposed: E entries of a vector */
    sftn_value vectors; /* [N,E,k,1], of unit length */
    sftn_value squares; /* [N,k,1,1], of singular values */
} singular;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The matrix of a map [N,C,H,W], transposed: [N,C,HW,1] or [N,W,CH,1]. */
static sftn_value matrix(const sftn_distill_args *a, sftn_value f)
{
    static const int columns_first[] = {0, 3, 1, 2};
    const sftn_shape s = sftn_value_shape(a->g, f);

    if (((const kdsvd_options *)a->options)->vectors == CHANNELS)
        return sftn_channel_rows(a->g, f);
    return sftn_reshape(a->g, sftn_permute(a->g, f, columns_first),
                        SFTN_SHAPE(s.dim[SFTN_N], s.dim[SFTN_W],
                                   s.dim[SFTN_C] * s.dim[SFTN_H], 1));
}

/* Whether vectors of both networks have as many entries. */
static bool comparable(const sftn_distill_args *a)
{
    if (((const kdsvd_options *)a->options)->vectors == CHANNELS)
        return sftn_equal_channels(
            a, "at, nst and vid take unequal channels, and so does kdsvd.vectors columns");
    for (int i = 0; i < a->npairs; i++) {
        const sftn_tap_pair *p = &a->pair[i];
        const int64_t s = sftn_value_shape(a->g, p->student).dim[SFTN_W];
        const int64_t t = sftn_value_shape(a->g, p->teacher).dim[SFTN_W];

        if (s == t)
            continue;
        sftn_graph_fail(a->g, "the student's %s has %lld columns and the teacher's %s %lld, but "
                        "the method compares column with column; at and nst take unequal sizes",
                        p->student_name, (long long)s, p->teacher_name, (long long)t);
        return false;
    }
    return true;
}

/* As many vectors as are asked for and every map has. */
static int kept(const sftn_distill_args *a)
{
    int64_t k = ((const kdsvd_options *)a->options)->k;

    for (int i = 0; i < 2 * a->npairs; i++) {
        const sftn_tap_pair *p = &a->pair[i / 2];
        const sftn_shape s =
            sftn_value_shape(a->g, matrix(a, i % 2 ? p->student : p->teacher));

        k = smaller(k, smaller(s.dim[SFTN_C], s.dim[SFTN_H]));
    }
    return (int)k;
}

/* The first k right singular vectors of a map, or as many as it has. */
static singular decompose(const sftn_distill_args *a, sftn_value f, int64_t k)
{
    sftn_graph *g = a->g;
    const sftn_value x = sftn_cast(g, matrix(a, f), true);
    const sftn_shape s = sftn_value_shape(g, x);
    const bool by_channel = s.dim[SFTN_C] <= s.dim[SFTN_H];
    const sftn_matmul_spec spec = {.trans_a = !by_channel, .trans_b = by_channel};
    sftn_value values, vectors;

    k = smaller(k, smaller(s.dim[SFTN_C], s.dim[SFTN_H]));
    sftn_eigh(g, sftn_matmul(g, x, x, spec), &values, &vectors);
    vectors = sftn_slice(g, vectors, SFTN_H, 0, k);
    if (!by_channel)
        vectors = sftn_matmul(g, x, vectors, (sftn_matmul_spec){0});
    return (singular){.x = x,
                      .vectors = sftn_l2_normalize(g, vectors, SFTN_AXIS_C),
                      .squares = sftn_slice(g, values, SFTN_C, 0, k)};
}

/* Each of t's vectors turned so that its product with the mean position is not negative. */
static sftn_value oriented(sftn_graph *g, const singular *t)
{
    const sftn_value mean = sftn_mean(g, t->x, SFTN_AXIS_H);
    const sftn_value along = sftn_matmul(g, mean, t->vectors, (sftn_matmul_spec){.trans_a = true});
    const sftn_value sign = sftn_shift(g, sftn_scale(g, sftn_step(g, along), 2.0f), -1.0f);

    return sftn_mul(g, t->vectors, sign);
}

/* For each of t's vectors the one of s nearest to it, in its sign: [N,C,k,1]. */
static sftn_value aligned(sftn_graph *g, sftn_value s, sftn_value t)
{
    const sftn_value cosine = sftn_matmul(g, s, t, (sftn_matmul_spec){.trans_a = true});
    const sftn_value size = sftn_abs(g, cosine);
    const sftn_value nearest = sftn_equal(g, size, sftn_max(g, size, SFTN_AXIS_C));

    return sftn_matmul(g, s, sftn_detach(g, sftn_mul(g, nearest, sftn_sign(g, cosine))),
                       (sftn_matmul_spec){0});
}

/* The teacher's singular values at unit length, [N,1,k,1]. */
static sftn_value weights(sftn_graph *g, const singular *t)
{
    const sftn_value root = sftn_sqrt(g, sftn_clamp(g, t->squares, 1e-24f, FLT_MAX));
    const sftn_shape s = sftn_value_shape(g, root);

    return sftn_reshape(g, sftn_l2_normalize(g, root, SFTN_AXIS_C),
                        SFTN_SHAPE(s.dim[SFTN_N], 1, s.dim[SFTN_C], 1));
}

/* a [N,C,k,1] of one stage, b [N,D,k,1] of the one before -> [N,C,D,k] */
static sftn_value table(sftn_graph *g, sftn_value a, sftn_value b)
{
    static const int columns[] = {0, 1, 3, 2}, rows[] = {0, 3, 1, 2};
    const sftn_value gap = sftn_sub(g, sftn_permute(g, a, columns), sftn_permute(g, b, rows));

    return sftn_exp(g, sftn_scale(g, sftn_square(g, gap), -0.125f));
}

static sftn_value kdsvd_loss(const sftn_distill_args *a)
{
    const int k = kept(a);
    sftn_graph *g = a->g;
    sftn_value s[SFTN_MAX_PAIRS], t[SFTN_MAX_PAIRS], term[SFTN_MAX_PAIRS];

    if (a->npairs < 2)
        return sftn_graph_fail(g, "one pair of maps given, the method needs two or more");
    if (!comparable(a))
        return SFTN_NONE;
    for (int i = 0; i < a->npairs; i++) {
        const singular teacher = decompose(a, a->pair[i].teacher, k);
        const singular student = decompose(a, a->pair[i].student, k + SPARE);
        const sftn_value w = weights(g, &teacher), v = oriented(g, &teacher);

        t[i] = sftn_mul(g, v, w);
        s[i] = sftn_mul(g, aligned(g, student.vectors, v), w);
    }
    for (int i = 0; i + 1 < a->npairs; i++) {
        const float n = (float)sftn_value_shape(g, s[i]).dim[SFTN_N];
        const sftn_value gap = sftn_sub(g, table(g, s[i + 1], s[i]), table(g, t[i + 1], t[i]));

        term[i] = sftn_scale(g, sftn_sum(g, sftn_square(g, gap), SFTN_ALL_AXES), 1.0f / n);
    }
    return sftn_add_terms(g, term, a->npairs - 1);
}

const sftn_distiller sftn_distiller_kdsvd = {
    .name         = "kdsvd",
    .summary      = "match how singular vectors of each stage relate to the stage before",
    .reference    = "Lee, Kim and Song, ECCV 2018",
    .options      = kdsvd_option_table,
    .options_size = sizeof(kdsvd_options),
    .pairs        = "stages",
    .weight       = 1.0,
    .task_weight  = 1.0,
    .loss         = kdsvd_loss,
};
