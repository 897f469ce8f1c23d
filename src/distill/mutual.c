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
    int i;

    for (i = 0; methods[i]; i++)
        names[i] = methods[i]->name;
    i = sftn_find_name("collaborative method", name, names, NULL, err);
    return i >= 0 ? methods[i] : NULL;
}
