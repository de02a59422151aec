/* A replica's disk: the journal's threads, in virtual time. This file stands for
 * journal_threads.c.
 *
 * A turn is carried out when its time is over, as a whole. When the process ends before that, it is
 * carried out up to some operation, so that every state that a crash can leave comes about: killed,
 * all that was done is in the page cache; power lost, any legal subset of it is on the device.
 *
 * The loop and the writing thread meet at the lock: now and then the writer finishes its turn while
 * the loop, in the middle of a call, comes there. What it did the loop hears of later, sometimes
 * after the writer's next turn.
 *
 * After a sync that failed nothing counts (R2.11): the journal has failed when the call is over in
 * which the sync was done, and finishes nothing that was asked of it, on either thread. */
#include "base/assert.h"
#include "net/work.h"
#include "replicator/io/journal_internal.h"
#include "tests/sim/sim.h"

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

static void overtake(struct sim *s, int node);

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
    const struct sim_replica *r = owner(j);
    if (r->disk.journal == j && r->disk.turn_runs && !r->disk.thread) {
        overtake(r->sim, r->node);
    }
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
        sim_strike_once(&d->volume, SIM_FAULT_STALL_DISK);
    }
    d->turn_runs = true;
    if (d->slow > 1) {
        sim_strike_once(&d->volume, SIM_FAULT_SLOW_DISK);
    }
    sim_push(s, &(struct sim_event){.kind = SIM_EV_DISK,
                                    .at = done,
                                    .node = (uint8_t)node,
                                    .proc = SIM_REPLICA,
                                    .life = s->node[node].proc[SIM_REPLICA].life,
                                    .a = ++d->turns});
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

enum sim_full sim_disk_full(const struct sim *s, const struct sim_disk *d)
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

bool sim_disk_killed(struct sim *s, int node)
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

/* The loop hears of it in a while. */
static void deliver_later(struct sim *s, int node)
{
    uint64_t longest = sim_chance_pm(s, 500) ? 100 : 6 * s->plan.disk_us;
    push(s, node, SIM_EV_DISK, s->now + sim_us(s, 5, longest));
}

/* A thread of the journal begins an operation; end_thread checks what came of it. */
static void begin_thread(struct sim *s, struct sim_disk *d)
{
    d->volume.full = sim_disk_full(s, d);
    d->volume.turn++;
    d->thread = true;
}

static void end_thread(struct sim *s, int node, bool had_failed, size_t done)
{
    struct sim_disk *d = disk_of(s, node);
    const struct journal *j = d->journal;
    d->thread = false;
    if (d->volume.sync_failed && !j->failed) {
        sim_fail(s, SIM_CHECK_DISK, "the journal of %s goes on after a failed sync",
                 sim_node_name(s, node));
    }
    if (had_failed && j->done.count > done) {
        sim_fail(s, SIM_CHECK_DISK, "the journal of %s tells what it did after a failed sync",
                 sim_node_name(s, node));
    }
}

static void write_some(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    struct sim_volume *v = &d->volume;
    struct journal *j = d->journal;
    enum journal_op_kind kind = j->taken.head != NULL ? j->taken.head->kind : JOURNAL_OP_RECORD;
    bool had_failed = v->sync_failed;
    size_t done = j->done.count;
    begin_thread(s, d);
    v->armed = v->next != SIM_LIE_NONE && kind != JOURNAL_OP_TRUNCATE &&
               kind != JOURNAL_OP_REPAIR && !v->latent && sim_budget_allows_replica_loss(s, node);
    v->mends = kind == JOURNAL_OP_REPAIR;
    bool again = journal_write_some(j);
    v->armed = false;
    v->mends = false;
    end_thread(s, node, had_failed, done);
    if (!j->failed && !v->dead && kind == JOURNAL_OP_APPEND) {
        v->vouched = v->turn - 1;
    }
    if (v->dead) {
        return;
    }
    d->turn_runs = false;
    if (again || journal_write_take(j)) {
        plan_turn(s, node);
    } else {
        plan_idle_note(s, node);
    }
}

/* The loop comes to the lock: perhaps the writer was there first, and has done its turn. Nobody is
 * killed in the middle of it, or damages what it wrote: that is for turns at their time. */
static void overtake(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    const struct sim_volume *v = &d->volume;
    if (d->ending || d->ended || v->dead || v->ops_left > 0 || d->at_cut != NULL ||
        d->at_switch != NULL || d->stalled_until > s->now ||
        !sim_chance_pm(s, v->syncs_left == 1 ? 300 : 5)) {
        return;
    }
    d->turns++; /* its event comes to nothing */
    write_some(s, node);
    deliver_later(s, node);
}

/* How many segments the journal drops now. */
static uint64_t drops(struct sim_disk *d, const struct journal_op *op)
{
    const struct journal_index *x = &d->journal->index;
    return journal_index_find(x, ts_seq_add(op->seq, 1)).segment - x->start.segment;
}

/* The process is to end at an operation of a truncation, or while several segments are dropped.
 * Whether a truncation goes back to another segment. */
static bool prepare_cut(struct sim_disk *d)
{
    const struct journal_op *op = d->journal->taken.head;
    if (op != NULL && op->kind == JOURNAL_OP_DROP && d->at_cut != NULL && drops(d, op) > 1) {
        d->crash = d->at_cut;
        d->volume.ops_left = 2 + d->at_cut->a % 4;
        d->at_cut = NULL;
    }
    if (op == NULL || op->kind != JOURNAL_OP_TRUNCATE) {
        return false;
    }
    bool across = op->seq.v < d->segment_after.v;
    if (d->at_cut != NULL && (across || (d->at_cut->b >> 4 & 1) == 0)) {
        d->crash = d->at_cut;
        d->volume.ops_left = 1 + d->at_cut->a % 12;
        d->at_cut = NULL;
    }
    return across;
}

