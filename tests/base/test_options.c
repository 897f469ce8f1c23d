/* options: defaults, parsing, ranges, choices, printing, and suggestions for mistyped names. */
#include "base/base.h"
#include "test.h"

#include <math.h>
#include <string.h>

typedef struct options {
    float rate;
    int epochs;
    int64_t seed;
    bool nesterov;
    int schedule;
    const char *out;
    float temperature;
} options;

static const sftn_option table[] = {
    {"learning-rate", SFTN_OPT_FLOAT, offsetof(options, rate), 0.1, 0.0, 10.0, "step size", NULL,
     NULL},
    {"epochs", SFTN_OPT_INT, offsetof(options, epochs), 240, 1, 100000, "epochs", NULL, NULL},
    {"seed", SFTN_OPT_INT64, offsetof(options, seed), 1, 0, 0, "seed", NULL, NULL},
    {"nesterov", SFTN_OPT_BOOL, offsetof(options, nesterov), 1, 0, 1, "Nesterov", NULL, NULL},
    {"schedule", SFTN_OPT_CHOICE, offsetof(options, schedule), 1, 0, 0, "decay",
     "step|cosine|constant", NULL},
    {"out", SFTN_OPT_STRING, offsetof(options, out), 0, 0, 0, "directory", NULL, "runs"},
    {"temperature", SFTN_OPT_FLOAT, offsetof(options, temperature), 4, 1, INFINITY,
     "of the softmax", NULL, NULL},
    SFTN_OPTION_END,
};

static options defaults(void)
{
    options o;

    memset(&o, 0xff, sizeof(o));
    sftn_options_default(table, &o);
    return o;
}

static void check_set(options *o, const char *name, const char *value)
{
    sftn_error err = {0};

    CHECK_OK(sftn_options_set(table, o, name, value, &err), &err);
}

static void check_refused(const char *name, const char *value, const char *text)
{
    const options before = defaults();
    options after = before;
    sftn_error err = {0};

    CHECK_STATUS(sftn_options_set(table, &after, name, value, &err), SFTN_ERR_ARGUMENT);
    CHECK_TEXT(err.text, text);
    CHECK_BYTES(&after, &before, sizeof(after));
}

TEST(defaults_fill_every_field)
{
    const options o = defaults();

    CHECK_NEAR(o.rate, 0.1f, 0);
    CHECK_INT(o.epochs, 240);
    CHECK_INT(o.seed, 1);
    CHECK_INT(o.nesterov, true);
    CHECK_INT(o.schedule, 1);
    CHECK_TEXT(o.out, "runs");
}

TEST(values_of_every_kind_are_set)
{
    options o = defaults();

    check_set(&o, "learning-rate", "5e-2");
    check_set(&o, "epochs", "20");
    check_set(&o, "seed", "-9007199254740993");
    check_set(&o, "schedule", "constant");
    check_set(&o, "out", "here");
    CHECK_NEAR(o.rate, 0.05f, 0);
    CHECK_INT(o.epochs, 20);
    CHECK_INT(o.seed, INT64_C(-9007199254740993));
    CHECK_INT(o.schedule, 2);
    CHECK_TEXT(o.out, "here");
}

TEST(a_bool_is_set_cleared_and_given_a_value)
{
    options o = defaults();

    check_set(&o, "no-nesterov", NULL);
    CHECK_INT(o.nesterov, false);
    check_set(&o, "nesterov", NULL);
    CHECK_INT(o.nesterov, true);
    check_set(&o, "nesterov", "false");
    CHECK_INT(o.nesterov, false);
    check_set(&o, "nesterov", "on");
    CHECK_INT(o.nesterov, true);
    check_refused("nesterov", "maybe", "option nesterov: 'maybe', expected true or false");
    check_refused("no-nesterov", "true", "option no-nesterov takes no value, found 'true'");
}

