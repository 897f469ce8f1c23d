/* graph: leaves, sinks, errors, scopes, pruning, dumps, and a shortage of memory. */
#include "graph/op.h"
#include "sftn/plan.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const sftn_type image = {{{2, 3, 4, 4}}, false};

static int add_param(sftn_params *p, const char *name)
{
    const sftn_param spec = {.shape = SFTN_SHAPE(1, 3, 1, 1), .rank = 1};

    return sftn_params_add(p, name, &spec, NULL);
}

TEST(asking_twice_for_a_parameter_gives_one_leaf)
{
    sftn_params *p = sftn_params_new();
    sftn_graph *g = sftn_graph_new();
    const int a = add_param(p, "a"), b = add_param(p, "b");
    const sftn_value first = sftn_graph_param(g, p, a, false);
    sftn_error err = {.status = SFTN_OK};

    CHECK_INT(sftn_graph_param(g, p, a, false).id, first.id);
    CHECK(sftn_graph_param(g, p, b, false).id != first.id);
    CHECK_INT(g->nnodes, 2);
    CHECK(sftn_is_none(sftn_graph_param(g, p, a, true)));
    CHECK_FAILS(sftn_graph_status(g, &err), SFTN_ERR_ARGUMENT, &err,
                "parameter a is used both frozen and not frozen");
    sftn_graph_free(g);
    sftn_params_free(p);
}

TEST(equal_constants_are_one_leaf)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value one = sftn_graph_constant(g, image, 1.0f);

    CHECK_INT(sftn_graph_constant(g, image, 1.0f).id, one.id);
    CHECK(sftn_graph_constant(g, image, 2.0f).id != one.id);
    CHECK(sftn_graph_constant(g, (sftn_type){image.shape, true}, 1.0f).id != one.id);
    sftn_graph_free(g);
}

TEST(the_first_error_is_kept_with_its_scope)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = sftn_graph_input(g, "x", image);
    sftn_error err = {.status = SFTN_OK};
    sftn_value bad;
    int nodes;

    sftn_graph_set_scope(g, "teacher.layer1.0");
    bad = sftn_reshape(g, x, SFTN_SHAPE(1, 1, 1, 5));
    CHECK(sftn_is_none(bad));
    nodes = g->nnodes;
    sftn_graph_set_scope(g, "elsewhere");
    CHECK(sftn_is_none(sftn_relu(g, bad)));
    CHECK(sftn_is_none(sftn_graph_fail(g, "a later error")));
    CHECK_INT(g->nnodes, nodes);
    CHECK_INT(sftn_value_shape(g, bad).dim[0], 1);
    CHECK_FAILS(sftn_graph_status(g, &err), SFTN_ERR_ARGUMENT, &err,
                "teacher.layer1.0: reshape: shape [2,3,4,4] has 96 elements");
    sftn_graph_free(g);
}

TEST(names_of_inputs_and_outputs_are_unique)
{
    sftn_error err = {.status = SFTN_OK};
    sftn_graph *g = sftn_graph_new();

    sftn_graph_input(g, "x", image);
    sftn_graph_input(g, "x", image);
    CHECK_FAILS(sftn_graph_status(g, &err), SFTN_ERR_ARGUMENT, &err,
                "already an input called \"x\"");
    sftn_graph_free(g);
    g = sftn_graph_new();
    sftn_graph_output(g, "y", sftn_graph_input(g, "x", image));
    sftn_graph_output(g, "y", sftn_graph_constant(g, image, 0.0f));
    CHECK_FAILS(sftn_graph_status(g, &err), SFTN_ERR_ARGUMENT, &err,
                "already an output called \"y\"");
    sftn_graph_free(g);
}

TEST(sinks_without_or_with_another_value_are_refused)
{
    sftn_params *p = sftn_params_new();
    const int a = add_param(p, "bn.weight");
    sftn_error err = {.status = SFTN_OK};
    sftn_graph *g = sftn_graph_new();

    sftn_graph_output(g, "logits", SFTN_NONE);
    CHECK_FAILS(sftn_graph_status(g, &err), SFTN_ERR_ARGUMENT, &err,
                "output \"logits\" has no value");
    sftn_graph_free(g);
    g = sftn_graph_new();
    sftn_graph_grad(g, p, a, sftn_graph_input(g, "x", image));
    CHECK_FAILS(sftn_graph_status(g, &err), SFTN_ERR_ARGUMENT, &err,
                "gradient of bn.weight has shape [2,3,4,4], the parameter [1,3,1,1]");
    sftn_graph_free(g);
    g = sftn_graph_new();
    sftn_graph_update(g, p, 7, sftn_graph_input(g, "x", image));
    CHECK_FAILS(sftn_graph_status(g, &err), SFTN_ERR_ARGUMENT, &err, "parameter index 7");
    sftn_graph_free(g);
    sftn_params_free(p);
}

TEST(what_changes_nothing_appends_no_node)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_value x = sftn_graph_input(g, "x", image), detached = sftn_detach(g, x);

    CHECK_INT(sftn_cast(g, x, false).id, x.id);
    CHECK_INT(sftn_expand(g, x, image.shape).id, x.id);
    CHECK_INT(sftn_reshape(g, x, image.shape).id, x.id);
    CHECK_INT(sftn_sum_to(g, x, image.shape).id, x.id);
    CHECK_INT(sftn_scale(g, x, 1.0f).id, x.id);
    CHECK_INT(sftn_slice(g, x, SFTN_C, 0, 3).id, x.id);
    CHECK_INT(sftn_pad(g, x, SFTN_C, 0, 0).id, x.id);
    CHECK_INT(sftn_detach(g, detached).id, detached.id);
    sftn_graph_free(g);
}

