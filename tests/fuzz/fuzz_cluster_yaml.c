/* The cluster file: any text gives a cluster or one line with a place; what it gives is consistent.
 */
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/io/cluster_yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cfg_cluster c;
    char error[CLUSTER_YAML_ERROR_MAX];
    enum ts_err err = cluster_yaml_parse("f", (struct ts_bytes){data, size}, &c, error);
    if (err != TS_OK) {
        ts_assert(strncmp(error, "f:", 2) == 0 && strchr(error, '\n') == NULL);
        return 0;
    }
    struct ts_nic_id voters[TS_VOTERS_MAX];
    ts_assert(error[0] == '\0');
    ts_assert(cfg_cluster_voters(&c, voters) % 2 == 1);
    ts_assert(c.node_count >= 1 && c.node_count <= TS_NODES_MAX);
    ts_assert(c.group_count >= 1 && c.group_count <= TS_GROUPS_MAX);
    for (size_t i = 0; i < c.group_count; i++) {
        for (size_t m = 0; m < c.groups[i].nic_count; m++) {
            const struct cfg_node *node = cfg_cluster_node(&c, c.groups[i].nics[m]);
            ts_assert(node != NULL && !node->arbiter);
        }
    }
    return 0;
}
