/* plan: equal results, no overlap in memory, frozen parts computed once, no allocation in a run. */
#include "plan/plan.h"
#include "sftn/nn.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { N = 3, C = 5, SIZE = 6, FILTERS = 4 };

/* A little network with all that matters: frozen convolution, batch norm, residual sum, view. */
typedef struct fixture {
    sftn_graph *g;
    sftn_params *params, *frozen;
    sftn_plan *plan;
    double x[N * C * SIZE * SIZE];
} fixture;

static void build(fixture *f)
{
    sftn_scope s = {.training = true}, fixed = {.frozen = true};
    sftn_value x, h, y;

    f->g = s.g = fixed.g = sftn_graph_new();
    s.params = f->params;
    fixed.params = f->frozen;
    x = sftn_graph_input(f->g, "x", (sftn_type){SFTN_SHAPE(N, C, SIZE, SIZE), false});
    h = sftn_nn_conv(&fixed, "conv0", x, (sftn_conv){.filters = FILTERS, .size = 3});
    h = sftn_relu(f->g, sftn_nn_batch_norm(&fixed, "bn0", h));
    y = sftn_nn_conv(&s, "conv1", h, (sftn_conv){.filters = FILTERS, .size = 3});
    y = sftn_relu(f->g, sftn_add(f->g, sftn_nn_batch_norm(&s, "bn1", y), h));
    sftn_graph_output(f->g, "y", y);
    y = sftn_mean(f->g, sftn_square(f->g, sftn_flatten(f->g, y)), SFTN_ALL_AXES);
    sftn_graph_output(f->g, "loss", y);
    CHECK_STATUS(sftn_graph_backward(f->g, y, NULL, NULL), SFTN_OK);
}

static void fixture_open(fixture *f, const char *backend, sftn_precision precision, bool no_fusion)
{
    const sftn_plan_options options = {
        .backend = backend, .precision = precision, .no_fusion = no_fusion};
    sftn_error err = {.status = SFTN_OK};
    sftn_rng rng = sftn_rng_new(7, SFTN_RNG_TEST, 0);

    f->params = sftn_params_new();
    f->frozen = sftn_params_new();
    build(f);
    sftn_params_init(f->params, 1);
    sftn_params_init(f->frozen, 2);
    CHECK_OK(sftn_plan_new(f->g, &options, &f->plan, &err), &err);
    for (size_t i = 0; i < SFTN_COUNT(f->x); i++)
        f->x[i] = sftn_rng_uniform(&rng) * 2.0 - 1.0;
    CHECK_OK(sftn_plan_write(f->plan, "x", f->x, &err), &err);
}

static void fixture_close(fixture *f)
{
    sftn_plan_free(f->plan);
    sftn_graph_free(f->g);
    sftn_params_free(f->params);
    sftn_params_free(f->frozen);
}

static void compare(const char *backend, sftn_precision precision, bool no_fusion, double tolerance)
{
    static double y[2][N * FILTERS * SIZE * SIZE];
    fixture f[2];
    double loss[2];

    fixture_open(&f[0], "ref", SFTN_FLOAT32, true);
    fixture_open(&f[1], backend, precision, no_fusion);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(sftn_plan_run(f[i].plan, NULL), NULL);
        CHECK_STATUS(sftn_plan_read(f[i].plan, "y", y[i], NULL), SFTN_OK);
        CHECK_STATUS(sftn_plan_read(f[i].plan, "loss", &loss[i], NULL), SFTN_OK);
    }
    CHECK_NEAR(loss[1], loss[0], tolerance);
    for (size_t i = 0; i < SFTN_COUNT(y[0]); i++)
        CHECK_NEAR(y[1][i], y[0][i], 4.0 * tolerance);
    for (int64_t i = 0; i < sftn_params_weight_size(f[0].params); i++)
        CHECK_NEAR((double)sftn_params_grads(f[1].params)[i],
                   (double)sftn_params_grads(f[0].params)[i], tolerance);
    for (int64_t i = 0; i < sftn_params_state_size(f[0].params); i++)
        CHECK_NEAR((double)sftn_params_states(f[1].params)[i],
                   (double)sftn_params_states(f[0].params)[i], tolerance);
    fixture_close(&f[0]);
    fixture_close(&f[1]);
}

