/*
 * cli.h: what the commands share: option parsing, help, error texts, signals, progress.
 *
 * Exit codes: 0 done, 1 failed, 2 the command line is wrong, 128 + signal when interrupted.
 */
#ifndef SFTN_CLI_CLI_H
#define SFTN_CLI_CLI_H

#include "sftn/sftn.h"

#include <stdio.h>

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

#define CLI_COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* ---- commands (commands.c) ---- */

typedef struct cli_command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit code */
} cli_command;

#define COMMAND(name, summary) int cmd_##name(int argc, char **argv);
#include "cli/commands.def"
#undef COMMAND

/* The i-th command; NULL past the end. */
const cli_command *cli_command_list(int i);
/* NULL with a sentence on stderr where there is none of that name. */
const cli_command *cli_command_find(const char *name);
void cli_print_commands(FILE *out);

/* ---- options (args.c) ---- */

/* A table of options that a command accepts, filling one struct. */
typedef struct cli_group {
    char title[80];
    char prefix[32]; /* "" or "kd.": put before the table's names */
    const sftn_option *table;
    void *options;
} cli_group;

enum { CLI_MAX_GROUPS = 96, CLI_MAX_GIVEN = 128 };

typedef struct cli_usage {
    const char *arguments;    /* after the command's name: "MODEL_FILE [options]" */
    const char *text;         /* what help says before the options; several lines, may be NULL */
    int min_files, max_files; /* how many arguments without -- are taken; -1: any number */
} cli_usage;

typedef struct cli_args {
    const cli_usage *usage;
    int argc; /* borrowed from main */
    char **argv;
    cli_group group[CLI_MAX_GROUPS];
    int ngroups;
    const char **file; /* arguments that are not options, in order; owned by the args */
    int nfiles;
    const char *given[CLI_MAX_GIVEN]; /* names of the options that were set */
    int ngiven;
    void *kept[CLI_MAX_GROUPS]; /* freed with the args */
    int nkept;
} cli_args;

/* Accept the options of table (NULL: none), filling *options, which is set to the defaults. */
void cli_accept(cli_args *a, const char *title, const char *prefix, const sftn_option *table,
                void *options);

/* A zeroed options struct that lives as long as a; NULL with *code set when out of memory. */
void *cli_new_options(cli_args *a, size_t size, int *code);

/*
 * Read the command line.  True: go on.  False: leave with *code, help or an error was printed.
 * cli_args_free afterwards in both cases.
 */
bool cli_parse(cli_args *a, int *code);
void cli_args_free(cli_args *a);

/*
 * Set an option as --name value does, without printing: ARGUMENT says what is wrong with the value,
 * or that there is none of that name (prefix included).
 */
sftn_status cli_set_option(cli_args *a, const char *name, const char *value, sftn_error *err);
bool cli_has_option(const cli_args *a, const char *name);
/* The name most like it, written to buf; false where none is near. */
bool cli_nearest_option(const cli_args *a, const char *name, char *buf, size_t size);

/*
 * "NAME VALUE", a line each, of every option of every table whose role (SFTN_ROLE_...) has all of
 * `with` and none of `without`.
 */
void cli_write_options(FILE *f, const cli_args *a, int with, int without);

/* Whether --name was on the command line. */
bool cli_given(const cli_args *a, const char *name);
/* Value of --name before anything is parsed, for options that decide on further options. */
const char *cli_peek(int argc, char **argv, const char *name);
bool cli_wants_help(int argc, char **argv);

/* "sftn: text" on stderr; returns CLI_FAILED, or CLI_USAGE. */
int cli_fail(const sftn_error *err);
int cli_misuse(const char *format, ...) SFTN_PRINTF(1, 2);

/* Writes a word of a command as a shell takes it, in quotes where it needs them. */
void cli_write_word(FILE *f, const char *word);

/* A float option as the decimal that was typed: 0.05f gives 0.05. */
double cli_decimal(float x);

