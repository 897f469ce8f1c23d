/* cpu_eigh: eigenvectors of larger matrices, of such without full rank, of zeros and of NaN. */
#include "sftn/nn.h"
#include "sftn/plan.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

enum { BATCH = 5, SIZE = 61, COUNT = SIZE * SIZE };

/* V' V, and V diag(w) V'. */
static sftn_plan *compile(int threads)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_plan_options options = {.backend = "cpu"};
    const sftn_type type = {SFTN_SHAPE(BATCH, SIZE, SIZE, 1), true};
    const sftn_value a = sftn_graph_input(g, "a", type);
    const sftn_matmul_spec inner = {.trans_a = true}, outer = {.trans_b = true};
    sftn_value w, v, wide;
    sftn_error err = {.status = SFTN_OK};
    sftn_plan *plan;

    sftn_set_threads(threads);
    sftn_eigh(g, a, &w, &v);
    wide = sftn_mul(g, v, sftn_reshape(g, w, SFTN_SHAPE(BATCH, 1, SIZE, 1)));
    sftn_graph_output(g, "w", w);
    sftn_graph_output(g, "unit", sftn_matmul(g, v, v, inner));
    sftn_graph_output(g, "rebuilt", sftn_matmul(g, wide, v, outer));
    CHECK_OK(sftn_plan_new(g, &options, &plan, &err), &err);
    sftn_graph_free(g);
    sftn_set_threads(0);
    return plan;
}

/* A product of `rank` columns with themselves: of that rank, none of its values below 0. */
static void fill(double *a, int rank, unsigned state)
{
    double *f = malloc(sizeof *f * SIZE * (size_t)(rank + 1));

    CHECK(f != NULL);
    for (int i = 0; i < SIZE * rank; i++) {
        state = state * 1664525u + 1013904223u;
        f[i] = (double)(state >> 8) / 8388608.0 - 1.0;
    }
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            a[i * SIZE + j] = 0.0;
            for (int k = 0; k < rank; k++)
                a[i * SIZE + j] += f[i * rank + k] * f[j * rank + k];
        }
    free(f);
}

static void check_matrix(const double *a, const double *w, const double *unit,
                         const double *rebuilt)
{
    const double scale = fmax(w[0], 1.0);

    for (int i = 0; i < COUNT; i++) {
        CHECK_NEAR(rebuilt[i], a[i], 1e-5 * scale);
        CHECK_NEAR(unit[i], i % (SIZE + 1) == 0 ? 1.0 : 0.0, 1e-5);
    }
    for (int i = 1; i < SIZE; i++)
        CHECK(w[i] <= w[i - 1]);
}

static void check_threads(int threads)
{
    static double a[BATCH * COUNT], w[BATCH * SIZE], unit[BATCH * COUNT], rebuilt[BATCH * COUNT];
    static const int rank[BATCH] = {SIZE, 7, 0, 1, SIZE - 1};
    sftn_plan *plan = compile(threads);
    sftn_error err = {.status = SFTN_OK};

    for (int b = 0; b < BATCH; b++)
        fill(a + b * COUNT, rank[b], (unsigned)b + 1);
    CHECK_OK(sftn_plan_write(plan, "a", a, &err), &err);
    CHECK_OK(sftn_plan_run(plan, &err), &err);
    CHECK_OK(sftn_plan_read(plan, "w", w, &err), &err);
    CHECK_OK(sftn_plan_read(plan, "unit", unit, &err), &err);
    CHECK_OK(sftn_plan_read(plan, "rebuilt", rebuilt, &err), &err);
    for (int b = 0; b < BATCH; b++)
        check_matrix(a + b * COUNT, w + b * SIZE, unit + b * COUNT, rebuilt + b * COUNT);
    sftn_plan_free(plan);
}

TEST(eigenvectors_are_orthogonal_and_rebuild_the_matrix)
{
    check_threads(1);
}

TEST(eigenvectors_by_several_threads_are_as_good)
{
    check_threads(3);
}

TEST(a_matrix_that_is_not_finite_ends_in_nan)
{
    static double a[BATCH * COUNT], w[BATCH * SIZE];
    sftn_plan *plan = compile(1);
    sftn_error err = {.status = SFTN_OK};

    for (int b = 0; b < BATCH; b++)
        fill(a + b * COUNT, 3, 1);
    a[COUNT + 5] = NAN;
    CHECK_OK(sftn_plan_write(plan, "a", a, &err), &err);
    CHECK_OK(sftn_plan_run(plan, &err), &err);
    CHECK_OK(sftn_plan_read(plan, "w", w, &err), &err);
    CHECK(isnan(w[SIZE]));
    CHECK(isfinite(w[0]) && isfinite(w[2 * SIZE]));
    sftn_plan_free(plan);
}
