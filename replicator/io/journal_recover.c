/* Finding the log end at open (R6, R2.11).
 *
 * First all header rings are read: the newest note says how far the log was
 * durable. Then the records are read in order, from the first segment that is
 * there: its base must not be behind what the caller has from a snapshot. The
 * log ends at the first place where no record continues it. When that is before the durable
 * position, data that was acknowledged is damaged: nothing is touched, the journal is refused.
 * Otherwise what stands behind the end is an unfinished write, or a leftover of
 * one: it was never acknowledged, and is overwritten with zeros so that it can
 * never be taken for a continuation later.
 * Source: Alagappan et al., "Protocol-Aware Recovery for Consensus-Based
 * Storage", FAST'18 (telling a torn write from a corrupt one). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "replicator/io/journal_internal.h"

/* Everything found on the way. */
struct recovery {
    struct journal *j;
    uint64_t first_segment;      /* lowest number there is … */
    uint64_t last_segment;       /* … and highest */
    struct journal_place *bases; /* before the first record of each */
    struct journal_place from;   /* what the caller has already, … */
    bool replaces;               /* … instead of what is here, … */
    bool begun;                  /* … which does not begin behind it, … */
    bool from_seen;              /* … which the log goes through */
    struct journal_note note;
    bool has_note;
    struct journal_position end;
    bool durable_seen; /* the log went through the noted position, with its hash */
    struct ts_seq commit;
    journal_replay_fn *replay;
    void *replay_arg;
    /* the segment that is being looked at */
    int fd;
    uint32_t size;
    uint8_t *data; /* its content, as far as it was read */
};

/* ---- which segments there are ---- */

/* The number in "segment-000012"; 0 when the name is none. */
static uint64_t number_of_name(const char *name)
{
    if (strncmp(name, "segment-", 8) != 0 || name[8] < '0' || name[8] > '9') {
        return 0;
    }
    char *end = NULL;
    unsigned long long n = strtoull(name + 8, &end, 10);
    return *end == 0 ? n : 0;
}

static bool is_unfinished(const char *name)
{
    size_t len = strlen(name);
    return strncmp(name, "segment-", 8) == 0 && len > 4 && strcmp(name + len - 4, ".new") == 0;
}

/* What the names in a directory tell. */
struct names {
    const char *dir;
    uint64_t lowest;
    uint64_t highest;
    uint64_t count;
    enum ts_err err;
    struct ts_why *why;
};

/* Counts the segments, finds the lowest and the highest, removes half-prepared ones. */
static int look_at_name(void *arg, const char *name)
{
    struct names *l = arg;
    uint64_t n = number_of_name(name);
    l->count += n != 0 ? 1 : 0;
    l->highest = n > l->highest ? n : l->highest;
    l->lowest = n != 0 && (n < l->lowest || l->lowest == 0) ? n : l->lowest;
    if (is_unfinished(name)) {
        char path[TS_PATH_MAX];
        l->err = ts_path(path, l->why, l->dir, "%s", name);
        if (l->err == TS_OK && ts_disk_unlink(path) != 0) {
            l->err = ts_why_sys(l->why, errno, "cannot remove %s", path);
        }
    }
    return l->err == TS_OK ? 0 : 1;
}

static enum ts_err find_segments(struct recovery *v, struct ts_why *why)
{
    struct names l = {.dir = v->j->dir, .why = why};
    if (ts_disk_list(v->j->dir, look_at_name, &l) < 0) {
        return ts_why_sys(why, errno, "cannot open the journal %s", v->j->dir);
    }
    if (l.err != TS_OK) {
        return l.err;
    }
    if (l.count == 0) {
        return ts_why(
            why, TS_ERR_NOT_FOUND,
            "no segment is in %s: this disk has lost its log; a blank disk is never taken "
            "for an empty one: remove the directory and enrol a new disk",
            v->j->dir);
    }
    v->first_segment = l.lowest;
    v->last_segment = l.highest;
    v->bases = calloc(l.count, sizeof(*v->bases));
    if (v->bases == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to open the journal in %s", v->j->dir);
    }
    for (uint64_t n = v->first_segment; n <= v->last_segment; n++) {
        char path[TS_PATH_MAX];
        enum ts_err err = journal_segment_path(path, v->j->dir, n, why);
        if (err != TS_OK) {
            return err;
        }
        if (ts_disk_exists(path, NULL) != 0) {
            return ts_why(why, TS_ERR_CORRUPT,
                          "%s is missing while a later segment is there; put it back, or let this "
                          "replica be rebuilt from its peer, on a new disk",
                          path);
        }
    }
    return TS_OK;
}

