/*
 * plan.c: what of an experiment is in the cache, what is left to do, and how long that takes.
 *
 * The cost of a training follows from a few steps of its kind, timed once in a process of its own
 * and kept in CACHE/rates.json.  An image that is only answered is counted as a third of one that
 * is trained on: forward, without the gradients of activations and weights.
 */
#include "cli/experiment/experiment.h"

#include "cli/workload.h"
#include "sftn/report.h"

#include <fnmatch.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TIMED_STEPS = 4 };

static const double forward_share = 1.0 / 3.0;

/* ---- states ---- */

static bool holds(const cell *c, const char *name)
{
    char path[640];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", c->dir, name);
    return stat(path, &st) == 0;
}

/* The summary is written last. */
bool cell_is_done(const cell *c)
{
    return holds(c, "summary.json");
}

static void need(cells *all, int number)
{
    cell *c = &all->list[number];

    if (c->state != CELL_LEFT)
        return;
    c->state = CELL_OPEN;
    if (c->teacher >= 0)
        need(all, c->teacher);
    if (c->from >= 0)
        need(all, c->from);
}

bool cell_is_hidden(const cells *all, const cell *c)
{
    return c->same_as >= 0 && strcmp(all->list[c->same_as].name, c->name) == 0;
}

bool cell_is_named(const cell *c, const char *only)
{
    return !only || fnmatch(only, c->name, 0) == 0;
}

/* A summary that cannot be read fails the cell: its network may be the one that others used. */
static void read_summary(cell *c)
{
    sftn_error err = {0};
    sftn_run run;

    if (sftn_run_read(c->dir, &run, &err) == SFTN_OK) {
        sftn_run_free(&run);
        return;
    }
    c->cached = false;
    c->state = CELL_FAILED;
    sftn_fail(&c->error, err.status, "%s; remove %s to train it again", err.text, c->dir);
}

void plan_states(cells *all, const char *only)
{
    for (int i = 0; i < all->n; i++) {
        cell *c = &all->list[i];

        c->cached = cell_is_done(c);
        c->resumes = !c->cached && holds(c, "checkpoint.safetensors");
        c->state = c->cached ? CELL_DONE : CELL_LEFT;
        if (c->cached)
            read_summary(c);
    }
    for (int i = 0; i < all->n; i++)
        if (cell_is_named(&all->list[i], only))
            need(all, all->list[i].same_as >= 0 ? all->list[i].same_as : i);
}

/* ---- timing ---- */

typedef struct rate {
    double step_s;  /* of a whole step */
    double guide_s; /* of it, what students of one teacher share */
    double phases;  /* epochs that the methods' own phases take more */
} rate;

/* The shortest of a few runs. */
static sftn_status fastest(sftn_status (*run)(void *, sftn_error *), void *ctx, double *best,
                           sftn_error *err)
{
    sftn_status status = SFTN_OK;

    *best = -1.0;
    for (int i = 0; i < TIMED_STEPS && !status; i++) {
        const double begin = cli_now();

        status = run(ctx, err);
        if (*best < 0.0 || cli_now() - begin < *best)
            *best = cli_now() - begin;
    }
    return status;
}

static sftn_status run_step(void *w, sftn_error *err)
{
    return cli_workload_run(w, err);
}

static sftn_status run_plan(void *plan, sftn_error *err)
{
    return sftn_plan_run(plan, err);
}

static bool time_workload(cli_workload *w, rate *r)
{
    sftn_plan *guide = sftn_stepper_guide_plan(w->stepper);
    sftn_error err = {0};

    *r = (rate){.phases = 0.0};
    if (fastest(run_step, w, &r->step_s, &err) ||
        (guide && fastest(run_plan, guide, &r->guide_s, &err))) {
        cli_fail(&err);
        return false;
    }
    for (int i = 0; i < w->job.nphases; i++)
        r->phases += w->job.phase[i].schedule.epochs;
    return true;
}

