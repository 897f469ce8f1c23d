/*
 * jobs.c: the part that train, teach and distill share: from one job, or several at once, to
 * trained networks in run directories.
 */
#include "cli/cli.h"
#include "sftn/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool file_exists(const char *dir, const char *name)
{
    char path[640];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &st) == 0;
}

/* ---- directories ---- */

bool cli_check_directories(cli_job *jobs, int n, int *code)
{
    const cli_run_options *o = jobs[0].run.options;
    int held = 0;

    *code = CLI_DONE;
    for (int i = 0; i < n && *code == CLI_DONE; i++) {
        cli_run *run = &jobs[i].run;
        const bool holds_run = file_exists(run->dir, "checkpoint.safetensors");

        held += holds_run;
        run->resume = o->resume && holds_run;
        if (holds_run && !o->resume && !o->overwrite)
            *code = cli_misuse("%s holds a run already; --resume goes on with it, --overwrite "
                               "begins anew, --out chooses another directory",
                               run->dir);
    }
    if (*code == CLI_DONE && o->resume && held == 0)
        *code = cli_misuse("%s holds no checkpoint to resume from", jobs[0].run.dir);
    return *code == CLI_DONE;
}

/*
 * Sums are divided among threads: resumed runs take their checkpoint's number.  Another one that
 * was asked for is used, with a warning.
 */
static void resume_threads(const cli_job *jobs, int n)
{
    bool chosen = cli_given(jobs[0].run.args, "threads");

    for (int i = 0; i < n; i++) {
        const char *dir = jobs[i].run.dir;
        const int here = sftn_get_threads();
        int there;

        if (!jobs[i].run.resume || sftn_checkpoint_threads(dir, &there, NULL) != SFTN_OK ||
            there < 1)
            continue;
        if (there != here && chosen) {
            fprintf(stderr,
                    "sftn: warning: %s was computed with %d thread%s; with %d it goes on, but "
                    "not to the same bits\n",
                    dir, there, there == 1 ? "" : "s", here);
        } else if (there != here) {
            sftn_set_threads(there);
            fprintf(stderr,
                    "%s: %d thread%s, as its checkpoint; --threads asks for another number\n", dir,
                    there, there == 1 ? "" : "s");
        }
        chosen = true;
    }
}

/* ---- what is said ---- */

/* The command line once more, with --resume. */
static void print_resume_line(const cli_run *run)
{
    bool given = false;

    fprintf(stderr, "sftn: go on with: sftn");
    for (int i = 0; i < run->argc; i++) {
        if (strcmp(run->argv[i], "--overwrite") == 0)
            continue;
        given = given || strcmp(run->argv[i], "--resume") == 0;
        fputc(' ', stderr);
        cli_write_word(stderr, run->argv[i]);
    }
    fprintf(stderr, "%s\n", given ? "" : " --resume");
}

static void print_start(const cli_job *job)
{
    const cli_run *run = &job->run;
    const sftn_dataset_info *info = sftn_dataset_get_info(run->data);
    char size[32], images[32];
    int epochs = run->epochs;

    for (int i = 0; i < job->job.nphases; i++)
        epochs += job->job.phase[i].schedule.epochs;
    cli_format_count(cli_model_size(job->job.model, info->classes, info->channels, info->height),
                     size, sizeof size);
    cli_format_count(info->records[SFTN_TRAIN], images, sizeof images);
    fprintf(stderr, "%s: %s (%s parameters), %s images of %s, %d epoch%s%s\n", run->dir,
            job->job.model->name, size, images, info->name, epochs, epochs == 1 ? "" : "s",
            run->options->resume && !run->resume ? "; no checkpoint, from the beginning" : "");
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
    if (r->steps > 0)
        printf("saved as %s/model.safetensors, %s\n", dir, time);
    else
        printf("saved before as %s/model.safetensors\n", dir);
}

static void print_similarity(const sftn_similarity *s)
{
    printf("with its teacher: agreement %.2f%%, KL(teacher || student) %.4f\n", s->agreement,
           s->kl_teacher_student);
}

/* ---- after training ---- */

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

