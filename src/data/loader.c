/*
 * loader: batches prepared ahead of their use by threads of its own.
 *
 * Batches are numbered from the last seek on ("tickets"); ticket t is prepared in slot t mod
 * nslots.  A thread takes the next ticket whenever its slot is free, and prepares the whole batch
 * alone, so what a batch holds depends on its number only.  One slot more than `depth` holds the
 * batch that the caller borrowed last.
 *
 * The order of an epoch is a Fisher-Yates shuffle keyed by (seed, epoch).  It is drawn by the first
 * thread to reach the epoch and kept in one of `norders` arrays: as many as epochs can be in
 * preparation at the same time.
 */
#include "base/base.h"
#include "data/augment.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef struct slot {
    void *images;
    float *labels;
    int64_t *index;
    int64_t ready; /* ticket whose batch it holds; -1: none */
} slot;

typedef struct order {
    int64_t epoch; /* -1: none */
    int64_t *record;
} order;

struct sftn_loader {
    const sftn_dataset *data;
    sftn_loader_options options;
    sftn_writer writer;
    int64_t records, batches;

    pthread_mutex_t lock;      /* guards all below but the contents of slots in preparation */
    pthread_cond_t slot_free;  /* for threads: a slot became free, or stop */
    pthread_cond_t slot_ready; /* for the caller: a batch is ready, or a thread went idle */
    pthread_t *threads;
    int nthreads, busy;
    bool stop, seeking;

    int64_t first_epoch, first_batch; /* of ticket 0 */
    int64_t next_ticket;              /* the next to prepare */
    int64_t wanted;                   /* the ticket that sftn_loader_next gives next */
    int nslots, norders;
    slot *slots;
    order *orders;
    sftn_batch batch;
};

/* ---- preparing batches ---- */

static void place_of(const sftn_loader *l, int64_t ticket, int64_t *epoch, int64_t *batch)
{
    const int64_t n = l->first_batch + ticket;

    *epoch = l->first_epoch + n / l->batches;
    *batch = n % l->batches;
}

/* The epoch's order, drawn now where it is new; called with the lock held. */
static const int64_t *order_of(sftn_loader *l, int64_t epoch)
{
    order *o = &l->orders[epoch % l->norders];
    sftn_rng rng = sftn_rng_new(l->options.seed, SFTN_RNG_SHUFFLE, (uint64_t)epoch);

    if (o->epoch == epoch)
        return o->record;
    o->epoch = epoch;
    for (int64_t i = 0; i < l->records; i++)
        o->record[i] = i;
    for (int64_t i = l->records - 1; i > 0 && l->options.shuffle; i--) {
        const int64_t k = sftn_rng_below(&rng, (uint32_t)(i + 1));
        const int64_t swap = o->record[i];

        o->record[i] = o->record[k];
        o->record[k] = swap;
    }
    return o->record;
}

static void prepare(const sftn_loader *l, const int64_t *records, int64_t epoch, int64_t batch,
                    slot *s)
{
    const int64_t n = sftn_loader_batch_size(l, batch);
    const size_t bytes = sftn_writer_bytes(&l->writer);
    const sftn_variation how = {l->options.augment, l->options.views, l->options.seed};

    for (int64_t i = 0; i < n; i++) {
        const int64_t record = records[batch * l->options.batch + i];
        int label = 0;
        const uint8_t *image = sftn_dataset_record(l->data, l->options.split, record, &label);

        for (int view = 0; view < l->options.views.n; view++)
            sftn_writer_image(&l->writer, image, sftn_augment_view(&how, epoch, record, view),
                              (char *)s->images + (size_t)(view * n + i) * bytes);
        s->labels[i] = (float)label;
        s->index[i] = record;
    }
}

/* The slots of tickets wanted .. wanted + depth - 1 may be written: that of wanted - 1 is lent. */
static bool may_prepare(const sftn_loader *l)
{
    return !l->seeking && l->next_ticket < l->wanted + l->nslots - 1;
}

