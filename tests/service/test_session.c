/* The table of sessions: what it promises to a client that loses connections and answers. The
 * service behind is the example's lock, whose tokens tell which entry granted them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/example/lock.h"
#include "services/kv/commands.h"
#include "services/kv/payload.h"
#include "services/kv/sessions.h"
#include "services/session_state.h"
#include "tests/service/lock_random.h"
#include "tests/service/svc_check.h"

static void *create(const char *limits)
{
    return session_create(&lock_service, limits);
}

static const struct svc service = SESSION_SERVICE("lock", create);

struct fixture {
    void *state;
    uint64_t epoch;
    uint64_t seq;
    uint64_t ms;
    struct svc_out out;
};

#define SMALL \
    "session-max=3 session-window=4 session-bytes=200 session-total-bytes=400 " \
    "session-idle-ms=1000"

static void open_fixture(struct fixture *f, const char *limits)
{
    *f = (struct fixture){
        .state = service.create(limits), .epoch = 3, .ms = 1000000, .out = {.max = 1U << 20}};
    assert_non_null(f->state);
}

static void close_fixture(struct fixture *f)
{
    service.destroy(f->state);
    svc_out_free(&f->out);
}

static void apply(struct fixture *f, enum svc_entry_kind kind, struct ts_bytes payload)
{
    struct svc_entry e = {.epoch = {f->epoch},
                          .seq = {++f->seq},
                          .kind = kind,
                          .time = {f->ms * TS_NS_PER_MS},
                          .payload = payload};
    f->out.len = 0;
    service.apply(f->state, &e, &f->out);
    session_check(f->state);
}

static struct session_answer ask(struct fixture *f, const struct session_msg *m)
{
    uint8_t payload[512];
    struct ts_writer w = ts_writer_init(payload, sizeof(payload));
    session_msg_encode(&w, m);
    assert_false(w.failed);
    apply(f, SVC_ENTRY_COMMAND, (struct ts_bytes){payload, w.len});
    struct session_answer a;
    assert_int_equal(session_answer_decode(&a, m->op, (struct ts_bytes){f->out.data, f->out.len}),
                     TS_OK);
    return a;
}

static struct ts_bytes text(const char *t)
{
    return (struct ts_bytes){(const uint8_t *)t, strlen(t)};
}

static struct session_answer open_as(struct fixture *f, const char *name)
{
    return ask(f, &(struct session_msg){.op = SESSION_OPEN, .rest = text(name)});
}

static uint64_t open_session(struct fixture *f)
{
    struct session_answer a = open_as(f, "me");
    assert_int_equal(a.result, SESSION_DONE);
    assert_int_equal(a.connection, 1);
    return a.session;
}

static struct session_answer resume(struct fixture *f, uint64_t id, uint64_t number)
{
    return ask(f, &(struct session_msg){
                      .op = SESSION_RESUME, .session = id, .number = number, .rest = text("me")});
}

static struct session_answer acknowledge(struct fixture *f, uint64_t id, uint64_t connection,
                                         uint64_t number)
{
    return ask(f,
               &(struct session_msg){
                   .op = SESSION_ACK, .session = id, .connection = connection, .number = number});
}

/* Takes a lock; its answer holds the seq of the entry that granted it. */
static struct session_answer take(struct fixture *f, uint64_t id, uint64_t connection,
                                  uint64_t number, uint8_t lock)
{
    uint8_t payload[LOCK_REQUEST_BYTES];
    size_t len = lock_request(lock, 7, 0, payload, sizeof(payload));
    return ask(f, &(struct session_msg){.op = SESSION_REQUEST,
                                        .session = id,
                                        .connection = connection,
                                        .number = number,
                                        .rest = {payload, len}});
}

/* Goal: a request that is sent again gets the reply of then, and is not executed again; another
 * request under its number, and one behind a gap, are refused. */
