/* list: what this build knows by name. */
#include "cli/cli.h"

#include <json-c/json.h>
#include <string.h>

typedef struct list_options {
    bool json;
} list_options;

static const sftn_option table[] = {
    {"json", SFTN_OPT_BOOL, offsetof(list_options, json), 0, 0, 1, "print JSON", NULL, NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "[models|methods|teachers|data|backends] [--json]",
    .text = "Lists what can be named on the command line, all of it or one kind.",
    .max_files = 1,
};

/* Parameters are counted for the images and classes of CIFAR-100. */
enum { CLASSES = 100, CHANNELS = 3, IMAGE_SIZE = 32 };

static json_object *entry_new(const char *name, const char *summary)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, "name", json_object_new_string(name));
    if (summary)
        json_object_object_add(o, "summary", json_object_new_string(summary));
    return o;
}

static json_object *list_models(void)
{
    json_object *list = json_object_new_array();
    sftn_model model;

    for (int i = 0; sftn_model_list(i, &model); i++) {
        json_object *o = entry_new(model.name, model.summary);

        json_object_object_add(o, "stages", json_object_new_int(model.nstages));
        json_object_object_add(
            o, "parameters",
            json_object_new_int64(cli_model_size(&model, CLASSES, CHANNELS, IMAGE_SIZE)));
        json_object_array_add(list, o);
    }
    return list;
}

static void add_options(json_object *o, const sftn_option *options)
{
    json_object *list = json_object_new_array();

    for (const sftn_option *p = options; p && p->name; p++) {
        json_object *entry = entry_new(p->name, p->help);

        if (p->kind == SFTN_OPT_STRING && p->text)
            json_object_object_add(entry, "default", json_object_new_string(p->text));
        else if (p->kind == SFTN_OPT_CHOICE)
            json_object_object_add(entry, "choices", json_object_new_string(p->choices));
        else if (p->kind != SFTN_OPT_STRING)
            cli_add_number(entry, "default", p->def);
        json_object_array_add(list, entry);
    }
    json_object_object_add(o, "options", list);
}

static json_object *list_methods(void)
{
    json_object *list = json_object_new_array();
    const sftn_distiller *method;

    for (int i = 0; (method = sftn_distiller_list(i)) != NULL; i++) {
        json_object *o = entry_new(method->name, method->summary);

        json_object_object_add(o, "reference", json_object_new_string(method->reference));
        cli_add_number(o, "weight", method->weight);
        cli_add_number(o, "task_weight", method->task_weight);
        add_options(o, method->options);
        json_object_array_add(list, o);
    }
    return list;
}

static json_object *list_mutual(void)
{
    json_object *list = json_object_new_array();
    const sftn_mutual *method;

    for (int i = 0; (method = sftn_mutual_list(i)) != NULL; i++) {
        json_object *o = entry_new(method->name, method->summary);

        json_object_object_add(o, "reference", json_object_new_string(method->reference));
        cli_add_number(o, "weight", method->weight);
        add_options(o, method->options);
        json_object_array_add(list, o);
    }
    return list;
}

static json_object *list_teachers(void)
{
    json_object *list = json_object_new_array();
    const sftn_teacher_scheme *scheme;

    for (int i = 0; (scheme = sftn_teacher_list(i)) != NULL; i++) {
        json_object *o = entry_new(scheme->name, scheme->summary);

        if (scheme->reference)
            json_object_object_add(o, "reference", json_object_new_string(scheme->reference));
        add_options(o, scheme->options);
        json_object_array_add(list, o);
    }
    return list;
}

static json_object *list_data(void)
{
    json_object *list = json_object_new_array();
    sftn_data_entry entry;

    for (int i = 0; sftn_data_list(i, &entry); i++) {
        json_object *o = entry_new(entry.name, entry.summary);

        json_object_object_add(o, "classes", json_object_new_int(entry.classes));
        json_object_object_add(o, "channels", json_object_new_int(entry.channels));
        json_object_object_add(o, "height", json_object_new_int(entry.height));
        json_object_object_add(o, "width", json_object_new_int(entry.width));
        if (entry.url)
            json_object_object_add(o, "url", json_object_new_string(entry.url));
        json_object_array_add(list, o);
    }
    return list;
}

static json_object *list_backends(void)
{
    json_object *list = json_object_new_array();

    for (int i = 0; sftn_backend_list(i); i++)
        json_object_array_add(list, entry_new(sftn_backend_list(i), NULL));
    return list;
}

static const struct kind {
    const char *name;
    json_object *(*list)(void);
} kinds[] = {
    {"models", list_models}, {"methods", list_methods}, {"mutual", list_mutual},
    {"teachers", list_teachers}, {"data", list_data}, {"backends", list_backends},
};

static const char *text_of(json_object *entry, const char *key)
{
    json_object *value;

    return json_object_object_get_ex(entry, key, &value) ? json_object_get_string(value) : NULL;
}

static void print_entries(const char *kind, json_object *list)
{
    printf("%s\n", kind);
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *o = json_object_array_get_idx(list, i), *value;
        const char *summary = text_of(o, "summary"), *reference = text_of(o, "reference");

        printf(summary ? "  %-14s" : "  %s", text_of(o, "name"));
        if (json_object_object_get_ex(o, "parameters", &value)) {
            char size[32];

            cli_format_count(json_object_get_int64(value), size, sizeof size);
            printf(" %11s ", size);
        }
        printf("%s%s%s%s%s\n", summary ? " " : "", summary ? summary : "", reference ? " (" : "",
               reference ? reference : "", reference ? ")" : "");
    }
}

static int list_all(const cli_args *args, bool json)
{
    json_object *all = json_object_new_object();
    const char *names[CLI_COUNT(kinds) + 1] = {NULL};
    const char *wanted = args->nfiles ? args->file[0] : NULL;
    sftn_error err = {0};
    bool found = false;

    for (int i = 0; i < CLI_COUNT(kinds); i++) {
        names[i] = kinds[i].name;
        if (wanted && strcmp(wanted, kinds[i].name) != 0)
            continue;
        json_object *list = kinds[i].list();

        if (!json) {
            if (found)
                putchar('\n');
            print_entries(kinds[i].name, list);
        }
        found = true;
        json_object_object_add(all, kinds[i].name, list);
    }
    if (json && found)
        printf("%s\n", json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY |
                                                               JSON_C_TO_STRING_SPACED |
                                                               JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(all);
    if (!found && sftn_find_name("list", wanted, names, "'sftn help list' names them", &err) < 0)
        return cli_misuse("%s", err.text);
    return CLI_DONE;
}

int cmd_list(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    list_options opt;
    int code;

    cli_accept(&args, "output", "", table, &opt);
    if (cli_parse(&args, &code))
        code = list_all(&args, opt.json);
    cli_args_free(&args);
    return code;
}
