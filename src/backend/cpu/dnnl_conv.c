/*
 * dnnl_conv: convolutions on oneDNN: images channels last, weights in the layout that
 * oneDNN likes best.
 *
 * Images are shared by threads (dnnl_split.c), so what is asked of oneDNN is a part of the batch,
 * in one or two sizes with the same layout of weights.
 *
 * A bfloat16 plan asks for bfloat16 kernels first; where the machine has none (or only a slow
 * reference one) it takes float32 kernels, and its operands are converted around them.
 */
#include "backend/cpu/dnnl_api.h"

#include <string.h>

/* All summands of a weight gradient, in bytes; where they would be more, there are fewer parts. */
enum { SUMMANDS_MAX = 64 << 20 };

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

/* Weights lie as oneDNN likes, or as `like` says. */
static dnnl_status_t describe(conv_pd *c, const sftn_conv *s, dnnl_data_type_t type,
                              dnnl_data_type_t weight_type, sftn_const_md like)
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
    if (status == dnnl_success && like != NULL)
        return sftn_md_clone(&p->w, like);
    if (status == dnnl_success)
        status = groups > 1 ? sftn_md_tag(&p->w, 5, grouped, weight_type, dnnl_format_tag_any)
                            : sftn_md_tag(&p->w, 4, w, weight_type, dnnl_format_tag_any);
    return status;
}

/* Primitive descriptors for these types; false: oneDNN has none. */
static bool find_pd(sftn_dnnl *d, const sftn_conv *s, sftn_conv_kind kind, dnnl_data_type_t type,
                    dnnl_data_type_t weight_type, sftn_const_md like, conv_pd *c)
{
    conv_pd forward;
    bool ok;

    memset(c, 0, sizeof *c);
    if (kind == SFTN_CONV_FORWARD) {
        ok = describe(c, s, type, type, like) == dnnl_success &&
             sftn_conv_pd(&c->forward, kind, &c->problem, d->engine, d->attr, NULL) ==
                 dnnl_success;
        c->pd = c->forward;
    } else {
        /* The forward pass, only a hint here, must have weights of the images' type. */
        ok = find_pd(d, s, SFTN_CONV_FORWARD, type, type, NULL, &forward);
        if (!ok)
            return false;
        c->forward = forward.forward;
        forward.forward = forward.pd = NULL;
        conv_pd_free(&forward);
        ok = describe(c, s, type, weight_type, like) == dnnl_success &&
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
        if (!find_pd(cpu->dnnl, s, s->kind, order[i][0], order[i][1], NULL, c))
            continue;
        if (order[i][0] == dnnl_f32 || strstr(sftn_dnnl_name(c->pd), "ref") == NULL)
            return true;
        conv_pd_free(c);
    }
    return false;
}

