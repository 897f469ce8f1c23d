/*
 * distill: the job of training a student beside a frozen teacher.
 *
 *     L = task_weight CE(student, labels) + sum over methods of weight * loss
 *
 * The teacher is the job's guide: built with frozen parameters and running statistics in a graph of
 * its own, whose taps the student's graph takes as inputs.  So no method can train a teacher by
 * accident, and one teacher serves many students.  A method's own parameters ("method" store, under
 * the method's name) are trained together with the student.
 *
 * Before that come the phases that methods ask for, one after the other, in which L is the loss of
 * that phase alone.
 *
 * Where a method takes several views of each image, the networks see all of them; labels, and the
 * methods that take one, meet the rows of the first.
 */
#include "task/branch.h"
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_USE = (int)SFTN_COUNT(((sftn_distill_options *)0)->use) };

/* A phase before the main one: which method's, and of its phases which. */
typedef struct preparation {
    int use;
    const sftn_distill_phase *phase;
} preparation;

typedef struct distill {
    sftn_distill_options opt; /* pointers into what follows, or to registries */
    sftn_model teacher, student;
    void *method_options[MAX_USE];
    sftn_params *teacher_params, *student_params, *method_params;
    sftn_draw_table *records; /* of the training set; NULL where it is not known */
    sftn_views views;         /* that the batches hold */
    bool all_views;           /* that the student sees, too */
    preparation prepare[SFTN_MAX_PHASES]; /* as many as the job has phases */
} distill;

static sftn_taps build_teacher(const distill *d, sftn_graph *g, sftn_value image)
{
    const sftn_scope scope = {
        .g = g,
        .params = d->teacher_params,
        .frozen = true,
        .batch_norms = d->opt.teacher_batch_norms,
        .label = "teacher",
    };

    return sftn_model_build(&d->teacher, &scope, image, d->opt.classes, 0);
}

/* Tap i of a network with its name; NULL past the end. */
static sftn_value *tap_at(sftn_taps *t, int i, char *name, size_t size)
{
    static const char *const parts[] = {"feature", "preact", "scale", "offset"};
    const int stage = i / 4;

    if (stage <= t->nstages) {
        sftn_tap *tap = stage == 0 ? &t->stem : &t->stage[stage - 1];
        sftn_value *const part[] = {&tap->feature, &tap->preact, &tap->norm.scale,
                                    &tap->norm.offset};

        snprintf(name, size, "teacher.stage%d.%s", stage, parts[i % 4]);
        return part[i % 4];
    }
    i -= 4 * (t->nstages + 1);
    snprintf(name, size, "teacher.%s", i == 0 ? "pooled" : "logits");
    return i == 0 ? &t->pooled : i == 1 ? &t->logits : NULL;
}

static void distill_guide(void *self, sftn_graph *g, sftn_value image)
{
    sftn_taps taps = build_teacher(self, g, image);
    const sftn_value *v;
    char name[64];

    for (int i = 0; (v = tap_at(&taps, i, name, sizeof name)) != NULL; i++)
        if (!sftn_is_none(*v))
            sftn_graph_output(g, name, *v);
}

/* The teacher's taps as inputs of the student's graph. */
static sftn_taps teacher_inputs(const distill *d, sftn_job_graph *jg)
{
    sftn_graph *g = sftn_graph_new();
    sftn_taps taps = {.nstages = 0};
    sftn_error err = {0};
    sftn_value *v;
    char name[64];

    if (!g) {
        sftn_graph_fail(jg->g, "the teacher's graph: out of memory");
        return taps;
    }
    taps = build_teacher(d, g, sftn_graph_input(g, "image", sftn_value_type(jg->g, jg->image)));
    if (sftn_graph_status(g, &err))
        sftn_graph_fail(jg->g, "%s", err.text);
    for (int i = 0; (v = tap_at(&taps, i, name, sizeof name)) != NULL; i++)
        if (!sftn_is_none(*v))
            *v = sftn_graph_input(jg->g, name, sftn_value_type(g, *v));
    sftn_graph_free(g);
    return taps;
}

