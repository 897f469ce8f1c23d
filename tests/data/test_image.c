/* Reading PNG and JPEG, scaling, and sheets. */
#include "test.h"

#include "base/base.h"
#include "data/fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

/* Write rows (of `channels` samples of `depth` bits, most significant byte first) as a PNG. */
static void write_png(const char *path, int width, int height, int colour_type, int depth,
                      const uint8_t *rows, size_t row_bytes)
{
    FILE *file = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_color palette[4] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {10, 20, 30}};

    CHECK(file && png && info);
    png_init_io(png, file);
    png_set_IHDR(png, info, (uint32_t)width, (uint32_t)height, depth, colour_type,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (colour_type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 4);
    png_write_info(png, info);
    for (int y = 0; y < height; y++)
        png_write_row(png, rows + (size_t)y * row_bytes);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

static void write_jpeg(const char *path, int width, int height, int components,
                       J_COLOR_SPACE space, const uint8_t *rows)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_stdio_dest(&info, file);
    info.image_width = (JDIMENSION)width;
    info.image_height = (JDIMENSION)height;
    info.input_components = components;
    info.in_color_space = space;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, 100, TRUE);
    jpeg_start_compress(&info, TRUE);
    for (int y = 0; y < height; y++) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(rows + y * width * components);

        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    fclose(file);
}

/* Read as 3 channels and compare the pixel at (y, x). */
static void check_pixel(const char *path, int height, int width, int y, int x, int r, int g, int b,
                        int tolerance)
{
    uint8_t *pixels = malloc((size_t)(3 * height * width));
    sftn_error err = {0};
    const int plane = height * width, at = y * width + x;

    CHECK(pixels != NULL);
    CHECK_OK(sftn_image_read(path, 3, height, width, pixels, &err), &err);
    CHECK_NEAR(pixels[at], r, tolerance);
    CHECK_NEAR(pixels[plane + at], g, tolerance);
    CHECK_NEAR(pixels[2 * plane + at], b, tolerance);
    free(pixels);
}

TEST(png_of_every_kind_becomes_rgb)
{
    const char *path = test_temp_path("kind.png");
    const uint8_t rgb[12] = {1, 2, 3, 40, 50, 60, 7, 8, 9, 250, 251, 252};
    const uint8_t grey[4] = {0, 100, 200, 255}, indexed[4] = {0, 1, 2, 3};
    const uint8_t rgba[16] = {1, 2, 3, 255, 0, 0, 0, 0, 9, 9, 9, 255, 8, 8, 8, 255};
    const uint8_t deep[8] = {0, 0, 100, 0, 200, 0, 255, 255};
    const uint8_t bits[2] = {0x80, 0x40};

    write_png(path, 2, 2, PNG_COLOR_TYPE_RGB, 8, rgb, 6);
    check_pixel(path, 2, 2, 0, 1, 40, 50, 60, 0);
    check_pixel(path, 2, 2, 1, 1, 250, 251, 252, 0);
    write_png(path, 2, 2, PNG_COLOR_TYPE_GRAY, 8, grey, 2);
    check_pixel(path, 2, 2, 1, 0, 200, 200, 200, 0);
    write_png(path, 2, 2, PNG_COLOR_TYPE_PALETTE, 8, indexed, 2);
    check_pixel(path, 2, 2, 0, 1, 0, 255, 0, 0);
    check_pixel(path, 2, 2, 1, 1, 10, 20, 30, 0);
    write_png(path, 2, 2, PNG_COLOR_TYPE_RGB_ALPHA, 8, rgba, 8);
    check_pixel(path, 2, 2, 0, 0, 1, 2, 3, 0);
    check_pixel(path, 2, 2, 0, 1, 255, 255, 255, 0); /* transparent: white */
    write_png(path, 2, 2, PNG_COLOR_TYPE_GRAY, 16, deep, 4);
    check_pixel(path, 2, 2, 0, 1, 100, 100, 100, 1);
    check_pixel(path, 2, 2, 1, 1, 255, 255, 255, 0);
    write_png(path, 2, 2, PNG_COLOR_TYPE_GRAY, 1, bits, 1);
    check_pixel(path, 2, 2, 0, 0, 255, 255, 255, 0);
    check_pixel(path, 2, 2, 1, 0, 0, 0, 0, 0);
}

