/* Snapshots: each replica takes them by itself, from its own applied state.
 *
 * The state is walked in pieces (services/svc.h), one between two turns of the loop; a worker packs
 * and writes it meanwhile (snapshot_file.h). What a snapshot holds was committed and applied, so it
 * is durable in the journal, here and at every in-sync replica.
 *
 * The order that a crash may meet at any point:
 *   1. the snapshot is durable under its name: fdatasync, rename, fsync of the directory
 *   2. the oldest snapshots go, but the newest two
 *   3. the journal's segments go that lie wholly before the older one of these
 * So what the journal has, with the newest snapshot, is everything; and so it is with the one
 * before it.
 *
 * Who needs what was dropped here gets a snapshot (perform_transfer.c). */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/work.h"
#include "replicator/io/journal.h"
#include "replicator/io/perform_replica.h"

/* After a failure, a full disk say; twice as long after each further one, up to the second. */
#define RETRY_NS (3 * TS_NS_PER_S)
#define RETRY_NS_MAX (96 * TS_NS_PER_S)
/* For want of room alone one is not begun sooner after the one before, which had so many bytes. */
#define PRESS_NS TS_NS_PER_S
#define PRESS_NS_PER_BYTE 16U
#define PRESSED_HOLD_NS TS_NS_PER_S

_Static_assert(SVC_PIECE_MAX <= SNAPSHOT_PIECE_MAX, "each piece of a service can be stored");

/* What a worker has in hand. It is the loop's while `runs` is false. */
struct perform_snapshot_job {
    struct net_work work;
    struct perform_replica *r;
    struct journal *journal;
    struct snapshot_header header;
    struct snapshot_writer *writer; /* NULL before the first piece, and after the last */
    struct svc_out piece;
    bool last;
    bool runs;
    enum ts_err err;
    struct ts_why why;
    struct snapshot_trailer trailer;
    struct snapshot_broken broken; /* as far as is known when the last piece is written */
    struct ts_seq oldest;          /* as snapshot_write_end gave it */
    uint64_t applied_bytes;        /* when it began */
};

/* ---- on a worker ------------------------------------------------------------------------ */

static enum ts_err write_piece(struct perform_snapshot_job *job)
{
    struct ts_bytes piece = {job->piece.data, job->piece.len};
    enum ts_err err = TS_OK;
    if (job->writer == NULL) {
        err =
            snapshot_write_begin(&job->writer, journal_dir(job->journal), &job->header, &job->why);
    }
    if (err == TS_OK) {
        err = snapshot_write_piece(job->writer, piece, &job->why);
        job->trailer = *snapshot_written(job->writer);
    }
    if (err == TS_OK && job->last) {
        struct snapshot_writer *w = job->writer;
        job->writer = NULL;
        snapshot_write_besides(w, &job->broken);
        err = snapshot_write_end(w, &job->oldest, &job->why);
    }
    return err;
}

static void on_worker(void *arg)
{
    struct perform_snapshot_job *job = arg;
    job->err = write_piece(job);
    if (job->err != TS_OK && job->writer != NULL) {
        snapshot_write_abort(job->writer);
        job->writer = NULL;
    }
    if (job->err != TS_OK) {
        journal_doubt(job->journal, job->err, &job->why);
    }
}

/* ---- on the loop ------------------------------------------------------------------------ */

static void job_free(struct perform_snapshot_job *job)
{
    if (job->writer != NULL) {
        snapshot_write_abort(job->writer);
    }
    svc_out_free(&job->piece);
    free(job);
}

static void end_walk(struct perform_replica *r)
{
    if (r->snapshot.walk != NULL) {
        r->svc->walk_end(r->snapshot.walk);
        r->snapshot.walk = NULL;
    }
}

static void taken(struct perform_replica *r, const struct perform_snapshot_job *job)
{
    struct perform_snapshot *s = &r->snapshot;
    s->newest_bytes = job->trailer.bytes;
    s->newest = job->header.mark.pos.seq;
    s->taken_at = job->applied_bytes;
    s->retry_at.ns = 0;
    s->retry_ns = 0;
    if (!snapshot_broken_has(&r->scrub.broken, job->oldest)) { /* found meanwhile */
        s->may_drop = job->oldest;
    }
    r->ops->snapshot_taken(r->perform.ctx, &job->header.mark, &job->trailer);
}

