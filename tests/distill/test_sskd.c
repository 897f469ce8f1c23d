/*
 * sskd: the loss against its definition, computed here row by row with the rows that count sorted;
 * the heads; what is refused.
 */
#include "distill/tapped.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 5, VIEWS = 4, TURNED = 3 * N, K = TAPPED_CLASSES, D = 5 };

/* What both networks say of every row, and cosines of turned rows with normal ones. */
typedef struct said {
    double logits[VIEWS * N * K], feature[VIEWS * N * D], cosine[TURNED * N];
} said;

static void compare_features(said *s)
{
    for (int i = 0; i < TURNED; i++)
        for (int j = 0; j < N; j++) {
            const double *a = &s->feature[(N + i) * D], *b = &s->feature[j * D];
            double ab = 0.0, aa = 0.0, bb = 0.0;

            for (int d = 0; d < D; d++) {
                ab += a[d] * b[d];
                aa += a[d] * a[d];
                bb += b[d] * b[d];
            }
            s->cosine[i * N + j] = ab / sqrt(aa * bb);
        }
}

/* KL(softmax(p / t) || softmax(q / t)) of one row of n. */
static double divergence(const double *p, const double *q, int n, double t)
{
    double zp = 0.0, zq = 0.0, sum = 0.0;

    for (int k = 0; k < n; k++) {
        zp += exp(p[k] / t);
        zq += exp(q[k] / t);
    }
    for (int k = 0; k < n; k++)
        sum += exp(p[k] / t) / zp * (p[k] / t - log(zp) - q[k] / t + log(zq));
    return sum;
}

static int rank_of(const double *x, int n, int right)
{
    int rank = 0;

    for (int k = 0; k < n; k++)
        rank += x[k] > x[right];
    return rank;
}

typedef struct place {
    int rank, row;
} place;

static int by_rank(const void *a, const void *b)
{
    const place *x = a, *y = b;

    return x->rank != y->rank ? x->rank - y->rank : x->row - y->row;
}

/* T^2 times the mean over turned rows that count; row i is right where it says i % period. */
static double chosen_mean(const double *p, const double *q, int n, int period, double t,
                          double keep)
{
    place order[TURNED];
    double sum = 0.0;
    int right = 0, count;

    for (int i = 0; i < TURNED; i++) {
        order[i] = (place){rank_of(p + i * n, n, i % N % period), i};
        right += order[i].rank == 0;
    }
    qsort(order, TURNED, sizeof *order, by_rank);
    count = right + (int)((TURNED - right) * keep);
    for (int i = 0; i < count; i++)
        sum += divergence(p + order[i].row * n, q + order[i].row * n, n, t);
    return count ? t * t * sum / count : 0.0;
}

/* The loss by definition; weights 0.9, 2.7, 10. */
static double expected_loss(const said *s, const said *t, double keep_answers, double keep_likeness)
{
    double normal = 0.0;

    for (int i = 0; i < N; i++)
        normal += 16.0 / N * divergence(&t->logits[i * K], &s->logits[i * K], K, 4.0);
    return 0.9 * normal +
           2.7 * chosen_mean(&t->logits[N * K], &s->logits[N * K], K, K, 4.0, keep_answers) +
           10.0 * chosen_mean(t->cosine, s->cosine, N, N, 0.5, keep_likeness);
}

static void draw(double *x, int n, double size, unsigned *state)
{
    for (int i = 0; i < n; i++) {
        *state = *state * 1664525u + 1013904223u;
        x[i] = size * ((double)(*state >> 8) / 8388608.0 - 1.0);
    }
}

/* Both networks' values at random, the graph's inputs set to them. */
static void set_said(const tapped *t, said *student, said *teacher, unsigned state)
{
    draw(student->logits, VIEWS * N * K, 4.0, &state);
    draw(teacher->logits, VIEWS * N * K, 4.0, &state);
    draw(student->feature, VIEWS * N * D, 1.0, &state);
    draw(teacher->feature, VIEWS * N * D, 1.0, &state);
    compare_features(student);
    compare_features(teacher);
    net_write(&t->n, "s.logits", student->logits);
    net_write(&t->n, "t.logits", teacher->logits);
    net_write(&t->n, "s.pooled", student->feature);
    net_write(&t->n, "t.pooled", teacher->feature);
}

TEST(the_loss_is_that_of_the_rows_the_teacher_ranks_best)
{
    static const char *const keeps[] = {"0", "0.2", "0.5", "0.7", "0.75", "1"};

    for (int k = 0; k < 6; k++) {
        tapped t = tapped_new("sskd", N, &tapped_student, &tapped_student);

        tapped_set(&t, "turned-keep", keeps[5 - k]);
        tapped_set(&t, "similarity-keep", keeps[k]);
        sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &t.student, &t.teacher));
        tapped_compile(&t, 1);
        for (unsigned seed = 1; seed <= 20; seed++) {
            said s, d;

            set_said(&t, &s, &d, seed);
            net_run(&t.n);
            CHECK_NEAR(net_scalar(&t.n, "loss"),
                       expected_loss(&s, &d, atof(keeps[5 - k]), atof(keeps[k])), 1e-5);
        }
        tapped_free(&t);
    }
}

