/*
 * dnnl_split: a weight gradient as one part of the batch per thread, and their sum.
 *
 * oneDNN's own threads meet at barriers inside a weight gradient and share its blocks unevenly; a
 * primitive for one thread on its own images has neither.  The parts are added in a fixed order.
 */
#include "backend/cpu/dnnl_api.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

typedef struct split {
    int parts;
    sftn_kernel part[SFTN_MAX_LANES];
    size_t x_bytes, y_bytes; /* of one part's images */
    size_t w_bytes, scratch; /* of one part's result and workspace, multiples of 64 */
    int64_t count;           /* floats of the result, packing included */
    char name[80];
} split;

/* dst[i] += each part's result, for this thread's share of the elements. */
static void add_parts(const split *s, float *dst, const char *parts, int thread, int nthreads)
{
    const int64_t first = s->count * thread / nthreads, last = s->count * (thread + 1) / nthreads;

    for (int p = 1; p < s->parts; p++) {
        const float *src = (const void *)(parts + (size_t)(p - 1) * s->w_bytes);

        for (int64_t i = first; i < last; i++)
            dst[i] += src[i];
    }
}

/* Every part is tried; the first in order that fails speaks for all. */
static const char *run(void *state, void *const *in, void *const *out, void *workspace)
{
    const split *s = state;
    const char *why[SFTN_MAX_LANES];
    char *const results = workspace, *const scratch = results + (size_t)(s->parts - 1) * s->w_bytes;

#pragma omp parallel num_threads(s->parts)
    {
        const int thread = omp_get_thread_num(), nthreads = omp_get_num_threads();

        for (int p = thread; p < s->parts; p += nthreads) {
            void *const part_in[] = {(char *)in[0] + (size_t)p * s->x_bytes,
                                     (char *)in[1] + (size_t)p * s->y_bytes};
            void *const part_out[] = {p == 0 ? out[0] : results + (size_t)(p - 1) * s->w_bytes};

            why[p] = s->part[p].run(s->part[p].state, part_in, part_out,
                                    scratch + (size_t)p * s->scratch);
        }
#pragma omp barrier
        add_parts(s, out[0], results, thread, nthreads);
    }
    for (int p = 0; p < s->parts; p++)
        if (why[p] != NULL)
            return why[p];
    return NULL;
}

static void destroy(void *state)
{
    split *s = state;

    for (int p = 0; p < s->parts; p++)
        if (s->part[p].destroy != NULL)
            s->part[p].destroy(s->part[p].state);
    free(s);
}

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

sftn_status sftn_dnnl_split_weight(sftn_dnnl *d, const_dnnl_primitive_desc_t pd, int parts,
                                   const sftn_dnnl_arg *arg, int nargs, const sftn_desc *x,
                                   const sftn_desc *y, const sftn_desc *w, sftn_kernel *kernel,
                                   sftn_error *err)
{
    split *s = sftn_calloc(1, sizeof *s);

    if (s == NULL)
        return sftn_cpu_out_of_memory("conv weight", err);
    s->parts = parts;
    s->x_bytes = x->bytes / (size_t)parts;
    s->y_bytes = y->bytes / (size_t)parts;
    s->w_bytes = aligned(w->bytes);
    s->count = (int64_t)(w->bytes / sizeof(float));
    for (int p = 0; p < parts; p++) {
        const sftn_status status =
            sftn_dnnl_kernel(&d->lane[p], pd, "conv weight", arg, nargs, &s->part[p], err);

        if (status != SFTN_OK) {
            destroy(s);
            return status;
        }
    }
    s->scratch = aligned(s->part[0].workspace);
    snprintf(s->name, sizeof s->name, "%s, %d parts", s->part[0].name, parts);
    *kernel = (sftn_kernel){
        .name = s->name,
        .state = s,
        .run = run,
        .destroy = destroy,
        .workspace = (size_t)(parts - 1) * s->w_bytes + (size_t)parts * s->scratch,
    };
    return SFTN_OK;
}
