/*
 * dnnl_matmul: batched products over [B,R,K,1] on oneDNN, in float32.  Transposition is a matter
 * of strides; a batch of one, on either side, serves all.
 */
#include "backend/cpu/dnnl_api.h"

#include "op/matmul.h"

/* Operand d as a batch of matrices, transposed where asked. */
static dnnl_status_t operand_md(const sftn_desc *d, bool transposed, dnnl_memory_desc_t *m)
{
    const int64_t rows = d->shape.dim[SFTN_C], cols = d->shape.dim[SFTN_H];
    const dnnl_dims_t dims = {d->shape.dim[SFTN_N], transposed ? cols : rows,
                              transposed ? rows : cols};
    const dnnl_dims_t strides = {rows * cols, transposed ? 1 : cols, transposed ? cols : 1};

    return sftn_md_strided(m, 3, dims, dnnl_f32, strides);
}

sftn_status sftn_cpu_matmul(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                            sftn_error *err)
{
    const sftn_matmul_spec *spec = r->node->attr;
    dnnl_memory_desc_t a = {0}, b = {0}, y = {0};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t made;
    sftn_status status;

    for (int i = 0; i < 2; i++)
        r->in[i] = sftn_desc_of(&r->in[i].shape, SFTN_F32, SFTN_NCHW);
    r->out[0] = sftn_desc_of(&r->out_type[0].shape, SFTN_F32, SFTN_NCHW);
    made = operand_md(&r->in[0], spec->trans_a, &a);
    if (made == dnnl_success)
        made = operand_md(&r->in[1], spec->trans_b, &b);
    if (made == dnnl_success)
        made = operand_md(&r->out[0], false, &y);
    if (made == dnnl_success)
        made = sftn_matmul_pd(&pd, &a, &b, &y, cpu->dnnl->engine, cpu->dnnl->attr);
    if (made != dnnl_success) {
        status = sftn_fail(err, SFTN_ERR_UNSUPPORTED, "oneDNN refused a matmul (status %d)",
                           (int)made);
    } else {
        const sftn_dnnl_arg arg[] = {
            {DNNL_ARG_SRC, SFTN_DNNL_IN, 0, SFTN_MD(a)},
            {DNNL_ARG_WEIGHTS, SFTN_DNNL_IN, 1, SFTN_MD(b)},
            {DNNL_ARG_DST, SFTN_DNNL_OUT, 0, SFTN_MD(y)},
        };

        status = sftn_dnnl_kernel(cpu->dnnl, pd, "matmul", arg, 3, kernel, err);
        dnnl_primitive_desc_destroy(pd);
    }
    kernel->product = true;
    kernel->flops = 2.0 * (double)sftn_shape_count(&r->out[0].shape) *
                    (double)r->in[0].shape.dim[spec->trans_a ? SFTN_C : SFTN_H];
    sftn_md_free(&a);
    sftn_md_free(&b);
    sftn_md_free(&y);
    return status;
}
