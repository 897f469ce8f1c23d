/*
 * tensors: reading safetensors files.
 *
 * The header is believed in nothing: lengths are held against the file's size, shapes against the
 * bytes they claim, and the arrays must tile the data without gap or overlap.
 */
#include "train/safetensors.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* The format's own limit, which also bounds what a damaged length can make us parse. */
enum { MAX_HEADER = 100 * 1000 * 1000 };

static const struct dtype {
    const char *name;
    size_t bytes;
    sftn_element element;
} dtypes[] = {
    {"F32", 4, SFTN_ELEMENT_F32},    {"F64", 8, SFTN_ELEMENT_F64},
    {"I64", 8, SFTN_ELEMENT_I64},    {"U8", 1, SFTN_ELEMENT_U8},
    {"BF16", 2, SFTN_ELEMENT_BF16},  {"F16", 2, SFTN_ELEMENT_OTHER},
    {"I32", 4, SFTN_ELEMENT_OTHER},  {"I16", 2, SFTN_ELEMENT_OTHER},
    {"I8", 1, SFTN_ELEMENT_OTHER},   {"BOOL", 1, SFTN_ELEMENT_OTHER},
    {"U16", 2, SFTN_ELEMENT_OTHER},  {"U32", 4, SFTN_ELEMENT_OTHER},
    {"U64", 8, SFTN_ELEMENT_OTHER},  {"F8_E4M3", 1, SFTN_ELEMENT_OTHER},
    {"F8_E5M2", 1, SFTN_ELEMENT_OTHER},
};

size_t sftn_dtype_find(const char *name, sftn_element *element)
{
    for (size_t i = 0; i < SFTN_COUNT(dtypes); i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            *element = dtypes[i].element;
            return dtypes[i].bytes;
        }
    }
    return 0;
}

const char *sftn_element_name(sftn_element element)
{
    for (size_t i = 0; i < SFTN_COUNT(dtypes); i++)
        if (dtypes[i].element == element && element != SFTN_ELEMENT_OTHER)
            return dtypes[i].name;
    return NULL;
}

size_t sftn_element_bytes(sftn_element element)
{
    for (size_t i = 0; i < SFTN_COUNT(dtypes); i++)
        if (dtypes[i].element == element && element != SFTN_ELEMENT_OTHER)
            return dtypes[i].bytes;
    return 0;
}

void sftn_dims_format(const int64_t *dim, int rank, char *buf, size_t size)
{
    sftn_strbuf b = {0};

    sftn_strbuf_add(&b, "[");
    for (int i = 0; i < rank; i++)
        sftn_strbuf_add(&b, i ? ",%lld" : "%lld", (long long)dim[i]);
    sftn_strbuf_add(&b, "]");
    if (size > 0) {
        buf[0] = '\0';
        if (b.text)
            strncat(buf, b.text, size - 1);
    }
    sftn_strbuf_free(&b);
}

/* A whole number >= 0 of a JSON value; false where it is anything else. */
static bool read_size(struct json_object *value, int64_t *number)
{
    if (!json_object_is_type(value, json_type_int))
        return false;
    *number = json_object_get_int64(value);
    return *number >= 0;
}

static bool read_shape(struct json_object *shape, sftn_array *a)
{
    if (!json_object_is_type(shape, json_type_array))
        return false;
    if (json_object_array_length(shape) > SFTN_MAX_RANK)
        return false;
    a->rank = (int)json_object_array_length(shape);
    a->count = 1;
    for (int i = 0; i < a->rank; i++) {
        if (!read_size(json_object_array_get_idx(shape, (size_t)i), &a->dim[i]))
            return false;
        if (__builtin_mul_overflow(a->count, a->dim[i], &a->count))
            return false;
    }
    return true;
}

/* Where an array lies in the data, for the check that all of them tile it. */
typedef struct span {
    const char *name;
    size_t begin, end;
} span;

typedef struct reader {
    sftn_tensors *t;
    char *data; /* what follows the header */
    size_t data_bytes;
    span *span; /* [t->count] */
    int capacity;
} reader;

static sftn_status read_offsets(reader *r, struct json_object *offsets, span *s, sftn_error *err)
{
    int64_t begin, end;

    if (!json_object_is_type(offsets, json_type_array) || json_object_array_length(offsets) != 2 ||
        !read_size(json_object_array_get_idx(offsets, 0), &begin) ||
        !read_size(json_object_array_get_idx(offsets, 1), &end) || begin > end ||
        (uint64_t)end > r->data_bytes)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: array '%s' lies at %s, which is not inside the %zu bytes of data "
                         "(the file may be truncated)",
                         r->t->path, s->name, json_object_to_json_string(offsets), r->data_bytes);
    s->begin = (size_t)begin;
    s->end = (size_t)end;
    return SFTN_OK;
}

