/*
 * eigh.h: eigenvalues and eigenvectors of symmetric matrices.
 *
 *     eigh    a [B,n,n,1]  ->  values [B,n,1,1], largest first; vectors [B,n,n,1], in columns
 */
#ifndef SFTN_OP_EIGH_H
#define SFTN_OP_EIGH_H

#include "graph/op.h"

extern const sftn_op sftn_op_eigh;

#endif
