/*
 * compare: a teacher beside one student, or beside its own branches: how good each one's answers
 * are, KL divergence of their probabilities in both directions, agreement of first answers, and
 * linear CKA of logits, pooled features and stages.
 *
 * All are built into one graph and run on the same batches.  A stage's feature [N,C,H,W] enters CKA
 * as C cells^2 columns, averages over a grid of cells: 1 compares channel means, the map's own size
 * the flattened map.
 */
#include "train/answers.h"
#include "train/cka.h"
#include "train/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COMPARE_BATCH = 128,
    MAX_PARTIES = SFTN_MAX_STAGES + 1, /* the teacher and its branches */
    MAX_TAPS = SFTN_MAX_STAGES + 2,    /* stages, pooled, logits */
    MAX_COLUMNS = 8192,                /* of one side of a CKA: half a GiB for their products */
    DEFAULT_BINS = 15,
};

/* Columns of a batch, an output of the graph. */
typedef struct columns {
    char name[32];
    int n;
    double *value; /* [batch, n] */
} columns;

/* A tap of the teacher and one of a student. */
typedef struct tap_pair {
    char teacher_name[24], student_name[24];
    columns teacher, student;
    sftn_cka cka;
} tap_pair;

/* One network. */
typedef struct party {
    char name[48];
    columns logits;
    double *log_p; /* [classes] */
    int answer;
    sftn_answer_sums sums;
    /* Beside the teacher. */
    sftn_likeness likeness;
    int npairs;
    tap_pair pair[MAX_TAPS];
} party;

/* What builds the networks: taps[0] of the teacher, then those of the others; how many. */
typedef struct source {
    const void *ctx;
    int (*build)(const void *ctx, sftn_graph *g, sftn_value image, const sftn_dataset_info *info,
                 sftn_taps *taps, char (*names)[48]);
} source;

typedef struct panel {
    sftn_plan *plan;
    sftn_feed feed;
    sftn_loader *loader;
    int64_t batch;
    int classes, n;
    party party[MAX_PARTIES];
} panel;

/* ---- building ---- */

static sftn_value build_columns(sftn_graph *g, sftn_value x, int cells)
{
    const int64_t size = sftn_value_shape(g, x).dim[SFTN_H];

    return sftn_flatten(g, size > cells ? sftn_adaptive_avg_pool2d(g, x, cells, cells) : x);
}

static void publish(sftn_graph *g, columns *c, sftn_value x, const char *format, int party_index,
                    int pair)
{
    snprintf(c->name, sizeof c->name, format, party_index, pair);
    c->n = (int)sftn_value_shape(g, x).dim[SFTN_C];
    sftn_graph_output(g, c->name, x);
}

static void add_pair(sftn_graph *g, panel *p, int i, const char *teacher_name, sftn_value teacher,
                     const char *student_name, sftn_value student)
{
    party *of = &p->party[i];
    tap_pair *pair = &of->pair[of->npairs];

    snprintf(pair->teacher_name, sizeof pair->teacher_name, "%s", teacher_name);
    snprintf(pair->student_name, sizeof pair->student_name, "%s", student_name);
    publish(g, &pair->teacher, teacher, "party%d.pair%d.teacher", i, of->npairs);
    publish(g, &pair->student, student, "party%d.pair%d.student", i, of->npairs);
    of->npairs++;
}

/* Stages that both publish, from the deep end; then what every network has. */
static void add_pairs(sftn_graph *g, panel *p, int i, const sftn_taps *teacher,
                      const sftn_taps *student, int cells)
{
    const int shift = teacher->nstages - student->nstages;

    for (int s = 0; s < student->nstages && cells > 0; s++) {
        char of_teacher[24], of_student[24];

        if (s + shift < 0 || sftn_is_none(student->stage[s].feature))
            continue;
        snprintf(of_teacher, sizeof of_teacher, "stage%d", s + shift + 1);
        snprintf(of_student, sizeof of_student, "stage%d", s + 1);
        add_pair(g, p, i, of_teacher, build_columns(g, teacher->stage[s + shift].feature, cells),
                 of_student, build_columns(g, student->stage[s].feature, cells));
    }
    add_pair(g, p, i, "pooled", teacher->pooled, "pooled", student->pooled);
    add_pair(g, p, i, "logits", teacher->logits, "logits", student->logits);
}

