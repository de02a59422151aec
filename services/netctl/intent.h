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

#include "services/netctl/numbers.h"
#include "services/netctl/resource.h"
#include "services/netctl/tree.h"

/* Bytes of all objects, their paths included, unless the limits say otherwise. */
#define NETCTL_INTENT_BYTES_USUAL (512ULL * 1024 * 1024)
/* Of a list's page. */
#define NETCTL_PAGE_USUAL 1000
#define NETCTL_PAGE_MAX 1000

struct netctl_intent {
    struct netctl_tree objects; /* path → JSON text */
    struct netctl_tree refs;    /* target '\x01' source → nothing */
    struct netctl_tree marks;   /* what may be there once only (marks.h) */
    struct netctl_tree sizes;   /* collection → how many objects are directly in it */
    struct netctl_numbers numbers;
    uint64_t bytes_max;
};

/* Whose request it is, when it came about and by which rules: the same on every replica. */
struct netctl_author {
    const char *user;
    uint64_t ms; /* since 1970 */
    uint8_t rules;
};

struct netctl_intent netctl_intent_make(uint64_t seed, uint64_t bytes_max);
void netctl_intent_free(struct netctl_intent *t);
/* The objects that are there from the start. */
void netctl_intent_seed(struct netctl_intent *t);

/* Requests. False: nothing has changed, and *e says why. `body` is the caller's, and is changed. */

/* Makes the object, or replaces it: then body has its present _revision. */
bool netctl_intent_put(struct netctl_intent *t, const char *path, json_t *body,
                       const struct netctl_author *author, struct netctl_error *e);
/* Makes the object, or replaces the fields that body has. */
bool netctl_intent_patch(struct netctl_intent *t, const char *path, json_t *body,
                         const struct netctl_author *author, struct netctl_error *e);
/* Many objects at once, of a tree whose root is /infra. With `revisions` each object that is there
 * already has its present _revision in body. */
bool netctl_intent_patch_tree(struct netctl_intent *t, json_t *body, bool revisions,
                              const struct netctl_author *author, struct netctl_error *e);
/* Whether such a tree deletes objects and does nothing else: it is taken where there is room for
 * nothing more. */
bool netctl_intent_tree_removes(const json_t *body);
bool netctl_intent_delete(struct netctl_intent *t, const char *path, struct netctl_error *e);

/* Reads. Gives NULL with *e; else the caller's. */
json_t *netctl_intent_get(const struct netctl_intent *t, const char *path, struct netctl_error *e);
/* In front of the last object's id in the cursor of a page that a client gets: the Ansible modules
 * take a cursor that begins with "0000", as an id may, for the end. */
#define NETCTL_CURSOR "after:"
/* A page of a collection: behind the object called `cursor`, "" = from the first one. The first
 * page says how many objects there are on all pages, as clients rely on. */
json_t *netctl_intent_list(const struct netctl_intent *t, const char *collection,
                           const char *cursor, size_t page, struct netctl_error *e);

/* For a load: takes an object as netctl_tree_put had it. False: it is none. References are checked
 * by netctl_intent_loaded, when all are there. */
bool netctl_intent_load(struct netctl_intent *t, const char *path, struct ts_bytes text);
bool netctl_intent_loaded(const struct netctl_intent *t);

#endif
