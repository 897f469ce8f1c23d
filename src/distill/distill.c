/*
 * distill: finds a distillation method by name.
 */
#include "distill/distill.h"

#include "base/base.h"

#include <string.h>

#define SFTN_METHOD(id) &sftn_distiller_##id,
static const sftn_distiller *const methods[] = {
#include "distill/methods.def"
    NULL,
};
#undef SFTN_METHOD

const sftn_distiller *sftn_distiller_list(int i)
{
    return i >= 0 && i < (int)SFTN_COUNT(methods) ? methods[i] : NULL;
}

const sftn_distiller *sftn_distiller_find(const char *name, sftn_error *err)
{
    const char *names[SFTN_COUNT(methods)] = {NULL};
    const char *nearest;

    for (int i = 0; methods[i]; i++) {
        if (strcmp(methods[i]->name, name) == 0)
            return methods[i];
        names[i] = methods[i]->name;
    }
    nearest = sftn_nearest_name(name, names);
    sftn_fail(err, SFTN_ERR_ARGUMENT, "no distillation method called \"%s\"%s%s%s", name,
              nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    return NULL;
}

int sftn_stage_pairs(const sftn_distill_args *args)
{
    const int s = args->student->nstages, t = args->teacher->nstages;

    return s < t ? s : t;
}

void sftn_stage_pair(const sftn_distill_args *args, int i, int *s, int *t)
{
    const int n = sftn_stage_pairs(args);

    *s = args->student->nstages - n + i;
    *t = args->teacher->nstages - n + i;
}
