/*
 * teacher.h: the list of teacher training schemes.
 */
#ifndef SFTN_TEACHER_TEACHER_H
#define SFTN_TEACHER_TEACHER_H

#include "sftn/teacher.h"

#define SFTN_SCHEME(id) extern const sftn_teacher_scheme sftn_teacher_##id;
#include "teacher/teachers.def"
#undef SFTN_SCHEME

#endif
