/* The checkers: given a load's history and what was read back at the end, is there an order of
 * execution that explains every answer, with nothing acknowledged lost and nothing executed
 * twice? Pure; tests/unit/test_lab_check.c feeds them histories that they must refuse.
 *
 * Time order means: operation A precedes B when A ended before B began. An ambiguous operation
 * never ends: it may take effect at any time after its begin, once, or not at all.
 *
 *   lists      the final content fixes one order of the APPENDs; acknowledged lengths, lengths
 *              read, and time order must agree with it
 *   registers  unique values: exact test of atomicity by zones.
 *              Source: Gibbons & Korach, "Testing Shared Memories", SIAM J. Comput. 26(4), 1997,
 *              theorem 4.1 (values written once, reads mapped to writes)
 *   leases     one holder at a time, for its time at least, with rising tokens: check_lease.c
 *   counters   acknowledged results unique and rising in time order; the final value lies
 *              between acknowledged and acknowledged + ambiguous */
#ifndef LAB_CHECK_H
#define LAB_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "lab/history.h"

#define LAB_FINDINGS_MAX 8
#define LAB_FINDING_BYTES 240

struct lab_verdict {
    /* what the clients were told */
    uint64_t acknowledged; /* writes with a reply */
    uint64_t reads;        /* reads with a reply */
    uint64_t failed;       /* answered as not executed, reads and writes */
    uint64_t ambiguous;    /* writes sent whose outcome stayed unknown */

    /* broken promises: all must be 0 */
    uint64_t lost;           /* acknowledged writes that are gone */
    uint64_t executed_twice; /* requests that took effect more than once */
    uint64_t stale_reads;    /* reads of a state older than one acknowledged before */
    uint64_t phantoms;       /* effects of failed requests, or of none */
    uint64_t disorder;       /* no order of execution explains the answers */
    uint64_t
        lease_violations; /* two holders, a lease that ended early, a token that did not rise */

    /* of leases, when there were any; statistics */
    uint64_t leases_granted; /* with a token of their own */
    uint64_t leases_renewed; /* kept, or granted again with the same token */
    uint64_t leases_lost;    /* found gone by their owner, whose time was over */
    uint64_t leases_expired; /* granted to another without having been given back */

    /* the first broken promises, for people */
    size_t finding_count;
    char findings[LAB_FINDINGS_MAX][LAB_FINDING_BYTES];
};

/* What was read back of one list key after the load. Its content is borrowed. */
struct lab_final_list {
    uint32_t key;
    struct ts_bytes content; /* empty when the key does not exist */
};

/* Judges. The final state of registers and counters is given as ordinary GET and COUNT
 * operations at the end of the history. `lists` NULL: nothing could be read back; then the answers
 * are judged by each other alone. */
void lab_check(const struct lab_history *h, const struct lab_final_list *lists, size_t list_count,
               struct lab_verdict *v);

/* Whether every promise held. */
bool lab_verdict_ok(const struct lab_verdict *v);
/* Adds `b` to `a`, findings while there is room. */
void lab_verdict_add(struct lab_verdict *a, const struct lab_verdict *b);
/* "acknowledged 4711, lost 0, …"; always NUL-terminated. */
void lab_verdict_text(const struct lab_verdict *v, char *out, size_t cap);

/* ---- shared by the checkers of one object each ---- */

/* The operations on one key, in order of their begin. Borrowed. */
struct lab_slice {
    enum lab_object object;
    uint32_t key;
    const struct lab_op **ops;
    size_t count;
};

void lab_check_list(const struct lab_slice *s, struct ts_bytes content, struct lab_verdict *v);
void lab_check_register(const struct lab_slice *s, struct lab_verdict *v);
void lab_check_counter(const struct lab_slice *s, struct lab_verdict *v);
/* `time_ns`: for how long the leases were asked for. */
void lab_check_lease(const struct lab_slice *s, uint64_t time_ns, struct lab_verdict *v);
/* For objects whose state is a number that only grows, and whose writers see it: every result
 * must exceed (a write) or reach (a read) those known before its begin. A read that does not
 * is stale; a write that does not is disorder. */
void lab_check_growth(const struct lab_slice *s, struct lab_verdict *v);
/* Records a finding; printf-like. */
void lab_find(struct lab_verdict *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "t<8 hex digits>;" is token `id`. Ids run from 1. */
void lab_token_encode(uint32_t id, uint8_t out[LAB_TOKEN_BYTES]);
/* 0 when it is no token. */
uint32_t lab_token_decode(const uint8_t in[LAB_TOKEN_BYTES]);

#endif
