/*
 * keys: what the options of train, teach and distill decide, by three measures that must agree: the
 * hash under which an experiment keeps a network, the text in which those agree that are trained
 * together, and what a checkpoint compares when it is resumed.
 *
 * Every option of every table, of every scheme and every method, is set to other values, one at a
 * time.  Its row says what must change (SFTN_ROLE_..., sftn/base.h).
 */
#include "cli/experiment/experiment.h"

#include "data/fixture.h"
#include "test.h"
#include "train/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLAIN, FRIENDLY, TEACHERS }; /* cells that the students are taught by */

enum { PAIRS_NONE, PAIRS_OWN, PAIRS_ALL, PAIRS_BOTH, PAIRS }; /* how at is told its pairs */

/* A command line from which single options are changed. */
typedef struct base {
    cell_kind kind;
    const char *key, *value; /* an option of the base */
    const char *only;        /* the only option that is changed; NULL: all not changed before */
} base;

/* An option of a command, and what its other values have changed. */
typedef struct shown {
    const char *command;
    char name[64];
    int role, values;
    bool hash, together, refused, resumed;
} shown;

/* A cell: a base's own, or one with another value of one option. */
typedef struct variant {
    int base;  /* its base's cell */
    int shown; /* -1: it is the base */
} variant;

static const char *const commands[] = {
    [CELL_TEACHER] = "teach", [CELL_ALONE] = "train", [CELL_STUDENT] = "distill"};

static struct {
    cells cells;
    variant *variant; /* [cells.n] */
    shown *shown;
    int nshown;
    char *network[TEACHERS]; /* run directories */
    sftn_network teacher[TEACHERS];
    char *data[2]; /* two sets of CIFAR-10's form */
    int pairs[PAIRS]; /* cells */
    bool measured;
} all;

/* ---- other values ---- */

/* Taps of the same kinds, and as many at least. */
static const char *other_pairs(const char *pairs)
{
    return strstr(pairs, ".preact") ? "stage2.preact,stage3.preact"
           : strstr(pairs, "logits") ? "logits,stage3"
           : strstr(pairs, "stage")  ? "stage1,stage3"
                                     : "stage2";
}

static const char *text_value(const sftn_option *o, const char *name)
{
    const struct {
        const char *name, *value;
    } texts[] = {
        {"backend", "ref"},
        {"data", "shapes"},
        {"data-path", all.data[1]},
        {"init-from", all.network[PLAIN]},
        {"init-from-branch", all.network[FRIENDLY]},
        {"method", "sskd"},
        {"milestones", "1"},
        {"model", "resnet14"},
        {"out", "elsewhere"},
        {"scheme", "plain"},
        {"student", "resnet14"},
        {"teacher", "resnet14"},
    };

    if (strcmp(o->name, "pair") == 0)
        return other_pairs(o->text ? o->text : "");
    for (size_t i = 0; i < SFTN_COUNT(texts); i++)
        if (strcmp(texts[i].name, name) == 0)
            return texts[i].value;
    test_fail(__FILE__, __LINE__, "no other value is known of the option --%s", name);
    return NULL;
}

/* Value i of a choice, from 0, beside the one it has; false past the last. */
static bool other_choice(const char *choices, const char *now, int i, char *buf, size_t size)
{
    for (const char *word = choices; word; word = strchr(word, '|')) {
        word += *word == '|';
        snprintf(buf, size, "%.*s", (int)strcspn(word, "|"), word);
        if (strcmp(buf, now) != 0 && i-- == 0)
            return true;
    }
    return false;
}

/* A number beside x within the range, if there is any. */
static double other_number(const sftn_option *o, double x)
{
    if (o->min >= o->max || x + 1.0 <= o->max)
        return x + 1.0;
    return x - 1.0 >= o->min ? x - 1.0 : (x + (x < o->max ? o->max : o->min)) / 2.0;
}

/* Value i, from 0, beside the one that the option has in options; false past the last. */
static bool other_value(const sftn_option *o, const void *options, const char *name, int i,
                        char *buf, size_t size)
{
    char now[256];

    sftn_options_format(o, options, now, sizeof now);
    if (o->kind == SFTN_OPT_CHOICE)
        return other_choice(o->choices, now, i, buf, size);
    if (o->kind == SFTN_OPT_BOOL)
        snprintf(buf, size, "%s", strcmp(now, "true") == 0 ? "false" : "true");
    else if (o->kind == SFTN_OPT_STRING)
        snprintf(buf, size, "%s", text_value(o, name));
    else
        snprintf(buf, size, "%.9g", other_number(o, strtod(now, NULL)));
    return i == 0;
}

