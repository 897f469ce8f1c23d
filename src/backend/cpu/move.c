/*
 * move: reshape, permute, concat, slice, pad, and copies between layouts and dtypes: each is one
 * or more strided copies.
 */
#include "backend/cpu/cpu.h"
#include "backend/cpu/dnnl_common.h"
#include "op/move.h"

#include <stdlib.h>
#include <string.h>

/* ---- one strided copy ---- */

/*
 * The innermost dimension comes last and the others first, since threads share out the first one.
 * One long run is cut into pieces to be shared out.
 */
void sftn_cpu_move_finish(sftn_move *m, const int64_t *dim, const int64_t *src, const int64_t *dst)
{
    int64_t stride[2][SFTN_DIMS], joined[SFTN_DIMS];
    int n;

    memcpy(joined, dim, sizeof joined);
    memcpy(stride[0], src, sizeof stride[0]);
    memcpy(stride[1], dst, sizeof stride[1]);
    n = sftn_cpu_join_dims(SFTN_DIMS, joined, 2, stride);
    for (int64_t cut = 64; n == 1 && cut > 1; cut /= 2)
        if (joined[0] >= 1024 * cut && joined[0] % cut == 0) {
            joined[1] = joined[0] / cut;
            joined[0] = cut;
            for (int k = 0; k < 2; k++) {
                stride[k][1] = stride[k][0];
                stride[k][0] *= joined[1];
            }
            n = 2;
        }
    for (int d = 0; d < SFTN_DIMS; d++) {
        const int from = d == SFTN_DIMS - 1 ? n - 1 : d;
        const bool used = d == SFTN_DIMS - 1 || d < n - 1;

        m->dim[d] = used ? joined[from] : 1;
        m->src[d] = used ? stride[0][from] : 0;
        m->dst[d] = used ? stride[1][from] : 0;
    }
}

typedef struct move_call {
    const sftn_cpu *cpu;
    const sftn_move *m;
    const void *src;
    void *dst;
} move_call;

static void move_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const move_call *c = ctx;

    (void)thread;
    c->cpu->k->move(c->m, c->src, c->dst, first, last);
}

void sftn_cpu_move_run(const sftn_cpu *cpu, const sftn_move *m, const void *src, void *dst)
{
    move_call call = {cpu, m, src, dst};

    sftn_cpu_parallel(cpu->threads, m->dim[0], 1, m->dim[0] * m->dim[1] * m->dim[2] * m->dim[3],
                      move_part, &call);
}

/* ---- kernels made of copies ---- */

typedef struct move_kernel {
    sftn_cpu *cpu;
    int n;
    bool to_zero; /* dst is cleared first */
    size_t dst_bytes;
    struct {
        sftn_move move;
        int in;
        size_t src_offset, dst_offset; /* bytes */
    } part[SFTN_MAX_IN];
} move_kernel;

static const char *move_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const move_kernel *k = state;

    (void)workspace;
    if (k->to_zero)
        memset(out[0], 0, k->dst_bytes);
    for (int i = 0; i < k->n; i++)
        sftn_cpu_move_run(k->cpu, &k->part[i].move,
                          (const char *)in[k->part[i].in] + k->part[i].src_offset,
                          (char *)out[0] + k->part[i].dst_offset);
    return NULL;
}

static move_kernel *new_move(sftn_cpu *cpu, const sftn_desc *dst, const char *name,
                             sftn_kernel *kernel)
{
    move_kernel *k = sftn_calloc(1, sizeof *k);

    if (k == NULL)
        return NULL;
    k->cpu = cpu;
    k->dst_bytes = dst->bytes;
    *kernel = (sftn_kernel){.name = name, .state = k, .run = move_run, .destroy = free};
    return k;
}

/* A box of `dim` elements; offsets count elements; order maps dst's dimensions to src's. */
static void add_part(move_kernel *k, int in, const sftn_desc *src, const int64_t *src_start,
                     const sftn_desc *dst, const int64_t *dst_start, const int64_t *dim,
                     const int *order)
{
    static const int nhwc[SFTN_DIMS] = {SFTN_N, SFTN_H, SFTN_W, SFTN_C};
    int64_t ss[SFTN_DIMS], ds[SFTN_DIMS], size[SFTN_DIMS], from[SFTN_DIMS], to[SFTN_DIMS];
    int64_t src_at = 0, dst_at = 0;
    const int i = k->n++;

    sftn_cpu_strides(&src->shape, src->layout, ss);
    sftn_cpu_strides(&dst->shape, dst->layout, ds);
    for (int d = 0; d < SFTN_DIMS; d++) {
        const int axis = dst->layout == SFTN_NHWC ? nhwc[d] : d;

        size[d] = dim[axis];
        to[d] = ds[axis];
        from[d] = ss[order != NULL ? order[axis] : axis];
        src_at += src_start != NULL ? src_start[d] * ss[d] : 0;
        dst_at += dst_start != NULL ? dst_start[d] * ds[d] : 0;
    }
    k->part[i].in = in;
    k->part[i].move.src_bf16 = src->dtype == SFTN_BF16;
    k->part[i].move.dst_bf16 = dst->dtype == SFTN_BF16;
    k->part[i].src_offset = (size_t)src_at * sftn_dtype_bytes(src->dtype);
    k->part[i].dst_offset = (size_t)dst_at * sftn_dtype_bytes(dst->dtype);
    sftn_cpu_move_finish(&k->part[i].move, size, from, to);
}

/* Input i in one of the two orders that loops can read. */
static void ask_plain_or_last(sftn_kernel_request *r, int i)
{
    if (r->in[i].layout == SFTN_PACKED)
        r->in[i] = sftn_cpu_channels_last(&r->in[i]);
}

