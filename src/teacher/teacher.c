/*
 * teacher: finds a teacher training scheme by name; lists of loss terms.
 */
#include "teacher/teacher.h"

#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SFTN_SCHEME(id) &sftn_teacher_##id,
static const sftn_teacher_scheme *const schemes[] = {
#include "teacher/teachers.def"
    NULL,
};
#undef SFTN_SCHEME

const sftn_teacher_scheme *sftn_teacher_list(int i)
{
    return i >= 0 && i < (int)SFTN_COUNT(schemes) ? schemes[i] : NULL;
}

const sftn_teacher_scheme *sftn_teacher_find(const char *name, sftn_error *err)
{
    const char *names[SFTN_COUNT(schemes)] = {NULL};
    int i;

    for (i = 0; schemes[i]; i++)
        names[i] = schemes[i]->name;
    i = sftn_find_name("teacher training scheme", name, names, NULL, err);
    return i >= 0 ? schemes[i] : NULL;
}

void sftn_terms_add(sftn_terms *t, sftn_graph *g, float weight, sftn_value value,
                    const char *format, ...)
{
    sftn_term *term;
    va_list args;

    if (t->n == SFTN_MAX_TERMS) {
        sftn_graph_fail(g, "the loss has more than %d terms", SFTN_MAX_TERMS);
        return;
    }
    term = &t->term[t->n++];
    *term = (sftn_term){.weight = weight, .value = value};
    va_start(args, format);
    vsnprintf(term->name, sizeof term->name, format, args);
    va_end(args);
}
