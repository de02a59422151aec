/* TLS 1.3 between nodes, with certificates on both sides. A node's directory holds
 *     ca.pem     the cluster's authority        node.pem  this node's certificate
 *     node.key   its private key
 * A certificate names the node (CN) and the cluster (O), and whose it is (OU): the authority
 * issues some to agents of transport nodes, too (net/ca.h), which are no nodes of the cluster. Who
 * takes a peer's certificate says of which role it must be. Its dates are checked when a connection
 * is set up, and only then (R7). There is no plain text between nodes. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/io/files.h"
#include "net/frame.h"
#include "net/log.h"

#define NET_TLS_DIR_MAX 512
/* The server name (SNI) with which a node asks a port for clients for the node's own certificate,
 * where clients are shown another one. */
#define NET_TLS_NODE_NAME "node.twinstep"

/* What the owner of a certificate may be. */
enum net_tls_role {
    NET_TLS_NODE,  /* no OU: a node of the cluster, or who has a node's rights */
    NET_TLS_AGENT, /* CA_AGENT_UNIT: a transport node, at the agents' port of a controller */
};

/* The names in a verified certificate. */
struct net_tls_identity {
    char node[NET_NAME_MAX];    /* CN */
    char cluster[NET_NAME_MAX]; /* O */
    enum net_tls_role role;     /* OU */
};

struct net_tls {
    char dir[NET_TLS_DIR_MAX];
    SSL_CTX *ctx; /* of new connections; each connection keeps the one it began with */
    struct net_tls_identity self; /* of the loaded certificate */
    int64_t not_before;           /* seconds since the Unix epoch: from when on it holds */
    int64_t not_after;            /* when it expires */
};

/* "2026-01-02T03:04:05Z" */
#define NET_TLS_DATE_MAX 40

/* Loads `dir`. On failure `why` says which file is wrong and what to do.
 * TS_ERR_NOT_FOUND: a file is missing; TS_ERR_AUTH: the files do not fit each other, or are an
 * agent's;
 * TS_ERR_MALFORMED: a file is not PEM; TS_ERR_LIMIT: a name is too long; TS_ERR_NOMEM. */
enum ts_err net_tls_open(struct net_tls *t, const char *dir, struct ts_why *why) TS_MUST_USE;
/* The same for a certificate that must be `node`'s of `cluster`; TS_ERR_AUTH when it is another's.
 * Every peer would refuse that one, and only say so in its own log. */
enum ts_err net_tls_open_as(struct net_tls *t, const char *dir, const char *node,
                            const char *cluster, struct ts_why *why) TS_MUST_USE;
/* Loads the directory again for new connections; on failure all stays as it was. Errors as above,
 * and TS_ERR_AUTH when the certificate names another node or cluster than before. Blocks. */
enum ts_err net_tls_reload(struct net_tls *t, struct ts_why *why) TS_MUST_USE;
/* The same, and tells in one line of the log what new connections use now: what SIGHUP does. */
void net_tls_renew(struct net_tls *t, const struct net_log *log);
/* A date of a certificate in UTC. Gives `out`. */
const char *net_tls_date(int64_t s, char out[NET_TLS_DATE_MAX]);
/* All connections must have ended. */
void net_tls_close(struct net_tls *t);

/* The names of the verified peer, which must be of this role. TS_ERR_AUTH: no certificate, or names
 * missing, doubled, too long or with an embedded NUL, or an OU that means nothing here.
 * TS_ERR_REFUSED: it is of another role, and *out tells whose it is. */
enum ts_err net_tls_peer(const SSL *ssl, enum net_tls_role role,
                         struct net_tls_identity *out) TS_MUST_USE;
/* The names in the certificate that a context shows, of whatever role. TS_ERR_AUTH: as above. */
enum ts_err net_tls_self(SSL_CTX *ctx, struct net_tls_identity *out) TS_MUST_USE;
/* Whether what a context has loaded from `dir` may be a node's own: its certificate is from the
 * authority that the context verifies with, dates aside, of a node, and names whom `keep` names
 * (NULL: anybody). *self: whom. TS_ERR_AUTH, TS_ERR_LIMIT: `why` tells what is wrong with it;
 * TS_ERR_NOMEM. */
enum ts_err net_tls_check_own(SSL_CTX *ctx, const char *dir, const struct net_tls_identity *keep,
                              struct net_tls_identity *self, struct ts_why *why) TS_MUST_USE;
/* A context for TLS 1.3 alone, with the ciphers and groups of the design, without resumption and
 * without passwords on the terminal. Whom it verifies is the caller's. The caller frees it; NULL:
 * net_tls_error tells why. */
SSL_CTX *net_tls_new_ctx(const SSL_METHOD *method);
/* The newest error of OpenSSL's queue as a clause for people; empties the queue. */
void net_tls_error(const SSL *ssl, char *out, size_t cap);

#endif
