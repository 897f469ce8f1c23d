/* train: one network by itself; the teacher scheme "plain". */
#include "cli/cli.h"

static const sftn_option table[] = {
    {"model", SFTN_OPT_STRING, offsetof(cli_training, network), 0, 0, 0,
     "network to train; 'sftn list models' names them", "MODEL", "resnet20",
     .role = SFTN_ROLE_RESOLVED},
    {"init-from", SFTN_OPT_STRING, offsetof(cli_training, init_from), 0, 0, 0,
     "start from the weights in this file instead of at random", "FILE", NULL,
     .role = SFTN_ROLE_RESOLVED},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "[--model MODEL] [options]",
    .text = "Trains a network on a data set.  The run directory receives model.safetensors (the\n"
            "network, under PyTorch's names), best.safetensors (best on held-out images, with\n"
            "--validation), log.jsonl (one line an epoch) and checkpoint.safetensors (to resume).",
};

bool cli_accept_train(cli_training *t, int *code)
{
    t->args.usage = &usage;
    cli_accept(&t->args, "network", "", table, t);
    cli_accept(&t->args, "data", "", cli_data_table, &t->data);
    cli_accept(&t->args, "training", "", cli_run_table, &t->run);
    cli_accept(&t->args, "machine", "", cli_machine_table, &t->machine);
    return cli_plain_scheme(&t->args, &t->scheme, code);
}

int cmd_train(int argc, char **argv)
{
    cli_training t = {.args = {.argc = argc, .argv = argv}};
    int code;

    if (cli_accept_train(&t, &code) && cli_parse(&t.args, &code))
        code = cli_teach(&t);
    cli_args_free(&t.args);
    return code;
}
