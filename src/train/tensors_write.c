/*
 * tensors: writing safetensors files.
 *
 * The header lists metadata and arrays in the order of the calls and is padded with spaces to a
 * multiple of 8 bytes; the data holds elements of 8 bytes first, then 4, 2 and 1, so that every
 * array lies at a multiple of its element's size.  Both follow from the calls alone: the same
 * calls give the same bytes.
 */
#include "train/safetensors.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

sftn_tensors *sftn_tensors_new(void)
{
    return sftn_calloc(1, sizeof(sftn_tensors));
}

sftn_status sftn_tensors_add(sftn_tensors *t, const sftn_array *array, sftn_error *err)
{
    sftn_array a = *array;

    a.count = 1;
    if (a.rank < 0 || a.rank > SFTN_MAX_RANK || sftn_element_bytes(a.element) == 0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "array '%s' of rank %d and element type %d cannot be written", a.name,
                         a.rank, (int)a.element);
    for (int i = 0; i < a.rank; i++)
        if (a.dim[i] < 0 || __builtin_mul_overflow(a.count, a.dim[i], &a.count) ||
            a.count > INT64_MAX / 8)
            return sftn_fail(err, SFTN_ERR_ARGUMENT, "array '%s': dimension %d is %lld", a.name,
                             i, (long long)a.dim[i]);
    if (sftn_tensors_find(t, a.name) || strcmp(a.name, "__metadata__") == 0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "array '%s' is written twice", a.name);
    a.name = sftn_pool_strdup(&t->pool, a.name);
    if (!a.name || !sftn_grow(&t->array, &t->capacity, t->count + 1, sizeof *t->array))
        return sftn_fail(err, SFTN_ERR_MEMORY, "array '%s': out of memory", array->name);
    t->array[t->count++] = a;
    return SFTN_OK;
}

sftn_status sftn_tensors_set_meta(sftn_tensors *t, const char *key, const char *value,
                                  sftn_error *err)
{
    const char *copy = sftn_pool_strdup(&t->pool, value);
    int i = 0;

    while (i < t->nmeta && strcmp(t->meta[i].key, key) != 0)
        i++;
    if (i == t->nmeta) {
        const char *name = sftn_pool_strdup(&t->pool, key);

        if (!name || !sftn_grow(&t->meta, &t->meta_capacity, i + 1, sizeof *t->meta))
            return sftn_fail(err, SFTN_ERR_MEMORY, "metadata '%s': out of memory", key);
        t->meta[t->nmeta++] = (sftn_tensors_pair){name, ""};
    }
    if (!copy)
        return sftn_fail(err, SFTN_ERR_MEMORY, "metadata '%s': out of memory", key);
    t->meta[i].value = copy;
    return SFTN_OK;
}

/* Where in the data array i begins: after all larger elements and earlier ones of its size. */
static int64_t data_offset(const sftn_tensors *t, int i)
{
    const size_t size = sftn_element_bytes(t->array[i].element);
    int64_t at = 0;

    for (int k = 0; k < t->count; k++) {
        const size_t other = sftn_element_bytes(t->array[k].element);

        if (other > size || (other == size && k < i))
            at += t->array[k].count * (int64_t)other;
    }
    return at;
}

/* Adds value to an object or array, which takes it over; false where out of memory. */
static bool put(struct json_object *parent, const char *key, struct json_object *value)
{
    if (!value)
        return false;
    if ((key ? json_object_object_add(parent, key, value)
             : json_object_array_add(parent, value)) == 0)
        return true;
    json_object_put(value);
    return false;
}

static bool put_entry(struct json_object *header, const sftn_tensors *t, int i)
{
    const sftn_array *a = &t->array[i];
    const int64_t begin = data_offset(t, i);
    const int64_t end = begin + a->count * (int64_t)sftn_element_bytes(a->element);
    struct json_object *entry = json_object_new_object();
    struct json_object *shape, *offsets;
    bool ok = put(header, a->name, entry);

    ok = ok && put(entry, "dtype", json_object_new_string(sftn_element_name(a->element)));
    ok = ok && put(entry, "shape", shape = json_object_new_array());
    for (int k = 0; ok && k < a->rank; k++)
        ok = put(shape, NULL, json_object_new_int64(a->dim[k]));
    ok = ok && put(entry, "data_offsets", offsets = json_object_new_array()) &&
         put(offsets, NULL, json_object_new_int64(begin)) &&
         put(offsets, NULL, json_object_new_int64(end));
    return ok;
}

/* The header as JSON, or NULL where out of memory; release with json_object_put. */
static struct json_object *build_header(const sftn_tensors *t)
{
    struct json_object *header = json_object_new_object();
    struct json_object *meta = NULL;
    bool ok = header != NULL;

    if (ok && t->nmeta > 0)
        ok = put(header, "__metadata__", meta = json_object_new_object());
    for (int i = 0; ok && i < t->nmeta; i++)
        ok = put(meta, t->meta[i].key, json_object_new_string(t->meta[i].value));
    for (int i = 0; ok && i < t->count; i++)
        ok = put_entry(header, t, i);
    if (ok)
        return header;
    json_object_put(header);
    return NULL;
}

typedef struct image {
    const sftn_tensors *t;
    const char *header;
    size_t header_bytes;
} image;

static bool write_file(void *ctx, void *stream)
{
    const image *m = ctx;
    const size_t padded = (m->header_bytes + 7) / 8 * 8;
    unsigned char length[8];

    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)padded >> (8 * i));
    if (fwrite(length, 1, 8, stream) != 8 ||
        fwrite(m->header, 1, m->header_bytes, stream) != m->header_bytes)
        return false;
    for (size_t i = m->header_bytes; i < padded; i++)
        if (fputc(' ', stream) == EOF)
            return false;
    for (size_t size = 8; size > 0; size /= 2) {
        for (int i = 0; i < m->t->count; i++) {
            const sftn_array *a = &m->t->array[i];

            if (sftn_element_bytes(a->element) == size && a->count > 0 &&
                fwrite(a->data, size, (size_t)a->count, stream) != (size_t)a->count)
                return false;
        }
    }
    return true;
}

sftn_status sftn_tensors_save(const sftn_tensors *t, const char *path, sftn_error *err)
{
    struct json_object *header = build_header(t);
    image m = {.t = t};
    sftn_status status;

    if (header)
        m.header = json_object_to_json_string_length(
            header, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &m.header_bytes);
    if (m.header)
        status = sftn_replace_file(path, write_file, &m, err);
    else
        status = sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", path);
    json_object_put(header);
    return status;
}
