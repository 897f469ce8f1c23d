/* methods: the registry, and what kd and at promise. */
#include "base/base.h"
#include "net.h"
#include "sftn/distill.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Two networks of two stages, given by their taps alone. */
typedef struct pair {
    net n;
    sftn_taps student, teacher;
    void *options;
} pair;

static pair pair_new(const sftn_distiller *m)
{
    pair p = {.n = net_new(), .options = calloc(1, m->options_size)};

    CHECK(p.options != NULL);
    sftn_options_default(m->options, p.options);
    p.student.nstages = p.teacher.nstages = 2;
    p.student.stage[0].feature = net_input(&p.n, "s0", 3, 4, 8, 8);
    p.student.stage[1].feature = net_input(&p.n, "s1", 3, 6, 4, 4);
    p.teacher.stage[0].feature = net_input(&p.n, "t0", 3, 8, 4, 4);
    p.teacher.stage[1].feature = net_input(&p.n, "t1", 3, 5, 4, 4);
    p.student.logits = net_input(&p.n, "zs", 3, 7, 1, 1);
    p.teacher.logits = net_input(&p.n, "zt", 3, 7, 1, 1);
    return p;
}

static void pair_free(pair *p)
{
    net_free(&p->n);
    free(p->options);
}

static sftn_value loss_of(const pair *p, const sftn_distiller *m, const sftn_taps *student,
                          const sftn_taps *teacher)
{
    const sftn_scope scope = net_scope(&p->n, true);
    const sftn_distill_args args = {.g = p->n.g,
                                    .scope = &scope,
                                    .student = student,
                                    .teacher = teacher,
                                    .classes = 7,
                                    .options = p->options};

    return m->loss(&args);
}

static const sftn_distiller *method(const char *name)
{
    sftn_error err = {.status = SFTN_OK};
    const sftn_distiller *m = sftn_distiller_find(name, &err);

    CHECK_OK(err.status, &err);
    CHECK(m != NULL);
    return m;
}

TEST(methods_are_listed_and_found)
{
    sftn_error err;
    int n = 0;

    for (; sftn_distiller_list(n); n++)
        CHECK(method(sftn_distiller_list(n)->name) == sftn_distiller_list(n));
    CHECK(n >= 2);
    CHECK(sftn_distiller_list(-1) == NULL);
    CHECK(sftn_distiller_find("aa", &err) == NULL);
    CHECK_CONTAINS(err.text, "did you mean");
}

TEST(default_weights_are_the_benchmarks)
{
    const sftn_distiller *kd = method("kd"), *at = method("at");
    char text[32];

    CHECK_NEAR(kd->weight, 0.9, 0.0);
    CHECK_NEAR(kd->task_weight, 0.1, 0.0);
    CHECK_NEAR(at->weight, 1000.0, 0.0);
    CHECK_NEAR(at->task_weight, 1.0, 0.0);
    pair p = pair_new(kd);

    sftn_options_format(sftn_options_find(kd->options, "temperature"), p.options, text,
                        sizeof text);
    CHECK_NEAR(atof(text), 4.0, 0.0);
    pair_free(&p);
}

TEST(kd_is_zero_where_student_equals_teacher)
{
    const sftn_distiller *kd = method("kd");
    pair p = pair_new(kd);
    double zs[21], shifted[21];

    sftn_graph_output(p.n.g, "loss", loss_of(&p, kd, &p.student, &p.teacher));
    net_compile(&p.n);
    for (int i = 0; i < 21; i++) {
        zs[i] = sin(i);
        shifted[i] = zs[i] + 3.0 * (i / 7); /* a constant a row changes no answer */
    }
    net_write(&p.n, "zs", zs);
    net_write(&p.n, "zt", shifted);
    net_run(&p.n);
    CHECK_NEAR(net_scalar(&p.n, "loss"), 0.0, 1e-12);
    net_write_random(&p.n, "zt", 1);
    net_run(&p.n);
    CHECK(net_scalar(&p.n, "loss") > 1e-3);
    pair_free(&p);
}

