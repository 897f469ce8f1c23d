/*
 * winograd: the transforms and products of Winograd's F(2x2, 3x3) (winograd.h), for vectors of the
 * instruction set's full width.
 *
 * Transformed operands lie position by position.  A convolution multiplies [tiles, c] by [c, k], a
 * weight gradient [k, tiles] by [tiles, c]; in bfloat16 the summed dimension comes in pairs, which
 * lie side by side as the instruction wants them.
 */
#include "backend/cpu/kernels/vector.h"

#if LANES >= 8
enum { POINTS = SFTN_WINOGRAD_POINTS, CHUNK = 2 * LANES };

/* ---- vectors in memory ---- */

#ifdef __AVX512BF16__
SFTN_INLINE __m512i join_bf16(vec low, vec high)
{
    return (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

/* Lanes of a beside those of b: a0 b0 a1 b1 ... */
SFTN_INLINE __m512i interleave(vec a, vec b)
{
    static const uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};

    return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), join_bf16(a, b));
}
#endif

/*
 * Two neighbouring tiles' vectors, tiles t and t + 1 (t even), channels c .. of `width`: into rows
 * of a matrix [tiles, width], or, where `paired`, the tiles side by side.
 */
SFTN_INLINE void store_tiles(void *plane, bool bf16, bool paired, int64_t t, int64_t c,
                             int64_t width, vec a, vec b)
{
#ifdef __AVX512BF16__
    if (bf16) {
        uint16_t *const p = (uint16_t *)plane + t * width;

        if (paired) {
            _mm512_storeu_si512(p + 2 * c, interleave(a, b));
        } else {
            const __m512i both = join_bf16(a, b);

            _mm256_storeu_si256((void *)(p + c), _mm512_castsi512_si256(both));
            _mm256_storeu_si256((void *)(p + width + c), _mm512_extracti64x4_epi64(both, 1));
        }
        return;
    }
#endif
    (void)bf16;
    (void)paired;
    store_float((float *)plane + t * width + c, a);
    store_float((float *)plane + (t + 1) * width + c, b);
}

/* ---- transforms of images ---- */

typedef struct tile_row {
    const void *pixel[4]; /* rows of pixels, zeros outside the image */
    int64_t t;            /* its first tile in the block */
} tile_row;

/* Row r of tiles through all images: `count` rows of pixels from 2 ty + before. */
SFTN_INLINE tile_row find_row(const sftn_winograd *m, const void *x, int64_t channels, int64_t r,
                              int64_t t, int before, int count, const void *zeros)
{
    const int64_t image = r / m->tiles_h, ty = r % m->tiles_h;
    tile_row row = {.t = t};

    for (int j = 0; j < count; j++) {
        const int64_t y = 2 * ty + before + j;

        row.pixel[j] = y >= 0 && y < m->h
                           ? k_at(x, m->bf16, (image * m->h + y) * m->w * channels)
                           : zeros;
    }
    return row;
}

/* Column x of pixels, rows transformed: e = B' d. */
SFTN_INLINE void input_column(const sftn_winograd *m, bool bf16, const tile_row *row, int64_t x,
                              int64_t c, vec e[4])
{
    if (x < m->w) {
        const int64_t i = x * m->c + c;
        const vec d0 = load(row->pixel[0], bf16, i), d1 = load(row->pixel[1], bf16, i);
        const vec d2 = load(row->pixel[2], bf16, i), d3 = load(row->pixel[3], bf16, i);

        e[0] = d0 - d2;
        e[1] = d1 + d2;
        e[2] = d2 - d1;
        e[3] = d1 - d3;
    } else {
        e[0] = e[1] = e[2] = e[3] = (vec){0};
    }
}

