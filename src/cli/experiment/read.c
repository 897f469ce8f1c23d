/*
 * read.c: the sections of an experiment's file.
 *
 *     name: study
 *     data: {data: cifar100, limit: 5000, validation: 500}
 *     common: {epochs: 60}                     options of every training
 *     teachers:                                names, each with options of `teach`
 *       friendly: {scheme: sftn, model: wrn_16_2, student: wrn_16_1, lambda-kl: [0.3, 1, 3]}
 *     students: [wrn_16_1]                     or names with options
 *     methods: [kd, crd+kd]                    or names with options of `distill`
 *     alone: true
 *     seeds: [1, 2, 3]
 */
#include "cli/experiment/experiment.h"

#include <stdlib.h>
#include <string.h>

/* What a section's mapping is read into. */
typedef struct section_kind {
    const char *name;
    const char *noun;
    bool list; /* a list of names will do, each standing for `implied`: name */
    const char *implied;
} section_kind;

static const char *const section_names[] = {"name",    "data",  "common", "teachers", "students",
                                            "methods", "alone", "seeds",  NULL};

static yaml_node_t *node_of(study *s, int index)
{
    return yaml_document_get_node(&s->document, index);
}

static bool is_word(const char *text)
{
    return text[0] && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "_.+-") == strlen(text) && strcmp(text, ".") != 0 &&
           strcmp(text, "..") != 0;
}

/* ---- options ---- */

static void add_value(setting *t, const yaml_node_t *node, problems *p)
{
    char what[128];
    const char *text;

    snprintf(what, sizeof what, "'%s'", t->key);
    text = yaml_text(node, what, p);
    if (!text)
        return;
    if (!add_element(&t->value, t->n, sizeof *t->value) ||
        !add_element(&t->value_line, t->n, sizeof *t->value_line)) {
        p->no_memory = true;
        return;
    }
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->value[i], text) == 0)
            problem_add(p, yaml_line(node), "'%s' has the value %s twice", t->key, text);
    t->value[t->n] = text;
    t->value_line[t->n++] = yaml_line(node);
}

/* One value, or a list of them. */
static void read_values(study *s, setting *t, const yaml_node_t *node, problems *p)
{
    if (node->type != YAML_SEQUENCE_NODE) {
        add_value(t, node, p);
        return;
    }
    t->list = true;
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top;
         i++)
        add_value(t, node_of(s, *i), p);
    if (node->data.sequence.items.start == node->data.sequence.items.top)
        problem_add(p, yaml_line(node), "'%s' is an empty list", t->key);
}

static setting *add_setting(entry *e, const char *key, int line, problems *p)
{
    static const char *const ours[] = {"seed", "out", "resume", "overwrite"};
    setting *t;

    for (int i = 0; i < CLI_COUNT(ours); i++)
        if (strcmp(ours[i], key) == 0) {
            problem_add(p, line, "'%s' %s", key,
                        i == 0 ? "is no option here: 'seeds: [1, 2]' is a section of its own"
                               : "is no option here: 'sftn run' sets it for every training");
            return NULL;
        }
    for (int i = 0; i < e->nsettings; i++)
        if (strcmp(e->setting[i].key, key) == 0) {
            problem_add(p, line, "'%s' is given twice; the first is in line %d", key,
                        e->setting[i].line);
            return NULL;
        }
    if (!add_element(&e->setting, e->nsettings, sizeof *e->setting)) {
        p->no_memory = true;
        return NULL;
    }
    t = &e->setting[e->nsettings++];
    t->key = key;
    t->line = line;
    return t;
}

/* The options of a mapping into e. */
static void read_options(study *s, entry *e, const yaml_node_t *node, const char *what,
                         problems *p)
{
    if (node->type != YAML_MAPPING_NODE) {
        problem_add(p, yaml_line(node), "%s is no mapping of options, like {epochs: 60}", what);
        return;
    }
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = node_of(s, pair->key), *value = node_of(s, pair->value);
        const char *name = yaml_text(key, "an option's name", p);
        setting *t = name ? add_setting(e, name, yaml_line(key), p) : NULL;

        if (t)
            read_values(s, t, value, p);
    }
}

