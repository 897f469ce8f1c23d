/*
 * mutual: the job of training several networks together by a collaborative method (mutual.h).
 *
 *     L = sum over networks i of CE(z_i, labels) + weight * loss_i
 *
 * Where the method says so, network i sees view i of the batch's images, else all see the same.
 *
 * The first network is the job's own, "model"; the others are its peers, "peer2", "peer3", ...
 * Network i begins with the seed plus i, so that equal networks do not stay equal.  State of the
 * method's own is in a further store, "method".
 */
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct mutual {
    sftn_mutual_options opt; /* pointers into what follows, or to registries */
    sftn_model network[SFTN_MAX_PEERS];
    void *method_options;
    sftn_params *params[SFTN_MAX_PEERS], *method_params;
    const sftn_mutual_survey *survey; /* of the method; NULL: none */
} mutual;

static const char *const store_name[SFTN_MAX_PEERS] = {"model", "peer2", "peer3", "peer4"};

/* "NAME", or "NAME.peer2". */
static void add_term(sftn_job_graph *jg, int i, const char *name, double weight, sftn_value value,
                     int group)
{
    sftn_terms_add(&jg->terms, jg->g, (float)weight, value, "%s%s%s", name, i ? "." : "",
                   i ? store_name[i] : "");
    if (jg->terms.n > 0) {
        jg->terms.term[jg->terms.n - 1].group = group;
        jg->terms.term[jg->terms.n - 1].network = i;
    }
}

/* What network i sees. */
static sftn_value view_of(const mutual *m, const sftn_job_graph *jg, int i)
{
    const int64_t n = sftn_value_shape(jg->g, jg->labels).dim[SFTN_N];

    return m->opt.method->own_views ? sftn_slice(jg->g, jg->image, SFTN_N, i * n, n) : jg->image;
}

/* The method's own place in g, in training or with all parameters frozen. */
static sftn_scope own_scope(const mutual *m, sftn_graph *g, bool training)
{
    const sftn_scope root = {
        .g = g, .params = m->method_params, .training = training, .frozen = !training};

    return sftn_scope_in(&root, "%s", m->opt.method->name);
}

/* What the method is given, but for the answers. */
static sftn_mutual_args args_for(const mutual *m, const sftn_scope *own, sftn_value labels)
{
    return (sftn_mutual_args){.g = own->g,
                              .scope = own,
                              .n = m->opt.n,
                              .labels = labels,
                              .classes = m->opt.classes,
                              .options = m->method_options};
}

/* The answers of network i, in training or not as the method's own scope is. */
static sftn_value answers(const mutual *m, const sftn_scope *own, int i, sftn_value image)
{
    const sftn_scope scope = {.g = own->g,
                              .params = m->params[i],
                              .training = own->training,
                              .frozen = own->frozen,
                              .label = store_name[i]};

    return sftn_model_build(&m->network[i], &scope, image, m->opt.classes, 0).logits;
}

static void mutual_build(void *self, sftn_job_graph *jg)
{
    const mutual *m = self;
    const sftn_scope own = own_scope(m, jg->g, true);
    sftn_mutual_args args = args_for(m, &own, jg->labels);

    for (int i = 0; i < m->opt.n; i++)
        args.logits[i] = answers(m, &own, i, view_of(m, jg, i));
    sftn_graph_set_scope(jg->g, "loss");
    for (int i = 0; i < m->opt.n; i++) {
        add_term(jg, i, "ce", 1.0,
                 sftn_cross_entropy(jg->g, args.logits[i], jg->labels, m->opt.smoothing), 0);
        add_term(jg, i, m->opt.method->name, m->opt.weight, m->opt.method->loss(&args, i), 1);
    }
    jg->logits = args.logits[0];
}

static sftn_value mutual_row(void *self, sftn_graph *g, sftn_value image, sftn_value labels)
{
    const mutual *m = self;
    const sftn_scope own = own_scope(m, g, false);
    sftn_mutual_args args = args_for(m, &own, labels);

    for (int i = 0; i < m->opt.n; i++)
        args.logits[i] = answers(m, &own, i, image);
    sftn_graph_set_scope(g, m->opt.method->name);
    return m->survey->row(&args);
}

static void mutual_settle(void *self, const double *mean, float *entry)
{
    const mutual *m = self;

    m->survey->settle(m->method_options, m->opt.n, mean, entry);
}

