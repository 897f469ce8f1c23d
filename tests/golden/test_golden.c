/*
 * golden: networks, teacher steps and losses on both backends against reference values computed
 * elsewhere (directory SFTN_GOLDEN).
 */
#include "sftn/verify.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

typedef struct tally {
    int networks, steps, losses, gradients, deviating;
} tally;

static void count_row(void *ctx, const sftn_verify_row *row)
{
    tally *t = ctx;

    if (row->missing)
        return;
    t->networks += strcmp(row->kind, "network") == 0;
    t->steps += strcmp(row->kind, "teacher step") == 0;
    t->losses += strcmp(row->kind, "loss") == 0;
    t->gradients += strcmp(row->kind, "loss gradient") == 0;
    if (!row->ok) {
        t->deviating++;
        fprintf(stderr, "%s, %s: deviation %.3g, tolerance %.3g, at %s\n", row->file, row->kind,
                row->deviation, row->tolerance, row->worst);
    }
}

static void check_directory(const sftn_plan_options *plan)
{
    tally t = {0};
    sftn_error err = {.status = SFTN_OK};

    CHECK_OK(sftn_verify_dir(test_golden_dir(), plan, count_row, &t, &err), &err);
    CHECK_INT(t.deviating, 0);
    CHECK(t.networks >= 7); /* resnet20, 32x4, 56, 8x4; wrn_16_2, 40_1, 40_2 */
    CHECK(t.steps >= 2);
    CHECK(t.losses >= 15 && t.gradients == t.losses);
}

TEST(float32_agrees_with_the_reference)
{
    check_directory(&(const sftn_plan_options){.precision = SFTN_FLOAT32});
}

TEST(fusion_changes_no_value_beyond_rounding)
{
    check_directory(&(const sftn_plan_options){.precision = SFTN_FLOAT32, .no_fusion = true});
}

TEST(the_reference_backend_agrees_too)
{
    if (test_quick())
        SKIP("SFTN_QUICK");
    check_directory(&(const sftn_plan_options){.backend = "ref"});
}

TEST(bfloat16_agrees_within_its_precision)
{
    check_directory(&(const sftn_plan_options){.precision = SFTN_BFLOAT16});
}
