#include "services/netctl/check.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "services/netctl/inventory.h"
#include "services/netctl/marks.h"
#include "services/netctl/store.h"

const char *netctl_check_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* ---- what may be there once ---- */

struct once {
    const struct netctl_intent *t;
    const char *path;
    struct netctl_error *e;
};

/* Another object that has this mark, as a path; NULL: none has. */
static const char *other(const struct once *o, const char *mark)
{
    struct netctl_item item = {NULL, {NULL, 0}};
    size_t len = strlen(mark);
    while (netctl_tree_next(&o->t->marks, mark, &item)) {
        if (strcmp(item.key + len, o->path) != 0) {
            return item.key + len;
        }
    }
    return NULL;
}

static void check_network(const struct once *o, const char *mark)
{
    char router[NETCTL_PATH_ROOM];
    char network[NETCTL_NETWORK_TEXT];
    const char *end = strchr(mark + 2, '\x01');
    if (end != NULL) {
        (void)snprintf(router, sizeof(router), "%.*s", (int)(end - mark - 2), mark + 2);
        (void)snprintf(network, sizeof(network), "%.*s", (int)strcspn(end + 1, "\x01"), end + 1);
        (void)netctl_check_network(o->t, o->path, router, network, o->e);
    }
}

static void on_mark(void *arg, const char *mark)
{
    const struct once *o = arg;
    static const char *const WHAT[] = {"vthe overlay_id", "ithe attachment", "athe address",
                                       "mthe MAC"};
    if (mark[0] == 'n') {
        check_network(o, mark);
        return;
    }
    const char *second = other(o, mark);
    for (size_t i = 0; second != NULL && i < sizeof(WHAT) / sizeof(WHAT[0]); i++) {
        if (WHAT[i][0] == mark[0]) {
            const char *at = strrchr(mark, '\x01');
            while (at > mark && at[-1] != '\x01') {
                at--;
            }
            (void)netctl_error_set(o->e, 400, NETCTL_CODE_INVALID,
                                   "%.150s has %s %.*s, which %.150s has, too", o->path,
                                   WHAT[i] + 1, (int)strcspn(at, "\x01"), at, second);
        }
    }
}

/* ---- segments ---- */

/* That a given VNI is not what another object has by now, without having said so. */
static bool check_vni(const struct once *o, const json_t *segment)
{
    char owner[NETCTL_PATH_ROOM];
    uint64_t vni = (uint64_t)json_integer_value(json_object_get(segment, "overlay_id"));
    if (vni == 0 || !netctl_number_owner(&o->t->numbers, NETCTL_N_VNI, vni, owner) ||
        strcmp(owner, o->path) == 0) {
        return true;
    }
    json_t *is = netctl_store_get(o->t, owner);
    bool taken = is != NULL && json_object_get(is, "overlay_id") == NULL;
    json_decref(is);
    return !taken || netctl_error_set(o->e, 400, NETCTL_CODE_INVALID,
                                      "%.200s has the overlay_id %llu, which %.200s was given",
                                      o->path, (unsigned long long)vni, owner);
}

/* Neither the network's own address nor its broadcasts'. */
static bool is_host_in(const struct netctl_address *a)
{
    struct netctl_address n = netctl_address_network(a);
    unsigned width = a->v6 ? 128 : 32;
    bool network = memcmp(n.bytes, a->bytes, sizeof(n.bytes)) == 0;
    bool last = !a->v6;
    for (unsigned bit = a->bits; bit < width; bit++) {
        last = last && (a->bytes[bit / 8] & (0x80U >> bit % 8)) != 0;
    }
    return netctl_address_is_host(a) && a->bits > 0 && a->bits < width &&
           (a->bits + 1U >= width || (!network && !last));
}

static bool check_ranges(const struct once *o, const json_t *subnet,
                         const struct netctl_address *gateway)
{
    const json_t *ranges = json_object_get(subnet, "dhcp_ranges");
    for (size_t i = 0; i < json_array_size(ranges); i++) {
        char first[NETCTL_ADDRESS_TEXT_MAX];
        struct netctl_address a;
        const char *text = json_string_value(json_array_get(ranges, i));
        (void)snprintf(first, sizeof(first), "%.*s", (int)strcspn(text, "-/"), text);
        const char *dash = strchr(text, '-');
        bool in = netctl_address_read(first, &a) && netctl_address_is_in(gateway, &a) &&
                  (dash == NULL ||
                   (netctl_address_read(dash + 1, &a) && netctl_address_is_in(gateway, &a)));
        if (!in) {
            return netctl_error_set(o->e, 400, NETCTL_CODE_INVALID,
                                    "%.200s: dhcp_ranges %s is not in the subnet of its gateway",
                                    o->path, text);
        }
    }
    return true;
}

