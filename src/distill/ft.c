/*
 * ft: factor transfer (Kim, Park and Kwak, "Paraphrasing Complex Network", NeurIPS 2018).
 *
 *     L = mean |A(translator(f_s)) - A(paraphraser(f_t))|
 *
 * A: channel mean of f^2, flattened, unit length per image; mean over N and positions.  Translator
 * and paraphraser are three 3x3 convolutions each with LeakyReLU (slope 0.1), to half the
 * teacher's channels; the translator has batch norms between.  f_s, f_t: last stage.
 *
 * The paraphraser is half of an autoencoder of the teacher's maps, and frozen while the student is
 * trained.  Before that, for 30 epochs at a rate of 0.01 (published for students of the resnet and
 * wrn families; for others the run's own rate, --ft.lr 0), it is trained by
 *
 *     L = mean (decoder(paraphraser(f_t)) - f_t)^2
 *
 * The decoder is three 3x3 transposed convolutions with LeakyReLU, the paraphraser's mirror image.
 */
#include "distill/distill.h"

typedef struct ft_options {
    float p;
    sftn_phase_options phase;
} ft_options;

static const sftn_option ft_option_table[] = {
    {"p", SFTN_OPT_FLOAT, offsetof(ft_options, p), 2.0, 1.0, 8.0, "power applied to activations",
     NULL, NULL},
    SFTN_PHASE_OPTIONS(ft_options, phase, 30, 0.01),
    SFTN_OPTION_END,
};

/* Three convolutions to `first` and then twice `filters` channels; bn: batch norm after each. */
static sftn_value encode(const sftn_scope *parent, const char *name, sftn_value x, int first,
                         int filters, bool bn)
{
    const sftn_scope s = sftn_scope_in(parent, "%s", name);

    for (int i = 0; i < 3; i++) {
        static const char *const conv[2][3] = {{"0", "2", "4"}, {"0", "3", "6"}};
        static const char *const norm[] = {"1", "4", "7"};
        const sftn_conv spec = {.filters = i ? filters : first, .size = 3, .bias = true};

        x = sftn_nn_conv(&s, conv[bn][i], x, spec);
        x = sftn_leaky_relu(s.g, bn ? sftn_nn_batch_norm(&s, norm[i], x) : x, 0.1f);
    }
    return x;
}

/* Three transposed convolutions, the last two to `channels`. */
static sftn_value decode(const sftn_scope *parent, const char *name, sftn_value x, int channels)
{
    const sftn_scope s = sftn_scope_in(parent, "%s", name);

    for (int i = 0; i < 3; i++) {
        static const char *const conv[] = {"0", "2", "4"};
        const int from = (int)sftn_value_shape(s.g, x).dim[SFTN_C];
        const sftn_conv spec = {.filters = i ? channels : from, .size = 3, .bias = true};

        x = sftn_leaky_relu(s.g, sftn_nn_conv_transpose(&s, conv[i], x, spec), 0.1f);
    }
    return x;
}

static int channels_of(sftn_graph *g, sftn_value map)
{
    return (int)sftn_value_shape(g, map).dim[SFTN_C];
}

static sftn_value paraphrase(const sftn_scope *s, sftn_value teacher)
{
    const int from = channels_of(s->g, teacher);

    return encode(s, "paraphraser.encoder", teacher, from, from > 1 ? from / 2 : 1, false);
}

static void ft_adapt(const sftn_distill_args *a, sftn_tap_pair *pair)
{
    for (int i = 0; i < a->npairs; i++) {
        const sftn_scope s = sftn_pair_scope(a, i);
        sftn_scope frozen = s;

        frozen.frozen = true;
        pair[i].teacher = paraphrase(&frozen, pair[i].teacher);
        pair[i].student =
            encode(&s, "translator.encoder", pair[i].student,
                   channels_of(a->g, pair[i].student), channels_of(a->g, pair[i].teacher), true);
    }
}

static sftn_value reconstruction_loss(const sftn_distill_args *a)
{
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++) {
        const sftn_scope s = sftn_pair_scope(a, i);
        const sftn_value t = a->pair[i].teacher;
        const sftn_value again =
            decode(&s, "paraphraser.decoder", paraphrase(&s, t), channels_of(a->g, t));

        term[i] = sftn_mse(a->g, again, t);
    }
    return sftn_add_terms(a->g, term, a->npairs);
}

static sftn_schedule ft_schedule(const void *options)
{
    return sftn_phase_schedule(&((const ft_options *)options)->phase);
}

static const sftn_distill_phase ft_phase = {.schedule = ft_schedule, .loss = reconstruction_loss};

static sftn_value ft_loss(const sftn_distill_args *a)
{
    const ft_options *opt = a->options;
    sftn_graph *g = a->g;
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++) {
        const sftn_tap_pair *p = &a->pair[i];
        const sftn_value s = sftn_pool_to_match(g, p->student, p->teacher);
        const sftn_value t = sftn_pool_to_match(g, p->teacher, p->student);
        const sftn_value gap =
            sftn_sub(g, sftn_energy_map(g, s, opt->p), sftn_energy_map(g, t, opt->p));

        term[i] = sftn_mean(g, sftn_abs(g, gap), SFTN_ALL_AXES);
    }
    return sftn_add_terms(g, term, a->npairs);
}

const sftn_distiller sftn_distiller_ft = {
    .name         = "ft",
    .summary      = "match factors of the last stage, paraphrased from the teacher's",
    .reference    = "Kim, Park and Kwak, NeurIPS 2018",
    .options      = ft_option_table,
    .options_size = sizeof(ft_options),
    .pairs        = "last",
    .weight       = 200.0,
    .task_weight  = 1.0,
    .adapt        = ft_adapt,
    .loss         = ft_loss,
    .phase        = &ft_phase,
    .nphases      = 1,
};
