/* Looking through the log for damage, before anybody needs it: slowly, on a worker, while the log
 * grows at its end. What is read comes from the device, not from the page cache. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "replicator/io/journal_internal.h"

struct journal_scrub {
    struct journal *j;
    struct journal_cursor c;
    uint64_t looked_at; /* the segment whose beginning was looked at */
    struct journal_place at;
    struct ts_seq to; /* durable when the pass began */
    uint64_t cuts;
    uint64_t bytes;
    struct journal_flaw flaw;
};

struct journal_scrub *journal_scrub_begin(struct journal *j)
{
    struct journal_scrub *s = calloc(1, sizeof(*s));
    if (s == NULL || j->cuts_pending > 0) {
        free(s); /* what is durable is not known now */
        return NULL;
    }
    s->j = j;
    s->to = j->persisted;
    s->cuts = j->cuts;
    journal_lock(j);
    s->at = j->base;
    journal_cursor_init(&s->c, j->dir, j->index.start.segment, JOURNAL_DATA_START);
    journal_unlock(j);
    return s;
}

void journal_scrub_end(struct journal_scrub *s)
{
    journal_cursor_close(&s->c);
    free(s);
}

uint64_t journal_scrub_bytes(const struct journal_scrub *s)
{
    return s->bytes;
}

const struct journal_flaw *journal_scrub_flaw(const struct journal_scrub *s)
{
    return &s->flaw;
}

/* Header and base; and the page cache is emptied, as far as it is clean. */
static enum ts_err look_at_beginning(struct journal_scrub *s, struct ts_why *why)
{
    struct journal_header want = {
        .incarnation = s->j->info.incarnation, .group = s->j->info.group, .number = s->c.segment};
    struct journal_place base;
    char path[TS_PATH_MAX];
    uint32_t size = 0;
    int fd = -1;
    enum ts_err err = journal_segment_path(path, s->j->dir, s->c.segment, why);
    if (err == TS_OK) {
        fd = ts_disk_open(path, O_RDONLY, 0);
        err = fd < 0 ? ts_why_sys(why, errno, "cannot open %s", path) : TS_OK;
    }
    if (err != TS_OK) {
        return err;
    }
    ts_disk_forget(fd);
    (void)ts_disk_close(fd);
    err = journal_segment_open(s->j->dir, &want, &fd, &size, why);
    if (err == TS_ERR_CORRUPT) { /* what a start advises then would be too much here */
        return ts_why(why, err, "the beginning of %s is damaged", path);
    }
    if (err != TS_OK) {
        return err;
    }
    err = journal_base_read(fd, path, want.incarnation, want.number, &base, why);
    (void)ts_disk_close(fd);
    if (err == TS_ERR_CORRUPT || (err == TS_OK && base.seq.v != s->at.seq.v) ||
        (err == TS_OK && !ts_hash_eq(base.hash, s->at.hash))) {
        return ts_why(why, TS_ERR_CORRUPT,
                      "%s does not say any more where the log stands before it", path);
    }
    return err;
}

static enum ts_err next_record(struct journal_scrub *s, struct ts_why *why)
{
    struct journal_record r;
    enum ts_err err = journal_cursor_next(&s->c, &r, why);
    if (err != TS_OK) {
        return err;
    }
    struct journal_position before = {.seq = s->at.seq, .hash = s->at.hash};
    if (!journal_record_continues(&r, &before)) {
        s->c.offset -= (uint32_t)journal_record_extent(&r);
        return ts_why(why, TS_ERR_CORRUPT,
                      "a batch at byte %" PRIu32 " of segment %" PRIu64
                      " in %s does not continue the one before",
                      s->c.offset, s->c.segment, s->j->dir);
    }
    s->at = (struct journal_place){r.batch.last, r.batch.hash, r.batch.epoch};
    s->bytes += journal_record_extent(&r);
    return TS_OK;
}

/* Ends before a record that the next segment begins with: that one's beginning comes first. */
static enum ts_err step(struct journal_scrub *s, uint64_t until, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    while (err == TS_OK && ts_seq_lt(s->at.seq, s->to) && s->bytes < until) {
        if (s->looked_at != s->c.segment) {
            err = look_at_beginning(s, why);
            s->looked_at = s->c.segment;
        }
        bool more = false;
        if (err == TS_OK) {
            err = journal_cursor_at_end(&s->c, &more, why);
        }
        if (err == TS_OK && more) {
            continue; /* in the next segment */
        }
        err = err == TS_OK ? next_record(s, why) : err;
    }
    return err;
}

enum ts_err journal_scrub_step(struct journal_scrub *s, size_t bytes, bool *more)
{
    s->flaw = (struct journal_flaw){.after = s->at};
    enum ts_err err = step(s, s->bytes + bytes, &s->flaw.why);
    s->flaw.after = s->at;
    s->flaw.segment = s->c.segment;
    s->flaw.offset = s->c.offset;
    s->flaw.cuts = s->cuts;
    *more = err == TS_OK && ts_seq_lt(s->at.seq, s->to);
    return err;
}

bool journal_scrub_counts(const struct journal_scrub *s)
{
    struct journal *j = s->j;
    journal_lock(j);
    bool dropped = s->c.segment < j->index.start.segment;
    journal_unlock(j);
    return s->cuts == j->cuts && !dropped && !j->closing;
}
