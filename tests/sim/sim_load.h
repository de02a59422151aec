/* Clients and their history, and what must hold. */
#ifndef TESTS_SIM_SIM_LOAD_H
#define TESTS_SIM_SIM_LOAD_H

#include "cluster-cfg/config.h"
#include "cluster-cfg/register_msg.h"
#include "cluster-cfg/voter.h"
#include "services/session_msg.h"
#include "services/svc.h"
#include "tests/sim/sim_event.h"
#include "tests/sim/sim_plan.h"

struct repl_mark;
struct sim;
struct repl_batch;
struct repl_event;
struct ts_trace;

struct sim_replica;
struct sim_waiting;

/* ---- the load and the checks -------------------------------------------------------------- */

/* One operation of a client, for the checks and for the linearizability library. */
struct sim_record {
    uint64_t begun;
    uint64_t ended; /* UINT64_MAX: never answered */
    uint64_t id;    /* also the value that a write brings */
    uint64_t floor; /* the newest position that any operation had seen when this one began */
    uint64_t position;
    uint32_t client;
    uint8_t command; /* enum kv_command_id */
    uint8_t key;
    bool read;
    bool refused; /* certainly not executed */
    bool answered;
    uint8_t op;      /* enum session_op, 0: it is in no session */
    size_t reply_at; /* its bytes, in the load's */
    size_t reply_len;
    /* of a write: what is ordered bears the number of an attempt, of which there may be several */
    uint64_t attempt; /* the newest, the first is `id` */
    uint64_t done_by; /* the one that was executed, 0: none was … */
    uint64_t done_at; /* … and its position */
    uint64_t said;    /* a hash of its reply, in a session */
    /* of one in a session */
    uint64_t session;
    uint64_t connection;
    uint64_t number;
};

#define SIM_NO_RECORD UINT32_MAX
/* More than a session's window has. */
#define SIM_SESSION_TOLD 32

/* What a client knows of its session (sim_session.c). */
struct sim_session {
    uint64_t id; /* 0: none */
    uint64_t connection;
    uint64_t next;  /* number of the next write */
    uint64_t acked; /* the most that it ever said to have */
    uint64_t dead;  /* id of one that has ended; 0: it knows none */
    int node;       /* its connection goes there, … */
    uint64_t life;  /* … to this process; 0: to none */
    bool full;      /* the newest request was refused for what is not acknowledged */
    uint32_t open;  /* the record whose outcome it does not know, of number `next` */
    uint32_t told[SIM_SESSION_TOLD]; /* records, by number */
};

struct sim_client {
    struct sim_session session;
    int guess;
    bool busy;
    unsigned misses; /* tries in a row without a node that serves */
    uint32_t record;
    int asked;             /* the node that has its command */
    int silent;            /* a node that did not answer is not asked … */
    uint64_t silent_until; /* … before that */
    uint64_t until;        /* its patience with the operation that it waits for ends */
    uint64_t look_at;      /* … which is looked at then; 0: no look is planned */
};

struct sim_load {
    struct sim_client client[SIM_CLIENTS_MAX];
    uint64_t
        focus_until; /* until then half of the clients stay with this node, the others do not, … */
    int focus;       /* … and all are in a hurry */
    struct sim_record *record;
    size_t count;
    size_t cap;
    uint64_t next_id;
    uint8_t *bytes; /* of all replies */
    size_t bytes_len;
    size_t bytes_cap;
    unsigned long_left; /* so many of the next batches may carry */
    size_t long_max;    /* so many bytes more, at most */
    uint8_t *zeros;
};

/* What is known of a request, by its id. */
struct sim_request {
    uint64_t ordered_at; /* virtual time */
    uint32_t record;     /* in the load's history */
    bool committed;
    bool refused;
};

/* What the key that expires holds from a position on. */
struct sim_value {
    uint64_t seq;
    uint64_t id;        /* of the request that set it, 0 = nothing */
    uint64_t expire_ms; /* logical time; 0 = never */
};

/* What is known of a committed position, from whoever applied it first. */
struct sim_entry {
    uint64_t id;
    struct ts_epoch epoch;
    uint64_t time;
    struct ts_hash payload;
    struct ts_hash digest; /* of all outputs up to here */
};

#define SIM_EPOCHS_MAX 8192
#define SIM_BALLOTS_MAX 64
#define SIM_DEFEATED_MAX 64

struct sim_ballot {
    struct reg_ballot ballot;
    struct ts_epoch epoch; /* of the value it carries */
    uint64_t nonce;
    uint64_t voters; /* bit = node */
};

/* A proposal that its proposer was told to have lost. */
struct sim_defeated {
    struct ts_epoch epoch;
    uint64_t nonce;
};

/* What the state is after an entry, as a walk tells it. */
struct sim_walk {
    uint64_t seq; /* 0: unused */
    bool known;   /* some replica's walk was whole, and `content` is its hash */
    struct ts_hash content;
};
#define SIM_WALKS_MAX 64

