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
                                        "pkt", "fsp",    "nst", "dkd"};

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
    static const char *const names[] = {"at", "sp", "rkd", "pkt", "nst"};

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

TEST(fsp_refuses_unequal_channels_and_names_methods_that_do_not)
{
    tapped t = tapped_new("fsp", 2, &tapped_student, &tapped_wider);
    sftn_error err;

    CHECK(sftn_is_none(tapped_build(&t, NULL)));
    CHECK_FAILS(sftn_graph_status(t.n.g, &err), SFTN_ERR_ARGUMENT, &err,
                "the student's stem has 4 channels and the teacher's stem 5");
    CHECK_CONTAINS(err.text, "at, nst and vid take unequal channels");
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
