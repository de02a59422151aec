/* What was found, for people and for programs. */
#ifndef TESTS_LINCHECK_IO_STORY_H
#define TESTS_LINCHECK_IO_STORY_H

#include <jansson.h>
#include <stdio.h>

#include "tests/lincheck/lincheck.h"

/* A verdict with its story, if it has one. */
struct lin_findings {
    const char *name; /* of the history, for people */
    struct lin_report report;
    bool explained;
    struct lin_story story;
};

/* Judges, and explains the first part that is wrong. */
void lin_find(struct lin *l, const char *name, struct lin_findings *out);

/* Prints them in words. Borrows of the history: see lin_view. */
void lin_story_print(struct lin *l, const struct lin_findings *f, FILE *out);
/* Gives them as JSON; NULL when memory is short. */
json_t *lin_story_json(struct lin *l, const struct lin_findings *f);

#endif
