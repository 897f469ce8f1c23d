/*
 * cell.c: one training of an experiment: its options checked by the tables of its command, its
 * command line, its data set.
 */
#include "cli/experiment/experiment.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *command_of(const cell *c)
{
    return c->kind == CELL_STUDENT ? "distill" : c->kind == CELL_ALONE ? "train" : "teach";
}

static bool accept(const cell *c, cli_training *t, int *code)
{
    return c->kind == CELL_STUDENT ? cli_accept_distill(t, code)
           : c->kind == CELL_ALONE ? cli_accept_train(t, code)
                                   : cli_accept_teach(t, code);
}

/* What the command calls an option of the file. */
static const char *option_name(const cell *c, const char *key)
{
    if (strcmp(key, "model") == 0)
        return c->kind == CELL_STUDENT ? "student" : c->kind == CELL_ALONE ? "model" : "teacher";
    if (strcmp(key, "from") == 0 && c->kind == CELL_TEACHER)
        return "init-from";
    return key;
}

const choice *cell_option(const cell *c, const char *key)
{
    for (int i = 0; i < c->noptions; i++)
        if (strcmp(c->option[i].key, key) == 0)
            return &c->option[i];
    return NULL;
}

/* ---- checks ---- */

/* Names that the command takes besides numbers and choices. */
static sftn_status check_name(const choice *o, sftn_error *err)
{
    sftn_data_entry data;
    sftn_model model;

    if (strcmp(o->key, "model") == 0 || strcmp(o->key, "student") == 0)
        return sftn_model_find(o->value, &model, err);
    if (strcmp(o->key, "data") == 0)
        return sftn_data_find(o->value, &data, err);
    if (strcmp(o->key, "scheme") == 0)
        return sftn_teacher_find(o->value, err) ? SFTN_OK : SFTN_ERR_ARGUMENT;
    if (strcmp(o->key, "method") == 0)
        return cli_check_methods(o->value, err);
    if (strcmp(o->key, "backend") == 0)
        return cli_check_backend(o->value, err);
    if (strcmp(o->key, "milestones") == 0)
        return cli_read_milestones(o->value, &(sftn_schedule){0}, err);
    return SFTN_OK;
}

/* Of the command's own names for networks only `model` is used. */
static bool has_option(const cell *c, const cli_args *args, const char *key)
{
    if (strcmp(key, "teacher") == 0 || (strcmp(key, "student") == 0 && c->kind == CELL_STUDENT))
        return false;
    return cli_has_option(args, option_name(c, key));
}

/* The name that experiments or the command have and that key is nearest to. */
static bool nearest_option(const cell *c, const cli_args *args, const char *key, char *buf,
                           size_t size)
{
    const char *const ours[] = {"model", c->kind == CELL_TEACHER ? "from" : NULL, NULL};
    const char *own = sftn_nearest_name(key, ours);

    if (own)
        snprintf(buf, size, "%s", own);
    else if (!cli_nearest_option(args, key, buf, size))
        return false;
    if (!own && !has_option(c, args, buf)) /* the command's name for it */
        snprintf(buf, size, "model");
    return true;
}

static void unknown(const cell *c, const cli_args *args, const choice *o, problems *p)
{
    static const char *const noun[] = {"teacher", "student alone", "student with a teacher"};
    const choice *scheme = c->kind == CELL_TEACHER ? cell_option(c, "scheme") : NULL;
    char near[96], of[128];

    snprintf(of, sizeof of, "%s%s%.64s", noun[c->kind], scheme ? " of scheme " : "",
             scheme ? scheme->value : "");
    if (strcmp(o->key, "teacher") == 0 || strcmp(o->key, "student") == 0)
        problem_add(p, o->line, "the network of a %s is called 'model', not '%s'",
                    c->kind == CELL_TEACHER ? "teacher" : "student", o->key);
    else if (nearest_option(c, args, o->key, near, sizeof near))
        problem_add(p, o->line, "there is no option '%s' of a %s; did you mean '%s'?", o->key,
                    of, near);
    else
        problem_add(p, o->line, "there is no option '%s' of a %s; 'sftn help %s' lists its options",
                    o->key, of, command_of(c));
}

/* A network starts from one place. */
static void check_origins(const cell *c, problems *p)
{
    const choice *from = cell_option(c, "from"), *file = cell_option(c, "init-from");

    if (from && file)
        problem_add(p, file->line, "'init-from' says where a network starts that starts 'from' "
                    "%s", from->value);
}

