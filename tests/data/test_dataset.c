/* The registry, the data home, the limit, held-out records, statistics, and the cache. */
#include "test.h"

#include "base/base.h"
#include "data/dataset.h"
#include "data/fixture.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static sftn_dataset *open_or_fail(const sftn_data_options *options)
{
    sftn_error err = {0};
    sftn_dataset *d = NULL;

    CHECK_OK(sftn_dataset_open(options, &d, &err), &err);
    return d;
}

TEST(shapes_is_listed_first_and_every_entry_is_found_by_name)
{
    sftn_data_entry entry, found;
    sftn_error err = {0};
    int n = 0;

    while (sftn_data_list(n, &entry)) {
        CHECK_OK(sftn_data_find(entry.name, &found, &err), &err);
        CHECK_TEXT(found.summary, entry.summary);
        CHECK(entry.classes >= 10 && entry.channels >= 1);
        n++;
    }
    CHECK_INT(n, 5);
    CHECK(sftn_data_list(0, &entry));
    CHECK_TEXT(entry.name, "shapes");
    CHECK(entry.url == NULL && entry.sha256 == NULL);
    CHECK(!sftn_data_list(-1, &entry));
    CHECK_OK(sftn_data_find("cifar100", &found, &err), &err);
    CHECK_TEXT(found.url, "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz");
    CHECK_TEXT(found.sha256, "md5:03b5dce01913d631647c71ecec9e9cb8");
}

TEST(an_unknown_name_suggests_the_nearest)
{
    sftn_data_entry entry;
    sftn_dataset *d = NULL;
    sftn_error err = {0};

    CHECK_FAILS(sftn_data_find("cifar-100", &entry, &err), SFTN_ERR_ARGUMENT, &err,
                "no data set called \"cifar-100\"; did you mean \"cifar100\"?");
    CHECK_FAILS(sftn_dataset_open(&(sftn_data_options){.name = "xyzzyxyzzy"}, &d, &err),
                SFTN_ERR_ARGUMENT, &err, "no data set called \"xyzzyxyzzy\"");
    CHECK_FAILS(sftn_dataset_open(&(sftn_data_options){0}, &d, &err), SFTN_ERR_ARGUMENT, &err,
                "no data set called \"\"");
}

TEST(the_data_home_follows_the_environment)
{
    char home[512];

    setenv("SFTN_DATA", "/somewhere", 1);
    setenv("XDG_DATA_HOME", "/xdg", 1);
    sftn_data_home(home, sizeof(home));
    CHECK_TEXT(home, "/somewhere");
    unsetenv("SFTN_DATA");
    sftn_data_home(home, sizeof(home));
    CHECK_TEXT(home, "/xdg/sftn");
    unsetenv("XDG_DATA_HOME");
    setenv("HOME", "/home/someone", 1);
    sftn_data_home(home, sizeof(home));
    CHECK_TEXT(home, "/home/someone/.local/share/sftn");
}

/* ---- splits ---- */

static sftn_data_options small_set(const char *dir)
{
    fixture f = fixture_cifar100(50, 5);

    fixture_write(&f, dir, false);
    fixture_free(&f);
    return (sftn_data_options){.name = "cifar100", .path = dir, .no_cache = true};
}

/* Which of the 50 train records are in a split, told by their first pixels. */
static void which_records(const sftn_dataset *d, sftn_split split, bool seen[50])
{
    memset(seen, 0, 50 * sizeof(*seen));
    for (int64_t i = 0; i < sftn_dataset_get_info(d)->records[split]; i++) {
        const uint8_t *p = sftn_dataset_record(d, split, i, NULL);

        for (int k = 0; k < 50; k++)
            if (p[0] == fixture_pixel(0, k, 0))
                seen[k] = true;
    }
}

TEST(validation_and_train_part_the_limited_records)
{
    sftn_data_options options = small_set(test_temp_path("split"));
    bool train[50], held[50];
    sftn_dataset *d;

    options.limit = 40;
    options.validation = 10;
    options.seed = 3;
    d = open_or_fail(&options);
    CHECK_INT(sftn_dataset_get_info(d)->records[SFTN_TRAIN], 30);
    CHECK_INT(sftn_dataset_get_info(d)->records[SFTN_VALIDATION], 10);
    CHECK_INT(sftn_dataset_get_info(d)->records[SFTN_TEST], 5);
    which_records(d, SFTN_TRAIN, train);
    which_records(d, SFTN_VALIDATION, held);
    for (int i = 0; i < 50; i++)
        CHECK_INT(train[i] + held[i], i < 40);
    sftn_dataset_close(d);
}

TEST(the_held_out_records_follow_from_the_seed_alone)
{
    sftn_data_options options = small_set(test_temp_path("seeds"));
    bool held[3][50];

    options.validation = 10;
    for (int i = 0; i < 3; i++) {
        sftn_dataset *d;

        options.seed = i == 2 ? 8 : 7;
        d = open_or_fail(&options);
        which_records(d, SFTN_VALIDATION, held[i]);
        sftn_dataset_close(d);
    }
    CHECK_BYTES(held[1], held[0], sizeof(held[0]));
    CHECK(memcmp(held[2], held[0], sizeof(held[0])) != 0);
}