/* ---- lists (grid.c) ---- */

/* One combination of a command line's lists, as a command line. */
typedef struct cli_line {
    char name[160]; /* what differs from the others: "kd-seed1"; "" where there are no lists */
    char rest[160]; /* the same without student, method and seed */
    int argc;
    char **argv;
} cli_line;

enum { CLI_MAX_GRID = 256 };
typedef struct cli_grid {
    cli_line *line;
    int n;
} cli_grid;

/*
 * All combinations of the elements of --NAME a,b,c for the options called in names (NULL at the
 * end) and those of methods ("kd.temperature").  One line, a copy, where there are no lists or help
 * is wanted.  False with *code set after an error was printed; free in both cases.
 */
bool cli_grid_new(cli_grid *grid, int argc, char **argv, const char *const *names, int *code);
void cli_grid_free(cli_grid *grid);
void cli_free_line(char **argv);

/* ---- files (files.c) ---- */

/* Make dir and its parents. */
sftn_status cli_make_dirs(const char *dir, sftn_error *err);
/* Write text to path: either all of it is there afterwards, or what was there before. */
sftn_status cli_replace_file(const char *path, const char *text, sftn_error *err);

/* ---- JSON (json.c) ---- */

struct json_object;
void cli_add_number(struct json_object *o, const char *key, double x);

/* ---- signals (signals.c) ---- */

/* From now on the first SIGINT or SIGTERM is only noted; a second one ends the process. */
void cli_catch_signals(void);
bool cli_stop_requested(void *unused);
int cli_stop_signal(void); /* 0: none */

/* ---- progress (progress.c) ---- */

double cli_now(void); /* seconds of a clock that only goes forward */

typedef struct cli_job cli_job;

typedef struct cli_progress {
    bool bar;           /* stderr is a terminal */
    double drawn_s;     /* when the bar was last drawn */
    const cli_job *job; /* of a training: whose progress is shown, n of them */
    int n;
    sftn_progress *last; /* [n]: what each reported last */
} cli_progress;

cli_progress cli_progress_new(void);
/* For a training of n jobs, which must outlive p; false: out of memory. */
bool cli_progress_open(cli_progress *p, const cli_job *jobs, int n);
void cli_progress_close(cli_progress *p);
/* A hook of sftn_train; ctx is a cli_progress that was opened. */
void cli_show_progress(void *ctx, const sftn_progress *p);
/* Likewise: how strongly the terms of the loss pull, with warnings. */
void cli_show_balance(void *ctx, int member, const sftn_balance *balance);
/* A hook of sftn_data_get, likewise. */
bool cli_show_download(void *ctx, int64_t done, int64_t total);
/* "before [====>    ] after" on the terminal's current line, never wider than the terminal. */
void cli_progress_draw(const char *before, double fraction, const char *after);
/* Erase the bar, if any, so that other text can be printed. */
void cli_progress_clear(const cli_progress *p);
/* "1:02:03" or "4:05", written to buf. */
void cli_format_duration(double seconds, char *buf, size_t size);
/* "1,234,567", written to buf. */
void cli_format_count(int64_t n, char *buf, size_t size);
/* "12.3 MiB", written to buf. */
void cli_format_bytes(int64_t n, char *buf, size_t size);

/* ---- option tables that several commands share (options.c) ---- */

typedef struct cli_data_options {
    const char *data, *data_path;
    int64_t limit, validation, data_seed;
    bool cache;
} cli_data_options;

typedef struct cli_machine_options {
    const char *backend;
    int precision; /* sftn_precision */
    bool winograd;
    int threads;
} cli_machine_options;

extern const sftn_option cli_data_table[];
extern const sftn_option cli_machine_table[];

/* False with *code set and the error printed on failure; *d is NULL then. */
bool cli_open_data(const cli_data_options *o, sftn_dataset **d, int *code);
/* Plan options, after setting the number of kernel threads; an unknown backend is an error. */
sftn_status cli_plan_options(const cli_machine_options *o, sftn_plan_options *plan,
                             sftn_error *err);

