/* Inside the front-end: a client's connection and the server's shared state.
 * See resp_server.h for what it is; the files by task:
 *
 *   resp_server.c   set-up, listeners, the turn, status
 *   resp_conn.c     one connection's bytes: reading, writing, closing
 *   resp_intake.c   from bytes to commands: parsing, classification, order
 *   resp_multi.c    MULTI … EXEC: what a connection keeps until then; WATCH
 *   resp_late.c     what a transaction holds that is carried out here
 *   resp_session.c  SESSION.*: the numbers of writes that are executed exactly once
 *   resp_pubsub.c   SUBSCRIBE, PUBLISH: what goes past the order of commands
 *   resp_auth.c     AUTH, and what a role may do
 *   resp_stranger.c  how long a connection may be nobody's
 *   resp_wait.c     WAIT
 *   resp_relay.c    connections that are carried on after a handoff
 *   resp_answer.c   from replies to bytes in order; rounds; refusals
 *   resp_container.c  commands that hold others: CLIENT LIST, …
 *   resp_category.c  Redis' flags and categories of commands
 *   resp_kill.c     CLIENT KILL, and what ends others
 *   resp_acl.c      ACL: which users there are
 *   resp_local.c, resp_client.c, resp_command.c, resp_config.c, resp_info.c, resp_script.c,
 *   resp_sentinel.c   local commands */
#ifndef SERVICES_IO_RESP_CONN_H
#define SERVICES_IO_RESP_CONN_H

#include "net/loop.h"
#include "services/io/resp_pubsub.h"
#include "services/io/resp_relay.h"
#include "services/io/resp_server.h"
#include "services/kv/commands.h"
#include "services/kv/kv.h"
#include "services/kv/reply_size.h"

#define RESP_NAME_MAX 64
#define RESP_DEFAULT_USER "default"   /* whom Redis lets in when it has no password */
#define RESP_ID_MAX 41                /* the ids that Redis gives its processes, with their NUL */
#define RESP_REDIS_VERSION "7.0.15"   /* whose commands and wordings these are */
#define RESP_READ_CHUNK (256U * 1024) /* the shared read buffer */
#define RESP_LINE_END 2
#define RESP_INPUT_FIRST (16U * 1024) /* a connection's own input buffer at first */
#define RESP_INPUT_PAUSE (64U * 1024) /* bytes a paused connection may still read ahead */
#define RESP_READS_MAX 1024U          /* reads of one connection that wait for rounds */
/* A turn of the loop takes a few milliseconds at most, whatever the clients send and ask for: the
 * group's links are served between two turns, and a peer that is not takes this replica for lost.
 */
#define RESP_TURN_READ (1024U * 1024)   /* bytes read from all clients; each gets one read a turn */
#define RESP_TURN_READ_EACH (4U * 1024) /* … of so much when the others have had all of that */
/* Of commands taken for submission, and of reads' replies rendered: one more may be longer. */
#define RESP_TURN_TAKE (1024U * 1024)
#define RESP_TURN_RENDER (1024U * 1024)
/* … as which a microsecond counts that a read took which is not a matter of one key */
#define RESP_TURN_RENDER_US (RESP_TURN_RENDER / 10000U)
#define RESP_TURN_WRITE (2U * 1024 * 1024) /* bytes written to all clients */
#define RESP_WRITE_AT_ONCE (256U * 1024)   /* … to one client, … */
#define RESP_WRITE_WAITING (64U * 1024)    /* … and when its socket has room again */
#define RESP_TURN_HANDSHAKES 16U           /* steps of TLS handshakes: each costs a signature */
#define RESP_OWED_MAX (8U * 1024 * 1024)   /* stored values that one commit answers and copies */
#define RESP_POOL_BYTES_MAX (64U * 1024 * 1024)
#define RESP_POOL_BUFFER_MAX (256U * 1024)
#define RESP_POOL_LEN 4096U

struct resp_conn;

/* Intrusive doubly linked list of connections; a connection is in at most one per `link`. */
enum resp_link {
    RESP_LINK_DIRTY = 0, /* has output to write */
    RESP_LINK_RESUME,    /* may parse on in the next turn */
    RESP_LINK_STARVED,   /* waits for room in the server's own bounds */
    RESP_LINK_HELD,      /* has confirmed reads to render, and room for their replies */
    RESP_LINK_WAITING,   /* WAIT has fewer replicas in sync than it asks for */
    RESP_LINK_STRANGER,  /* was nobody's, when it was last looked at; in the order of their times */
    RESP_LINK_DROPPED,   /* left too many messages unread: is closed before the loop blocks */
    RESP_LINKS,
};

