/*
 * ref.c: the reference backend: every op's own kernel in double precision, plain layout, serial.
 *
 * It is the oracle for gradients and for the other backends, so it shares no code with them.
 */
#include "backend/backend.h"

#include <stdlib.h>
#include <string.h>

typedef struct ref_kernel {
    void (*ref)(const sftn_ref_args *k);
    sftn_ref_args args; /* pointers are bound in each run */
} ref_kernel;

static bool ref_has(const sftn_op *op)
{
    return op->ref != NULL;
}

static sftn_dtype ref_dtype(void *state, bool wide)
{
    (void)state;
    (void)wide;
    return SFTN_F64;
}

static sftn_layout ref_input_layout(void *state, const sftn_type *type)
{
    (void)state;
    (void)type;
    return SFTN_NCHW;
}

static const char *ref_run(void *state, void *const *in, void *const *out, void *workspace)
{
    ref_kernel *k = state;

    (void)workspace;
    for (int i = 0; i < k->args.nin; i++)
        k->args.in[i] = in[i];
    for (int i = 0; i < k->args.nout; i++)
        k->args.out[i] = out[i];
    k->ref(&k->args);
    return NULL;
}

static sftn_status ref_kernel_new(void *state, sftn_kernel_request *request, sftn_kernel *kernel,
                                  sftn_error *err)
{
    const sftn_node *n = request->node;
    ref_kernel *k = sftn_calloc(1, sizeof *k);

    (void)state;
    if (k == NULL)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a %s kernel", n->op->name);
    k->ref = n->op->ref;
    k->args.attr = n->attr;
    k->args.nin = n->nin;
    k->args.nout = n->nout;
    for (int i = 0; i < n->nin; i++) {
        k->args.in_type[i] = request->in_type[i];
        request->in[i] = sftn_desc_of(&request->in_type[i].shape, SFTN_F64, SFTN_NCHW);
    }
    for (int i = 0; i < n->nout; i++) {
        k->args.out_type[i] = request->out_type[i];
        request->out[i] = sftn_desc_of(&request->out_type[i].shape, SFTN_F64, SFTN_NCHW);
    }
    *kernel = (sftn_kernel){.name = "ref", .state = k, .run = ref_run, .destroy = free};
    return SFTN_OK;
}

typedef struct ref_convert {
    int64_t count;
    sftn_dtype src, dst;
} ref_convert;

static const char *ref_convert_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const ref_convert *c = state;

    (void)workspace;
    if (c->src == SFTN_F64 && c->dst == SFTN_F64)
        memcpy(out[0], in[0], (size_t)c->count * sizeof(double));
    else if (c->src == SFTN_F64)
        for (int64_t i = 0; i < c->count; i++)
            ((float *)out[0])[i] = (float)((const double *)in[0])[i];
    else
        for (int64_t i = 0; i < c->count; i++)
            ((double *)out[0])[i] = (double)((const float *)in[0])[i];
    return NULL;
}

/* Parameters are float32 outside: between those and doubles is all a plan needs here. */
static sftn_status ref_reorder(void *state, const sftn_desc *src, const sftn_desc *dst,
                               sftn_kernel *kernel, sftn_error *err)
{
    ref_convert *c;

    (void)state;
    if (src->layout != SFTN_NCHW || dst->layout != SFTN_NCHW ||
        (src->dtype != SFTN_F64 && dst->dtype != SFTN_F64))
        return sftn_fail(err, SFTN_ERR_UNSUPPORTED, "ref: values are plain doubles");
    c = sftn_calloc(1, sizeof *c);
    if (c == NULL)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for a reorder");
    *c = (ref_convert){sftn_shape_count(&src->shape), src->dtype, dst->dtype};
    *kernel = (sftn_kernel){
        .name = "ref convert", .state = c, .run = ref_convert_run, .destroy = free};
    return SFTN_OK;
}

const sftn_backend sftn_backend_ref = {
    .name = "ref",
    .has = ref_has,
    .dtype = ref_dtype,
    .input_layout = ref_input_layout,
    .kernel = ref_kernel_new,
    .reorder = ref_reorder,
};
