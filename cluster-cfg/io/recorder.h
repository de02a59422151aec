/* The event recorder: the latest trace events of a node's processes, in memory and in two
 * files of bounded size, so that a failover can be explained after the fact.
 *
 *   DIR/events.jsonl, DIR/events.1.jsonl   one JSON object a line, newest file first
 *
 * Sequence numbers rise by one within a run of the recorder; a restart leaves a gap, so that
 * a number is never given twice although the last lines of a killed run may be lost. Nothing is
 * fsynced: after a power cut the tail may be missing. That is fit for diagnostics and keeps the
 * recorder off the disk's slow path: writes happen on libuv's worker threads, one at a time, and
 * a hung disk only costs events in the file (they are counted). */
#ifndef CLUSTER_CFG_IO_RECORDER_H
#define CLUSTER_CFG_IO_RECORDER_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <uv.h>

#include "base/ids.h"
#include "base/io/files.h"
#include "base/trace.h"
#include "cluster-cfg/report.h"

#define RECORDER_EVENTS_DEFAULT 16384
#define RECORDER_FILE_BYTES_DEFAULT (8U * 1024U * 1024U)
/* Bytes that wait for the disk; further events stay out of the file. */
#define RECORDER_PENDING_MAX (1024U * 1024U)
/* Larger than the number of lines that may be under way when a run is killed. */
#define RECORDER_RESTART_GAP 32768

/* Who said it. */
struct recorder_source {
    enum report_proc_role role;
    struct ts_group_id group; /* of a replica, else 0 */
    struct ts_instance instance;
};

struct recorder_event {
    uint64_t seq;
    uint64_t wall_us; /* Unix time of the event, as this node's clock tells it */
    struct recorder_source source;
    struct ts_trace trace;
};

struct recorder_options {
    size_t events_max;     /* in memory; 0 = default */
    size_t file_bytes_max; /* of each of the two files; 0 = default */
};

struct recorder;

/* Reads what an earlier run left (lines that make no sense are skipped and counted) and opens
 * the file. Blocks. options may be NULL. Gives `*out`; recorder_close frees it.
 * TS_ERR_NOMEM, TS_ERR_SYSTEM and others: `why` says what. */
enum ts_err recorder_open(struct recorder **out, uv_loop_t *loop, const char *dir,
                          const struct recorder_options *options, struct ts_why *why) TS_MUST_USE;
/* Writes what waits, then calls `closed` (may be NULL) on the loop and frees. */
void recorder_close(struct recorder *r, void (*closed)(void *arg), void *arg);

/* Takes an event in; copies. Gives the event with its number, borrowed until the next call. */
const struct recorder_event *recorder_add(struct recorder *r, uint64_t wall_us,
                                          struct recorder_source source,
                                          const struct ts_trace *trace);

/* Copies the oldest events after number `since` (0 = from the beginning), at most `max`. */
size_t recorder_read(const struct recorder *r, uint64_t since, struct recorder_event *out,
                     size_t max);
uint64_t recorder_oldest(const struct recorder *r); /* 0 when empty */
uint64_t recorder_newest(const struct recorder *r); /* 0 when empty */
/* Events that did not reach the file, and lines that could not be read at open. */
uint64_t recorder_unwritten(const struct recorder *r);
uint64_t recorder_unreadable(const struct recorder *r);

/* One event as JSON, as the files and the admin protocol show it; NULL when memory is short.
 * Numbers above INT64_MAX appear as their negative two's complement. */
json_t *recorder_event_json(const struct recorder_event *e);
/* The way back. TS_ERR_MALFORMED. */
enum ts_err recorder_event_parse(struct recorder_event *e, const json_t *json) TS_MUST_USE;

/* "replica", "heartbeatd", …; static storage. */
const char *recorder_role_name(enum report_proc_role role);

#endif
