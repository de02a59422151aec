/* Typed trace events: what a core did and why. Cores emit them as effects;
 * text for people is made at the edge from the table below (script tests,
 * the event recorder, `twinstep explain`). */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stddef.h>

#include "base/ids.h"

/* X(symbol, name, meaning of `a`, meaning of `b`); an empty meaning is not printed. */
#define TS_TRACE_LIST(X) \
    /* replication */ \
    X(TS_TRACE_ROLE, "role", "role", "reason") \
    X(TS_TRACE_EVIDENCE, "evidence", "peer", "kind") \
    X(TS_TRACE_PREPARED, "register-prepared", "register-epoch", "") \
    X(TS_TRACE_SEALED, "sealed", "through-epoch", "") \
    X(TS_TRACE_CAS_SENT, "register-cas-sent", "expected-epoch", "") \
    X(TS_TRACE_CAS_DONE, "register-cas-done", "won", "register-epoch") \
    X(TS_TRACE_TAIL_COMMITTED, "tail-committed", "from-seq", "entries") \
    X(TS_TRACE_ACTIVE, "active", "", "") \
    X(TS_TRACE_STEP_DOWN, "step-down", "primary", "") \
    X(TS_TRACE_IN_SYNC_REMOVE, "in-sync-remove", "peer", "reason") \
    X(TS_TRACE_IN_SYNC_ADD, "in-sync-add", "peer", "from-seq") \
    X(TS_TRACE_REFUSED, "refused", "peer", "floor-epoch") \
    X(TS_TRACE_TRUNCATED, "truncated", "after-seq", "entries") \
    X(TS_TRACE_LEARNER_START, "learner-start", "peer", "from-seq") \
    X(TS_TRACE_CONFIG, "config", "primary", "in-sync-mask") \
    X(TS_TRACE_ABDICATED, "abdicated", "peer", "reason") \
    X(TS_TRACE_RESUMES, "resumes", "", "") \
    X(TS_TRACE_SUSPECT, "suspect", "peer", "") \
    X(TS_TRACE_REPLAYS, "replays", "", "") \
    X(TS_TRACE_CULPRIT, "culprit", "", "") \
    X(TS_TRACE_ALARM_REPLAYS, "alarm-replays", "peer", "") \
    X(TS_TRACE_ENROLLED, "enrolled", "peer", "replaced") \
    X(TS_TRACE_REPLACED, "replaced", "by", "") \
    X(TS_TRACE_VOTER_STEP, "voter-step", "disk", "phase") \
    X(TS_TRACE_HANDOFF, "handoff", "peer", "") \
    X(TS_TRACE_HANDOFF_FAILED, "handoff-failed", "peer", "") \
    /* alarms */ \
    X(TS_TRACE_ALARM_DIVERGENCE, "alarm-divergence", "peer", "at-seq") \
    X(TS_TRACE_ALARM_NOT_COMPARED, "alarm-not-compared", "peer", "at-seq") \
    X(TS_TRACE_ALARM_CHAIN, "alarm-chain", "peer", "at-seq") \
    X(TS_TRACE_ALARM_DISK, "alarm-disk", "errno", "") \
    X(TS_TRACE_ALARM_DISK_HANGS, "alarm-disk-hangs", "ms", "") \
    X(TS_TRACE_ALARM_DISK_SPACE, "alarm-disk-space", "level", "bytes") \
    X(TS_TRACE_ALARM_DISK_DAMAGED, "alarm-disk-damaged", "in-snapshot", "") \
    X(TS_TRACE_DISK_MENDED, "disk-mended", "peer", "segment") \
    X(TS_TRACE_ALARM_CLONE, "alarm-clone", "start", "registered-start") \
    X(TS_TRACE_ALARM_NO_PRIMARY, "alarm-no-primary", "last-primary", "ms") \
    X(TS_TRACE_PRIMARY_SEEN, "primary-seen", "primary", "ms-without") \
    /* register */ \
    X(TS_TRACE_VOTER_PROMISED, "voter-promised", "counter", "proposer") \
    X(TS_TRACE_VOTER_ACCEPTED, "voter-accepted", "counter", "proposer") \
    X(TS_TRACE_VOTER_REFUSED, "voter-refused", "counter", "promised-counter") \
    X(TS_TRACE_START_REGISTERED, "start-registered", "start", "") \
    X(TS_TRACE_START_REFUSED, "start-refused", "start", "registered-start") \
    X(TS_TRACE_REGISTER_OUTBID, "register-outbid", "counter", "promised-counter") \
    X(TS_TRACE_ALARM_REGISTER_EMPTY, "alarm-register-empty", "register", "") \
    X(TS_TRACE_ALARM_TWO_VALUES, "alarm-two-values", "counter", "proposer") \
    /* detection and supervision */ \
    X(TS_TRACE_PATH_DOWN, "path-down", "peer", "path") \
    X(TS_TRACE_PATH_UP, "path-up", "peer", "path") \
    X(TS_TRACE_PEER_DOWN, "peer-down", "peer", "kind") \
    X(TS_TRACE_PEER_UP, "peer-up", "peer", "") \
    X(TS_TRACE_OWN_STALL, "own-stall", "ms", "") \
    X(TS_TRACE_PROC_STARTED, "process-started", "pid", "") \
    X(TS_TRACE_PROC_ENDING, "process-ending", "pid", "") \
    X(TS_TRACE_PROC_EXITED, "process-exited", "pid", "status") \
    X(TS_TRACE_LINK_UP, "link-up", "peer", "path") \
    X(TS_TRACE_LINK_DOWN, "link-down", "peer", "path") \
    X(TS_TRACE_REJECTED_INPUT, "rejected-input", "source", "count") \
    X(TS_TRACE_FOREIGN_DISK, "foreign-disk", "peer", "owner") \
    X(TS_TRACE_WRONG_KEY, "wrong-key", "peer", "count") \
    X(TS_TRACE_LINK_REFUSED, "link-refused", "peer", "")

enum ts_trace_kind {
#define TS_TRACE_ENUM(sym, name, a, b) sym,
    TS_TRACE_LIST(TS_TRACE_ENUM)
#undef TS_TRACE_ENUM
        TS_TRACE_KINDS
};

struct ts_trace {
    enum ts_trace_kind kind;
    struct ts_mono at;     /* local monotonic time of the step */
    struct ts_epoch epoch; /* the emitter's epoch, 0 when it has none */
    struct ts_seq seq;     /* the position it is about, 0 when none */
    uint64_t a;            /* per kind, see the list */
    uint64_t b;
};

/* "sealed", "cas-done", …; static storage. `kind` must be in range. */
const char *ts_trace_name(enum ts_trace_kind kind);
/* What field `a` (0) or `b` (1) of this kind means; "" when unused. */
const char *ts_trace_meaning(enum ts_trace_kind kind, int field);
/* Writes "name epoch=… seq=… a-meaning=… b-meaning=…", without unused and zero positions.
 * Always NUL-terminated; returns the length that was needed. */
size_t ts_trace_format(const struct ts_trace *t, char *out, size_t cap);

#endif
