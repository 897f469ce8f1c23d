/* file: replacement is all or nothing; reading gives every byte; failures name path and reason. */
#include "base/base.h"
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static bool write_text(void *ctx, void *stream)
{
    return fputs(ctx, stream) >= 0;
}

static bool write_half_and_give_up(void *ctx, void *stream)
{
    (void)ctx;
    fputs("half", stream);
    return false;
}

static bool write_megabyte(void *ctx, void *stream)
{
    (void)ctx;
    for (int i = 0; i < 1 << 20; i++)
        if (putc(i & 0xff, stream) == EOF)
            return false;
    return true;
}

static void check_content(const char *path, const char *expected)
{
    sftn_error err = {0};
    size_t bytes;
    void *data;

    CHECK_OK(sftn_read_file(path, &data, &bytes, &err), &err);
    CHECK_INT(bytes, strlen(expected));
    CHECK_TEXT(data, expected);
    free(data);
}

static void check_no_temporary(const char *path)
{
    char temporary[512];

    snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    CHECK(access(temporary, F_OK) != 0);
}

TEST(replace_makes_and_replaces_a_file)
{
    const char *path = test_temp_path("fresh");
    sftn_error err = {0};

    CHECK_OK(sftn_replace_file(path, write_text, "one", &err), &err);
    check_content(path, "one");
    CHECK_OK(sftn_replace_file(path, write_text, "the second", &err), &err);
    check_content(path, "the second");
    check_no_temporary(path);
}

TEST(replace_works_in_the_current_directory)
{
    char before[4096];
    sftn_error err = {0};

    CHECK(getcwd(before, sizeof(before)) != NULL);
    CHECK_INT(chdir(test_temp_dir()), 0);
    const sftn_status status = sftn_replace_file("bare-name", write_text, "here", &err);

    CHECK_INT(chdir(before), 0);
    CHECK_OK(status, &err);
    check_content(test_temp_path("bare-name"), "here");
}

TEST(a_failed_callback_leaves_the_old_file)
{
    const char *path = test_temp_path("kept");
    sftn_error err = {0};

    CHECK_OK(sftn_replace_file(path, write_text, "old", &err), &err);
    CHECK_FAILS(sftn_replace_file(path, write_half_and_give_up, NULL, &err), SFTN_ERR_FILE, &err,
                path);
    check_content(path, "old");
    check_no_temporary(path);
}

/* The limit on file size makes writes fail in the middle, as a full disk does. */
TEST(a_write_that_runs_out_of_space_leaves_the_old_file)
{
    const char *path = test_temp_path("full");
    struct rlimit before, limit;
    sftn_error err = {0};
    sftn_status status;

    CHECK_OK(sftn_replace_file(path, write_text, "old", &err), &err);
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
    status = sftn_replace_file(path, write_megabyte, NULL, &err);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    CHECK_STATUS(status, SFTN_ERR_FILE);
    CHECK_CONTAINS(err.text, "File too large");
    check_content(path, "old");
    check_no_temporary(path);
}

/* Root may write anywhere, so it becomes another user for the attempt. */
TEST(a_read_only_directory_leaves_the_old_file)
{
    const char *dir = test_temp_path("read-only"), *path = test_temp_path("read-only/file");
    const bool root = geteuid() == 0;
    sftn_error err = {0};
    sftn_status status;

    CHECK_OK(sftn_make_dirs(dir, &err), &err);
    CHECK_OK(sftn_replace_file(path, write_text, "old", &err), &err);
    CHECK_INT(chmod(dir, 0555), 0);
    if (root && seteuid(65534) != 0)
        SKIP("root without the right to become another user");
    status = sftn_replace_file(path, write_text, "new", &err);
    if (root)
        CHECK_INT(seteuid(0), 0);
    CHECK_INT(chmod(dir, 0755), 0);
    CHECK_STATUS(status, SFTN_ERR_FILE);
    CHECK_CONTAINS(err.text, "Permission denied");
    check_content(path, "old");
}

TEST(replace_names_path_and_reason)
{
    const char *missing = test_temp_path("no-such-dir/file"), *dir = test_temp_path("a-directory");
    sftn_error err = {0};

    CHECK_FAILS(sftn_replace_file(missing, write_text, "x", &err), SFTN_ERR_FILE, &err,
                "no-such-dir/file: cannot write: No such file");
    CHECK_OK(sftn_make_dirs(dir, &err), &err);
    CHECK_FAILS(sftn_replace_file(dir, write_text, "x", &err), SFTN_ERR_FILE, &err,
                "a-directory: cannot write: Is a directory");
    check_no_temporary(dir);
}

TEST(make_dirs_makes_parents_and_accepts_what_exists)
{
    const char *path = test_temp_path("one/two//three/");
    struct stat info;
    sftn_error err = {0};

    CHECK_OK(sftn_make_dirs(path, &err), &err);
    CHECK_OK(sftn_make_dirs(path, &err), &err);
    CHECK(stat(path, &info) == 0 && S_ISDIR(info.st_mode));
}

TEST(make_dirs_refuses_a_file_in_the_way)
{
    const char *path = test_temp_path("plain-file"), *below = test_temp_path("plain-file/below");
    sftn_error err = {0};

    CHECK_OK(sftn_replace_file(path, write_text, "x", &err), &err);
    CHECK_FAILS(sftn_make_dirs(below, &err), SFTN_ERR_FILE, &err,
                "plain-file: cannot make directory");
}

TEST(read_gives_every_byte_and_a_terminator)
{
    const char *path = test_temp_path("bytes");
    sftn_error err = {0};
    unsigned char *bytes;
    size_t count;
    void *data;

    CHECK_OK(sftn_replace_file(path, write_megabyte, NULL, &err), &err);
    CHECK_OK(sftn_read_file(path, &data, &count, &err), &err);
    CHECK_INT(count, 1 << 20);
    bytes = data;
    for (int i = 0; i < 1 << 20; i++)
        CHECK_INT(bytes[i], i & 0xff);
    CHECK_INT(bytes[count], 0);
    free(data);
    CHECK_OK(sftn_replace_file(path, write_text, "", &err), &err);
    check_content(path, "");
}

TEST(read_names_path_and_reason)
{
    sftn_error err = {0};
    size_t count;
    void *data;

    CHECK_FAILS(sftn_read_file(test_temp_path("absent"), &data, &count, &err), SFTN_ERR_FILE, &err,
                "absent: cannot open: No such file");
    CHECK(!data);
    CHECK_FAILS(sftn_read_file(test_temp_dir(), &data, &count, &err), SFTN_ERR_FILE, &err,
                "Is a directory");
    CHECK(!data);
}

TEST(without_memory_nothing_is_damaged)
{
    const char *path = test_temp_path("memory");
    sftn_error err = {0};
    size_t bytes;
    void *data;

    CHECK_OK(sftn_replace_file(path, write_text, "old", &err), &err);
    test_fail_allocation(1);
    CHECK_STATUS(sftn_replace_file(path, write_text, "new", &err), SFTN_ERR_MEMORY);
    test_fail_allocation(1);
    CHECK_STATUS(sftn_read_file(path, &data, &bytes, &err), SFTN_ERR_MEMORY);
    test_fail_allocation(0);
    check_content(path, "old");
}
