/* kv_loopback: the RESP front-end with the kv service and no replication, for tests.
 *
 * What the front-end submits is applied in this process, in order; rounds are confirmed. With
 * --jitter SEED a random part is answered each turn, submissions are refused as BUSY at random,
 * and rounds wait: so replies, rounds and parsing interleave in every way. Each entry is
 * applied to two states with different hash seeds, whose answers must be equal.
 *
 * usage: kv_loopback ADDRESS [--port N] [--jitter SEED] [--limits TEXT] [--clients N]
 *        [--users FILE] [--tls DIR] [--voters N] [--secondary HOST:PORT | --unavailable REASON |
 * --full REASON] Prints "port N" when it listens; ends on SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/prng.h"
#include "services/io/resp_server.h"
#include "services/kv/sessions.h"
#include "services/session.h"

#define QUEUE_MAX 262144

struct queued {
    size_t at;
    size_t len;
    uint64_t token;
};

struct loopback {
    uv_loop_t loop;
    uv_check_t check;
    uv_prepare_t prepare;
    uv_idle_t idle;
    uv_signal_t sigterm;
    uv_timer_t tick;
    struct resp_server *server;
    void *state[2];
    struct svc_out out[2];
    struct svc_out bytes;
    struct queued queue[QUEUE_MAX];
    size_t first;
    size_t count;
    uint64_t round;
    uint64_t round_ready;
    uint64_t seq;
    bool jitter;
    bool busy;
    struct ts_prng prng;
};

static uint64_t chance(struct loopback *l, uint64_t below)
{
    return ts_prng_below(&l->prng, below);
}

static enum ts_err on_submit(void *ctx, const struct ts_bytes *payloads, size_t n,
                             uint64_t first_token)
{
    struct loopback *l = ctx;
    if (l->first + l->count + n > QUEUE_MAX || (l->jitter && chance(l, 4) == 0)) {
        l->busy = true;
        return TS_ERR_BUSY;
    }
    for (size_t i = 0; i < n; i++) {
        l->queue[l->first + l->count++] =
            (struct queued){l->bytes.len, payloads[i].len, first_token + i};
        ts_assert(svc_out_put(&l->bytes, payloads[i].data, payloads[i].len) == TS_OK);
    }
    return TS_OK;
}

static enum ts_err on_round(void *ctx, uint64_t round)
{
    struct loopback *l = ctx;
    l->round = round;
    return TS_OK;
}

static uint64_t on_position(void *ctx)
{
    return ((struct loopback *)ctx)->seq;
}

static void on_sessions(void *ctx, struct session_figures *out)
{
    session_figures(((struct loopback *)ctx)->state[0], out);
}

static struct ts_ltime wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (struct ts_ltime){(uint64_t)t.tv_sec * TS_NS_PER_S + (uint64_t)t.tv_nsec};
}

static void apply(struct loopback *l, enum svc_entry_kind kind, struct ts_bytes payload)
{
    struct svc_entry e = {
        .epoch = {1}, .seq = {++l->seq}, .kind = kind, .time = wall(), .payload = payload};
    for (int i = 0; i < 2; i++) {
        l->out[i].len = 0;
        kv_with_sessions.apply(l->state[i], &e, &l->out[i]);
    }
    ts_assert(l->out[0].len == l->out[1].len &&
              memcmp(l->out[0].data, l->out[1].data, l->out[0].len) == 0);
}

static void answer_queued(struct loopback *l)
{
    size_t n = l->jitter ? (size_t)chance(l, l->count + 1) : l->count;
    for (; n > 0; n--) {
        struct queued q = l->queue[l->first++];
        l->count--;
        apply(l, SVC_ENTRY_COMMAND, (struct ts_bytes){l->bytes.data + q.at, q.len});
        resp_server_reply(l->server, q.token, (struct ts_bytes){l->out[0].data, l->out[0].len});
    }
    if (l->count == 0) {
        l->first = 0;
        l->bytes.len = 0;
    }
}

static void on_idle(uv_idle_t *h)
{
    (void)h;
}

static void on_check(uv_check_t *h)
{
    struct loopback *l = h->data;
    resp_server_turn(l->server);
}

static void on_prepare(uv_prepare_t *h)
{
    struct loopback *l = h->data;
    answer_queued(l);
    if (l->round_ready < l->round && (!l->jitter || chance(l, 2) == 0)) {
        l->round_ready++;
        l->round_ready += l->jitter ? chance(l, l->round - l->round_ready + 1) : 0;
        l->round_ready = l->jitter ? l->round_ready : l->round;
        resp_server_read_ready(l->server, l->round_ready);
    }
    if (l->busy) {
        l->busy = false;
        resp_server_resume(l->server);
    }
    if (l->jitter && chance(l, 64) == 0) {
        apply(l, SVC_ENTRY_CHECKPOINT, (struct ts_bytes){NULL, 0});
    }
    resp_server_flush(l->server);
    if (l->count > 0 || l->round_ready < l->round) {
        uv_idle_start(&l->idle, on_idle);
    } else {
        uv_idle_stop(&l->idle);
    }
}

static void on_tick(uv_timer_t *h)
{
    struct loopback *l = h->data;
    if (kv_with_sessions.next_tick(l->state[0]).ns <= wall().ns) {
        apply(l, SVC_ENTRY_TICK, (struct ts_bytes){NULL, 0});
    }
}

static void close_any(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h)) {
        uv_close(h, NULL);
    }
}

static void on_server_closed(void *ctx)
{
    struct loopback *l = ctx;
    uv_walk(&l->loop, close_any, NULL);
}

static void on_signal(uv_signal_t *h, int number)
{
    struct loopback *l = h->data;
    (void)number;
    uv_prepare_stop(&l->prepare);
    uv_check_stop(&l->check);
    uv_timer_stop(&l->tick);
    uv_close((uv_handle_t *)h, NULL);
    resp_server_destroy(l->server, on_server_closed, l);
}

struct options {
    const char *address;
    uint16_t port;
    const char *jitter;
    const char *limits;
    const char *secondary;
    const char *unavailable;
    const char *full;
    const char *users;
    const char *tls;
    uint8_t voters; /* of three, which answer */
    struct resp_server_config config;
};

