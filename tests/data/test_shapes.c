/* The built-in set: balanced, deterministic, and not solved by looking at colours. */
#include "test.h"

#include "data/fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static sftn_dataset *open_shapes(uint64_t seed, int64_t limit)
{
    sftn_dataset *d = NULL;
    sftn_error err = {0};

    CHECK_OK(sftn_dataset_open(
                 &(sftn_data_options){.name = "shapes", .seed = seed, .limit = limit}, &d, &err),
             &err);
    return d;
}

TEST(shapes_has_24_named_classes_of_equal_size)
{
    sftn_dataset *d = open_shapes(1, 0);
    const sftn_dataset_info *info = sftn_dataset_get_info(d);

    CHECK_INT(info->classes, 24);
    CHECK_INT(info->records[SFTN_TRAIN], 12000);
    CHECK_INT(info->records[SFTN_TEST], 2400);
    for (int split = 0; split < 3; split += 2) {
        int count[24] = {0};

        for (int64_t i = 0; i < info->records[split]; i++) {
            int label = -1;

            sftn_dataset_record(d, (sftn_split)split, i, &label);
            count[label]++;
        }
        for (int c = 0; c < 24; c++)
            CHECK_INT(count[c], info->records[split] / 24);
    }
    CHECK_TEXT(sftn_dataset_class(d, 0), "plain disc");
    CHECK_TEXT(sftn_dataset_class(d, 13), "striped star");
    CHECK_TEXT(sftn_dataset_class(d, 23), "dotted ring");
    sftn_dataset_close(d);
}

TEST(shapes_follow_from_the_seed_whatever_the_limit)
{
    sftn_dataset *all = open_shapes(1, 480), *few = open_shapes(1, 48), *other = open_shapes(2, 48);

    CHECK_INT(sftn_dataset_get_info(few)->records[SFTN_TRAIN], 48);
    for (int64_t i = 0; i < 48; i++) {
        CHECK_BYTES(sftn_dataset_record(few, SFTN_TRAIN, i, NULL),
                    sftn_dataset_record(all, SFTN_TRAIN, i, NULL), 3072);
        CHECK(memcmp(sftn_dataset_record(few, SFTN_TRAIN, i, NULL),
                     sftn_dataset_record(other, SFTN_TRAIN, i, NULL), 3072) != 0);
        CHECK(memcmp(sftn_dataset_record(few, SFTN_TRAIN, i, NULL),
                     sftn_dataset_record(few, SFTN_TEST, i, NULL), 3072) != 0);
    }
    sftn_dataset_close(all);
    sftn_dataset_close(few);
    sftn_dataset_close(other);
}

/* The constants in the source are near what any seed's pixels have. */
TEST(shapes_statistics_fit_its_pixels)
{
    sftn_dataset *d = open_shapes(5, 2400);
    const sftn_dataset_info *info = sftn_dataset_get_info(d);

    for (int c = 0; c < 3; c++) {
        const double n = 2400.0 * 1024.0;
        double sum = 0.0, squares = 0.0;

        for (int64_t i = 0; i < 2400; i++)
            for (int k = 0; k < 1024; k++) {
                const double x =
                    sftn_dataset_record(d, SFTN_TRAIN, i, NULL)[c * 1024 + k] / 255.0;

                sum += x;
                squares += x * x;
            }
        CHECK_NEAR(sum / n, (double)info->mean[c], 0.02);
        CHECK_NEAR(sqrt(squares / n - sum / n * sum / n), (double)info->std[c], 0.02);
    }
    sftn_dataset_close(d);
}

/*
 * Pictures of each class, weighed by a fixed pattern.  A pixel that a machine's sine rounds
 * otherwise changes a sum by at most 50.
 */
TEST(the_pictures_of_a_seed_stay_what_they_are)
{
    static const int64_t drawn[24] = {
        65507,   426399,  -99585, 73269,  29625,   -111953, 98127,  36431,
        -69630,  14842,   45023,  -44,    -59441,  318497,  -218207, -52800,
        181421,  -70493,  63823,  104153, -42843,  156069,  -43798, 143179};
    sftn_dataset *d = open_shapes(3, 8 * 24);

    for (int label = 0; label < 24; label++) {
        int64_t sum = 0;

        for (int i = label; i < 8 * 24; i += 24) {
            const uint8_t *pixels = sftn_dataset_record(d, SFTN_TRAIN, i, NULL);

            for (int k = 0; k < 3072; k++)
                sum += pixels[k] * ((k * 37 + i * 11) % 101 - 50);
        }
        CHECK_NEAR((double)sum, (double)drawn[label], 1000.0);
    }
    sftn_dataset_close(d);
}

/* A record averaged to 8x8 (sums of 16 pixels): what raw pixels know of the class. */
typedef struct coarse {
    int sum[3 * 64], label;
} coarse;

static coarse *coarse_records(const sftn_dataset *d, sftn_split split, int64_t n)
{
    coarse *list = calloc((size_t)n, sizeof(*list));

    CHECK(list != NULL);
    for (int64_t r = 0; r < n; r++) {
        const uint8_t *image = sftn_dataset_record(d, split, r, &list[r].label);

        for (int i = 0; i < 3 * 64; i++)
            for (int k = 0; k < 16; k++)
                list[r].sum[i] += image[i / 64 * 1024 + (i / 8 % 8 * 4 + k / 4) * 32 +
                                        i % 8 * 4 + k % 4];
    }
    return list;
}

static int64_t squared_distance(const coarse *a, const coarse *b)
{
    int64_t sum = 0;

    for (int i = 0; i < 3 * 64; i++)
        sum += (int64_t)(a->sum[i] - b->sum[i]) * (a->sum[i] - b->sum[i]);
    return sum;
}

TEST(the_nearest_train_image_says_little_about_the_class)
{
    sftn_dataset *d = open_shapes(1, 2400);
    coarse *train = coarse_records(d, SFTN_TRAIN, 2400), *test = coarse_records(d, SFTN_TEST, 240);
    int right = 0;

    for (int i = 0; i < 240; i++) {
        int64_t best = INT64_MAX;
        int found = -1;

        for (int k = 0; k < 2400; k++) {
            const int64_t distance = squared_distance(&test[i], &train[k]);

            if (distance < best) {
                best = distance;
                found = train[k].label;
            }
        }
        right += found == test[i].label;
    }
    CHECK(right < 240 / 5); /* chance: 10 */
    free(train);
    free(test);
    sftn_dataset_close(d);
}
