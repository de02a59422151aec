#include "cluster-cfg/io/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

#define FILE_MODE 0600
/* Longer lines are none of ours. */
#define LINE_MAX_BYTES 1024

/* What the worker thread works on while `busy`; the loop does not touch it then. */
struct recorder_write {
    int fd; /* -1: to be opened */
    size_t file_bytes;
    size_t file_bytes_max;
    char *data;
    size_t len;
    uint64_t lines;
    uint64_t failed_lines; /* of this write */
    char path[TS_PATH_MAX];
    char older[TS_PATH_MAX];
};

struct recorder {
    struct recorder_event *ring; /* config */
    size_t ring_max;
    uv_loop_t *loop;

    size_t first; /* volatile: index of the oldest */
    size_t count;
    uint64_t next_seq;
    char *pending; /* RECORDER_PENDING_MAX bytes */
    size_t pending_len;
    uint64_t pending_lines;
    struct recorder_write write;
    uv_work_t work;
    bool busy;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;

    uint64_t unwritten; /* statistics */
    uint64_t unreadable;
};

static void keep(struct recorder *r, const struct recorder_event *e)
{
    r->ring[(r->first + r->count) % r->ring_max] = *e;
    if (r->count < r->ring_max) {
        r->count++;
    } else {
        r->first = (r->first + 1) % r->ring_max;
    }
}

static void load_line(struct recorder *r, const char *line, size_t len)
{
    struct recorder_event e;
    json_t *json = json_loadb(line, len, 0, NULL);
    enum ts_err err = recorder_event_parse(&e, json);
    json_decref(json);
    /* Numbers rise through both files; anything else was not written by a recorder. */
    if (err != TS_OK || e.seq < r->next_seq || e.seq > UINT64_MAX / 2) {
        r->unreadable++;
        return;
    }
    keep(r, &e);
    r->next_seq = e.seq + 1;
}

static enum ts_err load_file(struct recorder *r, const char *path, struct ts_why *why)
{
    uint8_t *data = NULL;
    size_t len = 0;
    enum ts_err err =
        ts_file_read(path, r->write.file_bytes_max + LINE_MAX_BYTES, &data, &len, why);
    if (err == TS_ERR_NOT_FOUND) {
        return TS_OK;
    }
    if (err == TS_ERR_LIMIT) {
        /* Not written with this limit: start anew rather than refuse to run over a log. */
        r->unreadable++;
        return TS_OK;
    }
    if (err != TS_OK) {
        return err;
    }
    const char *at = (const char *)data;
    const char *end = at + len;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL) {
            r->unreadable++; /* a killed run's last write */
            break;
        }
        load_line(r, at, (size_t)(line_end - at));
        at = line_end + 1;
    }
    free(data);
    return TS_OK;
}

/* An unfinished last line would swallow the first new one: begin on a fresh line. */
static void end_torn_line(int fd, size_t *size)
{
    char last = '\n';
    if (*size > 0 && pread(fd, &last, 1, (off_t)*size - 1) == 1 && last != '\n' &&
        write(fd, "\n", 1) == 1) {
        *size += 1;
    }
}

