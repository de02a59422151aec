/* What the web needs of TLS besides net/tls_server.h, whose contexts get it: a protocol is agreed
 * on (ALPN), and a client may show a certificate, which ca.pem of the directory must have issued.
 */
#ifndef NET_TLS_WEB_H
#define NET_TLS_WEB_H

#include "base/err.h"
#include "base/io/files.h"

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/* Sets a context up. `protocols`: of ALPN, the preferred first, each with its length in front
 * ("\2h2\10http/1.1"); a static string. Errors as of net_tls_server_open. Blocks. */
enum ts_err net_tls_web_set_up(struct ssl_ctx_st *ctx, const char *dir, const char *protocols,
                               struct ts_why *why) TS_MUST_USE;

#endif
