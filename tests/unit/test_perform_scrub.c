/* What follows from what the scrubber finds (adr/0020), with a real journal, real snapshots and a
 * real core. */
#include "replicator/io/perform_replica.h"
#include "tests/unit/disk_fixture.h"
#include "tests/unit/repl_fixture.h"

struct replica {
    struct world *w;
    struct fix journal;
    struct perform_replica r;
    unsigned found;
    unsigned asked;
};

static struct replica *it; /* the tables' context is the core's world */

static void on_found(void *ctx, const char *text)
{
    (void)ctx;
    assert_non_null(strstr(text, "damaged"));
    assert_null(strstr(text, "rebuilt")); /* it is mended */
    it->found++;
}

static void on_pass(void *ctx)
{
    (void)ctx;
}

static void on_begins(void *ctx, const struct repl_mark *mark)
{
    (void)ctx;
    assert_non_null(mark);
}

static void on_taken(void *ctx, const struct repl_mark *mark, const struct snapshot_trailer *t)
{
    (void)ctx;
    assert_non_null(mark);
    assert_int_equal(t->pieces, 1);
}

static const struct perform_ops OPS = {.scrub_begins = on_pass,
                                       .scrub_found = on_found,
                                       .scrub_ended = on_pass,
                                       .snapshot_begins = on_begins,
                                       .snapshot_taken = on_taken};

/* ---- a service whose state is one byte ---- */

static struct svc_walk *begin_walk(void *state)
{
    return state;
}

static bool next_piece(struct svc_walk *walk, struct svc_out *out)
{
    assert_non_null(walk);
    assert_int_equal(svc_out_put(out, "x", 1), TS_OK);
    return false;
}

static void end_walk(struct svc_walk *walk)
{
    assert_non_null(walk);
}

static const struct svc SERVICE = {
    .walk_begin = begin_walk, .walk_next = next_piece, .walk_end = end_walk};

/* ---- the replica ---- */

static int setup_replica(void **state)
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
    with_secondary(it->w);
    perform_open(&it->r, it->w->p.core, &table, &OPS, it->w);
    it->r.journal = it->journal.journal;
    it->r.started = true;
    it->r.scrub.pause_ns = 1;
    it->r.svc = &SERVICE;
    it->r.state = it;
    *state = it;
    return 0;
}

static int teardown_replica(void **state)
{
    struct replica *x = *state;
    void *world = x->w;
    perform_scrub_close(&x->r);
    fix_free(&x->journal);
    (void)teardown(&world);
    free(x);
    return 0;
}

static void scrub_more(struct replica *x)
{
    x->w->now.ns += TS_NS_PER_MS;
    perform_scrub_turn(&x->r, x->w->now);
    while (x->r.scrub.runs) {
        (void)uv_run(&x->journal.loop, UV_RUN_ONCE);
    }
}

/* Until a pass that begins now has ended. */
static void scrub(struct replica *x)
{
    uint64_t before = x->r.scrub.passes;
    perform_scrub_again(&x->r);
    while (x->r.scrub.passes == before) {
        scrub_more(x);
    }
}

static void path_of(const struct replica *x, uint64_t seq, char path[TS_PATH_MAX])
{
    assert_int_equal(
        ts_path(path, NULL, x->journal.path, "snapshot-%020llu", (unsigned long long)seq), TS_OK);
}

static bool is_there(const struct replica *x, uint64_t seq)
{
    char path[TS_PATH_MAX];
    path_of(x, seq, path);
    return access(path, F_OK) == 0;
}

/* So many bytes before its end. */
static void damage(const struct replica *x, uint64_t seq, long before)
{
    char path[TS_PATH_MAX];
    struct stat st;
    path_of(x, seq, path);
    assert_int_equal(stat(path, &st), 0);
    disk_flip(path, (long)st.st_size - before);
}

/* Goal: the only snapshot stays, wherever it is damaged; its trailer is looked at last, when all
 * the rest was whole. */
static void test_scrub_only_snapshot_stays(void **state)
{
    struct replica *x = *state;
    static const long PLACES[] = {1, 5, (long)SNAPSHOT_TRAILER_BYTES, 2000};
    (void)fix_snapshot(&x->journal, 20);
    for (size_t i = 0; i < sizeof(PLACES) / sizeof(PLACES[0]); i++) {
        damage(x, 20, PLACES[i]);
        scrub(x);
        assert_int_equal(x->r.scrub.found, 1);
        assert_true(is_there(x, 20));
        damage(x, 20, PLACES[i]); /* as it was */
    }
    assert_int_equal(x->found, 4);
    scrub(x);
    assert_int_equal(x->r.scrub.found, 0);
}

/* Goal: a damaged one is removed when another one is whole. */
static void test_scrub_damaged_snapshot_goes_when_another_is_whole(void **state)
{
    struct replica *x = *state;
    (void)fix_snapshot(&x->journal, 20);
    (void)fix_snapshot(&x->journal, 40);
    damage(x, 40, 5);
    scrub(x);
    assert_int_equal(x->r.scrub.found, 1);
    assert_false(is_there(x, 40));
    assert_true(is_there(x, 20));
}

