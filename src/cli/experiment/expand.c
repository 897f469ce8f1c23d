/*
 * expand.c: all combinations of an experiment's lists, as cells.
 *
 * For every combination of the options common to all and every seed: each teacher; each student
 * alone; and each student by each method from each teacher.  A later option replaces an earlier:
 * of all trainings, then of the student, the method or the teacher.
 */
#include "cli/experiment/experiment.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CELLS = 10000 };

/* ---- options of a cell ---- */

static bool set_choice(cell *c, const choice *with)
{
    choice *o = NULL;

    for (int i = 0; i < c->noptions && !o; i++)
        if (strcmp(c->option[i].key, with->key) == 0)
            o = &c->option[i];
    if (!o) {
        if (!add_element(&c->option, c->noptions, sizeof *c->option))
            return false;
        o = &c->option[c->noptions++];
    }
    *o = *with;
    return true;
}

/* How many combinations e has. */
static long count_of(const entry *e)
{
    long n = 1;

    for (int i = 0; e && i < e->nsettings && n <= MAX_CELLS; i++)
        n *= e->setting[i].n ? e->setting[i].n : 1;
    return n;
}

/* Combination `number` of e, the last option changing first. */
static bool apply(cell *c, const entry *e, long number, bool common)
{
    int chosen[256] = {0};

    if (!e)
        return true;
    for (int i = e->nsettings - 1; i >= 0; i--) {
        const int n = e->setting[i].n ? e->setting[i].n : 1;

        if (i < CLI_COUNT(chosen))
            chosen[i] = (int)(number % n);
        number /= n;
    }
    for (int i = 0; i < e->nsettings && i < CLI_COUNT(chosen); i++) {
        const setting *t = &e->setting[i];
        const int k = chosen[i];

        if (t->n > 0 && !set_choice(c, &(choice){t->key, t->value[k], t->value_line[k], t->list,
                                                 common}))
            return false;
    }
    return true;
}

/* ---- names ---- */

static void add_text(char *buf, size_t size, const char *text)
{
    const size_t used = strlen(buf);

    snprintf(buf + used, size - used, "%s", text);
}

/* "-lambda-kl=0.3" for options of e in which cells differ, networks and methods by themselves. */
static void add_varying(cell *c, const entry *e, const cell *but)
{
    for (int i = 0; e && i < e->nsettings; i++)
        for (int k = 0; k < c->noptions; k++) {
            const choice *o = &c->option[k];
            const bool plain = strcmp(o->key, "model") == 0 || strcmp(o->key, "method") == 0 ||
                               strcmp(o->key, "scheme") == 0;
            bool said = false;

            if (!o->varies || strcmp(o->key, e->setting[i].key) != 0)
                continue;
            for (int j = 0; but && j < but->noptions; j++)
                said = said || (but->option[j].varies && strcmp(but->option[j].key, o->key) == 0 &&
                                strcmp(but->option[j].value, o->value) == 0);
            if (said)
                continue;
            add_text(c->group, sizeof c->group, "-");
            add_text(c->group, sizeof c->group, plain ? "" : o->key);
            add_text(c->group, sizeof c->group, plain ? "" : "=");
            add_text(c->group, sizeof c->group, o->value);
        }
    for (char *p = c->group; *p; p++)
        if (*p == '/' || *p == ' ')
            *p = '_';
}

static void end_name(cell *c)
{
    snprintf(c->name, sizeof c->name, "%.200s-seed%.40s", c->group, c->seed);
}

/* ---- cells ---- */

/* The options that all cells of one round share. */
typedef struct round {
    const study *study;
    cells *cells;
    problems *problems;
    long common; /* combination */
    int seed;
    int first; /* cell of the round */
} round;

static cell *new_cell(const round *r, cell_kind kind)
{
    cells *all = r->cells;
    const setting *seeds = &r->study->seeds;
    cell *c;

    if (all->n >= MAX_CELLS) {
        problem_add(r->problems, 1, "the lists stand for more than %d trainings", MAX_CELLS);
        return NULL;
    }
    if (!add_element(&all->list, all->n, sizeof *all->list)) {
        r->problems->no_memory = true;
        return NULL;
    }
    c = &all->list[all->n++];
    *c = (cell){.kind = kind, .seed = seeds->value[r->seed], .teacher = -1, .from = -1,
                .same_as = -1, .lock = -1, .seconds = -1.0};
    if (!apply(c, &r->study->common, r->common, true))
        r->problems->no_memory = true;
    return c;
}

static bool finish_options(const round *r, cell *c)
{
    const setting *seeds = &r->study->seeds;
    const bool ok = set_choice(c, &(choice){"seed", c->seed, seeds->value_line[r->seed], false,
                                            true});

    if (!ok)
        r->problems->no_memory = true;
    return ok;
}