TEST(the_ends_of_a_range_belong_to_it)
{
    options o = defaults();

    check_set(&o, "learning-rate", "0");
    check_set(&o, "learning-rate", "10");
    check_set(&o, "epochs", "100000");
    check_refused("learning-rate", "10.1",
                  "option learning-rate: '10.1', expected a number from 0 to 10");
    check_refused("learning-rate", "-1e-9",
                  "option learning-rate: '-1e-9', expected a number from 0 to 10");
    check_refused("epochs", "0", "option epochs: '0', expected a whole number from 1 to 100000");
    check_refused("temperature", "0.5",
                  "option temperature: '0.5', expected a number of at least 1");
}

TEST(text_that_is_no_number_is_refused)
{
    static const char *const wrong[] = {"", "x", "1x", "nan", "inf", "1e99", "0.1 "};

    for (size_t i = 0; i < SFTN_COUNT(wrong); i++) {
        options o = defaults();
        sftn_error err = {0};

        CHECK_STATUS(sftn_options_set(table, &o, "learning-rate", wrong[i], &err),
                     SFTN_ERR_ARGUMENT);
        CHECK_STATUS(sftn_options_set(table, &o, "temperature", wrong[i], &err), SFTN_ERR_ARGUMENT);
    }
    check_refused("epochs", "1.5",
                  "option epochs: '1.5', expected a whole number from 1 to 100000");
    check_refused("seed", "99999999999999999999",
                  "option seed: '99999999999999999999', expected a whole number");
    check_refused("epochs", NULL, "option epochs needs a value");
}

TEST(choices_match_whole_words)
{
    check_refused("schedule", "cos",
                  "option schedule: 'cos', expected one of step, cosine, constant");
    check_refused("schedule", "", "option schedule: '', expected one of step, cosine, constant");
    check_refused("schedule", "step|cosine",
                  "option schedule: 'step|cosine', expected one of step, cosine, constant");
}

TEST(unknown_names_get_a_suggestion_when_one_is_near)
{
    check_refused("epoch", "3", "unknown option 'epoch' (did you mean 'epochs'?)");
    check_refused("temprature", "3", "unknown option 'temprature' (did you mean 'temperature'?)");
    check_refused("temp", "3", "unknown option 'temp' (did you mean 'temperature'?)");
    check_refused("no-epochs", NULL, "unknown option 'no-epochs' (did you mean 'epochs'?)");
    check_refused("zzz", "3", "unknown option 'zzz'");
}

TEST(nearest_name_allows_swaps_and_rejects_the_unrelated)
{
    static const char *const names[] = {"cifar10", "cifar100", "shapes", "kd", "at", NULL};

    CHECK_TEXT(sftn_nearest_name("cifra10", names), "cifar10");
    CHECK_TEXT(sftn_nearest_name("cifar1000", names), "cifar100");
    CHECK_TEXT(sftn_nearest_name("shape", names), "shapes");
    CHECK_TEXT(sftn_nearest_name("dk", names), "kd");
    CHECK(!sftn_nearest_name("mnist", names));
    CHECK(!sftn_nearest_name("", names));
    CHECK(!sftn_nearest_name("xy", names));
}

TEST(a_printed_value_reads_back_as_the_same)
{
    static const char *const rates[] = {"0.1",        "0.05", "1e-06",
                                        "0.33333334", "3",    "1.1754944e-38"};
    options o = defaults();
    char text[64];

    for (size_t i = 0; i < SFTN_COUNT(rates); i++) {
        check_set(&o, "learning-rate", rates[i]);
        sftn_options_format(sftn_options_find(table, "learning-rate"), &o, text, sizeof(text));
        CHECK_TEXT(text, rates[i]);
    }
    sftn_options_format(sftn_options_find(table, "schedule"), &o, text, sizeof(text));
    CHECK_TEXT(text, "cosine");
    sftn_options_format(sftn_options_find(table, "nesterov"), &o, text, sizeof(text));
    CHECK_TEXT(text, "true");
    sftn_options_format(sftn_options_find(table, "out"), &o, text, sizeof(text));
    CHECK_TEXT(text, "runs");
    sftn_options_format(sftn_options_find(table, "epochs"), &o, text, 3);
    CHECK_TEXT(text, "24");
}