static void test_session_request_again_gets_the_same_reply(void **state)
{
    (void)state;
    struct fixture f;
    uint8_t first[64];
    open_fixture(&f, SMALL);
    uint64_t id = open_session(&f);
    struct session_answer a = take(&f, id, 1, 1, 5);
    assert_int_equal(a.result, SESSION_DONE);
    assert_int_equal(a.rest.len, LOCK_ANSWER_BYTES);
    memcpy(first, a.rest.data, a.rest.len);
    a = take(&f, id, 1, 1, 5);
    assert_int_equal(a.result, SESSION_AGAIN);
    assert_int_equal(a.rest.len, LOCK_ANSWER_BYTES);
    assert_memory_equal(a.rest.data, first, LOCK_ANSWER_BYTES);
    a = take(&f, id, 1, 1, 6);
    assert_true(a.result == SESSION_CHANGED && a.figure == 1);
    a = take(&f, id, 1, 3, 5);
    assert_true(a.result == SESSION_GAP && a.figure == 2);
    assert_int_equal(take(&f, id, 1, 2, 6).result, SESSION_DONE);
    close_fixture(&f);
}

/* Goal: RESUME gives the replies after n, in order and as they were; the old connection's requests
 * are refused from then on, wherever they come from. */
static void test_session_resume_gives_replies_and_ends_the_old_connection(void **state)
{
    (void)state;
    struct fixture f;
    uint8_t said[3][LOCK_ANSWER_BYTES];
    open_fixture(&f, SMALL);
    uint64_t id = open_session(&f);
    for (uint8_t n = 1; n <= 3; n++) {
        struct session_answer a = take(&f, id, 1, n, n);
        memcpy(said[n - 1], a.rest.data, LOCK_ANSWER_BYTES);
    }
    struct session_answer a = resume(&f, id, 1);
    assert_int_equal(a.result, SESSION_DONE);
    assert_true(a.connection == 2 && a.first == 2 && a.count == 2);
    struct ts_reader r = ts_reader_init(a.rest.data, a.rest.len);
    for (unsigned i = 1; i <= 2; i++) {
        struct ts_bytes reply = session_answer_next(&r);
        assert_int_equal(reply.len, LOCK_ANSWER_BYTES);
        assert_memory_equal(reply.data, said[i], LOCK_ANSWER_BYTES);
    }
    assert_int_equal(ts_reader_finish(&r), TS_OK);
    a = take(&f, id, 1, 4, 4);
    assert_true(a.result == SESSION_OLD && a.figure == 2);
    assert_int_equal(take(&f, id, 1, 3, 3).result, SESSION_OLD);
    assert_int_equal(take(&f, id, 3, 4, 4).result, SESSION_OLD);
    assert_int_equal(acknowledge(&f, id, 1, 3).result, SESSION_OLD);
    assert_int_equal(take(&f, id, 2, 4, 4).result, SESSION_DONE);
    a = take(&f, id, 2, 1, 1);
    assert_true(a.result == SESSION_ACKNOWLEDGED && a.figure == 1);
    a = resume(&f, id, 0);
    assert_true(a.result == SESSION_ACKNOWLEDGED && a.figure == 1);
    a = resume(&f, id, 5);
    assert_true(a.result == SESSION_AHEAD && a.figure == 4);
    /* What was refused has changed nothing. */
    assert_int_equal(take(&f, id, 2, 5, 5).result, SESSION_DONE);
    close_fixture(&f);
}

/* Goal: nothing but OPEN makes a session; an id that has ended never comes back, and is told from
 * one that never was; a name is part of who may resume. */
static void test_session_unknown_and_ended_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, SMALL);
    assert_int_equal(take(&f, UINT64_C(99) << 16, 1, 1, 1).result, SESSION_UNKNOWN);
    assert_int_equal(resume(&f, UINT64_C(99) << 16, 0).result, SESSION_UNKNOWN);
    uint64_t id = open_session(&f);
    assert_int_equal(take(&f, id + (1U << 16), 1, 1, 1).result, SESSION_UNKNOWN);
    struct session_msg other = {.op = SESSION_RESUME, .session = id, .rest = text("you")};
    assert_int_equal(ask(&f, &other).result, SESSION_UNKNOWN);
    struct session_msg close = {.op = SESSION_CLOSE, .session = id, .connection = 2};
    assert_int_equal(ask(&f, &close).result, SESSION_OLD);
    close.connection = 1;
    assert_int_equal(ask(&f, &close).result, SESSION_DONE);
    assert_int_equal(ask(&f, &close).result, SESSION_GONE);
    assert_int_equal(take(&f, id, 1, 1, 1).result, SESSION_GONE);
    assert_int_equal(resume(&f, id, 0).result, SESSION_GONE);
    uint64_t next = open_session(&f); /* in the same slot, within the same millisecond */
    assert_true(next > id && session_slot_of(next) == session_slot_of(id));
    assert_int_equal(take(&f, id, 1, 1, 1).result, SESSION_GONE);
    close_fixture(&f);
}

