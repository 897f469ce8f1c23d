/* plot: files of both kinds, and what cannot be drawn. */
#include "base/base.h"
#include "test.h"

#include "sftn/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { RUNS = 12, EPOCHS = 3 };

typedef struct made_runs {
    sftn_run run[RUNS];
    sftn_run_epoch epoch[RUNS][EPOCHS];
    char name[RUNS][32];
} made_runs;

/* Runs of seeds 1 and 2 in turn. */
static void make_runs(made_runs *r)
{
    memset(r, 0, sizeof *r);
    for (int i = 0; i < RUNS; i++) {
        snprintf(r->name[i], sizeof r->name[i], "run%d-seed%d", i / 2, i % 2 + 1);
        for (int k = 0; k < EPOCHS; k++)
            r->epoch[i][k] = (sftn_run_epoch){
                .epoch = k + 1, .test_top1 = 50.0 + i + 3.0 * k, .validation_top1 = -1.0};
        r->run[i] = (sftn_run){.name = r->name[i],
                               .network = (char *)"resnet8",
                               .data = (char *)"shapes",
                               .seed = -1,
                               .nepochs = EPOCHS,
                               .epoch = r->epoch[i],
                               .finished = true,
                               .result = {.last_top1 = 56.0 + i}};
    }
}

static void check_begins(const char *path, const char *with)
{
    void *data;
    size_t bytes;
    sftn_error err = {0};

    CHECK_OK(sftn_read_file(path, &data, &bytes, &err), &err);
    CHECK(bytes > 1000);
    CHECK_BYTES(data, with, strlen(with));
    free(data);
}

TEST(every_kind_is_drawn_as_svg_and_as_png)
{
    static const char *const name[] = {"curves", "intervals", "differences"};
    made_runs r;
    sftn_run_statistics s;
    sftn_error err = {0};

    make_runs(&r);
    CHECK_OK(sftn_runs_group(r.run, RUNS, SFTN_GROUP_NAMES, "run0", 0.95, &s, &err), &err);
    CHECK_INT(s.ndifferences, RUNS / 2 - 1);
    for (int kind = SFTN_PLOT_CURVES; kind <= SFTN_PLOT_DIFFERENCES; kind++) {
        const sftn_plot_options o = {(sftn_plot_kind)kind, 900, 500};
        char file[64];

        snprintf(file, sizeof file, "%s.svg", name[kind]);
        CHECK_OK(sftn_runs_plot(r.run, RUNS, &s, &o, test_temp_path(file), &err), &err);
        check_begins(test_temp_path(file), "<?xml");
        snprintf(file, sizeof file, "%s.png", name[kind]);
        CHECK_OK(sftn_runs_plot(r.run, RUNS, &s, &o, test_temp_path(file), &err), &err);
        check_begins(test_temp_path(file), "\x89PNG");
    }
    sftn_run_statistics_free(&s);
}

/* Runs that measured the test images at their ends only have a curve of the held-out ones. */
TEST(runs_by_themselves_are_drawn_whatever_they_measured)
{
    const sftn_plot_options o = {SFTN_PLOT_CURVES, 640, 480};
    made_runs r;
    sftn_error err = {0};

    make_runs(&r);
    for (int i = 0; i < RUNS; i++)
        for (int k = 0; k < EPOCHS; k++)
            r.epoch[i][k].validation_top1 = 40.0, r.epoch[i][k].test_top1 = -1.0;
    CHECK_OK(sftn_runs_plot(r.run, 3, NULL, &o, test_temp_path("held-out.svg"), &err), &err);
    r.run[0].nepochs = 0;
    CHECK_OK(sftn_runs_plot(r.run, 1, NULL, &o, test_temp_path("empty.svg"), &err), &err);
}

TEST(what_cannot_be_drawn_is_said)
{
    const sftn_plot_options small = {SFTN_PLOT_CURVES, 320, 240};
    const sftn_plot_options intervals = {SFTN_PLOT_INTERVALS, 960, 120};
    const sftn_plot_options differences = {SFTN_PLOT_DIFFERENCES, 960, 600};
    made_runs r;
    sftn_run_statistics s;
    struct stat info;
    sftn_error err = {0};

    make_runs(&r);
    CHECK_OK(sftn_runs_group(r.run, RUNS, SFTN_GROUP_NAMES, NULL, 0.95, &s, &err), &err);
    CHECK_FAILS(sftn_runs_plot(r.run, 1, NULL, &differences, "plot.pdf", &err), SFTN_ERR_ARGUMENT,
                &err, "plot.pdf ends neither in .svg nor in .png");
    CHECK_FAILS(sftn_runs_plot(r.run, RUNS, NULL, &small, test_temp_path("small.svg"), &err),
                SFTN_ERR_ARGUMENT, &err, "320 x 240 pixels leave no room for 12 curves");
    CHECK_FAILS(sftn_runs_plot(r.run, RUNS, &s, &intervals, test_temp_path("small.svg"), &err),
                SFTN_ERR_ARGUMENT, &err, "960 x 120 pixels leave no room for 6 rows");
    CHECK_FAILS(sftn_runs_plot(r.run, RUNS, &s, &differences, test_temp_path("small.svg"), &err),
                SFTN_ERR_ARGUMENT, &err, "no two of these groups are to be compared");
    CHECK(stat(test_temp_path("small.svg"), &info) != 0);
    sftn_run_statistics_free(&s);
}
