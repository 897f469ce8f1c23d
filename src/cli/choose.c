/*
 * choose.c: teacher schemes and distillation methods by name, with the options of those chosen.
 *
 * Which options exist depends on --scheme and --method, so these are looked at before the rest of
 * the command line is parsed.  Help shows the options of all of them.
 */
#include "cli/cli.h"

#include <math.h>
#include <string.h>

static bool accept_scheme(cli_args *a, const sftn_teacher_scheme *scheme, void **options, int *code)
{
    char title[80];

    *options = cli_new_options(a, scheme->options_size, code);
    if (!*options)
        return false;
    snprintf(title, sizeof title, "scheme %s", scheme->name);
    cli_accept(a, title, "", scheme->options, *options);
    return true;
}

static bool show_schemes(cli_args *a, int *code)
{
    const sftn_teacher_scheme *scheme;

    for (int i = 0; (scheme = sftn_teacher_list(i)) != NULL; i++) {
        void *options = NULL;

        if (!accept_scheme(a, scheme, &options, code))
            return false;
    }
    return true;
}

bool cli_choose_scheme(cli_args *a, const char *fallback, cli_scheme *s, int *code)
{
    const char *name = cli_peek(a->argc, a->argv, "scheme");
    sftn_error err = {0};

    *code = CLI_DONE;
    if (cli_wants_help(a->argc, a->argv))
        return show_schemes(a, code);
    s->scheme = sftn_teacher_find(name ? name : fallback, &err);
    if (!s->scheme) {
        *code = cli_misuse("%s", err.text);
        return false;
    }
    return accept_scheme(a, s->scheme, &s->options, code);
}

bool cli_plain_scheme(cli_args *a, cli_scheme *s, int *code)
{
    sftn_error err = {0};

    s->scheme = sftn_teacher_find("plain", &err);
    if (!s->scheme) {
        *code = cli_fail(&err);
        return false;
    }
    s->options = cli_new_options(a, s->scheme->options_size, code);
    if (!s->options)
        return false;
    if (s->scheme->options)
        sftn_options_default(s->scheme->options, s->options);
    return true;
}

/* Answers are compared with answers, whatever the pairs; only what compares features is asked. */
static bool takes_pairs(const sftn_distiller *method)
{
    return strcmp(method->pairs, "logits") != 0;
}

/* Methods beside others may have another default weight. */
static bool accept_method(cli_args *a, cli_methods *m, const sftn_distiller *method, bool alone,
                          int *code)
{
    const double weight =
        alone || method->weight_beside == 0.0 ? method->weight : method->weight_beside;
    sftn_option *table = m->table[m->n];
    cli_method_use *use = &m->use[m->n];
    char title[80], prefix[32];

    m->options[m->n] = cli_new_options(a, method->options_size, code);
    if (!m->options[m->n])
        return false;
    m->method[m->n] = method;
    snprintf(use->weight_help, sizeof use->weight_help, "factor of the method's loss");
    if (method->weight_beside != 0.0)
        snprintf(use->weight_help, sizeof use->weight_help,
                 "factor of the method's loss; beside other methods %g unless given",
                 method->weight_beside);
    if (method->loss)
        *table++ = (sftn_option){"weight", SFTN_OPT_FLOAT, offsetof(cli_method_use, weight),
                                 weight, 0.0, INFINITY, use->weight_help, NULL, NULL, 0};
    if (takes_pairs(method))
        *table++ = (sftn_option){"pair", SFTN_OPT_STRING, offsetof(cli_method_use, pairs), 0, 0, 0,
                                 "taps that are compared", "STUDENT:TEACHER,...", method->pairs,
                                 SFTN_ROLE_RESOLVED};
    *table = (sftn_option)SFTN_OPTION_END;
    snprintf(title, sizeof title, "method %s", method->name);
    snprintf(prefix, sizeof prefix, "%s.", method->name);
    cli_accept(a, title, prefix, m->table[m->n], use);
    cli_accept(a, title, prefix, method->options, m->options[m->n]);
    m->n++;
    return true;
}

