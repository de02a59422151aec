#include "tests/service/svc_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

#define PIECES_MAX 4096
#define NOISE_BLOCKS 64
#define BATCH_MAX 20
/* At the end: garbled commands, and TICKs at one time behind which nothing more is due. */
#define GARBLED 2000
#define TICKS_MAX 2000

/* A walk's pieces, one after another. */
struct pieces {
    struct svc_out bytes;
    size_t ends[PIECES_MAX];
    size_t count;
};

/* What was applied since a walk was begun. */
struct logged {
    struct svc_entry entry; /* payload owned */
    struct ts_hash answer;
};
struct log {
    struct logged *entries;
    size_t count;
    size_t cap;
};

struct run {
    const struct svc_check *check;
    struct ts_prng log_dice;  /* what the log holds */
    struct ts_prng life_dice; /* how the other one lives */
    struct svc_check_result result;
    struct svc_entry entry;
    uint8_t *payload;
    uint8_t *scratch;
    /* plain */
    void *plain;
    struct svc_out plain_out;
    struct pieces frozen; /* its last walk */
    /* the other one */
    void *other;
    struct svc_out other_out;
    size_t other_from; /* where the present entry's answer begins */
    uint32_t batch_left;
    struct svc_walk *walk;
    struct pieces copy;
    struct log since;
    uint32_t lives;
    void *noise[NOISE_BLOCKS];
    bool garbled; /* commands are of the log no more, and no walk has to show them */
};

static void differ(struct run *r, const char *what)
{
    if (r->result.same) {
        r->result.same = false;
        snprintf(r->result.text, sizeof(r->result.text), "seed %" PRIu64 ", entry %" PRIu64 ": %s",
                 r->check->seed, r->entry.seq.v, what);
    }
}

static bool equal(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static void fold(struct run *r, const uint8_t *data, size_t len)
{
    r->result.digest = ts_hash_chain(r->result.digest, len > 0 ? data : (const uint8_t *)"", len);
}

/* ---- pieces ---- */

static bool next_piece(const struct svc *svc, struct svc_walk *walk, struct svc_out *out,
                       size_t *ends, size_t at)
{
    bool more = svc->walk_next(walk, out);
    ends[at] = out->len;
    return more;
}

size_t svc_check_walk(const struct svc *svc, void *state, struct svc_out *out, size_t *ends,
                      size_t cap)
{
    size_t count = 0;
    struct svc_walk *walk = svc->walk_begin(state);
    ts_assert(walk != NULL);
    *out = (struct svc_out){.max = SIZE_MAX};
    for (bool more = true; more;) {
        ts_assert(count < cap);
        more = next_piece(svc, walk, out, ends, count++);
    }
    svc->walk_end(walk);
    return count;
}

enum ts_err svc_check_load(const struct svc *svc, void *state, const struct svc_out *walk,
                           const size_t *ends, size_t pieces)
{
    size_t from = 0;
    for (size_t i = 0; i < pieces; i++) {
        /* A copy of its own, so that a sanitizer sees a read beyond it. */
        size_t len = ends[i] - from;
        uint8_t *copy = malloc(len > 0 ? len : 1);
        ts_assert(copy != NULL);
        memcpy(copy, walk->data + from, len);
        enum ts_err err = svc->load_piece(state, (struct ts_bytes){copy, len});
        free(copy);
        if (err != TS_OK) {
            return err;
        }
        from = ends[i];
    }
    return svc->load_end(state);
}

/* ---- the log ---- */

static void log_clear(struct log *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free((void *)(uintptr_t)l->entries[i].entry.payload.data);
    }
    l->count = 0;
}

static void log_add(struct log *l, const struct svc_entry *e, struct ts_hash answer)
{
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 64 : 2 * l->cap;
        l->entries = realloc(l->entries, l->cap * sizeof(*l->entries));
        ts_assert(l->entries != NULL);
    }
    uint8_t *copy = malloc(e->payload.len + 1);
    ts_assert(copy != NULL);
    memcpy(copy, e->payload.data, e->payload.len);
    l->entries[l->count] = (struct logged){*e, answer};
    l->entries[l->count++].entry.payload.data = copy;
}

