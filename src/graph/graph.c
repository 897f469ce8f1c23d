/*
 * graph: nodes, leaves, sinks, scopes, and the first error of building.
 *
 * Nodes and values are arrays that move when they grow; attributes, names and scopes lie in the
 * graph's pool and stay where they are.
 */
#include "graph/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More elements than any machine holds; keeps every product of sizes far from overflow. */
#define MAX_ELEMENTS ((int64_t)1 << 46)

static const sftn_type none_type = {{{1, 1, 1, 1}}, true};

sftn_graph *sftn_graph_new(void)
{
    sftn_graph *g = sftn_calloc(1, sizeof *g);

    if (!g)
        return NULL;
    if (!sftn_grow(&g->value, &g->value_capacity, 1, sizeof *g->value)) {
        free(g);
        return NULL;
    }
    g->value[0] = (sftn_value_info){none_type, -1, 0};
    g->nvalues = 1;
    g->scope = "";
    return g;
}

void sftn_graph_free(sftn_graph *g)
{
    if (!g)
        return;
    sftn_pool_free(&g->pool);
    free(g->node);
    free(g->value);
    free(g->sink);
    free(g);
}

sftn_status sftn_graph_status(const sftn_graph *g, sftn_error *err)
{
    if (g->status != SFTN_OK)
        return sftn_fail(err, g->status, "%s", g->error.text);
    return SFTN_OK;
}

sftn_value sftn_graph_fail(sftn_graph *g, const char *format, ...)
{
    char text[sizeof g->error.text];
    va_list args;

    if (g->status != SFTN_OK)
        return SFTN_NONE;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    g->status = SFTN_ERR_ARGUMENT;
    if (*g->scope)
        sftn_fail(&g->error, g->status, "%s: %s", g->scope, text);
    else
        sftn_fail(&g->error, g->status, "%s", text);
    return SFTN_NONE;
}

static sftn_value out_of_memory(sftn_graph *g)
{
    if (g->status == SFTN_OK)
        g->status = sftn_fail(&g->error, SFTN_ERR_MEMORY, "out of memory while building a graph");
    return SFTN_NONE;
}

void sftn_graph_set_scope(sftn_graph *g, const char *scope)
{
    const char *copy;

    if (strcmp(g->scope, scope) == 0)
        return;
    copy = *scope ? sftn_pool_strdup(&g->pool, scope) : "";
    if (copy)
        g->scope = copy;
    else
        out_of_memory(g);
}

/* ---- values ---- */

static const sftn_value_info *info_of(const sftn_graph *g, sftn_value v)
{
    return v.id > 0 && v.id < g->nvalues ? &g->value[v.id] : &g->value[0];
}

sftn_type sftn_value_type(const sftn_graph *g, sftn_value v)
{
    return info_of(g, v)->type;
}

sftn_shape sftn_value_shape(const sftn_graph *g, sftn_value v)
{
    return info_of(g, v)->type.shape;
}

bool sftn_same_shape(const sftn_graph *g, sftn_value a, sftn_value b)
{
    return sftn_shape_equal(&info_of(g, a)->type.shape, &info_of(g, b)->type.shape);
}

const sftn_node *sftn_value_node(const sftn_graph *g, sftn_value v)
{
    const int node = info_of(g, v)->node;

    return node >= 0 ? &g->node[node] : NULL;
}

sftn_value sftn_node_out(const sftn_graph *g, sftn_value v, int slot)
{
    const sftn_node *n = sftn_value_node(g, v);

    return n && slot < n->nout ? n->out[slot] : SFTN_NONE;
}

const sftn_leaf *sftn_value_leaf(const sftn_graph *g, sftn_value v)
{
    const sftn_node *n = sftn_value_node(g, v);

    return n && n->op == &sftn_op_leaf ? n->attr : NULL;
}

/* ---- nodes ---- */

