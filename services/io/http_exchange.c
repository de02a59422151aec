/* A request and its answer: its life, its token, its way to the owner. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/io/http_conn.h"

/* ---- tokens ---- */

static uint64_t token_of(const struct http_server *s, uint32_t slot)
{
    return (uint64_t)s->slots[slot].generation << 32 | slot;
}

struct http_exchange *http_exchange_find(const struct http_server *s, uint64_t token)
{
    uint32_t slot = (uint32_t)token;
    bool ours = slot < s->config.requests_max && token_of(s, slot) == token;
    return ours ? s->slots[slot].exchange : NULL;
}

bool http_exchange_number(struct http_exchange *x)
{
    struct http_server *s = x->conn->server;
    uint32_t slot = s->free_slot;
    if (slot == UINT32_MAX) {
        return false;
    }
    s->free_slot = s->slots[slot].next_free;
    s->slots[slot].exchange = x;
    x->token = token_of(s, slot);
    return true;
}

static void unnumber(struct http_server *s, const struct http_exchange *x)
{
    if (x->token == 0) {
        return;
    }
    uint32_t slot = (uint32_t)x->token;
    ts_assert(s->slots[slot].exchange == x);
    s->slots[slot].exchange = NULL;
    s->slots[slot].generation++;
    s->slots[slot].generation += s->slots[slot].generation == 0 ? 1 : 0;
    s->slots[slot].next_free = s->free_slot;
    s->free_slot = slot;
}

/* ---- the queue ---- */

void http_exchange_enqueue(struct http_exchange *x)
{
    struct http_server *s = x->conn->server;
    ts_assert(x->token != 0 && x->stage == HTTP_READING);
    x->stage = HTTP_QUEUED;
    x->request.body = (struct ts_bytes){x->body, x->body_len};
    x->prev_queued = s->queue_last;
    x->next_queued = NULL;
    *(s->queue_last != NULL ? &s->queue_last->next_queued : &s->queue_first) = x;
    s->queue_last = x;
    http_wake(s);
}

static void unqueue(struct http_server *s, struct http_exchange *x)
{
    *(x->prev_queued != NULL ? &x->prev_queued->next_queued : &s->queue_first) = x->next_queued;
    *(x->next_queued != NULL ? &x->next_queued->prev_queued : &s->queue_last) = x->prev_queued;
    x->prev_queued = x->next_queued = NULL;
}

void http_exchange_hand_over(struct http_server *s)
{
    for (unsigned n = 0; n < HTTP_TURN_REQUESTS && s->queue_first != NULL; n++) {
        struct http_exchange *x = s->queue_first;
        uint64_t token = x->token;
        unqueue(s, x);
        x->stage = HTTP_ASKED;
        s->stats.requests++;
        s->stats.unanswered++;
        /* The owner may close the connection meanwhile: what it reads is kept for the call. */
        struct http_request request = x->request;
        char *text = x->text;
        uint8_t *body = x->body;
        struct http_param params[HTTP_PARAMS_MAX];
        memcpy(params, x->params, request.param_count * sizeof(params[0]));
        request.params = params;
        s->bodies -= x->body_cap;
        x->text = NULL;
        x->body = NULL;
        x->body_len = x->body_cap = 0;
        s->ops.request(s->ops.ctx, token, &request);
        free(text);
        free(body);
    }
}

/* ---- its life ---- */

struct http_exchange *http_exchange_new(struct http_conn *c)
{
    struct http_exchange *x = calloc(1, sizeof(*x));
    ts_must(x);
    x->conn = c;
    x->stage = HTTP_READING;
    x->begun_ms = x->moved_ms = http_now(c->server);
    x->prev = c->newest;
    *(c->newest != NULL ? &c->newest->next : &c->exchanges) = x;
    c->newest = x;
    c->exchange_count++;
    c->greeted = true;
    c->active_ms = x->begun_ms;
    return x;
}

void http_exchange_free(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    struct http_server *s = c->server;
    if (x->stage == HTTP_QUEUED) {
        unqueue(s, x);
    }
    s->stats.unanswered -= x->stage == HTTP_ASKED ? 1 : 0;
    unnumber(s, x);
    *(x->prev != NULL ? &x->prev->next : &c->exchanges) = x->next;
    *(x->next != NULL ? &x->next->prev : &c->newest) = x->prev;
    c->exchange_count--;
    c->active_ms = http_now(s);
    if (c->exchanges != NULL && c->version == &http_v1) {
        c->exchanges->moved_ms = c->active_ms; /* it is its turn now */
    }
    c->version->forget(x);
    s->bodies -= x->body_cap;
    http_answer_free(x);
    if (x->stage == HTTP_STREAM) {
        http_stream_closed(x); /* tells the owner, when nothing of it is known here any more */
    }
    free(x->body);
    free(x->text);
    free(x);
    http_conn_resume(c);
}
