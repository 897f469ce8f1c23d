/* version: of the library, and of its optional parts. */
#include "cli/cli.h"

int cmd_version(int argc, char **argv)
{
    static const cli_usage usage = {"", NULL, 0, 0};
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    int code;

    if (cli_parse(&args, &code)) {
        printf("sftn %s, backends:", sftn_version());
        for (int i = 0; sftn_backend_list(i); i++)
            printf(" %s", sftn_backend_list(i));
        printf("\n");
    }
    cli_args_free(&args);
    return code;
}
