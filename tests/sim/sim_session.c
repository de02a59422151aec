/* Clients with sessions (R2.12): each write is numbered, and sent again until its client knows what
 * became of it. A client whose connection is gone resumes its session where it finds a primary,
 * compares the replies that it gets with what it was told before, and goes on behind them: it
 * sends the write without an answer again, or drops it, since then it is certain that it was not
 * executed and never will be. Now and then a write is sent twice, or comes late by a connection
 * that was given up; clients ask for sessions that have ended, or vanish and leave theirs. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "tests/sim/sim.h"

/* Small bounds: all of them are met. */
#define LIMITS \
    "session-max=5 session-window=8 session-bytes=240 session-total-bytes=700 " \
    "session-idle-ms=%llu session-yield-ms=%llu session-piece-bytes=%u"
/* An id that was never given has a creation number far in the future. */
#define NEVER_GIVEN (1ULL << 62)

const char *sim_session_limits(const struct sim *s, char *out, size_t cap)
{
    unsigned long long idle_ms = s->plan.session_idle_ms;
    (void)snprintf(out, cap, LIMITS, idle_ms, idle_ms / 4 + 1, s->seed % 4 == 0 ? 100U : 4096U);
    return out;
}

static struct sim_client *client_of(struct sim *s, uint32_t record)
{
    return &s->load.client[s->load.record[record].client];
}

void sim_session_start(struct sim *s)
{
    for (int i = 0; i < SIM_CLIENTS_MAX; i++) {
        s->load.client[i].session = (struct sim_session){.open = SIM_NO_RECORD};
    }
}

/* ---- what a client sends ---- */

/* A message that is no request. */
static uint32_t control(struct sim *s, int client, enum session_op op, uint64_t session,
                        uint64_t number)
{
    uint32_t record = sim_load_new(s, client);
    struct sim_record *rec = &s->load.record[record];
    rec->op = (uint8_t)op;
    rec->session = session;
    rec->connection = s->load.client[client].session.connection;
    rec->number = number;
    rec->id = rec->attempt = ++s->load.next_id;
    return record;
}

static uint32_t resume(struct sim *s, int client, struct sim_session *p)
{
    uint64_t received = p->next - 1;
    uint64_t from = sim_chance_pm(s, 500) ? received : sim_rand(s, p->acked, received);
    p->acked = from;
    return control(s, client, SESSION_RESUME, p->id, from);
}

static uint32_t send_again(struct sim *s, const struct sim_session *p)
{
    struct sim_record *rec = &s->load.record[p->open];
    rec->attempt = ++s->load.next_id;
    rec->connection = p->connection;
    s->stats.resent++;
    return p->open;
}

/* One whose session has ended, and who knows that id still. */
static uint32_t without_session(struct sim *s, int client, const struct sim_session *p)
{
    if (p->dead != 0 && sim_chance_pm(s, 100)) {
        uint64_t more = sim_chance_pm(s, 300) ? NEVER_GIVEN : 0;
        return control(s, client, SESSION_RESUME, p->dead + more, 0);
    }
    return sim_chance_pm(s, 500) ? control(s, client, SESSION_OPEN, 0, 0) : SIM_NO_RECORD;
}

uint32_t sim_session_next(struct sim *s, int client, int node)
{
    struct sim_session *p = &s->load.client[client].session;
    if ((s->plan.sessions >> client & 1) == 0) {
        return SIM_NO_RECORD;
    }
    if (p->id == 0) {
        return without_session(s, client, p);
    }
    if (p->life == 0 || p->node != node || p->life != s->node[node].proc[SIM_REPLICA].life) {
        return resume(s, client, p);
    }
    if (p->open != SIM_NO_RECORD) {
        return send_again(s, p);
    }
    uint64_t received = p->next - 1;
    if (received > p->acked && (p->full || sim_chance_pm(s, 60))) {
        p->acked = sim_rand(s, p->acked + 1, received);
        return control(s, client, SESSION_ACK, p->id, p->acked);
    }
    if (sim_chance_pm(s, 4)) {
        return control(s, client, SESSION_CLOSE, p->id, 0);
    }
    if (sim_chance_pm(s, 4)) {
        *p = (struct sim_session){.open = SIM_NO_RECORD}; /* another client, in its place */
    }
    return SIM_NO_RECORD;
}

