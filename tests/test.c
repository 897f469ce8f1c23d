/* test.c: the harness of test.h: registration, checks, skipping, directories. */
#include "test.h"

#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define EXIT_SKIPPED 77 /* told to ctest as "not run" */

static test_case *first_test, **last_test = &first_test;
static size_t test_count, skip_count;
static const test_case *current_test;
static char temp_dir[256];

void test_register(test_case *test)
{
    *last_test = test;
    last_test = &test->next;
    test_count++;
}

void test_fail(const char *file, int line, const char *format, ...)
{
    char text[2048];
    va_list args;

    test_fail_allocation(0);
    test_fail_computation(0, 0);
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print_error("%s\n", text);
    _fail(file, line);
}

void test_check(bool holds, const char *what, const char *file, int line)
{
    if (!holds)
        test_fail(file, line, "%s does not hold", what);
}

void test_check_int(intmax_t found, intmax_t expected, const char *what, const char *file, int line)
{
    if (found != expected)
        test_fail(file, line, "%s is %" PRIdMAX ", expected %" PRIdMAX, what, found, expected);
}

void test_check_near(double found, double expected, double tolerance, const char *what,
                     const char *file, int line)
{
    if (!(found == expected || fabs(found - expected) <= tolerance))
        test_fail(file, line, "%s is %.17g, expected %.17g within %g (off by %g)", what, found,
                  expected, tolerance, fabs(found - expected));
}

void test_check_text(const char *found, const char *expected, const char *what, const char *file,
                     int line)
{
    if (!found || strcmp(found, expected) != 0)
        test_fail(file, line, "%s is \"%s\", expected \"%s\"", what, found ? found : "(null)",
                  expected);
}

void test_check_contains(const char *text, const char *part, const char *what, const char *file,
                         int line)
{
    if (!text || !strstr(text, part))
        test_fail(file, line, "%s gives \"%s\", expected \"%s\" in it", what,
                  text ? text : "(null)", part);
}

void test_check_bytes(const void *found, const void *expected, size_t bytes, const char *what,
                      const char *file, int line)
{
    const unsigned char *a = found, *b = expected;

    for (size_t i = 0; i < bytes; i++)
        if (a[i] != b[i])
            test_fail(file, line, "%s: byte %zu of %zu is 0x%02x, expected 0x%02x", what, i, bytes,
                      a[i], b[i]);
}

void test_check_status(sftn_status found, sftn_status expected, const sftn_error *err,
                       const char *what, const char *file, int line)
{
    if (found != expected)
        test_fail(file, line, "%s gives '%s', expected '%s'%s%s", what, sftn_status_name(found),
                  sftn_status_name(expected), err && found ? ": " : "",
                  err && found ? err->text : "");
}

void test_skip(const char *reason, const char *file, int line)
{
    skip_count++;
    printf("skipped %s: %s\n", current_test->name, reason); /* read by tests/skips.sh */
    fflush(stdout);
    _skip(file, line);
}

bool test_quick(void)
{
    const char *quick = getenv("SFTN_QUICK");

    return quick && strcmp(quick, "1") == 0;
}

/* What the variable names, which must be there, or else the other directory or NULL. */
static const char *directory(const char *variable, const char *otherwise)
{
    const char *named = getenv(variable), *dir = named && *named ? named : otherwise;
    struct stat info;

    if (stat(dir, &info) == 0 && S_ISDIR(info.st_mode))
        return dir;
    if (dir == named)
        test_fail(__FILE__, __LINE__, "%s names %s, which is no directory", variable, dir);
    return NULL;
}

const char *test_golden_dir(int i)
{
    switch (i) {
    case TEST_GOLDEN_PUBLIC:
        return TEST_SOURCE_DIR "/tests/golden/public";
    case TEST_GOLDEN_PAPERS:
        return TEST_SOURCE_DIR "/tests/golden/papers";
    case TEST_GOLDEN_MORE:
        return directory("SFTN_GOLDEN", TEST_SOURCE_DIR "/../shared/golden");
    default:
        return NULL;
    }
}

const char *test_data_dir(void)
{
    return directory("SFTN_TEST_DATA", TEST_SOURCE_DIR "/../shared/data");
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_temp_dir(void)
{
    nftw(temp_dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *test_temp_dir(void)
{
    if (!*temp_dir) {
        const char *parent = getenv("TMPDIR");

        snprintf(temp_dir, sizeof(temp_dir), "%s/sftn-test-XXXXXX",
                 parent && *parent ? parent : "/tmp");
        if (!mkdtemp(temp_dir))
            test_fail(__FILE__, __LINE__, "cannot make directory %s", temp_dir);
        atexit(remove_temp_dir);
    }
    return temp_dir;
}

const char *test_temp_path(const char *name)
{
    static char paths[8][512];
    static int used;
    char *path = paths[used++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", test_temp_dir(), name);
    return path;
}

static int enter(void **state)
{
    current_test = *state;
    return 0;
}

int main(int argc, char **argv)
{
    struct CMUnitTest *tests = calloc(test_count, sizeof(*tests));
    const char *slash = strrchr(argv[0], '/');
    size_t n = 0;
    int failed;

    if (!tests)
        return EXIT_FAILURE;
    for (const test_case *test = first_test; test; test = test->next)
        tests[n++] = (struct CMUnitTest){.name = test->name,
                                         .test_func = test->run,
                                         .setup_func = enter,
                                         .initial_state = (void *)(uintptr_t)test};
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    failed = _cmocka_run_group_tests(slash ? slash + 1 : argv[0], tests, n, NULL, NULL);
    free(tests);
    if (failed)
        return EXIT_FAILURE;
    return skip_count == test_count ? EXIT_SKIPPED : EXIT_SUCCESS;
}
