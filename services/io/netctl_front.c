#include "services/io/netctl_front.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "net/link.h"
#include "net/loop.h"
#include "services/io/netctl_front_internal.h"
#include "services/netctl/netctl.h"

/* Bytes of them; and of one submit, of which one request alone may have more. */
#define WAITING_BYTES_MAX (64U * 1024U * 1024U)
#define SUBMIT_BYTES_MAX (1024U * 1024U)
/* Reads of one turn: a page may be long. */
#define TURN_READS 16U

static struct waiting *slot(struct queue *q, uint64_t number)
{
    return &q->at[number % WAITING_MAX];
}

/* Up to here it may be handed on. */
static uint64_t due(const struct queue *q)
{
    return q->end < q->hold ? q->end : q->hold;
}

static void let_go(struct netctl_front *f, struct waiting *w)
{
    f->waiting_bytes -= w->bytes == NULL ? 0 : w->len;
    free(w->bytes);
    w->bytes = NULL;
}

/* The end of one; `done`: of the controller's own, that it was carried out. */
static void forget(struct netctl_front *f, struct waiting *w, bool done)
{
    let_go(f, w);
    if (w->node != NULL) {
        controller_ordered(f->controller, w->node, done);
        free(w->node);
        w->node = NULL;
    }
}

/* ---- requests ---- */

static bool has_room(const struct netctl_front *f, const struct queue *q, size_t bytes)
{
    return q->end - q->done < WAITING_MAX && f->waiting_bytes + bytes <= WAITING_BYTES_MAX;
}

/* Takes `w`, whose bytes there is room for. */
static void collect(struct netctl_front *f, struct queue *q, struct waiting w)
{
    w.since = net_now();
    *slot(q, q->end++) = w;
    f->waiting_bytes += w.len;
}

static void encode(const struct netctl_request *request, struct waiting *w)
{
    w->bytes = malloc(NETCTL_REQUEST_HEAD_MAX + request->body.len);
    ts_must(w->bytes);
    struct ts_writer to = ts_writer_init(w->bytes, NETCTL_REQUEST_HEAD_MAX + request->body.len);
    enum ts_err err = netctl_request_encode(request, &to);
    ts_assert(err == TS_OK);
    w->len = to.len;
}

void netctl_front_collect(struct netctl_front *f, struct queue *q, uint64_t client,
                          enum northbound_kind kind, const struct netctl_request *request)
{
    struct waiting w = {.client = client, .kind = kind};
    if (!has_room(f, q, NETCTL_REQUEST_HEAD_MAX + request->body.len)) {
        netctl_front_refuse_for(f, client, "nothing was done: too many requests wait; try again");
        return;
    }
    encode(request, &w);
    collect(f, q, w);
}

void netctl_front_collect_trace(struct netctl_front *f, uint64_t client,
                                const struct northbound_trace *trace)
{
    struct waiting w = {.client = client, .kind = NORTH_TRACE, .len = sizeof(*trace)};
    if (!has_room(f, &f->reads, sizeof(*trace))) {
        netctl_front_refuse_for(f, client, "nothing was done: too many requests wait; try again");
        return;
    }
    w.bytes = malloc(sizeof(*trace));
    ts_must(w.bytes);
    memcpy(w.bytes, trace, sizeof(*trace));
    collect(f, &f->reads, w);
}

/* ---- the controller ---- */

static bool on_tells(void *arg, const char *node, struct ts_bytes body)
{
    struct netctl_front *f = arg;
    struct netctl_request r = {.method = NETCTL_NODE, .body = body};
    (void)snprintf(r.user, sizeof(r.user), "%.*s", NETCTL_USER_MAX, node);
    (void)snprintf(r.path, sizeof(r.path), "%s", node);
    struct waiting w = {.kind = NORTH_ORDER};
    if (f->status.role != FRONT_ROLE_PRIMARY || f->status.full[0] != '\0' ||
        !has_room(f, &f->orders, NETCTL_REQUEST_HEAD_MAX + body.len)) {
        return false;
    }
    w.node = strdup(node);
    ts_must(w.node);
    encode(&r, &w);
    collect(f, &f->orders, w);
    return true;
}

static void on_realized(void *arg, const char *node, struct ts_bytes event)
{
    struct netctl_front *f = arg;
    const struct http_event e = {.name = "realization", .id = node, .data = event};
    for (size_t i = f->stream_count; i-- > 0;) {
        (void)!http_server_event(f->http, f->streams[i], &e); /* it closed: on_stream_closed */
    }
}

