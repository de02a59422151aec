/* The stream of batches to a peer: where it begins, and that a change of epoch does not disturb it.
 */
#include "tests/unit/repl_fixture.h"

/* An active primary of epoch 2 whose window begins behind seq 4; its peer is no longer in sync. */
static void primary_with_history(struct world *w)
{
    become_primary(w, false);
    for (int i = 0; i < 7; i++) {
        submit(w, 1);
        persisted(w);
    }
    link_up(w);
}

static void say_refused(struct world *w)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct ts_epoch epoch = status(w).config.epoch;
    struct repl_msg_refused m = {.epoch = epoch, .floor = ts_epoch_next(epoch)};
    repl_msg_refused_encode(&m, &wr);
    message(w, REPL_MSG_REFUSED, &wr);
}

/* The peer has sealed the epoch: the primary raises it. */
static void raise_epoch(struct world *w)
{
    say_refused(w);
    assert_int_equal(w->op_kind, REPL_EF_REG_CAS);
    struct cfg_config c = w->proposal;
    reg_answer(w, REPL_EV_REG_WON, &c);
}

/* Goal: a learner that is fed from the journal hears of the new epoch with a repeat of its
 * position: what it acknowledges in the new one continues the stream. */
static void test_epoch_raised_while_draining_goes_on(void **state)
{
    struct world *w = *state;
    primary_with_history(w);
    say_position(w, 2, (struct repl_pos){{0}, {0, 0}});
    assert_string_equal(w->log, "fetch:0 ");
    fetched(w, 0, 1, 2);
    assert_string_equal(w->log, "append1 ");
    raise_epoch(w);
    assert_non_null(strstr(w->log, "config0 append0 "));
    assert_true(w->sent.u.append.epoch.v == 3 && w->sent.u.append.prev.seq.v == 2);
}

/* Goal: so does a learner whose batches are just read. */
static void test_epoch_raised_while_fetching_goes_on(void **state)
{
    struct world *w = *state;
    primary_with_history(w);
    say_position(w, 2, (struct repl_pos){{0}, {0, 0}});
    raise_epoch(w);
    assert_null(strstr(w->log, "append"));
    fetched(w, 0, 1, 2);
    assert_string_equal(w->log, "append1 ");
    assert_true(w->sent.u.append.epoch.v == 3);
}

/* Goal: an epoch that is over is not raised once more: the peer that refused it may have heard of
 * the new one before we did (seed 370624225 of a simulation: an epoch too many). */
static void test_epoch_refused_while_raised_is_raised_once(void **state)
{
    struct world *w = *state;
    primary_with_history(w);
    say_position(w, 2, (struct repl_pos){{0}, {0, 0}});
    say_refused(w);
    struct cfg_config c = w->proposal;
    say_refused(w);
    reg_answer(w, REPL_EV_REG_WON, &c);
    assert_null(strstr(w->log, "reg:"));
}

static void nothing_fetched(struct world *w, uint64_t after)
{
    struct repl_event ev = {.kind = REPL_EV_FETCHED, .peer = {PEER}};
    ev.u.fetched.after.v = after;
    step(w, ev);
}

/* Goal: a read of the journal that failed is tried again, after a pause. */
static void test_fetch_failed_is_tried_again(void **state)
{
    struct world *w = *state;
    primary_with_history(w);
    say_position(w, 2, (struct repl_pos){{0}, {0, 0}});
    nothing_fetched(w, 0);
    assert_string_equal(w->log, "");
    tick_after(w, 10);
    assert_string_equal(w->log, "");
    assert_false(ts_mono_lt(ts_mono_add(w->now, 100 * TS_NS_PER_MS), repl_deadline(w->p.core)));
    tick_after(w, 100);
    assert_string_equal(w->log, "fetch:0 ");
    fetched(w, 0, 1, 2);
    assert_string_equal(w->log, "append1 ");
}

static void say_ack(struct world *w, uint64_t seq)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct repl_msg_ack m = {
        .epoch = {2}, .incarnation = {102}, .instance = {202}, .pos = {{seq}, {seq, seq}}};
    repl_msg_ack_encode(&m, &wr);
    message(w, REPL_MSG_ACK, &wr);
}

