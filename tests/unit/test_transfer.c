/* A snapshot on its way to a learner: what either end does when it is not what it should be. With a
 * real journal and a real core. */
#include "replicator/io/perform_replica.h"
#include "replicator/io/snapshot_internal.h"
#include "replicator/io/snapshot_part.h"
#include "replicator/io/transfer_msg.h"
#include "tests/unit/disk_fixture.h"
#include "tests/unit/repl_fixture.h"

#define SEQ 9U

struct replica {
    struct world *w;
    struct fix journal;
    struct perform_replica r;
    unsigned sent; /* words of transfers, … */
    struct transfer_msg said;
    unsigned told; /* people, … */
    enum ts_err err;
    char text[TS_WHY_MAX];
    unsigned installed;
};

static struct replica *it; /* the tables' context is the core's world */
static struct perform_table aside;

static void on_send(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                    struct ts_bytes body)
{
    (void)ctx;
    uint8_t frame[TRANSFER_HEAD_MAX + TRANSFER_PIECE_BYTES];
    assert_int_equal(to.v, PEER);
    if (!transfer_msg_is(type)) {
        return;
    }
    memcpy(frame, head.data, head.len);
    if (body.len > 0) {
        memcpy(frame + head.len, body.data, body.len);
    }
    assert_int_equal(
        transfer_msg_decode(&it->said, type, (struct ts_bytes){frame, head.len + body.len}), TS_OK);
    it->sent++;
}

static void on_feed(void *ctx, struct repl_event *ev)
{
    step(ctx, *ev);
    it->r.perform.fx = it->w->p.fx;
}

static void on_scrub_found(void *ctx, const char *text)
{
    (void)ctx;
    it->told++;
    (void)snprintf(it->text, sizeof(it->text), "%s", text);
}

static void on_transfer_failed(void *ctx, struct ts_nic_id from, enum ts_err err, const char *text)
{
    assert_int_equal(from.v, PEER);
    it->err = err;
    on_scrub_found(ctx, text);
}

static void on_installed(void *ctx, struct ts_seq seq)
{
    (void)ctx;
    assert_int_equal(seq.v, SEQ);
    it->installed++;
}

static void on_end(void *ctx, bool again)
{
    (void)ctx;
    assert_true(again);
}

static const struct perform_ops OPS = {.feed = on_feed,
                                       .scrub_found = on_scrub_found,
                                       .transfer_failed = on_transfer_failed,
                                       .snapshot_installed = on_installed,
                                       .end = on_end};

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
    aside = table;
    aside.send = on_send;
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

/* It lacks what PEER, the primary, has in a snapshot only. */
static void become_learner(struct replica *x)
{
    struct cfg_config c = first_config(PEER, false);
    cfg_set_remove(&c.in_sync, (struct ts_nic_id){SELF});
    link_up(x->w);
    reg_answer(x->w, REPL_EV_REG_LOST, &c);
}

static void hear(struct replica *x, const struct transfer_msg *m)
{
    static uint8_t frame[TRANSFER_HEAD_MAX + TRANSFER_PIECE_BYTES];
    struct ts_writer w = ts_writer_init(frame, sizeof(frame));
    transfer_msg_encode(m, &w);
    if (m->bytes.len > 0) {
        ts_put_bytes(&w, m->bytes.data, m->bytes.len);
    }
    assert_int_equal(perform_transfer_frame(&x->r, (struct ts_nic_id){PEER}, (uint8_t)m->type,
                                            (struct ts_bytes){frame, w.len}),
                     TS_OK);
}

/* Until the worker has come back, and the next piece was asked for. */
static void await(struct replica *x, const unsigned *count, unsigned value)
{
    while (*count < value) {
        (void)uv_run(&x->journal.loop, UV_RUN_ONCE);
        struct ts_mono due = perform_transfer_deadline(&x->r);
        perform_transfer_turn(&x->r,
                              ts_mono_lt(x->w->now, due) && due.ns != UINT64_MAX ? due : x->w->now);
    }
}

