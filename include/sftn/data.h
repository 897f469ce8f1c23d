/*
 * data.h: image classification data sets, decoded once into memory, and the loader that augments
 * and batches them on prefetching threads.
 */
#ifndef SFTN_DATA_H
#define SFTN_DATA_H

#include "sftn/plan.h"
#include "sftn/views.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which part of a data set. */
typedef enum sftn_split {
    SFTN_TRAIN,      /* less the held-out records, where validation > 0 */
    SFTN_VALIDATION, /* records held out from train */
    SFTN_TEST,
} sftn_split;

typedef struct sftn_data_options {
    const char *name;    /* "shapes", "cifar10", "cifar100", "mnist", "fashion-mnist" */
    const char *path;    /* directory or archive; NULL: the default place (sftn_data_home) */
    int64_t limit;       /* first N records of train; 0: all */
    int64_t validation;  /* records held out from (limited) train; chosen by seed */
    uint64_t seed;       /* of the held-out choice, and of the procedural set */
    bool no_cache;       /* do not read or write the decoded cache */
} sftn_data_options;

typedef struct sftn_dataset sftn_dataset;

/*
 * Open a data set, reading the checked cache where there is one, else decoding (and writing the
 * cache).  FILE: not found, with the command that downloads it.  FORMAT: truncated, or a label out
 * of range; names file, record and value.
 */
SFTN_API sftn_status sftn_dataset_open(const sftn_data_options *options, sftn_dataset **d,
                                       sftn_error *err);
SFTN_API void sftn_dataset_close(sftn_dataset *d);

typedef struct sftn_dataset_info {
    const char *name;
    int classes, channels, height, width;
    int64_t records[3]; /* by sftn_split */
    float mean[4], std[4]; /* per channel, of pixels scaled to [0,1] */
} sftn_dataset_info;
SFTN_API const sftn_dataset_info *sftn_dataset_get_info(const sftn_dataset *d);
/* Name of class i; "class 17" where the data set has no names.  Owned by d. */
SFTN_API const char *sftn_dataset_class(const sftn_dataset *d, int i);
/* Record i of a split: pixels [C,H,W] bytes, and its label.  Borrowed from d. */
SFTN_API const uint8_t *sftn_dataset_record(const sftn_dataset *d, sftn_split split, int64_t i,
                                            int *label);

/*
 * SHA-256, in hexadecimal, of all that a training sees of d: geometry, normalization, and every
 * record of the three splits in its order with its label.
 */
enum { SFTN_DATASET_DIGEST = 65 };
SFTN_API void sftn_dataset_digest(const sftn_dataset *d, char text[SFTN_DATASET_DIGEST]);

/* The i-th data set known to this build ("shapes" first); false past the end. */
typedef struct sftn_data_entry {
    const char *name, *summary;
    const char *url;    /* of the official archive or, ending in '/', its files; NULL: built in */
    const char *sha256; /* or "md5:..." as its publisher gives; NULL: built in, or several files */
    int classes, channels, height, width;
} sftn_data_entry;
SFTN_API bool sftn_data_list(int i, sftn_data_entry *entry);
SFTN_API sftn_status sftn_data_find(const char *name, sftn_data_entry *entry, sftn_error *err);

/* $SFTN_DATA, else $XDG_DATA_HOME/sftn, else ~/.local/share/sftn; written to buf. */
SFTN_API void sftn_data_home(char *buf, size_t size);

/*
 * Download the official archive of name into dir (NULL: sftn_data_home), resuming a partial file,
 * and verify its checksum.  progress (may be NULL) is called with bytes done and total (0 unknown);
 * returning false stops (INTERRUPTED; the partial file stays).  NETWORK says what failed.
 */
typedef bool (*sftn_download_progress)(void *ctx, int64_t done, int64_t total);
SFTN_API sftn_status sftn_data_get(const char *name, const char *dir,
                                   sftn_download_progress progress, void *ctx, sftn_error *err);

/* How training images are varied.  The test path is scale and normalize only. */
typedef struct sftn_augment {
    int pad;   /* zero pixels around before a random crop to the original size; 0: no crop */
    bool flip; /* mirror left-right with probability 1/2 */
} sftn_augment;

/*
 * Loader: epochs of batches.  Batch b of epoch e holds the same images with the same augmentation
 * for a given seed, whatever the number of threads.  Random numbers are keyed by (seed, purpose,
 * epoch, record, view), the order by (seed, epoch).
 */
typedef struct sftn_loader_options {
    sftn_split split;
    int64_t batch;
    bool shuffle;
    sftn_augment augment; /* zero: none */
    sftn_views views;     /* of each record (views.h); turned ones need square images */
    uint64_t seed;
    int threads; /* prefetching threads, at least 1; 0: 1 */
    int depth;   /* batches prepared ahead; 0: 4 */
    sftn_dtype dtype;
    sftn_layout layout; /* NCHW or NHWC, as the plan's input wants it */
} sftn_loader_options;

typedef struct sftn_loader sftn_loader;

/* d must outlive the loader. */
SFTN_API sftn_status sftn_loader_new(const sftn_dataset *d, const sftn_loader_options *options,
                                     sftn_loader **l, sftn_error *err);
SFTN_API void sftn_loader_free(sftn_loader *l);

/* Batches in an epoch, the partial last one included; records in batch b. */
SFTN_API int64_t sftn_loader_batches(const sftn_loader *l);
SFTN_API int64_t sftn_loader_batch_size(const sftn_loader *l, int64_t batch);

/* Begin at batch `batch` of epoch `epoch` (from 0).  Batches in preparation are dropped. */
SFTN_API void sftn_loader_seek(sftn_loader *l, int64_t epoch, int64_t batch);

/*
 * The next batch, borrowed until the next call.  images: [views n,C,H,W] of dtype in layout;
 * labels and index (record number in the split) as floats and int64, [n].  After an epoch's last
 * batch comes the next epoch's first.  Allocates nothing.
 */
typedef struct sftn_batch {
    int64_t epoch, batch, n;
    int views; /* at least 1 */
    const void *images;
    const float *labels;
    const int64_t *index;
    double waited_s; /* seconds this call waited for the threads */
} sftn_batch;
SFTN_API const sftn_batch *sftn_loader_next(sftn_loader *l);

/*
 * Decode a PNG or JPEG file to RGB, scaled to width x height by area averaging (cropped to the
 * centre square first where shapes differ); pixels [3,height,width] bytes.  channels 1: luma.
 */
SFTN_API sftn_status sftn_image_read(const char *path, int channels, int height, int width,
                                     uint8_t *pixels, sftn_error *err);
/* The PNG of a record, for looking at a data set: columns x rows of records from first on. */
SFTN_API sftn_status sftn_dataset_sheet(const sftn_dataset *d, sftn_split split, int64_t first,
                                        int columns, int rows, int zoom, const char *png,
                                        sftn_error *err);

#ifdef __cplusplus
}
#endif
#endif