static bool check_inputs(sftn_graph *g, const sftn_op *op, const sftn_value *in, int nin,
                         sftn_type *type)
{
    const bool fits = op->nin < 0 ? nin >= 1 && nin <= SFTN_MAX_IN : nin == op->nin;

    if (!fits) {
        if (op->nin < 0)
            sftn_graph_fail(g, "%s: %d operands given, expected 1 to %d", op->name, nin,
                            SFTN_MAX_IN);
        else
            sftn_graph_fail(g, "%s: %d operands given, expected %d", op->name, nin, op->nin);
        return false;
    }
    for (int i = 0; i < nin; i++)
        type[i] = info_of(g, in[i])->type;
    return true;
}

static bool check_outputs(sftn_graph *g, const sftn_op *op, const sftn_type *type)
{
    for (int i = 0; i < op->nout; i++) {
        int64_t count = 1;

        for (int d = 0; d < SFTN_DIMS; d++) {
            const int64_t n = type[i].shape.dim[d];

            if (n < 1 || n > MAX_ELEMENTS / count) {
                char text[96];

                sftn_shape_format(&type[i].shape, text, sizeof text);
                sftn_graph_fail(g, "%s: result has shape %s, sizes must be at least 1 and "
                                "their product at most 2^46", op->name, text);
                return false;
            }
            count *= n;
        }
    }
    return true;
}

static sftn_value add_node(sftn_graph *g, const sftn_op *op, const void *attr,
                           const sftn_value *in, int nin, const sftn_type *type)
{
    void *copy = NULL;
    sftn_node *n;

    if (op->attr_size) {
        copy = sftn_pool_alloc(&g->pool, op->attr_size);
        if (!copy)
            return out_of_memory(g);
        memcpy(copy, attr, op->attr_size);
    }
    if (!sftn_grow(&g->node, &g->node_capacity, g->nnodes + 1, sizeof *g->node) ||
        !sftn_grow(&g->value, &g->value_capacity, g->nvalues + op->nout, sizeof *g->value))
        return out_of_memory(g);
    n = &g->node[g->nnodes];
    *n = (sftn_node){.op = op, .attr = copy, .nin = nin, .nout = op->nout, .scope = g->scope};
    for (int i = 0; i < nin; i++)
        n->in[i] = in[i];
    for (int i = 0; i < op->nout; i++) {
        n->out[i].id = g->nvalues;
        g->value[g->nvalues++] = (sftn_value_info){type[i], g->nnodes, i};
    }
    g->nnodes++;
    return n->out[0];
}

sftn_value sftn_append(sftn_graph *g, const sftn_op *op, const void *attr, const sftn_value *in,
                       int nin)
{
    sftn_type in_type[SFTN_MAX_IN] = {none_type}, out_type[SFTN_MAX_OUT];
    char why[400] = "";

    if (g->status != SFTN_OK)
        return SFTN_NONE;
    for (int i = 0; i < nin; i++)
        if (sftn_is_none(in[i]))
            return SFTN_NONE;
    if (op->attr_members != op->attr_size)
        return sftn_graph_fail(g, "%s: the op's attributes are %zu bytes with members of %zu, "
                               "expected a definition by SFTN_ATTR", op->name, op->attr_size,
                               op->attr_members);
    if (!check_inputs(g, op, in, nin, in_type))
        return SFTN_NONE;
    if (!op->infer(attr, in_type, nin, out_type, why, sizeof why))
        return sftn_graph_fail(g, "%s: %s", op->name, why);
    if (!check_outputs(g, op, out_type))
        return SFTN_NONE;
    return add_node(g, op, attr, in, nin, out_type);
}

sftn_value sftn_append1(sftn_graph *g, const sftn_op *op, const void *attr, sftn_value a,
                        sftn_value b)
{
    /* A missing second operand of a two-operand op is an earlier error passed on. */
    return sftn_append(g, op, attr, (const sftn_value[]){a, b}, op->nin == 2 ? 2 : 1);
}

