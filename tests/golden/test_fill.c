/* fill: the rule that makes weights and inputs of reference files from names; directories. */
#include "base/base.h"
#include "sftn/model.h"
#include "sftn/tensors.h"
#include "sftn/verify.h"
#include "test.h"

#include <math.h>
#include <string.h>

TEST(elements_follow_from_the_name)
{
    float a[3], b[3];

    sftn_verify_fill("", 0.0, 1.0, 0.0, a, 3);
    /* SplitMix64 from state FNV-1a("") = 0xcbf29ce484222325 */
    uint64_t x = UINT64_C(0xcbf29ce484222325) + UINT64_C(0x9E3779B97F4A7C15);

    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    x ^= x >> 31;
    CHECK_NEAR(a[0], (double)(x >> 40) / 16777216.0, 0.0);
    sftn_verify_fill("", 1.0, 0.0, 2.0, b, 3);
    CHECK_NEAR(b[2], 1.0 + 2.0 * (2.0 * (double)a[2] - 1.0), 1e-6);
}

TEST(statistics_weights_and_biases_have_their_ranges)
{
    sftn_graph *g = sftn_graph_new();
    sftn_params *p = sftn_params_new();
    const sftn_scope s = {.g = g, .params = p};
    sftn_model model;
    const float *v;
    float least = 2.0f, most = 0.0f;

    CHECK_STATUS(sftn_model_find("resnet8", &model, NULL), SFTN_OK);
    sftn_model_build(&model, &s,
                     sftn_graph_input(g, "x", (sftn_type){SFTN_SHAPE(1, 3, 32, 32), false}), 100,
                     0);
    sftn_verify_fill_params(p);
    v = sftn_params_value(p, sftn_params_find(p, "layer3.0.bn1.running_var"));
    for (int i = 0; i < 64; i++) {
        least = fminf(least, v[i]);
        most = fmaxf(most, v[i]);
    }
    CHECK(least >= 1.0f && least < 1.05f && most > 1.45f && most < 1.5f);
    v = sftn_params_value(p, sftn_params_find(p, "conv1.weight"));
    for (int i = 0; i < 432; i++)
        CHECK(fabs((double)v[i]) <= sqrt(6.0 / 27.0));
    v = sftn_params_value(p, sftn_params_find(p, "bn1.weight"));
    CHECK(fabs((double)v[0] - 1.0) <= 0.1);
    v = sftn_params_value(p, sftn_params_find(p, "fc.bias"));
    CHECK(fabs((double)v[0]) <= 0.1);
    sftn_graph_free(g);
    sftn_params_free(p);
}

static void count_rows(void *ctx, const sftn_verify_row *row)
{
    int *rows = ctx;

    CHECK(row->missing);
    ++*rows;
}

TEST(a_directory_without_reference_files_is_an_error)
{
    sftn_error err;
    int rows = 0;

    CHECK_FAILS(sftn_verify_dir(test_temp_path("nothing"), &(const sftn_plan_options){0},
                                count_rows, &rows, &err),
                SFTN_ERR_FILE, &err, "no reference files");
    CHECK_INT(rows, 0);
}

static sftn_status write_reference(const char *path, const char *model)
{
    sftn_tensors *t = sftn_tensors_new();
    sftn_status status = sftn_tensors_set_meta(t, "model", model, NULL);

    if (status == SFTN_OK)
        status = sftn_tensors_save(t, path, NULL);
    sftn_tensors_close(t);
    return status;
}

TEST(an_unknown_network_is_reported_as_missing)
{
    char dir[512];
    sftn_error err = {.status = SFTN_OK};
    int rows = 0;

    strcpy(dir, test_temp_path("references"));
    CHECK_OK(sftn_make_dirs(test_temp_path("references/model"), &err), &err);
    CHECK_STATUS(write_reference(test_temp_path("references/model/a.safetensors"), "alexnet"),
                 SFTN_OK);
    CHECK_OK(sftn_verify_dir(dir, &(const sftn_plan_options){.backend = "ref"}, count_rows, &rows,
                             &err), &err);
    CHECK_INT(rows, 1);
}

TEST(a_reference_without_its_numbers_is_named)
{
    char dir[512];
    sftn_error err = {.status = SFTN_OK};
    int rows = 0;

    strcpy(dir, test_temp_path("damaged"));
    CHECK_OK(sftn_make_dirs(test_temp_path("damaged/model"), &err), &err);
    CHECK_STATUS(write_reference(test_temp_path("damaged/model/b.safetensors"), "resnet8"),
                 SFTN_OK);
    CHECK_FAILS(sftn_verify_dir(dir, &(const sftn_plan_options){.backend = "ref"}, count_rows,
                                &rows, &err),
                SFTN_ERR_FORMAT, &err, "b.safetensors");
    CHECK_CONTAINS(err.text, "batch");
}
