/* compare: a teacher beside a student, or beside the branches that it was trained with. */
#include "cli/cli.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

typedef struct compare_options {
    int split; /* sftn_split */
    bool branches, training, json;
    int bins, cells;
} compare_options;

#define FIELD(name) offsetof(compare_options, name)

static const sftn_option table[] = {
    {"branches", SFTN_OPT_BOOL, FIELD(branches), 0, 0, 1,
     "compare with the teacher's own branches (branches.safetensors beside its file): how easy it "
     "is to imitate, before anything is distilled",
     NULL, NULL},
    {"split", SFTN_OPT_CHOICE, FIELD(split), SFTN_TEST, 0, 2,
     "which images; validation needs the --validation and --data-seed of the training",
     "train|validation|test", NULL},
    {"training", SFTN_OPT_BOOL, FIELD(training), 1, 0, 1,
     "also measure accuracy on the training images, as they are (--limit as in the training)",
     NULL, NULL},
    {"bins", SFTN_OPT_INT, FIELD(bins), 15, 1, 10000, "of the calibration error", NULL, NULL},
    {"cells", SFTN_OPT_INT, FIELD(cells), 2, 0, 64,
     "CKA of a stage's channels, each averaged to at most N x N cells; 1 is channel means, the "
     "map's size the flattened map (memory grows with N^4), 0 leaves stages out",
     NULL, NULL},
    {"json", SFTN_OPT_BOOL, FIELD(json), 0, 0, 1, "print one JSON object", NULL, NULL},
    SFTN_OPTION_END,
};

static const cli_usage usage = {
    .arguments = "TEACHER STUDENT|--branches [options]",
    .text = "Says how alike two trained networks (files or run directories) answer, and how good\n"
            "their answers are.  KL is the mean over images of the divergence of probabilities\n"
            "at temperature 1, in nats; agreement, the share of equal top-1 answers; CKA, linear\n"
            "centred kernel alignment over the whole split, of stages paired from the deep end,\n"
            "of pooled features and of logits; calibration error (ECE), the mean distance\n"
            "between confidence, the probability of the top-1 answer, and accuracy, in bins of\n"
            "equal width; entropy, that of the probabilities, in nats.",
    .min_files = 1,
    .max_files = 2,
};

/* A teacher and those that are compared with it. */
typedef struct result {
    const char *teacher_name;
    sftn_answers teacher;
    sftn_comparison list[SFTN_MAX_STAGES];
    int n;
    double teacher_train, train[SFTN_MAX_STAGES]; /* top-1, percent; NaN: not measured */
} result;

/* ---- text ---- */

enum { LABEL_WIDTH = 26, VALUE_WIDTH = 12 };

static void print_value(double x, int decimals, const char *unit)
{
    char text[32] = "-";

    if (!isnan(x))
        snprintf(text, sizeof text, "%.*f%s", decimals, x, unit);
    printf("  %*s", VALUE_WIDTH, text);
}

static double answer_value(const sftn_answers *a, int row)
{
    const double value[] = {a->top1, a->loss, a->confidence, a->calibration_error, a->entropy};

    return value[row];
}

static double similarity_value(const sftn_similarity *s, int row)
{
    const double value[] = {s->agreement, s->kl_teacher_student, s->kl_student_teacher,
                            s->cka_logits, s->cka_pooled};

    return value[row];
}

typedef struct row {
    const char *label, *unit;
    int decimals;
} row;

static void print_answers(const result *r, const char *split)
{
    static const row rows[] = {{"top-1", " %", 2},
                               {"cross-entropy", "", 4},
                               {"mean confidence", " %", 2},
                               {"calibration error", " %", 2},
                               {"entropy", "", 4}};

    if (!isnan(r->teacher_train)) {
        printf("%-*s", LABEL_WIDTH, "training top-1");
        print_value(r->teacher_train, 2, " %");
        for (int k = 0; k < r->n; k++)
            print_value(r->train[k], 2, " %");
        putchar('\n');
    }
    for (int i = 0; i < CLI_COUNT(rows); i++) {
        char label[48];

        snprintf(label, sizeof label, i ? "%.0s%s" : "%s %s", split, rows[i].label);
        printf("%-*s", LABEL_WIDTH, label);
        print_value(answer_value(&r->teacher, i), rows[i].decimals, rows[i].unit);
        for (int k = 0; k < r->n; k++)
            print_value(answer_value(&r->list[k].answers, i), rows[i].decimals, rows[i].unit);
        putchar('\n');
    }
}

/* CKA of a pair of stages in comparison c; NaN where it has no such pair. */
static double find_tap(const sftn_comparison *c, const sftn_tap_similarity *tap)
{
    for (int i = 0; i < c->ntaps; i++)
        if (strcmp(c->tap[i].teacher, tap->teacher) == 0 &&
            strcmp(c->tap[i].student, tap->student) == 0)
            return c->tap[i].cka;
    return NAN;
}

