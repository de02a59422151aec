/* The admin protocol of cluster-cfgd: what one node knows of itself, as JSON.
 *
 * Transport: NNG REP on ipc://DIR/run/admin.ipc, one request one reply; NNG PUB on
 * ipc://DIR/run/events.ipc, one event a message. Both are of this machine only (the directory
 * is its owner's). A node tells its own voter's state and what its own processes report: who
 * wants the cluster's asks every node and merges.
 *
 * Request:  {"version": 1, "cmd": "status" | "latency" | "metrics" | "events" | "handoff" |
 *           "snapshot" | "version"}
 *           handoff also takes "group", "epoch" (of the primary there) and "nic" (to whom; any
 *           without it); events also takes "since" (an event number, default 0) and "limit"
 *           (default and at most 1000)
 * Reply:    {"version": 1, "ok": true, …} or
 *           {"version": 1, "ok": false, "error": "a sentence"}
 *
 * version:  "release", "cluster", "node", "pid"
 * status:   "release" "cluster" "node" "id" "arbiter" "pid" "uptime_ms" "wall_us"
 *   "cluster_digest": of the cluster file that cluster-cfgd began with (cfg_cluster_digest)
 *   "voter":     {"state": "none|registering|ready|failed|clone|joining|misplaced|replaced",
 *                "start", "incarnation", "confirmed", "voters", "why", "rejected",
 *                "registers": [{"group", "epoch", "primary"}]}
 *                (a register's value at one voter is not a configuration: R1.4)
 *   "processes": [{"program", "group", "running", "pid", "starts", "last_status"}]
 *   "peers":     [{"node", "alive", "silent_ms", "paths": [{"address", "up"}]}]
 *   "groups":    [{"group", "role", "epoch", "primary", "in_sync", "required", "members",
 *                "last", "committed", "applied", "instance", "digest", "waiting", "requests",
 *                "rejected", "why", "age_ms", "serving", "no_primary_ms",
 *                "service_address": null or {"address", "here", "interface", "why"},
 *                "peers": [{"node", "connected", "path", "acked"}]}]
 *                for each group with a replica here; "role": "down" without a running replica.
 *                "primary" is of the configuration, of which "epoch" 0 says that none is known yet;
 *                "serving": whether a primary serves, as far as this node can know, null when it
 *                cannot; "no_primary_ms": for how long none has been known, null otherwise.
 *                "service_address": "here" is null when nicd has said nothing lately; "interface"
 *                has it, "" when it is not here; "why" it cannot be here, or is not announced;
 *                "" when it can, and is
 *   "events":    {"oldest", "newest", "unwritten", "unreadable", "reports_refused"}
 *   "heartbeats_refused": datagrams and reports that heartbeatd refused since it started
 *   "certificate": {"from_s", "until_s"}: Unix times between which the node's certificate holds
 *   "alarms":    [{"code", "text", "group" (if of one)}]
 *   "processes_age_ms", "peers_age_ms": since the last report, null without one
 * latency:  "groups": [{"group", "age_ms" (null: nothing was told yet), "instance",
 *                "counters": {name: count}, "gauges": {name: figure},
 *                "stages": [{"stage", "meaning", "count", "sum_ns", "max_ns", "p50_ns", "p90_ns",
 *                "p99_ns", "p999_ns", "buckets": [[most ns, count]]}]}]
 *           for each group with a replica here, since that one started: counters of
 *           REPORT_COUNTER_LIST, gauges of REPORT_GAUGE_LIST, stages of REPORT_STAGE_LIST. Of
 *           "buckets" those that are not empty; the last one's bound may be null. A quantile is
 *           at most a quarter too long.
 * metrics:  "text": as GET /metrics gives it (cluster-cfg/io/metrics.h)
 * handoff:  the wish is on its way to the replica here, which is the group's primary by its own
 *           word; what comes of it the status of the group tells (R4.5)
 * snapshot: takes "group" and "seq": the wish for a snapshot of a state in which this entry was
 *           executed is on its way to the replica here
 * events:   "events": [recorder_event_json], "newest", "more": whether others follow. An event's
 *           number that is not one above the last one's tells of a gap.
 *
 * Nodes, groups and programs are told by name, identities in hexadecimal text, times in the unit
 * that the key ends with. Unknown keys are to be ignored. */
#ifndef CLUSTER_CFG_IO_ADMIN_H
#define CLUSTER_CFG_IO_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/ids.h"
#include "cluster-cfg/cluster.h"
#include "cluster-cfg/io/recorder.h"
#include "cluster-cfg/report.h"
#include "cluster-cfg/voter.h"

#define ADMIN_VERSION 1
#define ADMIN_REQUEST_BYTES_MAX 4096
#define ADMIN_EVENTS_MAX 1000
#define ADMIN_SOCKET "run/admin.ipc"
#define ADMIN_EVENTS_SOCKET "run/events.ipc"
/* Longest path of a Unix socket, NUL included. */
#define ADMIN_SOCKET_PATH_MAX 108

