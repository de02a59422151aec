/* Carries a drill out in a lab that runs, and judges what was seen.
 *
 *   drill_run.c     the steps, what is watched meanwhile
 *   drill_access.c  how the load's clients get in: TLS, a user
 *   drill_faults.c  what a step's fault does, that it did it, its healing
 *   drill_host.c    the same of faults of the machine under a node
 *   drill_data.c    of these, the faults of data; what is looked for on the disks
 *   drill_judge.c   expectations against what was seen
 *   drill_series.c  the load's answers by time
 *   drill_report.c  the result as text, JSON, JUnit XML, and a page */
#ifndef LAB_DRILL_RUN_H
#define LAB_DRILL_RUN_H

#include <signal.h>
#include <stdio.h>

#include <jansson.h>

#include "lab/check.h"
#include "lab/demo.h"
#include "lab/drill.h"
#include "lab/fault.h"
#include "lab/load.h"
#include "lab/phases.h"
#include "lab/view.h"

#define LAB_DRILL_EVENTS_MAX 2048
#define LAB_DRILL_EVENT_TEXT 160
#define LAB_DRILL_FINDINGS_MAX 16
#define LAB_DRILL_FINDING_TEXT 320
#define LAB_DRILL_CODES_MAX 128

/* How a drill ends. The worst that was found counts. */
enum lab_drill_verdict {
    LAB_DRILL_HELD = 0,
    LAB_DRILL_FAILED,  /* an expectation was not met */
    LAB_DRILL_INVALID, /* a fault had no effect that could be shown, or the drill could not be run
                        */
    LAB_DRILL_BROKEN,  /* a promise was broken: data lost, two primaries, a wrong answer */
};

enum lab_drill_event_kind {
    LAB_DRILL_EVENT_STEP, /* of the timeline */
    LAB_DRILL_EVENT_FAULT,
    LAB_DRILL_EVENT_HEAL,
    LAB_DRILL_EVENT_PRIMARY, /* another node is primary */
    LAB_DRILL_EVENT_ALARM,   /* raised or gone */
};

struct lab_drill_event {
    uint64_t at_ns; /* monotonic */
    enum lab_drill_event_kind kind;
    char text[LAB_DRILL_EVENT_TEXT];
};

/* What followed one fault, up to the next one. */
struct lab_drill_strike {
    uint64_t at_ns;
    uint64_t gap_ns;          /* the longest time without an answer since */
    uint64_t gap_begin_ns;    /* monotonic */
    uint64_t redundant_ns;    /* monotonic, since when it stayed so; 0 = it was not */
    int new_primary;          /* index of the node; -1 = the primary did not change */
    struct lab_phases phases; /* of the change, when it told them */
    char what[LAB_DRILL_EVENT_TEXT];
};

/* The answers by time: bin i is of those that came from i × bin_ns on, since the begin. */
struct lab_drill_bin {
    uint32_t answers;
    uint32_t p50_us;
    uint32_t max_us;
};

struct lab_drill_series {
    uint64_t bin_ns;
    size_t count;
    struct lab_drill_bin *bins; /* owned; lab_drill_result_free */
};

struct lab_drill_result {
    enum lab_drill_verdict verdict;
    size_t finding_count;
    char findings[LAB_DRILL_FINDINGS_MAX][LAB_DRILL_FINDING_TEXT];
    struct lab_verdict answers; /* of the load's checkers */
    bool judged;                /* `answers` is set */
    uint64_t begin_ns;
    uint64_t end_ns;
    uint64_t takeovers;
    uint64_t false_takeovers; /* of a primary that nothing had harmed */
    uint64_t primary_epochs;  /* epochs that had a primary, of all groups, as the recorders say */
    uint64_t two_primaries;   /* of these, and of looks: that had two */
    uint64_t stall_ns;        /* the longest that the machine held up what was to run */
    bool stalled;             /* it did not hold, and that may be why: it is invalid */
    size_t strike_count;
    struct lab_drill_strike strikes[LAB_STEPS_MAX];
    size_t event_count;
    struct lab_drill_event events[LAB_DRILL_EVENTS_MAX];
    struct lab_drill_series series;
    size_t code_count; /* of alarms that stood at some time */
    char codes[LAB_DRILL_CODES_MAX][LAB_DRILL_ALARM_MAX];
};

struct lab_drill_config {
    const struct lab_drill *drill;
    const struct cfg_cluster *cluster;
    const struct nodes_run *run;
    const char *history; /* file for the load's history, NULL = none */
    struct lab_screen *screen;
    const volatile sig_atomic_t *interrupted;
};

/* Programs that this process starts from now on have what the faults of the machine under them
 * need: before the lab is made, after lab_disk_prepare. TS_ERR_NOT_FOUND: this build lacks it. */
enum ts_err lab_drill_prepare_host(const struct lab_drill *d, const struct nodes_run *run,
                                   struct ts_why *why) TS_MUST_USE;