/* --pair, where it means something to one of the methods; false where it is given and does not. */
static bool accept_pair(cli_args *a, cli_methods *m, int *code)
{
    static const sftn_option table[] = {
        {"pair", SFTN_OPT_STRING, offsetof(cli_methods, pair), 0, 0, 0,
         "taps that the methods compare, instead of their own choice: names that 'sftn taps' "
         "lists, like stage2:stage3,pooled, or stages, or last; --METHOD.pair is for one method",
         "STUDENT:TEACHER,...", NULL, .role = SFTN_ROLE_RESOLVED},
        SFTN_OPTION_END,
    };

    for (int i = 0; i < m->n; i++)
        if (takes_pairs(m->method[i])) {
            cli_accept(a, "methods", "", table, m);
            return true;
        }
    if (!cli_peek(a->argc, a->argv, "pair"))
        return true;
    *code = cli_misuse("--pair: the method %s compares answers, no other taps", m->method[0]->name);
    return false;
}

const char *cli_method_pairs(const cli_methods *m, int i)
{
    if (!takes_pairs(m->method[i]))
        return NULL;
    return m->use[i].pairs == m->method[i]->pairs ? m->pair : m->use[i].pairs;
}

bool cli_one_method(cli_args *a, const sftn_distiller *method, cli_methods *m, int *code)
{
    *m = (cli_methods){0};
    return accept_method(a, m, method, true, code);
}

static bool show_methods(cli_args *a, cli_methods *m, int *code)
{
    const sftn_distiller *method;

    for (int i = 0; i < CLI_MAX_METHODS && (method = sftn_distiller_list(i)) != NULL; i++)
        if (!accept_method(a, m, method, true, code))
            return false;
    return accept_pair(a, m, code);
}

/* The method at the beginning of a list; *list becomes the rest, NULL past the end. */
static const sftn_distiller *next_method(const char **list, sftn_error *err)
{
    const size_t length = strcspn(*list, "+");
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), *list);
    *list = (*list)[length] ? *list + length + 1 : NULL;
    return sftn_distiller_find(name, err);
}

sftn_status cli_check_methods(const char *list, sftn_error *err)
{
    const sftn_distiller *method[CLI_MAX_USED_METHODS];

    for (int n = 0; list; n++) {
        const sftn_distiller *next = next_method(&list, err);

        if (!next)
            return SFTN_ERR_ARGUMENT;
        if (n == CLI_MAX_USED_METHODS)
            return sftn_fail(err, SFTN_ERR_ARGUMENT, "--method takes at most %d methods",
                             CLI_MAX_USED_METHODS);
        for (int i = 0; i < n; i++)
            if (method[i] == next)
                return sftn_fail(err, SFTN_ERR_ARGUMENT, "--method names %s twice", next->name);
        method[n] = next;
    }
    return SFTN_OK;
}

bool cli_choose_methods(cli_args *a, const char *fallback, cli_methods *m, int *code)
{
    const char *list = cli_peek(a->argc, a->argv, "method");
    sftn_error err = {0};
    bool alone;

    *code = CLI_DONE;
    if (cli_wants_help(a->argc, a->argv))
        return show_methods(a, m, code);
    list = list ? list : fallback;
    alone = strchr(list, '+') == NULL;
    if (cli_check_methods(list, &err) != SFTN_OK)
        *code = cli_misuse("%s", err.text);
    while (list && *code == CLI_DONE)
        accept_method(a, m, next_method(&list, NULL), alone, code);
    return *code == CLI_DONE && accept_pair(a, m, code);
}

sftn_views cli_method_views(const cli_methods *m)
{
    for (int i = 0; i < m->n; i++)
        if (m->method[i]->views.n > 1)
            return m->method[i]->views;
    return (sftn_views){.n = 1};
}

double cli_default_task_weight(const cli_methods *m)
{
    double weight = 0.0;

    for (int i = 0; i < m->n; i++)
        if (m->method[i]->task_weight > weight)
            weight = m->method[i]->task_weight;
    return weight;
}

void cli_use_methods(const cli_methods *m, sftn_distill_options *options)
{
    for (int i = 0; i < m->n; i++)
        options->use[i] = (sftn_method_use){
            .method = m->method[i],
            .options = m->options[i],
            .weight = cli_decimal(m->use[i].weight),
            .pairs = cli_method_pairs(m, i),
        };
    options->nuse = m->n;
}
