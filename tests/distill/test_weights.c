/*
 * weights: the weights of kdcl's general ensemble, against matrices solved by hand, and the matrix
 * of errors against its definition.
 */
#include "net.h"
#include "sftn/mutual.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* kdcl with the general ensemble. */
typedef struct general {
    const sftn_mutual *method;
    const sftn_mutual_survey *survey;
    void *options;
} general;

static general general_new(const char *ridge)
{
    sftn_error err = {0};
    general e = {.method = sftn_mutual_find("kdcl", &err)};

    CHECK(e.method != NULL);
    e.options = calloc(1, e.method->options_size);
    sftn_options_default(e.method->options, e.options);
    CHECK(e.method->survey(e.options) == NULL);
    CHECK_OK(sftn_options_set(e.method->options, e.options, "ensemble", "general", &err), &err);
    CHECK_OK(sftn_options_set(e.method->options, e.options, "ridge", ridge, &err), &err);
    e.survey = e.method->survey(e.options);
    CHECK(e.survey != NULL);
    return e;
}

static void check_weights(const char *ridge, int n, const double *c, const double *expected,
                          double tolerance)
{
    general e = general_new(ridge);
    float w[SFTN_MAX_PEERS];

    e.survey->settle(e.options, n, c, w);
    for (int i = 0; i < n; i++)
        CHECK_NEAR((double)w[i], expected[i], tolerance);
    free(e.options);
}

/* [[2, 1], [1, 3]]: the rows of its adjoint add up to 3-1 and 2-1. */
TEST(weights_of_two_networks_are_those_of_the_inverse)
{
    static const double c[] = {2.0, 1.0, 1.0, 3.0}, w[] = {2.0 / 3.0, 1.0 / 3.0};

    check_weights("0.0001", 2, c, w, 1e-4);
}

/* 0.5 times 2.5 on the diagonal: [[3.25, 1], [1, 4.25]], and 4.25-1 and 3.25-1. */
TEST(a_ridge_is_relative_to_the_diagonals_mean)
{
    static const double c[] = {2.0, 1.0, 1.0, 3.0}, w[] = {3.25 / 5.5, 2.25 / 5.5};
    double small[4];

    check_weights("0.5", 2, c, w, 1e-7);
    for (int k = 0; k < 4; k++)
        small[k] = 1e-200 * c[k];
    check_weights("0.5", 2, small, w, 1e-7);
}

/*
 * [[2, 1, 0], [1, 2, 1], [0, 1, 3]]: rows of its adjoint add up to 5-3+1, -3+6-2, 1-2+3; with a
 * ridge of 3/7 times 7/3, [[3, 1, 0], [1, 3, 1], [0, 1, 4]]: to 11-4+1, -4+12-3, 1-3+8.
 */
TEST(weights_of_three_networks_are_those_of_the_inverse)
{
    static const double c[] = {2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 3.0};
    static const double w[] = {3.0 / 6.0, 1.0 / 6.0, 2.0 / 6.0};
    static const double ridged[] = {8.0 / 19.0, 5.0 / 19.0, 6.0 / 19.0};

    check_weights("0.0001", 3, c, w, 1e-3);
    check_weights("0.42857142857", 3, c, ridged, 1e-6);
}

/* A network whose errors are another's and more: C^-1 1 = (1.5, -0.5), ridge 1e-4 of 2. */
TEST(a_network_that_only_adds_errors_weighs_less_than_nothing)
{
    static const double c[] = {1.0, 1.5, 1.5, 3.0}, w[] = {1.5, -0.5};

    check_weights("0.0001", 2, c, w, 1e-3);
}

TEST(equal_networks_weigh_the_same)
{
    static const double half[] = {0.5, 0.5}, fourth[] = {0.25, 0.25, 0.25, 0.25};
    double c[16];

    for (int k = 0; k < 16; k++)
        c[k] = 0.7;
    check_weights("0.0001", 2, c, half, 1e-6);
    check_weights("0.01", 4, c, fourth, 1e-7);
}