/* The rows of the first view, where v has those of all. */
static sftn_value first_view(const distill *d, const sftn_job_graph *jg, sftn_value v)
{
    const int64_t n = sftn_value_shape(jg->g, jg->labels).dim[SFTN_N];
    const int64_t rows = sftn_views_rows(d->views, n);

    return sftn_is_none(v) || sftn_value_shape(jg->g, v).dim[SFTN_N] != rows
               ? v
               : sftn_slice(jg->g, v, SFTN_N, 0, n);
}

static sftn_taps first_view_taps(const distill *d, const sftn_job_graph *jg, sftn_taps taps)
{
    sftn_value *v;
    char name[64];

    for (int i = 0; (v = tap_at(&taps, i, name, sizeof name)) != NULL; i++)
        *v = first_view(d, jg, *v);
    return taps;
}

/* Where a method keeps its parameters: under its name, numbered where it is used twice. */
static void name_use(const distill *d, int use, char *name, size_t size)
{
    const sftn_distiller *m = d->opt.use[use].method;
    int earlier = 0;

    for (int i = 0; i < use; i++)
        earlier += d->opt.use[i].method == m;
    snprintf(name, size, earlier ? "%s%d" : "%s", m->name, earlier + 1);
}

/* The share of its weight that a method has at an epoch: min(epoch / warm-up, 1). */
static sftn_value rising(const distill *d, sftn_job_graph *jg, int use)
{
    const sftn_distiller *m = d->opt.use[use].method;
    const double epochs = m->warmup ? m->warmup(d->method_options[use]) : 0.0;
    const sftn_type scalar = sftn_value_type(jg->g, jg->epoch);
    sftn_value share;

    if (epochs <= 0.0)
        return SFTN_NONE;
    share = sftn_div(jg->g, jg->epoch, sftn_graph_constant(jg->g, scalar, (float)epochs));
    return sftn_min2(jg->g, share, sftn_graph_constant(jg->g, scalar, 1.0f));
}

/* The term of a method in one of its phases (NULL: the main one). */
static void add_method(const distill *d, sftn_job_graph *jg, int use,
                       const sftn_distill_phase *phase, const sftn_taps *student,
                       const sftn_taps *teacher)
{
    const sftn_distiller *m = d->opt.use[use].method;
    const bool all_views = m->views.n > 1;
    const sftn_taps s = all_views ? *student : first_view_taps(d, jg, *student);
    const sftn_taps t = all_views ? *teacher : first_view_taps(d, jg, *teacher);
    sftn_scope scope = {.g = jg->g, .params = d->method_params, .training = true};
    sftn_distill_args args = {
        .g = jg->g,
        .scope = &scope,
        .student = &s,
        .teacher = &t,
        .labels = jg->labels,
        .classes = d->opt.classes,
        .options = d->method_options[use],
        .records = d->records,
        .record = jg->record,
        .seed = d->opt.seed,
    };
    sftn_value loss;

    name_use(d, use, scope.name, sizeof scope.name);
    loss = sftn_distiller_build(m, phase, &args, d->opt.use[use].pairs);
    if (sftn_is_none(loss) && !sftn_graph_status(jg->g, NULL))
        sftn_graph_fail(jg->g, "the method %s gives no loss for %s beside %s", m->name,
                        d->student.name, d->teacher.name);
    sftn_terms_add(&jg->terms, jg->g, phase ? 1.0f : (float)d->opt.use[use].weight, loss, "%s",
                   scope.name);
    if (jg->terms.n > 0) {
        sftn_term *term = &jg->terms.term[jg->terms.n - 1];

        term->group = 1;
        term->detached = phase && !phase->student;
        term->factor = phase ? SFTN_NONE : rising(d, jg, use);
    }
}

static void build_preparation(const distill *d, sftn_job_graph *jg, const preparation *p)
{
    const bool trained = p->phase->student, all_views = d->opt.use[p->use].method->views.n > 1;
    const sftn_value image = all_views ? jg->image : first_view(d, jg, jg->image);
    const sftn_scope scope = {.g = jg->g,
                              .params = d->student_params,
                              .training = trained,
                              .frozen = !trained,
                              .frozen_head = true,
                              .label = "student"};
    const sftn_taps teacher = teacher_inputs(d, jg);
    const sftn_taps student = sftn_model_build(&d->student, &scope, image, d->opt.classes, 0);

    add_method(d, jg, p->use, p->phase, &student, &teacher);
}

