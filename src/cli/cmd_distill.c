/* distill: a student beside a frozen teacher, or several at once. */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const sftn_option table[] = {
    {"student", SFTN_OPT_STRING, offsetof(cli_training, network), 0, 0, 0,
     "network of the student; 'sftn list models' names them", "MODEL", "resnet8",
     .role = SFTN_ROLE_RESOLVED},
    {"teacher", SFTN_OPT_STRING, offsetof(cli_training, teacher), 0, 0, 0,
     "file of the trained teacher (a run's model.safetensors), or the run directory", "FILE", NULL,
     .role = SFTN_ROLE_RESOLVED | SFTN_ROLE_SHARED},
    {"method", SFTN_OPT_STRING, offsetof(cli_training, method), 0, 0, 0,
     "one or more of 'sftn list methods', joined by +", "NAMES", "kd"},
    {"task-weight", SFTN_OPT_FLOAT, offsetof(cli_training, task_weight), -1, -1, 1e6,
     "factor of the cross-entropy with the labels; -1 is the largest of the methods' own: 0.1 of "
     "kd and sskd, 1 of the others",
     NULL, NULL},
    {"min-teacher-accuracy", SFTN_OPT_FLOAT, offsetof(cli_training, min_teacher_accuracy), -1,
     -1, 100,
     "refuse a teacher that has fewer percent of the test images right (with --test end: of those "
     "held out); -1 is twice what guessing has, or 10 points above it where that is less; 0 takes "
     "any, unmeasured",
     NULL, NULL, .role = SFTN_ROLE_NO_BITS | SFTN_ROLE_SHARED},
    {"teacher-norm", SFTN_OPT_CHOICE, offsetof(cli_training, teacher_norm), CLI_NORM_RUNNING, 0, 1,
     "statistics that the frozen teacher's batch norms use: those of its training, or each batch's "
     "own (as the authors of ofd have it)", "running|batch", NULL, .role = SFTN_ROLE_SHARED},
    {"init-from-branch", SFTN_OPT_STRING, offsetof(cli_training, init_from_branch), 0, 0, 0,
     "start the student's later stages and head from a branch in this file", "FILE", NULL,
     .role = SFTN_ROLE_RESOLVED},
    {"branch", SFTN_OPT_INT, offsetof(cli_training, branch), 1, 1, SFTN_MAX_STAGES,
     "which branch, counted from the teacher's first stage", NULL, NULL},
    SFTN_OPTION_END,
};

/* Options of which a list trains several students; those of methods besides. */
static const char *const lists[] = {"student", "method", "task-weight", "branch", "seed", NULL};

static const cli_usage usage = {
    .arguments = "--teacher FILE [--student MODEL] [--method kd] [options]",
    .text = "Trains a student on the labels and on what a frozen teacher answers.  The run\n"
            "directory is filled as by 'sftn train'; agreement with the teacher is measured at\n"
            "the end.  Before it begins, the teacher is measured on the test images, and the\n"
            "norm of each term's gradient is told as a multiple of the labels'.\n"
            "\n"
            "Lists train all combinations at once: --student resnet8,resnet14 --method kd,at+kd\n"
            "--seed 1,2,3 are twelve students.  --task-weight, --branch and options of methods\n"
            "(--kd.temperature 2,4) may be lists too.  Each batch is prepared and answered by the\n"
            "teacher once; every student ends in the same bits as alone with the same\n"
            "--batch-seed, in a run directory of its own: below --out, named by what differs, as\n"
            "resnet8-kd-seed1.  One whose loss is no longer finite is left; the others go on.\n"
            "With --resume, those without a checkpoint begin anew: lists may grow.",
};

/* One student: its command line, and what was read from it. */
typedef struct student {
    const cli_line *line;
    cli_training t;
    sftn_model model;
} student;

/* All students, and what they have in common. */
typedef struct distillation {
    int argc; /* the command as typed */
    char **argv;
    bool own_out;
    int n;
    student *student;
    cli_job *job;
    char teacher_file[640];
    sftn_plan_options plan;
    sftn_network teacher;
    cli_teacher measured; /* the same teacher */
    sftn_dataset *data;
} distillation;

bool cli_accept_distill(cli_training *t, int *code)
{
    t->args.usage = &usage;
    cli_accept(&t->args, "student", "", table, t);
    if (!cli_choose_methods(&t->args, "kd", &t->methods, code))
        return false;
    cli_accept(&t->args, "data", "", cli_data_table, &t->data);
    cli_accept(&t->args, "training", "", cli_run_table, &t->run);
    cli_accept(&t->args, "machine", "", cli_machine_table, &t->machine);
    return true;
}