static sftn_status compile(panel *p, const source *from, const sftn_dataset_info *info,
                           const sftn_compare_options *o, sftn_error *err)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_type type = {
        .shape = SFTN_SHAPE(p->batch, info->channels, info->height, info->width)};
    sftn_taps taps[MAX_PARTIES] = {0};
    char names[MAX_PARTIES][48];
    sftn_status status;

    if (!g)
        return sftn_fail(err, SFTN_ERR_MEMORY, "comparison: out of memory");
    p->n = from->build(from->ctx, g, sftn_graph_input(g, "image", type), info, taps, names);
    for (int i = 0; i < p->n; i++) {
        memcpy(p->party[i].name, names[i], sizeof names[i]);
        publish(g, &p->party[i].logits, taps[i].logits, "party%d.logits", i, 0);
        if (i > 0)
            add_pairs(g, p, i, &taps[0], &taps[i], o->cells);
    }
    status = sftn_graph_status(g, err);
    if (!status)
        status = sftn_plan_new(g, &o->plan, &p->plan, err);
    sftn_graph_free(g);
    return status;
}

static sftn_value renormalize(sftn_graph *g, sftn_value image, const sftn_network *net,
                              const sftn_dataset_info *info)
{
    const sftn_subject subject = {.model = &net->model, .mean = net->mean, .std = net->std};

    return sftn_renormalize(g, image, &subject, info);
}

static int build_networks(const void *ctx, sftn_graph *g, sftn_value image,
                          const sftn_dataset_info *info, sftn_taps *taps, char (*names)[48])
{
    const sftn_network *const *net = ctx;

    for (int i = 0; i < 2; i++) {
        const sftn_scope scope = {.g = g, .params = net[i]->params, .frozen = true};

        taps[i] = sftn_model_build(&net[i]->model, &scope, renormalize(g, image, net[i], info),
                                   net[i]->classes, 0);
        snprintf(names[i], sizeof names[i], "%s", net[i]->model.name);
    }
    return 2;
}

/* The scheme that trained the branches builds them; its loss terms reach no output. */
static int build_branches(const void *ctx, sftn_graph *g, sftn_value image,
                          const sftn_dataset_info *info, sftn_taps *taps, char (*names)[48])
{
    const sftn_branched *b = ctx;
    const sftn_scope teacher = {.g = g, .params = b->teacher.params, .frozen = true};
    const sftn_scope branch = {.g = g, .params = b->job.params[1], .frozen = true};
    const int64_t n = sftn_value_shape(g, image).dim[SFTN_N];
    sftn_branches branches = {0};
    sftn_terms terms = {0};
    const sftn_teacher_args args = {
        .g = g,
        .teacher_scope = &teacher,
        .branch_scope = &branch,
        .teacher = &b->teacher.model,
        .student = &b->student,
        .image = renormalize(g, image, &b->teacher, info),
        .labels = sftn_graph_input(g, "labels",
                                   (sftn_type){.shape = SFTN_SHAPE(n, 1, 1, 1), .wide = true}),
        .classes = b->teacher.classes,
        .options = b->scheme_options,
        .branches = &branches,
    };

    taps[0] = b->scheme->build(&args, &terms);
    snprintf(names[0], sizeof names[0], "%s", b->teacher.model.name);
    for (int i = 0; i < branches.n; i++) {
        taps[i + 1] = branches.taps[i];
        snprintf(names[i + 1], sizeof names[i + 1], "branch%d", branches.stage[i]);
    }
    return branches.n + 1;
}

/* ---- memory ---- */

static bool allocate(columns *c, int64_t batch)
{
    c->value = sftn_calloc((size_t)batch * (size_t)c->n, sizeof *c->value);
    return c->value != NULL;
}

