/* dump.c: a plan in text: one line a step, with kernel, forms, bytes and measured times. */
#include "plan/plan.h"

#include <string.h>

static const char *dtype_name(sftn_dtype dtype)
{
    return dtype == SFTN_BF16 ? "bf16" : dtype == SFTN_F32 ? "f32" : "f64";
}

static const char *layout_name(sftn_layout layout)
{
    return layout == SFTN_NHWC ? "nhwc" : layout == SFTN_NCHW ? "nchw" : "packed";
}

/* "bf16 nhwc [64,16,32,32]" */
static void format_desc(const sftn_desc *d, char *buf, size_t size)
{
    char shape[64];

    sftn_shape_format(&d->shape, shape, sizeof shape);
    snprintf(buf, size, "%s %s %s", dtype_name(d->dtype), layout_name(d->layout), shape);
}

static void dump_steps(const sftn_plan *plan, const sftn_step_list *list, double total, FILE *out)
{
    for (int i = 0; i < list->n; i++) {
        const sftn_plan_step *s = &list->step[i];
        const sftn_buffer *to = s->nout > 0 ? &plan->buffer[s->out[0]] : NULL;
        char desc[128] = "";
        const double bytes = sftn_step_bytes(plan, s), seconds = sftn_step_seconds(plan, s);

        if (to != NULL)
            format_desc(&to->desc, desc, sizeof desc);
        fprintf(out, "%5d  %-20s %-34s %-34s %9.1f KiB", i, s->op, s->kernel.name, desc,
                bytes / 1024.0);
        if (seconds > 0.0)
            fprintf(out, " %9.3f ms %5.1f %% %8.1f GFLOP/s %6.1f GB/s", 1e3 * seconds,
                    seconds / total * 100.0, 1e-9 * s->kernel.flops / seconds,
                    1e-9 * bytes / seconds);
        fprintf(out, "  %s%s%s\n", s->scope, s->detail[0] != '\0' ? "  " : "", s->detail);
    }
}

void sftn_plan_dump(const sftn_plan *plan, FILE *out)
{
    double total = 0.0;

    for (int i = 0; i < plan->steps.n; i++)
        total += sftn_step_seconds(plan, &plan->steps.step[i]);
    fprintf(out, "plan: backend %s, %s, %d steps, %d frozen steps\n", plan->backend->name,
            strcmp(plan->backend->name, "ref") == 0 ? "float64"
            : plan->options.precision == SFTN_BFLOAT16 ? "bfloat16"
                                                       : "float32",
            plan->steps.n, plan->frozen.n);
    fprintf(out,
            "memory: arena %.2f MiB (%.2f MiB without reuse), frozen %.2f MiB, kept %.2f MiB\n",
            (double)plan->arena_bytes / 1048576.0, (double)plan->value_bytes / 1048576.0,
            (double)plan->frozen_bytes / 1048576.0, (double)plan->kept_bytes / 1048576.0);
    if (total > 0.0)
        fprintf(out, "time: %.3f ms a run, the sum of the steps' medians over the last %d runs\n",
                1e3 * total,
                plan->runs < SFTN_PROFILE_RUNS ? (int)plan->runs : SFTN_PROFILE_RUNS);
    if (plan->frozen.n > 0) {
        fputs("computed once:\n", out);
        dump_steps(plan, &plan->frozen, 0.0, out);
        fputs("each run:\n", out);
    }
    dump_steps(plan, &plan->steps, total, out);
}
