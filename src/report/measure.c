/* measure: the figures that are compared between runs. */
#include "report/measure.h"

#include <math.h>

const sftn_measure_row sftn_measures[SFTN_MEASURES] = {
    [SFTN_MEASURE_LAST] = {"test_top1", "test, last epoch", "test accuracy", " %", " points", 2},
    [SFTN_MEASURE_BEST] = {"best_test_top1", "test, best on validation", NULL, " %", " points", 2},
    [SFTN_MEASURE_TRAIN] = {"train_top1", "training", NULL, " %", " points", 2},
    [SFTN_MEASURE_AGREEMENT] = {"agreement", "agreement", "agreement with its teacher", " %",
                                " points", 2},
    [SFTN_MEASURE_KL] = {"kl_teacher_student", "KL", "KL(teacher || student)", "", "", 4},
};

double sftn_run_measure(const sftn_run *run, sftn_measure measure)
{
    const sftn_run_epoch *last = run->nepochs ? &run->epoch[run->nepochs - 1] : NULL;
    double x = -1.0;

    switch (measure) {
    case SFTN_MEASURE_LAST:
        x = run->finished ? run->result.last_top1 : last ? last->test_top1 : -1.0;
        break;
    case SFTN_MEASURE_BEST: x = run->finished ? run->result.best_test_top1 : -1.0; break;
    case SFTN_MEASURE_TRAIN: x = last ? last->train_top1 : -1.0; break;
    case SFTN_MEASURE_AGREEMENT: x = run->compared ? run->similarity.agreement : -1.0; break;
    case SFTN_MEASURE_KL: return run->compared ? run->similarity.kl_teacher_student : NAN;
    default: break;
    }
    return x >= 0.0 ? x : NAN;
}
