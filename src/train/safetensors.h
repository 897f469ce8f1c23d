/*
 * safetensors.h: inside of a sftn_tensors (sftn/tensors.h), shared by its reader and its writer.
 *
 * A file is an 8-byte little-endian header length, a JSON object (array name -> dtype, shape,
 * data_offsets; strings under __metadata__), then the arrays' bytes without gaps.
 */
#ifndef SFTN_TRAIN_SAFETENSORS_H
#define SFTN_TRAIN_SAFETENSORS_H

#include "base/base.h"
#include "sftn/tensors.h"

typedef struct sftn_tensors_pair {
    const char *key, *value;
} sftn_tensors_pair;

struct sftn_tensors {
    const char *path; /* of the file read; NULL when writing */
    void *file;       /* the whole file; NULL when writing */
    sftn_pool pool;   /* names, metadata, and arrays that had to be copied */
    sftn_array *array;
    int count, capacity;
    sftn_tensors_pair *meta;
    int nmeta, meta_capacity;
};

/* Bytes of one element of a dtype name ("F32"), 0 where unknown; *element may be OTHER. */
size_t sftn_dtype_find(const char *name, sftn_element *element);
/* Name and bytes of an element; NULL and 0 for SFTN_ELEMENT_OTHER. */
const char *sftn_element_name(sftn_element element);
size_t sftn_element_bytes(sftn_element element);

/* The file's path, for messages; never NULL. */
const char *sftn_tensors_path(const sftn_tensors *t);

/*
 * Values laid out like a store's arrays: its own, momentum (states NULL), averages.
 */
typedef struct sftn_values {
    const sftn_params *params;
    float *weights, *states; /* states NULL: entries that are not weights are passed over */
} sftn_values;

/* The values under prefix + entry name; borrowed until sftn_tensors_save, counters are copied. */
sftn_status sftn_tensors_add_values(sftn_tensors *t, const char *prefix, const sftn_values *v,
                                    sftn_error *err);
/* Fill from the same names; errors as sftn_tensors_read_params. */
sftn_status sftn_tensors_read_values(const sftn_tensors *t, const char *prefix,
                                     const sftn_values *v, sftn_error *err);

/* "[16,3,3,3]", "[]" for a scalar. */
void sftn_dims_format(const int64_t *dim, int rank, char *buf, size_t size);

#endif
