/* recompute: activations of the forward pass that the backward pass computes again. */
#include "plan/plan.h"
#include "sftn/nn.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { N = 4, C = 16, SIZE = 16, LAYERS = 6 };

typedef struct fixture {
    sftn_graph *g;
    sftn_params *params;
    sftn_plan *plan;
} fixture;

/* LAYERS of convolution, batch norm and ReLU, with residual sums where asked for. */
static fixture fixture_open(sftn_precision precision, int size, bool residual, bool training,
                            const char *const *outputs)
{
    const sftn_plan_options options = {
        .backend = "cpu", .precision = precision, .outputs = outputs};
    fixture f = {.g = sftn_graph_new(), .params = sftn_params_new()};
    const sftn_scope s = {.g = f.g, .params = f.params, .training = training};
    sftn_value x = sftn_graph_input(f.g, "x", (sftn_type){SFTN_SHAPE(N, C, size, size), false});
    sftn_rng rng = sftn_rng_new(3, SFTN_RNG_TEST, 0);
    sftn_error err = {.status = SFTN_OK};
    double *data;

    for (int i = 0; i < LAYERS; i++) {
        char conv[16], norm[16], name[16];
        sftn_value y;

        snprintf(conv, sizeof conv, "conv%d", i);
        snprintf(norm, sizeof norm, "norm%d", i);
        snprintf(name, sizeof name, "layer%d", i);
        y = sftn_nn_conv(&s, conv, x, (sftn_conv){.filters = C, .size = 3});
        y = sftn_nn_batch_norm(&s, norm, y);
        x = sftn_relu(f.g, residual ? sftn_add(f.g, y, x) : y);
        sftn_graph_output(f.g, name, x);
    }
    x = sftn_mean(f.g, sftn_square(f.g, x), SFTN_ALL_AXES);
    sftn_graph_output(f.g, "loss", x);
    if (training)
        CHECK_STATUS(sftn_graph_backward(f.g, x, NULL, NULL), SFTN_OK);
    sftn_params_init(f.params, 1);
    CHECK_OK(sftn_plan_new(f.g, &options, &f.plan, &err), &err);
    data = malloc(sizeof *data * (size_t)(N * C * size * size));
    CHECK(data != NULL);
    for (int i = 0; i < N * C * size * size; i++)
        data[i] = sftn_rng_uniform(&rng) * 2.0 - 1.0;
    CHECK_OK(sftn_plan_write(f.plan, "x", data, &err), &err);
    free(data);
    CHECK_OK(sftn_plan_run(f.plan, &err), &err);
    return f;
}

static void fixture_close(fixture *f)
{
    sftn_plan_free(f->plan);
    sftn_graph_free(f->g);
    sftn_params_free(f->params);
}

static bool same_node(const sftn_node *a, const sftn_node *b)
{
    bool same = a->op == b->op && a->nin == b->nin;

    for (int k = 0; same && k < a->nin; k++)
        same = a->in[k].id == b->in[k].id;
    return same && memcmp(a->attr, b->attr, sizeof(sftn_fused_attr)) == 0;
}

/* How many programs are in the plan twice. */
static int repeated(const sftn_graph *g)
{
    int n = 0;

    for (int i = 0; i < g->nnodes; i++)
        for (int j = 0; g->node[i].op == &sftn_op_fused && j < i; j++)
            n += same_node(&g->node[i], &g->node[j]);
    return n;
}

static const char *const loss_only[] = {"loss", NULL};
static const char *const all_layers[] = {"loss",   "layer0", "layer1", "layer2",
                                         "layer3", "layer4", "layer5", NULL};

TEST(a_rectified_convolution_is_computed_again_for_the_backward_pass)
{
    fixture f = fixture_open(SFTN_FLOAT32, SIZE, false, true, loss_only);

    /* All layers but those at the turn, where there is no gap. */
    CHECK(repeated(f.plan->graph) >= LAYERS - 2);
    fixture_close(&f);
}

/* Layer i needs layer i - 1, which cannot be computed again before it: every other one is kept. */
TEST(of_residual_layers_every_other_one_is_kept)
{
    fixture f = fixture_open(SFTN_FLOAT32, SIZE, true, true, loss_only);
    const int n = repeated(f.plan->graph);

    CHECK(n >= 2 && n <= LAYERS / 2);
    fixture_close(&f);
}

TEST(what_is_asked_for_or_small_or_never_needed_again_is_computed_once)
{
    fixture asked = fixture_open(SFTN_FLOAT32, SIZE, false, true, all_layers);
    fixture small = fixture_open(SFTN_FLOAT32, 8, false, true, loss_only);
    fixture forward = fixture_open(SFTN_FLOAT32, SIZE, true, false, loss_only);

    CHECK_INT(repeated(asked.plan->graph), 0);
    CHECK_INT(repeated(small.plan->graph), 0);
    CHECK_INT(repeated(forward.plan->graph), 0);
    fixture_close(&asked);
    fixture_close(&small);
    fixture_close(&forward);
}

TEST(gradients_have_the_same_bits_and_need_less_memory)
{
    const sftn_precision precision[] = {SFTN_FLOAT32, SFTN_BFLOAT16};

    for (int i = 0; i < 4; i++) {
        fixture kept = fixture_open(precision[i / 2], SIZE, i % 2, true, all_layers);
        fixture again = fixture_open(precision[i / 2], SIZE, i % 2, true, loss_only);
        const sftn_plan_stats k = sftn_plan_get_stats(kept.plan);
        const sftn_plan_stats a = sftn_plan_get_stats(again.plan);

        CHECK_BYTES(sftn_params_grads(again.params), sftn_params_grads(kept.params),
                    (size_t)sftn_params_weight_size(kept.params) * sizeof(float));
        CHECK(a.arena_bytes + a.kept_bytes < k.arena_bytes + k.kept_bytes);
        fixture_close(&kept);
        fixture_close(&again);
    }
}
