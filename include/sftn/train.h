/*
 * train.h: training, evaluation, similarity of two networks.
 *
 * A job says what is built for a batch (a teacher with its branches; a student beside a frozen
 * teacher).  The trainer knows nothing else of it: it compiles the job's graph, feeds it, updates
 * the job's parameters, and keeps the run's state so that it can stop anywhere and go on exactly.
 * Several jobs may be trained at once on the same batches, and from one teacher's answers.
 */
#ifndef SFTN_TRAIN_H
#define SFTN_TRAIN_H

#include "sftn/data.h"
#include "sftn/distill.h"
#include "sftn/mutual.h"
#include "sftn/schedule.h"
#include "sftn/teacher.h"
#include "sftn/views.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what is trained ---- */

enum { SFTN_MAX_STORES = 8 };

/*
 * A phase of training before the main one, in which something is prepared: with a loss of its own,
 * a length and learning rates of its own, and momentum and averages of its own.  A phase trains the
 * parameters that its loss reaches, and leaves all others as they are.
 */
enum { SFTN_MAX_PHASES = 8 };
typedef struct sftn_job_phase {
    char name[32];
    sftn_schedule schedule; /* from the phase's first epoch on; lr 0: the run's base rate */
} sftn_job_phase;

/* What a job builds into a graph for one batch size. */
typedef struct sftn_job_graph {
    sftn_graph *g;
    int phase;         /* which of the job's; its nphases: the main one */
    sftn_value image;  /* [n,C,H,W]; where the job has several views, of each (views.h) */
    sftn_value labels; /* [n,1,1,1] */
    sftn_value record; /* [n,1,1,1] which records of the training set they are, from 0 */
    sftn_value epoch;  /* [1,1,1,1] which of the phase's epochs it is, from 1 */
    int classes;
    sftn_terms terms;   /* out: the loss is the sum of weight * factor * value */
    sftn_value logits;  /* out: of the network being trained, for training accuracy; the main
                           phase has them */
} sftn_job_graph;

/*
 * What a job finds out about its networks on held-out images: after each epoch of the main phase
 * the trainer hands the mean over the validation split to settle, which changes one entry of a
 * store, so that checkpoints hold what was found.
 */
typedef struct sftn_job_survey {
    /*
     * Append to a graph of its own, in which every parameter is frozen, what is asked of a batch of
     * images as they are: [n,...], wide, the same number of values for each.  NULL: no survey.
     */
    sftn_value (*row)(void *self, sftn_graph *g, sftn_value image, sftn_value labels);
    void (*settle)(void *self, const double *mean, float *entry);
    int store, entry; /* which the entry is */
    const char *why;  /* held-out images are needed, a clause: where there are none */
} sftn_job_survey;

typedef struct sftn_job {
    void *self;
    void (*build)(void *self, sftn_job_graph *graph);
    /*
     * What the job learns from besides the batch, computed from the images and never trained (a
     * frozen teacher's taps): outputs of a graph of its own.  build takes those that it wants as
     * inputs of the same names and types.  Jobs with the same guide_id have the same guide, which
     * is run once for all that are trained together.  NULL: none.
     */
    void (*guide)(void *self, sftn_graph *g, sftn_value image);
    const void *guide_id;
    void (*free)(void *self);
    sftn_params *params[SFTN_MAX_STORES]; /* trained; [0] is the network itself (owned by self) */
    const char *params_name[SFTN_MAX_STORES]; /* "model", "branches", "method" */
    int nparams;
    /* Of the stores from [1] on, which are networks trained beside the first; NULL: none. */
    const sftn_model *peer[SFTN_MAX_STORES];
    sftn_job_phase phase[SFTN_MAX_PHASES]; /* before the main one, in their order */
    int nphases;
    sftn_job_survey survey;
    sftn_views views; /* that the batches must hold, in every phase */
    const sftn_model *model; /* the network being trained */
    int classes;
    char description[8192]; /* JSON object: what the job is, with all its options */
} sftn_job;

SFTN_API void sftn_job_free(sftn_job *job);

