/* Reading data sets: CIFAR and IDX layouts, from directories and archives; damaged files. */
#include "test.h"

#include "base/base.h"
#include "data/dataset.h"
#include "data/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Open name at path without a cache and compare every record with the rule. */
static void check_reads(const char *name, const char *path, int train, int test)
{
    sftn_error err = {0};
    sftn_dataset *d = NULL;

    CHECK_OK(sftn_dataset_open(
                 &(sftn_data_options){.name = name, .path = path, .no_cache = true}, &d, &err),
             &err);
    CHECK_INT(sftn_dataset_get_info(d)->records[SFTN_TRAIN], train);
    CHECK_INT(sftn_dataset_get_info(d)->records[SFTN_VALIDATION], 0);
    CHECK_INT(sftn_dataset_get_info(d)->records[SFTN_TEST], test);
    fixture_check(d);
    sftn_dataset_close(d);
}

/* Opening fails with this status; err has the text. */
static void check_refused(const char *name, const char *path, sftn_status status, sftn_error *err)
{
    sftn_dataset *d = NULL;

    CHECK_STATUS(sftn_dataset_open(
                     &(sftn_data_options){.name = name, .path = path, .no_cache = true}, &d, err),
                 status);
    CHECK(d == NULL);
}

static void check_all_forms(const char *name, const fixture *f, const char *folder, int train,
                            int test)
{
    static const char *const forms[] = {"tar", "tar.gz", "tar.xz", "zip"};
    char path[1024], inside[1100];

    for (size_t i = 0; i < SFTN_COUNT(forms); i++) {
        snprintf(path, sizeof(path), "%s/%s-a.%s", test_temp_dir(), name, forms[i]);
        fixture_archive(f, path, forms[i], folder);
        check_reads(name, path, train, test);
        fixture_archive(f, path, forms[i], "");
        check_reads(name, path, train, test);
    }
    for (int gzip = 0; gzip < 2; gzip++) {
        snprintf(path, sizeof(path), "%s/%s-dir%d", test_temp_dir(), name, gzip);
        fixture_write(f, path, gzip);
        check_reads(name, path, train, test);
        snprintf(path, sizeof(path), "%s/%s-above%d", test_temp_dir(), name, gzip);
        mkdir(path, 0777);
        snprintf(inside, sizeof(inside), "%s/%s", path, folder);
        fixture_write(f, inside, gzip);
        check_reads(name, path, train, test);
    }
}

TEST(cifar100_is_read_from_directories_and_all_archives)
{
    fixture f = fixture_cifar100(7, 3);

    check_all_forms("cifar100", &f, "cifar-100-binary", 7, 3);
    fixture_free(&f);
}

TEST(cifar10_train_files_are_joined_in_order)
{
    fixture f = fixture_cifar10(3);

    check_all_forms("cifar10", &f, "cifar-10-batches-bin", 15, 3);
    fixture_free(&f);
}

TEST(idx_is_read_from_directories_and_all_archives)
{
    fixture f = fixture_idx(300, 5);

    check_all_forms("mnist", &f, "mnist", 300, 5);
    check_all_forms("fashion-mnist", &f, "fashion-mnist", 300, 5);
    fixture_free(&f);
}

TEST(an_archive_is_found_in_a_directory_and_in_the_data_home)
{
    fixture f = fixture_cifar100(4, 2);
    const char *home = fixture_home();
    char path[600];

    snprintf(path, sizeof(path), "%s/cifar-100-binary.tar.xz", home);
    fixture_archive(&f, path, "tar.xz", "cifar-100-binary");
    check_reads("cifar100", home, 4, 2);
    check_reads("cifar100", NULL, 4, 2);
    fixture_free(&f);
}

TEST(class_names_come_from_the_names_file_or_are_numbers)
{
    fixture f = fixture_cifar100(4, 2);
    sftn_dataset *d = NULL;
    sftn_error err = {0};
    sftn_data_options options = {.name = "cifar100", .no_cache = true};

    options.path = test_temp_path("with-names");
    fixture_write(&f, options.path, false);
    CHECK_OK(sftn_dataset_open(&options, &d, &err), &err);
    CHECK_TEXT(sftn_dataset_class(d, 0), "thing_0");
    CHECK_TEXT(sftn_dataset_class(d, 99), "thing_99");
    sftn_dataset_close(d);

    options.path = test_temp_path("without-names");
    free(f.file[--f.n].data);
    fixture_write(&f, options.path, false);
    CHECK_OK(sftn_dataset_open(&options, &d, &err), &err);
    CHECK_TEXT(sftn_dataset_class(d, 17), "class 17");
    sftn_dataset_close(d);
    fixture_free(&f);
}

