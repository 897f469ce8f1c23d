/*
 * gradients: of every method into the student and into the method's own parameters, against finite
 * differences in double precision; batches of one, odd sizes, shapes that differ.
 */
#include "distill/tapped.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of the student's taps, with its gradient as the output "g.TAP". */
typedef struct probe {
    char input[40], output[40];
    int64_t count;
    double *x, *direction, *grad;
} probe;

/* What a method is told; NULL: nothing. */
typedef struct setting {
    const char *option;
    char value[32];
} setting;

typedef struct probes {
    tapped t;
    probe p[SFTN_MAX_TAPS];
    int n;
} probes;

static double random_sign(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 63 ? 1.0 : -1.0;
}

static double random_unit(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-52 - 1.0;
}

static void add_probe(probes *b, const sftn_named_tap *tap, sftn_value grad, uint64_t *state)
{
    const sftn_shape shape = sftn_value_shape(b->t.n.g, tap->value);
    probe *p = &b->p[b->n++];

    p->count = sftn_shape_count(&shape);
    p->x = malloc((size_t)p->count * sizeof *p->x);
    p->direction = malloc((size_t)p->count * sizeof *p->x);
    p->grad = malloc((size_t)p->count * sizeof *p->x);
    CHECK(p->x && p->direction && p->grad);
    snprintf(p->input, sizeof p->input, "s.%.24s", tap->name);
    snprintf(p->output, sizeof p->output, "g.%.24s", tap->name);
    sftn_graph_output(b->t.n.g, p->output, grad);
    for (int64_t i = 0; i < p->count; i++) {
        p->x[i] = random_unit(state);
        p->direction[i] = random_sign(state);
    }
}

/* The method's loss with gradients by every tap of the student that it reaches. */
static probes probes_new(const sftn_distiller *m, const sftn_distill_phase *phase, int64_t batch,
                         const tapped_shape *student, const tapped_shape *teacher,
                         const setting *told, uint64_t seed)
{
    probes b = {.t = tapped_of(m, phase, batch, student, teacher)};
    sftn_named_tap list[SFTN_MAX_TAPS];
    const int n = sftn_taps_list(&b.t.student, list);
    sftn_value loss, value[SFTN_MAX_TAPS], grad[SFTN_MAX_TAPS];
    sftn_error err = {.status = SFTN_OK};

    if (told)
        tapped_set(&b.t, told->option, told->value);
    loss = tapped_build(&b.t, NULL);
    CHECK_OK(sftn_graph_status(b.t.n.g, &err), &err);
    for (int i = 0; i < n; i++)
        value[i] = list[i].value;
    CHECK_OK(sftn_graph_gradients(b.t.n.g, loss, value, n, grad, &err), &err);
    for (int i = 0; i < n; i++)
        if (!sftn_is_none(grad[i]))
            add_probe(&b, &list[i], grad[i], &seed);
    CHECK_OK(sftn_graph_backward(b.t.n.g, loss, NULL, &err), &err);
    sftn_graph_output(b.t.n.g, "loss", loss);
    tapped_compile(&b.t, seed);
    return b;
}

static void probes_free(probes *b)
{
    for (int i = 0; i < b->n; i++) {
        free(b->p[i].x);
        free(b->p[i].direction);
        free(b->p[i].grad);
    }
    tapped_free(&b->t);
}

/* The loss `step` along the direction. */
static double loss_at(const probes *b, double step)
{
    for (int i = 0; i < b->n; i++) {
        const probe *p = &b->p[i];
        double *x = malloc((size_t)p->count * sizeof *x);

        CHECK(x != NULL);
        for (int64_t k = 0; k < p->count; k++)
            x[k] = p->x[k] + step * p->direction[k];
        net_write(&b->t.n, p->input, x);
        free(x);
    }
    tapped_run(&b->t);
    return net_scalar(&b->t.n, "loss");
}

