/*
 * memory.c: all thinking about memory.
 *
 * Every buffer of the arena is needed from the step that writes it to the last step that reads it.
 * A kernel that may work in place takes over an operand that dies with it.  The rest is placed
 * largest first, each at the lowest offset where no buffer alive at the same time lies.
 */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void touch(sftn_plan *plan, int b, int step)
{
    sftn_buffer *root = &plan->buffer[sftn_buffer_root(plan, b)];

    if (root->first < 0 || root->first > step)
        root->first = step;
    if (root->last < step)
        root->last = step;
}

/* Workspaces become buffers that live for one step; then lifetimes from first to last use. */
static bool find_lifetimes(sftn_plan *plan)
{
    for (int i = 0; i < plan->steps.n; i++) {
        sftn_plan_step *s = &plan->steps.step[i];

        if (s->kernel.workspace > 0) {
            if (!sftn_grow(&plan->buffer, &plan->buffer_capacity, plan->nbuffers + 1,
                           sizeof(sftn_buffer)))
                return false;
            plan->buffer[plan->nbuffers] = (sftn_buffer){.desc.bytes = s->kernel.workspace,
                                                         .place = SFTN_PLACE_ARENA,
                                                         .alias = -1,
                                                         .next_form = -1,
                                                         .first = i,
                                                         .last = i};
            s->workspace = plan->nbuffers++;
        }
        for (int k = 0; k < s->nin; k++)
            touch(plan, s->in[k], i);
        for (int k = 0; k < s->nout; k++)
            touch(plan, s->out[k], i);
    }
    return true;
}

/* Outputs are read after the run, when another plan may have used the arena. */
static void keep_outputs(sftn_plan *plan)
{
    for (int i = 0; i < plan->noutputs; i++) {
        sftn_buffer *root = &plan->buffer[sftn_buffer_root(plan, plan->output[i].buffer)];

        if (root->place == SFTN_PLACE_ARENA)
            root->place = SFTN_PLACE_KEPT;
    }
}

/* Let step i write over an operand that nobody reads later. */
static void work_in_place(sftn_plan *plan, int i)
{
    const sftn_plan_step *s = &plan->steps.step[i];
    sftn_buffer *out = &plan->buffer[s->out[0]];

    if (s->nout == 0 || out->place != SFTN_PLACE_ARENA)
        return;
    for (int k = 0; k < s->nin; k++) {
        const int root = sftn_buffer_root(plan, s->in[k]);
        sftn_buffer *in = &plan->buffer[root];

        if ((s->kernel.in_place >> k & 1u) == 0 || in->place != SFTN_PLACE_ARENA ||
            in->last != i || in->first >= i || in->desc.bytes != out->desc.bytes)
            continue;
        in->last = out->last;
        out->place = SFTN_PLACE_ALIAS;
        out->alias = root;
        return;
    }
}

static int by_size(const void *a, const void *b)
{
    const sftn_buffer *x = *(sftn_buffer *const *)a, *y = *(sftn_buffer *const *)b;

    if (x->desc.bytes != y->desc.bytes)
        return x->desc.bytes < y->desc.bytes ? 1 : -1;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x < y ? -1 : 1);
}

