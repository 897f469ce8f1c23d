/*
 * sskd: knowledge distillation meets self-supervision (Xu, Liu, Li and Loy, ECCV 2020), as its
 * authors' code has it.
 *
 * A batch holds four views of each of N images, turned by 0, 90, 180 and 270 degrees: N normal
 * rows, then 3N turned ones.  h is a head of each network, dense - ReLU - dense on its pooled
 * features, and S [3N,N] the cosines of h of each turned view with h of each normal one.
 *
 *     L = 0.9 D_4(z_t, z_s) over normal rows + 2.7 D_4(z_t, z_s) over turned rows
 *       + 10 D_0.5(S_t, S_s) over turned rows
 *     D_T(p, q) = T^2 mean over rows of KL(softmax(p / T) || softmax(q / T))
 *
 * beside 0.1 times the cross-entropy of the normal views.  Of the turned rows those count that the
 * teacher gets right, its answer being the label, its most similar image the row's own; and of the
 * others a share, 1 for the answers and 0.75 for the similarities, in the order of the rank that
 * the teacher gives to what is right (among equal ranks the first rows).
 *
 * Before that the teacher's head is trained alone, for 60 epochs at a rate of 0.05 that falls to a
 * tenth after 30 and 45, by the cross-entropy of softmax(S_t) with the row's own image; afterwards
 * it is frozen.
 */
#include "distill/distill.h"

enum { VIEWS = 4, TURNED = VIEWS - 1 };

typedef struct sskd_options {
    float temperature, turned_temperature, similarity_temperature;
    float normal_weight, turned_weight, similarity_weight;
    float turned_keep, similarity_keep;
    sftn_phase_options phase;
} sskd_options;

#define FIELD(name) offsetof(sskd_options, name)

static const sftn_option sskd_option_table[] = {
    {"temperature", SFTN_OPT_FLOAT, FIELD(temperature), 4.0, 0.01, 1000.0,
     "softening of the answers to normal views", NULL, NULL},
    {"turned-temperature", SFTN_OPT_FLOAT, FIELD(turned_temperature), 4.0, 0.01, 1000.0,
     "softening of the answers to turned views", NULL, NULL},
    {"similarity-temperature", SFTN_OPT_FLOAT, FIELD(similarity_temperature), 0.5, 0.01, 1000.0,
     "softening of the similarities of views", NULL, NULL},
    {"normal-weight", SFTN_OPT_FLOAT, FIELD(normal_weight), 0.9, 0.0, 1e6,
     "factor of the answers to normal views", NULL, NULL},
    {"turned-weight", SFTN_OPT_FLOAT, FIELD(turned_weight), 2.7, 0.0, 1e6,
     "factor of the answers to turned views", NULL, NULL},
    {"similarity-weight", SFTN_OPT_FLOAT, FIELD(similarity_weight), 10.0, 0.0, 1e6,
     "factor of the similarities of views", NULL, NULL},
    {"turned-keep", SFTN_OPT_FLOAT, FIELD(turned_keep), 1.0, 0.0, 1.0,
     "share of the turned views that the teacher classifies wrongly whose answers count", NULL,
     NULL},
    {"similarity-keep", SFTN_OPT_FLOAT, FIELD(similarity_keep), 0.75, 0.0, 1.0,
     "share of the turned views that the teacher takes for other images whose similarities count",
     NULL, NULL},
    {"epochs", SFTN_OPT_INT, FIELD(phase.epochs), 60, 1, 100000,
     "epochs of the teacher's head before the labels", NULL, NULL},
    {"lr", SFTN_OPT_FLOAT, FIELD(phase.lr), 0.05, 0.0, 100.0,
     "learning rate of those epochs, a tenth from their half on and a hundredth in their last "
     "quarter; 0 is the run's --lr", NULL, NULL},
    SFTN_OPTION_END,
};

/* ---- heads ---- */

static sftn_value head(const sftn_scope *parent, const char *name, sftn_value x)
{
    const sftn_scope s = sftn_scope_in(parent, "%s", name);
    const sftn_value flat = sftn_flatten(s.g, x);
    const sftn_dense dense = {.units = (int)sftn_value_shape(s.g, flat).dim[SFTN_C]};

    return sftn_nn_dense(&s, "2", sftn_relu(s.g, sftn_nn_dense(&s, "0", flat, dense)), dense);
}

