/* The objects and their fields, as the public NSX Policy API reference names them. A field that is
 * not here is refused: what would be kept and not done is worse than an error. */
#include <stdint.h>

#include "services/netctl/resource.h"

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define FIELDS(...) ((const struct netctl_field[]){__VA_ARGS__, {0}})

#define NAME_MAX_BYTES 255
#define LONG_MAX_BYTES 1024
#define MANY 10000

#define TEXT(key, most) \
    { \
        .name = (key), .kind = NETCTL_TEXT, .max = (most) \
    }
#define NUMBER(key, low, high) \
    { \
        .name = (key), .kind = NETCTL_NUMBER, .min = (low), .max = (high) \
    }
#define BOOL(key) \
    { \
        .name = (key), .kind = NETCTL_BOOL \
    }
#define CHOICE(key, ...) \
    { \
        .name = (key), .kind = NETCTL_CHOICE, .choices = TEXTS(__VA_ARGS__) \
    }
/* Clients say that they do not want it. */
#define NOT_OFFERED(key) \
    { \
        .name = (key), .kind = NETCTL_BOOL, .choices = TEXTS("false") \
    }
#define PATH(key, ...) \
    { \
        .name = (key), .kind = NETCTL_PATH, .types = TEXTS(__VA_ARGS__) \
    }
#define ADDRESS(key) \
    { \
        .name = (key), .kind = NETCTL_ADDRESS \
    }
#define PREFIX(key) \
    { \
        .name = (key), .kind = NETCTL_PREFIX \
    }
#define OBJECT(key, ...) \
    { \
        .name = (key), .kind = NETCTL_OBJECT, .fields = FIELDS(__VA_ARGS__) \
    }
#define PASSED(key) \
    { \
        .name = (key), .kind = NETCTL_PASSED \
    }

static const struct netctl_field A_TEXT = {.kind = NETCTL_TEXT, .max = LONG_MAX_BYTES};
static const struct netctl_field AN_ADDRESS = {.kind = NETCTL_ADDRESS};
static const struct netctl_field A_PREFIX = {.kind = NETCTL_PREFIX};
static const struct netctl_field AN_ELEMENT = {.kind = NETCTL_ELEMENT};
static const struct netctl_field A_MAC = {.kind = NETCTL_MAC};
static const struct netctl_field SOME_PORTS = {.kind = NETCTL_PORTS};
static const struct netctl_field A_PATH = {.kind = NETCTL_PATH};
static const struct netctl_field A_SCOPE = {
    .kind = NETCTL_PATH, .choices = TEXTS("ANY"), .types = TEXTS("Group", "Tier1", "Tier0")};
static const struct netctl_field A_SERVICE_OR_ANY = {
    .kind = NETCTL_PATH, .choices = TEXTS("ANY"), .types = TEXTS("Service")};
/* A group, or what it would have in it. */
static const struct netctl_field A_GROUP_OR_ANY = {
    .kind = NETCTL_PATH, .choices = TEXTS("ANY"), .types = TEXTS("Group"), .or_element = true};
static const struct netctl_field A_DHCP_CONFIG = {
    .kind = NETCTL_PATH, .types = TEXTS("DhcpServerConfig", "DhcpRelayConfig")};
static const struct netctl_field AN_EDGE = {.kind = NETCTL_PATH, .types = TEXTS("PolicyEdgeNode")};

#define LIST(key, most, what) \
    { \
        .name = (key), .kind = NETCTL_LIST, .max = (most), .of = &(what) \
    }
#define LIST_OF(key, most, ...) \
    { \
        .name = (key), .kind = NETCTL_LIST, .max = (most), .of = &(const struct netctl_field) \
        { \
            .kind = NETCTL_OBJECT, .fields = FIELDS(__VA_ARGS__) \
        } \
    }

