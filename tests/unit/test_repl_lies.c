/* What a peer says may be wrong, late or a lie: the core refuses it, and no invariant breaks. Each
 * of these once broke one. */
#include "tests/unit/repl_fixture.h"

static void say_config(struct world *w, const struct cfg_config *c)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    repl_msg_config_encode(&(struct repl_msg_config){*c}, &wr);
    message(w, REPL_MSG_CONFIG, &wr);
}

/* One batch of `count` no-ops behind `at`, which moves to its end. */
static void say_append(struct world *w, uint64_t epoch, struct repl_pos *at, size_t count,
                       uint64_t committed, uint64_t time)
{
    uint8_t bytes[1024];
    struct repl_request noops[8] = {{.kind = SVC_ENTRY_NOOP}};
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct repl_msg_append m = {.epoch = {epoch}, .prev = *at, .committed = {committed}};
    repl_msg_append_encode(&m, &wr);
    size_t head = wr.len;
    repl_batch_encode(&wr, m.epoch, ts_seq_add(at->seq, 1), (struct ts_ltime){time}, at->hash,
                      noops, count);
    *at = (struct repl_pos){ts_seq_add(at->seq, count), ts_hash_bytes(bytes + head, wr.len - head)};
    message(w, REPL_MSG_APPEND, &wr);
}

static void lose_primary(struct world *w)
{
    struct repl_event ev = {.kind = REPL_EV_EVIDENCE, .peer = {PEER}};
    ev.u.evidence = REPL_EVIDENCE_EXITED;
    step(w, ev);
}

/* A secondary of PEER that hears of its primary's end and prepares a takeover. */
static void begin_takeover(struct world *w)
{
    struct cfg_config c = first_config(PEER, false);
    link_up(w);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    lose_primary(w);
    assert_int_equal(w->op_kind, REPL_EF_REG_PREPARE);
}

/* Goal: while a takeover waits for its seal, a peer speaks of a newer config: the register is asked
 * first, one operation at a time, then the takeover goes on. */
static void test_position_newer_config_during_seal_waits(void **state)
{
    struct world *w = *state;
    struct cfg_config c = first_config(PEER, false);
    begin_takeover(w);
    reg_answer(w, REPL_EV_REG_PREPARED, &c);
    say_position(w, 99, (struct repl_pos){{0}, {0, 0}});
    assert_int_equal(w->op_kind, REPL_EF_REG_READ);
    floor_persisted(w);
    assert_int_equal(w->op_kind, REPL_EF_REG_READ);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    assert_int_equal(w->op_kind, REPL_EF_REG_CAS);
}

/* Goal: only the whole proposal is recognised as one's own, not its nonce under another primary. */
static void test_config_with_our_nonce_is_not_ours(void **state)
{
    struct world *w = *state;
    struct cfg_config c = first_config(PEER, false);
    begin_takeover(w);
    reg_answer(w, REPL_EV_REG_PREPARED, &c);
    floor_persisted(w);
    assert_int_equal(w->op_kind, REPL_EF_REG_CAS);
    c = w->proposal;
    c.primary.v = PEER;
    c.in_sync = c.members;
    say_config(w, &c);
    assert_int_not_equal(status(w).role, REPL_ROLE_PRIMARY);
    assert_true(status(w).config.primary.v == PEER);
}

/* Goal: a conflict with applied entries halts the replica in the midst of a takeover, for good, and
 * ends the takeover. */
static void test_divergence_during_takeover_halts(void **state)
{
    struct world *w = *state;
    struct cfg_config c = first_config(PEER, false);
    struct repl_pos at = {{0}, {0, 0}};
    link_up(w);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    say_append(w, 1, &at, 1, 1, 2000);
    floor_persisted(w);
    persisted(w);
    assert_true(status(w).applied.v == 1);
    lose_primary(w);
    assert_int_equal(status(w).role, REPL_ROLE_TAKING_OVER);
    at = (struct repl_pos){{0}, {0, 0}};
    say_append(w, 1, &at, 2, 0, 2000); /* another log */
    assert_int_equal(status(w).role, REPL_ROLE_HALTED);
    assert_int_equal(status(w).why, REPL_WHY_DIVERGED);
    reg_answer(w, REPL_EV_REG_PREPARED, &c); /* of the operation that was abandoned */
    c.epoch.v = 2;
    say_config(w, &c);
    w->now.ns += 10 * TS_NS_PER_S;
    step(w, (struct repl_event){.kind = REPL_EV_TICK});
    assert_int_equal(status(w).role, REPL_ROLE_HALTED);
}