/* A report is repeated each 100 ms: after this long its sender is silent. */
#define ADMIN_SILENT_NS (2 * TS_NS_PER_S)

/* How long before its end a certificate is an alarm, and at most this part of its whole time. */
#define ADMIN_CERTIFICATE_S (14 * 86400)
#define ADMIN_CERTIFICATE_PART 3

#define ADMIN_ALARM_NO_PRIMARY "no-primary"

/* X(symbol, name) */
#define ADMIN_VOTER_LIST(X) \
    X(ADMIN_VOTER_NONE, "none")               /* this node does not vote */ \
    X(ADMIN_VOTER_REGISTERING, "registering") /* its start is not confirmed by a majority */ \
    X(ADMIN_VOTER_READY, "ready") \
    X(ADMIN_VOTER_FAILED, "failed")   /* its disk failed or is not usable: see why */ \
    X(ADMIN_VOTER_CLONE, "clone")     /* its disk is a clone or a rolled-back image */ \
    X(ADMIN_VOTER_JOINING, "joining") /* its new disk is not counted yet, … */ \
    X(ADMIN_VOTER_MISPLACED, \
      "misplaced") /* … and is not for the place of the one that is listed */ \
    X(ADMIN_VOTER_REPLACED, "replaced") /* another disk has its place in a group */

enum admin_voter_state {
#define ADMIN_VOTER_ENUM(sym, name) sym,
    ADMIN_VOTER_LIST(ADMIN_VOTER_ENUM)
#undef ADMIN_VOTER_ENUM
};

struct admin_voter {
    enum admin_voter_state state;
    uint64_t start;
    struct ts_incarnation incarnation;
    unsigned confirmed; /* voters that confirmed this start, itself included */
    unsigned voters;
    char why[TS_WHY_MAX];
    uint64_t rejected;        /* connections refused: net_counters_rejected */
    const struct voter *core; /* borrowed; NULL without one */
};

/* What to tell of the voter's state: a core that is ready may be joining, or count no more. */
enum admin_voter_state admin_voter_state(const struct admin_voter *v);

/* The dates of the node's certificate, seconds since the Unix epoch; `until_s` 0: not known. */
struct admin_certificate {
    int64_t from_s;
    int64_t until_s;
};

/* What heartbeatd has refused since it started, as its traces tell: a number for each reason. */
#define ADMIN_REFUSED_REASONS 16
struct admin_refused {
    struct ts_instance instance; /* of heartbeatd */
    uint64_t count[ADMIN_REFUSED_REASONS];
};

struct admin_replica {
    bool has;
    struct ts_mono at;
    struct ts_mono started; /* when nicd said that it was started anew; 0 = it did not */
    struct report_replica report;
};

/* What nicd said of a group's service address. */
struct admin_address {
    bool has;
    struct ts_mono at;
    struct report_address report;
};

/* A node that came to the voter here with a disk that is not its own. */
#define ADMIN_FOREIGN_MAX 16
struct admin_foreign {
    bool has;
    struct ts_mono at;      /* when it came last */
    struct reg_owner asked; /* as what it came */
    struct ts_nic_id owner; /* the node whose disk it is */
};

/* What keeps a node from being heard although something answers in its place. */
struct admin_refused_peer {
    struct ts_mono since; /* links: the first of those that failed one after the other, … */
    struct ts_mono at;    /* … and the last; 0: none */
    char why[160];
    bool told;               /* the links: in events */
    struct ts_mono wrong_at; /* when heartbeats with a wrong key came last from its addresses */
};
/* Links are tried several times a second, heartbeatd tells once a second: after this long it is
 * over. Before the first one it is no alarm: processes that start and end break handshakes off. */
#define ADMIN_REFUSED_NS (3 * TS_NS_PER_S)
#define ADMIN_REFUSED_AFTER_NS TS_NS_PER_S

/* What a replica counted and timed. */
struct admin_figures {
    struct ts_mono at;
    struct report_figures *report; /* owned by cluster-cfgd; NULL: nothing was told yet */
};

enum admin_primary_state {
    ADMIN_PRIMARY_UNKNOWN, /* this node cannot know */
    ADMIN_PRIMARY_SEEN,
    ADMIN_PRIMARY_NONE, /* none serves, as far as this node hears */
};

/* Whether a group has a primary; kept by admin_primary_update. */
struct admin_primary {
    enum admin_primary_state state;
    struct ts_mono since;   /* while there is none: since when */
    struct ts_mono seen;    /* the last time one was seen */
    bool told;              /* a loss was told and its end was not */
    struct ts_mono lost_at; /* of the loss that was told */
};

/* All that a reply is made of; kept by cluster-cfgd. */
struct admin_state {
    const struct cfg_cluster *cluster; /* config: borrowed */
    const struct cfg_node *self;
    const char *release;
    uint32_t pid;
    struct ts_mono started;
    const struct recorder *recorder;

