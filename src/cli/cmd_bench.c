/* bench: how fast steps run. */
#include "cli/profile.h"
#include "cli/workload.h"

#include <stdlib.h>
#include <string.h>

typedef struct bench_options {
    float seconds;
    int steps;
    const char *scheme;
    bool profile, peak, json, methods;
} bench_options;

static const sftn_option table[] = {
    {"seconds", SFTN_OPT_FLOAT, offsetof(bench_options, seconds), 10, 0.1, 86400,
     "measure for about this long", NULL, NULL},
    {"steps", SFTN_OPT_INT, offsetof(bench_options, steps), 0, 0, 1000000,
     "measure so many steps instead", NULL, NULL},
    {"scheme", SFTN_OPT_STRING, offsetof(bench_options, scheme), 0, 0, 0,
     "teacher scheme of the workload sftn", "NAME", "sftn"},
    {"profile", SFTN_OPT_BOOL, offsetof(bench_options, profile), 0, 0, 1,
     "time each kernel too, and compare it with the machine's peak", NULL, NULL},
    {"peak", SFTN_OPT_BOOL, offsetof(bench_options, peak), 0, 0, 1,
     "measure only the machine: its fastest multiply-adds in --precision, and a copy of memory",
     NULL, NULL},
    {"methods", SFTN_OPT_BOOL, offsetof(bench_options, methods), 0, 0, 1,
     "every distillation method, each measured for that long in turn with kd: its speed, and the "
     "parameters and the memory that it takes more; steps before the labels too, and teacher and "
     "student learning together", NULL, NULL},
    {"json", SFTN_OPT_BOOL, offsetof(bench_options, json), 0, 0, 1,
     "print one JSON object (with --methods one for each)", NULL, NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "--workload sftn|kd|plain|frozen [options]\n"
                 "       sftn bench --methods [options]\n"
                 "       sftn bench --peak",
    .text = "Times whole steps (forward, backward, update) on synthetic images, after a few steps\n"
            "that are not counted.  images/s follows from the median.  GFLOP are two for each\n"
            "multiply-add of convolutions and matrix products by their definition.",
};

enum { WARMUP_STEPS = 3, MAX_STEPS = 1000000 };

typedef struct timing {
    int steps;
    double median_ms, min_ms, max_ms, images_per_s;
    int64_t peak_bytes; /* of the process; 0 where the system does not say */
    sftn_plan_stats plan;
} timing;

/* The kernel's high-water mark of resident memory. */
static int64_t peak_memory(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long long kib = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib * 1024;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of all the plans of a step, which run one after the other and share their arena. */
static sftn_plan_stats stats_of(cli_workload *w)
{
    sftn_plan_stats sum = {0};

    for (int i = 0; cli_workload_plan(w, i); i++) {
        const sftn_plan_stats s = sftn_plan_get_stats(cli_workload_plan(w, i));

        sum.steps += s.steps;
        sum.frozen_steps += s.frozen_steps;
        sum.arena_bytes = s.arena_bytes > sum.arena_bytes ? s.arena_bytes : sum.arena_bytes;
        sum.kept_bytes += s.kept_bytes;
        sum.frozen_bytes += s.frozen_bytes;
        sum.product_flops += s.product_flops;
    }
    return sum;
}

/* Sorts x. */
static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return 0.5 * (x[(n - 1) / 2] + x[n / 2]);
}

/* Run and time steps; ms has room for MAX_STEPS or opt->steps, whichever is used. */
static sftn_status measure(cli_workload *w, const bench_options *opt, double *ms, timing *t,
                           sftn_error *err)
{
    const int wanted = opt->steps ? opt->steps : MAX_STEPS;
    sftn_status status = SFTN_OK;
    double start;

    for (int i = 0; i < WARMUP_STEPS && !status; i++)
        status = cli_workload_run(w, err);
    start = cli_now();
    for (t->steps = 0; t->steps < wanted && !status && !cli_stop_requested(NULL);) {
        const double before = cli_now();

        if (!opt->steps && t->steps > 0 && before - start > (double)opt->seconds)
            break;
        status = cli_workload_run(w, err);
        ms[t->steps++] = 1e3 * (cli_now() - before);
    }
    if (status || t->steps == 0)
        return status;
    t->median_ms = median(ms, t->steps);
    t->min_ms = ms[0];
    t->max_ms = ms[t->steps - 1];
    t->images_per_s = 1e3 * (double)w->batch / t->median_ms;
    t->peak_bytes = peak_memory();
    t->plan = stats_of(w);
    return SFTN_OK;
}

static const char *precision_name(const sftn_plan_options *plan)
{
    return plan->precision == SFTN_BFLOAT16 ? "bfloat16" : "float32";
}

static void print_text(const cli_workload *w, const sftn_plan_options *plan, const timing *t)
{
    char peak[32], arena[32];

    cli_format_bytes(t->peak_bytes, peak, sizeof peak);
    cli_format_bytes(t->plan.arena_bytes, arena, sizeof arena);
    printf("%-14s %s\n", "workload", w->title);
    printf("%-14s %s, %s, %d threads, batch %lld\n", "on", plan->backend,
           precision_name(plan), sftn_get_threads(),
           (long long)w->batch);
    printf("%-14s %.1f\n", "images/s", t->images_per_s);
    printf("%-14s median %.2f, min %.2f, max %.2f over %d steps\n", "ms/step", t->median_ms,
           t->min_ms, t->max_ms, t->steps);
    if (t->plan.product_flops > 0.0)
        printf("%-14s %.3f a step, %.1f a second\n", "GFLOP", 1e-9 * t->plan.product_flops,
               1e-6 * t->plan.product_flops / t->median_ms);
    printf("%-14s %s, of which activations and workspace %s\n", "peak memory", peak, arena);
    printf("%-14s %d a run, %d once\n", "plan steps", t->plan.steps, t->plan.frozen_steps);
}

static void print_object(json_object *o)
{
    printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
}

static void print_json(const cli_workload *w, const sftn_plan_options *plan, const timing *t,
                       const cli_profile *profile)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, "workload", json_object_new_string(w->title));
    json_object_object_add(o, "backend", json_object_new_string(plan->backend));
    json_object_object_add(o, "precision", json_object_new_string(precision_name(plan)));
    json_object_object_add(o, "threads", json_object_new_int(sftn_get_threads()));
    json_object_object_add(o, "batch", json_object_new_int64(w->batch));
    json_object_object_add(o, "steps", json_object_new_int(t->steps));
    cli_add_number(o, "images_per_s", t->images_per_s);
    cli_add_number(o, "median_ms", t->median_ms);
    cli_add_number(o, "min_ms", t->min_ms);
    cli_add_number(o, "max_ms", t->max_ms);
    cli_add_number(o, "gflop", 1e-9 * t->plan.product_flops);
    json_object_object_add(o, "peak_bytes", json_object_new_int64(t->peak_bytes));
    json_object_object_add(o, "arena_bytes", json_object_new_int64(t->plan.arena_bytes));
    if (profile)
        cli_profile_add(profile, o);
    print_object(o);
}