TEST(cpu_equals_ref_in_float32)
{
    compare("cpu", SFTN_FLOAT32, false, 1e-5);
    compare("cpu", SFTN_FLOAT32, true, 1e-5);
}

TEST(cpu_is_near_ref_in_bfloat16)
{
    compare("cpu", SFTN_BFLOAT16, false, 2e-2);
    compare("cpu", SFTN_BFLOAT16, true, 2e-2);
}

/* Two runs of one plan, and two plans of one graph, give the same bits. */
TEST(runs_are_bit_equal)
{
    fixture f[2];
    float first[2048];
    size_t bytes;

    for (int i = 0; i < 2; i++)
        fixture_open(&f[i], "cpu", SFTN_BFLOAT16, false);
    bytes = (size_t)sftn_params_weight_size(f[0].params) * sizeof(float);
    CHECK(bytes <= sizeof first);
    CHECK_OK(sftn_plan_run(f[0].plan, NULL), NULL);
    memcpy(first, sftn_params_grads(f[0].params), bytes);
    CHECK_OK(sftn_plan_run(f[0].plan, NULL), NULL);
    CHECK_OK(sftn_plan_run(f[1].plan, NULL), NULL);
    CHECK_BYTES(sftn_params_grads(f[0].params), first, bytes);
    CHECK_BYTES(sftn_params_grads(f[1].params), first, bytes);
    fixture_close(&f[0]);
    fixture_close(&f[1]);
}

/* A poisoned arena changes nothing: no step reads what none has written. */
TEST(nothing_is_read_before_it_is_written)
{
    fixture f;
    float first[2048];
    size_t bytes;

    fixture_open(&f, "cpu", SFTN_FLOAT32, false);
    bytes = (size_t)sftn_params_weight_size(f.params) * sizeof(float);
    CHECK_OK(sftn_plan_run(f.plan, NULL), NULL);
    memcpy(first, sftn_params_grads(f.params), bytes);
    memset(f.plan->arena, 0xFF, f.plan->arena_bytes);
    CHECK_OK(sftn_plan_run(f.plan, NULL), NULL);
    CHECK_BYTES(sftn_params_grads(f.params), first, bytes);
    fixture_close(&f);
}

TEST(buffers_alive_together_do_not_overlap)
{
    fixture f;

    fixture_open(&f, "cpu", SFTN_BFLOAT16, false);
    for (int i = 0; i < f.plan->nbuffers; i++)
        for (int k = 0; k < i; k++) {
            const sftn_buffer *a = &f.plan->buffer[i], *b = &f.plan->buffer[k];

            if (a->place != SFTN_PLACE_ARENA || b->place != SFTN_PLACE_ARENA || a->first < 0 ||
                b->first < 0 || a->first > b->last || b->first > a->last)
                continue;
            CHECK(a->offset + a->desc.bytes <= b->offset || b->offset + b->desc.bytes <= a->offset);
        }
    CHECK(f.plan->arena_bytes < f.plan->value_bytes);
    fixture_close(&f);
}

TEST(frozen_parts_are_computed_once_and_refreshed_on_request)
{
    fixture f;
    double before, same, after;

    fixture_open(&f, "cpu", SFTN_FLOAT32, false);
    CHECK(f.plan->frozen.n > 0);
    CHECK_OK(sftn_plan_run(f.plan, NULL), NULL);
    CHECK_STATUS(sftn_plan_read(f.plan, "loss", &before, NULL), SFTN_OK);
    sftn_params_weights(f.frozen)[0] += 1.0f;
    CHECK_OK(sftn_plan_run(f.plan, NULL), NULL);
    CHECK_STATUS(sftn_plan_read(f.plan, "loss", &same, NULL), SFTN_OK);
    CHECK_OK(sftn_plan_refresh(f.plan, NULL), NULL);
    CHECK_OK(sftn_plan_run(f.plan, NULL), NULL);
    CHECK_STATUS(sftn_plan_read(f.plan, "loss", &after, NULL), SFTN_OK);
    CHECK(before == same);
    CHECK(before != after);
    fixture_close(&f);
}

