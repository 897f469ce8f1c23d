/*
 * evaluate.h: a network's accuracy on a split, many times over.
 */
#ifndef SFTN_TRAIN_EVALUATE_H
#define SFTN_TRAIN_EVALUATE_H

#include "train/survey.h"

/* The network to be measured, in evaluation mode; params belong to the caller. */
typedef struct sftn_subject {
    const sftn_model *model;
    sftn_params *params;
    int classes;
    const float *mean, *std; /* normalization it was trained with; NULL: as the data's */
} sftn_subject;

/* Images of d as subject's network expects them: normalized anew where the two differ. */
sftn_value sftn_renormalize(sftn_graph *g, sftn_value image, const sftn_subject *subject,
                            const sftn_dataset_info *info);
/* ARGUMENT where network and data have different numbers of classes, or images. */
sftn_status sftn_subject_check(const char *name, int classes, int channels, int image_size,
                               const sftn_dataset_info *info, sftn_error *err);

/* A survey of a network's answers; close also after a failure. */
sftn_status sftn_evaluator_open(sftn_survey *e, const sftn_subject *subject,
                                const sftn_dataset *data, sftn_split split, int64_t batch,
                                const sftn_plan_options *plan, int threads, sftn_error *err);
/* Measure with the values that the params have now. */
sftn_status sftn_evaluator_run(sftn_survey *e, sftn_scores *scores, sftn_error *err);

#endif
