/*
 * phases: what is trained before the student meets its labels: which parameters move, what the log
 * says, and that runs stop and go on, alone and together, to the same bytes.
 */
#include "base/base.h"
#include "sftn/tensors.h"
#include "test.h"
#include "train/small.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A distillation by methods with phases of `epochs` epochs each and then one epoch of the labels,
 * or two, the first of them with half the weight, of a method that has a warm-up.
 */
typedef struct kind {
    const char *name, *student, *teacher, *method[2];
    int epochs;
} kind;

static const kind ab = {"ab-kd", "resnet8", "resnet14", {"ab", "kd"}, 1};
static const kind ft = {"ft-long", "resnet8", "resnet14", {"ft", NULL}, 2};
static const kind fsp = {"fsp", "resnet8", "resnet14", {"fsp", NULL}, 1};
static const kind both = {"both", "resnet8", "resnet14", {"ft", "ab"}, 1};
static const kind sskd = {"sskd", "resnet8", "resnet14", {"sskd", NULL}, 1};
static const kind beside = {"beside", "resnet8", "resnet14", {"ab", "sskd"}, 1};
static const kind wide = {"wide", "wrn_10_1", "wrn_10_1", {"ab", NULL}, 1};

static const sftn_views one_view = {.n = 1}, four_views = {.n = 4, .turned = true};

/* Set an option of a method where it has one. */
static void set_option(const sftn_distiller *m, void *options, const char *name, const char *value)
{
    sftn_error err = {0};

    if (m->options && sftn_options_find(m->options, name))
        CHECK_OK(sftn_options_set(m->options, options, name, value, &err), &err);
}

static sftn_job make_member(const kind *k, const sftn_job *shares, sftn_views views)
{
    const sftn_model teacher = small_model(k->teacher), student = small_model(k->student);
    sftn_distill_options options = {.student = &student,
                                    .teacher = &teacher,
                                    .shares = shares,
                                    .views = views,
                                    .task_weight = 1.0,
                                    .classes = 10,
                                    .channels = 3,
                                    .image_size = 32,
                                    .seed = 1};
    void *method_options[2] = {NULL, NULL};
    sftn_error err = {0};
    char epochs[16];
    sftn_job job;

    snprintf(epochs, sizeof epochs, "%d", k->epochs);
    for (int i = 0; i < 2 && k->method[i]; i++) {
        const sftn_distiller *m = sftn_distiller_find(k->method[i], &err);

        CHECK(m != NULL);
        method_options[i] = calloc(1, m->options_size + 1);
        if (m->options)
            sftn_options_default(m->options, method_options[i]);
        set_option(m, method_options[i], "epochs", epochs);
        set_option(m, method_options[i], "warmup", "2");
        set_option(m, method_options[i], "negatives", "50");
        options.use[options.nuse++] = (sftn_method_use){m, method_options[i], 1.0, NULL};
    }
    CHECK_OK(sftn_distill_job(&options, &job, &err), &err);
    free(method_options[0]);
    free(method_options[1]);
    return job;
}

static sftn_job make_job(const kind *k)
{
    return make_member(k, NULL, one_view);
}

static bool has_warmup(const kind *k)
{
    bool any = false;

    for (int i = 0; i < 2 && k->method[i]; i++)
        any = any || sftn_distiller_find(k->method[i], NULL)->warmup != NULL;
    return any;
}

static sftn_train_options make_options(const kind *k, const char *dir)
{
    sftn_train_options o = small_options(dir);

    o.schedule.epochs = has_warmup(k) ? 2 : 1;
    o.ema = 0.9;
    return o;
}

/* Train until a step, or to the end (0), and leave the job for a look. */
static sftn_job train_until(const kind *k, const char *dir, bool resume, int64_t after,
                            small_watch *w)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = make_job(k);
    sftn_train_options o = make_options(k, dir);
    sftn_error err = {0};
    sftn_train_hooks hooks;
    sftn_train_result r;

    *w = (small_watch){.after = after};
    hooks = small_hooks(w);
    o.resume = resume;
    CHECK_INT(sftn_train(&job, data, &o, &hooks, &r, &err), after ? SFTN_ERR_INTERRUPTED : SFTN_OK);
    sftn_dataset_close(data);
    return job;
}

