/*
 * kernels.h: the cpu backend's own inner loops.
 *
 * Every file of this folder is compiled once for each instruction set, with SFTN_ISA naming it
 * (generic, avx2, avx512, avx512_bf16) and flags to match; the one exported symbol of each build
 * is its table of functions, sftn_cpu_kernels_<isa>.  All functions run on the calling thread and
 * allocate nothing; threads and memory are the caller's business.
 *
 * Arrays hold float, or bfloat16 where a flag says so.
 */
#ifndef SFTN_BACKEND_CPU_KERNELS_H
#define SFTN_BACKEND_CPU_KERNELS_H

#include "backend/cpu/kernels/winograd.h"
#include "op/fused.h"

/* ---- pointwise programs ---- */

/*
 * What a step may do besides the formulas of pointwise.def: fetch an operand into its slot, and
 * what occurs often enough to be one loop.
 */
enum {
    SFTN_PW_LOAD = SFTN_PW_COUNT, /* operand a */
    SFTN_PW_MULADD,               /* a b + c */
    SFTN_PW_MULADD_RELU,          /* max(a b + c, 0) */
    SFTN_PW_ADD_RELU,             /* max(a + b, 0) */
    SFTN_PW_ADD_MASK,             /* a + b where c > 0, else 0 */
    SFTN_PW_MAX_STEP = SFTN_FUSED_MAX_REG,
    SFTN_PW_ALIGN = 16 /* floats */
};

/* Which of a step's arrays hold bfloat16 (steps for which sftn_pw_reads_bf16 is true only). */
enum { SFTN_PW_A16 = 1, SFTN_PW_B16 = 2, SFTN_PW_C16 = 4, SFTN_PW_OUT16 = 8 };

typedef enum sftn_pw_access {
    SFTN_PW_DENSE,    /* same order as the output */
    SFTN_PW_PERIODIC, /* repeats every `period` elements: per channel, scalar, one sample's map */
    SFTN_PW_STRIDED,  /* anything else; read through the strides */
} sftn_pw_access;

typedef struct sftn_pw_operand {
    sftn_pw_access access;
    bool bf16;
    int slot;                  /* of the loaded tile; -1: read where it lies */
    int64_t stride[SFTN_DIMS]; /* elements, along the program's dimensions */
    int64_t period;
    size_t expanded; /* PERIODIC: first float of its copy, period + tile floats long */
} sftn_pw_operand;

/* dst = op(a, b, c): registers, numbered as in sftn_fused_attr. */
typedef struct sftn_pw_step {
    uint8_t op, dst, a, b, c, bf16;
    float p, q;
} sftn_pw_step;

/*
 * A program ready to run over the output in memory order.  Dimensions are the output's, outermost
 * first, joined where every operand allows it.
 */
typedef struct sftn_pw_program {
    int nin, nsteps, nslots, ndims, tile;
    bool bf16; /* the output */
    int64_t dim[SFTN_DIMS], count;
    int slot[SFTN_FUSED_MAX_REG]; /* of a result; -1: the output itself */
    sftn_pw_operand operand[SFTN_MAX_IN];
    sftn_pw_step step[SFTN_PW_MAX_STEP];
} sftn_pw_program;

/* Steps that read and write bfloat16 without a copy. */
static inline bool sftn_pw_reads_bf16(int op)
{
    return op == SFTN_PW_add || op == SFTN_PW_mul || op == SFTN_PW_mask || op == SFTN_PW_relu ||
           op == SFTN_PW_copy || op >= SFTN_PW_MULADD;
}

/* ---- copies with strides ---- */

/* Dimensions outermost first, unused ones 1; strides in elements. */
typedef struct sftn_move {
    bool src_bf16, dst_bf16;
    int64_t dim[SFTN_DIMS], src[SFTN_DIMS], dst[SFTN_DIMS];
} sftn_move;

/* ---- pooling, channels last ---- */

typedef struct sftn_pool_map {
    int64_t c, h, w, oh, ow; /* of the larger (x) and the smaller (y) image */
    bool bf16;
    /*
     * Window i of the rows covers x rows first[i] .. last[i] - 1; an average divides by
     * count[i] times the columns' count.  Columns follow at index oh.
     */
    const int64_t *first, *last, *count;
} sftn_pool_map;

