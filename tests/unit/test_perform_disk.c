/* What follows from what a journal says of a read for a learner (adr/0012), with a real journal and
 * a real core. */
#include "replicator/io/perform_replica.h"
#include "tests/unit/disk_fixture.h"
#include "tests/unit/repl_fixture.h"

#define ENTRY_BYTES 3000

struct learner {
    struct world *w;
    struct fix journal;
    struct perform_replica r;
    unsigned fed; /* answers to reads, … */
    size_t len;   /* … and the newest one's bytes */
    unsigned told_core;
    unsigned refuses;
    unsigned ended;
    unsigned asked; /* the peer, for what is damaged here */
    uint8_t entry[ENTRY_BYTES + 200];
    size_t entry_len;
};

static struct learner *it; /* the tables' context is the core's world */

static void on_feed(void *ctx, struct repl_event *ev)
{
    (void)ctx;
    if (ev->kind == REPL_EV_FETCHED) {
        it->fed++;
        it->len = ev->u.fetched.batches.len;
    } else {
        assert_int_equal(ev->kind, REPL_EV_DISK_FAILED);
        it->told_core++;
        step(it->w, *ev);
    }
}

static void on_refuses(void *ctx, const char *what, enum ts_err err)
{
    (void)ctx;
    assert_non_null(what);
    assert_int_equal(err, TS_ERR_CORRUPT);
    it->refuses++;
}

static void on_fetch_failed(void *ctx, enum ts_err err, const char *text)
{
    (void)ctx;
    (void)text;
    assert_int_not_equal(err, TS_OK);
}

static void on_end(void *ctx, bool again)
{
    (void)ctx;
    assert_false(again);
    it->ended++;
}

static void on_scrub(void *ctx)
{
    (void)ctx;
}

static void on_scrub_found(void *ctx, const char *text)
{
    (void)ctx;
    assert_non_null(text);
}

static const struct perform_ops OPS = {.feed = on_feed,
                                       .journal_refuses = on_refuses,
                                       .fetch_failed = on_fetch_failed,
                                       .scrub_begins = on_scrub,
                                       .scrub_found = on_scrub_found,
                                       .scrub_ended = on_scrub,
                                       .repaired = on_scrub,
                                       .end = on_end};

static void on_send(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                    struct ts_bytes body)
{
    (void)ctx;
    (void)head;
    assert_int_equal(to.v, PEER);
    assert_int_equal(type, DISK_MSG_ASK);
    assert_int_equal(body.len, 0);
    it->asked++;
}

static struct perform_table aside; /* of what is around the core */

/* One batch, as a core writes it. */
static void append_entry(struct learner *l)
{
    uint8_t payload[ENTRY_BYTES] = {1, 2, 3};
    struct ts_writer w = ts_writer_init(l->entry, sizeof(l->entry));
    struct repl_request request = {SVC_ENTRY_COMMAND, 0, 1, {payload, sizeof(payload)}};
    repl_batch_encode(&w, (struct ts_epoch){1}, (struct ts_seq){1}, (struct ts_ltime){2000},
                      (struct ts_hash){0, 0}, &request, 1);
    assert_int_equal(ts_writer_status(&w), TS_OK);
    l->entry_len = w.len;
    struct journal_batch b = {.epoch = {1},
                              .first = {1},
                              .last = {1},
                              .hash = ts_hash_bytes(l->entry, w.len),
                              .bytes = {l->entry, w.len}};
    assert_int_equal(journal_append(l->journal.journal, &b, (struct ts_seq){0}), TS_OK);
    l->journal.seq.v = 1;
    fix_wait(&l->journal);
}

static int setup_learner(void **state)
{
    it = calloc(1, sizeof(*it));
    assert_non_null(it);
    void *world;
    assert_int_equal(setup(&world), 0);
    it->w = world;
    fix_init(&it->journal);
    assert_int_equal(fix_format(&it->journal), TS_OK);
    assert_int_equal(fix_open(&it->journal), TS_OK);
    fix_confirm(&it->journal);
    append_entry(it);
    aside = table;
    aside.send = on_send;
    perform_open(&it->r, it->w->p.core, &aside, &OPS, it->w);
    it->journal.repaired = perform_disk_repaired;
    it->journal.repaired_arg = &it->r;
    it->r.scrub.pause_ns = 1;
    it->r.journal = it->journal.journal;
    *state = it;
    return 0;
}

