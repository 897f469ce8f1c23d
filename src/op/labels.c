/*
 * labels: ops on class indices.  All are piecewise constant: their derivative is zero.
 *
 * A label that is no class (negative, too large) gives a row of zeros in one_hot, and is ranked
 * after every class.  NaN logits are ranked before every label: they are never a hit.
 */
#include "op/labels.h"

#include <stdio.h>

static bool check_labels(const sftn_type *labels, int64_t n, char *why, size_t size)
{
    char found[96];

    if (labels->shape.dim[0] == n && sftn_shape_count(&labels->shape) == n)
        return true;
    sftn_shape_format(&labels->shape, found, sizeof found);
    snprintf(why, size, "labels have shape %s, expected [%lld,1,1,1]", found, (long long)n);
    return false;
}

static bool one_hot_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                          char *why, size_t size)
{
    const int classes = ((const sftn_one_hot_attr *)attr)->classes;

    (void)nin;
    if (classes < 1) {
        snprintf(why, size, "%d classes, expected at least 1", classes);
        return false;
    }
    out[0] = (sftn_type){SFTN_SHAPE(in[0].shape.dim[0], classes, 1, 1), true};
    return check_labels(&in[0], in[0].shape.dim[0], why, size);
}

static void one_hot_ref(const sftn_ref_args *k)
{
    const int64_t n = k->out_type[0].shape.dim[0], classes = k->out_type[0].shape.dim[1];

    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < classes; c++)
            k->out[0][i * classes + c] = k->in[0][i] == (double)c ? 1.0 : 0.0;
}

static void one_hot_print(const void *attr, char *buf, size_t size)
{
    snprintf(buf, size, "%d classes", ((const sftn_one_hot_attr *)attr)->classes);
}

static bool rank_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                       size_t size)
{
    const sftn_shape *x = &in[0].shape;

    (void)attr, (void)nin;
    if (x->dim[2] != 1 || x->dim[3] != 1) {
        char found[96];

        sftn_shape_format(x, found, sizeof found);
        snprintf(why, size, "logits have shape %s, expected [N,C,1,1]", found);
        return false;
    }
    out[0] = (sftn_type){SFTN_SHAPE(x->dim[0], 1, 1, 1), true};
    return check_labels(&in[1], x->dim[0], why, size);
}

static int64_t rank_of(const double *x, int64_t classes, double label)
{
    int64_t before = 0, at;

    if (!(label >= 0.0 && label < (double)classes))
        return classes;
    at = (int64_t)label;
    for (int64_t c = 0; c < classes; c++) {
        const bool after = x[c] < x[at] || (x[c] == x[at] && c > at);

        before += c != at && !after;
    }
    return before;
}

static void rank_ref(const sftn_ref_args *k)
{
    const int64_t n = k->in_type[0].shape.dim[0], classes = k->in_type[0].shape.dim[1];

    for (int64_t i = 0; i < n; i++)
        k->out[0][i] = (double)rank_of(k->in[0] + i * classes, classes, k->in[1][i]);
}

static bool argmax_infer(const void *attr, const sftn_type *in, int nin, sftn_type *out,
                         char *why, size_t size)
{
    (void)attr, (void)nin, (void)why, (void)size;
    out[0] = (sftn_type){in[0].shape, true};
    out[0].shape.dim[1] = 1;
    return true;
}

static void argmax_ref(const sftn_ref_args *k)
{
    const sftn_shape *s = &k->in_type[0].shape;
    const int64_t pixels = s->dim[2] * s->dim[3];

    for (int64_t n = 0; n < s->dim[0]; n++)
        for (int64_t i = 0; i < pixels; i++) {
            const double *x = k->in[0] + n * s->dim[1] * pixels + i;
            int64_t best = 0;

            for (int64_t c = 1; c < s->dim[1]; c++)
                if (x[c * pixels] > x[best * pixels])
                    best = c;
            k->out[0][n * pixels + i] = (double)best;
        }
}

const sftn_op sftn_op_one_hot = {
    .name        = "one_hot",
    .nin         = 1,
    .nout        = 1,
    SFTN_ATTR(sftn_one_hot_attr, classes),
    .infer       = one_hot_infer,
    .no_gradient = true,
    .ref         = one_hot_ref,
    .print       = one_hot_print,
};

const sftn_op sftn_op_rank = {
    .name        = "rank",
    .nin         = 2,
    .nout        = 1,
    .infer       = rank_infer,
    .no_gradient = true,
    .ref         = rank_ref,
};

const sftn_op sftn_op_argmax = {
    .name        = "argmax",
    .nin         = 1,
    .nout        = 1,
    .infer       = argmax_infer,
    .no_gradient = true,
    .ref         = argmax_ref,
};

sftn_value sftn_one_hot(sftn_graph *g, sftn_value labels, int classes)
{
    return sftn_append1(g, &sftn_op_one_hot, &(sftn_one_hot_attr){classes}, labels, SFTN_NONE);
}

sftn_value sftn_rank(sftn_graph *g, sftn_value x, sftn_value labels)
{
    return sftn_append1(g, &sftn_op_rank, NULL, x, labels);
}

sftn_value sftn_argmax(sftn_graph *g, sftn_value x)
{
    return sftn_append1(g, &sftn_op_argmax, NULL, x, SFTN_NONE);
}
