/*
 * run.c: the part that train, teach and distill share: from options to a trained network.
 */
#include "cli/cli.h"
#include "sftn/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FIELD(name) offsetof(cli_run_options, name)

enum { FLIP_AUTO, FLIP_YES, FLIP_NO };

/* Defaults are the CIFAR-100 recipe of the CRD benchmark. */
const sftn_option cli_run_table[] = {
    {"epochs", SFTN_OPT_INT, FIELD(epochs), 240, 1, 100000, "passes over the training images", NULL,
     NULL},
    {"batch", SFTN_OPT_INT64, FIELD(batch), 64, 1, 65536, "images a step", NULL, NULL},
    {"lr", SFTN_OPT_FLOAT, FIELD(lr), 0.05, 0, 100, "base learning rate", NULL, NULL},
    {"schedule", SFTN_OPT_CHOICE, FIELD(schedule), SFTN_SCHEDULE_STEP, 0, 1,
     "how the learning rate falls", "step|cosine", NULL},
    {"milestones", SFTN_OPT_STRING, FIELD(milestones), 0, 0, 0,
     "epochs after which the rate is multiplied by gamma, as 150,180,210; unless given, 62.5, 75 "
     "and 87.5 % of the epochs",
     "LIST", NULL},
    {"gamma", SFTN_OPT_FLOAT, FIELD(gamma), 0.1, 0, 1, "factor at each milestone", NULL, NULL},
    {"warmup", SFTN_OPT_FLOAT, FIELD(warmup), 0, 0, 1000, "epochs of linear warm-up", NULL, NULL},
    {"final-lr", SFTN_OPT_FLOAT, FIELD(final_lr), 0, 0, 100, "where the cosine schedule ends", NULL,
     NULL},
    {"momentum", SFTN_OPT_FLOAT, FIELD(momentum), 0.9, 0, 1, "of SGD", NULL, NULL},
    {"nesterov", SFTN_OPT_BOOL, FIELD(nesterov), 0, 0, 1, "Nesterov's form of momentum", NULL,
     NULL},
    {"weight-decay", SFTN_OPT_FLOAT, FIELD(weight_decay), 5e-4, 0, 1,
     "added to the gradient of every trained parameter", NULL, NULL},
    {"dot", SFTN_OPT_FLOAT, FIELD(dot), 0, 0, 0.5,
     "DOT: the momentum is less by this for the labels' gradient and more for that of what is "
     "distilled (the paper: 0.075); 0 is one momentum for both", NULL, NULL},
    {"clip", SFTN_OPT_FLOAT, FIELD(clip), 0, 0, 1e6,
     "largest norm of the gradient, above which it is scaled down; 0 is none", NULL, NULL},
    {"ema", SFTN_OPT_FLOAT, FIELD(ema), 0, 0, 0.999999,
     "decay of averaged weights, measured beside the others; 0 is none", NULL, NULL},
    {"smoothing", SFTN_OPT_FLOAT, FIELD(smoothing), 0, 0, 0.999, "label smoothing", NULL, NULL},
    {"augment", SFTN_OPT_BOOL, FIELD(augment), 1, 0, 1, "vary training images: crop and mirror",
     NULL, NULL},
    {"pad", SFTN_OPT_INT, FIELD(pad), 4, 0, 64, "pixels around an image before the random crop",
     NULL, NULL},
    {"flip", SFTN_OPT_CHOICE, FIELD(flip), FLIP_AUTO, 0, 2,
     "mirror half of the images; auto mirrors colour images only", "auto|yes|no", NULL},
    {"seed", SFTN_OPT_INT64, FIELD(seed), 1, 0, INFINITY,
     "of initial weights, order and augmentation; the same seed gives the same bits", NULL, NULL},
    {"loader-threads", SFTN_OPT_INT, FIELD(loader_threads), 1, 1, 256,
     "threads that prepare batches", NULL, NULL},
    {"out", SFTN_OPT_STRING, FIELD(out), 0, 0, 0,
     "run directory; unless given, a name under runs/ made from the command", "DIR", NULL},
    {"resume", SFTN_OPT_BOOL, FIELD(resume), 0, 0, 1,
     "go on from the run directory's checkpoint, exactly: with its number of threads too, unless "
     "--threads is given",
     NULL, NULL},
    {"overwrite", SFTN_OPT_BOOL, FIELD(overwrite), 0, 0, 1,
     "begin anew in a directory that holds a run", NULL, NULL},
    {"save-minutes", SFTN_OPT_FLOAT, FIELD(save_minutes), 10, 0, 1e6,
     "also save in mid-epoch this often; 0 is at the end of epochs only", NULL, NULL},
    SFTN_OPTION_END,
};

