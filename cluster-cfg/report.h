/* Local reports: Unix datagrams inside a NIC. Each is a repeat of the sender's whole
 * current state, so that a lost one does not matter; only trace reports are a stream.
 *
 *   nicd       → heartbeatd, cluster-cfgd   which processes run        (report_procs)
 *   heartbeatd → replicas, cluster-cfgd     who is alive, on which path (report_peers)
 *   replica    → cluster-cfgd               state of its group          (report_replica)
 *   any        → cluster-cfgd               trace events                (report_trace)
 *   replica    → cluster-cfgd               what it counted and timed   (report_figures)
 *   cluster-cfgd → replica                  the operator's wishes       (report_handoff,
 *                                                                       report_snapshot)
 *   replica    → nicd                       that it serves still        (report_serves),
 *                                           whose connections are gone  (report_reset)
 *   nicd       → cluster-cfgd               who has a service address   (report_address)
 *   replica    → cluster-cfgd               who does not take its certificate, or the other way
 *                                           round                       (report_refused) */
#ifndef CLUSTER_CFG_REPORT_H
#define CLUSTER_CFG_REPORT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/histogram.h"
#include "base/ids.h"
#include "base/trace.h"
#include "cluster-cfg/config.h"

#define REPORT_VERSION 1
#define REPORT_BYTES_MAX 8192
#define REPORT_PROCS_MAX (TS_GROUPS_MAX + 3)
#define REPORT_SAID_MAX 240 /* bytes, NUL included; printable ASCII */
#define REPORT_REFUSED_MAX 160
#define REPORT_SAID_COUNT 16
#define REPORT_TRACES_MAX 64

enum report_kind {
    REPORT_NONE = 0, /* not a report of this version; never encoded */
    REPORT_PROCS = 1,
    REPORT_PEERS = 2,
    REPORT_REPLICA = 3,
    REPORT_TRACE = 4,
    REPORT_HANDOFF = 5,
    REPORT_FIGURES = 6,
    REPORT_SERVES = 7,
    REPORT_SNAPSHOT = 8,
    REPORT_RESET = 9,
    REPORT_ADDRESS = 10,
    REPORT_REFUSED = 11,
};

enum report_proc_role {
    REPORT_PROC_NICD = 0,
    REPORT_PROC_HEARTBEATD = 1,
    REPORT_PROC_CLUSTER_CFGD = 2,
    REPORT_PROC_REPLICA = 3,
};

/* One supervised process, as nicd sees it. */
struct report_proc {
    enum report_proc_role role;
    struct ts_group_id group; /* replicas only, else 0 */
    bool running;
    uint32_t pid;        /* of the running or the last one */
    uint32_t starts;     /* how often nicd started it; grows with each exit */
    int32_t last_status; /* exit status, or -signal; 0 before the first exit */
    /* The last line of an ended process on its standard error: its reason, when it had one.
     * Empty while it runs, and for all but the first REPORT_SAID_COUNT ended ones. */
    char said[REPORT_SAID_MAX];
};

struct report_procs {
    struct ts_nic_id nic;
    uint8_t count;
    struct report_proc p[REPORT_PROCS_MAX];
};

/* What heartbeatd says of one other node. */
struct report_peer {
    struct ts_nic_id nic;
    bool alive;                    /* heard on some path within failure-timeout */
    uint8_t path_up_mask;          /* bit n: path n heard within path-timeout */
    struct ts_instance instance;   /* of the peer's heartbeatd, 0 = never heard */
    uint32_t silent_ms;            /* since the newest heartbeat on any path */
    uint64_t heartbeats_received;  /* on all paths, since the reporter started */
    uint64_t heartbeats_lost;      /* numbers that were skipped */
    uint64_t replica_running_mask; /* bit g: the peer's nicd says that group g's replica runs */
    uint64_t replica_known_mask;   /* bit g: the peer's nicd has said anything about it */
    uint8_t replica_starts[TS_GROUPS_MAX + 1]; /* low byte of nicd's start count a group */
};

