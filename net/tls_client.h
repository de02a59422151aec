/* TLS 1.3 for who speaks to a service, as its clients do: bytes of the wire in, plain bytes out,
 * and back; the caller reads and writes the socket. The NIC must have a certificate of the
 * authority that is trusted. For agents and the lab's clients: the other side of net/tls_server.h.
 */
#ifndef NET_TLS_CLIENT_H
#define NET_TLS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/io/files.h"
#include "net/tls.h"

struct net_tls_trust;  /* whom to trust; many connections share it */
struct net_tls_client; /* one connection */

/* Reads the authority's certificate, a PEM file. TS_ERR_MALFORMED: it is none. TS_ERR_NOMEM. */
enum ts_err net_tls_trust_open(struct net_tls_trust **out, const char *authority,
                               struct ts_why *why) TS_MUST_USE;
/* Shows this certificate to whoever asks for one: two PEM files. *self tells whose it is.
 * TS_ERR_MALFORMED: not readable as such; TS_ERR_AUTH: the key is another one's, or the names are
 * none of this project. */
enum ts_err net_tls_trust_show(struct net_tls_trust *t, const char *certificate, const char *key,
                               struct net_tls_identity *self, struct ts_why *why) TS_MUST_USE;
/* Asks for a node's own certificate (NET_TLS_NODE_NAME). */
void net_tls_trust_want_node(struct net_tls_trust *t);
/* Connections that it was opened for may go on. NULL is allowed. */
void net_tls_trust_close(struct net_tls_trust *t);

/* NULL when memory is short. Its first words wait: net_tls_client_waiting. */
struct net_tls_client *net_tls_client_open(const struct net_tls_trust *trust);
/* NULL is allowed. */
void net_tls_client_close(struct net_tls_client *c);

/* Takes bytes of the wire. TS_ERR_AUTH: the peer is none that is trusted, or this is no TLS 1.3:
 * close the connection, once what waits is sent. TS_ERR_NOMEM. */
enum ts_err net_tls_client_take(struct net_tls_client *c, struct ts_bytes wire) TS_MUST_USE;
/* Reads at most `cap` plain bytes; 0 = there are none now. */
size_t net_tls_client_read(struct net_tls_client *c, uint8_t *out, size_t cap);
/* Whether the handshake is done: before that nothing can be written. */
bool net_tls_client_is_ready(const struct net_tls_client *c);
/* Whose certificate the other side has, once that is done; it must be a node's. Errors as of
 * net_tls_peer. */
enum ts_err net_tls_client_peer(const struct net_tls_client *c,
                                struct net_tls_identity *out) TS_MUST_USE;
/* Encrypts; the bytes of the wire wait. TS_ERR_SYSTEM: the connection is broken. */
enum ts_err net_tls_client_write(struct net_tls_client *c, struct ts_bytes plain) TS_MUST_USE;
/* Bytes that the wire is to get: borrowed until net_tls_client_sent, which drops them. */
struct ts_bytes net_tls_client_waiting(const struct net_tls_client *c);
void net_tls_client_sent(struct net_tls_client *c);

#endif
