/* The table of sessions as bytes, then the service's own pieces:
 *
 *   u8 SESSION_PIECE · u8 format · the first one: head · sessions, by slot
 *   u8 INNER_PIECE · the service's piece */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/session_state.h"

#define SESSION_PIECE 0xA5
#define INNER_PIECE 0xA6
#define SESSION_FORMAT 1
#define PIECE_START 2
#define HEAD_BYTES (3 * 8 + 2 * 4)
#define SESSION_FIXED_BYTES (6 * 8 + 1)
#define REPLY_FIXED_BYTES (8 + 4)

static void put(struct svc_out *out, const void *data, size_t n)
{
    ts_assert(svc_out_put(out, data, n) == TS_OK);
}

/* ---- one session ---- */

size_t session_piece_size(const struct session *s)
{
    uint64_t replies = s->last - s->acked;
    return SESSION_FIXED_BYTES + s->name_len +
           (size_t)(s->bytes - replies * SESSION_REPLY_OVERHEAD + replies * REPLY_FIXED_BYTES);
}

void session_piece_put(struct svc_out *out, const struct session *s)
{
    uint8_t bytes[SESSION_FIXED_BYTES];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    ts_put_u64(&w, s->id);
    ts_put_u64(&w, s->connection);
    ts_put_u64(&w, s->last);
    ts_put_u64(&w, s->acked);
    ts_put_u64(&w, s->used_seq);
    ts_put_u64(&w, s->used_ns);
    ts_put_u8(&w, s->name_len);
    ts_assert(!w.failed);
    put(out, bytes, w.len);
    put(out, s->name, s->name_len);
    for (uint64_t n = s->acked + 1; n <= s->last; n++) {
        const struct session_reply *r = session_reply_at(s, n);
        w = ts_writer_init(bytes, sizeof(bytes));
        ts_put_u64(&w, r->request);
        ts_put_u32(&w, r->len);
        put(out, bytes, w.len);
        put(out, r->bytes, r->len);
    }
}

/* Whether the fields could be those of a session that stands behind the ones taken so far. */
static bool is_next(const struct session_state *st, const struct session *s)
{
    uint32_t slot = session_slot_of(s->id);
    const struct session_load *load = &st->load;
    return s->id >> SESSION_SLOT_BITS != 0 && s->id >> SESSION_SLOT_BITS <= load->head.newest &&
           slot < st->limits.max && (load->last == SESSION_NO_SLOT || slot > load->last) &&
           load->count < load->head.count && s->connection > 0 && s->acked <= s->last &&
           s->last - s->acked <= st->limits.window && s->used_seq > 0 &&
           s->used_seq <= load->head.seq && s->name_len > 0 && s->name_len <= SESSION_NAME_MAX;
}

enum ts_err session_piece_take(struct session_state *st, struct ts_reader *r)
{
    struct session in = {.id = ts_get_u64(r)};
    in.connection = ts_get_u64(r);
    in.last = ts_get_u64(r);
    in.acked = ts_get_u64(r);
    in.used_seq = ts_get_u64(r);
    in.used_ns = ts_get_u64(r);
    in.name_len = ts_get_u8(r);
    struct ts_bytes name = ts_get_bytes(r, in.name_len);
    if (ts_reader_status(r) != TS_OK || name.data == NULL) {
        return TS_ERR_SHORT;
    }
    if (!is_next(st, &in)) {
        return TS_ERR_MALFORMED;
    }
    struct session *s = session_add(st, in.id, name);
    s->connection = in.connection;
    s->last = s->acked = in.acked;
    s->used_seq = in.used_seq;
    s->used_ns = in.used_ns;
    st->load.last = session_slot_of(in.id);
    st->load.count++;
    while (s->last < in.last) {
        uint64_t request = ts_get_u64(r);
        struct ts_bytes reply = ts_get_bytes(r, ts_get_u32(r));
        if (ts_reader_status(r) != TS_OK) {
            return TS_ERR_SHORT;
        }
        session_put_reply(st, s, reply, request);
    }
    return TS_OK;
}

/* ---- the walk ---- */

