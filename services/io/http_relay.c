#include "services/io/http_relay.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/memory.h"
#include "net/link.h"
#include "net/tls.h"
#include "services/io/front.h"
#include "services/io/http_relay_answer.h"
#include "services/io/http_relay_text.h"

#define READ_BYTES (64U * 1024U)
#define RETRY_AFTER "1"
/* From the dialling to the end of the handshake. */
#define CONNECT_MS 3000U
/* Less than that after which the primary closes an idle one. */
#define IDLE_MS 20000U
#define SWEEP_MS 500U
/* Who acknowledges no byte for so long has died with its NIC. */
#define SILENT_MS 5000U

/* A request. */
struct asked {
    struct asked *next; /* of those that wait */
    uint64_t token;
    bool changes;  /* it is no read */
    uint8_t *text; /* owned */
    size_t len;
};

/* A connection. */
struct link {
    struct http_relay *relay;
    unsigned place;
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct net_tls_client *tls;
    struct asked *asked; /* owned; NULL: it is idle */
    uint64_t since_ms;   /* of its dialling, or of its last answer */
    bool up;
    bool sent; /* the primary may have the request */
    bool closing;
    struct http_relay_answer answer;
};

struct write {
    uv_write_t uv; /* first */
    struct link *link;
    uint8_t data[];
};

struct http_relay {
    struct http_relay_config config;
    char dir[TS_PATH_MAX];
    struct net_tls_trust *trust;
    char host[FRONT_ADDR_MAX]; /* of the primary; "": nobody is asked */
    char node[32];
    struct sockaddr_storage to;
    struct link *link[HTTP_RELAY_LINKS_MAX]; /* owned */
    struct asked *first;                     /* those that wait for a connection */
    struct asked *last;
    unsigned count; /* of requests, with those that connections have … */
    size_t bytes;   /* … and their bytes */
    uv_timer_t timer;
    unsigned handles; /* not closed yet */
    char read[READ_BYTES];
    uint8_t plain[READ_BYTES];
};

/* ---- answers ---- */

static void forget(struct http_relay *r, struct asked *a)
{
    r->count--;
    r->bytes -= a->len;
    free(a->text);
    free(a);
}

static void refuse(struct http_relay *r, struct asked *a, const char *why)
{
    static const struct http_answer_header RETRY = {"Retry-After", RETRY_AFTER};
    char body[HTTP_ERROR_MAX];
    char text[HTTP_ERROR_MAX / 2];
    (void)snprintf(text, sizeof(text), "nothing was done: the primary at %s is not reached: %s",
                   r->host, why);
    size_t len = http_error_body(body, 503, 98, "policy", text);
    const struct http_answer answer = {.status = 503,
                                       .headers = &RETRY,
                                       .header_count = 1,
                                       .content_type = "application/json",
                                       .body = {(const uint8_t *)body, len}};
    http_server_answer(r->config.http, a->token, &answer);
    forget(r, a);
}

/* The request that a connection has is not answered any more. */
static void fail(struct link *l, const char *why)
{
    struct asked *a = l->asked;
    l->asked = NULL;
    if (a != NULL && l->sent && a->changes) {
        http_server_give_up(l->relay->config.http, a->token);
        forget(l->relay, a);
    } else if (a != NULL) {
        refuse(l->relay, a, why);
    }
}

static void deliver(struct link *l)
{
    static const struct http_answer_header RETRY = {"Retry-After", RETRY_AFTER};
    struct asked *a = l->asked;
    const struct http_answer answer = {
        .status = l->answer.status,
        .headers = &RETRY,
        .header_count = l->answer.status == 503 ? 1 : 0,
        .content_type = l->answer.type[0] == '\0' ? NULL : l->answer.type,
        .body = {l->answer.body.data, l->answer.body.len},
    };
    l->asked = NULL;
    http_server_answer(l->relay->config.http, a->token, &answer);
    forget(l->relay, a);
}

/* ---- a connection ---- */

static void give_next(struct http_relay *r);

