/* help: the commands, or one command's options. */
#include "cli/cli.h"

int cmd_help(int argc, char **argv)
{
    const cli_command *command;

    if (argc < 2) {
        cli_print_commands(stdout);
        return CLI_DONE;
    }
    if (argc > 2)
        return cli_misuse("help explains one command; '%s' is too much", argv[2]);
    command = cli_command_find(argv[1]);
    if (!command)
        return CLI_USAGE;
    if (command->run == cmd_help) {
        printf("usage: sftn help [COMMAND]\n");
        return CLI_DONE;
    }
    return command->run(2, (char *[]){argv[1], (char *)"--help", NULL});
}