static void check_options(const cell *c, cli_args *args, problems *p)
{
    for (int i = 0; i < c->noptions; i++) {
        const choice *o = &c->option[i];
        sftn_error err = {0};

        if (!has_option(c, args, o->key)) {
            if (!o->common)
                unknown(c, args, o, p);
        } else if (cli_set_option(args, option_name(c, o->key), o->value, &err) != SFTN_OK ||
                 check_name(o, &err) != SFTN_OK) {
            problem_add(p, o->line, "%s", err.text);
        }
    }
}

/* The scheme and the methods come first: the other options depend on them. */
static void check_cell(const cell *c, problems *p)
{
    const choice *kind = cell_option(c, c->kind == CELL_STUDENT ? "method" : "scheme");
    char text[256] = "";
    char *argv[] = {(char *)(uintptr_t)command_of(c), text, NULL};
    cli_training t = {.args = {.argc = kind ? 2 : 1, .argv = argv}};
    sftn_error err = {0};
    int code;

    if (kind && c->kind != CELL_ALONE && check_name(kind, &err) != SFTN_OK) {
        problem_add(p, kind->line, "%s", err.text);
        return;
    }
    if (kind)
        snprintf(text, sizeof text, "--%s=%s", kind->key, kind->value);
    if (accept(c, &t, &code))
        check_options(c, &t.args, p);
    else
        p->no_memory = true;
    cli_args_free(&t.args);
}

/* Options of all trainings are those that train, teach and distill have in common. */
static void check_common(const study *s, problems *p)
{
    cli_args args = {.argc = 0};
    cli_data_options data;
    cli_run_options run;
    cli_machine_options machine;

    cli_accept(&args, "data", "", cli_data_table, &data);
    cli_accept(&args, "training", "", cli_run_table, &run);
    cli_accept(&args, "machine", "", cli_machine_table, &machine);
    for (int i = 0; i < s->common.nsettings; i++) {
        const setting *t = &s->common.setting[i];
        char near[96], hint[128] = "";

        if (cli_has_option(&args, t->key))
            continue;
        if (cli_nearest_option(&args, t->key, near, sizeof near))
            snprintf(hint, sizeof hint, "; did you mean '%s'?", near);
        problem_add(p, t->line, "there is no option '%s' of all trainings%s", t->key, hint);
    }
}

void cells_check(const study *s, const cells *c, problems *p)
{
    check_common(s, p);
    for (int i = 0; i < c->n && !p->no_memory; i++) {
        check_cell(&c->list[i], p);
        check_origins(&c->list[i], p);
    }
}

/* ---- the command line ---- */

static bool add_argument(cell *c, const char *format, ...) SFTN_PRINTF(2, 3);
static bool add_argument(cell *c, const char *format, ...)
{
    char *text = NULL;
    va_list list;
    int length;

    va_start(list, format);
    length = vasprintf(&text, format, list);
    va_end(list);
    if (length < 0)
        return false;
    /* The element after the last stays NULL. */
    if (!add_element(&c->argv, c->argc + 1, sizeof *c->argv)) {
        free(text);
        return false;
    }
    c->argv[c->argc++] = text;
    return true;
}

/* Options that experiments set otherwise than the command does. */
static bool add_defaults(cell *c)
{
    return (cell_option(c, "threads") || add_argument(c, "--threads=1")) &&
           (cell_option(c, "test") || add_argument(c, "--test=end"));
}

static bool make_line(const cells *all, cell *c)
{
    bool ok = add_element(&c->argv, 0, sizeof *c->argv) && add_argument(c, "%s", command_of(c));

    if (c->kind == CELL_STUDENT)
        ok = ok && add_argument(c, "--teacher=%s", all->list[c->teacher].dir);
    for (int i = 0; i < c->noptions && ok; i++) {
        const choice *o = &c->option[i];
        const char *value = o->value;

        if (strcmp(o->key, "from") == 0)
            value = all->list[c->from].dir;
        if (strcmp(o->key, "init-from-branch") == 0 && strcmp(o->value, "teacher") == 0)
            value = all->list[c->teacher].dir;
        ok = add_argument(c, "--%s=%s", option_name(c, o->key), value);
    }
    return ok && add_defaults(c);
}

char *cell_command(const cell *c)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    fputs("sftn", f);
    for (int i = 0; i < c->argc; i++) {
        fputc(' ', f);
        cli_write_word(f, c->argv[i]);
    }
    fclose(f);
    return text;
}

