/*
 * args.c: a command line read into option tables; help printed from the same tables.
 *
 * --name VALUE, --name=VALUE, --flag, --no-flag; "--" ends the options.  Everything else is a file
 * argument.
 */
#include "cli/cli.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 96, HELP_COLUMN = 30, HELP_WIDTH = 96 };

void cli_accept(cli_args *a, const char *title, const char *prefix, const sftn_option *table,
                void *options)
{
    if (!table || a->ngroups == CLI_MAX_GROUPS)
        return;
    cli_group *group = &a->group[a->ngroups++];

    snprintf(group->title, sizeof group->title, "%s", title);
    snprintf(group->prefix, sizeof group->prefix, "%s", prefix);
    group->table = table;
    group->options = options;
    sftn_options_default(table, options);
}

void cli_args_free(cli_args *a)
{
    free(a->file);
    a->file = NULL;
    while (a->nkept > 0)
        free(a->kept[--a->nkept]);
}

void *cli_new_options(cli_args *a, size_t size, int *code)
{
    void *options = a->nkept < CLI_MAX_GROUPS ? calloc(1, size ? size : 1) : NULL;

    if (options)
        a->kept[a->nkept++] = options;
    else
        *code = cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
    return options;
}

int cli_fail(const sftn_error *err)
{
    fprintf(stderr, "sftn: %s\n", err->text[0] ? err->text : sftn_status_name(err->status));
    return CLI_FAILED;
}

void cli_write_word(FILE *f, const char *word)
{
    if (*word && !strpbrk(word, " \t\n\"'`$&;()*?[]{}<>|~#!\\")) {
        fputs(word, f);
        return;
    }
    fputc('\'', f);
    for (const char *c = word; *c; c++)
        if (*c == '\'')
            fputs("'\\''", f);
        else
            fputc(*c, f);
    fputc('\'', f);
}

int cli_misuse(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    fputs("sftn: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    return CLI_USAGE;
}

double cli_decimal(float x)
{
    return sftn_decimal(x);
}

bool cli_given(const cli_args *a, const char *name)
{
    for (int i = 0; i < a->ngiven; i++)
        if (strcmp(a->given[i], name) == 0)
            return true;
    return false;
}

const char *cli_peek(int argc, char **argv, const char *name)
{
    const size_t length = strlen(name);
    const char *found = NULL;

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--", 2) != 0 || strncmp(argv[i] + 2, name, length) != 0)
            continue;
        if (argv[i][2 + length] == '=')
            found = argv[i] + 3 + length;
        else if (argv[i][2 + length] == '\0' && i + 1 < argc)
            found = argv[i + 1];
    }
    return found;
}

bool cli_wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* ---- help ---- */

/* " X" for --lr X, written to buf. */
static void value_name(const sftn_option *o, char *buf, size_t size)
{
    switch (o->kind) {
    case SFTN_OPT_CHOICE:
    case SFTN_OPT_STRING: snprintf(buf, size, " %s", o->choices ? o->choices : "TEXT"); break;
    case SFTN_OPT_FLOAT: snprintf(buf, size, " X"); break;
    case SFTN_OPT_INT:
    case SFTN_OPT_INT64: snprintf(buf, size, " N"); break;
    default: buf[0] = '\0';
    }
}

/* "(default 0.05, 0 to 1)", or nothing where there is nothing to say. */
static void value_range(const cli_group *group, const sftn_option *o, char *buf, size_t size)
{
    char value[64] = "";

    if (o->kind == SFTN_OPT_STRING && !o->text) {
        buf[0] = '\0';
        return;
    }
    sftn_options_format(o, group->options, value, sizeof value);
    if (o->kind == SFTN_OPT_BOOL)
        snprintf(buf, size, " (default %s)", strcmp(value, "true") == 0 ? "yes" : "no");
    else if (o->kind == SFTN_OPT_CHOICE || o->kind == SFTN_OPT_STRING)
        snprintf(buf, size, " (default %s)", value);
    else if (isinf(o->max))
        snprintf(buf, size, " (default %s, at least %.7g)", value, o->min);
    else
        snprintf(buf, size, " (default %s, %.7g to %.7g)", value, o->min, o->max);
}

