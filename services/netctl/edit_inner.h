/* Inside requests that change intent: edit.c has objects, edit_tree.c the hierarchical request. */
#ifndef SERVICES_NETCTL_EDIT_INNER_H
#define SERVICES_NETCTL_EDIT_INNER_H

#include "services/netctl/intent.h"

/* One request under way. */
struct edit {
    struct netctl_intent *t;
    struct netctl_tree objects; /* as they were before */
    struct netctl_tree refs;
    struct netctl_tree marks;
    struct netctl_tree sizes;
    const struct netctl_author *author;
    struct netctl_error *e;
    const char *asked; /* the path of the request: its own fields need no other name */
    bool revisions;    /* an object that is there needs its present _revision */
    char **touched;    /* paths that came, changed or went; owned */
    size_t count;
    size_t cap;
};

struct edit netctl_edit_begin(struct netctl_intent *t, const char *asked,
                              const struct netctl_author *author, struct netctl_error *e);
/* With `whole` the body replaces the object, otherwise the fields that it has; one that is null
 * there is taken away. `inner`: it is in another one's list. */
bool netctl_edit_object(struct edit *x, const char *path, json_t *body, bool whole, bool inner);
/* An object, and what clients see as a list in it. */
bool netctl_edit_remove(struct edit *x, const char *path);
/* What is said holds together, or nothing has changed. Gives whether it does. */
bool netctl_edit_end(struct edit *x, bool good);
/* `value` is taken. */
void netctl_edit_set(json_t *object, const char *key, json_t *value);

#endif