/* The last one that was collected. */
static void refuse_last(struct netctl_front *f, struct queue *q)
{
    struct waiting *w = slot(q, --q->end);
    if (w->client != 0) {
        netctl_front_refuse(f, w->client);
    }
    forget(f, w, false);
}

/* ---- orders ---- */

static void submit(struct netctl_front *f)
{
    struct queue *q = &f->orders;
    enum ts_err err = TS_OK;
    while (q->sent < due(q) && err == TS_OK) {
        size_t n = 0;
        size_t bytes = 0;
        while (q->sent + n < due(q) && n < f->submit_max) {
            const struct waiting *w = slot(q, q->sent + n);
            bytes += w->len;
            if (n > 0 && bytes > SUBMIT_BYTES_MAX) {
                break;
            }
            f->payloads[n++] = (struct ts_bytes){w->bytes, w->len};
        }
        err = f->owner.submit(f->owner.ctx, f->payloads, n, q->sent);
        for (size_t i = 0; i < n && err == TS_OK; i++) {
            let_go(f, slot(q, q->sent++));
        }
    }
    while (err != TS_OK && err != TS_ERR_BUSY && q->end > q->sent) {
        refuse_last(f, q); /* its token was never given to anybody */
    }
}

static void reply(struct front *front, uint64_t token, struct ts_bytes bytes)
{
    struct netctl_front *f = (struct netctl_front *)front;
    if (token != f->orders.done || token >= f->orders.sent) {
        return; /* given up */
    }
    struct waiting *w = slot(&f->orders, f->orders.done++);
    struct ts_reader r = ts_reader_init(bytes.data, bytes.len);
    if (w->client != 0) {
        netctl_front_answer(f, w->client, bytes);
    }
    forget(f, w, ts_get_u16(&r) == 200);
}

/* ---- reads ---- */

static void ask_round(struct netctl_front *f)
{
    struct queue *q = &f->reads;
    if (q->sent == due(q) || f->rounds_asked - f->rounds_done == ROUNDS_MAX) {
        return;
    }
    /* Before it is asked for: it may be confirmed at once. */
    uint64_t before = q->sent;
    q->sent = due(q);
    f->rounds_asked++;
    f->rounds[f->rounds_asked % ROUNDS_MAX] = (struct round){f->rounds_asked, q->sent};
    if (f->owner.read(f->owner.ctx, f->rounds_asked) != TS_OK) {
        f->rounds_asked--; /* its number was never given to anybody */
        q->sent = before;
        while (q->end > q->sent) {
            refuse_last(f, q);
        }
        return;
    }
}

static void on_awake(uv_idle_t *h)
{
    (void)h;
}

/* True: there are more. */
static bool answer_reads(struct netctl_front *f)
{
    struct queue *q = &f->reads;
    for (unsigned i = 0; i < TURN_READS && q->done < f->confirmed; i++) {
        struct waiting *w = slot(q, q->done++);
        netctl_front_answer_read(f, w);
        f->read_count++;
        let_go(f, w);
    }
    return q->done < f->confirmed;
}

static void read_ready(struct front *front, uint64_t round)
{
    struct netctl_front *f = (struct netctl_front *)front;
    while (f->rounds_done < round && f->rounds_done < f->rounds_asked) {
        f->rounds_done++;
        uint64_t until = f->rounds[f->rounds_done % ROUNDS_MAX].until;
        f->confirmed = until > f->confirmed ? until : f->confirmed;
    }
}

/* ---- the replica ---- */

static void turn(struct front *front)
{
    struct netctl_front *f = (struct netctl_front *)front;
    http_server_turn(f->http);
    submit(f);
    ask_round(f);
}

static void flush(struct front *front)
{
    struct netctl_front *f = (struct netctl_front *)front;
    bool more = controller_applied(f->controller, (struct ts_seq){f->owner.position(f->owner.ctx)});
    more = answer_reads(f) || more;
    if (more) {
        uv_idle_start(&f->awake, on_awake);
    } else {
        uv_idle_stop(&f->awake);
    }
}

static void resume(struct front *front)
{
    (void)front; /* each turn tries */
}

