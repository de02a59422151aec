#include "services/io/resp_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "net/loop.h"
#include "services/kv/kv.h"
#include "services/kv/payload.h"

void resp_arena_grow(struct svc_out *arena, size_t n)
{
    size_t cap = arena->cap < RESP_INPUT_FIRST ? RESP_INPUT_FIRST : arena->cap;
    while (cap - arena->len < n) {
        cap *= 2;
    }
    arena->data = realloc(arena->data, cap);
    ts_must(arena->data);
    arena->cap = cap;
}

/* ---- a connection's order ---- */

static void put_out(struct resp_conn *c, const void *data, size_t n)
{
    if (c->out.cap == 0) {
        c->out = resp_pool_take(c->server);
    }
    ts_assert(svc_out_put(&c->out, data, n) == TS_OK);
}

struct svc_out *resp_answer_local_begin(struct resp_conn *c)
{
    bool behind = c->answered < c->ordered;
    struct svc_out *out = behind ? &c->deferred_bytes : &c->out;
    if (out->cap == 0) {
        *out = resp_pool_take(c->server);
    }
    return out;
}

/* Notes the last `n` deferred bytes as due behind all that is ordered so far. */
static void defer(struct resp_conn *c, size_t n)
{
    size_t end = c->deferred_first + c->deferred_len;
    if (c->deferred_len > 0 && c->deferred[end - 1].after == c->ordered) {
        c->deferred[end - 1].len += n;
        return;
    }
    if (end == c->deferred_cap && c->deferred_first > c->deferred_cap / 2) {
        memmove(c->deferred, c->deferred + c->deferred_first,
                c->deferred_len * sizeof(*c->deferred));
        end -= c->deferred_first;
        c->deferred_first = 0;
    } else if (end == c->deferred_cap) {
        size_t cap = c->deferred_cap == 0 ? 16 : c->deferred_cap * 2;
        c->deferred = realloc(c->deferred, cap * sizeof(*c->deferred));
        ts_must(c->deferred);
        c->deferred_cap = cap;
    }
    c->deferred[end] = (struct resp_deferred){c->ordered, n};
    c->deferred_len++;
}

void resp_answer_local_end(struct resp_conn *c, size_t len_before)
{
    if (c->answered < c->ordered) {
        defer(c, c->deferred_bytes.len - len_before);
    }
    resp_conn_output_changed(c);
}

void resp_answer_error(struct resp_conn *c, const char *text)
{
    struct svc_out *out = resp_answer_local_begin(c);
    size_t before = out->len;
    struct resp_writer w = resp_writer_init(out, c->version, SIZE_MAX / 4);
    char marked[RESP_ERROR_MAX];
    resp_put_error(&w, c->session.counts ? resp_session_refused(c, text, marked) : text);
    (void)!resp_writer_finish(&w);
    resp_answer_local_end(c, before);
}

/* Moves deferred replies whose turn has come behind the present output. */
static void release_deferred(struct resp_conn *c)
{
    while (c->deferred_len > 0 && c->deferred[c->deferred_first].after <= c->answered) {
        size_t n = c->deferred[c->deferred_first].len;
        put_out(c, c->deferred_bytes.data + c->deferred_at, n);
        c->deferred_at += n;
        c->deferred_first++;
        c->deferred_len--;
    }
    if (c->deferred_len == 0 && c->deferred_first > 0) {
        c->deferred_first = 0;
        c->deferred_at = 0;
        resp_pool_give(c->server, &c->deferred_bytes);
    } else if (c->deferred_at > RESP_INPUT_FIRST && c->deferred_at > c->deferred_bytes.len / 2) {
        c->deferred_bytes.len -= c->deferred_at;
        memmove(c->deferred_bytes.data, c->deferred_bytes.data + c->deferred_at,
                c->deferred_bytes.len);
        c->deferred_at = 0;
    }
}

/* After an answer: the connection may take more, or is done. */
static void answered(struct resp_conn *c)
{
    resp_conn_output_changed(c);
    if (!c->closing && c->paused) {
        resp_list_add(c, RESP_LINK_RESUME);
    }
}

static void answer_ordered(struct resp_conn *c, struct resp_owner o, struct ts_bytes reply)
{
    ts_assert(c->answered < c->ordered && c->owed_bound >= o.owed_bound);
    c->owed_bound -= o.owed_bound;
    if (o.kind >= RESP_OWNER_REQUEST) {
        if (c->out.cap == 0) {
            c->out = resp_pool_take(c->server);
        }
        resp_session_answer(c, o.kind, reply, &c->out);
    } else if (o.kind == RESP_OWNER_EXEC) {
        resp_late_answer(c, reply);
        if (c->closing) {
            return;
        }
    } else {
        reply = o.kind == RESP_OWNER_WATCH ? resp_multi_watched(c, reply) : reply;
        put_out(c, reply.data, reply.len);
    }
    c->answered++;
    release_deferred(c);
    answered(c);
}

