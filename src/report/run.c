/*
 * run: a run directory read back: log.jsonl, summary.json, and what model.safetensors says of
 * itself.
 */
#include "sftn/report.h"

#include "sftn/tensors.h"
#include "task/task.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- summary.json ---- */

static json_object *result_object(const sftn_train_result *r)
{
    json_object *o = json_object_new_object();

    sftn_json_add_number(o, "test_top1", r->last_top1);
    sftn_json_add_number(o, "test_top5", r->last_top5);
    if (r->best_validation_top1 >= 0.0) {
        sftn_json_add_number(o, "best_validation_top1", r->best_validation_top1);
        json_object_object_add(o, "best_epoch", json_object_new_int64(r->best_epoch));
        sftn_json_add_number(o, "best_test_top1", r->best_test_top1);
    }
    if (r->ema_top1 >= 0.0)
        sftn_json_add_number(o, "ema_top1", r->ema_top1);
    sftn_json_add_number(o, "seconds", r->seconds);
    return o;
}

static json_object *balance_object(const sftn_balance *b)
{
    json_object *o = json_object_new_object();

    for (int i = 0; i < b->n; i++) {
        const sftn_pull *p = &b->pull[i];
        json_object *term = json_object_new_object();

        sftn_json_add_number(term, "weight", p->weight);
        sftn_json_add_number(term, "norm", p->norm);
        sftn_json_add_number(term, "labels_norm", p->labels_norm);
        sftn_json_add_number(term, "ratio", p->ratio);
        json_object_object_add(o, p->term, term);
    }
    return o;
}

static json_object *teacher_object(const sftn_scores *s)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, "images", json_object_new_int64(s->n));
    sftn_json_add_number(o, "test_top1", s->top1);
    return o;
}

static json_object *similarity_object(const sftn_similarity *s)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, "images", json_object_new_int64(s->n));
    sftn_json_add_number(o, "agreement", s->agreement);
    sftn_json_add_number(o, "kl_teacher_student", s->kl_teacher_student);
    sftn_json_add_number(o, "kl_student_teacher", s->kl_student_teacher);
    sftn_json_add_number(o, "cka_pooled", s->cka_pooled);
    sftn_json_add_number(o, "cka_logits", s->cka_logits);
    return o;
}

static bool write_text(void *ctx, void *stream)
{
    return fputs(ctx, stream) >= 0 && fputc('\n', stream) != EOF;
}

sftn_status sftn_run_write_summary(const char *dir, const sftn_job *job,
                                   const sftn_train_result *result,
                                   const sftn_scores *teacher,
                                   const sftn_similarity *similarity, sftn_error *err)
{
    json_object *o = json_object_new_object();
    json_object *description = json_tokener_parse(job->description);
    sftn_strbuf path = {0};
    sftn_status status;

    sftn_strbuf_add(&path, "%s/summary.json", dir);
    if (!o || path.failed) {
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    } else {
        json_object_object_add(o, "network", json_object_new_string(job->model->name));
        if (description)
            json_object_object_add(o, "job", json_object_get(description));
        json_object_object_add(o, "result", result_object(result));
        if (result->balance.n > 0)
            json_object_object_add(o, "gradients", balance_object(&result->balance));
        if (teacher)
            json_object_object_add(o, "teacher", teacher_object(teacher));
        if (similarity)
            json_object_object_add(o, "similarity", similarity_object(similarity));
        status = sftn_replace_file(path.text, write_text,
                                   (void *)(uintptr_t)json_object_to_json_string_ext(
                                       o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                              JSON_C_TO_STRING_NOSLASHESCAPE),
                                   err);
    }
    json_object_put(description);
    json_object_put(o);
    sftn_strbuf_free(&path);
    return status;
}

static void read_result(json_object *o, sftn_train_result *r)
{
    *r = (sftn_train_result){
        .last_top1 = sftn_json_number(o, "test_top1", -1.0),
        .last_top5 = sftn_json_number(o, "test_top5", -1.0),
        .best_validation_top1 = sftn_json_number(o, "best_validation_top1", -1.0),
        .best_epoch = (int64_t)sftn_json_number(o, "best_epoch", 0.0),
        .best_test_top1 = sftn_json_number(o, "best_test_top1", -1.0),
        .ema_top1 = sftn_json_number(o, "ema_top1", -1.0),
        .seconds = sftn_json_number(o, "seconds", 0.0),
    };
}

static void read_similarity(json_object *o, sftn_similarity *s)
{
    *s = (sftn_similarity){
        .n = (int64_t)sftn_json_number(o, "images", 0.0),
        .kl_teacher_student = sftn_json_number(o, "kl_teacher_student", 0.0),
        .kl_student_teacher = sftn_json_number(o, "kl_student_teacher", 0.0),
        .agreement = sftn_json_number(o, "agreement", 0.0),
        .cka_pooled = sftn_json_number(o, "cka_pooled", 0.0),
        .cka_logits = sftn_json_number(o, "cka_logits", 0.0),
    };
}

/* A run that is not finished has no summary. */
static sftn_status read_summary(const char *path, sftn_run *run, sftn_error *err)
{
    void *text = NULL;
    size_t bytes;
    json_object *o;

    if (sftn_read_file(path, &text, &bytes, NULL) != SFTN_OK)
        return SFTN_OK;
    o = json_tokener_parse(text);
    free(text);
    if (!o || !sftn_json_member(o, "result")) {
        json_object_put(o);
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: expected a JSON object with a 'result'", path);
    }
    run->finished = true;
    read_result(sftn_json_member(o, "result"), &run->result);
    run->teacher_top1 = sftn_json_number(sftn_json_member(o, "teacher"), "test_top1", -1.0);
    run->compared = sftn_json_member(o, "similarity") != NULL;
    if (run->compared)
        read_similarity(sftn_json_member(o, "similarity"), &run->similarity);
    if (sftn_json_text(o, "network"))
        run->network = sftn_strdup(sftn_json_text(o, "network"));
    json_object_put(o);
    return SFTN_OK;
}

