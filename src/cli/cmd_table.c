/* table: trainings beside each other. */
#include "cli/cli.h"
#include "sftn/report.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

typedef struct table_options {
    const char *plot;
    int width, height;
    bool json;
} table_options;

static const sftn_option table[] = {
    {"plot", SFTN_OPT_STRING, offsetof(table_options, plot), 0, 0, 0,
     "also draw test accuracy by epoch into this PNG file", "FILE", NULL},
    {"width", SFTN_OPT_INT, offsetof(table_options, width), 960, 320, 8192,
     "of the plot, in pixels", NULL, NULL},
    {"height", SFTN_OPT_INT, offsetof(table_options, height), 600, 240, 8192,
     "of the plot, in pixels", NULL, NULL},
    {"json", SFTN_OPT_BOOL, offsetof(table_options, json), 0, 0, 1, "print JSON", NULL, NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "RUN... [--plot FILE.png] [--json]",
    .text = "Reads run directories, finished or not.  Accuracy is that of the last epoch on the\n"
            "test images; agreement (equal top-1 answers) and KL(teacher || student) are with\n"
            "the run's own teacher.",
    .min_files = 1,
    .max_files = -1,
};

static double last_top1(const sftn_run *r)
{
    if (r->finished)
        return r->result.last_top1;
    return r->nepochs ? r->epoch[r->nepochs - 1].test_top1 : -1.0;
}

static void print_number(double x, bool there, const char *format, int width)
{
    char text[32] = "-";

    if (there)
        snprintf(text, sizeof text, format, x);
    printf("  %*s", width, text);
}

static void print_table(const sftn_run *runs, int n)
{
    int name = 3, network = 7;

    for (int i = 0; i < n; i++) {
        const int a = (int)strlen(runs[i].name), b = (int)strlen(runs[i].network);

        name = a > name ? a : name;
        network = b > network ? b : network;
    }
    printf("%-*s  %-*s  %6s  %10s  %9s  %7s\n", name, "run", network, "network", "epochs",
           "test top-1", "agreement", "KL");
    for (int i = 0; i < n; i++) {
        const sftn_run *r = &runs[i];
        const double top1 = last_top1(r);

        printf("%-*s  %-*s  %6d", name, r->name, network, r->network, r->nepochs);
        print_number(top1, top1 >= 0.0, "%.2f %%", 10);
        print_number(r->similarity.agreement, r->compared, "%.2f %%", 9);
        print_number(r->similarity.kl_teacher_student, r->compared, "%.4f", 7);
        printf("%s\n", r->finished ? "" : "  (not finished)");
    }
}

static void print_json(const sftn_run *runs, int n)
{
    json_object *list = json_object_new_array();

    for (int i = 0; i < n; i++) {
        const sftn_run *r = &runs[i];
        json_object *o = json_object_new_object();

        json_object_object_add(o, "run", json_object_new_string(r->name));
        json_object_object_add(o, "network", json_object_new_string(r->network));
        json_object_object_add(o, "data", json_object_new_string(r->data));
        json_object_object_add(o, "epochs", json_object_new_int(r->nepochs));
        json_object_object_add(o, "finished", json_object_new_boolean(r->finished));
        cli_add_number(o, "test_top1", last_top1(r));
        if (r->compared) {
            cli_add_number(o, "agreement", r->similarity.agreement);
            cli_add_number(o, "kl_teacher_student", r->similarity.kl_teacher_student);
        }
        json_object_array_add(list, o);
    }
    printf("%s\n",
           json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                    JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(list);
}

static int show(const cli_args *args, const table_options *opt)
{
    sftn_run *runs = calloc((size_t)args->nfiles, sizeof *runs);
    sftn_error err = {0};
    sftn_status status = SFTN_OK;

    if (!runs)
        return cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
    for (int i = 0; i < args->nfiles && status == SFTN_OK; i++)
        status = sftn_run_read(args->file[i], &runs[i], &err);
    if (status == SFTN_OK && opt->json)
        print_json(runs, args->nfiles);
    else if (status == SFTN_OK)
        print_table(runs, args->nfiles);
    if (status == SFTN_OK && opt->plot) {
        status = sftn_runs_plot(runs, args->nfiles, opt->width, opt->height, opt->plot, &err);
        if (status == SFTN_OK)
            fprintf(stderr, "plot: %s\n", opt->plot);
    }
    for (int i = 0; i < args->nfiles; i++)
        sftn_run_free(&runs[i]);
    free(runs);
    return status == SFTN_OK ? CLI_DONE : cli_fail(&err);
}

int cmd_table(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    table_options opt;
    int code;

    cli_accept(&args, "output", "", table, &opt);
    if (cli_parse(&args, &code))
        code = show(&args, &opt);
    cli_args_free(&args);
    return code;
}
