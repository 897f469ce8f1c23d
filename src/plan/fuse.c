/*
 * fuse.c: neighbouring pointwise nodes become one program.
 *
 * A pointwise value that only one pointwise node of the same shape reads is not stored: its formula
 * is carried along and becomes part of the reader's program.  So a batch normalization's scale and
 * shift, the residual addition and the ReLU read and write each activation once.  A value that is
 * also an output is stored besides, by a program of its own: so the reader computes the same bits
 * whether somebody asks for the output or not.
 */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

/* A formula not yet appended: operands in dst, and a program over them. */
typedef struct expression {
    int nin;
    sftn_value in[SFTN_MAX_IN];
    sftn_fused_attr program;
} expression;

typedef struct fuser {
    sftn_rewrite r;
    expression **pending; /* [src->nvalues]: formula of a value that is not stored, or NULL */
    int *reader;          /* [src->nvalues]: the only node that reads it, -1: none or several */
    bool *output;         /* [src->nvalues]: an output, to be stored besides */
    bool *frozen;
    sftn_pool pool;
    bool failed;
} fuser;

static bool find_readers(fuser *f)
{
    const sftn_graph *g = f->r.src;

    f->reader = sftn_calloc((size_t)g->nvalues, sizeof *f->reader);
    f->output = sftn_calloc((size_t)g->nvalues, sizeof *f->output);
    if (f->reader == NULL || f->output == NULL)
        return false;
    for (int v = 0; v < g->nvalues; v++)
        f->reader[v] = -2;
    for (int i = 0; i < g->nnodes; i++)
        for (int k = 0; k < g->node[i].nin; k++) {
            int *reader = &f->reader[g->node[i].in[k].id];

            *reader = *reader == -2 || *reader == i ? i : -1;
        }
    for (int i = 0; i < g->nsinks; i++) {
        if (g->sink[i].kind == SFTN_SINK_OUTPUT)
            f->output[g->sink[i].value.id] = true;
        else
            f->reader[g->sink[i].value.id] = -1;
    }
    return true;
}

/* Append the program of e as a node of dst. */
static sftn_value append_expression(fuser *f, const expression *e)
{
    return sftn_append(f->r.dst, &sftn_op_fused, &e->program, e->in, e->nin);
}

/* Register of operand v in e, added where new; -1 where e is full. */
static int operand_register(expression *e, sftn_value v)
{
    for (int i = 0; i < e->nin; i++)
        if (e->in[i].id == v.id)
            return i;
    if (e->nin == SFTN_MAX_IN)
        return -1;
    e->in[e->nin] = v;
    return e->nin++;
}

/*
 * While an expression is put together, instruction k's register is FIRST_CODE + k, so that adding
 * operands does not renumber; finish_expression makes it nin + k.
 */
enum { FIRST_CODE = SFTN_MAX_IN };

/* Put the code of `from` into e; the register of its result, or -1 where it does not fit. */
static int merge(expression *e, const expression *from)
{
    uint8_t map[SFTN_FUSED_MAX_REG];
    expression grown = *e;

    if (grown.program.ncode + from->program.ncode >= SFTN_FUSED_MAX_CODE)
        return -1;
    for (int i = 0; i < from->nin; i++) {
        const int reg = operand_register(&grown, from->in[i]);

        if (reg < 0)
            return -1;
        map[i] = (uint8_t)reg;
    }
    for (int i = 0; i < from->program.ncode; i++) {
        sftn_instruction c = from->program.code[i];

        c.a = map[c.a];
        c.b = map[c.b];
        map[from->nin + i] = (uint8_t)(FIRST_CODE + grown.program.ncode);
        grown.program.code[grown.program.ncode++] = c;
    }
    *e = grown;
    return FIRST_CODE + e->program.ncode - 1;
}

static void finish_expression(expression *e)
{
    for (int i = 0; i < e->program.ncode; i++) {
        sftn_instruction *c = &e->program.code[i];

        if (c->a >= FIRST_CODE)
            c->a = (uint8_t)(c->a - FIRST_CODE + e->nin);
        if (c->b >= FIRST_CODE)
            c->b = (uint8_t)(c->b - FIRST_CODE + e->nin);
    }
}

