/* eval: accuracy of a trained network. */
#include "cli/cli.h"

#include <json-c/json.h>

typedef struct eval_options {
    int split; /* sftn_split */
    bool json;
} eval_options;

static const sftn_option table[] = {
    {"split", SFTN_OPT_CHOICE, offsetof(eval_options, split), SFTN_TEST, 0, 2,
     "which images; validation needs the --validation and --data-seed of the training",
     "train|validation|test", NULL},
    {"json", SFTN_OPT_BOOL, offsetof(eval_options, json), 0, 0, 1, "print one JSON object", NULL,
     NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "MODEL_FILE|RUN [options]",
    .text = "Measures a trained network on the data set it was trained on, or on --data.\n"
            "'sftn compare' measures two beside each other.",
    .min_files = 1,
    .max_files = 1,
};

static void print_json(const char *file, const sftn_scores *s)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, "model", json_object_new_string(file));
    json_object_object_add(o, "images", json_object_new_int64(s->n));
    cli_add_number(o, "top1", s->top1);
    cli_add_number(o, "top5", s->top5);
    cli_add_number(o, "loss", s->loss);
    printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
}

static void print_text(const sftn_scores *s)
{
    char images[32];

    cli_format_count(s->n, images, sizeof images);
    printf("%-24s %s\n", "images", images);
    printf("%-24s %.2f %%\n", "top-1", s->top1);
    printf("%-24s %.2f %%\n", "top-5", s->top5);
    printf("%-24s %.4f\n", "cross-entropy", s->loss);
}

static sftn_status measure(const sftn_network *net, const eval_options *opt,
                           const sftn_dataset *data, const sftn_plan_options *plan,
                           const char *file, sftn_error *err)
{
    sftn_scores scores;
    sftn_status status = sftn_evaluate(net, data, (sftn_split)opt->split, plan, &scores, err);

    if (status == SFTN_OK && opt->json)
        print_json(file, &scores);
    else if (status == SFTN_OK)
        print_text(&scores);
    return status;
}

static int eval(const cli_args *args, const eval_options *opt, cli_data_options *data_options,
                const cli_machine_options *machine)
{
    char file[640];
    sftn_plan_options plan;
    sftn_network net = {0};
    sftn_dataset *data = NULL;
    sftn_error err = {0};
    int code;

    if (cli_plan_options(machine, &plan, &err) != SFTN_OK)
        return cli_misuse("%s", err.text);
    cli_model_file(args->file[0], file, sizeof file);
    if (sftn_network_load(file, &net, &err) != SFTN_OK)
        return cli_fail(&err);
    if (!cli_given(args, "data") && net.data[0])
        data_options->data = net.data;
    if (cli_open_data(data_options, &data, &code) &&
        measure(&net, opt, data, &plan, file, &err) != SFTN_OK)
        code = cli_fail(&err);
    sftn_dataset_close(data);
    sftn_network_free(&net);
    return code;
}

int cmd_eval(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    eval_options opt;
    cli_data_options data;
    cli_machine_options machine;
    int code;

    cli_accept(&args, "measure", "", table, &opt);
    cli_accept(&args, "data", "", cli_data_table, &data);
    cli_accept(&args, "machine", "", cli_machine_table, &machine);
    if (cli_parse(&args, &code))
        code = eval(&args, &opt, &data, &machine);
    cli_args_free(&args);
    return code;
}
