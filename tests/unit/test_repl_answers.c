/* A primary and its secondary: which acknowledgements (R2.3) and confirmations (R2.9) count. */
#include "tests/unit/repl_fixture.h"

static void say_confirmed(struct world *w, const struct repl_msg_confirmed *m)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    repl_msg_confirmed_encode(m, &wr);
    message(w, REPL_MSG_CONFIRMED, &wr);
}

/* Goal: an entry waits for the secondary's word in this epoch, of its process and its disk, on this
 * log; what resembles it moves nothing. */
static void test_ack_counts_only_when_all_matches(void **state)
{
    struct world *w = *state;
    with_secondary(w);
    submit(w, 1);
    persisted(w);
    struct ts_seq before = status(w).applied;
    struct repl_msg_ack right = true_ack(w);
    struct repl_msg_ack wrong[5] = {right, right, right, right, right};
    wrong[0].epoch.v--;
    wrong[1].epoch.v++;
    wrong[2].instance.v++;
    wrong[3].incarnation.v++;
    wrong[4].pos.hash.lo ^= 1;
    for (size_t i = 0; i < 5; i++) {
        give_ack(w, &wrong[i]);
        assert_int_equal(status(w).applied.v, before.v);
    }
    give_ack(w, &right);
    assert_int_equal(status(w).applied.v, before.v + 1);
    assert_true(w->released);
}

/* Goal: what a process acknowledged is its word alone: the next one's log may lack it. */
static void test_ack_of_a_process_ends_with_it(void **state)
{
    struct world *w = *state;
    with_secondary(w);
    submit(w, 1);
    struct repl_msg_ack right = true_ack(w);
    give_ack(w, &right);
    struct ts_seq before = status(w).applied;
    struct repl_event ev = {.kind = REPL_EV_LINK_DOWN, .peer = {PEER}};
    step(w, ev);
    ev.kind = REPL_EV_LINK_UP;
    ev.u.link.instance.v = 203;
    ev.u.link.incarnation.v = 102;
    step(w, ev);
    persisted(w); /* only the secondary's word is missing now */
    assert_int_equal(status(w).applied.v, before.v);
    right.instance.v = 203;
    give_ack(w, &right);
    assert_int_equal(status(w).applied.v, before.v + 1);
}

/* Goal: the alarm that a learner's results differ ends when its next process has had the same ones
 * beyond that entry, and no sooner: until then nobody knows. */
static void test_divergence_of_a_learner_ends_when_it_agrees(void **state)
{
    struct world *w = *state;
    const uint64_t alarm = 1ULL << REPORT_ALARM_DIVERGENCE;
    become_primary(w, false);
    submit(w, 1);
    persisted(w);
    struct repl_msg_ack early = true_ack(w);
    submit(w, 1);
    persisted(w);
    link_up(w);
    struct repl_msg_ack wrong = true_ack(w);
    assert_true(ts_seq_lt(early.applied, wrong.applied));
    wrong.digest.lo ^= 1;
    give_ack(w, &wrong);
    assert_true(status(w).alarms & alarm);
    step(w, (struct repl_event){.kind = REPL_EV_LINK_DOWN, .peer = {PEER}});
    struct repl_event up = {.kind = REPL_EV_LINK_UP, .peer = {PEER}};
    up.u.link.instance.v = early.instance.v = 203;
    up.u.link.incarnation.v = 102;
    step(w, up);
    give_ack(w, &early);
    assert_true(status(w).alarms & alarm);
    struct repl_msg_ack right = true_ack(w);
    right.instance.v = 203;
    give_ack(w, &right);
    assert_false(status(w).alarms & alarm);
}

/* Goal: a read waits for the confirmation of its round, by the secondary's process and disk. */
static void test_confirmation_counts_only_when_all_matches(void **state)
{
    struct world *w = *state;
    with_secondary(w);
    struct repl_event ev = {.kind = REPL_EV_READ};
    ev.u.read_token = 1;
    step(w, ev);
    assert_string_equal(w->log, "confirm0 ");
    struct repl_msg_confirmed right = {.epoch = status(w).config.epoch,
                                       .asker = {201},
                                       .round = w->sent.u.confirm.round,
                                       .incarnation = {102},
                                       .instance = {202}};
    struct repl_msg_confirmed wrong[5] = {right, right, right, right, right};
    wrong[0].epoch.v--;
    wrong[1].asker.v++;
    wrong[2].round--;
    wrong[3].incarnation.v++;
    wrong[4].instance.v++;
    for (size_t i = 0; i < 5; i++) {
        say_confirmed(w, &wrong[i]);
        assert_string_equal(w->log, "");
    }
    say_confirmed(w, &right);
    assert_string_equal(w->log, "reads:1 ");
}

/* Goal: a secondary whose disk was exchanged leaves the in-sync set, however well it answers. */
static void test_other_disk_leaves_in_sync(void **state)
{
    struct world *w = *state;
    with_secondary(w);
    struct repl_event ev = {.kind = REPL_EV_LINK_DOWN, .peer = {PEER}};
    step(w, ev);
    ev.kind = REPL_EV_LINK_UP;
    ev.u.link.instance.v = 203;
    ev.u.link.incarnation.v = 999;
    w->op_kind = REPL_EF_REG_READ;
    step(w, ev);
    assert_int_equal(w->op_kind, REPL_EF_REG_CAS);
    assert_int_equal(w->proposal.in_sync.count, 1);
}