/* Goal: a whole one behind which the journal does not go on, since a newer one was installed, is
 * none that could be used instead: the damaged one stays. */
static void test_scrub_whole_snapshot_before_the_log_is_none(void **state)
{
    struct replica *x = *state;
    struct fix *f = &x->journal;
    for (uint8_t i = 1; i <= 60; i++) {
        assert_int_equal(fix_append(f, 2, 4000, i), TS_OK);
        fix_wait(f);
    }
    assert_int_equal(journal_drop_before(f->journal, (struct ts_seq){100}), TS_OK);
    while (journal_base(f->journal).seq.v <= 20) {
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    (void)fix_snapshot(f, 20);
    (void)fix_snapshot(f, 110);
    damage(x, 110, 5);
    scrub(x);
    assert_int_equal(x->r.scrub.found, 1);
    assert_true(is_there(x, 110) && is_there(x, 20));
}

/* Of all that the core has applied. */
static void take_snapshot(struct replica *x)
{
    struct ts_seq applied = repl_applied(x->w->p.core);
    x->r.snapshot.wanted = applied;
    perform_snapshot_turn(&x->r, x->w->now);
    while (x->r.snapshot.job != NULL) {
        (void)uv_run(&x->journal.loop, UV_RUN_ONCE);
    }
    assert_int_equal(x->r.snapshot.newest.v, applied.v);
}

static void order(struct replica *x, size_t count)
{
    submit(x->w, count);
    persisted(x->w);
    struct repl_msg_ack m = true_ack(x->w);
    give_ack(x->w, &m);
}

/* Goal: a damaged snapshot is not counted among those that are kept, from when it is found on: the
 * whole one before it stays, and what the journal has behind that. */
static void test_snapshot_does_not_count_a_damaged_one(void **state)
{
    struct replica *x = *state;
    (void)fix_snapshot(&x->journal, 1);
    (void)fix_snapshot(&x->journal, 2);
    x->r.snapshot.newest.v = 2;
    order(x, 3);
    damage(x, 2, 5);
    perform_scrub_again(&x->r);
    while (x->found == 0) { /* in the middle of the pass: the older one comes next */
        scrub_more(x);
    }
    take_snapshot(x);
    assert_true(is_there(x, 1));
    assert_int_equal(x->r.snapshot.may_drop.v, 1);
    while (x->r.scrub.passes == 0) {
        scrub_more(x);
    }
    assert_true(is_there(x, 1));
    assert_false(is_there(x, 2));
    order(x, 1); /* then all is as ever */
    uint64_t before = x->r.snapshot.newest.v;
    take_snapshot(x);
    assert_false(is_there(x, 1));
    assert_int_equal(x->r.snapshot.may_drop.v, before);
}

/* Goal: with a damaged one alone, the journal is needed up to where the log begins. */
static void test_snapshot_beside_a_damaged_one_drops_nothing(void **state)
{
    struct replica *x = *state;
    (void)fix_snapshot(&x->journal, 1);
    x->r.snapshot.newest.v = 1;
    order(x, 3);
    damage(x, 1, 5);
    scrub(x);
    take_snapshot(x);
    assert_int_equal(x->r.snapshot.may_drop.v, 0);
    scrub(x);
    assert_false(is_there(x, 1));
}

static void ask_nobody(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                       struct ts_bytes body)
{
    (void)ctx;
    assert_int_equal(to.v, PEER);
    assert_int_equal(type, DISK_MSG_ASK);
    assert_true(head.len > 0 && body.len == 0);
    it->asked++;
}

/* Goal: passes that find the same place again, each 50 ms for a learner that waits, do not begin
 * with the first peer each time: all are asked, and then it is known that nobody can help. */
static void test_repair_comes_to_an_end_while_damage_is_found_again(void **state)
{
    struct replica *x = *state;
    const struct journal_flaw flaw = {.segment = 1, .offset = 8192};
    struct perform_table deaf = *x->r.perform.table;
    deaf.send = ask_nobody;
    x->r.perform.table = &deaf;
    perform_repair_found(&x->r, &flaw);
    x->r.repair.own_tried = true; /* there is no such place on this disk */
    for (unsigned i = 0; i < 100 && !perform_repair_is_hopeless(&x->r); i++) {
        x->w->now.ns += 50 * TS_NS_PER_MS;
        perform_repair_found(&x->r, &flaw);
        perform_repair_turn(&x->r, x->w->now);
    }
    assert_int_equal(x->asked, 1);
    assert_true(perform_repair_is_hopeless(&x->r));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup_replica, teardown_replica)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_scrub_only_snapshot_stays),
        T(test_scrub_damaged_snapshot_goes_when_another_is_whole),
        T(test_scrub_whole_snapshot_before_the_log_is_none),
        T(test_snapshot_does_not_count_a_damaged_one),
        T(test_snapshot_beside_a_damaged_one_drops_nothing),
        T(test_repair_comes_to_an_end_while_damage_is_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
