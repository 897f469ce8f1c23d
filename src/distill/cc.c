/*
 * cc: correlation congruence (Peng et al., ICCV 2019), as the CRD benchmark has it.
 *
 *     L = 1/(N-1) sum_{i<N} sum_d D_id D_(i+1)d,    D = |e_s - e_t|
 *
 * e_s, e_t [N,dim]: linear embeddings of both networks' pooled features; both are trained.  Each
 * image of a batch is compared with the next one; a single image has none, and its loss is 0.
 */
#include "distill/distill.h"

typedef struct cc_options {
    int dim;
} cc_options;

static const sftn_option cc_option_table[] = {
    {"dim", SFTN_OPT_INT, offsetof(cc_options, dim), 128, 1, 65536,
     "length of the embeddings of both networks' features", NULL, NULL},
    SFTN_OPTION_END,
};

static void cc_adapt(const sftn_distill_args *a, sftn_tap_pair *pair)
{
    const cc_options *opt = a->options;
    const sftn_dense dense = {.units = opt->dim};

    for (int i = 0; i < a->npairs; i++) {
        const sftn_scope s = sftn_pair_scope(a, i);

        pair[i].student = sftn_nn_dense(&s, "embed_s.linear", sftn_flatten(a->g, pair[i].student),
                                        dense);
        pair[i].teacher = sftn_nn_dense(&s, "embed_t.linear", sftn_flatten(a->g, pair[i].teacher),
                                        dense);
    }
}

static sftn_value neighbours(sftn_graph *g, sftn_value es, sftn_value et)
{
    const sftn_value d = sftn_abs(g, sftn_sub(g, es, et));
    const int64_t n = sftn_value_shape(g, d).dim[SFTN_N];
    sftn_value product;

    if (n < 2)
        return sftn_scale(g, sftn_sum(g, d, SFTN_ALL_AXES), 0.0f);
    product = sftn_mul(g, sftn_slice(g, d, SFTN_N, 0, n - 1), sftn_slice(g, d, SFTN_N, 1, n - 1));
    return sftn_scale(g, sftn_sum(g, product, SFTN_ALL_AXES), 1.0f / (float)(n - 1));
}

static sftn_value cc_loss(const sftn_distill_args *a)
{
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++)
        term[i] = neighbours(a->g, a->pair[i].student, a->pair[i].teacher);
    return sftn_add_terms(a->g, term, a->npairs);
}

const sftn_distiller sftn_distiller_cc = {
    .name         = "cc",
    .summary      = "match embeddings, and how they err together",
    .reference    = "Peng et al., ICCV 2019",
    .options      = cc_option_table,
    .options_size = sizeof(cc_options),
    .pairs        = "pooled",
    .weight       = 0.02,
    .task_weight  = 1.0,
    .adapt        = cc_adapt,
    .loss         = cc_loss,
};
