/*
 * result.c: what came of an experiment: results.json with a row for each network, and a table.
 *
 * Both follow from the cache alone: an interrupted run ends in the same as one that was not, but
 * for times.
 */
#include "cli/experiment/experiment.h"

#include "sftn/report.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static void add_string(json_object *o, const char *key, const char *text)
{
    if (text)
        json_object_object_add(o, key, json_object_new_string(text));
}

static void add_measured(json_object *o, const char *key, double x)
{
    if (x >= 0.0)
        cli_add_number(o, key, x);
}

/* ---- rows ---- */

/* The options in which cells differ. */
static json_object *varying(const cell *c)
{
    json_object *o = json_object_new_object();

    for (int i = 0; i < c->noptions; i++)
        if (c->option[i].varies)
            add_string(o, c->option[i].key, c->option[i].value);
    return o;
}

/* How a teacher is trained; the command's own default unless given. */
static const char *scheme_of(const cell *c)
{
    for (int i = 0; i < c->noptions; i++)
        if (strcmp(c->option[i].key, "scheme") == 0)
            return c->option[i].value;
    return "sftn";
}

static void add_identity(const cells *all, const cell *c, json_object *o)
{
    static const char *const kinds[] = {"teacher", "alone", "student"};
    char *line = cell_command(c);

    add_string(o, "name", c->name);
    add_string(o, "group", c->group);
    add_string(o, "kind", kinds[c->kind]);
    add_string(o, "network", c->network);
    add_string(o, "data", all->data[c->data].options.data);
    add_string(o, "teacher", c->teacher_name);
    add_string(o, "scheme", c->kind == CELL_TEACHER ? scheme_of(c) : NULL);
    add_string(o, "student", c->student_name);
    add_string(o, "method", c->method_name);
    json_object_object_add(o, "seed", json_object_new_int64(strtoll(c->seed, NULL, 10)));
    json_object_object_add(o, "options", varying(c));
    if (c->teacher >= 0) {
        add_string(o, "teacher_run", all->list[c->teacher].name);
        json_object_object_add(o, "teacher_options", varying(&all->list[c->teacher]));
    }
    add_string(o, "command", line);
    free(line);
    add_string(o, "hash", c->hash);
    add_string(o, "directory", c->dir);
}

/* Training speed over the whole run; the last process may have done a part of it only. */
static void add_times(const sftn_run *run, double records, json_object *o)
{
    double seconds = 0.0;
    int n = 0;

    for (int i = 0; i < run->nepochs; i++)
        if (run->epoch[i].images_per_s > 0.0) {
            seconds += records / run->epoch[i].images_per_s;
            n++;
        }
    if (seconds > 0.0) {
        cli_add_number(o, "seconds", seconds);
        cli_add_number(o, "images_per_s", n * records / seconds);
    }
}

static void add_results(const cell_data *data, const sftn_run *run, json_object *o)
{
    const sftn_train_result *r = &run->result;

    json_object_object_add(o, "epochs", json_object_new_int(run->nepochs));
    if (run->nepochs > 0) {
        add_measured(o, "train_top1", run->epoch[run->nepochs - 1].train_top1);
        add_measured(o, "validation_top1", run->epoch[run->nepochs - 1].validation_top1);
        cli_add_number(o, "train_loss", run->epoch[run->nepochs - 1].loss);
    }
    add_measured(o, "test_top1", r->last_top1);
    add_measured(o, "test_top5", r->last_top5);
    if (r->best_validation_top1 >= 0.0) {
        json_object_object_add(o, "best_epoch", json_object_new_int64(r->best_epoch));
        add_measured(o, "best_validation_top1", r->best_validation_top1);
        add_measured(o, "best_test_top1", r->best_test_top1);
    }
    add_measured(o, "ema_top1", r->ema_top1);
    if (run->compared) {
        cli_add_number(o, "agreement", run->similarity.agreement);
        cli_add_number(o, "kl_teacher_student", run->similarity.kl_teacher_student);
        cli_add_number(o, "kl_student_teacher", run->similarity.kl_student_teacher);
        cli_add_number(o, "cka_pooled", run->similarity.cka_pooled);
        cli_add_number(o, "cka_logits", run->similarity.cka_logits);
    }
    add_times(run, (double)data->records[SFTN_TRAIN], o);
}

