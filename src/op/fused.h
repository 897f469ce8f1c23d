/*
 * fused.h: pointwise formulas as a small program, the one form in which backends execute them.
 *
 * Register i < nin holds an operand; instruction k writes register nin + k; the last instruction
 * writes the output.  A single pointwise node is a program of one instruction; plan/fuse.c joins
 * neighbours into longer ones, so that an activation is read and written once.
 */
#ifndef SFTN_OP_FUSED_H
#define SFTN_OP_FUSED_H

#include "graph/op.h"

/* One code for each line of pointwise.def: SFTN_PW_add, SFTN_PW_relu, ... */
typedef enum sftn_pointwise {
    SFTN_PW_NONE = 0,
#define SFTN_POINTWISE1(name, formula) SFTN_PW_##name,
#define SFTN_POINTWISE2(name, formula) SFTN_PW_##name,
#include "op/pointwise.def"
    SFTN_PW_COUNT
} sftn_pointwise;

/* Attributes of every pointwise op: p and q are the formula's constants. */
typedef struct sftn_pointwise_attr {
    float p, q;
    sftn_shape shape; /* expand: the result's shape; otherwise zero */
    int64_t width;    /* cast: 1 wide, -1 narrow; otherwise 0: as the operands */
} sftn_pointwise_attr;

enum { SFTN_FUSED_MAX_CODE = 48, SFTN_FUSED_MAX_REG = SFTN_MAX_IN + SFTN_FUSED_MAX_CODE };

typedef struct sftn_instruction {
    uint16_t op;  /* sftn_pointwise */
    uint8_t a, b; /* operand registers; b is ignored by one-operand formulas */
    float p, q;
} sftn_instruction;

typedef struct sftn_fused_attr {
    int32_t ncode, wide; /* wide: of the result */
    sftn_shape shape;    /* of the result; operands broadcast to it */
    sftn_instruction code[SFTN_FUSED_MAX_CODE];
} sftn_fused_attr;

/* The op of a program; nin operands, one output. */
extern const sftn_op sftn_op_fused;

/* Name of a code ("relu"), and its number of operands (1 or 2). */
const char *sftn_pointwise_name(int code);
int sftn_pointwise_operands(int code);

#endif