static void worker_done(void *arg)
{
    struct perform_snapshot_job *job = arg;
    struct perform_replica *r = job->r;
    job->runs = false;
    if (r->ended) {
        job_free(job);
        return;
    }
    if (job->err == TS_OK && !job->last) {
        return; /* the next turn goes on */
    }
    r->snapshot.job = NULL;
    end_walk(r);
    if (job->err == TS_OK) {
        taken(r, job);
    } else {
        r->ops->snapshot_failed(r->perform.ctx, job->err, job->why.text);
    }
    job_free(job);
}

/* Gives the worker the next piece. */
static void hand_over(struct perform_replica *r)
{
    struct perform_snapshot *s = &r->snapshot;
    struct perform_snapshot_job *job = s->job;
    job->piece.len = 0;
    job->last = !r->svc->walk_next(s->walk, &job->piece);
    ts_assert(job->piece.len > 0);
    if (job->last) {
        end_walk(r);
    }
    job->broken = r->scrub.broken;
    job->runs = true;
    net_work_queue(journal_uv_loop(r->journal), &job->work, on_worker, worker_done, job);
}

/* Want of room, or damage: when two snapshots are newer than what is in the way, that can go. */
static bool is_pressed(const struct perform_replica *r)
{
    const struct perform_snapshot *s = &r->snapshot;
    struct ts_seq applied = repl_applied(r->perform.core);
    if (ts_seq_lt(s->may_drop, r->scrub.renew)) {
        return ts_seq_lt(s->newest, applied) && !ts_seq_lt(applied, r->scrub.renew);
    }
    return r->room.own >= DISK_ROOM_FULL && ts_seq_lt(s->newest, repl_applied(r->perform.core)) &&
           journal_disk_bytes(r->journal) > 2ULL * journal_segment_bytes(r->journal);
}

static struct ts_mono later(struct ts_mono a, struct ts_mono b)
{
    return ts_mono_lt(a, b) ? b : a;
}

static bool is_due(const struct perform_replica *r, struct ts_mono *at)
{
    const struct perform_snapshot *s = &r->snapshot;
    uint64_t limit = s->newest_bytes > s->limit ? s->newest_bytes : s->limit;
    bool wanted =
        ts_seq_lt(s->newest, s->wanted) && !ts_seq_lt(repl_applied(r->perform.core), s->wanted);
    bool grown = wanted || r->perform.applied_bytes - s->taken_at > limit;
    bool pressed = is_pressed(r);
    if (!grown && !pressed) {
        return false; /* as nearly always */
    }
    *at = grown ? later(s->retry_at, r->transfer.hold_until) : TS_MONO_NEVER;
    /* Clients' writes are refused: a learner that asks for no more of the newest one is not waited
     * for. */
    struct ts_mono held = ts_mono_add(r->transfer.asked_at, PRESSED_HOLD_NS);
    struct ts_mono soon = later(later(s->retry_at, s->press_at), held);
    *at = pressed && ts_mono_lt(soon, *at) ? soon : *at;
    return true;
}

static void begin(struct perform_replica *r, struct ts_mono now)
{
    struct perform_snapshot *s = &r->snapshot;
    const struct repl_mark *mark = repl_applied_mark(r->perform.core);
    struct perform_snapshot_job *job = calloc(1, sizeof(*job));
    s->retry_ns = s->retry_ns == 0 ? RETRY_NS : 2 * s->retry_ns;
    s->retry_ns = s->retry_ns < RETRY_NS_MAX ? s->retry_ns : RETRY_NS_MAX;
    s->retry_at = ts_mono_add(now, s->retry_ns);
    s->press_at = ts_mono_add(now, PRESS_NS + s->newest_bytes * PRESS_NS_PER_BYTE);
    s->walk = job == NULL ? NULL : r->svc->walk_begin(r->state);
    if (s->walk == NULL) {
        free(job);
        r->ops->snapshot_failed(r->perform.ctx, TS_ERR_NOMEM, "no memory to begin a snapshot");
        return;
    }
    const struct journal_info *info = journal_info(r->journal);
    job->r = r;
    job->journal = r->journal;
    job->header = (struct snapshot_header){
        .incarnation = info->incarnation, .group = info->group, .mark = *mark};
    job->piece.max = SVC_PIECE_MAX;
    job->applied_bytes = r->perform.applied_bytes;
    s->job = job;
    r->ops->snapshot_begins(r->perform.ctx, mark);
}