static bool check_segment(const struct once *o, const json_t *segment)
{
    struct netctl_address gateway[2] = {{0}, {0}};
    const json_t *subnets = json_object_get(segment, "subnets");
    for (size_t i = 0; i < json_array_size(subnets) && i < 2; i++) {
        const json_t *one = json_array_get(subnets, i);
        const char *text = netctl_check_text(one, "gateway_address");
        if (!netctl_prefix_read(text, &gateway[i]) || !is_host_in(&gateway[i])) {
            return netctl_error_set(o->e, 400, NETCTL_CODE_INVALID,
                                    "%.200s: gateway_address %s is no address of a host in its "
                                    "subnet",
                                    o->path, text);
        }
        if (!check_ranges(o, one, &gateway[i])) {
            return false;
        }
    }
    if (json_array_size(subnets) == 2 && gateway[0].v6 == gateway[1].v6) {
        bool first = gateway[0].bits <= gateway[1].bits;
        if (netctl_address_is_in(&gateway[first ? 0 : 1], &gateway[first ? 1 : 0])) {
            return netctl_error_set(o->e, 400, NETCTL_CODE_INVALID,
                                    "%.200s: subnets[0] and subnets[1] have gateways in one subnet",
                                    o->path);
        }
    }
    return check_vni(o, segment);
}

/* ---- ports ---- */

static bool check_port(const struct once *o, const json_t *port)
{
    const char *vif = netctl_check_text(json_object_get(port, "attachment"), "id");
    const json_t *bindings = json_object_get(port, "address_bindings");
    const char *first = NULL;
    if (vif != NULL && !netctl_vif_is_valid(vif)) {
        return netctl_error_set(o->e, 400, NETCTL_CODE_INVALID,
                                "%.300s: attachment.id is no text of 1 to %d bytes", o->path,
                                NETCTL_VIF_MAX);
    }
    for (size_t i = 0; i < json_array_size(bindings); i++) {
        const json_t *one = json_array_get(bindings, i);
        const char *mac = netctl_check_text(one, "mac_address");
        const char *ip = netctl_check_text(one, "ip_address");
        char small[18];
        struct netctl_address a;
        if (ip != NULL && (!netctl_address_read(ip, &a) || !netctl_address_is_host(&a))) {
            return netctl_error_set(o->e, 400, NETCTL_CODE_INVALID,
                                    "%.300s: %s is no address that a port can have", o->path, ip);
        }
        if (mac == NULL) {
            continue;
        }
        netctl_mac_text(mac, small);
        if (strchr("13579bdf", small[1]) != NULL || strcmp(small, "00:00:00:00:00:00") == 0 ||
            strncmp(small, "02:74:", 6) == 0 || strncmp(small, "02:54:", 6) == 0) {
            return netctl_error_set(o->e, 400, NETCTL_CODE_INVALID,
                                    "%.300s: %s is no MAC that a port can have (02:74:… and "
                                    "02:54:… are given by netctl itself)",
                                    o->path, small);
        }
        if (first != NULL && strncasecmp(first, mac, 17) != 0) {
            return netctl_error_set(o->e, 400, NETCTL_CODE_INVALID,
                                    "%.300s: address_bindings have two MACs, %s and %s", o->path,
                                    first, mac);
        }
        first = mac;
    }
    return true;
}

/* ---- all ---- */

bool netctl_check(const struct netctl_intent *t, const char *path, struct netctl_error *e)
{
    struct once o = {t, path, e};
    const struct netctl_resource *r = netctl_resource_of(path);
    json_t *object = netctl_store_get(t, path);
    if (object == NULL || r == NULL) {
        json_decref(object);
        return true;
    }
    if (strcmp(r->type, "Segment") == 0) {
        (void)check_segment(&o, object);
    } else if (strcmp(r->type, "SegmentPort") == 0) {
        (void)check_port(&o, object);
    } else if (strcmp(r->type, "Tier1") == 0) {
        (void)netctl_check_tier1(t, path, object, e);
    } else if (strcmp(r->type, "PolicyNatRule") == 0) {
        (void)netctl_check_nat(t, path, object, e);
    } else if (strcmp(r->type, "StaticRoutes") == 0) {
        (void)netctl_check_route(t, path, object, e);
    } else if (strcmp(r->type, "Group") == 0) {
        (void)netctl_check_group(t, path, object, e);
    } else if (strcmp(r->type, "Service") == 0) {
        (void)netctl_check_service(t, path, object, e);
    } else if (strcmp(r->type, "SecurityPolicy") == 0 || strcmp(r->type, "GatewayPolicy") == 0) {
        (void)netctl_check_policy(t, path, object, e);
    } else if (strcmp(r->type, "Rule") == 0) {
        (void)netctl_check_rule(t, path, object, e);
    }
    if (e->status == 0) {
        netctl_marks_of(path, object, on_mark, &o);
    }
    json_decref(object);
    return e->status == 0;
}