static sftn_status open_pair(tap_pair *pair, int64_t batch, sftn_error *err)
{
    const columns *wider = pair->teacher.n > pair->student.n ? &pair->teacher : &pair->student;

    if (wider->n > MAX_COLUMNS)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "CKA of %s and %s: %d columns, expected at most %d; average the stages to "
                         "fewer cells",
                         pair->teacher_name, pair->student_name, wider->n, MAX_COLUMNS);
    if (!allocate(&pair->teacher, batch) || !allocate(&pair->student, batch))
        return sftn_fail(err, SFTN_ERR_MEMORY, "comparison: out of memory");
    return sftn_cka_open(&pair->cka, pair->teacher.n, pair->student.n, err);
}

static sftn_status open_panel(panel *p, const source *from, const sftn_dataset *data,
                              const sftn_compare_options *o, sftn_error *err)
{
    static const char *const split_name[] = {
        [SFTN_TRAIN] = "training", [SFTN_VALIDATION] = "validation", [SFTN_TEST] = "test"};
    const sftn_dataset_info *info = sftn_dataset_get_info(data);
    const int64_t records = info->records[o->split];
    sftn_loader_options loader = {.split = o->split, .threads = 1};
    sftn_status status;

    if (records < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "the data set %s has no %s records to compare on",
                         info->name, split_name[o->split]);
    p->batch = records < COMPARE_BATCH ? records : COMPARE_BATCH;
    p->classes = info->classes;
    status = compile(p, from, info, o, err);
    for (int i = 0; i < p->n && !status; i++) {
        party *of = &p->party[i];

        of->log_p = sftn_calloc((size_t)p->classes, sizeof *of->log_p);
        if (!of->log_p || !allocate(&of->logits, p->batch))
            status = sftn_fail(err, SFTN_ERR_MEMORY, "comparison: out of memory");
        if (!status)
            status = sftn_answer_sums_open(&of->sums, p->classes,
                                           o->bins ? o->bins : DEFAULT_BINS, err);
        for (int k = 0; k < of->npairs && !status; k++)
            status = open_pair(&of->pair[k], p->batch, err);
    }
    if (!status)
        status = sftn_feed_open(&p->feed, p->plan, err);
    if (status)
        return status;
    sftn_feed_loader(&p->feed, &loader);
    return sftn_loader_new(data, &loader, &p->loader, err);
}

static void close_panel(panel *p)
{
    sftn_loader_free(p->loader);
    sftn_plan_free(p->plan);
    for (int i = 0; i < p->n; i++) {
        party *of = &p->party[i];

        for (int k = 0; k < of->npairs; k++) {
            free(of->pair[k].teacher.value);
            free(of->pair[k].student.value);
            sftn_cka_close(&of->pair[k].cka);
        }
        free(of->logits.value);
        free(of->log_p);
        sftn_answer_sums_close(&of->sums);
    }
    free(p);
}

/* ---- running ---- */

static sftn_status read_columns(const panel *p, const columns *c, sftn_error *err)
{
    return sftn_plan_read(p->plan, c->name, c->value, err);
}

static void add_image(panel *p, int64_t row, int label)
{
    const party *teacher = &p->party[0];

    for (int i = 0; i < p->n; i++) {
        party *of = &p->party[i];

        of->answer = sftn_answer(of->logits.value + row * p->classes, p->classes, of->log_p);
        sftn_answer_sums_add(&of->sums, of->log_p, of->answer, label);
        if (i > 0)
            sftn_likeness_add(&of->likeness, teacher->log_p, of->log_p, p->classes,
                              of->answer == teacher->answer);
    }
}

static sftn_status add_batch(panel *p, sftn_error *err)
{
    const sftn_batch *batch = sftn_loader_next(p->loader);
    sftn_status status;

    sftn_feed_write(&p->feed, batch);
    status = sftn_plan_run(p->plan, err);
    for (int i = 0; i < p->n && !status; i++)
        status = read_columns(p, &p->party[i].logits, err);
    for (int64_t r = 0; r < batch->n && !status; r++)
        add_image(p, r, (int)batch->labels[r]);
    for (int i = 0; i < p->n; i++) {
        for (int k = 0; k < p->party[i].npairs && !status; k++) {
            tap_pair *pair = &p->party[i].pair[k];

            status = read_columns(p, &pair->teacher, err);
            if (!status)
                status = read_columns(p, &pair->student, err);
            if (!status)
                sftn_cka_add(&pair->cka, pair->teacher.value, pair->student.value, batch->n);
        }
    }
    return status;
}