struct report_peers {
    struct ts_nic_id nic;  /* the reporter */
    uint32_t own_stall_ms; /* longest stall of the reporter within the last second */
    uint8_t count;
    struct report_peer p[TS_NODES_MAX];
};

enum report_role {
    REPORT_ROLE_STARTING = 0,
    REPORT_ROLE_PRIMARY = 1,
    REPORT_ROLE_TAKING_OVER = 2,
    REPORT_ROLE_SECONDARY = 3,
    REPORT_ROLE_LEARNER = 4,
    REPORT_ROLE_HALTED = 5,
};

/* Why a peer was taken for lost: field `b` of the traces "evidence" and "in-sync-remove". The
 * numbers are those of the replication core. X(symbol, number, text for people) */
#define REPORT_EVIDENCE_LIST(X) \
    X(REPORT_EVIDENCE_NONE, 0, "no evidence") \
    X(REPORT_EVIDENCE_SILENT, 1, "silent for the failure timeout") \
    X(REPORT_EVIDENCE_REFUSED, 2, "link closed and reconnects refused on every path") \
    X(REPORT_EVIDENCE_EXITED, 3, "its nicd said that the process exited") \
    X(REPORT_EVIDENCE_RESTARTED, 4, "a new process answered in its place") \
    X(REPORT_EVIDENCE_SELF, 5, "it is the restarted primary itself") \
    X(REPORT_EVIDENCE_ABDICATED, 6, "it asked for this, since its disk hangs or has failed") \
    X(REPORT_EVIDENCE_STUCK, 7, "its disk finishes nothing, while its link is well") \
    X(REPORT_EVIDENCE_HANDED_OVER, 8, "it handed over, as the operator wished")

enum report_evidence {
#define REPORT_EVIDENCE_ENUM(sym, number, text) sym = number,
    REPORT_EVIDENCE_LIST(REPORT_EVIDENCE_ENUM)
#undef REPORT_EVIDENCE_ENUM
        REPORT_EVIDENCES
};

/* Field `a` of the trace "role". The numbers are those of the replication core.
 * X(symbol, number, text for people) */
#define REPORT_TRACE_ROLE_LIST(X) \
    X(REPORT_TRACE_ROLE_STARTING, 0, "starting") \
    X(REPORT_TRACE_ROLE_SECONDARY, 1, "secondary") \
    X(REPORT_TRACE_ROLE_TAKING_OVER, 2, "taking over") \
    X(REPORT_TRACE_ROLE_PRIMARY, 3, "primary") \
    X(REPORT_TRACE_ROLE_HALTED, 4, "halted")

enum report_trace_role {
#define REPORT_TRACE_ROLE_ENUM(sym, number, text) sym = number,
    REPORT_TRACE_ROLE_LIST(REPORT_TRACE_ROLE_ENUM)
#undef REPORT_TRACE_ROLE_ENUM
        REPORT_TRACE_ROLES
};

/* Why a replica does not serve: one sentence each, for `status` and for field `b` of the trace
 * "role". The replication core's enum repl_why is made of this list; REGISTER stands in old events
 * only. X(name, number, text) */