struct resp_list {
    struct resp_conn *first;
    struct resp_conn *last;
    size_t len;
};

struct resp_node {
    struct resp_conn *prev;
    struct resp_conn *next;
    bool in;
};

/* A local reply that waits behind ordered commands of its connection. */
struct resp_deferred {
    uint64_t after; /* it may go when so many ordered commands are answered */
    size_t len;
};

/* A byte string in a growing arena, by offset: the arena may move. */
struct resp_span {
    size_t at;
    size_t len;
};

/* A connection's transaction, and what it watches (resp_multi.c). */
struct resp_multi {
    bool on;                  /* between MULTI and EXEC */
    bool failed;              /* a command was refused: EXEC is, too */
    struct svc_out commands;  /* each a word that is a payload */
    uint32_t count;           /* of these */
    size_t estimate;          /* of stored values in their answers, bytes, … */
    size_t bound;             /* … and at most */
    struct svc_out late;      /* of these, what EXEC's answer carries out (resp_late.c), … */
    struct svc_out running;   /* … and that of the EXEC that is not answered yet */
    bool runs;                /* there is one: what follows on the connection waits */
    struct svc_out watched;   /* as EXEC's payload has it */
    size_t watched_to;        /* bytes of it whose versions are known */
    uint32_t watches_awaited; /* WATCH commands that are not answered yet */
};

/* The longest error for a client, with its NUL. */
#define RESP_ERROR_MAX 640

enum resp_session_state {
    RESP_SESSION_NONE = 0,
    RESP_SESSION_ASKED, /* OPEN, RESUME or CLOSE is not answered yet: writes wait */
    RESP_SESSION_IN,
    RESP_SESSION_LOST, /* OPEN or RESUME has failed: writes are refused */
};

/* A connection's session (resp_session.c). */
struct resp_session {
    enum resp_session_state state;
    uint64_t id;
    uint64_t connection;
    uint64_t next;            /* number of the next write */
    bool counts;              /* the request that is looked at would use a number */
    bool gap;                 /* one that would was refused: so is what follows, until NEXT */
    char name[RESP_NAME_MAX]; /* of one that was opened here, for the answer */
};

struct resp_conn {
    uv_tcp_t tcp;
    uv_write_t write;
    struct resp_server *server; /* borrowed */
    struct resp_node node[RESP_LINKS];
    uint64_t id;    /* CLIENT ID */
    uint32_t index; /* in server->slots */
    uint32_t gen;   /* of that slot while this connection has it */

    /* input */
    uint8_t *in; /* owned; bytes in_at..in_len are not consumed yet */
    size_t in_at;
    size_t in_len;
    size_t in_cap;
    struct resp_parser parser;
    uint64_t read_turn; /* the newest turn in which it was read from */

    /* order */
    uint64_t ordered;  /* ordered commands collected so far */
    uint64_t answered; /* of these, answered */
    uint64_t pending;  /* of these, not submitted yet: always the newest */
    size_t owed_bound; /* the most that stored values can add to the answers of `ordered` */
    size_t coming;     /* the longest payload of these: a value that they may store */
    uint32_t reads;    /* reads that wait for a round, or were confirmed and are held */
    size_t read_bytes; /* of their payloads */
    /* Confirmed reads, rendered as the client takes their replies. */
    struct svc_out held_bytes;
    struct resp_span *held; /* owned */
    size_t held_first;
    size_t held_len;
    size_t held_cap;
    struct svc_out deferred_bytes;
    struct resp_deferred *deferred; /* owned */
    size_t deferred_at;             /* of deferred_bytes: bytes that went */
    size_t deferred_first;
    size_t deferred_len;
    size_t deferred_cap;

    struct resp_multi multi;
    struct resp_session session;
    struct resp_subscribed subscribed;

    struct net_tls_stream *tls; /* owned; NULL = it speaks plainly */

    /* output */
    struct svc_out out;   /* being filled */
    struct svc_out plain; /* with TLS: being encrypted; bytes plain_at..len are left */
    size_t plain_at;
    struct svc_out sending; /* being written; bytes sending_at..len are left */
    size_t sending_at;
    size_t write_len;   /* of the piece that was given to uv_write */
    size_t bytes_total; /* out + plain + sending + deferred as last counted in the server, … */
    size_t unread;      /* … and in the subscribers' part of it */

