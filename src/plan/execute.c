/* execute.c: the life of a plan: made, refreshed, run, read, freed. */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

static sftn_graph *next_pass(sftn_graph *g, sftn_graph *passed)
{
    sftn_graph_free(g);
    return passed;
}

static bool is_output(const sftn_sink *s, const char *name)
{
    return s->kind == SFTN_SINK_OUTPUT && strcmp(s->name, name) == 0;
}

/* A pass may go on: there is a graph, and no pass before has recorded an error in it. */
static bool sound(const sftn_graph *g)
{
    return g != NULL && g->status == SFTN_OK;
}

/*
 * Drop the outputs that are not asked for.  Last of all: what the passes have made of the others
 * does not depend on it.
 */
static void select_outputs(sftn_graph *g, const char *const *names)
{
    int kept = 0;

    if (names == NULL)
        return;
    for (int k = 0; names[k] != NULL; k++) {
        bool found = false;

        for (int i = 0; i < g->nsinks; i++)
            found = found || is_output(&g->sink[i], names[k]);
        if (!found)
            sftn_graph_fail(g, "the graph has no output called '%s'", names[k]);
    }
    for (int i = 0; i < g->nsinks; i++) {
        bool keep = g->sink[i].kind != SFTN_SINK_OUTPUT;

        for (int k = 0; names[k] != NULL; k++)
            keep = keep || is_output(&g->sink[i], names[k]);
        if (keep)
            g->sink[kept++] = g->sink[i];
    }
    g->nsinks = kept;
}

/* The graph as the backend is to see it, with its own status; NULL: out of memory. */
static sftn_graph *run_passes(const sftn_graph *source, const sftn_plan *plan)
{
    const sftn_pass_context ctx = {
        .backend = plan->backend,
        .same_width = plan->backend->dtype(plan->backend_state, true) ==
                      plan->backend->dtype(plan->backend_state, false),
    };
    sftn_graph *g = sftn_graph_prune(source);

    if (sound(g))
        g = next_pass(g, sftn_plan_lower(g, &ctx));
    if (sound(g))
        g = next_pass(g, sftn_plan_simplify(g, &ctx));
    if (sound(g) && plan->backend->fuses && !plan->options.no_fusion)
        g = next_pass(g, sftn_plan_fuse(g));
    if (sound(g))
        select_outputs(g, plan->options.outputs);
    if (sound(g))
        g = next_pass(g, sftn_graph_prune(g));
    if (sound(g))
        g = next_pass(g, sftn_plan_recompute(g));
    return g;
}

static void fill_constants(sftn_plan *plan)
{
    for (int i = 0; i < plan->nbuffers; i++) {
        const sftn_buffer *b = &plan->buffer[i];
        const int64_t count = sftn_shape_count(&b->desc.shape);

        for (int64_t k = 0; b->constant != NULL && k < count; k++)
            sftn_element_set(b->data, b->desc.dtype, k, (double)b->constant->constant);
    }
}

static sftn_status build(sftn_plan *plan, const sftn_graph *g, sftn_error *err)
{
    sftn_status status = SFTN_OK;

    if (plan->backend->open != NULL)
        status = plan->backend->open(&plan->options, &plan->backend_state, err);
    if (status != SFTN_OK)
        return status;
    plan->graph = run_passes(g, plan);
    if (plan->graph == NULL)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory while rewriting a graph");
    status = sftn_graph_status(plan->graph, err);
    if (status == SFTN_OK)
        status = sftn_plan_compile(plan, err);
    if (status == SFTN_OK)
        status = sftn_plan_assign_memory(plan, err);
    if (status == SFTN_OK && plan->options.profile)
        status = sftn_profile_open(plan, err);
    if (status == SFTN_OK)
        fill_constants(plan);
    plan->options.outputs = NULL; /* the caller's, as long as the plan is being made */
    plan->options.feeder = NULL;
    return status;
}

