/*
 * distill.h: distillation methods: how a student imitates a frozen teacher.
 */
#ifndef SFTN_DISTILL_H
#define SFTN_DISTILL_H

#include "sftn/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sftn_distill_args {
    sftn_graph *g;
    const sftn_scope *scope;  /* for the method's own parameters; named "METHOD" */
    const sftn_taps *student;
    const sftn_taps *teacher; /* inputs of g: without gradient */
    sftn_value labels;        /* [N,1,1,1] */
    int classes;
    const void *options;      /* the method's own options struct */
} sftn_distill_args;

enum {
    SFTN_NEEDS_LOGITS = 1,
    SFTN_NEEDS_STAGES = 2, /* features of all stages */
    SFTN_NEEDS_POOLED = 4,
    SFTN_NEEDS_PREACT = 8,
};

typedef struct sftn_distiller {
    const char *name;
    const char *summary;
    const char *reference; /* "Hinton et al., 2015" */
    const sftn_option *options;
    size_t options_size;
    unsigned needs;
    double weight;      /* default factor of the loss in the student's total */
    double task_weight; /* default factor of the student's cross-entropy */
    double weight_beside; /* default factor beside other methods (kd: 1); 0: the same as weight */
    /* Append the loss, a scalar, unweighted. */
    sftn_value (*loss)(const sftn_distill_args *args);
} sftn_distiller;

SFTN_API const sftn_distiller *sftn_distiller_find(const char *name, sftn_error *err);
/* The i-th method, NULL past the end. */
SFTN_API const sftn_distiller *sftn_distiller_list(int i);

#ifdef __cplusplus
}
#endif
#endif
