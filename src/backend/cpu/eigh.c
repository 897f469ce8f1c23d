/*
 * eigh: eigenvalues and eigenvectors of a batch of symmetric matrices, one matrix at a time on a
 * thread, in double: Householder's reflections to tridiagonal form, then implicit QL steps with
 * Wilkinson's shift (Golub and Van Loan, chapter 8).  The vectors are kept as rows, so that every
 * inner loop runs along memory.
 */
#include "backend/cpu/cpu.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct eigh_kernel {
    sftn_cpu *cpu;
    int64_t batch, n;
} eigh_kernel;

/* Memory of one thread: a matrix, its vectors, its two diagonals, two vectors. */
typedef struct scratch {
    double *a, *rows, *d, *e, *u, *p;
} scratch;

static int64_t scratch_doubles(int64_t n)
{
    return 2 * n * n + 4 * n;
}

static scratch scratch_of(double *memory, int64_t n)
{
    scratch s = {.a = memory, .rows = memory + n * n, .d = memory + 2 * n * n};

    s.e = s.d + n;
    s.u = s.e + n;
    s.p = s.u + n;
    return s;
}

static double dot(const double *x, const double *y, int64_t n)
{
    double sum = 0.0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* y += factor x */
static void add_scaled(double *y, const double *x, double factor, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += factor * x[i];
}

/*
 * Reflect so that row k keeps two entries, A := H A H with H = I - b u u': the trailing block loses
 * u w' + w u' with p = b A u, w = p - b (u'p) u / 2; the rows become H rows.
 */
static void reflect(const scratch *s, int64_t k, int64_t n)
{
    const int64_t m = n - k - 1; /* of the trailing block, which begins at k + 1 */
    double *x = s->a + k * n + k + 1, *u = s->u, *p = s->p;
    const double norm = sqrt(dot(x, x, m));
    double b, half;

    s->e[k] = x[0];
    if (norm == fabs(x[0]))
        return;
    memcpy(u, x, (size_t)m * sizeof *u);
    u[0] += x[0] < 0.0 ? -norm : norm;
    s->e[k] = x[0] < 0.0 ? norm : -norm;
    b = 2.0 / dot(u, u, m);
    for (int64_t i = 0; i < m; i++)
        p[i] = b * dot(s->a + (k + 1 + i) * n + k + 1, u, m);
    half = 0.5 * b * dot(u, p, m);
    add_scaled(p, u, -half, m);
    for (int64_t i = 0; i < m; i++) {
        double *row = s->a + (k + 1 + i) * n + k + 1;

        add_scaled(row, p, -u[i], m);
        add_scaled(row, u, -p[i], m);
    }
    memset(p, 0, (size_t)n * sizeof *p);
    for (int64_t i = 0; i < m; i++)
        add_scaled(p, s->rows + (k + 1 + i) * n, b * u[i], n);
    for (int64_t i = 0; i < m; i++)
        add_scaled(s->rows + (k + 1 + i) * n, p, -u[i], n);
}

static void tridiagonalize(const scratch *s, int64_t n)
{
    memset(s->rows, 0, (size_t)(n * n) * sizeof *s->rows);
    for (int64_t i = 0; i < n; i++)
        s->rows[i * n + i] = 1.0;
    for (int64_t k = 0; k + 1 < n; k++)
        reflect(s, k, n);
    s->e[n - 1] = 0.0;
    for (int64_t i = 0; i < n; i++)
        s->d[i] = s->a[i * n + i];
}

/* Rows x and y turned by the angle of c and sine. */
static void turn(double *x, double *y, double c, double sine, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double f = y[i];

        y[i] = sine * x[i] + c * f;
        x[i] = c * x[i] - sine * f;
    }
}