static void distill_build(void *self, sftn_job_graph *jg)
{
    const distill *d = self;
    const sftn_scope scope = {
        .g = jg->g, .params = d->student_params, .training = true, .label = "student"};
    sftn_taps teacher, student;
    sftn_value image;

    if (jg->phase < SFTN_MAX_PHASES && d->prepare[jg->phase].phase) {
        build_preparation(d, jg, &d->prepare[jg->phase]);
        return;
    }
    teacher = teacher_inputs(d, jg);
    image = d->all_views ? jg->image : first_view(d, jg, jg->image);
    student = sftn_model_build(&d->student, &scope, image, d->opt.classes, 0);
    jg->logits = first_view(d, jg, student.logits);
    sftn_graph_set_scope(jg->g, "loss");
    sftn_terms_add(&jg->terms, jg->g, (float)d->opt.task_weight,
                   sftn_cross_entropy(jg->g, jg->logits, jg->labels, d->opt.smoothing), "ce");
    for (int i = 0; i < d->opt.nuse; i++)
        if (d->opt.use[i].method->loss)
            add_method(d, jg, i, NULL, &student, &teacher);
}

static void distill_free(void *self)
{
    distill *d = self;

    if (!d->opt.shares)
        sftn_params_free(d->teacher_params);
    sftn_params_free(d->student_params);
    sftn_params_free(d->method_params);
    sftn_draw_table_free(d->records);
    for (int i = 0; i < MAX_USE; i++)
        free(d->method_options[i]);
    free(d);
}

static sftn_status check(const sftn_distill_options *o, sftn_error *err)
{
    double sum = o->task_weight;

    if (!o->student || !o->teacher)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "distillation needs a student and a teacher");
    if (o->nuse < 0 || o->nuse > MAX_USE)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "%d distillation methods, expected at most %d",
                         o->nuse, MAX_USE);
    for (int i = 0; i < o->nuse; i++) {
        const double w = o->use[i].weight;

        if (!isfinite(w) || w < 0.0)
            return sftn_fail(err, SFTN_ERR_ARGUMENT, "the weight of the method %s is %g, expected "
                             "0 or more", o->use[i].method->name, w);
        sum += o->use[i].method->loss ? w : 0.0;
    }
    if (!isfinite(o->task_weight) || o->task_weight < 0.0 || sum <= 0.0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "the weight of the cross-entropy is %g and the "
                         "sum of all weights %g, expected 0 or more and above 0",
                         o->task_weight, sum);
    return sftn_job_check(o->classes, o->channels, o->image_size, o->smoothing, err);
}

static sftn_status check_shared(const sftn_distill_options *o, sftn_error *err)
{
    const distill *d = o->shares->self;

    if (o->shares->build != distill_build)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "the job whose teacher is to be shared is no distillation");
    if (strcmp(d->teacher.name, o->teacher->name) != 0 || d->opt.classes != o->classes ||
        d->opt.channels != o->channels || d->opt.image_size != o->image_size)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "the teacher to be shared is %s for %d classes and images of %dx%dx%d, "
                         "expected %s for %d classes and %dx%dx%d",
                         d->teacher.name, d->opt.classes, d->opt.channels, d->opt.image_size,
                         d->opt.image_size, o->teacher->name, o->classes, o->channels,
                         o->image_size, o->image_size);
    if (d->opt.teacher_batch_norms != o->teacher_batch_norms)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "the teacher to be shared normalizes by %s "
                         "statistics, expected %s ones",
                         d->opt.teacher_batch_norms ? "each batch's" : "running",
                         o->teacher_batch_norms ? "each batch's" : "running");
    return SFTN_OK;
}

static bool describe_methods(const distill *d, struct json_object *object)
{
    bool ok = true;

    for (int i = 0; ok && i < d->opt.nuse; i++) {
        const sftn_method_use *use = &d->opt.use[i];
        char key[64];

        snprintf(key, sizeof key, "method%d", i + 1);
        ok = sftn_describe_text(object, key, use->method->name);
        snprintf(key, sizeof key, "method%d-weight", i + 1);
        ok = ok && sftn_describe_number(object, key, use->weight);
        snprintf(key, sizeof key, "method%d-pairs", i + 1);
        ok = ok && (!use->pairs || sftn_describe_text(object, key, use->pairs));
        snprintf(key, sizeof key, "method%d-options", i + 1);
        ok = ok && sftn_describe_options(object, key, use->method->options, d->method_options[i]);
    }
    return ok;
}