/* ---- stopping and going on ---- */

/* After how many steps runs are stopped; 0: no more.  Epochs have 3. */
static void choose_stops(const kind *k, int nphases, int64_t *stop)
{
    int n = 0;

    stop[n++] = 1;
    for (int i = 1; i <= nphases; i++) {
        stop[n++] = 3 * k->epochs * i; /* where phases meet */
        stop[n++] = 3 * k->epochs * i + 1;
    }
    if (has_warmup(k))
        stop[n++] = 3 * k->epochs * nphases + 4; /* at full weight */
    stop[n] = 0;
}

/* The run of k that nothing interrupts, in NAME-whole; trained once. */
static void train_whole(const kind *k)
{
    char name[64], path[512];
    small_watch w;
    sftn_job job;

    snprintf(name, sizeof name, "%s-whole", k->name);
    snprintf(path, sizeof path, "%s/model.safetensors", test_temp_path(name));
    if (access(path, F_OK) == 0)
        return;
    job = train_until(k, name, false, 0, &w);
    sftn_job_free(&job);
}

/* In the middle of each phase, where phases meet, and in the middle of the main one. */
static void check_resume(const kind *k)
{
    int64_t stops[2 * SFTN_MAX_PHASES + 4] = {0};
    char whole[64], pieces[64];
    sftn_job job;
    small_watch w;

    snprintf(whole, sizeof whole, "%s-whole", k->name);
    snprintf(pieces, sizeof pieces, "%s-pieces", k->name);
    train_whole(k);
    job = make_job(k);
    choose_stops(k, job.nphases, stops);
    sftn_job_free(&job);
    for (int i = 0; i == 0 || stops[i - 1] > 0; i++) {
        job = train_until(k, pieces, i > 0, stops[i], &w);
        sftn_job_free(&job);
    }
    small_check_same(pieces, whole, "checkpoint.safetensors");
    small_check_same(pieces, whole, "model.safetensors");
    small_check_same(pieces, whole, "ema.safetensors");
    small_check_same_log(pieces, whole);
}

TEST(every_method_resumes_bit_exactly_in_its_phases_its_warm_up_and_beside_the_labels)
{
    const sftn_distiller *m;

    for (int i = 0; (m = sftn_distiller_list(i)) != NULL; i++) {
        const kind k = {m->name, "resnet8", "resnet14", {m->name, NULL}, 1};

        if (!test_quick() || m->nphases > 0 || i % 4 == 0)
            check_resume(&k);
    }
}

TEST(a_phase_of_two_epochs_resumes_bit_exactly)
{
    check_resume(&ft);
}

TEST(a_method_with_a_phase_beside_one_without_resumes_bit_exactly)
{
    check_resume(&ab);
}

TEST(two_methods_phases_resume_bit_exactly)
{
    check_resume(&both);
}

/* Trained together, each ends as alone. */
static void check_together(const kind *const *kinds, int n, sftn_views views)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_train_options options[8];
    sftn_job job[8];
    sftn_member member[8];
    char dir[8][256], name[64], alone[64];
    sftn_error err = {0};

    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s-together", kinds[i]->name);
        snprintf(dir[i], sizeof dir[i], "%s", test_temp_path(name));
        job[i] = make_member(kinds[i], i > 0 ? &job[0] : NULL, views);
        options[i] = make_options(kinds[i], name);
        options[i].dir = dir[i];
        member[i] = (sftn_member){.job = &job[i], .options = &options[i]};
    }
    CHECK_OK(sftn_train_together(member, n, data, NULL, &err), &err);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s-together", kinds[i]->name);
        snprintf(alone, sizeof alone, "%s-whole", kinds[i]->name);
        train_whole(kinds[i]);
        small_check_same(name, alone, "checkpoint.safetensors");
        small_check_same_log(name, alone);
    }
    for (int i = n - 1; i >= 0; i--)
        sftn_job_free(&job[i]);
    sftn_dataset_close(data);
}

TEST(jobs_with_different_phases_end_in_the_same_bytes_together_as_alone)
{
    static const kind *const kinds[] = {&ab, &ft, &fsp, &both};

    check_together(kinds, SFTN_COUNT(kinds), one_view);
}

