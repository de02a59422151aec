/* A front-end: what speaks with the clients of a service in their protocol, and gives its replica
 * their commands (resp_server.h speaks RESP). The replica knows it by this table alone.
 *
 * The owner (replica main) drives it, on the loop's thread, in this order:
 *
 *   after the poll phase (uv_check)     front_turn    → owner.submit, owner.read
 *   before the loop blocks (uv_prepare) front_flush   → one write a client
 *
 * and, from anywhere between, feeds it with front_reply, _read_ready, _resume, _set_status and
 * _close_unanswered. None of these calls back: owner.submit and owner.read are called from
 * front_turn alone, and may call these functions themselves. When there is work left for another
 * turn the front-end keeps the loop from blocking by itself. */
#ifndef SERVICES_IO_FRONT_H
#define SERVICES_IO_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/io/files.h"
#include "net/tls_server.h"
#include "net/users.h"

struct session_figures;

enum front_role {
    FRONT_ROLE_UNAVAILABLE = 0, /* no primary is known, or this one cannot serve now */
    FRONT_ROLE_PRIMARY,
    FRONT_ROLE_SECONDARY,
    /* About to be the primary, within milliseconds: state commands wait, and what follows them on
     * their connection, until the status says something else. The owner bounds that time. */
    FRONT_ROLE_TAKING_OVER,
};

#define FRONT_ADDR_MAX 80 /* "HOST:PORT" with its NUL */
#define FRONT_REASON_MAX 160

/* Another replica, for INFO, ROLE and SENTINEL. */
struct front_peer {
    char name[32];
    char address[FRONT_ADDR_MAX]; /* "HOST:PORT" of its front-end */
    bool in_sync;
    bool connected;
    uint64_t acked_seq; /* 0 = unknown */
};

/* What the front-end tells clients about the group; hints, never proof. */
struct front_status {
    enum front_role role;
    char primary[FRONT_ADDR_MAX]; /* "HOST:PORT" of the primary; "" = unknown */
    char primary_node[32];        /* … and its name */
    char self[FRONT_ADDR_MAX];    /* … of this replica, spelled the same way */
    char
        reason[FRONT_REASON_MAX]; /* UNAVAILABLE: why, and what to do; a clause without full stop */
    char group[32];
    char node[32];
    struct ts_epoch epoch;
    /* PRIMARY: "" = it takes all commands; otherwise it refuses those that may make the state grow,
     * and this says why, and what to do; a clause without full stop */
    char full[FRONT_REASON_MAX];
    bool relays; /* SECONDARY: it has handed over, and carries on the connections of before */
    bool self_in_sync;
    struct front_peer peers[TS_MEMBERS_MAX]; /* the other members */
    uint8_t peer_count;
    uint8_t voters;           /* that decide a failover; 0 = unknown */
    uint8_t voters_answering; /* of these, which answer this replica */
};

/* What a front-end asks of its owner. submit and read are called from front_turn only, the others
 * may not call back. */
struct front_owner {
    void *ctx; /* borrowed, given back in each call */

    /* Orders these `n` payloads (1..submit_count_max), in this order; they are numbered
     * first_token, first_token + 1, … and are borrowed for the call. Each gets exactly one
     * front_reply later, in token order, or front_close_unanswered comes.
     * TS_OK takes all. TS_ERR_BUSY takes none: they are kept, and offered again in the next
     * turn: the loop is not kept awake for that before front_resume. Any other error takes
     * none, for ever: they are answered with the error of the present status, which may be set
     * within the call; reads, too, but after TS_ERR_NOSPACE. */
    enum ts_err (*submit)(void *ctx, const struct ts_bytes *payloads, size_t n,
                          uint64_t first_token);

    /* Asks for a read round that begins now. front_read_ready with this token answers it.
     * Rounds are numbered 1, 2, … and are answered in order, several at once if need be.
     * Not TS_OK: the reads are answered with the error of the present status. */
    enum ts_err (*read)(void *ctx, uint64_t round);

    /* The seq of the last applied entry, for INFO, ROLE and SENTINEL. May be NULL. */
    uint64_t (*position)(void *ctx);

    /* Brings up to date what `status` says of the group's members and voters (self_in_sync, peers,
     * voters_answering), which changes without a change of status. Called when one of these is
     * answered. May be NULL. */
    void (*describe)(void *ctx, struct front_status *status);

    /* Who came by an address that may go (`ahead`): `client` has this place, below its number of
     * clients at most, or NULL: nobody has it any more. Called at once, whoever closes the
     * connection. May be NULL. */
    void (*visitor)(void *ctx, uint32_t place, const struct sockaddr *client);

    /* The figures of the sessions (services/session.h), for INFO. May be NULL. */
    void (*sessions)(void *ctx, struct session_figures *out);

    /* A line for the operator, in the log; some of one `key` (static) are enough. Called at once.
     * May be NULL. */
    void (*warns)(void *ctx, const char *key, const char *line);
};

struct front_config {
    uint32_t submit_count_max;   /* commands of one submit call */
    uint32_t failure_timeout_ms; /* of the cluster */
    struct net_tls_server *tls;  /* clients speak TLS when it is given; borrowed for its life … */
    const char *tls_dir;         /* … and this is what it was made of */
    uint16_t agent_port;         /* where a service's own agents connect; 0: it has none */
    const char *cluster;         /* whose certificates a client may show */
    const char *nics[TS_MEMBERS_MAX]; /* names of the group's NICs; borrowed for its life */
    size_t nic_count;
    const char *version; /* of the product; borrowed for its life */
};

