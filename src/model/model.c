/*
 * model: finds a network by name, and builds it stem, stages, head.
 */
#include "model/model.h"

#include "base/base.h"

#include <stdio.h>
#include <string.h>

#define SFTN_FAMILY(id) &sftn_family_##id,
static const sftn_family *const families[] = {
#include "model/families.def"
    NULL,
};
#undef SFTN_FAMILY

static const sftn_model *listed(int i)
{
    for (const sftn_family *const *f = families; i >= 0 && *f; f++)
        for (const sftn_model *m = (*f)->member; m->name[0]; m++)
            if (i-- == 0)
                return m;
    return NULL;
}

bool sftn_model_list(int i, sftn_model *model)
{
    const sftn_model *m = listed(i);

    if (m)
        *model = *m;
    return m != NULL;
}

/* The error of a name that is nobody's: with the nearest known one, and the rules there are. */
static sftn_status unknown_model(const char *name, sftn_error *err)
{
    const char *names[128] = {NULL}, *rule = NULL;
    char otherwise[160];

    for (int i = 0; i < (int)SFTN_COUNT(names) - 1 && listed(i); i++)
        names[i] = listed(i)->name;
    for (const sftn_family *const *f = families; *f; f++)
        if ((*f)->rule)
            rule = (*f)->rule;
    snprintf(otherwise, sizeof otherwise, "expected a listed name (\"%s\", ...) or %s", names[0],
             rule);
    sftn_find_name("model", name, names, otherwise, err);
    return SFTN_ERR_ARGUMENT;
}

sftn_status sftn_model_find(const char *name, sftn_model *model, sftn_error *err)
{
    for (int i = 0; sftn_model_list(i, model); i++)
        if (strcmp(model->name, name) == 0)
            return SFTN_OK;
    for (const sftn_family *const *f = families; *f; f++)
        if ((*f)->parse && (*f)->parse(name, model))
            return SFTN_OK;
    return unknown_model(name, err);
}

/* False, with the graph's error set, where x cannot be what stage from_stage makes. */
static bool check_build(const sftn_model *m, const sftn_scope *s, sftn_value x, int classes,
                        int from_stage)
{
    const int64_t channels = sftn_value_shape(s->g, x).dim[SFTN_C];

    if (sftn_is_none(x))
        return false;
    if (classes < 2 || from_stage < 0 || from_stage > m->nstages) {
        sftn_graph_fail(s->g, "%s: %d classes, entered after stage %d; expected at least 2 and a "
                        "stage from 0 to %d", m->name, classes, from_stage, m->nstages);
        return false;
    }
    if (from_stage > 0 && channels != m->channels[from_stage]) {
        sftn_graph_fail(s->g, "%s entered after stage %d: input has %lld channels, expected %d",
                        m->name, from_stage, (long long)channels, m->channels[from_stage]);
        return false;
    }
    return true;
}

/* Dumps show stem and head under these names, stages under those of their blocks. */
static void show_part(const sftn_scope *s, const char *part)
{
    char text[224];

    snprintf(text, sizeof text, "%s%s%s%s%s", s->label ? s->label : "",
             s->label && s->label[0] ? "." : "", s->name, s->name[0] ? "." : "", part);
    sftn_graph_set_scope(s->g, text);
}

sftn_taps sftn_model_build(const sftn_model *model, const sftn_scope *s, sftn_value x,
                           int classes, int from_stage)
{
    const sftn_family *family = model->family;
    sftn_taps taps = {.nstages = model->nstages};
    sftn_scope head = *s;

    if (!check_build(model, s, x, classes, from_stage))
        return taps;
    if (from_stage == 0) {
        show_part(s, "stem");
        x = family->stem(s, model, x, &taps);
    }
    for (int stage = from_stage + 1; stage <= model->nstages; stage++)
        x = family->stage(s, model, stage, x, &taps);
    show_part(s, "head");
    head.frozen = s->frozen || s->frozen_head;
    family->head(&head, model, x, classes, &taps);
    return taps;
}

/* Strides round up, and so does their product. */
sftn_shape sftn_model_feature_shape(const sftn_model *model, sftn_shape image, int stage)
{
    const int64_t d = model->divisor[stage];

    return SFTN_SHAPE(image.dim[SFTN_N], model->channels[stage],
                      (image.dim[SFTN_H] + d - 1) / d, (image.dim[SFTN_W] + d - 1) / d);
}

/* Append a tap called name and suffix, where there is one. */
static void list_tap(sftn_named_tap *list, int *n, sftn_value value, const char *name,
                     const char *suffix)
{
    if (sftn_is_none(value))
        return;
    list[*n] = (sftn_named_tap){.value = value};
    snprintf(list[*n].name, sizeof list[*n].name, "%s%s", name, suffix);
    (*n)++;
}

int sftn_taps_list(const sftn_taps *taps, sftn_named_tap *list)
{
    int n = 0;

    for (int i = 0; i <= taps->nstages; i++) {
        const sftn_tap *tap = i > 0 ? &taps->stage[i - 1] : &taps->stem;
        char name[16] = "stem";

        if (i > 0)
            snprintf(name, sizeof name, "stage%d", i);
        list_tap(list, &n, tap->feature, name, "");
        list_tap(list, &n, tap->preact, name, ".preact");
        if (!sftn_is_none(tap->preact))
            list[n - 1].norm = tap->norm;
    }
    list_tap(list, &n, taps->pooled, "pooled", "");
    list_tap(list, &n, taps->logits, "logits", "");
    return n;
}
