/* mutual.h: the list of collaborative methods. */
#ifndef SFTN_DISTILL_MUTUAL_H
#define SFTN_DISTILL_MUTUAL_H

#include "sftn/mutual.h"

#define SFTN_MUTUAL(id) extern const sftn_mutual sftn_mutual_##id;
#include "distill/mutual.def"
#undef SFTN_MUTUAL

#endif
