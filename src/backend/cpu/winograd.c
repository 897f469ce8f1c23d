/*
 * winograd: 3x3 convolutions of stride 1 and their gradients by Winograd's algorithm
 * (kernels/winograd.h), shared among threads.
 *
 * Rows of tiles are dealt out to threads.  Transformed weights are a packed layout, made once and
 * kept where weights are frozen.  A weight gradient is summed by each thread over its own rows and
 * then over threads in a fixed order.
 */
#include "backend/cpu/conv.h"

#include "backend/cpu/dnnl_common.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CONV_TILES = 32,         /* transformed together for a convolution: a few stay in cache */
    WEIGHT_BYTES = 512 << 10, /* of transformed tiles of a weight gradient */
    WEIGHT_TILES_MIN = 64,
    WEIGHT_TILES_MAX = 512,
    SUMS_MAX = 64 << 20, /* bytes of all threads' sums; beyond, oneDNN shares the work otherwise */
};

/* Transformed weights; turned: the data gradient's. */
struct sftn_winograd_packed {
    sftn_packing packing;
    sftn_winograd m;
    bool turned;
    sftn_winograd_packed *next;
};

typedef struct winograd_kernel {
    sftn_cpu *cpu;
    sftn_winograd m;
    const sftn_winograd_kernels *k;
    bool turned;       /* pack */
    int64_t tile_rows; /* of all images */
    int parts;         /* threads that sum a weight gradient */
    size_t scratch;    /* of one thread */
    char name[48];
} winograd_kernel;

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* ---- where it fits ---- */

/*
 * A weight gradient's sums are of all threads; AMX multiplies bfloat16 matrices so fast that the
 * transforms would not pay.
 */
bool sftn_cpu_winograd_fits(const sftn_cpu *cpu, const sftn_conv *c)
{
    const bool bf16 = cpu->precision == SFTN_BFLOAT16;
    const int64_t *w = c->w.dim;
    const size_t sums = (size_t)SFTN_WINOGRAD_POINTS * (size_t)(w[0] * w[1]) * sizeof(float);
    const bool shape = w[2] == 3 && w[3] == 3 && c->stride == 1 && c->pad == 1 &&
                       c->groups == 1 && w[0] % SFTN_WINOGRAD_CHANNELS == 0 &&
                       w[1] % SFTN_WINOGRAD_CHANNELS == 0 && c->x.dim[SFTN_W] > 2;

    if (!shape || cpu->no_winograd)
        return false;
    if (bf16 ? !cpu->k->winograd->bf16 || sftn_dnnl_has_amx() : !cpu->k->winograd->f32)
        return false;
    if (c->kind == SFTN_CONV_WEIGHT)
        return sums * (size_t)cpu->threads <= SUMS_MAX;
    return c->dw->layout == SFTN_NCHW && c->dw->dtype == SFTN_F32;
}

/* The convolution of x [n,c,h,w] to k channels, `tiles` of which are transformed together. */
static sftn_winograd describe(const sftn_cpu *cpu, const sftn_shape *x, int64_t k, int64_t tiles)
{
    const int64_t tiles_h = (x->dim[SFTN_H] + 1) / 2, tiles_w = (x->dim[SFTN_W] + 1) / 2;
    sftn_winograd m = {
        .bf16 = cpu->precision == SFTN_BFLOAT16,
        .c = x->dim[SFTN_C],
        .k = k,
        .h = x->dim[SFTN_H],
        .w = x->dim[SFTN_W],
        .tiles_h = tiles_h,
        .tiles_w = (tiles_w + 1) / 2 * 2,
    };
    const int64_t rows = tiles / m.tiles_w, all = x->dim[SFTN_N] * tiles_h;

    m.rows = rows < 1 ? 1 : rows > all ? all : rows;
    return m;
}

