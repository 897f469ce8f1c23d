/*
 * optimizer.h: stochastic gradient descent over whole parameter stores, and averaged weights.
 */
#ifndef SFTN_TRAIN_OPTIMIZER_H
#define SFTN_TRAIN_OPTIMIZER_H

#include "base/base.h"
#include "sftn/train.h"

typedef struct sftn_sgd {
    double momentum, weight_decay;
    bool nesterov;
    double clip; /* largest gradient norm over all stores; 0: any */
    double dot;  /* how far the momenta of two groups of gradients lie from `momentum`; 0: one */
} sftn_sgd;

/* Weights of one store that lie next to one another, padding included. */
typedef struct sftn_span {
    int store;
    int groups; /* bit i: they have a gradient of group i */
    int64_t begin, count;
} sftn_span;

typedef struct sftn_optimizer {
    sftn_sgd sgd;
    int nstores;
    sftn_params *params[SFTN_MAX_STORES];
    float *momentum[SFTN_MAX_STORES]; /* like the weights, padding included */
    /*
     * With two groups: the weights of each store once more, whose gradients are those of the second
     * group, and whose values its momentum.  NULL otherwise.
     */
    sftn_params *second[SFTN_MAX_STORES];
    double *partial;                  /* sums of squares, one for each block of the largest store */
    const sftn_span *span;            /* what is trained; borrowed */
    int nspans;
} sftn_optimizer;

/* The params must outlive o and gain no entry while it lives.  Nothing is trained as yet. */
sftn_status sftn_optimizer_open(sftn_optimizer *o, const sftn_sgd *sgd, sftn_params *const *params,
                                int nparams, sftn_error *err);
void sftn_optimizer_close(sftn_optimizer *o);

/* Train the weights of these spans from now on and no others; they must outlive their use. */
void sftn_optimizer_train(sftn_optimizer *o, const sftn_span *span, int nspans);
/* All momentum to 0, as before the first step. */
void sftn_optimizer_reset(sftn_optimizer *o);

/* Update every weight that is trained from the gradients in the stores. */
void sftn_optimizer_step(sftn_optimizer *o, double lr);
/* Euclidean norm of the first group of them; the same bits for any number of threads. */
double sftn_optimizer_norm(const sftn_optimizer *o);

/* Exponential moving average of a network: average := decay average + (1 - decay) value. */
typedef struct sftn_ema {
    sftn_params *params; /* NULL: no average is kept */
    double decay;
    float *weights, *states;
} sftn_ema;

/* Begins with the values that params has now. */
sftn_status sftn_ema_open(sftn_ema *e, sftn_params *params, double decay, sftn_error *err);
void sftn_ema_close(sftn_ema *e);
/* Begin again with the values that the network has now. */
void sftn_ema_reset(sftn_ema *e);
/* Counters are not averaged: they are copied. */
void sftn_ema_update(sftn_ema *e);
/* Exchange the averages with the network's values; a second call restores them. */
void sftn_ema_swap(sftn_ema *e);

#endif
