#include "services/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "services/session_state.h"

/* Idle sessions that end with a command, so that a busy log keeps up with them; and with a TICK. */
#define EVICT_PER_COMMAND 4
#define EVICT_PER_TICK 256
/* Where room is asked for, so many of the longest idle sessions are looked at (by default one of a
 * user with half of the table is among them), … */
#define YIELD_LOOKS (SESSION_COUNT_DEFAULT / 2 + 1)
/* … and so many end, at most. */
#define YIELD_PER_COMMAND 4
/* A checkpoint looks at so many slots, until it has seen so many bytes. */
#define CHECKPOINT_SLOTS 256
#define CHECKPOINT_BYTES (256U * 1024)
#define WORD_BITS 64
/* Of an epoch that an operator made up; clients take ids for signed numbers. */
#define RESTORED_MAX (SESSION_CREATION_MAX / 4)

/* ---- create, destroy ---- */

static void free_table(struct session_state *st)
{
    for (uint32_t i = 0; st->slots != NULL && i < st->limits.max; i++) {
        if (st->slots[i].id != 0) {
            session_forget(st, &st->slots[i], st->slots[i].last);
            free(st->slots[i].ring);
        }
    }
    for (uint32_t i = 0; st->kept != NULL && i < st->limits.max; i++) {
        free(st->kept[i].bytes);
    }
    free(st->slots);
    free(st->taken);
    free(st->kept);
    free(st->owners);
}

void session_destroy(void *state)
{
    struct session_state *st = state;
    if (st == NULL) {
        return;
    }
    if (st->inner != NULL) {
        st->svc->destroy(st->inner);
    }
    free_table(st);
    svc_out_free(&st->scratch);
    free(st);
}

void *session_create(const struct svc *inner, const char *limits)
{
    struct session_state *st = calloc(1, sizeof(*st));
    char *others = NULL;
    if (st == NULL || !session_limits_parse(limits, &st->limits, &others)) {
        free(st);
        return NULL;
    }
    size_t max = (size_t)st->limits.max;
    st->svc = inner;
    st->scratch.max = SIZE_MAX / 2;
    st->oldest = st->newest_use = SESSION_NO_SLOT;
    st->load.last = SESSION_NO_SLOT;
    st->slots = calloc(max, sizeof(*st->slots));
    st->taken = calloc(max / WORD_BITS + 1, sizeof(*st->taken));
    st->kept = calloc(max, sizeof(*st->kept));
    st->owners = calloc(max, sizeof(*st->owners));
    st->inner = inner->create(others);
    free(others);
    if (st->slots == NULL || st->taken == NULL || st->kept == NULL || st->owners == NULL ||
        st->inner == NULL) {
        session_destroy(st);
        return NULL;
    }
    return st;
}

void *session_inner(void *state)
{
    return ((struct session_state *)state)->inner;
}

void session_figures(const void *state, struct session_figures *out)
{
    const struct session_state *st = state;
    *out = (struct session_figures){
        .sessions = st->count,
        .sessions_max = st->limits.max,
        .bytes = st->bytes,
        .evicted = st->evicted,
        .refused = st->refused,
    };
}

bool session_view(const void *state, uint32_t slot, struct session_view *out)
{
    const struct session_state *st = state;
    if (slot >= st->limits.max || st->slots[slot].id == 0) {
        return false;
    }
    const struct session *s = &st->slots[slot];
    *out = (struct session_view){s->id, s->connection, s->last, s->acked};
    return true;
}

/* ---- eviction ---- */

static uint64_t due_ns(const struct session_state *st, const struct session *s)
{
    uint64_t idle = st->limits.idle_ms * TS_NS_PER_MS;
    return s->used_ns > UINT64_MAX - idle ? UINT64_MAX : s->used_ns + idle;
}

static bool is_due(const struct session_state *st, const struct session *s, struct ts_ltime now)
{
    return due_ns(st, s) <= now.ns;
}

static void evict(struct session_state *st, struct session *s)
{
    session_remove(st, s);
    st->evicted++;
}

static void evict_idle(struct session_state *st, struct ts_ltime now, uint32_t max)
{
    for (uint32_t n = 0; n < max && st->oldest != SESSION_NO_SLOT; n++) {
        struct session *s = &st->slots[st->oldest];
        if (!is_due(st, s, now)) {
            return;
        }
        evict(st, s);
    }
}

/* Of a user's sessions (SESSION_NO_OWNER: of all) the one that is idle for longest, if it is for
 * long enough, and keeps replies, when it has to; never `asks`. NULL: there is none. */
