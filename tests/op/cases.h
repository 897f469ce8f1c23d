/*
 * cases.h: every op at shapes and settings that have gone wrong somewhere, for any test that runs
 * ops: gradients against finite differences, one backend against another, timing.
 */
#ifndef SFTN_TEST_CASES_H
#define SFTN_TEST_CASES_H

#include "sftn/op.h"

enum { OP_CASE_MAX_IN = 8 };

/* How an input is filled. */
typedef enum op_fill {
    OP_FILL_SIGNED,   /* uniform in [-1, 1] */
    OP_FILL_POSITIVE, /* uniform in [0.5, 1.5] */
    OP_FILL_SPREAD,   /* distinct multiples of 1/16 in random order, plus 1/64 per input (of the
                         first three): never 0, never equal to another input's */
    OP_FILL_TIES,     /* -1, 0 or 1 */
    OP_FILL_LABELS,   /* 0 .. classes - 1 */
} op_fill;

typedef struct op_case_input {
    sftn_type type;
    op_fill fill;
    int classes; /* OP_FILL_LABELS */
} op_case_input;

typedef struct op_case {
    char name[96]; /* "conv2d [2,3,5,5] [4,3,3,3] stride 2 pad 1 groups 1" */
    int nin;
    op_case_input in[OP_CASE_MAX_IN];
    unsigned grad; /* bit i: the derivative by input i exists at these values */
    sftn_value (*build)(sftn_graph *g, const sftn_value *in, const void *arg);
    const void *arg;
} op_case;

/* The i-th case; false past the end. */
bool op_case_get(int i, op_case *c);

/* Append inputs "x0", "x1", ... (to in[], unless NULL) and the result, which is output "y". */
sftn_value op_case_build(const op_case *c, sftn_graph *g, sftn_value *in);

/*
 * The same, and outputs "g0", "g1", ...: the gradient of sum(y r) by every input of c->grad that y
 * depends on.  r is the input "r", of y's shape and wide.
 */
sftn_status op_case_build_gradient(const op_case *c, sftn_graph *g, sftn_error *err);

/* Values of input i, [N,C,H,W] order. */
void op_case_fill(const op_case *c, int i, uint64_t seed, double *dst);

#endif
