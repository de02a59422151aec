/* SENTINEL: where the primary is, in the words of Redis' Sentinel, so that clients that know those
 * fail over by themselves. Every replica answers for its own group, from the config that it
 * follows; like INFO and ROLE these are hints, never proof (R2.8). A replica that knows of no
 * primary that serves says so: the client goes on to ask another NIC. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "services/io/resp_conn.h"

#define NODE_MAX 32
/* What would change a Sentinel is said by others, at another place. */
#define REFUSED(what) "ERR SENTINEL " what " is not done by clients: "
#define BY_FILE "the cluster file says what there is, and how it is watched"

/* A member of the group, as it is told of. */
struct member {
    const char *node; /* borrowed from the status */
    char host[FRONT_ADDR_MAX];
    char port[8];
    bool up;
};

/* The parts of a reply's maps, for their heads. */
enum {
    FIELDS_COMMON = 11,
    FIELDS_MASTER = FIELDS_COMMON + 9,
    FIELDS_REPLICA = FIELDS_COMMON + 10,
    FIELDS_SENTINEL = FIELDS_COMMON + 3,
};

static struct member member_at(const char *node, const char *address, bool up)
{
    struct member m = {.node = node, .up = up};
    const char *port = NULL;
    int n = resp_host_len(address, &port);
    (void)snprintf(m.host, sizeof(m.host), "%.*s", n, address);
    (void)snprintf(m.port, sizeof(m.port), "%.5s", port);
    return m;
}

static bool is_primary(const struct front_status *st, const char *address)
{
    return st->primary[0] != '\0' && strcmp(st->primary, address) == 0;
}

/* Whether the primary that the status names serves, as far as this replica knows: it is this one,
 * or about to be, or this one follows it. */
static bool primary_serves(const struct front_status *st)
{
    if (st->role == FRONT_ROLE_TAKING_OVER) {
        return is_primary(st, st->self);
    }
    return st->primary[0] != '\0' && st->role != FRONT_ROLE_UNAVAILABLE;
}

static struct member the_primary(const struct front_status *st)
{
    const char *node = is_primary(st, st->self) ? st->node : "";
    for (unsigned i = 0; i < st->peer_count; i++) {
        if (is_primary(st, st->peers[i].address)) {
            node = st->peers[i].name;
        }
    }
    return member_at(node, st->primary, primary_serves(st));
}

/* The members that are not primary; returns how many. */
static unsigned the_replicas(const struct front_status *st, struct member out[TS_MEMBERS_MAX + 1])
{
    unsigned n = 0;
    if (!is_primary(st, st->self)) {
        out[n++] = member_at(st->node, st->self, st->role == FRONT_ROLE_SECONDARY);
    }
    for (unsigned i = 0; i < st->peer_count; i++) {
        const struct front_peer *p = &st->peers[i];
        if (!is_primary(st, p->address)) {
            out[n++] = member_at(p->name, p->address, p->connected);
        }
    }
    return n;
}

/* So many of those that decide a failover must agree: the voters, or the NICs, as long as this
 * replica does not know how many voters there are. */
static unsigned quorum(const struct front_status *st)
{
    unsigned all = st->voters > 0 ? st->voters : st->peer_count + 1U;
    return all / 2 + 1;
}

/* ---- replies ---- */

static void put_text(struct resp_writer *w, const char *name, const char *text)
{
    resp_put_bulk_text(w, name);
    resp_put_bulk_text(w, text);
}

static void put_number(struct resp_writer *w, const char *name, uint64_t v)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
    put_text(w, name, text);
}

void resp_sentinel_id(const struct front_status *st, const char *kind, const char *node,
                      char out[RESP_ID_MAX])
{
    char whole[sizeof(st->group) + NODE_MAX + 16];
    (void)snprintf(whole, sizeof(whole), "%s %s %s", kind, st->group, node);
    struct ts_hash h = ts_hash_bytes(whole, strlen(whole));
    struct ts_hash more = ts_hash_chain(h, whole, strlen(whole));
    (void)snprintf(out, RESP_ID_MAX, "%016llx%016llx%08llx", (unsigned long long)h.hi,
                   (unsigned long long)h.lo, (unsigned long long)(more.lo & UINT32_MAX));
}

