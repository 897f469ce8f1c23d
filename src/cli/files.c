/* files.c: directories made with their parents, files replaced in one stroke. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

sftn_status cli_make_dirs(const char *dir, sftn_error *err)
{
    char path[1024];

    snprintf(path, sizeof path, "%s", dir);
    for (char *p = path + 1;; p++) {
        const char c = *p;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return sftn_fail(err, SFTN_ERR_FILE, "%s: cannot make the directory: %s", path,
                             strerror(errno));
        *p = c;
        if (c == '\0')
            return SFTN_OK;
    }
}

sftn_status cli_replace_file(const char *path, const char *text, sftn_error *err)
{
    char before[1024];
    FILE *f;
    bool ok;

    snprintf(before, sizeof before, "%s.%ld.tmp", path, (long)getpid());
    f = fopen(before, "wbe");
    ok = f && fputs(text, f) >= 0 && fflush(f) == 0 && fsync(fileno(f)) == 0;
    if (f)
        ok = fclose(f) == 0 && ok;
    if (ok && rename(before, path) == 0)
        return SFTN_OK;
    sftn_fail(err, SFTN_ERR_FILE, "%s: cannot write: %s", path, strerror(errno));
    unlink(before);
    return SFTN_ERR_FILE;
}
