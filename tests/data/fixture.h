/*
 * fixture.h: small data sets in the official layouts, written by the tests.  Pixels follow a rule,
 * so that what comes back can be checked record by record.
 */
#ifndef SFTN_TEST_DATA_FIXTURE_H
#define SFTN_TEST_DATA_FIXTURE_H

#include "sftn/data.h"

/* A file's name and contents. */
typedef struct fixture_file {
    char name[64];
    uint8_t *data; /* owned */
    size_t bytes;
} fixture_file;

enum { FIXTURE_MAX = 8 };

typedef struct fixture {
    fixture_file file[FIXTURE_MAX];
    int n;
} fixture;

/* CIFAR-100: `train` and `test` records and the names of the fine labels. */
fixture fixture_cifar100(int train, int test);
/* CIFAR-10: `each` records in each train file and in the test file, and the names. */
fixture fixture_cifar10(int each);
/* MNIST or Fashion-MNIST. */
fixture fixture_idx(int train, int test);
void fixture_free(fixture *f);

/* Label and byte k of the pixels of record i of a part (0 train, 1 test). */
int fixture_label(int part, int i, int classes);
uint8_t fixture_pixel(int part, int i, int k);

/* Each file under dir (made), by its name; gzip: compressed, with .gz after the name. */
void fixture_write(const fixture *f, const char *dir, bool gzip);
/*
 * One archive; form is its suffix: "tar", "tar.gz", "tar.xz" or "zip".  Names get `folder` and a
 * slash before them ("": nothing).
 */
void fixture_archive(const fixture *f, const char *path, const char *form, const char *folder);

/* Whole files, the test failing where that cannot be done. */
void fixture_write_file(const char *path, const void *data, size_t bytes);
uint8_t *fixture_read_file(const char *path, size_t *bytes); /* owned by the caller */

/* A fresh empty directory below test_temp_dir(), with SFTN_DATA set to it; valid for the test. */
const char *fixture_home(void);

/* All records of d are those of the rule. */
void fixture_check(const sftn_dataset *d);

#endif
