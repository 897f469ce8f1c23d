/*
 * backend.h: what executes a plan's steps.
 *
 * Kernels are create / run / destroy: everything that takes thought (algorithm, layout, packed
 * weights, workspace) happens in `kernel`; `run` binds pointers and computes, allocating nothing.
 * Where a library beneath it refuses, it returns why, and the plan says which step that was.
 */
#ifndef SFTN_BACKEND_BACKEND_H
#define SFTN_BACKEND_BACKEND_H

#include "graph/op.h"
#include "sftn/plan.h"

/* How a value lies in memory. */
typedef struct sftn_desc {
    sftn_shape shape;
    sftn_dtype dtype;
    sftn_layout layout;
    const void *packed; /* SFTN_PACKED: the backend's descriptor, one pointer for equal layouts */
    size_t bytes;
} sftn_desc;

typedef struct sftn_kernel {
    const char *name; /* "conv jit_bf16_nhwc"; owned by the kernel's state or static */
    void *state;
    /* NULL: done; else why it failed, in the words of the library that did; static. */
    const char *(*run)(void *state, void *const *in, void *const *out, void *workspace);
    void (*destroy)(void *state); /* NULL: nothing to destroy */
    size_t workspace;             /* bytes, alive during run only */
    unsigned in_place;            /* bit i: output 0 may share memory with input i */
    double flops; /* arithmetic of one run by the op's definition, for profiles; 0: not counted */
    bool product; /* a convolution or matrix product, or a gradient of one */
} sftn_kernel;

/*
 * A request for a kernel.  in[] say how the inputs lie now.  The backend may change in[i] (layout,
 * packed, dtype) to what the kernel needs: the plan then inserts reorders; and sets out[]
 * (dtype and layout).  A reorder is cached, so two kernels that want the same form share it.
 */
typedef struct sftn_kernel_request {
    const sftn_node *node;
    const sftn_type *in_type, *out_type;
    sftn_desc in[SFTN_MAX_IN];
    sftn_desc out[SFTN_MAX_OUT];
} sftn_kernel_request;

struct sftn_backend {
    const char *name;
    bool fuses; /* accepts fused pointwise programs (plan/fuse.h) */
    /* sftn_backend_machine; NULL: the same bits everywhere. */
    void (*machine)(char *buf, size_t size);
    /* State of one plan: engines, interned layouts.  NULL state is allowed. */
    sftn_status (*open)(const sftn_plan_options *options, void **state, sftn_error *err);
    void (*close)(void *state);
    /* True where the op has a kernel here; otherwise the plan lowers it. */
    bool (*has)(const sftn_op *op);
    /* Storage type of narrow and wide values. */
    sftn_dtype (*dtype)(void *state, bool wide);
    /* Preferred layout of an input leaf. */
    sftn_layout (*input_layout)(void *state, const sftn_type *type);
    sftn_status (*kernel)(void *state, sftn_kernel_request *request, sftn_kernel *kernel,
                          sftn_error *err);
    /* Kernel that copies src to dst, changing dtype and layout. */
    sftn_status (*reorder)(void *state, const sftn_desc *src, const sftn_desc *dst,
                           sftn_kernel *kernel, sftn_error *err);
};

const sftn_backend *sftn_backend_find(const char *name, sftn_error *err);

size_t sftn_dtype_bytes(sftn_dtype dtype);
/* SFTN_NCHW where NHWC is the same order in memory (one channel or one pixel), else layout. */
sftn_layout sftn_layout_canonical(const sftn_shape *shape, sftn_layout layout);
/* Descriptor of a plain or channels-last value, layout made canonical, bytes filled in. */
sftn_desc sftn_desc_of(const sftn_shape *shape, sftn_dtype dtype, sftn_layout layout);
bool sftn_desc_same(const sftn_desc *a, const sftn_desc *b);

/* Element i of an array of dtype, in the order of memory. */
void sftn_element_set(void *data, sftn_dtype dtype, int64_t i, double x);
double sftn_element_get(const void *data, sftn_dtype dtype, int64_t i);

#endif
