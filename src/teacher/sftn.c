/*
 * sftn: student-friendly teacher (Park, Cha, Jeong, Kim and Han, NeurIPS 2021).
 *
 * While the teacher trains, a student branch hangs on every teacher stage but the last: branch i
 * passes the teacher's feature of stage i through a transform layer to the shape of the student's
 * own feature, then through the student's remaining stages and head.  With q_i, q_T the softened
 * answers of branch i and teacher, and n branches,
 *
 *     L = lambda_T CE(z_T, y) + lambda_KL / n sum_i T^2 KL(q_i || q_T)
 *                             + lambda_CE / n sum_i CE(z_i, y)
 *
 * KL and CE are sums over classes and means over the batch.  Gradients of the branch terms reach
 * the teacher through its features and, for KL, through its logits as well, unless the
 * option `detach` cuts them off.  The option `kl-detach` takes one side of KL as given: the
 * teacher's (only the branches approach) or the branches' (only the teacher's answers do).
 *
 * The transform is a convolution chosen by the ratio of the maps' sizes: 1x1 where they are equal,
 * 3x3 with stride 2 to shrink, transposed 4x4 with stride 2 to enlarge, several of the latter two
 * for ratios of 4 and more; batch norm follows, and ReLU where the student's stages expect
 * activated input.  Networks with unequal numbers of stages are aligned from the deep end.  A
 * branch is numbered by the teacher stage it hangs on; its parameters are branchI.transform.* and
 * branchI.student.*.
 *
 * The paper's text gives neither weights, temperature and its factor, the direction of KL, what
 * follows the transform convolution, nor whether branches share weights: the defaults marked
 * (proposed) stand in for it.
 */
#include "teacher/teacher.h"

enum { KL_BRANCH, KL_TEACHER };
enum { SIDE_NONE, SIDE_TEACHER, SIDE_BRANCH };
enum { RELU_AUTO, RELU_ON, RELU_OFF };
enum { BRANCHES_ALL, BRANCHES_FIRST, BRANCHES_LAST };

typedef struct sftn_options {
    float lambda_t, lambda_kl, lambda_ce, temperature;
    bool t_squared, shared, detach, transform_bn;
    int kl_direction, kl_detach, transform_relu, branches;
} sftn_options;

#define AT(field) offsetof(sftn_options, field)

static const sftn_option sftn_option_table[] = {
    {"lambda-t", SFTN_OPT_FLOAT, AT(lambda_t), 1.0, 0.0, 1000.0,
     "weight of the teacher's cross-entropy (proposed)", NULL, NULL},
    {"lambda-kl", SFTN_OPT_FLOAT, AT(lambda_kl), 3.0, 0.0, 1000.0,
     "weight of the mean divergence between branches and teacher (proposed)", NULL, NULL},
    {"lambda-ce", SFTN_OPT_FLOAT, AT(lambda_ce), 1.0, 0.0, 1000.0,
     "weight of the branches' mean cross-entropy (proposed)", NULL, NULL},
    {"temperature", SFTN_OPT_FLOAT, AT(temperature), 1.0, 0.01, 1000.0,
     "softening of the answers that the divergence compares (proposed)", NULL, NULL},
    {"t-squared", SFTN_OPT_BOOL, AT(t_squared), 1.0, 0.0, 1.0,
     "multiply the divergence by the squared temperature (proposed)", NULL, NULL},
    {"kl-direction", SFTN_OPT_CHOICE, AT(kl_direction), KL_BRANCH, 0.0, 1.0,
     "first operand of the divergence: KL(branch || teacher) or KL(teacher || branch) (proposed)",
     "branch|teacher", NULL},
    {"kl-detach", SFTN_OPT_CHOICE, AT(kl_detach), SIDE_NONE, 0.0, 2.0,
     "side of the divergence that is taken as given: no gradient flows into its answers (proposed)",
     "none|teacher|branch", NULL},
    {"branches", SFTN_OPT_CHOICE, AT(branches), BRANCHES_ALL, 0.0, 2.0,
     "teacher stages that carry a branch: all but the last, the first, or the last but one",
     "all|first|last", NULL},
    {"shared", SFTN_OPT_BOOL, AT(shared), 0.0, 0.0, 1.0,
     "branches share one copy of the student's weights (proposed)", NULL, NULL},
    {"transform-bn", SFTN_OPT_BOOL, AT(transform_bn), 1.0, 0.0, 1.0,
     "batch norm after the transform convolution, which then has no bias (proposed)", NULL, NULL},
    {"transform-relu", SFTN_OPT_CHOICE, AT(transform_relu), RELU_AUTO, 0.0, 2.0,
     "ReLU after the transform; auto: where the student's stages expect it (proposed)",
     "auto|on|off", NULL},
    {"detach", SFTN_OPT_BOOL, AT(detach), 0.0, 0.0, 1.0,
     "cut the branches' gradients off the teacher, for comparison", NULL, NULL},
    SFTN_OPTION_END,
};