/*
 * Teacher training.  scheme_options is scheme's options struct (copied).  init_from (may be NULL)
 * is a checkpoint with the teacher's plain keys to start from (the cheap variant).
 */
typedef struct sftn_teach_options {
    const sftn_teacher_scheme *scheme;
    const void *scheme_options;
    const sftn_model *teacher;
    const sftn_model *student; /* NULL where the scheme needs none */
    int classes, channels, image_size;
    float smoothing;
    const char *init_from;
    uint64_t seed;
} sftn_teach_options;
SFTN_API sftn_status sftn_teach_job(const sftn_teach_options *options, sftn_job *job,
                                    sftn_error *err);

/* One method of a distillation with its weight. */
typedef struct sftn_method_use {
    const sftn_distiller *method;
    const void *options;
    double weight;
    const char *pairs; /* of taps (distill.h), must outlive the job; NULL: the method's own */
} sftn_method_use;

typedef struct sftn_distill_options {
    const sftn_model *student;
    const sftn_model *teacher;
    const char *teacher_file; /* checkpoint with its plain keys; NULL: a teacher at random,
                                 for timing and looking at plans */
    const sftn_job *shares;   /* a distillation with that teacher, whose copy of it is used; it
                                 must outlive this job.  NULL: the file is read */
    bool teacher_batch_norms; /* the teacher's batch norms use each batch's statistics, as in its
                                 training, and leave the running ones as they are */
    sftn_method_use use[8];
    int nuse;
    /*
     * Views that batches hold for students trained beside this one; of those that its methods do
     * not take, it sees the first alone.  Fewer than its methods take, or 0: theirs.
     */
    sftn_views views;
    double task_weight;
    float smoothing;
    int classes, channels, image_size;
    const sftn_dataset *data; /* whose training records methods may remember (read by
                                 sftn_distill_job only).  NULL: none; without a teacher_file, as
                                 if there were 50,000, evenly of all classes */
    const char *branch_file; /* start stages and head from a branch; NULL: at random */
    int branch;              /* which branch, from 1 */
    uint64_t seed;
} sftn_distill_options;
SFTN_API sftn_status sftn_distill_job(const sftn_distill_options *options, sftn_job *job,
                                      sftn_error *err);

/* Several networks trained together; everything is copied. */
typedef struct sftn_mutual_options {
    const sftn_mutual *method;
    const void *options; /* the method's options struct; NULL: its defaults */
    double weight;
    const sftn_model *network[SFTN_MAX_PEERS]; /* the job's own, then its peers */
    int n;
    int classes, channels, image_size;
    float smoothing;
    uint64_t seed;
} sftn_mutual_options;
SFTN_API sftn_status sftn_mutual_job(const sftn_mutual_options *options, sftn_job *job,
                                     sftn_error *err);

/* ---- how it is trained ---- */

typedef struct sftn_train_options {
    sftn_plan_options plan;
    sftn_schedule schedule; /* of the main phase */
    int64_t batch;
    double momentum, weight_decay;
    /*
     * Distillation-oriented training (Zhao et al., ICCV 2023): gradients of the loss terms' two
     * groups have a momentum each, the task's smaller by this much, the distillation's larger.
     * 0: one momentum for their sum.
     */
    double dot;
    bool nesterov;
    double clip;          /* gradient norm above which gradients are scaled down; 0: never */
    double ema;           /* decay of the averaged weights; 0: none */
    sftn_augment augment;
    uint64_t seed; /* of the batches: order of the images and their augmentation */
    int loader_threads;
    const char *dir;      /* run directory: checkpoint, model, log; made if absent */
    bool resume;          /* go on from dir's checkpoint */
    bool test_at_end;     /* the test split is measured once, after the last epoch */
    double save_minutes;  /* also save in mid-epoch this often; 0: at epoch ends only */
} sftn_train_options;

/*
 * How strongly the terms of a loss pull at the networks that they are to teach: norms of their
 * gradients on one batch, each with its weight (and without warm-up), beside that of the labels'
 * term.  The methods' published weights give ratios from 0.01 (vid) to 55 (fitnet), see
 * docs/numerics.md: what lies beyond these bounds, ten times as far, trains nothing or leaves
 * nothing of the labels.
 */