/* Layout of the weights, or of their gradient. */
static sftn_const_md weights_md(const conv_pd *c, sftn_conv_kind kind)
{
    return dnnl_primitive_desc_query_md(
        c->pd, kind == SFTN_CONV_WEIGHT ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
}

/* Parts of a batch: large.pd is of n images, small.pd (NULL: unused) of one less. */
typedef struct batch_parts {
    int parts;
    conv_pd large, small;
} batch_parts;

static int most_parts(const sftn_cpu *cpu, const sftn_conv *s)
{
    const int64_t images = s->x.dim[SFTN_N], *w = s->w.dim;
    int64_t parts = cpu->threads < images ? cpu->threads : images;

    if (s->kind == SFTN_CONV_WEIGHT) {
        const int64_t most = SUMMANDS_MAX / (w[0] * w[1] * w[2] * w[3] * (int64_t)sizeof(float));

        parts = most < parts ? most : parts;
    }
    return parts > 1 ? (int)parts : 1;
}

static sftn_conv of_images(const sftn_conv *s, int64_t images)
{
    sftn_conv part = *s;

    part.x.dim[SFTN_N] = part.y.dim[SFTN_N] = images;
    return part;
}

/* Descriptors of b->parts parts; false: oneDNN has none, or none that fit each other. */
static bool choose_parts(const sftn_cpu *cpu, const sftn_conv *s, batch_parts *b)
{
    const int64_t images = s->x.dim[SFTN_N], small = images / b->parts;
    const bool uneven = images % b->parts != 0;
    const sftn_conv of_large = of_images(s, small + uneven), of_small = of_images(s, small);
    sftn_const_md w;
    bool ok;

    memset(&b->small, 0, sizeof b->small);
    if (!choose_pd(cpu, &of_large, &b->large))
        return false;
    w = weights_md(&b->large, s->kind);
    ok = b->parts == 1 || s->kind != SFTN_CONV_WEIGHT || sftn_md_type(w) == dnnl_f32;
    if (ok && uneven)
        ok = find_pd(cpu->dnnl, &of_small, s->kind, sftn_md_type(SFTN_MD(b->large.problem.x)),
                     sftn_md_type(w), w, &b->small);
    if (!ok)
        conv_pd_free(&b->large);
    return ok;
}

static void describe_part(const conv_pd *c, sftn_conv_kind kind, sftn_dnnl_part *part)
{
    const bool weight = kind == SFTN_CONV_WEIGHT, data = kind == SFTN_CONV_DATA;

    part->pd = c->pd;
    part->arg[0] = (sftn_dnnl_arg){data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC,
                                   data ? SFTN_DNNL_OUT : SFTN_DNNL_IN, 0, SFTN_MD(c->problem.x)};
    part->arg[1] = (sftn_dnnl_arg){weight ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS,
                                   weight ? SFTN_DNNL_OUT : SFTN_DNNL_IN, weight ? 0 : 1,
                                   weights_md(c, kind)};
    part->arg[2] = (sftn_dnnl_arg){kind == SFTN_CONV_FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST,
                                   kind == SFTN_CONV_FORWARD ? SFTN_DNNL_OUT : SFTN_DNNL_IN,
                                   weight ? 1 : 0, SFTN_MD(c->problem.y)};
}

/* The kernel of parts whose descriptors are made; the request's are set. */
static sftn_status make(sftn_cpu *cpu, const sftn_conv *s, const batch_parts *b,
                        sftn_kernel *kernel, sftn_error *err)
{
    static const char *const names[] = {"conv", "conv data", "conv weight"};
    const sftn_dtype dtype =
        sftn_md_type(SFTN_MD(b->large.problem.x)) == dnnl_bf16 ? SFTN_BF16 : SFTN_F32;
    sftn_dnnl_work work = {
        .name = names[s->kind], .units = s->x.dim[SFTN_N], .parts = b->parts};
    size_t x_step, y_step;
    sftn_status status;

    *s->dx = sftn_desc_of(&s->x, dtype, SFTN_NHWC);
    *s->dy = sftn_desc_of(&s->y, dtype, SFTN_NHWC);
    status = sftn_dnnl_desc(cpu->dnnl, &s->w, weights_md(&b->large, s->kind), s->dw, err);
    if (status != SFTN_OK)
        return status;
    x_step = s->dx->bytes / (size_t)work.units;
    y_step = s->dy->bytes / (size_t)work.units;
    work.in_step[0] = s->kind == SFTN_CONV_DATA ? y_step : x_step;
    work.in_step[1] = s->kind == SFTN_CONV_WEIGHT ? y_step : 0;
    if (s->kind == SFTN_CONV_WEIGHT)
        work.out_bytes = s->dw->bytes;
    else
        work.out_step = s->kind == SFTN_CONV_DATA ? x_step : y_step;
    describe_part(&b->large, s->kind, &work.large);
    if (b->small.pd != NULL)
        describe_part(&b->small, s->kind, &work.small);
    return sftn_dnnl_split(cpu->dnnl, &work, kernel, err);
}

sftn_status sftn_dnnl_conv(sftn_cpu *cpu, const sftn_conv *s, sftn_kernel *kernel,
                           sftn_error *err)
{
    batch_parts b = {.parts = most_parts(cpu, s)};
    const int before = sftn_dnnl_begin();
    bool found = choose_parts(cpu, s, &b);
    sftn_status status;

    if (!found && b.parts > 1) {
        b.parts = 1;
        found = choose_parts(cpu, s, &b);
    }
    status = found ? make(cpu, s, &b, kernel, err)
                   : sftn_fail(err, SFTN_ERR_UNSUPPORTED,
                               "oneDNN has no kernel for a %s of these sizes on this machine",
                               s->op);
    if (found) {
        conv_pd_free(&b.large);
        conv_pd_free(&b.small);
    }
    sftn_dnnl_end(before);
    return status;
}
