/*
 * prune: copying a graph node by node, leaving out what leads to no sink, and detach nodes: a
 * pruned graph is for execution, not for differentiation.
 */
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

void sftn_graph_copy_node(sftn_graph *dst, const sftn_node *n, const sftn_value *in,
                          sftn_value *out)
{
    /* dst may be n's own graph, whose nodes move when one is added. */
    const sftn_node node = *n;
    const char *scope = dst->scope;
    sftn_value first;

    sftn_graph_set_scope(dst, node.scope);
    first = sftn_append(dst, node.op, node.attr, in, node.nin);
    for (int i = 0; i < node.nout; i++)
        out[i] = i == 0 ? first : sftn_node_out(dst, first, i);
    dst->scope = scope;
}

/* live[i]: node i leads to a sink.  Later nodes first: inputs are always made earlier. */
static void mark_live(const sftn_graph *g, bool *live)
{
    for (int i = 0; i < g->nsinks; i++)
        if (!sftn_is_none(g->sink[i].value))
            live[g->value[g->sink[i].value.id].node] = true;
    for (int i = g->nnodes - 1; i >= 0; i--)
        for (int k = 0; live[i] && k < g->node[i].nin; k++)
            live[g->value[g->node[i].in[k].id].node] = true;
}

/* A view that only stops gradients (detach) has done its work once a graph is pruned. */
static bool ends_gradient(const sftn_op *op)
{
    return op->view && op->no_gradient;
}

static void copy_live(sftn_graph *dst, const sftn_graph *g, const bool *live, sftn_value *map)
{
    for (int i = 0; i < g->nnodes; i++) {
        const sftn_node *n = &g->node[i];
        sftn_value in[SFTN_MAX_IN], out[SFTN_MAX_OUT];

        if (!live[i])
            continue;
        if (ends_gradient(n->op)) {
            map[n->out[0].id] = map[n->in[0].id];
            continue;
        }
        for (int k = 0; k < n->nin; k++)
            in[k] = map[n->in[k].id];
        sftn_graph_copy_node(dst, n, in, out);
        for (int k = 0; k < n->nout; k++)
            map[n->out[k].id] = out[k];
    }
    for (int i = 0; i < g->nsinks; i++) {
        const sftn_sink *s = &g->sink[i];
        const sftn_value v = map[s->value.id];

        if (s->kind == SFTN_SINK_OUTPUT)
            sftn_graph_output(dst, s->name, v);
        else if (s->kind == SFTN_SINK_GRAD)
            sftn_graph_grad(dst, s->params, s->index, v);
        else
            sftn_graph_update(dst, s->params, s->index, v);
    }
}

sftn_graph *sftn_graph_prune(const sftn_graph *g)
{
    sftn_graph *dst = sftn_graph_new();
    bool *live = sftn_calloc((size_t)g->nnodes + 1, sizeof *live);
    sftn_value *map = sftn_calloc((size_t)g->nvalues, sizeof *map);

    if (dst && live && map) {
        dst->status = g->status;
        dst->error = g->error;
        mark_live(g, live);
        copy_live(dst, g, live, map);
    } else {
        sftn_graph_free(dst);
        dst = NULL;
    }
    free(live);
    free(map);
    return dst;
}
