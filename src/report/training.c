/*
 * training: a run's description, {"job": ..., "options": ...} as network files hold it, as a flat
 * list of members: {"job.scheme": "sftn", "job.scheme-options.lambda-kl": "3", ...}, without seeds
 * and without the places that something was read from; but with what is known of the training of
 * that which was read.
 */
#include "report/training.h"

#include "task/task.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- members ---- */

static bool is_seed(const char *key)
{
    return strcmp(key, "job-seed") == 0 || strcmp(key, "batch-seed") == 0;
}

static bool is_place(const char *key)
{
    const size_t length = strlen(key);

    return length > 5 && strcmp(key + length - 5, "_from") == 0;
}

/* The members of a student's job that say who its teacher is. */
static bool is_teacher(const char *key)
{
    return strcmp(key, "teacher") == 0 || strcmp(key, "teacher-values") == 0 ||
           strcmp(key, "teacher_from") == 0;
}

static bool add_member(json_object *members, const char *path, json_object *value)
{
    const char *text = json_object_is_type(value, json_type_string)
                           ? json_object_get_string(value)
                           : json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
    json_object *copy = text ? json_object_new_string(text) : NULL;

    if (copy && json_object_object_add(members, path, copy) == 0)
        return true;
    json_object_put(copy);
    return false;
}

/* The members of o, whose own path is `path`; taught: without those of a teacher. */
static bool flatten(json_object *members, const char *path, json_object *o, bool taught)
{
    const bool from = is_place(path);
    bool ok = true;

    json_object_object_foreach(o, key, value) {
        sftn_strbuf b = {0};

        if (is_seed(key) || (taught && is_teacher(key)) || (from && strcmp(key, "path") == 0))
            continue;
        sftn_strbuf_add(&b, "%s%s%s", path, path[0] ? "." : "", key);
        if (b.failed)
            ok = false;
        else if (is_place(key) && !sftn_json_member(value, "job"))
            ok = ok && json_object_object_add(members, b.text, json_object_new_string("yes")) == 0;
        else if (json_object_is_type(value, json_type_object))
            ok = ok && flatten(members, b.text, value, taught);
        else
            ok = ok && add_member(members, b.text, value);
        sftn_strbuf_free(&b);
    }
    return ok;
}

static bool close_members(sftn_training *t, bool ok)
{
    if (ok)
        t->key = sftn_strdup(json_object_to_json_string_ext(t->members, JSON_C_TO_STRING_PLAIN));
    return t->key != NULL;
}

/* ---- trainings ---- */

/* "kd+at" of members method1, method2, ..., or the one method of networks that learn together. */
static void add_methods(sftn_strbuf *b, json_object *job)
{
    const char *name = sftn_json_text(job, "method");
    char key[32];

    if (name)
        sftn_strbuf_add(b, " %s", name);
    for (int i = 1; i < 100; i++) {
        snprintf(key, sizeof key, "method%d", i);
        name = sftn_json_text(job, key);
        if (!name)
            break;
        sftn_strbuf_add(b, "%s%s", i == 1 ? " " : "+", name);
    }
}

static void name_training(sftn_training *t, json_object *job)
{
    const char *task = sftn_json_text(job, "task"), *scheme = sftn_json_text(job, "scheme");
    const char *network = sftn_json_text(job, "student");
    sftn_strbuf b = {0};

    if (task && strcmp(task, "teach") == 0) {
        network = sftn_json_text(job, "teacher");
        t->plain = scheme && strcmp(scheme, "plain") == 0;
    }
    sftn_strbuf_add(&b, "%s", network ? network : "");
    if (scheme)
        sftn_strbuf_add(&b, " %s", scheme);
    add_methods(&b, job);
    snprintf(t->base, sizeof t->base, "%s", b.text ? b.text : "");
    sftn_strbuf_free(&b);
}

