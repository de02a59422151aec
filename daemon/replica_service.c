/* The front-end of the service: client commands in, replies out (replicator/io/perform_service.c).
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "daemon/replica.h"
#include "replicator/batch.h"
#include "services/io/netctl_front.h"
#include "services/io/resp_front.h"
#include "services/kv/sessions.h"
#include "services/netctl/netctl.h"
#include "services/netctl/request.h"
#include "services/session.h"

#define OUT_BYTES_MAX (16U << 20)
_Static_assert(SVC_ANSWER_MAX + SESSION_BYTES_DEFAULT + SESSION_ANSWER_MORE <= OUT_BYTES_MAX,
               "an answer of a session's fits");
_Static_assert(NETCTL_REQUEST_HEAD_MAX + NETCTL_BODY_MAX <= REPL_PAYLOAD_BYTES_MAX,
               "a request of netctl's is one entry");
#define SUBMIT_COUNT_MAX 4096U

/* What this build has: a service, and who speaks with its clients. */
static const struct service {
    const struct svc *svc;
    const struct front_ops *front;
    bool has_sessions; /* its state is of services/session.h */
} SERVICES[] = {
    {&kv_with_sessions, &resp_front, true},
    {&netctl_service, &netctl_front, false},
};

static const struct service *service_of(const struct cfg_group *group)
{
    for (size_t i = 0; i < sizeof(SERVICES) / sizeof(SERVICES[0]); i++) {
        if (strcmp(SERVICES[i].svc->name, group->service) == 0) {
            return &SERVICES[i];
        }
    }
    return NULL;
}

static struct repl_status status_of(const struct replica *r)
{
    struct repl_status s;
    repl_status(r->core, &s);
    return s;
}

static enum ts_err on_submit(void *ctx, const struct ts_bytes *payloads, size_t n,
                             uint64_t first_token)
{
    struct replica *r = ctx;
    struct repl_request requests[SUBMIT_COUNT_MAX];
    ts_assert(n >= 1 && n <= SUBMIT_COUNT_MAX);
    if (r->waiting_count == REPLICA_WAITING_MAX) {
        r->submit_busy = true;
        return TS_ERR_BUSY;
    }
    for (size_t i = 0; i < n; i++) {
        requests[i] = (struct repl_request){.kind = SVC_ENTRY_COMMAND, .payload = payloads[i]};
    }
    /* The place is taken before the step: with one replica in sync and a fast disk the entries
     * can commit only in a later step, but nothing here relies on that. */
    size_t at = (r->waiting_head + r->waiting_count) % REPLICA_WAITING_MAX;
    struct repl_status s = status_of(r);
    r->waiting[at] = (struct replica_waiting){
        .first = ts_seq_add(s.tail.seq, 1),
        .count = n,
        .token = first_token,
    };
    r->waiting_count++;
    struct ts_seq first;
    enum ts_err err = perform_service_order(&r->p, requests, n, &first);
    if (err != TS_OK) {
        r->waiting_count--;
        r->submit_busy = err == TS_ERR_BUSY;
        if (err == TS_ERR_NOSPACE) {
            replica_service_publish_status(r, net_now()); /* the refusal gives its reason */
        }
        return err;
    }
    ts_assert(ts_seq_eq(first, r->waiting[at].first));
    struct ts_mono now = net_now();
    r->requests_total += n;
    r->counted[REPORT_COUNTER_BATCHES]++;
    replica_latency_ordered(&r->latency, first, n, front_waited(r->front, first_token, now),
                            (s.required_mask & ~(1ULL << r->start->node->id.v)) != 0, now);
    return TS_OK;
}

static enum ts_err on_read(void *ctx, uint64_t round)
{
    struct replica *r = ctx;
    if (!repl_serves(r->core)) {
        return TS_ERR_REFUSED;
    }
    struct repl_event ev = {.kind = REPL_EV_READ};
    ev.u.read_token = round;
    replica_feed(r, &ev);
    return TS_OK;
}

