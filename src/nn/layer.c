/*
 * layer: convolution, transposed convolution, batch normalization, dense layer, global pooling:
 * each creates its parameters under PyTorch's names and in PyTorch's order, then appends its ops.
 */
#include "graph/op.h"
#include "sftn/nn.h"

#include <math.h>
#include <stdio.h>

enum { NAME_SIZE = 160 };

static const float batch_norm_eps = 1e-5f;
static const float batch_norm_momentum = 0.1f;

static const char *join(char *buf, const char *layer, const char *entry)
{
    snprintf(buf, NAME_SIZE, "%s.%s", layer, entry);
    return buf;
}

/* A trained vector of n channels, [1,n,1,1]. */
static sftn_value vector(const sftn_scope *s, const char *layer, const char *entry, int64_t n,
                         sftn_init init, double scale)
{
    char name[NAME_SIZE];
    const sftn_param spec = {.kind = SFTN_PARAM_WEIGHT,
                             .shape = SFTN_SHAPE(1, n, 1, 1),
                             .rank = 1,
                             .init = init,
                             .scale = (float)scale};

    return sftn_nn_param(s, join(name, layer, entry), &spec, NULL);
}

static sftn_value conv_weight(const sftn_scope *s, const char *layer, sftn_shape shape,
                              const sftn_conv *spec, double fan_in)
{
    char name[NAME_SIZE];
    sftn_param p = {.kind = SFTN_PARAM_WEIGHT, .shape = shape, .rank = 4};

    if (spec->init == SFTN_WEIGHT_KAIMING_FAN_OUT) {
        p.init = SFTN_INIT_NORMAL;
        p.scale = (float)sqrt(2.0 / ((double)spec->size * spec->size * spec->filters));
    } else {
        p.init = SFTN_INIT_UNIFORM;
        p.scale = (float)sqrt((spec->init == SFTN_WEIGHT_KAIMING_UNIFORM ? 3.0 : 1.0) / fan_in);
    }
    return sftn_nn_param(s, join(name, layer, "weight"), &p, NULL);
}

/* False, with the graph's error set, where a convolution cannot be made of these numbers. */
static bool check_conv(const sftn_scope *s, const char *name, int64_t channels,
                       const sftn_conv *spec, int groups)
{
    if (spec->filters < 1 || spec->size < 1 || spec->stride < 0 || groups < 1) {
        sftn_graph_fail(s->g,
                        "%s: filters %d, size %d, stride %d, groups %d; expected at least 1", name,
                        spec->filters, spec->size, spec->stride, groups);
        return false;
    }
    if (channels % groups || spec->filters % groups) {
        sftn_graph_fail(s->g, "%s: %lld channels and %d filters do not divide into %d groups",
                        name, (long long)channels, spec->filters, groups);
        return false;
    }
    return true;
}

static sftn_conv_spec op_spec(const sftn_conv *spec)
{
    return (sftn_conv_spec){.stride = spec->stride ? spec->stride : 1,
                            .pad = spec->pad < 0    ? 0
                                   : spec->pad == 0 ? (spec->size - 1) / 2
                                                    : spec->pad,
                            .groups = spec->groups ? spec->groups : 1};
}

sftn_value sftn_nn_conv(const sftn_scope *s, const char *name, sftn_value x, sftn_conv spec)
{
    const int64_t channels = sftn_value_shape(s->g, x).dim[SFTN_C];
    const sftn_conv_spec op = op_spec(&spec);
    sftn_value weight, y;
    double fan_in;

    if (sftn_is_none(x) || !check_conv(s, name, channels, &spec, op.groups))
        return SFTN_NONE;
    fan_in = (double)(channels / op.groups) * spec.size * spec.size;
    weight = conv_weight(s, name,
                         SFTN_SHAPE(spec.filters, channels / op.groups, spec.size, spec.size),
                         &spec, fan_in);
    y = sftn_conv2d(s->g, x, weight, op);
    if (!spec.bias)
        return y;
    return sftn_add(s->g, y, vector(s, name, "bias", spec.filters, SFTN_INIT_UNIFORM,
                                    1.0 / sqrt(fan_in)));
}

/* PyTorch counts a transposed convolution's fan-in along its weight's second dimension. */
sftn_value sftn_nn_conv_transpose(const sftn_scope *s, const char *name, sftn_value x,
                                  sftn_conv spec)
{
    const int64_t channels = sftn_value_shape(s->g, x).dim[SFTN_C];
    const sftn_conv_spec op = op_spec(&spec);
    sftn_value weight, y;
    double fan_in;

    if (sftn_is_none(x) || !check_conv(s, name, channels, &spec, op.groups))
        return SFTN_NONE;
    fan_in = (double)(spec.filters / op.groups) * spec.size * spec.size;
    weight = conv_weight(s, name,
                         SFTN_SHAPE(channels, spec.filters / op.groups, spec.size, spec.size),
                         &spec, fan_in);
    y = sftn_conv_transpose2d(s->g, x, weight, op, 0);
    if (!spec.bias)
        return y;
    return sftn_add(s->g, y, vector(s, name, "bias", spec.filters, SFTN_INIT_UNIFORM,
                                    1.0 / sqrt(fan_in)));
}

/* A state of batch normalization: its leaf, and the entry it stands for. */
typedef struct state {
    sftn_value leaf;
    int index;
} state;

static state add_state(const sftn_scope *s, const char *layer, const char *entry, int64_t n,
                       sftn_init init)
{
    char name[NAME_SIZE];
    const sftn_param spec = {
        .kind = SFTN_PARAM_STATE, .shape = SFTN_SHAPE(1, n, 1, 1), .rank = 1, .init = init};
    state st;

    st.leaf = sftn_nn_param(s, join(name, layer, entry), &spec, &st.index);
    return st;
}

