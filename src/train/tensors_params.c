/*
 * tensors: networks' parameters in safetensors files, as PyTorch's state dict has them.
 */
#include "train/safetensors.h"

#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 512 };

/*
 * Dimensions of an entry in a file.  A dense weight [units, features] may lie in its graph as
 * [units,F,1,1] or as a matrix product wants it, [1,units,F,1].
 */
static void file_dims(const sftn_param *e, sftn_array *a)
{
    a->rank = e->rank;
    for (int i = 0; i < e->rank; i++)
        a->dim[i] = e->shape.dim[i];
    if (e->rank == 1)
        a->dim[0] = e->count;
    if (e->rank == 2 && e->shape.dim[0] * e->shape.dim[1] != e->count) {
        a->dim[0] = e->shape.dim[1];
        a->dim[1] = e->shape.dim[2];
    }
    a->count = e->count;
}

/* Where an entry's numbers lie, or NULL where v has none for it. */
static float *values_of(const sftn_values *v, const sftn_param *e)
{
    if (e->kind == SFTN_PARAM_WEIGHT)
        return v->weights + e->offset;
    return v->states ? v->states + e->offset : NULL;
}

static sftn_status add_entry(sftn_tensors *t, const char *name, const sftn_param *e,
                             const float *values, sftn_error *err)
{
    sftn_array a = {.name = name, .element = SFTN_ELEMENT_F32, .data = values};

    file_dims(e, &a);
    if (e->kind == SFTN_PARAM_COUNTER) {
        int64_t *counter = sftn_pool_alloc(&t->pool, sizeof *counter);

        if (!counter)
            return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", name);
        *counter = (int64_t)values[0];
        a.element = SFTN_ELEMENT_I64;
        a.data = counter;
    }
    return sftn_tensors_add(t, &a, err);
}

sftn_status sftn_tensors_add_values(sftn_tensors *t, const char *prefix, const sftn_values *v,
                                    sftn_error *err)
{
    char name[NAME_SIZE];

    for (int i = 0; i < sftn_params_count(v->params); i++) {
        const sftn_param *e = sftn_params_get(v->params, i);
        const float *values = values_of(v, e);
        sftn_status status = SFTN_OK;

        snprintf(name, sizeof name, "%s%s", prefix, e->name);
        if (values)
            status = add_entry(t, name, e, values, err);
        if (status)
            return status;
    }
    return SFTN_OK;
}

sftn_status sftn_tensors_add_params(sftn_tensors *t, sftn_params *p, const char *prefix,
                                    sftn_error *err)
{
    for (int i = 0; i < sftn_params_count(p); i++) {
        const sftn_param *e = sftn_params_get(p, i);
        sftn_status status = SFTN_OK;

        if (!prefix || strncmp(e->name, prefix, strlen(prefix)) == 0)
            status = add_entry(t, e->name, e, sftn_params_value(p, i), err);
        if (status)
            return status;
    }
    return SFTN_OK;
}

static bool same_dims(const sftn_array *a, const sftn_array *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

static bool readable(const sftn_param *e, sftn_element element)
{
    if (e->kind == SFTN_PARAM_COUNTER)
        return element == SFTN_ELEMENT_I64;
    return element == SFTN_ELEMENT_F32 || element == SFTN_ELEMENT_F64 ||
           element == SFTN_ELEMENT_BF16;
}

/* ", whose metadata names the network resnet20" */
static void describe_source(const sftn_tensors *t, char *buf, size_t size)
{
    const char *model = sftn_tensors_meta(t, "model");

    if (model)
        snprintf(buf, size, " (the file says it holds %s)", model);
    else
        snprintf(buf, size, " (the file does not say which network it holds)");
}

static sftn_status check_entry(const sftn_tensors *t, const char *name, const sftn_param *e,
                               sftn_error *err)
{
    const sftn_array *a = sftn_tensors_find(t, name);
    sftn_array want = {.rank = 0};
    char source[128], found[128], expected[128];

    file_dims(e, &want);
    describe_source(t, source, sizeof source);
    sftn_dims_format(want.dim, want.rank, expected, sizeof expected);
    if (!a)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: no array '%s', expected one of shape %s%s",
                         sftn_tensors_path(t), name, expected, source);
    sftn_dims_format(a->dim, a->rank, found, sizeof found);
    if (!same_dims(a, &want))
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: array '%s' has the shape %s, expected %s%s",
                         sftn_tensors_path(t), name, found, expected, source);
    if (!readable(e, a->element))
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: array '%s' has elements of %s, expected %s",
                         sftn_tensors_path(t), name,
                         sftn_element_name(a->element) ? sftn_element_name(a->element)
                                                       : "another type",
                         e->kind == SFTN_PARAM_COUNTER ? "I64" : "F32");
    return SFTN_OK;
}

static void convert(const sftn_array *a, float *dst)
{
    for (int64_t i = 0; i < a->count; i++) {
        if (a->element == SFTN_ELEMENT_F32) {
            dst[i] = ((const float *)a->data)[i];
        } else if (a->element == SFTN_ELEMENT_F64) {
            dst[i] = (float)((const double *)a->data)[i];
        } else if (a->element == SFTN_ELEMENT_I64) {
            dst[i] = (float)((const int64_t *)a->data)[i];
        } else {
            const uint32_t bits = (uint32_t)((const uint16_t *)a->data)[i] << 16;

            memcpy(&dst[i], &bits, sizeof bits);
        }
    }
}

sftn_status sftn_tensors_read_values(const sftn_tensors *t, const char *prefix,
                                     const sftn_values *v, sftn_error *err)
{
    char name[NAME_SIZE];

    /* First all checks, then all copies: a failure changes nothing. */
    for (int copy = 0; copy < 2; copy++) {
        for (int i = 0; i < sftn_params_count(v->params); i++) {
            const sftn_param *e = sftn_params_get(v->params, i);
            float *values = values_of(v, e);

            snprintf(name, sizeof name, "%s%s", prefix, e->name);
            if (values && copy)
                convert(sftn_tensors_find(t, name), values);
            else if (values && check_entry(t, name, e, err))
                return SFTN_ERR_FORMAT;
        }
    }
    return SFTN_OK;
}

sftn_status sftn_tensors_read_params(const sftn_tensors *t, const char *file_prefix, sftn_params *p,
                                     sftn_error *err)
{
    const sftn_values v = {p, sftn_params_weights(p), sftn_params_states(p)};

    return sftn_tensors_read_values(t, file_prefix ? file_prefix : "", &v, err);
}
