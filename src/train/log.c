/*
 * log: log.jsonl, one JSON object a line for every finished epoch.
 *
 * A line is appended before the checkpoint of its epoch is written; a run that is resumed cuts off
 * what its checkpoint does not know of, so that no epoch is there twice.
 */
#include "train/run.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *log_path(const char *dir)
{
    sftn_strbuf b = {0};

    sftn_strbuf_add(&b, "%s/log.jsonl", dir);
    if (!b.failed)
        return b.text;
    sftn_strbuf_free(&b);
    return NULL;
}

typedef struct text {
    const char *bytes;
    size_t length;
} text;

static bool write_text(void *ctx, void *stream)
{
    const text *t = ctx;

    return t->length == 0 || fwrite(t->bytes, 1, t->length, stream) == t->length;
}

/* Bytes of the leading lines that are complete and no later than `epochs`. */
static size_t kept_length(const char *log, int64_t epochs)
{
    const char *at = log, *end;

    while ((end = strchr(at, '\n')) != NULL) {
        struct json_object *line = NULL, *epoch = NULL;
        struct json_tokener *tokener = json_tokener_new();
        bool keep;

        if (tokener)
            line = json_tokener_parse_ex(tokener, at, (int)(end - at));
        json_tokener_free(tokener);
        keep = json_object_is_type(line, json_type_object) &&
               json_object_object_get_ex(line, "epoch", &epoch) &&
               json_object_get_int64(epoch) <= epochs;
        json_object_put(line);
        if (!keep)
            break;
        at = end + 1;
    }
    return (size_t)(at - log);
}

sftn_status sftn_log_truncate(const char *dir, int64_t epochs, sftn_error *err)
{
    char *path = log_path(dir);
    void *log = NULL;
    size_t bytes = 0;
    text kept = {0};
    sftn_status status;

    if (!path)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", dir);
    /* A run without its log goes on with a new one. */
    status = epochs > 0 ? sftn_read_file(path, &log, &bytes, err) : SFTN_ERR_FILE;
    if (!status)
        kept = (text){log, kept_length(log, epochs)};
    if (!status || status == SFTN_ERR_FILE)
        status = sftn_replace_file(path, write_text, &kept, err);
    free(log);
    free(path);
    return status;
}

/* Percentages that were not measured are negative, and left out. */
static void add_measured(sftn_strbuf *b, const char *key, double value)
{
    if (value >= 0.0)
        sftn_strbuf_add(b, ",\"%s\":%.9g", key, value);
}

/* What a survey of held-out images found. */
static void add_found(sftn_strbuf *b, const sftn_progress *p)
{
    sftn_strbuf_add(b, ",\"held_out\":{\"%s\":[", p->found_name);
    for (int64_t i = 0; i < p->nfound; i++)
        sftn_strbuf_add(b, "%s%.9g", i ? "," : "", (double)p->found[i]);
    sftn_strbuf_add(b, "]}");
}

static void format_line(sftn_strbuf *b, const sftn_progress *p, const char *const *term_name)
{
    sftn_strbuf_add(b, "{\"epoch\":%lld,", (long long)p->epoch);
    if (p->phase)
        sftn_strbuf_add(b, "\"phase\":\"%s\",", p->phase);
    sftn_strbuf_add(b, "\"step\":%lld,\"lr\":%.9g,\"loss\":%.9g,\"terms\":{",
                    (long long)p->step, p->lr, p->loss);
    for (int i = 0; i < p->nterms; i++)
        sftn_strbuf_add(b, "%s\"%s\":%.9g", i ? "," : "", term_name[i], p->term[i]);
    sftn_strbuf_add(b, "}");
    add_measured(b, "train_top1", p->train_top1);
    add_measured(b, "validation_top1", p->validation_top1);
    add_measured(b, "test_top1", p->test_top1);
    add_measured(b, "test_top5", p->test_top5);
    add_measured(b, "test_loss", p->test_loss);
    add_measured(b, "ema_top1", p->ema_top1);
    for (int i = 0; i < p->npeers; i++)
        sftn_strbuf_add(b, "%s\"%s\":%.9g", i ? "," : ",\"peers\":{", p->peer_name[i],
                        p->peer_top1[i]);
    if (p->npeers > 0)
        sftn_strbuf_add(b, "}");
    if (p->found)
        add_found(b, p);
    sftn_strbuf_add(b, ",\"seconds\":%.3f,\"images_per_s\":%.1f,\"wait_share\":%.4f}\n",
                    p->elapsed_s, p->images_per_s, p->wait_share);
}

sftn_status sftn_log_append(const char *dir, const sftn_progress *p, const char *const *term_name,
                            sftn_error *err)
{
    char *path = log_path(dir);
    sftn_strbuf b = {0};
    FILE *file = NULL;
    sftn_status status = SFTN_OK;

    format_line(&b, p, term_name);
    if (!path || b.failed) {
        status = sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", dir);
    } else {
        file = fopen(path, "abe");
        if (!file || fwrite(b.text, 1, b.length, file) != b.length || fflush(file) != 0)
            status = sftn_fail(err, SFTN_ERR_FILE, "%s: cannot write: %s", path, strerror(errno));
        if (file && fclose(file) != 0 && !status)
            status = sftn_fail(err, SFTN_ERR_FILE, "%s: cannot write: %s", path, strerror(errno));
    }
    sftn_strbuf_free(&b);
    free(path);
    return status;
}
