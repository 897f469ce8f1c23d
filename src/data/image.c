/*
 * image: PNG and JPEG files to bytes of a given size, and sheets of records as PNG.
 *
 * PNG goes through libpng's simplified interface, which turns palettes, grey, 16-bit samples and
 * other gammas into 8-bit sRGB; transparency is laid over white.  JPEG goes through libjpeg, whose
 * fatal errors come back by longjmp.
 */
#include "base/base.h"
#include "data/dataset.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

/* 100 million pixels: a larger file is a mistake or an attack. */
#define MAX_PIXELS 100000000.0

/* Rows of RGB pixels. */
typedef struct picture {
    int width, height;
    uint8_t *rgb; /* [height,width,3]; owned */
} picture;

static sftn_status picture_alloc(picture *p, const char *path, double width, double height,
                                 sftn_error *err)
{
    if (width < 1 || height < 1 || width * height > MAX_PIXELS)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: %.0f x %.0f pixels, expected 1 to %.0f pixels",
                         path, width, height, MAX_PIXELS);
    p->width = (int)width;
    p->height = (int)height;
    p->rgb = sftn_calloc((size_t)p->width * (size_t)p->height, 3);
    return p->rgb ? SFTN_OK : sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", path);
}

/* ---- PNG ---- */

static sftn_status read_png(const char *path, const void *data, size_t bytes, picture *p,
                            sftn_error *err)
{
    const png_color white = {255, 255, 255};
    png_image image = {.version = PNG_IMAGE_VERSION};
    sftn_status status = SFTN_OK;

    if (png_image_begin_read_from_memory(&image, data, bytes)) {
        image.format = PNG_FORMAT_RGB;
        image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
        status = picture_alloc(p, path, image.width, image.height, err);
        if (status == SFTN_OK)
            png_image_finish_read(&image, &white, p->rgb, 0, NULL);
    }
    if (status == SFTN_OK && PNG_IMAGE_FAILED(image))
        status = sftn_fail(err, SFTN_ERR_FORMAT, "%s: damaged PNG: %s", path, image.message);
    png_image_free(&image);
    return status;
}

/* ---- JPEG ---- */

typedef struct jpeg_failure {
    struct jpeg_error_mgr manager; /* first: libjpeg knows it by this address */
    jmp_buf back;
    char text[JMSG_LENGTH_MAX];
} jpeg_failure;

static void jpeg_fatal(j_common_ptr info)
{
    jpeg_failure *failure = (jpeg_failure *)info->err;

    failure->manager.format_message(info, failure->text);
    longjmp(failure->back, 1);
}

/* A warning means damaged or missing data, which libjpeg would fill with grey. */
static void jpeg_message(j_common_ptr info, int level)
{
    if (level < 0)
        jpeg_fatal(info);
}

static sftn_status decode_jpeg(struct jpeg_decompress_struct *info, const char *path, picture *p,
                               sftn_error *err)
{
    sftn_status status;

    jpeg_read_header(info, TRUE);
    if (info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK)
        return sftn_fail(err, SFTN_ERR_UNSUPPORTED,
                         "%s: a JPEG of four printing colours (CMYK), expected RGB or grey", path);
    info->out_color_space = JCS_RGB;
    status = picture_alloc(p, path, info->image_width, info->image_height, err);
    if (status != SFTN_OK)
        return status;
    jpeg_start_decompress(info);
    while (info->output_scanline < info->output_height) {
        JSAMPROW row = p->rgb + (size_t)info->output_scanline * (size_t)p->width * 3;

        jpeg_read_scanlines(info, &row, 1);
    }
    jpeg_finish_decompress(info);
    return SFTN_OK;
}

static sftn_status read_jpeg(const char *path, const void *data, size_t bytes, picture *p,
                             sftn_error *err)
{
    struct jpeg_decompress_struct info = {0};
    jpeg_failure failure = {0};
    sftn_status status;

    info.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = jpeg_fatal;
    failure.manager.emit_message = jpeg_message;
    if (setjmp(failure.back)) {
        jpeg_destroy_decompress(&info);
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: damaged JPEG: %s", path, failure.text);
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, data, (unsigned long)bytes);
    status = decode_jpeg(&info, path, p, err);
    jpeg_destroy_decompress(&info);
    return status;
}

/* ---- scaling ---- */

/* The part of source interval i, of `scale` source pixels each, that pixel k covers. */
static double overlap(int i, double scale, double offset, int k)
{
    const double from = offset + i * scale, to = from + scale;

    return fmax(0.0, fmin(to, k + 1.0) - fmax(from, (double)k));
}

/*
 * Mean over the area that pixel (y, x) of the result covers in the source: `scale` source pixels
 * square, from (top, left) on.
 */
static void average(const picture *p, double top, double left, double scale, int y, int x,
                    double rgb[3])
{
    const int y0 = (int)(top + y * scale), x0 = (int)(left + x * scale);
    double sum[3] = {0}, area = 0.0;

    for (int r = y0; r < p->height && r < top + (y + 1) * scale; r++) {
        const double wy = overlap(y, scale, top, r);

        for (int c = x0; c < p->width && c < left + (x + 1) * scale; c++) {
            const uint8_t *pixel = p->rgb + ((size_t)r * (size_t)p->width + (size_t)c) * 3;
            const double w = wy * overlap(x, scale, left, c);

            area += w;
            for (int k = 0; k < 3; k++)
                sum[k] += w * pixel[k];
        }
    }
    for (int k = 0; k < 3; k++)
        rgb[k] = area > 0.0 ? sum[k] / area : 0.0;
}

