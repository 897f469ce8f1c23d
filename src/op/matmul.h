/* matmul.h: batched matrix product a, b -> y over [B,R,K,1]; attr sftn_matmul_spec; y is wide. */
#ifndef SFTN_OP_MATMUL_H
#define SFTN_OP_MATMUL_H

#include "graph/op.h"

extern const sftn_op sftn_op_matmul;

#endif
