/* run: a whole experiment from one file: teachers, students, seeds; cached and resumable. */
#include "cli/experiment/experiment.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { CLI_TIME = 3 };

static const sftn_option table[] = {
    {"cache", SFTN_OPT_STRING, offsetof(run_options, cache), 0, 0, 0,
     "directory of trained networks, which experiments may share; unless given, sftn-cache beside "
     "the file",
     "DIR", NULL},
    {"results", SFTN_OPT_STRING, offsetof(run_options, results), 0, 0, 0,
     "where the rows of all networks are written after each training; unless given, "
     "NAME.results.json beside the file",
     "FILE", NULL},
    {"only", SFTN_OPT_STRING, offsetof(run_options, only), 0, 0, 0,
     "train what is called like this, with * and ?, and what that needs", "PATTERN", NULL},
    {"time-limit", SFTN_OPT_STRING, offsetof(run_options, time_limit), 0, 0, 0,
     "stop after this long, everything saved, with exit code 3", "1h30m", NULL},
    {"jobs", SFTN_OPT_INT, offsetof(run_options, jobs), 0, 0, 1024,
     "trainings at a time, each a process; 0 is as many as there are cores for", NULL, NULL},
    {"together", SFTN_OPT_INT, offsetof(run_options, together), 8, 1, 64,
     "students that one process trains from one answer of their teacher, at most", NULL, NULL},
    {"dry-run", SFTN_OPT_BOOL, offsetof(run_options, dry_run), 0, 0, 1,
     "print all trainings with their command lines, and train nothing", NULL, NULL},
    {"time", SFTN_OPT_BOOL, offsetof(run_options, time), 1, 0, 1,
     "time a few steps of every kind of training that was not timed before", NULL, NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "EXPERIMENT.yaml [options]",
    .text =
        "Trains all that a file names: teachers, students alone, and students by every method\n"
        "from every teacher, for every seed.\n"
        "\n"
        "  name: study\n"
        "  data: {data: cifar100, limit: 5000, validation: 500}\n"
        "  common: {epochs: 60, precision: bfloat16}   # options of every training\n"
        "  teachers:                                   # names, with options of 'sftn teach'\n"
        "    plain: {scheme: plain, model: wrn_16_2}\n"
        "    friendly: {model: wrn_16_2, student: wrn_16_1, lambda-kl: [0.3, 1, 3]}\n"
        "    tuned: {model: wrn_16_2, student: wrn_16_1, from: plain}\n"
        "  students: [wrn_16_1]                # or {small: {model: wrn_16_1, lr: 0.1}}\n"
        "  methods: [kd, crd+kd]               # or {hot: {method: kd, kd.temperature: 8}}\n"
        "  alone: true                         # students without a teacher, too\n"
        "  seeds: [1, 2, 3]\n"
        "\n"
        "A list stands for all its values; several lists, for all combinations.  Options are\n"
        "those of 'sftn train', 'teach' and 'distill', but networks are called 'model'; unless\n"
        "given, 'threads' is 1 and 'test' is end.  'from' starts a teacher from another one, and\n"
        "'init-from-branch: teacher' a student from its teacher's branch.\n"
        "\n"
        "Every network is kept in the cache under a hash of all that determines it, and trained\n"
        "once.  Give the command again to go on after an interruption, even a kill: what is done\n"
        "is not repeated, what was begun goes on from its checkpoint.  A training that fails is\n"
        "reported, and the others go on.  Exit code: 0 all is done, 1 some failed, 2 the file or\n"
        "the command is wrong, 3 the time was over, 130 or 143 interrupted.",
    .min_files = 1,
    .max_files = 1,
};

typedef struct experiment {
    run_options opt;
    study study;
    problems problems;
    cells cells;
    char name[128], cache[400], results[512];
} experiment;

/* "2h", "1h30m", "90s"; a number alone is seconds.  Negative: something else. */
static double read_duration(const char *text)
{
    double total = 0.0;

    while (*text) {
        char *end;
        const double x = strtod(text, &end);
        double unit = 1.0;

        if (end == text || !isdigit((unsigned char)*text))
            return -1.0;
        if (!*end && total > 0.0) /* 1h30: what? */
            return -1.0;
        if (*end)
            unit = *end == 's' ? 1.0 : *end == 'm' ? 60.0 : *end == 'h' ? 3600.0
                   : *end == 'd' ? 86400.0 : -1.0;
        if (unit < 0.0)
            return -1.0;
        total += x * unit;
        text = *end ? end + 1 : end;
    }
    return total > 0.0 ? total : -1.0;
}

/* Names that follow from the file's: "DIR/sftn-cache", "DIR/NAME.results.json". */
static void name_files(experiment *e, const char *file)
{
    const char *base = strrchr(file, '/');
    const int dir = base ? (int)(base - file) + 1 : 0;
    const char *dot;

    base = base ? base + 1 : file;
    dot = strrchr(base, '.');
    snprintf(e->name, sizeof e->name, "%.*s", dot && dot > base ? (int)(dot - base) : 120, base);
    if (!e->study.name)
        e->study.name = e->name;
    if (e->opt.cache)
        snprintf(e->cache, sizeof e->cache, "%s", e->opt.cache);
    else
        snprintf(e->cache, sizeof e->cache, "%.*ssftn-cache", dir, file);
    if (e->opt.results)
        snprintf(e->results, sizeof e->results, "%s", e->opt.results);
    else
        snprintf(e->results, sizeof e->results, "%.*s%s.results.json", dir, file, e->name);
    e->opt.cache = e->cache;
}

/* An experiment whose results cannot be written is told of it at the end. */
static void write_results(void *ctx)
{
    experiment *e = ctx;

    results_write(&e->study, &e->cells, e->results, NULL);
}

static int train(experiment *e, double seconds)
{
    sftn_error err = {0};
    pool_end end;

    cli_catch_signals();
    plan_estimate(&e->cells, &e->opt);
    plan_print(&e->study, &e->cells, &e->opt);
    if (e->opt.dry_run)
        return CLI_DONE;
    if (cli_make_dirs(e->cache, &err) != SFTN_OK ||
        results_write(&e->study, &e->cells, e->results, &err) != SFTN_OK)
        return cli_fail(&err);
    end = pool_run(&e->cells, &e->opt, seconds, write_results, e);
    if (results_write(&e->study, &e->cells, e->results, &err) != SFTN_OK ||
        results_print(&e->study, &e->cells, e->results, &err) != SFTN_OK)
        return cli_fail(&err);
    if (end == POOL_TIME || end == POOL_INTERRUPTED)
        fprintf(stderr, "sftn: all is saved; run the command again to go on\n");
    return end == POOL_DONE     ? CLI_DONE
           : end == POOL_FAILED ? CLI_FAILED
           : end == POOL_TIME   ? CLI_TIME
                                : 128 + cli_stop_signal();
}

/* Whether `only` names a training. */
static bool chooses(const experiment *e)
{
    for (int i = 0; i < e->cells.n; i++)
        if (e->cells.list[i].state == CELL_OPEN)
            return true;
    for (int i = 0; i < e->cells.n; i++)
        if (cell_is_named(&e->cells.list[i], e->opt.only))
            return true;
    return false;
}

/* As many as there are cores for. */
static int default_jobs(const cells *all)
{
    int threads = 1, cores;

    sftn_set_threads(0);
    cores = sftn_get_threads();
    for (int i = 0; i < all->n; i++)
        if (all->list[i].threads > threads)
            threads = all->list[i].threads;
    return cores > threads ? cores / threads : 1;
}

static int run(experiment *e, const char *file)
{
    const double seconds = e->opt.time_limit ? read_duration(e->opt.time_limit) : 0.0;
    int code;

    if (seconds < 0.0)
        return cli_misuse("option --time-limit is '%s'; expected a time like 90s, 30m or 1h30m",
                          e->opt.time_limit);
    study_read(file, &e->study, &e->problems);
    name_files(e, file);
    if (e->study.opened) {
        study_expand(&e->study, &e->cells, &e->problems);
        cells_check(&e->study, &e->cells, &e->problems);
    }
    if (e->problems.n > 0 || e->problems.no_memory)
        return problems_print(&e->problems);
    if (!cells_identify(&e->cells, e->cache, &code))
        return code;
    if (e->opt.jobs == 0)
        e->opt.jobs = default_jobs(&e->cells);
    plan_states(&e->cells, e->opt.only);
    if (!chooses(e))
        return cli_misuse("no training is called like '%s'; --dry-run lists all names",
                          e->opt.only);
    return train(e, seconds);
}

int cmd_run(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    experiment e = {.cells.n = 0};
    int code;

    cli_accept(&args, "experiment", "", table, &e.opt);
    if (cli_parse(&args, &code))
        code = run(&e, args.file[0]);
    cells_free(&e.cells);
    study_close(&e.study);
    free(e.problems.list);
    cli_args_free(&args);
    return code;
}
