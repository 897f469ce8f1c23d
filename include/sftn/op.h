/*
 * op.h: the primitive operations: functions that append one node (or a few) to a graph.
 *
 * Shapes are [N,C,H,W].  Pointwise functions of two values broadcast: a dimension of 1 stretches
 * to the other's.  The result is wide where any operand is wide; a reduction is always wide.
 * Errors are recorded in the graph (graph.h).
 */
#ifndef SFTN_OP_H
#define SFTN_OP_H

#include "sftn/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- pointwise, one operand ---- */
SFTN_API sftn_value sftn_neg(sftn_graph *g, sftn_value x);
SFTN_API sftn_value sftn_abs(sftn_graph *g, sftn_value x);    /* gradient sign(x), 0 at 0 */
SFTN_API sftn_value sftn_sign(sftn_graph *g, sftn_value x);   /* -1, 0, 1; gradient 0 */
SFTN_API sftn_value sftn_step(sftn_graph *g, sftn_value x);  /* 1 where x > 0, else 0; gradient 0 */
SFTN_API sftn_value sftn_exp(sftn_graph *g, sftn_value x);
SFTN_API sftn_value sftn_log(sftn_graph *g, sftn_value x);
SFTN_API sftn_value sftn_square(sftn_graph *g, sftn_value x);
SFTN_API sftn_value sftn_sqrt(sftn_graph *g, sftn_value x);
SFTN_API sftn_value sftn_rsqrt(sftn_graph *g, sftn_value x);  /* 1 / sqrt(x) */
SFTN_API sftn_value sftn_reciprocal(sftn_graph *g, sftn_value x);
SFTN_API sftn_value sftn_relu(sftn_graph *g, sftn_value x);   /* gradient 0 at 0, as PyTorch */
SFTN_API sftn_value sftn_sigmoid(sftn_graph *g, sftn_value x);
SFTN_API sftn_value sftn_tanh(sftn_graph *g, sftn_value x);
/* 2 / sqrt(pi) times the integral of e^-t^2 from x on: the normal distribution's tail */
SFTN_API sftn_value sftn_erfc(sftn_graph *g, sftn_value x);
SFTN_API sftn_value sftn_softplus(sftn_graph *g, sftn_value x); /* ln(1 + e^x), stable */
/* slope for x < 0, 1 otherwise */
SFTN_API sftn_value sftn_leaky_relu(sftn_graph *g, sftn_value x, float slope);
SFTN_API sftn_value sftn_scale(sftn_graph *g, sftn_value x, float factor);
SFTN_API sftn_value sftn_shift(sftn_graph *g, sftn_value x, float offset); /* x + offset */
/* x^p; x < 0 needs a whole p */
SFTN_API sftn_value sftn_power(sftn_graph *g, sftn_value x, float p);
SFTN_API sftn_value sftn_clamp(sftn_graph *g, sftn_value x, float lo, float hi);
/* Huber's function of x divided by beta > 0: PyTorch's smooth_l1_loss before reduction. */
SFTN_API sftn_value sftn_smooth_l1(sftn_graph *g, sftn_value x, float beta);
/* x itself, without gradient */
SFTN_API sftn_value sftn_detach(sftn_graph *g, sftn_value x);
/* x with the width of `like` (graph.h: wide or plan precision); x itself where equal */
SFTN_API sftn_value sftn_cast(sftn_graph *g, sftn_value x, bool wide);
/* x stretched to shape: every dimension of x is 1 or equal */
SFTN_API sftn_value sftn_expand(sftn_graph *g, sftn_value x, sftn_shape shape);

/* ---- pointwise, two operands, broadcasting ---- */
SFTN_API sftn_value sftn_add(sftn_graph *g, sftn_value a, sftn_value b);
SFTN_API sftn_value sftn_sub(sftn_graph *g, sftn_value a, sftn_value b);
SFTN_API sftn_value sftn_mul(sftn_graph *g, sftn_value a, sftn_value b);
SFTN_API sftn_value sftn_div(sftn_graph *g, sftn_value a, sftn_value b);
/* The larger, the smaller; the gradient goes to a at ties. */
SFTN_API sftn_value sftn_max2(sftn_graph *g, sftn_value a, sftn_value b);
SFTN_API sftn_value sftn_min2(sftn_graph *g, sftn_value a, sftn_value b);
/* 1 where a > b, a = b; else 0; gradient 0 */
SFTN_API sftn_value sftn_greater(sftn_graph *g, sftn_value a, sftn_value b);
SFTN_API sftn_value sftn_equal(sftn_graph *g, sftn_value a, sftn_value b);
/* a where b > 0, else 0: relu's gradient */
SFTN_API sftn_value sftn_mask(sftn_graph *g, sftn_value a, sftn_value b);

