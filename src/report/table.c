/*
 * table: runs, groups of runs and their differences, as text, Markdown, CSV or JSON.
 *
 * Text and Markdown are for reading: columns in which nothing was measured are left out, numbers
 * are rounded.  CSV and JSON are for programs: always the same members, numbers to nine digits.
 */
#include "report/grid.h"
#include "report/measure.h"

#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool readable(sftn_table_format format)
{
    return format == SFTN_TABLE_TEXT || format == SFTN_TABLE_MARKDOWN;
}

static sftn_status finish(sftn_strbuf *out, char **text, sftn_error *err)
{
    *text = NULL;
    if (out->failed || !out->text) {
        sftn_strbuf_free(out);
        return sftn_fail(err, SFTN_ERR_MEMORY, "table: out of memory");
    }
    *text = out->text;
    return SFTN_OK;
}

/* ---- JSON ---- */

static json_object *sample_object(const sftn_sample *s)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, "n", json_object_new_int(s->n));
    sftn_json_add_number(o, "mean", s->mean);
    sftn_json_add_number(o, "sd", s->sd);
    sftn_json_add_number(o, "low", s->low);
    sftn_json_add_number(o, "high", s->high);
    return o;
}

static void add_samples(json_object *o, const sftn_sample *sample)
{
    for (int m = 0; m < SFTN_MEASURES; m++)
        json_object_object_add(o, sftn_measures[m].key,
                               sample[m].n > 0 ? sample_object(&sample[m]) : NULL);
}

static json_object *run_object(const sftn_run *run)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, "run", json_object_new_string(run->name));
    json_object_object_add(o, "network", json_object_new_string(run->network));
    json_object_object_add(o, "data", json_object_new_string(run->data));
    json_object_object_add(o, "seed", run->seed < 0 ? NULL : json_object_new_int64(run->seed));
    json_object_object_add(
        o, "epochs", json_object_new_int64(run->nepochs ? run->epoch[run->nepochs - 1].epoch : 0));
    json_object_object_add(o, "finished", json_object_new_boolean(run->finished));
    for (int m = 0; m < SFTN_MEASURES; m++)
        sftn_json_add_number(o, sftn_measures[m].key, sftn_run_measure(run, (sftn_measure)m));
    json_object_object_add(o, "description",
                           run->description ? json_tokener_parse(run->description) : NULL);
    return o;
}

static json_object *group_object(const sftn_run *runs, const sftn_run_group *g)
{
    json_object *o = json_object_new_object(), *names = json_object_new_array();

    json_object_object_add(o, "group", json_object_new_string(g->label));
    json_object_object_add(o, "teacher", json_object_new_string(g->teacher));
    for (int i = 0; i < g->n; i++)
        json_object_array_add(names, json_object_new_string(runs[g->run[i]].name));
    json_object_object_add(o, "runs", names);
    json_object_object_add(o, "unfinished", json_object_new_int(g->unfinished));
    add_samples(o, g->sample);
    return o;
}

/* Writes o and releases it. */
static void write_json(json_object *o, sftn_strbuf *out)
{
    const char *text =
        o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                  JSON_C_TO_STRING_NOSLASHESCAPE)
          : NULL;

    if (text)
        sftn_strbuf_add(out, "%s\n", text);
    out->failed = out->failed || !text;
    json_object_put(o);
}

/* ---- cells ---- */

/* For programs: nine digits, or nothing. */
static void add_number_cell(sftn_grid *grid, double x)
{
    if (isnan(x))
        sftn_grid_cell(grid, "%s", "");
    else
        sftn_grid_cell(grid, "%.9g", x);
}

/* A measured number; "-" or nothing where it is NaN. */
static void add_value(sftn_grid *grid, sftn_table_format format, double x, int m)
{
    if (!readable(format))
        add_number_cell(grid, x);
    else if (isnan(x))
        sftn_grid_cell(grid, "-");
    else
        sftn_grid_cell(grid, "%.*f%s", sftn_measures[m].decimals, x, sftn_measures[m].unit);
}

static void sample_columns(sftn_grid *grid, sftn_table_format format, int m)
{
    static const char *const part[] = {"n", "mean", "sd", "low", "high"};
    char title[64];

    if (readable(format)) {
        sftn_grid_column(grid, true, sftn_measures[m].title);
        return;
    }
    for (size_t i = 0; i < SFTN_COUNT(part); i++) {
        snprintf(title, sizeof title, "%s_%s", sftn_measures[m].key, part[i]);
        sftn_grid_column(grid, true, title);
    }
}