sftn_status sftn_plan_new(const sftn_graph *g, const sftn_plan_options *options, sftn_plan **plan,
                          sftn_error *err)
{
    sftn_error local = {.status = SFTN_OK};
    sftn_status status = sftn_graph_status(g, err);
    sftn_plan *p;

    *plan = NULL;
    if (status != SFTN_OK)
        return status;
    p = sftn_calloc(1, sizeof *p);
    if (p == NULL)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a plan");
    if (options != NULL)
        p->options = *options;
    p->backend = sftn_backend_find(p->options.backend, err);
    status = p->backend == NULL ? SFTN_ERR_ARGUMENT : build(p, g, &local);
    if (status != SFTN_OK) {
        if (local.status != SFTN_OK)
            sftn_fail(err, status, "%s", local.text);
        sftn_plan_free(p);
        return status;
    }
    *plan = p;
    return SFTN_OK;
}

static void free_steps(sftn_step_list *list)
{
    for (int i = 0; i < list->n; i++)
        if (list->step[i].kernel.destroy != NULL)
            list->step[i].kernel.destroy(list->step[i].kernel.state);
    free(list->step);
}

void sftn_plan_free(sftn_plan *plan)
{
    if (plan == NULL)
        return;
    free_steps(&plan->steps);
    free_steps(&plan->frozen);
    if (plan->backend != NULL && plan->backend->close != NULL)
        plan->backend->close(plan->backend_state);
    sftn_graph_free(plan->graph);
    sftn_pool_free(&plan->pool);
    free(plan->buffer);
    free(plan->input);
    free(plan->output);
    if (plan->options.arena == NULL)
        free(plan->arena);
    free(plan->frozen_memory);
    free(plan->kept_memory);
    free(plan);
}

static sftn_status step_failed(const sftn_plan *plan, const sftn_step_list *list,
                               const sftn_plan_step *s, const char *why, sftn_error *err)
{
    char shapes[160];

    sftn_step_shapes(plan, s, shapes, sizeof shapes);
    return sftn_fail(err, SFTN_ERR_BACKEND, "%sstep %d, %s%s%s (%s): kernel '%s' failed: %s",
                     list == &plan->frozen ? "frozen " : "", (int)(s - list->step), s->op,
                     s->scope[0] != '\0' ? " of " : "", s->scope, shapes, s->kernel.name, why);
}

static sftn_status run_steps(const sftn_plan *plan, const sftn_step_list *list, sftn_error *err)
{
    double before = plan->options.profile ? sftn_seconds() : 0.0;

    for (int i = 0; i < list->n; i++) {
        const sftn_plan_step *s = &list->step[i];
        const char *why = s->kernel.run(s->kernel.state, s->in_data, s->out_data,
                                        s->workspace_data);

        if (why != NULL)
            return step_failed(plan, list, s, why, err);
        if (s->seconds != NULL) {
            const double after = sftn_seconds();

            s->seconds[plan->runs % SFTN_PROFILE_RUNS] = after - before;
            before = after;
        }
    }
    return SFTN_OK;
}

sftn_status sftn_plan_refresh(sftn_plan *plan, sftn_error *err)
{
    sftn_status status;

    sftn_plan_follow_arena(plan);
    status = run_steps(plan, &plan->frozen, err);
    plan->fresh = status == SFTN_OK;
    return status;
}

sftn_status sftn_plan_run(sftn_plan *plan, sftn_error *err)
{
    sftn_status status = plan->fresh ? SFTN_OK : sftn_plan_refresh(plan, err);

    if (status != SFTN_OK)
        return status;
    sftn_plan_follow_arena(plan);
    status = run_steps(plan, &plan->steps, err);
    plan->runs += status == SFTN_OK;
    return status;
}

static const sftn_plan_port *find_port(const sftn_plan_port *port, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(port[i].name, name) == 0)
            return &port[i];
    return NULL;
}

const sftn_buffer *sftn_plan_port_buffer(const sftn_plan *plan, const char *name)
{
    const sftn_plan_port *port = find_port(plan->output, plan->noutputs, name);

    if (port == NULL)
        port = find_port(plan->input, plan->ninputs, name);
    return port != NULL ? &plan->buffer[port->buffer] : NULL;
}