/* The bytes of a snapshot at SEQ of another disk; the caller frees them. */
static uint8_t *make_snapshot(const struct replica *x, size_t *len)
{
    char dir[TS_PATH_MAX];
    char path[TS_PATH_MAX];
    uint8_t *bytes = NULL;
    const struct journal_info *info = journal_info(x->journal.journal);
    struct snapshot_header h = {.incarnation = {4242}, .group = info->group};
    struct snapshot_writer *w = NULL;
    struct ts_seq oldest;
    disk_make(dir);
    h.mark.pos = (struct repl_pos){{SEQ}, {1, 2}};
    h.mark.epoch.v = 1;
    assert_int_equal(snapshot_write_begin(&w, dir, &h, NULL), TS_OK);
    assert_int_equal(snapshot_write_piece(w, (struct ts_bytes){(const uint8_t *)"state", 5}, NULL),
                     TS_OK);
    assert_int_equal(snapshot_write_end(w, &oldest, NULL), TS_OK);
    assert_int_equal(snapshot_path(path, dir, (struct ts_seq){SEQ}, NULL), TS_OK);
    assert_int_equal(ts_file_read(path, 1U << 20, &bytes, len, NULL), TS_OK);
    disk_remove(dir);
    return bytes;
}

static void be_offered(struct replica *x)
{
    struct transfer_msg offer = {
        .type = TRANSFER_MSG_OFFER, .snapshot = {SEQ}, .base = {{SEQ}, {1, 2}}};
    unsigned before = x->sent;
    hear(x, &offer);
    await(x, &x->sent, before + 1);
    assert_int_equal(x->said.type, TRANSFER_MSG_ASK);
}

static void be_given(struct replica *x, const uint8_t *bytes, size_t len)
{
    struct transfer_msg piece = {
        .type = TRANSFER_MSG_PIECE, .snapshot = {SEQ}, .size = len, .bytes = {bytes, len}};
    hear(x, &piece);
}

static void expect_trust(const struct replica *x)
{
    struct ts_why why;
    assert_int_equal(ts_dir_check_marks(x->journal.path, &why), TS_OK);
    assert_int_equal(x->journal.failed_calls, 0);
}

/* Goal: what is whole is installed. */
static void test_whole_snapshot_is_installed(void **state)
{
    struct replica *x = *state;
    size_t len;
    uint8_t *bytes = make_snapshot(x, &len);
    become_learner(x);
    be_offered(x);
    be_given(x, bytes, len);
    await(x, &x->installed, 1);
    assert_int_equal(x->told, 0);
    free(bytes);
}

/* Goal: a learner leaves the giver time for others: the next piece is asked for when it is due, and
 * not before. */
static void test_pieces_are_asked_for_in_time(void **state)
{
    struct replica *x = *state;
    size_t len = 0;
    uint8_t *bytes = make_snapshot(x, &len);
    struct transfer_msg half = {
        .type = TRANSFER_MSG_PIECE, .snapshot = {SEQ}, .size = len, .bytes = {bytes, len / 2}};
    become_learner(x);
    be_offered(x);
    unsigned asked = x->sent;
    hear(x, &half);
    while (!x->r.transfer.asks) {
        (void)uv_run(&x->journal.loop, UV_RUN_ONCE);
    }
    struct ts_mono due = perform_transfer_deadline(&x->r);
    assert_true(ts_mono_since(x->w->now, due) >= TS_NS_PER_MS);
    perform_transfer_turn(&x->r, x->w->now);
    assert_int_equal(x->sent, asked);
    perform_transfer_turn(&x->r, due);
    assert_int_equal(x->sent, asked + 1);
    assert_int_equal(x->said.type, TRANSFER_MSG_ASK);
    assert_int_equal(x->said.offset, len / 2);
    assert_true(perform_transfer_deadline(&x->r).ns == UINT64_MAX);
    free(bytes);
}

/* Goal: what would leave the file system without room for the journals is not written, and people
 * are told what to do; the disk is trusted as before. With room it goes on. */
