/*
 * params: the parameter store.
 *
 * Weights and their gradients share offsets in two arrays; states and counters lie in a third.
 * Entries begin at multiples of 16 floats (64 bytes), the gaps are zero.
 */
#include "sftn/params.h"

#include "base/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16 };

typedef struct floats {
    float *data;
    int64_t size, capacity;
} floats;

struct sftn_params {
    sftn_pool pool; /* entries and names */
    sftn_param **entry;
    int nentries, entry_capacity;
    floats weight, grad, state;
};

sftn_params *sftn_params_new(void)
{
    return sftn_calloc(1, sizeof(sftn_params));
}

void sftn_params_free(sftn_params *p)
{
    if (!p)
        return;
    sftn_pool_free(&p->pool);
    free(p->entry);
    free(p->weight.data);
    free(p->grad.data);
    free(p->state.data);
    free(p);
}

/* Room for size elements; the size itself is set once all arrays have room. */
static bool reserve(floats *f, int64_t size)
{
    int64_t capacity = f->capacity ? f->capacity : 1024;
    float *data;

    if (size <= f->capacity)
        return true;
    while (capacity < size)
        capacity *= 2;
    data = sftn_aligned((size_t)capacity * sizeof *data);
    if (!data)
        return false;
    if (f->size)
        memcpy(data, f->data, (size_t)f->size * sizeof *data);
    free(f->data);
    f->data = data;
    f->capacity = capacity;
    return true;
}

static bool append_entry(sftn_params *p, const char *name, const sftn_param *spec)
{
    const bool weight = spec->kind == SFTN_PARAM_WEIGHT;
    floats *f = weight ? &p->weight : &p->state;
    const int64_t count = sftn_shape_count(&spec->shape);
    const int64_t size = f->size + (count + ALIGN - 1) / ALIGN * ALIGN;
    sftn_param *entry = sftn_pool_alloc(&p->pool, sizeof *entry);
    char *copy = sftn_pool_strdup(&p->pool, name);

    if (!entry || !copy || !reserve(f, size) || (weight && !reserve(&p->grad, size)) ||
        !sftn_grow(&p->entry, &p->entry_capacity, p->nentries + 1, sizeof *p->entry))
        return false;
    *entry = *spec;
    entry->name = copy;
    entry->offset = f->size;
    entry->count = count;
    f->size = size;
    if (weight)
        p->grad.size = size;
    p->entry[p->nentries++] = entry;
    return true;
}

static bool valid_shape(const sftn_shape *shape)
{
    int64_t count = 1;

    for (int d = 0; d < SFTN_DIMS; d++) {
        if (shape->dim[d] < 1 || shape->dim[d] > ((int64_t)1 << 40) / count)
            return false;
        count *= shape->dim[d];
    }
    return true;
}

int sftn_params_add(sftn_params *p, const char *name, const sftn_param *spec, sftn_error *err)
{
    const int old = sftn_params_find(p, name);
    char found[96], expected[96];

    sftn_shape_format(&spec->shape, found, sizeof found);
    if (old >= 0) {
        if (sftn_shape_equal(&p->entry[old]->shape, &spec->shape))
            return old;
        sftn_shape_format(&p->entry[old]->shape, expected, sizeof expected);
        sftn_fail(err, SFTN_ERR_ARGUMENT, "parameter %s is asked for with shape %s, it has %s",
                  name, found, expected);
        return -1;
    }
    if (!valid_shape(&spec->shape)) {
        sftn_fail(err, SFTN_ERR_ARGUMENT, "parameter %s has shape %s, sizes must be at least 1 "
                  "and their product at most 2^40", name, found);
        return -1;
    }
    if (!append_entry(p, name, spec)) {
        sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for parameter %s %s", name, found);
        return -1;
    }
    return p->nentries - 1;
}

int sftn_params_find(const sftn_params *p, const char *name)
{
    for (int i = 0; i < p->nentries; i++)
        if (strcmp(p->entry[i]->name, name) == 0)
            return i;
    return -1;
}

int sftn_params_count(const sftn_params *p)
{
    return p->nentries;
}

const sftn_param *sftn_params_get(const sftn_params *p, int index)
{
    return p->entry[index];
}

int64_t sftn_params_weight_size(const sftn_params *p)
{
    return p->weight.size;
}

int64_t sftn_params_state_size(const sftn_params *p)
{
    return p->state.size;
}

float *sftn_params_weights(sftn_params *p)
{
    return p->weight.data;
}

float *sftn_params_grads(sftn_params *p)
{
    return p->grad.data;
}

float *sftn_params_states(sftn_params *p)
{
    return p->state.data;
}

float *sftn_params_value(sftn_params *p, int index)
{
    const sftn_param *entry = p->entry[index];

    return (entry->kind == SFTN_PARAM_WEIGHT ? p->weight.data : p->state.data) + entry->offset;
}

float *sftn_params_grad(sftn_params *p, int index)
{
    const sftn_param *entry = p->entry[index];

    return entry->kind == SFTN_PARAM_WEIGHT ? p->grad.data + entry->offset : NULL;
}

int64_t sftn_params_trainable(const sftn_params *p)
{
    int64_t count = 0;

    for (int i = 0; i < p->nentries; i++)
        if (p->entry[i]->kind == SFTN_PARAM_WEIGHT)
            count += p->entry[i]->count;
    return count;
}

/* Four numbers of a block at once: element i is lane i % 4 of block i / 4. */
static void uniform4(const sftn_random4 *r, double x[4])
{
    for (int k = 0; k < 4; k++)
        x[k] = (double)(r->v[k] >> 8) * 0x1p-24 * 2.0 - 1.0;
}

/* Box-Muller on two pairs of lanes; the first of a pair is in (0, 1]: its logarithm is finite. */
static void normal4(const sftn_random4 *r, double x[4])
{
    for (int k = 0; k < 4; k += 2) {
        const double radius = sqrt(-2.0 * log(((double)r->v[k] + 1.0) * 0x1p-32));
        const double angle = 2.0 * 3.14159265358979323846 * ((double)r->v[k + 1] * 0x1p-32);

        x[k] = radius * cos(angle);
        x[k + 1] = radius * sin(angle);
    }
}

static void fill_random(float *dst, const sftn_param *entry, uint64_t seed)
{
    const uint64_t key = sftn_hash_text(entry->name);

    for (int64_t i = 0; i < entry->count; i += 4) {
        const sftn_random4 r = sftn_philox(seed, SFTN_RNG_INIT, key, (uint64_t)i / 4);
        double x[4];

        if (entry->init == SFTN_INIT_NORMAL)
            normal4(&r, x);
        else
            uniform4(&r, x);
        for (int64_t k = 0; k < 4 && i + k < entry->count; k++)
            dst[i + k] = (float)(x[k] * (double)entry->scale);
    }
}

void sftn_params_init(sftn_params *p, uint64_t seed)
{
    for (int i = 0; i < p->nentries; i++) {
        const sftn_param *entry = p->entry[i];
        float *dst = sftn_params_value(p, i);

        switch (entry->init) {
        case SFTN_INIT_ZERO:
        case SFTN_INIT_ONE:
        case SFTN_INIT_CONSTANT:
            for (int64_t k = 0; k < entry->count; k++)
                dst[k] = entry->init == SFTN_INIT_ONE    ? 1.0f
                         : entry->init == SFTN_INIT_ZERO ? 0.0f
                                                         : entry->scale;
            break;
        case SFTN_INIT_UNIFORM:
        case SFTN_INIT_NORMAL:
            fill_random(dst, entry, seed);
            break;
        }
    }
}
