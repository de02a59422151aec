/* A replica's disk: the shipped journal on a volume of sim_files.c.
 *
 * The journal's threads take their turns in virtual time (this file stands for journal_threads.c):
 * a turn is carried out when its time is over, as a whole. When the process ends before that, it is
 * carried out up to some operation, so that every state that a crash can leave comes about: killed,
 * all that was done is in the page cache; power lost, any legal subset of it is on the device.
 *
 * After each start this file compares what the journal found with what it had told before: nothing
 * that was told to be durable is missing, nothing is there that was never appended. A journal may
 * refuse a disk that was damaged, no other. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/exit.h"
#include "daemon/replica_record.h"
#include "replicator/io/journal_internal.h"
#include "tests/sim/sim.h"

/* A read is done in pieces: several to a learner. */
#define FETCH_MAX 40000U

static struct sim_replica *replica_at(struct sim *s, int node)
{
    return &s->node[node].replica;
}

static struct sim_disk *disk_of(struct sim *s, int node)
{
    return &s->node[node].replica.disk;
}

static struct sim_replica *owner(const struct journal *j)
{
    return j->callbacks.arg;
}

static void push(struct sim *s, int node, enum sim_event_kind kind, uint64_t at)
{
    sim_push(s, &(struct sim_event){.kind = kind,
                                    .at = at,
                                    .node = (uint8_t)node,
                                    .proc = SIM_REPLICA,
                                    .life = s->node[node].proc[SIM_REPLICA].life});
}

void sim_disk_dir(char out[8], int node, char kind)
{
    (void)snprintf(out, 8, "/%d/%c", node, kind);
}

/* ---- threads (replicator/io/journal_threads.c) ----------------------------------------------- */

void journal_threads_init(struct journal *j, uv_loop_t *loop)
{
    j->threads.loop = loop;
}

void journal_threads_destroy(struct journal *j)
{
    (void)j;
}

enum ts_err journal_threads_start(struct journal *j, struct ts_why *why)
{
    (void)j;
    (void)why;
    return TS_OK;
}

void journal_threads_end(struct journal *j)
{
    (void)j;
    ts_unreachable(); /* processes are killed here, journals are not closed */
}

void journal_lock(struct journal *j)
{
    (void)j;
}

void journal_unlock(struct journal *j)
{
    (void)j;
}

/* A turn begins: what is queued meanwhile waits for the next one. */
static void plan_turn(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    uint64_t typical = s->plan.disk_us * (d->slow == 0 ? 1 : d->slow);
    uint64_t done = s->now + sim_us(s, typical / 2, typical * 2);
    if (sim_chance_pm(s, 15)) {
        done += sim_us(s, 1000, 30000); /* as the tails of fsync go */
    }
    if (d->stalled_until > s->now) {
        done += d->stalled_until - s->now;
    }
    d->turn_runs = true;
    push(s, node, SIM_EV_DISK, done);
}

void journal_wake_writer(struct journal *j)
{
    struct sim_replica *r = owner(j);
    if (!r->disk.turn_runs && !r->disk.ending && journal_write_take(j)) {
        plan_turn(r->sim, r->node);
    }
}

void journal_wake_loop(struct journal *j)
{
    owner(j)->disk.deliver = true;
}

void journal_spare_changed(struct journal *j)
{
    struct sim_replica *r = owner(j);
    if (j->spare.state == JOURNAL_SPARE_WANTED && !r->disk.ending) {
        push(r->sim, r->node, SIM_EV_SPARE, r->sim->now + sim_us(r->sim, 500, 20000));
    }
}

