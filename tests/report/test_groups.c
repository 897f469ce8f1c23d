/* Runs grouped by seeds and by names, their differences and tables, from runs made by hand. */
#include "base/base.h"
#include "test.h"

#include "sftn/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 16 };

typedef struct runs {
    sftn_run run[ROOM];
    sftn_run_epoch epoch[ROOM];
    char name[ROOM][64], description[ROOM][1024];
    int n;
} runs;

/* A finished run; description may be NULL. */
static sftn_run *add_run(runs *r, const char *name, int64_t seed, double top1,
                         const char *description)
{
    sftn_run *run = &r->run[r->n];

    snprintf(r->name[r->n], sizeof r->name[0], "%s", name);
    snprintf(r->description[r->n], sizeof r->description[0], "%s", description ? description : "");
    r->epoch[r->n] = (sftn_run_epoch){.epoch = 1, .train_top1 = top1 + 10.0, .test_top1 = top1};
    *run = (sftn_run){
        .name = r->name[r->n],
        .network = (char *)"resnet8",
        .data = (char *)"shapes",
        .description = description ? r->description[r->n] : NULL,
        .seed = seed,
        .nepochs = 1,
        .epoch = &r->epoch[r->n],
        .finished = true,
        .result = {.last_top1 = top1, .best_validation_top1 = -1.0, .best_test_top1 = -1.0},
    };
    r->n++;
    return run;
}

/* A student of a teacher that was trained under a scheme from the same seed. */
static sftn_run *add_student(runs *r, const char *scheme, const char *method, int seed, double top1)
{
    char name[64], text[1024];

    snprintf(name, sizeof name, "%s-of-%s-%d", method, scheme, seed);
    snprintf(text, sizeof text,
             "{\"job\":{\"task\":\"distill\",\"student\":\"resnet8\",\"teacher\":\"resnet20\","
             "\"teacher-values\":\"%s%d\",\"teacher_from\":{\"path\":\"%s%d\",\"job\":{\"task\":"
             "\"teach\",\"scheme\":\"%s\",\"teacher\":\"resnet20\",\"job-seed\":%d},\"options\":"
             "{\"epochs\":9,\"batch-seed\":%d}},\"method1\":\"%s\",\"job-seed\":%d},"
             "\"options\":{\"epochs\":4,\"batch-seed\":%d}}",
             scheme, seed, scheme, seed, scheme, seed, seed, method, seed, seed);
    return add_run(r, name, seed, top1, text);
}

static sftn_run_statistics group(const runs *r, sftn_grouping by, const char *against)
{
    sftn_run_statistics s;
    sftn_error err = {0};

    CHECK_OK(sftn_runs_group(r->run, r->n, by, against, 0.95, &s, &err), &err);
    return s;
}

static void add_four_groups(runs *r)
{
    for (int seed = 1; seed <= 3; seed++) {
        add_student(r, "plain", "kd", seed, 50.0 + seed);
        add_student(r, "sftn", "kd", seed, 51.0 + 2 * seed);
        add_student(r, "plain", "at", seed, 40.0);
    }
    add_student(r, "sftn", "at", 2, 39.0);
}

TEST(runs_that_differ_in_their_seed_are_one_group)
{
    runs r = {0};
    sftn_run_statistics s;

    add_four_groups(&r);
    s = group(&r, SFTN_GROUP_SEEDS, NULL);
    CHECK_INT(s.ngroups, 4);
    CHECK_TEXT(s.group[0].label, "resnet8 kd of resnet20 plain");
    CHECK_TEXT(s.group[0].teacher, "resnet20 plain");
    CHECK_INT(s.group[0].sample[SFTN_MEASURE_LAST].n, 3);
    CHECK_NEAR(s.group[0].sample[SFTN_MEASURE_LAST].mean, 52.0, 1e-12);
    CHECK_NEAR(s.group[0].sample[SFTN_MEASURE_LAST].sd, 1.0, 1e-12);
    CHECK_NEAR(s.group[0].sample[SFTN_MEASURE_TRAIN].mean, 62.0, 1e-12);
    CHECK_INT(s.group[0].sample[SFTN_MEASURE_BEST].n, 0);
    CHECK_INT(s.group[0].sample[SFTN_MEASURE_KL].n, 0);
    sftn_run_statistics_free(&s);
}

