#include "cli/notes.h"

#include <stdio.h>
#include <string.h>

#include "base/ids.h"

#define NAMES_MAX (TS_NODES_MAX * CFG_NAME_MAX)

static void names_of_host(const struct cfg_cluster *c, const char *host, char out[NAMES_MAX])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < c->node_count && used < NAMES_MAX; i++) {
        if (strcmp(c->nodes[i].host, host) == 0) {
            int n = snprintf(out + used, NAMES_MAX - used, "%s%s", used == 0 ? "" : ", ",
                             c->nodes[i].name);
            used += n > 0 ? (size_t)n : 0;
        }
    }
}

json_t *cli_notes(const struct cfg_cluster *cluster)
{
    json_t *notes = json_array();
    for (size_t i = 0; i < cluster->node_count; i++) {
        struct cfg_host_risk r;
        char names[NAMES_MAX];
        char voters[80] = "";
        char group[80 + CFG_NAME_MAX] = "";
        if (!cfg_cluster_host_risk(cluster, i, &r)) {
            continue;
        }
        names_of_host(cluster, r.host, names);
        if (r.majority) {
            (void)snprintf(voters, sizeof(voters), " %u of %u voters (every group stops)", r.voters,
                           r.voters_all);
        }
        if (r.group != NULL) {
            (void)snprintf(group, sizeof(group), "%s all replicas of group %s",
                           r.majority ? " and" : "", r.group->name);
        }
        json_t *note = json_sprintf("host %s carries %s: its failure takes%s%s; spread them over "
                                    "hosts, or correct `host` in the cluster file",
                                    r.host, names, voters, group);
        (void)json_array_append_new(notes, note);
    }
    for (size_t i = 0; i < cluster->group_count; i++) {
        if (cluster->groups[i].nic_count == 1) {
            json_t *note = json_sprintf("group %s is not redundant: one NIC; its failure stops the "
                                        "group, and the loss of its disk loses the data",
                                        cluster->groups[i].name);
            (void)json_array_append_new(notes, note);
        }
    }
    return notes;
}
