/* backend.c: the list of backends, and what all of them need of descriptors. */
#include "backend/backend.h"

#include <string.h>

#define SFTN_BACKEND(name) extern const sftn_backend sftn_backend_##name;
#include "backend/backends.def"
#undef SFTN_BACKEND

static const sftn_backend *const backend_table[] = {
#define SFTN_BACKEND(name) &sftn_backend_##name,
#include "backend/backends.def"
#undef SFTN_BACKEND
};

const char *sftn_backend_list(int i)
{
    return i >= 0 && i < (int)SFTN_COUNT(backend_table) ? backend_table[i]->name : NULL;
}

const sftn_backend *sftn_backend_find(const char *name, sftn_error *err)
{
    const char *names[SFTN_COUNT(backend_table) + 1] = {NULL};
    int found = 0;

    for (size_t i = 0; i < SFTN_COUNT(backend_table); i++)
        names[i] = backend_table[i]->name;
    if (name != NULL)
        found = sftn_find_name("backend", name, names, "`sftn list backends` names them", err);
    return found >= 0 ? backend_table[found] : NULL;
}

void sftn_backend_machine(const char *name, char *buf, size_t size)
{
    const sftn_backend *backend = sftn_backend_find(name, NULL);

    if (size > 0)
        buf[0] = '\0';
    if (backend != NULL && backend->machine != NULL)
        backend->machine(buf, size);
}

size_t sftn_dtype_bytes(sftn_dtype dtype)
{
    switch (dtype) {
    case SFTN_BF16:
        return 2;
    case SFTN_F32:
        return 4;
    default:
        return 8;
    }
}

sftn_layout sftn_layout_canonical(const sftn_shape *shape, sftn_layout layout)
{
    const bool same = shape->dim[SFTN_C] == 1 || shape->dim[SFTN_H] * shape->dim[SFTN_W] == 1;

    return layout == SFTN_NHWC && same ? SFTN_NCHW : layout;
}

sftn_desc sftn_desc_of(const sftn_shape *shape, sftn_dtype dtype, sftn_layout layout)
{
    return (sftn_desc){
        .shape = *shape,
        .dtype = dtype,
        .layout = sftn_layout_canonical(shape, layout),
        .bytes = (size_t)sftn_shape_count(shape) * sftn_dtype_bytes(dtype),
    };
}

bool sftn_desc_same(const sftn_desc *a, const sftn_desc *b)
{
    return a->dtype == b->dtype && a->layout == b->layout && a->packed == b->packed &&
           sftn_shape_equal(&a->shape, &b->shape);
}

void sftn_element_set(void *data, sftn_dtype dtype, int64_t i, double x)
{
    if (dtype == SFTN_F64)
        ((double *)data)[i] = x;
    else if (dtype == SFTN_F32)
        ((float *)data)[i] = (float)x;
    else
        ((uint16_t *)data)[i] = sftn_bf16_from_float((float)x);
}

double sftn_element_get(const void *data, sftn_dtype dtype, int64_t i)
{
    if (dtype == SFTN_F64)
        return ((const double *)data)[i];
    if (dtype == SFTN_F32)
        return (double)((const float *)data)[i];
    return (double)sftn_bf16_to_float(((const uint16_t *)data)[i]);
}
