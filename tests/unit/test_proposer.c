/* The proposer's timers, limits and distrust; its protocol is in tests/script/register. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cluster-cfg/proposer.h"

#define REG 1
#define RETRY (50 * TS_NS_PER_MS)

struct fixture {
    struct proposer p;
    struct proposer_effects fx;
    struct ts_mono now;
};

static int setup_voters(void **state, uint8_t voters)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->now.ns = TS_NS_PER_S;
    struct proposer_config cfg = {
        .reg = REG,
        .self = {1},
        .instance = {100},
        .generation = 1,
        .voters = voters,
        .retry_ns = RETRY,
        .seed = 3,
    };
    proposer_init(&f->p, &cfg);
    for (uint8_t v = 0; v < voters; v++) {
        struct proposer_event ev = {.kind = PROPOSER_EVENT_VOTER_UP, .now = f->now, .voter = v};
        proposer_step(&f->p, &ev, &f->fx);
    }
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_voters(state, 3);
}

static int setup_five(void **state)
{
    return setup_voters(state, 5);
}

static int setup_one(void **state)
{
    return setup_voters(state, 1);
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void step(struct fixture *f, struct proposer_event ev)
{
    ev.now = f->now;
    proposer_step(&f->p, &ev, &f->fx);
    proposer_check_invariants(&f->p);
}

static struct cfg_config config(uint64_t epoch, uint64_t nonce)
{
    struct cfg_config c = {.epoch = {epoch}, .primary = {1}, .proposer = {100}, .nonce = nonce};
    cfg_set_add(&c.members, (struct cfg_replica){{1}, {11}});
    c.in_sync = c.members;
    return c;
}

static void op(struct fixture *f, enum proposer_op kind)
{
    struct cfg_config c = config(2, 7);
    step(f, (struct proposer_event){
                .kind = PROPOSER_EVENT_OP, .op = kind, .expected = {1}, .config = &c});
}

static void message(struct fixture *f, uint8_t voter, const struct reg_msg *m)
{
    step(f, (struct proposer_event){.kind = PROPOSER_EVENT_MESSAGE, .voter = voter, .msg = m});
}

static void promise(struct fixture *f, uint8_t voter, struct reg_ballot accepted,
                    const struct cfg_config *c)
{
    struct reg_msg m = {.type = REG_MSG_PROMISE,
                        .promise = {.reg = REG, .ballot = f->p.ballot, .accepted = accepted}};
    struct ts_writer w = ts_writer_init(m.promise.value.data, REG_VALUE_MAX);
    cfg_config_encode(c, &w);
    m.promise.value.len = (uint16_t)w.len;
    message(f, voter, &m);
}

static void promise_genesis(struct fixture *f, uint8_t voter)
{
    struct cfg_config c = config(1, 0);
    promise(f, voter, (struct reg_ballot){0}, &c);
}

static void accepted(struct fixture *f, uint8_t voter)
{
    struct reg_msg m = {.type = REG_MSG_ACCEPTED, .accepted = {REG, f->p.ballot}};
    message(f, voter, &m);
}

static void nack(struct fixture *f, uint8_t voter, struct reg_ballot promised,
                 enum reg_nack_reason reason)
{
    struct reg_msg m = {.type = REG_MSG_NACK, .nack = {REG, f->p.ballot, promised, reason}};
    message(f, voter, &m);
}

static void tick(struct fixture *f)
{
    f->now = proposer_deadline(&f->p);
    step(f, (struct proposer_event){.kind = PROPOSER_EVENT_TICK});
}

static size_t count(const struct fixture *f, enum proposer_effect_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < f->fx.count; i++) {
        n += f->fx.e[i].kind == kind;
    }
    return n;
}

static const struct proposer_result *result(const struct fixture *f)
{
    for (size_t i = 0; i < f->fx.count; i++) {
        if (f->fx.e[i].kind == PROPOSER_EFFECT_DONE) {
            return &f->fx.e[i].result;
        }
    }
    return NULL;
}

/* Goal: silence is met with re-sends that double up to twenty times the first. */
static void test_proposer_tick_silence_doubles_to_limit(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_READ);
    assert_int_equal(count(f, PROPOSER_EFFECT_SEND), 3);
    uint64_t before = f->now.ns;
    uint64_t expected = RETRY;
    for (int i = 0; i < 10; i++) {
        assert_true(proposer_deadline(&f->p).ns - before == expected);
        before = proposer_deadline(&f->p).ns;
        tick(f);
        assert_int_equal(count(f, PROPOSER_EFFECT_SEND), 3);
        expected = expected * 2 < 20 * RETRY ? expected * 2 : 20 * RETRY;
    }
    assert_int_equal(f->p.ballot.counter, 1); /* asked again, not outbid by itself */
}

