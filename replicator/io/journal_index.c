/* Where a seq stands, and reading records from there on. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "replicator/io/journal_internal.h"

#define WINDOW_MIN (16U * 1024U)
#define WINDOW_MAX (256U * 1024U)

void journal_index_add(struct journal_index *x, struct ts_seq first, uint64_t segment,
                       uint32_t offset)
{
    if (x->count > 0) {
        const struct journal_index_entry *last = &x->entries[x->count - 1];
        ts_assert(last->first.v < first.v);
        if (last->segment == segment && offset - last->offset < JOURNAL_INDEX_STRIDE) {
            return;
        }
    }
    if (x->count == x->cap) {
        size_t cap = x->cap == 0 ? 256 : x->cap * 2;
        struct journal_index_entry *grown = realloc(x->entries, cap * sizeof(*grown));
        if (grown == NULL) {
            return;
        }
        x->entries = grown;
        x->cap = cap;
    }
    x->entries[x->count++] =
        (struct journal_index_entry){.first = first, .segment = segment, .offset = offset};
}

void journal_index_move(struct journal_index *x, struct ts_seq first, uint32_t offset)
{
    size_t low = 0;
    size_t high = x->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (x->entries[mid].first.v < first.v) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low < x->count && x->entries[low].first.v == first.v) {
        x->entries[low].offset = offset;
    }
}

void journal_index_cut(struct journal_index *x, struct ts_seq after)
{
    while (x->count > 0 && x->entries[x->count - 1].first.v > after.v) {
        x->count--;
    }
}

struct journal_index_entry journal_index_find(const struct journal_index *x, struct ts_seq seq)
{
    size_t low = 0;
    size_t high = x->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (x->entries[mid].first.v <= seq.v) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low > 0) {
        return x->entries[low - 1];
    }
    return x->start;
}

void journal_index_begin(struct journal_index *x, uint64_t segment, struct ts_seq base)
{
    size_t gone = 0;
    while (gone < x->count && x->entries[gone].segment < segment) {
        gone++;
    }
    x->count -= gone;
    if (gone > 0 && x->count > 0) {
        memmove(x->entries, x->entries + gone, x->count * sizeof(*x->entries));
    }
    x->start = (struct journal_index_entry){
        .first = ts_seq_add(base, 1), .segment = segment, .offset = JOURNAL_DATA_START};
}

void journal_cursor_init(struct journal_cursor *c, const char *dir, uint64_t segment,
                         uint32_t offset)
{
    *c = (struct journal_cursor){.dir = dir, .fd = -1, .segment = segment, .offset = offset};
}

void journal_cursor_close(struct journal_cursor *c)
{
    if (c->fd >= 0) {
        (void)ts_disk_close(c->fd);
    }
    free(c->window);
    c->fd = -1;
    c->window = NULL;
}

static enum ts_err open_segment(struct journal_cursor *c, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = journal_segment_path(path, c->dir, c->segment, why);
    if (err != TS_OK) {
        return err;
    }
    if (c->fd >= 0) {
        (void)ts_disk_close(c->fd);
    }
    c->window_len = 0;
    c->fd = ts_disk_open(path, O_RDONLY, 0);
    uint64_t bytes = 0;
    if (c->fd < 0 || ts_disk_size(c->fd, &bytes) != 0) {
        return ts_why_sys(why, errno, "cannot open %s", path);
    }
    if (bytes < JOURNAL_SEGMENT_BYTES_MIN || bytes > JOURNAL_SEGMENT_BYTES_MAX) {
        return ts_why(why, TS_ERR_CORRUPT, "%s was cut or overwritten while in use", path);
    }
    c->size = (uint32_t)bytes;
    return TS_OK;
}

/* Makes at least `need` bytes from the offset on (or all up to the segment's end) stand in the
 * window. */
