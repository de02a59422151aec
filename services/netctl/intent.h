/* What operators have declared: objects by their paths, and who refers to whom. Every change is of
 * one request, and happens whole or not at all.
 *
 * An object is kept as JSON text with sorted keys: its own fields, and _revision, _create_time,
 * _create_user, _last_modified_time, _last_modified_user. What follows from its path is added when
 * it is asked for. _revision moves with what the object says, not with what was sent: a request
 * that changes nothing leaves it. */
#ifndef SERVICES_NETCTL_INTENT_H
#define SERVICES_NETCTL_INTENT_H

#include <jansson.h>

#include "services/netctl/resource.h"
#include "services/netctl/tree.h"

/* Bytes of all objects, their paths included, unless the limits say otherwise. */
#define NET_INTENT_BYTES_USUAL (512ULL * 1024 * 1024)
/* Of a list's page. */
#define NET_PAGE_USUAL 1000
#define NET_PAGE_MAX 1000

struct net_intent {
    struct net_tree objects; /* path → JSON text */
    struct net_tree refs;    /* target '\x01' source → nothing */
    uint64_t bytes_max;
};

/* Whose request it is, and when it came about: the same on every replica. */
struct net_author {
    const char *user;
    uint64_t ms; /* since 1970 */
};

struct net_intent net_intent_make(uint64_t seed, uint64_t bytes_max);
void net_intent_free(struct net_intent *t);
/* The objects that are there from the start. */
void net_intent_seed(struct net_intent *t);

/* Requests. False: nothing has changed, and *e says why. `body` is the caller's, and is changed. */

/* Makes the object, or replaces it: then body has its present _revision. */
bool net_intent_put(struct net_intent *t, const char *path, json_t *body,
                    const struct net_author *author, struct net_error *e);
/* Makes the object, or replaces the fields that body has. */
bool net_intent_patch(struct net_intent *t, const char *path, json_t *body,
                      const struct net_author *author, struct net_error *e);
/* Many objects at once, of a tree whose root is /infra. With `revisions` each object that is there
 * already has its present _revision in body. */
bool net_intent_patch_tree(struct net_intent *t, json_t *body, bool revisions,
                           const struct net_author *author, struct net_error *e);
bool net_intent_delete(struct net_intent *t, const char *path, struct net_error *e);

/* Reads. Gives NULL with *e; else the caller's. */
json_t *net_intent_get(const struct net_intent *t, const char *path, struct net_error *e);
/* A page of a collection: behind the object called `cursor`, "" = from the first one. */
json_t *net_intent_list(const struct net_intent *t, const char *collection, const char *cursor,
                        size_t page, struct net_error *e);

/* For a load: takes an object as net_tree_put had it. False: it is none. References are checked by
 * net_intent_loaded, when all are there. */
bool net_intent_load(struct net_intent *t, const char *path, struct ts_bytes text);
bool net_intent_loaded(const struct net_intent *t);

#endif