static bool time_steps(const cells *all, const cell *c, rate *r)
{
    const cell_data *d = &all->data[c->data];
    cli_training t;
    cli_workload w = {0};
    sftn_plan_options plan;
    int code;
    bool ok = cell_parse(c, &t, &code) && cli_plan_options(&t.machine, &plan, NULL) == SFTN_OK;
    const cli_workload_options o = {
        .workload = c->kind == CELL_STUDENT ? CLI_KD : CLI_SFTN_TEACHER,
        .teacher = c->kind == CELL_STUDENT ? all->list[c->teacher].network : t.network,
        .student = c->kind == CELL_STUDENT ? t.network : cli_training_student(&t),
        .method = t.method,
        .batch = c->batch,
        .classes = d->classes,
        .image_size = d->size,
    };

    ok = ok && cli_workload_new(&t.args, &o, &t.methods, &t.scheme, &plan, &w, &code) &&
         time_workload(&w, r);
    cli_workload_free(&w);
    cli_args_free(&t.args);
    return ok;
}

typedef struct timing {
    const cells *all;
    const cell *cell;
    struct {
        bool ok;
        rate rate;
        char said[256]; /* where not ok: why */
    } result;
} timing;

static int time_cell(void *ctx)
{
    timing *t = ctx;
    FILE *said = tmpfile();
    char line[1024];

    if (!said || dup2(fileno(said), STDERR_FILENO) < 0)
        return CLI_FAILED;
    t->result.ok = time_steps(t->all, t->cell, &t->result.rate);
    fflush(stderr);
    rewind(said);
    while (!t->result.ok && fgets(line, sizeof line, said)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "sftn: ", 6) == 0)
            snprintf(t->result.said, sizeof t->result.said, "%.250s", line + 6);
    }
    fclose(said);
    return CLI_DONE;
}

static bool time_in_child(const cells *all, cell *c, rate *r)
{
    timing t = {.all = all, .cell = c};
    const int code = in_child(time_cell, &t, &t.result, sizeof t.result);

    *r = t.result.rate;
    snprintf(c->cannot, sizeof c->cannot, "%s", code == CLI_DONE ? t.result.said : "");
    return code == CLI_DONE && t.result.ok;
}

/* ---- rates that were measured before ---- */

static double number_of(json_object *o, const char *key)
{
    json_object *value;

    return json_object_object_get_ex(o, key, &value) ? json_object_get_double(value) : 0.0;
}

static bool find_rate(json_object *rates, const char *workload, rate *r)
{
    json_object *o;

    if (!json_object_object_get_ex(rates, workload, &o))
        return false;
    *r = (rate){number_of(o, "step_s"), number_of(o, "guide_s"), number_of(o, "phases")};
    return r->step_s > 0.0;
}

static void keep_rate(json_object *rates, const char *workload, const rate *r)
{
    json_object *o = json_object_new_object();

    cli_add_number(o, "step_s", r->step_s);
    cli_add_number(o, "guide_s", r->guide_s);
    cli_add_number(o, "phases", r->phases);
    json_object_object_add(rates, workload, o);
}

/* A file that cannot be written costs time only. */
static void save_rates(json_object *rates, const char *cache, const char *path)
{
    if (cli_make_dirs(cache, NULL) == SFTN_OK)
        cli_replace_file(path, json_object_to_json_string_ext(rates, JSON_C_TO_STRING_PRETTY),
                         NULL);
}

/* ---- estimates ---- */

/* How many open cells learn from the same teacher's answers as c. */
static int companions(const cells *all, const cell *c)
{
    int n = 0;

    for (int i = 0; i < all->n; i++)
        n += all->list[i].state == CELL_OPEN && all->list[i].together && c->together &&
             strcmp(all->list[i].together, c->together) == 0;
    return n;
}

static double epochs_done(const cell *c)
{
    sftn_run run;
    double n;

    if (!c->resumes || sftn_run_read(c->dir, &run, NULL) != SFTN_OK)
        return 0.0;
    n = run.nepochs;
    sftn_run_free(&run);
    return n;
}

static double seconds_of(const cells *all, const cell *c, const rate *r, int together)
{
    const cell_data *d = &all->data[c->data];
    const int others = companions(all, c);
    const int sharing = others < together ? others : together;
    const double guide = r->guide_s / (sharing > 1 ? sharing : 1);
    const double step = r->step_s - r->guide_s + guide, batch = (double)c->batch;
    const double epochs = c->epochs + r->phases - epochs_done(c);
    const double train = (double)((d->records[SFTN_TRAIN] + c->batch - 1) / c->batch);
    const double validation = (double)d->records[SFTN_VALIDATION] / batch;
    const double test = 2.0 * (double)d->records[SFTN_TEST] / batch;

    return step * (epochs * (train + forward_share * validation) + forward_share * test);
}