/* Goal: a group that was restored from a backup gives no id that its clients have from the time
 * after that backup, although its logical time goes on from there: its epoch began with the time of
 * the restore, in microseconds (adr/0021). An epoch that an operator made up breaks nothing. */
static void test_session_ids_after_a_restore_are_new(void **state)
{
    (void)state;
    struct fixture f;
    struct fixture restored;
    open_fixture(&f, SMALL);
    open_fixture(&restored, SMALL);
    f.ms = restored.ms += 5000;
    uint64_t id = open_session(&f);
    restored.epoch = (f.ms + 100000) * 1000;
    uint64_t first = open_session(&restored);
    assert_true(first > id && session_slot_of(first) == session_slot_of(id));
    assert_true(open_session(&restored) > first);
    assert_int_equal(resume(&restored, id, 0).result, SESSION_GONE);
    close_fixture(&restored);
    open_fixture(&restored, SMALL);
    restored.epoch = (UINT64_C(1) << 62) - 1;
    id = open_session(&restored);
    assert_true(id <= INT64_MAX);
    assert_true(open_session(&restored) > id);
    close_fixture(&restored);
    close_fixture(&f);
}

/* Goal: replies are kept until they are acknowledged; at a bound nothing is executed and nothing
 * is dropped, and there is room after an ACK. */
static void test_session_full_refuses_until_acknowledged(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "session-max=3 session-window=4 session-bytes=100000");
    uint64_t id = open_session(&f);
    for (uint8_t n = 1; n <= 4; n++) {
        assert_int_equal(take(&f, id, 1, n, n).result, SESSION_DONE);
    }
    struct session_answer a = take(&f, id, 1, 5, 5);
    assert_true(a.result == SESSION_FULL && a.figure == 0);
    assert_int_equal(take(&f, id, 1, 1, 1).result, SESSION_AGAIN);
    assert_int_equal(acknowledge(&f, id, 1, 5).result, SESSION_AHEAD);
    assert_int_equal(acknowledge(&f, id, 1, 2).result, SESSION_DONE);
    assert_int_equal(acknowledge(&f, id, 1, 1).result, SESSION_DONE);
    assert_int_equal(take(&f, id, 1, 5, 5).result, SESSION_DONE);
    assert_int_equal(resume(&f, id, 2).count, 3);
    close_fixture(&f);

    /* A reply costs 57 bytes. */
    open_fixture(&f, "session-max=3 session-bytes=200 session-total-bytes=300");
    id = open_session(&f);
    for (uint8_t n = 1; n <= 4; n++) {
        assert_int_equal(take(&f, id, 1, n, n).result, SESSION_DONE);
    }
    assert_int_equal(take(&f, id, 1, 5, 5).result, SESSION_FULL_BYTES);
    uint64_t other = open_session(&f);
    assert_int_equal(take(&f, other, 1, 1, 1).result, SESSION_DONE);
    assert_int_equal(take(&f, other, 1, 2, 2).result, SESSION_DONE);
    assert_int_equal(take(&f, other, 1, 3, 3).result, SESSION_FULL_TOTAL);
    assert_int_equal(acknowledge(&f, id, 1, 4).result, SESSION_DONE);
    assert_int_equal(take(&f, other, 1, 3, 3).result, SESSION_DONE);
    (void)open_session(&f);
    a = open_as(&f, "me");
    assert_true(a.result == SESSION_FULL_TABLE && a.figure == 3);
    close_fixture(&f);
}

/* Goal: a session that is not used ends at its time, whether a TICK came or not; any use gives it
 * that time again. */