TEST(kd_reaches_the_student_and_weighs_the_teachers_answer)
{
    const sftn_distiller *kd = method("kd");
    pair p = pair_new(kd);
    /* The teacher is sure of class 0, the student of none: sum p_t ln(p_t / p_s). */
    double zs[21] = {0}, zt[21] = {0}, expected = 0.0, sum = 0.0;

    sftn_graph_output(p.n.g, "loss", loss_of(&p, kd, &p.student, &p.teacher));
    net_compile(&p.n);
    for (int i = 0; i < 3; i++)
        zt[7 * i] = 8.0;
    net_write(&p.n, "zs", zs);
    net_write(&p.n, "zt", zt);
    net_run(&p.n);
    sum = exp(8.0 / 4.0) + 6.0;
    expected = exp(2.0) / sum * log(exp(2.0) / sum * 7.0) + 6.0 / sum * log(7.0 / sum);
    CHECK_NEAR(net_scalar(&p.n, "loss"), 16.0 * expected, 1e-6);
    pair_free(&p);
}

TEST(at_ignores_positive_scaling_and_is_zero_for_equal_maps)
{
    const sftn_distiller *at = method("at");
    pair p = pair_new(at);
    sftn_taps scaled = p.student;
    double first;

    for (int i = 0; i < 2; i++)
        scaled.stage[i].feature = sftn_scale(p.n.g, p.student.stage[i].feature, 3.0f);
    sftn_graph_output(p.n.g, "loss", loss_of(&p, at, &p.student, &p.teacher));
    sftn_graph_output(p.n.g, "scaled", loss_of(&p, at, &scaled, &p.teacher));
    sftn_graph_output(p.n.g, "same", loss_of(&p, at, &p.student, &scaled));
    net_compile(&p.n);
    net_write_random(&p.n, "s0", 1);
    net_write_random(&p.n, "s1", 2);
    net_write_random(&p.n, "t0", 3);
    net_write_random(&p.n, "t1", 4);
    net_run(&p.n);
    first = net_scalar(&p.n, "loss");
    CHECK(first > 1e-5);
    CHECK_NEAR(net_scalar(&p.n, "scaled"), first, 1e-12);
    CHECK_NEAR(net_scalar(&p.n, "same"), 0.0, 1e-12);
    pair_free(&p);
}

TEST(at_with_another_power_takes_absolute_values)
{
    const sftn_distiller *at = method("at");
    pair p = pair_new(at);
    sftn_taps flipped = p.student;

    CHECK_STATUS(sftn_options_set(at->options, p.options, "p", "3", NULL), SFTN_OK);
    for (int i = 0; i < 2; i++)
        flipped.stage[i].feature = sftn_neg(p.n.g, p.student.stage[i].feature);
    sftn_graph_output(p.n.g, "loss", loss_of(&p, at, &p.student, &flipped));
    net_compile(&p.n);
    net_write_random(&p.n, "s0", 1);
    net_write_random(&p.n, "s1", 2);
    net_run(&p.n);
    CHECK_NEAR(net_scalar(&p.n, "loss"), 0.0, 1e-12);
    pair_free(&p);
}

TEST(at_pairs_stages_from_the_deep_end)
{
    const sftn_distiller *at = method("at");
    pair p = pair_new(at);
    sftn_taps short_teacher = {.nstages = 1}, last_student = {.nstages = 1};
    double a, b;

    short_teacher.stage[0] = p.teacher.stage[1];
    last_student.stage[0] = p.student.stage[1];
    sftn_graph_output(p.n.g, "a", loss_of(&p, at, &p.student, &short_teacher));
    sftn_graph_output(p.n.g, "b", loss_of(&p, at, &last_student, &short_teacher));
    net_compile(&p.n);
    net_write_random(&p.n, "s1", 2);
    net_write_random(&p.n, "t1", 4);
    net_run(&p.n);
    a = net_scalar(&p.n, "a");
    b = net_scalar(&p.n, "b");
    CHECK(a > 0.0);
    CHECK_NEAR(a, b, 0.0);
    pair_free(&p);
}
