/*
 * scope: names of parameters, and the leaves behind them.
 */
#include "graph/op.h"
#include "sftn/nn.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Nodes appended from now on are shown as "label.name". */
static void show_scope(const sftn_scope *s)
{
    char text[192];
    const bool both = s->label && s->label[0] && s->name[0];

    snprintf(text, sizeof text, "%s%s%s", s->label ? s->label : "", both ? "." : "", s->name);
    sftn_graph_set_scope(s->g, text);
}

sftn_scope sftn_scope_in(const sftn_scope *parent, const char *format, ...)
{
    sftn_scope s = *parent;
    size_t used = strlen(s.name);
    va_list args;
    int n;

    if (used > 0 && used + 1 < sizeof s.name)
        s.name[used++] = '.';
    va_start(args, format);
    n = vsnprintf(s.name + used, sizeof s.name - used, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof s.name - used)
        sftn_graph_fail(s.g, "scope \"%s\": the name exceeds %zu characters", s.name,
                        sizeof s.name - 1);
    show_scope(&s);
    return s;
}

sftn_value sftn_nn_param(const sftn_scope *s, const char *name, const sftn_param *spec, int *index)
{
    char full[160];
    sftn_error err = {0};
    int i;

    if (index)
        *index = -1;
    if ((size_t)snprintf(full, sizeof full, "%s%s%s", s->name, s->name[0] ? "." : "", name) >=
        sizeof full)
        return sftn_graph_fail(s->g, "parameter \"%s\": the name exceeds %zu characters", full,
                               sizeof full - 1);
    i = sftn_params_add(s->params, full, spec, &err);
    if (i < 0) {
        if (err.status == SFTN_ERR_MEMORY && s->g->status == SFTN_OK) {
            s->g->status = err.status;
            s->g->error = err;
        }
        return sftn_graph_fail(s->g, "%s", err.text);
    }
    if (index)
        *index = i;
    return sftn_graph_param(s->g, s->params, i, s->frozen);
}
