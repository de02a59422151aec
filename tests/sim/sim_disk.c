/* A replica's disk: the journal and its small record.
 *
 * As the journal's writing thread does it, one write is in flight; what is asked for meanwhile
 * forms the next: a run of appends together, a cut or a record alone. They become durable in order.
 *   - A process that is killed leaves a part of what was in flight in the page cache. The next
 *     start reads it and makes it durable before anything is said (R2.11).
 *   - Power that is lost takes any part of that away again: the log keeps a prefix, since a batch
 *     behind a missing or torn one does not continue the log and is cut off at the next start. What
 *     was reported as durable stays.
 *   - A failed fsync ends the disk's use for good. A full disk ends the process only.
 *   - A disk with a damaged batch before the durable position, a blank one, an abandoned one is
 *     refused at the start. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

static struct sim_disk *disk_of(struct sim *s, int node)
{
    return &s->node[node].replica.disk;
}

/* ---- lists of writes ------------------------------------------------------------------------ */

static struct sim_op *op_at(const struct sim_ops *l, size_t i)
{
    return &l->op[l->head + i];
}

static void ops_push(struct sim_ops *l, const struct sim_op *op)
{
    if (l->head + l->count == l->cap) {
        if (l->head > l->cap / 2) {
            memmove(l->op, l->op + l->head, l->count * sizeof(*l->op));
        } else {
            l->cap = l->cap == 0 ? 64 : 2 * l->cap;
            struct sim_op *more = malloc(l->cap * sizeof(*more));
            ts_assert(more != NULL);
            if (l->count > 0) {
                memcpy(more, l->op + l->head, l->count * sizeof(*more));
            }
            free(l->op);
            l->op = more;
        }
        l->head = 0;
    }
    l->op[l->head + l->count++] = *op;
}

static struct sim_op ops_pop(struct sim_ops *l)
{
    ts_assert(l->count > 0);
    l->count--;
    struct sim_op op = l->op[l->head++];
    l->head = l->count == 0 ? 0 : l->head;
    return op;
}

static void ops_clear(struct sim *s, struct sim_ops *l)
{
    while (l->count > 0) {
        sim_bytes_drop(s, ops_pop(l).bytes);
    }
}

static void ops_free(struct sim *s, struct sim_ops *l)
{
    ops_clear(s, l);
    free(l->op);
    *l = (struct sim_ops){0};
}

static void image_clear(struct sim *s, struct sim_image *image)
{
    ops_clear(s, &image->log);
    image->floor.v = 0;
    image->start = (struct sim_start){.confirmed = true};
    image->valid = false;
}

static void image_copy(struct sim *s, struct sim_image *to, const struct sim_image *from)
{
    image_clear(s, to);
    to->floor = from->floor;
    to->start = from->start;
    to->valid = true;
    for (size_t i = 0; i < from->log.count; i++) {
        struct sim_op op = *op_at(&from->log, i);
        op.bytes = sim_bytes_ref(op.bytes);
        ops_push(&to->log, &op);
    }
}

/* ---- becoming durable ----------------------------------------------------------------------- */

/* Takes the operation's bytes. */
static void make_durable(struct sim *s, struct sim_disk *d, const struct sim_op *op)
{
    struct sim_ops *log = &d->durable.log;
    if (op->kind == SIM_OP_APPEND) {
        ops_push(log, op);
    } else if (op->kind == SIM_OP_TRUNCATE) {
        while (log->count > 0 && ts_seq_lt(op->seq, op_at(log, log->count - 1)->seq)) {
            log->count--;
            sim_bytes_drop(s, op_at(log, log->count)->bytes);
        }
    } else if (op->kind == SIM_OP_FLOOR) {
        d->durable.floor = op->floor;
    } else {
        d->durable.start.confirmed = true;
    }
}

/* A random part of a list, from its beginning. */
static size_t some_of(struct sim *s, size_t count)
{
    return count == 0 ? 0 : (size_t)sim_rand(s, 0, count);
}

