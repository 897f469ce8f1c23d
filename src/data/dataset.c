/*
 * dataset: opening a data set: its files or its cache, the limit on train records, the held-out
 * records, per-channel statistics, class names.
 */
#include "base/base.h"
#include "data/dataset.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct sftn_dataset {
    const sftn_source *source;
    sftn_images images;
    int64_t *index[3]; /* by sftn_split: record in its part */
    sftn_dataset_info info;
    sftn_pool names;
    const char **class_name;
};

/* ---- images ---- */

int64_t sftn_images_pixels(const sftn_images *images)
{
    return (int64_t)images->channels * images->height * images->width;
}

sftn_status sftn_images_alloc(sftn_images *images, int part, int64_t count, sftn_error *err)
{
    sftn_records *r = &images->part[part];
    const size_t record = (size_t)sftn_images_pixels(images);

    if (count > 0 && (uint64_t)count < SIZE_MAX / record) {
        r->pixels = malloc((size_t)count * record);
        r->labels = sftn_calloc((size_t)count, sizeof(*r->labels));
    }
    if (!r->pixels || !r->labels)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for %lld images of %zu bytes",
                         (long long)count, record);
    r->count = count;
    return SFTN_OK;
}

void sftn_images_free(sftn_images *images)
{
    for (int p = 0; p < SFTN_PARTS; p++) {
        free(images->part[p].pixels);
        free(images->part[p].labels);
        images->part[p] = (sftn_records){0};
    }
    free(images->class_names);
    images->class_names = NULL;
}

/* ---- finding and reading the files ---- */

/* s->members as the readers' list; returns how many. */
static int list_members(const sftn_source *s, sftn_member members[SFTN_MAX_MEMBERS])
{
    int n = 0;

    for (; s->members[n] && n < SFTN_MAX_MEMBERS; n++) {
        const bool optional = s->members[n][0] == '?';

        members[n] = (sftn_member){.name = s->members[n] + optional, .optional = optional};
    }
    return n;
}

/* Where Debian's packages of data sets put their files. */
static const char packages_home[] = "/usr/share/datasets";

static sftn_status not_found(const sftn_source *s, const char *home, sftn_error *err)
{
    char package[128] = "";

    if (s->package)
        snprintf(package, sizeof(package), "Debian's package %s brings it, ", s->package);
    return sftn_fail(err, SFTN_ERR_FILE,
                     "%s is not in %s (looked for %s, a directory or an archive); "
                     "%s`sftn data get %s` downloads it, `--data-path` says where it is",
                     s->name, home, s->places[0], package, s->name);
}

/* The directory or archive to read s from: given, in the data home, or a package's. */
static sftn_status locate(const sftn_source *s, const char *path, char found[PATH_MAX],
                          sftn_error *err)
{
    char home[PATH_MAX];
    struct stat info;

    if (!path) {
        sftn_data_home(home, sizeof(home));
        if (sftn_members_find(home, s->places, s->members[0], found, PATH_MAX))
            return SFTN_OK;
        if (s->package &&
            sftn_members_find(packages_home, s->places, s->members[0], found, PATH_MAX))
            return SFTN_OK;
        return not_found(s, home, err);
    }
    if (stat(path, &info) != 0)
        return sftn_fail(err, SFTN_ERR_FILE,
                         "%s: cannot open: %s; expected a directory or archive of %s, which "
                         "`sftn data get %s` downloads",
                         path, strerror(errno), s->name, s->name);
    if (!S_ISDIR(info.st_mode)) {
        snprintf(found, PATH_MAX, "%s", path);
        return SFTN_OK;
    }
    if (sftn_members_find(path, s->places, s->members[0], found, PATH_MAX))
        return SFTN_OK;
    return sftn_fail(err, SFTN_ERR_FILE,
                     "%s holds neither %s nor %s (a directory or an archive); "
                     "`sftn data get %s` downloads it",
                     path, s->members[0], s->places[0], s->name);
}

