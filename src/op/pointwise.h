/* pointwise.h: the op of every line of pointwise.def; attributes are sftn_pointwise_attr. */
#ifndef SFTN_OP_POINTWISE_H
#define SFTN_OP_POINTWISE_H

#include "op/fused.h"

#define SFTN_POINTWISE1(name, formula) extern const sftn_op sftn_op_##name;
#define SFTN_POINTWISE2(name, formula) extern const sftn_op sftn_op_##name;
#include "op/pointwise.def"

/* The formula of `code` in double precision; one-operand formulas ignore b. */
double sftn_pointwise_eval(int code, double a, double b, double p, double q);

#endif
