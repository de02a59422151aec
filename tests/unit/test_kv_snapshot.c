/* kv: a walk gives the state as it was when it was begun, whatever is applied meanwhile; a load
 * takes what a walk gives and nothing else. (The determinism check, tests/service, does it at
 * random.) */
#include "tests/unit/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "services/kv/piece.h"

#define PIECES_MAX 64

struct walked {
    struct svc_out bytes;
    size_t ends[PIECES_MAX];
    size_t count;
    struct svc_walk *walk; /* while it goes on */
};

static void walk_begin(struct kv_test *t, struct walked *w)
{
    *w = (struct walked){.bytes = {.max = SIZE_MAX}};
    w->walk = kv_service.walk_begin(t->state);
    assert_non_null(w->walk);
}

static bool walk_piece(struct walked *w)
{
    assert_true(w->count < PIECES_MAX);
    bool more = kv_service.walk_next(w->walk, &w->bytes);
    w->ends[w->count++] = w->bytes.len;
    return more;
}

static void walk_rest(struct walked *w)
{
    while (walk_piece(w)) {
    }
    kv_service.walk_end(w->walk);
    w->walk = NULL;
}

static void walk_all(struct kv_test *t, struct walked *w)
{
    walk_begin(t, w);
    walk_rest(w);
}

static void assert_same_walk(const struct walked *a, const struct walked *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->ends, b->ends, a->count * sizeof(a->ends[0]));
    assert_memory_equal(a->bytes.data, b->bytes.data, a->bytes.len);
}

/* Bytes of a heap block of their own, so that a sanitizer sees a read beyond them. */
static enum ts_err load_bytes(void *state, const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    enum ts_err err = kv_service.load_piece(state, (struct ts_bytes){copy, len});
    free(copy);
    return err;
}

static enum ts_err load(void *state, const struct walked *w)
{
    enum ts_err err = TS_OK;
    size_t from = 0;
    for (size_t i = 0; i < w->count && err == TS_OK; i++) {
        err = load_bytes(state, w->bytes.data + from, w->ends[i] - from);
        from = w->ends[i];
    }
    return err != TS_OK ? err : kv_service.load_end(state);
}

static struct kv_store *store_of(struct kv_test *t)
{
    return &((struct kv_state *)t->state)->store;
}

static void tick(struct kv_test *t, uint64_t ms)
{
    t->now_ms += ms;
    kv_entry_apply(t, SVC_ENTRY_TICK, (struct ts_bytes){NULL, 0});
}

/* a, b, c: values; e1, e2: expiries; n: a number; then keys enough for more pieces. */
static void fill(struct kv_test *t)
{
    static const char *const lines[] = {
        "SET a first",  "SET b second", "SET e1 gone PX 100", "SET e2 later PX 900", "SET n 41",
        "SET empty ''", "DEL b",        "SET b again",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        (void)kv_do(t, lines[i]);
    }
    for (int i = 0; i < 2000; i++) {
        char line[512];
        snprintf(line, sizeof(line), "SET key%d %0300d", i, i);
        (void)kv_do(t, line);
    }
    kv_entry_apply(t, SVC_ENTRY_CHECKPOINT, (struct ts_bytes){NULL, 0});
    (void)kv_do(t, "SET last one");
}

/* ---- the walk ---- */

/* Goal: each way to change an entry leaves the walk as it was, before and behind the place where it
 * stands; the same one twice, too. */
static void test_walk_change_under_it_is_not_in_it(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "SET a other",     "SET a ''",
        "SET empty full",  "SET last other",
        "APPEND a more",   "APPEND a ''",
        "SETRANGE a 1 xx", "SETRANGE a 90 xx",
        "PEXPIRE a 500",   "PERSIST e2",
        "PEXPIRE e2 5000", "DEL a",
        "DEL a last",      "GETDEL last",
        "RENAME a b",      "RENAME a new",
        "RENAME last a",   "FLUSHALL",
        "GETEX a PX 7",    "GETSET a other",
        "MSET a 1 last 2", "INCR n",
        "SET new one",     "tick",
        "GET e1",          "DEL key0 key1 key1999",
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        for (int pieces = 0; pieces < 2; pieces++) {
            struct kv_test t;
            struct walked at_once;
            struct walked slow;
            kv_open(&t, NULL);
            fill(&t);
            walk_all(&t, &at_once);
            assert_true(at_once.count > 2);
            walk_begin(&t, &slow);
            for (int n = 0; n < pieces; n++) {
                assert_true(walk_piece(&slow));
            }
            t.now_ms += 200; /* e1's time has come */
            for (int twice = 0; twice < 2; twice++) {
                if (strcmp(changes[i], "tick") == 0) {
                    tick(&t, 0);
                } else {
                    (void)kv_do(&t, changes[i]);
                }
                kv_store_check(store_of(&t));
            }
            walk_rest(&slow);
            assert_same_walk(&at_once, &slow);
            svc_out_free(&at_once.bytes);
            svc_out_free(&slow.bytes);
            kv_close(&t);
        }
    }
}

