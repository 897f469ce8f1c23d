/*
 * step.h: a job compiled for batches of one size, and how a batch enters a plan.
 */
#ifndef SFTN_TRAIN_STEP_H
#define SFTN_TRAIN_STEP_H

#include "sftn/train.h"
#include "train/optimizer.h"

/* Where a plan's images, labels, record numbers and epoch live. */
typedef struct sftn_feed {
    const sftn_tensor *image, *labels, *record, *epoch; /* NULL: the plan does not read them */
} sftn_feed;

/* True for the inputs that come from a batch, and for the epoch. */
bool sftn_feed_has(const char *input);
/* ARGUMENT where the plan reads no image. */
sftn_status sftn_feed_open(sftn_feed *f, const sftn_plan *plan, sftn_error *err);
/* What a loader must deliver for sftn_feed_write; f reads images. */
void sftn_feed_loader(const sftn_feed *f, sftn_loader_options *options);
/* Copy a batch in, images and labels (with the records' numbers); rows past them keep theirs. */
void sftn_feed_write(const sftn_feed *f, const sftn_batch *batch);
void sftn_feed_images(const sftn_feed *f, const sftn_batch *batch);
void sftn_feed_labels(const sftn_feed *f, const sftn_batch *batch);
void sftn_feed_epoch(const sftn_feed *f, int64_t epoch);

/* The job's graph of one phase for that shape of one view; free jg->g also after a failure. */
sftn_status sftn_job_build(sftn_job *job, int phase, sftn_shape image, sftn_job_graph *jg,
                           sftn_error *err);
/* The leaves of trained weights of g, of one store or of all (only NULL); leaf[] has g's nodes. */
int sftn_trained_leaves(const sftn_graph *g, const sftn_params *only, sftn_value *leaf);

/*
 * The graph of one of the job's phases with loss and gradients, built and then compiled.  Outputs:
 * "loss", "term0", "term1", ... in the order of the job's terms, and in the main phase "logits" and
 * "rank" (of the label among the classes, [n,1,1,1]).
 */
typedef struct sftn_train_step {
    sftn_graph *graph;
    sftn_plan *plan;
    sftn_feed feed;
    sftn_terms terms; /* names and weights; the values belong to graph */
    sftn_shape image; /* of a batch's one view */
    bool main;        /* of the main phase */
    bool guided;      /* reads what a guide computes (sftn_guide_open) */
    sftn_span *span;  /* the weights that the loss reaches */
    int nspans;
} sftn_train_step;

/*
 * image: [n,C,H,W] of one view.  The gradients are what o wants: where it keeps two groups apart,
 * the main phase's loss must have both; ARGUMENT where it has not.  Close also after a failure.
 */
sftn_status sftn_train_step_build(sftn_train_step *s, sftn_job *job, int phase,
                                  const sftn_optimizer *o, sftn_shape image, sftn_error *err);
/* ARGUMENT where neither images nor a guide are read. */
sftn_status sftn_train_step_compile(sftn_train_step *s, const sftn_plan_options *plan,
                                    sftn_error *err);
void sftn_train_step_close(sftn_train_step *s);

/* Value of the loss (i = -1) or of term i after a run. */
double sftn_train_step_value(const sftn_train_step *s, int i);

#endif