/* ---- one segment ---- */

static void close_segment(struct recovery *v)
{
    if (v->fd >= 0) {
        (void)ts_disk_close(v->fd);
        v->fd = -1;
    }
    free(v->data);
    v->data = NULL;
}

/* Opens a segment and reads its bytes from..to (0: to its end) to their places in v->data. */
static enum ts_err load_segment(struct recovery *v, uint64_t number, uint32_t from, uint32_t to,
                                struct ts_why *why)
{
    close_segment(v);
    struct journal_header want = {
        .incarnation = v->j->info.incarnation, .group = v->j->info.group, .number = number};
    enum ts_err err = journal_segment_open(v->j->dir, &want, &v->fd, &v->size, why);
    if (err != TS_OK) {
        return err;
    }
    to = to == 0 ? v->size : to;
    v->data = malloc(to);
    if (v->data == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to read segment %" PRIu64 " of %s", number,
                      v->j->dir);
    }
    char path[TS_PATH_MAX];
    err = journal_segment_path(path, v->j->dir, number, why);
    return err != TS_OK ? err : ts_fd_read_at(v->fd, path, v->data + from, to - from, from, why);
}

/* Keeps the newest note. Unreadable blocks are blank, torn, or damaged: the one before counts then,
 * which can only claim less. */
static void read_ring(struct recovery *v, uint64_t number)
{
    for (uint32_t i = 0; i < JOURNAL_RING_BLOCKS; i++) {
        struct journal_note n;
        const uint8_t *block = v->data + (size_t)JOURNAL_BLOCK * (1U + i);
        if (journal_note_decode(&n, block, JOURNAL_BLOCK) != TS_OK || n.segment != number ||
            !ts_incarnation_eq(n.incarnation, v->j->info.incarnation)) {
            continue;
        }
        if (!v->has_note || n.counter > v->note.counter) {
            v->note = n;
            v->has_note = true;
        }
    }
}

static enum ts_err read_rings(struct recovery *v, struct ts_why *why)
{
    for (uint64_t n = v->first_segment; n <= v->last_segment; n++) {
        enum ts_err err = load_segment(v, n, JOURNAL_BLOCK, JOURNAL_DATA_START, why);
        if (err != TS_OK) {
            return err;
        }
        read_ring(v, n);
    }
    return TS_OK;
}

/* ---- the records ---- */

/* The log goes through this place. */
static void pass(struct recovery *v)
{
    if (v->has_note && v->end.seq.v == v->note.durable.v) {
        v->durable_seen = ts_hash_eq(v->end.hash, v->note.durable_hash);
    }
    if (v->end.seq.v == v->from.seq.v) {
        v->from_seen = ts_hash_eq(v->end.hash, v->from.hash);
    }
}

/* What the snapshot holds was committed, so it was durable here. */
static enum ts_err check_from(const struct recovery *v, struct ts_why *why)
{
    if (v->from_seen) {
        return TS_OK;
    }
    return ts_why(why, TS_ERR_CORRUPT,
                  "the journal in %s does not fit its snapshot: that holds everything up to entry "
                  "%" PRIu64 ", and the log, which ends at entry %" PRIu64
                  ", has no batch that ends there with the same hash; nothing was changed: put the "
                  "right files back, or let this replica be rebuilt from its peer, on a new disk",
                  v->j->dir, v->from.seq.v, v->end.seq.v);
}

static enum ts_err accept_batch(struct recovery *v, const struct journal_record *r,
                                struct ts_why *why)
{
    journal_index_add(&v->j->index, r->batch.first, v->end.segment, v->end.offset);
    v->end.seq = r->batch.last;
    v->end.hash = r->batch.hash;
    v->end.epoch = r->batch.epoch;
    v->commit = ts_seq_max(v->commit, r->commit);
    pass(v);
    if (v->end.seq.v < v->from.seq.v || (v->end.seq.v == v->from.seq.v && v->from_seen)) {
        return TS_OK; /* the snapshot has it */
    }
    enum ts_err err = check_from(v, why);
    if (err != TS_OK || v->replay == NULL) {
        return err;
    }
    return v->replay(v->replay_arg, &r->batch, r->commit, why);
}

