/* Augmentation and normalization against a slow reference, rounding to bfloat16. */
#include "test.h"

#include "base/base.h"
#include "data/augment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 3, HEIGHT = 6, WIDTH = 9, PIXELS = CHANNELS * HEIGHT * WIDTH };

static const sftn_dataset_info info = {
    .classes  = 2,
    .channels = CHANNELS,
    .height   = HEIGHT,
    .width    = WIDTH,
    .mean     = {0.5f, 0.4f, 0.3f},
    .std      = {0.2f, 0.25f, 0.3f},
};

static void random_image(uint8_t image[PIXELS])
{
    sftn_rng rng = sftn_rng_new(1, SFTN_RNG_TEST, 0);

    for (int i = 0; i < PIXELS; i++)
        image[i] = (uint8_t)sftn_rng_u32(&rng);
}

/*
 * Pad, crop, mirror, normalize as separate steps on whole images: expected[c][y][x].
 */
static void slow_view(const uint8_t *image, sftn_view v, double expected[PIXELS])
{
    enum { PAD = 12, H = HEIGHT + 2 * PAD, W = WIDTH + 2 * PAD };
    static uint8_t padded[CHANNELS][H][W];

    memset(padded, 0, sizeof(padded));
    for (int i = 0; i < PIXELS; i++)
        padded[i / (HEIGHT * WIDTH)][PAD + i / WIDTH % HEIGHT][PAD + i % WIDTH] = image[i];
    for (int i = 0; i < PIXELS; i++) {
        const int c = i / (HEIGHT * WIDTH), y = i / WIDTH % HEIGHT, x = i % WIDTH;
        const int from = v.flip ? WIDTH - 1 - x : x;

        expected[i] = padded[c][PAD + y + v.dy][PAD + from + v.dx] / 255.0;
        expected[i] = (expected[i] - (double)info.mean[c]) / (double)info.std[c];
    }
}

static double element(const void *batch, sftn_dtype dtype, int i)
{
    float x;
    uint32_t bits;

    if (dtype == SFTN_F64)
        return ((const double *)batch)[i];
    if (dtype == SFTN_F32)
        return (double)((const float *)batch)[i];
    bits = (uint32_t)((const uint16_t *)batch)[i] << 16;
    memcpy(&x, &bits, sizeof(x));
    return (double)x;
}

/* Every view of one image, in one type and layout, against the reference. */
static void check_views(sftn_dtype dtype, sftn_layout layout, double tolerance)
{
    uint8_t image[PIXELS];
    double batch[PIXELS + 2], expected[PIXELS];
    sftn_writer w;

    random_image(image);
    sftn_writer_init(&w, &info, dtype, layout);
    for (int n = 0; n < 2 * 21 * 21; n++) {
        const sftn_view v = {.dy = n / 2 / 21 - 10, .dx = n / 2 % 21 - 10, .flip = n % 2};
        const uint8_t *end = (const uint8_t *)batch + sftn_writer_bytes(&w);

        memset(batch, 0x5a, sizeof(batch));
        sftn_writer_image(&w, image, v, batch);
        slow_view(image, v, expected);
        for (int i = 0; i < PIXELS; i++) {
            const int plane = HEIGHT * WIDTH, c = i / plane, at = i % plane;
            const double x =
                element(batch, dtype, layout == SFTN_NHWC ? at * CHANNELS + c : i);

            CHECK_NEAR(x, expected[i], tolerance * fmax(1.0, fabs(expected[i])));
        }
        CHECK_INT(end[0], 0x5a);
    }
}

TEST(every_crop_and_mirror_equals_the_reference_in_every_type_and_layout)
{
    check_views(SFTN_F64, SFTN_NCHW, 1e-14);
    check_views(SFTN_F64, SFTN_NHWC, 1e-14);
    check_views(SFTN_F32, SFTN_NCHW, 1e-7);
    check_views(SFTN_F32, SFTN_NHWC, 1e-7);
    check_views(SFTN_BF16, SFTN_NCHW, 1.0 / 256.0);
    check_views(SFTN_BF16, SFTN_NHWC, 1.0 / 256.0);
}

