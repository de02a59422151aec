/* A replica's disk: the shipped journal on a volume of sim_files.c; its calls and completions.
 * sim_disk_turn.c has its threads, sim_disk_start.c its starts. */
#include "base/assert.h"
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

/* ---- completions ------------------------------------------------------------------------------
 */

static bool over(const struct sim_replica *r)
{
    return r->disk.ending || r->disk.ended || r->core == NULL;
}

static void on_persisted(void *arg, struct ts_seq seq)
{
    struct sim_replica *r = arg;
    if (over(r)) {
        return;
    }
    r->disk.told.seq = seq;
    if (!sim_told_hash(&r->disk.told, seq, &r->disk.told.hash)) {
        sim_fail(r->sim, SIM_CHECK_DISK, "the journal told of entry %llu, where no batch ends",
                 (unsigned long long)seq.v);
    }
    perform_disk_persisted(&r->p, seq);
}

static void on_truncated(void *arg, struct ts_seq after)
{
    struct sim_replica *r = arg;
    if (!over(r)) {
        perform_disk_truncated(&r->p, after);
    }
}

static void on_record_persisted(void *arg, uint64_t token)
{
    struct sim_replica *r = arg;
    if (over(r)) {
        return;
    }
    if (token > 0) {
        r->disk.told.floor.v = token;
    } else {
        r->disk.start.confirmed = true; /* perform_disk_confirm */
    }
    perform_disk_record_persisted(&r->p, token);
}

static void on_repaired(void *arg, bool mended)
{
    struct sim_replica *r = arg;
    if (!over(r)) {
        perform_disk_repaired(&r->p, mended);
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
    if (err != TS_ERR_NOSPACE) {
        if (!d->lost && !d->volume.latent) {
            sim_fail(s, SIM_CHECK_DISK, "the journal of %s failed on a good disk: %s",
                     sim_node_name(s, r->node), text);
        }
        d->lost = true;
    }
    perform_disk_failed(&r->p, err, text);
}

struct journal_callbacks sim_disk_callbacks(struct sim_replica *r)
{
    return (struct journal_callbacks){.persisted = on_persisted,
                                      .truncated = on_truncated,
                                      .record_persisted = on_record_persisted,
                                      .repaired = on_repaired,
                                      .failed = on_failed,
                                      .arg = r};
}

/* ---- calls --------------------------------------------------------------------------------------
 */

void sim_disk_append(struct sim *s, int node, const struct repl_batch *b, struct ts_hash hash,
                     struct ts_seq committed)
{
    struct sim_disk *d = disk_of(s, node);
    sim_told_add(&d->told, b->last, hash);
    sim_told_know(&d->told, hash);
    perform_disk_append(&replica_at(s, node)->p, b, hash, committed);
}

void sim_disk_truncate(struct sim *s, int node, struct repl_pos end)
{
    sim_told_cut(&disk_of(s, node)->told, end.seq, end.hash);
    perform_disk_truncate(&replica_at(s, node)->p, end);
}

void sim_disk_refuse(struct sim *s, int node, const char *reason)
{
    char dir[8];
    sim_disk_dir(dir, node, 'r');
    ts_dir_refuse(dir, reason);
    (void)s;
}

/* Now and then as with too many reads at once. */
void sim_disk_fetch(struct sim *s, int node, int peer, struct ts_seq after, size_t bytes_max)
{
    struct perform_replica *p = &replica_at(s, node)->p;
    struct ts_nic_id to = {(uint16_t)peer};
    if (disk_of(s, node)->at_fetch != NULL && repl_has_successor(p->perform.core)) {
        sim_strike_fetch(s, node, after);
    }
    if (sim_chance_pm(s, 20)) {
        perform_disk_fetch_refused(p, to, after, TS_ERR_BUSY);
    } else {
        perform_disk_fetch(p, to, after, bytes_max < FETCH_MAX ? bytes_max : FETCH_MAX);
    }
}
