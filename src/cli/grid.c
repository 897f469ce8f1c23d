/*
 * grid.c: one command line with lists, as the command lines of all combinations.
 *
 * --seed 1,2 --method kd,at --kd.temperature 4 stands for four: each is parsed as if it had been
 * typed, so that a member of a grid is what it is alone.  Options of a method that a member does
 * not use, but another one does, are left out of its line; lines that become equal are one.
 */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_AXES = 16, NAME_SIZE = 96 };

/* An option with a list. */
typedef struct axis {
    char name[NAME_SIZE];
    int at;           /* its place in argv */
    const char *list; /* "1,2,3" */
    int n;
    int chosen; /* the element of the line that is being made */
} axis;

typedef struct maker {
    cli_grid *grid;
    int argc;
    char **argv;
    axis axis[MAX_AXES];
    int naxes;
} maker;

/* ---- reading ---- */

/* The option at argv[i], its name copied to name; *value is in the same argument or the next. */
static bool option_at(const maker *m, int i, char *name, const char **value, bool *next)
{
    const char *text = m->argv[i], *equals;

    if (strncmp(text, "--", 2) != 0)
        return false;
    equals = strchr(text, '=');
    snprintf(name, NAME_SIZE, "%.*s", (int)(equals ? equals - text - 2 : NAME_SIZE - 1), text + 2);
    *next = !equals && i + 1 < m->argc && strncmp(m->argv[i + 1], "--", 2) != 0;
    *value = equals ? equals + 1 : *next ? m->argv[i + 1] : "";
    return true;
}