void journal_await_spare(struct journal *j)
{
    journal_spare_prepare(j);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static enum sim_full full_now(const struct sim *s, const struct sim_disk *d)
{
    return d->full_until <= s->now ? SIM_FULL_NOT
           : d->full_to_write      ? SIM_FULL_TO_WRITE
                                   : SIM_FULL_TO_GROW;
}

/* What a turn left to do: the journal of a process that ended meanwhile. */
static void leave(struct sim_disk *d)
{
    d->busy = false;
    if (d->ended) {
        journal_free(d->journal);
        d->journal = NULL;
        d->ended = false;
    }
}

/* The process was to be killed at an operation on its files, and came to it. */
static bool killed_at_operation(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    if (!d->volume.dead) {
        return false;
    }
    sim_note(s, node, "the replica is killed in the middle of its work on its files");
    sim_fault_at_operation(s, node, SIM_REPLICA);
    return true;
}

static void deliver(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    struct journal *j = d->journal;
    while (d->deliver && !d->ended) {
        d->deliver = false;
        journal_deliver(j);
    }
    (void)s;
}

static void plan_idle_note(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    if (journal_idle_note_due(d->journal)) {
        d->idle_at = s->now + JOURNAL_IDLE_NOTE_NS;
        if (!d->idle_planned) {
            d->idle_planned = true;
            push(s, node, SIM_EV_IDLE_NOTE, d->idle_at);
        }
    }
}

static void take_turn(struct sim *s, struct sim_event *ev)
{
    int node = ev->node;
    struct sim_disk *d = disk_of(s, node);
    struct sim_volume *v = &d->volume;
    struct journal *j = d->journal;
    if (d->stalled_until > s->now) { /* the stall began while the write was in flight */
        ev->at = d->stalled_until + sim_us(s, 50, 500);
        sim_push(s, ev);
        return;
    }
    bool asks = d->fail_next || v->next != SIM_LIE_NONE;
    bool may_lose = asks && sim_budget_allows_replica_loss(s, node);
    if (d->fail_next && !may_lose) {
        d->fail_next = false;
        s->stats.spared[SIM_FAULT_FSYNC_ERROR]++;
    }
    enum journal_op_kind kind = j->taken.head->kind;
    v->full = full_now(s, d);
    if (d->fail_next && d->fails_full) {
        v->full = SIM_FULL_TO_GROW;
    }
    bool across = kind == JOURNAL_OP_TRUNCATE && j->taken.head->seq.v < d->segment_after.v;
    if (kind == JOURNAL_OP_TRUNCATE && d->at_cut != NULL && (across || d->at_cut->b % 8 == 0)) {
        d->crash = d->at_cut;
        v->ops_left = 1 + d->at_cut->a % 12;
        d->at_cut = NULL;
    }
    v->sync_fails = d->fail_next;
    v->armed = kind != JOURNAL_OP_TRUNCATE && may_lose && !v->latent;
    v->turn++;
    d->busy = true;
    uint64_t segment = j->end.pos.segment;
    bool again = journal_write_some(j);
    v->armed = false;
    v->sync_fails = false;
    if (!j->failed && !v->dead && kind == JOURNAL_OP_APPEND) {
        v->vouched = v->turn - 1;
    }
    if (!killed_at_operation(s, node)) {
        d->turn_runs = false;
        if (again || journal_write_take(j)) {
            plan_turn(s, node);
        } else {
            plan_idle_note(s, node);
        }
        deliver(s, node);
        if (d->switched && d->at_switch != NULL && !d->ended && kind == JOURNAL_OP_APPEND) {
            sim_fault_at_switch(s, node);
        }
        d->switched = j->end.pos.segment > segment;
        d->segment_after = d->switched ? j->end.pos.seq
                           : across    ? (struct ts_seq){0}
                                       : d->segment_after;
    }
    leave(d);
}

static void write_idle_note(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    d->idle_planned = false;
    if (d->turn_runs || !journal_idle_note_due(d->journal)) {
        return;
    }
    if (d->idle_at > s->now || d->stalled_until > s->now) {
        d->idle_planned = true;
        push(s, node, SIM_EV_IDLE_NOTE,
             d->idle_at > s->now ? d->idle_at : d->stalled_until + JOURNAL_IDLE_NOTE_NS);
        return;
    }
    d->volume.full = full_now(s, d);
    d->volume.turn++;
    d->busy = true;
    journal_write_idle_note(d->journal);
    if (!killed_at_operation(s, node)) {
        deliver(s, node);
    }
    leave(d);
}

static void prepare_spare(struct sim *s, struct sim_event *ev)
{
    struct sim_disk *d = disk_of(s, ev->node);
    if (d->journal->spare.state != JOURNAL_SPARE_WANTED) {
        return; /* the writer could not wait, or a cut made it needless */
    }
    if (d->stalled_until > s->now) {
        ev->at = d->stalled_until + sim_us(s, 500, 20000);
        sim_push(s, ev);
        return;
    }
    d->volume.full = full_now(s, d);
    d->busy = true;
    journal_spare_prepare(d->journal);
    if (!killed_at_operation(s, ev->node)) {
        deliver(s, ev->node); /* the preparing may have failed the journal */
    }
    leave(d);
}

void sim_disk_event(struct sim *s, struct sim_event *ev)
{
    struct sim_disk *d = disk_of(s, ev->node);
    if (d->journal == NULL) {
        return;
    }
    if (ev->kind == SIM_EV_DISK) {
        take_turn(s, ev);
    } else if (ev->kind == SIM_EV_SPARE) {
        prepare_spare(s, ev);
    } else if (ev->kind == SIM_EV_IDLE_NOTE) {
        write_idle_note(s, ev->node);
    } else {
        d->busy = true;
        sim_worker_event(d->worker, ev);
        leave(d);
    }
}

/* ---- completions (as daemon/replica_perform.c) -------------------------------------------------
 */

static bool over(const struct sim_replica *r)
{
    return r->disk.ending || r->disk.ended || r->core == NULL;
}

static void on_persisted(void *arg, struct ts_seq seq)
{
    struct sim_replica *r = arg;
    struct repl_event ev = {.kind = REPL_EV_PERSISTED};
    ev.u.persisted = seq;
    if (!over(r)) {
        r->disk.told.seq = seq;
        if (!sim_told_hash(&r->disk.told, seq, &r->disk.told.hash)) {
            sim_fail(r->sim, SIM_CHECK_DISK, "the journal told of entry %llu, where no batch ends",
                     (unsigned long long)seq.v);
        }
        sim_feed(r->sim, r->node, &ev);
    }
}

static void on_truncated(void *arg, struct ts_seq after)
{
    (void)arg;
    (void)after; /* the next append's completion comes after it */
}

static void on_record_persisted(void *arg, uint64_t token)
{
    struct sim_replica *r = arg;
    struct repl_event ev = {.kind = REPL_EV_FLOOR_PERSISTED};
    ev.u.floor.v = token;
    if (over(r)) {
        return;
    }
    if (r->started) {
        r->disk.told.floor.v = token;
        sim_feed(r->sim, r->node, &ev);
    } else if (r->registration.state == START_REGISTERED) {
        r->disk.start.confirmed = true;
        sim_replica_confirmed(r->sim, r->node);
    }
}

/* As the daemon: its end is the word for others. */
static void end_without_journal(struct sim_replica *r)
{
    struct repl_event ev = {.kind = REPL_EV_DISK_FAILED};
    uint64_t life = r->sim->node[r->node].proc[SIM_REPLICA].life;
    sim_feed(r->sim, r->node, &ev);
    if (r->sim->node[r->node].proc[SIM_REPLICA].life == life) {
        sim_proc_end(r->sim, r->node, SIM_REPLICA, 1);
    }
}

static void on_failed(void *arg, enum ts_err err, const char *text)
{
    struct sim_replica *r = arg;
    struct sim *s = r->sim;
    struct sim_disk *d = &r->disk;
    if (over(r)) {
        return;
    }
    sim_note(s, r->node, "the journal fails: %s", text);
    if (err != TS_ERR_NOSPACE) {
        if (!d->fail_next && !d->volume.broken && !d->volume.latent) {
            sim_fail(s, SIM_CHECK_DISK, "the journal of %s failed on a good disk: %s",
                     sim_node_name(s, r->node), text);
        }
        d->fail_next = false;
        d->lost = true;
    }
    end_without_journal(r);
}

/* ---- calls --------------------------------------------------------------------------------------
 */

void sim_disk_append(struct sim *s, int node, const struct repl_batch *b, struct ts_hash hash,
                     struct ts_seq committed)
{
    struct sim_disk *d = disk_of(s, node);
    struct journal_batch jb = {.epoch = b->epoch,
                               .first = b->first,
                               .last = b->last,
                               .prev = b->prev,
                               .hash = hash,
                               .bytes = b->bytes};
    enum ts_err err = journal_append(d->journal, &jb, committed);
    ts_assert(err == TS_OK || err == TS_ERR_CLOSED);
    if (err == TS_OK) {
        sim_told_add(&d->told, b->last, hash);
        sim_told_know(&d->told, hash);
    }
}

void sim_disk_truncate(struct sim *s, int node, struct repl_pos end)
{
    struct sim_disk *d = disk_of(s, node);
    sim_told_cut(&d->told, end.seq, end.hash);
    enum ts_err err = journal_truncate(d->journal, end.seq, end.hash);
    ts_assert(err == TS_OK || err == TS_ERR_CLOSED);
}

void sim_disk_floor(struct sim *s, int node, struct ts_epoch floor)
{
    uint8_t bytes[REPLICA_RECORD_BYTES];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    replica_record_encode(floor, &w);
    enum ts_err err =
        journal_persist_record(disk_of(s, node)->journal, (struct ts_bytes){bytes, w.len}, floor.v);
    ts_assert(err == TS_OK || err == TS_ERR_CLOSED);
}

void sim_disk_confirm(struct sim *s, int node)
{
    enum ts_err err = journal_confirm_start(disk_of(s, node)->journal, 0);
    ts_assert(err == TS_OK || err == TS_ERR_CLOSED);
}

void sim_disk_refuse(struct sim *s, int node)
{
    char dir[8];
    sim_disk_dir(dir, node, 'r');
    ts_dir_refuse(dir, "the voters know of a later start");
    (void)s;
}

struct fetch {
    struct sim_replica *r;
    int peer;
    struct ts_seq after;
    size_t bytes_max;
};

static void fetch_start(struct fetch *f);

static void on_fetched(void *arg, enum ts_err err, const struct journal_batch *batches,
                       size_t count, const char *text)
{
    struct fetch *f = arg;
    struct sim_replica *r = f->r;
    if (over(r)) {
        free(f);
        return;
    }
    if (err == TS_ERR_BUSY) {
        fetch_start(f); /* a truncation came in between */
        return;
    }
    if (err != TS_OK) {
        sim_note(r->sim, r->node, "catch-up of a learner: %s", text);
        if (!r->disk.volume.latent && !r->disk.lost) {
            sim_fail(r->sim, SIM_CHECK_DISK, "%s cannot read its good disk: %s",
                     sim_node_name(r->sim, r->node), text);
        }
        count = 0;
        bool damaged = err == TS_ERR_CORRUPT || err == TS_ERR_IO;
        if (damaged && repl_has_successor(r->core)) {
            end_without_journal(r);
            free(f);
            return;
        }
    }
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += batches[i].bytes.len;
    }
    uint8_t *bytes = sim_bytes_new(r->sim, len);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(bytes + at, batches[i].bytes.data, batches[i].bytes.len);
        at += batches[i].bytes.len;
    }
    sim_push(r->sim, &(struct sim_event){.kind = SIM_EV_FETCHED,
                                         .at = r->sim->now,
                                         .node = (uint8_t)r->node,
                                         .proc = SIM_REPLICA,
                                         .life = r->sim->node[r->node].proc[SIM_REPLICA].life,
                                         .peer = (uint8_t)f->peer,
                                         .a = f->after.v,
                                         .bytes = bytes,
                                         .len = len});
    free(f);
}

