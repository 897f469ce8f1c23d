/* options.c: typed option tables: defaults, parsing with ranges, printing. */
#include "base/base.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_range(const sftn_option *opt)
{
    return opt->min < opt->max;
}

static void *field_of(const sftn_option *opt, void *options)
{
    return (char *)options + opt->offset;
}

void sftn_options_default(const sftn_option *table, void *options)
{
    for (const sftn_option *opt = table; opt->kind != SFTN_OPT_END; opt++) {
        void *field = field_of(opt, options);

        switch (opt->kind) {
        case SFTN_OPT_FLOAT: *(float *)field = (float)opt->def; break;
        case SFTN_OPT_INT:
        case SFTN_OPT_CHOICE: *(int *)field = (int)opt->def; break;
        case SFTN_OPT_INT64: *(int64_t *)field = (int64_t)opt->def; break;
        case SFTN_OPT_BOOL: *(bool *)field = opt->def != 0.0; break;
        case SFTN_OPT_STRING: *(const char **)field = opt->text; break;
        case SFTN_OPT_END: break;
        }
    }
}

const sftn_option *sftn_options_find(const sftn_option *table, const char *name)
{
    for (const sftn_option *opt = table; opt->kind != SFTN_OPT_END; opt++)
        if (strcmp(opt->name, name) == 0)
            return opt;
    return NULL;
}

static sftn_status fail_unknown(const sftn_option *table, const char *name, sftn_error *err)
{
    const char *near = NULL, **names;
    int n = 0;

    while (table[n].kind != SFTN_OPT_END)
        n++;
    names = sftn_calloc((size_t)n + 1, sizeof(*names));
    for (int i = 0; names && i < n; i++)
        names[i] = table[i].name;
    if (names)
        near = sftn_nearest_name(name, names);
    free(names);
    if (near)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "unknown option '%s' (did you mean '%s'?)", name,
                         near);
    return sftn_fail(err, SFTN_ERR_ARGUMENT, "unknown option '%s'", name);
}

/* The rule the value broke, for numbers. */
static sftn_status fail_number(const sftn_option *opt, const char *value, sftn_error *err)
{
    const char *kind = opt->kind == SFTN_OPT_FLOAT ? "a number" : "a whole number";
    const sftn_status status = SFTN_ERR_ARGUMENT;

    if (!has_range(opt))
        return sftn_fail(err, status, "option %s: '%s', expected %s", opt->name, value, kind);
    if (isinf(opt->max))
        return sftn_fail(err, status, "option %s: '%s', expected %s of at least %.10g", opt->name,
                         value, kind, opt->min);
    if (isinf(opt->min))
        return sftn_fail(err, status, "option %s: '%s', expected %s of at most %.10g", opt->name,
                         value, kind, opt->max);
    return sftn_fail(err, status, "option %s: '%s', expected %s from %.10g to %.10g", opt->name,
                     value, kind, opt->min, opt->max);
}

static sftn_status set_float(const sftn_option *opt, float *field, const char *value,
                             sftn_error *err)
{
    char *end;
    const double x = strtod(value, &end);

    if (end == value || *end || !isfinite((float)x) ||
        (has_range(opt) && (x < opt->min || x > opt->max)))
        return fail_number(opt, value, err);
    *field = (float)x;
    return SFTN_OK;
}

static sftn_status set_integer(const sftn_option *opt, void *field, const char *value,
                               sftn_error *err)
{
    char *end;
    long long x;

    errno = 0;
    x = strtoll(value, &end, 10);
    if (end == value || *end || errno == ERANGE)
        return fail_number(opt, value, err);
    if (has_range(opt) && ((double)x < opt->min || (double)x > opt->max))
        return fail_number(opt, value, err);
    if (opt->kind == SFTN_OPT_INT64) {
        *(int64_t *)field = x;
        return SFTN_OK;
    }
    if (x < INT_MIN || x > INT_MAX)
        return fail_number(opt, value, err);
    *(int *)field = (int)x;
    return SFTN_OK;
}

static sftn_status set_bool(const sftn_option *opt, bool *field, const char *value, sftn_error *err)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

    for (size_t i = 0; i < SFTN_COUNT(words); i++) {
        if (strcmp(value, words[i]) == 0) {
            *field = i % 2;
            return SFTN_OK;
        }
    }
    return sftn_fail(err, SFTN_ERR_ARGUMENT, "option %s: '%s', expected true or false", opt->name,
                     value);
}

