/* values: results worked by hand, where a rule has more than one reading. */
#include "op/eval.h"
#include "op/pool2d.h"
#include "test.h"

#include <math.h>

typedef struct array {
    sftn_shape shape;
    const double *data;
} array;

#define ARRAY(n, c, h, w, ...) ((array){SFTN_SHAPE(n, c, h, w), (const double[]){__VA_ARGS__}})

typedef sftn_value (*build_fn)(sftn_graph *g, const sftn_value *in);

/* f of one or two arrays (the second without data: none) has this shape and these values. */
static void check(build_fn f, array a, array b, array expected)
{
    const array in[] = {a, b};
    sftn_graph *g = sftn_graph_new();
    const int64_t count = sftn_shape_count(&expected.shape);
    sftn_value x[2] = {SFTN_NONE, SFTN_NONE}, y;
    sftn_error err = {.status = SFTN_OK};
    sftn_shape shape;
    test_eval *e;

    for (int i = 0; i < 2; i++)
        if (in[i].data)
            x[i] = sftn_graph_input(g, i ? "b" : "a", (sftn_type){in[i].shape, true});
    y = f(g, x);
    CHECK_OK(sftn_graph_status(g, &err), &err);
    shape = sftn_value_shape(g, y);
    CHECK(sftn_shape_equal(&shape, &expected.shape));
    e = test_eval_new(g);
    for (int i = 0; i < 2; i++)
        for (int64_t k = 0; in[i].data && k < sftn_shape_count(&in[i].shape); k++)
            test_eval_data(e, x[i])[k] = in[i].data[k];
    test_eval_run(e);
    for (int64_t k = 0; k < count; k++)
        CHECK_NEAR(test_eval_data(e, y)[k], expected.data[k], 1e-12);
    test_eval_free(e);
    sftn_graph_free(g);
}

static const array none = {{{0}}, NULL};

#define BUILD(name, expression)                                                                    \
    static sftn_value name(sftn_graph *g, const sftn_value *in)                                    \
    {                                                                                              \
        return expression;                                                                         \
    }

/* The gradient of the sum of f(a): one share for every element. */
static sftn_value gradient_of(sftn_graph *g, const sftn_value *in, sftn_value y)
{
    sftn_value grad = SFTN_NONE;
    const sftn_value loss = sftn_sum(g, y, SFTN_ALL_AXES);

    CHECK_STATUS(sftn_graph_gradients(g, loss, in, 1, &grad, NULL), SFTN_OK);
    return grad;
}

/* ---- convolution ---- */

BUILD(conv, sftn_conv2d(g, in[0], in[1], (sftn_conv_spec){0}))
BUILD(conv_stride2_pad1, sftn_conv2d(g, in[0], in[1], (sftn_conv_spec){2, 1, 1}))
BUILD(grouped, sftn_conv2d(g, in[0], in[1], (sftn_conv_spec){1, 0, 2}))
BUILD(transposed, sftn_conv_transpose2d(g, in[0], in[1], (sftn_conv_spec){2, 0, 1}, 0))
BUILD(transposed_pad, sftn_conv_transpose2d(g, in[0], in[1], (sftn_conv_spec){2, 1, 1}, 1))

TEST(convolution_is_cross_correlation)
{
    check(conv, ARRAY(1, 1, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9), ARRAY(1, 1, 2, 2, 1, 2, 3, 4),
          ARRAY(1, 1, 2, 2, 37, 47, 67, 77));
    check(conv_stride2_pad1, ARRAY(1, 1, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9),
          ARRAY(1, 1, 2, 2, 1, 2, 3, 4), ARRAY(1, 1, 2, 2, 4, 18, 36, 77));
    check(conv, ARRAY(1, 2, 1, 2, 1, 2, 3, 4), ARRAY(2, 2, 1, 1, 1, 10, 100, 1000),
          ARRAY(1, 2, 1, 2, 31, 42, 3100, 4200));
    check(grouped, ARRAY(1, 2, 1, 2, 1, 2, 3, 4), ARRAY(2, 1, 1, 1, 10, 100),
          ARRAY(1, 2, 1, 2, 10, 20, 300, 400));
    /* Two filters a group: the first two read the first channel. */
    check(grouped, ARRAY(1, 2, 1, 1, 1, 2), ARRAY(4, 1, 1, 1, 1, 10, 100, 1000),
          ARRAY(1, 4, 1, 1, 1, 10, 200, 2000));
}