void resp_server_reply(struct resp_server *s, uint64_t token, struct ts_bytes reply)
{
    if (token < s->answered_to) {
        return; /* given up by close_unanswered */
    }
    ts_assert(token == s->answered_to && token < s->submitted_to);
    struct resp_owner o = s->owners[token & (s->config.unanswered_max - 1)];
    s->answered_to++;
    s->owed -= o.owed;
    struct resp_conn *c = resp_conn_find(s, o);
    if (c != NULL) {
        answer_ordered(c, o, reply);
    }
    resp_server_wake(s);
}

/* ---- read rounds ---- */

static struct resp_round *round_at(struct resp_server *s, uint64_t round)
{
    return &s->rounds[round % (s->config.rounds_max + 1)];
}

struct resp_round *resp_round_open(struct resp_server *s)
{
    ts_assert(s->round_sent - s->round_answered <= s->config.rounds_max);
    return round_at(s, s->round_sent + 1);
}

struct resp_read_item *resp_round_add(struct resp_round *round)
{
    if (round->len == round->cap) {
        size_t cap = round->cap == 0 ? 64 : round->cap * 2;
        round->items = realloc(round->items, cap * sizeof(*round->items));
        ts_must(round->items);
        round->cap = cap;
    }
    return &round->items[round->len++];
}

/* Answers a read from the state. One that looks at many keys may be short, and take long: it uses
 * the turn up like bytes do. */
static void render(struct resp_conn *c, struct ts_bytes payload)
{
    struct resp_server *s = c->server;
    const struct kv_command *command = kv_command_by_id(kv_payload_command(payload));
    bool fast = command == NULL || (command->flags & KV_CMD_FAST) != 0;
    uint32_t before_us = fast ? 0 : resp_now_us(net_now());
    kv_service.read(s->state, payload, &c->out);
    size_t took = fast ? 0 : (size_t)(resp_now_us(net_now()) - before_us) * RESP_TURN_RENDER_US;
    s->render_left -= took < s->render_left ? took : s->render_left;
    s->stats.reads++;
}

/* Answers one read: from the state, or with `error` when that is given. */
static void answer_read(struct resp_conn *c, struct ts_bytes payload, const char *error)
{
    struct resp_server *s = c->server;
    if (c->out.cap == 0) {
        c->out = resp_pool_take(s);
    }
    size_t before = c->out.len;
    if (error == NULL) {
        render(c, payload);
    } else {
        struct resp_writer w = resp_writer_init(&c->out, c->version, SIZE_MAX / 4);
        resp_put_error(&w, error);
        (void)!resp_writer_finish(&w);
        s->stats.refused++;
    }
    size_t n = c->out.len - before;
    s->render_left -= n < s->render_left ? n : s->render_left;
    c->reads--;
    c->read_bytes -= payload.len;
    answered(c);
}

/* Keeps a confirmed read until its client takes what was rendered before. The state that answers
 * it then is a newer one: all that was committed when it was confirmed is in it (R2.9). */
static void hold_read(struct resp_conn *c, struct ts_bytes payload)
{
    struct svc_out *bytes = &c->held_bytes;
    if (bytes->cap == 0) {
        *bytes = resp_pool_take(c->server);
    }
    size_t end = c->held_first + c->held_len;
    if (end == c->held_cap && c->held_first > c->held_cap / 2) {
        memmove(c->held, c->held + c->held_first, c->held_len * sizeof(*c->held));
        end -= c->held_first;
        c->held_first = 0;
    } else if (end == c->held_cap) {
        c->held_cap = c->held_cap == 0 ? 16 : c->held_cap * 2;
        c->held = realloc(c->held, c->held_cap * sizeof(*c->held));
        ts_must(c->held);
    }
    if (bytes->cap - bytes->len < payload.len) {
        resp_arena_grow(bytes, payload.len);
    }
    memcpy(bytes->data + bytes->len, payload.data, payload.len);
    c->held[end] = (struct resp_span){bytes->len, payload.len};
    bytes->len += payload.len;
    c->held_len++;
    resp_conn_output_changed(c); /* listed when it is the turn's bound that it waits for */
}

/* Answers the oldest held read. */
static void answer_oldest_held(struct resp_conn *c, const char *error)
{
    struct resp_span span = c->held[c->held_first++];
    c->held_len--;
    answer_read(c, (struct ts_bytes){c->held_bytes.data + span.at, span.len}, error);
    if (c->held_len == 0 && !c->closing) {
        c->held_first = 0;
        resp_pool_give(c->server, &c->held_bytes);
    }
}

void resp_answer_held(struct resp_server *s)
{
    char text[FRONT_ADDR_MAX + FRONT_REASON_MAX + 64];
    const char *error = NULL;
    if (s->status.role != FRONT_ROLE_PRIMARY) {
        resp_answer_refusal(s, text, sizeof(text)); /* as all reads that wait for a round */
        error = text;
    }
    struct resp_list *held = &s->lists[RESP_LINK_HELD];
    while (held->first != NULL && s->render_left > 0) {
        /* One of each in turn: answering it lists its connection again, behind the others. */
        struct resp_conn *c = held->first;
        resp_list_remove(c, RESP_LINK_HELD);
        answer_oldest_held(c, error);
    }
}

