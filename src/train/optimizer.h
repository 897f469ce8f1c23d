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
} sftn_sgd;

typedef struct sftn_optimizer {
    sftn_sgd sgd;
    int nstores;
    sftn_params *params[SFTN_MAX_STORES];
    float *momentum[SFTN_MAX_STORES]; /* like the weights, padding included */
    double *partial;                  /* sums of squares, one for each block of the largest store */
} sftn_optimizer;

/* The params must outlive o and gain no entry while it lives. */
sftn_status sftn_optimizer_open(sftn_optimizer *o, const sftn_sgd *sgd, sftn_params *const *params,
                                int nparams, sftn_error *err);
void sftn_optimizer_close(sftn_optimizer *o);

/* Update every weight from the gradients in the stores. */
void sftn_optimizer_step(sftn_optimizer *o, double lr);
/* Euclidean norm of all gradients; the same bits for any number of threads. */
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
/* Counters are not averaged: they are copied. */
void sftn_ema_update(sftn_ema *e);
/* Exchange the averages with the network's values; a second call restores them. */
void sftn_ema_swap(sftn_ema *e);

#endif