/* The first four see one of the four views that the batches hold for the last. */
TEST(jobs_that_take_other_views_end_in_the_same_bytes_together_as_alone)
{
    static const kind kd = {"kd", "resnet8", "resnet14", {"kd", NULL}, 1};
    static const kind reviewkd = {"reviewkd", "resnet8", "resnet14", {"reviewkd", NULL}, 1};
    static const kind *const kinds[] = {&kd, &reviewkd, &ab, &ft, &sskd};

    check_together(kinds, SFTN_COUNT(kinds), four_views);
}

TEST(jobs_whose_batches_hold_other_views_are_not_trained_together)
{
    static const kind *const kinds[] = {&ab, &sskd};
    sftn_dataset *data = small_data(0, 0);
    sftn_train_options options[2];
    sftn_job job[2];
    sftn_member member[2];
    char dir[2][256];
    sftn_error err = {0};

    for (int i = 0; i < 2; i++) {
        snprintf(dir[i], sizeof dir[i], "%s", test_temp_path(i ? "four-views" : "one-view"));
        job[i] = make_member(kinds[i], i ? &job[0] : NULL, one_view);
        options[i] = make_options(kinds[i], "");
        options[i].dir = dir[i];
        member[i] = (sftn_member){.job = &job[i], .options = &options[i]};
    }
    CHECK_FAILS(sftn_train_together(member, 2, data, NULL, &err), SFTN_ERR_ARGUMENT, &err,
                "cannot be trained together: 'views' is 1 and 4, turned; ");
    sftn_job_free(&job[1]);
    sftn_job_free(&job[0]);
    sftn_dataset_close(data);
}

/* ---- what moves ---- */

/* Entries of two stores whose names begin with prefix: how many, and how many differ. */
typedef struct changes {
    int entries, changed;
} changes;

static changes compare(sftn_params *a, sftn_params *b, const char *prefix)
{
    changes c = {0, 0};

    for (int i = 0; i < sftn_params_count(a); i++) {
        const sftn_param *e = sftn_params_get(a, i);

        if (strncmp(e->name, prefix, strlen(prefix)) != 0)
            continue;
        c.entries++;
        c.changed += memcmp(sftn_params_value(a, i), sftn_params_value(b, i),
                            (size_t)e->count * sizeof(float)) != 0;
    }
    return c;
}

static void check_moved(sftn_params *a, sftn_params *b, const char *prefix)
{
    const changes c = compare(a, b, prefix);

    if (c.entries == 0 || c.changed != c.entries)
        test_fail(__FILE__, __LINE__, "%s: %d of %d entries moved, expected all", prefix, c.changed,
                  c.entries);
}

static void check_kept(sftn_params *a, sftn_params *b, const char *prefix)
{
    const changes c = compare(a, b, prefix);

    if (c.entries == 0 || c.changed != 0)
        test_fail(__FILE__, __LINE__, "%s: %d of %d entries moved, expected none", prefix,
                  c.changed, c.entries);
}

TEST(ab_forms_the_stages_and_leaves_the_head)
{
    static const struct {
        const kind *k;
        const char *moved[4], *kept[3];
    } cases[] = {
        {&ab, {"conv1", "bn1", "layer1", "layer3"}, {"fc", NULL}},
        {&wide, {"conv1", "block1", "block3", NULL}, {"fc", "bn1", NULL}},
    };

    for (size_t i = 0; i < SFTN_COUNT(cases); i++) {
        small_watch w;
        sftn_job before = make_job(cases[i].k);
        sftn_job after = train_until(cases[i].k, "formed", false, 2, &w);

        for (int k = 0; k < 4 && cases[i].moved[k]; k++)
            check_moved(before.params[0], after.params[0], cases[i].moved[k]);
        for (int k = 0; cases[i].kept[k]; k++)
            check_kept(before.params[0], after.params[0], cases[i].kept[k]);
        sftn_job_free(&before);
        sftn_job_free(&after);
    }
}