static const char *state_name(const cell *c)
{
    switch (c->state) {
    case CELL_DONE: return "done";
    case CELL_FAILED: return "failed";
    case CELL_LEFT: return "left out";
    case CELL_RUNNING: return "running";
    case CELL_STOPPED: return "stopped";
    default: return "waiting";
    }
}

static const cell *original(const cells *all, const cell *c)
{
    return c->same_as >= 0 ? &all->list[c->same_as] : c;
}

/* The row of a cell; of one that is done it is made once. */
static json_object *make_row(const cells *all, cell *c)
{
    const cell *trained = original(all, c);
    sftn_error err = {0};
    json_object *o;
    sftn_run run;

    if (c->row)
        return json_object_get(c->row);
    o = json_object_new_object();
    add_identity(all, c, o);
    if (trained->state == CELL_DONE && sftn_run_read(c->dir, &run, &err) == SFTN_OK) {
        add_string(o, "state", "done");
        add_results(&all->data[c->data], &run, o);
        sftn_run_free(&run);
        c->row = json_object_get(o);
    } else {
        add_string(o, "state", err.status ? "failed" : state_name(trained));
        if (err.status || trained->state == CELL_FAILED)
            add_string(o, "error", err.status ? err.text : trained->error.text);
    }
    return o;
}

sftn_status results_write(const study *s, cells *all, const char *path, sftn_error *err)
{
    json_object *o = json_object_new_object(), *rows = json_object_new_array();
    char machine[256];
    sftn_status status;

    sftn_backend_machine("cpu", machine, sizeof machine);
    add_string(o, "experiment", s->name);
    add_string(o, "version", sftn_version());
    add_string(o, "machine", machine);
    json_object_object_add(o, "runs", rows);
    for (int i = 0; i < all->n; i++)
        if (!cell_is_hidden(all, &all->list[i]))
            json_object_array_add(rows, make_row(all, &all->list[i]));
    status = cli_replace_file(path,
                              json_object_to_json_string_ext(
                                  o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                         JSON_C_TO_STRING_NOSLASHESCAPE),
                              err);
    json_object_put(o);
    return status;
}

/* ---- the table ---- */

static sftn_status print_groups(const sftn_run *runs, int n, sftn_error *err)
{
    sftn_run_statistics s = {0};
    char *text = NULL;
    sftn_status status = sftn_runs_group(runs, n, SFTN_GROUP_SEEDS, NULL, 0.95, &s, err);

    if (status == SFTN_OK)
        status = sftn_groups_table(runs, &s, SFTN_TABLE_TEXT, &text, err);
    if (status == SFTN_OK)
        printf("\n%s", text);
    free(text);
    sftn_run_statistics_free(&s);
    return status;
}

/* Of cells that are not done. */
static void print_others(cells *all)
{
    for (int i = 0; i < all->n; i++) {
        cell *c = &all->list[i];
        json_object *row;
        const char *state, *error;

        if (cell_is_hidden(all, c) || original(all, c)->state == CELL_LEFT)
            continue;
        row = make_row(all, c);
        state = json_object_get_string(json_object_object_get(row, "state"));
        error = json_object_get_string(json_object_object_get(row, "error"));
        if (strcmp(state, "done") != 0)
            printf("%s: %s%s%s\n", c->name, state, error ? ": " : "", error ? error : "");
        json_object_put(row);
    }
}

/* The finished ones of n runs; the others are freed. */
static int keep_finished(sftn_run *runs, int n)
{
    int kept = 0;

    for (int i = 0; i < n; i++)
        if (runs[i].finished)
            runs[kept++] = runs[i];
        else
            sftn_run_free(&runs[i]);
    return kept;
}

sftn_status results_print(const study *s, cells *all, const char *path, sftn_error *err)
{
    sftn_run *runs = NULL;
    int n = 0;
    char *text = NULL;
    sftn_status status = sftn_results_read(path, &runs, &n, err);

    if (status != SFTN_OK)
        return status;
    n = keep_finished(runs, n);
    if (n > 0)
        status = sftn_runs_table(runs, n, SFTN_TABLE_TEXT, &text, err);
    if (text)
        fputs(text, stdout);
    if (status == SFTN_OK && n > 0 && s->seeds.n > 1)
        status = print_groups(runs, n, err);
    print_others(all);
    free(text);
    sftn_runs_free(runs, n);
    return status;
}
