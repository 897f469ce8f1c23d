/*
 * program: a fused program made ready for the loops of kernels/pointwise.c.
 *
 * Copies disappear, since registers are float; frequent pairs become one step; every operand is
 * classified by how it is read, and every intermediate result gets a tile.
 */
#include "backend/cpu/cpu.h"

#include <string.h>

enum {
    SCRATCH_FLOATS = 4096, /* all tiles together: half of a small first-level cache */
    TILE_MIN = 128,
    TILE_MAX = 1024,
    TILE_UNIT = 64,
    PERIOD_MAX = 16384, /* longer repetitions are read through strides */
};

/* ---- operands ---- */

/* Program dimensions from the output's, and every operand's strides along them. */
static void find_strides(sftn_pw_program *g, const sftn_desc *in, const sftn_desc *out)
{
    static const int nhwc[SFTN_DIMS] = {SFTN_N, SFTN_H, SFTN_W, SFTN_C};
    const bool last = out->layout == SFTN_NHWC;
    int64_t stride[SFTN_MAX_IN][SFTN_DIMS];

    for (int d = 0; d < SFTN_DIMS; d++)
        g->dim[d] = out->shape.dim[last ? nhwc[d] : d];
    for (int i = 0; i < g->nin; i++) {
        const sftn_desc *desc = &in[i];
        int64_t own[SFTN_DIMS];

        sftn_cpu_strides(&desc->shape, desc->layout, own);
        for (int d = 0; d < SFTN_DIMS; d++) {
            const int axis = last ? nhwc[d] : d;

            stride[i][d] = desc->shape.dim[axis] == 1 ? 0 : own[axis];
        }
    }
    g->ndims = sftn_cpu_join_dims(SFTN_DIMS, g->dim, g->nin, stride);
    g->count = sftn_shape_count(&out->shape);
    for (int i = 0; i < g->nin; i++) {
        memcpy(g->operand[i].stride, stride[i], sizeof stride[i]);
        g->operand[i].bf16 = in[i].dtype == SFTN_BF16;
    }
}

/* How an operand is read: inner dimensions in order, and zero strides around them or not. */
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

/* ---- steps ---- */

enum { NOTHING = 255 }; /* an operand that a step does not have */

static int uses(const sftn_pw_step *step, int n, int reg)
{
    int count = 0;

    for (int i = 0; i < n; i++)
        count += (step[i].a == reg) + (step[i].b == reg) + (step[i].c == reg);
    return count;
}

/* One step for each instruction that is not a copy, except a copy that makes the result. */
static int collect_steps(const sftn_fused_attr *attr, int nin, sftn_pw_step *step)
{
    uint8_t same[SFTN_FUSED_MAX_REG]; /* the register of which this one is a copy */
    const int last = nin + attr->ncode - 1;
    int n = 0;

    for (int i = 0; i <= last; i++)
        same[i] = (uint8_t)i;
    for (int k = 0; k < attr->ncode; k++) {
        const sftn_instruction *c = &attr->code[k];
        const bool two = sftn_pointwise_operands(c->op) == 2;

        if (c->op == SFTN_PW_copy)
            same[nin + k] = same[c->a];
        else
            step[n++] = (sftn_pw_step){.op = (uint8_t)c->op, .dst = (uint8_t)(nin + k),
                                       .a = same[c->a], .b = two ? same[c->b] : NOTHING,
                                       .c = NOTHING, .p = c->p, .q = c->q};
    }
    if (n == 0 || same[last] != step[n - 1].dst)
        step[n++] = (sftn_pw_step){.op = SFTN_PW_copy, .dst = (uint8_t)last, .a = same[last],
                                   .b = NOTHING, .c = NOTHING};
    return n;
}

/* The step that makes reg, where reg is read by one step only; NULL otherwise. */
static sftn_pw_step *only_maker(sftn_pw_step *step, int n, int reg, int op)
{
    if (uses(step, n, reg) == 1)
        for (int i = 0; i < n; i++)
            if (step[i].dst == reg && step[i].op == op)
                return &step[i];
    return NULL;
}