static bool parse(student *s, const cli_line *line, int *code)
{
    s->line = line;
    s->t.args.argc = line->argc;
    s->t.args.argv = line->argv;
    return cli_accept_distill(&s->t, code) && cli_parse(&s->t.args, code);
}

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

/* The run directory: --out, for one of several below it; else a name made from the command. */
static void name_directory(const distillation *d, const student *s, cli_run *run)
{
    char teacher[128];

    if (s->t.run.out && d->n > 1 && !d->own_out) {
        snprintf(run->dir, sizeof run->dir, "%s/%s", s->t.run.out, s->line->name);
    } else if (s->t.run.out) {
        snprintf(run->dir, sizeof run->dir, "%s", s->t.run.out);
    } else {
        teacher_name(d->teacher_file, teacher, sizeof teacher);
        snprintf(run->dir, sizeof run->dir, "runs/%s-%s-of-%s-%s-seed%lld%s%s", s->t.method,
                 s->model.name, teacher, sftn_dataset_get_info(d->data)->name,
                 (long long)s->t.run.seed, s->line->rest[0] ? "-" : "", s->line->rest);
    }
}

static void fill_run(distillation *d, int i)
{
    student *s = &d->student[i];
    cli_job *job = &d->job[i];

    /* Students with other seeds see the same batches: those of the first one's. */
    if (s->t.run.batch_seed < 0)
        s->t.run.batch_seed = d->student[0].t.run.seed;
    job->run = (cli_run){
        .argc = d->argc,
        .argv = d->argv,
        .args = &s->t.args,
        .options = &s->t.run,
        .plan = &d->plan,
        .data = d->data,
        .epochs = s->t.run.epochs,
        .milestones = s->t.run.milestones,
    };
    snprintf(job->name, sizeof job->name, "%s", d->n > 1 ? s->line->name : "");
    name_directory(d, s, &job->run);
}

sftn_views cli_views_beside(sftn_views views, const cli_training *t)
{
    const sftn_views own = cli_method_views(&t->methods);

    return own.n > views.n && t->teacher_norm != CLI_NORM_BATCH ? own : views;
}

sftn_status cli_distill_job(const cli_training *t, const cli_lesson *lesson, sftn_job *job,
                            sftn_error *err)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(lesson->data);
    sftn_model model;
    sftn_distill_options options = {
        .student = &model,
        .teacher = &lesson->teacher->model,
        .teacher_file = lesson->teacher_file,
        .shares = lesson->shares,
        .teacher_batch_norms = t->teacher_norm == CLI_NORM_BATCH,
        .views = lesson->views,
        .task_weight = cli_decimal(t->task_weight),
        .smoothing = t->run.smoothing,
        .classes = info->classes,
        .channels = info->channels,
        .image_size = info->height,
        .data = lesson->data,
        .branch_file = t->init_from_branch,
        .branch = t->branch,
        .seed = (uint64_t)t->run.seed,
    };
    const sftn_status status = sftn_model_find(t->network, &model, err);

    if (status)
        return status;
    if (options.task_weight < 0.0)
        options.task_weight = cli_default_task_weight(&t->methods);
    cli_use_methods(&t->methods, &options);
    return sftn_distill_job(&options, job, err);
}

static sftn_status make_job(distillation *d, int i, sftn_error *err)
{
    cli_lesson lesson = {
        .teacher = &d->teacher,
        .teacher_file = d->teacher_file,
        .data = d->data,
        .shares = i ? &d->job[0].job : NULL,
        .views = {.n = 1},
    };

    for (int k = 0; k < d->n; k++)
        lesson.views = cli_views_beside(lesson.views, &d->student[k].t);
    return cli_distill_job(&d->student[i].t, &lesson, &d->job[i].job, err);
}

/*
 * The least that the teacher must have right.  Guessing has one of so many classes; twice that is
 * beyond the scatter of any test set, but of two classes it would be all.
 */
static double least_accuracy(const distillation *d)
{
    const double asked = cli_decimal(d->student[0].t.min_teacher_accuracy);
    const double guessed = 100.0 / d->teacher.classes;

    return asked < 0.0 ? guessed + fmin(guessed, 10.0) : asked;
}

/*
 * The images that the teacher is measured on: all test images; where those are to be seen but once,
 * the held-out ones.
 */
static sftn_split split_for_teacher(const distillation *d)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(d->data);
    const bool spare = d->student[0].t.run.test == CLI_TEST_END;

    return info->records[SFTN_VALIDATION] > 0 && (spare || info->records[SFTN_TEST] < 1)
               ? SFTN_VALIDATION : SFTN_TEST;
}