static void test_session_idle_ends(void **state)
{
    (void)state;
    struct fixture f;
    struct session_figures figures;
    open_fixture(&f, SMALL);
    uint64_t a = open_session(&f);
    f.ms += 400;
    uint64_t b = open_session(&f);
    assert_true(service.next_tick(f.state).ns == 1001000 * TS_NS_PER_MS);
    f.ms += 500;
    assert_int_equal(take(&f, a, 1, 1, 1).result, SESSION_DONE);
    assert_true(service.next_tick(f.state).ns == 1001400 * TS_NS_PER_MS);
    f.ms += 499;
    assert_int_equal(take(&f, b, 1, 1, 1).result, SESSION_DONE);
    f.ms += 501;
    assert_int_equal(take(&f, a, 1, 2, 1).result, SESSION_GONE);
    f.ms += 499;
    apply(&f, SVC_ENTRY_TICK, (struct ts_bytes){NULL, 0});
    session_figures(f.state, &figures);
    assert_true(figures.sessions == 0 && figures.evicted == 2 && figures.bytes == 0);
    assert_true(service.next_tick(f.state).ns == UINT64_MAX);
    close_fixture(&f);
}

/* Goal: who comes when the table is full gets the place of the session that was idle for longest,
 * if it was for long enough; a session that is in use is nobody's to end. */
static void test_session_full_table_yields_the_idle(void **state)
{
    (void)state;
    struct fixture f;
    struct session_figures figures;
    open_fixture(&f, SMALL " session-yield-ms=100");
    uint64_t a = open_session(&f);
    uint64_t b = open_session(&f);
    uint64_t c = open_session(&f);
    f.ms += 99;
    assert_int_equal(open_as(&f, "me").result, SESSION_FULL_TABLE);
    assert_int_equal(take(&f, a, 1, 1, 1).result, SESSION_DONE);
    f.ms += 1;
    assert_int_equal(open_as(&f, "me").result, SESSION_DONE);
    assert_int_equal(take(&f, b, 1, 1, 1).result, SESSION_GONE);
    assert_int_equal(take(&f, c, 1, 1, 1).result, SESSION_DONE);
    assert_int_equal(open_as(&f, "me").result, SESSION_FULL_TABLE);
    assert_int_equal(take(&f, a, 1, 1, 1).result, SESSION_AGAIN);
    session_figures(f.state, &figures);
    assert_true(figures.sessions == 3 && figures.evicted == 1 && figures.refused == 2);
    close_fixture(&f);
}

/* Goal: what idle sessions keep is given up for who needs the room, that of who asks least of all;
 * those that keep nothing are left alone. */
static void test_session_full_replies_yield_the_idle(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f,
                 "session-max=9 session-total-bytes=114 session-yield-ms=100"); /* two replies */
    uint64_t empty = open_session(&f);
    uint64_t own = open_session(&f);
    assert_int_equal(take(&f, own, 1, 1, 1).result, SESSION_DONE);
    uint64_t other = open_session(&f);
    assert_int_equal(take(&f, other, 1, 1, 2).result, SESSION_DONE);
    assert_int_equal(take(&f, own, 1, 2, 3).result, SESSION_FULL_TOTAL);
    f.ms += 100;
    assert_int_equal(take(&f, own, 1, 2, 3).result, SESSION_DONE);
    assert_int_equal(take(&f, other, 1, 2, 3).result, SESSION_GONE);
    assert_int_equal(take(&f, own, 1, 3, 4).result, SESSION_FULL_TOTAL);
    assert_int_equal(resume(&f, empty, 0).result, SESSION_DONE);
    assert_int_equal(resume(&f, own, 1).count, 1);
    close_fixture(&f);
}

/* Goal: one user has half of the table, and of what it keeps, for itself: others have the rest.
 * It gets room by its own sessions only. A loaded table knows whose its sessions are; sessions of
 * no user have no share. */
