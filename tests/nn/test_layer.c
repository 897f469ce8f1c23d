/* layer: parameters and how they begin, running statistics, values against hand-worked numbers. */
#include "graph/op.h"
#include "net.h"
#include "test.h"

#include <math.h>
#include <string.h>

static float *value_of(const net *n, const char *name)
{
    const int i = sftn_params_find(n->params, name);

    CHECK(i >= 0);
    return sftn_params_value(n->params, i);
}

/* Mean square of an entry. */
static double mean_square(const net *n, const char *name)
{
    const float *v = value_of(n, name);
    const int64_t count = sftn_params_get(n->params, sftn_params_find(n->params, name))->count;
    double sum = 0.0;

    for (int64_t i = 0; i < count; i++)
        sum += (double)v[i] * (double)v[i];
    return sum / (double)count;
}

TEST(weights_begin_as_in_pytorch)
{
    net n = net_new();
    const sftn_scope s = net_scope(&n, true);
    sftn_value x = net_input(&n, "x", 2, 32, 8, 8);

    sftn_nn_conv(&s, "he", x,
                 (sftn_conv){.filters = 64, .size = 3, .init = SFTN_WEIGHT_KAIMING_FAN_OUT});
    sftn_nn_conv(&s, "plain", x, (sftn_conv){.filters = 64, .size = 3, .bias = true});
    sftn_nn_conv_transpose(&s, "up", x,
                           (sftn_conv){.filters = 16, .size = 4, .stride = 2, .pad = 1});
    sftn_params_init(n.params, 1);
    /* Kaiming: 2 / (9 * 64); uniform in +-b: b^2 / 3 with b^2 = 1 / fan_in, 288 and 16 * 16. */
    CHECK_NEAR(mean_square(&n, "he.weight") * 288.0, 1.0, 0.05);
    CHECK_NEAR(mean_square(&n, "plain.weight") * 3.0 * 288.0, 1.0, 0.05);
    CHECK_NEAR(mean_square(&n, "plain.bias") * 3.0 * 288.0, 1.0, 0.5);
    CHECK_NEAR(mean_square(&n, "up.weight") * 3.0 * 256.0, 1.0, 0.05);
    net_free(&n);
}

TEST(dense_bias_begins_at_zero_on_request)
{
    net n = net_new();
    const sftn_scope s = net_scope(&n, true);
    sftn_value x = net_input(&n, "x", 2, 16, 1, 1);

    sftn_nn_dense(&s, "a", x, (sftn_dense){.units = 100});
    sftn_nn_dense(&s, "b", x, (sftn_dense){.units = 100, .zero_bias = true});
    sftn_params_init(n.params, 1);
    CHECK_NEAR(mean_square(&n, "a.bias") * 3.0 * 16.0, 1.0, 0.4);
    CHECK(mean_square(&n, "b.bias") == 0.0);
    net_free(&n);
}

/* Channel 0 holds 1, 2, 3, 6 and channel 1 -1, 1, -1, 1, as [2,2,1,2]. */
static const double two_channels[] = {1, 2, -1, 1, 3, 6, -1, 1};

TEST(running_statistics_take_a_tenth_of_the_unbiased_estimate)
{
    net n = net_new();
    const sftn_scope s = net_scope(&n, true);
    sftn_value y = sftn_nn_batch_norm(&s, "bn", net_input(&n, "x", 2, 2, 1, 2));
    double out[8];

    sftn_graph_output(n.g, "y", y);
    sftn_params_init(n.params, 1);
    net_compile(&n);
    net_write(&n, "x", two_channels);
    net_run(&n);
    net_read(&n, "y", out);
    /* mean 3, biased variance 3.5, unbiased 14/3; mean 0, biased 1, unbiased 4/3 */
    CHECK_NEAR(out[0], -2.0 / sqrt(3.5 + 1e-5), 1e-9);
    CHECK_NEAR(out[2], -1.0 / sqrt(1.0 + 1e-5), 1e-9);
    CHECK_NEAR(value_of(&n, "bn.running_mean")[0], 0.3, 1e-6);
    CHECK_NEAR(value_of(&n, "bn.running_var")[0], 0.9 + 0.1 * 14.0 / 3.0, 1e-6);
    CHECK_NEAR(value_of(&n, "bn.running_var")[1], 0.9 + 0.1 * 4.0 / 3.0, 1e-6);
    CHECK_NEAR(value_of(&n, "bn.num_batches_tracked")[0], 1.0, 0.0);
    net_run(&n);
    CHECK_NEAR(value_of(&n, "bn.running_mean")[0], 0.3 * 0.9 + 0.3, 1e-6);
    CHECK_NEAR(value_of(&n, "bn.num_batches_tracked")[0], 2.0, 0.0);
    net_free(&n);
}

TEST(a_name_used_twice_is_tracked_twice)
{
    net n = net_new();
    const sftn_scope s = net_scope(&n, true);
    sftn_value x = net_input(&n, "x", 2, 2, 1, 2);
    sftn_value y = sftn_nn_batch_norm(&s, "bn", x);
    sftn_value z = sftn_nn_batch_norm(&s, "bn", sftn_scale(n.g, x, 2.0f));

    sftn_graph_output(n.g, "y", sftn_add(n.g, y, z));
    sftn_params_init(n.params, 1);
    net_compile(&n);
    net_write(&n, "x", two_channels);
    net_run(&n);
    CHECK_NEAR(value_of(&n, "bn.running_mean")[0], 0.9 * 0.3 + 0.1 * 6.0, 1e-6);
    CHECK_NEAR(value_of(&n, "bn.num_batches_tracked")[0], 2.0, 0.0);
    net_free(&n);
}