/* Answers every read of a round, or holds it; with `error`, when that is given. */
static void answer_round(struct resp_server *s, struct resp_round *round, const char *error)
{
    for (size_t i = 0; i < round->len; i++) {
        const struct resp_read_item *item = &round->items[i];
        struct resp_conn *c = resp_conn_find(s, item->owner);
        if (c == NULL) {
            continue;
        }
        struct ts_bytes payload = {round->bytes.data + item->payload.at, item->payload.len};
        bool room = s->render_left > 0 && c->bytes_total <= s->config.client_output_soft;
        if (c->held_len > 0 || (error == NULL && !room)) {
            hold_read(c, payload);
        } else {
            answer_read(c, payload, error);
        }
    }
    round->len = 0;
    round->bytes.len = 0;
}

void resp_server_read_ready(struct resp_server *s, uint64_t round)
{
    ts_assert(round <= s->round_sent);
    while (s->round_answered < round) {
        answer_round(s, round_at(s, s->round_answered + 1), NULL);
        s->round_answered++;
    }
    resp_server_wake(s);
}

/* ---- refusals ---- */

void resp_answer_refusal(const struct resp_server *s, char *text, size_t cap)
{
    const struct front_status *st = &s->status;
    if (st->role == FRONT_ROLE_SECONDARY && st->primary[0] != '\0') {
        snprintf(text, cap, "READONLY primary is %s", st->primary);
    } else if (st->role == FRONT_ROLE_PRIMARY && st->full[0] != '\0') {
        snprintf(text, cap, "OOM %s", st->full);
    } else if (st->reason[0] != '\0') {
        snprintf(text, cap, "CLUSTERDOWN %s; try again", st->reason);
    } else if (st->role == FRONT_ROLE_PRIMARY) {
        snprintf(text, cap, "CLUSTERDOWN the primary takes no requests now; try again");
    } else {
        snprintf(text, cap, "CLUSTERDOWN no primary is known; try again, or ask another node");
    }
}

void resp_answer_refuse_rounds(struct resp_server *s)
{
    char text[FRONT_ADDR_MAX + FRONT_REASON_MAX + 64];
    resp_answer_refusal(s, text, sizeof(text));
    while (s->round_answered < s->round_sent) {
        answer_round(s, round_at(s, s->round_answered + 1), text);
        s->round_answered++;
    }
    answer_round(s, resp_round_open(s), text);
}

/* One whose requests may or may not be executed. A visitor would knock at once, while the address
 * is still here, or nowhere. */
static void close_unanswered(struct resp_conn *c)
{
    c->server->stats.closed_unanswered++;
    (c->visitor ? resp_conn_mute : resp_conn_close)(c);
}

void resp_answer_refuse_pending(struct resp_server *s, enum ts_err err)
{
    char text[FRONT_ADDR_MAX + FRONT_REASON_MAX + 64];
    char marked[RESP_ERROR_MAX];
    char line[RESP_ERROR_MAX + 4];
    if (err == TS_ERR_NOSPACE && s->status.role == FRONT_ROLE_PRIMARY &&
        s->status.full[0] == '\0') {
        (void)snprintf(text, sizeof(text), "OOM there is no room on the disk now; remove keys");
    } else {
        resp_answer_refusal(s, text, sizeof(text));
    }
    uint64_t mask = s->config.unanswered_max - 1;
    for (uint64_t token = s->submitted_to; token < s->next_token; token++) {
        struct resp_owner o = s->owners[token & mask];
        struct resp_conn *c = resp_conn_find(s, o);
        s->owed -= o.owed;
        if (c == NULL) {
            continue;
        }
        /* Which of the connection's commands this one is tells whether older ones are in the
         * log: their replies would have to come first, so it is closed instead. */
        if (c->answered + c->pending < c->ordered) {
            close_unanswered(c);
            continue;
        }
        c->pending--;
        s->stats.refused++;
        resp_session_unordered(c, o.kind);
        bool counts = o.kind == RESP_OWNER_REQUEST;
        int n = snprintf(line, sizeof(line), "-%s\r\n",
                         counts ? resp_session_refused(c, text, marked) : text);
        ts_assert(n > 0 && (size_t)n < sizeof(line));
        o.kind = o.kind <= RESP_OWNER_EXEC ? o.kind : RESP_OWNER_PLAIN;
        answer_ordered(c, o, (struct ts_bytes){(const uint8_t *)line, (size_t)n});
    }
    s->pending_first = 0;
    s->pending_len = 0;
    s->pending_bytes.len = 0;
    s->next_token = s->submitted_to;
}

void resp_answer_refuse_all(struct resp_server *s)
{
    resp_answer_refuse_pending(s, TS_ERR_REFUSED);
    resp_answer_refuse_rounds(s);
}

void resp_server_close_unanswered(struct resp_server *s)
{
    uint64_t mask = s->config.unanswered_max - 1;
    for (; s->answered_to < s->submitted_to; s->answered_to++) {
        struct resp_owner o = s->owners[s->answered_to & mask];
        struct resp_conn *c = resp_conn_find(s, o);
        s->owed -= o.owed;
        if (c != NULL) {
            close_unanswered(c);
        }
    }
    resp_server_wake(s);
}
