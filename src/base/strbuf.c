/* strbuf.c: text that grows as it is written. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bool reserve(sftn_strbuf *b, size_t need)
{
    size_t capacity = b->capacity < 64 ? 64 : b->capacity;
    char *text;

    if (need <= b->capacity)
        return true;
    while (capacity < need)
        capacity += capacity / 2;
    text = realloc(b->text, capacity);
    if (!text)
        return false;
    b->text = text;
    b->capacity = capacity;
    return true;
}

void sftn_strbuf_add(sftn_strbuf *b, const char *format, ...)
{
    va_list args;
    int length;

    if (b->failed)
        return;
    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0 || !reserve(b, b->length + (size_t)length + 1)) {
        b->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(b->text + b->length, (size_t)length + 1, format, args);
    va_end(args);
    b->length += (size_t)length;
}

void sftn_strbuf_free(sftn_strbuf *b)
{
    free(b->text);
    *b = (sftn_strbuf){0};
}