/* A run that was done before keeps its summary. */
static bool show_summary(const char *dir)
{
    sftn_run run;

    if (sftn_run_read(dir, &run, NULL) != SFTN_OK)
        return false;
    if (run.finished && run.compared)
        print_similarity(&run.similarity);
    sftn_run_free(&run);
    return true;
}

static sftn_status finish(const cli_job *job, const sftn_train_result *result,
                          const cli_teacher *teacher, sftn_error *err)
{
    const cli_run *run = &job->run;
    sftn_similarity similarity = {0};
    sftn_status status;

    if (job->name[0])
        printf("%s\n", job->name);
    print_result(run->dir, result);
    if (result->steps == 0 && file_exists(run->dir, "summary.json") && show_summary(run->dir))
        return SFTN_OK;
    if (teacher) {
        status = compare_with(run, teacher->file, &similarity, err);
        if (status != SFTN_OK)
            return status;
        print_similarity(&similarity);
    }
    return sftn_run_write_summary(run->dir, &job->job, result,
                                  teacher && teacher->measured ? &teacher->scores : NULL,
                                  teacher ? &similarity : NULL, err);
}

/* Errors of single jobs are told with their names; one job's is the training's. */
static int finish_all(const cli_job *jobs, sftn_member *member, int n, const cli_teacher *teacher)
{
    int code = CLI_DONE;

    for (int i = 0; i < n; i++) {
        sftn_error *err = &member[i].error;

        if (err->status == SFTN_OK)
            finish(&jobs[i], &member[i].result, teacher, err);
        if (err->status == SFTN_OK)
            continue;
        if (n > 1)
            sftn_fail_in(err, "%s", jobs[i].name);
        code = cli_fail(err);
    }
    return code;
}

/* ---- training ---- */

/* Room for n jobs' part in the training. */
typedef struct work {
    sftn_train_options *options;
    sftn_member *member;
    cli_progress progress;
} work;

static bool work_new(work *w, cli_job *jobs, int n, int *code)
{
    sftn_error err = {0};

    w->options = calloc((size_t)n, sizeof *w->options);
    w->member = calloc((size_t)n, sizeof *w->member);
    *code = CLI_DONE;
    if (!w->options || !w->member || !cli_progress_open(&w->progress, jobs, n))
        *code = cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
    for (int i = 0; i < n && *code == CLI_DONE; i++) {
        if (cli_train_options(&jobs[i].run, &w->options[i], &err) != SFTN_OK)
            *code = cli_misuse("%s", err.text);
        w->member[i] = (sftn_member){.job = &jobs[i].job, .options = &w->options[i]};
    }
    return *code == CLI_DONE;
}

/* Where a training cannot begin all members have its error (train.h); one alone always has. */
static bool never_began(const sftn_member *member, int n, const sftn_error *err)
{
    for (int i = 0; i < n; i++)
        if (member[i].error.status == SFTN_OK || strcmp(member[i].error.text, err->text) != 0)
            return false;
    return true;
}

static int train(cli_job *jobs, int n, work *w, const cli_teacher *teacher)
{
    const sftn_train_hooks hooks = {
        .ctx = &w->progress,
        .progress = cli_show_progress,
        .balance = cli_show_balance,
        .stop = cli_stop_requested,
    };
    sftn_error err = {0};
    sftn_status status;

    cli_catch_signals();
    resume_threads(jobs, n);
    for (int i = 0; i < n; i++)
        print_start(&jobs[i]);
    status = sftn_train_together(w->member, n, jobs[0].run.data, &hooks, &err);
    cli_progress_clear(&w->progress);
    if (status == SFTN_ERR_INTERRUPTED) {
        for (int i = 0; i < n && n > 1; i++)
            if (w->member[i].error.status && w->member[i].error.status != status)
                cli_fail(&w->member[i].error);
        cli_fail(&err);
        print_resume_line(&jobs[0].run);
        return 128 + cli_stop_signal();
    }
    if (never_began(w->member, n, &err))
        return cli_fail(&err);
    return finish_all(jobs, w->member, n, teacher);
}

int cli_run_jobs(cli_job *jobs, int n, const cli_teacher *teacher)
{
    work w = {0};
    int code;

    if (work_new(&w, jobs, n, &code))
        code = train(jobs, n, &w, teacher);
    cli_progress_close(&w.progress);
    free(w.options);
    free(w.member);
    return code;
}
