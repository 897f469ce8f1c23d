/*
 * files.h: what a network's file says of the network, written and read in one place.
 */
#ifndef SFTN_TRAIN_FILES_H
#define SFTN_TRAIN_FILES_H

#include "base/base.h"
#include "sftn/tensors.h"
#include "sftn/train.h"

/* What a file says of a run: its job, the options that decide its numbers, and its data. */
typedef struct sftn_run_origin {
    const sftn_job *job;
    const char *options; /* JSON object */
    const sftn_dataset *data;
} sftn_run_origin;

/*
 * Metadata: model, classes, channels, image_size, data, mean, std, class_names, job, options.
 * kind is "network" for a file of plain keys, "checkpoint", or the name of another store.
 */
sftn_status sftn_set_network_meta(sftn_tensors *t, const char *kind, const sftn_model *model,
                                  const sftn_run_origin *origin, sftn_error *err);

/* DIR/NAME.safetensors in a new string, or NULL. */
char *sftn_run_path(const char *dir, const char *name);

/* Write one store of the job, under plain keys, to DIR/NAME.safetensors. */
sftn_status sftn_write_store(const sftn_run_origin *origin, int store, const char *dir,
                             const char *name, sftn_error *err);

#endif
