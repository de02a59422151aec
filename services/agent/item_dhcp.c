#include <stdio.h>
#include <string.h>

#include "services/agent/fields.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Labels with dots between them: what stands in a line of dnsmasq's configuration as it is. */
static bool is_domain(const char *text)
{
    size_t len = strlen(text);
    return strspn(text, LETTERS DIGITS "-_.") == len && text[0] != '.' && text[0] != '-' &&
           strstr(text, "..") == NULL;
}

/* A label that begins with a letter, so that it is no number and no time; words that mean something
 * in dnsmasq's line of a host are none. */
static bool is_host(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len <= AGENT_LABEL_MAX && strspn(text, LETTERS DIGITS "-") == len &&
           strspn(text, LETTERS) > 0 && text[len - 1] != '-' && strcmp(text, "ignore") != 0 &&
           strcmp(text, "infinite") != 0;
}

static bool all_four(const struct agent_address *list, size_t count)
{
    bool four = true;
    for (size_t i = 0; i < count; i++) {
        four = four && list[i].family == 4;
    }
    return four;
}

enum ts_err agent_dhcp_decode(struct agent_dhcp *dhcp, struct agent_fields *f)
{
    dhcp->server = agent_fields_address(f, "server", AGENT_ADDRESS_IN_NETWORK, true);
    dhcp->routers = agent_fields_addresses(f, "routers", AGENT_ADDRESS_ALONE, AGENT_SERVERS_MAX,
                                           dhcp->router, false);
    dhcp->dns_servers =
        agent_fields_addresses(f, "dns", AGENT_ADDRESS_ALONE, AGENT_SERVERS_MAX, dhcp->dns, false);
    const char *domain = agent_fields_text(f, "domain", AGENT_DOMAIN_MAX, false);
    dhcp->lease = (uint32_t)agent_fields_number(f, "lease", AGENT_LEASE_MIN, UINT32_MAX, true, 0);
    if (f->err == TS_OK && (dhcp->server.family != 4 || !agent_address_is_host(&dhcp->server))) {
        agent_fields_fail(f, "server", "a host's IPv4 address with its network's bits");
    } else if (f->err == TS_OK && !all_four(dhcp->router, dhcp->routers)) {
        agent_fields_fail(f, "routers", "IPv4 addresses");
    } else if (f->err == TS_OK && !all_four(dhcp->dns, dhcp->dns_servers)) {
        agent_fields_fail(f, "dns", "IPv4 addresses");
    } else if (f->err == TS_OK && !is_domain(domain)) {
        agent_fields_fail(f, "domain", "a domain name: letters, digits, - _ and dots");
    }
    (void)snprintf(dhcp->domain, sizeof(dhcp->domain), "%s", domain);
    return agent_fields_end(f);
}

enum ts_err agent_binding_decode(struct agent_binding *binding, struct agent_fields *f)
{
    binding->ip = agent_fields_address(f, "ip", AGENT_ADDRESS_ALONE, true);
    const char *host = agent_fields_text(f, "host", AGENT_TEXT_MAX, false);
    if (f->err == TS_OK && (binding->ip.family != 4 || !agent_address_is_host(&binding->ip))) {
        agent_fields_fail(f, "ip", "a host's IPv4 address");
    }
    (void)snprintf(binding->host, sizeof(binding->host), "%s", is_host(host) ? host : "");
    return agent_fields_end(f);
}
