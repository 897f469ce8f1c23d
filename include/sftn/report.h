/*
 * report.h: finished and running trainings, read back from their run directories.
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
    int nepochs;   /* lines of the log */
    sftn_run_epoch *epoch;
    bool finished; /* has a summary: `result` is set */
    sftn_train_result result;
    bool compared; /* `similarity` with its teacher is set */
    sftn_similarity similarity;
} sftn_run;

/*
 * Write DIR/summary.json, atomically: the job's description, the result, and the similarity with
 * the teacher (NULL: none).
 */
SFTN_API sftn_status sftn_run_write_summary(const char *dir, const sftn_job *job,
                                            const sftn_train_result *result,
                                            const sftn_similarity *similarity, sftn_error *err);

/*
 * Read log.jsonl, summary.json where there is one, and what model.safetensors says of itself.
 * FILE: not a run directory.  FORMAT names file and line.  A last line cut short is left out.
 */
SFTN_API sftn_status sftn_run_read(const char *dir, sftn_run *run, sftn_error *err);
SFTN_API void sftn_run_free(sftn_run *run);

/* Draw test accuracy by epoch, a line for each of n runs, as a PNG of width x height pixels. */
SFTN_API sftn_status sftn_runs_plot(const sftn_run *runs, int n, int width, int height,
                                    const char *png, sftn_error *err);

#ifdef __cplusplus
}
#endif
#endif
