/* train: one network by itself; the teacher scheme "plain". */
#include "cli/cli.h"

typedef struct train_options {
    const char *model, *init_from;
} train_options;

static const sftn_option table[] = {
    {"model", SFTN_OPT_STRING, offsetof(train_options, model), 0, 0, 0,
     "network to train; 'sftn list models' names them", "MODEL", "resnet20"},
    {"init-from", SFTN_OPT_STRING, offsetof(train_options, init_from), 0, 0, 0,
     "start from the weights in this file instead of at random", "FILE", NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "[--model MODEL] [options]",
    .text = "Trains a network on a data set.  The run directory receives model.safetensors (the\n"
            "network, under PyTorch's names), best.safetensors (best on held-out images, with\n"
            "--validation), log.jsonl (one line an epoch) and checkpoint.safetensors (to resume).",
};

int cmd_train(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    train_options opt;
    cli_data_options data;
    cli_run_options run;
    cli_machine_options machine;
    cli_scheme scheme = {0};
    int code;

    cli_accept(&args, "network", "", table, &opt);
    cli_accept(&args, "data", "", cli_data_table, &data);
    cli_accept(&args, "training", "", cli_run_table, &run);
    cli_accept(&args, "machine", "", cli_machine_table, &machine);
    if (cli_parse(&args, &code) && cli_plain_scheme(&args, &scheme, &code))
        code = cli_teach_run(&(cli_teach){
            .args = &args,
            .scheme = &scheme,
            .teacher = opt.model,
            .init_from = opt.init_from,
            .run = &run,
            .data = &data,
            .machine = &machine,
        });
    cli_args_free(&args);
    return code;
}