static winograd_kernel *new_kernel(sftn_cpu *cpu, const sftn_winograd *m, const char *what,
                                   sftn_kernel *kernel)
{
    winograd_kernel *k = sftn_calloc(1, sizeof *k);

    if (k == NULL)
        return NULL;
    k->cpu = cpu;
    k->m = *m;
    k->k = cpu->k->winograd;
    snprintf(k->name, sizeof k->name, "%s winograd %s", what, cpu->k->isa);
    *kernel = (sftn_kernel){.name = k->name, .state = k, .destroy = free};
    return k;
}

/* ---- weights ---- */

typedef struct winograd_run {
    const winograd_kernel *k;
    const void *in[2];
    void *out;
    char *workspace;
} winograd_run;

static void pack_body(void *ctx, int64_t first, int64_t last, int thread)
{
    const winograd_run *r = ctx;

    (void)thread;
    r->k->k->weights(&r->k->m, r->in[0], r->k->turned, r->out, first, last);
}

static const char *pack_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const winograd_kernel *k = state;
    winograd_run r = {.k = k, .in = {in[0]}, .out = out[0]};

    (void)workspace;
    sftn_cpu_parallel(k->cpu->threads, k->m.k, SFTN_WINOGRAD_CHANNELS, k->m.c * k->m.k * 9,
                      pack_body, &r);
    return NULL;
}

static sftn_status pack(sftn_cpu *cpu, const sftn_desc *src, const sftn_desc *dst,
                        sftn_kernel *kernel, sftn_error *err)
{
    const sftn_winograd_packed *p = dst->packed;
    winograd_kernel *k;

    if (dst->layout != SFTN_PACKED || src->layout != SFTN_NCHW || src->dtype != SFTN_F32)
        return sftn_fail(err, SFTN_ERR_UNSUPPORTED,
                         "no copy from or between transformed weights exists");
    k = new_kernel(cpu, &p->m, "pack", kernel);
    if (k == NULL)
        return sftn_cpu_out_of_memory("pack", err);
    k->turned = p->turned;
    kernel->run = pack_run;
    return SFTN_OK;
}

static const sftn_winograd_packed *intern(sftn_cpu *cpu, const sftn_winograd *m, bool turned)
{
    sftn_winograd_packed *p;

    for (p = cpu->winograd; p != NULL; p = p->next)
        if (p->m.c == m->c && p->m.k == m->k && p->turned == turned)
            return p;
    p = sftn_calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    *p = (sftn_winograd_packed){
        .packing.reorder = pack, .m = *m, .turned = turned, .next = cpu->winograd};
    cpu->winograd = p;
    return p;
}

void sftn_winograd_close(sftn_winograd_packed *list)
{
    for (sftn_winograd_packed *p = list, *next; p != NULL; p = next) {
        next = p->next;
        free(p);
    }
}

/* ---- convolution and data gradient ---- */

static void conv_body(void *ctx, int64_t first, int64_t last, int thread)
{
    const winograd_run *r = ctx;

    r->k->k->conv(&r->k->m, r->in[0], r->in[1], r->out, first, last,
                  r->workspace + (size_t)thread * r->k->scratch);
}

static const char *conv_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const winograd_kernel *k = state;
    winograd_run r = {.k = k, .in = {in[0], in[1]}, .out = out[0], .workspace = workspace};

    sftn_cpu_parallel(k->cpu->threads, k->tile_rows, k->m.rows, INT64_MAX, conv_body, &r);
    return NULL;
}

static sftn_status make_conv(sftn_cpu *cpu, const sftn_conv *c, sftn_kernel *kernel,
                             sftn_error *err)
{
    const bool data = c->kind == SFTN_CONV_DATA;
    const sftn_shape *in = data ? &c->y : &c->x, *out = data ? &c->x : &c->y;
    const sftn_winograd m = describe(cpu, in, out->dim[SFTN_C], CONV_TILES);
    const sftn_winograd_packed *packed = intern(cpu, &m, data);
    winograd_kernel *k =
        packed != NULL ? new_kernel(cpu, &m, data ? "conv data" : "conv", kernel) : NULL;

    if (k == NULL)
        return sftn_cpu_out_of_memory("convolution", err);
    k->tile_rows = in->dim[SFTN_N] * m.tiles_h;
    k->scratch = aligned(sftn_winograd_conv_workspace(&m));
    kernel->run = conv_run;
    kernel->workspace = k->scratch * (size_t)cpu->threads;
    c->dw->layout = SFTN_PACKED;
    c->dw->packed = packed;
    c->dw->dtype = m.bf16 ? SFTN_BF16 : SFTN_F32;
    c->dw->bytes = sftn_winograd_weight_bytes(&m);
    return SFTN_OK;
}

