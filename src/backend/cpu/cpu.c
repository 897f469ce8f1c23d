/* cpu.c: the cpu backend: which op has which kernel, and what the files of this folder share. */
#include "backend/cpu/cpu.h"

#include "backend/cpu/dnnl_common.h"
#include "op/batch_norm.h"
#include "op/conv2d.h"
#include "op/eigh.h"
#include "op/labels.h"
#include "op/matmul.h"
#include "op/move.h"
#include "op/pool2d.h"
#include "op/reduce.h"
#include "op/rows.h"
#include "op/softmax.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const sftn_op *op;
    sftn_cpu_maker *make;
} makers[] = {
#define SFTN_CPU_KERNEL(op, maker) {&sftn_op_##op, sftn_cpu_##maker},
#include "backend/cpu/kernels.def"
#undef SFTN_CPU_KERNEL
};

static sftn_cpu_maker *maker_of(const sftn_op *op)
{
    if (op->pointwise != SFTN_PW_NONE)
        return sftn_cpu_pointwise;
    for (size_t i = 0; i < SFTN_COUNT(makers); i++)
        if (makers[i].op == op)
            return makers[i].make;
    return NULL;
}

sftn_status sftn_cpu_out_of_memory(const char *what, sftn_error *err)
{
    return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a %s kernel", what);
}

sftn_dtype sftn_cpu_dtype(const sftn_cpu *cpu, bool wide)
{
    return wide || cpu->precision == SFTN_FLOAT32 ? SFTN_F32 : SFTN_BF16;
}

sftn_desc sftn_cpu_channels_last(const sftn_desc *d)
{
    return sftn_desc_of(&d->shape, d->dtype, SFTN_NHWC);
}

sftn_desc sftn_cpu_plain(const sftn_desc *d)
{
    return sftn_desc_of(&d->shape, d->dtype, SFTN_NCHW);
}

sftn_desc sftn_cpu_result(const sftn_cpu *cpu, const sftn_type *type, sftn_layout layout)
{
    return sftn_desc_of(&type->shape, sftn_cpu_dtype(cpu, type->wide), layout);
}

void sftn_cpu_strides(const sftn_shape *shape, sftn_layout layout, int64_t *stride)
{
    const int64_t *d = shape->dim;

    stride[SFTN_N] = d[SFTN_C] * d[SFTN_H] * d[SFTN_W];
    stride[SFTN_C] = layout == SFTN_NHWC ? 1 : d[SFTN_H] * d[SFTN_W];
    stride[SFTN_W] = layout == SFTN_NHWC ? d[SFTN_C] : 1;
    stride[SFTN_H] = d[SFTN_W] * stride[SFTN_W];
}

int sftn_cpu_join_dims(int ndims, int64_t *dim, int n, int64_t (*stride)[SFTN_DIMS])
{
    int out = 0;

    for (int d = 0; d < ndims; d++) {
        bool join = out > 0;

        if (dim[d] == 1)
            continue;
        for (int k = 0; k < n && join; k++)
            join = stride[k][out - 1] == stride[k][d] * dim[d];
        if (join) {
            dim[out - 1] *= dim[d];
        } else {
            dim[out++] = dim[d];
        }
        for (int k = 0; k < n; k++)
            stride[k][out - 1] = stride[k][d];
    }
    if (out == 0) {
        dim[out++] = 1;
        for (int k = 0; k < n; k++)
            stride[k][0] = 1;
    }
    return out;
}

static sftn_status cpu_open(const sftn_plan_options *options, void **state, sftn_error *err)
{
    sftn_status status = sftn_cpu_check_isa(err);
    sftn_cpu *cpu;

    *state = NULL;
    if (status != SFTN_OK)
        return status;
    cpu = sftn_calloc(1, sizeof *cpu);
    if (cpu == NULL)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for the cpu backend");
    cpu->precision = options->precision;
    cpu->no_winograd = options->no_winograd;
    cpu->threads = sftn_get_threads();
    cpu->k = sftn_cpu_kernels_here();
    status = sftn_dnnl_open(cpu->threads, &cpu->dnnl, err);
    if (status != SFTN_OK) {
        free(cpu);
        return status;
    }
    *state = cpu;
    return SFTN_OK;
}

static void cpu_close(void *state)
{
    sftn_cpu *cpu = state;

    if (cpu == NULL)
        return;
    sftn_dnnl_close(cpu->dnnl);
    sftn_winograd_close(cpu->winograd);
    free(cpu);
}

static bool cpu_has(const sftn_op *op)
{
    return maker_of(op) != NULL;
}

static sftn_dtype cpu_dtype(void *state, bool wide)
{
    return sftn_cpu_dtype(state, wide);
}

/* Images channels last; matrices, which have no columns, in their own order. */
static sftn_layout cpu_input_layout(void *state, const sftn_type *type)
{
    (void)state;
    return type->shape.dim[SFTN_W] > 1 ? sftn_layout_canonical(&type->shape, SFTN_NHWC)
                                       : SFTN_NCHW;
}

static sftn_status cpu_kernel(void *state, sftn_kernel_request *request, sftn_kernel *kernel,
                              sftn_error *err)
{
    const sftn_op *op = request->node->op;
    sftn_cpu_maker *make = maker_of(op);

    *kernel = (sftn_kernel){.name = "none"};
    if (make == NULL)
        return sftn_fail(err, SFTN_ERR_UNSUPPORTED, "the cpu backend has no kernel for op '%s'",
                         op->name);
    return make(state, request, kernel, err);
}

static void cpu_machine(char *buf, size_t size)
{
    const dnnl_version_t *v = dnnl_version();

    snprintf(buf, size, "%s, oneDNN %d.%d.%d on %x", sftn_cpu_kernels_here()->isa, v->major,
             v->minor, v->patch, (unsigned)dnnl_get_effective_cpu_isa());
}

const sftn_backend sftn_backend_cpu = {
    .name = "cpu",
    .fuses = true,
    .machine = cpu_machine,
    .open = cpu_open,
    .close = cpu_close,
    .has = cpu_has,
    .dtype = cpu_dtype,
    .input_layout = cpu_input_layout,
    .kernel = cpu_kernel,
    .reorder = sftn_cpu_reorder,
};