/* Goal: a primary that was replaced, lost its log's end and is primary again begins each stream
 * anew: what it sent before is not in its log any more. */
static void test_primary_again_after_truncation_streams_anew(void **state)
{
    struct world *w = *state;
    become_primary(w, false);
    link_up(w);
    say_position(w, 2, (struct repl_pos){{0}, {0, 0}});
    struct repl_pos end1 = status(w).tail; /* seq 1, committed */
    submit(w, 5);                          /* 2..6, sent to the peer, not durable anywhere */
    assert_string_equal(w->log, "journal:6 append1 ");
    struct cfg_config c = status(w).config;
    c.epoch.v = 3;
    c.primary.v = PEER;
    c.proposer.v = 202;
    cfg_set_add(&c.in_sync, (struct cfg_replica){{PEER}, {102}});
    say_config(w, &c);
    say_append(w, 3, &end1, 3, 0, 3000000000); /* 2..4 */
    say_append(w, 3, &end1, 4, 0, 3000000000); /* 5..8: seq 6 is no end of a batch now */
    assert_true(status(w).tail.seq.v == 8);
    persisted(w);
    floor_persisted(w);
    lose_primary(w);
    reg_answer(w, REPL_EV_REG_PREPARED, &c);
    floor_persisted(w);
    c = w->proposal;
    reg_answer(w, REPL_EV_REG_WON, &c);
    assert_int_equal(status(w).role, REPL_ROLE_PRIMARY); /* its no-op, seq 9, is not sent yet */
    assert_int_equal(strncmp(w->log, "journal:9 config0 apply:2 ", 26), 0);
    say_position(w, 4, end1);
    assert_string_equal(w->log, "append1 ");
}

/* Goal: in a new epoch a stream that goes on before the window leads to a position: nothing there
 * can be compared, and a primary that feeds from its journal waits for an acknowledgement of it
 * (seed 44412817 of a simulation: an old position came again, and then the epoch changed). */
static void test_append_before_the_window_asks_to_begin_anew(void **state)
{
    struct world *w = *state;
    struct cfg_config c = first_config(PEER, false);
    struct repl_pos at = {{0}, {0, 0}};
    link_up(w);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    floor_persisted(w);
    for (uint64_t i = 1; i <= 8; i++) {
        say_append(w, 1, &at, 1, i - 1, 2000);
        persisted(w);
    }
    assert_true(status(w).applied.v == 7); /* the window holds four */
    c.epoch.v = 2;
    say_config(w, &c);
    at = (struct repl_pos){{0}, {0, 0}};
    say_append(w, 2, &at, 1, 7, 2000); /* has it: 1 */
    assert_non_null(strstr(w->log, "position0 "));
    assert_true(w->sent.u.position.tail.seq.v == 8);
}

/* Goal: of false configs one upon the other only the first is believed: the second makes the only
 * replica in sync ask the register, and it takes over from itself. */
static void test_config_lies_in_a_row_do_not_strand(void **state)
{
    struct world *w = *state;
    become_primary(w, false);
    link_up(w);
    struct cfg_config known = status(w).config;
    struct repl_pos at = status(w).tail;
    struct cfg_config lie = known;
    lie.primary.v = PEER;
    lie.proposer.v = 202;
    lie.in_sync = lie.members;
    for (uint64_t e = 3; e <= 4; e++) {
        lie.epoch.v = e;
        say_config(w, &lie);
        say_append(w, e, &at, 1, 0, 3000000000);
        persisted(w);
        floor_persisted(w);
    }
    assert_int_equal(w->op_kind, REPL_EF_REG_READ);
    reg_answer(w, REPL_EV_REG_LOST, &known);
    assert_int_equal(w->op_kind, REPL_EF_REG_PREPARE);
    reg_answer(w, REPL_EV_REG_PREPARED, &known);
    assert_int_equal(w->op_kind, REPL_EF_REG_CAS); /* sealed long since: the floor is 3 */
    known = w->proposal;
    reg_answer(w, REPL_EV_REG_WON, &known);
    persisted(w);
    assert_true(status(w).active);
    assert_true(status(w).config.epoch.v == 3);
}

/* Goal: a NIC's own clock plays no part in a log that has entries: a takeover goes on from the
 * group's time, also where this NIC's clock is an hour ahead (R2.2). */