/* Runs it; this process is in the network of the lab's client (lab_pods_enter_network) and has one
 * thread. All in `config` is borrowed. */
void lab_drill_run(const struct lab_drill_config *config, struct lab_drill_result *out);

void lab_drill_result_free(struct lab_drill_result *r);

/* "held", "failed", "invalid", "broken". */
const char *lab_drill_verdict_text(enum lab_drill_verdict verdict);
void lab_drill_print(FILE *out, const struct lab_drill *d, const struct lab_drill_result *r);
/* The caller decrefs it. */
json_t *lab_drill_json(const struct lab_drill *d, const struct lab_drill_result *r);
/* Of an array of lab_drill_json's objects. */
void lab_drill_junit(FILE *out, const json_t *results);
/* The same as one page, which needs nothing else. */
void lab_drill_page(FILE *out, const json_t *results);

/* ---- shared by the parts ---- */

enum lab_drill_remedy {
    LAB_DRILL_REMEDY_FAULT = 0, /* the fault's own */
    LAB_DRILL_REMEDY_START,     /* the node is started again */
    LAB_DRILL_REMEDY_REPLACE,   /* its disk's place is given to a blank one */
    LAB_DRILL_REMEDY_NEW_DISK,  /* the same, of a node that runs */
    LAB_DRILL_REMEDY_OWN_DISK,  /* a node that runs is switched off, and gets its own data back */
};

struct lab_drill_active {
    struct lab_fault fault;
    bool active;
    enum lab_drill_remedy remedy;
    enum lab_drill_fault what;
    bool offline;        /* the node is switched off for the harm, and on again */
    bool unproven;       /* its effect shows later: it is asked for when it is healed */
    uint64_t heal_at_ns; /* 0 = by a step or at the end */
};

#define LAB_DRILL_ACTIVE_MAX 32

/* Who the load's clients are, and whom they trust. */
struct lab_drill_access {
    struct net_tls_trust *trust; /* owned; NULL: plain text */
    char password[64];           /* of the user LAB_DRILL_USER; "" = they are nobody */
};

#define LAB_DRILL_USER "drill"

struct lab_drilling {
    const struct lab_drill_config *config;
    struct lab_drill_result *out;
    struct lab_view *view;
    struct lab_load *load;
    struct lab_drill_access access; /* of the load's clients */
    size_t group;                   /* index of the group that is meant */
    int primary;                    /* index of the node that was it last, -1 */
    int primary_before;             /* … before the newest fault */
    uint64_t harmed;                /* bit n: node n, since all was redundant without a fault */
    uint64_t primary_epoch;
    size_t standing_count; /* alarms at the last look */
    char standing[LAB_DRILL_CODES_MAX][LAB_DRILL_ALARM_MAX];
    const struct cfg_node *struck; /* by the newest fault; NULL: there was none */
    unsigned lost;                 /* disks that were put aside */
    unsigned data_faults;          /* that were made */
    struct lab_drill_active active[LAB_DRILL_ACTIVE_MAX];
};

/* printf-like. */
void lab_drill_find(struct lab_drill_result *r, enum lab_drill_verdict verdict, const char *format,
                    ...) __attribute__((format(printf, 3, 4)));
void lab_drill_say(struct lab_drilling *d, enum lab_drill_event_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What follows from now on is counted to this. */
void lab_drill_begin_strike(struct lab_drilling *d, uint64_t at_ns, const char *what);
/* These three give false when the drill cannot go on; the finding is written. */
bool lab_drill_strike(struct lab_drilling *d, const struct lab_step *s);
bool lab_drill_say_words(struct lab_drilling *d, const struct lab_step *s);
bool lab_drill_take_image(struct lab_drilling *d, const struct lab_step *s);
/* Heals what is due at `now`; `all`: everything. */
bool lab_drill_heal(struct lab_drilling *d, uint64_t now, bool all);
/* Whether there is harm that goes on, or is to be healed: not after a kill of a program, which its
 * nicd starts again, nor when a flipped bit was mended. */
bool lab_drill_lasts(const struct lab_drill_active *a);
/* As the cluster's and the drill's file say: trusts the authority of a group with TLS, adds a user.
 * lab_drill_access_end is due in any case. */
enum ts_err lab_drill_access_begin(struct lab_drilling *d, struct ts_why *why) TS_MUST_USE;
void lab_drill_access_end(struct lab_drilling *d);
/* Makes the fault of a step that is of LAB_DRILL_HOST_LIST; false: it is none of these. */
bool lab_drill_make_host(const struct lab_drilling *d, const struct lab_step *s, const char *node,
                         const char *group, struct lab_fault *f);
/* Fills r->series. */
void lab_drill_count_answers(const struct lab_history *h, struct lab_drill_result *r);
void lab_drill_judge(struct lab_drilling *d);

#endif
