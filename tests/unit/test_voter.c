/* The voter's limits and refusals; its protocol is in tests/script/register. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cluster-cfg/voter.h"

#define REG 1

struct fixture {
    struct voter *v;
    struct voter_effects fx;
};

static struct reg_value bytes(uint8_t b)
{
    return (struct reg_value){.len = 1, .data = {b}};
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct voter_limits limits = {.self = {1}, .registers_max = 2, .starts_max = 2, .held_max = 2};
    assert_non_null(f);
    f->v = voter_new(&limits);
    assert_non_null(f->v);
    struct reg_value genesis = bytes(1);
    struct voter_record rec = {.kind = VOTER_RECORD_REGISTER, .reg = voter_genesis(REG, &genesis)};
    assert_int_equal(voter_restore(f->v, &rec), TS_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    voter_free(f->v);
    free(f);
    return 0;
}

static void step(struct fixture *f, const struct voter_event *ev)
{
    voter_step(f->v, ev, &f->fx);
    voter_check_invariants(f->v);
}

static void ready(struct fixture *f)
{
    step(f, &(struct voter_event){.kind = VOTER_READY});
}

static void persisted(struct fixture *f, uint64_t n)
{
    step(f, &(struct voter_event){.kind = VOTER_PERSISTED, .n = n});
}

static void message(struct fixture *f, const struct reg_msg *m)
{
    step(f, &(struct voter_event){.kind = VOTER_MESSAGE, .from = {2}, .handle = 77, .msg = m});
}

static void prepare(struct fixture *f, uint32_t reg, uint64_t counter)
{
    struct reg_msg m = {.type = REG_MSG_PREPARE, .prepare = {reg, {counter, {2}, {5}}}};
    message(f, &m);
}

static void accept(struct fixture *f, uint64_t counter, uint64_t generation, uint8_t b)
{
    struct reg_msg m = {.type = REG_MSG_ACCEPT,
                        .accept = {REG, {counter, {2}, {5}}, generation, bytes(b)}};
    message(f, &m);
}

static void start(struct fixture *f, uint64_t incarnation, uint64_t number)
{
    struct reg_msg m = {.type = REG_MSG_START,
                        .start = {{REG_OWNER_REPLICA, {1}, {2}}, {incarnation}, number, {5}}};
    message(f, &m);
}

/* The first effect is a refusal for this reason. */
static void assert_nack(const struct fixture *f, enum reg_nack_reason reason)
{
    assert_true(f->fx.count >= 1);
    assert_int_equal(f->fx.e[0].kind, VOTER_REPLY);
    assert_int_equal(f->fx.e[0].reply.handle, 77);
    assert_int_equal(f->fx.e[0].reply.msg.type, REG_MSG_NACK);
    assert_int_equal(f->fx.e[0].reply.msg.nack.reason, reason);
}

/* Goal: a register that was never listed is told apart from one that lost its value. */
static void test_voter_step_unknown_register_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(voter_list_register(f->v, 9), TS_OK);
    assert_int_equal(voter_list_register(f->v, 10), TS_ERR_LIMIT);
    assert_int_equal(voter_empty_registers(f->v), 1);
    ready(f);
    prepare(f, 8, 1);
    assert_nack(f, REG_NACK_UNKNOWN);
    prepare(f, 9, 1);
    assert_nack(f, REG_NACK_EMPTY);
    assert_null(voter_find(f->v, 9));
}

/* Goal: two records of one key are refused at start: the disk contradicts itself. */
static void test_voter_restore_twice_refused(void **state)
{
    struct fixture *f = *state;
    struct reg_value other = bytes(2);
    struct voter_record rec = {.kind = VOTER_RECORD_REGISTER, .reg = voter_genesis(REG, &other)};
    assert_int_equal(voter_restore(f->v, &rec), TS_ERR_EXISTS);
    struct voter_record s = {.kind = VOTER_RECORD_START,
                             .start = {{REG_OWNER_VOTER, {0}, {2}}, {21}, 3, {5}}};
    assert_int_equal(voter_restore(f->v, &s), TS_OK);
    assert_int_equal(voter_restore(f->v, &s), TS_ERR_EXISTS);
    s.start.incarnation.v++;
    assert_int_equal(voter_restore(f->v, &s), TS_OK);
    s.start.incarnation.v++;
    assert_int_equal(voter_restore(f->v, &s), TS_ERR_LIMIT);
}