/* What every object has. `resource_type` is checked where the object is known. */
#define COMMON \
    TEXT("id", NETCTL_ID_MAX), TEXT("display_name", NAME_MAX_BYTES), \
        TEXT("description", LONG_MAX_BYTES), TEXT("resource_type", 64), \
        LIST_OF("tags", 30, TEXT("scope", 128), TEXT("tag", 256)), PASSED("path"), \
        PASSED("parent_path"), PASSED("relative_path"), PASSED("unique_id"), \
        PASSED("realization_id"), PASSED("owner_id"), PASSED("origin_site_id"), \
        PASSED("remote_path"), PASSED("marked_for_delete"), PASSED("overridden"), \
        PASSED("_create_time"), PASSED("_create_user"), PASSED("_last_modified_time"), \
        PASSED("_last_modified_user"), PASSED("_system_owned"), PASSED("_protection"), \
        PASSED("_revision"), PASSED("_links"), PASSED("_schema"), PASSED("_self")

/* ---- segments ---- */

static const struct netctl_field SUBNET[] = {
    {.name = "gateway_address", .kind = NETCTL_PREFIX, .needed = true},
    PASSED("network"),
    LIST("dhcp_ranges", 64, AN_ELEMENT),
    OBJECT("dhcp_config", TEXT("resource_type", 64), PREFIX("server_address"),
           NUMBER("lease_time", 60, UINT32_MAX), LIST("dns_servers", 2, AN_ADDRESS)),
    {0}};
static const struct netctl_field A_SUBNET = {.kind = NETCTL_OBJECT, .fields = SUBNET};

#define SEGMENT \
    FIELDS(COMMON, LIST("subnets", 2, A_SUBNET), PATH("connectivity_path", "Tier1", "Tier0"), \
           PATH("transport_zone_path", "PolicyTransportZone"), \
           PATH("dhcp_config_path", "DhcpServerConfig", "DhcpRelayConfig"), \
           TEXT("domain_name", 255), LIST("vlan_ids", 0, A_TEXT), \
           NUMBER("overlay_id", 1, 16777215), CHOICE("admin_state", "UP", "DOWN"), \
           CHOICE("replication_mode", "MTEP", "SOURCE"), \
           CHOICE("type", "ROUTED", "EXTENDED", "DISCONNECTED"), \
           OBJECT("advanced_config", CHOICE("connectivity", "ON", "OFF"), BOOL("hybrid"), \
                  BOOL("local_egress"), BOOL("multicast")))

static const struct netctl_field PORT[] = {
    COMMON,
    CHOICE("admin_state", "UP", "DOWN"),
    CHOICE("init_state", "UNBLOCKED_VLAN"),
    OBJECT("attachment", TEXT("id", 255), CHOICE("type", "INDEPENDENT", "STATIC"),
           TEXT("context_id", 255), CHOICE("allocate_addresses", "NONE", "DHCP", "BOTH")),
    LIST_OF("address_bindings", 64, ADDRESS("ip_address"),
            {.name = "mac_address", .kind = NETCTL_MAC}, NUMBER("vlan_id", 0, 0)),
    {0}};

/* ---- routers ---- */

static const struct netctl_field TIER0[] = {COMMON,
                                            CHOICE("ha_mode", "ACTIVE_STANDBY"),
                                            CHOICE("failover_mode", "PREEMPTIVE", "NON_PREEMPTIVE"),
                                            LIST("transit_subnets", 4, A_PREFIX),
                                            LIST("internal_transit_subnets", 1, A_PREFIX),
                                            NOT_OFFERED("disable_firewall"),
                                            NOT_OFFERED("default_rule_logging"),
                                            NOT_OFFERED("force_whitelisting"),
                                            LIST("dhcp_config_paths", 1, A_DHCP_CONFIG),
                                            {0}};

static const struct netctl_field TIER1[] = {
    COMMON,
    PATH("tier0_path", "Tier0"),
    CHOICE("failover_mode", "PREEMPTIVE", "NON_PREEMPTIVE"),
    CHOICE("ha_mode", "ACTIVE_STANDBY"),
    CHOICE("type", "ROUTED", "ISOLATED", "NATTED"),
    CHOICE("pool_allocation", "ROUTING"),
    BOOL("enable_standby_relocation"),
    NOT_OFFERED("disable_firewall"),
    NOT_OFFERED("default_rule_logging"),
    NOT_OFFERED("force_whitelisting"),
    LIST("dhcp_config_paths", 1, A_DHCP_CONFIG),
    {.name = "route_advertisement_types",
     .kind = NETCTL_LIST,
     .max = 7,
     .of = &(const struct netctl_field){.kind = NETCTL_CHOICE,
                                        .choices = TEXTS("TIER1_STATIC_ROUTES", "TIER1_CONNECTED",
                                                         "TIER1_NAT")}},
    {0}};