    struct admin_voter voter; /* volatile */
    bool has_procs;
    struct ts_mono procs_at;
    struct report_procs procs;
    bool has_peers;
    struct ts_mono peers_at;
    struct report_peers peers;
    struct admin_replica replica[TS_GROUPS_MAX + 1]; /* by group id */
    struct admin_primary primary[TS_GROUPS_MAX + 1]; /* by group id */
    struct admin_figures figures[TS_GROUPS_MAX + 1]; /* by group id */
    struct admin_address address[TS_GROUPS_MAX + 1]; /* by group id */
    struct admin_certificate certificate;
    struct admin_foreign foreign[ADMIN_FOREIGN_MAX];
    struct admin_refused_peer refused[TS_NODES_MAX + 1]; /* by node id */
    uint64_t reports_refused;
    struct admin_refused heartbeats;
    /* Hands a wish to the replica of its group; gives whether it is there to hear it. NULL: never.
     */
    bool (*wish)(void *arg, const struct report_handoff *wish);
    bool (*want_snapshot)(void *arg, const struct report_snapshot *wish);
    void *wish_arg;
};

/* Answers one request: a NUL-terminated text that the caller frees, NULL when memory is short.
 * Any bytes are answered. `now` is monotonic, `wall_us` Unix time. */
char *admin_answer(const struct admin_state *s, struct ts_bytes request, struct ts_mono now,
                   uint64_t wall_us);

/* What nicd said lately of the group's service address here; NULL: nothing. */
const struct report_address *admin_address_of(const struct admin_state *s, struct ts_group_id group,
                                              struct ts_mono now);

/* Notes that a node came with a disk that is not its own; true when that is new, or was over. With
 * ADMIN_FOREIGN_MAX of them that still come no further one is noted. */
bool admin_foreign_note(struct admin_state *s, struct reg_owner asked, struct ts_nic_id owner,
                        struct ts_mono now);
/* Whether it still comes: it asks again, more and more rarely. */
bool admin_foreign_is_fresh(const struct admin_state *s, const struct admin_foreign *f,
                            struct ts_mono now);
/* The node whose disk the replica here has; NULL: none is known to be another one's. */
const char *admin_foreign_of(const struct admin_state *s, struct ts_group_id group,
                             struct ts_mono now);

/* A link to a node failed for its certificate or this node's; true once, when that is an alarm.
 * What is not printable in the words is left out. */
bool admin_refused_note(struct admin_state *s, struct ts_nic_id node, const char *why,
                        const char *detail, struct ts_mono now);
/* A link to it is up. */
void admin_refused_end(struct admin_state *s, struct ts_nic_id node);
bool admin_refused_is_alarm(const struct admin_refused_peer *r, struct ts_mono now);
/* Heartbeats with a wrong key came from a node's addresses; true when that is new. */
bool admin_wrong_key_note(struct admin_state *s, struct ts_nic_id node, struct ts_mono now);
bool admin_wrong_key_is_fresh(const struct admin_refused_peer *r, struct ts_mono now);

/* The status reply's object, new. */
json_t *admin_status_json(const struct admin_state *s, struct ts_mono now, uint64_t wall_us);
/* The groups of the latency reply, new. */
json_t *admin_latency_json(const struct admin_state *s, struct ts_mono now);
/* Its "alarms", new. */
json_t *admin_alarms_json(const struct admin_state *s, struct ts_mono now, uint64_t wall_us);

/* Keeps what nicd reports, and when a replica was started anew: a new process has not reported yet.
 */
void admin_take_procs(struct admin_state *s, const struct report_procs *procs, struct ts_mono now);
enum admin_primary_change {
    ADMIN_PRIMARY_SAME,
    ADMIN_PRIMARY_LOST, /* none was seen for admin_no_primary_after: once a loss */
    ADMIN_PRIMARY_BACK, /* one is seen again after that */
};
/* Looks again whether this group has a primary; to be called a few times a second. On a change
 * `lost_ns` is set to the time without one. */
enum admin_primary_change admin_primary_update(struct admin_state *s, const struct cfg_group *g,
                                               struct ts_mono now, uint64_t *lost_ns);
/* Whether the group has had no primary for longer than admin_no_primary_after. */
bool admin_primary_is_lost(const struct admin_state *s, struct ts_group_id group,
                           struct ts_mono now);
/* How long a takeover or a start may take before the lack of a primary is an alarm: a few
 * failure-timeouts, in nanoseconds. */
uint64_t admin_no_primary_after(const struct cfg_timing *t);
/* Whether nicd says that the replica of this group runs; true while nicd has said nothing. */
bool admin_replica_runs(const struct admin_state *s, struct ts_group_id group);
/* The name of a node; "?" for none. Borrowed. */
const char *admin_node_name(const struct cfg_cluster *c, struct ts_nic_id id);

#endif