/* ---- reductions: the axes of the bit set become 1 ---- */
SFTN_API sftn_value sftn_sum(sftn_graph *g, sftn_value x, int axes);
SFTN_API sftn_value sftn_mean(sftn_graph *g, sftn_value x, int axes);
/* maximum along axes; gradient to every element equal to it, divided by their number */
SFTN_API sftn_value sftn_max(sftn_graph *g, sftn_value x, int axes);
/* x summed until it has this shape (the gradient of expand) */
SFTN_API sftn_value sftn_sum_to(sftn_graph *g, sftn_value x, sftn_shape shape);

/* ---- along channels ---- */
SFTN_API sftn_value sftn_softmax(sftn_graph *g, sftn_value x);     /* over C, wide */
SFTN_API sftn_value sftn_log_softmax(sftn_graph *g, sftn_value x); /* over C, wide */
/* labels [N,1,1,1] with class indices as floats -> [N,classes,1,1], 0 or 1.  No gradient. */
SFTN_API sftn_value sftn_one_hot(sftn_graph *g, sftn_value labels, int classes);
/*
 * x [N,C,1,1], labels [N,1,1,1] -> [N,1,1,1]: how many classes are ranked before the label's
 * (larger logit, or equal logit and smaller index).  0 is a top-1 hit, < 5 a top-5 hit.
 */
SFTN_API sftn_value sftn_rank(sftn_graph *g, sftn_value x, sftn_value labels);
/* index of the largest entry over C (the first at ties), [N,C,H,W] -> [N,1,H,W].  No gradient. */
SFTN_API sftn_value sftn_argmax(sftn_graph *g, sftn_value x);

/* ---- moving data ---- */
/* same number of elements, read in [N,C,H,W] order */
SFTN_API sftn_value sftn_reshape(sftn_graph *g, sftn_value x, sftn_shape shape);
/* [N,C,H,W] -> [N,C*H*W,1,1] */
SFTN_API sftn_value sftn_flatten(sftn_graph *g, sftn_value x);
/* result's dimension i is x's dimension order[i]; order is a permutation of 0..3 */
SFTN_API sftn_value sftn_permute(sftn_graph *g, sftn_value x, const int order[SFTN_DIMS]);
/* axis is SFTN_N .. SFTN_W; all other dimensions equal; 1 <= n <= 8 */
SFTN_API sftn_value sftn_concat(sftn_graph *g, const sftn_value *x, int n, int axis);
/* `count` entries of axis from `start` on */
SFTN_API sftn_value sftn_slice(sftn_graph *g, sftn_value x, int axis, int64_t start, int64_t count);
/* zeros around: `before` and `after` entries along axis */
SFTN_API sftn_value sftn_pad(sftn_graph *g, sftn_value x, int axis, int64_t before, int64_t after);

/* ---- matrices ---- */
/*
 * Batched product over [B,R,K,1]: result [B, rows, cols, 1] of op(a) op(b), op transposing where
 * asked.  Either batch may be 1 and is then used for all.  W must be 1.
 */
typedef struct sftn_matmul_spec {
    bool trans_a, trans_b;
} sftn_matmul_spec;
SFTN_API sftn_value sftn_matmul(sftn_graph *g, sftn_value a, sftn_value b, sftn_matmul_spec spec);
/*
 * Eigenvalues [B,n,1,1], largest first, and eigenvectors [B,n,n,1], in columns, of the symmetric
 * parts of a [B,n,n,1]; wide.  The entry of largest magnitude of each vector is positive.  Vectors
 * of equal values have no gradient within their common space.
 */
SFTN_API void sftn_eigh(sftn_graph *g, sftn_value a, sftn_value *values, sftn_value *vectors);

/* ---- rows of a table ---- */
/*
 * Rows of table [R,D,1,1] by numbers rows [N,K,1,1] (floats), without a copy of them.  A number
 * that is no row stands for a row of zeros.  Neither table nor numbers receive a gradient.
 */
/* y[n,k] = <table[rows[n,k]], x[n]>, x [N,D,1,1] -> [N,K,1,1], wide */
SFTN_API sftn_value sftn_rows_dot(sftn_graph *g, sftn_value table, sftn_value rows, sftn_value x);
/* y[n] = sum over k of weight[n,k] table[rows[n,k]], weight [N,K,1,1] -> [N,D,1,1], wide */
SFTN_API sftn_value sftn_rows_mix(sftn_graph *g, sftn_value table, sftn_value rows,
                                  sftn_value weight);
