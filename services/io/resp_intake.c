#include "services/io/resp_conn.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "services/kv/payload.h"

static size_t pending_bytes(const struct resp_server *s)
{
    size_t gone = s->pending_len > 0 ? s->pending[s->pending_first].at : s->pending_bytes.len;
    return s->pending_bytes.len - gone;
}

bool resp_intake_has_room(const struct resp_server *s)
{
    return s->next_token - s->answered_to < s->config.unanswered_max &&
           pending_bytes(s) < s->config.pending_bytes_max && s->owed <= RESP_OWED_MAX;
}

/* Bounds of the connection itself. */
static bool conn_has_room(const struct resp_conn *c)
{
    const struct resp_server_config *config = &c->server->config;
    return c->ordered - c->answered < config->client_unanswered_max &&
           c->bytes_total <= config->client_output_soft &&
           c->read_bytes <= config->client_output_soft && c->reads < RESP_READS_MAX;
}

/* Whether the answer of one more ordered command leaves the connection within its hard bound,
 * whatever is stored until then: the log does not wait for a client to read. */
static bool answer_has_room(const struct resp_conn *c, size_t bound)
{
    size_t hard = c->server->config.client_output_hard;
    return bound == 0 || c->ordered == c->answered ||
           c->bytes_total + c->owed_bound + bound <= hard;
}

struct resp_span resp_intake_place(struct svc_out *arena, size_t n)
{
    struct resp_span span = {arena->len, n};
    if (arena->cap - arena->len < n) {
        resp_arena_grow(arena, n);
    }
    arena->len += n;
    return span;
}

struct resp_span resp_intake_put(struct svc_out *arena, enum resp_version version, uint8_t id,
                                 const struct resp_request *req)
{
    struct resp_span span = resp_intake_place(arena, kv_payload_size(req->args, req->argc));
    struct ts_writer w = ts_writer_init(arena->data + span.at, span.len);
    kv_payload_encode(&w, version, id, req->args, req->argc);
    ts_assert(ts_writer_status(&w) == TS_OK && w.len == span.len);
    return span;
}

bool resp_intake_may_order(struct resp_conn *c, size_t bound)
{
    struct resp_server *s = c->server;
    if (c->reads > 0) {
        return false; /* program order: those reads come first */
    }
    if (s->take_left == 0 || !resp_intake_has_room(s)) {
        resp_list_add(c, RESP_LINK_STARVED);
        return false;
    }
    return answer_has_room(c, bound); /* goes on when older ones are answered */
}

void resp_intake_order(struct resp_conn *c, struct resp_span span, struct kv_reply_size size,
                       enum resp_owner_kind kind)
{
    struct resp_server *s = c->server;
    ts_assert(s->pending_first + s->pending_len < 2 * (size_t)s->config.unanswered_max);
    s->pending[s->pending_first + s->pending_len++] = span;
    s->owners[s->next_token & (s->config.unanswered_max - 1)] =
        (struct resp_owner){.index = c->index,
                            .gen = c->gen,
                            .owed = (uint32_t)size.estimate,
                            .owed_bound = (uint32_t)size.bound,
                            .since_us = s->now_us,
                            .kind = kind};
    s->next_token++;
    s->take_left -= span.len < s->take_left ? span.len : s->take_left;
    s->owed += size.estimate;
    c->owed_bound += size.bound;
    c->coming = c->coming < span.len ? span.len : c->coming;
    c->ordered++;
    c->pending++;
}

/* Collects a command that the turn's submission will order. */
static enum resp_intake collect_ordered(struct resp_conn *c, const struct kv_command *command,
                                        const struct resp_request *req)
{
    struct resp_server *s = c->server;
    c->coming = c->ordered == c->answered ? 0 : c->coming;
    struct kv_reply_size size = kv_reply_size(s->state, command, req->args, req->argc, c->coming);
    if (!resp_intake_may_order(c, size.bound)) {
        return RESP_INTAKE_WAIT;
    }
    bool write = (command->flags & KV_CMD_WRITE) != 0;
    size_t head = write ? resp_session_head(c, &s->pending_bytes) : 0;
    struct resp_span span = resp_intake_put(&s->pending_bytes, c->version, command->id, req);
    resp_session_order(c, head, span, size);
    return RESP_INTAKE_TAKEN;
}

static enum resp_intake collect_read(struct resp_conn *c, const struct kv_command *command,
                                     const struct resp_request *req)
{
    struct resp_server *s = c->server;
    struct resp_round *round = resp_round_open(s);
    if (round->bytes.len >= s->config.pending_bytes_max) {
        resp_list_add(c, RESP_LINK_STARVED);
        return RESP_INTAKE_WAIT;
    }
    struct resp_read_item *item = resp_round_add(round);
    item->owner = (struct resp_owner){.index = c->index, .gen = c->gen};
    item->payload = resp_intake_put(&round->bytes, c->version, command->id, req);
    c->reads++;
    c->read_bytes += item->payload.len;
    return RESP_INTAKE_TAKEN;
}