/* 2, 3, 4: mean 3, deviation 1, half width 4.30265 / sqrt(3). */
TEST(differences_are_paired_by_seed_and_by_method)
{
    runs r = {0};
    sftn_run_statistics s;
    const sftn_sample *d;

    add_four_groups(&r);
    s = group(&r, SFTN_GROUP_SEEDS, NULL);
    CHECK_INT(s.ndifferences, 3);
    CHECK_TEXT(s.difference[0].label, "resnet8 kd of resnet20 sftn");
    CHECK_TEXT(s.difference[0].against, "resnet8 kd of resnet20 plain");
    d = &s.difference[0].sample[SFTN_MEASURE_LAST];
    CHECK_INT(d->n, 3);
    CHECK_NEAR(d->mean, 3.0, 1e-12);
    CHECK_NEAR(d->high - d->mean, 4.30265273 / sqrt(3.0), 1e-7);
    d = &s.difference[1].sample[SFTN_MEASURE_LAST];
    CHECK_INT(d->n, 1);
    CHECK_NEAR(d->mean, -1.0, 1e-12);
    CHECK(isnan(d->low));
    sftn_run_statistics_free(&s);
    s = group(&r, SFTN_GROUP_SEEDS, "resnet20 sftn");
    CHECK_INT(s.ndifferences, 3);
    CHECK_NEAR(s.difference[0].sample[SFTN_MEASURE_LAST].mean, -3.0, 1e-12);
    sftn_run_statistics_free(&s);
    s = group(&r, SFTN_GROUP_SEEDS, "resnet8 at of resnet20 plain");
    CHECK_INT(s.ndifferences, 3);
    sftn_run_statistics_free(&s);
}

/* Of seed 2, which both methods have: +3 and -1; of all seeds 2, 3, 4 and 0, 1, 2. */
TEST(two_teachers_of_several_students_have_a_mean_difference)
{
    runs r = {0};
    sftn_run_statistics s;
    const sftn_run_difference *d;

    add_four_groups(&r);
    s = group(&r, SFTN_GROUP_SEEDS, NULL);
    d = &s.difference[2];
    CHECK_TEXT(d->label, "mean of 2 students of resnet20 sftn");
    CHECK_TEXT(d->against, "mean of 2 students of resnet20 plain");
    CHECK_INT(d->sample[SFTN_MEASURE_LAST].n, 1);
    CHECK_NEAR(d->sample[SFTN_MEASURE_LAST].mean, 1.0, 1e-12);
    sftn_run_statistics_free(&s);

    r.n--;
    for (int seed = 3; seed >= 1; seed--)
        add_student(&r, "sftn", "at", seed, 39.0 + seed);
    s = group(&r, SFTN_GROUP_SEEDS, "resnet20 plain");
    CHECK_INT(s.ndifferences, 3);
    d = &s.difference[2];
    CHECK_INT(d->sample[SFTN_MEASURE_LAST].n, 3);
    CHECK_NEAR(d->sample[SFTN_MEASURE_LAST].mean, 2.0, 1e-12);
    CHECK_NEAR(d->sample[SFTN_MEASURE_LAST].sd, 1.0, 1e-12);
    CHECK_NEAR(d->sample[SFTN_MEASURE_TRAIN].mean, 2.0, 1e-12);
    CHECK_INT(d->sample[SFTN_MEASURE_KL].n, 0);
    sftn_run_statistics_free(&s);
}