#define SFTN_WEAK_PULL   1e-3
#define SFTN_STRONG_PULL 1e3
typedef struct sftn_pull {
    char term[32], labels[32]; /* the names of the two terms */
    double weight, norm;
    double labels_norm; /* with its weight, or without one where that is 0 */
    double ratio;       /* norm / labels_norm */
    bool far;           /* the ratio is outside of that range */
    double balanced;    /* the weight with which the ratio would be 1 */
} sftn_pull;
typedef struct sftn_balance {
    int n; /* 0: there is only the labels' term, or nothing was measured */
    sftn_pull pull[SFTN_MAX_TERMS];
} sftn_balance;

/* One record of progress; sent after every step (epoch_done false) and every epoch. */
typedef struct sftn_progress {
    int member, members;   /* which of those that are trained together; 0 of 1 */
    int64_t epoch, epochs; /* the epoch being trained, or just done, from 1; of all phases */
    const char *phase;     /* the phase's name, NULL in the main one */
    int64_t batch, batches, step; /* done in the epoch; steps done in the run */
    double lr, images_per_s, elapsed_s, remaining_s, wait_share;
    int nterms;
    const char *term_name[SFTN_MAX_TERMS];
    double term[SFTN_MAX_TERMS]; /* mean over the epoch so far, unweighted */
    double loss;                 /* weighted total, likewise */
    /* Percent, of the (augmented) training batches; negative in a phase before the main one. */
    double train_top1;
    bool epoch_done;
    /* Percent; negative: not measured. */
    double validation_top1, test_top1, test_top5, test_loss;
    double ema_top1; /* test, averaged weights; negative: none */
    /* Networks trained beside the first: their stores' names and test accuracy. */
    int npeers;
    const char *peer_name[SFTN_MAX_STORES];
    double peer_top1[SFTN_MAX_STORES];
    /* What the job's survey then found: the entry's name and values; NULL: nothing. */
    const char *found_name;
    const float *found;
    int64_t nfound;
} sftn_progress;

typedef struct sftn_train_hooks {
    void *ctx;
    void (*progress)(void *ctx, const sftn_progress *p);
    /* Before a member's first step with its labels, where several terms teach its networks. */
    void (*balance)(void *ctx, int member, const sftn_balance *balance);
    bool (*stop)(void *ctx); /* asked after every step; true: save and return INTERRUPTED */
} sftn_train_hooks;

typedef struct sftn_train_result {
    double last_top1, last_top5;   /* test, after the last epoch: the reported figure */
    double best_validation_top1;   /* negative where no validation split was held out */
    int64_t best_epoch;
    double best_test_top1;         /* test accuracy of the epoch that was best on validation */
    double ema_top1;
    double seconds;
    int64_t steps; /* done by this call; 0: the run was done already */
    sftn_balance balance; /* when its main phase began, in whichever call that was */
} sftn_train_result;

/*
 * Train job on data.  Writes to options->dir, atomically: checkpoint.safetensors (weights,
 * momentum, averages, position, seed, options, threads), model.safetensors (the network under its
 * plain keys, after each epoch; further networks likewise), best.safetensors (best on validation),
 * log.jsonl (one line an epoch with every term).
 * INTERRUPTED after a stop: everything is saved.  NUMERIC: a non-finite loss, or a term that is
 * zero, constant or without gradient, by name; the last good checkpoint is kept.  A term is refused
 * where no gradient of it can reach its network, where the first batch's is exactly 0 or not
 * finite, where its value does not change in the first 20 steps of a phase, or later in 20 steps in
 * a row while another's does, and where it is exactly 0 in 20 steps in a row.  BACKEND: a plan
 * failed (sftn_plan_run); the last checkpoint is kept, and resuming from it ends in the same bits.
 */
SFTN_API sftn_status sftn_train(sftn_job *job, const sftn_dataset *data,
                                const sftn_train_options *options, const sftn_train_hooks *hooks,
                                sftn_train_result *result, sftn_error *err);

