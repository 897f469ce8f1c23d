/*
 * cpu_kernels: what the loops of the cpu backend promise one by one: accuracy of exp, log, tanh
 * and powers, special values, rounding, reorders, accurate sums; every build of them that this
 * machine runs.
 */
#include "backend/cpu/cpu.h"
#include "op/fused.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 20000, ROWS = 4096 };

static const char *const isa_names[] = {"generic", "avx2", "avx512", "avx512_bf16"};

/* The builds up to what this machine has, one after another; NULL past the end. */
static const sftn_cpu_kernels *build_of(int i)
{
    const sftn_cpu_kernels *k;

    if (i >= (int)SFTN_COUNT(isa_names))
        return NULL;
    setenv("SFTN_ISA", isa_names[i], 1);
    k = sftn_cpu_kernels_here();
    unsetenv("SFTN_ISA");
    return strcmp(k->isa, isa_names[i]) == 0 ? k : NULL;
}

/* y = the one-operand formula `code` of x [n]. */
static void apply(const sftn_cpu_kernels *k, int code, float p, const float *x, float *y, int n)
{
    sftn_pw_program g = {.nin = 1, .nsteps = 1, .ndims = 1, .tile = 256, .dim = {n}, .count = n};
    void *in[1] = {(void *)(uintptr_t)x};

    g.operand[0] = (sftn_pw_operand){.access = SFTN_PW_DENSE, .slot = -1, .stride = {1}};
    g.slot[1] = -1;
    g.step[0] = (sftn_pw_step){.op = (uint8_t)code, .dst = 1, .p = p};
    k->pointwise(&g, in, y, 0, n, NULL, NULL);
}

