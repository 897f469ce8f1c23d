/*
 * dataset.h: what a data set's reader provides, and the helpers that readers share.
 *
 * A data set is one const struct, listed in datasets.def.  Opening it finds its files (archive.c),
 * reads them (its `read`), and keeps the result in the cache (cache.c); dataset.c does the rest:
 * the limit, the held-out records, the statistics.
 */
#ifndef SFTN_DATA_DATASET_H
#define SFTN_DATA_DATASET_H

#include "sftn/data.h"

/* ---- decoded images ---- */

typedef struct sftn_records {
    int64_t count;
    uint8_t *pixels; /* [count,C,H,W]; owned */
    int32_t *labels; /* [count]; owned */
} sftn_records;

enum { SFTN_PART_TRAIN, SFTN_PART_TEST, SFTN_PARTS };

/* All a data set's files hold, before any limit or split. */
typedef struct sftn_images {
    int classes, channels, height, width;
    sftn_records part[SFTN_PARTS];
    char *class_names; /* one a line, in the order of labels; NULL: none; owned */
} sftn_images;

/* Room for count records in part; the geometry must be set. */
sftn_status sftn_images_alloc(sftn_images *images, int part, int64_t count, sftn_error *err);
int64_t sftn_images_pixels(const sftn_images *images); /* bytes of one record */
void sftn_images_free(sftn_images *images);

/* ---- files of a data set, wherever they are (archive.c) ---- */

/* A file wanted from a directory or an archive, matched by its last path component. */
typedef struct sftn_member {
    const char *name; /* "train.bin"; also found as name.gz, which is expanded */
    bool optional;
    uint8_t *data; /* contents and a zero byte past them, NULL where absent; owned by the caller */
    size_t bytes;
    char where[300]; /* "cifar.tar.gz: cifar-100-binary/train.bin", for messages */
} sftn_member;

/*
 * Read the members from path, a directory (its own files, not those of its folders) or an archive
 * (any depth of folders).  FILE: a file that is not optional is absent; FORMAT: damaged or
 * truncated.  Either names the file.  On failure the members hold nothing.
 */
sftn_status sftn_members_read(const char *path, sftn_member *members, int n, sftn_error *err);
void sftn_members_free(sftn_member *members, int n);

/*
 * Where under dir the files are: dir itself where it holds `first` (or first.gz), else the first
 * of `places` (NULL-terminated, such as "cifar-100-binary") that is a directory holding it, or that
 * with .tar.gz, .tar.xz, .zip and the like is a file.  false: nowhere.
 */
bool sftn_members_find(const char *dir, const char *const *places, const char *first, char *found,
                       size_t size);

/*
 * What the files at path were when read, as text: a line with path, size and modification time for
 * each.  NULL: out of memory.  Owned by the caller.
 */
char *sftn_members_stamp(const char *path, const sftn_member *members, int n);

/* ---- the cache of decoded images (cache.c) ---- */

/* The cache file of data set `name` read from `path`. */
void sftn_cache_file(const char *name, const char *path, char *buf, size_t size);
/*
 * Fill images, whose geometry is set, from a cache made of files with this stamp; false (nothing
 * allocated) where there is none, it is of other files, or it is damaged.
 */
bool sftn_cache_read(const char *file, const char *stamp, sftn_images *images);
/* A cache that cannot be written is left out, silently: it only costs time. */
void sftn_cache_write(const char *file, const char *stamp, const sftn_images *images);

/* ---- downloads (download.c, digest.c) ---- */

typedef struct sftn_remote {
    const char *file;   /* name it is kept under; NULL ends a list */
    const char *digest; /* "md5:..." or the hex SHA-256; NULL unknown */
} sftn_remote;

/*
 * Fetch url to path by way of path.part, which a later call goes on from, and verify digest (NULL:
 * not verified).  A file whose digest differs is kept as path.bad.  A path that exists with the
 * right digest is left as it is.
 */
sftn_status sftn_download(const char *url, const char *path, const char *digest,
                          sftn_download_progress progress, void *ctx, sftn_error *err);

enum { SFTN_DIGEST_TEXT = 72 };
/* Digest of a file in the form and of the kind of `like`, written to text. */
sftn_status sftn_file_digest(const char *path, const char *like, char text[SFTN_DIGEST_TEXT],
                             sftn_error *err);

/* ---- data sets ---- */

typedef struct sftn_source sftn_source;
struct sftn_source {
    const char *name, *summary;
    int classes, channels, height, width;
    const char *const *places;     /* of its files below a data directory; NULL: built in */
    const char *const *members;    /* file names, NULL-terminated; "?" before an optional one */
    const char *url;               /* of the archive, or, ending in '/', of the files' directory */
    const sftn_remote *remotes;
    const char *remote_dir;        /* directory below the data home they go to; "" itself */
    const char *package;           /* Debian's package of it; NULL: there is none */
    float mean[4], std[4];         /* the field's usual constants; std[0] 0: of the train split */
    /* Decode members (in the order of `members`) into images, whose geometry is set. */
    sftn_status (*read)(const sftn_source *s, sftn_member *members, sftn_images *images,
                        sftn_error *err);
    /* Built-in sets instead: draw at most `limit` (0: all) train records. */
    sftn_status (*draw)(const sftn_source *s, uint64_t seed, int64_t limit, sftn_images *images,
                        sftn_error *err);
};

enum { SFTN_MAX_MEMBERS = 8 };

/* The i-th data set; NULL past the end. */
const sftn_source *sftn_source_at(int i);
/* By name.  ARGUMENT: unknown, with the nearest known name. */
sftn_status sftn_source_find(const char *name, const sftn_source **source, sftn_error *err);

#endif
