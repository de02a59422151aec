/* The determinism check: every service goes through it.
 *
 * A random log is applied to two replicas side by side. One is plain: fresh sinks, walks done at
 * once. The other one lives as differently as a replica may: other limits that must not show (hash
 * seeds), other addresses, answers of a whole batch in one sink, reads in between, walks a piece
 * at a time between entries; and now and then it is thrown away, made anew by a load of its last
 * walk and the log behind that.
 *
 * After each entry both have written the same bytes and want the same next tick; walks that were
 * begun at one seq have the same pieces; who is to answer does, in so many bytes as there is room
 * for. At the end walks that are cut or of another format must be refused, garbled commands be
 * answered alike, and TICKs get done what is due. A hash over all of it is to be the same on every
 * machine, so that a test compares it with what was seen on another architecture. */
#ifndef TESTS_SERVICE_SVC_CHECK_H
#define TESTS_SERVICE_SVC_CHECK_H

#include "base/prng.h"
#include "services/svc.h"

#define SVC_CHECK_PAYLOAD_MAX (256U * 1024U)
#define SVC_CHECK_LIMITS 3

struct svc_check {
    const struct svc *svc;
    const char *limits[SVC_CHECK_LIMITS]; /* the plain one's; the other one's, in turn */
    uint64_t seed;
    uint64_t entries;
    uint32_t walk_every; /* entries between walks, on average */
    uint64_t step_ns;    /* the most that logical time moves with an entry */
    uint32_t
        pieces_in_hundred; /* of a hundred entries under a walk, so many are followed by a piece */
    /* Each writes a random command's payload and gives its length, at most `cap`. */
    size_t (*command)(struct ts_prng *p, uint8_t *payload, size_t cap);
    size_t (*query)(struct ts_prng *p, uint8_t *payload, size_t cap); /* for read() */
};

struct svc_check_result {
    bool same;
    uint64_t seq;   /* where it ended: behind the last entry, or the one that differs */
    char text[160]; /* what differs */
    struct ts_hash digest;
    uint64_t walks;  /* that the other one finished while entries were applied */
    uint64_t pieces; /* of them */
    uint64_t loads;
    uint64_t applied_under_walk; /* entries */
};

/* For cmocka: the digest is what it was on every machine so far. When a service answers or walks
 * differently on purpose, the new one is printed. */
#define SVC_CHECK_DIGEST(result, lo_, hi_) \
    do { \
        if ((result).digest.lo != (lo_) || (result).digest.hi != (hi_)) { \
            fail_msg("the digest is 0x%016llx, 0x%016llx", (unsigned long long)(result).digest.lo, \
                     (unsigned long long)(result).digest.hi); \
        } \
    } while (0)

struct svc_check_result svc_check_run(const struct svc_check *check);

/* A whole walk at once: its pieces, one after another in `out`, whose data the caller frees
 * (svc_out_free). `ends` gets where each one ends, at most `cap` of them; gives their number. */
size_t svc_check_walk(const struct svc *svc, void *state, struct svc_out *out, size_t *ends,
                      size_t cap);
/* Loads such pieces into a state fresh from create. */
enum ts_err svc_check_load(const struct svc *svc, void *state, const struct svc_out *walk,
                           const size_t *ends, size_t pieces) TS_MUST_USE;

#endif
