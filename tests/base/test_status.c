/* status: error texts are built, prefixed and cut; memory and text grow without losing any. */
#include "base/base.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

TEST(fail_writes_text_and_returns_the_status)
{
    sftn_error err = {0};

    CHECK_STATUS(sftn_fail(&err, SFTN_ERR_FORMAT, "row %d: found %s", 3, "x"), SFTN_ERR_FORMAT);
    CHECK_INT(err.status, SFTN_ERR_FORMAT);
    CHECK_TEXT(err.text, "row 3: found x");
    CHECK_STATUS(sftn_fail(NULL, SFTN_ERR_FILE, "nowhere"), SFTN_ERR_FILE);
}

TEST(fail_in_puts_a_prefix_and_keeps_the_status)
{
    sftn_error err = {0};

    sftn_fail(&err, SFTN_ERR_FILE, "disk full");
    CHECK_STATUS(sftn_fail_in(&err, "epoch %d", 7), SFTN_ERR_FILE);
    CHECK_TEXT(err.text, "epoch 7: disk full");
}

TEST(fail_may_quote_the_text_it_replaces)
{
    sftn_error err = {0};

    sftn_fail(&err, SFTN_ERR_FILE, "inner");
    sftn_fail(&err, SFTN_ERR_FORMAT, "outer (%s)", err.text);
    CHECK_TEXT(err.text, "outer (inner)");
}

TEST(long_texts_are_truncated_and_terminated)
{
    sftn_error err = {0};
    char longer[2 * sizeof(err.text)];

    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    sftn_fail(&err, SFTN_ERR_FILE, "%s", longer);
    CHECK_INT(strlen(err.text), sizeof(err.text) - 1);
    sftn_fail_in(&err, "prefix");
    CHECK_INT(strlen(err.text), sizeof(err.text) - 1);
    CHECK_CONTAINS(err.text, "prefix: xxx");
}

TEST(every_status_has_a_name)
{
    for (int status = SFTN_OK; status <= SFTN_ERR_NETWORK; status++)
        CHECK(strcmp(sftn_status_name((sftn_status)status), "unknown status") != 0);
    CHECK_TEXT(sftn_version(), SFTN_VERSION);
}

TEST(strbuf_collects_text_of_any_length)
{
    sftn_strbuf b = {0};

    for (int i = 0; i < 1000; i++)
        sftn_strbuf_add(&b, "%d,", i % 10);
    CHECK(!b.failed);
    CHECK_INT(b.length, 2000);
    CHECK_INT(strlen(b.text), 2000);
    CHECK(strncmp(b.text, "0,1,2,3,4,5,6,7,8,9,0,", 22) == 0);
    sftn_strbuf_free(&b);
    CHECK(!b.text && b.length == 0);
}

TEST(strbuf_without_memory_is_marked_failed_and_stays_so)
{
    sftn_strbuf b = {0};

    test_fail_allocation(1);
    sftn_strbuf_add(&b, "first");
    CHECK(b.failed);
    sftn_strbuf_add(&b, "second");
    CHECK(b.failed && b.length == 0);
    sftn_strbuf_free(&b);
}

TEST(grow_keeps_elements_and_refuses_sizes_that_overflow)
{
    int *array = NULL, capacity = 0;

    for (int i = 0; i < 1000; i++) {
        CHECK(sftn_grow(&array, &capacity, i + 1, sizeof(*array)));
        array[i] = i;
    }
    for (int i = 0; i < 1000; i++)
        CHECK_INT(array[i], i);
    CHECK(!sftn_grow(&array, &capacity, 2000, SIZE_MAX / 4));
    CHECK_INT(array[999], 999);
    free(array);
    CHECK(!sftn_calloc(SIZE_MAX / 2, 4));
    CHECK(!sftn_aligned(SIZE_MAX - 8));
}

TEST(aligned_memory_is_aligned_and_zero)
{
    for (size_t bytes = 0; bytes < 300; bytes += 37) {
        unsigned char *memory = sftn_aligned(bytes);

        CHECK(memory && (uintptr_t)memory % 64 == 0);
        for (size_t i = 0; i < bytes; i++)
            CHECK(memory[i] == 0);
        free(memory);
    }
}

TEST(pool_memory_is_zero_aligned_and_does_not_move)
{
    sftn_pool pool = {0};
    char *first = sftn_pool_strdup(&pool, "first");
    unsigned char *large;

    for (size_t bytes = 1; bytes < 5000; bytes += 7) {
        unsigned char *memory = sftn_pool_alloc(&pool, bytes);

        CHECK(memory && (uintptr_t)memory % 16 == 0);
        CHECK(memory[0] == 0 && memory[bytes - 1] == 0);
        memset(memory, 0xff, bytes);
    }
    large = sftn_pool_alloc(&pool, (size_t)1 << 20);
    CHECK(large && large[((size_t)1 << 20) - 1] == 0);
    CHECK(!sftn_pool_alloc(&pool, SIZE_MAX - 4));
    CHECK_TEXT(first, "first");
    sftn_pool_free(&pool);
    sftn_pool_free(NULL);
}

/* Published vectors of FNV-1a (64 bits). */
TEST(hash_is_fnv_1a)
{
    CHECK(sftn_hash_text("") == UINT64_C(0xcbf29ce484222325));
    CHECK(sftn_hash_text("a") == UINT64_C(0xaf63dc4c8601ec8c));
    CHECK(sftn_hash_bytes("foobar", 6) == UINT64_C(0x85944171f73967e8));
}

TEST(the_clock_does_not_go_back)
{
    double before = sftn_seconds();

    for (int i = 0; i < 1000; i++) {
        const double now = sftn_seconds();

        CHECK(now >= before);
        before = now;
    }
}