static void test_takeover_own_clock_ahead_keeps_the_groups_time(void **state)
{
    struct world *w = *state;
    struct repl_options o = {.self = {SELF}, .instance = {203}, .seed = 3};
    struct repl_pos at = {{0}, {0, 0}};
    struct repl_batch b;
    struct ts_hash hash;
    o.first_time.ns = 4600 * TS_NS_PER_S;
    o.timing = cfg_timing_derive(100 * TS_NS_PER_MS);
    o.limits = repl_limits_default(&o.timing);
    repl_free(w->p.core);
    w->p.core = repl_new(&o);
    struct repl_event start = {.kind = REPL_EV_START};
    start.u.start.incarnation.v = 101;
    step(w, start);
    struct cfg_config c = first_config(PEER, false);
    link_up(w);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    say_append(w, 1, &at, 1, 1, 1000 * TS_NS_PER_S);
    floor_persisted(w);
    persisted(w);
    lose_primary(w);
    reg_answer(w, REPL_EV_REG_PREPARED, &c);
    floor_persisted(w);
    c = w->proposal;
    reg_answer(w, REPL_EV_REG_WON, &c);
    persisted(w);
    assert_true(status(w).active);
    repl_batch_at(w->p.core, (struct ts_seq){2}, &b, &hash);
    assert_true(b.time.ns >= 1000 * TS_NS_PER_S && b.time.ns < 1001 * TS_NS_PER_S);
}

/* Goal: the group's time begins as its first primary's clock, and does not stand still while that
 * one makes its disk: whoever sets an expiry by a clock would find it late for ever. */
static void test_first_batch_has_the_time_of_the_clock(void **state)
{
    struct world *w = *state;
    struct repl_options o = {.self = {SELF}, .instance = {203}, .seed = 3};
    struct repl_batch b;
    struct ts_hash hash;
    o.first_time.ns = 1000 * TS_NS_PER_S;
    o.first_now = w->now;
    o.timing = cfg_timing_derive(100 * TS_NS_PER_MS);
    o.limits = repl_limits_default(&o.timing);
    repl_free(w->p.core);
    w->p.core = repl_new(&o);
    uint64_t before = w->now.ns;
    w->now.ns += 2 * TS_NS_PER_S;
    struct repl_event start = {.kind = REPL_EV_START};
    start.u.start.incarnation.v = 101;
    step(w, start);
    become_primary(w, true);
    repl_batch_at(w->p.core, (struct ts_seq){1}, &b, &hash);
    assert_true(b.time.ns >= 1002 * TS_NS_PER_S &&
                b.time.ns <= 1000 * TS_NS_PER_S + w->now.ns - before);
}

/* Goal: a batch from the end of time is refused; one from its last moment stops the clock and no
 * primary that follows. */
static void test_append_time_at_limit_stops_clock(void **state)
{
    struct world *w = *state;
    struct cfg_config c = first_config(PEER, false);
    struct repl_pos at = {{0}, {0, 0}};
    struct repl_pos none = at;
    link_up(w);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    say_append(w, 1, &none, 1, 0, UINT64_MAX);
    assert_true(status(w).tail.seq.v == 0 && status(w).malformed == 1);
    say_append(w, 1, &at, 1, 0, REPL_BATCH_TIME_MAX);
    assert_true(status(w).tail.seq.v == 1);
    persisted(w);
    floor_persisted(w);
    lose_primary(w);
    reg_answer(w, REPL_EV_REG_PREPARED, &c);
    floor_persisted(w);
    c = w->proposal;
    reg_answer(w, REPL_EV_REG_WON, &c);
    persisted(w);
    submit(w, 1);
    assert_int_equal(w->p.fx.submit, REPL_SUBMIT_ORDERED);
    assert_true(repl_logical_now(w->p.core, w->now).ns == REPL_BATCH_TIME_MAX);
}

/* Goal: a durable floor far ahead of the register (an earlier run believed a lie) forbids a
 * takeover and breaks nothing. */
static void test_floor_far_ahead_forbids_takeover(void **state)
{
    struct world *w = *state;
    struct repl_options o = {.self = {SELF}, .instance = {203}, .first_time = {1000}, .seed = 3};
    o.timing = cfg_timing_derive(100 * TS_NS_PER_MS);
    o.limits = repl_limits_default(&o.timing);
    repl_free(w->p.core);
    w->p.core = repl_new(&o);
    assert_non_null(w->p.core);
    struct repl_event ev = {.kind = REPL_EV_START};
    ev.u.start.incarnation.v = 101;
    ev.u.start.floor.v = 1000;
    step(w, ev);
    struct cfg_config c = first_config(SELF, false);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    assert_int_equal(status(w).role, REPL_ROLE_SECONDARY);
    assert_int_equal(status(w).why, REPL_WHY_FLOOR_AHEAD);
}

