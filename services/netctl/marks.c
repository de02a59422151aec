#include "services/netctl/marks.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "services/netctl/resource.h"

void netctl_network_text(const struct netctl_address *a, char out[NETCTL_NETWORK_TEXT])
{
    struct netctl_address n = netctl_address_network(a);
    size_t len = (size_t)snprintf(out, NETCTL_NETWORK_TEXT, "%c", a->v6 ? '6' : '4');
    for (size_t i = 0; i < (a->v6 ? 16U : 4U); i++) {
        len += (size_t)snprintf(out + len, NETCTL_NETWORK_TEXT - len, "%02x", n.bytes[i]);
    }
    (void)snprintf(out + len, NETCTL_NETWORK_TEXT - len, "/%03u", (unsigned)a->bits);
}

void netctl_mac_text(const char *mac, char out[18])
{
    size_t i = 0;
    for (; i < 17 && mac[i] != '\0'; i++) {
        out[i] = (char)(mac[i] >= 'A' && mac[i] <= 'F' ? mac[i] - 'A' + 'a' : mac[i]);
    }
    out[i] = '\0';
}

bool netctl_prefix_address(const char *text, char out[NETCTL_ADDRESS_TEXT_MAX])
{
    struct netctl_address a;
    bool good = text != NULL && (netctl_prefix_read(text, &a) || netctl_address_read(text, &a));
    if (good) {
        netctl_address_write(&a, false, out);
    }
    return good;
}

bool netctl_segment_router(const char *path, const json_t *segment, char out[NETCTL_PATH_ROOM])
{
    const char *router = json_string_value(json_object_get(segment, "connectivity_path"));
    const json_t *more = json_object_get(segment, "advanced_config");
    const char *connectivity = json_string_value(json_object_get(more, "connectivity"));
    const char *type = json_string_value(json_object_get(segment, "type"));
    if ((connectivity != NULL && strcmp(connectivity, "OFF") == 0) ||
        (type != NULL && strcmp(type, "DISCONNECTED") == 0)) {
        return false;
    }
    if (router == NULL && netctl_key_begins(path, "/infra/tier-1s/")) {
        return netctl_resource_parent(path, out);
    }
    (void)snprintf(out, NETCTL_PATH_ROOM, "%s", router == NULL ? "" : router);
    return router != NULL;
}

/* ---- the marks ---- */

#define MARK_ROOM (NETCTL_KEY_MAX + 1 - NETCTL_PATH_ROOM)

static void tell(netctl_marks_tells *tells, void *arg, char letter, const char *where,
                 const char *what)
{
    char mark[MARK_ROOM];
    int n = snprintf(mark, sizeof(mark), "%c\x01%s%s%s\x01", letter, where,
                     where[0] == '\0' ? "" : "\x01", what);
    if (n > 0 && (size_t)n < sizeof(mark)) { /* what is longer has no object's path in it */
        tells(arg, mark);
    }
}

static void of_segment(const char *path, const json_t *object, netctl_marks_tells *tells, void *arg)
{
    char router[NETCTL_PATH_ROOM];
    char text[NETCTL_ADDRESS_TEXT_MAX];
    const json_t *vni = json_object_get(object, "overlay_id");
    bool routed = netctl_segment_router(path, object, router);
    if (vni != NULL) {
        (void)snprintf(text, sizeof(text), "%010lld", (long long)json_integer_value(vni));
        tell(tells, arg, 'v', "", text);
    }
    const json_t *subnets = json_object_get(object, "subnets");
    for (size_t i = 0; i < json_array_size(subnets); i++) {
        struct netctl_address a;
        const char *gateway =
            json_string_value(json_object_get(json_array_get(subnets, i), "gateway_address"));
        if (gateway == NULL || !netctl_prefix_read(gateway, &a)) {
            continue;
        }
        netctl_address_write(&a, false, text);
        tell(tells, arg, 'a', path, text);
        if (routed) {
            char network[NETCTL_NETWORK_TEXT];
            netctl_network_text(&a, network);
            tell(tells, arg, 'n', router, network);
        }
    }
}

static void of_port(const char *path, const json_t *object, netctl_marks_tells *tells, void *arg)
{
    char segment[NETCTL_PATH_ROOM];
    char text[NETCTL_ADDRESS_TEXT_MAX];
    const char *vif =
        json_string_value(json_object_get(json_object_get(object, "attachment"), "id"));
    const json_t *bindings = json_object_get(object, "address_bindings");
    if (vif != NULL) {
        tell(tells, arg, 'i', "", vif);
    }
    for (size_t i = 0; netctl_resource_parent(path, segment) && i < json_array_size(bindings);
         i++) {
        const json_t *one = json_array_get(bindings, i);
        const char *mac = json_string_value(json_object_get(one, "mac_address"));
        const char *ip = json_string_value(json_object_get(one, "ip_address"));
        if (netctl_prefix_address(ip, text)) {
            tell(tells, arg, 'a', segment, text);
        }
        if (mac != NULL) {
            netctl_mac_text(mac, text);
            tell(tells, arg, 'm', segment, text);
        }
    }
}

static void of_route(const char *path, const json_t *object, netctl_marks_tells *tells, void *arg)
{
    char router[NETCTL_PATH_ROOM];
    char network[NETCTL_NETWORK_TEXT];
    struct netctl_address a;
    const char *text = json_string_value(json_object_get(object, "network"));
    if (text != NULL && netctl_prefix_read(text, &a) && netctl_resource_parent(path, router)) {
        netctl_network_text(&a, network);
        tell(tells, arg, 's', router, network);
    }
}

void netctl_marks_of(const char *path, const json_t *object, netctl_marks_tells *tells, void *arg)
{
    const struct netctl_resource *r = netctl_resource_of(path);
    if (r != NULL && strcmp(r->type, "Segment") == 0) {
        of_segment(path, object, tells, arg);
    } else if (r != NULL && strcmp(r->type, "SegmentPort") == 0) {
        of_port(path, object, tells, arg);
    } else if (r != NULL && strcmp(r->type, "StaticRoutes") == 0) {
        of_route(path, object, tells, arg);
    }
}

struct putting {
    struct netctl_tree *marks;
    const char *path;
    bool comes;
};

static void put(void *arg, const char *mark)
{
    const struct putting *p = arg;
    char key[NETCTL_KEY_MAX + 1];
    int n = snprintf(key, sizeof(key), "%s%s", mark, p->path);
    ts_assert(n > 0 && (size_t)n < sizeof(key));
    if (p->comes) {
        netctl_tree_put(p->marks, key, (struct ts_bytes){(const uint8_t *)"", 0});
    } else {
        (void)netctl_tree_remove(p->marks, key); /* one object may say it twice */
    }
}

void netctl_marks_put(struct netctl_tree *marks, const char *path, const json_t *object, bool comes)
{
    struct putting p = {marks, path, comes};
    netctl_marks_of(path, object, put, &p);
}