/* Turn s into one step with the maker of one of its operands; the maker is emptied. */
static void join_step(sftn_pw_step *step, int n, sftn_pw_step *s)
{
    sftn_pw_step *maker = NULL;

    if (s->op == SFTN_PW_add) {
        maker = only_maker(step, n, s->a, SFTN_PW_mul);
        s->c = s->b;
        if (maker == NULL) {
            maker = only_maker(step, n, s->b, SFTN_PW_mul);
            s->c = maker != NULL ? s->a : NOTHING;
        }
        s->op = maker != NULL ? SFTN_PW_MULADD : SFTN_PW_add;
    } else if (s->op == SFTN_PW_relu && (maker = only_maker(step, n, s->a, SFTN_PW_MULADD))) {
        s->op = SFTN_PW_MULADD_RELU;
        s->c = maker->c;
    } else if (s->op == SFTN_PW_relu && (maker = only_maker(step, n, s->a, SFTN_PW_add))) {
        s->op = SFTN_PW_ADD_RELU;
    } else if (s->op == SFTN_PW_mask && (maker = only_maker(step, n, s->a, SFTN_PW_add))) {
        s->op = SFTN_PW_ADD_MASK;
        s->c = s->b;
    }
    if (maker != NULL) {
        s->a = maker->a;
        s->b = maker->b;
        *maker = (sftn_pw_step){
            .op = SFTN_PW_NONE, .dst = NOTHING, .a = NOTHING, .b = NOTHING, .c = NOTHING};
    }
}

static int join_steps(sftn_pw_step *step, int n)
{
    int kept = 0;

    for (int i = 0; i < n; i++)
        join_step(step, n, &step[i]);
    for (int i = 0; i < n; i++)
        if (step[i].op != SFTN_PW_NONE)
            step[kept++] = step[i];
    return kept;
}

/* ---- registers ---- */

static bool dense_bf16(const sftn_pw_program *g, int reg)
{
    return reg < g->nin && g->operand[reg].access == SFTN_PW_DENSE && g->operand[reg].bf16;
}

/* Which operands of a step its loop can read as bfloat16. */
static int bf16_places(int op)
{
    if (!sftn_pw_reads_bf16(op))
        return 0;
    if (op == SFTN_PW_MULADD || op == SFTN_PW_MULADD_RELU)
        return SFTN_PW_A16 | SFTN_PW_C16;
    return SFTN_PW_A16 | SFTN_PW_B16 | SFTN_PW_C16;
}

/* Mark the operands that must be fetched into a tile of floats: slot 0 until slots are dealt. */
static void find_loads(sftn_pw_program *g, sftn_pw_step *step, int n)
{
    for (int i = 0; i < g->nin; i++)
        g->operand[i].slot = g->operand[i].access == SFTN_PW_STRIDED ? 0 : -1;
    for (int i = 0; i < n; i++) {
        sftn_pw_step *s = &step[i];
        const int places = bf16_places(s->op);
        const uint8_t reg[] = {s->a, s->b, s->c};

        if (places != 0 && (places & SFTN_PW_B16) == 0 && dense_bf16(g, s->b)) {
            s->a = reg[1]; /* the factor that may be bfloat16 comes first */
            s->b = reg[0];
        }
        if ((places & SFTN_PW_A16) == 0 && dense_bf16(g, s->a))
            g->operand[s->a].slot = 0;
        if ((places & SFTN_PW_B16) == 0 && dense_bf16(g, s->b))
            g->operand[s->b].slot = 0;
        if ((places & SFTN_PW_C16) == 0 && dense_bf16(g, s->c))
            g->operand[s->c].slot = 0;
    }
}

