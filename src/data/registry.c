/* registry: the data sets this build knows, and where their files are kept. */
#include "base/base.h"
#include "data/dataset.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SFTN_DATASET(source) extern const sftn_source sftn_source_##source;
#include "data/datasets.def"
#undef SFTN_DATASET

static const sftn_source *const sources[] = {
#define SFTN_DATASET(source) &sftn_source_##source,
#include "data/datasets.def"
#undef SFTN_DATASET
};

const sftn_source *sftn_source_at(int i)
{
    return i >= 0 && (size_t)i < SFTN_COUNT(sources) ? sources[i] : NULL;
}

sftn_status sftn_source_find(const char *name, const sftn_source **source, sftn_error *err)
{
    const char *names[SFTN_COUNT(sources) + 1] = {NULL};
    int found;

    for (size_t i = 0; i < SFTN_COUNT(sources); i++)
        names[i] = sources[i]->name;
    found = sftn_find_name("data set", name ? name : "", names, "`sftn list data` names them", err);
    if (found < 0)
        return SFTN_ERR_ARGUMENT;
    *source = sources[found];
    return SFTN_OK;
}

static void fill_entry(const sftn_source *s, sftn_data_entry *entry)
{
    const bool single = s->remotes && s->remotes[0].file && !s->remotes[1].file;

    *entry = (sftn_data_entry){
        .name     = s->name,
        .summary  = s->summary,
        .url      = s->url,
        .sha256   = single ? s->remotes[0].digest : NULL,
        .classes  = s->classes,
        .channels = s->channels,
        .height   = s->height,
        .width    = s->width,
    };
}

bool sftn_data_list(int i, sftn_data_entry *entry)
{
    const sftn_source *s = sftn_source_at(i);

    if (s)
        fill_entry(s, entry);
    return s != NULL;
}

sftn_status sftn_data_find(const char *name, sftn_data_entry *entry, sftn_error *err)
{
    const sftn_source *s = NULL;
    const sftn_status status = sftn_source_find(name, &s, err);

    if (status == SFTN_OK)
        fill_entry(s, entry);
    return status;
}

void sftn_data_home(char *buf, size_t size)
{
    const char *own = getenv("SFTN_DATA"), *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char text[4096];
    struct passwd user, *found = NULL;

    if (own && *own) {
        snprintf(buf, size, "%s", own);
    } else if (xdg && *xdg == '/') {
        snprintf(buf, size, "%s/sftn", xdg);
    } else {
        if (!home || !*home)
            getpwuid_r(getuid(), &user, text, sizeof(text), &found);
        snprintf(buf, size, "%s/.local/share/sftn",
                 home && *home ? home : found ? found->pw_dir : ".");
    }
}
