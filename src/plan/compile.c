/*
 * compile.c: from a graph to steps: kernel choice, layout assignment, explicit reorders.
 *
 * Nodes are taken in order.  Each is offered its operands as they lie; the backend's kernel may ask
 * for another form, which a reorder step makes once and all later readers share.
 */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

typedef struct compiler {
    sftn_plan *plan;
    const sftn_graph *g;
    bool *frozen;  /* per value */
    int *primary;  /* per value: its first form's buffer, or -1 */
    int *sink_at;  /* per value: first sink of kind GRAD, or -1 */
    int *sink_next; /* per sink: the next of the same value */
} compiler;

static int add_buffer(sftn_plan *plan, const sftn_desc *desc, sftn_place place)
{
    if (!sftn_grow(&plan->buffer, &plan->buffer_capacity, plan->nbuffers + 1, sizeof(sftn_buffer)))
        return -1;
    plan->buffer[plan->nbuffers] = (sftn_buffer){
        .desc = *desc, .place = place, .alias = -1, .next_form = -1, .first = -1, .last = -1};
    return plan->nbuffers++;
}

/* Append a step to the frozen or the ordinary list. */
static sftn_plan_step *add_step(sftn_plan *plan, bool frozen, const char *op, const char *scope)
{
    sftn_step_list *list = frozen ? &plan->frozen : &plan->steps;
    sftn_plan_step *s;

    if (!sftn_grow(&list->step, &list->capacity, list->n + 1, sizeof *list->step))
        return NULL;
    s = &list->step[list->n++];
    *s = (sftn_plan_step){.op = op, .scope = sftn_pool_strdup(&plan->pool, scope), .workspace = -1};
    return s;
}

static sftn_status out_of_memory(sftn_error *err)
{
    return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory while compiling a plan");
}

/* Add a step that copies buffer src to buffer dst. */
static sftn_status add_reorder(compiler *c, int src, int dst, bool frozen, const char *scope,
                               sftn_error *err)
{
    sftn_plan *plan = c->plan;
    sftn_plan_step *s = add_step(plan, frozen, "reorder", scope);

    if (s == NULL)
        return out_of_memory(err);
    s->nin = s->nout = 1;
    s->in[0] = src;
    s->out[0] = dst;
    return plan->backend->reorder(plan->backend_state, &plan->buffer[src].desc,
                                  &plan->buffer[dst].desc, &s->kernel, err);
}

/* The buffer holding v in the form of desc, made by a reorder where there is none; -1: failed. */
static int form_of(compiler *c, sftn_value v, const sftn_desc *desc, const char *scope,
                   sftn_error *err)
{
    sftn_plan *plan = c->plan;
    int made, last = c->primary[v.id];

    for (int b = last; b >= 0; b = plan->buffer[b].next_form) {
        if (sftn_desc_same(&plan->buffer[b].desc, desc))
            return b;
        last = b;
    }
    made = add_buffer(plan, desc, c->frozen[v.id] ? SFTN_PLACE_FROZEN : SFTN_PLACE_ARENA);
    if (made < 0) {
        out_of_memory(err);
        return -1;
    }
    if (add_reorder(c, c->primary[v.id], made, c->frozen[v.id], scope, err) != SFTN_OK)
        return -1;
    plan->buffer[last].next_form = made;
    return made;
}

static sftn_desc natural_desc(const sftn_plan *plan, const sftn_type *type, sftn_layout layout)
{
    return sftn_desc_of(&type->shape, plan->backend->dtype(plan->backend_state, type->wide),
                        layout);
}

static sftn_status add_port(sftn_plan *plan, sftn_plan_port **list, int *n, int *capacity,
                            const char *name, int buffer, sftn_error *err)
{
    if (!sftn_grow(list, capacity, *n + 1, sizeof **list))
        return out_of_memory(err);
    (*list)[*n] =
        (sftn_plan_port){.name = sftn_pool_strdup(&plan->pool, name), .buffer = buffer};
    if ((*list)[(*n)++].name == NULL)
        return out_of_memory(err);
    return SFTN_OK;
}

