/*
 * teacher.h: teacher training schemes: what is attached to a teacher while it trains.
 */
#ifndef SFTN_TEACHER_H
#define SFTN_TEACHER_H

#include "sftn/model.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SFTN_MAX_TERMS = 16 };

/* One term of a loss: total += weight * factor * value. */
typedef struct sftn_term {
    char name[32];
    float weight;
    sftn_value value;  /* scalar */
    sftn_value factor; /* scalar without gradient; SFTN_NONE: 1 */
    int group;        /* 0: of the task; 1: of what is distilled.  Optimizers may tell them apart */
    int network;      /* which of several that are trained together it is to teach, from 0 */
    bool detached;    /* on purpose without gradient into the network: trains attachments only */
} sftn_term;

typedef struct sftn_terms {
    int n;
    sftn_term term[SFTN_MAX_TERMS];
} sftn_terms;

/* Append a term; more than SFTN_MAX_TERMS is an error of the graph. */
SFTN_API void sftn_terms_add(sftn_terms *t, sftn_graph *g, float weight, sftn_value value,
                             const char *format, ...) SFTN_PRINTF(5, 6);

/*
 * What a scheme attached: branch i hangs on teacher stage `stage[i]` (from 1), enters the student
 * after stage `entry[i]`, and publishes taps[i].
 */
typedef struct sftn_branches {
    int n;
    int stage[SFTN_MAX_STAGES], entry[SFTN_MAX_STAGES];
    sftn_taps taps[SFTN_MAX_STAGES];
} sftn_branches;

typedef struct sftn_teacher_args {
    sftn_graph *g;
    const sftn_scope *teacher_scope; /* the teacher is built here, under plain names */
    const sftn_scope *branch_scope;  /* parameters of what is attached: "branch1.student..." */
    const sftn_model *teacher;
    const sftn_model *student; /* NULL where the scheme needs none */
    sftn_value image, labels;
    int classes;
    float smoothing; /* label smoothing of every cross-entropy */
    const void *options;
    sftn_branches *branches; /* out; NULL where nobody asks */
} sftn_teacher_args;

typedef struct sftn_teacher_scheme {
    const char *name;
    const char *summary;
    const char *reference;
    const sftn_option *options;
    size_t options_size;
    bool needs_student;
    /* Build teacher and attachments; add the loss terms; return the teacher's taps. */
    sftn_taps (*build)(const sftn_teacher_args *args, sftn_terms *terms);
} sftn_teacher_scheme;

SFTN_API const sftn_teacher_scheme *sftn_teacher_find(const char *name, sftn_error *err);
SFTN_API const sftn_teacher_scheme *sftn_teacher_list(int i); /* NULL past the end */

#ifdef __cplusplus
}
#endif
#endif