static void read_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (argv[i][0] != '-') {
            o->address = argv[i];
            continue;
        }
        i++;
        if (strcmp(argv[i - 1], "--port") == 0) {
            o->port = (uint16_t)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i - 1], "--jitter") == 0) {
            o->jitter = value;
        } else if (strcmp(argv[i - 1], "--limits") == 0) {
            o->limits = value;
        } else if (strcmp(argv[i - 1], "--clients") == 0) {
            o->config.clients_max = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i - 1], "--stranger-ms") == 0) {
            o->config.stranger_ms = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i - 1], "--unanswered") == 0) {
            o->config.unanswered_max = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i - 1], "--tls") == 0) {
            o->tls = value;
        } else if (strcmp(argv[i - 1], "--voters") == 0) {
            o->voters = (uint8_t)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i - 1], "--users") == 0) {
            o->users = value;
        } else if (strcmp(argv[i - 1], "--secondary") == 0) {
            o->secondary = value;
        } else if (strcmp(argv[i - 1], "--unavailable") == 0) {
            o->unavailable = value;
        } else if (strcmp(argv[i - 1], "--full") == 0) {
            o->full = value;
        }
    }
}

static void set_status(struct loopback *l, const struct options *o)
{
    struct front_status st = {.role = FRONT_ROLE_PRIMARY,
                              .epoch = {7},
                              .self_in_sync = true,
                              .voters = 3,
                              .voters_answering = o->voters};
    snprintf(st.node, sizeof(st.node), "nic1");
    snprintf(st.group, sizeof(st.group), "kv");
    snprintf(st.self, sizeof(st.self), "127.0.0.1:6379");
    snprintf(st.primary, sizeof(st.primary), "127.0.0.1:6379");
    st.peer_count = 1;
    st.peers[0] = (struct front_peer){
        .name = "nic2", .address = "127.0.0.2:6379", .in_sync = true, .connected = true};
    snprintf(st.full, sizeof(st.full), "%s", o->full != NULL ? o->full : "");
    if (o->secondary != NULL) {
        st.role = FRONT_ROLE_SECONDARY;
        snprintf(st.primary, sizeof(st.primary), "%s", o->secondary);
    } else if (o->unavailable != NULL) {
        st.role = FRONT_ROLE_UNAVAILABLE;
        snprintf(st.reason, sizeof(st.reason), "%s", o->unavailable);
    }
    resp_server_set_status(l->server, &st);
}

