/* amx: permission to use tiles, and multiply-adds in them. */
#include "backend/cpu/amx.h"

#include "base/base.h"

#include <pthread.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* ---- permission ---- */

static bool permitted;

/*
 * Linux keeps the tiles' 8 KiB from a process that has not asked for room to save them.  It
 * refuses where a thread's signal stack is too small for them; kernels before 5.16 do not know the
 * question, and they do not save the tiles either.  oneDNN asks the same question when it first
 * looks at the processor, and what is granted once stays granted.
 */
static void ask(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

    permitted = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#endif
}

bool sftn_amx_permitted(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, ask);
    return permitted;
}

/* ---- multiply-adds ---- */

/*
 * gcc does not know that ldtilecfg reads 64 bytes and tileloadd a whole tile, and drops what is
 * written for them alone.  A constant with a name known outside this file is there whatever a
 * compiler thinks.
 */
const sftn_tile_config sftn_amx_config = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

#if SFTN_HAVE_AMX
#include <immintrin.h>

/* All that is written at p is in memory from here on. */
static void written(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

__attribute__((target("amx-tile,amx-bf16"))) double sftn_amx_multiply_adds(int64_t rounds,
                                                                           float *sum)
{
    uint16_t small[16 * 32];

    for (size_t i = 0; i < SFTN_COUNT(small); i++)
        small[i] = 0x3580; /* 2^-20; a sum has 32 products */
    written(small);
    _tile_loadconfig(&sftn_amx_config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_loadd(6, small, 64);
    _tile_loadd(7, small, 64);
    for (int64_t r = 0; r < rounds; r++) {
        _tile_dpbf16ps(0, 6, 7);
        _tile_dpbf16ps(1, 6, 7);
        _tile_dpbf16ps(2, 6, 7);
        _tile_dpbf16ps(3, 6, 7);
        _tile_dpbf16ps(4, 6, 7);
        _tile_dpbf16ps(5, 6, 7);
    }
    _tile_stored(0, sum, 64);
    _tile_stored(1, sum + 256, 64);
    _tile_stored(2, sum + 512, 64);
    _tile_stored(3, sum + 768, 64);
    _tile_stored(4, sum + 1024, 64);
    _tile_stored(5, sum + 1280, 64);
    written(sum);
    _tile_release();
    return 2.0 * 32.0 * SFTN_AMX_SUMS * (double)rounds;
}
#endif
