/* measure.h: what is compared between runs, and how it is written and spoken of. */
#ifndef SFTN_REPORT_MEASURE_H
#define SFTN_REPORT_MEASURE_H

#include "base/base.h"
#include "sftn/report.h"

typedef struct sftn_measure_row {
    const char *key;   /* for programs */
    const char *title; /* of a column */
    const char *noun;  /* in a sentence; NULL: sentences leave it out */
    const char *unit, *difference_unit;
    int decimals;
} sftn_measure_row;

extern const sftn_measure_row sftn_measures[SFTN_MEASURES];

/* What the differences say, in sentences made from their numbers, after what out holds. */
void sftn_write_words(const sftn_run_statistics *s, sftn_strbuf *out);

#endif