/* A value in the form that an input of its type has. */
static sftn_desc input_desc(const sftn_plan *plan, const sftn_type *type)
{
    return natural_desc(plan, type, plan->backend->input_layout(plan->backend_state, type));
}

/* The buffer of an input: memory of its own, or the feeder's, as it lies there; -1: failed. */
static int input_buffer(sftn_plan *plan, const sftn_leaf *leaf, sftn_error *err)
{
    const sftn_type type = sftn_leaf_type(leaf);
    const sftn_desc desc = input_desc(plan, &type);
    const sftn_plan *feeder = plan->options.feeder;
    const sftn_buffer *fed = feeder ? sftn_plan_port_buffer(feeder, leaf->name) : NULL;
    int b;

    if (fed != NULL && (!sftn_shape_equal(&fed->desc.shape, &type.shape) ||
                        fed->desc.dtype != desc.dtype || plan->backend != feeder->backend)) {
        char here[96], there[96];

        sftn_shape_format(&type.shape, here, sizeof here);
        sftn_shape_format(&fed->desc.shape, there, sizeof there);
        sftn_fail(err, SFTN_ERR_ARGUMENT,
                  "input '%s' is %s here and %s in the plan that feeds it: expected the same "
                  "shape, precision and backend", leaf->name, here, there);
        return -1;
    }
    b = add_buffer(plan, fed ? &fed->desc : &desc, fed ? SFTN_PLACE_EXTERNAL : SFTN_PLACE_KEPT);
    if (b < 0)
        out_of_memory(err);
    else if (fed)
        plan->buffer[b].data = fed->data;
    return b;
}

static sftn_status compile_leaf(compiler *c, const sftn_node *n, sftn_error *err)
{
    sftn_plan *plan = c->plan;
    const sftn_leaf *leaf = n->attr;
    int b;

    if (leaf->kind == SFTN_LEAF_INPUT) {
        b = input_buffer(plan, leaf, err);
        if (b < 0)
            return err != NULL ? err->status : SFTN_ERR_MEMORY;
        if (add_port(plan, &plan->input, &plan->ninputs, &plan->input_capacity, leaf->name, b,
                     err) != SFTN_OK)
            return SFTN_ERR_MEMORY;
    } else if (leaf->kind == SFTN_LEAF_PARAM) {
        const sftn_desc desc = sftn_desc_of(&leaf->shape, SFTN_F32, SFTN_NCHW);

        b = add_buffer(plan, &desc, SFTN_PLACE_EXTERNAL);
        if (b >= 0)
            plan->buffer[b].data = sftn_params_value(leaf->params, leaf->index);
    } else {
        const sftn_type type = sftn_leaf_type(leaf);
        const sftn_desc desc = natural_desc(plan, &type, SFTN_NCHW);

        b = add_buffer(plan, &desc, SFTN_PLACE_FROZEN);
        if (b >= 0)
            plan->buffer[b].constant = leaf;
    }
    c->primary[n->out[0].id] = b;
    return b < 0 ? out_of_memory(err) : SFTN_OK;
}

/* A value that is its operand's memory read with another shape. */
static sftn_status compile_view(compiler *c, const sftn_node *n, sftn_error *err)
{
    sftn_plan *plan = c->plan;
    const sftn_buffer *primary = &plan->buffer[c->primary[n->in[0].id]];
    const sftn_desc plain = sftn_desc_of(&primary->desc.shape, primary->desc.dtype, SFTN_NCHW);
    const sftn_shape shape = sftn_value_shape(c->g, n->out[0]);
    const sftn_desc seen = sftn_desc_of(&shape, plain.dtype, SFTN_NCHW);
    const int src = form_of(c, n->in[0], &plain, n->scope, err);
    int b;

    if (src < 0)
        return err != NULL ? err->status : SFTN_ERR_MEMORY;
    b = add_buffer(plan, &seen, SFTN_PLACE_ALIAS);
    if (b < 0)
        return out_of_memory(err);
    plan->buffer[b].alias = src;
    c->primary[n->out[0].id] = b;
    return SFTN_OK;
}

