/* Transactions: MULTI keeps a connection's commands until EXEC orders them as one (see
 * services/kv/transaction.c). WATCH is ordered, too; its answer are the keys' versions, which EXEC
 * brings along. Whatever is refused in between makes EXEC fail, before it is ordered. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "services/io/resp_conn.h"
#include "services/kv/payload.h"

static void unwatch(struct resp_conn *c)
{
    struct resp_multi *m = &c->multi;
    ts_assert(m->watches_awaited == 0);
    resp_pool_give(c->server, &m->watched);
    m->watched_to = 0;
    m->failed = false;
}

static void end(struct resp_conn *c)
{
    struct resp_multi *m = &c->multi;
    unwatch(c);
    resp_pool_give(c->server, &m->commands);
    resp_pool_give(c->server, &m->late);
    m->on = false;
    m->count = 0;
    m->estimate = m->bound = 0;
}

void resp_multi_end(struct resp_conn *c)
{
    end(c);
}

void resp_multi_free(struct resp_multi *m)
{
    svc_out_free(&m->commands);
    svc_out_free(&m->watched);
    svc_out_free(&m->late);
    svc_out_free(&m->running);
}

static void answer_simple(struct resp_conn *c, const char *text)
{
    struct svc_out *out = resp_answer_local_begin(c);
    size_t before = out->len;
    struct resp_writer w = resp_writer_init(out, c->version, SIZE_MAX / 4);
    resp_put_simple(&w, text);
    (void)!resp_writer_finish(&w);
    resp_answer_local_end(c, before);
}

bool resp_multi_concerns(const struct resp_conn *c, const struct kv_command *command)
{
    if (c->multi.on) {
        return command == NULL || (command->id != KV_QUIT && command->id != KV_RESET);
    }
    return command != NULL &&
           (command->id == KV_MULTI || command->id == KV_EXEC || command->id == KV_DISCARD ||
            command->id == KV_WATCH || command->id == KV_UNWATCH);
}

/* ---- keeping ---- */

/* Whether so many bytes more may be kept; otherwise the error is written. */
static bool may_keep(struct resp_conn *c, struct svc_out *bytes, size_t n)
{
    uint32_t max = c->server->config.limits.request_max;
    if (bytes->cap == 0) {
        *bytes = resp_pool_take(c->server);
    }
    if (bytes->len + n <= max) {
        return true;
    }
    char text[96];
    (void)snprintf(text, sizeof(text), "ERR a transaction may have %u bytes", max);
    resp_answer_error(c, text);
    c->multi.failed = c->multi.on;
    return false;
}

static bool keep(struct resp_conn *c, struct ts_bytes payload, struct kv_reply_size size)
{
    struct resp_multi *m = &c->multi;
    size_t n = kv_payload_word_size(payload);
    if (!may_keep(c, &m->commands, n)) {
        return false;
    }
    struct resp_span span = resp_intake_place(&m->commands, n);
    struct ts_writer w = ts_writer_init(m->commands.data + span.at, n);
    kv_payload_put_word(&w, payload);
    ts_assert(!w.failed && w.len == n);
    m->count++;
    m->estimate += size.estimate;
    m->bound += size.bound;
    answer_simple(c, "QUEUED");
    return true;
}

static void keep_command(struct resp_conn *c, const struct kv_command *command,
                         const struct resp_request *req)
{
    struct svc_out bytes = resp_pool_take(c->server);
    struct resp_span span = resp_intake_put(&bytes, c->version, command->id, req);
    (void)keep(
        c, (struct ts_bytes){bytes.data + span.at, span.len},
        kv_reply_size(c->server->state, command, req->args, req->argc, c->multi.commands.len));
    resp_pool_give(c->server, &bytes);
}

static bool begins(const struct svc_out *answer, const char *text)
{
    size_t n = strlen(text);
    return answer->len >= n && memcmp(answer->data, text, n) == 0;
}

/* Whether the answer says that there is no such subcommand, or not with so many words: like an
 * unknown command, that one is not kept. */
