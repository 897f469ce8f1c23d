/*
 * workload.h: one compiled step on synthetic images, for dump and bench.
 */
#ifndef SFTN_CLI_WORKLOAD_H
#define SFTN_CLI_WORKLOAD_H

#include "cli/cli.h"

enum { CLI_AUTO, CLI_SFTN_TEACHER, CLI_KD, CLI_PLAIN, CLI_FROZEN, CLI_MUTUAL };

typedef struct cli_workload_options {
    int workload; /* one of these */
    const char *model, *teacher, *student, *method;
    int64_t batch;
    int classes, image_size;
    /* What no option asks for; 0 and NULL: nothing. */
    int before;                /* of kd: phase before the labels, from 1; 0: the one beside them */
    const sftn_mutual *mutual; /* of CLI_MUTUAL: by it student and teacher learn together */
} cli_workload_options;

extern const sftn_option cli_workload_table[];

typedef struct cli_workload {
    char title[192]; /* "kd: student wrn_16_2, teacher wrn_40_2" */
    int64_t batch;
    /* a training step */
    sftn_job job;
    sftn_stepper *stepper;
    /* or a frozen network */
    sftn_graph *graph;
    sftn_params *params;
    sftn_plan *plan;
} cli_workload;

/*
 * Build, compile and fill with synthetic images.  False with *code set on failure; free in both
 * cases.
 */
bool cli_workload_new(cli_args *a, const cli_workload_options *o, const cli_methods *methods,
                      const cli_scheme *scheme, const sftn_plan_options *plan, cli_workload *w,
                      int *code);
void cli_workload_free(cli_workload *w);

sftn_status cli_workload_run(cli_workload *w, sftn_error *err);
/* Graph and plan number i, in the order in which they run; NULL past the end. */
const sftn_graph *cli_workload_graph(const cli_workload *w, int i);
sftn_plan *cli_workload_plan(cli_workload *w, int i);

#endif
