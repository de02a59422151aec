/* Local commands: what touches no replicated state is answered at once. */
#include <stdio.h>
#include <string.h>

#include "services/io/resp_conn.h"

void resp_local_unknown(struct resp_writer *w, const char *container, struct ts_bytes word)
{
    char text[256];
    size_t n = strnlen((const char *)word.data, word.len < 128 ? word.len : 128);
    snprintf(text, sizeof(text), "ERR unknown subcommand '%.*s'. Try %s HELP.", (int)n,
             (const char *)word.data, container);
    resp_put_error(w, text);
}

void resp_local_words(struct resp_writer *w, const char *container, struct ts_bytes word)
{
    char text[256];
    size_t n = strnlen((const char *)word.data, word.len < 128 ? word.len : 128);
    snprintf(text, sizeof(text),
             "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.", (int)n,
             (const char *)word.data, container);
    resp_put_error(w, text);
}

bool resp_bytes_are(struct ts_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

bool resp_local_fits(struct ts_bytes pattern, const char *name)
{
    size_t p = 0;
    size_t n = 0;
    size_t star = SIZE_MAX; /* the last '*', and how far its match reaches */
    size_t reach = 0;
    size_t len = strlen(name);
    while (n < len) {
        int c = p < pattern.len ? pattern.data[p] : 0;
        int lower = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
        if (p < pattern.len && c == '*') {
            star = p++;
            reach = n;
        } else if (p < pattern.len && (c == '?' || lower == name[n])) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++reach;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

void resp_local_arity(struct resp_writer *w, const char *name)
{
    char text[128];
    snprintf(text, sizeof(text), "ERR wrong number of arguments for '%s' command", name);
    resp_put_error(w, text);
}

static void run_ping(const struct resp_conn *c, const struct resp_request *req,
                     struct resp_writer *w)
{
    if (req->argc > 2) {
        resp_local_arity(w, "ping");
    } else if (c->version == RESP_V2 && resp_pubsub_count(c) > 0) {
        resp_put_array(w, 2);
        resp_put_bulk_text(w, "pong");
        resp_put_bulk(w, req->argc == 2 ? req->args[1].data : NULL,
                      req->argc == 2 ? req->args[1].len : 0);
    } else if (req->argc == 2) {
        resp_put_bulk(w, req->args[1].data, req->args[1].len);
    } else {
        resp_put_simple(w, "PONG");
    }
}

static void run_select(const struct resp_request *req, struct resp_writer *w)
{
    int64_t db = 0;
    if (!resp_parse_i64(req->args[1], &db) || db > INT32_MAX || db < INT32_MIN) {
        resp_put_error(w, "ERR value is not an integer or out of range");
    } else if (db != 0) {
        resp_put_error(w, "ERR DB index is out of range");
    } else {
        resp_put_simple(w, "OK");
    }
}

/* ---- HELLO ---- */

static void put_hello(struct resp_conn *c, struct resp_writer *w)
{
    bool primary = c->server->status.role == FRONT_ROLE_PRIMARY;
    resp_put_map(w, 7);
    resp_put_bulk_text(w, "server");
    resp_put_bulk_text(w, "twinstep");
    resp_put_bulk_text(w, "version");
    resp_put_bulk_text(w, RESP_REDIS_VERSION);
    resp_put_bulk_text(w, "proto");
    resp_put_integer(w, (int64_t)c->version);
    resp_put_bulk_text(w, "id");
    resp_put_integer(w, (int64_t)c->id);
    resp_put_bulk_text(w, "mode");
    resp_put_bulk_text(w, "standalone");
    resp_put_bulk_text(w, "role");
    resp_put_bulk_text(w, primary ? "master" : "replica");
    resp_put_bulk_text(w, "modules");
    resp_put_array(w, 0);
}

/* The options behind the version; NULL in *name when none sets one. False: the error is written. */
static bool hello_options(struct resp_conn *c, const struct resp_request *req,
                          struct resp_writer *w, const struct ts_bytes **name)
{
    for (size_t i = 2; i < req->argc; i++) {
        size_t more = req->argc - i - 1;
        if (resp_word_is(req->args[i], "auth") && more >= 2) {
            if (!resp_auth_login(c, req->args[i + 1], req->args[i + 2])) {
                resp_put_error(w, "WRONGPASS invalid username-password pair or user is disabled.");
                return false;
            }
            i += 2;
        } else if (resp_word_is(req->args[i], "setname") && more >= 1) {
            *name = &req->args[++i];
        } else {
            char text[192];
            const struct ts_bytes *word = &req->args[i];
            size_t n = strnlen((const char *)word->data, word->len < 128 ? word->len : 128);
            snprintf(text, sizeof(text), "ERR Syntax error in HELLO option '%.*s'", (int)n,
                     (const char *)word->data);
            resp_put_error(w, text);
            return false;
        }
    }
    return true;
}

static void run_hello(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    int64_t version = (int64_t)c->version;
    if (req->argc > 1 && !resp_parse_i64(req->args[1], &version)) {
        resp_put_error(w, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (version != RESP_V2 && version != RESP_V3) {
        resp_put_error(w, "NOPROTO unsupported protocol version");
        return;
    }
    const struct ts_bytes *name = NULL;
    if (!hello_options(c, req, w, &name) || (name != NULL && !resp_client_set_name(c, *name, w))) {
        return;
    }
    if (!resp_auth_may_hello(c)) {
        resp_put_error(w, "NOAUTH HELLO must be called with the client already authenticated, "
                          "otherwise the HELLO AUTH <user> <pass> option can be used to "
                          "authenticate the client and select the RESP protocol version at the "
                          "same time");
        return;
    }
    c->version = version == RESP_V3 ? RESP_V3 : RESP_V2;
    w->version = c->version;
    put_hello(c, w);
}

/* The connection is as it was when it was made. */
static void run_reset(struct resp_conn *c, struct resp_writer *w)
{
    resp_multi_end(c);
    resp_session_leave(c);
    resp_pubsub_leave(c);
    resp_auth_logout(c);
    c->version = RESP_V2;
    c->name[0] = '\0';
    resp_put_simple(w, "RESET");
}

/* What tells of the server, to whoever asks. */
static void run_of_server(struct resp_conn *c, const struct kv_command *command,
                          const struct resp_request *req, struct resp_writer *w)
{
    const struct resp_container *container = resp_container_find(command);
    if (command->id == KV_COMMAND && req->argc == 1) {
        resp_local_command(w);
    } else if (container != NULL) {
        resp_container_run(c, container, req, w);
    } else if (command->id == KV_INFO) {
        resp_local_info(c->server, req, w);
    } else if (command->id == KV_ROLE) {
        resp_local_role(c->server, w);
    } else if (command->id == KV_CLUSTER || command->id == KV_READONLY ||
               command->id == KV_READWRITE) {
        resp_put_error(w, "ERR This instance has cluster support disabled");
    } else {
        resp_put_error(w, "ERR this command is not a local one");
    }
}

void resp_local_run(struct resp_conn *c, const struct kv_command *command,
                    const struct resp_request *req, struct resp_writer *w)
{
    switch ((unsigned)command->id) {
    case KV_PING:
        run_ping(c, req, w);
        return;
    case KV_ECHO:
        resp_put_bulk(w, req->args[1].data, req->args[1].len);
        return;
    case KV_HELLO:
        run_hello(c, req, w);
        return;
    case KV_QUIT:
        resp_put_simple(w, "OK");
        c->finishing = true;
        return;
    case KV_SELECT:
        run_select(req, w);
        return;
    case KV_AUTH:
        resp_local_auth(c, req, w);
        return;
    case KV_WAIT:
        resp_local_wait(c, req, w);
        return;
    case KV_RESET:
        run_reset(c, w);
        return;
    case KV_SUBSCRIBE:
    case KV_UNSUBSCRIBE:
    case KV_PSUBSCRIBE:
    case KV_PUNSUBSCRIBE:
    case KV_PUBLISH:
        resp_pubsub_run(c, command, req, w);
        return;
    default:
        run_of_server(c, command, req, w);
        return;
    }
}
