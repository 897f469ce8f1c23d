/*
 * pairs: which taps of student and teacher a method compares, from text (sftn/distill.h).
 */
#include "distill/distill.h"

#include "base/base.h"

#include <stdio.h>
#include <string.h>

typedef struct parser {
    const sftn_taps *taps[2]; /* student, teacher */
    sftn_tap_pair *pair;
    int npairs;
    sftn_error *err;
} parser;

static const char *const side_name[] = {"student", "teacher"};

static sftn_status no_such_tap(const parser *p, int side, const char *name,
                               const sftn_named_tap *list, int n)
{
    sftn_strbuf known = {0};

    for (int i = 0; i < n; i++)
        sftn_strbuf_add(&known, "%s%s", i ? ", " : "", list[i].name);
    sftn_fail(p->err, SFTN_ERR_ARGUMENT, "the %s has no tap \"%s\"; it publishes %s",
              side_name[side], name, known.failed ? "others" : known.text);
    sftn_strbuf_free(&known);
    return SFTN_ERR_ARGUMENT;
}

/* The tap of one side; "last" and "last.preact" stand for the last stage's. */
static sftn_status find_tap(const parser *p, int side, const char *name, sftn_named_tap *tap)
{
    sftn_named_tap list[SFTN_MAX_TAPS];
    const int n = sftn_taps_list(p->taps[side], list);
    char full[96];

    snprintf(full, sizeof full, "%.64s", name);
    if (strncmp(name, "last", 4) == 0 && (name[4] == '\0' || name[4] == '.'))
        snprintf(full, sizeof full, "stage%d%.64s", p->taps[side]->nstages, name + 4);
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].name, full) == 0) {
            *tap = list[i];
            return SFTN_OK;
        }
    return no_such_tap(p, side, name, list, n);
}

static sftn_status add_pair(parser *p, const char *student, const char *teacher)
{
    sftn_named_tap s, t;
    sftn_tap_pair *pair = &p->pair[p->npairs];
    sftn_status status;

    if (p->npairs == SFTN_MAX_PAIRS)
        return sftn_fail(p->err, SFTN_ERR_ARGUMENT, "more than %d pairs of taps", SFTN_MAX_PAIRS);
    status = find_tap(p, 0, student, &s);
    if (!status)
        status = find_tap(p, 1, teacher, &t);
    if (status)
        return status;
    *pair = (sftn_tap_pair){.student = s.value, .teacher = t.value, .norm = t.norm};
    memcpy(pair->student_name, s.name, sizeof s.name);
    memcpy(pair->teacher_name, t.name, sizeof t.name);
    p->npairs++;
    return SFTN_OK;
}

/* "stages" and "stages.preact", whose suffix is given. */
static sftn_status add_stages(parser *p, const char *suffix)
{
    const int s = p->taps[0]->nstages, t = p->taps[1]->nstages, n = s < t ? s : t;
    sftn_status status = SFTN_OK;

    for (int i = 1; i <= n && !status; i++) {
        char student[32], teacher[32];

        snprintf(student, sizeof student, "stage%d%.10s", s - n + i, suffix);
        snprintf(teacher, sizeof teacher, "stage%d%.10s", t - n + i, suffix);
        status = add_pair(p, student, teacher);
    }
    return status;
}

/* One item of the list: NAME or STUDENT:TEACHER. */
static sftn_status add_item(parser *p, char *item)
{
    char *colon = strchr(item, ':');

    if (!colon && (strcmp(item, "stages") == 0 || strcmp(item, "stages.preact") == 0))
        return add_stages(p, item + strlen("stages"));
    if (colon)
        *colon = '\0';
    return add_pair(p, item, colon ? colon + 1 : item);
}

sftn_status sftn_tap_pairs(const char *text, const sftn_taps *student, const sftn_taps *teacher,
                           sftn_tap_pair *pair, int *npairs, sftn_error *err)
{
    parser p = {.taps = {student, teacher}, .pair = pair, .err = err};
    sftn_status status = SFTN_OK;

    *npairs = 0;
    for (const char *at = text; !status;) {
        const size_t length = strcspn(at, ",");
        char item[64];

        if (length == 0 || length >= sizeof item)
            return sftn_fail(err, SFTN_ERR_ARGUMENT, "pairs of taps are \"%s\"; expected names "
                             "like stage2, or stage2:stage3, joined by commas", text);
        snprintf(item, sizeof item, "%.*s", (int)length, at);
        status = add_item(&p, item);
        if (at[length] == '\0')
            break;
        at += length + 1;
    }
    *npairs = status ? 0 : p.npairs;
    return status;
}