TEST(labels_name_the_options_that_differ)
{
    runs r = {0};
    sftn_run_statistics s;

    for (int i = 0; i < 2; i++) {
        char text[256];

        snprintf(text, sizeof text,
                 "{\"job\":{\"task\":\"teach\",\"scheme\":\"sftn\",\"scheme-options\":"
                 "{\"lambda-kl\":%d,\"shared\":false},\"teacher\":\"resnet20\",\"job-seed\":1}}",
                 i ? 3 : 1);
        add_run(&r, "x", 1, 50.0, text);
    }
    add_run(&r, "no-description", -1, 50.0, NULL);
    s = group(&r, SFTN_GROUP_SEEDS, NULL);
    CHECK_INT(s.ngroups, 3);
    CHECK_TEXT(s.group[0].label, "resnet20 sftn lambda-kl=1");
    CHECK_TEXT(s.group[1].label, "resnet20 sftn lambda-kl=3");
    CHECK_TEXT(s.group[2].label, "no-description");
    sftn_run_statistics_free(&s);
}

/* What a network was trained on from counts by its own training, not by its place. */
TEST(the_origin_of_initial_weights_tells_groups_apart)
{
    runs r = {0};
    sftn_run_statistics s;

    for (int i = 0; i < 4; i++) {
        char text[512];

        snprintf(text, sizeof text,
                 "{\"job\":{\"task\":\"teach\",\"scheme\":\"sftn\",\"teacher\":\"resnet20\","
                 "\"job-seed\":%d,\"init_from\":{\"path\":\"p%d\",\"job\":{\"scheme\":\"plain\","
                 "\"job-seed\":%d},\"options\":{\"epochs\":%d}}}}",
                 i % 2, i, i % 2, i < 2 ? 60 : 240);
        add_run(&r, "x", i % 2, 50.0 + i, text);
    }
    s = group(&r, SFTN_GROUP_SEEDS, NULL);
    CHECK_INT(s.ngroups, 2);
    CHECK_TEXT(s.group[0].label, "resnet20 sftn epochs=60");
    CHECK_INT(s.group[0].sample[SFTN_MEASURE_LAST].n, 2);
    sftn_run_statistics_free(&s);
}

/* Where the teacher's file does not say how it was trained, its values are all that is known. */
TEST(students_of_unknown_teachers_stay_apart)
{
    runs r = {0};
    sftn_run_statistics s;

    for (int i = 0; i < 2; i++) {
        char text[256];

        snprintf(text, sizeof text,
                 "{\"job\":{\"task\":\"distill\",\"student\":\"resnet8\",\"teacher\":\"resnet20\","
                 "\"teacher-values\":\"a%d\",\"teacher_from\":{\"path\":\"p\"},"
                 "\"method1\":\"kd\",\"job-seed\":%d}}",
                 i, i);
        add_run(&r, "x", i, 50.0, text);
    }
    s = group(&r, SFTN_GROUP_SEEDS, NULL);
    CHECK_INT(s.ngroups, 2);
    CHECK_TEXT(s.group[0].label, "resnet8 kd of resnet20 values=a0");
    CHECK_INT(s.ndifferences, 0);
    sftn_run_statistics_free(&s);
}

TEST(names_are_grouped_up_to_their_seed)
{
    runs r = {0};
    sftn_run_statistics s;

    add_run(&r, "plain-seed1", -1, 50.0, NULL);
    add_run(&r, "plain-seed2", -1, 52.0, NULL);
    add_run(&r, "friendly-seed2", -1, 55.0, NULL);
    add_run(&r, "seedless", -1, 1.0, NULL);
    s = group(&r, SFTN_GROUP_NAMES, "plain");
    CHECK_INT(s.ngroups, 3);
    CHECK_TEXT(s.group[1].label, "friendly");
    CHECK_INT(s.ndifferences, 2);
    CHECK_INT(s.difference[0].sample[SFTN_MEASURE_LAST].n, 1);
    CHECK_NEAR(s.difference[0].sample[SFTN_MEASURE_LAST].mean, 3.0, 1e-12);
    CHECK_INT(s.difference[1].sample[SFTN_MEASURE_LAST].n, 0);
    sftn_run_statistics_free(&s);
}

