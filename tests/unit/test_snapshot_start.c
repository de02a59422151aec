/* Which snapshot a start begins with, and which ones it removes, together with the journal behind
 * it. With a real journal and a real core. */
#include "replicator/io/perform_replica.h"
#include "replicator/io/snapshot_internal.h"
#include "tests/unit/disk_fixture.h"
#include "tests/unit/repl_fixture.h"

#define OLD 100U
#define NEW 200U

struct replica {
    struct world *w;
    struct fix f;
    struct perform_replica r;
    struct journal_start from; /* of a journal that is made */
    unsigned broken;
};

static struct replica *it; /* the tables' context is the core's world */

static enum ts_err take(void *state, struct ts_bytes piece)
{
    (void)state;
    return piece.len == 5 ? TS_OK : TS_ERR_MALFORMED;
}

static enum ts_err take_end(void *state)
{
    (void)state;
    return TS_OK;
}

static const struct svc SERVICE = {.name = "five", .load_piece = take, .load_end = take_end};

static void on_feed(void *ctx, struct repl_event *ev)
{
    step(ctx, *ev);
}

static void on_broken(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
    it->broken++;
}

static void on_loaded(void *ctx, const struct snapshot_info *info)
{
    (void)ctx;
    (void)info;
}

static const struct perform_ops OPS = {
    .feed = on_feed, .snapshot_broken = on_broken, .snapshot_loaded = on_loaded};

static enum ts_err begin_as_told(void *arg, const char *dir, const struct journal_info *info,
                                 struct journal_start *from, struct ts_why *why)
{
    (void)arg;
    (void)dir;
    (void)info;
    (void)why;
    *from = it->from;
    it->f.replayed = it->from.at.seq;
    it->f.replayed_hash = it->from.at.hash;
    return TS_OK;
}

static enum ts_err begin_with_snapshot(void *arg, const char *dir, const struct journal_info *info,
                                       struct journal_start *from, struct ts_why *why)
{
    (void)arg;
    enum ts_err err = perform_snapshot_load(&it->r, dir, info, from, why);
    it->f.replayed = from->at.seq;
    it->f.replayed_hash = from->at.hash;
    return err;
}

static enum ts_err open_with(journal_begin_fn *begin)
{
    struct fix *f = &it->f;
    struct journal_options o = {.segment_bytes = f->segment_bytes, .begin = begin};
    struct journal_callbacks cb = {.persisted = fix_persisted,
                                   .truncated = fix_truncated,
                                   .record_persisted = fix_record,
                                   .failed = fix_failed,
                                   .arg = f};
    f->closed = false;
    enum ts_err err = journal_open(&f->journal, &f->loop, f->path, &o, &cb, fix_replay, f, &f->why);
    if (err == TS_OK) {
        f->seq = journal_info(f->journal)->last;
        f->hash = journal_info(f->journal)->hash;
        f->persisted = f->seq;
    }
    return err;
}

/* As the process does. */
static enum ts_err start(void)
{
    void *world = it->w;
    (void)teardown(&world);
    struct repl_options o = {.self = {SELF}, .instance = {201}, .first_time = {1000}, .seed = 3};
    it->w = calloc(1, sizeof(*it->w));
    assert_non_null(it->w);
    o.timing = cfg_timing_derive(100 * TS_NS_PER_MS);
    o.limits = repl_limits_default(&o.timing);
    it->w->p = (struct perform){.core = repl_new(&o), .table = &table, .ctx = it->w};
    it->w->now.ns = TS_NS_PER_S;
    perform_open(&it->r, it->w->p.core, &table, &OPS, it->w);
    it->r.svc = &SERVICE;
    it->broken = 0;
    enum ts_err err = open_with(begin_with_snapshot);
    if (err == TS_OK) {
        (void)!perform_disk_opened(&it->r, it->f.journal); /* the fixture's record is none */
        fix_close(&it->f);
    }
    return err;
}

static int setup_start(void **state)
{
    void *world;
    it = calloc(1, sizeof(*it));
    assert_non_null(it);
    assert_int_equal(setup(&world), 0);
    it->w = world;
    fix_init(&it->f);
    assert_int_equal(fix_format(&it->f), TS_OK);
    *state = it;
    return 0;
}

static int teardown_start(void **state)
{
    void *world = it->w;
    (void)state;
    fix_free(&it->f);
    (void)teardown(&world);
    free(it);
    return 0;
}

static void path_of(char out[TS_PATH_MAX], uint64_t seq)
{
    assert_int_equal(snapshot_path(out, it->f.path, (struct ts_seq){seq}, NULL), TS_OK);
}

static bool there(uint64_t seq)
{
    char path[TS_PATH_MAX];
    path_of(path, seq);
    return access(path, F_OK) == 0;
}

static void write_snapshot(struct journal_place at, bool installed)
{
    struct snapshot_writer *w;
    struct ts_seq oldest;
    struct snapshot_header h = {.incarnation = {77}, .group = {3}, .installed = installed};
    h.mark.pos = (struct repl_pos){at.seq, at.hash};
    h.mark.epoch = at.epoch;
    h.mark.time.ns = 1;
    assert_int_equal(snapshot_write_begin(&w, it->f.path, &h, NULL), TS_OK);
    assert_int_equal(snapshot_write_piece(w, (struct ts_bytes){(const uint8_t *)"state", 5}, NULL),
                     TS_OK);
    assert_int_equal(snapshot_write_end(w, &oldest, NULL), TS_OK);
}

static void flip(uint64_t seq)
{
    char path[TS_PATH_MAX];
    path_of(path, seq);
    disk_flip(path, SNAPSHOT_HEADER_BYTES + 20);
}

/* Goal: a snapshot that cannot be read is not removed when the older one is of no use, since the
 * journal begins behind the newer one, which was installed: a read that failed once does not cost
 * the replica what nobody else may have. */
static void test_unreadable_snapshot_stays_while_the_log_needs_it(void **state)
{
    (void)state;
    struct journal_place old = {{OLD}, {1, 2}, {1}};
    it->from = (struct journal_start){{{NEW}, {3, 4}, {1}}, true};
    assert_int_equal(open_with(begin_as_told), TS_OK); /* the log begins anew behind NEW */
    fix_close(&it->f);
    write_snapshot(old, false);
    write_snapshot(it->from.at, true);
    flip(NEW);
    assert_int_equal(start(), TS_ERR_CORRUPT);
    assert_int_equal(it->broken, 1);
    assert_non_null(strstr(it->f.why.text, "nothing was changed"));
    assert_true(there(OLD) && there(NEW));
    flip(NEW); /* this time it can be read */
    assert_int_equal(start(), TS_OK);
    assert_int_equal(it->r.snapshot.newest.v, NEW);
}

/* Goal: when the log goes on behind the older one, the broken one goes. */
static void test_broken_snapshot_goes_when_the_log_reaches_back(void **state)
{
    (void)state;
    struct journal_place old = {{OLD}, {1, 2}, {1}};
    it->from = (struct journal_start){old, true};
    assert_int_equal(open_with(begin_as_told), TS_OK);
    fix_close(&it->f);
    write_snapshot(old, true);
    write_snapshot((struct journal_place){{NEW}, {3, 4}, {1}}, false);
    flip(NEW);
    assert_int_equal(start(), TS_OK);
    assert_int_equal(it->broken, 1);
    assert_int_equal(it->r.snapshot.newest.v, OLD);
    assert_true(there(OLD) && !there(NEW));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup_start, teardown_start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_unreadable_snapshot_stays_while_the_log_needs_it),
        T(test_broken_snapshot_goes_when_the_log_reaches_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
