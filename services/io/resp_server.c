#include "services/io/resp_server.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/assert.h"
#include "services/io/resp_conn.h"

#define BACKLOG 511

/* ---- set-up ---- */

static void or_default(uint32_t *field, uint32_t value)
{
    if (*field == 0) {
        *field = value;
    }
}

static uint32_t power_of_two(uint32_t n)
{
    uint32_t p = 1;
    while (p < n && p < 1U << 30) {
        p *= 2;
    }
    return p;
}

static struct resp_server_config complete(const struct resp_server_config *given,
                                          uint32_t sockets_max)
{
    struct resp_server_config c = {0};
    if (given != NULL) {
        c = *given;
    }
    struct resp_limits limits = resp_limits_default();
    or_default(&c.limits.args_max, limits.args_max);
    or_default(&c.limits.bulk_max, limits.bulk_max);
    or_default(&c.limits.inline_max, limits.inline_max);
    or_default(&c.limits.request_max, limits.request_max);
    or_default(&c.clients_max, 10000);
    c.clients_max = c.clients_max < sockets_max ? c.clients_max : sockets_max;
    or_default(&c.client_unanswered_max, 4096);
    or_default(&c.client_output_soft, 1024U * 1024);
    or_default(&c.client_output_hard, 64U * 1024 * 1024);
    or_default(&c.unanswered_max, 131072);
    c.unanswered_max = power_of_two(c.unanswered_max);
    or_default(&c.pending_bytes_max, 4U * 1024 * 1024);
    or_default(&c.submit_count_max, 4096);
    or_default(&c.submit_bytes_max, 1024U * 1024);
    or_default(&c.rounds_max, 8);
    or_default(&c.stranger_ms, 10000);
    if (c.version == NULL) {
        c.version = "0";
    }
    return c;
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* being active is all it is for */
}

static void free_memory(struct resp_server *s)
{
    for (size_t i = 0; s->rounds != NULL && i <= s->config.rounds_max; i++) {
        free(s->rounds[i].items);
        free(s->rounds[i].bytes.data);
    }
    for (size_t i = 0; i < s->pool_len; i++) {
        free(s->pool[i].data);
    }
    resp_pubsub_close(&s->pubsub);
    free(s->slots);
    free(s->owners);
    free(s->pending);
    free(s->pending_bytes.data);
    free(s->batch);
    free(s->rounds);
    free(s->chunk);
    free(s->wire);
    free(s->args);
    free(s->line);
    free(s->pool);
    free(s);
}

static bool allocate(struct resp_server *s)
{
    const struct resp_server_config *c = &s->config;
    s->slots = calloc(c->clients_max, sizeof(*s->slots));
    s->owners = calloc(c->unanswered_max, sizeof(*s->owners));
    s->pending = calloc(2 * (size_t)c->unanswered_max, sizeof(*s->pending));
    s->batch = calloc(c->submit_count_max, sizeof(*s->batch));
    s->rounds = calloc((size_t)c->rounds_max + 1, sizeof(*s->rounds));
    s->chunk = malloc(RESP_READ_CHUNK + NET_TLS_RECORD_MAX);
    s->wire = c->tls != NULL ? malloc(RESP_READ_CHUNK) : NULL;
    s->args = calloc(c->limits.args_max, sizeof(*s->args));
    s->line = malloc((size_t)c->limits.inline_max + RESP_LINE_END);
    s->pool = calloc(RESP_POOL_LEN, sizeof(*s->pool));
    bool pubsub = resp_pubsub_open(&s->pubsub, uv_hrtime() ^ (uintptr_t)s);
    if (!pubsub || s->slots == NULL || s->owners == NULL || s->pending == NULL ||
        s->batch == NULL || s->rounds == NULL || s->chunk == NULL ||
        (c->tls != NULL && s->wire == NULL) || s->args == NULL || s->line == NULL ||
        s->pool == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < c->clients_max; i++) {
        s->slots[i].gen = 1;
        s->slots[i].next_free = i + 1 < c->clients_max ? i + 1 : UINT32_MAX;
    }
    return true;
}

static void begin_turn(struct resp_server *s)
{
    s->turn++;
    s->read_left = RESP_TURN_READ;
    s->take_left = RESP_TURN_TAKE;
    s->render_left = RESP_TURN_RENDER;
    s->handshakes_left = RESP_TURN_HANDSHAKES;
}

