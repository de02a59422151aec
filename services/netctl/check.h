/* What objects say together must make sense: whoever declares what cannot be is told so at once,
 * with the names of both objects, instead of finding it not realized later. */
#ifndef SERVICES_NETCTL_CHECK_H
#define SERVICES_NETCTL_CHECK_H

#include "services/netctl/intent.h"

/* The object of this path, and those that it makes sense with, as they are now: its fields were
 * checked, and all that it refers to is there. True if it is not there any more. */
bool netctl_check(const struct netctl_intent *t, const char *path, struct netctl_error *e);

/* Parts of it (check_group.c). */
bool netctl_check_group(const struct netctl_intent *t, const char *path, const json_t *object,
                        struct netctl_error *e);
bool netctl_check_service(const struct netctl_intent *t, const char *path, const json_t *object,
                          struct netctl_error *e);
bool netctl_check_policy(const struct netctl_intent *t, const char *path, const json_t *object,
                         struct netctl_error *e);
bool netctl_check_rule(const struct netctl_intent *t, const char *path, const json_t *object,
                       struct netctl_error *e);
/* (check_router.c) */
bool netctl_check_nat(const struct netctl_intent *t, const char *path, const json_t *object,
                      struct netctl_error *e);
bool netctl_check_tier1(const struct netctl_intent *t, const char *path, const json_t *object,
                        struct netctl_error *e);
bool netctl_check_route(const struct netctl_intent *t, const char *path, const json_t *object,
                        struct netctl_error *e);
/* Whether the network of a segment's mark "n…" is no other one's of the routers that route to each
 * other. */
bool netctl_check_network(const struct netctl_intent *t, const char *segment, const char *router,
                          const char *network, struct netctl_error *e);

/* A field's text, or NULL. */
const char *netctl_check_text(const json_t *object, const char *name);

#endif
