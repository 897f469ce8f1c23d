/*
 * shapes: a procedural data set of 24 classes, six shapes in four patterns, 32x32 RGB.
 *
 * A picture shows one large figure of its class at a random place, size, stretch and rotation, in
 * random colours, over a shaded and rippled background with small plain figures strewn about,
 * often crossed by a bar, under noise.  Neither colour nor any single spot tells the class: outline
 * and pattern must both be recognized through the clutter.
 *
 * Record i of a part is drawn from random numbers keyed by (seed, part, i) and has label i mod 24,
 * so any first records are balanced and the same whatever the limit.
 */
#include "base/base.h"
#include "data/dataset.h"
#include "sftn/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 32,
    PLANE = SIDE * SIDE,
    TRAIN_RECORDS = 12000,
    TEST_RECORDS = 2400,
    TOGETHER = 64, /* records that a thread draws at a time */
};

typedef enum outline { DISC, SQUARE, TRIANGLE, STAR, CROSS, RING, OUTLINES } outline;
typedef enum pattern { PLAIN, STRIPED, CHECKED, DOTTED, PATTERNS } pattern;

static const char class_names[] =
    "plain disc\nstriped disc\nchecked disc\ndotted disc\n"
    "plain square\nstriped square\nchecked square\ndotted square\n"
    "plain triangle\nstriped triangle\nchecked triangle\ndotted triangle\n"
    "plain star\nstriped star\nchecked star\ndotted star\n"
    "plain cross\nstriped cross\nchecked cross\ndotted cross\n"
    "plain ring\nstriped ring\nchecked ring\ndotted ring\n";

#define TWO_PI 6.28318531f

typedef struct colour {
    float c[3];
} colour;

typedef struct canvas {
    float pixel[PLANE][3]; /* in [0,1], before noise and rounding */
} canvas;

/* A figure: where it is, how pixels map to its own upright coordinates, and what fills it. */
typedef struct figure {
    outline outline;
    pattern pattern;
    float x, y, radius;
    float along[2], across[2]; /* own coordinates: dot products with the offset from (x, y) */
    float turn[2];             /* cosine and sine of the pattern's angle in own coordinates */
    float period, phase[2];    /* of the pattern, in pixels */
    colour fill, mark;
} figure;

static float uniform(sftn_rng *rng, float low, float high)
{
    return low + (high - low) * (float)(sftn_rng_u32(rng) >> 8) * 0x1p-24f;
}

static float clamp01(float x)
{
    return x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x;
}

/* ---- colours ---- */

static colour random_colour(sftn_rng *rng)
{
    return (colour){{uniform(rng, 0.0f, 1.0f), uniform(rng, 0.0f, 1.0f), uniform(rng, 0.0f, 1.0f)}};
}

static float colour_distance(colour a, colour b)
{
    const float r = a.c[0] - b.c[0], g = a.c[1] - b.c[1], s = a.c[2] - b.c[2];

    return sqrtf(r * r + g * g + s * s);
}

/* A colour at least `apart` from each of two others; the last of some tries where there is none. */
static colour colour_unlike(sftn_rng *rng, colour a, colour b, float apart)
{
    colour c = random_colour(rng);

    for (int i = 0; i < 30; i++) {
        if (colour_distance(c, a) >= apart && colour_distance(c, b) >= apart)
            break;
        c = random_colour(rng);
    }
    return c;
}

static void blend(float pixel[3], colour over, float alpha)
{
    for (int k = 0; k < 3; k++)
        pixel[k] += alpha * (over.c[k] - pixel[k]);
}

/* ---- geometry ---- */

/* Five points: the sector between a tip and the notch beside it, mirrored and turned. */
static float star_distance(float x, float y, float r)
{
    const float sector = TWO_PI / 5.0f, half = sector / 2.0f, notch = 0.42f * r;
    const float angle = atan2f(y, x) + TWO_PI, length = sqrtf(x * x + y * y);
    const float a = fabsf(fmodf(angle, sector) - half); /* 0 at a notch, half at a tip */
    const float px = length * cosf(half - a), py = length * sinf(half - a);
    const float ex = notch * cosf(half) - r, ey = notch * sinf(half);

    return (ey * (px - r) - ex * py) / sqrtf(ex * ex + ey * ey);
}

/* Distance of (x, y) from the outline of radius r around the origin, negative inside. */
static float outline_distance(outline o, float x, float y, float r)
{
    const float ax = fabsf(x), ay = fabsf(y);

    switch (o) {
    case DISC:
        return sqrtf(x * x + y * y) - 0.9f * r;
    case SQUARE:
        return fmaxf(ax, ay) - 0.78f * r;
    case TRIANGLE:
        return fmaxf(y, 0.8660254f * ax - 0.5f * y) - 0.55f * r;
    case STAR:
        return star_distance(x, y, 1.1f * r);
    case CROSS:
        return fmaxf(fminf(ax, ay) - 0.32f * r, fmaxf(ax, ay) - r);
    default:
        return fabsf(sqrtf(x * x + y * y) - 0.7f * r) - 0.29f * r;
    }
}

