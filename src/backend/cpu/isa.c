/*
 * isa: which build of the inner loops this machine runs.
 *
 * SFTN_ISA=generic, avx2, avx512 or avx512_bf16 in the environment sets an upper bound, for tests
 * and for reproducing another machine's bits; oneDNN's own bound is ONEDNN_MAX_CPU_ISA.
 */
#include "backend/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

extern const sftn_cpu_kernels sftn_cpu_kernels_generic;

#if defined(__x86_64__)
extern const sftn_cpu_kernels sftn_cpu_kernels_avx2, sftn_cpu_kernels_avx512;
extern const sftn_cpu_kernels sftn_cpu_kernels_avx512_bf16;

static bool allowed(const char *limit, int level)
{
    static const char *const names[] = {"generic", "avx2", "avx512", "avx512_bf16"};

    for (int i = 0; limit != NULL && i < (int)SFTN_COUNT(names); i++)
        if (strcmp(limit, names[i]) == 0)
            return level <= i;
    return true;
}

const sftn_cpu_kernels *sftn_cpu_kernels_here(void)
{
    const char *limit = getenv("SFTN_ISA");

    __builtin_cpu_init();
    if (allowed(limit, 2) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return allowed(limit, 3) && __builtin_cpu_supports("avx512bf16")
                   ? &sftn_cpu_kernels_avx512_bf16
                   : &sftn_cpu_kernels_avx512;
    if (allowed(limit, 1) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &sftn_cpu_kernels_avx2;
    return &sftn_cpu_kernels_generic;
}
#else
const sftn_cpu_kernels *sftn_cpu_kernels_here(void)
{
    return &sftn_cpu_kernels_generic;
}
#endif
