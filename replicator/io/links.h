/* The standing links of one replica to the other replicas of its group.
 *
 * Both sides dial on every path that has no live link, so a link comes back as soon
 * as either side can reach the other, and a dead process is noticed as a refused
 * connection. All links but one are spares: shaken hands, pinged, idle.
 * The one that carries frames is *active*. The replica with the lower node id chooses
 * it and says so with ACTIVATE(generation); the other follows and answers ACTIVATED.
 * Generations only rise, so both sides agree on which link is active, and frames of an
 * older one are dropped.
 *
 * For the replicator a *session* is the time between on_up and on_down: an ordered
 * stream of frames to one run of the peer's process. Moving to another path is on_down
 * (LINKS_DOWN_MOVED) and on_up. Frames sent in a session that ended may be lost.
 *
 * Every callback comes from the loop, never from within a call of this interface. */
#ifndef REPLICATOR_IO_LINKS_H
#define REPLICATOR_IO_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "net/link.h"

struct links;

/* X(symbol, text) */
#define LINKS_DOWN_LIST(X) \
    X(LINKS_DOWN_CLOSED, "the peer closed the connection") \
    X(LINKS_DOWN_MOVED, "moved to another path") \
    X(LINKS_DOWN_SILENT, "silent on every path") \
    X(LINKS_DOWN_RESTARTED, "the peer has a new process") \
    X(LINKS_DOWN_OVERFLOW, "the peer does not take its bytes") \
    X(LINKS_DOWN_MALFORMED, "the peer broke the protocol")

enum links_down {
#define LINKS_DOWN_ENUM(sym, text) sym,
    LINKS_DOWN_LIST(LINKS_DOWN_ENUM)
#undef LINKS_DOWN_ENUM
        LINKS_DOWN_REASONS
};

/* Static storage. */
const char *links_down_text(enum links_down reason);

/* The process at the other end of a session. */
struct links_peer {
    struct ts_nic_id nic;
    struct ts_instance instance;
    struct ts_incarnation incarnation;
    uint64_t start;
    unsigned path;
};

struct links_events {
    /* A session begins; frames flow both ways. `peer` is borrowed for the call. */
    void (*on_up)(void *arg, const struct links_peer *peer);
    /* The session ended. Frames that were not delivered are lost. */
    void (*on_down)(void *arg, struct ts_nic_id peer, enum links_down reason);
    /* No link is live and, since the last one ended, each path was tried anew and answered
     * "connection refused": nobody listens there. Repeated for every further full round. `instance`
     * is the last one seen, 0 when none was. */
    void (*on_refused_everywhere)(void *arg, struct ts_nic_id peer, struct ts_instance instance);
    /* One frame of the session; type ≥ NET_FRAME_USER; borrowed for the call. */
    void (*on_frame)(void *arg, struct ts_nic_id peer, uint8_t type, struct ts_bytes payload);
};

struct links_config {
    struct net_env env;
    const struct cfg_cluster *cluster; /* borrowed, must outlive the links */
    struct ts_nic_id self;
    struct ts_group_id group;
    struct ts_instance instance;
    struct ts_incarnation incarnation;
    uint64_t start;
    struct links_events events;
    void *arg;
};

/* Listens on every path and begins to dial. On failure `why` says what and where.
 * TS_ERR_BUSY: the port is in use; TS_ERR_CONFIG: this node or group is not in the cluster;
 * TS_ERR_NOMEM; TS_ERR_SYSTEM. */
enum ts_err links_open(const struct links_config *config, struct links **out,
                       struct ts_why *why) TS_MUST_USE;
/* Ends all sessions without on_down; frees itself once the loop has closed the sockets, which
 * takes some turns. `l` is gone for the caller. NULL is allowed. */
void links_close(struct links *l);

/* Gathers one frame of the peer's session for the end of this turn; copies.
 * TS_ERR_CLOSED: no session; TS_ERR_LIMIT: longer than a frame may be (8 MiB);
 * TS_ERR_FULL: the output limit is reached; on_down follows. */
enum ts_err links_send(struct links *l, struct ts_nic_id peer, uint8_t type,
                       struct ts_bytes payload) TS_MUST_USE;
/* The same for a payload in two parts, written one behind the other. */
enum ts_err links_send2(struct links *l, struct ts_nic_id peer, uint8_t type, struct ts_bytes a,
                        struct ts_bytes b) TS_MUST_USE;
/* What heartbeatd says: bit n set = path n to the peer is up. All paths count as up before the
 * first call. The session leaves a path that is down when another live one is up. */
void links_path_state(struct links *l, struct ts_nic_id peer, uint8_t path_up_mask);

/* Queries. */
bool links_is_up(const struct links *l, struct ts_nic_id peer);
/* The session's path; -1 without a session. */
int links_path(const struct links *l, struct ts_nic_id peer);
/* Paths on which a live link exists, bit n = path n. */
uint8_t links_live_mask(const struct links *l, struct ts_nic_id peer);
/* The newest sign of life of the peer on any path: bytes came in, or a round trip was proven; 0
 * when there was none. An answer may be late because this process or the peer's waits for its turn;
 * what the peer sends by itself says enough about whether it lives. */
struct ts_mono links_heard(const struct links *l, struct ts_nic_id peer);
/* The newest time at which the peer was asked something on the link in use and has answered since;
 * 0 when there is no link. What it sent before its answer has come in, too. */
struct ts_mono links_answered(const struct links *l, struct ts_nic_id peer);
/* Bytes gathered for the session and not yet taken by the kernel. */
uint32_t links_backlog(const struct links *l, struct ts_nic_id peer);
const struct net_counters *links_counters(const struct links *l);

#endif
