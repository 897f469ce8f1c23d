/*
 * net.h: a graph with two parameter stores, run on the reference backend: what tests of layers,
 * networks, methods and teachers need.
 */
#ifndef SFTN_TESTS_NET_H
#define SFTN_TESTS_NET_H

#include "sftn/nn.h"
#include "sftn/plan.h"

typedef struct net {
    sftn_graph *g;
    sftn_params *params, *other;
    sftn_plan *plan;
} net;

net net_new(void);
void net_free(net *n);
/* A root scope over params, or over other. */
sftn_scope net_scope(const net *n, bool training);
sftn_scope net_other_scope(const net *n, bool training);
/* A wide input [n,c,h,w]. */
sftn_value net_input(const net *n, const char *name, int64_t batch, int64_t c, int64_t h,
                     int64_t w);
/* Check the graph, compile it for the reference backend. */
void net_compile(net *n);
void net_write(const net *n, const char *name, const double *values);
/* Numbers in [-1, 1) from a seed. */
void net_write_random(const net *n, const char *name, uint64_t seed);
/* Class indices 0, 1, ... modulo classes. */
void net_write_labels(const net *n, const char *name, int classes);
void net_run(const net *n);
/* Value of a scalar output. */
double net_scalar(const net *n, const char *name);
void net_read(const net *n, const char *name, double *values);
/* Euclidean norm of the gradient of a parameter, of params. */
double net_grad_norm(const net *n, const char *parameter);

#endif