static void begin_group(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    if (d->group > 0 || d->queued.count == 0) {
        return;
    }
    enum sim_op_kind kind = op_at(&d->queued, 0)->kind;
    d->group = 1;
    while (kind == SIM_OP_APPEND && d->group < d->queued.count &&
           op_at(&d->queued, d->group)->kind == kind) {
        d->group++;
    }
    uint64_t typical = s->plan.disk_us * (d->slow == 0 ? 1 : d->slow);
    uint64_t done = s->now + sim_us(s, typical / 2, typical * 2);
    if (sim_chance_pm(s, 15)) {
        done += sim_us(s, 1000, 30000); /* as the tails of fsync go */
    }
    if (d->stalled_until > s->now) {
        done += d->stalled_until - s->now;
    }
    sim_push(s, &(struct sim_event){.kind = SIM_EV_DISK,
                                    .at = done,
                                    .node = (uint8_t)node,
                                    .proc = SIM_REPLICA,
                                    .life = s->node[node].proc[SIM_REPLICA].life});
}

void sim_disk_push(struct sim *s, int node, const struct sim_op *op)
{
    struct sim_disk *d = disk_of(s, node);
    ops_push(&d->queued, op);
    begin_group(s, node);
}

static void fail_disk(struct sim *s, int node, bool full)
{
    struct sim_disk *d = disk_of(s, node);
    struct repl_event ev = {.kind = REPL_EV_DISK_FAILED};
    if (full) {
        sim_note(s, node, "the journal's disk is full");
    } else {
        sim_note(s, node, "the journal's fsync failed: the disk is abandoned");
        d->abandoned = true;
        d->lost = true;
        d->fail_next = false;
    }
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    sim_feed(s, node, &ev);
    if (s->node[node].proc[SIM_REPLICA].life == life) {
        sim_proc_end(s, node, SIM_REPLICA, 1); /* as the daemon: its end is the word for others */
    }
}

/* A completion for positions that were cut off meanwhile is not told, as the journal does. */
static struct ts_seq told_end(const struct sim_disk *d, struct ts_seq end)
{
    for (size_t i = 0; i < d->queued.count; i++) {
        const struct sim_op *op = op_at(&d->queued, i);
        if (op->kind == SIM_OP_TRUNCATE) {
            end = ts_seq_min(end, op->seq);
        }
    }
    return end;
}

void sim_disk_event(struct sim *s, struct sim_event *ev)
{
    int node = ev->node;
    struct sim_disk *d = disk_of(s, node);
    struct repl_event e = {.kind = REPL_EV_PERSISTED};
    ts_assert(d->group > 0);
    enum sim_op_kind kind = op_at(&d->queued, 0)->kind;
    if (d->stalled_until > s->now) { /* the stall began while the write was in flight */
        ev->at = d->stalled_until + sim_us(s, 50, 500);
        sim_push(s, ev);
        return;
    }
    if (d->fail_next && !sim_budget_allows_replica_loss(s, node)) {
        d->fail_next = false;
        s->stats.spared[SIM_FAULT_FSYNC_ERROR]++;
    }
    if (d->fail_next || d->full_until > s->now) {
        fail_disk(s, node, !d->fail_next);
        return;
    }
    struct ts_seq end = {0};
    for (; d->group > 0; d->group--) {
        struct sim_op op = ops_pop(&d->queued);
        make_durable(s, d, &op);
        end = op.seq;
        e.u.floor = op.floor;
    }
    begin_group(s, node);
    if (kind == SIM_OP_CONFIRM) {
        sim_replica_confirmed(s, node);
    } else if (kind == SIM_OP_FLOOR) {
        e.kind = REPL_EV_FLOOR_PERSISTED;
        sim_feed(s, node, &e);
    } else if (kind == SIM_OP_APPEND) {
        end = told_end(d, end);
        if (end.v > 0) {
            e.u.persisted = end;
            sim_feed(s, node, &e);
        }
    }
}

/* ---- ends and starts ------------------------------------------------------------------------ */

void sim_disk_process_ended(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    size_t kept = some_of(s, d->group);
    for (size_t i = 0; i < kept; i++) {
        struct sim_op op = ops_pop(&d->queued);
        ops_push(&d->cached, &op);
    }
    ops_clear(s, &d->queued);
    d->group = 0;
}