/* Goal: with as many replies held as fit, a request is refused as busy and changes nothing; after
 * the disk has caught up it is taken. */
static void test_voter_step_held_full_is_busy(void **state)
{
    struct fixture *f = *state;
    ready(f);
    prepare(f, REG, 1);
    prepare(f, REG, 2);
    prepare(f, REG, 3);
    assert_nack(f, REG_NACK_BUSY);
    assert_int_equal(voter_find(f->v, REG)->promised.counter, 2);
    persisted(f, 2);
    assert_int_equal(f->fx.count, 2);
    prepare(f, REG, 3);
    assert_int_equal(f->fx.e[0].kind, VOTER_PERSIST);
    assert_int_equal(f->fx.e[0].persist.n, 3);
}

/* Goal: the generation of the voter set never falls (R1.6). */
static void test_voter_step_older_generation_refused(void **state)
{
    struct fixture *f = *state;
    ready(f);
    accept(f, 1, 4, 7);
    persisted(f, 1);
    assert_int_equal(f->fx.e[0].reply.msg.type, REG_MSG_ACCEPTED);
    accept(f, 2, 3, 8);
    assert_nack(f, REG_NACK_GENERATION);
    assert_int_equal(voter_find(f->v, REG)->generation, 4);
    assert_int_equal(voter_find(f->v, REG)->value.data[0], 7);
}

/* Goal: a repeat of an accept whose write is under way is confirmed only after it. */
static void test_voter_step_repeat_waits_for_first_write(void **state)
{
    struct fixture *f = *state;
    ready(f);
    accept(f, 1, 1, 7);
    accept(f, 1, 1, 7);
    assert_int_equal(f->fx.count, 0);
    persisted(f, 1);
    assert_int_equal(f->fx.count, 2);
    accept(f, 1, 1, 7);
    assert_int_equal(f->fx.count, 1);
    assert_int_equal(f->fx.e[0].reply.msg.type, REG_MSG_ACCEPTED);
}

/* Goal: one record, complete, in each write (R1.3). */
static void test_voter_step_persists_complete_record(void **state)
{
    struct fixture *f = *state;
    ready(f);
    accept(f, 1, 1, 7);
    persisted(f, 1);
    prepare(f, REG, 2);
    const struct voter_register *r = &f->fx.e[0].persist.record.reg;
    assert_int_equal(f->fx.e[0].persist.record.kind, VOTER_RECORD_REGISTER);
    assert_int_equal(r->promised.counter, 2);
    assert_int_equal(r->accepted.counter, 1);
    assert_int_equal(r->value.data[0], 7);
    assert_int_equal(r->generation, 1);
}

/* Goal: a full table of starts answers nobody new, and still serves those it knows. */
static void test_voter_step_starts_full_gives_no_answer(void **state)
{
    struct fixture *f = *state;
    ready(f);
    start(f, 21, 1);
    persisted(f, 1);
    start(f, 22, 1);
    persisted(f, 2);
    start(f, 23, 1);
    assert_int_equal(f->fx.count, 1);
    assert_int_equal(f->fx.e[0].kind, VOTER_TRACE);
    start(f, 21, 2);
    assert_int_equal(f->fx.e[0].kind, VOTER_PERSIST);
    assert_int_equal(f->fx.e[0].persist.record.start.start, 2);
}

/* Goal: a copy of this voter's disk in another place gets no answer from the original either: it is
 * never confirmed by a majority. */