bool cell_parse(const cell *c, cli_training *t, int *code)
{
    *t = (cli_training){.args = {.argc = c->argc, .argv = c->argv}};
    return accept(c, t, code) && cli_parse(&t->args, code);
}

/* ---- data sets ---- */

/* Whether the same images are asked for. */
static bool same_data(const cli_data_options *a, const cli_data_options *b)
{
    for (const sftn_option *o = cli_data_table; o->name; o++) {
        char x[1024], y[1024];

        sftn_options_format(o, a, x, sizeof x);
        sftn_options_format(o, b, y, sizeof y);
        if (!(o->role & SFTN_ROLE_NO_BITS) && strcmp(x, y) != 0)
            return false;
    }
    return true;
}

/* Open the data set that the options of a cell_data name, and fill the rest. */
static int read_data(void *ctx)
{
    cell_data *d = ctx;
    const sftn_dataset_info *info;
    sftn_dataset *data;
    int code;

    if (!cli_open_data(&d->options, &data, &code))
        return code;
    info = sftn_dataset_get_info(data);
    d->classes = info->classes;
    d->channels = info->channels;
    d->size = info->height;
    memcpy(d->records, info->records, sizeof d->records);
    sftn_dataset_digest(data, d->digest);
    sftn_dataset_close(data);
    return CLI_DONE;
}

/* The data set of t among those of all, opened once; -1 with *code set after an error. */
static int find_data(cells *all, const cli_data_options *o, int *code)
{
    cell_data d = {.options = *o};

    for (int i = 0; i < all->ndata; i++)
        if (same_data(&all->data[i].options, o))
            return i;
    *code = in_child(read_data, &d, &d, sizeof d);
    if (*code != CLI_DONE)
        return -1;
    if (!add_element(&all->data, all->ndata, sizeof *all->data)) {
        *code = cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
        return -1;
    }
    all->data[all->ndata] = d;
    return all->ndata++;
}

/* ---- all of it ---- */

static bool fill(cells *all, cell *c, const cli_training *t, int *code)
{
    sftn_model model;

    c->data = find_data(all, &t->data, code);
    if (c->data < 0)
        return false;
    sftn_set_threads(t->machine.threads);
    c->threads = sftn_get_threads();
    c->batch = t->run.batch;
    if (sftn_model_find(t->network, &model, NULL) == SFTN_OK)
        snprintf(c->network, sizeof c->network, "%s", model.name);
    snprintf(c->batch_seed, sizeof c->batch_seed, "%lld",
             (long long)(t->run.batch_seed < 0 ? t->run.seed : t->run.batch_seed));
    return true;
}

/* The first cell that is the same training. */
static int original(const cells *all, int number)
{
    for (int i = 0; i < number; i++)
        if (strcmp(all->list[i].hash, all->list[number].hash) == 0)
            return i;
    return -1;
}

static int resolved(const cells *all, int number)
{
    return number >= 0 && all->list[number].same_as >= 0 ? all->list[number].same_as : number;
}

static int by_name(const void *a, const void *b)
{
    const cell *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

/* Names are what rows, --only and statistics go by: one for each network. */
static void check_names(const cells *all, int *code)
{
    const cell **list = calloc((size_t)all->n + 1, sizeof *list);

    for (int i = 0; list && i < all->n; i++)
        list[i] = &all->list[i];
    if (!list) {
        *code = cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
        return;
    }
    qsort(list, (size_t)all->n, sizeof *list, by_name);
    for (int i = 1; i < all->n && *code == CLI_DONE; i++)
        if (strcmp(list[i]->name, list[i - 1]->name) == 0 &&
            strcmp(list[i]->hash, list[i - 1]->hash) != 0)
            *code = cli_misuse("two different trainings are both called %s; names of entries, or "
                               "shorter lists, must tell them apart", list[i]->name);
    free(list);
}

bool cells_identify(cells *all, const char *cache, int *code)
{
    *code = CLI_DONE;
    for (int i = 0; i < all->n && *code == CLI_DONE; i++) {
        cell *c = &all->list[i];
        cli_training t = {.args.ngroups = 0};

        c->teacher = resolved(all, c->teacher);
        c->from = resolved(all, c->from);
        if (!make_line(all, c))
            *code = cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
        else if (cell_parse(c, &t, code) && fill(all, c, &t, code))
            cell_identify(all, c, &t, cache, code);
        cli_args_free(&t.args);
        if (*code == CLI_DONE)
            c->same_as = original(all, i);
    }
    if (*code == CLI_DONE)
        check_names(all, code);
    return *code == CLI_DONE;
}
