/*
 * resnet_cifar: residual networks for 32x32 images (He et al., CVPR 2016, section 4.2).
 *
 * Depth 6n+2: a 3x3 stem, three stages of n two-convolution blocks at 32x32, 16x16 and 8x8,
 * global average pooling and one dense layer.  Where a block changes the shape, its shortcut is a
 * 1x1 convolution with batch norm; so nets whose first stage is wider than their stem project there
 * too.  Stage features are taken after the block's last ReLU, preact is the sum before it.
 * Parameter names are those of the CRD model zoo, so checkpoints load into PyTorch unchanged.
 *
 * resnet8x2 is used by the student-friendly teacher paper, whose text does not give its filters:
 * 16,32,64,128, half of resnet8x4's, is proposed here; resnet8x2_wide has the other candidate.
 */
#include "model/model.h"

/* x [N,C,H,W] -> [N,width,H/stride,W/stride], published as *tap. */
static sftn_value basic_block(const sftn_scope *s, sftn_value x, int width, int stride,
                              sftn_tap *tap)
{
    sftn_value h = sftn_model_conv(s, "conv1", x, width, 3, stride);

    h = sftn_relu(s->g, sftn_nn_batch_norm(s, "bn1", h));
    h = sftn_nn_batch_norm(s, "bn2", sftn_model_conv(s, "conv2", h, width, 3, 1));
    tap->norm = sftn_nn_batch_norm_affine(s, "bn2", h);
    if (!sftn_same_shape(s->g, x, h)) {
        x = sftn_model_conv(s, "downsample.0", x, width, 1, stride);
        x = sftn_nn_batch_norm(s, "downsample.1", x);
    }
    tap->preact = sftn_add(s->g, h, x);
    return tap->feature = sftn_relu(s->g, tap->preact);
}

static sftn_value resnet_stem(const sftn_scope *net, const sftn_model *model, sftn_value image,
                              sftn_taps *taps)
{
    sftn_value x = sftn_model_conv(net, "conv1", image, model->channels[0], 3, 1);

    taps->stem.preact = sftn_nn_batch_norm(net, "bn1", x);
    taps->stem.norm = sftn_nn_batch_norm_affine(net, "bn1", x);
    return taps->stem.feature = sftn_relu(net->g, taps->stem.preact);
}

static sftn_value resnet_stage(const sftn_scope *net, const sftn_model *model, int stage,
                               sftn_value x, sftn_taps *taps)
{
    for (int i = 0; i < (model->depth - 2) / 6; i++) {
        const sftn_scope block = sftn_scope_in(net, "layer%d.%d", stage, i);

        x = basic_block(&block, x, model->channels[stage], stage > 1 && i == 0 ? 2 : 1,
                        &taps->stage[stage - 1]);
    }
    return x;
}

static void resnet_head(const sftn_scope *net, const sftn_model *model, sftn_value x, int classes,
                        sftn_taps *taps)
{
    (void)model;
    taps->pooled = sftn_global_avg_pool(net->g, x);
    taps->logits = sftn_nn_dense(net, "fc", taps->pooled, (sftn_dense){.units = classes});
}

#define RESNET(text, layers, c0, c1, c2, c3, note)                                                \
    {                                                                                             \
        .name = text, .summary = "CIFAR residual network of depth " #layers note, .nstages = 3,   \
        .channels = {c0, c1, c2, c3}, .divisor = {1, 1, 2, 4}, .depth = layers, .width = c0,      \
        .family = &sftn_family_resnet_cifar                                                       \
    }

static const sftn_model resnets[] = {
    RESNET("resnet8", 8, 16, 16, 32, 64, ""),
    RESNET("resnet14", 14, 16, 16, 32, 64, ""),
    RESNET("resnet20", 20, 16, 16, 32, 64, ""),
    RESNET("resnet32", 32, 16, 16, 32, 64, ""),
    RESNET("resnet44", 44, 16, 16, 32, 64, ""),
    RESNET("resnet56", 56, 16, 16, 32, 64, ""),
    RESNET("resnet110", 110, 16, 16, 32, 64, ""),
    RESNET("resnet8x4", 8, 32, 64, 128, 256, ", four times as wide"),
    RESNET("resnet32x4", 32, 32, 64, 128, 256, ", four times as wide"),
    RESNET("resnet8x2", 8, 16, 32, 64, 128, ", filters 16,32,64,128 (proposed)"),
    RESNET("resnet8x2_wide", 8, 32, 32, 64, 128, ", filters 32,32,64,128 (proposed)"),
    {.name = ""},
};

const sftn_family sftn_family_resnet_cifar = {
    .name   = "resnet_cifar",
    .member = resnets,
    .stem   = resnet_stem,
    .stage  = resnet_stage,
    .head   = resnet_head,
};
