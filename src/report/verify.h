/*
 * verify.h: what the kinds of reference files share.
 */
#ifndef SFTN_REPORT_VERIFY_H
#define SFTN_REPORT_VERIFY_H

#include "sftn/mutual.h"
#include "sftn/tensors.h"
#include "sftn/verify.h"

/* The deviations of one row: the largest, and where it was. */
typedef struct sftn_check {
    double tolerance, deviation;
    char worst[192];
} sftn_check;

/* Take a deviation into account; NaN counts as infinite. */
void sftn_check_add(sftn_check *c, double deviation, const char *format, ...) SFTN_PRINTF(3, 4);
/*
 * Compare n values with the file's array `name`, relative to the largest of its values.  FORMAT
 * where the file has no such array of n float32.
 */
sftn_status sftn_check_array(sftn_check *c, const sftn_tensors *t, const char *name,
                             const double *got, int64_t n, sftn_error *err);

/* Element i of an array of int64 or float32. */
double sftn_array_number(const sftn_array *a, int64_t i);

/* One reference file, and how to run it. */
typedef struct sftn_verify_case {
    const sftn_tensors *file;
    const sftn_plan_options *plan;
    bool missing;          /* out: no network or method of that name */
    const char *method;    /* out: of a loss, and its phase, as in sftn_verify_row */
    int phase;
    sftn_check value;      /* out: values */
    sftn_check grad;       /* out: gradients, against the largest of the file */
    sftn_check own;        /* out: gradients, each against itself; networks only */
} sftn_verify_case;

sftn_status sftn_verify_network(sftn_verify_case *v, sftn_error *err);
sftn_status sftn_verify_teacher(sftn_verify_case *v, sftn_error *err);
sftn_status sftn_verify_loss(sftn_verify_case *v, sftn_error *err);
/* A method that remembers: two steps (verify_steps.c). */
sftn_status sftn_verify_steps(sftn_verify_case *v, sftn_error *err);
/* A collaborative method (verify_mutual.c). */
sftn_status sftn_verify_mutual(sftn_verify_case *v, const sftn_mutual *method, sftn_error *err);

/* Metadata `key` as text, or as a whole number of at least `least`; FORMAT where it is not. */
sftn_status sftn_meta_text(const sftn_tensors *t, const char *key, const char **text,
                           sftn_error *err);
sftn_status sftn_meta_int(const sftn_tensors *t, const char *key, int least, int *value,
                          sftn_error *err);

/* Compare the plan's output `name` with the file's array of the same name, n values. */
sftn_status sftn_check_output(sftn_check *c, const sftn_tensors *t, const sftn_plan *plan,
                              const char *name, int64_t n, sftn_error *err);

#endif