/* The teacher of a student's job: its training where that is known, else its name and values. */
static bool read_teacher(json_object *job, sftn_training *teacher)
{
    json_object *from = sftn_json_member(job, "teacher_from");
    json_object *taught = sftn_json_member(from, "job");
    bool ok = true;

    if (!sftn_json_text(job, "teacher-values"))
        return true;
    teacher->members = json_object_new_object();
    if (json_object_is_type(taught, json_type_object)) {
        const char *const part[] = {"job", "options"};

        for (int i = 0; i < 2; i++) {
            json_object *o = sftn_json_member(from, part[i]);

            if (json_object_is_type(o, json_type_object))
                ok = ok && flatten(teacher->members, part[i], o,
                                   sftn_json_text(o, "teacher-values") != NULL);
        }
        name_training(teacher, taught);
    } else {
        ok = add_member(teacher->members, "values", sftn_json_member(job, "teacher-values"));
        snprintf(teacher->base, sizeof teacher->base, "%s",
                 sftn_json_text(job, "teacher") ? sftn_json_text(job, "teacher") : "a teacher");
    }
    return close_members(teacher, ok);
}

bool sftn_trainings_read(const char *description, sftn_training *own, sftn_training *teacher)
{
    json_object *o = json_tokener_parse(description);
    json_object *job = sftn_json_member(o, "job");
    const bool taught = sftn_json_text(job, "teacher-values") != NULL;
    bool ok = json_object_is_type(o, json_type_object);

    own->members = json_object_new_object();
    ok = ok && flatten(own->members, "", o, taught);
    if (ok && json_object_is_type(job, json_type_object)) {
        name_training(own, job);
        ok = read_teacher(job, teacher);
    }
    ok = close_members(own, ok);
    json_object_put(o);
    return ok;
}

void sftn_training_taught_by(sftn_training *t, const char *teacher)
{
    const size_t length = strlen(t->base);

    snprintf(t->base + length, sizeof t->base - length, " of %s", teacher);
}

void sftn_training_close(sftn_training *t)
{
    free(t->key);
    json_object_put(t->members);
    *t = (sftn_training){0};
}

/* ---- labels ---- */

/* Whether every training of that base has this member with this value. */
static bool common(const sftn_training *list, int n, const sftn_training *t, const char *path,
                   const char *value)
{
    for (int i = 0; i < n; i++) {
        const char *other;

        if (!list[i].key || strcmp(list[i].base, t->base) != 0)
            continue;
        other = sftn_json_text(list[i].members, path);
        if (!other || strcmp(other, value) != 0)
            return false;
    }
    return true;
}

/* A number that stands for the data's bytes says nothing to people. */
static bool is_readable(const char *path)
{
    const char *last = strrchr(path, '.');

    return strcmp(last ? last + 1 : path, "train-hash") != 0;
}

static void add_label(char *label, size_t size, const char *path, const char *value)
{
    const char *last = strrchr(path, '.');
    const size_t length = strlen(label);

    snprintf(label + length, size - length, "%s%s=%s", length ? " " : "", last ? last + 1 : path,
             value);
}

/* A number behind labels that are equal for different trainings. */
static void number_label(sftn_training *list, int i)
{
    int earlier = 0;

    for (int k = 0; k < i; k++) {
        const size_t length = strlen(list[i].label);

        if (!list[k].key || strncmp(list[k].label, list[i].label, length) != 0 ||
            (list[k].label[length] && list[k].label[length] != '#'))
            continue;
        if (strcmp(list[k].key, list[i].key) == 0 && strcmp(list[k].base, list[i].base) == 0) {
            memcpy(list[i].label, list[k].label, sizeof list[i].label);
            return;
        }
        earlier++;
    }
    if (earlier > 0) {
        const size_t length = strlen(list[i].label), most = sizeof list[i].label - 16;

        snprintf(list[i].label + (length < most ? length : most), 16, "#%d", earlier + 1);
    }
}

bool sftn_trainings_label(sftn_training *list, int n)
{
    for (int i = 0; i < n; i++) {
        sftn_training *t = &list[i];

        if (!t->key)
            continue;
        snprintf(t->label, sizeof t->label, "%s", t->base);
        if (!t->members)
            continue;
        json_object_object_foreach(t->members, path, value) {
            const char *text = json_object_get_string(value);

            if (!text)
                return false;
            if (is_readable(path) && !common(list, n, t, path, text))
                add_label(t->label, sizeof t->label, path, text);
        }
    }
    for (int i = 0; i < n; i++)
        if (list[i].key)
            number_label(list, i);
    return true;
}