/* v = B' x B for one row of tiles. */
SFTN_INLINE void input_tiles(const sftn_winograd *m, bool bf16, bool paired, const tile_row *row,
                             void *v, int64_t plane)
{
    for (int64_t c = 0; c < m->c; c += LANES) {
        vec e[6][4];

        e[0][0] = e[0][1] = e[0][2] = e[0][3] = (vec){0};
        input_column(m, bf16, row, 0, c, e[1]);
        for (int64_t tx = 0; tx < m->tiles_w; tx += 2) {
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                input_column(m, bf16, row, 2 * tx + 1 + j, c, e[2 + j]);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                const vec a[4] = {e[0][i] - e[2][i], e[1][i] + e[2][i], e[2][i] - e[1][i],
                                  e[1][i] - e[3][i]};
                const vec b[4] = {e[2][i] - e[4][i], e[3][i] + e[4][i], e[4][i] - e[3][i],
                                  e[3][i] - e[5][i]};

#pragma GCC unroll 4
                for (int j = 0; j < 4; j++)
                    store_tiles((char *)v + (4 * i + j) * plane * (bf16 ? 2 : 4), bf16, paired,
                                row->t + tx, c, m->c, a[j], b[j]);
            }
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                e[0][i] = e[4][i];
                e[1][i] = e[5][i];
            }
        }
    }
}

/* d = A gy A' for one row of tiles. */
SFTN_INLINE void grad_tiles(const sftn_winograd *m, bool bf16, const tile_row *row, void *d,
                            int64_t plane)
{
    for (int64_t k = 0; k < m->k; k += LANES)
        for (int64_t tx = 0; tx < m->tiles_w; tx += 2) {
            vec e[4][4];

#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) {
                const int64_t x = 2 * tx + j, i = x * m->k + k;
                const vec zero = {0};
                const vec g0 = x < m->w ? load(row->pixel[0], bf16, i) : zero;
                const vec g1 = x < m->w ? load(row->pixel[1], bf16, i) : zero;

                e[j][0] = g0;
                e[j][1] = g0 + g1;
                e[j][2] = g0 - g1;
                e[j][3] = -g1;
            }
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                const vec a[4] = {e[0][i], e[0][i] + e[1][i], e[0][i] - e[1][i], -e[1][i]};
                const vec b[4] = {e[2][i], e[2][i] + e[3][i], e[2][i] - e[3][i], -e[3][i]};

#pragma GCC unroll 4
                for (int j = 0; j < 4; j++)
                    store_tiles((char *)d + (4 * i + j) * plane * (bf16 ? 2 : 4), bf16, true,
                                row->t + tx, k, m->k, a[j], b[j]);
            }
        }
}

/* y = A' p A for channels k .. of one row of tiles; p: products [tiles, width]. */
SFTN_INLINE void output_tiles(const sftn_winograd *m, bool bf16, int64_t r, int64_t t,
                              const float *p, int64_t plane, int64_t width, int64_t k, void *y)
{
    const int64_t image = r / m->tiles_h, ty = r % m->tiles_h;
    const int64_t rows = 2 * ty + 1 < m->h ? 2 : 1;
    const int64_t first = (image * m->h + 2 * ty) * m->w;

    for (int64_t tx = 0; 2 * tx < m->w; tx++)
        for (int64_t j = 0; j < width; j += LANES) {
            const float *at = p + (t + tx) * width + j;
            vec s[4][2], z[2][2];

#pragma GCC unroll 4
            for (int q = 0; q < 4; q++) {
                const vec p0 = load_float(at + q * plane), p1 = load_float(at + (4 + q) * plane);
                const vec p2 = load_float(at + (8 + q) * plane);
                const vec p3 = load_float(at + (12 + q) * plane);

                s[q][0] = p0 + p1 + p2;
                s[q][1] = p1 - p2 - p3;
            }
#pragma GCC unroll 2
            for (int i = 0; i < 2; i++) {
                z[i][0] = s[0][i] + s[1][i] + s[2][i];
                z[i][1] = s[1][i] - s[2][i] - s[3][i];
            }
            for (int64_t i = 0; i < rows; i++) {
                const int64_t pixel = first + i * m->w + 2 * tx;

                store(y, bf16, pixel * m->k + k + j, z[i][0]);
                if (2 * tx + 1 < m->w)
                    store(y, bf16, (pixel + 1) * m->k + k + j, z[i][1]);
            }
        }
}

/* ---- products ---- */

/* Rows of a product held in registers at a time, beside nv vectors of columns. */
#if LANES == 16
enum { BLOCK = 8 };
#else
enum { BLOCK = 4 };
#endif

/*
 * acc[i][j] += a[i] b[j] over `depth`: one float, or one pair of bfloat16, of each.  a advances by
 * a_step bytes in depth and a_next from row to row; b by b_step in depth.
 */
