/* dnnl_common: engines, execution, packed layouts and reorders, for every use of oneDNN. */
#include "backend/cpu/amx.h"
#include "backend/cpu/dnnl_api.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARGS = 5 };

/* A layout of oneDNN's choice. */
typedef struct sftn_packed {
    sftn_packing packing;
    dnnl_memory_desc_t md;
    struct sftn_packed *next;
} sftn_packed;

typedef struct dnnl_kernel {
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arg[MAX_ARGS];
    void *bound[MAX_ARGS];
    sftn_dnnl_role role[MAX_ARGS];
    int index[MAX_ARGS]; /* -1: the workspace */
    int nargs;
    char name[64];
} dnnl_kernel;

static sftn_status failed(sftn_error *err, const char *what, dnnl_status_t status)
{
    if (status == dnnl_out_of_memory)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory in oneDNN (%s)", what);
    return sftn_fail(err, SFTN_ERR_UNSUPPORTED, "oneDNN refused a %s (status %d)", what,
                     (int)status);
}

/* ---- plan state ---- */

static dnnl_status_t open_streams(sftn_dnnl *d)
{
    dnnl_status_t status = dnnl_success;

    d->stream = sftn_calloc((size_t)d->threads, sizeof *d->stream);
    if (d->stream == NULL)
        return dnnl_out_of_memory;
    for (int i = 0; i < d->threads && status == dnnl_success; i++)
        status = dnnl_stream_create(&d->stream[i], d->engine, dnnl_stream_default_flags);
    return status;
}