/* The frozen network's batch norm is part of its convolution's weights and one shift. */
TEST(frozen_batch_norm_is_folded)
{
    fixture f;
    int convolutions = 0, multiplications = 0;

    fixture_open(&f, "cpu", SFTN_FLOAT32, false);
    for (int i = 0; i < f.plan->graph->nnodes; i++) {
        const sftn_node *n = &f.plan->graph->node[i];
        const sftn_fused_attr *a = n->attr;

        convolutions += strcmp(n->op->name, "conv2d") == 0;
        if (n->op != &sftn_op_fused || strstr(n->scope, "bn0") == NULL ||
            a->shape.dim[SFTN_N] == 1)
            continue;
        for (int k = 0; k < a->ncode; k++)
            multiplications += a->code[k].op == SFTN_PW_mul;
    }
    CHECK_INT(convolutions, 2);
    CHECK_INT(multiplications, 0);
    fixture_close(&f);
}

/* Batch norm's shift, the residual sum and the ReLU are one step. */
TEST(batch_norm_add_and_relu_are_one_program)
{
    fixture f;
    bool found = false;

    fixture_open(&f, "cpu", SFTN_FLOAT32, false);
    for (int i = 0; i < f.plan->graph->nnodes; i++) {
        const sftn_node *n = &f.plan->graph->node[i];
        const sftn_fused_attr *a = n->attr;

        if (n->op == &sftn_op_fused && a->ncode == 4 && a->code[0].op == SFTN_PW_mul &&
            a->code[1].op == SFTN_PW_add && a->code[2].op == SFTN_PW_add &&
            a->code[3].op == SFTN_PW_relu)
            found = true;
    }
    CHECK(found);
    fixture_close(&f);
}

TEST(a_run_allocates_nothing)
{
    fixture f;

    fixture_open(&f, "cpu", SFTN_BFLOAT16, false);
    CHECK_OK(sftn_plan_run(f.plan, NULL), NULL);
    test_fail_allocation(0);
    for (int i = 0; i < 10; i++)
        CHECK_OK(sftn_plan_run(f.plan, NULL), NULL);
    CHECK_INT(test_allocations(), 0);
    fixture_close(&f);
}

/* Whatever allocation fails while compiling, the error says so and nothing leaks or crashes. */
TEST(out_of_memory_is_an_error)
{
    const sftn_plan_options options = {.backend = "ref"};
    sftn_status status = SFTN_ERR_MEMORY;
    fixture f = {.plan = NULL};
    sftn_error err;

    f.params = sftn_params_new();
    f.frozen = sftn_params_new();
    build(&f);
    for (long n = 1; status != SFTN_OK; n++) {
        test_fail_allocation(n);
        status = sftn_plan_new(f.g, &options, &f.plan, &err);
        test_fail_allocation(0);
        CHECK(status == SFTN_OK || (status == SFTN_ERR_MEMORY && f.plan == NULL));
        CHECK(n < 100000);
    }
    fixture_close(&f);
}

TEST(wrong_names_are_named)
{
    fixture f;
    sftn_error err;
    double x;

    fixture_open(&f, "cpu", SFTN_FLOAT32, false);
    CHECK_FAILS(sftn_plan_write(f.plan, "z", f.x, &err), SFTN_ERR_ARGUMENT, &err, "'z'");
    CHECK_FAILS(sftn_plan_read(f.plan, "los", &x, &err), SFTN_ERR_ARGUMENT, &err, "'los'");
    CHECK_FAILS(sftn_plan_new(f.g, &(sftn_plan_options){.backend = "cpus"}, &(sftn_plan *){NULL},
                              &err),
                SFTN_ERR_ARGUMENT, &err, "did you mean \"cpu\"");
    fixture_close(&f);
}
