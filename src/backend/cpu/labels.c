/* labels: one_hot, rank and argmax.  Their inputs are asked for in float32, channels last. */
#include "backend/cpu/cpu.h"

#include <stdlib.h>

typedef struct labels_kernel {
    sftn_cpu *cpu;
    int64_t rows, c;
} labels_kernel;

typedef struct labels_call {
    const labels_kernel *k;
    const float *x, *labels;
    float *y;
} labels_call;

static const char *one_hot_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const labels_kernel *k = state;
    const float *labels = in[0];
    float *y = out[0];

    (void)workspace;
    for (int64_t r = 0; r < k->rows; r++)
        for (int64_t j = 0; j < k->c; j++)
            y[r * k->c + j] = labels[r] == (float)j ? 1.0f : 0.0f;
    return NULL;
}

/*
 * A label outside 0 .. c - 1 is ranked after every class; NaN is ranked before every number, so a
 * network that has diverged does not count as right.
 */
static const char *rank_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const labels_kernel *k = state;
    const float *labels = in[1];
    float *y = out[0];

    (void)workspace;
    for (int64_t r = 0; r < k->rows; r++) {
        const float *x = (const float *)in[0] + r * k->c;
        const bool known = labels[r] >= 0.0f && labels[r] < (float)k->c;
        const int64_t label = known ? (int64_t)labels[r] : k->c;
        int64_t before = 0;

        for (int64_t j = 0; j < k->c; j++)
            before += !known || (j != label &&
                                 !(x[j] < x[label] || (x[j] == x[label] && j > label)));
        y[r] = (float)before;
    }
    return NULL;
}

static void argmax_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const labels_call *call = ctx;

    (void)thread;
    for (int64_t r = first; r < last; r++) {
        const float *x = call->x + r * call->k->c;
        int64_t best = 0;

        for (int64_t j = 1; j < call->k->c; j++)
            best = x[j] > x[best] ? j : best;
        call->y[r] = (float)best;
    }
}

static const char *argmax_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const labels_kernel *k = state;
    labels_call call = {k, in[0], NULL, out[0]};

    (void)workspace;
    sftn_cpu_parallel(k->cpu->threads, k->rows, 16, k->rows * k->c, argmax_part, &call);
    return NULL;
}

/* with_classes: the value whose channels are the classes. */
static sftn_status make_labels(sftn_cpu *cpu, sftn_kernel_request *r,
                               const sftn_shape *with_classes, sftn_kernel *kernel,
                               sftn_error *err)
{
    labels_kernel *k = sftn_calloc(1, sizeof *k);

    if (k == NULL)
        return sftn_cpu_out_of_memory(r->node->op->name, err);
    for (int i = 0; i < r->node->nin; i++)
        r->in[i] = sftn_desc_of(&r->in[i].shape, SFTN_F32, SFTN_NHWC);
    r->out[0] = sftn_desc_of(&r->out_type[0].shape, SFTN_F32, SFTN_NHWC);
    k->cpu = cpu;
    k->c = with_classes->dim[SFTN_C];
    k->rows = sftn_shape_count(with_classes) / k->c;
    *kernel = (sftn_kernel){.name = r->node->op->name, .state = k, .destroy = free};
    return SFTN_OK;
}

sftn_status sftn_cpu_one_hot(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                             sftn_error *err)
{
    const sftn_status status = make_labels(cpu, r, &r->out_type[0].shape, kernel, err);

    kernel->run = one_hot_run;
    return status;
}

sftn_status sftn_cpu_rank(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                          sftn_error *err)
{
    const sftn_status status = make_labels(cpu, r, &r->in_type[0].shape, kernel, err);

    kernel->run = rank_run;
    return status;
}

sftn_status sftn_cpu_argmax(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                            sftn_error *err)
{
    const sftn_status status = make_labels(cpu, r, &r->in_type[0].shape, kernel, err);

    kernel->run = argmax_run;
    return status;
}
