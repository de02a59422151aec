/* http_echo: the HTTP front-end with a service that says what it was asked, for tests.
 *
 *   ANY /echo            what the request is, as lines of text; its body behind an empty line
 *   GET /hold            is not answered before …
 *   GET /release         … answers all that were held, the last first, and says how many
 *   GET /after?ms=N      is answered N milliseconds later
 *   GET /size?bytes=N    N bytes
 *   GET /status?code=N   that status, with a header of its own
 *   GET /bad-header      is answered with a header that cannot be sent
 *   GET /error           an error as NSX has it
 *   GET /stream          events; GET /emit?n=N&bytes=B appends N to every stream; GET /end
 *   GET /fail            closes all connections with unanswered requests, this one included
 *   GET /stats           the front-end's counters
 *   ANY /relay           is carried to whom --relay names, HOST:PORT@NODE
 *
 * usage: http_echo ADDRESS [--port N] [--tls DIR] [--users FILE] [--ahead ADDRESS] [--http2]
 *        [--relay HOST:PORT@NODE] [--clients N] [--requests N] [--body N] [--bodies N]
 * [--stranger-ms N] [--request-ms N]
 *        [--answer-ms N] [--idle-ms N] [--keepalive-ms N] [--output N]
 * Without --tls it is plain. Prints "port N" when it listens and "reloaded" on SIGHUP; ends on
 * SIGTERM, or tells why not. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/io/http_relay.h"
#include "services/io/http_server.h"

#define HELD_MAX 4096
#define STREAMS_MAX 256

struct echo {
    uv_loop_t loop;
    uv_check_t check;
    uv_prepare_t prepare;
    uv_signal_t sigterm;
    uv_signal_t sighup;
    struct http_server *server;
    struct http_relay *relay; /* NULL: nothing is carried on */
    const char *users;
    bool ended; /* nothing is answered any more */
    uint64_t turns;
    uint64_t held[HELD_MAX];
    size_t held_count;
    uint64_t streams[STREAMS_MAX];
    size_t stream_count;
    uint64_t closed_streams;
    uint64_t emitted;
};

/* An answer that a timer gives. */
struct later {
    uv_timer_t timer;
    struct echo *echo;
    uint64_t token;
};

static void answer_text(struct echo *e, uint64_t token, unsigned status, const char *text)
{
    struct http_answer a = {.status = status, .content_type = "text/plain"};
    a.body = (struct ts_bytes){(const uint8_t *)text, strlen(text)};
    http_server_answer(e->server, token, &a);
}

static uint64_t param(const struct http_request *r, const char *name, uint64_t otherwise)
{
    for (size_t i = 0; i < r->param_count; i++) {
        char text[32] = "";
        const struct http_param *p = &r->params[i];
        if (p->name.len == strlen(name) && memcmp(p->name.data, name, p->name.len) == 0 &&
            p->value.len < sizeof(text)) {
            memcpy(text, p->value.data, p->value.len);
            return strtoull(text, NULL, 10);
        }
    }
    return otherwise;
}

static bool path_is(const struct http_request *r, const char *path)
{
    return r->path.len == strlen(path) && memcmp(r->path.data, path, r->path.len) == 0;
}

/* ---- answers ---- */

static void echo_request(struct echo *e, uint64_t token, const struct http_request *r)
{
    static const char *const kinds[] = {"anybody", "user", "certificate"};
    size_t cap = r->body.len + 256UL * 1024;
    char *text = malloc(cap);
    ts_assert(text != NULL);
    int n =
        snprintf(text, cap, "method %s\npath %.*s\nwho %s %s %s\nhttp %d\ntype %.*s\nbody %zu\n",
                 http_method_name(r->method), (int)r->path.len, (const char *)r->path.data,
                 kinds[r->who.kind], r->who.name, http_role_name(r->who.role), r->http2 ? 2 : 1,
                 (int)r->content_type.len, (const char *)r->content_type.data, r->body.len);
    for (size_t i = 0; i < r->param_count; i++) {
        n += snprintf(text + n, cap - (size_t)n, "param %.*s=%.*s\n", (int)r->params[i].name.len,
                      (const char *)r->params[i].name.data, (int)r->params[i].value.len,
                      (const char *)r->params[i].value.data);
    }
    text[n++] = '\n';
    if (r->body.len > 0) {
        memcpy(text + n, r->body.data, r->body.len);
    }
    struct http_answer a = {.status = 200, .content_type = "text/plain"};
    a.body = (struct ts_bytes){(const uint8_t *)text, (size_t)n + r->body.len};
    http_server_answer(e->server, token, &a);
    free(text);
}

