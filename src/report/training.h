/*
 * training.h: what a run trained, and who taught it, taken from its description.
 */
#ifndef SFTN_REPORT_TRAINING_H
#define SFTN_REPORT_TRAINING_H

#include "base/base.h"

struct json_object;

/* A training but for its seeds; two with equal keys are the same. */
typedef struct sftn_training {
    char *key;                   /* NULL: there is none */
    struct json_object *members; /* flat: "job.scheme" to the value's text; NULL: nothing known */
    char base[160];              /* "resnet8 kd" */
    char label[192];             /* base, and where it differs from others of that base */
    bool plain;                  /* of a network by itself */
} sftn_training;

/*
 * A run's own training, and its teacher's, whose key is NULL where it has none.  False: out of
 * memory.
 */
bool sftn_trainings_read(const char *description, sftn_training *own, sftn_training *teacher);
/* Put "of TEACHER" into the base. */
void sftn_training_taught_by(sftn_training *t, const char *teacher);
/* Fill all labels: equal where keys and bases are, and only there.  False: out of memory. */
bool sftn_trainings_label(sftn_training *list, int n);
void sftn_training_close(sftn_training *t);

#endif
