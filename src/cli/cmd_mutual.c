/* mutual: several networks trained together, each learning from what the others answer. */
#include "cli/cli.h"

#include <math.h>
#include <string.h>

typedef struct mutual_options {
    const char *student, *peers, *method;
    float weight;
} mutual_options;

#define FIELD(name) offsetof(mutual_options, name)

static const sftn_option table[] = {
    {"student", SFTN_OPT_STRING, FIELD(student), 0, 0, 0,
     "the network that model.safetensors holds; 'sftn list models' names them", "MODEL", "resnet8"},
    {"peers", SFTN_OPT_STRING, FIELD(peers), 0, 0, 0,
     "one to three networks that learn with it, joined by commas: peer2.safetensors, ...",
     "MODEL,...", "resnet20"},
    {"method", SFTN_OPT_STRING, FIELD(method), 0, 0, 0, "one of 'sftn list mutual'", "NAME",
     "dml"},
    {"weight", SFTN_OPT_FLOAT, FIELD(weight), -1, -1, INFINITY,
     "factor of what is learned from the others, beside the labels' 1; -1 is the method's own",
     NULL, NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "[--student MODEL] [--peers MODEL,...] [--method dml] [options]",
    .text = "Trains networks together, from the labels and from one another's answers.  None of\n"
            "them is trained before.  The run directory is filled as by 'sftn train', with a file\n"
            "for each network.",
};

typedef struct mutual_run {
    cli_args *args;
    const mutual_options *opt;
    const sftn_mutual *method;
    const void *method_options;
    const cli_run_options *run;
    sftn_model network[SFTN_MAX_PEERS];
    int n;
} mutual_run;

/* The student's network and its peers'. */
static sftn_status find_networks(mutual_run *m, sftn_error *err)
{
    const char *at = m->opt->peers;
    sftn_status status = sftn_model_find(m->opt->student, &m->network[m->n++], err);

    while (status == SFTN_OK && *at) {
        const size_t length = strcspn(at, ",");
        char name[64];

        if (m->n == SFTN_MAX_PEERS)
            return sftn_fail(err, SFTN_ERR_ARGUMENT, "option --peers is '%s'; expected at most %d",
                             m->opt->peers, SFTN_MAX_PEERS - 1);
        snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), at);
        status = sftn_model_find(name, &m->network[m->n++], err);
        at += length + (at[length] == ',');
    }
    return status;
}

static int train_on(const mutual_run *m, const sftn_plan_options *plan, const sftn_dataset *data)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(data);
    sftn_mutual_options options = {
        .method = m->method,
        .options = m->method_options,
        .weight = m->opt->weight < 0.0f ? m->method->weight : cli_decimal(m->opt->weight),
        .n = m->n,
        .classes = info->classes,
        .channels = info->channels,
        .image_size = info->height,
        .smoothing = m->run->smoothing,
        .seed = (uint64_t)m->run->seed,
    };
    cli_job job = {.run = {
        .argc = m->args->argc,
        .argv = m->args->argv,
        .args = m->args,
        .options = m->run,
        .plan = plan,
        .data = data,
        .epochs = m->run->epochs,
        .milestones = m->run->milestones,
    }};
    sftn_error err = {0};
    int code;

    for (int i = 0; i < m->n; i++)
        options.network[i] = &m->network[i];
    if (m->run->out)
        snprintf(job.run.dir, sizeof job.run.dir, "%s", m->run->out);
    else
        snprintf(job.run.dir, sizeof job.run.dir, "runs/%s-%s-with-%s-%s-seed%lld",
                 m->method->name, m->network[0].name, m->opt->peers, info->name,
                 (long long)m->run->seed);
    if (!cli_check_directories(&job, 1, &code))
        return code;
    if (sftn_mutual_job(&options, &job.job, &err) != SFTN_OK)
        return cli_fail(&err);
    code = cli_run_jobs(&job, 1, NULL);
    sftn_job_free(&job.job);
    return code;
}

static int mutual(mutual_run *m, const cli_data_options *data_options,
                  const cli_machine_options *machine)
{
    sftn_plan_options plan;
    sftn_dataset *data = NULL;
    sftn_error err = {0};
    int code;

    if (find_networks(m, &err) != SFTN_OK || cli_plan_options(machine, &plan, &err) != SFTN_OK)
        return cli_misuse("%s", err.text);
    if (!cli_open_data(data_options, &data, &code))
        return code;
    code = train_on(m, &plan, data);
    sftn_dataset_close(data);
    return code;
}

/* Accept the options of a method under its name and a dot. */
static void *accept_method(cli_args *a, const sftn_mutual *method, int *code)
{
    void *options = cli_new_options(a, method->options_size, code);
    char title[80], prefix[32];

    snprintf(title, sizeof title, "method %s", method->name);
    snprintf(prefix, sizeof prefix, "%s.", method->name);
    if (options)
        cli_accept(a, title, prefix, method->options, options);
    return options;
}

/* The method of --method with its options; under help every method's. */
static bool choose_method(mutual_run *m, int *code)
{
    const char *name = cli_peek(m->args->argc, m->args->argv, "method");
    const bool help = cli_wants_help(m->args->argc, m->args->argv);
    sftn_error err = {0};

    *code = CLI_DONE;
    for (int i = 0; help && *code == CLI_DONE && sftn_mutual_list(i); i++)
        accept_method(m->args, sftn_mutual_list(i), code);
    if (help)
        return *code == CLI_DONE;
    m->method = sftn_mutual_find(name ? name : "dml", &err);
    if (!m->method) {
        *code = cli_misuse("%s", err.text);
        return false;
    }
    m->method_options = accept_method(m->args, m->method, code);
    return m->method_options != NULL;
}

int cmd_mutual(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    mutual_options opt;
    cli_data_options data;
    cli_run_options run;
    cli_machine_options machine;
    mutual_run m = {.args = &args, .opt = &opt, .run = &run};
    int code;

    cli_accept(&args, "networks", "", table, &opt);
    if (choose_method(&m, &code)) {
        cli_accept(&args, "data", "", cli_data_table, &data);
        cli_accept(&args, "training", "", cli_run_table, &run);
        cli_accept(&args, "machine", "", cli_machine_table, &machine);
        if (cli_parse(&args, &code))
            code = mutual(&m, &data, &machine);
    }
    cli_args_free(&args);
    return code;
}