/* "48.15 ± 0.31 %", or of a difference "+1.52 (+0.31 to +2.73)"; "-" is what one seed lacks. */
static void add_sample(sftn_grid *grid, sftn_table_format format, const sftn_sample *s, int m,
                       bool difference)
{
    const double part[] = {s->mean, s->sd, s->low, s->high};
    const int d = sftn_measures[m].decimals;

    if (!readable(format)) {
        sftn_grid_cell(grid, "%d", s->n);
        for (size_t i = 0; i < SFTN_COUNT(part); i++)
            add_number_cell(grid, part[i]);
    } else if (s->n == 0) {
        sftn_grid_cell(grid, "-");
    } else if (difference && s->n == 1) {
        sftn_grid_cell(grid, "%+.*f (-)", d, s->mean);
    } else if (difference) {
        sftn_grid_cell(grid, "%+.*f (%+.*f to %+.*f)", d, s->mean, d, s->low, d, s->high);
    } else if (s->n == 1) {
        sftn_grid_cell(grid, "%.*f%s", d, s->mean, sftn_measures[m].unit);
    } else {
        sftn_grid_cell(grid, "%.*f ± %.*f%s", d, s->mean, d, s->sd, sftn_measures[m].unit);
    }
}

/* ---- runs ---- */

static bool any_run_has(const sftn_run *runs, int n, int m)
{
    for (int i = 0; i < n; i++)
        if (!isnan(sftn_run_measure(&runs[i], (sftn_measure)m)))
            return true;
    return false;
}

static bool any_unfinished(const sftn_run *runs, int n)
{
    for (int i = 0; i < n; i++)
        if (!runs[i].finished)
            return true;
    return false;
}

static void fill_runs(sftn_grid *grid, const sftn_run *runs, int n, sftn_table_format format)
{
    bool shown[SFTN_MEASURES], unfinished;

    sftn_grid_column(grid, false, "run");
    sftn_grid_column(grid, false, "network");
    sftn_grid_column(grid, true, "seed");
    sftn_grid_column(grid, true, "epochs");
    for (int m = 0; m < SFTN_MEASURES; m++) {
        shown[m] = !readable(format) || any_run_has(runs, n, m);
        if (shown[m])
            sftn_grid_column(grid, true,
                             readable(format) ? sftn_measures[m].title : sftn_measures[m].key);
    }
    unfinished = !readable(format) || any_unfinished(runs, n);
    if (unfinished)
        sftn_grid_column(grid, false, readable(format) ? "" : "finished");
    for (int i = 0; i < n; i++) {
        const sftn_run *run = &runs[i];

        sftn_grid_cell(grid, "%s", run->name);
        sftn_grid_cell(grid, "%s", run->network);
        if (run->seed >= 0)
            sftn_grid_cell(grid, "%lld", (long long)run->seed);
        else
            sftn_grid_cell(grid, "%s", readable(format) ? "-" : "");
        sftn_grid_cell(grid, "%lld",
                       run->nepochs ? (long long)run->epoch[run->nepochs - 1].epoch : 0LL);
        for (int m = 0; m < SFTN_MEASURES; m++)
            if (shown[m])
                add_value(grid, format, sftn_run_measure(run, (sftn_measure)m), m);
        if (unfinished && !readable(format))
            sftn_grid_cell(grid, "%s", run->finished ? "true" : "false");
        else if (unfinished && run->finished)
            sftn_grid_cell(grid, "%s", "");
        else if (unfinished)
            sftn_grid_cell(grid, "(%s)", run->state ? run->state : "not finished");
    }
}

sftn_status sftn_runs_table(const sftn_run *runs, int n, sftn_table_format format, char **text,
                            sftn_error *err)
{
    sftn_strbuf out = {0};

    if (format == SFTN_TABLE_JSON) {
        json_object *o = json_object_new_object(), *list = json_object_new_array();

        for (int i = 0; i < n; i++)
            json_object_array_add(list, run_object(&runs[i]));
        json_object_object_add(o, "runs", list);
        write_json(o, &out);
    } else {
        sftn_grid grid = {0};

        fill_runs(&grid, runs, n, format);
        sftn_grid_write(&grid, format, &out);
        sftn_grid_close(&grid);
    }
    return finish(&out, text, err);
}

/* ---- groups ---- */

static bool any_group_has(const sftn_run_statistics *s, int m)
{
    for (int k = 0; k < s->ngroups; k++)
        if (s->group[k].sample[m].n > 0)
            return true;
    return false;
}

/* Seeds that a group's runs have finished with. */
static int seeds_of(const sftn_run_group *g)
{
    int n = 0;

    for (int m = 0; m < SFTN_MEASURES; m++)
        n = g->sample[m].n > n ? g->sample[m].n : n;
    return n;
}

static void fill_groups(sftn_grid *grid, const sftn_run_statistics *s, sftn_table_format format)
{
    bool shown[SFTN_MEASURES], unfinished = false;

    sftn_grid_column(grid, false, "runs");
    sftn_grid_column(grid, true, "seeds");
    for (int m = 0; m < SFTN_MEASURES; m++) {
        shown[m] = any_group_has(s, m);
        if (shown[m])
            sample_columns(grid, format, m);
    }
    for (int k = 0; k < s->ngroups; k++)
        unfinished = unfinished || s->group[k].unfinished > 0;
    if (unfinished)
        sftn_grid_column(grid, false, "");
    for (int k = 0; k < s->ngroups; k++) {
        const sftn_run_group *g = &s->group[k];

        sftn_grid_cell(grid, "%s", g->label);
        sftn_grid_cell(grid, "%d", seeds_of(g));
        for (int m = 0; m < SFTN_MEASURES; m++)
            if (shown[m])
                add_sample(grid, format, &g->sample[m], m, false);
        if (g->unfinished)
            sftn_grid_cell(grid, "(%d not finished)", g->unfinished);
        else if (unfinished)
            sftn_grid_cell(grid, "%s", "");
    }
}

