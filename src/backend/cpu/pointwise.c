/*
 * pointwise: kernels of fused programs and of single pointwise ops, which are programs of one
 * instruction.
 *
 * The output takes the layout of the larger part of its full-size operands; the others are asked
 * for in that layout too.  Operands that broadcast are read through strides, or, where they repeat
 * (per channel, scalars), from an expanded copy that any tile can be read from without a gap.
 */
#include "backend/cpu/cpu.h"
#include "op/pointwise.h"

#include <stdlib.h>
#include <string.h>

enum { UNIT = 64 /* threads' ranges begin at cache lines */ };

typedef struct pointwise_kernel {
    sftn_cpu *cpu;
    sftn_pw_program program;
    size_t expanded; /* floats */
    char name[48];
} pointwise_kernel;

/* ---- layout ---- */

static bool full_size(const sftn_kernel_request *r, int i)
{
    return sftn_shape_equal(&r->in[i].shape, &r->out_type[0].shape);
}

/* The layout in which most bytes of full-size operands lie. */
static sftn_layout choose_layout(const sftn_kernel_request *r)
{
    size_t bytes[2] = {0, 0};

    for (int i = 0; i < r->node->nin; i++)
        if (full_size(r, i))
            bytes[r->in[i].layout == SFTN_NHWC] += r->in[i].bytes;
    if (bytes[0] == bytes[1]) {
        for (int i = 0; i < r->node->nin; i++)
            if (r->in[i].layout == SFTN_NHWC)
                return SFTN_NHWC;
        if (bytes[0] == 0 && r->out_type[0].shape.dim[SFTN_W] > 1)
            return SFTN_NHWC;
    }
    return bytes[1] > bytes[0] ? SFTN_NHWC : SFTN_NCHW;
}

static void settle_layouts(const sftn_cpu *cpu, sftn_kernel_request *r)
{
    r->out[0] = sftn_cpu_result(cpu, &r->out_type[0], choose_layout(r));
    for (int i = 0; i < r->node->nin; i++) {
        sftn_desc *d = &r->in[i];

        if (d->layout == SFTN_PACKED || full_size(r, i))
            *d = sftn_desc_of(&d->shape, d->dtype, r->out[0].layout);
    }
}

/* ---- run ---- */

typedef struct pointwise_call {
    const pointwise_kernel *k;
    void *const *in;
    void *out;
    float *expanded, *scratch;
} pointwise_call;

static void pointwise_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const pointwise_call *c = ctx;
    const sftn_pw_program *g = &c->k->program;

    c->k->cpu->k->pointwise(g, c->in, c->out, first, last, c->expanded,
                            c->scratch + (size_t)thread * (size_t)(g->nslots * g->tile));
}

static const char *pointwise_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const pointwise_kernel *k = state;
    const sftn_pw_program *g = &k->program;
    pointwise_call call = {k, in, out[0], workspace, (float *)workspace + k->expanded};

    for (int i = 0; i < g->nin; i++)
        if (g->operand[i].access == SFTN_PW_PERIODIC)
            k->cpu->k->expand(g, i, in[i], call.expanded + g->operand[i].expanded);
    sftn_cpu_parallel(k->cpu->threads, g->count, UNIT, g->count * (g->nsteps + 1) / 2,
                      pointwise_part, &call);
    return NULL;
}

static sftn_status make(sftn_cpu *cpu, sftn_kernel_request *r, const sftn_fused_attr *attr,
                        sftn_kernel *kernel, sftn_error *err)
{
    pointwise_kernel *k = sftn_calloc(1, sizeof *k);
    sftn_pw_program *g;

    if (k == NULL)
        return sftn_cpu_out_of_memory("pointwise", err);
    settle_layouts(cpu, r);
    k->cpu = cpu;
    g = &k->program;
    k->expanded = sftn_pw_compile(g, r->node->nin, r->in, &r->out[0], attr);
    snprintf(k->name, sizeof k->name, "pointwise %s", cpu->k->isa);
    *kernel = (sftn_kernel){
        .name = k->name,
        .state = k,
        .run = pointwise_run,
        .destroy = free,
        .workspace =
            (k->expanded + (size_t)(g->nslots * g->tile * cpu->threads)) * sizeof(float),
        .flops = (double)g->count * attr->ncode,
    };
    for (int i = 0; i < g->nin; i++)
        if (g->operand[i].access == SFTN_PW_DENSE && sftn_desc_same(&r->in[i], &r->out[0]))
            kernel->in_place |= 1u << i;
    return SFTN_OK;
}

sftn_status sftn_cpu_fused(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                           sftn_error *err)
{
    return make(cpu, r, r->node->attr, kernel, err);
}

sftn_status sftn_cpu_pointwise(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                               sftn_error *err)
{
    const sftn_pointwise_attr *one = r->node->attr;
    sftn_fused_attr attr = {.ncode = 1, .shape = r->out_type[0].shape, .wide = r->out_type[0].wide};

    attr.code[0] = (sftn_instruction){
        .op = (uint16_t)r->node->op->pointwise, .b = 1, .p = one->p, .q = one->q};
    return make(cpu, r, &attr, kernel, err);
}