static void mutual_free(void *self)
{
    mutual *m = self;

    for (int i = 0; i < SFTN_MAX_PEERS; i++)
        sftn_params_free(m->params[i]);
    sftn_params_free(m->method_params);
    free(m->method_options);
    free(m);
}

static sftn_status check(const sftn_mutual_options *o, sftn_error *err)
{
    if (!o->method || o->n < 2 || o->n > SFTN_MAX_PEERS)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "collaborative training of %d networks, expected a method and 2 to %d",
                         o->n, SFTN_MAX_PEERS);
    if (!isfinite(o->weight) || o->weight < 0.0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "the weight of the method %s is %g, expected 0 or more", o->method->name,
                         o->weight);
    return sftn_job_check(o->classes, o->channels, o->image_size, o->smoothing, err);
}

static sftn_status describe(const mutual *m, sftn_job *job, sftn_error *err)
{
    const sftn_mutual_options *o = &m->opt;
    struct json_object *d = json_object_new_object();
    bool ok = sftn_describe_text(d, "task", "mutual") &&
              sftn_describe_text(d, "student", m->network[0].name);

    for (int i = 1; ok && i < o->n; i++)
        ok = sftn_describe_text(d, store_name[i], m->network[i].name);
    ok = ok && sftn_describe_text(d, "method", o->method->name) &&
         sftn_describe_number(d, "method-weight", o->weight) &&
         sftn_describe_options(d, "method-options", o->method->options, m->method_options) &&
         sftn_describe_integer(d, "classes", o->classes) &&
         sftn_describe_integer(d, "channels", o->channels) &&
         sftn_describe_integer(d, "image-size", o->image_size) &&
         sftn_describe_number(d, "smoothing", (double)o->smoothing) &&
         sftn_describe_integer(d, "job-seed", (int64_t)o->seed);
    return sftn_describe_job(job, d, ok, err);
}

/* Copies of all that the options point to, and empty stores. */
static sftn_status fill(mutual *m, sftn_job *job, const sftn_mutual_options *o, sftn_error *err)
{
    m->opt = *o;
    m->method_options =
        sftn_options_copy(o->method->options, o->options, o->method->options_size);
    m->method_params = sftn_params_new();
    for (int i = 0; i < o->n; i++) {
        m->network[i] = *o->network[i];
        m->params[i] = sftn_params_new();
        if (!m->params[i] || !m->method_params || !m->method_options)
            return sftn_fail(err, SFTN_ERR_MEMORY, "collaborative training: out of memory");
        sftn_job_store(job, store_name[i], m->params[i]);
        if (i > 0)
            job->peer[i] = &m->network[i];
    }
    return SFTN_OK;
}

/* The method's own store and what it finds out on held-out images, once the entries are there. */
static void add_method(mutual *m, sftn_job *job)
{
    const sftn_mutual *method = m->opt.method;
    char entry[96];

    if (sftn_params_count(m->method_params) > 0)
        sftn_job_store(job, "method", m->method_params);
    m->survey = method->survey ? method->survey(m->method_options) : NULL;
    if (!m->survey)
        return;
    snprintf(entry, sizeof entry, "%s.%s", method->name, m->survey->state);
    job->survey = (sftn_job_survey){.row = mutual_row,
                                    .settle = mutual_settle,
                                    .store = job->nparams - 1,
                                    .entry = sftn_params_find(m->method_params, entry),
                                    .why = m->survey->why};
}

sftn_status sftn_mutual_job(const sftn_mutual_options *options, sftn_job *job, sftn_error *err)
{
    sftn_status status = check(options, err);
    mutual *m;

    *job = (sftn_job){0};
    if (status)
        return status;
    m = sftn_calloc(1, sizeof *m);
    if (!m)
        return sftn_fail(err, SFTN_ERR_MEMORY, "collaborative training: out of memory");
    *job = (sftn_job){.self = m,
                      .build = mutual_build,
                      .free = mutual_free,
                      .model = &m->network[0],
                      .classes = options->classes};
    if (options->method->own_views)
        job->views.n = options->n;
    status = fill(m, job, options, err);
    if (!status)
        status = sftn_job_create_entries(job, options->channels, options->image_size, err);
    for (int i = 0; i < options->n && !status; i++)
        sftn_params_init(m->params[i], options->seed + (uint64_t)i);
    if (!status) {
        sftn_params_init(m->method_params, options->seed);
        add_method(m, job);
        status = describe(m, job, err);
    }
    if (status)
        sftn_job_free(job);
    return status;
}