/* One entry of the header; its data pointer is set to its place in the file. */
static sftn_status read_entry(reader *r, const char *name, struct json_object *entry,
                              sftn_error *err)
{
    sftn_tensors *t = r->t;
    struct json_object *dtype = NULL, *shape = NULL, *offsets = NULL;
    sftn_array a = {.name = sftn_pool_strdup(&t->pool, name)};
    span s = {.name = a.name};
    size_t element_bytes, bytes;

    if (!a.name || !sftn_grow(&t->array, &t->capacity, t->count + 1, sizeof *t->array) ||
        !sftn_grow(&r->span, &r->capacity, t->count + 1, sizeof *r->span))
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", t->path);
    if (!json_object_is_type(entry, json_type_object) ||
        !json_object_object_get_ex(entry, "dtype", &dtype) ||
        !json_object_object_get_ex(entry, "shape", &shape) ||
        !json_object_object_get_ex(entry, "data_offsets", &offsets) ||
        !json_object_is_type(dtype, json_type_string))
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: array '%s' lacks one of dtype, shape and data_offsets", t->path,
                         name);
    element_bytes = sftn_dtype_find(json_object_get_string(dtype), &a.element);
    if (element_bytes == 0)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: array '%s' has the unknown dtype '%s'",
                         t->path, name, json_object_get_string(dtype));
    if (!read_shape(shape, &a))
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: array '%s' has the shape %s, expected up to %d whole numbers",
                         t->path, name, json_object_to_json_string(shape), SFTN_MAX_RANK);
    if (read_offsets(r, offsets, &s, err))
        return SFTN_ERR_FORMAT;
    if (__builtin_mul_overflow((size_t)a.count, element_bytes, &bytes) || bytes != s.end - s.begin)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: array '%s' of shape %s and dtype %s has %zu bytes of data", t->path,
                         name, json_object_to_json_string(shape), json_object_get_string(dtype),
                         s.end - s.begin);
    a.data = r->data + s.begin;
    r->span[t->count] = s;
    t->array[t->count++] = a;
    return SFTN_OK;
}

static sftn_status read_meta(sftn_tensors *t, struct json_object *meta, sftn_error *err)
{
    if (!json_object_is_type(meta, json_type_object))
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: __metadata__ is not a JSON object", t->path);
    json_object_object_foreach(meta, key, value) {
        sftn_status status;

        if (!json_object_is_type(value, json_type_string))
            return sftn_fail(err, SFTN_ERR_FORMAT, "%s: __metadata__ '%s' is not a string",
                             t->path, key);
        status = sftn_tensors_set_meta(t, key, json_object_get_string(value), err);
        if (status)
            return status;
    }
    return SFTN_OK;
}

static sftn_status read_entries(reader *r, struct json_object *header, sftn_error *err)
{
    json_object_object_foreach(header, name, entry) {
        const bool meta = strcmp(name, "__metadata__") == 0;
        const sftn_status status =
            meta ? read_meta(r->t, entry, err) : read_entry(r, name, entry, err);

        if (status)
            return status;
    }
    return SFTN_OK;
}

/* Parse the header; *object is to be released with json_object_put, also on failure. */
static sftn_status parse_header(const sftn_tensors *t, const char *text, size_t bytes,
                                struct json_object **object, sftn_error *err)
{
    struct json_tokener *tokener = json_tokener_new();
    enum json_tokener_error problem;
    size_t end;

    *object = NULL;
    if (!tokener)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", t->path);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
    *object = json_tokener_parse_ex(tokener, text, (int)bytes);
    problem = json_tokener_get_error(tokener);
    end = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);
    if (problem != json_tokener_success || !json_object_is_type(*object, json_type_object))
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: the header is not a JSON object (%s at byte %zu)", t->path,
                         problem == json_tokener_continue ? "unexpected end"
                                                          : json_tokener_error_desc(problem),
                         8 + end);
    for (; end < bytes; end++)
        if (text[end] != ' ')
            return sftn_fail(err, SFTN_ERR_FORMAT,
                             "%s: the header goes on after its JSON object, at byte %zu", t->path,
                             8 + end);
    return SFTN_OK;
}

static int by_place(const void *pa, const void *pb)
{
    const span *a = pa, *b = pb;

    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return a->end < b->end ? -1 : a->end > b->end;
}