/* A secondary of PEER that has applied the entries 1..count, one a batch; `end[i]` is the end of
 * entry i. */
static void follow(struct world *w, uint64_t count, struct repl_pos *end)
{
    struct cfg_config c = first_config(PEER, false);
    link_up(w);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    end[0] = (struct repl_pos){{0}, {0, 0}};
    for (uint64_t i = 1; i <= count; i++) {
        end[i] = end[i - 1];
        say_append(w, 1, &end[i], 1, i, 2000);
        floor_persisted(w);
        persisted(w);
    }
    assert_true(status(w).applied.v == count);
}

static void assert_diverged(const struct world *w)
{
    assert_int_equal(status(w).role, REPL_ROLE_HALTED);
    assert_int_equal(status(w).why, REPL_WHY_DIVERGED);
    assert_true(status(w).alarms & 1ULL << REPORT_ALARM_DIVERGENCE);
}

/* Goal: the primary's log differs at a position that is applied here: nothing can be cut, and
 * asking again gives the same again. The replica halts and says so. */
static void test_append_behind_other_committed_halts(void **state)
{
    struct world *w = *state;
    struct repl_pos end[4];
    follow(w, 3, end);
    struct repl_pos other = end[3];
    other.hash.lo ^= 1;
    say_append(w, 1, &other, 1, 3, 2000);
    assert_diverged(w);
}

/* Goal: the same for a batch that begins before the window and ends within it, where the log here
 * has other batches: the entries in its middle have left the window, so they were applied. */
static void test_append_straddling_window_halts(void **state)
{
    struct world *w = *state;
    struct repl_pos end[8];
    follow(w, 7, end); /* four slots: 4..7 */
    struct repl_pos at = end[1];
    say_append(w, 1, &at, 4, 7, 2000); /* 2..5 */
    assert_diverged(w);
}

/* Goal: a position above what is applied may differ: the primary is asked to begin at the committed
 * end, and the conflict is cut there. */
static void test_append_behind_other_tail_rewinds(void **state)
{
    struct world *w = *state;
    struct repl_pos end[4];
    follow(w, 2, end);
    end[3] = end[2];
    say_append(w, 1, &end[3], 1, 2, 2000); /* not committed */
    struct cfg_config c = status(w).config;
    c.epoch.v = 2; /* another primary's log has something else at 3 */
    say_config(w, &c);
    struct repl_pos other = end[3];
    other.hash.lo ^= 1;
    w->now.ns += TS_NS_PER_S;
    say_append(w, 2, &other, 1, 2, 2000);
    assert_int_equal(w->sent.type, REPL_MSG_POSITION);
    assert_true(w->sent.u.position.tail.seq.v == 2);
    say_append(w, 2, &end[2], 2, 2, 2000);
    assert_true(status(w).tail.seq.v == 4);
    assert_int_equal(status(w).role, REPL_ROLE_SECONDARY);
}

/* Goal: a primary whose batches never fit is asked for ever, but ever more seldom. */
static void test_append_never_fits_is_asked_seldom(void **state)
{
    struct world *w = *state;
    struct repl_pos end[3];
    follow(w, 2, end);
    unsigned asked = 0;
    for (int ms = 0; ms < 1000; ms++) {
        struct repl_pos beyond = {{9}, {1, 1}};
        say_append(w, 1, &beyond, 1, 2, 2000); /* a millisecond a step */
        asked += strstr(w->log, "position") != NULL;
    }
    assert_in_range(asked, 8, 30);
}

/* Goal: a learner's committed end lies within a batch of the primary that left the window: its log
 * is another one. The primary raises the alarm, and does not read the journal for it for ever. */