/* The next entry of the random log. */
static void next_entry(struct run *r)
{
    const struct svc_check *c = r->check;
    struct ts_prng *p = &r->log_dice;
    uint64_t kind = ts_prng_below(p, 40);
    r->entry.seq.v++;
    r->entry.epoch.v += ts_prng_below(p, 1000) == 0;
    r->entry.time.ns += ts_prng_below(p, 4) == 0 ? 0 : ts_prng_below(p, c->step_ns + 1);
    r->entry.session = ts_prng_below(p, 8);
    r->entry.request = r->entry.seq.v;
    r->entry.kind = kind == 0   ? SVC_ENTRY_TICK
                    : kind == 1 ? SVC_ENTRY_CHECKPOINT
                    : kind == 2 ? SVC_ENTRY_NOOP
                                : SVC_ENTRY_COMMAND;
    size_t len = 0;
    if (r->entry.kind == SVC_ENTRY_COMMAND) {
        len = c->command(p, r->payload, SVC_CHECK_PAYLOAD_MAX);
    }
    r->entry.payload = (struct ts_bytes){r->payload, len};
}

/* A client sends what it likes: a command that is cut, or has other bytes. */
static void garble(struct run *r)
{
    struct ts_prng *p = &r->log_dice;
    size_t len = r->entry.payload.len;
    for (uint64_t n = ts_prng_below(p, 3); n > 0 && len > 0; n--) {
        r->payload[ts_prng_below(p, len)] = (uint8_t)ts_prng_below(p, 256);
    }
    if (ts_prng_below(p, 2) == 0) {
        r->entry.payload.len = (size_t)ts_prng_below(p, len + 1);
    }
}

static struct ts_hash answer_hash(const struct svc_out *out, size_t from)
{
    return out->len > from ? ts_hash_bytes(out->data + from, out->len - from)
                           : (struct ts_hash){0, 0};
}

/* ---- the other replica's life ---- */

/* Its memory lies elsewhere, again and again. */
static void make_noise(struct run *r)
{
    size_t i = (size_t)ts_prng_below(&r->life_dice, NOISE_BLOCKS);
    free(r->noise[i]);
    r->noise[i] = malloc((size_t)ts_prng_below(&r->life_dice, 300) + 1);
}

static void *new_state(const struct run *r, size_t limits)
{
    void *state = r->check->svc->create(r->check->limits[limits]);
    ts_assert(state != NULL);
    return state;
}

/* The same question to both. */
static void ask(struct run *r)
{
    const struct svc_check *c = r->check;
    size_t len = c->query(&r->life_dice, r->scratch, SVC_CHECK_PAYLOAD_MAX);
    struct ts_bytes query = {r->scratch, len};
    struct svc_out out[2] = {{.max = SIZE_MAX}, {.max = SIZE_MAX}};
    c->svc->read(r->other, query, &out[0]);
    if (ts_prng_below(&r->life_dice, 4) == 0) {
        c->svc->read(r->plain, query, &out[1]);
        if (!equal(out[0].data, out[0].len, out[1].data, out[1].len)) {
            differ(r, "a read answers something else");
        }
    }
    svc_out_free(&out[0]);
    svc_out_free(&out[1]);
}

/* It is told of the entry first, and of others that never come. */
static void expect_other(struct run *r, const struct svc_entry *entry)
{
    struct svc_entry entries[SVC_EXPECT_MAX];
    size_t n = (size_t)(entry->seq.v % SVC_EXPECT_MAX) + 1;
    for (size_t i = 0; i < n; i++) {
        entries[i] = *entry;
        entries[i].payload.len = entry->payload.len * (n - i) / n;
    }
    r->check->svc->expect(r->other, entries, n);
}

static void apply_other(struct run *r, const struct svc_entry *entry)
{
    if (r->batch_left == 0) {
        r->batch_left = (uint32_t)ts_prng_below(&r->life_dice, BATCH_MAX) + 1;
        r->other_out.len = 0;
    }
    r->batch_left--;
    r->other_from = r->other_out.len;
    /* The payload lies at another address, and is gone afterwards. */
    uint8_t *copy = malloc(entry->payload.len + 1);
    ts_assert(copy != NULL);
    memcpy(copy, entry->payload.data, entry->payload.len);
    struct svc_entry e = *entry;
    e.payload.data = copy;
    if (r->check->svc->expect != NULL) {
        expect_other(r, &e);
    }
    r->check->svc->apply(r->other, &e, &r->other_out);
    free(copy);
}

/* What a replica asserts of each piece. */
static void look_at_pieces(struct run *r, const struct pieces *p)
{
    for (size_t i = 0; i < p->count; i++) {
        size_t len = p->ends[i] - (i > 0 ? p->ends[i - 1] : 0);
        if (len == 0 || len > SVC_PIECE_MAX) {
            differ(r, len == 0 ? "a piece of a walk has no byte"
                               : "a piece of a walk is longer than SVC_PIECE_MAX");
        }
    }
}