static void fetch_start(struct fetch *f)
{
    struct sim *s = f->r->sim;
    enum ts_err err = sim_chance_pm(s, 20)
                          ? TS_ERR_BUSY
                          : journal_read(f->r->disk.journal, ts_seq_add(f->after, 1), f->bytes_max,
                                         on_fetched, f);
    if (err != TS_OK) { /* too many reads at once; told by a later turn */
        sim_push(s, &(struct sim_event){.kind = SIM_EV_FETCHED,
                                        .at = s->now + sim_us(s, 100, 2000),
                                        .node = (uint8_t)f->r->node,
                                        .proc = SIM_REPLICA,
                                        .life = s->node[f->r->node].proc[SIM_REPLICA].life,
                                        .peer = (uint8_t)f->peer,
                                        .a = f->after.v});
        free(f);
    }
}

void sim_disk_fetch(struct sim *s, int node, int peer, struct ts_seq after, size_t bytes_max)
{
    struct fetch *f = malloc(sizeof(*f));
    ts_assert(f != NULL);
    *f = (struct fetch){replica_at(s, node), peer, after,
                        bytes_max < FETCH_MAX ? bytes_max : FETCH_MAX};
    fetch_start(f);
}

/* ---- ends and starts ----------------------------------------------------------------------------
 */

