/*
 * small.h: trainings of seconds: resnet8 on a CIFAR-10 fixture of 70 training and 14 test records.
 */
#ifndef SFTN_TEST_TRAIN_SMALL_H
#define SFTN_TEST_TRAIN_SMALL_H

#include "sftn/tensors.h"
#include "sftn/train.h"

/* `limit` training records (0: all 70), `validation` of them held out.  Closed by the caller. */
sftn_dataset *small_data(int64_t limit, int64_t validation);

sftn_model small_model(const char *name);

/* A teacher under a scheme; setting "name=value" of the scheme's options, NULL: none. */
sftn_job small_teacher(const char *scheme, const char *network, const char *setting);
/* resnet8 distilled by kd and at from a teacher file (NULL: a teacher at random). */
sftn_job small_student(const char *teacher_file);

/* resnet8 then says this of every image: its last layer's bias, its weights being 0; [10]. */
void small_tell(sftn_params *p, const float *logits);

/* Two epochs of batches of 32, with crops and flips; dir is a directory below test_temp_dir(). */
sftn_train_options small_options(const char *dir);

/* Hooks that ask for a stop after the step numbered `after` (0: never) and keep the last record. */
typedef struct small_watch {
    int64_t after;
    sftn_progress last, last_epoch;
    int epochs;
} small_watch;
sftn_train_hooks small_hooks(small_watch *w);

/* Train, expecting success. */
sftn_train_result small_train(sftn_job *job, const sftn_dataset *data,
                              const sftn_train_options *options);

/* Hooks that let the nth computation after a member's step fail (test_fail_computation). */
typedef struct small_fault {
    int member;
    int64_t after; /* step */
    long n;
} small_fault;
sftn_train_hooks small_fault_hooks(small_fault *f);

/* An array of DIR/FILE.safetensors, which the caller closes by *t. */
const void *small_saved(const char *dir, const char *file, const char *name, sftn_tensors **t);
/* The finished epochs of a run's checkpoint. */
int64_t small_epochs_saved(const char *dir);

/* The file dir/name of one run holds the same bytes as that of another. */
void small_check_same(const char *dir, const char *other, const char *name);
/* Likewise for the logs, without times. */
void small_check_same_log(const char *dir, const char *other);

#endif
