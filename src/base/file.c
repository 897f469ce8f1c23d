/* file.c: directories, whole files, and replacing a file so that readers see the old or the new. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* FILE error "path: doing: reason", or a MEMORY error where that was the reason. */
static sftn_status fail_errno(sftn_error *err, const char *doing, const char *path, int reason)
{
    char text[128];

    return sftn_fail(err, reason == ENOMEM ? SFTN_ERR_MEMORY : SFTN_ERR_FILE, "%s: cannot %s: %s",
                     path, doing,
                     reason ? strerror_r(reason, text, sizeof(text)) : "unknown write error");
}

static sftn_status make_dir(const char *dir, sftn_error *err)
{
    struct stat info;
    int reason;

    if (mkdir(dir, 0777) == 0)
        return SFTN_OK;
    reason = errno;
    if (stat(dir, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            return SFTN_OK;
        reason = ENOTDIR;
    }
    return fail_errno(err, "make directory", dir, reason);
}

sftn_status sftn_make_dirs(const char *dir, sftn_error *err)
{
    char *path = sftn_strdup(dir);
    sftn_status status = SFTN_OK;

    if (!path)
        return fail_errno(err, "make directory", dir, ENOMEM);
    for (char *p = path; *p && !status; p++) {
        if (*p != '/' || p == path || p[-1] == '/')
            continue;
        *p = '\0';
        status = make_dir(path, err);
        *p = '/';
    }
    if (!status)
        status = make_dir(path, err);
    free(path);
    return status;
}

/* Make a rename in path's directory durable.  File systems that cannot do so say EINVAL. */
static int sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int fd, reason = 0;

    if (!dir)
        return ENOMEM;
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(dir);
    if (fd < 0)
        return errno == EACCES ? 0 : errno;
    if (fsync(fd) != 0 && errno != EINVAL)
        reason = errno;
    close(fd);
    return reason;
}

/* Returns 0 or the reason; whatever happens the file is closed. */
static int write_and_close(FILE *file, bool (*write_fn)(void *ctx, void *stream), void *ctx,
                           bool *written)
{
    int reason = 0;

    errno = 0;
    *written =
        write_fn(ctx, file) && !ferror(file) && fflush(file) == 0 && fsync(fileno(file)) == 0;
    if (!*written)
        reason = errno;
    if (fclose(file) != 0 && *written) {
        *written = false;
        reason = errno;
    }
    return reason;
}

sftn_status sftn_replace_file(const char *path, bool (*write_fn)(void *ctx, void *stream),
                              void *ctx, sftn_error *err)
{
    sftn_strbuf temporary = {0};
    bool done = false;
    int reason = 0;
    FILE *file;

    sftn_strbuf_add(&temporary, "%s.tmp", path);
    if (temporary.failed) {
        sftn_strbuf_free(&temporary);
        return fail_errno(err, "write", path, ENOMEM);
    }
    file = fopen(temporary.text, "wbe");
    if (!file) {
        reason = errno;
    } else {
        reason = write_and_close(file, write_fn, ctx, &done);
        if (done && rename(temporary.text, path) != 0) {
            done = false;
            reason = errno;
        }
        if (!done)
            unlink(temporary.text);
    }
    sftn_strbuf_free(&temporary);
    if (done) {
        reason = sync_directory(path);
        done = reason == 0;
    }
    return done ? SFTN_OK : fail_errno(err, "write", path, reason);
}

/* Reads to the end of file, so that pipes and files still growing are read whole. */
static int read_all(FILE *file, size_t expected, char **data, size_t *bytes)
{
    size_t capacity = expected + 1, length = 0;
    char *text = malloc(capacity);

    while (text) {
        char *grown;

        length += fread(text + length, 1, capacity - length, file);
        if (ferror(file)) {
            const int reason = errno;

            free(text);
            return reason;
        }
        if (length < capacity)
            break;
        capacity += capacity / 2 + 4096;
        grown = realloc(text, capacity);
        if (!grown)
            free(text);
        text = grown;
    }
    if (!text)
        return ENOMEM;
    text[length] = '\0';
    *data = text;
    *bytes = length;
    return 0;
}

sftn_status sftn_read_file(const char *path, void **data, size_t *bytes, sftn_error *err)
{
    FILE *file = fopen(path, "rbe");
    struct stat info;
    char *text = NULL;
    int reason;

    *data = NULL;
    *bytes = 0;
    if (!file)
        return fail_errno(err, "open", path, errno);
    if (fstat(fileno(file), &info) != 0)
        reason = errno;
    else if (S_ISDIR(info.st_mode))
        reason = EISDIR;
    else
        reason = read_all(file, info.st_size > 0 ? (size_t)info.st_size : 0, &text, bytes);
    fclose(file);
    if (reason)
        return fail_errno(err, "read", path, reason);
    *data = text;
    return SFTN_OK;
}