/* Carries out a part of what was in flight. */
static void partly(struct sim *s, struct sim_disk *d, void (*turn)(struct journal *j))
{
    d->volume.dead = false;
    d->volume.ops_left = sim_rand(s, 1, sim_chance_pm(s, 800) ? 6 : 20);
    turn(d->journal);
    d->volume.dead = true;
}

static void some_writes(struct journal *j)
{
    while (j->taken.head != NULL && journal_write_some(j)) {
    }
}

static void some_spare(struct journal *j)
{
    if (j->spare.state == JOURNAL_SPARE_WANTED) {
        journal_spare_prepare(j);
    }
}

void sim_disk_process_ended(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    if (d->journal != NULL) {
        d->ending = true;
        d->volume.full = full_now(s, d);
        d->volume.sync_fails = false;
        if (d->volume.dead) {
            /* Nothing comes after the operation at which it was killed. */
        } else if (sim_chance_pm(s, 500)) {
            partly(s, d, some_writes);
            partly(s, d, some_spare);
        } else {
            partly(s, d, some_spare);
            partly(s, d, some_writes);
        }
        sim_worker_end(d->worker);
        d->worker = NULL;
        d->ending = false;
        d->turn_runs = false;
        d->idle_planned = false;
        d->deliver = false;
        d->ended = true;
        if (!d->busy) {
            leave(d);
        }
    }
    sim_worker_end(d->worker);
    d->worker = NULL;
    sim_volume_process_ended(&d->volume);
}