static void test_session_user_has_a_share(void **state)
{
    (void)state;
    static const char limits[] = "session-max=6 session-total-bytes=228 session-yield-ms=100";
    struct fixture f;
    struct svc_out walk;
    size_t ends[16];
    open_fixture(&f, limits);
    uint64_t other = open_as(&f, "x\nother").session;
    uint64_t id[3];
    for (size_t i = 0; i < 3; i++) {
        id[i] = open_as(&f, "x\nme").session;
    }
    struct session_answer a = open_as(&f, "y\nme");
    assert_true(a.result == SESSION_FULL_SHARE && a.figure == 3);
    assert_int_equal(take(&f, id[0], 1, 1, 1).result, SESSION_DONE);
    assert_int_equal(take(&f, id[1], 1, 1, 2).result, SESSION_DONE);
    a = take(&f, id[1], 1, 2, 3);
    assert_true(a.result == SESSION_FULL_SHARE_BYTES && a.figure == 0);
    assert_int_equal(take(&f, other, 1, 1, 3).result, SESSION_DONE);

    size_t pieces = svc_check_walk(&service, f.state, &walk, ends, 16);
    struct fixture g = {
        .state = service.create(limits), .seq = f.seq, .ms = f.ms, .out = {.max = 1U << 20}};
    assert_int_equal(svc_check_load(&service, g.state, &walk, ends, pieces), TS_OK);
    session_check(g.state);
    assert_int_equal(open_as(&g, "y\nme").result, SESSION_FULL_SHARE);
    assert_int_equal(take(&g, id[1], 1, 2, 3).result, SESSION_FULL_SHARE_BYTES);
    g.ms += 100;
    assert_int_equal(acknowledge(&g, id[2], 1, 0).result, SESSION_DONE);
    assert_int_equal(take(&g, id[1], 1, 2, 3).result, SESSION_DONE);
    assert_int_equal(take(&g, id[0], 1, 2, 3).result, SESSION_GONE);
    assert_int_equal(open_as(&g, "y\nme").result, SESSION_DONE);
    g.ms += 100;
    assert_int_equal(open_as(&g, "y\nme").result, SESSION_DONE);
    assert_int_equal(take(&g, id[2], 1, 1, 4).result, SESSION_GONE);
    assert_int_equal(take(&g, other, 1, 1, 3).result, SESSION_AGAIN);
    svc_out_free(&walk);
    close_fixture(&g);
    close_fixture(&f);
    open_fixture(&f, limits);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(open_as(&f, "x\n").result, SESSION_DONE);
    }
    close_fixture(&f);
}

/* Goal: what is not executed moves the time of the service behind all the same: a read does not
 * give what has expired. */
static void test_session_refused_request_moves_time(void **state)
{
    (void)state;
    struct fixture f;
    uint8_t payload[LOCK_REQUEST_BYTES];
    open_fixture(&f, SMALL);
    size_t len = lock_request(3, 7, 50, payload, sizeof(payload));
    apply(&f, SVC_ENTRY_COMMAND, (struct ts_bytes){payload, len});
    f.ms += 50;
    assert_int_equal(take(&f, UINT64_C(99) << 16, 1, 1, 1).result, SESSION_UNKNOWN);
    f.out.len = 0;
    service.read(f.state, (struct ts_bytes){payload, len}, &f.out);
    struct ts_reader r = ts_reader_init(f.out.data, f.out.len);
    (void)ts_get_u8(&r);
    assert_int_equal(ts_get_u64(&r), 0); /* nobody holds it */
    close_fixture(&f);
}

/* Goal: a state that was loaded goes on exactly as the one it was written by; no truncation of a
 * walk is taken. */
static void test_session_walk_and_load(void **state)
{
    (void)state;
    static const char limits[] = SMALL " session-piece-bytes=100";
    struct fixture f;
    struct svc_out walk;
    size_t ends[16];
    open_fixture(&f, limits);
    uint64_t id = open_session(&f);
    uint64_t other = open_session(&f);
    assert_int_equal(take(&f, other, 1, 1, 9).result, SESSION_DONE);
    for (uint8_t n = 1; n <= 2; n++) {
        assert_int_equal(take(&f, id, 1, n, n).result, SESSION_DONE);
    }
    assert_int_equal(resume(&f, id, 1).connection, 2);
    size_t pieces = svc_check_walk(&service, f.state, &walk, ends, 16);
    assert_int_equal(pieces, 3); /* a session each, and the locks */
    struct fixture g = {
        .state = service.create(limits), .seq = f.seq, .ms = f.ms, .out = {.max = 1U << 20}};
    assert_int_equal(svc_check_load(&service, g.state, &walk, ends, pieces), TS_OK);
    session_check(g.state);
    assert_int_equal(take(&g, id, 1, 3, 3).result, SESSION_OLD);
    assert_int_equal(take(&g, id, 2, 2, 2).result, SESSION_AGAIN);
    assert_int_equal(take(&g, id, 2, 3, 3).result, SESSION_DONE);
    assert_int_equal(take(&g, other, 1, 1, 9).result, SESSION_AGAIN);
    close_fixture(&g);
    for (size_t len = 0; len < ends[1]; len++) {
        size_t cut[2] = {len < ends[0] ? len : ends[0], len};
        void *broken = service.create(limits);
        assert_int_not_equal(svc_check_load(&service, broken, &walk, cut, len > ends[0] ? 2 : 1),
                             TS_OK);
        service.destroy(broken);
    }
    svc_out_free(&walk);
    close_fixture(&f);
}

