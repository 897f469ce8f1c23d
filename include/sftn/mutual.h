/*
 * mutual.h: collaborative methods: networks that are trained together, each from the labels and
 * from what the others answer.
 */
#ifndef SFTN_MUTUAL_H
#define SFTN_MUTUAL_H

#include "sftn/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SFTN_MAX_PEERS = 4 };

typedef struct sftn_mutual_args {
    sftn_graph *g;
    const sftn_scope *scope;           /* for the method's own state; named "METHOD" */
    int n;                             /* networks, 2 to SFTN_MAX_PEERS */
    sftn_value logits[SFTN_MAX_PEERS]; /* [N,K,1,1] of each */
    sftn_value labels;                 /* [N,1,1,1] */
    int classes;
    const void *options; /* the method's own options struct */
} sftn_mutual_args;

/*
 * What a method finds out about the networks on held-out images: after each epoch the mean over all
 * of them of what `row` says of one, from which `settle` makes the state that the loss reads in the
 * epochs that follow.  Until then the state is as it was created.
 */
typedef struct sftn_mutual_survey {
    const char *why;   /* held-out images are needed, for who has none: a clause */
    const char *state; /* the entry of the method's own, METHOD.state, that the loss creates */
    /* Append [N,...], the same number of values an image; the networks are in evaluation mode. */
    sftn_value (*row)(const sftn_mutual_args *args);
    /* For n networks; mean: of the row's values, in their order. */
    void (*settle)(const void *options, int n, const double *mean, float *state);
} sftn_mutual_survey;

typedef struct sftn_mutual {
    const char *name;
    const char *summary;
    const char *reference;
    const sftn_option *options;
    size_t options_size;
    double weight; /* default factor of the loss, beside a cross-entropy of weight 1 */
    bool own_views; /* each network has a crop and a mirroring of its own of the same images */
    /*
     * Append what network i learns from the others, a scalar; without gradient into those, unless
     * an option asks for it.
     */
    sftn_value (*loss)(const sftn_mutual_args *args, int i);
    /* By the options, NULL where they ask for none; NULL: never one. */
    const sftn_mutual_survey *(*survey)(const void *options);
} sftn_mutual;

SFTN_API const sftn_mutual *sftn_mutual_find(const char *name, sftn_error *err);
SFTN_API const sftn_mutual *sftn_mutual_list(int i); /* NULL past the end */

#ifdef __cplusplus
}
#endif
#endif