static void test_position_within_old_batch_raises_alarm(void **state)
{
    struct world *w = *state;
    become_primary(w, false);
    submit(w, 4); /* 2..5 */
    persisted(w);
    for (int i = 0; i < 6; i++) {
        submit(w, 1);
        persisted(w);
    }
    link_up(w);
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct repl_msg_position m = {.config_epoch = {2}, .incarnation = {102}, .instance = {202}};
    m.committed = (struct repl_pos){{3}, {1, 1}};
    m.tail = (struct repl_pos){{4}, {2, 2}};
    repl_msg_position_encode(&m, &wr);
    message(w, REPL_MSG_POSITION, &wr);
    assert_string_equal(w->log, "fetch:4 ");
    fetched(w, 4, 2, 4);
    assert_string_equal(w->log, "fetch:3 "); /* its end conflicts: from its committed end */
    fetched(w, 3, 2, 4);
    assert_string_equal(w->log, "");
    assert_true(status(w).alarms & 1ULL << REPORT_ALARM_CHAIN);
    for (int i = 0; i < 20; i++) {
        w->now.ns += 100 * TS_NS_PER_MS;
        step(w, (struct repl_event){.kind = REPL_EV_TICK});
        assert_null(strstr(w->log, "fetch"));
    }
}

/* Goal: a peer that speaks of a config far ahead strands nobody: the register is asked, and its
 * answer counts. */
static void test_config_far_ahead_asks_register(void **state)
{
    struct world *w = *state;
    struct repl_pos end[3];
    follow(w, 2, end);
    struct cfg_config known = status(w).config;
    struct cfg_config lie = known;
    lie.epoch.v = 1000000000;
    say_config(w, &lie);
    assert_true(ts_epoch_eq(status(w).config.epoch, known.epoch));
    assert_string_equal(w->log, "reg:0 ");
    assert_int_equal(w->op_kind, REPL_EF_REG_READ);
    reg_answer(w, REPL_EV_REG_LOST, &known);
    say_append(w, 1, &end[2], 1, 2, 2000);
    persisted(w);
    assert_string_equal(w->log, "ack0 ");
}

/* Goal: two changes in a row are asked for once, however often they are spoken of meanwhile: what
 * was decided before it was spoken of is in the answer. One that is spoken of later is asked for
 * again. */
static void test_config_spoken_of_again_is_asked_once(void **state)
{
    struct world *w = *state;
    struct repl_pos end[3];
    follow(w, 2, end);
    struct cfg_config next = status(w).config;
    next.epoch.v = 2;
    say_config(w, &next);
    struct cfg_config last = next;
    last.epoch.v = 3;
    say_config(w, &last);
    assert_string_equal(w->log, "reg:0 ");
    say_append(w, 3, &end[2], 1, 2, 2000);
    say_config(w, &last);
    reg_answer(w, REPL_EV_REG_LOST, &last);
    assert_null(strstr(w->log, "reg:"));
    assert_int_equal(status(w).config.epoch.v, 3);
    last.epoch.v = 5;
    say_config(w, &last);
    assert_non_null(strstr(w->log, "reg:0 "));
    last.epoch.v = 6;
    say_config(w, &last);
    last.epoch.v = 5;
    reg_answer(w, REPL_EV_REG_LOST, &last);
    assert_non_null(strstr(w->log, "reg:0 "));
}

/* Goal: a question that ends since the next config is believed is asked again when it was about a
 * later one: who told of that one does not say it twice. */
static void test_config_believed_while_a_later_is_asked_for_asks_again(void **state)
{
    struct world *w = *state;
    struct repl_pos end[3];
    follow(w, 2, end);
    struct cfg_config last = status(w).config;
    last.epoch.v = 3;
    say_config(w, &last);
    assert_string_equal(w->log, "reg:0 ");
    struct cfg_config next = last;
    next.epoch.v = 2;
    say_config(w, &next);
    assert_int_equal(status(w).config.epoch.v, 2);
    assert_non_null(strstr(w->log, "reg:0 "));
    reg_answer(w, REPL_EV_REG_LOST, &last);
    assert_int_equal(status(w).config.epoch.v, 3);
}

/* Goal: the next config is believed at once, and taken back when the register does not know it. The
 * primary of the decided one is followed again. */
static void test_config_next_but_false_is_taken_back(void **state)
{
    struct world *w = *state;
    struct repl_pos end[3];
    follow(w, 2, end);
    struct cfg_config known = status(w).config;
    struct cfg_config lie = known;
    lie.epoch.v = 2;
    lie.nonce = 77;
    lie.in_sync.count = 0;
    cfg_set_add(&lie.in_sync, (struct cfg_replica){{PEER}, {102}});
    say_config(w, &lie);
    assert_true(status(w).config.epoch.v == 2 && status(w).config_told);
    tick_after(w, 1000);
    assert_int_equal(w->op_kind, REPL_EF_REG_READ);
    reg_answer(w, REPL_EV_REG_LOST, &known);
    assert_true(status(w).config.epoch.v == 1 && !status(w).config_told);
    assert_true(status(w).malformed == 1);
    say_append(w, 1, &end[2], 1, 2, 2000);
    persisted(w);
    assert_string_equal(w->log, "ack0 ");
}

