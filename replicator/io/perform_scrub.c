/* The scrubber: looks through all that this disk holds of the group, slowly and again and again, so
 * that damage is known before it is needed: journal and snapshots, from the device, each byte that
 * a start would need, at a bounded rate, a piece a step on a worker.
 *
 * Damage is told. The process goes on: what it has in memory is whole. The journal is mended, if
 * that can be (perform_repair.c); else two snapshots are taken out of turn, behind which the
 * journal is needed, damaged or not; a snapshot that is damaged is removed when another one is
 * whole, so that nobody counts on it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/work.h"
#include "replicator/io/journal.h"
#include "replicator/io/perform_replica.h"

/* One step reads so much, about, … */
#define STEP_BYTES (256U * 1024U)
/* … and the next one waits so long: 4 MiB a second at most. */
#define PAUSE_NS (64 * TS_NS_PER_MS)
/* From the end of a pass to the next one; after damage it comes sooner. */
#define PERIOD_NS (3600 * TS_NS_PER_S)
#define AGAIN_NS (10 * TS_NS_PER_S)

struct perform_scrub_job {
    struct net_work work;
    struct perform_replica *r;
    struct journal *journal;
    struct journal_scrub *log;       /* while the pass is in the journal, … */
    struct snapshot_scrub *snapshot; /* … or in this snapshot, … */
    struct ts_seq seq;               /* … of this entry; then in the next older one */
    struct ts_seq base;              /* of the journal: it goes on behind no older one */
    bool whole;                      /* one was found to be whole that will do, … */
    struct ts_seq broken;            /* … and this one not; 0: none */
    enum ts_err err;
    struct ts_why why;
    bool more;
    uint64_t bytes; /* of snapshots that were looked through */
};

void perform_scrub_open(struct perform_replica *r)
{
    r->scrub = (struct perform_scrub){.period_ns = PERIOD_NS, .pause_ns = PAUSE_NS};
}

/* ---- on a worker ------------------------------------------------------------------------ */

static bool is_damage(enum ts_err err)
{
    return err == TS_ERR_CORRUPT || err == TS_ERR_IO || err == TS_ERR_SHORT;
}

/* It must not be counted on when older ones are removed, or the journal. Without another one it
 * stays: who helps this replica may make more of it than of nothing. */
static void remove_broken(struct perform_scrub_job *job)
{
    enum ts_err err = snapshot_remove(journal_dir(job->journal), job->broken, &job->why);
    if (err != TS_OK) {
        journal_doubt(job->journal, err, &job->why);
    }
}

static void look_at_snapshot(struct perform_scrub_job *job)
{
    const char *dir = journal_dir(job->journal);
    const struct journal_info *info = journal_info(job->journal);
    bool goes_on = true;
    if (job->snapshot == NULL) {
        job->err = snapshot_scrub_begin(&job->snapshot, dir, job->seq, info->incarnation,
                                        info->group, &job->seq, &job->why);
    } else {
        job->err = snapshot_scrub_step(job->snapshot, STEP_BYTES, &goes_on, &job->why);
    }
    job->broken = is_damage(job->err) ? job->seq : job->broken;
    job->whole = job->whole || (job->err == TS_OK && !goes_on && /* its trailer, too */
                                !ts_seq_lt(job->seq, job->base));
    if (job->snapshot != NULL && (!goes_on || job->err != TS_OK)) {
        job->bytes += snapshot_scrub_bytes(job->snapshot);
        snapshot_scrub_end(job->snapshot);
        job->snapshot = NULL;
    }
    job->more = job->seq.v != 0;
    if (!job->more && job->whole && job->broken.v != 0) {
        remove_broken(job);
    }
}

static void on_worker(void *arg)
{
    struct perform_scrub_job *job = arg;
    if (job->log == NULL) {
        look_at_snapshot(job);
        return;
    }
    job->err = journal_scrub_step(job->log, STEP_BYTES, &job->more);
    if (job->err != TS_OK) {
        job->why = journal_scrub_flaw(job->log)->why;
    }
}

/* ---- on the loop ------------------------------------------------------------------------ */

static void job_free(struct perform_scrub_job *job)
{
    if (job->log != NULL) {
        journal_scrub_end(job->log);
    }
    if (job->snapshot != NULL) {
        snapshot_scrub_end(job->snapshot);
    }
    free(job);
}

static void ended(struct perform_replica *r, bool whole)
{
    struct perform_scrub *s = &r->scrub;
    struct ts_mono now = s->now;
    s->bytes = s->job->bytes;
    s->damaged = s->found > 0 || (s->damaged && !whole);
    job_free(s->job);
    s->job = NULL;
    if (whole) {
        s->passes++;
    }
    uint64_t pause = s->damaged && AGAIN_NS < s->period_ns ? AGAIN_NS : s->period_ns;
    s->next_at = ts_mono_add(now, whole && !s->again ? pause : s->pause_ns);
    if (whole && s->found == 0 && !s->again) {
        r->unreadable = false;
    }
    if (whole) {
        r->ops->scrub_ended(r->perform.ctx);
    }
}