TEST(ft_trains_its_paraphraser_alone_and_then_all_but_it)
{
    small_watch w;
    sftn_job start = make_job(&ft);
    sftn_job between = train_until(&ft, "factors", false, 6, &w);
    sftn_job end = train_until(&ft, "factors", true, 0, &w);

    check_kept(start.params[0], between.params[0], "");
    check_kept(start.params[1], between.params[1], "ft.translator");
    check_moved(start.params[1], between.params[1], "ft.paraphraser");
    check_moved(between.params[0], end.params[0], "");
    check_moved(between.params[1], end.params[1], "ft.translator");
    check_kept(between.params[1], end.params[1], "ft.paraphraser");
    sftn_job_free(&start);
    sftn_job_free(&between);
    sftn_job_free(&end);
}

TEST(sskd_trains_its_teachers_head_alone_and_then_all_but_it)
{
    small_watch w;
    sftn_job start = make_job(&sskd);
    sftn_job between = train_until(&sskd, "views", false, 3, &w);
    sftn_job end = train_until(&sskd, "views", true, 0, &w);

    check_kept(start.params[0], between.params[0], "");
    check_kept(start.params[1], between.params[1], "sskd.head_s");
    check_moved(start.params[1], between.params[1], "sskd.head_t");
    check_moved(between.params[0], end.params[0], "");
    check_moved(between.params[1], end.params[1], "sskd.head_s");
    check_kept(between.params[1], end.params[1], "sskd.head_t");
    sftn_job_free(&start);
    sftn_job_free(&between);
    sftn_job_free(&end);
}

/* The first step of ab's phase, alone and beside a method for which batches hold four views. */
TEST(a_method_of_one_view_meets_the_usual_images_beside_one_of_four)
{
    small_watch alone, w;
    sftn_job job = train_until(&ab, "alone", false, 1, &alone);

    sftn_job_free(&job);
    job = train_until(&beside, "beside", false, 1, &w);
    CHECK_TEXT(w.last.phase, "ab");
    sftn_job_free(&job);
    CHECK(w.last.term[0] > 0.0);
    CHECK_NEAR(w.last.term[0], alone.last.term[0], 1e-5 * alone.last.term[0]);
}

/* What a frozen paraphraser gives is computed once: after it was trained, not before. */
TEST(a_phase_sees_what_the_one_before_has_trained)
{
    sftn_error err = {0};
    double term[2];

    for (int i = 0; i < 2; i++) {
        kind k = ft;
        sftn_dataset *data = small_data(0, 0);
        sftn_job job;
        sftn_train_options o = make_options(&ft, i ? "longer" : "shortly");
        small_watch w = {0};
        const sftn_train_hooks hooks = small_hooks(&w);
        sftn_train_result r;

        k.epochs = i + 1;
        job = make_job(&k);
        o.schedule.lr = 0.0;
        o.augment = (sftn_augment){0};
        CHECK_OK(sftn_train(&job, data, &o, &hooks, &r, &err), &err);
        CHECK_INT(w.last_epoch.epochs, i + 2);
        term[i] = w.last_epoch.term[1];
        sftn_job_free(&job);
        sftn_dataset_close(data);
    }
    CHECK(term[0] > term[1] * 1.0001 || term[0] < term[1] * 0.9999);
}

/* As a phase begins, what is frozen from there on is computed: here after two epochs. */
TEST(a_plan_that_fails_where_phases_meet_ends_the_run_and_it_resumes_bit_exactly)
{
    static const char *const dir[] = {"unentered", "entered"};
    sftn_dataset *data = small_data(0, 0);

    for (int i = 0; i < 3; i++) {
        sftn_job job = make_job(&ft);
        sftn_train_options o = make_options(&ft, dir[i / 2]);
        small_fault fault = {.after = i == 0 ? 6 : -1, .n = 1};
        const sftn_train_hooks hooks = small_fault_hooks(&fault);
        sftn_error err = {0};
        sftn_train_result r;
        sftn_status status;

        o.plan.no_winograd = true; /* the weights are oneDNN's to pack */
        o.resume = i == 1;
        status = sftn_train(&job, data, &o, &hooks, &r, &err);
        if (i == 0) {
            CHECK_FAILS(status, SFTN_ERR_BACKEND, &err, "frozen step ");
            CHECK_INT(small_epochs_saved(dir[0]), 1);
        } else {
            CHECK_OK(status, &err);
        }
        sftn_job_free(&job);
    }
    small_check_same(dir[0], dir[1], "checkpoint.safetensors");
    small_check_same(dir[0], dir[1], "model.safetensors");
    small_check_same_log(dir[0], dir[1]);
    sftn_dataset_close(data);
}