TEST(a_later_update_of_an_entry_replaces_the_earlier_one)
{
    sftn_params *p = sftn_params_new();
    const int a = add_param(p, "bn.running_mean");
    sftn_error err = {.status = SFTN_OK};
    sftn_graph *g = sftn_graph_new();
    const sftn_value old = sftn_graph_param(g, p, a, false), next = sftn_shift(g, old, 1.0f);

    sftn_graph_update(g, p, a, old);
    sftn_graph_update(g, p, a, next);
    CHECK_STATUS(sftn_graph_status(g, NULL), SFTN_OK);
    CHECK_INT(g->nsinks, 1);
    CHECK_INT(g->sink[0].value.id, next.id);
    sftn_graph_grad(g, p, a, old);
    sftn_graph_grad(g, p, a, old);
    CHECK_FAILS(sftn_graph_status(g, &err), SFTN_ERR_ARGUMENT, &err,
                "gradient of bn.running_mean is delivered twice");
    sftn_graph_free(g);
    sftn_params_free(p);
}

/* A graph with a dead branch, a detached one and two sinks. */
static sftn_graph *build(sftn_params *p, int a)
{
    sftn_graph *g = sftn_graph_new();
    sftn_value x, unused, w, y;

    if (!g)
        return NULL;
    x = sftn_graph_input(g, "x", image);
    unused = sftn_graph_input(g, "unused", image);
    w = sftn_graph_param(g, p, a, false);
    sftn_graph_set_scope(g, "layer1");
    sftn_exp(g, sftn_add(g, x, unused));
    y = sftn_mul(g, sftn_detach(g, x), w);
    sftn_graph_set_scope(g, "");
    sftn_graph_output(g, "y", y);
    sftn_graph_grad(g, p, a, sftn_sum(g, y, SFTN_AXES_NHW));
    return g;
}

TEST(pruning_keeps_what_leads_to_a_sink)
{
    sftn_params *p = sftn_params_new();
    sftn_graph *g = build(p, add_param(p, "w")), *pruned;
    bool has_input = false;

    CHECK_STATUS(sftn_graph_status(g, NULL), SFTN_OK);
    pruned = sftn_graph_prune(g);
    CHECK_STATUS(sftn_graph_status(pruned, NULL), SFTN_OK);
    CHECK_INT(pruned->nsinks, 2);
    CHECK_INT(pruned->nnodes, 4); /* x, w, mul, sum */
    for (int i = 0; i < pruned->nnodes; i++) {
        const sftn_node *n = &pruned->node[i];
        const sftn_leaf *leaf = sftn_value_leaf(pruned, n->out[0]);

        has_input = has_input || (leaf && strcmp(leaf->name, "x") == 0);
        CHECK(!leaf || strcmp(leaf->name, "unused") != 0);
        if (strcmp(n->op->name, "mul") == 0)
            CHECK_TEXT(n->scope, "layer1");
    }
    CHECK(has_input);
    sftn_graph_free(g);
    sftn_graph_free(pruned);
    sftn_params_free(p);
}

TEST(a_dump_has_one_line_a_node_and_a_sink)
{
    sftn_params *p = sftn_params_new();
    sftn_graph *g = build(p, add_param(p, "bn1.weight"));
    char *text = NULL;
    size_t size, lines = 0;
    FILE *out = open_memstream(&text, &size);

    sftn_graph_dump(g, out);
    fclose(out);
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    CHECK_INT(lines, g->nnodes + g->nsinks);
    CHECK_CONTAINS(text, "%1 [2,3,4,4] = input x\n");
    CHECK_CONTAINS(text, "%3 [1,3,1,1]w = param bn1.weight\n");
    CHECK_CONTAINS(text, "%7 [2,3,4,4]w = mul(%6, %3)    layer1\n");
    CHECK_CONTAINS(text, "%8 [1,3,1,1]w = sum(%7) over NHW\n");
    CHECK_CONTAINS(text, "output y = %7\n");
    CHECK_CONTAINS(text, "gradient bn1.weight = %8\n");
    free(text);
    sftn_graph_free(g);
    sftn_params_free(p);
}

TEST(a_shortage_of_memory_is_an_error_of_the_graph)
{
    sftn_params *p = sftn_params_new();
    const int a = add_param(p, "w");
    long n = 0;

    for (bool done = false; !done;) {
        sftn_graph *g, *pruned;

        test_fail_allocation(++n);
        g = build(p, a);
        pruned = g ? sftn_graph_prune(g) : NULL;
        done = test_allocations() < n;
        test_fail_allocation(0);
        if (!done && g && pruned && sftn_graph_status(g, NULL) == SFTN_OK)
            CHECK_STATUS(sftn_graph_status(pruned, NULL), SFTN_ERR_MEMORY);
        if (!done && g && sftn_graph_status(g, NULL) != SFTN_OK)
            CHECK_STATUS(sftn_graph_status(g, NULL), SFTN_ERR_MEMORY);
        sftn_graph_free(g);
        sftn_graph_free(pruned);
    }
    CHECK(n > 5);
    sftn_params_free(p);
}
