#include "cli/notes.h"

#include <stdio.h>
#include <string.h>

#include "base/ids.h"
#include "net/users.h"

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

/* Whether all of a NIC's paths are this machine's own loopback. */
static bool on_loopback(const struct cfg_node *node)
{
    for (uint8_t i = 0; i < node->path_count; i++) {
        if (strncmp(node->paths[i], "127.", 4) != 0 && strcmp(node->paths[i], "::1") != 0) {
            return false;
        }
    }
    return true;
}

void cli_note_open_ports(const struct cfg_cluster *cluster, const char *run, json_t *notes)
{
    struct net_users users;
    char path[TS_PATH_MAX];
    if (ts_path(path, NULL, run, "%s", NET_USERS_FILE) != TS_OK) {
        return;
    }
    enum ts_err err = net_users_load(path, &users, NULL);
    if ((err != TS_OK && err != TS_ERR_NOT_FOUND) || users.count > 0) {
        return; /* a damaged file does not open the port: the replicas say so */
    }
    for (size_t i = 0; i < cluster->group_count; i++) {
        const struct cfg_group *g = &cluster->groups[i];
        bool elsewhere = false;
        for (uint8_t n = 0; n < g->nic_count; n++) {
            const struct cfg_node *node = cfg_cluster_node(cluster, g->nics[n]);
            elsewhere = elsewhere || (node != NULL && !on_loopback(node));
        }
        if (elsewhere) {
            (void)json_array_append_new(
                notes, json_sprintf("group %s has no users: whoever reaches port %u of its NICs "
                                    "may do everything; add users with `twinstep user add`",
                                    g->name, (unsigned)g->client_port));
        }
    }
}
