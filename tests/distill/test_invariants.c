/* invariants: what each method's loss does not depend on, and where it vanishes. */
#include "distill/tapped.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static sftn_value same(sftn_graph *g, sftn_value x)
{
    (void)g;
    return x;
}

static sftn_value tripled(sftn_graph *g, sftn_value x)
{
    return sftn_scale(g, x, 3.0f);
}

static sftn_value raised(sftn_graph *g, sftn_value x)
{
    return sftn_shift(g, x, 5.0f);
}

/* The loss of student against teacher where both are mapped from the student's taps. */
static double loss_of_mapped(const char *name, sftn_value (*student)(sftn_graph *g, sftn_value x),
                             sftn_value (*teacher)(sftn_graph *g, sftn_value x))
{
    tapped t = tapped_new(name, 4, &tapped_student, &tapped_student);
    const sftn_taps s = tapped_map(&t, &t.student, student);
    const sftn_taps d = tapped_map(&t, &t.student, teacher);
    double loss;

    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &s, &d));
    tapped_compile(&t, 3);
    net_run(&t.n);
    loss = net_scalar(&t.n, "loss");
    tapped_free(&t);
    return loss;
}

/* The loss against another network, the student's taps being mapped. */
static double loss_of(const char *name, sftn_value (*student)(sftn_graph *g, sftn_value x))
{
    tapped t = tapped_new(name, 4, &tapped_student, &tapped_student);
    const sftn_taps s = tapped_map(&t, &t.student, student);
    double loss;

    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &s, &t.teacher));
    tapped_compile(&t, 3);
    net_run(&t.n);
    loss = net_scalar(&t.n, "loss");
    tapped_free(&t);
    return loss;
}

static void check_same(const char *name, double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        test_fail(__FILE__, __LINE__, "%s: loss %.12g, expected %.12g", name, found, expected);
}

TEST(a_student_equal_to_its_teacher_has_no_loss)
{
    static const char *const names[] = {"kd",  "fitnet", "at",  "sp",  "cc",  "rkd",
                                        "pkt", "fsp",    "nst", "dkd", "kdsvd",
                                        "reviewkd", "ft", "sskd"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check_same(names[i], loss_of_mapped(names[i], same, same), 0.0, 1e-6);
        if (!(loss_of(names[i], same) > 1e-6))
            test_fail(__FILE__, __LINE__, "%s: no loss beside another network", names[i]);
    }
}

/* The 1e-8 in its denominator keeps a perfect correlation a little below 1. */
TEST(dist_of_equal_answers_is_what_its_epsilon_leaves)
{
    const double loss = loss_of_mapped("dist", same, same);

    CHECK(loss > 0.0 && loss < 1e-2 * loss_of("dist", same));
}

TEST(positive_scaling_of_the_students_features_changes_nothing)
{
    static const char *const names[] = {"at", "sp", "rkd", "pkt", "nst", "kdsvd", "ft"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const double loss = loss_of(names[i], same);

        check_same(names[i], loss_of(names[i], tripled), loss, 1e-6 * loss);
    }
}

TEST(a_constant_added_to_all_logits_changes_nothing)
{
    static const char *const names[] = {"kd", "dkd", "dist"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const double loss = loss_of(names[i], same);

        check_same(names[i], loss_of(names[i], raised), loss, 1e-9 * loss);
    }
}

static sftn_value beyond_any_margin(sftn_graph *g, sftn_value x)
{
    return sftn_scale(g, sftn_sign(g, x), 1.0f);
}

TEST(ab_asks_for_the_teachers_signs_and_a_margin)
{
    check_same("ab", loss_of_mapped("ab", beyond_any_margin, same), 0.0, 0.0);
    CHECK(loss_of_mapped("ab", same, same) > 0.0);
    CHECK(loss_of("ab", beyond_any_margin) > loss_of_mapped("ab", same, same));
}

TEST(rkd_and_fsp_do_not_change_where_they_should)
{
    /* Distances and angles are those of differences. */
    const double loss = loss_of("rkd", same);

    check_same("rkd", loss_of("rkd", raised), loss, 1e-9);
    CHECK(fabs(loss_of("fsp", tripled) - loss_of("fsp", same)) > 1e-3);
}