static enum ts_err fill_window(struct journal_cursor *c, size_t need, struct ts_why *why)
{
    size_t left = c->size - c->offset;
    /* Who reads little ends soon; who goes on gets more at a time. */
    size_t ahead = c->window_len < WINDOW_MIN ? WINDOW_MIN : 2 * c->window_len;
    ahead = ahead < WINDOW_MAX ? ahead : WINDOW_MAX;
    size_t want = need < ahead ? ahead : need;
    want = want < left ? want : left;
    if (c->window_cap < want) {
        uint8_t *grown = realloc(c->window, want);
        if (grown == NULL) {
            return ts_why(why, TS_ERR_NOMEM, "no memory to read the journal in %s", c->dir);
        }
        c->window = grown;
        c->window_cap = want;
    }
    char path[TS_PATH_MAX];
    enum ts_err err = journal_segment_path(path, c->dir, c->segment, why);
    if (err == TS_OK) {
        err = ts_fd_read_at(c->fd, path, c->window, want, c->offset, why);
    }
    if (err == TS_ERR_IO && want > need) {
        want = need; /* what cannot be read may lie behind it */
        err = ts_fd_read_at(c->fd, path, c->window, want, c->offset, why);
    }
    c->window_at = c->offset;
    c->window_len = err == TS_OK ? want : 0;
    return err;
}

/* Decodes the record at the offset, reading more bytes when it ends behind the window. */
static enum ts_err decode_here(struct journal_cursor *c, struct journal_record *r,
                               struct ts_why *why)
{
    if (c->offset > c->size || c->size - c->offset < JOURNAL_RECORD_HEADER) {
        return TS_ERR_CORRUPT;
    }
    for (;;) {
        size_t skip = c->offset - c->window_at;
        bool inside = c->window_len > 0 && c->offset >= c->window_at && skip < c->window_len;
        size_t have = inside ? c->window_len - skip : 0;
        if (have >= JOURNAL_RECORD_HEADER) {
            enum ts_err err = journal_record_decode(r, c->window + skip, have);
            if (err != TS_ERR_SHORT) {
                return err == TS_OK ? TS_OK : TS_ERR_CORRUPT;
            }
            if (have == c->size - c->offset) {
                return TS_ERR_CORRUPT; /* it ends behind its segment */
            }
        }
        size_t need = have >= JOURNAL_RECORD_HEADER
                          ? journal_record_need(c->window + skip, c->size - c->offset)
                          : JOURNAL_RECORD_HEADER;
        enum ts_err err = fill_window(c, need, why);
        if (err != TS_OK) {
            return err;
        }
    }
}

/* The record at the cursor, which stays there. */
static enum ts_err look(struct journal_cursor *c, struct journal_record *r, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    if (c->fd < 0) {
        err = open_segment(c, why);
    }
    if (err == TS_OK) {
        err = decode_here(c, r, why);
        if (err == TS_ERR_CORRUPT) {
            err = ts_why(why, TS_ERR_CORRUPT,
                         "a batch at byte %" PRIu32 " of segment %" PRIu64 " in %s is damaged",
                         c->offset, c->segment, c->dir);
        }
    }
    return err;
}

static void next_segment(struct journal_cursor *c)
{
    (void)ts_disk_close(c->fd);
    c->fd = -1;
    c->segment++;
    c->offset = JOURNAL_DATA_START;
}

enum ts_err journal_cursor_at_end(struct journal_cursor *c, bool *ended, struct ts_why *why)
{
    struct journal_record r;
    enum ts_err err = look(c, &r, why);
    *ended = err == TS_OK && r.kind == JOURNAL_KIND_END;
    if (*ended) {
        next_segment(c);
    }
    return err;
}

enum ts_err journal_cursor_next(struct journal_cursor *c, struct journal_record *r,
                                struct ts_why *why)
{
    for (;;) {
        enum ts_err err = look(c, r, why);
        if (err != TS_OK) {
            return err;
        }
        if (r->kind == JOURNAL_KIND_BATCH) {
            c->offset += (uint32_t)journal_record_extent(r);
            return TS_OK;
        }
        next_segment(c);
    }
}