/* Reads the records of one segment; *more says that the log goes on in the next one. */
static enum ts_err scan_segment(struct recovery *v, bool *more, struct ts_why *why)
{
    *more = false;
    for (;;) {
        struct journal_record r;
        enum ts_err err =
            journal_record_decode(&r, v->data + v->end.offset, v->size - v->end.offset);
        if (err != TS_OK || !journal_record_continues(&r, &v->end)) {
            return TS_OK;
        }
        if (r.kind == JOURNAL_KIND_END) {
            *more = true;
            return TS_OK;
        }
        err = accept_batch(v, &r, why);
        if (err != TS_OK) {
            return err;
        }
        v->end.offset += (uint32_t)journal_record_extent(&r);
    }
}

/* Finds out where the log begins. */
static enum ts_err find_base(struct recovery *v, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    struct journal_place base = {{0}, {0, 0}, {0}};
    enum ts_err err = journal_segment_path(path, v->j->dir, v->first_segment, why);
    if (err == TS_OK) { /* not the rest of the block, which nobody needs and nobody looks after */
        err = load_segment(v, v->first_segment, JOURNAL_BASE_AT,
                           JOURNAL_BASE_AT + JOURNAL_BASE_BYTES, why);
    }
    if (err == TS_OK) {
        err = journal_base_read(v->fd, path, v->j->info.incarnation, v->first_segment, &base, why);
        if (err == TS_ERR_CORRUPT) {
            (void)ts_why(
                why, err,
                "%s does not say where the log begins: it is damaged, or an earlier "
                "segment is missing; nothing was changed: put the right files back, or let "
                "this replica be rebuilt from its peer, on a new disk",
                path);
        }
    }
    if (err == TS_OK && base.seq.v > v->from.seq.v) {
        err =
            ts_why(why, TS_ERR_CORRUPT,
                   "the journal in %s begins behind entry %" PRIu64
                   ", and what comes before is known up to entry %" PRIu64
                   " only: a snapshot is missing or damaged; nothing was changed: put it back, or "
                   "let this replica be rebuilt from its peer, on a new disk",
                   v->j->dir, base.seq.v, v->from.seq.v);
    }
    v->end = (struct journal_position){.seq = base.seq,
                                       .hash = base.hash,
                                       .epoch = base.epoch,
                                       .segment = v->first_segment,
                                       .offset = JOURNAL_DATA_START};
    return err;
}

static enum ts_err scan_log(struct recovery *v, struct ts_why *why)
{
    enum ts_err err = find_base(v, why);
    if (err != TS_OK) {
        return err;
    }
    v->begun = true;
    v->j->base = (struct journal_place){v->end.seq, v->end.hash, v->end.epoch};
    journal_index_begin(&v->j->index, v->first_segment, v->end.seq);
    v->durable_seen = !v->has_note || v->note.durable.v < v->end.seq.v;
    pass(v);
    for (;;) {
        bool more = false;
        v->bases[v->end.segment - v->first_segment] =
            (struct journal_place){v->end.seq, v->end.hash, v->end.epoch};
        err = load_segment(v, v->end.segment, JOURNAL_DATA_START, 0, why);
        if (err == TS_OK) {
            err = scan_segment(v, &more, why);
        }
        if (err != TS_OK || !more) {
            return err;
        }
        if (v->end.segment == v->last_segment) {
            /* The next one is durable before an end record is written. */
            return ts_why(why, TS_ERR_CORRUPT,
                          "segment %" PRIu64 " of %s is missing: segment %" PRIu64
                          " says that the log goes on there; put it back, or let this replica be "
                          "rebuilt from its peer, on a new disk",
                          v->end.segment + 1, v->j->dir, v->end.segment);
        }
        v->end.segment++;
        v->end.offset = JOURNAL_DATA_START;
    }
}

