/* TLS 1.3 for clients of a service: bytes of the wire in, plain bytes out, and back; the caller
 * reads and writes the socket. Clients show no certificate: who they are they say in their own
 * protocol; only those of the web may (net_tls_server_open_web), and those that are asked for one
 * must (net_tls_server_open_mutual). The certificate is client.pem with client.key in the node's
 * directory when these are there (one that the clients' own authority
 * issued), else the node's own, node.pem with node.key.
 */
#ifndef NET_TLS_SERVER_H
#define NET_TLS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io/files.h"
#include "net/tls.h"

struct net_tls_identity; /* net/tls.h */
struct net_tls_server;
struct net_tls_stream;

/* Loads the directory; gives *out. Errors as of net_tls_open: the node's own certificate is looked
 * at as there. Blocks. */
enum ts_err net_tls_server_open(struct net_tls_server **out, const char *dir,
                                struct ts_why *why) TS_MUST_USE;
/* The same with what net/tls_web.h says; `protocols` as there. */
enum ts_err net_tls_server_open_web(struct net_tls_server **out, const char *dir,
                                    const char *protocols, struct ts_why *why) TS_MUST_USE;
/* The same for clients that must show a certificate of the node's own authority, ca.pem; this
 * side's is the node's own. */
enum ts_err net_tls_server_open_mutual(struct net_tls_server **out, const char *dir,
                                       struct ts_why *why) TS_MUST_USE;
/* Loads it again for new connections; on failure all stays as it was. TS_ERR_AUTH also when the
 * node's own certificate is another node's than before. Blocks. */
enum ts_err net_tls_server_reload(struct net_tls_server *t, struct ts_why *why) TS_MUST_USE;
/* The same of several: all of them, or, on failure, none. NULL among them is passed over. */
#define NET_TLS_SERVERS_MAX 4
enum ts_err net_tls_server_reload_all(struct net_tls_server *const *servers, size_t n,
                                      struct ts_why *why) TS_MUST_USE;
/* All streams must have ended. */
void net_tls_server_close(struct net_tls_server *t);

/* A connection that was accepted; NULL when memory is short. */
struct net_tls_stream *net_tls_stream_open(const struct net_tls_server *t);
void net_tls_stream_close(struct net_tls_stream *s);

/* A record's plain bytes may be so many more than those of the wire that complete it. */
#define NET_TLS_RECORD_MAX (17U * 1024)

/* Takes `n` bytes of the wire and gives the plain bytes that are complete: at most
 * n + NET_TLS_RECORD_MAX, which `plain` has room for. What is to be answered (a handshake) waits in
 * the stream: see net_tls_stream_take. *ended: the peer will send no more.
 * TS_ERR_MALFORMED: this is no TLS 1.3, or broken: close the connection, once what waits is sent.
 */
enum ts_err net_tls_stream_read(struct net_tls_stream *s, const uint8_t *wire, size_t n,
                                uint8_t *plain, size_t *got, bool *ended) TS_MUST_USE;
/* Whether the handshake is done: before that nothing can be written. */
bool net_tls_stream_is_ready(const struct net_tls_stream *s);
/* Whether the client and this end have agreed on a protocol of this name (ALPN). */
bool net_tls_stream_speaks(const struct net_tls_stream *s, const char *protocol);
/* The names in the certificate that the client has shown, which must be of this role.
 * TS_ERR_NOT_FOUND: it has shown none; others as of net_tls_peer. */
enum ts_err net_tls_stream_peer(const struct net_tls_stream *s, enum net_tls_role role,
                                struct net_tls_identity *out) TS_MUST_USE;
/* Encrypts `n` bytes; they wait in the stream. TS_ERR_NOMEM. */
enum ts_err net_tls_stream_write(struct net_tls_stream *s, const uint8_t *plain,
                                 size_t n) TS_MUST_USE;
/* Tells the peer that no more will come; no effect before the handshake is done, or twice. */
void net_tls_stream_end(struct net_tls_stream *s);
/* Bytes of the wire that wait. */
size_t net_tls_stream_waiting(const struct net_tls_stream *s);
/* Gives them, malloc'ed, to the caller; takes `spare` (malloc'ed, `spare_cap` long, may be NULL)
 * for the next ones. */
void net_tls_stream_take(struct net_tls_stream *s, uint8_t *spare, size_t spare_cap, uint8_t **data,
                         size_t *len, size_t *cap);

#endif