/* Reorders r->span. */
static sftn_status check_tiling(reader *r, sftn_error *err)
{
    size_t at = 0;

    if (r->t->count)
        qsort(r->span, (size_t)r->t->count, sizeof *r->span, by_place);
    for (int i = 0; i < r->t->count; i++) {
        const span *s = &r->span[i];

        if (s->begin != at)
            return sftn_fail(err, SFTN_ERR_FORMAT,
                             "%s: array '%s' begins at byte %zu of the data, expected %zu (%s)",
                             r->t->path, s->name, s->begin, at,
                             s->begin < at ? "arrays overlap" : "there is a gap");
        at = s->end;
    }
    if (at != r->data_bytes)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: the arrays take %zu of the %zu bytes of data",
                         r->t->path, at, r->data_bytes);
    return SFTN_OK;
}

/* Arrays that do not begin at a multiple of 8 bytes move to memory of their own. */
static sftn_status align_arrays(reader *r, sftn_error *err)
{
    sftn_tensors *t = r->t;

    for (int i = 0; i < t->count; i++) {
        const size_t bytes = r->span[i].end - r->span[i].begin;
        void *copy;

        if ((uintptr_t)t->array[i].data % 8 == 0 || bytes == 0)
            continue;
        copy = sftn_pool_alloc(&t->pool, bytes);
        if (!copy)
            return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", t->path);
        memcpy(copy, t->array[i].data, bytes);
        t->array[i].data = copy;
    }
    return SFTN_OK;
}

static sftn_status read_all(sftn_tensors *t, size_t file_bytes, sftn_error *err)
{
    const unsigned char *file = t->file;
    struct json_object *header = NULL;
    reader r = {.t = t};
    uint64_t length = 0;
    sftn_status status;

    if (file_bytes < 8)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: %zu bytes are too few for a safetensors file", t->path, file_bytes);
    for (int i = 7; i >= 0; i--)
        length = length << 8 | file[i];
    if (length > MAX_HEADER || length > file_bytes - 8)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: the header claims %llu bytes of a file of %zu (not a safetensors "
                         "file, or truncated)",
                         t->path, (unsigned long long)length, file_bytes);
    r.data = (char *)t->file + 8 + length;
    r.data_bytes = file_bytes - 8 - (size_t)length;
    status = parse_header(t, (const char *)file + 8, (size_t)length, &header, err);
    if (!status)
        status = read_entries(&r, header, err);
    if (!status)
        status = align_arrays(&r, err);
    if (!status)
        status = check_tiling(&r, err);
    json_object_put(header);
    free(r.span);
    return status;
}

sftn_status sftn_tensors_open(const char *path, sftn_tensors **out, sftn_error *err)
{
    sftn_tensors *t = sftn_tensors_new();
    size_t bytes = 0;
    sftn_status status;

    *out = NULL;
    if (t)
        t->path = sftn_pool_strdup(&t->pool, path);
    if (!t || !t->path) {
        sftn_tensors_close(t);
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", path);
    }
    status = sftn_read_file(path, &t->file, &bytes, err);
    if (!status)
        status = read_all(t, bytes, err);
    if (status) {
        sftn_tensors_close(t);
        return status;
    }
    *out = t;
    return SFTN_OK;
}

void sftn_tensors_close(sftn_tensors *t)
{
    if (!t)
        return;
    free(t->file);
    free(t->array);
    free(t->meta);
    sftn_pool_free(&t->pool);
    free(t);
}

int sftn_tensors_count(const sftn_tensors *t)
{
    return t->count;
}

const sftn_array *sftn_tensors_get(const sftn_tensors *t, int i)
{
    return i >= 0 && i < t->count ? &t->array[i] : NULL;
}

const sftn_array *sftn_tensors_find(const sftn_tensors *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->array[i].name, name) == 0)
            return &t->array[i];
    return NULL;
}

const char *sftn_tensors_meta(const sftn_tensors *t, const char *key)
{
    for (int i = 0; i < t->nmeta; i++)
        if (strcmp(t->meta[i].key, key) == 0)
            return t->meta[i].value;
    return NULL;
}

sftn_status sftn_tensors_expect(const sftn_tensors *t, const char *name, sftn_element element,
                                int64_t count, const sftn_array **array, sftn_error *err)
{
    const sftn_array *a = sftn_tensors_find(t, name);
    const char *wanted = sftn_element_name(element);

    if (array)
        *array = a;
    if (!a)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: no array '%s'", sftn_tensors_path(t), name);
    if (a->element != element || a->count != count) {
        const char *found = sftn_element_name(a->element);
        char dims[128];

        sftn_dims_format(a->dim, a->rank, dims, sizeof dims);
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: array '%s' is %s of %s, expected %lld elements of %s",
                         sftn_tensors_path(t), name, dims, found ? found : "another type",
                         (long long)count, wanted ? wanted : "another type");
    }
    return SFTN_OK;
}

const char *sftn_tensors_path(const sftn_tensors *t)
{
    return t->path ? t->path : "(not saved yet)";
}
