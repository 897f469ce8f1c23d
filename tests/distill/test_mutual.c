/*
 * mutual: what networks learn from one another, against the definitions computed here, and
 * gradients against finite differences.
 */
#include "net.h"
#include "sftn/mutual.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4, K = 5, PEERS = 3 };

typedef struct peers {
    net n;
    void *options;
    double z[PEERS][N * K];
    int label[N];
} peers;

static double random_unit(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-52 - 1.0;
}

/* "NAME=VALUE,NAME=VALUE"; NULL: none. */
static void set_options(const sftn_mutual *m, void *options, const char *settings)
{
    sftn_error err = {0};
    char text[100], *rest = text, *name;

    snprintf(text, sizeof text, "%s", settings ? settings : "");
    while ((name = strsep(&rest, ",")) != NULL && *name) {
        char *value = strchr(name, '=');

        *value++ = '\0';
        CHECK_OK(sftn_options_set(m->options, options, name, value, &err), &err);
    }
}

/* Losses "loss0", ... of all networks, and gradients "gI.J" of the i-th by the j-th's logits. */
static peers peers_new(const char *method, const char *settings)
{
    peers p = {.n = net_new()};
    sftn_error err = {0};
    const sftn_mutual *m = sftn_mutual_find(method, &err);
    const sftn_scope root = net_scope(&p.n, true), own = sftn_scope_in(&root, "%s", method);
    sftn_mutual_args args = {.g = p.n.g, .scope = &own, .n = PEERS, .classes = K};
    const bool attached = settings && strstr(settings, "detach=false");
    uint64_t state = 5;
    double labels[N];
    char name[16];

    CHECK(m != NULL);
    args.options = p.options = calloc(1, m->options_size);
    sftn_options_default(m->options, p.options);
    set_options(m, p.options, settings);
    for (int i = 0; i < PEERS; i++) {
        snprintf(name, sizeof name, "z%d", i);
        args.logits[i] = net_input(&p.n, name, N, K, 1, 1);
    }
    args.labels = net_input(&p.n, "labels", N, 1, 1, 1);
    for (int i = 0; i < PEERS; i++) {
        const sftn_value loss = m->loss(&args, i);
        sftn_value grad[PEERS];

        CHECK_OK(sftn_graph_gradients(p.n.g, loss, args.logits, PEERS, grad, &err), &err);
        for (int j = 0; j < PEERS; j++)
            CHECK(sftn_is_none(grad[j]) == (i != j && !attached));
        snprintf(name, sizeof name, "loss%d", i);
        sftn_graph_output(p.n.g, name, loss);
        snprintf(name, sizeof name, "g%d", i);
        sftn_graph_output(p.n.g, name, grad[i]);
    }
    sftn_params_init(p.n.params, 1);
    net_compile(&p.n);
    for (int i = 0; i < PEERS; i++) {
        for (int k = 0; k < N * K; k++)
            p.z[i][k] = 3.0 * random_unit(&state);
        snprintf(name, sizeof name, "z%d", i);
        net_write(&p.n, name, p.z[i]);
    }
    for (int n = 0; n < N; n++)
        labels[n] = p.label[n] = (2 * n + 1) % K;
    if (sftn_plan_input(p.n.plan, "labels"))
        net_write(&p.n, "labels", labels);
    return p;
}

static void peers_free(peers *p)
{
    net_free(&p->n);
    free(p->options);
}

/* T^2 times the mean over rows of KL(softmax(p / T) || softmax(q / T)). */
static double divergence(const double *p, const double *q, double t)
{
    double sum = 0.0;

    for (int n = 0; n < N; n++) {
        double zp = 0.0, zq = 0.0;

        for (int k = 0; k < K; k++) {
            zp += exp(p[n * K + k] / t);
            zq += exp(q[n * K + k] / t);
        }
        for (int k = 0; k < K; k++) {
            const double a = exp(p[n * K + k] / t) / zp, b = exp(q[n * K + k] / t) / zq;

            sum += a * log(a / b);
        }
    }
    return t * t * sum / N;
}

static void check_losses(peers *p, const double expected[PEERS])
{
    char name[16];

    net_run(&p->n);
    for (int i = 0; i < PEERS; i++) {
        snprintf(name, sizeof name, "loss%d", i);
        CHECK_NEAR(net_scalar(&p->n, name), expected[i], 1e-12);
    }
}

/* The gradient of network i's loss by its own logits; the others' answers do not move. */
static void check_gradients(peers *p)
{
    const double h = 1e-5;

    for (int i = 0; i < PEERS; i++) {
        char z[16], loss[16], g[16];
        double grad[N * K];

        snprintf(z, sizeof z, "z%d", i);
        snprintf(loss, sizeof loss, "loss%d", i);
        snprintf(g, sizeof g, "g%d", i);
        net_run(&p->n);
        net_read(&p->n, g, grad);
        for (int k = 0; k < N * K; k++) {
            const double at = p->z[i][k];
            double up, down;

            p->z[i][k] = at + h;
            net_write(&p->n, z, p->z[i]);
            net_run(&p->n);
            up = net_scalar(&p->n, loss);
            p->z[i][k] = at - h;
            net_write(&p->n, z, p->z[i]);
            net_run(&p->n);
            down = net_scalar(&p->n, loss);
            p->z[i][k] = at;
            net_write(&p->n, z, p->z[i]);
            CHECK_NEAR(grad[k], (up - down) / (2.0 * h), 1e-8);
        }
    }
}