static void test_snapshot_without_room_is_not_written(void **state)
{
    struct replica *x = *state;
    size_t len;
    uint64_t there;
    uint8_t *bytes = make_snapshot(x, &len);
    become_learner(x);
    be_offered(x);
    x->r.room.known = true;
    x->r.room.look.free = 2 * FIX_SEGMENT + len - 1;
    be_given(x, bytes, len);
    await(x, &x->told, 1);
    assert_int_equal(x->err, TS_ERR_NOSPACE);
    assert_non_null(strstr(x->text, "free space there"));
    assert_int_equal(snapshot_part_size(x->journal.path, (struct ts_seq){SEQ}, &there, NULL),
                     TS_OK);
    assert_int_equal(there, 0);
    expect_trust(x);
    be_offered(x);
    x->r.room.look.free++;
    be_given(x, bytes, len);
    await(x, &x->installed, 1);
    free(bytes);
}

/* Goal: what came damaged is told as the sender's, to people and to the sender; this disk is not
 * suspected, and nobody is advised to replace it. */
static void test_damaged_snapshot_is_the_senders(void **state)
{
    struct replica *x = *state;
    size_t len;
    uint8_t *bytes = make_snapshot(x, &len);
    bytes[len - 1] ^= 1;
    become_learner(x);
    be_offered(x);
    be_given(x, bytes, len);
    await(x, &x->sent, 2);
    assert_int_equal(x->said.type, TRANSFER_MSG_BAD);
    assert_int_equal(x->said.snapshot.v, SEQ);
    assert_int_equal(x->told, 1);
    assert_int_equal(x->err, TS_ERR_CORRUPT);
    assert_null(strstr(x->text, "new disk"));
    expect_trust(x);
    be_offered(x); /* and it begins anew */
    assert_int_equal(x->said.offset, 0);
    free(bytes);
}

/* Goal: another release's format is told as that, and what is here stays. */
static void test_snapshot_of_another_release_is_told_as_that(void **state)
{
    struct replica *x = *state;
    struct snapshot_header h;
    size_t len;
    uint8_t *bytes = make_snapshot(x, &len);
    struct ts_writer w = ts_writer_init(bytes, SNAPSHOT_HEADER_BYTES);
    w.len = SNAPSHOT_HEADER_BYTES;
    ts_put_u32_at(&w, 12,
                  SNAPSHOT_VERSION + 1); /* behind magic and checksum, which is of the rest */
    ts_put_u32_at(&w, 8, ts_crc32c(bytes + 12, SNAPSHOT_HEADER_BYTES - 12));
    assert_int_equal(snapshot_header_decode(&h, bytes, SNAPSHOT_HEADER_BYTES), TS_ERR_VERSION);
    become_learner(x);
    be_offered(x);
    be_given(x, bytes, len);
    await(x, &x->told, 1);
    assert_int_equal(x->err, TS_ERR_VERSION);
    assert_non_null(strstr(x->text, "a format that this release does not know"));
    assert_int_equal(x->sent, 1); /* nobody is told that it is damaged */
    expect_trust(x);
    free(bytes);
}

/* Goal: a piece without bytes for what is not here is no failure of this disk. */
static void test_end_without_a_part_is_ignored(void **state)
{
    struct replica *x = *state;
    struct transfer_msg end = {
        .type = TRANSFER_MSG_PIECE, .snapshot = {SEQ}, .offset = 77, .size = 77};
    become_learner(x);
    be_offered(x);
    hear(x, &end);
    end.offset = end.size = 0;
    hear(x, &end);
    assert_false(x->r.transfer.busy);
    assert_int_equal(x->told, 0);
    expect_trust(x);
}

/* Goal: a part that is longer than the snapshot is of another one: it begins anew. */
static void test_end_before_the_parts_begins_anew(void **state)
{
    struct replica *x = *state;
    uint8_t *much = calloc(1, 2 * TRANSFER_PIECE_BYTES);
    struct transfer_msg end = {
        .type = TRANSFER_MSG_PIECE, .snapshot = {SEQ}, .offset = 77, .size = 77};
    assert_int_equal(snapshot_part_write(x->journal.path, (struct ts_seq){SEQ}, 0,
                                         (struct ts_bytes){much, 2 * TRANSFER_PIECE_BYTES}, NULL),
                     TS_OK);
    become_learner(x);
    be_offered(x);
    assert_int_equal(x->said.offset, TRANSFER_PIECE_BYTES);
    hear(x, &end);
    assert_int_equal(x->sent, 2);
    assert_int_equal(x->said.offset, 0);
    expect_trust(x);
    free(much);
}

