/*
 * experiment.h: a YAML file becomes cells; a cell is one training and its command line, and its
 * network lies in a cache under a hash of all that determines it.
 *
 *     read.c     the file: teachers, students, methods, seeds, each option with its values
 *     expand.c   all combinations, as cells
 *     cell.c     a cell's options against the command's tables; its command line; its data set
 *     identity.c a cell's hash, and which cells are trained together
 *     plan.c     what is cached, what is left, and how long that takes
 *     pool.c     child processes that train
 *     child.c    work of other kinds in a child process
 *     result.c   results.json and the table
 */
#ifndef SFTN_CLI_EXPERIMENT_EXPERIMENT_H
#define SFTN_CLI_EXPERIMENT_EXPERIMENT_H

#include "cli/cli.h"

#include <sys/types.h>
#include <yaml.h>

/* ---- what is wrong with a file (yaml.c) ---- */

typedef struct problem {
    int line; /* from 1 */
    char text[640];
} problem;

/* Each is kept once, whatever the number of cells that it concerns. */
typedef struct problems {
    const char *file;
    problem *list;
    int n;
    bool no_memory;
} problems;

void problem_add(problems *p, int line, const char *format, ...) SFTN_PRINTF(3, 4);
/* All of them on stderr, by lines; the exit code. */
int problems_print(problems *p);

/* The only document of a file, deleted with yaml_document_delete; false: not read, a problem. */
bool yaml_read(const char *path, yaml_document_t *document, problems *p);
int yaml_line(const yaml_node_t *node);
/* A scalar's text; NULL, and a problem that names what, where it is none or empty. */
const char *yaml_text(const yaml_node_t *node, const char *what, problems *p);

/* Array of n elements made larger by one, zeroed; false: out of memory, array intact. */
bool add_element(void *array_pointer, int n, size_t size);

/* ---- the file as it is written (read.c) ---- */

/* An option with the values it takes by turns. */
typedef struct setting {
    const char *key;
    int line;
    const char **value;
    int *value_line;
    int n;
    bool list; /* written as a list: cells are named by the value */
} setting;

/* Options under a name: of a teacher, a student, a method, or of all trainings. */
typedef struct entry {
    const char *name;
    int line;
    setting *setting;
    int nsettings;
} entry;

typedef struct entries {
    entry *list;
    int n;
} entries;

typedef struct study {
    yaml_document_t document; /* owns all texts */
    bool opened;
    const char *name;
    entry common;
    entries teachers, students, methods;
    bool alone;
    setting seeds;
} study;

/* Texts point into s; study_close in all cases. */
void study_read(const char *path, study *s, problems *p);
void study_close(study *s);
const entry *entry_find(const entries *e, const char *name);

/* ---- cells (expand.c) ---- */

/* One option of a cell. */
typedef struct choice {
    const char *key, *value;
    int line;
    bool varies; /* one of a list */
    bool common; /* of all trainings */
} choice;

typedef enum cell_kind { CELL_TEACHER, CELL_ALONE, CELL_STUDENT } cell_kind;

typedef enum cell_state {
    CELL_OPEN,    /* to be trained */
    CELL_LEFT,    /* not asked for */
    CELL_RUNNING,
    CELL_DONE,
    CELL_FAILED,
    CELL_STOPPED, /* saved, to be resumed */
} cell_state;

typedef struct cell {
    cell_kind kind;
    char name[256];  /* "small-kd-of-friendly-lambda-kl=0.3-seed1" */
    char group[256]; /* the same without the seed */
    const char *teacher_name, *student_name, *method_name; /* entries' names, or NULL */
    choice *option;
    int noptions;
    const char *seed;
    int teacher, from; /* cells that are trained before this one: numbers, -1: none */

    /* cell.c and identity.c */
    int same_as;    /* the cell before this one that is the same training; -1: none */
    char **argv;    /* the command line, without run directory; NULL-terminated */
    int argc;
    char hash[65];  /* SHA-256 in hexadecimal */
    char dir[512];
    char *together; /* cells in which this is equal can be trained at once; NULL: alone only */
    char *workload; /* cells in which this is equal have steps of the same cost */
    char network[64];
    int epochs, threads;
    int64_t batch;
    char batch_seed[32];
    int data; /* which of the data sets */

    /* plan.c and pool.c */
    cell_state state;
    bool cached;        /* done before this run */
    bool resumes;       /* has a checkpoint */
    bool by_itself;     /* failed together with others */
    double seconds;     /* estimated, of all that is left; negative: unknown */
    char cannot[256];   /* why it cannot be built; "": it can, or was not tried */
    int lock;           /* file descriptor while running; -1: none */
    sftn_error error;   /* why it failed */
    struct json_object *row; /* of results.json once it is done, owned; NULL: not made yet */
} cell;

