/*
 * mutual.h: collaborative methods: networks that are trained together, each from the labels and
 * from what the others answer.
 */
#ifndef SFTN_MUTUAL_H
#define SFTN_MUTUAL_H

#include "sftn/op.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SFTN_MAX_PEERS = 4 };

typedef struct sftn_mutual_args {
    sftn_graph *g;
    int n;                             /* networks, 2 to SFTN_MAX_PEERS */
    sftn_value logits[SFTN_MAX_PEERS]; /* [N,K,1,1] of each */
    sftn_value labels;                 /* [N,1,1,1] */
    int classes;
    const void *options; /* the method's own options struct */
} sftn_mutual_args;

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
} sftn_mutual;

SFTN_API const sftn_mutual *sftn_mutual_find(const char *name, sftn_error *err);
SFTN_API const sftn_mutual *sftn_mutual_list(int i); /* NULL past the end */

#ifdef __cplusplus
}
#endif
#endif
