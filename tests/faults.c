/*
 * faults.c: allocations, and computations of oneDNN, that are counted and can be made to fail.
 *
 * The linker's --wrap sends every call of malloc and its kin in the library and the tests here, and
 * every execution of a primitive.
 */
#include "test.h"

#include <errno.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdatomic.h>
#include <stdlib.h>

/* ---- allocations ---- */

static atomic_long allocations, failing;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

void test_fail_allocation(long n)
{
    atomic_store(&allocations, 0);
    atomic_store(&failing, n);
}

long test_allocations(void)
{
    return atomic_load(&allocations);
}

static bool fails(void)
{
    if (atomic_fetch_add(&allocations, 1) + 1 != atomic_load(&failing))
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    return fails() ? NULL : __real_realloc(memory, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, bytes);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
    return fails() ? NULL : __real_strndup(s, n);
}

/* ---- computations ---- */

static atomic_long computations, failing_computation;
static atomic_int failure;

dnnl_status_t __real_dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream,
                                            int nargs, const dnnl_exec_arg_t *args);
dnnl_status_t __wrap_dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream,
                                            int nargs, const dnnl_exec_arg_t *args);

void test_fail_computation(long n, int status)
{
    atomic_store(&failure, status);
    atomic_store(&failing_computation, n);
    atomic_store(&computations, 0);
}

long test_computations(void)
{
    return atomic_load(&computations);
}

dnnl_status_t __wrap_dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream,
                                            int nargs, const dnnl_exec_arg_t *args)
{
    if (atomic_fetch_add(&computations, 1) + 1 == atomic_load(&failing_computation))
        return (dnnl_status_t)atomic_load(&failure);
    return __real_dnnl_primitive_execute(primitive, stream, nargs, args);
}