TEST(transposed_convolution_scatters_the_kernel)
{
    check(transposed, ARRAY(1, 1, 1, 2, 1, 2), ARRAY(1, 1, 2, 2, 1, 2, 3, 4),
          ARRAY(1, 1, 2, 4, 1, 2, 2, 4, 3, 4, 6, 8));
    /* Size (1 - 1) 2 - 2 + 3 + 1 = 2: the middle of the kernel and what follows it. */
    check(transposed_pad, ARRAY(1, 1, 1, 1, 1), ARRAY(1, 1, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9),
          ARRAY(1, 1, 2, 2, 5, 6, 8, 9));
}

/* ---- pooling ---- */

BUILD(avg_pad, sftn_avg_pool2d(g, in[0], (sftn_pool_spec){3, 2, 1, false, false}))
BUILD(avg_exclude, sftn_avg_pool2d(g, in[0], (sftn_pool_spec){3, 2, 1, false, true}))
BUILD(avg_floor, sftn_avg_pool2d(g, in[0], (sftn_pool_spec){2, 0, 0, false, false}))
BUILD(avg_ceil, sftn_avg_pool2d(g, in[0], (sftn_pool_spec){2, 0, 0, true, false}))
BUILD(avg_ceil_pad, sftn_avg_pool2d(g, in[0], (sftn_pool_spec){3, 2, 1, true, false}))
BUILD(max_pad, sftn_max_pool2d(g, in[0], (sftn_pool_spec){3, 2, 1, false, false}))
BUILD(max2x2, sftn_max_pool2d(g, in[0], (sftn_pool_spec){2, 0, 0, false, false}))
BUILD(max2x2_gradient, gradient_of(g, in, max2x2(g, in)))
BUILD(adaptive2, sftn_adaptive_avg_pool2d(g, in[0], 1, 2))
BUILD(adaptive5, sftn_adaptive_avg_pool2d(g, in[0], 1, 5))
BUILD(adaptive2_gradient, gradient_of(g, in, adaptive2(g, in)))

TEST(padding_counts_in_averages_unless_excluded)
{
    const array x = ARRAY(1, 1, 3, 3, 9, 9, 9, 9, 9, 9, 9, 9, 9);

    check(avg_pad, x, none, ARRAY(1, 1, 2, 2, 4, 4, 4, 4));
    check(avg_exclude, x, none, ARRAY(1, 1, 2, 2, 9, 9, 9, 9));
}

TEST(ceil_adds_a_window_that_starts_inside)
{
    check(avg_floor, ARRAY(1, 1, 2, 3, 1, 2, 3, 4, 5, 6), none, ARRAY(1, 1, 1, 1, 3));
    /* What lies beyond the image is counted neither in the sum nor in its divisor. */
    check(avg_ceil, ARRAY(1, 1, 2, 3, 1, 2, 3, 4, 5, 6), none, ARRAY(1, 1, 1, 2, 3, 4.5));
    /* Height 1: one window.  Width 4: windows from -1, 1 and 3; the last counts columns 3 and 4. */
    check(avg_ceil_pad, ARRAY(1, 1, 1, 4, 9, 9, 9, 18), none,
          ARRAY(1, 1, 1, 3, 18 / 9.0, 36 / 9.0, 18 / 6.0));
}

TEST(ceil_drops_a_window_that_starts_in_the_padding)
{
    const sftn_pool2d_attr attr = {.size = 2, .stride = 2, .pad = 1, .ceil = true};

    CHECK_INT(sftn_pool2d_size(&attr, 4), 3); /* from -1, 1, 3 */
    CHECK_INT(sftn_pool2d_size(&attr, 3), 2); /* a third would start at 3, outside */
}

TEST(padding_is_never_the_maximum)
{
    check(max_pad, ARRAY(1, 1, 2, 2, -4, -3, -2, -1), none, ARRAY(1, 1, 1, 1, -1));
}

TEST(of_equal_maxima_the_first_receives_the_gradient)
{
    check(max2x2_gradient, ARRAY(1, 1, 2, 4, 5, 7, 1, 1, 7, 7, 1, 1), none,
          ARRAY(1, 1, 2, 4, 0, 1, 1, 0, 0, 0, 0, 0));
}

