/*
 * winograd: convolutions that Winograd's algorithm computes, and their gradients, on every
 * instruction set it is written for, against the reference in double precision.
 */
#include "plan/plan.h"
#include "sftn/nn.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct problem {
    sftn_shape x, w; /* w: [filters, channels, 3, 3] */
} problem;

/* Odd sizes, single tiles, channels that fill half a block, batches that split unevenly. */
static const problem problems[] = {
    {{{2, 16, 8, 8}}, {{16, 16, 3, 3}}},  {{{3, 32, 7, 7}}, {{48, 32, 3, 3}}},
    {{{1, 48, 5, 9}}, {{16, 48, 3, 3}}},  {{{5, 16, 3, 3}}, {{32, 16, 3, 3}}},
    {{{4, 64, 1, 3}}, {{64, 64, 3, 3}}},  {{{2, 16, 32, 32}}, {{32, 16, 3, 3}}},
    {{{7, 128, 8, 8}}, {{128, 128, 3, 3}}},
};

static const char *const inputs[] = {"x", "gy"};
static const char *const outputs[] = {"y", "gx", "gw"};

/* A plan and the parameters it reads. */
typedef struct made {
    sftn_plan *plan;
    sftn_params *params;
} made;

/* Uniform numbers that are exact in bfloat16, so that every plan reads the same. */
static void draw(float *v, int64_t n, uint64_t stream)
{
    sftn_rng rng = sftn_rng_new(3, SFTN_RNG_TEST, stream);

    for (int64_t i = 0; i < n; i++)
        v[i] = sftn_bf16_to_float(
            sftn_bf16_from_float((float)(sftn_rng_uniform(&rng) * 2.0 - 0.8)));
}

static sftn_graph *build(const problem *p, sftn_params *params)
{
    const sftn_param entry = {.shape = p->w, .rank = 4};
    const int weight = sftn_params_add(params, "w", &entry, NULL);
    const sftn_conv_spec spec = {.stride = 1, .pad = 1};
    const sftn_shape y = {{p->x.dim[0], p->w.dim[0], p->x.dim[2], p->x.dim[3]}};
    sftn_graph *g = sftn_graph_new();
    const sftn_value in[] = {
        sftn_graph_input(g, "x", (sftn_type){.shape = p->x}),
        sftn_graph_param(g, params, weight, false),
        sftn_graph_input(g, "gy", (sftn_type){.shape = y}),
    };

    sftn_graph_output(g, "y", sftn_conv2d(g, in[0], in[1], spec));
    sftn_graph_output(g, "gx", sftn_conv2d_data(g, in[2], in[1], p->x, spec));
    sftn_graph_output(g, "gw", sftn_conv2d_weight(g, in[0], in[2], p->w, spec));
    return g;
}

static void fill(sftn_plan *plan)
{
    sftn_error err = {.status = SFTN_OK};

    for (int i = 0; i < (int)SFTN_COUNT(inputs); i++) {
        const int64_t n = sftn_shape_count(&sftn_plan_input(plan, inputs[i])->shape);
        float *v = malloc((size_t)n * sizeof *v);

        CHECK(v != NULL);
        draw(v, n, (uint64_t)i);
        CHECK_OK(sftn_plan_write_float(plan, inputs[i], v, &err), &err);
        free(v);
    }
}

static int winograd_steps(const sftn_plan *plan)
{
    int n = 0;

    for (int i = 0; i < plan->steps.n; i++) {
        const char *name = plan->steps.step[i].kernel.name;

        n += strstr(name, "conv") != NULL && strstr(name, "winograd") != NULL;
    }
    return n;
}

static int64_t count_of(const problem *p, int output)
{
    const sftn_shape y = {{p->x.dim[0], p->w.dim[0], p->x.dim[2], p->x.dim[3]}};

    return sftn_shape_count(output == 0 ? &y : output == 1 ? &p->x : &p->w);
}

static double *read_output(const sftn_plan *plan, const problem *p, int output)
{
    sftn_error err = {.status = SFTN_OK};
    double *v = malloc((size_t)count_of(p, output) * sizeof *v);

    CHECK(v != NULL);
    CHECK_OK(sftn_plan_read(plan, outputs[output], v, &err), &err);
    return v;
}

