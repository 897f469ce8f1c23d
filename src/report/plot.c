/*
 * plot: pictures of runs, drawn with cairo as SVG or PNG.
 */
#include "report/plot.h"

#include <cairo-svg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Okabe and Ito's colours, told apart by colour-blind readers too; the yellow is left out. */
static const double colour[SFTN_PLOT_COLOURS][3] = {
    {0.00, 0.45, 0.70}, {0.84, 0.37, 0.00}, {0.00, 0.62, 0.45}, {0.80, 0.47, 0.65},
    {0.34, 0.71, 0.91}, {0.90, 0.62, 0.00}, {0.25, 0.25, 0.25},
};

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten, so that range has at most `most` marks. */
static double mark_step(double range, int most)
{
    static const double factor[] = {1.0, 2.0, 5.0, 10.0};
    const double power = pow(10.0, floor(log10(range / most)));

    for (size_t i = 0; i < SFTN_COUNT(factor); i++)
        if (range / (factor[i] * power) <= most)
            return factor[i] * power;
    return 10.0 * power;
}

sftn_plot_axis sftn_plot_axis_of(double low, double high, int most, double from, double to)
{
    sftn_plot_axis a = {.from = from, .to = to};

    if (!(high - low > 1e-6 * fabs(high))) {
        const double around = fmax(0.5, 0.01 * fabs(high));

        low -= around;
        high += around;
    }
    a.step = mark_step(high - low, most);
    a.low = floor(low / a.step + 1e-9) * a.step;
    a.high = ceil(high / a.step - 1e-9) * a.step;
    return a;
}

double sftn_plot_at(const sftn_plot_axis *axis, double value)
{
    return axis->from + (axis->to - axis->from) * (value - axis->low) / (axis->high - axis->low);
}

static void format_mark(double value, double step, char *text, size_t size)
{
    snprintf(text, size, "%g", fabs(value) < 1e-9 * step ? 0.0 : value);
}

static void set_grey(cairo_t *c, double shade)
{
    cairo_set_source_rgb(c, shade, shade, shade);
}

void sftn_plot_x_axis(cairo_t *c, const sftn_plot_axis *x, double y, double top, const char *title)
{
    char text[32];

    cairo_set_line_width(c, 1.0);
    for (double v = x->low; v < x->high + 0.5 * x->step; v += x->step) {
        const double at = sftn_plot_at(x, v);

        if (top < y) {
            set_grey(c, 0.88);
            sftn_plot_line(c, at, y, at, top);
        }
        set_grey(c, 0.2);
        sftn_plot_line(c, at, y, at, y + 5.0);
        format_mark(v, x->step, text, sizeof text);
        sftn_plot_text(c, at, y + 20.0, 0.5, text);
    }
    set_grey(c, 0.2);
    sftn_plot_line(c, x->from, y, x->to, y);
    sftn_plot_text(c, 0.5 * (x->from + x->to), y + 40.0, 0.5, title);
}

void sftn_plot_y_axis(cairo_t *c, const sftn_plot_axis *y, double x, double right,
                      const char *title)
{
    char text[32];

    cairo_set_line_width(c, 1.0);
    for (double v = y->low; v < y->high + 0.5 * y->step; v += y->step) {
        const double at = sftn_plot_at(y, v);

        set_grey(c, 0.88);
        sftn_plot_line(c, x, at, right, at);
        set_grey(c, 0.2);
        format_mark(v, y->step, text, sizeof text);
        sftn_plot_text(c, x - 8.0, at + 4.5, 1.0, text);
    }
    sftn_plot_line(c, x, y->from, x, y->to);
    sftn_plot_text(c, x - 50.0, y->to - 20.0, 0.0, title);
}

/* ---- marks ---- */

void sftn_plot_colour(cairo_t *c, int i, double alpha)
{
    const double *rgb = colour[i % SFTN_PLOT_COLOURS];

    cairo_set_source_rgba(c, rgb[0], rgb[1], rgb[2], alpha);
}