/* ---- entries ---- */

const entry *entry_find(const entries *e, const char *name)
{
    for (int i = 0; i < e->n; i++)
        if (strcmp(e->list[i].name, name) == 0)
            return &e->list[i];
    return NULL;
}

static entry *add_entry(entries *all, const section_kind *kind, const yaml_node_t *node,
                        problems *p)
{
    const char *name = yaml_text(node, kind->noun, p);
    const entry *other = name ? entry_find(all, name) : NULL;

    if (!name)
        return NULL;
    if (!is_word(name)) {
        problem_add(p, yaml_line(node), "the name '%s' has other characters than letters, digits "
                    "and _ . + -", name);
        return NULL;
    }
    if (other) {
        problem_add(p, yaml_line(node), "%s '%s' is there twice; the first is in line %d",
                    kind->noun, name, other->line);
        return NULL;
    }
    if (!add_element(&all->list, all->n, sizeof *all->list)) {
        p->no_memory = true;
        return NULL;
    }
    all->list[all->n].name = name;
    all->list[all->n].line = yaml_line(node);
    return &all->list[all->n++];
}

/* Where an entry does not say it, its name is the value of the option `implied`. */
static void imply(entry *e, const section_kind *kind, problems *p)
{
    setting *t;

    for (int i = 0; i < e->nsettings; i++)
        if (strcmp(e->setting[i].key, kind->implied) == 0)
            return;
    t = add_setting(e, kind->implied, e->line, p);
    if (!t)
        return;
    if (add_element(&t->value, 0, sizeof *t->value) &&
        add_element(&t->value_line, 0, sizeof *t->value_line)) {
        t->value[0] = e->name;
        t->value_line[0] = e->line;
        t->n = 1;
    } else {
        p->no_memory = true;
    }
}

static void read_entries(study *s, entries *all, const section_kind *kind, const yaml_node_t *node,
                         problems *p)
{
    if (kind->list && node->type == YAML_SEQUENCE_NODE) {
        for (yaml_node_item_t *i = node->data.sequence.items.start;
             i < node->data.sequence.items.top; i++)
            add_entry(all, kind, node_of(s, *i), p);
    } else if (node->type == YAML_MAPPING_NODE) {
        for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
             pair < node->data.mapping.pairs.top; pair++) {
            entry *e = add_entry(all, kind, node_of(s, pair->key), p);
            char what[300];

            snprintf(what, sizeof what, "%s '%s'", kind->noun, e ? e->name : "");
            if (e)
                read_options(s, e, node_of(s, pair->value), what, p);
        }
    } else {
        problem_add(p, yaml_line(node), "'%s' is no mapping of names to options%s", kind->name,
                    kind->list ? ", nor a list of names" : "");
        return;
    }
    for (int i = 0; i < all->n && kind->implied; i++)
        imply(&all->list[i], kind, p);
    if (all->n == 0)
        problem_add(p, yaml_line(node), "'%s' is empty", kind->name);
}

/* ---- the file ---- */

static void read_flag(const yaml_node_t *node, const char *name, bool *flag, problems *p)
{
    static const sftn_option table[] = {
        {"flag", SFTN_OPT_BOOL, 0, 0, 0, 1, NULL, NULL, NULL},
        SFTN_OPTION_END,
    };
    char what[64];
    const char *text;

    snprintf(what, sizeof what, "'%s'", name);
    text = yaml_text(node, what, p);
    if (text && sftn_options_set(table, flag, "flag", text, NULL) != SFTN_OK)
        problem_add(p, yaml_line(node), "'%s' is '%s', expected true or false", name, text);
}

