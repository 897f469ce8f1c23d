/* tensors: safetensors files survive a round trip, and damage of any kind is an error. */
#include "base/base.h"
#include "sftn/nn.h"
#include "sftn/tensors.h"
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const float weights[3] = {1.0f, -2.0f, 0.1f};
static const int64_t counter = 1234567890123;
static const double table[4] = {0.1, 0.2, 0.3, 0.4};
static const uint8_t bytes[5] = {1, 2, 3, 4, 255};

static void save_small(const char *path)
{
    sftn_error err = {0};
    sftn_tensors *t = sftn_tensors_new();

    CHECK(t != NULL);
    CHECK_OK(sftn_tensors_set_meta(t, "model", "tiny \"net\"\n", &err), &err);
    CHECK_OK(sftn_tensors_add(t, &(sftn_array){.name = "a.weight", .element = SFTN_ELEMENT_F32,
                                               .rank = 2, .dim = {3, 1}, .data = weights}, &err),
             &err);
    CHECK_OK(sftn_tensors_add(t, &(sftn_array){.name = "bytes", .element = SFTN_ELEMENT_U8,
                                               .rank = 1, .dim = {5}, .data = bytes}, &err), &err);
    CHECK_OK(sftn_tensors_add(t, &(sftn_array){.name = "counter", .element = SFTN_ELEMENT_I64,
                                               .data = &counter}, &err), &err);
    CHECK_OK(sftn_tensors_add(t, &(sftn_array){.name = "table", .element = SFTN_ELEMENT_F64,
                                               .rank = 2, .dim = {2, 2}, .data = table}, &err),
             &err);
    CHECK_OK(sftn_tensors_add(t, &(sftn_array){.name = "empty", .element = SFTN_ELEMENT_F32,
                                               .rank = 1, .dim = {0}, .data = weights}, &err),
             &err);
    CHECK_OK(sftn_tensors_save(t, path, &err), &err);
    sftn_tensors_close(t);
}

static void write_bytes(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");

    CHECK(f != NULL);
    CHECK(fwrite(data, 1, size, f) == size);
    fclose(f);
}

/* A file of that header and `data_bytes` zeros. */
static const char *with_header(const char *header, size_t data_bytes)
{
    const char *path = test_temp_path("made.safetensors");
    const size_t length = strlen(header);
    char *file = calloc(8 + length + data_bytes, 1);

    CHECK(file != NULL);
    file[0] = (char)(length & 255);
    file[1] = (char)(length >> 8);
    memcpy(file + 8, header, length);
    write_bytes(path, file, 8 + length + data_bytes);
    free(file);
    return path;
}

static void refused(const char *header, size_t data_bytes, const char *part)
{
    sftn_error err = {0};
    sftn_tensors *t;

    CHECK_FAILS(sftn_tensors_open(with_header(header, data_bytes), &t, &err), SFTN_ERR_FORMAT,
                &err, part);
    CHECK(t == NULL);
    CHECK_CONTAINS(err.text, "made.safetensors");
}

TEST(what_is_written_is_read_back)
{
    const char *path = test_temp_path("small.safetensors");
    sftn_error err = {0};
    sftn_tensors *t;
    const sftn_array *a;

    save_small(path);
    CHECK_OK(sftn_tensors_open(path, &t, &err), &err);
    CHECK_INT(sftn_tensors_count(t), 5);
    CHECK_TEXT(sftn_tensors_meta(t, "model"), "tiny \"net\"\n");
    CHECK(sftn_tensors_meta(t, "other") == NULL);
    CHECK_TEXT(sftn_tensors_get(t, 0)->name, "a.weight");
    CHECK_OK(sftn_tensors_expect(t, "a.weight", SFTN_ELEMENT_F32, 3, &a, &err), &err);
    CHECK_INT(a->rank, 2);
    CHECK_BYTES(a->data, weights, sizeof weights);
    CHECK_OK(sftn_tensors_expect(t, "counter", SFTN_ELEMENT_I64, 1, &a, &err), &err);
    CHECK_INT(a->rank, 0);
    CHECK_INT(*(const int64_t *)a->data, counter);
    CHECK_OK(sftn_tensors_expect(t, "bytes", SFTN_ELEMENT_U8, 5, &a, &err), &err);
    CHECK_BYTES(a->data, bytes, sizeof bytes);
    CHECK_FAILS(sftn_tensors_expect(t, "table", SFTN_ELEMENT_F32, 4, &a, &err), SFTN_ERR_FORMAT,
                &err, "'table' is [2,2] of F64, expected 4 elements of F32");
    CHECK_FAILS(sftn_tensors_expect(t, "absent", SFTN_ELEMENT_F32, 4, &a, &err), SFTN_ERR_FORMAT,
                &err, "no array 'absent'");
    for (int i = 0; i < 4; i++)
        CHECK_INT((uintptr_t)sftn_tensors_get(t, i)->data % 8, 0);
    sftn_tensors_close(t);
}

