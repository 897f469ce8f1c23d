/* optimizer: PyTorch's SGD by hand, gradient clipping, averaged weights. */
#include "test.h"
#include "train/optimizer.h"

#include <math.h>
#include <string.h>

/* A store with one weight vector of n elements and one running statistic. */
static sftn_params *vector(int64_t n)
{
    sftn_params *p = sftn_params_new();
    sftn_error err = {0};

    CHECK(p != NULL);
    CHECK(sftn_params_add(p, "w", &(sftn_param){.kind = SFTN_PARAM_WEIGHT, .rank = 1,
                                                .shape = SFTN_SHAPE(1, n, 1, 1)}, &err) == 0);
    CHECK(sftn_params_add(p, "mean", &(sftn_param){.kind = SFTN_PARAM_STATE, .rank = 1,
                                                   .shape = SFTN_SHAPE(1, 2, 1, 1)}, &err) == 1);
    CHECK(sftn_params_add(p, "count", &(sftn_param){.kind = SFTN_PARAM_COUNTER,
                                                    .shape = SFTN_SHAPE(1, 1, 1, 1)}, &err) == 2);
    sftn_params_init(p, 1);
    return p;
}

/* All weights of the stores are trained. */
static sftn_optimizer open_stores(sftn_params *const *p, int n, sftn_sgd sgd)
{
    static sftn_span span[2];
    sftn_optimizer o;
    sftn_error err = {0};

    for (int i = 0; i < n; i++)
        span[i] = (sftn_span){
            .store = i, .groups = 1, .count = sftn_params_weight_size(p[i])};
    CHECK_OK(sftn_optimizer_open(&o, &sgd, p, n, &err), &err);
    sftn_optimizer_train(&o, span, n);
    return o;
}

static sftn_optimizer open_sgd(sftn_params *p, sftn_sgd sgd)
{
    return open_stores(&p, 1, sgd);
}

/*
 * w = 1, gradients 1, 2, -1, momentum 0.5, weight decay 0.1, rates 0.1, 0.1, 0.01:
 *     v = 1.1                 w = 0.89
 *     v = 0.55 + 2.089        w = 0.89 - 0.2639 = 0.6261
 *     v = 1.3195 - 0.93739    w = 0.6261 - 0.0038211
 */
TEST(three_steps_with_momentum_decay_and_a_drop_of_the_rate)
{
    sftn_params *p = vector(1);
    sftn_optimizer o = open_sgd(p, (sftn_sgd){.momentum = 0.5, .weight_decay = 0.1});
    float *w = sftn_params_weights(p), *g = sftn_params_grads(p);

    w[0] = 1.0f;
    g[0] = 1.0f;
    sftn_optimizer_step(&o, 0.1);
    CHECK_NEAR((double)w[0], 0.89, 1e-7);
    g[0] = 2.0f;
    sftn_optimizer_step(&o, 0.1);
    CHECK_NEAR((double)w[0], 0.6261, 1e-7);
    g[0] = -1.0f;
    sftn_optimizer_step(&o, 0.01);
    CHECK_NEAR((double)w[0], 0.6222789, 1e-7);
    sftn_optimizer_close(&o);
    sftn_params_free(p);
}

/* Nesterov: w -= lr (g + momentum v): 1.1 + 0.55 = 1.65, then 2.0835 + 0.5 * 2.6335 = 3.40025. */
TEST(two_steps_of_nesterov)
{
    sftn_params *p = vector(1);
    sftn_optimizer o =
        open_sgd(p, (sftn_sgd){.momentum = 0.5, .weight_decay = 0.1, .nesterov = true});
    float *w = sftn_params_weights(p), *g = sftn_params_grads(p);

    w[0] = 1.0f;
    g[0] = 1.0f;
    sftn_optimizer_step(&o, 0.1);
    CHECK_NEAR((double)w[0], 0.835, 1e-7);
    g[0] = 2.0f;
    sftn_optimizer_step(&o, 0.1);
    CHECK_NEAR((double)w[0], 0.835 - 0.1 * 3.40025, 1e-7);
    sftn_optimizer_close(&o);
    sftn_params_free(p);
}

