/* Room on the disk: a group takes no more of it than it may, and leaves some of the file system
 * free. Before the limit people are told, at the limit clients' writes are refused. What the group
 * needs by itself goes on in the room that is kept for it: own entries, takeovers, and snapshots,
 * which make room.
 *
 *   use     = segments of the journal + snapshots + what comes from another replica in parts
 *             + what was kept for people when results differed (perform_divergence.c), until they
 *             remove it
 *   needed  = use + the next snapshot, about as long as the newest
 *
 *             0            80 %        - 4 segments   limit
 *   needed    |-----------------|-------------|---------|
 *             well               short         full      none
 *
 * And likewise with what the file system has left, whoever takes it: the next snapshot and as many
 * segments have to fit in. "Full" refuses what makes the state grow; removing keys takes room in
 * the log, too, but makes some in the end, so that it is refused at "none" only.
 *
 * A secondary tells its primary, which refuses as if the disk were its own, as long as that
 * secondary is required: redundancy is not given up for want of room. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "net/work.h"
#include "replicator/io/disk_msg.h"
#include "replicator/io/journal.h"
#include "replicator/io/perform_replica.h"

/* The file system and the snapshots are looked at so often; the journal's own bytes are known. */
#define LOOK_NS TS_NS_PER_S
/* … and judged when so much more was applied. */
#define JUDGE_BYTES (16U * 1024U)
/* What a peer said holds so long. */
#define TOLD_NS (5 * TS_NS_PER_S)
/* Segments between "full" and the limit: own entries, removals, and what is under way. */
#define KEPT_SEGMENTS 4U
/* Of small file systems what is free counts, not half of them. */
#define LIMIT_LEAST (256ULL << 20)

struct perform_room_job {
    struct net_work work;
    struct perform_replica *r;
    struct journal *journal;
    struct perform_room_look look;
    struct ts_seq newest;
    bool done;
};

/* ---- on a worker ------------------------------------------------------------------------ */

/* Of a file, 0 when it has gone meanwhile. */
static uint64_t size_of(const char *dir, const char *name)
{
    char path[TS_PATH_MAX];
    uint64_t bytes = 0;
    int fd = ts_path(path, NULL, dir, "%s", name) == TS_OK ? ts_disk_open(path, O_RDONLY, 0) : -1;
    if (fd < 0) {
        return 0;
    }
    bytes = ts_disk_size(fd, &bytes) == 0 ? bytes : 0;
    (void)ts_disk_close(fd);
    return bytes;
}

static int on_name(void *arg, const char *name)
{
    struct perform_room_job *job = arg;
    size_t len = strlen(name);
    if (strncmp(name, "diverged-", 9) == 0 || strncmp(name, "suspect-", 8) == 0) {
        job->look.kept += size_of(journal_dir(job->journal), name);
        return 0;
    }
    bool unfinished = len > 4 && strcmp(name + len - 4, ".new") == 0; /* it is the next snapshot */
    if (strncmp(name, "snapshot-", 9) != 0 || unfinished) {
        return 0;
    }
    uint64_t bytes = size_of(journal_dir(job->journal), name);
    unsigned long long seq = strtoull(name + 9, NULL, 10);
    job->look.snapshots += bytes;
    if (seq >= job->newest.v) {
        job->newest.v = seq;
        job->look.newest = bytes;
    }
    return 0;
}

static void on_worker(void *arg)
{
    struct perform_room_job *job = arg;
    const char *dir = journal_dir(job->journal);
    job->done = ts_disk_space(dir, &job->look.total, &job->look.free) == 0 &&
                ts_disk_list(dir, on_name, job) == 0;
}

/* ---- judging ---------------------------------------------------------------------------- */

uint64_t perform_room_limit(const struct perform_replica *r)
{
    uint64_t half = r->room.look.total / 2;
    return r->room.limit != 0 ? r->room.limit : half < LIMIT_LEAST ? LIMIT_LEAST : half;
}

/* How far `needed` is towards a limit of which `kept` bytes are for the group itself. */
static enum disk_room judge(uint64_t needed, uint64_t limit, uint64_t kept)
{
    return needed >= limit              ? DISK_ROOM_NONE
           : needed + kept >= limit     ? DISK_ROOM_FULL
           : needed >= limit / 10U * 8U ? DISK_ROOM_SHORT
                                        : DISK_ROOM_WELL;
}

static enum disk_room worse(enum disk_room a, enum disk_room b)
{
    return a > b ? a : b;
}

static enum disk_room judge_own(struct perform_replica *r)
{
    struct perform_room *room = &r->room;
    const struct perform_room_look *look = &room->look;
    uint64_t journal = journal_disk_bytes(r->journal);
    uint64_t grown = journal > look->journal ? journal - look->journal : 0;
    uint64_t next = look->newest + look->newest / 4;
    uint64_t kept = (uint64_t)KEPT_SEGMENTS * journal_segment_bytes(r->journal);
    room->use = journal + look->snapshots + look->kept;
    room->free = look->free > grown ? look->free - grown : 0;
    enum disk_room own = judge(room->use + next, perform_room_limit(r), kept);
    /* What is left is to be more than the next snapshot; twice as much, and four segments, is well.
     */
    uint64_t least = next + kept / 2;
    return worse(own, room->free < least                ? DISK_ROOM_NONE
                      : room->free < least + kept / 2   ? DISK_ROOM_FULL
                      : room->free < 2 * (least + kept) ? DISK_ROOM_SHORT
                                                        : DISK_ROOM_WELL);
}

