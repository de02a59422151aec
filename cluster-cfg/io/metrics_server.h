/* Prometheus' way to a node's metrics: GET /metrics over plain HTTP/1.1 (libmicrohttpd).
 *
 * The library has no thread here: its one epoll descriptor is watched by the loop, which lets it
 * run when there is something to do. It takes few clients at a time, little from each, and waits
 * for them METRICS_IDLE_S: what a stranger sends is refused or let go without harm to the voter
 * that shares the loop. When no client can be let in, for want of descriptors, they wait.
 *
 * Not libwebsockets, whose way into a foreign libuv loop (Debian's 4.1.6) ended the process within
 * minutes, since it closes descriptors that the loop still watches, and which takes an address that
 * no interface bears by name (127.77.1.1) for "all" (docs/adr/0035 has more of it). */
#ifndef CLUSTER_CFG_IO_METRICS_SERVER_H
#define CLUSTER_CFG_IO_METRICS_SERVER_H

#include <uv.h>

#include "base/io/files.h"

struct metrics_server;

/* Gives a NUL-terminated text that the server frees, or NULL when memory is short. */
typedef char *metrics_render_fn(void *arg);

/* A client that is silent for so long is closed: more than the time between two scrapes. */
#define METRICS_IDLE_S 30U

/* Listens on `address` (numeric) and `port`; 0 takes a free one. `idle_s`: METRICS_IDLE_S. `loop`
 * and `arg` are borrowed until it is closed. TS_ERR_SYSTEM: it cannot listen there, `why` says why.
 * TS_ERR_NOMEM. */
enum ts_err metrics_server_open(struct metrics_server **out, uv_loop_t *loop, const char *address,
                                uint16_t port, unsigned idle_s, metrics_render_fn *render,
                                void *arg, struct ts_why *why) TS_MUST_USE;
uint16_t metrics_server_port(const struct metrics_server *s);
/* Closes all; the loop must run once more, for its handles. NULL is allowed. */
void metrics_server_close(struct metrics_server *s);

#endif