static int teardown_learner(void **state)
{
    struct learner *l = *state;
    void *world = l->w;
    perform_scrub_close(&l->r);
    fix_free(&l->journal);
    (void)teardown(&world);
    free(l);
    return 0;
}

/* One bit in the middle of the entry. */
static void damage(const struct learner *l)
{
    char path[TS_PATH_MAX];
    uint8_t *bytes;
    size_t len;
    assert_int_equal(ts_path(path, NULL, l->journal.path, "segment-000001"), TS_OK);
    assert_int_equal(ts_file_read(path, 64U << 20, &bytes, &len, NULL), TS_OK);
    const uint8_t *at = memmem(bytes, len, l->entry, l->entry_len);
    assert_non_null(at);
    disk_flip(path, at - bytes + ENTRY_BYTES / 2);
    free(bytes);
}

static void read_for_learner(struct learner *l)
{
    unsigned before = l->fed;
    perform_disk_fetch(&l->r, (struct ts_nic_id){PEER}, (struct ts_seq){0}, 1U << 20);
    while (l->fed == before) {
        (void)uv_run(&l->journal.loop, UV_RUN_ONCE);
    }
}

static bool is_looked_through(const struct learner *l, uint64_t before)
{
    const struct perform_scrub *s = &l->r.scrub;
    return s->passes != before && s->job == NULL && !s->again && !l->r.repair.wanted;
}