    /* state */
    bool reading;   /* uv_read_start is on */
    bool writing;   /* uv_write is under way */
    bool paused;    /* parsing stopped at a request for order's or a bound's sake */
    bool eof;       /* the client sends no more */
    bool finishing; /* takes no more requests; closes when all is answered and written */
    bool closing;   /* uv_close was called */
    bool visitor;   /* came by an address that may go; the owner was told */
    struct resp_conn *next_muted;

    /* WAIT: the request stands where the parsing stopped */
    bool waiting;
    uint64_t wait_until; /* loop time, ms; UINT64_MAX = for ever */
    bool wait_error;     /* CLIENT UNBLOCK ends it with an error */

    struct resp_relay *relay; /* owned; not NULL: it is carried on elsewhere */

    /* what the client said of itself */
    enum resp_version version;
    char user[NET_USER_NAME_MAX]; /* who it is; "" = it did not say */
    uint8_t user_hash[NET_USER_HASH];
    enum net_role role; /* NONE until it said who it is */
    char name[RESP_NAME_MAX];
    char lib_name[RESP_NAME_MAX];
    char lib_ver[RESP_NAME_MAX];
    const char *last_command; /* static storage */
    uint64_t since_ms;        /* loop time of the accept, … */
    uint64_t heard_ms;        /* … and when its newest bytes were read */
    uint64_t stranger_until;  /* … and until when it may be nobody's */
};

/* A place in the table of connections; `gen` rises with every use. */
struct resp_slot {
    struct resp_conn *conn; /* NULL = free */
    uint32_t gen;
    uint32_t next_free;
};

/* What becomes of an ordered command's answer. */
enum resp_owner_kind {
    RESP_OWNER_PLAIN = 0, /* it is the reply */
    RESP_OWNER_WATCH,     /* versions, for resp_multi_watched */
    RESP_OWNER_EXEC,      /* for resp_late_answer */
    RESP_OWNER_REQUEST,   /* these are for resp_session_answer */
    RESP_OWNER_SESSION_OPEN,
    RESP_OWNER_SESSION_RESUME,
    RESP_OWNER_SESSION_ACK,
    RESP_OWNER_SESSION_CLOSE,
};

/* Whose an ordered command is. */
struct resp_owner {
    uint32_t index;
    uint32_t gen;
    uint32_t owed;       /* bytes of stored values expected in its answer */
    uint32_t owed_bound; /* … possible in it */
    uint32_t since_us;   /* when it was taken in, as resp_server.now_us; ordered commands only */
    enum resp_owner_kind kind;
};

struct resp_read_item {
    struct resp_owner owner;
    struct resp_span payload;
};

struct resp_round {
    struct svc_out bytes;
    struct resp_read_item *items; /* owned */
    size_t len;
    size_t cap;
};

struct resp_buffer {
    uint8_t *data;
    size_t cap;
};

struct resp_server {
    /* config */
    uv_loop_t *loop; /* borrowed */
    struct front_owner ops;
    struct resp_server_config config;
    const void *state; /* of kv_service, borrowed */
    struct front_status status;

    /* handles */
    uv_tcp_t listeners[RESP_LISTENERS_MAX];
    bool ahead[RESP_LISTENERS_MAX]; /* the listener's address comes and goes */
    size_t listener_count;
    uv_timer_t wait_timer; /* for the first WAIT that is due, … */
    uint64_t wait_at;      /* … at that loop time, ms; UINT64_MAX = none is */
    uv_timer_t stranger_timer;
    uv_idle_t idle; /* active while there is work: keeps the loop from blocking */
    size_t handles; /* not closed yet */
    bool destroying;
    void (*closed)(void *ctx);
    void *closed_ctx;

    /* connections */
    struct resp_slot *slots; /* clients_max, owned */
    uint32_t free_slot;      /* UINT32_MAX = none */
    uint32_t clients;
    uint32_t relays;      /* of them, or of what they left: sockets to another NIC */
    uint32_t sockets_max; /* … and theirs, as RLIMIT_NOFILE allows: the rest is not for clients */
    struct resp_conn *muted; /* visitors that have ended, and must not hear of it from here */
    uint32_t muted_count;
    uint64_t next_id;
    uint64_t relay_below; /* connections with lower ids are carried on elsewhere */
    struct resp_list lists[RESP_LINKS];
    size_t output_bytes; /* of all connections */
    struct resp_pubsub pubsub;
    struct net_users users;            /* none: the port is open */
    char last_primary[FRONT_ADDR_MAX]; /* the last one that was known; "" = none was */

