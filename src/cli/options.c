/*
 * options.c: the tables for data and machine that most commands share.
 */
#include "cli/cli.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

const sftn_option cli_data_table[] = {
    {"data", SFTN_OPT_STRING, offsetof(cli_data_options, data), 0, 0, 0,
     "data set; 'sftn list data' names them", "NAME", "cifar100",
     .role = SFTN_ROLE_RESOLVED | SFTN_ROLE_SHARED},
    {"data-path", SFTN_OPT_STRING, offsetof(cli_data_options, data_path), 0, 0, 0,
     "directory or archive that holds it, where it is not in its usual place", "PATH", NULL,
     .role = SFTN_ROLE_RESOLVED | SFTN_ROLE_SHARED},
    {"limit", SFTN_OPT_INT64, offsetof(cli_data_options, limit), 0, 0, INFINITY,
     "train on the first N records only; 0 is all", NULL, NULL,
     .role = SFTN_ROLE_RESOLVED | SFTN_ROLE_SHARED},
    {"validation", SFTN_OPT_INT64, offsetof(cli_data_options, validation), 0, 0, INFINITY,
     "hold out N training records to choose the best epoch by", NULL, NULL,
     .role = SFTN_ROLE_RESOLVED | SFTN_ROLE_SHARED},
    {"data-seed", SFTN_OPT_INT64, offsetof(cli_data_options, data_seed), 1, 0, INFINITY,
     "chooses the held-out records and draws the built-in set; the same for runs that are compared",
     NULL, NULL, .role = SFTN_ROLE_RESOLVED | SFTN_ROLE_SHARED},
    {"cache", SFTN_OPT_BOOL, offsetof(cli_data_options, cache), 1, 0, 1,
     "keep the decoded data set in a file for the next time", NULL, NULL,
     .role = SFTN_ROLE_NO_BITS},
    SFTN_OPTION_END,
};

const sftn_option cli_machine_table[] = {
    {"precision", SFTN_OPT_CHOICE, offsetof(cli_machine_options, precision), 0, 0, 1,
     "of activations and their gradients; weights, statistics and losses are always float32",
     "float32|bfloat16", NULL, .role = SFTN_ROLE_SHARED},
    {"winograd", SFTN_OPT_BOOL, offsetof(cli_machine_options, winograd), 1, 0, 1,
     "3x3 convolutions by Winograd's algorithm where it is the faster: rounds bfloat16 to half a "
     "percent of a result's norm",
     NULL, NULL, .role = SFTN_ROLE_SHARED},
    {"backend", SFTN_OPT_STRING, offsetof(cli_machine_options, backend), 0, 0, 0,
     "'sftn list backends' names them", "NAME", "cpu",
     .role = SFTN_ROLE_RESOLVED | SFTN_ROLE_SHARED},
    {"threads", SFTN_OPT_INT, offsetof(cli_machine_options, threads), 0, 0, 1024,
     "threads that compute; 0 is one for each core.  Sums are divided among them: another number "
     "gives other bits",
     NULL, NULL, .role = SFTN_ROLE_RESOLVED | SFTN_ROLE_SHARED},
    SFTN_OPTION_END,
};

bool cli_open_data(const cli_data_options *o, sftn_dataset **d, int *code)
{
    const sftn_data_options options = {
        .name = o->data,
        .path = o->data_path,
        .limit = o->limit,
        .validation = o->validation,
        .seed = (uint64_t)o->data_seed,
        .no_cache = !o->cache,
    };
    sftn_data_entry entry;
    sftn_error err = {0};

    *d = NULL;
    *code = CLI_DONE;
    if (sftn_data_find(o->data, &entry, &err) != SFTN_OK)
        *code = cli_misuse("%s", err.text);
    else if (sftn_dataset_open(&options, d, &err) != SFTN_OK)
        *code = cli_fail(&err);
    return *code == CLI_DONE;
}

sftn_status cli_check_backend(const char *name, sftn_error *err)
{
    const char *names[16] = {NULL};

    for (int i = 0; i < CLI_COUNT(names) - 1 && (names[i] = sftn_backend_list(i)) != NULL; i++)
        ;
    return sftn_find_name("backend", name, names, "'sftn list backends' names them", err) < 0
               ? SFTN_ERR_ARGUMENT
               : SFTN_OK;
}

sftn_status cli_plan_options(const cli_machine_options *o, sftn_plan_options *plan, sftn_error *err)
{
    const sftn_status status = cli_check_backend(o->backend, err);

    if (status != SFTN_OK)
        return status;
    sftn_set_threads(o->threads);
    *plan = (sftn_plan_options){.backend = o->backend, .precision = (sftn_precision)o->precision,
                                .no_winograd = !o->winograd};
    return SFTN_OK;
}

void cli_run_file(const char *path, const char *name, char *buf, size_t size)
{
    struct stat st;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        snprintf(buf, size, "%s/%s.safetensors", path, name);
    else
        snprintf(buf, size, "%s", path);
}

void cli_model_file(const char *path, char *buf, size_t size)
{
    cli_run_file(path, "model", buf, size);
}

int64_t cli_model_size(const sftn_model *model, int classes, int channels, int image_size)
{
    sftn_graph *g = sftn_graph_new();
    sftn_params *params = sftn_params_new();
    int64_t size = -1;

    if (g && params) {
        const sftn_scope scope = {.g = g, .params = params};
        const sftn_shape shape = SFTN_SHAPE(1, channels, image_size, image_size);
        const sftn_value image = sftn_graph_input(g, "image", (sftn_type){.shape = shape});

        sftn_model_build(model, &scope, image, classes, 0);
        if (sftn_graph_status(g, NULL) == SFTN_OK)
            size = sftn_params_trainable(params);
    }
    sftn_graph_free(g);
    sftn_params_free(params);
    return size;
}