void sim_session_number(struct sim *s, uint32_t record)
{
    struct sim_record *rec = &s->load.record[record];
    const struct sim_session *p = &client_of(s, record)->session;
    if (p->id != 0 && !rec->read) {
        rec->op = SESSION_REQUEST;
        rec->session = p->id;
        rec->connection = p->connection;
        rec->number = p->next;
    }
}

size_t sim_session_encode(const struct sim_record *r, struct ts_bytes inner, uint8_t *out,
                          size_t cap)
{
    static const char *const names[] = {"a\nuser",  "b\nuser",  "c\nuser", "d\nuser",
                                        "e\nother", "f\nother", "g",       "h\n"};
    _Static_assert(sizeof(names) / sizeof(names[0]) >= SIM_CLIENTS_MAX, "one each");
    struct session_msg m = {.op = (enum session_op)r->op, .session = r->session};
    bool named = m.op == SESSION_OPEN || m.op == SESSION_RESUME;
    ts_assert(r->client < SIM_CLIENTS_MAX);
    m.connection = named ? 0 : r->connection;
    m.number = r->number;
    m.rest = m.op == SESSION_REQUEST ? inner
             : named
                 ? (struct ts_bytes){(const uint8_t *)names[r->client], strlen(names[r->client])}
                 : (struct ts_bytes){NULL, 0};
    struct ts_writer w = ts_writer_init(out, cap);
    session_msg_encode(&w, &m);
    ts_assert(!w.failed);
    return w.len;
}

/* ---- what it hears ---- */

void sim_session_lost(struct sim *s, uint32_t record)
{
    struct sim_client *c = client_of(s, record);
    if (!c->busy || c->record != record) {
        return; /* it did not wait for that any more */
    }
    struct sim_session *p = &c->session;
    p->life = 0;
    if (s->load.record[record].op == SESSION_REQUEST) {
        p->open = record;
    }
}

void sim_session_refused(struct sim *s, uint32_t record)
{
    struct sim_session *p = &client_of(s, record)->session;
    if (p->open == record) {
        p->open = SIM_NO_RECORD;
    }
}

/* The session is no more; what has no answer never gets one. */
static void end(struct sim *s, struct sim_session *p)
{
    s->stats.ended++;
    *p = (struct sim_session){.dead = p->id, .open = SIM_NO_RECORD};
}

static void unexpected(struct sim *s, const struct sim_record *rec, const struct session_answer *a)
{
    sim_fail(s, SIM_CHECK_SESSION,
             "client %u: a message of kind %u, number %llu, was answered with result %d (%llu)",
             rec->client, rec->op, (unsigned long long)rec->number, (int)a->result,
             (unsigned long long)a->figure);
}

/* The client has the reply to its write `next`. */
static void take_reply(struct sim *s, uint32_t record, struct ts_bytes reply, uint64_t position,
                       uint64_t back)
{
    struct sim_session *p = &client_of(s, record)->session;
    ts_assert(s->load.record[record].number == p->next);
    p->told[p->next % SIM_SESSION_TOLD] = record;
    p->next++;
    p->open = SIM_NO_RECORD;
    p->full = false;
    sim_load_answered(s, record, reply, position, back);
}

static void request_answered(struct sim *s, uint32_t record, const struct session_answer *a,
                             uint64_t position, uint64_t back)
{
    struct sim_record *rec = &s->load.record[record];
    struct sim_session *p = &client_of(s, record)->session;
    if (a->result == SESSION_DONE) {
        take_reply(s, record, a->rest, position, back);
        return;
    }
    rec->refused = true; /* for good: since the last RESUME there was no other attempt */
    sim_session_refused(s, record);
    if (a->result == SESSION_GONE) {
        end(s, p);
    } else if (a->result == SESSION_FULL || a->result == SESSION_FULL_BYTES ||
               a->result == SESSION_FULL_TOTAL || a->result == SESSION_FULL_SHARE_BYTES) {
        p->full = true;
    } else {
        unexpected(s, rec, a);
    }
    sim_load_set_free(s, record, back + sim_us(s, 100, 5000));
}