/* ---- weight gradient ---- */

static void sums_body(void *ctx, int64_t first, int64_t last, int thread)
{
    const winograd_run *r = ctx;
    float *const sums = (float *)(void *)r->workspace;
    const size_t count = sftn_winograd_sums(&r->k->m);

    r->k->k->weight_sums(&r->k->m, r->in[0], r->in[1], first, last, sums + (size_t)thread * count,
                         r->workspace + (size_t)r->k->parts * count * sizeof *sums +
                             (size_t)thread * r->k->scratch);
}

static void grad_body(void *ctx, int64_t first, int64_t last, int thread)
{
    const winograd_run *r = ctx;

    (void)thread;
    r->k->k->weight_grad(&r->k->m, (const float *)(const void *)r->workspace, r->k->parts, r->out,
                         first, last);
}

static const char *weight_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const winograd_kernel *k = state;
    winograd_run r = {.k = k, .in = {in[0], in[1]}, .out = out[0], .workspace = workspace};

    sftn_cpu_parallel(k->parts, k->tile_rows, k->m.rows, INT64_MAX, sums_body, &r);
    sftn_cpu_parallel(k->cpu->threads, k->m.k, 1, (int64_t)sftn_winograd_sums(&k->m), grad_body,
                      &r);
    return NULL;
}

static sftn_status make_weight(sftn_cpu *cpu, const sftn_conv *c, sftn_kernel *kernel,
                               sftn_error *err)
{
    const int64_t x = c->x.dim[SFTN_C], y = c->y.dim[SFTN_C];
    int64_t tiles = WEIGHT_BYTES / (SFTN_WINOGRAD_POINTS * (x + y) *
                                    (cpu->precision == SFTN_BFLOAT16 ? 2 : 4));
    sftn_winograd m;
    winograd_kernel *k;
    int64_t units;

    tiles = tiles < WEIGHT_TILES_MIN ? WEIGHT_TILES_MIN : tiles;
    m = describe(cpu, &c->x, y, tiles < WEIGHT_TILES_MAX ? tiles : WEIGHT_TILES_MAX);
    k = new_kernel(cpu, &m, "conv weight", kernel);
    if (k == NULL)
        return sftn_cpu_out_of_memory("weight gradient", err);
    k->tile_rows = c->x.dim[SFTN_N] * m.tiles_h;
    units = (k->tile_rows + m.rows - 1) / m.rows;
    k->parts = units < cpu->threads ? (int)units : cpu->threads;
    k->scratch = aligned(sftn_winograd_weight_workspace(&m));
    kernel->run = weight_run;
    kernel->workspace =
        (size_t)k->parts * (k->scratch + sftn_winograd_sums(&m) * sizeof(float));
    *c->dw = sftn_desc_of(&c->w, SFTN_F32, SFTN_NCHW);
    return SFTN_OK;
}

sftn_status sftn_cpu_winograd(sftn_cpu *cpu, const sftn_conv *c, sftn_kernel *kernel,
                              sftn_error *err)
{
    const sftn_dtype dtype = sftn_cpu_dtype(cpu, false);

    *c->dx = sftn_desc_of(&c->x, dtype, SFTN_NHWC);
    *c->dy = sftn_desc_of(&c->y, dtype, SFTN_NHWC);
    return c->kind == SFTN_CONV_WEIGHT ? make_weight(cpu, c, kernel, err)
                                       : make_conv(cpu, c, kernel, err);
}
