/* The order in which effects are performed, with a real core: the journal starts before anything is
 * sent, what is sent goes out before anything is applied, and only then is anybody told. */
#include "tests/unit/repl_fixture.h"

/* Goal: not ordered by who is no primary; nothing is done. */
static void test_submit_not_primary_is_refused(void **state)
{
    struct world *w = *state;
    submit(w, 1);
    assert_int_equal(w->p.fx.submit, REPL_SUBMIT_NOT_PRIMARY);
    assert_string_equal(w->log, "");
    struct cfg_config c = first_config(PEER, false);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    submit(w, 1);
    assert_int_equal(w->p.fx.submit, REPL_SUBMIT_NOT_PRIMARY);
    assert_string_equal(w->log, "");
}

/* Goal: an ordered batch goes to the journal at once, is applied when it is durable there, and the
 * core hears its digest. */
static void test_submit_alone_is_applied_when_durable(void **state)
{
    struct world *w = *state;
    struct repl_status s;
    become_primary(w, true);
    submit(w, 3);
    assert_int_equal(w->p.fx.submit, REPL_SUBMIT_ORDERED);
    assert_true(w->p.fx.first_seq.v == 2);
    assert_string_equal(w->log, "journal:4 ");
    submit(w, 1);
    assert_true(w->p.fx.first_seq.v == 5);
    persisted(w);
    assert_string_equal(w->log, "apply:2 apply:3 apply:4 apply:5 ");
    assert_true(w->released);
    repl_status(w->p.core, &s);
    assert_true(s.applied.v == 5 && s.committed.v == 5);
    assert_true(ts_hash_eq(s.digest, w->p.digest)); /* APPLIED was fed for the last batch */
}

/* Goal: a full window says BUSY, and has room again once its batches are applied. One of its four
 * slots is kept for the no-op of a takeover. */
static void test_submit_window_full_is_busy(void **state)
{
    struct world *w = *state;
    become_primary(w, true);
    for (int i = 0; i < 3; i++) {
        submit(w, 1); /* the first no-op is applied and makes room */
        assert_int_equal(w->p.fx.submit, REPL_SUBMIT_ORDERED);
    }
    submit(w, 1);
    assert_int_equal(w->p.fx.submit, REPL_SUBMIT_BUSY);
    assert_string_equal(w->log, "");
    persisted(w);
    submit(w, 1);
    assert_int_equal(w->p.fx.submit, REPL_SUBMIT_ORDERED);
    assert_true(w->p.fx.first_seq.v == 5);
}

/* Goal: the journal is started before the batch is sent, in one step. */
static void test_submit_with_peer_journals_before_send(void **state)
{
    struct world *w = *state;
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    become_primary(w, false);
    link_up(w);
    struct repl_msg_position m = {.config_epoch = {2}, .incarnation = {102}, .instance = {202}};
    repl_msg_position_encode(&m, &wr);
    message(w, REPL_MSG_POSITION, &wr);
    assert_string_equal(w->log, "append1 "); /* the no-op, from the window */
    submit(w, 2);
    assert_string_equal(w->log, "journal:3 append1 ");
    persisted(w); /* the peer is not in sync: nobody waits for it */
    assert_string_equal(w->log, "apply:2 apply:3 ");
}

/* Goal: a takeover journals its no-op before the config goes out, and all that before the role is
 * told; what a takeover applies is released to nobody. */
static void test_takeover_publishes_before_apply_and_role(void **state)
{
    struct world *w = *state;
    struct cfg_config c = first_config(SELF, false);
    link_up(w);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    reg_answer(w, REPL_EV_REG_PREPARED, &c);
    assert_string_equal(w->log, "floor:2 ");
    floor_persisted(w);
    assert_string_equal(w->log, "reg:1 ");
    c = w->proposal;
    reg_answer(w, REPL_EV_REG_WON, &c);
    assert_string_equal(w->log, "journal:1 config0 role:3 ");
    persisted(w);
    assert_string_equal(w->log, "apply:1 role:3 ");
    assert_false(w->released);
}

/* Goal: a secondary acknowledges only what is durable, with the digest of what it has applied; each
 * batch's APPLIED is fed before the acknowledgement that follows from it. */
static void test_secondary_acknowledges_after_apply(void **state)
{
    struct world *w = *state;
    uint8_t bytes[1024];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct cfg_config c = first_config(PEER, false);
    struct repl_request noop = {.kind = SVC_ENTRY_NOOP};
    link_up(w);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    struct repl_msg_append m = {.epoch = {1}, .committed = {2}};
    repl_msg_append_encode(&m, &wr);
    size_t first = wr.len;
    repl_batch_encode(&wr, m.epoch, (struct ts_seq){1}, (struct ts_ltime){7}, m.prev.hash, &noop,
                      1);
    struct ts_hash prev = ts_hash_bytes(bytes + first, wr.len - first);
    repl_batch_encode(&wr, m.epoch, (struct ts_seq){2}, (struct ts_ltime){8}, prev, &noop, 1);
    message(w, REPL_MSG_APPEND, &wr);
    assert_string_equal(w->log, "floor:1 journal:1 journal:2 ");
    floor_persisted(w); /* nothing is durable yet but the promise: position 0 */
    assert_string_equal(w->log, "ack0 ");
    assert_true(w->sent.u.ack.pos.seq.v == 0 && w->sent.u.ack.applied.v == 0);
    persisted(w);
    assert_string_equal(w->log, "ack0 apply:1 apply:2 ack0 ");
    assert_true(w->sent.u.ack.pos.seq.v == 2 && w->sent.u.ack.applied.v == 2);
    assert_true(ts_hash_eq(w->sent.u.ack.digest, w->p.digest));
    assert_false(w->released);
}

/* Goal: waiting clients are let go and the role is told after everything else. */
static void test_disk_failure_tells_last(void **state)
{
    struct world *w = *state;
    become_primary(w, true);
    submit(w, 1);
    step(w, (struct repl_event){.kind = REPL_EV_DISK_FAILED});
    assert_string_equal(w->log, "close:0 role:4 ");
    persisted(w);
    assert_string_equal(w->log, "");
    submit(w, 1);
    assert_int_equal(w->p.fx.submit, REPL_SUBMIT_NOT_PRIMARY);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_submit_not_primary_is_refused),
        T(test_submit_alone_is_applied_when_durable),
        T(test_submit_window_full_is_busy),
        T(test_submit_with_peer_journals_before_send),
        T(test_takeover_publishes_before_apply_and_role),
        T(test_secondary_acknowledges_after_apply),
        T(test_disk_failure_tells_last),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