static bool is_no_command(const struct svc_out *answer)
{
    return begins(answer, "-ERR unknown subcommand") ||
           (begins(answer, "-ERR wrong number") && memchr(answer->data, '|', answer->len) != NULL);
}

/* Keeps an answer that is given already; in the end it may be replaced by one of `most` bytes. */
static bool keep_literal(struct resp_conn *c, struct ts_bytes answer, size_t most)
{
    struct ts_bytes args[2] = {{NULL, 0}, answer};
    struct svc_out bytes = resp_pool_take(c->server);
    size_t n = kv_payload_size(args, 2);
    struct resp_span span = resp_intake_place(&bytes, n);
    struct ts_writer payload = ts_writer_init(bytes.data + span.at, n);
    kv_payload_encode(&payload, c->version, KV_LITERAL, args, 2);
    bool kept = keep(c, (struct ts_bytes){bytes.data + span.at, n},
                     (struct kv_reply_size){n + most, n + most});
    resp_pool_give(c->server, &bytes);
    return kept;
}

/* A local command is carried out now, and its answer kept for its place among the others'. */
static void keep_local(struct resp_conn *c, const struct kv_command *command,
                       const struct resp_request *req)
{
    struct svc_out answer = resp_pool_take(c->server);
    struct resp_writer w =
        resp_writer_init(&answer, c->version, c->server->config.limits.request_max);
    if (command->id == KV_UNWATCH) {
        resp_put_simple(&w, "OK"); /* EXEC forgets them anyway */
    } else {
        resp_local_run(c, command, req, &w);
    }
    (void)!resp_writer_finish(&w);
    if (is_no_command(&answer)) {
        c->multi.failed = true;
        struct svc_out *out = resp_answer_local_begin(c);
        size_t before = out->len;
        (void)!svc_out_put(out, answer.data, answer.len);
        resp_answer_local_end(c, before);
        resp_pool_give(c->server, &answer);
        return;
    }
    (void)keep_literal(c, (struct ts_bytes){answer.data, answer.len}, answer.len);
    resp_pool_give(c->server, &answer);
}

/* A command that EXEC's answer carries out. */
static void keep_late(struct resp_conn *c, const struct kv_command *command,
                      const struct resp_request *req)
{
    uint32_t place = c->multi.count;
    if (may_keep(c, &c->multi.late, resp_late_size(req)) &&
        keep_literal(c, resp_late_placeholder(), resp_late_reply_bound(req))) {
        resp_late_keep(c, command, req, place);
    }
}

/* What changes the connection in a way that DISCARD could not take back, or, in a session, is not
 * the same when its replies are given again. */
static bool is_forbidden(const struct resp_conn *c, const struct kv_command *command)
{
    bool late =
        command->id == KV_CLIENT || (command->id >= KV_SUBSCRIBE && command->id <= KV_PUBLISH);
    return command->id == KV_HELLO || command->id == KV_AUTH ||
           (late && c->session.state != RESP_SESSION_NONE) || resp_session_is(command);
}

/* Within a transaction: kept, or refused, which EXEC remembers. */
static enum resp_intake take_within(struct resp_conn *c, const struct kv_command *command,
                                    const struct resp_request *req)
{
    enum resp_intake how = RESP_INTAKE_TAKEN;
    char text[FRONT_REASON_MAX + 64];
    if (command == NULL || !kv_command_arity_ok(command, req->argc)) {
        c->multi.failed = true;
        if (command == NULL) {
            resp_intake_unknown(c, req);
        } else {
            resp_intake_arity(c, command);
        }
    } else if (is_forbidden(c, command)) {
        c->multi.failed = true;
        resp_answer_error(c, "ERR Command not allowed inside a transaction");
    } else if (kv_object_refuses(command, req->args, req->argc, text, sizeof(text))) {
        c->multi.failed = true;
        resp_answer_error(c, text);
    } else if (resp_late_is(c, command, req)) {
        keep_late(c, command, req);
    } else if ((command->flags & KV_CMD_LOCAL) != 0) {
        keep_local(c, command, req);
    } else if (resp_intake_is_full(c->server, command)) {
        resp_answer_refusal(c->server, text, sizeof(text));
        c->server->stats.refused++;
        c->multi.failed = true;
        resp_answer_error(c, text);
    } else if (resp_intake_serves(c, &how)) {
        keep_command(c, command, req);
    } else if (how == RESP_INTAKE_TAKEN) {
        c->multi.failed = true;
    }
    return how;
}

