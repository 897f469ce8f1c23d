/*
 * cpu_threads: a network large enough to be shared by threads, against the reference; and what
 * does not go through oneDNN gives the same bits on any number of threads.  The number asked for
 * decides the bits, not the cores that there are.
 */
#include "sftn/nn.h"
#include "sftn/plan.h"
#include "base/base.h"
#include "test.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 6, C = 21, H = 23, W = 19, COUNT = N * C * H * W };

static sftn_value input(sftn_graph *g)
{
    return sftn_graph_input(g, "x", (sftn_type){SFTN_SHAPE(N, C, H, W), false});
}

/* Everything of our own: no convolution, no product. */
static sftn_graph *own_loops(void)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = input(g);
    sftn_value mean, var, y, mixed, grad = SFTN_NONE;

    sftn_moments(g, x, &mean, &var);
    y = sftn_batch_norm(g, x, sftn_exp(g, mean), mean, mean, var, 1e-5f, true);
    y = sftn_relu(g, sftn_add(g, y, x));
    sftn_graph_output(g, "channels", sftn_sum(g, y, SFTN_AXES_NHW));
    sftn_graph_output(g, "pixels", sftn_sum(g, y, SFTN_AXIS_C));
    sftn_graph_output(g, "samples", sftn_sum(g, y, SFTN_AXES_CHW));
    sftn_graph_output(g, "rows", sftn_max(g, y, SFTN_AXIS_N | SFTN_AXIS_W));
    mixed = sftn_max_pool2d(g, y, (sftn_pool_spec){.size = 3, .stride = 2, .pad = 1});
    mixed = sftn_avg_pool2d(g, mixed, (sftn_pool_spec){.size = 2, .stride = 1});
    mixed = sftn_softmax(g, mixed);
    sftn_graph_output(g, "softmax", mixed);
    mixed = sftn_sum(g, sftn_mul(g, mixed, mixed), SFTN_ALL_AXES);
    sftn_graph_output(g, "total", mixed);
    CHECK_STATUS(sftn_graph_gradients(g, mixed, &x, 1, &grad, NULL), SFTN_OK);
    sftn_graph_output(g, "gx", grad);
    return g;
}

static const struct {
    const char *name;
    int count;
} own_output[] = {{"channels", C},
                  {"pixels", N * H * W},
                  {"samples", N},
                  {"rows", C * H},
                  {"softmax", N *C * 11 * 9},
                  {"total", 1},
                  {"gx", COUNT}};

static void run(const sftn_graph *g, const sftn_plan_options *options, int threads,
                const char *name, double *out)
{
    sftn_error err = {.status = SFTN_OK};
    sftn_rng rng = sftn_rng_new(4, SFTN_RNG_TEST, 0);
    sftn_plan *plan;
    double *x = sftn_calloc(COUNT, sizeof *x);

    CHECK(x != NULL);
    for (int i = 0; i < COUNT; i++)
        x[i] = (double)sftn_bf16_to_float(
            sftn_bf16_from_float((float)(sftn_rng_normal(&rng) + 0.25)));
    sftn_set_threads(threads);
    CHECK_OK(sftn_plan_new(g, options, &plan, &err), &err);
    CHECK_OK(sftn_plan_write(plan, "x", x, &err), &err);
    CHECK_OK(sftn_plan_run(plan, &err), &err);
    CHECK_OK(sftn_plan_read(plan, name, out, &err), &err);
    sftn_plan_free(plan);
    sftn_set_threads(0);
    free(x);
}

/* Convolutions of odd sizes, strided, grouped and depthwise, and their gradients. */
static sftn_graph *convolutions(sftn_params *params)
{
    const sftn_scope s = {.g = sftn_graph_new(), .params = params, .training = true};
    sftn_value y = input(s.g);
    const sftn_value x = y;
    sftn_value grad = SFTN_NONE;

    y = sftn_nn_conv(&s, "a", y, (sftn_conv){.filters = 30, .size = 3});
    y = sftn_nn_conv(&s, "b", y, (sftn_conv){.filters = 30, .size = 3, .stride = 2, .groups = 30});
    y = sftn_nn_conv(&s, "c", y, (sftn_conv){.filters = 18, .size = 1, .groups = 3});
    y = sftn_sum(s.g, sftn_square(s.g, y), SFTN_ALL_AXES);
    sftn_graph_output(s.g, "y", y);
    CHECK_STATUS(sftn_graph_gradients(s.g, y, &x, 1, &grad, NULL), SFTN_OK);
    sftn_graph_output(s.g, "gx", grad);
    CHECK_STATUS(sftn_graph_backward(s.g, y, NULL, NULL), SFTN_OK);
    return s.g;
}

/*
 * The gradients of the weights for that many threads, computed by a forked child on one core, or
 * on two where there are two: cores are counted once in a process.  out [nweights], shared.
 */