/* Derivative along the direction, and the gradient's norm. */
static double along(const probes *b, double *norm)
{
    double sum = 0.0, square = 0.0;

    for (int i = 0; i < b->n; i++) {
        const probe *p = &b->p[i];

        net_read(&b->t.n, p->output, p->grad);
        for (int64_t k = 0; k < p->count; k++) {
            sum += p->grad[k] * p->direction[k];
            square += p->grad[k] * p->grad[k];
        }
    }
    *norm = sqrt(square);
    return sum;
}

static double check_student(const probes *b, const char *what)
{
    const double h = 3e-6;
    double found, expected, norm;

    CHECK(isfinite(loss_at(b, 0.0)));
    found = along(b, &norm);
    if (!isfinite(norm))
        test_fail(__FILE__, __LINE__, "%s: the gradient is not finite", what);
    expected = (8.0 * (loss_at(b, h) - loss_at(b, -h)) - loss_at(b, 2.0 * h) +
                loss_at(b, -2.0 * h)) / (12.0 * h);
    if (!(fabs(found - expected) <= 1e-6 * fmax(fabs(expected), norm) + 1e-12))
        test_fail(__FILE__, __LINE__, "%s: derivative %.12g, finite difference %.12g (norm %g)",
                  what, found, expected, norm);
    return norm;
}

/* Weights that are not trained stay where they are. */
static bool some_stay(const setting *told)
{
    return told && strcmp(told->option, "train-variance") == 0;
}

/* The method's own weights are float32: the step is what is left of it after rounding. */
static void check_parameters(const probes *b, const setting *told, const char *what)
{
    sftn_params *params = b->t.n.params;
    const int64_t n = sftn_params_weight_size(params);
    float *w = sftn_params_weights(params);
    double *first = malloc((size_t)n * sizeof *first), *step = malloc((size_t)n * sizeof *step);
    double loss[2], found = 0.0, norm = 0.0, expected;
    uint64_t state = 7;

    CHECK(first && step);
    loss_at(b, 0.0);
    for (int64_t i = 0; i < n; i++) {
        const double g = (double)sftn_params_grads(params)[i];

        first[i] = (double)w[i];
        step[i] = some_stay(told) && g == 0.0 ? 0.0 : 0x1p-16 * random_sign(&state);
        found += g * ((double)(float)(first[i] + step[i]) - (double)(float)(first[i] - step[i]));
        norm += g * g;
    }
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < n; i++)
            w[i] = (float)(first[i] + (side ? -step[i] : step[i]));
        loss[side] = loss_at(b, 0.0);
    }
    for (int64_t i = 0; i < n; i++)
        w[i] = (float)first[i];
    expected = loss[0] - loss[1];
    norm = sqrt(norm) * 0x1p-15;
    free(first);
    free(step);
    if (!(norm > 0.0) ||
        !(fabs(found - expected) <= 1e-3 * fmax(fabs(expected), norm) + 1e-15))
        test_fail(__FILE__, __LINE__, "%s: change by the parameters %.9g, expected %.9g (norm %g)",
                  what, found, expected, norm);
}

static bool channel_by_channel(const sftn_distiller *m)
{
    return strcmp(m->name, "fsp") == 0 || strcmp(m->name, "kdsvd") == 0;
}

static void check_phase(const sftn_distiller *m, const sftn_distill_phase *phase, int64_t batch,
                        const tapped_shape *student, const tapped_shape *teacher,
                        const setting *told, const char *how)
{
    const bool reaches = !phase || phase->student;

    for (uint64_t seed = 1; seed <= 3; seed++) {
        probes b = probes_new(m, phase, batch, student, teacher, told, seed);
        char what[100];

        snprintf(what, sizeof what, "%s%s, %s, seed %d", m->name, phase ? " beforehand" : "", how,
                 (int)seed);
        if ((check_student(&b, what) > 0.0) != reaches && batch > 1)
            test_fail(__FILE__, __LINE__, "%s: %s gradient reaches the student", what,
                      reaches ? "no" : "a");
        if (sftn_params_weight_size(b.t.n.params) > 0 && batch > 1)
            check_parameters(&b, told, what);
        probes_free(&b);
    }
}