/* A quarter turn counterclockwise: what was the right column becomes the top row. */
static void turn(const float *from, float *to)
{
    for (int c = 0; c < CHANNELS; c++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < HEIGHT; x++)
                to[(c * HEIGHT + y) * HEIGHT + x] =
                    from[(c * HEIGHT + x) * HEIGHT + HEIGHT - 1 - y];
}

static void to_channels_last(const float *from, float *to)
{
    for (int i = 0; i < CHANNELS * HEIGHT * HEIGHT; i++)
        to[i % (HEIGHT * HEIGHT) * CHANNELS + i / (HEIGHT * HEIGHT)] = from[i];
}

TEST(a_view_is_turned_after_it_is_cropped_and_mirrored)
{
    enum { COUNT = CHANNELS * HEIGHT * HEIGHT };
    sftn_dataset_info square = info;
    uint8_t image[PIXELS];
    float plain[COUNT], turned[COUNT], found[COUNT], last[COUNT];
    sftn_writer w[2];

    square.width = HEIGHT;
    random_image(image);
    sftn_writer_init(&w[0], &square, SFTN_F32, SFTN_NCHW);
    sftn_writer_init(&w[1], &square, SFTN_F32, SFTN_NHWC);
    for (int n = 0; n < 4 * 2 * 9 * 9; n++) {
        sftn_view v = {.dy = n / 8 / 9 - 4, .dx = n / 8 % 9 - 4, .flip = n % 2};

        sftn_writer_image(&w[0], image, v, plain);
        v.turns = n / 2 % 4;
        for (int k = 0; k < v.turns; k++) {
            turn(plain, turned);
            memcpy(plain, turned, sizeof(plain));
        }
        sftn_writer_image(&w[0], image, v, found);
        CHECK_BYTES(found, plain, sizeof(plain));
        sftn_writer_image(&w[1], image, v, found);
        to_channels_last(plain, last);
        CHECK_BYTES(found, last, sizeof(last));
    }
}

TEST(padded_pixels_are_black_not_average)
{
    uint8_t image[PIXELS];
    float batch[PIXELS];
    sftn_writer w;

    random_image(image);
    sftn_writer_init(&w, &info, SFTN_F32, SFTN_NCHW);
    sftn_writer_image(&w, image, (sftn_view){.dy = -1}, batch);
    for (int c = 0; c < CHANNELS; c++)
        for (int x = 0; x < WIDTH; x++)
            CHECK_NEAR((double)batch[c * HEIGHT * WIDTH + x],
                       -(double)info.mean[c] / (double)info.std[c], 1e-6);
}

TEST(grey_images_are_the_same_in_both_layouts)
{
    sftn_dataset_info grey = info;
    uint8_t image[PIXELS];
    float a[HEIGHT * WIDTH], b[HEIGHT * WIDTH];
    sftn_writer w;

    grey.channels = 1;
    random_image(image);
    sftn_writer_init(&w, &grey, SFTN_F32, SFTN_NCHW);
    sftn_writer_image(&w, image, (sftn_view){.dy = 2, .dx = -1, .flip = true}, a);
    sftn_writer_init(&w, &grey, SFTN_F32, SFTN_NHWC);
    sftn_writer_image(&w, image, (sftn_view){.dy = 2, .dx = -1, .flip = true}, b);
    CHECK_BYTES(a, b, sizeof(a));
}

TEST(views_cover_all_offsets_and_both_sides_equally)
{
    const sftn_variation how = {.augment = {.pad = 2, .flip = true}, .seed = 1};

    for (int view = 0; view < 3; view++) {
        int dy[5] = {0}, dx[5] = {0}, flips = 0;

        for (int i = 0; i < 10000; i++) {
            const sftn_view v = sftn_augment_view(&how, i / 100, i % 100, view);

            dy[v.dy + 2]++;
            dx[v.dx + 2]++;
            flips += v.flip;
        }
        for (int i = 0; i < 5; i++) {
            CHECK_NEAR(dy[i], 2000, 200); /* 5 standard deviations */
            CHECK_NEAR(dx[i], 2000, 200);
        }
        CHECK_NEAR(flips, 5000, 250);
    }
}

