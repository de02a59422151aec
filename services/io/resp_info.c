/* INFO and ROLE: hints about this replica and its group, never proof (R2.8). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "services/io/resp_conn.h"
#include "services/kv/kv.h"
#include "services/session.h"

#define INFO_MAX 8192

struct info_text {
    char data[INFO_MAX];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct info_text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->data + t->len, INFO_MAX - t->len, format, args);
    va_end(args);
    /* Every section is far shorter than the room; what would not fit is cut. */
    if (n > 0) {
        t->len += (size_t)n < INFO_MAX - t->len ? (size_t)n : INFO_MAX - t->len - 1;
    }
}

static const char *role_text(enum front_role role)
{
    switch (role) {
    case FRONT_ROLE_PRIMARY:
        return "primary";
    case FRONT_ROLE_SECONDARY:
        return "secondary";
    case FRONT_ROLE_TAKING_OVER:
        return "taking-over";
    case FRONT_ROLE_UNAVAILABLE:
        break;
    }
    return "unavailable";
}

static uint64_t position(const struct resp_server *s)
{
    return s->ops.position != NULL ? s->ops.position(s->ops.ctx) : 0;
}

void resp_local_refresh(struct resp_server *s)
{
    if (s->ops.describe != NULL) {
        s->ops.describe(s->ops.ctx, &s->status);
    }
}

static void add_server(const struct resp_server *s, struct info_text *t)
{
    uint64_t up = (uv_now(s->loop) - s->started_ms) / 1000;
    char id[RESP_ID_MAX];
    struct utsname os;
    memset(&os, 0, sizeof(os));
    (void)uname(&os);
    resp_sentinel_id(&s->status, "replica", s->status.node, id);
    add(t, "redis_version:%s\r\n", RESP_REDIS_VERSION);
    add(t, "redis_mode:standalone\r\n");
    add(t, "server_name:twinstep\r\n");
    add(t, "twinstep_version:%s\r\n", s->config.version);
    add(t, "twinstep_node:%s\r\n", s->status.node);
    add(t, "os:%s %s %s\r\n", os.sysname, os.release, os.machine);
    add(t, "arch_bits:64\r\n");
    add(t, "run_id:%s\r\n", id);
    add(t, "process_id:%d\r\n", (int)getpid());
    add(t, "tcp_port:%u\r\n", resp_server_port(s));
    add(t, "uptime_in_seconds:%llu\r\n", (unsigned long long)up);
    add(t, "uptime_in_days:%llu\r\n", (unsigned long long)(up / 86400));
}

static void add_clients(const struct resp_server *s, struct info_text *t)
{
    add(t, "connected_clients:%u\r\n", s->clients);
    add(t, "maxclients:%u\r\n", s->config.clients_max);
    add(t, "blocked_clients:%zu\r\n", s->lists[RESP_LINK_WAITING].len);
    add(t, "unanswered_commands:%llu\r\n", (unsigned long long)(s->submitted_to - s->answered_to));
    add(t, "output_bytes:%zu\r\n", s->output_bytes);
}

/* As Redis writes it for people: 1.50M. */
static void add_human(struct info_text *t, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGTP";
    size_t unit = 0;
    double v = (double)bytes;
    while (v >= 1024 && unit + 2 < sizeof(units)) {
        v /= 1024;
        unit++;
    }
    add(t, unit == 0 ? "%s:%.0f%c\r\n" : "%s:%.2f%c\r\n", name, v, units[unit]);
}

static void add_memory(const struct resp_server *s, struct info_text *t)
{
    struct kv_stats kv;
    kv_stats(s->state, &kv);
    add(t, "used_memory:%llu\r\n", (unsigned long long)kv.memory);
    add_human(t, "used_memory_human", kv.memory);
    add(t, "used_memory_dataset:%llu\r\n", (unsigned long long)kv.memory);
    add(t, "maxmemory:%llu\r\n", (unsigned long long)kv.memory_max);
    add_human(t, "maxmemory_human", kv.memory_max);
    add(t, "twinstep_walk_kept:%llu\r\n", (unsigned long long)kv.kept);
    add(t, "maxmemory_policy:noeviction\r\n");
}

/* Every write that was answered is in the journal, which is written like an append-only file. */
static void add_persistence(const struct resp_server *s, struct info_text *t)
{
    (void)s;
    add(t, "loading:0\r\nasync_loading:0\r\nrdb_changes_since_last_save:0\r\n");
    add(t, "rdb_bgsave_in_progress:0\r\naof_enabled:1\r\naof_rewrite_in_progress:0\r\n");
}