static uint64_t waited(const struct front *front, uint64_t token, struct ts_mono now)
{
    struct netctl_front *f = (struct netctl_front *)front;
    return ts_mono_since(slot(&f->orders, token)->since, now);
}

static bool has_collected(const struct front *front)
{
    const struct netctl_front *f = (const struct netctl_front *)front;
    return f->orders.sent < due(&f->orders) || f->reads.sent < due(&f->reads);
}

/* All that nobody has in hand, and reads whose round will not be confirmed any more. */
static void refuse_collected(struct netctl_front *f)
{
    for (struct queue *q = &f->orders; q != NULL; q = q == &f->orders ? &f->reads : NULL) {
        uint64_t keep = q == &f->orders ? q->sent : f->confirmed;
        while (q->end > keep) {
            refuse_last(f, q);
        }
        q->sent = q->sent < q->end ? q->sent : q->end;
    }
    f->rounds_done = f->rounds_asked;
}

/* Agents are told where their port is at the primary. */
static void tell_office(struct netctl_front *f, bool serves)
{
    char primary[FRONT_ADDR_MAX + 8];
    const char *colon = strrchr(f->status.primary, ':');
    (void)snprintf(primary, sizeof(primary), "%.*s:%u",
                   colon == NULL ? 0 : (int)(colon - f->status.primary), f->status.primary,
                   (unsigned)f->agent_port);
    bool same = f->told && serves == f->serves && ts_epoch_eq(f->epoch, f->status.epoch) &&
                strcmp(f->primary, primary) == 0;
    if (same) {
        return; /* a repeated word would begin each table anew */
    }
    f->told = true;
    f->serves = serves;
    f->epoch = f->status.epoch;
    memcpy(f->primary, primary, sizeof(primary));
    controller_office(f->controller, f->status.epoch, serves, colon == NULL ? NULL : primary);
}

/* Who listens finds out where the primary is, and asks there. */
static void end_streams(struct netctl_front *f)
{
    while (f->stream_count > 0) {
        http_server_stream_end(f->http, f->streams[--f->stream_count]);
    }
}

static void set_status(struct front *front, const struct front_status *status)
{
    struct netctl_front *f = (struct netctl_front *)front;
    bool serves = status->role == FRONT_ROLE_PRIMARY;
    bool waits = status->role == FRONT_ROLE_TAKING_OVER;
    bool waited_before = f->status.role == FRONT_ROLE_TAKING_OVER;
    f->status = *status;
    tell_office(f, serves);
    bool elsewhere = status->role == FRONT_ROLE_SECONDARY;
    http_relay_aim(f->relay, elsewhere ? status->primary : "",
                   elsewhere ? status->primary_node : "");
    if (!serves) {
        end_streams(f);
    }
    if (!serves && !waits) {
        refuse_collected(f);
    }
    for (struct queue *q = &f->orders; q != NULL; q = q == &f->orders ? &f->reads : NULL) {
        q->hold = !waits ? UINT64_MAX : waited_before ? q->hold : q->end;
    }
}

static void set_users(struct front *front, const struct net_users *users)
{
    http_server_set_users(((struct netctl_front *)front)->http, users);
}

static enum ts_err reload(struct front *front, struct ts_why *why)
{
    struct netctl_front *f = (struct netctl_front *)front;
    struct net_tls_server *const both[] = {http_server_tls(f->http), controller_tls(f->controller)};
    struct net_tls_trust *trust = NULL;
    enum ts_err err = http_relay_load(&trust, http_relay_dir(f->relay), why);
    if (err != TS_OK) {
        return err;
    }
    err = net_tls_server_reload_all(both, 2, why);
    if (err != TS_OK) {
        net_tls_trust_close(trust);
        return err;
    }
    http_relay_use(f->relay, trust);
    return TS_OK;
}

static void close_unanswered(struct front *front)
{
    struct netctl_front *f = (struct netctl_front *)front;
    refuse_collected(f);
    while (f->orders.done < f->orders.sent) {
        forget(f, slot(&f->orders, f->orders.done++), false);
    }
    (void)answer_reads(f); /* the rest goes with its clients */
    http_server_fail_unanswered(f->http);
}

/* A connection that came by the service address is one like all others. */
static void close_visitors(struct front *front)
{
    (void)front;
}

static void close_muted(struct front *front)
{
    (void)front;
}

