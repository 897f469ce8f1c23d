/*
 * conv2d.h: the three convolutions, each the gradient of the others.
 *
 *     conv2d         x [N,C,H,W], w [F,C/groups,kh,kw]  ->  y [N,F,oh,ow]
 *     conv2d_data    gy [N,F,oh,ow], w                  ->  shape, that of x
 *     conv2d_weight  x, gy                              ->  shape, that of w; wide
 */
#ifndef SFTN_OP_CONV2D_H
#define SFTN_OP_CONV2D_H

#include "graph/op.h"

typedef struct sftn_conv2d_attr {
    int stride, pad, groups; /* stride and groups at least 1 */
    int unused;              /* 0, where padding would be */
    sftn_shape shape;        /* of the result (conv2d_data, conv2d_weight); zero for conv2d */
} sftn_conv2d_attr;

extern const sftn_op sftn_op_conv2d, sftn_op_conv2d_data, sftn_op_conv2d_weight;

#endif