/* ---- cells ---- */

static void set_option(cell *c, const char *key, const char *value)
{
    choice *o = NULL;

    for (int i = 0; i < c->noptions; i++)
        o = strcmp(c->option[i].key, key) == 0 ? &c->option[i] : o;
    if (!o) {
        CHECK(add_element(&c->option, c->noptions, sizeof *c->option));
        o = &c->option[c->noptions++];
    } else {
        free((char *)(uintptr_t)o->key);
        free((char *)(uintptr_t)o->value);
    }
    *o = (choice){.key = strdup(key), .value = strdup(value)};
}

static int new_cell(cell_kind kind, int of, int number)
{
    cell *c;

    CHECK(add_element(&all.cells.list, all.cells.n, sizeof(cell)));
    CHECK(add_element(&all.variant, all.cells.n, sizeof(variant)));
    all.variant[all.cells.n] = (variant){of < 0 ? all.cells.n : of, number};
    c = &all.cells.list[all.cells.n];
    *c = (cell){.kind = kind, .from = -1, .teacher = kind == CELL_STUDENT ? PLAIN : -1};
    snprintf(c->name, sizeof c->name, "cell%d", all.cells.n);
    return all.cells.n++;
}

static int base_cell(const base *b)
{
    const int number = new_cell(b->kind, -1, -1);
    cell *c = &all.cells.list[number];

    set_option(c, "data", "cifar10");
    set_option(c, "data-path", all.data[0]);
    set_option(c, "limit", "64");
    set_option(c, "validation", "8");
    set_option(c, "cache", "false");
    set_option(c, "model", "resnet8");
    set_option(c, "threads", "1"); /* as experiments set them unless told otherwise */
    set_option(c, "test", "end");
    if (b->key)
        set_option(c, b->key, b->value);
    return number;
}

static void accept_options(const base *b, cli_training *t)
{
    const char *name = b->kind == CELL_STUDENT ? "--method" : "--scheme";
    char *argv[] = {(char *)(uintptr_t)commands[b->kind], (char *)(uintptr_t)name,
                    (char *)(uintptr_t)b->value, NULL};
    const bool chosen = b->key && strcmp(b->key, name + 2) == 0;
    int code = CLI_DONE;

    *t = (cli_training){.args = {.argc = chosen ? 3 : 1, .argv = argv}};
    CHECK(b->kind == CELL_STUDENT ? cli_accept_distill(t, &code)
          : b->kind == CELL_ALONE ? cli_accept_train(t, &code)
                                  : cli_accept_teach(t, &code));
}

/* The option of b's command, made new where it was not changed before; -1: leave it. */
static int show(const base *b, const char *name, int role)
{
    const char *command = commands[b->kind];
    int found = -1;

    for (int i = 0; i < all.nshown; i++)
        if (strcmp(all.shown[i].command, command) == 0 && strcmp(all.shown[i].name, name) == 0)
            found = i;
    if (b->only)
        return strcmp(b->only, name) == 0 ? found : -1;
    if (found >= 0)
        return -1;
    CHECK(add_element(&all.shown, all.nshown, sizeof(shown)));
    all.shown[all.nshown] = (shown){.command = command, .role = role};
    snprintf(all.shown[all.nshown].name, sizeof all.shown->name, "%s", name);
    return all.nshown++;
}

/* What the command calls the network that it trains. */
static const char *option_name(cell_kind kind, const char *key)
{
    if (strcmp(key, "model") != 0)
        return key;
    return kind == CELL_STUDENT ? "student" : kind == CELL_ALONE ? "model" : "teacher";
}

/* Cells that are the cell `of` with each other value of o. */
static void vary(const base *b, int of, const cli_group *g, const sftn_option *o)
{
    char name[64], value[512];
    int number;

    snprintf(name, sizeof name, "%s%s", g->prefix, o->name);
    number = show(b, name, o->role);
    for (int i = 0; number >= 0 && other_value(o, g->options, name, i, value, sizeof value); i++) {
        const int k = new_cell(b->kind, of, number);
        cell *c = &all.cells.list[k];

        for (int j = 0; j < all.cells.list[of].noptions; j++)
            set_option(c, all.cells.list[of].option[j].key, all.cells.list[of].option[j].value);
        if (b->kind == CELL_STUDENT && strcmp(name, "teacher") == 0)
            c->teacher = FRIENDLY;
        else
            set_option(c, name, value);
        all.shown[number].values++;
    }
}

