/*
 * download: a file from its publisher, by way of FILE.part so that an interrupted transfer goes on
 * where it stopped, and verified before it gets its name.
 */
#include "base/base.h"
#include "data/dataset.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CONNECT_SECONDS = 30,
    STALL_SECONDS = 60, /* without a byte, after which a transfer is given up */
    HTTP_RANGE_NOT_SATISFIABLE = 416,
};

typedef struct transfer {
    FILE *file;
    int64_t have; /* bytes of the partial file before this transfer */
    sftn_download_progress progress;
    void *ctx;
    int write_errno;
} transfer;

static size_t receive(char *data, size_t size, size_t count, void *ctx)
{
    transfer *t = ctx;
    const size_t done = fwrite(data, size, count, t->file);

    if (done != count)
        t->write_errno = errno;
    return done * size;
}

static int report(void *ctx, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
    transfer *t = ctx;

    (void)up_total;
    (void)up;
    return t->progress && !t->progress(t->ctx, t->have + now, total > 0 ? t->have + total : 0);
}

static void set_options(CURL *curl, const char *url, transfer *t, char *why)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 8L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "sftn/" SFTN_VERSION);
    curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)t->have);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, report);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

/* What a transfer's end means; the partial file stays whatever it was. */
static sftn_status judge(CURLcode code, long http, const char *url, const char *part,
                         const transfer *t, const char *why, sftn_error *err)
{
    const char *reason = *why ? why : curl_easy_strerror(code);

    if (code == CURLE_OK || (t->have > 0 && http == HTTP_RANGE_NOT_SATISFIABLE))
        return SFTN_OK; /* nothing was missing; its digest says whether it is right */
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return sftn_fail(err, SFTN_ERR_INTERRUPTED, "%s: stopped; what came is kept in %s", url,
                         part);
    if (code == CURLE_WRITE_ERROR && t->write_errno)
        return sftn_fail(err, SFTN_ERR_FILE, "%s: cannot write: %s", part,
                         strerror(t->write_errno));
    if (code == CURLE_OUT_OF_MEMORY)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", url);
    if (code == CURLE_HTTP_RETURNED_ERROR)
        return sftn_fail(err, SFTN_ERR_NETWORK, "%s: the server answers with code %ld", url, http);
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
        code == CURLE_COULDNT_RESOLVE_PROXY)
        return sftn_fail(err, SFTN_ERR_NETWORK, "%s: no connection: %s; is there a network?", url,
                         reason);
    return sftn_fail(err, SFTN_ERR_NETWORK,
                     "%s: the transfer broke off: %s; run it again to go on from %s", url, reason,
                     part);
}

/* One transfer into part, appended to what is there; *restart: the server cannot do that. */
static sftn_status run_transfer(const char *url, const char *part, transfer *t, bool *restart,
                                sftn_error *err)
{
    char why[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    struct stat info;
    CURLcode code = CURLE_FAILED_INIT;
    long http = 0;

    t->have = stat(part, &info) == 0 ? info.st_size : 0;
    t->file = fopen(part, "abe");
    if (!t->file) {
        curl_easy_cleanup(curl);
        return sftn_fail(err, SFTN_ERR_FILE, "%s: cannot open: %s", part, strerror(errno));
    }
    if (curl) {
        set_options(curl, url, t, why);
        code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http);
        curl_easy_cleanup(curl);
    }
    if (fclose(t->file) != 0 && code == CURLE_OK) {
        code = CURLE_WRITE_ERROR;
        t->write_errno = errno;
    }
    *restart = code == CURLE_RANGE_ERROR && t->have > 0;
    return judge(code, http, url, part, t, why, err);
}

/* Give the whole, verified part its name; one with another digest is set aside as path.bad. */
static sftn_status adopt(const char *url, const char *part, const char *path, const char *digest,
                          sftn_error *err)
{
    char found[SFTN_DIGEST_TEXT], bad[PATH_MAX];
    sftn_status status;

    if (digest) {
        status = sftn_file_digest(part, digest, found, err);
        if (status != SFTN_OK)
            return status;
        if (strcmp(found, digest) != 0) {
            snprintf(bad, sizeof(bad), "%s.bad", path);
            rename(part, bad);
            return sftn_fail(err, SFTN_ERR_FORMAT,
                             "%s: checksum is %s, expected %s; kept as %s, and the next download "
                             "begins anew",
                             url, found, digest, bad);
        }
    }
    if (rename(part, path) != 0)
        return sftn_fail(err, SFTN_ERR_FILE, "%s: cannot rename to %s: %s", part, path,
                         strerror(errno));
    return SFTN_OK;
}

/* path is there and is what digest says. */
static bool already_there(const char *path, const char *digest)
{
    char found[SFTN_DIGEST_TEXT];
    struct stat info;

    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return false;
    return !digest || (sftn_file_digest(path, digest, found, NULL) == SFTN_OK &&
                       strcmp(found, digest) == 0);
}

sftn_status sftn_download(const char *url, const char *path, const char *digest,
                          sftn_download_progress progress, void *ctx, sftn_error *err)
{
    transfer t = {.progress = progress, .ctx = ctx};
    char part[PATH_MAX];
    bool restart = false;
    sftn_status status;

    if (already_there(path, digest))
        return SFTN_OK;
    snprintf(part, sizeof(part), "%s.part", path);
    status = run_transfer(url, part, &t, &restart, err);
    if (restart && unlink(part) == 0)
        status = run_transfer(url, part, &t, &restart, err);
    return status == SFTN_OK ? adopt(url, part, path, digest, err) : status;
}

sftn_status sftn_data_get(const char *name, const char *dir, sftn_download_progress progress,
                          void *ctx, sftn_error *err)
{
    const sftn_source *s = NULL;
    char home[3072], into[3400], path[PATH_MAX], url[512];
    sftn_status status = sftn_source_find(name, &s, err);
    bool folder;

    if (status != SFTN_OK)
        return status;
    if (!s->remotes)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "%s is built in: there is nothing to download",
                         s->name);
    sftn_data_home(home, sizeof(home));
    snprintf(into, sizeof(into), "%s%s%s", dir ? dir : home, *s->remote_dir ? "/" : "",
             s->remote_dir);
    status = sftn_make_dirs(into, err);
    folder = s->url[strlen(s->url) - 1] == '/';
    for (int i = 0; s->remotes[i].file && status == SFTN_OK; i++) {
        snprintf(url, sizeof(url), "%s%s", s->url, folder ? s->remotes[i].file : "");
        snprintf(path, sizeof(path), "%s/%s", into, s->remotes[i].file);
        status = sftn_download(url, path, s->remotes[i].digest, progress, ctx, err);
    }
    return status;
}
