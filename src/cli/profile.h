/*
 * profile.h: a plan's profile beside what the machine could do, as text and as JSON.
 */
#ifndef SFTN_CLI_PROFILE_H
#define SFTN_CLI_PROFILE_H

#include "cli/workload.h"

#include <json-c/json.h>

typedef struct cli_profile {
    sftn_peak peak;
    sftn_profile_row *row; /* owned */
    int nrows;
    double step_ms; /* of a whole step, with what is outside the plan */
} cli_profile;

/* Measures the machine too. */
sftn_status cli_profile_new(cli_workload *w, sftn_precision precision, double step_ms,
                            cli_profile *p, sftn_error *err);
void cli_profile_free(cli_profile *p);
void cli_profile_print(const cli_profile *p);
void cli_profile_add(const cli_profile *p, json_object *o);

void cli_peak_print(const sftn_peak *peak);
void cli_peak_add(const sftn_peak *peak, json_object *o);

#endif
