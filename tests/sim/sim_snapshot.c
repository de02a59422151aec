/* Snapshots of replicas: the shipped code takes them, and drops what they make needless; here it is
 * seen to it that they are right.
 *
 *   - At the same entry all replicas have the same state, byte for byte: a walk of each tells it.
 *     Who applies an entry at which another replica's snapshot stands is compared there.
 *   - What is loaded is the state that was written, and stands at an entry that was applied.
 *   - What was told to be durable is there at the next start, and whole, unless the disk is
 * damaged. */
#include "base/assert.h"
#include "base/hash.h"
#include "replicator/io/journal.h"
#include "tests/sim/sim.h"

/* ---- states, as walks tell them ----------------------------------------------------------- */

static struct sim_walk *walk_at(struct sim *s, uint64_t seq)
{
    if (seq > s->checks.walk_newest) {
        return NULL; /* as most are that are applied */
    }
    for (size_t i = 0; i < SIM_WALKS_MAX; i++) {
        if (s->checks.walk[i].seq == seq) {
            return &s->checks.walk[i];
        }
    }
    return NULL;
}

static void compare(struct sim *s, int node, uint64_t seq, struct ts_hash content)
{
    struct sim_walk *w = walk_at(s, seq);
    if (w == NULL) {
        return; /* long ago */
    }
    if (w->known && !ts_hash_eq(w->content, content)) {
        sim_fail(s, SIM_CHECK_SNAPSHOT,
                 "the state of %s is another one than a replica had at seq %llu",
                 sim_node_name(s, node), (unsigned long long)seq);
    }
    w->known = true;
    w->content = content;
}

/* A walk from its beginning to its end; false when one is under way. */
static bool walk(const struct sim_replica *r, struct ts_hash *content)
{
    struct svc_out piece = {.max = SVC_PIECE_MAX};
    struct snapshot_trailer sum = {0};
    bool more = true;
    if (r->p.snapshot.walk != NULL) {
        return false;
    }
    struct svc_walk *w = r->p.svc->walk_begin(r->p.state);
    ts_assert(w != NULL);
    while (more) {
        piece.len = 0;
        more = r->p.svc->walk_next(w, &piece);
        snapshot_trailer_add(&sum, (struct ts_bytes){piece.data, piece.len});
    }
    r->p.svc->walk_end(w);
    svc_out_free(&piece);
    *content = sum.content;
    return true;
}

void sim_snapshot_passed(struct sim *s, int node, struct ts_seq seq)
{
    struct ts_hash content;
    if (walk_at(s, seq.v) != NULL && walk(&s->node[node].replica, &content)) {
        compare(s, node, seq.v, content);
    }
}

/* ---- what the shipped code tells ------------------------------------------------------------- */

static bool is_over(const struct sim_replica *r)
{
    return r->disk.ending || r->disk.ended || r->core == NULL;
}

void sim_snapshot_begins(void *ctx, const struct repl_mark *mark)
{
    struct sim_replica *r = ctx;
    struct sim *s = r->sim;
    struct sim_checks *c = &s->checks;
    uint64_t seq = mark->pos.seq.v;
    if (seq != r->applied_to || seq > c->entries) {
        sim_fail(s, SIM_CHECK_SNAPSHOT, "%s takes a snapshot at seq %llu, and has applied %llu",
                 sim_node_name(s, r->node), (unsigned long long)seq,
                 (unsigned long long)r->applied_to);
    }
    r->disk.could_drop = r->p.snapshot.may_drop;
    if (walk_at(s, seq) == NULL) {
        c->walk[c->walk_next++ % SIM_WALKS_MAX] = (struct sim_walk){.seq = seq};
        c->walk_newest = seq > c->walk_newest ? seq : c->walk_newest;
    }
    for (size_t i = 0; i < SIM_FLIPPED_MAX; i++) { /* one before, that was set aside */
        r->disk.flipped[i].at =
            ts_seq_eq(r->disk.flipped[i].snapshot, mark->pos.seq) ? 0 : r->disk.flipped[i].at;
    }
    if (r->flipped_at != 0) {
        r->disk.flipped[r->disk.flipped_next++ % SIM_FLIPPED_MAX] =
            (struct sim_flipped){mark->pos.seq, r->flipped_at, r->flipped_by};
    }
    sim_note(s, r->node, "begins a snapshot at seq %llu", (unsigned long long)seq);
}

void sim_snapshot_taken(void *ctx, const struct repl_mark *mark, const struct snapshot_trailer *t)
{
    struct sim_replica *r = ctx;
    if (is_over(r)) {
        return;
    }
    struct ts_seq drops = r->p.snapshot.may_drop;
    if (ts_seq_lt(r->disk.could_drop, drops) && ts_seq_eq(drops, r->disk.told_broken)) {
        sim_fail(r->sim, SIM_CHECK_SNAPSHOT,
                 "%s needs its journal no more up to its snapshot at seq %llu, which is damaged",
                 sim_node_name(r->sim, r->node), (unsigned long long)drops.v);
    }
    r->sim->stats.snapshots++;
    r->disk.told.snapshot = mark->pos.seq;
    r->disk.volume.snapshots++;
    compare(r->sim, r->node, mark->pos.seq.v, t->content);
    sim_note(r->sim, r->node, "has a snapshot at seq %llu", (unsigned long long)mark->pos.seq.v);
}

