/*
 * guide: a frozen computation beside the steps of one or many jobs.
 *
 * The guide publishes all that it has; which of it is delivered is decided by what the pruned
 * graphs of the steps still read.  A value's bits do not depend on that choice (plan.h), so a job
 * learns from the same bits alone and beside others.
 */
#include "train/guide.h"

#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

static const sftn_leaf *input_leaf(const sftn_node *n)
{
    const sftn_leaf *leaf = n->attr;

    return n->op == &sftn_op_leaf && leaf->kind == SFTN_LEAF_INPUT ? leaf : NULL;
}

/* The output of the guide called name, as its sink's number; -1: none. */
static int find_output(const sftn_graph *g, const char *name)
{
    for (int i = 0; g && i < g->nsinks; i++)
        if (g->sink[i].kind == SFTN_SINK_OUTPUT && strcmp(g->sink[i].name, name) == 0)
            return i;
    return -1;
}

/* Mark in wanted[] the guide's outputs that a step reads. */
static sftn_status mark_inputs(const sftn_guide *guide, sftn_train_step *step, bool *wanted,
                               sftn_error *err)
{
    sftn_graph *g = sftn_graph_prune(step->graph);
    sftn_status status = g ? sftn_graph_status(g, err)
                           : sftn_fail(err, SFTN_ERR_MEMORY, "a step's inputs: out of memory");

    for (int i = 0; g && i < g->nnodes && !status; i++) {
        const sftn_leaf *leaf = input_leaf(&g->node[i]);
        int output;

        if (!leaf || sftn_feed_has(leaf->name))
            continue;
        output = find_output(guide->graph, leaf->name);
        if (output < 0)
            status = sftn_fail(err, SFTN_ERR_ARGUMENT,
                               "a job reads the input '%s', which nothing delivers", leaf->name);
        else
            step->guided = wanted[output] = true;
    }
    sftn_graph_free(g);
    return status;
}

static sftn_status build(sftn_guide *guide, sftn_job *job, sftn_shape image, sftn_error *err)
{
    guide->graph = sftn_graph_new();
    if (!guide->graph)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", job->model->name);
    image.dim[SFTN_N] = sftn_views_rows(job->views, image.dim[SFTN_N]);
    job->guide(job->self, guide->graph,
               sftn_graph_input(guide->graph, "image", (sftn_type){.shape = image}));
    return sftn_graph_status(guide->graph, err);
}

static sftn_status compile(sftn_guide *guide, const bool *wanted, const char **name,
                           const sftn_plan_options *plan, sftn_error *err)
{
    sftn_plan_options options = *plan;
    sftn_status status;
    int n = 0;

    for (int i = 0; i < guide->graph->nsinks; i++)
        if (wanted[i])
            name[n++] = guide->graph->sink[i].name;
    if (n == 0)
        return SFTN_OK;
    options.outputs = name;
    status = sftn_plan_new(guide->graph, &options, &guide->plan, err);
    return status ? status : sftn_feed_open(&guide->feed, guide->plan, err);
}

sftn_status sftn_guide_open(sftn_guide *guide, sftn_job *job, sftn_train_step *const *step,
                            int n, const sftn_plan_options *plan, sftn_shape image,
                            sftn_error *err)
{
    sftn_status status = SFTN_OK;
    const char **name;
    size_t most;
    bool *wanted;

    *guide = (sftn_guide){0};
    if (job)
        status = build(guide, job, image, err);
    if (status)
        return status;
    most = guide->graph ? (size_t)guide->graph->nsinks : 0;
    wanted = sftn_calloc(most + 1, sizeof *wanted);
    name = sftn_calloc(most + 1, sizeof *name);
    if (!wanted || !name)
        status = sftn_fail(err, SFTN_ERR_MEMORY, "a guide's outputs: out of memory");
    for (int i = 0; i < n && !status; i++)
        status = mark_inputs(guide, step[i], wanted, err);
    if (!status && guide->graph)
        status = compile(guide, wanted, name, plan, err);
    free(wanted);
    free(name);
    return status;
}

void sftn_guide_close(sftn_guide *guide)
{
    sftn_plan_free(guide->plan);
    sftn_graph_free(guide->graph);
    *guide = (sftn_guide){0};
}