/* ---- log.jsonl ---- */

static void read_epoch(json_object *o, sftn_run_epoch *e)
{
    *e = (sftn_run_epoch){
        .epoch = (int64_t)sftn_json_number(o, "epoch", 0.0),
        .lr = sftn_json_number(o, "lr", 0.0),
        .loss = sftn_json_number(o, "loss", 0.0),
        .train_top1 = sftn_json_number(o, "train_top1", -1.0),
        .validation_top1 = sftn_json_number(o, "validation_top1", -1.0),
        .test_top1 = sftn_json_number(o, "test_top1", -1.0),
        .test_top5 = sftn_json_number(o, "test_top5", -1.0),
        .ema_top1 = sftn_json_number(o, "ema_top1", -1.0),
        .images_per_s = sftn_json_number(o, "images_per_s", 0.0),
    };
}

/* Lines without an epoch (such as a first line that describes the run) are passed over. */
static sftn_status read_log(const char *path, sftn_run *run, sftn_error *err)
{
    void *text = NULL;
    size_t bytes;
    int capacity = 0, line = 0;
    sftn_status status = sftn_read_file(path, &text, &bytes, err);

    for (char *p = text; status == SFTN_OK && *p;) {
        char *end = strchr(p, '\n');
        json_object *o;

        if (!end)
            break;
        *end = '\0';
        line++;
        o = json_tokener_parse(p);
        if (!o || !json_object_is_type(o, json_type_object))
            status =
                sftn_fail(err, SFTN_ERR_FORMAT, "%s, line %d: expected a JSON object", path, line);
        else if (sftn_json_member(o, "epoch") &&
                 !sftn_grow(&run->epoch, &capacity, run->nepochs + 1, sizeof *run->epoch))
            status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
        else if (sftn_json_member(o, "epoch"))
            read_epoch(o, &run->epoch[run->nepochs++]);
        json_object_put(o);
        p = end + 1;
    }
    free(text);
    return status;
}

/* ---- the whole directory ---- */

static void add_object(json_object *o, const sftn_tensors *t, const char *key)
{
    const char *text = sftn_tensors_meta(t, key);
    json_object *value = text ? json_tokener_parse(text) : NULL;

    if (json_object_is_type(value, json_type_object))
        json_object_object_add(o, key, value);
    else
        json_object_put(value);
}

/* {"job": ..., "options": ...}; NULL where the file has neither. */
static char *describe(const sftn_tensors *t, int64_t *seed)
{
    json_object *o = json_object_new_object();
    char *text = NULL;

    add_object(o, t, "job");
    add_object(o, t, "options");
    *seed = (int64_t)sftn_json_number(sftn_json_member(o, "job"), "job-seed", -1.0);
    if (json_object_object_length(o) > 0)
        text = sftn_strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
                                                                 JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
    return text;
}

/* What the network's file says of itself; nothing where there is none yet. */
static void read_network(const char *path, sftn_run *run)
{
    const char *model, *data;
    sftn_tensors *t;

    run->seed = -1;
    if (sftn_tensors_open(path, &t, NULL) != SFTN_OK)
        return;
    model = sftn_tensors_meta(t, "model");
    data = sftn_tensors_meta(t, "data");
    if (!run->network && model)
        run->network = sftn_strdup(model);
    if (data)
        run->data = sftn_strdup(data);
    run->description = describe(t, &run->seed);
    sftn_tensors_close(t);
}

/* The last component, slashes at the end aside. */
static char *base_name(const char *dir)
{
    size_t end = strlen(dir), begin;
    char *name;

    while (end > 1 && dir[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && dir[begin - 1] != '/'; begin--)
        ;
    name = sftn_strdup(dir + begin);
    if (name)
        name[end - begin] = '\0';
    return name;
}

sftn_status sftn_run_read(const char *dir, sftn_run *run, sftn_error *err)
{
    sftn_strbuf log = {0}, summary = {0}, model = {0};
    sftn_status status;

    *run = (sftn_run){.teacher_top1 = -1.0};
    sftn_strbuf_add(&log, "%s/log.jsonl", dir);
    sftn_strbuf_add(&summary, "%s/summary.json", dir);
    sftn_strbuf_add(&model, "%s/model.safetensors", dir);
    run->name = base_name(dir);
    if (log.failed || summary.failed || model.failed || !run->name)
        status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    else
        status = read_log(log.text, run, err);
    if (status == SFTN_OK)
        status = read_summary(summary.text, run, err);
    if (status == SFTN_OK) {
        read_network(model.text, run);
        run->network = run->network ? run->network : sftn_strdup("");
        run->data = run->data ? run->data : sftn_strdup("");
        if (!run->network || !run->data)
            status = sftn_fail(err, SFTN_ERR_MEMORY, "out of memory");
    }
    sftn_strbuf_free(&log);
    sftn_strbuf_free(&summary);
    sftn_strbuf_free(&model);
    if (status != SFTN_OK)
        sftn_run_free(run);
    return status;
}

void sftn_run_free(sftn_run *run)
{
    free(run->name);
    free(run->network);
    free(run->data);
    free(run->description);
    free(run->group);
    free(run->teacher);
    free(run->hash);
    free(run->recipe);
    free(run->state);
    free(run->epoch);
    memset(run, 0, sizeof *run);
}

void sftn_runs_free(sftn_run *runs, int n)
{
    for (int i = 0; i < n; i++)
        sftn_run_free(&runs[i]);
    free(runs);
}
