/*
 * distill.h: distillation methods: how a student imitates a frozen teacher.
 *
 * A method compares pairs of taps, one of the student and one of the teacher each.  Which pairs is
 * a text that every method has a default for:
 *
 *     stage2:stage3,pooled   the student's stage 2 with the teacher's stage 3; pooled with pooled
 *     stages                 every stage that both have, paired from the deep end
 *     last                   the last stage of each
 *
 * Names are those of sftn_taps_list; "stages" and "last" take ".preact" too.
 */
#ifndef SFTN_DISTILL_H
#define SFTN_DISTILL_H

#include "sftn/model.h"
#include "sftn/op.h"
#include "sftn/schedule.h"
#include "sftn/views.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SFTN_MAX_PAIRS = SFTN_MAX_STAGES + 2 };

typedef struct sftn_tap_pair {
    char student_name[24], teacher_name[24];
    sftn_value student, teacher;
    sftn_affine norm; /* of the batch norm that makes the teacher's; SFTN_NONE: none does */
} sftn_tap_pair;

/*
 * Fill pair[SFTN_MAX_PAIRS] by text.  ARGUMENT names the tap that a network does not publish and
 * what it does publish.
 */
SFTN_API sftn_status sftn_tap_pairs(const char *text, const sftn_taps *student,
                                    const sftn_taps *teacher, sftn_tap_pair *pair, int *npairs,
                                    sftn_error *err);

/* Taps have as many rows for each label as the method takes views (views.h). */
typedef struct sftn_distill_args {
    sftn_graph *g;
    const sftn_scope *scope;  /* for the method's own parameters; named "METHOD" */
    const sftn_taps *student;
    const sftn_taps *teacher; /* inputs of g: without gradient */
    const sftn_tap_pair *pair; /* what is compared; at least one */
    int npairs;
    sftn_value labels;        /* [N,1,1,1] */
    int classes;
    const void *options;      /* the method's own options struct */
    /* For methods that keep something of every record; NULL, SFTN_NONE where nobody says. */
    const sftn_draw_table *records; /* the training set's, with their classes */
    sftn_value record;              /* [N,1,1,1] which of them the batch holds */
    sftn_value drawn;               /* [N,1+K,1,1] draws for it; SFTN_NONE: the method draws */
    uint64_t seed;                  /* of what a method draws */
} sftn_distill_args;

/*
 * A phase of training before the student meets its labels.  It trains what its loss reaches: layers
 * of the method's own, and the student's stem and stages where it says so.  The student's head is
 * left as it is.
 */
typedef struct sftn_distill_phase {
    bool student; /* trains the student, in training mode; else that stays as it is, too */
    /* Its length, at least one epoch, and its rates; lr 0: the run's base rate. */
    sftn_schedule (*schedule)(const void *options);
    /* As in sftn_distiller. */
    void (*adapt)(const sftn_distill_args *args, sftn_tap_pair *pair);
    sftn_value (*loss)(const sftn_distill_args *args);
} sftn_distill_phase;

typedef struct sftn_distiller {
    const char *name;
    const char *summary;
    const char *reference; /* "Hinton et al., 2015" */
    const sftn_option *options;
    size_t options_size;
    const char *pairs;  /* what it compares unless told otherwise */
    double weight;      /* default factor of the loss in the student's total */
    double task_weight; /* default factor of the student's cross-entropy */
    double weight_beside; /* default factor beside other methods (kd: 1); 0: the same as weight */
    sftn_views views;     /* of each image that it takes, in its phases too; 0: the first alone */
    /*
     * Over how many epochs of the main phase the weight rises: in epoch e of n, from 1, it is e / n
     * of what it is afterwards.  NULL, or 0: it is the same in all.
     */
    double (*warmup)(const void *options);
    /*
     * Put layers of the method's own before the loss: replaces values in pair[args->npairs], which
     * hold the taps.  NULL: none.
     */
    void (*adapt)(const sftn_distill_args *args, sftn_tap_pair *pair);
    /*
     * Append the loss of the pairs, a scalar, unweighted.  NULL: a method of phases alone, whose
     * student then learns from its labels and other methods.
     */
    sftn_value (*loss)(const sftn_distill_args *args);
    const sftn_distill_phase *phase; /* what comes before, [nphases]; their losses are unweighted */
    int nphases;
} sftn_distiller;

SFTN_API const sftn_distiller *sftn_distiller_find(const char *name, sftn_error *err);
/* The i-th method, NULL past the end. */
SFTN_API const sftn_distiller *sftn_distiller_list(int i);

/*
 * Append the method's layers and its loss in one of its phases (NULL: the main one) on the pairs
 * that `pairs` names (NULL: its own default); pair and npairs of args are not read.  Errors are
 * recorded in the graph.
 */
SFTN_API sftn_value sftn_distiller_build(const sftn_distiller *method,
                                         const sftn_distill_phase *phase,
                                         const sftn_distill_args *args, const char *pairs);

#ifdef __cplusplus
}
#endif
#endif