    /* ordered commands: tokens [answered_to, submitted_to) are in the log, [submitted_to,
     * next_token) wait in `pending` */
    struct resp_owner *owners; /* ring of unanswered_max, owned */
    uint64_t answered_to;
    uint64_t submitted_to;
    uint64_t next_token;
    uint64_t owed; /* bytes of stored values expected in the answers of all of these */
    struct svc_out pending_bytes;
    struct resp_span *pending; /* twice unanswered_max, owned: what went is cut off seldom */
    size_t pending_first;
    size_t pending_len;
    bool busy;              /* ops.submit said so: wait for resp_server_resume */
    bool in_submit;         /* within ops.submit */
    bool refuse_due;        /* the role was lost within ops.submit */
    struct ts_bytes *batch; /* submit_count_max, owned: what ops.submit sees */

    /* reads: rounds [round_answered + 1, round_sent] are under way, round_sent + 1 is open */
    struct resp_round *rounds; /* ring of rounds_max + 1, owned */
    uint64_t round_answered;
    uint64_t round_sent;

    size_t request_bytes; /* of the request that is being carried out */
    uint32_t now_us;      /* when the newest bytes were read, the low bits of a monotonic time */

    /* what is left of this turn's bounds */
    uint64_t turn;
    size_t read_left;
    size_t take_left;
    size_t render_left;
    size_t handshakes_left;

    /* shared scratch */
    uint8_t *chunk;           /* RESP_READ_CHUNK and a record of TLS, owned */
    uint8_t *wire;            /* RESP_READ_CHUNK, with TLS; owned */
    struct ts_bytes *args;    /* limits.args_max, owned */
    uint8_t *line;            /* an inline request: limits.inline_max and its end, owned */
    struct resp_buffer *pool; /* RESP_POOL_LEN, owned */
    size_t pool_len;
    size_t pool_bytes;

    /* statistics */
    struct resp_server_stats stats;
    /* As of the last CONFIG RESETSTAT: INFO counts from there. */
    struct resp_server_stats stats_before;
    struct kv_stats kv_before;
    uint64_t started_ms;
};

/* Differences of these are right up to an hour. */
static inline uint32_t resp_now_us(struct ts_mono now)
{
    return (uint32_t)(now.ns / TS_NS_PER_US);
}

/* ---- lists (resp_conn.c) ---- */

/* No effect when it is in already. */
void resp_list_add(struct resp_conn *c, enum resp_link link);
void resp_list_remove(struct resp_conn *c, enum resp_link link);

/* ---- connections (resp_conn.c) ---- */

/* Accepts from a listener; refuses when there are too many clients. */
void resp_conn_accept(struct resp_server *s, uv_stream_t *listener);
/* Closes at once; unwritten bytes are lost. No effect when it is closing already. */
void resp_conn_close(struct resp_conn *c);
/* Ends a visitor's connection without a word to the client, who hears of it from the next owner of
 * the address: its socket is closed by resp_conn_close_muted, when the address is elsewhere. The
 * server's owner is not told, so that it keeps in mind who was here. */
void resp_conn_mute(struct resp_conn *c);
void resp_conn_close_muted(struct resp_server *s);
/* Closes a connection that takes no more requests, once nothing is owed or unwritten. */
void resp_conn_finish(struct resp_conn *c);
/* Takes in as much of the connection's own input as can be. */
void resp_conn_parse_input(struct resp_conn *c);
/* Whether there may be one more socket, of a client or on its behalf. */
bool resp_conn_may_open(const struct resp_server *s);
/* Starts or stops reading as the connection's input allows. */
void resp_conn_set_reading(struct resp_conn *c);
/* Writes what its socket takes of at most `most` bytes; returns how many that were. What is left
 * goes in later turns. */
size_t resp_conn_flush(struct resp_conn *c, size_t most);
/* Notes that bytes were added to or taken from its output: lists it for the flush, closes it
 * when it holds too much. */
void resp_conn_output_changed(struct resp_conn *c);
/* The connection of an ordered command or a read, NULL when it is gone. */
struct resp_conn *resp_conn_find(const struct resp_server *s, struct resp_owner o);
/* An empty sink, with a buffer from the pool when there is one. */
struct svc_out resp_pool_take(struct resp_server *s);
/* Gives the sink's buffer back. */
void resp_pool_give(struct resp_server *s, struct svc_out *out);

/* ---- intake (resp_intake.c) ---- */