TEST(the_first_buffer_is_the_gradient)
{
    sftn_params *p = vector(40000);
    sftn_optimizer o = open_sgd(p, (sftn_sgd){.momentum = 0.9});
    float *g = sftn_params_grads(p);

    for (int i = 0; i < 40000; i++)
        g[i] = sinf((float)i) * 1e-3f;
    sftn_optimizer_step(&o, 0.1);
    for (int i = 0; i < 40000; i++)
        CHECK(o.momentum[0][i] == g[i] && sftn_params_weights(p)[i] == -0.1f * g[i]);
    sftn_optimizer_close(&o);
    sftn_params_free(p);
}

TEST(clipping_scales_to_the_norm_over_all_stores)
{
    sftn_params *p[2] = {vector(1), vector(1)};
    sftn_optimizer o = open_stores(p, 2, (sftn_sgd){.clip = 1.0});

    sftn_params_grads(p[0])[0] = 3.0f;
    sftn_params_grads(p[1])[0] = -4.0f;
    CHECK_NEAR(sftn_optimizer_norm(&o), 5.0, 1e-12);
    sftn_optimizer_step(&o, 1.0);
    CHECK_NEAR((double)sftn_params_weights(p[0])[0], -3.0 / 5.000001, 1e-7);
    CHECK_NEAR((double)sftn_params_weights(p[1])[0], 4.0 / 5.000001, 1e-7);
    sftn_optimizer_close(&o);
    sftn_params_free(p[0]);
    sftn_params_free(p[1]);
}

TEST(weights_outside_the_spans_stay_as_they_are_and_count_for_no_norm)
{
    sftn_params *p = vector(64);
    sftn_optimizer o = open_sgd(p, (sftn_sgd){.weight_decay = 0.5});
    static const sftn_span span[] = {{0, 1, 0, 16}, {0, 1, 48, 16}};
    float *w = sftn_params_weights(p), *g = sftn_params_grads(p);

    sftn_optimizer_train(&o, span, 2);
    for (int i = 0; i < 64; i++) {
        w[i] = 2.0f;
        g[i] = i < 16 || i >= 48 ? 0.5f : 1e9f;
    }
    CHECK_NEAR(sftn_optimizer_norm(&o), sqrt(32 * 0.25), 1e-12);
    sftn_optimizer_step(&o, 1.0);
    for (int i = 0; i < 64; i++)
        CHECK(w[i] == (i < 16 || i >= 48 ? 0.5f : 2.0f));
    sftn_optimizer_close(&o);
    sftn_params_free(p);
}

/*
 * w = 1, gradients a = 1, 2, -1 and b = 0.5, -1, 3, momentum 0.5 -+ 0.1, decay 0.1, rate 0.1:
 *     u = 1.1                  v = 0.5         w = 1 - 0.16 = 0.84
 *     u = 0.44 + 2.084         v = 0.3 - 1     w = 0.84 - 0.1824 = 0.6576
 *     u = 1.0096 - 0.93424     v = -0.42 + 3   w = 0.6576 - 0.265536
 * With a gradient of one group alone, momentum 0.5: of a, as above but for the rate; of b,
 *     v = 0.6                  w = 0.94
 *     v = 0.3 - 0.906          w = 0.94 + 0.0606 = 1.0006
 */
