/*
 * dnnl_conv: convolutions on oneDNN: images channels last, weights in the layout that
 * oneDNN likes best.
 *
 * A bfloat16 plan asks for bfloat16 kernels first; where the machine has none (or only a slow
 * reference one) it takes float32 kernels, and its operands are converted around them.
 */
#include "backend/cpu/dnnl_api.h"

#include <string.h>

typedef struct conv_pd {
    sftn_conv_problem problem;
    dnnl_primitive_desc_t forward, pd; /* pd == forward for the forward pass */
} conv_pd;

static void conv_pd_free(conv_pd *c)
{
    if (c->pd != NULL && c->pd != c->forward)
        dnnl_primitive_desc_destroy(c->pd);
    if (c->forward != NULL)
        dnnl_primitive_desc_destroy(c->forward);
    sftn_md_free(&c->problem.x);
    sftn_md_free(&c->problem.w);
    sftn_md_free(&c->problem.y);
    c->forward = c->pd = NULL;
}

/* Padding after the last pixel such that the output comes out as large as inference said. */
static dnnl_dim_t pad_after(const sftn_conv *s, int axis)
{
    const int64_t covered = (s->y.dim[axis] - 1) * s->stride + s->w.dim[axis];
    const int64_t need = covered - s->x.dim[axis] - s->pad;

    return need > 0 ? need : 0;
}

static dnnl_status_t describe(conv_pd *c, const sftn_conv *s, dnnl_data_type_t type,
                              dnnl_data_type_t weight_type)
{
    const int64_t *w = s->w.dim, groups = s->groups;
    const int64_t grouped[] = {groups, w[0] / groups, w[1], w[2], w[3]};
    sftn_conv_problem *p = &c->problem;
    dnnl_status_t status;

    for (int i = 0; i < 2; i++) {
        p->stride[i] = s->stride;
        p->pad_before[i] = s->pad;
        p->pad_after[i] = pad_after(s, SFTN_H + i);
    }
    status = sftn_md_tag(&p->x, SFTN_DIMS, s->x.dim, type, dnnl_nhwc);
    if (status == dnnl_success)
        status = sftn_md_tag(&p->y, SFTN_DIMS, s->y.dim, type, dnnl_nhwc);
    if (status == dnnl_success)
        status = groups > 1 ? sftn_md_tag(&p->w, 5, grouped, weight_type, dnnl_format_tag_any)
                            : sftn_md_tag(&p->w, 4, w, weight_type, dnnl_format_tag_any);
    return status;
}

/* Primitive descriptors for these types; false: oneDNN has none. */
static bool find_pd(sftn_dnnl *d, const sftn_conv *s, sftn_conv_kind kind, dnnl_data_type_t type,
                    dnnl_data_type_t weight_type, conv_pd *c)
{
    conv_pd forward;
    bool ok;

    memset(c, 0, sizeof *c);
    if (kind == SFTN_CONV_FORWARD) {
        ok = describe(c, s, type, type) == dnnl_success &&
             sftn_conv_pd(&c->forward, kind, &c->problem, d->engine, d->attr, NULL) ==
                 dnnl_success;
        c->pd = c->forward;
    } else {
        /* The forward pass, only a hint here, must have weights of the images' type. */
        ok = find_pd(d, s, SFTN_CONV_FORWARD, type, type, &forward);
        if (!ok)
            return false;
        c->forward = forward.forward;
        forward.forward = forward.pd = NULL;
        conv_pd_free(&forward);
        ok = describe(c, s, type, weight_type) == dnnl_success &&
             sftn_conv_pd(&c->pd, kind, &c->problem, d->engine, d->attr, c->forward) ==
                 dnnl_success;
    }
    if (!ok)
        conv_pd_free(c);
    return ok;
}

/* The first of the types in order of preference that oneDNN has a fast kernel for. */
static bool choose_pd(const sftn_cpu *cpu, const sftn_conv *s, conv_pd *c)
{
    static const dnnl_data_type_t order[][2] = {
        {dnnl_bf16, dnnl_f32}, {dnnl_bf16, dnnl_bf16}, {dnnl_f32, dnnl_f32}};

    for (size_t i = cpu->precision == SFTN_BFLOAT16 ? 0 : 2; i < SFTN_COUNT(order); i++) {
        /* float32 weights beside bfloat16 images exist for the weight gradient alone */
        if (order[i][0] != order[i][1] && s->kind != SFTN_CONV_WEIGHT)
            continue;
        if (!find_pd(cpu->dnnl, s, s->kind, order[i][0], order[i][1], c))
            continue;
        if (order[i][0] == dnnl_f32 || strstr(sftn_dnnl_name(c->pd), "ref") == NULL)
            return true;
        conv_pd_free(c);
    }
    return false;
}