static uint64_t on_position(void *ctx)
{
    const struct replica *r = ctx;
    return repl_applied(r->core).v;
}

void replica_service_release(struct replica *r, struct ts_seq seq, struct ts_bytes out)
{
    while (r->waiting_count > 0) {
        const struct replica_waiting *w = &r->waiting[r->waiting_head];
        if (ts_seq_lt(seq, w->first)) {
            return; /* an entry of an earlier primary, or one without a client */
        }
        if (seq.v - w->first.v < w->count) {
            front_reply(r->front, w->token + (seq.v - w->first.v), out);
            if (seq.v - w->first.v == w->count - 1) {
                r->waiting_head = (r->waiting_head + 1) % REPLICA_WAITING_MAX;
                r->waiting_count--;
            }
            return;
        }
        r->waiting_head = (r->waiting_head + 1) % REPLICA_WAITING_MAX;
        r->waiting_count--;
    }
}

void replica_service_resume(struct replica *r)
{
    if (r->submit_busy) {
        r->submit_busy = false;
        front_resume(r->front);
    }
}

void replica_service_look_at_acks(struct replica *r, struct ts_mono now)
{
    struct repl_status s = status_of(r);
    uint64_t others = s.required_mask & ~(1ULL << r->start->node->id.v);
    struct ts_seq acked = {UINT64_MAX};
    for (size_t i = 0; i < s.peer_count; i++) {
        if ((others & (1ULL << s.peers[i].nic.v)) != 0) {
            acked = ts_seq_min(acked, s.peers[i].acked.seq);
        }
    }
    if (others != 0) {
        replica_latency_acked(&r->latency, acked, now);
    }
}

void replica_service_close_pending(struct replica *r)
{
    replica_latency_forget(&r->latency);
    r->waiting_count = 0;
    r->waiting_head = 0;
    r->status_changed = true;
    front_close_unanswered(r->front);
}

/* "HOST:PORT" of a node's front-end, on its first path. */
static void front_address(const struct replica *r, struct ts_nic_id nic, char out[FRONT_ADDR_MAX])
{
    const struct cfg_node *n = cfg_cluster_node(&r->start->cluster, nic);
    out[0] = '\0';
    if (n != NULL && n->path_count > 0) {
        (void)snprintf(out, FRONT_ADDR_MAX, "%s:%u", n->paths[0],
                       (unsigned)r->start->group->client_port);
    }
}

static void describe_members(const struct replica *r, const struct repl_status *s,
                             struct front_status *out)
{
    out->self_in_sync = cfg_set_has(&s->config.in_sync, r->start->node->id,
                                    journal_info(r->p.journal)->incarnation);
    out->peer_count = 0;
    for (size_t i = 0; i < s->peer_count && out->peer_count < TS_MEMBERS_MAX; i++) {
        const struct cfg_node *n = cfg_cluster_node(&r->start->cluster, s->peers[i].nic);
        if (n == NULL) {
            continue;
        }
        struct front_peer *p = &out->peers[out->peer_count++];
        (void)snprintf(p->name, sizeof(p->name), "%s", n->name);
        front_address(r, n->id, p->address);
        p->in_sync = cfg_set_find(&s->config.in_sync, n->id) != NULL;
        p->connected = s->peers[i].connected;
        p->acked_seq = s->peers[i].acked.seq.v;
    }
    out->voters = r->voters == NULL ? 0 : r->voter_count;
    out->voters_answering =
        r->voters == NULL ? 0 : (uint8_t)proposer_answering(&r->p.proposer, net_now());
}

static void on_describe(void *ctx, struct front_status *status)
{
    struct repl_status s = status_of(ctx);
    describe_members(ctx, &s, status);
}

static void on_visitor(void *ctx, uint32_t place, const struct sockaddr *client)
{
    replica_clients_visitor(ctx, place, client);
}

static void on_sessions(void *ctx, struct session_figures *out)
{
    session_figures(((struct replica *)ctx)->p.state, out);
}

