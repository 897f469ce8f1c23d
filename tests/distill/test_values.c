/*
 * values: losses with options that are not their defaults, against independent computations in
 * double, and what a method remembers.
 */
#include "distill/tapped.h"
#include "op/rows.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { N = 4, K = TAPPED_CLASSES };

/* Rows of softmax(z / t). */
static void softmax(const double *z, double t, double *p)
{
    for (int i = 0; i < N; i++) {
        double sum = 0.0;

        for (int k = 0; k < K; k++)
            sum += exp(z[i * K + k] / t);
        for (int k = 0; k < K; k++)
            p[i * K + k] = exp(z[i * K + k] / t) / sum;
    }
}

/* The loss on logits that are written to s and t; pairs of options and values, ended by NULL. */
static double loss_of_logits(const char *method, const char *const *settings, const double *s,
                             const double *d)
{
    tapped t = tapped_new(method, N, &tapped_student, &tapped_student);
    double loss;

    for (; *settings; settings += 2)
        tapped_set(&t, settings[0], settings[1]);
    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &t.student, &t.teacher));
    tapped_compile(&t, 1);
    net_write(&t.n, "s.logits", s);
    net_write(&t.n, "t.logits", d);
    net_run(&t.n);
    loss = net_scalar(&t.n, "loss");
    tapped_free(&t);
    return loss;
}

static void make_logits(double *s, double *t)
{
    for (int i = 0; i < N * K; i++) {
        s[i] = 2.0 * sin(1.7 * i + 0.3);
        t[i] = 3.0 * cos(2.3 * i) + 0.1 * (i % K);
    }
}

/* ---- dist ---- */

/* Pearson's correlation of n numbers, `stride` apart. */
static double correlation(const double *a, const double *b, int n, int stride)
{
    double ma = 0.0, mb = 0.0, ab = 0.0, aa = 0.0, bb = 0.0;

    for (int i = 0; i < n; i++) {
        ma += a[i * stride] / n;
        mb += b[i * stride] / n;
    }
    for (int i = 0; i < n; i++) {
        const double x = a[i * stride] - ma, y = b[i * stride] - mb;

        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    return ab / (sqrt(aa) * sqrt(bb) + 1e-8);
}

TEST(dist_weighs_the_relation_between_classes_by_beta_and_that_within_one_by_gamma)
{
    static const char *const settings[] = {"temperature", "2", "beta", "5", "gamma", "0.5", NULL};
    double s[N * K], t[N * K], ps[N * K], pt[N * K], between = 1.0, within = 1.0;

    make_logits(s, t);
    softmax(s, 2.0, ps);
    softmax(t, 2.0, pt);
    for (int i = 0; i < N; i++)
        between -= correlation(ps + i * K, pt + i * K, K, 1) / N;
    for (int k = 0; k < K; k++)
        within -= correlation(ps + k, pt + k, N, K) / K;
    CHECK_NEAR(loss_of_logits("dist", settings, s, t), 4.0 * (5.0 * between + 0.5 * within), 1e-7);
}

/* ---- kd, dkd ---- */

static double kl(const double *p, const double *q, int n)
{
    double sum = 0.0;

    for (int i = 0; i < n; i++)
        sum += p[i] * log(p[i] / q[i]);
    return sum;
}

TEST(kd_is_the_teachers_answers_divergence_from_the_students_times_t_squared)
{
    static const char *const settings[] = {"temperature", "2", NULL};
    double s[N * K], t[N * K], ps[N * K], pt[N * K];

    make_logits(s, t);
    softmax(s, 2.0, ps);
    softmax(t, 2.0, pt);
    CHECK_NEAR(loss_of_logits("kd", settings, s, t), 4.0 * kl(pt, ps, N * K) / N, 1e-9);
}

/* Labels are 0, 1, 2, 3. */
TEST(dkd_weighs_the_label_by_alpha_and_the_other_classes_by_beta)
{
    static const char *const settings[] = {"temperature", "2", "alpha", "0.5", "beta", "5", NULL};
    double s[N * K], t[N * K], ps[N * K], pt[N * K], target = 0.0, others = 0.0;

    make_logits(s, t);
    softmax(s, 2.0, ps);
    softmax(t, 2.0, pt);
    for (int i = 0; i < N; i++) {
        const double *a = pt + i * K, *b = ps + i * K;
        const double two_t[2] = {a[i], 1.0 - a[i]}, two_s[2] = {b[i], 1.0 - b[i]};

        target += kl(two_t, two_s, 2);
        for (int k = 0; k < K; k++)
            if (k != i)
                others += a[k] / (1.0 - a[i]) *
                          log(a[k] / (1.0 - a[i]) / (b[k] / (1.0 - b[i])));
    }
    CHECK_NEAR(loss_of_logits("dkd", settings, s, t), 4.0 * (0.5 * target + 5.0 * others) / N,
               1e-6);
}

/* ---- rkd ---- */

enum { DIM = 5 };

static double smooth_l1(double x)
{
    return fabs(x) < 1.0 ? 0.5 * x * x : fabs(x) - 0.5;
}

/* |x_j - x_i| over their mean, and the unit vectors from x_i to x_j, 0 where i = j. */
static void relate(const double *x, double distance[N][N], double unit[N][N][DIM])
{
    double mean = 0.0;

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double square = 0.0;

            for (int k = 0; k < DIM; k++) {
                unit[i][j][k] = x[j * DIM + k] - x[i * DIM + k];
                square += unit[i][j][k] * unit[i][j][k];
            }
            distance[i][j] = sqrt(square);
            mean += distance[i][j] / (N * (N - 1));
            for (int k = 0; k < DIM && i != j; k++)
                unit[i][j][k] /= distance[i][j];
        }
    for (int i = 0; i < N * N; i++)
        distance[i / N][i % N] /= mean;
}

