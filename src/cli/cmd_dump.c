/* dump: what a step is made of. */
#include "cli/workload.h"

#include <string.h>

typedef struct dump_options {
    int show;
    int profile;
    const char *scheme;
} dump_options;

enum { SHOW_BOTH, SHOW_GRAPH, SHOW_PLAN };

static const sftn_option table[] = {
    {"show", SFTN_OPT_CHOICE, offsetof(dump_options, show), SHOW_BOTH, 0, 2,
     "the symbolic graph, the plan compiled from it, or both", "both|graph|plan", NULL},
    {"profile", SFTN_OPT_INT, offsetof(dump_options, profile), 0, 0, 10000,
     "run this many steps and show the time of each part", NULL, NULL},
    {"scheme", SFTN_OPT_STRING, offsetof(dump_options, scheme), 0, 0, 0,
     "teacher scheme of the workload sftn", "NAME", "sftn"},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "[--model MODEL] [--teacher MODEL --student MODEL [--method kd]] [options]",
    .text = "Prints the nodes of a training step's graph, and the steps of its plan with their\n"
            "kernels, layouts and bytes; of a frozen teacher first, then of the step it feeds.",
};

static int dump(cli_workload *w, const dump_options *opt)
{
    sftn_error err = {0};

    for (int i = 0; i < opt->profile; i++)
        if (cli_workload_run(w, &err) != SFTN_OK)
            return cli_fail(&err);
    for (int i = 0; cli_workload_plan(w, i); i++) {
        if (opt->show != SHOW_PLAN)
            sftn_graph_dump(cli_workload_graph(w, i), stdout);
        if (opt->show != SHOW_GRAPH)
            sftn_plan_dump(cli_workload_plan(w, i), stdout);
    }
    return CLI_DONE;
}

int cmd_dump(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    dump_options opt;
    cli_workload_options options;
    cli_machine_options machine;
    cli_methods methods = {0};
    cli_scheme scheme = {0};
    cli_workload w = {0};
    sftn_plan_options plan;
    sftn_error err = {0};
    int code;

    cli_accept(&args, "output", "", table, &opt);
    cli_accept(&args, "step", "", cli_workload_table, &options);
    cli_accept(&args, "machine", "", cli_machine_table, &machine);
    if (cli_choose_scheme(&args, "sftn", &scheme, &code) &&
        cli_choose_methods(&args, "kd", &methods, &code) && cli_parse(&args, &code)) {
        if (cli_plan_options(&machine, &plan, &err) != SFTN_OK) {
            code = cli_misuse("%s", err.text);
        } else {
            plan.profile = opt.profile > 0;
            if (cli_workload_new(&args, &options, &methods, &scheme, &plan, &w, &code))
                code = dump(&w, &opt);
        }
    }
    cli_workload_free(&w);
    cli_args_free(&args);
    return code;
}
