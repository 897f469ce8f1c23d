/* rewrite.c: what every pass does: copy a graph node by node, keeping a map of values. */
#include "plan/plan.h"

#include <stdlib.h>

bool sftn_rewrite_begin(sftn_rewrite *r, const sftn_graph *src)
{
    *r = (sftn_rewrite){.src = src, .dst = sftn_graph_new()};
    r->map = sftn_calloc((size_t)src->nvalues, sizeof *r->map);
    if (r->dst != NULL && r->map != NULL)
        return true;
    sftn_graph_free(r->dst);
    free(r->map);
    return false;
}

void sftn_rewrite_copy(sftn_rewrite *r, const sftn_node *n)
{
    sftn_value in[SFTN_MAX_IN], out[SFTN_MAX_OUT] = {{0}};

    for (int i = 0; i < n->nin; i++)
        in[i] = r->map[n->in[i].id];
    sftn_graph_copy_node(r->dst, n, in, out);
    for (int i = 0; i < n->nout; i++)
        r->map[n->out[i].id] = out[i];
}

sftn_graph *sftn_rewrite_end(sftn_rewrite *r)
{
    for (int i = 0; i < r->src->nsinks; i++) {
        const sftn_sink *s = &r->src->sink[i];
        const sftn_value v = r->map[s->value.id];

        if (s->kind == SFTN_SINK_OUTPUT)
            sftn_graph_output(r->dst, s->name, v);
        else if (s->kind == SFTN_SINK_GRAD)
            sftn_graph_grad(r->dst, s->params, s->index, v);
        else
            sftn_graph_update(r->dst, s->params, s->index, v);
    }
    free(r->map);
    r->map = NULL;
    return r->dst;
}

bool *sftn_plan_frozen_values(const sftn_graph *g)
{
    bool *frozen = sftn_calloc((size_t)g->nvalues, sizeof *frozen);

    if (frozen == NULL)
        return NULL;
    for (int i = 0; i < g->nnodes; i++) {
        const sftn_node *n = &g->node[i];
        bool all = true;

        if (n->op == &sftn_op_leaf) {
            const sftn_leaf *leaf = n->attr;

            all = leaf->kind == SFTN_LEAF_CONSTANT ||
                  (leaf->kind == SFTN_LEAF_PARAM && leaf->frozen);
        }
        for (int k = 0; k < n->nin; k++)
            all = all && frozen[n->in[k].id];
        for (int k = 0; k < n->nout; k++)
            frozen[n->out[k].id] = all;
    }
    return frozen;
}
