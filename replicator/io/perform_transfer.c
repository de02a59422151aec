/* A replica that lacks what the others' journals have dropped gets a snapshot instead (R4.6).
 *
 *   primary                      learner
 *   OFFER  ─────────────────────→          its journal begins behind what the learner has
 *          ←───────────────────── ASK      from where it stopped, also after a start
 *   PIECE  ─────────────────────→          written aside, synced; then the next ASK
 *          ←───────────────────── BAD      all of it was there, and damaged: whoever gave it looks
 *                                          through its disk, and takes another one
 *
 * When all of it is there, and every byte is checked, it is installed under this disk's name,
 * durably, and the process ends: its next start loads it, and begins the journal anew behind it.
 * Whatever a crash leaves is the old state with a part of a snapshot aside, or the new snapshot
 * with the old log, which the start replaces. A snapshot holds what was committed: whoever lacks it
 * is not in sync, and nobody counts on what its log has instead. Whether it is still lacked is
 * asked at each step, and last of all on the loop right before it gets its name: another primary
 * may have fed this replica meanwhile, and others may count on its log.
 *
 * The core sees none of this. Messages may be lost with their link: the primary finds each time
 * that it tries to feed the learner that what it needs is gone, and offers again. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/work.h"
#include "replicator/io/journal.h"
#include "replicator/io/perform_replica.h"
#include "replicator/io/snapshot_part.h"
#include "replicator/io/transfer_msg.h"

/* A snapshot that is being given is not replaced by newer ones so soon. */
#define HOLD_NS (10 * TS_NS_PER_S)
/* From one pass of the scrubber that a transfer asks for to the next: a peer's word costs no more.
 */
#define LOOK_AGAIN_NS (60 * TS_NS_PER_S)

/* One that is said to be damaged is not offered again before: the scrubber is at it. */
#define BAD_NS (10 * TS_NS_PER_S)

/* From one piece that is asked for to the next, at least: whoever gives serves clients, who wait
 * longer while its disk and link are always busy with this. 32 MiB a second. */
#define PIECE_NS (4 * TS_NS_PER_MS)

enum transfer_work { TRANSFER_GIVE, TRANSFER_LOOK, TRANSFER_WRITE, TRANSFER_CHECK };

struct transfer_job {
    struct net_work work;
    struct perform_replica *r;
    struct journal *journal;
    enum transfer_work kind;
    struct ts_nic_id peer;
    struct ts_seq seq;
    uint64_t offset;
    uint64_t size;
    enum ts_err err;
    struct ts_why why;
    size_t len;
    uint8_t data[]; /* TRANSFER_PIECE_BYTES */
};