/* A reply that RESUME gives again is what the client was told. */
static void compare_told(struct sim *s, const struct sim_session *p, uint64_t number,
                         struct ts_bytes reply)
{
    const struct sim_record *rec = &s->load.record[p->told[number % SIM_SESSION_TOLD]];
    if (rec->number != number || rec->session != p->id || rec->reply_len != reply.len ||
        memcmp(s->load.bytes + rec->reply_at, reply.data, reply.len) != 0) {
        sim_fail(s, SIM_CHECK_SESSION,
                 "client %u: request %llu was answered with \"%.*s\", and RESUME gives \"%.*s\"",
                 rec->client, (unsigned long long)number, (int)rec->reply_len,
                 (const char *)s->load.bytes + rec->reply_at, (int)reply.len,
                 (const char *)reply.data);
    }
}

/* The reply to the write without an answer. */
static void recover(struct sim *s, struct sim_session *p, struct ts_bytes reply, uint64_t back)
{
    uint32_t record = p->open;
    const struct sim_record *rec = &s->load.record[record];
    if (record == SIM_NO_RECORD || rec->number != p->next || rec->done_by == 0) {
        sim_fail(s, SIM_CHECK_SESSION, "RESUME gives a reply number %llu: nothing was executed",
                 (unsigned long long)p->next);
        return;
    }
    char text[SIM_STORY_REPLY_MAX];
    sim_note_client(s, record, "has the reply %s of position %llu", sim_story_reply(reply, text),
                    (unsigned long long)rec->done_at);
    s->stats.recovered++;
    take_reply(s, record, reply, rec->done_at, back);
}

static void resumed(struct sim *s, uint32_t record, const struct session_answer *a, uint64_t back)
{
    uint64_t from = s->load.record[record].number;
    struct sim_session *p = &client_of(s, record)->session;
    uint64_t last = from + a->count;
    if (a->first != from + 1 || last + 1 < p->next || last > p->next ||
        a->connection <= p->connection) {
        sim_fail(s, SIM_CHECK_SESSION,
                 "client %u: RESUME after %llu gives %u replies from %llu on and connection %llu; "
                 "%llu replies and connection %llu were known",
                 s->load.record[record].client, (unsigned long long)from, a->count,
                 (unsigned long long)a->first, (unsigned long long)a->connection,
                 (unsigned long long)p->next - 1, (unsigned long long)p->connection);
        return;
    }
    p->connection = a->connection;
    s->stats.resumed++;
    struct ts_reader r = ts_reader_init(a->rest.data, a->rest.len);
    for (uint64_t n = from + 1; n <= last; n++) {
        struct ts_bytes reply = session_answer_next(&r);
        if (n < p->next) {
            compare_told(s, p, n, reply);
        } else {
            recover(s, p, reply, back);
        }
    }
    if (p->open != SIM_NO_RECORD && sim_chance_pm(s, 300)) {
        s->load.record[p->open].refused = true; /* dropped: it never is executed */
        p->open = SIM_NO_RECORD;
    }
}

static void resume_answered(struct sim *s, int node, uint32_t record,
                            const struct session_answer *a, uint64_t back)
{
    const struct sim_record *rec = &s->load.record[record];
    struct sim_session *p = &client_of(s, record)->session;
    if (rec->session != p->id) { /* one that has ended, or never was */
        enum session_result right = rec->session == p->dead ? SESSION_GONE : SESSION_UNKNOWN;
        if (a->result != right) {
            unexpected(s, rec, a);
        }
    } else if (a->result == SESSION_GONE) {
        end(s, p);
    } else if (a->result != SESSION_DONE) {
        unexpected(s, rec, a);
    } else {
        resumed(s, record, a, back);
        p->node = node;
        p->life = s->node[node].proc[SIM_REPLICA].life;
    }
}