struct sim_checks {
    struct sim_walk walk[SIM_WALKS_MAX]; /* ring: snapshots that were begun */
    uint64_t walk_next;
    uint64_t walk_newest;    /* the highest seq of them */
    struct sim_entry *entry; /* by seq */
    size_t entry_cap;
    uint64_t entries;
    struct sim_request *request; /* by id */
    size_t request_cap;
    struct sim_value *value; /* of the key that expires, by position */
    size_t value_count;
    size_t value_cap;
    uint64_t timed; /* position of the newest request, whose time the next one's follows */
    uint64_t
        lead; /* of logical time over virtual time, in any entry: the largest there can be, … */
    uint64_t lead_at;                  /* … at this time; 0 = nothing was ordered yet */
    uint64_t seen;                     /* newest position that some completed operation has seen */
    uint64_t releaser[SIM_EPOCHS_MAX]; /* life of the process that released outputs */
    uint64_t nonce[SIM_EPOCHS_MAX];    /* of the decided config */
    uint64_t gave_up[SIM_EPOCHS_MAX];  /* life of the primary that did */
    uint64_t proposer[SIM_EPOCHS_MAX]; /* … and the life of the process that proposed it */
    uint64_t expected[SIM_EPOCHS_MAX]; /* by proposal: unused slots are 0 */
    uint64_t epochs;                   /* highest touched */
    struct sim_ballot ballots[SIM_BALLOTS_MAX];
    uint64_t ballot_next;
    struct sim_defeated defeated[SIM_DEFEATED_MAX];
    uint64_t defeated_count;
    struct reg_ballot top; /* the highest ballot that decided */
    struct cfg_config decided;
    struct ts_seq replayed[SIM_NODES_MAX + 1]; /* by node: told last, of which suspect */
    struct ts_epoch consumer_epoch;            /* of an external consumer of outputs (R2.7) */
    uint64_t decided_at;                       /* … since when its primary is */
    struct ts_seq consumer_seq;
    uint64_t consumer_taken;
    uint64_t consumer_refused;
};

/* ---- sim_load.c -------------------------------------------------------------------------- */

/* The key that expires. */
#define SIM_KEY_EXPIRES 8
/* Digits of a value. */
#define SIM_VALUE_MAX 8

void sim_load_start(struct sim *s);
void sim_load_free(struct sim *s);
/* Whether those of sim_load_long may be as long as entries get. */
bool sim_load_is_huge(uint64_t how);
/* Fault: a replica that does not serve is asked to order and to read. */
void sim_load_unserved(struct sim *s, int node);
/* Fault: entries are long for a while. */
void sim_load_long(struct sim *s, uint64_t how);
/* The operation's key. */
struct ts_bytes sim_load_key(const struct sim_record *r);
/* The value that this operation brings, written to `out` if need be; empty: none. */
struct ts_bytes sim_load_value(const struct sim_record *r, uint8_t out[SIM_VALUE_MAX]);
/* A command reaches a replica that did not read when it was sent. */
void sim_load_arrived(struct sim *s, const struct sim_event *ev);
/* A client's turn; with ev->b its patience is looked at, as planned for then. */
void sim_load_act(struct sim *s, const struct sim_event *ev);
/* Some of the clients that wait lose their patience within the time of a sync or two, and ask
 * another node. */
void sim_load_hurry(struct sim *s);
void sim_load_released(struct sim *s, int node, const struct svc_entry *entry);
void sim_load_reads_ready(struct sim *s, int node, uint64_t token);
/* The replica closes all connections without an answer, or has ended. */
void sim_load_closed(struct sim *s, int node);

/* Its answer is there: keeps it, and looks at it; with `back` more on its way. */
void sim_load_answered(struct sim *s, uint32_t record, struct ts_bytes reply, uint64_t position,
                       uint64_t back);
/* A new operation of a client, without any command. */
uint32_t sim_load_new(struct sim *s, int client);
/* What the client waits for has an end, and it goes on after that time. */
void sim_load_set_free(struct sim *s, uint32_t record, uint64_t after);
/* From a client to a node, or back. */
uint64_t sim_load_way(struct sim *s);

/* ---- sim_session.c ----------------------------------------------------------------------- */

/* The limits of all replicas' tables of sessions. */
const char *sim_session_limits(const struct sim *s, char *out, size_t cap);
void sim_session_start(struct sim *s);
/* What a client of a session asks this node now, SIM_NO_RECORD: what others do, too. */
uint32_t sim_session_next(struct sim *s, int client, int node);
/* The client's next command is drawn: a write in a session gets its number. */
void sim_session_number(struct sim *s, uint32_t record);
/* The payload of one in a session, behind its head `inner` of a request. */
size_t sim_session_encode(const struct sim_record *r, struct ts_bytes inner, uint8_t *out,
                          size_t cap);
/* An output for the attempt that waits there is released. */
void sim_session_released(struct sim *s, int node, struct sim_waiting *w,
                          const struct svc_entry *entry);
