/* The config record C of a group (R1.1): who is primary, who must acknowledge.
 * It is the value that the register agrees on; every change raises the epoch. */
#ifndef CLUSTER_CFG_CONFIG_H
#define CLUSTER_CFG_CONFIG_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"

/* A replica with the disk it was enrolled with. */
struct cfg_replica {
    struct ts_nic_id nic;
    struct ts_incarnation incarnation;
};

/* A bounded set of replicas, at most one entry a NIC, in rising order of NIC ids (cfg_set_add
 * keeps it so): equal sets have equal bytes. */
struct cfg_set {
    uint8_t count;
    struct cfg_replica r[TS_MEMBERS_MAX];
};

/* Where a voter's disk is on its way into the place of a lost one (R1.6, adr/0029). */
enum cfg_voter_phase {
    CFG_VOTER_VOTES = 0,
    /* Decided with this: the lost disk is out, and this one does not count yet. */
    CFG_VOTER_JOINS = 1,
    /* Proposed once JOINS is decided; this disk stores it when it knows all starts that the others
     * know. It does not count yet. */
    CFG_VOTER_REWRITTEN = 2,
};

/* A voter's disk. */
struct cfg_voter {
    struct ts_incarnation incarnation;
    enum cfg_voter_phase phase;
};

/* The disks whose promises count, in the order of the voters; all but one of them vote. None:
 * whichever disk a voter has counts (models and tests of the register alone). */
struct cfg_voters {
    uint8_t count;
    struct cfg_voter v[TS_VOTERS_MAX];
};

enum cfg_durability {
    CFG_DURABILITY_DISK = 0,   /* acknowledge after fdatasync (default) */
    CFG_DURABILITY_MEMORY = 1, /* acknowledge on receipt (R2.10) */
};

struct cfg_config {
    struct ts_epoch epoch;
    struct ts_nic_id primary;
    struct cfg_set in_sync;
    struct cfg_set members;
    enum cfg_durability durability;
    uint32_t min_version;
    struct ts_seq suspect;       /* R5.2: seq of an unexplained divergence, 0 = none */
    struct cfg_voters voters;    /* of this register */
    struct ts_instance proposer; /* process instance that proposed this value */
    uint64_t nonce;              /* random per proposal: recognises one's own (R1.4) */
};

/* The longest encoding of a config record, bytes. */
#define CFG_CONFIG_ENCODED_MAX (64 + 2 * (1 + TS_MEMBERS_MAX * 10) + 1 + TS_VOTERS_MAX * 9)

/* Pure queries; they borrow. */
const struct cfg_replica *cfg_set_find(const struct cfg_set *s, struct ts_nic_id nic);
bool cfg_set_eq(const struct cfg_set *a, const struct cfg_set *b);
bool cfg_set_has(const struct cfg_set *s, struct ts_nic_id nic, struct ts_incarnation inc);
/* Bit n set for NIC n (NICs 1..63). */
uint64_t cfg_set_mask(const struct cfg_set *s);
/* Adds or replaces; asserts that there is room. */
void cfg_set_add(struct cfg_set *s, struct cfg_replica r);
/* No effect when the NIC is absent. */
void cfg_set_remove(struct cfg_set *s, struct ts_nic_id nic);
bool cfg_voters_eq(const struct cfg_voters *a, const struct cfg_voters *b);
/* Whether what voter `index` says counts while it has this disk. */
bool cfg_voters_count(const struct cfg_voters *s, uint8_t index, struct ts_incarnation disk);
/* The voter that is being replaced; s->count when none is. */
uint8_t cfg_voters_joining(const struct cfg_voters *s);
/* Whether `to` may be proposed when `from` is decided: at most one voter goes one step on, and a
 * disk joins only while no other voter is being replaced. */
bool cfg_voters_follow(const struct cfg_voters *from, const struct cfg_voters *to);
bool cfg_config_eq(const struct cfg_config *a, const struct cfg_config *b);
/* Whether it can be a decided value: epoch ≥ 1, sets in order with ids in range and incarnations
 * not 0, in_sync non-empty and ⊆ members, primary ∈ in_sync, voters with different incarnations,
 * at most one of them not voting. */
bool cfg_config_valid(const struct cfg_config *c);

/* Codec; begins with a format version. The encoder asserts cfg_config_valid; the decoder
 * fails the reader for any record that cfg_config_valid refuses. */
void cfg_config_encode(const struct cfg_config *c, struct ts_writer *w);
void cfg_config_decode(struct cfg_config *c, struct ts_reader *r);

#endif