/* Goal: an early TICK does nothing. */
static void test_proposer_tick_before_deadline_does_nothing(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_READ);
    step(f, (struct proposer_event){.kind = PROPOSER_EVENT_TICK});
    assert_int_equal(f->fx.count, 0);
}

/* Goal: nothing is sent to a voter that is down; it gets what is outstanding when it is back. */
static void test_proposer_voter_down_then_up_gets_outstanding(void **state)
{
    struct fixture *f = *state;
    step(f, (struct proposer_event){.kind = PROPOSER_EVENT_VOTER_DOWN, .voter = 2});
    op(f, PROPOSER_OP_CAS);
    assert_int_equal(count(f, PROPOSER_EFFECT_SEND), 2);
    promise_genesis(f, 0);
    step(f, (struct proposer_event){.kind = PROPOSER_EVENT_VOTER_UP, .voter = 2});
    assert_int_equal(count(f, PROPOSER_EFFECT_SEND), 1);
    assert_int_equal(f->fx.e[0].msg.type, REG_MSG_PREPARE);
    promise_genesis(f, 1);
    step(f, (struct proposer_event){.kind = PROPOSER_EVENT_VOTER_UP, .voter = 2});
    assert_int_equal(f->fx.e[0].msg.type, REG_MSG_ACCEPT);
    accepted(f, 0);
    accepted(f, 2);
    assert_int_equal(result(f)->outcome, PROPOSER_WON);
    assert_true(proposer_deadline(&f->p).ns == UINT64_MAX);
}

/* Goal: a refusal of the repeat of one's own prepare, over a new connection, means that the promise
 * was lost: bid again at once when that majority is needed. */
static void test_proposer_promise_lost_with_connection_bids_again(void **state)
{
    struct fixture *f = *state;
    step(f, (struct proposer_event){.kind = PROPOSER_EVENT_VOTER_DOWN, .voter = 2});
    op(f, PROPOSER_OP_READ);
    promise_genesis(f, 0);
    step(f, (struct proposer_event){.kind = PROPOSER_EVENT_VOTER_DOWN, .voter = 1});
    step(f, (struct proposer_event){.kind = PROPOSER_EVENT_VOTER_UP, .voter = 1});
    nack(f, 1, f->p.ballot, REG_NACK_BALLOT);
    assert_int_equal(f->p.ballot.counter, 2);
    assert_int_equal(count(f, PROPOSER_EFFECT_SEND), 2);
}

/* Goal: over the same connection the promise is under way, and still counts. */
static void test_proposer_repeat_refused_then_promise_counts(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_PREPARE);
    tick(f);
    nack(f, 0, f->p.ballot, REG_NACK_BALLOT);
    nack(f, 1, f->p.ballot, REG_NACK_BALLOT);
    assert_int_equal(f->p.ballot.counter, 1);
    promise_genesis(f, 0);
    promise_genesis(f, 1);
    assert_int_equal(result(f)->outcome, PROPOSER_PREPARED);
    assert_true(proposer_is_prepared(&f->p));
}