static void add_base(const base *b)
{
    const int of = base_cell(b);
    sftn_error err = {0};
    cli_training t;

    accept_options(b, &t);
    for (int i = 0; i < all.cells.list[of].noptions; i++) {
        const choice *o = &all.cells.list[of].option[i];

        CHECK_OK(cli_set_option(&t.args, option_name(b->kind, o->key), o->value, &err), &err);
    }
    for (int i = 0; i < t.args.ngroups; i++)
        for (const sftn_option *o = t.args.group[i].table; o->name; o++)
            vary(b, of, &t.args.group[i], o);
    cli_args_free(&t.args);
}

static void add_bases(void)
{
    const sftn_teacher_scheme *scheme;
    const sftn_distiller *method;

    add_base(&(base){CELL_TEACHER, "scheme", "sftn", NULL});
    for (int i = 0; (scheme = sftn_teacher_list(i)) != NULL; i++)
        add_base(&(base){CELL_TEACHER, "scheme", scheme->name, NULL});
    add_base(&(base){CELL_ALONE, NULL, NULL, NULL});
    add_base(&(base){CELL_STUDENT, "method", "kd", NULL});
    add_base(&(base){CELL_STUDENT, "method", "at+kd", NULL});
    for (int i = 0; (method = sftn_distiller_list(i)) != NULL; i++)
        add_base(&(base){CELL_STUDENT, "method", method->name, NULL});
    for (cell_kind kind = CELL_TEACHER; kind <= CELL_STUDENT; kind++)
        add_base(&(base){kind, "schedule", "cosine", "final-lr"});
    add_base(&(base){CELL_STUDENT, "init-from-branch", all.network[FRIENDLY], "branch"});
    add_base(&(base){CELL_STUDENT, "teacher-norm", "batch", "method"});
}

static void add_pairs(void)
{
    for (int i = 0; i < PAIRS; i++) {
        cell *c;

        all.pairs[i] = base_cell(&(base){CELL_STUDENT, "method", "at", NULL});
        c = &all.cells.list[all.pairs[i]];
        if (i == PAIRS_OWN || i == PAIRS_BOTH)
            set_option(c, "at.pair", "stages");
        if (i == PAIRS_ALL || i == PAIRS_BOTH)
            set_option(c, "pair", "last");
    }
}

/* ---- what is there before ---- */

/* A network, trained as little as can be, in a process of its own: processes are to come. */
static int train(void *ctx)
{
    const int which = *(const int *)ctx;
    char data[300], out[300];
    char *argv[] = {(char *)(which == FRIENDLY ? "teach" : "train"), data, out, "--data=cifar10",
                    "--epochs=1", "--batch=32", "--threads=1", "--no-cache", "--lr=0.001",
                    (char *)(which == FRIENDLY ? "--teacher=resnet8" : "--model=resnet8"), NULL};

    snprintf(data, sizeof data, "--data-path=%s", all.data[0]);
    snprintf(out, sizeof out, "--out=%s", all.network[which]);
    return which == FRIENDLY ? cmd_teach(CLI_COUNT(argv) - 1, argv)
                             : cmd_train(CLI_COUNT(argv) - 1, argv);
}

static void prepare(void)
{
    for (int i = 0; i < 2; i++) {
        fixture f = fixture_cifar10(14);

        for (size_t k = 1; i && k < f.file[0].bytes; k += 3073) /* a pixel of each record */
            f.file[0].data[k] ^= 1;
        all.data[i] = strdup(test_temp_path(i ? "other-images" : "images"));
        fixture_write(&f, all.data[i], false);
        fixture_free(&f);
    }
    for (int i = 0; i < TEACHERS; i++) {
        all.network[i] = strdup(test_temp_path(i == FRIENDLY ? "friendly" : "plain"));
        CHECK_INT(in_child(train, &i, &i, sizeof i), CLI_DONE);
    }
    CHECK(setenv("XDG_CACHE_HOME", test_temp_dir(), 1) == 0);
}

/* ---- measures ---- */

/* A cell's training, ready to begin. */
typedef struct ready {
    cli_training t;
    sftn_plan_options plan;
    sftn_dataset *data;
    sftn_train_options options;
    sftn_job job;
    bool has_job;
    char *text; /* what a checkpoint keeps beside the job's description */
} ready;

