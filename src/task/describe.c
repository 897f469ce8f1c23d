/*
 * describe: what a job is, as a JSON object: for the log, for reports, and to tell whether a
 * checkpoint belongs to the same job.
 */
#include "task/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool put(struct json_object *object, const char *key, struct json_object *value)
{
    if (!object || !value || json_object_object_add(object, key, value) != 0) {
        json_object_put(value);
        return false;
    }
    return true;
}

bool sftn_describe_text(struct json_object *object, const char *key, const char *text)
{
    return put(object, key, json_object_new_string(text));
}

bool sftn_describe_number(struct json_object *object, const char *key, double number)
{
    char text[32];

    snprintf(text, sizeof text, "%.9g", number);
    return put(object, key, json_object_new_double_s(number, text));
}

bool sftn_describe_integer(struct json_object *object, const char *key, int64_t number)
{
    return put(object, key, json_object_new_int64(number));
}

bool sftn_describe_path(struct json_object *object, const char *key, const char *path)
{
    const size_t longest = 160;
    const size_t length = strlen(path);
    char text[192];

    snprintf(text, sizeof text, "%s%s", length > longest ? "..." : "",
             path + (length > longest ? length - longest : 0));
    return sftn_describe_text(object, key, text);
}

/* Origins of origins: only that of a network which was trained on is kept, one step back. */
static void cut_origins(struct json_object *job)
{
    struct json_object *before = sftn_json_member(sftn_json_member(job, "init_from"), "job");

    json_object_object_del(job, "teacher_from");
    if (before) {
        json_object_object_del(before, "teacher_from");
        json_object_object_del(before, "init_from");
    }
}

/* A member with the JSON object that a file's metadata holds under that name. */
static bool describe_meta(struct json_object *object, const sftn_tensors *t, const char *key)
{
    const char *text = sftn_tensors_meta(t, key);
    struct json_object *value = text ? json_tokener_parse(text) : NULL;

    if (!json_object_is_type(value, json_type_object)) {
        json_object_put(value);
        return true;
    }
    cut_origins(value);
    return put(object, key, value);
}

bool sftn_describe_origin(struct json_object *object, const char *key, const char *path)
{
    struct json_object *origin = json_object_new_object();
    char *file = sftn_network_path(path);
    sftn_tensors *t = NULL;
    bool ok = put(object, key, origin) && file && sftn_describe_path(origin, "path", path);

    if (ok && sftn_tensors_open(file, &t, NULL) == SFTN_OK)
        ok = describe_meta(origin, t, "job") && describe_meta(origin, t, "options");
    sftn_tensors_close(t);
    free(file);
    return ok;
}

static bool describe_option(struct json_object *object, const sftn_option *o, const void *options)
{
    char text[128];

    sftn_options_format(o, options, text, sizeof text);
    switch (o->kind) {
    case SFTN_OPT_FLOAT:
        return sftn_describe_number(object, o->name, strtod(text, NULL));
    case SFTN_OPT_INT:
    case SFTN_OPT_INT64:
        return sftn_describe_integer(object, o->name, strtoll(text, NULL, 10));
    case SFTN_OPT_BOOL:
        return put(object, o->name, json_object_new_boolean(strcmp(text, "true") == 0));
    default:
        return sftn_describe_text(object, o->name, text);
    }
}

bool sftn_describe_options(struct json_object *object, const char *key, const sftn_option *table,
                           const void *options)
{
    struct json_object *member;

    if (!table || table->kind == SFTN_OPT_END)
        return true;
    member = json_object_new_object();
    if (!put(object, key, member))
        return false;
    for (const sftn_option *o = table; o->kind != SFTN_OPT_END; o++)
        if (!describe_option(member, o, options))
            return false;
    return true;
}

bool sftn_describe_values(struct json_object *object, const char *key, sftn_params *p)
{
    const size_t weights = (size_t)sftn_params_weight_size(p) * sizeof(float);
    const size_t states = (size_t)sftn_params_state_size(p) * sizeof(float);
    const uint64_t hash = sftn_hash_bytes(sftn_params_weights(p), weights) ^
                          (states ? 31 * sftn_hash_bytes(sftn_params_states(p), states) : 0);
    char text[32];

    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    return sftn_describe_text(object, key, text);
}

sftn_status sftn_describe_job(sftn_job *job, struct json_object *object, bool complete,
                              sftn_error *err)
{
    const char *text = NULL;
    sftn_status status = SFTN_OK;

    if (object && complete)
        text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
                                                          JSON_C_TO_STRING_NOSLASHESCAPE);
    if (!text)
        status = sftn_fail(err, SFTN_ERR_MEMORY, "job description: out of memory");
    else if (strlen(text) >= sizeof job->description)
        status = sftn_fail(err, SFTN_ERR_ARGUMENT,
                           "the job's description takes %zu bytes, expected fewer than %zu",
                           strlen(text), sizeof job->description);
    else
        memcpy(job->description, text, strlen(text) + 1);
    json_object_put(object);
    return status;
}

void *sftn_options_copy(const sftn_option *table, const void *options, size_t bytes)
{
    void *copy = sftn_calloc(1, bytes ? bytes : 1);

    if (!copy)
        return NULL;
    if (options && bytes)
        memcpy(copy, options, bytes);
    else if (table)
        sftn_options_default(table, copy);
    return copy;
}