static void free_if_done(struct http_relay *r)
{
    if (r->handles == 0) {
        net_tls_trust_close(r->trust);
        free(r);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct link *l = handle->data;
    struct http_relay *r = l->relay;
    r->link[l->place] = NULL;
    net_tls_client_close(l->tls);
    http_relay_answer_free(&l->answer);
    free(l);
    give_next(r);
    r->handles--;
    free_if_done(r);
}

static void end(struct link *l, const char *why)
{
    if (!l->closing) {
        l->closing = true;
        uv_close((uv_handle_t *)&l->tcp, on_closed);
        fail(l, why);
    }
}

static void on_written(uv_write_t *req, int status)
{
    struct write *w = (struct write *)req;
    struct link *l = w->link;
    free(w);
    if (status != 0) {
        end(l, "the connection is broken");
    }
}

/* Gives the loop what TLS has to say. */
static void flush(struct link *l)
{
    struct ts_bytes wire = net_tls_client_waiting(l->tls);
    if (l->closing || wire.len == 0) {
        return;
    }
    struct write *w = malloc(sizeof(*w) + wire.len);
    ts_must(w);
    w->link = l;
    memcpy(w->data, wire.data, wire.len);
    net_tls_client_sent(l->tls);
    uv_buf_t buf = uv_buf_init((char *)w->data, (unsigned)wire.len);
    if (uv_write(&w->uv, (uv_stream_t *)&l->tcp, &buf, 1, on_written) != 0) {
        free(w);
        end(l, "the connection is broken");
    }
}

static void send_request(struct link *l)
{
    struct asked *a = l->asked;
    http_relay_answer_begin(&l->answer, l->relay->config.answer_max);
    l->sent = true;
    if (net_tls_client_write(l->tls, (struct ts_bytes){a->text, a->len}) != TS_OK) {
        end(l, "the connection is broken");
        return;
    }
    flush(l);
}

static void take_answer(struct link *l, const uint8_t *data, size_t n)
{
    if (l->asked == NULL) {
        end(l, "it says what nobody asked");
        return;
    }
    const char *why = NULL;
    if (http_relay_answer_take(&l->answer, (struct ts_bytes){data, n}, &why) != TS_OK) {
        end(l, why);
        return;
    }
    if (!l->answer.whole) {
        return;
    }
    deliver(l);
    l->sent = false;
    l->since_ms = uv_now(l->relay->config.loop);
    if (!l->answer.stays) {
        end(l, "");
    }
}

/* The handshake is done: whether the other side is the primary. */
static bool check_primary(struct link *l)
{
    struct net_tls_identity peer;
    l->up = net_tls_client_peer(l->tls, &peer) == TS_OK && strcmp(peer.node, l->relay->node) == 0;
    return l->up;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct link *l = handle->data;
    (void)suggested;
    *buf = uv_buf_init(l->relay->read, sizeof(l->relay->read));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct link *l = stream->data;
    struct http_relay *r = l->relay;
    size_t got = 0;
    if (n < 0) {
        end(l, "it has closed the connection");
        return;
    }
    enum ts_err err =
        net_tls_client_take(l->tls, (struct ts_bytes){(const uint8_t *)buf->base, (size_t)n});
    flush(l);
    if (err != TS_OK) {
        end(l, "its certificate is refused, or this is no TLS 1.3");
        return;
    }
    if (!l->up && net_tls_client_is_ready(l->tls)) {
        if (!check_primary(l)) {
            end(l, "its certificate is of another node");
            return;
        }
        send_request(l);
    }
    while (!l->closing && (got = net_tls_client_read(l->tls, r->plain, sizeof(r->plain))) > 0) {
        take_answer(l, r->plain, got);
    }
    give_next(r);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct link *l = req->data;
    if (l->closing) {
        return;
    }
    if (status != 0 || uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read) != 0) {
        end(l, "there is no connection");
        return;
    }
    (void)uv_tcp_nodelay(&l->tcp, 1);
    uv_os_fd_t fd = -1;
    unsigned silent = SILENT_MS;
    if (uv_fileno((const uv_handle_t *)&l->tcp, &fd) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent, sizeof(silent));
    }
    flush(l);
}

static void dial(struct http_relay *r, unsigned place, struct asked *a)
{
    struct link *l = calloc(1, sizeof(*l));
    ts_must(l);
    *l =
        (struct link){.relay = r, .place = place, .asked = a, .tls = net_tls_client_open(r->trust)};
    ts_must(l->tls);
    l->since_ms = uv_now(r->config.loop);
    (void)uv_tcp_init(r->config.loop, &l->tcp);
    r->handles++;
    l->tcp.data = l;
    l->connect.data = l;
    r->link[place] = l;
    if (uv_tcp_connect(&l->connect, &l->tcp, (const struct sockaddr *)&r->to, on_connected) != 0) {
        end(l, "there is no connection");
    }
}

