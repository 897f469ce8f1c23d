/*
 * batch_norm.h: batch normalization; all but x, gy and y are [1,C,1,1] and wide.
 *
 *     moments          x                             ->  mean, biased variance over N, H, W
 *     batch_norm       x, gamma, beta, mean, var     ->  y, as wide as x
 *     batch_norm_sums  x, gy, mean, rstd             ->  sum of gy, sum of gy (x - mean) rstd
 */
#ifndef SFTN_OP_BATCH_NORM_H
#define SFTN_OP_BATCH_NORM_H

#include "graph/op.h"

typedef struct sftn_batch_norm_attr {
    float eps;
    int32_t batch_stats; /* mean and var are the moments of x */
} sftn_batch_norm_attr;

extern const sftn_op sftn_op_moments, sftn_op_batch_norm, sftn_op_batch_norm_sums;

#endif