/* From the cache where it is good, else from the files. */
static sftn_status read_files(const sftn_source *s, const sftn_data_options *o, sftn_images *images,
                              sftn_error *err)
{
    sftn_member members[SFTN_MAX_MEMBERS];
    const int n = list_members(s, members);
    char found[PATH_MAX], real[PATH_MAX], cache[PATH_MAX];
    char *stamp = NULL;
    sftn_status status = locate(s, o->path, found, err);

    if (status != SFTN_OK)
        return status;
    if (!realpath(found, real))
        return sftn_fail(err, SFTN_ERR_FILE, "%s: cannot open: %s", found, strerror(errno));
    if (!o->no_cache) {
        stamp = sftn_members_stamp(real, members, n);
        sftn_cache_file(s->name, real, cache, sizeof(cache));
        if (stamp && sftn_cache_read(cache, stamp, images)) {
            free(stamp);
            return SFTN_OK;
        }
    }
    status = sftn_members_read(found, members, n, err);
    if (status == SFTN_OK)
        status = s->read(s, members, images, err);
    sftn_members_free(members, n);
    if (status == SFTN_OK && stamp)
        sftn_cache_write(cache, stamp, images);
    free(stamp);
    return status;
}

/* ---- splits ---- */

/* d->index of test, and of train less `validation` records drawn by seed; all in file order. */
static sftn_status make_splits(sftn_dataset *d, const sftn_data_options *o, sftn_error *err)
{
    const int64_t all = d->images.part[SFTN_PART_TRAIN].count;
    const int64_t train = o->limit > 0 && o->limit < all ? o->limit : all;
    const int64_t test = d->images.part[SFTN_PART_TEST].count;
    sftn_rng rng = sftn_rng_new(o->seed, SFTN_RNG_SPLIT, 0);
    int64_t left = o->validation, *count = d->info.records;

    if (left >= train)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "%s: holding out %lld of %lld train records leaves none to train on",
                         d->source->name, (long long)left, (long long)train);
    for (int split = 0; split < 3; split++) {
        d->index[split] = sftn_calloc((size_t)(split == SFTN_TEST ? test : train), sizeof(int64_t));
        if (!d->index[split])
            return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", d->source->name);
    }
    /* Selection sampling: each record is taken with probability (still wanted) / (still to come),
       which gives every subset of the size wanted the same chance. */
    for (int64_t i = 0; i < train; i++) {
        const bool held = left > 0 && sftn_rng_below(&rng, (uint32_t)(train - i)) < (uint64_t)left;
        const int split = held ? SFTN_VALIDATION : SFTN_TRAIN;

        left -= held;
        d->index[split][count[split]++] = i;
    }
    for (int64_t i = 0; i < test; i++)
        d->index[SFTN_TEST][count[SFTN_TEST]++] = i;
    return SFTN_OK;
}

/* ---- statistics and names ---- */

/* The source's constants, or those of all train records in the files, whatever the limit. */
static void find_statistics(sftn_dataset *d)
{
    const sftn_records *r = &d->images.part[SFTN_PART_TRAIN];
    const int64_t plane = (int64_t)d->images.height * d->images.width;

    memcpy(d->info.mean, d->source->mean, sizeof(d->info.mean));
    memcpy(d->info.std, d->source->std, sizeof(d->info.std));
    for (int c = 0; c < d->images.channels && d->source->std[0] <= 0.0f; c++) {
        const double n = (double)r->count * (double)plane;
        uint64_t sum = 0, squares = 0;
        double mean, variance;

        for (int64_t i = 0; i < r->count; i++) {
            const uint8_t *p = r->pixels + (i * d->images.channels + c) * plane;

            for (int64_t k = 0; k < plane; k++) {
                sum += p[k];
                squares += (uint32_t)p[k] * p[k];
            }
        }
        mean = (double)sum / n;
        variance = (double)squares / n - mean * mean;
        d->info.mean[c] = (float)(mean / 255.0);
        /* A channel of one value only: any scale will do. */
        d->info.std[c] = variance > 0.0 ? (float)(sqrt(variance) / 255.0) : 1.0f;
    }
}

