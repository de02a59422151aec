/* How the load's operations look on the wire, and reading all of it back: shared by the load
 * and its reconciliation. */
#ifndef LAB_LOAD_KEYS_H
#define LAB_LOAD_KEYS_H

#include <stdio.h>

#include "lab/check.h"
#include "lab/history.h"
#include "lab/resp_client.h"

#define LAB_VALUE_MIN 24
#define LAB_VALUE_MAX 4096
#define LAB_KEY_BYTES 96

/* One command; the arguments point into this struct and the caller's value buffer. */
struct lab_request {
    char key[LAB_KEY_BYTES];
    char owner[24]; /* of leases */
    char ms[16];    /* of leases */
    struct ts_bytes argv[4];
    size_t argc;
};

/* Makes the command of `op`, which is of a key (lab_lease_request: of a lease). `value`
 * (LAB_VALUE_MAX bytes, borrowed as long as the request) receives the token or the value of
 * `value_bytes` bytes. */
void lab_request_make(struct lab_request *r, const char *tag, const struct lab_op *op,
                      unsigned value_bytes, uint8_t *value);

/* Reads a reply into op's value or result. False when it cannot be the answer to `op`. */
bool lab_take_answer(struct lab_op *op, const struct lab_reply *reply);

/* How a load spells its keys and values. */
struct lab_words {
    const char *tag;
    unsigned value_bytes;
    unsigned lease_ms;
};

/* One JSON object a line, as tests/lincheck/README.md tells: what `lincheck` judges.
 * TS_ERR_IO when the stream fails. */
enum ts_err lab_history_write(const struct lab_history *h, const struct lab_words *words,
                              FILE *out) TS_MUST_USE;

/* Adds up. */
void lab_client_stats_add(struct lab_client_stats *sum, const struct lab_client_stats *more);

/* Reading back: every key of every object kind, one after the other. */
struct lab_readback {
    const char *tag;
    struct lab_addrs addrs;
    const struct net_tls_trust *trust; /* these three as in struct lab_client_config */
    const char *user;
    const char *password;
    unsigned keys;
    uint16_t reader; /* client number in the history */
    unsigned request_timeout_ms;
    unsigned timeout_ms;
    struct lab_history *history;  /* borrowed: receives the reads */
    struct lab_final_list *lists; /* result, `keys` of them */
};

/* TS_ERR_TIMEOUT: no answer in time; TS_ERR_MALFORMED: an answer of a wrong type.
 * The result is freed by lab_readback_free in any case. */
enum ts_err lab_read_back(struct lab_readback *back) TS_MUST_USE;
void lab_readback_free(struct lab_readback *back);

#endif
