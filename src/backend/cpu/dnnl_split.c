/*
 * dnnl_split: one primitive's work as a primitive for each part of it, which threads share.
 *
 * Parts of images or rows write to their own part of the result.  A weight gradient's parts each
 * make a whole result, and these are added in a fixed order.
 */
#include "backend/cpu/dnnl_api.h"

#include <stdlib.h>

typedef struct split_part {
    sftn_kernel kernel;
    const char *why; /* its last run failed; NULL: it did not */
} split_part;

typedef struct split {
    int threads, parts;
    int64_t units;
    size_t in_step[2], out_step;
    size_t summand, scratch; /* bytes of one part's, multiples of 64 */
    int64_t count;           /* floats of a summand, packing included */
    char name[80];
    split_part part[];
} split;

typedef struct split_run {
    split *s;
    void *const *in, *const *out;
    char *summands, *scratch;
} split_run;

static void run_part(void *ctx, int64_t p)
{
    const split_run *r = ctx;
    split *s = r->s;
    split_part *part = &s->part[p];
    const size_t first = (size_t)(s->units * p / s->parts);
    void *const in[] = {(char *)r->in[0] + first * s->in_step[0],
                        (char *)r->in[1] + first * s->in_step[1]};
    void *out = (char *)r->out[0] + first * s->out_step;

    if (s->out_step == 0 && p > 0)
        out = r->summands + (size_t)(p - 1) * s->summand;
    part->why =
        part->kernel.run(part->kernel.state, in, &out, r->scratch + (size_t)p * s->scratch);
}

static void add_summands(void *ctx, int64_t first, int64_t last, int part)
{
    const split_run *r = ctx;
    float *dst = r->out[0];

    (void)part;
    for (int p = 1; p < r->s->parts; p++) {
        const float *src = (const void *)(r->summands + (size_t)(p - 1) * r->s->summand);

        for (int64_t i = first; i < last; i++)
            dst[i] += src[i];
    }
}

/* Every part is tried; the first in order that fails speaks for all. */
static const char *run(void *state, void *const *in, void *const *out, void *workspace)
{
    split *s = state;
    char *const summands = workspace;
    split_run r = {s, in, out, summands, summands + (size_t)(s->parts - 1) * s->summand};

    sftn_parallel(s->threads, s->parts, run_part, &r);
    for (int p = 0; p < s->parts; p++)
        if (s->part[p].why != NULL)
            return s->part[p].why;
    if (s->out_step == 0)
        sftn_cpu_parallel(s->threads, s->count, 16, s->count * s->parts, add_summands, &r);
    return NULL;
}

static void destroy(void *state)
{
    split *s = state;

    for (int p = 0; p < s->parts; p++)
        if (s->part[p].kernel.destroy != NULL)
            s->part[p].kernel.destroy(s->part[p].kernel.state);
    free(s);
}

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static split *new_split(const sftn_dnnl *d, const sftn_dnnl_work *w)
{
    split *s = sftn_calloc(1, sizeof *s + (size_t)w->parts * sizeof s->part[0]);

    if (s == NULL)
        return NULL;
    s->threads = d->threads;
    s->parts = w->parts;
    s->units = w->units;
    for (int i = 0; i < 2; i++)
        s->in_step[i] = w->in_step[i];
    s->out_step = w->out_step;
    s->summand = w->out_step == 0 ? aligned(w->out_bytes) : 0;
    s->count = (int64_t)(w->out_bytes / sizeof(float));
    return s;
}

sftn_status sftn_dnnl_split(sftn_dnnl *d, const sftn_dnnl_work *w, sftn_kernel *kernel,
                            sftn_error *err)
{
    const int64_t large = (w->units + w->parts - 1) / w->parts;
    split *s;

    if (w->parts == 1)
        return sftn_dnnl_kernel(d, 0, w->large.pd, w->name, w->large.arg, SFTN_DNNL_ARGS, kernel,
                                err);
    s = new_split(d, w);
    if (s == NULL)
        return sftn_cpu_out_of_memory(w->name, err);
    for (int p = 0; p < s->parts; p++) {
        const int64_t units = s->units * (p + 1) / s->parts - s->units * p / s->parts;
        const sftn_dnnl_part *part = units == large ? &w->large : &w->small;
        const sftn_status status = sftn_dnnl_kernel(d, p, part->pd, w->name, part->arg,
                                                    SFTN_DNNL_ARGS, &s->part[p].kernel, err);

        if (status != SFTN_OK) {
            destroy(s);
            return status;
        }
        if (aligned(s->part[p].kernel.workspace) > s->scratch)
            s->scratch = aligned(s->part[p].kernel.workspace);
    }
    snprintf(s->name, sizeof s->name, "%s, %d parts", s->part[0].kernel.name, s->parts);
    *kernel = (sftn_kernel){
        .name = s->name,
        .state = s,
        .run = run,
        .destroy = destroy,
        .workspace = (size_t)(s->parts - 1) * s->summand + (size_t)s->parts * s->scratch,
    };
    return SFTN_OK;
}
