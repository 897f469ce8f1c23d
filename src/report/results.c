/*
 * results: an experiment's results.json, one row for each network, read back as runs.
 */
#include "sftn/report.h"

#include "task/task.h"

#include <stdlib.h>
#include <string.h>

static double number(json_object *row, const char *key)
{
    return sftn_json_number(row, key, -1.0);
}

static void read_measures(json_object *row, sftn_run *run)
{
    run->result = (sftn_train_result){
        .last_top1 = number(row, "test_top1"),
        .last_top5 = number(row, "test_top5"),
        .best_validation_top1 = number(row, "best_validation_top1"),
        .best_epoch = (int64_t)sftn_json_number(row, "best_epoch", 0.0),
        .best_test_top1 = number(row, "best_test_top1"),
        .ema_top1 = number(row, "ema_top1"),
        .seconds = sftn_json_number(row, "seconds", 0.0),
    };
    run->compared = sftn_json_member(row, "agreement") != NULL;
    run->similarity = (sftn_similarity){
        .agreement = sftn_json_number(row, "agreement", 0.0),
        .kl_teacher_student = sftn_json_number(row, "kl_teacher_student", 0.0),
        .kl_student_teacher = sftn_json_number(row, "kl_student_teacher", 0.0),
        .cka_pooled = sftn_json_number(row, "cka_pooled", 0.0),
        .cka_logits = sftn_json_number(row, "cka_logits", 0.0),
    };
}

/* The last epoch is all that a row tells of the log. */
static bool read_epoch(json_object *row, sftn_run *run)
{
    const int64_t epochs = (int64_t)sftn_json_number(row, "epochs", 0.0);

    if (epochs < 1)
        return true;
    run->epoch = sftn_calloc(1, sizeof *run->epoch);
    if (!run->epoch)
        return false;
    run->nepochs = 1;
    *run->epoch = (sftn_run_epoch){
        .epoch = epochs,
        .loss = number(row, "train_loss"),
        .train_top1 = number(row, "train_top1"),
        .validation_top1 = number(row, "validation_top1"),
        .test_top1 = number(row, "test_top1"),
        .test_top5 = number(row, "test_top5"),
        .ema_top1 = number(row, "ema_top1"),
    };
    return true;
}

/* All epochs, where the run directory is still there. */
static void read_log(json_object *row, sftn_run *run)
{
    const char *dir = sftn_json_text(row, "directory");
    sftn_run whole = {0};

    if (!dir || sftn_run_read(dir, &whole, NULL) != SFTN_OK)
        return;
    if (run->nepochs == 1 && whole.nepochs == run->epoch->epoch) {
        free(run->epoch);
        run->epoch = whole.epoch;
        run->nepochs = whole.nepochs;
        whole.epoch = NULL;
        whole.nepochs = 0;
    }
    sftn_run_free(&whole);
}

/* What the row is but for seed and teacher. */
static char *describe(json_object *row)
{
    static const char *const keys[] = {"kind", "network", "student", "method", "options"};
    json_object *o = json_object_new_object();
    char *text;

    for (size_t i = 0; i < SFTN_COUNT(keys); i++)
        if (sftn_json_member(row, keys[i]))
            json_object_object_add(o, keys[i], json_object_get(sftn_json_member(row, keys[i])));
    text = sftn_strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
    return text;
}

static char *copy_text(json_object *row, const char *key)
{
    const char *text = sftn_json_text(row, key);

    return sftn_strdup(text ? text : "");
}

/* The row of that name, or NULL. */
static json_object *find_row(json_object *rows, const char *name)
{
    for (size_t i = 0; name && i < json_object_array_length(rows); i++) {
        json_object *row = json_object_array_get_idx(rows, i);
        const char *other = sftn_json_text(row, "name");

        if (other && strcmp(other, name) == 0)
            return row;
    }
    return NULL;
}

/* The row with whose directory text begins, or NULL. */
static json_object *find_directory(json_object *rows, const char *text)
{
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        json_object *row = json_object_array_get_idx(rows, i);
        const char *dir = sftn_json_text(row, "directory");

        if (dir && *dir && strncmp(text, dir, strlen(dir)) == 0)
            return row;
    }
    return NULL;
}

