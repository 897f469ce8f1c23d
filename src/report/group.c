/*
 * group: runs that differ only in their seeds, their statistics, and differences between groups.
 *
 * A group is a training (training.h) of a teacher's training.
 */
#include "sftn/report.h"

#include "base/base.h"
#include "report/training.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- samples ---- */

/* The runs of one seed. */
typedef struct seed_mean {
    int64_t seed;
    double sum;
    int n;
} seed_mean;

/* What follows "seed" in a name, and where that begins and ends; false: nothing does. */
static bool find_seed(const char *name, size_t *begin, size_t *end, int64_t *seed)
{
    const char *at = strstr(name, "seed");
    char *after;

    if (!at || !isdigit((unsigned char)at[4]))
        return false;
    *seed = strtoll(at + 4, &after, 10);
    *begin = (size_t)(at - name);
    *end = (size_t)(after - name);
    if (*begin > 0 && strchr("-_. ", at[-1]))
        --*begin;
    return true;
}

static int64_t seed_of(const sftn_run *run)
{
    size_t begin, end;
    int64_t seed = run->seed;

    if (seed < 0 && !find_seed(run->name, &begin, &end, &seed))
        seed = -1;
    return seed;
}

static seed_mean *find_mean(seed_mean *list, int n, int64_t seed)
{
    for (int i = 0; i < n && seed >= 0; i++)
        if (list[i].seed == seed)
            return &list[i];
    return NULL;
}

/* list: [g->n]; how many seeds there are. */
static int seed_means(const sftn_run *runs, const sftn_run_group *g, sftn_measure measure,
                      seed_mean *list)
{
    int n = 0;

    for (int i = 0; i < g->n; i++) {
        const sftn_run *run = &runs[g->run[i]];
        const double x = sftn_run_measure(run, measure);
        const int64_t seed = seed_of(run);
        seed_mean *m = find_mean(list, n, seed);

        if (!run->finished || isnan(x))
            continue;
        if (!m) {
            m = &list[n++];
            *m = (seed_mean){.seed = seed};
        }
        m->sum += x;
        m->n++;
    }
    return n;
}

/* A group, or with minus the difference of two. */
typedef struct term {
    const sftn_run_group *of, *minus;
} term;

/* Its seeds, each with one value; list, other: room for as many as there are runs. */
static int term_values(const sftn_run *runs, const term *t, sftn_measure measure, seed_mean *list,
                       seed_mean *other)
{
    const int nlist = seed_means(runs, t->of, measure, list);
    const int nother = t->minus ? seed_means(runs, t->minus, measure, other) : 0;
    int n = 0;

    for (int i = 0; i < nlist; i++) {
        const seed_mean *m = t->minus ? find_mean(other, nother, list[i].seed) : NULL;

        if (t->minus && !m)
            continue;
        list[n++] = (seed_mean){.seed = list[i].seed,
                                .sum = list[i].sum / list[i].n - (m ? m->sum / m->n : 0.0),
                                .n = 1};
    }
    return n;
}

/* The samples of the mean over terms, of seeds that all of them have. */
static bool take_samples(const sftn_run *runs, int nruns, const term *terms, int nterms,
                         double level, sftn_sample *sample)
{
    seed_mean *sum = sftn_calloc((size_t)nruns, sizeof *sum);
    seed_mean *list = sftn_calloc((size_t)nruns, sizeof *list);
    seed_mean *other = sftn_calloc((size_t)nruns, sizeof *other);
    double *x = sftn_calloc((size_t)nruns, sizeof *x);
    const bool ok = sum && list && other && x;

    for (int m = 0; ok && m < SFTN_MEASURES; m++) {
        const int nsum = term_values(runs, &terms[0], (sftn_measure)m, sum, other);
        int n = 0;

        for (int t = 1; t < nterms; t++) {
            const int nlist = term_values(runs, &terms[t], (sftn_measure)m, list, other);

            for (int i = 0; i < nsum; i++) {
                const seed_mean *v = find_mean(list, nlist, sum[i].seed);

                sum[i].sum += v ? v->sum : 0.0;
                sum[i].n += v != NULL;
            }
        }
        for (int i = 0; i < nsum; i++)
            if (sum[i].n == nterms)
                x[n++] = sum[i].sum / nterms;
        sample[m] = sftn_sample_of(x, n, level);
    }
    free(sum);
    free(list);
    free(other);
    free(x);
    return ok;
}

