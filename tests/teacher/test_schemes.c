/* schemes: what plain and sftn attach, how branches fit, and where their gradients go. */
#include "base/base.h"
#include "graph/op.h"
#include "net.h"
#include "sftn/teacher.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4, CLASSES = 5, SIZE = 16 };

/* A teacher with its branches: teacher in net's params, branches in other. */
typedef struct fixture {
    net n;
    sftn_terms terms;
    sftn_branches branches;
    sftn_taps taps;
} fixture;

static sftn_model find(const char *name)
{
    sftn_model model;
    sftn_error err = {.status = SFTN_OK};

    CHECK_OK(sftn_model_find(name, &model, &err), &err);
    return model;
}

static const sftn_teacher_scheme *scheme(const char *name)
{
    sftn_error err = {.status = SFTN_OK};
    const sftn_teacher_scheme *s = sftn_teacher_find(name, &err);

    CHECK_OK(err.status, &err);
    CHECK(s != NULL);
    return s;
}

/* settings: pairs of option and value, ended by NULL. */
static fixture attach_models(const char *name, const sftn_model *teacher,
                             const sftn_model *student, const char *const *settings)
{
    const sftn_teacher_scheme *s = scheme(name);
    fixture f = {.n = net_new()};
    void *options = calloc(1, s->options_size + 1);
    sftn_error err = {.status = SFTN_OK};
    sftn_scope plain = net_scope(&f.n, true), attached = net_other_scope(&f.n, true);
    const sftn_teacher_args args = {
        .g = f.n.g,
        .teacher_scope = &plain,
        .branch_scope = &attached,
        .teacher = teacher,
        .student = student,
        .image = net_input(&f.n, "image", BATCH, 3, SIZE, SIZE),
        .labels = net_input(&f.n, "labels", BATCH, 1, 1, 1),
        .classes = CLASSES,
        .options = options,
        .branches = &f.branches,
    };

    sftn_options_default(s->options, options);
    for (; settings && *settings; settings += 2)
        CHECK_OK(sftn_options_set(s->options, options, settings[0], settings[1], &err), &err);
    f.taps = s->build(&args, &f.terms);
    free(options);
    return f;
}

static fixture attach(const char *teacher, const char *student, const char *const *settings)
{
    const sftn_model t = find(teacher), s = find(student);

    return attach_models("sftn", &t, &s, settings);
}

static void check_fits(const fixture *f)
{
    sftn_error err = {.status = SFTN_OK};

    CHECK_OK(sftn_graph_status(f->n.g, &err), &err);
}

/* Backward of the weighted total; one run on random images. */
static void run(fixture *f)
{
    sftn_graph *g = f->n.g;
    sftn_value total = SFTN_NONE;
    sftn_error err = {.status = SFTN_OK};

    for (int i = 0; i < f->terms.n; i++) {
        const sftn_term *t = &f->terms.term[i];
        sftn_value part = sftn_scale(g, t->value, t->weight);

        sftn_graph_output(g, t->name, t->value);
        if (t->weight != 0.0f)
            total = sftn_is_none(total) ? part : sftn_add(g, total, part);
    }
    sftn_graph_output(g, "total", total);
    sftn_graph_output(g, "teacher", f->taps.logits);
    for (int i = 0; i < f->branches.n; i++)
        sftn_graph_output(g, i == 0 ? "first" : "second", f->branches.taps[i].logits);
    CHECK_OK(sftn_graph_backward(g, total, NULL, &err), &err);
    sftn_params_init(f->n.params, 1);
    sftn_params_init(f->n.other, 2);
    net_compile(&f->n);
    net_write_random(&f->n, "image", 3);
    net_write_labels(&f->n, "labels", CLASSES);
    net_run(&f->n);
}

static const sftn_param *branch_entry(const fixture *f, const char *name)
{
    const int i = sftn_params_find(f->n.other, name);

    return i < 0 ? NULL : sftn_params_get(f->n.other, i);
}