void sim_disk_power_lost(struct sim *s, int node)
{
    sim_volume_power_lost(&disk_of(s, node)->volume);
}

/* What was found agrees with what was told. */
static void check_found(struct sim *s, int node, struct ts_epoch floor)
{
    struct sim_disk *d = disk_of(s, node);
    const struct journal_info *info = journal_info(d->journal);
    const char *who = sim_node_name(s, node);
    struct ts_hash hash;
    if (d->lost) {
        sim_fail(s, SIM_CHECK_DISK, "the journal of %s opened a disk whose sync had failed", who);
    }
    if (d->told.seq.v > 0 &&
        (!sim_told_hash(&d->told, d->told.seq, &hash) || !ts_hash_eq(hash, d->told.hash))) {
        sim_fail(s, SIM_CHECK_DISK,
                 "the journal of %s had told that entry %llu is durable; its log ends at %llu now, "
                 "and nothing was refused",
                 who, (unsigned long long)d->told.seq.v, (unsigned long long)info->last.v);
    }
    if (floor.v < d->told.floor.v || info->start_number < d->start.number ||
        (d->start.confirmed && info->start_number == d->start.number)) {
        sim_fail(s, SIM_CHECK_DISK,
                 "the record of %s is an older one than was told to be durable: floor %llu, start "
                 "%llu",
                 who, (unsigned long long)floor.v, (unsigned long long)info->start_number);
    }
}

static enum ts_err on_replay(void *arg, const struct journal_batch *batch, struct ts_seq commit,
                             struct ts_why *why)
{
    struct sim_replica *r = arg;
    struct sim_disk *d = &r->disk;
    if (!sim_told_knows(&d->told, batch->hash)) {
        sim_fail(r->sim, SIM_CHECK_DISK,
                 "the log of %s has a batch at entry %llu that nobody wrote",
                 sim_node_name(r->sim, r->node), (unsigned long long)batch->first.v);
    }
    sim_told_add(&d->told, batch->last, batch->hash);
    return sim_replica_restore(r->sim, r->node, batch->bytes, commit)
               ? TS_OK
               : ts_why(why, TS_ERR_CORRUPT, "a batch does not fit the log before it");
}

/* A journal that does not open: the disk is lost, or full, or the process came not that far. */
static void judge_refusal(struct sim *s, int node, enum ts_err err, const char *text)
{
    struct sim_disk *d = disk_of(s, node);
    sim_note(s, node, "the journal is refused: %s", text);
    if (err == TS_ERR_NOSPACE && d->volume.full != SIM_FULL_NOT) {
        return;
    }
    if (!d->lost && !d->volume.latent) {
        sim_fail(s, SIM_CHECK_DISK, "the journal of %s refuses a good disk: %s",
                 sim_node_name(s, node), text);
    }
    d->lost = true;
}