#define REPORT_WHY_LIST(X) \
    X(NONE, 0, "") \
    X(REGISTER, 1, "no majority of voters answers: start more of them") \
    X(NOT_IN_SYNC, 2, \
      "the primary is away and this replica may lack acknowledged entries: start the primary's " \
      "NIC") \
    X(NOT_A_MEMBER, 3, "the group's config does not list this NIC") \
    X(OTHER_DISK, 4, "the group's config lists another disk for this NIC: this one was replaced") \
    X(ACK_MISSING, 5, \
      "an in-sync replica does not acknowledge, and no majority of voters has removed it") \
    X(DISK, 6, "the journal failed: free room on a full disk, replace a broken one") \
    X(DIVERGED, 7, "the applied state conflicts with the primary's log: keep both, call for help") \
    X(SUSPECT, 8, \
      "results differ between replicas: nobody serves until all in-sync ones have replayed their " \
      "logs") \
    X(TAKING_OVER, 9, "takes over") \
    X(FLOOR_AHEAD, 10, \
      "it promised itself to an epoch that the voters do not know: they were set back; put back " \
      "their newest disks") \
    X(STARTING, 11, "this replica is starting: it asks the voters for the group's config") \
    X(ABDICATED, 12, \
      "its disk hangs or has failed, so it asked another replica to take over: look after the " \
      "disk") \
    X(HANDING_OVER, 13, "it hands over to another replica, as the operator wished") \
    X(ENROLS, 14, \
      "its disk is a new one in the place of a lost one: it asks the primary to enrol it") \
    X(REPLAYS, 15, \
      "results differ between replicas: it keeps its state in a file, and replays its log") \
    X(REPLAYS_DIFFER, 16, \
      "results differ, also after a replay: the group halts; keep all nodes' data, call for help")

enum report_why {
#define REPORT_WHY_ENUM(name, number, text) REPORT_WHY_##name = number,
    REPORT_WHY_LIST(REPORT_WHY_ENUM)
#undef REPORT_WHY_ENUM
        REPORT_WHYS
};

/* Static storage; "?" for a number out of range. */
const char *report_why_text(uint64_t number);
const char *report_evidence_text(uint64_t number);
const char *report_trace_role_text(uint64_t number);

/* X(symbol, bit, text for people) */
#define REPORT_ALARM_LIST(X) \
    X(REPORT_ALARM_DIVERGENCE, 0, "replicas diverged: digests differ at the same seq") \
    X(REPORT_ALARM_NOT_COMPARED, 1, "digests could not be compared") \
    X(REPORT_ALARM_CHAIN, 2, "a peer's log conflicts with this one") \
    X(REPORT_ALARM_NO_MAJORITY, 3, \
      "no majority of voters answers: no takeover and no removal of a dead replica can be " \
      "decided " \
      "now") \
    X(REPORT_ALARM_NOT_REDUNDANT, 4, "fewer replicas in sync than members") \
    X(REPORT_ALARM_DISK, 5, "the journal failed") \
    X(REPORT_ALARM_BLOCKED, 6, "requests wait for a replica or for voters") \
    X(REPORT_ALARM_VOTER_LOST, 8, "a voter does not answer") \
    X(REPORT_ALARM_DISK_HANGS, 9, "the disk finishes no write of the journal: look after it") \
    X(REPORT_ALARM_DISK_SPACE, 10, \
      "the group's disk space runs short: raise its disk-limit, or free space") \
    X(REPORT_ALARM_DISK_FULL, 11, \
      "writes are refused for want of disk space: raise the group's disk-limit, free space, or " \
      "remove keys") \
    X(REPORT_ALARM_DISK_DAMAGED, 12, \
      "the disk holds damaged data, which is not needed as long as this replica runs: replace it")

enum report_alarm {
#define REPORT_ALARM_ENUM(sym, bit, text) sym = bit,
    REPORT_ALARM_LIST(REPORT_ALARM_ENUM)
#undef REPORT_ALARM_ENUM
        REPORT_ALARMS
};

struct report_replica_peer {
    struct ts_nic_id nic;
    bool connected;
    uint8_t path;        /* the path in use while connected */
    struct ts_seq acked; /* highest acknowledged position, 0 when unknown */
};

struct report_replica {
    struct ts_nic_id nic;
    struct ts_group_id group;
    enum report_role role;
    struct cfg_config config; /* the last decided one that the replica knows */
    uint64_t required_mask;   /* required set, bit = NIC */
    struct ts_instance instance;
    struct ts_incarnation incarnation;
    struct ts_seq last; /* end of the log */
    struct ts_seq committed;
    struct ts_seq applied;
    struct ts_hash digest;     /* of the state after `applied`; zero when not kept */
    uint64_t alarms;           /* bits of enum report_alarm */
    uint64_t requests_waiting; /* ordered, not yet answered */
    uint64_t requests_total;
    uint64_t rejected_total; /* hostile or malformed inputs refused: of clients, peers, strangers */
    char why[160];           /* one sentence on what it waits for; empty when all is well */
    uint8_t peer_count;
    struct report_replica_peer peers[TS_MEMBERS_MAX];
};

