/* A replica's disk: starts, and what faults do to it.
 *
 * After each start this file compares what the journal found with what it had told before: nothing
 * that was told to be durable is missing, nothing is there that was never appended. A journal may
 * refuse a disk that was damaged, no other. */
#include "base/assert.h"
#include "replicator/io/journal_internal.h"
#include "replicator/io/replica_record.h"
#include "tests/sim/sim.h"

static struct sim_replica *replica_at(struct sim *s, int node)
{
    return &s->node[node].replica;
}

static struct sim_disk *disk_of(struct sim *s, int node)
{
    return &s->node[node].replica.disk;
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
    return perform_disk_replay(&r->p, batch, commit)
               ? TS_OK
               : ts_why(why, TS_ERR_CORRUPT, "a batch does not fit the log before it");
}

/* A journal that does not open: the disk is lost, or full, or the process came not that far. */
static void judge_refusal(struct sim *s, int node, enum ts_err err, const char *text)
{
    struct sim_disk *d = disk_of(s, node);
    sim_note(s, node, "the journal is refused: %s", text);
    if (err == TS_ERR_NOSPACE && d->volume.found_full) {
        return;
    }
    bool usable = !d->volume.latent || d->volume.spared;
    if (!d->lost && !d->out && usable && !d->contested) {
        sim_fail(s, SIM_CHECK_DISK, "the journal of %s refuses a good disk: %s",
                 sim_node_name(s, node), text);
    }
    d->lost = true;
}

uint32_t sim_disk_segment_bytes(const struct sim *s)
{
    uint32_t bytes = JOURNAL_SEGMENT_BYTES_MIN;
    for (size_t i = 0; i < s->plan.fault_count; i++) {
        const struct sim_fault *f = &s->plan.fault[i];
        uint32_t need = f->kind != SIM_FAULT_LONG ? 0
                        : sim_load_is_huge(f->a)  ? REPL_BATCH_BYTES_MAX + (1U << 17)
                                                  : 1U << 18;
        bytes = need > bytes ? need : bytes;
    }
    return bytes;
}

/* Small segments: the log goes on in the next one often. Long entries must fit. */
static struct journal_options options_of(const struct sim *s)
{
    return (struct journal_options){.segment_bytes = sim_disk_segment_bytes(s),
                                    .begin = sim_snapshot_load};
}

bool sim_disk_open(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    struct sim_volume *v = &d->volume;
    struct journal_options options = options_of(s);
    struct journal_callbacks callbacks = sim_disk_callbacks(replica_at(s, node));
    char dir[8];
    struct ts_why why = {{0}};
    sim_disk_dir(dir, node, 'r');
    d->told.log_count = 0;
    d->segment_bytes = options.segment_bytes;
    d->over = 0;
    d->scrub_at = 0;
    d->scrub_before = 0;
    d->loaded.v = 0;
    v->full = sim_disk_full(s, d);
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
        (void)sim_disk_killed(s, node);
        return false;
    }
    if (err != TS_OK) {
        judge_refusal(s, node, err, why.text);
        return false;
    }
    if (v->sync_failed) {
        sim_fail(s, SIM_CHECK_DISK, "the journal of %s opened although a sync failed",
                 sim_node_name(s, node));
    }
    d->journal = j;
    err = perform_disk_opened(&replica_at(s, node)->p, j);
    ts_assert(err == TS_OK);
    d->floor = replica_at(s, node)->p.floor;
    if (!d->old) {
        check_found(s, node, d->floor);
        sim_snapshot_check_found(s, node);
    }
    d->told.snapshot = d->loaded;
    /* All of it was read, and is whole, but for a snapshot that this start had no need of. */
    v->latent = v->latent && (sim_volume_lies(v) || sim_volume_hides(v, s->now + 1) != NULL);
    d->told_bad = false;
    d->told_broken.v = 0;
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
    return !d->lost && !d->out && !d->volume.latent;
}

void sim_disk_format(struct sim *s, int node, struct ts_incarnation incarnation,
                     struct ts_incarnation replaces)
{
    struct sim_disk *d = disk_of(s, node);
    struct journal_options options = options_of(s);
    char dir[8];
    struct ts_why why;
    d->volume.sim = s;
    d->volume.node = node;
    d->kept.sim = s;
    d->kept.node = node;
    d->volume.has_log = true;
    d->incarnation = incarnation;
    sim_disk_dir(dir, node, 'r');
    uint8_t bytes[REPLICA_RECORD_BYTES];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    replica_record_encode(&(struct replica_record){.replaces = replaces}, &w);
    enum ts_err err =
        journal_format(dir, d->incarnation, (struct ts_group_id){SIM_GROUP},
                       (struct ts_bytes){bytes, replaces.v == 0 ? 0 : w.len}, &options, &why);
    ts_assert(err == TS_OK);
    d->start.confirmed = true;
}

void sim_disk_free(struct sim *s, int node)
{
    struct sim_disk *d = disk_of(s, node);
    d->busy = false; /* the run may have been left in the middle */
    sim_disk_process_ended(s, node);
    sim_disk_drop(d);
}

void sim_disk_drop(struct sim_disk *d)
{
    sim_volume_free(&d->volume);
    sim_volume_free(&d->kept);
    sim_told_free(&d->told);
    *d = (struct sim_disk){0};
}