/* The durable part must be there, whole. */
static enum ts_err check_durable(const struct recovery *v, struct ts_why *why)
{
    if (v->has_note && v->note.segment > v->end.segment) {
        /* A segment gets its first note when the end record of the one before is durable. */
        return ts_why(
            why, TS_ERR_CORRUPT,
            "the journal in %s is damaged: the log ends in segment %" PRIu64 ", byte %" PRIu32
            ", but segment %" PRIu64
            " was written after it. Nothing was cut off: let this replica be rebuilt from "
            "its peer, on a new disk",
            v->j->dir, v->end.segment, v->end.offset, v->note.segment);
    }
    if (v->durable_seen) {
        return TS_OK;
    }
    if (v->end.seq.v >= v->note.durable.v) {
        return ts_why(
            why, TS_ERR_CORRUPT,
            "the journal in %s does not hold what was durable: entry %" PRIu64
            " has another hash than noted (segments of different times were mixed); "
            "nothing was changed: put the right files back, or let this replica be rebuilt "
            "from its peer, on a new disk",
            v->j->dir, v->note.durable.v);
    }
    char what[128] = "";
    for (uint32_t i = 0; i < v->note.count; i++) {
        const struct journal_note_entry *e = &v->note.entries[i];
        if (v->note.segment == v->end.segment && e->offset == v->end.offset) {
            (void)snprintf(what, sizeof(what),
                           " (entries %" PRIu64 " to %" PRIu64 ", %" PRIu32 " bytes)", e->first.v,
                           e->last.v, e->length);
        }
    }
    return ts_why(why, TS_ERR_CORRUPT,
                  "the journal in %s is damaged at entry %" PRIu64 "%s: segment %" PRIu64
                  ", byte %" PRIu32 ". Entries up to %" PRIu64
                  " were durable, so this is no unfinished write and nothing was cut off: let this "
                  "replica be rebuilt from its peer, on a new disk",
                  v->j->dir, v->end.seq.v + 1, what, v->end.segment, v->end.offset,
                  v->note.durable.v);
}

/* ---- making the end a clean one ---- */

/* A segment whose first group was torn may have its records, but no base; that comes to be needed
 * when the segments before it are dropped. */
static enum ts_err mend_base(const struct recovery *v, uint64_t number, struct ts_why *why)
{
    struct journal_header want = {
        .incarnation = v->j->info.incarnation, .group = v->j->info.group, .number = number};
    const struct journal_place *is = &v->bases[number - v->first_segment];
    struct journal_place has;
    char path[TS_PATH_MAX];
    int fd = -1;
    uint32_t size = 0;
    enum ts_err err = journal_segment_path(path, v->j->dir, number, why);
    if (err == TS_OK) {
        err = journal_segment_open(v->j->dir, &want, &fd, &size, why);
    }
    if (err != TS_OK) {
        return err;
    }
    err = journal_base_read(fd, path, want.incarnation, number, &has, why);
    bool same = err == TS_OK && has.seq.v == is->seq.v && has.epoch.v == is->epoch.v &&
                ts_hash_eq(has.hash, is->hash);
    if (err != TS_ERR_IO && !same) {
        struct journal_base b = {.incarnation = want.incarnation, .number = number, .place = *is};
        err = journal_distrust(v->j, journal_base_write(fd, path, &b, why), why);
    }
    (void)ts_disk_close(fd);
    return err;
}

/* Those of all segments with records; sync_all makes them durable. */
static enum ts_err mend_bases(const struct recovery *v, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    bool blank = v->end.offset == JOURNAL_DATA_START; /* the last one */
    uint64_t last = v->end.segment - (blank && v->end.segment > v->first_segment ? 1 : 0);
    for (uint64_t n = v->first_segment; n <= last && err == TS_OK; n++) {
        err = mend_base(v, n, why);
    }
    return err;
}

/* Takes over the segment that was prepared ahead, when it is as blank as it was made. */
static enum ts_err keep_spare(struct recovery *v, bool *kept, struct ts_why *why)
{
    *kept = false;
    uint64_t number = v->end.segment + 1;
    if (number > v->last_segment) {
        return TS_OK;
    }
    struct journal_header want = {
        .incarnation = v->j->info.incarnation, .group = v->j->info.group, .number = number};
    char path[TS_PATH_MAX];
    int fd = -1;
    uint32_t size = 0;
    enum ts_err err = journal_segment_path(path, v->j->dir, number, why);
    if (err == TS_OK) {
        err = journal_segment_open(v->j->dir, &want, &fd, &size, why);
    }
    if (err == TS_OK) {
        err = journal_segment_is_zero(fd, path, JOURNAL_BLOCK, size, kept, why);
    }
    if (err == TS_OK && *kept) {
        v->j->spare.state = JOURNAL_SPARE_READY;
        v->j->spare.number = number;
        v->j->spare.size = size;
        v->j->spare.fd = fd;
    } else if (fd >= 0) {
        (void)ts_disk_close(fd);
    }
    return err;
}

