/* The network between nodes: paths, links between replicas, links to voters. */
#ifndef TESTS_SIM_SIM_NET_H
#define TESTS_SIM_SIM_NET_H

#include "cluster-cfg/register_msg.h"
#include "heartbeat/codec.h"
#include "tests/sim/sim_event.h"
#include "tests/sim/sim_plan.h"

struct sim;

/* ---- the network ------------------------------------------------------------------------- */

struct sim_path {
    uint64_t cut_from; /* cut between the two, and if `flap` is set in every other period of it */
    uint64_t cut_until;
    uint64_t flap;
    uint64_t bad_until; /* until then: */
    uint16_t loss_pm;   /* per mille */
    uint16_t copy_pm;
    uint16_t damage_pm;
    uint16_t replay_pm;
    uint64_t delay_more;   /* at most so much more, at random: this reorders */
    uint64_t bytes_per_ms; /* 0 = any */
};

#define SIM_KEPT_MAX 32

/* A datagram that may be sent again. */
struct sim_kept {
    uint8_t bytes[HB_DATAGRAM_BYTES];
    uint8_t from, to, path;
};

struct sim_net {
    struct sim_path path[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1][SIM_PATHS];
    uint64_t late_until; /* register messages may take up to `late_max` until then */
    uint64_t late_max;
    struct sim_kept kept[SIM_KEPT_MAX];
    uint64_t kept_count;
};

/* A frame in a stream. */
struct sim_frame {
    struct sim_frame *next;
    uint64_t due;
    uint8_t *bytes;
    uint32_t len;
    uint8_t type;
};

/* One end of a connection, and the stream to it. */
struct sim_end {
    bool open;
    uint64_t life;     /* of the process */
    uint64_t heard;    /* newest proven round trip, virtual time */
    uint64_t received; /* newest bytes that came in */
    uint64_t up_at;
    uint64_t asked_at;    /* when it last asked for this one to be chosen */
    uint64_t sent;        /* frames in the stream to it so far, */
    uint64_t taken;       /* and of those the ones that it has had */
    uint64_t answered;    /* newest ping with an answer: when it was asked */
    uint64_t ping_at;     /* of the one that is under way; 0 = none */
    uint64_t ping_behind; /* frames before it; when it is there, before its answer */
    bool ping_there;
    struct sim_frame *first;
    struct sim_frame *last;
    uint64_t last_due;
    uint64_t pump_at; /* of the pending event; 0 = none */
    uint64_t rto;
};

struct sim_conn {
    bool used;
    uint64_t id;
    int path;
    struct sim_end end[2]; /* of the lower and the higher node */
};

#define SIM_CONNS_MAX 12

/* What one side keeps of the links to one peer. */
struct sim_side {
    uint64_t process;    /* newest peer life seen */
    uint64_t generation; /* of the newest ACTIVATE sent or followed */
    uint64_t active;     /* connection id, 0 = no session */
    uint64_t wanted;
    uint64_t wanted_at;
    uint64_t live_end;
    uint64_t heard;
    uint8_t path_up_mask;
    uint64_t doubt_until[SIM_PATHS];
    uint64_t backoff[SIM_PATHS];
    uint64_t refused_at[SIM_PATHS];
    bool dialling[SIM_PATHS];
    uint64_t ping_at;
    uint64_t watched_at; /* the newest look, to notice own stalls */
    uint64_t judge_from; /* silence before it may be an own stall */
};

/* The links between two NICs. */
struct sim_pair {
    int node[2];
    struct sim_conn conn[SIM_CONNS_MAX];
    struct sim_side side[2];
};

/* ---- sim_net.c --------------------------------------------------------------------------- */

bool sim_net_is_cut(const struct sim *s, int from, int to, int path);
/* Whether both ways of the path are open. */
bool sim_net_path_open(const struct sim *s, int a, int b, int path);
bool sim_net_any_path_open(const struct sim *s, int a, int b);
uint64_t sim_net_delay(struct sim *s, int from, int to, int path, size_t len);
void sim_net_datagram(struct sim *s, int from, int to, int path, const uint8_t *bytes);
/* A register message from a process to a voter, or a voter's reply to it. */
void sim_net_to_voter(struct sim *s, int from, enum sim_proc proc, int voter,
                      const struct reg_msg *msg);
void sim_net_from_voter(struct sim *s, int voter, uint64_t handle, const struct reg_msg *msg);
uint64_t sim_net_handle(int node, enum sim_proc proc, uint64_t life);
void sim_net_heal(struct sim *s);

/* ---- sim_link.c -------------------------------------------------------------------------- */

void sim_link_open(struct sim *s, int node); /* the replica listens and dials from now on */
void sim_link_process_ended(struct sim *s, int node);
void sim_link_node_lost(struct sim *s, int node); /* without a word to the others */
void sim_link_watch(struct sim *s, int node);     /* pings, judges, chooses */
void sim_link_event(struct sim *s, struct sim_event *ev);
void sim_link_send(struct sim *s, int from, int to, uint8_t type, struct ts_bytes head,
                   struct ts_bytes body);
void sim_link_path_state(struct sim *s, int node, int peer, uint8_t mask);
bool sim_link_is_up(const struct sim *s, int node, int peer);
uint64_t sim_link_heard(const struct sim *s, int node, int peer);
uint64_t sim_link_answered(const struct sim *s, int node, int peer);
/* Faults: resets the connections of a pair on this path, or all (-1). */
void sim_link_reset(struct sim *s, int a, int b, int path);
void sim_link_free(struct sim *s);

#endif