/* Gives what waits to connections that are idle, or new. */
static void give_next(struct http_relay *r)
{
    unsigned place = 0;
    while (r->first != NULL && r->host[0] != '\0' && place < HTTP_RELAY_LINKS_MAX) {
        struct link *l = r->link[place];
        struct asked *a = r->first;
        bool idle = l != NULL && l->up && !l->closing && l->asked == NULL;
        if (l == NULL || idle) {
            r->first = a->next;
            r->last = r->first == NULL ? NULL : r->last;
            a->next = NULL;
        }
        if (l == NULL) {
            dial(r, place, a);
        } else if (idle) {
            l->asked = a;
            send_request(l);
        }
        place++;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct http_relay *r = timer->data;
    uint64_t now = uv_now(r->config.loop);
    for (unsigned i = 0; i < HTTP_RELAY_LINKS_MAX; i++) {
        struct link *l = r->link[i];
        if (l != NULL && !l->up && now - l->since_ms > CONNECT_MS) {
            end(l, "it does not answer");
        } else if (l != NULL && l->up && l->asked == NULL && now - l->since_ms > IDLE_MS) {
            end(l, "");
        }
    }
}

/* ---- the owner ---- */

enum ts_err http_relay_load(struct net_tls_trust **out, const char *dir, struct ts_why *why)
{
    char file[3][TS_PATH_MAX];
    static const char *const NAMES[] = {"ca.pem", "node.pem", "node.key"};
    struct net_tls_trust *trust = NULL;
    struct net_tls_identity self;
    for (size_t i = 0; i < 3; i++) {
        enum ts_err err = ts_path(file[i], why, dir, "%s", NAMES[i]);
        if (err != TS_OK) {
            return err;
        }
    }
    enum ts_err err = net_tls_trust_open(&trust, file[0], why);
    if (err != TS_OK) {
        return err;
    }
    err = net_tls_trust_show(trust, file[1], file[2], &self, why);
    if (err != TS_OK) {
        net_tls_trust_close(trust);
        return err;
    }
    net_tls_trust_want_node(trust);
    *out = trust;
    return TS_OK;
}

enum ts_err http_relay_open(struct http_relay **out, const struct http_relay_config *config,
                            struct ts_why *why)
{
    struct http_relay *r = calloc(1, sizeof(*r));
    ts_must(r);
    r->config = *config;
    (void)snprintf(r->dir, sizeof(r->dir), "%s", config->dir);
    enum ts_err err = http_relay_load(&r->trust, r->dir, why); /* tells when the path is cut */
    if (err != TS_OK) {
        free(r);
        return err;
    }
    (void)uv_timer_init(config->loop, &r->timer);
    r->timer.data = r;
    r->handles = 1;
    (void)uv_timer_start(&r->timer, on_timer, SWEEP_MS, SWEEP_MS);
    uv_unref((uv_handle_t *)&r->timer);
    *out = r;
    return TS_OK;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct http_relay *r = handle->data;
    r->handles--;
    free_if_done(r);
}

void http_relay_close(struct http_relay *r)
{
    http_relay_aim(r, "", "");
    uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}

const char *http_relay_dir(const struct http_relay *r)
{
    return r->dir;
}

void http_relay_use(struct http_relay *r, struct net_tls_trust *trust)
{
    net_tls_trust_close(r->trust); /* connections keep what they began with */
    r->trust = trust;
}

/* "HOST:PORT", also of an IPv6 address without brackets. */
static bool read_address(const char *text, struct sockaddr_storage *out)
{
    char host[FRONT_ADDR_MAX];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || strlen(text) >= sizeof(host)) {
        return false;
    }
    unsigned long port = strtoul(colon + 1, NULL, 10);
    (void)snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
    return port > 0 && port <= UINT16_MAX && net_address(host, (uint16_t)port, out) == TS_OK;
}

void http_relay_aim(struct http_relay *r, const char *primary, const char *node)
{
    if (strcmp(primary, r->host) == 0 && strcmp(node, r->node) == 0) {
        return;
    }
    for (unsigned i = 0; i < HTTP_RELAY_LINKS_MAX; i++) {
        if (r->link[i] != NULL) {
            end(r->link[i], "another NIC takes over");
        }
    }
    while (r->first != NULL) {
        struct asked *a = r->first;
        r->first = a->next;
        refuse(r, a, "another NIC takes over");
    }
    r->last = NULL;
    bool known = read_address(primary, &r->to);
    (void)snprintf(r->host, sizeof(r->host), "%s", known ? primary : "");
    (void)snprintf(r->node, sizeof(r->node), "%s", known ? node : "");
}

bool http_relay_ask(struct http_relay *r, uint64_t token, const struct http_request *request)
{
    uint8_t *text = NULL;
    size_t len = 0;
    bool full = r->count >= HTTP_RELAY_ASKED_MAX ||
                (r->count > 0 && r->bytes + request->body.len > HTTP_RELAY_BYTES_MAX);
    if (r->host[0] == '\0' || full || !http_relay_text(request, r->host, &text, &len)) {
        return false;
    }
    struct asked *a = calloc(1, sizeof(*a));
    ts_must(a);
    bool reads = request->method == HTTP_METHOD_GET || request->method == HTTP_METHOD_HEAD;
    *a = (struct asked){.token = token, .changes = !reads, .text = text, .len = len};
    *(r->first == NULL ? &r->first : &r->last->next) = a;
    r->last = a;
    r->count++;
    r->bytes += len;
    give_next(r);
    return true;
}
