/*
 * test.h: the test harness, on cmocka.
 *
 * Every tests/FOLDER/test_NAME.c becomes one program and one ctest entry FOLDER/NAME, linked with
 * the static library, so that internal functions can be tested; every tests/FOLDER/test_NAME.sh
 * becomes a ctest entry too, run by bash in the source directory with the command's path in $SFTN,
 * and passes when bash leaves with 0 (77: skipped, with a line "skipped: REASON").  Other .c files
 * of tests/ and tests/FOLDER are helpers that any program may call.  A program takes one argument:
 * a pattern (*, ?) of the tests to run.
 *
 *     #include "test.h"
 *
 *     TEST(two_and_two_are_four)
 *     {
 *         CHECK_INT(2 + 2, 4);
 *     }
 *
 * A check that fails ends its test.  Checks may be used in helper functions, outside parallel
 * regions.
 */
#ifndef SFTN_TEST_H
#define SFTN_TEST_H

#include "sftn/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct test_case {
    const char *name;
    void (*run)(void **state);
    struct test_case *next;
} test_case;

/* Tests register themselves before main runs, in the order of the file. */
void test_register(test_case *test);

#define TEST(name)                                                       \
    static void test_run_##name(void **state);                           \
    __attribute__((constructor)) static void test_register_##name(void)  \
    {                                                                    \
        static test_case test = {#name, test_run_##name, NULL};          \
        test_register(&test);                                            \
    }                                                                    \
    static void test_run_##name(void **state __attribute__((unused)))

/* condition holds. */
#define CHECK(condition) test_check((condition), #condition, __FILE__, __LINE__)
/* Two integers are equal. */
#define CHECK_INT(found, expected) \
    test_check_int((intmax_t)(found), (intmax_t)(expected), #found, __FILE__, __LINE__)
/* |found - expected| <= tolerance; NaN is near nothing. */
#define CHECK_NEAR(found, expected, tolerance) \
    test_check_near((found), (expected), (tolerance), #found, __FILE__, __LINE__)
/* Two texts are equal. */
#define CHECK_TEXT(found, expected) \
    test_check_text((found), (expected), #found, __FILE__, __LINE__)
/* text contains part. */
#define CHECK_CONTAINS(text, part) \
    test_check_contains((text), (part), #text, __FILE__, __LINE__)
/* Two blocks of bytes are equal; the first difference is named. */
#define CHECK_BYTES(found, expected, bytes) \
    test_check_bytes((found), (expected), (bytes), #found, __FILE__, __LINE__)
/* A call's status. */
#define CHECK_STATUS(call, expected) \
    test_check_status((call), (expected), NULL, #call, __FILE__, __LINE__)
/* A call succeeds; the text in err (sftn_error *) is shown where it does not. */
#define CHECK_OK(call, err) test_check_status((call), SFTN_OK, (err), #call, __FILE__, __LINE__)
/* A call fails with this status and a text that contains part. */
#define CHECK_FAILS(call, expected, err, part)                                  \
    do {                                                                        \
        test_check_status((call), (expected), (err), #call, __FILE__, __LINE__); \
        test_check_contains((err)->text, (part), #call, __FILE__, __LINE__);    \
    } while (0)
/* Leave this test as skipped, saying why in words that tests/skips has. */
#define SKIP(reason) test_skip((reason), __FILE__, __LINE__)

void test_check(bool holds, const char *what, const char *file, int line);
void test_check_int(intmax_t found, intmax_t expected, const char *what, const char *file,
                    int line);
void test_check_near(double found, double expected, double tolerance, const char *what,
                     const char *file, int line);
void test_check_text(const char *found, const char *expected, const char *what, const char *file,
                     int line);
void test_check_contains(const char *text, const char *part, const char *what, const char *file,
                         int line);
void test_check_bytes(const void *found, const void *expected, size_t bytes, const char *what,
                      const char *file, int line);
void test_check_status(sftn_status found, sftn_status expected, const sftn_error *err,
                       const char *what, const char *file, int line);
void test_skip(const char *reason, const char *file, int line);
/* Fail with a text of your own. */
void test_fail(const char *file, int line, const char *format, ...) SFTN_PRINTF(3, 4);

/* True when SFTN_QUICK=1 asks slow tests to do less. */
bool test_quick(void);

/*
 * The directories of reference files, one after the other from i = 0, then NULL: those of
 * tests/golden, and another beside them, SFTN_GOLDEN or ../shared/golden, where there is one.
 */
enum { TEST_GOLDEN_PUBLIC, TEST_GOLDEN_PAPERS, TEST_GOLDEN_MORE };
const char *test_golden_dir(int i);
/* Directory of the data sets (SFTN_TEST_DATA or ../shared/data); NULL where there is none. */
const char *test_data_dir(void);

/* An empty directory of this program's own, removed when the program ends. */
const char *test_temp_dir(void);
/* test_temp_dir()/name; valid for the next seven calls. */
const char *test_temp_path(const char *name);

/*
 * Count the allocations made by the library and the test from here on, and let the nth one (1: the
 * next) return NULL; n = 0 lets none fail.  Not counted: what other libraries allocate.
 */
void test_fail_allocation(long n);
/* Allocations counted since. */
long test_allocations(void);

/*
 * Count oneDNN's computations from here on, in all threads, and let the nth one (1: the next) end
 * with this dnnl_status_t, computing nothing; n = 0 lets none fail.
 */
void test_fail_computation(long n, int status);
/* Computations counted since. */
long test_computations(void);

#endif
