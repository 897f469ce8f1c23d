/*
 * verify: walks a directory of reference files and reports each; the rule that fills arrays from
 * their names; comparison of arrays.
 */
#include "report/verify.h"

#include "base/base.h"

#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sftn_verify_fill(const char *name, double offset, double u_factor, double s_factor,
                      float *dst, int64_t n)
{
    const uint64_t h = sftn_hash_text(name);

    for (int64_t j = 0; j < n; j++) {
        uint64_t x = h + ((uint64_t)j + 1) * UINT64_C(0x9E3779B97F4A7C15);
        double u;

        x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
        x ^= x >> 31;
        u = (double)(x >> 40) * 0x1p-24;
        dst[j] = (float)(offset + u_factor * u + s_factor * (2.0 * u - 1.0));
    }
}

static bool ends_in(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

void sftn_verify_fill_params(sftn_params *p)
{
    for (int i = 0; i < sftn_params_count(p); i++) {
        const sftn_param *e = sftn_params_get(p, i);
        float *value = sftn_params_value(p, i);

        if (e->kind == SFTN_PARAM_COUNTER)
            memset(value, 0, (size_t)e->count * sizeof *value);
        else if (ends_in(e->name, "running_var"))
            sftn_verify_fill(e->name, 1.0, 0.5, 0.0, value, e->count);
        else if (e->rank >= 2)
            sftn_verify_fill(e->name, 0.0, 0.0,
                             sqrt(6.0 / ((double)e->count / (double)e->shape.dim[SFTN_N])), value,
                             e->count);
        else if (ends_in(e->name, "weight"))
            sftn_verify_fill(e->name, 1.0, 0.0, 0.1, value, e->count);
        else
            sftn_verify_fill(e->name, 0.0, 0.0, 0.1, value, e->count);
    }
}

void sftn_check_add(sftn_check *c, double deviation, const char *format, ...)
{
    va_list args;

    if (!isfinite(deviation))
        deviation = INFINITY;
    if (deviation < c->deviation || (deviation == c->deviation && c->worst[0]))
        return;
    c->deviation = deviation;
    va_start(args, format);
    vsnprintf(c->worst, sizeof c->worst, format, args);
    va_end(args);
}

double sftn_array_number(const sftn_array *a, int64_t i)
{
    return a->element == SFTN_ELEMENT_I64 ? (double)((const int64_t *)a->data)[i]
                                          : (double)((const float *)a->data)[i];
}

sftn_status sftn_check_array(sftn_check *c, const sftn_tensors *t, const char *name,
                             const double *got, int64_t n, sftn_error *err)
{
    const sftn_array *array;
    const sftn_status status =
        sftn_tensors_expect(t, name, SFTN_ELEMENT_F32, n, &array, err);
    const float *want;
    double largest = 0.0, difference = 0.0;

    if (status != SFTN_OK)
        return status;
    want = array->data;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs(got[i] - (double)want[i]);

        largest = fmax(largest, fabs((double)want[i]));
        difference = isfinite(d) ? fmax(difference, d) : INFINITY;
    }
    sftn_check_add(c, largest > 0.0 ? difference / largest : difference, "%s", name);
    return SFTN_OK;
}

sftn_status sftn_meta_text(const sftn_tensors *t, const char *key, const char **text,
                           sftn_error *err)
{
    *text = sftn_tensors_meta(t, key);
    if (!*text)
        return sftn_fail(err, SFTN_ERR_FORMAT, "the metadata has no \"%s\"", key);
    return SFTN_OK;
}

sftn_status sftn_meta_int(const sftn_tensors *t, const char *key, int least, int *value,
                          sftn_error *err)
{
    const char *text;
    char *end;
    long n;

    if (sftn_meta_text(t, key, &text, err) != SFTN_OK)
        return SFTN_ERR_FORMAT;
    n = strtol(text, &end, 10);
    if (*end || end == text || n < least || n > 1000000)
        return sftn_fail(err, SFTN_ERR_FORMAT,
                         "the metadata says %s = \"%s\", expected a whole number from %d on", key,
                         text, least);
    *value = (int)n;
    return SFTN_OK;
}

sftn_status sftn_check_output(sftn_check *c, const sftn_tensors *t, const sftn_plan *plan,
                              const char *name, int64_t n, sftn_error *err)
{
    double *values = sftn_calloc((size_t)n, sizeof *values);
    sftn_status status;

    if (!values)
        return sftn_fail(err, SFTN_ERR_MEMORY, "out of memory for output %s", name);
    status = sftn_plan_read(plan, name, values, err);
    if (status == SFTN_OK)
        status = sftn_check_array(c, t, name, values, n, err);
    free(values);
    return status;
}

/* ---- the directory ---- */

typedef struct kind {
    const char *folder;
    const char *name, *grad_name; /* of the rows; NULL: gradients have no row of their own */
    sftn_status (*run)(sftn_verify_case *v, sftn_error *err);
    /* Tolerances in float32 and in bfloat16, of what sftn_verify_case holds. */
    struct {
        double value, grad, own;
    } tolerance[2];
} kind;

