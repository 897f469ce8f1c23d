/* threads: the one parallel loop of this backend's kernels. */
#include "backend/cpu/cpu.h"

#include "base/base.h"

/* Below this many elements the work is done sooner than another thread has noticed it. */
enum { PARALLEL_MIN = 16384 };

typedef struct loop {
    int64_t count, unit;
    int parts;
    sftn_cpu_body *body;
    void *ctx;
} loop;

/* Start of part i. */
static int64_t start(const loop *l, int64_t i)
{
    const int64_t units = (l->count + l->unit - 1) / l->unit, at = units * i / l->parts * l->unit;

    return at < l->count ? at : l->count;
}

static void run_part(void *ctx, int64_t part)
{
    const loop *l = ctx;
    const int64_t first = start(l, part), last = start(l, part + 1);

    if (first < last)
        l->body(l->ctx, first, last, (int)part);
}

void sftn_cpu_parallel(int threads, int64_t count, int64_t unit, int64_t work, sftn_cpu_body *body,
                       void *ctx)
{
    loop l = {.count = count, .unit = unit, .parts = threads, .body = body, .ctx = ctx};

    if (threads == 1 || work < PARALLEL_MIN || count <= unit)
        body(ctx, 0, count, 0);
    else
        sftn_parallel(threads, threads, run_part, &l);
}
