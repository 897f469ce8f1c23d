/*
 * params.h: the named arrays of a network, kept in contiguous float32 arrays, so that
 * optimizer, norm, average and checkpoint are single loops.
 *
 * Entries are in the order in which the network creates them, which is PyTorch's state-dict order.
 */
#ifndef SFTN_PARAMS_H
#define SFTN_PARAMS_H

#include "sftn/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sftn_param_kind {
    SFTN_PARAM_WEIGHT,  /* trained */
    SFTN_PARAM_STATE,   /* running statistics: saved, not trained */
    SFTN_PARAM_COUNTER, /* num_batches_tracked: an int64 scalar in files; exact up to 2^24 */
} sftn_param_kind;

/* How an entry is filled by sftn_params_init. */
typedef enum sftn_init {
    SFTN_INIT_ZERO,
    SFTN_INIT_ONE,
    SFTN_INIT_UNIFORM, /* U(-scale, scale) */
    SFTN_INIT_NORMAL,  /* N(0, scale^2) */
    SFTN_INIT_CONSTANT, /* scale */
} sftn_init;

typedef struct sftn_param {
    const char *name; /* "layer1.0.conv1.weight"; owned by the params */
    sftn_param_kind kind;
    sftn_shape shape; /* as stored in graphs */
    int rank;         /* dimensions in files: 4 convolution, 2 dense, 1 vectors, 0 counter */
    sftn_init init;
    float scale;
    int64_t offset; /* into the array of its kind, elements; a multiple of 16 */
    int64_t count;
} sftn_param;

SFTN_API sftn_params *sftn_params_new(void);
SFTN_API void sftn_params_free(sftn_params *p);

/*
 * Index of the entry called name; created from *spec (name, offset and count are filled in; spec's
 * own are ignored) where it is new.  -1 with err set where it exists with another shape or memory
 * is out.  Arrays may move: pointers from sftn_params_values are invalid after a creation, and
 * no plan may have been compiled yet.
 */
SFTN_API int sftn_params_add(sftn_params *p, const char *name, const sftn_param *spec,
                             sftn_error *err);
SFTN_API int sftn_params_find(const sftn_params *p, const char *name); /* -1: none */
SFTN_API int sftn_params_count(const sftn_params *p);
SFTN_API const sftn_param *sftn_params_get(const sftn_params *p, int index);

/*
 * The contiguous arrays, owned by p: one of all weights, one of their gradients (same offsets),
 * one of all states and counters.  A size counts elements, padding included (padding is zero and
 * stays zero).
 */
SFTN_API int64_t sftn_params_weight_size(const sftn_params *p);
SFTN_API int64_t sftn_params_state_size(const sftn_params *p);
SFTN_API float *sftn_params_weights(sftn_params *p);
SFTN_API float *sftn_params_grads(sftn_params *p);
SFTN_API float *sftn_params_states(sftn_params *p);

/* The values of one entry, weight or state, [count]; and its gradient (NULL for states). */
SFTN_API float *sftn_params_value(sftn_params *p, int index);
SFTN_API float *sftn_params_grad(sftn_params *p, int index);

/* Number of trained scalars, as papers count them. */
SFTN_API int64_t sftn_params_trainable(const sftn_params *p);

/*
 * Fill every entry by its init rule.  Numbers are keyed by (seed, entry name): an entry gets the
 * same values whatever else the network holds.
 */
SFTN_API void sftn_params_init(sftn_params *p, uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