/* Parses and dispatches from `data` as far as order and bounds allow; returns the bytes
 * consumed, which may be fewer than there are. */
size_t resp_intake(struct resp_conn *c, uint8_t *data, size_t len);
/* Goes on with a connection's own input after it was paused or its client sent its last. */
void resp_intake_resume(struct resp_conn *c);
/* Whether the server's own bounds leave room for another ordered command, in this turn or in the
 * next one. */
bool resp_intake_has_room(const struct resp_server *s);

/* How a request left the intake. */
enum resp_intake {
    RESP_INTAKE_TAKEN, /* answered, collected or refused */
    RESP_INTAKE_WAIT,  /* it must wait where it is; the connection is paused */
};

/* Whether one more ordered command may be collected whose answer holds at most `bound` bytes of
 * stored values. False: listed where it is woken. */
bool resp_intake_may_order(struct resp_conn *c, size_t bound);
/* Collects what stands at `span` of the pending bytes, after resp_intake_may_order. */
void resp_intake_order(struct resp_conn *c, struct resp_span span, struct kv_reply_size size,
                       enum resp_owner_kind kind);
/* Room for `n` bytes behind the pending ones, to be filled by the caller. */
struct resp_span resp_intake_place(struct svc_out *arena, size_t n);
/* Appends the request's payload to an arena. */
struct resp_span resp_intake_put(struct svc_out *arena, enum resp_version version, uint8_t id,
                                 const struct resp_request *req);
/* Whether this command may make the state grow, and there is no room: then the refusal is to be
 * written. */
bool resp_intake_is_full(const struct resp_server *s, const struct kv_command *command);
/* Whether the state's commands are taken now. Otherwise they wait, or the refusal is written, as
 * *how says. */
bool resp_intake_serves(struct resp_conn *c, enum resp_intake *how);
/* The error for a request that is no command, or has not its words. */
void resp_intake_unknown(struct resp_conn *c, const struct resp_request *req);
void resp_intake_arity(struct resp_conn *c, const struct kv_command *command);

/* ---- transactions (resp_multi.c) ---- */

/* Whether the request is this part's: MULTI and its relatives, and all within a transaction. */
bool resp_multi_concerns(const struct resp_conn *c, const struct kv_command *command);
/* Takes it; `command` is NULL when there is no such. */
enum resp_intake resp_multi_take(struct resp_conn *c, const struct kv_command *command,
                                 const struct resp_request *req);
/* The oldest WATCH that waits is answered: keeps the versions, and gives the client's reply. */
struct ts_bytes resp_multi_watched(struct resp_conn *c, struct ts_bytes answer);
void resp_multi_free(struct resp_multi *m);
/* Ends a transaction and forgets what is watched; nothing may be owed to the connection. */
void resp_multi_end(struct resp_conn *c);

/* ---- what EXEC's answer carries out (resp_late.c) ---- */

/* Whether a command within a transaction is such a one. */
bool resp_late_is(const struct resp_conn *c, const struct kv_command *command,
                  const struct resp_request *req);
/* What stands in its place in EXEC's entry: an answer that is replaced. */
struct ts_bytes resp_late_placeholder(void);
/* Bytes that it takes to keep it; the most that it answers, own messages included. */
size_t resp_late_size(const struct resp_request *req);
size_t resp_late_reply_bound(const struct resp_request *req);
/* Keeps it, as the one at that place of the transaction. */
void resp_late_keep(struct resp_conn *c, const struct kv_command *command,
                    const struct resp_request *req, uint32_t place);
/* Takes EXEC's answer, carries them out, and writes what the client gets. */
void resp_late_answer(struct resp_conn *c, struct ts_bytes reply);

/* ---- sessions (resp_session.c) ---- */

/* Takes note whether the request (NULL: an unknown one) would use a number of a session. */
void resp_session_look(struct resp_conn *c, const struct kv_command *command);
/* Whether it is a SESSION.* command. */
bool resp_session_is(const struct kv_command *command);
/* Whether the request is this part's: a SESSION.* command, or a write that cannot be ordered now.
 */
bool resp_session_concerns(const struct resp_conn *c, const struct kv_command *command);
/* Takes it. */
enum resp_intake resp_session_take(struct resp_conn *c, const struct kv_command *command,
                                   const struct resp_request *req);
/* Whether a write may be ordered now. Otherwise it waits, or the refusal is written, as *how says.
 */