TEST(a_teacher_that_is_wrong_everywhere_and_a_share_of_0_leave_the_normal_views)
{
    tapped t = tapped_new("sskd", N, &tapped_student, &tapped_student);
    said s, d;
    double normal = 0.0;

    tapped_set(&t, "turned-keep", "0");
    tapped_set(&t, "similarity-keep", "0");
    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &t.student, &t.teacher));
    tapped_compile(&t, 1);
    set_said(&t, &s, &d, 3);
    for (int i = 0; i < VIEWS * N; i++) {
        d.logits[i * K + i % N % K] = -9.0;
        /* Every normal view has a direction of its own; a turned one has the next image's. */
        for (int k = 0; k < D; k++)
            d.feature[i * D + k] = k == (i < N ? i : i + 1) % D;
    }
    net_write(&t.n, "t.logits", d.logits);
    net_write(&t.n, "t.pooled", d.feature);
    net_run(&t.n);
    for (int i = 0; i < N; i++)
        normal += 16.0 / N * divergence(&d.logits[i * K], &s.logits[i * K], K, 4.0);
    CHECK_NEAR(net_scalar(&t.n, "loss"), 0.9 * normal, 1e-6);
    tapped_free(&t);
}

/* -mean ln softmax(S_t) at the row's own image, S_t of the features as they are. */
TEST(before_the_labels_the_teachers_views_are_told_apart)
{
    tapped t = tapped_new("sskd", N, &tapped_student, &tapped_student);
    double expected = 0.0;
    said d;

    t.phase = t.method->phase;
    sftn_graph_output(t.n.g, "loss", tapped_loss(&t, &t.student, &t.teacher));
    tapped_compile(&t, 1);
    draw(d.feature, VIEWS * N * D, 1.0, &(unsigned){5});
    net_write(&t.n, "t.pooled", d.feature);
    compare_features(&d);
    for (int i = 0; i < TURNED; i++) {
        double sum = 0.0;

        for (int j = 0; j < N; j++)
            sum += exp(d.cosine[i * N + j]);
        expected -= (d.cosine[i * N + i % N] - log(sum)) / TURNED;
    }
    net_run(&t.n);
    CHECK_NEAR(net_scalar(&t.n, "loss"), expected, 1e-6);
    tapped_free(&t);
}

/* The heads' entries of both phases, and which of them the main loss trains. */
TEST(the_students_head_learns_and_the_teachers_stays_as_the_phase_left_it)
{
    tapped t = tapped_new("sskd", N, &tapped_student, &tapped_wider);
    sftn_error err = {.status = SFTN_OK};

    CHECK_OK(sftn_graph_backward(t.n.g, tapped_build(&t, NULL), NULL, &err), &err);
    tapped_compile(&t, 1);
    net_run(&t.n);
    CHECK(net_grad_norm(&t.n, "head_s.0.weight") > 0.0);
    CHECK(net_grad_norm(&t.n, "head_s.2.weight") > 0.0);
    CHECK(net_grad_norm(&t.n, "head_t.0.weight") == 0.0);
    CHECK_INT(sftn_params_get(t.n.params, sftn_params_find(t.n.params, "head_s.2.weight"))->count,
              5 * 5);
    CHECK_INT(sftn_params_get(t.n.params, sftn_params_find(t.n.params, "head_t.2.weight"))->count,
              8 * 8);
    tapped_free(&t);
}

TEST(other_pairs_than_answers_and_features_are_refused)
{
    tapped t = tapped_new("sskd", 2, &tapped_student, &tapped_student);
    sftn_error err;

    CHECK(sftn_is_none(tapped_build(&t, "logits")));
    CHECK_FAILS(sftn_graph_status(t.n.g, &err), SFTN_ERR_ARGUMENT, &err,
                "1 pairs of taps; sskd compares two, answers and then features");
    tapped_free(&t);
}

TEST(a_batch_without_turned_views_is_refused)
{
    tapped t = tapped_new("sskd", 2, &tapped_student, &tapped_student);
    sftn_error err;

    t.labels = net_input(&t.n, "more labels", 8, 1, 1, 1);
    CHECK(sftn_is_none(tapped_build(&t, NULL)));
    CHECK_FAILS(sftn_graph_status(t.n.g, &err), SFTN_ERR_ARGUMENT, &err,
                "a batch of 8 images for 8 labels; sskd needs four views of each");
    tapped_free(&t);
}