TEST(rkd_adds_distances_and_angles_by_their_factors)
{
    double x[2][N * DIM], distance[2][N][N], unit[2][N][N][DIM], distances = 0.0, angles = 0.0;
    tapped t = tapped_new("rkd", N, &tapped_student, &tapped_student);

    for (int i = 0; i < N * DIM; i++) {
        x[0][i] = 3.0 * sin(1.9 * i);
        x[1][i] = cos(2.7 * i) + 0.4 * i;
    }
    for (int side = 0; side < 2; side++)
        relate(x[side], distance[side], unit[side]);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            distances += smooth_l1(distance[0][i][j] - distance[1][i][j]) / (N * N);
            for (int k = 0; k < N; k++) {
                double angle[2] = {0.0, 0.0};

                for (int side = 0; side < 2; side++)
                    for (int d = 0; d < DIM; d++)
                        angle[side] += unit[side][i][j][d] * unit[side][i][k][d];
                angles += smooth_l1(angle[0] - angle[1]) / (N * N * N);
            }
        }
    tapped_set(&t, "distance", "2");
    tapped_set(&t, "angle", "0.5");
    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &t.student, &t.teacher));
    tapped_compile(&t, 1);
    net_write(&t.n, "s.pooled", x[0]);
    net_write(&t.n, "t.pooled", x[1]);
    net_run(&t.n);
    CHECK_NEAR(net_scalar(&t.n, "loss"), 2.0 * distances + 0.5 * angles, 1e-9);
    CHECK(distances > 0.01 && angles > 0.01);
    tapped_free(&t);
}

/* ---- ab ---- */

/*
 * Preactivations of one pixel of one channel in each of three stages, two images, margin 0.5: the
 * student is 0.7, 0.3 and 0.5 + 2 on the wrong side of the margin, and right in the other places.
 * The last stage counts 0.003, the second half and the first a quarter of that; divided by two.
 */
TEST(ab_halves_the_weight_with_every_stage_before_the_last)
{
    static const tapped_shape one = {{1, 1, 1, 1}, {1, 1, 1, 1}};
    static const double s[3][2] = {{-0.2, 0.6}, {0.2, -0.5}, {-2.0, -1.0}};
    static const double d[3][2] = {{4.0, 1.0}, {0.1, -3.0}, {0.3, 0.0}};
    tapped t = tapped_new("ab", 2, &one, &one);

    tapped_set(&t, "margin", "0.5");
    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &t.student, &t.teacher));
    tapped_compile(&t, 1);
    for (int i = 0; i < 3; i++) {
        static const char *const student[] = {"s.stage1.preact", "s.stage2.preact",
                                              "s.stage3.preact"};
        static const char *const teacher[] = {"t.stage1.preact", "t.stage2.preact",
                                              "t.stage3.preact"};

        net_write(&t.n, student[i], s[i]);
        net_write(&t.n, teacher[i], d[i]);
    }
    net_run(&t.n);
    CHECK_NEAR(net_scalar(&t.n, "loss"),
               0.003 / 2.0 * (0.49 / 4.0 + 0.09 / 2.0 + 6.25), 1e-9);
    tapped_free(&t);
}

/* ---- crd ---- */

enum { RECORDS = 20, NEGATIVES = 3 };

static const float *memory_of(const tapped *t, const char *name)
{
    const int entry = sftn_params_find(t->n.params, name);

    CHECK(entry >= 0);
    return sftn_params_value(t->n.params, entry);
}