static void add_stats(const struct resp_server *s, struct info_text *t)
{
    const struct resp_server_stats *st = &s->stats;
    const struct resp_server_stats *old = &s->stats_before;
    struct kv_stats kv;
    kv_stats(s->state, &kv);
    add(t, "total_connections_received:%llu\r\n",
        (unsigned long long)(st->connections - old->connections));
    add(t, "total_commands_processed:%llu\r\n", (unsigned long long)(st->commands - old->commands));
    add(t, "total_net_input_bytes:%llu\r\n", (unsigned long long)(st->bytes_in - old->bytes_in));
    add(t, "total_net_output_bytes:%llu\r\n", (unsigned long long)(st->bytes_out - old->bytes_out));
    add(t, "rejected_connections:%llu\r\n", (unsigned long long)(st->rejected - old->rejected));
    add(t, "expired_keys:%llu\r\n", (unsigned long long)(kv.expired - s->kv_before.expired));
    add(t, "evicted_keys:0\r\n");
    add(t, "twinstep_leases:%llu\r\n", (unsigned long long)kv.leases);
    add(t, "keyspace_hits:%llu\r\n", (unsigned long long)(kv.hits - s->kv_before.hits));
    add(t, "keyspace_misses:%llu\r\n", (unsigned long long)(kv.misses - s->kv_before.misses));
    add(t, "pubsub_channels:%zu\r\n", s->pubsub.count[RESP_CHANNEL]);
    add(t, "pubsub_patterns:%zu\r\n", s->pubsub.count[RESP_PATTERN]);
    add(t, "ordered_commands:%llu\r\n", (unsigned long long)(st->submitted - old->submitted));
    add(t, "ordered_batches:%llu\r\n", (unsigned long long)(st->batches - old->batches));
    add(t, "round_reads:%llu\r\n", (unsigned long long)(st->reads - old->reads));
    add(t, "read_rounds:%llu\r\n", (unsigned long long)(st->rounds - old->rounds));
    add(t, "protocol_errors:%llu\r\n",
        (unsigned long long)(st->protocol_errors - old->protocol_errors));
    add(t, "refused_commands:%llu\r\n", (unsigned long long)(st->refused - old->refused));
    add(t, "unauthorized_commands:%llu\r\n",
        (unsigned long long)(st->unauthorized - old->unauthorized));
    add(t, "closed_unanswered:%llu\r\n",
        (unsigned long long)(st->closed_unanswered - old->closed_unanswered));
    add(t, "closed_slow_readers:%llu\r\n",
        (unsigned long long)(st->closed_slow - old->closed_slow));
    add(t, "closed_strangers:%llu\r\n",
        (unsigned long long)(st->closed_strangers - old->closed_strangers));
}

/* Of all sessions of the group, as of the applied state; and what was done with some here. */
static void add_sessions(const struct resp_server *s, struct info_text *t)
{
    const struct resp_server_stats *st = &s->stats;
    const struct resp_server_stats *old = &s->stats_before;
    struct session_figures f = {0};
    if (s->ops.sessions != NULL) {
        s->ops.sessions(s->ops.ctx, &f);
    }
    add(t, "twinstep_sessions:%llu\r\n", (unsigned long long)f.sessions);
    add(t, "twinstep_sessions_max:%llu\r\n", (unsigned long long)f.sessions_max);
    add(t, "twinstep_session_reply_bytes:%llu\r\n", (unsigned long long)f.bytes);
    add(t, "twinstep_sessions_evicted:%llu\r\n", (unsigned long long)f.evicted);
    add(t, "twinstep_sessions_refused:%llu\r\n", (unsigned long long)f.refused);
    add(t, "twinstep_sessions_opened:%llu\r\n",
        (unsigned long long)(st->sessions_opened - old->sessions_opened));
    add(t, "twinstep_sessions_resumed:%llu\r\n",
        (unsigned long long)(st->sessions_resumed - old->sessions_resumed));
    add(t, "closed_subscribers:%llu\r\n",
        (unsigned long long)(st->closed_subscribers - old->closed_subscribers));
    add(t, "carried_on_connections:%llu\r\n", (unsigned long long)(st->relayed - old->relayed));
}

