/* amx.h: AMX, matrix tiles of 1 KiB: whether they may be used, and multiply-adds in them. */
#ifndef SFTN_BACKEND_CPU_AMX_H
#define SFTN_BACKEND_CPU_AMX_H

#include <stdbool.h>
#include <stdint.h>

/* 0 where the compiler does not know the instructions. */
#if defined(__x86_64__) && (__GNUC__ >= 11 || __clang_major__ >= 12)
#define SFTN_HAVE_AMX 1
#else
#define SFTN_HAVE_AMX 0
#endif

/* What ldtilecfg reads, 64 bytes; only the first eight tiles exist, the rest must be 0. */
typedef struct sftn_tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} sftn_tile_config;
_Static_assert(sizeof(sftn_tile_config) == 64, "the instruction reads 64 bytes");

/* Eight tiles of 16 rows of 64 bytes. */
extern const sftn_tile_config sftn_amx_config;

/*
 * True where the operating system lets this process use tiles.  It is asked once; without its
 * permission the first use of a tile ends the process.
 */
bool sftn_amx_permitted(void);

#if SFTN_HAVE_AMX
/*
 * Multiply-adds of bfloat16 in six tiles, `rounds` times each; returns their operations.  Only
 * with permission and on a processor that has them.  sum [6 * 256], what the tiles then hold:
 * rounds times SFTN_AMX_TERM.
 */
enum { SFTN_AMX_SUMS = 6 * 256 };
#define SFTN_AMX_TERM 0x1p-35f
double sftn_amx_multiply_adds(int64_t rounds, float *sum);
#endif

#endif
