/* Room on the disk: how it is judged, and what is refused without any. With a real journal and a
 * real core. */
#include "replicator/io/perform_replica.h"
#include "tests/unit/disk_fixture.h"
#include "tests/unit/repl_fixture.h"

#define SEGMENTS(n) ((uint64_t)(n)*FIX_SEGMENT)

struct replica {
    struct world *w;
    struct fix journal;
    struct perform_replica r;
    unsigned sent;        /* words to peers, … */
    struct disk_msg said; /* … and the newest */
    unsigned traced;
};

static struct replica *it; /* the tables' context is the core's world */

static void on_send(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                    struct ts_bytes body)
{
    (void)ctx;
    assert_int_equal(to.v, PEER);
    assert_int_equal(body.len, 0);
    assert_int_equal(disk_msg_decode(&it->said, type, head), TS_OK);
    it->sent++;
}

static void on_trace(void *ctx, const struct ts_trace *t)
{
    (void)ctx;
    assert_int_equal(t->kind, TS_TRACE_ALARM_DISK_SPACE);
    it->traced++;
}

static void on_feed(void *ctx, struct repl_event *ev)
{
    step(ctx, *ev);
    it->r.perform.fx = it->w->p.fx;
}

static struct perform_table aside;
static const struct perform_ops OPS = {.feed = on_feed};

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
    aside = table;
    aside.send = on_send;
    aside.trace = on_trace;
    perform_open(&it->r, it->w->p.core, &aside, &OPS, it->w);
    it->r.journal = it->journal.journal;
    it->r.started = true;
    *state = it;
    return 0;
}

static int teardown_replica(void **state)
{
    struct replica *x = *state;
    void *world = x->w;
    fix_free(&x->journal);
    (void)teardown(&world);
    free(x);
    return 0;
}

/* Looks at the disk now. */
static void look(struct replica *x)
{
    x->w->now.ns += 2 * TS_NS_PER_S;
    perform_room_turn(&x->r, x->w->now);
    assert_true(x->r.room.looking);
    while (x->r.room.looking) {
        (void)uv_run(&x->journal.loop, UV_RUN_ONCE);
    }
}

static enum disk_room room_of(const struct replica *x)
{
    struct ts_nic_id whose;
    return perform_room(&x->r, &whose);
}

/* Goal: what the journal takes decides: far from the limit all is well, near it people are told, at
 * it only what does not grow is taken, and beyond that nothing. */
static void test_limit_by_steps(void **state)
{
    struct replica *x = *state;
    uint64_t use = journal_disk_bytes(x->journal.journal);
    assert_int_equal(use, SEGMENTS(2)); /* the one that is written, and the next */
    static const struct {
        uint64_t segments;
        enum disk_room room;
        bool grows;
        bool takes;
    } CASES[] = {{20, DISK_ROOM_WELL, true, true},
                 {7, DISK_ROOM_WELL, true, true},
                 {6, DISK_ROOM_FULL, false, true},
                 {2, DISK_ROOM_NONE, false, false}};
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        x->r.room.limit = SEGMENTS(CASES[i].segments);
        look(x);
        assert_int_equal(room_of(x), CASES[i].room);
        assert_int_equal(perform_room_takes(&x->r, true), CASES[i].grows);
        assert_int_equal(perform_room_takes(&x->r, false), CASES[i].takes);
    }
    assert_int_equal(x->r.room.use, use);
    assert_int_equal(x->traced, 2);
    assert_int_equal(x->sent, 4); /* at each change, and again while it is not well */
    assert_int_equal(x->said.room, DISK_ROOM_NONE);
}

static void make_file(const struct replica *x, const char *name, uint64_t bytes)
{
    char path[TS_PATH_MAX];
    assert_int_equal(ts_path(path, NULL, x->journal.path, "%s", name), TS_OK);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(ftruncate(fileno(f), (off_t)bytes), 0);
    assert_int_equal(fclose(f), 0);
}

/* Goal: people are told before, when the kept segments are little beside the limit. */
static void test_limit_is_told_before(void **state)
{
    struct replica *x = *state;
    x->r.room.limit = SEGMENTS(40);
    x->r.room.look.snapshots = 0;
    make_file(x, "snapshot-00000000000000000009", SEGMENTS(15));
    look(x);
    assert_int_equal(x->r.room.look.newest, SEGMENTS(15));
    assert_int_equal(room_of(x), DISK_ROOM_SHORT); /* 2 + 15, and the next one: 18.75 */
    assert_true(perform_room_takes(&x->r, true));
}

/* Goal: what is kept for people when results differed takes room like everything else, and is no
 * snapshot, by which the next one is judged. */