/* Goal: the next config is confirmed once, also when its primary leads: not again and again. */
static void test_config_next_and_true_is_confirmed_once(void **state)
{
    struct world *w = *state;
    struct repl_pos end[4];
    follow(w, 2, end);
    struct cfg_config next = status(w).config;
    next.epoch.v = 2;
    say_config(w, &next);
    end[3] = end[2];
    say_append(w, 2, &end[3], 1, 2, 2000);
    tick_after(w, 1000);
    assert_string_equal(w->log, "reg:0 ");
    reg_answer(w, REPL_EV_REG_LOST, &next);
    assert_true(status(w).config.epoch.v == 2 && !status(w).config_told);
    assert_string_equal(w->log, "");
    tick_after(w, 1000);
    assert_string_equal(w->log, "");
}

/* Goal: a primary that a lie made step down takes over from itself. */
static void test_config_false_to_primary_is_taken_back(void **state)
{
    struct world *w = *state;
    become_primary(w, false);
    link_up(w);
    struct cfg_config known = status(w).config;
    struct cfg_config lie = known;
    lie.epoch.v = 3;
    lie.primary.v = PEER;
    lie.proposer.v = 202;
    lie.in_sync = lie.members;
    say_config(w, &lie);
    assert_int_equal(status(w).role, REPL_ROLE_SECONDARY);
    tick_after(w, 1000);
    assert_int_equal(w->op_kind, REPL_EF_REG_READ);
    reg_answer(w, REPL_EV_REG_LOST, &known);
    assert_int_equal(w->op_kind, REPL_EF_REG_PREPARE);
    reg_answer(w, REPL_EV_REG_PREPARED, &known);
    floor_persisted(w);
    assert_int_equal(w->op_kind, REPL_EF_REG_CAS);
    known = w->proposal;
    reg_answer(w, REPL_EV_REG_WON, &known);
    persisted(w);
    assert_true(status(w).active);
}

/* Goal: who is in sync is what the register shows, not what a peer said under the same epoch. */
static void test_takeover_on_false_config_asks_register(void **state)
{
    struct world *w = *state;
    struct repl_pos end[3];
    follow(w, 2, end);
    struct cfg_config decided = status(w).config;
    decided.epoch.v = 2;
    decided.nonce = 5;
    struct cfg_config lie = decided;
    decided.in_sync.count = 0;
    cfg_set_add(&decided.in_sync, (struct cfg_replica){{PEER}, {102}});
    say_config(w, &lie); /* in sync, it says */
    lose_primary(w);
    assert_int_equal(w->op_kind, REPL_EF_REG_PREPARE);
    reg_answer(w, REPL_EV_REG_PREPARED, &decided);
    assert_int_equal(w->op_kind, REPL_EF_REG_READ);
    reg_answer(w, REPL_EV_REG_LOST, &decided);
    assert_int_equal(w->op_kind, REPL_EF_REG_READ);
    assert_int_equal(status(w).role, REPL_ROLE_SECONDARY);
    assert_int_equal(status(w).why, REPL_WHY_NOT_IN_SYNC);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_position_newer_config_during_seal_waits),
        T(test_config_with_our_nonce_is_not_ours),
        T(test_divergence_during_takeover_halts),
        T(test_append_before_the_window_asks_to_begin_anew),
        T(test_primary_again_after_truncation_streams_anew),
        T(test_config_lies_in_a_row_do_not_strand),
        T(test_first_batch_has_the_time_of_the_clock),
        T(test_takeover_own_clock_ahead_keeps_the_groups_time),
        T(test_append_time_at_limit_stops_clock),
        T(test_floor_far_ahead_forbids_takeover),
        T(test_append_behind_other_committed_halts),
        T(test_append_straddling_window_halts),
        T(test_append_behind_other_tail_rewinds),
        T(test_append_never_fits_is_asked_seldom),
        T(test_position_within_old_batch_raises_alarm),
        T(test_config_far_ahead_asks_register),
        T(test_config_spoken_of_again_is_asked_once),
        T(test_config_believed_while_a_later_is_asked_for_asks_again),
        T(test_config_next_but_false_is_taken_back),
        T(test_config_next_and_true_is_confirmed_once),
        T(test_config_false_to_primary_is_taken_back),
        T(test_takeover_on_false_config_asks_register),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