static sftn_status read_milestones(const char *text, sftn_schedule *s, sftn_error *err)
{
    for (const char *p = text; *p;) {
        char *end;
        const double epoch = strtod(p, &end);

        if (end == p || epoch < 0.0 || (*end && *end != ','))
            return sftn_fail(err, SFTN_ERR_ARGUMENT,
                             "option --milestones is '%s'; expected epochs like 150,180,210", text);
        if (s->nmilestones == CLI_COUNT(s->milestone))
            return sftn_fail(err, SFTN_ERR_ARGUMENT, "option --milestones has more than %d epochs",
                             CLI_COUNT(s->milestone));
        s->milestone[s->nmilestones++] = epoch;
        p = *end ? end + 1 : end;
    }
    return SFTN_OK;
}

sftn_status cli_train_options(const cli_run *run, sftn_train_options *t, sftn_error *err)
{
    const cli_run_options *o = run->options;
    const bool colour = !run->data || sftn_dataset_get_info(run->data)->channels == 3;
    const bool flip = o->flip == FLIP_YES || (o->flip == FLIP_AUTO && colour);

    *t = (sftn_train_options){
        .plan = *run->plan,
        .schedule = {.kind = (sftn_schedule_kind)o->schedule,
                     .lr = cli_decimal(o->lr),
                     .epochs = run->epochs,
                     .gamma = cli_decimal(o->gamma),
                     .warmup = cli_decimal(o->warmup),
                     .final_lr = cli_decimal(o->final_lr)},
        .batch = o->batch,
        .momentum = cli_decimal(o->momentum),
        .weight_decay = cli_decimal(o->weight_decay),
        .dot = cli_decimal(o->dot),
        .nesterov = o->nesterov,
        .clip = cli_decimal(o->clip),
        .ema = cli_decimal(o->ema),
        .augment = {.pad = o->augment ? o->pad : 0, .flip = o->augment && flip},
        .seed = (uint64_t)o->seed,
        .loader_threads = o->loader_threads,
        .dir = run->dir,
        .resume = o->resume,
        .save_minutes = cli_decimal(o->save_minutes),
    };
    if (run->milestones)
        return read_milestones(run->milestones, &t->schedule, err);
    for (int i = 0; i < 3; i++)
        t->schedule.milestone[i] = run->epochs * (5.0 + i) / 8.0;
    t->schedule.nmilestones = 3;
    return SFTN_OK;
}

static bool file_exists(const char *dir, const char *name)
{
    char path[640];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &st) == 0;
}

bool cli_run_directory(cli_run *run, int *code, const char *format, ...)
{
    const cli_run_options *o = run->options;
    bool holds_run;

    if (o->out) {
        snprintf(run->dir, sizeof run->dir, "%s", o->out);
    } else {
        va_list list;
        const int used = snprintf(run->dir, sizeof run->dir, "runs/");

        va_start(list, format);
        vsnprintf(run->dir + used, sizeof run->dir - (size_t)used, format, list);
        va_end(list);
    }
    holds_run = file_exists(run->dir, "checkpoint.safetensors");
    *code = CLI_DONE;
    if (holds_run && !o->resume && !o->overwrite)
        *code = cli_misuse("%s holds a run already; --resume goes on with it, --overwrite begins "
                           "anew, --out chooses another directory",
                           run->dir);
    else if (!holds_run && o->resume)
        *code = cli_misuse("%s holds no checkpoint to resume from", run->dir);
    return *code == CLI_DONE;
}

/* The command line once more, with --resume. */
static void print_resume_line(const cli_args *a)
{
    bool given = false;

    fprintf(stderr, "sftn: go on with: sftn");
    for (int i = 0; i < a->argc; i++) {
        const char *quote = strpbrk(a->argv[i], " \t\"'$&;()*?<>|\\") ? "'" : "";

        if (strcmp(a->argv[i], "--overwrite") == 0)
            continue;
        given = given || strcmp(a->argv[i], "--resume") == 0;
        fprintf(stderr, " %s%s%s", quote, a->argv[i], quote);
    }
    fprintf(stderr, "%s\n", given ? "" : " --resume");
}

/*
 * Sums are divided among threads: a resumed run takes its checkpoint's number.  Another one that
 * was asked for is used, with a warning.
 */