/* Every phase of a method. */
static void check_method(const sftn_distiller *m, int64_t batch, const tapped_shape *student,
                         const tapped_shape *teacher, const char *how)
{
    if (m->loss)
        check_phase(m, NULL, batch, student, teacher, NULL, how);
    for (int i = 0; i < m->nphases; i++)
        check_phase(m, &m->phase[i], batch, student, teacher, NULL, how);
}

/* Another value than the default: the last choice, the opposite, a half, or one more. */
static setting other_value(const sftn_option *o)
{
    setting told = {.option = o->name};
    const char *last = o->choices ? strrchr(o->choices, '|') : NULL;
    const size_t size = sizeof told.value;

    if (o->kind == SFTN_OPT_CHOICE && last)
        snprintf(told.value, size, "%s", last + 1);
    else if (o->kind == SFTN_OPT_BOOL)
        snprintf(told.value, size, "%s", o->def > 0.0 ? "false" : "true");
    else if (o->kind == SFTN_OPT_FLOAT)
        snprintf(told.value, size, "%g", fmax(0.5 * o->def, o->min));
    else
        snprintf(told.value, size, "%d", o->def >= 2.0 ? (int)o->def / 2 : (int)o->def + 1);
    return told;
}

TEST(every_gradient_equals_finite_differences)
{
    const sftn_distiller *m;

    for (int i = 0; (m = sftn_distiller_list(i)) != NULL; i++)
        check_method(m, 4, &tapped_student, &tapped_student, "equal shapes");
}

TEST(every_gradient_equals_finite_differences_whatever_the_options)
{
    const sftn_distiller *m;
    int checked = 0;

    for (int i = 0; (m = sftn_distiller_list(i)) != NULL; i++)
        for (const sftn_option *o = m->options; o && o->name; o++) {
            const setting told = other_value(o);
            char how[64];

            snprintf(how, sizeof how, "%s %s", told.option, told.value);
            if (m->loss)
                check_phase(m, NULL, 4, &tapped_student, &tapped_student, &told, how);
            checked++;
        }
    CHECK(checked > 30);
}

TEST(every_gradient_equals_finite_differences_where_channels_differ)
{
    const sftn_distiller *m;

    for (int i = 0; (m = sftn_distiller_list(i)) != NULL; i++)
        if (!channel_by_channel(m))
            check_method(m, 3, &tapped_student, &tapped_wider, "other channels");
}

TEST(every_gradient_equals_finite_differences_where_sizes_differ)
{
    static const tapped_shape larger = {{4, 3, 6, 7}, {8, 8, 4, 4}};
    const sftn_distiller *m;

    /* ft: the factors of a single pixel are alike in every network. */
    for (int i = 0; (m = sftn_distiller_list(i)) != NULL; i++)
        if (!channel_by_channel(m))
            check_method(m, 3, &tapped_student,
                         strcmp(m->name, "ft") == 0 ? &larger : &tapped_smaller,
                         "other channels and sizes");
}

TEST(odd_sizes_and_few_channels_are_as_good)
{
    static const tapped_shape odd = {{1, 2, 3, 2}, {7, 7, 5, 5}};
    const sftn_distiller *m;

    for (int i = 0; (m = sftn_distiller_list(i)) != NULL; i++)
        check_method(m, 5, &odd, &odd, "odd sizes");
}

/* Batch norm of a map of one pixel needs two images. */
TEST(a_batch_of_one_gives_a_finite_loss_and_gradient)
{
    const sftn_distiller *m;

    for (int i = 0; (m = sftn_distiller_list(i)) != NULL; i++)
        if (strcmp(m->name, "reviewkd") != 0)
            check_method(m, 1, &tapped_student, &tapped_student, "one image");
}
