/*
 * runs.c: runs by the names that commands are given: a run directory is one; results that
 * 'sftn run' wrote are all of theirs that are done, called as they are there.
 */
#include "cli/cli.h"
#include "sftn/report.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(json_object *o, const char *key)
{
    json_object *value;

    return json_object_object_get_ex(o, key, &value) ? json_object_get_string(value) : NULL;
}

/* Append the run in dir, called name (NULL: as the directory is). */
static sftn_status add_run(const char *dir, const char *name, sftn_run **runs, int *n,
                           sftn_error *err)
{
    sftn_run *more = realloc(*runs, ((size_t)*n + 1) * sizeof *more);
    char *copy = name ? strdup(name) : NULL;
    sftn_status status = SFTN_OK;

    *runs = more ? more : *runs;
    if (!more || (name && !copy))
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    else
        status = sftn_run_read(dir, &more[*n], err);
    if (status != SFTN_OK) {
        free(copy);
        return status;
    }
    if (copy) {
        free(more[*n].name);
        more[*n].name = copy;
    }
    ++*n;
    return SFTN_OK;
}

static sftn_status add_results(const char *file, sftn_run **runs, int *n, sftn_error *err)
{
    json_object *all = json_object_from_file(file), *rows = NULL;
    sftn_status status = SFTN_OK;

    if (!json_object_object_get_ex(all, "runs", &rows) ||
        !json_object_is_type(rows, json_type_array))
        status = sftn_fail(err, SFTN_ERR_FORMAT, "%s: expected the results of 'sftn run'", file);
    for (size_t i = 0; status == SFTN_OK && i < json_object_array_length(rows); i++) {
        json_object *row = json_object_array_get_idx(rows, i);
        const char *state = text_of(row, "state"), *dir = text_of(row, "directory");

        if (state && dir && strcmp(state, "done") == 0)
            status = add_run(dir, text_of(row, "name"), runs, n, err);
    }
    json_object_put(all);
    return status;
}

sftn_status cli_read_runs(const char *const *path, int npaths, sftn_run **runs, int *n,
                          sftn_error *err)
{
    sftn_status status = SFTN_OK;

    *runs = NULL;
    *n = 0;
    for (int i = 0; i < npaths && status == SFTN_OK; i++) {
        const size_t length = strlen(path[i]);

        if (length > 5 && strcmp(path[i] + length - 5, ".json") == 0)
            status = add_results(path[i], runs, n, err);
        else
            status = add_run(path[i], NULL, runs, n, err);
    }
    if (status == SFTN_OK && *n == 0)
        status = sftn_fail(err, SFTN_ERR_ARGUMENT, "none of the runs is done");
    return status;
}

void cli_free_runs(sftn_run *runs, int n)
{
    for (int i = 0; i < n; i++)
        sftn_run_free(&runs[i]);
    free(runs);
}
