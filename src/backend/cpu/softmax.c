/* softmax: softmax and log_softmax over channels, which lie next to each other in memory. */
#include "backend/cpu/cpu.h"

#include <stdlib.h>

typedef struct softmax_kernel {
    sftn_cpu *cpu;
    bool bf16, logarithm;
    int64_t rows, c;
} softmax_kernel;

typedef struct softmax_call {
    const softmax_kernel *k;
    const void *x;
    float *y;
} softmax_call;

static void softmax_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const softmax_call *call = ctx;
    const softmax_kernel *k = call->k;

    (void)thread;
    k->cpu->k->softmax(sftn_cpu_at(call->x, k->bf16, first * k->c), k->bf16, last - first, k->c,
                       k->logarithm, call->y + first * k->c);
}

static const char *softmax_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const softmax_kernel *k = state;
    softmax_call call = {k, in[0], out[0]};

    (void)workspace;
    sftn_cpu_parallel(k->cpu->threads, k->rows, 1, 4 * k->rows * k->c, softmax_part, &call);
    return NULL;
}

static sftn_status make_softmax(sftn_cpu *cpu, sftn_kernel_request *r, bool logarithm,
                                sftn_kernel *kernel, sftn_error *err)
{
    const sftn_shape *shape = &r->in_type[0].shape;
    softmax_kernel *k = sftn_calloc(1, sizeof *k);

    if (k == NULL)
        return sftn_cpu_out_of_memory("softmax", err);
    r->in[0] = sftn_cpu_channels_last(&r->in[0]);
    r->out[0] = sftn_desc_of(shape, SFTN_F32, SFTN_NHWC);
    k->cpu = cpu;
    k->bf16 = r->in[0].dtype == SFTN_BF16;
    k->logarithm = logarithm;
    k->c = shape->dim[SFTN_C];
    k->rows = sftn_shape_count(shape) / k->c;
    *kernel = (sftn_kernel){
        .name = logarithm ? "log_softmax rows" : "softmax rows",
        .state = k,
        .run = softmax_run,
        .destroy = free,
        .in_place = k->bf16 ? 0u : 1u,
        .flops = 4.0 * (double)sftn_shape_count(shape),
    };
    return SFTN_OK;
}

sftn_status sftn_cpu_softmax(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                             sftn_error *err)
{
    return make_softmax(cpu, r, false, kernel, err);
}

sftn_status sftn_cpu_log_softmax(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                                 sftn_error *err)
{
    return make_softmax(cpu, r, true, kernel, err);
}
