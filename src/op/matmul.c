/*
 * matmul: batched matrix product over [B,R,K,1]; either batch may be 1 and is then used for all.
 *
 *     y[b] = op(a[b]) op(b[b]),  op transposing where asked
 */
#include "op/matmul.h"

#include <stdio.h>

static bool infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                  size_t size)
{
    const sftn_matmul_spec *spec = attr;
    const int64_t *a = in[0].shape.dim, *b = in[1].shape.dim;
    const int64_t inner_a = spec->trans_a ? a[1] : a[2], inner_b = spec->trans_b ? b[2] : b[1];
    char ta[96], tb[96];

    (void)nin;
    sftn_shape_format(&in[0].shape, ta, sizeof ta);
    sftn_shape_format(&in[1].shape, tb, sizeof tb);
    if (a[3] != 1 || b[3] != 1) {
        snprintf(why, size, "operands have shapes %s and %s, expected [B,R,K,1]", ta, tb);
        return false;
    }
    if (inner_a != inner_b || (a[0] != b[0] && a[0] != 1 && b[0] != 1)) {
        snprintf(why, size, "operands have shapes %s%s and %s%s, which do not multiply", ta,
                 spec->trans_a ? " (transposed)" : "", tb, spec->trans_b ? " (transposed)" : "");
        return false;
    }
    out[0] = (sftn_type){SFTN_SHAPE(a[0] > b[0] ? a[0] : b[0], spec->trans_a ? a[2] : a[1],
                                    spec->trans_b ? b[1] : b[2], 1), true};
    return true;
}

static void ref(const sftn_ref_args *k)
{
    const sftn_matmul_spec *spec = k->attr;
    const int64_t *a = k->in_type[0].shape.dim, *b = k->in_type[1].shape.dim;
    const int64_t *y = k->out_type[0].shape.dim;
    const int64_t inner = spec->trans_a ? a[1] : a[2];
    /* Elements between neighbouring rows and columns of op(a), op(b). */
    const int64_t ar = spec->trans_a ? 1 : a[2], ac = spec->trans_a ? a[2] : 1;
    const int64_t br = spec->trans_b ? 1 : b[2], bc = spec->trans_b ? b[2] : 1;
    double *dst = k->out[0];

    for (int64_t n = 0; n < y[0]; n++) {
        const double *pa = k->in[0] + (a[0] == 1 ? 0 : n * a[1] * a[2]);
        const double *pb = k->in[1] + (b[0] == 1 ? 0 : n * b[1] * b[2]);

        for (int64_t r = 0; r < y[1]; r++)
            for (int64_t c = 0; c < y[2]; c++) {
                double sum = 0.0;

                for (int64_t i = 0; i < inner; i++)
                    sum += pa[r * ar + i * ac] * pb[i * br + c * bc];
                *dst++ = sum;
            }
    }
}

/* With A = op(a), B = op(b):  dA = G B', dB = A' G; transposed again where a or b was. */
static void grad(sftn_graph *g, const sftn_node *n, const sftn_value *gout, sftn_value *gin)
{
    const sftn_matmul_spec *spec = n->attr;
    const bool ta = spec->trans_a, tb = spec->trans_b;
    const sftn_value a = n->in[0], b = n->in[1], gy = gout[0];

    gin[0] = ta ? sftn_matmul(g, b, gy, (sftn_matmul_spec){tb, true})
                : sftn_matmul(g, gy, b, (sftn_matmul_spec){false, !tb});
    gin[1] = tb ? sftn_matmul(g, gy, a, (sftn_matmul_spec){true, ta})
                : sftn_matmul(g, a, gy, (sftn_matmul_spec){!ta, false});
    for (int i = 0; i < 2; i++)
        gin[i] = sftn_sum_to(g, gin[i], sftn_value_shape(g, n->in[i]));
}

static void print(const void *attr, char *buf, size_t size)
{
    const sftn_matmul_spec *spec = attr;

    snprintf(buf, size, "%s%s%s", spec->trans_a ? "trans_a" : "",
             spec->trans_a && spec->trans_b ? " " : "", spec->trans_b ? "trans_b" : "");
}

const sftn_op sftn_op_matmul = {
    .name      = "matmul",
    .nin       = 2,
    .nout      = 1,
    SFTN_ATTR(sftn_matmul_spec, trans_a, trans_b),
    .infer     = infer,
    .grad      = grad,
    .ref       = ref,
    .print     = print,
};

sftn_value sftn_matmul(sftn_graph *g, sftn_value a, sftn_value b, sftn_matmul_spec spec)
{
    return sftn_append1(g, &sftn_op_matmul, &spec, a, b);
}
