/*
 * feature: what distillation methods do with feature maps before they compare them.
 */
#include "sftn/nn.h"

#include <float.h>

/*
 * The square is held above 1e-24 before the root: the norm is then held above 1e-12, and a row of
 * zeros has a finite gradient.
 */
sftn_value sftn_l2_normalize(sftn_graph *g, sftn_value x)
{
    sftn_value square = sftn_sum(g, sftn_square(g, x), SFTN_AXES_CHW);

    return sftn_div(g, x, sftn_sqrt(g, sftn_clamp(g, square, 1e-24f, FLT_MAX)));
}

sftn_value sftn_pool_to_match(sftn_graph *g, sftn_value x, sftn_value like)
{
    const int64_t from = sftn_value_shape(g, x).dim[SFTN_H];
    const int64_t to = sftn_value_shape(g, like).dim[SFTN_H];

    if (sftn_is_none(x) || sftn_is_none(like))
        return SFTN_NONE;
    return from > to ? sftn_adaptive_avg_pool2d(g, x, to, to) : x;
}
