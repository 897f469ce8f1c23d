/* Downloads from a server of this machine: whole, resumed, damaged, broken off; from nowhere. */
#include "test.h"

#include "base/base.h"
#include "data/dataset.h"
#include "data/fixture.h"
#include "data/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BYTES = 300000 };

static uint8_t contents[BYTES];
static char digest[SFTN_DIGEST_TEXT];

/* The server, the file it gives, and where the download goes. */
typedef struct setting {
    http_server *server;
    char path[600], part[640], bad[640];
} setting;

static setting start(http_options options, const char *name)
{
    setting s;
    sftn_error err = {0};

    /* The environment's proxies are not for the loopback interface. */
    setenv("no_proxy", "*", 1);
    for (size_t i = 0; i < BYTES; i++)
        contents[i] = (uint8_t)(i * 7 + i / 251);
    snprintf(s.path, sizeof(s.path), "%s", test_temp_path(name));
    snprintf(s.part, sizeof(s.part), "%s.part", s.path);
    snprintf(s.bad, sizeof(s.bad), "%s.bad", s.path);
    fixture_write_file(s.path, contents, BYTES);
    CHECK_OK(sftn_file_digest(s.path, "", digest, &err), &err);
    CHECK_INT(unlink(s.path), 0);
    options.data = contents;
    options.bytes = BYTES;
    s.server = http_server_start(&options);
    return s;
}

static sftn_status fetch(const setting *s, sftn_error *err)
{
    return sftn_download(http_server_url(s->server), s->path, digest, NULL, NULL, err);
}

static void check_arrived(const setting *s)
{
    struct stat info;
    size_t bytes = 0;
    uint8_t *data = fixture_read_file(s->path, &bytes);

    CHECK_INT(bytes, BYTES);
    CHECK_BYTES(data, contents, BYTES);
    CHECK(stat(s->part, &info) != 0);
    free(data);
}