static bool make_job(ready *r, const cell *c, const sftn_job *shares, sftn_views views,
                     sftn_error *err)
{
    char file[512];
    cli_lesson lesson = {
        .teacher_file = file, .data = r->data, .shares = shares, .views = views};

    if (c->kind != CELL_STUDENT)
        return cli_teach_job(&r->t, r->data, &r->job, err) == SFTN_OK;
    cli_model_file(all.network[c->teacher], file, sizeof file);
    lesson.teacher = &all.teacher[c->teacher];
    return cli_distill_job(&r->t, &lesson, &r->job, err) == SFTN_OK;
}

static void make_ready(ready *r, const cell *c)
{
    cli_run run = {.options = &r->t.run, .plan = &r->plan, .dir = "unused"};
    sftn_error err = {0};
    int code;

    CHECK(cell_parse(c, &r->t, &code));
    CHECK_OK(cli_plan_options(&r->t.machine, &r->plan, &err), &err);
    CHECK(cli_open_data(&r->t.data, &r->data, &code));
    run.data = r->data;
    cli_training_schedule(&r->t, &run.epochs, &run.milestones);
    CHECK_OK(cli_train_options(&run, &r->options, &err), &err);
    r->text = sftn_options_text(&r->options, r->data);
    CHECK(r->text != NULL);
}

static void end_ready(ready *r)
{
    sftn_job_free(&r->job);
    sftn_dataset_close(r->data);
    free(r->text);
    cli_args_free(&r->t.args);
}

/* Whether the trainer refuses two jobs, for their options, their views or their guides. */
static bool is_refused(const ready *a, const ready *b)
{
    char *x = sftn_together_text(&a->options, a->job.views);
    char *y = sftn_together_text(&b->options, b->job.views);
    sftn_difference d;
    bool refused;

    CHECK(x && y);
    refused = sftn_options_differ(x, y, &d) || a->job.guide_id != b->job.guide_id;
    free(x);
    free(y);
    return refused;
}

/* Whether there is a job: a teacher has an answer for each of the data set's classes. */
static bool answers(const ready *r, const cell *c)
{
    return c->teacher < 0 ||
           all.teacher[c->teacher].classes == sftn_dataset_get_info(r->data)->classes;
}

/* What differs between the cell number i and its base. */
static void compare(int i)
{
    const cell *c = &all.cells.list[i], *b = &all.cells.list[all.variant[i].base];
    shown *s = &all.shown[all.variant[i].shown];
    const bool student = c->kind == CELL_STUDENT;
    const bool hash = strcmp(c->hash, b->hash) != 0;
    const bool apart = student && strcmp(c->together, b->together) != 0;
    sftn_views views = {.n = 1};
    sftn_error err = {0};
    sftn_difference d;
    ready x = {.text = NULL}, y = {.text = NULL};
    bool refused;

    make_ready(&x, b);
    make_ready(&y, c);
    if (student)
        views = cli_views_beside(cli_views_beside(views, &x.t), &y.t);
    if (!make_job(&x, b, NULL, views, &err))
        test_fail(__FILE__, __LINE__, "%s: %s", s->name, err.text);
    refused = answers(&y, c) &&
              !make_job(&y, c, student && c->teacher == b->teacher ? &x.job : NULL, views, &err);
    if (refused && !make_job(&y, c, NULL, (sftn_views){.n = 0}, &err))
        test_fail(__FILE__, __LINE__, "%s: --%s: %s", s->command, s->name, err.text);
    refused = refused || (y.job.self && student && is_refused(&x, &y));
    if (refused && !apart)
        test_fail(__FILE__, __LINE__, "%s: cells that differ in --%s are put together, and refused",
                  s->command, s->name);
    s->hash |= hash;
    s->together |= apart;
    s->refused |= refused;
    s->resumed |= sftn_options_differ(x.text, y.text, &d) ||
                  (y.job.self && sftn_options_differ(x.job.description, y.job.description, &d));
    if (hash && (s->role & SFTN_ROLE_NO_BITS))
        test_fail(__FILE__, __LINE__, "%s: --%s decides no bits, and changes the hash", s->command,
                  s->name);
    end_ready(&y);
    end_ready(&x);
}