static bool may_be_list(const char *name, const char *const *names)
{
    if (strchr(name, '.'))
        return true;
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Element i of a list: its length, *begin where it begins; -1 past the end. */
static int element(const char *list, int i, const char **begin)
{
    *begin = list;
    for (; i > 0; i--) {
        list = strchr(list, ',');
        if (!list)
            return -1;
        *begin = ++list;
    }
    return (int)strcspn(list, ",");
}

static int add_axis(maker *m, const char *name, int at, const char *list)
{
    const char *begin;
    axis *a;

    if (m->naxes == MAX_AXES)
        return cli_misuse("more than %d options with lists", MAX_AXES);
    a = &m->axis[m->naxes++];
    *a = (axis){.at = at, .list = list};
    snprintf(a->name, sizeof a->name, "%s", name);
    for (int length; (length = element(list, a->n, &begin)) >= 0; a->n++)
        if (length == 0)
            return cli_misuse("option --%s: '%s' has an empty element", name, list);
    return CLI_DONE;
}

static const axis *axis_called(const maker *m, const char *name)
{
    for (int i = 0; i < m->naxes; i++)
        if (strcmp(m->axis[i].name, name) == 0)
            return &m->axis[i];
    return NULL;
}

/* All options with lists; an option with a list is given once. */
static int find_axes(maker *m, const char *const *names)
{
    int code = CLI_DONE;

    for (int pass = 0; pass < 2; pass++)
        for (int i = 1; i < m->argc && strcmp(m->argv[i], "--") != 0 && code == CLI_DONE; i++) {
            char name[NAME_SIZE];
            const char *value;
            bool next;

            if (!option_at(m, i, name, &value, &next) || !may_be_list(name, names))
                continue;
            if (pass == 0 && strchr(value, ',') && !axis_called(m, name))
                code = add_axis(m, name, i, value);
            else if (pass == 1 && axis_called(m, name) && axis_called(m, name)->at != i)
                code = cli_misuse("option --%s has a list, and is given once more", name);
            i += next;
        }
    return code;
}

/* ---- writing ---- */

/* Whether a list of methods joined by + (and elements by ,) names this one. */
static bool names_method(const char *list, size_t size, const char *method, size_t length)
{
    for (const char *p = list; p < list + size;) {
        const size_t n = strcspn(p, "+,");

        if (n == length && p + n <= list + size && strncmp(p, method, n) == 0)
            return true;
        p += n + 1;
    }
    return false;
}

/* An option METHOD.NAME of a method that only other members use. */
static bool is_foreign(const maker *m, const char *name)
{
    const axis *methods = axis_called(m, "method");
    size_t length;
    const char *begin;
    int size;

    name += strncmp(name, "no-", 3) == 0 ? 3 : 0;
    length = strcspn(name, ".");
    if (!methods || name[length] != '.')
        return false;
    size = element(methods->list, methods->chosen, &begin);
    return !names_method(begin, (size_t)size, name, length) &&
           names_method(methods->list, strlen(methods->list), name, length);
}

/* Append "-resnet8" or "-seed1": networks and methods by themselves, the rest with its name. */
static void add_name(char *name, size_t size, const axis *a)
{
    const bool plain = strcmp(a->name, "student") == 0 || strcmp(a->name, "method") == 0;
    const size_t used = strlen(name);
    const char *begin;
    const int length = element(a->list, a->chosen, &begin);

    snprintf(name + used, size - used, "%s%s%.*s", used ? "-" : "", plain ? "" : a->name, length,
             begin);
}

static void name_line(const maker *m, cli_line *line)
{
    line->name[0] = line->rest[0] = '\0';
    for (int i = 0; i < m->naxes; i++) {
        const axis *a = &m->axis[i];

        if (is_foreign(m, a->name))
            continue;
        add_name(line->name, sizeof line->name, a);
        if (strcmp(a->name, "student") != 0 && strcmp(a->name, "method") != 0 &&
            strcmp(a->name, "seed") != 0)
            add_name(line->rest, sizeof line->rest, a);
    }
}

/* The line of the chosen elements in new memory; NULL: out of memory. */
static char **write_line(const maker *m, int *argc)
{
    char **argv = calloc((size_t)m->argc + 1, sizeof *argv);
    bool options = true;
    int n = 0;

    for (int i = 0; argv && i < m->argc; i++) {
        char name[NAME_SIZE];
        const char *value = NULL, *begin;
        const axis *a = NULL;
        bool next = false, option;

        options = options && strcmp(m->argv[i], "--") != 0;
        option = options && i > 0 && option_at(m, i, name, &value, &next);
        for (int k = 0; option && k < m->naxes; k++)
            a = m->axis[k].at == i ? &m->axis[k] : a;
        if (option && is_foreign(m, name)) {
            i += next;
            continue;
        }
        if (a) {
            const int length = element(a->list, a->chosen, &begin);
            const size_t size = strlen(name) + (size_t)length + 4;
            char *text = malloc(size);

            if (text)
                snprintf(text, size, "--%s=%.*s", name, length, begin);
            argv[n++] = text;
            i += next;
        } else {
            argv[n++] = strdup(m->argv[i]);
        }
        if (!argv[n - 1]) {
            cli_free_line(argv);
            return NULL;
        }
    }
    *argc = n;
    return argv;
}

static int add_line(maker *m)
{
    cli_grid *g = m->grid;
    cli_line *line = &g->line[g->n];

    name_line(m, line);
    for (int i = 0; i < g->n; i++)
        if (strcmp(g->line[i].name, line->name) == 0)
            return CLI_DONE;
    line->argv = write_line(m, &line->argc);
    if (!line->argv)
        return cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
    g->n++;
    return CLI_DONE;
}

bool cli_grid_new(cli_grid *grid, int argc, char **argv, const char *const *names, int *code)
{
    maker m = {.grid = grid, .argc = argc, .argv = argv};
    int count = 1;

    *grid = (cli_grid){0};
    *code = cli_wants_help(argc, argv) ? CLI_DONE : find_axes(&m, names);
    for (int i = 0; i < m.naxes && count <= CLI_MAX_GRID; i++)
        count *= m.axis[i].n;
    if (*code == CLI_DONE && count > CLI_MAX_GRID)
        *code = cli_misuse("the lists have more than %d combinations", CLI_MAX_GRID);
    if (*code != CLI_DONE)
        return false;
    grid->line = calloc((size_t)count, sizeof *grid->line);
    if (!grid->line)
        *code = cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
    for (int k = 0; k < count && *code == CLI_DONE; k++) {
        for (int i = m.naxes - 1, rest = k; i >= 0; rest /= m.axis[i--].n)
            m.axis[i].chosen = rest % m.axis[i].n;
        *code = add_line(&m);
    }
    return *code == CLI_DONE;
}

void cli_free_line(char **argv)
{
    for (int i = 0; argv && argv[i]; i++)
        free(argv[i]);
    free(argv);
}

void cli_grid_free(cli_grid *grid)
{
    for (int i = 0; i < grid->n; i++)
        cli_free_line(grid->line[i].argv);
    free(grid->line);
    *grid = (cli_grid){0};
}