/* One implicit QL step on the unreduced block l .. m. */
static void ql_step(const scratch *s, int64_t l, int64_t m, int64_t n)
{
    double *d = s->d, *e = s->e;
    double g = (d[l + 1] - d[l]) / (2.0 * e[l]);
    double sine = 1.0, c = 1.0, p = 0.0;

    g = d[m] - d[l] + e[l] / (g + copysign(hypot(g, 1.0), g));
    for (int64_t i = m - 1; i >= l; i--) {
        const double f = sine * e[i], b = c * e[i];
        double r = hypot(f, g);

        e[i + 1] = r;
        if (r == 0.0) {
            d[i + 1] -= p;
            e[m] = 0.0;
            return;
        }
        sine = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * sine + 2.0 * c * b;
        p = sine * r;
        d[i + 1] = g + p;
        g = c * r - b;
        turn(s->rows + i * n, s->rows + (i + 1) * n, c, sine, n);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0.0;
}

/* A value takes two steps or so; what is not finite is given up after `most`. */
static void diagonalize(const scratch *s, int64_t n)
{
    const int most = 60;

    for (int64_t l = 0; l < n; l++)
        for (int step = 0; step < most; step++) {
            int64_t m = l;

            while (m + 1 < n &&
                   !(fabs(s->e[m]) <= DBL_EPSILON * (fabs(s->d[m]) + fabs(s->d[m + 1]))))
                m++;
            if (m == l)
                break;
            ql_step(s, l, m, n);
        }
}

/* Values largest first; the largest entry of a vector positive. */
static void put_sorted(const scratch *s, int64_t n, float *values, float *vectors)
{
    for (int64_t j = 0; j < n; j++) {
        int64_t best = j, top = 0;
        double sign;

        for (int64_t i = j + 1; i < n; i++)
            best = s->d[i] > s->d[best] ? i : best;
        values[j] = (float)s->d[best];
        for (int64_t k = 1; k < n; k++)
            if (fabs(s->rows[best * n + k]) > fabs(s->rows[best * n + top]))
                top = k;
        sign = s->rows[best * n + top] < 0.0 ? -1.0 : 1.0;
        for (int64_t k = 0; k < n; k++) {
            vectors[k * n + j] = (float)(sign * s->rows[best * n + k]);
            s->rows[best * n + k] = s->rows[j * n + k];
        }
        s->d[best] = s->d[j];
    }
}

typedef struct eigh_call {
    const eigh_kernel *k;
    const float *a;
    float *values, *vectors;
    double *workspace;
} eigh_call;

static void eigh_part(void *ctx, int64_t first, int64_t last, int thread)
{
    const eigh_call *call = ctx;
    const int64_t n = call->k->n;
    const scratch s = scratch_of(call->workspace + thread * scratch_doubles(n), n);

    for (int64_t b = first; b < last; b++) {
        const float *a = call->a + b * n * n;

        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                s.a[i * n + j] = 0.5 * ((double)a[i * n + j] + (double)a[j * n + i]);
        tridiagonalize(&s, n);
        diagonalize(&s, n);
        put_sorted(&s, n, call->values + b * n, call->vectors + b * n * n);
    }
}

static const char *eigh_run(void *state, void *const *in, void *const *out, void *workspace)
{
    const eigh_kernel *k = state;
    eigh_call call = {k, in[0], out[0], out[1], workspace};

    sftn_cpu_parallel(k->cpu->threads, k->batch, 1, k->batch * k->n * k->n * k->n, eigh_part,
                      &call);
    return NULL;
}

sftn_status sftn_cpu_eigh(sftn_cpu *cpu, sftn_kernel_request *r, sftn_kernel *kernel,
                          sftn_error *err)
{
    const sftn_shape *shape = &r->in_type[0].shape;
    eigh_kernel *k = sftn_calloc(1, sizeof *k);

    if (k == NULL)
        return sftn_cpu_out_of_memory("eigh", err);
    r->in[0] = sftn_desc_of(shape, SFTN_F32, SFTN_NCHW);
    for (int i = 0; i < 2; i++)
        r->out[i] = sftn_desc_of(&r->out_type[i].shape, SFTN_F32, SFTN_NCHW);
    *k = (eigh_kernel){.cpu = cpu, .batch = shape->dim[SFTN_N], .n = shape->dim[SFTN_C]};
    *kernel = (sftn_kernel){
        .name = "eigh householder ql",
        .state = k,
        .run = eigh_run,
        .destroy = free,
        .workspace = (size_t)cpu->threads * (size_t)scratch_doubles(k->n) * sizeof(double),
        .flops = 9.0 * (double)k->batch * (double)k->n * (double)k->n * (double)k->n,
    };
    return SFTN_OK;
}