/* pair[0]: answers; pair[1]: features. */
static bool has_two_pairs(const sftn_distill_args *a)
{
    if (a->npairs != 2)
        sftn_graph_fail(a->g, "%d pairs of taps; sskd compares two, answers and then features, as "
                        "in logits,pooled", a->npairs);
    return a->npairs == 2;
}

static void head_adapt(const sftn_distill_args *a, sftn_tap_pair *pair)
{
    if (has_two_pairs(a))
        pair[1].teacher = head(a->scope, "head_t", pair[1].teacher);
}

static void sskd_adapt(const sftn_distill_args *a, sftn_tap_pair *pair)
{
    sftn_scope frozen = *a->scope;

    frozen.frozen = true;
    if (!has_two_pairs(a))
        return;
    pair[1].student = head(a->scope, "head_s", pair[1].student);
    pair[1].teacher = head(&frozen, "head_t", pair[1].teacher);
}

/* ---- views ---- */

/* Images in a batch; 0, with the graph's error set, where it does not hold four views of them. */
static int64_t count_images(const sftn_distill_args *a)
{
    const int64_t n = sftn_value_shape(a->g, a->labels).dim[SFTN_N];
    const int64_t rows = sftn_value_shape(a->g, a->pair[0].teacher).dim[SFTN_N];

    if (rows == VIEWS * n)
        return n;
    sftn_graph_fail(a->g, "a batch of %lld images for %lld labels; sskd needs four views of each",
                    (long long)rows, (long long)n);
    return 0;
}

static sftn_value turned(sftn_graph *g, sftn_value x, int64_t n)
{
    return sftn_slice(g, x, SFTN_N, n, TURNED * n);
}

/* What x [n,1,1,1] says of each image, for its turned views. */
static sftn_value for_turned(sftn_graph *g, sftn_value x)
{
    const sftn_value each[TURNED] = {x, x, x};

    return sftn_concat(g, each, TURNED, SFTN_N);
}

/* 0, 1, 2, ... [n,1,1,1]: twice as many with every step, cut to n. */
static sftn_value count_up(sftn_graph *g, int64_t n)
{
    sftn_value x = sftn_graph_constant(g, (sftn_type){SFTN_SHAPE(1, 1, 1, 1), true}, 0.0f);

    for (int64_t have = 1; have < n; have *= 2) {
        const sftn_value both[] = {x, sftn_shift(g, x, (float)have)};

        x = sftn_concat(g, both, 2, SFTN_N);
    }
    return sftn_slice(g, x, SFTN_N, 0, n);
}

/* x [4n,d] -> cosines of each turned row with each normal one, [3n,n] */
static sftn_value similarities(sftn_graph *g, sftn_value x, int64_t n)
{
    const sftn_value unit = sftn_l2_normalize(g, sftn_flatten(g, x), SFTN_AXIS_C);
    const int64_t d = sftn_value_shape(g, unit).dim[SFTN_C];
    const sftn_value rows = sftn_reshape(g, turned(g, unit, n), SFTN_SHAPE(1, TURNED * n, d, 1));
    const sftn_value columns =
        sftn_reshape(g, sftn_slice(g, unit, SFTN_N, 0, n), SFTN_SHAPE(1, n, d, 1));
    const sftn_value s = sftn_matmul(g, rows, columns, (sftn_matmul_spec){.trans_b = true});

    return sftn_reshape(g, s, SFTN_SHAPE(TURNED * n, n, 1, 1));
}

/* ---- which rows count ---- */

/*
 * 1 for rows of rank 0 and for the share `keep`, rounded down, of the others, those of lowest rank
 * first and of equal ranks the first ones; else 0.  rank [m,1,1,1].
 */
static sftn_value choose(sftn_graph *g, sftn_value rank, float keep)
{
    const int64_t m = sftn_value_shape(g, rank).dim[SFTN_N];
    const sftn_shape across = SFTN_SHAPE(1, m, 1, 1);
    const sftn_value row = count_up(g, m);
    const sftn_value rank_of = sftn_reshape(g, rank, across), row_of = sftn_reshape(g, row, across);
    const sftn_value tied =
        sftn_mul(g, sftn_equal(g, rank, rank_of), sftn_greater(g, row, row_of));
    const sftn_value before =
        sftn_sum(g, sftn_add(g, sftn_greater(g, rank, rank_of), tied), SFTN_AXIS_C);
    const sftn_value wrong = sftn_sum(g, sftn_step(g, rank), SFTN_ALL_AXES);
    /* The row's number among the wrong ones, from 1; 0 or less for the right ones. */
    const sftn_value number = sftn_shift(g, sftn_add(g, before, wrong), 1.0f - (float)m);
    /* A little more than the share, which as a float may be a little less than was meant. */
    const sftn_value most = sftn_scale(g, wrong, keep * 1.000001f);

    return sftn_shift(g, sftn_neg(g, sftn_greater(g, number, most)), 1.0f);
}