static int report(cli_workload *w, const bench_options *opt, const sftn_plan_options *plan,
                  const timing *t)
{
    cli_profile profile = {0};
    sftn_error err = {0};
    int code = CLI_DONE;

    if (opt->profile &&
        cli_profile_new(w, plan->precision, t->median_ms, &profile, &err) != SFTN_OK) {
        code = cli_fail(&err);
    } else if (opt->json) {
        print_json(w, plan, t, opt->profile ? &profile : NULL);
    } else {
        print_text(w, plan, t);
        if (opt->profile)
            cli_profile_print(&profile);
    }
    cli_profile_free(&profile);
    return code;
}

static int bench(cli_workload *w, const bench_options *opt, const sftn_plan_options *plan)
{
    double *ms = malloc((size_t)(opt->steps ? opt->steps : MAX_STEPS) * sizeof *ms);
    timing t = {0};
    sftn_error err = {0};
    sftn_status status;

    if (!ms)
        return cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
    cli_catch_signals();
    status = measure(w, opt, ms, &t, &err);
    free(ms);
    if (status)
        return cli_fail(&err);
    if (cli_stop_requested(NULL))
        return 128 + cli_stop_signal();
    return report(w, opt, plan, &t);
}

static int bench_machine(const bench_options *opt, const sftn_plan_options *plan)
{
    sftn_peak peak;
    sftn_error err = {0};
    json_object *o;

    if (sftn_measure_peak(plan->precision, &peak, &err) != SFTN_OK)
        return cli_fail(&err);
    if (!opt->json) {
        printf("%-14s %s, %d threads\n", "on", precision_name(plan), sftn_get_threads());
        cli_peak_print(&peak);
        return CLI_DONE;
    }
    o = json_object_new_object();
    json_object_object_add(o, "precision", json_object_new_string(precision_name(plan)));
    json_object_object_add(o, "threads", json_object_new_int(sftn_get_threads()));
    cli_peak_add(&peak, o);
    print_object(o);
    return CLI_DONE;
}

