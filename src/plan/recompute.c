/*
 * recompute.c: activations that are computed again instead of being kept.
 *
 * What a backward pass reads long after the forward pass has, and what one pointwise program makes
 * of values that are kept anyhow (a normalized and rectified convolution, of the convolution), is
 * not kept meanwhile: the program runs again before the first of the late readers.  It is the same
 * program of the same operands, so the bits are the same.
 */
#include "plan/plan.h"

#include <stdlib.h>

enum {
    LEAST_GAP   = 8,      /* nodes between readers, from which on a value is not kept */
    LEAST_COUNT = 1 << 14 /* numbers that are worth a step of their own */
};

/* Which nodes of a graph read a value. */
typedef struct use {
    int made, last;    /* its own node, and the last that reads it; nnodes: it outlives all */
    int before, after; /* the readers with the widest gap between them; made: nobody before it */
} use;

static use *find_uses(const sftn_graph *g)
{
    use *u = sftn_calloc((size_t)g->nvalues, sizeof *u);

    for (int i = 0; u != NULL && i < g->nnodes; i++) {
        const sftn_node *n = &g->node[i];

        for (int k = 0; k < n->nin; k++) {
            use *in = &u[n->in[k].id];

            if (in->last < i && i - in->last > in->after - in->before) {
                in->before = in->last;
                in->after = i;
            }
            in->last = in->last < i ? i : in->last;
        }
        for (int k = 0; k < n->nout; k++)
            u[n->out[k].id] = (use){i, n->op == &sftn_op_leaf ? g->nnodes : i, i, i};
    }
    for (int i = 0; u != NULL && i < g->nsinks; i++)
        u[g->sink[i].value.id].last = g->nnodes;
    return u;
}

static int64_t count_of(const sftn_graph *g, sftn_value v)
{
    const sftn_shape shape = sftn_value_shape(g, v);

    return sftn_shape_count(&shape);
}

/*
 * Whether the result of n is to be computed again for the readers behind its widest gap: whatever
 * of its size n reads is kept until then, not itself computed again, and has other readers later.
 */
static bool is_cheap(const sftn_graph *g, const sftn_node *n, const use *u, const bool *again)
{
    const sftn_value v = n->out[0];
    const use *mine = &u[v.id];

    if (n->op != &sftn_op_fused || mine->last == g->nnodes || count_of(g, v) < LEAST_COUNT ||
        mine->after - mine->before < LEAST_GAP || mine->before == mine->made)
        return false;
    for (int k = 0; k < n->nin; k++)
        if (2 * count_of(g, n->in[k]) > count_of(g, v) &&
            (again[n->in[k].id] || u[n->in[k].id].last <= mine->after))
            return false;
    return true;
}

sftn_graph *sftn_plan_recompute(const sftn_graph *g)
{
    use *u = find_uses(g);
    bool *again = sftn_calloc((size_t)g->nvalues, sizeof *again);
    sftn_graph *result = NULL;
    sftn_rewrite r;

    if (u != NULL && again != NULL && sftn_rewrite_begin(&r, g)) {
        for (int i = 0; i < g->nnodes && r.dst->status == SFTN_OK; i++) {
            const sftn_node *n = &g->node[i];

            for (int k = 0; k < n->nin; k++)
                if (again[n->in[k].id] && u[n->in[k].id].after == i) {
                    sftn_rewrite_copy(&r, sftn_value_node(g, n->in[k]));
                    u[n->in[k].id].after = -1;
                }
            sftn_rewrite_copy(&r, n);
            if (n->nout == 1)
                again[n->out[0].id] = is_cheap(g, n, u, again);
        }
        result = sftn_rewrite_end(&r);
    }
    free(u);
    free(again);
    return result;
}