static sftn_status describe(const distill *d, sftn_job *job, sftn_error *err)
{
    const sftn_distill_options *o = &d->opt;
    struct json_object *j = json_object_new_object();
    bool ok = sftn_describe_text(j, "task", "distill");

    ok = ok && sftn_describe_text(j, "student", o->student->name) &&
         sftn_describe_text(j, "teacher", o->teacher->name) &&
         sftn_describe_values(j, "teacher-values", d->teacher_params) &&
         (!o->teacher_file || sftn_describe_origin(j, "teacher_from", o->teacher_file)) &&
         sftn_describe_text(j, "teacher-norm", o->teacher_batch_norms ? "batch" : "running") &&
         sftn_describe_number(j, "task-weight", o->task_weight) && describe_methods(d, j) &&
         sftn_describe_integer(j, "classes", o->classes) &&
         sftn_describe_integer(j, "channels", o->channels) &&
         sftn_describe_integer(j, "image-size", o->image_size) &&
         sftn_describe_number(j, "smoothing", (double)o->smoothing) &&
         sftn_describe_integer(j, "job-seed", (int64_t)o->seed);
    if (ok && o->branch_file)
        ok = sftn_describe_integer(j, "branch", o->branch) &&
             sftn_describe_path(j, "branch_from", o->branch_file);
    return sftn_describe_job(job, j, ok, err);
}

/* Values of every store: teacher from its file, student at random or from a branch. */
static sftn_status fill(distill *d, sftn_error *err)
{
    const sftn_distill_options *o = &d->opt;
    const sftn_network_spec teacher = {&d->teacher, o->classes, o->channels, o->image_size, 0};
    const sftn_network_spec student = {&d->student, o->classes, o->channels, o->image_size, 0};
    sftn_status status = SFTN_OK;

    sftn_params_init(d->student_params, o->seed);
    sftn_params_init(d->method_params, o->seed);
    if (!o->shares)
        sftn_params_init(d->teacher_params, o->seed);
    if (o->teacher_file && !o->shares) {
        status = sftn_network_fill(o->teacher_file, &teacher, d->teacher_params, err);
        if (status)
            sftn_fail_in(err, "teacher");
    }
    if (!status && o->branch_file)
        status = sftn_branch_fill(o->branch_file, o->branch, &student, d->student_params, err);
    return status;
}

/* The classes of data's training records; of `classes` taking turns where there is no data. */
static sftn_draw_table *list_records(const sftn_dataset *data, int classes)
{
    const int64_t n = data ? sftn_dataset_get_info(data)->records[SFTN_TRAIN] : 50000;
    int32_t *class_of = sftn_calloc((size_t)n, sizeof *class_of);
    sftn_draw_table *table = NULL;

    for (int64_t i = 0; class_of && i < n; i++) {
        int label = (int)(i % classes);

        if (data)
            sftn_dataset_record(data, SFTN_TRAIN, i, &label);
        class_of[i] = label;
    }
    if (class_of)
        table = sftn_draw_table_new(n, class_of, classes);
    free(class_of);
    return table;
}

static sftn_status allocate(distill *d, const sftn_distill_options *options, sftn_error *err)
{
    bool ok = true;

    d->opt = *options;
    d->teacher = *options->teacher;
    d->student = *options->student;
    d->opt.data = NULL;
    d->opt.teacher = &d->teacher;
    d->opt.student = &d->student;
    d->teacher_params =
        options->shares ? ((distill *)options->shares->self)->teacher_params : sftn_params_new();
    d->student_params = sftn_params_new();
    d->method_params = sftn_params_new();
    if (options->data || !(options->teacher_file || options->shares)) {
        d->records = list_records(options->data, options->classes);
        ok = d->records != NULL;
    }
    for (int i = 0; i < options->nuse; i++) {
        const sftn_method_use *use = &options->use[i];

        d->method_options[i] =
            sftn_options_copy(use->method->options, use->options, use->method->options_size);
        ok = ok && d->method_options[i];
    }
    if (!ok || !d->teacher_params || !d->student_params || !d->method_params)
        return sftn_fail(err, SFTN_ERR_MEMORY, "distillation: out of memory");
    return SFTN_OK;
}

