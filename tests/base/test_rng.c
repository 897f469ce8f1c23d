/* rng: Philox4x32-10 against the Random123 distribution's known answers; streams are uniform. */
#include "base/base.h"
#include "test.h"

#include <math.h>

/* Purpose 0 is Philox without a purpose: the form in which the answers are published. */
static void check_known_answer(uint64_t key, uint64_t a, uint64_t b, const uint32_t expected[4])
{
    const sftn_random4 r = sftn_philox(key, (sftn_purpose)0, a, b);

    for (int i = 0; i < 4; i++)
        CHECK_INT(r.v[i], expected[i]);
}

TEST(philox_gives_the_published_answers)
{
    check_known_answer(0, 0, 0, (uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    check_known_answer(UINT64_MAX, UINT64_MAX, UINT64_MAX,
                       (uint32_t[]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    /* Key and counter are digits of pi. */
    check_known_answer(UINT64_C(0x299f31d0a4093822), UINT64_C(0x0370734413198a2e),
                       UINT64_C(0x85a308d3243f6a88),
                       (uint32_t[]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST(seed_purpose_and_counter_each_change_the_numbers)
{
    const uint32_t base = sftn_philox(1, SFTN_RNG_TEST, 2, 3).v[0];

    CHECK(sftn_philox(2, SFTN_RNG_TEST, 2, 3).v[0] != base);
    CHECK(sftn_philox(1, SFTN_RNG_INIT, 2, 3).v[0] != base);
    CHECK(sftn_philox(1, SFTN_RNG_TEST, 3, 3).v[0] != base);
    CHECK(sftn_philox(1, SFTN_RNG_TEST, 2, 4).v[0] != base);
    CHECK_INT(sftn_philox(1, SFTN_RNG_TEST, 2, 3).v[0], base);
}

TEST(a_stream_is_the_blocks_in_order)
{
    sftn_rng r = sftn_rng_new(5, SFTN_RNG_TEST, 9);

    for (uint64_t b = 0; b < 10; b++) {
        const sftn_random4 block = sftn_philox(5, SFTN_RNG_TEST, 9, b);

        for (int i = 0; i < 4; i++)
            CHECK_INT(sftn_rng_u32(&r), block.v[i]);
    }
}

/* Chi-squared with 99 degrees of freedom: mean 99, standard deviation 14; six of them allowed. */
TEST(uniform_numbers_fill_the_unit_interval_evenly)
{
    enum { BINS = 100, DRAWS = 200000 };
    sftn_rng r = sftn_rng_new(1, SFTN_RNG_TEST, 0);
    int count[BINS] = {0};
    double chi2 = 0.0;

    for (int i = 0; i < DRAWS; i++) {
        const double x = sftn_rng_uniform(&r);

        CHECK(x >= 0.0 && x < 1.0);
        count[(int)(x * BINS)]++;
    }
    for (int i = 0; i < BINS; i++) {
        const double expected = (double)DRAWS / BINS;

        chi2 += (count[i] - expected) * (count[i] - expected) / expected;
    }
    CHECK_NEAR(chi2, 99.0, 6.0 * 14.1);
}

/* Six standard errors of the first four moments. */
TEST(normal_numbers_have_the_moments_of_a_normal_distribution)
{
    enum { DRAWS = 200000 };
    sftn_rng r = sftn_rng_new(2, SFTN_RNG_TEST, 0);
    double m1 = 0.0, m2 = 0.0, m3 = 0.0, m4 = 0.0;

    for (int i = 0; i < DRAWS; i++) {
        const double x = sftn_rng_normal(&r);

        m1 += x / DRAWS;
        m2 += x * x / DRAWS;
        m3 += x * x * x / DRAWS;
        m4 += x * x * x * x / DRAWS;
    }
    CHECK_NEAR(m1, 0.0, 6.0 * sqrt(1.0 / DRAWS));
    CHECK_NEAR(m2, 1.0, 6.0 * sqrt(2.0 / DRAWS));
    CHECK_NEAR(m3, 0.0, 6.0 * sqrt(15.0 / DRAWS));
    CHECK_NEAR(m4, 3.0, 6.0 * sqrt(96.0 / DRAWS));
}

TEST(below_is_even_where_n_does_not_divide_the_range)
{
    enum { N = 7, DRAWS = 70000 };
    sftn_rng r = sftn_rng_new(3, SFTN_RNG_TEST, 0);
    int count[N] = {0};

    for (int i = 0; i < DRAWS; i++)
        count[sftn_rng_below(&r, N)]++;
    for (int i = 0; i < N; i++)
        CHECK_NEAR(count[i], DRAWS / N, 6.0 * sqrt(DRAWS / N));
    for (int i = 0; i < 100; i++)
        CHECK_INT(sftn_rng_below(&r, 1), 0);
    /* Three quarters of the range: the largest share of rejected draws a test can see quickly. */
    for (int i = 0; i < 1000; i++)
        CHECK(sftn_rng_below(&r, 0xC0000000u) < 0xC0000000u);
}