static void print_taps(const result *r)
{
    for (int k = 0; k < r->n; k++) {
        for (int i = 0; i < r->list[k].ntaps; i++) {
            const sftn_tap_similarity *tap = &r->list[k].tap[i];
            const bool same = strcmp(tap->teacher, tap->student) == 0;
            char label[80];
            bool before = false;

            for (int other = 0; other < k; other++)
                before = before || !isnan(find_tap(&r->list[other], tap));
            if (before)
                continue;
            snprintf(label, sizeof label, "CKA of %s%s%s", tap->teacher, same ? "" : " and ",
                     same ? "" : tap->student);
            printf("%-*s  %*s", LABEL_WIDTH, label, VALUE_WIDTH, "");
            for (int other = 0; other < r->n; other++)
                print_value(find_tap(&r->list[other], tap), 4, "");
            putchar('\n');
        }
    }
}

static void print_text(const result *r, const char *split)
{
    static const row rows[] = {{"agreement", " %", 2},
                               {"KL(teacher || student)", "", 4},
                               {"KL(student || teacher)", "", 4},
                               {"CKA of logits", "", 4},
                               {"CKA of pooled features", "", 4}};
    char images[32];

    cli_format_count(r->teacher.n, images, sizeof images);
    printf("%-*s  %*s\n", LABEL_WIDTH, "images", VALUE_WIDTH, images);
    printf("%-*s  %*s", LABEL_WIDTH, "", VALUE_WIDTH, "teacher");
    for (int k = 0; k < r->n; k++)
        printf("  %*s", VALUE_WIDTH, strncmp(r->list[k].name, "branch", 6) ? "student"
                                                                        : r->list[k].name);
    printf("\n%-*s  %*s", LABEL_WIDTH, "", VALUE_WIDTH, r->teacher_name);
    for (int k = 0; k < r->n; k++)
        printf("  %*s", VALUE_WIDTH, strncmp(r->list[k].name, "branch", 6) ? r->list[k].name : "");
    putchar('\n');
    print_answers(r, split);
    for (int i = 0; i < CLI_COUNT(rows); i++) {
        printf("%-*s  %*s", LABEL_WIDTH, rows[i].label, VALUE_WIDTH, "");
        for (int k = 0; k < r->n; k++)
            print_value(similarity_value(&r->list[k].similarity, i), rows[i].decimals,
                        rows[i].unit);
        putchar('\n');
    }
    print_taps(r);
}

/* ---- JSON ---- */

static json_object *answers_object(const char *name, const sftn_answers *a, double train)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, "name", json_object_new_string(name));
    if (!isnan(train))
        cli_add_number(o, "train_top1", train);
    cli_add_number(o, "top1", a->top1);
    cli_add_number(o, "loss", a->loss);
    cli_add_number(o, "confidence", a->confidence);
    cli_add_number(o, "calibration_error", a->calibration_error);
    cli_add_number(o, "entropy", a->entropy);
    return o;
}

static json_object *comparison_object(const sftn_comparison *c, double train)
{
    json_object *o = answers_object(c->name, &c->answers, train);
    json_object *taps = json_object_new_array();

    cli_add_number(o, "agreement", c->similarity.agreement);
    cli_add_number(o, "kl_teacher_student", c->similarity.kl_teacher_student);
    cli_add_number(o, "kl_student_teacher", c->similarity.kl_student_teacher);
    cli_add_number(o, "cka_logits", c->similarity.cka_logits);
    cli_add_number(o, "cka_pooled", c->similarity.cka_pooled);
    for (int i = 0; i < c->ntaps; i++) {
        json_object *tap = json_object_new_object();

        json_object_object_add(tap, "teacher", json_object_new_string(c->tap[i].teacher));
        json_object_object_add(tap, "student", json_object_new_string(c->tap[i].student));
        cli_add_number(tap, "cka", c->tap[i].cka);
        json_object_array_add(taps, tap);
    }
    json_object_object_add(o, "taps", taps);
    return o;
}

static void print_json(const result *r, const char *split)
{
    json_object *o = json_object_new_object(), *list = json_object_new_array();

    json_object_object_add(o, "split", json_object_new_string(split));
    json_object_object_add(o, "images", json_object_new_int64(r->teacher.n));
    json_object_object_add(o, "teacher",
                           answers_object(r->teacher_name, &r->teacher, r->teacher_train));
    for (int k = 0; k < r->n; k++)
        json_object_array_add(list, comparison_object(&r->list[k], r->train[k]));
    json_object_object_add(o, "students", list);
    printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
}

/* ---- measuring ---- */

