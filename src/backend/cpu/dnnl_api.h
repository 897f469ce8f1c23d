/*
 * dnnl_api.h: the calls in which versions 2 and 3 of oneDNN's C interface differ.
 *
 * A dnnl_memory_desc_t is a value in version 2 and a handle in version 3: SFTN_MD(m) is the
 * constant pointer that queries and creators take in either.
 */
#ifndef SFTN_BACKEND_CPU_DNNL_API_H
#define SFTN_BACKEND_CPU_DNNL_API_H

#include "backend/cpu/conv.h"
#include "backend/cpu/dnnl_common.h"

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

#if DNNL_VERSION_MAJOR >= 3
#define SFTN_MD(m) (m)
typedef const_dnnl_memory_desc_t sftn_const_md;
#else
#define SFTN_MD(m) (&(m))
typedef const dnnl_memory_desc_t *sftn_const_md;
#endif

/* A convolution as oneDNN is asked for it; weights have 5 dimensions where there are groups. */
typedef struct sftn_conv_problem {
    dnnl_memory_desc_t x, w, y;
    dnnl_dims_t stride, dilation, pad_before, pad_after;
} sftn_conv_problem;

/* ---- memory descriptors; m is set on success and released with sftn_md_free ---- */

/* dim [ndims] */
static inline dnnl_status_t sftn_md_tag(dnnl_memory_desc_t *m, int ndims, const int64_t *dim,
                                        dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_dims_t dims = {0};

    for (int i = 0; i < ndims; i++)
        dims[i] = dim[i];
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag(m, ndims, dims, type, tag);
#else
    return dnnl_memory_desc_init_by_tag(m, ndims, dims, type, tag);
#endif
}

static inline dnnl_status_t sftn_md_strided(dnnl_memory_desc_t *m, int ndims,
                                            const dnnl_dims_t dims, dnnl_data_type_t type,
                                            const dnnl_dims_t strides)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_strides(m, ndims, dims, type, strides);
#else
    return dnnl_memory_desc_init_by_strides(m, ndims, dims, type, strides);
#endif
}

static inline void sftn_md_free(dnnl_memory_desc_t *m)
{
#if DNNL_VERSION_MAJOR >= 3
    if (*m != NULL)
        dnnl_memory_desc_destroy(*m);
    *m = NULL;
#else
    (void)m;
#endif
}

static inline dnnl_status_t sftn_md_clone(dnnl_memory_desc_t *m, sftn_const_md src)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_clone(m, src);
#else
    *m = *src;
    return dnnl_success;
#endif
}

static inline dnnl_data_type_t sftn_md_type(sftn_const_md m)
{
#if DNNL_VERSION_MAJOR >= 3
    dnnl_data_type_t type = dnnl_data_type_undef;

    dnnl_memory_desc_query(m, dnnl_query_data_type, &type);
    return type;
#else
    return m->data_type;
#endif
}

/* Number of dimensions; *dims points into m. */
static inline int sftn_md_dims(sftn_const_md m, const dnnl_dim_t **dims)
{
#if DNNL_VERSION_MAJOR >= 3
    dnnl_dims_t *all = NULL;
    int n = 0;

    dnnl_memory_desc_query(m, dnnl_query_ndims_s32, &n);
    dnnl_memory_desc_query(m, dnnl_query_dims, &all);
    *dims = *all;
    return n;
#else
    *dims = m->dims;
    return m->ndims;
#endif
}

/* ---- primitive descriptors ---- */

/* hint: the forward convolution's, for the two gradients. */
static inline dnnl_status_t sftn_conv_pd(dnnl_primitive_desc_t *pd, sftn_conv_kind kind,
                                         const sftn_conv_problem *p, dnnl_engine_t engine,
                                         const_dnnl_primitive_attr_t attr,
                                         const_dnnl_primitive_desc_t hint)
{
    const dnnl_alg_kind_t direct = dnnl_convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    switch (kind) {
    case SFTN_CONV_FORWARD:
        return dnnl_convolution_forward_primitive_desc_create(
            pd, engine, dnnl_forward_training, direct, p->x, p->w, NULL, p->y, p->stride,
            p->dilation, p->pad_before, p->pad_after, attr);
    case SFTN_CONV_DATA:
        return dnnl_convolution_backward_data_primitive_desc_create(
            pd, engine, direct, p->x, p->w, p->y, p->stride, p->dilation, p->pad_before,
            p->pad_after, hint, attr);
    default:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            pd, engine, direct, p->x, p->w, NULL, p->y, p->stride, p->dilation, p->pad_before,
            p->pad_after, hint, attr);
    }
