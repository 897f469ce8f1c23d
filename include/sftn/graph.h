/*
 * graph.h: the symbolic graph: values of fixed shape, appended by the functions of op.h,
 * differentiated graph to graph, then compiled by plan.h.
 *
 * Every value has four dimensions [N,C,H,W]; a matrix of N rows and F columns is [N,F,1,1], a
 * scalar [1,1,1,1].  A builder that is given wrong shapes records the first error in the graph and
 * returns SFTN_NONE; SFTN_NONE passed on to further builders yields SFTN_NONE silently.  So a
 * network is written without checks, and sftn_graph_status is asked once at the end.
 */
#ifndef SFTN_GRAPH_H
#define SFTN_GRAPH_H

#include "sftn/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SFTN_N = 0, SFTN_C = 1, SFTN_H = 2, SFTN_W = 3, SFTN_DIMS = 4 };

/* Bit sets of dimensions, for reductions. */
enum {
    SFTN_AXIS_N = 1,
    SFTN_AXIS_C = 2,
    SFTN_AXIS_H = 4,
    SFTN_AXIS_W = 8,
    SFTN_AXES_HW = 12,
    SFTN_AXES_NHW = 13,
    SFTN_AXES_CHW = 14,
    SFTN_ALL_AXES = 15
};

typedef struct sftn_shape {
    int64_t dim[SFTN_DIMS]; /* N, C, H, W; each at least 1 */
} sftn_shape;

#define SFTN_SHAPE(n, c, h, w) ((sftn_shape){{(n), (c), (h), (w)}})

/*
 * A wide value is float32 on every plan (statistics, losses, logits, parameters and their
 * gradients); any other takes the plan's precision (float32 or bfloat16).
 */
typedef struct sftn_type {
    sftn_shape shape;
    bool wide;
} sftn_type;

/* A value of one graph.  Zero-initialized it is SFTN_NONE, "no value". */
typedef struct sftn_value {
    int32_t id;
} sftn_value;

#define SFTN_NONE ((sftn_value){0})

typedef struct sftn_graph sftn_graph;
typedef struct sftn_params sftn_params; /* params.h */

SFTN_API sftn_graph *sftn_graph_new(void); /* NULL when out of memory */
SFTN_API void sftn_graph_free(sftn_graph *g);

/* SFTN_OK, or the first error recorded while building (its text copied to err). */
SFTN_API sftn_status sftn_graph_status(const sftn_graph *g, sftn_error *err);

/* Record an error (only the first is kept) and return SFTN_NONE. */
SFTN_API sftn_value sftn_graph_fail(sftn_graph *g, const char *format, ...) SFTN_PRINTF(2, 3);

static inline bool sftn_is_none(sftn_value v)
{
    return v.id == 0;
}

/* Number of elements. */
SFTN_API int64_t sftn_shape_count(const sftn_shape *shape);
SFTN_API bool sftn_shape_equal(const sftn_shape *a, const sftn_shape *b);
/* "[64,16,32,32]" */
SFTN_API void sftn_shape_format(const sftn_shape *shape, char *buf, size_t size);

/* Type of v; of SFTN_NONE: shape 1x1x1x1, wide. */
SFTN_API sftn_type sftn_value_type(const sftn_graph *g, sftn_value v);
SFTN_API sftn_shape sftn_value_shape(const sftn_graph *g, sftn_value v);
SFTN_API bool sftn_same_shape(const sftn_graph *g, sftn_value a, sftn_value b);

/*
 * Leaves.  An input is written before each run by name (sftn_plan_write); names are copied and
 * unique in the graph.  A parameter leaf reads entry `index` of params, which must outlive the
 * graph and its plans; asking twice for the same entry returns the same value.  With frozen set
 * the leaf never changes while a plan runs: what depends on frozen leaves only is computed once
 * (sftn_plan_refresh), not in every run.
 */
SFTN_API sftn_value sftn_graph_input(sftn_graph *g, const char *name, sftn_type type);
SFTN_API sftn_value sftn_graph_param(sftn_graph *g, sftn_params *params, int index, bool frozen);
/* A constant: every element equals x. */
SFTN_API sftn_value sftn_graph_constant(sftn_graph *g, sftn_type type, float x);

/*
 * What a run delivers; values that lead to none of these are pruned.
 * output: can be read by name after a run.  grad: written to params' gradient array at index.
 * update: written to params' value array at index at the end of a run (running statistics); a
 * second update of an entry takes the place of the first.
 */
SFTN_API void sftn_graph_output(sftn_graph *g, const char *name, sftn_value v);
SFTN_API void sftn_graph_grad(sftn_graph *g, sftn_params *params, int index, sftn_value v);
SFTN_API void sftn_graph_update(sftn_graph *g, sftn_params *params, int index, sftn_value v);

/*
 * Text put before node names in dumps and errors from now on ("teacher.layer1.0"); copied.
 */
SFTN_API void sftn_graph_set_scope(sftn_graph *g, const char *scope);

/*
 * Reverse mode: append nodes that compute d loss / d wrt[i] and store them in grad[i]
 * (SFTN_NONE where loss does not depend on wrt[i]).  loss is a scalar [1,1,1,1].  A gradient has
 * the shape and width of its value.  Fails where an op on the way has no gradient.
 */
SFTN_API sftn_status sftn_graph_gradients(sftn_graph *g, sftn_value loss, const sftn_value *wrt,
                                          int nwrt, sftn_value *grad, sftn_error *err);

/*
 * d loss / d p for every trainable, non-frozen parameter leaf of g, delivered with
 * sftn_graph_grad.  Parameters that loss does not reach get a zero gradient; their number goes
 * to *unreached (may be NULL).
 */
SFTN_API sftn_status sftn_graph_backward(sftn_graph *g, sftn_value loss, int *unreached,
                                         sftn_error *err);

#ifdef __cplusplus
}
#endif
#endif
