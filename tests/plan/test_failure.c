/* failure: a kernel that fails in a run is named, and the plan may be run again. */
#include "plan/plan.h"
#include "sftn/nn.h"
#include "test.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4, C = 8, SIZE = 6, FILTERS = 16 };

/* A frozen convolution, then one with its gradient: oneDNN's, packing included. */
typedef struct fixture {
    sftn_graph *g;
    sftn_params *params, *frozen;
    sftn_plan *plan;
} fixture;

static void fixture_open(fixture *f, const sftn_plan_options *options)
{
    double x[N * C * SIZE * SIZE];
    sftn_scope s = {.training = true}, fixed = {.frozen = true};
    sftn_error err = {.status = SFTN_OK};
    sftn_value v;

    s.g = fixed.g = f->g = sftn_graph_new();
    s.params = f->params = sftn_params_new();
    fixed.params = f->frozen = sftn_params_new();
    v = sftn_graph_input(f->g, "x", (sftn_type){SFTN_SHAPE(N, C, SIZE, SIZE), false});
    sftn_graph_set_scope(f->g, "first");
    v = sftn_nn_conv(&fixed, "conv", v, (sftn_conv){.filters = FILTERS, .size = 3});
    sftn_graph_set_scope(f->g, "second");
    v = sftn_nn_conv(&s, "conv", v, (sftn_conv){.filters = FILTERS, .size = 3});
    v = sftn_mean(f->g, sftn_square(f->g, sftn_flatten(f->g, v)), SFTN_ALL_AXES);
    sftn_graph_output(f->g, "loss", v);
    CHECK_OK(sftn_graph_backward(f->g, v, NULL, &err), &err);
    sftn_params_init(f->params, 1);
    sftn_params_init(f->frozen, 2);
    CHECK_OK(sftn_plan_new(f->g, options, &f->plan, &err), &err);
    for (int i = 0; i < N * C * SIZE * SIZE; i++)
        x[i] = (double)(i % 7) - 3.0;
    CHECK_OK(sftn_plan_write(f->plan, "x", x, &err), &err);
}

static void fixture_close(fixture *f)
{
    sftn_plan_free(f->plan);
    sftn_graph_free(f->g);
    sftn_params_free(f->params);
    sftn_params_free(f->frozen);
}

/* Everything computed once, then a run. */
static sftn_status run_all(fixture *f, sftn_error *err)
{
    const sftn_status status = sftn_plan_refresh(f->plan, err);

    return status ? status : sftn_plan_run(f->plan, err);
}

typedef struct results {
    double loss;
    float *grad;
} results;

static void check_results(const fixture *f, const results *want)
{
    const size_t count = (size_t)sftn_params_weight_size(f->params);
    double loss;

    CHECK_STATUS(sftn_plan_read(f->plan, "loss", &loss, NULL), SFTN_OK);
    CHECK_BYTES(&loss, &want->loss, sizeof loss);
    CHECK_BYTES(sftn_params_grad(f->params, 0), want->grad, count * sizeof *want->grad);
}

/* err says which step of the plan failed, and all of it; returns its place in the order of runs. */
static int named_step(const fixture *f, const char *text, const char *cause)
{
    const bool frozen = strncmp(text, "frozen step ", 12) == 0;
    const sftn_step_list *list = frozen ? &f->plan->frozen : &f->plan->steps;
    char want[512], shapes[160];
    const sftn_plan_step *s;
    int i = -1;

    CHECK_INT(sscanf(text, frozen ? "frozen step %d," : "step %d,", &i), 1);
    CHECK(i >= 0 && i < list->n);
    s = &list->step[i];
    sftn_step_shapes(f->plan, s, shapes, sizeof shapes);
    snprintf(want, sizeof want, "%sstep %d, %s of %s (%s): kernel '%s' failed: %s",
             frozen ? "frozen " : "", i, s->op, s->scope, shapes, s->kernel.name, cause);
    CHECK_TEXT(text, want);
    return frozen ? i : f->plan->frozen.n + i;
}

