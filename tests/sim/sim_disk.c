/* A replica's disk: the shipped journal on a volume of sim_files.c; its calls and completions.
 * sim_disk_turn.c has its threads, sim_disk_start.c its starts. */
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

void sim_disk_dir(char out[8], int node, char kind)
{
    (void)snprintf(out, 8, "/%d/%c", node, kind);
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

struct journal_callbacks sim_disk_callbacks(struct sim_replica *r)
{
    return (struct journal_callbacks){.persisted = on_persisted,
                                      .truncated = on_truncated,
                                      .record_persisted = on_record_persisted,
                                      .failed = on_failed,
                                      .arg = r};
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
