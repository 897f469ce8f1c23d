/* case_family.h: the parts of the table of cases (cases.h). */
#ifndef SFTN_TEST_CASE_FAMILY_H
#define SFTN_TEST_CASE_FAMILY_H

#include "base/base.h"
#include "op/cases.h"

/* Case i of a family, 0 <= i < count; *c is zero before. */
typedef struct op_case_family {
    int (*count)(void);
    void (*get)(int i, op_case *c);
} op_case_family;

extern const op_case_family op_cases_pointwise, op_cases_conv, op_cases_pool, op_cases_norm,
    op_cases_reduce, op_cases_move, op_cases_matmul, op_cases_eigh,
    op_cases_labels, op_cases_fused, op_cases_rows;

/* Add an input. */
void op_case_input_add(op_case *c, sftn_shape shape, bool wide, op_fill fill);
/* Append to the name. */
void op_case_name_add(op_case *c, const char *format, ...) SFTN_PRINTF(2, 3);
/* Append " [n,c,h,w]" of every input, "w" after a wide one's. */
void op_case_name_shapes(op_case *c);

#endif
