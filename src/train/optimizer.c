/*
 * optimizer: PyTorch's SGD with momentum, for all trained tensors alike (BN and biases too).
 *
 *     g := clip factor * g + weight_decay * w
 *     v := momentum * v + g                    (v is 0 at first, so that the first v is g)
 *     w := w - lr * v                          (Nesterov: w - lr * (g + momentum * v))
 *
 * DOT keeps two groups of gradients apart, a of the task and b of what is distilled (Zhao et al.,
 * "DOT: A Distillation-Oriented Trainer", ICCV 2023):
 *
 *     u := (momentum - dot) * u + a + weight_decay * w
 *     v := (momentum + dot) * v + b
 *     w := w - lr * (u + v)
 *
 * Weights that only one group reaches have the plain rule, with `momentum`.
 *
 * The clip factor is min(1, clip / (norm + 1e-6)) with the norm over all stores' gradients, as
 * torch.nn.utils.clip_grad_norm_.  What is trained is a list of spans, mostly one for each store:
 * the others' weights stay as they are, as PyTorch's do where there is no gradient.  One pass over
 * each span's contiguous arrays; padding is zero and stays zero.
 */
#include "train/optimizer.h"

#include "sftn/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Elements a thread takes at a time; norms are summed by block, so threads do not change them. */
enum { BLOCK = 8192 };

typedef struct coefficients {
    float clip, weight_decay, momentum, lr;
    float task, distilled; /* momenta of two groups */
} coefficients;

static void update_block(float *restrict w, const float *restrict g, float *restrict v, int64_t n,
                         coefficients c)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float gi = g[i] * c.clip + c.weight_decay * w[i];

        v[i] = c.momentum * v[i] + gi;
        w[i] -= c.lr * v[i];
    }
}

static void update_block_nesterov(float *restrict w, const float *restrict g, float *restrict v,
                                  int64_t n, coefficients c)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float gi = g[i] * c.clip + c.weight_decay * w[i];

        v[i] = c.momentum * v[i] + gi;
        w[i] -= c.lr * (gi + c.momentum * v[i]);
    }
}

static void update_block_of_two(float *restrict w, const float *restrict a, float *restrict u,
                                const float *restrict b, float *restrict v, int64_t n,
                                coefficients c)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        u[i] = c.task * u[i] + (a[i] + c.weight_decay * w[i]);
        v[i] = c.distilled * v[i] + b[i];
        w[i] -= c.lr * (u[i] + v[i]);
    }
}

static double square_sum(const float *g, int64_t n)
{
    double sum = 0.0;

#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += (double)g[i] * (double)g[i];
    return sum;
}

static int64_t blocks(int64_t n)
{
    return (n + BLOCK - 1) / BLOCK;
}

static int64_t block_length(int64_t n, int64_t block)
{
    return block + 1 < blocks(n) ? BLOCK : n - block * BLOCK;
}

/* A store with the same weights at the same offsets, all 0; NULL: out of memory. */
static sftn_params *weights_like(const sftn_params *params)
{
    sftn_params *p = sftn_params_new();

    for (int i = 0; p && i < sftn_params_count(params); i++) {
        const sftn_param *e = sftn_params_get(params, i);

        if (e->kind == SFTN_PARAM_WEIGHT && sftn_params_add(p, e->name, e, NULL) < 0) {
            sftn_params_free(p);
            return NULL;
        }
    }
    return p;
}

sftn_status sftn_optimizer_open(sftn_optimizer *o, const sftn_sgd *sgd, sftn_params *const *params,
                                int nparams, sftn_error *err)
{
    int64_t most = 1;
    int opened = 0;

    *o = (sftn_optimizer){.sgd = *sgd, .nstores = nparams};
    for (int i = 0; i < nparams; i++) {
        const int64_t n = sftn_params_weight_size(params[i]);

        o->params[i] = params[i];
        o->momentum[i] = sftn_aligned((size_t)(n ? n : 1) * sizeof(float));
        most = blocks(n) > most ? blocks(n) : most;
        o->second[i] = sgd->dot > 0.0 ? weights_like(params[i]) : NULL;
        if (!o->momentum[i] || (sgd->dot > 0.0 && !o->second[i]))
            break;
        opened++;
    }
    o->partial = sftn_calloc((size_t)most, sizeof *o->partial);
    if (nparams > 0 && o->partial && opened == nparams)
        return SFTN_OK;
    sftn_optimizer_close(o);
    return sftn_fail(err, SFTN_ERR_MEMORY, "optimizer: out of memory");
}

