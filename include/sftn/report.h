/*
 * report.h: finished and running trainings, read back from their run directories: statistics over
 * seeds, tables and plots.
 */
#ifndef SFTN_REPORT_H
#define SFTN_REPORT_H

#include "sftn/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One line of log.jsonl.  Percentages are negative where they were not measured. */
typedef struct sftn_run_epoch {
    int64_t epoch; /* from 1 */
    double lr, loss, train_top1, validation_top1, test_top1, test_top5, ema_top1;
    double images_per_s; /* while it was trained; not of the state, so it may differ */
} sftn_run_epoch;

typedef struct sftn_run {
    char *name;    /* last component of the directory */
    char *network; /* model's name, "" where unknown */
    char *data;    /* data set's name, likewise */
    /*
     * JSON object with all that decides the run's numbers, as far as its network's file tells:
     * {"job": what was trained, "options": how}, or NULL.
     */
    char *description;
    int64_t seed; /* of its initial weights; -1: unknown */
    /*
     * What an experiment calls it without its seed, and its teacher likewise; NULL: these follow
     * from the description.  Where they are given, the description tells students of different
     * teachers apart by all but the teacher.
     */
    char *group, *teacher;
    bool plain_teacher; /* the teacher called so was trained by itself */
    char *hash;         /* an experiment's, of all that determines the network; NULL: not known */
    char *recipe; /* an experiment's command but for what differs between seeds; likewise */
    int nepochs;  /* lines of the log */
    sftn_run_epoch *epoch;
    bool finished; /* has a summary: `result` is set */
    char *state;   /* an experiment's word: done, failed, running ...; NULL: not of one */
    sftn_train_result result;
    double teacher_top1; /* its teacher's on the test images, percent; negative: not measured */
    bool compared;       /* `similarity` with its teacher is set */
    sftn_similarity similarity;
} sftn_run;

/*
 * Write DIR/summary.json, atomically: the job's description, the result, what the teacher scored on
 * the test images (NULL: not measured) and the similarity with it (NULL: none).
 */
SFTN_API sftn_status sftn_run_write_summary(const char *dir, const sftn_job *job,
                                            const sftn_train_result *result,
                                            const sftn_scores *teacher,
                                            const sftn_similarity *similarity, sftn_error *err);

/*
 * Read log.jsonl, summary.json where there is one, and what model.safetensors says of itself.
 * FILE: not a run directory.  FORMAT names file and line.  A last line cut short is left out.
 */
SFTN_API sftn_status sftn_run_read(const char *dir, sftn_run *run, sftn_error *err);
SFTN_API void sftn_run_free(sftn_run *run);
/* An array of n runs and the runs; NULL is fine. */
SFTN_API void sftn_runs_free(sftn_run *runs, int n);

/*
 * Read the rows of an experiment's results ("runs": [...]), each as a run, with its log where its
 * directory is there and of the last epoch alone where not; *runs is owned by the caller
 * (sftn_runs_free).
 */
SFTN_API sftn_status sftn_results_read(const char *path, sftn_run **runs, int *n, sftn_error *err);

/* ---- statistics ---- */

/*
 * Mean of n independent numbers, their standard deviation (n - 1) and Student's interval for the
 * mean.  NaN where there is none: the mean of no number; the other three of fewer than two.
 */
typedef struct sftn_sample {
    int n, above, below; /* how many there are, above zero, below zero */
    double mean, sd, low, high;
} sftn_sample;

/* x: [n]; 0 < level < 1, such as 0.95. */
SFTN_API sftn_sample sftn_sample_of(const double *x, int n, double level);
/* t for which a Student variable of `freedom` degrees, at least 1, lies in [-t, t] so often. */
SFTN_API double sftn_student_t(double level, int freedom);

/* What is compared between runs.  Percentages are of images; the last epoch's unless said. */
typedef enum sftn_measure {
    SFTN_MEASURE_LAST,      /* top-1 on the test images, after the last epoch */
    SFTN_MEASURE_BEST,      /* the same of the epoch that was best on the held-out records */
    SFTN_MEASURE_TRAIN,     /* top-1 on the augmented training batches */
    SFTN_MEASURE_AGREEMENT, /* with its teacher, on the test images */
    SFTN_MEASURE_KL,        /* KL(teacher || student), likewise */
    SFTN_MEASURES
} sftn_measure;
/* NaN where it was not measured. */
SFTN_API double sftn_run_measure(const sftn_run *run, sftn_measure measure);