static void resume_threads(const cli_run *run)
{
    const int here = sftn_get_threads();
    int there;

    if (!run->options->resume || sftn_checkpoint_threads(run->dir, &there, NULL) != SFTN_OK ||
        there < 1 || there == here)
        return;
    if (cli_given(run->args, "threads")) {
        fprintf(stderr,
                "sftn: warning: %s was computed with %d thread%s; with %d it goes on, but "
                "not to the same bits\n",
                run->dir, there, there == 1 ? "" : "s", here);
        return;
    }
    sftn_set_threads(there);
    fprintf(stderr, "%s: %d thread%s, as its checkpoint; --threads asks for another number\n",
            run->dir, there, there == 1 ? "" : "s");
}

static void print_start(const cli_run *run, const sftn_job *job)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(run->data);
    char size[32], images[32];
    int epochs = run->epochs;

    for (int i = 0; i < job->nphases; i++)
        epochs += job->phase[i].schedule.epochs;
    cli_format_count(cli_model_size(job->model, info->classes, info->channels, info->height), size,
                     sizeof size);
    cli_format_count(info->records[SFTN_TRAIN], images, sizeof images);
    fprintf(stderr, "%s: %s (%s parameters), %s images of %s, %d epoch%s\n", run->dir,
            job->model->name, size, images, info->name, epochs, epochs == 1 ? "" : "s");
}

static void print_result(const char *dir, const sftn_train_result *r)
{
    char time[32];

    cli_format_duration(r->seconds, time, sizeof time);
    printf("last epoch: test top-1 %.2f%%, top-5 %.2f%%\n", r->last_top1, r->last_top5);
    if (r->best_validation_top1 >= 0.0)
        printf("best on validation: epoch %lld, validation top-1 %.2f%%, test top-1 %.2f%%\n",
               (long long)r->best_epoch, r->best_validation_top1, r->best_test_top1);
    if (r->ema_top1 >= 0.0)
        printf("averaged weights: test top-1 %.2f%%\n", r->ema_top1);
    printf("saved as %s/model.safetensors, %s\n", dir, time);
}

/* How alike the trained network and its teacher answer on the test images. */
static sftn_status compare_with(const cli_run *run, const char *teacher_file, sftn_similarity *s,
                                sftn_error *err)
{
    char path[640];
    sftn_network teacher = {0}, student = {0};
    sftn_status status = sftn_network_load(teacher_file, &teacher, err);

    snprintf(path, sizeof path, "%s/model.safetensors", run->dir);
    if (status == SFTN_OK)
        status = sftn_network_load(path, &student, err);
    if (status == SFTN_OK)
        status = sftn_compare(&teacher, &student, run->data, SFTN_TEST, run->plan, s, err);
    sftn_network_free(&teacher);
    sftn_network_free(&student);
    return status;
}

static sftn_status finish(const cli_run *run, const sftn_job *job, const sftn_train_result *result,
                          const char *teacher, sftn_error *err)
{
    sftn_similarity similarity = {0};
    sftn_status status;

    print_result(run->dir, result);
    if (teacher) {
        status = compare_with(run, teacher, &similarity, err);
        if (status != SFTN_OK)
            return status;
        printf("with its teacher: agreement %.2f%%, KL(teacher || student) %.4f\n",
               similarity.agreement, similarity.kl_teacher_student);
    }
    return sftn_run_write_summary(run->dir, job, result, teacher ? &similarity : NULL, err);
}

int cli_run_job(const cli_run *run, sftn_job *job, const char *teacher)
{
    cli_progress progress = cli_progress_new();
    const sftn_train_hooks hooks = {
        .ctx = &progress,
        .progress = cli_show_progress,
        .stop = cli_stop_requested,
    };
    sftn_train_options options;
    sftn_train_result result = {0};
    sftn_error err = {0};
    sftn_status status = cli_train_options(run, &options, &err);

    if (status != SFTN_OK)
        return cli_misuse("%s", err.text);
    cli_catch_signals();
    resume_threads(run);
    print_start(run, job);
    status = sftn_train(job, run->data, &options, &hooks, &result, &err);
    cli_progress_clear(&progress);
    if (status == SFTN_OK)
        status = finish(run, job, &result, teacher, &err);
    if (status == SFTN_ERR_INTERRUPTED) {
        cli_fail(&err);
        print_resume_line(run->args);
        return 128 + cli_stop_signal();
    }
    return status == SFTN_OK ? CLI_DONE : cli_fail(&err);
}
