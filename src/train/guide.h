/*
 * guide.h: what jobs learn from besides the batch, as a plan of its own that feeds theirs.
 */
#ifndef SFTN_TRAIN_GUIDE_H
#define SFTN_TRAIN_GUIDE_H

#include "train/step.h"

typedef struct sftn_guide {
    sftn_graph *graph;
    sftn_plan *plan; /* NULL: the jobs have none, or read nothing of it */
    sftn_feed feed;
} sftn_guide;

/*
 * The guide of jobs whose n steps have been built: all that one of the steps reads, each of which
 * is told whether it reads any.  job is one of those that have a guide; NULL: none has.  image:
 * [n,C,H,W] of one view.  ARGUMENT where a step reads what no guide delivers.  Close also after a
 * failure.
 */
sftn_status sftn_guide_open(sftn_guide *guide, sftn_job *job, sftn_train_step *const *step,
                            int n, const sftn_plan_options *plan, sftn_shape image,
                            sftn_error *err);
void sftn_guide_close(sftn_guide *guide);

#endif
