/* json.c: numbers in JSON as people write them: 0.9, not 0.90000000000000002. */
#include "cli/cli.h"

#include <json-c/json.h>

void cli_add_number(struct json_object *o, const char *key, double x)
{
    char text[32];

    snprintf(text, sizeof text, "%.9g", x);
    json_object_object_add(o, key, json_object_new_double_s(x, text));
}