#define LOCALE_SERVICES \
    FIELDS(COMMON, PATH("edge_cluster_path", "PolicyEdgeCluster"), \
           LIST("preferred_edge_paths", 8, AN_EDGE), \
           {.name = "route_redistribution_types", \
            .kind = NETCTL_LIST, \
            .max = 16, \
            .of = &(const struct netctl_field){.kind = NETCTL_CHOICE, \
                                               .choices = TEXTS("TIER0_STATIC", "TIER0_CONNECTED", \
                                                                "TIER1_STATIC", "TIER1_CONNECTED", \
                                                                "TIER1_NAT")}})

#define INTERFACE_SUBNETS \
    LIST_OF("subnets", 2, \
            {.name = "ip_addresses", .kind = NETCTL_LIST, .max = 1, .of = &AN_ADDRESS}, \
            {.name = "prefix_len", .kind = NETCTL_NUMBER, .needed = true, .min = 1, .max = 128})

static const struct netctl_field TIER0_INTERFACE[] = {
    COMMON,
    CHOICE("type", "EXTERNAL", "SERVICE", "LOOPBACK"),
    PATH("edge_path", "PolicyEdgeNode"),
    PATH("segment_path", "Segment"),
    TEXT("interface", 64),
    INTERFACE_SUBNETS,
    NUMBER("mtu", 64, 9000),
    {0}};

static const struct netctl_field TIER1_INTERFACE[] = {
    COMMON, PATH("segment_path", "Segment"), INTERFACE_SUBNETS, NUMBER("mtu", 64, 9000), {0}};

static const struct netctl_field STATIC_ROUTES[] = {
    COMMON,
    {.name = "network", .kind = NETCTL_PREFIX, .needed = true},
    LIST_OF("next_hops", 8, ADDRESS("ip_address"), NUMBER("admin_distance", 1, 255),
            LIST("scope", 1, A_PATH)),
    {0}};

static const struct netctl_field NAT_RULE[] = {
    COMMON,
    {.name = "action",
     .kind = NETCTL_CHOICE,
     .needed = true,
     .choices = TEXTS("SNAT", "DNAT", "NO_SNAT", "NO_DNAT", "REFLEXIVE")},
    {.name = "source_network", .kind = NETCTL_ELEMENT},
    {.name = "destination_network", .kind = NETCTL_ELEMENT},
    {.name = "translated_network", .kind = NETCTL_ELEMENT},
    {.name = "translated_ports", .kind = NETCTL_PORTS},
    PATH("service", "Service"),
    NUMBER("sequence_number", 0, INT32_MAX),
    BOOL("enabled"),
    BOOL("logging"),
    CHOICE("firewall_match", "MATCH_EXTERNAL_ADDRESS", "MATCH_INTERNAL_ADDRESS", "BYPASS"),
    LIST("scope", 8, A_PATH),
    {0}};

/* ---- services, DHCP, pools ---- */

static const struct netctl_field SERVICE[] = {
    COMMON,
    BOOL("is_default"),
    LIST_OF("service_entries", 64, COMMON, CHOICE("l4_protocol", "TCP", "UDP"),
            LIST("source_ports", 15, SOME_PORTS), LIST("destination_ports", 15, SOME_PORTS),
            CHOICE("protocol", "ICMPv4", "ICMPv6"), NUMBER("icmp_type", 0, 255),
            NUMBER("icmp_code", 0, 255), NUMBER("protocol_number", 0, 255),
            PATH("nested_service_path", "Service")),
    {0}};

static const struct netctl_field DHCP_SERVER[] = {COMMON,
                                                  PATH("edge_cluster_path", "PolicyEdgeCluster"),
                                                  NUMBER("lease_time", 60, UINT32_MAX),
                                                  PREFIX("server_address"),
                                                  LIST("server_addresses", 2, A_PREFIX),
                                                  {0}};

static const struct netctl_field DHCP_RELAY[] = {
    COMMON, LIST("server_addresses", 8, AN_ADDRESS), {0}};

static const struct netctl_field IP_POOL[] = {COMMON, {0}};

/* ---- groups and firewall ---- */