sftn_status cli_check_backend(const char *name, sftn_error *err);

/* path itself, or path/NAME.safetensors where path is a run directory; written to buf. */
void cli_run_file(const char *path, const char *name, char *buf, size_t size);
/* path itself, or path/model.safetensors where path is a run directory; written to buf. */
void cli_model_file(const char *path, char *buf, size_t size);

/* Trained scalars of a network; -1 where it cannot be built. */
int64_t cli_model_size(const sftn_model *model, int classes, int channels, int image_size);

/* ---- methods and schemes by name (choose.c) ---- */

/* The teacher scheme called name with its options accepted by a (under help: every scheme's). */
typedef struct cli_scheme {
    const char *name; /* as it was typed */
    const sftn_teacher_scheme *scheme;
    void *options; /* owned by the args */
} cli_scheme;

bool cli_choose_scheme(cli_args *a, const char *fallback, cli_scheme *s, int *code);
/* The scheme "plain" with its defaults. */
bool cli_plain_scheme(cli_args *a, cli_scheme *s, int *code);

/* What every method can be told. */
typedef struct cli_method_use {
    float weight;
    const char *pairs; /* the method's own pointer: not told */
    char weight_help[96];
} cli_method_use;

/*
 * The methods of --method a+b, each with its options accepted under its name and a dot; --pair
 * where one of them compares features.
 */
enum { CLI_MAX_METHODS = 40, CLI_MAX_USED_METHODS = 8 };
typedef struct cli_methods {
    int n;
    const sftn_distiller *method[CLI_MAX_METHODS];
    void *options[CLI_MAX_METHODS]; /* owned by the args */
    sftn_option table[CLI_MAX_METHODS][3];
    cli_method_use use[CLI_MAX_METHODS];
    const char *pair; /* for those that are not told otherwise; NULL: their own */
} cli_methods;

bool cli_choose_methods(cli_args *a, const char *fallback, cli_methods *m, int *code);
/* Whether a list of methods joined by + names methods, each once, and not too many. */
sftn_status cli_check_methods(const char *list, sftn_error *err);
/* One method with its defaults. */
bool cli_one_method(cli_args *a, const sftn_distiller *method, cli_methods *m, int *code);
/* The pairs that method i is told to compare; NULL: its own. */
const char *cli_method_pairs(const cli_methods *m, int i);
/* What they take of each image: the first that takes several views speaks for all. */
sftn_views cli_method_views(const cli_methods *m);
/* Default factor of the student's cross-entropy: the largest that one of the methods asks for. */
double cli_default_task_weight(const cli_methods *m);
/* Put them into options->use. */
void cli_use_methods(const cli_methods *m, sftn_distill_options *options);

/* ---- options of a training (run.c) ---- */

enum { CLI_TEST_EACH, CLI_TEST_END }; /* when the test images are seen */

typedef struct cli_run_options {
    int epochs;
    int64_t batch, seed, batch_seed;
    float lr, gamma, warmup, final_lr;
    const char *milestones;
    int schedule;
    float momentum, weight_decay, dot, clip, ema, smoothing;
    bool nesterov, augment;
    int pad, flip, loader_threads;
    int test; /* CLI_TEST_... */
    const char *out;
    bool resume, overwrite;
    float save_minutes;
} cli_run_options;

extern const sftn_option cli_run_table[];

typedef struct cli_run {
    int argc; /* the command as typed */
    char **argv;
    const cli_args *args;
    const cli_run_options *options;
    const sftn_plan_options *plan;
    const sftn_dataset *data;
    char dir[512];          /* run directory */
    int epochs;             /* after defaults that depend on the command */
    const char *milestones; /* NULL: at 62.5, 75 and 87.5 percent of the epochs */
    bool resume;            /* set by cli_check_directories */
} cli_run;