static void *work(void *self)
{
    sftn_loader *l = self;

    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        int64_t epoch, batch, ticket;
        const int64_t *records;
        slot *s;

        if (!may_prepare(l)) {
            pthread_cond_wait(&l->slot_free, &l->lock);
            continue;
        }
        ticket = l->next_ticket++;
        s = &l->slots[ticket % l->nslots];
        place_of(l, ticket, &epoch, &batch);
        records = order_of(l, epoch);
        l->busy++;
        pthread_mutex_unlock(&l->lock);
        prepare(l, records, epoch, batch, s);
        pthread_mutex_lock(&l->lock);
        l->busy--;
        s->ready = ticket;
        pthread_cond_signal(&l->slot_ready);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- creation ---- */

static sftn_status check_options(const sftn_dataset *d, const sftn_loader_options *o,
                                 sftn_error *err)
{
    static const char *const split_name[] = {"train", "validation", "test"};
    const sftn_dataset_info *info = sftn_dataset_get_info(d);

    if (info->records[o->split] < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "%s: the %s split holds no records", info->name,
                         split_name[o->split]);
    if (o->batch < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "batch size %lld, expected 1 or more",
                         (long long)o->batch);
    if (o->augment.pad < 0 || o->augment.pad > info->height || o->augment.pad > info->width)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "crop padding %d, expected 0 to %d",
                         o->augment.pad, info->height < info->width ? info->height : info->width);
    if (o->views.n < 0 || o->views.n > SFTN_MAX_VIEWS)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "%d views of each record, expected 1 to %d",
                         o->views.n, SFTN_MAX_VIEWS);
    if (o->views.turned && info->height != info->width)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "views are to be turned by right angles, which needs square images; those "
                         "of %s are %d pixels high and %d wide", info->name, info->height,
                         info->width);
    if (o->threads < 0 || o->threads > 256 || o->depth < 0 || o->depth > 4096)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "loader of %d threads and depth %d, expected at most 256 and 4096",
                         o->threads, o->depth);
    if (o->layout != SFTN_NCHW && o->layout != SFTN_NHWC)
        return sftn_fail(err, SFTN_ERR_ARGUMENT, "loader layout %d, expected NCHW or NHWC",
                         (int)o->layout);
    return SFTN_OK;
}

static bool allocate(sftn_loader *l)
{
    const int64_t n = l->options.batch < l->records ? l->options.batch : l->records;
    const size_t bytes = sftn_writer_bytes(&l->writer);

    /* Tickets in preparation or ready span nslots batches, which touch this many epochs at most. */
    l->nslots = l->options.depth + 1;
    l->norders = (int)(l->nslots / l->batches) + 2;
    l->slots = sftn_calloc((size_t)l->nslots, sizeof(*l->slots));
    l->orders = sftn_calloc((size_t)l->norders, sizeof(*l->orders));
    l->threads = sftn_calloc((size_t)l->options.threads, sizeof(*l->threads));
    if (!l->slots || !l->orders || !l->threads)
        return false;
    for (int i = 0; i < l->nslots; i++) {
        slot *s = &l->slots[i];

        s->ready = -1;
        s->images = sftn_aligned((size_t)sftn_views_rows(l->options.views, n) * bytes);
        s->labels = sftn_calloc((size_t)n, sizeof(*s->labels));
        s->index = sftn_calloc((size_t)n, sizeof(*s->index));
        if (!s->images || !s->labels || !s->index)
            return false;
    }
    for (int i = 0; i < l->norders; i++) {
        l->orders[i].epoch = -1;
        l->orders[i].record = sftn_calloc((size_t)l->records, sizeof(int64_t));
        if (!l->orders[i].record)
            return false;
    }
    return true;
}

/* Signals are the calling threads' business: ours start with all of them blocked. */
static bool start_threads(sftn_loader *l)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (l->nthreads < l->options.threads &&
           pthread_create(&l->threads[l->nthreads], NULL, work, l) == 0)
        l->nthreads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return l->nthreads > 0;
}

