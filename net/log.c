#include "net/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/loop.h"

static const char *log_level_name(enum net_log_level level)
{
    switch (level) {
    case NET_LOG_INFO:
        return "info";
    case NET_LOG_WARNING:
        return "warning";
    case NET_LOG_ERROR:
        return "error";
    }
    ts_unreachable();
}

void net_log_init(struct net_log *l, const char *program, const char *node)
{
    *l = (struct net_log){.fd = STDERR_FILENO};
    (void)snprintf(l->program, sizeof(l->program), "%s", program);
    (void)snprintf(l->node, sizeof(l->node), "%s", node);
}

/* "2026-01-02T03:04:05.678Z info replica nic1 "; gives its length. */
static size_t log_prefix(const struct net_log *l, enum net_log_level level, char *out, size_t cap)
{
    struct timespec now = {0};
    struct tm tm = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    char stamp[32];
    (void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    int n = snprintf(out, cap, "%s.%03ldZ %s %s %s ", stamp, now.tv_nsec / 1000000,
                     log_level_name(level), l->program, l->node);
    ts_assert(n > 0 && (size_t)n < cap);
    return (size_t)n;
}

/* What peers and files said may be part of a message: it must not forge lines. */
static void log_clean(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f) {
            text[i] = '?';
        }
    }
}

static void __attribute__((format(printf, 4, 0)))
log_line(const struct net_log *l, enum net_log_level level, uint64_t held_back, const char *format,
         va_list args)
{
    char line[NET_LOG_LINE_MAX];
    size_t len = log_prefix(l, level, line, sizeof(line));
    size_t room = sizeof(line) - len - 1;
    int n = vsnprintf(line + len, room, format, args);
    if (n < 0) {
        return;
    }
    size_t body = (size_t)n < room ? (size_t)n : room - 1;
    if (held_back > 0) {
        size_t left = room - body;
        n = snprintf(line + len + body, left, " (%" PRIu64 " more like this were not logged)",
                     held_back);
        if (n > 0) {
            body += (size_t)n < left ? (size_t)n : left - 1;
        }
    }
    log_clean(line + len, body);
    len += body;
    line[len] = '\n';
    len++;
    /* One write a line: lines of several processes do not mix. A log that takes nothing
     * must not stop the service, so the result is looked at by nobody. */
    ssize_t written = write(l->fd, line, len);
    (void)written;
}

void net_log(const struct net_log *l, enum net_log_level level, const char *format, ...)
{
    if (l == NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    log_line(l, level, 0, format, args);
    va_end(args);
}

static void log_held(const struct net_log *l, struct net_log_key *k)
{
    if (k->held_back > 0) {
        net_log(l, NET_LOG_WARNING, "%" PRIu64 " more lines about \"%s\" were not logged",
                k->held_back, k->key);
        k->held_back = 0;
    }
}

void net_log_tell_held(struct net_log *l, struct ts_mono now, bool end)
{
    for (size_t i = 0; l != NULL && i < NET_LOG_KEYS; i++) {
        if (end || ts_mono_since(l->keys[i].window, now) >= NET_LOG_WINDOW_NS) {
            log_held(l, &l->keys[i]);
        }
    }
}

/* The slot of `key`; a new key takes a free slot, else the one whose window is the oldest. */
static struct net_log_key *log_key(struct net_log *l, const char *key)
{
    struct net_log_key *oldest = &l->keys[0];
    for (size_t i = 0; i < NET_LOG_KEYS; i++) {
        struct net_log_key *k = &l->keys[i];
        if (k->lines > 0 && strncmp(k->key, key, sizeof(k->key) - 1) == 0) {
            return k;
        }
        if (ts_mono_lt(k->window, oldest->window)) {
            oldest = k;
        }
    }
    log_held(l, oldest);
    *oldest = (struct net_log_key){.lines = 0};
    (void)snprintf(oldest->key, sizeof(oldest->key), "%s", key);
    return oldest;
}

bool net_log_limited(struct net_log *l, enum net_log_level level, const char *key,
                     const char *format, ...)
{
    if (l == NULL) {
        return false;
    }
    struct net_log_key *k = log_key(l, key);
    struct ts_mono now = net_now();
    if (k->lines == 0 || ts_mono_since(k->window, now) >= NET_LOG_WINDOW_NS) {
        k->window = now;
        k->lines = 0;
    }
    if (k->lines >= NET_LOG_BURST) {
        k->held_back++;
        return false;
    }
    k->lines++;
    uint64_t held_back = k->held_back;
    k->held_back = 0;
    va_list args;
    va_start(args, format);
    log_line(l, level, held_back, format, args);
    va_end(args);
    return true;
}
