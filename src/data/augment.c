/*
 * augment: random crop of the zero-padded image, mirroring, turning and normalization, written
 * straight into a batch in the plan's element type and layout.
 *
 * As in the common CIFAR recipe, padding happens on the bytes: a padded pixel is black, which
 * normalization turns into -mean / std, not into 0.
 */
#include "base/base.h"
#include "data/augment.h"

#include <string.h>

uint16_t sftn_bf16_round(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

void sftn_writer_init(sftn_writer *w, const sftn_dataset_info *info, sftn_dtype dtype,
                      sftn_layout layout)
{
    memset(w, 0, sizeof(*w));
    w->channels = info->channels;
    w->height = info->height;
    w->width = info->width;
    w->dtype = dtype;
    w->layout = layout;
    for (int c = 0; c < info->channels; c++) {
        for (int p = 0; p < 256; p++) {
            const double x = (p / 255.0 - (double)info->mean[c]) / (double)info->std[c];

            w->f64[c][p] = x;
            w->f32[c][p] = (float)x;
            w->bf16[c][p] = sftn_bf16_round((float)x);
        }
    }
}

size_t sftn_writer_bytes(const sftn_writer *w)
{
    const size_t element = w->dtype == SFTN_F64 ? 8 : w->dtype == SFTN_F32 ? 4 : 2;

    return element * (size_t)w->channels * (size_t)w->height * (size_t)w->width;
}

/* word * n / 2^32, which is 0..n-1; for the few offsets there are, as good as unbiased. */
static int pick(uint32_t word, int n)
{
    return (int)((uint64_t)word * (uint64_t)n >> 32);
}

/* Epochs take the low half of the counter, views the high one. */
static sftn_random4 draw(const sftn_variation *v, int64_t epoch, int64_t record, int view)
{
    return sftn_philox(v->seed, SFTN_RNG_AUGMENT, (uint64_t)epoch | (uint64_t)view << 32,
                       (uint64_t)record);
}

sftn_view sftn_augment_view(const sftn_variation *v, int64_t epoch, int64_t record, int view)
{
    const sftn_augment *a = &v->augment;
    const sftn_random4 r = draw(v, epoch, record, view);
    const sftn_random4 mirror = v->views.turned ? draw(v, epoch, record, 0) : r;

    return (sftn_view){
        .dy    = pick(r.v[0], 2 * a->pad + 1) - a->pad,
        .dx    = pick(r.v[1], 2 * a->pad + 1) - a->pad,
        .flip  = a->flip && mirror.v[2] >> 31,
        .turns = v->views.turned ? view % 4 : 0,
    };
}

/*
 * One row of one channel, `stride` elements from one pixel to the next.  Columns [from, to) are
 * src[0], src[1], ...; those outside are zero bytes.
 */
#define DEFINE_ROW(name, type)                                                                    \
    static void name(const type table[256], const uint8_t *src, int from, int to, int width,      \
                     ptrdiff_t stride, type *dst)                                                 \
    {                                                                                             \
        const type zero = table[0];                                                               \
                                                                                                  \
        for (int x = 0; x < from; x++)                                                            \
            dst[x * stride] = zero;                                                               \
        for (int x = from; x < to; x++)                                                           \
            dst[x * stride] = table[src[x - from]];                                               \
        for (int x = to; x < width; x++)                                                          \
            dst[x * stride] = zero;                                                               \
    }
DEFINE_ROW(row_f64, double)
DEFINE_ROW(row_f32, float)
DEFINE_ROW(row_bf16, uint16_t)

static int clamp_int(int x, int low, int high)
{
    return x < low ? low : x > high ? high : x;
}

/* Where pixel (y, x) of the cropped image goes: element origin + y * down + x * right. */
typedef struct placing {
    ptrdiff_t origin, down, right;
} placing;

static placing place(const sftn_writer *w, sftn_view v)
{
    const ptrdiff_t pixel = w->layout == SFTN_NHWC ? w->channels : 1;
    const ptrdiff_t row = w->width * pixel, last = w->width - 1, bottom = w->height - 1;
    const placing by_turns[] = {
        {0, row, pixel},
        {last * row, pixel, -row},
        {bottom * row + last * pixel, -row, -pixel},
        {last * pixel, -pixel, row},
    };
    placing p = by_turns[v.turns];

    if (v.flip) {
        p.origin += last * p.right;
        p.right = -p.right;
    }
    return p;
}

void sftn_writer_image(const sftn_writer *w, const uint8_t *image, sftn_view v, void *dst)
{
    const ptrdiff_t channel = w->layout == SFTN_NHWC ? 1 : (ptrdiff_t)w->height * w->width;
    const int from = clamp_int(-v.dx, 0, w->width), to = clamp_int(w->width - v.dx, 0, w->width);
    const placing to_batch = place(w, v);
    const ptrdiff_t stride = to_batch.right;

    for (int y = 0; y < w->height; y++) {
        const bool inside = y + v.dy >= 0 && y + v.dy < w->height;
        const ptrdiff_t start = to_batch.origin + y * to_batch.down;

        for (int c = 0; c < w->channels; c++) {
            const ptrdiff_t plane = (ptrdiff_t)c * w->height;
            const int last = inside ? to : from;
            const uint8_t *src =
                image + (last > from ? (plane + y + v.dy) * w->width + from + v.dx : 0);
            const ptrdiff_t at = start + c * channel;

            if (w->dtype == SFTN_BF16)
                row_bf16(w->bf16[c], src, from, last, w->width, stride, (uint16_t *)dst + at);
            else if (w->dtype == SFTN_F32)
                row_f32(w->f32[c], src, from, last, w->width, stride, (float *)dst + at);
            else
                row_f64(w->f64[c], src, from, last, w->width, stride, (double *)dst + at);
        }
    }
}