TEST(jpeg_is_read_in_colour_and_grey_and_cmyk_is_refused)
{
    const char *path = test_temp_path("kind.jpg");
    uint8_t colour[16 * 16 * 4], pixels[3 * 16 * 16];
    sftn_error err = {0};

    for (int i = 0; i < 16 * 16; i++) {
        colour[i * 3] = 200;
        colour[i * 3 + 1] = 100;
        colour[i * 3 + 2] = 50;
    }
    write_jpeg(path, 16, 16, 3, JCS_RGB, colour);
    check_pixel(path, 16, 16, 8, 8, 200, 100, 50, 2);
    memset(colour, 77, sizeof(colour));
    write_jpeg(path, 16, 16, 1, JCS_GRAYSCALE, colour);
    check_pixel(path, 16, 16, 3, 3, 77, 77, 77, 1);
    write_jpeg(path, 16, 16, 4, JCS_CMYK, colour);
    CHECK_FAILS(sftn_image_read(path, 3, 16, 16, pixels, &err), SFTN_ERR_UNSUPPORTED, &err,
                "kind.jpg: a JPEG of four printing colours (CMYK)");
}

TEST(one_channel_is_luma)
{
    const char *path = test_temp_path("luma.png");
    const uint8_t rgb[3] = {200, 100, 50};
    uint8_t pixel = 0;
    sftn_error err = {0};

    write_png(path, 1, 1, PNG_COLOR_TYPE_RGB, 8, rgb, 3);
    CHECK_OK(sftn_image_read(path, 1, 1, 1, &pixel, &err), &err);
    CHECK_INT(pixel, 124); /* 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2 */
}

TEST(scaling_averages_areas)
{
    const char *path = test_temp_path("scale.png");
    uint8_t grey[36];

    for (int i = 0; i < 36; i++)
        grey[i] = (uint8_t)(i * 7);
    write_png(path, 6, 6, PNG_COLOR_TYPE_GRAY, 8, grey, 6);
    /* Halves and thirds: whole pixels.  (0 + 7 + 42 + 49) / 4 = 24.5. */
    check_pixel(path, 3, 3, 0, 0, 25, 25, 25, 0);
    check_pixel(path, 2, 2, 1, 1, 196, 196, 196, 0);
    /* 6 to 4, 1.5 pixels each: (7 * 0.5) / 1.5 along the row and (42 * 0.5) / 1.5 down, 16.3. */
    check_pixel(path, 4, 4, 0, 0, 16, 16, 16, 0);
    /* Up: each result pixel lies in one source pixel. */
    check_pixel(path, 12, 12, 5, 7, (2 * 6 + 3) * 7, (2 * 6 + 3) * 7, (2 * 6 + 3) * 7, 0);
}

TEST(other_shapes_are_cropped_to_the_centre)
{
    const char *wide = test_temp_path("wide.png"), *tall = test_temp_path("tall.png");
    uint8_t grey[8];

    for (int i = 0; i < 8; i++)
        grey[i] = (uint8_t)(i * 30);
    write_png(wide, 4, 2, PNG_COLOR_TYPE_GRAY, 8, grey, 4);
    check_pixel(wide, 2, 2, 0, 0, 30, 30, 30, 0);
    check_pixel(wide, 2, 2, 1, 1, 180, 180, 180, 0);
    write_png(tall, 2, 4, PNG_COLOR_TYPE_GRAY, 8, grey, 2);
    check_pixel(tall, 2, 2, 0, 0, 60, 60, 60, 0);
    check_pixel(tall, 2, 2, 1, 1, 150, 150, 150, 0);
}

TEST(files_that_are_no_images_are_refused)
{
    uint8_t pixels[3];
    sftn_error err = {0};

    CHECK_FAILS(sftn_image_read(test_temp_path("none.png"), 3, 1, 1, pixels, &err), SFTN_ERR_FILE,
                &err, "none.png");
    fixture_write_file(test_temp_path("text.png"), "hello", 5);
    CHECK_FAILS(sftn_image_read(test_temp_path("text.png"), 3, 1, 1, pixels, &err),
                SFTN_ERR_FORMAT, &err, "text.png: neither PNG nor JPEG");
    CHECK_FAILS(sftn_image_read(test_temp_path("text.png"), 2, 1, 1, pixels, &err),
                SFTN_ERR_ARGUMENT, &err, "asked for 2 channels");
}

