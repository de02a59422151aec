/* CLIENT: who is connected, and what a connection calls itself. */
#include <stdio.h>
#include <string.h>

#include "services/io/resp_conn.h"

#define LINE_MAX_BYTES 896
#define NO_PAUSE \
    "ERR CLIENT PAUSE is not there: one client could stop all others. A handoff needs none " \
    "(`twinstep handoff`)"

/* Copies a name of printable characters without blanks; false when it is none, or too long. */
static bool copy_name(char out[RESP_NAME_MAX], struct ts_bytes name)
{
    if (name.len >= RESP_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] < '!' || name.data[i] > '~') {
            return false;
        }
    }
    memcpy(out, name.data, name.len);
    out[name.len] = '\0';
    return true;
}

bool resp_client_set_name(struct resp_conn *c, struct ts_bytes name, struct resp_writer *w)
{
    if (name.len >= RESP_NAME_MAX) {
        resp_put_error(w, "ERR Client names cannot be longer than 63 bytes.");
        return false;
    }
    if (!copy_name(c->name, name)) {
        resp_put_error(w,
                       "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    return true;
}

static void address_text(const uv_tcp_t *tcp,
                         int (*get)(const uv_tcp_t *tcp, struct sockaddr *name, int *len),
                         char out[FRONT_ADDR_MAX])
{
    struct sockaddr_storage where = {0};
    int len = sizeof(where);
    char host[FRONT_ADDR_MAX - 16] = "?";
    uint16_t port = 0;
    if (get(tcp, (struct sockaddr *)&where, &len) == 0) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&where;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&where;
        if (where.ss_family == AF_INET6) {
            (void)uv_ip6_name(v6, host, sizeof(host));
            port = ntohs(v6->sin6_port);
        } else {
            (void)uv_ip4_name(v4, host, sizeof(host));
            port = ntohs(v4->sin_port);
        }
    }
    snprintf(out, FRONT_ADDR_MAX, where.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
}

void resp_client_address(const struct resp_conn *c, bool local, char out[FRONT_ADDR_MAX])
{
    address_text(&c->tcp, local ? uv_tcp_getsockname : uv_tcp_getpeername, out);
}

/* In the order of Redis 7.0; what it has no figure for here is 0. */
static size_t client_line(const struct resp_conn *c, const struct resp_conn *asker,
                          char line[LINE_MAX_BYTES])
{
    const struct resp_server *s = c->server;
    char peer[FRONT_ADDR_MAX];
    char local[FRONT_ADDR_MAX];
    uv_os_fd_t fd = -1;
    char flags[3] = {0};
    size_t n = 0;
    resp_client_address(c, false, peer);
    resp_client_address(c, true, local);
    (void)uv_fileno((const uv_handle_t *)&c->tcp, &fd);
    if (resp_pubsub_count(c) > 0) {
        flags[n++] = 'P';
    }
    flags[n] = c->waiting ? 'b' : c->multi.on ? 'x' : n == 0 ? 'N' : '\0';
    size_t kept = c->in_len - c->in_at + (c == asker ? s->request_bytes : 0);
    size_t memory = sizeof(*c) + c->in_cap + c->out.cap + c->multi.commands.cap + c->bytes_total;
    int len = snprintf(
        line, LINE_MAX_BYTES,
        "id=%llu addr=%s laddr=%s fd=%d name=%s age=%llu idle=%llu flags=%s db=0 sub=%u psub=%u "
        "ssub=0 multi=%d qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%zu rbs=%zu rbp=0 obl=%zu "
        "oll=0 omem=0 tot-mem=%zu events=%s cmd=%s user=%s redir=-1 resp=%d lib-name=%s "
        "lib-ver=%s unanswered=%llu\n",
        (unsigned long long)c->id, peer, local, (int)fd, c->name,
        (unsigned long long)((uv_now(s->loop) - c->since_ms) / 1000),
        (unsigned long long)((uv_now(s->loop) - c->heard_ms) / 1000), flags,
        c->subscribed.count[RESP_CHANNEL], c->subscribed.count[RESP_PATTERN],
        c->multi.on ? (int)c->multi.count : -1, kept, c->in_cap - c->in_len, c->multi.commands.len,
        c->out.cap, c->bytes_total, memory, c->writing ? "rw" : "r", c->last_command,
        resp_auth_name(c), (int)c->version, c->lib_name, c->lib_ver,
        (unsigned long long)(c->ordered - c->answered));
    return len < LINE_MAX_BYTES ? (size_t)len : LINE_MAX_BYTES - 1;
}

static void run_info(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)req;
    char line[LINE_MAX_BYTES];
    size_t n = client_line(c, c, line);
    resp_put_verbatim(w, line, n);
}

static bool id_wanted(const struct resp_request *req, uint64_t id)
{
    for (size_t i = 3; i < req->argc; i++) {
        int64_t v = 0;
        if (resp_parse_i64(req->args[i], &v) && v > 0 && (uint64_t)v == id) {
            return true;
        }
    }
    return false;
}

enum listed {
    LISTED_ALL,
    LISTED_BY_ID,
    LISTED_BY_TYPE,
};

/* CLIENT LIST, LIST TYPE t, LIST ID n… False: the error is written. */
static bool list_filter(const struct resp_request *req, struct resp_writer *w, enum listed *how,
                        enum resp_client_type *type)
{
    *how = LISTED_ALL;
    if (req->argc == 2) {
        return true;
    }
    if (req->argc == 4 && resp_word_is(req->args[2], "type")) {
        *how = LISTED_BY_TYPE;
        return resp_client_type(req->args[3], type, w);
    }
    if (req->argc == 3 || !resp_word_is(req->args[2], "id")) {
        resp_put_error(w, "ERR syntax error");
        return false;
    }
    *how = LISTED_BY_ID;
    for (size_t i = 3; i < req->argc; i++) {
        int64_t v = 0;
        if (!resp_parse_i64(req->args[i], &v) || v <= 0) {
            resp_put_error(w, "ERR Invalid client ID");
            return false;
        }
    }
    return true;
}

static void run_list(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    struct resp_server *s = c->server;
    enum listed how = LISTED_ALL;
    enum resp_client_type type = RESP_CLIENT_NORMAL;
    if (!list_filter(req, w, &how, &type)) {
        return;
    }
    struct svc_out text = resp_pool_take(s);
    for (uint32_t i = 0; i < s->config.clients_max; i++) {
        const struct resp_conn *other = s->slots[i].conn;
        if (other != NULL && (how != LISTED_BY_ID || id_wanted(req, other->id)) &&
            (how != LISTED_BY_TYPE || resp_client_type_of(other) == type)) {
            char line[LINE_MAX_BYTES];
            size_t n = client_line(other, c, line);
            (void)!svc_out_put(&text, line, n);
        }
    }
    resp_put_verbatim(w, text.data, text.len);
    resp_pool_give(s, &text);
}

static void run_setname(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    if (resp_client_set_name(c, req->args[2], w)) {
        resp_put_simple(w, "OK");
    }
}

static void run_getname(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)req;
    if (c->name[0] == '\0') {
        resp_put_null(w);
    } else {
        resp_put_bulk_text(w, c->name);
    }
}