void sim_disk_power_lost(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    size_t kept = some_of(s, d->cached.count);
    for (size_t i = 0; i < kept; i++) {
        struct sim_op op = ops_pop(&d->cached);
        make_durable(s, d, &op);
    }
    ops_clear(s, &d->cached);
}

void sim_disk_begin_start(struct sim *s, struct sim_start *start)
{
    if (start->confirmed) {
        *start = (struct sim_start){.number = start->number + 1, .instance = {++s->lives}};
    }
}

bool sim_disk_open(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    const char *why = NULL;
    why = d->damaged ? "a batch before the durable position is damaged" : why;
    why = d->blank ? "the disk is blank" : why;
    why = d->abandoned ? "the disk is abandoned" : why;
    why = d->refused ? "the voters refused the disk" : why;
    why = d->full_until > s->now ? "the disk is full" : why;
    if (why != NULL) {
        sim_note(s, node, "the journal is refused: %s", why);
        return false;
    }
    sim_disk_begin_start(s, &d->durable.start); /* R1.8, before anything is read */
    while (d->cached.count > 0) {
        struct sim_op op = ops_pop(&d->cached);
        make_durable(s, d, &op); /* R2.11 */
    }
    s->node[node].replica.incarnation = d->incarnation;
    return true;
}

void sim_disk_replay(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    for (size_t i = 0; i < d->durable.log.count; i++) {
        const struct sim_op *op = op_at(&d->durable.log, i);
        struct repl_event ev = {.kind = REPL_EV_RESTORE_COMMITTED};
        ev.u.committed = op->committed;
        sim_feed(s, node, &ev);
        ev = (struct repl_event){.kind = REPL_EV_RESTORE};
        ev.u.restore = (struct ts_bytes){op->bytes, op->len};
        sim_feed(s, node, &ev);
    }
}

void sim_disk_fetch(struct sim *s, int node, int peer, struct ts_seq after, size_t bytes_max)
{
    const struct sim_ops *log = &disk_of(s, node)->durable.log;
    struct sim_event ev = {.kind = SIM_EV_FETCHED,
                           .at = s->now + sim_us(s, 100, 2000),
                           .node = (uint8_t)node,
                           .proc = SIM_REPLICA,
                           .life = s->node[node].proc[SIM_REPLICA].life,
                           .peer = (uint8_t)peer,
                           .a = after.v};
    size_t max = bytes_max < 40000 ? bytes_max : 40000; /* small pieces: several reads */
    size_t lo = 0;
    size_t hi = log->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (ts_seq_lt(after, op_at(log, mid)->seq)) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    bool refused = sim_chance_pm(s, 20); /* too many reads at once */
    size_t end = lo;
    for (; !refused && end < log->count && (end == lo || ev.len + op_at(log, end)->len <= max);
         end++) {
        ev.len += op_at(log, end)->len;
    }
    ev.bytes = sim_bytes_new(s, ev.len);
    size_t at = 0;
    for (size_t i = lo; i < end; i++) {
        memcpy(ev.bytes + at, op_at(log, i)->bytes, op_at(log, i)->len);
        at += op_at(log, i)->len;
    }
    sim_push(s, &ev);
}

/* ---- what faults do ------------------------------------------------------------------------- */

void sim_disk_keep_image(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    image_copy(s, &d->kept, &d->durable);
}

void sim_disk_put_image(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    if (d->kept.valid) {
        ops_clear(s, &d->cached);
        image_copy(s, &d->durable, &d->kept);
        d->lost = true;
        d->old = true;
    }
}

void sim_disk_blank(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    ops_clear(s, &d->cached);
    image_clear(s, &d->durable);
    d->blank = true;
    d->lost = true;
}

void sim_disk_format(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    d->incarnation = s->genesis.members.r[node - 1].incarnation;
    d->durable.valid = true;
    d->durable.start.confirmed = true;
}

void sim_disk_free(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    ops_free(s, &d->durable.log);
    ops_free(s, &d->kept.log);
    ops_free(s, &d->cached);
    ops_free(s, &d->queued);
    *d = (struct sim_disk){0};
}