static void found(struct perform_replica *r, const struct perform_scrub_job *job, struct ts_seq seq)
{
    struct perform_scrub *s = &r->scrub;
    struct ts_trace t = {.kind = TS_TRACE_ALARM_DISK_DAMAGED,
                         .at = s->now,
                         .epoch = repl_epoch(r->perform.core),
                         .seq = seq,
                         .a = job->log == NULL};
    if (!s->damaged && s->found == 0) {
        r->perform.table->trace(r->perform.ctx, &t);
    }
    s->found++;
    s->found_all++;
    if (job->log == NULL) {
        snapshot_broken_add(&s->broken, seq);
    }
    /* What lies before the older snapshot goes by itself. */
    s->renew = ts_seq_lt(seq, r->snapshot.may_drop) ? s->renew : ts_seq_add(seq, 1);
    r->ops->scrub_found(r->perform.ctx, job->why.text);
}

/* The journal is looked through: the snapshots come next. */
static void go_on_with_snapshots(struct perform_scrub_job *job)
{
    job->base = journal_base(job->journal).seq;
    job->bytes = journal_scrub_bytes(job->log);
    journal_scrub_end(job->log);
    job->log = NULL;
    job->seq.v = UINT64_MAX;
}

static void stepped(struct perform_replica *r)
{
    struct perform_scrub_job *job = r->scrub.job;
    r->scrub.next_at = ts_mono_add(r->scrub.now, r->scrub.pause_ns);
    if (job->log != NULL && !journal_scrub_counts(job->log)) {
        ended(r, false); /* it was cut, or dropped: from its beginning again */
        return;
    }
    if (is_damage(job->err) && job->log != NULL) {
        perform_repair_found(r, journal_scrub_flaw(job->log));
    }
    if (is_damage(job->err)) {
        found(r, job, job->log != NULL ? journal_scrub_flaw(job->log)->after.seq : job->seq);
    } else if (job->err != TS_OK && job->err != TS_ERR_NOT_FOUND) {
        ended(r, false);
        return;
    }
    if (job->log == NULL) {
        if (!job->more) {
            ended(r, true);
        }
    } else if (job->err != TS_OK || !job->more) {
        go_on_with_snapshots(job);
    }
}

static void worker_done(void *arg)
{
    struct perform_scrub_job *job = arg;
    struct perform_replica *r = job->r;
    r->scrub.runs = false;
    if (r->ended) {
        job_free(job);
        return;
    }
    stepped(r);
}

static void begin(struct perform_replica *r)
{
    struct perform_scrub *s = &r->scrub;
    struct perform_scrub_job *job = calloc(1, sizeof(*job));
    struct journal_scrub *log = job == NULL ? NULL : journal_scrub_begin(r->journal);
    if (log == NULL) {
        free(job);
        s->next_at = ts_mono_add(s->now, AGAIN_NS);
        return;
    }
    job->r = r;
    job->journal = r->journal;
    job->log = log;
    s->job = job;
    s->found = 0;
    s->again = false;
    r->ops->scrub_begins(r->perform.ctx);
}

void perform_scrub_again(struct perform_replica *r)
{
    r->scrub.again = true;
    if (!r->scrub.runs && r->scrub.job == NULL) {
        r->scrub.next_at = r->scrub.now;
    }
}

void perform_scrub_turn(struct perform_replica *r, struct ts_mono now)
{
    struct perform_scrub *s = &r->scrub;
    if (!r->started || r->disk_failed) {
        return;
    }
    s->now = now;
    if (s->next_at.ns == 0) { /* the start has just read all */
        s->next_at = ts_mono_add(now, s->period_ns);
    }
    if (s->runs || ts_mono_lt(now, s->next_at)) {
        return;
    }
    if (s->job == NULL) {
        begin(r);
    }
    if (s->job != NULL) {
        s->runs = true;
        net_work_queue(journal_uv_loop(r->journal), &s->job->work, on_worker, worker_done, s->job);
    }
}

struct ts_mono perform_scrub_deadline(const struct perform_replica *r)
{
    return r->scrub.runs ? TS_MONO_NEVER : r->scrub.next_at;
}

void perform_scrub_close(struct perform_replica *r)
{
    if (r->scrub.job != NULL && !r->scrub.runs) {
        job_free(r->scrub.job);
    }
    r->scrub.job = NULL; /* a worker's is freed when that is done */
}
