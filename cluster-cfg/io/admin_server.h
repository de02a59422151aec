/* The admin sockets of cluster-cfgd: NNG, and the only file of the daemon that sees it. NNG's
 * callbacks come on its own threads; here they only hand a message over and wake the loop with
 * uv_async. Everything else, the handler too, runs on the loop. */
#ifndef CLUSTER_CFG_IO_ADMIN_SERVER_H
#define CLUSTER_CFG_IO_ADMIN_SERVER_H

#include <uv.h>

#include "base/buf.h"
#include "base/io/files.h"

/* Clients whose requests may be under way at once; others wait in NNG. */
#define ADMIN_SERVER_CONTEXTS 4
/* Events that may wait for a slow subscriber before it misses some. */
#define ADMIN_SERVER_EVENTS_MAX 8192

struct admin_server;

/* Gives a malloc'ed NUL-terminated reply, which is taken; NULL: the client gets none. */
typedef char *admin_server_answer_fn(void *arg, struct ts_bytes request);

/* Listens in the node's directory; socket files of an earlier run are removed.
 * TS_ERR_LIMIT: the path is too long for a socket. TS_ERR_SYSTEM, TS_ERR_NOMEM. */
enum ts_err admin_server_open(struct admin_server **out, uv_loop_t *loop, const char *dir,
                              admin_server_answer_fn *answer, void *arg,
                              struct ts_why *why) TS_MUST_USE;
/* Sends `text` to every subscriber; never waits, drops for those that are slow. */
void admin_server_publish(struct admin_server *s, const char *text);
/* Stops NNG (waits for its callbacks); frees itself when the loop ran once more. NULL is allowed.
 */
void admin_server_close(struct admin_server *s);

#endif