TEST(adaptive_windows_overlap_where_sizes_do_not_divide)
{
    /* 5 to 2: columns 0-2 and 2-4. */
    check(adaptive2, ARRAY(1, 1, 1, 5, 1, 2, 6, 7, 8), none, ARRAY(1, 1, 1, 2, 3, 7));
    check(adaptive2_gradient, ARRAY(1, 1, 1, 5, 1, 2, 6, 7, 8), none,
          ARRAY(1, 1, 1, 5, 1 / 3.0, 1 / 3.0, 2 / 3.0, 1 / 3.0, 1 / 3.0));
    /* 2 to 5: columns 0, 0, 0-1, 1, 1. */
    check(adaptive5, ARRAY(1, 1, 1, 2, 4, 6), none, ARRAY(1, 1, 1, 5, 4, 4, 5, 6, 6));
}

/* ---- reductions ---- */

BUILD(max_c, sftn_max(g, in[0], SFTN_AXIS_C))
BUILD(max_c_gradient, gradient_of(g, in, max_c(g, in)))
BUILD(sum_nhw, sftn_sum(g, in[0], SFTN_AXES_NHW))
BUILD(mean_c, sftn_mean(g, in[0], SFTN_AXIS_C))

/* 1 where the maximum equals itself: everywhere but at NaN. */
static sftn_value equals_itself(sftn_graph *g, sftn_value x)
{
    return sftn_equal(g, x, x);
}

BUILD(max_is_number, equals_itself(g, max_c(g, in)))
BUILD(pool_is_number, equals_itself(g, max2x2(g, in)))

TEST(maxima_do_not_hide_nan)
{
    check(max_is_number, ARRAY(2, 3, 1, 1, 1, NAN, 3, 1, 2, 3), none, ARRAY(2, 1, 1, 1, 0, 1));
    check(pool_is_number, ARRAY(1, 1, 2, 4, 1, NAN, 1, 2, 3, 4, 3, 4), none,
          ARRAY(1, 1, 1, 2, 0, 1));
}

TEST(reductions_keep_the_other_axes)
{
    const array x = ARRAY(2, 2, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8);

    check(sum_nhw, x, none, ARRAY(1, 2, 1, 1, 14, 22));
    check(mean_c, x, none, ARRAY(2, 1, 1, 2, 2, 3, 6, 7));
    check(max_c, x, none, ARRAY(2, 1, 1, 2, 3, 4, 7, 8));
}

TEST(equal_maxima_share_the_gradient)
{
    check(max_c_gradient, ARRAY(2, 4, 1, 1, 1, 3, 3, 2, 5, 5, 5, 5), none,
          ARRAY(2, 4, 1, 1, 0, 0.5, 0.5, 0, 0.25, 0.25, 0.25, 0.25));
}

/* ---- labels ---- */

BUILD(one_hot, sftn_one_hot(g, in[0], 3))
BUILD(rank, sftn_rank(g, in[0], in[1]))
BUILD(argmax, sftn_argmax(g, in[0]))

TEST(one_hot_marks_the_label)
{
    check(one_hot, ARRAY(4, 1, 1, 1, 0, 2, 3, -1), none,
          ARRAY(4, 3, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0));
}

TEST(equal_logits_are_ranked_by_index)
{
    check(rank, ARRAY(4, 3, 1, 1, 5, 5, 5, 5, 5, 5, 5, 5, 5, 1, 3, 2),
          ARRAY(4, 1, 1, 1, 0, 1, 2, 2), ARRAY(4, 1, 1, 1, 0, 1, 2, 1));
}

TEST(nan_is_never_a_hit)
{
    check(rank, ARRAY(2, 3, 1, 1, NAN, NAN, NAN, 1, NAN, 0), ARRAY(2, 1, 1, 1, 0, 0),
          ARRAY(2, 1, 1, 1, 2, 1));
}

TEST(argmax_is_the_first_of_equal_entries)
{
    check(argmax, ARRAY(1, 3, 1, 2, 1, 9, 4, 9, 4, 9), none, ARRAY(1, 1, 1, 2, 1, 0));
}

/* ---- pointwise ---- */

static double at(sftn_value (*f)(sftn_graph *g, sftn_value x), double x)
{
    return test_eval1(f, x);
}

static sftn_value huber2(sftn_graph *g, sftn_value x)
{
    return sftn_smooth_l1(g, x, 2.0f);
}

static sftn_value leaky(sftn_graph *g, sftn_value x)
{
    return sftn_leaky_relu(g, x, 0.25f);
}

static sftn_value clamp(sftn_graph *g, sftn_value x)
{
    return sftn_clamp(g, x, -0.5f, 2.0f);
}

TEST(smooth_l1_is_quadratic_then_linear)
{
    CHECK_NEAR(at(huber2, 0.0), 0.0, 1e-15);
    CHECK_NEAR(at(huber2, 1.0), 0.25, 1e-15);
    CHECK_NEAR(at(huber2, 2.0), 1.0, 1e-15);
    CHECK_NEAR(at(huber2, -5.0), 4.0, 1e-15);
}

