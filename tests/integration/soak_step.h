/* What every kind of fault does before and after the harm: it begins on a pair that is whole and
 * under load, and ends when the pair is whole again and clients go on. */
#ifndef TESTS_INTEGRATION_SOAK_STEP_H
#define TESTS_INTEGRATION_SOAK_STEP_H

#include "tests/integration/soak.h"

/* Generous bounds: they end a hung run, they judge no speed. */
#define SOAK_ACKS_MS_MAX 30000
#define SOAK_SHOW_MS_MAX 20000

/* One fault on its way. */
struct soak_step {
    struct soak *s;
    struct soak_fault *out;
    struct ts_why why;
    unsigned primary;   /* index of the NIC whose replica was primary before */
    unsigned secondary; /* the other one */
    uint64_t epoch;     /* before */
    struct lab_state before;
    struct lab_state after; /* the state that settled */
    unsigned probe_round;
};

/* Adds to the fault's text. */
void soak_say(struct soak_step *st, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the fault as a failure, false: the sentence and what every replica says. */
bool soak_wrong(struct soak_step *st, const char *sentence);
const char *soak_node(const struct soak_step *st, unsigned index);

typedef bool soak_state_test(const struct soak_step *st, const struct lab_state *now);
/* The epoch is higher than before the fault. */
soak_state_test soak_is_newer;
/* Polls until `test` holds throughout `steady_ms`; `now` is then the state that passed it. A node
 * that is too busy to answer just then counts as a state that does not. False after `timeout_ms`,
 * and (then the fault has ended) at a state that may never be seen. */
bool soak_wait_state(struct soak_step *st, soak_state_test *test, unsigned steady_ms,
                     unsigned timeout_ms, struct lab_state *now);

/* Waits until the pair is whole and clients are served; fills what the step says of before. */
bool soak_begin(struct soak_step *st);
bool soak_strike(struct soak_step *st, struct lab_fault *f);
bool soak_heal(struct soak_step *st, struct lab_fault *f);
/* Waits until the epoch has risen, and clients are served in it. `sentence`: when it does not. */
bool soak_carried_on(struct soak_step *st, const char *sentence);

/* Redundancy is back and clients go on. `raised`: the epoch must have risen. */
bool soak_settle(struct soak_step *st, bool raised);
/* And redundancy was never lost: same primary, same epoch. */
bool soak_settle_unmoved(struct soak_step *st);
/* And the primary stayed: only the in-sync set changed, out and in again. */
bool soak_settle_same_primary(struct soak_step *st, bool raised);

/* soak_disk.c: the kinds that need failing disks, and those of the operator's new disk. */
bool soak_disk_kind(struct soak_step *st, enum soak_kind kind);

#endif