/* The client does not hear what becomes of its newest attempt, and its connection is closed. */
void sim_session_lost(struct sim *s, uint32_t record);
/* It hears that it was not ordered. */
void sim_session_refused(struct sim *s, uint32_t record);
/* Whether the entry was executed, by its output; the first replica that applies it asks. */
bool sim_session_executes(struct sim *s, const struct svc_entry *entry, struct ts_bytes out,
                          struct sim_record *rec);

/* ---- sim_history.c ------------------------------------------------------------------------ */

void sim_history_open(struct sim *s);
void sim_history_close(struct sim *s);
/* Judges all answers of the run by what the clients saw alone. */
void sim_history_check(struct sim *s);

/* ---- sim_check.c ------------------------------------------------------------------------- */

void sim_check_reset(struct sim *s);
void sim_check_free(struct sim *s);
void sim_check_applied(struct sim *s, int node, const struct svc_entry *entry);
/* A process begins with an empty state. */
void sim_check_begins(struct sim_replica *r);
/* It goes on behind this entry, with a snapshot's state. */
void sim_check_goes_on(struct sim *s, int node, const struct repl_mark *mark);
void sim_check_released(struct sim *s, int node, const struct svc_entry *entry,
                        struct ts_epoch epoch);
void sim_check_consumer(struct sim *s, struct ts_epoch epoch, struct ts_seq seq);
void sim_check_answered(struct sim *s, struct sim_record *r, uint64_t position);
/* A client's request is in a log, or was refused: an error means that it is in none (R2.8). */
void sim_check_ordered(struct sim *s, uint64_t id, uint32_t record);
void sim_check_refused(struct sim *s, uint64_t id);
/* A replica's role changed: who cannot answer has closed the connections that waited (R2.8). */
void sim_check_role(struct sim *s, int node);
/* A voter's record is durable. */
void sim_check_voted(struct sim *s, int voter, const struct voter_register *rec);
/* A compare-and-swap of `proposal` was told to be lost to `value`. */
void sim_check_defeated(struct sim *s, const struct cfg_config *proposal,
                        const struct cfg_config *value);
void sim_check_config(struct sim *s, int node);
void sim_check_registered(struct sim *s, int node, enum sim_proc proc);
void sim_check_end(struct sim *s);
/* A core says that replicas have different results: an alarm if they have not, which gives false.
 * The run `ends` there, or the replicas in sync replay their logs. */
bool sim_check_notices(struct sim *s, bool ends);
/* R5.2: a replica ends to replay its log; it tells what that gave. */
void sim_check_replays(struct sim *s, int node);
void sim_check_replayed(struct sim *s, int node, struct ts_seq suspect);
bool sim_check_well(const struct sim *s);

/* ---- sim_said.c -------------------------------------------------------------------------- */

/* A voter's reply leaves it. */
void sim_said_reply(struct sim *s, int node, const struct reg_msg *msg);
/* It hears what another voter says of its start. */
void sim_said_heard(struct sim *s, int node, uint8_t type, struct ts_bytes payload);
/* Its disk has this record now, after what stands in `durable`. */
void sim_said_stored(struct sim *s, int node, const struct voter_record *next);
/* A replica's message leaves it. */
void sim_said_sent(struct sim *s, int node, int to, uint8_t type, struct ts_bytes head);
/* … a request to a voter. */
void sim_said_asked(struct sim *s, int node, const struct reg_msg *msg);
/* … an output, as of this epoch. */
void sim_said_released(struct sim *s, int node, struct ts_seq seq, struct ts_epoch epoch);

/* ---- sim_gave_up.c ----------------------------------------------------------------------- */

void sim_gave_up_begins(struct sim *s, int node);
/* The operator wants the primary there to hand over to this node; 0 = to any. */
void sim_gave_up_wish(struct sim *s, int node, int to);
void sim_gave_up_wished(struct sim *s, const struct sim_event *ev);
void sim_gave_up_look(struct sim *s, int node);
/* Whether its first wish is lost, since the session just ends. */
bool sim_gave_up_loses(struct sim *s, int node, int to);
void sim_gave_up_fed(struct sim *s, int node, const struct repl_event *ev);
void sim_gave_up_traced(struct sim *s, int node, const struct ts_trace *t);
/* It hands a batch to its journal. */
void sim_gave_up_appends(struct sim *s, int node, const struct repl_batch *batch);
void sim_gave_up_released(struct sim *s, int node, struct ts_epoch epoch);

/* ---- sim_clock.c ------------------------------------------------------------------------- */

/* A primary has ordered an entry of this time now. */
void sim_clock_ordered(struct sim *s, struct ts_ltime time);
/* A position's entry is known. */
void sim_clock_applied(struct sim *s, const struct svc_entry *e);
/* A read of the key that expires was answered at this position. */
void sim_clock_answered(struct sim *s, const struct sim_record *r, struct ts_bytes reply);

#endif
