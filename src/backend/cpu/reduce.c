/*
 * reduce: sum and maximum over any set of axes, and the per-channel sums of batch normalization.
 *
 * In memory order the axes form alternating groups, kept or reduced.  At most two groups are kept
 * and two reduced, so that
 *
 *     y[o][k] = sum over s, r of x[o][s][r][k]
 *
 * with k contiguous (or absent).  Work is cut into units whose number and bounds follow from the
 * shape alone: results do not depend on the number of threads.
 */
#include "backend/cpu/cpu.h"
#include "op/batch_norm.h"
#include "op/reduce.h"

#include <math.h>
#include <stdlib.h>

enum {
    UNIT_ELEMENTS = 16384, /* a unit reads at least so many */
    UNITS_MAX = 64,        /* parts into which one result's sum is cut */
    LINE_MAX = 4096,       /* longest row summed in float */
};

typedef struct reduce_kernel {
    sftn_cpu *cpu;
    bool bf16, maximum, lines;
    int64_t outer[2], outer_stride[2];  /* kept groups around: o */
    int64_t count_s, stride_s;          /* reduced group around the inner one */
    int64_t count_r, stride_r, count_k; /* inner reduced group, kept group inside it */
    int64_t parts;                      /* of s (where more than one) or r */
    int64_t rows, results;
} reduce_kernel;

typedef struct group {
    int64_t count, stride;
    bool reduced;
} group;

/* Dimensions of x in memory order, neighbours of a kind joined. */
static int find_groups(const sftn_desc *x, int axes, group *out)
{
    static const int nhwc[SFTN_DIMS] = {SFTN_N, SFTN_H, SFTN_W, SFTN_C};
    int64_t stride[SFTN_DIMS];
    int n = 0;

    sftn_cpu_strides(&x->shape, x->layout, stride);
    for (int d = 0; d < SFTN_DIMS; d++) {
        const int axis = x->layout == SFTN_NHWC ? nhwc[d] : d;
        const group g = {x->shape.dim[axis], stride[axis], (axes >> axis & 1) != 0};

        if (g.count == 1)
            continue;
        if (n > 0 && out[n - 1].reduced == g.reduced) {
            out[n - 1].count *= g.count;
            out[n - 1].stride = g.stride;
        } else {
            out[n++] = g;
        }
    }
    return n;
}

static void find_form(reduce_kernel *k, const group *g, int n)
{
    const bool kept_inside = n > 0 && !g[n - 1].reduced;
    int at = n - 1, nouter = 0;

    k->outer[0] = k->outer[1] = k->count_s = k->count_r = k->count_k = 1;
    k->stride_r = 1;
    if (kept_inside)
        k->count_k = g[at--].count;
    if (at >= 0) {
        k->count_r = g[at].count;
        k->stride_r = g[at--].stride;
    }
    for (; at >= 0; at--)
        if (g[at].reduced) {
            k->count_s = g[at].count;
            k->stride_s = g[at].stride;
        } else {
            k->outer[nouter] = g[at].count;
            k->outer_stride[nouter++] = g[at].stride;
        }
    k->rows = k->outer[0] * k->outer[1];
    k->results = k->rows * k->count_k;
}

/* Cut the reduction itself only where the results are too few to share out. */
static void find_parts(reduce_kernel *k)
{
    const int64_t splittable = k->count_s > 1 ? k->count_s : k->count_r;
    const int64_t total = k->rows * k->count_s * k->count_r * k->count_k;
    int64_t parts = total / UNIT_ELEMENTS / k->rows;

    if (k->rows >= UNITS_MAX)
        parts = 1;
    parts = parts > UNITS_MAX ? UNITS_MAX : parts;
    parts = parts > splittable ? splittable : parts;
    k->parts = parts < 1 ? 1 : parts;
    k->lines = k->count_k == 1 && k->count_s == 1 && k->stride_r == 1 && k->parts == 1 &&
               k->count_r <= LINE_MAX && k->outer[1] == 1;
}

typedef struct reduce_call {
    const reduce_kernel *k;
    const void *x;
    float *y;
    double *partial; /* [rows * parts][count_k] */
} reduce_call;

static void reduce_block(const reduce_kernel *k, const void *x, int64_t at, int64_t r0, int64_t r1,
                         double *acc)
{
    const void *base = sftn_cpu_at(x, k->bf16, at + r0 * k->stride_r);
    const sftn_cpu_kernels *own = k->cpu->k;

    if (k->maximum)
        own->max_rows(base, k->bf16, r1 - r0, k->stride_r, k->count_k, acc);
    else
        own->sum_rows(base, k->bf16, r1 - r0, k->stride_r, k->count_k, acc);
}

