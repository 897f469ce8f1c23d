/*
 * loss: cross-entropy, Kullback-Leibler divergence and mean squared error.
 *
 * Logits are [N,K,1,1], labels [N,1,1,1] with class indices; losses are scalars [1,1,1,1].
 * Sums go over classes, means over the batch.
 */
#include "sftn/nn.h"

static bool is_matrix(const sftn_shape *s)
{
    return s->dim[SFTN_H] == 1 && s->dim[SFTN_W] == 1;
}

/* Mean over the batch of the sum over classes. */
static sftn_value batch_mean_of_sum(sftn_graph *g, sftn_value x)
{
    return sftn_mean(g, sftn_sum(g, x, SFTN_AXES_CHW), SFTN_AXIS_N);
}

/*
 * -mean_n sum_k t_nk ln softmax(z_n)_k with targets t = (1 - smoothing) onehot(y) + smoothing / K:
 * PyTorch's cross_entropy with label_smoothing.
 */
sftn_value sftn_cross_entropy(sftn_graph *g, sftn_value logits, sftn_value labels, float smoothing)
{
    const sftn_shape shape = sftn_value_shape(g, logits);
    const int classes = (int)shape.dim[SFTN_C];
    sftn_value target;

    if (sftn_is_none(logits) || sftn_is_none(labels))
        return SFTN_NONE;
    if (!is_matrix(&shape)) {
        char text[64];

        sftn_shape_format(&shape, text, sizeof text);
        return sftn_graph_fail(g, "cross_entropy: logits are %s, expected [N,K,1,1]", text);
    }
    if (!(smoothing >= 0.0f && smoothing < 1.0f))
        return sftn_graph_fail(g, "cross_entropy: smoothing is %g, expected 0 <= smoothing < 1",
                               (double)smoothing);
    target = sftn_one_hot(g, labels, classes);
    if (smoothing > 0.0f)
        target = sftn_shift(g, sftn_scale(g, target, 1.0f - smoothing),
                            smoothing / (float)classes);
    return sftn_neg(g, batch_mean_of_sum(g, sftn_mul(g, target, sftn_log_softmax(g, logits))));
}

sftn_value sftn_kl_rows(sftn_graph *g, sftn_value p_logits, sftn_value q_logits,
                        float temperature)
{
    sftn_value log_p, log_q;

    if (sftn_is_none(p_logits) || sftn_is_none(q_logits))
        return SFTN_NONE;
    if (!(temperature > 0.0f))
        return sftn_graph_fail(g, "kl_divergence: temperature is %g, expected more than 0",
                               (double)temperature);
    if (!sftn_same_shape(g, p_logits, q_logits)) {
        const sftn_shape p = sftn_value_shape(g, p_logits), q = sftn_value_shape(g, q_logits);
        char text_p[64], text_q[64];

        sftn_shape_format(&p, text_p, sizeof text_p);
        sftn_shape_format(&q, text_q, sizeof text_q);
        return sftn_graph_fail(g, "kl_divergence: logits are %s and %s, expected equal shapes",
                               text_p, text_q);
    }
    if (temperature != 1.0f) {
        p_logits = sftn_scale(g, p_logits, 1.0f / temperature);
        q_logits = sftn_scale(g, q_logits, 1.0f / temperature);
    }
    log_p = sftn_log_softmax(g, p_logits);
    log_q = sftn_log_softmax(g, q_logits);
    return sftn_sum(g, sftn_mul(g, sftn_exp(g, log_p), sftn_sub(g, log_p, log_q)), SFTN_AXES_CHW);
}

sftn_value sftn_kl_divergence(sftn_graph *g, sftn_value p_logits, sftn_value q_logits,
                              float temperature)
{
    const sftn_value rows = sftn_kl_rows(g, p_logits, q_logits, temperature);
    const sftn_value kl = sftn_is_none(rows) ? rows : sftn_mean(g, rows, SFTN_AXIS_N);

    return temperature == 1.0f ? kl : sftn_scale(g, kl, temperature * temperature);
}

sftn_value sftn_mse(sftn_graph *g, sftn_value a, sftn_value b)
{
    return sftn_mean(g, sftn_square(g, sftn_sub(g, a, b)), SFTN_ALL_AXES);
}