SFTN_INLINE void multiply(bool bf16, int nv, vec acc[BLOCK][2], int64_t depth, const char *a,
                          int64_t a_step, int64_t a_next, const char *b, int64_t b_step)
{
    for (int64_t d = 0; d < depth; d++, a += a_step, b += b_step) {
        vec column[2];

#pragma GCC unroll 2
        for (int j = 0; j < nv; j++)
            memcpy(&column[j], b + j * (int)sizeof(vec), sizeof(vec));
#pragma GCC unroll 8
        for (int i = 0; i < BLOCK; i++) {
#ifdef __AVX512BF16__
            if (bf16) {
                int pair;

                memcpy(&pair, a + i * a_next, sizeof pair);
#pragma GCC unroll 2
                for (int j = 0; j < nv; j++)
                    acc[i][j] = (vec)_mm512_dpbf16_ps((__m512)acc[i][j],
                                                      (__m512bh)_mm512_set1_epi32(pair),
                                                      (__m512bh)column[j]);
                continue;
            }
#endif
            (void)bf16;
            float x;

            memcpy(&x, a + i * a_next, sizeof x);
#pragma GCC unroll 2
            for (int j = 0; j < nv; j++)
                acc[i][j] += broadcast(x) * column[j];
        }
    }
}

/* p [tiles, width] = v [tiles, c] u [c, width] */
SFTN_INLINE void conv_product(const sftn_winograd *m, bool bf16, int nv, const void *v,
                              const void *u, float *p)
{
    const int64_t tiles = sftn_winograd_tiles(m), width = nv * LANES, size = bf16 ? 2 : 4;
    const int64_t depth = bf16 ? m->c / 2 : m->c;

    for (int64_t t = 0; t < tiles; t += BLOCK) {
        vec acc[BLOCK][2] = {{{0}}};

        multiply(bf16, nv, acc, depth, (const char *)v + t * m->c * size, 4, m->c * size, u,
                 width * 4);
#pragma GCC unroll 8
        for (int i = 0; i < BLOCK; i++)
#pragma GCC unroll 2
            for (int j = 0; j < nv; j++)
                store_float(p + (t + i) * width + j * LANES, acc[i][j]);
    }
}

/* sums [k, c] += d [k, tiles] v [tiles, c] for channels c .. c + nv LANES - 1 */
SFTN_INLINE void weight_product(const sftn_winograd *m, bool bf16, int nv, const void *v,
                                const void *d, int64_t c, float *sums)
{
    const int64_t tiles = sftn_winograd_tiles(m), depth = bf16 ? tiles / 2 : tiles;

    for (int64_t k = 0; k < m->k; k += BLOCK) {
        vec acc[BLOCK][2] = {{{0}}};

#pragma GCC unroll 8
        for (int i = 0; i < BLOCK; i++)
#pragma GCC unroll 2
            for (int j = 0; j < nv; j++)
                acc[i][j] = load_float(sums + (k + i) * m->c + c + j * LANES);
        multiply(bf16, nv, acc, depth, (const char *)d + k * 4, m->k * 4, 4,
                 (const char *)v + c * 4, m->c * 4);
#pragma GCC unroll 8
        for (int i = 0; i < BLOCK; i++)
#pragma GCC unroll 2
            for (int j = 0; j < nv; j++)
                store_float(sums + (k + i) * m->c + c + j * LANES, acc[i][j]);
    }
}

/* ---- convolutions ---- */