/* Make a pending formula's value one that is stored. */
static void store(fuser *f, sftn_value v)
{
    if (f->pending[v.id] != NULL && sftn_is_none(f->r.map[v.id]))
        f->r.map[v.id] = append_expression(f, f->pending[v.id]);
    f->pending[v.id] = NULL;
}

/* Register for operand v of a node made into e: its pending formula's, or a stored value's. */
static int operand(fuser *f, expression *e, sftn_value v)
{
    expression *pending = f->pending[v.id];

    if (pending != NULL) {
        const int reg = merge(e, pending);

        if (reg >= 0)
            return reg;
        store(f, v);
    }
    return operand_register(e, f->r.map[v.id]);
}

/* True where the value of n is to be carried into its only reader. */
static bool carried(const fuser *f, const sftn_node *n)
{
    const sftn_graph *g = f->r.src;
    const int reader = f->reader[n->out[0].id];
    const sftn_node *to;

    if (reader < 0)
        return false;
    to = &g->node[reader];
    return to->op->pointwise != 0 && f->frozen[n->out[0].id] == f->frozen[to->out[0].id] &&
           sftn_same_shape(g, n->out[0], to->out[0]);
}

static void fuse_node(fuser *f, const sftn_node *n)
{
    const sftn_pointwise_attr *attr = n->attr;
    const bool two =
        sftn_pointwise_operands(n->op->pointwise) == 2 && n->in[0].id != n->in[1].id;
    expression *e = sftn_pool_alloc(&f->pool, sizeof *e);
    int a, b;

    if (e == NULL) {
        f->failed = true;
        return;
    }
    sftn_graph_set_scope(f->r.dst, n->scope);
    e->program.shape = sftn_value_shape(f->r.src, n->out[0]);
    e->program.wide = sftn_value_type(f->r.src, n->out[0]).wide;
    a = operand(f, e, n->in[0]);
    b = two && a >= 0 ? operand(f, e, n->in[1]) : a;
    if (a < 0 || b < 0) { /* too many operands at once: store what is pending and start again */
        for (int k = 0; k < n->nin; k++)
            store(f, n->in[k]);
        e->nin = e->program.ncode = 0;
        a = operand_register(e, f->r.map[n->in[0].id]);
        b = two ? operand_register(e, f->r.map[n->in[1].id]) : a;
    }
    e->program.code[e->program.ncode++] = (sftn_instruction){
        .op = (uint16_t)n->op->pointwise,
        .a = (uint8_t)a,
        .b = (uint8_t)b,
        .p = attr->p,
        .q = attr->q,
    };
    finish_expression(e);
    f->pending[n->out[0].id] = e;
    if (!carried(f, n))
        store(f, n->out[0]);
    else if (f->output[n->out[0].id])
        f->r.map[n->out[0].id] = append_expression(f, e);
}

sftn_graph *sftn_plan_fuse(const sftn_graph *g)
{
    fuser f = {.failed = false};
    sftn_graph *result = NULL;

    if (!sftn_rewrite_begin(&f.r, g))
        return NULL;
    f.pending = sftn_calloc((size_t)g->nvalues, sizeof *f.pending);
    f.frozen = sftn_plan_frozen_values(g);
    f.failed = f.pending == NULL || f.frozen == NULL || !find_readers(&f);
    for (int i = 0; i < g->nnodes && !f.failed; i++) {
        if (g->node[i].op->pointwise != 0)
            fuse_node(&f, &g->node[i]);
        else
            sftn_rewrite_copy(&f.r, &g->node[i]);
    }
    result = sftn_rewrite_end(&f.r);
    if (f.failed) {
        sftn_graph_free(result);
        result = NULL;
    }
    free(f.pending);
    free(f.frozen);
    free(f.reader);
    free(f.output);
    sftn_pool_free(&f.pool);
    return result;
}
