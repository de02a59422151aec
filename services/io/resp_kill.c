/* Which connections are meant by CLIENT KILL and CLIENT LIST, and what ends, or wakes, others. */
#include <stdio.h>
#include <string.h>

#include "services/io/resp_conn.h"

#define SHOWN_MAX 128 /* bytes of a word in an error */

/* An error with the word that it is about in the place of its %s. */
static void put_about(struct resp_writer *w, const char *before, struct ts_bytes word)
{
    char text[SHOWN_MAX + 64];
    size_t n = word.len < SHOWN_MAX ? word.len : SHOWN_MAX;
    (void)snprintf(text, sizeof(text), "ERR %s '%.*s'", before,
                   (int)strnlen((const char *)word.data, n), (const char *)word.data);
    resp_put_error(w, text);
}

bool resp_client_type(struct ts_bytes word, enum resp_client_type *type, struct resp_writer *w)
{
    static const struct {
        const char *word;
        enum resp_client_type type;
    } types[] = {
        {"normal", RESP_CLIENT_NORMAL}, {"pubsub", RESP_CLIENT_PUBSUB},
        {"master", RESP_CLIENT_NONE},   {"replica", RESP_CLIENT_NONE},
        {"slave", RESP_CLIENT_NONE},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (resp_word_is(word, types[i].word)) {
            *type = types[i].type;
            return true;
        }
    }
    put_about(w, "Unknown client type", word);
    return false;
}

enum resp_client_type resp_client_type_of(const struct resp_conn *c)
{
    return resp_pubsub_count(c) > 0 ? RESP_CLIENT_PUBSUB : RESP_CLIENT_NORMAL;
}

/* ---- KILL ---- */

struct filter {
    struct ts_bytes peer;  /* of length 0: any; so are the others */
    struct ts_bytes local; /* "HOST:PORT" */
    struct ts_bytes user;
    uint64_t id;
    enum resp_client_type type;
    bool typed;
    bool spare_me;
    bool nobody; /* what is asked for is nowhere */
};

static bool is_at(const struct resp_conn *c, bool local, struct ts_bytes wanted)
{
    char text[FRONT_ADDR_MAX];
    resp_client_address(c, local, text);
    return resp_bytes_are(wanted, text);
}

static bool fits(const struct resp_conn *c, const struct filter *f)
{
    return !f->nobody && (f->peer.len == 0 || is_at(c, false, f->peer)) &&
           (f->local.len == 0 || is_at(c, true, f->local)) && (f->id == 0 || c->id == f->id) &&
           (!f->typed || resp_client_type_of(c) == f->type) &&
           (f->user.len == 0 || resp_bytes_are(f->user, resp_auth_name(c)));
}

/* Ends all that fit; gives how many. The asker's own connection ends behind its answer. */
static uint64_t kill_all(struct resp_conn *asker, const struct filter *f)
{
    struct resp_server *s = asker->server;
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->config.clients_max; i++) {
        struct resp_conn *c = s->slots[i].conn;
        if (c == NULL || (c == asker && f->spare_me) || !fits(c, f)) {
            continue;
        }
        n++;
        if (c == asker) {
            c->finishing = true;
        } else {
            s->stats.closed_unanswered += c->answered < c->ordered;
            resp_conn_close(c);
        }
    }
    return n;
}

static bool user_exists(const struct resp_server *s, struct ts_bytes name)
{
    return s->users.count == 0 ? resp_bytes_are(name, RESP_DEFAULT_USER)
                               : net_users_find(&s->users, name) != NULL;
}

/* One option and its value. False: the error is written. */
static bool read_option(const struct resp_server *s, struct ts_bytes option, struct ts_bytes value,
                        struct filter *f, struct resp_writer *w)
{
    int64_t id = 0;
    if (resp_word_is(option, "id")) {
        if (!resp_parse_i64(value, &id) || id <= 0) {
            resp_put_error(w, "ERR client-id should be greater than 0");
            return false;
        }
        f->id = (uint64_t)id;
    } else if (resp_word_is(option, "type")) {
        f->typed = true;
        return resp_client_type(value, &f->type, w);
    } else if (resp_word_is(option, "addr")) {
        f->peer = value;
        f->nobody = f->nobody || value.len == 0;
    } else if (resp_word_is(option, "laddr")) {
        f->local = value;
        f->nobody = f->nobody || value.len == 0;
    } else if (resp_word_is(option, "user")) {
        if (!user_exists(s, value)) {
            put_about(w, "No such user", value);
            return false;
        }
        f->user = value;
    } else if (resp_word_is(option, "skipme") &&
               (resp_word_is(value, "yes") || resp_word_is(value, "no"))) {
        f->spare_me = resp_word_is(value, "yes");
    } else {
        resp_put_error(w, "ERR syntax error");
        return false;
    }
    return true;
}

void resp_client_kill(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    struct filter f = {.spare_me = req->argc > 3};
    if (req->argc == 3) { /* as before there were options */
        f.peer = req->args[2];
        f.nobody = f.peer.len == 0;
        if (kill_all(c, &f) > 0) {
            resp_put_simple(w, "OK");
        } else {
            resp_put_error(w, "ERR No such client");
        }
        return;
    }
    for (size_t i = 2; i < req->argc; i += 2) {
        if (i + 1 == req->argc) {
            resp_put_error(w, "ERR syntax error");
            return;
        }
        if (!read_option(c->server, req->args[i], req->args[i + 1], &f, w)) {
            return;
        }
    }
    resp_put_integer(w, (int64_t)kill_all(c, &f));
}

/* ---- UNBLOCK ---- */

/* Ends another connection's WAIT, as if its time were over, or with an error. */
void resp_client_unblock(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    struct resp_server *s = c->server;
    int64_t id = 0;
    bool error = req->argc == 4 && resp_word_is(req->args[3], "error");
    if (req->argc > 4) {
        resp_local_words(w, "CLIENT", req->args[1]);
        return;
    }
    if (req->argc == 4 && !error && !resp_word_is(req->args[3], "timeout")) {
        resp_put_error(w, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    if (!resp_parse_i64(req->args[2], &id)) {
        resp_put_error(w, "ERR value is not an integer or out of range");
        return;
    }
    for (struct resp_conn *o = s->lists[RESP_LINK_WAITING].first; o != NULL;
         o = o->node[RESP_LINK_WAITING].next) {
        if (id > 0 && o->id == (uint64_t)id) {
            o->wait_until = 0;
            o->wait_error = error;
            resp_list_remove(o, RESP_LINK_WAITING);
            resp_list_add(o, RESP_LINK_RESUME);
            resp_server_wake(s);
            resp_put_integer(w, 1);
            return;
        }
    }
    resp_put_integer(w, 0);
}