/* Steps that bring the operands of n into the forms that the kernel asked for. */
static sftn_status bind_inputs(compiler *c, const sftn_node *n, const sftn_kernel_request *request,
                               int *in, sftn_error *err)
{
    for (int i = 0; i < n->nin; i++) {
        in[i] = form_of(c, n->in[i], &request->in[i], n->scope, err);
        if (in[i] < 0)
            return err != NULL ? err->status : SFTN_ERR_MEMORY;
    }
    return SFTN_OK;
}

static sftn_status compile_node(compiler *c, const sftn_node *n, sftn_error *err)
{
    sftn_plan *plan = c->plan;
    const bool frozen = n->nout > 0 && c->frozen[n->out[0].id];
    sftn_type in_type[SFTN_MAX_IN], out_type[SFTN_MAX_OUT];
    sftn_kernel_request request = {.node = n, .in_type = in_type, .out_type = out_type};
    sftn_kernel kernel = {.name = NULL};
    sftn_status status;
    sftn_plan_step *s;
    int in[SFTN_MAX_IN];

    for (int i = 0; i < n->nin; i++) {
        in_type[i] = sftn_value_type(c->g, n->in[i]);
        request.in[i] = plan->buffer[c->primary[n->in[i].id]].desc;
    }
    for (int i = 0; i < n->nout; i++) {
        out_type[i] = sftn_value_type(c->g, n->out[i]);
        request.out[i] = natural_desc(plan, &out_type[i], SFTN_NHWC);
    }
    if (!plan->backend->has(n->op))
        return sftn_fail(err, SFTN_ERR_UNSUPPORTED, "backend %s has no kernel for op '%s'%s%s",
                         plan->backend->name, n->op->name, n->scope[0] != '\0' ? " of " : "",
                         n->scope);
    status = plan->backend->kernel(plan->backend_state, &request, &kernel, err);
    if (status != SFTN_OK)
        return status;
    status = bind_inputs(c, n, &request, in, err);
    s = status == SFTN_OK ? add_step(plan, frozen, n->op->name, n->scope) : NULL;
    if (s == NULL) {
        if (kernel.destroy != NULL)
            kernel.destroy(kernel.state);
        return status != SFTN_OK ? status : out_of_memory(err);
    }
    s->kernel = kernel;
    s->nin = n->nin;
    s->nout = n->nout;
    memcpy(s->in, in, sizeof in);
    if (n->op->print != NULL)
        n->op->print(n->attr, s->detail, sizeof s->detail);
    for (int i = 0; i < n->nout; i++) {
        s->out[i] =
            add_buffer(plan, &request.out[i], frozen ? SFTN_PLACE_FROZEN : SFTN_PLACE_ARENA);
        if (s->out[i] < 0)
            return out_of_memory(err);
        c->primary[n->out[i].id] = s->out[i];
    }
    return SFTN_OK;
}

/* A buffer that is memory outside the plan, float32 and plain. */
static int external_buffer(sftn_plan *plan, const sftn_shape *shape, void *data)
{
    const sftn_desc desc = sftn_desc_of(shape, SFTN_F32, SFTN_NCHW);
    const int b = add_buffer(plan, &desc, SFTN_PLACE_EXTERNAL);

    if (b >= 0)
        plan->buffer[b].data = data;
    return b;
}

/*
 * Deliver v to the gradient array: its kernel writes there directly where it can, else a reorder
 * does.
 */
static sftn_status deliver_grad(compiler *c, const sftn_sink *sink, sftn_error *err)
{
    sftn_plan *plan = c->plan;
    const int b = c->primary[sink->value.id];
    const sftn_param *param = sftn_params_get(sink->params, sink->index);
    const sftn_desc wanted = sftn_desc_of(&param->shape, SFTN_F32, SFTN_NCHW);
    float *data = sftn_params_grad(sink->params, sink->index);
    int dst;

    if (plan->buffer[b].place == SFTN_PLACE_ARENA &&
        sftn_desc_same(&plan->buffer[b].desc, &wanted)) {
        plan->buffer[b].place = SFTN_PLACE_EXTERNAL;
        plan->buffer[b].data = data;
        return SFTN_OK;
    }
    dst = external_buffer(plan, &param->shape, data);
    if (dst < 0)
        return out_of_memory(err);
    return add_reorder(c, b, dst, c->frozen[sink->value.id], param->name, err);
}