TEST(views_are_a_function_of_seed_epoch_record_and_number)
{
    const sftn_variation how = {.augment = {.pad = 4, .flip = true}, .seed = 1};
    sftn_variation elsewhere = how;
    int differ[4] = {0};

    elsewhere.seed = 2;
    for (int i = 0; i < 200; i++) {
        const sftn_view v = sftn_augment_view(&how, 2, i, 0);
        const sftn_view same = sftn_augment_view(&how, 2, i, 0);
        const sftn_view other[4] = {
            sftn_augment_view(&elsewhere, 2, i, 0), sftn_augment_view(&how, 3, i, 0),
            sftn_augment_view(&how, 2, i + 1, 0), sftn_augment_view(&how, 2, i, 1)};

        CHECK(v.dy == same.dy && v.dx == same.dx && v.flip == same.flip);
        for (int k = 0; k < 4; k++)
            differ[k] += v.dy != other[k].dy || v.dx != other[k].dx || v.flip != other[k].flip;
    }
    for (int k = 0; k < 4; k++)
        CHECK(differ[k] > 180);
}

TEST(turned_views_are_mirrored_all_or_none_and_the_first_is_the_usual_one)
{
    const sftn_variation usual = {.augment = {.pad = 4, .flip = true}, .seed = 1};
    sftn_variation turned = usual;
    int moved = 0;

    turned.views = (sftn_views){.n = 4, .turned = true};
    for (int i = 0; i < 200; i++) {
        const sftn_view first = sftn_augment_view(&turned, 2, i, 0);
        const sftn_view alone = sftn_augment_view(&usual, 2, i, 0);

        CHECK(first.dy == alone.dy && first.dx == alone.dx && first.flip == alone.flip);
        for (int view = 0; view < 4; view++) {
            const sftn_view v = sftn_augment_view(&turned, 2, i, view);

            CHECK_INT(v.turns, view);
            CHECK(v.flip == first.flip);
            moved += v.dy != first.dy || v.dx != first.dx;
            CHECK_INT(sftn_augment_view(&usual, 2, i, view).turns, 0);
        }
    }
    CHECK(moved > 3 * 190);
}

TEST(without_augmentation_the_view_is_the_image)
{
    const sftn_variation none = {.seed = 1};

    for (int i = 0; i < 50; i++) {
        const sftn_view v = sftn_augment_view(&none, 0, i, 0);

        CHECK(v.dy == 0 && v.dx == 0 && !v.flip);
    }
}

static uint32_t float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

TEST(bfloat16_rounds_to_nearest_and_ties_to_even)
{
    CHECK_INT(sftn_bf16_round(1.0f), 0x3f80);
    CHECK_INT(sftn_bf16_round(-2.0f), 0xc000);
    CHECK_INT(sftn_bf16_round(1.0f + 0x1p-8f), 0x3f80);             /* tie, even below */
    CHECK_INT(sftn_bf16_round(1.0f + 0x1p-7f + 0x1p-8f), 0x3f82);   /* tie, even above */
    CHECK_INT(sftn_bf16_round(1.0f + 0x1p-8f + 0x1p-20f), 0x3f81);  /* just above a tie */
    CHECK_INT(sftn_bf16_round(1.0f + 0x1p-8f - 0x1p-20f), 0x3f80);  /* just below a tie */
    CHECK_INT(sftn_bf16_round(0x1.fffffep127f), 0x7f80);            /* past the largest */
    CHECK_INT(sftn_bf16_round(INFINITY), 0x7f80);
    CHECK_INT(sftn_bf16_round(-0.0f), 0x8000);
    CHECK(sftn_bf16_round(NAN) > 0x7f80 && sftn_bf16_round(NAN) < 0x8000);
}

TEST(bfloat16_is_nearest_for_random_numbers)
{
    sftn_rng rng = sftn_rng_new(5, SFTN_RNG_TEST, 0);

    for (int i = 0; i < 100000; i++) {
        const float x = (float)sftn_rng_normal(&rng);
        const uint32_t low = float_bits(x) & 0xffff0000u, high = low + 0x10000u;
        const uint32_t below = float_bits(x) - low, above = high - float_bits(x);
        const uint32_t nearest = below != above ? (below < above ? low : high)
                                                : (low >> 16 & 1 ? high : low);

        CHECK_INT(sftn_bf16_round(x), nearest >> 16);
    }
}