struct svc_walk *session_walk_begin(void *state)
{
    struct session_state *st = state;
    struct session_walk *w = &st->walk;
    ts_assert(!w->active);
    struct svc_walk *inner = st->svc->walk_begin(st->inner);
    if (inner == NULL) {
        return NULL;
    }
    *w = (struct session_walk){
        .active = true,
        .number = w->number + 1,
        .head = {.seq = st->seq,
                 .newest = st->newest,
                 .evicted = st->evicted,
                 .cursor = st->cursor,
                 .count = st->count},
        .left = st->count,
        .inner = inner,
    };
    return (struct svc_walk *)st;
}

static void put_start(struct svc_out *out, const struct session_walk *w)
{
    uint8_t bytes[PIECE_START + HEAD_BYTES];
    struct ts_writer to = ts_writer_init(bytes, sizeof(bytes));
    ts_put_u8(&to, SESSION_PIECE);
    ts_put_u8(&to, SESSION_FORMAT);
    if (w->pieces == 0) {
        ts_put_u64(&to, w->head.seq);
        ts_put_u64(&to, w->head.newest);
        ts_put_u64(&to, w->head.evicted);
        ts_put_u32(&to, w->head.cursor);
        ts_put_u32(&to, w->head.count);
    }
    put(out, bytes, to.len);
}

/* The walk's form of the session in this slot: its kept bytes, or the session, or nothing. */
static struct session_kept *kept_at(struct session_state *st, uint32_t slot)
{
    struct session_kept *k = &st->kept[slot];
    return k->bytes != NULL && k->walk == st->walk.number ? k : NULL;
}

static const struct session *unchanged_at(const struct session_state *st, uint32_t slot)
{
    const struct session *s = &st->slots[slot];
    return s->id != 0 && s->used_seq <= st->walk.head.seq ? s : NULL;
}

/* Writes sessions until the piece is full; false: there are no more. */
static bool put_sessions(struct session_state *st, struct svc_out *out, size_t start)
{
    struct session_walk *w = &st->walk;
    for (bool first = true; w->left > 0; w->at++) {
        ts_assert(w->at < st->limits.max);
        struct session_kept *k = kept_at(st, w->at);
        const struct session *s = k == NULL ? unchanged_at(st, w->at) : NULL;
        if (k == NULL && s == NULL) {
            continue;
        }
        size_t size = k != NULL ? k->len : session_piece_size(s);
        if (!first && out->len - start + size > st->limits.piece_bytes) {
            return true;
        }
        first = false;
        if (k != NULL) {
            put(out, k->bytes, k->len);
            free(k->bytes);
            *k = (struct session_kept){0};
        } else {
            session_piece_put(out, s);
        }
        w->left--;
    }
    return false;
}

bool session_walk_next(struct svc_walk *walk, struct svc_out *out)
{
    struct session_state *st = (struct session_state *)walk;
    struct session_walk *w = &st->walk;
    if (w->pieces == 0 || w->left > 0) {
        size_t start = out->len;
        put_start(out, w);
        w->pieces++;
        if (!put_sessions(st, out, start)) {
            w->at = (uint32_t)st->limits.max;
        }
        return true;
    }
    static const uint8_t mark = INNER_PIECE;
    put(out, &mark, 1);
    return st->svc->walk_next(w->inner, out);
}

void session_walk_end(struct svc_walk *walk)
{
    struct session_state *st = (struct session_state *)walk;
    st->svc->walk_end(st->walk.inner);
    st->walk.active = false;
    st->walk.inner = NULL;
    st->tidy_at = 0; /* what it had kept is freed with the next entries */
}

/* ---- the load ---- */

static enum ts_err take_head(struct session_state *st, struct ts_reader *r)
{
    struct session_head *h = &st->load.head;
    h->seq = ts_get_u64(r);
    h->newest = ts_get_u64(r);
    h->evicted = ts_get_u64(r);
    h->cursor = ts_get_u32(r);
    h->count = ts_get_u32(r);
    if (ts_reader_status(r) != TS_OK) {
        return TS_ERR_SHORT;
    }
    /* With room for as many more as there are milliseconds until the end of time. */
    bool fits = h->newest <= SESSION_CREATION_MAX / 2 && h->cursor < st->limits.max &&
                h->count <= st->limits.max;
    return fits ? TS_OK : TS_ERR_MALFORMED;
}

