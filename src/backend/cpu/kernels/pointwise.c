/*
 * pointwise: runs a pointwise program over a range of its output.
 *
 * The output is walked in tiles of a few hundred elements.  Within a tile every instruction is
 * one vectorized loop over arrays in the first-level cache, so that memory is touched only by
 * loading operands and storing the result, whatever the length of the program.
 */
#include "backend/cpu/kernels/vmath.h"

#include <stdlib.h>

#define SFTN_K(x) ((float)(x))
#define SFTN_EXP(x) k_exp(x)
#define SFTN_LOG(x) k_log(x)
#define SFTN_LOG1P(x) k_log1p(x)
#define SFTN_SQRT(x) sqrtf(x)
#define SFTN_TANH(x) k_tanh(x)
#define SFTN_POW(x, y) k_pow(x, y)
#define SFTN_ABS(x) k_abs(x)

typedef void loop(float *o, const float *x, const float *y, float p, float q, int64_t n);

#define SFTN_POINTWISE1(name, formula)                                                            \
    static void loop_##name(float *o, const float *x, const float *y, float p, float q, int64_t n) \
    {                                                                                             \
        (void)y, (void)p, (void)q;                                                                \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                                       \
        {                                                                                         \
            const float a = x[i];                                                                 \
            o[i] = (formula);                                                                     \
        }                                                                                         \
    }
#define SFTN_POINTWISE2(name, formula)                                                            \
    static void loop_##name(float *o, const float *x, const float *y, float p, float q, int64_t n) \
    {                                                                                             \
        (void)p, (void)q;                                                                         \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                                       \
        {                                                                                         \
            const float a = x[i], b = y[i];                                                       \
            o[i] = (formula);                                                                     \
        }                                                                                         \
    }
#include "op/pointwise.def"

static loop *const loops[SFTN_PW_COUNT] = {
#define SFTN_POINTWISE1(name, formula) [SFTN_PW_##name] = loop_##name,
#define SFTN_POINTWISE2(name, formula) [SFTN_PW_##name] = loop_##name,
#include "op/pointwise.def"
};

enum { WHOLE_POWER_MAX = 16 };

/* x^p by repeated squaring for a small whole p: exact where logarithms would not be. */
static void whole_power(float *o, const float *x, int power, int64_t n)
{
    float square[64], y[64];

    for (int64_t i = 0; i < n; i += 64) {
        const int64_t m = n - i < 64 ? n - i : 64;

        for (int64_t k = 0; k < m; k++) {
            square[k] = x[i + k];
            y[k] = 1.0f;
        }
        for (int bit = abs(power); bit > 0; bit >>= 1)
            for (int64_t k = 0; k < m; k++) {
                y[k] = bit & 1 ? y[k] * square[k] : y[k];
                square[k] *= square[k];
            }
        for (int64_t k = 0; k < m; k++)
            o[i + k] = power < 0 ? 1.0f / y[k] : y[k];
    }
}

static void execute(const sftn_pw_step *s, float *const *reg, int64_t n)
{
    if (s->op == SFTN_PW_power && s->p == floorf(s->p) && fabsf(s->p) <= WHOLE_POWER_MAX)
        whole_power(reg[s->dst], reg[s->a], (int)s->p, n);
    else
        loops[s->op](reg[s->dst], reg[s->a], reg[s->b], s->p, s->q, n);
}

static void copy_run(float *dst, const void *src, bool bf16, int64_t stride, int64_t n)
{
    if (stride == 1 && bf16) {
        K(widen)(dst, src, n);
    } else if (stride == 1) {
        memcpy(dst, src, (size_t)n * sizeof *dst);
    } else if (stride == 0) {
        const float x = k_get(src, bf16, 0);

        for (int64_t i = 0; i < n; i++)
            dst[i] = x;
    } else {
        for (int64_t i = 0; i < n; i++)
            dst[i] = k_get(src, bf16, i * stride);
    }
}

/* Elements start .. start + n - 1, counted in output order, of a broadcast operand. */
static void load_strided(float *dst, const sftn_pw_program *g, const sftn_pw_operand *op,
                         const void *src, int64_t start, int64_t n)
{
    const int last = g->ndims - 1;
    int64_t at[SFTN_DIMS], rest = start;

    for (int d = last; d >= 0; d--) {
        at[d] = rest % g->dim[d];
        rest /= g->dim[d];
    }
    while (n > 0) {
        const int64_t left = g->dim[last] - at[last], run = n < left ? n : left;
        int64_t offset = 0;

        for (int d = 0; d <= last; d++)
            offset += at[d] * op->stride[d];
        copy_run(dst, k_at(src, op->bf16, offset), op->bf16, op->stride[last], run);
        dst += run;
        n -= run;
        at[last] += run;
        for (int d = last; d > 0 && at[d] == g->dim[d]; d--) {
            at[d] = 0;
            at[d - 1]++;
        }
    }
}

void K(expand)(const sftn_pw_program *g, int operand, const void *src, float *dst)
{
    const sftn_pw_operand *op = &g->operand[operand];
    const int64_t total = op->period + g->tile;

    load_strided(dst, g, op, src, 0, op->period);
    if (op->period == 1)
        copy_run(dst + 1, dst, false, 0, total - 1);
    else
        for (int64_t i = op->period; i < total; i += op->period) {
            const int64_t n = total - i < op->period ? total - i : op->period;

            memcpy(dst + i, dst, (size_t)n * sizeof *dst);
        }
}

static void load(float *dst, const sftn_pw_program *g, const sftn_pw_operand *op, const void *src,
                 int64_t start, int64_t n)
{
    if (op->access == SFTN_PW_DENSE)
        K(widen)(dst, (const uint16_t *)src + start, n);
    else
        load_strided(dst, g, op, src, start, n);
}

/* Where each operand's tile can be read without a copy. */
static void bind_operands(const sftn_pw_program *g, void *const *in, int64_t start,
                          float *expanded, float **reg)
{
    for (int i = 0; i < g->nin; i++) {
        const sftn_pw_operand *op = &g->operand[i];

        if (op->slot >= 0)
            continue;
        if (op->access == SFTN_PW_DENSE)
            reg[i] = (float *)in[i] + start;
        else
            reg[i] = expanded + op->expanded + start % op->period;
    }
}

void K(pointwise)(const sftn_pw_program *g, void *const *in, void *out, int64_t first,
                  int64_t last, float *expanded, float *scratch)
{
    const int result = g->step[g->nsteps - 1].dst;
    float *reg[SFTN_FUSED_MAX_REG] = {NULL};

    for (int i = 0; i < g->nin; i++)
        if (g->operand[i].slot >= 0)
            reg[i] = scratch + (int64_t)g->operand[i].slot * g->tile;
    for (int i = g->nin; i <= result; i++)
        if (g->slot[i] >= 0)
            reg[i] = scratch + (int64_t)g->slot[i] * g->tile;
    for (int64_t start = first; start < last; start += g->tile) {
        const int64_t n = last - start < g->tile ? last - start : g->tile;

        bind_operands(g, in, start, expanded, reg);
        if (!g->bf16)
            reg[result] = (float *)out + start;
        for (int s = 0; s < g->nsteps; s++) {
            const sftn_pw_step *step = &g->step[s];

            if (step->op == SFTN_PW_LOAD)
                load(reg[step->a], g, &g->operand[step->a], in[step->a], start, n);
            else
                execute(step, reg, n);
        }
        if (g->bf16)
            K(narrow)((uint16_t *)out + start, reg[result], n);
    }
}
