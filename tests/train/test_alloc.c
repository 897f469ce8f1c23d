/*
 * alloc: a training step after the first allocates nothing, on no thread.
 *
 * This program's own malloc and its kin, in front of the C library's, count every call of the
 * process but those made while oneDNN's dnnl_primitive_execute runs: it allocates for its arguments
 * and on its threads, which no caller can avoid.  The calls of this library are counted always, and
 * they alone where a sanitizer has taken malloc's place.
 */
#include "test.h"
#include "train/small.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#if defined(SANITIZED) || !defined(__GLIBC__)
static long count_now(void)
{
    return test_allocations();
}
#else
static atomic_long calls;
static atomic_int inside_onednn; /* threads that are in it: weight gradients call it from several */

static long count_now(void)
{
    return atomic_load(&calls) + test_allocations();
}

static void count_call(void)
{
    if (atomic_load(&inside_onednn) == 0)
        atomic_fetch_add(&calls, 1);
}

/* In front of oneDNN's function of this name. */
int dnnl_primitive_execute(const void *primitive, void *stream, int n, const void *args);
int dnnl_primitive_execute(const void *primitive, void *stream, int n, const void *args)
{
    typedef int execute(const void *, void *, int, const void *);
    static execute *real;
    int status;

    if (!real) {
        void *symbol = dlsym(RTLD_NEXT, "dnnl_primitive_execute");

        CHECK(symbol != NULL);
        memcpy(&real, &symbol, sizeof real);
    }
    atomic_fetch_add(&inside_onednn, 1);
    status = real(primitive, stream, n, args);
    atomic_fetch_sub(&inside_onednn, 1);
    return status;
}

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

void *malloc(size_t bytes)
{
    count_call();
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t size)
{
    count_call();
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t bytes)
{
    count_call();
    return __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    count_call();
    return __libc_memalign(alignment, bytes);
}

void *memalign(size_t alignment, size_t bytes);
void *memalign(size_t alignment, size_t bytes)
{
    count_call();
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    count_call();
    *memory = __libc_memalign(alignment, bytes);
    return *memory ? 0 : ENOMEM;
}
#endif

typedef struct counts {
    long at_step, most;
    int64_t steps;
} counts;

/* Called after every step; between two calls lies one step, batch included. */
static void count_step(void *ctx, const sftn_progress *p)
{
    counts *c = ctx;
    const long made = count_now() - c->at_step;

    if (!p->epoch_done && p->batch > 2) {
        c->most = made > c->most ? made : c->most;
        c->steps++;
    }
    c->at_step = count_now();
}

static void check_steps(sftn_job job, sftn_precision precision)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_train_options o = small_options("counted");
    counts c = {0};
    const sftn_train_hooks hooks = {.ctx = &c, .progress = count_step};
    sftn_error err = {0};
    sftn_train_result r;

    o.batch = 8;
    o.ema = 0.9;
    o.clip = 1.0;
    o.plan.precision = precision;
    CHECK_OK(sftn_train(&job, data, &o, &hooks, &r, &err), &err);
    CHECK_INT(c.steps, 14);
    CHECK_INT(c.most, 0);
    sftn_job_free(&job);
    sftn_dataset_close(data);
}

TEST(allocations_are_counted)
{
    const long before = count_now();
    void *volatile memory = malloc(100);

    CHECK(count_now() > before);
    free(memory);
}

TEST(a_teacher_step_allocates_nothing)
{
    check_steps(small_teacher("sftn", "resnet8", NULL), SFTN_FLOAT32);
}

TEST(a_distillation_step_allocates_nothing)
{
    check_steps(small_student(NULL), SFTN_FLOAT32);
}

TEST(a_step_of_several_students_allocates_nothing)
{
    sftn_dataset *data = small_data(0, 0);
    sftn_job job[2] = {small_student(NULL), small_teacher("plain", "resnet8", NULL)};
    sftn_train_options o[2] = {small_options("counted1"), small_options("counted2")};
    sftn_member member[2];
    counts c = {0};
    const sftn_train_hooks hooks = {.ctx = &c, .progress = count_step};
    char dir[2][256];
    sftn_error err = {0};

    for (int i = 0; i < 2; i++) {
        snprintf(dir[i], sizeof dir[i], "%s", o[i].dir);
        o[i].dir = dir[i];
        o[i].batch = 8;
        member[i] = (sftn_member){.job = &job[i], .options = &o[i]};
    }
    CHECK_OK(sftn_train_together(member, 2, data, &hooks, &err), &err);
    CHECK_INT(c.steps, 28);
    CHECK_INT(c.most, 0);
    sftn_job_free(&job[0]);
    sftn_job_free(&job[1]);
    sftn_dataset_close(data);
}

TEST(a_bfloat16_step_allocates_nothing)
{
    check_steps(small_teacher("sftn", "resnet8", NULL), SFTN_BFLOAT16);
}