double sftn_plot_text_width(cairo_t *c, const char *text)
{
    cairo_text_extents_t size;

    cairo_text_extents(c, text, &size);
    return size.x_advance;
}

void sftn_plot_text(cairo_t *c, double x, double y, double align, const char *text)
{
    cairo_move_to(c, x - align * sftn_plot_text_width(c, text), y);
    cairo_show_text(c, text);
}

void sftn_plot_line(cairo_t *c, double x0, double y0, double x1, double y1)
{
    cairo_move_to(c, x0, y0);
    cairo_line_to(c, x1, y1);
    cairo_stroke(c);
}

void sftn_plot_dot(cairo_t *c, double x, double y, double radius)
{
    cairo_new_path(c);
    cairo_arc(c, x, y, radius, 0.0, 8.0 * atan(1.0));
    cairo_fill(c);
}

/* ---- files ---- */

/* cairo's own writers leave a damaged file behind on a full disk, so the bytes go through ours. */
typedef struct bytes {
    unsigned char *data;
    int n, capacity;
} bytes;

static cairo_status_t keep_bytes(void *ctx, const unsigned char *data, unsigned int length)
{
    bytes *b = ctx;

    if (!sftn_grow(&b->data, &b->capacity, b->n + (int)length, 1))
        return CAIRO_STATUS_WRITE_ERROR;
    memcpy(b->data + b->n, data, length);
    b->n += (int)length;
    return CAIRO_STATUS_SUCCESS;
}

static bool write_bytes(void *ctx, void *stream)
{
    const bytes *b = ctx;

    return fwrite(b->data, 1, (size_t)b->n, stream) == (size_t)b->n;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), n = strlen(end);

    return length > n && strcmp(text + length - n, end) == 0;
}

static sftn_status draw(cairo_t *c, const sftn_plot *p, sftn_plot_kind kind, sftn_error *err)
{
    cairo_set_source_rgb(c, 1.0, 1.0, 1.0);
    cairo_paint(c);
    cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, 14.0);
    switch (kind) {
    case SFTN_PLOT_INTERVALS: return sftn_plot_intervals(c, p, err);
    case SFTN_PLOT_DIFFERENCES: return sftn_plot_differences(c, p, err);
    default: return sftn_plot_curves(c, p, err);
    }
}

sftn_status sftn_runs_plot(const sftn_run *runs, int n, const sftn_run_statistics *s,
                           const sftn_plot_options *options, const char *file, sftn_error *err)
{
    const sftn_plot p = {runs, n, s, options->width, options->height};
    const bool svg = ends_with(file, ".svg");
    bytes picture = {0};
    cairo_surface_t *surface;
    cairo_t *c;
    sftn_status status;

    if (!svg && !ends_with(file, ".png"))
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "plot: the name %s ends neither in .svg nor in "
                         ".png", file);
    surface = svg ? cairo_svg_surface_create_for_stream(keep_bytes, &picture, p.width, p.height)
                  : cairo_image_surface_create(CAIRO_FORMAT_RGB24, options->width,
                                               options->height);
    if (svg)
        cairo_svg_surface_set_document_unit(surface, CAIRO_SVG_UNIT_PX);
    c = cairo_create(surface);
    status = draw(c, &p, options->kind, err);
    if (!status && !svg)
        cairo_surface_write_to_png_stream(surface, keep_bytes, &picture);
    cairo_surface_finish(surface);
    if (!status && cairo_status(c) != CAIRO_STATUS_SUCCESS)
        status =
            sftn_fail(err, SFTN_ERR_MEMORY, "plot: %s", cairo_status_to_string(cairo_status(c)));
    else if (!status && (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS || !picture.n))
        status = sftn_fail(err, SFTN_ERR_MEMORY, "plot: out of memory");
    else if (!status)
        status = sftn_replace_file(file, write_bytes, &picture, err);
    cairo_destroy(c);
    cairo_surface_destroy(surface);
    free(picture.data);
    return status;
}