static void add_cpu(const struct resp_server *s, struct info_text *t)
{
    static const struct {
        int who;
        const char *suffix;
    } parts[] = {
        {RUSAGE_SELF, ""}, {RUSAGE_CHILDREN, "_children"}, {RUSAGE_THREAD, "_main_thread"}};
    (void)s;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct rusage used = {0};
        (void)getrusage(parts[i].who, &used);
        add(t, "used_cpu_sys%s:%lld.%06ld\r\n", parts[i].suffix, (long long)used.ru_stime.tv_sec,
            (long)used.ru_stime.tv_usec);
        add(t, "used_cpu_user%s:%lld.%06ld\r\n", parts[i].suffix, (long long)used.ru_utime.tv_sec,
            (long)used.ru_utime.tv_usec);
    }
}

int resp_host_len(const char *address, const char **port)
{
    const char *colon = strrchr(address, ':');
    *port = colon != NULL ? colon + 1 : "0";
    return colon != NULL ? (int)(colon - address) : (int)strlen(address);
}

static unsigned connected_peers(const struct front_status *st)
{
    unsigned n = 0;
    for (unsigned i = 0; i < st->peer_count; i++) {
        n += st->peers[i].connected;
    }
    return n;
}

/* What a replica says of its primary, in the words of Redis. */
static void add_master(const struct resp_server *s, struct info_text *t)
{
    const struct front_status *st = &s->status;
    const char *port = NULL;
    bool up = false;
    for (unsigned i = 0; i < st->peer_count; i++) {
        up = up || (st->peers[i].connected && strcmp(st->peers[i].address, st->primary) == 0);
    }
    if (st->primary[0] != '\0') {
        int n = resp_host_len(st->primary, &port);
        add(t, "master_host:%.*s\r\nmaster_port:%s\r\n", n, st->primary, port);
    }
    add(t, "master_link_status:%s\r\n", up ? "up" : "down");
    add(t, "master_sync_in_progress:%d\r\n", up && !st->self_in_sync ? 1 : 0);
    add(t, "slave_repl_offset:%llu\r\n", (unsigned long long)position(s));
    add(t, "slave_read_only:1\r\n");
    add(t, "connected_slaves:0\r\n");
}

static void add_replicas(const struct front_status *st, struct info_text *t)
{
    unsigned n = 0;
    add(t, "connected_slaves:%u\r\n", connected_peers(st));
    for (unsigned i = 0; i < st->peer_count; i++) {
        const struct front_peer *p = &st->peers[i];
        const char *port = NULL;
        if (p->connected) {
            int len = resp_host_len(p->address, &port);
            add(t, "slave%u:ip=%.*s,port=%s,state=online,offset=%llu,lag=0,name=%s,in_sync=%d\r\n",
                n++, len, p->address, port, (unsigned long long)p->acked_seq, p->name,
                p->in_sync ? 1 : 0);
        }
    }
}

static void add_replication(const struct resp_server *s, struct info_text *t)
{
    const struct front_status *st = &s->status;
    bool primary = st->role == FRONT_ROLE_PRIMARY;
    add(t, "role:%s\r\n", primary ? "master" : "slave");
    if (primary) {
        add_replicas(st, t);
    } else {
        add_master(s, t);
    }
    add(t, "master_repl_offset:%llu\r\n", (unsigned long long)position(s));
    add(t, "twinstep_group:%s\r\n", st->group);
    add(t, "twinstep_role:%s\r\n", role_text(st->role));
    add(t, "twinstep_primary:%s\r\n", st->primary);
    add(t, "twinstep_epoch:%llu\r\n", (unsigned long long)st->epoch.v);
    add(t, "twinstep_in_sync:");
    const char *separator = "";
    if (st->self_in_sync) {
        add(t, "%s", st->node);
        separator = ",";
    }
    for (unsigned i = 0; i < st->peer_count; i++) {
        if (st->peers[i].in_sync) {
            add(t, "%s%s", separator, st->peers[i].name);
            separator = ",";
        }
    }
    add(t, "\r\n");
    if (st->reason[0] != '\0') {
        add(t, "twinstep_reason:%s\r\n", st->reason);
    }
}

static void add_keyspace(const struct resp_server *s, struct info_text *t)
{
    struct kv_stats kv;
    kv_stats(s->state, &kv);
    if (kv.keys > 0) {
        add(t, "db0:keys=%llu,expires=%llu,avg_ttl=0\r\n", (unsigned long long)kv.keys,
            (unsigned long long)kv.expires);
    }
}

