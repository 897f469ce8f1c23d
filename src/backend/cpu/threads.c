/* threads: how many threads kernels use, and the one parallel loop of this backend's kernels. */
#include "backend/cpu/cpu.h"

#include <omp.h>
#include <stdatomic.h>

/* Below this many elements the work is done sooner than the threads are woken. */
enum { PARALLEL_MIN = 16384 };

/* Read when a plan is compiled; 0: as many as the machine has. */
static atomic_int chosen_threads;

void sftn_set_threads(int n)
{
    atomic_store(&chosen_threads, n > 0 ? n : 0);
}

int sftn_get_threads(void)
{
    const int n = atomic_load(&chosen_threads);

    return n > 0 ? n : omp_get_num_procs();
}

/* Start of part i of n. */
static int64_t part(int64_t count, int64_t unit, int i, int n)
{
    const int64_t units = (count + unit - 1) / unit, at = units * i / n * unit;

    return at < count ? at : count;
}

void sftn_cpu_parallel(int threads, int64_t count, int64_t unit, int64_t work, sftn_cpu_body *body,
                       void *ctx)
{
    if (threads == 1 || work < PARALLEL_MIN || count <= unit) {
        body(ctx, 0, count, 0);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        const int64_t first = part(count, unit, t, threads);
        const int64_t last = part(count, unit, t + 1, threads);

        if (first < last)
            body(ctx, first, last, t);
    }
}