/* Whether clients' commands wait for the takeover that runs, here or (a handoff) elsewhere, which
 * takes a few milliseconds: an error would have each of them wander between two NICs meanwhile. A
 * takeover that takes longer than a failure-timeout lacks something: then they are told. */
static bool holds(struct replica *r, const struct repl_status *s, struct ts_mono now)
{
    bool rising = s->why == REPL_WHY_TAKING_OVER ||
                  (s->role == REPL_ROLE_PRIMARY && !s->active && s->why != REPL_WHY_ABDICATED) ||
                  repl_hands_over(r->core) || r->wish.group.v != 0;
    if (!rising) {
        r->hold_until.ns = 0;
    } else if (r->hold_until.ns == 0) {
        r->hold_until = ts_mono_add(now, r->start->cluster.timing.failure_timeout);
    }
    return rising && ts_mono_lt(now, r->hold_until);
}

void replica_service_publish_status(struct replica *r, struct ts_mono now)
{
    struct repl_status s = status_of(r);
    struct front_status out;
    memset(&out, 0, sizeof(out));
    (void)snprintf(out.group, sizeof(out.group), "%s", r->start->group->name);
    (void)snprintf(out.node, sizeof(out.node), "%s", r->start->node->name);
    out.epoch = s.config.epoch;
    front_address(r, r->start->node->id, out.self);
    if (s.config_known) {
        const struct cfg_node *n = cfg_cluster_node(&r->start->cluster, s.config.primary);
        front_address(r, s.config.primary, out.primary);
        (void)snprintf(out.primary_node, sizeof(out.primary_node), "%s", n == NULL ? "" : n->name);
    }
    describe_members(r, &s, &out);
    bool led_by_other = s.config_known && !ts_nic_eq(s.config.primary, r->start->node->id) &&
                        s.role == REPL_ROLE_SECONDARY && s.why == REPL_WHY_NONE;
    r->holding = holds(r, &s, now);
    bool stays = r->wish.group.v == 0 && !repl_hands_over(r->core);
    if (repl_serves(r->core) && stays) {
        out.role = FRONT_ROLE_PRIMARY;
        r->handed_over = false;
        replica_full(r, out.full);
    } else if (led_by_other) {
        out.role = FRONT_ROLE_SECONDARY;
        out.relays = r->handed_over;
    } else {
        out.role = r->holding ? FRONT_ROLE_TAKING_OVER : FRONT_ROLE_UNAVAILABLE;
        replica_why(r, &s, out.reason);
    }
    front_set_status(r->front, &out);
}

struct ts_mono replica_service_deadline(const struct replica *r, struct ts_mono now)
{
    struct ts_mono a = perform_service_deadline(&r->p, now);
    return r->holding && ts_mono_lt(r->hold_until, a) ? r->hold_until : a;
}

void replica_service_wish(struct replica *r, const struct report_handoff *wish)
{
    if (r->wish.group.v == 0 && repl_serves(r->core) && !repl_hands_over(r->core)) {
        r->wish = *wish;
        replica_service_publish_status(r, net_now()); /* from here on commands wait unparsed */
    }
}

static void hand_over(struct replica *r)
{
    static const char *const RESULTS[] = {
        [REPL_HANDOFF_NONE] = "nothing was done",
        [REPL_HANDOFF_BEGUN] = "it begins",
        [REPL_HANDOFF_NOT_PRIMARY] = "this replica does not serve as primary now",
        [REPL_HANDOFF_NO_HEIR] = "no replica that is meant is in sync and connected",
        [REPL_HANDOFF_BUSY] = "one is under way, or the in-sync set changes just now",
    };
    struct repl_event ev = {.kind = REPL_EV_HANDOFF, .peer = r->wish.target};
    bool due = ts_epoch_eq(r->wish.epoch, repl_epoch(r->core));
    r->wish.group.v = 0;
    r->status_changed = true;
    if (due) {
        replica_feed(r, &ev);
        enum repl_handoff_result result = r->p.perform.fx.handoff;
        r->handed_over = result == REPL_HANDOFF_BEGUN;
        net_log_limited(&r->start->log, NET_LOG_INFO, "handoff", "the operator wants a handoff: %s",
                        RESULTS[result]);
    }
}