TEST(sigmoid_and_softplus_hold_for_large_arguments)
{
    CHECK_NEAR(at(sftn_sigmoid, 1000.0), 1.0, 0.0);
    CHECK_NEAR(at(sftn_sigmoid, -1000.0), 0.0, 0.0);
    CHECK_NEAR(at(sftn_sigmoid, -30.0) / exp(-30.0), 1.0, 1e-12);
    CHECK_NEAR(at(sftn_softplus, 1000.0), 1000.0, 0.0);
    CHECK_NEAR(at(sftn_softplus, -1000.0), 0.0, 0.0);
    CHECK_NEAR(at(sftn_softplus, -30.0) / exp(-30.0), 1.0, 1e-12);
    CHECK_NEAR(at(sftn_softplus, 0.0), log(2.0), 1e-15);
}

TEST(kinks_have_the_stated_values)
{
    CHECK_NEAR(at(sftn_sign, 0.0), 0.0, 0.0);
    CHECK_NEAR(at(sftn_step, 0.0), 0.0, 0.0);
    CHECK_NEAR(at(leaky, -4.0), -1.0, 0.0);
    CHECK_NEAR(at(clamp, -3.0), -0.5, 0.0);
    CHECK_NEAR(at(clamp, 3.0), 2.0, 0.0);
    CHECK_NEAR(at(clamp, 1.0), 1.0, 0.0);
}

BUILD(relu_gradient, gradient_of(g, in, sftn_relu(g, in[0])))
BUILD(abs_gradient, gradient_of(g, in, sftn_abs(g, in[0])))
BUILD(clamp_gradient, gradient_of(g, in, clamp(g, in[0])))
BUILD(max2_gradient, gradient_of(g, in, sftn_max2(g, in[0], in[1])))
BUILD(min2_gradient, gradient_of(g, in, sftn_min2(g, in[0], in[1])))

TEST(gradients_at_kinks_are_as_stated)
{
    check(relu_gradient, ARRAY(1, 3, 1, 1, -1, 0, 1), none, ARRAY(1, 3, 1, 1, 0, 0, 1));
    check(abs_gradient, ARRAY(1, 3, 1, 1, -1, 0, 1), none, ARRAY(1, 3, 1, 1, -1, 0, 1));
    check(clamp_gradient, ARRAY(1, 4, 1, 1, -1, -0.5, 2, 3), none, ARRAY(1, 4, 1, 1, 0, 1, 1, 0));
    check(max2_gradient, ARRAY(1, 3, 1, 1, 1, 2, 3), ARRAY(1, 3, 1, 1, 2, 2, 2),
          ARRAY(1, 3, 1, 1, 0, 1, 1));
    check(min2_gradient, ARRAY(1, 3, 1, 1, 1, 2, 3), ARRAY(1, 3, 1, 1, 2, 2, 2),
          ARRAY(1, 3, 1, 1, 1, 1, 0));
}

BUILD(outer, sftn_sub(g, in[0], in[1]))
BUILD(mask, sftn_mask(g, in[0], in[1]))

TEST(two_stretched_operands_make_all_pairs)
{
    check(outer, ARRAY(3, 1, 1, 1, 1, 2, 3), ARRAY(1, 2, 1, 1, 10, 20),
          ARRAY(3, 2, 1, 1, -9, -19, -8, -18, -7, -17));
}

TEST(mask_hides_infinities)
{
    check(mask, ARRAY(1, 3, 1, 1, HUGE_VAL, NAN, 5), ARRAY(1, 3, 1, 1, 0, -1, 1),
          ARRAY(1, 3, 1, 1, 0, 0, 5));
}

/* ---- along channels, moving data, matrices, statistics ---- */

BUILD(softmax, sftn_softmax(g, in[0]))
BUILD(log_softmax, sftn_log_softmax(g, in[0]))
BUILD(to_nhwc, sftn_permute(g, in[0], (const int[]){0, 2, 3, 1}))
BUILD(concat, sftn_concat(g, in, 2, SFTN_C))
BUILD(pad, sftn_pad(g, in[0], SFTN_W, 1, 2))
BUILD(slice, sftn_slice(g, in[0], SFTN_W, 1, 2))
BUILD(matmul, sftn_matmul(g, in[0], in[1], (sftn_matmul_spec){false, false}))
BUILD(matmul_tt, sftn_matmul(g, in[0], in[1], (sftn_matmul_spec){true, true}))