struct resp_server *resp_server_create(uv_loop_t *loop, const struct front_owner *ops,
                                       const void *state, const struct resp_server_config *config)
{
    ts_assert(ops->submit != NULL && ops->read != NULL && state != NULL);
    struct resp_server *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    s->loop = loop;
    s->ops = *ops;
    s->state = state;
    s->sockets_max = net_sockets_max();
    s->config = complete(config, s->sockets_max);
    s->next_id = 1;
    s->answered_to = s->submitted_to = s->next_token = 1;
    begin_turn(s);
    s->pending_bytes.max = SIZE_MAX / 2;
    s->started_ms = uv_now(loop);
    if (!allocate(s) || uv_idle_init(loop, &s->idle) != 0) {
        free_memory(s);
        return NULL;
    }
    int err = uv_timer_init(loop, &s->wait_timer);
    ts_assert(err == 0);
    err = uv_timer_init(loop, &s->stranger_timer);
    ts_assert(err == 0);
    s->idle.data = s;
    s->wait_timer.data = s;
    s->stranger_timer.data = s;
    s->wait_at = UINT64_MAX;
    uv_unref((uv_handle_t *)&s->idle);
    uv_unref((uv_handle_t *)&s->wait_timer);
    uv_unref((uv_handle_t *)&s->stranger_timer);
    s->handles = 3;
    return s;
}

/* ---- end ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct resp_server *s = handle->data;
    s->handles--;
    resp_server_wake(s);
}

static void on_idle_closed(uv_handle_t *handle)
{
    struct resp_server *s = handle->data;
    void (*closed)(void *ctx) = s->closed;
    void *ctx = s->closed_ctx;
    free_memory(s);
    if (closed != NULL) {
        closed(ctx);
    }
}

void resp_server_destroy(struct resp_server *s, void (*closed)(void *ctx), void *ctx)
{
    ts_assert(!s->destroying);
    s->destroying = true;
    s->closed = closed;
    s->closed_ctx = ctx;
    for (uint32_t i = 0; i < s->config.clients_max; i++) {
        if (s->slots[i].conn != NULL) {
            resp_conn_close(s->slots[i].conn);
        }
    }
    resp_conn_close_muted(s);
    uv_close((uv_handle_t *)&s->wait_timer, on_handle_closed);
    uv_close((uv_handle_t *)&s->stranger_timer, on_handle_closed);
    for (size_t i = 0; i < s->listener_count; i++) {
        uv_close((uv_handle_t *)&s->listeners[i], on_handle_closed);
    }
    resp_server_wake(s);
}

/* ---- listening ---- */

static void on_connection(uv_stream_t *listener, int status)
{
    struct resp_server *s = listener->data;
    if (status == 0 && !s->destroying) {
        resp_conn_accept(s, listener);
    }
}

static int parse_address(const char *text, uint16_t port, struct sockaddr_storage *out)
{
    if (uv_ip4_addr(text, port, (struct sockaddr_in *)out) == 0) {
        return 0;
    }
    return uv_ip6_addr(text, port, (struct sockaddr_in6 *)out);
}

enum ts_err resp_server_listen(struct resp_server *s, const char *address, uint16_t port,
                               bool ahead, int *uv_error)
{
    struct sockaddr_storage where = {0};
    if (parse_address(address, port, &where) != 0) {
        return TS_ERR_CONFIG;
    }
    if (s->listener_count == RESP_LISTENERS_MAX) {
        return TS_ERR_LIMIT;
    }
    uv_tcp_t *tcp = &s->listeners[s->listener_count];
    int r = uv_tcp_init_ex(s->loop, tcp, where.ss_family);
    if (r == 0) {
        tcp->data = s;
        s->ahead[s->listener_count] = ahead;
        s->listener_count++;
        s->handles++;
        r = ahead ? net_bind_ahead(tcp, &where)
                  : uv_tcp_bind(tcp, (const struct sockaddr *)&where, 0);
    }
    if (r == 0) {
        r = uv_listen((uv_stream_t *)tcp, BACKLOG, on_connection);
    }
    if (r != 0) {
        /* The handle, if there is one, stays until destroy: it holds no address. */
        if (uv_error != NULL) {
            *uv_error = r;
        }
        return TS_ERR_SYSTEM;
    }
    return TS_OK;
}

void resp_server_close_visitors(struct resp_server *s)
{
    for (uint32_t i = 0; i < s->config.clients_max && !s->destroying; i++) {
        struct resp_conn *c = s->slots[i].conn;
        if (c != NULL && c->visitor) {
            s->stats.closed_unanswered += c->answered < c->ordered ? 1 : 0;
            resp_conn_close(c);
        }
    }
    resp_conn_close_muted(s);
    resp_server_wake(s);
}

void resp_server_close_muted(struct resp_server *s)
{
    resp_conn_close_muted(s);
    resp_server_wake(s);
}

uint16_t resp_server_port(const struct resp_server *s)
{
    struct sockaddr_storage where = {0};
    int len = sizeof(where);
    if (s->listener_count == 0 ||
        uv_tcp_getsockname(&s->listeners[0], (struct sockaddr *)&where, &len) != 0) {
        return 0;
    }
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&where;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&where;
    uint16_t port = where.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port;
    return ntohs(port);
}

