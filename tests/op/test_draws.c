/* draws: numbers of records of other classes: which, how often, and that nothing else matters. */
#include "op/rows.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RECORDS = 1000, CLASSES = 10, COUNT = 300, STEPS = 400 };

static sftn_draw_table *make_table(void)
{
    int32_t class_of[RECORDS];

    for (int i = 0; i < RECORDS; i++)
        class_of[i] = i % CLASSES;
    return sftn_draw_table_new(RECORDS, class_of, CLASSES);
}

TEST(rows_begin_with_the_record_and_go_on_with_other_classes)
{
    sftn_draw_table *t = make_table();
    const int64_t counts[] = {1, COUNT, 900, 901, 5000};

    for (size_t k = 0; k < SFTN_COUNT(counts); k++) {
        const sftn_draws_attr a = {t, counts[k], false, 1};
        int32_t *row = malloc((size_t)(1 + counts[k]) * sizeof *row);

        CHECK(row != NULL);
        sftn_draw_row(&a, 123, 5, row);
        CHECK_INT(row[0], 123);
        for (int64_t i = 1; i <= counts[k]; i++)
            CHECK(row[i] >= 0 && row[i] < RECORDS && row[i] % CLASSES != 123 % CLASSES);
        free(row);
    }
    sftn_draw_table_free(t);
}

TEST(a_record_that_there_is_not_has_no_draws)
{
    sftn_draw_table *t = make_table();
    const sftn_draws_attr a = {t, COUNT, false, 1};
    const int64_t records[] = {-1, RECORDS};
    int32_t row[1 + COUNT];

    for (size_t k = 0; k < SFTN_COUNT(records); k++) {
        sftn_draw_row(&a, records[k], 5, row);
        for (int i = 0; i <= COUNT; i++)
            CHECK_INT(row[i], -1);
    }
    sftn_draw_table_free(t);
}

TEST(as_many_draws_as_there_are_others_take_each_once)
{
    sftn_draw_table *t = make_table();
    const sftn_draws_attr a = {t, 900, false, 1};
    int32_t row[901];
    bool seen[RECORDS] = {false};

    sftn_draw_row(&a, 7, 0, row);
    for (int i = 1; i <= 900; i++) {
        CHECK(!seen[row[i]]);
        seen[row[i]] = true;
    }
    sftn_draw_table_free(t);
}

/* Counts n of draws against their expectation: chi-square per degree of freedom is near 1. */
static double chi_square(const int *n, int cells, double expected)
{
    double sum = 0.0;

    for (int i = 0; i < cells; i++)
        sum += ((double)n[i] - expected) * ((double)n[i] - expected) / expected;
    return sum / (double)cells;
}

/* Every other record equally often; every position of a row sees all; pairs too. */
TEST(draws_are_uniform)
{
    sftn_draw_table *t = make_table();
    const sftn_draws_attr few = {t, COUNT, false, 3}, many = {t, 2000, false, 3};
    static int hits[2][RECORDS], first[RECORDS], steps[30];
    int32_t row[2001];

    for (int step = 0; step < STEPS; step++)
        for (int record = 0; record < RECORDS; record += CLASSES) { /* all of class 0 */
            sftn_draw_row(&few, record, step, row);
            for (int i = 1; i <= COUNT; i++)
                hits[0][row[i]]++;
            first[row[1]]++;
            steps[(row[2] - row[1] + RECORDS) % RECORDS * 30 / RECORDS]++;
            if (record > 0)
                continue;
            sftn_draw_row(&many, record, step, row);
            for (int i = 1; i <= 2000; i++)
                hits[1][row[i]]++;
        }
    for (int i = 0; i < RECORDS; i += CLASSES)
        CHECK(hits[0][i] == 0 && hits[1][i] == 0 && first[i] == 0);
    /* Without replacement counts vary less, by (1 - 300 / 900). */
    CHECK_NEAR(chi_square(hits[0], RECORDS, STEPS * 100.0 * COUNT / 900.0), 0.9 * 2.0 / 3.0 + 0.1 *
               STEPS * 100.0 * COUNT / 900.0, 0.15 + 0.0001 * STEPS * 100.0 * COUNT / 900.0);
    CHECK(chi_square(first, RECORDS, STEPS * 100.0 / 900.0) < 1.2 + 0.1 * STEPS * 100.0 / 900.0);
    CHECK(chi_square(steps, 30, STEPS * 100.0 / 30.0) < 2.0);
    CHECK(chi_square(hits[1], RECORDS, STEPS * 2000.0 / 900.0) < 1.2 + 0.1 * STEPS * 2000 / 900.0);
    sftn_draw_table_free(t);
}

