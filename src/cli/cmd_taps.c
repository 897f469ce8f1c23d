/* taps: what a student and a teacher publish, what methods compare, and what they put between. */
#include "cli/cli.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct taps_options {
    const char *student, *teacher, *method;
    int classes, image_size;
    bool json;
} taps_options;

#define FIELD(name) offsetof(taps_options, name)

static const sftn_option table[] = {
    {"student", SFTN_OPT_STRING, FIELD(student), 0, 0, 0,
     "network of the student: its model, or a trained one's file or run directory", "MODEL",
     "wrn_16_2"},
    {"teacher", SFTN_OPT_STRING, FIELD(teacher), 0, 0, 0,
     "network of the teacher, likewise; a file also says how many classes and pixels there are",
     "MODEL", "wrn_40_2"},
    {"method", SFTN_OPT_STRING, FIELD(method), 0, 0, 0,
     "methods whose pairs and layers are shown, joined by +", "NAMES", "kd"},
    {"classes", SFTN_OPT_INT, FIELD(classes), 100, 2, 100000, "classes told apart", NULL, NULL},
    {"image-size", SFTN_OPT_INT, FIELD(image_size), 32, 8, 512, "height and width", NULL, NULL},
    {"json", SFTN_OPT_BOOL, FIELD(json), 0, 0, 1, "print one JSON object", NULL, NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "--student MODEL --teacher MODEL [--method NAMES [--pair LIST]]",
    .text = "Lists the taps of both networks with their channels, height and width; for each\n"
            "method the pairs that it compares, the layers that it trains for them, with the\n"
            "shapes of their weights, and the phases in which it trains before the labels.",
};

enum { BATCH = 2 };

/* Both networks side by side in one graph, and the parameters of the methods. */
typedef struct pairing {
    int classes, channels, image_size;
    sftn_model model[2];
    sftn_graph *g;
    sftn_params *params[2], *layers; /* student, teacher; methods */
    sftn_taps taps[2];
    sftn_value labels, record;
    sftn_draw_table *records; /* one of each class, for methods that remember them */
} pairing;

static void pairing_free(pairing *p)
{
    sftn_graph_free(p->g);
    sftn_params_free(p->params[0]);
    sftn_params_free(p->params[1]);
    sftn_params_free(p->layers);
    sftn_draw_table_free(p->records);
}

static sftn_draw_table *one_of_each(int classes)
{
    int32_t *class_of = calloc((size_t)classes, sizeof *class_of);
    sftn_draw_table *records = NULL;

    for (int32_t i = 0; class_of && i < classes; i++)
        class_of[i] = i;
    if (class_of)
        records = sftn_draw_table_new(classes, class_of, classes);
    free(class_of);
    return records;
}

/* A new graph with both networks, for so many views of each image. */
static sftn_status build_networks(pairing *p, sftn_views views, sftn_error *err)
{
    const sftn_type image = {.shape = SFTN_SHAPE(sftn_views_rows(views, BATCH), p->channels,
                                                 p->image_size, p->image_size)};
    const sftn_type numbers = {SFTN_SHAPE(BATCH, 1, 1, 1), true};
    sftn_value x;

    sftn_graph_free(p->g);
    p->g = sftn_graph_new();
    if (!p->g)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    x = sftn_graph_input(p->g, "image", image);
    p->labels = sftn_graph_input(p->g, "labels", numbers);
    p->record = sftn_graph_input(p->g, "record", numbers);
    for (int i = 0; i < 2; i++) {
        const sftn_scope scope = {
            .g = p->g, .params = p->params[i], .training = i == 0, .frozen = i == 1};

        p->taps[i] = sftn_model_build(&p->model[i], &scope, x, p->classes, 0);
    }
    return sftn_graph_status(p->g, err);
}

/* A network by its model's name, or by its file, which says what it tells apart. */
static sftn_status find_network(pairing *p, int side, const char *name, sftn_error *err)
{
    sftn_network net;
    char file[640];

    if (access(name, F_OK) != 0)
        return sftn_model_find(name, &p->model[side], err);
    cli_model_file(name, file, sizeof file);
    if (sftn_network_load(file, &net, err) != SFTN_OK)
        return err->status;
    p->model[side] = net.model;
    p->classes = net.classes;
    p->channels = net.channels;
    p->image_size = net.image_size;
    sftn_network_free(&net);
    return SFTN_OK;
}

static sftn_status pairing_new(const taps_options *o, pairing *p, sftn_error *err)
{
    p->classes = o->classes;
    p->channels = 3;
    p->image_size = o->image_size;
    if (find_network(p, 0, o->student, err) != SFTN_OK ||
        find_network(p, 1, o->teacher, err) != SFTN_OK)
        return err->status;
    p->layers = sftn_params_new();
    p->records = one_of_each(p->classes);
    for (int i = 0; i < 2; i++)
        p->params[i] = sftn_params_new();
    if (!p->layers || !p->records || !p->params[0] || !p->params[1])
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    return build_networks(p, (sftn_views){.n = 1}, err);
}

/* "64 x 16 x 16", or "100" for a vector. */
static void format_shape(const pairing *p, sftn_value v, char *buf, size_t size)
{
    const sftn_shape s = sftn_value_shape(p->g, v);

    if (s.dim[SFTN_H] == 1 && s.dim[SFTN_W] == 1)
        snprintf(buf, size, "%lld", (long long)s.dim[SFTN_C]);
    else
        snprintf(buf, size, "%lld x %lld x %lld", (long long)s.dim[SFTN_C],
                 (long long)s.dim[SFTN_H], (long long)s.dim[SFTN_W]);
}

static json_object *shape_json(const pairing *p, sftn_value v)
{
    const sftn_shape s = sftn_value_shape(p->g, v);
    json_object *list = json_object_new_array();

    for (int d = SFTN_C; d <= SFTN_W; d++)
        json_object_array_add(list, json_object_new_int64(s.dim[d]));
    return list;
}

/* ---- taps ---- */

static void print_taps(const pairing *p)
{
    sftn_named_tap list[2][SFTN_MAX_TAPS];
    const int n[2] = {sftn_taps_list(&p->taps[0], list[0]), sftn_taps_list(&p->taps[1], list[1])};

    for (int side = 0; side < 2; side++) {
        printf("%s %s\n", side ? "teacher" : "student", p->model[side].name);
        for (int i = 0; i < n[side]; i++) {
            char shape[64];

            format_shape(p, list[side][i].value, shape, sizeof shape);
            printf("  %-15s %s\n", list[side][i].name, shape);
        }
    }
}

static json_object *taps_json(const pairing *p, int side)
{
    sftn_named_tap list[SFTN_MAX_TAPS];
    const int n = sftn_taps_list(&p->taps[side], list);
    json_object *o = json_object_new_object(), *taps = json_object_new_object();

    json_object_object_add(o, "model", json_object_new_string(p->model[side].name));
    for (int i = 0; i < n; i++)
        json_object_object_add(taps, list[i].name, shape_json(p, list[i].value));
    json_object_object_add(o, "taps", taps);
    return o;
}

/* ---- methods ---- */

/*
 * Build method i's loss in one of its phases (NULL: the main one) in a graph of its own; its pairs
 * as they are before its layers.
 */
static sftn_status build_phase(pairing *p, const cli_methods *m, int i,
                               const sftn_distill_phase *phase, sftn_tap_pair *pair, int *npairs,
                               sftn_error *err)
{
    const sftn_distiller *method = m->method[i];
    const char *text = cli_method_pairs(m, i);
    sftn_scope scope = {.params = p->layers, .training = true};
    sftn_distill_args args = {
        .scope = &scope,
        .student = &p->taps[0],
        .teacher = &p->taps[1],
        .classes = p->classes,
        .options = m->options[i],
        .records = p->records,
    };
    sftn_status status = build_networks(p, method->views, err);

    if (status != SFTN_OK)
        return status;
    scope.g = args.g = p->g;
    args.labels = p->labels;
    args.record = p->record;
    snprintf(scope.name, sizeof scope.name, "%s", method->name);
    status = sftn_tap_pairs(text ? text : method->pairs, &p->taps[0], &p->taps[1], pair, npairs,
                            err);
    if (status != SFTN_OK)
        return sftn_fail_in(err, "%s", method->name);
    sftn_distiller_build(method, phase, &args, text);
    return sftn_graph_status(p->g, err);
}

/* Every phase of method i. */
static sftn_status build_method(pairing *p, const cli_methods *m, int i, sftn_tap_pair *pair,
                                int *npairs, sftn_error *err)
{
    const sftn_distiller *method = m->method[i];
    sftn_status status = SFTN_OK;

    for (int k = 0; k < method->nphases && status == SFTN_OK; k++)
        status = build_phase(p, m, i, &method->phase[k], pair, npairs, err);
    if (method->loss && status == SFTN_OK)
        status = build_phase(p, m, i, NULL, pair, npairs, err);
    return status;
}

/* A trained layer of a method: neighbouring entries that differ in the last part of the name. */
typedef struct layer {
    char name[160];
    int64_t count;
    const sftn_param *weight; /* a convolution's or a dense layer's; NULL: neither */
} layer;

/* The layer that begins at entry i, or that entry where it is alone; returns the entry after it. */
static int next_layer(const sftn_params *params, int i, layer *l)
{
    const char *name = sftn_params_get(params, i)->name, *dot = strrchr(name, '.');
    const int length = dot ? (int)(dot - name) : (int)strlen(name), first = i;

    *l = (layer){.count = 0};
    for (; i < sftn_params_count(params); i++) {
        const sftn_param *e = sftn_params_get(params, i);

        if (strncmp(e->name, name, (size_t)length) != 0 ||
            strrchr(e->name, '.') != e->name + length)
            break;
        l->count += e->kind == SFTN_PARAM_WEIGHT ? e->count : 0;
        if (e->rank >= 2)
            l->weight = e;
    }
    snprintf(l->name, sizeof l->name, "%.*s", i > first + 1 ? length : 159, name);
    return i;
}

/* "128 x 32 x 1 x 1": filters, channels, height and width; "128 x 32": dense; "": neither. */
static void format_weight(const sftn_param *weight, char *buf, size_t size)
{
    buf[0] = '\0';
    for (int d = 0; weight && d < weight->rank; d++)
        snprintf(buf + strlen(buf), size - strlen(buf), "%s%lld", d ? " x " : "",
                 (long long)weight->shape.dim[d]);
}

/* How many epochs a phase before the labels has, and what it trains. */
static void print_phases(const sftn_distiller *m, const void *options)
{
    for (int i = 0; i < m->nphases; i++)
        printf("before the labels %d epochs that train %s\n",
               m->phase[i].schedule(options).epochs,
               m->phase[i].student ? "the student's stages" : "layers of its own alone");
}

static json_object *phases_json(const sftn_distiller *m, const void *options)
{
    json_object *list = json_object_new_array();

    for (int i = 0; i < m->nphases; i++) {
        json_object *o = json_object_new_object();

        json_object_object_add(o, "epochs",
                               json_object_new_int(m->phase[i].schedule(options).epochs));
        json_object_object_add(o, "student", json_object_new_boolean(m->phase[i].student));
        json_object_array_add(list, o);
    }
    return list;
}

static void print_method(const pairing *p, const cli_methods *m, int method,
                         const sftn_tap_pair *pair, int npairs, int first)
{
    int64_t total = 0;
    char shape[2][64], count[32];
    layer l;

    printf("\n%s compares\n", m->method[method]->name);
    for (int i = 0; i < npairs; i++) {
        format_shape(p, pair[i].student, shape[0], sizeof shape[0]);
        format_shape(p, pair[i].teacher, shape[1], sizeof shape[1]);
        printf("  %-15s %-14s with  %-15s %s\n", pair[i].student_name, shape[0],
               pair[i].teacher_name, shape[1]);
    }
    for (int i = first; i < sftn_params_count(p->layers);) {
        i = next_layer(p->layers, i, &l);
        total += l.count;
    }
    cli_format_count(total, count, sizeof count);
    printf(total ? "and trains %s parameters of its own\n" : "and trains nothing of its own\n",
           count);
    for (int i = first; i < sftn_params_count(p->layers);) {
        i = next_layer(p->layers, i, &l);
        cli_format_count(l.count, count, sizeof count);
        format_weight(l.weight, shape[0], sizeof shape[0]);
        if (l.count > 0)
            printf("  %-34s %12s%s%s\n", l.name, count, l.weight ? "   " : "", shape[0]);
    }
    print_phases(m->method[method], m->options[method]);
}

static json_object *method_json(const pairing *p, const cli_methods *m, int method,
                                const sftn_tap_pair *pair, int npairs, int first)
{
    json_object *o = json_object_new_object(), *pairs = json_object_new_array();
    json_object *layers = json_object_new_object();
    layer l;

    json_object_object_add(o, "name", json_object_new_string(m->method[method]->name));
    for (int i = 0; i < npairs; i++) {
        json_object *entry = json_object_new_object();

        json_object_object_add(entry, "student", json_object_new_string(pair[i].student_name));
        json_object_object_add(entry, "student_shape", shape_json(p, pair[i].student));
        json_object_object_add(entry, "teacher", json_object_new_string(pair[i].teacher_name));
        json_object_object_add(entry, "teacher_shape", shape_json(p, pair[i].teacher));
        json_object_array_add(pairs, entry);
    }
    json_object_object_add(o, "pairs", pairs);
    for (int i = first; i < sftn_params_count(p->layers);) {
        i = next_layer(p->layers, i, &l);
        if (l.count > 0)
            json_object_object_add(layers, l.name, json_object_new_int64(l.count));
    }
    json_object_object_add(o, "parameters", layers);
    json_object_object_add(o, "phases", phases_json(m->method[method], m->options[method]));
    return o;
}

static sftn_status show_methods(pairing *p, const cli_methods *m, json_object *list,
                                sftn_error *err)
{
    for (int i = 0; i < m->n; i++) {
        const int first = sftn_params_count(p->layers);
        sftn_tap_pair pair[SFTN_MAX_PAIRS];
        int npairs;
        const sftn_status status = build_method(p, m, i, pair, &npairs, err);

        if (status != SFTN_OK)
            return status;
        if (list)
            json_object_array_add(list, method_json(p, m, i, pair, npairs, first));
        else
            print_method(p, m, i, pair, npairs, first);
    }
    return SFTN_OK;
}

static sftn_status show(const taps_options *o, const cli_methods *m, pairing *p, sftn_error *err)
{
    json_object *all = NULL, *list = NULL;
    sftn_status status;

    if (!o->json) {
        print_taps(p);
        return show_methods(p, m, NULL, err);
    }
    all = json_object_new_object();
    list = json_object_new_array();
    json_object_object_add(all, "student", taps_json(p, 0));
    json_object_object_add(all, "teacher", taps_json(p, 1));
    json_object_object_add(all, "methods", list);
    status = show_methods(p, m, list, err);
    if (status == SFTN_OK)
        printf("%s\n", json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY |
                                                               JSON_C_TO_STRING_SPACED |
                                                               JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(all);
    return status;
}

int cmd_taps(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    taps_options opt;
    cli_methods methods = {0};
    pairing p = {0};
    sftn_error err = {0};
    int code;

    cli_accept(&args, "networks", "", table, &opt);
    if (cli_choose_methods(&args, "kd", &methods, &code) && cli_parse(&args, &code)) {
        if (pairing_new(&opt, &p, &err) != SFTN_OK)
            code = err.status == SFTN_ERR_ARGUMENT ? cli_misuse("%s", err.text) : cli_fail(&err);
        else if (show(&opt, &methods, &p, &err) != SFTN_OK)
            code = cli_fail(&err);
    }
    pairing_free(&p);
    cli_args_free(&args);
    return code;
}