static int by_offset(const void *a, const void *b)
{
    const sftn_buffer *x = *(sftn_buffer *const *)a, *y = *(sftn_buffer *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Lowest offset for b beside the n placed buffers alive with it (sorted by offset into `near`). */
static size_t lowest_gap(const sftn_buffer *b, sftn_buffer **placed, int n, sftn_buffer **near)
{
    size_t at = 0;
    int nnear = 0;

    for (int i = 0; i < n; i++)
        if (placed[i]->first <= b->last && b->first <= placed[i]->last)
            near[nnear++] = placed[i];
    qsort(near, (size_t)nnear, sizeof *near, by_offset);
    for (int i = 0; i < nnear; i++) {
        if (at + aligned(b->desc.bytes) <= near[i]->offset)
            break;
        if (near[i]->offset + aligned(near[i]->desc.bytes) > at)
            at = near[i]->offset + aligned(near[i]->desc.bytes);
    }
    return at;
}

static bool place_arena(sftn_plan *plan)
{
    sftn_buffer **order = sftn_calloc((size_t)plan->nbuffers + 1, sizeof *order);
    sftn_buffer **near = sftn_calloc((size_t)plan->nbuffers + 1, sizeof *near);
    int n = 0;

    for (int i = 0; order != NULL && near != NULL && i < plan->nbuffers; i++) {
        sftn_buffer *b = &plan->buffer[i];

        if (b->place == SFTN_PLACE_ARENA && b->first >= 0) {
            order[n++] = b;
            plan->value_bytes += aligned(b->desc.bytes);
        }
    }
    if (n > 0)
        qsort(order, (size_t)n, sizeof *order, by_size);
    for (int i = 0; i < n; i++) {
        order[i]->offset = lowest_gap(order[i], order, i, near);
        if (order[i]->offset + aligned(order[i]->desc.bytes) > plan->arena_bytes)
            plan->arena_bytes = order[i]->offset + aligned(order[i]->desc.bytes);
    }
    free(near);
    free(order);
    return order != NULL && near != NULL;
}

/* Frozen results, inputs and outputs are kept: they lie one after the other. */
static void place_kept(sftn_plan *plan)
{
    for (int i = 0; i < plan->nbuffers; i++) {
        sftn_buffer *b = &plan->buffer[i];
        size_t *end = b->place == SFTN_PLACE_FROZEN ? &plan->frozen_bytes : &plan->kept_bytes;

        if (b->place != SFTN_PLACE_FROZEN && b->place != SFTN_PLACE_KEPT)
            continue;
        b->offset = *end;
        *end += aligned(b->desc.bytes);
    }
    for (int i = 0; i < plan->frozen.n; i++) {
        const size_t bytes = plan->frozen.step[i].kernel.workspace;

        if (aligned(bytes) > plan->arena_bytes) /* refresh borrows the arena */
            plan->arena_bytes = aligned(bytes);
    }
}

/* Make arena hold at least bytes; what was in it is gone. */
static bool reserve(sftn_arena *arena, size_t bytes)
{
    void *memory;

    if (bytes <= arena->bytes)
        return true;
    memory = sftn_aligned_uncleared(bytes);
    if (memory == NULL)
        return false;
    free(arena->memory);
    *arena = (sftn_arena){memory, bytes};
    return true;
}

static void *address(const sftn_plan *plan, int b)
{
    const sftn_buffer *root = &plan->buffer[sftn_buffer_root(plan, b)];

    switch (root->place) {
    case SFTN_PLACE_ARENA:
        return (char *)plan->arena + root->offset;
    case SFTN_PLACE_FROZEN:
        return (char *)plan->frozen_memory + root->offset;
    case SFTN_PLACE_KEPT:
        return (char *)plan->kept_memory + root->offset;
    default:
        return root->data;
    }
}

static void bind_steps(sftn_plan *plan, sftn_step_list *list)
{
    for (int i = 0; i < list->n; i++) {
        sftn_plan_step *s = &list->step[i];

        for (int k = 0; k < s->nin; k++)
            s->in_data[k] = plan->buffer[s->in[k]].data;
        for (int k = 0; k < s->nout; k++)
            s->out_data[k] = plan->buffer[s->out[k]].data;
        s->workspace_data = s->workspace >= 0 ? plan->buffer[s->workspace].data : plan->arena;
    }
}

static void bind_ports(sftn_plan *plan, sftn_plan_port *port, int n)
{
    for (int i = 0; i < n; i++) {
        const sftn_buffer *b = &plan->buffer[port[i].buffer];

        port[i].tensor = (sftn_tensor){b->data, b->desc.dtype, b->desc.layout, b->desc.shape};
    }
}

static void bind(sftn_plan *plan)
{
    for (int b = 0; b < plan->nbuffers; b++)
        plan->buffer[b].data = address(plan, b);
    bind_steps(plan, &plan->frozen);
    bind_steps(plan, &plan->steps);
    bind_ports(plan, plan->input, plan->ninputs);
    bind_ports(plan, plan->output, plan->noutputs);
}

sftn_status sftn_plan_assign_memory(sftn_plan *plan, sftn_error *err)
{
    sftn_arena *shared = plan->options.arena;
    bool ok = find_lifetimes(plan);

    if (ok)
        keep_outputs(plan);
    for (int i = 0; ok && i < plan->steps.n; i++)
        work_in_place(plan, i);
    ok = ok && place_arena(plan);
    if (ok)
        place_kept(plan);
    if (ok && shared)
        plan->arena = reserve(shared, plan->arena_bytes + ALIGNMENT) ? shared->memory : NULL;
    else if (ok)
        plan->arena = sftn_aligned_uncleared(plan->arena_bytes + ALIGNMENT);
    plan->frozen_memory = ok ? sftn_aligned(plan->frozen_bytes + ALIGNMENT) : NULL;
    plan->kept_memory = ok ? sftn_aligned(plan->kept_bytes + ALIGNMENT) : NULL;
    if (plan->arena == NULL || plan->frozen_memory == NULL || plan->kept_memory == NULL)
        return sftn_fail(err, SFTN_ERR_MEMORY,
                         "out of memory: a plan needs %.1f MiB for activations",
                         (double)plan->arena_bytes / 1048576.0);
    bind(plan);
    return SFTN_OK;
}

void sftn_plan_follow_arena(sftn_plan *plan)
{
    if (plan->options.arena == NULL || plan->arena == plan->options.arena->memory)
        return;
    plan->arena = plan->options.arena->memory;
    bind(plan);
}

sftn_arena *sftn_arena_new(void)
{
    return sftn_calloc(1, sizeof(sftn_arena));
}

void sftn_arena_free(sftn_arena *arena)
{
    if (arena == NULL)
        return;
    free(arena->memory);
    free(arena);
}