/* Tiles are handed out again once their last reader has run. */
typedef struct slots {
    int last_use[SFTN_FUSED_MAX_REG];
    bool busy[SFTN_FUSED_MAX_REG], loaded[SFTN_MAX_IN];
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

/* Fetch operand reg before its first reader. */
static void load_operand(sftn_pw_program *g, slots *s, int reg)
{
    if (reg >= g->nin || g->operand[reg].slot < 0 || s->loaded[reg])
        return;
    s->loaded[reg] = true;
    g->operand[reg].slot = take(s);
    g->step[g->nsteps++] = (sftn_pw_step){.op = SFTN_PW_LOAD, .dst = (uint8_t)reg,
                                          .a = (uint8_t)reg, .b = (uint8_t)reg, .c = (uint8_t)reg};
}

static void release(slots *s, const sftn_pw_program *g, int reg, int at)
{
    const int slot = reg == NOTHING ? -1 : (reg < g->nin ? g->operand[reg].slot : g->slot[reg]);

    if (slot >= 0 && s->last_use[reg] == at)
        s->busy[slot] = false;
}

static bool read_in_place(const sftn_pw_program *g, int reg)
{
    return dense_bf16(g, reg) && g->operand[reg].slot < 0;
}

/* Loads before first uses, a tile for every intermediate result; then the steps are complete. */
static void assign_slots(sftn_pw_program *g, const sftn_pw_step *step, int n)
{
    slots s = {.n = 0};

    for (int i = 0; i < SFTN_FUSED_MAX_REG; i++)
        g->slot[i] = -1;
    for (int k = 0; k < n; k++) {
        const uint8_t reg[] = {step[k].a, step[k].b, step[k].c};

        for (int i = 0; i < 3; i++)
            if (reg[i] != NOTHING)
                s.last_use[reg[i]] = k;
    }
    for (int k = 0; k < n; k++) {
        sftn_pw_step t = step[k];
        const uint8_t reg[] = {t.a, t.b, t.c};
        const bool to_memory = k + 1 == n && (!g->bf16 || sftn_pw_reads_bf16(t.op));

        for (int i = 0; i < 3; i++)
            load_operand(g, &s, reg[i]);
        for (int i = 0; i < 3; i++)
            release(&s, g, reg[i], k);
        if (!to_memory)
            g->slot[t.dst] = take(&s);
        t.bf16 = (uint8_t)((read_in_place(g, t.a) ? SFTN_PW_A16 : 0) |
                           (read_in_place(g, t.b) ? SFTN_PW_B16 : 0) |
                           (read_in_place(g, t.c) ? SFTN_PW_C16 : 0) |
                           (to_memory && g->bf16 ? SFTN_PW_OUT16 : 0));
        t.b = t.b == NOTHING ? t.a : t.b;
        t.c = t.c == NOTHING ? t.a : t.c;
        g->step[g->nsteps++] = t;
    }
    g->nslots = s.n;
}

/* ---- tiles ---- */

/* Tile length, and where the expanded copies lie; returns their floats. */
static size_t settle_tiles(sftn_pw_program *g)
{
    size_t expanded = 0;
    int tile = SCRATCH_FLOATS / (g->nslots > 0 ? g->nslots : 1) / TILE_UNIT * TILE_UNIT;

    tile = tile < TILE_MIN ? TILE_MIN : (tile > TILE_MAX ? TILE_MAX : tile);
    g->tile = tile;
    for (int i = 0; i < g->nin; i++) {
        sftn_pw_operand *op = &g->operand[i];
        const size_t floats = (size_t)op->period + (size_t)tile;

        if (op->access != SFTN_PW_PERIODIC)
            continue;
        op->expanded = expanded;
        expanded += (floats + SFTN_PW_ALIGN - 1) / SFTN_PW_ALIGN * SFTN_PW_ALIGN;
    }
    return expanded;
}

size_t sftn_pw_compile(sftn_pw_program *g, int nin, const sftn_desc *in, const sftn_desc *out,
                       const sftn_fused_attr *attr)
{
    sftn_pw_step step[SFTN_FUSED_MAX_CODE + 1];
    int n;

    memset(g, 0, sizeof *g);
    g->nin = nin;
    g->bf16 = out->dtype == SFTN_BF16;
    find_strides(g, in, out);
    for (int i = 0; i < nin; i++)
        classify(g, &g->operand[i]);
    n = join_steps(step, collect_steps(attr, nin, step));
    find_loads(g, step, n);
    assign_slots(g, step, n);
    return settle_tiles(g);
}