/* "ERR unknown command 'x', with args beginning with: 'a' 'b' ", at most 128 bytes of each. */
void resp_intake_unknown(struct resp_conn *c, const struct resp_request *req)
{
    char text[512];
    char args[160] = "";
    size_t used = 0;
    for (size_t i = 1; i < req->argc && used < 128; i++) {
        size_t room = 128 - used;
        size_t n = strnlen((const char *)req->args[i].data, req->args[i].len);
        n = n < room ? n : room;
        int wrote = snprintf(args + used, sizeof(args) - used, "'%.*s' ", (int)n,
                             (const char *)req->args[i].data);
        used += (size_t)wrote;
    }
    size_t n = strnlen((const char *)req->args[0].data, req->args[0].len);
    snprintf(text, sizeof(text), "ERR unknown command '%.*s', with args beginning with: %s",
             (int)(n < 128 ? n : 128), (const char *)req->args[0].data, args);
    resp_answer_error(c, text);
}

void resp_intake_arity(struct resp_conn *c, const struct kv_command *command)
{
    char text[128];
    snprintf(text, sizeof(text), "ERR wrong number of arguments for '%s' command", command->name);
    resp_answer_error(c, text);
}

static void run_local(struct resp_conn *c, const struct kv_command *command,
                      const struct resp_request *req)
{
    struct svc_out *out = resp_answer_local_begin(c);
    size_t before = out->len;
    struct resp_writer w = resp_writer_init(out, c->version, c->server->config.client_output_hard);
    resp_local_run(c, command, req, &w);
    (void)!resp_writer_finish(&w);
    resp_answer_local_end(c, before);
}

bool resp_intake_is_full(const struct resp_server *s, const struct kv_command *command)
{
    return s->status.role == FRONT_ROLE_PRIMARY && s->status.full[0] != '\0' &&
           (command->flags & KV_CMD_DENYOOM) != 0;
}

bool resp_intake_serves(struct resp_conn *c, enum resp_intake *how)
{
    struct resp_server *s = c->server;
    char text[FRONT_ADDR_MAX + FRONT_REASON_MAX + 64];
    if (s->status.role == FRONT_ROLE_PRIMARY) {
        return true;
    }
    if (s->status.role == FRONT_ROLE_TAKING_OVER) {
        resp_list_add(c, RESP_LINK_STARVED);
        *how = RESP_INTAKE_WAIT;
        return false;
    }
    resp_answer_refusal(s, text, sizeof(text));
    s->stats.refused++;
    resp_answer_error(c, text);
    *how = RESP_INTAKE_TAKEN;
    return false;
}

static enum resp_intake refuse_unauthorized(struct resp_conn *c, const char *text)
{
    if (c->reads > 0) {
        return RESP_INTAKE_WAIT;
    }
    c->server->stats.unauthorized++;
    c->multi.failed = c->multi.failed || c->multi.on;
    resp_answer_error(c, text);
    return RESP_INTAKE_TAKEN;
}

static enum resp_intake dispatch(struct resp_conn *c, const struct kv_command *command,
                                 const struct resp_request *req)
{
    struct resp_server *s = c->server;
    char text[FRONT_ADDR_MAX + FRONT_REASON_MAX + 64];
    if (c->multi.runs) {
        return RESP_INTAKE_WAIT; /* goes on when that is answered */
    }
    if (command != NULL && kv_command_arity_ok(command, req->argc) &&
        resp_auth_refuses(c, command, req, text, sizeof(text))) {
        return refuse_unauthorized(c, text);
    }
    if (resp_relay_wants(c, command)) {
        resp_relay_begin(c);
        return c->closing ? RESP_INTAKE_TAKEN : RESP_INTAKE_WAIT;
    }
    bool allowed = command == NULL || resp_pubsub_allows(c, command);
    if (resp_multi_concerns(c, command) && (allowed || c->multi.on)) {
        return resp_multi_take(c, command, req);
    }
    if (command != NULL && allowed && kv_command_arity_ok(command, req->argc) &&
        resp_session_concerns(c, command)) {
        return resp_session_take(c, command, req);
    }
    bool state_command = allowed && command != NULL && (command->flags & KV_CMD_LOCAL) == 0;
    bool arity_ok = command != NULL && kv_command_arity_ok(command, req->argc);
    if (state_command && arity_ok && s->status.role == FRONT_ROLE_TAKING_OVER) {
        resp_list_add(c, RESP_LINK_STARVED);
        return RESP_INTAKE_WAIT;
    }
    bool full = state_command && arity_ok && resp_intake_is_full(s, command);
    if (state_command && arity_ok && s->status.role == FRONT_ROLE_PRIMARY && !full) {
        c->last_command = command->name;
        unsigned kind = command->flags & (KV_CMD_READ | KV_CMD_TIMED);
        return kind == KV_CMD_READ && c->ordered == c->answered ? collect_read(c, command, req)
                                                                : collect_ordered(c, command, req);
    }
    if (c->reads > 0) {
        return RESP_INTAKE_WAIT; /* all below is answered at once: not before those reads */
    }
    if (command == NULL) {
        resp_intake_unknown(c, req);
        return RESP_INTAKE_TAKEN;
    }
    if (resp_pubsub_must_wait(c, command)) {
        return RESP_INTAKE_WAIT;
    }
    if (command->id == KV_WAIT && arity_ok && allowed) {
        return resp_wait_take(c, command, req);
    }
    c->last_command = command->name;
    if (!arity_ok) {
        resp_intake_arity(c, command);
    } else if (!allowed) {
        (void)snprintf(text, sizeof(text),
                       "%s Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / "
                       "QUIT / RESET are allowed in this context",
                       command->id == KV_EXEC ? "EXECABORT Transaction discarded because of:"
                                              : "ERR",
                       command->name);
        resp_answer_error(c, text);
    } else if (state_command) {
        resp_answer_refusal(s, text, sizeof(text));
        s->stats.refused++;
        resp_answer_error(c, text);
    } else {
        run_local(c, command, req);
    }
    return RESP_INTAKE_TAKEN;
}

