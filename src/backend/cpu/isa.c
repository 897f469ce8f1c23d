/*
 * isa: which build of the inner loops this machine runs.
 *
 * SFTN_ISA in the environment sets an upper bound, for tests and for reproducing another machine's
 * bits.  It binds our own loops, among them those that measure the peak; oneDNN's products are
 * bound by ONEDNN_MAX_CPU_ISA alone.
 */
#include "backend/cpu/amx.h"
#include "backend/cpu/dnnl_common.h"

#include <stdlib.h>
#include <string.h>

enum { GENERIC, AVX2, AVX512, AVX512_BF16, AMX_BF16, LEVELS };

static const char *const level_name[LEVELS] = {"generic", "avx2", "avx512", "avx512_bf16",
                                               "amx_bf16"};

/* -1: not one of the names. */
static int limit_of(const char *name)
{
    for (int i = 0; name != NULL && i < LEVELS; i++)
        if (strcmp(name, level_name[i]) == 0)
            return i;
    return name == NULL || name[0] == '\0' ? AMX_BF16 : -1;
}

sftn_status sftn_cpu_check_isa(sftn_error *err)
{
    const char *name = getenv("SFTN_ISA");

    if (limit_of(name) >= 0)
        return SFTN_OK;
    return sftn_fail(err, SFTN_ERR_ARGUMENT,
                     "environment variable SFTN_ISA is '%s': generic, avx2, avx512, avx512_bf16 "
                     "or amx_bf16 expected",
                     name);
}

bool sftn_cpu_tiles_here(void)
{
    return SFTN_HAVE_AMX && limit_of(getenv("SFTN_ISA")) >= AMX_BF16 && sftn_dnnl_has_amx();
}

extern const sftn_cpu_kernels sftn_cpu_kernels_generic;

#if defined(__x86_64__)
extern const sftn_cpu_kernels sftn_cpu_kernels_avx2, sftn_cpu_kernels_avx512;
extern const sftn_cpu_kernels sftn_cpu_kernels_avx512_bf16;

const sftn_cpu_kernels *sftn_cpu_kernels_here(void)
{
    const int limit = limit_of(getenv("SFTN_ISA"));

    __builtin_cpu_init();
    if (limit >= AVX512 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return limit >= AVX512_BF16 && __builtin_cpu_supports("avx512bf16")
                   ? &sftn_cpu_kernels_avx512_bf16
                   : &sftn_cpu_kernels_avx512;
    if (limit >= AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &sftn_cpu_kernels_avx2;
    return &sftn_cpu_kernels_generic;
}
#else
const sftn_cpu_kernels *sftn_cpu_kernels_here(void)
{
    return &sftn_cpu_kernels_generic;
}
#endif
