/* The state of netctl, and its walks and loads.
 *
 * A walk keeps the tree of objects as it was (its root); a load makes the references again. Bytes
 * of a piece: u8 NETCTL_WALK_FORMAT, then parts: u16 length, path, u32 length, JSON text. In the
 * last piece, behind the last part: u16 0, u64 the time, the tree's digest. */
#ifndef SERVICES_NETCTL_WALK_H
#define SERVICES_NETCTL_WALK_H

#include "services/netctl/intent.h"
#include "services/svc.h"

#define NETCTL_WALK_FORMAT 1

struct svc_walk {
    struct netctl_state *of;
    struct netctl_tree objects;
    struct ts_ltime time;
    char at[NETCTL_KEY_MAX + 1]; /* path of the last one given; "" before the first */
    struct svc_walk *next;       /* among those that are freed little by little */
};

struct netctl_state {
    struct netctl_intent intent;
    struct ts_ltime time;   /* of the last applied entry */
    struct svc_walk *ended; /* owned: their trees are not yet freed */
    /* a load under way */
    bool loading;
    bool loaded;
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
