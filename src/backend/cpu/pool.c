/* pool: average, maximum and adaptive average pooling of channels-last images, and gradients. */
#include "backend/cpu/cpu.h"
#include "op/pool2d.h"

#include <stdlib.h>

typedef struct pool_kernel {
    sftn_cpu *cpu;
    sftn_pool_map map;
    int64_t images, rows; /* rows that one image's kernel makes */
    size_t x_bytes, y_bytes; /* of one image */
    void (*row)(const sftn_pool_map *m, const void *src, void *dst, int64_t row);
    bool to_y; /* src is x and dst is y; otherwise gy and gx */
    int64_t *windows; /* behind map.first, last, count; owned */
} pool_kernel;

typedef struct pool_call {
    const pool_kernel *k;
    const void *src;
    void *dst;
    const void *x;   /* max_pool2d_grad */
    uint16_t *which; /* max_pool2d_grad: one image per thread */
} pool_call;

static void pool_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const pool_call *c = ctx;
    const pool_kernel *k = c->k;
    const size_t src_bytes = k->to_y ? k->x_bytes : k->y_bytes;
    const size_t dst_bytes = k->to_y ? k->y_bytes : k->x_bytes;

    (void)thread;
    for (int64_t i = first; i < last; i++) {
        const size_t image = (size_t)(i / k->rows);

        k->row(&k->map, (const char *)c->src + image * src_bytes,
               (char *)c->dst + image * dst_bytes, i % k->rows);
    }
}

static const char *pool_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const pool_kernel *k = state;
    pool_call call = {.k = k, .src = in[0], .dst = out[0]};

    (void)workspace;
    sftn_cpu_parallel(k->cpu->threads, k->images * k->rows, 1,
                      k->images * k->map.h * k->map.w * k->map.c, pool_part, &call);
    return NULL;
}

static void max_grad_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const pool_call *c = ctx;
    const pool_kernel *k = c->k;
    uint16_t *which = c->which + (int64_t)thread * k->map.oh * k->map.ow * k->map.c;

    for (int64_t i = first; i < last; i++) {
        const char *x = (const char *)c->x + (size_t)i * k->x_bytes;
        const char *gy = (const char *)c->src + (size_t)i * k->y_bytes;
        char *gx = (char *)c->dst + (size_t)i * k->x_bytes;

        for (int64_t row = 0; row < k->map.oh; row++)
            k->cpu->k->max_pool_which(&k->map, x, which, row);
        for (int64_t row = 0; row < k->map.h; row++)
            k->cpu->k->max_pool_grad(&k->map, which, gy, gx, row);
    }
}

static const char *max_grad_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const pool_kernel *k = state;
    pool_call call = {.k = k, .src = in[1], .dst = out[0], .x = in[0], .which = workspace};

    sftn_cpu_parallel(k->cpu->threads, k->images, 1, k->images * k->map.h * k->map.w * k->map.c,
                      max_grad_part, &call);
    return NULL;
}

static void pool_destroy(void *state)
{
    pool_kernel *k = state;

    free(k->windows);
    free(k);
}

/* Bounds of the windows along one axis. */
static void find_windows(const sftn_pool2d_attr *attr, bool adaptive, int64_t size,
                         int64_t windows, int64_t *first, int64_t *last, int64_t *count)
{
    for (int64_t i = 0; i < windows; i++)
        if (adaptive) {
            sftn_adaptive_window(i, windows, size, &first[i], &last[i]);
            count[i] = last[i] - first[i];
        } else {
            sftn_pool2d_window(attr, i, size, &first[i], &last[i], &count[i]);
        }
}

