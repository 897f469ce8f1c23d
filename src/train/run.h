/*
 * run.h: one job's run in a training: everything between one sftn_train call and its return.
 */
#ifndef SFTN_TRAIN_RUN_H
#define SFTN_TRAIN_RUN_H

#include "train/balance.h"
#include "train/evaluate.h"
#include "train/files.h"
#include "train/guide.h"

/*
 * Where the run is, and what it remembers: together with the arrays all that a checkpoint holds.
 * Two int64 and double arrays in files, so that nothing is rounded.
 */
typedef struct sftn_position {
    int64_t epoch, batch, step;  /* done so far; batch counts within the epoch */
    int64_t images, hits;        /* of the epoch so far: seen, and ranked first correctly */
    int64_t best_epoch;          /* from 1; 0: none yet */
} sftn_position;

typedef struct sftn_memory {
    double term[SFTN_MAX_TERMS]; /* sums over the images of the epoch so far */
    double loss;
    double best_validation, best_test;
    double test_top1, test_top5, ema_top1; /* after the last finished epoch */
    double pull[SFTN_MAX_TERMS]; /* norms of the terms' gradients as the main phase began */
} sftn_memory;

enum {
    SFTN_POSITION_COUNT = sizeof(sftn_position) / sizeof(int64_t),
    SFTN_MEMORY_COUNT = sizeof(sftn_memory) / sizeof(double),
};

/* Looks for loss terms that stay what they are. */
enum { SFTN_WATCH_STEPS = 20 };
typedef struct sftn_watch {
    int64_t steps;              /* since the phase began, or the run was resumed in it */
    double last[SFTN_MAX_TERMS];
    int64_t still[SFTN_MAX_TERMS]; /* steps in a row, the last included, with the same value */
} sftn_watch;

/* Of this process only: times are not part of the state. */
typedef struct sftn_clock {
    double begin, epoch_begin, last_step, waited;
    int64_t steps;        /* done by this process */
    int64_t epoch_images; /* done by this process in this epoch */
    bool in_epoch;        /* epoch_begin is set */
} sftn_clock;

/* Batches come in two sizes: full ones, and the last of an epoch. */
enum { SFTN_STEP_FULL, SFTN_STEP_PARTIAL, SFTN_STEPS };

typedef struct sftn_run_state {
    sftn_job *job;
    const sftn_dataset *data;
    const sftn_train_options *opt;
    int member, members;
    sftn_error error; /* status set: the run is left */
    /* Of every phase, the main one last; plan NULL: there is no batch of that size. */
    sftn_train_step step[SFTN_MAX_PHASES + 1][SFTN_STEPS];
    int phase;           /* where the run is; job->nphases: in the main phase */
    int64_t phase_epoch; /* at which that began */
    int64_t epochs;      /* of all phases */
    sftn_optimizer optimizer;
    sftn_ema ema;
    int64_t batches; /* in an epoch */
    double *rank;    /* [batch] */
    sftn_survey test, validation; /* plan NULL: the data set has no such split */
    sftn_survey peer[SFTN_MAX_STORES]; /* of the job's peers on the test split */
    sftn_survey survey;                /* the job's own, on the validation split */
    sftn_position position;
    sftn_memory memory;
    sftn_watch watch;
    sftn_clock clock;
    double lr;    /* of the last step */
    bool unsaved; /* steps were made that no checkpoint knows */
    char *options_text; /* what must not change when the run is resumed, JSON */
} sftn_run_state;

/* ---- options_text.c ---- */
/* The options that decide the numbers, and the data's identity, as JSON; NULL: out of memory. */
char *sftn_options_text(const sftn_train_options *options, const sftn_dataset *data);
/*
 * Likewise what those that are trained together agree in: what decides the batches and plans, and
 * what the trainer does once for all.
 */
char *sftn_together_text(const sftn_train_options *options, sftn_views views);
/* The first member in which two JSON objects differ, with both values; false where they agree. */
typedef struct sftn_difference {
    char name[64], there[96], here[96];
} sftn_difference;
bool sftn_options_differ(const char *there, const char *here, sftn_difference *d);

/* ---- phase.c ---- */
/* The steps of the current phase. */
sftn_train_step *sftn_run_steps(sftn_run_state *r);
/* The terms of a phase. */
const sftn_terms *sftn_run_terms(const sftn_run_state *r, int phase);
/* Count the epochs of all phases. */
void sftn_run_count_epochs(sftn_run_state *r);
/*
 * Take up the phase that the position is in.  At its very first step, the optimizer and averages
 * begin anew; elsewhere they were read from a checkpoint.
 */
sftn_status sftn_run_enter_phase(sftn_run_state *r, sftn_error *err);
/* Learning rate of the next step. */
double sftn_run_lr(const sftn_run_state *r);

/* ---- checkpoint.c ---- */
/* DIR/checkpoint.safetensors; NUMERIC, and nothing written, where a weight is not finite. */
sftn_status sftn_checkpoint_save(const sftn_run_state *r, sftn_error *err);
/* Fill stores, momentum, averages, position and memory; ARGUMENT where it is another run's. */
sftn_status sftn_checkpoint_load(sftn_run_state *r, sftn_error *err);
/* model.safetensors, the other stores, ema.safetensors. */
sftn_status sftn_networks_save(sftn_run_state *r, sftn_error *err);

/* ---- log.c ---- */
/* Make the run directory's log hold `epochs` lines at most. */
sftn_status sftn_log_truncate(const char *dir, int64_t epochs, sftn_error *err);
sftn_status sftn_log_append(const char *dir, const sftn_progress *p, const char *const *term_name,
                            sftn_error *err);

/* ---- progress.c ---- */
/* Add the values of the step that s just ran; NUMERIC, by name, for what must not go on. */
sftn_status sftn_run_observe(sftn_run_state *r, const sftn_train_step *s, int64_t images,
                             sftn_error *err);
/* The state of the run as a record of progress. */
void sftn_run_progress(const sftn_run_state *r, sftn_progress *p);

/* ---- run.c ---- */
/* Check options and make what does not depend on plans; close also after a failure. */
sftn_status sftn_run_open(sftn_run_state *r, sftn_error *err);
/* After the steps have been compiled: evaluators, the run directory, the checkpoint's state. */
sftn_status sftn_run_begin(sftn_run_state *r, const sftn_plan_options *plan, sftn_error *err);
void sftn_run_close(sftn_run_state *r);
/* Neither done nor failed. */
bool sftn_run_active(const sftn_run_state *r);
/*
 * Before the first step of the main phase, measure how the terms pull, which *b then says; b->n is
 * 0 at any other step.  s has its batch.
 */
sftn_status sftn_run_balance(sftn_run_state *r, const sftn_train_step *s,
                             const sftn_plan_options *plan, sftn_balance *b, sftn_error *err);
/* One step of s, which the batch and the guide have been written for. */
sftn_status sftn_run_step(sftn_run_state *r, const sftn_train_step *s, const sftn_batch *batch,
                          sftn_error *err);
/* Put the epoch and batch that the run is at before the text in err. */
void sftn_run_fail_here(const sftn_run_state *r, sftn_error *err);
/* The checkpoint, where steps were made since the last one. */
sftn_status sftn_run_save(sftn_run_state *r, sftn_error *err);
/* Measure, log and save; *p is the epoch's record. */
sftn_status sftn_run_end_epoch(sftn_run_state *r, sftn_progress *p, sftn_error *err);

#endif
