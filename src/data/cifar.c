/*
 * cifar: CIFAR-10 and CIFAR-100 in their official binary layout (Krizhevsky, 2009).
 *
 * A record is its label bytes and 3072 bytes of pixels, red, green and blue planes of 32x32, rows
 * from the top.  CIFAR-10 has one label byte and five train files; CIFAR-100 a coarse and a fine
 * label byte, of which the fine one counts.
 *
 * Constants: CIFAR-100's are those of the distillation benchmarks (RepDistiller, mdistiller);
 * CIFAR-10's the train split's own to four digits, as most published recipes have them.
 */
#include "base/base.h"
#include "data/dataset.h"

#include <string.h>

enum { CIFAR_PIXELS = 3 * 32 * 32 };

/* Append member m's records to part from record `first` on. */
static sftn_status read_file(const sftn_source *s, const sftn_member *m, int label_bytes,
                             sftn_records *part, int64_t first, sftn_error *err)
{
    const size_t record = (size_t)label_bytes + CIFAR_PIXELS;
    const int64_t count = (int64_t)(m->bytes / record);

    for (int64_t i = 0; i < count; i++) {
        const uint8_t *src = m->data + (size_t)i * record;
        const int label = src[label_bytes - 1];

        if (label >= s->classes)
            return sftn_fail(err, SFTN_ERR_FORMAT,
                             "%s: record %lld has label %d, expected 0 to %d for %s", m->where,
                             (long long)i, label, s->classes - 1, s->name);
        part->labels[first + i] = label;
        memcpy(part->pixels + (size_t)(first + i) * CIFAR_PIXELS, src + label_bytes, CIFAR_PIXELS);
    }
    return SFTN_OK;
}

/* Whole records only, and at least one. */
static sftn_status check_size(const sftn_member *m, int label_bytes, int64_t *count,
                              sftn_error *err)
{
    const size_t record = (size_t)label_bytes + CIFAR_PIXELS;
    const size_t whole = m->bytes / record, rest = m->bytes % record;

    if (whole == 0 || rest != 0)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: truncated or not of this layout: found %zu bytes, which is %zu "
                         "records of %zu and %zu bytes more; expected %zu",
                         m->where, m->bytes, whole, record, rest, (whole + 1) * record);
    *count += (int64_t)whole;
    return SFTN_OK;
}

/* Train files [from, to) of members into a part; each is freed once decoded. */
static sftn_status read_part(const sftn_source *s, sftn_member *members, int from, int to,
                             int label_bytes, sftn_images *images, int part, sftn_error *err)
{
    const size_t record = (size_t)label_bytes + CIFAR_PIXELS;
    int64_t count = 0, first = 0;
    sftn_status status = SFTN_OK;

    for (int i = from; i < to && status == SFTN_OK; i++)
        status = check_size(&members[i], label_bytes, &count, err);
    if (status == SFTN_OK)
        status = sftn_images_alloc(images, part, count, err);
    for (int i = from; i < to && status == SFTN_OK; i++) {
        status = read_file(s, &members[i], label_bytes, &images->part[part], first, err);
        first += (int64_t)(members[i].bytes / record);
        sftn_members_free(&members[i], 1);
    }
    return status;
}

/* The names file becomes the class names as it is: one a line. */
static void take_names(sftn_member *m, sftn_images *images)
{
    images->class_names = (char *)m->data;
    m->data = NULL;
}

static sftn_status read_cifar10(const sftn_source *s, sftn_member *m, sftn_images *images,
                                sftn_error *err)
{
    sftn_status status = read_part(s, m, 0, 5, 1, images, SFTN_PART_TRAIN, err);

    if (status == SFTN_OK)
        status = read_part(s, m, 5, 6, 1, images, SFTN_PART_TEST, err);
    take_names(&m[6], images);
    return status;
}

static sftn_status read_cifar100(const sftn_source *s, sftn_member *m, sftn_images *images,
                                 sftn_error *err)
{
    sftn_status status = read_part(s, m, 0, 1, 2, images, SFTN_PART_TRAIN, err);

    if (status == SFTN_OK)
        status = read_part(s, m, 1, 2, 2, images, SFTN_PART_TEST, err);
    take_names(&m[2], images);
    return status;
}

static const char *const cifar10_places[] = {"cifar-10-batches-bin", "cifar-10-binary", "cifar10",
                                             NULL};
static const char *const cifar10_members[] = {
    "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",   "data_batch_4.bin",
    "data_batch_5.bin", "test_batch.bin",   "?batches.meta.txt", NULL};
static const sftn_remote cifar10_remotes[] = {
    {"cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530"}, {NULL, NULL}};

const sftn_source sftn_source_cifar10 = {
    .name       = "cifar10",
    .summary    = "CIFAR-10: 60,000 photographs of 10 classes, 32x32 RGB",
    .classes    = 10,
    .channels   = 3,
    .height     = 32,
    .width      = 32,
    .places     = cifar10_places,
    .members    = cifar10_members,
    .url        = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    .remotes    = cifar10_remotes,
    .remote_dir = "",
    .mean       = {0.4914f, 0.4822f, 0.4465f},
    .std        = {0.2470f, 0.2435f, 0.2616f},
    .read       = read_cifar10,
};

static const char *const cifar100_places[] = {"cifar-100-binary", "cifar100", NULL};
static const char *const cifar100_members[] = {"train.bin", "test.bin", "?fine_label_names.txt",
                                               NULL};
static const sftn_remote cifar100_remotes[] = {
    {"cifar-100-binary.tar.gz", "md5:03b5dce01913d631647c71ecec9e9cb8"}, {NULL, NULL}};

const sftn_source sftn_source_cifar100 = {
    .name       = "cifar100",
    .summary    = "CIFAR-100: 60,000 photographs of 100 classes, 32x32 RGB",
    .classes    = 100,
    .channels   = 3,
    .height     = 32,
    .width      = 32,
    .places     = cifar100_places,
    .members    = cifar100_members,
    .url        = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    .remotes    = cifar100_remotes,
    .remote_dir = "",
    .mean       = {0.5071f, 0.4867f, 0.4408f},
    .std        = {0.2675f, 0.2565f, 0.2761f},
    .read       = read_cifar100,
};