enum disk_room perform_room(const struct perform_replica *r, struct ts_nic_id *whose)
{
    const struct perform_room *room = &r->room;
    enum disk_room worst = room->own;
    struct repl_status s;
    whose->v = 0;
    if (room->told == 0) {
        return worst;
    }
    repl_status(r->perform.core, &s);
    for (uint16_t n = 1; n <= TS_NODES_MAX; n++) {
        bool counts = (room->told >> n & 1) != 0 && (s.required_mask >> n & 1) != 0;
        if (counts && room->peer[n].room > worst) {
            worst = room->peer[n].room;
            whose->v = n;
        }
    }
    return worst;
}

bool perform_room_takes(const struct perform_replica *r, bool grows)
{
    struct ts_nic_id whose;
    return perform_room(r, &whose) < (grows ? DISK_ROOM_FULL : DISK_ROOM_NONE);
}

bool perform_room_fits(const struct perform_replica *r, uint64_t bytes, struct ts_why *why)
{
    uint64_t kept = (uint64_t)KEPT_SEGMENTS / 2 * journal_segment_bytes(r->journal);
    uint64_t free = r->room.look.free;
    if (!r->room.known || (free >= kept && free - kept >= bytes)) {
        return true;
    }
    (void)ts_why(why, TS_ERR_NOSPACE,
                 "%s has %llu MiB left, of which %llu MiB are kept for what is there already, and "
                 "%llu MiB are still to come: free space there",
                 journal_dir(r->journal), (unsigned long long)(free >> 20),
                 (unsigned long long)(kept >> 20), (unsigned long long)(bytes >> 20) + 1);
    return false;
}

/* ---- the loop ----------------------------------------------------------------------------- */

static void tell_peers(struct perform_replica *r)
{
    struct disk_msg m = {.type = DISK_MSG_ROOM, .room = r->room.own};
    uint8_t head[DISK_HEAD_MAX];
    struct ts_writer w = ts_writer_init(head, sizeof(head));
    struct repl_status s;
    disk_msg_encode(&m, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    repl_status(r->perform.core, &s);
    for (size_t i = 0; i < s.peer_count; i++) {
        if (s.peers[i].connected) {
            r->perform.table->send(r->perform.ctx, s.peers[i].nic, (uint8_t)m.type,
                                   (struct ts_bytes){head, w.len}, (struct ts_bytes){NULL, 0});
        }
    }
}

static void judged(struct perform_replica *r, enum disk_room own)
{
    struct perform_room *room = &r->room;
    if (own == room->own) {
        return;
    }
    room->own = own;
    struct ts_trace t = {.kind = TS_TRACE_ALARM_DISK_SPACE,
                         .at = room->now,
                         .epoch = repl_epoch(r->perform.core),
                         .seq = repl_applied(r->perform.core),
                         .a = own,
                         .b = room->use};
    r->perform.table->trace(r->perform.ctx, &t);
    r->perform.table->role(r->perform.ctx);
    tell_peers(r);
}

static void worker_done(void *arg)
{
    struct perform_room_job *job = arg;
    struct perform_replica *r = job->r;
    if (!r->ended) {
        r->room.looking = false;
        if (job->done) {
            r->room.look = job->look;
            r->room.known = true;
            judged(r, judge_own(r));
        }
        if (!r->ended && r->room.own != DISK_ROOM_WELL) {
            tell_peers(r); /* again: a word may have been lost */
        }
    }
    free(job);
}

static void begin_look(struct perform_replica *r)
{
    struct perform_room_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return; /* the next one */
    }
    job->r = r;
    job->journal = r->journal;
    job->look.journal = journal_disk_bytes(r->journal);
    r->room.looking = true;
    net_work_queue(journal_uv_loop(r->journal), &job->work, on_worker, worker_done, job);
}

/* What a peer said long ago says nothing. */
static void forget(struct perform_room *room, struct ts_mono now)
{
    for (uint16_t n = 1; n <= TS_NODES_MAX && room->told != 0; n++) {
        if ((room->told >> n & 1) != 0 && !ts_mono_lt(now, room->peer[n].until)) {
            room->told &= ~(1ULL << n);
        }
    }
}

void perform_room_turn(struct perform_replica *r, struct ts_mono now)
{
    struct perform_room *room = &r->room;
    if (!r->started || r->disk_failed) {
        return;
    }
    room->now = now;
    if (!room->looking && !ts_mono_lt(now, room->look_at)) {
        room->look_at = ts_mono_add(now, LOOK_NS);
        uint64_t before = room->told;
        forget(room, now);
        if (before != room->told) {
            r->perform.table->role(r->perform.ctx);
        }
        begin_look(r);
    }
    if (room->known && r->perform.applied_bytes - room->judged_at >= JUDGE_BYTES) {
        room->judged_at = r->perform.applied_bytes;
        judged(r, judge_own(r));
    }
}

struct ts_mono perform_room_deadline(const struct perform_replica *r)
{
    return r->room.looking ? TS_MONO_NEVER : r->room.look_at;
}

enum ts_err perform_room_frame(struct perform_replica *r, struct ts_nic_id peer, uint8_t type,
                               struct ts_bytes frame, struct ts_mono now)
{
    struct disk_msg m;
    enum ts_err err = disk_msg_decode(&m, type, frame);
    if (err != TS_OK || !r->started || r->ended || peer.v == 0 || peer.v > TS_NODES_MAX) {
        return err;
    }
    if (m.type != DISK_MSG_ROOM) {
        perform_repair_message(r, peer, &m);
        return TS_OK;
    }
    struct perform_room *room = &r->room;
    bool said = (room->told >> peer.v & 1) != 0;
    bool news = !said || room->peer[peer.v].room != m.room;
    room->peer[peer.v].room = m.room;
    room->peer[peer.v].until = ts_mono_add(now, TOLD_NS);
    room->told |= 1ULL << peer.v;
    if (news) {
        r->perform.table->role(r->perform.ctx);
    }
    return TS_OK;
}