/* A piece ends where a walk's does, so that nothing is taken but what a walk gives. */
static enum ts_err take_sessions(struct session_state *st, struct ts_reader *r)
{
    struct session_load *load = &st->load;
    size_t most = (size_t)st->limits.piece_bytes;
    bool any = false;
    while (ts_reader_left(r) > 0) {
        size_t from = r->pos;
        enum ts_err err = session_piece_take(st, r);
        if (err != TS_OK) {
            return err;
        }
        size_t len = r->pos - from;
        bool here = any ? r->pos <= most : load->pieces == 0 || load->len + len > most;
        if (!here) {
            return TS_ERR_MALFORMED;
        }
        any = true;
    }
    bool empty = load->pieces == 0 && load->head.count == 0;
    return any || empty ? TS_OK : TS_ERR_MALFORMED;
}

static enum ts_err load_sessions(struct session_state *st, struct ts_reader *r)
{
    struct session_load *load = &st->load;
    if (ts_get_u8(r) != SESSION_FORMAT) {
        return ts_reader_status(r) != TS_OK ? TS_ERR_SHORT : TS_ERR_VERSION;
    }
    bool due = load->pieces == 0 || load->count < load->head.count;
    enum ts_err err = due && !load->inner ? TS_OK : TS_ERR_MALFORMED;
    if (err == TS_OK && load->pieces == 0) {
        err = take_head(st, r);
    }
    err = err != TS_OK ? err : take_sessions(st, r);
    load->pieces++;
    load->len = r->pos;
    return err;
}

enum ts_err session_load_piece(void *state, struct ts_bytes piece)
{
    struct session_state *st = state;
    struct session_load *load = &st->load;
    struct ts_reader r = ts_reader_init(piece.data, piece.len);
    uint8_t mark = ts_get_u8(&r);
    if (ts_reader_status(&r) != TS_OK) {
        return TS_ERR_SHORT;
    }
    if (mark == SESSION_PIECE) {
        return load_sessions(st, &r);
    }
    if (mark != INNER_PIECE) {
        return TS_ERR_VERSION;
    }
    if (load->pieces == 0 || load->count < load->head.count) {
        return TS_ERR_MALFORMED;
    }
    load->inner = true;
    return st->svc->load_piece(st->inner, ts_get_bytes(&r, ts_reader_left(&r)));
}

static int by_use(const void *a, const void *b)
{
    const struct session *const *x = a;
    const struct session *const *y = b;
    return ((*x)->used_seq > (*y)->used_seq) - ((*x)->used_seq < (*y)->used_seq);
}

/* Links the sessions by their newest use; false when their uses contradict one another. */
static bool link_by_use(struct session_state *st, struct session **list)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < st->limits.max; i++) {
        if (st->slots[i].id != 0) {
            list[n++] = &st->slots[i];
        }
    }
    ts_assert(n == st->count);
    qsort(list, n, sizeof(*list), by_use);
    for (uint32_t i = 0; i < n; i++) {
        const struct session *before = i > 0 ? list[i - 1] : NULL;
        if (before != NULL &&
            (before->used_seq == list[i]->used_seq || before->used_ns > list[i]->used_ns)) {
            return false;
        }
        struct svc_entry use = {.seq = {list[i]->used_seq}, .time = {list[i]->used_ns}};
        session_touch(st, list[i], &use);
    }
    return true;
}

enum ts_err session_load_end(void *state)
{
    struct session_state *st = state;
    const struct session_head *h = &st->load.head;
    if (st->load.pieces == 0 || st->load.count < h->count) {
        return TS_ERR_SHORT;
    }
    struct session **list = calloc(st->count > 0 ? st->count : 1, sizeof(struct session *));
    if (list == NULL) {
        return TS_ERR_NOMEM;
    }
    bool whole = link_by_use(st, list);
    free(list);
    if (!whole) {
        return TS_ERR_MALFORMED;
    }
    st->seq = h->seq;
    st->newest = h->newest;
    st->evicted = h->evicted;
    st->cursor = h->cursor;
    return st->svc->load_end(st->inner);
}