static void take_turn(struct sim *s, struct sim_event *ev)
{
    int node = ev->node;
    struct sim_disk *d = disk_of(s, node);
    const struct journal *j = d->journal;
    if (d->stalled_until > s->now) { /* the stall began while the write was in flight */
        sim_strike_once(&d->volume, SIM_FAULT_STALL_DISK);
        ev->at = d->stalled_until + sim_us(s, 50, 500);
        sim_push(s, ev);
        return;
    }
    bool appends = j->taken.head != NULL && j->taken.head->kind == JOURNAL_OP_APPEND;
    bool across = prepare_cut(d);
    uint64_t segment = j->end.pos.segment;
    d->busy = true;
    write_some(s, node);
    if (!sim_disk_killed(s, node)) {
        if (sim_chance_pm(s, 100)) {
            deliver_later(s, node);
        } else {
            deliver(s, node);
        }
        if (d->switched && d->at_switch != NULL && !d->ended && appends) {
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
    bool had_failed = d->volume.sync_failed;
    size_t done = d->journal->done.count;
    d->busy = true;
    begin_thread(s, d);
    journal_write_idle_note(d->journal);
    end_thread(s, node, had_failed, done);
    if (!sim_disk_killed(s, node)) {
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
    if (d->volume.syncs_of_new && d->volume.syncs_left > 0 && !d->turn_runs && ev->b < 50) {
        ev->b++; /* what fails while the writer has something in hand tells more */
        ev->at = s->now + sim_us(s, 50, 300);
        sim_push(s, ev);
        return;
    }
    bool had_failed = d->volume.sync_failed;
    size_t done = d->journal->done.count;
    d->busy = true;
    begin_thread(s, d);
    journal_spare_prepare(d->journal);
    end_thread(s, ev->node, had_failed, done);
    if (!sim_disk_killed(s, ev->node) && d->deliver) { /* the preparing has failed the journal */
        deliver_later(s, ev->node);
    }
    leave(d);
}

void sim_disk_work(struct sim *s, int node, struct net_work *w)
{
    struct sim_disk *d = disk_of(s, node);
    struct sim_volume *v = &d->volume;
    bool had_failed = v->sync_failed;
    size_t done = d->journal->done.count;
    begin_thread(s, d);
    v->armed = v->next != SIM_LIE_NONE && !v->latent && sim_budget_allows_replica_loss(s, node);
    v->armed_new = v->armed;
    w->run(w->arg);
    v->armed = false;
    v->armed_new = false;
    end_thread(s, node, had_failed, done);
}

void sim_disk_event(struct sim *s, struct sim_event *ev)
{
    struct sim_disk *d = disk_of(s, ev->node);
    if (d->journal == NULL) {
        return;
    }
    if (ev->kind == SIM_EV_DISK && ev->a == 0) {
        d->busy = true;
        deliver(s, ev->node);
        leave(d);
    } else if (ev->kind == SIM_EV_DISK) {
        if (ev->a == d->turns && d->turn_runs) { /* not carried out before its time */
            take_turn(s, ev);
        }
    } else if (ev->kind == SIM_EV_SPARE) {
        prepare_spare(s, ev);
    } else if (ev->kind == SIM_EV_IDLE_NOTE) {
        write_idle_note(s, ev->node);
    } else {
        d->busy = true;
        sim_worker_event(d->worker, ev);
        if (!sim_disk_killed(s, ev->node)) {
            deliver(s, ev->node); /* it may have failed the journal */
        }
        leave(d);
    }
}

/* ---- the end of the process ---------------------------------------------------------------- */

/* Carries out a part of what was in flight. */
static void partly(struct sim *s, struct sim_disk *d, void (*turn)(struct sim_disk *d))
{
    d->volume.dead = false;
    d->volume.ops_left = sim_rand(s, 1, sim_chance_pm(s, 800) ? 6 : 20);
    turn(d);
    d->volume.dead = true;
}

static void some_writes(struct sim_disk *d)
{
    struct journal *j = d->journal;
    while (j->taken.head != NULL && journal_write_some(j)) {
    }
}

static void some_spare(struct sim_disk *d)
{
    if (d->journal->spare.state == JOURNAL_SPARE_WANTED) {
        journal_spare_prepare(d->journal);
    }
}

static void some_work(struct sim_disk *d)
{
    sim_worker_run(d->worker);
}

void sim_disk_process_ended(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    perform_close(&s->node[node].replica.p);
    if (d->journal != NULL) {
        d->ending = true;
        d->volume.full = sim_disk_full(s, d);
        d->volume.held = true;
        d->thread = true;
        if (d->volume.dead) {
            /* Nothing comes after the operation at which it was killed. */
        } else if (sim_chance_pm(s, 500)) {
            partly(s, d, some_writes);
            partly(s, d, some_spare);
            partly(s, d, some_work);
        } else {
            partly(s, d, some_work);
            partly(s, d, some_spare);
            partly(s, d, some_writes);
        }
        sim_worker_end(d->worker);
        d->worker = NULL;
        d->thread = false;
        d->volume.held = false;
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