void replica_service_turn(struct replica *r, struct ts_mono now)
{
    perform_service_turn(&r->p, now);
    if (r->holding && !ts_mono_lt(now, r->hold_until)) {
        r->status_changed = true;
    }
    front_turn(r->front);
    if (r->wish.group.v != 0 && !front_has_collected(r->front)) {
        hand_over(r);
    }
}

static void on_warns(void *ctx, const char *key, const char *line)
{
    struct replica *r = ctx;
    (void)net_log_limited(&r->start->log, NET_LOG_WARNING, key, "%s", line);
}

enum ts_err replica_service_open(struct replica *r, struct ts_why *why)
{
    const struct cfg_group *group = r->start->group;
    const struct service *service = service_of(group);
    if (service == NULL) {
        return ts_why(why, TS_ERR_CONFIG,
                      "group %s: there is no service \"%s\"; this build has: kv, netctl",
                      group->name, group->service);
    }
    uint64_t hash_seed;
    char limits[64];
    enum ts_err err = net_random_u64(&hash_seed);
    if (err != TS_OK) {
        return err;
    }
    (void)snprintf(limits, sizeof(limits), "hash-seed=%llu", (unsigned long long)hash_seed);
    r->p.out.max = OUT_BYTES_MAX;
    char tls_dir[REPLICA_PATH_MAX + 8];
    (void)snprintf(tls_dir, sizeof(tls_dir), "%s/tls", r->data_dir);
    if (group->client_tls) {
        err = net_tls_server_open(&r->client_tls, tls_dir, why);
        if (err != TS_OK) {
            return err;
        }
    }
    r->p.svc = service->svc;
    r->p.state = r->p.svc->create(limits);
    if (r->p.state == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory for service %s", r->p.svc->name);
    }
    r->has_sessions = service->has_sessions;
    struct front_owner owner = {.ctx = r,
                                .submit = on_submit,
                                .read = on_read,
                                .position = on_position,
                                .describe = on_describe,
                                .visitor = on_visitor,
                                .sessions = on_sessions,
                                .warns = on_warns};
    struct front_config config = {
        .submit_count_max = SUBMIT_COUNT_MAX,
        .failure_timeout_ms = (uint32_t)(r->start->cluster.timing.failure_timeout / TS_NS_PER_MS),
        .tls = r->client_tls,
        .tls_dir = tls_dir,
        .agent_port = group->agent_port,
        .cluster = r->start->cluster.name,
        .version = "0.1.0",
    };
    for (uint8_t i = 0; i < group->nic_count && i < TS_MEMBERS_MAX; i++) {
        const struct cfg_node *n = cfg_cluster_node(&r->start->cluster, group->nics[i]);
        ts_assert(n != NULL);
        config.nics[config.nic_count++] = n->name;
    }
    return service->front->create(&r->front, &r->loop, &owner, r->p.state, &config, why);
}

/* One address: a path's, or the service address, which comes and goes. */
static enum ts_err listen_on(struct replica *r, const char *address, bool ahead, struct ts_why *why)
{
    const struct cfg_group *group = r->start->group;
    struct ts_why inner = {.text = ""};
    enum ts_err err = front_listen(r->front, address, group->client_port, ahead, &inner);
    return err == TS_OK ? TS_OK : ts_why(why, err, "group %s: %s", group->name, inner.text);
}

enum ts_err replica_service_listen(struct replica *r, struct ts_why *why)
{
    const struct cfg_group *group = r->start->group;
    enum ts_err err = TS_OK;
    for (uint8_t i = 0; i < r->start->node->path_count && err == TS_OK; i++) {
        err = listen_on(r, r->start->node->paths[i], false, why);
    }
    if (err == TS_OK && group->address[0] != '\0') {
        err = listen_on(r, group->address, true, why);
    }
    return err;
}
