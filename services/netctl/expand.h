/* Services as the table of a node says them: nested ones taken apart. */
#ifndef SERVICES_NETCTL_EXPAND_H
#define SERVICES_NETCTL_EXPAND_H

#include <jansson.h>
#include <stdbool.h>

/* Of one rule. */
#define NETCTL_SERVICES_MAX 64

/* An object by its path, the caller's; NULL: there is none. */
typedef json_t *netctl_expand_get(void *arg, const char *path);

/* All entries of these services (paths) and of those nested in them, in this order, each once: a
 * list of at most NETCTL_SERVICES_MAX, the caller's. *more: there are more than that. */
json_t *netctl_expand_services(const json_t *paths, netctl_expand_get *get, void *arg, bool *more);
/* One entry of a service_entries; NULL: it is of nested services, or nothing. */
json_t *netctl_expand_entry(const json_t *entry);

#endif
