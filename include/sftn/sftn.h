/* sftn.h: everything. */
#ifndef SFTN_SFTN_H
#define SFTN_SFTN_H

#include "sftn/data.h"
#include "sftn/distill.h"
#include "sftn/model.h"
#include "sftn/mutual.h"
#include "sftn/nn.h"
#include "sftn/plan.h"
#include "sftn/profile.h"
#include "sftn/schedule.h"
#include "sftn/teacher.h"
#include "sftn/tensors.h"
#include "sftn/train.h"
#include "sftn/verify.h"
#include "sftn/views.h"

#endif