/* How much of the marking colour the pattern has at own coordinates (x, y): 0 or 1 but at edges. */
static float pattern_at(const figure *f, float x, float y)
{
    const float u = f->turn[0] * x + f->turn[1] * y + f->phase[0];
    const float v = f->turn[0] * y - f->turn[1] * x + f->phase[1];
    const float p = f->period;

    switch (f->pattern) {
    case STRIPED:
        return clamp01(0.5f + sinf(TWO_PI * u / p) * p / TWO_PI);
    case CHECKED:
        return clamp01(0.5f + sinf(TWO_PI * u / p) * sinf(TWO_PI * v / p) * p / 2.0f);
    case DOTTED: {
        const float du = u - p * roundf(u / p), dv = v - p * roundf(v / p);

        return clamp01(0.5f + 0.32f * p - sqrtf(du * du + dv * dv));
    }
    default:
        return 0.0f;
    }
}

/* Draw f over what is there. */
static void draw_figure(canvas *out, const figure *f)
{
    const float reach = 1.5f * f->radius + 1.0f;
    const int y0 = (int)fmaxf(0.0f, f->y - reach), y1 = (int)fminf(SIDE - 1.0f, f->y + reach);
    const int x0 = (int)fmaxf(0.0f, f->x - reach), x1 = (int)fminf(SIDE - 1.0f, f->x + reach);

    for (int y = y0; y <= y1; y++) {
        for (int x = x0; x <= x1; x++) {
            const float dx = (float)x - f->x, dy = (float)y - f->y;
            const float u = f->along[0] * dx + f->along[1] * dy;
            const float v = f->across[0] * dx + f->across[1] * dy;
            const float inside = clamp01(0.5f - outline_distance(f->outline, u, v, f->radius));
            colour c = f->fill;

            if (inside <= 0.0f)
                continue;
            blend(c.c, f->mark, pattern_at(f, u, v));
            blend(out->pixel[y * SIDE + x], c, inside);
        }
    }
}

/* Rotated at random, and stretched by up to `stretch` along one of its axes. */
static void place_figure(figure *f, sftn_rng *rng, float stretch)
{
    const float angle = uniform(rng, 0.0f, TWO_PI);
    const float s = expf(uniform(rng, -stretch, stretch));

    f->along[0] = cosf(angle) * s;
    f->along[1] = sinf(angle) * s;
    f->across[0] = -sinf(angle) / s;
    f->across[1] = cosf(angle) / s;
}

/* ---- the scene ---- */

/* Shading from one colour to a nearby one, and a faint ripple. */
static colour draw_background(canvas *out, sftn_rng *rng)
{
    const colour base = random_colour(rng);
    const float angle = uniform(rng, 0.0f, TWO_PI), ripple = uniform(rng, 0.0f, TWO_PI);
    const float gx = cosf(angle) / SIDE, gy = sinf(angle) / SIDE;
    const float wave = TWO_PI / uniform(rng, 4.0f, 14.0f), depth = uniform(rng, 0.0f, 0.08f);
    const float wx = wave * cosf(ripple), wy = wave * sinf(ripple);
    colour slope;

    for (int k = 0; k < 3; k++)
        slope.c[k] = uniform(rng, -0.3f, 0.3f);
    for (int i = 0; i < PLANE; i++) {
        const float x = (float)(i % SIDE) - SIDE / 2.0f, y = (float)(i / SIDE) - SIDE / 2.0f;
        const float shade = gx * x + gy * y, light = depth * sinf(wx * x + wy * y);

        for (int k = 0; k < 3; k++)
            out->pixel[i][k] = base.c[k] + slope.c[k] * shade + light;
    }
    return base;
}

/* Small plain figures of any outline, which have nothing to do with the class. */
static void draw_strewn(canvas *out, sftn_rng *rng)
{
    const int n = 1 + (int)sftn_rng_below(rng, 3);

    for (int i = 0; i < n; i++) {
        figure f = {.outline = (outline)sftn_rng_below(rng, OUTLINES),
                    .radius  = uniform(rng, 2.0f, 4.0f),
                    .x       = uniform(rng, 0.0f, SIDE - 1.0f),
                    .y       = uniform(rng, 0.0f, SIDE - 1.0f),
                    .fill    = random_colour(rng)};

        place_figure(&f, rng, 0.3f);
        draw_figure(out, &f);
    }
}