/* On the worker thread, or before the loop runs. */
static enum ts_err open_file(struct recorder_write *w, struct ts_why *why)
{
    w->fd = open(w->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, FILE_MODE);
    if (w->fd < 0) {
        return ts_why_sys(why, errno, "cannot open %s for the recorded events", w->path);
    }
    struct stat st;
    w->file_bytes = fstat(w->fd, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size : 0;
    end_torn_line(w->fd, &w->file_bytes);
    return TS_OK;
}

static void rotate(struct recorder_write *w)
{
    (void)close(w->fd);
    w->fd = -1;
    if (rename(w->path, w->older) == 0) {
        (void)open_file(w, NULL);
    }
}

static void write_on_worker(uv_work_t *work)
{
    struct recorder *r = work->data;
    struct recorder_write *w = &r->write;
    if (w->fd >= 0 && w->file_bytes > 0 && w->file_bytes + w->len > w->file_bytes_max) {
        rotate(w);
    }
    if (w->fd < 0) {
        (void)open_file(w, NULL);
    }
    size_t done = 0;
    while (w->fd >= 0 && done < w->len) {
        ssize_t n = write(w->fd, w->data + done, w->len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    w->file_bytes += done;
    w->failed_lines = done == w->len ? 0 : w->lines;
}

static void recorder_free(struct recorder *r)
{
    if (r->write.fd >= 0) {
        (void)close(r->write.fd);
    }
    free(r->ring);
    free(r->pending);
    free(r->write.data);
    free(r);
}

static void after_write(uv_work_t *work, int status);

/* Hands what waits to the worker, unless it is busy: it comes back for the rest. */
static void flush(struct recorder *r)
{
    if (r->busy) {
        return;
    }
    if (r->pending_len == 0) {
        if (r->closing) {
            void (*closed)(void *arg) = r->closed;
            void *arg = r->closed_arg;
            recorder_free(r);
            if (closed != NULL) {
                closed(arg);
            }
        }
        return;
    }
    char *data = r->write.data;
    r->write.data = r->pending;
    r->write.len = r->pending_len;
    r->write.lines = r->pending_lines;
    r->pending = data;
    r->pending_len = 0;
    r->pending_lines = 0;
    r->busy = true;
    r->work.data = r;
    int rc = uv_queue_work(r->loop, &r->work, write_on_worker, after_write);
    ts_assert(rc == 0);
}

static void after_write(uv_work_t *work, int status)
{
    struct recorder *r = work->data;
    r->busy = false;
    r->unwritten += status == 0 ? r->write.failed_lines : r->write.lines;
    flush(r);
}

static enum ts_err load(struct recorder *r, const char *dir, struct ts_why *why)
{
    enum ts_err err = ts_path(r->write.path, why, dir, "events.jsonl");
    err = err != TS_OK ? err : ts_path(r->write.older, why, dir, "events.1.jsonl");
    err = err != TS_OK ? err : load_file(r, r->write.older, why);
    err = err != TS_OK ? err : load_file(r, r->write.path, why);
    if (err != TS_OK) {
        return err;
    }
    if (r->next_seq > 1) {
        r->next_seq += RECORDER_RESTART_GAP;
    }
    return open_file(&r->write, why);
}

enum ts_err recorder_open(struct recorder **out, uv_loop_t *loop, const char *dir,
                          const struct recorder_options *options, struct ts_why *why)
{
    struct recorder *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory for the event recorder; free some");
    }
    r->loop = loop;
    r->write.fd = -1;
    r->next_seq = 1;
    r->ring_max = options != NULL ? options->events_max : 0;
    r->ring_max = r->ring_max == 0 ? RECORDER_EVENTS_DEFAULT : r->ring_max;
    r->write.file_bytes_max = options != NULL ? options->file_bytes_max : 0;
    if (r->write.file_bytes_max == 0) {
        r->write.file_bytes_max = RECORDER_FILE_BYTES_DEFAULT;
    }
    r->ring = calloc(r->ring_max, sizeof(*r->ring));
    r->pending = malloc(RECORDER_PENDING_MAX);
    r->write.data = malloc(RECORDER_PENDING_MAX);
    enum ts_err err = TS_OK;
    if (r->ring == NULL || r->pending == NULL || r->write.data == NULL) {
        err = ts_why(why, TS_ERR_NOMEM, "out of memory for the event recorder; free some");
    } else {
        err = load(r, dir, why);
    }
    if (err != TS_OK) {
        recorder_free(r);
        return err;
    }
    *out = r;
    return TS_OK;
}

void recorder_close(struct recorder *r, void (*closed)(void *arg), void *arg)
{
    ts_assert(!r->closing);
    r->closing = true;
    r->closed = closed;
    r->closed_arg = arg;
    flush(r);
}

static void queue_line(struct recorder *r, const struct recorder_event *e)
{
    json_t *json = recorder_event_json(e);
    size_t room = RECORDER_PENDING_MAX - r->pending_len;
    size_t n = json == NULL ? 0 : json_dumpb(json, r->pending + r->pending_len, room, JSON_COMPACT);
    json_decref(json);
    if (n == 0 || n + 1 > room) {
        r->unwritten++;
        return;
    }
    r->pending[r->pending_len + n] = '\n';
    r->pending_len += n + 1;
    r->pending_lines++;
    flush(r);
}

const struct recorder_event *recorder_add(struct recorder *r, uint64_t wall_us,
                                          struct recorder_source source,
                                          const struct ts_trace *trace)
{
    ts_assert(!r->closing);
    struct recorder_event e = {
        .seq = r->next_seq++, .wall_us = wall_us, .source = source, .trace = *trace};
    keep(r, &e);
    queue_line(r, &e);
    return &r->ring[(r->first + r->count - 1) % r->ring_max];
}

/* Numbers rise along the ring: the first one after `since` by bisection. */
size_t recorder_read(const struct recorder *r, uint64_t since, struct recorder_event *out,
                     size_t max)
{
    size_t low = 0;
    size_t high = r->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (r->ring[(r->first + mid) % r->ring_max].seq <= since) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    size_t n = 0;
    while (low + n < r->count && n < max) {
        out[n] = r->ring[(r->first + low + n) % r->ring_max];
        n++;
    }
    return n;
}

uint64_t recorder_oldest(const struct recorder *r)
{
    return r->count == 0 ? 0 : r->ring[r->first].seq;
}

uint64_t recorder_newest(const struct recorder *r)
{
    return r->count == 0 ? 0 : r->ring[(r->first + r->count - 1) % r->ring_max].seq;
}

uint64_t recorder_unwritten(const struct recorder *r)
{
    return r->unwritten;
}

uint64_t recorder_unreadable(const struct recorder *r)
{
    return r->unreadable;
}
