/*
 * draws: for each record of a batch its own number, or that of any record of its class, and the
 * numbers of records of other classes.
 *
 * Those are drawn without replacement where there are enough of them, as in the CRD benchmark: a
 * random permutation of 0 .. 2^b - 1 (b bits hold any record), of which numbers that are no record
 * or of the same class are passed over.  Otherwise each is drawn from all of them independently.
 * The numbers depend on (seed, step, record) alone, so that no state has to be kept and any thread
 * may draw.
 */
#include "op/rows.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 4, RECORDS_MAX = 1 << 24 /* whole numbers that a float holds */ };

/* ---- table ---- */

sftn_draw_table *sftn_draw_table_new(int64_t records, const int32_t *class_of, int classes)
{
    sftn_draw_table *t = sftn_calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->records = records;
    t->classes = classes;
    t->class_of = sftn_calloc((size_t)records, sizeof *t->class_of);
    t->class_size = sftn_calloc((size_t)classes, sizeof *t->class_size);
    if (t->class_of == NULL || t->class_size == NULL) {
        sftn_draw_table_free(t);
        return NULL;
    }
    for (int64_t i = 0; i < records; i++) {
        t->class_of[i] = class_of[i];
        t->class_size[class_of[i]]++;
    }
    return t;
}

void sftn_draw_table_free(sftn_draw_table *t)
{
    if (t == NULL)
        return;
    free(t->class_of);
    free(t->class_size);
    free(t);
}

int64_t sftn_draw_table_records(const sftn_draw_table *t)
{
    return t->records;
}

/* ---- drawing ---- */

/* A permutation of the numbers of `bits` bits: multiplications by odd numbers, and shifts. */
typedef struct permutation {
    uint32_t mask, shift;
    uint32_t factor[ROUNDS], offset[ROUNDS];
} permutation;

static permutation make_permutation(int64_t records, sftn_rng *rng)
{
    permutation p = {.mask = 3};
    int bits = 2;

    while ((int64_t)p.mask + 1 < records) {
        p.mask = 2 * p.mask + 1;
        bits++;
    }
    p.shift = (uint32_t)(bits + 1) / 2;
    for (int r = 0; r < ROUNDS; r++) {
        p.factor[r] = sftn_rng_u32(rng) | 1u;
        p.offset[r] = sftn_rng_u32(rng);
    }
    return p;
}

static uint32_t permute(const permutation *p, uint32_t x)
{
    for (int r = 0; r < ROUNDS; r++) {
        x = (x * p->factor[r] + p->offset[r]) & p->mask;
        x ^= x >> p->shift;
    }
    return x;
}

void sftn_draw_row(const sftn_draws_attr *a, int64_t record, int64_t step, int32_t *row)
{
    const sftn_draw_table *t = a->table;
    int64_t n = 0, others;
    int32_t class;
    sftn_rng rng;

    if (record < 0 || record >= t->records) {
        for (int64_t i = 0; i <= a->count; i++)
            row[i] = -1;
        return;
    }
    class = t->class_of[record];
    others = t->records - t->class_size[class];
    rng = sftn_rng_new(a->seed, SFTN_RNG_DRAW, (uint64_t)step << 32 | (uint64_t)record);
    row[0] = (int32_t)record;
    if (a->count <= others) {
        const permutation p = make_permutation(t->records, &rng);

        for (uint32_t i = 0; n < a->count; i++) {
            const uint32_t drawn = permute(&p, i);

            if (drawn < t->records && t->class_of[drawn] != class)
                row[1 + n++] = (int32_t)drawn;
        }
    } else {
        while (n < a->count) {
            const uint32_t drawn = sftn_rng_below(&rng, (uint32_t)t->records);

            if (t->class_of[drawn] != class)
                row[1 + n++] = (int32_t)drawn;
        }
    }
    while (a->relaxed) {
        row[0] = (int32_t)sftn_rng_below(&rng, (uint32_t)t->records);
        if (t->class_of[row[0]] == class)
            break;
    }
}

/* ---- op ---- */

static bool infer(const void *attr, const sftn_type *in, int nin, sftn_type *out, char *why,
                  size_t size)
{
    const sftn_draws_attr *a = attr;
    const int64_t n = in[0].shape.dim[0];
    char record[96], step[96];

    (void)nin;
    sftn_shape_format(&in[0].shape, record, sizeof record);
    sftn_shape_format(&in[1].shape, step, sizeof step);
    if (sftn_shape_count(&in[0].shape) != n || sftn_shape_count(&in[1].shape) != 1) {
        snprintf(why, size, "records have shape %s and the step %s, expected [N,1,1,1] and "
                 "[1,1,1,1]", record, step);
        return false;
    }
    if (a->count < 1 || a->table->records > RECORDS_MAX) {
        snprintf(why, size, "%lld draws from %lld records, expected at least 1 from at most %d",
                 (long long)a->count, (long long)a->table->records, RECORDS_MAX);
        return false;
    }
    for (int c = 0; c < a->table->classes; c++)
        if (a->table->class_size[c] == a->table->records) {
            snprintf(why, size, "all %lld records are of class %d: none of another class to draw",
                     (long long)a->table->records, c);
            return false;
        }
    out[0] = (sftn_type){SFTN_SHAPE(n, 1 + a->count, 1, 1), true};
    return true;
}

static void ref(const sftn_ref_args *k)
{
    const sftn_draws_attr *a = k->attr;
    const int64_t n = k->in_type[0].shape.dim[0], width = 1 + a->count;
    int32_t *row = sftn_calloc((size_t)width, sizeof *row);

    for (int64_t i = 0; row != NULL && i < n; i++) {
        sftn_draw_row(a, (int64_t)k->in[0][i], (int64_t)k->in[1][0], row);
        for (int64_t j = 0; j < width; j++)
            k->out[0][i * width + j] = (double)row[j];
    }
    free(row);
}

static void print(const void *attr, char *buf, size_t size)
{
    const sftn_draws_attr *a = attr;

    snprintf(buf, size, "%lld of %lld%s", (long long)a->count, (long long)a->table->records,
             a->relaxed ? ", relaxed" : "");
}

const sftn_op sftn_op_draws = {
    .name        = "draws",
    .nin         = 2,
    .nout        = 1,
    SFTN_ATTR(sftn_draws_attr, table, count, relaxed, seed),
    .infer       = infer,
    .no_gradient = true,
    .ref         = ref,
    .print       = print,
};

sftn_value sftn_draws(sftn_graph *g, sftn_value record, sftn_value step,
                      const sftn_draw_table *table, int64_t count, bool relaxed, uint64_t seed)
{
    const sftn_draws_attr attr = {
        .table = table, .count = count, .relaxed = relaxed, .seed = seed};
    const sftn_value in[] = {record, step};

    return sftn_append(g, &sftn_op_draws, &attr, in, 2);
}
