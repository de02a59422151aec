/* Between the core and its journal. Appends cannot be refused by a full queue: the journal's queue
 * holds more than the log window. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "replicator/io/journal.h"
#include "replicator/io/perform_replica.h"
#include "replicator/io/replica_record.h"

/* The journal takes nothing more: the next turn ends the replica. A closed one has told why, or is
 * about to. */
static void check(struct perform_replica *r, enum ts_err err, const char *what)
{
    if (err == TS_OK || err == TS_ERR_CLOSED) {
        return;
    }
    if (!r->disk_failed) {
        r->ops->journal_refuses(r->perform.ctx, what, err);
    }
    r->disk_failed = true;
}

/* ---- what the core asks --------------------------------------------------------------- */

void perform_disk_append(struct perform_replica *r, const struct repl_batch *batch,
                         struct ts_hash hash, struct ts_seq committed)
{
    struct journal_batch b = {
        .epoch = batch->epoch,
        .first = batch->first,
        .last = batch->last,
        .prev = batch->prev,
        .hash = hash,
        .bytes = batch->bytes,
    };
    check(r, journal_append(r->journal, &b, committed), "append refused");
}

void perform_disk_truncate(struct perform_replica *r, struct repl_pos end)
{
    check(r, journal_truncate(r->journal, end.seq, end.hash), "truncation refused");
}

void perform_disk_floor(struct perform_replica *r, struct ts_epoch floor)
{
    uint8_t bytes[REPLICA_RECORD_BYTES];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    replica_record_encode(&(struct replica_record){floor, r->replaces}, &w);
    ts_assert(!w.failed);
    check(r, journal_persist_record(r->journal, (struct ts_bytes){bytes, w.len}, floor.v),
          "replica record refused");
}

/* The links open and the core starts when the disk remembers this start as registered. */
void perform_disk_confirm(struct perform_replica *r)
{
    check(r, journal_confirm_start(r->journal, 0), "the start cannot be remembered");
}

/* ---- reads for learners --------------------------------------------------------------- */

struct fetch {
    struct perform_replica *r;
    struct ts_nic_id peer;
    struct ts_seq after;
    size_t bytes_max;
};

static void fetch_start(struct fetch *f);

static void feed_fetched(struct perform_replica *r, struct ts_nic_id peer, struct ts_seq after,
                         struct ts_bytes bytes)
{
    struct repl_event ev = {.kind = REPL_EV_FETCHED, .peer = peer};
    struct journal_place base = journal_base(r->journal);
    if (ts_seq_lt(after, base.seq)) {
        ev.u.fetched.base = (struct repl_pos){base.seq, base.hash};
        bytes.len = 0;
        perform_transfer_offer(r, peer);
    }
    ev.u.fetched.after = after;
    ev.u.fetched.batches = bytes;
    r->ops->feed(r->perform.ctx, &ev);
}

static void feed_batches(const struct fetch *f, const struct journal_batch *batches, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += batches[i].bytes.len;
    }
    uint8_t *bytes = malloc(len == 0 ? 1 : len);
    if (bytes != NULL) {
        size_t at = 0;
        for (size_t i = 0; i < count; i++) {
            memcpy(bytes + at, batches[i].bytes.data, batches[i].bytes.len);
            at += batches[i].bytes.len;
        }
    }
    feed_fetched(f->r, f->peer, f->after, (struct ts_bytes){bytes, bytes == NULL ? 0 : len});
    free(bytes);
}

/* Nobody could be fed from a damaged journal: a successor takes over and feeds the learner
 * (adr/0012), when nobody who is asked can help to mend it: the damaged one does not survive its
 * next start, which costs the group its redundancy. Without a successor it is better to go on: what
 * is in memory is whole. But not for longer: when the last good replica is lost, nothing is left.
 * Nor may it be the one that drops that: a primary that was replaced before its journal answered
 * leaves, too. What was mended meanwhile, or is not needed any more, is no reason. */
void perform_disk_look(struct perform_replica *r)
{
    if (r->unreadable && !r->disk_failed && perform_repair_is_hopeless(r) &&
        repl_may_leave(r->perform.core)) {
        check(r, TS_ERR_CORRUPT, "it cannot be read any more");
    }
}

static void fetch_failed(const struct fetch *f, enum ts_err err, const char *text)
{
    struct perform_replica *r = f->r;
    bool damaged = err == TS_ERR_CORRUPT || err == TS_ERR_IO;
    r->ops->fetch_failed(r->perform.ctx, err, err == TS_ERR_GONE ? NULL : text);
    if (damaged) {
        r->repair.gave_up = r->repair.gave_up && r->unreadable; /* a new pass looks for it */
        r->unreadable = true; /* until it was mended, and looked through */
        perform_scrub_again(r);
    }
    feed_fetched(r, f->peer, f->after, (struct ts_bytes){NULL, 0});
}