/* What is compared: a teacher with its branches, or two networks. */
typedef struct subjects {
    sftn_branched branched;
    sftn_network teacher, student;
} subjects;

static sftn_status load(const cli_args *args, const compare_options *opt, subjects *s,
                        sftn_error *err)
{
    sftn_status status;

    if (opt->branches)
        return sftn_branched_load(args->file[0], &s->branched, err);
    status = sftn_network_load(args->file[0], &s->teacher, err);
    if (status == SFTN_OK)
        status = sftn_network_load(args->file[1], &s->student, err);
    return status;
}

static sftn_status compare(const subjects *s, bool branches, const sftn_dataset *data,
                           const sftn_compare_options *o, result *r, sftn_error *err)
{
    r->n = 1;
    if (branches)
        return sftn_compare_branches(&s->branched, data, o, &r->teacher, r->list, &r->n, err);
    return sftn_compare_networks(&s->teacher, &s->student, data, o, &r->teacher, r->list, err);
}

static sftn_status measure(const subjects *s, const compare_options *opt, const sftn_dataset *data,
                           const sftn_plan_options *plan, result *r, sftn_error *err)
{
    sftn_compare_options o = {.split = SFTN_TRAIN, .plan = *plan, .bins = opt->bins};
    sftn_status status = SFTN_OK;

    r->teacher_train = NAN;
    for (int k = 0; k < SFTN_MAX_STAGES; k++)
        r->train[k] = NAN;
    if (opt->training && opt->split != SFTN_TRAIN) {
        status = compare(s, opt->branches, data, &o, r, err);
        r->teacher_train = r->teacher.top1;
        for (int k = 0; k < r->n; k++)
            r->train[k] = r->list[k].answers.top1;
    }
    o.split = (sftn_split)opt->split;
    o.cells = opt->cells;
    if (status == SFTN_OK)
        status = compare(s, opt->branches, data, &o, r, err);
    return status;
}

/* Accuracy on training images means little where they are others than it was trained on. */
static void warn_of_images(const sftn_network *net, const char *file, const sftn_dataset *data)
{
    char hash[32];

    sftn_dataset_training_hash(data, hash);
    if (net->trained_on[0] && strcmp(net->trained_on, hash) != 0)
        fprintf(stderr, "sftn: warning: %s was trained on other images than the training images "
                "here; --data, --limit, --validation and --data-seed choose them\n", file);
}

static int run(const cli_args *args, const compare_options *opt, cli_data_options *data_options,
               const cli_machine_options *machine)
{
    static const char *const splits[] = {
        [SFTN_TRAIN] = "train", [SFTN_VALIDATION] = "validation", [SFTN_TEST] = "test"};
    const char *split = splits[opt->split];
    subjects s = {0};
    sftn_plan_options plan;
    sftn_dataset *data = NULL;
    sftn_error err = {0};
    result r = {0};
    int code = CLI_DONE;

    if (args->nfiles != (opt->branches ? 1 : 2))
        return cli_misuse("compare takes a teacher and a student, or a teacher and --branches");
    if (cli_plan_options(machine, &plan, &err) != SFTN_OK)
        return cli_misuse("%s", err.text);
    if (load(args, opt, &s, &err) != SFTN_OK) {
        code = cli_fail(&err);
    } else {
        const sftn_network *teacher = opt->branches ? &s.branched.teacher : &s.teacher;

        if (!cli_given(args, "data"))
            data_options->data = teacher->data;
        r.teacher_name = teacher->model.name;
        if (cli_open_data(data_options, &data, &code) &&
            (opt->training || opt->split == SFTN_TRAIN)) {
            warn_of_images(teacher, args->file[0], data);
            if (!opt->branches)
                warn_of_images(&s.student, args->file[1], data);
        }
        if (data && measure(&s, opt, data, &plan, &r, &err) != SFTN_OK)
            code = cli_fail(&err);
        else if (code == CLI_DONE && opt->json)
            print_json(&r, split);
        else if (code == CLI_DONE)
            print_text(&r, split);
    }
    sftn_dataset_close(data);
    sftn_branched_free(&s.branched);
    sftn_network_free(&s.teacher);
    sftn_network_free(&s.student);
    return code;
}

int cmd_compare(int argc, char **argv)
{
    cli_args args = {.usage = &usage, .argc = argc, .argv = argv};
    compare_options opt;
    cli_data_options data;
    cli_machine_options machine;
    int code;

    cli_accept(&args, "comparison", "", table, &opt);
    cli_accept(&args, "data", "", cli_data_table, &data);
    cli_accept(&args, "machine", "", cli_machine_table, &machine);
    if (cli_parse(&args, &code))
        code = run(&args, &opt, &data, &machine);
    cli_args_free(&args);
    return code;
}