static void on_later_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_later(uv_timer_t *timer)
{
    struct later *l = timer->data;
    if (!l->echo->ended) {
        answer_text(l->echo, l->token, 200, "later\n");
    }
    uv_close((uv_handle_t *)timer, on_later_closed);
}

static void answer_later(struct echo *e, uint64_t token, uint64_t ms)
{
    struct later *l = calloc(1, sizeof(*l));
    ts_assert(l != NULL);
    l->echo = e;
    l->token = token;
    l->timer.data = l;
    ts_assert(uv_timer_init(&e->loop, &l->timer) == 0);
    ts_assert(uv_timer_start(&l->timer, on_later, ms, 0) == 0);
}

static void answer_size(struct echo *e, uint64_t token, uint64_t bytes)
{
    uint8_t *data = malloc(bytes + 1);
    ts_assert(data != NULL);
    memset(data, 'x', bytes);
    struct http_answer a = {.status = 200, .content_type = "application/octet-stream"};
    a.body = (struct ts_bytes){data, bytes};
    http_server_answer(e->server, token, &a);
    free(data);
}

static void answer_status(struct echo *e, uint64_t token, unsigned code, bool bad)
{
    const struct http_answer_header h = {"x-echo", bad ? "a\r\nset-cookie: b" : "yes"};
    struct http_answer a = {.status = code, .headers = &h, .header_count = 1};
    a.body = (struct ts_bytes){(const uint8_t *)"status\n", 7};
    http_server_answer(e->server, token, &a);
}

static void release(struct echo *e, uint64_t token)
{
    char text[64];
    size_t n = e->held_count;
    while (e->held_count > 0) {
        answer_text(e, e->held[--e->held_count], 200, "held\n");
    }
    snprintf(text, sizeof(text), "released %zu\n", n);
    answer_text(e, token, 200, text);
}

static void tell_stats(struct echo *e, uint64_t token)
{
    struct http_server_stats s;
    char text[2048];
    http_server_stats(e->server, &s);
    snprintf(text, sizeof(text),
             "connections %llu\nrejected %llu\nrequests %llu\nanswers %llu\ndropped %llu\n"
             "unauthorized %llu\nbad_requests %llu\ntoo_large %llu\noverloads %llu\n"
             "no_request %llu\nclosed_strangers %llu\nclosed_slow %llu\nclosed_idle %llu\n"
             "closed_unanswered %llu\nstreams %llu\nevents %llu\nclients %u\nunanswered %u\n"
             "streaming %u\nheld %zu\nclosed_streams %llu\nturns %llu\n",
             (unsigned long long)s.connections, (unsigned long long)s.rejected,
             (unsigned long long)s.requests, (unsigned long long)s.answers,
             (unsigned long long)s.dropped, (unsigned long long)s.unauthorized,
             (unsigned long long)s.bad_requests, (unsigned long long)s.too_large,
             (unsigned long long)s.overloads, (unsigned long long)s.no_request,
             (unsigned long long)s.closed_strangers, (unsigned long long)s.closed_slow,
             (unsigned long long)s.closed_idle, (unsigned long long)s.closed_unanswered,
             (unsigned long long)s.streams, (unsigned long long)s.events, s.clients, s.unanswered,
             s.streaming, e->held_count, (unsigned long long)e->closed_streams,
             (unsigned long long)e->turns);
    answer_text(e, token, 200, text);
}

/* ---- streams ---- */

static void on_stream_closed(void *ctx, uint64_t stream)
{
    struct echo *e = ctx;
    for (size_t i = 0; i < e->stream_count; i++) {
        if (e->streams[i] == stream) {
            e->streams[i] = e->streams[--e->stream_count];
            e->closed_streams++;
            return;
        }
    }
    ts_unreachable();
}

static void open_stream(struct echo *e, uint64_t token)
{
    if (e->stream_count == STREAMS_MAX) {
        answer_text(e, token, 503, "too many\n");
    } else if (http_server_stream(e->server, token)) {
        e->streams[e->stream_count++] = token;
    }
}

