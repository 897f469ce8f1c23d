/*
 * rows.h: rows of a table picked by number, without a copy of them.
 *
 *     rows_dot      table [R,D,1,1], rows [N,K,1,1], x [N,D,1,1]  ->  [N,K,1,1], wide
 *     rows_mix      table, rows, weight [N,K,1,1]                 ->  [N,D,1,1], wide
 *     rows_replace  table, rows [N,1,1,1], x [N,D,1,1]            ->  table's shape, wide
 *     draws         record [N,1,1,1], step [1,1,1,1]              ->  [N,1 + count,1,1], wide
 *
 * A number that is no row of the table (negative, too large) stands for a row of zeros.
 */
#ifndef SFTN_OP_ROWS_H
#define SFTN_OP_ROWS_H

#include "graph/op.h"

/* The classes of a data set's records: what draws choose from.  Must outlive graphs and plans. */
struct sftn_draw_table {
    int64_t records;
    int classes;
    int32_t *class_of;   /* [records] */
    int64_t *class_size; /* [classes] */
};

typedef struct sftn_draws_attr {
    const struct sftn_draw_table *table;
    int64_t count, relaxed; /* whether the first number is that of any record of the class */
    uint64_t seed;
} sftn_draws_attr;

/* The numbers of one record's row of draws, [1 + count]; of no record, all -1. */
void sftn_draw_row(const sftn_draws_attr *attr, int64_t record, int64_t step, int32_t *row);

extern const sftn_op sftn_op_rows_dot, sftn_op_rows_mix, sftn_op_rows_replace, sftn_op_draws;

#endif