sftn_status sftn_cpu_reshape(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                             sftn_error *err)
{
    move_kernel *k;
    int64_t zero[SFTN_DIMS] = {0};
    sftn_desc flat;

    r->in[0] = sftn_cpu_plain(&r->in[0]);
    r->out[0] = sftn_desc_of(&r->out_type[0].shape, r->in[0].dtype, SFTN_NCHW);
    flat = r->in[0];
    flat.shape = r->out[0].shape;
    k = new_move(cpu, &r->out[0], "copy", kernel);
    if (k == NULL)
        return sftn_cpu_out_of_memory("reshape", err);
    add_part(k, 0, &flat, zero, &r->out[0], zero, flat.shape.dim, NULL);
    return SFTN_OK;
}

sftn_status sftn_cpu_detach(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                            sftn_error *err)
{
    move_kernel *k;

    ask_plain_or_last(r, 0);
    r->out[0] = r->in[0];
    k = new_move(cpu, &r->out[0], "copy", kernel);
    if (k == NULL)
        return sftn_cpu_out_of_memory("detach", err);
    add_part(k, 0, &r->in[0], NULL, &r->out[0], NULL, r->in[0].shape.dim, NULL);
    return SFTN_OK;
}

/* What results of matrices (no columns) and of images are laid out as. */
static sftn_layout usual_layout(const sftn_shape *shape)
{
    return shape->dim[SFTN_W] > 1 ? SFTN_NHWC : SFTN_NCHW;
}

sftn_status sftn_cpu_permute(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                             sftn_error *err)
{
    const sftn_permute_attr *attr = r->node->attr;
    const sftn_shape *shape = &r->out_type[0].shape;
    move_kernel *k;

    ask_plain_or_last(r, 0);
    r->out[0] = sftn_cpu_result(cpu, &r->out_type[0], usual_layout(shape));
    k = new_move(cpu, &r->out[0], "permute", kernel);
    if (k == NULL)
        return sftn_cpu_out_of_memory("permute", err);
    add_part(k, 0, &r->in[0], NULL, &r->out[0], NULL, shape->dim, attr->order);
    return SFTN_OK;
}

/* The layout of most input bytes. */
static sftn_layout common_layout(const sftn_kernel_request *r)
{
    size_t bytes[2] = {0, 0};

    for (int i = 0; i < r->node->nin; i++)
        bytes[r->in[i].layout == SFTN_NHWC] += r->in[i].bytes;
    return bytes[1] >= bytes[0] && bytes[1] > 0 ? SFTN_NHWC : SFTN_NCHW;
}

sftn_status sftn_cpu_concat(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                            sftn_error *err)
{
    const sftn_concat_attr *attr = r->node->attr;
    int64_t start[SFTN_DIMS] = {0};
    move_kernel *k;

    r->out[0] = sftn_cpu_result(cpu, &r->out_type[0], common_layout(r));
    for (int i = 0; i < r->node->nin; i++)
        ask_plain_or_last(r, i);
    k = new_move(cpu, &r->out[0], "concat", kernel);
    if (k == NULL)
        return sftn_cpu_out_of_memory("concat", err);
    for (int i = 0; i < r->node->nin; i++) {
        add_part(k, i, &r->in[i], NULL, &r->out[0], start, r->in[i].shape.dim, NULL);
        start[attr->axis] += r->in[i].shape.dim[attr->axis];
    }
    return SFTN_OK;
}

sftn_status sftn_cpu_slice(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                           sftn_error *err)
{
    const sftn_slice_attr *attr = r->node->attr;
    int64_t start[SFTN_DIMS] = {0};
    move_kernel *k;

    ask_plain_or_last(r, 0);
    r->out[0] = sftn_cpu_result(cpu, &r->out_type[0], r->in[0].layout);
    k = new_move(cpu, &r->out[0], "slice", kernel);
    if (k == NULL)
        return sftn_cpu_out_of_memory("slice", err);
    start[attr->axis] = attr->start;
    add_part(k, 0, &r->in[0], start, &r->out[0], NULL, r->out[0].shape.dim, NULL);
    return SFTN_OK;
}

sftn_status sftn_cpu_pad(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                         sftn_error *err)
{
    const sftn_pad_attr *attr = r->node->attr;
    int64_t start[SFTN_DIMS] = {0};
    move_kernel *k;

    ask_plain_or_last(r, 0);
    r->out[0] = sftn_cpu_result(cpu, &r->out_type[0], r->in[0].layout);
    k = new_move(cpu, &r->out[0], "pad", kernel);
    if (k == NULL)
        return sftn_cpu_out_of_memory("pad", err);
    k->to_zero = true;
    start[attr->axis] = attr->before;
    add_part(k, 0, &r->in[0], NULL, &r->out[0], start, r->in[0].shape.dim, NULL);
    return SFTN_OK;
}

/* ---- reorders ---- */

sftn_status sftn_cpu_reorder(void *state, const sftn_desc *src, const sftn_desc *dst,
                             sftn_kernel *kernel, sftn_error *err)
{
    const sftn_packing *packing = dst->layout == SFTN_PACKED ? dst->packed : src->packed;
    sftn_cpu *cpu = state;
    move_kernel *k;

    if (packing != NULL)
        return packing->reorder(cpu, src, dst, kernel, err);
    k = new_move(cpu, dst, src->layout == dst->layout ? "convert" : "transpose", kernel);
    if (k == NULL)
        return sftn_cpu_out_of_memory("reorder", err);
    add_part(k, 0, src, NULL, dst, NULL, src->shape.dim, NULL);
    return SFTN_OK;
}