TEST(digests_are_those_of_the_standards)
{
    const char *path = test_temp_path("digest");
    char text[SFTN_DIGEST_TEXT];
    sftn_error err = {0};

    /* RFC 1321 and FIPS 180-2 test vectors. */
    fixture_write_file(path, "abc", 3);
    CHECK_OK(sftn_file_digest(path, "md5:", text, &err), &err);
    CHECK_TEXT(text, "md5:900150983cd24fb0d6963f7d28e17f72");
    CHECK_OK(sftn_file_digest(path, "0", text, &err), &err);
    CHECK_TEXT(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK_FAILS(sftn_file_digest(test_temp_path("none"), "", text, &err), SFTN_ERR_FILE, &err,
                "none: cannot open");
}

TEST(a_file_is_fetched_and_verified_once)
{
    const setting s = start((http_options){0}, "whole");
    sftn_error err = {0};

    CHECK_OK(fetch(&s, &err), &err);
    check_arrived(&s);
    CHECK_OK(fetch(&s, &err), &err);
    CHECK_INT(http_server_requests(s.server), 1);
    http_server_stop(s.server);
}

TEST(a_partial_file_is_resumed_from_its_end)
{
    const setting s = start((http_options){0}, "resumed");
    sftn_error err = {0};

    fixture_write_file(s.part, contents, 123456);
    CHECK_OK(fetch(&s, &err), &err);
    check_arrived(&s);
    CHECK_INT(http_server_sent(s.server), BYTES - 123456);
    http_server_stop(s.server);
}

TEST(a_transfer_that_breaks_off_goes_on_the_next_time)
{
    const setting s = start((http_options){.break_after = 100000}, "broken");
    sftn_error err = {0};

    CHECK_FAILS(fetch(&s, &err), SFTN_ERR_NETWORK, &err, "the transfer broke off");
    CHECK_CONTAINS(err.text, s.part);
    CHECK_FAILS(fetch(&s, &err), SFTN_ERR_NETWORK, &err, "the transfer broke off");
    CHECK_OK(fetch(&s, &err), &err);
    check_arrived(&s);
    CHECK_INT(http_server_sent(s.server), BYTES);
    http_server_stop(s.server);
}

TEST(a_server_without_ranges_sends_all_again)
{
    const setting s = start((http_options){.no_ranges = true}, "no-ranges");
    sftn_error err = {0};

    fixture_write_file(s.part, contents, 123456);
    CHECK_OK(fetch(&s, &err), &err);
    check_arrived(&s);
    http_server_stop(s.server);
}

TEST(a_complete_partial_file_needs_no_more)
{
    const setting s = start((http_options){0}, "complete");
    sftn_error err = {0};

    fixture_write_file(s.part, contents, BYTES);
    CHECK_OK(fetch(&s, &err), &err);
    check_arrived(&s);
    CHECK_INT(http_server_sent(s.server), 0);
    http_server_stop(s.server);
}

TEST(a_checksum_that_differs_is_told_and_the_file_set_aside)
{
    const setting s = start((http_options){0}, "mismatch");
    sftn_error err = {0};
    struct stat info;

    /* A partial file of something else makes the whole wrong. */
    fixture_write_file(s.part, "something else", 14);
    CHECK_FAILS(fetch(&s, &err), SFTN_ERR_FORMAT, &err, "checksum is ");
    CHECK_CONTAINS(err.text, digest);
    CHECK_CONTAINS(err.text, s.bad);
    CHECK_INT(stat(s.bad, &info), 0);
    CHECK_INT(info.st_size, BYTES);
    CHECK(stat(s.path, &info) != 0);
    CHECK(stat(s.part, &info) != 0);
    CHECK_OK(fetch(&s, &err), &err);
    check_arrived(&s);
    http_server_stop(s.server);
}

TEST(a_file_that_is_there_but_wrong_is_fetched_again)
{
    const setting s = start((http_options){0}, "wrong");
    sftn_error err = {0};

    fixture_write_file(s.path, "damaged", 7);
    CHECK_OK(fetch(&s, &err), &err);
    check_arrived(&s);
    http_server_stop(s.server);
}

TEST(a_refusal_names_the_code)
{
    const setting s = start((http_options){.code = 404}, "refused");
    sftn_error err = {0};

    CHECK_FAILS(fetch(&s, &err), SFTN_ERR_NETWORK, &err, "the server answers with code 404");
    CHECK_CONTAINS(err.text, http_server_url(s.server));
    http_server_stop(s.server);
}

TEST(no_network_is_said_in_one_sentence)
{
    const setting s = start((http_options){0}, "none");
    char url[64];
    sftn_error err = {0};

    snprintf(url, sizeof(url), "%s", http_server_url(s.server));
    http_server_stop(s.server);
    CHECK_FAILS(sftn_download(url, s.path, digest, NULL, NULL, &err), SFTN_ERR_NETWORK, &err,
                "no connection");
    CHECK_CONTAINS(err.text, "is there a network?");
    CHECK_FAILS(sftn_download("http://nowhere.invalid/x", s.path, digest, NULL, NULL, &err),
                SFTN_ERR_NETWORK, &err, "http://nowhere.invalid/x: no connection");
}

typedef struct watch {
    int64_t last, total, stop_at;
    bool backwards;
} watch;

static bool watching(void *ctx, int64_t done, int64_t total)
{
    watch *w = ctx;

    w->backwards |= done < w->last;
    w->last = done;
    w->total = total;
    return w->stop_at == 0 || done < w->stop_at;
}

TEST(progress_counts_what_was_there_before)
{
    const setting s = start((http_options){0}, "progress");
    sftn_error err = {0};
    watch w = {0};

    fixture_write_file(s.part, contents, 200000);
    CHECK_OK(sftn_download(http_server_url(s.server), s.path, digest, watching, &w, &err), &err);
    CHECK(!w.backwards);
    CHECK_INT(w.last, BYTES);
    CHECK_INT(w.total, BYTES);
    http_server_stop(s.server);
}

TEST(progress_may_stop_the_download_and_the_part_stays)
{
    const setting s = start((http_options){0}, "stopped");
    sftn_error err = {0};
    watch w = {.stop_at = 1};
    struct stat info;

    CHECK_FAILS(sftn_download(http_server_url(s.server), s.path, digest, watching, &w, &err),
                SFTN_ERR_INTERRUPTED, &err, s.part);
    CHECK_INT(stat(s.part, &info), 0);
    CHECK_OK(fetch(&s, &err), &err);
    check_arrived(&s);
    http_server_stop(s.server);
}

TEST(a_place_that_cannot_be_written_is_a_file_error)
{
    const setting s = start((http_options){0}, "place");
    sftn_error err = {0};

    CHECK_FAILS(sftn_download(http_server_url(s.server), test_temp_path("no/such/dir"), digest,
                              NULL, NULL, &err),
                SFTN_ERR_FILE, &err, "no/such/dir.part: cannot open");
    CHECK_FAILS(sftn_download(http_server_url(s.server), "/dev/full/x", digest, NULL, NULL, &err),
                SFTN_ERR_FILE, &err, "cannot open");
    http_server_stop(s.server);
}

TEST(built_in_and_unknown_sets_are_not_downloaded)
{
    sftn_error err = {0};

    CHECK_FAILS(sftn_data_get("shapes", NULL, NULL, NULL, &err), SFTN_ERR_ARGUMENT, &err,
                "shapes is built in");
    CHECK_FAILS(sftn_data_get("cifar1000", NULL, NULL, NULL, &err), SFTN_ERR_ARGUMENT, &err,
                "did you mean \"cifar100\"?");
}

/* With no way out, `data get` makes its directory and says what failed. */
TEST(data_get_without_a_network_names_the_archive)
{
    sftn_error err = {0};
    struct stat info;

    setenv("no_proxy", "", 1);
    setenv("https_proxy", "http://127.0.0.1:9", 1);
    setenv("http_proxy", "http://127.0.0.1:9", 1);
    CHECK_FAILS(sftn_data_get("cifar100", test_temp_path("get"), NULL, NULL, &err),
                SFTN_ERR_NETWORK, &err,
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz: no connection");
    CHECK_FAILS(sftn_data_get("mnist", test_temp_path("get"), NULL, NULL, &err), SFTN_ERR_NETWORK,
                &err, "mnist/train-images-idx3-ubyte.gz: no connection");
    CHECK_INT(stat(test_temp_path("get/mnist"), &info), 0);
}