/* |found - expected| in units of the last place of expected. */
static double ulps(float found, double expected)
{
    const float nearest = (float)expected;
    const double unit = (double)nextafterf(fabsf(nearest), INFINITY) - fabs((double)nearest);

    return fabs((double)found - expected) / unit;
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double softplus(double x)
{
    return log1p(exp(x));
}

static double cube(double x)
{
    return x * x * x;
}

static double power_3_halves(double x)
{
    return pow(x, 1.5);
}

static void check_accuracy(const char *name, int code, float p, double (*exact)(double), double low,
                           double high, double limit)
{
    static float x[SAMPLES], y[SAMPLES];
    const sftn_cpu_kernels *k;
    sftn_rng rng = sftn_rng_new(3, SFTN_RNG_TEST, (uint64_t)code);

    for (int i = 0; i < SAMPLES; i++)
        x[i] = (float)(low + (high - low) * sftn_rng_uniform(&rng));
    for (int b = 0; (k = build_of(b)) != NULL; b++) {
        apply(k, code, p, x, y, SAMPLES);
        for (int i = 0; i < SAMPLES; i++)
            if (!(ulps(y[i], exact((double)x[i])) <= limit))
                test_fail(__FILE__, __LINE__, "%s, %s(%.9g) is %.9g, %g units from %.9g", k->isa,
                          name, (double)x[i], (double)y[i], ulps(y[i], exact((double)x[i])),
                          exact((double)x[i]));
    }
}

TEST(exponentials_and_logarithms_are_within_two_units)
{
    check_accuracy("exp", SFTN_PW_exp, 0.0f, exp, -87.0, 88.7, 2.0);
    check_accuracy("exp", SFTN_PW_exp, 0.0f, exp, -1.0, 1.0, 2.0);
    check_accuracy("exp", SFTN_PW_exp, 0.0f, exp, -103.0, -87.0, 2.0);
    check_accuracy("log", SFTN_PW_log, 0.0f, log, 1e-6, 2.0, 2.0);
    check_accuracy("log", SFTN_PW_log, 0.0f, log, 1e-40, 1e-37, 2.0);
    check_accuracy("log", SFTN_PW_log, 0.0f, log, 1.0, 1e6, 2.0);
    check_accuracy("tanh", SFTN_PW_tanh, 0.0f, tanh, -10.0, 10.0, 2.0);
    check_accuracy("tanh", SFTN_PW_tanh, 0.0f, tanh, -0.7, 0.7, 2.0);
}

TEST(what_is_composed_of_them_is_within_four_units)
{
    check_accuracy("sigmoid", SFTN_PW_sigmoid, 0.0f, sigmoid, -80.0, 80.0, 4.0);
    check_accuracy("softplus", SFTN_PW_softplus, 0.0f, softplus, -80.0, 30.0, 4.0);
    check_accuracy("power", SFTN_PW_power, 3.0f, cube, -100.0, 100.0, 2.0);
    check_accuracy("power", SFTN_PW_power, 1.5f, power_3_halves, 0.5, 4.0, 4.0);
}

TEST(the_tail_of_the_normal_distribution_is_accurate_to_its_end)
{
    check_accuracy("erfc", SFTN_PW_erfc, 0.0f, erfc, -6.0, 1.0, 12.0);
    check_accuracy("erfc", SFTN_PW_erfc, 0.0f, erfc, 1.0, 3.0, 17.0);
    check_accuracy("erfc", SFTN_PW_erfc, 0.0f, erfc, 3.0, 9.0, 89.0);
}

static float value(const sftn_cpu_kernels *k, int code, float p, float x)
{
    float y;

    apply(k, code, p, &x, &y, 1);
    return y;
}

TEST(special_values_come_out_as_in_the_mathematical_library)
{
    const sftn_cpu_kernels *k;

    for (int b = 0; (k = build_of(b)) != NULL; b++) {
        CHECK(value(k, SFTN_PW_exp, 0, 200.0f) == INFINITY);
        CHECK(value(k, SFTN_PW_exp, 0, INFINITY) == INFINITY);
        CHECK(value(k, SFTN_PW_exp, 0, -200.0f) == 0.0f);
        CHECK(value(k, SFTN_PW_exp, 0, -INFINITY) == 0.0f);
        CHECK(value(k, SFTN_PW_exp, 0, 0.0f) == 1.0f);
        CHECK(isnan(value(k, SFTN_PW_exp, 0, NAN)));
        CHECK(value(k, SFTN_PW_log, 0, 0.0f) == -INFINITY);
        CHECK(value(k, SFTN_PW_log, 0, INFINITY) == INFINITY);
        CHECK(value(k, SFTN_PW_log, 0, 1.0f) == 0.0f);
        CHECK(isnan(value(k, SFTN_PW_log, 0, -1.0f)));
        CHECK(isnan(value(k, SFTN_PW_log, 0, NAN)));
        CHECK(value(k, SFTN_PW_tanh, 0, INFINITY) == 1.0f);
        CHECK(value(k, SFTN_PW_tanh, 0, -INFINITY) == -1.0f);
        CHECK(isnan(value(k, SFTN_PW_tanh, 0, NAN)));
        CHECK(value(k, SFTN_PW_erfc, 0, INFINITY) == 0.0f);
        CHECK(value(k, SFTN_PW_erfc, 0, -INFINITY) == 2.0f);
        CHECK(value(k, SFTN_PW_erfc, 0, 0.0f) == 1.0f);
        CHECK(isnan(value(k, SFTN_PW_erfc, 0, NAN)));
        CHECK(value(k, SFTN_PW_sigmoid, 0, -INFINITY) == 0.0f);
        CHECK(value(k, SFTN_PW_softplus, 0, 200.0f) == 200.0f);
        CHECK(value(k, SFTN_PW_power, -1.0f, 0.0f) == INFINITY);
        CHECK(value(k, SFTN_PW_power, 0.0f, 0.0f) == 1.0f);
        CHECK(value(k, SFTN_PW_power, 2.0f, -3.0f) == 9.0f);
        CHECK(value(k, SFTN_PW_power, 3.0f, -3.0f) == -27.0f);
        CHECK(value(k, SFTN_PW_power, 0.5f, 0.0f) == 0.0f);
        CHECK(isnan(value(k, SFTN_PW_power, 0.5f, -1.0f)));
    }
}

TEST(bfloat16_is_rounded_to_nearest_even)
{
    static float x[65536];
    static uint16_t y[65536];
    const sftn_cpu_kernels *k;

    for (uint32_t low = 0; low < 65536; low += 257) {
        for (uint32_t high = 0; high < 65536; high++) {
            const uint32_t u = high << 16 | (low == 257 * 127 ? 0x8000u : low);

            memcpy(&x[high], &u, sizeof u);
        }
        for (int b = 0; (k = build_of(b)) != NULL; b++) {
            k->narrow(y, x, 65536);
            for (int i = 0; i < 65536; i++)
                if (isnan(x[i]) ? !isnan(sftn_bf16_to_float(y[i]))
                                : y[i] != sftn_bf16_from_float(x[i]))
                    test_fail(__FILE__, __LINE__, "%s: %a becomes %04x", k->isa, (double)x[i],
                              y[i]);
        }
    }
}

/* y = op(x, z) on bfloat16 throughout. */
static void apply16(const sftn_cpu_kernels *k, int op, const uint16_t *x, const uint16_t *z,
                    uint16_t *y, int n)
{
    sftn_pw_program g = {.nin = 2, .nsteps = 1, .ndims = 1, .tile = 256, .bf16 = true, .dim = {n},
                         .count = n};
    void *in[2] = {(void *)(uintptr_t)x, (void *)(uintptr_t)z};

    for (int i = 0; i < 2; i++)
        g.operand[i] = (sftn_pw_operand){
            .access = SFTN_PW_DENSE, .bf16 = true, .slot = -1, .stride = {1}};
    for (int i = 0; i < SFTN_FUSED_MAX_REG; i++)
        g.slot[i] = -1;
    g.step[0] = (sftn_pw_step){.op = (uint8_t)op, .dst = 2, .a = 0, .b = op == SFTN_PW_mask};
    g.step[0].bf16 = SFTN_PW_A16 | SFTN_PW_OUT16 | (op == SFTN_PW_mask ? SFTN_PW_B16 : 0);
    k->pointwise(&g, in, y, 0, n, NULL, NULL);
}

TEST(masks_on_bits_equal_masks_on_numbers)
{
    static uint16_t x[65536], z[65536], y[65536];
    const sftn_cpu_kernels *k;

    for (int i = 0; i < 65536; i++) {
        x[i] = 0x4049;
        z[i] = (uint16_t)i;
    }
    for (int b = 0; (k = build_of(b)) != NULL; b++) {
        apply16(k, SFTN_PW_mask, x, z, y, 65536);
        for (int i = 0; i < 65536; i++)
            CHECK_INT(y[i], sftn_bf16_to_float(z[i]) > 0.0f ? 0x4049 : 0);
        apply16(k, SFTN_PW_relu, z, z, y, 65536);
        for (int i = 0; i < 65536; i++)
            CHECK_INT(y[i], sftn_bf16_to_float(z[i]) > 0.0f ? z[i] : 0);
    }
}

/* ---- reductions ---- */

/* x [rows,c] around a large mean, as bfloat16 or not. */
static void fill(float *x, uint16_t *h, int64_t n, float mean)
{
    sftn_rng rng = sftn_rng_new(9, SFTN_RNG_TEST, 0);

    for (int64_t i = 0; i < n; i++) {
        x[i] = mean + (float)sftn_rng_normal(&rng);
        h[i] = sftn_bf16_from_float(x[i]);
    }
}

static void check_columns(const sftn_cpu_kernels *k, const float *x, const uint16_t *h,
                          int64_t rows, int64_t c, float center)
{
    double *s = sftn_calloc((size_t)c, 6 * sizeof *s), *exact = s + 3 * c;
    float *shift = sftn_calloc((size_t)c, sizeof *shift);

    CHECK(s != NULL && shift != NULL);
    for (int bf16 = 0; bf16 < 2; bf16++) {
        const void *src = bf16 ? (const void *)h : x;

        memset(s, 0, (size_t)(6 * c) * sizeof *s);
        for (int64_t i = 0; i < rows * c; i++) {
            const double v = bf16 ? (double)sftn_bf16_to_float(h[i]) : (double)x[i];
            const double d = v - (double)center;

            exact[i % c] += v;
            exact[c + i % c] += d;
            exact[2 * c + i % c] += d * d;
        }
        for (int64_t j = 0; j < c; j++)
            shift[j] = center;
        k->sum_rows(src, bf16, rows, c, c, s);
        k->moments(src, bf16, rows, c, shift, s + c, s + 2 * c);
        for (int64_t j = 0; j < c; j++) {
            CHECK_NEAR(s[j], exact[j], 1e-6 * fabs(exact[j]) + 1e-4);
            CHECK_NEAR(s[c + j], exact[c + j], 1e-3);
            CHECK_NEAR(s[2 * c + j], exact[2 * c + j], 1e-5 * exact[2 * c + j]);
            s[c + j] = s[2 * c + j] = 0.0;
        }
        k->norm_sums(src, bf16, src, bf16, rows, c, shift, s + c, s + 2 * c);
        for (int64_t j = 0; j < c; j++)
            CHECK_NEAR(s[c + j], exact[j], 1e-6 * fabs(exact[j]) + 1e-4);
    }
    free(s);
    free(shift);
}

TEST(column_sums_are_accurate_for_any_number_of_channels)
{
    static const int64_t channels[] = {1, 2, 3, 7, 16, 31, 64, 100, 127, 128, 130, 511, 513, 700};
    static float x[200 * 700];
    static uint16_t h[200 * 700];
    const sftn_cpu_kernels *k;

    fill(x, h, 200 * 700, 100.0f);
    for (int b = 0; (k = build_of(b)) != NULL; b++)
        for (size_t i = 0; i < SFTN_COUNT(channels); i++)
            for (int64_t rows = 1; rows <= 200; rows = 2 * rows + 1)
                check_columns(k, x, h, rows, channels[i], 100.0f);
}

TEST(rows_have_their_sums_and_maxima)
{
    static float x[64 * 130], y[64];
    static uint16_t h[64 * 130];
    const sftn_cpu_kernels *k;

    fill(x, h, 64 * 130, 0.0f);
    for (int b = 0; (k = build_of(b)) != NULL; b++)
        for (int64_t length = 1; length <= 130; length += 3)
            for (int bf16 = 0; bf16 < 2; bf16++) {
                const void *src = bf16 ? (const void *)h : x;

                for (int largest = 0; largest < 2; largest++) {
                    (largest ? k->max_lines : k->sum_lines)(src, bf16, 64, length, y);
                    for (int64_t r = 0; r < 64; r++) {
                        double expected = largest ? -(double)INFINITY : 0.0;

                        for (int64_t j = r * length; j < (r + 1) * length; j++) {
                            const double v =
                                bf16 ? (double)sftn_bf16_to_float(h[j]) : (double)x[j];

                            expected = largest ? fmax(expected, v) : expected + v;
                        }
                        CHECK_NEAR((double)y[r], expected, largest ? 0.0 : 1e-4);
                    }
                }
            }
}

/* ---- reorders ---- */

static void reorder(sftn_cpu *cpu, const sftn_desc *src, const sftn_desc *dst, void *from, void *to)
{
    sftn_error err = {.status = SFTN_OK};
    sftn_kernel kernel;
    void *workspace;

    CHECK_OK(sftn_cpu_reorder(cpu, src, dst, &kernel, &err), &err);
    workspace = sftn_aligned(kernel.workspace + 64);
    CHECK(workspace != NULL);
    kernel.run(kernel.state, &from, &to, workspace);
    kernel.destroy(kernel.state);
    free(workspace);
}

static void check_reorders(sftn_cpu *cpu, const sftn_shape *shape)
{
    const int64_t count = sftn_shape_count(shape), *d = shape->dim;
    const sftn_desc plain = sftn_desc_of(shape, SFTN_F32, SFTN_NCHW);
    const sftn_desc last16 = sftn_desc_of(shape, SFTN_BF16, SFTN_NHWC);
    const sftn_desc plain16 = sftn_desc_of(shape, SFTN_BF16, SFTN_NCHW);
    const sftn_desc last = sftn_desc_of(shape, SFTN_F32, SFTN_NHWC);
    float *a = sftn_aligned((size_t)count * 8), *z = a + count;
    uint16_t *b = sftn_aligned((size_t)count * 4), *c = b + count;

    CHECK(a != NULL && b != NULL);
    for (int64_t i = 0; i < count; i++)
        a[i] = (float)(i % 251) - 125.0f;
    reorder(cpu, &plain, &last16, a, b);
    for (int64_t i = 0; i < count; i++) {
        const int64_t w = i % d[3], h = i / d[3] % d[2], ch = i / (d[2] * d[3]) % d[1];
        const int64_t n = i / (d[1] * d[2] * d[3]);

        CHECK(sftn_bf16_to_float(b[((n * d[2] + h) * d[3] + w) * d[1] + ch]) == a[i]);
    }
    reorder(cpu, &last16, &plain16, b, c);
    reorder(cpu, &plain16, &last, c, z);
    reorder(cpu, &last, &last16, z, c);
    CHECK_BYTES(c, b, (size_t)count * 2);
    reorder(cpu, &last16, &plain, c, z);
    CHECK_BYTES(z, a, (size_t)count * 4);
    free(a);
    free(b);
}

TEST(reorders_keep_every_element)
{
    static const sftn_shape shapes[] = {{{1, 1, 1, 1}}, {{2, 3, 5, 7}}, {{64, 10, 1, 1}},
                                        {{3, 1, 9, 9}}, {{1, 70, 33, 2}}, {{16, 33, 17, 15}},
                                        {{1, 1, 256, 256}}};
    const sftn_plan_options options = {.precision = SFTN_BFLOAT16};
    sftn_error err = {.status = SFTN_OK};
    void *plan_state;

    CHECK_OK(sftn_backend_find("cpu", NULL)->open(&options, &plan_state, &err), &err);
    for (size_t i = 0; i < SFTN_COUNT(shapes); i++)
        check_reorders(plan_state, &shapes[i]);
    sftn_backend_find("cpu", NULL)->close(plan_state);
}
