/*
 * plot.h: axes, text and colours that plots share.
 */
#ifndef SFTN_REPORT_PLOT_H
#define SFTN_REPORT_PLOT_H

#include "base/base.h"
#include "sftn/report.h"

#include <cairo.h>

/* Where data lie on a picture. */
typedef struct sftn_plot_axis {
    double from, to;       /* pixels */
    double low, high, step; /* values at both ends, and between marks */
} sftn_plot_axis;

/* The axis from low to high or somewhat beyond, with at most `most` marks. */
sftn_plot_axis sftn_plot_axis_of(double low, double high, int most, double from, double to);
double sftn_plot_at(const sftn_plot_axis *axis, double value);

/* Colour i of a list that begins anew after some; full: opaque. */
void sftn_plot_colour(cairo_t *c, int i, double alpha);
enum { SFTN_PLOT_COLOURS = 7 };
/* Text whose left end (align 0), middle (0.5) or right end (1) is at x. */
void sftn_plot_text(cairo_t *c, double x, double y, double align, const char *text);
double sftn_plot_text_width(cairo_t *c, const char *text);
void sftn_plot_line(cairo_t *c, double x0, double y0, double x1, double y1);
void sftn_plot_dot(cairo_t *c, double x, double y, double radius);
/* Marks and title below the x axis, which lies at y; grid lines up to `top` where it is above. */
void sftn_plot_x_axis(cairo_t *c, const sftn_plot_axis *x, double y, double top, const char *title);
/* Marks, grid lines to the right end, and the title above. */
void sftn_plot_y_axis(cairo_t *c, const sftn_plot_axis *y, double x, double right,
                      const char *title);

/* ---- kinds ---- */
/* What is drawn on a picture of width x height; s: NULL where every run is by itself. */
typedef struct sftn_plot {
    const sftn_run *runs;
    int n;
    const sftn_run_statistics *s;
    double width, height;
} sftn_plot;

/* ARGUMENT where there is no room, or nothing to draw. */
sftn_status sftn_plot_curves(cairo_t *c, const sftn_plot *p, sftn_error *err);
sftn_status sftn_plot_intervals(cairo_t *c, const sftn_plot *p, sftn_error *err);
sftn_status sftn_plot_differences(cairo_t *c, const sftn_plot *p, sftn_error *err);

#endif