/* What a client's command went through at the primary, in order. Each is counted when its stage is
 * over; commands of one batch go through all but the first together. X(symbol, name, text) */
#define REPORT_STAGE_LIST(X) \
    X(REPORT_STAGE_QUEUE, "queue", "from being read from its client to being ordered") \
    X(REPORT_STAGE_JOURNAL, "journal", "from being ordered to being durable on the own disk") \
    X(REPORT_STAGE_FABRIC, "fabric", \
      "from being ordered to the acknowledgement of the last other required replica") \
    X(REPORT_STAGE_COMMIT, "commit", "from being ordered to being committed") \
    X(REPORT_STAGE_APPLY, "apply", "from being committed to having been executed") \
    X(REPORT_STAGE_REPLY, "reply", "from having been executed to the write to its client")

enum report_stage {
#define REPORT_STAGE_ENUM(sym, name, text) sym,
    REPORT_STAGE_LIST(REPORT_STAGE_ENUM)
#undef REPORT_STAGE_ENUM
        REPORT_STAGES
};

/* What a replica counts since it started. X(symbol, name, text) */
#define REPORT_COUNTER_LIST(X) \
    X(REPORT_COUNTER_REQUESTS, "requests", "Client commands that were ordered here.") \
    X(REPORT_COUNTER_READS, "reads", "Client commands that were answered after a read round.") \
    X(REPORT_COUNTER_BATCHES, "batches", "Batches of client commands that were ordered here.") \
    X(REPORT_COUNTER_COMMITS, "commits", "Log entries that were committed and applied here.") \
    X(REPORT_COUNTER_APPLIED_BYTES, "applied_bytes", "Bytes of the batches applied here.") \
    X(REPORT_COUNTER_CLIENT_IN_BYTES, "client_received_bytes", "Bytes read from clients.") \
    X(REPORT_COUNTER_CLIENT_OUT_BYTES, "client_sent_bytes", "Bytes written to clients.") \
    X(REPORT_COUNTER_CONNECTIONS, "client_connections", "Connections of clients accepted.") \
    X(REPORT_COUNTER_REFUSED, "client_refused", \
      "Client commands answered READONLY or CLUSTERDOWN.") \
    X(REPORT_COUNTER_UNAUTHORIZED, "client_unauthorized", \
      "Client commands refused for a wrong password or a missing role.") \
    X(REPORT_COUNTER_CLOSED, "client_closed_unanswered", \
      "Connections closed with commands that were ordered and not answered.") \
    X(REPORT_COUNTER_SESSIONS_EVICTED, "sessions_evicted", \
      "Sessions that ended since they were idle, as this replica's state has it.") \
    X(REPORT_COUNTER_SESSIONS_REFUSED, "sessions_refused", \
      "Commands of sessions refused for want of room, as this replica executed them.") \
    X(REPORT_COUNTER_REJECTED, "rejected_packets", \
      "Hostile or malformed input refused: of clients, peers and strangers.") \
    X(REPORT_COUNTER_TAKEOVERS, "takeovers", "Takeovers that this replica finished.") \
    X(REPORT_COUNTER_ROLES, "role_changes", "Changes of this replica's role.") \
    X(REPORT_COUNTER_IN_SYNC, "in_sync_changes", \
      "Replicas that this one, as primary, took into or out of the in-sync set.") \
    X(REPORT_COUNTER_HANDOFFS, "handoffs", "Handoffs that this replica began as primary.") \
    X(REPORT_COUNTER_SNAPSHOTS, "snapshots", "Snapshots taken.") \
    X(REPORT_COUNTER_SNAPSHOTS_FAILED, "snapshot_failures", "Snapshots that failed.") \
    X(REPORT_COUNTER_SCRUBS, "scrubs", "Passes through the disk that looked for damage.") \
    X(REPORT_COUNTER_SCRUB_FOUND, "scrub_findings", "Damaged places that these found.") \
    X(REPORT_COUNTER_TRACES_DROPPED, "events_dropped", "Events that did not reach the recorder.")

