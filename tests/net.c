/* net: see net.h. */
#include "net.h"

#include "base/base.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

net net_new(void)
{
    net n = {.g = sftn_graph_new(), .params = sftn_params_new(), .other = sftn_params_new()};

    CHECK(n.g && n.params && n.other);
    return n;
}

void net_free(net *n)
{
    sftn_plan_free(n->plan);
    sftn_graph_free(n->g);
    sftn_params_free(n->params);
    sftn_params_free(n->other);
}

sftn_scope net_scope(const net *n, bool training)
{
    return (sftn_scope){.g = n->g, .params = n->params, .training = training};
}

sftn_scope net_other_scope(const net *n, bool training)
{
    return (sftn_scope){.g = n->g, .params = n->other, .training = training};
}

sftn_value net_input(const net *n, const char *name, int64_t batch, int64_t c, int64_t h,
                     int64_t w)
{
    return sftn_graph_input(n->g, name, (sftn_type){SFTN_SHAPE(batch, c, h, w), true});
}

void net_compile(net *n)
{
    const sftn_plan_options options = {.backend = "ref"};
    sftn_error err = {.status = SFTN_OK};

    CHECK_OK(sftn_graph_status(n->g, &err), &err);
    CHECK_OK(sftn_plan_new(n->g, &options, &n->plan, &err), &err);
}

void net_write(const net *n, const char *name, const double *values)
{
    sftn_error err = {.status = SFTN_OK};

    CHECK_OK(sftn_plan_write(n->plan, name, values, &err), &err);
}

static double *input_values(const net *n, const char *name, int64_t *count)
{
    const sftn_tensor *t = sftn_plan_input(n->plan, name);
    double *values;

    CHECK(t != NULL);
    *count = sftn_shape_count(&t->shape);
    values = malloc((size_t)*count * sizeof *values);
    CHECK(values != NULL);
    return values;
}

void net_write_random(const net *n, const char *name, uint64_t seed)
{
    sftn_rng rng = sftn_rng_new(seed, SFTN_RNG_TEST, sftn_hash_text(name));
    int64_t count;
    double *values = input_values(n, name, &count);

    for (int64_t i = 0; i < count; i++)
        values[i] = 2.0 * sftn_rng_uniform(&rng) - 1.0;
    net_write(n, name, values);
    free(values);
}

void net_write_labels(const net *n, const char *name, int classes)
{
    int64_t count;
    double *values = input_values(n, name, &count);

    for (int64_t i = 0; i < count; i++)
        values[i] = (double)(i % classes);
    net_write(n, name, values);
    free(values);
}

void net_run(const net *n)
{
    CHECK_OK(sftn_plan_run(n->plan, NULL), NULL);
}

void net_read(const net *n, const char *name, double *values)
{
    sftn_error err = {.status = SFTN_OK};

    CHECK_OK(sftn_plan_read(n->plan, name, values, &err), &err);
}

double net_scalar(const net *n, const char *name)
{
    double value = NAN;

    net_read(n, name, &value);
    return value;
}

double net_grad_norm(const net *n, const char *parameter)
{
    const int i = sftn_params_find(n->params, parameter);
    const float *grad;
    double sum = 0.0;

    CHECK(i >= 0);
    grad = sftn_params_grad(n->params, i);
    for (int64_t j = 0; j < sftn_params_get(n->params, i)->count; j++)
        sum += (double)grad[j] * (double)grad[j];
    return sqrt(sum);
}
