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

enum {
    SCRATCH_FLOATS = 4096,   /* all tiles together: half of a small first-level cache */
    TILE_MIN = 128,
    TILE_MAX = 1024,
    PERIOD_MAX = 16384,      /* longer repetitions are read through strides */
    UNIT = 64,               /* threads' ranges begin at cache lines */
};

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

/* ---- operands ---- */

/* Program dimensions from the output's, and every operand's strides along them. */
static void find_strides(sftn_pw_program *g, const sftn_kernel_request *r)
{
    static const int nhwc[SFTN_DIMS] = {SFTN_N, SFTN_H, SFTN_W, SFTN_C};
    const bool last = r->out[0].layout == SFTN_NHWC;
    int64_t stride[SFTN_MAX_IN][SFTN_DIMS];

    for (int d = 0; d < SFTN_DIMS; d++)
        g->dim[d] = r->out[0].shape.dim[last ? nhwc[d] : d];
    for (int i = 0; i < g->nin; i++) {
        const sftn_desc *desc = &r->in[i];
        int64_t own[SFTN_DIMS];

        sftn_cpu_strides(&desc->shape, desc->layout, own);
        for (int d = 0; d < SFTN_DIMS; d++) {
            const int axis = last ? nhwc[d] : d;

            stride[i][d] = desc->shape.dim[axis] == 1 ? 0 : own[axis];
        }
    }
    g->ndims = sftn_cpu_join_dims(SFTN_DIMS, g->dim, g->nin, stride);
    g->count = sftn_shape_count(&r->out[0].shape);
    for (int i = 0; i < g->nin; i++) {
        memcpy(g->operand[i].stride, stride[i], sizeof stride[i]);
        g->operand[i].bf16 = r->in[i].dtype == SFTN_BF16;
    }
}

/* How an operand is read: its innermost dimensions in order, and zero strides around them or not. */
static void classify(const sftn_pw_program *g, sftn_pw_operand *op)
{
    int64_t period = 1;
    int d = g->ndims - 1;
    bool repeats = true;

    for (; d >= 0 && op->stride[d] == period; d--)
        period *= g->dim[d];
    if (d < 0) {
        op->access = SFTN_PW_DENSE;
        return;
    }
    for (; d >= 0; d--)
        repeats = repeats && op->stride[d] == 0;
    op->access = SFTN_PW_STRIDED;
    if (repeats && period <= PERIOD_MAX && 2 * period <= g->count) {
        op->access = SFTN_PW_PERIODIC;
        op->period = period;
    }
}

static bool needs_load(const sftn_pw_operand *op)
{
    return op->access == SFTN_PW_STRIDED || (op->access == SFTN_PW_DENSE && op->bf16);
}

/* ---- registers ---- */

/* Tiles are handed out again once their last reader has run. */
typedef struct slots {
    int last_use[SFTN_FUSED_MAX_REG];
    bool busy[SFTN_FUSED_MAX_REG];
    int n;
} slots;

static int take(slots *s)
{
    for (int i = 0; i < s->n; i++)
        if (!s->busy[i]) {
            s->busy[i] = true;
            return i;
        }
    s->busy[s->n] = true;
    return s->n++;
}

static int slot_of(const sftn_pw_program *g, int reg)
{
    return reg < g->nin ? g->operand[reg].slot : g->slot[reg];
}

static void release(slots *s, const sftn_pw_program *g, int reg, int at)
{
    const int slot = slot_of(g, reg);

    if (slot >= 0 && s->last_use[reg] == at)
        s->busy[slot] = false;
}

static void add_load(sftn_pw_program *g, slots *s, int reg)
{
    if (reg >= g->nin || !needs_load(&g->operand[reg]) || g->operand[reg].slot >= 0)
        return;
    g->operand[reg].slot = take(s);
    g->step[g->nsteps++] =
        (sftn_pw_step){.op = SFTN_PW_LOAD, .dst = (uint8_t)reg, .a = (uint8_t)reg};
}

/* Steps from the instructions: loads before first uses, a tile for every intermediate result. */
static void assign_slots(sftn_pw_program *g, const sftn_fused_attr *attr)
{
    slots s = {.n = 0};

    for (int i = 0; i < SFTN_FUSED_MAX_REG; i++)
        s.last_use[i] = g->slot[i] = -1;
    for (int i = 0; i < g->nin; i++)
        g->operand[i].slot = -1;
    for (int k = 0; k < attr->ncode; k++) {
        s.last_use[attr->code[k].a] = k;
        if (sftn_pointwise_operands(attr->code[k].op) == 2)
            s.last_use[attr->code[k].b] = k;
    }
    for (int k = 0; k < attr->ncode; k++) {
        const sftn_instruction *c = &attr->code[k];
        const int b = sftn_pointwise_operands(c->op) == 2 ? c->b : c->a, dst = g->nin + k;

        add_load(g, &s, c->a);
        add_load(g, &s, b);
        release(&s, g, c->a, k);
        release(&s, g, b, k);
        if (k + 1 < attr->ncode || g->bf16)
            g->slot[dst] = take(&s);
        g->step[g->nsteps++] =
            (sftn_pw_step){c->op, (uint8_t)dst, c->a, (uint8_t)b, c->p, c->q};
    }
    g->nslots = s.n;
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Tile length, and where the expanded copies lie. */
static void settle_tiles(pointwise_kernel *k)
{
    sftn_pw_program *g = &k->program;
    int tile = SCRATCH_FLOATS / (g->nslots > 0 ? g->nslots : 1) / UNIT * UNIT;

    tile = tile < TILE_MIN ? TILE_MIN : (tile > TILE_MAX ? TILE_MAX : tile);
    g->tile = tile;
    for (int i = 0; i < g->nin; i++) {
        sftn_pw_operand *op = &g->operand[i];

        if (op->access != SFTN_PW_PERIODIC)
            continue;
        op->expanded = k->expanded;
        k->expanded += round_up((size_t)op->period + (size_t)tile, SFTN_PW_ALIGN);
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

static void pointwise_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const pointwise_kernel *k = state;
    const sftn_pw_program *g = &k->program;
    pointwise_call call = {k, in, out[0], workspace, (float *)workspace + k->expanded};

    for (int i = 0; i < g->nin; i++)
        if (g->operand[i].access == SFTN_PW_PERIODIC)
            k->cpu->k->expand(g, i, in[i], call.expanded + g->operand[i].expanded);
    sftn_cpu_parallel(k->cpu->threads, g->count, UNIT, g->count * (g->nsteps + 1) / 2,
                      pointwise_part, &call);
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
    g->nin = r->node->nin;
    g->bf16 = r->out[0].dtype == SFTN_BF16;
    find_strides(g, r);
    for (int i = 0; i < g->nin; i++)
        classify(g, &g->operand[i]);
    assign_slots(g, attr);
    settle_tiles(k);
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
    sftn_fused_attr attr = {.ncode = 1, .type = r->out_type[0]};

    attr.code[0] = (sftn_instruction){
        .op = (uint8_t)r->node->op->pointwise, .b = 1, .p = one->p, .q = one->q};
    return make(cpu, r, &attr, kernel, err);
}