TEST(the_digest_follows_what_a_training_sees)
{
    sftn_data_options o = small_set(test_temp_path("digest"));
    char first[SFTN_DATASET_DIGEST], other[SFTN_DATASET_DIGEST];

    o.validation = 10;
    for (int i = 0; i < 5; i++) {
        sftn_dataset *d;

        o.limit = i == 2 ? 40 : i == 4 ? 50 : 0;
        o.seed = i == 3 ? 7 : 0;
        d = open_or_fail(&o);
        sftn_dataset_digest(d, i ? other : first);
        CHECK_INT((int)strlen(first), 64);
        /* Again the same, fewer records, others held out, all by another option. */
        if (i > 0)
            CHECK(strcmp(first, other) == 0 ? i == 1 || i == 4 : i == 2 || i == 3);
        sftn_dataset_close(d);
    }
}

TEST(every_record_is_held_out_equally_often)
{
    sftn_data_options options = small_set(test_temp_path("often"));
    int times[50] = {0};

    options.validation = 10;
    for (uint64_t seed = 0; seed < 500; seed++) {
        bool held[50];
        sftn_dataset *d;

        options.seed = seed;
        d = open_or_fail(&options);
        which_records(d, SFTN_VALIDATION, held);
        for (int i = 0; i < 50; i++)
            times[i] += held[i];
        sftn_dataset_close(d);
    }
    for (int i = 0; i < 50; i++)
        CHECK_NEAR(times[i], 100, 45); /* 5 standard deviations of 500 draws of 1/5 */
}

TEST(a_limit_past_the_end_means_all_and_holding_out_all_is_refused)
{
    sftn_data_options options = small_set(test_temp_path("limits"));
    sftn_dataset *d = NULL;
    sftn_error err = {0};

    options.limit = 1000;
    d = open_or_fail(&options);
    CHECK_INT(sftn_dataset_get_info(d)->records[SFTN_TRAIN], 50);
    sftn_dataset_close(d);
    options.limit = 20;
    options.validation = 20;
    CHECK_FAILS(sftn_dataset_open(&options, &d, &err), SFTN_ERR_ARGUMENT, &err,
                "holding out 20 of 20 train records leaves none");
    options.limit = -1;
    CHECK_FAILS(sftn_dataset_open(&options, &d, &err), SFTN_ERR_ARGUMENT, &err, "limit is -1");
}

TEST(statistics_are_the_usual_constants_or_those_of_the_train_split)
{
    fixture f = fixture_idx(300, 5);
    sftn_data_options options = small_set(test_temp_path("stats"));
    sftn_dataset *d = open_or_fail(&options);
    double sum = 0.0, squares = 0.0;
    const double n = 300.0 * 784.0;

    CHECK_NEAR(sftn_dataset_get_info(d)->mean[2], 0.4408, 1e-7);
    CHECK_NEAR(sftn_dataset_get_info(d)->std[0], 0.2675, 1e-7);
    sftn_dataset_close(d);

    fixture_write(&f, test_temp_path("stats-idx"), false);
    options = (sftn_data_options){
        .name = "mnist", .path = test_temp_path("stats-idx"), .no_cache = true, .limit = 10};
    d = open_or_fail(&options);
    for (int i = 0; i < 300; i++)
        for (int k = 0; k < 784; k++) {
            const double x = fixture_pixel(0, i, k) / 255.0;

            sum += x;
            squares += x * x;
        }
    CHECK_NEAR(sftn_dataset_get_info(d)->mean[0], sum / n, 1e-6);
    CHECK_NEAR(sftn_dataset_get_info(d)->std[0], sqrt(squares / n - sum / n * sum / n), 1e-6);
    sftn_dataset_close(d);
    fixture_free(&f);
}

/* ---- cache ---- */

/* A CIFAR-100 archive in the data home, opened once; *cache: the cache file that made. */
static sftn_data_options cached_set(char *archive, size_t archive_size, char *cache,
                                    size_t cache_size)
{
    const char *home = fixture_home();
    fixture f = fixture_cifar100(6, 2);
    char real[4096];

    snprintf(archive, archive_size, "%s/cifar-100-binary.tar.gz", home);
    fixture_archive(&f, archive, "tar.gz", "cifar-100-binary");
    fixture_free(&f);
    CHECK(realpath(archive, real) != NULL);
    sftn_cache_file("cifar100", real, cache, cache_size);
    sftn_dataset_close(open_or_fail(&(sftn_data_options){.name = "cifar100"}));
    return (sftn_data_options){.name = "cifar100"};
}

static void check_opens_right(const sftn_data_options *options)
{
    sftn_dataset *d = open_or_fail(options);

    CHECK_INT(sftn_dataset_get_info(d)->records[SFTN_TRAIN], 6);
    fixture_check(d);
    CHECK_TEXT(sftn_dataset_class(d, 99), "thing_99");
    sftn_dataset_close(d);
}

