/*
 * simplify.c: rewrites that keep what a graph computes.
 *
 *   lower      an op the backend has no kernel for becomes the ops it is defined by
 *   alias      a copy that changes neither shape nor storage is its operand
 *   merge      two nodes with equal op, attributes and operands are one
 *   fold       conv2d(x, w) * s, with w and s frozen and s per channel, is conv2d(x, w * s):
 *              a frozen network's batch normalizations disappear into its weights
 */
#include "op/conv2d.h"
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

sftn_graph *sftn_plan_lower(const sftn_graph *g, const sftn_pass_context *ctx)
{
    sftn_rewrite r;

    if (!sftn_rewrite_begin(&r, g))
        return NULL;
    for (int i = 0; i < g->nnodes && r.dst->status == SFTN_OK; i++) {
        const sftn_node *n = &g->node[i];
        sftn_value in[SFTN_MAX_IN], out[SFTN_MAX_OUT] = {{0}};

        if (n->op == &sftn_op_leaf || n->op->view || n->op->lower == NULL ||
            ctx->backend->has(n->op)) {
            sftn_rewrite_copy(&r, n);
            continue;
        }
        for (int k = 0; k < n->nin; k++)
            in[k] = r.map[n->in[k].id];
        sftn_graph_set_scope(r.dst, n->scope);
        n->op->lower(r.dst, n, in, out);
        for (int k = 0; k < n->nout; k++)
            r.map[n->out[k].id] = out[k];
    }
    return sftn_rewrite_end(&r);
}

/* A copy or reshape whose result is its operand, bit for bit and byte for byte. */
static bool is_alias(const sftn_graph *g, const sftn_node *n, bool same_width)
{
    sftn_type from, to;

    if (n->nin != 1 || n->nout != 1 || (n->op->pointwise != SFTN_PW_copy && !n->op->view))
        return false;
    from = sftn_value_type(g, n->in[0]);
    to = sftn_value_type(g, n->out[0]);
    return sftn_shape_equal(&from.shape, &to.shape) && (same_width || from.wide == to.wide);
}

static uint64_t node_hash(const sftn_node *n, const sftn_value *in)
{
    uint64_t h = (uint64_t)(uintptr_t)n->op;

    for (int i = 0; i < n->nin; i++)
        h = (h ^ (uint64_t)in[i].id) * 0x9E3779B97F4A7C15u;
    if (n->op->attr_size > 0)
        h ^= sftn_hash_bytes(n->attr, n->op->attr_size);
    return h ^ (h >> 29);
}

static bool node_equal(const sftn_node *a, const sftn_node *n, const sftn_value *in)
{
    if (a->op != n->op || a->nin != n->nin)
        return false;
    for (int i = 0; i < n->nin; i++)
        if (a->in[i].id != in[i].id)
            return false;
    return n->op->attr_size == 0 || memcmp(a->attr, n->attr, n->op->attr_size) == 0;
}

/* Open-addressing table of dst's nodes; entries are node numbers + 1. */
typedef struct node_table {
    int *slot;
    size_t mask;
} node_table;

/* The node of dst equal to n over in, or -1 with *at the slot where it belongs. */
static int table_find(const node_table *t, const sftn_graph *dst, const sftn_node *n,
                      const sftn_value *in, size_t *at)
{
    size_t h = (size_t)node_hash(n, in) & t->mask;

    for (; t->slot[h] != 0; h = (h + 1) & t->mask)
        if (node_equal(&dst->node[t->slot[h] - 1], n, in))
            return t->slot[h] - 1;
    *at = h;
    return -1;
}

/* Number of readers of each value, sinks included. */
static int *count_uses(const sftn_graph *g)
{
    int *uses = sftn_calloc((size_t)g->nvalues, sizeof *uses);

    if (uses == NULL)
        return NULL;
    for (int i = 0; i < g->nnodes; i++)
        for (int k = 0; k < g->node[i].nin; k++)
            uses[g->node[i].in[k].id]++;
    for (int i = 0; i < g->nsinks; i++)
        uses[g->sink[i].value.id]++;
    return uses;
}

/*
 * Where n is conv2d(x, w) * s as described above, append the folded convolution and return it.
 */
static sftn_value fold_scale(sftn_rewrite *r, const sftn_node *n, const int *uses,
                             const bool *frozen)
{
    if (n->op->pointwise != SFTN_PW_mul)
        return SFTN_NONE;
    for (int k = 0; k < 2; k++) {
        const sftn_node *conv = sftn_value_node(r->src, n->in[k]);
        const sftn_value s = n->in[1 - k];
        const sftn_shape shape = sftn_value_shape(r->src, s);
        sftn_value in[2], out[SFTN_MAX_OUT] = {{0}};

        if (conv->op != &sftn_op_conv2d || uses[n->in[k].id] != 1 || !frozen[s.id] ||
            !frozen[conv->in[1].id] || shape.dim[SFTN_C] != sftn_shape_count(&shape) ||
            shape.dim[SFTN_C] != sftn_value_shape(r->src, n->in[k]).dim[SFTN_C])
            continue;
        in[0] = r->map[conv->in[0].id];
        in[1] = sftn_mul(r->dst, r->map[conv->in[1].id],
                         sftn_reshape(r->dst, r->map[s.id],
                                      SFTN_SHAPE(shape.dim[SFTN_C], 1, 1, 1)));
        sftn_graph_copy_node(r->dst, conv, in, out);
        return out[0];
    }
    return SFTN_NONE;
}

static void simplify_nodes(sftn_rewrite *r, const sftn_pass_context *ctx, node_table *table,
                           const int *uses, const bool *frozen)
{
    const sftn_graph *g = r->src;

    for (int i = 0; i < g->nnodes && r->dst->status == SFTN_OK; i++) {
        const sftn_node *n = &g->node[i];
        sftn_value in[SFTN_MAX_IN], folded;
        size_t at = 0;
        int same;

        for (int k = 0; k < n->nin; k++)
            in[k] = r->map[n->in[k].id];
        if (is_alias(g, n, ctx->same_width)) {
            r->map[n->out[0].id] = in[0];
            continue;
        }
        if (n->op == &sftn_op_leaf) {
            sftn_rewrite_copy(r, n);
            continue;
        }
        sftn_graph_set_scope(r->dst, n->scope);
        folded = fold_scale(r, n, uses, frozen);
        if (!sftn_is_none(folded)) {
            r->map[n->out[0].id] = folded;
            continue;
        }
        same = table_find(table, r->dst, n, in, &at);
        if (same < 0) {
            table->slot[at] = r->dst->nnodes + 1;
            sftn_rewrite_copy(r, n);
            continue;
        }
        for (int k = 0; k < n->nout; k++)
            r->map[n->out[k].id] = r->dst->node[same].out[k];
    }
}

sftn_graph *sftn_plan_simplify(const sftn_graph *g, const sftn_pass_context *ctx)
{
    node_table table = {.mask = 1};
    int *uses = count_uses(g);
    bool *frozen = sftn_plan_frozen_values(g);
    sftn_graph *result = NULL;
    sftn_rewrite r;

    while (table.mask < (size_t)g->nnodes * 4)
        table.mask *= 2;
    table.slot = sftn_calloc(table.mask, sizeof *table.slot);
    table.mask--;
    if (uses != NULL && frozen != NULL && table.slot != NULL && sftn_rewrite_begin(&r, g)) {
        simplify_nodes(&r, ctx, &table, uses, frozen);
        result = sftn_rewrite_end(&r);
    }
    free(uses);
    free(frozen);
    free(table.slot);
    return result;
}
