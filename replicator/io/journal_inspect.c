#include "replicator/io/journal_inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "base/io/slot_format.h"
#include "replicator/io/journal_internal.h"
#include "replicator/io/replica_record.h"
#include "replicator/io/snapshot_internal.h"

#define SEGMENTS_MAX 65536U
/* Of a record file: more than journal_format ever makes. */
#define RECORD_BYTES_MAX ((size_t)1 << 20)
/* A running replica may drop a segment between the listing and the look at it, or go on in one
 * that was not listed, or take snapshots of what was read. */
#define ATTEMPTS 5

_Static_assert(JOURNAL_INSPECT_SNAPSHOTS_MAX == SNAPSHOT_NAMES_MAX, "there is room for each");

const char *journal_segment_state_name(enum journal_segment_state state)
{
    static const char *const NAMES[] = {
#define ROW(sym, name) [sym] = (name),
        JOURNAL_SEGMENT_STATE_LIST(ROW)
#undef ROW
    };
    return NAMES[state];
}

/* ---- the record ------------------------------------------------------------------------------ */

/* The newest copy that is whole; its payload is borrowed from `data`. */
static bool newest_copy(struct journal_inspection *n, const uint8_t *data, size_t len,
                        struct ts_slot_copy *best)
{
    size_t copy_size = len / (TS_SLOT_SLOTS * TS_SLOT_COPIES);
    bool any = false;
    for (unsigned slot = 0; slot < TS_SLOT_SLOTS && copy_size >= TS_SLOT_BLOCK; slot++) {
        for (unsigned copy = 0; copy < TS_SLOT_COPIES; copy++) {
            struct ts_slot_copy c;
            uint64_t at = ts_slot_copy_offset(copy_size, slot, copy);
            if (ts_slot_decode(&c, data + at, copy_size) == TS_OK) {
                n->record_copies++;
                if (!any || c.generation > best->generation) {
                    *best = c;
                }
                any = true;
            }
        }
    }
    return any;
}

static void read_meta(struct journal_inspection *n, const char *path, struct ts_bytes payload)
{
    struct journal_meta m;
    struct ts_reader r = ts_reader_init(payload.data, payload.len);
    if (journal_meta_decode(&m, &r) != TS_OK) {
        (void)ts_why(&n->record_why, TS_ERR_CORRUPT, "%s does not hold a replica's record", path);
        return;
    }
    struct ts_bytes opaque = ts_get_bytes(&r, ts_reader_left(&r));
    n->group = m.group;
    n->start_number = m.start_number;
    n->start_registered = m.start_registered;
    n->has_record = true;
    struct replica_record own = {.floor = {0}};
    n->has_floor = replica_record_decode(&own, opaque) == TS_OK;
    n->floor = own.floor;
}

static enum ts_err read_record(struct journal_inspection *n, const char *dir, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    struct ts_slot_copy best = {0};
    enum ts_err err = ts_path(path, why, dir, "record");
    err = err != TS_OK ? err : ts_file_read(path, RECORD_BYTES_MAX, &data, &len, why);
    if (err == TS_ERR_NOT_FOUND) {
        return ts_why(why, err,
                      "%s is no replica's directory: it has no \"record\"; a replica's is "
                      "RUN/NODE/groups/GROUP",
                      dir);
    }
    if (err != TS_OK) {
        return err;
    }
    if (newest_copy(n, data, len, &best)) {
        n->incarnation = best.incarnation;
        read_meta(n, path, best.payload);
    } else {
        (void)ts_why(&n->record_why, TS_ERR_CORRUPT, "no copy of the record in %s is readable",
                     path);
    }
    free(data);
    return TS_OK;
}

/* Whose flock the record bears, by the kernel's list: asking for the lock could keep a replica that
 * starts just now from getting it. */
