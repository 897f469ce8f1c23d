/* The loader: order, batches, determinism over thread counts, seeking, no allocation. */
#include "test.h"

#include "base/base.h"
#include "data/augment.h"
#include "data/dataset.h"
#include "data/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRAIN = 203, BATCH = 16, BATCHES = 13 }; /* the last batch has 11 */

static sftn_dataset *open_set(int64_t validation)
{
    static int count;
    fixture f = fixture_cifar100(TRAIN, 5);
    char name[32];
    sftn_dataset *d = NULL;
    sftn_error err = {0};

    snprintf(name, sizeof(name), "loader%d", count++);
    fixture_write(&f, test_temp_path(name), false);
    CHECK_OK(sftn_dataset_open(&(sftn_data_options){.name = "cifar100",
                                                    .path = test_temp_path(name),
                                                    .validation = validation,
                                                    .no_cache = true},
                               &d, &err),
             &err);
    fixture_free(&f);
    return d;
}

static sftn_loader_options usual(void)
{
    return (sftn_loader_options){.split   = SFTN_TRAIN,
                                 .batch   = BATCH,
                                 .shuffle = true,
                                 .augment = {.pad = 4, .flip = true},
                                 .seed    = 7,
                                 .dtype   = SFTN_BF16,
                                 .layout  = SFTN_NHWC};
}

static sftn_loader *new_loader(const sftn_dataset *d, const sftn_loader_options *options)
{
    sftn_loader *l = NULL;
    sftn_error err = {0};

    CHECK_OK(sftn_loader_new(d, options, &l, &err), &err);
    return l;
}

/* A number for all a batch holds. */
static uint64_t fingerprint(const sftn_batch *b, size_t image_bytes)
{
    const size_t n = (size_t)b->n;
    uint64_t h = sftn_hash_bytes(b->images, n * image_bytes);

    h = h * 31 + sftn_hash_bytes(b->labels, n * sizeof(*b->labels));
    h = h * 31 + sftn_hash_bytes(b->index, n * sizeof(*b->index));
    return h * 31 + (uint64_t)(b->epoch * 1000 + b->batch);
}

TEST(an_epoch_holds_every_record_once_with_its_label)
{
    sftn_dataset *d = open_set(0);
    sftn_loader_options options = usual();
    sftn_loader *l;

    options.threads = 2;
    l = new_loader(d, &options);
    CHECK_INT(sftn_loader_batches(l), BATCHES);
    CHECK_INT(sftn_loader_batch_size(l, 0), BATCH);
    CHECK_INT(sftn_loader_batch_size(l, BATCHES - 1), 11);
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen[TRAIN] = {0}, moved = 0;

        for (int b = 0; b < BATCHES; b++) {
            const sftn_batch *batch = sftn_loader_next(l);

            CHECK_INT(batch->epoch, epoch);
            CHECK_INT(batch->batch, b);
            CHECK_INT(batch->n, b == BATCHES - 1 ? 11 : BATCH);
            CHECK(batch->waited_s >= 0.0 && batch->waited_s < 60.0);
            for (int64_t i = 0; i < batch->n; i++) {
                seen[batch->index[i]]++;
                moved += batch->index[i] != b * BATCH + i;
                CHECK_NEAR((double)batch->labels[i],
                           fixture_label(0, (int)batch->index[i], 100), 0.0);
            }
        }
        for (int i = 0; i < TRAIN; i++)
            CHECK_INT(seen[i], 1);
        CHECK(moved > TRAIN / 2);
    }
    sftn_loader_free(l);
    sftn_dataset_close(d);
}

/*
 * 2,400 epochs of four records: each of the 24 orders 100 times on average, by a binomial
 * distribution of deviation 9.8.
 */
TEST(every_order_of_an_epoch_is_equally_likely)
{
    sftn_dataset *d = NULL;
    sftn_loader_options options = usual();
    int seen[256] = {0}, orders = 0;
    double chi2 = 0.0;
    sftn_error err = {0};
    sftn_loader *l;
    fixture f = fixture_cifar100(4, 1);

    fixture_write(&f, test_temp_path("four"), false);
    fixture_free(&f);
    CHECK_OK(sftn_dataset_open(&(sftn_data_options){.name = "cifar100",
                                                    .path = test_temp_path("four"),
                                                    .no_cache = true}, &d, &err), &err);
    options.batch = 4;
    l = new_loader(d, &options);
    for (int epoch = 0; epoch < 2400; epoch++) {
        const int64_t *at = sftn_loader_next(l)->index;

        CHECK_INT((1 << at[0]) + (1 << at[1]) + (1 << at[2]) + (1 << at[3]), 15);
        seen[((at[0] * 4 + at[1]) * 4 + at[2]) * 4 + at[3]]++;
    }
    for (int i = 0; i < 256; i++) {
        orders += seen[i] > 0;
        chi2 += seen[i] > 0 ? (seen[i] - 100.0) * (seen[i] - 100.0) / 100.0 : 0.0;
    }
    CHECK_INT(orders, 24);
    CHECK(chi2 < 49.7); /* 23 degrees of freedom: above this one time in a thousand */
    sftn_loader_free(l);
    sftn_dataset_close(d);
}