/*
 * A command but for what tells seeds of one training apart: without its seed, and networks of the
 * same experiment called by their groups.  NULL: out of memory.
 */
static char *recipe_of(json_object *rows, const char *command)
{
    static const char seed[] = "--seed=";
    sftn_strbuf b = {0};
    char before = 0;

    sftn_strbuf_add(&b, "%s", ""); /* also of an empty command there is a text */
    while (*command) {
        json_object *row = before == '=' ? find_directory(rows, command) : NULL;
        const char *group = sftn_json_text(row, "group");
        size_t length = 1;

        if (group) {
            length = strlen(sftn_json_text(row, "directory"));
            sftn_strbuf_add(&b, "%s", group);
        } else if (strncmp(command, seed, strlen(seed)) == 0) {
            length = strcspn(command, " ");
        } else {
            sftn_strbuf_add(&b, "%c", *command);
        }
        before = command[length - 1];
        command += length;
    }
    if (b.failed)
        sftn_strbuf_free(&b);
    return b.text;
}

static bool read_row(json_object *rows, json_object *row, sftn_run *run)
{
    const char *state = sftn_json_text(row, "state");
    const char *taught_by = sftn_json_text(row, "teacher_run");
    const char *command = sftn_json_text(row, "command");
    json_object *teacher = find_row(rows, taught_by);
    const char *scheme = sftn_json_text(teacher, "scheme");

    run->name = copy_text(row, "name");
    run->network = copy_text(row, "network");
    run->data = copy_text(row, "data");
    run->group = copy_text(row, "group");
    run->description = describe(row);
    run->seed = (int64_t)number(row, "seed");
    run->finished = state && strcmp(state, "done") == 0;
    run->plain_teacher = scheme && strcmp(scheme, "plain") == 0;
    if (sftn_json_text(row, "hash"))
        run->hash = copy_text(row, "hash");
    if (state)
        run->state = copy_text(row, "state");
    if (command)
        run->recipe = recipe_of(rows, command);
    if (taught_by)
        run->teacher = copy_text(teacher ? teacher : row, teacher ? "group" : "teacher_run");
    read_measures(row, run);
    if (!read_epoch(row, run))
        return false;
    read_log(row, run);
    return run->name && run->network && run->data && run->group && run->description &&
           (run->state || !state) && (run->recipe || !command) && (run->teacher || !taught_by);
}

static sftn_status read_rows(const char *path, json_object *o, sftn_run **runs, int *n,
                             sftn_error *err)
{
    json_object *rows = sftn_json_member(o, "runs");
    size_t count;

    if (!json_object_is_type(rows, json_type_array))
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: expected the results of an experiment, a JSON object with 'runs'",
                         path);
    count = json_object_array_length(rows);
    *runs = sftn_calloc(count ? count : 1, sizeof **runs);
    if (!*runs)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < count; i++) {
        json_object *row = json_object_array_get_idx(rows, i);

        if (!sftn_json_text(row, "name") || !sftn_json_text(row, "group"))
            return sftn_fail(err, SFTN_ERR_FORMAT,
                             "%s: row %zu of 'runs' has no 'name' or no 'group'", path, i + 1);
        ++*n;
        if (!read_row(rows, row, &(*runs)[i]))
            return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", path);
    }
    return SFTN_OK;
}

sftn_status sftn_results_read(const char *path, sftn_run **runs, int *n, sftn_error *err)
{
    void *text = NULL;
    size_t bytes;
    json_object *o;
    sftn_status status = sftn_read_file(path, &text, &bytes, err);

    *runs = NULL;
    *n = 0;
    if (status)
        return status;
    o = json_tokener_parse(text);
    free(text);
    status = read_rows(path, o, runs, n, err);
    json_object_put(o);
    if (status) {
        sftn_runs_free(*runs, *runs ? *n : 0);
        *runs = NULL;
        *n = 0;
    }
    return status;
}
