/* table: the one symbol that a build of this folder exports. */
#include "backend/cpu/kernels/kernels.h"

#define SFTN_ISA_TEXT2(isa) #isa
#define SFTN_ISA_TEXT(isa) SFTN_ISA_TEXT2(isa)

extern const sftn_cpu_kernels SFTN_LOCAL(sftn_cpu_kernels);

const sftn_cpu_kernels SFTN_LOCAL(sftn_cpu_kernels) = {
    .isa = SFTN_ISA_TEXT(SFTN_ISA),
    .widen = K(widen),
    .narrow = K(narrow),
    .expand = K(expand),
    .pointwise = K(pointwise),
    .sum_rows = K(sum_rows),
    .max_rows = K(max_rows),
    .sum_lines = K(sum_lines),
    .max_lines = K(max_lines),
    .moments = K(moments),
    .norm_sums = K(norm_sums),
    .softmax = K(softmax),
    .rows_dot = K(rows_dot),
    .rows_mix = K(rows_mix),
    .move = K(move),
    .avg_pool = K(avg_pool),
    .avg_pool_grad = K(avg_pool_grad),
    .max_pool = K(max_pool),
    .max_pool_which = K(max_pool_which),
    .max_pool_grad = K(max_pool_grad),
    .winograd = &K(winograd),
    .multiply_adds = K(multiply_adds),
};
