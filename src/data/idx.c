/*
 * idx: MNIST (LeCun et al., 1998) and Fashion-MNIST (Xiao et al., 2017) in the IDX layout.
 *
 * A file begins with two zero bytes, the element type (8: unsigned byte), the number of
 * dimensions, and each dimension as a big-endian 32-bit number; the elements follow.  Images have
 * the dimensions records, rows, columns; labels have records.  The files may be compressed (.gz).
 */
#include "base/base.h"
#include "data/dataset.h"

#include <string.h>

enum { IDX_UNSIGNED_BYTE = 8 };

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/*
 * Check m's header against ndims dimensions, of which want[1..] are known; want[0] becomes the
 * record count.  *payload points past the header.
 */
static sftn_status check_idx(const sftn_member *m, int ndims, uint32_t *want,
                             const uint8_t **payload, sftn_error *err)
{
    const size_t header = 4 + 4 * (size_t)ndims;
    uint64_t bytes = header, record = 1;

    if (m->bytes < header)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: truncated: found %zu bytes, the header alone has %zu", m->where,
                         m->bytes, header);
    if (m->data[0] != 0 || m->data[1] != 0 || m->data[2] != IDX_UNSIGNED_BYTE ||
        m->data[3] != ndims)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: not the IDX file expected: it begins with %08x, expected %08x",
                         m->where, big_endian(m->data),
                         (unsigned)(IDX_UNSIGNED_BYTE << 8 | ndims));
    for (int i = 1; i < ndims; i++) {
        const uint32_t found = big_endian(m->data + 4 + 4 * i);

        if (found != want[i])
            return sftn_fail(err, SFTN_ERR_FORMAT, "%s: images have %u %s, expected %u", m->where,
                             found, i == 1 ? "rows" : "columns", want[i]);
        record *= found;
    }
    want[0] = big_endian(m->data + 4);
    bytes += want[0] * record;
    if (want[0] == 0)
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s: holds no records", m->where);
    if (m->bytes != bytes)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "%s: %s: found %zu bytes, expected %llu for %u records", m->where,
                         m->bytes < bytes ? "truncated" : "too long", m->bytes,
                         (unsigned long long)bytes, want[0]);
    *payload = m->data + header;
    return SFTN_OK;
}

static sftn_status read_part(const sftn_source *s, const sftn_member *image_file,
                             const sftn_member *label_file, sftn_images *images, int part,
                             sftn_error *err)
{
    uint32_t image_dims[3] = {0, (uint32_t)s->height, (uint32_t)s->width}, label_dims[1] = {0};
    const uint8_t *pixels = NULL, *labels = NULL;
    sftn_status status = check_idx(image_file, 3, image_dims, &pixels, err);

    if (status == SFTN_OK)
        status = check_idx(label_file, 1, label_dims, &labels, err);
    if (status != SFTN_OK)
        return status;
    if (image_dims[0] != label_dims[0])
        return sftn_fail(err, SFTN_ERR_FORMAT, "%s has %u labels, but %s has %u images",
                         label_file->where, label_dims[0], image_file->where, image_dims[0]);
    status = sftn_images_alloc(images, part, image_dims[0], err);
    if (status != SFTN_OK)
        return status;
    memcpy(images->part[part].pixels, pixels,
           (size_t)image_dims[0] * (size_t)sftn_images_pixels(images));
    for (int64_t i = 0; i < image_dims[0]; i++) {
        if (labels[i] >= s->classes)
            return sftn_fail(err, SFTN_ERR_FORMAT,
                             "%s: record %lld has label %d, expected 0 to %d for %s",
                             label_file->where, (long long)i, labels[i], s->classes - 1, s->name);
        images->part[part].labels[i] = labels[i];
    }
    return SFTN_OK;
}

static sftn_status read_idx(const sftn_source *s, sftn_member *m, const char *names,
                            sftn_images *images, sftn_error *err)
{
    sftn_status status = read_part(s, &m[0], &m[1], images, SFTN_PART_TRAIN, err);

    if (status == SFTN_OK)
        status = read_part(s, &m[2], &m[3], images, SFTN_PART_TEST, err);
    if (status == SFTN_OK && !(images->class_names = sftn_strdup(names)))
        status = sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", s->name);
    return status;
}

static sftn_status read_mnist(const sftn_source *s, sftn_member *m, sftn_images *images,
                              sftn_error *err)
{
    return read_idx(s, m, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", images, err);
}

static sftn_status read_fashion(const sftn_source *s, sftn_member *m, sftn_images *images,
                                sftn_error *err)
{
    return read_idx(s, m,
                    "T-shirt/top\nTrouser\nPullover\nDress\nCoat\nSandal\nShirt\nSneaker\nBag\n"
                    "Ankle boot\n",
                    images, err);
}

static const char *const idx_members[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                          "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
                                          NULL};

static const char *const mnist_places[] = {"mnist", "MNIST", "MNIST/raw", NULL};
static const sftn_remote mnist_remotes[] = {
    {"train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"},
    {"train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432"},
    {"t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3"},
    {"t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c"},
    {NULL, NULL}};

/* The author's own site answers downloads no more; this is the mirror that PyTorch keeps. */
const sftn_source sftn_source_mnist = {
    .name       = "mnist",
    .summary    = "MNIST: 70,000 handwritten digits, 28x28 grey",
    .classes    = 10,
    .channels   = 1,
    .height     = 28,
    .width      = 28,
    .places     = mnist_places,
    .members    = idx_members,
    .url        = "https://ossci-datasets.s3.amazonaws.com/mnist/",
    .remotes    = mnist_remotes,
    .remote_dir = "mnist",
    .read       = read_mnist,
};

static const char *const fashion_places[] = {"fashion-mnist", "FashionMNIST", "FashionMNIST/raw",
                                             NULL};
static const sftn_remote fashion_remotes[] = {
    {"train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d"},
    {"train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe"},
    {"t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79"},
    {"t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310"},
    {NULL, NULL}};

const sftn_source sftn_source_fashion_mnist = {
    .name       = "fashion-mnist",
    .summary    = "Fashion-MNIST: 70,000 pieces of clothing of 10 classes, 28x28 grey",
    .classes    = 10,
    .channels   = 1,
    .height     = 28,
    .width      = 28,
    .places     = fashion_places,
    .members    = idx_members,
    .url        = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    .remotes    = fashion_remotes,
    .remote_dir = "fashion-mnist",
    .package    = "dataset-fashion-mnist",
    .read       = read_fashion,
};
