/*
 * distill: finds a distillation method by name and builds it; what several methods share.
 */
#include "distill/distill.h"

#include "base/base.h"

#include <float.h>
#include <string.h>

#define SFTN_METHOD(id) &sftn_distiller_##id,
static const sftn_distiller *const methods[] = {
#include "distill/methods.def"
    NULL,
};
#undef SFTN_METHOD

const sftn_distiller *sftn_distiller_list(int i)
{
    return i >= 0 && i < (int)SFTN_COUNT(methods) ? methods[i] : NULL;
}

const sftn_distiller *sftn_distiller_find(const char *name, sftn_error *err)
{
    const char *names[SFTN_COUNT(methods)] = {NULL};
    int i;

    for (i = 0; methods[i]; i++)
        names[i] = methods[i]->name;
    i = sftn_find_name("distillation method", name, names, NULL, err);
    return i >= 0 ? methods[i] : NULL;
}

sftn_value sftn_distiller_build(const sftn_distiller *method, const sftn_distill_phase *phase,
                                const sftn_distill_args *args, const char *pairs)
{
    void (*adapt)(const sftn_distill_args *args, sftn_tap_pair *pair) =
        phase ? phase->adapt : method->adapt;
    sftn_tap_pair pair[SFTN_MAX_PAIRS];
    sftn_distill_args a = *args;
    sftn_error err = {0};

    sftn_graph_set_scope(a.g, a.scope->name);
    if (sftn_graph_status(a.g, NULL))
        return SFTN_NONE;
    if (sftn_tap_pairs(pairs ? pairs : method->pairs, a.student, a.teacher, pair, &a.npairs, &err))
        return sftn_graph_fail(a.g, "%s", err.text);
    a.pair = pair;
    if (adapt)
        adapt(&a, pair);
    sftn_graph_set_scope(a.g, a.scope->name);
    return phase ? phase->loss(&a) : method->loss(&a);
}

sftn_schedule sftn_phase_schedule(const sftn_phase_options *options)
{
    return (sftn_schedule){.epochs = options->epochs, .lr = sftn_decimal(options->lr)};
}

sftn_scope sftn_pair_scope(const sftn_distill_args *args, int i)
{
    return args->npairs == 1 ? *args->scope : sftn_scope_in(args->scope, "pair%d", i + 1);
}

sftn_value sftn_add_terms(sftn_graph *g, const sftn_value *term, int n)
{
    sftn_value sum = term[0];

    for (int i = 1; i < n; i++)
        sum = sftn_add(g, sum, term[i]);
    return sum;
}

sftn_value sftn_length(sftn_graph *g, sftn_value x)
{
    const sftn_value square = sftn_sum(g, sftn_square(g, x), SFTN_AXIS_C);

    return sftn_sqrt(g, sftn_clamp(g, square, 1e-24f, FLT_MAX));
}

bool sftn_equal_channels(const sftn_distill_args *args, const char *instead)
{
    for (int i = 0; i < args->npairs; i++) {
        const sftn_tap_pair *p = &args->pair[i];
        const int64_t s = sftn_value_shape(args->g, p->student).dim[SFTN_C];
        const int64_t t = sftn_value_shape(args->g, p->teacher).dim[SFTN_C];

        if (s == t)
            continue;
        sftn_graph_fail(args->g,
                        "the student's %s has %lld channels and the teacher's %s %lld, but the "
                        "method compares channel with channel; %s",
                        p->student_name, (long long)s, p->teacher_name, (long long)t, instead);
        return false;
    }
    return true;
}

sftn_value sftn_energy_map(sftn_graph *g, sftn_value f, float p)
{
    sftn_value energy = p == 2.0f ? sftn_square(g, f) : sftn_power(g, sftn_abs(g, f), p);

    energy = sftn_flatten(g, sftn_mean(g, energy, SFTN_AXIS_C));
    return sftn_l2_normalize(g, energy, SFTN_AXES_CHW);
}

/* A convolution from a map of `from` pixels to one of `to`; filters 0 where there is none. */
static sftn_conv regressor(int64_t from, int64_t to, int filters)
{
    if (from == 2 * to)
        return (sftn_conv){.filters = filters, .size = 3, .stride = 2, .pad = 1, .bias = true};
    if (2 * from == to)
        return (sftn_conv){.filters = filters, .size = 4, .stride = 2, .pad = 1, .bias = true};
    return (sftn_conv){.filters = from < to ? 0 : filters, .size = (int)(1 + from - to),
                       .pad = -1, .bias = true};
}

sftn_value sftn_regress(const sftn_scope *s, sftn_value x, sftn_value like, bool relu)
{
    const sftn_shape from = sftn_value_shape(s->g, x), to = sftn_value_shape(s->g, like);
    const sftn_conv conv = regressor(from.dim[SFTN_H], to.dim[SFTN_H], (int)to.dim[SFTN_C]);

    if (conv.filters == 0) {
        char a[64], b[64];

        sftn_shape_format(&from, a, sizeof a);
        sftn_shape_format(&to, b, sizeof b);
        return sftn_graph_fail(s->g, "the student's map is %s and the teacher's %s; a regressor "
                               "doubles the size, halves it, or cuts a border off: at and nst "
                               "compare maps of any size", a, b);
    }
    x = 2 * from.dim[SFTN_H] == to.dim[SFTN_H] ? sftn_nn_conv_transpose(s, "conv", x, conv)
                                               : sftn_nn_conv(s, "conv", x, conv);
    x = sftn_nn_batch_norm(s, "bn", x);
    return relu ? sftn_relu(s->g, x) : x;
}