/* ---- every method ---- */

/* kd's steps alternate with each method's, so that both meet the same load of the machine. */
typedef struct method_bench {
    cli_args *args;
    const cli_workload_options *options;
    const bench_options *opt;
    const sftn_plan_options *plan;
    double *ms[2]; /* of kd's steps, of the method's */
    int *code;     /* becomes CLI_FAILED where a step fails */
} method_bench;

/* The method's step beside the labels; with `before`, that of a phase before them, from 1. */
static bool method_workload(const method_bench *b, const sftn_distiller *method, int before,
                            cli_workload *w)
{
    const cli_scheme none = {0};
    cli_workload_options o = *b->options;
    cli_methods methods;
    int code;

    o.workload = CLI_KD;
    o.method = method->name;
    o.before = before;
    return cli_one_method(b->args, method, &methods, &code) &&
           cli_workload_new(b->args, &o, &methods, &none, b->plan, w, &code);
}

static bool mutual_workload(const method_bench *b, const sftn_mutual *method, cli_workload *w)
{
    const cli_scheme none = {0};
    const cli_methods methods = {0};
    cli_workload_options o = *b->options;
    int code;

    o.workload = CLI_MUTUAL;
    o.mutual = method;
    return cli_workload_new(b->args, &o, &methods, &none, b->plan, w, &code);
}

static int64_t own_parameters(const sftn_job *job)
{
    int64_t sum = 0;

    for (int i = 0; i < job->nparams; i++)
        if (strcmp(job->params_name[i], "method") == 0)
            sum += sftn_params_trainable(job->params[i]);
    return sum;
}

/* What a step keeps besides weights: plans, and what a method remembers. */
static int64_t step_bytes(cli_workload *w)
{
    const sftn_plan_stats sum = stats_of(w);
    int64_t states = 0;

    for (int i = 0; i < w->job.nparams; i++)
        states += sftn_params_state_size(w->job.params[i]);
    return sum.arena_bytes + sum.kept_bytes + (int64_t)sizeof(float) * states;
}

/* Time steps of kd and of w in turn; *steps: how many of each. */
static sftn_status alternate(const method_bench *b, cli_workload *kd, cli_workload *w, int *steps,
                             sftn_error *err)
{
    const int wanted = b->opt->steps ? b->opt->steps : MAX_STEPS;
    const double start = cli_now();
    sftn_status status = SFTN_OK;
    int n = 0;

    for (; n < WARMUP_STEPS + wanted && !status && !cli_stop_requested(NULL); n++) {
        const double before = cli_now();
        double between;

        if (!b->opt->steps && n > WARMUP_STEPS && before - start > (double)b->opt->seconds)
            break;
        status = cli_workload_run(kd, err);
        between = cli_now();
        if (!status)
            status = cli_workload_run(w, err);
        if (n >= WARMUP_STEPS) {
            b->ms[0][n - WARMUP_STEPS] = 1e3 * (between - before);
            b->ms[1][n - WARMUP_STEPS] = 1e3 * (cli_now() - between);
        }
    }
    *steps = n - WARMUP_STEPS;
    return status;
}

static void print_method(const char *name, double images_per_s, double share, int64_t parameters,
                         int64_t bytes, bool json)
{
    char count[32], memory[32];

    if (json) {
        json_object *o = json_object_new_object();

        json_object_object_add(o, "method", json_object_new_string(name));
        cli_add_number(o, "images_per_s", images_per_s);
        cli_add_number(o, "share_of_kd", share);
        json_object_object_add(o, "parameters", json_object_new_int64(parameters));
        json_object_object_add(o, "bytes", json_object_new_int64(bytes));
        print_object(o);
    } else {
        cli_format_count(parameters, count, sizeof count);
        cli_format_bytes(bytes, memory, sizeof memory);
        printf("%-15s %10.1f %8.0f %% %14s %14s\n", name, images_per_s, 100.0 * share, count,
               memory);
    }
    fflush(stdout);
}