/* Goal: an operation that is given up while voters are not ready leaves no alarm behind: nobody
 * would ask them again. Found by the soak: a secondary said "no majority" for ever. */
static void test_proposer_abandoned_refusals_forgotten(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_PREPARE);
    nack(f, 0, (struct reg_ballot){0}, REG_NACK_NOT_READY);
    nack(f, 1, (struct reg_ballot){0}, REG_NACK_NOT_READY);
    assert_int_equal(proposer_answering(&f->p, f->now), 1);
    proposer_abandon(&f->p);
    message(f, 2, &(struct reg_msg){.type = REG_MSG_NACK, .nack = {.reg = REG}});
    f->now = ts_mono_add(f->now, 100 * RETRY);
    assert_int_equal(proposer_answering(&f->p, f->now), 3);
}

/* Goal: a voter that is not ready is asked again soon, without doubling. */
static void test_proposer_not_ready_asked_again_without_doubling(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_READ);
    nack(f, 0, (struct reg_ballot){0}, REG_NACK_NOT_READY);
    nack(f, 1, (struct reg_ballot){0}, REG_NACK_NOT_READY);
    assert_int_equal(proposer_answering(&f->p, f->now), 1);
    for (int i = 0; i < 5; i++) {
        tick(f);
        nack(f, 0, (struct reg_ballot){0}, REG_NACK_NOT_READY);
    }
    assert_true(proposer_deadline(&f->p).ns - f->now.ns == RETRY);
}

/* Goal: a voter that goes on refusing for a higher ballot makes the proposer wait a bounded,
 * growing while. */
static void test_proposer_outbid_backs_off_bounded(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_READ);
    for (uint64_t i = 0; i < 12; i++) {
        struct reg_ballot above = {f->p.ballot.counter + 10, {2}, {200}};
        nack(f, 0, above, REG_NACK_BALLOT);
        nack(f, 1, above, REG_NACK_BALLOT);
        if (f->p.phase == PROPOSER_BACKING_OFF) {
            assert_true(proposer_deadline(&f->p).ns - f->now.ns < 8 * RETRY);
            tick(f);
        }
        assert_int_equal(f->p.phase, PROPOSER_PREPARING);
        assert_true(f->p.ballot.counter > above.counter);
    }
}

/* Goal: who lost a quick round waits about as long as it took, not for a part of the patience with
 * silent voters; who lost a slow one, not longer than that part. */
static void test_proposer_backs_off_by_the_round(void **state)
{
    struct fixture *f = *state;
    const uint64_t took[] = {TS_NS_PER_MS, 10 * RETRY};
    for (size_t i = 0; i < 2; i++) {
        op(f, PROPOSER_OP_READ);
        for (int lost = 0; lost < 2; lost++) {
            struct reg_ballot above = {f->p.ballot.counter + 10, {2}, {200}};
            f->now = ts_mono_add(f->now, took[i]);
            nack(f, 0, above, REG_NACK_BALLOT);
            nack(f, 1, above, REG_NACK_BALLOT);
        }
        assert_int_equal(f->p.phase, PROPOSER_BACKING_OFF);
        uint64_t wait = proposer_deadline(&f->p).ns - f->now.ns;
        assert_in_range(wait, i == 0 ? TS_NS_PER_MS : RETRY / 32,
                        i == 0 ? 3 * TS_NS_PER_MS : RETRY / 10);
        proposer_abandon(&f->p);
    }
}

static void outbid_by(struct fixture *f, uint64_t counter)
{
    struct reg_ballot above = {counter, {2}, {200}};
    nack(f, 0, above, REG_NACK_BALLOT);
    nack(f, 1, above, REG_NACK_BALLOT);
}

/* Goal: while a proposer waits, others go on. What refuses its next ballot may be done long ago: it
 * tells which one to beat, and is no reason for another wait, which would be twice as long. */
