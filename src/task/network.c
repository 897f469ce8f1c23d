/*
 * network: the parameters of one network, created from its model and filled from a file.
 */
#include "task/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

sftn_status sftn_network_params(const sftn_network_spec *spec, sftn_params **params,
                                sftn_error *err)
{
    sftn_graph *g = sftn_graph_new();
    sftn_params *p = sftn_params_new();
    const sftn_shape image = SFTN_SHAPE(2, spec->channels, spec->image_size, spec->image_size);
    sftn_status status = SFTN_ERR_MEMORY;

    *params = NULL;
    if (g && p) {
        const sftn_scope scope = {.g = g, .params = p};
        const sftn_shape shape =
            spec->from_stage > 0
                ? sftn_model_feature_shape(spec->model, image, spec->from_stage)
                : image;
        const sftn_value x = sftn_graph_input(g, "x", (sftn_type){.shape = shape});

        sftn_model_build(spec->model, &scope, x, spec->classes, spec->from_stage);
        status = sftn_graph_status(g, err);
        if (status)
            sftn_fail_in(err, "%s", spec->model->name);
    } else {
        sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", spec->model->name);
    }
    sftn_graph_free(g);
    if (status)
        sftn_params_free(p);
    else
        *params = p;
    return status;
}

char *sftn_network_path(const char *path)
{
    struct stat info;
    sftn_strbuf b = {0};

    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return sftn_strdup(path);
    sftn_strbuf_add(&b, "%s/model.safetensors", path);
    if (!b.failed)
        return b.text;
    sftn_strbuf_free(&b);
    return NULL;
}

static sftn_status check_meta(const sftn_tensors *t, const char *path,
                              const sftn_network_spec *spec, sftn_error *err)
{
    const char *model = sftn_tensors_meta(t, "model");
    const char *classes = sftn_tensors_meta(t, "classes");

    if (model && strcmp(model, spec->model->name) != 0)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s holds the network %s, expected %s", path, model,
                         spec->model->name);
    if (classes && strtol(classes, NULL, 10) != spec->classes)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s holds a network for %s classes, expected %d",
                         path, classes, spec->classes);
    return SFTN_OK;
}

sftn_status sftn_network_fill(const char *path, const sftn_network_spec *spec, sftn_params *params,
                              sftn_error *err)
{
    char *file = sftn_network_path(path);
    sftn_tensors *t = NULL;
    sftn_status status;

    if (!file)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", path);
    status = sftn_tensors_open(file, &t, err);
    if (!status)
        status = check_meta(t, file, spec, err);
    if (!status) {
        const char *kind = sftn_tensors_meta(t, "kind");
        const bool checkpoint = kind && strcmp(kind, "checkpoint") == 0;

        status = sftn_tensors_read_params(t, checkpoint ? "model." : "", params, err);
    }
    sftn_tensors_close(t);
    free(file);
    return status;
}