/* ---- WATCH ---- */

static enum resp_intake take_watch(struct resp_conn *c, const struct kv_command *command,
                                   const struct resp_request *req)
{
    struct resp_multi *m = &c->multi;
    struct kv_reply_size size = {0, 1 + 8 * (req->argc - 1)};
    enum resp_intake how;
    size_t n = 0;
    if (!resp_intake_serves(c, &how)) {
        return how;
    }
    for (size_t i = 1; i < req->argc; i++) {
        n += 8 + kv_payload_word_size(req->args[i]);
    }
    if (!resp_intake_may_order(c, size.bound)) {
        return RESP_INTAKE_WAIT;
    }
    if (!may_keep(c, &m->watched, n)) {
        return RESP_INTAKE_TAKEN;
    }
    struct resp_span span = resp_intake_place(&m->watched, n);
    struct ts_writer w = ts_writer_init(m->watched.data + span.at, n);
    for (size_t i = 1; i < req->argc; i++) {
        ts_put_u64(&w, 0);
        kv_payload_put_word(&w, req->args[i]);
    }
    ts_assert(!w.failed && w.len == n);
    struct resp_server *s = c->server;
    resp_intake_order(c, resp_intake_put(&s->pending_bytes, c->version, command->id, req), size,
                      RESP_OWNER_WATCH);
    m->watches_awaited++;
    return RESP_INTAKE_TAKEN;
}

struct ts_bytes resp_multi_watched(struct resp_conn *c, struct ts_bytes answer)
{
    static const char ok[] = "+OK\r\n";
    struct resp_multi *m = &c->multi;
    ts_assert(m->watches_awaited > 0);
    m->watches_awaited--;
    struct ts_reader versions = ts_reader_init(answer.data, answer.len);
    if (ts_get_u8(&versions) != KV_WATCH_MARK) {
        /* Refused before it was ordered: this connection watches less than its client thinks. */
        m->failed = true;
        return answer;
    }
    struct ts_reader keys = ts_reader_init(m->watched.data, m->watched.len);
    (void)ts_get_bytes(&keys, m->watched_to);
    while (!m->failed && ts_reader_left(&versions) > 0) {
        uint64_t version = ts_get_u64(&versions);
        struct ts_writer w = ts_writer_init(m->watched.data + keys.pos, 8);
        ts_put_u64(&w, version);
        (void)ts_get_u64(&keys);
        (void)kv_payload_get_word(&keys);
    }
    ts_assert(ts_reader_status(&keys) == TS_OK && ts_reader_status(&versions) == TS_OK);
    m->watched_to = keys.pos;
    return (struct ts_bytes){(const uint8_t *)ok, sizeof(ok) - 1};
}

/* ---- EXEC ---- */

static struct resp_span put_transaction(struct resp_conn *c)
{
    struct resp_multi *m = &c->multi;
    struct svc_out *arena = &c->server->pending_bytes;
    struct ts_bytes watched = {m->watched.data, m->watched.len};
    size_t n = KV_PAYLOAD_HEAD + kv_payload_word_size(watched) + m->commands.len;
    struct resp_span span = resp_intake_place(arena, n);
    struct ts_writer w = ts_writer_init(arena->data + span.at, n);
    struct ts_bytes args[2] = {{NULL, 0}, watched};
    kv_payload_encode(&w, c->version, KV_EXEC, args, 2);
    ts_put_bytes(&w, m->commands.data, m->commands.len);
    ts_assert(!w.failed && w.len == n);
    return span;
}

