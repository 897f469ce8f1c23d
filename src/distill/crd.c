/*
 * crd: contrastive representation distillation (Tian, Krishnan and Isola, ICLR 2020), as its
 * authors' benchmark has it.
 *
 *     v_s, v_t [N,dim]: linear embeddings, of unit length, of both networks' pooled features
 *     M_s, M_t [R,dim]: a memory of them for each of the R training records
 *     P_t = exp(<M_s[j], v_t> / T) / Z_t       P_s = exp(<M_t[j], v_s> / T) / Z_s
 *
 * for the record itself, j = j_0 (with option relax any record of its class), and K records of
 * other classes, j_1 .. j_K.  With c = K / R, each side adds
 *
 *     -1/N sum over n of [ ln(P_0 / (P_0 + c + 1e-7)) + sum over k of ln(c / (P_k + c + 1e-7)) ]
 *
 * Z is R times the mean of the first batch's exponentials, and stays.  After a step, the records'
 * memories become M := unit(m M + (1 - m) v).  A memory begins uniform in +- 1 / sqrt(dim / 3).
 */
#include "distill/distill.h"

#include <math.h>

typedef struct crd_options {
    int dim, negatives;
    float temperature, momentum;
    bool relax;
} crd_options;

static const sftn_option crd_option_table[] = {
    {"dim", SFTN_OPT_INT, offsetof(crd_options, dim), 128, 1, 65536,
     "length of the embeddings of both networks' features", NULL, NULL},
    {"negatives", SFTN_OPT_INT, offsetof(crd_options, negatives), 16384, 1, 1 << 20,
     "records of other classes that each record is told from", NULL, NULL},
    {"temperature", SFTN_OPT_FLOAT, offsetof(crd_options, temperature), 0.07, 0.001, 1000.0,
     "divides the products of embeddings", NULL, NULL},
    {"momentum", SFTN_OPT_FLOAT, offsetof(crd_options, momentum), 0.5, 0.0, 0.9999,
     "share of a record's memory that a step keeps", NULL, NULL},
    {"relax", SFTN_OPT_BOOL, offsetof(crd_options, relax), 0.0, 0.0, 1.0,
     "tell any record of the same class, drawn anew in each step, from those of others, instead of "
     "the record itself", NULL, NULL},
    SFTN_OPTION_END,
};

static const float contrast_eps = 1e-7f;

static void crd_adapt(const sftn_distill_args *a, sftn_tap_pair *pair)
{
    const crd_options *opt = a->options;
    const sftn_dense dense = {.units = opt->dim};

    for (int i = 0; i < a->npairs; i++) {
        const sftn_scope s = sftn_pair_scope(a, i);
        const sftn_value fs = sftn_flatten(a->g, pair[i].student);
        const sftn_value ft = sftn_flatten(a->g, pair[i].teacher);

        pair[i].student =
            sftn_l2_normalize(a->g, sftn_nn_dense(&s, "embed_s.linear", fs, dense), SFTN_AXIS_C);
        pair[i].teacher =
            sftn_l2_normalize(a->g, sftn_nn_dense(&s, "embed_t.linear", ft, dense), SFTN_AXIS_C);
    }
}

/* ---- states ---- */

typedef struct state {
    sftn_value value;
    int index;
} state;

static state add_state(const sftn_scope *s, const char *name, const sftn_param *spec)
{
    state st;

    st.value = sftn_nn_param(s, name, spec, &st.index);
    return st;
}

static state add_memory(const sftn_scope *s, const char *name, int64_t records, int64_t dim)
{
    return add_state(s, name, &(sftn_param){.kind = SFTN_PARAM_STATE,
                                            .shape = SFTN_SHAPE(records, dim, 1, 1),
                                            .rank = 2,
                                            .init = SFTN_INIT_UNIFORM,
                                            .scale = 1.0f / sqrtf((float)dim / 3.0f)});
}

static state add_number(const sftn_scope *s, const char *name, sftn_param_kind kind)
{
    return add_state(s, name, &(sftn_param){.kind = kind,
                                            .shape = SFTN_SHAPE(1, 1, 1, 1),
                                            .rank = kind == SFTN_PARAM_COUNTER ? 0 : 1,
                                            .init = SFTN_INIT_ZERO});
}

/* The number of the record, or one of its class, and those it is told from, [N,1+K]. */
static sftn_value choose_records(const sftn_distill_args *a, const sftn_scope *s)
{
    const crd_options *opt = a->options;
    state step;

    if (!sftn_is_none(a->drawn))
        return a->drawn;
    step = add_number(s, "step", SFTN_PARAM_COUNTER);
    sftn_graph_update(a->g, s->params, step.index, sftn_shift(a->g, step.value, 1.0f));
    return sftn_draws(a->g, a->record, step.value, a->records, opt->negatives, opt->relax, a->seed);
}