/* What all three kinds of instances begin with. */
static void put_common(const struct resp_server *s, struct resp_writer *w, const struct member *m,
                       const char *name, const char *kind, const char *flags)
{
    char id[RESP_ID_MAX];
    resp_sentinel_id(&s->status, kind, m->node, id);
    put_text(w, "name", name);
    put_text(w, "ip", m->host);
    put_text(w, "port", m->port);
    put_text(w, "runid", m->node[0] != '\0' ? id : "");
    put_text(w, "flags", flags);
    put_number(w, "link-pending-commands", 0);
    put_number(w, "link-refcount", 1);
    put_number(w, "last-ping-sent", 0);
    put_number(w, "last-ok-ping-reply", 0);
    put_number(w, "last-ping-reply", 0);
    put_number(w, "down-after-milliseconds", s->config.failure_timeout_ms);
}

static void put_master(const struct resp_server *s, struct resp_writer *w)
{
    const struct front_status *st = &s->status;
    struct member m = the_primary(st);
    struct member replicas[TS_MEMBERS_MAX + 1];
    resp_put_map(w, FIELDS_MASTER);
    put_common(s, w, &m, st->group, "replica", m.up ? "master" : "s_down,o_down,master");
    put_number(w, "info-refresh", 0);
    put_text(w, "role-reported", "master");
    put_number(w, "role-reported-time", 0);
    put_number(w, "config-epoch", st->epoch.v);
    put_number(w, "num-slaves", the_replicas(st, replicas));
    put_number(w, "num-other-sentinels", st->peer_count);
    put_number(w, "quorum", quorum(st));
    put_number(w, "failover-timeout", s->config.failure_timeout_ms);
    put_number(w, "parallel-syncs", 1);
}

static void put_replica(const struct resp_server *s, struct resp_writer *w, const struct member *m)
{
    struct member primary = the_primary(&s->status);
    char name[FRONT_ADDR_MAX + 8];
    uint64_t offset = 0;
    (void)snprintf(name, sizeof(name), "%s:%s", m->host, m->port);
    if (m->node == s->status.node) {
        offset = s->ops.position != NULL ? s->ops.position(s->ops.ctx) : 0;
    }
    for (unsigned i = 0; i < s->status.peer_count; i++) {
        const struct front_peer *p = &s->status.peers[i];
        offset = p->name == m->node ? p->acked_seq : offset;
    }
    resp_put_map(w, FIELDS_REPLICA);
    put_common(s, w, m, name, "replica", m->up ? "slave" : "s_down,slave,disconnected");
    put_number(w, "info-refresh", 0);
    put_text(w, "role-reported", "slave");
    put_number(w, "role-reported-time", 0);
    put_number(w, "master-link-down-time", 0);
    put_text(w, "master-link-status", m->up && primary.up ? "ok" : "err");
    put_text(w, "master-host", primary.host[0] != '\0' ? primary.host : "?");
    put_text(w, "master-port", primary.port);
    put_number(w, "slave-priority", 100);
    put_number(w, "slave-repl-offset", offset);
    put_number(w, "replica-announced", 1);
}

/* ---- subcommands ---- */

/* The status, as of now. */
static const struct front_status *status_now(struct resp_conn *c)
{
    resp_local_refresh(c->server);
    return &c->server->status;
}

/* Whether the third word names this replica's group: then the status is as of now. Otherwise the
 * error is written. */
static bool is_known(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    if (!resp_bytes_are(req->args[2], status_now(c)->group)) {
        resp_put_error(w, "ERR No such master with that name");
        return false;
    }
    return true;
}

static void run_address(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    const struct front_status *st = status_now(c);
    struct member m = the_primary(st);
    if (!resp_bytes_are(req->args[2], st->group) || !m.up) {
        resp_put_null_array(w);
        return;
    }
    resp_put_array(w, 2);
    resp_put_bulk_text(w, m.host);
    resp_put_bulk_text(w, m.port);
}

static void run_masters(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)req;
    (void)status_now(c);
    resp_put_array(w, 1);
    put_master(c->server, w);
}

