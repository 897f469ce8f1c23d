/*
 * compare: how alike two networks answer: KL divergence of their probabilities in both directions,
 * agreement of their first answers, and linear CKA of pooled features and of logits.
 */
#include "train/cka.h"
#include "train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COMPARE_BATCH = 128, SIDES = 2 };

static const char *const logits_name[SIDES] = {"teacher.logits", "student.logits"};
static const char *const pooled_name[SIDES] = {"teacher.pooled", "student.pooled"};

/* Index 0 is the teacher, 1 the student. */
typedef struct comparison {
    sftn_plan *plan;
    sftn_feed feed;
    sftn_loader *loader;
    int classes;
    int pooled_size[SIDES];
    double *logits[SIDES], *pooled[SIDES]; /* [batch, columns] */
    double *log_p[SIDES];                  /* [classes] */
    sftn_cka cka_pooled, cka_logits;
    double kl[SIDES]; /* kl[0]: KL(teacher || student) */
    int64_t agreed, n;
} comparison;

static sftn_taps build_side(sftn_graph *g, const sftn_network *net, sftn_value image,
                            const sftn_dataset_info *info)
{
    const sftn_scope scope = {.g = g, .params = net->params, .frozen = true};
    const sftn_subject subject = {.model = &net->model, .mean = net->mean, .std = net->std};

    return sftn_model_build(&net->model, &scope, sftn_renormalize(g, image, &subject, info),
                            net->classes, 0);
}

static sftn_status compile(comparison *c, const sftn_network *const net[SIDES],
                           const sftn_dataset_info *info, int64_t batch,
                           const sftn_plan_options *plan, sftn_error *err)
{
    sftn_graph *g = sftn_graph_new();
    const sftn_type type = {.shape = SFTN_SHAPE(batch, info->channels, info->height, info->width)};
    sftn_status status;
    sftn_value image;

    if (!g)
        return sftn_fail(err, SFTN_ERR_MEMORY, "comparison: out of memory");
    image = sftn_graph_input(g, "image", type);
    for (int side = 0; side < SIDES; side++) {
        const sftn_taps taps = build_side(g, net[side], image, info);

        c->pooled_size[side] = (int)sftn_value_shape(g, taps.pooled).dim[SFTN_C];
        sftn_graph_output(g, logits_name[side], taps.logits);
        sftn_graph_output(g, pooled_name[side], taps.pooled);
    }
    status = sftn_graph_status(g, err);
    if (!status)
        status = sftn_plan_new(g, plan, &c->plan, err);
    sftn_graph_free(g);
    return status;
}

static sftn_status open_comparison(comparison *c, const sftn_network *const net[SIDES],
                                   const sftn_dataset *data, sftn_split split,
                                   const sftn_plan_options *plan, sftn_error *err)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(data);
    const int64_t records = info->records[split];
    const int64_t batch = records < COMPARE_BATCH ? records : COMPARE_BATCH;
    sftn_loader_options loader = {.split = split, .threads = 1};
    sftn_status status;

    if (records < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "the data set %s has no records to compare on",
                         info->name);
    c->classes = info->classes;
    status = compile(c, net, info, batch, plan, err);
    for (int side = 0; side < SIDES && !status; side++) {
        c->logits[side] = sftn_calloc((size_t)batch * (size_t)c->classes, sizeof(double));
        c->pooled[side] = sftn_calloc((size_t)batch * (size_t)c->pooled_size[side], sizeof(double));
        c->log_p[side] = sftn_calloc((size_t)c->classes, sizeof(double));
        if (!c->logits[side] || !c->pooled[side] || !c->log_p[side])
            status = sftn_fail(err, SFTN_ERR_MEMORY, "comparison: out of memory");
    }
    if (!status)
        status = sftn_cka_open(&c->cka_pooled, c->pooled_size[0], c->pooled_size[1], err);
    if (!status)
        status = sftn_cka_open(&c->cka_logits, c->classes, c->classes, err);
    if (!status)
        status = sftn_feed_open(&c->feed, c->plan, err);
    if (status)
        return status;
    sftn_feed_loader(&c->feed, &loader);
    return sftn_loader_new(data, &loader, &c->loader, err);
}

