/*
 * plan.h: a graph compiled for a backend and a precision, ready to run many times.
 *
 * Everything that takes thought happens in sftn_plan_new: kernels and their layouts, reorders,
 * fusion, and one arena for all activations.  sftn_plan_run allocates nothing.
 */
#ifndef SFTN_PLAN_H
#define SFTN_PLAN_H

#include "sftn/graph.h"
#include "sftn/params.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sftn_precision { SFTN_FLOAT32, SFTN_BFLOAT16 } sftn_precision;

/* How a batch is stored where the plan wants it (sftn_plan_input). */
typedef enum sftn_dtype { SFTN_F32, SFTN_BF16, SFTN_F64 } sftn_dtype;
typedef enum sftn_layout {
    SFTN_NCHW,   /* plain, as PyTorch's contiguous tensors */
    SFTN_NHWC,   /* channels last */
    SFTN_PACKED, /* a kernel's own; never an input's or output's */
} sftn_layout;

typedef struct sftn_plan sftn_plan;
typedef struct sftn_arena sftn_arena;
typedef struct sftn_backend sftn_backend;

typedef struct sftn_plan_options {
    const char *backend; /* "cpu" (default for NULL) or "ref": double precision, slow, the oracle */
    sftn_precision precision; /* ignored by ref */
    bool no_fusion;           /* keep every node a step of its own */
    bool no_winograd;         /* convolutions by their definition only */
    bool profile;             /* time each step of the last runs */
    /*
     * The outputs to deliver, NULL-terminated; NULL: all.  What only the others need is not
     * computed.  Which are asked for changes no bit of any.
     */
    const char *const *outputs;
    /*
     * A plan that is run before this one: inputs called like an output or an input of it are read
     * where they lie there.  It has the same backend and precision, and outlives this plan.
     */
    const sftn_plan *feeder;
    /* Memory shared with other plans, which outlives them; NULL: the plan's own. */
    sftn_arena *arena;
} sftn_plan_options;

/*
 * Memory for the activations of plans that never run at the same time, as large as the largest
 * needs.  Inputs and outputs of a plan are not in it: they are kept.
 */
SFTN_API sftn_arena *sftn_arena_new(void); /* NULL when out of memory */
SFTN_API void sftn_arena_free(sftn_arena *arena);

/* "cpu", "ref", ... ; NULL past the end. */
SFTN_API const char *sftn_backend_list(int i);
/*
 * What a backend's bits depend on besides its options and threads, such as "avx512_bf16, oneDNN
 * 2.6.3 on 991"; "" where they do not, or where there is no such backend.  Written to buf.
 */
SFTN_API void sftn_backend_machine(const char *name, char *buf, size_t size);

/*
 * Compile g.  The graph is copied as far as needed and may be freed; params must outlive the
 * plan.  *plan is owned by the caller.  UNSUPPORTED names the op a backend has no kernel for;
 * ARGUMENT an output that the graph does not have, or an input of another type than the feeder's.
 */
SFTN_API sftn_status sftn_plan_new(const sftn_graph *g, const sftn_plan_options *options,
                                   sftn_plan **plan, sftn_error *err);
SFTN_API void sftn_plan_free(sftn_plan *plan);

/*
 * Recompute what depends on frozen parameters only; needed after those changed.  Fails as
 * sftn_plan_run does.
 */
SFTN_API sftn_status sftn_plan_refresh(sftn_plan *plan, sftn_error *err);

/*
 * One run: forward, and backward where the graph holds gradients.  BACKEND where a kernel failed,
 * as for want of memory: err names the step, by its number in sftn_plan_dump, the kernel and the
 * cause.  Outputs, gradients and the values that the graph updates (running statistics) are
 * undefined then; the plan may be run again.
 */
SFTN_API sftn_status sftn_plan_run(sftn_plan *plan, sftn_error *err);

/*
 * Where an input lives, so that a loader can write it in place: memory of count elements of dtype
 * in layout, 64-byte aligned, owned by the plan, kept between runs.  NULL for an unknown (or
 * pruned) name.
 */
typedef struct sftn_tensor {
    void *data;
    sftn_dtype dtype;
    sftn_layout layout;
    sftn_shape shape;
} sftn_tensor;
SFTN_API const sftn_tensor *sftn_plan_input(const sftn_plan *plan, const char *name);

/* Copy an input in (plain [N,C,H,W] order, converted) or an output out.  ARGUMENT: no such name. */
SFTN_API sftn_status sftn_plan_write(sftn_plan *plan, const char *name, const double *src,
                                     sftn_error *err);
SFTN_API sftn_status sftn_plan_write_float(sftn_plan *plan, const char *name, const float *src,
                                           sftn_error *err);
SFTN_API sftn_status sftn_plan_read(const sftn_plan *plan, const char *name, double *dst,
                                    sftn_error *err);
SFTN_API sftn_status sftn_plan_read_float(const sftn_plan *plan, const char *name, float *dst,
                                          sftn_error *err);

typedef struct sftn_plan_stats {
    int steps;            /* executed in each run */
    int frozen_steps;     /* executed by refresh only */
    int64_t arena_bytes;  /* activations, gradients of activations, workspaces; may be shared */
    int64_t kept_bytes;   /* inputs and outputs */
    int64_t frozen_bytes; /* results of frozen steps */
    int64_t total_value_bytes; /* what the arena would be without reuse */
    double product_flops; /* a run's convolutions and matrix products, by their definition */
} sftn_plan_stats;
SFTN_API sftn_plan_stats sftn_plan_get_stats(const sftn_plan *plan);

/* Print the graph's nodes, or the plan's steps: kernel, shapes, layouts, bytes, times. */
SFTN_API void sftn_graph_dump(const sftn_graph *g, FILE *out);
SFTN_API void sftn_plan_dump(const sftn_plan *plan, FILE *out);

/*
 * Threads used by plans compiled from now on.  0: one for each core that this process may keep
 * busy, which its affinity and the quotas of its control groups (containers) limit; OMP_NUM_THREADS
 * is not read.  Where more are asked for than there are such cores, the work is divided as for that
 * many, to the same bits, and done by as many threads as there are cores.
 */
SFTN_API void sftn_set_threads(int n);
SFTN_API int sftn_get_threads(void);

#ifdef __cplusplus
}
#endif
#endif
