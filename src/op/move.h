/* move.h: ops that copy elements without computing; the result is as wide as the input. */
#ifndef SFTN_OP_MOVE_H
#define SFTN_OP_MOVE_H

#include "graph/op.h"

/* reshape: the elements in [N,C,H,W] order, read with another shape (a view). */
typedef struct sftn_reshape_attr {
    sftn_shape shape;
} sftn_reshape_attr;

/* permute: result dimension i is input dimension order[i]. */
typedef struct sftn_permute_attr {
    int order[SFTN_DIMS];
} sftn_permute_attr;

/* concat: any number of inputs, one after the other along axis; wide where any input is. */
typedef struct sftn_concat_attr {
    int axis;
} sftn_concat_attr;

/* slice: entries start .. start + count - 1 of axis. */
typedef struct sftn_slice_attr {
    int axis, unused; /* unused: 0, where padding would be */
    int64_t start, count;
} sftn_slice_attr;

/* pad: zeros before and after the input along axis. */
typedef struct sftn_pad_attr {
    int axis, unused; /* unused: 0, where padding would be */
    int64_t before, after;
} sftn_pad_attr;

extern const sftn_op sftn_op_reshape, sftn_op_permute, sftn_op_concat, sftn_op_slice, sftn_op_pad;
/* detach: x itself, ending the way of gradients (a view); sftn_graph_prune leaves it out. */
extern const sftn_op sftn_op_detach;

#endif
