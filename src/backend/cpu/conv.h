/* conv.h: the three convolutions of the cpu backend, and the two ways it computes them. */
#ifndef SFTN_BACKEND_CPU_CONV_H
#define SFTN_BACKEND_CPU_CONV_H

#include "backend/cpu/cpu.h"

typedef enum sftn_conv_kind { SFTN_CONV_FORWARD, SFTN_CONV_DATA, SFTN_CONV_WEIGHT } sftn_conv_kind;

/* One convolution, whichever of its three sides is wanted. */
typedef struct sftn_conv {
    sftn_conv_kind kind;
    sftn_shape x, w, y;
    int stride, pad, groups;
    sftn_desc *dx, *dw, *dy; /* the request's descriptors of the three sides */
    const char *op;
} sftn_conv;

/* Makers: set the descriptors and the kernel. */
sftn_status sftn_dnnl_conv(sftn_cpu *cpu, const sftn_conv *c, sftn_kernel *kernel,
                           sftn_error *err);
sftn_status sftn_cpu_winograd(sftn_cpu *cpu, const sftn_conv *c, sftn_kernel *kernel,
                              sftn_error *err);
/* True where Winograd's algorithm applies and is the faster one. */
bool sftn_cpu_winograd_fits(const sftn_cpu *cpu, const sftn_conv *c);

#endif