/* Goal: a primary that cannot read its journal any more may leave while another in-sync replica is
 * there, and to nobody else (seed 4203 of a simulation: it could not feed a learner, and stayed).
 */
static void test_successor_is_a_connected_in_sync_peer(void **state)
{
    struct world *w = *state;
    become_primary(w, false);
    link_up(w);
    assert_false(repl_has_successor(w->p.core)); /* a learner yet */
    say_position(w, 2, (struct repl_pos){{0}, {0, 0}});
    struct repl_msg_ack m = true_ack(w);
    give_ack(w, &m);
    struct cfg_config c = w->proposal;
    reg_answer(w, REPL_EV_REG_WON, &c);
    floor_persisted(w);
    assert_false(repl_has_successor(w->p.core)); /* not a word of it in this epoch */
    m = true_ack(w);
    give_ack(w, &m);
    assert_true(repl_has_successor(w->p.core));
    struct repl_event silent = {.kind = REPL_EV_EVIDENCE, .peer = {PEER}};
    silent.u.evidence = REPL_EVIDENCE_SILENT;
    step(w, silent);
    assert_false(repl_has_successor(w->p.core)); /* it is about to be dropped */
    struct repl_event heard = {.kind = REPL_EV_EVIDENCE_CLEAR, .peer = {PEER}};
    step(w, heard);
    assert_false(repl_has_successor(w->p.core)); /* that proposal may still be decided */
    struct repl_event down = {.kind = REPL_EV_LINK_DOWN, .peer = {PEER}};
    step(w, down);
    assert_false(repl_has_successor(w->p.core));
}

static void say_append(struct world *w, uint64_t epoch)
{
    uint8_t bytes[512];
    struct repl_request noop = {.kind = SVC_ENTRY_NOOP};
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct repl_msg_append m = {.epoch = {epoch}};
    repl_msg_append_encode(&m, &wr);
    repl_batch_encode(&wr, m.epoch, (struct ts_seq){1}, (struct ts_ltime){2000},
                      (struct ts_hash){0, 0}, &noop, 1);
    message(w, REPL_MSG_APPEND, &wr);
}

/* Goal: a secondary may leave while its primary leads it, not before, and not when that is lost. */
static void test_a_led_secondary_may_leave(void **state)
{
    struct world *w = *state;
    struct cfg_config c = first_config(PEER, false);
    assert_false(repl_may_leave(w->p.core));
    link_up(w);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    assert_false(repl_may_leave(w->p.core)); /* not a word of it in this epoch */
    say_append(w, 1);
    assert_true(repl_may_leave(w->p.core));
    assert_false(repl_has_successor(w->p.core));
    struct repl_event silent = {.kind = REPL_EV_EVIDENCE, .peer = {PEER}};
    silent.u.evidence = REPL_EVIDENCE_SILENT;
    step(w, silent);
    assert_false(repl_may_leave(w->p.core));
    struct repl_event heard = {.kind = REPL_EV_EVIDENCE_CLEAR, .peer = {PEER}};
    step(w, heard);
    assert_true(repl_may_leave(w->p.core));
    struct repl_event down = {.kind = REPL_EV_LINK_DOWN, .peer = {PEER}};
    step(w, down);
    link_up(w);
    assert_false(repl_may_leave(w->p.core)); /* it has to lead on this link, too */
}

/* Goal: who refused this epoch follows it no more, and links that answer prove nothing (seed 1241
 * of a simulation: the service address stayed where it was until the new config came). */
static void test_who_refused_does_not_follow(void **state)
{
    struct world *w = *state;
    with_secondary(w);
    assert_false(repl_is_followed(w->p.core)); /* not a word of it in this epoch */
    struct repl_msg_ack ack = true_ack(w);
    give_ack(w, &ack);
    assert_true(repl_is_followed(w->p.core));
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct repl_msg_refused m = {.epoch = status(w).config.epoch, .floor = status(w).config.epoch};
    repl_msg_refused_encode(&m, &wr);
    message(w, REPL_MSG_REFUSED, &wr);
    assert_true(repl_is_followed(w->p.core)); /* that says nothing */
    wr = ts_writer_init(bytes, sizeof(bytes));
    m.floor = ts_epoch_next(m.epoch);
    repl_msg_refused_encode(&m, &wr);
    message(w, REPL_MSG_REFUSED, &wr);
    assert_false(repl_is_followed(w->p.core));
    assert_true(repl_serves(w->p.core));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_ack_counts_only_when_all_matches),
        T(test_ack_of_a_process_ends_with_it),
        T(test_divergence_of_a_learner_ends_when_it_agrees),
        T(test_confirmation_counts_only_when_all_matches),
        T(test_other_disk_leaves_in_sync),
        T(test_successor_is_a_connected_in_sync_peer),
        T(test_a_led_secondary_may_leave),
        T(test_who_refused_does_not_follow),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