/*
 * bfloat16 keeps 8 bits: a rounding is up to 2^-9 of the value.  Networks of tens of layers add up
 * tens of them, and turn many ReLUs over: with the handful of images of a reference file, single
 * gradients of batch-norm parameters are then noise, and only the large ones are compared.  A loss
 * with layers of its own turns ReLUs over too.
 */
static const kind kinds[] = {
    {"model", "network", NULL, sftn_verify_network, {{1e-3, 1e-3, 0.05}, {0.1, 0.2, INFINITY}}},
    {"loss", "loss", "loss gradient", sftn_verify_loss, {{1e-5, 1e-4, 0.0}, {0.02, 0.1, 0.0}}},
    {"sftn", "teacher step", NULL, sftn_verify_teacher, {{1e-3, 1e-3, 0.05}, {0.1, 0.2, INFINITY}}},
};

typedef struct walk {
    const char *dir;
    const sftn_plan_options *plan;
    void (*row)(void *ctx, const sftn_verify_row *row);
    void *ctx;
    int files, deviating;
    char first[128]; /* the first file that deviates */
} walk;

static void report(walk *w, const char *file, const char *name, const sftn_verify_case *v,
                   const sftn_check *c)
{
    const sftn_verify_row row = {.file = file,
                                 .kind = name,
                                 .method = v->method,
                                 .phase = v->phase,
                                 .ok = c->deviation <= c->tolerance,
                                 .deviation = c->deviation,
                                 .tolerance = c->tolerance,
                                 .worst = c->worst};

    if (!row.ok && w->deviating++ == 0)
        snprintf(w->first, sizeof w->first, "%s", file);
    w->row(w->ctx, &row);
}

/* Of two checks the one that uses up more of its tolerance. */
static const sftn_check *worse(const sftn_check *a, const sftn_check *b)
{
    return b->deviation * a->tolerance > a->deviation * b->tolerance ? b : a;
}

static void report_file(walk *w, const kind *k, const char *file, const sftn_verify_case *v)
{
    if (v->missing) {
        w->row(w->ctx, &(const sftn_verify_row){.file = file, .kind = k->name, .missing = true});
    } else if (k->grad_name) {
        report(w, file, k->name, v, &v->value);
        report(w, file, k->grad_name, v, &v->grad);
    } else {
        report(w, file, k->name, v, worse(worse(&v->value, &v->grad), &v->own));
    }
}

static sftn_status run_file(walk *w, const kind *k, const char *name, sftn_error *err)
{
    const bool narrow = w->plan->precision == SFTN_BFLOAT16 &&
                        !(w->plan->backend && strcmp(w->plan->backend, "ref") == 0);
    sftn_verify_case v = {.plan = w->plan,
                          .value.tolerance = k->tolerance[narrow].value,
                          .grad.tolerance = k->tolerance[narrow].grad,
                          .own.tolerance = k->tolerance[narrow].own};
    char path[4096], file[128];
    sftn_tensors *t = NULL;
    sftn_status status;

    snprintf(path, sizeof path, "%s/%s/%s", w->dir, k->folder, name);
    snprintf(file, sizeof file, "%s/%.*s", k->folder, (int)(strlen(name) - strlen(".safetensors")),
             name);
    status = sftn_tensors_open(path, &t, err);
    if (status != SFTN_OK)
        return status;
    w->files++;
    v.file = t;
    status = k->run(&v, err);
    if (status == SFTN_OK)
        report_file(w, k, file, &v);
    else
        sftn_fail_in(err, "%s", path);
    sftn_tensors_close(t);
    return status;
}

static int is_reference(const struct dirent *e)
{
    return e->d_name[0] != '.' && ends_in(e->d_name, ".safetensors");
}

static sftn_status run_folder(walk *w, const kind *k, sftn_error *err)
{
    char path[4096];
    struct dirent **entry = NULL;
    sftn_status status = SFTN_OK;
    int n;

    snprintf(path, sizeof path, "%s/%s", w->dir, k->folder);
    n = scandir(path, &entry, is_reference, alphasort);
    for (int i = 0; i < n; i++) {
        if (status == SFTN_OK)
            status = run_file(w, k, entry[i]->d_name, err);
        free(entry[i]);
    }
    free(entry);
    return status;
}

sftn_status sftn_verify_dir(const char *dir, const sftn_plan_options *plan,
                            void (*row)(void *ctx, const sftn_verify_row *row), void *ctx,
                            sftn_error *err)
{
    walk w = {.dir = dir, .plan = plan, .row = row, .ctx = ctx};

    for (size_t i = 0; i < SFTN_COUNT(kinds); i++) {
        const sftn_status status = run_folder(&w, &kinds[i], err);

        if (status != SFTN_OK)
            return status;
    }
    if (w.files == 0)
        return sftn_fail(err, SFTN_ERR_FILE,
                         "%s: no reference files; expected model/, loss/ or sftn/ with "
                         "NAME.safetensors", dir);
    if (w.deviating > 0)
        return sftn_fail(err, SFTN_ERR_NUMERIC, "%d check%s out of tolerance, the first in %s",
                         w.deviating, w.deviating == 1 ? " is" : "s are", w.first);
    return SFTN_OK;
}
