/*
 * parallel: parts of a computation, shared by the calling thread and helpers that wait for work.
 *
 * What the parts are is the caller's business; which thread executes a part is not decided until
 * a thread is free to begin it.  A helper whose core is taken away by another program has begun one
 * part at most: the others, and whatever it would have had next, are done by those that run.
 *
 * Who waits does so by looking for a short while, as the next work mostly comes within
 * microseconds, and then asleep: it neither uses up its share of a core that somebody else wants,
 * nor keeps a core from the thread that it waits for.
 *
 * There is one set of helpers for a process.  They are started when first wanted, with all signals
 * blocked, and joined when the library is unloaded or the process ends; a forked child starts its
 * own.  Several threads may have work done at once.
 */
#include "base/base.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { MAX_HELPERS = 1023 };

/* Seconds of looking before sleep, for more work and for the end of this (bench/NOTES.md). */
static const double look_for_work = 100e-6, look_for_end = 30e-6;

/* Work in progress; on its caller's stack.  The lock guards all but the number of helpers. */
typedef struct work {
    sftn_part *body;
    void *ctx;
    int64_t parts, next; /* next: the first part that nobody has begun */
    int helpers_max;
    atomic_int helpers; /* at work on it; changed with the lock held */
    struct work *below; /* list */
} work;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t posted;   /* for helpers: new work, or stop */
    pthread_cond_t finished; /* for callers: some work has no helper left */
    work *open;              /* list: work that may have parts which nobody has begun */
    atomic_uint posts;       /* counts what was posted */
    int asleep, waiting;     /* helpers and callers that a signal must wake */
    int wanted, nhelpers;    /* by open work; alive */
    bool stop, has_fork_handlers;
    pthread_t helper[MAX_HELPERS];
} team = {.lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP,
          .posted = PTHREAD_COND_INITIALIZER,
          .finished = PTHREAD_COND_INITIALIZER};

static void pause_briefly(void)
{
    for (int i = 0; i < 8; i++) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

/* ---- helpers ---- */

/* Execute parts of w that nobody has begun; called and left with the lock held. */
static void execute(work *w)
{
    while (w->next < w->parts) {
        const int64_t part = w->next++;

        pthread_mutex_unlock(&team.lock);
        w->body(w->ctx, part);
        pthread_mutex_lock(&team.lock);
    }
}

static work *find_work(void)
{
    work *w = team.open;

    while (w != NULL && (w->next >= w->parts || atomic_load(&w->helpers) >= w->helpers_max))
        w = w->below;
    return w;
}

/* Called and left with the lock held. */
static void await_work(void)
{
    const unsigned seen = atomic_load(&team.posts);
    const double until = sftn_seconds() + look_for_work;

    pthread_mutex_unlock(&team.lock);
    while (atomic_load(&team.posts) == seen && sftn_seconds() < until)
        pause_briefly();
    pthread_mutex_lock(&team.lock);
    if (atomic_load(&team.posts) == seen && !team.stop) {
        team.asleep++;
        pthread_cond_wait(&team.posted, &team.lock);
        team.asleep--;
    }
}

static void *help(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&team.lock);
    while (!team.stop) {
        work *w = find_work();

        if (w == NULL) {
            await_work();
            continue;
        }
        atomic_fetch_add(&w->helpers, 1);
        execute(w);
        /* The last of w that this thread touches: its caller may be looking. */
        if (atomic_fetch_sub(&w->helpers, 1) == 1 && team.waiting > 0)
            pthread_cond_broadcast(&team.finished);
    }
    pthread_mutex_unlock(&team.lock);
    return NULL;
}

/* ---- their beginning and end ---- */

static void before_fork(void)
{
    pthread_mutex_lock(&team.lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&team.lock);
}

/* The child has one thread, and whatever it was doing was not this. */
static void after_fork_in_child(void)
{
    pthread_cond_init(&team.posted, NULL);
    pthread_cond_init(&team.finished, NULL);
    team.open = NULL;
    team.asleep = team.waiting = team.wanted = team.nhelpers = 0;
    pthread_mutex_unlock(&team.lock);
}

/* As many helpers as are wanted, or as the system gives; called with the lock held. */
static void start_helpers(void)
{
    sigset_t all, before;

    if (team.stop || team.nhelpers >= team.wanted || team.nhelpers == MAX_HELPERS)
        return;
    if (!team.has_fork_handlers)
        team.has_fork_handlers =
            pthread_atfork(before_fork, after_fork, after_fork_in_child) == 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (team.nhelpers < team.wanted && team.nhelpers < MAX_HELPERS &&
           pthread_create(&team.helper[team.nhelpers], NULL, help, NULL) == 0)
        team.nhelpers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

__attribute__((destructor)) static void stop_helpers(void)
{
    pthread_mutex_lock(&team.lock);
    team.stop = true;
    atomic_fetch_add(&team.posts, 1);
    pthread_cond_broadcast(&team.posted);
    pthread_mutex_unlock(&team.lock);
    for (int i = 0; i < team.nhelpers; i++)
        pthread_join(team.helper[i], NULL);
    team.nhelpers = 0;
}

/* ---- callers ---- */

/* Called and left with the lock held. */
static void post(work *w)
{
    int wake;

    w->below = team.open;
    team.open = w;
    team.wanted += w->helpers_max;
    start_helpers();
    atomic_fetch_add(&team.posts, 1);
    wake = team.asleep < w->helpers_max ? team.asleep : w->helpers_max;
    for (int i = 0; i < wake; i++)
        pthread_cond_signal(&team.posted);
}

/* No helper comes to w any more; called with the lock held. */
static void withdraw(const work *w)
{
    work **at = &team.open;

    while (*at != w)
        at = &(*at)->below;
    *at = w->below;
    team.wanted -= w->helpers_max;
}

static void await_helpers(work *w)
{
    const double until = sftn_seconds() + look_for_end;

    while (atomic_load(&w->helpers) > 0 && sftn_seconds() < until)
        pause_briefly();
    if (atomic_load(&w->helpers) == 0)
        return;
    pthread_mutex_lock(&team.lock);
    team.waiting++;
    while (atomic_load(&w->helpers) > 0)
        pthread_cond_wait(&team.finished, &team.lock);
    team.waiting--;
    pthread_mutex_unlock(&team.lock);
}

void sftn_parallel_with(int helpers, int64_t parts, sftn_part *body, void *ctx)
{
    work w = {.body = body, .ctx = ctx, .parts = parts, .helpers_max = helpers};

    if (helpers < 1 || parts < 2) {
        for (int64_t i = 0; i < parts; i++)
            body(ctx, i);
        return;
    }
    if (w.helpers_max > parts - 1)
        w.helpers_max = (int)(parts - 1);
    pthread_mutex_lock(&team.lock);
    post(&w);
    execute(&w);
    withdraw(&w);
    pthread_mutex_unlock(&team.lock);
    await_helpers(&w);
}

void sftn_parallel(int threads, int64_t parts, sftn_part *body, void *ctx)
{
    const int cores = sftn_cores();

    sftn_parallel_with((threads < cores ? threads : cores) - 1, parts, body, ctx);
}
