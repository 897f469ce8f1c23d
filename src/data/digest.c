/* digest: MD5 and SHA-256 of files, to compare downloads with what their publishers state. */
#include "base/base.h"
#include "data/dataset.h"

#include <errno.h>
#include <md5.h>
#include <sha2.h>
#include <stdio.h>
#include <string.h>

typedef struct digest {
    bool md5;
    MD5_CTX md5_state;
    SHA2_CTX sha_state;
} digest;

static void digest_begin(digest *d, bool md5)
{
    d->md5 = md5;
    if (md5)
        MD5Init(&d->md5_state);
    else
        SHA256Init(&d->sha_state);
}

static void digest_add(digest *d, const uint8_t *data, size_t bytes)
{
    if (d->md5)
        MD5Update(&d->md5_state, data, bytes);
    else
        SHA256Update(&d->sha_state, data, bytes);
}

static void digest_end(digest *d, char text[SFTN_DIGEST_TEXT])
{
    uint8_t sum[SHA256_DIGEST_LENGTH];
    const int n = d->md5 ? MD5_DIGEST_LENGTH : SHA256_DIGEST_LENGTH;
    int length = snprintf(text, SFTN_DIGEST_TEXT, "%s", d->md5 ? "md5:" : "");

    if (d->md5)
        MD5Final(sum, &d->md5_state);
    else
        SHA256Final(sum, &d->sha_state);
    for (int i = 0; i < n; i++, length += 2)
        snprintf(text + length, SFTN_DIGEST_TEXT - (size_t)length, "%02x", sum[i]);
}

sftn_status sftn_file_digest(const char *path, const char *like, char text[SFTN_DIGEST_TEXT],
                             sftn_error *err)
{
    FILE *file = fopen(path, "rbe");
    uint8_t block[1 << 15];
    digest d;
    size_t got;
    bool failed;

    text[0] = 0;
    if (!file)
        return sftn_fail(err, SFTN_ERR_FILE, "%s: cannot open: %s", path, strerror(errno));
    digest_begin(&d, strncmp(like, "md5:", 4) == 0);
    while ((got = fread(block, 1, sizeof(block), file)) > 0)
        digest_add(&d, block, got);
    failed = ferror(file) != 0;
    fclose(file);
    if (failed)
        return sftn_fail(err, SFTN_ERR_FILE, "%s: cannot read: %s", path, strerror(errno));
    digest_end(&d, text);
    return SFTN_OK;
}