static void emit(struct echo *e, uint64_t token, uint64_t n, uint64_t bytes)
{
    char *data = malloc(bytes + 32);
    char id[24];
    ts_assert(data != NULL);
    memset(data, 'y', bytes + 32);
    for (uint64_t i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "%llu", (unsigned long long)++e->emitted);
        int len = snprintf(data, 32, "first\nsecond %s", id);
        if (bytes > 0) {
            data[len] = 'y';
        }
        struct http_event event = {.name = "change", .id = id};
        event.data = (struct ts_bytes){(uint8_t *)data, (size_t)len + bytes};
        for (size_t k = e->stream_count; k > 0; k--) {
            enum ts_err err = http_server_event(e->server, e->streams[k - 1], &event);
            ts_assert(err == TS_OK || err == TS_ERR_LIMIT);
        }
    }
    free(data);
    answer_text(e, token, 200, "emitted\n");
}

static void end_streams(struct echo *e, uint64_t token)
{
    while (e->stream_count > 0) {
        http_server_stream_end(e->server, e->streams[--e->stream_count]);
    }
    answer_text(e, token, 200, "ended\n");
}

/* ---- requests ---- */

static void on_request(void *ctx, uint64_t token, const struct http_request *r)
{
    struct echo *e = ctx;
    if (e->relay != NULL && r->path.len >= 6 && memcmp(r->path.data, "/relay", 6) == 0) {
        if (!http_relay_ask(e->relay, token, r)) {
            answer_text(e, token, 503, "it is not carried on");
        }
    } else if (path_is(r, "/hold") && e->held_count < HELD_MAX) {
        e->held[e->held_count++] = token;
    } else if (path_is(r, "/release")) {
        release(e, token);
    } else if (path_is(r, "/after")) {
        answer_later(e, token, param(r, "ms", 0));
    } else if (path_is(r, "/size")) {
        answer_size(e, token, param(r, "bytes", 0));
    } else if (path_is(r, "/status")) {
        answer_status(e, token, (unsigned)param(r, "code", 200), false);
    } else if (path_is(r, "/bad-header")) {
        answer_status(e, token, 200, true);
    } else if (path_is(r, "/error")) {
        http_server_error(e->server, token, 404, 600, "policy", "there is no \"such\" object");
    } else if (path_is(r, "/stream")) {
        open_stream(e, token);
    } else if (path_is(r, "/emit")) {
        emit(e, token, param(r, "n", 1), param(r, "bytes", 0));
    } else if (path_is(r, "/end")) {
        end_streams(e, token);
    } else if (path_is(r, "/fail")) {
        http_server_fail_unanswered(e->server);
    } else if (path_is(r, "/stats")) {
        tell_stats(e, token);
    } else {
        echo_request(e, token, r);
    }
}

/* ---- the program ---- */

static void on_check(uv_check_t *check)
{
    struct echo *e = check->data;
    e->turns++;
    http_server_turn(e->server);
}

static void on_prepare(uv_prepare_t *prepare)
{
    (void)prepare;
}

static void load_users(struct echo *e)
{
    static struct net_users users;
    struct ts_why why = {.text = ""};
    if (e->users == NULL) {
        return;
    }
    if (net_users_load(e->users, &users, &why) != TS_OK) {
        fprintf(stderr, "http_echo: %s\n", why.text);
        exit(1);
    }
    http_server_set_users(e->server, &users);
}

static void on_sighup(uv_signal_t *signal_handle, int number)
{
    struct echo *e = signal_handle->data;
    struct ts_why why = {.text = ""};
    (void)number;
    load_users(e);
    enum ts_err err = http_server_reload(e->server, &why);
    printf("reloaded %s\n", err == TS_OK ? "ok" : why.text);
    fflush(stdout);
}

static void on_closed(void *ctx)
{
    struct echo *e = ctx;
    e->server = NULL;
}

static void on_sigterm(uv_signal_t *signal_handle, int number)
{
    struct echo *e = signal_handle->data;
    (void)number;
    e->ended = true;
    uv_check_stop(&e->check);
    if (e->relay != NULL) {
        http_relay_close(e->relay);
    }
    http_server_destroy(e->server, on_closed, e);
    uv_close((uv_handle_t *)&e->check, NULL);
    uv_close((uv_handle_t *)&e->prepare, NULL);
    uv_close((uv_handle_t *)&e->sigterm, NULL);
    uv_close((uv_handle_t *)&e->sighup, NULL);
}

struct options {
    const char *address;
    const char *ahead;
    char *relay;
    uint16_t port;
    struct http_server_config config;
};

static void take_number(uint32_t *field, const char *text)
{
    *field = (uint32_t)strtoul(text, NULL, 10);
}

