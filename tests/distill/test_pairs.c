/* pairs: which taps are compared, from text. */
#include "distill/tapped.h"
#include "test.h"

#include <string.h>

/* Pair i is these two taps. */
static void check_pair(const sftn_tap_pair *p, const char *student, const char *teacher)
{
    CHECK_TEXT(p->student_name, student);
    CHECK_TEXT(p->teacher_name, teacher);
}

TEST(taps_are_listed_in_the_order_of_the_network)
{
    tapped t = tapped_new("kd", 2, &tapped_student, &tapped_student);
    sftn_named_tap list[SFTN_MAX_TAPS];

    CHECK_INT(sftn_taps_list(&t.student, list), 10);
    CHECK_TEXT(list[0].name, "stem");
    CHECK_TEXT(list[3].name, "stage1.preact");
    CHECK(list[3].value.id == t.student.stage[0].preact.id);
    CHECK(list[3].norm.scale.id == t.student.stage[0].norm.scale.id);
    CHECK(sftn_is_none(list[2].norm.scale));
    CHECK_TEXT(list[9].name, "logits");
    t.student.stage[1].preact = SFTN_NONE;
    CHECK_INT(sftn_taps_list(&t.student, list), 9);
    CHECK_TEXT(list[4].name, "stage2");
    CHECK_TEXT(list[5].name, "stage3");
    tapped_free(&t);
}

TEST(names_pair_taps)
{
    tapped t = tapped_new("kd", 2, &tapped_student, &tapped_wider);
    sftn_tap_pair p[SFTN_MAX_PAIRS];
    sftn_error err = {.status = SFTN_OK};
    int n;

    CHECK_OK(sftn_tap_pairs("stage2", &t.student, &t.teacher, p, &n, &err), &err);
    CHECK_INT(n, 1);
    check_pair(&p[0], "stage2", "stage2");
    CHECK(p[0].student.id == t.student.stage[1].feature.id);
    CHECK(p[0].teacher.id == t.teacher.stage[1].feature.id);
    CHECK_OK(sftn_tap_pairs("stem:stage1,pooled,last.preact", &t.student, &t.teacher, p, &n, &err),
             &err);
    CHECK_INT(n, 3);
    check_pair(&p[0], "stem", "stage1");
    check_pair(&p[1], "pooled", "pooled");
    check_pair(&p[2], "stage3.preact", "stage3.preact");
    CHECK(p[2].norm.offset.id == t.teacher.stage[2].norm.offset.id);
    tapped_free(&t);
}

TEST(stages_are_paired_from_the_deep_end)
{
    tapped t = tapped_new("kd", 2, &tapped_student, &tapped_wider);
    sftn_tap_pair p[SFTN_MAX_PAIRS];
    sftn_error err = {.status = SFTN_OK};
    int n;

    t.student.stage[0] = t.student.stage[1];
    t.student.stage[1] = t.student.stage[2];
    t.student.nstages = 2;
    CHECK_OK(sftn_tap_pairs("stages.preact", &t.student, &t.teacher, p, &n, &err), &err);
    CHECK_INT(n, 2);
    check_pair(&p[0], "stage1.preact", "stage2.preact");
    check_pair(&p[1], "stage2.preact", "stage3.preact");
    CHECK_OK(sftn_tap_pairs("stem,last", &t.student, &t.teacher, p, &n, &err), &err);
    check_pair(&p[1], "stage2", "stage3");
    tapped_free(&t);
}

TEST(wrong_pairs_are_named_with_what_there_is)
{
    tapped t = tapped_new("kd", 2, &tapped_student, &tapped_wider);
    sftn_tap_pair p[SFTN_MAX_PAIRS];
    sftn_error err;
    int n;

    t.teacher.stage[1].preact = SFTN_NONE;
    CHECK_FAILS(sftn_tap_pairs("stage1:stage4", &t.student, &t.teacher, p, &n, &err),
                SFTN_ERR_ARGUMENT, &err,
                "the teacher has no tap \"stage4\"; it publishes stem, stem.preact, stage1, ");
    CHECK_FAILS(sftn_tap_pairs("feature", &t.student, &t.teacher, p, &n, &err), SFTN_ERR_ARGUMENT,
                &err, "the student has no tap \"feature\"");
    CHECK_FAILS(sftn_tap_pairs("stages.preact", &t.student, &t.teacher, p, &n, &err),
                SFTN_ERR_ARGUMENT, &err, "the teacher has no tap \"stage2.preact\"");
    for (int i = 0; i < 4; i++) {
        static const char *const malformed[] = {"", "stage1,", ",", "stage1,,stage2"};

        CHECK_FAILS(sftn_tap_pairs(malformed[i], &t.student, &t.teacher, p, &n, &err),
                    SFTN_ERR_ARGUMENT, &err, "joined by commas");
    }
    CHECK_FAILS(sftn_tap_pairs("stem,stem,stem,stem,stem,stem,stem,stem,stem", &t.student,
                               &t.teacher, p, &n, &err),
                SFTN_ERR_ARGUMENT, &err, "more than 8 pairs");
    tapped_free(&t);
}

TEST(a_method_compares_the_pairs_it_is_told_to)
{
    tapped t = tapped_new("at", 2, &tapped_student, &tapped_wider);
    sftn_error err = {.status = SFTN_OK};

    sftn_graph_output(t.n.g, "one", tapped_build(&t, "stage1"));
    sftn_graph_output(t.n.g, "two", tapped_build(&t, "stage3"));
    sftn_graph_output(t.n.g, "both", tapped_build(&t, "stage3,stage1"));
    CHECK_OK(sftn_graph_status(t.n.g, &err), &err);
    tapped_compile(&t, 1);
    net_run(&t.n);
    CHECK(net_scalar(&t.n, "one") > 0.0 && net_scalar(&t.n, "two") > 0.0);
    CHECK_NEAR(net_scalar(&t.n, "both"), net_scalar(&t.n, "one") + net_scalar(&t.n, "two"), 1e-12);
    sftn_graph_set_scope(t.n.g, "");
    CHECK(sftn_is_none(tapped_build(&t, "stage7")));
    CHECK_FAILS(sftn_graph_status(t.n.g, &err), SFTN_ERR_ARGUMENT, &err,
                "the student has no tap \"stage7\"");
    tapped_free(&t);
}
