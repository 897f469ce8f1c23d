/*
 * nn.h: layers and losses, composed from op.h.
 */
#ifndef SFTN_NN_H
#define SFTN_NN_H

#include "sftn/op.h"
#include "sftn/params.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Where a network is being built: which graph, which params, under which name prefix, in which
 * mode.  Passed down by pointer, derived by value.
 */
typedef struct sftn_scope {
    sftn_graph *g;
    sftn_params *params;
    bool training;  /* batch statistics, running statistics updated */
    bool frozen;    /* parameters never change while the plan lives; implies not trained */
    bool batch_norms; /* where frozen: batch statistics all the same, none updated */
    bool frozen_head; /* the same of a network's head alone (sftn_model_build) */
    char name[128]; /* prefix of parameter names, "" or "layer1.0" */
    const char *label; /* put before names in dumps and errors ("teacher"); NULL: nothing */
} sftn_scope;

/*
 * parent with ".name" appended (just "name" at the root); format as printf.  Nodes appended from
 * now on carry the new scope's name in dumps.
 */
SFTN_API sftn_scope sftn_scope_in(const sftn_scope *parent, const char *format, ...)
    SFTN_PRINTF(2, 3);

/*
 * The leaf of parameter "scope.name", created from *spec (params.h) where it is new; *index (may be
 * NULL) receives its entry.  SFTN_NONE after an error, which is recorded in the graph.
 */
SFTN_API sftn_value sftn_nn_param(const sftn_scope *s, const char *name, const sftn_param *spec,
                                  int *index);

/* Initialization of a weight; the zero value is PyTorch's default. */
typedef enum sftn_weight_init {
    SFTN_WEIGHT_DEFAULT = 0,     /* U(+-1/sqrt(fan_in)): PyTorch's Conv2d and Linear */
    SFTN_WEIGHT_KAIMING_FAN_OUT, /* N(0, 2 / (kh kw filters)): resnets and wide resnets */
    SFTN_WEIGHT_KAIMING_UNIFORM, /* U(+-sqrt(3/fan_in)): Detectron's layers */
} sftn_weight_init;

typedef struct sftn_conv {
    int filters, size, stride; /* stride 0 means 1 */
    int pad;                   /* -1: none; 0: (size - 1) / 2 */
    int groups;                /* 0 means 1 */
    bool bias;
    sftn_weight_init init;
} sftn_conv;

/* x [N,C,H,W] -> [N,filters,H',W']; parameters name.weight (and name.bias). */
SFTN_API sftn_value sftn_nn_conv(const sftn_scope *s, const char *name, sftn_value x,
                                 sftn_conv spec);
/*
 * Transposed convolution, PyTorch's ConvTranspose2d; weight [C, filters / groups, size, size].
 * spec.pad as above: -1 none, 0 (size - 1) / 2.
 */
SFTN_API sftn_value sftn_nn_conv_transpose(const sftn_scope *s, const char *name, sftn_value x,
                                           sftn_conv spec);
/*
 * Batch normalization over N, H, W; eps 1e-5, momentum 0.1, affine.  Parameters name.weight,
 * .bias, .running_mean, .running_var, .num_batches_tracked.  Training: batch statistics (biased
 * variance; n = N H W must exceed 1), running statistics updated with the unbiased variance
 * n / (n - 1); where a name is used several times in a graph, the updates follow one another.
 */
SFTN_API sftn_value sftn_nn_batch_norm(const sftn_scope *s, const char *name, sftn_value x);
/* What a batch norm multiplies by and adds after normalizing, [1,C,1,1] each. */
typedef struct sftn_affine {
    sftn_value scale, offset;
} sftn_affine;
/* That of the batch norm `name` of this scope, for x of C channels; the same parameters. */
SFTN_API sftn_affine sftn_nn_batch_norm_affine(const sftn_scope *s, const char *name,
                                               sftn_value x);
typedef struct sftn_dense {
    int units;
    bool zero_bias; /* bias begins at 0 instead of U(+-1/sqrt(F)) */
} sftn_dense;

/* x [N,F,1,1] -> [N,units,1,1], wide; parameters name.weight [units,F], name.bias [units]. */
SFTN_API sftn_value sftn_nn_dense(const sftn_scope *s, const char *name, sftn_value x,
                                  sftn_dense spec);
/* [N,C,H,W] -> [N,C,1,1] */
SFTN_API sftn_value sftn_global_avg_pool(sftn_graph *g, sftn_value x);

/* ---- losses; all are scalars [1,1,1,1] ---- */
/*
 * Mean over the batch of cross-entropy between logits [N,K,1,1] and labels [N,1,1,1] (class
 * indices); smoothing in [0,1) as PyTorch's label_smoothing.
 */
SFTN_API sftn_value sftn_cross_entropy(sftn_graph *g, sftn_value logits, sftn_value labels,
                                       float smoothing);
/*
 * T^2 times the mean over the batch of KL(softmax(p / T) || softmax(q / T)); gradients flow to
 * both sides (detach one where it is a target).  p, q: logits [N,K,1,1]; T > 0.
 */
SFTN_API sftn_value sftn_kl_divergence(sftn_graph *g, sftn_value p_logits, sftn_value q_logits,
                                       float temperature);
/* KL(softmax(p / T) || softmax(q / T)) of each row, [N,1,1,1]: the above before mean and T^2. */
SFTN_API sftn_value sftn_kl_rows(sftn_graph *g, sftn_value p_logits, sftn_value q_logits,
                                 float temperature);
/* Mean over all elements of (a - b)^2. */
SFTN_API sftn_value sftn_mse(sftn_graph *g, sftn_value a, sftn_value b);
/*
 * x divided by its Euclidean norm over axes (a bit set), as PyTorch's normalize; where the norm is
 * below 1e-12, zero and without gradient.
 */
SFTN_API sftn_value sftn_l2_normalize(sftn_graph *g, sftn_value x, int axes);
/* x adaptive-average-pooled to the height of `like` (used for both axes) where x is the larger. */
SFTN_API sftn_value sftn_pool_to_match(sftn_graph *g, sftn_value x, sftn_value like);
/* x [N,C,H,H] to `size` pixels each way: pixel i is x's pixel i H / size, rounded down. */
SFTN_API sftn_value sftn_resize_nearest(sftn_graph *g, sftn_value x, int64_t size);
/* x [N,C,H,W] as N matrices of C rows and H*W columns, [N,C,H*W,1]. */
SFTN_API sftn_value sftn_channel_rows(sftn_graph *g, sftn_value x);

#ifdef __cplusplus
}
#endif
#endif