sftn_status sftn_dnnl_open(int threads, sftn_dnnl **d, sftn_error *err)
{
    sftn_dnnl *made = sftn_calloc(1, sizeof *made);
    dnnl_status_t status;

    *d = NULL;
    if (made == NULL)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for oneDNN");
    made->threads = threads;
    status = dnnl_engine_create(&made->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = open_streams(made);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_create(&made->attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(made->attr, dnnl_scratchpad_mode_user);
    if (status != dnnl_success) {
        sftn_dnnl_close(made);
        return failed(err, "cpu engine", status);
    }
    *d = made;
    return SFTN_OK;
}

bool sftn_dnnl_has_amx(void)
{
    const unsigned amx = dnnl_cpu_isa_avx512_core_amx;

    return sftn_amx_permitted() && ((unsigned)dnnl_get_effective_cpu_isa() & amx) == amx;
}

void sftn_dnnl_close(sftn_dnnl *d)
{
    if (d == NULL)
        return;
    for (sftn_packed *p = d->packed, *next; p != NULL; p = next) {
        next = p->next;
        sftn_md_free(&p->md);
        free(p);
    }
    for (int i = 0; d->stream != NULL && i < d->threads; i++)
        if (d->stream[i] != NULL)
            dnnl_stream_destroy(d->stream[i]);
    free(d->stream);
    if (d->attr != NULL)
        dnnl_primitive_attr_destroy(d->attr);
    if (d->engine != NULL)
        dnnl_engine_destroy(d->engine);
    free(d);
}

/* ---- descriptors ---- */

/* md's value with its dimensions in order and nothing between them. */
static dnnl_status_t plain_like(dnnl_memory_desc_t *m, sftn_const_md md, dnnl_data_type_t type)
{
    const dnnl_dim_t *dims;
    const int n = sftn_md_dims(md, &dims);
    dnnl_dims_t copy = {0}, stride = {0};
    dnnl_dim_t step = 1;

    for (int i = n - 1; i >= 0; i--) {
        copy[i] = dims[i];
        stride[i] = step;
        step *= dims[i];
    }
    return sftn_md_strided(m, n, copy, type, stride);
}

static sftn_cpu_reorder_maker reorder;

static const sftn_packed *intern(sftn_dnnl *d, sftn_const_md md)
{
    sftn_packed *p;

    for (p = d->packed; p != NULL; p = p->next)
        if (dnnl_memory_desc_equal(SFTN_MD(p->md), md))
            return p;
    p = sftn_calloc(1, sizeof *p);
    if (p == NULL || sftn_md_clone(&p->md, md) != dnnl_success) {
        free(p);
        return NULL;
    }
    p->packing.reorder = reorder;
    p->next = d->packed;
    d->packed = p;
    return p;
}

sftn_status sftn_dnnl_desc(sftn_dnnl *d, const sftn_shape *shape, sftn_const_md md,
                           sftn_desc *desc, sftn_error *err)
{
    const dnnl_data_type_t type = sftn_md_type(md);
    dnnl_memory_desc_t plain;
    bool is_plain;

    if (plain_like(&plain, md, type) != dnnl_success)
        return failed(err, "memory descriptor", dnnl_out_of_memory);
    is_plain = dnnl_memory_desc_equal(SFTN_MD(plain), md) != 0;
    sftn_md_free(&plain);
    *desc = sftn_desc_of(shape, type == dnnl_bf16 ? SFTN_BF16 : SFTN_F32, SFTN_NCHW);
    if (is_plain)
        return SFTN_OK;
    desc->layout = SFTN_PACKED;
    desc->packed = intern(d, md);
    desc->bytes = dnnl_memory_desc_get_size(md);
    return desc->packed != NULL ? SFTN_OK : failed(err, "packed layout", dnnl_out_of_memory);
}

const char *sftn_dnnl_name(const_dnnl_primitive_desc_t pd)
{
    const char *name = NULL;

    if (dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name) != dnnl_success ||
        name == NULL)
        return "unnamed";
    return name;
}

/* ---- kernels ---- */

int sftn_dnnl_begin(void)
{
    const int before = omp_get_max_threads();

    if (before != 1)
        omp_set_num_threads(1);
    return before;
}

void sftn_dnnl_end(int before)
{
    if (before != 1)
        omp_set_num_threads(before);
}

static const char *run(void *state, void *const *in, void *const *out, void *workspace)
{
    dnnl_kernel *k = state;
    const int before = sftn_dnnl_begin();
    dnnl_status_t status = dnnl_success;

    for (int i = 0; i < k->nargs && status == dnnl_success; i++) {
        void *p = workspace;

        if (k->index[i] >= 0)
            p = k->role[i] == SFTN_DNNL_IN ? in[k->index[i]] : out[k->index[i]];
        if (p != k->bound[i]) {
            status = dnnl_memory_set_data_handle(k->arg[i].memory, p);
            k->bound[i] = status == dnnl_success ? p : NULL;
        }
    }
    if (status == dnnl_success)
        status = dnnl_primitive_execute(k->primitive, k->stream, k->nargs, k->arg);
    if (status == dnnl_success)
        status = dnnl_stream_wait(k->stream);
    sftn_dnnl_end(before);
    return status == dnnl_success ? NULL : dnnl_status2str(status);
}

static void destroy(void *state)
{
    dnnl_kernel *k = state;

    for (int i = 0; i < k->nargs; i++)
        dnnl_memory_destroy(k->arg[i].memory);
    if (k->primitive != NULL)
        dnnl_primitive_destroy(k->primitive);
    free(k);
}

static dnnl_status_t add_arg(dnnl_kernel *k, const sftn_dnnl_arg *arg, dnnl_engine_t engine)
{
    const int i = k->nargs;
    const dnnl_status_t status = sftn_memory_new(&k->arg[i].memory, arg->md, engine);

    if (status != dnnl_success)
        return status;
    k->arg[i].arg = arg->id;
    k->role[i] = arg->role;
    k->index[i] = arg->index;
    k->nargs++;
    return dnnl_success;
}

sftn_status sftn_dnnl_kernel(sftn_dnnl *d, int stream, const_dnnl_primitive_desc_t pd,
                             const char *prefix, const sftn_dnnl_arg *arg, int nargs,
                             sftn_kernel *kernel, sftn_error *err)
{
    const sftn_const_md scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    const size_t workspace = scratch != NULL ? dnnl_memory_desc_get_size(scratch) : 0;
    const sftn_dnnl_arg scratch_arg = {DNNL_ARG_SCRATCHPAD, SFTN_DNNL_IN, -1, scratch};
    dnnl_kernel *k = sftn_calloc(1, sizeof *k);
    dnnl_status_t status;

    if (k == NULL)
        return sftn_cpu_out_of_memory(prefix, err);
    k->stream = d->stream[stream];
    status = dnnl_primitive_create(&k->primitive, pd);
    for (int i = 0; i < nargs && status == dnnl_success; i++)
        status = add_arg(k, &arg[i], d->engine);
    if (status == dnnl_success && workspace > 0)
        status = add_arg(k, &scratch_arg, d->engine);
    if (status != dnnl_success) {
        destroy(k);
        return failed(err, prefix, status);
    }
    snprintf(k->name, sizeof k->name, "%s %s", prefix, sftn_dnnl_name(pd));
    *kernel = (sftn_kernel){
        .name = k->name, .state = k, .run = run, .destroy = destroy, .workspace = workspace};
    return SFTN_OK;
}

/* ---- reorders ---- */

/*
 * desc's memory descriptor; one that is not packed has the dimensions of `like`, the other side's:
 * those of desc, or five where the first is split into groups.
 */
static dnnl_status_t md_of(const sftn_desc *desc, sftn_const_md like, dnnl_memory_desc_t *m)
{
    const sftn_packed *packed = desc->packed;
    dnnl_dims_t dims = {0}, stride = {0};
    const dnnl_dim_t *from;
    int64_t own[SFTN_DIMS];
    int n, split;

    if (desc->layout == SFTN_PACKED)
        return sftn_md_clone(m, SFTN_MD(packed->md));
    n = sftn_md_dims(like, &from);
    split = n - SFTN_DIMS;
    sftn_cpu_strides(&desc->shape, desc->layout, own);
    for (int i = 0; i < n; i++) {
        dims[i] = from[i];
        stride[i] = i < split ? own[0] * from[1] : own[i - split];
    }
    return sftn_md_strided(m, n, dims, sftn_dnnl_type(desc->dtype), stride);
}

static dnnl_status_t reorder_pd(sftn_dnnl *d, const sftn_desc *src, const sftn_desc *dst,
                                dnnl_memory_desc_t *from, dnnl_memory_desc_t *to,
                                dnnl_primitive_desc_t *pd)
{
    const sftn_packed *packed = dst->layout == SFTN_PACKED ? dst->packed : src->packed;
    dnnl_status_t status = md_of(src, SFTN_MD(packed->md), from);

    if (status == dnnl_success)
        status = md_of(dst, SFTN_MD(packed->md), to);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(pd, SFTN_MD(*from), d->engine, SFTN_MD(*to),
                                                    d->engine, d->attr);
    return status;
}

static sftn_status reorder(sftn_cpu *cpu, const sftn_desc *src, const sftn_desc *dst,
                           sftn_kernel *kernel, sftn_error *err)
{
    sftn_dnnl *const d = cpu->dnnl;
    dnnl_memory_desc_t from = {0}, to = {0};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status;
    const int before = sftn_dnnl_begin();
    sftn_status result;

    status = reorder_pd(d, src, dst, &from, &to, &pd);
    if (status != dnnl_success) {
        result = failed(err, "reorder", status);
    } else {
        const sftn_dnnl_arg arg[] = {
            {DNNL_ARG_FROM, SFTN_DNNL_IN, 0, SFTN_MD(from)},
            {DNNL_ARG_TO, SFTN_DNNL_OUT, 0, SFTN_MD(to)},
        };

        result = sftn_dnnl_kernel(d, 0, pd, "pack", arg, 2, kernel, err);
    }
    if (pd != NULL)
        dnnl_primitive_desc_destroy(pd);
    sftn_md_free(&from);
    sftn_md_free(&to);
    sftn_dnnl_end(before);
    return result;
}