static void start_handles(struct loopback *l)
{
    uv_check_init(&l->loop, &l->check);
    uv_prepare_init(&l->loop, &l->prepare);
    uv_idle_init(&l->loop, &l->idle);
    uv_signal_init(&l->loop, &l->sigterm);
    uv_timer_init(&l->loop, &l->tick);
    l->check.data = l->prepare.data = l->sigterm.data = l->tick.data = l;
    uv_check_start(&l->check, on_check);
    uv_prepare_start(&l->prepare, on_prepare);
    uv_signal_start(&l->sigterm, on_signal, SIGTERM);
    uv_timer_start(&l->tick, on_tick, 10, 10);
}

int main(int argc, char **argv)
{
    struct options o = {.address = "127.0.0.1", .voters = 3, .config = {.version = "0.1.0"}};
    read_options(argc, argv, &o);
    signal(SIGPIPE, SIG_IGN);
    struct loopback *l = calloc(1, sizeof(*l));
    ts_assert(l != NULL && uv_loop_init(&l->loop) == 0);
    char limits[256];
    for (int i = 0; i < 2; i++) {
        snprintf(limits, sizeof(limits), "%s hash-seed=%d", o.limits != NULL ? o.limits : "",
                 i * 7919);
        l->state[i] = kv_with_sessions.create(limits);
        ts_assert(l->state[i] != NULL);
        l->out[i].max = 64U * 1024 * 1024;
    }
    l->bytes.max = SIZE_MAX / 2;
    l->jitter = o.jitter != NULL;
    l->prng = ts_prng_init(o.jitter != NULL ? strtoull(o.jitter, NULL, 10) : 1);
    struct ts_why why = {.text = ""};
    if (o.tls != NULL && net_tls_server_open(&o.config.tls, o.tls, &why) != TS_OK) {
        fprintf(stderr, "kv_loopback: %s\n", why.text);
        return 1;
    }
    struct front_owner ops = {.ctx = l,
                              .submit = on_submit,
                              .read = on_round,
                              .position = on_position,
                              .sessions = on_sessions};
    l->server = resp_server_create(&l->loop, &ops, session_inner(l->state[0]), &o.config);
    int uv_error = 0;
    if (l->server == NULL ||
        resp_server_listen(l->server, o.address, o.port, false, &uv_error) != TS_OK) {
        fprintf(stderr, "kv_loopback: cannot listen on %s: %s\n", o.address, uv_strerror(uv_error));
        return 1;
    }
    struct net_users users = {.count = 0};
    if (o.users != NULL && net_users_load(o.users, &users, NULL) != TS_OK) {
        fprintf(stderr, "kv_loopback: cannot read %s\n", o.users);
        return 1;
    }
    resp_server_set_users(l->server, &users);
    set_status(l, &o);
    start_handles(l);
    printf("port %u\n", resp_server_port(l->server));
    fflush(stdout);
    uv_run(&l->loop, UV_RUN_DEFAULT);
    uv_loop_close(&l->loop);
    for (int i = 0; i < 2; i++) {
        kv_with_sessions.destroy(l->state[i]);
        svc_out_free(&l->out[i]);
    }
    if (o.config.tls != NULL) {
        net_tls_server_close(o.config.tls);
    }
    svc_out_free(&l->bytes);
    free(l);
    return 0;
}