/* Goal: a walk keeps the frozen state once more at the most, what it has given costs nothing, and
 * nothing is left of it at the end. */
static void test_walk_kept_bytes_are_bounded(void **state)
{
    (void)state;
    struct kv_test t;
    struct walked w;
    struct kv_stats frozen;
    struct kv_stats now;
    kv_open(&t, NULL);
    fill(&t);
    (void)kv_do(&t, "DEL e1 e2");
    kv_stats(t.state, &frozen);
    walk_begin(&t, &w);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2000; i++) {
            char line[64];
            snprintf(line, sizeof(line), "%s key%d x", round == 1 ? "APPEND" : "SET", i);
            (void)kv_do(&t, line);
        }
        (void)kv_do(&t, "DEL a b n empty last");
        kv_stats(t.state, &now);
        assert_int_equal(now.kept, frozen.memory);
        kv_store_check(store_of(&t));
    }
    assert_true(walk_piece(&w));
    kv_stats(t.state, &now);
    assert_true(now.kept < frozen.memory - SVC_PIECE_BYTES / 2);
    walk_rest(&w);
    kv_stats(t.state, &now);
    assert_int_equal(now.kept, 0);
    assert_null(store_of(&t)->dead);
    svc_out_free(&w.bytes);
    kv_close(&t);
}

/* Goal: a walk that is given up lets go of what it kept, which is freed little by little; flushes
 * under it are survived, and the next walk begins anew. */
static void test_walk_given_up_is_forgotten(void **state)
{
    (void)state;
    struct kv_test t;
    struct walked w;
    kv_open(&t, NULL);
    for (int round = 0; round < 3; round++) {
        fill(&t);
        walk_begin(&t, &w);
        assert_true(walk_piece(&w));
        for (int i = 2000; i-- > 0;) {
            char line[64];
            snprintf(line, sizeof(line), "SET key%d x", i);
            (void)kv_do(&t, line);
        }
        for (int flushes = 0; flushes < round; flushes++) {
            KV_EXPECT(&t, "FLUSHALL", "+OK\r\n");
            KV_EXPECT(&t, "SET a new", "+OK\r\n");
        }
        kv_service.walk_end(w.walk);
        svc_out_free(&w.bytes);
        assert_non_null(store_of(&t)->dead);
        (void)kv_do(&t, "GET a");
        assert_non_null(store_of(&t)->dead);
    }
    for (int i = 0; i < 300; i++) {
        (void)kv_do(&t, "GET a");
    }
    assert_null(store_of(&t)->dead);
    assert_null(store_of(&t)->graveyard);
    kv_close(&t);
}

/* ---- the load ---- */

/* Goal: a loaded state goes on as the one that was walked: digests, expiries, cursors, dice,
 * versions; also an empty one, and one in which the next checkpoint begins in the middle. */
static void test_load_whole_walk_goes_on_alike(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "RANDOMKEY",   "SCAN 1500 COUNT 20", "WATCH a b gone key7", "PTTL e2",
        "SET new one", "GET key1999",        "WATCH new e1",        "DBSIZE",
        "RANDOMKEY",
    };
    for (int keys = 0; keys < 3; keys++) {
        struct kv_test t[2];
        struct walked w[2];
        kv_open(&t[0], "hash-seed=4");
        kv_open(&t[1], "hash-seed=5");
        if (keys > 0) {
            fill(&t[0]);
        }
        for (int i = 0; keys == 2 && i < 4000; i++) {
            char line[32];
            snprintf(line, sizeof(line), "SET more%d v", i);
            (void)kv_do(&t[0], line);
            if (i == 3000) {
                kv_entry_apply(&t[0], SVC_ENTRY_CHECKPOINT, (struct ts_bytes){NULL, 0});
                assert_non_null(store_of(&t[0])->cursor);
            }
        }
        walk_all(&t[0], &w[0]);
        assert_int_equal(load(t[1].state, &w[0]), TS_OK);
        kv_store_check(store_of(&t[1]));
        t[1].seq = t[0].seq;
        t[1].now_ms = t[0].now_ms;
        for (size_t i = 0; i < 3 * sizeof(lines) / sizeof(lines[0]); i++) {
            const char *line = lines[i % (sizeof(lines) / sizeof(lines[0]))];
            (void)kv_do(&t[1], line);
            KV_EXPECT(&t[0], line, kv_text(&t[1]));
            tick(&t[0], 70);
            tick(&t[1], 70);
            kv_entry_apply(&t[0], SVC_ENTRY_CHECKPOINT, (struct ts_bytes){NULL, 0});
            kv_entry_apply(&t[1], SVC_ENTRY_CHECKPOINT, (struct ts_bytes){NULL, 0});
            assert_memory_equal(t[0].out.data, t[1].out.data, KV_CHECKPOINT_BYTES);
        }
        svc_out_free(&w[0].bytes);
        walk_all(&t[0], &w[0]);
        walk_all(&t[1], &w[1]);
        assert_same_walk(&w[0], &w[1]);
        for (int i = 0; i < 2; i++) {
            svc_out_free(&w[i].bytes);
            kv_close(&t[i]);
        }
    }
}