static void gradients_in_child(const sftn_graph *g, sftn_params *params, int precision,
                               int threads, bool one_core, float *out)
{
    const size_t bytes = (size_t)sftn_params_weight_size(params) * sizeof *out;
    const sftn_plan_options cpu = {.backend = "cpu", .precision = (sftn_precision)precision};
    int status = -1;
    const pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        double *gx = sftn_calloc(COUNT, sizeof *gx);
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((size_t)sched_getcpu(), &set);
        if (gx == NULL || (one_core && sched_setaffinity(0, sizeof set, &set) != 0))
            _exit(1);
        run(g, &cpu, threads, "gx", gx);
        memcpy(out, sftn_params_grads(params), bytes);
        _exit(one_core && sftn_cores() != 1 ? 2 : 0);
    }
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The first test, as the child's cores must not have been counted before it begins. */
TEST(the_bits_are_those_of_the_threads_asked_for_on_any_number_of_cores)
{
    sftn_params *params = sftn_params_new();
    sftn_graph *g = convolutions(params);
    const size_t bytes = (size_t)sftn_params_weight_size(params) * sizeof(float);
    float *a = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    float *b = a + bytes / sizeof *a;

    CHECK(a != MAP_FAILED);
    sftn_params_init(params, 1);
    for (int precision = SFTN_FLOAT32; precision <= SFTN_BFLOAT16; precision++)
        for (int threads = 1; threads <= 4; threads++) {
            gradients_in_child(g, params, precision, threads, true, a);
            gradients_in_child(g, params, precision, threads, false, b);
            CHECK_BYTES(b, a, bytes);
        }
    munmap(a, 2 * bytes);
    sftn_graph_free(g);
    sftn_params_free(params);
}

TEST(own_loops_equal_the_reference_where_threads_share_them)
{
    const sftn_plan_options ref = {.backend = "ref"}, cpu = {.backend = "cpu"};
    double *a = sftn_calloc(2 * COUNT, sizeof *a), *b = a + COUNT;
    sftn_graph *g = own_loops();

    CHECK(a != NULL);
    for (size_t i = 0; i < SFTN_COUNT(own_output); i++) {
        double top = 0.0;

        run(g, &ref, 1, own_output[i].name, a);
        run(g, &cpu, 2, own_output[i].name, b);
        for (int k = 0; k < own_output[i].count; k++)
            top = fmax(top, fabs(a[k]));
        for (int k = 0; k < own_output[i].count; k++)
            CHECK_NEAR(b[k], a[k], 1e-5 * top);
    }
    sftn_graph_free(g);
    free(a);
}

TEST(own_loops_give_the_same_bits_on_any_number_of_threads)
{
    double *a = sftn_calloc(2 * COUNT, sizeof *a), *b = a + COUNT;
    sftn_graph *g = own_loops();

    CHECK(a != NULL);
    for (size_t i = 0; i < SFTN_COUNT(own_output); i++)
        for (int precision = SFTN_FLOAT32; precision <= SFTN_BFLOAT16; precision++) {
            const sftn_plan_options cpu = {.backend = "cpu",
                                           .precision = (sftn_precision)precision};

            run(g, &cpu, 1, own_output[i].name, a);
            for (int threads = 2; threads <= 5; threads++) {
                run(g, &cpu, threads, own_output[i].name, b);
                CHECK_BYTES(b, a, (size_t)own_output[i].count * sizeof *a);
            }
        }
    sftn_graph_free(g);
    free(a);
}

static void check_near(const double *found, const double *expected, int count, double limit)
{
    double top = 0.0;

    for (int k = 0; k < count; k++)
        top = fmax(top, fabs(expected[k]));
    for (int k = 0; k < count; k++)
        CHECK_NEAR(found[k], expected[k], limit * top);
}

TEST(convolutions_equal_the_reference_where_threads_share_them)
{
    const sftn_plan_options ref = {.backend = "ref"};
    sftn_params *params = sftn_params_new();
    sftn_graph *g = convolutions(params);
    const int nweights = (int)sftn_params_weight_size(params);
    double *a = sftn_calloc((size_t)(2 * COUNT + 2 * nweights), sizeof *a), *b = a + COUNT;
    double *ga = b + COUNT, *gb = ga + nweights;

    CHECK(a != NULL);
    sftn_params_init(params, 1);
    run(g, &ref, 1, "gx", a);
    for (int i = 0; i < nweights; i++)
        ga[i] = (double)sftn_params_grads(params)[i];
    for (int precision = SFTN_FLOAT32; precision <= SFTN_BFLOAT16; precision++)
        for (int threads = 1; threads <= 3; threads++) {
            const sftn_plan_options cpu = {.backend = "cpu",
                                           .precision = (sftn_precision)precision};
            const double limit = precision == SFTN_FLOAT32 ? 1e-5 : 3e-2;

            run(g, &cpu, threads, "gx", b);
            for (int i = 0; i < nweights; i++)
                gb[i] = (double)sftn_params_grads(params)[i];
            check_near(b, a, COUNT, limit);
            check_near(gb, ga, nweights, limit);
        }
    sftn_graph_free(g);
    sftn_params_free(params);
    free(a);
}