typedef enum sftn_grouping {
    SFTN_GROUP_NONE,  /* every run by itself */
    SFTN_GROUP_SEEDS, /* runs whose descriptions differ in nothing but seeds (and those of their
                         teachers' trainings); a run without a description is by itself */
    SFTN_GROUP_NAMES, /* runs whose names differ in nothing but the number after "seed" */
} sftn_grouping;

/* Samples are over seeds: runs of the same seed count as one, with their mean. */
typedef struct sftn_run_group {
    char label[192];   /* what it is, and how it differs from others of the list */
    char teacher[192]; /* "resnet20 sftn"; "" where there is none, or it is not known */
    int n, unfinished;
    int *run; /* [n]: which of the runs; those that are not finished are not in the samples */
    sftn_sample sample[SFTN_MEASURES];
} sftn_run_group;

/*
 * One group minus another, paired over the seeds that both have; or, "mean of 3 students of
 * friendly" minus "mean of 3 students of plain", the mean of such differences, seed by seed, over
 * the seeds that all of them have.
 */
typedef struct sftn_run_difference {
    char label[224], against[224];
    sftn_sample sample[SFTN_MEASURES];
} sftn_run_difference;

typedef struct sftn_run_statistics {
    double level;
    int ngroups, ndifferences;
    sftn_run_group *group;
    sftn_run_difference *difference;
} sftn_run_statistics;

/*
 * Group runs, by seeds or by names; no run, description or name is kept.  against says what
 * differences are taken: a teacher's name (each group whose teacher is another, minus the group
 * that is equal but for the teacher; then for two teachers of several students the mean over them;
 * then these teachers themselves, where they are among the groups), or a group's label (all others
 * minus that one); NULL: against every ordinary teacher, where there are groups of both.  ARGUMENT
 * where there is no such name.
 */
SFTN_API sftn_status sftn_runs_group(const sftn_run *runs, int n, sftn_grouping by,
                                     const char *against, double level, sftn_run_statistics *s,
                                     sftn_error *err);
SFTN_API void sftn_run_statistics_free(sftn_run_statistics *s);

/* ---- tables and plots ---- */

typedef enum sftn_table_format {
    SFTN_TABLE_TEXT,
    SFTN_TABLE_MARKDOWN,
    SFTN_TABLE_CSV, /* a line a run; or a group, and then a difference: `against` is not empty */
    SFTN_TABLE_JSON,
} sftn_table_format;

/* One line for each run; *text is owned by the caller (free). */
SFTN_API sftn_status sftn_runs_table(const sftn_run *runs, int n, sftn_table_format format,
                                     char **text, sftn_error *err);
/*
 * One line for each group of the same runs, and one for each difference; as text, then also what
 * the differences say, in sentences made from them: "higher" or "lower" where the interval leaves
 * out zero, "no difference shown" where it holds it.
 */
SFTN_API sftn_status sftn_groups_table(const sftn_run *runs, const sftn_run_statistics *s,
                                       sftn_table_format format, char **text, sftn_error *err);
typedef enum sftn_plot_kind {
    SFTN_PLOT_CURVES,      /* accuracy by epoch; of groups mean and standard deviation */
    SFTN_PLOT_INTERVALS,   /* a row for each group: mean, its interval, single seeds */
    SFTN_PLOT_DIFFERENCES, /* a row for each difference, likewise */
} sftn_plot_kind;

typedef struct sftn_plot_options {
    sftn_plot_kind kind;
    int width, height; /* pixels */
} sftn_plot_options;

/*
 * Draw n runs, or groups of them (s; NULL: every run by itself), into a file whose name ends in
 * .svg or .png.  ARGUMENT where it ends otherwise, the picture is too small, or there is nothing of
 * that kind to draw.
 */
SFTN_API sftn_status sftn_runs_plot(const sftn_run *runs, int n, const sftn_run_statistics *s,
                                    const sftn_plot_options *options, const char *file,
                                    sftn_error *err);

#ifdef __cplusplus
}
#endif
#endif
