/*
 * pool2d.h: pooling and its gradients.
 *
 *     avg_pool2d, max_pool2d     x [N,C,H,W]  ->  y [N,C,oh,ow]
 *     adaptive_avg_pool2d        x            ->  y; attr shape is y's
 *     avg_pool2d_grad            gy           ->  gx; attr shape is x's
 *     adaptive_avg_pool2d_grad   gy           ->  gx; attr shape is x's
 *     max_pool2d_grad            x, gy        ->  gx; each window's gradient goes to its first
 *                                                 largest element in row order
 */
#ifndef SFTN_OP_POOL2D_H
#define SFTN_OP_POOL2D_H

#include "graph/op.h"

typedef struct sftn_pool2d_attr {
    int size, stride, pad; /* stride at least 1; all zero for adaptive pooling */
    int16_t ceil, exclude_pad;
    sftn_shape shape; /* see above; zero where not named there */
} sftn_pool2d_attr;

extern const sftn_op sftn_op_avg_pool2d, sftn_op_avg_pool2d_grad;
extern const sftn_op sftn_op_max_pool2d, sftn_op_max_pool2d_grad;
extern const sftn_op sftn_op_adaptive_avg_pool2d, sftn_op_adaptive_avg_pool2d_grad;

/* Output size for an input of `size` pixels; may be < 1, which infer refuses. */
int64_t sftn_pool2d_size(const sftn_pool2d_attr *attr, int64_t size);

/*
 * Pixels of window i along one axis of `size` pixels: first to last - 1 inside the image.
 * *count is the number an average divides by along this axis: with exclude_pad those inside, else
 * those inside the padded image (as PyTorch counts where ceil lets a window overhang it).
 */
void sftn_pool2d_window(const sftn_pool2d_attr *attr, int64_t i, int64_t size, int64_t *first,
                        int64_t *last, int64_t *count);

/* Window i of `windows` of adaptive pooling: first to last - 1. */
static inline void sftn_adaptive_window(int64_t i, int64_t windows, int64_t size, int64_t *first,
                                        int64_t *last)
{
    *first = i * size / windows;
    *last = ((i + 1) * size + windows - 1) / windows;
}

#endif
