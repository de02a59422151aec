/* Who a request is from: a name and a password with it, or a certificate of its connection. */
#include <string.h>

#include "services/io/http_claim.h"
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

/* Whether the connection is from a NIC of the group. */
static bool is_nic(const struct http_conn *c)
{
    const struct http_server_config *config = &c->server->config;
    bool found = false;
    for (size_t i = 0; i < config->nic_count && c->cert.kind == HTTP_WHO_CERTIFICATE; i++) {
        found = found || strcmp(config->nics[i], c->cert.name) == 0;
    }
    return found;
}

/* Who the client is of whom a NIC says `claim`: the rights that both NICs give it. A user whom this
 * one does not know is nobody, and so is anybody where there are users. */
static enum http_who_found take_claim(struct http_exchange *x, struct ts_bytes claim)
{
    const struct http_server *s = x->conn->server;
    struct http_who *who = &x->request.who;
    struct http_who said;
    if (!is_nic(x->conn) || http_claim_read(claim, &said) != TS_OK) {
        return HTTP_WHO_NO_NIC;
    }
    *who = said;
    x->request.is_relayed = true;
    if (said.kind == HTTP_WHO_ANYBODY) {
        return s->users.count == 0 ? HTTP_WHO_FOUND : HTTP_WHO_UNKNOWN;
    }
    if (said.kind == HTTP_WHO_CERTIFICATE) {
        return HTTP_WHO_FOUND;
    }
    const struct net_user *u =
        net_users_find(&s->users, (struct ts_bytes){(const uint8_t *)said.name, strlen(said.name)});
    if (u == NULL) {
        return HTTP_WHO_UNKNOWN;
    }
    who->role = u->role < said.role ? u->role : said.role;
    memcpy(x->hash, u->hash, sizeof(x->hash));
    return HTTP_WHO_FOUND;
}

enum http_who_found http_who_find(struct http_exchange *x, const struct http_head *head)
{
    struct http_conn *c = x->conn;
    const struct http_server *s = c->server;
    struct ts_bytes said = http_head_get(head, HTTP_FIELD_AUTHORIZATION);
    struct ts_bytes claim = http_head_get(head, HTTP_FIELD_CLIENT);
    look_for_certificate(c);
    if (c->is_agent) {
        return HTTP_WHO_AGENT;
    }
    if (head->seen[HTTP_FIELD_CLIENT]) {
        return take_claim(x, claim);
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