static void run_id(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)req;
    resp_put_integer(w, (int64_t)c->id);
}

static void run_setinfo(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    char *field = NULL;
    if (resp_word_is(req->args[2], "lib-name")) {
        field = c->lib_name;
    } else if (resp_word_is(req->args[2], "lib-ver")) {
        field = c->lib_ver;
    }
    if (field == NULL) {
        resp_put_error(w, "ERR Unrecognized option: CLIENT SETINFO takes LIB-NAME or LIB-VER");
    } else if (!copy_name(field, req->args[3])) {
        resp_put_error(w, "ERR lib-name and lib-ver cannot contain spaces, newlines or special "
                          "characters, or be longer than 63 bytes.");
    } else {
        resp_put_simple(w, "OK");
    }
}

/* Nothing is ever evicted here: taken, without effect. */
static void run_on_off(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)c;
    if (resp_word_is(req->args[2], "on") || resp_word_is(req->args[2], "off")) {
        resp_put_simple(w, "OK");
    } else {
        resp_put_error(w, "ERR syntax error");
    }
}

/* ---- what is not there, in the words of Redis where it is off, too ---- */

static void run_tracking(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)c;
    if (resp_word_is(req->args[2], "off")) {
        resp_put_simple(w, "OK");
    } else if (resp_word_is(req->args[2], "on")) {
        resp_put_error(w, "ERR CLIENT TRACKING is not there: nobody is told of changed keys, so "
                          "keep no copies of them");
    } else {
        resp_put_error(w, "ERR syntax error");
    }
}

