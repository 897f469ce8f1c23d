/*
 * branch.h: a student that begins with what a branch learned while its teacher was trained.
 */
#ifndef SFTN_TASK_BRANCH_H
#define SFTN_TASK_BRANCH_H

#include "task/task.h"

/*
 * Overwrite in params, made for spec, the stages and the head that branch `branch` (numbered by the
 * teacher's stage, from 1) of a branches file, or of a run directory, holds; the rest stays.
 * Errors name what the file holds instead.  Nothing is changed on failure.
 */
sftn_status sftn_branch_fill(const char *path, int branch, const sftn_network_spec *spec,
                             sftn_params *params, sftn_error *err);

#endif