/*
 * The views that the methods take: those that take several must take the same, and so must students
 * beside this one.
 */
static sftn_status choose_views(distill *d, sftn_error *err)
{
    const sftn_views beside = d->opt.views;
    const sftn_distiller *first = NULL;

    for (int i = 0; i < d->opt.nuse; i++) {
        const sftn_distiller *m = d->opt.use[i].method;

        if (m->views.n <= 1)
            continue;
        first = first ? first : m;
        if (m->views.n != first->views.n || m->views.turned != first->views.turned)
            return sftn_fail(err, SFTN_ERR_ARGUMENT,
                             "%s takes %d%s views of each image and %s %d%s: expected the same",
                             first->name, first->views.n, first->views.turned ? " turned" : "",
                             m->name, m->views.n, m->views.turned ? " turned" : "");
    }
    d->all_views = first != NULL;
    d->views = first ? first->views : beside;
    if (first && beside.n > 1 && (beside.n != d->views.n || beside.turned != d->views.turned))
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "%s takes %d%s views of each image, students beside it %d%s: expected "
                         "the same", first->name, d->views.n, d->views.turned ? " turned" : "",
                         beside.n, beside.turned ? " turned" : "");
    if (d->opt.teacher_batch_norms && !first && beside.n > 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "a teacher whose batch norms use each batch's statistics answers "
                         "otherwise where batches hold several views");
    return SFTN_OK;
}

/* The phases that the methods ask for, in the methods' order. */
static sftn_status add_phases(distill *d, sftn_job *job, sftn_error *err)
{
    for (int i = 0; i < d->opt.nuse; i++) {
        const sftn_distiller *m = d->opt.use[i].method;

        for (int k = 0; k < m->nphases; k++) {
            sftn_job_phase *phase = &job->phase[job->nphases];

            if (job->nphases == SFTN_MAX_PHASES)
                return sftn_fail(err, SFTN_ERR_ARGUMENT,
                                 "the methods ask for more than %d phases before the main one",
                                 SFTN_MAX_PHASES);
            name_use(d, i, phase->name, sizeof phase->name);
            phase->schedule = m->phase[k].schedule(d->method_options[i]);
            if (phase->schedule.epochs < 1)
                return sftn_fail(err, SFTN_ERR_ARGUMENT, "a phase of %s has %d epochs, need 1",
                                 phase->name, phase->schedule.epochs);
            d->prepare[job->nphases++] = (preparation){i, &m->phase[k]};
        }
    }
    return SFTN_OK;
}

sftn_status sftn_distill_job(const sftn_distill_options *options, sftn_job *job, sftn_error *err)
{
    sftn_status status = check(options, err);
    distill *d;

    *job = (sftn_job){0};
    if (!status && options->shares)
        status = check_shared(options, err);
    if (status)
        return status;
    d = sftn_calloc(1, sizeof *d);
    if (!d)
        return sftn_fail(err, SFTN_ERR_MEMORY, "distillation: out of memory");
    *job = (sftn_job){
        .self = d, .build = distill_build, .guide = distill_guide, .free = distill_free};
    status = allocate(d, options, err);
    job->guide_id = d->teacher_params;
    if (!status)
        status = choose_views(d, err);
    if (!status)
        status = add_phases(d, job, err);
    if (!status) {
        job->views = d->views;
        job->model = &d->student;
        job->classes = options->classes;
        sftn_job_store(job, "model", d->student_params);
        status = sftn_job_create_entries(job, options->channels, options->image_size, err);
    }
    if (!status && sftn_params_count(d->method_params) > 0)
        sftn_job_store(job, "method", d->method_params);
    if (!status)
        status = fill(d, err);
    if (!status)
        status = describe(d, job, err);
    if (status)
        sftn_job_free(job);
    return status;
}
