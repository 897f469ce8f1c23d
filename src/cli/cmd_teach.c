/* teach: a teacher with what its scheme attaches to it while it trains. */
#include "cli/cli.h"

#include <string.h>

/* Fewer epochs suffice from a trained teacher: 60, the rate falling after 30 and 45. */
enum { CHEAP_EPOCHS = 60 };

typedef struct teach_options {
    const char *scheme, *teacher, *student, *init_from;
} teach_options;

static const sftn_option table[] = {
    {"scheme", SFTN_OPT_STRING, offsetof(teach_options, scheme), 0, 0, 0,
     "how the teacher is trained; 'sftn list teachers' names the schemes", "NAME", "sftn"},
    {"teacher", SFTN_OPT_STRING, offsetof(teach_options, teacher), 0, 0, 0,
     "network of the teacher; 'sftn list models' names them", "MODEL", "resnet20"},
    {"student", SFTN_OPT_STRING, offsetof(teach_options, student), 0, 0, 0,
     "network of the student that the teacher shall suit", "MODEL", "resnet8"},
    {"init-from", SFTN_OPT_STRING, offsetof(teach_options, init_from), 0, 0, 0,
     "the cheap variant: start from this trained teacher, by default for 60 epochs with the rate "
     "falling after 30 and 45",
     "FILE", NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "[--teacher MODEL] [--student MODEL] [options]",
    .text =
        "Trains a teacher.  With the scheme 'sftn', branches made of the student's stages hang\n"
        "on the teacher's stages and are trained with it.  The run directory receives the\n"
        "teacher as model.safetensors, under plain names, and its branches as\n"
        "branches.safetensors.",
};

static sftn_status find_models(const cli_teach *t, sftn_model *teacher, sftn_model *student,
                               sftn_error *err)
{
    sftn_status status = sftn_model_find(t->teacher, teacher, err);

    if (status == SFTN_OK && t->student)
        status = sftn_model_find(t->student, student, err);
    return status;
}

/* Name the run, make the job and train it on data that is open. */
static int train_on(const cli_teach *t, const sftn_plan_options *plan, const sftn_dataset *data,
                    const sftn_model *teacher, const sftn_model *student)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(data);
    const bool cheap = t->student && t->init_from && !cli_given(t->args, "epochs");
    const sftn_teach_options options = {
        .scheme = t->scheme->scheme,
        .scheme_options = t->scheme->options,
        .teacher = teacher,
        .student = t->student ? student : NULL,
        .classes = info->classes,
        .channels = info->channels,
        .image_size = info->height,
        .smoothing = t->run->smoothing,
        .init_from = t->init_from,
        .seed = (uint64_t)t->run->seed,
    };
    cli_job job = {.run = {
        .argc = t->args->argc,
        .argv = t->args->argv,
        .args = t->args,
        .options = t->run,
        .plan = plan,
        .data = data,
        .epochs = cheap ? CHEAP_EPOCHS : t->run->epochs,
        .milestones = cheap && !t->run->milestones ? "30,45" : t->run->milestones,
    }};
    sftn_error err = {0};
    int code;

    if (t->run->out)
        snprintf(job.run.dir, sizeof job.run.dir, "%s", t->run->out);
    else
        snprintf(job.run.dir, sizeof job.run.dir, "runs/%s-%s%s%s-%s-seed%lld",
                 t->scheme->scheme->name, teacher->name, t->student ? "-" : "",
                 t->student ? student->name : "", info->name, (long long)t->run->seed);
    if (!cli_check_directories(&job, 1, &code))
        return code;
    if (sftn_teach_job(&options, &job.job, &err) != SFTN_OK)
        return cli_fail(&err);
    code = cli_run_jobs(&job, 1, NULL);
    sftn_job_free(&job.job);
    return code;
}

int cli_teach_run(const cli_teach *t)
{
    sftn_plan_options plan;
    sftn_model teacher, student = {0};
    sftn_dataset *data = NULL;
    sftn_error err = {0};
    int code;

    if (find_models(t, &teacher, &student, &err) != SFTN_OK ||
        cli_plan_options(t->machine, &plan, &err) != SFTN_OK)
        return cli_misuse("%s", err.text);
    if (!cli_open_data(t->data, &data, &code))
        return code;
    code = train_on(t, &plan, data, &teacher, &student);
    sftn_dataset_close(data);
    return code;
}

int cmd_teach(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    teach_options opt;
    cli_data_options data;
    cli_run_options run;
    cli_machine_options machine;
    cli_scheme scheme = {0};
    int code;

    cli_accept(&args, "teacher", "", table, &opt);
    if (cli_choose_scheme(&args, "sftn", &scheme, &code)) {
        cli_accept(&args, "data", "", cli_data_table, &data);
        cli_accept(&args, "training", "", cli_run_table, &run);
        cli_accept(&args, "machine", "", cli_machine_table, &machine);
        if (cli_parse(&args, &code))
            code = cli_teach_run(&(cli_teach){
                .args = &args,
                .scheme = &scheme,
                .teacher = opt.teacher,
                .student = scheme.scheme->needs_student ? opt.student : NULL,
                .init_from = opt.init_from,
                .run = &run,
                .data = &data,
                .machine = &machine,
            });
    }
    cli_args_free(&args);
    return code;
}