/* ---- leaves ---- */

static bool leaf_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                       size_t size)
{
    const sftn_leaf *leaf = attr;

    (void)in, (void)nin, (void)why, (void)size;
    out[0] = sftn_leaf_type(leaf);
    return true;
}

static void leaf_print(const void *attr, char *buf, size_t size)
{
    const sftn_leaf *leaf = attr;

    if (leaf->kind == SFTN_LEAF_CONSTANT)
        snprintf(buf, size, "constant %g", (double)leaf->constant);
    else if (leaf->kind == SFTN_LEAF_INPUT)
        snprintf(buf, size, "input %s", leaf->name);
    else
        snprintf(buf, size, "%s %s", leaf->frozen ? "frozen" : "param", leaf->name);
}

const sftn_op sftn_op_leaf = {
    .name      = "leaf",
    .nin       = 0,
    .nout      = 1,
    SFTN_ATTR(sftn_leaf, kind, constant, name, params, index, frozen, shape, wide),
    .infer     = leaf_infer,
    .print     = leaf_print,
};

static sftn_value add_leaf(sftn_graph *g, const sftn_leaf *leaf)
{
    return sftn_append(g, &sftn_op_leaf, leaf, NULL, 0);
}

/* The first leaf that `same` finds equal to leaf; SFTN_NONE where there is none. */
static sftn_value find_leaf(const sftn_graph *g, const sftn_leaf *leaf,
                            bool (*same)(const sftn_leaf *a, const sftn_leaf *b))
{
    for (int i = 0; i < g->nnodes; i++) {
        const sftn_node *n = &g->node[i];

        if (n->op == &sftn_op_leaf && same(n->attr, leaf))
            return n->out[0];
    }
    return SFTN_NONE;
}

static bool same_input(const sftn_leaf *a, const sftn_leaf *b)
{
    return a->kind == SFTN_LEAF_INPUT && strcmp(a->name, b->name) == 0;
}

static bool same_param(const sftn_leaf *a, const sftn_leaf *b)
{
    return a->kind == SFTN_LEAF_PARAM && a->params == b->params && a->index == b->index;
}

static bool same_constant(const sftn_leaf *a, const sftn_leaf *b)
{
    return a->kind == SFTN_LEAF_CONSTANT && a->wide == b->wide &&
           sftn_shape_equal(&a->shape, &b->shape) &&
           memcmp(&a->constant, &b->constant, sizeof a->constant) == 0;
}

sftn_value sftn_graph_input(sftn_graph *g, const char *name, sftn_type type)
{
    sftn_leaf leaf = {.kind = SFTN_LEAF_INPUT, .shape = type.shape, .wide = type.wide};

    if (strlen(name) >= sizeof leaf.name)
        return sftn_graph_fail(g, "input: name \"%.40s...\" has more than %d characters", name,
                               (int)sizeof leaf.name - 1);
    snprintf(leaf.name, sizeof leaf.name, "%s", name);
    if (!sftn_is_none(find_leaf(g, &leaf, same_input)))
        return sftn_graph_fail(g, "input: there is already an input called \"%s\"", name);
    return add_leaf(g, &leaf);
}

sftn_value sftn_graph_param(sftn_graph *g, sftn_params *params, int index, bool frozen)
{
    sftn_leaf leaf = {.kind = SFTN_LEAF_PARAM, .params = params, .index = index, .frozen = frozen};
    const sftn_param *p;
    sftn_value old;

    if (index < 0 || index >= sftn_params_count(params))
        return sftn_graph_fail(g, "parameter: index %d, expected 0 to %d", index,
                               sftn_params_count(params) - 1);
    p = sftn_params_get(params, index);
    old = find_leaf(g, &leaf, same_param);
    if (!sftn_is_none(old)) {
        if ((sftn_value_leaf(g, old)->frozen != 0) != frozen)
            return sftn_graph_fail(g, "parameter %s is used both frozen and not frozen", p->name);
        return old;
    }
    snprintf(leaf.name, sizeof leaf.name, "%s", p->name);
    leaf.shape = p->shape;
    leaf.wide = true;
    return add_leaf(g, &leaf);
}