static void check_weight(const fixture *f, const char *name, int64_t n, int64_t c, int64_t size)
{
    const sftn_param *p = branch_entry(f, name);
    char found[64], expected[64];

    if (!p)
        test_fail(__FILE__, __LINE__, "there is no parameter %s", name);
    sftn_shape_format(&p->shape, found, sizeof found);
    sftn_shape_format(&SFTN_SHAPE(n, c, size, size), expected, sizeof expected);
    CHECK_TEXT(found, expected);
}

TEST(schemes_are_listed_and_found)
{
    sftn_error err;
    int n = 0;

    for (; sftn_teacher_list(n); n++)
        CHECK(scheme(sftn_teacher_list(n)->name) == sftn_teacher_list(n));
    CHECK(n >= 2);
    CHECK(sftn_teacher_find("sftm", &err) == NULL);
    CHECK_CONTAINS(err.text, "did you mean \"sftn\"?");
}

TEST(what_the_paper_leaves_open_is_marked_as_proposed)
{
    static const char *const open[] = {"lambda-t", "lambda-kl", "lambda-ce", "temperature",
                                       "t-squared", "kl-direction", "shared", "transform-bn",
                                       "transform-relu"};

    for (size_t i = 0; i < SFTN_COUNT(open); i++)
        CHECK_CONTAINS(sftn_options_find(scheme("sftn")->options, open[i])->help, "(proposed)");
}

TEST(default_settings_are_those_proposed)
{
    static const char *const proposed[][2] = {
        {"lambda-t", "1"},      {"lambda-kl", "3"},         {"lambda-ce", "1"},
        {"temperature", "1"},   {"t-squared", "true"},      {"kl-direction", "branch"},
        {"kl-detach", "none"},  {"branches", "all"},        {"shared", "false"},
        {"transform-bn", "true"}, {"transform-relu", "auto"}, {"detach", "false"}};
    const sftn_teacher_scheme *s = scheme("sftn");
    void *options = calloc(1, s->options_size);

    sftn_options_default(s->options, options);
    for (size_t i = 0; i < SFTN_COUNT(proposed); i++) {
        char text[32];

        sftn_options_format(sftn_options_find(s->options, proposed[i][0]), options, text,
                            sizeof text);
        CHECK_TEXT(text, proposed[i][1]);
    }
    free(options);
}

/* ---- transforms ---- */

TEST(equal_maps_are_transformed_by_1x1)
{
    fixture f = attach("wrn_40_2", "wrn_16_2", NULL);

    check_fits(&f);
    CHECK_INT(f.branches.n, 2);
    check_weight(&f, "branch1.transform.conv.weight", 32, 32, 1);
    check_weight(&f, "branch2.transform.conv.weight", 64, 64, 1);
    net_free(&f.n);
    f = attach("resnet32x4", "resnet8x4", NULL);
    check_fits(&f);
    check_weight(&f, "branch1.transform.conv.weight", 64, 64, 1);
    check_weight(&f, "branch2.transform.conv.weight", 128, 128, 1);
    net_free(&f.n);
}

/* A student like resnet8 whose features are announced as smaller or larger than they would be. */
static sftn_model stretched(int d1, int d2)
{
    sftn_model m = find("resnet8");

    m.channels[1] = 24;
    m.channels[2] = 40;
    m.divisor[1] = d1;
    m.divisor[2] = d2;
    return m;
}

static int count_nodes(const fixture *f, const char *op)
{
    int count = 0;

    for (int i = 0; i < f->n.g->nnodes; i++)
        count += strcmp(f->n.g->node[i].op->name, op) == 0;
    return count;
}

TEST(larger_maps_are_halved_by_3x3_and_chains)
{
    const sftn_model teacher = find("resnet8"), student = stretched(2, 8);
    fixture f = attach_models("sftn", &teacher, &student, NULL);

    check_fits(&f);
    check_weight(&f, "branch1.transform.conv.weight", 24, 16, 3);
    /* 8x8 to 2x2 in two steps */
    check_weight(&f, "branch2.transform.before1.conv.weight", 40, 32, 3);
    check_weight(&f, "branch2.transform.conv.weight", 40, 40, 3);
    CHECK(branch_entry(&f, "branch2.transform.before2.conv.weight") == NULL);
    run(&f);
    net_free(&f.n);
}