static void run_master(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    if (is_known(c, req, w)) {
        put_master(c->server, w);
    }
}

static void run_replicas(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    struct member all[TS_MEMBERS_MAX + 1];
    if (!is_known(c, req, w)) {
        return;
    }
    unsigned n = the_replicas(&c->server->status, all);
    resp_put_array(w, n);
    for (unsigned i = 0; i < n; i++) {
        put_replica(c->server, w, &all[i]);
    }
}

/* The other NICs: each of them answers as this one does. */
static void run_sentinels(struct resp_conn *c, const struct resp_request *req,
                          struct resp_writer *w)
{
    const struct resp_server *s = c->server;
    const struct front_status *st = &s->status;
    if (!is_known(c, req, w)) {
        return;
    }
    resp_put_array(w, st->peer_count);
    for (unsigned i = 0; i < st->peer_count; i++) {
        const struct front_peer *p = &st->peers[i];
        struct member m = member_at(p->name, p->address, p->connected);
        char id[RESP_ID_MAX];
        resp_sentinel_id(st, "sentinel", p->name, id);
        resp_put_map(w, FIELDS_SENTINEL);
        put_common(s, w, &m, id, "sentinel", m.up ? "sentinel" : "s_down,sentinel,disconnected");
        put_number(w, "last-hello-message", 0);
        put_text(w, "voted-leader", "?");
        put_number(w, "voted-leader-epoch", 0);
    }
}

static void run_myid(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    char id[RESP_ID_MAX];
    (void)req;
    resp_sentinel_id(&c->server->status, "sentinel", c->server->status.node, id);
    resp_put_bulk_text(w, id);
}

/* ---- what a Sentinel says of itself ---- */

/* Whether a failover could be decided: by the voters that answer this replica. */
static void run_ckquorum(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    const struct front_status *st = &c->server->status;
    char text[192];
    if (!is_known(c, req, w)) {
        return;
    }
    unsigned usable = st->voters_answering;
    if (usable >= quorum(st)) {
        (void)snprintf(text, sizeof(text),
                       "OK %u usable Sentinels. Quorum and failover authorization can be reached",
                       usable);
        resp_put_simple(w, text);
        return;
    }
    (void)snprintf(text, sizeof(text),
                   "NOQUORUM %u usable Sentinels. Not enough available Sentinels to reach the "
                   "majority and authorize a failover",
                   usable);
    resp_put_error(w, text);
}

/* Whether this NIC takes the primary at that address for lost. It has no vote to give: the voters
 * decide. */
static void run_is_down(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    struct member m = the_primary(status_now(c));
    int64_t port = 0;
    int64_t epoch = 0;
    if (!resp_parse_i64(req->args[3], &port) || !resp_parse_i64(req->args[4], &epoch)) {
        resp_put_error(w, "ERR value is not an integer or out of range");
        return;
    }
    bool meant = resp_bytes_are(req->args[2], m.host) && resp_bytes_are(req->args[3], m.port);
    resp_put_array(w, 3);
    resp_put_integer(w, meant && !m.up);
    resp_put_bulk_text(w, "*");
    resp_put_integer(w, 0);
}

static void run_pending_scripts(struct resp_conn *c, const struct resp_request *req,
                                struct resp_writer *w)
{
    (void)c;
    (void)req;
    resp_put_array(w, 0);
}

static void run_config(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    static const char *const settings[][2] = {
        {"resolve-hostnames", "no"},
        {"announce-hostnames", "no"},
    };
    const size_t all = sizeof(settings) / sizeof(settings[0]);
    size_t count = 0;
    (void)c;
    if (req->argc == 5 && resp_word_is(req->args[2], "set")) {
        resp_put_error(w, REFUSED("CONFIG SET") BY_FILE);
        return;
    }
    if (req->argc != 4 || !resp_word_is(req->args[2], "get")) {
        resp_put_error(w, "ERR Only SENTINEL CONFIG GET <option> / SET <option> <value> are "
                          "supported.");
        return;
    }
    for (size_t i = 0; i < all; i++) {
        count += resp_local_fits(req->args[3], settings[i][0]);
    }
    resp_put_map(w, count);
    for (size_t i = 0; i < all; i++) {
        if (resp_local_fits(req->args[3], settings[i][0])) {
            put_text(w, settings[i][0], settings[i][1]);
        }
    }
}

