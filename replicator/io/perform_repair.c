/* Mending the journal with what a peer has (R6).
 *
 *   damaged                     another replica
 *   ASK  {what is good before} ───────→     reads its own journal behind that place
 *        ←───────────────────── GIVE        … if it goes through it, with the same hash
 *   checks every hash, has the journal written where it was
 *
 * Whoever gives need not be trusted: the hashes lead from what is good before the damage to what is
 * good behind it, or nothing is written. So it does not matter who is primary, who is in sync, or
 * what is committed. A damaged end of a segment needs nobody. What nobody has any more is needless
 * when two snapshots are newer, which the scrubber asks for. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "replicator/io/journal.h"
#include "replicator/io/perform_replica.h"

/* A peer that has not answered by then has nothing; the next one is asked. */
#define ASK_NS TS_NS_PER_S
/* Shortest batches fill a GIVE with so many. */
#define BATCHES_MAX 4096U

/* ---- who asks ----------------------------------------------------------------------------- */

static void give_up(struct perform_replica *r)
{
    r->repair.wanted = false; /* the scrubber comes by again */
}

static void write_batches(struct perform_replica *r, const struct journal_batch *batches,
                          size_t count)
{
    struct perform_repair *p = &r->repair;
    enum ts_err err = journal_repair(r->journal, &p->flaw, batches, count);
    p->writing = err == TS_OK;
    if (err == TS_ERR_GONE) {
        give_up(r);
    }
}

void perform_repair_found(struct perform_replica *r, const struct journal_flaw *flaw)
{
    struct perform_repair *p = &r->repair;
    bool same = p->flaw.segment == flaw->segment && p->flaw.offset == flaw->offset;
    if (p->writing || (p->wanted && same)) {
        return; /* peers are being asked: a further pass does not begin with the first one again */
    }
    p->wanted = true;
    p->gave_up = p->gave_up && same;
    p->flaw = *flaw;
    p->asked = 0;
    p->from.v = 0;
    p->own_tried = false;
    p->ask_at.ns = 0;
}

/* One that is connected, and was not asked; 0: there is none. */
static struct ts_nic_id next_peer(const struct perform_replica *r)
{
    struct repl_status s;
    repl_status(r->perform.core, &s);
    for (size_t i = 0; i < s.peer_count; i++) {
        uint16_t n = s.peers[i].nic.v;
        if (s.peers[i].connected && n <= TS_NODES_MAX && (r->repair.asked >> n & 1) == 0) {
            return s.peers[i].nic;
        }
    }
    return (struct ts_nic_id){0};
}

bool perform_repair_is_hopeless(const struct perform_replica *r)
{
    return r->repair.gave_up && next_peer(r).v == 0;
}