/* ---- the turn ---- */

static bool round_due(const struct resp_server *s)
{
    const struct resp_round *open = &s->rounds[(s->round_sent + 1) % (s->config.rounds_max + 1)];
    return open->len > 0 && s->round_sent - s->round_answered < s->config.rounds_max;
}

static bool starved_may_go(const struct resp_server *s)
{
    const struct resp_round *open = &s->rounds[(s->round_sent + 1) % (s->config.rounds_max + 1)];
    return s->lists[RESP_LINK_STARVED].len > 0 && s->status.role != FRONT_ROLE_TAKING_OVER &&
           resp_intake_has_room(s) && open->bytes.len < s->config.pending_bytes_max;
}

bool resp_server_has_work(const struct resp_server *s)
{
    return s->lists[RESP_LINK_DIRTY].len > 0 || s->lists[RESP_LINK_RESUME].len > 0 ||
           s->lists[RESP_LINK_HELD].len > 0 || s->lists[RESP_LINK_DROPPED].len > 0 ||
           (s->pending_len > 0 && !s->busy) || round_due(s) || starved_may_go(s);
}

void resp_server_wake(struct resp_server *s)
{
    if (s->destroying) {
        if (s->handles == 1 && !uv_is_closing((uv_handle_t *)&s->idle)) {
            uv_close((uv_handle_t *)&s->idle, on_idle_closed);
        }
        return;
    }
    if (!resp_server_has_work(s)) {
        uv_idle_stop(&s->idle);
    } else if (!uv_is_active((uv_handle_t *)&s->idle)) {
        uv_idle_start(&s->idle, on_idle);
    }
}

static void resume_connections(struct resp_server *s)
{
    /* Those that are listed again meanwhile wait for the next turn. */
    struct resp_list *starved = &s->lists[RESP_LINK_STARVED];
    for (size_t n = starved->len; n > 0 && s->take_left > 0 && starved_may_go(s); n--) {
        struct resp_conn *c = starved->first;
        resp_list_remove(c, RESP_LINK_STARVED);
        resp_intake_resume(c);
    }
    struct resp_list *resume = &s->lists[RESP_LINK_RESUME];
    for (size_t n = resume->len; n > 0 && resume->first != NULL; n--) {
        struct resp_conn *c = resume->first;
        resp_list_remove(c, RESP_LINK_RESUME);
        resp_intake_resume(c);
    }
}

/* The next batch within the bounds of one submit call; at least one payload. `length` gets the
 * bytes of all. */
static size_t next_batch(struct resp_server *s, size_t *length)
{
    size_t bytes = 0;
    size_t n = 0;
    while (n < s->pending_len && n < s->config.submit_count_max) {
        const struct resp_span *span = &s->pending[s->pending_first + n];
        if (n > 0 && bytes + span->len > s->config.submit_bytes_max) {
            break;
        }
        bytes += span->len;
        s->batch[n++] = (struct ts_bytes){s->pending_bytes.data + span->at, span->len};
    }
    *length = bytes;
    return n;
}

/* Counts the next `n` pending commands as submitted (+1), or takes that back (-1). */
static void count_submitted(struct resp_server *s, size_t n, bool submitted)
{
    uint64_t mask = s->config.unanswered_max - 1;
    uint64_t first = submitted ? s->submitted_to : s->submitted_to - n;
    for (size_t i = 0; i < n; i++) {
        struct resp_conn *c = resp_conn_find(s, s->owners[(first + i) & mask]);
        if (c != NULL) {
            c->pending += submitted ? (uint64_t)-1 : 1;
        }
    }
    s->submitted_to = submitted ? first + n : first;
}

/* Moves what is left to the front once that is the smaller part, so that the arena does not creep
 * and a long queue is not moved again with every batch. */
static void compact_pending(struct resp_server *s)
{
    if (s->pending_len == 0) {
        s->pending_first = 0;
        s->pending_bytes.len = 0;
        return;
    }
    size_t from = s->pending[s->pending_first].at;
    if (s->pending_first < s->config.unanswered_max && from < s->pending_bytes.len - from) {
        return;
    }
    s->pending_bytes.len -= from;
    memmove(s->pending_bytes.data, s->pending_bytes.data + from, s->pending_bytes.len);
    for (size_t i = 0; i < s->pending_len; i++) {
        s->pending[i] = s->pending[s->pending_first + i];
        s->pending[i].at -= from;
    }
    s->pending_first = 0;
}

/* Offers one batch. It counts as submitted before the call, since the owner may answer
 * (or give up) what it takes within the call. Returns its bytes. */