SFTN_INLINE void conv(const sftn_winograd *m, bool bf16, const void *x, const void *u, void *y,
                      int64_t first, int64_t last, void *workspace)
{
    const int64_t tiles = sftn_winograd_tiles(m), size = bf16 ? 2 : 4;
    const int64_t vplane = sftn_winograd_plane(m, tiles * m->c), pplane = tiles * CHUNK + 16;
    char *const v = (char *)workspace + sftn_winograd_zeros(m);
    float *const p = (void *)(v + POINTS * vplane * size);

    memset(workspace, 0, (size_t)(v - (char *)workspace));
    for (int64_t r0 = first; r0 < last; r0 += m->rows) {
        const int64_t r1 = r0 + m->rows < last ? r0 + m->rows : last;

        for (int64_t r = r0; r < r1; r++) {
            const tile_row row =
                find_row(m, x, m->c, r, (r - r0) * m->tiles_w, -1, 4, workspace);

            input_tiles(m, bf16, false, &row, v, vplane);
        }
        for (int64_t k = 0; k < m->k; k += CHUNK) {
            const int64_t width = m->k - k < CHUNK ? m->k - k : CHUNK;
            const char *uk = (const char *)u + POINTS * k * m->c * size;

            for (int64_t q = 0; q < POINTS; q++, uk += width * m->c * size) {
                const char *vq = v + q * vplane * size;

                if (width == CHUNK)
                    conv_product(m, bf16, 2, vq, uk, p + q * pplane);
                else
                    conv_product(m, bf16, 1, vq, uk, p + q * pplane);
            }
            for (int64_t r = r0; r < r1; r++)
                output_tiles(m, bf16, r, (r - r0) * m->tiles_w, p, pplane, width, k, y);
        }
    }
}

static void winograd_conv(const sftn_winograd *m, const void *x, const void *u, void *y,
                          int64_t first, int64_t last, void *workspace)
{
    if (m->bf16)
        conv(m, true, x, u, y, first, last, workspace);
    else
        conv(m, false, x, u, y, first, last, workspace);
}

/* Tiles past the last row's are zeros, and so is what they add. */
static void clear_tiles(char *planes, int64_t from, int64_t tiles, int64_t width, int64_t plane,
                        int64_t size)
{
    for (int64_t q = 0; q < POINTS && from < tiles; q++)
        memset(planes + (q * plane + from * width) * size, 0,
               (size_t)((tiles - from) * width * size));
}

SFTN_INLINE void weight_sums(const sftn_winograd *m, bool bf16, const void *x, const void *gy,
                             int64_t first, int64_t last, float *sums, void *workspace)
{
    const int64_t tiles = sftn_winograd_tiles(m), size = bf16 ? 2 : 4;
    const int64_t vplane = sftn_winograd_plane(m, tiles * m->c);
    const int64_t dplane = sftn_winograd_plane(m, tiles * m->k);
    char *const v = (char *)workspace + sftn_winograd_zeros(m);
    char *const d = v + POINTS * vplane * size;

    memset(sums, 0, sftn_winograd_sums(m) * sizeof *sums);
    memset(workspace, 0, (size_t)(v - (char *)workspace));
    for (int64_t r0 = first; r0 < last; r0 += m->rows) {
        const int64_t r1 = r0 + m->rows < last ? r0 + m->rows : last;

        for (int64_t r = r0; r < r1; r++) {
            const int64_t t = (r - r0) * m->tiles_w;
            const tile_row in = find_row(m, x, m->c, r, t, -1, 4, workspace);
            const tile_row grad = find_row(m, gy, m->k, r, t, 0, 2, workspace);

            input_tiles(m, bf16, true, &in, v, vplane);
            grad_tiles(m, bf16, &grad, d, dplane);
        }
        clear_tiles(v, (r1 - r0) * m->tiles_w, tiles, m->c, vplane, size);
        clear_tiles(d, (r1 - r0) * m->tiles_w, tiles, m->k, dplane, size);
        for (int64_t q = 0; q < POINTS; q++) {
            const char *vq = v + q * vplane * size, *dq = d + q * dplane * size;
            int64_t c = 0;

            for (; c + CHUNK <= m->c; c += CHUNK)
                weight_product(m, bf16, 2, vq, dq, c, sums + q * m->c * m->k);
            if (c < m->c)
                weight_product(m, bf16, 1, vq, dq, c, sums + q * m->c * m->k);
        }
    }
}

static void winograd_weight_sums(const sftn_winograd *m, const void *x, const void *gy,
                                 int64_t first, int64_t last, float *sums, void *workspace)
{
    if (m->bf16)
        weight_sums(m, true, x, gy, first, last, sums, workspace);
    else
        weight_sums(m, false, x, gy, first, last, sums, workspace);
}

/* ---- transforms of weights ---- */