/* For one image: TCKD + (1 - p_t(y)) NCKD. */
TEST(dkd_with_alpha_1_and_beta_1_minus_p_of_the_label_is_kd)
{
    tapped t = tapped_new("dkd", 1, &tapped_student, &tapped_student);
    const sftn_distiller *kd = sftn_distiller_find("kd", NULL);
    const float temperature = 4.0f;
    const sftn_tap_pair pair = {.student = t.student.logits, .teacher = t.teacher.logits};
    const sftn_distill_args args = {.g = t.n.g, .pair = &pair, .npairs = 1,
                                    .options = &temperature};
    double kl, zt[TAPPED_CLASSES], sum = 0.0, part[2];
    static const char *const beta[] = {"0", "1"}, *const output[] = {"tckd", "both"};

    sftn_graph_output(t.n.g, "kd", kd->loss(&args));
    for (int i = 0; i < 2; i++) {
        tapped_set(&t, "beta", beta[i]);
        sftn_graph_output(t.n.g, output[i], tapped_loss(&t, &t.student, &t.teacher));
    }
    tapped_compile(&t, 1);
    for (int i = 0; i < TAPPED_CLASSES; i++)
        zt[i] = 9.0 * sin(i + 1.0);
    net_write(&t.n, "t.logits", zt);
    net_run(&t.n);
    for (int i = 0; i < TAPPED_CLASSES; i++)
        sum += exp(zt[i] / 4.0);
    kl = net_scalar(&t.n, "kd");
    for (int i = 0; i < 2; i++)
        part[i] = net_scalar(&t.n, output[i]);
    CHECK_NEAR(part[0] + (1.0 - exp(zt[0] / 4.0) / sum) * (part[1] - part[0]), kl, 1e-9);
    CHECK(kl > 0.1);
    tapped_free(&t);
}

TEST(dkd_stays_finite_where_the_answers_are_certain)
{
    tapped t = tapped_new("dkd", 2, &tapped_student, &tapped_student);
    sftn_value grad;
    double z[2 * TAPPED_CLASSES] = {0}, g[2 * TAPPED_CLASSES];
    const sftn_value loss = tapped_build(&t, NULL);

    CHECK_STATUS(sftn_graph_gradients(t.n.g, loss, &t.student.logits, 1, &grad, NULL), SFTN_OK);
    sftn_graph_output(t.n.g, "loss", loss);
    sftn_graph_output(t.n.g, "grad", grad);
    tapped_compile(&t, 1);
    z[0] = z[TAPPED_CLASSES + 1] = 2000.0; /* at the labels, 0 and 1 */
    net_write(&t.n, "t.logits", z);
    z[0] = -2000.0;
    net_write(&t.n, "s.logits", z);
    net_run(&t.n);
    net_read(&t.n, "grad", g);
    CHECK(isfinite(net_scalar(&t.n, "loss")));
    for (int i = 0; i < 2 * TAPPED_CLASSES; i++)
        CHECK(isfinite(g[i]));
    tapped_free(&t);
}

TEST(cc_compares_neighbours_in_a_batch)
{
    /* Embeddings of 3 images, differences 1 2, 3 0, 2 5: (1*3 + 2*0 + 3*2 + 0*5) / 2. */
    static const double es[] = {1, 2, 4, 1, 2, -5}, et[] = {0, 0, 1, 1, 0, 0};
    static const tapped_shape two = {{1, 1, 1, 2}, {1, 1, 1, 1}};
    tapped t = tapped_new("cc", 3, &two, &two);

    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &t.student, &t.teacher));
    tapped_compile(&t, 1);
    net_write(&t.n, "s.pooled", es);
    net_write(&t.n, "t.pooled", et);
    net_run(&t.n);
    CHECK_NEAR(net_scalar(&t.n, "loss"), 4.5, 1e-9);
    tapped_free(&t);
}

TEST(vid_of_a_perfect_mean_is_half_the_logarithm_of_the_variance)
{
    check_same("vid", loss_of_mapped("vid", same, same), 3 * 0.5 * log(5.0), 1e-6);
    CHECK(loss_of("vid", same) > 3 * 0.5 * log(5.0));
}