/* Small segments: the log goes on in the next one often. Long entries must fit. */
static struct journal_options options_of(const struct sim *s)
{
    struct journal_options o = {.segment_bytes = JOURNAL_SEGMENT_BYTES_MIN};
    for (size_t i = 0; i < s->plan.fault_count; i++) {
        const struct sim_fault *f = &s->plan.fault[i];
        uint32_t need = f->kind != SIM_FAULT_LONG ? 0
                        : sim_load_is_huge(f->a)  ? REPL_BATCH_BYTES_MAX + (1U << 17)
                                                  : 1U << 18;
        o.segment_bytes = need > o.segment_bytes ? need : o.segment_bytes;
    }
    return o;
}

bool sim_disk_open(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    struct sim_volume *v = &d->volume;
    struct journal_options options = options_of(s);
    struct journal_callbacks callbacks = {.persisted = on_persisted,
                                          .truncated = on_truncated,
                                          .record_persisted = on_record_persisted,
                                          .failed = on_failed,
                                          .arg = replica_at(s, node)};
    char dir[8];
    struct ts_why why = {{0}};
    sim_disk_dir(dir, node, 'r');
    d->told.log_count = 0;
    v->full = full_now(s, d);
    v->turn++;
    if (sim_chance_pm(s, v->latent ? 700 : 100)) {
        sim_volume_drop_cache(v);
    }
    d->worker = sim_worker_new(s, node, SIM_REPLICA);
    struct journal *j = NULL;
    enum ts_err err = journal_open(&j, sim_worker_loop(d->worker), dir, &options, &callbacks,
                                   on_replay, callbacks.arg, &why);
    if (v->dead) {
        if (err == TS_OK) {
            journal_free(j);
        }
        (void)killed_at_operation(s, node);
        return false;
    }
    if (err != TS_OK) {
        judge_refusal(s, node, err, why.text);
        return false;
    }
    d->journal = j;
    err = replica_record_floor(journal_record(j), &d->floor);
    ts_assert(err == TS_OK);
    if (!d->old) {
        check_found(s, node, d->floor);
    }
    v->latent = v->latent && sim_volume_lies(v); /* all of it was read, and is whole */
    d->segment_after.v = 0;
    d->told.seq = journal_info(j)->last;
    d->told.hash = journal_info(j)->hash;
    d->told.floor = d->floor;
    d->start = (struct sim_start){.number = journal_info(j)->start_number,
                                  .instance = journal_info(j)->start_instance};
    replica_at(s, node)->incarnation = journal_info(j)->incarnation;
    return true;
}

/* ---- what faults do ------------------------------------------------------------------------- */

void sim_disk_keep_image(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    sim_volume_copy(&d->kept, &d->volume);
    d->kept_start = d->start;
    /* Of a start that is under way nobody knows the number. */
    d->has_kept = d->journal != NULL;
}

void sim_disk_put_image(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    sim_volume_copy(&d->volume, &d->kept);
    d->lost = true;
    d->old = true;
}

void sim_disk_blank(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    sim_volume_blank(&d->volume);
    d->lost = true;
}

bool sim_disk_good(const struct sim_disk *d)
{
    return !d->lost && !d->volume.latent;
}

void sim_disk_format(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    struct journal_options options = options_of(s);
    char dir[8];
    struct ts_why why;
    d->volume.sim = s;
    d->kept.sim = s;
    d->volume.has_log = true;
    d->incarnation = s->genesis.members.r[node - 1].incarnation;
    sim_disk_dir(dir, node, 'r');
    enum ts_err err = journal_format(dir, d->incarnation, (struct ts_group_id){SIM_GROUP},
                                     (struct ts_bytes){NULL, 0}, &options, &why);
    ts_assert(err == TS_OK);
    d->start.confirmed = true;
}

void sim_disk_free(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    d->busy = false; /* the run may have been left in the middle */
    sim_disk_process_ended(s, node);
    sim_volume_free(&d->volume);
    sim_volume_free(&d->kept);
    sim_told_free(&d->told);
    *d = (struct sim_disk){0};
}
