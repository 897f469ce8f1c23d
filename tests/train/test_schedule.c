/* schedule: learning rates at the positions where papers and published code say they change. */
#include "sftn/train.h"
#include "test.h"

static const sftn_schedule crd = {
    .lr = 0.05, .epochs = 240, .nmilestones = 3, .milestone = {150, 180, 210}, .gamma = 0.1};

TEST(a_step_schedule_drops_with_the_first_step_of_the_epoch_after)
{
    CHECK_NEAR(sftn_schedule_lr(&crd, 0.0), 0.05, 0.0);
    CHECK_NEAR(sftn_schedule_lr(&crd, 149.0 + 781.0 / 782.0), 0.05, 0.0);
    CHECK_NEAR(sftn_schedule_lr(&crd, 150.0), 0.005, 1e-15);
    CHECK_NEAR(sftn_schedule_lr(&crd, 180.0), 0.0005, 1e-15);
    CHECK_NEAR(sftn_schedule_lr(&crd, 239.99), 0.00005, 1e-15);
}

TEST(milestones_may_be_fractions_of_an_epoch)
{
    const sftn_schedule s = {
        .lr = 1.0, .epochs = 20, .nmilestones = 3, .milestone = {12.5, 15.0, 17.5}, .gamma = 0.1};

    CHECK_NEAR(sftn_schedule_lr(&s, 12.0 + 390.0 / 782.0), 1.0, 0.0);
    CHECK_NEAR(sftn_schedule_lr(&s, 12.0 + 391.0 / 782.0), 0.1, 1e-15);
    CHECK_NEAR(sftn_schedule_lr(&s, 17.5), 0.001, 1e-15);
}

TEST(a_milestone_on_a_step_is_not_missed_by_rounding)
{
    for (int batches = 1; batches <= 97; batches++) {
        for (int b = 0; b < batches; b++) {
            const double m = (3.0 * batches + b) / batches;
            const sftn_schedule s = {
                .lr = 1.0, .epochs = 10, .nmilestones = 1, .milestone = {m}, .gamma = 0.5};

            CHECK_NEAR(sftn_schedule_lr(&s, 3.0 + (double)b / batches), 0.5, 0.0);
        }
    }
}

TEST(a_cosine_schedule_falls_from_base_to_final)
{
    const sftn_schedule s = {
        .kind = SFTN_SCHEDULE_COSINE, .lr = 0.2, .epochs = 10, .final_lr = 0.02};

    CHECK_NEAR(sftn_schedule_lr(&s, 0.0), 0.2, 1e-15);
    CHECK_NEAR(sftn_schedule_lr(&s, 5.0), 0.11, 1e-15);
    CHECK_NEAR(sftn_schedule_lr(&s, 10.0), 0.02, 1e-15);
}

TEST(warm_up_rises_linearly_from_a_hundredth)
{
    sftn_schedule s = crd;

    s.warmup = 2.0;
    CHECK_NEAR(sftn_schedule_lr(&s, 0.0), 0.0005, 1e-15);
    CHECK_NEAR(sftn_schedule_lr(&s, 1.0), 0.05 * 0.505, 1e-15);
    CHECK_NEAR(sftn_schedule_lr(&s, 2.0), 0.05, 0.0);
    s.kind = SFTN_SCHEDULE_COSINE;
    CHECK_NEAR(sftn_schedule_lr(&s, 2.0), 0.05, 1e-15);
    CHECK_NEAR(sftn_schedule_lr(&s, 121.0), 0.025, 1e-12);
}
