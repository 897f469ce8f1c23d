/* model: counts, names, shapes and taps of every network, against the published tables. */
#include "graph/op.h"
#include "net.h"
#include "sftn/model.h"
#include "sftn/tensors.h"
#include "test.h"

#include <dirent.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sftn_model find(const char *name)
{
    sftn_model model;
    sftn_error err = {.status = SFTN_OK};

    CHECK_OK(sftn_model_find(name, &model, &err), &err);
    return model;
}

/* The network in n's graph from a 32x32 image, or from a feature of stage from_stage. */
static sftn_taps build(const net *n, const sftn_model *model, int classes, int from_stage,
                       bool training)
{
    const sftn_scope s = net_scope(n, training);
    const sftn_shape image = SFTN_SHAPE(2, 3, 32, 32);
    const sftn_type type = {
        from_stage ? sftn_model_feature_shape(model, image, from_stage) : image, false};
    sftn_error err = {.status = SFTN_OK};
    const sftn_taps taps =
        sftn_model_build(model, &s, sftn_graph_input(n->g, "x", type), classes, from_stage);

    CHECK_OK(sftn_graph_status(n->g, &err), &err);
    return taps;
}

static void check_counts(const char *name, int classes, int64_t parameters, int entries)
{
    const sftn_model model = find(name);
    net n = net_new();

    build(&n, &model, classes, 0, true);
    if (sftn_params_trainable(n.params) != parameters ||
        (entries && sftn_params_count(n.params) != entries))
        test_fail(__FILE__, __LINE__, "%s: %lld parameters in %d entries, expected %lld in %d",
                  name, (long long)sftn_params_trainable(n.params), sftn_params_count(n.params),
                  (long long)parameters, entries);
    net_free(&n);
}

TEST(parameters_and_entries_are_as_published)
{
    static const struct {
        const char *name;
        int64_t parameters;
        int entries;
    } zoo[] = {
        {"resnet8", 83892, 56},        {"resnet14", 181108, 92},    {"resnet20", 278324, 128},
        {"resnet32", 472756, 200},     {"resnet44", 667188, 272},   {"resnet56", 861620, 344},
        {"resnet110", 1736564, 668},   {"resnet8x4", 1233540, 62},  {"resnet32x4", 7433860, 206},
        {"resnet8x2", 315764, 0},      {"resnet8x2_wide", 320260, 0},
        {"wrn_16_1", 180916, 82},      {"wrn_16_2", 703284, 83},    {"wrn_40_1", 569780, 226},
        {"wrn_40_2", 2255156, 227},
    };

    for (size_t i = 0; i < SFTN_COUNT(zoo); i++)
        check_counts(zoo[i].name, 100, zoo[i].parameters, zoo[i].entries);
}

TEST(ten_classes_only_shrink_the_last_layer)
{
    check_counts("resnet20", 10, 272474, 128);
    check_counts("resnet8x4", 10, 1210410, 62);
    check_counts("wrn_16_2", 10, 691674, 83);
}

/* ---- names ---- */

static void check_entry(const sftn_param *p, const char *key, json_object *dims)
{
    const int rank = (int)json_object_array_length(dims);

    if (strcmp(p->name, key) != 0)
        test_fail(__FILE__, __LINE__, "entry %s comes where %s is expected", p->name, key);
    CHECK_INT(p->rank, rank);
    for (int i = 0; i < rank; i++) {
        const int dim = rank == 1 ? SFTN_C : i;
        json_object *size = json_object_array_get_idx(dims, (size_t)i);

        CHECK_INT(p->shape.dim[dim], json_object_get_int64(size));
    }
}

/* Every key in the file's order; counters, which it does not list, are passed over. */
static void check_keys(const char *path)
{
    sftn_tensors *t = NULL;
    sftn_error err = {.status = SFTN_OK};
    sftn_model model;
    int i = 0;

    CHECK_OK(sftn_tensors_open(path, &t, &err), &err);
    if (sftn_model_find(sftn_tensors_meta(t, "model"), &model, NULL) == SFTN_OK) {
        json_object *keys = json_tokener_parse(sftn_tensors_meta(t, "state_dict"));
        net n = net_new();

        build(&n, &model, atoi(sftn_tensors_meta(t, "classes")), 0, true);
        json_object_object_foreach(keys, key, dims)
        {
            while (i < sftn_params_count(n.params) &&
                   sftn_params_get(n.params, i)->kind == SFTN_PARAM_COUNTER)
                i++;
            CHECK(i < sftn_params_count(n.params));
            check_entry(sftn_params_get(n.params, i++), key, dims);
        }
        for (; i < sftn_params_count(n.params); i++)
            CHECK_INT(sftn_params_get(n.params, i)->kind, SFTN_PARAM_COUNTER);
        net_free(&n);
        json_object_put(keys);
    }
    sftn_tensors_close(t);
}

