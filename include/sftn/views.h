/*
 * views.h: what a batch holds of each record.
 *
 * A batch of n records with v views has v n rows of images: first the n records as one view sees
 * them, then all as the next one does.  View i of the batch's record k is row i n + k; labels and
 * record numbers have n rows.  The first view is the same whatever others there are.
 */
#ifndef SFTN_VIEWS_H
#define SFTN_VIEWS_H

#include "sftn/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SFTN_MAX_VIEWS = 16 };

typedef struct sftn_views {
    int n; /* 1 .. SFTN_MAX_VIEWS; 0 means 1 */
    /*
     * View i is turned counterclockwise by i right angles, and all are mirrored or none is; every
     * one has a crop of its own.  False: each is cropped and mirrored by itself.
     */
    bool turned;
} sftn_views;

/* Rows of images in a batch of n records. */
static inline int64_t sftn_views_rows(sftn_views views, int64_t n)
{
    return views.n > 1 ? views.n * n : n;
}

#ifdef __cplusplus
}
#endif
#endif