static void on_fetched(void *arg, enum ts_err err, const struct journal_batch *batches,
                       size_t count, const char *text)
{
    struct fetch *f = arg;
    if (err == TS_ERR_BUSY && !f->r->ended) {
        fetch_start(f); /* a truncation came in between */
        return;
    }
    if (f->r->ended) {
        /* nobody is there to be answered */
    } else if (err != TS_OK) {
        fetch_failed(f, err, text);
    } else {
        feed_batches(f, batches, count);
    }
    free(f);
}

void perform_disk_fetch_refused(struct perform_replica *r, struct ts_nic_id peer,
                                struct ts_seq after, enum ts_err err)
{
    struct perform_refused_fetch *place = NULL;
    r->ops->fetch_failed(r->perform.ctx, err, NULL);
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        struct perform_refused_fetch *p = &r->refused[i];
        if (p->waits && ts_nic_eq(p->peer, peer)) {
            place = p;
            break;
        }
        if (!p->waits && place == NULL) {
            place = p;
        }
    }
    ts_assert(place != NULL); /* there are fewer peers than members */
    *place = (struct perform_refused_fetch){true, peer, after};
}

void perform_disk_answer_refused(struct perform_replica *r)
{
    for (size_t i = 0; i < TS_MEMBERS_MAX && !r->ended; i++) {
        struct perform_refused_fetch *p = &r->refused[i];
        if (p->waits) {
            p->waits = false;
            feed_fetched(r, p->peer, p->after, (struct ts_bytes){NULL, 0});
        }
    }
}

static void fetch_start(struct fetch *f)
{
    enum ts_err err =
        journal_read(f->r->journal, ts_seq_add(f->after, 1), f->bytes_max, on_fetched, f);
    if (err != TS_OK) { /* closing, or too many reads at once */
        perform_disk_fetch_refused(f->r, f->peer, f->after, err);
        free(f);
    }
}

void perform_disk_fetch(struct perform_replica *r, struct ts_nic_id peer, struct ts_seq after,
                        size_t bytes_max)
{
    struct fetch *f = malloc(sizeof(*f));
    if (f == NULL) {
        perform_disk_fetch_refused(r, peer, after, TS_ERR_NOMEM);
        return;
    }
    *f = (struct fetch){r, peer, after, bytes_max};
    fetch_start(f);
}

/* ---- what the journal tells ------------------------------------------------------------ */

bool perform_disk_replay(struct perform_replica *r, const struct journal_batch *batch,
                         struct ts_seq commit)
{
    struct repl_event committed = {.kind = REPL_EV_RESTORE_COMMITTED};
    struct repl_event ev = {.kind = REPL_EV_RESTORE};
    committed.u.committed = commit;
    r->ops->feed(r->perform.ctx, &committed);
    ev.u.restore = batch->bytes;
    r->ops->feed(r->perform.ctx, &ev);
    return repl_role(r->perform.core) != REPL_ROLE_HALTED;
}

enum ts_err perform_disk_opened(struct perform_replica *r, struct journal *journal)
{
    struct replica_record record;
    enum ts_err err = replica_record_decode(&record, journal_record(journal));
    r->journal = journal;
    r->floor = record.floor;
    r->replaces = record.replaces;
    /* The log goes on behind the snapshot that was loaded: those that could not be are not needed.
     */
    struct ts_why why;
    enum ts_err gone = snapshot_remove_newer(journal_dir(journal), r->snapshot.newest, &why);
    if (gone != TS_OK) {
        journal_doubt(journal, gone, &why);
    }
    return err;
}

void perform_disk_persisted(void *arg, struct ts_seq seq)
{
    struct perform_replica *r = arg;
    struct repl_event ev = {.kind = REPL_EV_PERSISTED};
    ev.u.persisted = seq;
    r->ops->feed(r->perform.ctx, &ev);
}

void perform_disk_truncated(void *arg, struct ts_seq after)
{
    (void)arg;
    (void)after; /* the next append's completion comes after it */
}

/* Nothing but the confirmed start is written before the core's start. A refusal that came meanwhile
 * is final. */
static void on_start_remembered(struct perform_replica *r)
{
    struct repl_event ev = {.kind = REPL_EV_START};
    if (r->registration.state != START_REGISTERED || !r->ops->open_links(r->perform.ctx)) {
        return;
    }
    r->started = true;
    ev.u.start.incarnation = journal_info(r->journal)->incarnation;
    ev.u.start.replaces = r->replaces;
    ev.u.start.floor = r->floor;
    r->ops->feed(r->perform.ctx, &ev);
}

void perform_disk_record_persisted(void *arg, uint64_t token)
{
    struct perform_replica *r = arg;
    struct repl_event ev = {.kind = REPL_EV_FLOOR_PERSISTED};
    if (!r->started) {
        on_start_remembered(r);
        return;
    }
    ev.u.floor.v = token;
    r->ops->feed(r->perform.ctx, &ev);
}

void perform_disk_failed(void *arg, enum ts_err err, const char *text)
{
    struct perform_replica *r = arg;
    struct repl_event ev = {.kind = REPL_EV_DISK_FAILED};
    r->ops->journal_failed(r->perform.ctx, err, text);
    r->disk_failed = true;
    r->ops->feed(r->perform.ctx, &ev);
}
