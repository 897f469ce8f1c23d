/*
 * ft: factor transfer (Kim, Park and Kwak, "Paraphrasing Complex Network", NeurIPS 2018).
 *
 *     L = mean |A(translator(f_s)) - A(paraphraser(f_t))|
 *
 * A: channel mean of f^2, flattened, unit length per image; mean over N and positions.  Translator
 * and paraphraser are three 3x3 convolutions each with LeakyReLU (slope 0.1), to half the
 * teacher's channels; the translator has batch norms between.  f_s, f_t: last stage.  The
 * paraphraser is half of an autoencoder of the teacher's maps, trained before the student is, and
 * frozen then.
 */
#include "distill/distill.h"

typedef struct ft_options {
    float p;
} ft_options;

static const sftn_option ft_option_table[] = {
    {"p", SFTN_OPT_FLOAT, offsetof(ft_options, p), 2.0, 1.0, 8.0, "power applied to activations",
     NULL, NULL},
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

static void ft_adapt(const sftn_distill_args *a, sftn_tap_pair *pair)
{
    for (int i = 0; i < a->npairs; i++) {
        const sftn_scope s = sftn_pair_scope(a, i);
        const int from_s = (int)sftn_value_shape(a->g, pair[i].student).dim[SFTN_C];
        const int from_t = (int)sftn_value_shape(a->g, pair[i].teacher).dim[SFTN_C];
        const int factors = from_t > 1 ? from_t / 2 : 1;

        pair[i].student = encode(&s, "translator", pair[i].student, from_s, factors, true);
        pair[i].teacher = encode(&s, "paraphraser", pair[i].teacher, from_t, factors, false);
    }
}

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
};