static void compare_walks(struct run *r)
{
    const struct pieces *a = &r->frozen;
    const struct pieces *b = &r->copy;
    if (a->count != b->count || memcmp(a->ends, b->ends, a->count * sizeof(a->ends[0])) != 0) {
        differ(r, "a walk has other pieces");
    } else if (!equal(a->bytes.data, a->bytes.len, b->bytes.data, b->bytes.len)) {
        differ(r, "a walk has other bytes");
    }
}

/* Thrown away, and made anew of its last walk and of the log behind it. */
static void be_loaded(struct run *r)
{
    const struct svc *svc = r->check->svc;
    svc->destroy(r->other);
    r->lives++;
    r->other = new_state(r, 1 + r->lives % (SVC_CHECK_LIMITS - 1));
    enum ts_err err = svc_check_load(svc, r->other, &r->copy.bytes, r->copy.ends, r->copy.count);
    if (err != TS_OK) {
        differ(r, ts_err_text(err));
        return;
    }
    r->result.loads++;
    for (size_t i = 0; i < r->since.count; i++) {
        const struct logged *l = &r->since.entries[i];
        apply_other(r, &l->entry);
        if (!ts_hash_eq(l->answer, answer_hash(&r->other_out, r->other_from))) {
            differ(r, "after a load the answers differ");
        }
    }
    if (svc->next_tick(r->other).ns != svc->next_tick(r->plain).ns) {
        differ(r, "after a load the next tick is another one");
    }
}

/* A piece, or the end of the walk and what follows from it. */
static void go_on_walking(struct run *r)
{
    const struct svc *svc = r->check->svc;
    ts_assert(r->copy.count < PIECES_MAX);
    bool more = next_piece(svc, r->walk, &r->copy.bytes, r->copy.ends, r->copy.count++);
    r->result.pieces++;
    if (more) {
        return;
    }
    svc->walk_end(r->walk);
    r->walk = NULL;
    r->result.walks++;
    compare_walks(r);
    if (ts_prng_below(&r->life_dice, 2) == 0) {
        be_loaded(r);
    }
    log_clear(&r->since);
}

static void begin_walk(struct run *r)
{
    svc_out_free(&r->frozen.bytes);
    r->frozen.count =
        svc_check_walk(r->check->svc, r->plain, &r->frozen.bytes, r->frozen.ends, PIECES_MAX);
    if (!r->garbled) {
        fold(r, r->frozen.bytes.data, r->frozen.bytes.len);
    }
    look_at_pieces(r, &r->frozen);
    r->copy.bytes.len = 0;
    r->copy.count = 0;
    log_clear(&r->since);
    r->walk = r->check->svc->walk_begin(r->other);
    ts_assert(r->walk != NULL);
}

static void live(struct run *r)
{
    struct ts_prng *p = &r->life_dice;
    make_noise(r);
    if (ts_prng_below(p, 3) == 0) {
        ask(r);
    }
    if (r->walk == NULL) {
        return;
    }
    r->result.applied_under_walk++;
    if (ts_prng_below(p, 400) == 0) { /* given up */
        r->check->svc->walk_end(r->walk);
        r->walk = NULL;
        log_clear(&r->since);
    } else if (ts_prng_below(p, 100) < r->check->pieces_in_hundred) {
        go_on_walking(r);
    }
}

/* Which entries have an answer, and of what length. */
static void look_at_answer(struct run *r)
{
    size_t len = r->plain_out.len;
    bool silent = r->entry.kind == SVC_ENTRY_NOOP || r->entry.kind == SVC_ENTRY_TICK;
    if (len > SVC_ANSWER_MAX) {
        differ(r, "the answer is longer than SVC_ANSWER_MAX");
    } else if (silent && len > 0) {
        differ(r, "a NOOP or a TICK is answered");
    } else if (r->entry.kind == SVC_ENTRY_CHECKPOINT && len == 0) {
        differ(r, "a CHECKPOINT writes no digest");
    }
}

static void step(struct run *r)
{
    const struct svc *svc = r->check->svc;
    next_entry(r);
    if (r->garbled) {
        garble(r);
    }
    r->plain_out.len = 0;
    svc->apply(r->plain, &r->entry, &r->plain_out);
    look_at_answer(r);
    if (!r->garbled) {
        fold(r, r->plain_out.data, r->plain_out.len);
    }
    if (r->walk != NULL) {
        log_add(&r->since, &r->entry, answer_hash(&r->plain_out, 0));
    }
    apply_other(r, &r->entry);
    if (!equal(r->plain_out.data, r->plain_out.len, r->other_out.data + r->other_from,
               r->other_out.len - r->other_from)) {
        differ(r, "the answers differ");
    }
    if (svc->next_tick(r->plain).ns != svc->next_tick(r->other).ns) {
        differ(r, "the next ticks differ");
    }
    live(r);
    if (ts_prng_below(&r->log_dice, r->check->walk_every) == 0 && r->walk == NULL) {
        begin_walk(r);
    }
}

