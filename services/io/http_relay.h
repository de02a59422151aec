/* Requests at a NIC that is not the primary, carried to the primary and its answers back: HTTP/1.1
 * on TLS connections of its own to the port where clients of the primary come. So the replicas'
 * links are never behind what clients send.
 *
 * Each end shows the node's own certificate, and checks the other's: this one that it speaks with
 * the node that is the primary, the primary that a NIC of its group says who the client is
 * (http_claim.h). The primary gives the rights that the client would have there, and that it has
 * here, whichever are fewer.
 *
 * A connection has one request at a time. What was not sent is refused (503, nothing was done), and
 * so are reads. A change whose answer does not come, since the connection ends or another one is
 * the primary, may have been done: its client's connection is closed (R2.8), as the primary would.
 * Everything runs on the loop's thread. */
#ifndef SERVICES_IO_HTTP_RELAY_H
#define SERVICES_IO_HTTP_RELAY_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/io/files.h"
#include "net/tls_client.h"
#include "services/io/http_server.h"

#define HTTP_RELAY_LINKS_MAX 32
#define HTTP_RELAY_ASKED_MAX 1024U                 /* requests */
#define HTTP_RELAY_BYTES_MAX (32U * 1024U * 1024U) /* … and bytes of them, or one alone */

struct http_relay;

struct http_relay_config {
    uv_loop_t *loop;          /* borrowed */
    const char *dir;          /* of the certificates; copied */
    struct http_server *http; /* borrowed: who asks, and is answered */
    uint32_t answer_max;      /* bytes of an answer's body */
};

/* Errors as of http_relay_load. */
enum ts_err http_relay_open(struct http_relay **out, const struct http_relay_config *config,
                            struct ts_why *why) TS_MUST_USE;

/* Ends all; the memory goes when the loop has closed its handles. */
void http_relay_close(struct http_relay *r);

/* Where the primary is, "HOST:PORT", and the node's name; "": nobody knows, or it is here. What was
 * asked of another one ends. May be said again and again. */
void http_relay_aim(struct http_relay *r, const char *primary, const char *node);
/* Carries a request on, which is answered, or its client's connection closed, later. False: nothing
 * was done, and the caller answers. */
bool http_relay_ask(struct http_relay *r, uint64_t token, const struct http_request *request);

/* Loads what new connections show and trust, to be given to http_relay_use, or to
 * net_tls_trust_close. TS_ERR_MALFORMED, TS_ERR_AUTH, TS_ERR_NOMEM. Blocks. */
enum ts_err http_relay_load(struct net_tls_trust **out, const char *dir,
                            struct ts_why *why) TS_MUST_USE;
/* Takes it. */
void http_relay_use(struct http_relay *r, struct net_tls_trust *trust);
const char *http_relay_dir(const struct http_relay *r);

#endif