static void check_each(const sftn_plan_options *options)
{
    static const char *const expected[] = {"conv2d of first ", "conv2d of second ",
                                           "conv2d_weight of second "};
    bool seen[SFTN_COUNT(expected)] = {false};
    sftn_error err = {.status = SFTN_OK};
    results want;
    fixture f;
    long count;
    int last = -1;

    fixture_open(&f, options);
    test_fail_computation(0, 0);
    CHECK_OK(run_all(&f, &err), &err);
    count = test_computations();
    CHECK_STATUS(sftn_plan_read(f.plan, "loss", &want.loss, NULL), SFTN_OK);
    want.grad = malloc((size_t)sftn_params_weight_size(f.params) * sizeof *want.grad);
    memcpy(want.grad, sftn_params_grad(f.params, 0),
           (size_t)sftn_params_weight_size(f.params) * sizeof *want.grad);
    for (long n = 1; n <= count; n++) {
        const bool memory = n % 2 == 0;
        int step;

        test_fail_computation(n, memory ? dnnl_out_of_memory : dnnl_runtime_error);
        CHECK_STATUS(run_all(&f, &err), SFTN_ERR_BACKEND);
        step = named_step(&f, err.text, memory ? "out_of_memory" : "runtime_error");
        CHECK(step >= last);
        last = step;
        for (size_t i = 0; i < SFTN_COUNT(expected); i++)
            seen[i] = seen[i] || strstr(err.text, expected[i]) != NULL;
        test_fail_computation(0, 0);
        CHECK_OK(sftn_plan_run(f.plan, &err), &err);
        check_results(&f, &want);
    }
    for (size_t i = 0; i < SFTN_COUNT(expected); i++)
        CHECK(seen[i]);
    free(want.grad);
    fixture_close(&f);
}

TEST(every_kernel_that_fails_is_named_and_the_plan_runs_again)
{
    sftn_set_threads(1);
    check_each(&(const sftn_plan_options){.no_winograd = true});
    sftn_set_threads(0);
}

/* A weight gradient is then two computations at the same time, and either may fail. */
TEST(so_is_one_of_the_parts_that_threads_compute)
{
    sftn_set_threads(2);
    check_each(&(const sftn_plan_options){.no_winograd = true});
    check_each(&(const sftn_plan_options){.no_winograd = true, .precision = SFTN_BFLOAT16});
    sftn_set_threads(0);
}

/* Of a plan that has not run yet: neither what is computed once nor the profile counts as done. */
TEST(a_plan_whose_first_run_fails_begins_anew)
{
    const sftn_plan_options options = {.no_winograd = true, .profile = true};
    sftn_error err = {.status = SFTN_OK};
    double loss, want;
    fixture f, whole;
    long n = 0;

    fixture_open(&whole, &options);
    CHECK_OK(sftn_plan_run(whole.plan, &err), &err);
    CHECK_STATUS(sftn_plan_read(whole.plan, "loss", &want, NULL), SFTN_OK);
    fixture_close(&whole);
    fixture_open(&f, &options);
    test_fail_computation(1, dnnl_runtime_error);
    CHECK_FAILS(sftn_plan_run(f.plan, &err), SFTN_ERR_BACKEND, &err, "frozen step ");
    do
        test_fail_computation(++n, dnnl_runtime_error);
    while (sftn_plan_run(f.plan, &err) && strncmp(err.text, "step ", 5) != 0);
    CHECK_STATUS(err.status, SFTN_ERR_BACKEND);
    CHECK_INT(f.plan->runs, 0);
    test_fail_computation(0, 0);
    CHECK_OK(sftn_plan_run(f.plan, &err), &err);
    CHECK_INT(f.plan->runs, 1);
    CHECK_STATUS(sftn_plan_read(f.plan, "loss", &loss, NULL), SFTN_OK);
    CHECK_BYTES(&loss, &want, sizeof loss);
    fixture_close(&f);
}
