/* profile: what is counted of a plan's steps, and the roofline. */
#include "sftn/profile.h"

#include "sftn/nn.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 2, C = 16, SIZE = 8, RUNS = 5 };

typedef struct fixture {
    sftn_graph *g;
    sftn_params *params;
    sftn_plan *plan;
} fixture;

/* Two equal 3x3 convolutions and a dense layer to 10 classes, with gradients. */
static void fixture_open(fixture *f, sftn_plan_options options)
{
    sftn_scope s = {.training = true};
    sftn_error err = {.status = SFTN_OK};
    const sftn_conv conv = {.filters = C, .size = 3};
    sftn_value x;

    f->g = s.g = sftn_graph_new();
    f->params = s.params = sftn_params_new();
    x = sftn_graph_input(f->g, "x", (sftn_type){SFTN_SHAPE(N, C, SIZE, SIZE), false});
    x = sftn_nn_conv(&s, "conv1", x, conv);
    x = sftn_nn_conv(&s, "conv2", sftn_relu(f->g, x), conv);
    x = sftn_nn_dense(&s, "fc", sftn_flatten(f->g, sftn_global_avg_pool(f->g, x)),
                      (sftn_dense){.units = 10});
    x = sftn_mean(f->g, sftn_square(f->g, x), SFTN_ALL_AXES);
    CHECK_STATUS(sftn_graph_backward(f->g, x, NULL, NULL), SFTN_OK);
    sftn_params_init(f->params, 1);
    CHECK_OK(sftn_plan_new(f->g, &options, &f->plan, &err), &err);
    for (int i = 0; i < RUNS; i++)
        CHECK_OK(sftn_plan_run(f->plan, &err), &err);
}

static void fixture_close(fixture *f)
{
    sftn_plan_free(f->plan);
    sftn_graph_free(f->g);
    sftn_params_free(f->params);
}

/* Two for each multiply-add; the first convolution needs no gradient of its input. */
static double expected_flops(void)
{
    const double conv = 2.0 * N * C * SIZE * SIZE * C * 9, dense = 2.0 * N * C * 10;

    return 5.0 * conv + 3.0 * dense;
}

TEST(products_are_counted_by_their_definition_however_they_are_computed)
{
    for (int winograd = 0; winograd < 2; winograd++) {
        fixture f;

        fixture_open(&f, (sftn_plan_options){.no_winograd = !winograd});
        CHECK_NEAR(sftn_plan_get_stats(f.plan).product_flops, expected_flops(), 0.5);
        fixture_close(&f);
    }
}

TEST(rows_add_up_to_the_plan)
{
    double flops = 0.0, seconds = 1e9;
    int nrows, steps = 0, twice = 0;
    sftn_profile_row *row;
    sftn_error err = {.status = SFTN_OK};
    fixture f;

    fixture_open(&f, (sftn_plan_options){.profile = true});
    CHECK_OK(sftn_plan_profile(f.plan, &row, &nrows, &err), &err);
    for (int i = 0; i < nrows; i++) {
        steps += row[i].steps;
        flops += row[i].product ? row[i].flops : 0.0;
        twice += row[i].steps == 2 && strcmp(row[i].op, "conv2d") == 0;
        CHECK(row[i].bytes > 0.0 && row[i].seconds > 0.0 && row[i].seconds <= seconds);
        CHECK_CONTAINS(row[i].shapes, "-> [");
        seconds = row[i].seconds;
    }
    CHECK_INT(steps, sftn_plan_get_stats(f.plan).steps);
    CHECK_NEAR(flops, expected_flops(), 0.5);
    CHECK_INT(twice, 1);
    free(row);
    fixture_close(&f);
}

TEST(a_plan_that_was_not_profiled_says_so)
{
    sftn_error err = {.status = SFTN_OK};
    sftn_profile_row *row;
    int nrows;
    fixture f;

    fixture_open(&f, (sftn_plan_options){.profile = false});
    CHECK_FAILS(sftn_plan_profile(f.plan, &row, &nrows, &err), SFTN_ERR_ARGUMENT, &err,
                "without options.profile");
    CHECK(row == NULL);
    fixture_close(&f);
}

TEST(the_roofline_is_the_slower_of_arithmetic_and_copy)
{
    const sftn_peak peak = {.flops = 100e9, .copy_bytes = {8e9, 8e9, 8e9, 8e9, 8e9, 4e9, 2e9}};

    CHECK_NEAR(sftn_roofline_seconds(&peak, 1e9, 8.0), 0.01, 1e-12);
    CHECK_NEAR(sftn_roofline_seconds(&peak, 0.0, 8192.0), 8192.0 / 8e9, 1e-12);
    CHECK_NEAR(sftn_roofline_seconds(&peak, 0.0, sftn_copy_size(5)), sftn_copy_size(5) / 4e9,
               1e-9);
    CHECK_NEAR(sftn_roofline_seconds(&peak, 0.0, 2.0 * sftn_copy_size(5)),
               2.0 * sftn_copy_size(5) / 3e9, 1e-9); /* half-way to the next size */
    CHECK_NEAR(sftn_roofline_seconds(&peak, 1.0, 1e9), 1e9 / 2e9, 1e-9);
    CHECK_NEAR(sftn_roofline_seconds(&peak, 0.0, 0.0), 0.0, 1e-12);
}

/* On one thread: several wait for each other where other programs keep the processor busy. */
TEST(the_machine_has_a_peak_in_every_precision)
{
    sftn_set_threads(1);
    for (int precision = SFTN_FLOAT32; precision <= SFTN_BFLOAT16; precision++) {
        sftn_error err = {.status = SFTN_OK};
        sftn_peak peak;

        CHECK_OK(sftn_measure_peak((sftn_precision)precision, &peak, &err), &err);
        CHECK(peak.isa[0] != '\0' && isfinite(peak.flops) && peak.flops > 1e8);
        for (int i = 0; i < SFTN_COPY_SIZES; i++)
            CHECK(isfinite(peak.copy_bytes[i]) && peak.copy_bytes[i] > 1e7);
    }
    sftn_set_threads(0);
}