static void run_trackinginfo(struct resp_conn *c, const struct resp_request *req,
                             struct resp_writer *w)
{
    (void)c;
    (void)req;
    resp_put_map(w, 3);
    resp_put_bulk_text(w, "flags");
    resp_put_set(w, 1);
    resp_put_bulk_text(w, "off");
    resp_put_bulk_text(w, "redirect");
    resp_put_integer(w, -1);
    resp_put_bulk_text(w, "prefixes");
    resp_put_array(w, 0);
}

static void run_getredir(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)c;
    (void)req;
    resp_put_integer(w, -1);
}

static void run_caching(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)c;
    (void)req;
    resp_put_error(w, "ERR CLIENT CACHING can be called only when the client is in tracking mode "
                      "with OPTIN or OPTOUT mode enabled");
}

static void run_reply(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)c;
    if (resp_word_is(req->args[2], "on")) {
        resp_put_simple(w, "OK");
    } else if (resp_word_is(req->args[2], "off") || resp_word_is(req->args[2], "skip")) {
        resp_put_error(w, "ERR CLIENT REPLY OFF and SKIP are not there: a write without a reply "
                          "may be lost, and nobody would know");
    } else {
        resp_put_error(w, "ERR syntax error");
    }
}

/* Nothing is ever paused here. */
static void run_unpause(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)c;
    (void)req;
    resp_put_simple(w, "OK");
}

static void run_help(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    static const char *const lines[] = {
        "CLIENT <subcommand> [<arg> ...]. Subcommands are:",
        "CACHING, GETREDIR, TRACKING, TRACKINGINFO",
        "    Answered as where tracking is off: it cannot be turned on.",
        "GETNAME",
        "    Return the name of the present connection.",
        "ID",
        "    Return the id of the present connection.",
        "INFO",
        "    Return what is known of the present connection.",
        "KILL <ip:port>",
        "    End the connection from there.",
        "KILL <option> <value> [<option> <value> ...]",
        "    End those that fit all of ADDR, LADDR, ID, TYPE, USER; SKIPME no: this one, too.",
        "LIST [TYPE normal|pubsub | ID <id> ...]",
        "    Return what is known of each connection to this replica.",
        "NO-EVICT (ON|OFF), NO-TOUCH (ON|OFF)",
        "    Accepted; nothing is evicted here.",
        "REPLY ON",
        "    Accepted; OFF and SKIP are not.",
        "SETINFO LIB-NAME|LIB-VER <text>",
        "    Tell the client library's name or version.",
        "SETNAME <name>",
        "    Name the present connection.",
        "UNBLOCK <id> [TIMEOUT|ERROR]",
        "    End a connection's WAIT.",
    };
    (void)c;
    (void)req;
    resp_put_lines(w, lines, sizeof(lines) / sizeof(lines[0]));
}

static const struct resp_subcommand members[] = {
    {"client|getname", 2, false, run_getname, NULL},
    {"client|id", 2, false, run_id, NULL},
    {"client|info", 2, false, run_info, NULL},
    {"client|list", -2, false, run_list, NULL},
    {"client|kill", -3, true, resp_client_kill, NULL},
    {"client|unblock", -3, true, resp_client_unblock, NULL},
    {"client|pause", -3, true, NULL, NO_PAUSE},
    {"client|unpause", 2, true, run_unpause, NULL},
    {"client|no-evict", 3, false, run_on_off, NULL},
    {"client|no-touch", 3, false, run_on_off, NULL},
    {"client|setinfo", 4, false, run_setinfo, NULL},
    {"client|setname", 3, false, run_setname, NULL},
    {"client|tracking", -3, false, run_tracking, NULL},
    {"client|trackinginfo", 2, false, run_trackinginfo, NULL},
    {"client|getredir", 2, false, run_getredir, NULL},
    {"client|caching", 3, false, run_caching, NULL},
    {"client|reply", 3, false, run_reply, NULL},
    {"client|help", 2, false, run_help, NULL},
};

const struct resp_container resp_client_container = {KV_CLIENT, "CLIENT", members,
                                                     sizeof(members) / sizeof(members[0])};