static long holder_of(const char *dir)
{
    char path[TS_PATH_MAX];
    char line[256];
    struct stat st;
    long holder = 0;
    FILE *locks = fopen("/proc/locks", "re");
    if (locks == NULL) {
        return 0;
    }
    if (ts_path(path, NULL, dir, "record") == TS_OK && stat(path, &st) == 0) {
        while (holder == 0 && fgets(line, sizeof(line), locks) != NULL) {
            /* "1: FLOCK  ADVISORY  WRITE PID MAJOR:MINOR:INODE 0 EOF" */
            char *at = strstr(line, " WRITE ");
            char *inode = at == NULL ? NULL : strrchr(at, ':');
            bool same = inode != NULL && strtoull(inode + 1, NULL, 10) == st.st_ino;
            holder = same && strstr(line, "FLOCK") != NULL ? strtol(at + 7, NULL, 10) : 0;
        }
    }
    (void)fclose(locks);
    return holder;
}

/* ---- segments -------------------------------------------------------------------------------- */

struct listing {
    struct journal_inspection *n;
    enum ts_err err;
};

static int look_at_name(void *arg, const char *name)
{
    struct listing *l = arg;
    char *end = NULL;
    if (strncmp(name, "segment-", 8) != 0 || name[8] < '0' || name[8] > '9') {
        return 0;
    }
    unsigned long long number = strtoull(name + 8, &end, 10);
    if (*end != '\0' || number == 0) {
        return 0;
    }
    struct journal_inspection *n = l->n;
    size_t bytes = (n->segment_count + 1) * sizeof(*n->segments);
    void *grown = n->segment_count < SEGMENTS_MAX ? realloc(n->segments, bytes) : NULL;
    if (grown == NULL) {
        l->err = n->segment_count < SEGMENTS_MAX ? TS_ERR_NOMEM : TS_ERR_LIMIT;
        return 1;
    }
    n->segments = grown;
    n->segments[n->segment_count++] = (struct journal_inspect_segment){.number = number};
    return 0;
}