/* Output 0 of y = batch_norm(x) with running statistics 1 and 4, weight 3, bias 5. */
static double run_fixed(net *n, const sftn_scope *s)
{
    double out[8];

    sftn_graph_output(n->g, "y", sftn_nn_batch_norm(s, "bn", net_input(n, "x", 2, 2, 1, 2)));
    for (int i = 0; i < n->g->nsinks; i++)
        CHECK(n->g->sink[i].kind == SFTN_SINK_OUTPUT);
    for (int c = 0; c < 2; c++) {
        value_of(n, "bn.running_mean")[c] = 1.0f;
        value_of(n, "bn.running_var")[c] = 4.0f;
        value_of(n, "bn.weight")[c] = 3.0f;
        value_of(n, "bn.bias")[c] = 5.0f;
    }
    net_compile(n);
    net_write(n, "x", two_channels);
    net_run(n);
    net_read(n, "y", out);
    CHECK_NEAR(value_of(n, "bn.running_mean")[0], 1.0, 0.0);
    return out[5];
}

TEST(evaluation_uses_running_statistics_and_leaves_them)
{
    net n = net_new();
    const sftn_scope s = net_scope(&n, false);

    CHECK_NEAR(run_fixed(&n, &s), (6.0 - 1.0) / sqrt(4.0 + 1e-5) * 3.0 + 5.0, 1e-9);
    net_free(&n);
}

TEST(a_frozen_scope_does_not_train_even_when_asked)
{
    net n = net_new();
    sftn_scope s = net_scope(&n, true);

    s.frozen = true;
    CHECK_NEAR(run_fixed(&n, &s), (6.0 - 1.0) / sqrt(4.0 + 1e-5) * 3.0 + 5.0, 1e-9);
    for (int i = 0; i < n.g->nnodes; i++)
        if (n.g->node[i].op == &sftn_op_leaf) {
            const sftn_leaf *leaf = n.g->node[i].attr;

            CHECK(leaf->kind != SFTN_LEAF_PARAM || leaf->frozen);
        }
    net_free(&n);
}

TEST(a_frozen_scope_may_use_batch_statistics_and_leaves_the_running_ones)
{
    net n = net_new();
    sftn_scope s = net_scope(&n, false);

    s.frozen = s.batch_norms = true;
    /* Channel 0 has mean 3 and variance 3.5. */
    CHECK_NEAR(run_fixed(&n, &s), (6.0 - 3.0) / sqrt(3.5 + 1e-5) * 3.0 + 5.0, 1e-9);
    net_free(&n);
}

TEST(dense_is_a_matrix_product_plus_bias)
{
    net n = net_new();
    const sftn_scope s = net_scope(&n, true);
    static const float weight[] = {1, 2, 3, 4, 5, 6}, bias[] = {10, 20};
    static const double x[] = {1, 0, -1, 2, 1, 0};
    double out[4];

    sftn_graph_output(n.g, "y", sftn_nn_dense(&s, "fc", net_input(&n, "x", 2, 3, 1, 1),
                                              (sftn_dense){.units = 2}));
    memcpy(value_of(&n, "fc.weight"), weight, sizeof weight);
    memcpy(value_of(&n, "fc.bias"), bias, sizeof bias);
    net_compile(&n);
    net_write(&n, "x", x);
    net_run(&n);
    net_read(&n, "y", out);
    CHECK_NEAR(out[0], 8.0, 1e-12);
    CHECK_NEAR(out[1], 18.0, 1e-12);
    CHECK_NEAR(out[2], 14.0, 1e-12);
    CHECK_NEAR(out[3], 33.0, 1e-12);
    net_free(&n);
}

TEST(wrong_sizes_are_named)
{
    net n = net_new();
    const sftn_scope root = net_scope(&n, true), s = sftn_scope_in(&root, "layer%d", 3);
    sftn_error err;

    CHECK(sftn_is_none(sftn_nn_conv(&s, "conv", net_input(&n, "x", 1, 3, 8, 8),
                                    (sftn_conv){.filters = 4, .size = 3, .groups = 2})));
    CHECK_FAILS(sftn_graph_status(n.g, &err), SFTN_ERR_ARGUMENT, &err, "layer3: conv: 3 channels");
    net_free(&n);
}

TEST(one_value_per_channel_cannot_be_trained_on)
{
    net n = net_new();
    const sftn_scope s = net_scope(&n, true);
    sftn_error err;

    sftn_nn_batch_norm(&s, "bn", net_input(&n, "x", 1, 3, 1, 1));
    CHECK_FAILS(sftn_graph_status(n.g, &err), SFTN_ERR_ARGUMENT, &err, "one value per channel");
    net_free(&n);
}

TEST(scopes_join_their_names_with_dots)
{
    net n = net_new();
    sftn_scope root = net_scope(&n, true), a, b;
    sftn_error err;

    root.label = "teacher";
    a = sftn_scope_in(&root, "layer%d", 1);
    b = sftn_scope_in(&a, "%d", 0);
    CHECK_TEXT(b.name, "layer1.0");
    CHECK_TEXT(n.g->scope, "teacher.layer1.0");
    sftn_scope_in(&b, "%0200d", 1);
    CHECK_FAILS(sftn_graph_status(n.g, &err), SFTN_ERR_ARGUMENT, &err, "exceeds");
    net_free(&n);
}