static sftn_status fail_choice(const sftn_option *opt, const char *value, sftn_error *err)
{
    sftn_strbuf list = {0};
    sftn_status status;

    for (const char *c = opt->choices; *c; c++)
        if (*c == '|')
            sftn_strbuf_add(&list, ", ");
        else
            sftn_strbuf_add(&list, "%c", *c);
    status = sftn_fail(err, SFTN_ERR_ARGUMENT, "option %s: '%s', expected one of %s", opt->name,
                       value, list.failed ? opt->choices : list.text);
    sftn_strbuf_free(&list);
    return status;
}

static sftn_status set_choice(const sftn_option *opt, int *field, const char *value,
                              sftn_error *err)
{
    const size_t length = strlen(value);
    int index = 0;

    for (const char *word = opt->choices; word; index++) {
        const size_t n = strcspn(word, "|");

        if (n == length && memcmp(word, value, n) == 0) {
            *field = index;
            return SFTN_OK;
        }
        word = word[n] ? word + n + 1 : NULL;
    }
    return fail_choice(opt, value, err);
}

/* `no-name` for a bool called name. */
static const sftn_option *find_negated(const sftn_option *table, const char *name)
{
    const sftn_option *opt =
        strncmp(name, "no-", 3) == 0 ? sftn_options_find(table, name + 3) : NULL;

    return opt && opt->kind == SFTN_OPT_BOOL ? opt : NULL;
}

sftn_status sftn_options_set(const sftn_option *table, void *options, const char *name,
                             const char *value, sftn_error *err)
{
    const sftn_option *opt = sftn_options_find(table, name);
    void *field;

    if (!opt) {
        opt = find_negated(table, name);
        if (!opt)
            return fail_unknown(table, name, err);
        if (value)
            return sftn_fail(err, SFTN_ERR_ARGUMENT, "option %s takes no value, found '%s'", name,
                             value);
        value = "false";
    }
    if (!value && opt->kind != SFTN_OPT_BOOL)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "option %s needs a value", name);
    field = field_of(opt, options);
    switch (opt->kind) {
    case SFTN_OPT_FLOAT: return set_float(opt, field, value, err);
    case SFTN_OPT_INT:
    case SFTN_OPT_INT64: return set_integer(opt, field, value, err);
    case SFTN_OPT_BOOL: return set_bool(opt, field, value ? value : "true", err);
    case SFTN_OPT_CHOICE: return set_choice(opt, field, value, err);
    case SFTN_OPT_STRING: *(const char **)field = value; return SFTN_OK;
    case SFTN_OPT_END: break;
    }
    return SFTN_OK;
}

/* The shortest decimal of at least 6 digits that reads back as the same float: 0.1 and 1000. */
static void format_float(float x, char *buf, size_t size)
{
    for (int digits = 6; digits <= 9; digits++) {
        char text[32];

        snprintf(text, sizeof(text), "%.*g", digits, (double)x);
        if (digits == 9 || strtof(text, NULL) == x) {
            snprintf(buf, size, "%s", text);
            return;
        }
    }
}

double sftn_decimal(float x)
{
    char text[32];

    format_float(x, text, sizeof text);
    return strtod(text, NULL);
}

static void format_choice(const sftn_option *opt, int index, char *buf, size_t size)
{
    const char *word = opt->choices;

    for (int i = 0; i < index && word; i++) {
        word = strchr(word, '|');
        word = word ? word + 1 : NULL;
    }
    if (word && index >= 0)
        snprintf(buf, size, "%.*s", (int)strcspn(word, "|"), word);
    else
        snprintf(buf, size, "%d", index);
}

void sftn_options_format(const sftn_option *opt, const void *options, char *buf, size_t size)
{
    const void *field = (const char *)options + opt->offset;

    switch (opt->kind) {
    case SFTN_OPT_FLOAT: format_float(*(const float *)field, buf, size); break;
    case SFTN_OPT_INT: snprintf(buf, size, "%d", *(const int *)field); break;
    case SFTN_OPT_INT64: snprintf(buf, size, "%" PRId64, *(const int64_t *)field); break;
    case SFTN_OPT_BOOL: snprintf(buf, size, "%s", *(const bool *)field ? "true" : "false"); break;
    case SFTN_OPT_CHOICE: format_choice(opt, *(const int *)field, buf, size); break;
    case SFTN_OPT_STRING: {
        const char *text = *(const char *const *)field;

        snprintf(buf, size, "%s", text ? text : "");
        break;
    }
    case SFTN_OPT_END: break;
    }
}
