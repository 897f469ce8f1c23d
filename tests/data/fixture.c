/* fixture.c: see fixture.h. */
#include "data/fixture.h"

#include "test.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

int fixture_label(int part, int i, int classes)
{
    return (i * 7 + part * 3) % classes;
}

uint8_t fixture_pixel(int part, int i, int k)
{
    return (uint8_t)(k * 13 + i * 31 + part * 101 + k / 97);
}

static fixture_file *add_file(fixture *f, const char *name, size_t bytes)
{
    fixture_file *file = &f->file[f->n++];

    snprintf(file->name, sizeof(file->name), "%s", name);
    file->data = calloc(bytes ? bytes : 1, 1);
    file->bytes = bytes;
    CHECK(file->data != NULL);
    return file;
}

/* Records first.. of a part, each label_bytes label bytes and its pixels. */
static void add_cifar(fixture *f, const char *name, int part, int first, int count,
                      int label_bytes, int classes)
{
    const size_t record = (size_t)label_bytes + 3072;
    fixture_file *file = add_file(f, name, (size_t)count * record);

    for (int i = 0; i < count; i++) {
        uint8_t *p = file->data + (size_t)i * record;

        p[label_bytes - 1] = (uint8_t)fixture_label(part, first + i, classes);
        for (int k = 0; k < 3072; k++)
            p[label_bytes + k] = fixture_pixel(part, first + i, k);
    }
}

static void add_names(fixture *f, const char *name, int classes)
{
    char text[2048] = "";
    size_t length = 0;

    for (int i = 0; i < classes; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "thing_%d\n", i);
    memcpy(add_file(f, name, length)->data, text, length);
}

fixture fixture_cifar100(int train, int test)
{
    fixture f = {0};

    add_cifar(&f, "train.bin", 0, 0, train, 2, 100);
    add_cifar(&f, "test.bin", 1, 0, test, 2, 100);
    add_names(&f, "fine_label_names.txt", 100);
    return f;
}

fixture fixture_cifar10(int each)
{
    fixture f = {0};
    char name[32];

    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "data_batch_%d.bin", i + 1);
        add_cifar(&f, name, 0, i * each, each, 1, 10);
    }
    add_cifar(&f, "test_batch.bin", 1, 0, each, 1, 10);
    add_names(&f, "batches.meta.txt", 10);
    return f;
}

static void add_idx(fixture *f, const char *name, int part, int count, bool images)
{
    const uint8_t header[16] = {0, 0, 8, images ? 3 : 1, 0, 0, (uint8_t)(count >> 8),
                                (uint8_t)count, 0, 0, 0, 28, 0, 0, 0, 28};
    const size_t start = images ? 16 : 8, record = images ? 784 : 1;
    fixture_file *file = add_file(f, name, start + (size_t)count * record);

    memcpy(file->data, header, start);
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < record; k++)
            file->data[start + (size_t)i * record + k] =
                images ? fixture_pixel(part, i, (int)k) : (uint8_t)fixture_label(part, i, 10);
}

fixture fixture_idx(int train, int test)
{
    fixture f = {0};

    add_idx(&f, "train-images-idx3-ubyte", 0, train, true);
    add_idx(&f, "train-labels-idx1-ubyte", 0, train, false);
    add_idx(&f, "t10k-images-idx3-ubyte", 1, test, true);
    add_idx(&f, "t10k-labels-idx1-ubyte", 1, test, false);
    return f;
}

void fixture_free(fixture *f)
{
    for (int i = 0; i < f->n; i++)
        free(f->file[i].data);
    f->n = 0;
}

void fixture_write_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    CHECK(fwrite(data, 1, bytes, file) == bytes);
    CHECK_INT(fclose(file), 0);
}

uint8_t *fixture_read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    struct stat info;
    uint8_t *data;

    CHECK(file != NULL);
    CHECK_INT(fstat(fileno(file), &info), 0);
    *bytes = (size_t)info.st_size;
    data = malloc(*bytes + 1);
    CHECK(data != NULL);
    CHECK(fread(data, 1, *bytes, file) == *bytes);
    fclose(file);
    return data;
}

void fixture_write(const fixture *f, const char *dir, bool gzip)
{
    char path[1024];

    mkdir(dir, 0777);
    for (int i = 0; i < f->n; i++) {
        snprintf(path, sizeof(path), "%s/%s%s", dir, f->file[i].name, gzip ? ".gz" : "");
        if (gzip) {
            gzFile out = gzopen(path, "wb");

            CHECK(out != NULL);
            CHECK(gzwrite(out, f->file[i].data, (unsigned)f->file[i].bytes) ==
                  (int)f->file[i].bytes);
            CHECK_INT(gzclose(out), Z_OK);
        } else {
            fixture_write_file(path, f->file[i].data, f->file[i].bytes);
        }
    }
}

void fixture_archive(const fixture *f, const char *path, const char *form, const char *folder)
{
    struct archive *a = archive_write_new();
    char name[256];

    if (strcmp(form, "zip") == 0)
        archive_write_set_format_zip(a);
    else
        archive_write_set_format_ustar(a);
    if (strcmp(form, "tar.gz") == 0)
        archive_write_add_filter_gzip(a);
    if (strcmp(form, "tar.xz") == 0)
        archive_write_add_filter_xz(a);
    CHECK_INT(archive_write_open_filename(a, path), ARCHIVE_OK);
    for (int i = 0; i < f->n; i++) {
        struct archive_entry *entry = archive_entry_new();

        snprintf(name, sizeof(name), "%s%s%s", folder, *folder ? "/" : "", f->file[i].name);
        archive_entry_set_pathname(entry, name);
        archive_entry_set_size(entry, (la_int64_t)f->file[i].bytes);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        CHECK_INT(archive_write_header(a, entry), ARCHIVE_OK);
        CHECK(archive_write_data(a, f->file[i].data, f->file[i].bytes) ==
              (la_ssize_t)f->file[i].bytes);
        archive_entry_free(entry);
    }
    CHECK_INT(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

const char *fixture_home(void)
{
    static char home[512];
    static int count;

    snprintf(home, sizeof(home), "%s/home%d", test_temp_dir(), count++);
    CHECK_INT(mkdir(home, 0777), 0);
    CHECK_INT(setenv("SFTN_DATA", home, 1), 0);
    return home;
}

void fixture_check(const sftn_dataset *d)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(d);
    const int pixels = info->channels * info->height * info->width;

    for (int part = 0; part < 2; part++) {
        const sftn_split split = part ? SFTN_TEST : SFTN_TRAIN;

        for (int i = 0; i < (int)info->records[split]; i++) {
            int label = -1;
            const uint8_t *p = sftn_dataset_record(d, split, i, &label);
            int wrong = 0;

            CHECK_INT(label, fixture_label(part, i, info->classes));
            for (int k = 0; k < pixels; k++)
                wrong += p[k] != fixture_pixel(part, i, k);
            CHECK_INT(wrong, 0);
        }
    }
}
