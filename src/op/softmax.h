/* softmax.h: softmax and log_softmax of x [N,C,H,W] over C; no attributes; results are wide. */
#ifndef SFTN_OP_SOFTMAX_H
#define SFTN_OP_SOFTMAX_H

#include "graph/op.h"

extern const sftn_op sftn_op_softmax, sftn_op_log_softmax;

#endif