/* Goal: payloads and limits that make no sense are refused. */
static void test_session_malformed_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"session-max=0", "session-max=65536", "session-window=1025",
                                        "session-idle-ms=x", "session-bytes="};
    static const struct session_msg messages[] = {
        {.op = SESSION_OPEN},
        {.op = SESSION_OPEN, .session = 1, .rest = {(const uint8_t *)"x", 1}},
        {.op = SESSION_RESUME, .session = 1},
        {.op = SESSION_RESUME, .session = 1, .connection = 1, .rest = {(const uint8_t *)"x", 1}},
        {.op = SESSION_ACK, .session = 1, .number = 1},
        {.op = SESSION_CLOSE, .session = 1, .connection = 1, .number = 1},
        {.op = SESSION_REQUEST, .session = 1, .connection = 1},
        {.op = SESSION_REQUEST,
         .session = 1,
         .connection = 1,
         .number = 1,
         .rest = {(const uint8_t *)"\xf5", 1}},
    };
    struct fixture f;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_null(service.create(wrong[i]));
    }
    assert_null(kv_with_sessions.create("session-max=5 no-such=1"));
    open_fixture(&f, SMALL);
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        assert_int_equal(ask(&f, &messages[i]).result, SESSION_MALFORMED);
    }
    static const uint8_t cut[SESSION_HEAD_BYTES - 1] = {SESSION_MARK, SESSION_OPEN};
    for (size_t len = 1; len <= sizeof(cut); len++) {
        apply(&f, SVC_ENTRY_COMMAND, (struct ts_bytes){cut, len});
        assert_true(f.out.len == 9 && f.out.data[0] == SESSION_MALFORMED);
    }
    close_fixture(&f);
}

/* Goal: a session's request is known when the service behind knows it, an op of the table when it
 * is one of this release's; without a service that says so all are known. */
static void test_session_newer_commands_are_not_known(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, SMALL);
    void *kv = kv_with_sessions.create(NULL);
    assert_non_null(kv);
    static const struct {
        uint8_t bytes[3];
        bool known;
    } CASES[] = {
        {{KV_PAYLOAD_FORMAT, RESP_V2, KV_EXEC}, true},
        {{KV_PAYLOAD_FORMAT, RESP_V2, 255}, false},
        {{KV_PAYLOAD_FORMAT + 1, RESP_V2, KV_EXEC}, false},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct ts_bytes inner = {CASES[i].bytes, sizeof(CASES[i].bytes)};
        uint8_t bytes[64];
        struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
        session_msg_encode(
            &w,
            &(struct session_msg){
                .op = SESSION_REQUEST, .session = 1, .connection = 1, .number = 1, .rest = inner});
        ts_put_bytes(&w, inner.data, inner.len);
        struct ts_bytes outer = {bytes, w.len};
        assert_int_equal(kv_with_sessions.knows(kv, inner), CASES[i].known);
        assert_int_equal(kv_with_sessions.knows(kv, outer), CASES[i].known);
        assert_true(service.knows(f.state, outer));
        bytes[1] = SESSION_REQUEST + 1;
        assert_false(kv_with_sessions.knows(kv, outer));
        assert_false(service.knows(f.state, outer));
    }
    kv_with_sessions.destroy(kv);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session_request_again_gets_the_same_reply),
        cmocka_unit_test(test_session_resume_gives_replies_and_ends_the_old_connection),
        cmocka_unit_test(test_session_unknown_and_ended_are_refused),
        cmocka_unit_test(test_session_ids_after_a_restore_are_new),
        cmocka_unit_test(test_session_full_refuses_until_acknowledged),
        cmocka_unit_test(test_session_idle_ends),
        cmocka_unit_test(test_session_full_table_yields_the_idle),
        cmocka_unit_test(test_session_full_replies_yield_the_idle),
        cmocka_unit_test(test_session_user_has_a_share),
        cmocka_unit_test(test_session_refused_request_moves_time),
        cmocka_unit_test(test_session_walk_and_load),
        cmocka_unit_test(test_session_malformed_is_refused),
        cmocka_unit_test(test_session_newer_commands_are_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
