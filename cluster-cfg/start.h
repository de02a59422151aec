/* Registers this start of a process at the voters (R1.8), so that a cloned or rolled-back
 * disk is noticed: a start number that is not above the registered one, or equals it with
 * another instance, is refused.
 *
 * Number and instance are durable before they are sent. They are raised once the disk remembers
 * that a majority knows the last ones, and sent again otherwise: so a refused disk stays refused,
 * however often it is started, and one whose start was cut short is not locked out (adr/0010).
 *
 * Used by replicas and by voters. The process may act after REGISTERED (a majority). The
 * core goes on until every voter confirmed, since a later majority must know the start also
 * when the first one was the bare minimum. A refusal at any time is final: CLONE.
 *
 * A voter whose disk was replaced is asked anew. Whether a confirmation counts is for the
 * register's decided value to say, which a replica reads after it (start_counts; adr/0029): the new
 * disk knows what a majority of the others knew after the lost one was out.
 *
 * A voter counts itself: its own disk holds the start number, and without that two
 * voters of three could not start each other. What this cannot see: a voter's own image is
 * rolled back and every other voter that confirmed the lost start is away. */
#ifndef CLUSTER_CFG_START_H
#define CLUSTER_CFG_START_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/trace.h"
#include "cluster-cfg/config.h"
#include "cluster-cfg/register_msg.h"

#define START_NO_SELF UINT8_MAX
#define START_EFFECTS_MAX (TS_VOTERS_MAX + 2)

struct start_config {
    struct reg_start start; /* what is registered; start >= 1, durable on the own disk */
    uint8_t voters;         /* 1..TS_VOTERS_MAX; a voter is named by its index 0.. */
    uint8_t self;           /* index of the voter that this process is, or START_NO_SELF */
    uint64_t retry_ns;      /* first re-send; doubles to START_RETRY_FACTOR_MAX × */
};

#define START_RETRY_FACTOR_MAX 20

enum start_state {
    START_WAITING = 0,    /* fewer than a majority confirmed */
    START_REGISTERED = 1, /* a majority confirmed */
    START_CLONE = 2,      /* refused: this disk is a clone or a rolled-back image */
};

enum start_event_kind {
    START_EVENT_BEGIN,    /* the first event: sends to the voters that are up; with one voter that
                           * is this process, REGISTERED comes at once */
    START_EVENT_VOTER_UP, /* with which disk */
    START_EVENT_VOTER_DOWN,
    START_EVENT_MESSAGE, /* START_OK or START_REFUSED of `voter`; others are ignored */
    START_EVENT_TICK,
};

struct start_event {
    enum start_event_kind kind;
    struct ts_mono now;
    uint8_t voter;
    struct ts_incarnation disk; /* VOTER_UP */
    const struct reg_msg *msg;  /* MESSAGE: borrowed for the step */
};

enum start_effect_kind {
    START_EFFECT_SEND,       /* `msg` to voter `voter` */
    START_EFFECT_REGISTERED, /* once: the process may act */
    START_EFFECT_CLONE,      /* once: stop; see start.refused for the sentence to the operator */
    START_EFFECT_TRACE,
};

struct start_effect {
    enum start_effect_kind kind;
    uint8_t voter;         /* SEND; CLONE: who refused */
    struct reg_msg msg;    /* SEND; CLONE: the refusal */
    struct ts_trace trace; /* TRACE */
};

struct start_effects {
    size_t count;
    struct start_effect e[START_EFFECTS_MAX];
};

struct start {
    struct start_config cfg;
    enum start_state state;
    uint8_t up_mask;                           /* bit = voter index */
    uint8_t confirmed_mask;                    /* bit = voter index */
    struct ts_incarnation disk[TS_VOTERS_MAX]; /* of each voter, as its newest link told */
    uint64_t retry_ns;                         /* the present interval */
    struct ts_mono retry_at;
};

/* Asserts that the configuration is in range. All voters begin as down. */
void start_init(struct start *s, const struct start_config *cfg);
void start_step(struct start *s, const struct start_event *ev, struct start_effects *fx);
/* When a TICK is due; TS_MONO_NEVER when none is. */
struct ts_mono start_deadline(const struct start *s);
/* How many voters confirmed. */
unsigned start_confirmed(const struct start *s);
/* Whether a majority of those voters confirmed whose disk counts. */
bool start_counts(const struct start *s, const struct cfg_voters *voters);
void start_check_invariants(const struct start *s);

#endif