TEST(smaller_maps_are_doubled_by_transposed_4x4)
{
    const sftn_model teacher = find("resnet8"), student = stretched(1, 1);
    fixture f = attach_models("sftn", &teacher, &student, NULL);

    check_fits(&f);
    check_weight(&f, "branch1.transform.conv.weight", 24, 16, 1);
    check_weight(&f, "branch2.transform.conv.weight", 32, 40, 4); /* [in, out, 4, 4] */
    run(&f);
    net_free(&f.n);
}

TEST(sizes_that_halving_cannot_reach_are_named)
{
    const sftn_model teacher = find("resnet8"), student = stretched(3, 3);
    fixture f = attach_models("sftn", &teacher, &student, NULL);
    sftn_error err;

    CHECK_FAILS(sftn_graph_status(f.n.g, &err), SFTN_ERR_ARGUMENT, &err,
                "halving or doubling ends at");
    net_free(&f.n);
}

TEST(preactivated_students_get_no_relu_and_others_do)
{
    static const char *const off[] = {"transform-relu", "off", NULL};
    static const char *const bare[] = {"transform-bn", "false", NULL};
    fixture with = attach("resnet20", "resnet8", NULL);
    fixture without = attach("resnet20", "resnet8", off);
    fixture wide = attach("wrn_16_2", "wrn_16_1", NULL);
    fixture plain = attach("resnet20", "resnet8", bare);

    CHECK_INT(count_nodes(&with, "relu") - count_nodes(&without, "relu"), 2);
    /* wrn_16_2: 13 of its own; branches: 9 and 5 */
    CHECK_INT(count_nodes(&wide, "relu"), 13 + 9 + 5);
    CHECK(branch_entry(&with, "branch1.transform.bn.running_var") != NULL);
    CHECK(branch_entry(&with, "branch1.transform.conv.bias") == NULL);
    CHECK(branch_entry(&plain, "branch1.transform.bn.weight") == NULL);
    CHECK(branch_entry(&plain, "branch1.transform.conv.bias") != NULL);
    net_free(&with.n);
    net_free(&without.n);
    net_free(&wide.n);
    net_free(&plain.n);
}

/* ---- branches ---- */

TEST(branches_hold_the_students_later_stages_under_its_names)
{
    fixture f = attach("resnet20", "resnet8", NULL);

    check_weight(&f, "branch1.student.layer2.0.conv1.weight", 32, 16, 3);
    check_weight(&f, "branch1.student.layer3.0.conv2.weight", 64, 64, 3);
    check_weight(&f, "branch2.student.fc.weight", CLASSES, 64, 1);
    CHECK(branch_entry(&f, "branch1.student.conv1.weight") == NULL);
    CHECK(branch_entry(&f, "branch2.student.layer2.0.conv1.weight") == NULL);
    CHECK(sftn_params_find(f.n.params, "fc.weight") >= 0);
    CHECK_INT(sftn_params_count(f.n.params), 128); /* the plain teacher's entries, no more */
    net_free(&f.n);
}

TEST(shared_branches_have_one_copy_of_the_student)
{
    static const char *const shared[] = {"shared", "true", NULL};
    fixture f = attach("resnet20", "resnet8", shared);
    const float *tracked;

    CHECK(branch_entry(&f, "branch2.transform.conv.weight") != NULL);
    CHECK(branch_entry(&f, "branch1.student.fc.weight") != NULL);
    CHECK(branch_entry(&f, "branch2.student.fc.weight") == NULL);
    run(&f);
    tracked = sftn_params_value(
        f.n.other, sftn_params_find(f.n.other, "branch1.student.layer3.0.bn1.num_batches_tracked"));
    CHECK_NEAR(tracked[0], 2.0, 0.0);
    net_free(&f.n);
}

