/* pointwise_grad.h: derivatives of the formulas of pointwise.def. */
#ifndef SFTN_OP_POINTWISE_GRAD_H
#define SFTN_OP_POINTWISE_GRAD_H

#include "op/pointwise.h"

/*
 * gin[i] = gy times the derivative by operand i, of the result's shape; SFTN_NONE where that is
 * zero everywhere.
 */
void sftn_pointwise_rule(sftn_graph *g, const sftn_node *n, sftn_value gy, sftn_value *gin);

#endif
