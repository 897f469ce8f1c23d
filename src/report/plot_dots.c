/*
 * plot_dots: a row for each group, or for each difference of two groups: a dot for the mean over
 * seeds, a bar for its interval, and small dots for the single seeds.
 */
#include "report/plot.h"

#include <math.h>
#include <stdio.h>

enum { LEAST_ROW = 24, MOST_ROW = 44 };

typedef struct dot_row {
    const char *label;
    char second[240]; /* a line below; may be empty */
    const sftn_sample *sample;
    const sftn_run_group *group; /* whose runs are single dots; NULL: none are drawn */
} dot_row;

typedef struct dots {
    const sftn_plot *p;
    const char *title; /* of the x axis */
    bool difference;   /* a line at zero; values have signs */
    int n;
    dot_row (*row)(const sftn_plot *p, int i);
} dots;

/* Accuracy of a finished run; NaN where there is none. */
static double single(const sftn_plot *p, const sftn_run_group *g, int i)
{
    const sftn_run *run = &p->runs[g->run[i]];

    return run->finished ? sftn_run_measure(run, SFTN_MEASURE_LAST) : NAN;
}

static void widen(double *low, double *high, double x)
{
    if (isnan(x))
        return;
    *low = isnan(*low) || x < *low ? x : *low;
    *high = isnan(*high) || x > *high ? x : *high;
}

static void find_range(const dots *d, double *low, double *high)
{
    *low = *high = d->difference ? 0.0 : NAN;
    for (int i = 0; i < d->n; i++) {
        const dot_row r = d->row(d->p, i);

        widen(low, high, r.sample->mean);
        widen(low, high, r.sample->low);
        widen(low, high, r.sample->high);
        for (int k = 0; r.group && k < r.group->n; k++)
            widen(low, high, single(d->p, r.group, k));
    }
}

static void format_value(const dots *d, const sftn_sample *s, char *text, size_t size)
{
    if (s->n == 0)
        snprintf(text, size, "-");
    else if (s->n == 1)
        snprintf(text, size, d->difference ? "%+.2f (1 seed)" : "%.2f (1 seed)", s->mean);
    else if (d->difference)
        snprintf(text, size, "%+.2f (%+.2f to %+.2f)", s->mean, s->low, s->high);
    else
        snprintf(text, size, "%.2f (%.2f to %.2f)", s->mean, s->low, s->high);
}

/* Room for labels to the left and values to the right. */
static void measure_text(cairo_t *c, const dots *d, double *left, double *right)
{
    char text[96];

    *left = *right = 0.0;
    for (int i = 0; i < d->n; i++) {
        const dot_row r = d->row(d->p, i);

        format_value(d, r.sample, text, sizeof text);
        *left = fmax(*left, sftn_plot_text_width(c, r.label));
        *left = fmax(*left, sftn_plot_text_width(c, r.second));
        *right = fmax(*right, sftn_plot_text_width(c, text));
    }
}

static void draw_row(cairo_t *c, const dots *d, int i, const sftn_plot_axis *x, double y)
{
    const dot_row r = d->row(d->p, i);
    char text[96];

    cairo_set_source_rgb(c, 0.1, 0.1, 0.1);
    sftn_plot_text(c, x->from - 14.0, y + (r.second[0] ? -3.0 : 5.0), 1.0, r.label);
    format_value(d, r.sample, text, sizeof text);
    sftn_plot_text(c, x->to + 14.0, y + 5.0, 0.0, text);
    cairo_set_source_rgb(c, 0.4, 0.4, 0.4);
    sftn_plot_text(c, x->from - 14.0, y + 14.0, 1.0, r.second);
    if (r.sample->n == 0)
        return;
    sftn_plot_colour(c, 0, 1.0);
    cairo_set_line_width(c, 3.0);
    if (r.sample->n > 1)
        sftn_plot_line(c, sftn_plot_at(x, r.sample->low), y, sftn_plot_at(x, r.sample->high), y);
    sftn_plot_dot(c, sftn_plot_at(x, r.sample->mean), y, 6.0);
    cairo_set_source_rgb(c, 0.4, 0.4, 0.4);
    for (int k = 0; r.group && r.group->n > 1 && k < r.group->n; k++)
        if (!isnan(single(d->p, r.group, k)))
            sftn_plot_dot(c, sftn_plot_at(x, single(d->p, r.group, k)), y + 9.5, 2.0);
}

static sftn_status draw_dots(cairo_t *c, const dots *d, sftn_error *err)
{
    const sftn_plot *p = d->p;
    const double top = 46.0, bottom = p->height - 56.0;
    const double row = fmin(MOST_ROW, (bottom - top) / d->n);
    double left, right, low, high;
    char note[128];

    measure_text(c, d, &left, &right);
    left += 34.0;
    right = p->width - right - 34.0;
    if (row < LEAST_ROW || right - left < 120.0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "plot: %g x %g pixels leave no room for %d rows; expected at least %.0f x "
                         "%d",
                         p->width, p->height, d->n, left + p->width - right + 120.0,
                         LEAST_ROW * d->n + 102);
    find_range(d, &low, &high);
    if (isnan(low))
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "plot: no run of these is finished");
    const double end = top + row * d->n;
    const sftn_plot_axis x =
        sftn_plot_axis_of(low, high, (int)((right - left) / 60.0), left, right);

    sftn_plot_x_axis(c, &x, end, top, d->title);
    if (d->difference) {
        cairo_set_source_rgb(c, 0.2, 0.2, 0.2);
        cairo_set_line_width(c, 1.5);
        sftn_plot_line(c, sftn_plot_at(&x, 0.0), end, sftn_plot_at(&x, 0.0), top);
    }
    for (int i = 0; i < d->n; i++)
        draw_row(c, d, i, &x, top + row * (i + 0.5));
    snprintf(note, sizeof note, "mean and its %g %% interval%s", 100.0 * p->s->level,
             d->difference ? ", paired by seed" : "; small dots: single seeds");
    cairo_set_source_rgb(c, 0.2, 0.2, 0.2);
    sftn_plot_text(c, 20.0, 26.0, 0.0, note);
    return SFTN_OK;
}

/* ---- groups and differences ---- */

static dot_row group_row(const sftn_plot *p, int i)
{
    const sftn_run_group *g = &p->s->group[i];

    return (dot_row){.label = g->label, .sample = &g->sample[SFTN_MEASURE_LAST], .group = g};
}

static dot_row difference_row(const sftn_plot *p, int i)
{
    const sftn_run_difference *d = &p->s->difference[i];

    dot_row row = {.label = d->label, .sample = &d->sample[SFTN_MEASURE_LAST]};

    snprintf(row.second, sizeof row.second, "minus %s", d->against);
    return row;
}

sftn_status sftn_plot_intervals(cairo_t *c, const sftn_plot *p, sftn_error *err)
{
    const dots d = {.p = p,
                    .title = "test accuracy after the last epoch, top-1, %",
                    .n = p->s ? p->s->ngroups : 0,
                    .row = group_row};

    if (d.n == 0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "plot: intervals are of groups of runs");
    return draw_dots(c, &d, err);
}

sftn_status sftn_plot_differences(cairo_t *c, const sftn_plot *p, sftn_error *err)
{
    const dots d = {.p = p,
                    .title = "difference in test accuracy after the last epoch, percentage points",
                    .difference = true,
                    .n = p->s ? p->s->ndifferences : 0,
                    .row = difference_row};

    if (d.n == 0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "plot: no two of these groups are to be compared");
    return draw_dots(c, &d, err);
}
