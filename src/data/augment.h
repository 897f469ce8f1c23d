/*
 * augment.h: writing an image into a batch: crop, mirror, normalization, element type and layout
 * in one pass.
 */
#ifndef SFTN_DATA_AUGMENT_H
#define SFTN_DATA_AUGMENT_H

#include "sftn/data.h"

enum { SFTN_MAX_CHANNELS = 4 };

/*
 * Everything about the batches that does not depend on the image.  A byte p of channel c becomes
 * (p / 255 - mean[c]) / std[c], looked up in a table.
 */
typedef struct sftn_writer {
    int channels, height, width;
    sftn_dtype dtype;
    sftn_layout layout;
    double f64[SFTN_MAX_CHANNELS][256];
    float f32[SFTN_MAX_CHANNELS][256];
    uint16_t bf16[SFTN_MAX_CHANNELS][256];
} sftn_writer;

void sftn_writer_init(sftn_writer *w, const sftn_dataset_info *info, sftn_dtype dtype,
                      sftn_layout layout);
size_t sftn_writer_bytes(const sftn_writer *w); /* of one image in the batch */

/*
 * How one image is varied: pixel (y, x) of the result is pixel (y + dy, x + dx) of the image, zero
 * bytes outside it; the result is then mirrored left-right where flip is set, and turned
 * counterclockwise by right angles.
 */
typedef struct sftn_view {
    int dy, dx;
    bool flip;
    int turns; /* 0 .. 3; an odd number needs a square image */
} sftn_view;

/* What decides how a training's images are varied. */
typedef struct sftn_variation {
    sftn_augment augment;
    sftn_views views;
    uint64_t seed;
} sftn_variation;

/* View `view` of record `record` in epoch `epoch`. */
sftn_view sftn_augment_view(const sftn_variation *v, int64_t epoch, int64_t record, int view);

/* Write the image (bytes [C,H,W]) as seen through v to dst. */
void sftn_writer_image(const sftn_writer *w, const uint8_t *image, sftn_view v, void *dst);

/* Nearest bfloat16, ties to the even one; NaN stays NaN. */
uint16_t sftn_bf16_round(float x);

#endif
