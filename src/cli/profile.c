/* profile: kernels and kinds of ops by the time they take, each beside its roofline. */
#include "cli/profile.h"

#include <stdlib.h>
#include <string.h>

#define SHARE_SHOWN 0.001

/* Append the rows of one more plan. */
static sftn_status add_plan(cli_profile *p, const sftn_plan *plan, sftn_error *err)
{
    sftn_profile_row *row, *all;
    int n;
    const sftn_status status = sftn_plan_profile(plan, &row, &n, err);

    if (status != SFTN_OK)
        return status;
    all = realloc(p->row, ((size_t)p->nrows + (size_t)n + 1) * sizeof *all);
    if (all) {
        memcpy(all + p->nrows, row, (size_t)n * sizeof *row);
        p->row = all;
        p->nrows += n;
    }
    free(row);
    return all ? SFTN_OK : sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a profile");
}

static int longer_row_first(const void *a, const void *b)
{
    const double x = ((const sftn_profile_row *)a)->seconds;
    const double y = ((const sftn_profile_row *)b)->seconds;

    return (x < y) - (x > y);
}

sftn_status cli_profile_new(cli_workload *w, sftn_precision precision, double step_ms,
                            cli_profile *p, sftn_error *err)
{
    sftn_status status = SFTN_OK;

    *p = (cli_profile){.step_ms = step_ms};
    for (int i = 0; status == SFTN_OK && cli_workload_plan(w, i); i++)
        status = add_plan(p, cli_workload_plan(w, i), err);
    if (status != SFTN_OK)
        return status;
    qsort(p->row, (size_t)p->nrows, sizeof *p->row, longer_row_first);
    return sftn_measure_peak(precision, &p->peak, err);
}

void cli_profile_free(cli_profile *p)
{
    free(p->row);
    p->row = NULL;
}

/* ---- rows ---- */

/* Rows of one op added up; its bound is the sum of theirs. */
typedef struct total {
    const char *op;
    int steps;
    double seconds, flops, bytes, bound;
} total;

static double bound(const cli_profile *p, const sftn_profile_row *r)
{
    const double n = r->steps;

    return n * sftn_roofline_seconds(&p->peak, r->flops / n, r->bytes / n);
}

static void add(total *t, const cli_profile *p, const sftn_profile_row *r)
{
    t->steps += r->steps;
    t->seconds += r->seconds;
    t->flops += r->flops;
    t->bytes += r->bytes;
    t->bound += bound(p, r);
}

static int longest_first(const void *a, const void *b)
{
    const double x = ((const total *)a)->seconds, y = ((const total *)b)->seconds;

    return (x < y) - (x > y);
}

/* Totals by op, longest first, and *all of them; the array is the caller's; NULL: out of memory. */
static total *add_up(const cli_profile *p, int *n, total *all)
{
    total *list = calloc((size_t)p->nrows + 1, sizeof *list);

    *n = 0;
    *all = (total){.op = "all"};
    for (int i = 0; list && i < p->nrows; i++) {
        int k = 0;

        while (k < *n && strcmp(list[k].op, p->row[i].op) != 0)
            k++;
        list[k].op = p->row[i].op;
        *n += k == *n;
        add(&list[k], p, &p->row[i]);
        add(all, p, &p->row[i]);
    }
    if (list)
        qsort(list, (size_t)*n, sizeof *list, longest_first);
    return list;
}

/* ---- text ---- */

void cli_peak_print(const sftn_peak *peak)
{
    printf("%-14s %.1f GFLOP/s (%s)\n", "peak", 1e-9 * peak->flops, peak->isa);
    printf("%-14s", "copy of");
    for (int i = 0; i < SFTN_COPY_SIZES; i++) {
        char size[32];

        cli_format_bytes((int64_t)sftn_copy_size(i), size, sizeof size);
        printf(" %s at %.1f%s", size, 1e-9 * peak->copy_bytes[i],
               i < SFTN_COPY_SIZES - 1 ? "," : " GB/s\n");
    }
}

static void print_head(const char *last)
{
    printf("\n%9s %6s %6s %9s %9s %8s %7s %9s  %s\n", "ms", "%", "steps", "GFLOP", "MB", "GFLOP/s",
           "GB/s", "roofline", last);
}

