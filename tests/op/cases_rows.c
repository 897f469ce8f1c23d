/* cases_rows: rows of a table picked by number, and drawn numbers. */
#include "op/case_family.h"
#include "op/rows.h"

#define BUILD(name, expression)                                                                    \
    static sftn_value name(sftn_graph *g, const sftn_value *in, const void *arg)                   \
    {                                                                                              \
        (void)arg;                                                                                 \
        return (expression);                                                                       \
    }

enum { RECORDS = 12 };

static int32_t class_of[RECORDS] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 2, 2, 2};
static int64_t class_size[] = {3, 3, 6};
static const sftn_draw_table table = {RECORDS, 3, class_of, class_size};

BUILD(dot, sftn_rows_dot(g, in[1], in[0], in[2]))
BUILD(mix, sftn_rows_mix(g, in[1], in[0], in[2]))
BUILD(replace, sftn_rows_replace(g, in[1], in[0], in[2]))
BUILD(few_draws, sftn_draws(g, in[0], in[1], &table, 6, false, 7))
BUILD(many_draws, sftn_draws(g, in[0], in[1], &table, 40, true, 7))

static const struct rows_case {
    const char *name;
    sftn_value (*build)(sftn_graph *g, const sftn_value *in, const void *arg);
    sftn_shape rows, table, x;
    bool wide;
} rows_cases[] = {
    {"rows_dot", dot, {{3, 5, 1, 1}}, {{RECORDS, 7, 1, 1}}, {{3, 7, 1, 1}}, true},
    {"rows_dot", dot, {{2, 300, 1, 1}}, {{RECORDS, 131, 1, 1}}, {{2, 131, 1, 1}}, false},
    {"rows_mix", mix, {{3, 5, 1, 1}}, {{RECORDS, 7, 1, 1}}, {{3, 5, 1, 1}}, true},
    {"rows_mix", mix, {{2, 300, 1, 1}}, {{RECORDS, 147, 1, 1}}, {{2, 300, 1, 1}}, false},
    {"rows_replace", replace, {{3, 1, 1, 1}}, {{RECORDS, 7, 1, 1}}, {{3, 7, 1, 1}}, true},
};

enum { TABLES = SFTN_COUNT(rows_cases) };

static int rows_count(void)
{
    return TABLES + 2;
}

static void rows_get(int i, op_case *c)
{
    if (i >= TABLES) {
        op_case_name_add(c, i == TABLES ? "draws, few" : "draws, many");
        op_case_input_add(c, SFTN_SHAPE(5, 1, 1, 1), true, OP_FILL_LABELS);
        op_case_input_add(c, SFTN_SHAPE(1, 1, 1, 1), true, OP_FILL_LABELS);
        c->in[0].classes = c->in[1].classes = RECORDS;
        c->build = i == TABLES ? few_draws : many_draws;
    } else {
        const struct rows_case *row = &rows_cases[i];

        op_case_name_add(c, "%s", row->name);
        op_case_input_add(c, row->rows, true, OP_FILL_LABELS);
        c->in[0].classes = RECORDS;
        op_case_input_add(c, row->table, true, OP_FILL_SIGNED);
        op_case_input_add(c, row->x, row->wide, OP_FILL_SIGNED);
        c->build = row->build;
        c->grad = row->build == replace ? 0u : 4u;
    }
    op_case_name_shapes(c);
}

const op_case_family op_cases_rows = {rows_count, rows_get};