#define EXPRESSION_FIELDS \
    TEXT("resource_type", 64), TEXT("id", NETCTL_ID_MAX), \
        CHOICE("member_type", "VirtualMachine", "Segment", "SegmentPort", "IPSet"), \
        CHOICE("key", "Tag", "Name"), CHOICE("operator", "EQUALS", "CONTAINS", "STARTSWITH"), \
        CHOICE("scope_operator", "EQUALS"), TEXT("value", LONG_MAX_BYTES), \
        CHOICE("conjunction_operator", "AND", "OR"), LIST("ip_addresses", MANY, AN_ELEMENT), \
        LIST("mac_addresses", MANY, A_MAC), LIST("paths", MANY, A_PATH), \
        PASSED("marked_for_delete"), PASSED("_protection"), PASSED("path"), PASSED("parent_path"), \
        PASSED("relative_path")

static const struct netctl_field GROUP[] = {
    COMMON,
    LIST_OF("expression", 64, EXPRESSION_FIELDS, LIST_OF("expressions", 16, EXPRESSION_FIELDS)),
    LIST("extended_expression", 0, A_TEXT),
    {.name = "group_type",
     .kind = NETCTL_LIST,
     .max = 1,
     .of = &(const struct netctl_field){.kind = NETCTL_CHOICE, .choices = TEXTS("IPAddress")}},
    PASSED("group_state"),
    PASSED("reference"),
    {0}};

#define RULE_FIELDS \
    COMMON, CHOICE("action", "ALLOW", "DROP", "REJECT", "DETECT"), \
        LIST("source_groups", 128, A_GROUP_OR_ANY), \
        LIST("destination_groups", 128, A_GROUP_OR_ANY), BOOL("sources_excluded"), \
        BOOL("destinations_excluded"), LIST("services", 128, A_SERVICE_OR_ANY), \
        LIST("scope", 128, A_SCOPE), LIST("service_entries", 0, A_TEXT), \
        {.name = "profiles", \
         .kind = NETCTL_LIST, \
         .max = 1, \
         .of = &(const struct netctl_field){.kind = NETCTL_CHOICE, .choices = TEXTS("ANY")}}, \
        CHOICE("direction", "IN", "OUT", "IN_OUT"), \
        CHOICE("ip_protocol", "IPV4", "IPV6", "IPV4_IPV6"), BOOL("logged"), BOOL("disabled"), \
        NUMBER("sequence_number", 0, INT32_MAX), TEXT("tag", 32), TEXT("notes", 2048), \
        PASSED("rule_id"), PASSED("is_default")

static const struct netctl_field RULE[] = {RULE_FIELDS, {0}};
static const struct netctl_field A_RULE = {.kind = NETCTL_OBJECT, .fields = RULE};

#define POLICY_FIELDS \
    COMMON, NUMBER("sequence_number", 0, 999999), LIST("scope", 128, A_SCOPE), BOOL("stateful"), \
        BOOL("tcp_strict"), BOOL("locked"), TEXT("comments", 2048), LIST("rules", MANY, A_RULE), \
        PASSED("is_default"), PASSED("rule_count"), PASSED("internal_sequence_number"), \
        PASSED("lock_modified_by"), PASSED("lock_modified_time"), PASSED("scheduler_path")

static const struct netctl_field SECURITY_POLICY[] = {
    POLICY_FIELDS,
    CHOICE("category", "Ethernet", "Emergency", "Infrastructure", "Environment", "Application"),
    CHOICE("connectivity_preference", "ALLOWLIST", "DENYLIST", "NONE"),
    {0}};

static const struct netctl_field GATEWAY_POLICY[] = {POLICY_FIELDS,
                                                     CHOICE("category", "Emergency", "SystemRules",
                                                            "SharedPreRules", "LocalGatewayRules",
                                                            "AutoServiceRules", "Default"),
                                                     {0}};

/* ---- the fabric ---- */

static const struct netctl_field FABRIC[] = {COMMON, {0}};
static const struct netctl_field TRANSPORT_ZONE[] = {
    COMMON, CHOICE("tz_type", "OVERLAY_STANDARD"), BOOL("is_default"), {0}};
static const struct netctl_field TRANSPORT_NODE[] = {COMMON, ADDRESS("tunnel_address"), {0}};

