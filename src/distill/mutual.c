/* mutual: finds a collaborative method by name. */
#include "distill/mutual.h"

#include "base/base.h"

#include <string.h>

#define SFTN_MUTUAL(id) &sftn_mutual_##id,
static const sftn_mutual *const methods[] = {
#include "distill/mutual.def"
    NULL,
};
#undef SFTN_MUTUAL

const sftn_mutual *sftn_mutual_list(int i)
{
    return i >= 0 && i < (int)SFTN_COUNT(methods) ? methods[i] : NULL;
}

const sftn_mutual *sftn_mutual_find(const char *name, sftn_error *err)
{
    const char *names[SFTN_COUNT(methods)] = {NULL};
    const char *nearest;

    for (int i = 0; methods[i]; i++) {
        if (strcmp(methods[i]->name, name) == 0)
            return methods[i];
        names[i] = methods[i]->name;
    }
    nearest = sftn_nearest_name(name, names);
    sftn_fail(err, SFTN_ERR_ARGUMENT, "no collaborative method called \"%s\"%s%s%s", name,
              nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    return NULL;
}
