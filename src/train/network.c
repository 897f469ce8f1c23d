/*
 * network: reads a trained network back, with what its file says about itself.
 */
#include "task/task.h"
#include "train/files.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sftn_status get_text(const sftn_tensors *t, const char *path, const char *key,
                            const char **text, sftn_error *err)
{
    *text = sftn_tensors_meta(t, key);
    if (*text)
        return SFTN_OK;
    return sftn_fail(err, SFTN_ERR_FORMAT,
                     "%s: the metadata has no '%s': expected a network written by sftn", path, key);
}

static sftn_status get_integer(const sftn_tensors *t, const char *path, const char *key, int low,
                               int high, int *number, sftn_error *err)
{
    const char *text;
    char *end;
    long value;

    if (get_text(t, path, key, &text, err))
        return SFTN_ERR_FORMAT;
    value = strtol(text, &end, 10);
    if (end == text || *end || value < low || value > high)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: metadata '%s' is '%s', expected a whole number from %d to %d", path,
                         key, text, low, high);
    *number = (int)value;
    return SFTN_OK;
}

static sftn_status get_floats(const sftn_tensors *t, const char *path, const char *key, int n,
                              float *x, sftn_error *err)
{
    struct json_object *list;
    const char *text;
    bool ok;

    if (get_text(t, path, key, &text, err))
        return SFTN_ERR_FORMAT;
    list = json_tokener_parse(text);
    ok = json_object_is_type(list, json_type_array) && json_object_array_length(list) == (size_t)n;
    for (int i = 0; ok && i < n; i++)
        x[i] = (float)json_object_get_double(json_object_array_get_idx(list, (size_t)i));
    json_object_put(list);
    if (ok)
        return SFTN_OK;
    return sftn_fail(err, SFTN_ERR_FORMAT, "%s: metadata '%s' is '%s', expected %d numbers", path,
                     key, text, n);
}

/* Names are optional; a list of another length than classes is damage. */
static sftn_status get_class_names(const sftn_tensors *t, const char *path, sftn_network *net,
                                   sftn_error *err)
{
    const char *text = sftn_tensors_meta(t, "class_names");
    struct json_object *list = text ? json_tokener_parse(text) : NULL;
    const size_t n = (size_t)net->classes;
    bool ok = json_object_is_type(list, json_type_array) && json_object_array_length(list) == n;

    if (!text)
        return SFTN_OK;
    if (!ok) {
        json_object_put(list);
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: metadata 'class_names' is not a list of %d names", path,
                         net->classes);
    }
    net->class_names = sftn_calloc(n, sizeof *net->class_names);
    for (size_t i = 0; i < n && ok; i++) {
        if (net->class_names)
            net->class_names[i] =
                sftn_strdup(json_object_get_string(json_object_array_get_idx(list, i)));
        ok = net->class_names && net->class_names[i];
    }
    json_object_put(list);
    return ok ? SFTN_OK : sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", path);
}

/* What the training's options say of its images. */
static void get_trained_on(const sftn_tensors *t, sftn_network *net)
{
    const char *options = sftn_tensors_meta(t, "options");
    json_object *o = options ? json_tokener_parse(options) : NULL;
    const char *hash = o ? sftn_json_text(o, "train-hash") : NULL;

    snprintf(net->trained_on, sizeof net->trained_on, "%s", hash ? hash : "");
    json_object_put(o);
}

static sftn_status read_meta(const sftn_tensors *t, const char *path, sftn_network *net,
                             sftn_error *err)
{
    const char *model, *data;
    sftn_status status = get_text(t, path, "model", &model, err);

    if (!status && sftn_model_find(model, &net->model, err))
        return sftn_fail_in(err, "%s", path);
    if (!status)
        status = get_integer(t, path, "classes", 2, 1 << 20, &net->classes, err);
    if (!status)
        status = get_integer(t, path, "channels", 1, 4, &net->channels, err);
    if (!status)
        status = get_integer(t, path, "image_size", 1, 1 << 14, &net->image_size, err);
    if (!status)
        status = get_floats(t, path, "mean", net->channels, net->mean, err);
    if (!status)
        status = get_floats(t, path, "std", net->channels, net->std, err);
    for (int c = 0; c < net->channels && !status; c++)
        if (!(net->std[c] > 0.0f))
            status = sftn_fail(err, SFTN_ERR_FORMAT, "%s: metadata 'std' holds %g, expected more "
                               "than 0", path, (double)net->std[c]);
    if (!status)
        status = get_text(t, path, "data", &data, err);
    if (!status)
        snprintf(net->data, sizeof net->data, "%s", data);
    if (!status)
        status = get_class_names(t, path, net, err);
    get_trained_on(t, net);
    return status;
}

sftn_status sftn_network_load(const char *path, sftn_network *net, sftn_error *err)
{
    char *file = sftn_network_path(path);
    sftn_tensors *t = NULL;
    sftn_status status;

    *net = (sftn_network){0};
    if (!file)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", path);
    status = sftn_tensors_open(file, &t, err);
    if (!status)
        status = read_meta(t, file, net, err);
    sftn_tensors_close(t);
    if (!status) {
        const sftn_network_spec spec = {&net->model, net->classes, net->channels, net->image_size,
                                        0};

        status = sftn_network_params(&spec, &net->params, err);
        if (!status)
            status = sftn_network_fill(file, &spec, net->params, err);
    }
    free(file);
    if (status)
        sftn_network_free(net);
    return status;
}

void sftn_network_free(sftn_network *net)
{
    for (int i = 0; net->class_names && i < net->classes; i++)
        free(net->class_names[i]);
    free(net->class_names);
    sftn_params_free(net->params);
    *net = (sftn_network){0};
}