enum report_counter {
#define REPORT_COUNTER_ENUM(sym, name, text) sym,
    REPORT_COUNTER_LIST(REPORT_COUNTER_ENUM)
#undef REPORT_COUNTER_ENUM
        REPORT_COUNTERS
};

/* What a replica has. X(symbol, name, text) */
#define REPORT_GAUGE_LIST(X) \
    X(REPORT_GAUGE_SESSIONS, "sessions", "Sessions that are open.") \
    X(REPORT_GAUGE_SESSIONS_MAX, "sessions_max", "Sessions that may be open at one time.") \
    X(REPORT_GAUGE_SESSION_BYTES, "session_reply_bytes", \
      "Bytes of replies that are kept for sessions, with what each costs besides.")

enum report_gauge {
#define REPORT_GAUGE_ENUM(sym, name, text) sym,
    REPORT_GAUGE_LIST(REPORT_GAUGE_ENUM)
#undef REPORT_GAUGE_ENUM
        REPORT_GAUGES
};

/* "queue", "requests"; one sentence each. Static storage; the argument must be in range. */
const char *report_stage_name(enum report_stage stage);
const char *report_stage_text(enum report_stage stage);
const char *report_counter_name(enum report_counter counter);
const char *report_counter_text(enum report_counter counter);
const char *report_gauge_name(enum report_gauge gauge);
const char *report_gauge_text(enum report_gauge gauge);

/* Everything since the process of `instance` started; repeated each second. */
struct report_figures {
    struct ts_nic_id nic;
    struct ts_group_id group;
    struct ts_instance instance;
    uint64_t counter[REPORT_COUNTERS];
    uint64_t gauge[REPORT_GAUGES];
    struct ts_histogram stage[REPORT_STAGES];
};

/* A burst of trace events of one process, in order. `dropped` counts those that did not
 * fit since the process started. */
struct report_trace {
    struct ts_nic_id nic;
    enum report_proc_role role;
    struct ts_group_id group;
    struct ts_instance instance;
    uint64_t dropped;
    uint8_t count;
    struct ts_trace t[REPORT_TRACES_MAX];
};

/* The operator wants the primary of this group and epoch to hand over (R4.5): to `target`, or to
 * any replica in sync when that is 0. Whoever wants it says it again until it has come about. */
struct report_handoff {
    struct ts_group_id group;
    struct ts_epoch epoch;
    struct ts_nic_id target;
};

/* Whether this replica serves as the group's primary (R4.8), and when it was seen last that nobody
 * has taken over from it: a round trip with each replica that could. */
struct report_serves {
    struct ts_group_id group;
    bool serves;
    struct ts_epoch epoch;
    struct ts_mono confirmed; /* of the NIC's clock; 0 when it does not serve */
};

/* A client, by the other end of its connection to a service address. */
struct report_client {
    uint8_t bytes[16]; /* of its IPv6 address, or the first four of an IPv4 one; others are 0 */
    uint16_t port;     /* 0: none */
};

/* These clients had connections to the service address where it was before: whoever waits on one
 * is to be told that it is gone. It is said again a few times. */
#define REPORT_CLIENTS_MAX 200 /* probes for so many fit a socket's buffer at once */
struct report_reset {
    struct ts_group_id group;
    bool v6;       /* the addresses' family */
    uint8_t round; /* how often it was said before */
    uint16_t count;
    struct report_client c[REPORT_CLIENTS_MAX];
};

/* Whether this NIC has the group's service address, and whether it can. */
#define REPORT_INTERFACE_MAX 16
struct report_address {
    struct ts_nic_id nic;
    struct ts_group_id group;
    char interface[REPORT_INTERFACE_MAX]; /* that has it; "": it is not here */
    /* Why it cannot be here, or, when it is, why clients may not find it there; "": it can, they
     * do. Printable ASCII. */
    char why[160];
};

