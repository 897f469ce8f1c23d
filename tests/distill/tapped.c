/* tapped: see tapped.h. */
#include "distill/tapped.h"

#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const tapped_shape tapped_student = {{4, 4, 6, 5}, {8, 8, 4, 2}};
const tapped_shape tapped_wider = {{5, 7, 5, 8}, {8, 8, 4, 2}};
const tapped_shape tapped_smaller = {{4, 3, 6, 7}, {8, 4, 4, 1}};

static sftn_value add_map(const tapped *t, char side, const char *tap, int64_t channels,
                          int64_t pixels)
{
    char name[40];

    snprintf(name, sizeof name, "%c.%s", side, tap);
    return net_input(&t->n, name, t->rows, channels, pixels, pixels);
}

static sftn_value add_vector(const tapped *t, char side, const char *tap, const char *entry,
                             int64_t channels)
{
    char name[60];

    snprintf(name, sizeof name, "%c.%s.%s", side, tap, entry);
    return net_input(&t->n, name, 1, channels, 1, 1);
}

static sftn_tap add_stage(const tapped *t, char side, int stage, const tapped_shape *shape)
{
    const int64_t c = shape->channels[stage], pixels = shape->pixels[stage];
    char name[16] = "stem", preact[32];
    sftn_tap tap;

    if (stage > 0)
        snprintf(name, sizeof name, "stage%d", stage);
    snprintf(preact, sizeof preact, "%s.preact", name);
    tap.feature = add_map(t, side, name, c, pixels);
    tap.preact = add_map(t, side, preact, c, pixels);
    tap.norm.scale = add_vector(t, side, preact, "scale", c);
    tap.norm.offset = add_vector(t, side, preact, "offset", c);
    return tap;
}

static sftn_taps add_network(const tapped *t, char side, const tapped_shape *shape)
{
    sftn_taps taps = {.nstages = TAPPED_STAGES};

    taps.stem = add_stage(t, side, 0, shape);
    for (int i = 1; i <= TAPPED_STAGES; i++)
        taps.stage[i - 1] = add_stage(t, side, i, shape);
    taps.pooled = add_map(t, side, "pooled", shape->channels[TAPPED_STAGES], 1);
    taps.logits = add_map(t, side, "logits", TAPPED_CLASSES, 1);
    return taps;
}

/* A training set for methods that remember its records. */
enum { RECORDS = 20 };
static const int32_t class_of[RECORDS] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0,
                                          1, 2, 0, 1, 2, 0, 1, 2, 0, 1};

tapped tapped_of(const sftn_distiller *method, const sftn_distill_phase *phase, int64_t batch,
                 const tapped_shape *student, const tapped_shape *teacher)
{
    tapped t = {.n = net_new(), .method = method, .phase = phase};

    t.options = calloc(1, method->options_size ? method->options_size : 1);
    CHECK(t.options != NULL);
    if (method->options)
        sftn_options_default(method->options, t.options);
    t.rows = sftn_views_rows(method->views, batch);
    t.student = add_network(&t, 's', student);
    t.teacher = add_network(&t, 't', teacher);
    t.labels = net_input(&t.n, "labels", batch, 1, 1, 1);
    t.record = net_input(&t.n, "record", batch, 1, 1, 1);
    t.records = sftn_draw_table_new(RECORDS, class_of, 3);
    CHECK(t.records != NULL);
    return t;
}

tapped tapped_new(const char *method, int64_t batch, const tapped_shape *student,
                  const tapped_shape *teacher)
{
    sftn_error err = {.status = SFTN_OK};
    const sftn_distiller *m = sftn_distiller_find(method, &err);

    CHECK_OK(err.status, &err);
    return tapped_of(m, m->loss ? NULL : m->phase, batch, student, teacher);
}

void tapped_free(tapped *t)
{
    net_free(&t->n);
    free(t->options);
    free(t->states);
    sftn_draw_table_free(t->records);
}

