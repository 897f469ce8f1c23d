/* methods: the registry and the published defaults; kd and at by hand. */
#include "distill/tapped.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

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

    for (; sftn_distiller_list(n); n++) {
        const sftn_distiller *m = sftn_distiller_list(n);

        CHECK(method(m->name) == m);
        CHECK(m->summary && m->reference && m->pairs);
        CHECK((m->loss && m->weight > 0.0) || (!m->loss && m->nphases > 0 && m->weight == 0.0));
    }
    CHECK(n >= 12);
    CHECK(sftn_distiller_list(-1) == NULL);
    CHECK(sftn_distiller_find("aa", &err) == NULL);
    CHECK_CONTAINS(err.text, "did you mean");
}

TEST(default_weights_are_the_benchmarks)
{
    static const struct {
        const char *name;
        double weight, task_weight;
    } published[] = {
        {"kd", 0.9, 0.1},  {"fitnet", 100, 1}, {"at", 1000, 1}, {"sp", 3000, 1}, {"cc", 0.02, 1},
        {"vid", 1, 1},     {"rkd", 1, 1},      {"pkt", 30000, 1}, {"ft", 200, 1}, {"nst", 50, 1},
        {"kdsvd", 1, 1},   {"dkd", 1, 1},      {"dist", 1, 1},
        {"ofd", 1e-3, 1},  {"reviewkd", 5, 1}, {"ab", 0, 1}, {"fsp", 0, 1},
        {"sskd", 1, 0.1},  {"crd", 0.8, 1},
    };

    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        const sftn_distiller *m = method(published[i].name);

        CHECK_NEAR(m->weight, published[i].weight, 0.0);
        CHECK_NEAR(m->task_weight, published[i].task_weight, 0.0);
    }
    CHECK_NEAR(method("kd")->weight_beside, 1.0, 0.0);
}

TEST(default_settings_are_the_papers)
{
    static const struct {
        const char *name, *option, *value;
    } published[] = {
        {"kd", "temperature", "4"}, {"at", "p", "2"},      {"cc", "dim", "128"},
        {"dkd", "warmup", "20"},    {"reviewkd", "warmup", "20"}, {"vid", "train-variance", "true"},
        {"vid", "variance", "5"},   {"rkd", "distance", "25"}, {"rkd", "angle", "50"},
        {"kdsvd", "k", "1"},        {"kdsvd", "vectors", "channels"},
        {"crd", "dim", "128"},      {"crd", "negatives", "16384"}, {"crd", "temperature", "0.07"},
        {"crd", "momentum", "0.5"}, {"crd", "relax", "false"},
        {"ab", "margin", "1"},      {"ab", "epochs", "30"},
        {"ab", "lr", "0"},          {"fsp", "epochs", "30"}, {"fsp", "lr", "0"},
        {"ft", "p", "2"},           {"ft", "epochs", "30"}, {"ft", "lr", "0.01"},
        {"dkd", "temperature", "4"}, {"dkd", "alpha", "1"}, {"dkd", "beta", "8"},
        {"dist", "temperature", "4"}, {"dist", "beta", "2"}, {"dist", "gamma", "2"},
        {"sskd", "temperature", "4"}, {"sskd", "turned-temperature", "4"},
        {"sskd", "similarity-temperature", "0.5"}, {"sskd", "normal-weight", "0.9"},
        {"sskd", "turned-weight", "2.7"}, {"sskd", "similarity-weight", "10"},
        {"sskd", "turned-keep", "1"}, {"sskd", "similarity-keep", "0.75"},
        {"sskd", "epochs", "60"}, {"sskd", "lr", "0.05"},
    };

    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        tapped t = tapped_new(published[i].name, 2, &tapped_student, &tapped_student);
        char text[32];

        sftn_options_format(sftn_options_find(t.method->options, published[i].option), t.options,
                            text, sizeof text);
        CHECK_TEXT(text, published[i].value);
        tapped_free(&t);
    }
}

TEST(kd_weighs_the_teachers_answer)
{
    tapped t = tapped_new("kd", 3, &tapped_student, &tapped_student);
    /* The teacher is sure of class 0, the student of none: sum p_t ln(p_t / p_s). */
    double zs[21] = {0}, zt[21] = {0}, expected, sum;

    sftn_graph_output(t.n.g, "loss", tapped_build(&t, NULL));
    tapped_compile(&t, 1);
    for (int i = 0; i < 3; i++)
        zt[7 * i] = 8.0;
    net_write(&t.n, "s.logits", zs);
    net_write(&t.n, "t.logits", zt);
    net_run(&t.n);
    sum = exp(8.0 / 4.0) + 6.0;
    expected = exp(2.0) / sum * log(exp(2.0) / sum * 7.0) + 6.0 / sum * log(7.0 / sum);
    CHECK_NEAR(net_scalar(&t.n, "loss"), 16.0 * expected, 1e-6);
    tapped_free(&t);
}

TEST(at_with_another_power_takes_absolute_values)
{
    tapped t = tapped_new("at", 3, &tapped_student, &tapped_student);
    sftn_taps flipped = tapped_map(&t, &t.student, sftn_neg);

    tapped_set(&t, "p", "3");
    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &t.student, &flipped));
    tapped_compile(&t, 1);
    net_run(&t.n);
    CHECK_NEAR(net_scalar(&t.n, "loss"), 0.0, 1e-12);
    tapped_free(&t);
}

TEST(sskds_phase_slows_down_after_a_half_and_three_quarters)
{
    const sftn_distiller *m = method("sskd");
    tapped t = tapped_new("sskd", 2, &tapped_student, &tapped_student);
    const sftn_schedule s = m->phase->schedule(t.options);

    CHECK_INT(s.epochs, 60);
    CHECK_NEAR(sftn_schedule_lr(&s, 29.9), 0.05, 1e-12);
    CHECK_NEAR(sftn_schedule_lr(&s, 30.0), 0.005, 1e-12);
    CHECK_NEAR(sftn_schedule_lr(&s, 45.0), 0.0005, 1e-12);
    tapped_free(&t);
}
