#include "tests/service/netctl_random_net.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define POINT "/infra/sites/default/enforcement-points/default"
#define DOMAIN "/infra/domains/default"
#define NODES 4
#define SEGMENTS 5
#define PORTS 5
#define VIFS 16
#define ROUTERS 3
#define GROUPS 6
#define SERVICES 5

struct making {
    struct ts_prng *p;
    char *path;
    char *body;
    size_t len;
    bool first; /* the next field needs no comma */
};

static unsigned below(struct making *m, unsigned n)
{
    return (unsigned)ts_prng_below(m->p, n);
}

static bool once_in(struct making *m, unsigned n)
{
    return below(m, n) == 0;
}

static void path(struct making *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void path(struct making *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(m->path, NETCTL_PATH_ROOM, format, args);
    va_end(args);
    ts_assert(n > 0 && n < NETCTL_PATH_ROOM);
}

static void put(struct making *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct making *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(m->body + m->len, NETCTL_RANDOM_BODY - m->len, format, args);
    va_end(args);
    ts_assert(n >= 0 && m->len + (size_t)n < NETCTL_RANDOM_BODY);
    m->len += (size_t)n;
}

static void field(struct making *m, const char *name)
{
    put(m, "%s\"%s\":", m->first ? "" : ",", name);
    m->first = false;
}

static void tags(struct making *m)
{
    if (once_in(m, 2)) {
        field(m, "tags");
        put(m, "[{\"scope\":\"%s\",", once_in(m, 2) ? "tier" : "");
        put(m, "\"tag\":\"t%u\"}]", below(m, 4));
    }
}

static void segment_path(struct making *m, char out[128])
{
    unsigned s = below(m, SEGMENTS);
    int n = s < 2 ? snprintf(out, 128, "/infra/tier-1s/r%u/segments/w%u", s, s)
                  : snprintf(out, 128, "/infra/segments/w%u", s);
    ts_assert(n > 0);
}

/* ---- the fabric ---- */

static void node(struct making *m)
{
    unsigned n = below(m, NODES);
    path(m, POINT "/host-transport-nodes/n%u", n);
    put(m, "\"tunnel_address\":\"192.0.2.%u\"", n + 1);
}

static void inventory(struct making *m)
{
    unsigned n = below(m, NODES);
    bool comma = false;
    path(m, "%sn%u", once_in(m, 2) ? POINT "/host-transport-nodes/" : "", n);
    put(m, "\"vtep\":\"192.0.2.%u\",\"uplinks\":[\"up%u\"],\"vifs\":[", once_in(m, 20) ? 9 : n + 1,
        n);
    for (unsigned v = 0; v < VIFS; v++) {
        /* Most stay where they are, some move, some are told of by two. */
        if (v % NODES == n ? !once_in(m, 6) : once_in(m, 12)) {
            put(m, "%s\"v%u\"", comma ? "," : "", v);
            comma = true;
        }
    }
    put(m, "]");
}

static void edge(struct making *m)
{
    path(m, POINT "/edge-clusters/default/edge-nodes/n%u", below(m, NODES));
}

/* ---- networks ---- */

static void segment(struct making *m)
{
    unsigned s = below(m, SEGMENTS);
    if (s < 2) {
        path(m, "/infra/tier-1s/r%u/segments/w%u", s, s);
    } else {
        path(m, "/infra/segments/w%u", s);
    }
    m->first = true;
    if (s >= 2 && !once_in(m, 3)) {
        field(m, "connectivity_path");
        if (once_in(m, 6)) {
            put(m, "\"/infra/tier-0s/z0\"");
        } else {
            put(m, "\"/infra/tier-1s/r%u\"", below(m, ROUTERS));
        }
    }
    if (!once_in(m, 4)) {
        field(m, "subnets");
        put(m, "[{\"gateway_address\":\"10.%u.0.1/24\"", once_in(m, 10) ? 9 : s);
        put(m, "%s}",
            once_in(m, 3)
                ? ",\"dhcp_config\":{\"server_address\":\"10.9.9.9/24\",\"lease_time\":600,"
                  "\"dns_servers\":[\"192.0.2.53\"]}"
                : "");
        put(m, "%s]", once_in(m, 3) ? ",{\"gateway_address\":\"fd00:9::1/64\"}" : "");
    }
    if (once_in(m, 4)) {
        field(m, "dhcp_config_path");
        put(m, "\"/infra/dhcp-server-configs/d0\"");
    }
    if (once_in(m, 5)) {
        field(m, "overlay_id");
        put(m, "%s", once_in(m, 3) ? "500" : "701");
        put(m, "%u", below(m, 9));
    }
    if (once_in(m, 6)) {
        field(m, "advanced_config");
        put(m, "{\"connectivity\":\"%s\"}", once_in(m, 2) ? "ON" : "OFF");
    }
    tags(m);
}

static void port(struct making *m)
{
    char segment[128];
    segment_path(m, segment);
    unsigned n = below(m, PORTS);
    path(m, "%s/ports/p%u", segment, n);
    m->first = true;
    unsigned s = (unsigned)(segment[strlen(segment) - 1] - '0');
    if (!once_in(m, 6)) {
        field(m, "attachment");
        put(m, "{\"id\":\"v%u\"", once_in(m, 3) ? below(m, VIFS) : (s * PORTS + n) % VIFS);
        put(m, "%s}", once_in(m, 3) ? ",\"allocate_addresses\":\"DHCP\"" : "");
    }
    if (!once_in(m, 4)) {
        field(m, "address_bindings");
        put(m, "[{\"ip_address\":\"10.%u.0.%u\"", s, once_in(m, 8) ? below(m, 9) : n + 11);
        put(m, "%s}", once_in(m, 3) ? "" : ",\"mac_address\":\"02:00:00:00:00:0A\"");
        put(m, "%s]", once_in(m, 5) ? ",{\"ip_address\":\"fd00:9::12\"}" : "");
    }
    if (once_in(m, 6)) {
        field(m, "admin_state");
        put(m, "\"%s\"", once_in(m, 2) ? "UP" : "DOWN");
    }
    tags(m);
}

static void tier1(struct making *m)
{
    path(m, "/infra/tier-1s/r%u", below(m, ROUTERS));
    if (!once_in(m, 3)) {
        put(m, "\"tier0_path\":%s", once_in(m, 8) ? "null" : "\"/infra/tier-0s/z0\"");
    }
}

static void tier0(struct making *m)
{
    switch (below(m, 3)) {
    case 0:
        path(m, "/infra/tier-0s/z%u", below(m, 2));
        return;
    case 1:
        path(m, "/infra/tier-0s/z0/locale-services/l0");
        return;
    default:
        path(m, "/infra/tier-0s/z0/locale-services/l0/interfaces/i%u", below(m, 2));
        put(m, "\"type\":\"%s\",", once_in(m, 6) ? "SERVICE" : "EXTERNAL");
        put(m, "\"edge_path\":\"" POINT "/edge-clusters/default/edge-nodes/n%u\",",
            below(m, NODES));
        put(m, "\"subnets\":[{\"ip_addresses\":[\"198.51.100.%u\"],\"prefix_len\":24}]",
            below(m, 3) + 1);
    }
}

static void router_path(struct making *m)
{
    if (once_in(m, 2)) {
        path(m, "/infra/tier-0s/z0");
    } else {
        path(m, "/infra/tier-1s/r%u", below(m, ROUTERS));
    }
}

/* Behind what the path is already. */
static void put_path(struct making *m, const char *collection, unsigned n)
{
    size_t len = strlen(m->path);
    (void)snprintf(m->path + len, NETCTL_PATH_ROOM - len, "%s%u", collection, n);
}

static void route(struct making *m)
{
    static const char *const HOPS[] = {"10.0.0.9", "10.2.0.9", "198.51.100.9", "10.77.0.1"};
    static const char *const NETWORKS[] = {"0.0.0.0/0", "172.16.0.0/12", "172.20.1.1/16",
                                           "10.2.0.0/16"};
    router_path(m);
    put_path(m, "/static-routes/x", below(m, 3));
    put(m, "\"network\":\"%s\",", NETWORKS[below(m, 4)]);
    put(m, "\"next_hops\":[{\"ip_address\":\"%s\",\"admin_distance\":2}", HOPS[below(m, 4)]);
    put(m, "%s]", once_in(m, 3) ? ",{\"ip_address\":\"10.3.0.9\",\"admin_distance\":1}" : "");
}

static void nat(struct making *m)
{
    static const char *const RULES[] = {
        "\"action\":\"SNAT\",\"source_network\":\"10.0.0.0/24\",\"translated_network\":"
        "\"198.51.100.7\"",
        "\"action\":\"DNAT\",\"destination_network\":\"198.51.100.8\",\"translated_network\":"
        "\"10.0.0.11\",\"service\":\"/infra/services/v0\",\"translated_ports\":\"8080\"",
        "\"action\":\"NO_SNAT\",\"source_network\":\"10.0.0.0/24\",\"destination_network\":"
        "\"10.0.0.0/8\"",
        "\"action\":\"DNAT\",\"destination_network\":\"fd00::8\",\"translated_network\":"
        "\"10.0.0.11\"",
        "\"action\":\"SNAT\"",
    };
    router_path(m);
    put_path(m, "/nat/USER/nat-rules/y", below(m, 3));
    put(m, "%s,\"sequence_number\":", RULES[below(m, 5)]);
    put(m, "%u,", below(m, 3));
    put(m, "\"enabled\":%s,", once_in(m, 5) ? "false" : "true");
    put(m, "\"logging\":%s", once_in(m, 2) ? "false" : "true");
}

static void dhcp(struct making *m)
{
    path(m, "/infra/dhcp-server-configs/d0");
    put(m, "\"server_addresses\":[\"10.99.0.%u/24\"],", below(m, 3) + 1);
    put(m, "\"lease_time\":%u", 60 + below(m, 3));
}

/* ---- groups and the firewall ---- */

static void condition(struct making *m)
{
    static const char *const MEMBERS[] = {"VirtualMachine", "SegmentPort", "Segment"};
    static const char *const OPERATORS[] = {"EQUALS", "EQUALS", "EQUALS", "STARTSWITH", "CONTAINS"};
    static const char *const VALUES[] = {"tier|t", "|t", "t"};
    bool name = once_in(m, 5);
    put(m, "{\"resource_type\":\"Condition\",\"member_type\":\"%s\",", MEMBERS[below(m, 3)]);
    put(m, "\"key\":\"%s\",", name ? "Name" : "Tag");
    put(m, "\"operator\":\"%s\",\"value\":\"", OPERATORS[below(m, 5)]);
    unsigned value = below(m, 3);
    unsigned n = below(m, 4);
    put(m, "%s%u", name ? "p" : VALUES[value], n);
    put(m, "\"}");
}

static void term(struct making *m, bool condition_only)
{
    char segment[128];
    unsigned kind = condition_only ? 5 : below(m, 7);
    segment_path(m, segment);
    switch (kind) {
    case 0:
        put(m, "{\"resource_type\":\"IPAddressExpression\",\"ip_addresses\":[\"10.%u.0.0/16\",",
            below(m, 9));
        put(m, "\"192.0.2.7-192.0.2.%u\",\"2001:db8::5\"]}", 7 + below(m, 20));
        return;
    case 1:
        put(m, "{\"resource_type\":\"PathExpression\",\"paths\":[\"" DOMAIN "/groups/g%u\"]}",
            below(m, GROUPS));
        return;
    case 2:
        put(m, "{\"resource_type\":\"PathExpression\",\"paths\":[\"%s\"]}", segment);
        return;
    case 3:
        put(m, "{\"resource_type\":\"PathExpression\",\"paths\":[\"%s/ports/p%u\"]}", segment,
            below(m, PORTS));
        return;
    case 4:
        put(m, "{\"resource_type\":\"NestedExpression\",\"expressions\":[");
        condition(m);
        put(m, ",{\"resource_type\":\"ConjunctionOperator\",\"conjunction_operator\":\"%s\"},",
            once_in(m, 2) ? "AND" : "OR");
        condition(m);
        put(m, "]}");
        return;
    default:
        condition(m);
    }
}

static void group(struct making *m)
{
    path(m, DOMAIN "/groups/g%u", below(m, GROUPS));
    put(m, "\"expression\":[");
    unsigned terms = below(m, 4);
    for (unsigned i = 0; i < terms; i++) {
        bool and = i > 0 && once_in(m, 3);
        if (i > 0) {
            put(m, ",{\"resource_type\":\"ConjunctionOperator\",\"conjunction_operator\":\"%s\"},",
                and? "AND" : "OR");
        }
        term(m, and);
    }
    put(m, "]");
    m->first = false;
    tags(m);
}

static void service(struct making *m)
{
    static const char *const ENTRIES[] = {
        "{\"l4_protocol\":\"TCP\",\"destination_ports\":[\"80\",\"8000-8100\"]}",
        "{\"l4_protocol\":\"UDP\",\"source_ports\":[\"53\"],\"destination_ports\":[]}",
        "{\"protocol\":\"ICMPv4\",\"icmp_type\":8,\"icmp_code\":0}",
        "{\"protocol_number\":47}",
        "{\"protocol\":\"ICMPv6\"}",
        "{\"protocol\":\"ICMPv4\",\"icmp_code\":0}",
    };
    unsigned s = below(m, SERVICES);
    path(m, "/infra/services/v%u", s);
    put(m, "\"service_entries\":[");
    if (s == 0) {
        put(m, "%s", ENTRIES[0]);
    }
    for (unsigned i = s == 0 ? 1 : 0, n = below(m, 3); i < n; i++) {
        put(m, "%s", i > 0 ? "," : "");
        if (once_in(m, 3)) {
            put(m, "{\"nested_service_path\":\"/infra/services/v%u\"}", below(m, SERVICES));
        } else {
            put(m, "%s", ENTRIES[below(m, 6)]);
        }
    }
    put(m, "]");
}

static void side(struct making *m, const char *name)
{
    if (once_in(m, 3)) {
        return;
    }
    field(m, name);
    if (once_in(m, 5)) {
        put(m, "[\"ANY\"]");
        return;
    }
    put(m, "[\"" DOMAIN "/groups/g%u\"", below(m, GROUPS));
    put(m, "%s", once_in(m, 3) ? ",\"10.1.2.0/24\"" : "");
    if (once_in(m, 3)) {
        put(m, ",\"" DOMAIN "/groups/g%u\"", below(m, GROUPS));
    }
    put(m, "]");
}

static void scope(struct making *m, bool gateway)
{
    if (once_in(m, 2)) {
        return;
    }
    field(m, "scope");
    if (gateway) {
        if (once_in(m, 2)) {
            put(m, "[\"/infra/tier-0s/z0\"]");
        } else {
            put(m, "[\"/infra/tier-1s/r%u\"]", below(m, ROUTERS));
        }
    } else if (once_in(m, 5)) {
        put(m, "[\"ANY\"]");
    } else {
        put(m, "[\"" DOMAIN "/groups/g%u\"", below(m, GROUPS));
        put(m, "%s]", once_in(m, 3) ? ",\"" DOMAIN "/groups/g1\"" : "");
    }
}

static void rule_fields(struct making *m, bool gateway)
{
    static const char *const ACTIONS[] = {"ALLOW", "DROP", "REJECT", "DETECT"};
    static const char *const DIRECTIONS[] = {"IN", "OUT", "IN_OUT"};
    static const char *const FAMILIES[] = {"IPV4", "IPV6", "IPV4_IPV6"};
    m->first = true;
    field(m, "action");
    put(m, "\"%s\"", ACTIONS[below(m, 4)]);
    side(m, "source_groups");
    side(m, "destination_groups");
    scope(m, gateway);
    if (once_in(m, 2)) {
        field(m, "services");
        put(m, "[\"/infra/services/v%u\"]", below(m, SERVICES));
    }
    if (once_in(m, 2)) {
        field(m, "sequence_number");
        put(m, "%u", below(m, 4));
    }
    if (once_in(m, 3)) {
        field(m, "direction");
        put(m, "\"%s\",", DIRECTIONS[below(m, 3)]);
        put(m, "\"ip_protocol\":\"%s\",", FAMILIES[below(m, 3)]);
        put(m, "\"sources_excluded\":%s", once_in(m, 2) ? "true" : "false");
    }
    if (once_in(m, 4)) {
        field(m, "logged");
        put(m, "true,\"tag\":\"a\\tb\",\"disabled\":%s", once_in(m, 4) ? "true" : "false");
    }
}

static void policy_path(struct making *m, bool *gateway)
{
    *gateway = once_in(m, 5);
    if (*gateway) {
        path(m, DOMAIN "/gateway-policies/q%u", below(m, 2));
    } else if (once_in(m, 8)) {
        path(m, DOMAIN "/security-policies/default-layer3-section");
    } else {
        path(m, DOMAIN "/security-policies/q%u", below(m, 4));
    }
}

static void policy(struct making *m)
{
    static const char *const CATEGORIES[] = {"Emergency", "Application", "Environment",
                                             "Infrastructure", "Ethernet"};
    bool gateway;
    policy_path(m, &gateway);
    m->first = true;
    if (once_in(m, 2)) {
        field(m, "category");
        put(m, "\"%s\"", gateway ? "LocalGatewayRules" : CATEGORIES[below(m, 5)]);
    }
    if (once_in(m, 2)) {
        field(m, "sequence_number");
        put(m, "%u,", below(m, 3));
        put(m, "\"stateful\":%s", once_in(m, 3) ? "false" : "true");
    }
    if (once_in(m, 2)) {
        field(m, "rules");
        put(m, "[{\"id\":\"k%u\",", below(m, 6));
        rule_fields(m, gateway);
        put(m, "}]");
        m->first = false;
    }
    scope(m, gateway);
}

static void rule(struct making *m)
{
    char parent[NETCTL_PATH_ROOM];
    bool gateway;
    policy_path(m, &gateway);
    (void)snprintf(parent, sizeof parent, "%s", m->path);
    path(m, "%.200s/rules/k%u", parent, below(m, 6));
    rule_fields(m, gateway);
}

/* ---- all ---- */

void netctl_random_net(struct ts_prng *p, struct netctl_request *r, char body[NETCTL_RANDOM_BODY])
{
    static void (*const MAKERS[])(struct making *) = {
        node, node,  inventory, inventory, inventory, edge,    segment, segment, segment, port,
        port, port,  port,      tier1,     tier1,     tier0,   tier0,   tier0,   route,   nat,
        dhcp, group, group,     group,     service,   service, policy,  rule,    rule,    rule,
    };
    struct making m = {.p = p, .path = r->path, .body = body};
    unsigned which = below(&m, sizeof MAKERS / sizeof MAKERS[0]);
    put(&m, "{");
    MAKERS[which](&m);
    put(&m, "}");
    r->method = MAKERS[which] == inventory ? NETCTL_NODE : NETCTL_PATCH;
    r->revisions = false;
    if (MAKERS[which] != inventory && once_in(&m, MAKERS[which] == node ? 40 : 6)) {
        r->method = NETCTL_DELETE;
        m.len = 0;
    }
    r->body = (struct ts_bytes){(const uint8_t *)body, m.len};
}
