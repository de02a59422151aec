/* The kinds of objects that there are: where they stand in the tree, and what is in them. Names and
 * fields are those of the NSX Policy API, of which this is a subset. */
#ifndef SERVICES_NETCTL_RESOURCE_H
#define SERVICES_NETCTL_RESOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "services/netctl/address.h"
#include "services/netctl/schema.h"

struct netctl_resource {
    const char *type;    /* resource_type */
    const char *pattern; /* of its path: "/infra/segments/<>", where <> is an id */
    const struct netctl_field *fields;
    /* A list in the body that is objects of their own below this one: "rules"; NULL: there is
     * none. */
    const char *embedded;
    /* Whether clients may make, change and delete them; the others are there from the start. */
    bool is_fixed;
    uint8_t since; /* the first rules (request.h) that know it; 0 = all do */
};

/* NULL ends the list by its type. */
extern const struct netctl_resource netctl_resources[];

/* The kind of object that has this path; NULL: none has. */
const struct netctl_resource *netctl_resource_of(const char *path);
/* The kind of the objects directly in this collection (/infra/segments); NULL: it is none. */
const struct netctl_resource *netctl_resource_in(const char *collection);
/* The kind of this type whose objects stand below `parent` ("/infra/domains/default"), and the path
 * that the one called `id` has there; NULL: there is none such. */
const struct netctl_resource *netctl_resource_below(const char *parent, const char *type,
                                                    const char *id, char path[NETCTL_PATH_ROOM]);
/* The path of the object in which this one is; false: it is the root, or in none. */
bool netctl_resource_parent(const char *path, char parent[NETCTL_PATH_ROOM]);
/* What is behind the last '/'. */
const char *netctl_resource_id(const char *path);

#endif
