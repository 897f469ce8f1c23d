/*
 * branch: reads a student's deeper stages and head from a teacher's branches file.
 *
 * The file's metadata holds the description of the teacher's training ("job"): its student must be
 * ours.  Branch i hangs on teacher stage i and enters the student after stage
 * i - (teacher stages - student stages); its part of the student lies under "branchI.student.", or,
 * where branches shared their weights, under the first branch's.
 */
#include "task/branch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static sftn_status open_file(const char *path, sftn_tensors **t, sftn_error *err)
{
    sftn_strbuf b = {0};
    struct stat info;
    sftn_status status;

    sftn_strbuf_add(&b, "%s%s", path,
                    stat(path, &info) == 0 && S_ISDIR(info.st_mode) ? "/branches.safetensors" : "");
    if (b.failed)
        status = sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", path);
    else
        status = sftn_tensors_open(b.text, t, err);
    sftn_strbuf_free(&b);
    return status;
}

/* The student's stage that branch `branch` enters after; the file must be for our student. */
static sftn_status find_entry(const char *path, struct json_object *job, int branch,
                              const sftn_network_spec *spec, int *entry, sftn_error *err)
{
    const char *student = sftn_json_text(job, "student"), *teacher = sftn_json_text(job, "teacher");
    sftn_model model;

    if (!student || !teacher)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: the metadata does not describe a teacher with student branches",
                         path);
    if (strcmp(student, spec->model->name) != 0)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s holds branches of the student %s, expected %s",
                         path, student, spec->model->name);
    if (sftn_model_find(teacher, &model, err))
        return sftn_fail_in(err, "%s", path);
    *entry = branch - (model.nstages - spec->model->nstages);
    if (branch < 1 || branch >= model.nstages || *entry < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "branch %d of %s for %s: expected a branch from %d to %d", branch, path,
                         spec->model->name,
                         model.nstages > spec->model->nstages
                             ? model.nstages - spec->model->nstages + 1
                             : 1,
                         model.nstages - 1);
    return SFTN_OK;
}

static bool has_prefix(const sftn_tensors *t, const char *prefix)
{
    for (int i = 0; i < sftn_tensors_count(t); i++)
        if (strncmp(sftn_tensors_get(t, i)->name, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

/* "branch2.student.", or where that is not there the shared "branch1.student.". */
static sftn_status find_prefix(const sftn_tensors *t, const char *path, int branch, char *prefix,
                               size_t size, sftn_error *err)
{
    char transform[64];

    snprintf(transform, sizeof transform, "branch%d.", branch);
    for (int copy = branch; copy > 0 && has_prefix(t, transform); copy--) {
        snprintf(prefix, size, "branch%d.student.", copy);
        if (has_prefix(t, prefix))
            return SFTN_OK;
    }
    return sftn_fail(err, SFTN_ERR_FORMAT, "%s: no array of branch %d (none begins with '%s')",
                     path, branch, transform);
}

/* Values of `from` to the entries of the same names in `to`. */
static void copy_values(sftn_params *from, sftn_params *to)
{
    for (int i = 0; i < sftn_params_count(from); i++) {
        const sftn_param *e = sftn_params_get(from, i);
        const int k = sftn_params_find(to, e->name);

        if (k >= 0)
            memcpy(sftn_params_value(to, k), sftn_params_value(from, i),
                   (size_t)e->count * sizeof(float));
    }
}

sftn_status sftn_branch_fill(const char *path, int branch, const sftn_network_spec *spec,
                             sftn_params *params, sftn_error *err)
{
    sftn_network_spec part = *spec;
    sftn_tensors *t = NULL;
    sftn_params *p = NULL;
    struct json_object *job = NULL;
    char prefix[64];
    sftn_status status = open_file(path, &t, err);

    if (!status) {
        const char *text = sftn_tensors_meta(t, "job");

        job = text ? json_tokener_parse(text) : NULL;
        status = find_entry(path, job, branch, spec, &part.from_stage, err);
    }
    if (!status)
        status = find_prefix(t, path, branch, prefix, sizeof prefix, err);
    if (!status)
        status = sftn_network_params(&part, &p, err);
    if (!status)
        status = sftn_tensors_read_params(t, prefix, p, err);
    if (!status)
        copy_values(p, params);
    json_object_put(job);
    sftn_params_free(p);
    sftn_tensors_close(t);
    return status;
}