#define POINT "/infra/sites/<>/enforcement-points/<>"

const struct netctl_resource netctl_resources[] = {
    {.type = "Infra", .pattern = "/infra", .fields = FABRIC, .is_fixed = true},
    {.type = "Segment", .pattern = "/infra/segments/<>", .fields = SEGMENT},
    {.type = "SegmentPort", .pattern = "/infra/segments/<>/ports/<>", .fields = PORT},
    {.type = "Tier0", .pattern = "/infra/tier-0s/<>", .fields = TIER0},
    {.type = "LocaleServices",
     .pattern = "/infra/tier-0s/<>/locale-services/<>",
     .fields = LOCALE_SERVICES},
    {.type = "Tier0Interface",
     .pattern = "/infra/tier-0s/<>/locale-services/<>/interfaces/<>",
     .fields = TIER0_INTERFACE},
    {.type = "StaticRoutes",
     .pattern = "/infra/tier-0s/<>/static-routes/<>",
     .fields = STATIC_ROUTES},
    {.type = "PolicyNatRule",
     .pattern = "/infra/tier-0s/<>/nat/USER/nat-rules/<>",
     .fields = NAT_RULE},
    {.type = "Tier1", .pattern = "/infra/tier-1s/<>", .fields = TIER1},
    {.type = "Segment", .pattern = "/infra/tier-1s/<>/segments/<>", .fields = SEGMENT},
    {.type = "SegmentPort", .pattern = "/infra/tier-1s/<>/segments/<>/ports/<>", .fields = PORT},
    {.type = "LocaleServices",
     .pattern = "/infra/tier-1s/<>/locale-services/<>",
     .fields = LOCALE_SERVICES},
    {.type = "Tier1Interface",
     .pattern = "/infra/tier-1s/<>/locale-services/<>/interfaces/<>",
     .fields = TIER1_INTERFACE},
    {.type = "StaticRoutes",
     .pattern = "/infra/tier-1s/<>/static-routes/<>",
     .fields = STATIC_ROUTES},
    {.type = "PolicyNatRule",
     .pattern = "/infra/tier-1s/<>/nat/USER/nat-rules/<>",
     .fields = NAT_RULE},
    {.type = "Service", .pattern = "/infra/services/<>", .fields = SERVICE},
    {.type = "DhcpServerConfig", .pattern = "/infra/dhcp-server-configs/<>", .fields = DHCP_SERVER},
    {.type = "DhcpRelayConfig", .pattern = "/infra/dhcp-relay-configs/<>", .fields = DHCP_RELAY},
    {.type = "IpAddressPool", .pattern = "/infra/ip-pools/<>", .fields = IP_POOL},
    {.type = "Domain", .pattern = "/infra/domains/<>", .fields = FABRIC},
    {.type = "Group", .pattern = "/infra/domains/<>/groups/<>", .fields = GROUP},
    {.type = "SecurityPolicy",
     .pattern = "/infra/domains/<>/security-policies/<>",
     .fields = SECURITY_POLICY,
     .embedded = "rules"},
    {.type = "Rule", .pattern = "/infra/domains/<>/security-policies/<>/rules/<>", .fields = RULE},
    {.type = "GatewayPolicy",
     .pattern = "/infra/domains/<>/gateway-policies/<>",
     .fields = GATEWAY_POLICY,
     .embedded = "rules"},
    {.type = "Rule", .pattern = "/infra/domains/<>/gateway-policies/<>/rules/<>", .fields = RULE},
    {.type = "Site", .pattern = "/infra/sites/<>", .fields = FABRIC, .is_fixed = true},
    {.type = "EnforcementPoint", .pattern = POINT, .fields = FABRIC, .is_fixed = true},
    {.type = "PolicyTransportZone",
     .pattern = POINT "/transport-zones/<>",
     .fields = TRANSPORT_ZONE},
    {.type = "PolicyEdgeCluster", .pattern = POINT "/edge-clusters/<>", .fields = FABRIC},
    {.type = "PolicyEdgeNode",
     .pattern = POINT "/edge-clusters/<>/edge-nodes/<>",
     .fields = FABRIC},
    {.type = "HostTransportNode",
     .pattern = POINT "/host-transport-nodes/<>",
     .fields = TRANSPORT_NODE},
    {0}};