void tapped_set(const tapped *t, const char *option, const char *value)
{
    sftn_error err = {.status = SFTN_OK};

    CHECK_OK(sftn_options_set(t->method->options, t->options, option, value, &err), &err);
}

static sftn_distill_args args_of(const tapped *t, const sftn_scope *scope)
{
    return (sftn_distill_args){.g = t->n.g,
                               .scope = scope,
                               .student = &t->student,
                               .teacher = &t->teacher,
                               .labels = t->labels,
                               .classes = TAPPED_CLASSES,
                               .options = t->options,
                               .records = t->records,
                               .record = t->record};
}

sftn_value tapped_build(const tapped *t, const char *pairs)
{
    const sftn_scope scope = net_scope(&t->n, true);
    const sftn_distill_args args = args_of(t, &scope);

    return sftn_distiller_build(t->method, t->phase, &args, pairs);
}

sftn_value tapped_loss(const tapped *t, const sftn_taps *student, const sftn_taps *teacher)
{
    const sftn_scope scope = net_scope(&t->n, true);
    sftn_distill_args args = args_of(t, &scope);
    sftn_tap_pair pair[SFTN_MAX_PAIRS];
    sftn_error err = {.status = SFTN_OK};

    CHECK_OK(sftn_tap_pairs(t->method->pairs, student, teacher, pair, &args.npairs, &err), &err);
    args.pair = pair;
    return t->phase ? t->phase->loss(&args) : t->method->loss(&args);
}

sftn_taps tapped_map(const tapped *t, const sftn_taps *taps,
                     sftn_value (*f)(sftn_graph *g, sftn_value x))
{
    sftn_taps m = *taps;

    m.stem.feature = f(t->n.g, taps->stem.feature);
    m.stem.preact = f(t->n.g, taps->stem.preact);
    for (int i = 0; i < taps->nstages; i++) {
        m.stage[i].feature = f(t->n.g, taps->stage[i].feature);
        m.stage[i].preact = f(t->n.g, taps->stage[i].preact);
    }
    m.pooled = f(t->n.g, taps->pooled);
    m.logits = f(t->n.g, taps->logits);
    return m;
}

static void fill_side(const tapped *t, char side, const sftn_taps *taps, uint64_t seed)
{
    sftn_named_tap list[SFTN_MAX_TAPS];
    const int n = sftn_taps_list(taps, list);

    for (int i = 0; i < n; i++) {
        char name[3][60];

        snprintf(name[0], sizeof name[0], "%c.%.24s", side, list[i].name);
        snprintf(name[1], sizeof name[1], "%c.%.24s.scale", side, list[i].name);
        snprintf(name[2], sizeof name[2], "%c.%.24s.offset", side, list[i].name);
        for (int k = 0; k < 3; k++)
            if (sftn_plan_input(t->n.plan, name[k]))
                net_write_random(&t->n, name[k], seed + (uint64_t)k);
    }
}

void tapped_compile(tapped *t, uint64_t seed)
{
    size_t states;

    sftn_params_init(t->n.params, seed);
    net_compile(&t->n);
    fill_side(t, 's', &t->student, seed);
    fill_side(t, 't', &t->teacher, seed);
    if (sftn_plan_input(t->n.plan, "labels"))
        net_write_labels(&t->n, "labels", TAPPED_CLASSES);
    if (sftn_plan_input(t->n.plan, "record"))
        net_write_labels(&t->n, "record", RECORDS);
    states = (size_t)sftn_params_state_size(t->n.params) * sizeof *t->states;
    if (states == 0)
        return;
    net_run(&t->n);
    t->states = malloc(states);
    CHECK(t->states != NULL);
    memcpy(t->states, sftn_params_states(t->n.params), states);
}

void tapped_run(const tapped *t)
{
    if (t->states != NULL)
        memcpy(sftn_params_states(t->n.params), t->states,
               (size_t)sftn_params_state_size(t->n.params) * sizeof *t->states);
    net_run(&t->n);
}
