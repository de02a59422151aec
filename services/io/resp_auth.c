/* AUTH: who a connection is, and what it may do. Without users everybody may everything. Names and
 * hashes are net/users.h's; the wordings are Redis'. */
#include <stdio.h>
#include <string.h>

#include "services/io/resp_conn.h"

#define WRONG "WRONGPASS invalid username-password pair or user is disabled."
#define MISSING "NOAUTH Authentication required."

/* What a connection may send before it said who it is: as Redis has it. */
static const struct resp_limits strangers = {
    .args_max = 10,
    .bulk_max = 16U * 1024,
    .inline_max = 16U * 1024,
    .request_max = 64U * 1024,
};

bool resp_auth_is_stranger(const struct resp_conn *c)
{
    return c->server->users.count > 0 && c->role == NET_ROLE_NONE;
}

const struct resp_limits *resp_auth_limits(const struct resp_conn *c)
{
    return resp_auth_is_stranger(c) ? &strangers : &c->server->config.limits;
}

/* The member of a container that the request names; NULL: none. */
static const struct resp_subcommand *member_of(const struct kv_command *command,
                                               const struct resp_request *req)
{
    const struct resp_container *container = resp_container_find(command);
    return container == NULL || req->argc < 2 ? NULL
                                              : resp_container_member(container, req->args[1]);
}

enum net_role resp_auth_needed(const struct kv_command *command, const struct resp_request *req)
{
    const struct resp_subcommand *sub = member_of(command, req);
    switch ((unsigned)command->id) {
    case KV_AUTH:
    case KV_HELLO:
    case KV_QUIT:
    case KV_RESET:
        return NET_ROLE_NONE;
    case KV_FLUSHALL:
    case KV_FLUSHDB:
    case KV_CONFIG:
        return NET_ROLE_ADMIN;
    case KV_PUBLISH:
    case KV_SESSION_OPEN:
    case KV_SESSION_RESUME:
    case KV_SESSION_ACK:
    case KV_SESSION_CLOSE:
    case KV_SESSION_NEXT:
    case KV_SESSION_CARRY:
        return NET_ROLE_WRITE;
    case KV_EXEC: /* what is in it was judged when it was queued */
        return NET_ROLE_READ;
    default:
        break;
    }
    if (sub != NULL && sub->admin) {
        return NET_ROLE_ADMIN;
    }
    return (command->flags & KV_CMD_WRITE) != 0 ? NET_ROLE_WRITE : NET_ROLE_READ;
}

const char *resp_auth_command_name(const struct kv_command *command, const struct resp_request *req)
{
    const struct resp_subcommand *sub = member_of(command, req);
    return sub != NULL ? sub->name : command->name;
}

bool resp_auth_refuses(const struct resp_conn *c, const struct kv_command *command,
                       const struct resp_request *req, char *text, size_t cap)
{
    if (c->server->users.count == 0 || c->role >= resp_auth_needed(command, req)) {
        return false;
    }
    const char *before =
        command->id == KV_EXEC ? "EXECABORT Transaction discarded because of: " : "";
    if (resp_auth_is_stranger(c)) {
        (void)snprintf(text, cap, "%s" MISSING, before);
    } else {
        (void)snprintf(text, cap, "%sNOPERM this user has no permissions to run the '%s' command",
                       before, resp_auth_command_name(command, req));
    }
    return true;
}

const char *resp_auth_name(const struct resp_conn *c)
{
    return c->user[0] != '\0' ? c->user : RESP_DEFAULT_USER;
}

bool resp_auth_login(struct resp_conn *c, struct ts_bytes name, struct ts_bytes password)
{
    const struct net_users *users = &c->server->users;
    if (users->count == 0) {
        return resp_bytes_are(name, RESP_DEFAULT_USER);
    }
    const struct net_user *u = net_users_find(users, name);
    if (u == NULL || !net_user_check(u, password)) {
        c->server->stats.unauthorized++;
        return false;
    }
    if (strcmp(c->user, u->name) != 0) {
        resp_session_other_user(c);
    }
    memcpy(c->user, u->name, sizeof(c->user));
    memcpy(c->user_hash, u->hash, sizeof(c->user_hash));
    c->role = u->role;
    return true;
}

void resp_auth_logout(struct resp_conn *c)
{
    c->user[0] = '\0';
    c->role = NET_ROLE_NONE;
    resp_stranger_begin(c);
}

bool resp_auth_may_hello(const struct resp_conn *c)
{
    return !resp_auth_is_stranger(c);
}

void resp_local_auth(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    struct ts_bytes name = {(const uint8_t *)RESP_DEFAULT_USER, strlen(RESP_DEFAULT_USER)};
    if (req->argc > 3) {
        resp_put_error(w, "ERR syntax error");
        return;
    }
    if (req->argc == 2 && c->server->users.count == 0) {
        resp_put_error(w, "ERR AUTH <password> called without any password configured for the "
                          "default user. Are you sure your configuration is correct?");
        return;
    }
    if (req->argc == 3) {
        name = req->args[1];
    }
    if (resp_auth_login(c, name, req->args[req->argc - 1])) {
        resp_put_simple(w, "OK");
    } else {
        resp_put_error(w, WRONG);
    }
}

void resp_server_set_users(struct resp_server *s, const struct net_users *users)
{
    s->users = *users;
    for (uint32_t i = 0; i < s->config.clients_max; i++) {
        struct resp_conn *c = s->slots[i].conn;
        if (c == NULL || c->role == NET_ROLE_NONE || users->count == 0) {
            if (c != NULL) {
                resp_stranger_begin(c);
            }
            continue;
        }
        const struct net_user *u =
            net_users_find(users, (struct ts_bytes){(const uint8_t *)c->user, strlen(c->user)});
        if (u == NULL || memcmp(u->hash, c->user_hash, sizeof(u->hash)) != 0) {
            resp_conn_close(c);
        } else {
            c->role = u->role;
        }
    }
    resp_server_wake(s);
}
