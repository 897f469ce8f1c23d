/* data: get, info and sheet. */
#include "cli/cli.h"

#include <math.h>
#include <string.h>

typedef struct data_options {
    const char *dir;
    int split;
    int64_t first;
    int columns, rows, zoom;
} data_options;

static const sftn_option get_table[] = {
    {"dir", SFTN_OPT_STRING, offsetof(data_options, dir), 0, 0, 0,
     "directory for the archive; unless given, where all commands look", "DIR", NULL},
    SFTN_OPTION_END,
};

static const sftn_option sheet_table[] = {
    {"split", SFTN_OPT_CHOICE, offsetof(data_options, split), SFTN_TRAIN, 0, 2, "which images",
     "train|validation|test", NULL},
    {"first", SFTN_OPT_INT64, offsetof(data_options, first), 0, 0, INFINITY, "first record", NULL,
     NULL},
    {"columns", SFTN_OPT_INT, offsetof(data_options, columns), 16, 1, 200, "images in a row", NULL,
     NULL},
    {"rows", SFTN_OPT_INT, offsetof(data_options, rows), 8, 1, 200, "rows", NULL, NULL},
    {"zoom", SFTN_OPT_INT, offsetof(data_options, zoom), 2, 1, 16, "pixels for a pixel", NULL,
     NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "get NAME | info NAME | sheet NAME PNG_FILE [options]",
    .text = "get    downloads the official archive (resuming a partial one) and verifies it\n"
            "info   shows classes, sizes, counts and channel statistics\n"
            "sheet  draws records into one PNG file",
    .min_files = 2,
    .max_files = 3,
};

static int data_get(const char *name, const data_options *opt)
{
    sftn_data_entry entry;
    sftn_error err = {0};
    sftn_status status = sftn_data_find(name, &entry, &err);
    cli_progress progress = cli_progress_new();
    char home[512];

    if (status != SFTN_OK)
        return cli_misuse("%s", err.text);
    if (!entry.url) {
        printf("%s is built in; there is nothing to download\n", name);
        return CLI_DONE;
    }
    sftn_data_home(home, sizeof home);
    fprintf(stderr, "%s -> %s\n", entry.url, opt->dir ? opt->dir : home);
    cli_catch_signals();
    status = sftn_data_get(name, opt->dir, cli_show_download, &progress, &err);
    cli_progress_clear(&progress);
    if (status == SFTN_ERR_INTERRUPTED) {
        fprintf(stderr, "sftn: stopped; the same command goes on with the partial file\n");
        return 128 + cli_stop_signal();
    }
    if (status != SFTN_OK)
        return cli_fail(&err);
    printf("%s is complete and verified\n", name);
    return CLI_DONE;
}

static void print_info(const sftn_dataset *d)
{
    static const char *const split[] = {"train", "validation", "test"};
    const sftn_dataset_info *info = sftn_dataset_get_info(d);
    char count[32];

    printf("%-12s %s\n", "name", info->name);
    printf("%-12s %d x %d, %d channel%s\n", "images", info->width, info->height, info->channels,
           info->channels == 1 ? "" : "s");
    for (int i = 0; i < CLI_COUNT(split); i++) {
        cli_format_count(info->records[i], count, sizeof count);
        printf("%-12s %s\n", split[i], count);
    }
    for (int c = 0; c < info->channels; c++)
        printf("%-12s %d: mean %.4f, deviation %.4f\n", c ? "" : "channel", c,
               (double)info->mean[c], (double)info->std[c]);
    printf("%-12s %d:", "classes", info->classes);
    for (int i = 0; i < info->classes; i++)
        printf("%s %s", i ? "," : "", sftn_dataset_class(d, i));
    printf("\n");
}

static int data_look(const cli_args *args, const data_options *opt, const cli_data_options *data)
{
    const bool sheet = strcmp(args->file[0], "sheet") == 0;
    sftn_dataset *d = NULL;
    sftn_error err = {0};
    sftn_status status = SFTN_OK;
    int code;

    if (!cli_open_data(data, &d, &code))
        return code;
    if (sheet)
        status = sftn_dataset_sheet(d, (sftn_split)opt->split, opt->first, opt->columns, opt->rows,
                                    opt->zoom, args->file[2], &err);
    else
        print_info(d);
    if (status == SFTN_OK && sheet)
        printf("%s\n", args->file[2]);
    sftn_dataset_close(d);
    return status == SFTN_OK ? CLI_DONE : cli_fail(&err);
}

static int run(const cli_args *args, const data_options *opt, cli_data_options *data)
{
    static const char *const actions[] = {"get", "info", "sheet", NULL};
    const char *action = args->file[0];
    const int needed = strcmp(action, "sheet") == 0 ? 3 : 2;
    sftn_error err = {0};

    if (sftn_find_name("action of data", action, actions, "'sftn help data' explains", &err) < 0)
        return cli_misuse("%s", err.text);
    if (args->nfiles != needed)
        return cli_misuse("data %s takes %d arguments, not %d; usage: sftn data %s", action,
                          needed - 1, args->nfiles - 1, usage.arguments);
    data->data = args->file[1];
    if (strcmp(action, "get") == 0)
        return data_get(args->file[1], opt);
    return data_look(args, opt, data);
}

int cmd_data(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    data_options opt;
    cli_data_options data;
    int code;

    cli_accept(&args, "get", "", get_table, &opt);
    cli_accept(&args, "sheet", "", sheet_table, &opt);
    cli_accept(&args, "info and sheet", "", cli_data_table, &data);
    if (cli_parse(&args, &code))
        code = run(&args, &opt, &data);
    cli_args_free(&args);
    return code;
}