sftn_value sftn_graph_constant(sftn_graph *g, sftn_type type, float x)
{
    const sftn_leaf leaf = {
        .kind = SFTN_LEAF_CONSTANT, .shape = type.shape, .wide = type.wide, .constant = x};
    const sftn_value old = g->status == SFTN_OK ? find_leaf(g, &leaf, same_constant) : SFTN_NONE;

    return sftn_is_none(old) ? add_leaf(g, &leaf) : old;
}

/* ---- sinks ---- */

static void add_sink(sftn_graph *g, const sftn_sink *sink)
{
    if (g->status != SFTN_OK)
        return;
    if (sftn_grow(&g->sink, &g->sink_capacity, g->nsinks + 1, sizeof *g->sink))
        g->sink[g->nsinks++] = *sink;
    else
        out_of_memory(g);
}

void sftn_graph_output(sftn_graph *g, const char *name, sftn_value v)
{
    sftn_sink sink = {.kind = SFTN_SINK_OUTPUT, .value = v};

    if (sftn_is_none(v)) {
        sftn_graph_fail(g, "output \"%s\" has no value", name);
        return;
    }
    for (int i = 0; i < g->nsinks; i++) {
        if (g->sink[i].kind == SFTN_SINK_OUTPUT && strcmp(g->sink[i].name, name) == 0) {
            sftn_graph_fail(g, "there is already an output called \"%s\"", name);
            return;
        }
    }
    sink.name = sftn_pool_strdup(&g->pool, name);
    if (sink.name)
        add_sink(g, &sink);
    else
        out_of_memory(g);
}

/* Sinks into arrays of params: v must have the entry's shape, and is made wide. */
static void add_param_sink(sftn_graph *g, sftn_sink sink, const char *what)
{
    const sftn_param *p;
    const sftn_shape found = sftn_value_shape(g, sink.value);

    if (sink.index < 0 || sink.index >= sftn_params_count(sink.params)) {
        sftn_graph_fail(g, "%s: parameter index %d, expected 0 to %d", what, sink.index,
                        sftn_params_count(sink.params) - 1);
        return;
    }
    p = sftn_params_get(sink.params, sink.index);
    if (sftn_is_none(sink.value)) {
        sftn_graph_fail(g, "%s of %s has no value", what, p->name);
        return;
    }
    if (!sftn_shape_equal(&found, &p->shape)) {
        char a[96], b[96];

        sftn_shape_format(&found, a, sizeof a);
        sftn_shape_format(&p->shape, b, sizeof b);
        sftn_graph_fail(g, "%s of %s has shape %s, the parameter %s", what, p->name, a, b);
        return;
    }
    for (int i = 0; i < g->nsinks; i++) {
        sftn_sink *s = &g->sink[i];

        if (s->kind == sink.kind && s->params == sink.params && s->index == sink.index) {
            if (sink.kind == SFTN_SINK_UPDATE)
                s->value = sftn_cast(g, sink.value, true);
            else
                sftn_graph_fail(g, "%s of %s is delivered twice", what, p->name);
            return;
        }
    }
    sink.value = sftn_cast(g, sink.value, true);
    add_sink(g, &sink);
}

void sftn_graph_grad(sftn_graph *g, sftn_params *params, int index, sftn_value v)
{
    const sftn_sink sink = {
        .kind = SFTN_SINK_GRAD, .params = params, .index = index, .value = v};

    add_param_sink(g, sink, "gradient");
}

void sftn_graph_update(sftn_graph *g, sftn_params *params, int index, sftn_value v)
{
    const sftn_sink sink = {
        .kind = SFTN_SINK_UPDATE, .params = params, .index = index, .value = v};

    add_param_sink(g, sink, "update");
}
