/*
 * wrn: wide residual networks (Zagoruyko and Komodakis, BMVC 2016) for 32x32 images.
 *
 * wrn_d_k has depth d = 6n+4 and width k: a 3x3 stem of 16 channels, three stages of n
 * pre-activation blocks (BN, ReLU, 3x3, BN, ReLU, 3x3) with 16k, 32k and 64k channels at 32x32,
 * 16x16 and 8x8, then BN, ReLU, global average pooling and one dense layer.  A shortcut that
 * changes the number of channels is a bare 1x1 convolution of the activated input, any other the
 * raw input.  Dropout is not used.  Stage features are raw block outputs, signed; a stage's preact
 * is its feature after the batch norm that reads it first, which belongs to the next stage, or to
 * the head.
 * Parameter names are those of the CRD model zoo.
 */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

/* What a tap publishes before its activation. */
typedef struct preactivation {
    sftn_value value;
    sftn_affine norm;
} preactivation;

/* x after the batch norm `bn1` of s. */
static preactivation normalized(const sftn_scope *s, sftn_value x)
{
    return (preactivation){.value = sftn_nn_batch_norm(s, "bn1", x),
                           .norm = sftn_nn_batch_norm_affine(s, "bn1", x)};
}

/* x [N,C,H,W] -> [N,width,H/stride,W/stride]; *first is x before its activation. */
static sftn_value wide_block(const sftn_scope *s, sftn_value x, int width, int stride,
                             preactivation *first)
{
    const bool project = sftn_value_shape(s->g, x).dim[SFTN_C] != width;
    sftn_value a, h;

    *first = normalized(s, x);
    a = sftn_relu(s->g, first->value);
    h = sftn_model_conv(s, "conv1", a, width, 3, stride);
    h = sftn_relu(s->g, sftn_nn_batch_norm(s, "bn2", h));
    h = sftn_model_conv(s, "conv2", h, width, 3, 1);
    return sftn_add(s->g, h, project ? sftn_model_conv(s, "convShortcut", a, width, 1, stride) : x);
}

/* x's pre-activation, where x is the published feature of that tap. */
static void publish(sftn_tap *tap, preactivation preact)
{
    if (sftn_is_none(tap->feature))
        return;
    tap->preact = preact.value;
    tap->norm = preact.norm;
}

static sftn_value wrn_stem(const sftn_scope *net, const sftn_model *model, sftn_value image,
                           sftn_taps *taps)
{
    taps->stem.feature = sftn_model_conv(net, "conv1", image, model->channels[0], 3, 1);
    return taps->stem.preact = taps->stem.feature;
}

static sftn_value wrn_stage(const sftn_scope *net, const sftn_model *model, int stage,
                            sftn_value x, sftn_taps *taps)
{
    for (int i = 0; i < (model->depth - 4) / 6; i++) {
        const sftn_scope block = sftn_scope_in(net, "block%d.layer.%d", stage, i);
        preactivation first;

        x = wide_block(&block, x, model->channels[stage], stage > 1 && i == 0 ? 2 : 1, &first);
        if (i == 0 && stage > 1)
            publish(&taps->stage[stage - 2], first);
    }
    return taps->stage[stage - 1].feature = x;
}

static void wrn_head(const sftn_scope *net, const sftn_model *model, sftn_value x, int classes,
                     sftn_taps *taps)
{
    const preactivation h = normalized(net, x);

    publish(&taps->stage[model->nstages - 1], h);
    taps->pooled = sftn_global_avg_pool(net->g, sftn_relu(net->g, h.value));
    taps->logits = sftn_nn_dense(net, "fc", taps->pooled,
                                 (sftn_dense){.units = classes, .zero_bias = true});
}

#define WRN(d, k)                                                                                  \
    {                                                                                              \
        .name = "wrn_" #d "_" #k, .summary = "wide residual network of depth " #d ", width " #k,   \
        .nstages = 3, .channels = {16, 16 * k, 32 * k, 64 * k}, .divisor = {1, 1, 2, 4},           \
        .preactivated = true, .family = &sftn_family_wrn, .depth = d, .width = k                   \
    }

static const sftn_model wrns[] = {
    WRN(16, 1),
    WRN(16, 2),
    WRN(40, 1),
    WRN(40, 2),
    {.name = ""},
};

/* Depth and width are held below 10000 and 1000, far beyond any use, so that sizes fit. */
static bool wrn_parse(const char *name, sftn_model *model)
{
    char canonical[sizeof model->name];
    int d, k;

    if (sscanf(name, "wrn_%4d_%3d", &d, &k) != 2 || d < 10 || (d - 4) % 6 || k < 1)
        return false;
    snprintf(canonical, sizeof canonical, "wrn_%d_%d", d, k);
    if (strcmp(canonical, name) != 0)
        return false;
    *model = wrns[0];
    memcpy(model->name, canonical, sizeof canonical);
    snprintf(model->summary, sizeof model->summary, "wide residual network of depth %d, width %d",
             d, k);
    for (int i = 1; i <= model->nstages; i++)
        model->channels[i] = (16 << (i - 1)) * k;
    model->depth = d;
    model->width = k;
    return true;
}

const sftn_family sftn_family_wrn = {
    .name   = "wrn",
    .member = wrns,
    .parse  = wrn_parse,
    .rule   = "wrn_d_k with depth d = 6n + 4 (10, 16, 22, ...) and width k",
    .stem   = wrn_stem,
    .stage  = wrn_stage,
    .head   = wrn_head,
};