TEST(a_label_out_of_range_names_file_record_and_value)
{
    fixture f = fixture_cifar100(5, 2), g = fixture_idx(6, 4);
    sftn_error err = {0};

    f.file[0].data[3 * 3074 + 1] = 100;
    fixture_write(&f, test_temp_path("bad-label"), false);
    check_refused("cifar100", test_temp_path("bad-label"), SFTN_ERR_FORMAT, &err);
    CHECK_CONTAINS(err.text, "train.bin: record 3 has label 100, expected 0 to 99");
    fixture_archive(&f, test_temp_path("bad-label.zip"), "zip", "x");
    check_refused("cifar100", test_temp_path("bad-label.zip"), SFTN_ERR_FORMAT, &err);
    CHECK_CONTAINS(err.text, "bad-label.zip: x/train.bin: record 3 has label 100");

    g.file[3].data[8 + 2] = 10;
    fixture_write(&g, test_temp_path("bad-idx"), true);
    check_refused("mnist", test_temp_path("bad-idx"), SFTN_ERR_FORMAT, &err);
    CHECK_CONTAINS(err.text, "t10k-labels-idx1-ubyte.gz: record 2 has label 10, expected 0 to 9");
    fixture_free(&f);
    fixture_free(&g);
}

TEST(a_truncated_file_names_the_sizes_found_and_expected)
{
    fixture f = fixture_cifar100(5, 2), g = fixture_idx(6, 4);
    sftn_error err = {0};

    f.file[0].bytes = 4 * 3074 + 1000;
    fixture_write(&f, test_temp_path("short"), false);
    check_refused("cifar100", test_temp_path("short"), SFTN_ERR_FORMAT, &err);
    CHECK_CONTAINS(err.text, "train.bin: truncated");
    CHECK_CONTAINS(err.text, "found 13296 bytes");
    CHECK_CONTAINS(err.text, "expected 15370");

    g.file[0].bytes -= 100;
    fixture_write(&g, test_temp_path("short-idx"), false);
    check_refused("mnist", test_temp_path("short-idx"), SFTN_ERR_FORMAT, &err);
    CHECK_CONTAINS(err.text, "train-images-idx3-ubyte: truncated: found 4620 bytes, expected 4720");
    fixture_free(&f);
    fixture_free(&g);
}

TEST(idx_headers_are_checked)
{
    static const struct {
        int file, byte;
        uint8_t value;
        const char *text;
    } table[] = {
        {0, 2, 9, "begins with 00000903, expected 00000803"},
        {0, 3, 1, "begins with 00000801, expected 00000803"},
        {0, 11, 32, "images have 32 rows, expected 28"},
        {2, 15, 27, "images have 27 columns, expected 28"},
        {1, 7, 5, "train-labels-idx1-ubyte: too long"},
        {3, 7, 200, "t10k-labels-idx1-ubyte: truncated"},
        {0, 4, 255, "train-images-idx3-ubyte: truncated"},
    };
    sftn_error err = {0};

    for (size_t i = 0; i < SFTN_COUNT(table); i++) {
        fixture f = fixture_idx(6, 4);

        f.file[table[i].file].data[table[i].byte] = table[i].value;
        fixture_write(&f, test_temp_path("header"), false);
        check_refused("mnist", test_temp_path("header"), SFTN_ERR_FORMAT, &err);
        CHECK_CONTAINS(err.text, table[i].text);
        fixture_free(&f);
    }
}

TEST(images_and_labels_must_be_equally_many)
{
    fixture f = fixture_idx(6, 4), g = fixture_idx(5, 4);
    sftn_error err = {0};

    fixture_write(&f, test_temp_path("counts"), false);
    fixture_write_file(test_temp_path("counts/train-labels-idx1-ubyte"), g.file[1].data,
                       g.file[1].bytes);
    check_refused("mnist", test_temp_path("counts"), SFTN_ERR_FORMAT, &err);
    CHECK_CONTAINS(err.text, "has 5 labels, but ");
    CHECK_CONTAINS(err.text, "has 6 images");
    fixture_free(&f);
    fixture_free(&g);
}

TEST(an_absent_file_is_named)
{
    fixture f = fixture_cifar100(5, 2);
    sftn_error err = {0};

    f.file[1].name[0] = 'b';
    fixture_write(&f, test_temp_path("absent"), false);
    check_refused("cifar100", test_temp_path("absent"), SFTN_ERR_FILE, &err);
    CHECK_CONTAINS(err.text, "holds no file test.bin");
    fixture_archive(&f, test_temp_path("absent.tar"), "tar", "");
    check_refused("cifar100", test_temp_path("absent.tar"), SFTN_ERR_FILE, &err);
    CHECK_CONTAINS(err.text, "absent.tar: holds no file test.bin");
    fixture_free(&f);
}