static void add_modules(const struct resp_server *s, struct info_text *t)
{
    (void)s;
    (void)t; /* there are none */
}

static void add_cluster(const struct resp_server *s, struct info_text *t)
{
    (void)s;
    add(t, "cluster_enabled:0\r\n");
}

static void add_sentinel(const struct resp_server *s, struct info_text *t)
{
    char line[sizeof(s->status.group) + FRONT_ADDR_MAX + 96];
    (void)resp_sentinel_line(&s->status, line, sizeof(line));
    add(t, "sentinel_masters:1\r\nsentinel_tilt:0\r\nsentinel_running_scripts:0\r\n");
    add(t, "sentinel_scripts_queue_length:0\r\n%s", line);
}

static const struct section {
    const char *word;
    const char *title;
    bool named; /* only when it is asked for */
    void (*add)(const struct resp_server *s, struct info_text *t);
} sections[] = {
    {"server", "# Server\r\n", false, add_server},
    {"clients", "# Clients\r\n", false, add_clients},
    {"memory", "# Memory\r\n", false, add_memory},
    {"persistence", "# Persistence\r\n", false, add_persistence},
    {"stats", "# Stats\r\n", false, add_stats},
    {"sessions", "# Sessions\r\n", false, add_sessions},
    {"replication", "# Replication\r\n", false, add_replication},
    {"cpu", "# CPU\r\n", false, add_cpu},
    {"modules", "# Modules\r\n", false, add_modules},
    {"cluster", "# Cluster\r\n", false, add_cluster},
    {"keyspace", "# Keyspace\r\n", false, add_keyspace},
    {"sentinel", "# Sentinel\r\n", true, add_sentinel},
};

static bool section_wanted(const struct resp_request *req, const struct section *section)
{
    for (size_t i = 1; i < req->argc; i++) {
        if (resp_word_is(req->args[i], section->word) ||
            (!section->named &&
             (resp_word_is(req->args[i], "all") || resp_word_is(req->args[i], "default") ||
              resp_word_is(req->args[i], "everything")))) {
            return true;
        }
    }
    return req->argc == 1 && !section->named;
}

void resp_local_info(struct resp_server *s, const struct resp_request *req, struct resp_writer *w)
{
    struct info_text t = {.len = 0};
    resp_local_refresh(s);
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        if (section_wanted(req, &sections[i])) {
            add(&t, "%s%s", t.len > 0 ? "\r\n" : "", sections[i].title);
            sections[i].add(s, &t);
        }
    }
    resp_put_verbatim(w, t.data, t.len);
}

void resp_local_role(struct resp_server *s, struct resp_writer *w)
{
    const struct front_status *st = &s->status;
    const char *port = NULL;
    char host[FRONT_ADDR_MAX];
    resp_local_refresh(s);
    if (st->role != FRONT_ROLE_PRIMARY) {
        int n = resp_host_len(st->primary, &port);
        snprintf(host, sizeof(host), "%.*s", n, st->primary);
        int64_t number = 0;
        (void)resp_parse_i64((struct ts_bytes){(const uint8_t *)port, strlen(port)}, &number);
        resp_put_array(w, 5);
        resp_put_bulk_text(w, "slave");
        resp_put_bulk_text(w, host);
        resp_put_integer(w, number);
        resp_put_bulk_text(w, st->role == FRONT_ROLE_SECONDARY ? "connected" : "connect");
        resp_put_integer(w, (int64_t)position(s));
        return;
    }
    resp_put_array(w, 3);
    resp_put_bulk_text(w, "master");
    resp_put_integer(w, (int64_t)position(s));
    resp_put_array(w, connected_peers(st));
    for (unsigned i = 0; i < st->peer_count; i++) {
        char offset[24];
        if (!st->peers[i].connected) {
            continue;
        }
        int n = resp_host_len(st->peers[i].address, &port);
        snprintf(host, sizeof(host), "%.*s", n, st->peers[i].address);
        snprintf(offset, sizeof(offset), "%llu", (unsigned long long)st->peers[i].acked_seq);
        resp_put_array(w, 3);
        resp_put_bulk_text(w, host);
        resp_put_bulk_text(w, port);
        resp_put_bulk_text(w, offset);
    }
}