static void tell(struct perform_replica *r, struct ts_nic_id to, const struct disk_msg *m)
{
    uint8_t head[DISK_HEAD_MAX];
    struct ts_writer w = ts_writer_init(head, sizeof(head));
    disk_msg_encode(m, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    r->perform.table->send(r->perform.ctx, to, (uint8_t)m->type, (struct ts_bytes){head, w.len},
                           m->batches);
}

void perform_repair_turn(struct perform_replica *r, struct ts_mono now)
{
    struct perform_repair *p = &r->repair;
    p->wanted = p->wanted || (p->gave_up && next_peer(r).v != 0); /* one more has come */
    if (!r->started || r->disk_failed || !p->wanted || p->writing || ts_mono_lt(now, p->ask_at)) {
        return;
    }
    p->ask_at = ts_mono_add(now, ASK_NS);
    if (!p->own_tried) {
        p->own_tried = true;
        write_batches(r, NULL, 0);
        return;
    }
    p->from = next_peer(r);
    if (p->from.v == 0) {
        p->gave_up = true;
        give_up(r);
        perform_disk_look(r);
        return;
    }
    p->asked |= 1ULL << p->from.v;
    struct disk_msg m = {.type = DISK_MSG_ASK, .after = {p->flaw.after.seq, p->flaw.after.hash}};
    tell(r, p->from, &m);
}

struct ts_mono perform_repair_deadline(const struct perform_replica *r)
{
    return r->repair.wanted && !r->repair.writing ? r->repair.ask_at : TS_MONO_NEVER;
}

static void on_give(struct perform_replica *r, struct ts_nic_id peer, const struct disk_msg *m)
{
    struct perform_repair *p = &r->repair;
    struct repl_pos after = {p->flaw.after.seq, p->flaw.after.hash};
    if (!p->wanted || p->writing || !ts_nic_eq(p->from, peer) || !repl_pos_eq(after, m->after)) {
        return;
    }
    struct journal_batch *batches = calloc(BATCHES_MAX, sizeof(*batches));
    struct ts_reader in = ts_reader_init(m->batches.data, m->batches.len);
    size_t count = 0;
    struct repl_batch b;
    while (batches != NULL && count < BATCHES_MAX && ts_reader_left(&in) > 0 &&
           repl_batch_decode(&b, &in) == TS_OK) {
        batches[count++] = (struct journal_batch){.epoch = b.epoch,
                                                  .first = b.first,
                                                  .last = b.last,
                                                  .prev = b.prev,
                                                  .hash = ts_hash_bytes(b.bytes.data, b.bytes.len),
                                                  .bytes = b.bytes};
    }
    if (count > 0) {
        write_batches(r, batches, count);
    }
    free(batches);
}

void perform_disk_repaired(void *arg, bool mended)
{
    struct perform_replica *r = arg;
    struct perform_repair *p = &r->repair;
    p->writing = false;
    p->ask_at.ns = 0; /* or the next one is asked */
    if (!mended) {
        return;
    }
    struct ts_trace t = {.kind = TS_TRACE_DISK_MENDED,
                         .at = r->scrub.now,
                         .epoch = repl_epoch(r->perform.core),
                         .seq = p->flaw.after.seq,
                         .a = p->from.v,
                         .b = p->flaw.segment};
    p->wanted = false;
    p->gave_up = false;
    p->mended++;
    perform_scrub_again(r); /* is there more? */
    r->perform.table->trace(r->perform.ctx, &t);
    r->ops->repaired(r->perform.ctx);
}

/* ---- who gives ---------------------------------------------------------------------------- */

struct give {
    struct perform_replica *r;
    struct ts_nic_id peer;
    struct repl_pos after;
};

/* As many as fit, the first one whatever its length. */
static size_t gather(const struct journal_batch *batches, size_t count, uint8_t **out)
{
    size_t len = 0;
    size_t n = 0;
    for (; n < count && n < BATCHES_MAX; n++) {
        if (n > 0 && len + batches[n].bytes.len > DISK_GIVE_BYTES) {
            break;
        }
        len += batches[n].bytes.len;
    }
    *out = malloc(len + 1);
    size_t at = 0;
    for (size_t i = 0; i < n && *out != NULL; i++) {
        memcpy(*out + at, batches[i].bytes.data, batches[i].bytes.len);
        at += batches[i].bytes.len;
    }
    return *out == NULL ? 0 : len;
}

static void on_read(void *arg, enum ts_err err, const struct journal_batch *batches, size_t count,
                    const char *text)
{
    struct give *g = arg;
    struct perform_replica *r = g->r;
    (void)text; /* damage is for the scrubber here to find */
    if (!r->ended) {
        r->repair.giving &= ~(1ULL << g->peer.v);
        bool mine = err == TS_OK && count > 0 && batches[0].first.v == g->after.seq.v + 1 &&
                    ts_hash_eq(batches[0].prev, g->after.hash);
        uint8_t *bytes = NULL;
        size_t len = mine ? gather(batches, count, &bytes) : 0;
        if (len > 0) {
            struct disk_msg m = {.type = DISK_MSG_GIVE, .after = g->after, .batches = {bytes, len}};
            tell(r, g->peer, &m);
        }
        free(bytes);
    }
    free(g);
}

static void on_ask(struct perform_replica *r, struct ts_nic_id peer, const struct disk_msg *m)
{
    uint64_t bit = 1ULL << peer.v;
    struct give *g = (r->repair.giving & bit) != 0 ? NULL : malloc(sizeof(*g));
    if (g == NULL) {
        return;
    }
    *g = (struct give){r, peer, m->after};
    enum ts_err err =
        journal_read(r->journal, ts_seq_add(m->after.seq, 1), DISK_GIVE_BYTES, on_read, g);
    if (err != TS_OK) {
        free(g); /* it is not there any more, or much else is read just now */
        return;
    }
    r->repair.giving |= bit;
}

void perform_repair_message(struct perform_replica *r, struct ts_nic_id peer,
                            const struct disk_msg *m)
{
    if (r->disk_failed) {
        return;
    }
    if (m->type == DISK_MSG_ASK) {
        on_ask(r, peer, m);
    } else {
        on_give(r, peer, m);
    }
}
