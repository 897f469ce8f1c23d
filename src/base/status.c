/* status.c: status codes and error texts. */
#include "sftn/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Formatted aside first, because an argument may be err->text itself. */
static void set_text(sftn_error *err, const char *format, va_list args, const char *suffix)
{
    char text[sizeof(err->text)];
    const int length = vsnprintf(text, sizeof(text), format, args);

    if (length < 0)
        text[0] = '\0';
    if (suffix && length >= 0 && (size_t)length < sizeof(text))
        snprintf(text + length, sizeof(text) - (size_t)length, ": %s", suffix);
    memcpy(err->text, text, sizeof(text));
}

sftn_status sftn_fail(sftn_error *err, sftn_status status, const char *format, ...)
{
    if (err) {
        va_list args;

        va_start(args, format);
        set_text(err, format, args, NULL);
        va_end(args);
        err->status = status;
    }
    return status;
}

sftn_status sftn_fail_in(sftn_error *err, const char *format, ...)
{
    if (!err)
        return SFTN_ERR_ARGUMENT;

    va_list args;

    va_start(args, format);
    set_text(err, format, args, err->text);
    va_end(args);
    return err->status;
}

const char *sftn_status_name(sftn_status status)
{
    switch (status) {
    case SFTN_OK: return "ok";
    case SFTN_ERR_MEMORY: return "out of memory";
    case SFTN_ERR_ARGUMENT: return "argument error";
    case SFTN_ERR_FILE: return "file error";
    case SFTN_ERR_FORMAT: return "format error";
    case SFTN_ERR_NUMERIC: return "numeric error";
    case SFTN_ERR_UNSUPPORTED: return "unsupported";
    case SFTN_ERR_INTERRUPTED: return "interrupted";
    case SFTN_ERR_NETWORK: return "network error";
    case SFTN_ERR_BACKEND: return "backend error";
    }
    return "unknown status";
}

const char *sftn_version(void)
{
    return SFTN_VERSION;
}
