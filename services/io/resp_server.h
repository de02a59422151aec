/* The RESP front-end of a replica: client connections in, ordered commands out.
 *
 * It parses whatever a turn of the loop brought, answers local commands, hands the
 * turn's writes over as one batch and its reads as one round, and gives each
 * client the turn's replies in one write. Program order holds on every connection:
 *
 *   local command    answered at once, its reply behind those still owed
 *   write            collected for the turn's submission
 *   read             with no unanswered ordered command on its connection: waits for the
 *                    turn's read round, and what follows it on the connection waits too;
 *                    otherwise it is ordered like a write
 *   timed read       (TTL, PTTL, TIME) ordered like a write
 *
 * R2.8 here: an error reply means "not executed" and is given only to what was not
 * submitted; what was submitted is answered by its reply or by closing.
 *
 * The owner (replica main) drives it, on the loop's thread, in this order:
 *
 *   after the poll phase (uv_check)     resp_server_turn    → ops.submit, ops.read
 *   before the loop blocks (uv_prepare) resp_server_flush   → one write a client
 *
 * and, from anywhere between, feeds it with resp_server_reply, _read_ready, _resume,
 * _set_status and _close_unanswered. None of these calls an op: ops.submit and ops.read are called
 * from resp_server_turn alone, and may call these functions themselves. When there is work left for
 * another turn the server keeps the loop from blocking by itself.
 *
 * The process must ignore SIGPIPE: clients vanish while they are being written to.
 *
 * What one turn reads, submits, renders and writes is bounded (RESP_TURN_…), so that a turn takes a
 * few milliseconds however long the values are. A confirmed read is rendered only when its client
 * has taken most of what was rendered before: whoever reads is not closed as a slow reader.
 *
 * Steady state allocates nothing per request: rings and arenas are reused. */
#ifndef SERVICES_IO_RESP_SERVER_H
#define SERVICES_IO_RESP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "net/tls_server.h"
#include "net/users.h"
#include "services/io/front.h"
#include "services/resp.h"
#include "services/svc.h"

/* Every bound and its default; 0 in a field means the default. */
struct resp_server_config {
    struct resp_limits limits;      /* all zero = resp_limits_default() */
    uint32_t clients_max;           /* 10000; lowered to what RLIMIT_NOFILE allows */
    uint32_t client_unanswered_max; /* ordered commands of one connection, 4096 */
    uint32_t client_output_soft;    /* bytes: parsing of the connection pauses above it, 1 MiB */
    uint32_t client_output_hard;    /* bytes: the connection is closed above it, 64 MiB */
    uint32_t unanswered_max;        /* ordered commands in all, 131072 (rounded up to 2^n) */
    uint32_t pending_bytes_max;     /* bytes collected and not yet submitted, 4 MiB */
    uint32_t submit_count_max;      /* commands of one submit call, 4096 */
    uint32_t submit_bytes_max;      /* payload bytes of one submit call, 1 MiB; one payload that is
                                       longer goes alone */
    uint32_t rounds_max;            /* read rounds under way, 8 */
    uint32_t stranger_ms;           /* for which a connection may be nobody's, 10000 */
    uint32_t failure_timeout_ms;    /* of the cluster, for SENTINEL and what is carried on */
    struct net_tls_server *tls;     /* clients speak TLS when it is given; borrowed, as below */
    const char *version;            /* "0.1.0", for INFO; borrowed for the server's life */
};

/* Counters since the start, for INFO and for tests. */
struct resp_server_stats {
    uint64_t connections; /* accepted */
    uint64_t rejected;    /* refused: too many clients */
    uint64_t commands;    /* all kinds */
    uint64_t submitted;   /* ordered commands taken by ops.submit */
    uint64_t batches;     /* successful submit calls */
    uint64_t reads;       /* commands answered after a round */
    uint64_t rounds;
    uint64_t protocol_errors;
    uint64_t refused;            /* state commands answered READONLY or CLUSTERDOWN */
    uint64_t unauthorized;       /* refused: wrong password, no or too low a role */
    uint64_t sessions_opened;    /* by clients of this NIC, … */
    uint64_t sessions_resumed;   /* … and gone on with */
    uint64_t relayed;            /* connections that were carried on after a handoff */
    uint64_t closed_unanswered;  /* connections closed with requests in the log */
    uint64_t closed_slow;        /* connections closed for not reading their replies */
    uint64_t closed_strangers;   /* … for not saying who they are */
    uint64_t closed_subscribers; /* … since another NIC is primary now */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint32_t clients;    /* connected now */
    uint32_t unanswered; /* submitted, not answered yet */
};