/* Segments that two snapshots have made needless. */
static void drop_needless(struct perform_replica *r)
{
    struct perform_snapshot *s = &r->snapshot;
    if (ts_seq_lt(s->dropped, s->may_drop) &&
        journal_drop_before(r->journal, s->may_drop) == TS_OK) {
        s->dropped = s->may_drop;
    }
}

void perform_snapshot_turn(struct perform_replica *r, struct ts_mono now)
{
    struct perform_snapshot *s = &r->snapshot;
    if (!r->started || r->disk_failed) {
        return;
    }
    drop_needless(r);
    struct ts_mono at;
    if (s->job == NULL && is_due(r, &at) && !ts_mono_lt(now, at)) {
        begin(r, now);
    }
    if (s->job != NULL && !s->job->runs) {
        hand_over(r);
    }
}

struct ts_mono perform_snapshot_deadline(const struct perform_replica *r)
{
    struct ts_mono at;
    return r->snapshot.job == NULL && is_due(r, &at) ? at : TS_MONO_NEVER;
}

bool perform_snapshot_stop(struct perform_replica *r)
{
    if (r->snapshot.job != NULL && r->snapshot.job->runs) {
        return false;
    }
    perform_snapshot_close(r);
    return true;
}

void perform_snapshot_close(struct perform_replica *r)
{
    end_walk(r);
    if (r->snapshot.job != NULL && !r->snapshot.job->runs) {
        job_free(r->snapshot.job);
    }
    r->snapshot.job = NULL; /* a worker's is freed when that is done */
}

/* ---- the start --------------------------------------------------------------------------- */

static void on_broken(void *arg, const char *text)
{
    struct perform_replica *r = arg;
    r->ops->snapshot_broken(r->perform.ctx, text);
}

static enum ts_err on_piece(void *arg, struct ts_bytes piece, struct ts_why *why)
{
    const struct perform_replica *r = arg;
    enum ts_err err = r->svc->load_piece(r->state, piece);
    if (err == TS_OK) {
        return TS_OK;
    }
    return ts_why(why, err,
                  "service %s cannot read its snapshot: %s; use the release that wrote it",
                  r->svc->name, ts_err_text(err));
}

static enum ts_err load(struct perform_replica *r, const char *dir,
                        const struct snapshot_info *found, struct ts_why *why)
{
    struct snapshot_info info;
    const struct snapshot_header *h = &found->header;
    enum ts_err err =
        snapshot_read(dir, h->mark.pos.seq, h->incarnation, h->group, on_piece, r, &info, why);
    if (err != TS_OK) {
        return err;
    }
    err = r->svc->load_end(r->state);
    if (err != TS_OK) {
        return ts_why(why, err,
                      "service %s does not find all of its state in the snapshot: %s; use the "
                      "release that wrote it",
                      r->svc->name, ts_err_text(err));
    }
    return TS_OK;
}

enum ts_err perform_snapshot_load(struct perform_replica *r, const char *dir,
                                  const struct journal_info *info, struct journal_start *from,
                                  struct ts_why *why)
{
    struct perform_snapshot *s = &r->snapshot;
    struct snapshot_info found;
    bool any = false;
    enum ts_err err =
        snapshot_find(dir, info->incarnation, info->group, on_broken, r, &any, &found, why);
    if (err == TS_OK && any) {
        err = load(r, dir, &found, why);
    }
    if (err != TS_OK || !any) {
        return err;
    }
    const struct repl_mark *mark = &found.header.mark;
    struct repl_event ev = {.kind = REPL_EV_RESTORE_MARK};
    ev.u.mark = *mark;
    r->perform.digest = mark->digest;
    r->ops->feed(r->perform.ctx, &ev);
    from->at = (struct journal_place){mark->pos.seq, mark->pos.hash, mark->epoch};
    from->replaces = found.header.installed;
    s->newest = mark->pos.seq;
    s->newest_bytes = found.trailer.bytes;
    s->may_drop = found.before;
    r->ops->snapshot_loaded(r->perform.ctx, &found);
    return TS_OK;
}
