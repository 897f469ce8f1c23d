/*
 * optimizer: PyTorch's SGD with momentum, for all trained tensors alike (BN and biases too).
 *
 *     g := clip factor * g + weight_decay * w
 *     v := momentum * v + g                    (v is 0 at first, so that the first v is g)
 *     w := w - lr * v                          (Nesterov: w - lr * (g + momentum * v))
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

sftn_status sftn_optimizer_open(sftn_optimizer *o, const sftn_sgd *sgd, sftn_params *const *params,
                                int nparams, sftn_error *err)
{
    int64_t most = 1;

    *o = (sftn_optimizer){.sgd = *sgd, .nstores = nparams};
    for (int i = 0; i < nparams; i++) {
        const int64_t n = sftn_params_weight_size(params[i]);

        o->params[i] = params[i];
        o->momentum[i] = sftn_aligned((size_t)(n ? n : 1) * sizeof(float));
        most = blocks(n) > most ? blocks(n) : most;
        if (!o->momentum[i])
            break;
    }
    o->partial = sftn_calloc((size_t)most, sizeof *o->partial);
    if (nparams > 0 && o->partial && o->momentum[nparams - 1])
        return SFTN_OK;
    sftn_optimizer_close(o);
    return sftn_fail(err, SFTN_ERR_MEMORY, "optimizer: out of memory");
}

void sftn_optimizer_close(sftn_optimizer *o)
{
    for (int i = 0; i < o->nstores; i++)
        free(o->momentum[i]);
    free(o->partial);
    *o = (sftn_optimizer){0};
}

/*
 * Stores too small to share are done without a parallel region: one of a single thread would make a
 * new team, and allocate, every time.
 */
static int team_size(int64_t n)
{
    return n > 4 * BLOCK ? sftn_get_threads() : 1;
}

void sftn_optimizer_train(sftn_optimizer *o, const sftn_span *span, int nspans)
{
    o->span = span;
    o->nspans = nspans;
}

void sftn_optimizer_reset(sftn_optimizer *o)
{
    for (int i = 0; i < o->nstores; i++)
        memset(o->momentum[i], 0,
               (size_t)sftn_params_weight_size(o->params[i]) * sizeof *o->momentum[i]);
}

double sftn_optimizer_norm(const sftn_optimizer *o)
{
    double sum = 0.0;

    for (int s = 0; s < o->nspans; s++) {
        const sftn_span *span = &o->span[s];
        const float *g = sftn_params_grads(o->params[span->store]) + span->begin;
        const int64_t n = span->count;
        const int threads = team_size(n);

        if (threads > 1) {
#pragma omp parallel for num_threads(threads)
            for (int64_t b = 0; b < blocks(n); b++)
                o->partial[b] = square_sum(g + b * BLOCK, block_length(n, b));
        } else {
            for (int64_t b = 0; b < blocks(n); b++)
                o->partial[b] = square_sum(g + b * BLOCK, block_length(n, b));
        }
        for (int64_t b = 0; b < blocks(n); b++)
            sum += o->partial[b];
    }
    return sqrt(sum);
}

/* One block of one span. */
static void update(sftn_optimizer *o, const sftn_span *span, int64_t block, coefficients c)
{
    const int64_t at = span->begin + block * BLOCK;
    const int64_t n = block_length(span->count, block);
    float *w = sftn_params_weights(o->params[span->store]) + at;
    const float *g = sftn_params_grads(o->params[span->store]) + at;
    float *v = o->momentum[span->store] + at;

    if (o->sgd.nesterov)
        update_block_nesterov(w, g, v, n, c);
    else
        update_block(w, g, v, n, c);
}

void sftn_optimizer_step(sftn_optimizer *o, double lr)
{
    coefficients c = {1.0f, (float)o->sgd.weight_decay, (float)o->sgd.momentum, (float)lr};

    if (o->sgd.clip > 0.0) {
        const double factor = o->sgd.clip / (sftn_optimizer_norm(o) + 1e-6);

        c.clip = factor < 1.0 ? (float)factor : 1.0f;
    }
    for (int s = 0; s < o->nspans; s++) {
        const sftn_span *span = &o->span[s];
        const int64_t n = blocks(span->count);
        const int threads = team_size(span->count);

        if (threads > 1) {
#pragma omp parallel for num_threads(threads)
            for (int64_t b = 0; b < n; b++)
                update(o, span, b, c);
        } else {
            for (int64_t b = 0; b < n; b++)
                update(o, span, b, c);
        }
    }
}