static size_t submit_batch(struct resp_server *s)
{
    size_t bytes = 0;
    size_t n = next_batch(s, &bytes);
    uint64_t first = s->submitted_to;
    count_submitted(s, n, true);
    s->in_submit = true;
    enum ts_err err = s->ops.submit(s->ops.ctx, s->batch, n, first);
    s->in_submit = false;
    if (err == TS_OK || s->answered_to > first) {
        s->pending_first += n;
        s->pending_len -= n;
        s->stats.submitted += n;
        s->stats.batches++;
    } else {
        count_submitted(s, n, false);
    }
    bool refused = err != TS_OK && err != TS_ERR_BUSY;
    s->busy = s->busy || err == TS_ERR_BUSY;
    if (refused || s->refuse_due) {
        bool lost = s->refuse_due || err != TS_ERR_NOSPACE;
        s->refuse_due = false;
        resp_answer_refuse_pending(s, err);
        if (lost) {
            resp_answer_refuse_rounds(s);
        }
    }
    return bytes;
}

/* Submits about one full batch: hashing, keeping and sending it is most of a turn's work. */
static void submit_pending(struct resp_server *s)
{
    size_t left = s->config.submit_bytes_max;
    while (s->pending_len > 0 && !s->busy && left > 0) {
        size_t bytes = submit_batch(s);
        left -= bytes < left ? bytes : left;
    }
    compact_pending(s);
}

static void send_round(struct resp_server *s)
{
    if (!round_due(s)) {
        return;
    }
    s->stats.rounds++;
    s->round_sent++;
    if (s->ops.read(s->ops.ctx, s->round_sent) != TS_OK) {
        resp_answer_refuse_rounds(s);
    }
}

void resp_server_turn(struct resp_server *s)
{
    if (s->destroying) {
        return;
    }
    begin_turn(s);
    s->now_us = resp_now_us(net_now()); /* of what goes on to be parsed */
    resp_answer_held(s);
    resume_connections(s);
    s->busy = false;
    submit_pending(s);
    send_round(s);
    resp_server_wake(s);
}

void resp_server_flush(struct resp_server *s)
{
    if (s->destroying) {
        return;
    }
    resp_pubsub_drop(s);
    /* Those that are listed again meanwhile, or not reached, wait for the next turn. */
    struct resp_list *dirty = &s->lists[RESP_LINK_DIRTY];
    size_t left = RESP_TURN_WRITE;
    for (size_t n = dirty->len; n > 0 && dirty->first != NULL && left > 0; n--) {
        left -= resp_conn_flush(dirty->first, left);
    }
    resp_server_wake(s);
}

void resp_server_resume(struct resp_server *s)
{
    s->busy = false;
    resp_server_wake(s);
}

uint64_t resp_server_waited(const struct resp_server *s, uint64_t token, struct ts_mono now)
{
    uint32_t since = s->owners[token & (s->config.unanswered_max - 1)].since_us;
    return (uint64_t)(resp_now_us(now) - since) * TS_NS_PER_US;
}

bool resp_server_has_collected(const struct resp_server *s)
{
    const struct resp_round *open = &s->rounds[(s->round_sent + 1) % (s->config.rounds_max + 1)];
    return s->pending_len > 0 || open->len > 0;
}

void resp_server_set_status(struct resp_server *s, const struct front_status *status)
{
    /* What a primary that hands over has collected waits for who is primary next, or for itself. */
    bool kept = s->status.role == FRONT_ROLE_PRIMARY || s->status.role == FRONT_ROLE_TAKING_OVER;
    bool keeps = status->role == FRONT_ROLE_PRIMARY || status->role == FRONT_ROLE_TAKING_OVER;
    s->status = *status;
    if (status->primary[0] != '\0' && strcmp(s->last_primary, status->primary) != 0) {
        if (s->last_primary[0] != '\0') {
            resp_pubsub_primary_changed(s, s->last_primary);
        }
        if (s->last_primary[0] != '\0' && strcmp(s->last_primary, status->self) == 0) {
            resp_pubsub_moved(s);
        }
        memcpy(s->last_primary, status->primary, sizeof(s->last_primary));
    }
    if (kept && !keeps) {
        s->busy = false;
        s->refuse_due = s->in_submit;
        if (!s->in_submit) {
            resp_answer_refuse_all(s);
        }
    }
    if (kept && status->role == FRONT_ROLE_SECONDARY && status->relays) {
        s->relay_below = s->next_id;
    } else if (status->role == FRONT_ROLE_PRIMARY) {
        s->relay_below = 0;
        resp_relay_end_all(s);
    }
    resp_wait_wake(s);
}

void resp_server_stats(const struct resp_server *s, struct resp_server_stats *out)
{
    *out = s->stats;
    out->clients = s->clients;
    out->unanswered = (uint32_t)(s->submitted_to - s->answered_to);
}