static struct session *find_yielding(struct session_state *st, struct ts_ltime now, uint32_t owner,
                                     const struct session *asks, bool with_replies)
{
    uint64_t enough = st->limits.yield_ms * TS_NS_PER_MS;
    uint32_t at = st->oldest;
    for (uint32_t n = 0; n < YIELD_LOOKS && at != SESSION_NO_SLOT; n++) {
        struct session *s = &st->slots[at];
        if (s->used_ns > now.ns || now.ns - s->used_ns < enough) {
            return NULL;
        }
        if (s != asks && (owner == SESSION_NO_OWNER || s->owner == owner) &&
            (s->bytes > 0 || !with_replies)) {
            return s;
        }
        at = s->newer;
    }
    return NULL;
}

struct ts_ltime session_next_tick(const void *state)
{
    const struct session_state *st = state;
    struct ts_ltime inner = st->svc->next_tick(st->inner);
    if (st->oldest == SESSION_NO_SLOT) {
        return inner;
    }
    uint64_t due = due_ns(st, &st->slots[st->oldest]);
    return due < inner.ns ? (struct ts_ltime){due} : inner;
}

/* ---- answers ---- */

static void put(struct svc_out *out, const void *data, size_t n)
{
    ts_assert(svc_out_put(out, data, n) == TS_OK);
}

static void put_result(struct svc_out *out, enum session_result result)
{
    uint8_t byte = (uint8_t)result;
    put(out, &byte, 1);
}

static void refuse(struct svc_out *out, enum session_result result, uint64_t figure)
{
    uint8_t bytes[8];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    ts_put_u64(&w, figure);
    put_result(out, result);
    put(out, bytes, w.len);
}

/* The service behind gets each entry once: what it does not execute moves its time at least. */
static void apply_inner(struct session_state *st, const struct svc_entry *entry,
                        enum svc_entry_kind kind, struct ts_bytes payload, struct svc_out *out)
{
    struct svc_entry e = *entry;
    e.kind = kind;
    e.payload = payload;
    st->svc->apply(st->inner, &e, out);
    st->inner_seq = entry->seq.v;
}

/* ---- the ops: each writes its answer ---- */

/* By the time, and always higher than the last one. A group that was restored from a backup goes on
 * in the backup's time, in which its clients may have had ids already; but in an epoch that is the
 * time of the restore in microseconds (adr/0021), above any that was given before. */
static uint64_t next_creation(const struct session_state *st, const struct svc_entry *entry)
{
    uint64_t time = entry->time.ns / TS_NS_PER_MS;
    uint64_t restored = entry->epoch.v / 1000U;
    restored = restored < RESTORED_MAX ? restored : RESTORED_MAX;
    time = time > restored ? time : restored;
    return time > st->newest ? time : st->newest + 1;
}

static void refuse_full(struct session_state *st, struct svc_out *out, enum session_result result,
                        uint64_t figure)
{
    st->refused++;
    refuse(out, result, figure);
}

/* Whether there may be one more session of this name; otherwise the refusal is written. Who is at
 * the user's share has the user's own sessions yield: others' are not theirs to end. */
static bool may_open(struct session_state *st, struct ts_ltime now, struct ts_bytes name,
                     struct svc_out *out)
{
    uint32_t owner = session_owner_find(st, name);
    uint64_t share = (st->limits.max + 1) / 2;
    bool at_share = owner != SESSION_NO_OWNER && st->owners[owner].sessions >= share;
    if (!at_share && st->count < st->limits.max) {
        return true;
    }
    struct session *s = find_yielding(st, now, at_share ? owner : SESSION_NO_OWNER, NULL, false);
    if (s != NULL) {
        evict(st, s);
        return true;
    }
    refuse_full(st, out, at_share ? SESSION_FULL_SHARE : SESSION_FULL_TABLE,
                at_share ? share : st->limits.max);
    return false;
}

static void run_open(struct session_state *st, const struct svc_entry *entry,
                     const struct session_msg *m, struct svc_out *out)
{
    if (!may_open(st, entry->time, m->rest, out)) {
        return;
    }
    uint32_t slot = session_free_slot(st);
    ts_assert(slot != SESSION_NO_SLOT);
    uint64_t creation = next_creation(st, entry);
    ts_assert(creation <= SESSION_CREATION_MAX);
    st->newest = creation;
    struct session *s = session_add(st, creation << SESSION_SLOT_BITS | slot, m->rest);
    s->connection = 1;
    session_touch(st, s, entry);
    uint8_t bytes[16];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    ts_put_u64(&w, s->id);
    ts_put_u64(&w, s->connection);
    put_result(out, SESSION_DONE);
    put(out, bytes, w.len);
}

/* Takes note that the client has the replies up to `number`; false: the refusal is written. */
static bool acknowledge(struct session_state *st, struct session *s, uint64_t number,
                        struct svc_out *out)
{
    if (number > s->last) {
        refuse(out, SESSION_AHEAD, s->last);
        return false;
    }
    session_keep(st, s);
    session_forget(st, s, number);
    return true;
}