/* All cells and what their options change, once. */
static void measure(void)
{
    sftn_error err = {0};
    int code;

    CHECK(all.measured || !all.nshown);
    if (all.measured)
        return;
    prepare();
    base_cell(&(base){CELL_TEACHER, "scheme", "plain", NULL});
    base_cell(&(base){CELL_TEACHER, "scheme", "sftn", NULL});
    add_bases();
    add_pairs();
    CHECK(cells_identify(&all.cells, "cache", &code));
    for (int i = 0; i < TEACHERS; i++) {
        char file[512];

        cli_model_file(all.network[i], file, sizeof file);
        CHECK_OK(sftn_network_load(file, &all.teacher[i], &err), &err);
    }
    for (int i = 0; i < all.cells.n; i++)
        if (all.variant[i].shown >= 0)
            compare(i);
    all.measured = true;
}

/* ---- what must hold ---- */

static bool is_on(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}

TEST(every_option_changes_the_hash_or_is_marked_as_deciding_no_bits)
{
    int marked = 0, values = 0;

    measure();
    for (int i = 0; i < all.nshown; i++) {
        const shown *s = &all.shown[i];

        CHECK(s->values > 0);
        values += s->values;
        marked += (s->role & SFTN_ROLE_NO_BITS) != 0;
        if (s->hash == ((s->role & SFTN_ROLE_NO_BITS) != 0))
            test_fail(__FILE__, __LINE__, "%s: --%s %s the hash", s->command, s->name,
                      s->hash ? "changes" : "does not change");
    }
    printf("%d options of train, teach and distill with %d other values: %d change the hash, "
           "%d are marked\n", all.nshown, values, all.nshown - marked, marked);
}

/* --pair is for methods that are not told otherwise, though it be what they do by themselves. */
TEST(pairs_are_in_the_hash_as_they_are_used)
{
    const char *hash[PAIRS];

    measure();
    for (int i = 0; i < PAIRS; i++)
        hash[i] = all.cells.list[all.pairs[i]].hash;
    CHECK_TEXT(hash[PAIRS_OWN], hash[PAIRS_NONE]);
    CHECK(strcmp(hash[PAIRS_ALL], hash[PAIRS_NONE]) != 0);
    CHECK_TEXT(hash[PAIRS_BOTH], hash[PAIRS_NONE]);
}

/*
 * A second opinion on what decides bits: what a run's checkpoint holds, and its run may not change.
 * Not compared: where a network started, for a checkpoint has gone on from there; threads, of which
 * those of the checkpoint are taken, or a warning given.
 */
TEST(a_resumed_run_may_change_the_options_that_are_marked_and_no_others)
{
    static const char *const not_compared[] = {"init-from", "init-from-branch", "threads", NULL};

    measure();
    for (int i = 0; i < all.nshown; i++) {
        const shown *s = &all.shown[i];
        const bool marked = (s->role & SFTN_ROLE_NO_BITS) != 0;

        if (s->resumed == marked && !is_on(not_compared, s->name))
            test_fail(__FILE__, __LINE__, "%s: --%s %s when a run is resumed", s->command, s->name,
                      marked ? "decides no bits, and is refused" : "may change");
    }
}

/*
 * Which cells may be trained together is told by the experiment, from the tables, and by the
 * trainer, from what it is given.  The trainer is not given what there is one of for all: the data
 * set, the process with its threads, and a look at the teacher beforehand.
 */
TEST(what_keeps_students_apart_is_marked_and_refused_by_the_trainer)
{
    static const char *const not_given[] = {"data", "data-path", "limit", "validation", "data-seed",
                                            "threads", "min-teacher-accuracy", "test", NULL};
    /* By default the seed is that of the batches; the views of methods count where batches do. */
    static const char *const by_others[] = {"seed", "method", NULL};

    measure();
    for (int i = 0; i < all.nshown; i++) {
        const shown *s = &all.shown[i];
        const bool shared = (s->role & SFTN_ROLE_SHARED) != 0 || is_on(by_others, s->name);

        if (strcmp(s->command, "distill") != 0)
            continue;
        if (s->together != shared)
            test_fail(__FILE__, __LINE__, "--%s %s students", s->name,
                      s->together ? "keeps apart" : "is shared, and does not keep apart");
        if (s->refused == s->together ? is_on(not_given, s->name) : !is_on(not_given, s->name))
            test_fail(__FILE__, __LINE__, "--%s %s students, and the trainer %s", s->name,
                      s->together ? "keeps apart" : "does not keep apart",
                      s->refused ? "refuses them" : "takes them");
    }
}
