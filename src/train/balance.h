/*
 * balance.h: whether the terms of a loss teach their networks anything, and how strongly.
 */
#ifndef SFTN_TRAIN_BALANCE_H
#define SFTN_TRAIN_BALANCE_H

#include "train/step.h"

/*
 * NUMERIC, naming the term, where a term with a weight has no gradient into the network that it is
 * to teach (into any store, where the term is detached on purpose).
 */
sftn_status sftn_balance_check(sftn_job *job, int phase, sftn_shape image, sftn_error *err);

/*
 * norm[SFTN_MAX_TERMS]: for the terms of the main phase's loss, the norm of the gradient of what
 * step's plan has in its inputs; 0 for terms that are not measured.  Nothing is measured where the
 * labels' terms stand alone.  The plan is compiled with options, fed by step's, and thrown away.
 * NUMERIC, naming the term, where a gradient is exactly 0 or not finite.
 */
sftn_status sftn_balance_measure(sftn_job *job, const sftn_train_step *step,
                                 const sftn_plan_options *options, double *norm, sftn_error *err);

/* The norms as what they mean. */
void sftn_balance_fill(sftn_balance *b, const sftn_terms *terms, const double *norm);

#endif
