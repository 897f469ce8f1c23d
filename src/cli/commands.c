/*
 * commands.c: the list of subcommands.
 */
#include "cli/cli.h"

static const cli_command commands[] = {
#define COMMAND(name, summary) {#name, summary, cmd_##name},
#include "cli/commands.def"
#undef COMMAND
};

const cli_command *cli_command_list(int i)
{
    return i >= 0 && i < CLI_COUNT(commands) ? &commands[i] : NULL;
}

const cli_command *cli_command_find(const char *name)
{
    const char *names[CLI_COUNT(commands) + 1] = {NULL};
    sftn_error err = {0};
    int found;

    for (int i = 0; i < CLI_COUNT(commands); i++)
        names[i] = commands[i].name;
    found = sftn_find_name("command", name, names, "'sftn help' lists them", &err);
    if (found >= 0)
        return &commands[found];
    cli_misuse("%s", err.text);
    return NULL;
}

void cli_print_commands(FILE *out)
{
    fprintf(out, "usage: sftn COMMAND [arguments] [options]\n\n"
                 "Trains teachers that students learn well from, and the students.\n\n");
    for (int i = 0; i < CLI_COUNT(commands); i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n'sftn help COMMAND' lists a command's options.\n");
}