const sftn_tensor *sftn_plan_input(const sftn_plan *plan, const char *name)
{
    const sftn_plan_port *port = find_port(plan->input, plan->ninputs, name);

    return port != NULL ? &port->tensor : NULL;
}

/* The address of element (n,c,h,w) of a tensor, in elements; i counts in [N,C,H,W] order. */
static int64_t position(const sftn_tensor *t, int64_t i)
{
    const int64_t hw = t->shape.dim[SFTN_H] * t->shape.dim[SFTN_W], c = t->shape.dim[SFTN_C];
    const int64_t pixel = i % hw, channel = i / hw % c, image = i / hw / c;

    return t->layout == SFTN_NHWC ? (image * hw + pixel) * c + channel : i;
}

static const sftn_plan_port *port_or_error(const sftn_plan_port *port, int n, const char *what,
                                           const char *name, sftn_error *err)
{
    const sftn_plan_port *found = find_port(port, n, name);

    if (found == NULL)
        sftn_fail(err, SFTN_ERR_ARGUMENT, "the plan has no %s called '%s'", what, name);
    return found;
}

sftn_status sftn_plan_write(sftn_plan *plan, const char *name, const double *src, sftn_error *err)
{
    const sftn_plan_port *p = port_or_error(plan->input, plan->ninputs, "input", name, err);
    const int64_t count = p != NULL ? sftn_shape_count(&p->tensor.shape) : 0;

    for (int64_t i = 0; i < count; i++)
        sftn_element_set(p->tensor.data, p->tensor.dtype, position(&p->tensor, i), src[i]);
    return p != NULL ? SFTN_OK : SFTN_ERR_ARGUMENT;
}

sftn_status sftn_plan_write_float(sftn_plan *plan, const char *name, const float *src,
                                  sftn_error *err)
{
    const sftn_plan_port *p = port_or_error(plan->input, plan->ninputs, "input", name, err);
    const int64_t count = p != NULL ? sftn_shape_count(&p->tensor.shape) : 0;

    for (int64_t i = 0; i < count; i++)
        sftn_element_set(p->tensor.data, p->tensor.dtype, position(&p->tensor, i), (double)src[i]);
    return p != NULL ? SFTN_OK : SFTN_ERR_ARGUMENT;
}

sftn_status sftn_plan_read(const sftn_plan *plan, const char *name, double *dst, sftn_error *err)
{
    const sftn_plan_port *p = port_or_error(plan->output, plan->noutputs, "output", name, err);
    const int64_t count = p != NULL ? sftn_shape_count(&p->tensor.shape) : 0;

    for (int64_t i = 0; i < count; i++)
        dst[i] = sftn_element_get(p->tensor.data, p->tensor.dtype, position(&p->tensor, i));
    return p != NULL ? SFTN_OK : SFTN_ERR_ARGUMENT;
}

sftn_status sftn_plan_read_float(const sftn_plan *plan, const char *name, float *dst,
                                 sftn_error *err)
{
    const sftn_plan_port *p = port_or_error(plan->output, plan->noutputs, "output", name, err);
    const int64_t count = p != NULL ? sftn_shape_count(&p->tensor.shape) : 0;

    for (int64_t i = 0; i < count; i++)
        dst[i] = (float)sftn_element_get(p->tensor.data, p->tensor.dtype, position(&p->tensor, i));
    return p != NULL ? SFTN_OK : SFTN_ERR_ARGUMENT;
}

static double product_flops(const sftn_plan *plan)
{
    double flops = 0.0;

    for (int i = 0; i < plan->steps.n; i++)
        if (plan->steps.step[i].kernel.product)
            flops += plan->steps.step[i].kernel.flops;
    return flops;
}

sftn_plan_stats sftn_plan_get_stats(const sftn_plan *plan)
{
    return (sftn_plan_stats){
        .steps = plan->steps.n,
        .frozen_steps = plan->frozen.n,
        .arena_bytes = (int64_t)plan->arena_bytes,
        .kept_bytes = (int64_t)plan->kept_bytes,
        .frozen_bytes = (int64_t)plan->frozen_bytes,
        .total_value_bytes = (int64_t)plan->value_bytes,
        .product_flops = product_flops(plan),
    };
}
