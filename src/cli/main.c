/*
 * main.c: the sftn command: finds the subcommand and runs it.
 */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>

int main(int argc, char **argv)
{
    const cli_command *command;
    int code;

    if (argc < 2) {
        cli_print_commands(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        argv[1] = (char *)"help";
    else if (strcmp(argv[1], "--version") == 0)
        argv[1] = (char *)"version";
    command = cli_command_find(argv[1]);
    if (!command)
        return CLI_USAGE;
    code = command->run(argc - 1, argv + 1);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "sftn: standard output cannot be written: %s\n", strerror(errno));
        return code ? code : CLI_FAILED;
    }
    return code;
}
