/*
 * tiles.h: the instructions of AMX on any x86-64 processor: where it has none they trap, and are
 * carried out in software.  So what a compiler made of them can be tested on every machine.
 */
#ifndef TEST_BACKEND_TILES_H
#define TEST_BACKEND_TILES_H

#include "backend/cpu/amx.h"

#if SFTN_HAVE_AMX && defined(__linux__)
#define TEST_TILES 1

/* From here to test_tiles_end the calling thread may use tiles. */
void test_tiles_begin(void);
/* The 64 bytes that the last ldtilecfg read; NULL where nothing trapped. */
const unsigned char *test_tiles_end(void);

#endif
#endif