static sftn_status deliver_grads_of(compiler *c, const sftn_node *n, sftn_error *err)
{
    for (int i = 0; i < n->nout; i++)
        for (int s = c->sink_at[n->out[i].id]; s >= 0; s = c->sink_next[s]) {
            const sftn_status status = deliver_grad(c, &c->g->sink[s], err);

            if (status != SFTN_OK)
                return status;
        }
    return SFTN_OK;
}

/* Outputs and updates, after all nodes: an update must not be seen by this run's readers. */
static sftn_status deliver_rest(compiler *c, sftn_error *err)
{
    sftn_plan *plan = c->plan;
    sftn_status status = SFTN_OK;

    for (int i = 0; i < c->g->nsinks && status == SFTN_OK; i++) {
        const sftn_sink *sink = &c->g->sink[i];
        int b = c->primary[sink->value.id];

        if (sink->kind == SFTN_SINK_UPDATE) {
            const sftn_param *param = sftn_params_get(sink->params, sink->index);
            const int dst = external_buffer(plan, &param->shape,
                                            sftn_params_value(sink->params, sink->index));

            status = dst < 0 ? out_of_memory(err)
                             : add_reorder(c, b, dst, false, param->name, err);
        } else if (sink->kind == SFTN_SINK_OUTPUT) {
            const sftn_type type = sftn_value_type(c->g, sink->value);
            const sftn_desc plain = input_desc(plan, &type);
            const sftn_desc *desc = &plan->buffer[b].desc;

            /* Another plan may read it; a kernel may have made it wider than its type asks. */
            if (desc->layout == SFTN_PACKED || desc->dtype != plain.dtype)
                b = form_of(c, sink->value, &plain, sink->name, err);
            status = b < 0 ? SFTN_ERR_MEMORY
                           : add_port(plan, &plan->output, &plan->noutputs,
                                      &plan->output_capacity, sink->name, b, err);
        }
    }
    return status;
}

static sftn_status compile_nodes(compiler *c, sftn_error *err)
{
    sftn_status status = SFTN_OK;

    for (int i = 0; i < c->g->nnodes && status == SFTN_OK; i++) {
        const sftn_node *n = &c->g->node[i];

        if (n->op == &sftn_op_leaf)
            status = compile_leaf(c, n, err);
        else if (n->op->view)
            status = compile_view(c, n, err);
        else
            status = compile_node(c, n, err);
        if (status != SFTN_OK)
            return n->scope[0] != '\0' ? sftn_fail_in(err, "%s", n->scope) : status;
        status = deliver_grads_of(c, n, err);
    }
    return status == SFTN_OK ? deliver_rest(c, err) : status;
}

sftn_status sftn_plan_compile(sftn_plan *plan, sftn_error *err)
{
    const sftn_graph *g = plan->graph;
    compiler c = {.plan = plan, .g = g};
    sftn_status status = SFTN_ERR_MEMORY;

    c.frozen = sftn_plan_frozen_values(g);
    c.primary = sftn_calloc((size_t)g->nvalues, sizeof *c.primary);
    c.sink_at = sftn_calloc((size_t)g->nvalues, sizeof *c.sink_at);
    c.sink_next = sftn_calloc((size_t)g->nsinks + 1, sizeof *c.sink_next);
    if (c.frozen == NULL || c.primary == NULL || c.sink_at == NULL || c.sink_next == NULL) {
        out_of_memory(err);
    } else {
        for (int v = 0; v < g->nvalues; v++)
            c.primary[v] = c.sink_at[v] = -1;
        for (int s = 0; s < g->nsinks; s++)
            if (g->sink[s].kind == SFTN_SINK_GRAD) {
                c.sink_next[s] = c.sink_at[g->sink[s].value.id];
                c.sink_at[g->sink[s].value.id] = s;
            }
        status = compile_nodes(&c, err);
    }
    free(c.frozen);
    free(c.primary);
    free(c.sink_at);
    free(c.sink_next);
    return status;
}