TEST(the_same_seed_twice_counts_once_and_unfinished_runs_not_at_all)
{
    runs r = {0};
    sftn_run_statistics s;

    add_run(&r, "a-seed1", 1, 50.0, NULL);
    add_run(&r, "a-seed1", 1, 54.0, NULL);
    add_run(&r, "a-seed2", 2, 60.0, NULL);
    add_run(&r, "a-seed3", 3, 99.0, NULL)->finished = false;
    s = group(&r, SFTN_GROUP_NAMES, NULL);
    CHECK_INT(s.ngroups, 1);
    CHECK_INT(s.group[0].n, 4);
    CHECK_INT(s.group[0].unfinished, 1);
    CHECK_INT(s.group[0].sample[SFTN_MEASURE_LAST].n, 2);
    CHECK_NEAR(s.group[0].sample[SFTN_MEASURE_LAST].mean, 56.0, 1e-12);
    sftn_run_statistics_free(&s);
}

TEST(an_unknown_reference_is_named_beside_those_there_are)
{
    runs r = {0};
    sftn_run_statistics s;
    sftn_error err = {0};

    add_four_groups(&r);
    CHECK_FAILS(sftn_runs_group(r.run, r.n, SFTN_GROUP_SEEDS, "plain", 0.95, &s, &err),
                SFTN_ERR_ARGUMENT, &err,
                "called \"plain\"; there are \"resnet8 kd of resnet20 plain\"");
    CHECK_FAILS(sftn_runs_group(r.run, r.n, SFTN_GROUP_SEEDS, NULL, 1.0, &s, &err),
                SFTN_ERR_ARGUMENT, &err, "the level of intervals is 1");
}

/* ---- results of experiments ---- */

static const char *const results =
    "{\"experiment\": \"x\", \"runs\": ["
    "{\"name\": \"plain-seed1\", \"group\": \"plain\", \"kind\": \"teacher\", \"network\": \"r\","
    " \"teacher\": \"plain\", \"scheme\": \"plain\", \"seed\": 1, \"options\": {},"
    " \"state\": \"done\", \"epochs\": 9, \"train_top1\": 80, \"test_top1\": 70},"
    "{\"name\": \"friendly-seed1\", \"group\": \"friendly\", \"kind\": \"teacher\","
    " \"network\": \"r\", \"teacher\": \"friendly\", \"scheme\": \"sftn\", \"seed\": 1,"
    " \"options\": {}, \"state\": \"done\", \"epochs\": 9, \"train_top1\": 75, \"test_top1\": 68},"
    "{\"name\": \"kd-of-plain-seed1\", \"group\": \"kd-of-plain\", \"kind\": \"student\","
    " \"network\": \"s\", \"teacher\": \"plain\", \"student\": \"s\", \"method\": \"kd\","
    " \"seed\": 1, \"options\": {}, \"teacher_run\": \"plain-seed1\", \"state\": \"done\","
    " \"epochs\": 9, \"test_top1\": 60, \"best_validation_top1\": 59, \"best_test_top1\": 61,"
    " \"agreement\": 65,"
    " \"kl_teacher_student\": 0.5},"
    "{\"name\": \"kd-of-friendly-seed1\", \"group\": \"kd-of-friendly\", \"kind\": \"student\","
    " \"network\": \"s\", \"teacher\": \"friendly\", \"student\": \"s\", \"method\": \"kd\","
    " \"seed\": 1, \"options\": {}, \"teacher_run\": \"friendly-seed1\", \"state\": \"done\","
    " \"epochs\": 9, \"test_top1\": 62, \"best_validation_top1\": 60, \"best_test_top1\": 61.5,"
    " \"agreement\": 75, \"kl_teacher_student\": 0.25},"
    "{\"name\": \"kd-of-friendly-seed2\", \"group\": \"kd-of-friendly\", \"kind\": \"student\","
    " \"network\": \"s\", \"method\": \"kd\", \"student\": \"s\", \"seed\": 2, \"options\": {},"
    " \"teacher_run\": \"friendly-seed1\", \"state\": \"failed\"}]}";