static void add_teachers(const round *r)
{
    const entries *all = &r->study->teachers;

    for (int i = 0; i < all->n; i++)
        for (long k = 0; k < count_of(&all->list[i]); k++) {
            const entry *e = &all->list[i];
            cell *c = new_cell(r, CELL_TEACHER);

            if (!c || !apply(c, e, k, false) || !finish_options(r, c))
                return;
            c->teacher_name = e->name;
            snprintf(c->group, sizeof c->group, "%s", e->name);
            add_varying(c, e, NULL);
            add_varying(c, &r->study->common, NULL);
            end_name(c);
        }
}

/* One student, by a method from a teacher (its number), or alone (-1). */
static bool add_student(const round *r, const entry *student, long k, const entry *method, long j,
                        int teacher)
{
    cell *c = new_cell(r, method ? CELL_STUDENT : CELL_ALONE);
    const cell *of = method ? &r->cells->list[teacher] : NULL;

    if (!c || !apply(c, student, k, false) || !apply(c, method, j, false) || !finish_options(r, c))
        return false;
    c->student_name = student->name;
    c->method_name = method ? method->name : NULL;
    c->teacher_name = of ? of->teacher_name : NULL;
    c->teacher = teacher;
    snprintf(c->group, sizeof c->group, "%s", student->name);
    add_varying(c, student, NULL);
    if (method) {
        add_text(c->group, sizeof c->group, "-");
        add_text(c->group, sizeof c->group, method->name);
        add_varying(c, method, NULL);
        add_text(c->group, sizeof c->group, "-of-");
        add_text(c->group, sizeof c->group, of->group);
    } else {
        add_text(c->group, sizeof c->group, "-alone");
    }
    add_varying(c, &r->study->common, of);
    end_name(c);
    return true;
}

static void add_students(const round *r)
{
    const study *s = r->study;
    const int last = r->cells->n;

    for (int i = 0; s->alone && i < s->students.n; i++)
        for (long k = 0; k < count_of(&s->students.list[i]); k++)
            if (!add_student(r, &s->students.list[i], k, NULL, 0, -1))
                return;
    for (int teacher = r->first; teacher < last; teacher++)
        for (int i = 0; i < s->students.n; i++)
            for (long k = 0; k < count_of(&s->students.list[i]); k++)
                for (int m = 0; m < s->methods.n; m++)
                    for (long j = 0; j < count_of(&s->methods.list[m]); j++)
                        if (!add_student(r, &s->students.list[i], k, &s->methods.list[m], j,
                                         teacher))
                            return;
}

/* ---- teachers that start from another one ---- */

static const choice *option_of(const cell *c, const char *key)
{
    for (int i = 0; i < c->noptions; i++)
        if (strcmp(c->option[i].key, key) == 0)
            return &c->option[i];
    return NULL;
}

/* The teacher that c's `from` names, among those of its round; -1 with a problem. */
static int find_origin(const round *r, int last, int number, const choice *from)
{
    const entries *all = &r->study->teachers;
    const char **names = calloc((size_t)all->n + 1, sizeof *names);
    sftn_error err = {0};
    int found = -1, n = 0;

    for (int i = 0; names && i < all->n; i++)
        names[i] = all->list[i].name;
    for (int i = r->first; i < last; i++)
        if (strcmp(r->cells->list[i].teacher_name, from->value) == 0) {
            found = i;
            n++;
        }
    if (!names)
        r->problems->no_memory = true;
    else if (sftn_find_name("teacher", from->value, names, NULL, &err) < 0)
        problem_add(r->problems, from->line, "%s", err.text);
    else if (found == number || found > number)
        problem_add(r->problems, from->line, "the teacher '%s' cannot start from %s",
                    r->cells->list[number].teacher_name,
                    found == number ? "itself" : "one that comes after it");
    else if (n > 1)
        problem_add(r->problems, from->line, "'%s' stands for %d teachers; expected one to start "
                    "from", from->value, n);
    free(names);
    return n == 1 && found < number ? found : -1;
}

static void connect(const round *r, int last)
{
    for (int i = r->first; i < last; i++) {
        const choice *from = option_of(&r->cells->list[i], "from");

        if (from)
            r->cells->list[i].from = find_origin(r, last, i, from);
    }
}

void study_expand(const study *s, cells *c, problems *p)
{
    round r = {.study = s, .cells = c, .problems = p};

    for (r.seed = 0; r.seed < s->seeds.n; r.seed++)
        for (r.common = 0; r.common < count_of(&s->common); r.common++) {
            const int before = p->n;

            r.first = c->n;
            add_teachers(&r);
            connect(&r, c->n);
            add_students(&r);
            /* One combination tells of all that is wrong with how many there are. */
            if (p->no_memory || (p->n > before && c->n >= MAX_CELLS))
                return;
        }
}

void cells_free(cells *c)
{
    for (int i = 0; i < c->n; i++) {
        free(c->list[i].option);
        for (char **a = c->list[i].argv; a && *a; a++)
            free(*a);
        free(c->list[i].argv);
        free(c->list[i].together);
        free(c->list[i].workload);
        json_object_put(c->list[i].row);
    }
    free(c->list);
    free(c->data);
    *c = (cells){0};
}
