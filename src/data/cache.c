/*
 * cache: decoded images in one file under the data home, so that an archive is read only once.
 *
 * Layout: a header (struct cache_header, this machine's byte order), the stamp of the files it was
 * made of, the class names, the labels as int32 and the pixels, train before test.  The header's
 * and the body's CRC-32 are verified on reading; whatever does not fit is as good as no cache.
 */
#include "base/base.h"
#include "data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { CACHE_VERSION = 1 };

typedef struct cache_header {
    char magic[8];
    uint32_t version; /* also tells a byte order other than this machine's */
    int32_t geometry[4];
    uint32_t body_crc;
    int64_t count[SFTN_PARTS];
    uint64_t stamp_bytes, names_bytes;
    uint64_t crc; /* of everything before it */
} cache_header;

static const char cache_magic[8] = {'s', 'f', 't', 'n', 'd', 'a', 't', 'a'};

void sftn_cache_file(const char *name, const char *path, char *buf, size_t size)
{
    char home[3072];

    sftn_data_home(home, sizeof(home));
    snprintf(buf, size, "%s/cache/%s-%016llx.images", home, name,
             (unsigned long long)sftn_hash_text(path));
}

/* One stretch of the body. */
typedef struct cache_piece {
    void *data;
    size_t bytes;
} cache_piece;

enum { CACHE_PIECES = 2 + 2 * SFTN_PARTS };

static int list_pieces(const sftn_images *images, const char *stamp, cache_piece *piece)
{
    const size_t record = (size_t)sftn_images_pixels(images);
    int n = 0;

    piece[n++] = (cache_piece){(void *)(uintptr_t)stamp, strlen(stamp)};
    piece[n++] = (cache_piece){images->class_names,
                               images->class_names ? strlen(images->class_names) : 0};
    for (int p = 0; p < SFTN_PARTS; p++) {
        const sftn_records *r = &images->part[p];

        piece[n++] = (cache_piece){r->labels, (size_t)r->count * sizeof(*r->labels)};
        piece[n++] = (cache_piece){r->pixels, (size_t)r->count * record};
    }
    return n;
}

static uint32_t crc_bytes(uint32_t crc, const void *data, size_t bytes)
{
    return bytes ? (uint32_t)crc32_z(crc, data, bytes) : crc;
}

static uint32_t header_crc(const cache_header *h)
{
    return crc_bytes(0, h, offsetof(cache_header, crc));
}

static cache_header make_header(const sftn_images *images, const char *stamp)
{
    cache_header h = {
        .version     = CACHE_VERSION,
        .geometry    = {images->classes, images->channels, images->height, images->width},
        .count       = {images->part[0].count, images->part[1].count},
        .stamp_bytes = strlen(stamp),
        .names_bytes = images->class_names ? strlen(images->class_names) : 0,
    };
    cache_piece piece[CACHE_PIECES];
    const int n = list_pieces(images, stamp, piece);

    memcpy(h.magic, cache_magic, sizeof(h.magic));
    for (int i = 0; i < n; i++)
        h.body_crc = crc_bytes(h.body_crc, piece[i].data, piece[i].bytes);
    h.crc = header_crc(&h);
    return h;
}

/* ---- reading ---- */

/* Whether h belongs to images' data set and to these files, and to a cache file of this size. */
static bool header_fits(const cache_header *h, const sftn_images *images, const char *stamp,
                        int64_t file_bytes)
{
    const int32_t geometry[4] = {images->classes, images->channels, images->height,
                                 images->width};
    const int64_t record = sftn_images_pixels(images) + (int64_t)sizeof(int32_t);
    int64_t rest = file_bytes - (int64_t)sizeof(*h);

    if (memcmp(h->magic, cache_magic, sizeof(h->magic)) != 0 || h->version != CACHE_VERSION ||
        h->crc != header_crc(h) || memcmp(h->geometry, geometry, sizeof(geometry)) != 0 ||
        h->stamp_bytes != strlen(stamp) || h->names_bytes > (uint64_t)file_bytes)
        return false;
    rest -= (int64_t)h->stamp_bytes + (int64_t)h->names_bytes;
    for (int p = 0; p < SFTN_PARTS; p++) {
        if (h->count[p] < 1 || rest < 0 || h->count[p] > rest / record)
            return false;
        rest -= h->count[p] * record;
    }
    return rest == 0;
}

static bool labels_fit(const sftn_images *images)
{
    for (int p = 0; p < SFTN_PARTS; p++)
        for (int64_t i = 0; i < images->part[p].count; i++)
            if (images->part[p].labels[i] < 0 || images->part[p].labels[i] >= images->classes)
                return false;
    return true;
}

/* The body, into a place for the stamp and into images; false where anything differs. */
static bool read_body(FILE *file, const cache_header *h, const char *stamp, char *found_stamp,
                      sftn_images *images)
{
    cache_piece piece[CACHE_PIECES];
    uint32_t crc = 0;
    int n;

    if (h->names_bytes && !(images->class_names = sftn_calloc(h->names_bytes + 1, 1)))
        return false;
    for (int p = 0; p < SFTN_PARTS; p++)
        if (sftn_images_alloc(images, p, h->count[p], NULL) != SFTN_OK)
            return false;
    n = list_pieces(images, stamp, piece);
    piece[0].data = found_stamp;
    piece[1].bytes = h->names_bytes;
    for (int i = 0; i < n; i++) {
        if (piece[i].bytes && fread(piece[i].data, 1, piece[i].bytes, file) != piece[i].bytes)
            return false;
        crc = crc_bytes(crc, piece[i].data, piece[i].bytes);
    }
    return crc == h->body_crc && strcmp(found_stamp, stamp) == 0 && labels_fit(images);
}

bool sftn_cache_read(const char *path, const char *stamp, sftn_images *images)
{
    FILE *file = fopen(path, "rbe");
    char *found_stamp = sftn_calloc(strlen(stamp) + 1, 1);
    cache_header h = {0};
    struct stat info;
    bool ok = false;

    if (file && found_stamp && fstat(fileno(file), &info) == 0 &&
        fread(&h, sizeof(h), 1, file) == 1 && header_fits(&h, images, stamp, info.st_size)) {
        ok = read_body(file, &h, stamp, found_stamp, images);
        if (!ok)
            sftn_images_free(images);
    }
    free(found_stamp);
    if (file)
        fclose(file);
    return ok;
}

/* ---- writing ---- */

typedef struct cache_writing {
    const sftn_images *images;
    const char *stamp;
} cache_writing;

static bool write_cache(void *ctx, void *stream)
{
    const cache_writing *w = ctx;
    const cache_header h = make_header(w->images, w->stamp);
    cache_piece piece[CACHE_PIECES];
    const int n = list_pieces(w->images, w->stamp, piece);

    if (fwrite(&h, sizeof(h), 1, stream) != 1)
        return false;
    for (int i = 0; i < n; i++)
        if (piece[i].bytes && fwrite(piece[i].data, 1, piece[i].bytes, stream) != piece[i].bytes)
            return false;
    return true;
}

void sftn_cache_write(const char *path, const char *stamp, const sftn_images *images)
{
    cache_writing w = {images, stamp};
    char *dir = sftn_strdup(path);
    char *slash = dir ? strrchr(dir, '/') : NULL;

    if (slash) {
        *slash = 0;
        if (sftn_make_dirs(dir, NULL) == SFTN_OK)
            (void)sftn_replace_file(path, write_cache, &w, NULL);
    }
    free(dir);
}