/* One name a line of the names file; classes past its end get "class N". */
static sftn_status split_names(sftn_dataset *d, sftn_error *err)
{
    const char *text = d->images.class_names ? d->images.class_names : "";

    d->class_name = sftn_calloc((size_t)d->images.classes, sizeof(*d->class_name));
    for (int i = 0; d->class_name && i < d->images.classes; i++) {
        const size_t line = strcspn(text, "\r\n");
        char *name = sftn_pool_alloc(&d->names, line > 0 ? line + 1 : 24);

        if (!name)
            return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", d->source->name);
        if (line > 0)
            memcpy(name, text, line);
        else
            snprintf(name, 24, "class %d", i);
        d->class_name[i] = name;
        text += line;
        text += *text == '\r';
        text += *text == '\n';
    }
    return d->class_name ? SFTN_OK
                         : sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", d->source->name);
}

/* ---- public ---- */

static sftn_status fill(sftn_dataset *d, const sftn_data_options *o, sftn_error *err)
{
    const sftn_source *s = d->source;
    sftn_status status;

    d->images = (sftn_images){
        .classes = s->classes, .channels = s->channels, .height = s->height, .width = s->width};
    status = s->draw ? s->draw(s, o->seed, o->limit, &d->images, err)
                     : read_files(s, o, &d->images, err);
    if (status == SFTN_OK)
        status = make_splits(d, o, err);
    if (status == SFTN_OK)
        status = split_names(d, err);
    if (status != SFTN_OK)
        return status;
    d->info.name = s->name;
    d->info.classes = s->classes;
    d->info.channels = s->channels;
    d->info.height = s->height;
    d->info.width = s->width;
    find_statistics(d);
    return SFTN_OK;
}

sftn_status sftn_dataset_open(const sftn_data_options *options, sftn_dataset **dataset,
                              sftn_error *err)
{
    const sftn_source *source = NULL;
    sftn_dataset *d;
    sftn_status status = sftn_source_find(options->name, &source, err);

    *dataset = NULL;
    if (status != SFTN_OK)
        return status;
    if (options->limit < 0 || options->validation < 0)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "%s: limit is %lld and validation %lld, expected 0 or more", source->name,
                         (long long)options->limit, (long long)options->validation);
    d = sftn_calloc(1, sizeof(*d));
    if (!d)
        return sftn_fail(err, SFTN_ERR_MEMORY, "%s: out of memory", source->name);
    d->source = source;
    status = fill(d, options, err);
    if (status != SFTN_OK) {
        sftn_dataset_close(d);
        return status;
    }
    *dataset = d;
    return SFTN_OK;
}

void sftn_dataset_close(sftn_dataset *d)
{
    if (!d)
        return;
    sftn_images_free(&d->images);
    for (int split = 0; split < 3; split++)
        free(d->index[split]);
    sftn_pool_free(&d->names);
    free(d->class_name);
    free(d);
}

const sftn_dataset_info *sftn_dataset_get_info(const sftn_dataset *d)
{
    return &d->info;
}

const char *sftn_dataset_class(const sftn_dataset *d, int i)
{
    return i >= 0 && i < d->info.classes ? d->class_name[i] : "no such class";
}

const uint8_t *sftn_dataset_record(const sftn_dataset *d, sftn_split split, int64_t i, int *label)
{
    const sftn_records *r =
        &d->images.part[split == SFTN_TEST ? SFTN_PART_TEST : SFTN_PART_TRAIN];
    const int64_t record = d->index[split][i];

    if (label)
        *label = r->labels[record];
    return r->pixels + record * sftn_images_pixels(&d->images);
}