/* Text in words, from column HELP_COLUMN to HELP_WIDTH. */
static void print_wrapped(const char *text, int column)
{
    while (*text) {
        const int length = (int)strcspn(text, " ");

        if (column > HELP_COLUMN && column + 1 + length > HELP_WIDTH) {
            printf("\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        if (column > HELP_COLUMN)
            column += printf(" ");
        column += printf("%.*s", length, text);
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_option(const cli_group *group, const sftn_option *o)
{
    char value[64], range[96], text[512];
    int column;

    value_name(o, value, sizeof value);
    value_range(group, o, range, sizeof range);
    column = printf("  --%s%s%s%s", o->kind == SFTN_OPT_BOOL ? "[no-]" : "", group->prefix, o->name,
                    value);
    if (column + 2 > HELP_COLUMN) {
        putchar('\n');
        column = 0;
    }
    printf("%*s", HELP_COLUMN - column, "");
    snprintf(text, sizeof text, "%s%s", o->help, range);
    print_wrapped(text, HELP_COLUMN);
}

static void print_help(const cli_args *a)
{
    printf("usage: sftn %s %s\n", a->argv[0], a->usage->arguments);
    if (a->usage->text)
        printf("\n%s\n", a->usage->text);
    for (int i = 0; i < a->ngroups; i++) {
        const char *before = i ? a->group[i - 1].title : "";

        if (a->group[i].table->name && strcmp(a->group[i].title, before) != 0)
            printf("\n%s\n", a->group[i].title);
        for (const sftn_option *o = a->group[i].table; o->name; o++)
            print_option(&a->group[i], o);
    }
}

/* ---- parsing ---- */

/* The group that has an option called name (prefix included), and the name within it. */
static const cli_group *find_option(const cli_args *a, const char *name, const char **within)
{
    for (int i = 0; i < a->ngroups; i++) {
        const size_t length = strlen(a->group[i].prefix);

        if (strncmp(name, a->group[i].prefix, length) != 0)
            continue;
        if (sftn_options_find(a->group[i].table, name + length)) {
            *within = name + length;
            return &a->group[i];
        }
    }
    return NULL;
}

bool cli_has_option(const cli_args *a, const char *name)
{
    const char *within;

    return find_option(a, name, &within) != NULL;
}

bool cli_nearest_option(const cli_args *a, const char *name, char *buf, size_t size)
{
    char(*known)[NAME_SIZE];
    const char **names, *nearest = NULL;
    int n = 0;

    for (int i = 0; i < a->ngroups; i++)
        for (const sftn_option *o = a->group[i].table; o->name; o++)
            n++;
    known = calloc((size_t)n + 1, sizeof *known);
    names = calloc((size_t)n + 1, sizeof *names);
    for (int i = 0, k = 0; known && names && i < a->ngroups; i++)
        for (const sftn_option *o = a->group[i].table; o->name; o++, k++) {
            snprintf(known[k], NAME_SIZE, "%s%s", a->group[i].prefix, o->name);
            names[k] = known[k];
        }
    if (known && names)
        nearest = sftn_nearest_name(name, names);
    snprintf(buf, size, "%s", nearest ? nearest : "");
    free(names);
    free(known);
    return buf[0] != '\0';
}

void cli_write_options(FILE *f, const cli_args *a, int with, int without)
{
    for (int i = 0; i < a->ngroups; i++) {
        const cli_group *g = &a->group[i];

        for (const sftn_option *o = g->table; o->name; o++) {
            char value[1024];

            if ((o->role & with) != with || (o->role & without))
                continue;
            sftn_options_format(o, g->options, value, sizeof value);
            fprintf(f, "%s%s %s\n", g->prefix, o->name, value);
        }
    }
}

sftn_status cli_set_option(cli_args *a, const char *name, const char *value, sftn_error *err)
{
    const char *within = NULL;
    const cli_group *group = find_option(a, name, &within);
    const sftn_option *o;

    if (!group)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "%s has no option --%s", a->argv[0], name);
    o = sftn_options_find(group->table, within);
    if (sftn_options_set(group->table, group->options, o->name, value, err) != SFTN_OK)
        return group->prefix[0] ? sftn_fail_in(err, "%s", group->title) : SFTN_ERR_ARGUMENT;
    if (a->ngiven < CLI_MAX_GIVEN)
        a->given[a->ngiven++] = o->name;
    return SFTN_OK;
}

static int unknown_option(const cli_args *a, const char *name)
{
    char nearest[NAME_SIZE];

    if (cli_nearest_option(a, name, nearest, sizeof nearest))
        return cli_misuse("%s has no option --%s; did you mean --%s?", a->argv[0], name, nearest);
    return cli_misuse("%s has no option --%s; 'sftn help %s' lists its options", a->argv[0], name,
                      a->argv[0]);
}

/* One option at argv[*i], its value possibly in the next argument.  Returns 0, or the exit code. */
static int parse_option(cli_args *a, int *i)
{
    char text[NAME_SIZE], *name = text;
    const char *argument = a->argv[*i] + 2, *within = NULL, *value = strchr(argument, '=');
    const size_t length = value ? (size_t)(value - argument) : strlen(argument);
    const cli_group *group;
    const sftn_option *o;
    sftn_error err = {0};

    snprintf(text, sizeof text, "%.*s", (int)(length < NAME_SIZE ? length : NAME_SIZE - 1),
             argument);
    value = value ? value + 1 : NULL;
    group = find_option(a, name, &within);
    if (!group && strncmp(name, "no-", 3) == 0) {
        group = find_option(a, name + 3, &within);
        if (!group || value || sftn_options_find(group->table, within)->kind != SFTN_OPT_BOOL)
            return unknown_option(a, name);
        value = "false";
        name += 3;
    }
    if (!group)
        return unknown_option(a, name);
    o = sftn_options_find(group->table, within);
    if (!value && o->kind == SFTN_OPT_BOOL)
        value = "true";
    if (!value && *i + 1 >= a->argc)
        return cli_misuse("option --%s needs a value", name);
    if (!value)
        value = a->argv[++*i];
    return cli_set_option(a, name, value, &err) == SFTN_OK ? 0 : cli_misuse("%s", err.text);
}

static int check_files(const cli_args *a)
{
    const cli_usage *u = a->usage;

    if (a->nfiles < u->min_files)
        return cli_misuse("%s needs more arguments; usage: sftn %s %s", a->argv[0], a->argv[0],
                          u->arguments);
    if (u->max_files >= 0 && a->nfiles > u->max_files)
        return cli_misuse("%s does not take the argument '%s'; usage: sftn %s %s", a->argv[0],
                          a->file[u->max_files], a->argv[0], u->arguments);
    return 0;
}

bool cli_parse(cli_args *a, int *code)
{
    bool options = true;

    *code = CLI_DONE;
    if (cli_wants_help(a->argc, a->argv)) {
        print_help(a);
        return false;
    }
    a->file = calloc((size_t)a->argc + 1, sizeof *a->file);
    if (!a->file) {
        *code = cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
        return false;
    }
    for (int i = 1; i < a->argc; i++) {
        if (options && strcmp(a->argv[i], "--") == 0)
            options = false;
        else if (!options || strncmp(a->argv[i], "-", 1) != 0 || a->argv[i][1] == '\0')
            a->file[a->nfiles++] = a->argv[i];
        else if (a->argv[i][1] != '-')
            *code = cli_misuse("options begin with two dashes; '%s' has one", a->argv[i]);
        else
            *code = parse_option(a, &i);
        if (*code != CLI_DONE)
            return false;
    }
    *code = check_files(a);
    return *code == CLI_DONE;
}
