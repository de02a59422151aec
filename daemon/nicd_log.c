#include "daemon/nicd_log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

enum ts_err nicd_log_open(struct nicd_log *l, uv_loop_t *loop, const char *dir, const char *name)
{
    *l = (struct nicd_log){.loop = loop};
    l->work.data = l;
    int n = snprintf(l->path, sizeof(l->path), "%s/log/%s.log", dir, name);
    return n > 0 && n < (int)sizeof(l->path) ? TS_OK : TS_ERR_LIMIT;
}

/* Makes room when the file would grow beyond its limit. */
static void rotate(const char *path, size_t coming)
{
    char old[NICD_LOG_PATH_MAX + 2];
    struct stat st;
    if (stat(path, &st) == 0 && (uint64_t)st.st_size + coming > NICD_LOG_FILE_MAX) {
        (void)snprintf(old, sizeof(old), "%s.1", path);
        (void)rename(path, old);
    }
}

/* On a thread of the pool. A log that cannot be written has nowhere to say so. */
static void write_flying(uv_work_t *work)
{
    const struct nicd_log *l = (const struct nicd_log *)work->data;
    rotate(l->path, l->flying_len);
    int fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) {
        return;
    }
    for (size_t done = 0; done < l->flying_len;) {
        ssize_t n = write(fd, l->flying + done, l->flying_len - done);
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    (void)close(fd);
}

static void start_write(struct nicd_log *l);

static void on_written(uv_work_t *work, int status)
{
    struct nicd_log *l = (struct nicd_log *)work->data;
    (void)status;
    l->writing = false;
    l->flying_len = 0;
    start_write(l);
}

/* Adds the line about dropped bytes, once there is room again. */
static void tell_dropped(struct nicd_log *l)
{
    char line[96];
    int n = snprintf(line, sizeof(line),
                     "(nicd dropped %" PRIu64 " bytes here: the disk was slow)\n", l->dropped);
    ts_assert(n > 0);
    if (l->dropped > 0 && l->gathered_len + (size_t)n <= sizeof(l->gathered)) {
        memcpy(l->gathered + l->gathered_len, line, (size_t)n);
        l->gathered_len += (size_t)n;
        l->dropped = 0;
    }
}

static void start_write(struct nicd_log *l)
{
    if (l->writing || l->gathered_len == 0) {
        return;
    }
    memcpy(l->flying, l->gathered, l->gathered_len);
    l->flying_len = l->gathered_len;
    l->gathered_len = 0;
    tell_dropped(l);
    l->writing = uv_queue_work(l->loop, &l->work, write_flying, on_written) == 0;
    ts_assert(l->writing); /* fails only without a callback */
}

/* Keeps the newest whole line, for the sentence about an exit. */
static void follow_lines(struct nicd_log *l, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n') {
            memcpy(l->last, l->next, l->last_len);
            l->last[l->last_len] = '\0';
            l->last_len = 0;
        } else if (l->last_len + 1 < sizeof(l->next)) {
            l->next[l->last_len++] = data[i];
        }
    }
}

void nicd_log_write(struct nicd_log *l, const char *data, size_t n)
{
    follow_lines(l, data, n);
    if (n > sizeof(l->gathered) - l->gathered_len) {
        l->dropped += n;
    } else {
        memcpy(l->gathered + l->gathered_len, data, n);
        l->gathered_len += n;
    }
    start_write(l);
}

void nicd_log_begin(struct nicd_log *l)
{
    l->last[0] = '\0';
    l->last_len = 0;
}

bool nicd_log_idle(const struct nicd_log *l)
{
    return !l->writing && l->gathered_len == 0;
}
