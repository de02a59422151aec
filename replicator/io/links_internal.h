/* What links.c (interface), links_peer.c (sessions, the choice of the active link) and
 * links_dial.c (connecting, timers) share. Nobody else includes it. */
#ifndef REPLICATOR_IO_LINKS_INTERNAL_H
#define REPLICATOR_IO_LINKS_INTERNAL_H

#include "base/prng.h"
#include "cluster-cfg/io/known_nodes.h"
#include "net/listener.h"
#include "replicator/io/links.h"

/* Connections to one peer: on each path one of each direction, twice for the moment in which a
 * restarted peer's old ones are not yet known to be dead. */
#define LINKS_CONNS_MAX (4 * TS_PATHS_MAX)
/* The first retry comes soon: the listener of a process that was just killed may answer for an
 * instant longer than its connections, and the refusal after it is what starts a takeover. */
#define LINKS_BACKOFF_MIN_NS (1 * TS_NS_PER_MS)
#define LINKS_SHORT_LIVED_NS \
    (5 * TS_NS_PER_MS) /* a link that ended so soon is not redialled at once */
#define LINKS_BACKOFF_MAX_NS (200 * TS_NS_PER_MS)

/* One connection, from the dial or from its HELLO on. */
struct links_conn {
    struct links_member *member; /* NULL: the slot is free */
    struct net_link *link;
    unsigned path;
    bool up;
    struct ts_mono up_at;
    struct ts_mono request_at; /* when this side last asked for it to be chosen */
};

/* The attempts on one path. */
struct links_dial {
    struct links_conn *conn; /* under way, not up yet */
    uint64_t backoff_ns;
    struct ts_mono next_at;    /* not before */
    struct ts_mono refused_at; /* the newest attempt was refused then; 0 otherwise */
};

/* One other replica of the group. */
struct links_member {
    struct links *links; /* config */
    const struct cfg_node *node;
    bool chooser; /* this side chooses the active link */

    uint8_t path_up_mask; /* volatile: heartbeatd's word */
    struct links_conn conns[LINKS_CONNS_MAX];
    struct links_dial dials[TS_PATHS_MAX];
    struct ts_mono doubt_until[TS_PATHS_MAX]; /* the peer asked to leave this path */
    struct ts_mono live_end;                  /* when the last live link ended */
    struct ts_mono heard;                     /* of links that ended */
    struct links_peer peer;                   /* the newest process seen; instance 0: none */
    uint64_t generation;                      /* of the newest ACTIVATE sent or followed */
    struct links_conn *active;                /* the session's link; NULL: no session */
    struct links_conn *wanted;                /* chooser: ACTIVATE is sent, not answered */
    struct ts_mono wanted_at;
    struct net_turn_hook decide;
};

struct links {
    struct links_config config;
    struct known_nodes known;
    struct net_endpoint ep;
    struct net_listener *listener;
    uv_timer_t timer;
    bool timer_closed;
    bool ep_drained;
    bool closing;
    struct ts_mono planned;    /* when the timer should fire */
    struct ts_mono ping_at;    /* the next round of pings */
    struct ts_mono judge_from; /* silence before it may be this process's own stall */
    struct ts_prng prng;
    size_t member_count;
    struct links_member members[TS_MEMBERS_MAX];
};

/* links_peer.c */
extern const struct net_link_events links_accepted_events;
extern const struct net_link_events links_dialled_events;
struct links_member *links_member_find(const struct links *l, struct ts_nic_id nic);
/* Chooses, or asks the peer to; ends a session that is silent everywhere. */
void links_decide(void *member);
bool links_path_live(const struct links_member *m, unsigned path);
/* The newest sign of life on it: bytes came in, or a round trip is proven. */
struct ts_mono links_conn_heard(const struct links_conn *c);
bool links_any_live(const struct links_member *m);
void links_conn_free(struct links_conn *c);
struct links_conn *links_conn_new(struct links_member *m, struct net_link *link, unsigned path);

/* links_dial.c */
/* Has every path without a live link tried at once. */
void links_dial_now(struct links_member *m);
/* An attempt ended without a link. */
void links_dial_failed(struct links_conn *c, enum net_down reason);
/* A link is up on this path. */
void links_dial_done(struct links_member *m, unsigned path);
void links_timer_fire(uv_timer_t *timer);
/* Sets the timer to the next deadline; notices when this process did not run in time. */
void links_timer_plan(struct links *l);

#endif