TEST(images_are_the_keyed_views_of_their_records)
{
    sftn_dataset *d = open_set(0);
    const sftn_loader_options options = usual();
    const sftn_variation how = {.augment = options.augment, .seed = options.seed};
    sftn_loader *l = new_loader(d, &options);
    sftn_writer w;
    uint16_t expected[3072];

    sftn_writer_init(&w, sftn_dataset_get_info(d), options.dtype, options.layout);
    for (int b = 0; b < 2 * BATCHES; b++) {
        const sftn_batch *batch = sftn_loader_next(l);

        for (int64_t i = 0; i < batch->n; i++) {
            const int64_t record = batch->index[i];
            const sftn_view v = sftn_augment_view(&how, batch->epoch, record, 0);

            sftn_writer_image(&w, sftn_dataset_record(d, SFTN_TRAIN, record, NULL), v, expected);
            CHECK_BYTES((const uint16_t *)batch->images + i * 3072, expected, sizeof(expected));
        }
    }
    sftn_loader_free(l);
    sftn_dataset_close(d);
}

/* A loader of the usual batches, and one that turns four views of each record. */
static sftn_loader *turning_loader(const sftn_dataset *d, int threads)
{
    sftn_loader_options options = usual();

    options.views = (sftn_views){.n = 4, .turned = true};
    options.threads = threads;
    return new_loader(d, &options);
}

TEST(the_first_of_several_views_is_the_usual_batch)
{
    sftn_dataset *d = open_set(0);
    const sftn_loader_options options = usual();
    sftn_loader *alone = new_loader(d, &options), *several = turning_loader(d, 2);

    for (int b = 0; b < 2 * BATCHES; b++) {
        const sftn_batch *x = sftn_loader_next(alone), *y = sftn_loader_next(several);

        CHECK_INT(x->views, 1);
        CHECK_INT(y->views, 4);
        CHECK_INT(x->n, y->n);
        CHECK(fingerprint(x, 3072 * 2) == fingerprint(y, 3072 * 2));
    }
    sftn_loader_free(alone);
    sftn_loader_free(several);
    sftn_dataset_close(d);
}

TEST(every_view_follows_the_one_before_for_the_whole_batch)
{
    sftn_dataset *d = open_set(0);
    const sftn_loader_options options = usual();
    const sftn_variation how = {options.augment, {.n = 4, .turned = true}, options.seed};
    sftn_loader *l = turning_loader(d, 1);
    sftn_writer w;
    uint16_t expected[3072];

    sftn_writer_init(&w, sftn_dataset_get_info(d), options.dtype, options.layout);
    for (int b = 0; b < BATCHES; b++) {
        const sftn_batch *batch = sftn_loader_next(l);

        for (int64_t row = 0; row < 4 * batch->n; row++) {
            const int64_t record = batch->index[row % batch->n];
            const sftn_view v =
                sftn_augment_view(&how, batch->epoch, record, (int)(row / batch->n));

            sftn_writer_image(&w, sftn_dataset_record(d, SFTN_TRAIN, record, NULL), v, expected);
            CHECK_BYTES((const uint16_t *)batch->images + row * 3072, expected, sizeof(expected));
        }
    }
    sftn_loader_free(l);
    sftn_dataset_close(d);
}

TEST(views_do_not_depend_on_threads_or_on_where_reading_begins)
{
    sftn_dataset *d = open_set(0);
    sftn_loader *one = turning_loader(d, 1), *three = turning_loader(d, 3);

    sftn_loader_seek(three, 1, 5);
    sftn_loader_seek(one, 1, 0);
    for (int b = 0; b < 2 * BATCHES; b++) {
        const sftn_batch *x = sftn_loader_next(one);
        const sftn_batch *y = b < 5 ? x : sftn_loader_next(three);

        CHECK(fingerprint(x, 4 * 3072 * 2) == fingerprint(y, 4 * 3072 * 2));
    }
    sftn_loader_free(one);
    sftn_loader_free(three);
    sftn_dataset_close(d);
}