bool resp_session_admits(struct resp_conn *c, enum resp_intake *how);
/* Puts what a write's payload bears in a session, right before it; its length, 0 in none. */
size_t resp_session_head(struct resp_conn *c, struct svc_out *arena);
/* Collects a write: its payload, and the head before it. */
void resp_session_order(struct resp_conn *c, size_t head, struct resp_span payload,
                        struct kv_reply_size size);
/* A write is refused before it is ordered: those that follow it are, too, until the client says
 * with which number it goes on. Returns the text for its client, in `out` or as it was: an error to
 * a write that used no number says so at its end. */
const char *resp_session_refused(struct resp_conn *c, const char *text, char out[RESP_ERROR_MAX]);
/* Takes the answer to an ordered command of such a kind, and writes the client's reply. */
void resp_session_answer(struct resp_conn *c, enum resp_owner_kind kind, struct ts_bytes answer,
                         struct svc_out *out);
/* A collected command was refused before it was ordered. */
void resp_session_unordered(struct resp_conn *c, enum resp_owner_kind kind);
/* The connection goes on without a session; nothing may be owed to it. */
void resp_session_leave(struct resp_conn *c);
/* It has logged in as another user; nothing may be owed to it. */
void resp_session_other_user(struct resp_conn *c);

/* ---- publish and subscribe (resp_pubsub.c) ---- */

bool resp_pubsub_open(struct resp_pubsub *p, uint64_t seed);
void resp_pubsub_close(struct resp_pubsub *p);
/* Ends all subscriptions of a connection, silently. */
void resp_pubsub_leave(struct resp_conn *c);
/* A connection's subscriptions. */
uint32_t resp_pubsub_count(const struct resp_conn *c);
/* Whether the command may be given now: in RESP2 a subscriber takes few others. */
bool resp_pubsub_allows(const struct resp_conn *c, const struct kv_command *command);
/* Whether the command must wait where it is; listed where it is woken. */
bool resp_pubsub_must_wait(struct resp_conn *c, const struct kv_command *command);
/* Carries out one of this part's commands. */
void resp_pubsub_run(struct resp_conn *c, const struct kv_command *command,
                     const struct resp_request *req, struct resp_writer *w);
/* Tells who listens that the status has another primary than `old_primary`. */
void resp_pubsub_primary_changed(struct resp_server *s, const char *old_primary);
/* This NIC is primary no more: who listens here is closed, behind what stands in its output, but
 * not who awaits word of the primary only; nor who came by an address that may go (it goes, and
 * they are told where it has gone). */
void resp_pubsub_moved(struct resp_server *s);
/* Closes the connections that left too much unread. */
void resp_pubsub_drop(struct resp_server *s);

/* ---- users (resp_auth.c) ---- */

/* The bounds of the connection's requests: tight until it said who it is. */
const struct resp_limits *resp_auth_limits(const struct resp_conn *c);
/* Whether the connection may not give this command: then the error is in `text`. */
bool resp_auth_refuses(const struct resp_conn *c, const struct kv_command *command,
                       const struct resp_request *req, char *text, size_t cap);
/* The least role that may give the command. */
enum net_role resp_auth_needed(const struct kv_command *command, const struct resp_request *req);
/* "set", "client|kill" */
const char *resp_auth_command_name(const struct kv_command *command,
                                   const struct resp_request *req);
/* Who the connection is, for people. */
const char *resp_auth_name(const struct resp_conn *c);
/* Whether name and password are right: the connection is that user's from now on. */
bool resp_auth_login(struct resp_conn *c, struct ts_bytes name, struct ts_bytes password);
void resp_auth_logout(struct resp_conn *c);
/* Whether HELLO may be given without AUTH. */
bool resp_auth_may_hello(const struct resp_conn *c);
void resp_local_auth(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w);

/* Whether it would have to say who it is before it may do anything. */
bool resp_auth_is_stranger(const struct resp_conn *c);

/* ---- connections that are nobody's (resp_stranger.c) ---- */

/* From now on it has its time to become somebody's, if it is not. */
void resp_stranger_begin(struct resp_conn *c);
/* Closes the one that is a stranger for the longest time; false: there is none. */
bool resp_stranger_yields(struct resp_server *s);

/* ---- WAIT (resp_wait.c) ---- */

/* Takes it outside of a transaction. */
enum resp_intake resp_wait_take(struct resp_conn *c, const struct kv_command *command,
                                const struct resp_request *req);
/* Within one: the answer as of now. */
void resp_local_wait(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w);
/* All that wait look again in the next turn. */
void resp_wait_wake(struct resp_server *s);