static enum ts_err listen_on(struct front *front, const char *address, uint16_t port, bool ahead,
                             struct ts_why *why)
{
    struct netctl_front *f = (struct netctl_front *)front;
    struct sockaddr_storage agents;
    struct ts_why inner = {.text = ""};
    (void)ahead;
    enum ts_err err = http_server_listen(f->http, address, port, &inner);
    if (err != TS_OK) {
        return ts_why(why, err, "the group's `port` for clients: %s", inner.text);
    }
    err = net_address(address, f->agent_port, &agents);
    err = err != TS_OK ? err : controller_listen(f->controller, &agents, &inner);
    return err == TS_OK ? TS_OK
                        : ts_why(why, err, "the group's `agent-port`, %s port %u: %s", address,
                                 (unsigned)f->agent_port, inner.text);
}

static void end(struct front *front)
{
    controller_forget(((struct netctl_front *)front)->controller);
}

static void figures(const struct front *front, struct front_figures *out)
{
    const struct netctl_front *f = (const struct netctl_front *)front;
    struct http_server_stats s;
    http_server_stats(f->http, &s);
    *out = (struct front_figures){
        .connections = s.connections,
        .reads = f->read_count,
        .protocol_errors = s.bad_requests + s.no_request,
        .refused = f->refused,
        .unauthorized = s.unauthorized,
        .closed_unanswered = s.closed_unanswered,
        .unanswered = (uint32_t)(f->orders.sent - f->orders.done),
    };
}

static void on_warns(void *arg, const char *key, const char *line)
{
    struct netctl_front *f = arg;
    if (f->owner.warns != NULL) {
        f->owner.warns(f->owner.ctx, key, line);
    }
}

static enum ts_err create(struct front **out, uv_loop_t *loop, const struct front_owner *owner,
                          void *state, const struct front_config *config, struct ts_why *why)
{
    struct netctl_front *f = calloc(1, sizeof(*f));
    ts_must(f);
    const struct http_server_ops ops = {.ctx = f,
                                        .request = netctl_front_on_request,
                                        .stream_closed = netctl_front_on_stream_closed};
    const struct controller_config controller = {.loop = loop,
                                                 .dir = config->tls_dir,
                                                 .state = state,
                                                 .tells = on_tells,
                                                 .realized = on_realized,
                                                 .warns = on_warns,
                                                 .arg = f};
    const struct http_server_config c = {.tls_dir = config->tls_dir,
                                         .cluster = config->cluster,
                                         .nics = f->nics,
                                         .nic_count = config->nic_count,
                                         .http2 = true,
                                         .body_max = NETCTL_BODY_MAX};
    f->front.ops = &netctl_front;
    memcpy(f->nics, config->nics, sizeof(f->nics));
    f->owner = *owner;
    f->state = state;
    f->submit_max = config->submit_count_max < WAITING_MAX ? config->submit_count_max : WAITING_MAX;
    f->out.max = SVC_ANSWER_MAX;
    f->orders.hold = UINT64_MAX;
    f->reads.hold = UINT64_MAX;
    (void)snprintf(f->version, sizeof(f->version), "%s", config->version);
    f->agent_port = config->agent_port;
    enum ts_err err = controller_open(&f->controller, &controller, why);
    if (err != TS_OK) {
        free(f);
        return err;
    }
    err = http_server_create(&f->http, loop, &ops, &c, why);
    if (err != TS_OK) {
        controller_close(f->controller);
        free(f);
        return err;
    }
    const struct http_relay_config relay = {
        .loop = loop, .dir = config->tls_dir, .http = f->http, .answer_max = SVC_ANSWER_MAX};
    err = http_relay_open(&f->relay, &relay, why);
    if (err != TS_OK) {
        http_server_destroy(f->http, NULL, NULL);
        controller_close(f->controller);
        free(f);
        return err;
    }
    int failed = uv_idle_init(loop, &f->awake);
    ts_assert(failed == 0);
    *out = &f->front;
    return TS_OK;
}

const struct front_ops netctl_front = {
    .create = create,
    .listen = listen_on,
    .turn = turn,
    .flush = flush,
    .reply = reply,
    .read_ready = read_ready,
    .resume = resume,
    .waited = waited,
    .has_collected = has_collected,
    .set_status = set_status,
    .set_users = set_users,
    .reload = reload,
    .close_unanswered = close_unanswered,
    .close_visitors = close_visitors,
    .close_muted = close_muted,
    .figures = figures,
    .end = end,
};