static sftn_const_md diff_weights(const conv_pd *c)
{
    return dnnl_primitive_desc_query_md(c->pd, dnnl_query_diff_weights_md, 0);
}

/*
 * The number of equal parts of the batch that a weight gradient is made of: one for each thread
 * where the images can be dealt out evenly, else 1.
 */
static int weight_parts(const sftn_cpu *cpu, const sftn_conv *s)
{
    const sftn_dnnl *d = cpu->dnnl;

    return d->lane != NULL && s->x.dim[SFTN_N] % d->threads == 0 ? d->threads : 1;
}

/*
 * A primitive descriptor for one of *parts parts of the batch; *parts becomes 1 where the parts'
 * results could not be added in float32.
 */
static bool choose_part(const sftn_cpu *cpu, const sftn_conv *s, int *parts, conv_pd *c)
{
    const sftn_dnnl *d = cpu->dnnl;

    if (*parts > 1) {
        sftn_conv part = *s;
        bool ok;

        part.x.dim[SFTN_N] /= *parts;
        part.y.dim[SFTN_N] /= *parts;
        sftn_dnnl_use_threads(&d->lane[0]);
        ok = choose_pd(cpu, &part, c);
        if (ok && sftn_md_type(diff_weights(c)) == dnnl_f32)
            return true;
        if (ok)
            conv_pd_free(c);
        *parts = 1;
    }
    sftn_dnnl_use_threads(d);
    return choose_pd(cpu, s, c);
}

sftn_status sftn_dnnl_conv(sftn_cpu *cpu, const sftn_conv *s, sftn_kernel *kernel,
                           sftn_error *err)
{
    static const char *const names[] = {"conv", "conv data", "conv weight"};
    const sftn_conv_kind kind = s->kind;
    const bool weight = kind == SFTN_CONV_WEIGHT, data = kind == SFTN_CONV_DATA;
    int parts = weight ? weight_parts(cpu, s) : 1;
    sftn_status status;
    sftn_dtype dtype;
    sftn_const_md md;
    conv_pd c;

    if (!choose_part(cpu, s, &parts, &c))
        return sftn_fail(err, SFTN_ERR_UNSUPPORTED,
                         "oneDNN has no kernel for a %s of these sizes on this machine", s->op);
    dtype = sftn_md_type(SFTN_MD(c.problem.x)) == dnnl_bf16 ? SFTN_BF16 : SFTN_F32;
    *s->dx = sftn_desc_of(&s->x, dtype, SFTN_NHWC);
    *s->dy = sftn_desc_of(&s->y, dtype, SFTN_NHWC);
    md = weight ? diff_weights(&c) : dnnl_primitive_desc_query_md(c.pd, dnnl_query_weights_md, 0);
    status = sftn_dnnl_desc(cpu->dnnl, &s->w, md, s->dw, err);
    if (status == SFTN_OK) {
        const sftn_dnnl_arg arg[] = {
            {data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, data ? SFTN_DNNL_OUT : SFTN_DNNL_IN, 0,
             SFTN_MD(c.problem.x)},
            {weight ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS,
             weight ? SFTN_DNNL_OUT : SFTN_DNNL_IN, weight ? 0 : 1, md},
            {kind == SFTN_CONV_FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST,
             kind == SFTN_CONV_FORWARD ? SFTN_DNNL_OUT : SFTN_DNNL_IN, weight ? 1 : 0,
             SFTN_MD(c.problem.y)},
        };

        status = parts > 1 ? sftn_dnnl_split_weight(cpu->dnnl, c.pd, parts, arg, 3, s->dx, s->dy,
                                                    s->dw, kernel, err)
                           : sftn_dnnl_kernel(cpu->dnnl, c.pd, names[kind], arg, 3, kernel, err);
    }
    conv_pd_free(&c);
    return status;
}
