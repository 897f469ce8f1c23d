/*
 * branched: a teacher read back together with the branches of a student that it was trained with.
 *
 * The metadata of branches.safetensors hold the description of that training.  Its job is made anew
 * from it, so that branches are built by the scheme that trained them, and filled from the file.
 */
#include "task/task.h"
#include "train/files.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* DIR/branches.safetensors of DIR/model.safetensors. */
static char *branches_path(const char *file)
{
    const char *slash = strrchr(file, '/');
    sftn_strbuf b = {0};

    sftn_strbuf_add(&b, "%.*sbranches.safetensors", slash ? (int)(slash - file) + 1 : 0, file);
    if (!b.failed)
        return b.text;
    sftn_strbuf_free(&b);
    return NULL;
}

static sftn_status read_scheme_options(sftn_branched *b, json_object *job, sftn_error *err)
{
    const sftn_option *table = b->scheme->options;
    json_object *options = sftn_json_member(job, "scheme-options");
    sftn_status status = SFTN_OK;

    b->scheme_options = sftn_options_copy(table, NULL, b->scheme->options_size);
    if (!b->scheme_options)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    if (!table || !json_object_is_type(options, json_type_object))
        return SFTN_OK;
    json_object_object_foreach(options, name, value) {
        if (!status)
            status = sftn_options_set(table, b->scheme_options, name,
                                      json_object_get_string(value), err);
    }
    return status;
}

static sftn_status make_job(sftn_branched *b, json_object *job, sftn_error *err)
{
    const char *scheme = sftn_json_text(job, "scheme"), *student = sftn_json_text(job, "student");
    const sftn_network *teacher = &b->teacher;
    sftn_teach_options options = {
        .teacher = &teacher->model,
        .student = &b->student,
        .classes = teacher->classes,
        .channels = teacher->channels,
        .image_size = teacher->image_size,
    };
    sftn_status status;

    if (!scheme || !student)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "the metadata do not describe a teacher with student branches");
    b->scheme = sftn_teacher_find(scheme, err);
    if (!b->scheme)
        return SFTN_ERR_FORMAT;
    status = sftn_model_find(student, &b->student, err);
    if (!status)
        status = read_scheme_options(b, job, err);
    if (status)
        return status;
    options.scheme = b->scheme;
    options.scheme_options = b->scheme_options;
    status = sftn_teach_job(&options, &b->job, err);
    if (!status && b->job.nparams < 2)
        status = sftn_fail(err, SFTN_ERR_FORMAT, "the scheme %s has no branches", scheme);
    return status;
}

static sftn_status read_branches(sftn_branched *b, const char *path, sftn_error *err)
{
    sftn_tensors *t = NULL;
    sftn_status status = sftn_tensors_open(path, &t, err);

    if (!status) {
        const char *text = sftn_tensors_meta(t, "job");

        b->description = text ? json_tokener_parse(text) : NULL;
        status = make_job(b, b->description, err);
        if (!status)
            status = sftn_tensors_read_params(t, "", b->job.params[1], err);
        if (status)
            sftn_fail_in(err, "%s", path);
    }
    sftn_tensors_close(t);
    return status;
}

sftn_status sftn_branched_load(const char *path, sftn_branched *b, sftn_error *err)
{
    char *file = sftn_network_path(path), *branches = file ? branches_path(file) : NULL;
    sftn_status status;

    *b = (sftn_branched){0};
    if (!branches)
        status = sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", path);
    else
        status = sftn_network_load(file, &b->teacher, err);
    if (!status)
        status = read_branches(b, branches, err);
    free(branches);
    free(file);
    if (status)
        sftn_branched_free(b);
    return status;
}

void sftn_branched_free(sftn_branched *b)
{
    sftn_network_free(&b->teacher);
    sftn_job_free(&b->job);
    free(b->scheme_options);
    json_object_put(b->description);
    *b = (sftn_branched){0};
}
