/* share: outputs asked for, plans that feed one another, and memory used in turn. */
#include "plan/plan.h"
#include "sftn/nn.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { N = 2, C = 3, SIZE = 8, FILTERS = 4, COUNT = N * FILTERS * SIZE * SIZE };

/* Values on the way of y, all published: sums that one formula reads, kept in float registers. */
static sftn_graph *network(sftn_params *params)
{
    const sftn_scope s = {.g = sftn_graph_new(), .params = params, .frozen = true};
    sftn_value x = sftn_graph_input(s.g, "x", (sftn_type){SFTN_SHAPE(N, C, SIZE, SIZE), false});
    sftn_value h = sftn_nn_conv(&s, "conv1", x, (sftn_conv){.filters = FILTERS, .size = 3});
    sftn_value sum, y;

    sum = sftn_add(s.g, sftn_nn_batch_norm(&s, "bn1", h), h);
    sftn_graph_output(s.g, "sum", sum);
    h = sftn_nn_batch_norm(&s, "bn2", sum);
    sftn_graph_output(s.g, "h", h);
    y = sftn_nn_conv(&s, "conv2", sftn_relu(s.g, h), (sftn_conv){.filters = FILTERS, .size = 3});
    sftn_graph_output(s.g, "y", y);
    CHECK_STATUS(sftn_graph_status(s.g, NULL), SFTN_OK);
    sftn_params_init(params, 3);
    return s.g;
}

static void write_image(sftn_plan *plan, const char *name, uint64_t seed)
{
    sftn_rng rng = sftn_rng_new(seed, SFTN_RNG_TEST, 0);
    double x[N * C * SIZE * SIZE];

    for (size_t i = 0; i < SFTN_COUNT(x); i++)
        x[i] = sftn_rng_uniform(&rng) * 2.0 - 1.0;
    CHECK_STATUS(sftn_plan_write(plan, name, x, NULL), SFTN_OK);
}

static sftn_plan *compile(const sftn_graph *g, const sftn_plan_options *options)
{
    sftn_error err = {0};
    sftn_plan *plan;

    CHECK_OK(sftn_plan_new(g, options, &plan, &err), &err);
    return plan;
}

/* The output `name` of the network, asked for together with `outputs` (NULL: all). */
static void read_beside(const sftn_graph *g, const char *const *outputs, const char *name,
                        double *value)
{
    sftn_plan_options options = {.precision = SFTN_BFLOAT16, .outputs = outputs};
    sftn_plan *plan = compile(g, &options);

    write_image(plan, "x", 1);
    CHECK_OK(sftn_plan_run(plan, NULL), NULL);
    CHECK_STATUS(sftn_plan_read(plan, name, value, NULL), SFTN_OK);
    sftn_plan_free(plan);
}

TEST(an_output_has_the_same_bits_whatever_else_is_asked_for)
{
    static const char *const names[] = {"sum", "h", "y"};
    sftn_params *params = sftn_params_new();
    sftn_graph *g = network(params);
    double all[COUNT], alone[COUNT];

    for (int i = 0; i < 3; i++) {
        const char *const one[] = {names[i], NULL};

        read_beside(g, NULL, names[i], all);
        read_beside(g, one, names[i], alone);
        CHECK_BYTES(alone, all, sizeof all);
    }
    sftn_graph_free(g);
    sftn_params_free(params);
}

TEST(what_only_other_outputs_need_is_not_computed)
{
    static const char *const sum[] = {"sum", NULL}, *const wrong[] = {"sun", NULL};
    sftn_params *params = sftn_params_new();
    sftn_graph *g = network(params);
    sftn_plan_options options = {.outputs = NULL};
    sftn_plan *all = compile(g, &options), *one;
    sftn_error err = {0};

    options.outputs = sum;
    one = compile(g, &options);
    CHECK(sftn_plan_get_stats(one).steps < sftn_plan_get_stats(all).steps);
    CHECK_FAILS(sftn_plan_read(one, "y", &(double){0}, &err), SFTN_ERR_ARGUMENT, &err, "'y'");
    options.outputs = wrong;
    CHECK_FAILS(sftn_plan_new(g, &options, &(sftn_plan *){NULL}, &err), SFTN_ERR_ARGUMENT, &err,
                "no output called 'sun'");
    sftn_plan_free(all);
    sftn_plan_free(one);
    sftn_graph_free(g);
    sftn_params_free(params);
}

/* z = y + sum + mean(x), the network's image and outputs being inputs; *extra names one more. */
static sftn_graph *reader(sftn_type type)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = sftn_graph_input(g, "x", (sftn_type){SFTN_SHAPE(N, C, SIZE, SIZE), false});
    const sftn_value y = sftn_graph_input(g, "y", type), sum = sftn_graph_input(g, "sum", type);
    const sftn_value own = sftn_graph_input(g, "own", (sftn_type){SFTN_SHAPE(1, 1, 1, 1), true});
    const sftn_value z = sftn_add(g, sftn_add(g, y, sum), sftn_mean(g, x, SFTN_AXES_CHW));

    sftn_graph_output(g, "z", sftn_mul(g, z, own));
    CHECK_STATUS(sftn_graph_status(g, NULL), SFTN_OK);
    return g;
}