/* Measure the teacher before hours are spent with it. */
static sftn_status measure_teacher(distillation *d, sftn_error *err)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(d->data);
    const bool asked = d->student[0].t.min_teacher_accuracy > 0.0f;
    const sftn_split split = split_for_teacher(d);
    const char *images = split == SFTN_TEST ? "test" : "validation";
    const double least = least_accuracy(d);
    cli_teacher *t = &d->measured;
    char near[64] = "";
    sftn_status status;

    if (least <= 0.0 || (info->records[split] < 1 && !asked))
        return SFTN_OK;
    if (info->records[split] < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "--min-teacher-accuracy needs test images, %s has none", info->name);
    status = sftn_evaluate(&d->teacher, d->data, split, &d->plan, &t->scores, err);
    if (status != SFTN_OK)
        return status;
    if (!asked)
        snprintf(near, sizeof near, ", where guessing has %.2f%%", 100.0 / d->teacher.classes);
    if (t->scores.top1 < least)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "%s has %.2f%% of the %s images of %s right%s: expected %.2f%% or more; "
                         "--min-teacher-accuracy sets another bound, 0 takes any teacher",
                         t->file, t->scores.top1, images, info->name, near, least);
    t->measured = split == SFTN_TEST;
    fprintf(stderr, "teacher %s: %s top-1 %.2f%%\n", t->file, images, t->scores.top1);
    return SFTN_OK;
}

static int train_on(distillation *d)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(d->data);
    sftn_error err = {0};
    int code;

    if (d->teacher.classes != info->classes)
        return cli_misuse("%s tells %d classes apart, but %s has %d", d->teacher_file,
                          d->teacher.classes, info->name, info->classes);
    for (int i = 0; i < d->n; i++)
        fill_run(d, i);
    if (!cli_check_directories(d->job, d->n, &code))
        return code;
    if (measure_teacher(d, &err) != SFTN_OK)
        return cli_fail(&err);
    for (int i = 0; i < d->n; i++)
        if (make_job(d, i, &err) != SFTN_OK)
            return cli_fail(&err);
    return cli_run_jobs(d->job, d->n, &d->measured);
}

static int open_and_train(distillation *d)
{
    const student *first = &d->student[0];
    sftn_error err = {0};
    int code;

    if (!first->t.teacher)
        return cli_misuse("distill needs --teacher FILE, a network trained by 'sftn teach' or "
                          "'sftn train'");
    for (int i = 0; i < d->n; i++)
        if (sftn_model_find(d->student[i].t.network, &d->student[i].model, &err) != SFTN_OK)
            return cli_misuse("%s", err.text);
    if (cli_plan_options(&first->t.machine, &d->plan, &err) != SFTN_OK)
        return cli_misuse("%s", err.text);
    cli_model_file(first->t.teacher, d->teacher_file, sizeof d->teacher_file);
    d->measured.file = d->teacher_file;
    if (sftn_network_load(d->teacher_file, &d->teacher, &err) != SFTN_OK)
        return cli_fail(&err);
    if (cli_open_data(&first->t.data, &d->data, &code))
        code = train_on(d);
    return code;
}

static void close_all(distillation *d)
{
    for (int i = d->n - 1; i >= 0 && d->job; i--)
        sftn_job_free(&d->job[i].job); /* the first has the teacher that the others share */
    for (int i = 0; i < d->n && d->student; i++)
        cli_args_free(&d->student[i].t.args);
    sftn_dataset_close(d->data);
    sftn_network_free(&d->teacher);
    free(d->student);
    free(d->job);
}

int cli_distill(const cli_line *line, int n, bool own_out, int argc, char **argv)
{
    distillation d = {.argc = argc, .argv = argv, .own_out = own_out, .n = n};
    bool go_on = true;
    int code;

    d.student = calloc((size_t)n, sizeof *d.student);
    d.job = calloc((size_t)n, sizeof *d.job);
    if (!d.student || !d.job) {
        code = cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
        go_on = false;
    }
    for (int i = 0; i < n && go_on; i++)
        go_on = parse(&d.student[i], &line[i], &code);
    if (go_on)
        code = open_and_train(&d);
    close_all(&d);
    return code;
}

int cmd_distill(int argc, char **argv)
{
    cli_grid grid;
    int code;

    if (cli_grid_new(&grid, argc, argv, lists, &code))
        code = cli_distill(grid.line, grid.n, false, argc, argv);
    cli_grid_free(&grid);
    return code;
}
