/*
 * op.h: what a primitive operation is, and the inside of a graph.
 *
 * A graph is a list of nodes in topological order: a node only reads values of earlier nodes.
 * Passes never edit a graph; they copy it, node by node, into a new one (sftn_graph_copy_node).
 */
#ifndef SFTN_GRAPH_OP_H
#define SFTN_GRAPH_OP_H

#include "base/base.h"
#include "sftn/op.h"
#include "sftn/params.h"

enum { SFTN_MAX_IN = 16, SFTN_MAX_OUT = 4 };

typedef struct sftn_op sftn_op;

typedef struct sftn_node {
    const sftn_op *op;
    const void *attr; /* op->attr_size bytes, owned by the graph */
    int nin, nout;
    sftn_value in[SFTN_MAX_IN];
    sftn_value out[SFTN_MAX_OUT];
    const char *scope; /* owned by the graph, "" at the root */
} sftn_node;

/* What a reference kernel reads and writes: plain [N,C,H,W] arrays of doubles. */
typedef struct sftn_ref_args {
    const void *attr;
    int nin, nout;
    const double *in[SFTN_MAX_IN];
    double *out[SFTN_MAX_OUT];
    sftn_type in_type[SFTN_MAX_IN];
    sftn_type out_type[SFTN_MAX_OUT];
} sftn_ref_args;

struct sftn_op {
    const char *name;
    int nin; /* -1: one to SFTN_MAX_IN */
    int nout;
    size_t attr_size, attr_members; /* both by SFTN_ATTR; 0: the op has no attributes */
    /*
     * Set out[0..nout) from in[0..nin).  On misfit write one sentence to why (size bytes) that
     * names both shapes, and return false.
     */
    bool (*infer)(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                  size_t size);
    /*
     * Append the gradient: gin[i] for every input that has one (SFTN_NONE otherwise).  gout[i] may
     * be SFTN_NONE where output i does not reach the loss.  NULL: no gradient (sftn_graph_gradients
     * fails) unless `no_gradient`, which says that the derivative is zero everywhere.
     */
    void (*grad)(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin);
    bool no_gradient;
    void (*ref)(const sftn_ref_args *k);
    /* Rewrite as other ops, for backends without a kernel; NULL: none.  in: n's inputs in g. */
    void (*lower)(sftn_graph *g, const sftn_node *n, const sftn_value *in, sftn_value *out);
    /* Code of the formula (op/fused.h), or 0 for other ops. */
    int pointwise;
    /* The output is the input's memory, in reshape's case read with another shape. */
    bool view;
    /* Text of attr for dumps ("stride 2 pad 1"); NULL: none. */
    void (*print)(const void *attr, char *buf, size_t size);
};

/*
 * Attributes of an op, in its definition: the struct and all its members, a struct within it by its
 * own members.  Equal nodes are told by the bytes of their attributes, so that a struct must have
 * no padding, whose bytes nobody sets: its size is the sum of its members', or it does not compile.
 * An op that states its attr_size in another way is refused by the graph.
 */
