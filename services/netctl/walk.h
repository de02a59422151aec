/* The state of netctl, and its walks and loads.
 *
 * A walk keeps the trees as they were (their roots); a load makes again what follows from them.
 * Bytes of a piece: u8 NETCTL_WALK_FORMAT, then parts: u8 which tree, u16 length, key, u32 length,
 * value. The trees come one behind the other, each in the order of its keys: objects, what nodes
 * told (by their ids), numbers (by paths). In the last piece, behind the last part: u8 0, u64 the
 * time, u64 how often nodes told, u32 and u32 the ids given last to rules and to translations, the
 * trees' digests. */
#ifndef SERVICES_NETCTL_WALK_H
#define SERVICES_NETCTL_WALK_H

#include "services/netctl/intent.h"
#include "services/netctl/inventory.h"
#include "services/svc.h"

/* Rises with NETCTL_RULES when objects can have more in them (adr/0036). */
#define NETCTL_WALK_FORMAT 2

enum netctl_walk_tree {
    NETCTL_WALK_OBJECTS,
    NETCTL_WALK_NODES,
    NETCTL_WALK_NUMBERS,
    NETCTL_WALK_TREES,
};

struct svc_walk {
    struct netctl_state *of;
    struct netctl_tree tree[NETCTL_WALK_TREES];
    struct ts_ltime time;
    uint64_t told;
    uint32_t last_rule;
    uint32_t last_nat;
    unsigned which;              /* of the trees */
    char at[NETCTL_KEY_MAX + 1]; /* key of the last one given; "" before the first of a tree */
    struct svc_walk *next;       /* among those that are freed little by little */
};

struct netctl_state {
    struct netctl_intent intent;
    struct netctl_inventory inventory;
    struct ts_ltime time;   /* of the last applied entry */
    struct svc_walk *ended; /* owned: their trees are not yet freed */
    /* a load under way */
    bool loading;
    bool loaded;
    unsigned which; /* of the trees */
    char last[NETCTL_KEY_MAX + 1];
};

struct svc_walk *netctl_walk_begin(void *state);
bool netctl_walk_next(struct svc_walk *walk, struct svc_out *out) TS_MUST_USE;
void netctl_walk_end(struct svc_walk *walk);
/* Frees `most` nodes of what walks have left; true: there is more. */
bool netctl_walk_tidy(struct netctl_state *s, size_t most);
enum ts_err netctl_load_piece(void *state, struct ts_bytes piece) TS_MUST_USE;
enum ts_err netctl_load_end(void *state) TS_MUST_USE;

#endif