TEST(branches_can_be_the_first_or_the_last_alone)
{
    static const char *const first[] = {"branches", "first", NULL};
    static const char *const last[] = {"branches", "last", NULL};
    fixture f = attach("resnet20", "resnet8", first), l = attach("resnet20", "resnet8", last);

    CHECK_INT(f.branches.n, 1);
    CHECK_INT(f.branches.stage[0], 1);
    CHECK_INT(l.branches.n, 1);
    CHECK_INT(l.branches.stage[0], 2);
    net_free(&f.n);
    net_free(&l.n);
}

/* resnet20 with a fourth stage of 128 channels. */
static sftn_model four_stages(void)
{
    sftn_model m = find("resnet20");

    m.nstages = 4;
    m.channels[4] = 128;
    m.divisor[4] = 8;
    return m;
}

TEST(unequal_numbers_of_stages_meet_at_the_deep_end)
{
    const sftn_model four = four_stages(), three = find("resnet8");
    fixture deep = attach_models("sftn", &four, &three, NULL);
    fixture shallow = attach_models("sftn", &three, &four, NULL);

    check_fits(&deep);
    CHECK_INT(deep.branches.n, 2);
    CHECK_INT(deep.branches.stage[0], 2);
    CHECK_INT(deep.branches.entry[0], 1);
    CHECK_INT(deep.branches.stage[1], 3);
    CHECK_INT(deep.branches.entry[1], 2);
    check_fits(&shallow);
    CHECK_INT(shallow.branches.n, 2);
    CHECK_INT(shallow.branches.stage[0], 1);
    CHECK_INT(shallow.branches.entry[0], 2);
    net_free(&deep.n);
    net_free(&shallow.n);
}

/* ---- terms and gradients ---- */

TEST(the_total_is_the_weighted_sum_of_means)
{
    static const char *const names[] = {"ce", "kl", "branch_ce", "kl.1", "ce.1", "kl.2", "ce.2"};
    fixture f = attach("resnet8", "resnet8", NULL);
    double v[7];

    CHECK_INT(f.terms.n, 7);
    run(&f);
    for (int i = 0; i < 7; i++) {
        CHECK_TEXT(f.terms.term[i].name, names[i]);
        v[i] = net_scalar(&f.n, names[i]);
    }
    CHECK_NEAR(v[1], 0.5 * (v[3] + v[5]), 1e-12);
    CHECK_NEAR(v[2], 0.5 * (v[4] + v[6]), 1e-12);
    CHECK_NEAR(net_scalar(&f.n, "total"), v[0] + 3.0 * v[1] + v[2], 1e-12);
    CHECK(v[1] > 0.0);
    net_free(&f.n);
}

/* ln of softmax(z / t) over the classes, for each image. */
static void log_answers(const fixture *f, const char *name, double t, double *log_p)
{
    double z[BATCH * CLASSES];

    net_read(&f->n, name, z);
    for (int i = 0; i < BATCH; i++) {
        double sum = 0.0;

        for (int k = 0; k < CLASSES; k++)
            sum += exp(z[i * CLASSES + k] / t);
        for (int k = 0; k < CLASSES; k++)
            log_p[i * CLASSES + k] = z[i * CLASSES + k] / t - log(sum);
    }
}

/* Mean over the images of KL(p || q). */
static double kl_of(const double *log_p, const double *log_q)
{
    double sum = 0.0;

    for (int i = 0; i < BATCH * CLASSES; i++)
        sum += exp(log_p[i]) * (log_p[i] - log_q[i]);
    return sum / BATCH;
}

/* Mean over the images of -ln p of the label, which is the image's number modulo CLASSES. */
static double ce_of(const double *log_p)
{
    double sum = 0.0;

    for (int i = 0; i < BATCH; i++)
        sum -= log_p[i * CLASSES + i % CLASSES];
    return sum / BATCH;
}

