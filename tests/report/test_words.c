/* Sentences on differences say what the numbers say, and the opposite where these do. */
#include "base/base.h"
#include "test.h"

#include "sftn/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text table of one difference, of accuracies and, where given, divergences of n seeds. */
static char *table_of(const double *top1, const double *kl, int n)
{
    sftn_run_difference d = {.label = "friendly", .against = "plain"};
    sftn_run_statistics s = {.level = 0.95, .ndifferences = 1, .difference = &d};
    sftn_error err = {0};
    char *text = NULL;

    for (int m = 0; m < SFTN_MEASURES; m++)
        d.sample[m] = sftn_sample_of(NULL, 0, 0.95);
    d.sample[SFTN_MEASURE_LAST] = sftn_sample_of(top1, n, 0.95);
    if (kl)
        d.sample[SFTN_MEASURE_KL] = sftn_sample_of(kl, n, 0.95);
    CHECK_OK(sftn_groups_table(NULL, &s, SFTN_TABLE_TEXT, &text, &err), &err);
    return text;
}

static bool says(const double *top1, const double *kl, int n, const char *sentence)
{
    char *text = table_of(top1, kl, n);
    const bool found = strstr(text, sentence) != NULL;

    if (!found)
        printf("%s", text);
    free(text);
    return found;
}

/* 1, 2, 3: mean 2, half width 4.30265 / sqrt(3) = 2.4841. */
TEST(an_interval_that_holds_zero_shows_no_difference)
{
    CHECK(says((const double[]){1.0, 2.0, 3.0}, NULL, 3,
               "friendly beside plain\n    test accuracy: no difference shown, +2.00 points "
               "(-0.48 to +4.48), higher with 3 of 3 seeds\n"));
    CHECK(says((const double[]){-9.0, 2.0, -4.0}, NULL, 3,
               "test accuracy: no difference shown, -3.67 points"));
    CHECK(says((const double[]){-9.0, 2.0, -4.0}, NULL, 3, "lower with 2 of 3 seeds\n"));
}

TEST(an_interval_that_leaves_out_zero_is_higher_or_lower)
{
    CHECK(says((const double[]){3.0, 4.0, 5.0}, NULL, 3,
               "test accuracy: higher by 4.00 points (+1.52 to +6.48), higher with 3 of 3 seeds"));
    CHECK(says((const double[]){-3.0, -4.0, -5.0}, NULL, 3,
               "test accuracy: lower by 4.00 points (-6.48 to -1.52), lower with 3 of 3 seeds"));
}

TEST(one_seed_shows_nothing)
{
    CHECK(says((const double[]){27.37}, NULL, 1,
               "test accuracy: +27.37 points with one seed; another may say the opposite\n"));
}

TEST(a_divergence_is_told_without_a_unit_and_one_not_measured_not_at_all)
{
    const double top1[] = {3.0, 4.0, 5.0}, kl[] = {-0.5, -0.4, -0.6};
    char *text = table_of(top1, NULL, 3);

    CHECK(says(top1, kl, 3, "KL(teacher || student): lower by 0.5000 (-0.7484 to -0.2516), lower"));
    CHECK(strstr(text, "KL(teacher") == NULL);
    CHECK(strstr(text, "agreement with") == NULL);
    free(text);
}
