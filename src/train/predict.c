/*
 * predict: class probabilities of one image.
 */
#include "base/base.h"
#include "sftn/train.h"

#include <stdlib.h>

/* Pixels [C,H,W], scaled to [0,1] and normalized as the network's training data were. */
static void normalize(const sftn_network *net, const uint8_t *pixels, float *image)
{
    const int64_t plane = (int64_t)net->image_size * net->image_size;

    for (int c = 0; c < net->channels; c++)
        for (int64_t i = 0; i < plane; i++)
            image[c * plane + i] =
                ((float)pixels[c * plane + i] / 255.0f - net->mean[c]) / net->std[c];
}

static sftn_status compile(const sftn_network *net, const sftn_plan_options *options,
                           sftn_plan **plan, sftn_error *err)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_scope scope = {.g = g, .params = net->params, .frozen = true};
    const sftn_type type = {
        .shape = SFTN_SHAPE(1, net->channels, net->image_size, net->image_size)};
    sftn_status status;
    sftn_taps taps;

    if (!g)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", net->model.name);
    taps = sftn_model_build(&net->model, &scope, sftn_graph_input(g, "image", type), net->classes,
                            0);
    sftn_graph_output(g, "probability", sftn_softmax(g, taps.logits));
    status = sftn_graph_status(g, err);
    if (!status)
        status = sftn_plan_new(g, options, plan, err);
    sftn_graph_free(g);
    return status;
}

sftn_status sftn_predict(const sftn_network *net, const uint8_t *pixels,
                         const sftn_plan_options *options, float *probability, sftn_error *err)
{
    const size_t count = (size_t)net->channels * (size_t)net->image_size * (size_t)net->image_size;
    float *image = sftn_calloc(count, sizeof *image);
    sftn_plan *plan = NULL;
    sftn_status status;

    if (!image)
        return sftn_fail(err, SFTN_ERR_MEMORY, "prediction: out of memory");
    normalize(net, pixels, image);
    status = compile(net, options, &plan, err);
    if (!status)
        status = sftn_plan_write_float(plan, "image", image, err);
    if (!status)
        status = sftn_plan_run(plan, err);
    if (!status)
        status = sftn_plan_read_float(plan, "probability", probability, err);
    sftn_plan_free(plan);
    free(image);
    return status;
}
