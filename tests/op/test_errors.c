/* errors: operands that do not fit are named, with what was found and what was expected. */
#include "op/eval.h"
#include "op/fused.h"
#include "test.h"

static sftn_value in(sftn_graph *g, int64_t n, int64_t c, int64_t h, int64_t w)
{
    char name[32];
    static const char letters[] = "abcdefghij";

    name[0] = letters[g->nnodes];
    name[1] = '\0';
    return sftn_graph_input(g, name, (sftn_type){SFTN_SHAPE(n, c, h, w), false});
}

/* The expression, a value of graph g, fails with a text that contains part. */
#define CHECK_MISFIT(expression, part)                                                             \
    do {                                                                                           \
        sftn_graph *g = sftn_graph_new();                                                          \
        sftn_error err = {.status = SFTN_OK};                                                      \
        CHECK(sftn_is_none(expression));                                                           \
        CHECK_FAILS(sftn_graph_status(g, &err), SFTN_ERR_ARGUMENT, &err, part);                    \
        sftn_graph_free(g);                                                                        \
    } while (0)

TEST(pointwise_misfits_name_both_shapes)
{
    CHECK_MISFIT(sftn_add(g, in(g, 2, 3, 4, 5), in(g, 2, 4, 4, 5)),
                 "add: shapes [2,3,4,5] and [2,4,4,5] do not broadcast");
    CHECK_MISFIT(sftn_expand(g, in(g, 2, 3, 1, 1), SFTN_SHAPE(4, 3, 2, 2)),
                 "copy: shape [2,3,1,1] does not stretch to [4,3,2,2]");
    CHECK_MISFIT(sftn_sum_to(g, in(g, 2, 3, 1, 1), SFTN_SHAPE(2, 2, 1, 1)),
                 "sum_to: shape [2,3,1,1] does not sum to [2,2,1,1]");
    CHECK_MISFIT(sftn_clamp(g, in(g, 1, 1, 1, 1), 1.0f, 0.0f), "clamp: bounds are 1 and 0");
    CHECK_MISFIT(sftn_smooth_l1(g, in(g, 1, 1, 1, 1), 0.0f), "smooth_l1: beta is 0");
}

TEST(convolution_misfits_name_both_shapes)
{
    const sftn_conv_spec plain = {0}, grouped = {.groups = 2}, wrong = {.stride = -1};

    CHECK_MISFIT(sftn_conv2d(g, in(g, 2, 3, 8, 8), in(g, 4, 16, 3, 3), plain),
                 "conv2d: input has 3 channels, weight expects 16");
    CHECK_MISFIT(sftn_conv2d(g, in(g, 2, 4, 8, 8), in(g, 3, 2, 3, 3), grouped),
                 "weight [3,2,3,3] has 3 filters, which 2 groups do not divide");
    CHECK_MISFIT(sftn_conv2d(g, in(g, 2, 3, 2, 2), in(g, 4, 3, 3, 3), plain),
                 "conv2d: input [2,3,2,2] with pad 0 is smaller than the kernel");
    CHECK_MISFIT(sftn_conv2d(g, in(g, 2, 3, 2, 2), in(g, 4, 3, 3, 3), wrong),
                 "conv2d: stride -1");
    CHECK_MISFIT(sftn_conv2d_data(g, in(g, 2, 4, 5, 5), in(g, 4, 3, 3, 3),
                                  SFTN_SHAPE(2, 3, 8, 8), plain),
                 "conv2d_data: output gradient has shape [2,4,5,5], expected [2,4,6,6]");
    CHECK_MISFIT(sftn_conv2d_weight(g, in(g, 2, 3, 8, 8), in(g, 2, 4, 5, 5),
                                    SFTN_SHAPE(4, 3, 3, 3), plain),
                 "conv2d_weight: output gradient has shape [2,4,5,5], expected [2,4,6,6]");
    CHECK_MISFIT(sftn_conv_transpose2d(g, in(g, 2, 3, 8, 8), in(g, 4, 3, 3, 3), plain, 0),
                 "conv_transpose2d: input has 3 channels, weight expects 4");
    CHECK_MISFIT(sftn_conv_transpose2d(g, in(g, 2, 4, 8, 8), in(g, 4, 3, 3, 3), plain, 1),
                 "conv_transpose2d: output_pad is 1");
}

TEST(pooling_misfits_name_shape_and_window)
{
    CHECK_MISFIT(sftn_max_pool2d(g, in(g, 1, 1, 2, 2), (sftn_pool_spec){.size = 3}),
                 "max_pool2d: input [1,1,2,2] with pad 0 is smaller than the window of size 3");
    CHECK_MISFIT(sftn_avg_pool2d(g, in(g, 1, 1, 4, 4), (sftn_pool_spec){.size = 2, .pad = 2}),
                 "avg_pool2d: size 2, stride 2, pad 2");
    CHECK_MISFIT(sftn_adaptive_avg_pool2d(g, in(g, 1, 1, 4, 4), 0, 2),
                 "adaptive_avg_pool2d: result has shape [1,1,0,2]");
}