#else
    dnnl_convolution_desc_t c;
    dnnl_status_t status;

    switch (kind) {
    case SFTN_CONV_FORWARD:
        status = dnnl_dilated_convolution_forward_desc_init(
            &c, dnnl_forward_training, direct, &p->x, &p->w, NULL, &p->y, p->stride, p->dilation,
            p->pad_before, p->pad_after);
        break;
    case SFTN_CONV_DATA:
        status = dnnl_dilated_convolution_backward_data_desc_init(
            &c, direct, &p->x, &p->w, &p->y, p->stride, p->dilation, p->pad_before, p->pad_after);
        break;
    default:
        status = dnnl_dilated_convolution_backward_weights_desc_init(
            &c, direct, &p->x, &p->w, NULL, &p->y, p->stride, p->dilation, p->pad_before,
            p->pad_after);
        break;
    }
    return status == dnnl_success ? dnnl_primitive_desc_create(pd, &c, attr, engine, hint) : status;
#endif
}

static inline dnnl_status_t sftn_matmul_pd(dnnl_primitive_desc_t *pd, const dnnl_memory_desc_t *a,
                                           const dnnl_memory_desc_t *b,
                                           const dnnl_memory_desc_t *y, dnnl_engine_t engine,
                                           const_dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(pd, engine, *a, *b, NULL, *y, attr);
#else
    dnnl_matmul_desc_t m;
    const dnnl_status_t status = dnnl_matmul_desc_init(&m, a, b, NULL, y);

    return status == dnnl_success ? dnnl_primitive_desc_create(pd, &m, attr, engine, NULL) : status;
#endif
}

static inline dnnl_status_t sftn_memory_new(dnnl_memory_t *memory, sftn_const_md m,
                                            dnnl_engine_t engine)
{
    return dnnl_memory_create(memory, m, engine, DNNL_MEMORY_NONE);
}

/* ---- dnnl_common.c ---- */

struct sftn_dnnl {
    dnnl_engine_t engine;
    dnnl_primitive_attr_t attr; /* scratch memory comes from the plan */
    int threads;
    dnnl_stream_t *stream;      /* [threads] */
    struct sftn_packed *packed; /* list; each lives as long as the plan */
};

/*
 * oneDNN is asked for work of one thread always, and several threads each have their share of it
 * done: its own threads would wait for each other at the end of everything, and once inside.  What
 * it is told is the calling thread's number of OpenMP threads, 1 from begin to end, when a
 * primitive's descriptor is made and when it runs.  end takes what begin returned.
 */
int sftn_dnnl_begin(void);
void sftn_dnnl_end(int before);

/* Which of run's pointers an argument is bound to. */
typedef enum sftn_dnnl_role { SFTN_DNNL_IN, SFTN_DNNL_OUT } sftn_dnnl_role;
typedef struct sftn_dnnl_arg {
    int id; /* DNNL_ARG_... */
    sftn_dnnl_role role;
    int index;
    sftn_const_md md; /* of the primitive descriptor, which is alive until the kernel is made */
} sftn_dnnl_arg;

/* A kernel that executes pd with the given arguments on that stream; prefix begins its name. */
sftn_status sftn_dnnl_kernel(sftn_dnnl *d, int stream, const_dnnl_primitive_desc_t pd,
                             const char *prefix, const sftn_dnnl_arg *arg, int nargs,
                             sftn_kernel *kernel, sftn_error *err);

enum { SFTN_DNNL_ARGS = 3 };

/* One size of part: its descriptor and arguments. */
typedef struct sftn_dnnl_part {
    const_dnnl_primitive_desc_t pd;
    sftn_dnnl_arg arg[SFTN_DNNL_ARGS];
} sftn_dnnl_part;

/* Work whose units (images, rows, matrices) are shared by parts as equal as can be. */
typedef struct sftn_dnnl_work {
    const char *name;
    int64_t units;
    int parts;                /* at most units, and the threads */
    sftn_dnnl_part large;     /* of ceil(units / parts) */
    sftn_dnnl_part small;     /* of one unit less; unused where all are equal */
    size_t in_step[2];        /* bytes from a unit to the next; 0: each part reads all of it */
    size_t out_step;          /* 0: each part makes a summand of the result */
    size_t out_bytes;         /* of a summand, float32 */
} sftn_dnnl_work;
sftn_status sftn_dnnl_split(sftn_dnnl *d, const sftn_dnnl_work *work, sftn_kernel *kernel,
                            sftn_error *err);

/* Descriptor of a value of this shape that lies as md says; packed layouts are interned in d. */
sftn_status sftn_dnnl_desc(sftn_dnnl *d, const sftn_shape *shape, sftn_const_md md,
                           sftn_desc *desc, sftn_error *err);

/* Name of pd's implementation ("brgconv:avx512_core_bf16"). */
const char *sftn_dnnl_name(const_dnnl_primitive_desc_t pd);

static inline dnnl_data_type_t sftn_dnnl_type(sftn_dtype dtype)
{
    return dtype == SFTN_BF16 ? dnnl_bf16 : dnnl_f32;
}

#endif