TEST(default_settings_are_the_papers_or_those_documented)
{
    static const char *const settings[][3] = {
        {"dml", "temperature", "1"}, {"kdcl", "temperature", "2"}, {"kdcl", "ensemble", "minlogit"},
        {"kdcl", "steps", "20"},     {"kdcl", "ridge", "0.01"},    {"kdcl", "detach", "true"}};
    sftn_error err = {0};

    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const sftn_mutual *m = sftn_mutual_find(settings[i][0], &err);
        void *options = calloc(1, m->options_size);
        char text[32];

        CHECK_NEAR(m->weight, 1.0, 0.0);
        sftn_options_default(m->options, options);
        sftn_options_format(sftn_options_find(m->options, settings[i][1]), options, text,
                            sizeof text);
        CHECK_TEXT(text, settings[i][2]);
        free(options);
    }
}

TEST(dml_is_the_mean_divergence_from_the_others)
{
    peers p = peers_new("dml", NULL);
    double expected[PEERS];

    for (int i = 0; i < PEERS; i++) {
        const int j = (i + 1) % PEERS, k = (i + 2) % PEERS;

        expected[i] = (divergence(p.z[j], p.z[i], 1.0) + divergence(p.z[k], p.z[i], 1.0)) / 2.0;
    }
    check_losses(&p, expected);
    check_gradients(&p);
    peers_free(&p);
}

TEST(kdcl_takes_the_smallest_logits_relative_to_the_labels)
{
    peers p = peers_new("kdcl", NULL);
    double together[N * K], expected[PEERS];

    for (int n = 0; n < N; n++)
        for (int k = 0; k < K; k++) {
            double *least = &together[n * K + k];

            *least = INFINITY;
            for (int i = 0; i < PEERS; i++)
                *least = fmin(*least, p.z[i][n * K + k] - p.z[i][n * K + p.label[n]]);
        }
    for (int i = 0; i < PEERS; i++)
        expected[i] = divergence(together, p.z[i], 2.0);
    check_losses(&p, expected);
    peers_free(&p);
}

TEST(kdcl_naive_takes_each_images_best_answer)
{
    peers p = peers_new("kdcl", "ensemble=naive");
    double together[N * K], expected[PEERS];

    for (int n = 0; n < N; n++) {
        double best = -INFINITY;

        for (int i = 0; i < PEERS; i++) {
            const double *z = &p.z[i][n * K];
            double sum = 0.0;

            for (int k = 0; k < K; k++)
                sum += exp(z[k]);
            if (z[p.label[n]] - log(sum) <= best)
                continue;
            best = z[p.label[n]] - log(sum);
            for (int k = 0; k < K; k++)
                together[n * K + k] = z[k];
        }
    }
    for (int i = 0; i < PEERS; i++)
        expected[i] = divergence(together, p.z[i], 2.0);
    check_losses(&p, expected);
    peers_free(&p);
}

/* Mean over rows of -ln softmax(sum of a_i z_i) at the label. */
static double cross_entropy(const peers *p, const double a[PEERS])
{
    double loss = 0.0;

    for (int n = 0; n < N; n++) {
        double sum = 0.0, own = 0.0;

        for (int k = 0; k < K; k++) {
            double z = 0.0;

            for (int i = 0; i < PEERS; i++)
                z += a[i] * p->z[i][n * K + k];
            sum += exp(z);
            own = k == p->label[n] ? z : own;
        }
        loss += (log(sum) - own) / N;
    }
    return loss;
}

/* The smallest on a fine grid of weights. */
static double smallest_cross_entropy(const peers *p)
{
    enum { FINE = 200 };
    double least = INFINITY;

    for (int i = 0; i <= FINE; i++)
        for (int j = 0; i + j <= FINE; j++) {
            const double a[PEERS] = {(double)i / FINE, (double)j / FINE,
                                     (double)(FINE - i - j) / FINE};

            least = fmin(least, cross_entropy(p, a));
        }
    return least;
}

/* At T = 1 what network 0 is drawn to is softmax(z_0) - N gradient: its cross-entropy. */
static double cross_entropy_together(const peers *p)
{
    double grad[N * K], loss = 0.0;

    net_run(&p->n);
    net_read(&p->n, "g0", grad);
    for (int n = 0; n < N; n++) {
        const double *z = &p->z[0][n * K];
        const int own = p->label[n];
        double sum = 0.0;

        for (int k = 0; k < K; k++)
            sum += exp(z[k]);
        loss -= log(exp(z[own]) / sum - N * grad[n * K + own]) / N;
    }
    return loss;
}

