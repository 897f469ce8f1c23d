/*
 * nearest.c: the known name a mistyped one was probably meant to be.
 *
 * Distance: optimal string alignment, the least number of insertions, deletions, substitutions and
 * swaps of neighbours (Damerau 1964).  A name is suggested when a third of its letters or fewer are
 * wrong, or when at least three letters of its beginning were given.
 */
#include "sftn/base.h"

#include <string.h>

#define LONGEST 63 /* names longer than this are never suggested */

static int min3(int a, int b, int c)
{
    const int ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Both at most LONGEST long. */
static int edit_distance(const char *a, const char *b)
{
    const size_t na = strlen(a), nb = strlen(b);
    int rows[3][LONGEST + 1]; /* of the last three letters of a, by i modulo 3 */

    for (size_t j = 0; j <= nb; j++)
        rows[0][j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        int *row = rows[i % 3];
        const int *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];

        row[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                second[j - 2] + 1 < row[j])
                row[j] = second[j - 2] + 1;
        }
    }
    return rows[na % 3][nb];
}

const char *sftn_nearest_name(const char *name, const char *const *names)
{
    const size_t length = strlen(name);
    const char *best = NULL;
    int best_distance = LONGEST + 1;

    if (length > LONGEST)
        return NULL;
    for (; *names; names++) {
        const size_t n = strlen(*names);
        const size_t longer = n > length ? n : length;
        const bool begun = length >= 3 && strncmp(name, *names, length) == 0;
        int distance;

        if (n > LONGEST)
            continue;
        distance = edit_distance(name, *names);
        if (!begun &&
            (distance > (int)(longer < 6 ? 2 : longer / 3) || 2 * distance >= (int)longer + 1))
            continue;
        if (distance < best_distance) {
            best = *names;
            best_distance = distance;
        }
    }
    return best;
}

int sftn_find_name(const char *what, const char *name, const char *const *names,
                   const char *otherwise, sftn_error *err)
{
    const char *nearest;

    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    nearest = sftn_nearest_name(name, names);
    if (nearest)
        sftn_fail(err, SFTN_ERR_ARGUMENT, "no %s called \"%s\"; did you mean \"%s\"?", what, name,
                  nearest);
    else
        sftn_fail(err, SFTN_ERR_ARGUMENT, "no %s called \"%s\"%s%s", what, name,
                  otherwise ? "; " : "", otherwise ? otherwise : "");
    return -1;
}
