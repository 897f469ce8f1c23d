/*
 * parallel: every part is executed once, whoever comes late; from several threads at once, and in a
 * forked child; helpers leave signals to the others.
 */
#include "base/base.h"
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PARTS = 100 };

typedef struct counts {
    atomic_int of[PARTS];
} counts;

static void count_part(void *ctx, int64_t part)
{
    counts *c = ctx;

    atomic_fetch_add(&c->of[part], 1);
}

TEST(every_part_is_executed_once)
{
    for (int helpers = 0; helpers <= 7; helpers++)
        for (int parts = 0; parts <= PARTS; parts += 1 + parts / 3) {
            counts c = {0};

            sftn_parallel_with(helpers, parts, count_part, &c);
            for (int i = 0; i < PARTS; i++)
                CHECK_INT(atomic_load(&c.of[i]), i < parts);
        }
}

/* The first helper to get a part stays in it until all others are done. */
typedef struct stuck {
    pthread_t caller;
    atomic_bool held;
    atomic_int done;
} stuck;

static void stuck_part(void *ctx, int64_t part)
{
    stuck *s = ctx;

    (void)part;
    if (!pthread_equal(pthread_self(), s->caller) && !atomic_exchange(&s->held, true))
        while (atomic_load(&s->done) < PARTS - 1)
            usleep(100);
    atomic_fetch_add(&s->done, 1);
}

TEST(a_helper_that_is_held_up_keeps_one_part_from_being_done)
{
    for (int helpers = 1; helpers <= 3; helpers++) {
        stuck s = {.caller = pthread_self()};

        sftn_parallel_with(helpers, PARTS, stuck_part, &s);
        CHECK_INT(atomic_load(&s.done), PARTS);
    }
}

static void *many_calls(void *failed)
{
    for (int round = 0; round < 300; round++) {
        const int parts = 2 + round % (PARTS - 1);
        counts c = {0};

        sftn_parallel_with(round % 4, parts, count_part, &c);
        for (int i = 0; i < PARTS; i++)
            if (atomic_load(&c.of[i]) != (i < parts))
                atomic_store((atomic_bool *)failed, true);
    }
    return NULL;
}

TEST(several_threads_have_work_done_at_once)
{
    atomic_bool failed = false;
    pthread_t thread[5];

    for (size_t i = 0; i < SFTN_COUNT(thread); i++)
        CHECK_INT(pthread_create(&thread[i], NULL, many_calls, &failed), 0);
    for (size_t i = 0; i < SFTN_COUNT(thread); i++)
        pthread_join(thread[i], NULL);
    CHECK(!atomic_load(&failed));
}

/* Both of two parts wait for each other, so that a helper must execute one. */
typedef struct meeting {
    pthread_t caller;
    atomic_int here, done;
    sigset_t blocked;
} meeting;

static void meet(void *ctx, int64_t part)
{
    meeting *m = ctx;

    (void)part;
    if (!pthread_equal(pthread_self(), m->caller))
        pthread_sigmask(SIG_BLOCK, NULL, &m->blocked);
    atomic_fetch_add(&m->here, 1);
    while (atomic_load(&m->here) < 2)
        usleep(100);
    if (!pthread_equal(pthread_self(), m->caller))
        usleep(20000); /* the caller has nothing left to do before the helper */
    atomic_fetch_add(&m->done, 1);
}

TEST(the_call_returns_when_the_last_helper_is_done)
{
    meeting m = {.caller = pthread_self()};

    sftn_parallel_with(1, 2, meet, &m);
    CHECK_INT(atomic_load(&m.done), 2);
}

TEST(helpers_leave_signals_to_the_other_threads)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGALRM};
    meeting m = {.caller = pthread_self()};

    sftn_parallel_with(1, 2, meet, &m);
    for (size_t i = 0; i < SFTN_COUNT(signals); i++)
        CHECK(sigismember(&m.blocked, signals[i]) == 1);
}

TEST(a_forked_child_has_helpers_of_its_own)
{
    meeting before = {.caller = pthread_self()}, after = before;
    int status = -1;
    pid_t child;

    sftn_parallel_with(1, 2, meet, &before);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        meeting m = {.caller = pthread_self()};

        alarm(300); /* where no helper comes */
        sftn_parallel_with(1, 2, meet, &m);
        _exit(atomic_load(&m.here) == 2 ? 0 : 1);
    }
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    sftn_parallel_with(1, 2, meet, &after);
    CHECK_INT(atomic_load(&after.here), 2);
}
