/*
 * dnnl_common.h: oneDNN behind a few functions, so that its two C interfaces (version 2 with
 * operation descriptors, version 3 without) differ in this folder's dnnl_api.h only.
 */
#ifndef SFTN_BACKEND_CPU_DNNL_COMMON_H
#define SFTN_BACKEND_CPU_DNNL_COMMON_H

#include "backend/cpu/cpu.h"

/* Engine and stream of one plan, and its interned packed layouts. */
sftn_status sftn_dnnl_open(int threads, sftn_dnnl **d, sftn_error *err);
void sftn_dnnl_close(sftn_dnnl *d); /* NULL: nothing */

/*
 * True where oneDNN multiplies bfloat16 matrices with AMX: the processor has it, the operating
 * system permits it (oneDNN 2.6 and later ask too) and ONEDNN_MAX_CPU_ISA does not rule it out.
 */
bool sftn_dnnl_has_amx(void);

#endif
