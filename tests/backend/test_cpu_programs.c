/*
 * cpu_programs: random pointwise programs, whose operands broadcast in every way and lie in either
 * layout and precision, against the reference.
 */
#include "backend/backend.h"
#include "op/fused.h"
#include "op/pointwise.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PROGRAMS = 400, MAX_IN = 6, MAX_CODE = 14 };

/* Formulas without jumps, so that rounding stays rounding; mask, with one, reads operands only. */
static const int codes[] = {
    SFTN_PW_copy,  SFTN_PW_neg,   SFTN_PW_abs,  SFTN_PW_relu,       SFTN_PW_relu,  SFTN_PW_scale,
    SFTN_PW_shift, SFTN_PW_clamp, SFTN_PW_tanh, SFTN_PW_leaky_relu, SFTN_PW_add,   SFTN_PW_add,
    SFTN_PW_add,   SFTN_PW_sub,   SFTN_PW_mul,  SFTN_PW_mul,        SFTN_PW_max2,  SFTN_PW_min2,
    SFTN_PW_mask,  SFTN_PW_mul,   SFTN_PW_add,  SFTN_PW_smooth_l1,
};

static const sftn_shape shapes[] = {
    {{1, 1, 1, 1}},  {{3, 5, 1, 1}},    {{2, 7, 3, 5}},    {{4, 1, 9, 9}},  {{1, 16, 4, 4}},
    {{5, 64, 3, 1}}, {{8, 33, 17, 15}}, {{16, 16, 12, 12}}, {{2, 600, 4, 4}}, {{1, 40, 30, 1}},
};

/* shape with some dimensions made 1. */
static sftn_shape broadcast(sftn_rng *rng, const sftn_shape *shape)
{
    static const int kept[] = {15, 15, 15, 15, 2, 2, 0, 1, 3, 13, 14, 12, 4, 6, 9};
    const int keep = kept[sftn_rng_below(rng, SFTN_COUNT(kept))];
    sftn_shape s = *shape;

    for (int d = 0; d < SFTN_DIMS; d++)
        if ((keep >> d & 1) == 0)
            s.dim[d] = 1;
    return s;
}

static void random_code(sftn_rng *rng, sftn_fused_attr *attr, int nin)
{
    attr->ncode = 1 + (int)sftn_rng_below(rng, MAX_CODE);
    for (int k = 0; k < attr->ncode; k++) {
        sftn_instruction *c = &attr->code[k];
        const uint32_t known = (uint32_t)(nin + k);

        c->op = (uint16_t)codes[sftn_rng_below(rng, SFTN_COUNT(codes))];
        c->a = (uint8_t)sftn_rng_below(rng, known);
        c->b = (uint8_t)sftn_rng_below(rng, c->op == SFTN_PW_mask ? (uint32_t)nin : known);
        if (k > 0 && sftn_rng_below(rng, 3) != 0)
            c->a = (uint8_t)(nin + k - 1);
        c->p = (float)sftn_rng_uniform(rng) * 0.5f + 0.25f;
        c->q = c->p + 1.0f;
    }
}

typedef struct program {
    sftn_fused_attr attr;
    sftn_type type[MAX_IN];
    int nin;
    double *value[MAX_IN];
} program;

static void new_program(program *p, uint64_t seed)
{
    sftn_rng rng = sftn_rng_new(seed, SFTN_RNG_TEST, 31);
    const sftn_shape *shape = &shapes[sftn_rng_below(&rng, SFTN_COUNT(shapes))];

    memset(p, 0, sizeof *p);
    p->nin = 1 + (int)sftn_rng_below(&rng, MAX_IN);
    for (int i = 0; i < p->nin; i++) {
        p->type[i] = (sftn_type){broadcast(&rng, shape), sftn_rng_below(&rng, 2) != 0};
        p->value[i] = sftn_calloc((size_t)sftn_shape_count(&p->type[i].shape), sizeof(double));
        CHECK(p->value[i] != NULL);
        for (int64_t k = 0; k < sftn_shape_count(&p->type[i].shape); k++)
            p->value[i][k] = (double)sftn_bf16_to_float(
                sftn_bf16_from_float((float)(sftn_rng_uniform(&rng) * 2.0 - 1.0)));
    }
    p->attr.shape = *shape;
    p->attr.wide = sftn_rng_below(&rng, 2) != 0;
    random_code(&rng, &p->attr, p->nin);
}

static void free_program(program *p)
{
    for (int i = 0; i < p->nin; i++)
        free(p->value[i]);
}

static void run(const program *p, const sftn_plan_options *options, double *out)
{
    sftn_error err = {.status = SFTN_OK};
    sftn_graph *g = sftn_graph_new();
    sftn_value in[MAX_IN];
    sftn_plan *plan;
    char name[16];

    for (int i = 0; i < p->nin; i++) {
        snprintf(name, sizeof name, "x%d", i);
        in[i] = sftn_graph_input(g, name, p->type[i]);
    }
    sftn_graph_output(g, "y", sftn_append(g, &sftn_op_fused, &p->attr, in, p->nin));
    CHECK_OK(sftn_graph_status(g, &err), &err);
    CHECK_OK(sftn_plan_new(g, options, &plan, &err), &err);
    for (int i = 0; i < p->nin; i++) {
        snprintf(name, sizeof name, "x%d", i);
        CHECK_OK(sftn_plan_write(plan, name, p->value[i], &err), &err);
    }
    CHECK_OK(sftn_plan_run(plan, &err), &err);
    CHECK_OK(sftn_plan_read(plan, "y", out, &err), &err);
    sftn_plan_free(plan);
    sftn_graph_free(g);
}

static void check_programs(sftn_precision precision, double limit)
{
    const sftn_plan_options ref = {.backend = "ref"};
    const sftn_plan_options cpu = {.backend = "cpu", .precision = precision};

    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        program p;
        double *expected, *found, top = 1.0;
        int64_t count;

        new_program(&p, seed);
        count = sftn_shape_count(&p.attr.shape);
        expected = sftn_calloc((size_t)count, 2 * sizeof *expected);
        CHECK(expected != NULL);
        found = expected + count;
        run(&p, &ref, expected);
        run(&p, &cpu, found);
        for (int64_t k = 0; k < count; k++)
            top = fmax(top, fabs(expected[k]));
        for (int64_t k = 0; k < count; k++)
            if (!(fabs(found[k] - expected[k]) <= limit * top))
                test_fail(__FILE__, __LINE__, "program %d, element %d: %.9g, expected %.9g",
                          (int)seed, (int)k, found[k], expected[k]);
        free(expected);
        free_program(&p);
    }
}

TEST(random_programs_equal_the_reference)
{
    check_programs(SFTN_FLOAT32, 1e-5);
}

TEST(random_programs_equal_the_reference_in_bfloat16)
{
    check_programs(SFTN_BFLOAT16, 1e-2);
}