/* x, y: shapes of the larger and the smaller image. */
static sftn_status make_pool(sftn_cpu *cpu, sftn_kernel_request *r, const sftn_shape *x,
                             const sftn_shape *y, bool adaptive, sftn_kernel *kernel,
                             sftn_error *err)
{
    const int64_t oh = y->dim[SFTN_H], ow = y->dim[SFTN_W];
    const sftn_pool2d_attr *attr = r->node->attr;
    pool_kernel *k = sftn_calloc(1, sizeof *k);
    size_t element;

    if (k == NULL || (k->windows = sftn_calloc((size_t)(oh + ow), 3 * sizeof(int64_t))) == NULL) {
        free(k);
        return sftn_cpu_out_of_memory("pooling", err);
    }
    r->out[0] = sftn_cpu_result(cpu, &r->out_type[0], SFTN_NHWC);
    for (int i = 0; i < r->node->nin; i++)
        r->in[i] = sftn_desc_of(&r->in[i].shape, r->out[0].dtype, SFTN_NHWC);
    k->cpu = cpu;
    k->map = (sftn_pool_map){
        .c = x->dim[SFTN_C], .h = x->dim[SFTN_H], .w = x->dim[SFTN_W], .oh = oh, .ow = ow,
        .bf16 = r->out[0].dtype == SFTN_BF16, .first = k->windows,
        .last = k->windows + oh + ow, .count = k->windows + 2 * (oh + ow)};
    find_windows(attr, adaptive, k->map.h, oh, k->windows, k->windows + oh + ow,
                 k->windows + 2 * (oh + ow));
    find_windows(attr, adaptive, k->map.w, ow, k->windows + oh, k->windows + oh + ow + oh,
                 k->windows + 2 * (oh + ow) + oh);
    element = sftn_dtype_bytes(r->out[0].dtype);
    k->images = x->dim[SFTN_N];
    k->x_bytes = (size_t)(k->map.c * k->map.h * k->map.w) * element;
    k->y_bytes = (size_t)(k->map.c * oh * ow) * element;
    *kernel = (sftn_kernel){.name = "pool nhwc", .state = k, .run = pool_run,
                            .destroy = pool_destroy, .flops = (double)sftn_shape_count(x)};
    return SFTN_OK;
}

static sftn_status make_forward(sftn_cpu *cpu, sftn_kernel_request *r, bool adaptive, bool maximum,
                                sftn_kernel *kernel, sftn_error *err)
{
    const sftn_status status = make_pool(cpu, r, &r->in_type[0].shape, &r->out_type[0].shape,
                                         adaptive, kernel, err);
    pool_kernel *k = kernel->state;

    if (status != SFTN_OK)
        return status;
    k->row = maximum ? cpu->k->max_pool : cpu->k->avg_pool;
    k->rows = k->map.oh;
    k->to_y = true;
    return SFTN_OK;
}

static sftn_status make_avg_grad(sftn_cpu *cpu, sftn_kernel_request *r, bool adaptive,
                                 sftn_kernel *kernel, sftn_error *err)
{
    const sftn_status status = make_pool(cpu, r, &r->out_type[0].shape, &r->in_type[0].shape,
                                         adaptive, kernel, err);
    pool_kernel *k = kernel->state;

    if (status != SFTN_OK)
        return status;
    k->row = cpu->k->avg_pool_grad;
    k->rows = k->map.h;
    return SFTN_OK;
}

sftn_status sftn_cpu_avg_pool2d(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                                sftn_error *err)
{
    return make_forward(cpu, r, false, false, kernel, err);
}

sftn_status sftn_cpu_adaptive_avg_pool2d(sftn_cpu *cpu, sftn_kernel_request *r,
                                         sftn_kernel *kernel, sftn_error *err)
{
    return make_forward(cpu, r, true, false, kernel, err);
}

sftn_status sftn_cpu_max_pool2d(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                                sftn_error *err)
{
    return make_forward(cpu, r, false, true, kernel, err);
}

sftn_status sftn_cpu_avg_pool2d_grad(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                                     sftn_error *err)
{
    return make_avg_grad(cpu, r, false, kernel, err);
}

sftn_status sftn_cpu_adaptive_avg_pool2d_grad(sftn_cpu *cpu, sftn_kernel_request *r,
                                              sftn_kernel *kernel, sftn_error *err)
{
    return make_avg_grad(cpu, r, true, kernel, err);
}

sftn_status sftn_cpu_max_pool2d_grad(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                                     sftn_error *err)
{
    const sftn_pool2d_attr *attr = r->node->attr;
    sftn_status status;
    const pool_kernel *k;

    if (attr->size > 256)
        return sftn_fail(err, SFTN_ERR_UNSUPPORTED,
                         "max_pool2d: windows of %d pixels, at most 256 have a gradient here",
                         attr->size);
    status = make_pool(cpu, r, &r->in_type[0].shape, &r->in_type[1].shape, false, kernel, err);
    k = kernel->state;
    if (status != SFTN_OK)
        return status;
    kernel->run = max_grad_run;
    kernel->workspace =
        (size_t)(cpu->threads * k->map.oh * k->map.ow * k->map.c) * sizeof(uint16_t);
    return SFTN_OK;
}