TEST(batches_do_not_depend_on_threads_or_depth)
{
    static const int threads[] = {1, 2, 3, 8}, depths[] = {4, 1, 2, 40};
    sftn_dataset *d = open_set(0);
    uint64_t first[4 * BATCHES];

    for (size_t k = 0; k < SFTN_COUNT(threads); k++) {
        sftn_loader_options options = usual();
        sftn_loader *l;

        options.threads = threads[k];
        options.depth = depths[k];
        l = new_loader(d, &options);
        for (int b = 0; b < 4 * BATCHES; b++) {
            const uint64_t h = fingerprint(sftn_loader_next(l), 3072 * 2);

            if (k == 0)
                first[b] = h;
            CHECK(h == first[b]);
        }
        sftn_loader_free(l);
    }
    sftn_dataset_close(d);
}

TEST(seeds_and_epochs_give_other_orders)
{
    sftn_dataset *d = open_set(0);
    uint64_t h[4];

    for (int k = 0; k < 2; k++) {
        sftn_loader_options options = usual();
        sftn_loader *l;

        options.seed = (uint64_t)k;
        l = new_loader(d, &options);
        for (int epoch = 0; epoch < 2; epoch++) {
            sftn_loader_seek(l, epoch, 0);
            h[2 * k + epoch] = sftn_hash_bytes(sftn_loader_next(l)->index, BATCH * sizeof(int64_t));
        }
        sftn_loader_free(l);
    }
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            CHECK(h[i] != h[k]);
    sftn_dataset_close(d);
}

TEST(seeking_gives_what_reading_on_gives)
{
    sftn_dataset *d = open_set(0);
    sftn_loader_options options = usual();
    uint64_t sequence[4 * BATCHES];
    sftn_loader *l;

    options.threads = 2;
    l = new_loader(d, &options);
    for (int b = 0; b < 4 * BATCHES; b++)
        sequence[b] = fingerprint(sftn_loader_next(l), 3072 * 2);
    for (int k = 0; k < 200; k++) {
        const int at = (k * 29) % (4 * BATCHES - 3);

        sftn_loader_seek(l, at / BATCHES, at % BATCHES);
        for (int b = 0; b < k % 4; b++)
            CHECK(fingerprint(sftn_loader_next(l), 3072 * 2) == sequence[at + b]);
    }
    sftn_loader_free(l);
    sftn_dataset_close(d);
}

TEST(without_shuffling_records_come_in_order)
{
    sftn_dataset *d = open_set(0);
    sftn_loader_options options = usual();
    sftn_loader *l;

    options.shuffle = false;
    options.augment = (sftn_augment){0};
    options.threads = 2;
    l = new_loader(d, &options);
    for (int b = 0; b < 2 * BATCHES; b++) {
        const sftn_batch *batch = sftn_loader_next(l);

        for (int64_t i = 0; i < batch->n; i++)
            CHECK_INT(batch->index[i], b % BATCHES * BATCH + i);
    }
    sftn_loader_free(l);
    sftn_dataset_close(d);
}

TEST(every_split_can_be_loaded_and_an_empty_one_is_refused)
{
    sftn_dataset *d = open_set(20), *whole = open_set(0);
    sftn_loader_options options = usual();
    sftn_loader *l;
    sftn_error err = {0};

    options.split = SFTN_VALIDATION;
    l = new_loader(d, &options);
    CHECK_INT(sftn_loader_batches(l), 2);
    CHECK_INT(sftn_loader_batch_size(l, 1), 4);
    sftn_loader_free(l);
    options.split = SFTN_TEST;
    l = new_loader(d, &options);
    CHECK_INT(sftn_loader_batches(l), 1);
    CHECK_INT(sftn_loader_next(l)->n, 5);
    CHECK_INT(sftn_loader_next(l)->epoch, 1);
    sftn_loader_free(l);
    options.split = SFTN_VALIDATION;
    CHECK_FAILS(sftn_loader_new(whole, &options, &l, &err), SFTN_ERR_ARGUMENT, &err,
                "cifar100: the validation split holds no records");
    sftn_dataset_close(d);
    sftn_dataset_close(whole);
}

