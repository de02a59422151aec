/* Objects in the tree, with their references; what a request is made of (edit.c). */
#ifndef SERVICES_NETCTL_STORE_H
#define SERVICES_NETCTL_STORE_H

#include "services/netctl/intent.h"

/* The object as it is kept, the caller's; NULL: there is none. */
json_t *netctl_store_get(const struct netctl_intent *t, const char *path);
/* Bytes of one object. */
#define NETCTL_OBJECT_MAX (1024U * 1024U)
/* Puts `object`, whose fields were checked, in place of what was there. False: it is too long, and
 * nothing has changed. */
bool netctl_store_put(struct netctl_intent *t, const char *path, const json_t *object);
/* It is there. */
void netctl_store_remove(struct netctl_intent *t, const char *path);

/* One that refers to `path`, as a path; false: none does. */
bool netctl_store_referrer(const struct netctl_intent *t, const char *path,
                           char out[NETCTL_PATH_ROOM]);
/* The first object below `path`; NULL: there is none. Borrowed until the next change. */
const char *netctl_store_child(const struct netctl_intent *t, const char *path);
/* How many objects are directly in the collection. */
uint64_t netctl_store_count(const struct netctl_intent *t, const char *collection);
/* The first object directly in the collection, or the next one behind the path `after`; NULL: none
 * is left. Borrowed until the next change. */
const char *netctl_store_next(const struct netctl_intent *t, const char *collection,
                              const char *after);

#endif
