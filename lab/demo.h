/* The demonstration: a pair on this machine under load, two failures, a report that a person
 * enjoys reading. Behind `twinstep demo` and ./quickstart. Parts:
 *
 *   demo.c         the script: what happens when
 *   demo_screen.c  the timeline and the live line
 *   demo_report.c  the report */
#ifndef LAB_DEMO_H
#define LAB_DEMO_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lab/check.h"
#include "lab/load.h"
#include "lab/pair.h"
#include "lab/phases.h"

enum lab_demo_status {
    LAB_DEMO_HELD = 0,          /* every promise was kept */
    LAB_DEMO_BROKEN = 1,        /* one was not: see the report */
    LAB_DEMO_FAILED = 2,        /* it could not be run; a sentence on standard error says why */
    LAB_DEMO_INTERRUPTED = 130, /* Ctrl-C: everything was ended */
};

struct lab_demo_options {
    const char *run; /* directory; NULL = ./run/demo, or below /tmp when that path is too long */
    const char *history; /* file for the load's history; NULL = none is written */
    bool keep;           /* leave the nodes running at the end */
    bool no_color;
};

/* Runs it all, about 30 s. Prints to standard output. */
enum lab_demo_status lab_demo_run(const struct lab_demo_options *options);

/* ---- shared by the parts ---- */

struct lab_incident {
    char what[96];          /* "SIGKILL of nic1's replica, the primary" */
    uint64_t at_ns;         /* monotonic */
    uint64_t pause_from_ns; /* monotonic, the last answer before the longest pause of all answers */
    uint64_t pause_to_ns;   /* monotonic, the first one after it */
    uint64_t redundant_ns;  /* monotonic, when both replicas were in sync again */
    uint64_t restart_ns;    /* monotonic, when the NIC was started again; 0 = by its own nicd */
    unsigned new_primary;   /* index of the NIC */
    uint64_t epoch_before;
    uint64_t epoch_after;
    struct lab_phases phases;
};

struct lab_screen {
    bool terminal;
    bool color;
    uint64_t begin_ns; /* of the timeline */
    uint64_t last_acks;
    uint64_t last_draw_ns;
    double rate; /* answers a second, smoothed */
};

struct lab_demo {
    struct lab_demo_options options;
    struct lab_pair pair;
    bool up;
    struct lab_load *load;
    FILE *history; /* NULL when none is wanted */
    struct lab_screen screen;
    unsigned incident_count;
    struct lab_incident incidents[2];
    struct lab_verdict verdict;
    double load_seconds;
    bool real_time; /* heartbeatd got its real-time priority */
};

/* A line of the timeline; printf-like. */
void lab_screen_say(struct lab_screen *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A heading between parts. */
void lab_screen_title(struct lab_screen *s, const char *text);
/* Draws the live line when it is due; `load` may be NULL. */
void lab_screen_tick(struct lab_screen *s, struct lab_load *load, const char *doing);
/* Removes the live line. */
void lab_screen_clear(struct lab_screen *s);
/* Escape sequences, empty without color. */
const char *lab_screen_green(const struct lab_screen *s);
const char *lab_screen_red(const struct lab_screen *s);
const char *lab_screen_bold(const struct lab_screen *s);
const char *lab_screen_dim(const struct lab_screen *s);
const char *lab_screen_plain(const struct lab_screen *s);
/* 1234567 as "1,234,567". */
void lab_thousands(uint64_t n, char out[32]);

/* What the pause of an incident went into. Tenths of a millisecond, as they are printed: what a
 * reader adds up is what stands there. */
struct lab_parts {
    /* The parts divide the pause without rest. When the takeover did not lie in the longest pause,
     * they divide the time from the fault until the new primary was ready. */
    bool of_pause;
    size_t count;
    struct {
        const char *name; /* static */
        uint64_t tenths;
    } p[LAB_PHASES_MAX + 1];
};
/* Pure. */
void lab_incident_parts(const struct lab_incident *i, struct lab_parts *out);
/* Time between two instants in tenths of a millisecond. */
uint64_t lab_tenths_ms(uint64_t from_ns, uint64_t to_ns);
/* What one failure cost, in lines. */
void lab_demo_print_incident(FILE *out, const struct lab_demo *d, const struct lab_incident *i);
/* Prints the report; gives whether all promises were kept. */
bool lab_demo_report(struct lab_demo *d);

#endif