TEST(a_fed_plan_reads_inputs_where_they_lie)
{
    static const sftn_precision precisions[] = {SFTN_FLOAT32, SFTN_BFLOAT16};
    const sftn_type type = {SFTN_SHAPE(N, FILTERS, SIZE, SIZE), false};
    const float two = 2.0f;
    sftn_params *params = sftn_params_new();
    sftn_graph *g = network(params), *r = reader(type);

    for (int i = 0; i < 2; i++) {
        sftn_plan_options options = {.precision = precisions[i]};
        sftn_plan *source = compile(g, &options), *fed, *copied = compile(r, &options);
        double z[COUNT], expected[COUNT], value[COUNT];

        options.feeder = source;
        fed = compile(r, &options);
        CHECK(sftn_plan_input(fed, "x")->data == sftn_plan_input(source, "x")->data);
        CHECK(sftn_plan_port_buffer(fed, "y")->data == sftn_plan_port_buffer(source, "y")->data);
        for (int run = 0; run < 2; run++) {
            write_image(source, "x", (uint64_t)run);
            write_image(copied, "x", (uint64_t)run);
            CHECK_OK(sftn_plan_run(source, NULL), NULL);
            CHECK_STATUS(sftn_plan_read(source, "y", value, NULL), SFTN_OK);
            CHECK_STATUS(sftn_plan_write(copied, "y", value, NULL), SFTN_OK);
            CHECK_STATUS(sftn_plan_read(source, "sum", value, NULL), SFTN_OK);
            CHECK_STATUS(sftn_plan_write(copied, "sum", value, NULL), SFTN_OK);
            CHECK_STATUS(sftn_plan_write_float(copied, "own", &two, NULL), SFTN_OK);
            CHECK_STATUS(sftn_plan_write_float(fed, "own", &two, NULL), SFTN_OK);
            CHECK_OK(sftn_plan_run(copied, NULL), NULL);
            CHECK_OK(sftn_plan_run(fed, NULL), NULL);
            CHECK_STATUS(sftn_plan_read(copied, "z", expected, NULL), SFTN_OK);
            CHECK_STATUS(sftn_plan_read(fed, "z", z, NULL), SFTN_OK);
            CHECK_BYTES(z, expected, sizeof z);
        }
        sftn_plan_free(fed);
        sftn_plan_free(copied);
        sftn_plan_free(source);
    }
    sftn_graph_free(g);
    sftn_graph_free(r);
    sftn_params_free(params);
}

TEST(an_input_that_the_feeder_has_in_another_form_is_refused)
{
    const sftn_type other = {SFTN_SHAPE(N, FILTERS, 4, 4), false};
    const sftn_type same = {SFTN_SHAPE(N, FILTERS, SIZE, SIZE), false};
    sftn_params *params = sftn_params_new();
    sftn_graph *g = network(params), *wrong = sftn_graph_new(), *r = reader(same);
    sftn_plan_options options = {.precision = SFTN_BFLOAT16};
    sftn_plan *source = compile(g, &options), *plan;
    sftn_error err = {0};

    sftn_graph_output(wrong, "z", sftn_neg(wrong, sftn_graph_input(wrong, "y", other)));
    options.feeder = source;
    CHECK_FAILS(sftn_plan_new(wrong, &options, &plan, &err), SFTN_ERR_ARGUMENT, &err,
                "input 'y' is [2,4,4,4] here and [2,4,8,8] in the plan that feeds it");
    options.precision = SFTN_FLOAT32;
    CHECK_FAILS(sftn_plan_new(r, &options, &plan, &err), SFTN_ERR_ARGUMENT, &err,
                "expected the same shape, precision");
    CHECK(plan == NULL);
    sftn_plan_free(source);
    sftn_graph_free(g);
    sftn_graph_free(wrong);
    sftn_graph_free(r);
    sftn_params_free(params);
}

/* The mean of many activations of a size. */
static sftn_graph *large(int64_t size)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = sftn_graph_input(g, "x", (sftn_type){SFTN_SHAPE(N, C, SIZE, SIZE), false});
    sftn_value h = sftn_expand(g, sftn_mean(g, x, SFTN_AXES_CHW), SFTN_SHAPE(N, C, size, size));

    h = sftn_max_pool2d(g, h, (sftn_pool_spec){.size = 3, .stride = 1, .pad = 1});
    sftn_graph_output(g, "y", sftn_mean(g, sftn_exp(g, h), SFTN_AXES_CHW));
    return g;
}

TEST(plans_may_work_in_the_same_memory_by_turns)
{
    sftn_arena *arena = sftn_arena_new();
    sftn_plan_options options = {.precision = SFTN_FLOAT32};
    sftn_graph *g[3] = {large(8), large(200), large(16)};
    sftn_plan *own[3], *shared[3];
    double expected[3][N], y[N];

    CHECK(arena != NULL);
    for (int i = 0; i < 3; i++) {
        own[i] = compile(g[i], &options);
        options.arena = arena;
        shared[i] = compile(g[i], &options);
        options.arena = NULL;
    }
    for (int run = 0; run < 2; run++) {
        for (int i = 0; i < 3; i++) {
            write_image(own[i], "x", (uint64_t)(run + i));
            write_image(shared[i], "x", (uint64_t)(run + i));
            CHECK_OK(sftn_plan_run(own[i], NULL), NULL);
            memset(arena->memory, 0xFF, arena->bytes);
            CHECK_OK(sftn_plan_run(shared[i], NULL), NULL);
        }
        for (int i = 0; i < 3; i++) {
            CHECK_STATUS(sftn_plan_read(own[i], "y", expected[i], NULL), SFTN_OK);
            CHECK_STATUS(sftn_plan_read(shared[i], "y", y, NULL), SFTN_OK);
            CHECK_BYTES(y, expected[i], sizeof y);
            CHECK(shared[i]->arena == arena->memory);
        }
    }
    CHECK((int64_t)arena->bytes < sftn_plan_get_stats(shared[1]).arena_bytes + 4096);
    for (int i = 0; i < 3; i++) {
        sftn_plan_free(own[i]);
        sftn_plan_free(shared[i]);
        sftn_graph_free(g[i]);
    }
    sftn_arena_free(arena);
}
