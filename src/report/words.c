/*
 * words: what differences say, in sentences made from their numbers.
 *
 * A difference is called higher or lower where its interval leaves out zero, and shown by nothing
 * where it does not; one pair of seeds has no interval, and says so.
 */
#include "report/measure.h"

#include <math.h>

/* "    test accuracy: higher by 1.40 points (+0.30 to +2.50), with 3 of 3 seeds\n" */
static void add_sentence(sftn_strbuf *out, const sftn_measure_row *row, const sftn_sample *s)
{
    const int d = row->decimals;
    const char *unit = row->difference_unit;
    const bool up = s->mean > 0.0;
    const int same_side = up ? s->above : s->below;

    sftn_strbuf_add(out, "    %s: ", row->noun);
    if (s->n == 1) {
        sftn_strbuf_add(out, "%+.*f%s with one seed; another may say the opposite\n", d, s->mean,
                        unit);
        return;
    }
    if (s->low > 0.0 || s->high < 0.0)
        sftn_strbuf_add(out, "%s by %.*f%s", up ? "higher" : "lower", d, fabs(s->mean), unit);
    else
        sftn_strbuf_add(out, "no difference shown, %+.*f%s", d, s->mean, unit);
    sftn_strbuf_add(out, " (%+.*f to %+.*f)", d, s->low, d, s->high);
    if (s->mean != 0.0)
        sftn_strbuf_add(out, ", %s with %d of %d seeds", up ? "higher" : "lower", same_side, s->n);
    sftn_strbuf_add(out, "\n");
}

static bool has_sentence(const sftn_run_difference *d, int m)
{
    return sftn_measures[m].noun && d->sample[m].n > 0;
}

void sftn_write_words(const sftn_run_statistics *s, sftn_strbuf *out)
{
    for (int k = 0; k < s->ndifferences; k++) {
        const sftn_run_difference *d = &s->difference[k];
        bool named = false;

        for (int m = 0; m < SFTN_MEASURES; m++) {
            if (!has_sentence(d, m))
                continue;
            if (!named)
                sftn_strbuf_add(out, "\n%s beside %s\n", d->label, d->against);
            named = true;
            add_sentence(out, &sftn_measures[m], &d->sample[m]);
        }
    }
}