static void test_what_is_kept_counts(void **state)
{
    struct replica *x = *state;
    x->r.room.limit = SEGMENTS(40);
    look(x);
    assert_int_equal(room_of(x), DISK_ROOM_WELL);
    uint64_t use = x->r.room.use;
    make_file(x, "diverged-00000000000000000009", SEGMENTS(20));
    make_file(x, "suspect-00000000000000000008", SEGMENTS(14));
    make_file(x, "suspect", 64);
    look(x);
    assert_int_equal(x->r.room.use, use + SEGMENTS(34));
    assert_int_equal(x->r.room.look.kept, SEGMENTS(34));
    assert_int_equal(x->r.room.look.newest, 0);
    assert_int_equal(room_of(x), DISK_ROOM_FULL); /* 36 of 40, of which 4 are kept free */
    assert_false(perform_room_takes(&x->r, true));
}

/* Goal: without a limit of its own a group takes half of the file system. */
static void test_limit_is_half_of_the_file_system(void **state)
{
    struct replica *x = *state;
    look(x);
    uint64_t half = x->r.room.look.total / 2;
    assert_true(half > 0 && x->r.room.look.free > 0);
    assert_true(perform_room_limit(&x->r) == half || half < 256ULL << 20);
}

/* Goal: commands are refused before they are ordered, with nothing left behind; own entries go. */
static void test_order_without_room_is_refused(void **state)
{
    struct replica *x = *state;
    struct repl_request q = {.kind = SVC_ENTRY_COMMAND};
    struct ts_seq first;
    struct ts_seq end = status(x->w).tail.seq;
    x->r.room.own = DISK_ROOM_NONE;
    assert_int_equal(perform_service_order(&x->r, &q, 1, &first), TS_ERR_NOSPACE);
    assert_true(ts_seq_eq(status(x->w).tail.seq, end));
    x->r.room.own = DISK_ROOM_FULL; /* what grows is refused by who knows what it is */
    assert_int_equal(perform_service_order(&x->r, &q, 1, &first), TS_OK);
    x->r.room.own = DISK_ROOM_NONE;
    q.kind = SVC_ENTRY_CHECKPOINT;
    assert_int_equal(perform_service_order(&x->r, &q, 1, &first), TS_OK);
    assert_int_equal(first.v, end.v + 2);
}

static void hear(struct replica *x, uint16_t nic, enum disk_room room)
{
    uint8_t bytes[DISK_HEAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    struct disk_msg m = {.type = DISK_MSG_ROOM, .room = room};
    disk_msg_encode(&m, &w);
    assert_int_equal(perform_frame(&x->r, (struct ts_nic_id){nic}, DISK_MSG_ROOM,
                                   (struct ts_bytes){bytes, w.len}, x->w->now),
                     TS_OK);
}

/* Goal: a required secondary's word counts as the primary's own, until it is old; that of others
 * does not. */
static void test_a_required_peers_room_counts(void **state)
{
    struct replica *x = *state;
    struct ts_nic_id whose;
    hear(x, PEER + 1, DISK_ROOM_NONE);
    assert_int_equal(perform_room(&x->r, &whose), DISK_ROOM_WELL);
    hear(x, PEER, DISK_ROOM_FULL);
    assert_int_equal(perform_room(&x->r, &whose), DISK_ROOM_FULL);
    assert_int_equal(whose.v, PEER);
    assert_false(perform_room_takes(&x->r, true));
    hear(x, PEER, DISK_ROOM_WELL);
    assert_true(perform_room_takes(&x->r, true));
    hear(x, PEER, DISK_ROOM_NONE);
    look(x);
    assert_false(perform_room_takes(&x->r, false));
    look(x);
    look(x);
    assert_true(perform_room_takes(&x->r, true));
}

/* Goal: a word that is none is refused. */
static void test_malformed_words_are_refused(void **state)
{
    (void)state;
    static const uint8_t BYTES[] = {DISK_ROOMS, 0};
    struct disk_msg m;
    assert_int_equal(disk_msg_decode(&m, DISK_MSG_ROOM, (struct ts_bytes){BYTES, 1}),
                     TS_ERR_MALFORMED);
    assert_int_equal(disk_msg_decode(&m, DISK_MSG_ROOM, (struct ts_bytes){BYTES + 1, 0}),
                     TS_ERR_SHORT);
    assert_int_equal(disk_msg_decode(&m, DISK_MSG_ROOM, (struct ts_bytes){BYTES + 1, 1}), TS_OK);
    assert_int_not_equal(disk_msg_decode(&m, DISK_MSG_ROOM, (struct ts_bytes){BYTES, 2}), TS_OK);
    assert_int_equal(disk_msg_decode(&m, 1, (struct ts_bytes){BYTES + 1, 1}), TS_ERR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_limit_by_steps, setup_replica, teardown_replica),
        cmocka_unit_test_setup_teardown(test_limit_is_told_before, setup_replica, teardown_replica),
        cmocka_unit_test_setup_teardown(test_what_is_kept_counts, setup_replica, teardown_replica),
        cmocka_unit_test_setup_teardown(test_limit_is_half_of_the_file_system, setup_replica,
                                        teardown_replica),
        cmocka_unit_test_setup_teardown(test_order_without_room_is_refused, setup_replica,
                                        teardown_replica),
        cmocka_unit_test_setup_teardown(test_a_required_peers_room_counts, setup_replica,
                                        teardown_replica),
        cmocka_unit_test(test_malformed_words_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