/* A line that begins an HTTP request: a browser's, which some page in it had sent here. The lines
 * of its body would be commands. Closed without a word, as Redis does. */
static bool is_http(const struct resp_request *req)
{
    return resp_word_is(req->args[0], "post") || resp_word_is(req->args[0], "host:");
}

static enum resp_intake take(struct resp_conn *c, const struct resp_request *req)
{
    const struct kv_command *command = kv_command_find(req->args[0]);
    if (command == NULL && is_http(req)) {
        c->server->stats.protocol_errors++;
        resp_conn_close(c);
        return RESP_INTAKE_TAKEN;
    }
    resp_session_look(c, command);
    if (c->session.counts && c->session.state == RESP_SESSION_ASKED) {
        c->session.counts = false;
        return RESP_INTAKE_WAIT; /* whether it has a number is not known yet */
    }
    enum resp_intake how = dispatch(c, command, req);
    c->session.counts = false; /* errors from now on are no answers to it */
    return how;
}

static void protocol_error(struct resp_conn *c, const struct resp_request *req)
{
    char text[sizeof(req->error) + 8];
    c->server->stats.protocol_errors++;
    snprintf(text, sizeof(text), "ERR %s", req->error);
    resp_session_look(c, NULL);
    resp_answer_error(c, text);
    c->finishing = true;
}

/* An inline request is unescaped in place: one that must wait is looked at again as it came. */
static size_t keep_line(struct resp_server *s, const uint8_t *data, size_t len)
{
    size_t room = (size_t)s->config.limits.inline_max + RESP_LINE_END;
    size_t most = room < len ? room : len;
    const uint8_t *end = memchr(data, '\n', most);
    size_t n = end == NULL ? 0 : (size_t)(end - data) + 1;
    memcpy(s->line, data, n);
    return n;
}

size_t resp_intake(struct resp_conn *c, uint8_t *data, size_t len)
{
    struct resp_server *s = c->server;
    size_t at = 0;
    if (c->relay != NULL) {
        return resp_relay_take(c, data, len);
    }
    c->paused = false;
    while (at < len && !c->closing && !c->finishing) {
        if (!conn_has_room(c)) {
            c->paused = true;
            break;
        }
        size_t line = data[at] == '*' ? 0 : keep_line(s, data + at, len - at);
        struct resp_request req = {.args = s->args, .args_cap = s->config.limits.args_max};
        enum resp_result r = resp_parse(&c->parser, resp_auth_limits(c), data + at, len - at, &req);
        if (r == RESP_MORE) {
            break;
        }
        if (r == RESP_ERROR) {
            if (c->reads > 0) {
                c->parser = (struct resp_parser){0};
                c->paused = true; /* found again after those reads */
                break;
            }
            protocol_error(c, &req);
            return len;
        }
        s->request_bytes = r == RESP_REQUEST ? req.consumed : 0;
        if (r == RESP_REQUEST && take(c, &req) == RESP_INTAKE_WAIT) {
            memcpy(data + at, s->line, line);
            c->paused = true;
            break;
        }
        s->stats.commands += r == RESP_REQUEST;
        at += req.consumed;
    }
    return c->finishing ? len : at;
}

void resp_intake_resume(struct resp_conn *c)
{
    if (c->in_len > c->in_at) {
        resp_conn_parse_input(c);
    }
    if (c->closing) {
        return;
    }
    if (c->relay != NULL) {
        resp_relay_resume(c);
    } else if (c->eof && !c->paused) {
        c->finishing = true; /* what is left is an incomplete request */
    }
    resp_conn_set_reading(c);
    if (!c->closing) {
        resp_conn_finish(c);
    }
}