void sftn_optimizer_close(sftn_optimizer *o)
{
    for (int i = 0; i < o->nstores; i++) {
        free(o->momentum[i]);
        sftn_params_free(o->second[i]);
    }
    free(o->partial);
    *o = (sftn_optimizer){0};
}

/* Call body for each of n elements' blocks; few are done sooner than another thread has noticed. */
static void for_blocks(int64_t n, sftn_part *body, void *ctx)
{
    sftn_parallel(n > 4 * BLOCK ? sftn_get_threads() : 1, blocks(n), body, ctx);
}

void sftn_optimizer_train(sftn_optimizer *o, const sftn_span *span, int nspans)
{
    o->span = span;
    o->nspans = nspans;
}

void sftn_optimizer_reset(sftn_optimizer *o)
{
    for (int i = 0; i < o->nstores; i++) {
        const size_t bytes = (size_t)sftn_params_weight_size(o->params[i]) * sizeof(float);

        memset(o->momentum[i], 0, bytes);
        if (o->second[i])
            memset(sftn_params_weights(o->second[i]), 0, bytes);
    }
}

typedef struct norm_pass {
    const float *g;
    int64_t n;
    double *partial;
} norm_pass;

static void norm_block(void *ctx, int64_t block)
{
    const norm_pass *p = ctx;

    p->partial[block] = square_sum(p->g + block * BLOCK, block_length(p->n, block));
}

double sftn_optimizer_norm(const sftn_optimizer *o)
{
    double sum = 0.0;

    for (int s = 0; s < o->nspans; s++) {
        const sftn_span *span = &o->span[s];
        norm_pass pass = {sftn_params_grads(o->params[span->store]) + span->begin, span->count,
                          o->partial};

        for_blocks(span->count, norm_block, &pass);
        for (int64_t b = 0; b < blocks(span->count); b++)
            sum += o->partial[b];
    }
    return sqrt(sum);
}

typedef struct update_pass {
    sftn_optimizer *o;
    const sftn_span *span;
    coefficients c;
} update_pass;

static void update(void *ctx, int64_t block)
{
    const update_pass *pass = ctx;
    const sftn_optimizer *o = pass->o;
    const sftn_span *span = pass->span;
    const int64_t at = span->begin + block * BLOCK;
    const int64_t n = block_length(span->count, block);
    sftn_params *second = o->second[span->store];
    float *w = sftn_params_weights(o->params[span->store]) + at;
    const float *g = sftn_params_grads(o->params[span->store]) + at;
    float *v = o->momentum[span->store] + at;

    if (span->groups == 3) {
        update_block_of_two(w, g, v, sftn_params_grads(second) + at,
                            sftn_params_weights(second) + at, n, pass->c);
        return;
    }
    if (span->groups == 2) {
        g = sftn_params_grads(second) + at;
        v = sftn_params_weights(second) + at;
    }
    if (o->sgd.nesterov)
        update_block_nesterov(w, g, v, n, pass->c);
    else
        update_block(w, g, v, n, pass->c);
}

void sftn_optimizer_step(sftn_optimizer *o, double lr)
{
    coefficients c = {.clip = 1.0f,
                      .weight_decay = (float)o->sgd.weight_decay,
                      .momentum = (float)o->sgd.momentum,
                      .lr = (float)lr,
                      .task = (float)(o->sgd.momentum - o->sgd.dot),
                      .distilled = (float)(o->sgd.momentum + o->sgd.dot)};

    if (o->sgd.clip > 0.0) {
        const double factor = o->sgd.clip / (sftn_optimizer_norm(o) + 1e-6);

        c.clip = factor < 1.0 ? (float)factor : 1.0f;
    }
    for (int s = 0; s < o->nspans; s++) {
        update_pass pass = {o, &o->span[s], c};

        for_blocks(o->span[s].count, update, &pass);
    }
}