static void run_resume(struct session_state *st, struct session *s, const struct svc_entry *entry,
                       const struct session_msg *m, struct svc_out *out)
{
    if (m->number < s->acked) {
        refuse(out, SESSION_ACKNOWLEDGED, s->acked);
        return;
    }
    if (!acknowledge(st, s, m->number, out)) {
        return;
    }
    s->connection++;
    session_touch(st, s, entry);
    uint8_t head[8 + 8 + 4];
    struct ts_writer w = ts_writer_init(head, sizeof(head));
    ts_put_u64(&w, s->connection);
    ts_put_u64(&w, s->acked + 1);
    ts_put_u32(&w, (uint32_t)(s->last - s->acked));
    put_result(out, SESSION_DONE);
    put(out, head, w.len);
    for (uint64_t n = s->acked + 1; n <= s->last; n++) {
        const struct session_reply *r = session_reply_at(s, n);
        w = ts_writer_init(head, sizeof(head));
        ts_put_u32(&w, r->len);
        put(out, head, w.len);
        put(out, r->bytes, r->len);
    }
}

/* A request whose number was executed before. */
static void answer_again(const struct session *s, uint64_t number, uint64_t request,
                         struct svc_out *out)
{
    if (number <= s->acked) {
        refuse(out, SESSION_ACKNOWLEDGED, s->acked);
        return;
    }
    const struct session_reply *r = session_reply_at(s, number);
    if (r->request != request) {
        refuse(out, SESSION_CHANGED, number);
        return;
    }
    put_result(out, SESSION_AGAIN);
    put(out, r->bytes, r->len);
}

/* What is in the way of one more reply; SESSION_DONE: nothing. */
static enum session_result lacks_room(const struct session_state *st, const struct session *s)
{
    if (s->last - s->acked >= st->limits.window) {
        return SESSION_FULL;
    }
    if (s->bytes >= st->limits.bytes) {
        return SESSION_FULL_BYTES;
    }
    uint64_t share = (st->limits.total_bytes + 1) / 2;
    if (s->owner != SESSION_NO_OWNER && st->owners[s->owner].bytes >= share) {
        return SESSION_FULL_SHARE_BYTES;
    }
    return st->bytes >= st->limits.total_bytes ? SESSION_FULL_TOTAL : SESSION_DONE;
}

/* Whether there is room for one more reply, which idle sessions may have to yield; otherwise the
 * refusal is written. */
static bool make_room(struct session_state *st, const struct session *s, struct ts_ltime now,
                      struct svc_out *out)
{
    enum session_result result = lacks_room(st, s);
    for (int i = 0; i < YIELD_PER_COMMAND; i++) {
        bool shared = result == SESSION_FULL_SHARE_BYTES;
        struct session *other = NULL;
        if (shared || result == SESSION_FULL_TOTAL) {
            other = find_yielding(st, now, shared ? s->owner : SESSION_NO_OWNER, s, true);
        }
        if (other == NULL) {
            break;
        }
        evict(st, other);
        result = lacks_room(st, s);
    }
    if (result != SESSION_DONE) {
        refuse_full(st, out, result, s->acked);
    }
    return result == SESSION_DONE;
}

static void run_request(struct session_state *st, struct session *s, const struct svc_entry *entry,
                        const struct session_msg *m, struct svc_out *out)
{
    uint64_t request = ts_hash_bytes(m->rest.data, m->rest.len).lo;
    if (m->number <= s->last) {
        answer_again(s, m->number, request, out);
        return;
    }
    if (m->number != s->last + 1) {
        refuse(out, SESSION_GAP, s->last + 1);
        return;
    }
    if (!make_room(st, s, entry->time, out)) {
        return;
    }
    session_keep(st, s);
    put_result(out, SESSION_DONE);
    size_t start = out->len;
    apply_inner(st, entry, SVC_ENTRY_COMMAND, m->rest, out);
    ts_assert(out->len >= start);
    struct ts_bytes reply = {out->data + start, out->len - start};
    session_put_reply(st, s, reply, request);
    session_touch(st, s, entry);
}

static void run_on_connection(struct session_state *st, struct session *s,
                              const struct svc_entry *entry, const struct session_msg *m,
                              struct svc_out *out)
{
    if (m->connection != s->connection) {
        refuse(out, SESSION_OLD, s->connection);
        return;
    }
    switch (m->op) {
    case SESSION_REQUEST:
        run_request(st, s, entry, m, out);
        break;
    case SESSION_ACK:
        if (acknowledge(st, s, m->number, out)) {
            session_touch(st, s, entry);
            put_result(out, SESSION_DONE);
        }
        break;
    case SESSION_CLOSE:
        session_remove(st, s);
        put_result(out, SESSION_DONE);
        break;
    case SESSION_OPEN:
    case SESSION_RESUME:
        ts_unreachable();
    }
}

