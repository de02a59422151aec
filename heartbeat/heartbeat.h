/* The state machine of heartbeatd: which nodes are alive, on which path, and what their nicd says
 * of their replicas. Sans-I/O: events with the time in them go in, effects come out.
 *
 * Concepts
 * - Every heartbeat_interval a heartbeat goes to every other node on every common path, and at
 *   once when the own nicd's word changes: the peers then know of a replica's exit within a
 *   millisecond (R4.3).
 * - A *sign of life* is a heartbeat that answers a recent one of mine: its echo bears my
 *   instance and a time of mine at most HB_ECHO_AGE_FACTOR × failure_timeout old; it is newer
 *   than the newest one of its sender's instance on its path; and its instance is not one that
 *   was left before. So neither a replay nor a packet kept in a queue revives a dead peer, and
 *   nothing in it (nicd's word) is believed. The limits: within that age, a packet that was
 *   captured and *withheld* from us counts when it is let go; and of a peer that restarts
 *   more than HB_PAST_INSTANCES times within that age, the first instance could come back.
 * - A path is *up* while signs of life came on it within path_timeout, a node is *alive* while one
 *   came on any path within failure_timeout (detector.h; own stalls are not counted). Both ways
 * must work for a path to be up. A path is down until first heard. A node gets one failure_timeout
 * from the start of this process before it is called dead, so that a restarted heartbeatd accuses
 * nobody.
 *
 * The caller: reads all datagrams that wait before each TICK, ticks at hb_deadline. */
#ifndef HEARTBEAT_HEARTBEAT_H
#define HEARTBEAT_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/trace.h"
#include "cluster-cfg/cluster.h"
#include "cluster-cfg/report.h"
#include "heartbeat/codec.h"
#include "heartbeat/detector.h"

/* A heartbeat counts when it answers one of mine that is at most so many failure timeouts old.
 * Two: on a starved machine question and answer may each wait nearly one timeout; and the price,
 * a one-way broken path that is noticed later by the side that still hears, is small: the other
 * side notices in time. */
#define HB_ECHO_AGE_FACTOR 2

/* Instances of a peer's heartbeatd that were replaced by a newer one and are remembered, so that
 * a late packet of theirs does not count. The echo's age alone bounds this to a short while. */
#define HB_PAST_INSTANCES 4

/* nicd repeats its word each 100 ms. When it has not for this long, it is withdrawn ("unknown"):
 * a stopped nicd knows nothing of its replicas. */
#define HB_WORD_AGE_MAX_NS (1000 * TS_NS_PER_MS)

/* The reports are repeated at least this often, so that a replica that just started knows. */
#define HB_PUBLISH_MAX_NS (20 * TS_NS_PER_MS)

/* How long the longest own stall stays in the report. */
#define HB_STALL_SHOWN_NS (1000 * TS_NS_PER_MS)

/* Why a node was called dead: field `b` of TS_TRACE_PEER_DOWN. */
#define HB_DOWN_SILENT 1

/* Effects of one step: a send a path of every node, a down and an up a path and a node, and some.
 */
#define HB_EFFECTS_MAX ((TS_NODES_MAX * (2 * TS_PATHS_MAX + 1)) + 2)

struct hb_path {
    struct hb_detector detector; /* path_timeout */
    bool up;
    uint64_t next_number;             /* of the next heartbeat sent here */
    uint64_t newest_number;           /* highest received of `echo_instance` */
    struct ts_instance echo_instance; /* whose time is echoed, 0 = none yet */
    struct ts_mono echo_sent;
    uint64_t received; /* statistics: news on this path, … */
    uint64_t lost;     /* … and numbers that it skipped: never came, or came too late */
};

struct hb_peer {
    struct ts_nic_id nic;
    uint8_t path_count; /* paths that both have */
    bool alive;         /* as published */
    bool was_heard;     /* a sign of life came since the start */
    struct ts_instance instance;
    struct ts_instance past[HB_PAST_INSTANCES]; /* a ring */
    uint8_t past_next;
    struct hb_detector detector; /* failure_timeout, any path */
    struct hb_word word;         /* of the newest sign of life, newest by its sender's clock */
    struct ts_mono word_sent;    /* sender's clock: paths may overtake one another */
    struct hb_path paths[TS_PATHS_MAX];
};

struct hb_stats {
    uint64_t signs_of_life;
    uint64_t not_mine;    /* misdirected: wrong receiver, sender unknown, path not common */
    uint64_t replayed;    /* not newer than the newest, or of a past instance */
    uint64_t unanswering; /* authentic, but the echo is missing or too old */
};

struct hb_core {
    /* config */
    struct ts_nic_id self;
    struct ts_instance instance; /* of this process */
    uint64_t cluster;
    struct cfg_timing timing;
    uint64_t publish_interval_ns;
    /* volatile */
    struct ts_mono send_due;
    struct ts_mono publish_due;
    struct hb_word word; /* own nicd's */
    struct ts_mono word_at;
    struct ts_mono stall_at; /* when the stall below was measured */
    uint64_t stall_ns;
    uint8_t peer_count;
    struct hb_peer peers[TS_NODES_MAX];
    /* statistics */
    struct hb_stats stats;
};

enum hb_event_kind {
    HB_EVENT_TICK,     /* the deadline came; nothing else */
    HB_EVENT_DATAGRAM, /* an authentic heartbeat was read */
    HB_EVENT_PROCS,    /* the own nicd's report */
};

struct hb_event {
    enum hb_event_kind kind;
    struct ts_mono now;
    uint8_t path;                       /* DATAGRAM: index of the path it came on */
    const struct hb_datagram *datagram; /* DATAGRAM: borrowed */
    const struct report_procs *procs;   /* PROCS: borrowed */
};

enum hb_effect_kind {
    HB_EFFECT_SEND,    /* a heartbeat to `peer` on `path`: content by hb_fill */
    HB_EFFECT_PUBLISH, /* hb_report to all who listen */
    HB_EFFECT_TRACE,
};

struct hb_effect {
    enum hb_effect_kind kind;
    uint8_t peer;    /* SEND: index into the core's peers */
    uint8_t path;    /* SEND */
    uint64_t number; /* SEND */
    struct ts_trace trace;
};

struct hb_effects {
    uint16_t count;
    struct hb_effect e[HB_EFFECTS_MAX];
};

/* `cluster` is read and not kept; it must contain `self`. `instance` is random, not 0. */
void hb_init(struct hb_core *h, const struct cfg_cluster *cluster, struct ts_nic_id self,
             struct ts_instance instance, struct ts_mono now);
/* One event; the effects replace what `out` held, in the order to perform them. */
void hb_step(struct hb_core *h, const struct hb_event *event, struct hb_effects *out);

/* When the next TICK is due. */
struct ts_mono hb_deadline(const struct hb_core *h);
/* The content of a SEND effect, at the same `now` as its step. */
void hb_fill(const struct hb_core *h, const struct hb_effect *send, struct ts_mono now,
             struct hb_datagram *out);
/* The whole current state as a report. */
void hb_report(const struct hb_core *h, struct ts_mono now, struct report_peers *out);
/* Asserts what must hold between steps; tests call it after each. */
void hb_check_invariants(const struct hb_core *h);

#endif
