/* reduce.h: sum and maximum over a set of axes, which become 1; results are wide. */
#ifndef SFTN_OP_REDUCE_H
#define SFTN_OP_REDUCE_H

#include "graph/op.h"

typedef struct sftn_reduce_attr {
    int axes; /* SFTN_AXIS_N | ...; never 0 */
} sftn_reduce_attr;

extern const sftn_op sftn_op_sum, sftn_op_max;

#endif
