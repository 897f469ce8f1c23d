/*
 * epochs: what an epoch reports and which one is best, of a network that says what it is told to.
 *
 * Every image gets the same logits (small_tell), and the learning rate is 0: all figures follow
 * from the labels alone.
 */
#include "sftn/tensors.h"
#include "test.h"
#include "train/small.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CLASSES = 10, VALIDATION = 12 };

/* One class is likely, the others are all the same. */
static void tell_class(sftn_params *p, int class)
{
    float logits[CLASSES] = {0};

    logits[class] = 2.0f;
    small_tell(p, logits);
}

/* How many records of a split have the label. */
static int count(const sftn_dataset *data, sftn_split split, int label)
{
    const int64_t records = sftn_dataset_get_info(data)->records[split];
    int n = 0;

    for (int64_t i = 0; i < records; i++) {
        int found;

        sftn_dataset_record(data, split, i, &found);
        n += found == label;
    }
    return n;
}

static double percent(const sftn_dataset *data, sftn_split split, int label)
{
    const int64_t records = sftn_dataset_get_info(data)->records[split];

    return 100.0 * count(data, split, label) / (double)records;
}

/* ---- scores ---- */

/* Scores on the 14 test records, whose labels are (7 i + 3) mod 10. */
static sftn_scores scores_of(const float *logits)
{
    sftn_dataset *data = small_data(0, 0);
    const sftn_dataset_info *info = sftn_dataset_get_info(data);
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    sftn_network net = {.model = *job.model, .params = job.params[0], .classes = CLASSES,
                        .channels = 3, .image_size = 32};
    const sftn_plan_options plan = {0};
    sftn_scores scores;
    sftn_error err = {0};

    memcpy(net.mean, info->mean, sizeof net.mean);
    memcpy(net.std, info->std, sizeof net.std);
    small_tell(job.params[0], logits);
    CHECK_OK(sftn_evaluate(&net, data, SFTN_TEST, &plan, &scores, &err), &err);
    sftn_job_free(&job);
    sftn_dataset_close(data);
    CHECK_INT(scores.n, 14);
    return scores;
}

/* Labels 3 0 7 4 1 8 5 2 9 6 and 3 0 7 4 once more. */
TEST(a_label_ranked_fifth_is_among_five_and_one_ranked_sixth_is_not)
{
    /* Ranked: 3 9 1 0 7 | 2 8 5 6 4. */
    static const float z[CLASSES] = {6, 7, 4, 9, 0, 2, 1, 5, 3, 8};
    const sftn_scores s = scores_of(z);
    double sum = 0.0, loss = 0.0;

    for (int k = 0; k < CLASSES; k++)
        sum += exp((double)z[k]);
    for (int i = 0; i < 14; i++)
        loss += log(sum) - (double)z[(7 * i + 3) % 10];
    CHECK_NEAR(s.top1, 100.0 * 2 / 14, 1e-9);
    CHECK_NEAR(s.top5, 100.0 * 8 / 14, 1e-9); /* twice 3, 0 and 7, once 9 and 1 */
    CHECK_NEAR(s.loss, loss / 14, 1e-5);
}

TEST(equal_answers_are_ranked_by_class)
{
    static const float same[CLASSES] = {0}, fifth[CLASSES] = {0, 0, 0, 0, 0, 1, 1, 2, 2, 0};
    sftn_scores s = scores_of(same);

    CHECK_NEAR(s.top1, 100.0 * 2 / 14, 1e-9); /* class 0 */
    CHECK_NEAR(s.top5, 100.0 * 8 / 14, 1e-9); /* twice 0, 3 and 4, once 1 and 2 */
    CHECK_NEAR(s.loss, log(10.0), 1e-5);
    s = scores_of(fifth);                     /* 7 8 5 6, and of all others 0 */
    CHECK_NEAR(s.top1, 100.0 * 2 / 14, 1e-9);
    CHECK_NEAR(s.top5, 100.0 * 7 / 14, 1e-9);
}

/* ---- epochs ---- */

/* Tells the network a class in each epoch, and keeps what is reported at its end. */
typedef struct script {
    sftn_params *params;
    const int *class;
    sftn_progress done[8];
    int epochs;
} script;