typedef struct sftn_cpu_kernels {
    const char *isa;
    /* dst[i] = src[i] */
    void (*widen)(float *dst, const uint16_t *src, int64_t n);
    void (*narrow)(uint16_t *dst, const float *src, int64_t n); /* to nearest, ties to even */

    /* Fill operand's expanded copy from src. */
    void (*expand)(const sftn_pw_program *program, int operand, const void *src, float *dst);
    /*
     * Output elements first .. last - 1.  expanded: the periodic operands' copies; scratch:
     * nslots * tile floats of this thread, 64-byte aligned.
     */
    void (*pointwise)(const sftn_pw_program *program, void *const *in, void *out, int64_t first,
                      int64_t last, float *expanded, float *scratch);

    /* acc[j] += sum over r of x[r * stride + j], r < rows, j < cols */
    void (*sum_rows)(const void *x, bool bf16, int64_t rows, int64_t stride, int64_t cols,
                     double *acc);
    /* acc[j] = max(acc[j], x[r * stride + j]) */
    void (*max_rows)(const void *x, bool bf16, int64_t rows, int64_t stride, int64_t cols,
                     double *acc);
    /* y[r] = sum or maximum of x[r * length + j], j < length: short rows */
    void (*sum_lines)(const void *x, bool bf16, int64_t rows, int64_t length, float *y);
    void (*max_lines)(const void *x, bool bf16, int64_t rows, int64_t length, float *y);
    /* x [rows,c]: s1[j] += sum of x - center[j], s2[j] += sum of (x - center[j])^2 */
    void (*moments)(const void *x, bool bf16, int64_t rows, int64_t c, const float *center,
                    double *s1, double *s2);
    /* x, gy [rows,c]: s1[j] += sum of gy, s2[j] += sum of gy (x - center[j]) */
    void (*norm_sums)(const void *x, bool x_bf16, const void *gy, bool gy_bf16, int64_t rows,
                      int64_t c, const float *center, double *s1, double *s2);

    /* y [rows,c] = softmax of the rows of x, or its logarithm */
    void (*softmax)(const void *x, bool bf16, int64_t rows, int64_t c, bool logarithm, float *y);

    /*
     * Rows of table [records, width] by numbers [count]: y[k] = <row, x>, and y [width] = sum of
     * weight[k] row.
     */
    void (*rows_dot)(const float *table, int64_t records, int64_t width, const float *rows,
                     int64_t count, const float *x, float *y);
    void (*rows_mix)(const float *table, int64_t records, int64_t width, const float *rows,
                     int64_t count, const float *weight, float *y);

    /* Copy entries first .. last - 1 of the outermost dimension. */
    void (*move)(const sftn_move *m, const void *src, void *dst, int64_t first, int64_t last);

    /* One row of one image: y[row] from x, and gx[row] from gy. */
    void (*avg_pool)(const sftn_pool_map *m, const void *x, void *y, int64_t row);
    void (*avg_pool_grad)(const sftn_pool_map *m, const void *gy, void *gx, int64_t row);
    void (*max_pool)(const sftn_pool_map *m, const void *x, void *y, int64_t row);
    /* which[oh,ow,c]: position, in its window, of the first largest element */
    void (*max_pool_which)(const sftn_pool_map *m, const void *x, uint16_t *which, int64_t row);
    void (*max_pool_grad)(const sftn_pool_map *m, const uint16_t *which, const void *gy, void *gx,
                          int64_t row);

    const sftn_winograd_kernels *winograd;

    /* Arithmetic done, in registers: of pairs of bfloat16 where that is an instruction. */
    double (*multiply_adds)(bool bf16, int64_t rounds);
} sftn_cpu_kernels;

#define SFTN_ISA_JOIN2(name, isa) name##_##isa
#define SFTN_ISA_JOIN(name, isa) SFTN_ISA_JOIN2(name, isa)
/* `name` with the instruction set appended. */
#define SFTN_LOCAL(name) SFTN_ISA_JOIN(name, SFTN_ISA)

#define SFTN_INLINE static inline __attribute__((always_inline))

#ifdef SFTN_ISA
#include <string.h>

SFTN_INLINE uint32_t k_bits(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u;
}