/* One convolution of the transform, halving or doubling the map or keeping its size. */
static sftn_value transform_step(const sftn_scope *s, sftn_value x, int64_t target, int filters,
                                 bool bn, bool relu)
{
    const int64_t size = sftn_value_shape(s->g, x).dim[SFTN_H];
    sftn_conv spec = {.filters = filters, .bias = !bn};

    if (size < target) {
        spec.size = 4;
        spec.stride = 2;
        spec.pad = 1;
        x = sftn_nn_conv_transpose(s, "conv", x, spec);
    } else {
        spec.size = size > target ? 3 : 1;
        spec.stride = size > target ? 2 : 1;
        x = sftn_nn_conv(s, "conv", x, spec);
    }
    if (bn)
        x = sftn_nn_batch_norm(s, "bn", x);
    return relu ? sftn_relu(s->g, x) : x;
}

/* Size of the map after the next convolution on the way from `size` to `target`. */
static int64_t next_size(int64_t size, int64_t target)
{
    return size < target ? 2 * size : size > target ? (size + 1) / 2 : size;
}

/*
 * x [N,C,H,W], a teacher's feature, to `want`, the shape of the student's.  The convolution that
 * reaches it is "transform.conv"; those before it in a chain, each with ReLU, are
 * "transform.before1.conv" and so on.
 */
static sftn_value transform(const sftn_scope *branch, const sftn_options *opt, sftn_value x,
                            sftn_shape want, bool preactivated)
{
    const sftn_scope s = sftn_scope_in(branch, "transform");
    const bool relu = opt->transform_relu == RELU_AUTO ? !preactivated
                                                       : opt->transform_relu == RELU_ON;
    const int filters = (int)want.dim[SFTN_C];
    const int64_t target = want.dim[SFTN_H];
    int64_t size = sftn_value_shape(branch->g, x).dim[SFTN_H];

    for (int i = 1; next_size(size, target) != target && i < 16; i++) {
        const sftn_scope before = sftn_scope_in(&s, "before%d", i);

        /* A step that would pass the target reaches no end: the shapes are compared below. */
        if ((size < target) != (next_size(size, target) < target))
            break;
        x = transform_step(&before, x, target, filters, opt->transform_bn, true);
        size = next_size(size, target);
    }
    x = transform_step(&s, x, target, filters, opt->transform_bn, relu);
    const sftn_shape got = sftn_value_shape(branch->g, x);
    if (!sftn_is_none(x) && !sftn_shape_equal(&got, &want)) {
        char from[64], to[64];

        sftn_shape_format(&got, from, sizeof from);
        sftn_shape_format(&want, to, sizeof to);
        return sftn_graph_fail(branch->g,
                               "halving or doubling ends at %s, the student expects %s", from, to);
    }
    return x;
}

/* First and last teacher stage that carry a branch, by option; student stage = stage - shift. */
static void branch_range(const sftn_teacher_args *a, int *first, int *last, int *shift)
{
    const sftn_options *opt = a->options;

    *shift = a->teacher->nstages - a->student->nstages;
    *first = *shift > 0 ? *shift + 1 : 1;
    *last = a->teacher->nstages - 1;
    if (opt->branches == BRANCHES_FIRST)
        *last = *first;
    else if (opt->branches == BRANCHES_LAST)
        *first = *last;
}

/* The branch on teacher stage `stage`, which enters the student after stage `entry`. */
static sftn_taps build_branch(const sftn_teacher_args *a, const sftn_taps *teacher, int stage,
                              int entry, int copy)
{
    const sftn_options *opt = a->options;
    const sftn_scope branch = sftn_scope_in(a->branch_scope, "branch%d", stage);
    const sftn_shape image = sftn_value_shape(a->g, a->image);
    sftn_value x = teacher->stage[stage - 1].feature;
    sftn_scope student;

    if (opt->detach)
        x = sftn_detach(a->g, x);
    x = transform(&branch, opt, x, sftn_model_feature_shape(a->student, image, entry),
                  a->student->preactivated);
    student = sftn_scope_in(a->branch_scope, "branch%d.student", copy);
    return sftn_model_build(a->student, &student, x, a->classes, entry);
}