/* Counters since the start. */
struct front_figures {
    uint64_t connections; /* accepted */
    uint64_t reads;       /* answered after a round */
    uint64_t protocol_errors;
    uint64_t refused;      /* commands that this replica, or its present state, does not take */
    uint64_t unauthorized; /* wrong password, no or too low a role */
    uint64_t closed_unanswered; /* connections closed with commands in the log */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint32_t unanswered; /* submitted, not answered yet */
};

struct front;

struct front_ops {
    /* Gives a front-end that listens nowhere yet and is UNAVAILABLE. `loop`, `state` (the
     * service's) and owner->ctx are borrowed for its life. TS_ERR_NOMEM; of those that do not use
     * config.tls, errors of their certificates as of net_tls_server_open. */
    enum ts_err (*create)(struct front **out, uv_loop_t *loop, const struct front_owner *owner,
                          void *state, const struct front_config *config, struct ts_why *why);
    /* Listens on one more address (numeric), with all its ports. `ahead`: it may come later. `why`
     * names the port that cannot be had, and its key in the cluster file. TS_ERR_CONFIG: not an
     * address. TS_ERR_LIMIT: too many. TS_ERR_BUSY: another process listens there. TS_ERR_SYSTEM.
     */
    enum ts_err (*listen)(struct front *f, const char *address, uint16_t port, bool ahead,
                          struct ts_why *why);
    /* Parses what waits, submits the turn's commands, asks for the turn's read round. */
    void (*turn)(struct front *f);
    /* Writes every client's answers. */
    void (*flush)(struct front *f);
    /* The answer to a submitted command, copied. In token order; a token that was given up (its
     * client left, close_unanswered) is dropped silently. */
    void (*reply)(struct front *f, uint64_t token, struct ts_bytes reply);
    /* Every round up to `round` is confirmed: their reads are answered from the applied state now.
     */
    void (*read_ready)(struct front *f, uint64_t round);
    /* A submit that was BUSY may be tried again in the next turn. */
    void (*resume)(struct front *f);
    /* For how long a command has waited since it was taken in, in nanoseconds; within owner.submit,
     * of a token that it was given. */
    uint64_t (*waited)(const struct front *f, uint64_t token, struct ts_mono now);
    /* Whether commands were taken in that neither submit nor read was called for yet. Once they
     * were, a primary that hands over has nothing left that it would have to refuse. */
    bool (*has_collected)(const struct front *f);
    /* Role, primary and group as clients shall see them from now on; copied. On leaving PRIMARY,
     * what is collected but not submitted, and reads that wait, are answered with the new status'
     * error; what is submitted stays until it is answered or close_unanswered. */
    void (*set_status)(struct front *f, const struct front_status *status);
    /* Who may do what from now on; copied. No users: everybody may everything. */
    void (*set_users)(struct front *f, const struct net_users *users);
    /* Loads the certificates again, of front-ends that do not use config.tls; NULL: of those that
     * do. All of them, or, on failure, none. Blocks. */
    enum ts_err (*reload)(struct front *f, struct ts_why *why);
    /* Closes every connection that has submitted and unanswered commands, and forgets their tokens:
     * the replica lost its right to answer them (R2.8). Those that came by an address that may go
     * hear nothing before close_visitors, nor is owner.visitor called for them. */
    void (*close_unanswered)(struct front *f);
    /* Closes the connections that came by an address that may go, since it has gone: what is owed
     * to them is not answered any more. */
    void (*close_visitors)(struct front *f);
    /* The address has not gone, after all: closes those that close_unanswered left. */
    void (*close_muted)(struct front *f);
    void (*figures)(const struct front *f, struct front_figures *out);
    /* The process is about to end, and nothing is called any more: frees what nobody else would
     * find. May be NULL. */
    void (*end)(struct front *f);
};

/* What each of them begins with. */
struct front {
    const struct front_ops *ops;
};

static inline enum ts_err front_listen(struct front *f, const char *address, uint16_t port,
                                       bool ahead, struct ts_why *why)
{
    return f->ops->listen(f, address, port, ahead, why);
}

static inline void front_turn(struct front *f)
{
    f->ops->turn(f);
}

static inline void front_flush(struct front *f)
{
    f->ops->flush(f);
}

static inline void front_reply(struct front *f, uint64_t token, struct ts_bytes reply)
{
    f->ops->reply(f, token, reply);
}

static inline void front_read_ready(struct front *f, uint64_t round)
{
    f->ops->read_ready(f, round);
}

static inline void front_resume(struct front *f)
{
    f->ops->resume(f);
}

static inline uint64_t front_waited(const struct front *f, uint64_t token, struct ts_mono now)
{
    return f->ops->waited(f, token, now);
}

static inline bool front_has_collected(const struct front *f)
{
    return f->ops->has_collected(f);
}

static inline void front_set_status(struct front *f, const struct front_status *status)
{
    f->ops->set_status(f, status);
}

static inline void front_set_users(struct front *f, const struct net_users *users)
{
    f->ops->set_users(f, users);
}

static inline enum ts_err front_reload(struct front *f, struct ts_why *why)
{
    return f->ops->reload == NULL ? TS_OK : f->ops->reload(f, why);
}

static inline void front_close_unanswered(struct front *f)
{
    f->ops->close_unanswered(f);
}

static inline void front_close_visitors(struct front *f)
{
    f->ops->close_visitors(f);
}

static inline void front_close_muted(struct front *f)
{
    f->ops->close_muted(f);
}

static inline void front_figures(const struct front *f, struct front_figures *out)
{
    f->ops->figures(f, out);
}

static inline void front_end(struct front *f)
{
    if (f->ops->end != NULL) {
        f->ops->end(f);
    }
}

#endif
