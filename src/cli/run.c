/*
 * run.c: the options that train, teach and distill share.
 */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(cli_run_options, name)

enum { FLIP_AUTO, FLIP_YES, FLIP_NO };

/* Defaults are the CIFAR-100 recipe of the CRD benchmark. */
const sftn_option cli_run_table[] = {
    {"epochs", SFTN_OPT_INT, FIELD(epochs), 240, 1, 100000, "passes over the training images", NULL,
     NULL, .role = SFTN_ROLE_RESOLVED},
    {"batch", SFTN_OPT_INT64, FIELD(batch), 64, 1, 65536, "images a step", NULL, NULL,
     .role = SFTN_ROLE_SHARED},
    {"lr", SFTN_OPT_FLOAT, FIELD(lr), 0.05, 0, 100, "base learning rate", NULL, NULL},
    {"schedule", SFTN_OPT_CHOICE, FIELD(schedule), SFTN_SCHEDULE_STEP, 0, 1,
     "how the learning rate falls", "step|cosine", NULL},
    {"milestones", SFTN_OPT_STRING, FIELD(milestones), 0, 0, 0,
     "epochs after which the rate is multiplied by gamma, as 150,180,210; unless given, 62.5, 75 "
     "and 87.5 % of the epochs",
     "LIST", NULL, .role = SFTN_ROLE_RESOLVED},
    {"gamma", SFTN_OPT_FLOAT, FIELD(gamma), 0.1, 0, 1, "factor at each milestone", NULL, NULL},
    {"warmup", SFTN_OPT_FLOAT, FIELD(warmup), 0, 0, 1000, "epochs of linear warm-up", NULL, NULL},
    {"final-lr", SFTN_OPT_FLOAT, FIELD(final_lr), 0, 0, 100, "where the cosine schedule ends", NULL,
     NULL},
    {"momentum", SFTN_OPT_FLOAT, FIELD(momentum), 0.9, 0, 1, "of SGD", NULL, NULL},
    {"nesterov", SFTN_OPT_BOOL, FIELD(nesterov), 0, 0, 1, "Nesterov's form of momentum", NULL,
     NULL},
    {"weight-decay", SFTN_OPT_FLOAT, FIELD(weight_decay), 5e-4, 0, 1,
     "added to the gradient of every trained parameter", NULL, NULL},
    {"dot", SFTN_OPT_FLOAT, FIELD(dot), 0, 0, 0.5,
     "DOT: the momentum is less by this for the labels' gradient and more for that of what is "
     "distilled (the paper: 0.075); 0 is one momentum for both", NULL, NULL},
    {"clip", SFTN_OPT_FLOAT, FIELD(clip), 0, 0, 1e6,
     "largest norm of the gradient, above which it is scaled down; 0 is none", NULL, NULL},
    {"ema", SFTN_OPT_FLOAT, FIELD(ema), 0, 0, 0.999999,
     "decay of averaged weights, measured beside the others; 0 is none", NULL, NULL},
    {"smoothing", SFTN_OPT_FLOAT, FIELD(smoothing), 0, 0, 0.999, "label smoothing", NULL, NULL},
    {"augment", SFTN_OPT_BOOL, FIELD(augment), 1, 0, 1, "vary training images: crop and mirror",
     NULL, NULL, .role = SFTN_ROLE_SHARED},
    {"pad", SFTN_OPT_INT, FIELD(pad), 4, 0, 64, "pixels around an image before the random crop",
     NULL, NULL, .role = SFTN_ROLE_SHARED},
    {"flip", SFTN_OPT_CHOICE, FIELD(flip), FLIP_AUTO, 0, 2,
     "mirror half of the images; auto mirrors colour images only", "auto|yes|no", NULL,
     .role = SFTN_ROLE_SHARED},
    {"seed", SFTN_OPT_INT64, FIELD(seed), 1, 0, INFINITY,
     "of initial weights, and of the batches; the same seed gives the same bits", NULL, NULL},
    {"batch-seed", SFTN_OPT_INT64, FIELD(batch_seed), -1, -1, INFINITY,
     "of the batches alone: order of the images and their augmentation; -1 is the seed, of the "
     "first student where several are trained at once",
     NULL, NULL, .role = SFTN_ROLE_RESOLVED | SFTN_ROLE_SHARED},
    {"loader-threads", SFTN_OPT_INT, FIELD(loader_threads), 1, 1, 256,
     "threads that prepare batches", NULL, NULL, .role = SFTN_ROLE_NO_BITS | SFTN_ROLE_SHARED},
    {"test", SFTN_OPT_CHOICE, FIELD(test), CLI_TEST_EACH, 0, 1,
     "measure on the test images after each epoch, or once, after the last", "each|end", NULL,
     .role = SFTN_ROLE_NO_BITS | SFTN_ROLE_SHARED},
    {"out", SFTN_OPT_STRING, FIELD(out), 0, 0, 0,
     "run directory; unless given, a name under runs/ made from the command", "DIR", NULL,
     .role = SFTN_ROLE_NO_BITS},
    {"resume", SFTN_OPT_BOOL, FIELD(resume), 0, 0, 1,
     "go on from the run directory's checkpoint, exactly: with its number of threads too, unless "
     "--threads is given",
     NULL, NULL, .role = SFTN_ROLE_NO_BITS},
    {"overwrite", SFTN_OPT_BOOL, FIELD(overwrite), 0, 0, 1,
     "begin anew in a directory that holds a run", NULL, NULL, .role = SFTN_ROLE_NO_BITS},
    {"save-minutes", SFTN_OPT_FLOAT, FIELD(save_minutes), 10, 0, 1e6,
     "also save in mid-epoch this often; 0 is at the end of epochs only", NULL, NULL,
     .role = SFTN_ROLE_NO_BITS | SFTN_ROLE_SHARED},
    SFTN_OPTION_END,
};

