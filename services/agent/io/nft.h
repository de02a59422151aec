/* The nft tables of a transport node: reading them by netlink, writing them with libnftables. */
#ifndef SERVICES_AGENT_IO_NFT_H
#define SERVICES_AGENT_IO_NFT_H

#include <nftables/libnftables.h>

#include "services/agent/io/rtnl.h"
#include "services/agent/ruleset.h"

#define AGENT_CHAIN_KEY_MAX 160

/* A rule that the kernel has. */
struct agent_nft_rule {
    char chain[AGENT_CHAIN_KEY_MAX]; /* as in agent_ruleset_heads' keys */
    uint32_t id;
    uint64_t hash; /* of its line; 0: it is not of this program */
    uint64_t packets;
    uint64_t bytes;
};

struct agent_nft_rules {
    struct agent_nft_rule *rule; /* owned; those of a chain stand together, in their order */
    size_t count;
    size_t room;
};

struct agent_nft {
    struct ts_netlink bus;
    struct nft_ctx *context;
};

enum ts_err agent_nft_open(struct agent_nft *n, struct ts_why *why) TS_MUST_USE;
void agent_nft_close(struct agent_nft *n);
/* The rules of one chain ("n/out"), or of all (NULL), appended. */
enum ts_err agent_nft_read_rules(struct agent_nft *n, const char *chain,
                                 struct agent_nft_rules *rules, struct ts_why *why) TS_MUST_USE;
/* What there is: chains and sets of ports with the hash of their content (agent_chain_hash),
 * address sets with that of what they cover (agent_nft_cover_hash of both families). */
enum ts_err agent_nft_read(struct agent_nft *n, struct agent_nft_rules *rules,
                           struct netctl_tree *record, struct ts_why *why) TS_MUST_USE;
/* Commits a batch: all of it or nothing. */
enum ts_err agent_nft_commit(struct agent_nft *n, const char *batch,
                             struct agent_error *error) TS_MUST_USE;

/* The hash of what an address set of the table covers. */
uint64_t agent_nft_cover_hash(const struct netctl_tree *table, const char *set);

/* A record's value. */
void agent_nft_record(struct netctl_tree *record, const char *key, uint64_t hash);
/* False: it is not there. */
bool agent_nft_recorded(const struct netctl_tree *record, const char *key, uint64_t *hash);

/* ---- the batch (nft_batch.c) ---- */

struct agent_nft_batch {
    const struct netctl_tree *table;
    const struct netctl_tree *record;    /* what there is */
    const struct netctl_tree *wanted;    /* chains and sets of ports, with texts */
    const struct netctl_tree *sets;      /* address sets that must be there: their names */
    const struct netctl_tree *gone;      /* keys of what goes */
    const struct agent_nft_rules *rules; /* for the counters of the chains that change */
    uint32_t generation;
    bool changes;             /* there is something to do */
    struct agent_text text;   /* owned by the caller */
    struct netctl_tree after; /* the record when it is done; the caller's */
};

/* Puts what differs; `elements` are changes of address sets that there are, in nft's words. */
void agent_nft_batch_make(struct agent_nft_batch *b, const struct agent_text *elements);
/* "add element …" of what `to` has in the set and `from` lacks, and "delete element …" before it.
 */
void agent_nft_set_changes(const struct netctl_tree *from, const struct netctl_tree *to,
                           const char *set, struct agent_text *out);

#endif