TEST(what_is_not_there_says_where_it_was_looked_for_and_what_gets_it)
{
    const char *home = fixture_home();
    sftn_error err = {0};

    check_refused("cifar100", NULL, SFTN_ERR_FILE, &err);
    CHECK_CONTAINS(err.text, home);
    CHECK_CONTAINS(err.text, "`sftn data get cifar100`");
    CHECK_CONTAINS(err.text, "--data-path");
    check_refused("cifar100", home, SFTN_ERR_FILE, &err);
    CHECK_CONTAINS(err.text, "holds neither train.bin nor cifar-100-binary");
    check_refused("mnist", test_temp_path("nowhere"), SFTN_ERR_FILE, &err);
    CHECK_CONTAINS(err.text, "nowhere: cannot open: No such file");
}

TEST(a_file_that_is_no_archive_is_refused)
{
    sftn_error err = {0};

    fixture_write_file(test_temp_path("text"), "just some text, for once", 24);
    check_refused("cifar10", test_temp_path("text"), SFTN_ERR_FORMAT, &err);
    CHECK_CONTAINS(err.text, "text: damaged, truncated or not an archive");
    fixture_write_file(test_temp_path("empty"), "", 0);
    check_refused("cifar10", test_temp_path("empty"), SFTN_ERR_FORMAT, &err);
}

/* A fixture whose contents do not compress to nothing, to have archives with substance. */
static fixture scrambled(fixture f)
{
    for (int i = 0; i < f.n; i++)
        for (size_t k = 0; k < f.file[i].bytes && strstr(f.file[i].name, "bin"); k++)
            if (k % 3074 > 1)
                f.file[i].data[k] = (uint8_t)(sftn_philox(1, SFTN_RNG_TEST, (uint64_t)i, k).v[0]);
    return f;
}

/* The dataset of f read from path is either refused or exactly right. */
static bool refused_or_right(const char *path, const fixture *f)
{
    sftn_error err = {0};
    sftn_dataset *d = NULL;
    const sftn_data_options options = {.name = "cifar100", .path = path, .no_cache = true};
    const sftn_status status = sftn_dataset_open(&options, &d, &err);

    if (status != SFTN_OK) {
        CHECK(status == SFTN_ERR_FORMAT || status == SFTN_ERR_FILE);
        CHECK(strlen(err.text) > 10);
        CHECK_CONTAINS(err.text, path);
        return true;
    }
    for (int i = 0; i < (int)sftn_dataset_get_info(d)->records[SFTN_TRAIN]; i++)
        CHECK_BYTES(sftn_dataset_record(d, SFTN_TRAIN, i, NULL), f->file[0].data + i * 3074 + 2,
                    3072);
    CHECK_BYTES(sftn_dataset_record(d, SFTN_TEST, 0, NULL), f->file[1].data + 2, 3072);
    sftn_dataset_close(d);
    return false;
}

TEST(an_archive_cut_anywhere_is_an_error_or_still_whole)
{
    static const char *const forms[] = {"tar", "tar.gz", "tar.xz", "zip"};
    fixture f = scrambled(fixture_cifar100(1, 1));
    const size_t step = test_quick() ? 37 : 3;

    for (size_t i = 0; i < SFTN_COUNT(forms); i++) {
        const char *whole = test_temp_path("whole"), *cut = test_temp_path("cut");
        size_t bytes = 0, accepted = 0;
        uint8_t *data;

        fixture_archive(&f, whole, forms[i], "cifar-100-binary");
        data = fixture_read_file(whole, &bytes);
        for (size_t n = 0; n < bytes; n += n + 64 < bytes ? step : 1) {
            fixture_write_file(cut, data, n);
            accepted += !refused_or_right(cut, &f);
        }
        /* A tar's end mark may be missing; a compressed stream must be complete. */
        if (strcmp(forms[i], "tar.gz") == 0 || strcmp(forms[i], "tar.xz") == 0)
            CHECK_INT(accepted, 0);
        free(data);
    }
    fixture_free(&f);
}

TEST(a_compressed_archive_with_a_flipped_bit_is_an_error_or_still_right)
{
    static const char *const forms[] = {"tar.gz", "tar.xz", "zip"};
    fixture f = scrambled(fixture_cifar100(1, 1));

    for (size_t i = 0; i < SFTN_COUNT(forms); i++) {
        const char *whole = test_temp_path("whole"), *flipped = test_temp_path("flipped");
        size_t bytes = 0;
        uint8_t *data;

        fixture_archive(&f, whole, forms[i], "cifar-100-binary");
        data = fixture_read_file(whole, &bytes);
        for (size_t n = 0; n < bytes; n += test_quick() ? 53 : 7) {
            data[n] ^= (uint8_t)(1u << n % 8);
            fixture_write_file(flipped, data, bytes);
            refused_or_right(flipped, &f);
            data[n] ^= (uint8_t)(1u << n % 8);
        }
        free(data);
    }
    fixture_free(&f);
}

