/*
 * pointwise: runs a pointwise program over a range of its output.
 *
 * The output is walked in tiles of a few hundred elements.  Within a tile every instruction is
 * one vectorized loop over arrays in the first-level cache, so that memory is touched only by
 * loading operands and storing the result, whatever the length of the program.
 */
#include "backend/cpu/kernels/vector.h"
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
#define SFTN_ERFC(x) k_erfc(x)

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

/* ---- the most frequent steps, on float and bfloat16 alike ---- */

typedef void mixed_loop(void *o, const void *x, const void *y, const void *z, int64_t n, int bf16);

#define CASE(name, bits)                                                                     \
    case bits:                                                                               \
        one_##name(o, x, y, z, n, ((bits) & SFTN_PW_A16) != 0, ((bits) & SFTN_PW_B16) != 0,  \
                   ((bits) & SFTN_PW_C16) != 0, ((bits) & SFTN_PW_OUT16) != 0);              \
        break;
#define CASES_A(name) CASE(name, 0) CASE(name, 1) CASE(name, 8) CASE(name, 9)
#define CASES_AB(name) CASES_A(name) CASE(name, 2) CASE(name, 3) CASE(name, 10) CASE(name, 11)
#define CASES_AC(name) CASES_A(name) CASE(name, 4) CASE(name, 5) CASE(name, 12) CASE(name, 13)
#define CASES_ABC(name)                                                                      \
    CASES_AB(name) CASE(name, 4) CASE(name, 5) CASE(name, 6) CASE(name, 7) CASE(name, 12)    \
    CASE(name, 13) CASE(name, 14) CASE(name, 15)

/* One element and a vector of elements: the two forms of what the formulas below are made of. */
#define ONE(x, b) k_get(x, b, i)
#define ALL(x, b) load(x, b, i)

SFTN_INLINE float where1(float b, float a)
{
    return b > 0.0f ? a : 0.0f;
}

SFTN_INLINE vec muladd(vec a, vec b, vec c)
{
    return a * b + c;
}

/*
 * GET, WHERE, MULADD: ALL, where_positive and muladd, or their forms for one element.  cases: which
 * operands may be bfloat16.
 */
#define MIXED(name, formula, cases)                                                              \
    SFTN_INLINE void one_##name(void *o, const void *x, const void *y, const void *z, int64_t n, \
                                bool xb, bool yb, bool zb, bool ob)                              \
    {                                                                                            \
        int64_t i = 0;                                                                           \
                                                                                                 \
        (void)y, (void)z, (void)yb, (void)zb;                                                    \
        for (; i + LANES <= n; i += LANES)                                                       \
            store(o, ob, i, formula(ALL, where_positive, muladd));                               \
        for (; i < n; i++)                                                                       \
            k_set(o, ob, i, formula(ONE, where1, k_fma));                                        \
    }                                                                                            \
    static void mixed_##name(void *o, const void *x, const void *y, const void *z, int64_t n,    \
                             int bf16)                                                           \
    {                                                                                            \
        switch (bf16) {                                                                          \
            cases(name)                                                                          \
        }                                                                                        \
    }

#define A(GET) GET(x, xb)
#define B(GET) GET(y, yb)
#define C(GET) GET(z, zb)
#define COPY(GET, WHERE, MULADD) A(GET)
#define RELU(GET, WHERE, MULADD) WHERE(A(GET), A(GET))
#define ADD(GET, WHERE, MULADD) (A(GET) + B(GET))
#define MUL(GET, WHERE, MULADD) (A(GET) * B(GET))
#define MASK(GET, WHERE, MULADD) WHERE(B(GET), A(GET))
#define ADD_RELU(GET, WHERE, MULADD) WHERE(A(GET) + B(GET), A(GET) + B(GET))
#define MULADD_(GET, WHERE, MULADD) MULADD(A(GET), B(GET), C(GET))
#define MULADD_RELU(GET, WHERE, MULADD)                                                          \
    WHERE(MULADD(A(GET), B(GET), C(GET)), MULADD(A(GET), B(GET), C(GET)))
#define ADD_MASK(GET, WHERE, MULADD) WHERE(C(GET), A(GET) + B(GET))

MIXED(copy, COPY, CASES_A)
MIXED(relu, RELU, CASES_A)
MIXED(add, ADD, CASES_AB)
MIXED(mul, MUL, CASES_AB)
MIXED(mask, MASK, CASES_AB)
MIXED(add_relu, ADD_RELU, CASES_AB)
MIXED(muladd, MULADD_, CASES_AC)
MIXED(muladd_relu, MULADD_RELU, CASES_AC)
MIXED(add_mask, ADD_MASK, CASES_ABC)