struct resp_server;

/* Gives a server that listens nowhere yet and is UNAVAILABLE. `loop`, `state` (of kv_service)
 * and ops->ctx are borrowed for its life; `config` may be NULL. NULL when memory is short. */
struct resp_server *resp_server_create(uv_loop_t *loop, const struct front_owner *ops,
                                       const void *state, const struct resp_server_config *config);

/* Closes all; `closed` is called on the loop when every handle is gone and the memory is freed.
 * No other function may be called after it. */
void resp_server_destroy(struct resp_server *s, void (*closed)(void *ctx), void *ctx);

/* Listens on one more address (a numeric IPv4 or IPv6 address). Port 0 takes a free one. `ahead`:
 * the address may come later.
 * TS_ERR_CONFIG: not an address. TS_ERR_LIMIT: too many. TS_ERR_SYSTEM: refused by the system, with
 * the libuv error in *uv_error when that is not NULL. */
enum ts_err resp_server_listen(struct resp_server *s, const char *address, uint16_t port,
                               bool ahead, int *uv_error) TS_MUST_USE;
#define RESP_LISTENERS_MAX 16
/* Closes the connections that came by an address that may go, `ahead`, since it has gone: what is
 * owed to them is not answered any more. */
void resp_server_close_visitors(struct resp_server *s);
/* The address has not gone, after all: closes those that resp_server_close_unanswered left. */
void resp_server_close_muted(struct resp_server *s);
/* The port that the first listener got. */
uint16_t resp_server_port(const struct resp_server *s);

/* Parses what waits, submits the turn's commands, asks for the turn's read round.
 * Call once a turn, after the poll phase. */
void resp_server_turn(struct resp_server *s);
/* Writes every client's replies. Call once a turn, before the loop may block. */
void resp_server_flush(struct resp_server *s);
/* Whether resp_server_turn or _flush has work now (the loop does not block meanwhile). */
bool resp_server_has_work(const struct resp_server *s);

/* The reply to a submitted command: final RESP bytes, copied. In token order; a token that was
 * given up (its client left, close_unanswered) is dropped silently. */
void resp_server_reply(struct resp_server *s, uint64_t token, struct ts_bytes reply);
/* Every round up to `round` is confirmed: their reads are answered from the applied state now. */
void resp_server_read_ready(struct resp_server *s, uint64_t round);
/* A submit that was BUSY may be tried again in the next turn. */
void resp_server_resume(struct resp_server *s);

/* For how long a command has waited since it was taken in, in nanoseconds; within ops.submit, of a
 * token that it was given. */
uint64_t resp_server_waited(const struct resp_server *s, uint64_t token, struct ts_mono now);

/* Whether commands were taken in that neither submit nor read was called for yet. Once they were,
 * a primary that hands over has nothing left that it would have to refuse. */
bool resp_server_has_collected(const struct resp_server *s);

/* Role, primary and group as clients shall see them from now on; copied. On leaving PRIMARY,
 * what is collected but not submitted, and reads that wait, are answered with the new
 * status' error; what is submitted stays until it is answered or close_unanswered. */
void resp_server_set_status(struct resp_server *s, const struct front_status *status);
/* Who may do what from now on; copied. No users: everybody may everything. Connections of users
 * that are gone or have another password are closed. */
void resp_server_set_users(struct resp_server *s, const struct net_users *users);
/* Closes every connection that has submitted and unanswered commands, and forgets their
 * tokens: the replica lost its right to answer them (R2.8). Those that came by an address that may
 * go hear nothing before resp_server_close_visitors, nor is ops.visitor called for them. */
void resp_server_close_unanswered(struct resp_server *s);

void resp_server_stats(const struct resp_server *s, struct resp_server_stats *out);

#endif