static void ask_for(struct replica *x, uint64_t seq)
{
    struct transfer_msg m = {.type = TRANSFER_MSG_ASK, .snapshot = {seq}};
    hear(x, &m);
    while (x->r.transfer.giving != 0) {
        (void)uv_run(&x->journal.loop, UV_RUN_ONCE);
    }
}

/* Goal: who gives and cannot read what it has says so, and looks through its disk; one that a newer
 * snapshot has replaced is no damage. */
static void test_unreadable_snapshot_is_told_by_the_giver(void **state)
{
    struct replica *x = *state;
    char path[TS_PATH_MAX];
    become_primary(x->w, false);
    ask_for(x, SEQ);
    assert_int_equal(x->told, 0);
    assert_int_equal(x->r.transfer.hold_until.ns, 0);
    assert_int_equal(snapshot_path(path, x->journal.path, (struct ts_seq){SEQ}, NULL), TS_OK);
    assert_int_equal(mkdir(path, 0700), 0); /* it opens, and does not read */
    ask_for(x, SEQ);
    assert_int_equal(x->told, 1);
    assert_non_null(strstr(x->text, "snapshot-"));
    assert_int_equal(x->sent, 0);
    assert_int_equal(x->r.transfer.hold_until.ns, 0); /* nor does it keep the next one away */
    expect_trust(x);
    assert_int_equal(rmdir(path), 0);
}

/* Goal: a peer's word makes who gave look through its disk, once a minute at most, and only for
 * what it gave. */
static void test_word_of_damage_begins_a_look(void **state)
{
    struct replica *x = *state;
    struct transfer_msg bad = {.type = TRANSFER_MSG_BAD, .snapshot = {SEQ}};
    become_primary(x->w, false);
    x->r.scrub.now = x->w->now;
    hear(x, &bad); /* it gave none */
    assert_false(x->r.scrub.again);
    ask_for(x, SEQ);
    hear(x, &bad);
    assert_true(x->r.scrub.again);
    x->r.scrub.again = false;
    hear(x, &bad);
    assert_false(x->r.scrub.again);
    x->r.scrub.now = ts_mono_add(x->w->now, 61 * TS_NS_PER_S);
    hear(x, &bad);
    assert_true(x->r.scrub.again);
}

/* Goal: one that is said to be damaged is not offered again and again while it is looked at. */
static void test_bad_snapshot_is_not_offered_at_once(void **state)
{
    struct replica *x = *state;
    struct ts_nic_id peer = {PEER};
    struct transfer_msg bad = {.type = TRANSFER_MSG_BAD, .snapshot = {SEQ}};
    become_primary(x->w, false);
    x->r.scrub.now = x->w->now;
    x->r.snapshot.newest.v = SEQ;
    perform_transfer_offer(&x->r, peer);
    assert_int_equal(x->sent, 1);
    ask_for(x, SEQ);
    hear(x, &bad);
    perform_transfer_offer(&x->r, peer);
    assert_int_equal(x->sent, 1);
    x->r.snapshot.newest.v = SEQ + 1; /* a new one is */
    perform_transfer_offer(&x->r, peer);
    assert_int_equal(x->sent, 2);
    x->r.snapshot.newest.v = SEQ; /* and that one, in case it was not so */
    x->r.scrub.now = ts_mono_add(x->w->now, 11 * TS_NS_PER_S);
    perform_transfer_offer(&x->r, peer);
    assert_int_equal(x->sent, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup_replica, teardown_replica)
    const struct CMUnitTest tests[] = {
        T(test_whole_snapshot_is_installed),
        T(test_pieces_are_asked_for_in_time),
        T(test_snapshot_without_room_is_not_written),
        T(test_damaged_snapshot_is_the_senders),
        T(test_snapshot_of_another_release_is_told_as_that),
        T(test_end_without_a_part_is_ignored),
        T(test_end_before_the_parts_begins_anew),
        T(test_unreadable_snapshot_is_told_by_the_giver),
        T(test_word_of_damage_begins_a_look),
        T(test_bad_snapshot_is_not_offered_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