TEST(the_same_calls_give_the_same_bytes)
{
    void *first, *second;
    size_t first_size, second_size;
    sftn_error err = {0};

    save_small(test_temp_path("one.safetensors"));
    save_small(test_temp_path("two.safetensors"));
    CHECK_OK(sftn_read_file(test_temp_path("one.safetensors"), &first, &first_size, &err), &err);
    CHECK_OK(sftn_read_file(test_temp_path("two.safetensors"), &second, &second_size, &err), &err);
    CHECK_INT(first_size, second_size);
    CHECK_BYTES(first, second, first_size);
    free(first);
    free(second);
}

TEST(a_file_cut_anywhere_is_an_error)
{
    const char *path = test_temp_path("cut.safetensors");
    void *file;
    size_t size;
    sftn_error err = {0};

    save_small(test_temp_path("whole.safetensors"));
    CHECK_OK(sftn_read_file(test_temp_path("whole.safetensors"), &file, &size, &err), &err);
    for (size_t length = 0; length < size; length++) {
        sftn_tensors *t;

        write_bytes(path, file, length);
        CHECK_STATUS(sftn_tensors_open(path, &t, &err), SFTN_ERR_FORMAT);
        CHECK_CONTAINS(err.text, "cut.safetensors");
    }
    free(file);
}

TEST(flipped_bits_in_the_header_do_not_crash)
{
    const char *path = test_temp_path("flipped.safetensors");
    char *file;
    void *read;
    size_t size;
    sftn_error err = {0};

    save_small(test_temp_path("intact.safetensors"));
    CHECK_OK(sftn_read_file(test_temp_path("intact.safetensors"), &read, &size, &err), &err);
    file = read;
    for (size_t bit = 0; bit < 8 * (size - 57); bit += test_quick() ? 13 : 1) {
        sftn_tensors *t;

        file[bit / 8] = (char)(file[bit / 8] ^ (1 << bit % 8));
        write_bytes(path, file, size);
        file[bit / 8] = (char)(file[bit / 8] ^ (1 << bit % 8));
        if (sftn_tensors_open(path, &t, &err) != SFTN_OK)
            continue;
        for (int i = 0; i < sftn_tensors_count(t); i++)
            CHECK(sftn_tensors_get(t, i)->count <= 5);
        sftn_tensors_close(t);
    }
    free(read);
}

TEST(headers_that_lie_are_refused)
{
    refused("[]", 0, "not a JSON object");
    refused("{\"a\":1}", 0, "lacks one of dtype, shape and data_offsets");
    refused("{\"a\":{\"dtype\":\"F9\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
            "unknown dtype 'F9'");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "the shape");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
            "\"data_offsets\":[0,0]}}", 0, "the shape");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
            "has 4 bytes of data");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 4,
            "not inside the 4 bytes");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "a gap");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
            "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "overlap");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 12,
            "4 of the 12 bytes");
    refused("{\"__metadata__\":{\"k\":1}}", 0, "'k' is not a string");
    refused("{} x", 0, "goes on after");
}

TEST(misaligned_arrays_are_moved)
{
    sftn_error err = {0};
    sftn_tensors *t;

    CHECK_OK(sftn_tensors_open(
                 with_header("{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
                             "\"a\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[3,11]}}", 11),
                 &t, &err),
             &err);
    CHECK_INT((uintptr_t)sftn_tensors_find(t, "a")->data % 8, 0);
    CHECK_INT(*(const int64_t *)sftn_tensors_find(t, "a")->data, 0);
    sftn_tensors_close(t);
}

TEST(an_array_cannot_be_written_twice)
{
    sftn_error err = {0};
    sftn_tensors *t = sftn_tensors_new();
    const sftn_array a = {.name = "a", .element = SFTN_ELEMENT_F32, .data = weights};

    CHECK_OK(sftn_tensors_add(t, &a, &err), &err);
    CHECK_FAILS(sftn_tensors_add(t, &a, &err), SFTN_ERR_ARGUMENT, &err, "'a' is written twice");
    sftn_tensors_close(t);
}

/* Parameters of a small network: a convolution, a batch norm, a dense layer. */
static sftn_params *small_network(int filters, uint64_t seed)
{
    sftn_graph *g = sftn_graph_new();
    sftn_params *p = sftn_params_new();
    const sftn_scope s = {.g = g, .params = p, .training = true};
    sftn_value x = sftn_graph_input(g, "x", (sftn_type){.shape = SFTN_SHAPE(2, 3, 4, 4)});

    x = sftn_nn_conv(&s, "conv", x, (sftn_conv){.filters = filters, .size = 3});
    x = sftn_global_avg_pool(g, sftn_nn_batch_norm(&s, "bn", x));
    sftn_nn_dense(&s, "fc", x, (sftn_dense){.units = 7});
    CHECK_STATUS(sftn_graph_status(g, NULL), SFTN_OK);
    sftn_graph_free(g);
    sftn_params_init(p, seed);
    return p;
}