/* ---- answers (resp_answer.c) ---- */

/* Where a local reply is to be written now, in the connection's order; call
 * resp_answer_local_end when it is written. */
struct svc_out *resp_answer_local_begin(struct resp_conn *c);
void resp_answer_local_end(struct resp_conn *c, size_t len_before);
/* An error reply of the front-end itself. */
void resp_answer_error(struct resp_conn *c, const char *text);
/* "-READONLY …" or "-CLUSTERDOWN …", as the present status says. */
void resp_answer_refusal(const struct resp_server *s, char *text, size_t cap);
/* Answers everything collected but not submitted, and every waiting read, with the refusal. */
void resp_answer_refuse_all(struct resp_server *s);
/* … what is collected only; `err` is what the owner said to it. */
void resp_answer_refuse_pending(struct resp_server *s, enum ts_err err);
void resp_answer_refuse_rounds(struct resp_server *s);
/* The round that takes new reads: it is asked for at the end of a turn. */
struct resp_round *resp_round_open(struct resp_server *s);
/* A new item of the round, to be filled in. */
struct resp_read_item *resp_round_add(struct resp_round *round);
/* Renders confirmed reads whose clients take their replies, as much as the turn has left. */
void resp_answer_held(struct resp_server *s);
/* Makes room for `n` more bytes in an arena. */
void resp_arena_grow(struct svc_out *arena, size_t n);

/* ---- commands that hold others (resp_container.c) ---- */

struct resp_subcommand {
    const char *name; /* lower case, with its container's: "client|list" */
    int arity;        /* as in struct kv_command */
    bool admin;       /* for the role admin */
    /* Carries it out; NULL: it is refused with `refusal`. */
    void (*run)(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w);
    const char *refusal;
};

struct resp_container {
    uint8_t id;        /* enum kv_command_id */
    const char *title; /* "CLIENT", for errors */
    const struct resp_subcommand *members;
    size_t count;
};

extern const struct resp_container resp_acl_container;
extern const struct resp_container resp_client_container;
extern const struct resp_container resp_command_container;
extern const struct resp_container resp_config_container;
extern const struct resp_container resp_sentinel_container;
extern const struct resp_container resp_function_container;
extern const struct resp_container resp_script_container;
extern const struct resp_container resp_pubsub_container;

/* NULL: the command holds no others, or they are not the front-end's (OBJECT). */
const struct resp_container *resp_container_find(const struct kv_command *command);
/* NULL: there is none of this name. */
const struct resp_subcommand *resp_container_member(const struct resp_container *container,
                                                    struct ts_bytes word);
/* Carries out the one that the request names. */
void resp_container_run(struct resp_conn *c, const struct resp_container *container,
                        const struct resp_request *req, struct resp_writer *w);
/* Whether so many words, the name counted, are allowed. */
bool resp_arity_ok(int arity, size_t argc);

/* ---- what commands are called (resp_category.c) ---- */

/* X(symbol, name): the categories of ACL, in Redis' order. */
#define RESP_CATEGORY_LIST(X) \
    X(KEYSPACE, "keyspace") \
    X(READ, "read") \
    X(WRITE, "write") \
    X(SET, "set") \
    X(SORTEDSET, "sortedset") \
    X(LIST, "list") \
    X(HASH, "hash") \
    X(STRING, "string") \
    X(BITMAP, "bitmap") \
    X(HYPERLOGLOG, "hyperloglog") \
    X(GEO, "geo") \
    X(STREAM, "stream") \
    X(PUBSUB, "pubsub") \
    X(ADMIN, "admin") \
    X(FAST, "fast") \
    X(SLOW, "slow") \
    X(BLOCKING, "blocking") \
    X(DANGEROUS, "dangerous") \
    X(CONNECTION, "connection") \
    X(TRANSACTION, "transaction") \
    X(SCRIPTING, "scripting")

enum resp_category {
#define RESP_CATEGORY_ENUM(symbol, name) RESP_CATEGORY_##symbol,
    RESP_CATEGORY_LIST(RESP_CATEGORY_ENUM)
#undef RESP_CATEGORY_ENUM
        RESP_CATEGORIES,
};

