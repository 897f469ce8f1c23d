/* json: members of JSON objects that may not be there, or not be what they should. */
#include "task/task.h"

#include <math.h>
#include <stdio.h>

struct json_object *sftn_json_member(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    return object && json_object_object_get_ex(object, key, &value) ? value : NULL;
}

const char *sftn_json_text(struct json_object *object, const char *key)
{
    struct json_object *value = sftn_json_member(object, key);

    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

double sftn_json_number(struct json_object *object, const char *key, double absent)
{
    struct json_object *value = sftn_json_member(object, key);

    return value ? json_object_get_double(value) : absent;
}

void sftn_json_add_number(struct json_object *object, const char *key, double number)
{
    char text[32];

    snprintf(text, sizeof text, "%.9g", number);
    json_object_object_add(object, key,
                           isnan(number) ? NULL : json_object_new_double_s(number, text));
}