static void turn_over(void *ctx, const sftn_progress *p)
{
    script *s = ctx;

    if (!p->epoch_done)
        return;
    s->done[s->epochs++] = *p;
    tell_class(s->params, s->class[s->epochs]);
}

/* `classes`: one more than there are epochs. */
static sftn_train_result follow(const sftn_dataset *data, const int *classes, int epochs,
                                const char *dir, script *s)
{
    sftn_job job = small_teacher("plain", "resnet8", NULL);
    sftn_train_options o = small_options(dir);
    const sftn_train_hooks hooks = {.ctx = s, .progress = turn_over};
    sftn_train_result r;
    sftn_error err = {0};

    *s = (script){.params = job.params[0], .class = classes};
    o.schedule = (sftn_schedule){.lr = 0.0, .epochs = epochs};
    tell_class(job.params[0], classes[0]);
    CHECK_OK(sftn_train(&job, data, &o, &hooks, &r, &err), &err);
    CHECK_INT(s->epochs, epochs);
    sftn_job_free(&job);
    return r;
}

/* Batches of 32 and 13; five of the records are of class 4 and four of class 2. */
TEST(an_epoch_reports_means_over_its_images)
{
    static const int classes[] = {4, 2, 0};
    sftn_dataset *data = small_data(45, 0);
    script s;
    const sftn_train_result r = follow(data, classes, 2, "means", &s);

    for (int e = 0; e < 2; e++) {
        const double hits = (5 - e) / 45.0;

        CHECK_NEAR(s.done[e].train_top1, 100.0 * hits, 1e-9);
        CHECK_NEAR(s.done[e].loss, log(9.0 + exp(2.0)) - 2.0 * hits, 1e-5);
        CHECK_NEAR(s.done[e].term[0], s.done[e].loss, 1e-6);
        CHECK_NEAR(s.done[e].test_top1, 100.0 * (2 - e) / 14, 1e-9);
        CHECK(s.done[e].validation_top1 < 0.0);
    }
    CHECK_NEAR(r.last_top1, 100.0 / 14, 1e-9);
    CHECK_INT(r.best_epoch, 0);
    sftn_dataset_close(data);
}

/* The class with the most records of the validation split, and one with fewer, but some. */
static void choose(const sftn_dataset *data, int *most, int *fewer)
{
    int n[CLASSES];

    *most = 0;
    for (int k = 0; k < CLASSES; k++) {
        n[k] = count(data, SFTN_VALIDATION, k);
        if (n[k] > n[*most])
            *most = k;
    }
    *fewer = -1;
    for (int k = 0; k < CLASSES; k++)
        if (n[k] > 0 && n[k] < n[*most])
            *fewer = k;
    CHECK(*fewer >= 0);
}

static double kept_logit(const char *dir, int class)
{
    sftn_tensors *t;
    const float *bias = small_saved(dir, "best", "fc.bias", &t);
    const double value = (double)bias[class];

    sftn_tensors_close(t);
    return value;
}

TEST(the_best_epoch_is_the_first_with_the_highest_validation_accuracy)
{
    sftn_dataset *data = small_data(0, VALIDATION);
    int most, fewer;
    script s;
    sftn_train_result r;

    choose(data, &most, &fewer);
    r = follow(data, (const int[]){fewer, most, fewer, most, fewer, 0}, 5, "best", &s);
    for (int e = 0; e < 5; e++)
        CHECK_NEAR(s.done[e].validation_top1,
                   percent(data, SFTN_VALIDATION, e % 2 ? most : fewer), 1e-9);
    CHECK_INT(r.best_epoch, 2);
    CHECK_NEAR(r.best_validation_top1, percent(data, SFTN_VALIDATION, most), 1e-9);
    CHECK_NEAR(r.best_test_top1, percent(data, SFTN_TEST, most), 1e-9);
    CHECK_NEAR(r.last_top1, percent(data, SFTN_TEST, fewer), 1e-9);
    CHECK_NEAR(kept_logit("best", most), 2.0, 0.0);
    CHECK_NEAR(kept_logit("best", fewer), 0.0, 0.0);
    r = follow(data, (const int[]){most, fewer, most, 0}, 3, "first", &s);
    CHECK_INT(r.best_epoch, 1);
    CHECK_NEAR(kept_logit("first", most), 2.0, 0.0);
    sftn_dataset_close(data);
}