static void bench_step(const method_bench *b, cli_workload *kd, cli_workload *w, const char *name)
{
    const int64_t bytes = step_bytes(w) - step_bytes(kd);
    sftn_error err = {0};
    int n;

    if (alternate(b, kd, w, &n, &err))
        *b->code = cli_fail(&err);
    else if (n > 0 && !cli_stop_requested(NULL)) {
        const double of_kd = median(b->ms[0], n), of_method = median(b->ms[1], n);

        print_method(name, 1e3 * (double)w->batch / of_method, of_kd / of_method,
                     own_parameters(&w->job), bytes > 0 ? bytes : 0, b->opt->json);
    }
}

/*
 * Steps beside the labels, and of each phase before them.  A method that is not made for these
 * networks has said so, and gets no row; nor does one whose step fails.
 */
static void bench_method(const method_bench *b, cli_workload *kd, const sftn_distiller *method)
{
    for (int before = 0; before <= method->nphases; before++) {
        cli_workload w = {0};
        char name[48];
        const bool made = method_workload(b, method, before, &w);

        snprintf(name, sizeof name, "%s%s", method->name, before ? " before" : "");
        if (made)
            bench_step(b, kd, &w, name);
        cli_workload_free(&w);
        if (!made || cli_stop_requested(NULL))
            break;
    }
}

static void bench_mutual(const method_bench *b, cli_workload *kd, const sftn_mutual *method)
{
    cli_workload w = {0};

    if (mutual_workload(b, method, &w))
        bench_step(b, kd, &w, method->name);
    cli_workload_free(&w);
}

static int bench_methods(method_bench *b)
{
    const size_t count = (size_t)(b->opt->steps ? b->opt->steps : MAX_STEPS);
    const sftn_distiller *method = sftn_distiller_find("kd", NULL);
    const sftn_mutual *mutual;
    cli_workload kd = {0};
    int code = CLI_FAILED;

    b->code = &code;
    for (int i = 0; i < 2; i++)
        b->ms[i] = malloc(count * sizeof *b->ms[i]);
    if (!b->ms[0] || !b->ms[1]) {
        cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
    } else if (method_workload(b, method, 0, &kd)) {
        code = CLI_DONE;
        cli_catch_signals();
        if (!b->opt->json)
            printf("%-15s %10s %10s %14s %14s\n", "method", "images/s", "of kd", "parameters",
                   "memory");
        for (int i = 0; (method = sftn_distiller_list(i)) && !cli_stop_requested(NULL); i++)
            bench_method(b, &kd, method);
        for (int i = 0; (mutual = sftn_mutual_list(i)) && !cli_stop_requested(NULL); i++)
            bench_mutual(b, &kd, mutual);
        code = cli_stop_requested(NULL) ? 128 + cli_stop_signal() : code;
    }
    cli_workload_free(&kd);
    free(b->ms[0]);
    free(b->ms[1]);
    return code;
}

int cmd_bench(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    bench_options opt;
    cli_workload_options options;
    cli_machine_options machine;
    cli_methods methods = {0};
    cli_scheme scheme = {0};
    cli_workload w = {0};
    sftn_plan_options plan;
    sftn_error err = {0};
    int code;

    cli_accept(&args, "measurement", "", table, &opt);
    cli_accept(&args, "step", "", cli_workload_table, &options);
    cli_accept(&args, "machine", "", cli_machine_table, &machine);
    if (cli_choose_scheme(&args, "sftn", &scheme, &code) &&
        cli_choose_methods(&args, "kd", &methods, &code) && cli_parse(&args, &code)) {
        const sftn_status status = cli_plan_options(&machine, &plan, &err);

        plan.profile = opt.profile;
        if (status != SFTN_OK)
            code = cli_misuse("%s", err.text);
        else if (opt.peak)
            code = bench_machine(&opt, &plan);
        else if (opt.methods)
            code = bench_methods(&(method_bench){
                .args = &args, .options = &options, .opt = &opt, .plan = &plan});
        else if (cli_workload_new(&args, &options, &methods, &scheme, &plan, &w, &code))
            code = bench(&w, &opt, &plan);
    }
    cli_workload_free(&w);
    cli_args_free(&args);
    return code;
}