TEST(the_cache_is_read_in_place_of_the_archive)
{
    char archive[600], cache[4096];
    const sftn_data_options options =
        cached_set(archive, sizeof(archive), cache, sizeof(cache));
    struct stat before, after;
    uint8_t *data;
    size_t bytes = 0;

    CHECK_INT(stat(cache, &before), 0);
    check_opens_right(&options);
    CHECK_INT(stat(cache, &after), 0);
    CHECK(before.st_ino == after.st_ino && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);

    /* Same size and time, other contents: only the cache can still tell what was there. */
    CHECK_INT(stat(archive, &before), 0);
    data = fixture_read_file(archive, &bytes);
    memset(data, 0, bytes);
    fixture_write_file(archive, data, bytes);
    free(data);
    CHECK_INT(utimensat(AT_FDCWD, archive,
                        (struct timespec[2]){before.st_atim, before.st_mtim}, 0),
              0);
    check_opens_right(&options);
}

TEST(a_changed_archive_makes_its_cache_stale)
{
    char archive[600], cache[4096];
    sftn_data_options options = cached_set(archive, sizeof(archive), cache, sizeof(cache));
    fixture f = fixture_cifar100(9, 2);
    sftn_dataset *d;

    fixture_archive(&f, archive, "tar.gz", "cifar-100-binary");
    d = open_or_fail(&options);
    CHECK_INT(sftn_dataset_get_info(d)->records[SFTN_TRAIN], 9);
    fixture_check(d);
    sftn_dataset_close(d);
    fixture_free(&f);
}

TEST(a_damaged_cache_is_rebuilt)
{
    char archive[600], cache[4096];
    const sftn_data_options options =
        cached_set(archive, sizeof(archive), cache, sizeof(cache));
    size_t bytes = 0, again = 0;
    uint8_t *good = fixture_read_file(cache, &bytes);
    uint8_t *bad = malloc(bytes);

    CHECK(bad != NULL);
    for (size_t at = 0; at < bytes; at += at < 200 ? 1 : 997) {
        uint8_t *rebuilt;

        memcpy(bad, good, bytes);
        bad[at] ^= 0x10;
        fixture_write_file(cache, bad, bytes);
        check_opens_right(&options);
        rebuilt = fixture_read_file(cache, &again);
        CHECK_INT(again, bytes);
        CHECK_BYTES(rebuilt, good, bytes);
        free(rebuilt);
    }
    for (size_t n = 0; n < bytes; n += n < 200 ? 1 : 1009) {
        fixture_write_file(cache, good, n);
        check_opens_right(&options);
    }
    free(good);
    free(bad);
}

TEST(no_cache_neither_reads_nor_writes_one)
{
    char archive[600], cache[4096];
    sftn_data_options options = cached_set(archive, sizeof(archive), cache, sizeof(cache));
    struct stat info;

    CHECK_INT(unlink(cache), 0);
    options.no_cache = true;
    check_opens_right(&options);
    CHECK(stat(cache, &info) != 0);
}

TEST(a_cache_that_cannot_be_written_is_no_error)
{
    char archive[600], cache[4096], *slash;
    const sftn_data_options options =
        cached_set(archive, sizeof(archive), cache, sizeof(cache));

    /* A file where the directory should be keeps even root from writing there. */
    CHECK_INT(unlink(cache), 0);
    slash = strrchr(cache, '/');
    *slash = 0;
    CHECK_INT(rmdir(cache), 0);
    fixture_write_file(cache, "", 0);
    check_opens_right(&options);
}

TEST(a_directory_is_cached_by_its_files)
{
    const char *home = fixture_home();
    fixture f = fixture_idx(6, 2);
    sftn_data_options options = {.name = "mnist"};
    char dir[600], file[700];

    snprintf(dir, sizeof(dir), "%s/mnist", home);
    fixture_write(&f, dir, true);
    for (int i = 0; i < 2; i++) {
        sftn_dataset *d = open_or_fail(&options);

        fixture_check(d);
        sftn_dataset_close(d);
    }
    f.file[3].data[8] = 99;
    snprintf(file, sizeof(file), "%s/t10k-labels-idx1-ubyte", dir);
    fixture_write_file(file, f.file[3].data, f.file[3].bytes);
    sftn_dataset *d = NULL;
    sftn_error err = {0};
    CHECK_FAILS(sftn_dataset_open(&options, &d, &err), SFTN_ERR_FORMAT, &err, "has label 99");
    fixture_free(&f);
}

TEST(a_failing_allocation_is_an_error_without_a_leak)
{
    sftn_data_options options = small_set(test_temp_path("memory"));
    sftn_error err = {0};

    for (long n = 1;; n++) {
        sftn_dataset *d = NULL;
        sftn_status status;

        test_fail_allocation(n);
        status = sftn_dataset_open(&options, &d, &err);
        test_fail_allocation(0);
        if (status == SFTN_OK) {
            fixture_check(d);
            sftn_dataset_close(d);
            break;
        }
        CHECK_INT(status, SFTN_ERR_MEMORY);
        CHECK(d == NULL && n < 1000);
    }
}
