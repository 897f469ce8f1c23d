/*
 * answers.h: how good the answers of one network are, and how alike those of two, summed up image
 * by image.
 */
#ifndef SFTN_TRAIN_ANSWERS_H
#define SFTN_TRAIN_ANSWERS_H

#include "base/base.h"
#include "sftn/train.h"

/* Of one image: log_p = ln softmax(logits), [n]; returns the largest entry (the first at ties). */
int sftn_answer(const double *logits, int n, double *log_p);

typedef struct sftn_answer_bin {
    int64_t n, hits;
    double confidence;
} sftn_answer_bin;

/* One network. */
typedef struct sftn_answer_sums {
    int classes, bins;
    int64_t n, hits;
    double loss, confidence, entropy;
    sftn_answer_bin *bin; /* [bins], of equal width */
} sftn_answer_sums;

sftn_status sftn_answer_sums_open(sftn_answer_sums *s, int classes, int bins, sftn_error *err);
void sftn_answer_sums_close(sftn_answer_sums *s);
void sftn_answer_sums_add(sftn_answer_sums *s, const double *log_p, int answer, int label);
sftn_answers sftn_answer_sums_value(const sftn_answer_sums *s);

/* Two networks. */
typedef struct sftn_likeness {
    int64_t n, agreed;
    double kl_teacher_student, kl_student_teacher;
} sftn_likeness;

/* log_t, log_s: [classes]; agreed: their first answers are the same. */
void sftn_likeness_add(sftn_likeness *l, const double *log_t, const double *log_s, int classes,
                       bool agreed);

#endif