static const char *write_file(const char *name, const char *text)
{
    const char *path = test_temp_path(name);
    FILE *file = fopen(path, "w");

    fputs(text, file);
    fclose(file);
    return path;
}

/* Rows bring the names of their groups; students differ by their teacher, then teachers. */
TEST(results_of_an_experiment_are_grouped_like_runs)
{
    sftn_run_statistics s;
    sftn_error err = {0};
    sftn_run *run;
    int n;

    CHECK_OK(sftn_results_read(write_file("x.results.json", results), &run, &n, &err), &err);
    CHECK_INT(n, 5);
    CHECK_OK(sftn_runs_group(run, n, SFTN_GROUP_SEEDS, NULL, 0.95, &s, &err), &err);
    CHECK_INT(s.ngroups, 4);
    CHECK_TEXT(s.group[3].label, "kd-of-friendly");
    CHECK_TEXT(s.group[3].teacher, "friendly");
    CHECK_INT(s.group[3].unfinished, 1);
    CHECK_NEAR(s.group[2].sample[SFTN_MEASURE_BEST].mean, 61.0, 0.0);
    CHECK_INT(s.ndifferences, 2);
    CHECK_TEXT(s.difference[0].label, "kd-of-friendly");
    CHECK_TEXT(s.difference[0].against, "kd-of-plain");
    CHECK_NEAR(s.difference[0].sample[SFTN_MEASURE_LAST].mean, 2.0, 0.0);
    CHECK_NEAR(s.difference[0].sample[SFTN_MEASURE_KL].mean, -0.25, 0.0);
    CHECK_TEXT(s.difference[1].label, "friendly");
    CHECK_TEXT(s.difference[1].against, "plain");
    CHECK_NEAR(s.difference[1].sample[SFTN_MEASURE_TRAIN].mean, -5.0, 0.0);
    sftn_run_statistics_free(&s);
    CHECK_OK(sftn_runs_group(run, n, SFTN_GROUP_SEEDS, "plain", 0.95, &s, &err), &err);
    CHECK_INT(s.ndifferences, 2);
    sftn_run_statistics_free(&s);
    sftn_runs_free(run, n);
}

/* A row of a student by kd, called group, of a teacher called so. */
static void add_row(runs *r, char *group, char *teacher, bool plain, double top1)
{
    sftn_run *run = add_run(r, "x-seed1", 1, top1, "{\"student\":\"s\",\"method\":\"kd\"}");

    run->group = group;
    run->teacher = teacher;
    run->plain_teacher = plain;
}

TEST(every_ordinary_teacher_is_compared_with)
{
    runs r = {0};
    sftn_run_statistics s;

    add_row(&r, "kd-of-slow", "slow", true, 50.0);
    add_row(&r, "kd-of-fast", "fast", true, 55.0);
    add_row(&r, "kd-of-friendly", "friendly", false, 60.0);
    s = group(&r, SFTN_GROUP_SEEDS, NULL);
    CHECK_INT(s.ndifferences, 2);
    CHECK_TEXT(s.difference[0].label, "kd-of-friendly");
    CHECK_TEXT(s.difference[0].against, "kd-of-slow");
    CHECK_NEAR(s.difference[0].sample[SFTN_MEASURE_LAST].mean, 10.0, 1e-12);
    CHECK_TEXT(s.difference[1].label, "kd-of-friendly");
    CHECK_TEXT(s.difference[1].against, "kd-of-fast");
    CHECK_NEAR(s.difference[1].sample[SFTN_MEASURE_LAST].mean, 5.0, 1e-12);
    sftn_run_statistics_free(&s);
    s = group(&r, SFTN_GROUP_SEEDS, "fast");
    CHECK_INT(s.ndifferences, 2);
    CHECK_NEAR(s.difference[0].sample[SFTN_MEASURE_LAST].mean, -5.0, 1e-12);
    sftn_run_statistics_free(&s);
}