static void test_proposer_outbid_after_wait_asks_at_once(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_READ);
    outbid_by(f, 10);
    assert_int_equal(f->p.phase, PROPOSER_PREPARING);
    for (uint64_t i = 2; i < 20; i++) {
        outbid_by(f, 10 * i);
        assert_int_equal(f->p.phase, PROPOSER_BACKING_OFF); /* somebody is chasing it */
        tick(f);
        outbid_by(f, 10 * i + 5);
        assert_int_equal(f->p.phase, PROPOSER_PREPARING);
        assert_true(f->p.ballot.counter == 10 * i + 6);
    }
}

/* Goal: an unreadable value, an empty one, and one that contradicts another voter's at the same
 * ballot do not count as promises. */
static void test_proposer_promise_distrusted(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_READ);
    promise_genesis(f, 0);
    struct reg_msg m = {.type = REG_MSG_PROMISE,
                        .promise = {.reg = REG, .ballot = f->p.ballot, .value = {.len = 3}}};
    message(f, 1, &m);
    assert_int_equal(f->fx.e[0].trace.kind, TS_TRACE_REJECTED_INPUT);
    m.promise.value.len = 0;
    message(f, 1, &m);
    assert_int_equal(f->fx.e[0].trace.kind, TS_TRACE_ALARM_REGISTER_EMPTY);
    struct cfg_config other = config(1, 8);
    promise(f, 2, (struct reg_ballot){0}, &other);
    assert_int_equal(f->fx.e[0].trace.kind, TS_TRACE_ALARM_TWO_VALUES);
    assert_int_equal(f->p.phase, PROPOSER_PREPARING);
    assert_int_equal(proposer_answering(&f->p, f->now), 1);
}

/* Goal: of several accepted values the one of the highest ballot counts, not of the highest epoch
 * nor of the last voter. */
static void test_proposer_highest_accepted_ballot_is_seen(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_PREPARE);
    struct cfg_config newest = config(4, 44);
    struct cfg_config older = config(9, 99);
    f->p.ballot.counter = 50; /* as if it had bid so high */
    promise(f, 1, (struct reg_ballot){20, {2}, {1}}, &newest);
    promise(f, 2, (struct reg_ballot){19, {3}, {1}}, &older);
    assert_int_equal(result(f)->value.nonce, 44);
}

/* Goal: majorities of five are three, of one one. */
static void test_proposer_majority_of_five(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(proposer_majority(&f->p), 3);
    op(f, PROPOSER_OP_CAS);
    promise_genesis(f, 0);
    promise_genesis(f, 4);
    assert_int_equal(f->p.phase, PROPOSER_PREPARING);
    promise_genesis(f, 2);
    assert_int_equal(count(f, PROPOSER_EFFECT_SEND), 5);
    accepted(f, 0);
    accepted(f, 0);
    accepted(f, 1);
    assert_null(result(f));
    accepted(f, 3);
    assert_int_equal(result(f)->outcome, PROPOSER_WON);
}

static void test_proposer_majority_of_one(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_READ);
    promise_genesis(f, 0);
    accepted(f, 0);
    assert_int_equal(result(f)->outcome, PROPOSER_DECIDED);
    assert_int_equal(result(f)->value.epoch.v, 1);
}

/* Goal: another register's messages, requests, and other ballots change nothing. */
static void test_proposer_foreign_messages_ignored(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_READ);
    struct reg_msg m = {.type = REG_MSG_ACCEPTED, .accepted = {REG + 1, f->p.ballot}};
    message(f, 0, &m);
    m.accepted.reg = REG;
    message(f, 0, &m); /* nothing was sent to be accepted */
    m = (struct reg_msg){.type = REG_MSG_PREPARE, .prepare = {REG, f->p.ballot}};
    message(f, 0, &m);
    m = (struct reg_msg){.type = REG_MSG_NACK,
                         .nack = {REG, {9, {1}, {99}}, {10, {2}, {1}}, REG_NACK_BALLOT}};
    message(f, 0, &m);
    assert_int_equal(f->fx.count, 0);
    assert_int_equal(f->p.phase, PROPOSER_PREPARING);
    assert_int_equal(f->p.counter_seen, 0);
}