static sftn_value divergence(const sftn_teacher_args *a, sftn_value branch, sftn_value teacher)
{
    const sftn_options *opt = a->options;
    const float t = opt->temperature;
    sftn_value kl;

    if (opt->detach || opt->kl_detach == SIDE_TEACHER)
        teacher = sftn_detach(a->g, teacher);
    if (opt->kl_detach == SIDE_BRANCH)
        branch = sftn_detach(a->g, branch);
    kl = opt->kl_direction == KL_BRANCH ? sftn_kl_divergence(a->g, branch, teacher, t)
                                        : sftn_kl_divergence(a->g, teacher, branch, t);
    return opt->t_squared || t == 1.0f ? kl : sftn_scale(a->g, kl, 1.0f / (t * t));
}

static void add_terms(const sftn_teacher_args *a, const sftn_taps *teacher,
                      const sftn_branches *b, sftn_terms *terms)
{
    const sftn_options *opt = a->options;
    sftn_graph *g = a->g;
    sftn_value kl[SFTN_MAX_STAGES], ce[SFTN_MAX_STAGES], mean_kl = SFTN_NONE, mean_ce = SFTN_NONE;
    const float share = 1.0f / (float)b->n;

    for (int i = 0; i < b->n; i++) {
        kl[i] = divergence(a, b->taps[i].logits, teacher->logits);
        ce[i] = sftn_cross_entropy(g, b->taps[i].logits, a->labels, a->smoothing);
        mean_kl = i == 0 ? kl[i] : sftn_add(g, mean_kl, kl[i]);
        mean_ce = i == 0 ? ce[i] : sftn_add(g, mean_ce, ce[i]);
    }
    sftn_terms_add(terms, g, opt->lambda_t,
                   sftn_cross_entropy(g, teacher->logits, a->labels, a->smoothing), "ce");
    sftn_terms_add(terms, g, opt->lambda_kl, sftn_scale(g, mean_kl, share), "kl");
    sftn_terms_add(terms, g, opt->lambda_ce, sftn_scale(g, mean_ce, share), "branch_ce");
    for (int i = 1; i <= 2 && terms->n > 2; i++)
        terms->term[terms->n - i].detached = opt->detach;
    for (int i = 0; i < b->n; i++) {
        sftn_terms_add(terms, g, 0.0f, kl[i], "kl.%d", b->stage[i]);
        sftn_terms_add(terms, g, 0.0f, ce[i], "ce.%d", b->stage[i]);
    }
}

static sftn_taps sftn_build(const sftn_teacher_args *a, sftn_terms *terms)
{
    const sftn_options *opt = a->options;
    sftn_taps teacher = sftn_model_build(a->teacher, a->teacher_scope, a->image, a->classes, 0);
    sftn_branches b = {0};
    int first, last, shift;

    branch_range(a, &first, &last, &shift);
    if (opt->detach && opt->kl_detach == SIDE_BRANCH) {
        sftn_graph_fail(a->g, "sftn: with detach and kl-detach branch nothing learns from the "
                              "divergence; expected one of them");
        return teacher;
    }
    if (first > last) {
        sftn_graph_fail(a->g, "sftn: no stage of %s can carry a branch of %s", a->teacher->name,
                        a->student->name);
        return teacher;
    }
    for (int stage = first; stage <= last; stage++, b.n++) {
        b.stage[b.n] = stage;
        b.entry[b.n] = stage - shift;
        b.taps[b.n] = build_branch(a, &teacher, stage, stage - shift,
                                   opt->shared ? first : stage);
    }
    add_terms(a, &teacher, &b, terms);
    if (a->branches)
        *a->branches = b;
    return teacher;
}

const sftn_teacher_scheme sftn_teacher_sftn = {
    .name          = "sftn",
    .summary       = "student branches on the teacher's stages make it easy to imitate",
    .reference     = "Park et al., NeurIPS 2021",
    .options       = sftn_option_table,
    .options_size  = sizeof(sftn_options),
    .needs_student = true,
    .build         = sftn_build,
};