TEST(every_truncation_of_a_raw_file_is_an_error)
{
    fixture f = fixture_cifar100(1, 1), g = fixture_idx(1, 1);
    sftn_error err = {0};

    fixture_write(&f, test_temp_path("cut-cifar"), false);
    for (size_t n = 0; n < f.file[0].bytes; n += n < 64 ? 1 : 11) {
        fixture_write_file(test_temp_path("cut-cifar/train.bin"), f.file[0].data, n);
        check_refused("cifar100", test_temp_path("cut-cifar"), SFTN_ERR_FORMAT, &err);
    }
    for (int i = 0; i < g.n; i++) {
        char path[600];

        fixture_write(&g, test_temp_path("cut-idx"), false);
        snprintf(path, sizeof(path), "%s/%s", test_temp_path("cut-idx"), g.file[i].name);
        for (size_t n = 0; n < g.file[i].bytes; n++) {
            fixture_write_file(path, g.file[i].data, n);
            check_refused("mnist", test_temp_path("cut-idx"), SFTN_ERR_FORMAT, &err);
        }
    }
    fixture_free(&f);
    fixture_free(&g);
}

TEST(every_truncation_of_a_gz_file_is_an_error)
{
    fixture f = fixture_idx(2, 2);
    sftn_error err = {0};
    size_t bytes = 0;
    uint8_t *data;

    fixture_write(&f, test_temp_path("cut-gz"), true);
    data = fixture_read_file(test_temp_path("cut-gz/train-images-idx3-ubyte.gz"), &bytes);
    for (size_t n = 0; n < bytes; n++) {
        fixture_write_file(test_temp_path("cut-gz/train-images-idx3-ubyte.gz"), data, n);
        check_refused("mnist", test_temp_path("cut-gz"), SFTN_ERR_FORMAT, &err);
        CHECK_CONTAINS(err.text, "train-images-idx3-ubyte.gz: ");
    }
    free(data);
    fixture_free(&f);
}

TEST(compressed_files_inside_an_archive_are_expanded)
{
    fixture f = fixture_idx(3, 2), packed = {0};
    const char *dir = test_temp_path("gz-inside");

    fixture_write(&f, dir, true);
    for (int i = 0; i < f.n; i++) {
        fixture_file *file = &packed.file[packed.n++];
        char path[600];

        snprintf(file->name, sizeof(file->name), "%.50s.gz", f.file[i].name);
        snprintf(path, sizeof(path), "%s/%s", dir, file->name);
        file->data = fixture_read_file(path, &file->bytes);
    }
    fixture_archive(&packed, test_temp_path("inside.zip"), "zip", "MNIST/raw");
    check_reads("mnist", test_temp_path("inside.zip"), 3, 2);
    fixture_free(&f);
    fixture_free(&packed);
}

TEST(real_cifar100_has_its_counts_classes_and_channel_means)
{
    static const double mean[3] = {0.50707516, 0.48654887, 0.44091784};
    int per_class[100] = {0};
    sftn_error err = {0};
    sftn_dataset *d = NULL;
    char path[600];
    FILE *file;

    if (test_quick())
        SKIP("SFTN_QUICK");
    snprintf(path, sizeof(path), "%s/cifar-100-binary.tar.xz",
             test_data_dir() ? test_data_dir() : ".");
    file = fopen(path, "rb");
    if (!file)
        SKIP("no cifar-100-binary.tar.xz");
    fclose(file);
    CHECK_OK(sftn_dataset_open(
                 &(sftn_data_options){.name = "cifar100", .path = path, .no_cache = true}, &d,
                 &err),
             &err);
    CHECK_INT(sftn_dataset_get_info(d)->records[SFTN_TRAIN], 50000);
    CHECK_INT(sftn_dataset_get_info(d)->records[SFTN_TEST], 10000);
    CHECK_INT(sftn_dataset_get_info(d)->classes, 100);
    for (int c = 0; c < 3; c++) {
        double sum = 0.0;

        for (int64_t i = 0; i < 50000; i++) {
            int label = 0;
            const uint8_t *p = sftn_dataset_record(d, SFTN_TRAIN, i, &label) + c * 1024;

            per_class[label] += c == 0;
            for (int k = 0; k < 1024; k++)
                sum += p[k];
        }
        CHECK_NEAR(sum / (50000.0 * 1024.0 * 255.0), mean[c], 5e-9);
    }
    for (int i = 0; i < 100; i++)
        CHECK_INT(per_class[i], 500);
    CHECK_TEXT(sftn_dataset_class(d, 0), "apple");
    sftn_dataset_close(d);
}