/* With weights 0.5, 2 and 0.25 and temperature 2; factor: of the divergence. */
static void check_values(const char *direction, const char *t_squared, double factor)
{
    const char *const settings[] = {"lambda-t", "0.5", "lambda-kl", "2", "lambda-ce", "0.25",
                                    "temperature", "2", "kl-direction", direction,
                                    "t-squared", t_squared, NULL};
    fixture f = attach("resnet8", "resnet8", settings);
    double warm[3][BATCH * CLASSES], plain[3][BATCH * CLASSES], kl[2], ce[3];

    run(&f);
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"teacher", "first", "second"};

        log_answers(&f, names[i], 2.0, warm[i]);
        log_answers(&f, names[i], 1.0, plain[i]);
        ce[i] = ce_of(plain[i]);
    }
    for (int i = 0; i < 2; i++)
        kl[i] = factor * (strcmp(direction, "branch") == 0 ? kl_of(warm[i + 1], warm[0])
                                                           : kl_of(warm[0], warm[i + 1]));
    CHECK_NEAR(net_scalar(&f.n, "kl.1"), kl[0], 1e-10);
    CHECK_NEAR(net_scalar(&f.n, "kl.2"), kl[1], 1e-10);
    CHECK_NEAR(net_scalar(&f.n, "ce"), ce[0], 1e-10);
    CHECK_NEAR(net_scalar(&f.n, "ce.1"), ce[1], 1e-10);
    CHECK_NEAR(net_scalar(&f.n, "ce.2"), ce[2], 1e-10);
    CHECK_NEAR(net_scalar(&f.n, "total"),
               0.5 * ce[0] + 2.0 * 0.5 * (kl[0] + kl[1]) + 0.25 * 0.5 * (ce[1] + ce[2]), 1e-10);
    net_free(&f.n);
}

TEST(the_divergence_is_that_of_the_first_operands_answers_from_the_seconds)
{
    check_values("branch", "true", 4.0);
    check_values("teacher", "true", 4.0);
    check_values("branch", "false", 1.0);
    check_values("teacher", "false", 1.0);
}

TEST(temperature_and_direction_change_the_divergence)
{
    static const char *const cold[] = {"temperature", "2", "t-squared", "false", NULL};
    static const char *const warm[] = {"temperature", "2", NULL};
    static const char *const swapped[] = {"temperature", "2", "kl-direction", "teacher", NULL};
    fixture a = attach("resnet8", "resnet8", cold), b = attach("resnet8", "resnet8", warm);
    fixture c = attach("resnet8", "resnet8", swapped);

    run(&a);
    run(&b);
    run(&c);
    CHECK_NEAR(4.0 * net_scalar(&a.n, "kl"), net_scalar(&b.n, "kl"), 1e-12);
    CHECK(fabs(net_scalar(&c.n, "kl") - net_scalar(&b.n, "kl")) > 1e-6);
    net_free(&a.n);
    net_free(&b.n);
    net_free(&c.n);
}

TEST(the_divergence_alone_moves_the_whole_teacher)
{
    static const char *const kl_only[] = {"lambda-t", "0", "lambda-ce", "0", NULL};
    fixture f = attach("resnet8", "resnet8", kl_only);

    run(&f);
    CHECK(net_grad_norm(&f.n, "conv1.weight") > 1e-6);
    CHECK(net_grad_norm(&f.n, "layer1.0.conv2.weight") > 1e-6);
    CHECK(net_grad_norm(&f.n, "layer2.0.conv2.weight") > 1e-6);
    CHECK(net_grad_norm(&f.n, "layer3.0.conv2.weight") > 1e-6); /* through the teacher's logits */
    CHECK(net_grad_norm(&f.n, "fc.weight") > 1e-6);
    net_free(&f.n);
}

/* Whether any weight of the branches has a gradient. */
static bool branches_learn(const fixture *f)
{
    const float *grads = sftn_params_grads(f->n.other);

    for (int64_t i = 0; i < sftn_params_weight_size(f->n.other); i++)
        if (grads[i] != 0.0f)
            return true;
    return false;
}

