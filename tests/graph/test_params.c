/* params: layout of the arrays, reuse of entries, initialization. */
#include "base/base.h"
#include "sftn/params.h"
#include "test.h"

#include <math.h>
#include <stdio.h>

static sftn_param spec(sftn_param_kind kind, sftn_shape shape, sftn_init init, float scale)
{
    return (sftn_param){.kind = kind, .shape = shape, .rank = 4, .init = init, .scale = scale};
}

static int add(sftn_params *p, const char *name, sftn_param s)
{
    sftn_error err = {.status = SFTN_OK};
    const int index = sftn_params_add(p, name, &s, &err);

    CHECK(index >= 0);
    return index;
}

TEST(entries_begin_at_multiples_of_16_in_the_array_of_their_kind)
{
    sftn_params *p = sftn_params_new();
    const int a = add(p, "a", spec(SFTN_PARAM_WEIGHT, SFTN_SHAPE(9, 1, 1, 1), SFTN_INIT_ONE, 0));
    const int b = add(p, "b", spec(SFTN_PARAM_STATE, SFTN_SHAPE(3, 1, 1, 1), SFTN_INIT_ONE, 0));
    const int c = add(p, "c", spec(SFTN_PARAM_WEIGHT, SFTN_SHAPE(2, 3, 3, 3), SFTN_INIT_ONE, 0));
    const int d = add(p, "d", spec(SFTN_PARAM_COUNTER, SFTN_SHAPE(1, 1, 1, 1), SFTN_INIT_ZERO, 0));

    CHECK_INT(sftn_params_count(p), 4);
    CHECK_INT(sftn_params_get(p, a)->offset, 0);
    CHECK_INT(sftn_params_get(p, c)->offset, 16);
    CHECK_INT(sftn_params_get(p, b)->offset, 0);
    CHECK_INT(sftn_params_get(p, d)->offset, 16);
    CHECK_INT(sftn_params_weight_size(p), 16 + 64);
    CHECK_INT(sftn_params_state_size(p), 32);
    CHECK_INT(sftn_params_trainable(p), 9 + 54);
    CHECK(sftn_params_value(p, c) == sftn_params_weights(p) + 16);
    CHECK(sftn_params_grad(p, c) == sftn_params_grads(p) + 16);
    CHECK(sftn_params_value(p, d) == sftn_params_states(p) + 16);
    CHECK(sftn_params_grad(p, b) == NULL);
    CHECK((uintptr_t)sftn_params_weights(p) % 64 == 0);
    sftn_params_init(p, 1);
    CHECK_NEAR(sftn_params_weights(p)[8], 1.0, 0.0);
    CHECK_NEAR(sftn_params_weights(p)[9], 0.0, 0.0);
    sftn_params_free(p);
}

TEST(growing_keeps_values_and_descriptions)
{
    sftn_params *p = sftn_params_new();
    const int first =
        add(p, "first", spec(SFTN_PARAM_WEIGHT, SFTN_SHAPE(5, 1, 1, 1), SFTN_INIT_ONE, 0));
    const sftn_param *description = sftn_params_get(p, first);

    sftn_params_value(p, first)[3] = 7.0f;
    for (int i = 0; i < 200; i++) {
        char name[32];

        snprintf(name, sizeof name, "more%d", i);
        add(p, name, spec(SFTN_PARAM_WEIGHT, SFTN_SHAPE(100, 1, 1, 1), SFTN_INIT_ONE, 0));
    }
    CHECK(sftn_params_get(p, first) == description);
    CHECK_NEAR(sftn_params_value(p, first)[3], 7.0, 0.0);
    CHECK_NEAR(sftn_params_weights(p)[sftn_params_weight_size(p) - 1], 0.0, 0.0);
    sftn_params_free(p);
}

TEST(an_entry_is_found_again_unless_its_shape_differs)
{
    sftn_params *p = sftn_params_new();
    sftn_param s = spec(SFTN_PARAM_WEIGHT, SFTN_SHAPE(4, 3, 3, 3), SFTN_INIT_ONE, 0);
    sftn_error err = {.status = SFTN_OK};
    const int index = add(p, "conv1.weight", s);

    CHECK_INT(add(p, "conv1.weight", s), index);
    CHECK_INT(sftn_params_find(p, "conv1.weight"), index);
    CHECK_INT(sftn_params_find(p, "conv2.weight"), -1);
    s.shape = SFTN_SHAPE(4, 3, 1, 1);
    CHECK_INT(sftn_params_add(p, "conv1.weight", &s, &err), -1);
    CHECK_CONTAINS(err.text, "conv1.weight is asked for with shape [4,3,1,1], it has [4,3,3,3]");
    s.shape = SFTN_SHAPE(4, 0, 1, 1);
    CHECK_INT(sftn_params_add(p, "empty", &s, &err), -1);
    CHECK_CONTAINS(err.text, "empty has shape [4,0,1,1]");
    sftn_params_free(p);
}

TEST(initial_values_depend_on_seed_and_name_only)
{
    const sftn_param s = spec(SFTN_PARAM_WEIGHT, SFTN_SHAPE(6, 1, 1, 1), SFTN_INIT_NORMAL, 1.0f);
    sftn_params *a = sftn_params_new(), *b = sftn_params_new();
    const int in_a = add(a, "w", s);
    int in_b;

    add(b, "other", s);
    in_b = add(b, "w", s);
    sftn_params_init(a, 3);
    sftn_params_init(b, 3);
    CHECK_BYTES(sftn_params_value(b, in_b), sftn_params_value(a, in_a), 6 * sizeof(float));
    sftn_params_init(b, 4);
    CHECK(sftn_params_value(b, in_b)[0] != sftn_params_value(a, in_a)[0]);
    CHECK(sftn_params_value(b, 0)[0] != sftn_params_value(b, in_b)[0]);
    sftn_params_free(a);
    sftn_params_free(b);
}

/* Mean, mean square and mean product of neighbours of 40000 numbers: within 5 sigma of theirs. */
TEST(initial_values_have_their_distribution)
{
    const sftn_init kind[] = {SFTN_INIT_UNIFORM, SFTN_INIT_NORMAL};
    const double variance[] = {0.25 / 3.0, 0.25};

    for (int i = 0; i < 2; i++) {
        sftn_params *p = sftn_params_new();
        const int n = 40000;
        const int index =
            add(p, "w", spec(SFTN_PARAM_WEIGHT, SFTN_SHAPE(n, 1, 1, 1), kind[i], 0.5f));
        double sum = 0.0, squares = 0.0, products = 0.0;

        sftn_params_init(p, 11);
        for (int k = 0; k < n; k++) {
            const double x = (double)sftn_params_value(p, index)[k];

            CHECK(kind[i] == SFTN_INIT_NORMAL ? fabs(x) < 4.0 : x >= -0.5 && x < 0.5);
            sum += x;
            squares += x * x;
            products += k % 2 ? x * (double)sftn_params_value(p, index)[k - 1] : 0.0;
        }
        CHECK_NEAR(sum / n, 0.0, 5.0 * sqrt(variance[i] / n));
        CHECK_NEAR(products / (n / 2), 0.0, 5.0 * variance[i] / sqrt(n / 2.0));
        CHECK_NEAR(squares / n, variance[i], 5.0 * variance[i] * sqrt(2.0 / n));
        sftn_params_free(p);
    }
}