/* Rec. 601 luma, as grey conversions of photographs have it. */
static double luma(const double rgb[3])
{
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
}

/* The largest centred rectangle of the target's shape, averaged down (or up) to it. */
static void scale_to(const picture *p, int channels, int height, int width, uint8_t *pixels)
{
    const double scale = fmin((double)p->height / height, (double)p->width / width);
    const double top = (p->height - scale * height) / 2.0;
    const double left = (p->width - scale * width) / 2.0;
    const int64_t plane = (int64_t)height * width;

    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            uint8_t *dst = pixels + (int64_t)y * width + x;
            double rgb[3];

            average(p, top, left, scale, y, x, rgb);
            if (channels == 1)
                rgb[0] = luma(rgb);
            for (int c = 0; c < channels; c++)
                dst[c * plane] = (uint8_t)(rgb[c] + 0.5);
        }
    }
}

sftn_status sftn_image_read(const char *path, int channels, int height, int width,
                            uint8_t *pixels, sftn_error *err)
{
    static const uint8_t png_magic[4] = {0x89, 'P', 'N', 'G'};
    static const uint8_t jpeg_magic[3] = {0xff, 0xd8, 0xff};
    picture p = {0};
    void *data = NULL;
    size_t bytes = 0;
    sftn_status status;

    if ((channels != 1 && channels != 3) || height < 1 || width < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "%s: asked for %d channels of %d x %d, expected 1 or 3 and a size", path,
                         channels, width, height);
    status = sftn_read_file(path, &data, &bytes, err);
    if (status != SFTN_OK)
        return status;
    if (bytes >= sizeof(png_magic) && memcmp(data, png_magic, sizeof(png_magic)) == 0)
        status = read_png(path, data, bytes, &p, err);
    else if (bytes >= sizeof(jpeg_magic) && memcmp(data, jpeg_magic, sizeof(jpeg_magic)) == 0)
        status = read_jpeg(path, data, bytes, &p, err);
    else
        status = sftn_fail(err, SFTN_ERR_FORMAT, "%s: neither PNG nor JPEG", path);
    if (status == SFTN_OK)
        scale_to(&p, channels, height, width, pixels);
    free(p.rgb);
    free(data);
    return status;
}

/* ---- sheets ---- */

typedef struct sheet {
    png_image image;
    uint8_t *rgb;
} sheet;

/* A record into the sheet's cell at (top, left), each pixel as zoom x zoom. */
static void draw_record(const sheet *s, const sftn_dataset_info *info, const uint8_t *pixels,
                        int top, int left, int zoom)
{
    const int64_t plane = (int64_t)info->height * info->width;

    for (int y = 0; y < info->height * zoom; y++) {
        uint8_t *row = s->rgb + ((size_t)(top + y) * s->image.width + (size_t)left) * 3;

        for (int x = 0; x < info->width * zoom; x++) {
            const uint8_t *src = pixels + (int64_t)(y / zoom) * info->width + x / zoom;

            for (int c = 0; c < 3; c++)
                row[x * 3 + c] = src[info->channels == 1 ? 0 : c * plane];
        }
    }
}

static bool write_sheet(void *ctx, void *stream)
{
    sheet *s = ctx;

    return png_image_write_to_stdio(&s->image, stream, 0, s->rgb, 0, NULL) != 0;
}

sftn_status sftn_dataset_sheet(const sftn_dataset *d, sftn_split split, int64_t first,
                               int columns, int rows, int zoom, const char *png, sftn_error *err)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(d);
    const int gap = 2;
    const double width = (double)columns * (info->width * (double)zoom + gap) + gap;
    const double height = (double)rows * (info->height * (double)zoom + gap) + gap;
    sheet s = {.image = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_RGB}};
    sftn_status status;

    if (columns < 1 || rows < 1 || zoom < 1 || first < 0 || first >= info->records[split] ||
        width * height > MAX_PIXELS)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "sheet of %d x %d records at zoom %d from record %lld of %lld: expected "
                         "sizes of at least 1, at most %.0f pixels and a record that exists",
                         columns, rows, zoom, (long long)first, (long long)info->records[split],
                         MAX_PIXELS);
    s.image.width = (uint32_t)width;
    s.image.height = (uint32_t)height;
    s.rgb = malloc((size_t)s.image.width * s.image.height * 3);
    if (!s.rgb)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", png);
    memset(s.rgb, 255, (size_t)s.image.width * s.image.height * 3);
    for (int i = 0; i < columns * rows && first + i < info->records[split]; i++)
        draw_record(&s, info, sftn_dataset_record(d, split, first + i, NULL),
                    gap + i / columns * (info->height * zoom + gap),
                    gap + i % columns * (info->width * zoom + gap), zoom);
    status = sftn_replace_file(png, write_sheet, &s, err);
    free(s.rgb);
    return status;
}