TEST(relaxed_draws_begin_with_any_record_of_the_class_and_are_otherwise_the_same)
{
    enum { OF_CLASS = RECORDS / CLASSES, TIMES = 40 * OF_CLASS };
    sftn_draw_table *t = make_table();
    const sftn_draws_attr own = {t, 4, false, 3}, any = {t, 4, true, 3};
    int hits[OF_CLASS] = {0};
    int32_t row[5], relaxed[5];

    for (int step = 0; step < TIMES; step++) {
        sftn_draw_row(&own, 42, step, row);
        sftn_draw_row(&any, 42, step, relaxed);
        CHECK_INT(row[0], 42);
        CHECK_INT(relaxed[0] % CLASSES, 42 % CLASSES);
        CHECK_BYTES(relaxed + 1, row + 1, sizeof row - sizeof *row);
        hits[relaxed[0] / CLASSES]++;
    }
    /* 99 degrees of freedom: above 1.5 by chance once in 2,000 times. */
    CHECK(chi_square(hits, OF_CLASS, (double)TIMES / OF_CLASS) < 1.5);
    sftn_draw_table_free(t);
}

TEST(step_record_and_seed_change_the_draws_and_nothing_else_does)
{
    sftn_draw_table *t = make_table();
    const sftn_draws_attr a = {t, COUNT, false, 1}, other = {t, COUNT, false, 2};
    int32_t row[1 + COUNT], again[1 + COUNT];

    sftn_draw_row(&a, 20, 4, row);
    sftn_draw_row(&a, 20, 4, again);
    CHECK_BYTES(again, row, sizeof row);
    sftn_draw_row(&a, 20, 5, again);
    CHECK(memcmp(again, row, sizeof row) != 0);
    sftn_draw_row(&a, 30, 4, again);
    CHECK(memcmp(again + 1, row + 1, sizeof row - sizeof *row) != 0);
    sftn_draw_row(&other, 20, 4, again);
    CHECK(memcmp(again, row, sizeof row) != 0);
    sftn_draw_table_free(t);
}

/* Both kinds of drawing: what a run has drawn must not change under it. */
TEST(draws_of_a_seed_stay_what_they_are)
{
    static const int32_t few[] = {123, 516, 145, 904, 329}, many[] = {123, 950, 857, 157, 580};
    sftn_draw_table *t = make_table();
    int32_t row[1 + 2000];

    sftn_draw_row(&(sftn_draws_attr){t, 4, false, 1}, 123, 5, row);
    CHECK_BYTES(row, few, sizeof few);
    sftn_draw_row(&(sftn_draws_attr){t, 2000, false, 1}, 123, 5, row);
    CHECK_BYTES(row, many, sizeof many);
    sftn_draw_table_free(t);
}

TEST(a_table_of_one_class_has_nothing_to_draw)
{
    const int32_t class_of[4] = {1, 1, 1, 1};
    sftn_draw_table *t = sftn_draw_table_new(4, class_of, 2);
    sftn_graph *g = sftn_graph_new();
    const sftn_value record = sftn_graph_input(g, "r", (sftn_type){{{2, 1, 1, 1}}, true});
    const sftn_value step = sftn_graph_input(g, "s", (sftn_type){{{1, 1, 1, 1}}, true});
    sftn_error err = {0};

    sftn_draws(g, record, step, t, 3, false, 1);
    CHECK_FAILS(sftn_graph_status(g, &err), SFTN_ERR_ARGUMENT, &err,
                "all 4 records are of class 1");
    sftn_graph_free(g);
    sftn_draw_table_free(t);
}
