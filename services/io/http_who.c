/* Who a request is from: a name and a password with it, or a certificate of its connection. */
#include <string.h>

#include "services/io/http_conn.h"

/* Looks once a connection for a certificate. */
static void look_for_certificate(struct http_conn *c)
{
    const char *cluster = c->server->config.cluster;
    struct net_tls_identity id;
    if (c->looked || c->tls == NULL) {
        return;
    }
    c->looked = true;
    enum ts_err err = net_tls_stream_peer(c->tls, NET_TLS_NODE, &id);
    c->is_agent = err == TS_ERR_REFUSED;
    if (err != TS_OK || (cluster != NULL && strcmp(cluster, id.cluster) != 0)) {
        return;
    }
    c->cert = (struct http_who){.kind = HTTP_WHO_CERTIFICATE, .role = NET_ROLE_ADMIN};
    size_t n = strnlen(id.node, HTTP_NAME_MAX);
    memcpy(c->cert.name, id.node, n);
}

/* Checks name and password; takes the same time for a name that nobody has. */
static bool check_user(const struct http_server *s, struct ts_bytes header, struct http_exchange *x)
{
    static const struct net_user nobody = {.name = ""};
    struct http_credentials said = {.name_len = 0};
    if (http_basic_parse(header, &said) != TS_OK) {
        return false;
    }
    const struct net_user *u =
        net_users_find(&s->users, (struct ts_bytes){(const uint8_t *)said.name, said.name_len});
    bool right =
        net_user_check(u != NULL ? u : &nobody,
                       (struct ts_bytes){(const uint8_t *)said.password, said.password_len});
    explicit_bzero(&said, sizeof(said));
    if (u == NULL || !right) {
        return false;
    }
    x->request.who = (struct http_who){.kind = HTTP_WHO_USER, .role = u->role};
    memcpy(x->request.who.name, u->name, sizeof(u->name));
    memcpy(x->hash, u->hash, sizeof(x->hash));
    return true;
}

enum http_who_found http_who_find(struct http_exchange *x, const struct http_head *head)
{
    struct http_conn *c = x->conn;
    const struct http_server *s = c->server;
    struct ts_bytes said = http_head_get(head, HTTP_FIELD_AUTHORIZATION);
    look_for_certificate(c);
    if (c->is_agent) {
        return HTTP_WHO_AGENT;
    }
    if (s->users.count > 0 && said.len > 0) {
        return check_user(s, said, x) ? HTTP_WHO_FOUND : HTTP_WHO_UNKNOWN;
    }
    if (c->cert.kind == HTTP_WHO_CERTIFICATE) {
        x->request.who = c->cert;
        return HTTP_WHO_FOUND;
    }
    x->request.who = (struct http_who){.kind = HTTP_WHO_ANYBODY, .role = NET_ROLE_ADMIN};
    return s->users.count == 0 ? HTTP_WHO_FOUND : HTTP_WHO_UNKNOWN;
}