/* Deviation relative to the norm of what is expected. */
static double deviation(const double *found, const double *expected, int64_t n)
{
    double error = 0.0, norm = 0.0;

    for (int64_t i = 0; i < n; i++) {
        error += (found[i] - expected[i]) * (found[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    return sqrt(error / norm);
}

static made run(const problem *p, const sftn_plan_options *options)
{
    sftn_error err = {.status = SFTN_OK};
    made m = {.params = sftn_params_new()};
    sftn_graph *g = build(p, m.params);

    draw(sftn_params_value(m.params, 0), sftn_shape_count(&p->w), 9);
    CHECK_OK(sftn_plan_new(g, options, &m.plan, &err), &err);
    fill(m.plan);
    CHECK_OK(sftn_plan_run(m.plan, &err), &err);
    CHECK_OK(sftn_plan_run(m.plan, &err), &err);
    sftn_graph_free(g);
    return m;
}

static void release(made *m)
{
    sftn_plan_free(m->plan);
    sftn_params_free(m->params);
}

/* All problems with so many threads; false where this machine has no such kernels. */
static bool check(const char *isa, sftn_precision precision, int threads, double limit)
{
    bool any = false;

    setenv("SFTN_ISA", isa, 1);
    sftn_set_threads(threads);
    for (size_t i = 0; i < SFTN_COUNT(problems); i++) {
        const problem *p = &problems[i];
        made ref = run(p, &(sftn_plan_options){.backend = "ref"});
        made cpu = run(p, &(sftn_plan_options){.precision = precision});
        const int steps = winograd_steps(cpu.plan);

        CHECK(steps == 0 || steps == 3);
        any = any || steps == 3;
        for (int k = 0; k < 3; k++) {
            double *expected = read_output(ref.plan, p, k);
            double *found = read_output(cpu.plan, p, k);
            const double d = deviation(found, expected, count_of(p, k));

            if (!(d <= limit))
                test_fail(__FILE__, __LINE__, "%s, problem %d, %s: deviation %.3g, limit %.3g",
                          isa, (int)i, outputs[k], d, limit);
            free(expected);
            free(found);
        }
        release(&ref);
        release(&cpu);
    }
    sftn_set_threads(0);
    unsetenv("SFTN_ISA");
    return any;
}

static void check_threads(const char *isa, sftn_precision precision, double limit)
{
    bool any = false;

    for (int threads = 1; threads <= 3; threads++)
        any = check(isa, precision, threads, limit) || any;
    if (!any)
        SKIP("this machine has no such instructions");
}

TEST(float32_is_as_exact_as_the_definition)
{
    check_threads("avx2", SFTN_FLOAT32, 1e-6);
    check_threads("avx512", SFTN_FLOAT32, 1e-6);
}

TEST(bfloat16_rounds_to_half_a_percent)
{
    check_threads("avx512_bf16", SFTN_BFLOAT16, 5.5e-3);
}

TEST(other_instruction_sets_take_the_definition)
{
    CHECK(!check("generic", SFTN_FLOAT32, 1, 1e-6));
}

TEST(no_winograd_takes_the_definition)
{
    const sftn_plan_options options = {.precision = SFTN_BFLOAT16, .no_winograd = true};
    made m = run(&problems[0], &options);

    CHECK_INT(winograd_steps(m.plan), 0);
    release(&m);
}

/* An image's result depends on that image alone: pixels outside it count as zeros. */
TEST(images_do_not_see_each_other)
{
    const problem two = {{{2, 16, 4, 4}}, {{16, 16, 3, 3}}};
    enum { IMAGE = 16 * 4 * 4 };
    made m = run(&two, &(sftn_plan_options){.precision = SFTN_FLOAT32});
    sftn_error err = {.status = SFTN_OK};
    float x[2 * IMAGE];
    double *y;

    for (int i = 0; i < 2 * IMAGE; i++)
        x[i] = i < IMAGE ? 1e30f : 0.0f;
    CHECK_OK(sftn_plan_write_float(m.plan, "x", x, &err), &err);
    CHECK_OK(sftn_plan_run(m.plan, &err), &err);
    y = read_output(m.plan, &two, 0);
    CHECK(y[0] != 0.0);
    for (int i = IMAGE; i < 2 * IMAGE; i++)
        CHECK_NEAR(y[i], 0.0, 0.0);
    free(y);
    release(&m);
}