static void read_options(struct echo *e, struct options *o, int argc, char **argv)
{
    struct http_server_config *c = &o->config;
    const struct {
        const char *name;
        uint32_t *field;
    } numbers[] = {
        {"--clients", &c->clients_max},
        {"--requests", &c->requests_max},
        {"--body", &c->body_max},
        {"--bodies", &c->bodies_max},
        {"--stranger-ms", &c->stranger_ms},
        {"--request-ms", &c->request_ms},
        {"--answer-ms", &c->answer_ms},
        {"--idle-ms", &c->idle_ms},
        {"--output", &c->stream_output_max},
        {"--keepalive-ms", &c->stream_keepalive_ms},
    };
    o->address = argv[1];
    c->plain = true;
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        bool taken = false;
        for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++) {
            if (strcmp(argv[i], numbers[k].name) == 0) {
                take_number(numbers[k].field, value);
                taken = true;
            }
        }
        if (strcmp(argv[i], "--http2") == 0) {
            c->http2 = true;
            continue;
        }
        if (strcmp(argv[i], "--tls") == 0) {
            c->tls_dir = value;
            c->plain = false;
            c->cluster = "demo";
        } else if (strcmp(argv[i], "--users") == 0) {
            e->users = value;
        } else if (strcmp(argv[i], "--relay") == 0) {
            o->relay = argv[i + 1];
        } else if (strcmp(argv[i], "--ahead") == 0) {
            o->ahead = value;
        } else if (strcmp(argv[i], "--port") == 0) {
            o->port = (uint16_t)strtoul(value, NULL, 10);
        } else if (!taken) {
            fprintf(stderr, "http_echo: %s is no option\n", argv[i]);
            exit(2);
        }
        i++;
    }
}

static void listen_on(struct echo *e, const char *address, uint16_t port)
{
    struct ts_why why = {.text = ""};
    if (http_server_listen(e->server, address, port, &why) != TS_OK) {
        fprintf(stderr, "http_echo: %s\n", why.text);
        exit(1);
    }
}

/* Where requests are carried: "HOST:PORT@NODE". */
static void open_relay(struct echo *e, const struct options *o)
{
    struct ts_why why = {.text = ""};
    const struct http_relay_config c = {
        .loop = &e->loop, .dir = o->config.tls_dir, .http = e->server, .answer_max = 100000};
    char *node = strchr(o->relay, '@');
    ts_assert(node != NULL);
    *node = '\0';
    if (http_relay_open(&e->relay, &c, &why) != TS_OK) {
        fprintf(stderr, "http_echo: %s\n", why.text);
        exit(1);
    }
    http_relay_aim(e->relay, o->relay, node + 1);
}

int main(int argc, char **argv)
{
    static struct echo e;
    struct options o = {.port = 0};
    struct ts_why why = {.text = ""};
    if (argc < 2) {
        fprintf(stderr, "usage: http_echo ADDRESS [OPTION]...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    read_options(&e, &o, argc, argv);
    ts_assert(uv_loop_init(&e.loop) == 0);
    struct http_server_ops ops = {
        .ctx = &e, .request = on_request, .stream_closed = on_stream_closed};
    if (http_server_create(&e.server, &e.loop, &ops, &o.config, &why) != TS_OK) {
        fprintf(stderr, "http_echo: %s\n", why.text);
        return 1;
    }
    load_users(&e);
    if (o.relay != NULL) {
        open_relay(&e, &o);
    }
    listen_on(&e, o.address, o.port);
    if (o.ahead != NULL) {
        listen_on(&e, o.ahead, http_server_port(e.server));
    }
    ts_assert(uv_check_init(&e.loop, &e.check) == 0 && uv_prepare_init(&e.loop, &e.prepare) == 0);
    ts_assert(uv_signal_init(&e.loop, &e.sigterm) == 0 && uv_signal_init(&e.loop, &e.sighup) == 0);
    e.check.data = e.prepare.data = e.sigterm.data = e.sighup.data = &e;
    ts_assert(uv_check_start(&e.check, on_check) == 0);
    ts_assert(uv_prepare_start(&e.prepare, on_prepare) == 0);
    ts_assert(uv_signal_start(&e.sigterm, on_sigterm, SIGTERM) == 0);
    ts_assert(uv_signal_start(&e.sighup, on_sighup, SIGHUP) == 0);
    printf("port %u\n", http_server_port(e.server));
    fflush(stdout);
    uv_run(&e.loop, UV_RUN_DEFAULT);
    ts_assert(e.server == NULL);
    return uv_loop_close(&e.loop) == 0 ? 0 : 1;
}