TEST(vid_leaves_its_variances_as_they_are_where_it_is_told_to)
{
    for (int trained = 0; trained < 2; trained++) {
        tapped t = tapped_new("vid", 2, &tapped_student, &tapped_student);
        sftn_error err = {0};
        int unreached;

        tapped_set(&t, "train-variance", trained ? "true" : "false");
        CHECK_OK(sftn_graph_backward(t.n.g, tapped_build(&t, NULL), &unreached, &err), &err);
        CHECK_INT(unreached, trained ? 0 : 3);
        tapped_free(&t);
    }
}

static void check_refused(const char *name, const char *pairs, const char *text)
{
    tapped t = tapped_new(name, 2, &tapped_student, &tapped_wider);
    sftn_error err;

    CHECK(sftn_is_none(tapped_build(&t, pairs)));
    CHECK_FAILS(sftn_graph_status(t.n.g, &err), SFTN_ERR_ARGUMENT, &err, text);
    tapped_free(&t);
}

TEST(fsp_and_kdsvd_refuse_unequal_channels_and_name_methods_that_do_not)
{
    check_refused("fsp", NULL, "the student's stem has 4 channels and the teacher's stem 5");
    check_refused("fsp", NULL, "at, nst and vid take unequal channels");
    check_refused("kdsvd", NULL, "the student's stage1 has 4 channels and the teacher's stage1 7");
    check_refused("kdsvd", NULL, "unequal channels, and so does kdsvd.vectors columns");
    check_refused("fsp", "stage1", "one pair of maps given");
    check_refused("kdsvd", "stage1", "one pair of maps given");
}

TEST(fsp_and_kdsvd_take_two_pairs)
{
    static const char *const names[] = {"fsp", "kdsvd"};

    for (int i = 0; i < 2; i++) {
        tapped t = tapped_new(names[i], 2, &tapped_student, &tapped_student);
        sftn_error err = {.status = SFTN_OK};

        tapped_build(&t, "stage1,stage2");
        CHECK_OK(sftn_graph_status(t.n.g, &err), &err);
        tapped_free(&t);
    }
}

/* A vector's sign matters beside that of the stage before; it cancels where all are turned. */
TEST(kdsvd_depends_on_signs_of_stages_beside_each_other)
{
    tapped t = tapped_new("kdsvd", 3, &tapped_student, &tapped_student);
    sftn_taps s = t.student, d = t.teacher;

    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &s, &d));
    for (int i = 0; i < TAPPED_STAGES; i++) {
        s.stage[i].feature = sftn_neg(t.n.g, t.student.stage[i].feature);
        d.stage[i].feature = sftn_neg(t.n.g, t.teacher.stage[i].feature);
        sftn_graph_output(t.n.g, i == 0 ? "one" : i == 1 ? "two" : "all", tapped_loss(&t, &s, &d));
    }
    tapped_compile(&t, 2);
    net_run(&t.n);
    CHECK_NEAR(net_scalar(&t.n, "all"), net_scalar(&t.n, "loss"), 1e-12);
    CHECK(fabs(net_scalar(&t.n, "one") - net_scalar(&t.n, "loss")) > 1e-6);
    CHECK(fabs(net_scalar(&t.n, "two") - net_scalar(&t.n, "loss")) > 1e-6);
    tapped_free(&t);
}

/* The expectation of what is negative of a normal distribution, by the rule of trapezoids. */
static double negative_mean(double mu, double sigma)
{
    const double step = sigma * 1e-4;
    double weight = 0.0, sum = 0.0;

    for (double x = -8.0 * sigma + mu; x < 0.0; x += step) {
        const double w = exp(-0.5 * (x - mu) * (x - mu) / (sigma * sigma));

        weight += w;
        sum += w * x;
    }
    return sum / weight;
}

/*
 * With a teacher far below every margin the target is the margin itself: one pixel of the student
 * at 0 is then at the distance -m.
 */
