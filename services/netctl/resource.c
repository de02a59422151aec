#include "services/netctl/resource.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

/* Whether a path is one of this pattern; *ends: how much of the path the pattern covers. */
static bool matches(const char *pattern, const char *path)
{
    while (*pattern != '\0') {
        if (strncmp(pattern, "<>", 2) == 0) {
            size_t n = strcspn(path, "/");
            if (n == 0) {
                return false;
            }
            pattern += 2;
            path += n;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

const struct netctl_resource *netctl_resource_of(const char *path)
{
    for (const struct netctl_resource *r = netctl_resources; r->type != NULL; r++) {
        if (matches(r->pattern, path)) {
            return r;
        }
    }
    return NULL;
}

const struct netctl_resource *netctl_resource_in(const char *collection)
{
    char path[NETCTL_PATH_ROOM];
    int n = snprintf(path, sizeof(path), "%s/x", collection);
    return n > 0 && (size_t)n < sizeof(path) ? netctl_resource_of(path) : NULL;
}

const struct netctl_resource *netctl_resource_below(const char *parent, const char *type,
                                                    const char *id, char path[NETCTL_PATH_ROOM])
{
    for (const struct netctl_resource *r = netctl_resources; r->type != NULL; r++) {
        char above[NETCTL_PATH_ROOM];
        size_t pattern_len = strlen(r->pattern);
        if (strcmp(r->type, type) != 0 || pattern_len < 2 ||
            strcmp(r->pattern + pattern_len - 2, "<>") != 0) {
            continue;
        }
        /* The parent's pattern is that of the object before: what is between is the collection. */
        for (const struct netctl_resource *p = netctl_resources; p->type != NULL; p++) {
            size_t n = strlen(p->pattern);
            bool is_it = strncmp(r->pattern, p->pattern, n) == 0 && r->pattern[n] == '/' &&
                         strstr(r->pattern + n, "<>") == r->pattern + pattern_len - 2;
            if (!is_it || !matches(p->pattern, parent)) {
                continue;
            }
            int len = snprintf(path, NETCTL_PATH_ROOM, "%s%.*s%s", parent,
                               (int)(pattern_len - 2 - n), r->pattern + n, id);
            if (len > 0 && len <= NETCTL_PATH_MAX && netctl_resource_parent(path, above) &&
                strcmp(above, parent) == 0) {
                return r;
            }
        }
    }
    return NULL;
}

bool netctl_resource_parent(const char *path, char parent[NETCTL_PATH_ROOM])
{
    size_t len = strlen(path);
    ts_assert(len <= NETCTL_PATH_MAX);
    memcpy(parent, path, len + 1);
    for (char *slash = strrchr(parent, '/'); slash != NULL && slash != parent;
         slash = strrchr(parent, '/')) {
        *slash = '\0';
        if (netctl_resource_of(parent) != NULL) {
            return true;
        }
    }
    return false;
}

const char *netctl_resource_id(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}