static void run_help(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    static const char *const lines[] = {
        "SENTINEL <subcommand> [<arg> ...]. Subcommands are:",
        "CKQUORUM <group>",
        "    Tell whether a majority of voters answers, which a failover needs.",
        "CONFIG GET <pattern>",
        "    Return settings that fit a pattern.",
        "GET-MASTER-ADDR-BY-NAME <group>",
        "    Return the address of the group's primary.",
        "IS-MASTER-DOWN-BY-ADDR <ip> <port> <epoch> <runid>",
        "    Tell whether this NIC takes that primary for lost.",
        "MASTER <group>",
        "    Return what is known of the primary.",
        "MASTERS",
        "    Return that of each group this replica answers for: its own.",
        "MYID",
        "    Return the id of this NIC.",
        "PENDING-SCRIPTS",
        "    Return none.",
        "REPLICAS <group>, SLAVES <group>",
        "    Return what is known of the replicas that are not primary.",
        "SENTINELS <group>",
        "    Return the other NICs, which answer SENTINEL, too.",
        "DEBUG, FAILOVER, FLUSHCONFIG, INFO-CACHE, MONITOR, REMOVE, RESET, SET, SIMULATE-FAILURE",
        "    Refused, and told what does it instead.",
    };
    (void)c;
    (void)req;
    resp_put_lines(w, lines, sizeof(lines) / sizeof(lines[0]));
}

static const struct resp_subcommand members[] = {
    {"sentinel|get-master-addr-by-name", 3, false, run_address, NULL},
    {"sentinel|master", 3, false, run_master, NULL},
    {"sentinel|masters", 2, false, run_masters, NULL},
    {"sentinel|myid", 2, false, run_myid, NULL},
    {"sentinel|replicas", 3, false, run_replicas, NULL},
    {"sentinel|slaves", 3, false, run_replicas, NULL},
    {"sentinel|sentinels", 3, false, run_sentinels, NULL},
    {"sentinel|ckquorum", 3, false, run_ckquorum, NULL},
    {"sentinel|is-master-down-by-addr", 6, false, run_is_down, NULL},
    {"sentinel|pending-scripts", 2, false, run_pending_scripts, NULL},
    {"sentinel|config", -3, false, run_config, NULL},
    {"sentinel|help", 2, false, run_help, NULL},
    {"sentinel|failover", 3, true, NULL,
     REFUSED("FAILOVER") "the operator says `twinstep handoff`"},
    {"sentinel|info-cache", -3, false, NULL,
     REFUSED("INFO-CACHE") "nothing is kept; ask each NIC for INFO"},
    {"sentinel|monitor", 6, true, NULL, REFUSED("MONITOR") BY_FILE},
    {"sentinel|remove", 3, true, NULL, REFUSED("REMOVE") BY_FILE},
    {"sentinel|set", -5, true, NULL, REFUSED("SET") BY_FILE},
    {"sentinel|reset", 3, true, NULL, REFUSED("RESET") BY_FILE},
    {"sentinel|flushconfig", 2, true, NULL, REFUSED("FLUSHCONFIG") BY_FILE},
    {"sentinel|debug", -2, true, NULL, REFUSED("DEBUG") BY_FILE},
    {"sentinel|simulate-failure", -3, true, NULL,
     REFUSED("SIMULATE-FAILURE") "nothing here fails at a client's word"},
};

const struct resp_container resp_sentinel_container = {KV_SENTINEL, "SENTINEL", members,
                                                       sizeof(members) / sizeof(members[0])};

int resp_sentinel_line(const struct front_status *st, char *line, size_t cap)
{
    struct member replicas[TS_MEMBERS_MAX + 1];
    struct member m = the_primary(st);
    return snprintf(line, cap, "master0:name=%s,status=%s,address=%s,slaves=%u,sentinels=%u\r\n",
                    st->group, m.up ? "ok" : "odown", st->primary, the_replicas(st, replicas),
                    st->peer_count + 1U);
}