/*
 * Train several jobs at once, each in its own run directory and to the same bits as alone: every
 * batch is prepared once, a guide is run once, then each job makes its step.  The options must
 * agree in batch, augmentation, seed, plan, loader_threads and save_minutes, and the jobs in their
 * guide and views.  Jobs that are resumed may be at different positions: those behind catch up
 * first.
 *
 * A job that fails is left, with its error, and the others go on, unless it was the guide that they
 * share; then err says how many failed and
 * why the first did.  INTERRUPTED: all that were not done are saved.  Where the training cannot
 * begin, err says why, and every member's error the same.
 */
typedef struct sftn_member {
    sftn_job *job;
    const sftn_train_options *options;
    sftn_train_result result; /* out */
    sftn_error error;         /* out: how it ended */
} sftn_member;
SFTN_API sftn_status sftn_train_together(sftn_member *members, int n, const sftn_dataset *data,
                                         const sftn_train_hooks *hooks, sftn_error *err);

/*
 * Threads that the run in dir computed with when its checkpoint was written; *threads 0 where it
 * does not say.  Sums are divided among threads: a run that is resumed with another number
 * (sftn_set_threads) goes on well, but not to the same bits.
 */
SFTN_API sftn_status sftn_checkpoint_threads(const char *dir, int *threads, sftn_error *err);

/* ---- one step at a time ---- */

/*
 * A job compiled for batches of one size, with its optimizer: what sftn_train does between taking
 * a batch and reporting it.  The plan's inputs are called "image" and "labels"; its outputs "loss"
 * and "logits".  Where terms are warmed up there is an input "epoch", which is past every warm-up
 * unless it is written.  Uses plan, momentum, weight_decay, dot, nesterov and clip of options.
 */
typedef struct sftn_stepper sftn_stepper;

/*
 * phase: of the job's, its nphases being the main one.  image: [batch,C,H,W], of one view; the
 * plan's input has as many rows as the job's views need.  job must outlive the stepper.
 */
SFTN_API sftn_status sftn_stepper_new(sftn_job *job, int phase, const sftn_train_options *options,
                                      sftn_shape image, sftn_stepper **s, sftn_error *err);
SFTN_API void sftn_stepper_free(sftn_stepper *s);
/* The graph (kept for dumps) and the plan, owned by s; and those of the job's guide, or NULL. */
SFTN_API const sftn_graph *sftn_stepper_graph(const sftn_stepper *s);
SFTN_API sftn_plan *sftn_stepper_plan(sftn_stepper *s);
SFTN_API const sftn_graph *sftn_stepper_guide_graph(const sftn_stepper *s);
SFTN_API sftn_plan *sftn_stepper_guide_plan(sftn_stepper *s);
/*
 * Forward, backward, update of all the job's parameters at learning rate lr.  Allocates nothing.
 * Fails as sftn_plan_run does, and then updates nothing.
 */
SFTN_API sftn_status sftn_stepper_run(sftn_stepper *s, double lr, sftn_error *err);
/*
 * In the main phase, measure the pulls of the loss's terms on the batch that is in the inputs,
 * which compiles a plan.  Nothing that is trained changes, nor do running statistics or memories.
 * NUMERIC, naming the term, where a gradient is exactly 0 or not finite.
 */
SFTN_API sftn_status sftn_stepper_balance(sftn_stepper *s, sftn_balance *balance, sftn_error *err);

/* ---- networks in files ---- */

/* A trained network: its model, its parameters, and what it was trained on. */
typedef struct sftn_network {
    sftn_model model;
    sftn_params *params;
    int classes, channels, image_size;
    float mean[4], std[4];
    char data[64];
    char trained_on[32]; /* sftn_dataset_training_hash of the images; "" where it is not known */
    char **class_names;  /* [classes] or NULL */
} sftn_network;

SFTN_API sftn_status sftn_network_load(const char *path, sftn_network *net, sftn_error *err);
SFTN_API void sftn_network_free(sftn_network *net);

