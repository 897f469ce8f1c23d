/* loss: values against hand-worked numbers, and what losses promise of their gradients. */
#include "net.h"
#include "test.h"

#include <math.h>
#include <stdio.h>

TEST(cross_entropy_is_minus_the_mean_log_probability)
{
    net n = net_new();
    const double z[] = {0, log(2.0), log(5.0), 0, 0, 0}, y[] = {1, 2};
    double expected;

    sftn_value logits = net_input(&n, "z", 2, 3, 1, 1), labels = net_input(&n, "y", 2, 1, 1, 1);

    sftn_graph_output(n.g, "hard", sftn_cross_entropy(n.g, logits, labels, 0.0f));
    sftn_graph_output(n.g, "smooth", sftn_cross_entropy(n.g, logits, labels, 0.25f));
    net_compile(&n);
    net_write(&n, "z", z);
    net_write(&n, "y", y);
    net_run(&n);
    CHECK_NEAR(net_scalar(&n, "hard"), 0.5 * (log(8.0 / 2.0) + log(3.0)), 1e-12);
    /* 0.75 of the label's term and 0.25 of the mean over classes */
    expected = 0.75 * log(4.0) + 0.25 * (log(8.0) + log(4.0) + log(8.0 / 5.0)) / 3.0;
    expected = 0.5 * (expected + log(3.0));
    CHECK_NEAR(net_scalar(&n, "smooth"), expected, 1e-7);
    net_free(&n);
}

TEST(kl_divergence_of_two_coins)
{
    net n = net_new();
    /* p = (3/4, 1/4), q = (1/2, 1/2) at temperature 2 */
    static const double p[] = {2.0 * 1.0986122886681098, 0}, q[] = {1, 1};
    const double pq = 0.75 * log(1.5) + 0.25 * log(0.5), qp = 0.5 * log(2.0 / 3.0) + 0.5 * log(2.0);
    sftn_value a = net_input(&n, "p", 1, 2, 1, 1), b = net_input(&n, "q", 1, 2, 1, 1);

    sftn_graph_output(n.g, "pq", sftn_kl_divergence(n.g, a, b, 2.0f));
    sftn_graph_output(n.g, "qp", sftn_kl_divergence(n.g, b, a, 2.0f));
    net_compile(&n);
    net_write(&n, "p", p);
    net_write(&n, "q", q);
    net_run(&n);
    CHECK_NEAR(net_scalar(&n, "pq"), 4.0 * pq, 1e-12);
    CHECK_NEAR(net_scalar(&n, "qp"), 4.0 * qp, 1e-12);
    net_free(&n);
}

TEST(kl_divergence_reaches_both_sides)
{
    net n = net_new();
    sftn_value in[2] = {net_input(&n, "p", 2, 3, 1, 1), net_input(&n, "q", 2, 3, 1, 1)}, grad[2];
    double gp[6], gq[6], sum = 0.0, size = 0.0;

    CHECK_STATUS(sftn_graph_gradients(n.g, sftn_kl_divergence(n.g, in[0], in[1], 1.0f), in, 2,
                                      grad, NULL), SFTN_OK);
    sftn_graph_output(n.g, "gp", grad[0]);
    sftn_graph_output(n.g, "gq", grad[1]);
    net_compile(&n);
    net_write_random(&n, "p", 1);
    net_write_random(&n, "q", 2);
    net_run(&n);
    net_read(&n, "gp", gp);
    net_read(&n, "gq", gq);
    for (int i = 0; i < 6; i++) {
        sum += gp[i] + gq[i];
        size += fabs(gp[i]);
        CHECK(gq[i] != 0.0);
    }
    CHECK(size > 1e-3);
    CHECK_NEAR(sum, 0.0, 1e-12); /* adding a constant to all logits changes nothing */
    net_free(&n);
}

TEST(mse_is_a_mean_over_all_elements)
{
    net n = net_new();
    static const double a[] = {1, 2, 3, 4}, b[] = {1, 0, 3, 8};

    sftn_graph_output(n.g, "y", sftn_mse(n.g, net_input(&n, "a", 2, 2, 1, 1),
                                         net_input(&n, "b", 2, 2, 1, 1)));
    net_compile(&n);
    net_write(&n, "a", a);
    net_write(&n, "b", b);
    net_run(&n);
    CHECK_NEAR(net_scalar(&n, "y"), (4.0 + 16.0) / 4.0, 1e-12);
    net_free(&n);
}