/* The operator wants a snapshot of a state in which this entry was executed, or a later one. It is
 * said again until there is one. */
struct report_snapshot {
    struct ts_group_id group;
    struct ts_seq seq;
};

/* Codecs, encode beside decode. An encoding begins {u8 version, u8 kind}. The decoders refuse
 * counts, enums and strings out of range (TS_ERR_MALFORMED), other versions (TS_ERR_VERSION).
 * Peek gives the kind, REPORT_NONE when it is none. On an error `r` is unchanged; otherwise what
 * lies behind a count is undefined. */
enum report_kind report_peek(struct ts_bytes datagram);
/* A link of the replica's did not come up, since one of the two sides does not take the other's
 * certificate: sent at each attempt. */
struct report_refused {
    struct ts_nic_id nic; /* the reporter's */
    struct ts_nic_id peer;
    char why[REPORT_REFUSED_MAX]; /* parts of a sentence, as of voter_client_events.on_refused */
    char detail[REPORT_REFUSED_MAX];
};

enum ts_err report_procs_encode(const struct report_procs *r, struct ts_writer *w) TS_MUST_USE;
enum ts_err report_procs_decode(struct report_procs *r, struct ts_bytes datagram) TS_MUST_USE;
enum ts_err report_peers_encode(const struct report_peers *r, struct ts_writer *w) TS_MUST_USE;
enum ts_err report_peers_decode(struct report_peers *r, struct ts_bytes datagram) TS_MUST_USE;
enum ts_err report_replica_encode(const struct report_replica *r, struct ts_writer *w) TS_MUST_USE;
enum ts_err report_replica_decode(struct report_replica *r, struct ts_bytes datagram) TS_MUST_USE;
enum ts_err report_trace_encode(const struct report_trace *r, struct ts_writer *w) TS_MUST_USE;
enum ts_err report_trace_decode(struct report_trace *r, struct ts_bytes datagram) TS_MUST_USE;
enum ts_err report_figures_encode(const struct report_figures *r, struct ts_writer *w) TS_MUST_USE;
enum ts_err report_figures_decode(struct report_figures *r, struct ts_bytes datagram) TS_MUST_USE;
enum ts_err report_snapshot_encode(const struct report_snapshot *r,
                                   struct ts_writer *w) TS_MUST_USE;
enum ts_err report_snapshot_decode(struct report_snapshot *r, struct ts_bytes datagram) TS_MUST_USE;
enum ts_err report_handoff_encode(const struct report_handoff *r, struct ts_writer *w) TS_MUST_USE;
enum ts_err report_handoff_decode(struct report_handoff *r, struct ts_bytes datagram) TS_MUST_USE;
enum ts_err report_serves_encode(const struct report_serves *r, struct ts_writer *w) TS_MUST_USE;
enum ts_err report_serves_decode(struct report_serves *r, struct ts_bytes datagram) TS_MUST_USE;
enum ts_err report_reset_encode(const struct report_reset *r, struct ts_writer *w) TS_MUST_USE;
enum ts_err report_reset_decode(struct report_reset *r, struct ts_bytes datagram) TS_MUST_USE;
enum ts_err report_address_encode(const struct report_address *r, struct ts_writer *w) TS_MUST_USE;
enum ts_err report_address_decode(struct report_address *r, struct ts_bytes datagram) TS_MUST_USE;
enum ts_err report_refused_encode(const struct report_refused *r, struct ts_writer *w) TS_MUST_USE;
enum ts_err report_refused_decode(struct report_refused *r, struct ts_bytes datagram) TS_MUST_USE;
/* A client as it stands in messages: its address and its port. */
void report_client_put(struct ts_writer *w, const struct report_client *c, bool v6);
struct report_client report_client_get(struct ts_reader *r, bool v6);

#endif