static void conclude(const party *of, sftn_comparison *c)
{
    const sftn_likeness *l = &of->likeness;
    const double n = (double)l->n;

    *c = (sftn_comparison){
        .answers = sftn_answer_sums_value(&of->sums),
        .similarity = {.n = l->n,
                       .kl_teacher_student = l->kl_teacher_student / n,
                       .kl_student_teacher = l->kl_student_teacher / n,
                       .agreement = 100.0 * (double)l->agreed / n,
                       .cka_pooled = sftn_cka_value(&of->pair[of->npairs - 2].cka),
                       .cka_logits = sftn_cka_value(&of->pair[of->npairs - 1].cka)},
        .ntaps = of->npairs - 2,
    };
    memcpy(c->name, of->name, sizeof c->name);
    for (int k = 0; k < c->ntaps; k++) {
        memcpy(c->tap[k].teacher, of->pair[k].teacher_name, sizeof c->tap[k].teacher);
        memcpy(c->tap[k].student, of->pair[k].student_name, sizeof c->tap[k].student);
        c->tap[k].cka = sftn_cka_value(&of->pair[k].cka);
    }
}

static sftn_status compare(const source *from, const sftn_dataset *data,
                           const sftn_compare_options *o, sftn_answers *teacher,
                           sftn_comparison *list, int *n, sftn_error *err)
{
    panel *p = sftn_calloc(1, sizeof *p);
    sftn_status status;

    if (!p)
        return sftn_fail(err, SFTN_ERR_MEMORY, "comparison: out of memory");
    status = open_panel(p, from, data, o, err);
    for (int64_t b = 0; !status && b < sftn_loader_batches(p->loader); b++)
        status = add_batch(p, err);
    if (!status) {
        *teacher = sftn_answer_sums_value(&p->party[0].sums);
        *n = p->n - 1;
        for (int i = 0; i < *n; i++)
            conclude(&p->party[i + 1], &list[i]);
    }
    close_panel(p);
    return status;
}

static sftn_status check(const sftn_network *net, const sftn_dataset *data, sftn_error *err)
{
    return sftn_subject_check(net->model.name, net->classes, net->channels, net->image_size,
                              sftn_dataset_get_info(data), err);
}

sftn_status sftn_compare_networks(const sftn_network *teacher, const sftn_network *student,
                                  const sftn_dataset *data, const sftn_compare_options *options,
                                  sftn_answers *teacher_answers, sftn_comparison *comparison,
                                  sftn_error *err)
{
    const sftn_network *const net[2] = {teacher, student};
    const source from = {.ctx = net, .build = build_networks};
    sftn_status status = check(teacher, data, err);
    int n;

    if (!status)
        status = check(student, data, err);
    if (!status)
        status = compare(&from, data, options, teacher_answers, comparison, &n, err);
    return status;
}

sftn_status sftn_compare_branches(const sftn_branched *teacher, const sftn_dataset *data,
                                  const sftn_compare_options *options,
                                  sftn_answers *teacher_answers, sftn_comparison *list, int *n,
                                  sftn_error *err)
{
    const source from = {.ctx = teacher, .build = build_branches};
    sftn_status status = check(&teacher->teacher, data, err);

    if (!status)
        status = compare(&from, data, options, teacher_answers, list, n, err);
    return status;
}

sftn_status sftn_compare(const sftn_network *teacher, const sftn_network *student,
                         const sftn_dataset *data, sftn_split split, const sftn_plan_options *plan,
                         sftn_similarity *similarity, sftn_error *err)
{
    const sftn_compare_options options = {.split = split, .plan = *plan};
    sftn_answers answers;
    sftn_comparison c;
    sftn_status status =
        sftn_compare_networks(teacher, student, data, &options, &answers, &c, err);

    *similarity = status ? (sftn_similarity){0} : c.similarity;
    return status;
}
