/*
 * schedule: the learning rate at a position counted in epochs (epoch + batch / batches, from 0).
 *
 *     step      lr gamma^k, k the number of milestones at or before the position
 *     cosine    final + (lr - final) (1 + cos(pi x)) / 2, x from 0 (warm-up over) to 1 at the end
 *     warm-up   the factor rises linearly from 1/100 at position 0 to 1 at `warmup`
 *
 * A milestone of 150 is in effect from the first step of the 151st epoch on, as in RepDistiller.
 */
#include "sftn/schedule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/*
 * A milestone that falls on a step is written in decimal and the step's position is a quotient:
 * they may differ by rounding, never by more than this.
 */
static const double same_position = 1e-9;

static double step_lr(const sftn_schedule *s, double position)
{
    int passed = 0;

    for (int i = 0; i < s->nmilestones; i++)
        passed += position >= s->milestone[i] - same_position;
    return s->lr * pow(s->gamma, passed);
}

static double cosine_lr(const sftn_schedule *s, double position)
{
    const double length = s->epochs - s->warmup;
    double x = length > 0.0 ? (position - s->warmup) / length : 1.0;

    x = x < 0.0 ? 0.0 : x > 1.0 ? 1.0 : x;
    return s->final_lr + (s->lr - s->final_lr) * 0.5 * (1.0 + cos(pi * x));
}

double sftn_schedule_lr(const sftn_schedule *s, double position)
{
    const double lr = s->kind == SFTN_SCHEDULE_COSINE ? cosine_lr(s, position)
                                                      : step_lr(s, position);

    if (position >= s->warmup - same_position)
        return lr;
    return lr * (0.01 + 0.99 * position / s->warmup);
}
