/*
 * autodiff: reverse mode, graph to graph.
 *
 * With g_v = d loss / d v, nodes are visited last to first; each op's `grad` appends nodes that
 * compute its inputs' share from its outputs' gradients, and shares of one value are added.  Only
 * values that depend on one asked for receive a gradient.  Gradients are ordinary values, so
 * differentiating twice is calling twice.
 */
#include "graph/op.h"

#include <stdlib.h>

typedef struct reverse {
    sftn_graph *g;
    bool *depends;    /* [value]: depends on a value asked for */
    sftn_value *grad; /* [value]: sum of the shares so far */
} reverse;

static void mark_dependents(reverse *r, const sftn_value *wrt, int nwrt)
{
    const sftn_graph *g = r->g;

    for (int i = 0; i < nwrt; i++)
        if (!sftn_is_none(wrt[i]))
            r->depends[wrt[i].id] = true;
    for (int i = 0; i < g->nnodes; i++) {
        const sftn_node *n = &g->node[i];
        bool any = false;

        for (int k = 0; k < n->nin; k++)
            any = any || r->depends[n->in[k].id];
        for (int k = 0; k < n->nout; k++)
            r->depends[n->out[k].id] = r->depends[n->out[k].id] || any;
    }
}

/* Add one share of the gradient of v, made as wide as v. */
static void add_share(reverse *r, const sftn_node *n, sftn_value v, sftn_value share)
{
    sftn_graph *g = r->g;
    sftn_value *sum = &r->grad[v.id];

    if (!sftn_same_shape(g, v, share)) {
        const sftn_shape found = sftn_value_shape(g, share), expected = sftn_value_shape(g, v);
        char a[96], b[96];

        sftn_shape_format(&found, a, sizeof a);
        sftn_shape_format(&expected, b, sizeof b);
        sftn_graph_fail(g, "%s: its gradient has shape %s, the operand %s", n->op->name, a, b);
        return;
    }
    share = sftn_cast(g, share, sftn_value_type(g, v).wide);
    *sum = sftn_is_none(*sum) ? share : sftn_add(g, *sum, share);
}

/* n is a copy: appending moves the graph's own nodes. */
static void visit(reverse *r, const sftn_node *n)
{
    sftn_graph *g = r->g;
    sftn_value gout[SFTN_MAX_OUT], gin[SFTN_MAX_IN] = {{0}};
    bool arrives = false, wanted = false;

    for (int k = 0; k < n->nout; k++) {
        gout[k] = r->grad[n->out[k].id];
        arrives = arrives || !sftn_is_none(gout[k]);
    }
    for (int k = 0; k < n->nin; k++)
        wanted = wanted || r->depends[n->in[k].id];
    if (!arrives || !wanted || n->op->no_gradient)
        return;
    g->scope = n->scope;
    if (!n->op->grad) {
        sftn_graph_fail(g, "%s: this op has no gradient, but lies between the loss and a value "
                        "whose gradient is asked for", n->op->name);
        return;
    }
    n->op->grad(g, n, gout, gin);
    for (int k = 0; k < n->nin; k++)
        if (r->depends[n->in[k].id] && !sftn_is_none(gin[k]))
            add_share(r, n, n->in[k], gin[k]);
}

static void run(reverse *r, sftn_value loss)
{
    sftn_graph *g = r->g;
    const char *scope = g->scope;

    r->grad[loss.id] = sftn_graph_constant(g, sftn_value_type(g, loss), 1.0f);
    for (int i = g->value[loss.id].node; i >= 0 && g->status == SFTN_OK; i--) {
        const sftn_node n = g->node[i];

        visit(r, &n);
    }
    g->scope = scope;
}

static sftn_status check_loss(sftn_graph *g, sftn_value loss, sftn_error *err)
{
    const sftn_shape shape = sftn_value_shape(g, loss);
    char text[96];

    if (g->status != SFTN_OK)
        return sftn_graph_status(g, err);
    if (sftn_is_none(loss))
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "gradients: the loss has no value");
    sftn_shape_format(&shape, text, sizeof text);
    if (sftn_shape_count(&shape) != 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "gradients: the loss has shape %s, expected [1,1,1,1]", text);
    return SFTN_OK;
}

sftn_status sftn_graph_gradients(sftn_graph *g, sftn_value loss, const sftn_value *wrt, int nwrt,
                                 sftn_value *grad, sftn_error *err)
{
    reverse r = {.g = g};
    sftn_status status = check_loss(g, loss, err);

    if (status != SFTN_OK)
        return status;
    r.depends = sftn_calloc((size_t)g->nvalues, sizeof *r.depends);
    r.grad = sftn_calloc((size_t)g->nvalues, sizeof *r.grad);
    if (r.depends && r.grad) {
        mark_dependents(&r, wrt, nwrt);
        if (r.depends[loss.id])
            run(&r, loss);
        for (int i = 0; i < nwrt; i++)
            grad[i] = r.grad[wrt[i].id];
        status = sftn_graph_status(g, err);
    } else {
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory while building gradients");
    }
    free(r.depends);
    free(r.grad);
    return status;
}

/* Every trained parameter leaf of g; *leaves is owned by the caller.  -1: out of memory. */
static int find_trained(const sftn_graph *g, sftn_value **leaves)
{
    int n = 0;

    *leaves = sftn_calloc((size_t)g->nnodes, sizeof **leaves);
    if (!*leaves)
        return -1;
    for (int i = 0; i < g->nnodes; i++) {
        const sftn_leaf *leaf = sftn_value_leaf(g, g->node[i].out[0]);

        if (leaf && leaf->kind == SFTN_LEAF_PARAM && !leaf->frozen &&
            sftn_params_get(leaf->params, leaf->index)->kind == SFTN_PARAM_WEIGHT)
            (*leaves)[n++] = g->node[i].out[0];
    }
    return n;
}

static int deliver(sftn_graph *g, const sftn_value *leaves, const sftn_value *grad, int n)
{
    int unreached = 0;

    for (int i = 0; i < n; i++) {
        const sftn_leaf *leaf = sftn_value_leaf(g, leaves[i]);
        sftn_value v = grad[i];

        if (sftn_is_none(v)) {
            v = sftn_graph_constant(g, sftn_leaf_type(leaf), 0.0f);
            unreached++;
        }
        sftn_graph_grad(g, leaf->params, leaf->index, v);
    }
    return unreached;
}

sftn_status sftn_graph_backward(sftn_graph *g, sftn_value loss, int *unreached, sftn_error *err)
{
    sftn_value *leaves, *grad;
    const int n = find_trained(g, &leaves);
    sftn_status status;
    int missed = 0;

    grad = sftn_calloc((size_t)(n < 0 ? 0 : n), sizeof *grad);
    if (n < 0 || !grad) {
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory while building gradients");
    } else {
        status = sftn_graph_gradients(g, loss, leaves, n, grad, err);
        if (status == SFTN_OK) {
            missed = deliver(g, leaves, grad, n);
            status = sftn_graph_status(g, err);
        }
    }
    if (unreached)
        *unreached = missed;
    free(leaves);
    free(grad);
    return status;
}
