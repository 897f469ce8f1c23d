/*
 * digest: MD5 and SHA-256 of files, to compare downloads with what their publishers state; SHA-256
 * of a data set as a training sees it.
 */
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

void sftn_dataset_digest(const sftn_dataset *d, char text[SFTN_DATASET_DIGEST])
{
    const sftn_dataset_info *info = sftn_dataset_get_info(d);
    const size_t bytes = (size_t)info->channels * (size_t)info->height * (size_t)info->width;
    char all[SFTN_DIGEST_TEXT], head[256];
    digest state;
    int length = snprintf(head, sizeof head, "%d %d %d %d", info->classes, info->channels,
                          info->height, info->width);

    digest_begin(&state, false);
    for (int c = 0; c < info->channels; c++)
        length += snprintf(head + length, sizeof head - (size_t)length, " %.9g %.9g",
                           (double)info->mean[c], (double)info->std[c]);
    for (int split = 0; split < 3; split++)
        length += snprintf(head + length, sizeof head - (size_t)length, " %lld",
                           (long long)info->records[split]);
    digest_add(&state, (const uint8_t *)head, (size_t)length);
    for (int split = 0; split < 3; split++)
        for (int64_t i = 0; i < info->records[split]; i++) {
            int label = 0;
            const uint8_t *pixels = sftn_dataset_record(d, (sftn_split)split, i, &label);
            const uint8_t number[4] = {(uint8_t)label, (uint8_t)(label >> 8),
                                       (uint8_t)(label >> 16), (uint8_t)(label >> 24)};

            digest_add(&state, number, sizeof number);
            digest_add(&state, pixels, bytes);
        }
    digest_end(&state, all);
    memcpy(text, all, SFTN_DATASET_DIGEST - 1);
    text[SFTN_DATASET_DIGEST - 1] = 0;
}
