/* The load oracle: concurrent clients whose every request has a known, checkable outcome.
 *
 * A load runs in a thread of its own, so that its clock does not stop while the lab kills
 * processes and waits for them. Each client keeps one request under way: APPENDs of unique
 * tokens, SETs of unique values, INCRs, and reads of each, over keys that all clients share.
 * The keys bear the load's tag: loads of different tags do not touch each other. Or they take
 * leases, keep them and give them back (lab/load_leases.h).
 *
 *   lab_load_start → (faults, meanwhile: lab_load_now) → lab_load_stop
 *                  → lab_load_reconcile (reads everything back, judges) → lab_load_free
 *
 * Functions are called from one thread, the controller's. */
#ifndef LAB_LOAD_H
#define LAB_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lab/check.h"
#include "lab/history.h"
#include "lab/resp_client.h"

#define LAB_CLIENTS_MAX 256
#define LAB_TAG_MAX 48

struct lab_load_config {
    char tag[LAB_TAG_MAX]; /* prefix of all keys; fresh for every load */
    struct lab_addrs addrs;
    unsigned clients;            /* 1..LAB_CLIENTS_MAX */
    unsigned keys;               /* of each object kind; 1.. */
    unsigned reads_percent;      /* share of reads among the operations */
    unsigned value_bytes;        /* length of SET values, 24..4096 */
    unsigned request_timeout_ms; /* then a request is ambiguous */
    unsigned give_up_ms;         /* a request that found no server for so long has failed */
    unsigned pause_us;           /* mean rest of a client between operations, 0 = none;
                                    whole milliseconds are rested, the others not at all */
    unsigned lease_ms; /* the clients take leases for so long, of `keys` names, in place of the
                          keys' operations; 0 = they do not */
    /* who the clients are, and how they speak: as in struct lab_client_config, borrowed */
    const struct net_tls_trust *trust;
    const char *user;
    const char *password;
    uint64_t seed;
    uint64_t ops_max; /* a client starts nothing more after so many operations in all; 0 = ever */
};

/* Sensible values: 16 clients, 8 keys, 30 % reads, 64 bytes, 400 ms, 60 s. */
struct lab_load_config lab_load_defaults(void);

/* What is going on now. */
struct lab_load_now {
    uint64_t acknowledged; /* replies so far, reads and writes */
    uint64_t ambiguous;
    uint64_t failed;
    unsigned in_flight;      /* requests written whose outcome is not known */
    uint64_t last_ack_ns;    /* uv_hrtime of the newest reply, 0 = none yet */
    uint64_t longest_gap_ns; /* between two replies, the present pause included; since the last
                                lab_load_reset_gap */
    uint64_t longest_gap_begin_ns; /* uv_hrtime of the reply before it */
};

struct lab_load;

/* Starts the clients. TS_ERR_SYSTEM when no thread can be made. Copies the config. */
enum ts_err lab_load_start(struct lab_load **out, const struct lab_load_config *config) TS_MUST_USE;

struct lab_load_now lab_load_now(struct lab_load *load);
/* Begins a new measurement of the longest gap. */
void lab_load_reset_gap(struct lab_load *load);
/* Waits until `more` replies came after this call, at most `timeout_ms`; false when not. */
bool lab_load_wait_acks(struct lab_load *load, uint64_t more, unsigned timeout_ms);

/* Lets every request under way end (at most request_timeout_ms), then ends the thread.
 * No effect when it was stopped before. */
void lab_load_stop(struct lab_load *load);

/* Reads every key back, adds these reads to the history, judges it all. Precondition: stopped.
 * May be repeated, after more faults: the verdict then covers all reads so far.
 * TS_ERR_TIMEOUT when the service does not answer within `timeout_ms`: then `v` judges the answers
 * by each other alone. */
enum ts_err lab_load_reconcile(struct lab_load *load, unsigned timeout_ms,
                               struct lab_verdict *v) TS_MUST_USE;

/* Borrowed; precondition: stopped. */
const struct lab_history *lab_load_history(const struct lab_load *load);
/* Writes the history as JSON, one operation a line, the reads of lab_load_reconcile included, for
 * `lincheck` (tests/lincheck). Precondition: stopped. TS_ERR_IO when the stream fails. */
enum ts_err lab_load_write_history(const struct lab_load *load, FILE *out) TS_MUST_USE;
/* Sums over the clients; precondition: stopped. */
struct lab_client_stats lab_load_client_stats(const struct lab_load *load);

/* Stops and frees. NULL is allowed. */
void lab_load_free(struct lab_load *load);

#endif