/* After one more step, of records 0 .. N-1 of 20, with v instead of embeddings. */
static void check_remembered(const tapped *t, const float *before, const char *name,
                             const char *input, double momentum)
{
    const float *after = memory_of(t, name);
    double v[N * DIM];

    net_read(&t->n, input, v);
    for (int i = 0; i < RECORDS; i++) {
        double mixed[DIM], square = 0.0;

        for (int k = 0; k < DIM; k++) {
            mixed[k] = (double)before[i * DIM + k];
            if (i < N)
                mixed[k] = momentum * mixed[k] + (1.0 - momentum) * v[i * DIM + k];
            square += mixed[k] * mixed[k];
        }
        for (int k = 0; k < DIM; k++)
            CHECK_NEAR((double)after[i * DIM + k], i < N ? mixed[k] / sqrt(square) : mixed[k],
                       1e-6);
    }
}

TEST(crd_keeps_a_share_of_a_records_memory_and_leaves_other_records_as_they_are)
{
    tapped t = tapped_new("crd", N, &tapped_student, &tapped_student);
    float before[2][RECORDS * DIM];

    tapped_set(&t, "dim", "5");
    tapped_set(&t, "negatives", "3");
    tapped_set(&t, "momentum", "0.8");
    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &t.student, &t.teacher));
    sftn_graph_output(t.n.g, "vs", sftn_scale(t.n.g, t.student.pooled, 1.0f));
    sftn_graph_output(t.n.g, "vt", sftn_scale(t.n.g, t.teacher.pooled, 1.0f));
    tapped_compile(&t, 1);
    memcpy(before[0], memory_of(&t, "memory_s"), sizeof before[0]);
    memcpy(before[1], memory_of(&t, "memory_t"), sizeof before[1]);
    net_run(&t.n);
    check_remembered(&t, before[0], "memory_s", "vs", 0.8);
    check_remembered(&t, before[1], "memory_t", "vt", 0.8);
    tapped_free(&t);
}

/*
 * One side of the loss, of embeddings v and a memory M, temperature 0.5: e = exp(<M_j, v> / 0.5),
 * P = e / z, z that of the first step, R times the mean of e; c = K / R.
 */
static double contrast(const tapped *t, const float *memory, const double *v, int64_t step,
                       double *z)
{
    const double c = (double)NEGATIVES / RECORDS;
    double e[N][1 + NEGATIVES], mean = 0.0, sum = 0.0;

    for (int i = 0; i < N; i++) {
        int32_t row[1 + NEGATIVES];

        sftn_draw_row(&(sftn_draws_attr){t->records, NEGATIVES, false, 0}, i, step, row);
        for (int j = 0; j <= NEGATIVES; j++) {
            double dot = 0.0;

            for (int k = 0; k < DIM; k++)
                dot += (double)memory[row[j] * DIM + k] * v[i * DIM + k];
            e[i][j] = exp(dot / 0.5);
            mean += e[i][j] / (N * (1 + NEGATIVES));
        }
    }
    if (*z == 0.0)
        *z = RECORDS * mean;
    for (int i = 0; i < N; i++) {
        sum += log(e[i][0] / *z / (e[i][0] / *z + c + 1e-7));
        for (int j = 1; j <= NEGATIVES; j++)
            sum += log(c / (e[i][j] / *z + c + 1e-7));
    }
    return -sum / N;
}

TEST(crd_tells_records_apart_by_what_it_fixed_in_the_first_step)
{
    tapped t = tapped_new("crd", N, &tapped_student, &tapped_student);
    double v[2][N * DIM], z[2] = {0.0, 0.0};

    tapped_set(&t, "dim", "5");
    tapped_set(&t, "negatives", "3");
    tapped_set(&t, "temperature", "0.5");
    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &t.student, &t.teacher));
    tapped_compile(&t, 1);
    sftn_params_init(t.n.params, 1); /* as it was before the run that compiling made */
    for (int64_t step = 0; step < 2; step++) {
        float memory[2][RECORDS * DIM];
        double expected;

        for (int i = 0; i < N * DIM; i++) {
            v[0][i] = 0.5 * sin(1.3 * i + (double)step);
            v[1][i] = 0.5 * cos(2.1 * i + (double)step);
        }
        memcpy(memory[0], memory_of(&t, "memory_s"), sizeof memory[0]);
        memcpy(memory[1], memory_of(&t, "memory_t"), sizeof memory[1]);
        expected = contrast(&t, memory[1], v[0], step, &z[0]) +
                   contrast(&t, memory[0], v[1], step, &z[1]);
        net_write(&t.n, "s.pooled", v[0]);
        net_write(&t.n, "t.pooled", v[1]);
        net_run(&t.n);
        CHECK_NEAR(net_scalar(&t.n, "loss"), expected, 1e-5);
        CHECK_NEAR((double)memory_of(&t, "z_s")[0], z[0], 1e-5 * z[0]);
        CHECK_NEAR((double)memory_of(&t, "z_t")[0], z[1], 1e-5 * z[1]);
    }
    tapped_free(&t);
}
