/* predict: the most probable classes of image files. */
#include "cli/cli.h"

#include <json-c/json.h>
#include <stdlib.h>

typedef struct predict_options {
    int top;
    bool json;
} predict_options;

static const sftn_option table[] = {
    {"top", SFTN_OPT_INT, offsetof(predict_options, top), 5, 1, 1000,
     "classes shown for each image", NULL, NULL},
    {"json", SFTN_OPT_BOOL, offsetof(predict_options, json), 0, 0, 1,
     "print one JSON object a line and image", NULL, NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "MODEL_FILE|RUN IMAGE... [options]",
    .text = "Classifies PNG and JPEG files.  An image is cut to its centre square where its shape\n"
            "is not the network's, and scaled to the size that the network was trained on.",
    .min_files = 2,
    .max_files = -1,
};

/* The most probable class that is not yet taken (its probability made negative). */
static int take_best(float *probability, int classes, float *p)
{
    int best = 0;

    for (int i = 1; i < classes; i++)
        if (probability[i] > probability[best])
            best = i;
    *p = probability[best];
    probability[best] = -1.0f;
    return best;
}

static void class_name(const sftn_network *net, int i, char *buf, size_t size)
{
    if (net->class_names && net->class_names[i])
        snprintf(buf, size, "%s", net->class_names[i]);
    else
        snprintf(buf, size, "class %d", i);
}

static void print_image(const sftn_network *net, const predict_options *opt, const char *file,
                        float *probability)
{
    const int top = opt->top < net->classes ? opt->top : net->classes;
    json_object *list = opt->json ? json_object_new_array() : NULL;
    char name[128];

    if (!opt->json)
        printf("%s\n", file);
    for (int k = 0; k < top; k++) {
        float p;

        class_name(net, take_best(probability, net->classes, &p), name, sizeof name);
        if (opt->json) {
            json_object *entry = json_object_new_object();

            json_object_object_add(entry, "class", json_object_new_string(name));
            cli_add_number(entry, "probability", (double)p);
            json_object_array_add(list, entry);
        } else {
            printf("  %6.2f %%  %s\n", 100.0 * (double)p, name);
        }
    }
    if (opt->json) {
        json_object *o = json_object_new_object();

        json_object_object_add(o, "image", json_object_new_string(file));
        json_object_object_add(o, "classes", list);
        printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
                                                             JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(o);
    }
}

static sftn_status predict(const sftn_network *net, const predict_options *opt,
                           const sftn_plan_options *plan, const char *file, sftn_error *err)
{
    const size_t size = (size_t)net->image_size;
    uint8_t *pixels = malloc((size_t)net->channels * size * size);
    float *probability = malloc((size_t)net->classes * sizeof *probability);
    sftn_status status;

    if (pixels && probability)
        status =
            sftn_image_read(file, net->channels, net->image_size, net->image_size, pixels, err);
    else
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    if (status == SFTN_OK)
        status = sftn_predict(net, pixels, plan, probability, err);
    if (status == SFTN_OK)
        print_image(net, opt, file, probability);
    free(pixels);
    free(probability);
    return status;
}

/* A file that cannot be read does not keep the others from being shown. */
static int predict_all(const cli_args *args, const predict_options *opt,
                       const sftn_plan_options *plan)
{
    char file[640];
    sftn_network net = {0};
    sftn_error err = {0};
    int code = CLI_DONE;

    cli_model_file(args->file[0], file, sizeof file);
    if (sftn_network_load(file, &net, &err) != SFTN_OK)
        return cli_fail(&err);
    for (int i = 1; i < args->nfiles; i++)
        if (predict(&net, opt, plan, args->file[i], &err) != SFTN_OK)
            code = cli_fail(&err);
    sftn_network_free(&net);
    return code;
}

int cmd_predict(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    predict_options opt;
    cli_machine_options machine;
    sftn_plan_options plan;
    sftn_error err = {0};
    int code;

    cli_accept(&args, "output", "", table, &opt);
    cli_accept(&args, "machine", "", cli_machine_table, &machine);
    if (cli_parse(&args, &code)) {
        if (cli_plan_options(&machine, &plan, &err) != SFTN_OK)
            code = cli_misuse("%s", err.text);
        else
            code = predict_all(&args, &opt, &plan);
    }
    cli_args_free(&args);
    return code;
}
