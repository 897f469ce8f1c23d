/*
 * cpu.h: the inside of the cpu backend.
 *
 * Activations lie channels last (NHWC).  Convolutions, matrix products and packed layouts are
 * oneDNN's (dnnl_*.c); the rest are loops of our own (kernels/), compiled for several instruction
 * sets and chosen when a plan is opened.
 */
#ifndef SFTN_BACKEND_CPU_CPU_H
#define SFTN_BACKEND_CPU_CPU_H

#include "backend/backend.h"
#include "backend/cpu/kernels/kernels.h"

typedef struct sftn_dnnl sftn_dnnl;                       /* dnnl_common.h */
typedef struct sftn_winograd_packed sftn_winograd_packed; /* winograd.c */

/* State of one plan. */
typedef struct sftn_cpu {
    sftn_precision precision;
    bool no_winograd;
    int threads;
    const sftn_cpu_kernels *k;
    sftn_dnnl *dnnl;
    sftn_winograd_packed *winograd; /* list of its packed layouts */
} sftn_cpu;

/* Makes a kernel for one op; the contract is that of sftn_backend.kernel. */
typedef sftn_status sftn_cpu_maker(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                                   sftn_error *err);
#define SFTN_CPU_KERNEL(op, maker) sftn_cpu_maker sftn_cpu_##maker;
#include "backend/cpu/kernels.def"
#undef SFTN_CPU_KERNEL
sftn_cpu_maker sftn_cpu_pointwise; /* every op of pointwise.def */

/* A kernel that copies src to dst. */
typedef sftn_status sftn_cpu_reorder_maker(sftn_cpu *cpu, const sftn_desc *src,
                                           const sftn_desc *dst, sftn_kernel *kernel,
                                           sftn_error *err);

/*
 * A layout of some kernel's own: what sftn_desc.packed points to begins with this.  Its address is
 * its identity, so equal layouts of a plan share one.
 */
typedef struct sftn_packing {
    sftn_cpu_reorder_maker *reorder; /* to or from it */
} sftn_packing;

sftn_status sftn_cpu_reorder(void *state, const sftn_desc *src, const sftn_desc *dst,
                             sftn_kernel *kernel, sftn_error *err);
void sftn_winograd_close(sftn_winograd_packed *list);

/* The loops for this machine; the environment variable SFTN_ISA limits them (isa.c). */
const sftn_cpu_kernels *sftn_cpu_kernels_here(void);
/* True where sftn_amx_multiply_adds may be called: SFTN_ISA allows it and oneDNN has AMX too. */
bool sftn_cpu_tiles_here(void);
/* ARGUMENT where SFTN_ISA is no instruction set's name. */
sftn_status sftn_cpu_check_isa(sftn_error *err);

/* ---- helpers of makers ---- */

/* Storage type of wide and narrow values. */
sftn_dtype sftn_cpu_dtype(const sftn_cpu *cpu, bool wide);
/* d's value channels last, d's dtype kept: what most kernels ask of an input. */
sftn_desc sftn_cpu_channels_last(const sftn_desc *d);
/* d's value in [N,C,H,W] order. */
sftn_desc sftn_cpu_plain(const sftn_desc *d);
/* Descriptor of a result in the plan's storage type. */
sftn_desc sftn_cpu_result(const sftn_cpu *cpu, const sftn_type *type, sftn_layout layout);
/* Memory strides, in elements, of the dimensions N, C, H, W. */
void sftn_cpu_strides(const sftn_shape *shape, sftn_layout layout, int64_t *stride);
sftn_status sftn_cpu_out_of_memory(const char *what, sftn_error *err);

/*
 * Join neighbouring dimensions that all `n` sets of strides step through alike; dimensions of one
 * element vanish.  Returns the number left, at least 1.
 */
int sftn_cpu_join_dims(int ndims, int64_t *dim, int n, int64_t (*stride)[SFTN_DIMS]);

/*
 * The program of attr for operands and a result that lie so; returns how many floats the expanded
 * copies of its periodic operands take.
 */
size_t sftn_pw_compile(sftn_pw_program *g, int nin, const sftn_desc *in, const sftn_desc *out,
                       const sftn_fused_attr *attr);

/* m's strides and dimensions joined and laid out as the move kernel wants them. */
void sftn_cpu_move_finish(sftn_move *m, const int64_t *dim, const int64_t *src, const int64_t *dst);
void sftn_cpu_move_run(const sftn_cpu *cpu, const sftn_move *m, const void *src, void *dst);

/* Element i of an array of float, or bfloat16. */
static inline const void *sftn_cpu_at(const void *x, bool bf16, int64_t i)
{
    return (const char *)x + i * (bf16 ? 2 : 4);
}

/* ---- threads ---- */

/*
 * Call body for parts of 0 .. count - 1 on several threads, where `work` (elements touched) is
 * worth it.  The parts, one for each thread that was asked for, depend on count and that number
 * alone, not on which thread executes them; first is a multiple of `unit` (at least 1).
 */
typedef void sftn_cpu_body(void *ctx, int64_t first, int64_t last, int part);
void sftn_cpu_parallel(int threads, int64_t count, int64_t unit, int64_t work, sftn_cpu_body *body,
                       void *ctx);

#endif
