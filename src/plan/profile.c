/* profile: the times of a plan's last runs, step by step and by kinds of steps. */
#include "plan/plan.h"

#include "sftn/profile.h"

#include <stdlib.h>
#include <string.h>

sftn_status sftn_profile_open(sftn_plan *plan, sftn_error *err)
{
    for (int i = 0; i < plan->steps.n; i++) {
        sftn_plan_step *s = &plan->steps.step[i];

        s->seconds = sftn_pool_alloc(&plan->pool, SFTN_PROFILE_RUNS * sizeof *s->seconds);
        if (s->seconds == NULL)
            return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a profile");
    }
    return SFTN_OK;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double sftn_step_seconds(const sftn_plan *plan, const sftn_plan_step *s)
{
    const int n = plan->runs < SFTN_PROFILE_RUNS ? (int)plan->runs : SFTN_PROFILE_RUNS;
    double seconds[SFTN_PROFILE_RUNS];

    if (s->seconds == NULL || n == 0)
        return 0.0;
    memcpy(seconds, s->seconds, (size_t)n * sizeof *seconds);
    qsort(seconds, (size_t)n, sizeof *seconds, by_size);
    return 0.5 * (seconds[(n - 1) / 2] + seconds[n / 2]);
}

double sftn_step_bytes(const sftn_plan *plan, const sftn_plan_step *s)
{
    double bytes = 0.0;

    for (int k = 0; k < s->nin; k++)
        bytes += (double)plan->buffer[s->in[k]].desc.bytes;
    for (int k = 0; k < s->nout; k++)
        bytes += (double)plan->buffer[s->out[k]].desc.bytes;
    return bytes;
}

void sftn_step_shapes(const sftn_plan *plan, const sftn_plan_step *s, char *buf, size_t size)
{
    sftn_strbuf b = {0};
    char shape[64];

    for (int k = 0; k < s->nin && s->nin <= 2; k++) {
        sftn_shape_format(&plan->buffer[s->in[k]].desc.shape, shape, sizeof shape);
        sftn_strbuf_add(&b, "%s ", shape);
    }
    if (s->nin > 2)
        sftn_strbuf_add(&b, "%d operands ", s->nin);
    sftn_strbuf_add(&b, "->");
    for (int k = 0; k < s->nout; k++) {
        sftn_shape_format(&plan->buffer[s->out[k]].desc.shape, shape, sizeof shape);
        sftn_strbuf_add(&b, " %s", shape);
    }
    snprintf(buf, size, "%s", b.text != NULL ? b.text : "");
    sftn_strbuf_free(&b);
}

static bool alike(const sftn_profile_row *a, const sftn_profile_row *b)
{
    return strcmp(a->op, b->op) == 0 && strcmp(a->kernel, b->kernel) == 0 &&
           strcmp(a->detail, b->detail) == 0 && strcmp(a->shapes, b->shapes) == 0;
}

static int longest_first(const void *a, const void *b)
{
    const double x = ((const sftn_profile_row *)a)->seconds;
    const double y = ((const sftn_profile_row *)b)->seconds;

    return (x < y) - (x > y);
}

sftn_status sftn_plan_profile(const sftn_plan *plan, sftn_profile_row **rows, int *nrows,
                              sftn_error *err)
{
    *rows = NULL;
    *nrows = 0;
    if (!plan->options.profile || plan->runs == 0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "the plan has no profile: it was %s",
                         plan->options.profile ? "never run" : "made without options.profile");
    sftn_profile_row *row = sftn_calloc((size_t)plan->steps.n, sizeof *row);
    int n = 0;

    if (row == NULL)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a profile");
    for (int i = 0; i < plan->steps.n; i++) {
        const sftn_plan_step *s = &plan->steps.step[i];
        int same = 0;

        row[n] = (sftn_profile_row){.op = s->op,
                                    .kernel = s->kernel.name,
                                    .detail = s->detail,
                                    .product = s->kernel.product};
        sftn_step_shapes(plan, s, row[n].shapes, sizeof row[n].shapes);
        while (!alike(&row[same], &row[n]))
            same++;
        n += same == n;
        row[same].steps++;
        row[same].seconds += sftn_step_seconds(plan, s);
        row[same].flops += s->kernel.flops;
        row[same].bytes += sftn_step_bytes(plan, s);
    }
    qsort(row, (size_t)n, sizeof *row, longest_first);
    *rows = row;
    *nrows = n;
    return SFTN_OK;
}