static void read_section(study *s, const char *name, const yaml_node_t *node, problems *p)
{
    static const section_kind teachers = {"teachers", "teacher", false, NULL};
    static const section_kind students = {"students", "student", true, "model"};
    static const section_kind methods = {"methods", "method", true, "method"};

    if (strcmp(name, "name") == 0) {
        s->name = yaml_text(node, "'name'", p);
        if (s->name && !is_word(s->name))
            problem_add(p, yaml_line(node), "the name '%s' has other characters than letters, "
                        "digits and _ . + -", s->name);
    } else if (strcmp(name, "data") == 0 || strcmp(name, "common") == 0) {
        char what[64];

        snprintf(what, sizeof what, "'%s'", name);
        read_options(s, &s->common, node, what, p);
    } else if (strcmp(name, "teachers") == 0) {
        read_entries(s, &s->teachers, &teachers, node, p);
    } else if (strcmp(name, "students") == 0) {
        read_entries(s, &s->students, &students, node, p);
    } else if (strcmp(name, "methods") == 0) {
        read_entries(s, &s->methods, &methods, node, p);
    } else if (strcmp(name, "alone") == 0) {
        read_flag(node, "alone", &s->alone, p);
    } else {
        s->seeds = (setting){.key = "seeds", .line = yaml_line(node)};
        read_values(s, &s->seeds, node, p);
    }
}

static void read_root(study *s, const yaml_node_t *root, problems *p)
{
    const char *seen[sizeof section_names / sizeof section_names[0]] = {NULL};

    if (root->type != YAML_MAPPING_NODE) {
        problem_add(p, yaml_line(root), "expected a mapping with 'teachers', 'students', ...; "
                    "'sftn help run' shows one");
        return;
    }
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = node_of(s, pair->key), *value = node_of(s, pair->value);
        const char *name = yaml_text(key, "a section's name", p);
        sftn_error err = {0};
        const int i = name ? sftn_find_name("section", name, section_names, NULL, &err) : -1;

        if (name && i < 0)
            problem_add(p, yaml_line(key), "%s", err.text);
        else if (name && seen[i])
            problem_add(p, yaml_line(key), "the section '%s' is there twice", name);
        else if (name)
            read_section(s, seen[i] = name, value, p);
    }
}

/* What is not there. */
static void complete(study *s, problems *p)
{
    static const char *one = "1";

    /* After a mistake, too: so that cells are made and checked. */
    if (s->seeds.n == 0) {
        if (add_element(&s->seeds.value, 0, sizeof *s->seeds.value) &&
            add_element(&s->seeds.value_line, 0, sizeof *s->seeds.value_line)) {
            s->seeds.value[0] = one;
            s->seeds.n = 1;
        } else {
            p->no_memory = true;
        }
    }
    if (p->n > 0)
        return;
    if (s->methods.n > 0 && (s->teachers.n == 0 || s->students.n == 0))
        problem_add(p, 1, "'methods' need 'teachers' and 'students'");
    if (s->students.n > 0 && s->methods.n == 0 && !s->alone)
        problem_add(p, 1, "nothing trains the students: expected 'methods', or 'alone: true'");
    if (s->alone && s->students.n == 0)
        problem_add(p, 1, "'alone' needs 'students'");
    if (s->teachers.n == 0 && s->students.n == 0)
        problem_add(p, 1, "there is nothing to train: expected 'teachers' or 'students'");
}

void study_read(const char *path, study *s, problems *p)
{
    *s = (study){0};
    p->file = path;
    s->opened = yaml_read(path, &s->document, p);
    if (!s->opened)
        return;
    read_root(s, yaml_document_get_root_node(&s->document), p);
    complete(s, p);
}

static void close_settings(setting *t, int n)
{
    for (int i = 0; i < n; i++) {
        free(t[i].value);
        free(t[i].value_line);
    }
}

static void close_entries(entries *e)
{
    for (int i = 0; i < e->n; i++) {
        close_settings(e->list[i].setting, e->list[i].nsettings);
        free(e->list[i].setting);
    }
    free(e->list);
}

void study_close(study *s)
{
    close_settings(s->common.setting, s->common.nsettings);
    free(s->common.setting);
    close_entries(&s->teachers);
    close_entries(&s->students);
    close_entries(&s->methods);
    close_settings(&s->seeds, 1);
    if (s->opened)
        yaml_document_delete(&s->document);
    *s = (study){0};
}
