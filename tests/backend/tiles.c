/* tiles.c: an illegal instruction of AMX is decoded, done, and stepped over. */
#include "tiles.h"

#ifdef TEST_TILES
#include "base/base.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

/* Prefixes that the pp bits of a VEX instruction stand for. */
enum { PP_NONE, PP_66, PP_F3, PP_F2 };

/* What of an instruction this needs: C4, two bytes of VEX, opcode, ModRM, maybe SIB and offset. */
typedef struct instruction {
    int opcode, pp, reg, rm, third; /* registers: ModRM's two and VEX's */
    bool memory;
    unsigned char *address;
    int64_t step; /* the index register times its scale */
    int length;
} instruction;

static struct sigaction before;
static unsigned char config[sizeof(sftn_tile_config)], tile[TILES][ROWS][ROW_BYTES];
static volatile sig_atomic_t trapped;

/* General registers as instructions number them. */
static int64_t register_of(const ucontext_t *u, int number)
{
    static const int name[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                               REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                               REG_R12, REG_R13, REG_R14, REG_R15};

    return u->uc_mcontext.gregs[name[number]];
}

static void decode_memory(const ucontext_t *u, const unsigned char *at, instruction *i)
{
    const int mod = at[4] >> 6, high_b = at[1] & 0x20 ? 0 : 8, high_x = at[1] & 0x40 ? 0 : 8;
    const bool sib = (at[4] & 7) == 4;
    const int base = sib ? at[5] & 7 : at[4] & 7;
    const bool no_base = mod == 0 && base == 5;
    const unsigned char *offset = at + 5 + sib;
    const int bytes = mod == 1 ? 1 : mod == 2 || no_base ? 4 : 0;
    int32_t wide = 0;
    int64_t address;

    if (bytes == 4)
        memcpy(&wide, offset, sizeof wide);
    else if (bytes == 1)
        wide = (signed char)*offset;
    i->length = (int)(offset - at) + bytes;
    address = wide + (no_base ? (sib ? 0 : (int64_t)(uintptr_t)at + i->length)
                              : register_of(u, base + high_b));
    if (sib && ((at[5] >> 3 & 7) + high_x) != 4)
        i->step = register_of(u, (at[5] >> 3 & 7) + high_x) * (1 << (at[5] >> 6));
    i->address = (unsigned char *)(uintptr_t)address;
}

/* False: none of AMX's. */
static bool decode(const ucontext_t *u, const unsigned char *at, instruction *i)
{
    if (at[0] != 0xc4 || (at[1] & 0x1f) != 2)
        return false;
    *i = (instruction){.opcode = at[3],
                       .pp = at[2] & 3,
                       .reg = at[4] >> 3 & 7,
                       .rm = at[4] & 7,
                       .third = ~at[2] >> 3 & 7,
                       .memory = at[4] >> 6 != 3,
                       .length = 5};
    if (i->memory)
        decode_memory(u, at, i);
    return true;
}

/* Rows and bytes of a row that the configuration gives a tile. */
static int rows_of(int t)
{
    return config[48 + t] < ROWS ? config[48 + t] : ROWS;
}

static size_t row_bytes_of(int t)
{
    return config[16 + 2 * t] < ROW_BYTES ? config[16 + 2 * t] : ROW_BYTES;
}

static float element(int t, int row, int i)
{
    uint16_t half;

    memcpy(&half, tile[t][row] + 2 * i, sizeof half);
    return sftn_bf16_to_float(half);
}

/* c += a b: a row of a times pairs of rows of b. */
static void multiply(int c, int a, int b)
{
    for (int m = 0; m < rows_of(c); m++)
        for (int n = 0; n < (int)row_bytes_of(c) / 4; n++) {
            float sum;

            memcpy(&sum, tile[c][m] + 4 * n, sizeof sum);
            for (int k = 0; k < (int)row_bytes_of(a) / 2; k++)
                sum += element(a, m, k) * element(b, k / 2, 2 * n + k % 2);
            memcpy(tile[c][m] + 4 * n, &sum, sizeof sum);
        }
}

static bool carry_out(const instruction *i)
{
    if (i->opcode == 0x49 && i->pp == PP_NONE && i->memory) { /* ldtilecfg */
        memcpy(config, i->address, sizeof config);
        memset(tile, 0, sizeof tile);
    } else if (i->opcode == 0x49 && i->pp == PP_NONE) { /* tilerelease */
        memset(tile, 0, sizeof tile);
    } else if (i->opcode == 0x49 && i->pp == PP_F2 && !i->memory) { /* tilezero */
        memset(tile[i->reg], 0, sizeof tile[0]);
    } else if (i->opcode == 0x4b && i->pp == PP_F2 && i->memory) { /* tileloadd */
        for (int r = 0; r < rows_of(i->reg); r++)
            memcpy(tile[i->reg][r], i->address + r * i->step, row_bytes_of(i->reg));
    } else if (i->opcode == 0x4b && i->pp == PP_F3 && i->memory) { /* tilestored */
        for (int r = 0; r < rows_of(i->reg); r++)
            memcpy(i->address + r * i->step, tile[i->reg][r], row_bytes_of(i->reg));
    } else if (i->opcode == 0x5c && i->pp == PP_F3 && !i->memory) { /* tdpbf16ps */
        multiply(i->reg, i->rm, i->third);
    } else {
        return false;
    }
    return true;
}

/* What is not AMX's comes again, to who was asked before. */
static void handler(int number, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    const unsigned char *at = (const unsigned char *)(uintptr_t)u->uc_mcontext.gregs[REG_RIP];
    instruction i;

    (void)number;
    (void)info;
    if (decode(u, at, &i) && carry_out(&i)) {
        trapped = 1;
        u->uc_mcontext.gregs[REG_RIP] += i.length;
    } else {
        sigaction(SIGILL, &before, NULL);
    }
}

void test_tiles_begin(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

    trapped = 0;
    sigaction(SIGILL, &action, &before);
}

const unsigned char *test_tiles_end(void)
{
    sigaction(SIGILL, &before, NULL);
    return trapped ? config : NULL;
}
#endif
