/*
 * archive: reads the files of a data set from a directory, a tar archive however compressed, or a
 * zip archive, all in the same way.
 *
 * gzip streams are read with zlib, which verifies their checksum and length where libarchive does
 * not; everything else is libarchive's.
 */
#include "base/base.h"
#include "data/dataset.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

static const char *const archive_suffixes[] = {".tar.gz", ".tgz",     ".tar.xz",  ".zip",
                                               ".tar",    ".tar.bz2", ".tar.zst", NULL};

static bool is_file(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static bool is_directory(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* dir/name, or dir/name.gz, whichever is a file. */
static bool find_file(const char *dir, const char *name, char *found, size_t size)
{
    snprintf(found, size, "%s/%s", dir, name);
    if (is_file(found))
        return true;
    snprintf(found, size, "%s/%s.gz", dir, name);
    return is_file(found);
}

bool sftn_members_find(const char *dir, const char *const *places, const char *first, char *found,
                       size_t size)
{
    char path[PATH_MAX];

    if (find_file(dir, first, path, sizeof(path))) {
        snprintf(found, size, "%s", dir);
        return true;
    }
    for (int i = 0; places[i]; i++) {
        snprintf(found, size, "%s/%s", dir, places[i]);
        if (find_file(found, first, path, sizeof(path)))
            return true;
        for (int k = 0; archive_suffixes[k]; k++) {
            snprintf(found, size, "%s/%s%s", dir, places[i], archive_suffixes[k]);
            if (is_file(found))
                return true;
        }
    }
    return false;
}

static void stamp_line(sftn_strbuf *text, const char *path)
{
    struct stat info;

    if (stat(path, &info) == 0)
        sftn_strbuf_add(text, "%s %lld %lld.%09ld\n", path, (long long)info.st_size,
                        (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

char *sftn_members_stamp(const char *path, const sftn_member *members, int n)
{
    sftn_strbuf text = {0};
    char file[PATH_MAX];

    sftn_strbuf_add(&text, "%s", "");
    if (!is_directory(path))
        stamp_line(&text, path);
    for (int i = 0; i < n && is_directory(path); i++)
        if (find_file(path, members[i].name, file, sizeof(file)))
            stamp_line(&text, file);
    if (text.failed)
        sftn_strbuf_free(&text);
    return text.text;
}

void sftn_members_free(sftn_member *members, int n)
{
    for (int i = 0; i < n; i++) {
        free(members[i].data);
        members[i].data = NULL;
        members[i].bytes = 0;
    }
}

/* A path too long for `where` loses its beginning. */
static void set_where(sftn_member *m, const char *path, const char *entry)
{
    const size_t length = strlen(path);

    snprintf(m->where, sizeof(m->where), "%.190s%s%.100s", path + (length > 190 ? length - 190 : 0),
             entry ? ": " : "", entry ? entry : "");
}

/* ---- gzip ---- */

/* Room for at least one more byte and the terminating zero; capacity doubles. */
static bool make_room(uint8_t **data, size_t bytes, size_t *capacity)
{
    uint8_t *grown;

    if (bytes + 1 < *capacity)
        return true;
    if (*capacity > SIZE_MAX / 4 || !(grown = realloc(*data, *capacity * 2 + 65536)))
        return false;
    *data = grown;
    *capacity = *capacity * 2 + 65536;
    return true;
}

/* Run the inflater over all of m's contents; returns zlib's code, Z_STREAM_END if complete. */
static int inflate_all(z_stream *z, const sftn_member *m, uint8_t **out, size_t *bytes)
{
    size_t capacity = 0, used = 0;
    int code = Z_OK;

    while (code == Z_OK) {
        size_t in = m->bytes - used, room;

        if (!make_room(out, *bytes, &capacity))
            return Z_MEM_ERROR;
        in = in > UINT_MAX / 2 ? UINT_MAX / 2 : in;
        room = capacity - *bytes - 1;
        room = room > UINT_MAX / 2 ? UINT_MAX / 2 : room;
        z->next_in = m->data + used;
        z->avail_in = (unsigned)in;
        z->next_out = *out + *bytes;
        z->avail_out = (unsigned)room;
        code = inflate(z, Z_NO_FLUSH);
        used += in - z->avail_in;
        *bytes += room - z->avail_out;
    }
    (*out)[*bytes] = 0;
    return code;
}

/* Replace m's gzip contents by what they expand to. */
static sftn_status expand(sftn_member *m, sftn_error *err)
{
    z_stream z = {0};
    uint8_t *out = NULL;
    size_t bytes = 0;
    int code = inflateInit2(&z, 16 + MAX_WBITS);

    if (code == Z_OK) {
        code = inflate_all(&z, m, &out, &bytes);
        inflateEnd(&z);
    }
    if (code == Z_STREAM_END) {
        free(m->data);
        m->data = out;
        m->bytes = bytes;
        return SFTN_OK;
    }
    free(out);
    if (code == Z_MEM_ERROR)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", m->where);
    return sftn_fail(err, SFTN_ERR_FORMAT, "%s: %s after %zu of its bytes expanded to %zu",
                     m->where, code == Z_BUF_ERROR ? "truncated gzip data" : "damaged gzip data",
                     m->bytes, bytes);
}

static bool ends_in_gz(const char *name)
{
    const size_t n = strlen(name);

    return n > 3 && strcmp(name + n - 3, ".gz") == 0;
}

/* ---- archives ---- */

/* The member that an archive's entry is, NULL for none. */
static sftn_member *match(const char *entry, sftn_member *members, int n)
{
    const char *slash = strrchr(entry, '/');
    const char *base = slash ? slash + 1 : entry;

    for (int i = 0; i < n; i++) {
        const size_t length = strlen(members[i].name);

        if (strncmp(base, members[i].name, length) == 0 &&
            (base[length] == 0 || strcmp(base + length, ".gz") == 0))
            return &members[i];
    }
    return NULL;
}

static sftn_status read_entry(struct archive *a, sftn_member *m, sftn_error *err)
{
    size_t capacity = 0;
    la_ssize_t got = 1;

    while (got > 0) {
        if (!make_room(&m->data, m->bytes, &capacity))
            return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory after %zu bytes", m->where,
                             m->bytes);
        got = archive_read_data(a, m->data + m->bytes, capacity - m->bytes - 1);
        if (got > 0)
            m->bytes += (size_t)got;
    }
    if (got < 0)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: damaged or truncated after %zu bytes: %s",
                         m->where, m->bytes, archive_error_string(a));
    m->data[m->bytes] = 0;
    return SFTN_OK;
}

static sftn_status read_entries(struct archive *a, const char *path, sftn_member *members, int n,
                                sftn_error *err)
{
    struct archive_entry *entry;
    int code;

    while ((code = archive_read_next_header(a, &entry)) == ARCHIVE_OK || code == ARCHIVE_WARN) {
        const char *name = archive_entry_pathname(entry);
        sftn_member *m = name ? match(name, members, n) : NULL;
        sftn_status status;

        if (!m || m->data || archive_entry_filetype(entry) != AE_IFREG)
            continue;
        set_where(m, path, name);
        status = read_entry(a, m, err);
        if (status == SFTN_OK && ends_in_gz(name))
            status = expand(m, err);
        if (status != SFTN_OK)
            return status;
    }
    if (code != ARCHIVE_EOF)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: damaged, truncated or not an archive: %s", path,
                         archive_error_string(a) ? archive_error_string(a) : "unknown reason");
    return SFTN_OK;
}

/* What libarchive reads a .tar.gz through. */
typedef struct gzip_reader {
    gzFile file;
    char block[1 << 16];
} gzip_reader;

static la_ssize_t gzip_block(struct archive *a, void *ctx, const void **block)
{
    gzip_reader *r = ctx;
    const int got = gzread(r->file, r->block, sizeof(r->block));
    int code = Z_OK;
    const char *text = gzerror(r->file, &code);

    *block = r->block;
    if (got > 0)
        return got;
    if (got == 0 && code == Z_OK)
        return 0;
    archive_set_error(a, EIO, "%s",
                      code == Z_BUF_ERROR ? "the gzip data end too early" : text);
    return -1;
}

static sftn_status read_gzip(struct archive *a, const char *path, sftn_member *members, int n,
                             sftn_error *err)
{
    gzip_reader *r = sftn_calloc(1, sizeof(*r));
    sftn_status status = SFTN_OK;

    if (!r)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", path);
    r->file = gzopen(path, "rbe");
    if (!r->file)
        status = sftn_fail(err, SFTN_ERR_FILE, "%s: cannot open: %s", path, strerror(errno));
    else if (archive_read_open(a, r, NULL, gzip_block, NULL) != ARCHIVE_OK)
        status = sftn_fail(err, SFTN_ERR_FORMAT, "%s: damaged, truncated or not an archive: %s",
                           path, archive_error_string(a));
    else
        status = read_entries(a, path, members, n, err);
    if (r->file)
        gzclose(r->file);
    free(r);
    return status;
}

static sftn_status read_plain(struct archive *a, const char *path, sftn_member *members, int n,
                              sftn_error *err)
{
    if (archive_read_open_filename(a, path, 1 << 16) != ARCHIVE_OK)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: damaged, truncated or not an archive: %s", path,
                         archive_error_string(a));
    return read_entries(a, path, members, n, err);
}

static sftn_status read_archive(const char *path, sftn_member *members, int n, sftn_error *err)
{
    FILE *file = fopen(path, "rbe");
    struct archive *a = archive_read_new();
    int magic[2] = {0};
    sftn_status status;

    if (file && a) {
        magic[0] = getc(file);
        magic[1] = getc(file);
        archive_read_support_filter_all(a);
        archive_read_support_format_tar(a);
        archive_read_support_format_zip(a);
        /* Read past the end mark to the end of the compressed stream, where its checksum is. */
        archive_read_set_format_option(a, "tar", "read_concatenated_archives", "1");
        status = magic[0] == 0x1f && magic[1] == 0x8b ? read_gzip(a, path, members, n, err)
                                                      : read_plain(a, path, members, n, err);
    } else {
        status = file ? sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", path)
                      : sftn_fail(err, SFTN_ERR_FILE, "%s: cannot open: %s", path,
                                  strerror(errno));
    }
    if (file)
        fclose(file);
    archive_read_free(a);
    return status;
}

/* ---- directories ---- */

static sftn_status read_directory(const char *path, sftn_member *members, int n, sftn_error *err)
{
    char file[PATH_MAX];
    sftn_status status = SFTN_OK;

    for (int i = 0; i < n && status == SFTN_OK; i++) {
        sftn_member *m = &members[i];
        void *data = NULL;

        if (!find_file(path, m->name, file, sizeof(file)))
            continue;
        set_where(m, file, NULL);
        status = sftn_read_file(file, &data, &m->bytes, err);
        m->data = data;
        if (status == SFTN_OK && ends_in_gz(file))
            status = expand(m, err);
    }
    return status;
}

sftn_status sftn_members_read(const char *path, sftn_member *members, int n, sftn_error *err)
{
    sftn_status status = is_directory(path) ? read_directory(path, members, n, err)
                                            : read_archive(path, members, n, err);

    for (int i = 0; i < n && status == SFTN_OK; i++)
        if (!members[i].data && !members[i].optional)
            status = sftn_fail(err, SFTN_ERR_FILE, "%s: holds no file %s", path, members[i].name);
    if (status != SFTN_OK)
        sftn_members_free(members, n);
    return status;
}
