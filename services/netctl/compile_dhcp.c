/* DHCP of a segment: of its own dhcp_config, else of the configuration that it or its tier-1 names.
 */
#include <string.h>

#include "base/memory.h"
#include "services/netctl/compile_unit.h"
#include "services/netctl/marks.h"

#define LEASE_USUAL 86400

/* The configuration that is named; NULL: none, or that of a relay. */
static json_t *config_of(struct netctl_compiler *c, const char *path, const json_t *segment)
{
    char router[NETCTL_PATH_ROOM];
    const char *config = netctl_unit_text(segment, "dhcp_config_path");
    json_t *tier1 = NULL;
    const json_t *subnet = json_array_get(json_object_get(segment, "subnets"), 0);
    if (config == NULL && json_object_get(subnet, "dhcp_ranges") != NULL &&
        netctl_segment_router(path, segment, router)) {
        tier1 = netctl_unit_object(c, router);
        config = json_string_value(json_array_get(json_object_get(tier1, "dhcp_config_paths"), 0));
    }
    bool served = config != NULL && netctl_key_begins(config, "/infra/dhcp-server-configs/");
    json_t *object = served ? netctl_unit_object(c, config) : NULL;
    json_decref(tier1);
    return object;
}

/* An IPv4 address with its prefix length, out of `text`. */
static bool take_server(const char *text, char out[NETCTL_ADDRESS_TEXT_MAX])
{
    struct netctl_address a;
    bool good = text != NULL && netctl_prefix_read(text, &a) && !a.v6;
    if (good) {
        netctl_address_write(&a, true, out);
    }
    return good;
}

static bool find_server(const json_t *own, const json_t *config, const char *gateway,
                        char out[NETCTL_ADDRESS_TEXT_MAX])
{
    const json_t *list = json_object_get(config, "server_addresses");
    bool found = take_server(netctl_unit_text(own, "server_address"), out) ||
                 take_server(netctl_unit_text(config, "server_address"), out);
    for (size_t i = 0; !found && i < json_array_size(list); i++) {
        found = take_server(json_string_value(json_array_get(list, i)), out);
    }
    return found || take_server(gateway, out);
}

json_t *netctl_unit_dhcp(struct netctl_compiler *c, const char *path, const json_t *segment)
{
    const json_t *subnets = json_object_get(segment, "subnets");
    const json_t *own = NULL;
    const char *gateway = NULL;
    char server[NETCTL_ADDRESS_TEXT_MAX];
    char router[NETCTL_ADDRESS_TEXT_MAX];
    for (size_t i = json_array_size(subnets); i-- > 0;) {
        const json_t *subnet = json_array_get(subnets, i);
        const char *text = netctl_unit_text(subnet, "gateway_address");
        if (strchr(text, ':') == NULL) {
            gateway = text;
            own = json_object_get(subnet, "dhcp_config");
        }
    }
    json_t *config = config_of(c, path, segment);
    if (gateway == NULL || (own == NULL && config == NULL) ||
        !find_server(own, config, gateway, server)) {
        json_decref(config);
        return NULL;
    }
    const json_t *lease = json_object_get(own, "lease_time");
    lease = lease == NULL ? json_object_get(config, "lease_time") : lease;
    (void)netctl_prefix_address(gateway, router);
    json_t *dns = netctl_unit_list();
    const json_t *servers = json_object_get(own, "dns_servers");
    for (size_t i = 0; i < json_array_size(servers); i++) {
        char text[NETCTL_ADDRESS_TEXT_MAX];
        const char *one = json_string_value(json_array_get(servers, i));
        if (strchr(one, ':') == NULL && netctl_prefix_address(one, text)) {
            netctl_unit_append(dns, json_string(text));
        }
    }
    const char *domain = netctl_unit_text(segment, "domain_name");
    json_t *item = json_pack("{sss[s]sososI}", "server", server, "routers", router, "dns", dns,
                             "domain", netctl_unit_clean(domain == NULL ? "" : domain), "lease",
                             lease == NULL ? (json_int_t)LEASE_USUAL : json_integer_value(lease));
    ts_must(item);
    json_decref(config);
    return item;
}