TEST(matrix_and_move_misfits_name_both_shapes)
{
    const sftn_matmul_spec plain = {false, false}, trans_b = {false, true};
    sftn_value values, vectors;

    CHECK_MISFIT(sftn_matmul(g, in(g, 1, 2, 3, 1), in(g, 1, 4, 3, 1), plain),
                 "matmul: operands have shapes [1,2,3,1] and [1,4,3,1], which do not multiply");
    CHECK_MISFIT(sftn_matmul(g, in(g, 2, 2, 3, 1), in(g, 3, 4, 3, 1), trans_b),
                 "[2,2,3,1] and [3,4,3,1] (transposed), which do not multiply");
    CHECK_MISFIT(sftn_matmul(g, in(g, 1, 2, 3, 2), in(g, 1, 3, 4, 1), plain),
                 "expected [B,R,K,1]");
    CHECK_MISFIT((sftn_eigh(g, in(g, 2, 3, 4, 1), &values, &vectors), vectors),
                 "eigh: matrices have shape [2,3,4,1], expected [B,n,n,1]");
    CHECK_MISFIT(sftn_reshape(g, in(g, 2, 3, 4, 5), SFTN_SHAPE(2, 3, 4, 6)),
                 "reshape: shape [2,3,4,5] has 120 elements, [2,3,4,6] has 144");
    CHECK_MISFIT(sftn_permute(g, in(g, 2, 3, 4, 5), (const int[]){0, 1, 1, 3}),
                 "permute: order is 0 1 1 3");
    CHECK_MISFIT(sftn_slice(g, in(g, 2, 3, 4, 5), SFTN_C, 2, 2),
                 "slice: 2 entries from 2 on of axis 1 asked for, input has shape [2,3,4,5]");
    CHECK_MISFIT(sftn_slice(g, in(g, 2, 3, 4, 5), 4, 0, 1), "slice: axis is 4");
    CHECK_MISFIT(sftn_pad(g, in(g, 2, 3, 4, 5), SFTN_C, -1, 0), "pad: -1 entries before");
    CHECK_MISFIT(sftn_concat(g, (sftn_value[]){in(g, 2, 3, 4, 5), in(g, 2, 3, 5, 5)}, 2, SFTN_C),
                 "concat: shapes [2,3,4,5] and [2,3,5,5] differ in more than axis 1");
    CHECK_MISFIT(sftn_concat(g, NULL, 0, SFTN_C), "concat: 0 operands given, expected 1 to 8");
    CHECK_MISFIT(sftn_sum(g, in(g, 2, 3, 4, 5), 0), "sum: axes are 0");
}

TEST(label_and_norm_misfits_name_both_shapes)
{
    CHECK_MISFIT(sftn_one_hot(g, in(g, 2, 3, 1, 1), 5),
                 "one_hot: labels have shape [2,3,1,1], expected [2,1,1,1]");
    CHECK_MISFIT(sftn_one_hot(g, in(g, 2, 1, 1, 1), 0), "one_hot: 0 classes");
    CHECK_MISFIT(sftn_rank(g, in(g, 2, 5, 1, 1), in(g, 3, 1, 1, 1)),
                 "rank: labels have shape [3,1,1,1], expected [2,1,1,1]");
    CHECK_MISFIT(sftn_rank(g, in(g, 2, 5, 2, 1), in(g, 2, 1, 1, 1)),
                 "rank: logits have shape [2,5,2,1], expected [N,C,1,1]");
    CHECK_MISFIT(sftn_batch_norm(g, in(g, 2, 3, 4, 4), in(g, 1, 3, 1, 1), in(g, 1, 3, 1, 1),
                                 in(g, 1, 4, 1, 1), in(g, 1, 3, 1, 1), 1e-5f, false),
                 "batch_norm: mean has shape [1,4,1,1], expected [1,3,1,1] for input [2,3,4,4]");
}

TEST(programs_that_read_unwritten_registers_are_refused)
{
    const sftn_fused_attr ahead = {1, true, SFTN_SHAPE(1, 1, 1, 1), {{SFTN_PW_add, 0, 1, 0, 0}}};
    const sftn_fused_attr code = {1, true, SFTN_SHAPE(1, 1, 1, 1), {{250, 0, 0, 0, 0}}};
    const sftn_fused_attr shape = {1, true, SFTN_SHAPE(3, 1, 1, 1), {{SFTN_PW_neg, 0, 0, 0, 0}}};

    CHECK_MISFIT(sftn_append1(g, &sftn_op_fused, &ahead, in(g, 1, 1, 1, 1), SFTN_NONE),
                 "registers 0 and 1) is not valid with 1 registers written");
    CHECK_MISFIT(sftn_append1(g, &sftn_op_fused, &code, in(g, 1, 1, 1, 1), SFTN_NONE),
                 "code 250");
    CHECK_MISFIT(sftn_append1(g, &sftn_op_fused, &shape, in(g, 2, 1, 1, 1), SFTN_NONE),
                 "operand 0 has shape [2,1,1,1], which does not stretch to [3,1,1,1]");
}

TEST(sizes_beyond_all_memory_are_refused)
{
    const int64_t big = (int64_t)1 << 24;

    CHECK_MISFIT(sftn_expand(g, in(g, 1, 1, 1, 1), SFTN_SHAPE(big, big, big, big)),
                 "product at most 2^46");
    CHECK_MISFIT(in(g, 0, 1, 1, 1), "result has shape [0,1,1,1], sizes must be at least 1");
}
