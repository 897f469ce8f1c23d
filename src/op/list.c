/* list: the ops of pointwise.def and ops.def as one array. */
#include "op/list.h"

#include "op/batch_norm.h"
#include "op/conv2d.h"
#include "op/eigh.h"
#include "op/labels.h"
#include "op/matmul.h"
#include "op/move.h"
#include "op/pointwise.h"
#include "op/pool2d.h"
#include "op/reduce.h"
#include "op/rows.h"
#include "op/softmax.h"

static const sftn_op *const ops[] = {
#define SFTN_POINTWISE1(name, formula) &sftn_op_##name,
#define SFTN_POINTWISE2(name, formula) &sftn_op_##name,
#include "op/pointwise.def"
#define SFTN_OP(name) &sftn_op_##name,
#include "op/ops.def"
};

const sftn_op *sftn_op_list(int i)
{
    return i >= 0 && i < (int)SFTN_COUNT(ops) ? ops[i] : NULL;
}