static enum resp_intake take_exec(struct resp_conn *c)
{
    struct resp_multi *m = &c->multi;
    enum resp_intake how;
    if (m->watches_awaited > 0) {
        return RESP_INTAKE_WAIT;
    }
    if (!m->on) {
        resp_answer_error(c, "ERR EXEC without MULTI");
        return RESP_INTAKE_TAKEN;
    }
    if (m->failed) {
        resp_answer_error(c, "EXECABORT Transaction discarded because of previous errors.");
        end(c);
        return RESP_INTAKE_TAKEN;
    }
    if (!resp_intake_serves(c, &how)) {
        if (how == RESP_INTAKE_TAKEN) {
            end(c);
        }
        return how;
    }
    if (!resp_session_admits(c, &how)) {
        if (how == RESP_INTAKE_TAKEN) {
            end(c);
        }
        return how;
    }
    size_t most = kv_reply_size_of_transaction(c->server->state);
    struct kv_reply_size size = {m->estimate < most ? m->estimate : most,
                                 m->bound < most ? m->bound : most};
    if (!resp_intake_may_order(c, size.bound)) {
        return RESP_INTAKE_WAIT;
    }
    size_t head = resp_session_head(c, &c->server->pending_bytes);
    if (m->late.len > 0) {
        ts_assert(head == 0 && m->running.len == 0);
        m->running = m->late;
        m->runs = true;
        m->late = (struct svc_out){.max = SIZE_MAX / 2};
        resp_intake_order(c, put_transaction(c), size, RESP_OWNER_EXEC);
    } else {
        resp_session_order(c, head, put_transaction(c), size);
    }
    end(c);
    return RESP_INTAKE_TAKEN;
}

/* ---- all of them ---- */

/* MULTI, DISCARD, UNWATCH outside of a transaction, and what is out of place. */
static void take_local(struct resp_conn *c, const struct kv_command *command)
{
    struct resp_multi *m = &c->multi;
    switch ((unsigned)command->id) {
    case KV_MULTI:
        if (m->on) {
            resp_answer_error(c, "ERR MULTI calls can not be nested");
            return;
        }
        m->on = true;
        break;
    case KV_DISCARD:
        if (!m->on) {
            resp_answer_error(c, "ERR DISCARD without MULTI");
            return;
        }
        end(c);
        break;
    case KV_UNWATCH:
        unwatch(c);
        break;
    default: /* WATCH */
        resp_answer_error(c, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    answer_simple(c, "OK");
}

enum resp_intake resp_multi_take(struct resp_conn *c, const struct kv_command *command,
                                 const struct resp_request *req)
{
    struct resp_multi *m = &c->multi;
    unsigned id = command == NULL ? KV_NONE : command->id;
    bool arity_ok = command != NULL && kv_command_arity_ok(command, req->argc);
    if (c->reads > 0) {
        return RESP_INTAKE_WAIT; /* what follows is answered at once: not before those reads */
    }
    c->last_command = command != NULL ? command->name : c->last_command;
    if (id == KV_EXEC && !arity_ok) {
        resp_answer_error(c, "EXECABORT Transaction discarded because of: wrong number of "
                             "arguments for 'exec' command");
        end(c);
        return RESP_INTAKE_TAKEN;
    }
    if (!arity_ok && !m->on) {
        resp_intake_arity(c, command);
        return RESP_INTAKE_TAKEN;
    }
    if (id == KV_EXEC) {
        return take_exec(c);
    }
    if (arity_ok && id == KV_WATCH && !m->on) {
        return take_watch(c, command, req);
    }
    bool own = id == KV_MULTI || id == KV_DISCARD || id == KV_WATCH || (id == KV_UNWATCH && !m->on);
    if (!arity_ok || !own) {
        return take_within(c, command, req);
    }
    if (id != KV_MULTI && m->watches_awaited > 0) {
        return RESP_INTAKE_WAIT;
    }
    take_local(c, command);
    return RESP_INTAKE_TAKEN;
}
