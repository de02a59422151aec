/* Asks cluster-cfgd of one node over its admin socket, and follows its events.
 * Blocks; for the command line and the lab, never on a loop. Protocol: cluster-cfg/io/admin.h. */
#ifndef CLUSTER_CFG_IO_ADMIN_CLIENT_H
#define CLUSTER_CFG_IO_ADMIN_CLIENT_H

#include <stdint.h>

#include <jansson.h>

#include "base/io/files.h"

/* Sends `request` (an object with "cmd"; borrowed; "version" is added) to the node whose data
 * directory is `dir`, and gives the reply's object in `*reply`: the caller decrefs it.
 * TS_ERR_NOT_FOUND: no socket there. TS_ERR_TIMEOUT: no answer within `timeout_ms`.
 * TS_ERR_REFUSED: the reply says "ok": false; `why` has its error. TS_ERR_VERSION,
 * TS_ERR_MALFORMED: the reply is none of this version. TS_ERR_LIMIT: the path is too long.
 * TS_ERR_NOMEM. */
enum ts_err admin_client_ask(const char *dir, json_t *request, unsigned timeout_ms, json_t **reply,
                             struct ts_why *why) TS_MUST_USE;
/* The same for a request without arguments: "status", "version". */
enum ts_err admin_client_get(const char *dir, const char *cmd, unsigned timeout_ms, json_t **reply,
                             struct ts_why *why) TS_MUST_USE;

/* A subscription to the events of one node. The connection is made again by itself; the events'
 * "seq" tells of a gap, which a reader fills with cmd "events". */
struct admin_stream;
enum ts_err admin_stream_open(const char *dir, struct admin_stream **out,
                              struct ts_why *why) TS_MUST_USE;
/* The next event. TS_ERR_TIMEOUT: none within `timeout_ms`. TS_ERR_MALFORMED: skipped a message. */
enum ts_err admin_stream_next(struct admin_stream *f, unsigned timeout_ms,
                              json_t **event) TS_MUST_USE;
/* NULL is allowed. */
void admin_stream_close(struct admin_stream *f);

#endif
