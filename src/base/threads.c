/* threads: the number that was asked for. */
#include "sftn/plan.h"

#include "base/base.h"

#include <stdatomic.h>

/* 0: as many as there are cores. */
static atomic_int chosen;

void sftn_set_threads(int n)
{
    atomic_store(&chosen, n > 0 ? n : 0);
}

int sftn_get_threads(void)
{
    const int n = atomic_load(&chosen);

    return n > 0 ? n : sftn_cores();
}