TEST(parameters_are_stored_as_a_state_dict)
{
    static const char *const names[] = {"conv.weight", "bn.weight", "bn.bias", "bn.running_mean",
                                        "bn.running_var", "bn.num_batches_tracked", "fc.weight",
                                        "fc.bias"};
    static const int ranks[] = {4, 1, 1, 1, 1, 0, 2, 1};
    const char *path = test_temp_path("net.safetensors");
    sftn_error err = {0};
    sftn_params *p = small_network(5, 1), *q = small_network(5, 2);
    sftn_tensors *t = sftn_tensors_new();

    sftn_params_value(p, sftn_params_find(p, "bn.num_batches_tracked"))[0] = 12345.0f;
    CHECK_OK(sftn_tensors_add_params(t, p, NULL, &err), &err);
    CHECK_OK(sftn_tensors_save(t, path, &err), &err);
    sftn_tensors_close(t);
    CHECK_OK(sftn_tensors_open(path, &t, &err), &err);
    CHECK_INT(sftn_tensors_count(t), 8);
    for (int i = 0; i < 8; i++) {
        CHECK_TEXT(sftn_tensors_get(t, i)->name, names[i]);
        CHECK_INT(sftn_tensors_get(t, i)->rank, ranks[i]);
    }
    CHECK_INT(sftn_tensors_get(t, 5)->element, SFTN_ELEMENT_I64);
    CHECK_INT(*(const int64_t *)sftn_tensors_get(t, 5)->data, 12345);
    CHECK_INT(sftn_tensors_get(t, 6)->dim[0], 7);
    CHECK_INT(sftn_tensors_get(t, 6)->dim[1], 5);
    CHECK_OK(sftn_tensors_read_params(t, NULL, q, &err), &err);
    CHECK_BYTES(sftn_params_weights(q), sftn_params_weights(p),
                (size_t)sftn_params_weight_size(p) * sizeof(float));
    CHECK_BYTES(sftn_params_states(q), sftn_params_states(p),
                (size_t)sftn_params_state_size(p) * sizeof(float));
    sftn_tensors_close(t);
    sftn_params_free(p);
    sftn_params_free(q);
}

TEST(parameters_of_another_shape_change_nothing)
{
    const char *path = test_temp_path("other.safetensors");
    sftn_error err = {0};
    sftn_params *p = small_network(5, 1), *q = small_network(6, 2), *same = small_network(6, 2);
    sftn_tensors *t = sftn_tensors_new();

    CHECK_OK(sftn_tensors_set_meta(t, "model", "five", &err), &err);
    CHECK_OK(sftn_tensors_add_params(t, p, NULL, &err), &err);
    CHECK_OK(sftn_tensors_save(t, path, &err), &err);
    sftn_tensors_close(t);
    CHECK_OK(sftn_tensors_open(path, &t, &err), &err);
    CHECK_FAILS(sftn_tensors_read_params(t, NULL, q, &err), SFTN_ERR_FORMAT, &err,
                "'conv.weight' has the shape [5,3,3,3], expected [6,3,3,3] (the file says it "
                "holds five)");
    CHECK_FAILS(sftn_tensors_read_params(t, "student.", p, &err), SFTN_ERR_FORMAT, &err,
                "no array 'student.conv.weight'");
    CHECK_BYTES(sftn_params_weights(q), sftn_params_weights(same),
                (size_t)sftn_params_weight_size(q) * sizeof(float));
    sftn_tensors_close(t);
    sftn_params_free(p);
    sftn_params_free(q);
    sftn_params_free(same);
}

TEST(a_failed_write_leaves_the_old_file)
{
    const char *path = test_temp_path("kept.safetensors");
    sftn_error err = {0};
    static float big[65536];
    sftn_tensors *t = sftn_tensors_new();
    struct rlimit old, low;
    sftn_status status;

    save_small(path);
    CHECK_OK(sftn_tensors_add(t, &(sftn_array){.name = "big", .element = SFTN_ELEMENT_F32,
                                               .rank = 1, .dim = {65536}, .data = big}, &err),
             &err);
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    low = old;
    low.rlim_cur = 65536;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0);
    status = sftn_tensors_save(t, path, &err);
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    CHECK_INT(status, SFTN_ERR_FILE);
    CHECK_CONTAINS(err.text, "kept.safetensors");
    sftn_tensors_close(t);
    CHECK_OK(sftn_tensors_open(path, &t, &err), &err);
    CHECK_INT(sftn_tensors_count(t), 5);
    sftn_tensors_close(t);
}

TEST(a_failed_allocation_is_an_error)
{
    const char *path = test_temp_path("memory.safetensors");

    save_small(path);
    for (long n = 1; n < 1000; n++) {
        sftn_error err = {0};
        sftn_tensors *t = NULL;
        sftn_status status;
        long made;

        test_fail_allocation(n);
        status = sftn_tensors_open(path, &t, &err);
        made = test_allocations();
        test_fail_allocation(0);
        sftn_tensors_close(t);
        if (made < n) {
            CHECK_INT(status, SFTN_OK);
            return;
        }
        CHECK_INT(status, SFTN_ERR_MEMORY);
    }
    test_fail(__FILE__, __LINE__, "the file was never read");
}