TEST(dot_gives_each_group_its_momentum_and_decays_once)
{
    sftn_params *p = vector(48);
    sftn_optimizer o = open_sgd(p, (sftn_sgd){.momentum = 0.5, .weight_decay = 0.1, .dot = 0.1});
    static const sftn_span span[] = {{0, 3, 0, 16}, {0, 1, 16, 16}, {0, 2, 32, 16}};
    static const float a[] = {1.0f, 2.0f, -1.0f}, b[] = {0.5f, -1.0f, 3.0f};
    static const double two[] = {0.84, 0.6576, 0.392064}, second[] = {0.94, 1.0006};
    float *w = sftn_params_weights(p);

    sftn_optimizer_train(&o, span, 3);
    w[0] = w[16] = w[32] = 1.0f;
    for (int step = 0; step < 3; step++) {
        sftn_params_grads(p)[0] = sftn_params_grads(p)[16] = a[step];
        sftn_params_grads(o.second[0])[0] = sftn_params_grads(o.second[0])[32] = b[step];
        sftn_optimizer_step(&o, 0.1);
        CHECK_NEAR((double)w[0], two[step], 1e-6);
        if (step < 2)
            CHECK_NEAR((double)w[32], second[step], 1e-6);
        if (step == 1)
            CHECK_NEAR((double)w[16], 0.6261, 1e-6);
    }
    sftn_optimizer_reset(&o);
    CHECK(o.momentum[0][0] == 0.0f && sftn_params_weights(o.second[0])[0] == 0.0f);
    sftn_optimizer_close(&o);
    sftn_params_free(p);
}

TEST(gradients_below_the_clip_norm_are_left_alone)
{
    sftn_params *p = vector(2);
    sftn_optimizer o = open_sgd(p, (sftn_sgd){.clip = 10.0});

    sftn_params_grads(p)[0] = 0.3f;
    sftn_params_grads(p)[1] = 0.7f;
    sftn_optimizer_step(&o, 1.0);
    CHECK(sftn_params_weights(p)[0] == -0.3f && sftn_params_weights(p)[1] == -0.7f);
    sftn_optimizer_close(&o);
    sftn_params_free(p);
}

TEST(the_norm_has_the_same_bits_for_any_number_of_threads)
{
    sftn_params *p = vector(100003);
    sftn_optimizer o = open_sgd(p, (sftn_sgd){.clip = 1.0});
    const int before = sftn_get_threads();
    double norm[3];

    for (int i = 0; i < 100003; i++)
        sftn_params_grads(p)[i] = cosf((float)i * 0.37f);
    for (int threads = 1; threads <= 3; threads++) {
        sftn_set_threads(threads);
        norm[threads - 1] = sftn_optimizer_norm(&o);
    }
    sftn_set_threads(before);
    CHECK_BYTES(&norm[1], &norm[0], sizeof norm[0]);
    CHECK_BYTES(&norm[2], &norm[0], sizeof norm[0]);
    sftn_optimizer_close(&o);
    sftn_params_free(p);
}

TEST(averages_follow_weights_and_statistics_and_copy_counters)
{
    sftn_params *p = vector(1);
    float *w = sftn_params_weights(p);
    float *mean = sftn_params_value(p, 1), *count = sftn_params_value(p, 2);
    sftn_error err = {0};
    sftn_ema e;

    w[0] = 1.0f;
    mean[0] = 10.0f;
    CHECK_OK(sftn_ema_open(&e, p, 0.75, &err), &err);
    w[0] = 2.0f;
    mean[0] = 20.0f;
    count[0] = 7.0f;
    sftn_ema_update(&e);
    w[0] = 3.0f;
    sftn_ema_update(&e);
    CHECK_NEAR((double)e.weights[0], 0.75 * 1.25 + 0.25 * 3.0, 1e-6);
    CHECK_NEAR((double)e.states[0], 0.75 * 12.5 + 0.25 * 20.0, 1e-5);
    sftn_ema_swap(&e);
    CHECK_NEAR((double)w[0], 1.6875, 1e-6);
    CHECK_NEAR((double)count[0], 7.0, 0.0);
    sftn_ema_swap(&e);
    CHECK(w[0] == 3.0f && mean[0] == 20.0f);
    sftn_ema_close(&e);
    sftn_params_free(p);
}
