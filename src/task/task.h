/*
 * task.h: what the kinds of jobs share: networks created and filled from files, and the JSON text
 * that says what a job is.
 */
#ifndef SFTN_TASK_TASK_H
#define SFTN_TASK_TASK_H

#include "base/base.h"
#include "sftn/tensors.h"
#include "sftn/train.h"

#include <json-c/json.h>

/* The entries of a network from `from_stage` on, for square images; values are zero. */
typedef struct sftn_network_spec {
    const sftn_model *model;
    int classes, channels, image_size;
    int from_stage; /* 0: all of it; i: what follows stage i */
} sftn_network_spec;
sftn_status sftn_network_params(const sftn_network_spec *spec, sftn_params **params,
                                sftn_error *err);

/*
 * Fill params, made for that spec, from a network's file: plain keys, or a run's checkpoint, or a
 * run directory (its model.safetensors).  FORMAT where the file says that it holds another network
 * or another number of classes, naming both.
 */
sftn_status sftn_network_fill(const char *path, const sftn_network_spec *spec, sftn_params *params,
                              sftn_error *err);

/* path itself, or path/model.safetensors where path is a directory; owned by the caller. */
char *sftn_network_path(const char *path);

/* ---- JSON (json.c) ---- */
/* Each may be given NULL, or what is no object; what is returned belongs to the object. */
struct json_object *sftn_json_member(struct json_object *object, const char *key);
/* NULL where there is no text of that name. */
const char *sftn_json_text(struct json_object *object, const char *key);
double sftn_json_number(struct json_object *object, const char *key, double absent);
/* As people write it: 0.9, not 0.90000000000000002; null where it is NaN. */
void sftn_json_add_number(struct json_object *object, const char *key, double number);

/* ---- jobs ---- */
/* ARGUMENT where a number is out of its range. */
sftn_status sftn_job_check(int classes, int channels, int image_size, float smoothing,
                           sftn_error *err);
/* Append a store; name is not copied. */
void sftn_job_store(sftn_job *job, const char *name, sftn_params *params);
/* Build every phase of the job once and throw the graphs away: all entries exist, unfilled. */
sftn_status sftn_job_create_entries(sftn_job *job, int channels, int image_size, sftn_error *err);

/* ---- descriptions ----
 * A description is a JSON object.  Members whose name ends in "_from" say where something was read;
 * they are for people and are not compared when a run is resumed.
 */
/* Each returns false where out of memory; a NULL object is passed over. */
bool sftn_describe_text(struct json_object *object, const char *key, const char *text);
bool sftn_describe_number(struct json_object *object, const char *key, double number);
bool sftn_describe_integer(struct json_object *object, const char *key, int64_t number);
bool sftn_describe_path(struct json_object *object, const char *key, const char *path);
/*
 * A member object `key` with where a network was read, and what its file says of how it was
 * trained: {"path", "job", "options"}, without its own teacher's.
 */
bool sftn_describe_origin(struct json_object *object, const char *key, const char *path);
/* A member object `key` with every option of the table; nothing where the table is empty. */
bool sftn_describe_options(struct json_object *object, const char *key, const sftn_option *table,
                           const void *options);
/* A member with 16 hexadecimal digits that stand for all values of p. */
bool sftn_describe_values(struct json_object *object, const char *key, sftn_params *p);
/*
 * Write object to job->description and release it.  complete is what the calls above returned;
 * ARGUMENT where the text does not fit.
 */
sftn_status sftn_describe_job(sftn_job *job, struct json_object *object, bool complete,
                              sftn_error *err);

/* A copy of an options struct, or of the table's defaults where options is NULL. */
void *sftn_options_copy(const sftn_option *table, const void *options, size_t bytes);

#endif