TEST(more_epochs_than_batches_can_be_in_preparation)
{
    sftn_dataset *d = open_set(0);
    sftn_loader_options options = usual();
    sftn_loader *l;

    options.batch = 500;
    options.threads = 4;
    options.depth = 9;
    l = new_loader(d, &options);
    for (int epoch = 0; epoch < 40; epoch++) {
        const sftn_batch *b = sftn_loader_next(l);
        int seen[TRAIN] = {0};

        CHECK_INT(b->epoch, epoch);
        CHECK_INT(b->n, TRAIN);
        for (int i = 0; i < TRAIN; i++)
            CHECK_INT(seen[b->index[i]]++, 0);
    }
    sftn_loader_free(l);
    sftn_dataset_close(d);
}

TEST(a_batch_stays_as_it_is_until_the_next_is_asked_for)
{
    sftn_dataset *d = open_set(0);
    sftn_loader_options options = usual();
    sftn_loader *l;

    options.threads = 3;
    options.depth = 1;
    l = new_loader(d, &options);
    for (int k = 0; k < 50; k++) {
        const sftn_batch *b = sftn_loader_next(l);
        const uint64_t before = fingerprint(b, 3072 * 2);
        const double until = sftn_seconds() + 0.002;

        while (sftn_seconds() < until)
            continue;
        CHECK(fingerprint(b, 3072 * 2) == before);
    }
    sftn_loader_free(l);
    sftn_dataset_close(d);
}

TEST(batches_are_aligned_and_nothing_is_allocated_after_creation)
{
    sftn_dataset *d = open_set(0);
    sftn_loader_options options = usual();
    sftn_loader *l;

    options.threads = 2;
    l = new_loader(d, &options);
    sftn_loader_next(l);
    test_fail_allocation(0);
    for (int b = 0; b < 5 * BATCHES; b++)
        CHECK_INT((uintptr_t)sftn_loader_next(l)->images % 64, 0);
    sftn_loader_seek(l, 9, 3);
    sftn_loader_next(l);
    CHECK_INT(test_allocations(), 0);
    sftn_loader_free(l);
    sftn_dataset_close(d);
}

TEST(a_failing_allocation_leaves_no_loader)
{
    sftn_dataset *d = open_set(0);
    const sftn_loader_options options = usual();
    sftn_error err = {0};

    for (long n = 1;; n++) {
        sftn_loader *l = NULL;
        sftn_status status;

        test_fail_allocation(n);
        status = sftn_loader_new(d, &options, &l, &err);
        test_fail_allocation(0);
        if (status == SFTN_OK) {
            sftn_loader_free(l);
            CHECK(n > 10);
            break;
        }
        CHECK_INT(status, SFTN_ERR_MEMORY);
        CHECK(l == NULL && n < 1000);
    }
    sftn_dataset_close(d);
}

TEST(options_out_of_range_are_refused)
{
    sftn_dataset *d = open_set(0);
    sftn_loader_options options = usual();
    sftn_loader *l = NULL;
    sftn_error err = {0};

    options.batch = 0;
    CHECK_FAILS(sftn_loader_new(d, &options, &l, &err), SFTN_ERR_ARGUMENT, &err, "batch size 0");
    options = usual();
    options.augment.pad = 33;
    CHECK_FAILS(sftn_loader_new(d, &options, &l, &err), SFTN_ERR_ARGUMENT, &err,
                "crop padding 33, expected 0 to 32");
    options = usual();
    options.layout = SFTN_PACKED;
    CHECK_FAILS(sftn_loader_new(d, &options, &l, &err), SFTN_ERR_ARGUMENT, &err, "layout");
    options = usual();
    options.threads = -1;
    CHECK_FAILS(sftn_loader_new(d, &options, &l, &err), SFTN_ERR_ARGUMENT, &err, "threads");
    options = usual();
    options.views.n = 17;
    CHECK_FAILS(sftn_loader_new(d, &options, &l, &err), SFTN_ERR_ARGUMENT, &err,
                "17 views of each record, expected 1 to 16");
    options.views = (sftn_views){.n = 4, .turned = true};
    ((sftn_dataset_info *)sftn_dataset_get_info(d))->width = 31;
    CHECK_FAILS(sftn_loader_new(d, &options, &l, &err), SFTN_ERR_ARGUMENT, &err,
                "needs square images; those of cifar100 are 32 pixels high and 31 wide");
    ((sftn_dataset_info *)sftn_dataset_get_info(d))->width = 32;
    CHECK(l == NULL);
    sftn_loader_free(NULL);
    sftn_dataset_close(d);
    sftn_dataset_close(NULL);
}
