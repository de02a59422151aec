/* What a transaction holds that is the connection's own matter, or this NIC's (SUBSCRIBE, PUBLISH,
 * PUBSUB, CLIENT, PING), is carried out when EXEC is answered, at its place among the others'
 * answers, as Redis does: EXEC's entry has an empty answer there. Nothing of it happens when EXEC
 * fails. What follows on the connection waits until then, since it may be a subscriber's by that
 * time.
 *
 * Not within a session: its replies are kept, and must be the same when they are given again. */
#include <string.h>

#include "base/assert.h"
#include "services/io/resp_conn.h"
#include "services/kv/payload.h"

#define RECORD_HEAD 8   /* its place among the answers, its length */
#define REPLY_WORD 64   /* a confirmation has so much more than the word */
#define REPLY_MORE 2048 /* CLIENT INFO */
static const char empty[] = "+\r\n";

/* Whether the request names a member that is there, with as many words as it takes. */
static bool is_member(const struct kv_command *command, const struct resp_request *req)
{
    const struct resp_subcommand *sub =
        resp_container_member(resp_container_find(command), req->args[1]);
    return sub != NULL && resp_arity_ok(sub->arity, req->argc) &&
           strcmp(sub->name, "client|list") != 0; /* which may be long: as of now */
}

bool resp_late_is(const struct resp_conn *c, const struct kv_command *command,
                  const struct resp_request *req)
{
    bool session = c->session.state != RESP_SESSION_NONE;
    switch ((unsigned)command->id) {
    case KV_SUBSCRIBE:
    case KV_UNSUBSCRIBE:
    case KV_PSUBSCRIBE:
    case KV_PUNSUBSCRIBE:
    case KV_PUBLISH:
    case KV_PING:
        return !session;
    case KV_CLIENT:
    case KV_PUBSUB:
        return !session && is_member(command, req);
    default:
        return false;
    }
}

struct ts_bytes resp_late_placeholder(void)
{
    return (struct ts_bytes){(const uint8_t *)empty, sizeof(empty) - 1};
}

size_t resp_late_size(const struct resp_request *req)
{
    return RECORD_HEAD + kv_payload_size(req->args, req->argc);
}

size_t resp_late_reply_bound(const struct resp_request *req)
{
    return kv_payload_size(req->args, req->argc) + REPLY_WORD * req->argc + REPLY_MORE;
}

void resp_late_keep(struct resp_conn *c, const struct kv_command *command,
                    const struct resp_request *req, uint32_t place)
{
    size_t n = resp_late_size(req);
    struct resp_span span = resp_intake_place(&c->multi.late, n);
    struct ts_writer w = ts_writer_init(c->multi.late.data + span.at, n);
    ts_put_u32(&w, place);
    ts_put_u32(&w, (uint32_t)(n - RECORD_HEAD));
    kv_payload_encode(&w, c->version, command->id, req->args, req->argc);
    ts_assert(!w.failed && w.len == n);
}

/* ---- EXEC's answer ---- */

static struct svc_out *out_of(struct resp_conn *c)
{
    if (c->out.cap == 0) {
        c->out = resp_pool_take(c->server);
    }
    return &c->out;
}

static void copy(struct resp_conn *c, struct ts_bytes bytes)
{
    ts_assert(svc_out_put(out_of(c), bytes.data, bytes.len) == TS_OK);
}

/* Carries out the next one behind what was answered already. */
static void run(struct resp_conn *c, struct ts_bytes payload)
{
    struct resp_server *s = c->server;
    struct kv_payload p;
    ts_assert(kv_payload_decode(&p, payload) == TS_OK);
    const struct kv_command *command = kv_command_by_id(p.command);
    ts_assert(command != NULL && p.words < s->config.limits.args_max);
    struct resp_request req = {.args = s->args, .argc = (size_t)p.words + 1};
    req.args[0] = (struct ts_bytes){(const uint8_t *)command->name, strlen(command->name)};
    for (size_t i = 1; i < req.argc; i++) {
        req.args[i] = kv_payload_next(&p);
    }
    c->last_command = command->name;
    struct resp_writer w = resp_writer_init(out_of(c), c->version, s->config.client_output_hard);
    resp_local_run(c, command, &req, &w);
    (void)!resp_writer_finish(&w);
}

/* Bytes up to the end of the reply that begins at `at`. */
static size_t reply_end(struct ts_bytes reply, size_t at)
{
    struct ts_bytes rest = {reply.data + at, reply.len - at};
    size_t n = resp_reply_len(rest);
    ts_assert(n > 0); /* this replica has written it */
    return at + n;
}

void resp_late_answer(struct resp_conn *c, struct ts_bytes reply)
{
    struct resp_multi *m = &c->multi;
    struct svc_out late = m->running;
    struct ts_reader r = ts_reader_init(late.data, late.len);
    m->running = (struct svc_out){.max = SIZE_MAX / 2};
    m->runs = false;
    bool done = reply.len > 1 && reply.data[0] == '*' && reply.data[1] != '-';
    size_t at = 0;
    size_t from = 0;
    if (done) {
        at = (size_t)((const uint8_t *)memchr(reply.data, '\n', reply.len) - reply.data) + 1;
    }
    for (uint32_t i = 0; done && ts_reader_left(&r) > 0 && !c->closing; i++) {
        uint32_t place = ts_get_u32(&r);
        struct ts_bytes payload = ts_get_bytes(&r, ts_get_u32(&r));
        for (; i < place; i++) {
            at = reply_end(reply, at);
        }
        copy(c, (struct ts_bytes){reply.data + from, at - from});
        from = at = reply_end(reply, at);
        run(c, payload);
    }
    if (!c->closing) {
        copy(c, (struct ts_bytes){reply.data + from, reply.len - from});
    }
    resp_pool_give(c->server, &late);
}
