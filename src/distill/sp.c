/*
 * sp: similarity-preserving distillation (Tung and Mori, ICCV 2019).
 *
 *     L = 1/N^2 ||G_t - G_s||^2,    G = F F^T with rows of unit length
 *
 * F [N,C*H*W]: the flattened features of the last stage, so G says how alike a network finds the
 * images of a batch.  The networks' features need not agree in shape.
 */
#include "distill/distill.h"

/* f [N,...] -> G [N,N] */
static sftn_value similarities(sftn_graph *g, sftn_value f)
{
    const sftn_value flat = sftn_flatten(g, f);
    const sftn_shape s = sftn_value_shape(g, flat);
    const int64_t n = s.dim[SFTN_N];
    const sftn_value rows = sftn_reshape(g, flat, SFTN_SHAPE(1, n, s.dim[SFTN_C], 1));
    const sftn_value gram = sftn_matmul(g, rows, rows, (sftn_matmul_spec){.trans_b = true});

    return sftn_l2_normalize(g, sftn_reshape(g, gram, SFTN_SHAPE(n, n, 1, 1)), SFTN_AXIS_C);
}

static sftn_value sp_loss(const sftn_distill_args *a)
{
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++)
        term[i] = sftn_mse(a->g, similarities(a->g, a->pair[i].student),
                           similarities(a->g, a->pair[i].teacher));
    return sftn_add_terms(a->g, term, a->npairs);
}

const sftn_distiller sftn_distiller_sp = {
    .name        = "sp",
    .summary     = "match which images of a batch look alike",
    .reference   = "Tung and Mori, ICCV 2019",
    .pairs       = "last",
    .weight      = 3000.0,
    .task_weight = 1.0,
    .loss        = sp_loss,
};
