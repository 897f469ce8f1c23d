/*
 * options_text: the options that decide a run's numbers, as JSON, those in which runs that are
 * trained together agree, and where two such texts differ.
 */
#include "task/task.h"
#include "train/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sftn_dataset_training_hash(const sftn_dataset *data, char text[32])
{
    const sftn_dataset_info *info = sftn_dataset_get_info(data);
    const size_t bytes = (size_t)info->channels * (size_t)info->height * (size_t)info->width;
    const int64_t n = info->records[SFTN_TRAIN];
    const int64_t stride = n / 64 + 1;
    uint64_t hash = 0;

    for (int64_t i = 0; i < n; i++) {
        int label = 0;
        const uint8_t *pixels = sftn_dataset_record(data, SFTN_TRAIN, i, &label);

        hash = hash * 0x9E3779B97F4A7C15u + (uint64_t)label + 1;
        if (i % stride == 0)
            hash ^= sftn_hash_bytes(pixels, bytes);
    }
    snprintf(text, 32, "%016llx", (unsigned long long)hash);
}

static bool describe_data(struct json_object *o, const sftn_dataset *data)
{
    const sftn_dataset_info *info = sftn_dataset_get_info(data);
    char hash[32];

    sftn_dataset_training_hash(data, hash);
    return sftn_describe_text(o, "data", info->name) &&
           sftn_describe_integer(o, "train-records", info->records[SFTN_TRAIN]) &&
           sftn_describe_integer(o, "validation-records", info->records[SFTN_VALIDATION]) &&
           sftn_describe_text(o, "train-hash", hash);
}

static bool describe_schedule(struct json_object *o, const sftn_schedule *s)
{
    const bool cosine = s->kind == SFTN_SCHEDULE_COSINE;
    bool ok = sftn_describe_text(o, "schedule", cosine ? "cosine" : "step") &&
              sftn_describe_number(o, "lr", s->lr) && sftn_describe_integer(o, "epochs", s->epochs);

    for (int i = 0; ok && !cosine && i < s->nmilestones; i++) {
        char key[32];

        snprintf(key, sizeof key, "milestone%d", i + 1);
        ok = sftn_describe_number(o, key, s->milestone[i]);
    }
    if (ok && !cosine)
        ok = sftn_describe_number(o, "gamma", s->gamma);
    if (ok && cosine)
        ok = sftn_describe_number(o, "final-lr", s->final_lr);
    return ok && sftn_describe_number(o, "warmup", s->warmup);
}

static bool describe_optimizer(struct json_object *o, const sftn_train_options *options)
{
    return sftn_describe_number(o, "momentum", options->momentum) &&
           sftn_describe_number(o, "weight-decay", options->weight_decay) &&
           (options->dot == 0.0 || sftn_describe_number(o, "dot", options->dot)) &&
           sftn_describe_text(o, "nesterov", options->nesterov ? "true" : "false") &&
           sftn_describe_number(o, "clip", options->clip) &&
           sftn_describe_number(o, "ema", options->ema);
}

/* The batches, and the plans that compute with them. */
static bool describe_batches(struct json_object *o, const sftn_train_options *options)
{
    const sftn_plan_options *plan = &options->plan;

    return sftn_describe_integer(o, "batch", options->batch) &&
           sftn_describe_integer(o, "crop-pad", options->augment.pad) &&
           sftn_describe_text(o, "flip", options->augment.flip ? "true" : "false") &&
           sftn_describe_integer(o, "batch-seed", (int64_t)options->seed) &&
           sftn_describe_text(o, "backend", plan->backend ? plan->backend : "cpu") &&
           sftn_describe_text(o, "precision",
                              plan->precision == SFTN_BFLOAT16 ? "bfloat16" : "float32") &&
           sftn_describe_text(o, "winograd", plan->no_winograd ? "false" : "true") &&
           (!plan->no_fusion || sftn_describe_text(o, "fusion", "false"));
}

/* The text of an object that is complete, which is freed; NULL: out of memory. */
static char *end_text(struct json_object *o, bool complete)
{
    char *text = NULL;

    if (complete)
        text = sftn_strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
                                                                 JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
    return text;
}

char *sftn_options_text(const sftn_train_options *options, const sftn_dataset *data)
{
    struct json_object *o = json_object_new_object();

    return end_text(o, describe_data(o, data) && describe_schedule(o, &options->schedule) &&
                           describe_optimizer(o, options) && describe_batches(o, options));
}

char *sftn_together_text(const sftn_train_options *options, sftn_views views)
{
    struct json_object *o = json_object_new_object();
    char text[32];

    snprintf(text, sizeof text, "%d%s", (int)sftn_views_rows(views, 1),
             views.turned ? ", turned" : "");
    return end_text(o, describe_batches(o, options) && sftn_describe_text(o, "views", text) &&
                           sftn_describe_integer(o, "loader-threads", options->loader_threads) &&
                           sftn_describe_number(o, "save-minutes", options->save_minutes));
}

/* Where something was read does not change what is computed: task/task.h. */
static bool compared(const char *key)
{
    const size_t length = strlen(key);

    return length < 5 || strcmp(key + length - 5, "_from") != 0;
}

static const char *shown(struct json_object *value)
{
    if (json_object_is_type(value, json_type_string))
        return json_object_get_string(value);
    return value ? json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN) : "absent";
}

/* One direction: every member of a, looked up in b. */
static bool differ(struct json_object *a, struct json_object *b, bool a_is_there,
                   sftn_difference *d)
{
    json_object_object_foreach(a, key, value) {
        struct json_object *other = NULL;

        json_object_object_get_ex(b, key, &other);
        if (!compared(key) || json_object_equal(value, other))
            continue;
        if (json_object_is_type(value, json_type_object) &&
            json_object_is_type(other, json_type_object)) {
            if (differ(value, other, a_is_there, d))
                return true;
            continue;
        }
        snprintf(d->name, sizeof d->name, "%s", key);
        snprintf(d->there, sizeof d->there, "%s", shown(a_is_there ? value : other));
        snprintf(d->here, sizeof d->here, "%s", shown(a_is_there ? other : value));
        return true;
    }
    return false;
}

bool sftn_options_differ(const char *there, const char *here, sftn_difference *d)
{
    struct json_object *a = json_tokener_parse(there), *b = json_tokener_parse(here);
    bool found;

    if (!json_object_is_type(a, json_type_object) || !json_object_is_type(b, json_type_object)) {
        *d = (sftn_difference){"description", "of one kind", "of another"};
        found = true;
    } else {
        found = differ(b, a, false, d) || differ(a, b, true, d);
    }
    json_object_put(a);
    json_object_put(b);
    return found;
}
