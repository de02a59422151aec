/* What clients of the controller want, and what they are answered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/io/netctl_front_internal.h"
#include "services/netctl/netctl.h"
#include "services/netctl/openapi.h"

#define RETRY_AFTER "1"

static void answer_json(struct netctl_front *f, uint64_t client, unsigned status,
                        struct ts_bytes body)
{
    struct http_answer a = {.status = status, .body = body};
    a.content_type = body.len > 0 ? "application/json" : NULL;
    http_server_answer(f->http, client, &a);
}

/* What the service gave: u16 the status, the body. */
void netctl_front_answer(struct netctl_front *f, uint64_t client, struct ts_bytes bytes)
{
    struct ts_reader r = ts_reader_init(bytes.data, bytes.len);
    unsigned status = ts_get_u16(&r);
    struct ts_bytes body = ts_get_bytes(&r, ts_reader_left(&r));
    ts_assert(ts_reader_finish(&r) == TS_OK);
    answer_json(f, client, status, body);
}

/* It was not done. */
void netctl_front_refuse_for(struct netctl_front *f, uint64_t client, const char *text)
{
    static const struct http_answer_header RETRY = {"Retry-After", RETRY_AFTER};
    char body[HTTP_ERROR_MAX];
    size_t len = http_error_body(body, 503, 98, "policy", text);
    struct http_answer a = {.status = 503,
                            .headers = &RETRY,
                            .header_count = 1,
                            .content_type = "application/json",
                            .body = {(const uint8_t *)body, len}};
    f->refused++;
    http_server_answer(f->http, client, &a);
}

void netctl_front_refuse(struct netctl_front *f, uint64_t client)
{
    char text[FRONT_REASON_MAX + 2 * FRONT_ADDR_MAX];
    const struct front_status *s = &f->status;
    if (s->full[0] != '\0') {
        (void)snprintf(text, sizeof(text), "nothing was changed: %s", s->full);
    } else if (s->role == FRONT_ROLE_SECONDARY && s->primary[0] != '\0') {
        (void)snprintf(text, sizeof(text), "nothing was done: the primary of group %s is at %s",
                       s->group, s->primary);
    } else {
        (void)snprintf(text, sizeof(text), "nothing was done: %s",
                       s->reason[0] != '\0' ? s->reason : "no primary is known; try again");
    }
    netctl_front_refuse_for(f, client, text);
}

/* Who listens goes to the primary itself: a stream ends with its office, wherever it comes by. */
static void refuse_stream(struct netctl_front *f, uint64_t client)
{
    char text[2 * FRONT_ADDR_MAX];
    const struct front_status *s = &f->status;
    bool known = s->role == FRONT_ROLE_SECONDARY && s->primary[0] != '\0';
    (void)snprintf(text, sizeof(text), "events are told by the primary alone, which is %s%s",
                   known ? "at " : "not known now", known ? s->primary : "");
    netctl_front_refuse_for(f, client, text);
}

static void answer_version(struct netctl_front *f, uint64_t client)
{
    char body[160];
    int len = snprintf(body, sizeof(body),
                       "{\"node_version\":\"3.2.0\",\"product_version\":\"3.2.0\","
                       "\"twinstep_version\":\"%s\"}",
                       f->version);
    answer_json(f, client, 200, (struct ts_bytes){(const uint8_t *)body, (size_t)len});
}

static void answer_methods(struct netctl_front *f, uint64_t client)
{
    static const struct http_answer_header ALLOW = {"Allow",
                                                    "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"};
    struct http_answer a = {.status = 204, .headers = &ALLOW, .header_count = 1};
    http_server_answer(f->http, client, &a);
}

void netctl_front_on_stream_closed(void *ctx, uint64_t stream)
{
    struct netctl_front *f = ctx;
    for (size_t i = 0; i < f->stream_count; i++) {
        if (f->streams[i] == stream) {
            f->streams[i] = f->streams[--f->stream_count];
            return;
        }
    }
}

static void open_stream(struct netctl_front *f, uint64_t token)
{
    if (f->stream_count == STREAMS_MAX) {
        http_server_error(f->http, token, 503, 98, "policy", "too many streams are open");
    } else if (http_server_stream(f->http, token)) {
        f->streams[f->stream_count++] = token;
    }
}

static void answer_object(struct netctl_front *f, uint64_t client, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    ts_must(text);
    answer_json(f, client, 200, (struct ts_bytes){(const uint8_t *)text, strlen(text)});
    free(text);
    json_decref(object);
}

/* What each replica knows, whatever its office. */
static void answer_of_itself(struct netctl_front *f, uint64_t client, enum northbound_kind kind)
{
    if (kind == NORTH_VERSION) {
        answer_version(f, client);
    } else if (kind == NORTH_SPEC) {
        answer_object(f, client, netctl_openapi());
    } else {
        answer_methods(f, client);
    }
}