/* A number that stands for the training records, all labels and some of the pixels: 16 digits. */
SFTN_API void sftn_dataset_training_hash(const sftn_dataset *data, char hash[32]);

/* A teacher, and the student's branches that were trained with it. */
typedef struct sftn_branched {
    sftn_network teacher;
    sftn_model student;
    const sftn_teacher_scheme *scheme;
    void *scheme_options;
    sftn_job job;      /* the training it comes from; its store [1] holds the branches */
    void *description; /* of that training; owns texts of the options */
} sftn_branched;

/* path: as for sftn_network_load; branches.safetensors lies beside the teacher's file. */
SFTN_API sftn_status sftn_branched_load(const char *path, sftn_branched *b, sftn_error *err);
SFTN_API void sftn_branched_free(sftn_branched *b);

/* ---- measuring ---- */

typedef struct sftn_scores {
    int64_t n;
    double top1, top5, loss; /* percent, percent, mean cross-entropy */
} sftn_scores;
SFTN_API sftn_status sftn_evaluate(const sftn_network *net, const sftn_dataset *data,
                                   sftn_split split, const sftn_plan_options *plan,
                                   sftn_scores *scores, sftn_error *err);

/* How alike two networks answer on a split (temperature 1). */
typedef struct sftn_similarity {
    int64_t n;
    double kl_teacher_student, kl_student_teacher; /* mean over images, nats */
    double agreement;                              /* percent of equal top-1 answers */
    double cka_pooled, cka_logits;                 /* linear CKA, 0..1 */
} sftn_similarity;
SFTN_API sftn_status sftn_compare(const sftn_network *teacher, const sftn_network *student,
                                  const sftn_dataset *data, sftn_split split,
                                  const sftn_plan_options *plan, sftn_similarity *similarity,
                                  sftn_error *err);

/* How good a network's answers are on a split (temperature 1); percentages are of images. */
typedef struct sftn_answers {
    int64_t n;
    double top1;              /* percent */
    double loss;              /* cross-entropy with the labels, nats */
    double confidence;        /* percent: mean probability of the first answer */
    double calibration_error; /* percent: ECE, between confidence and accuracy */
    double entropy;           /* of the probabilities, nats */
} sftn_answers;

typedef struct sftn_tap_similarity {
    char teacher[24], student[24]; /* as sftn_taps_list names them */
    double cka;                    /* linear CKA, 0..1 */
} sftn_tap_similarity;

/* A student, or a branch, beside a teacher. */
typedef struct sftn_comparison {
    char name[48]; /* the network, or "branch1" */
    sftn_answers answers;
    sftn_similarity similarity;
    int ntaps; /* stages that both have, paired from the deep end */
    sftn_tap_similarity tap[SFTN_MAX_STAGES];
} sftn_comparison;

typedef struct sftn_compare_options {
    sftn_split split;
    sftn_plan_options plan;
    int bins; /* of the calibration error; 0: 15 */
    /*
     * A stage's feature is averaged to at most cells x cells values a channel, which are then
     * columns of its own: CKA of C channels keeps (C cells^2)^2 numbers.  0: no CKA of stages.
     */
    int cells;
} sftn_compare_options;

SFTN_API sftn_status sftn_compare_networks(const sftn_network *teacher,
                                           const sftn_network *student, const sftn_dataset *data,
                                           const sftn_compare_options *options,
                                           sftn_answers *teacher_answers,
                                           sftn_comparison *comparison, sftn_error *err);
/* The teacher's branches, as students; list: [SFTN_MAX_STAGES], filled with *n. */
SFTN_API sftn_status sftn_compare_branches(const sftn_branched *teacher, const sftn_dataset *data,
                                           const sftn_compare_options *options,
                                           sftn_answers *teacher_answers, sftn_comparison *list,
                                           int *n, sftn_error *err);

/* Class probabilities of one image, pixels [C,H,W] bytes; probability [classes]. */
SFTN_API sftn_status sftn_predict(const sftn_network *net, const uint8_t *pixels,
                                  const sftn_plan_options *plan, float *probability,
                                  sftn_error *err);

#ifdef __cplusplus
}
#endif
#endif
