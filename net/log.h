/* One line a message on standard error:
 *     2026-01-02T03:04:05.678Z info replica nic1 message
 * What a peer can cause at will is logged with a limit per call site. */
#ifndef NET_LOG_H
#define NET_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"

#define NET_LOG_NAME_MAX 64
#define NET_LOG_LINE_MAX 1024 /* bytes; a longer line is cut */
#define NET_LOG_KEYS 64
#define NET_LOG_BURST 5 /* lines a key within one window */
#define NET_LOG_WINDOW_NS (10 * TS_NS_PER_S)

enum net_log_level {
    NET_LOG_INFO,
    NET_LOG_WARNING,
    NET_LOG_ERROR,
};

struct net_log_key {
    char key[32];
    struct ts_mono window; /* when the present window began */
    uint32_t lines;        /* written in it */
    uint64_t held_back;    /* not written since the last written one */
};

struct net_log {
    char program[NET_LOG_NAME_MAX]; /* config */
    char node[NET_LOG_NAME_MAX];
    int fd;
    struct net_log_key keys[NET_LOG_KEYS]; /* volatile: the limiter */
};

/* `program` and `node` are copied (cut when too long); lines go to descriptor 2. */
void net_log_init(struct net_log *l, const char *program, const char *node);
/* Writes one line; control characters become '?'. Does not allocate. May be called from any
 * thread. NULL `l` writes nothing. */
void net_log(const struct net_log *l, enum net_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, at most NET_LOG_BURST lines a window for each `key`; the next line says how many
 * were held back, or net_log_tell_held when none follows. Loop thread only. Gives whether the line
 * was written. */
bool net_log_limited(struct net_log *l, enum net_log_level level, const char *key,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Tells how many lines were held back of each key whose window is over, or with `end`, before the
 * process ends, of every key: a flood that stopped is not left without its number. To be called now
 * and then; loop thread only. NULL `l` does nothing. */
void net_log_tell_held(struct net_log *l, struct ts_mono now, bool end);

#endif