/* Fill *t from the options; a wrong milestone is an error. */
sftn_status cli_train_options(const cli_run *run, sftn_train_options *t, sftn_error *err);

/* "150,180,210" into s, which has no milestones yet. */
sftn_status cli_read_milestones(const char *text, sftn_schedule *s, sftn_error *err);

/* ---- running jobs (jobs.c) ---- */

struct cli_job {
    cli_run run;
    sftn_job job;
    char name[160]; /* among others that are trained at once; "" for one alone */
};

/*
 * Look whether the run directories hold runs.  False with *code set where one does and neither
 * --resume nor --overwrite was given, or where there is nothing to resume.  Of several jobs, those
 * without a checkpoint begin anew beside those that are resumed.
 */
bool cli_check_directories(cli_job *jobs, int n, int *code);
/* The network that others imitate. */
typedef struct cli_teacher {
    const char *file;
    bool measured; /* on the test images: */
    sftn_scores scores;
} cli_teacher;

/*
 * Train n jobs at once with progress on stderr and leave each result on stdout and in the run's
 * summary.json.  teacher: the network to compare the results with; NULL: none.  Returns the exit
 * code.
 */
int cli_run_jobs(cli_job *jobs, int n, const cli_teacher *teacher);

/* ---- the commands that train ---- */

enum { CLI_NORM_RUNNING, CLI_NORM_BATCH }; /* statistics of a frozen teacher's batch norms */

/* One command line of train, teach or distill: what its options say. */
typedef struct cli_training {
    cli_args args;
    const char *network; /* what is trained */
    const char *init_from;
    const char *student; /* teach: whose parts hang on the teacher, where the scheme wants any */
    cli_scheme scheme;   /* train, teach */
    const char *teacher, *init_from_branch; /* distill: files */
    const char *method;
    int branch, teacher_norm; /* CLI_NORM_... */
    float task_weight, min_teacher_accuracy;
    cli_methods methods;
    cli_data_options data;
    cli_run_options run;
    cli_machine_options machine;
} cli_training;

/*
 * Accept the options of the command whose line t->args has.  False with *code set after an error
 * was printed, or where there is no memory; cli_args_free in both cases.
 */
bool cli_accept_train(cli_training *t, int *code);
bool cli_accept_teach(cli_training *t, int *code);
bool cli_accept_distill(cli_training *t, int *code);

/* The student, NULL where the scheme needs none. */
const char *cli_training_student(const cli_training *t);
/* Epochs and milestones (NULL: the usual ones) after defaults that depend on other options. */
void cli_training_schedule(const cli_training *t, int *epochs, const char **milestones);

/* What a line of train or teach trains on data; sftn_job_free afterwards. */
sftn_status cli_teach_job(const cli_training *t, const sftn_dataset *data, sftn_job *job,
                          sftn_error *err);

/* What a student learns from, and those beside it too (sftn_distill_options). */
typedef struct cli_lesson {
    const sftn_network *teacher;
    const char *teacher_file;
    const sftn_dataset *data;
    const sftn_job *shares; /* NULL: the first of them */
    sftn_views views;
} cli_lesson;

/*
 * What batches must hold for the student of t and those for whom they hold `views` without it.
 * With batch norms by each batch's statistics only the methods' own: others would change the
 * teacher's answers.
 */
sftn_views cli_views_beside(sftn_views views, const cli_training *t);

/* What a line of distill trains, likewise; the lesson's data and networks are borrowed. */
sftn_status cli_distill_job(const cli_training *t, const cli_lesson *lesson, sftn_job *job,
                            sftn_error *err);

/* Train a teacher (or any network: scheme plain); the body of train and teach. */
int cli_teach(const cli_training *t);

/*
 * Train students of one teacher at once, each by a command line of distill.  argc, argv: the
 * command as typed.  Where own_out is false and there are several, each --out is the directory
 * that holds their run directories, called by the lines' names.
 */
int cli_distill(const cli_line *line, int n, bool own_out, int argc, char **argv);

#endif