/* How many networks the directory has. */
static int check_networks(const char *golden)
{
    char dir[512], path[1024];
    struct dirent *e;
    int n = 0;
    DIR *d;

    snprintf(dir, sizeof dir, "%s/model", golden);
    d = opendir(dir);
    while (d && (e = readdir(d)))
        if (strstr(e->d_name, ".safetensors")) {
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
            check_keys(path);
            n++;
        }
    if (d)
        closedir(d);
    return n;
}

TEST(keys_and_shapes_follow_the_reference_in_order)
{
    const char *dir;
    int n = 0;

    for (int i = 0; (dir = test_golden_dir(i)); i++)
        n += check_networks(dir);
    CHECK(n >= 3);
}

TEST(batch_norm_has_five_entries_in_pytorchs_order)
{
    static const char *const names[] = {"conv1.weight", "bn1.weight", "bn1.bias",
                                        "bn1.running_mean", "bn1.running_var",
                                        "bn1.num_batches_tracked", "layer1.0.conv1.weight"};
    const sftn_model model = find("resnet8");
    net n = net_new();

    build(&n, &model, 10, 0, false);
    for (int i = 0; i < (int)SFTN_COUNT(names); i++)
        CHECK_TEXT(sftn_params_get(n.params, i)->name, names[i]);
    CHECK_INT(sftn_params_get(n.params, 5)->kind, SFTN_PARAM_COUNTER);
    CHECK_INT(sftn_params_get(n.params, 5)->rank, 0);
    net_free(&n);
}

/* ---- taps ---- */

static void check_shape(const net *n, sftn_value v, sftn_shape expected)
{
    const sftn_shape found = sftn_value_shape(n->g, v);
    char a[64], b[64];

    sftn_shape_format(&found, a, sizeof a);
    sftn_shape_format(&expected, b, sizeof b);
    CHECK(!sftn_is_none(v));
    CHECK_TEXT(a, b);
}

TEST(features_have_the_announced_shapes)
{
    sftn_model model;

    for (int i = 0; sftn_model_list(i, &model); i++) {
        const sftn_shape image = SFTN_SHAPE(2, 3, 32, 32);
        net n = net_new();
        const sftn_taps taps = build(&n, &model, 10, 0, false);

        CHECK_INT(taps.nstages, 3);
        check_shape(&n, taps.stem.feature, sftn_model_feature_shape(&model, image, 0));
        for (int s = 1; s <= 3; s++) {
            const sftn_shape shape = sftn_model_feature_shape(&model, image, s);

            CHECK_INT(shape.dim[SFTN_H], 32 >> (s - 1));
            check_shape(&n, taps.stage[s - 1].feature, shape);
            check_shape(&n, taps.stage[s - 1].preact, shape);
        }
        check_shape(&n, taps.pooled, SFTN_SHAPE(2, model.channels[3], 1, 1));
        check_shape(&n, taps.logits, SFTN_SHAPE(2, 10, 1, 1));
        CHECK(sftn_value_type(n.g, taps.logits).wide);
        net_free(&n);
    }
}

TEST(odd_images_round_up_at_every_stride)
{
    const sftn_model model = find("wrn_16_1");
    const sftn_shape image = SFTN_SHAPE(1, 1, 29, 27);
    net n = net_new();
    const sftn_scope s = net_scope(&n, false);
    const sftn_taps taps = sftn_model_build(
        &model, &s, sftn_graph_input(n.g, "x", (sftn_type){image, false}), 10, 0);

    for (int i = 0; i < 3; i++)
        check_shape(&n, taps.stage[i].feature, sftn_model_feature_shape(&model, image, i + 1));
    CHECK_INT(sftn_value_shape(n.g, taps.stage[2].feature).dim[SFTN_H], 8);
    net_free(&n);
}

static int count_nodes(const net *n, const char *op)
{
    int count = 0;

    for (int i = 0; i < n->g->nnodes; i++)
        count += strcmp(n->g->node[i].op->name, op) == 0;
    return count;
}

/* The node that makes v is that op, and reads `from`. */
static void check_made(const net *n, sftn_value v, const char *op, sftn_value from)
{
    const sftn_node *node = sftn_value_node(n->g, v);

    CHECK_TEXT(node->op->name, op);
    CHECK_INT(node->in[0].id, from.id);
}

TEST(wide_resnet_preacts_are_the_next_stages_own_nodes)
{
    const sftn_model model = find("wrn_16_2");
    net n = net_new();
    const sftn_taps taps = build(&n, &model, 10, 0, false);

    for (int i = 0; i < 3; i++)
        check_made(&n, taps.stage[i].preact, "batch_norm", taps.stage[i].feature);
    CHECK_INT(count_nodes(&n, "batch_norm"), 13); /* two a block and the last */
    net_free(&n);
}