static void test_voter_step_copy_of_own_disk_gets_no_answer(void **state)
{
    struct fixture *f = *state;
    voter_set_disk(f->v, (struct ts_incarnation){21}, &(struct reg_places){.count = 0});
    start(f, 21, 1);
    assert_int_equal(f->fx.count, 1);
    assert_int_equal(f->fx.e[0].kind, VOTER_TRACE);
    assert_int_equal(f->fx.e[0].trace.kind, TS_TRACE_REJECTED_INPUT); /* which one is the copy? */
    ready(f);
    start(f, 21, 1);
    assert_int_equal(f->fx.count, 1);
    assert_int_equal(f->fx.e[0].kind, VOTER_TRACE);
    assert_int_equal(f->fx.e[0].trace.kind, TS_TRACE_FOREIGN_DISK);
    assert_int_equal(f->fx.e[0].trace.b, 1);
    start(f, 22, 1);
    assert_int_equal(f->fx.e[0].kind, VOTER_PERSIST);
}

/* Goal: after a failed write nothing is answered, held replies included (R1.3). */
static void test_voter_step_after_failed_persist_is_silent(void **state)
{
    struct fixture *f = *state;
    ready(f);
    prepare(f, REG, 1);
    step(f, &(struct voter_event){.kind = VOTER_PERSIST_FAILED});
    assert_true(voter_has_failed(f->v));
    assert_false(voter_is_ready(f->v));
    persisted(f, 1);
    assert_int_equal(f->fx.count, 0);
    prepare(f, REG, 2);
    assert_int_equal(f->fx.count, 0);
    start(f, 21, 1);
    assert_int_equal(f->fx.count, 0);
}

/* Goal: replies are no requests; a voter counts them and says nothing. */
static void test_voter_step_reply_is_rejected(void **state)
{
    struct fixture *f = *state;
    ready(f);
    struct reg_msg m = {.type = REG_MSG_ACCEPTED, .accepted = {REG, {1, {2}, {5}}}};
    message(f, &m);
    assert_int_equal(f->fx.count, 1);
    assert_int_equal(f->fx.e[0].kind, VOTER_TRACE);
    assert_int_equal(f->fx.e[0].trace.kind, TS_TRACE_REJECTED_INPUT);
}

/* Goal: records survive the disk; damaged or newer ones do not pass. */
static void test_voter_record_round_trip(void **state)
{
    (void)state;
    struct voter_record rec = {
        .kind = VOTER_RECORD_REGISTER,
        .reg = {3, {9, {1}, {4}}, {8, {2}, {5}}, {.len = 0}, 6},
    };
    rec.reg.value = bytes(1);
    uint8_t mem[VOTER_RECORD_MAX];
    struct ts_writer w = ts_writer_init(mem, sizeof(mem));
    voter_record_encode(&rec, &w);
    assert_int_equal(ts_writer_status(&w), TS_OK);
    struct voter_record back;
    assert_int_equal(voter_record_decode(&back, (struct ts_bytes){mem, w.len}), TS_OK);
    assert_int_equal(back.reg.reg, 3);
    assert_int_equal(reg_ballot_cmp(back.reg.promised, rec.reg.promised), 0);
    assert_int_equal(reg_ballot_cmp(back.reg.accepted, rec.reg.accepted), 0);
    assert_int_equal(back.reg.generation, 6);
    assert_true(reg_value_eq(&back.reg.value, &rec.reg.value));
    for (size_t len = 0; len < w.len; len++) {
        assert_int_not_equal(voter_record_decode(&back, (struct ts_bytes){mem, len}), TS_OK);
    }
    mem[0]++;
    assert_int_equal(voter_record_decode(&back, (struct ts_bytes){mem, w.len}), TS_ERR_VERSION);
}

int main(void)
{
#define WITH_VOTER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_VOTER(test_voter_step_unknown_register_refused),
        WITH_VOTER(test_voter_restore_twice_refused),
        WITH_VOTER(test_voter_step_held_full_is_busy),
        WITH_VOTER(test_voter_step_older_generation_refused),
        WITH_VOTER(test_voter_step_repeat_waits_for_first_write),
        WITH_VOTER(test_voter_step_persists_complete_record),
        WITH_VOTER(test_voter_step_starts_full_gives_no_answer),
        WITH_VOTER(test_voter_step_copy_of_own_disk_gets_no_answer),
        WITH_VOTER(test_voter_step_after_failed_persist_is_silent),
        WITH_VOTER(test_voter_step_reply_is_rejected),
        cmocka_unit_test(test_voter_record_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