static void open_answered(struct sim *s, int node, uint32_t record, const struct session_answer *a)
{
    struct sim_session *p = &client_of(s, record)->session;
    if (a->result == SESSION_DONE) {
        *p = (struct sim_session){.id = a->session,
                                  .connection = a->connection,
                                  .next = 1,
                                  .node = node,
                                  .life = s->node[node].proc[SIM_REPLICA].life,
                                  .open = SIM_NO_RECORD};
        s->stats.sessions++;
    } else if (a->result != SESSION_FULL_TABLE && a->result != SESSION_FULL_SHARE) {
        unexpected(s, &s->load.record[record], a);
    }
}

/* ACK, CLOSE. */
static void other_answered(struct sim *s, uint32_t record, const struct session_answer *a)
{
    const struct sim_record *rec = &s->load.record[record];
    struct sim_session *p = &client_of(s, record)->session;
    if (a->result != SESSION_DONE && a->result != SESSION_GONE) {
        unexpected(s, rec, a);
    }
    if (a->result == SESSION_GONE || rec->op == SESSION_CLOSE) {
        end(s, p);
    }
    p->full = false;
}

void sim_session_released(struct sim *s, int node, struct sim_waiting *w,
                          const struct svc_entry *entry)
{
    uint32_t record = w->record;
    const struct sim_record *rec = &s->load.record[record];
    const struct sim_client *c = client_of(s, record);
    const struct svc_out *out = &s->node[node].replica.p.out;
    enum session_op op = (enum session_op)rec->op;
    struct session_answer a;
    w->used = false;
    if (!c->busy || c->record != record || rec->attempt != w->id) {
        return; /* its connection was given up */
    }
    uint64_t back = sim_load_way(s);
    if (back > 0 && sim_chance_pm(s, 20)) {
        sim_note_client(s, record, "is answered, which is lost on its way");
        s->stats.ambiguous++;
        sim_session_lost(s, record);
        sim_load_set_free(s, record, back);
        return;
    }
    if (session_answer_decode(&a, op, (struct ts_bytes){out->data, out->len}) != TS_OK) {
        sim_fail(s, SIM_CHECK_SESSION, "an answer to a session's message does not decode");
        return;
    }
    char text[SIM_STORY_REPLY_MAX];
    sim_note_client(s, record, "result %d, %s", (int)a.result,
                    op == SESSION_REQUEST && a.result == SESSION_DONE
                        ? sim_story_reply(a.rest, text)
                        : "no reply");
    if (op == SESSION_REQUEST) {
        request_answered(s, record, &a, entry->seq.v, back);
        return;
    }
    if (op == SESSION_OPEN) {
        open_answered(s, node, record, &a);
    } else if (op == SESSION_RESUME) {
        resume_answered(s, node, record, &a, back);
    } else {
        other_answered(s, record, &a);
    }
    sim_load_set_free(s, record, back + sim_us(s, 0, op == SESSION_RESUME ? 500 : 20000));
}

/* ---- what a replica does ---- */

bool sim_session_executes(struct sim *s, const struct svc_entry *entry, struct ts_bytes out,
                          struct sim_record *rec)
{
    struct session_msg m;
    struct session_answer a;
    if (!session_msg_is(entry->payload)) {
        return true;
    }
    if (session_msg_decode(&m, entry->payload) != TS_OK ||
        session_answer_decode(&a, m.op, out) != TS_OK) {
        sim_fail(s, SIM_CHECK_SESSION, "a session's message at seq %llu is not understood",
                 (unsigned long long)entry->seq.v);
        return false;
    }
    uint64_t said = ts_hash_bytes(a.rest.data, a.rest.len).lo;
    if (a.result == SESSION_DONE) {
        rec->said = said;
    } else if (a.result == SESSION_AGAIN && rec->said != said) {
        sim_fail(s, SIM_CHECK_SESSION,
                 "request %llu of client %u is answered otherwise at seq %llu",
                 (unsigned long long)m.number, rec->client, (unsigned long long)entry->seq.v);
    }
    s->stats.fenced += a.result == SESSION_OLD;
    s->stats.again += a.result == SESSION_AGAIN;
    return a.result == SESSION_DONE;
}