/* Loads one damaged piece. What is taken all the same is another legal state: its walk gives these
 * very bytes. */
static void load_damaged(const uint8_t *data, size_t len, bool may_pass)
{
    struct kv_test t;
    kv_open(&t, NULL);
    enum ts_err err = load_bytes(t.state, data, len);
    err = err != TS_OK ? err : kv_service.load_end(t.state);
    if (err == TS_OK) {
        struct walked w;
        assert_true(may_pass);
        walk_all(&t, &w);
        assert_int_equal(w.count, 1);
        assert_int_equal(w.bytes.len, len);
        assert_memory_equal(w.bytes.data, data, len);
        svc_out_free(&w.bytes);
        kv_close(&t);
    } else {
        assert_true(err == TS_ERR_MALFORMED || err == TS_ERR_VERSION || err == TS_ERR_SHORT);
        kv_service.destroy(t.state);
        svc_out_free(&t.out);
    }
}

/* Goal: every truncation and every flipped bit of a small walk is refused, or is another state. */
static void test_load_damaged_piece_is_refused(void **state)
{
    (void)state;
    struct kv_test t;
    struct walked w;
    kv_open(&t, NULL);
    static const char *const lines[] = {
        "SET a first", "SET b second PX 700", "SET c third", "DEL b", "SET bb '' EX 9",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        (void)kv_do(&t, lines[i]);
    }
    for (int i = 0; i < 40; i++) { /* so that small figures are not refused for themselves */
        (void)kv_do(&t, "SET brief v");
        (void)kv_do(&t, "DEL brief");
    }
    walk_all(&t, &w);
    assert_int_equal(w.count, 1);
    for (size_t len = 0; len < w.bytes.len; len++) {
        load_damaged(w.bytes.data, len, false);
    }
    for (size_t bit = 0; bit < 8 * w.bytes.len; bit++) {
        w.bytes.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        load_damaged(w.bytes.data, w.bytes.len, true);
        w.bytes.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    load_damaged(w.bytes.data, w.bytes.len, true);
    svc_out_free(&w.bytes);
    kv_close(&t);
}

/* ---- several pieces ---- */

enum wrong { RIGHT, MISSING_FIRST, MISSING_MIDDLE, MISSING_LAST, TWICE, LAST_EARLIER };

/* What load_piece says, and load_end when all pieces were taken. */
struct verdict {
    enum ts_err piece;
    enum ts_err end;
};

static struct verdict load_wrongly(const struct walked *w, enum wrong how)
{
    struct kv_test t;
    struct verdict v = {TS_OK, TS_OK};
    kv_open(&t, NULL);
    for (size_t i = 0; i < w->count && v.piece == TS_OK; i++) {
        size_t from = i > 0 ? w->ends[i - 1] : 0;
        size_t len = w->ends[i] - from;
        if ((how == MISSING_FIRST && i == 0) || (how == MISSING_MIDDLE && i == 1) ||
            (how == MISSING_LAST && i + 1 == w->count)) {
            continue;
        }
        w->bytes.data[from + 1] ^= how == LAST_EARLIER && i == 1;
        v.piece = load_bytes(t.state, w->bytes.data + from, len);
        w->bytes.data[from + 1] ^= how == LAST_EARLIER && i == 1;
        if (v.piece == TS_OK && how == TWICE) {
            v.piece = load_bytes(t.state, w->bytes.data + from, len);
        }
    }
    if (v.piece == TS_OK) {
        v.end = kv_service.load_end(t.state);
    }
    kv_service.destroy(t.state);
    svc_out_free(&t.out);
    return v;
}

/* Goal: pieces come all and in their order; a load that was begun leaves nothing behind when the
 * state is destroyed. */
static void test_load_pieces_out_of_order_are_refused(void **state)
{
    (void)state;
    struct kv_test t;
    struct walked w;
    kv_open(&t, NULL);
    fill(&t);
    walk_all(&t, &w);
    assert_true(w.count >= 3);
    struct verdict v = load_wrongly(&w, RIGHT);
    assert_true(v.piece == TS_OK && v.end == TS_OK);
    v = load_wrongly(&w, MISSING_LAST);
    assert_true(v.piece == TS_OK && v.end == TS_ERR_SHORT);
    assert_int_equal(load_wrongly(&w, MISSING_FIRST).piece, TS_ERR_MALFORMED);
    assert_int_equal(load_wrongly(&w, MISSING_MIDDLE).piece, TS_ERR_MALFORMED);
    assert_int_equal(load_wrongly(&w, TWICE).piece, TS_ERR_MALFORMED);
    assert_int_equal(load_wrongly(&w, LAST_EARLIER).piece, TS_ERR_MALFORMED);
    w.bytes.data[0]++;
    struct kv_test other;
    kv_open(&other, NULL);
    assert_int_equal(kv_service.load_end(other.state), TS_ERR_SHORT);
    assert_int_equal(load(other.state, &w), TS_ERR_VERSION);
    kv_close(&other);
    svc_out_free(&w.bytes);
    kv_close(&t);
}

/* The same entries in pieces of other lengths. */
static void cut_again(const struct walked *w, size_t piece_bytes, struct walked *out)
{
    size_t from = 0;
    size_t start = 0;
    *out = (struct walked){.bytes = {.max = SIZE_MAX}, .count = 1};
    kv_piece_put_start(&out->bytes, 0);
    for (size_t i = 0; i < w->count; i++) {
        struct ts_reader r = ts_reader_init(w->bytes.data + from, w->ends[i] - from);
        struct kv_piece_start head;
        assert_int_equal(kv_piece_get_start(&r, &head), TS_OK);
        if (i == 0) {
            struct kv_head *figures = calloc(1, sizeof(*figures));
            assert_int_equal(kv_piece_get_head(&r, figures), TS_OK);
            kv_piece_put_head(&out->bytes, figures);
            free(figures);
        }
        while (ts_reader_left(&r) > 0) {
            size_t at = r.pos;
            struct kv_piece_entry e;
            assert_int_equal(kv_piece_get_entry(&r, &e), TS_OK);
            if (out->bytes.len - start + (r.pos - at) > piece_bytes) {
                out->ends[out->count - 1] = start = out->bytes.len;
                kv_piece_put_start(&out->bytes, (uint32_t)out->count++);
            }
            assert_int_equal(svc_out_put(&out->bytes, r.data + at, r.pos - at), TS_OK);
        }
        from = w->ends[i];
    }
    kv_piece_mark_last(&out->bytes, start);
    out->ends[out->count - 1] = out->bytes.len;
}

/* Goal: pieces that are cut elsewhere than a walk cuts them are refused, so that what is taken is
 * what a walk of that state gives. */
static void test_load_pieces_cut_elsewhere_are_refused(void **state)
{
    (void)state;
    struct kv_test t;
    struct walked w;
    struct walked again;
    kv_open(&t, NULL);
    fill(&t);
    walk_all(&t, &w);
    cut_again(&w, SVC_PIECE_BYTES, &again);
    assert_same_walk(&w, &again);
    svc_out_free(&again.bytes);
    static const size_t elsewhere[] = {SVC_PIECE_BYTES - 1000, SVC_PIECE_BYTES + 1000};
    for (int i = 0; i < 2; i++) {
        cut_again(&w, elsewhere[i], &again);
        assert_int_equal(load_wrongly(&again, RIGHT).piece, TS_ERR_MALFORMED);
        svc_out_free(&again.bytes);
    }
    svc_out_free(&w.bytes);
    kv_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk_change_under_it_is_not_in_it),
        cmocka_unit_test(test_walk_kept_bytes_are_bounded),
        cmocka_unit_test(test_walk_given_up_is_forgotten),
        cmocka_unit_test(test_load_whole_walk_goes_on_alike),
        cmocka_unit_test(test_load_damaged_piece_is_refused),
        cmocka_unit_test(test_load_pieces_out_of_order_are_refused),
        cmocka_unit_test(test_load_pieces_cut_elsewhere_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
