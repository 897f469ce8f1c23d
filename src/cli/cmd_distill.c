/* distill: a student beside a frozen teacher. */
#include "cli/cli.h"

#include <string.h>

typedef struct distill_options {
    const char *student, *teacher, *method, *init_from_branch;
    int branch;
    float task_weight;
} distill_options;

static const sftn_option table[] = {
    {"student", SFTN_OPT_STRING, offsetof(distill_options, student), 0, 0, 0,
     "network of the student; 'sftn list models' names them", "MODEL", "resnet8"},
    {"teacher", SFTN_OPT_STRING, offsetof(distill_options, teacher), 0, 0, 0,
     "file of the trained teacher (a run's model.safetensors), or the run directory", "FILE", NULL},
    {"method", SFTN_OPT_STRING, offsetof(distill_options, method), 0, 0, 0,
     "one or more of 'sftn list methods', joined by +", "NAMES", "kd"},
    {"task-weight", SFTN_OPT_FLOAT, offsetof(distill_options, task_weight), -1, -1, 1e6,
     "factor of the cross-entropy with the labels; -1 is the methods' own", NULL, NULL},
    {"init-from-branch", SFTN_OPT_STRING, offsetof(distill_options, init_from_branch), 0, 0, 0,
     "start the student's later stages and head from a branch in this file", "FILE", NULL},
    {"branch", SFTN_OPT_INT, offsetof(distill_options, branch), 1, 1, SFTN_MAX_STAGES,
     "which branch, counted from the teacher's first stage", NULL, NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "--teacher FILE [--student MODEL] [--method kd] [options]",
    .text = "Trains a student on the labels and on what a frozen teacher answers.  The run\n"
            "directory is filled as by 'sftn train'; agreement with the teacher is measured at\n"
            "the end.",
};

typedef struct distill_run {
    cli_args *args;
    const distill_options *opt;
    const cli_methods *methods;
    const cli_run_options *run;
    const sftn_plan_options *plan;
    const sftn_model *student;
    const char *teacher_file;
} distill_run;

/* The last component of the directory that holds the teacher's file, else the file's own name. */
static void teacher_name(const char *file, char *buf, size_t size)
{
    const char *end = strrchr(file, '/'), *begin = end;

    if (!end) {
        snprintf(buf, size, "%.*s", (int)strcspn(file, "."), file);
        return;
    }
    while (begin > file && begin[-1] != '/')
        begin--;
    snprintf(buf, size, "%.*s", (int)(end - begin), begin);
}

static int train_on(const distill_run *d, const sftn_network *teacher, const sftn_dataset *data)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(data);
    const distill_options *opt = d->opt;
    sftn_distill_options options = {
        .student = d->student,
        .teacher = &teacher->model,
        .teacher_file = d->teacher_file,
        .task_weight = cli_decimal(opt->task_weight),
        .smoothing = d->run->smoothing,
        .classes = info->classes,
        .channels = info->channels,
        .image_size = info->height,
        .data = data,
        .branch_file = opt->init_from_branch,
        .branch = opt->branch,
        .seed = (uint64_t)d->run->seed,
    };
    cli_run run = {
        .args = d->args,
        .options = d->run,
        .plan = d->plan,
        .data = data,
        .epochs = d->run->epochs,
        .milestones = d->run->milestones,
    };
    sftn_job job = {0};
    sftn_error err = {0};
    char name[128];
    int code;

    if (teacher->classes != info->classes)
        return cli_misuse("%s tells %d classes apart, but %s has %d", d->teacher_file,
                          teacher->classes, info->name, info->classes);
    if (options.task_weight < 0.0)
        options.task_weight = cli_default_task_weight(d->methods);
    cli_use_methods(d->methods, &options);
    teacher_name(d->teacher_file, name, sizeof name);
    if (!cli_run_directory(&run, &code, "%s-%s-of-%s-%s-seed%lld", opt->method, d->student->name,
                           name, info->name, (long long)d->run->seed))
        return code;
    if (sftn_distill_job(&options, &job, &err) != SFTN_OK)
        return cli_fail(&err);
    code = cli_run_job(&run, &job, d->teacher_file);
    sftn_job_free(&job);
    return code;
}

static int distill(distill_run *d, const cli_data_options *data_options,
                   const cli_machine_options *machine)
{
    char file[640];
    sftn_plan_options plan;
    sftn_model student;
    sftn_network teacher = {0};
    sftn_dataset *data = NULL;
    sftn_error err = {0};
    int code;

    if (!d->opt->teacher)
        return cli_misuse("distill needs --teacher FILE, a network trained by 'sftn teach' or "
                          "'sftn train'");
    if (sftn_model_find(d->opt->student, &student, &err) != SFTN_OK ||
        cli_plan_options(machine, &plan, &err) != SFTN_OK)
        return cli_misuse("%s", err.text);
    cli_model_file(d->opt->teacher, file, sizeof file);
    d->plan = &plan;
    d->student = &student;
    d->teacher_file = file;
    if (sftn_network_load(file, &teacher, &err) != SFTN_OK)
        return cli_fail(&err);
    if (cli_open_data(data_options, &data, &code))
        code = train_on(d, &teacher, data);
    sftn_dataset_close(data);
    sftn_network_free(&teacher);
    return code;
}

int cmd_distill(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    distill_options opt;
    cli_data_options data;
    cli_run_options run;
    cli_machine_options machine;
    cli_methods methods = {0};
    int code;

    cli_accept(&args, "student", "", table, &opt);
    if (cli_choose_methods(&args, "kd", &methods, &code)) {
        cli_accept(&args, "data", "", cli_data_table, &data);
        cli_accept(&args, "training", "", cli_run_table, &run);
        cli_accept(&args, "machine", "", cli_machine_table, &machine);
        if (cli_parse(&args, &code))
            code = distill(
                &(distill_run){.args = &args, .opt = &opt, .methods = &methods, .run = &run}, &data,
                &machine);
    }
    cli_args_free(&args);
    return code;
}
