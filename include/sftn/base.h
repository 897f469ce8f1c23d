/*
 * base.h: what every other header needs: status codes, error texts, option tables.
 *
 * Every function that can fail returns sftn_status and takes an sftn_error last.  The error may be
 * NULL.  On failure its text is one sentence that names what was found and what was expected; no
 * library function prints or exits.
 */
#ifndef SFTN_BASE_H
#define SFTN_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SFTN_API __attribute__((visibility("default")))
#define SFTN_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define SFTN_API
#define SFTN_PRINTF(fmt, first)
#endif

#define SFTN_VERSION "0.1.0"

typedef enum sftn_status {
    SFTN_OK = 0,
    SFTN_ERR_MEMORY,      /* an allocation failed */
    SFTN_ERR_ARGUMENT,    /* a value out of range, an unknown name, shapes that do not fit */
    SFTN_ERR_FILE,        /* a file could not be opened, read or written; full disk */
    SFTN_ERR_FORMAT,      /* a file was read and is damaged or not what it should be */
    SFTN_ERR_NUMERIC,     /* NaN or infinity, a loss term that is zero or without gradient */
    SFTN_ERR_UNSUPPORTED, /* valid, but not available on this backend or build */
    SFTN_ERR_INTERRUPTED, /* stopped on request; the state was saved */
    SFTN_ERR_NETWORK,     /* a download failed */
    SFTN_ERR_BACKEND,     /* a kernel of a plan failed while it ran */
} sftn_status;

/* One sentence of text, always terminated; truncated to fit. */
typedef struct sftn_error {
    sftn_status status;
    char text[512];
} sftn_error;

/* Write status and text into err (which may be NULL) and return status. */
SFTN_API sftn_status sftn_fail(sftn_error *err, sftn_status status, const char *format, ...)
    SFTN_PRINTF(3, 4);

/*
 * Put `prefix: ` before a text already in err and return err's status (ARGUMENT where err is NULL:
 * keep the status yourself where it matters).
 */
SFTN_API sftn_status sftn_fail_in(sftn_error *err, const char *format, ...) SFTN_PRINTF(2, 3);

/* Short English name of a status ("file error"); never NULL. */
SFTN_API const char *sftn_status_name(sftn_status status);

/* Version string of the library, equal to SFTN_VERSION of the header it was built with. */
SFTN_API const char *sftn_version(void);

/*
 * Option tables.  One table gives parsing, defaults, ranges, help, JSON, and the record in the
 * report.  A table ends with SFTN_OPTION_END.  Positional initializers name, kind, offset,
 * default, minimum, maximum, help suffice for numbers (minimum == maximum: no limit); `choices`
 * ("a|b|c"), `text` (a string's default) and `role` come after.
 */
typedef enum sftn_option_kind {
    SFTN_OPT_END = 0,
    SFTN_OPT_FLOAT,  /* float */
    SFTN_OPT_INT,    /* int */
    SFTN_OPT_INT64,  /* int64_t */
    SFTN_OPT_BOOL,   /* bool; `--name` sets it, `--no-name` clears it, `--name=true|false` too */
    SFTN_OPT_CHOICE, /* int: index into choices */
    SFTN_OPT_STRING, /* const char *: borrowed from the table or from the argument given */
} sftn_option_kind;

/*
 * What an option decides, or-ed together.  0, of most: bits of the result, by its value as it
 * stands; an option of which nothing is said is never taken for one without consequence.
 */
enum {
    SFTN_ROLE_NO_BITS  = 1, /* none of the bits: where files lie, when they are written, what is
                               refused or measured besides */
    SFTN_ROLE_RESOLVED = 2, /* the bits, by what it stands for: a file by its contents, a default
                               that depends on other options by what it comes to */
    SFTN_ROLE_SHARED   = 4, /* those that are trained together agree in it: it decides what they
                               see, or what one of them does for all */
};

typedef struct sftn_option {
    const char *name; /* lower case, words joined by '-' */
    sftn_option_kind kind;
    size_t offset; /* of the field in the options struct */
    double def, min, max;
    const char *help;    /* one line, no full stop */
    const char *choices; /* SFTN_OPT_CHOICE: "a|b|c"; SFTN_OPT_STRING: how help calls a value */
    const char *text;    /* SFTN_OPT_STRING only: default, may be NULL */
    int role;            /* SFTN_ROLE_..., or-ed */
} sftn_option;

#define SFTN_OPTION_END {NULL, SFTN_OPT_END, 0, 0.0, 0.0, 0.0, NULL, NULL, NULL, 0}

/* Fill *options with the defaults of table. */
SFTN_API void sftn_options_default(const sftn_option *table, void *options);

/*
 * Set one option from text.  value may be NULL for a bool.  String values are kept as pointers:
 * value must outlive options.  ARGUMENT errors name the option, the value, the range or choices,
 * and for an unknown name the nearest known one ("did you mean").
 */
SFTN_API sftn_status sftn_options_set(const sftn_option *table, void *options, const char *name,
                                      const char *value, sftn_error *err);

/* The table's entry of that name, or NULL. */
SFTN_API const sftn_option *sftn_options_find(const sftn_option *table, const char *name);

/* The current value of opt as text, written to buf (terminated, truncated to size). */
SFTN_API void sftn_options_format(const sftn_option *opt, const void *options, char *buf,
                                  size_t size);

/* The decimal that a float option was given as, in double precision: 0.1 for 0.1f. */
SFTN_API double sftn_decimal(float x);

/*
 * The entry of names (NULL-terminated) nearest to name by edit distance, or NULL where none is
 * near enough to be worth suggesting.
 */
SFTN_API const char *sftn_nearest_name(const char *name, const char *const *names);

/*
 * Where name stands in names (NULL-terminated).  ARGUMENT, and -1: no WHAT is called so; suggests
 * the nearest, or else says `otherwise` (NULL: nothing).
 */
SFTN_API int sftn_find_name(const char *what, const char *name, const char *const *names,
                            const char *otherwise, sftn_error *err);

#ifdef __cplusplus
}
#endif
#endif
