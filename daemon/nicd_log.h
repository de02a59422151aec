/* The log file of one child: what comes from its standard error, appended to DIR/log/NAME.log
 * and bounded by rotation to NAME.log.1.
 *
 * The disk may hang, and nicd must notice exits all the same: lines are gathered in memory and
 * written on libuv's thread pool, one write in flight. When the memory is full, lines are dropped
 * and counted, and the log says so. */
#ifndef DAEMON_NICD_LOG_H
#define DAEMON_NICD_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/err.h"

#define NICD_LOG_FILE_MAX (4U * 1024 * 1024) /* bytes of each of the two files */
#define NICD_LOG_BUFFER (64U * 1024)
#define NICD_LOG_PATH_MAX 1024
#define NICD_LOG_LAST_MAX 256

struct nicd_log {
    uv_loop_t *loop; /* config */
    char path[NICD_LOG_PATH_MAX];
    uv_work_t work; /* volatile */
    bool writing;   /* the work runs: it owns `flying` */
    size_t gathered_len;
    size_t flying_len;
    uint64_t dropped;             /* bytes, since the last line that said so */
    char last[NICD_LOG_LAST_MAX]; /* the newest whole line, NUL-terminated; "" when none */
    size_t last_len;              /* of the line that is still coming in `next` */
    char next[NICD_LOG_LAST_MAX];
    char gathered[NICD_LOG_BUFFER];
    char flying[NICD_LOG_BUFFER];
};

/* TS_ERR_LIMIT: the path is too long. Opens no file yet. */
enum ts_err nicd_log_open(struct nicd_log *l, uv_loop_t *loop, const char *dir,
                          const char *name) TS_MUST_USE;
/* Appends; never blocks. */
void nicd_log_write(struct nicd_log *l, const char *data, size_t n);
/* Forgets the last line: a new process begins. */
void nicd_log_begin(struct nicd_log *l);
/* Whether all is written. */
bool nicd_log_idle(const struct nicd_log *l);

#endif
