/*
 * ema: exponential moving averages of a network's weights and running statistics.
 */
#include "train/optimizer.h"

#include <stdlib.h>
#include <string.h>

static float *copy_of(const float *src, int64_t n)
{
    float *copy = sftn_aligned((size_t)(n ? n : 1) * sizeof *copy);

    if (copy && n > 0)
        memcpy(copy, src, (size_t)n * sizeof *copy);
    return copy;
}

void sftn_ema_reset(sftn_ema *e)
{
    memcpy(e->weights, sftn_params_weights(e->params),
           (size_t)sftn_params_weight_size(e->params) * sizeof(float));
    memcpy(e->states, sftn_params_states(e->params),
           (size_t)sftn_params_state_size(e->params) * sizeof(float));
}

sftn_status sftn_ema_open(sftn_ema *e, sftn_params *params, double decay, sftn_error *err)
{
    *e = (sftn_ema){.params = params, .decay = decay};
    e->weights = copy_of(sftn_params_weights(params), sftn_params_weight_size(params));
    e->states = copy_of(sftn_params_states(params), sftn_params_state_size(params));
    if (e->weights && e->states)
        return SFTN_OK;
    sftn_ema_close(e);
    return sftn_fail(err, SFTN_ERR_MEMORY, "averaged weights: out of memory");
}

void sftn_ema_close(sftn_ema *e)
{
    free(e->weights);
    free(e->states);
    *e = (sftn_ema){0};
}

static void average(float *restrict mean, const float *restrict x, int64_t n, double decay)
{
    const float keep = (float)decay, take = (float)(1.0 - decay);

#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        mean[i] = keep * mean[i] + take * x[i];
}

void sftn_ema_update(sftn_ema *e)
{
    average(e->weights, sftn_params_weights(e->params), sftn_params_weight_size(e->params),
            e->decay);
    average(e->states, sftn_params_states(e->params), sftn_params_state_size(e->params), e->decay);
    for (int i = 0; i < sftn_params_count(e->params); i++) {
        const sftn_param *p = sftn_params_get(e->params, i);

        if (p->kind == SFTN_PARAM_COUNTER)
            e->states[p->offset] = sftn_params_value(e->params, i)[0];
    }
}

static void swap(float *restrict a, float *restrict b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float t = a[i];

        a[i] = b[i];
        b[i] = t;
    }
}

void sftn_ema_swap(sftn_ema *e)
{
    swap(e->weights, sftn_params_weights(e->params), sftn_params_weight_size(e->params));
    swap(e->states, sftn_params_states(e->params), sftn_params_state_size(e->params));
}