static bool any_difference_has(const sftn_run_statistics *s, int m)
{
    for (int k = 0; k < s->ndifferences; k++)
        if (s->difference[k].sample[m].n > 0)
            return true;
    return false;
}

static void fill_differences(sftn_grid *grid, const sftn_run_statistics *s,
                             sftn_table_format format)
{
    bool shown[SFTN_MEASURES];

    sftn_grid_column(grid, false, "difference of");
    sftn_grid_column(grid, false, "minus");
    sftn_grid_column(grid, true, "pairs");
    for (int m = 0; m < SFTN_MEASURES; m++) {
        shown[m] = any_difference_has(s, m);
        if (shown[m])
            sample_columns(grid, format, m);
    }
    for (int k = 0; k < s->ndifferences; k++) {
        const sftn_run_difference *d = &s->difference[k];

        sftn_grid_cell(grid, "%s", d->label);
        sftn_grid_cell(grid, "%s", d->against);
        sftn_grid_cell(grid, "%d", d->sample[SFTN_MEASURE_LAST].n);
        for (int m = 0; m < SFTN_MEASURES; m++)
            if (shown[m])
                add_sample(grid, format, &d->sample[m], m, true);
    }
}

/* For programs: groups, and with `against` the differences between them, in the same columns. */
static void fill_both(sftn_grid *grid, const sftn_run_statistics *s, sftn_table_format format)
{
    static const char *const first[] = {"group", "against", "level"};

    for (int i = 0; i < (int)SFTN_COUNT(first); i++)
        sftn_grid_column(grid, i == 2, first[i]);
    for (int m = 0; m < SFTN_MEASURES; m++)
        sample_columns(grid, format, m);
    sftn_grid_column(grid, true, "unfinished");
    for (int k = 0; k < s->ngroups + s->ndifferences; k++) {
        const sftn_run_difference *d = k < s->ngroups ? NULL : &s->difference[k - s->ngroups];
        const sftn_run_group *g = d ? NULL : &s->group[k];

        sftn_grid_cell(grid, "%s", d ? d->label : g->label);
        sftn_grid_cell(grid, "%s", d ? d->against : "");
        sftn_grid_cell(grid, "%.9g", s->level);
        for (int m = 0; m < SFTN_MEASURES; m++)
            add_sample(grid, format, d ? &d->sample[m] : &g->sample[m], m, d != NULL);
        sftn_grid_cell(grid, "%d", d ? 0 : g->unfinished);
    }
}

static void write_grids(const sftn_run_statistics *s, sftn_table_format format, sftn_strbuf *out)
{
    sftn_grid grid = {0};

    if (!readable(format)) {
        fill_both(&grid, s, format);
        sftn_grid_write(&grid, format, out);
        sftn_grid_close(&grid);
        return;
    }
    fill_groups(&grid, s, format);
    sftn_grid_write(&grid, format, out);
    sftn_grid_close(&grid);
    sftn_strbuf_add(out, "\nmean ± standard deviation over seeds; of one seed its value\n");
    if (s->ndifferences > 0) {
        fill_differences(&grid, s, format);
        sftn_strbuf_add(out, "\n");
        sftn_grid_write(&grid, format, out);
        sftn_grid_close(&grid);
        sftn_strbuf_add(out,
                        "\nmean over pairs of the same seed (its %g %% interval, Student's t; "
                        "- where one pair tells nothing), percentages in points\n",
                        100.0 * s->level);
    }
    if (format == SFTN_TABLE_TEXT)
        sftn_write_words(s, out);
}

static json_object *statistics_object(const sftn_run *runs, const sftn_run_statistics *s)
{
    json_object *o = json_object_new_object();
    json_object *groups = json_object_new_array(), *differences = json_object_new_array();

    sftn_json_add_number(o, "level", s->level);
    for (int k = 0; k < s->ngroups; k++)
        json_object_array_add(groups, group_object(runs, &s->group[k]));
    for (int k = 0; k < s->ndifferences; k++) {
        const sftn_run_difference *d = &s->difference[k];
        json_object *row = json_object_new_object();

        json_object_object_add(row, "group", json_object_new_string(d->label));
        json_object_object_add(row, "against", json_object_new_string(d->against));
        add_samples(row, d->sample);
        json_object_array_add(differences, row);
    }
    json_object_object_add(o, "groups", groups);
    json_object_object_add(o, "differences", differences);
    return o;
}

sftn_status sftn_groups_table(const sftn_run *runs, const sftn_run_statistics *s,
                              sftn_table_format format, char **text, sftn_error *err)
{
    sftn_strbuf out = {0};

    if (format == SFTN_TABLE_JSON)
        write_json(statistics_object(runs, s), &out);
    else
        write_grids(s, format, &out);
    return finish(&out, text, err);
}
