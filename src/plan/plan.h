/*
 * plan.h: the inside of a compiled plan, shared by the files of this folder.
 *
 *     graph - prune - lower - simplify - fuse - recompute - compile - memory -> execute
 *
 * A value may lie in memory in several forms (a float32 master weight and its packed bfloat16
 * copy): each form is a buffer.  A step is one kernel with the buffers that it reads and writes.
 */
#ifndef SFTN_PLAN_PLAN_H
#define SFTN_PLAN_PLAN_H

#include "backend/backend.h"
#include "op/fused.h"

typedef enum sftn_place {
    SFTN_PLACE_ARENA,    /* shares the arena with buffers of other lifetimes */
    SFTN_PLACE_FROZEN,   /* written by refresh only, kept */
    SFTN_PLACE_KEPT,     /* inputs and outputs: kept between runs */
    SFTN_PLACE_EXTERNAL, /* parameters, gradients, inputs of a feeder: memory of somebody else */
    SFTN_PLACE_ALIAS,    /* the memory of buffer `alias` */
} sftn_place;

typedef struct sftn_buffer {
    sftn_desc desc;
    sftn_place place;
    int alias;
    int next_form;   /* the next buffer that holds the same value, or -1 */
    int first, last; /* steps between which the memory is needed; last == nsteps: after the run */
    size_t offset;   /* in the arena or the frozen memory */
    void *data;
    const sftn_leaf *constant; /* a constant leaf's: what it is filled with; else NULL */
} sftn_buffer;

typedef struct sftn_plan_step {
    sftn_kernel kernel;
    const char *op, *scope; /* owned by the plan's pool */
    char detail[64];        /* attributes, for dumps */
    int nin, nout;
    int in[SFTN_MAX_IN], out[SFTN_MAX_OUT]; /* buffers */
    void *in_data[SFTN_MAX_IN], *out_data[SFTN_MAX_OUT];
    int workspace; /* buffer, or -1 */
    void *workspace_data;
    double *seconds; /* of the last SFTN_PROFILE_RUNS runs; NULL: not profiled */
} sftn_plan_step;

typedef struct sftn_step_list {
    sftn_plan_step *step;
    int n, capacity;
} sftn_step_list;

typedef struct sftn_plan_port {
    const char *name; /* owned by the plan's pool */
    int buffer;
    sftn_tensor tensor;
} sftn_plan_port;

struct sftn_plan {
    const sftn_backend *backend;
    void *backend_state;
    sftn_plan_options options;
    sftn_pool pool;
    sftn_graph *graph; /* after all passes; kernels may read its attributes */
    sftn_buffer *buffer;
    int nbuffers, buffer_capacity;
    sftn_step_list steps, frozen;
    sftn_plan_port *input, *output;
    int ninputs, input_capacity, noutputs, output_capacity;
    void *arena; /* the plan's own, or where the shared one was when steps were bound */
    void *frozen_memory, *kept_memory;
    size_t arena_bytes, frozen_bytes, kept_bytes, value_bytes;
    bool fresh; /* frozen steps have run */
    int64_t runs;
};

/* ---- passes: each returns a new graph and leaves its argument alone; NULL: out of memory ---- */

/* What the passes before compilation need to know of the backend. */
typedef struct sftn_pass_context {
    const sftn_backend *backend;
    bool same_width; /* wide and narrow values are stored alike: casts are nothing */
} sftn_pass_context;

/* Nodes without a kernel rewritten as others (op->lower). */
sftn_graph *sftn_plan_lower(const sftn_graph *g, const sftn_pass_context *ctx);
/* Copies that change nothing removed, equal nodes merged, frozen scales folded into weights. */
sftn_graph *sftn_plan_simplify(const sftn_graph *g, const sftn_pass_context *ctx);
/* Neighbouring pointwise nodes joined into programs (op/fused.h). */
sftn_graph *sftn_plan_fuse(const sftn_graph *g);
/* Programs run again where their result would have to be kept from the forward pass on. */
sftn_graph *sftn_plan_recompute(const sftn_graph *g);

/* What a pass that copies node by node keeps: dst's value for each of src's. */
typedef struct sftn_rewrite {
    const sftn_graph *src;
    sftn_graph *dst;
    sftn_value *map; /* [src->nvalues] */
} sftn_rewrite;
bool sftn_rewrite_begin(sftn_rewrite *r, const sftn_graph *src);
/* Copy node n with mapped inputs, mapping its outputs. */
void sftn_rewrite_copy(sftn_rewrite *r, const sftn_node *n);
/* Copy the sinks, release the map and return dst. */
sftn_graph *sftn_rewrite_end(sftn_rewrite *r);

/* Per value: true where it depends on frozen leaves and constants only.  [g->nvalues], or NULL. */
bool *sftn_plan_frozen_values(const sftn_graph *g);

/* compile.c: steps and buffers from plan->graph. */
sftn_status sftn_plan_compile(sftn_plan *plan, sftn_error *err);
/* The buffer of the output, else of the input of that name; NULL: neither. */
const sftn_buffer *sftn_plan_port_buffer(const sftn_plan *plan, const char *name);

struct sftn_arena {
    void *memory;
    size_t bytes;
};

/* memory.c: liveness, in-place reuse, offsets; allocates and binds every pointer. */
sftn_status sftn_plan_assign_memory(sftn_plan *plan, sftn_error *err);
/* Bind anew where a shared arena has moved since, having grown for a later plan. */
void sftn_plan_follow_arena(sftn_plan *plan);

/* profile.c: room for the times of all steps. */
enum { SFTN_PROFILE_RUNS = 64 };
sftn_status sftn_profile_open(sftn_plan *plan, sftn_error *err);
/* The median over the last runs; 0: not profiled. */
double sftn_step_seconds(const sftn_plan *plan, const sftn_plan_step *s);
/* Of operands and results, once each. */
double sftn_step_bytes(const sftn_plan *plan, const sftn_plan_step *s);
/* "[..] [..] -> [..]"; "5 operands -> [..]" where they are many. */
void sftn_step_shapes(const sftn_plan *plan, const sftn_plan_step *s, char *buf, size_t size);

/* The buffer whose memory b uses, aliases resolved. */
static inline int sftn_buffer_root(const sftn_plan *plan, int b)
{
    while (plan->buffer[b].place == SFTN_PLACE_ALIAS)
        b = plan->buffer[b].alias;
    return b;
}

#endif