TEST(a_detached_side_of_the_divergence_gets_no_gradient)
{
    static const char *const from[] = {"lambda-t", "0", "lambda-ce", "0", "kl-detach", "teacher",
                                       NULL};
    static const char *const to[] = {"lambda-t", "0", "lambda-ce", "0", "kl-detach", "branch",
                                     NULL};
    static const char *const none[] = {"detach", "true", "kl-detach", "branch", NULL};
    fixture branch = attach("resnet8", "resnet8", from), teacher = attach("resnet8", "resnet8", to);
    fixture nothing = attach("resnet8", "resnet8", none);
    sftn_error err;

    run(&branch);
    run(&teacher);
    CHECK(net_scalar(&branch.n, "kl") == net_scalar(&teacher.n, "kl"));
    CHECK(net_grad_norm(&branch.n, "fc.weight") == 0.0);
    CHECK(net_grad_norm(&branch.n, "layer3.0.conv2.weight") == 0.0);
    CHECK(net_grad_norm(&branch.n, "layer2.0.conv2.weight") > 1e-6);
    CHECK(branches_learn(&branch));
    CHECK(net_grad_norm(&teacher.n, "fc.weight") > 1e-6);
    CHECK(!branches_learn(&teacher));
    CHECK_FAILS(sftn_graph_status(nothing.n.g, &err), SFTN_ERR_ARGUMENT, &err, "kl-detach branch");
    net_free(&branch.n);
    net_free(&teacher.n);
    net_free(&nothing.n);
}

TEST(branch_cross_entropy_alone_leaves_the_last_stage)
{
    static const char *const ce_only[] = {"lambda-t", "0", "lambda-kl", "0", NULL};
    fixture f = attach("resnet8", "resnet8", ce_only);

    run(&f);
    CHECK(net_grad_norm(&f.n, "layer2.0.conv2.weight") > 1e-6);
    CHECK(net_grad_norm(&f.n, "layer3.0.conv2.weight") == 0.0);
    CHECK(net_grad_norm(&f.n, "fc.weight") == 0.0);
    net_free(&f.n);
}

TEST(detached_branches_leave_the_teacher_its_plain_gradients)
{
    static const char *const detach[] = {"detach", "true", NULL};
    const sftn_model model = find("resnet8");
    fixture cut = attach("resnet8", "resnet8", detach);
    fixture plain = attach_models("plain", &model, NULL, NULL);

    run(&cut);
    run(&plain);
    CHECK_INT(plain.terms.n, 1);
    CHECK_INT(plain.branches.n, 0);
    CHECK(!cut.terms.term[0].detached); /* ce, kl, branch_ce */
    CHECK(cut.terms.term[1].detached && cut.terms.term[2].detached);
    CHECK_INT(sftn_params_weight_size(cut.n.params), sftn_params_weight_size(plain.n.params));
    CHECK_BYTES(sftn_params_grads(cut.n.params), sftn_params_grads(plain.n.params),
                (size_t)sftn_params_weight_size(plain.n.params) * sizeof(float));
    CHECK_BYTES(sftn_params_states(cut.n.params), sftn_params_states(plain.n.params),
                (size_t)sftn_params_state_size(plain.n.params) * sizeof(float));
    net_free(&cut.n);
    net_free(&plain.n);
}

TEST(too_many_terms_are_an_error)
{
    net n = net_new();
    sftn_terms terms = {0};
    sftn_error err;

    for (int i = 0; i <= SFTN_MAX_TERMS; i++)
        sftn_terms_add(&terms, n.g, 1.0f, SFTN_NONE, "t%d", i);
    CHECK_INT(terms.n, SFTN_MAX_TERMS);
    CHECK_TEXT(terms.term[3].name, "t3");
    CHECK_FAILS(sftn_graph_status(n.g, &err), SFTN_ERR_ARGUMENT, &err, "more than 16 terms");
    net_free(&n);
}
