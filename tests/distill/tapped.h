/*
 * tapped.h: a student and a teacher given by their taps alone, as inputs of a graph, and methods
 * between them, on the reference backend.
 */
#ifndef SFTN_TESTS_DISTILL_TAPPED_H
#define SFTN_TESTS_DISTILL_TAPPED_H

#include "net.h"
#include "sftn/distill.h"

enum { TAPPED_STAGES = 3, TAPPED_CLASSES = 7 };

/* Shapes of one network's taps: channels and pixels of the stem and of each stage. */
typedef struct tapped_shape {
    int64_t channels[TAPPED_STAGES + 1], pixels[TAPPED_STAGES + 1];
} tapped_shape;

/* A student's; a teacher of other channels; one of the same; one of other channels and sizes. */
extern const tapped_shape tapped_student, tapped_wider, tapped_smaller;

typedef struct tapped {
    net n;
    int64_t rows; /* of taps: images of the batch, in all views that the method takes */
    sftn_taps student, teacher;
    sftn_value labels, record;
    sftn_draw_table *records;
    const sftn_distiller *method;
    const sftn_distill_phase *phase; /* the one that is built; NULL: the main one */
    void *options;
    float *states; /* of the method: what a first run left */
} tapped;

/*
 * Inputs "s.TAP" and "t.TAP" for every tap, "t.TAP.scale" and "t.TAP.offset" for the batch norm of
 * every preact, and "labels"; the method's default options.  Its phase is the main one, or the
 * first where it has no loss there.
 */
tapped tapped_new(const char *method, int64_t batch, const tapped_shape *student,
                  const tapped_shape *teacher);
/* The same for a method that is given itself, in one of its phases. */
tapped tapped_of(const sftn_distiller *method, const sftn_distill_phase *phase, int64_t batch,
                 const tapped_shape *student, const tapped_shape *teacher);
void tapped_free(tapped *t);
void tapped_set(const tapped *t, const char *option, const char *value);

/* The method with its layers, on its pairs (NULL: its default). */
sftn_value tapped_build(const tapped *t, const char *pairs);
/* Its loss alone, on the taps as they are, the teacher's being teacher's. */
sftn_value tapped_loss(const tapped *t, const sftn_taps *student, const sftn_taps *teacher);

/* Taps with every value replaced by f(value). */
sftn_taps tapped_map(const tapped *t, const sftn_taps *taps,
                     sftn_value (*f)(sftn_graph *g, sftn_value x));

/* Compile, with every parameter initialized, and fill every input with random numbers of a seed. */
void tapped_compile(tapped *t, uint64_t seed);
/*
 * Run from the states that a first run left, so that what a method fixes then is fixed, and what it
 * remembers is always the same.
 */
void tapped_run(const tapped *t);

#endif
