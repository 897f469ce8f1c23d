/*
 * files: networks in safetensors files, with what is needed to use them again.
 */
#include "train/files.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *sftn_run_path(const char *dir, const char *name)
{
    sftn_strbuf b = {0};

    sftn_strbuf_add(&b, "%s/%s.safetensors", dir, name);
    if (!b.failed)
        return b.text;
    sftn_strbuf_free(&b);
    return NULL;
}

/* ---- writing ---- */

static sftn_status set_integer(sftn_tensors *t, const char *key, int64_t number, sftn_error *err)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)number);
    return sftn_tensors_set_meta(t, key, text, err);
}

/* 9 digits give a float back exactly. */
static sftn_status set_floats(sftn_tensors *t, const char *key, const float *x, int n,
                              sftn_error *err)
{
    char text[128] = "[";
    size_t at = 1;

    for (int i = 0; i < n && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, i ? ",%.9g" : "%.9g", (double)x[i]);
    if (at + 1 < sizeof text)
        memcpy(text + at, "]", 2);
    return sftn_tensors_set_meta(t, key, text, err);
}

static sftn_status set_class_names(sftn_tensors *t, const sftn_dataset *data, sftn_error *err)
{
    const int classes = sftn_dataset_get_info(data)->classes;
    struct json_object *names = json_object_new_array();
    const char *text = NULL;
    bool ok = names != NULL;
    sftn_status status;

    for (int i = 0; ok && i < classes; i++) {
        struct json_object *name = json_object_new_string(sftn_dataset_class(data, i));

        ok = name && json_object_array_add(names, name) == 0;
    }
    if (ok)
        text = json_object_to_json_string_ext(names, JSON_C_TO_STRING_PLAIN |
                                                         JSON_C_TO_STRING_NOSLASHESCAPE);
    status = text ? sftn_tensors_set_meta(t, "class_names", text, err)
                  : sftn_fail(err, SFTN_ERR_MEMORY, "class names: out of memory");
    json_object_put(names);
    return status;
}

sftn_status sftn_set_network_meta(sftn_tensors *t, const char *kind, const sftn_model *model,
                                  const sftn_run_origin *origin, sftn_error *err)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(origin->data);
    sftn_status status = sftn_tensors_set_meta(t, "format", "pt", err);

    if (!status)
        status = sftn_tensors_set_meta(t, "kind", kind, err);
    if (!status)
        status = sftn_tensors_set_meta(t, "model", model->name, err);
    if (!status)
        status = set_integer(t, "classes", origin->job->classes, err);
    if (!status)
        status = set_integer(t, "channels", info->channels, err);
    if (!status)
        status = set_integer(t, "image_size", info->height, err);
    if (!status)
        status = sftn_tensors_set_meta(t, "data", info->name, err);
    if (!status)
        status = set_floats(t, "mean", info->mean, info->channels, err);
    if (!status)
        status = set_floats(t, "std", info->std, info->channels, err);
    if (!status)
        status = set_class_names(t, origin->data, err);
    if (!status)
        status = sftn_tensors_set_meta(t, "job", origin->job->description, err);
    if (!status)
        status = sftn_tensors_set_meta(t, "options", origin->options, err);
    return status;
}

sftn_status sftn_write_store(const sftn_run_origin *origin, int store, const char *dir,
                             const char *name, sftn_error *err)
{
    const sftn_job *job = origin->job;
    const bool network = store == 0 || job->peer[store];
    sftn_tensors *t = sftn_tensors_new();
    char *path = sftn_run_path(dir, name);
    sftn_status status;

    if (!t || !path)
        status = sftn_fail(err, SFTN_ERR_MEMORY, "%s/%s: out of memory", dir, name);
    else
        status = sftn_set_network_meta(t, network ? "network" : job->params_name[store],
                                       job->peer[store] ? job->peer[store] : job->model, origin,
                                       err);
    if (!status)
        status = sftn_tensors_add_params(t, job->params[store], NULL, err);
    if (!status)
        status = sftn_tensors_save(t, path, err);
    sftn_tensors_close(t);
    free(path);
    return status;
}