/* A data set that cells train on. */
typedef struct cell_data {
    cli_data_options options;
    char digest[SFTN_DATASET_DIGEST];
    int64_t records[3];
    int classes, channels, size;
} cell_data;

typedef struct cells {
    cell *list;
    int n;
    cell_data *data;
    int ndata;
} cells;

/* All combinations; cells come after those that they need. */
void study_expand(const study *s, cells *c, problems *p);
void cells_free(cells *c);

/* ---- one cell (cell.c) ---- */

/* Check every option of every cell by the tables of its command, and those common to all. */
void cells_check(const study *s, const cells *c, problems *p);
/* Command lines, hashes, directories below cache.  False with *code set after an error. */
bool cells_identify(cells *c, const char *cache, int *code);
/* The command of a cell's training as a line to type, owned by the caller; NULL: out of memory. */
char *cell_command(const cell *c);
/* Its training as parsed from its command line; cli_args_free(&t->args) afterwards. */
bool cell_parse(const cell *c, cli_training *t, int *code);
/* What a cell says of the option that the file calls key; NULL: nothing. */
const choice *cell_option(const cell *c, const char *key);

/* ---- what a cell is (identity.c) ---- */

/*
 * The hash of a cell that was parsed as t, its directory below cache, and the texts in which it is
 * compared with others.  False with *code set after an error was printed.
 */
bool cell_identify(const cells *all, cell *c, const cli_training *t, const char *cache, int *code);
/* SHA-256 in hexadecimal of a text. */
void text_hash(const char *text, char hash[65]);

/* ---- work in a child process (child.c) ---- */

/*
 * Call work(ctx) in a child process and take over what it leaves at result, which is a part of what
 * ctx points to.  Returns the exit code, CLI_FAILED where there is none.  The process that plans
 * computes nothing itself: one with computing threads could not fork.
 */
int in_child(int (*work)(void *ctx), void *ctx, void *result, size_t size);

/* ---- what is to be done (plan.c) ---- */

typedef struct run_options {
    const char *cache, *results, *only, *time_limit;
    int jobs, together;
    bool dry_run, time;
} run_options;

/* Where cells stand; those that are neither called like `only` (NULL: all) nor needed are left. */
void plan_states(cells *c, const char *only);
/* Whether the network of a cell lies in the cache, finished. */
bool cell_is_done(const cell *c);
/*
 * Estimate how long each open cell takes, from steps timed now (where `time` says so) or before and
 * kept in the cache.
 */
void plan_estimate(cells *c, const run_options *o);
/* What there is, what is to do and how long it takes; with its command line each in a dry run. */
void plan_print(const study *s, const cells *c, const run_options *o);
/* Whether it is another one once more, by name too: no row of its own. */
bool cell_is_hidden(const cells *all, const cell *c);
/* Whether it is called like `only`; NULL: all are. */
bool cell_is_named(const cell *c, const char *only);

/* ---- training (pool.c) ---- */

typedef enum pool_end { POOL_DONE, POOL_FAILED, POOL_TIME, POOL_INTERRUPTED } pool_end;

/*
 * Train all open cells in child processes, o->jobs at a time.  seconds: how long at most, 0:
 * without limit.  changed is called after each cell that has ended.
 */
pool_end pool_run(cells *c, const run_options *o, double seconds,
                  void (*changed)(void *ctx), void *ctx);

/* ---- results (result.c) ---- */

/* results.json of what there is up to now, atomically. */
sftn_status results_write(const study *s, cells *c, const char *path, sftn_error *err);
/*
 * The table of the rows that results_write left in path: a line for each network; means and
 * differences where there are several seeds.
 */
sftn_status results_print(const study *s, cells *c, const char *path, sftn_error *err);

#endif