/* Removes the segments behind the end, except a blank one that follows it: what they hold was never
 * acknowledged, or was cut off. The highest first: whatever a crash leaves is without a gap. */
static enum ts_err remove_later(struct recovery *v, struct ts_why *why)
{
    bool kept = false;
    enum ts_err err = keep_spare(v, &kept, why);
    for (uint64_t n = v->last_segment; err == TS_OK && n > v->end.segment + (kept ? 1 : 0); n--) {
        char path[TS_PATH_MAX];
        err = journal_segment_path(path, v->j->dir, n, why);
        if (err == TS_OK) {
            err = ts_file_remove(path, why);
            err = err == TS_ERR_IO ? journal_distrust(v->j, err, why) : err;
        }
    }
    return err;
}

/* Zeros over whatever stands behind the end in its segment. */
static enum ts_err wipe_behind_end(struct recovery *v, struct ts_why *why)
{
    uint32_t last = v->size;
    while (last - v->end.offset >= JOURNAL_BLOCK &&
           ts_is_zero(v->data + last - JOURNAL_BLOCK, JOURNAL_BLOCK)) {
        last -= JOURNAL_BLOCK;
    }
    while (last > v->end.offset && v->data[last - 1] == 0) {
        last--;
    }
    v->j->info.torn_bytes = last - v->end.offset;
    if (last == v->end.offset) {
        return TS_OK;
    }
    char path[TS_PATH_MAX];
    enum ts_err err = journal_segment_path(path, v->j->dir, v->end.segment, why);
    if (err != TS_OK) {
        return err;
    }
    err = journal_segment_zero(v->fd, path, v->end.offset, last, why);
    return journal_distrust(v->j, err, why);
}

/* R2.11: what was found may be in the page cache only. */
static enum ts_err sync_all(const struct recovery *v, struct ts_why *why)
{
    for (uint64_t n = v->first_segment; n <= v->end.segment; n++) {
        struct journal_header want = {
            .incarnation = v->j->info.incarnation, .group = v->j->info.group, .number = n};
        char path[TS_PATH_MAX];
        int fd = -1;
        uint32_t size = 0;
        enum ts_err err = journal_segment_path(path, v->j->dir, n, why);
        if (err == TS_OK) {
            err = journal_segment_open(v->j->dir, &want, &fd, &size, why);
        }
        if (err != TS_OK) {
            return err;
        }
        err = journal_distrust(v->j, ts_fd_sync(fd, path, why), why);
        (void)ts_disk_close(fd);
        if (err != TS_OK) {
            return err;
        }
    }
    return TS_OK;
}

/* R2.11: a kill may have come between the renaming of the kept spare and the sync of its name, and
 * the log will go on in it without another look. */
static enum ts_err sync_spare(const struct recovery *v, struct ts_why *why)
{
    const struct journal_spare *s = &v->j->spare;
    enum ts_err err = TS_OK;
    if (s->state == JOURNAL_SPARE_READY) {
        char path[TS_PATH_MAX];
        err = journal_segment_path(path, v->j->dir, s->number, why);
        if (err != TS_OK) {
            return err;
        }
        err = ts_fd_sync(s->fd, path, why);
    }
    if (err == TS_OK) {
        err = ts_dir_sync(v->j->dir, why);
    }
    return journal_distrust(v->j, err, why);
}

static void take_over_end(struct recovery *v)
{
    struct journal *j = v->j;
    j->end = (struct journal_end){.pos = v->end,
                                  .fd = v->fd,
                                  .size = v->size,
                                  .note_count = v->has_note ? v->note.counter : 0};
    v->fd = -1;
    journal_name_end(j);
    j->info.epoch = v->end.epoch;
    j->info.last = v->end.seq;
    j->info.hash = v->end.hash;
    j->info.commit = ts_seq_min(v->commit, v->end.seq);
    j->info.base = j->base.seq;
}

/* ---- another replica's log, by its snapshot ---- */

static enum ts_err remove_before(const struct recovery *v, uint64_t number, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    for (uint64_t n = v->first_segment; err == TS_OK && n < number; n++) {
        char path[TS_PATH_MAX];
        err = journal_segment_path(path, v->j->dir, n, why);
        if (err == TS_OK) {
            err = ts_file_remove(path, why);
        }
    }
    return err == TS_ERR_IO ? journal_distrust(v->j, err, why) : err;
}