TEST(momentum_and_averages_begin_anew_where_phases_meet)
{
    char path[512];
    small_watch w;
    sftn_job job = train_until(&ab, "meeting", false, 3, &w);
    sftn_error err = {0};
    sftn_tensors *t;
    int found = 0;

    snprintf(path, sizeof path, "%s/checkpoint.safetensors", test_temp_path("meeting"));
    CHECK_OK(sftn_tensors_open(path, &t, &err), &err);
    for (int i = 0; i < sftn_tensors_count(t); i++) {
        const sftn_array *a = sftn_tensors_get(t, i);
        const float *v = a->data;

        if (strncmp(a->name, "momentum.", 9) != 0)
            continue;
        found++;
        for (int64_t k = 0; k < a->count; k++)
            CHECK(v[k] == 0.0f);
    }
    CHECK(found > 10);
    CHECK_BYTES(sftn_tensors_find(t, "ema.conv1.weight")->data,
                sftn_tensors_find(t, "model.conv1.weight")->data, 16 * 27 * sizeof(float));
    sftn_tensors_close(t);
    sftn_job_free(&job);
}

/* ---- what is said of it ---- */

static void check_record(const sftn_progress *p, const char *phase, int64_t epoch, double lr)
{
    CHECK_INT(p->epoch, epoch);
    CHECK_INT(p->epochs, 3);
    CHECK_NEAR(p->lr, lr, 0.0);
    CHECK((p->test_top1 >= 0.0) == (phase == NULL && p->epoch_done));
    CHECK((p->train_top1 >= 0.0) == (phase == NULL));
    CHECK((p->phase == NULL) == (phase == NULL));
    if (phase) {
        CHECK_TEXT(p->phase, phase);
        CHECK_INT(p->nterms, 1);
        CHECK_TEXT(p->term_name[0], phase);
    }
}

static void check_progress(void *ctx, const sftn_progress *p)
{
    int *records = ctx;

    if (p->step <= 3)
        check_record(p, "ft", 1, 0.01);
    else if (p->step <= 6)
        check_record(p, "ab", 2, 0.05);
    else
        check_record(p, NULL, 3, 0.05);
    (*records)++;
}

TEST(progress_and_log_name_the_phase)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job = make_job(&both);
    sftn_train_options o = make_options(&ab, "named");
    int records = 0;
    const sftn_train_hooks hooks = {.ctx = &records, .progress = check_progress};
    sftn_error err = {0};
    sftn_train_result r;
    size_t bytes;
    void *log;

    CHECK_OK(sftn_train(&job, data, &o, &hooks, &r, &err), &err);
    CHECK_INT(records, 12);
    CHECK_OK(sftn_read_file(test_temp_path("named/log.jsonl"), &log, &bytes, &err), &err);
    CHECK_CONTAINS(log, "{\"epoch\":1,\"phase\":\"ft\",\"step\":3,\"lr\":0.01,");
    CHECK_CONTAINS(log, "{\"epoch\":2,\"phase\":\"ab\",\"step\":6,\"lr\":0.05,");
    CHECK_CONTAINS(log, "{\"epoch\":3,\"step\":9,\"lr\":0.05,");
    free(log);
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

TEST(a_checkpoint_with_phases_of_another_length_is_refused)
{
    sftn_dataset *data = small_data(0, 0);
    kind longer = ab;
    small_watch w;
    sftn_job job = train_until(&ab, "length", false, 1, &w);
    sftn_train_options o = make_options(&ab, "length");
    sftn_error err = {0};
    sftn_train_result r;

    sftn_job_free(&job);
    longer.epochs = 2;
    job = make_job(&longer);
    o.resume = true;
    CHECK_FAILS(sftn_train(&job, data, &o, NULL, &r, &err), SFTN_ERR_ARGUMENT, &err,
                "'epochs' is 1 there and 2 here");
    sftn_job_free(&job);
    sftn_dataset_close(data);
}
