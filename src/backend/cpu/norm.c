/*
 * norm: moments and the two sums of batch normalization's gradient, each in one pass.
 *
 * Rows (samples and pixels) are cut into parts by the shape alone and summed in double.  The
 * variance is taken around a rough mean, that of some rows, so that nothing cancels:
 *
 *     mean = c + s1 / n,   var = s2 / n - (s1 / n)^2,   s1 = sum of x - c,   s2 = sum of (x - c)^2
 */
#include "backend/cpu/cpu.h"
#include "op/batch_norm.h"

#include <math.h>
#include <stdlib.h>

enum {
    PART_ELEMENTS = 32768, /* a part reads at least so many */
    PARTS_MAX = 32,
    PROBES = 16, /* rows that the rough mean is taken from */
};

typedef struct norm_kernel {
    sftn_cpu *cpu;
    bool x_bf16, gy_bf16, grad;
    int64_t rows, c, parts;
    size_t center; /* bytes of the partial sums, after which the rough mean lies */
} norm_kernel;

typedef struct norm_call {
    const norm_kernel *k;
    const void *x, *gy;
    const float *center;
    double *partial; /* [parts][2][c] */
} norm_call;

static void norm_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const norm_call *call = ctx;
    const norm_kernel *k = call->k;

    (void)thread;
    for (int64_t p = first; p < last; p++) {
        const int64_t r0 = k->rows * p / k->parts, r1 = k->rows * (p + 1) / k->parts;
        double *s1 = call->partial + 2 * p * k->c, *s2 = s1 + k->c;
        const void *x = sftn_cpu_at(call->x, k->x_bf16, r0 * k->c);

        for (int64_t j = 0; j < 2 * k->c; j++)
            s1[j] = 0.0;
        if (k->grad)
            k->cpu->k->norm_sums(x, k->x_bf16, sftn_cpu_at(call->gy, k->gy_bf16, r0 * k->c),
                                 k->gy_bf16, r1 - r0, k->c, call->center, s1, s2);
        else
            k->cpu->k->moments(x, k->x_bf16, r1 - r0, k->c, call->center, s1, s2);
    }
}

/* Add the parts, in order, into the first. */
static void join_parts(const norm_kernel *k, double *partial)
{
    for (int64_t p = 1; p < k->parts; p++)
        for (int64_t j = 0; j < 2 * k->c; j++)
            partial[j] += partial[2 * p * k->c + j];
}

static void rough_mean(const norm_kernel *k, const void *x, double *sum, float *center)
{
    const int64_t probes = k->rows < PROBES ? k->rows : PROBES;

    for (int64_t j = 0; j < k->c; j++)
        sum[j] = 0.0;
    for (int64_t i = 0; i < probes; i++)
        k->cpu->k->sum_rows(sftn_cpu_at(x, k->x_bf16, k->rows * i / probes * k->c), k->x_bf16, 1,
                            k->c, k->c, sum);
    for (int64_t j = 0; j < k->c; j++)
        center[j] = (float)(sum[j] / (double)probes);
}

static const char *moments_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const norm_kernel *k = state;
    float *center = (float *)((char *)workspace + k->center), *mean = out[0], *var = out[1];
    norm_call call = {k, in[0], NULL, center, workspace};
    const double n = (double)k->rows;

    rough_mean(k, in[0], call.partial, center);
    sftn_cpu_parallel(k->cpu->threads, k->parts, 1, k->rows * k->c, norm_part, &call);
    join_parts(k, call.partial);
    for (int64_t j = 0; j < k->c; j++) {
        const double shift = call.partial[j] / n;
        const double v = call.partial[k->c + j] / n - shift * shift;

        mean[j] = (float)((double)center[j] + shift);
        var[j] = (float)(v > 0.0 || isnan(v) ? v : 0.0);
    }
    return NULL;
}

static const char *batch_norm_sums_run(void *state, void *const *in, void *const *out,
                                       void *workspace)
{
    const norm_kernel *k = state;
    const float *rstd = in[3];
    float *sum = out[0], *sum_xhat = out[1];
    norm_call call = {k, in[0], in[1], in[2], workspace};

    sftn_cpu_parallel(k->cpu->threads, k->parts, 1, k->rows * k->c, norm_part, &call);
    join_parts(k, call.partial);
    for (int64_t j = 0; j < k->c; j++) {
        sum[j] = (float)call.partial[j];
        sum_xhat[j] = (float)(call.partial[k->c + j] * (double)rstd[j]);
    }
    return NULL;
}

static sftn_status make_norm(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                             sftn_error *err)
{
    const sftn_shape *shape = &r->in_type[0].shape;
    norm_kernel *k = sftn_calloc(1, sizeof *k);

    if (k == NULL)
        return sftn_cpu_out_of_memory("batch normalization", err);
    for (int i = 0; i < 2; i++)
        r->out[i] = sftn_desc_of(&r->out_type[i].shape, SFTN_F32, SFTN_NCHW);
    r->in[0] = sftn_cpu_channels_last(&r->in[0]);
    k->cpu = cpu;
    k->x_bf16 = r->in[0].dtype == SFTN_BF16;
    k->c = shape->dim[SFTN_C];
    k->rows = sftn_shape_count(shape) / k->c;
    k->parts = k->rows * k->c / PART_ELEMENTS;
    k->parts = k->parts > PARTS_MAX ? PARTS_MAX : k->parts;
    k->parts = k->parts > k->rows ? k->rows : k->parts;
    k->parts = k->parts < 1 ? 1 : k->parts;
    k->center = (size_t)(2 * k->parts * k->c) * sizeof(double);
    *kernel = (sftn_kernel){
        .name = "moments",
        .state = k,
        .run = moments_run,
        .destroy = free,
        .workspace = k->center + (size_t)k->c * sizeof(float),
        .flops = 4.0 * (double)sftn_shape_count(shape),
    };
    return SFTN_OK;
}

sftn_status sftn_cpu_moments(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                             sftn_error *err)
{
    return make_norm(cpu, r, kernel, err);
}

sftn_status sftn_cpu_batch_norm_sums(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                                     sftn_error *err)
{
    sftn_status status = make_norm(cpu, r, kernel, err);
    norm_kernel *k = kernel->state;

    if (status != SFTN_OK)
        return status;
    r->in[1] = sftn_cpu_channels_last(&r->in[1]);
    for (int i = 2; i < 4; i++)
        r->in[i] = sftn_desc_of(&r->in[i].shape, SFTN_F32, SFTN_NCHW);
    k->gy_bf16 = r->in[1].dtype == SFTN_BF16;
    k->grad = true;
    kernel->name = "batch norm sums";
    kernel->run = batch_norm_sums_run;
    return SFTN_OK;
}