TEST(resnet_features_are_their_preacts_after_relu)
{
    const sftn_model model = find("resnet8x4");
    net n = net_new();
    const sftn_taps taps = build(&n, &model, 10, 0, false);

    check_made(&n, taps.stem.feature, "relu", taps.stem.preact);
    for (int i = 0; i < 3; i++)
        check_made(&n, taps.stage[i].feature, "relu", taps.stage[i].preact);
    net_free(&n);
}

/* The scale of a tap's batch norm is this parameter, and its offset comes with it. */
static void check_norm(const net *n, const sftn_affine *norm, const char *scale)
{
    CHECK_TEXT(sftn_value_leaf(n->g, norm->scale)->name, scale);
    CHECK_CONTAINS(sftn_value_leaf(n->g, norm->offset)->name, ".bias");
}

TEST(preacts_come_with_their_last_batch_norm)
{
    const sftn_model resnet = find("resnet20"), wrn = find("wrn_16_2");
    net n = net_new(), m = net_new();
    const sftn_taps r = build(&n, &resnet, 10, 0, true), w = build(&m, &wrn, 10, 0, true);

    check_norm(&n, &r.stem.norm, "bn1.weight");
    check_norm(&n, &r.stage[0].norm, "layer1.2.bn2.weight");
    check_norm(&n, &r.stage[2].norm, "layer3.2.bn2.weight");
    check_norm(&m, &w.stage[0].norm, "block2.layer.0.bn1.weight");
    check_norm(&m, &w.stage[2].norm, "bn1.weight");
    CHECK(sftn_is_none(w.stem.norm.scale));
    net_free(&n);
    net_free(&m);
}

static void check_entered(const char *name, int stage, int convolutions, const char *first)
{
    const sftn_model model = find(name);
    net n = net_new();
    const sftn_taps taps = build(&n, &model, 10, stage, true);

    CHECK_INT(count_nodes(&n, "conv2d"), convolutions);
    CHECK_TEXT(sftn_params_get(n.params, 0)->name, first);
    CHECK(sftn_is_none(taps.stem.feature));
    for (int i = 0; i < 3; i++) {
        CHECK(sftn_is_none(taps.stage[i].feature) == (i < stage));
        CHECK(sftn_is_none(taps.stage[i].preact) == (i < stage));
    }
    check_shape(&n, taps.logits, SFTN_SHAPE(2, 10, 1, 1));
    net_free(&n);
}

TEST(a_network_entered_after_a_stage_is_only_the_rest)
{
    check_entered("resnet8", 1, 6, "layer2.0.conv1.weight");
    check_entered("resnet8", 2, 3, "layer3.0.conv1.weight");
    check_entered("resnet8", 3, 0, "fc.weight");
    check_entered("wrn_16_1", 1, 10, "block2.layer.0.bn1.weight");
    check_entered("wrn_16_1", 2, 5, "block3.layer.0.bn1.weight");
    check_entered("wrn_16_1", 3, 0, "bn1.weight");
}

/* ---- finding ---- */

TEST(any_wide_resnet_is_found_by_its_rule)
{
    const sftn_model model = find("wrn_22_8");

    CHECK_TEXT(model.name, "wrn_22_8");
    CHECK_INT(model.depth, 22);
    CHECK_INT(model.channels[3], 512);
    CHECK(model.preactivated);
    check_counts("wrn_10_1", 100, 83700, 0);
}

TEST(unknown_names_get_the_nearest_suggested)
{
    static const char *const wrong[] = {"wrn_17_2", "wrn_16_0", "wrn_016_2", "wrn_16_2x", "wrn_16"};
    sftn_model model;
    sftn_error err;

    CHECK_FAILS(sftn_model_find("resnet21", &model, &err), SFTN_ERR_ARGUMENT, &err,
                "did you mean \"resnet20\"?");
    CHECK_FAILS(sftn_model_find("quite another", &model, &err), SFTN_ERR_ARGUMENT, &err,
                "wrn_d_k");
    for (size_t i = 0; i < SFTN_COUNT(wrong); i++)
        CHECK_STATUS(sftn_model_find(wrong[i], &model, NULL), SFTN_ERR_ARGUMENT);
}

TEST(wrong_entries_are_named)
{
    const sftn_model model = find("resnet20");
    net n = net_new();
    const sftn_scope s = net_scope(&n, true);
    sftn_error err;

    sftn_model_build(&model, &s, net_input(&n, "x", 1, 32, 16, 16), 10, 1);
    CHECK_FAILS(sftn_graph_status(n.g, &err), SFTN_ERR_ARGUMENT, &err,
                "input has 32 channels, expected 16");
    net_free(&n);
}
