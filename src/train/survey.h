/*
 * survey.h: sums over a split of what a graph says of each image, many times over.
 */
#ifndef SFTN_TRAIN_SURVEY_H
#define SFTN_TRAIN_SURVEY_H

#include "sftn/train.h"
#include "train/step.h"

/*
 * Append to g what is asked of a batch of images: [n,...], wide, the same number of values for each
 * image.  What the values depend on is frozen.
 */
typedef sftn_value sftn_row(void *ctx, sftn_graph *g, sftn_value image, sftn_value labels);

typedef struct sftn_survey {
    sftn_plan *plan;
    sftn_feed feed;
    sftn_loader *loader;
    int64_t batches, columns;
    double *row; /* [batch, columns] */
    double *sum; /* [columns], over the images of the last run */
    int64_t n;   /* how many those were */
} sftn_survey;

/*
 * The last, partial batch is run in a full plan; what its unused rows hold does not matter, as no
 * op of a network in evaluation mode mixes rows.  Close also after a failure.
 */
sftn_status sftn_survey_open(sftn_survey *s, sftn_row *row, void *ctx, const sftn_dataset *data,
                             sftn_split split, int64_t batch, const sftn_plan_options *plan,
                             int threads, sftn_error *err);
void sftn_survey_close(sftn_survey *s);

/* Fill sum and n with the values that the parameters have now. */
sftn_status sftn_survey_run(sftn_survey *s, sftn_error *err);

#endif