sftn_status cli_read_milestones(const char *text, sftn_schedule *s, sftn_error *err)
{
    for (const char *p = text; *p;) {
        char *end;
        const double epoch = strtod(p, &end);

        if (end == p || epoch < 0.0 || (*end && *end != ','))
            return sftn_fail(err, SFTN_ERR_ARGUMENT,
                             "option --milestones is '%s'; expected epochs like 150,180,210", text);
        if (s->nmilestones == CLI_COUNT(s->milestone))
            return sftn_fail(err, SFTN_ERR_ARGUMENT, "option --milestones has more than %d epochs",
                             CLI_COUNT(s->milestone));
        s->milestone[s->nmilestones++] = epoch;
        p = *end ? end + 1 : end;
    }
    return SFTN_OK;
}

sftn_status cli_train_options(const cli_run *run, sftn_train_options *t, sftn_error *err)
{
    const cli_run_options *o = run->options;
    const bool colour = !run->data || sftn_dataset_get_info(run->data)->channels == 3;
    const bool flip = o->flip == FLIP_YES || (o->flip == FLIP_AUTO && colour);

    *t = (sftn_train_options){
        .plan = *run->plan,
        .schedule = {.kind = (sftn_schedule_kind)o->schedule,
                     .lr = cli_decimal(o->lr),
                     .epochs = run->epochs,
                     .gamma = cli_decimal(o->gamma),
                     .warmup = cli_decimal(o->warmup),
                     .final_lr = cli_decimal(o->final_lr)},
        .batch = o->batch,
        .momentum = cli_decimal(o->momentum),
        .weight_decay = cli_decimal(o->weight_decay),
        .dot = cli_decimal(o->dot),
        .nesterov = o->nesterov,
        .clip = cli_decimal(o->clip),
        .ema = cli_decimal(o->ema),
        .augment = {.pad = o->augment ? o->pad : 0, .flip = o->augment && flip},
        .seed = (uint64_t)(o->batch_seed < 0 ? o->seed : o->batch_seed),
        .loader_threads = o->loader_threads,
        .dir = run->dir,
        .resume = run->resume,
        .test_at_end = o->test == CLI_TEST_END,
        .save_minutes = cli_decimal(o->save_minutes),
    };
    if (run->milestones)
        return cli_read_milestones(run->milestones, &t->schedule, err);
    for (int i = 0; i < 3; i++)
        t->schedule.milestone[i] = run->epochs * (5.0 + i) / 8.0;
    t->schedule.nmilestones = 3;
    return SFTN_OK;
}