/* A row of a teacher that starts from the one of a group, of the same seed, or from none (NULL). */
static void write_row(sftn_strbuf *b, const char *group, int seed, const char *from)
{
    sftn_strbuf_add(b, "{\"name\": \"%s-seed%d\", \"group\": \"%s\", ", group, seed, group);
    sftn_strbuf_add(b, "\"seed\": %d, \"hash\": \"%s%d\", ", seed, group, seed);
    sftn_strbuf_add(b, "\"directory\": \"my cache/%s%d\", ", group, seed);
    sftn_strbuf_add(b, "\"state\": \"done\", \"epochs\": 9, \"test_top1\": 70, ");
    sftn_strbuf_add(b, "\"command\": \"sftn teach --seed=%d", seed);
    if (from)
        sftn_strbuf_add(b, " '--init-from=my cache/%s%d'", from, seed);
    sftn_strbuf_add(b, "\"}");
}

/* Networks of the same file that a command starts from are told by groups, not directories. */
TEST(seeds_may_start_from_networks_of_their_own)
{
    sftn_strbuf b = {0};
    sftn_run_statistics s;
    sftn_error err = {0};
    sftn_run *run;
    int n;

    sftn_strbuf_add(&b, "{\"runs\": [");
    for (int seed = 1; seed <= 2; seed++) {
        write_row(&b, "first", seed, NULL);
        sftn_strbuf_add(&b, ", ");
        write_row(&b, "second", seed, "first");
        sftn_strbuf_add(&b, "%s", seed == 1 ? ", " : "]}");
    }
    CHECK_OK(sftn_results_read(write_file("from.json", b.text), &run, &n, &err), &err);
    CHECK_INT(n, 4);
    CHECK_OK(sftn_runs_group(run, n, SFTN_GROUP_SEEDS, NULL, 0.95, &s, &err), &err);
    CHECK_INT(s.ngroups, 2);
    CHECK_INT(s.group[1].sample[SFTN_MEASURE_LAST].n, 2);
    sftn_run_statistics_free(&s);
    sftn_runs_free(run, n);
    *strstr(b.text, "my cache/first2'") = 'M'; /* no network of the file */
    CHECK_OK(sftn_results_read(write_file("from.json", b.text), &run, &n, &err), &err);
    CHECK_FAILS(sftn_runs_group(run, n, SFTN_GROUP_SEEDS, NULL, 0.95, &s, &err), SFTN_ERR_ARGUMENT,
                &err, "second-seed1 and second-seed2 have one name, and differ in more than");
    sftn_runs_free(run, n);
    sftn_strbuf_free(&b);
}

TEST(an_empty_command_is_read)
{
    sftn_error err = {0};
    sftn_run *run;
    int n;

    CHECK_OK(sftn_results_read(write_file("empty.json",
                                          "{\"runs\": [{\"name\": \"a-seed1\", \"group\": \"a\","
                                          " \"command\": \"\"}]}"),
                               &run, &n, &err),
             &err);
    CHECK_INT(n, 1);
    CHECK_TEXT(run[0].recipe, "");
    sftn_runs_free(run, n);
}

TEST(a_file_without_results_is_told)
{
    sftn_error err = {0};
    sftn_run *run;
    int n;

    CHECK_FAILS(sftn_results_read(write_file("a.json", "[1]"), &run, &n, &err), SFTN_ERR_FORMAT,
                &err, "a.json: expected the results of an experiment");
    CHECK_FAILS(
        sftn_results_read(write_file("b.json", "{\"runs\": [{\"name\": \"x\"}]}"), &run, &n, &err),
        SFTN_ERR_FORMAT, &err, "row 1 of 'runs' has no");
    CHECK_FAILS(sftn_results_read("/nonexistent.json", &run, &n, &err), SFTN_ERR_FILE, &err,
                "/nonexistent.json");
}

