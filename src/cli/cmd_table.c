/* table: trainings beside each other. */
#include "cli/cli.h"
#include "sftn/report.h"

#include <stdlib.h>
#include <string.h>

typedef struct table_options {
    int format, group, kind;
    const char *against, *plot;
    float level;
    int width, height;
} table_options;

#define FIELD(name) offsetof(table_options, name)

static const sftn_option table[] = {
    {"format", SFTN_OPT_CHOICE, FIELD(format), SFTN_TABLE_TEXT, 0, 3, "how the table is written",
     "text|markdown|csv|json", NULL},
    {"group", SFTN_OPT_CHOICE, FIELD(group), SFTN_GROUP_NONE, 0, 2,
     "take runs together that differ only in the seed: by all that they and their teachers' files "
     "say of their training, or by their names up to the number after 'seed'",
     "none|seeds|names", NULL},
    {"against", SFTN_OPT_STRING, FIELD(against), 0, 0, 0,
     "also differences, paired by seed: a teacher, as the table calls it (students of others minus "
     "equal students of that one), or a group (all others minus it); unless given, against "
     "teachers trained in the ordinary way",
     "NAME", NULL},
    {"level", SFTN_OPT_FLOAT, FIELD(level), 0.95, 0.5, 0.9999, "of intervals", NULL, NULL},
    {"plot", SFTN_OPT_STRING, FIELD(plot), 0, 0, 0,
     "also draw them into this file, whose name ends in .svg or .png", "FILE", NULL},
    {"plot-kind", SFTN_OPT_CHOICE, FIELD(kind), SFTN_PLOT_CURVES, 0, 2,
     "accuracy by epoch (of groups the mean, in a band of one standard deviation); or, of groups "
     "and of their differences, the mean after the last epoch with its interval",
     "curves|intervals|differences", NULL},
    {"width", SFTN_OPT_INT, FIELD(width), 960, 320, 8192, "of the plot, in pixels", NULL, NULL},
    {"height", SFTN_OPT_INT, FIELD(height), 600, 240, 8192, "of the plot, in pixels", NULL, NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "RUN|RESULTS.json... [--group seeds] [--against NAME] [--plot FILE]",
    .text = "Reads run directories, finished or not, and the results of 'sftn run'.  Accuracy is\n"
            "top-1 on the test images: that of the last epoch in one column, that of the epoch\n"
            "that was best on held-out images (--validation) in another.  Training accuracy is\n"
            "of the augmented batches of the last epoch.  Agreement (equal top-1 answers) and\n"
            "KL(teacher || student) are with the run's own teacher.\n"
            "\n"
            "With --group the means over seeds of finished runs, their standard deviations, and\n"
            "differences between groups with Student's intervals for the mean, from the seeds\n"
            "that both groups have.  Two teachers of several students, such as one for each\n"
            "method, are also compared by the mean over these students, seed by seed.",
    .min_files = 1,
    .max_files = -1,
};

static sftn_status print(const sftn_run *runs, int n, const sftn_run_statistics *s,
                         sftn_table_format format, sftn_error *err)
{
    char *text = NULL;
    sftn_status status = s ? sftn_groups_table(runs, s, format, &text, err)
                           : sftn_runs_table(runs, n, format, &text, err);

    if (status == SFTN_OK)
        fputs(text, stdout);
    free(text);
    return status;
}

static sftn_status draw(const sftn_run *runs, int n, const sftn_run_statistics *s,
                        const table_options *opt, sftn_error *err)
{
    const sftn_plot_options options = {(sftn_plot_kind)opt->kind, opt->width, opt->height};
    sftn_status status = sftn_runs_plot(runs, n, s, &options, opt->plot, err);

    if (status == SFTN_OK)
        fprintf(stderr, "plot: %s\n", opt->plot);
    return status;
}

static bool is_results(const char *path)
{
    const size_t length = strlen(path);

    return length > 5 && strcmp(path + length - 5, ".json") == 0;
}

/* Append the runs of an argument to *runs, which holds *n. */
static sftn_status read_argument(const char *path, sftn_run **runs, int *n, sftn_error *err)
{
    sftn_run *more = NULL, *grown;
    int count = 1;
    sftn_status status;

    if (is_results(path)) {
        status = sftn_results_read(path, &more, &count, err);
    } else {
        more = calloc(1, sizeof *more);
        status = more ? sftn_run_read(path, more, err)
                      : sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    }
    if (status != SFTN_OK) {
        free(more);
        return status;
    }
    grown = realloc(*runs, (size_t)(*n + count + 1) * sizeof *grown);
    if (!grown) {
        sftn_runs_free(more, count);
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    }
    memcpy(grown + *n, more, (size_t)count * sizeof *grown);
    *runs = grown;
    *n += count;
    free(more);
    return SFTN_OK;
}

static bool same_network(const sftn_run *a, const sftn_run *b)
{
    return a->hash && b->hash && strcmp(a->hash, b->hash) == 0 && strcmp(a->name, b->name) == 0;
}

/* What several results tell of one network is one row, where they can that of the finished one. */
static void drop_copies(sftn_run *runs, int *n)
{
    int kept = 0;

    for (int i = 0; i < *n; i++) {
        sftn_run run = runs[i];
        int at = 0;

        while (at < kept && !same_network(&runs[at], &run))
            at++;
        if (at < kept && run.finished && !runs[at].finished) {
            const sftn_run older = runs[at];

            runs[at] = run;
            run = older;
        }
        if (at < kept)
            sftn_run_free(&run);
        else
            runs[kept++] = run;
    }
    *n = kept;
}

/* Leave out runs in a state of experiments, and say that these are `what`. */
static void drop(sftn_run *runs, int *n, const char *state, const char *what)
{
    int kept = 0, dropped;

    for (int i = 0; i < *n; i++) {
        if (runs[i].state && strcmp(runs[i].state, state) == 0)
            sftn_run_free(&runs[i]);
        else
            runs[kept++] = runs[i];
    }
    dropped = *n - kept;
    *n = kept;
    if (dropped)
        fprintf(stderr, "sftn: %d training%s %s\n", dropped, dropped == 1 ? "" : "s", what);
}

static int show(const cli_args *args, const table_options *opt)
{
    const bool grouped = opt->group != SFTN_GROUP_NONE;
    sftn_run *runs = NULL;
    int n = 0;
    sftn_run_statistics s = {0};
    sftn_error err = {0};
    sftn_status status = SFTN_OK;

    for (int i = 0; i < args->nfiles && status == SFTN_OK; i++)
        status = read_argument(args->file[i], &runs, &n, &err);
    drop_copies(runs, &n);
    drop(runs, &n, "waiting", "not begun"); /* the plan names these */
    drop(runs, &n, "left out", "not asked for");
    if (status == SFTN_OK && grouped)
        status = sftn_runs_group(runs, n, (sftn_grouping)opt->group, opt->against,
                                 cli_decimal(opt->level), &s, &err);
    if (status == SFTN_OK)
        status = print(runs, n, grouped ? &s : NULL, (sftn_table_format)opt->format, &err);
    if (status == SFTN_OK && opt->plot)
        status = draw(runs, n, grouped ? &s : NULL, opt, &err);
    sftn_run_statistics_free(&s);
    sftn_runs_free(runs, n);
    return status == SFTN_OK ? CLI_DONE : cli_fail(&err);
}

int cmd_table(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    table_options opt;
    int code;

    cli_accept(&args, "output", "", table, &opt);
    if (cli_parse(&args, &code)) {
        if ((opt.against || opt.kind != SFTN_PLOT_CURVES) && opt.group == SFTN_GROUP_NONE)
            code = cli_misuse("%s groups: --group seeds or --group names makes them",
                              opt.against ? "--against compares" : "--plot-kind draws");
        else
            code = show(&args, &opt);
    }
    cli_args_free(&args);
    return code;
}