/* The log is not the one that the snapshot belongs to, and that was installed to replace it: the
 * replica was far behind, and nobody counts on what it has. First the new beginning, durably,
 * behind what is there; then that goes, the lowest first. Whatever a crash leaves comes here again,
 * or has the new beginning as its last segment. */
static enum ts_err begin_anew(struct recovery *v, struct ts_why *why)
{
    struct journal_header h = {.incarnation = v->j->info.incarnation,
                               .group = v->j->info.group,
                               .number = v->last_segment + 1,
                               .size = v->j->options.segment_bytes};
    close_segment(v);
    enum ts_err err =
        journal_distrust(v->j, journal_segment_create(v->j->dir, &h, &v->from, NULL, why), why);
    return err == TS_OK ? remove_before(v, h.number, why) : err;
}

/* Whether the last segment begins where the snapshot ends: what is before it is not needed. */
static bool is_begun_anew(struct recovery *v)
{
    char path[TS_PATH_MAX];
    struct journal_place base;
    bool is = v->last_segment > v->first_segment &&
              journal_segment_path(path, v->j->dir, v->last_segment, NULL) == TS_OK &&
              load_segment(v, v->last_segment, JOURNAL_BASE_AT,
                           JOURNAL_BASE_AT + JOURNAL_BASE_BYTES, NULL) == TS_OK &&
              journal_base_read(v->fd, path, v->j->info.incarnation, v->last_segment, &base,
                                NULL) == TS_OK &&
              base.seq.v == v->from.seq.v && ts_hash_eq(base.hash, v->from.hash);
    close_segment(v);
    return is;
}

static enum ts_err find_log(struct recovery *v, struct ts_why *why)
{
    enum ts_err err = find_segments(v, why);
    if (err == TS_OK) {
        err = read_rings(v, why);
    }
    if (err == TS_OK) {
        err = scan_log(v, why);
    }
    if (err == TS_OK) {
        err = check_durable(v, why);
    }
    return err == TS_OK ? check_from(v, why) : err;
}

/* The same again, without the log that was there. */
static enum ts_err find_new_log(struct recovery *v, struct ts_why *why)
{
    enum ts_err err = v->begun ? begin_anew(v, why) : remove_before(v, v->last_segment, why);
    v->j->index.count = 0;
    v->has_note = false;
    v->commit.v = 0;
    free(v->bases);
    v->bases = NULL;
    return err != TS_OK ? err : find_log(v, why);
}

static enum ts_err recover(struct recovery *v, struct ts_why *why)
{
    enum ts_err err = find_log(v, why);
    /* Without a beginning it may be what is left of a replacement that broke off: of a segment that
     * was prepared ahead nobody knows where it begins. */
    if (err == TS_ERR_CORRUPT && v->replaces && !v->from_seen && (v->begun || is_begun_anew(v))) {
        err = find_new_log(v, why);
    }
    if (err == TS_OK) {
        err = remove_later(v, why);
    }
    if (err == TS_OK) {
        err = wipe_behind_end(v, why);
    }
    if (err == TS_OK) {
        err = mend_bases(v, why);
    }
    if (err == TS_OK) {
        err = sync_all(v, why);
    }
    if (err == TS_OK) {
        err = sync_spare(v, why);
    }
    if (err != TS_OK) {
        return err;
    }
    take_over_end(v);
    /* From now on all that was found counts as durable; this note needs no sync of its own, since
     * without it a later recovery only claims less. */
    err = journal_distrust(v->j, journal_write_note(v->j, why), why);
    v->j->note_is_current = err == TS_OK;
    return err;
}

enum ts_err journal_recover(struct journal *j, const struct journal_start *from,
                            journal_replay_fn *replay, void *replay_arg, struct ts_why *why)
{
    struct recovery *v = calloc(1, sizeof(*v));
    if (v == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to open the journal in %s", j->dir);
    }
    v->j = j;
    v->fd = -1;
    v->from = from->at;
    v->replaces = from->replaces;
    v->replay = replay;
    v->replay_arg = replay_arg;
    enum ts_err err = recover(v, why);
    close_segment(v);
    free(v->bases);
    free(v);
    return err;
}
