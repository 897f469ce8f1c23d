/*
 * eigh: eigenvalues and eigenvectors of a batch of symmetric matrices, (a + a') / 2 = V diag(w) V'.
 *
 * Values come largest first; a vector's entry of largest magnitude (the first of several) is
 * positive.  Gradient, with F_ij = 1 / (w_j - w_i) for i != j and 0 on the diagonal:
 *
 *     da = V (diag(gw) + F o (V' gV)) V',   made symmetric
 *
 * Where two values agree to 1e-7 of the largest magnitude, their vectors are not determined, and F
 * is taken as 0: what moves within their common space has no gradient.
 */
#include "op/eigh.h"

#include <math.h>
#include <stdio.h>

static bool infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                  size_t size)
{
    const int64_t *a = in[0].shape.dim;

    (void)attr, (void)nin;
    out[0] = (sftn_type){SFTN_SHAPE(a[0], a[1], 1, 1), true};
    out[1] = (sftn_type){in[0].shape, true};
    if (a[1] != a[2] || a[3] != 1) {
        char text[96];

        sftn_shape_format(&in[0].shape, text, sizeof text);
        snprintf(why, size, "matrices have shape %s, expected [B,n,n,1]", text);
        return false;
    }
    return true;
}

/*
 * ---- reference ----
 *
 * Jacobi rotations of the vectors alone: the entries v_p' A v_q of the rotated matrix are computed
 * from A itself, so that no copy of it is needed and no error builds up in one.
 */

/* v_p' A v_q for columns p and q of v, A the symmetric part of a. */
static double entry(const double *a, const double *v, int64_t n, int64_t p, int64_t q)
{
    double sum = 0.0;

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            sum += 0.5 * (a[i * n + j] + a[j * n + i]) * v[i * n + p] * v[j * n + q];
    return sum;
}

/* Rotate columns p and q so that their entry becomes 0; false where it is below `least`. */
static bool rotate(const double *a, double *v, int64_t n, int64_t p, int64_t q, double least)
{
    const double apq = entry(a, v, n, p, q);
    double theta, t, c, s;

    if (!(fabs(apq) > least))
        return false;
    theta = (entry(a, v, n, q, q) - entry(a, v, n, p, p)) / (2.0 * apq);
    t = (theta < 0.0 ? -1.0 : 1.0) / (fabs(theta) + sqrt(theta * theta + 1.0));
    c = 1.0 / sqrt(t * t + 1.0);
    s = t * c;
    for (int64_t k = 0; k < n; k++) {
        const double x = v[k * n + p], y = v[k * n + q];

        v[k * n + p] = c * x - s * y;
        v[k * n + q] = s * x + c * y;
    }
    return true;
}

/* Convergence is quadratic: a matrix of any size takes far fewer than 60 rounds. */
static void rotate_all(const double *a, double *v, int64_t n)
{
    double norm = 0.0;
    bool rotated = true;

    for (int64_t i = 0; i < n * n; i++)
        norm += a[i] * a[i];
    norm = sqrt(norm);
    for (int round = 0; round < 60 && rotated; round++) {
        rotated = false;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++)
                rotated = rotate(a, v, n, p, q, 1e-16 * norm) || rotated;
    }
}

static void swap_columns(double *w, double *v, int64_t n, int64_t i, int64_t j)
{
    const double held = w[i];

    w[i] = w[j];
    w[j] = held;
    for (int64_t k = 0; k < n; k++) {
        const double x = v[k * n + i];

        v[k * n + i] = v[k * n + j];
        v[k * n + j] = x;
    }
}

/* The sign that is promised. */
static void orient_column(double *v, int64_t n, int64_t i)
{
    double largest = 0.0;

    for (int64_t k = 0; k < n; k++)
        if (fabs(v[k * n + i]) > fabs(largest))
            largest = v[k * n + i];
    for (int64_t k = 0; largest < 0.0 && k < n; k++)
        v[k * n + i] = -v[k * n + i];
}

static void ref1(const double *a, double *w, double *v, int64_t n)
{
    for (int64_t i = 0; i < n * n; i++)
        v[i] = i % (n + 1) == 0 ? 1.0 : 0.0;
    rotate_all(a, v, n);
    for (int64_t i = 0; i < n; i++)
        w[i] = entry(a, v, n, i, i);
    for (int64_t i = 0; i < n; i++) {
        int64_t best = i;

        for (int64_t j = i + 1; j < n; j++)
            best = w[j] > w[best] ? j : best;
        swap_columns(w, v, n, i, best);
        orient_column(v, n, i);
    }
}

static void ref(const sftn_ref_args *k)
{
    const int64_t batch = k->in_type[0].shape.dim[0], n = k->in_type[0].shape.dim[1];

    for (int64_t b = 0; b < batch; b++)
        ref1(k->in[0] + b * n * n, k->out[0] + b * n, k->out[1] + b * n * n, n);
}

/* ---- gradient ---- */

/* 1 / (w_j - w_i) where the two differ, else 0; [B,n(i),n(j),1]. */
static sftn_value inverse_gaps(sftn_graph *g, sftn_value w)
{
    const sftn_shape s = sftn_value_shape(g, w);
    const int64_t batch = s.dim[0], n = s.dim[1];
    const sftn_value across = sftn_reshape(g, w, SFTN_SHAPE(batch, 1, n, 1));
    const sftn_value gap = sftn_sub(g, across, w);
    const sftn_value largest = sftn_max(g, sftn_abs(g, w), SFTN_AXIS_C);
    const sftn_value apart = sftn_greater(g, sftn_abs(g, gap), sftn_scale(g, largest, 1e-7f));
    const sftn_value together = sftn_shift(g, sftn_neg(g, apart), 1.0f);

    return sftn_mul(g, apart, sftn_reciprocal(g, sftn_add(g, gap, together)));
}

static void grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    static const int transpose[] = {0, 2, 1, 3};
    const sftn_value w = n->out[0], v = n->out[1];
    sftn_value in_v = SFTN_NONE, da;

    /* V (M V') with M = F o (V' gV), and V (gw o V'). */
    if (!sftn_is_none(gout[1])) {
        in_v = sftn_matmul(g, v, gout[1], (sftn_matmul_spec){.trans_a = true});
        in_v = sftn_mul(g, inverse_gaps(g, w), in_v);
        in_v = sftn_matmul(g, in_v, v, (sftn_matmul_spec){.trans_b = true});
    }
    if (!sftn_is_none(gout[0])) {
        const sftn_value of_values = sftn_mul(g, gout[0], sftn_permute(g, v, transpose));

        in_v = sftn_is_none(in_v) ? of_values : sftn_add(g, in_v, of_values);
    }
    da = sftn_matmul(g, v, in_v, (sftn_matmul_spec){0});
    gin[0] = sftn_scale(g, sftn_add(g, da, sftn_permute(g, da, transpose)), 0.5f);
    gin[0] = sftn_cast(g, gin[0], sftn_value_type(g, n->in[0]).wide);
}

const sftn_op sftn_op_eigh = {
    .name  = "eigh",
    .nin   = 1,
    .nout  = 2,
    .infer = infer,
    .grad  = grad,
    .ref   = ref,
};

void sftn_eigh(sftn_graph *g, sftn_value a, sftn_value *values, sftn_value *vectors)
{
    *values = sftn_append1(g, &sftn_op_eigh, NULL, a, SFTN_NONE);
    *vectors = sftn_node_out(g, *values, 1);
}