/* Units first .. last - 1: each is one part of one row of results. */
static void reduce_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const reduce_call *c = ctx;
    const reduce_kernel *k = c->k;

    (void)thread;
    for (int64_t u = first; u < last; u++) {
        const int64_t row = u / k->parts, p = u % k->parts;
        const int64_t at = row % k->outer[0] * k->outer_stride[0] +
                           row / k->outer[0] * k->outer_stride[1];
        double *acc = c->partial + u * k->count_k;

        for (int64_t j = 0; j < k->count_k; j++)
            acc[j] = k->maximum ? -(double)INFINITY : 0.0;
        if (k->count_s == 1) {
            reduce_block(k, c->x, at, k->count_r * p / k->parts, k->count_r * (p + 1) / k->parts,
                         acc);
            continue;
        }
        for (int64_t s = k->count_s * p / k->parts; s < k->count_s * (p + 1) / k->parts; s++)
            reduce_block(k, c->x, at + s * k->stride_s, 0, k->count_r, acc);
    }
}

/* Parts joined in order. */
static void join_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const reduce_call *c = ctx;
    const reduce_kernel *k = c->k;

    (void)thread;
    for (int64_t i = first; i < last; i++) {
        const double *partial = c->partial + (i / k->count_k * k->parts) * k->count_k;
        double acc = partial[i % k->count_k];

        for (int64_t p = 1; p < k->parts; p++) {
            const double v = partial[p * k->count_k + i % k->count_k];

            acc = k->maximum ? (v > acc ? v : acc) : acc + v;
        }
        c->y[i] = (float)acc;
    }
}

static void lines_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const reduce_call *c = ctx;
    const reduce_kernel *k = c->k;
    const void *x = sftn_cpu_at(c->x, k->bf16, first * k->count_r);

    (void)thread;
    if (k->maximum)
        k->cpu->k->max_lines(x, k->bf16, last - first, k->count_r, c->y + first);
    else
        k->cpu->k->sum_lines(x, k->bf16, last - first, k->count_r, c->y + first);
}

static const char *reduce_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const reduce_kernel *k = state;
    const int64_t work = k->results * k->count_s * k->count_r;
    reduce_call call = {k, in[0], out[0], workspace};

    if (k->lines) {
        sftn_cpu_parallel(k->cpu->threads, k->rows, 16, work, lines_part, &call);
        return NULL;
    }
    sftn_cpu_parallel(k->cpu->threads, k->rows * k->parts, 1, work, reduce_part, &call);
    sftn_cpu_parallel(k->cpu->threads, k->results, 16, k->results * k->parts, join_part, &call);
    return NULL;
}

static sftn_status make_reduce(sftn_cpu *cpu, sftn_kernel_request *r, bool maximum,
                               sftn_kernel *kernel, sftn_error *err)
{
    const sftn_reduce_attr *attr = r->node->attr;
    reduce_kernel *k = sftn_calloc(1, sizeof *k);
    group g[SFTN_DIMS];

    if (k == NULL)
        return sftn_cpu_out_of_memory("reduction", err);
    if (r->in[0].layout == SFTN_PACKED)
        r->in[0] = sftn_cpu_channels_last(&r->in[0]);
    r->out[0] = sftn_desc_of(&r->out_type[0].shape, SFTN_F32, r->in[0].layout);
    k->cpu = cpu;
    k->bf16 = r->in[0].dtype == SFTN_BF16;
    k->maximum = maximum;
    find_form(k, g, find_groups(&r->in[0], attr->axes, g));
    find_parts(k);
    *kernel = (sftn_kernel){
        .name = k->lines ? "reduce rows" : "reduce blocks",
        .state = k,
        .run = reduce_run,
        .destroy = free,
        .workspace = k->lines ? 0 : (size_t)(k->results * k->parts) * sizeof(double),
        .flops = (double)sftn_shape_count(&r->in[0].shape),
    };
    return SFTN_OK;
}

sftn_status sftn_cpu_sum(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                         sftn_error *err)
{
    return make_reduce(cpu, r, false, kernel, err);
}

sftn_status sftn_cpu_max(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                         sftn_error *err)
{
    return make_reduce(cpu, r, true, kernel, err);
}