/* Until a peer is asked; or so long that one which does not answer is given up. */
static void look_and_mend(struct learner *l, bool until_asked)
{
    uint64_t before = l->r.scrub.passes;
    l->r.started = true; /* of these parts' turns alone */
    while (until_asked ? l->asked == 0 : !is_looked_through(l, before)) {
        l->w->now.ns += 100 * TS_NS_PER_MS;
        perform_scrub_turn(&l->r, l->w->now);
        perform_repair_turn(&l->r, l->w->now);
        bool waits = l->r.scrub.runs || l->r.repair.writing;
        (void)uv_run(&l->journal.loop, waits ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    }
    l->r.started = false;
}

/* The peer has what is damaged here. */
static void answer(struct learner *l)
{
    struct disk_msg m = {.type = DISK_MSG_GIVE, .batches = {l->entry, l->entry_len}};
    uint64_t before = l->r.repair.mended;
    perform_repair_message(&l->r, (struct ts_nic_id){PEER}, &m);
    while (l->r.repair.mended == before) {
        (void)uv_run(&l->journal.loop, UV_RUN_ONCE);
    }
}

/* Goal: what the journal holds comes to the core as it is. */
static void test_fetch_good_journal_is_fed(void **state)
{
    struct learner *l = *state;
    with_secondary(l->w);
    read_for_learner(l);
    assert_int_equal(l->len, l->entry_len);
    assert_false(l->r.disk_failed);
}

/* Goal: a primary whose peer helps it to mend its journal stays, and reads what it could not: it
 * used to end at once, and the damage cost the group its redundancy. */
static void test_fetch_damaged_journal_that_is_mended_stays(void **state)
{
    struct learner *l = *state;
    with_secondary(l->w);
    struct repl_msg_ack m = true_ack(l->w);
    give_ack(l->w, &m);
    damage(l);
    read_for_learner(l);
    assert_int_equal(l->len, 0);
    assert_true(repl_may_leave(l->w->p.core));
    perform_turn(&l->r, l->w->now, false);
    assert_int_equal(l->ended, 0);
    look_and_mend(l, true);
    perform_turn(&l->r, l->w->now, false);
    assert_int_equal(l->ended, 0);
    answer(l);
    look_and_mend(l, false);
    assert_false(l->r.unreadable);
    perform_turn(&l->r, l->w->now, false);
    assert_int_equal(l->refuses, 0);
    assert_int_equal(l->ended, 0);
    read_for_learner(l);
    assert_int_equal(l->len, l->entry_len);
}

/* Goal: with a successor, a primary that can neither read its journal nor mend it ends, having told
 * its core once. */
static void test_fetch_damaged_journal_ends_a_primary_with_a_successor(void **state)
{
    struct learner *l = *state;
    with_secondary(l->w);
    struct repl_msg_ack m = true_ack(l->w);
    give_ack(l->w, &m);
    assert_true(repl_has_successor(l->w->p.core));
    damage(l);
    read_for_learner(l);
    assert_int_equal(l->len, 0);
    assert_false(l->r.disk_failed);
    look_and_mend(l, false);
    assert_int_equal(l->asked, 1);
    assert_true(l->r.disk_failed);
    assert_int_equal(l->refuses, 1);
    assert_int_equal(l->ended, 0); /* the next turn does it */
    perform_turn(&l->r, l->w->now, false);
    assert_int_equal(l->told_core, 1);
    assert_int_equal(l->ended, 1);
}

/* Goal: it ends, too, when a successor comes after the damage was found (seed 370643598 of a
 * simulation: it stayed, and dropped the good one later). */
static void test_turn_damaged_journal_ends_when_a_successor_comes(void **state)
{
    struct learner *l = *state;
    with_secondary(l->w);
    damage(l);
    read_for_learner(l);
    look_and_mend(l, false);
    assert_false(l->r.disk_failed);
    struct repl_msg_ack m = true_ack(l->w);
    give_ack(l->w, &m);
    assert_int_equal(l->ended, 0);
    perform_turn(&l->r, l->w->now, false);
    assert_int_equal(l->refuses, 1);
    assert_int_equal(l->ended, 1);
}

/* Goal: a primary that was replaced while its journal was read ends, too, once the new one leads it
 * (seed 44303203 of a simulation: it took over later, and dropped the replicas with good disks). */
static void test_turn_damaged_journal_ends_a_secondary_that_is_led(void **state)
{
    struct learner *l = *state;
    struct repl_msg_append m = {.epoch = {1}};
    uint8_t bytes[512];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct cfg_config c = first_config(PEER, false);
    link_up(l->w);
    reg_answer(l->w, REPL_EV_REG_LOST, &c);
    damage(l);
    read_for_learner(l);
    look_and_mend(l, false);
    perform_turn(&l->r, l->w->now, false);
    assert_int_equal(l->ended, 0);
    repl_msg_append_encode(&m, &wr);
    repl_batch_encode(&wr, m.epoch, (struct ts_seq){1}, (struct ts_ltime){2000},
                      (struct ts_hash){0, 0}, &(struct repl_request){.kind = SVC_ENTRY_NOOP}, 1);
    message(l->w, REPL_MSG_APPEND, &wr);
    perform_turn(&l->r, l->w->now, false);
    assert_int_equal(l->refuses, 1);
    assert_int_equal(l->ended, 1);
}

/* Goal: alone it goes on: what is in memory is whole. */
static void test_fetch_damaged_journal_without_successor_goes_on(void **state)
{
    struct learner *l = *state;
    become_primary(l->w, false);
    damage(l);
    read_for_learner(l);
    look_and_mend(l, false);
    assert_int_equal(l->len, 0);
    assert_false(l->r.disk_failed);
    assert_int_equal(l->refuses, 0);
}

/* Goal: a read that cannot begin is answered by the next turn, and by no later one; after the end
 * by none. */
static void test_fetch_refused_is_answered_once(void **state)
{
    struct learner *l = *state;
    struct ts_nic_id peer = {PEER};
    perform_disk_fetch_refused(&l->r, peer, (struct ts_seq){7}, TS_ERR_BUSY);
    perform_disk_fetch_refused(&l->r, peer, (struct ts_seq){8}, TS_ERR_BUSY);
    assert_int_equal(l->fed, 0);
    perform_disk_answer_refused(&l->r);
    perform_disk_answer_refused(&l->r);
    assert_int_equal(l->fed, 1);
    perform_disk_fetch_refused(&l->r, peer, (struct ts_seq){9}, TS_ERR_BUSY);
    perform_close(&l->r);
    perform_disk_answer_refused(&l->r);
    assert_int_equal(l->fed, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup_learner, teardown_learner)
    const struct CMUnitTest tests[] = {
        T(test_fetch_good_journal_is_fed),
        T(test_fetch_damaged_journal_that_is_mended_stays),
        T(test_fetch_damaged_journal_ends_a_primary_with_a_successor),
        T(test_turn_damaged_journal_ends_when_a_successor_comes),
        T(test_turn_damaged_journal_ends_a_secondary_that_is_led),
        T(test_fetch_damaged_journal_without_successor_goes_on),
        T(test_fetch_refused_is_answered_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
