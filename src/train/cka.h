/*
 * cka.h: linear centred kernel alignment (Kornblith et al., ICML 2019), accumulated over batches.
 */
#ifndef SFTN_TRAIN_CKA_H
#define SFTN_TRAIN_CKA_H

#include "base/base.h"

/* Rows whose products are added at once: each sum is read and written once for all of them. */
enum { SFTN_CKA_ROWS = 8 };

typedef struct sftn_cka {
    int p, q;               /* columns of X and of Y */
    int64_t n;              /* rows so far */
    double *shift;          /* [p+q]: the first row, subtracted from every row */
    double *sum;            /* [p+q]: of shifted columns */
    /* [p,p], [q,q], [p,q]: sums of products of shifted columns; of the first two the part from the
       diagonal to the right */
    double *xx, *yy, *xy;
    double *x, *y; /* [SFTN_CKA_ROWS,p], [SFTN_CKA_ROWS,q]: scratch */
} sftn_cka;

sftn_status sftn_cka_open(sftn_cka *c, int p, int q, sftn_error *err);
void sftn_cka_close(sftn_cka *c);
/* n more rows, x [n,p] and y [n,q]. */
void sftn_cka_add(sftn_cka *c, const double *x, const double *y, int64_t n);
/* 0..1; 0 where either side is constant. */
double sftn_cka_value(const sftn_cka *c);

#endif