/* ---- what a log does not show ---- */

/* Each time that something is due, TICKs at that time get it done: the primary orders one after
 * another until it is. */
static void tick_until_done(struct run *r)
{
    const struct svc *svc = r->check->svc;
    struct ts_ltime last = r->entry.time;
    uint32_t same = 0;
    for (uint32_t i = 0; i < 10 * TICKS_MAX && same < TICKS_MAX; i++) {
        struct ts_ltime next = svc->next_tick(r->plain);
        if (next.ns == UINT64_MAX) {
            return;
        }
        same = next.ns > last.ns ? 0 : same + 1;
        last.ns = next.ns > last.ns ? next.ns : last.ns;
        r->entry.seq.v++;
        r->entry.kind = SVC_ENTRY_TICK;
        r->entry.time = last;
        r->entry.payload.len = 0;
        r->plain_out.len = 0;
        svc->apply(r->plain, &r->entry, &r->plain_out);
    }
    if (same == TICKS_MAX) {
        differ(r, "what is due stays due, however many TICKs come");
    }
}

/* Loads so many bytes of the plain one's last walk. */
static enum ts_err load_beginning(const struct run *r, size_t len)
{
    const struct pieces *p = &r->frozen;
    size_t ends[PIECES_MAX];
    size_t count = 0;
    for (size_t from = 0; from < len; from = ends[count++]) {
        ends[count] = p->ends[count] < len ? p->ends[count] : len;
    }
    void *state = new_state(r, 0);
    enum ts_err err = svc_check_load(r->check->svc, state, &p->bytes, ends, count);
    r->check->svc->destroy(state);
    return err;
}

/* A walk that lacks its end, and one of another format, are refused. */
static void load_what_is_none(struct run *r)
{
    struct pieces *p = &r->frozen;
    size_t last = p->count > 1 ? p->ends[p->count - 2] : 0;
    if (load_beginning(r, last) == TS_OK || load_beginning(r, p->bytes.len - 1) == TS_OK) {
        differ(r, "a walk that is cut is loaded");
    }
    p->bytes.data[0] ^= 0x55;
    if (load_beginning(r, p->bytes.len) != TS_ERR_VERSION) {
        differ(r, "a walk of another format is not refused as such");
    }
    p->bytes.data[0] ^= 0x55;
}

static void be_asked_hard_questions(struct run *r)
{
    load_what_is_none(r);
    r->garbled = true;
    for (int i = 0; i < GARBLED && r->result.same; i++) {
        step(r);
    }
    tick_until_done(r);
}

struct svc_check_result svc_check_run(const struct svc_check *check)
{
    struct run *r = calloc(1, sizeof(*r));
    ts_assert(r != NULL);
    r->check = check;
    r->result.same = true;
    r->log_dice = ts_prng_init(check->seed);
    r->life_dice = ts_prng_init(~check->seed);
    r->entry = (struct svc_entry){.epoch = {1}, .time = {1700000000 * TS_NS_PER_S}};
    r->payload = malloc(SVC_CHECK_PAYLOAD_MAX);
    r->scratch = malloc(SVC_CHECK_PAYLOAD_MAX);
    ts_assert(r->payload != NULL && r->scratch != NULL);
    r->plain_out.max = r->other_out.max = r->copy.bytes.max = SIZE_MAX;
    r->plain = new_state(r, 0);
    r->other = new_state(r, 1);
    while (r->result.same && r->entry.seq.v < check->entries) {
        step(r);
    }
    /* Whatever is under way, and what both are at the end. */
    for (int last = 0; last < 2; last++) {
        while (r->result.same && r->walk != NULL) {
            go_on_walking(r);
        }
        if (r->result.same && last == 0) {
            begin_walk(r);
        }
    }
    if (r->result.same) {
        be_asked_hard_questions(r);
    }
    if (r->walk != NULL) {
        check->svc->walk_end(r->walk);
    }
    r->result.seq = r->entry.seq.v;
    check->svc->destroy(r->plain);
    check->svc->destroy(r->other);
    log_clear(&r->since);
    free(r->since.entries);
    for (size_t i = 0; i < NOISE_BLOCKS; i++) {
        free(r->noise[i]);
    }
    svc_out_free(&r->plain_out);
    svc_out_free(&r->other_out);
    svc_out_free(&r->frozen.bytes);
    svc_out_free(&r->copy.bytes);
    free(r->payload);
    free(r->scratch);
    struct svc_check_result result = r->result;
    free(r);
    return result;
}
