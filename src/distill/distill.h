/*
 * distill.h: the list of methods, and what several of them share.
 */
#ifndef SFTN_DISTILL_DISTILL_H
#define SFTN_DISTILL_DISTILL_H

#include "sftn/distill.h"

#define SFTN_METHOD(id) extern const sftn_distiller sftn_distiller_##id;
#include "distill/methods.def"
#undef SFTN_METHOD

/*
 * Stages that both networks have, paired from the deep end: pair i of n is the student's stage
 * *s and the teacher's stage *t, indices into taps' stage[].
 */
int sftn_stage_pairs(const sftn_distill_args *args);
void sftn_stage_pair(const sftn_distill_args *args, int i, int *s, int *t);

#endif
