/* Who was primary in which epoch, as the recorders of all nodes have it: each `active` event of a
 * replica. They are files (cluster-cfg/io/recorder.h), so that also those of a node that does not
 * run, or whose disk was put aside, are read. */
#ifndef LAB_PRIMARIES_H
#define LAB_PRIMARIES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io/files.h"

/* One epoch of one group, and the process that served in it. */
struct lab_primary_epoch {
    uint64_t group;
    uint64_t epoch;
    char node[64];     /* the folder of its data: NODE, or NODE.lost-N */
    char instance[20]; /* of the process, hexadecimal */
    uint64_t at_ns;    /* when it became primary, monotonic */
};

struct lab_primaries {
    size_t begun; /* epochs whose primary came in the time that is asked for */
    size_t count; /* and those before: a second one of theirs may come in that time */
    size_t cap;
    struct lab_primary_epoch *epochs; /* owned */
    size_t two;                       /* epochs that had a second one */
    char first[256];                  /* the first of these, for people */
};

/* Takes one line of a recorder that tells that a replica became primary; the time that is asked for
 * is from `since_ns` (monotonic) on. What is no such line is left alone: a recorder may end amid
 * one. */
void lab_primaries_add(struct lab_primaries *p, const char *node, const char *line,
                       uint64_t since_ns);
/* Reads the recorders of all nodes in the directory RUN, and of those put aside.
 * Fails as opendir does. */
enum ts_err lab_primaries_read(struct lab_primaries *p, const char *run, uint64_t since_ns,
                               struct ts_why *why) TS_MUST_USE;
void lab_primaries_free(struct lab_primaries *p);

#endif
