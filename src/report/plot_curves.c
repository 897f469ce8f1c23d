/*
 * plot_curves: accuracy by epoch, a line for each run; of groups the mean over their runs, with a
 * band of one standard deviation to both sides.
 *
 * Drawn is accuracy on the test images, or on the held-out ones where the runs measured the test
 * images at their ends only.
 */
#include "report/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEGEND_ROW = 20, MOST_DOTS = 40 };

/* One line of the plot: of the epochs from 1 to n; a sample of no number is not drawn. */
typedef struct curve {
    char label[256];
    int n;
    sftn_sample *at; /* [n + 1] */
} curve;

typedef struct curves {
    curve *curve;
    int n;
    bool validation;
} curves;

static double value_of(const sftn_run_epoch *e, bool validation)
{
    const double x = validation ? e->validation_top1 : e->test_top1;

    return x < 0.0 ? NAN : x;
}

/* Test accuracy of at most one epoch is no curve. */
static bool only_validation(const sftn_run *runs, int n)
{
    bool validation = false;

    for (int i = 0; i < n; i++) {
        int tests = 0;

        for (int k = 0; k < runs[i].nepochs; k++) {
            tests += runs[i].epoch[k].test_top1 >= 0.0;
            validation = validation || runs[i].epoch[k].validation_top1 >= 0.0;
        }
        if (tests > 1)
            return false;
    }
    return validation;
}

/* The curve of some of the runs, count of them. */
static bool make_curve(curve *c, const sftn_run *runs, const int *run, int count, bool validation)
{
    double *x = sftn_calloc((size_t)count, sizeof *x);

    for (int i = 0; i < count; i++)
        for (int k = 0; k < runs[run[i]].nepochs; k++)
            c->n = runs[run[i]].epoch[k].epoch > c->n ? (int)runs[run[i]].epoch[k].epoch : c->n;
    c->at = sftn_calloc((size_t)c->n + 1, sizeof *c->at);
    for (int epoch = 1; x && c->at && epoch <= c->n; epoch++) {
        int n = 0;

        for (int i = 0; i < count; i++)
            for (int k = 0; k < runs[run[i]].nepochs && n <= i; k++)
                if (runs[run[i]].epoch[k].epoch == epoch &&
                    !isnan(value_of(&runs[run[i]].epoch[k], validation)))
                    x[n++] = value_of(&runs[run[i]].epoch[k], validation);
        c->at[epoch] = sftn_sample_of(x, n, 0.95);
    }
    free(x);
    return x && c->at;
}

/* What the legend adds: the last value, and of how many runs. */
static void add_last(curve *c)
{
    const size_t length = strlen(c->label), room = sizeof c->label - length;
    int last = c->n;

    while (last > 0 && c->at[last].n == 0)
        last--;
    if (last > 0 && c->at[last].n == 1)
        snprintf(c->label + length, room, ": %.2f %%", c->at[last].mean);
    else if (last > 0)
        snprintf(c->label + length, room, ": %.2f ± %.2f %% (%d runs)", c->at[last].mean,
                 c->at[last].sd, c->at[last].n);
}

static bool make_curves(curves *all, const sftn_plot *p)
{
    bool ok;

    all->n = p->s ? p->s->ngroups : p->n;
    all->validation = only_validation(p->runs, p->n);
    all->curve = sftn_calloc((size_t)all->n + 1, sizeof *all->curve);
    ok = all->curve != NULL;
    for (int i = 0; ok && i < all->n; i++) {
        curve *c = &all->curve[i];
        const int count = p->s ? p->s->group[i].n : 1;

        if (p->s)
            snprintf(c->label, sizeof c->label, "%s", p->s->group[i].label);
        else
            snprintf(c->label, sizeof c->label, "%.160s (%.32s)", p->runs[i].name,
                     p->runs[i].network);
        ok = make_curve(c, p->runs, p->s ? p->s->group[i].run : &i, count, all->validation);
        if (ok)
            add_last(c);
    }
    return ok;
}

static void free_curves(curves *all)
{
    for (int i = 0; all->curve && i < all->n; i++)
        free(all->curve[i].at);
    free(all->curve);
}

/* ---- drawing ---- */

static double spread(const curve *c, int epoch)
{
    return c->at[epoch].n > 1 ? c->at[epoch].sd : 0.0;
}