TEST(kdcl_linear_finds_the_batchs_best_weighted_mean)
{
    static const struct {
        const char *settings;
        double above; /* of the way down from equal weights */
    } cases[] = {{"ensemble=linear,temperature=1,steps=1", 0.9},
                 {"ensemble=linear,temperature=1", 0.05},
                 {"ensemble=linear,temperature=1,steps=200", 0.001}};
    static const double equal[PEERS] = {1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0};
    double last = INFINITY;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        peers p = peers_new("kdcl", cases[i].settings);
        const double least = smallest_cross_entropy(&p), start = cross_entropy(&p, equal);
        const double found = cross_entropy_together(&p);

        CHECK(start - least > 0.01);
        CHECK(found < last && found < start);
        if (!(found - least <= cases[i].above * (start - least)))
            test_fail(__FILE__, __LINE__, "%s: %.6f, from %.6f, the smallest is %.6f",
                      cases[i].settings, found, start, least);
        last = found;
        peers_free(&p);
    }
}

/* Equal weights to begin with, then those that the state holds. */
TEST(kdcl_general_weighs_all_answers_by_its_state)
{
    static const float weights[][PEERS] = {{1.0f / 3.0f, 1.0f / 3.0f, 1.0f / 3.0f},
                                           {0.5f, 0.75f, -0.25f}};
    peers p = peers_new("kdcl", "ensemble=general");
    const int index = sftn_params_find(p.n.params, "kdcl.weights");

    CHECK_INT(sftn_params_count(p.n.params), 1);
    CHECK(index >= 0 && sftn_params_get(p.n.params, index)->kind == SFTN_PARAM_STATE);
    for (int c = 0; c < 2; c++) {
        float *w = sftn_params_value(p.n.params, index);
        double together[N * K] = {0.0}, expected[PEERS];

        for (int i = 0; i < PEERS; i++) {
            if (c == 0)
                CHECK_NEAR((double)w[i], (double)weights[0][i], 0.0);
            w[i] = weights[c][i];
            for (int k = 0; k < N * K; k++)
                together[k] += (double)weights[c][i] * p.z[i][k];
        }
        for (int i = 0; i < PEERS; i++)
            expected[i] = divergence(together, p.z[i], 2.0);
        check_losses(&p, expected);
    }
    peers_free(&p);
}

/* d/dz of T^2 KL(p || softmax(z / T)) = T (softmax(z / T) - p) / N, the target being a constant. */
TEST(kdcl_has_no_gradient_through_what_all_answer_together)
{
    peers p = peers_new("kdcl", "ensemble=naive");
    double grad[PEERS][N * K];
    char name[16];

    net_run(&p.n);
    for (int i = 0; i < PEERS; i++) {
        snprintf(name, sizeof name, "g%d", i);
        net_read(&p.n, name, grad[i]);
    }
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K; k++) {
            double q[2], target[2];

            for (int i = 0; i < 2; i++) {
                const double *z = &p.z[i][n * K];
                double sum = 0.0;

                for (int c = 0; c < K; c++)
                    sum += exp(z[c] / 2.0);
                q[i] = exp(z[k] / 2.0) / sum;
                target[i] = q[i] - grad[i][n * K + k] * N / 2.0;
            }
            CHECK_NEAR(target[0], target[1], 1e-12);
        }
    peers_free(&p);
}

TEST(equal_answers_have_nothing_to_learn)
{
    static const char *const methods[][2] = {
        {"dml", NULL},
        {"kdcl", NULL},
        {"kdcl", "ensemble=naive"},
        {"kdcl", "ensemble=linear"},
        {"kdcl", "ensemble=general"},
    };

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        peers p = peers_new(methods[i][0], methods[i][1]);
        static const double none[PEERS] = {0.0, 0.0, 0.0};

        net_write(&p.n, "z1", p.z[0]);
        net_write(&p.n, "z2", p.z[0]);
        check_losses(&p, none);
        peers_free(&p);
    }
}

TEST(kdcl_reaches_the_networks_that_answer_where_it_is_told_to)
{
    static const char *const ensemble[] = {"minlogit", "naive", "linear", "general"};
    char settings[2][64], name[16];

    for (int k = 0; k < 4; k++) {
        peers p[2];

        for (int i = 0; i < 2; i++) {
            snprintf(settings[i], sizeof settings[i], "ensemble=%s%s", ensemble[k],
                     i ? ",detach=false" : "");
            p[i] = peers_new("kdcl", settings[i]);
            net_run(&p[i].n);
        }
        for (int i = 0; i < PEERS; i++) {
            snprintf(name, sizeof name, "loss%d", i);
            CHECK_NEAR(net_scalar(&p[1].n, name), net_scalar(&p[0].n, name), 1e-12);
        }
        peers_free(&p[0]);
        peers_free(&p[1]);
    }
}
