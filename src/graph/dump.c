/*
 * dump: the graph as text, one line a node:
 *
 *     %12 [64,16,32,32] = conv2d(%3, %11) stride 1 pad 1    layer1.0
 *
 * A value is printed as % and its number; "w" after a shape marks a wide one.
 */
#include "graph/op.h"
#include "sftn/plan.h"

#include <stdio.h>

static void add_type(sftn_strbuf *b, const sftn_type *type)
{
    char text[96];

    sftn_shape_format(&type->shape, text, sizeof text);
    sftn_strbuf_add(b, "%s%s", text, type->wide ? "w" : "");
}

static void add_node(sftn_strbuf *b, const sftn_graph *g, const sftn_node *n)
{
    char attr[256] = "";

    for (int k = 0; k < n->nout; k++) {
        sftn_strbuf_add(b, "%s%%%d ", k ? ", " : "", n->out[k].id);
        add_type(b, &g->value[n->out[k].id].type);
    }
    if (n->op->print)
        n->op->print(n->attr, attr, sizeof attr);
    if (n->op == &sftn_op_leaf) {
        sftn_strbuf_add(b, " = %s", attr);
    } else {
        sftn_strbuf_add(b, " = %s(", n->op->name);
        for (int k = 0; k < n->nin; k++)
            sftn_strbuf_add(b, "%s%%%d", k ? ", " : "", n->in[k].id);
        sftn_strbuf_add(b, ")%s%s", *attr ? " " : "", attr);
    }
    if (*n->scope)
        sftn_strbuf_add(b, "    %s", n->scope);
    sftn_strbuf_add(b, "\n");
}

static void add_sink(sftn_strbuf *b, const sftn_sink *s)
{
    if (s->kind == SFTN_SINK_OUTPUT)
        sftn_strbuf_add(b, "output %s = %%%d\n", s->name, s->value.id);
    else
        sftn_strbuf_add(b, "%s %s = %%%d\n", s->kind == SFTN_SINK_GRAD ? "gradient" : "update",
                        sftn_params_get(s->params, s->index)->name, s->value.id);
}

void sftn_graph_dump(const sftn_graph *g, FILE *out)
{
    sftn_strbuf b = {0};

    for (int i = 0; i < g->nnodes; i++)
        add_node(&b, g, &g->node[i]);
    for (int i = 0; i < g->nsinks; i++)
        add_sink(&b, &g->sink[i]);
    if (g->status != SFTN_OK)
        sftn_strbuf_add(&b, "error: %s\n", g->error.text);
    if (b.failed)
        fputs("(out of memory: the listing is incomplete)\n", out);
    if (b.text)
        fputs(b.text, out);
    sftn_strbuf_free(&b);
}