#define SFTN_ATTR(T, ...)                                                                          \
    .attr_size = sizeof(T),                                                                        \
    .attr_members = SFTN_ATTR_SUM(T, __VA_ARGS__) +                                                \
        0 * sizeof(struct {                                                                        \
            _Static_assert(SFTN_ATTR_SUM(T, __VA_ARGS__) == sizeof(T),                             \
                           #T " has padding, or members that are not named here");                 \
            char unused;                                                                           \
        })
#define SFTN_ATTR_SUM(T, ...)                                                                      \
    SFTN_ATTR_NTH(__VA_ARGS__, SFTN_ATTR_8, SFTN_ATTR_7, SFTN_ATTR_6, SFTN_ATTR_5, SFTN_ATTR_4,    \
                  SFTN_ATTR_3, SFTN_ATTR_2, SFTN_ATTR_1, 0)(T, __VA_ARGS__)
#define SFTN_ATTR_NTH(a, b, c, d, e, f, g, h, nth, ...) nth
#define SFTN_ATTR_1(T, m) sizeof(((T *)0)->m)
#define SFTN_ATTR_2(T, m, ...) (SFTN_ATTR_1(T, m) + SFTN_ATTR_1(T, __VA_ARGS__))
#define SFTN_ATTR_3(T, m, ...) (SFTN_ATTR_1(T, m) + SFTN_ATTR_2(T, __VA_ARGS__))
#define SFTN_ATTR_4(T, m, ...) (SFTN_ATTR_1(T, m) + SFTN_ATTR_3(T, __VA_ARGS__))
#define SFTN_ATTR_5(T, m, ...) (SFTN_ATTR_1(T, m) + SFTN_ATTR_4(T, __VA_ARGS__))
#define SFTN_ATTR_6(T, m, ...) (SFTN_ATTR_1(T, m) + SFTN_ATTR_5(T, __VA_ARGS__))
#define SFTN_ATTR_7(T, m, ...) (SFTN_ATTR_1(T, m) + SFTN_ATTR_6(T, __VA_ARGS__))
#define SFTN_ATTR_8(T, m, ...) (SFTN_ATTR_1(T, m) + SFTN_ATTR_7(T, __VA_ARGS__))

/* Leaves are nodes with one of these ops and no inputs. */
typedef struct sftn_leaf {
    enum { SFTN_LEAF_INPUT, SFTN_LEAF_PARAM, SFTN_LEAF_CONSTANT } kind;
    float constant;
    char name[160]; /* input: its name; parameter: its entry's name */
    sftn_params *params;
    int32_t index, frozen;
    sftn_shape shape;
    int64_t wide;
} sftn_leaf;
extern const sftn_op sftn_op_leaf; /* attr: sftn_leaf */

static inline sftn_type sftn_leaf_type(const sftn_leaf *leaf)
{
    return (sftn_type){leaf->shape, leaf->wide != 0};
}

typedef struct sftn_value_info {
    sftn_type type;
    int node; /* which node makes it */
    int slot; /* which of its outputs */
} sftn_value_info;

typedef struct sftn_sink {
    enum { SFTN_SINK_OUTPUT, SFTN_SINK_GRAD, SFTN_SINK_UPDATE } kind;
    const char *name; /* output: owned by the graph */
    sftn_params *params;
    int index;
    sftn_value value;
} sftn_sink;

struct sftn_graph {
    sftn_pool pool;
    sftn_node *node;
    int nnodes, node_capacity;
    sftn_value_info *value; /* [0] stands for SFTN_NONE */
    int nvalues, value_capacity;
    sftn_sink *sink;
    int nsinks, sink_capacity;
    const char *scope;
    sftn_status status;
    sftn_error error;
};

/* Append a node; returns its first output (others via sftn_node_out), SFTN_NONE after an error. */
sftn_value sftn_append(sftn_graph *g, const sftn_op *op, const void *attr, const sftn_value *in,
                       int nin);
/* One or two inputs; b SFTN_NONE for one. */
sftn_value sftn_append1(sftn_graph *g, const sftn_op *op, const void *attr, sftn_value a,
                        sftn_value b);
/* Output `slot` of the node that makes v. */
sftn_value sftn_node_out(const sftn_graph *g, sftn_value v, int slot);
const sftn_node *sftn_value_node(const sftn_graph *g, sftn_value v);
/* The leaf behind v, or NULL. */
const sftn_leaf *sftn_value_leaf(const sftn_graph *g, sftn_value v);

/* Copy node n of src into dst with inputs in[] (dst's); out[] receives dst's outputs. */
void sftn_graph_copy_node(sftn_graph *dst, const sftn_node *n, const sftn_value *in,
                          sftn_value *out);

/*
 * A copy, sinks included, holding only what leads to a sink.  detach nodes are left out: the copy
 * is for execution.  NULL when out of memory; an error of g or of copying is the copy's status.
 */
sftn_graph *sftn_graph_prune(const sftn_graph *g);

/* Shape inference shared by ops. */
bool sftn_infer_same(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                     size_t size);
bool sftn_infer_broadcast(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                          char *why, size_t size);

#endif