SFTN_INLINE float k_float(uint32_t u)
{
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

SFTN_INLINE float k_widen(uint16_t h)
{
    return k_float((uint32_t)h << 16);
}

/* Nearest bfloat16, ties to even; NaN stays NaN. */
SFTN_INLINE uint16_t k_narrow(float x)
{
    const uint32_t u = k_bits(x);
    const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;

    return (uint16_t)(x == x ? rounded : 0x7fc0u);
}

SFTN_INLINE float k_get(const void *x, bool bf16, int64_t i)
{
    return bf16 ? k_widen(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}

SFTN_INLINE void k_set(void *y, bool bf16, int64_t i, float v)
{
    if (bf16)
        ((uint16_t *)y)[i] = k_narrow(v);
    else
        ((float *)y)[i] = v;
}

SFTN_INLINE const void *k_at(const void *x, bool bf16, int64_t i)
{
    return bf16 ? (const void *)((const uint16_t *)x + i) : (const void *)((const float *)x + i);
}

SFTN_INLINE float k_fma(float a, float b, float c)
{
#if defined(__FMA__) || defined(__FP_FAST_FMAF)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* Sum of x[0 .. n) in sixteen partial sums, joined in a fixed order. */
SFTN_INLINE float k_sum(const void *x, bool bf16, int64_t n)
{
    float lane[16] = {0.0f};
    int64_t j = 0;

    for (; j + 16 <= n; j += 16)
        for (int k = 0; k < 16; k++)
            lane[k] += k_get(x, bf16, j + k);
    for (; j < n; j++)
        lane[j % 16] += k_get(x, bf16, j);
    for (int half = 8; half > 0; half /= 2)
        for (int k = 0; k < half; k++)
            lane[k] += lane[k + half];
    return lane[0];
}

/* Largest of x[0 .. n): sixteen running maxima, since compilers will not split one. */
SFTN_INLINE float k_max(const void *x, bool bf16, int64_t n)
{
    float lane[16];
    int64_t j = 0;

    for (int k = 0; k < 16; k++)
        lane[k] = -__builtin_inff();
    for (; j + 16 <= n; j += 16)
        for (int k = 0; k < 16; k++) {
            const float v = k_get(x, bf16, j + k);

            lane[k] = v > lane[k] ? v : lane[k];
        }
    for (; j < n; j++) {
        const float v = k_get(x, bf16, j);

        lane[0] = v > lane[0] ? v : lane[0];
    }
    for (int k = 1; k < 16; k++)
        lane[0] = lane[k] > lane[0] ? lane[k] : lane[0];
    return lane[0];
}

#define K(name) SFTN_LOCAL(sftn_##name)
/* The functions behind the table. */
void K(widen)(float *dst, const uint16_t *src, int64_t n);
void K(narrow)(uint16_t *dst, const float *src, int64_t n);
void K(expand)(const sftn_pw_program *program, int operand, const void *src, float *dst);
void K(pointwise)(const sftn_pw_program *program, void *const *in, void *out, int64_t first,
                  int64_t last, float *expanded, float *scratch);
void K(sum_rows)(const void *x, bool bf16, int64_t rows, int64_t stride, int64_t cols,
                 double *acc);
void K(max_rows)(const void *x, bool bf16, int64_t rows, int64_t stride, int64_t cols,
                 double *acc);
void K(sum_lines)(const void *x, bool bf16, int64_t rows, int64_t length, float *y);
void K(max_lines)(const void *x, bool bf16, int64_t rows, int64_t length, float *y);
void K(moments)(const void *x, bool bf16, int64_t rows, int64_t c, const float *center, double *s1,
                double *s2);
void K(norm_sums)(const void *x, bool x_bf16, const void *gy, bool gy_bf16, int64_t rows,
                  int64_t c, const float *center, double *s1, double *s2);
void K(softmax)(const void *x, bool bf16, int64_t rows, int64_t c, bool logarithm, float *y);
void K(rows_dot)(const float *table, int64_t records, int64_t width, const float *rows,
                 int64_t count, const float *x, float *y);
void K(rows_mix)(const float *table, int64_t records, int64_t width, const float *rows,
                 int64_t count, const float *weight, float *y);
void K(move)(const sftn_move *m, const void *src, void *dst, int64_t first, int64_t last);
void K(avg_pool)(const sftn_pool_map *m, const void *x, void *y, int64_t row);
void K(avg_pool_grad)(const sftn_pool_map *m, const void *gy, void *gx, int64_t row);
void K(max_pool)(const sftn_pool_map *m, const void *x, void *y, int64_t row);
void K(max_pool_which)(const sftn_pool_map *m, const void *x, uint16_t *which, int64_t row);
void K(max_pool_grad)(const sftn_pool_map *m, const uint16_t *which, const void *gy, void *gx,
                      int64_t row);
extern const sftn_winograd_kernels K(winograd);
double K(multiply_adds)(bool bf16, int64_t rounds);
#endif

#endif
