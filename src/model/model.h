/*
 * model.h: what a family of networks provides: how its stem, stages and head are built, and its
 * members.
 */
#ifndef SFTN_MODEL_MODEL_H
#define SFTN_MODEL_MODEL_H

#include "sftn/model.h"

/*
 * The scope given to the three builders is the network's root.  Each returns what the next one
 * reads, and publishes its taps.  A stage is numbered from 1; its feature is
 * taps->stage[stage - 1].  Where a stage's pre-activation is made by its successor, that one
 * publishes it, provided that the feature itself is published.
 */
typedef struct sftn_family {
    const char *name;
    const sftn_model *member; /* listed members, the last followed by an empty name */
    /* A member by rule; false where name does not follow it.  NULL: the listed ones are all. */
    bool (*parse)(const char *name, sftn_model *model);
    const char *rule; /* in words, for messages; NULL without parse */
    sftn_value (*stem)(const sftn_scope *net, const sftn_model *model, sftn_value image,
                       sftn_taps *taps);
    sftn_value (*stage)(const sftn_scope *net, const sftn_model *model, int stage, sftn_value x,
                        sftn_taps *taps);
    void (*head)(const sftn_scope *net, const sftn_model *model, sftn_value x, int classes,
                 sftn_taps *taps);
} sftn_family;

#define SFTN_FAMILY(id) extern const sftn_family sftn_family_##id;
#include "model/families.def"
#undef SFTN_FAMILY

/* A convolution without bias, padded to keep the size at stride 1, as residual networks begin. */
static inline sftn_value sftn_model_conv(const sftn_scope *s, const char *name, sftn_value x,
                                         int filters, int size, int stride)
{
    return sftn_nn_conv(s, name, x,
                        (sftn_conv){.filters = filters,
                                    .size = size,
                                    .stride = stride,
                                    .init = SFTN_WEIGHT_KAIMING_FAN_OUT});
}

#endif