static void draw_subject(canvas *out, sftn_rng *rng, int label, colour background)
{
    const float angle = uniform(rng, 0.0f, TWO_PI);
    figure f = {.outline = (outline)(label / PATTERNS),
                .pattern = (pattern)(label % PATTERNS),
                .radius  = uniform(rng, 9.0f, 13.0f),
                .x       = uniform(rng, 11.0f, 20.0f),
                .y       = uniform(rng, 11.0f, 20.0f),
                .turn    = {cosf(angle), sinf(angle)},
                .period  = uniform(rng, 5.0f, 7.0f)};

    f.phase[0] = uniform(rng, 0.0f, f.period);
    f.phase[1] = uniform(rng, 0.0f, f.period);
    f.fill = colour_unlike(rng, background, background, 0.45f);
    f.mark = colour_unlike(rng, f.fill, background, 0.5f);
    place_figure(&f, rng, 0.18f);
    draw_figure(out, &f);
}

/* A bar of one colour across every other picture. */
static void draw_bar(canvas *out, sftn_rng *rng)
{
    const float angle = uniform(rng, 0.0f, TWO_PI), offset = uniform(rng, -11.0f, 11.0f);
    const float nx = cosf(angle), ny = sinf(angle), half = uniform(rng, 0.8f, 2.0f);
    const colour c = random_colour(rng);

    if (sftn_rng_below(rng, 2) == 0)
        return;
    for (int i = 0; i < PLANE; i++) {
        const float x = (float)(i % SIDE) - SIDE / 2.0f, y = (float)(i / SIDE) - SIDE / 2.0f;

        blend(out->pixel[i], c, clamp01(0.5f + half - fabsf(nx * x + ny * y - offset)));
    }
}

/* Sum of a word's four bytes, centred and scaled: variance 1, close to normal. */
static float bell(uint32_t word)
{
    const uint32_t sum = (word & 255u) + (word >> 8 & 255u) + (word >> 16 & 255u) + (word >> 24);

    return ((float)sum - 510.0f) / 147.8f; /* sqrt(4 (256^2 - 1) / 12) */
}

static void add_noise(const canvas *in, sftn_rng *rng, uint8_t *pixels)
{
    const float sigma = uniform(rng, 0.01f, 0.06f);

    for (int k = 0; k < 3; k++)
        for (int i = 0; i < PLANE; i++) {
            const float x = in->pixel[i][k] + sigma * bell(sftn_rng_u32(rng));

            pixels[k * PLANE + i] = (uint8_t)(255.0f * clamp01(x) + 0.5f);
        }
}

static void draw_record(uint64_t seed, int part, int64_t i, int label, uint8_t *pixels)
{
    sftn_rng rng = sftn_rng_new(seed, SFTN_RNG_SHAPES, (uint64_t)part << 32 | (uint64_t)i);
    canvas out;
    const colour background = draw_background(&out, &rng);

    draw_strewn(&out, &rng);
    draw_subject(&out, &rng, label, background);
    draw_bar(&out, &rng);
    add_noise(&out, &rng, pixels);
}

typedef struct drawing {
    const sftn_source *source;
    uint64_t seed;
    int part;
    sftn_records *records;
} drawing;

static void draw_some(void *ctx, int64_t some)
{
    const drawing *d = ctx;
    const sftn_records *r = d->records;
    const int64_t last = (some + 1) * TOGETHER < r->count ? (some + 1) * TOGETHER : r->count;

    for (int64_t i = some * TOGETHER; i < last; i++) {
        r->labels[i] = (int32_t)(i % d->source->classes);
        draw_record(d->seed, d->part, i, r->labels[i], r->pixels + i * 3 * PLANE);
    }
}

static sftn_status draw_shapes(const sftn_source *s, uint64_t seed, int64_t limit,
                               sftn_images *images, sftn_error *err)
{
    const int64_t train = limit > 0 && limit < TRAIN_RECORDS ? limit : TRAIN_RECORDS;
    const int64_t count[SFTN_PARTS] = {train, TEST_RECORDS};

    for (int p = 0; p < SFTN_PARTS; p++) {
        drawing d = {s, seed, p, &images->part[p]};
        const sftn_status status = sftn_images_alloc(images, p, count[p], err);

        if (status != SFTN_OK)
            return status;
        sftn_parallel(sftn_get_threads(), (count[p] + TOGETHER - 1) / TOGETHER, draw_some, &d);
    }
    images->class_names = sftn_strdup(class_names);
    return images->class_names ? SFTN_OK : sftn_fail(err, SFTN_ERR_MEMORY, "shapes: out of memory");
}

/* mean and std: of the train records for seed 0, to four digits. */
const sftn_source sftn_source_shapes = {
    .name     = "shapes",
    .summary  = "built in: 14,400 drawn figures of 24 classes (outline and pattern), 32x32 RGB",
    .classes  = OUTLINES * PATTERNS,
    .channels = 3,
    .height   = SIDE,
    .width    = SIDE,
    .mean     = {0.5014f, 0.4944f, 0.5002f},
    .std      = {0.2848f, 0.2846f, 0.2864f},
    .draw     = draw_shapes,
};