static void answer_trace(struct netctl_front *f, uint64_t client, const struct northbound_trace *t)
{
    struct netctl_error e = {0};
    const struct netctl_packet p = {t->from, t->to, t->protocol, t->port};
    json_t *said = controller_trace(f->controller, &p, &e);
    if (said == NULL) {
        http_server_error(f->http, client, (unsigned)e.status, (unsigned)e.code, "policy",
                          e.message);
    } else {
        answer_object(f, client, said);
    }
}

static void answer_realization(struct netctl_front *f, uint64_t client, enum northbound_kind kind,
                               const char *path)
{
    const struct netctl_state *s = f->state;
    if (netctl_tree_get(&s->intent.objects, path).data == NULL) {
        char text[300];
        (void)snprintf(text, sizeof(text), "there is no object %.200s", path);
        http_server_error(f->http, client, 404, NETCTL_CODE_NOT_FOUND, "policy", text);
        return;
    }
    json_t *said = kind == NORTH_ENTITIES ? controller_entities(f->controller, path)
                   : kind == NORTH_STATUS ? controller_status(f->controller, path)
                                          : controller_segment_state(f->controller, path);
    answer_object(f, client, said);
}

/* What another NIC may pass on; a stream is not: who listens goes to the primary itself. */
static bool is_for_the_primary(enum northbound_kind kind)
{
    return kind != NORTH_ERROR && kind != NORTH_VERSION && kind != NORTH_SPEC &&
           kind != NORTH_METHODS && kind != NORTH_EVENTS;
}

void netctl_front_on_request(void *ctx, uint64_t token, const struct http_request *request)
{
    struct netctl_front *f = ctx;
    struct netctl_request r;
    struct netctl_error e;
    struct northbound_trace trace;
    struct northbound_question q = {
        .method = request->method,
        .path = request->path,
        .params = request->params,
        .param_count = request->param_count,
        .body = request->body,
        .user = request->who.name,
        .may_read = request->who.role >= NET_ROLE_READ,
        .may_change = request->who.role >= NET_ROLE_WRITE,
    };
    bool serves = f->status.role == FRONT_ROLE_PRIMARY;
    bool waits = f->status.role == FRONT_ROLE_TAKING_OVER;
    enum northbound_kind kind = northbound_read(&q, &r, &trace, &e);
    if (is_for_the_primary(kind) && f->status.role == FRONT_ROLE_SECONDARY &&
        !request->is_relayed && http_relay_ask(f->relay, token, request)) {
        return;
    }
    switch (kind) {
    case NORTH_ERROR:
        http_server_error(f->http, token, (unsigned)e.status, (unsigned)e.code, "policy",
                          e.message);
        return;
    case NORTH_VERSION:
    case NORTH_SPEC:
    case NORTH_METHODS:
        answer_of_itself(f, token, kind);
        return;
    case NORTH_READ:
    case NORTH_ENTITIES:
    case NORTH_STATUS:
    case NORTH_STATE:
        if (serves || waits) {
            netctl_front_collect(f, &f->reads, token, kind, &r);
        } else {
            netctl_front_refuse(f, token);
        }
        return;
    case NORTH_TRACE:
        if (serves || waits) {
            netctl_front_collect_trace(f, token, &trace);
        } else {
            netctl_front_refuse(f, token);
        }
        return;
    case NORTH_ORDER:
        if (serves ? f->status.full[0] == '\0' || northbound_removes(&r) : waits) {
            netctl_front_collect(f, &f->orders, token, kind, &r);
        } else {
            netctl_front_refuse(f, token);
        }
        return;
    case NORTH_EVENTS:
        if (serves) {
            open_stream(f, token);
        } else {
            refuse_stream(f, token);
        }
        return;
    }
    ts_unreachable();
}

void netctl_front_answer_read(struct netctl_front *f, const struct waiting *w)
{
    struct northbound_trace trace;
    struct netctl_request r;
    if (w->kind == NORTH_TRACE) {
        memcpy(&trace, w->bytes, sizeof(trace));
        answer_trace(f, w->client, &trace);
    } else if (w->kind != NORTH_READ) {
        enum ts_err err = netctl_request_decode(&r, (struct ts_bytes){w->bytes, w->len});
        ts_assert(err == TS_OK); /* encode() wrote it */
        answer_realization(f, w->client, w->kind, r.path);
    } else {
        f->out.len = 0;
        netctl_service.read(f->state, (struct ts_bytes){w->bytes, w->len}, &f->out);
        netctl_front_answer(f, w->client, (struct ts_bytes){f->out.data, f->out.len});
    }
}