/* ---- tables ---- */

static char *table_of(const runs *r, const sftn_run_statistics *s, sftn_table_format format)
{
    sftn_error err = {0};
    char *text;

    if (s)
        CHECK_OK(sftn_groups_table(r->run, s, format, &text, &err), &err);
    else
        CHECK_OK(sftn_runs_table(r->run, r->n, format, &text, &err), &err);
    return text;
}

TEST(last_epoch_and_best_on_validation_have_columns_of_their_own)
{
    runs r = {0};
    sftn_run *run = add_run(&r, "a|b", 1, 50.0, NULL);
    char *text;

    run->result.best_validation_top1 = 61.0;
    run->result.best_test_top1 = 52.0;
    add_run(&r, "c", -1, 40.5, NULL)->finished = false;
    text = table_of(&r, NULL, SFTN_TABLE_TEXT);
    CHECK_TEXT(text, "run  network  seed  epochs  test, last epoch  test, best on validation  "
                     "training\n"
                     "a|b  resnet8     1       1           50.00 %                   52.00 %   "
                     "60.00 %\n"
                     "c    resnet8     -       1           40.50 %                         -   "
                     "50.50 %  (not finished)\n");
    free(text);
    text = table_of(&r, NULL, SFTN_TABLE_MARKDOWN);
    CHECK_CONTAINS(text, "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n"
                         "| a\\|b | resnet8 | 1 | 1 | 50.00 % | 52.00 % | 60.00 % |  |\n");
    free(text);
    text = table_of(&r, NULL, SFTN_TABLE_CSV);
    CHECK_TEXT(text, "run,network,seed,epochs,test_top1,best_test_top1,train_top1,agreement,"
                     "kl_teacher_student,finished\r\n"
                     "a|b,resnet8,1,1,50,52,60,,,true\r\n"
                     "c,resnet8,,1,40.5,,50.5,,,false\r\n");
    free(text);
    text = table_of(&r, NULL, SFTN_TABLE_JSON);
    CHECK_CONTAINS(text, "\"best_test_top1\": 52,");
    CHECK_CONTAINS(text, "\"seed\": null,");
    free(text);
}

TEST(one_seed_has_a_dash_where_others_have_an_interval)
{
    runs r = {0};
    sftn_run_statistics s;
    char *text;

    add_four_groups(&r);
    s = group(&r, SFTN_GROUP_SEEDS, NULL);
    text = table_of(&r, &s, SFTN_TABLE_MARKDOWN);
    CHECK_CONTAINS(text, "| resnet8 kd of resnet20 plain | 3 | 52.00 ± 1.00 % | "
                         "62.00 ± 1.00 % |");
    CHECK_CONTAINS(text, "| resnet8 at of resnet20 sftn | 1 | 39.00 % |");
    CHECK_CONTAINS(text, "| resnet8 kd of resnet20 sftn | resnet8 kd of resnet20 plain | 3 | "
                         "+3.00 (+0.52 to +5.48) |");
    CHECK_CONTAINS(text, "| resnet8 at of resnet20 sftn | resnet8 at of resnet20 plain | 1 | "
                         "-1.00 (-) |");
    free(text);
    text = table_of(&r, &s, SFTN_TABLE_CSV);
    CHECK_CONTAINS(text, "group,against,level,test_top1_n,test_top1_mean,test_top1_sd,");
    CHECK_CONTAINS(text, "\r\nresnet8 at of resnet20 sftn,resnet8 at of resnet20 plain,0.95,"
                         "1,-1,,,,");
    CHECK_CONTAINS(text, "\r\nresnet8 kd of resnet20 plain,,0.95,3,52,1,");
    free(text);
    text = table_of(&r, &s, SFTN_TABLE_JSON);
    CHECK_CONTAINS(text, "\"sd\": null,");
    free(text);
    sftn_run_statistics_free(&s);
}
