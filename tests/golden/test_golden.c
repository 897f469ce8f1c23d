/*
 * golden: networks, teacher steps and losses on both backends against reference values computed
 * elsewhere (tests/golden/README.md).
 */
#include "sftn/distill.h"
#include "sftn/mutual.h"
#include "sftn/verify.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

enum { METHODS_MAX = 64, PHASES_MAX = 4 };

typedef struct tally {
    int networks, steps, losses, gradients, deviating;
    /* Methods with a file, of one network and of several, and their phases (0: the main one). */
    bool method[METHODS_MAX][PHASES_MAX], mutual[METHODS_MAX];
} tally;

static void count_method(tally *t, const sftn_verify_row *row)
{
    CHECK(row->phase >= 0 && row->phase < PHASES_MAX);
    for (int i = 0; i < METHODS_MAX && sftn_distiller_list(i); i++)
        if (strcmp(row->method, sftn_distiller_list(i)->name) == 0)
            t->method[i][row->phase] = true;
    for (int i = 0; i < METHODS_MAX && sftn_mutual_list(i); i++)
        if (strcmp(row->method, sftn_mutual_list(i)->name) == 0)
            t->mutual[i] = true;
}

static void count_row(void *ctx, const sftn_verify_row *row)
{
    tally *t = ctx;

    if (row->missing)
        return;
    t->networks += strcmp(row->kind, "network") == 0;
    t->steps += strcmp(row->kind, "teacher step") == 0;
    t->losses += strcmp(row->kind, "loss") == 0;
    t->gradients += strcmp(row->kind, "loss gradient") == 0;
    if (row->method)
        count_method(t, row);
    if (!row->ok) {
        t->deviating++;
        fprintf(stderr, "%s, %s: deviation %.3g, tolerance %.3g, at %s\n", row->file, row->kind,
                row->deviation, row->tolerance, row->worst);
    }
}

static tally check_directory(int i, const sftn_plan_options *plan)
{
    tally t = {0};
    sftn_error err = {.status = SFTN_OK};

    CHECK_OK(sftn_verify_dir(test_golden_dir(i), plan, count_row, &t, &err), &err);
    CHECK_INT(t.deviating, 0);
    CHECK_INT(t.gradients, t.losses);
    return t;
}

/* In float32, once for all tests. */
static const tally *float32(int i)
{
    static tally of[TEST_GOLDEN_MORE];
    static bool known[TEST_GOLDEN_MORE];

    if (!known[i])
        of[i] = check_directory(i, &(const sftn_plan_options){.precision = SFTN_FLOAT32});
    known[i] = true;
    return &of[i];
}

/* A larger directory beside the tree, where there is one and time for it. */
static void check_more(const sftn_plan_options *plan)
{
    if (test_golden_dir(TEST_GOLDEN_MORE) && !test_quick())
        check_directory(TEST_GOLDEN_MORE, plan);
}

static void check_all(const sftn_plan_options *plan)
{
    check_directory(TEST_GOLDEN_PUBLIC, plan);
    check_directory(TEST_GOLDEN_PAPERS, plan);
    check_more(plan);
}

TEST(float32_agrees_with_the_reference)
{
    const tally *t = float32(TEST_GOLDEN_PUBLIC);

    CHECK_INT(t->networks, 3);
    CHECK_INT(t->steps, 2);
    CHECK_INT(t->losses, 11);
    CHECK_INT(float32(TEST_GOLDEN_PAPERS)->losses, 28);
    check_more(&(const sftn_plan_options){.precision = SFTN_FLOAT32});
}

TEST(fusion_changes_no_value_beyond_rounding)
{
    check_all(&(const sftn_plan_options){.precision = SFTN_FLOAT32, .no_fusion = true});
}

TEST(the_reference_backend_agrees_too)
{
    check_all(&(const sftn_plan_options){.backend = "ref"});
}

/* Not the papers': over a few maps of 4x4 a single ReLU that bfloat16 turns over is a tenth. */
TEST(bfloat16_agrees_within_its_precision)
{
    const sftn_plan_options plan = {.precision = SFTN_BFLOAT16};

    check_directory(TEST_GOLDEN_PUBLIC, &plan);
    check_more(&plan);
}

TEST(every_loss_of_every_method_has_a_value_computed_elsewhere)
{
    const tally *a = float32(TEST_GOLDEN_PUBLIC), *b = float32(TEST_GOLDEN_PAPERS);
    int i;

    for (i = 0; sftn_distiller_list(i); i++) {
        const sftn_distiller *m = sftn_distiller_list(i);

        for (int k = 0; k <= m->nphases; k++)
            if ((k > 0 || m->loss) && !a->method[i][k] && !b->method[i][k])
                test_fail(__FILE__, __LINE__, "tests/golden has no value of %s%s", m->name,
                          k > 0 ? ", in its phase before the labels" : "");
    }
    CHECK(i < METHODS_MAX);
    for (i = 0; sftn_mutual_list(i); i++)
        if (!a->mutual[i] && !b->mutual[i])
            test_fail(__FILE__, __LINE__, "tests/golden has no value of %s",
                      sftn_mutual_list(i)->name);
    CHECK(i < METHODS_MAX);
}
