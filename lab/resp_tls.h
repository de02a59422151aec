/* TLS 1.3 for the lab's clients: bytes of the wire in, plain bytes out, and back; the client reads
 * and writes the socket. Whom it talks to must have a certificate of the cluster's authority, or of
 * the clients' own. */
#ifndef LAB_RESP_TLS_H
#define LAB_RESP_TLS_H

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/io/files.h"

struct lab_tls; /* of one connection */

/* What the clients of a load share; the caller frees it (SSL_CTX_free) behind all connections.
 * TS_ERR_MALFORMED: `authority` is no PEM certificate. TS_ERR_NOMEM. */
enum ts_err lab_tls_trust(SSL_CTX **out, const char *authority, struct ts_why *why) TS_MUST_USE;

/* Never NULL. Its first words wait: lab_tls_waiting. */
struct lab_tls *lab_tls_open(SSL_CTX *trust);
void lab_tls_close(struct lab_tls *t);

/* Takes bytes of the wire. TS_ERR_AUTH: the peer is none of those that are trusted, or it broke
 * off.
 */
enum ts_err lab_tls_take(struct lab_tls *t, struct ts_bytes wire) TS_MUST_USE;
/* Reads at most `cap` plain bytes; 0 = there are none now. */
size_t lab_tls_read(struct lab_tls *t, uint8_t *out, size_t cap);
/* Whether the handshake is done: before that nothing can be written. */
bool lab_tls_is_ready(const struct lab_tls *t);
void lab_tls_write(struct lab_tls *t, struct ts_bytes plain);
/* Bytes that the wire is to get; borrowed until lab_tls_sent, which drops them. */
struct ts_bytes lab_tls_waiting(const struct lab_tls *t);
void lab_tls_sent(struct lab_tls *t);

#endif
