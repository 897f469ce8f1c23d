/* list.h: all ops of this build, those of pointwise.def first. */
#ifndef SFTN_OP_LIST_H
#define SFTN_OP_LIST_H

#include "graph/op.h"

/* The i-th op; NULL past the end. */
const sftn_op *sftn_op_list(int i);

#endif