/* u = G w G' for input channel c and channels k .. of y. */
SFTN_INLINE void weight_tile(const sftn_winograd *m, const float *weight, bool turned, int64_t c,
                             int64_t k, vec u[POINTS])
{
    vec w[9], e[4][3];
    const vec half = broadcast(0.5f);

    for (int64_t lane = 0; lane < LANES; lane++) {
        const float *from = weight + (turned ? c * m->k + k + lane : (k + lane) * m->c + c) * 9;

        for (int j = 0; j < 9; j++)
            w[j][lane] = from[turned ? 8 - j : j];
    }
    for (int j = 0; j < 3; j++) {
        const vec ends = half * (w[j] + w[6 + j]), middle = half * w[3 + j];

        e[0][j] = w[j];
        e[1][j] = ends + middle;
        e[2][j] = ends - middle;
        e[3][j] = w[6 + j];
    }
    for (int i = 0; i < 4; i++) {
        const vec ends = half * (e[i][0] + e[i][2]), middle = half * e[i][1];

        u[4 * i] = e[i][0];
        u[4 * i + 1] = ends + middle;
        u[4 * i + 2] = ends - middle;
        u[4 * i + 3] = e[i][2];
    }
}

/* Chunks of channels of y lie one after the other, each [positions, c, channels]. */
static void winograd_weights(const sftn_winograd *m, const float *weight, bool turned, void *u,
                             int64_t first, int64_t last)
{
    const int64_t size = m->bf16 ? 2 : 4;

    for (int64_t k = first; k < last; k += LANES) {
        const int64_t chunk = k / CHUNK * CHUNK;
        const int64_t width = m->k - chunk < CHUNK ? m->k - chunk : CHUNK;
        const int64_t column = (k - chunk) * (m->bf16 ? 2 : 1);
        char *const at = (char *)u + (POINTS * chunk * m->c + column) * size;

        for (int64_t c = 0; c < m->c; c += 2) {
            vec a[POINTS], b[POINTS];

            weight_tile(m, weight, turned, c, k, a);
            weight_tile(m, weight, turned, c + 1, k, b);
            for (int64_t q = 0; q < POINTS; q++) {
                char *const to = at + (q * m->c + c) * width * size;

#ifdef __AVX512BF16__
                if (m->bf16) {
                    _mm512_storeu_si512(to, interleave(a[q], b[q]));
                    continue;
                }
#endif
                store_float((float *)(void *)to, a[q]);
                store_float((float *)(void *)to + width, b[q]);
            }
        }
    }
}

static void winograd_weight_grad(const sftn_winograd *m, const float *sums, int parts, float *gw,
                                 int64_t first, int64_t last)
{
    const int64_t part = (int64_t)sftn_winograd_sums(m), plane = m->c * m->k;
    const vec half = broadcast(0.5f);

    for (int64_t k = first; k < last; k++)
        for (int64_t c = 0; c < m->c; c += LANES) {
            const float *from = sums + k * m->c + c;
            float *to = gw + (k * m->c + c) * 9;
            vec s[POINTS], e[3][4], w[9];

            for (int64_t q = 0; q < POINTS; q++) {
                s[q] = load_float(from + q * plane);
                for (int p = 1; p < parts; p++)
                    s[q] += load_float(from + p * part + q * plane);
            }
            for (int j = 0; j < 4; j++) {
                const vec sum = half * (s[4 + j] + s[8 + j]);

                e[0][j] = s[j] + sum;
                e[1][j] = half * (s[4 + j] - s[8 + j]);
                e[2][j] = sum + s[12 + j];
            }
            for (int i = 0; i < 3; i++) {
                const vec sum = half * (e[i][1] + e[i][2]);

                w[3 * i] = e[i][0] + sum;
                w[3 * i + 1] = half * (e[i][1] - e[i][2]);
                w[3 * i + 2] = sum + e[i][3];
            }
            for (int lane = 0; lane < LANES; lane++)
                for (int j = 0; j < 9; j++)
                    to[9 * lane + j] = w[j][lane];
        }
}

const sftn_winograd_kernels K(winograd) = {
    .f32 = true,
#ifdef __AVX512BF16__
    .bf16 = true,
#endif
    .weights = winograd_weights,
    .conv = winograd_conv,
    .weight_sums = winograd_weight_sums,
    .weight_grad = winograd_weight_grad,
};
#else
const sftn_winograd_kernels K(winograd) = {.f32 = false};
#endif