static void find_range(const curves *all, double *low, double *high, double *epochs)
{
    *low = 100.0;
    *high = 0.0;
    *epochs = 1.0;
    for (int i = 0; i < all->n; i++) {
        const curve *c = &all->curve[i];

        *epochs = fmax(*epochs, c->n);
        for (int e = 1; e <= c->n; e++) {
            if (c->at[e].n == 0)
                continue;
            *low = fmin(*low, fmax(0.0, c->at[e].mean - spread(c, e)));
            *high = fmax(*high, fmin(100.0, c->at[e].mean + spread(c, e)));
        }
    }
    if (*high < *low)
        *low = 0.0, *high = 100.0;
}

/* There and back: the upper ends, then the lower ones. */
static void draw_band(cairo_t *c, const curve *k, const sftn_plot_axis *x, const sftn_plot_axis *y)
{
    for (int i = 0; i < 2 * k->n; i++) {
        const int epoch = i < k->n ? i + 1 : 2 * k->n - i;
        const double sign = i < k->n ? 1.0 : -1.0;

        if (k->at[epoch].n > 0)
            cairo_line_to(c, sftn_plot_at(x, epoch),
                          sftn_plot_at(y, k->at[epoch].mean + sign * spread(k, epoch)));
    }
    cairo_close_path(c);
    cairo_fill(c);
}

static void draw_curve(cairo_t *c, const curve *k, const sftn_plot_axis *x,
                       const sftn_plot_axis *y)
{
    cairo_new_path(c);
    for (int e = 1; e <= k->n; e++)
        if (k->at[e].n > 0)
            cairo_line_to(c, sftn_plot_at(x, e), sftn_plot_at(y, k->at[e].mean));
    cairo_stroke(c);
    for (int e = 1; e <= k->n && k->n <= MOST_DOTS; e++)
        if (k->at[e].n > 0)
            sftn_plot_dot(c, sftn_plot_at(x, e), sftn_plot_at(y, k->at[e].mean), 3.0);
}

/* Colours begin anew with dashes. */
static void set_style(cairo_t *c, int i, double width)
{
    const double dash[] = {6.0, 4.0};

    sftn_plot_colour(c, i, 1.0);
    cairo_set_line_width(c, width);
    cairo_set_dash(c, dash, i / SFTN_PLOT_COLOURS % 2 ? 2 : 0, 0.0);
}

static void draw_all(cairo_t *c, const curves *all, const sftn_plot_axis *x,
                     const sftn_plot_axis *y)
{
    cairo_set_line_join(c, CAIRO_LINE_JOIN_ROUND);
    for (int i = 0; i < all->n; i++) {
        sftn_plot_colour(c, i, 0.18);
        cairo_new_path(c);
        draw_band(c, &all->curve[i], x, y);
    }
    for (int i = 0; i < all->n; i++) {
        const double row = y->from + 62.0 + LEGEND_ROW * i;

        set_style(c, i, 2.0);
        draw_curve(c, &all->curve[i], x, y);
        set_style(c, i, 3.0);
        sftn_plot_line(c, x->from, row - 4.0, x->from + 28.0, row - 4.0);
        cairo_set_dash(c, NULL, 0, 0.0);
        cairo_set_source_rgb(c, 0.1, 0.1, 0.1);
        sftn_plot_text(c, x->from + 38.0, row, 0.0, all->curve[i].label);
    }
}

sftn_status sftn_plot_curves(cairo_t *c, const sftn_plot *p, sftn_error *err)
{
    const double bottom = p->height - 60.0 - LEGEND_ROW * (p->s ? p->s->ngroups : p->n);
    const double top = 50.0, left = 70.0, right = p->width - 30.0;
    curves all = {0};
    sftn_status status = SFTN_OK;
    double low, high, epochs;

    if (bottom - top < 40.0 || right - left < 40.0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "plot: %g x %g pixels leave no room for %d curves and their names",
                         p->width, p->height, p->s ? p->s->ngroups : p->n);
    if (!make_curves(&all, p)) {
        status = sftn_fail(err, SFTN_ERR_MEMORY, "plot: out of memory");
    } else {
        find_range(&all, &low, &high, &epochs);
        const sftn_plot_axis x = sftn_plot_axis_of(0.0, epochs, epochs < 12.0 ? (int)epochs : 12,
                                                   left, right);
        const sftn_plot_axis y = sftn_plot_axis_of(low, high, 8, bottom, top);
        char title[96];

        snprintf(title, sizeof title, "%s accuracy, top-1, %%%s",
                 all.validation ? "validation" : "test",
                 p->s ? "; band: one standard deviation" : "");
        sftn_plot_y_axis(c, &y, left, right, title);
        sftn_plot_x_axis(c, &x, bottom, bottom, "epoch");
        draw_all(c, &all, &x, &y);
    }
    free_curves(&all);
    return status;
}
