/*
 * plot: test accuracy by epoch of several runs, drawn with cairo.
 */
#include "sftn/report.h"

#include "base/base.h"

#include <cairo.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Okabe and Ito's colours, told apart by colour-blind readers too; the yellow is left out. */
static const double colour[][3] = {
    {0.00, 0.45, 0.70}, {0.84, 0.37, 0.00}, {0.00, 0.62, 0.45}, {0.80, 0.47, 0.65},
    {0.34, 0.71, 0.91}, {0.90, 0.62, 0.00}, {0.25, 0.25, 0.25},
};

/* Where data lie on the picture. */
typedef struct frame {
    double left, top, right, bottom; /* of the axes, pixels */
    double x_max, y_min, y_max;      /* epochs from 0; percent */
    double x_step, y_step;           /* between marks */
} frame;

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

static double to_x(const frame *f, double epoch)
{
    return f->left + (f->right - f->left) * epoch / f->x_max;
}

static double to_y(const frame *f, double percent)
{
    return f->bottom - (f->bottom - f->top) * (percent - f->y_min) / (f->y_max - f->y_min);
}

static frame make_frame(const sftn_run *runs, int n, int width, int height, double legend_height)
{
    frame f = {.left = 70.0,
               .right = width - 30.0,
               .top = 50.0,
               .bottom = height - 60.0 - legend_height,
               .x_max = 1.0};
    double low = 100.0, high = 0.0;

    for (int i = 0; i < n; i++) {
        for (int k = 0; k < runs[i].nepochs; k++) {
            const sftn_run_epoch *e = &runs[i].epoch[k];

            f.x_max = fmax(f.x_max, (double)e->epoch);
            if (e->test_top1 < 0.0)
                continue;
            low = fmin(low, e->test_top1);
            high = fmax(high, e->test_top1);
        }
    }
    if (high < low)
        low = 0.0, high = 100.0;
    f.y_step = mark_step(fmax(high - low, 1.0), 8);
    f.y_min = fmax(0.0, floor(low / f.y_step) * f.y_step);
    f.y_max = f.y_min + ceil((fmax(high, low + 1.0) - f.y_min) / f.y_step) * f.y_step;
    f.x_step = fmax(1.0, mark_step(f.x_max, 12));
    return f;
}

/* Text with its reference point at left (align 0), middle (0.5) or right (1). */
static void put_text(cairo_t *c, double x, double y, double align, const char *text)
{
    cairo_text_extents_t size;

    cairo_text_extents(c, text, &size);
    cairo_move_to(c, x - align * size.x_advance, y);
    cairo_show_text(c, text);
}

static void draw_line(cairo_t *c, double x0, double y0, double x1, double y1)
{
    cairo_move_to(c, x0, y0);
    cairo_line_to(c, x1, y1);
    cairo_stroke(c);
}

static void draw_axes(cairo_t *c, const frame *f)
{
    char text[32];

    cairo_set_line_width(c, 1.0);
    for (double y = f->y_min; y < f->y_max + 0.5 * f->y_step; y += f->y_step) {
        cairo_set_source_rgb(c, 0.88, 0.88, 0.88);
        draw_line(c, f->left, to_y(f, y), f->right, to_y(f, y));
        cairo_set_source_rgb(c, 0.2, 0.2, 0.2);
        snprintf(text, sizeof text, "%g", y);
        put_text(c, f->left - 8.0, to_y(f, y) + 4.5, 1.0, text);
    }
    for (double x = 0.0; x <= f->x_max + 1e-9; x += f->x_step) {
        draw_line(c, to_x(f, x), f->bottom, to_x(f, x), f->bottom + 5.0);
        snprintf(text, sizeof text, "%g", x);
        put_text(c, to_x(f, x), f->bottom + 20.0, 0.5, text);
    }
    draw_line(c, f->left, f->top, f->left, f->bottom);
    draw_line(c, f->left, f->bottom, f->right, f->bottom);
    put_text(c, 0.5 * (f->left + f->right), f->bottom + 40.0, 0.5, "epoch");
    put_text(c, f->left - 50.0, f->top - 20.0, 0.0, "test accuracy, top-1, %");
}