TEST(weights_are_equal_where_errors_say_nothing)
{
    static const double none[9] = {0.0}, third[] = {1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0};
    double c[9] = {1.0, 0.5, 0.5, 0.5, 1.0, 0.5, 0.5, 0.5, 1.0};

    check_weights("0.01", 3, none, third, 1e-7);
    c[1] = c[3] = NAN;
    check_weights("0.01", 3, c, third, 1e-7);
    c[1] = c[3] = INFINITY;
    check_weights("0.01", 3, c, third, 1e-7);
    c[1] = c[3] = 0.5;
    c[8] = INFINITY;
    check_weights("0.01", 3, c, third, 1e-7);
}

/* Errors of three numbers leave a matrix of four networks singular, as float32 rounds it, too. */
TEST(weights_of_singular_matrices_are_bounded)
{
    static const char *const ridges[] = {"0.0001", "0.01", "1"};
    uint64_t random = 1;

    for (int trial = 0; trial < 300; trial++) {
        general e = general_new(ridges[trial % 3]);
        const double ridge = strtod(ridges[trial % 3], NULL);
        const int n = 2 + trial % 3;
        double error[4][3], c[16], sum = 0.0, square = 0.0;
        float w[SFTN_MAX_PEERS];

        for (int i = 0; i < 4; i++)
            for (int k = 0; k < 3; k++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                error[i][k] = (trial % 2 ? 1e-3 : 1.0) * (double)(random >> 11) * 0x1p-53 + 0.5;
            }
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                c[i * n + j] = 0.0;
                for (int k = 0; k < 3; k++)
                    c[i * n + j] += error[i][k] * error[j][k];
                c[i * n + j] = (double)(float)c[i * n + j];
            }
        e.survey->settle(e.options, n, c, w);
        for (int i = 0; i < n; i++) {
            CHECK(isfinite(w[i]));
            sum += (double)w[i];
            square += (double)w[i] * (double)w[i];
        }
        CHECK_NEAR(sum, 1.0, 1e-4);
        CHECK(square <= (1.0 / ridge + 1.0 / n) * 1.01);
        free(e.options);
    }
}

/* ---- what is asked of an image ---- */

enum { N = 5, K = 4, PEERS = 3 };

static double error_of(const double *z, int k, int label)
{
    double sum = 0.0;

    for (int c = 0; c < K; c++)
        sum += exp(z[c]);
    return exp(z[k]) / sum - (k == label);
}

TEST(what_is_measured_is_the_product_of_two_networks_errors)
{
    general e = general_new("0.01");
    net n = net_new();
    sftn_mutual_args args = {.g = n.g, .n = PEERS, .classes = K, .options = e.options};
    double z[PEERS][N * K], label[N], row[N * PEERS * PEERS];
    sftn_shape shape;
    sftn_value value;
    char name[16];

    for (int i = 0; i < PEERS; i++) {
        snprintf(name, sizeof name, "z%d", i);
        args.logits[i] = net_input(&n, name, N, K, 1, 1);
        for (int k = 0; k < N * K; k++)
            z[i][k] = 2.0 * sin(3.0 * i + 1.7 * k);
    }
    args.labels = net_input(&n, "labels", N, 1, 1, 1);
    value = e.survey->row(&args);
    sftn_graph_output(n.g, "row", value);
    net_compile(&n);
    shape = sftn_value_shape(n.g, value);
    CHECK_INT(shape.dim[SFTN_N], N);
    CHECK_INT(sftn_shape_count(&shape), N * PEERS * PEERS);
    for (int i = 0; i < PEERS; i++) {
        snprintf(name, sizeof name, "z%d", i);
        net_write(&n, name, z[i]);
    }
    for (int i = 0; i < N; i++)
        label[i] = (3 * i + 1) % K;
    net_write(&n, "labels", label);
    net_run(&n);
    net_read(&n, "row", row);
    for (int m = 0; m < N * PEERS * PEERS; m++) {
        const int image = m / (PEERS * PEERS), i = m / PEERS % PEERS, j = m % PEERS;
        double product = 0.0;

        for (int k = 0; k < K; k++)
            product += error_of(&z[i][image * K], k, (int)label[image]) *
                       error_of(&z[j][image * K], k, (int)label[image]);
        CHECK_NEAR(row[m], product, 1e-12);
    }
    net_free(&n);
    free(e.options);
}
