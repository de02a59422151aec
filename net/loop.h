/* Small helpers around a libuv loop: the clock, random ids, and work that is
 * done once a turn of the loop.
 *
 * A turn: timers → prepare → poll (reads) → check → closing. What the callbacks of
 * one turn produce (a batch to seal, bytes for a link) is gathered and sent once, at
 * the end of the turn: that is the largest single effect on throughput. A hook that
 * was requested runs in the check phase of the same turn, or in the prepare phase
 * when a timer requested it: always before the loop sleeps. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "base/err.h"
#include "base/ids.h"

/* Hooks of an earlier stage run before those of a later one, also when a later
 * one's run requested them. */
enum net_turn_stage {
    NET_TURN_WORK = 0,  /* gather: seal a batch, decide */
    NET_TURN_FLUSH = 1, /* write what was gathered */
    NET_TURN_STAGES = 2,
};

/* One piece of once-a-turn work; embedded in its owner, zeroed before first use. */
struct net_turn_hook {
    void (*run)(void *arg); /* config */
    void *arg;
    enum net_turn_stage stage;
    bool requested; /* volatile: linked in the turn's list */
    struct net_turn_hook *next;
    struct net_turn_hook *prev;
};

struct net_turn {
    uv_prepare_t prepare;
    uv_check_t check;
    uint64_t number; /* of the turn, from 1 on: so that work can be bounded a turn */
    uv_idle_t idle;  /* keeps the loop awake when hooks are left over */
    struct net_turn_hook *first[NET_TURN_STAGES];
    struct net_turn_hook *last[NET_TURN_STAGES];
};

/* The handles do not keep the loop alive. */
enum ts_err net_turn_open(struct net_turn *t, uv_loop_t *loop) TS_MUST_USE;
/* Closes the handles: the loop must run once more before the memory goes. Requested hooks
 * are forgotten. */
void net_turn_close(struct net_turn *t);
/* Has the hook run once before the loop sleeps; no effect when it is requested already. The
 * hook's memory must stay until it ran or was cancelled. */
void net_turn_request(struct net_turn *t, struct net_turn_hook *h);
/* Takes the request back; no effect without one. */
void net_turn_cancel(struct net_turn *t, struct net_turn_hook *h);

/* The local monotonic clock. */
struct ts_mono net_now(void);
/* Fills `out` from the operating system. TS_ERR_SYSTEM when it has none. */
enum ts_err net_random(void *out, size_t n) TS_MUST_USE;
/* A random id, never 0: instances, incarnations, nonces. TS_ERR_SYSTEM as above. */
enum ts_err net_random_u64(uint64_t *out) TS_MUST_USE;

/* How many sockets a server may have for clients: what RLIMIT_NOFILE leaves beside those that the
 * process needs itself. UINT32_MAX: there is no limit. */
uint32_t net_sockets_max(void);
/* Binds to an address that may come later (Linux). `tcp` was initialised with its family. Gives 0
 * or libuv's error. */
int net_bind_ahead(uv_tcp_t *tcp, const struct sockaddr_storage *where);

#endif