/* The flags that COMMAND INFO tells, in Redis' order. */
enum resp_shown_flag {
    RESP_SHOWN_WRITE = 1 << 0,
    RESP_SHOWN_READONLY = 1 << 1,
    RESP_SHOWN_DENYOOM = 1 << 2,
    RESP_SHOWN_ADMIN = 1 << 3,
    RESP_SHOWN_PUBSUB = 1 << 4,
    RESP_SHOWN_NOSCRIPT = 1 << 5,
    RESP_SHOWN_LOADING = 1 << 6,
    RESP_SHOWN_STALE = 1 << 7,
    RESP_SHOWN_SKIP_SLOWLOG = 1 << 8,
    RESP_SHOWN_FAST = 1 << 9,
    RESP_SHOWN_NO_AUTH = 1 << 10,
    RESP_SHOWN_ALLOW_BUSY = 1 << 11,
};
#define RESP_SHOWN_FLAGS 12

uint32_t resp_shown_flags(const struct kv_command *c);
uint32_t resp_shown_member_flags(const struct resp_container *container,
                                 const struct resp_subcommand *sub);
/* Bits 1 << enum resp_category. */
uint32_t resp_categories(const struct kv_command *c);
uint32_t resp_member_categories(const struct resp_container *container,
                                const struct resp_subcommand *sub);
const char *resp_category_name(unsigned category);
/* False: there is none of this name. */
bool resp_category_find(struct ts_bytes name, unsigned *category);
/* Sets of names, as COMMAND INFO has them. */
void resp_put_shown_flags(struct resp_writer *w, uint32_t flags);
void resp_put_categories(struct resp_writer *w, uint32_t categories);

/* Calls `see` with the name of each command, and of each that one of them holds, and with its
 * categories. */
void resp_command_each(void (*see)(void *ctx, const char *name, uint32_t categories), void *ctx);

/* ---- which connections are meant (resp_kill.c) ---- */

enum resp_client_type {
    RESP_CLIENT_NORMAL,
    RESP_CLIENT_PUBSUB,
    RESP_CLIENT_NONE, /* replicas have connections of their own: no client is one */
};

/* False: there is no such; the error is written. */
bool resp_client_type(struct ts_bytes word, enum resp_client_type *type, struct resp_writer *w);
enum resp_client_type resp_client_type_of(const struct resp_conn *c);
void resp_client_kill(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w);
void resp_client_unblock(struct resp_conn *c, const struct resp_request *req,
                         struct resp_writer *w);

/* ---- local commands ---- */

/* Carries out a LOCAL command and writes its reply to `w`. */
void resp_local_run(struct resp_conn *c, const struct kv_command *command,
                    const struct resp_request *req, struct resp_writer *w);
/* Names the connection; false when the name is not allowed: then the error is written. */
bool resp_client_set_name(struct resp_conn *c, struct ts_bytes name, struct resp_writer *w);
/* "HOST:PORT" of the client, or, `local`, of this end. */
void resp_client_address(const struct resp_conn *c, bool local, char out[FRONT_ADDR_MAX]);
/* COMMAND without a subcommand. */
void resp_local_command(struct resp_writer *w);
void resp_local_info(struct resp_server *s, const struct resp_request *req, struct resp_writer *w);
void resp_local_role(struct resp_server *s, struct resp_writer *w);
/* An id that stays the same: of a NIC's "replica" of this group, or of the NIC as a "sentinel". */
void resp_sentinel_id(const struct front_status *st, const char *kind, const char *node,
                      char out[RESP_ID_MAX]);
/* What INFO SENTINEL says of the group; as snprintf. */
int resp_sentinel_line(const struct front_status *st, char *line, size_t cap);
/* Brings up to date what the status says of the group's members. */
void resp_local_refresh(struct resp_server *s);
/* Splits "HOST:PORT" at its last colon: the host's length, and the port's text. */
int resp_host_len(const char *address, const char **port);
/* Whether these are the bytes of `text`. */
bool resp_bytes_are(struct ts_bytes bytes, const char *text);
/* "ERR unknown subcommand 'X'. Try CLIENT HELP." */
void resp_local_unknown(struct resp_writer *w, const char *container, struct ts_bytes word);
/* "ERR unknown subcommand or wrong number of arguments for 'X'. Try PUBSUB HELP." */
void resp_local_words(struct resp_writer *w, const char *container, struct ts_bytes word);
/* Whether `name` (lower case) fits a pattern of letters in any case, '*' and '?'. */
bool resp_local_fits(struct ts_bytes pattern, const char *name);
/* "ERR wrong number of arguments for 'client|setname' command" */
void resp_local_arity(struct resp_writer *w, const char *name);

/* Keeps the loop awake while there is work, lets it sleep otherwise. */
void resp_server_wake(struct resp_server *s);

#endif