static void tell(struct perform_replica *r, struct ts_nic_id to, const struct transfer_msg *m)
{
    uint8_t head[TRANSFER_HEAD_MAX];
    struct ts_writer w = ts_writer_init(head, sizeof(head));
    transfer_msg_encode(m, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    r->perform.table->send(r->perform.ctx, to, (uint8_t)m->type, (struct ts_bytes){head, w.len},
                           m->bytes);
}

/* ---- on a worker ------------------------------------------------------------------------ */

static void on_worker(void *arg)
{
    struct transfer_job *job = arg;
    const char *dir = journal_dir(job->journal);
    const struct journal_info *info = journal_info(job->journal);
    switch (job->kind) {
    case TRANSFER_GIVE:
        job->err = snapshot_part_read(dir, job->seq, job->offset, job->data, TRANSFER_PIECE_BYTES,
                                      &job->len, &job->size, &job->why);
        return; /* no reason to give up the disk: the scrubber looks at it */
    case TRANSFER_LOOK:
        job->err = snapshot_part_size(dir, job->seq, &job->offset, &job->why);
        /* Each was synced before the next was asked for: a crash tore the last one at most. */
        job->offset -= job->offset < TRANSFER_PIECE_BYTES ? job->offset : TRANSFER_PIECE_BYTES;
        break;
    case TRANSFER_WRITE:
        job->err = snapshot_part_write(dir, job->seq, job->offset,
                                       (struct ts_bytes){job->data, job->len}, &job->why);
        break;
    case TRANSFER_CHECK:
        job->err = snapshot_part_check(dir, job->seq, info->incarnation, info->group, &job->why);
        break;
    }
    if (job->err != TS_OK && job->err != TS_ERR_CORRUPT && job->err != TS_ERR_SHORT) {
        journal_doubt(job->journal, job->err, &job->why);
    }
}

/* ---- on the loop ------------------------------------------------------------------------ */

static void ask(struct perform_replica *r)
{
    const struct perform_transfer *t = &r->transfer;
    struct transfer_msg m = {.type = TRANSFER_MSG_ASK, .snapshot = t->seq, .offset = t->offset};
    tell(r, t->from, &m);
}

static bool begin_job(struct perform_replica *r, enum transfer_work kind, struct ts_nic_id peer,
                      const struct transfer_msg *m);

static bool is_damage(enum ts_err err)
{
    return err == TS_ERR_CORRUPT || err == TS_ERR_IO || err == TS_ERR_SHORT;
}

/* What this replica gives may be damaged: the scrubber says, and gets rid of it. */
static void look_at_own(struct perform_replica *r)
{
    struct perform_transfer *t = &r->transfer;
    struct ts_mono now = r->scrub.now;
    if (!ts_mono_lt(now, t->looks_at)) {
        t->looks_at = ts_mono_add(now, LOOK_AGAIN_NS);
        perform_scrub_again(r);
    }
}

static void given(struct perform_replica *r, const struct transfer_job *job)
{
    r->transfer.giving &= ~(1ULL << job->peer.v);
    if (job->err == TS_ERR_NOT_FOUND) {
        return; /* a newer one has replaced it, which is offered next */
    }
    if (job->err != TS_OK) {
        r->ops->scrub_found(r->perform.ctx, job->why.text);
        if (is_damage(job->err)) {
            look_at_own(r);
        }
        return;
    }
    /* Only now: one that cannot be read must not keep the next one away. */
    r->transfer.asked_at = r->scrub.now;
    r->transfer.hold_until = ts_mono_add(r->scrub.now, HOLD_NS);
    struct transfer_msg m = {.type = TRANSFER_MSG_PIECE,
                             .snapshot = job->seq,
                             .offset = job->len > 0 ? job->offset : job->size,
                             .size = job->size,
                             .bytes = {job->data, job->len}};
    tell(r, job->peer, &m);
}

static bool is_lacked(const struct perform_replica *r)
{
    const struct perform_transfer *t = &r->transfer;
    return repl_lacks(r->perform.core, t->from, t->base, t->seq);
}

/* From here to the process's end nothing is fed: what this replica said before, it said while it
 * lacked the snapshot. */
static void install(struct perform_replica *r, struct ts_seq seq)
{
    struct ts_why why = {{0}};
    enum ts_err err = snapshot_part_install(journal_dir(r->journal), seq, &why);
    if (err != TS_OK) {
        r->transfer.known = false;
        journal_doubt(r->journal, err, &why);
        r->ops->transfer_failed(r->perform.ctx, r->transfer.from, err, why.text);
        return;
    }
    r->ops->snapshot_installed(r->perform.ctx, seq);
    perform_close(r);
    r->ops->end(r->perform.ctx, true);
}

static void taken(struct perform_replica *r, const struct transfer_job *job)
{
    struct perform_transfer *t = &r->transfer;
    t->busy = false;
    t->known = job->err == TS_OK;
    if (job->err != TS_OK) {
        r->ops->transfer_failed(r->perform.ctx, job->peer, job->err, job->why.text);
        if (job->kind == TRANSFER_CHECK && job->err == TS_ERR_CORRUPT) {
            struct transfer_msg m = {.type = TRANSFER_MSG_BAD, .snapshot = job->seq};
            tell(r, job->peer, &m);
        }
        return; /* the next offer begins with what is there then */
    }
    if (!is_lacked(r)) {
        t->known = false; /* the next offer looks at it anew, or removes it */
        return;
    }
    if (job->kind == TRANSFER_CHECK) {
        install(r, job->seq);
        return;
    }
    t->offset = job->offset + job->len;
    struct transfer_msg all = {.snapshot = job->seq};
    if (job->kind == TRANSFER_WRITE && t->offset == job->size) {
        t->busy = begin_job(r, TRANSFER_CHECK, job->peer, &all);
    } else {
        t->asks = true;
    }
}

void perform_transfer_turn(struct perform_replica *r, struct ts_mono now)
{
    struct perform_transfer *t = &r->transfer;
    if (t->asks && !ts_mono_lt(now, t->ask_at)) {
        t->asks = false;
        t->ask_at = ts_mono_add(now, PIECE_NS);
        if (t->known && !t->busy) { /* it may have been offered anew meanwhile */
            ask(r);
        }
    }
}

struct ts_mono perform_transfer_deadline(const struct perform_replica *r)
{
    return r->transfer.asks ? r->transfer.ask_at : TS_MONO_NEVER;
}

static void worker_done(void *arg)
{
    struct transfer_job *job = arg;
    struct perform_replica *r = job->r;
    if (!r->ended) {
        if (job->kind == TRANSFER_GIVE) {
            given(r, job);
        } else {
            taken(r, job);
        }
    }
    free(job);
}

/* False: memory is short; whoever asked asks again. */
static bool begin_job(struct perform_replica *r, enum transfer_work kind, struct ts_nic_id peer,
                      const struct transfer_msg *m)
{
    struct transfer_job *job = malloc(sizeof(*job) + TRANSFER_PIECE_BYTES);
    if (job == NULL) {
        return false;
    }
    memset(job, 0, sizeof(*job));
    job->r = r;
    job->journal = r->journal;
    job->kind = kind;
    job->peer = peer;
    job->seq = m->snapshot;
    job->offset = m->offset;
    job->size = m->size;
    job->len = m->bytes.len;
    if (m->bytes.len > 0) {
        memcpy(job->data, m->bytes.data, m->bytes.len);
    }
    net_work_queue(journal_uv_loop(r->journal), &job->work, on_worker, worker_done, job);
    return true;
}

void perform_transfer_offer(struct perform_replica *r, struct ts_nic_id peer)
{
    struct journal_place base = journal_base(r->journal);
    struct transfer_msg m = {
        .type = TRANSFER_MSG_OFFER, .snapshot = r->snapshot.newest, .base = {base.seq, base.hash}};
    bool bad =
        ts_seq_eq(m.snapshot, r->transfer.bad) && ts_mono_lt(r->scrub.now, r->transfer.bad_until);
    if (!ts_seq_lt(m.snapshot, base.seq) && !bad) {
        tell(r, peer, &m);
    }
}

static void on_offer(struct perform_replica *r, struct ts_nic_id peer, const struct transfer_msg *m)
{
    struct perform_transfer *t = &r->transfer;
    if (t->busy || !repl_lacks(r->perform.core, peer, m->base, m->snapshot)) {
        return;
    }
    t->known = t->known && ts_seq_eq(t->seq, m->snapshot);
    t->from = peer;
    t->seq = m->snapshot;
    t->base = m->base;
    if (t->known) {
        ask(r);
    } else {
        t->busy = begin_job(r, TRANSFER_LOOK, peer, m);
    }
}

static void on_ask(struct perform_replica *r, struct ts_nic_id peer, const struct transfer_msg *m)
{
    struct perform_transfer *t = &r->transfer;
    uint64_t bit = 1ULL << peer.v;
    if ((t->giving & bit) == 0 && repl_role(r->perform.core) == REPL_ROLE_PRIMARY) {
        t->gave = m->snapshot;
        t->giving |= begin_job(r, TRANSFER_GIVE, peer, m) ? bit : 0;
    }
}

/* Believed no further than that a look is worth it: the scrubber finds out. */
static void on_bad(struct perform_replica *r, const struct transfer_msg *m)
{
    struct perform_transfer *t = &r->transfer;
    if (ts_seq_eq(m->snapshot, t->gave)) {
        t->bad = m->snapshot;
        t->bad_until = ts_mono_add(r->scrub.now, BAD_NS);
        t->hold_until.ns = 0; /* what is waited for is another one */
        t->asked_at.ns = 0;
        look_at_own(r);
    }
}

/* Others write to this file system too: journals of other groups, the voter. A snapshot that does
 * not fit beside them is not begun, and not gone on with: it would take what they need first. */
static bool has_room(struct perform_replica *r, struct ts_nic_id peer, const struct transfer_msg *m)
{
    struct ts_why why;
    if (perform_room_fits(r, m->size - m->offset, &why)) {
        return true;
    }
    r->transfer.known = false;
    r->ops->transfer_failed(r->perform.ctx, peer, TS_ERR_NOSPACE, why.text);
    return false;
}

static void on_piece(struct perform_replica *r, struct ts_nic_id peer, const struct transfer_msg *m)
{
    struct perform_transfer *t = &r->transfer;
    bool expected = t->known && !t->busy && ts_nic_eq(t->from, peer) &&
                    ts_seq_eq(t->seq, m->snapshot) && is_lacked(r);
    if (expected && m->bytes.len == 0) {
        /* What is here is longer than that snapshot: a part of another one, which is no use. */
        bool longer = t->offset > 0 && t->offset != m->offset;
        t->offset = longer ? 0 : t->offset;
        if (longer) {
            ask(r);
        } else if (t->offset > 0) {
            t->busy = begin_job(r, TRANSFER_CHECK, peer, m);
        }
    } else if (expected && t->offset == m->offset && has_room(r, peer, m)) {
        t->busy = begin_job(r, TRANSFER_WRITE, peer, m);
    }
}

enum ts_err perform_transfer_frame(struct perform_replica *r, struct ts_nic_id peer, uint8_t type,
                                   struct ts_bytes frame)
{
    struct transfer_msg m;
    enum ts_err err = transfer_msg_decode(&m, type, frame);
    if (err != TS_OK || !r->started || r->ended || r->disk_failed || peer.v > TS_NODES_MAX) {
        return err;
    }
    switch (m.type) {
    case TRANSFER_MSG_OFFER:
        on_offer(r, peer, &m);
        break;
    case TRANSFER_MSG_ASK:
        on_ask(r, peer, &m);
        break;
    case TRANSFER_MSG_PIECE:
        on_piece(r, peer, &m);
        break;
    case TRANSFER_MSG_BAD:
        on_bad(r, &m);
        break;
    }
    return TS_OK;
}