/* T^2 times the mean of KL(p || q) over the rows that count; 0 where none does. */
static sftn_value chosen_divergence(sftn_graph *g, sftn_value p, sftn_value q, float temperature,
                                    sftn_value counts)
{
    const float m = (float)sftn_value_shape(g, p).dim[SFTN_N];
    const sftn_value kl = sftn_mul(g, counts, sftn_kl_rows(g, p, q, temperature));
    const sftn_value n = sftn_clamp(g, sftn_sum(g, counts, SFTN_ALL_AXES), 1.0f, m);

    return sftn_scale(g, sftn_div(g, sftn_sum(g, kl, SFTN_ALL_AXES), n),
                      temperature * temperature);
}

/* ---- losses ---- */

static sftn_value head_loss(const sftn_distill_args *a)
{
    sftn_graph *g = a->g;
    const int64_t n = has_two_pairs(a) ? count_images(a) : 0;

    if (n == 0)
        return SFTN_NONE;
    return sftn_cross_entropy(g, similarities(g, a->pair[1].teacher, n),
                              for_turned(g, count_up(g, n)), 0.0f);
}

static sftn_value sskd_loss(const sftn_distill_args *a)
{
    const sskd_options *opt = a->options;
    sftn_graph *g = a->g;
    const int64_t n = has_two_pairs(a) ? count_images(a) : 0;
    const sftn_value zs = a->pair[0].student, zt = a->pair[0].teacher;
    sftn_value term[3], answers, likeness, own, right;

    if (n == 0)
        return SFTN_NONE;
    term[0] = sftn_kl_divergence(g, sftn_slice(g, zt, SFTN_N, 0, n),
                                 sftn_slice(g, zs, SFTN_N, 0, n), opt->temperature);
    answers = turned(g, zt, n);
    right = choose(g, sftn_rank(g, answers, for_turned(g, a->labels)), opt->turned_keep);
    term[1] = chosen_divergence(g, answers, turned(g, zs, n), opt->turned_temperature, right);
    likeness = sftn_detach(g, similarities(g, a->pair[1].teacher, n));
    own = for_turned(g, count_up(g, n));
    right = choose(g, sftn_rank(g, likeness, own), opt->similarity_keep);
    term[2] = chosen_divergence(g, likeness, similarities(g, a->pair[1].student, n),
                                opt->similarity_temperature, right);
    term[0] = sftn_scale(g, term[0], opt->normal_weight);
    term[1] = sftn_scale(g, term[1], opt->turned_weight);
    term[2] = sftn_scale(g, term[2], opt->similarity_weight);
    return sftn_add_terms(g, term, 3);
}

static sftn_schedule sskd_schedule(const void *options)
{
    const sftn_phase_options *phase = &((const sskd_options *)options)->phase;
    sftn_schedule schedule = sftn_phase_schedule(phase);

    schedule.nmilestones = 2;
    schedule.milestone[0] = 0.5 * phase->epochs;
    schedule.milestone[1] = 0.75 * phase->epochs;
    schedule.gamma = 0.1;
    return schedule;
}

static const sftn_distill_phase sskd_phase = {
    .schedule = sskd_schedule, .adapt = head_adapt, .loss = head_loss};

const sftn_distiller sftn_distiller_sskd = {
    .name         = "sskd",
    .summary      = "match answers to turned images, and which views are of the same image",
    .reference    = "Xu et al., ECCV 2020",
    .options      = sskd_option_table,
    .options_size = sizeof(sskd_options),
    .pairs        = "logits,pooled",
    .weight       = 1.0,
    .task_weight  = 0.1,
    .views        = {.n = VIEWS, .turned = true},
    .adapt        = sskd_adapt,
    .loss         = sskd_loss,
    .phase        = &sskd_phase,
    .nphases      = 1,
};
