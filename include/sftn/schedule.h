/*
 * schedule.h: the learning rate over a training, or over one phase of it.
 */
#ifndef SFTN_SCHEDULE_H
#define SFTN_SCHEDULE_H

#include "sftn/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sftn_schedule_kind { SFTN_SCHEDULE_STEP, SFTN_SCHEDULE_COSINE } sftn_schedule_kind;

typedef struct sftn_schedule {
    sftn_schedule_kind kind;
    double lr;               /* base learning rate */
    int epochs;
    int nmilestones;
    double milestone[16];    /* in epochs from 0: lr *= gamma from the first step at or past it */
    double gamma;
    double warmup;           /* epochs of linear warm-up from lr / 100; 0: none */
    double final_lr;         /* cosine: where it ends */
} sftn_schedule;

/* Learning rate at a position in epochs (epoch + batch / batches), position >= 0. */
SFTN_API double sftn_schedule_lr(const sftn_schedule *s, double position);

#ifdef __cplusplus
}
#endif
#endif
