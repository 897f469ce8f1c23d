/* Samples against tables of Student's distribution and hand-worked numbers. */
#include "test.h"

#include "sftn/report.h"

#include <math.h>

/* Two-sided quantiles as printed in any table of the t distribution. */
TEST(quantiles_are_those_of_printed_tables)
{
    CHECK_NEAR(sftn_student_t(0.95, 1), 12.706, 5e-4);
    CHECK_NEAR(sftn_student_t(0.95, 2), 4.303, 5e-4);
    CHECK_NEAR(sftn_student_t(0.95, 3), 3.182, 5e-4);
    CHECK_NEAR(sftn_student_t(0.95, 4), 2.776, 5e-4);
    CHECK_NEAR(sftn_student_t(0.95, 9), 2.262, 5e-4);
    CHECK_NEAR(sftn_student_t(0.95, 30), 2.042, 5e-4);
    CHECK_NEAR(sftn_student_t(0.95, 120), 1.980, 5e-4);
    CHECK_NEAR(sftn_student_t(0.99, 5), 4.032, 5e-4);
    CHECK_NEAR(sftn_student_t(0.80, 10), 1.372, 5e-4);
    CHECK_NEAR(sftn_student_t(0.999, 2), 31.599, 5e-4);
}

/* One degree of freedom: tan(pi level / 2); two: level sqrt(2 / (1 - level^2)). */
TEST(small_freedoms_have_their_closed_forms)
{
    CHECK_NEAR(sftn_student_t(0.5, 1), 1.0, 1e-12);
    CHECK_NEAR(sftn_student_t(0.9, 1), tan(0.45 * 3.14159265358979323846), 1e-10);
    CHECK_NEAR(sftn_student_t(0.9, 2), 0.9 * sqrt(2.0 / 0.19), 1e-10);
}

/* 1, 2, 4: mean 7/3, squares 14/3, sd sqrt(7/3), half width 4.302653 sqrt(7/9). */
TEST(a_sample_has_mean_deviation_and_interval)
{
    const double x[] = {1.0, 2.0, 4.0};
    const sftn_sample s = sftn_sample_of(x, 3, 0.95);

    CHECK_INT(s.n, 3);
    CHECK_NEAR(s.mean, 7.0 / 3.0, 1e-12);
    CHECK_NEAR(s.sd, sqrt(7.0 / 3.0), 1e-12);
    CHECK_NEAR(s.high - s.mean, 4.30265273 * sqrt(7.0 / 9.0), 1e-7);
    CHECK_NEAR(s.mean - s.low, s.high - s.mean, 1e-12);
}

TEST(a_sample_counts_what_lies_above_and_below_zero)
{
    const double x[] = {-1.0, 0.0, 2.0, 3.0};
    const sftn_sample s = sftn_sample_of(x, 4, 0.95);

    CHECK_INT(s.above, 2);
    CHECK_INT(s.below, 1);
}

TEST(one_number_has_no_interval_and_none_no_mean)
{
    const double x = 5.0;
    const sftn_sample one = sftn_sample_of(&x, 1, 0.95), none = sftn_sample_of(&x, 0, 0.95);

    CHECK_NEAR(one.mean, 5.0, 0.0);
    CHECK(isnan(one.sd) && isnan(one.low) && isnan(one.high));
    CHECK(isnan(none.mean) && isnan(none.sd));
}