/* Goal: a learner that is behind the window is not required while its next piece cannot be read:
 * what the window holds says nothing of how much it lacks (seed 5528 of a simulation: commits
 * waited for it, again and again). */
static void test_fetch_failed_does_not_require_the_learner(void **state)
{
    struct world *w = *state;
    primary_with_history(w);
    say_position(w, 2, (struct repl_pos){{0}, {0, 0}});
    fetched(w, 0, 1, 2);
    say_ack(w, 2);
    assert_string_equal(w->log, "fetch:2 ");
    nothing_fetched(w, 2);
    tick_after(w, 10);
    assert_int_equal(status(w).required_mask, 1U << SELF);
}

/* Goal: a learner whose next entries the journal has dropped is asked whether it has what is in
 * front of the rest, and is sent nothing of that before it says so: it takes a snapshot meanwhile
 * (a soak: the window, again and again, filled a link until that broke, for half a minute). */
static void test_fetch_of_what_is_gone_sends_no_more(void **state)
{
    struct world *w = *state;
    primary_with_history(w);
    say_position(w, 2, (struct repl_pos){{0}, {0, 0}});
    struct repl_event ev = {.kind = REPL_EV_FETCHED, .peer = {PEER}};
    struct repl_batch b;
    struct repl_pos base = {.seq = {5}};
    repl_batch_at(w->p.core, base.seq, &b, &base.hash);
    ev.u.fetched.base = base;
    step(w, ev);
    assert_string_equal(w->log, "append0 ");
    assert_true(repl_pos_eq(w->sent.u.append.prev, base));
    submit(w, 1);
    assert_null(strstr(w->log, "append1"));
    /* It has none of it: the same again. */
    say_position(w, 2, (struct repl_pos){{0}, {0, 0}});
    assert_string_equal(w->log, "fetch:0 ");
    step(w, ev);
    assert_string_equal(w->log, "append0 ");
    /* It has it: what follows is sent. */
    struct repl_msg_ack m = {.epoch = {2}, .incarnation = {102}, .instance = {202}, .pos = base};
    give_ack(w, &m);
    assert_non_null(strstr(w->log, "append"));
    assert_true(repl_pos_eq(w->sent.u.append.prev, base));
}

/* Goal: the answer to a read that was begun for an earlier link is not sent where the peer is not;
 * the stream of the new link reads for itself, and takes either answer once. */
static void test_fetch_answered_after_link_broke(void **state)
{
    struct world *w = *state;
    primary_with_history(w);
    say_position(w, 2, (struct repl_pos){{0}, {0, 0}});
    step(w, (struct repl_event){.kind = REPL_EV_LINK_DOWN, .peer = {PEER}});
    fetched(w, 0, 1, 2); /* nobody is there */
    assert_string_equal(w->log, "");
    link_up(w);
    fetched(w, 0, 1, 2); /* it has not said where it is */
    assert_string_equal(w->log, "");
    say_position(w, 2, (struct repl_pos){{2}, {2, 2}});
    assert_string_equal(w->log, "fetch:2 ");
    fetched(w, 0, 1, 2); /* it is further by now */
    assert_string_equal(w->log, "");
    fetched(w, 2, 3, 2);
    assert_string_equal(w->log, "append1 ");
    assert_true(w->sent.u.append.prev.seq.v == 2);
    fetched(w, 2, 3, 2);
    assert_string_equal(w->log, "");
}

/* Goal: a position from before the peer heard of the present config only tells it of that; the
 * stream begins, once, with the one that follows. */
static void test_position_of_older_config_starts_nothing(void **state)
{
    struct world *w = *state;
    become_primary(w, false);
    link_up(w);
    say_position(w, 1, (struct repl_pos){{0}, {0, 0}});
    assert_string_equal(w->log, "config0 ");
    say_position(w, 2, (struct repl_pos){{0}, {0, 0}});
    assert_string_equal(w->log, "append1 ");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_epoch_raised_while_draining_goes_on),
        T(test_epoch_refused_while_raised_is_raised_once),
        T(test_epoch_raised_while_fetching_goes_on),
        T(test_fetch_failed_is_tried_again),
        T(test_fetch_failed_does_not_require_the_learner),
        T(test_fetch_of_what_is_gone_sends_no_more),
        T(test_fetch_answered_after_link_broke),
        T(test_position_of_older_config_starts_nothing),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