/* True for positive numbers and infinity, from the bits of a bfloat16. */
SFTN_INLINE bool positive16(uint16_t h)
{
    return (uint16_t)(h - 1u) < 0x7f80u;
}

/* Where all is bfloat16, choosing needs no arithmetic. */
static void choose16(uint16_t *o, const uint16_t *x, const uint16_t *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        o[i] = positive16(y[i]) ? x[i] : 0;
}

static void mask_or_bits(void *o, const void *x, const void *y, const void *z, int64_t n, int bf16)
{
    if (bf16 == (SFTN_PW_A16 | SFTN_PW_B16 | SFTN_PW_OUT16))
        choose16(o, x, y, n);
    else
        mixed_mask(o, x, y, z, n, bf16);
}

static void relu_or_bits(void *o, const void *x, const void *y, const void *z, int64_t n, int bf16)
{
    if (bf16 == (SFTN_PW_A16 | SFTN_PW_OUT16))
        choose16(o, x, x, n);
    else
        mixed_relu(o, x, y, z, n, bf16);
}

static mixed_loop *mixed_of(int op)
{
    switch (op) {
    case SFTN_PW_copy:
        return mixed_copy;
    case SFTN_PW_relu:
        return relu_or_bits;
    case SFTN_PW_add:
        return mixed_add;
    case SFTN_PW_mul:
        return mixed_mul;
    case SFTN_PW_mask:
        return mask_or_bits;
    case SFTN_PW_ADD_RELU:
        return mixed_add_relu;
    case SFTN_PW_MULADD:
        return mixed_muladd;
    case SFTN_PW_MULADD_RELU:
        return mixed_muladd_relu;
    default:
        return mixed_add_mask;
    }
}

static void execute(const sftn_pw_step *s, void *const *reg, int64_t n)
{
    if (sftn_pw_reads_bf16(s->op))
        mixed_of(s->op)(reg[s->dst], reg[s->a], reg[s->b], reg[s->c], n, s->bf16);
    else if (s->op == SFTN_PW_power && s->p == floorf(s->p) && fabsf(s->p) <= WHOLE_POWER_MAX)
        whole_power(reg[s->dst], reg[s->a], (int)s->p, n);
    else
        loops[s->op](reg[s->dst], reg[s->a], reg[s->b], s->p, s->q, n);
}

/* ---- operands ---- */

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

static void load_operand(float *dst, const sftn_pw_program *g, const sftn_pw_operand *op,
                         const void *src, int64_t start, int64_t n)
{
    if (op->access == SFTN_PW_DENSE)
        K(widen)(dst, (const uint16_t *)src + start, n);
    else
        load_strided(dst, g, op, src, start, n);
}

/* Where each operand's tile can be read without a copy. */
static void bind_operands(const sftn_pw_program *g, void *const *in, int64_t start,
                          float *expanded, void **reg)
{
    for (int i = 0; i < g->nin; i++) {
        const sftn_pw_operand *op = &g->operand[i];

        if (op->slot >= 0)
            continue;
        if (op->access == SFTN_PW_DENSE)
            reg[i] = (char *)in[i] + start * (op->bf16 ? 2 : 4);
        else
            reg[i] = expanded + op->expanded + start % op->period;
    }
}

void K(pointwise)(const sftn_pw_program *g, void *const *in, void *out, int64_t first,
                  int64_t last, float *expanded, float *scratch)
{
    const sftn_pw_step *final = &g->step[g->nsteps - 1];
    const bool direct = !g->bf16 || (final->bf16 & SFTN_PW_OUT16) != 0;
    void *reg[SFTN_FUSED_MAX_REG] = {NULL};

    for (int i = 0; i < g->nin; i++)
        if (g->operand[i].slot >= 0)
            reg[i] = scratch + (int64_t)g->operand[i].slot * g->tile;
    for (int i = g->nin; i < SFTN_FUSED_MAX_REG; i++)
        if (g->slot[i] >= 0)
            reg[i] = scratch + (int64_t)g->slot[i] * g->tile;
    for (int64_t start = first; start < last; start += g->tile) {
        const int64_t n = last - start < g->tile ? last - start : g->tile;

        bind_operands(g, in, start, expanded, reg);
        if (direct)
            reg[final->dst] = (char *)out + start * (g->bf16 ? 2 : 4);
        for (int s = 0; s < g->nsteps; s++) {
            const sftn_pw_step *step = &g->step[s];

            if (step->op == SFTN_PW_LOAD)
                load_operand(reg[step->a], g, &g->operand[step->a], in[step->a], start, n);
            else
                execute(step, reg, n);
        }
        if (!direct)
            K(narrow)((uint16_t *)out + start, reg[final->dst], n);
    }
}