static sftn_value variance(sftn_graph *g, const sftn_value *in)
{
    sftn_value mean, var;

    sftn_moments(g, in[0], &mean, &var);
    return var;
}

TEST(softmax_holds_for_large_logits)
{
    check(softmax, ARRAY(2, 2, 1, 1, 1000, 1000, 0, -2000), none,
          ARRAY(2, 2, 1, 1, 0.5, 0.5, 1, 0));
    check(softmax, ARRAY(1, 3, 1, 1, -2000, 3000, 0), none, ARRAY(1, 3, 1, 1, 0, 1, 0));
    check(log_softmax, ARRAY(2, 2, 1, 1, 1000, 1000, 0, -2000), none,
          ARRAY(2, 2, 1, 1, -log(2.0), -log(2.0), 0, -2000));
}

TEST(moving_ops_put_elements_where_they_say)
{
    check(to_nhwc, ARRAY(1, 2, 1, 3, 1, 2, 3, 4, 5, 6), none, ARRAY(1, 1, 3, 2, 1, 4, 2, 5, 3, 6));
    check(concat, ARRAY(2, 1, 1, 1, 1, 2), ARRAY(2, 2, 1, 1, 3, 4, 5, 6),
          ARRAY(2, 3, 1, 1, 1, 3, 4, 2, 5, 6));
    check(pad, ARRAY(1, 2, 1, 1, 7, 8), none, ARRAY(1, 2, 1, 4, 0, 7, 0, 0, 0, 8, 0, 0));
    check(slice, ARRAY(1, 2, 1, 3, 1, 2, 3, 4, 5, 6), none, ARRAY(1, 2, 1, 2, 2, 3, 5, 6));
}

TEST(matrix_products_transpose_where_asked)
{
    const array a = ARRAY(1, 2, 3, 1, 1, 2, 3, 4, 5, 6), b = ARRAY(1, 3, 2, 1, 1, 0, 0, 1, 1, 1);

    check(matmul, a, b, ARRAY(1, 2, 2, 1, 4, 5, 10, 11));
    check(matmul_tt, a, b, ARRAY(1, 3, 3, 1, 1, 4, 5, 2, 5, 7, 3, 6, 9));
}

static sftn_value eigenvalues(sftn_graph *g, const sftn_value *in)
{
    sftn_value values, vectors;

    sftn_eigh(g, in[0], &values, &vectors);
    return values;
}

static sftn_value eigenvectors(sftn_graph *g, const sftn_value *in)
{
    sftn_value values, vectors;

    sftn_eigh(g, in[0], &values, &vectors);
    return vectors;
}

TEST(eigenvalues_fall_and_vectors_point_up)
{
    const double h = sqrt(0.5);
    const array rotated = ARRAY(1, 2, 2, 1, 1, 2, 2, 1), upper = ARRAY(1, 2, 2, 1, 1, 4, 0, 1);
    const array zero = ARRAY(1, 2, 2, 1, 0, 0, 0, 0), negative = ARRAY(1, 1, 1, 1, -3);

    check(eigenvalues, rotated, none, ARRAY(1, 2, 1, 1, 3, -1));
    check(eigenvectors, rotated, none, ARRAY(1, 2, 2, 1, h, h, h, -h));
    check(eigenvalues, upper, none, ARRAY(1, 2, 1, 1, 3, -1));
    check(eigenvalues, zero, none, ARRAY(1, 2, 1, 1, 0, 0));
    check(eigenvectors, zero, none, ARRAY(1, 2, 2, 1, 1, 0, 0, 1));
    check(eigenvalues, negative, none, ARRAY(1, 1, 1, 1, -3));
    check(eigenvectors, negative, none, ARRAY(1, 1, 1, 1, 1));
}

TEST(what_couples_two_axes_counts_beside_the_matrix)
{
    const double angle = 0.5 * atan(2e-6), s = sin(angle), c = cos(angle);

    check(eigenvectors, ARRAY(1, 2, 2, 1, 1e12, 1e6, 1e6, 2e12), none,
          ARRAY(1, 2, 2, 1, s, c, c, -s));
    check(eigenvectors, ARRAY(1, 2, 2, 1, 1e-12, 1e-18, 1e-18, 2e-12), none,
          ARRAY(1, 2, 2, 1, s, c, c, -s));
}

TEST(variance_is_the_biased_one)
{
    check(variance, ARRAY(2, 1, 1, 2, 1, 3, 5, 7), none, ARRAY(1, 1, 1, 1, 5));
}