static void close_comparison(comparison *c)
{
    sftn_loader_free(c->loader);
    sftn_plan_free(c->plan);
    sftn_cka_close(&c->cka_pooled);
    sftn_cka_close(&c->cka_logits);
    for (int side = 0; side < SIDES; side++) {
        free(c->logits[side]);
        free(c->pooled[side]);
        free(c->log_p[side]);
    }
}

/* ln softmax(z), and the index of the largest entry (the first at ties). */
static int log_softmax(const double *z, int n, double *log_p)
{
    double sum = 0.0;
    int best = 0;

    for (int i = 1; i < n; i++)
        if (z[i] > z[best])
            best = i;
    for (int i = 0; i < n; i++)
        sum += exp(z[i] - z[best]);
    for (int i = 0; i < n; i++)
        log_p[i] = z[i] - z[best] - log(sum);
    return best;
}

static void compare_answers(comparison *c, int64_t row)
{
    int answer[SIDES];

    for (int side = 0; side < SIDES; side++)
        answer[side] = log_softmax(c->logits[side] + row * c->classes, c->classes, c->log_p[side]);
    for (int k = 0; k < c->classes; k++) {
        const double t = c->log_p[0][k], s = c->log_p[1][k];

        c->kl[0] += exp(t) * (t - s);
        c->kl[1] += exp(s) * (s - t);
    }
    c->agreed += answer[0] == answer[1];
    c->n++;
}

static sftn_status compare_batch(comparison *c, sftn_error *err)
{
    const sftn_batch *batch = sftn_loader_next(c->loader);
    sftn_status status = SFTN_OK;

    sftn_feed_write(&c->feed, batch);
    sftn_plan_run(c->plan);
    for (int side = 0; side < SIDES && !status; side++) {
        status = sftn_plan_read(c->plan, logits_name[side], c->logits[side], err);
        if (!status)
            status = sftn_plan_read(c->plan, pooled_name[side], c->pooled[side], err);
    }
    if (status)
        return status;
    for (int64_t i = 0; i < batch->n; i++)
        compare_answers(c, i);
    sftn_cka_add(&c->cka_pooled, c->pooled[0], c->pooled[1], batch->n);
    sftn_cka_add(&c->cka_logits, c->logits[0], c->logits[1], batch->n);
    return SFTN_OK;
}

sftn_status sftn_compare(const sftn_network *teacher, const sftn_network *student,
                         const sftn_dataset *data, sftn_split split, const sftn_plan_options *plan,
                         sftn_similarity *similarity, sftn_error *err)
{
    const sftn_network *const net[SIDES] = {teacher, student};
    comparison c = {0};
    sftn_status status = SFTN_OK;

    *similarity = (sftn_similarity){0};
    for (int side = 0; side < SIDES && !status; side++)
        status = sftn_subject_check(net[side]->model.name, net[side]->classes, net[side]->channels,
                                    net[side]->image_size, sftn_dataset_get_info(data), err);
    if (!status)
        status = open_comparison(&c, net, data, split, plan, err);
    for (int64_t b = 0; !status && b < sftn_loader_batches(c.loader); b++)
        status = compare_batch(&c, err);
    if (!status) {
        const double n = (double)c.n;

        *similarity = (sftn_similarity){
            .n = c.n,
            .kl_teacher_student = c.kl[0] / n,
            .kl_student_teacher = c.kl[1] / n,
            .agreement = 100.0 * (double)c.agreed / n,
            .cka_pooled = sftn_cka_value(&c.cka_pooled),
            .cka_logits = sftn_cka_value(&c.cka_logits),
        };
    }
    close_comparison(&c);
    return status;
}