sftn_status sftn_loader_new(const sftn_dataset *d, const sftn_loader_options *options,
                            sftn_loader **loader, sftn_error *err)
{
    sftn_status status = check_options(d, options, err);
    sftn_loader *l;

    *loader = NULL;
    if (status != SFTN_OK)
        return status;
    l = sftn_calloc(1, sizeof(*l));
    if (!l)
        return sftn_fail(err, SFTN_ERR_MEMORY, "loader: out of memory");
    l->data = d;
    l->options = *options;
    l->options.threads = options->threads ? options->threads : 1;
    l->options.depth = options->depth ? options->depth : 4;
    l->options.views.n = options->views.n ? options->views.n : 1;
    l->records = sftn_dataset_get_info(d)->records[options->split];
    l->batches = (l->records - 1) / options->batch + 1;
    sftn_writer_init(&l->writer, sftn_dataset_get_info(d), options->dtype, options->layout);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->slot_free, NULL);
    pthread_cond_init(&l->slot_ready, NULL);
    if (!allocate(l))
        status = sftn_fail(err, SFTN_ERR_MEMORY, "loader: out of memory for %d batches of %lld",
                           l->options.depth + 1, (long long)options->batch);
    else if (!start_threads(l))
        status = sftn_fail(err, SFTN_ERR_MEMORY, "loader: cannot start a thread");
    if (status != SFTN_OK) {
        sftn_loader_free(l);
        return status;
    }
    *loader = l;
    return SFTN_OK;
}

void sftn_loader_free(sftn_loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->slot_free);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->nthreads; i++)
        pthread_join(l->threads[i], NULL);
    pthread_cond_destroy(&l->slot_ready);
    pthread_cond_destroy(&l->slot_free);
    pthread_mutex_destroy(&l->lock);
    for (int i = 0; i < l->nslots && l->slots; i++) {
        free(l->slots[i].images);
        free(l->slots[i].labels);
        free(l->slots[i].index);
    }
    for (int i = 0; i < l->norders && l->orders; i++)
        free(l->orders[i].record);
    free(l->slots);
    free(l->orders);
    free(l->threads);
    free(l);
}

/* ---- use ---- */

int64_t sftn_loader_batches(const sftn_loader *l)
{
    return l->batches;
}

int64_t sftn_loader_batch_size(const sftn_loader *l, int64_t batch)
{
    const int64_t left = l->records - batch * l->options.batch;

    return left < l->options.batch ? left : l->options.batch;
}

void sftn_loader_seek(sftn_loader *l, int64_t epoch, int64_t batch)
{
    pthread_mutex_lock(&l->lock);
    l->seeking = true;
    while (l->busy > 0)
        pthread_cond_wait(&l->slot_ready, &l->lock);
    for (int i = 0; i < l->nslots; i++)
        l->slots[i].ready = -1;
    l->first_epoch = epoch;
    l->first_batch = batch;
    l->next_ticket = 0;
    l->wanted = 0;
    l->seeking = false;
    pthread_cond_broadcast(&l->slot_free);
    pthread_mutex_unlock(&l->lock);
}

const sftn_batch *sftn_loader_next(sftn_loader *l)
{
    const int64_t ticket = l->wanted; /* written by the calling thread only */
    slot *s = &l->slots[ticket % l->nslots];
    sftn_batch *b = &l->batch;

    b->waited_s = 0.0;
    pthread_mutex_lock(&l->lock);
    if (s->ready != ticket) {
        const double start = sftn_seconds();

        while (s->ready != ticket)
            pthread_cond_wait(&l->slot_ready, &l->lock);
        b->waited_s = sftn_seconds() - start;
    }
    l->wanted = ticket + 1;
    pthread_cond_signal(&l->slot_free);
    pthread_mutex_unlock(&l->lock);

    place_of(l, ticket, &b->epoch, &b->batch);
    b->n = sftn_loader_batch_size(l, b->batch);
    b->views = l->options.views.n;
    b->images = s->images;
    b->labels = s->labels;
    b->index = s->index;
    return b;
}