/* The session that the entry means; NULL: the refusal is written. */
static struct session *session_meant(struct session_state *st, const struct svc_entry *entry,
                                     const struct session_msg *m, struct svc_out *out)
{
    struct session *s = session_find(st, m->session);
    if (s != NULL && is_due(st, s, entry->time)) {
        evict(st, s);
        s = NULL;
    }
    if (s == NULL) {
        bool was = m->session >> SESSION_SLOT_BITS <= st->newest;
        refuse(out, was ? SESSION_GONE : SESSION_UNKNOWN, 0);
        return NULL;
    }
    bool named = m->op != SESSION_RESUME ||
                 (m->rest.len == s->name_len && memcmp(m->rest.data, s->name, s->name_len) == 0);
    if (!named) {
        refuse(out, SESSION_UNKNOWN, 0);
        return NULL;
    }
    return s;
}

static void run(struct session_state *st, const struct svc_entry *entry, struct svc_out *out)
{
    struct session_msg m;
    if (session_msg_decode(&m, entry->payload) != TS_OK) {
        refuse(out, SESSION_MALFORMED, 0);
        return;
    }
    if (m.op == SESSION_OPEN) {
        run_open(st, entry, &m, out);
        return;
    }
    struct session *s = session_meant(st, entry, &m, out);
    if (s == NULL) {
        return;
    }
    if (m.op == SESSION_RESUME) {
        run_resume(st, s, entry, &m, out);
    } else {
        run_on_connection(st, s, entry, &m, out);
    }
}

/* ---- checkpoint ---- */

/* Behind the service's own digest: the digest of the next slots (16 bytes), their number, sessions
 * in all and the newest creation number. */
static void checkpoint(struct session_state *st, struct svc_out *out)
{
    uint8_t bytes[16 + 4 + 4 + 8];
    uint32_t looked = 0;
    st->scratch.len = 0;
    while (looked < CHECKPOINT_SLOTS && looked < st->limits.max &&
           st->scratch.len < CHECKPOINT_BYTES) {
        const struct session *s = &st->slots[st->cursor];
        if (s->id != 0) {
            session_piece_put(&st->scratch, s);
        }
        st->cursor = (st->cursor + 1) % (uint32_t)st->limits.max;
        looked++;
    }
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    ts_put_hash(&w, ts_hash_bytes(st->scratch.data, st->scratch.len));
    ts_put_u32(&w, looked);
    ts_put_u32(&w, st->count);
    ts_put_u64(&w, st->newest);
    put(out, bytes, w.len);
}

/* ---- apply, read ---- */

bool session_knows(const void *state, struct ts_bytes command)
{
    const struct session_state *st = state;
    struct session_msg m;
    if (session_msg_is(command)) {
        if (command.len > 1 && command.data[1] > SESSION_REQUEST) {
            return false;
        }
        if (session_msg_decode(&m, command) != TS_OK || m.op != SESSION_REQUEST) {
            return true; /* this table's */
        }
        command = m.rest;
    }
    return st->svc->knows == NULL || st->svc->knows(st->inner, command);
}

void session_apply(void *state, const struct svc_entry *entry, struct svc_out *out)
{
    struct session_state *st = state;
    bool command = entry->kind == SVC_ENTRY_COMMAND;
    session_tidy(st);
    if (command || entry->kind == SVC_ENTRY_TICK) {
        evict_idle(st, entry->time, command ? EVICT_PER_COMMAND : EVICT_PER_TICK);
    }
    if (command && session_msg_is(entry->payload)) {
        run(st, entry, out);
    } else {
        apply_inner(st, entry, entry->kind, entry->payload, out);
    }
    if (st->inner_seq != entry->seq.v) {
        size_t answered = out->len; /* the answer is this table's */
        apply_inner(st, entry, SVC_ENTRY_NOOP, (struct ts_bytes){NULL, 0}, out);
        out->len = answered;
    }
    st->seq = entry->seq.v;
    if (entry->kind == SVC_ENTRY_CHECKPOINT) {
        checkpoint(st, out);
    }
}

/* A session's own request is not looked into. */
void session_expect(const void *state, const struct svc_entry *entries, size_t count)
{
    const struct session_state *st = state;
    if (st->svc->expect != NULL) {
        st->svc->expect(st->inner, entries, count);
    }
}

void session_read(const void *state, struct ts_bytes command, struct svc_out *out)
{
    const struct session_state *st = state;
    st->svc->read(st->inner, command, out);
}