static int by_number(const void *a, const void *b)
{
    const struct journal_inspect_segment *x = a;
    const struct journal_inspect_segment *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static enum ts_err list_segments(struct journal_inspection *n, const char *dir, struct ts_why *why)
{
    struct listing l = {n, TS_OK};
    n->segment_count = 0;
    if (ts_disk_list(dir, look_at_name, &l) < 0) {
        return ts_why_sys(why, errno, "cannot read the directory %s", dir);
    }
    if (l.err != TS_OK) {
        return ts_why(why, l.err, "the segments of %s are too many to look at: %s", dir,
                      ts_err_text(l.err));
    }
    if (n->segment_count > 0) {
        qsort(n->segments, n->segment_count, sizeof(*n->segments), by_number);
    }
    return TS_OK;
}

static void damage(struct journal_inspection *n, uint64_t seq, uint64_t segment, uint64_t offset,
                   const char *text)
{
    if (n->damaged) {
        return; /* the first one counts */
    }
    n->damaged = true;
    n->damage_seq.v = seq;
    n->damage_segment = segment;
    n->damage_offset = offset;
    (void)ts_why(&n->damage_why, TS_ERR_CORRUPT, "%s", text);
}

/* The file of a segment, read whole. */
struct content {
    uint8_t *data;
    size_t len;
    bool usable; /* it is this journal's */
};

static enum ts_err read_segment(const struct journal_inspection *n, const char *dir,
                                const struct journal_inspect_segment *s, struct content *c,
                                struct ts_why *why)
{
    char path[TS_PATH_MAX];
    struct journal_header h;
    enum ts_err err = journal_segment_path(path, dir, s->number, why);
    *c = (struct content){0};
    if (err == TS_OK) {
        err = ts_file_read(path, (size_t)JOURNAL_SEGMENT_BYTES_MAX + 1, &c->data, &c->len, why);
    }
    if (err != TS_OK) {
        return err;
    }
    c->usable = c->len >= JOURNAL_DATA_START &&
                journal_header_decode(&h, c->data, JOURNAL_BLOCK) == TS_OK && h.size == c->len &&
                h.number == s->number &&
                (!n->has_record ||
                 (ts_incarnation_eq(h.incarnation, n->incarnation) && h.group.v == n->group.v));
    return TS_OK;
}

static void read_ring(const struct journal_inspection *n, struct journal_inspect_segment *s,
                      const struct content *c, struct journal_note *newest)
{
    for (uint32_t i = 0; i < JOURNAL_RING_BLOCKS; i++) {
        struct journal_note note;
        const uint8_t *block = c->data + (size_t)JOURNAL_BLOCK * (1U + i);
        if (journal_note_decode(&note, block, JOURNAL_BLOCK) != TS_OK ||
            note.segment != s->number ||
            (n->has_record && !ts_incarnation_eq(note.incarnation, n->incarnation))) {
            continue;
        }
        s->notes++;
        if (note.counter > s->note) {
            s->note = note.counter;
            s->durable = note.durable;
        }
        if (note.counter > newest->counter) {
            *newest = note;
        }
    }
}

/* ---- the log --------------------------------------------------------------------------------- */

struct walk {
    struct journal_inspection *n;
    const char *dir;
    struct journal_note note; /* the newest of all; counter 0: there is none */
    struct journal_position end;
    bool durable_seen;
    const struct snapshot_info *from; /* where a start would begin; NULL: at the log's beginning */
    bool from_seen;
    bool ended;
    bool behind; /* the log goes on in a segment that was made after the listing */
};

/* The log goes through this place. */
static void pass_by(struct walk *w)
{
    if (w->end.seq.v == w->note.durable.v) {
        w->durable_seen = ts_hash_eq(w->end.hash, w->note.durable_hash);
    }
    if (w->from != NULL && w->end.seq.v == w->from->header.mark.pos.seq.v) {
        w->from_seen = ts_hash_eq(w->end.hash, w->from->header.mark.pos.hash);
    }
}

static void take_batch(struct walk *w, struct journal_inspect_segment *s,
                       const struct journal_record *r)
{
    s->batches++;
    s->first = s->batches == 1 ? r->batch.first : s->first;
    s->last = r->batch.last;
    w->end.seq = r->batch.last;
    w->end.hash = r->batch.hash;
    w->end.epoch = r->batch.epoch;
    w->n->commit = ts_seq_max(w->n->commit, r->commit);
    pass_by(w);
}

/* Gives whether the log goes on in the next segment. */
static bool walk_records(struct walk *w, struct journal_inspect_segment *s, const struct content *c)
{
    for (;;) {
        struct journal_record r;
        size_t left = c->len - w->end.offset;
        if (journal_record_decode(&r, c->data + w->end.offset, left) != TS_OK ||
            !journal_record_continues(&r, &w->end)) {
            return false;
        }
        if (r.kind == JOURNAL_KIND_END) {
            return true;
        }
        take_batch(w, s, &r);
        w->end.offset += (uint32_t)journal_record_extent(&r);
        s->used_bytes = w->end.offset;
    }
}

/* What stands behind the end in its segment. */
static void count_torn(struct walk *w, const struct content *c)
{
    size_t last = c->len;
    while (last > w->end.offset && c->data[last - 1] == 0) {
        last--;
    }
    w->n->torn_bytes = last - w->end.offset;
}

static void begin_at(struct walk *w, const struct journal_inspect_segment *s,
                     const struct content *c)
{
    struct journal_base b;
    const uint8_t *at = c->data + JOURNAL_BASE_AT;
    if (journal_base_decode(&b, at, JOURNAL_BASE_BYTES) != TS_OK || b.number != s->number) {
        b = (struct journal_base){.number = s->number};
        if (s->number != JOURNAL_FIRST_SEGMENT) {
            damage(w->n, 1, s->number, JOURNAL_BASE_AT,
                   "the first segment does not say where the log begins: it is damaged, or an "
                   "earlier one is missing");
        }
    }
    w->end = (struct journal_position){.seq = b.place.seq,
                                       .hash = b.place.hash,
                                       .epoch = b.place.epoch,
                                       .segment = s->number,
                                       .offset = JOURNAL_DATA_START};
    w->n->base = b.place.seq;
    w->durable_seen = w->note.durable.v < b.place.seq.v;
    pass_by(w);
}

/* The log goes on in a segment that is not among those that were listed. */
static void miss_segment(struct walk *w, uint64_t number, const char *text)
{
    char path[TS_PATH_MAX];
    if (journal_segment_path(path, w->dir, number, NULL) == TS_OK && access(path, F_OK) == 0) {
        w->behind = true;
    } else {
        damage(w->n, w->end.seq.v + 1, number, 0, text);
    }
}

static enum journal_segment_state look_behind(const struct content *c)
{
    size_t from = JOURNAL_BLOCK;
    return ts_is_zero(c->data + from, c->len - from) ? JOURNAL_SEGMENT_SPARE
                                                     : JOURNAL_SEGMENT_BEHIND;
}

static void walk_segment(struct walk *w, size_t i, const struct content *c)
{
    struct journal_inspect_segment *s = &w->n->segments[i];
    uint64_t lost = w->end.seq.v + 1;
    if (!c->usable) {
        s->state = JOURNAL_SEGMENT_DAMAGED;
        damage(w->n, w->ended ? 0 : lost, s->number, 0,
               "this segment's header is damaged, or of another journal");
        w->ended = true;
    } else if (w->ended) {
        s->state = look_behind(c);
    } else {
        if (i == 0) {
            begin_at(w, s, c);
        } else if (s->number != w->end.segment + 1) {
            miss_segment(w, w->end.segment + 1, "this segment is missing");
        }
        w->end.segment = s->number;
        w->end.offset = JOURNAL_DATA_START;
        s->used_bytes = JOURNAL_DATA_START;
        bool more = walk_records(w, s, c);
        s->state = more ? JOURNAL_SEGMENT_LEFT : JOURNAL_SEGMENT_LAST;
        if (more && i + 1 == w->n->segment_count) {
            miss_segment(w, s->number + 1,
                         "this segment is missing: the one before says that the log goes on there");
        }
        if (!more) {
            w->ended = true;
            count_torn(w, c);
        }
    }
}

/* As at a start: what was noted as durable must be there. */
static void check_durable(struct walk *w)
{
    struct journal_inspection *n = w->n;
    bool later = w->note.counter > 0 && w->note.segment > w->end.segment;
    if (n->damaged || w->behind || (w->durable_seen && !later)) {
        return;
    }
    if (!later && w->end.seq.v >= w->note.durable.v) {
        damage(n, w->note.durable.v, w->end.segment, 0,
               "an entry has another hash than noted: segments of different times were mixed");
        return;
    }
    damage(n, w->end.seq.v + 1, w->end.segment, w->end.offset,
           "the record here is damaged: it was durable, so it is no unfinished write");
    for (size_t i = 0; i < n->segment_count; i++) {
        if (n->segments[i].number == w->end.segment) {
            n->segments[i].state = JOURNAL_SEGMENT_DAMAGED;
        }
    }
}

/* As at a start: the log has what its newest snapshot holds. */
static void check_from(struct walk *w)
{
    struct journal_inspection *n = w->n;
    if (w->from == NULL || w->from_seen || w->behind) {
        return;
    }
    uint64_t held = w->from->header.mark.pos.seq.v;
    damage(n, w->end.seq.v < held ? w->end.seq.v + 1 : held, w->end.segment, 0,
           "the log does not fit its newest snapshot, which holds entries that are not in it, or "
           "others: the files of two disks or times were mixed");
}

static enum ts_err read_log(struct walk *w, struct ts_why *why)
{
    struct journal_inspection *n = w->n;
    for (int pass = 0; pass < 2; pass++) { /* all rings first: the newest note judges the records */
        for (size_t i = 0; i < n->segment_count; i++) {
            struct content c;
            enum ts_err err = read_segment(n, w->dir, &n->segments[i], &c, why);
            if (err != TS_OK) {
                return err;
            }
            n->segments[i].file_bytes = c.len;
            if (pass == 0 && c.usable) {
                read_ring(n, &n->segments[i], &c, &w->note);
            } else if (pass == 1) {
                walk_segment(w, i, &c);
            }
            free(c.data);
        }
    }
    if (n->segment_count == 0) {
        damage(n, 1, 0, 0, "there is no segment: this disk has lost its log");
        return TS_OK;
    }
    check_durable(w);
    check_from(w);
    n->last = w->end.seq;
    n->epoch = w->end.epoch;
    n->hash = w->end.hash;
    n->durable = w->note.durable;
    return TS_OK;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static enum ts_err read_snapshots(struct journal_inspection *n, const char *dir, struct ts_why *why)
{
    struct snapshot_names names = {0};
    enum ts_err err = snapshot_names(dir, &names, why);
    n->snapshot_count = 0;
    for (size_t i = 0; err == TS_OK && i < names.count; i++) {
        struct journal_inspect_snapshot *s = &n->snapshots[n->snapshot_count];
        *s = (struct journal_inspect_snapshot){.seq = names.seq[i]};
        enum ts_err read =
            snapshot_read(dir, s->seq, n->incarnation, n->group, NULL, NULL, &s->info, &s->why);
        if (read == TS_ERR_NOMEM) {
            return ts_why(why, read, "%s", s->why.text);
        }
        s->whole = read == TS_OK;
        n->snapshot_count += read == TS_ERR_NOT_FOUND ? 0 : 1; /* dropped meanwhile */
    }
    return err;
}

/* The first damaged one counts as damage when the log has none. One that was dropped while it was
 * read is not in the list. */
static void judge_snapshots(struct journal_inspection *n)
{
    for (size_t i = 0; i < n->snapshot_count && !n->damaged; i++) {
        if (!n->snapshots[i].whole) {
            damage(n, 0, 0, 0, n->snapshots[i].why.text);
        }
    }
}

/* The newest that is whole: a start begins with it. NULL: there is none. */
static const struct snapshot_info *newest_whole(const struct journal_inspection *n)
{
    for (size_t i = 0; i < n->snapshot_count; i++) {
        if (n->snapshots[i].whole) {
            return &n->snapshots[i].info;
        }
    }
    return NULL;
}

static enum ts_err look_once(struct journal_inspection *n, const char *dir, bool *behind,
                             struct ts_why *why)
{
    struct walk w = {.n = n, .dir = dir};
    n->damaged = false;
    n->torn_bytes = 0;
    n->commit.v = 0;
    enum ts_err err = read_snapshots(n, dir, why); /* before the log, which may go on meanwhile */
    const struct snapshot_info *newest = newest_whole(n);
    /* One that came from a peer replaces a log that does not go through it. */
    w.from = newest != NULL && !newest->header.installed ? newest : NULL;
    err = err != TS_OK ? err : list_segments(n, dir, why);
    err = err != TS_OK ? err : read_log(&w, why);
    if (err == TS_OK && n->base.v > 0 &&
        (newest == NULL || newest->header.mark.pos.seq.v < n->base.v)) {
        damage(n, 1, 0, 0,
               "no whole snapshot reaches to where the log begins: what comes before is lost here");
    }
    if (err == TS_OK) {
        judge_snapshots(n);
    }
    *behind = w.behind || err == TS_ERR_NOT_FOUND || (n->damaged && n->holder != 0);
    return err;
}

static enum ts_err inspect(struct journal_inspection *n, const char *dir, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    bool behind = true;
    for (int i = 0; i < ATTEMPTS && behind; i++) {
        err = look_once(n, dir, &behind, why);
    }
    return err;
}

enum ts_err journal_inspect(const char *dir, struct journal_inspection **out, struct ts_why *why)
{
    struct journal_inspection *n = calloc(1, sizeof(*n));
    if (n == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to look at %s", dir);
    }
    enum ts_err err = read_record(n, dir, why);
    if (err == TS_OK) {
        n->holder = holder_of(dir);
        n->marked = ts_dir_check_marks(dir, &n->marked_why);
        err = inspect(n, dir, why);
    }
    if (err != TS_OK) {
        journal_inspection_free(n);
        return err;
    }
    *out = n;
    return TS_OK;
}

void journal_inspection_free(struct journal_inspection *n)
{
    if (n != NULL) {
        free(n->segments);
        free(n);
    }
}
