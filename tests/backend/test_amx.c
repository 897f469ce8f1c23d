/*
 * amx: permission for tiles is asked once and its refusal is heeded; the multiply-adds in tiles
 * compute what they should, on a processor without tiles too (tiles.h).
 */
#include "backend/cpu/amx.h"

#include "backend/cpu/conv.h"
#include "backend/cpu/dnnl_common.h"
#include "sftn/plan.h"
#include "sftn/profile.h"
#include "test.h"
#include "tiles.h"

#include <oneapi/dnnl/dnnl.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The linker's --wrap sends the library's calls of these two here: `grants` is what the operating
 * system answers, and oneDNN says that it uses AMX.
 */
static bool grants;
static atomic_int questions;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
dnnl_cpu_isa_t __wrap_dnnl_get_effective_cpu_isa(void);

/* Linux's numbers: ask for a feature, tile data. */
enum { REQUEST = 0x1023, TILE_DATA = 18 };

long __wrap_syscall(long number, ...)
{
    va_list args;
    int request, feature;

    va_start(args, number);
    request = va_arg(args, int);
    feature = va_arg(args, int);
    va_end(args);
#ifdef SYS_arch_prctl
    if (number == SYS_arch_prctl && request == REQUEST && feature == TILE_DATA) {
        atomic_fetch_add(&questions, 1);
        if (grants)
            return 0;
        errno = ENOSPC;
        return -1;
    }
#endif
    (void)request;
    (void)feature;
    abort();
}

dnnl_cpu_isa_t __wrap_dnnl_get_effective_cpu_isa(void)
{
    return dnnl_cpu_isa_avx512_core_amx;
}

/* The answer is kept for good, so each case has a process of its own. */
static bool holds_in_child(bool granted, bool (*holds)(void))
{
    pid_t child;
    int status = 0;

    grants = granted;
    child = fork();
    if (child == 0)
        _exit(holds() ? 0 : 1);
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool winograd_fits_bf16(void)
{
    const sftn_cpu cpu = {
        .precision = SFTN_BFLOAT16, .threads = 1, .k = sftn_cpu_kernels_here()};
    const sftn_shape x = SFTN_SHAPE(4, 64, 8, 8), w = SFTN_SHAPE(64, 64, 3, 3);
    sftn_desc dw = sftn_desc_of(&w, SFTN_F32, SFTN_NCHW);
    const sftn_conv c = {.kind = SFTN_CONV_FORWARD,
                         .x = x,
                         .w = w,
                         .y = x,
                         .stride = 1,
                         .pad = 1,
                         .groups = 1,
                         .dw = &dw};

    return sftn_cpu_winograd_fits(&cpu, &c);
}

static bool refused(void)
{
    const bool winograd = sftn_cpu_kernels_here()->winograd->bf16;
    sftn_error err = {.status = SFTN_OK};
    sftn_peak peak;

    sftn_set_threads(1);
    return !sftn_dnnl_has_amx() && !sftn_cpu_tiles_here() && winograd_fits_bf16() == winograd &&
           sftn_measure_peak(SFTN_BFLOAT16, &peak, &err) == SFTN_OK &&
           strcmp(peak.isa, sftn_cpu_kernels_here()->isa) == 0 && peak.flops > 1e8;
}

TEST(where_the_system_refuses_tiles_nothing_uses_them)
{
    CHECK(holds_in_child(false, refused));
}

#if SFTN_HAVE_AMX
static bool granted(void)
{
    unsetenv("SFTN_ISA");
    return sftn_dnnl_has_amx() && sftn_cpu_tiles_here() && !winograd_fits_bf16();
}

TEST(where_the_system_grants_tiles_they_are_used)
{
    CHECK(holds_in_child(true, granted));
}

/* oneDNN's products still use them, so Winograd's algorithm stays off. */
static bool limited(void)
{
    setenv("SFTN_ISA", "avx512_bf16", 1);
    return sftn_dnnl_has_amx() && !sftn_cpu_tiles_here() && !winograd_fits_bf16();
}

TEST(sftn_isa_keeps_our_own_loops_from_tiles)
{
    CHECK(holds_in_child(true, limited));
}

static void *ask(void *result)
{
    *(bool *)result = sftn_amx_permitted();
    return NULL;
}

static bool asked_once(void)
{
    enum { ASKING = 8 };
    pthread_t thread[ASKING];
    bool result[ASKING] = {false}, all = true;

    for (int i = 0; i < ASKING; i++)
        if (pthread_create(&thread[i], NULL, ask, &result[i]) != 0)
            return false;
    for (int i = 0; i < ASKING; i++) {
        pthread_join(thread[i], NULL);
        all = all && result[i];
    }
    return all && sftn_amx_permitted() && atomic_load(&questions) == 1;
}

TEST(the_system_is_asked_once_by_all_threads)
{
    CHECK(holds_in_child(true, asked_once));
}
#endif

TEST(an_unknown_name_in_sftn_isa_is_an_error)
{
    sftn_error err = {.status = SFTN_OK};
    sftn_graph *g = sftn_graph_new();
    sftn_plan *plan;
    sftn_peak peak;

    setenv("SFTN_ISA", "avx3", 1);
    CHECK_FAILS(sftn_plan_new(g, &(sftn_plan_options){.backend = "cpu"}, &plan, &err),
                SFTN_ERR_ARGUMENT, &err, "SFTN_ISA is 'avx3': generic, avx2,");
    CHECK_FAILS(sftn_measure_peak(SFTN_FLOAT32, &peak, &err), SFTN_ERR_ARGUMENT, &err,
                "SFTN_ISA is 'avx3'");
    setenv("SFTN_ISA", "", 1);
    CHECK_STATUS(sftn_cpu_check_isa(&err), SFTN_OK);
    unsetenv("SFTN_ISA");
    sftn_graph_free(g);
}

/* Palette, first row, reserved; bytes of a row of eight tiles; rows of eight tiles. */
static const unsigned char whole[64] = {
    [0] = 1,   [16] = 64, [18] = 64, [20] = 64, [22] = 64, [24] = 64, [26] = 64, [28] = 64,
    [30] = 64, [48] = 16, [49] = 16, [50] = 16, [51] = 16, [52] = 16, [53] = 16, [54] = 16,
    [55] = 16,
};

TEST(the_configuration_has_eight_whole_tiles)
{
    CHECK_BYTES(&sftn_amx_config, whole, sizeof whole);
}

#ifdef TEST_TILES
/* In the processor's own tiles where it has them and the system really grants them. */
TEST(multiply_adds_in_tiles_are_right)
{
    float sum[SFTN_AMX_SUMS];
    const unsigned char *config;
    double operations;

    memset(sum, 0xff, sizeof sum);
    __real_syscall(SYS_arch_prctl, REQUEST, TILE_DATA);
    test_tiles_begin();
    operations = sftn_amx_multiply_adds(3, sum);
    config = test_tiles_end();
    if (config != NULL)
        CHECK_BYTES(config, whole, sizeof whole);
    CHECK_NEAR(operations, 2.0 * 3 * 6 * 16 * 16 * 32, 0.0);
    for (int i = 0; i < SFTN_AMX_SUMS; i++)
        CHECK_NEAR((double)sum[i], 3 * SFTN_AMX_TERM, 0.0);
}
#endif