/* ---- groups ---- */

/* The run's name without its seed. */
static bool name_training(sftn_training *t, const sftn_run *run, bool shorten)
{
    size_t begin, end;
    int64_t seed;
    sftn_strbuf b = {0};

    if (shorten && find_seed(run->name, &begin, &end, &seed))
        sftn_strbuf_add(&b, "%.*s%s", (int)begin, run->name, run->name + end);
    else
        sftn_strbuf_add(&b, "%s", run->name);
    snprintf(t->base, sizeof t->base, "%s", b.text ? b.text : "");
    t->key = b.text;
    return !b.failed && b.text;
}

/* What an experiment calls a run and its teacher. */
static bool take_names(sftn_training *own, sftn_training *teacher, const sftn_run *run)
{
    snprintf(own->base, sizeof own->base, "%s", run->group);
    own->key = sftn_strdup(run->teacher && run->description ? run->description : run->group);
    if (run->teacher) {
        snprintf(teacher->base, sizeof teacher->base, "%s", run->teacher);
        teacher->key = sftn_strdup(run->teacher);
        teacher->plain = run->plain_teacher;
    }
    return own->key && (teacher->key || !run->teacher);
}

typedef struct grouper {
    const sftn_run *runs;
    int n;
    sftn_training *teacher, *own; /* [n], of each run */
    sftn_run_statistics *s;
    int *first; /* [ngroups]: a group's first run */
    term *term; /* [ndifferences]: between groups */
} grouper;

