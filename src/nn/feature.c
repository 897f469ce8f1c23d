/*
 * feature: what distillation methods do with feature maps before they compare them.
 */
#include "sftn/nn.h"

#include <float.h>

/* The square is held above 1e-24 before the root, so that nothing is infinite where it is 0. */
sftn_value sftn_l2_normalize(sftn_graph *g, sftn_value x, int axes)
{
    const float least = 1e-24f;
    sftn_value square = sftn_sum(g, sftn_square(g, x), axes);
    sftn_value inverse = sftn_rsqrt(g, sftn_clamp(g, square, least, FLT_MAX));

    return sftn_mul(g, x, sftn_mask(g, inverse, sftn_shift(g, square, -least)));
}

sftn_value sftn_pool_to_match(sftn_graph *g, sftn_value x, sftn_value like)
{
    const int64_t from = sftn_value_shape(g, x).dim[SFTN_H];
    const int64_t to = sftn_value_shape(g, like).dim[SFTN_H];

    if (sftn_is_none(x) || sftn_is_none(like))
        return SFTN_NONE;
    return from > to ? sftn_adaptive_avg_pool2d(g, x, to, to) : x;
}

/* Every axis is split into `size` pixels and `step` copies of each, of which the first is kept. */
static sftn_value keep_first(sftn_graph *g, sftn_value x, int64_t size, int64_t step)
{
    const sftn_shape s = sftn_value_shape(g, x);
    const int64_t maps = s.dim[SFTN_N] * s.dim[SFTN_C];

    x = sftn_reshape(g, x, SFTN_SHAPE(maps * size, step, size, step));
    x = sftn_slice(g, sftn_slice(g, x, SFTN_C, 0, 1), SFTN_W, 0, 1);
    return sftn_reshape(g, x, SFTN_SHAPE(s.dim[SFTN_N], s.dim[SFTN_C], size, size));
}

static int64_t common_multiple(int64_t a, int64_t b)
{
    int64_t x = a, y = b;

    while (y != 0) {
        const int64_t rest = x % y;

        x = y;
        y = rest;
    }
    return a / x * b;
}

/*
 * Pixels are repeated to the least common multiple of both sizes (pooling to a multiple reads one
 * pixel for each of the result's), then left out.
 */
sftn_value sftn_resize_nearest(sftn_graph *g, sftn_value x, int64_t size)
{
    const sftn_shape s = sftn_value_shape(g, x);
    const int64_t from = s.dim[SFTN_H];
    int64_t fine;

    if (sftn_is_none(x) || (from == size && s.dim[SFTN_W] == size))
        return x;
    if (size < 1 || s.dim[SFTN_W] != from) {
        char text[64];

        sftn_shape_format(&s, text, sizeof text);
        return sftn_graph_fail(g, "resize_nearest: map %s to %lld pixels; expected a square and at "
                               "least 1", text, (long long)size);
    }
    fine = common_multiple(from, size);
    if (fine > from)
        x = sftn_adaptive_avg_pool2d(g, x, fine, fine);
    return fine > size ? keep_first(g, x, size, fine / size) : x;
}

sftn_value sftn_channel_rows(sftn_graph *g, sftn_value x)
{
    const sftn_shape s = sftn_value_shape(g, x);

    return sftn_reshape(g, x, SFTN_SHAPE(s.dim[SFTN_N], s.dim[SFTN_C],
                                         s.dim[SFTN_H] * s.dim[SFTN_W], 1));
}
