/*
 * winograd.h: 3x3 convolutions of stride 1 and padding 1 by Winograd's F(2x2, 3x3).
 *
 * Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015 (arXiv 1509.09308):
 * an image is cut into 4x4 tiles that overlap by two pixels, each giving 2x2 pixels of the result,
 *
 *     y = A' [ (G w G') . (B' x B) ] A        gw = G' [ (B' x B) . (A gy A') ] G
 *
 * with . elementwise over the 16 positions of a tile and summed over channels (y) or tiles (gw):
 * 16 matrix products where the definition has the work of 36.
 *
 *     B' = 1  0 -1  0      G = 1    0    0      A' = 1  1  1  0
 *          0  1  1  0          1/2  1/2  1/2         0  1 -1 -1
 *          0 -1  1  0          1/2 -1/2  1/2
 *          0  1  0 -1          0    0    1
 *
 * In float32 its result is as near to the exact one as the definition's; in bfloat16 the
 * transformed tiles and weights are rounded once more, which raises the error of a result from
 * about 0.3 to 0.4 percent of its norm.
 */
#ifndef SFTN_BACKEND_CPU_KERNELS_WINOGRAD_H
#define SFTN_BACKEND_CPU_KERNELS_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SFTN_WINOGRAD_POINTS = 16,  /* positions of a tile */
    SFTN_WINOGRAD_CHANNELS = 16 /* channels come in multiples of */
};

/* One convolution as one thread sees it; images are channels last. */
typedef struct sftn_winograd {
    bool bf16;                /* images and transformed operands; products are float */
    int64_t c, k;             /* channels of x and of y */
    int64_t h, w;             /* pixels */
    int64_t tiles_h, tiles_w; /* tiles of an image, tiles_w rounded up to even */
    int64_t rows;             /* rows of tiles that are transformed together */
} sftn_winograd;

/* Tiles of `rows` rows, rounded up to the product's blocks. */
static inline int64_t sftn_winograd_tiles(const sftn_winograd *m)
{
    return (m->rows * m->tiles_w + 7) / 8 * 8;
}

/*
 * Elements from one position's matrix of `count` elements to the next's: a cache line more than the
 * matrix, so that the 16 matrices do not compete for the same lines.
 */
static inline int64_t sftn_winograd_plane(const sftn_winograd *m, int64_t count)
{
    return count + (m->bf16 ? 32 : 16);
}

static inline size_t sftn_winograd_element(const sftn_winograd *m)
{
    return m->bf16 ? 2 : 4;
}

/* Floats of a plane of products, tiles by at most SFTN_WINOGRAD_CHUNK channels of y. */
enum { SFTN_WINOGRAD_CHUNK = 32 };

/* Bytes of the transformed weights. */
static inline size_t sftn_winograd_weight_bytes(const sftn_winograd *m)
{
    return SFTN_WINOGRAD_POINTS * (size_t)(m->c * m->k) * sftn_winograd_element(m);
}

/* Bytes of a row of zeros, which stands for the rows above and below an image. */
static inline size_t sftn_winograd_zeros(const sftn_winograd *m)
{
    const int64_t channels = m->c > m->k ? m->c : m->k;

    return ((size_t)(m->w * channels) * sftn_winograd_element(m) + 63) / 64 * 64;
}

/* Bytes of a thread's workspace for a convolution. */
static inline size_t sftn_winograd_conv_workspace(const sftn_winograd *m)
{
    const int64_t tiles = sftn_winograd_tiles(m);

    return sftn_winograd_zeros(m) +
           SFTN_WINOGRAD_POINTS *
               ((size_t)sftn_winograd_plane(m, tiles * m->c) * sftn_winograd_element(m) +
                (size_t)(tiles * SFTN_WINOGRAD_CHUNK + 16) * sizeof(float));
}

/* Bytes of a thread's workspace for a weight gradient, its sums not included. */
static inline size_t sftn_winograd_weight_workspace(const sftn_winograd *m)
{
    const int64_t tiles = sftn_winograd_tiles(m);

    return sftn_winograd_zeros(m) +
           SFTN_WINOGRAD_POINTS *
               (size_t)(sftn_winograd_plane(m, tiles * m->c) +
                        sftn_winograd_plane(m, tiles * m->k)) * sftn_winograd_element(m);
}

/* Floats of a thread's sums for a weight gradient. */
static inline size_t sftn_winograd_sums(const sftn_winograd *m)
{
    return SFTN_WINOGRAD_POINTS * (size_t)(m->c * m->k);
}

/* The functions of one instruction set. */
typedef struct sftn_winograd_kernels {
    bool f32, bf16; /* the images that there are functions for */
    /*
     * u = transformed weight for channels first .. last - 1 of y (multiples of 16).  weight:
     * [k,c,3,3], or [c,k,3,3] turned by 180 degrees where `turned` (the data gradient's).
     */
    void (*weights)(const sftn_winograd *m, const float *weight, bool turned, void *u,
                    int64_t first, int64_t last);
    /* Rows of tiles first .. last - 1, counted through all images, of y. */
    void (*conv)(const sftn_winograd *m, const void *x, const void *u, void *y, int64_t first,
                 int64_t last, void *workspace);
    /* sums = what the rows of tiles first .. last - 1 add to the transformed weight gradient. */
    void (*weight_sums)(const sftn_winograd *m, const void *x, const void *gy, int64_t first,
                        int64_t last, float *sums, void *workspace);
    /* gw [k,c,3,3] for channels first .. last - 1 of y from the sums of `parts` threads. */
    void (*weight_grad)(const sftn_winograd *m, const float *sums, int parts, float *gw,
                        int64_t first, int64_t last);
} sftn_winograd_kernels;

#endif
