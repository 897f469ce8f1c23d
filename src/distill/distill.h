/*
 * distill.h: the list of methods, and what several of them share.
 */
#ifndef SFTN_DISTILL_DISTILL_H
#define SFTN_DISTILL_DISTILL_H

#include "sftn/distill.h"

#define SFTN_METHOD(id) extern const sftn_distiller sftn_distiller_##id;
#include "distill/methods.def"
#undef SFTN_METHOD

/* How long a phase before the main one is, and its learning rate, which does not change. */
typedef struct sftn_phase_options {
    int epochs;
    float lr;
} sftn_phase_options;

/* Their rows in a method's table; field: of its options struct. */
#define SFTN_PHASE_OPTIONS(options, field, default_epochs, default_lr)                             \
    {"epochs", SFTN_OPT_INT, offsetof(options, field.epochs), default_epochs, 1, 100000,           \
     "epochs of the phase before the labels", NULL, NULL},                                         \
    {"lr", SFTN_OPT_FLOAT, offsetof(options, field.lr), default_lr, 0.0, 100.0,                    \
     "learning rate of that phase; 0 is the run's --lr", NULL, NULL}

/* The row of a method's table for epochs of warm-up, an int of its options struct. */
#define SFTN_WARMUP_OPTION(options, field, default_epochs)                                         \
    {"warmup", SFTN_OPT_INT, offsetof(options, field), default_epochs, 0, 100000,                  \
     "epochs N over which the weight rises: e/N of it in epoch e, from 1; 0 is none", NULL, NULL}

sftn_schedule sftn_phase_schedule(const sftn_phase_options *options);

/* Where a method keeps its parameters for pair i: its scope, numbered where there are several. */
sftn_scope sftn_pair_scope(const sftn_distill_args *args, int i);

/* The sum of n >= 1 scalars. */
sftn_value sftn_add_terms(sftn_graph *g, const sftn_value *term, int n);

/* False, with the graph's error set, where a pair's channels differ; instead: what to do then. */
bool sftn_equal_channels(const sftn_distill_args *args, const char *instead);

/* x [N,C,H,W] -> [N,1,H,W]: lengths over C, 1e-12 where shorter, without a gradient there. */
sftn_value sftn_length(sftn_graph *g, sftn_value x);

/* f [N,C,H,W] -> [N,H*W]: the channel mean of |f|^p, rows of unit length. */
sftn_value sftn_energy_map(sftn_graph *g, sftn_value f, float p);

/*
 * x, a student's map, to the shape of `like`, the teacher's: one convolution with bias, batch norm
 * and, where asked, ReLU.  3x3 with stride 2 where the map is twice as large, transposed 4x4 with
 * stride 2 where it is half as large, else unpadded of size 1 + H_s - H_t (1x1 for equal maps).
 * Parameters conv.*, bn.*.
 */
sftn_value sftn_regress(const sftn_scope *s, sftn_value x, sftn_value like, bool relu);

#endif