static void print_total(const total *t, double all_seconds)
{
    const double s = t->seconds > 0.0 ? t->seconds : 1e-9;

    printf("%9.3f %6.1f %6d %9.3f %9.2f %8.1f %7.1f %7.0f %%  ", 1e3 * t->seconds,
           100.0 * t->seconds / all_seconds, t->steps, 1e-9 * t->flops, 1e-6 * t->bytes,
           1e-9 * t->flops / s, 1e-9 * t->bytes / s, 100.0 * t->bound / s);
}

/* The rows that matter, and the others as one. */
static void print_rows(const cli_profile *p, const total *all)
{
    total others = {0};

    for (int i = 0; i < p->nrows; i++) {
        const sftn_profile_row *r = &p->row[i];
        total one = {0};

        add(r->seconds < SHARE_SHOWN * all->seconds ? &others : &one, p, r);
        if (one.steps == 0)
            continue;
        print_total(&one, all->seconds);
        printf("%s, %s%s%s, %s\n", r->op, r->kernel, r->detail[0] ? ", " : "", r->detail,
               r->shapes);
    }
    if (others.steps > 0) {
        print_total(&others, all->seconds);
        printf("kernels that take less than %.1f %% each\n", 100.0 * SHARE_SHOWN);
    }
}

void cli_profile_print(const cli_profile *p)
{
    total all;
    int n;
    total *list = add_up(p, &n, &all);

    cli_peak_print(&p->peak);
    print_head("kernels");
    print_rows(p, &all);
    print_head("ops");
    for (int i = 0; list && i < n; i++) {
        print_total(&list[i], all.seconds);
        printf("%s\n", list[i].op);
    }
    print_total(&all, all.seconds);
    printf("%s\n", all.op);
    printf("\nThe median step takes %.2f ms: also the update of weights, and what interrupts it.\n",
           p->step_ms);
    puts("GFLOP: by the op's definition (Winograd's algorithm computes less).  MB: operands and\n"
         "results once each.  Roofline: the time of the arithmetic at the machine's peak, or of a\n"
         "copy of as many bytes, whichever is longer, as a share of the time taken.");
    free(list);
}

/* ---- JSON ---- */

static void add_text(json_object *o, const char *key, const char *text)
{
    json_object_object_add(o, key, json_object_new_string(text));
}

void cli_peak_add(const sftn_peak *peak, json_object *o)
{
    json_object *at = json_object_new_object(), *copies = json_object_new_array();

    for (int i = 0; i < SFTN_COPY_SIZES; i++) {
        json_object *copy = json_object_new_object();

        json_object_object_add(copy, "bytes",
                               json_object_new_int64((int64_t)sftn_copy_size(i)));
        cli_add_number(copy, "gb_per_s", 1e-9 * peak->copy_bytes[i]);
        json_object_array_add(copies, copy);
    }
    add_text(at, "isa", peak->isa);
    cli_add_number(at, "gflop_per_s", 1e-9 * peak->flops);
    json_object_object_add(at, "copies", copies);
    json_object_object_add(o, "peak", at);
}

void cli_profile_add(const cli_profile *p, json_object *o)
{
    json_object *rows = json_object_new_array();

    for (int i = 0; i < p->nrows; i++) {
        const sftn_profile_row *r = &p->row[i];
        json_object *row = json_object_new_object();

        add_text(row, "op", r->op);
        add_text(row, "kernel", r->kernel);
        add_text(row, "detail", r->detail);
        add_text(row, "shapes", r->shapes);
        json_object_object_add(row, "steps", json_object_new_int(r->steps));
        json_object_object_add(row, "product", json_object_new_boolean(r->product));
        cli_add_number(row, "ms", 1e3 * r->seconds);
        cli_add_number(row, "gflop", 1e-9 * r->flops);
        cli_add_number(row, "mb", 1e-6 * r->bytes);
        cli_add_number(row, "roofline", r->seconds > 0.0 ? bound(p, r) / r->seconds : 0.0);
        json_object_array_add(rows, row);
    }
    cli_peak_add(&p->peak, o);
    json_object_object_add(o, "profile", rows);
}
