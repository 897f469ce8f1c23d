/* shape: sizes, comparison and text of shapes; the shape inference that ops share. */
#include "graph/op.h"

#include <stdio.h>
#include <string.h>

int64_t sftn_shape_count(const sftn_shape *shape)
{
    return shape->dim[0] * shape->dim[1] * shape->dim[2] * shape->dim[3];
}

bool sftn_shape_equal(const sftn_shape *a, const sftn_shape *b)
{
    return memcmp(a->dim, b->dim, sizeof a->dim) == 0;
}

void sftn_shape_format(const sftn_shape *shape, char *buf, size_t size)
{
    snprintf(buf, size, "[%lld,%lld,%lld,%lld]", (long long)shape->dim[0],
             (long long)shape->dim[1], (long long)shape->dim[2], (long long)shape->dim[3]);
}

static bool any_wide(const sftn_type *in, int nin)
{
    for (int i = 0; i < nin; i++)
        if (in[i].wide)
            return true;
    return false;
}

bool sftn_infer_same(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                     size_t size)
{
    (void)attr;
    for (int i = 1; i < nin; i++) {
        if (!sftn_shape_equal(&in[0].shape, &in[i].shape)) {
            char a[96], b[96];

            sftn_shape_format(&in[0].shape, a, sizeof a);
            sftn_shape_format(&in[i].shape, b, sizeof b);
            snprintf(why, size, "operands must have one shape, found %s and %s", a, b);
            return false;
        }
    }
    out[0] = (sftn_type){in[0].shape, any_wide(in, nin)};
    return true;
}

bool sftn_infer_broadcast(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                          char *why, size_t size)
{
    sftn_shape shape = in[0].shape;

    (void)attr;
    for (int i = 1; i < nin; i++) {
        for (int d = 0; d < SFTN_DIMS; d++) {
            const int64_t n = in[i].shape.dim[d];

            if (shape.dim[d] != n && shape.dim[d] != 1 && n != 1) {
                char a[96], b[96];

                sftn_shape_format(&shape, a, sizeof a);
                sftn_shape_format(&in[i].shape, b, sizeof b);
                snprintf(why, size, "shapes %s and %s do not broadcast", a, b);
                return false;
            }
            if (shape.dim[d] == 1)
                shape.dim[d] = n;
        }
    }
    out[0] = (sftn_type){shape, any_wide(in, nin)};
    return true;
}
