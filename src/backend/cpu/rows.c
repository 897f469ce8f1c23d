/* rows: rows of a table picked by number, and the drawing of numbers; one row of a batch a part. */
#include "backend/cpu/cpu.h"
#include "op/rows.h"

#include <stdlib.h>
#include <string.h>

typedef struct rows_kernel {
    sftn_cpu *cpu;
    bool mix;
    int64_t n, count;       /* row numbers */
    int64_t records, width; /* table */
    const sftn_draws_attr *draws;
} rows_kernel;

typedef struct rows_call {
    const rows_kernel *k;
    const float *in[3];
    float *y;
} rows_call;

static void product_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const rows_call *c = ctx;
    const rows_kernel *k = c->k;

    (void)thread;
    for (int64_t i = first; i < last; i++) {
        const float *rows = c->in[1] + i * k->count;

        if (k->mix)
            k->cpu->k->rows_mix(c->in[0], k->records, k->width, rows, k->count,
                                c->in[2] + i * k->count, c->y + i * k->width);
        else
            k->cpu->k->rows_dot(c->in[0], k->records, k->width, rows, k->count,
                                c->in[2] + i * k->width, c->y + i * k->count);
    }
}

static const char *product_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const rows_kernel *k = state;
    rows_call call = {k, {in[0], in[1], in[2]}, out[0]};

    (void)workspace;
    sftn_cpu_parallel(k->cpu->threads, k->n, 1, k->n * k->count * k->width, product_part, &call);
    return NULL;
}

static void copy_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const rows_call *c = ctx;

    (void)thread;
    memcpy(c->y + first, c->in[0] + first, (size_t)(last - first) * sizeof *c->y);
}

static const char *replace_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const rows_kernel *k = state;
    rows_call call = {k, {in[0], in[1], in[2]}, out[0]};

    (void)workspace;
    if (in[0] != out[0])
        sftn_cpu_parallel(k->cpu->threads, k->records * k->width, 16, k->records * k->width,
                          copy_part, &call);
    for (int64_t i = 0; i < k->n; i++)
        if (call.in[1][i] >= 0.0f && call.in[1][i] < (float)k->records)
            memcpy(call.y + (int64_t)call.in[1][i] * k->width, call.in[2] + i * k->width,
                   (size_t)k->width * sizeof *call.y);
    return NULL;
}

/* The row is drawn as whole numbers in the place of the floats that it becomes. */
static void draws_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const rows_call *c = ctx;
    const int64_t width = c->k->count;

    (void)thread;
    for (int64_t i = first; i < last; i++) {
        const int64_t record = (int64_t)c->in[0][i], step = (int64_t)c->in[1][0];
        float *y = c->y + i * width;

        sftn_draw_row(c->k->draws, record, step, (int32_t *)(void *)y);
        for (int64_t j = 0; j < width; j++) {
            int32_t drawn;

            memcpy(&drawn, y + j, sizeof drawn);
            y[j] = (float)drawn;
        }
    }
}

static const char *draws_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const rows_kernel *k = state;
    rows_call call = {k, {in[0], in[1], NULL}, out[0]};

    (void)workspace;
    sftn_cpu_parallel(k->cpu->threads, k->n, 1, k->n * k->count, draws_part, &call);
    return NULL;
}

static rows_kernel *new_rows(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel)
{
    rows_kernel *k = sftn_calloc(1, sizeof *k);

    if (k == NULL)
        return NULL;
    k->cpu = cpu;
    for (int i = 0; i < r->node->nin; i++)
        r->in[i] = sftn_desc_of(&r->in[i].shape, SFTN_F32, SFTN_NCHW);
    r->out[0] = sftn_desc_of(&r->out_type[0].shape, SFTN_F32, SFTN_NCHW);
    *kernel = (sftn_kernel){.name = r->node->op->name, .state = k, .destroy = free};
    return k;
}

static sftn_status make_table(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                              sftn_error *err)
{
    const sftn_shape *table = &r->in_type[0].shape, *rows = &r->in_type[1].shape;
    rows_kernel *k = new_rows(cpu, r, kernel);

    if (k == NULL)
        return sftn_cpu_out_of_memory(r->node->op->name, err);
    k->mix = r->node->op == &sftn_op_rows_mix;
    k->records = table->dim[0];
    k->width = table->dim[1];
    k->n = rows->dim[0];
    k->count = rows->dim[1];
    kernel->run = product_run;
    kernel->flops = 2.0 * (double)(k->n * k->count * k->width);
    return SFTN_OK;
}

sftn_status sftn_cpu_rows_dot(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                              sftn_error *err)
{
    return make_table(cpu, r, kernel, err);
}

sftn_status sftn_cpu_rows_mix(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                              sftn_error *err)
{
    return make_table(cpu, r, kernel, err);
}

sftn_status sftn_cpu_rows_replace(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                                  sftn_error *err)
{
    const sftn_status status = make_table(cpu, r, kernel, err);

    kernel->run = replace_run;
    kernel->flops = 0.0;
    kernel->in_place = 1u;
    return status;
}

sftn_status sftn_cpu_draws(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                           sftn_error *err)
{
    rows_kernel *k = new_rows(cpu, r, kernel);

    if (k == NULL)
        return sftn_cpu_out_of_memory("draws", err);
    k->draws = r->node->attr;
    k->n = r->in_type[0].shape.dim[0];
    k->count = 1 + k->draws->count;
    kernel->run = draws_run;
    return SFTN_OK;
}