void plan_estimate(cells *all, const run_options *o)
{
    char path[640];
    json_object *rates;
    bool changed = false;

    snprintf(path, sizeof path, "%s/rates.json", o->cache);
    rates = json_object_from_file(path);
    if (!json_object_is_type(rates, json_type_object)) {
        json_object_put(rates);
        rates = json_object_new_object();
    }
    for (int i = 0; i < all->n && !cli_stop_requested(NULL); i++) {
        cell *c = &all->list[i];
        rate r;
        bool known;

        if (c->state != CELL_OPEN)
            continue;
        known = find_rate(rates, c->workload, &r);
        if (!known && o->time && time_in_child(all, c, &r)) {
            keep_rate(rates, c->workload, &r);
            known = changed = true;
        }
        c->seconds = known ? seconds_of(all, c, &r, o->together) : -1.0;
    }
    if (changed)
        save_rates(rates, o->cache, path);
    json_object_put(rates);
}

/* ---- what is said ---- */

static const char *state_text(const cell *c)
{
    return c->state == CELL_DONE     ? "cached"
           : c->state == CELL_FAILED ? "failed"
           : c->resumes              ? "to resume"
                                     : "to train";
}

/* What is to be trained; with --dry-run what is cached too, and names of the same training. */
static bool is_listed(const cells *all, const cell *c, const run_options *o)
{
    const cell *trained = c->same_as >= 0 ? &all->list[c->same_as] : c;

    if (c->same_as >= 0 && (!o->dry_run || cell_is_hidden(all, c)))
        return false;
    return trained->state == CELL_OPEN || (o->dry_run && trained->state != CELL_LEFT);
}

void plan_print(const study *s, const cells *all, const run_options *o)
{
    int n = 0, done = 0, open = 0, left = 0, unknown = 0, width = 4;
    double total = 0.0;
    char time[32];

    for (int i = 0; i < all->n; i++) {
        const cell *c = &all->list[i];

        if (is_listed(all, c, o) && (int)strlen(c->name) > width)
            width = (int)strlen(c->name);
        if (c->same_as >= 0)
            continue;
        n++;
        done += c->state == CELL_DONE;
        left += c->state == CELL_LEFT;
        open += c->state == CELL_OPEN;
        unknown += c->state == CELL_OPEN && c->seconds < 0.0;
        total += c->state == CELL_OPEN && c->seconds > 0.0 ? c->seconds : 0.0;
    }
    for (int i = 0; i < all->n; i++) {
        const cell *c = &all->list[i];
        char *line;

        if (!is_listed(all, c, o))
            continue;
        if (c->same_as >= 0) {
            printf("%-*s  the same training as %s\n", width, c->name, all->list[c->same_as].name);
            continue;
        }
        cli_format_duration(c->seconds, time, sizeof time);
        printf("%-*s  %-9s  %8s  %s\n", width, c->name, state_text(c),
               c->state == CELL_OPEN && c->seconds >= 0.0 ? time : "", c->dir);
        if (c->cannot[0])
            printf("    cannot be built: %s\n", c->cannot);
        if (c->state == CELL_FAILED)
            printf("    %s\n", c->error.text);
        line = o->dry_run ? cell_command(c) : NULL;
        if (line)
            printf("    %s\n", line);
        free(line);
    }
    cli_format_duration(total, time, sizeof time);
    printf("%s: %d training%s, %d cached, %d to do", s->name, n, n == 1 ? "" : "s", done, open);
    if (left > 0)
        printf(", %d not asked for", left);
    if (open > unknown)
        printf(", about %s of computing%s", time, unknown ? " for those with a known rate" : "");
    if (open > unknown && o->jobs > 1) {
        cli_format_duration(total / (o->jobs < open ? o->jobs : open), time, sizeof time);
        printf(", %s with %d at a time", time, o->jobs);
    }
    printf("\n");
    fflush(stdout);
}