static void draw_run(cairo_t *c, const frame *f, const sftn_run *run)
{
    bool begun = false;

    cairo_set_line_width(c, 2.0);
    cairo_set_line_join(c, CAIRO_LINE_JOIN_ROUND);
    for (int k = 0; k < run->nepochs; k++) {
        const sftn_run_epoch *e = &run->epoch[k];

        if (e->test_top1 < 0.0)
            continue;
        if (begun)
            cairo_line_to(c, to_x(f, (double)e->epoch), to_y(f, e->test_top1));
        else
            cairo_move_to(c, to_x(f, (double)e->epoch), to_y(f, e->test_top1));
        begun = true;
    }
    cairo_stroke(c);
    for (int k = 0; k < run->nepochs && run->nepochs <= 40; k++) {
        const sftn_run_epoch *e = &run->epoch[k];

        if (e->test_top1 < 0.0)
            continue;
        cairo_arc(c, to_x(f, (double)e->epoch), to_y(f, e->test_top1), 3.0, 0.0, 8.0 * atan(1.0));
        cairo_fill(c);
    }
}

enum { LEGEND_ROW = 20 };

static void draw_legend(cairo_t *c, const frame *f, const sftn_run *runs, int n)
{
    for (int i = 0; i < n; i++) {
        const double y = f->bottom + 62.0 + LEGEND_ROW * i;
        const double *rgb = colour[(size_t)i % SFTN_COUNT(colour)];
        char text[256];

        cairo_set_source_rgb(c, rgb[0], rgb[1], rgb[2]);
        cairo_set_line_width(c, 3.0);
        draw_line(c, f->left, y - 4.0, f->left + 28.0, y - 4.0);
        cairo_set_source_rgb(c, 0.1, 0.1, 0.1);
        if (runs[i].nepochs > 0)
            snprintf(text, sizeof text, "%s (%s): %.2f %%", runs[i].name, runs[i].network,
                     runs[i].epoch[runs[i].nepochs - 1].test_top1);
        else
            snprintf(text, sizeof text, "%s (%s)", runs[i].name, runs[i].network);
        put_text(c, f->left + 38.0, y, 0.0, text);
    }
}

/* cairo's own writer leaves a damaged file behind on a full disk, so the bytes go through ours. */
static cairo_status_t write_bytes(void *stream, const unsigned char *data, unsigned int length)
{
    return fwrite(data, 1, length, stream) == length ? CAIRO_STATUS_SUCCESS
                                                     : CAIRO_STATUS_WRITE_ERROR;
}

static bool write_png(void *surface, void *stream)
{
    return cairo_surface_write_to_png_stream(surface, write_bytes, stream) == CAIRO_STATUS_SUCCESS;
}

sftn_status sftn_runs_plot(const sftn_run *runs, int n, int width, int height, const char *png,
                           sftn_error *err)
{
    const double legend = (double)LEGEND_ROW * n;
    const frame f = make_frame(runs, n, width, height, legend);
    cairo_surface_t *surface;
    cairo_t *c;
    sftn_status status;

    if (f.bottom - f.top < 40.0 || f.right - f.left < 40.0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "plot: %d x %d pixels leave no room for the curves of %d runs", width,
                         height, n);
    surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    c = cairo_create(surface);
    cairo_set_source_rgb(c, 1.0, 1.0, 1.0);
    cairo_paint(c);
    cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, 14.0);
    draw_axes(c, &f);
    for (int i = 0; i < n; i++) {
        const double *rgb = colour[(size_t)i % SFTN_COUNT(colour)];

        cairo_set_source_rgb(c, rgb[0], rgb[1], rgb[2]);
        draw_run(c, &f, &runs[i]);
    }
    draw_legend(c, &f, runs, n);
    if (cairo_status(c) != CAIRO_STATUS_SUCCESS)
        status =
            sftn_fail(err, SFTN_ERR_MEMORY, "plot: %s", cairo_status_to_string(cairo_status(c)));
    else
        status = sftn_replace_file(png, write_png, surface, err);
    cairo_destroy(c);
    cairo_surface_destroy(surface);
    return status;
}