/* Goal: a voter that leaves a request unanswered stops to count as answering; its next word counts.
 */
static void test_proposer_answering_falls_with_silence(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(proposer_answering(&f->p, f->now), 3);
    op(f, PROPOSER_OP_READ);
    promise_genesis(f, 0);
    f->now = ts_mono_add(f->now, 4 * RETRY);
    assert_int_equal(proposer_connected(&f->p), 3);
    assert_int_equal(proposer_answering(&f->p, f->now), 1);
    promise_genesis(f, 1);
    accepted(f, 0);
    accepted(f, 1);
    assert_int_equal(proposer_answering(&f->p, f->now), 2);
    assert_false(proposer_is_busy(&f->p));
}

/* Goal: after abandoning, a new operation has a new ballot, and what belongs to the old one counts
 * for nothing. */
static void test_proposer_abandon_then_new_ballot(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_CAS);
    promise_genesis(f, 0);
    promise_genesis(f, 1);
    struct reg_ballot old = f->p.ballot;
    proposer_abandon(&f->p);
    proposer_check_invariants(&f->p);
    assert_true(proposer_deadline(&f->p).ns == UINT64_MAX);
    op(f, PROPOSER_OP_READ);
    assert_true(reg_ballot_cmp(f->p.ballot, old) > 0);
    struct reg_msg m = {.type = REG_MSG_ACCEPTED, .accepted = {REG, old}};
    message(f, 0, &m);
    message(f, 1, &m);
    assert_null(result(f));
}

/* Goal: a PREPARE's kept ballot is used by one swap only. */
static void test_proposer_kept_ballot_is_used_once(void **state)
{
    struct fixture *f = *state;
    op(f, PROPOSER_OP_PREPARE);
    promise_genesis(f, 0);
    promise_genesis(f, 1);
    assert_int_equal(result(f)->outcome, PROPOSER_PREPARED);
    op(f, PROPOSER_OP_CAS);
    assert_int_equal(f->fx.e[0].msg.type, REG_MSG_ACCEPT);
    accepted(f, 0);
    accepted(f, 2);
    assert_int_equal(result(f)->outcome, PROPOSER_WON);
    assert_false(proposer_is_prepared(&f->p));
    op(f, PROPOSER_OP_READ);
    assert_int_equal(f->fx.e[0].msg.type, REG_MSG_PREPARE);
    assert_int_equal(f->p.ballot.counter, 2);
}

int main(void)
{
#define WITH(set, test) cmocka_unit_test_setup_teardown(test, set, teardown)
    const struct CMUnitTest tests[] = {
        WITH(setup, test_proposer_tick_silence_doubles_to_limit),
        WITH(setup, test_proposer_tick_before_deadline_does_nothing),
        WITH(setup, test_proposer_voter_down_then_up_gets_outstanding),
        WITH(setup, test_proposer_promise_lost_with_connection_bids_again),
        WITH(setup, test_proposer_repeat_refused_then_promise_counts),
        WITH(setup, test_proposer_not_ready_asked_again_without_doubling),
        WITH(setup, test_proposer_abandoned_refusals_forgotten),
        WITH(setup, test_proposer_outbid_backs_off_bounded),
        WITH(setup, test_proposer_backs_off_by_the_round),
        WITH(setup, test_proposer_outbid_after_wait_asks_at_once),
        WITH(setup, test_proposer_promise_distrusted),
        WITH(setup, test_proposer_highest_accepted_ballot_is_seen),
        WITH(setup_five, test_proposer_majority_of_five),
        WITH(setup_one, test_proposer_majority_of_one),
        WITH(setup, test_proposer_foreign_messages_ignored),
        WITH(setup, test_proposer_answering_falls_with_silence),
        WITH(setup, test_proposer_abandon_then_new_ballot),
        WITH(setup, test_proposer_kept_ballot_is_used_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