TEST(ofds_margin_is_the_mean_of_what_the_batch_norm_makes_negative)
{
    static const tapped_shape one = {{1, 1, 1, 4}, {1, 1, 1, 1}};
    static const double scale[] = {1.0, -0.5, 2.0, 0.1}, offset[] = {0.3, -0.2, 1.5, 1.0};
    static const double zero[4] = {0}, low[] = {-1e6, -1e6, -1e6, -1e6};
    tapped t = tapped_new("ofd", 1, &one, &one);
    sftn_taps s = {.nstages = 1, .stage = {t.student.stage[2]}};
    sftn_taps d = {.nstages = 1, .stage = {t.teacher.stage[2]}};
    double expected = pow(-3.0 * 0.1, 2.0); /* Phi(-10) is below 0.001 */

    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &s, &d));
    tapped_compile(&t, 1);
    net_write(&t.n, "s.stage3.preact", zero);
    net_write(&t.n, "t.stage3.preact", low);
    net_write(&t.n, "t.stage3.preact.scale", scale);
    net_write(&t.n, "t.stage3.preact.offset", offset);
    net_run(&t.n);
    for (int i = 0; i < 3; i++)
        expected += pow(negative_mean(offset[i], fabs(scale[i])), 2.0);
    CHECK_NEAR(net_scalar(&t.n, "loss"), expected, 1e-3);
    tapped_free(&t);
}

TEST(ofd_is_zero_where_the_student_is_right_or_low_enough)
{
    static const tapped_shape one = {{1, 1, 1, 4}, {1, 1, 1, 1}};
    /* Margins of a standard normal distribution are -0.798. */
    static const double teacher[] = {2.0, -0.3, -5.0, -0.1}, student[] = {2.0, -0.4, -0.8, -9.0};
    static const double scale[] = {1, 1, 1, 1}, offset[] = {0, 0, 0, 0};
    static const double high[] = {2.0, -0.4, -0.7, -9.0};
    tapped t = tapped_new("ofd", 1, &one, &one);
    sftn_taps s = {.nstages = 1, .stage = {t.student.stage[2]}};
    sftn_taps d = {.nstages = 1, .stage = {t.teacher.stage[2]}};

    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &s, &d));
    tapped_compile(&t, 1);
    net_write(&t.n, "s.stage3.preact", student);
    net_write(&t.n, "t.stage3.preact", teacher);
    net_write(&t.n, "t.stage3.preact.scale", scale);
    net_write(&t.n, "t.stage3.preact.offset", offset);
    net_run(&t.n);
    CHECK_NEAR(net_scalar(&t.n, "loss"), 0.0, 1e-12);
    net_write(&t.n, "s.stage3.preact", high);
    net_run(&t.n);
    CHECK_NEAR(net_scalar(&t.n, "loss"), pow(sqrt(2.0 / 3.14159265358979) - 0.7, 2.0), 1e-6);
    tapped_free(&t);
}

TEST(ofd_needs_taps_that_a_batch_norm_makes)
{
    tapped t = tapped_new("ofd", 2, &tapped_student, &tapped_wider);
    sftn_error err;

    CHECK(sftn_is_none(tapped_build(&t, "stage2")));
    CHECK_FAILS(sftn_graph_status(t.n.g, &err), SFTN_ERR_ARGUMENT, &err,
                "no batch norm makes the teacher's stage2");
    tapped_free(&t);
}

TEST(fitnet_names_the_sizes_it_cannot_join)
{
    static const tapped_shape larger = {{4, 4, 6, 5}, {32, 32, 16, 8}};
    tapped t = tapped_new("fitnet", 2, &tapped_student, &larger);
    sftn_error err;

    CHECK(sftn_is_none(tapped_build(&t, NULL)));
    CHECK_FAILS(sftn_graph_status(t.n.g, &err), SFTN_ERR_ARGUMENT, &err,
                "the student's map is [2,6,4,4] and the teacher's [2,6,16,16]");
    CHECK_CONTAINS(err.text, "at and nst");
    tapped_free(&t);
}

TEST(fitnet_doubles_halves_and_cuts)
{
    static const tapped_shape teachers[] = {
        {{4, 4, 9, 5}, {8, 8, 8, 2}}, {{4, 4, 9, 5}, {8, 8, 2, 2}}, {{4, 4, 9, 5}, {8, 8, 3, 2}}};
    static const int64_t kernel[] = {4, 3, 2};

    for (int i = 0; i < 3; i++) {
        tapped t = tapped_new("fitnet", 2, &tapped_student, &teachers[i]);
        sftn_error err = {.status = SFTN_OK};
        int conv;

        tapped_build(&t, NULL);
        CHECK_OK(sftn_graph_status(t.n.g, &err), &err);
        conv = sftn_params_find(t.n.params, "conv.weight");
        CHECK(conv >= 0);
        CHECK_INT(sftn_params_get(t.n.params, conv)->shape.dim[SFTN_H], kernel[i]);
        tapped_free(&t);
    }
}
