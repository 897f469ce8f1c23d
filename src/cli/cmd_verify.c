/* verify: this build's networks and losses against reference files. */
#include "cli/cli.h"
#include "sftn/verify.h"

#include <stdlib.h>
#include <string.h>

static const cli_usage usage = {
    .arguments = "DIR [--backend cpu] [--precision float32]",
    .text = "Runs every reference file below DIR that this build has a network or method for, and\n"
            "shows the largest deviation of each.  Exit code 1 if one is out of tolerance.",
    .min_files = 1,
    .max_files = 1,
};

/* Rows so far; the names of what is not implemented, each after a space. */
typedef struct tally {
    int checked, failed, missing;
    char *names;
} tally;

static void add_missing(tally *t, const char *file)
{
    const size_t length = t->names ? strlen(t->names) : 0;
    char *grown = realloc(t->names, length + strlen(file) + 2);

    t->missing++;
    if (!grown)
        return;
    grown[length] = ' ';
    strcpy(grown + length + 1, file);
    t->names = grown;
}

static void print_row(void *ctx, const sftn_verify_row *row)
{
    tally *t = ctx;

    if (row->missing) {
        add_missing(t, row->file);
        return;
    }
    if (t->checked++ == 0)
        printf("%-34s %-14s %10s %10s %-6s %s\n", "file", "what", "deviation", "tolerance", "",
               "where it is largest");
    t->failed += !row->ok;
    printf("%-34s %-14s %10.2e %10.1e %-6s %s\n", row->file, row->kind, row->deviation,
           row->tolerance, row->ok ? "ok" : "FAILED", row->worst ? row->worst : "");
    fflush(stdout);
}

static int verify(const char *dir, const cli_machine_options *machine)
{
    tally t = {0};
    sftn_plan_options plan;
    sftn_error err = {0};
    sftn_status status;

    if (cli_plan_options(machine, &plan, &err) != SFTN_OK)
        return cli_misuse("%s", err.text);
    status = sftn_verify_dir(dir, &plan, print_row, &t, &err);
    if (t.missing)
        printf("\nnot in this build (%d):%s\n", t.missing, t.names ? t.names : "");
    if (t.checked)
        printf("\n%d checked, %d failed\n", t.checked, t.failed);
    free(t.names);
    return status == SFTN_OK ? CLI_DONE : cli_fail(&err);
}

int cmd_verify(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    cli_machine_options machine;
    int code;

    cli_accept(&args, "machine", "", cli_machine_table, &machine);
    if (cli_parse(&args, &code))
        code = verify(args.file[0], &machine);
    cli_args_free(&args);
    return code;
}
