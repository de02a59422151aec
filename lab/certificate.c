#include "lab/certificate.h"

static bool is_of(const struct cfg_group *g, const struct cfg_node *node)
{
    for (uint8_t i = 0; i < g->nic_count; i++) {
        if (ts_nic_eq(g->nics[i], node->id)) {
            return true;
        }
    }
    return false;
}

enum ts_err lab_certificate_issue(const struct cfg_cluster *cluster, const struct cfg_node *node,
                                  const char *ca, const char *tls, struct ca_validity validity,
                                  struct ts_why *why)
{
    struct ca_addresses a = {.count = 0};
    for (uint8_t i = 0; i < node->path_count; i++) {
        a.address[a.count++] = node->paths[i];
    }
    for (size_t i = 0; i < cluster->group_count && a.count < CA_ADDRESSES_MAX; i++) {
        const struct cfg_group *g = &cluster->groups[i];
        if (g->address[0] != '\0' && is_of(g, node)) {
            a.address[a.count++] = g->address;
        }
    }
    return ca_issue(ca, node->name, tls, &a, validity, why);
}