static bool is_good(const struct sim_disk *d)
{
    return !d->lost && !d->volume.latent && !d->volume.dead;
}

void sim_snapshot_failed(void *ctx, enum ts_err err, const char *text)
{
    const struct sim_replica *r = ctx;
    const struct sim_disk *d = &r->disk;
    sim_note(r->sim, r->node, "takes no snapshot: %s", text);
    bool full = err == TS_ERR_NOSPACE && d->volume.found_full;
    if (!full && is_good(d)) {
        sim_fail(r->sim, SIM_CHECK_DISK, "%s cannot write a snapshot to a good disk: %s",
                 sim_node_name(r->sim, r->node), text);
    }
}

/* What was sent is as good as the disk that it is of. */
void sim_transfer_failed(void *ctx, struct ts_nic_id from, enum ts_err err, const char *text)
{
    const struct sim_replica *r = ctx;
    const struct sim_disk *d = &r->disk;
    bool full = err == TS_ERR_NOSPACE && (d->volume.found_full || sim_room_was_tight(d));
    bool sent_bad = err == TS_ERR_CORRUPT && !is_good(&r->sim->node[from.v - 1].replica.disk);
    sim_note(r->sim, r->node, "gets no snapshot from %s: %s",
             sim_node_name(r->sim, (int)from.v - 1), text);
    if (!full && !sent_bad && is_good(d)) {
        sim_fail(r->sim, SIM_CHECK_DISK, "%s cannot keep a snapshot on a good disk: %s",
                 sim_node_name(r->sim, r->node), text);
    }
}

void sim_snapshot_broken(void *ctx, const char *text)
{
    const struct sim_replica *r = ctx;
    const struct sim_disk *d = &r->disk;
    sim_note(r->sim, r->node, "%s", text);
    if (!d->lost && !d->volume.latent && !d->contested && !d->volume.dead) {
        sim_fail(r->sim, SIM_CHECK_DISK, "a snapshot on the good disk of %s is broken: %s",
                 sim_node_name(r->sim, r->node), text);
    }
}

void sim_snapshot_loaded(void *ctx, const struct snapshot_info *info)
{
    struct sim_replica *r = ctx;
    struct sim *s = r->sim;
    const struct repl_mark *mark = &info->header.mark;
    struct ts_hash content = {0, 0};
    s->stats.snapshots_loaded++;
    r->disk.loaded = mark->pos.seq;
    sim_told_add(&r->disk.told, mark->pos.seq, mark->pos.hash);
    sim_check_goes_on(s, r->node, mark);
    if (!walk(r, &content) || !ts_hash_eq(content, info->trailer.content)) {
        sim_fail(s, SIM_CHECK_SNAPSHOT, "%s loads another state at seq %llu than was written",
                 sim_node_name(s, r->node), (unsigned long long)mark->pos.seq.v);
    }
    compare(s, r->node, mark->pos.seq.v, content);
    for (int n = 1; n <= s->nics; n++) {
        const struct sim_disk *d = &s->node[n].replica.disk;
        for (size_t i = 0; i < SIM_FLIPPED_MAX && (n == r->node || info->header.installed); i++) {
            if (d->flipped[i].at != 0 && ts_seq_eq(d->flipped[i].snapshot, mark->pos.seq)) {
                r->flipped_at = d->flipped[i].at; /* its digest says so */
                r->flipped_by = d->flipped[i].by;
            }
        }
    }
    if (info->header.installed) {
        r->disk.volume.snapshots = 1;
        if (ts_seq_lt(r->disk.told.seq, mark->pos.seq)) {
            r->disk.told.seq = mark->pos.seq;
            r->disk.told.hash = mark->pos.hash;
        }
    }
    sim_note(s, r->node, "has loaded its snapshot at seq %llu",
             (unsigned long long)mark->pos.seq.v);
}

void sim_snapshot_installed(void *ctx, struct ts_seq seq)
{
    const struct sim_replica *r = ctx;
    r->sim->stats.installed++;
    sim_note(r->sim, r->node, "has got a snapshot at seq %llu", (unsigned long long)seq.v);
}

enum ts_err sim_snapshot_load(void *arg, const char *dir, const struct journal_info *info,
                              struct journal_start *from, struct ts_why *why)
{
    struct sim_replica *r = arg;
    return perform_snapshot_load(&r->p, dir, info, from, why);
}

void sim_snapshot_check_found(struct sim *s, int node)
{
    struct sim_disk *d = &s->node[node].replica.disk;
    if (ts_seq_lt(d->loaded, d->told.snapshot) && sim_disk_good(d)) {
        sim_fail(s, SIM_CHECK_DISK,
                 "%s had told that its snapshot at seq %llu is durable, and starts from the one at "
                 "%llu",
                 sim_node_name(s, node), (unsigned long long)d->told.snapshot.v,
                 (unsigned long long)d->loaded.v);
    }
    const struct journal_info *found = journal_info(d->journal);
    s->stats.starts_behind += found->base.v > 0;
}