TEST(an_enormous_png_is_refused_before_it_is_unpacked)
{
    const char *path = test_temp_path("huge.png");
    uint8_t pixels[3], *data;
    size_t bytes = 0;
    sftn_error err = {0};
    const uint8_t grey[4] = {0};
    uint32_t crc;

    write_png(path, 2, 2, PNG_COLOR_TYPE_GRAY, 8, grey, 2);
    data = fixture_read_file(path, &bytes);
    data[17] = data[21] = 1; /* 65538 x 65538 */
    crc = 0xffffffffu;
    for (int i = 12; i < 29; i++) {
        crc ^= data[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    crc = ~crc;
    for (int i = 0; i < 4; i++)
        data[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    fixture_write_file(path, data, bytes);
    CHECK_FAILS(sftn_image_read(path, 3, 1, 1, pixels, &err), SFTN_ERR_FORMAT, &err,
                "65538 x 65538 pixels");
    free(data);
}

/* Every cut of a file is refused, but for the last bytes that carry no pixels. */
static void check_cuts(const char *path, size_t unneeded)
{
    uint8_t pixels[3 * 8 * 8];
    size_t bytes = 0;
    uint8_t *data = fixture_read_file(path, &bytes);
    const char *cut = test_temp_path("cut.image");

    for (size_t n = 0; n < bytes; n++) {
        sftn_error err = {0};
        sftn_status status;

        fixture_write_file(cut, data, n);
        status = sftn_image_read(cut, 3, 8, 8, pixels, &err);
        if (n + unneeded < bytes)
            CHECK_INT(status, SFTN_ERR_FORMAT);
        if (status != SFTN_OK)
            CHECK_CONTAINS(err.text, "cut.image: ");
    }
    free(data);
}

TEST(every_truncation_of_an_image_is_an_error)
{
    uint8_t rgb[20 * 20 * 3];
    sftn_rng rng = sftn_rng_new(1, SFTN_RNG_TEST, 0);

    for (size_t i = 0; i < sizeof(rgb); i++)
        rgb[i] = (uint8_t)sftn_rng_u32(&rng);
    write_png(test_temp_path("cut.png"), 20, 20, PNG_COLOR_TYPE_RGB, 8, rgb, 60);
    write_jpeg(test_temp_path("cut.jpg"), 20, 20, 3, JCS_RGB, rgb);
    check_cuts(test_temp_path("cut.png"), 20);
    check_cuts(test_temp_path("cut.jpg"), 0);
}

TEST(a_sheet_shows_the_records_in_rows)
{
    fixture f = fixture_cifar100(6, 2);
    const char *png = test_temp_path("sheet.png");
    sftn_dataset *d = NULL;
    sftn_error err = {0};
    png_image image = {.version = PNG_IMAGE_VERSION};
    uint8_t *rgb;

    fixture_write(&f, test_temp_path("sheet"), false);
    CHECK_OK(sftn_dataset_open(&(sftn_data_options){.name = "cifar100",
                                                    .path = test_temp_path("sheet"),
                                                    .no_cache = true},
                               &d, &err),
             &err);
    CHECK_OK(sftn_dataset_sheet(d, SFTN_TRAIN, 0, 1, 1, 1, png, &err), &err);
    CHECK_OK(sftn_dataset_sheet(d, SFTN_TRAIN, 1, 3, 2, 2, png, &err), &err);
    CHECK(png_image_begin_read_from_file(&image, png) != 0);
    CHECK_INT(image.width, 3 * 66 + 2);
    CHECK_INT(image.height, 2 * 66 + 2);
    image.format = PNG_FORMAT_RGB;
    rgb = malloc(PNG_IMAGE_SIZE(image));
    CHECK(rgb && png_image_finish_read(&image, NULL, rgb, 0, NULL));
    for (int i = 0; i < 5; i++) {
        /* Pixel (10, 20) of record 1 + i, magnified, inside the cell. */
        const int y = 2 + i / 3 * 66 + 21, x = 2 + i % 3 * 66 + 41;

        for (int c = 0; c < 3; c++)
            CHECK_INT(rgb[(y * (int)image.width + x) * 3 + c],
                      fixture_pixel(0, 1 + i, c * 1024 + 10 * 32 + 20));
    }
    CHECK_INT(rgb[0], 255);
    free(rgb);
    CHECK_FAILS(sftn_dataset_sheet(d, SFTN_TRAIN, 6, 1, 1, 1, png, &err), SFTN_ERR_ARGUMENT, &err,
                "from record 6 of 6");
    CHECK_FAILS(sftn_dataset_sheet(d, SFTN_TRAIN, 0, 100000, 100000, 9, png, &err),
                SFTN_ERR_ARGUMENT, &err, "expected sizes");
    sftn_dataset_close(d);
    fixture_free(&f);
}
