/* Objects in the tree, with their references; what a request is made of (edit.c). */
#ifndef SERVICES_NETCTL_STORE_H
#define SERVICES_NETCTL_STORE_H

#include "services/netctl/intent.h"

/* The object as it is kept, the caller's; NULL: there is none. */
json_t *net_store_get(const struct net_intent *t, const char *path);
/* Puts `object`, whose fields were checked, in place of what was there. */
void net_store_put(struct net_intent *t, const char *path, const json_t *object);
/* It is there. */
void net_store_remove(struct net_intent *t, const char *path);

/* One that refers to `path`, as a path; false: none does. */
bool net_store_referrer(const struct net_intent *t, const char *path, char out[NET_PATH_ROOM]);
/* The first object below `path`; NULL: there is none. Borrowed until the next change. */
const char *net_store_child(const struct net_intent *t, const char *path);
/* The first object directly in the collection, or the next one behind the path `after`; NULL: none
 * is left. Borrowed until the next change. */
const char *net_store_next(const struct net_intent *t, const char *collection, const char *after);

#endif