static state add_counter(const sftn_scope *s, const char *layer)
{
    char name[NAME_SIZE];
    const sftn_param spec = {.kind = SFTN_PARAM_COUNTER,
                             .shape = SFTN_SHAPE(1, 1, 1, 1),
                             .rank = 0,
                             .init = SFTN_INIT_ZERO};
    state st;

    st.leaf = sftn_nn_param(s, join(name, layer, "num_batches_tracked"), &spec, &st.index);
    return st;
}

/*
 * The value st has when the next layer of the same name reads it: what an earlier use in this graph
 * left there, else the leaf.
 */
static sftn_value current(const sftn_scope *s, const state *st)
{
    for (int i = 0; i < s->g->nsinks; i++) {
        const sftn_sink *sink = &s->g->sink[i];

        if (sink->kind == SFTN_SINK_UPDATE && sink->params == s->params && sink->index == st->index)
            return sink->value;
    }
    return st->leaf;
}

/* st := (1 - momentum) st + momentum target */
static void track(const sftn_scope *s, const state *st, sftn_value target)
{
    sftn_graph *g = s->g;
    sftn_value next = sftn_add(g, sftn_scale(g, current(s, st), 1.0f - batch_norm_momentum),
                               sftn_scale(g, target, batch_norm_momentum));

    sftn_graph_update(g, s->params, st->index, next);
}

sftn_affine sftn_nn_batch_norm_affine(const sftn_scope *s, const char *name, sftn_value x)
{
    const int64_t channels = sftn_value_shape(s->g, x).dim[SFTN_C];

    if (sftn_is_none(x))
        return (sftn_affine){SFTN_NONE, SFTN_NONE};
    return (sftn_affine){.scale = vector(s, name, "weight", channels, SFTN_INIT_ONE, 0.0),
                         .offset = vector(s, name, "bias", channels, SFTN_INIT_ZERO, 0.0)};
}

sftn_value sftn_nn_batch_norm(const sftn_scope *s, const char *name, sftn_value x)
{
    sftn_graph *g = s->g;
    const sftn_shape shape = sftn_value_shape(g, x);
    const int64_t channels = shape.dim[SFTN_C];
    const int64_t n = sftn_shape_count(&shape) / channels;
    sftn_value batch_mean, batch_var;
    sftn_affine affine;
    state mean, var, batches;

    if (sftn_is_none(x))
        return SFTN_NONE;
    affine = sftn_nn_batch_norm_affine(s, name, x);
    mean = add_state(s, name, "running_mean", channels, SFTN_INIT_ZERO);
    var = add_state(s, name, "running_var", channels, SFTN_INIT_ONE);
    batches = add_counter(s, name);
    if (s->frozen ? !s->batch_norms : !s->training)
        return sftn_batch_norm(g, x, affine.scale, affine.offset, mean.leaf, var.leaf,
                               batch_norm_eps, false);
    if (n < 2)
        return sftn_graph_fail(g, "%s: one value per channel, batch statistics need at least 2",
                               name);
    sftn_moments(g, x, &batch_mean, &batch_var);
    if (!s->frozen) {
        track(s, &mean, batch_mean);
        track(s, &var, sftn_scale(g, batch_var, (float)((double)n / (double)(n - 1))));
        sftn_graph_update(g, s->params, batches.index, sftn_shift(g, current(s, &batches), 1.0f));
    }
    return sftn_batch_norm(g, x, affine.scale, affine.offset, batch_mean, batch_var,
                           batch_norm_eps, true);
}

sftn_value sftn_nn_dense(const sftn_scope *s, const char *name, sftn_value x, sftn_dense spec)
{
    sftn_graph *g = s->g;
    const sftn_shape shape = sftn_value_shape(g, x);
    const int64_t rows = shape.dim[SFTN_N], features = shape.dim[SFTN_C];
    const double bound = 1.0 / sqrt((double)features);
    char full[NAME_SIZE];
    sftn_value weight, bias, y;

    if (sftn_is_none(x))
        return SFTN_NONE;
    if (spec.units < 1 || shape.dim[SFTN_H] != 1 || shape.dim[SFTN_W] != 1) {
        char text[64];

        sftn_shape_format(&shape, text, sizeof text);
        return sftn_graph_fail(g, "%s: input %s and %d units; expected [N,F,1,1] and at least 1",
                               name, text, spec.units);
    }
    weight = sftn_nn_param(s, join(full, name, "weight"),
                           &(const sftn_param){.kind = SFTN_PARAM_WEIGHT,
                                               .shape = SFTN_SHAPE(spec.units, features, 1, 1),
                                               .rank = 2,
                                               .init = SFTN_INIT_UNIFORM,
                                               .scale = (float)bound},
                           NULL);
    bias = vector(s, name, "bias", spec.units,
                  spec.zero_bias ? SFTN_INIT_ZERO : SFTN_INIT_UNIFORM, bound);
    y = sftn_matmul(g, sftn_reshape(g, x, SFTN_SHAPE(1, rows, features, 1)),
                    sftn_reshape(g, weight, SFTN_SHAPE(1, spec.units, features, 1)),
                    (sftn_matmul_spec){.trans_b = true});
    return sftn_add(g, sftn_reshape(g, y, SFTN_SHAPE(rows, spec.units, 1, 1)), bias);
}

sftn_value sftn_global_avg_pool(sftn_graph *g, sftn_value x)
{
    return sftn_mean(g, x, SFTN_AXES_HW);
}
