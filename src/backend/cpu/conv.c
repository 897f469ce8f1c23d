/* conv: chooses how a convolution is computed: Winograd's algorithm where it fits, else oneDNN. */
#include "backend/cpu/conv.h"

#include "op/conv2d.h"

static sftn_status make(sftn_cpu *cpu, sftn_kernel_request *r, sftn_conv *c, sftn_kernel *kernel,
                        sftn_error *err)
{
    const sftn_conv2d_attr *a = r->node->attr;
    sftn_status status;

    c->stride = a->stride;
    c->pad = a->pad;
    c->groups = a->groups;
    c->op = r->node->op->name;
    status = sftn_cpu_winograd_fits(cpu, c) ? sftn_cpu_winograd(cpu, c, kernel, err)
                                            : sftn_dnnl_conv(cpu, c, kernel, err);
    kernel->product = true;
    kernel->flops = 2.0 * (double)sftn_shape_count(&c->y) *
                    (double)(c->w.dim[1] * c->w.dim[2] * c->w.dim[3]);
    return status;
}

sftn_status sftn_cpu_conv2d(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                            sftn_error *err)
{
    sftn_conv c = {.kind = SFTN_CONV_FORWARD,
                   .x = r->in_type[0].shape,
                   .w = r->in_type[1].shape,
                   .y = r->out_type[0].shape,
                   .dx = &r->in[0],
                   .dw = &r->in[1],
                   .dy = &r->out[0]};

    return make(cpu, r, &c, kernel, err);
}

sftn_status sftn_cpu_conv2d_data(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                                 sftn_error *err)
{
    sftn_conv c = {.kind = SFTN_CONV_DATA,
                   .x = r->out_type[0].shape,
                   .w = r->in_type[1].shape,
                   .y = r->in_type[0].shape,
                   .dx = &r->out[0],
                   .dw = &r->in[1],
                   .dy = &r->in[0]};

    return make(cpu, r, &c, kernel, err);
}

sftn_status sftn_cpu_conv2d_weight(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                                   sftn_error *err)
{
    sftn_conv c = {.kind = SFTN_CONV_WEIGHT,
                   .x = r->in_type[0].shape,
                   .w = r->out_type[0].shape,
                   .y = r->in_type[1].shape,
                   .dx = &r->in[0],
                   .dw = &r->out[0],
                   .dy = &r->in[1]};

    return make(cpu, r, &c, kernel, err);
}