/* table, but row rows[n] is x[n]: rows [N,1,1,1], x [N,D,1,1].  No gradient. */
SFTN_API sftn_value sftn_rows_replace(sftn_graph *g, sftn_value table, sftn_value rows,
                                      sftn_value x);

/*
 * The classes of a data set's records: class_of [records], 0 .. classes - 1 each (copied).  Owned
 * by the caller; graphs and plans that draw from it must not outlive it.  NULL: out of memory.
 */
typedef struct sftn_draw_table sftn_draw_table;
SFTN_API sftn_draw_table *sftn_draw_table_new(int64_t records, const int32_t *class_of,
                                              int classes);
SFTN_API void sftn_draw_table_free(sftn_draw_table *table);
SFTN_API int64_t sftn_draw_table_records(const sftn_draw_table *table);
/*
 * record [N,1,1,1], step [1,1,1,1] -> [N,1 + count,1,1]: each record's own number (relaxed: that of
 * any record of its class, itself among them, all as likely), then `count` numbers of records of
 * other classes, without replacement where there are so many, else independent; of no record, all
 * -1.  They depend on (seed, step, record) alone.  At most 2^24 records, of two classes at least.
 * No gradient.
 */
SFTN_API sftn_value sftn_draws(sftn_graph *g, sftn_value record, sftn_value step,
                               const sftn_draw_table *table, int64_t count, bool relaxed,
                               uint64_t seed);

/* ---- convolution ---- */
/*
 * Cross-correlation as in PyTorch's conv2d.  Square kernels of the weight's size; weight
 * [filters, C / groups, kh, kw]; output H = (H + 2 pad - kh) / stride + 1 (rounded down).
 */
typedef struct sftn_conv_spec {
    int stride; /* 0 means 1 */
    int pad;
    int groups; /* 0 means 1; C for depthwise */
} sftn_conv_spec;
SFTN_API sftn_value sftn_conv2d(sftn_graph *g, sftn_value x, sftn_value weight,
                                sftn_conv_spec spec);
/*
 * d loss / d x of the convolution above, for x of shape x_shape; also the forward pass of a
 * transposed convolution (weight [C_in, C_out / groups, kh, kw] in PyTorch's terms).
 */
SFTN_API sftn_value sftn_conv2d_data(sftn_graph *g, sftn_value gy, sftn_value weight,
                                     sftn_shape x_shape, sftn_conv_spec spec);
/* d loss / d weight of the convolution above; wide, shape w_shape */
SFTN_API sftn_value sftn_conv2d_weight(sftn_graph *g, sftn_value x, sftn_value gy,
                                       sftn_shape w_shape, sftn_conv_spec spec);
/* PyTorch's conv_transpose2d: output H = (H - 1) stride - 2 pad + kh + output_pad. */
SFTN_API sftn_value sftn_conv_transpose2d(sftn_graph *g, sftn_value x, sftn_value weight,
                                          sftn_conv_spec spec, int output_pad);

/* ---- pooling ---- */
typedef struct sftn_pool_spec {
    int size, stride, pad; /* square window; stride 0 means size */
    bool ceil;             /* round the output size up (windows that start inside) */
    bool exclude_pad;      /* average: divide by the pixels inside only */
} sftn_pool_spec;
SFTN_API sftn_value sftn_avg_pool2d(sftn_graph *g, sftn_value x, sftn_pool_spec spec);
SFTN_API sftn_value sftn_max_pool2d(sftn_graph *g, sftn_value x, sftn_pool_spec spec);
/* PyTorch's adaptive_avg_pool2d: window i covers floor(i H / oh) .. ceil((i + 1) H / oh) - 1 */
SFTN_API sftn_value sftn_adaptive_avg_pool2d(sftn_graph *g, sftn_value x, int64_t oh, int64_t ow);

/* ---- normalization ---- */
/* mean and biased variance over N, H, W: [1,C,1,1] each, wide */
SFTN_API void sftn_moments(sftn_graph *g, sftn_value x, sftn_value *mean, sftn_value *var);
/*
 * y = (x - mean) / sqrt(var + eps) * gamma + beta; all but x are [1,C,1,1].  batch_stats says that
 * mean and var are sftn_moments of x: then the gradient to x is the complete one, through the
 * statistics too.  Otherwise they are constants (running statistics).  mean and var receive no
 * gradient of their own in either case.
 */
SFTN_API sftn_value sftn_batch_norm(sftn_graph *g, sftn_value x, sftn_value gamma, sftn_value beta,
                                    sftn_value mean, sftn_value var, float eps, bool batch_stats);

#ifdef __cplusplus
}
#endif
#endif
