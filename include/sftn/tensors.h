/*
 * tensors.h: safetensors files: named arrays and string metadata.
 *
 * Written to a temporary file beside the target, synchronized and renamed: a reader sees the old
 * file or the new one, never a part.
 */
#ifndef SFTN_TENSORS_H
#define SFTN_TENSORS_H

#include "sftn/params.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SFTN_MAX_RANK = 8 };

typedef enum sftn_element { SFTN_ELEMENT_F32, SFTN_ELEMENT_F64, SFTN_ELEMENT_I64, SFTN_ELEMENT_U8,
                            SFTN_ELEMENT_BF16, SFTN_ELEMENT_OTHER } sftn_element;

typedef struct sftn_array {
    const char *name;
    sftn_element element;
    int rank;
    int64_t dim[SFTN_MAX_RANK];
    int64_t count;
    const void *data; /* the file's memory, or the caller's when writing; 8-byte aligned on read */
} sftn_array;

typedef struct sftn_tensors sftn_tensors;

/* ---- reading ---- */
/* The whole file is read and checked (lengths, ranges, overlaps): FORMAT names what is damaged. */
SFTN_API sftn_status sftn_tensors_open(const char *path, sftn_tensors **t, sftn_error *err);
SFTN_API void sftn_tensors_close(sftn_tensors *t);
SFTN_API int sftn_tensors_count(const sftn_tensors *t);
SFTN_API const sftn_array *sftn_tensors_get(const sftn_tensors *t, int i);
/* NULL: none of that name. */
SFTN_API const sftn_array *sftn_tensors_find(const sftn_tensors *t, const char *name);
/* Metadata value of key, NULL where absent. */
SFTN_API const char *sftn_tensors_meta(const sftn_tensors *t, const char *key);
/* FORMAT unless name is there with that element and number of elements. */
SFTN_API sftn_status sftn_tensors_expect(const sftn_tensors *t, const char *name,
                                         sftn_element element, int64_t count,
                                         const sftn_array **array, sftn_error *err);

/* ---- writing ---- */
SFTN_API sftn_tensors *sftn_tensors_new(void); /* NULL when out of memory */
/* Name and dims are copied, data is borrowed until sftn_tensors_save. */
SFTN_API sftn_status sftn_tensors_add(sftn_tensors *t, const sftn_array *array, sftn_error *err);
SFTN_API sftn_status sftn_tensors_set_meta(sftn_tensors *t, const char *key, const char *value,
                                           sftn_error *err);
/*
 * Write atomically.  Arrays in the order added, metadata in the order set: the same calls give
 * the same bytes.  FILE (disk full, no permission): an older file of that name is intact.
 */
SFTN_API sftn_status sftn_tensors_save(const sftn_tensors *t, const char *path, sftn_error *err);

/* ---- params in files: PyTorch's state dict ---- */
/* Add every entry of p whose name begins with prefix (NULL: all), in full; counters as int64. */
SFTN_API sftn_status sftn_tensors_add_params(sftn_tensors *t, sftn_params *p, const char *prefix,
                                             sftn_error *err);
/*
 * Read every entry of p from t, by file_prefix + name.  FORMAT names the first entry that is absent
 * or has another shape, both shapes, and what network the file says it holds.  Nothing is changed
 * on failure.
 */
SFTN_API sftn_status sftn_tensors_read_params(const sftn_tensors *t, const char *file_prefix,
                                              sftn_params *p, sftn_error *err);

#ifdef __cplusplus
}
#endif
#endif
