/*
 * cpu: every op case, with its gradients, on the cpu backend against the reference in double
 * precision: both precisions, with and without fusion, one thread and two; and larger networks,
 * whose loops are shared by threads.
 */
#include "backend/backend.h"
#include "op/cases.h"
#include "sftn/nn.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Outputs are named y, g0, g1, ... */
enum { OUTPUTS = 1 + OP_CASE_MAX_IN };

static const char *const output_name[OUTPUTS] = {"y",  "g0", "g1", "g2", "g3",
                                                 "g4", "g5", "g6", "g7"};

/* Largest deviation, relative to the largest value of the tensor. */
static double tolerance(sftn_precision precision)
{
    return precision == SFTN_FLOAT32 ? 1e-5 : 2e-2;
}

/* What a plan reads from a test: values in [N,C,H,W] order by input name. */
typedef struct feed {
    char name[16];
    sftn_type type;
    double *value;
} feed;

typedef struct problem {
    sftn_graph *g;
    feed in[OUTPUTS];
    int nin;
} problem;

static void add_feed(problem *p, const char *name, sftn_type type, double *value)
{
    feed *f = &p->in[p->nin++];

    snprintf(f->name, sizeof f->name, "%s", name);
    f->type = type;
    f->value = value;
}

/* The case's inputs and a random r, all exact in bfloat16 so that every plan reads the same. */
static void fill_problem(problem *p, const op_case *c, sftn_value y)
{
    const sftn_type r = {sftn_value_shape(p->g, y), true};
    sftn_rng rng = sftn_rng_new(5, SFTN_RNG_TEST, 77);
    char name[16];
    double *v;

    for (int i = 0; i < c->nin; i++) {
        snprintf(name, sizeof name, "x%d", i);
        v = sftn_calloc((size_t)sftn_shape_count(&c->in[i].type.shape), sizeof *v);
        CHECK(v != NULL);
        op_case_fill(c, i, 11, v);
        add_feed(p, name, c->in[i].type, v);
    }
    v = sftn_calloc((size_t)sftn_shape_count(&r.shape), sizeof *v);
    CHECK(v != NULL);
    for (int64_t k = 0; k < sftn_shape_count(&r.shape); k++)
        v[k] = sftn_rng_uniform(&rng) * 2.0 - 1.0;
    add_feed(p, "r", r, v);
    for (int i = 0; i < p->nin; i++)
        for (int64_t k = 0; k < sftn_shape_count(&p->in[i].type.shape); k++)
            p->in[i].value[k] =
                (double)sftn_bf16_to_float(sftn_bf16_from_float((float)p->in[i].value[k]));
}

static void free_problem(problem *p)
{
    for (int i = 0; i < p->nin; i++)
        free(p->in[i].value);
    sftn_graph_free(p->g);
}

static int64_t output_count(const problem *p, const char *name)
{
    for (int i = 0; i < p->g->nsinks; i++)
        if (p->g->sink[i].kind == SFTN_SINK_OUTPUT && strcmp(p->g->sink[i].name, name) == 0) {
            const sftn_shape s = sftn_value_shape(p->g, p->g->sink[i].value);

            return sftn_shape_count(&s);
        }
    return 0;
}

/* Run p and read its outputs (NULL where it has none of that name; the caller frees). */
static void run_problem(const problem *p, const sftn_plan_options *options, const char *what,
                        double **out)
{
    sftn_error err = {.status = SFTN_OK};
    sftn_plan *plan;

    if (sftn_plan_new(p->g, options, &plan, &err) != SFTN_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", what, err.text);
    for (int i = 0; i < p->nin; i++)
        if (sftn_plan_input(plan, p->in[i].name) != NULL)
            CHECK_OK(sftn_plan_write(plan, p->in[i].name, p->in[i].value, &err), &err);
    CHECK_OK(sftn_plan_run(plan, &err), &err);
    CHECK_OK(sftn_plan_run(plan, &err), &err);
    for (int i = 0; i < OUTPUTS; i++) {
        const int64_t count = output_count(p, output_name[i]);

        out[i] = count > 0 ? sftn_calloc((size_t)count, sizeof **out) : NULL;
        if (out[i] != NULL)
            CHECK_OK(sftn_plan_read(plan, output_name[i], out[i], &err), &err);
    }
    sftn_plan_free(plan);
}

static void free_outputs(double **out)
{
    for (int i = 0; i < OUTPUTS; i++)
        free(out[i]);
}

static void compare(const problem *p, const char *what, double **found, double **expected,
                    double limit)
{
    for (int i = 0; i < OUTPUTS; i++) {
        const int64_t count = output_count(p, output_name[i]);
        double top = 0.0;

        for (int64_t k = 0; k < count; k++)
            top = fmax(top, fabs(expected[i][k]));
        for (int64_t k = 0; k < count; k++)
            if (!(fabs(found[i][k] - expected[i][k]) <= limit * fmax(top, 1e-3)))
                test_fail(__FILE__, __LINE__, "%s, %s: element %d is %.9g, expected %.9g of %g",
                          what, output_name[i], (int)k, found[i][k], expected[i][k], top);
    }
}

/* The case with its gradients, or without where it cannot be differentiated. */
static sftn_graph *build_case(const op_case *c)
{
    sftn_error err = {.status = SFTN_OK};
    sftn_graph *g = sftn_graph_new();

    if (op_case_build_gradient(c, g, &err) == SFTN_OK)
        return g;
    CHECK_CONTAINS(err.text, "has no gradient");
    sftn_graph_free(g);
    g = sftn_graph_new();
    op_case_build(c, g, NULL);
    CHECK_OK(sftn_graph_status(g, &err), &err);
    return g;
}

static sftn_value output_named(const sftn_graph *g, const char *name)
{
    for (int i = 0; i < g->nsinks; i++)
        if (strcmp(g->sink[i].name, name) == 0)
            return g->sink[i].value;
    return SFTN_NONE;
}

static void check_case(const op_case *c, sftn_precision precision, bool no_fusion)
{
    const sftn_plan_options ref = {.backend = "ref"};
    const sftn_plan_options cpu = {
        .backend = "cpu", .precision = precision, .no_fusion = no_fusion};
    problem p = {.g = build_case(c)};
    double *expected[OUTPUTS], *found[OUTPUTS];

    fill_problem(&p, c, output_named(p.g, "y"));
    run_problem(&p, &ref, c->name, expected);
    run_problem(&p, &cpu, c->name, found);
    compare(&p, c->name, found, expected, tolerance(precision));
    free_outputs(found);
    free_outputs(expected);
    free_problem(&p);
}

static void check_cases(sftn_precision precision, bool no_fusion, int threads)
{
    op_case c;

    sftn_set_threads(threads);
    for (int i = 0; op_case_get(i, &c); i++)
        check_case(&c, precision, no_fusion);
    sftn_set_threads(0);
}

TEST(float32_equals_the_reference)
{
    check_cases(SFTN_FLOAT32, false, 1);
    check_cases(SFTN_FLOAT32, false, 2);
}

TEST(float32_without_fusion_equals_the_reference)
{
    check_cases(SFTN_FLOAT32, true, 1);
}

TEST(bfloat16_equals_the_reference_within_its_precision)
{
    check_cases(SFTN_BFLOAT16, false, 1);
    check_cases(SFTN_BFLOAT16, false, 2);
}

TEST(bfloat16_without_fusion_equals_the_reference_within_its_precision)
{
    check_cases(SFTN_BFLOAT16, true, 1);
}
