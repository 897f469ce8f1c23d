/*
 * identity.c: what a cell is: the text that its hash is made of, and the text in which those agree
 * that are trained together.
 *
 * Both are made from the commands' tables of options, by their roles (sftn/base.h): every option
 * that decides bits is in the first, given or not, with its value; every one that is shared is in
 * the second.  Of options that are marked as resolved the functions below write what they stand
 * for: a data set's digest, a file's hash, epochs after defaults.  tests/cli/test_keys.c sees that
 * none is forgotten.
 */
#include "cli/experiment/experiment.h"

#include <sha2.h>
#include <stdlib.h>
#include <string.h>

/* To be raised when the same options begin to give other bits. */
enum { HASH_FORMAT = 2 };

void text_hash(const char *text, char hash[65])
{
    SHA256Data((const uint8_t *)text, strlen(text), hash);
}

/* ---- what resolved options stand for ---- */

static void write_network(FILE *f, const cli_training *t)
{
    const char *student = cli_training_student(t);

    fprintf(f, "network %s\n", t->network);
    if (t->scheme.scheme)
        fprintf(f, "scheme %s %s\n", t->scheme.scheme->name, student ? student : "");
    for (int i = 0; i < t->methods.n; i++) {
        const sftn_distiller *method = t->methods.method[i];
        const char *pairs = cli_method_pairs(&t->methods, i);

        fprintf(f, "%s.pair %s\n", method->name, pairs ? pairs : method->pairs);
    }
}

static void write_data(FILE *f, const cells *all, const cell *c)
{
    fprintf(f, "data %s\n", all->data[c->data].digest);
}

static void write_schedule(FILE *f, cell *c, const cli_training *t)
{
    const char *milestones;

    cli_training_schedule(t, &c->epochs, &milestones);
    fprintf(f, "epochs %d, milestones %s\n", c->epochs, milestones ? milestones : "");
}

/* The seed of the batches, and what computes with them. */
static void write_batches(FILE *f, const cell *c, const cli_training *t)
{
    char machine[256];

    sftn_backend_machine(t->machine.backend, machine, sizeof machine);
    fprintf(f, "batch-seed %s\n", c->batch_seed);
    fprintf(f, "backend %s (%s), threads %d\n", t->machine.backend, machine, c->threads);
}

static void write_teacher(FILE *f, const cells *all, const cell *c)
{
    if (c->kind == CELL_STUDENT)
        fprintf(f, "teacher %s\n", all->list[c->teacher].hash);
}

/* SHA-256 of the file called name in path, or of path where that is a file; an error is printed. */
static bool hash_file(FILE *f, const char *key, const char *path, const char *name, int *code)
{
    char file[640], hash[65];

    cli_run_file(path, name, file, sizeof file);
    if (!SHA256File(file, hash)) {
        *code = cli_misuse("%s cannot be read", file);
        return false;
    }
    fprintf(f, "%s %s\n", key, hash);
    return true;
}

/* What the network starts from, other than at random. */
static bool write_origin(FILE *f, const cells *all, const cell *c, const cli_training *t, int *code)
{
    const choice *branch = cell_option(c, "init-from-branch");

    if (branch && strcmp(branch->value, "teacher") == 0)
        fprintf(f, "init-from-branch of the teacher\n");
    else if (branch)
        return hash_file(f, "init-from-branch", branch->value, "branches", code);
    if (c->from >= 0)
        fprintf(f, "init-from %s\n", all->list[c->from].hash);
    else if (t->init_from)
        return hash_file(f, "init-from-file", t->init_from, "model", code);
    return true;
}

/* ---- the texts ---- */

static bool write_identity(FILE *f, const cells *all, cell *c, const cli_training *t, int *code)
{
    fprintf(f, "format %d, version %s\n", HASH_FORMAT, sftn_version());
    write_network(f, t);
    write_data(f, all, c);
    write_schedule(f, c, t);
    write_batches(f, c, t);
    cli_write_options(f, &t->args, 0, SFTN_ROLE_NO_BITS | SFTN_ROLE_RESOLVED);
    write_teacher(f, all, c);
    return write_origin(f, all, c, t, code);
}

/* Batch norms that use each batch's statistics make the teacher's answers depend on its views. */
static void write_together(FILE *f, const cells *all, const cell *c, const cli_training *t)
{
    const bool by_batch = t->teacher_norm == CLI_NORM_BATCH;
    const sftn_views views = by_batch ? cli_method_views(&t->methods) : (sftn_views){.n = 0};

    write_teacher(f, all, c);
    write_data(f, all, c);
    write_batches(f, c, t);
    fprintf(f, "views %d %d\n", views.n, views.turned);
    cli_write_options(f, &t->args, SFTN_ROLE_SHARED, SFTN_ROLE_RESOLVED);
}

static void write_workload(FILE *f, const cells *all, const cell *c, const cli_training *t)
{
    const cell_data *d = &all->data[c->data];
    const cell *teacher = c->kind == CELL_STUDENT ? &all->list[c->teacher] : NULL;
    const char *student = cli_training_student(t);

    fprintf(f, "%s of %s%s%s %s%s%s, batch %lld of %dx%dx%d, %s, %s%s, threads %d", t->network,
            teacher ? teacher->network : "itself", t->scheme.scheme ? " " : "",
            t->scheme.scheme ? t->scheme.scheme->name : "", student ? student : "",
            t->method ? "by " : "", t->method ? t->method : "", (long long)c->batch, d->channels,
            d->size, d->size, t->machine.backend,
            t->machine.precision == SFTN_BFLOAT16 ? "bfloat16" : "float32",
            t->machine.winograd ? "" : " without Winograd", c->threads);
}

/* ---- all of it ---- */

/* The end of a text that was written to f in memory; NULL: out of memory. */
static char *end_text(FILE *f, char **text)
{
    if (f && fclose(f) == 0)
        return *text;
    free(*text);
    return *text = NULL;
}

bool cell_identify(const cells *all, cell *c, const cli_training *t, const char *cache, int *code)
{
    const bool student = c->kind == CELL_STUDENT;
    char *identity = NULL;
    size_t size;
    FILE *f = open_memstream(&identity, &size);

    if (f)
        write_identity(f, all, c, t, code);
    if (end_text(f, &identity)) {
        text_hash(identity, c->hash);
        snprintf(c->dir, sizeof c->dir, "%.400s/%s-%.16s", cache,
                 student ? "distill" : cli_training_student(t) ? "teach" : "train", c->hash);
    }
    f = open_memstream(&c->workload, &size);
    if (f)
        write_workload(f, all, c, t);
    end_text(f, &c->workload);
    f = student ? open_memstream(&c->together, &size) : NULL;
    if (f)
        write_together(f, all, c, t);
    if (student)
        end_text(f, &c->together);
    if (*code == CLI_DONE && (!identity || !c->workload || (student && !c->together)))
        *code = cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
    free(identity);
    return *code == CLI_DONE;
}