static bool take_apart(grouper *w, sftn_grouping by)
{
    for (int i = 0; i < w->n; i++) {
        const sftn_run *run = &w->runs[i];

        if (by == SFTN_GROUP_SEEDS && run->group) {
            if (!take_names(&w->own[i], &w->teacher[i], run))
                return false;
        } else if (by == SFTN_GROUP_SEEDS && run->description &&
                   !sftn_trainings_read(run->description, &w->own[i], &w->teacher[i])) {
            return false;
        }
        if (!w->own[i].key && !name_training(&w->own[i], run, by == SFTN_GROUP_NAMES))
            return false;
    }
    if (!sftn_trainings_label(w->teacher, w->n))
        return false;
    for (int i = 0; i < w->n; i++)
        if (w->teacher[i].key && !w->runs[i].group)
            sftn_training_taught_by(&w->own[i], w->teacher[i].label);
    return sftn_trainings_label(w->own, w->n);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool collect(grouper *w)
{
    sftn_run_statistics *s = w->s;

    for (int i = 0; i < w->n; i++) {
        sftn_run_group *g = NULL;

        for (int k = 0; k < s->ngroups && !g; k++)
            if (same_text(w->own[w->first[k]].key, w->own[i].key) &&
                same_text(w->teacher[w->first[k]].key, w->teacher[i].key))
                g = &s->group[k];
        if (!g) {
            w->first[s->ngroups] = i;
            g = &s->group[s->ngroups++];
            g->run = sftn_calloc((size_t)w->n, sizeof *g->run);
            if (!g->run)
                return false;
            snprintf(g->label, sizeof g->label, "%s", w->own[i].label);
            snprintf(g->teacher, sizeof g->teacher, "%s", w->teacher[i].label);
        }
        g->run[g->n++] = i;
        g->unfinished += !w->runs[i].finished;
    }
    for (int k = 0; k < s->ngroups; k++)
        if (!take_samples(w->runs, w->n, &(term){.of = &s->group[k]}, 1, s->level,
                          s->group[k].sample))
            return false;
    return true;
}

/* Whether experiments say that two runs of a group differ in more than the seed. */
static bool strangers(const sftn_run *a, const sftn_run *b)
{
    if (a->recipe && b->recipe && strcmp(a->recipe, b->recipe) != 0)
        return true;
    return a->hash && b->hash && seed_of(a) == seed_of(b) && strcmp(a->hash, b->hash) != 0;
}

static sftn_status check_seeds(const grouper *w, sftn_error *err)
{
    for (int k = 0; k < w->s->ngroups; k++) {
        const sftn_run_group *g = &w->s->group[k];

        for (int i = 0; i < g->n; i++)
            for (int j = 0; j < i; j++) {
                const sftn_run *a = &w->runs[g->run[j]], *b = &w->runs[g->run[i]];

                if (strangers(a, b))
                    return sftn_fail(err, SFTN_ERR_ARGUMENT,
                                     "%s and %s have one name, and differ in more than the seed: "
                                     "group their results one at a time, or give the entries other "
                                     "names",
                                     a->name, b->name);
            }
    }
    return SFTN_OK;
}

/* ---- differences ---- */

/* Whether group k is what group g is compared with. */
static bool is_reference(const grouper *w, int g, int k, const char *against, bool teacher)
{
    const int a = w->first[g], b = w->first[k];

    if (!teacher && against)
        return g != k && strcmp(w->own[b].label, against) == 0;
    if (!w->teacher[a].key || !w->teacher[b].key || !same_text(w->own[a].key, w->own[b].key) ||
        same_text(w->teacher[a].key, w->teacher[b].key))
        return false;
    return against ? strcmp(w->teacher[b].label, against) == 0
                   : w->teacher[b].plain && !w->teacher[a].plain;
}

/* Whether it is a teacher's name, or else a group's label. */
static sftn_status find_against(const grouper *w, const char *against, bool *teacher,
                                sftn_error *err)
{
    const sftn_run_statistics *s = w->s;
    sftn_strbuf known = {0};

    *teacher = false;
    for (int k = 0; k < s->ngroups && against; k++)
        *teacher = *teacher || strcmp(s->group[k].teacher, against) == 0;
    if (!against || *teacher)
        return SFTN_OK;
    for (int k = 0; k < s->ngroups; k++)
        if (strcmp(s->group[k].label, against) == 0)
            return SFTN_OK;
    for (int k = 0; k < s->ngroups; k++)
        sftn_strbuf_add(&known, "%s\"%s\"", k ? ", " : "", s->group[k].label);
    for (int k = 0; k < s->ngroups; k++)
        if (s->group[k].teacher[0] && known.text && !strstr(known.text, s->group[k].teacher))
            sftn_strbuf_add(&known, ", \"%s\"", s->group[k].teacher);
    sftn_fail(err, SFTN_ERR_ARGUMENT, "no group and no teacher is called \"%s\"; there are %s",
              against, known.failed || !known.text ? "others" : known.text);
    sftn_strbuf_free(&known);
    return SFTN_ERR_ARGUMENT;
}

static bool add_difference(grouper *w, const sftn_run_group *of, const sftn_run_group *minus)
{
    sftn_run_statistics *s = w->s;
    sftn_run_difference *d = &s->difference[s->ndifferences];
    term *t = &w->term[s->ndifferences++];

    *t = (term){of, minus};
    snprintf(d->label, sizeof d->label, "%s", of->label);
    snprintf(d->against, sizeof d->against, "%s", minus->label);
    return take_samples(w->runs, w->n, t, 1, s->level, d->sample);
}

static bool same_teachers(const term *a, const term *b)
{
    return strcmp(a->of->teacher, b->of->teacher) == 0 &&
           strcmp(a->minus->teacher, b->minus->teacher) == 0;
}

/* The mean over the students of two teachers, which are those of the first of them. */
static bool add_mean(grouper *w, int first, int students)
{
    sftn_run_statistics *s = w->s;
    sftn_run_difference *d = &s->difference[s->ndifferences];
    term *list = sftn_calloc((size_t)students, sizeof *list);
    bool ok = list != NULL;
    int n = 0;

    for (int k = first; ok && k < students; k++)
        if (same_teachers(&w->term[k], &w->term[first]))
            list[n++] = w->term[k];
    if (n > 1) {
        snprintf(d->label, sizeof d->label, "mean of %d students of %s", n, list->of->teacher);
        snprintf(d->against, sizeof d->against, "mean of %d students of %s", n,
                 list->minus->teacher);
        ok = take_samples(w->runs, w->n, list, n, s->level, d->sample);
        s->ndifferences++;
    }
    free(list);
    return ok;
}

/* For every two teachers of several students. */
static bool add_means(grouper *w)
{
    const int students = w->s->ndifferences;

    for (int i = 0; i < students; i++) {
        bool there = false;

        for (int k = 0; k < i; k++)
            there = there || same_teachers(&w->term[k], &w->term[i]);
        if (!there && !add_mean(w, i, students))
            return false;
    }
    return true;
}

static const sftn_run_group *find_group(const sftn_run_statistics *s, const char *label)
{
    for (int k = 0; k < s->ngroups; k++)
        if (strcmp(s->group[k].label, label) == 0)
            return &s->group[k];
    return NULL;
}

/* The teachers of the students that were compared, each pair once. */
static bool add_teachers(grouper *w, int students)
{
    const int first = w->s->ndifferences;

    for (int i = 0; i < students; i++) {
        const sftn_run_group *a = find_group(w->s, w->term[i].of->teacher);
        const sftn_run_group *b = find_group(w->s, w->term[i].minus->teacher);
        bool there = !a || !b;

        for (int k = first; k < w->s->ndifferences; k++)
            there = there || (w->term[k].of == a && w->term[k].minus == b);
        if (!there && !add_difference(w, a, b))
            return false;
    }
    return true;
}

/* Of each difference there may be a mean over students, and one of the teachers. */
static bool make_room(grouper *w, const char *against, bool teacher)
{
    size_t n = 1;

    for (int g = 0; g < w->s->ngroups; g++)
        for (int k = 0; k < w->s->ngroups; k++)
            n += is_reference(w, g, k, against, teacher) ? 3 : 0;
    w->s->difference = sftn_calloc(n, sizeof *w->s->difference);
    w->term = sftn_calloc(n, sizeof *w->term);
    return w->s->difference && w->term;
}

static sftn_status take_differences(grouper *w, const char *against, sftn_error *err)
{
    const sftn_run_statistics *s = w->s;
    bool teacher = false, ok = true;
    int students;
    sftn_status status = find_against(w, against, &teacher, err);

    if (!status)
        ok = make_room(w, against, teacher);
    for (int g = 0; g < s->ngroups && !status; g++)
        for (int k = 0; k < s->ngroups && ok; k++)
            if (is_reference(w, g, k, against, teacher))
                ok = add_difference(w, &s->group[g], &s->group[k]);
    students = s->ndifferences;
    if (!status && ok && (teacher || !against))
        ok = add_means(w) && add_teachers(w, students);
    return ok ? status : sftn_fail(err, SFTN_ERR_MEMORY, "differences of groups: out of memory");
}

sftn_status sftn_runs_group(const sftn_run *runs, int n, sftn_grouping by, const char *against,
                            double level, sftn_run_statistics *s, sftn_error *err)
{
    const size_t room = n > 0 ? (size_t)n : 1;
    grouper w = {.runs = runs, .n = n, .s = s};
    sftn_status status = SFTN_OK;

    *s = (sftn_run_statistics){.level = level};
    if (!(level > 0.0 && level < 1.0))
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "the level of intervals is %g, expected between 0 and 1", level);
    s->group = sftn_calloc(room, sizeof *s->group);
    w.teacher = sftn_calloc(room, sizeof *w.teacher);
    w.own = sftn_calloc(room, sizeof *w.own);
    w.first = sftn_calloc(room, sizeof *w.first);
    if (!s->group || !w.teacher || !w.own || !w.first || !take_apart(&w, by) || !collect(&w))
        status = sftn_fail(err, SFTN_ERR_MEMORY, "runs to be grouped: out of memory");
    if (!status)
        status = check_seeds(&w, err);
    if (!status)
        status = take_differences(&w, against, err);
    for (int i = 0; i < n; i++) {
        if (w.teacher)
            sftn_training_close(&w.teacher[i]);
        if (w.own)
            sftn_training_close(&w.own[i]);
    }
    free(w.teacher);
    free(w.own);
    free(w.first);
    free(w.term);
    if (status)
        sftn_run_statistics_free(s);
    return status;
}

void sftn_run_statistics_free(sftn_run_statistics *s)
{
    for (int k = 0; s->group && k < s->ngroups; k++)
        free(s->group[k].run);
    free(s->group);
    free(s->difference);
    *s = (sftn_run_statistics){0};
}
