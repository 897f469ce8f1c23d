/*
 * labels.h: class indices.
 *
 *     one_hot   labels [N,1,1,1]      ->  [N,classes,1,1], wide
 *     rank      x [N,C,1,1], labels   ->  [N,1,1,1], wide
 *     argmax    x [N,C,H,W]           ->  [N,1,H,W], wide
 */
#ifndef SFTN_OP_LABELS_H
#define SFTN_OP_LABELS_H

#include "graph/op.h"

typedef struct sftn_one_hot_attr {
    int classes;
} sftn_one_hot_attr;

extern const sftn_op sftn_op_one_hot, sftn_op_rank, sftn_op_argmax;

#endif