TEST(normalized_rows_have_unit_length_and_rows_of_zeros_stay)
{
    net n = net_new();
    static const double x[] = {3, 4, 0, 0, 3e-8, 4e-8};
    sftn_value in = net_input(&n, "x", 3, 2, 1, 1), grad;
    sftn_value y = sftn_l2_normalize(n.g, in, SFTN_AXES_CHW);
    double out[6], slope[6];

    CHECK_STATUS(sftn_graph_gradients(n.g, sftn_sum(n.g, y, SFTN_ALL_AXES), &in, 1, &grad, NULL),
                 SFTN_OK);
    sftn_graph_output(n.g, "y", y);
    sftn_graph_output(n.g, "grad", grad);
    net_compile(&n);
    net_write(&n, "x", x);
    net_run(&n);
    net_read(&n, "y", out);
    net_read(&n, "grad", slope);
    CHECK_NEAR(out[0], 0.6, 1e-12);
    CHECK_NEAR(out[1], 0.8, 1e-12);
    CHECK(out[2] == 0.0 && out[3] == 0.0);
    CHECK_NEAR(out[4], 0.6, 1e-12); /* lengths down to 1e-12 count */
    /* (1 - y0 (y0 + y1)) / 5 */
    CHECK_NEAR(slope[0], (1.0 - 0.6 * 1.4) / 5.0, 1e-12);
    CHECK(slope[2] == 0.0 && slope[3] == 0.0);
    net_free(&n);
}

TEST(only_the_larger_map_is_pooled)
{
    net n = net_new();
    sftn_value large = net_input(&n, "a", 1, 2, 8, 8), small = net_input(&n, "b", 1, 3, 4, 4);
    const sftn_shape shape = sftn_value_shape(n.g, sftn_pool_to_match(n.g, large, small));

    CHECK(sftn_shape_equal(&shape, &SFTN_SHAPE(1, 2, 4, 4)));
    CHECK_INT(sftn_pool_to_match(n.g, small, large).id, small.id);
    net_free(&n);
}

static void check_nearest(const double *x, const double *y, int from, int to)
{
    for (int m = 0; m < 6; m++)
        for (int i = 0; i < to; i++)
            for (int j = 0; j < to; j++)
                CHECK_NEAR(y[(m * to + i) * to + j],
                           x[(m * from + i * from / to) * from + j * from / to], 0.0);
}

TEST(nearest_resizing_repeats_and_leaves_out_pixels)
{
    static const int sizes[] = {12, 3, 4, 9, 1, 7};
    net n = net_new();
    sftn_value x = net_input(&n, "x", 2, 3, 6, 6);
    double in[216], out[6 * 144];
    char name[16];

    CHECK_INT(sftn_resize_nearest(n.g, x, 6).id, x.id);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "y%d", i);
        sftn_graph_output(n.g, name, sftn_resize_nearest(n.g, x, sizes[i]));
    }
    net_compile(&n);
    for (int i = 0; i < 216; i++)
        in[i] = i;
    net_write(&n, "x", in);
    net_run(&n);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "y%d", i);
        net_read(&n, name, out);
        check_nearest(in, out, 6, sizes[i]);
    }
    net_free(&n);
}

TEST(nearest_resizing_takes_squares)
{
    net n = net_new();
    sftn_error err;

    sftn_resize_nearest(n.g, net_input(&n, "x", 1, 1, 4, 5), 6);
    CHECK_FAILS(sftn_graph_status(n.g, &err), SFTN_ERR_ARGUMENT, &err, "[1,1,4,5] to 6 pixels");
    net_free(&n);
}

TEST(losses_name_what_is_wrong)
{
    net n = net_new();
    sftn_error err;

    sftn_kl_divergence(n.g, net_input(&n, "a", 2, 3, 1, 1), net_input(&n, "b", 2, 4, 1, 1), 1.0f);
    CHECK_FAILS(sftn_graph_status(n.g, &err), SFTN_ERR_ARGUMENT, &err, "[2,3,1,1] and [2,4,1,1]");
    net_free(&n);
}
