/*
 * dnnl_matmul: batched products over [B,R,K,1] on oneDNN, in float32.  Transposition is a matter
 * of strides; a batch of one, on either side, serves all.  Threads share the batch, or the rows of
 * a single product.
 */
#include "backend/cpu/dnnl_api.h"

#include "op/matmul.h"

/* Multiply-adds below which a product is done sooner than another thread has noticed it. */
enum { SPLIT_MIN = 1 << 18 };

/* Operands of one part. */
typedef struct product {
    dnnl_memory_desc_t a, b, y;
    dnnl_primitive_desc_t pd;
} product;

static void product_free(product *p)
{
    if (p->pd != NULL)
        dnnl_primitive_desc_destroy(p->pd);
    sftn_md_free(&p->a);
    sftn_md_free(&p->b);
    sftn_md_free(&p->y);
}

/* `matrices` of operand d, transposed where asked, of each the first `rows` rows (0: all). */
static dnnl_status_t operand_md(const sftn_desc *d, bool transposed, int64_t matrices,
                                int64_t rows, dnnl_memory_desc_t *m)
{
    const int64_t c = d->shape.dim[SFTN_C], h = d->shape.dim[SFTN_H];
    const int64_t all = transposed ? h : c;
    const dnnl_dims_t dims = {d->shape.dim[SFTN_N] > 1 ? matrices : 1, rows > 0 ? rows : all,
                              transposed ? c : h};
    const dnnl_dims_t strides = {c * h, transposed ? 1 : h, transposed ? h : 1};

    return sftn_md_strided(m, 3, dims, dnnl_f32, strides);
}

static dnnl_status_t describe(sftn_cpu *cpu, const sftn_kernel_request *r, int64_t matrices,
                              int64_t rows, product *p)
{
    const sftn_matmul_spec *spec = r->node->attr;
    dnnl_status_t made = operand_md(&r->in[0], spec->trans_a, matrices, rows, &p->a);

    if (made == dnnl_success)
        made = operand_md(&r->in[1], spec->trans_b, matrices, 0, &p->b);
    if (made == dnnl_success)
        made = operand_md(&r->out[0], false, matrices, rows, &p->y);
    if (made == dnnl_success)
        made = sftn_matmul_pd(&p->pd, &p->a, &p->b, &p->y, cpu->dnnl->engine, cpu->dnnl->attr);
    return made;
}

static sftn_dnnl_part part_of(const product *p)
{
    return (sftn_dnnl_part){.pd = p->pd,
                            .arg = {{DNNL_ARG_SRC, SFTN_DNNL_IN, 0, SFTN_MD(p->a)},
                                    {DNNL_ARG_WEIGHTS, SFTN_DNNL_IN, 1, SFTN_MD(p->b)},
                                    {DNNL_ARG_DST, SFTN_DNNL_OUT, 0, SFTN_MD(p->y)}}};
}

/* What parts share: the matrices of a batch, or the rows of a single one. */
static sftn_dnnl_work share(const sftn_cpu *cpu, const sftn_kernel_request *r, double flops)
{
    const sftn_matmul_spec *spec = r->node->attr;
    const sftn_desc *y = &r->out[0];
    const int64_t matrices = y->shape.dim[SFTN_N];
    const int threads = flops >= 2.0 * SPLIT_MIN ? cpu->threads : 1;
    sftn_dnnl_work w = {.name = "matmul"};

    if (matrices > 1) {
        w.units = matrices;
        for (int i = 0; i < 2; i++)
            if (r->in[i].shape.dim[SFTN_N] > 1)
                w.in_step[i] = r->in[i].bytes / (size_t)matrices;
    } else {
        w.units = y->shape.dim[SFTN_C];
        w.in_step[0] = spec->trans_a ? sizeof(float) : r->in[0].bytes / (size_t)w.units;
    }
    w.out_step = y->bytes / (size_t)w.units;
    w.parts = w.units < threads ? (int)w.units : threads;
    return w;
}

sftn_status sftn_cpu_matmul(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                            sftn_error *err)
{
    const sftn_matmul_spec *spec = r->node->attr;
    const int before = sftn_dnnl_begin();
    product large = {.pd = NULL}, small = {.pd = NULL};
    dnnl_status_t made;
    sftn_dnnl_work w;
    sftn_status status;
    bool batch, uneven;
    double flops;
    int64_t units;

    for (int i = 0; i < 2; i++)
        r->in[i] = sftn_desc_of(&r->in[i].shape, SFTN_F32, SFTN_NCHW);
    r->out[0] = sftn_desc_of(&r->out_type[0].shape, SFTN_F32, SFTN_NCHW);
    flops = 2.0 * (double)sftn_shape_count(&r->out[0].shape) *
            (double)r->in[0].shape.dim[spec->trans_a ? SFTN_C : SFTN_H];
    w = share(cpu, r, flops);
    batch = r->out[0].shape.dim[SFTN_N] > 1;
    uneven = w.units % w.parts != 0;
    units = w.units / w.parts + uneven;
    made = describe(cpu, r, batch ? units : 1, batch ? 0 : units, &large);
    if (made == dnnl_success && uneven)
        made = describe(cpu, r, batch ? units - 1 : 1, batch ? 0 : units - 1, &small);
    if (made == dnnl_success) {
        w.large = part_of(&large);
        w.small = part_of(&small);
        status = sftn_dnnl_split(cpu->dnnl, &w, kernel, err);
    } else {
        status = sftn_fail(err, SFTN_ERR_UNSUPPORTED, "oneDNN refused a matmul (status %d)",
                           (int)made);
    }
    kernel->product = true;
    kernel->flops = flops;
    product_free(&large);
    product_free(&small);
    sftn_dnnl_end(before);
    return status;
}