/* M := unit(m M + (1 - m) v) for the batch's records */
static void remember(const sftn_distill_args *a, const sftn_scope *s, const state *memory,
                     sftn_value v)
{
    const crd_options *opt = a->options;
    sftn_graph *g = a->g;
    const sftn_shape rows = sftn_value_shape(g, a->record);
    const sftn_value one = sftn_graph_constant(g, (sftn_type){rows, true}, 1.0f);
    const sftn_value old = sftn_rows_mix(g, memory->value, a->record, one);
    const sftn_value mixed = sftn_add(g, sftn_scale(g, old, opt->momentum),
                                      sftn_scale(g, sftn_detach(g, v), 1.0f - opt->momentum));

    sftn_graph_update(g, s->params, memory->index,
                      sftn_rows_replace(g, memory->value, a->record,
                                        sftn_l2_normalize(g, mixed, SFTN_AXIS_C)));
}

/* ---- the loss ---- */

/* z where it is known (positive), else `now`, which is then kept. */
static sftn_value fixed_by_first_batch(const sftn_scope *s, const char *name, sftn_value now)
{
    sftn_graph *g = s->g;
    const state z = add_number(s, name, SFTN_PARAM_STATE);
    const sftn_value known = sftn_step(g, z.value);
    const sftn_value unknown = sftn_shift(g, sftn_neg(g, known), 1.0f);
    const sftn_value fixed =
        sftn_add(g, sftn_mul(g, known, z.value), sftn_mul(g, unknown, sftn_detach(g, now)));

    sftn_graph_update(g, s->params, z.index, fixed);
    return fixed;
}

/* One side: v against a memory. */
static sftn_value contrast(const sftn_distill_args *a, const sftn_scope *s, const char *z_name,
                           sftn_value memory, sftn_value chosen, sftn_value v)
{
    const crd_options *opt = a->options;
    sftn_graph *g = a->g;
    const int64_t n = sftn_value_shape(g, chosen).dim[SFTN_N];
    const int64_t negatives = sftn_value_shape(g, chosen).dim[SFTN_C] - 1;
    const float records = (float)sftn_value_shape(g, memory).dim[SFTN_N];
    const float c = (float)negatives / records;
    const sftn_value products = sftn_rows_dot(g, memory, chosen, v);
    const sftn_value e = sftn_exp(g, sftn_scale(g, products, 1.0f / opt->temperature));
    const sftn_value z = fixed_by_first_batch(
        s, z_name, sftn_scale(g, sftn_mean(g, e, SFTN_ALL_AXES), records));
    const sftn_value p = sftn_div(g, e, z);
    const sftn_value own = sftn_slice(g, p, SFTN_C, 0, 1);
    const sftn_value other = sftn_slice(g, p, SFTN_C, 1, negatives);
    const sftn_value hit = sftn_log(g, sftn_div(g, own, sftn_shift(g, own, c + contrast_eps)));
    /* ln(c / (P + c + eps)) */
    const sftn_value miss =
        sftn_shift(g, sftn_neg(g, sftn_log(g, sftn_shift(g, other, c + contrast_eps))), logf(c));
    const sftn_value sum =
        sftn_add(g, sftn_sum(g, hit, SFTN_ALL_AXES), sftn_sum(g, miss, SFTN_ALL_AXES));

    return sftn_scale(g, sum, -1.0f / (float)n);
}

static sftn_value crd_loss(const sftn_distill_args *a)
{
    const crd_options *opt = a->options;
    sftn_value term[SFTN_MAX_PAIRS];

    if (a->records == NULL || sftn_is_none(a->record))
        return sftn_graph_fail(a->g, "crd needs to know which records a batch holds");
    for (int i = 0; i < a->npairs; i++) {
        const sftn_scope s = sftn_pair_scope(a, i);
        const int64_t records = sftn_draw_table_records(a->records);
        const sftn_value vs = a->pair[i].student, vt = a->pair[i].teacher;
        const state ms = add_memory(&s, "memory_s", records, opt->dim);
        const state mt = add_memory(&s, "memory_t", records, opt->dim);
        const sftn_value chosen = choose_records(a, &s);

        term[i] = sftn_add(a->g, contrast(a, &s, "z_s", mt.value, chosen, vs),
                           contrast(a, &s, "z_t", ms.value, chosen, vt));
        remember(a, &s, &ms, vs);
        remember(a, &s, &mt, vt);
    }
    return sftn_add_terms(a->g, term, a->npairs);
}

const sftn_distiller sftn_distiller_crd = {
    .name         = "crd",
    .summary      = "tell each image from many of other classes by the other network's embedding",
    .reference    = "Tian, Krishnan and Isola, ICLR 2020",
    .options      = crd_option_table,
    .options_size = sizeof(crd_options),
    .pairs        = "pooled",
    .weight       = 0.8,
    .task_weight  = 1.0,
    .adapt        = crd_adapt,
    .loss         = crd_loss,
};
