/*
 * plain: a teacher trained for itself alone, on cross-entropy with the labels.
 */
#include "teacher/teacher.h"

static const sftn_option plain_option_table[] = {
    SFTN_OPTION_END,
};

static sftn_taps plain_build(const sftn_teacher_args *a, sftn_terms *terms)
{
    sftn_taps teacher = sftn_model_build(a->teacher, a->teacher_scope, a->image, a->classes, 0);

    sftn_terms_add(terms, a->g, 1.0f,
                   sftn_cross_entropy(a->g, teacher.logits, a->labels, a->smoothing), "ce");
    if (a->branches)
        *a->branches = (sftn_branches){0};
    return teacher;
}

const sftn_teacher_scheme sftn_teacher_plain = {
    .name    = "plain",
    .summary = "cross-entropy with the labels, nothing attached",
    .options = plain_option_table,
    .build   = plain_build,
};
